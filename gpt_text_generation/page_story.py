"""The demo page's second part: a story written before the visitor's eyes, which can be stopped and gone on with."""

import re
from typing import Any

import streamlit as st

from gpt_text_generation.page_model import Page, model_or_say
from gpt_text_generation.sentences import count_words, is_chinese
from gpt_text_generation.story import Plan, Story
from gpt_text_generation.story_writer import Writer, limits, prompts, revise, tell
from shared.errors import UserError

LONGEST = 300  # characters of a topic


def show(page: Page) -> None:
    say, state = page.say, st.session_state
    st.markdown(say("story_lead"))
    topic = st.text_input(say("topic"), say("topic_example"), max_chars=LONGEST, key="topic")
    genre, style, sections, length = st.columns(4, gap="medium")
    genre.text_input(say("genre"), "", placeholder=_default("genre", topic), max_chars=60, key="genre")
    style.text_input(say("style"), "", placeholder=_default("style", topic), max_chars=60, key="style")
    sections.slider(say("sections"), 1, 8, 3, key="sections")
    length.slider(say("story_length"), 160, 1000, 240, 20, key="story_length")
    with st.container(horizontal=True):
        st.button(
            say("story_write"),
            type="primary",
            key="story-write",
            disabled=not topic.strip(),
            on_click=_begin,
        )
        if state.get("story_at_work"):
            st.button(say("stop"), key="story-stop", on_click=_set_to_work, args=("",))
        elif "story" in state:
            st.button(say("go_on"), key="story-go-on", on_click=_set_to_work, args=("tell",))
            st.button(say("revise"), key="story-revise", on_click=_set_to_work, args=("revise",))
    if "story" not in state:
        return
    story: Story = state["story"]
    notes = st.container()
    for line in state.get("story_limits", []):
        notes.caption(line[page.language])
    place = st.empty()
    place.markdown(_visible(story))
    if state.get("story_at_work"):
        _work(page, story, notes, place)
    if story.texts:
        st.download_button(say("download_story"), story.markdown(), "story.md", "text/markdown", key="story-file")
        st.caption(say("story_facts", n=count_words(story.text), sections=len(story.texts)))


def _work(page: Page, story: Story, notes: Any, place: Any) -> None:
    """Write on, or revise. The button to stop ends this function; the story has then what was written."""
    state = st.session_state
    if (model := model_or_say(page)) is None:
        state["story_at_work"] = ""
        return
    if not state["story_limits"]:
        state["story_limits"] = limits(model, story.plan.topic)
        for line in state["story_limits"]:
            notes.caption(line[page.language])
    state["story_seed"] = state.get("story_seed", 0) + 1000  # every go draws anew
    writer = Writer(model, story.plan, seed=state["story_seed"])
    try:
        with st.spinner(page.say(f"story_work.{state['story_at_work']}")):
            for _ in tell(story, writer) if state["story_at_work"] == "tell" else revise(story, writer):
                place.markdown(_visible(story))
        if not story.texts:
            st.warning(page.say("nothing_kept"))
    except UserError as error:
        st.error(page.say("fault", reason=error))
        state["story_at_work"] = ""
        return
    state["story_at_work"] = ""
    if story.texts:
        st.rerun()  # the buttons


def _visible(story: Story) -> str:
    """The story as Markdown below the page's own title. Nothing in it becomes HTML, a link or a picture."""
    text = re.sub("^#", "###", story.markdown().partition("\n")[2], flags=re.MULTILINE)
    for sign in "[]<$`*_|~":
        text = text.replace(sign, f"\\{sign}")
    return text


def _begin() -> None:
    state = st.session_state
    topic, sections = state["topic"].strip(), state["sections"]
    genre, style = (state[key].strip() or _default(key, topic) for key in ("genre", "style"))
    plan = Plan(topic, genre, style, round(state["story_length"] / sections), sections)
    state.update(story=Story(plan), story_at_work="tell", story_limits=[])


def _set_to_work(what: str) -> None:
    story: Story = st.session_state["story"]
    if what == "revise":
        story.revised = 0
    st.session_state["story_at_work"] = what


def _default(key: str, topic: str) -> str:
    return prompts()[key]["zh" if is_chinese(topic) else "en"]
