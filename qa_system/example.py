"""Documents to try without any of your own: a paper in two columns, and a handbook of the projects in two languages."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from shared.assets import asset_path
from shared.phrases import Language

HANDBOOK = Path(__file__).with_name("handbook")
PAPER = "vader_icwsm2014.pdf"
EXAMPLE_NAMES = (PAPER, "handbook.en.md", "handbook.zh.md")


class ExampleQuestion(NamedTuple):
    """A question, and whether the documents hold its answer."""

    text: str
    answerable: bool
    language: Language


QUESTIONS = (
    ExampleQuestion("How many raters judged each word of the lexicon?", True, "en"),
    ExampleQuestion("What was the correlation of VADER with the human raters on tweets?", True, "en"),
    ExampleQuestion("Which machine learning algorithms was VADER compared with?", True, "en"),
    ExampleQuestion("How are Chinese texts cut for BM25?", True, "en"),
    ExampleQuestion("Which port does the server listen on?", True, "en"),
    ExampleQuestion("What is the boiling point of ethanol?", False, "en"),
    ExampleQuestion("默认的编码器有多少个参数？", True, "zh"),
    ExampleQuestion("存储是什么样的文件？", True, "zh"),
    ExampleQuestion("队列满时返回什么状态码？", True, "zh"),
    ExampleQuestion("珠穆朗玛峰有多高？", False, "zh"),
)


def example_documents(names: Sequence[str] = EXAMPLE_NAMES) -> dict[str, Path]:
    """The documents by the name they are known by; the paper is fetched where it is not here yet. Raises UserError."""
    return {name: (asset_path("icwsm2014") if name == PAPER else HANDBOOK) / name for name in names}
