"""A topic in, a story out: outline, sections, revision, as Markdown that grows while it is written.

python -m gpt_text_generation.creative_writing_assistant --topic "a lighthouse keeper who collects lost letters"
python -m gpt_text_generation.creative_writing_assistant --topic "rain" --genre "prose poem" --style "calm" --length 200
python -m gpt_text_generation.creative_writing_assistant --resume story.md      # goes on where a stopped run ended
python -m gpt_text_generation.creative_writing_assistant --topic 灯塔看守人 --model Qwen/Qwen2.5-0.5B-Instruct

What the model is told and what becomes of its answers is in story_writer.py; the file, which holds all that is needed
to go on with it, in story.py.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpt_text_generation.decoding import settings_for
from gpt_text_generation.sentences import count_words, is_chinese
from gpt_text_generation.story import Plan, Story, read_story
from gpt_text_generation.story_writer import Writer, limits, prompts, revise, tell
from gpt_text_generation.text_generator import SEARCHES
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.files import write_text
from shared.interrupt import StopRequest
from shared.logging import get_logger, print_result, setup_logging
from shared.timing import Timer

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class WritingConfig:
    """Write a story on a topic: outline, sections, revision, as Markdown."""

    topic: str | None = None
    """What it is about, in English or Chinese."""
    genre: str | None = None
    """What kind of text; by default a short story."""
    style: str | None = None
    """How it shall sound; by default vivid and concrete."""
    length: int = 500
    """Words in all, or Chinese characters."""
    sections: int = 4
    """Parts of the outline."""
    revise: bool = True
    """Let the model go through every section once more."""
    model: str = "smollm2"
    """Language model with a chat template: short name, hub name or path."""
    backend: Literal["auto", "transformers", "onnx"] = "auto"
    """What runs the model; auto takes what is faster on this machine."""
    strategy: str = "dry"
    """How tokens are chosen: any strategy of text_generator but the two searches; dry repeats the least."""
    output: str = "story.md"
    """Markdown file, written as the text grows."""
    resume: str | None = None
    """File of a stopped run to go on with, in place of --topic and what belongs to it."""
    seed: int = 0
    """Seed of the draws."""

    def __post_init__(self) -> None:
        asked = bool(self.topic and self.topic.strip())
        check(self.topic is None or asked, "topic", repr(self.topic), "say what it shall be about")
        check(asked != bool(self.resume), "topic", self.topic, "give either a topic or --resume, and not both")
        for name in ("genre", "style"):
            value = getattr(self, name)
            check(value is None or bool(value.strip()), name, repr(value), "give some words, or leave it out")
        check(self.sections >= 1, "sections", self.sections, "give at least 1")
        check(self.length >= 20 * self.sections, "length", self.length, "give at least 20 words for each section")
        check(self.strategy not in SEARCHES, "strategy", self.strategy, "a search cannot be drawn again: choose dry")
        settings_for(self.strategy)

    @property
    def file(self) -> Path:
        return Path(self.resume or self.output)


def plan_from(config: WritingConfig) -> Plan:
    language = "zh" if is_chinese(config.topic or "") else "en"
    genre, style = (getattr(config, name) or prompts()[name][language] for name in ("genre", "style"))
    return Plan((config.topic or "").strip(), genre, style, round(config.length / config.sections), config.sections)


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(WritingConfig, argv, prog="python -m gpt_text_generation.creative_writing_assistant")
    setup_logging()
    story = read_story(config.resume) if config.resume else Story(plan_from(config))
    # An empty one is what a run leaves that was killed while it wrote the outline.
    if config.resume is None and config.file.exists() and (not config.file.is_file() or config.file.stat().st_size):
        raise UserError(f"--output {config.output}: is there already: name another file, or go on with it by --resume")
    from shared.language_model import load_language_model

    model = load_language_model(config.model, config.backend)
    for line in limits(model, story.plan.topic):
        log.info(line["en"])
    with StopRequest() as stop, Timer() as timer:
        writer = Writer(model, story.plan, config.strategy, config.seed, lambda: stop.requested)
        if config.resume:
            write_text(config.file, story.so_far())
        revised = write_file(story, writer, config.file, config.revise)
    print_result(
        {
            "output": str(config.file),
            "finished": not stop.requested,
            "words": count_words(story.text),
            "sections": len(story.texts),
            "dropped": len(story.outline) - len(story.texts),
            "revised": revised,
            "refused": writer.refused,
            "model": config.model,
            "backend": model.backend,
            "seconds": timer.seconds,
        }
    )


def write_file(story: Story, writer: Writer, file: Path, with_revision: bool) -> int:
    """Show the story and write it to its file as it grows; how many sections were revised.

    Raises UserError where not one sentence could be kept.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(file, "a", encoding="utf-8") as growing:
            for piece in tell(story, writer):
                growing.write(piece)
                growing.flush()
                sys.stdout.write(piece)
                sys.stdout.flush()
    finally:
        if not story.texts:  # nothing to go on with
            file.unlink()
    sys.stdout.write("\n")
    if not story.texts and not writer.cancelled():
        raise UserError("not one sentence was worth keeping: give another topic, seed or model")
    taken = 0
    if story.texts:
        write_text(file, story.markdown())
    if with_revision and not writer.cancelled():
        for better in revise(story, writer):
            taken += better
            write_text(file, story.markdown())
    return taken


if __name__ == "__main__":
    run_program(main)
