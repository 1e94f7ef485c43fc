"""A text in sections as one Markdown file, which holds all that is needed to go on with it.

    <!-- story: {"topic": ..., "outline": [...], ...} -->
    # The topic
    ## First heading
    Text ...

The comment is invisible where Markdown is shown. Sections stand in the order of the outline; one that the model could
not write is left out.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shared.datasets import read_text
from shared.errors import UserError
from shared.files import parse_json

_COMMENT = re.compile(r"\A<!-- story: (\{.*\}) -->\n")


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    topic: str
    genre: str
    style: str
    words: int
    """Of each section."""
    sections: int


@dataclass
class Story:
    """A plan, its outline, and as much of the text as there is."""

    plan: Plan
    outline: list[str] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    """Text by place in the outline."""
    revised: int = 0
    """So many were gone through again."""

    @property
    def text(self) -> str:
        """All sections, without headings."""
        return "\n\n".join(self.texts[place] for place in sorted(self.texts))

    def start(self) -> str:
        """The file before its first section."""
        about = {**asdict(self.plan), "outline": self.outline, "revised": self.revised}
        # "--" could end the comment.
        comment = json.dumps(about, ensure_ascii=False).replace("--", "-\\u002d")
        return f"<!-- story: {comment} -->\n# {_one_line(self.plan.topic)}\n"

    def heading(self, place: int) -> str:
        return f"\n## {_one_line(self.outline[place])}\n\n"

    def markdown(self) -> str:
        parts = (f"{self.heading(place)}{self.texts[place]}\n" for place in sorted(self.texts))
        return self.start() + "".join(parts)

    def so_far(self) -> str:
        """The same, with the last section open for more."""
        if not self.outline:
            return ""
        return self.markdown().removesuffix("\n") if self.texts else self.start()


def read_story(file: str | Path) -> Story:
    """The story of a file that this program wrote. Raises UserError for another file, or one that was damaged."""
    content = read_text(Path(file))
    comment = _COMMENT.match(content)
    if comment is None:
        raise UserError(f"{file}: not written by this program (its first line is missing): start anew without --resume")
    try:
        about = parse_json(comment[1])
        outline, revised = list(about.pop("outline")), int(about.pop("revised"))
        story = Story(Plan(**about), outline, {}, revised)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file}: its first line is damaged ({error}): start anew without --resume") from error
    places = {_one_line(heading): place for place, heading in enumerate(story.outline)}
    for part in re.split(r"^## ", content[comment.end() :], flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        if heading not in places:
            raise UserError(f"{file}: its section {heading!r} is not in its outline: undo the change of the heading")
        if text.strip():
            story.texts[places[heading]] = text.strip()
    return story


def _one_line(text: str) -> str:
    return " ".join(text.split())
