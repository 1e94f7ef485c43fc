"""The writing assistant on models that say what they are told: what is kept or refused, and what a stop leaves."""

import json
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gpt_text_generation import creative_writing_assistant, story_writer
from gpt_text_generation.creative_writing_assistant import main
from gpt_text_generation.sentences import Guard, count_words, joined, sentences
from gpt_text_generation.story import Plan, Story, read_story
from gpt_text_generation.story_writer import Writer, is_better, last_words, limits, prompts, read_outline, revise, tell
from shared.errors import UserError

OUTLINE = "Here it is:\n1. **The Quiet Shore**\n2. A Letter Arrives: the keeper finds it\n3. The Storm\n"
PARTS = {
    "The Quiet Shore": "Waves rolled under the tower. Anna lit the lamp every single evening. Nobody came by.",
    "A Letter Arrives": "One morning a bottle lay in the sand. Inside it was a letter without a name.",
    "The Storm": "Thunder shook the glass at midnight. She read the last line aloud and understood it.",
}


class Author:
    """A LanguageModel of characters that answers a request by `answer(request)`. It is also its own session."""

    name, context, stop_ids, backend = "author", 20_000, frozenset({0}), "none"
    config = SimpleNamespace(hidden_size=576)

    def __init__(self, answer):
        self._answer, self.requests, self._ids = answer, [], {"\0": 0}
        self.model = self

    def session(self):
        return self

    def encode(self, text, start=True):
        return [self._ids.setdefault(character, len(self._ids)) for character in text]

    def decode(self, ids):
        characters = list(self._ids)
        return "".join(characters[number] for number in ids)

    def chat(self, messages):
        return messages[-1]["content"] + "\x01"  # where the answer begins

    def next_logits(self, ids):
        request, written = self.decode(ids).split("\x01")
        if not written:
            self.requests.append(request)
            self._text = self._answer(request)
        logits = np.full(500, -np.inf)
        logits[self.encode(self._text[len(written)])[0] if len(written) < len(self._text) else 0] = 0.0
        return logits


@pytest.fixture(autouse=True)
def tokens_are_characters(monkeypatch):
    monkeypatch.setattr(story_writer, "TOKENS_A_WORD", 8)


def told(request):
    """Answers by what is asked for."""
    if "numbered list" in request:
        return OUTLINE
    if request.startswith("Rewrite"):
        return request.split("\n\n")[1].replace("rolled", "broke").replace("came by", "passed")
    return next(text for heading, text in PARTS.items() if f'"{heading}"' in request)


def plan(words=15, sections=3, topic="a lighthouse keeper"):
    return Plan(topic, "short story", "calm", words, sections)


def finished(answer=told, **about):
    story = Story(plan(**about))
    writer = Writer(Author(answer), story.plan)
    return "".join(tell(story, writer)), story, writer


@pytest.mark.parametrize(
    "text, whole",
    [
        ("One. Two! “Three?” he said. Four", ["One.", "Two!", "“Three?”", "he said."]),
        ("It cost 3.5 coins... Then no more.", ["It cost 3.5 coins...", "Then no more."]),
        ("第一句。“第二句！”他说。第三", ["第一句。", "“第二句！”", "他说。"]),
        ("No mark\nA line. ", ["No mark", "A line."]),
        ("", []),
    ],
)
def test_sentences_come_whole_however_the_pieces_fall(text, whole):
    for size in (1, 2, 7, 100):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert [sentence.text for sentence in sentences(pieces)] == whole


def test_paragraphs_stay_and_spaces_stand_between_latin_sentences_only():
    text = ""
    for sentence in sentences(["One. Two.\n\nThree. 四。五。\n六。"]):
        text += joined(text, sentence)
    assert text == "One. Two.\n\nThree. 四。五。\n\n六。"


@pytest.mark.parametrize(
    "sentence, why",
    [
        ("The Quiet Shore", "heading"),
        ("2. the quiet shore.", "heading"),
        ("Chapter 1: The Quiet Shore", "heading"),
        ("## A new one", "heading"),
        ("Here is the next part:", "announcement"),
        ("She lit the lamp again and again.", "repetition"),
        ("And she lit the lamp again and again.", "repetition"),  # four of five 4-grams are known
        ("so it went on and so it went on and so it went on and so it went on.", "repetition"),
        ("She put the lamp out.", None),
        ("The quiet shore was empty.", None),
    ],
)
def test_the_guard_refuses_what_a_small_model_does_wrong(sentence, why):
    guard = Guard(["The Quiet Shore", "The Storm"], "She lit the lamp again and again. Rain fell.")
    assert guard.keeps(sentence) is (why is None)
    assert guard.refused == {name: int(name == why) for name in ("heading", "announcement", "repetition")}


