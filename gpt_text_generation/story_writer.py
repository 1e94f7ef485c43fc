"""Writes a story section by section: what the model is told, and what of its answers is kept.

What the model sees of a section is the request, the section's heading (not the whole outline, which a small model would
copy), the first sentence of every earlier section, and the end of the text so far as it stands. Where this is too much
for the window, the oldest first sentences are dropped first. Each sentence passes a guard (sentences.py) before it is
shown and written; a section of which nothing is left is dropped. The revision asks for every section once more, and
takes the new text only if it is about as long and repeats no more.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from gpt_text_generation.decoding import settings_for
from gpt_text_generation.evaluation.diversity_metrics import repetition, words
from gpt_text_generation.sentences import Guard, count_words, is_chinese, joined, sentences
from gpt_text_generation.story import Plan, Story
from gpt_text_generation.text_generator import write
from shared.errors import UserError
from shared.files import read_yaml
from shared.phrases import both

PROMPTS = Path(__file__).with_name("writing_prompts.yaml")
TRIES = 3  # to get a section to a third of its length
LEAST_SHARE = 1 / 3
END_WORDS = 120  # of the text so far that the model sees as they stand
TOKENS_A_WORD = 1.6
LONGEST_HEADING = 12  # words
SMALL = 1024  # width of a network below which it can keep no plot
BYTES_ONLY = 1.5  # tokens a Chinese character, above which a tokenizer has learned hardly any


class Writer:
    """A LanguageModel with the requests for one story. What it writes comes sentence by sentence."""

    def __init__(
        self,
        model: Any,
        plan: Plan,
        strategy: str = "dry",
        seed: int = 0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.model, self.plan, self.cancelled = model, plan, cancelled
        self.language = "zh" if is_chinese(plan.topic) else "en"
        self.settings = settings_for(strategy)
        self.refused: dict[str, int] = {}
        self._seed, self._session = seed, model.session()

    def outline(self) -> list[str]:
        """Headings, each once, as many as the plan has; where the model gives fewer, numbered ones for the rest."""
        request = self._say("outline", sections=self.plan.sections)
        text = "".join(self._stream(request, self._length(LONGEST_HEADING * self.plan.sections)))
        headings = read_outline(text)[: self.plan.sections]
        return headings + [
            self._say("part", number=number) for number in range(len(headings) + 1, self.plan.sections + 1)
        ]

    def section(self, story: Story, place: int) -> Iterator[str]:
        """The pieces that are added to the section's text; `story` has each before it is handed out."""
        for _ in range(TRIES):
            guard = Guard(story.outline, story.text)
            words_left = self.plan.words - count_words(story.texts.get(place, ""))
            stream = self._stream(self._request(story, place), self._length(self.plan.words))
            for sentence in sentences(stream):
                if guard.keeps(sentence.text):
                    piece = joined(story.texts.get(place, ""), sentence)
                    story.texts[place] = story.texts.get(place, "") + piece
                    words_left -= count_words(sentence.text)
                    yield piece
                if guard.goes_in_circles or words_left <= 0:
                    break
            for why, n in guard.refused.items():
                self.refused[why] = self.refused.get(why, 0) + n
            if self.cancelled() or count_words(story.texts.get(place, "")) >= LEAST_SHARE * self.plan.words:
                return

    def revised(self, story: Story, place: int) -> str | None:
        """The section in new words; None where they are no better, or the writing was cancelled."""
        old = story.texts[place]
        request = self._say("revision", text=old)
        if self._tokens(request) + self._room(old) > self.model.context:
            return None
        guard, new = Guard(story.outline), ""
        for sentence in sentences(self._stream(request, self._room(old))):
            if guard.keeps(sentence.text):
                new += joined(new, sentence)
            if guard.goes_in_circles:
                break
        return new if not self.cancelled() and is_better(new, old) else None

    def _length(self, n_words: int) -> int:
        """Tokens enough for so many words."""
        return round(n_words * TOKENS_A_WORD) + 20

    def _room(self, text: str) -> int:
        return round(1.5 * len(self.model.encode(text, start=False)))

    def _request(self, story: Story, place: int) -> str:
        """The prompt of a section, with as much of what was before as the window holds."""
        room = self.model.context - self._length(self.plan.words)
        firsts = [first_sentence(story.texts[earlier]) for earlier in sorted(story.texts) if earlier < place]
        end = last_words(story.text, END_WORDS)
        while True:
            how = {
                "heading": story.outline[place],
                "words": self.plan.words,
                "before": self._say("before", text=" ".join(firsts)) if firsts else "",
                "end": self._say("end", text=end) if end else "",
            }
            request = self._say("section", **how)
            if self._tokens(request) <= room:
                return request
            if firsts:
                firsts = firsts[1:]
            elif end:
                shorter = last_words(end, count_words(end) // 2)
                end = shorter if shorter != end else ""  # one sentence cannot become shorter
            else:
                raise UserError(
                    f"{self.model.name}: its window of {self.model.context} tokens is too small for a section of "
                    f"{self.plan.words} words: give a smaller --length, or more --sections"
                )

    def _stream(self, request: str, max_new_tokens: int) -> Any:
        self._seed += 1  # another try draws anew
        ids = self.model.encode(self._chat(request))
        if len(ids) >= self.model.context:
            raise UserError(
                f"{self.model.name}: a request of {len(ids)} tokens, and its window holds {self.model.context} with "
                "the answer: give a shorter --topic"
            )
        how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "seed": self._seed, "cancelled": self.cancelled}
        return write(self.model, ids, self.settings, **how, session=self._session)

    def _say(self, key: str, **values: Any) -> str:
        about = {"topic": self.plan.topic, "genre": self.plan.genre, "style": self.plan.style}
        return prompts()[key][self.language].format(**about, **values)

    def _chat(self, request: str) -> str:
        return self.model.chat([{"role": "user", "content": request}])

    def _tokens(self, request: str) -> int:
        return len(self.model.encode(self._chat(request)))


