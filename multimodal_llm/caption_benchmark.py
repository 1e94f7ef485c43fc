"""How good are the captions, on photos that nothing was trained on?"""

from dataclasses import dataclass

from shared.benchmark import BenchmarkConfig, Outcome


@dataclass(frozen=True, kw_only=True)
class CaptionsConfig(BenchmarkConfig):
    """Captions of the development photos against five people's: CIDEr-D, BLEU and ROUGE-L, with floors and ceilings."""

    data: str
    """Folder in Flickr8k layout: images/ and captions.jsonl."""


def captions(config: CaptionsConfig) -> Outcome:
    raise NotImplementedError