def test_an_outline_is_read_from_a_list_in_either_language():
    assert read_outline(OUTLINE) == ["The Quiet Shore", "A Letter Arrives", "The Storm"]
    assert read_outline("1、开端：灯塔\n2. 《风暴》\n3．结局") == ["开端", "风暴", "结局"]
    assert read_outline("- One - why\n* Two\n- one\nprose without a number") == ["One", "Two"]
    assert read_outline("1. " + "long " * 30) == []


def test_the_pieces_are_the_file():
    text, story, writer = finished()
    assert (
        text
        == story.markdown()
        == story.start() + "".join(f"\n## {heading}\n\n{part}\n" for heading, part in PARTS.items())
    )
    assert writer.refused == {"heading": 0, "announcement": 0, "repetition": 0}


def test_a_model_that_gives_no_list_gets_numbered_headings():
    _, story, _ = finished(lambda request: "Once upon a time." if "numbered" in request else "A bird sang. It flew.")
    assert story.outline == ["Part 1", "Part 2", "Part 3"]


def test_a_model_that_copies_its_outline_and_itself_leaves_neither_in_the_story():
    loop = "The Storm\nShe lit the lamp. The sea was calm tonight as ever. " * 9

    def copies(request):
        return OUTLINE if "numbered" in request else loop

    text, story, writer = finished(copies)
    assert story.texts == {0: "She lit the lamp. The sea was calm tonight as ever."}
    assert "## A Letter Arrives" not in text and text.count("She lit the lamp") == 1
    assert writer.refused["heading"] > 1 and writer.refused["repetition"] > 1


def test_a_looping_model_is_ended_and_not_read_to_the_end():
    class Counted(Author):
        asked = 0

        def next_logits(self, ids):
            self.asked += 1
            return super().next_logits(ids)

    model = Counted(lambda request: OUTLINE if "numbered" in request else "So it was then. " * 500)
    story = Story(plan(words=600, sections=1))
    "".join(tell(story, Writer(model, story.plan)))
    assert model.asked < story_writer.TRIES * 16 * 8


def test_a_section_ends_at_its_length():
    endless = " ".join(f"Sentence number {n} tells of thing {n * 7}." for n in range(500))
    _, story, _ = finished(lambda request: OUTLINE if "numbered" in request else endless, words=30, sections=1)
    assert 30 <= count_words(story.text) < 30 + 7


def test_a_section_that_came_out_short_is_asked_for_again_with_what_there_is():
    answers = iter([OUTLINE, "One short line.", "A second short line came after it.", "And a third of them at last."])
    story = Story(plan(words=30, sections=1))
    model = Author(lambda request: next(answers))
    "".join(tell(story, Writer(model, story.plan)))
    assert story.text == "One short line. A second short line came after it."
    assert "One short line." in model.requests[2]


def test_the_model_sees_the_end_as_it_stands_and_of_earlier_sections_the_first_sentence():
    story = Story(
        plan(), ["A", "B", "C"], {0: "First of A. " + "word " * 200 + "end. Last of A.", 1: "First of B. Last."}
    )
    request = Writer(Author(told), story.plan)._request(story, 2)
    assert "What was told before: First of A. First of B." in request
    assert "ends: Last of A. First of B. Last." in request and "word word" not in request
    assert '"C"' in request and '"A"' not in request  # the outline is not shown, so that it is not copied


def test_where_the_window_is_full_the_oldest_is_dropped_first():
    story = Story(plan(), ["A", "B", "C"], {0: "Oldest of all sentences here. X.", 1: "Second of all. Y."})
    model = Author(told)
    whole = len(model.encode(model.chat([{"content": Writer(model, story.plan)._request(story, 2)}])))
    room = round(15 * story_writer.TOKENS_A_WORD) + 20
    model.context = whole + room - 1
    request = Writer(model, story.plan)._request(story, 2)
    assert "What was told before: Second of all.\n" in request
    model.context = 100
    with pytest.raises(UserError, match="window of 100 tokens is too small"):
        Writer(model, story.plan)._request(story, 2)