@cache
def prompts() -> dict[str, dict[str, str]]:
    return read_yaml(PROMPTS)


def read_outline(text: str) -> list[str]:
    """The headings in a model's list: numbered or dotted lines, without their numbers and what explains them."""
    headings: dict[str, str] = {}
    for line in text.splitlines():
        found = re.match(r"\s*(?:\d+\s*[.)、．:：]|[-*•])\s*(.+)", line)
        if not found:
            continue
        heading = re.sub(r"^(?:chapter|section|part)\s*\d+\s*[:.]?\s*", "", found[1].strip(" *#_"), flags=re.IGNORECASE)
        heading = re.split(r":\s|：| [-–—] ", heading)[0].strip(" \"'“”‘’.。*_《》")
        if 0 < count_words(heading) <= LONGEST_HEADING:
            headings.setdefault(heading.lower(), heading)
    return list(headings.values())


def first_sentence(text: str) -> str:
    return next((sentence.text for sentence in sentences([text + "\n"])), "")


def last_words(text: str, n: int) -> str:
    """The end of a text from a sentence on, of about `n` words."""
    kept: list[str] = []
    for sentence in reversed(list(sentences([text + "\n"]))):
        if kept and count_words(" ".join(kept)) + count_words(sentence.text) > n:
            break
        kept.insert(0, sentence.text)
    return " ".join(kept) if n else ""


def is_better(new: str, old: str) -> bool:
    """Whether a revision may take the old text's place: other words, of similar length, with no more repetition.

    Whether it reads better no rule can tell; that it is no worse in what can be counted is all that is asked.
    """
    length = count_words(new) / max(count_words(old), 1)
    return 0.6 <= length <= 1.5 and words(new) != words(old) and repetition(words(new)) <= repetition(words(old))


def tell(story: Story, writer: Writer) -> Iterator[str]:
    """Write what the story still lacks, in pieces: `story.so_far()` before and these make `story.markdown()` after.

    A section of which not one sentence is worth keeping leaves no heading. A story that goes on takes up its last
    section where that is too short.
    """
    if not story.outline:
        outline = writer.outline()
        if writer.cancelled():
            return
        story.outline = outline
        yield story.start()
    for place in range(max(story.texts, default=0), len(story.outline)):
        begun = place in story.texts
        if not begun or count_words(story.texts[place]) < LEAST_SHARE * story.plan.words:
            for piece in writer.section(story, place):
                yield piece if begun else story.heading(place) + piece
                begun = True
        if place in story.texts and not writer.cancelled():
            yield "\n"
        if writer.cancelled():
            return


def revise(story: Story, writer: Writer) -> Iterator[bool]:
    """Go through the sections that were not revised yet; after each, whether the new text was taken."""
    places = sorted(story.texts)
    for place in places[story.revised :]:
        new = writer.revised(story, place)
        if writer.cancelled():
            return
        story.revised += 1
        if new is not None:
            story.texts[place] = new
        yield new is not None


def limits(model: Any, topic: str) -> list[dict[str, str]]:
    """What this model is known not to be able to do: lines, each in both languages."""
    said = []
    if getattr(model.config, "hidden_size", SMALL) < SMALL:
        said.append(both("generation.limit.small", name=model.name))
    if is_chinese(topic):
        characters = [character for character in topic if is_chinese(character)]
        share = len(model.encode("".join(characters), start=False)) / len(characters)
        if share > BYTES_ONLY:
            said.append(both("generation.limit.chinese", name=model.name, share=f"{share:.1f}"))
    return said