def test_a_topic_longer_than_the_window_is_one_clear_line():
    model = Author(told)
    model.context = 10
    with pytest.raises(UserError, match="its window holds 10 with the answer: give a shorter --topic"):
        Writer(model, plan()).outline()


def test_a_last_sentence_that_leaves_no_room_is_dropped_too(monkeypatch):
    tries = iter(range(20))
    monkeypatch.setattr(story_writer, "last_words", lambda *a: (next(tries), last_words(*a))[1])  # no end of it fails
    story = Story(plan(), ["A", "B"], {0: "She went on and on and on along the shore without an end."})
    model = Author(told)
    without_end = len(model.encode(Writer(model, story.plan)._request(Story(plan(), ["A", "B"]), 1)))
    model.context = without_end + 20 + round(15 * story_writer.TOKENS_A_WORD) + 20
    request = Writer(model, story.plan)._request(story, 1)
    assert '"B"' in request and "ends:" not in request
    model.context = 100
    with pytest.raises(UserError, match="window of 100 tokens is too small"):
        Writer(model, story.plan)._request(story, 1)


def test_last_words_begin_with_a_sentence():
    assert last_words("One two. Three four. Five six.", 4) == "Three four. Five six."
    assert last_words("One two three four five.", 2) == "One two three four five."
    assert last_words("", 5) == last_words("One.", 0) == ""


@pytest.mark.parametrize(
    "new, better",
    [
        ("The waves broke. Nobody passed by.", True),
        ("The waves rolled. Nobody came by.", False),  # nothing new
        ("Waves.", False),  # half is gone
        ("The waves broke. " * 4, False),
        ("the waves the waves the waves the waves", False),
    ],
)
def test_a_revision_is_taken_only_if_it_is_no_worse(new, better):
    assert is_better(new, "The waves rolled. Nobody came by.") is better


def test_the_revision_goes_through_every_section_once():
    _, story, writer = finished()
    assert list(revise(story, writer)) == [True, False, False]  # of two nothing changed
    assert story.texts[0] == PARTS["The Quiet Shore"].replace("rolled", "broke").replace("came by", "passed")
    assert list(revise(story, writer)) == []


def test_a_story_is_read_back_from_its_file(tmp_path):
    _, story, _ = finished(topic="dashes -- and --> an end")
    story.revised = 2
    (tmp_path / "s.md").write_text(story.markdown(), encoding="utf-8")
    assert read_story(tmp_path / "s.md") == story


@pytest.mark.parametrize("cut", [0.35, 0.5, 0.7, 0.95, 1.0])
def test_a_stopped_story_goes_on_to_the_same_outline_and_keeps_what_it_has(tmp_path, cut):
    text, story, _ = finished()
    kept = text[: max(int(len(text) * cut), len(story.start()))]
    (tmp_path / "s.md").write_text(kept, encoding="utf-8")
    again = read_story(tmp_path / "s.md")
    before = again.so_far()
    pieces = "".join(tell(again, Writer(Author(told), again.plan)))
    assert before + pieces == again.markdown()
    assert again.outline == story.outline and set(again.texts) == set(story.texts)


@pytest.mark.parametrize(
    "content, why",
    [
        ("# Just a file\n", "not written by this program"),
        ('<!-- story: {"topic": "x"} -->\n# x\n', "its first line is damaged"),
        ("<!-- story: {not json} -->\n# x\n", "its first line is damaged"),
        (Story(plan(), ["A"]).start() + "\n## B\n\ntext\n", "section 'B' is not in its outline"),
    ],
)
def test_a_file_that_cannot_be_gone_on_with_is_one_line(tmp_path, content, why):
    (tmp_path / "s.md").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=why):
        read_story(tmp_path / "s.md")


def test_a_chinese_topic_is_asked_about_in_chinese():
    def answer(request):
        return "1. 灯塔\n2. 来信\n" if "编号" in request else "海浪拍打着礁石。老人点亮了灯。"

    text, story, writer = finished(answer, topic="灯塔看守人", sections=2, words=12)
    assert story.outline == ["灯塔", "来信"]
    assert "海浪拍打着礁石。老人点亮了灯。" in text
    assert all("请" in request for request in writer.model.requests)


def test_every_request_is_there_in_both_languages_with_the_same_blanks():
    from string import Formatter

    for key, texts in prompts().items():
        blanks = [sorted(name for _, name, _, _ in Formatter().parse(texts[lang]) if name) for lang in ("en", "zh")]
        assert blanks[0] == blanks[1], key


def test_the_limits_of_a_small_model_are_said():
    model = Author(told)
    assert len(limits(model, "rain")) == 1
    assert len(limits(model, "下雨")) == 1  # one token a character: it knows Chinese
    model.encode = lambda text, start=True: list(text.encode())
    assert "takes 3.0 tokens for a Chinese character" in limits(model, "下雨 rain")[1]["en"]
    model.config = SimpleNamespace(hidden_size=4096)
    assert limits(model, "rain") == []


@pytest.fixture
def author(monkeypatch):
    """Makes the command use this answering function."""

    def use(answer):
        monkeypatch.setattr("shared.language_model.load_language_model", lambda *named: Author(answer))

    return use


def test_the_command_shows_and_keeps_the_story(author, tmp_path, capsys):
    author(told)
    file = tmp_path / "deep" / "story.md"
    main(["--topic", "a lighthouse keeper", "--length", "60", "--sections", "3", "--output", str(file)])
    *shown, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert "## The Storm" in shown and PARTS["The Storm"] in shown
    assert (result["sections"], result["dropped"], result["revised"], result["finished"]) == (3, 0, 1, True)
    assert read_story(file).texts[0].startswith("Waves broke")
    with pytest.raises(UserError, match="is there already: name another file, or go on with it by --resume"):
        main(["--topic", "x", "--output", str(file)])


def test_a_stop_keeps_what_was_written_and_resume_goes_on(author, tmp_path, capsys):
    def stops(request):
        if '"A Letter Arrives"' in request:
            signal.raise_signal(signal.SIGINT)
        return told(request)

    file = tmp_path / "story.md"
    author(stops)
    main(["--topic", "a lighthouse keeper", "--length", "60", "--sections", "3", "--output", str(file)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["finished"] is False and set(read_story(file).texts) == {0}
    author(told)
    main(["--resume", str(file), "--revise", "false"])
    assert read_story(file).texts == dict(enumerate(PARTS.values()))


def test_an_exception_in_the_middle_keeps_what_was_written(author, tmp_path):
    def breaks(request):
        if '"The Storm"' in request:
            raise RuntimeError("the model fell over")
        return told(request)

    author(breaks)
    file = tmp_path / "story.md"
    with pytest.raises(RuntimeError):
        main(["--topic", "a lighthouse keeper", "--length", "60", "--sections", "3", "--output", str(file)])
    assert set(read_story(file).texts) == {0, 1}


def test_a_stop_before_the_first_sentence_leaves_no_file(author, tmp_path, capsys):
    def stops(request):
        signal.raise_signal(signal.SIGINT)
        return OUTLINE

    author(stops)
    file = tmp_path / "story.md"
    main(["--topic", "x", "--output", str(file)])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["finished"] is False
    assert not file.exists()


def test_after_a_kill_before_the_first_sentence_the_same_command_begins_anew(author, tmp_path):
    author(told)
    file = tmp_path / "story.md"
    file.touch()  # all that is there while the outline is written
    main(["--topic", "a lighthouse keeper", "--length", "60", "--sections", "3", "--output", str(file)])
    assert set(read_story(file).texts) == {0, 1, 2}


def test_a_model_that_writes_nothing_of_worth_is_said(author, tmp_path):
    author(lambda request: "...")
    with pytest.raises(UserError, match="not one sentence was worth keeping"):
        main(["--topic", "x", "--output", str(tmp_path / "story.md")])
    assert not (tmp_path / "story.md").exists()


@pytest.mark.parametrize(
    "flags, why",
    [
        ([], "give either a topic or --resume"),
        (["--topic", " "], "say what it shall be about"),
        (["--topic", "x", "--resume", "y.md"], "and not both"),
        (["--topic", "x", "--length", "50"], "at least 20 words for each section"),
        (["--topic", "x", "--sections", "0"], "--sections 0: give at least 1"),
        (["--topic", "x", "--strategy", "beam_search"], "a search cannot be drawn again"),
        (["--topic", "x", "--strategy", "magic"], "--strategy magic: unknown"),
        (["--topic", "x", "--style", ""], "give some words, or leave it out"),
        (["--resume", "no-such-story.md"], "no-such-story.md: cannot read it"),
    ],
)
def test_bad_settings_are_one_line(flags, why):
    with pytest.raises(UserError, match=why) as caught:
        main(flags)
    assert "\n" not in str(caught.value)


def test_the_default_file_is_in_the_current_folder():
    assert creative_writing_assistant.WritingConfig(topic="x").file == Path("story.md")
