"""LayoutLM and LayoutLMv3 for question answering, by hub name or folder, fed with our own words and boxes.

LayoutLM (Xu et al. 2020, arXiv 1912.13318) is a BERT whose tokens also know where on the page they stand; LayoutLMv3
(Huang et al. 2022, arXiv 2204.08387) sees the page's picture as well. Both point at the first and the last token of the
answer. Their usual pipeline calls tesseract for the words; here they come from our reading, so nothing else is needed.

    [CLS] question [SEP] words of the page [SEP]      each word's token with its box, scaled to 0..1000
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multimodal_llm.document_understanding.document import Page, Word
from multimodal_llm.document_understanding.document_qa import Answer, abstain, check_question, no_text
from multimodal_llm.document_understanding.rows import join
from shared.devices import choose_device
from shared.errors import UserError, reason_of
from shared.hub import resolve_model
from shared.reading_order import Rectangle, around
from shared.runs import read_json

GRID = 1000  # the models' coordinates
LONGEST_ANSWER = 30  # words
OVERLAP = 128  # tokens that two windows over a long page share
TYPES = {"layoutlm": "LayoutLMForQuestionAnswering", "layoutlmv3": "LayoutLMv3ForQuestionAnswering"}


class Span(NamedTuple):
    """A run of words, by its first and last number, and its probability."""

    first: int
    last: int
    probability: float


class LayoutModel:
    """A checkpoint that points at the answer.

    >>> model = LayoutModel.load("impira/layoutlm-document-qa")  # doctest: +SKIP
    >>> model.answer("What is the total?", pages)  # doctest: +SKIP
    """

    def __init__(self, model: Any, tokenizer: Any, pictures: Any = None) -> None:
        self.model, self.tokenizer, self.pictures = model.eval(), tokenizer, pictures
        self.is_v3 = model.config.model_type == "layoutlmv3"

    @classmethod
    def load(cls, name: str, device: str = "auto") -> "LayoutModel":
        """From a folder or the hub. Raises UserError for what is no such model, and for LayoutLMv2."""
        import transformers

        folder = resolve_model(name, suggestion="rules")
        kind = model_type(name, folder)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, add_prefix_space=True)
            model = getattr(transformers, TYPES[kind]).from_pretrained(folder, local_files_only=True)
        except Exception as error:  # whatever a damaged file makes transformers raise
            reason = reason_of(error)
            raise UserError(f"{name}: no {TYPES[kind]} can be loaded from it ({reason}): use rules") from error
        pictures = None
        if kind == "layoutlmv3":
            # The class without torchvision; it would call tesseract if it were let.
            from transformers.models.layoutlmv3.image_processing_pil_layoutlmv3 import LayoutLMv3ImageProcessorPil

            side = model.config.input_size
            pictures = LayoutLMv3ImageProcessorPil(apply_ocr=False, size={"height": side, "width": side})
        return cls(model.to(choose_device(device).value), tokenizer, pictures)

    def answer(self, question: str, pages: Sequence[Page], pictures: Sequence[Any] = ()) -> Answer:
        """The likeliest answer on all pages, or none where "no answer" is likelier on each of them.

        `pictures`, PIL images of the upright pages, are what LayoutLMv3 sees beside the words; without them it sees
        none. Raises UserError as `document_qa.answer` does.
        """
        question = check_question(question, pages)
        best, refused = None, None
        for number, page in enumerate(pages):
            words = [word for line in page.lines for word in line.words if word.text.strip()]
            if not words:
                continue
            picture = pictures[number] if number < len(pictures) else None
            span, nothing = self._point(question, words, page, picture)
            if span is None:
                continue
            if nothing > span.probability:
                refused = max(refused or (0.0, 0.0), (span.probability, nothing))
            elif best is None or span.probability > best[0].probability:
                best = span, page, words
        if best is None and refused is not None:
            likeliest_one, nothing = refused
            return abstain(f"the model holds 'no answer' ({nothing:.2f}) likelier than any ({likeliest_one:.2f})")
        if best is None:
            return abstain(no_text(pages) if not any(page.lines for page in pages) else "the model points at nothing")
        span, page, words = best
        chosen = words[span.first : span.last + 1]
        box = around(word.box for word in chosen)
        return Answer(
            join(word.text for word in chosen), page.number, box, span.probability, "where the model points at"
        )

    @torch.inference_mode()
    def _point(
        self, question: str, words: Sequence[Word], page: Page, picture: Any = None
    ) -> tuple[Span | None, float]:
        """The likeliest run of words over all windows of the page, and the least probability of no answer."""
        boxes = [scaled(word.box, page.width, page.height) for word in words]
        windows = self._windows(question, [word.text for word in words], boxes)
        best, none = None, 1.0
        for number in range(len(windows["input_ids"])):
            inputs = {name: torch.tensor([windows[name][number]]) for name in self._names(windows)}
            if self.is_v3 and picture is not None:
                inputs["pixel_values"] = self.pictures(images=picture, return_tensors="pt")["pixel_values"]
            output = self.model(**{name: value.to(self.model.device) for name, value in inputs.items()})
            length = inputs["input_ids"].shape[1]  # LayoutLMv3 puts the picture's patches behind the tokens
            start, end = (logits[0, :length].float() for logits in (output.start_logits, output.end_logits))
            belongs = windows.sequence_ids(number), windows.word_ids(number)
            of_word = [word if sequence == 1 else None for sequence, word in zip(*belongs, strict=True)]
            span, nothing = likeliest(start, end, of_word)
            none = min(none, nothing)
            if span is not None and (best is None or span.probability > best.probability):
                best = span
        return best, none

    def _windows(self, question: str, words: Sequence[str], boxes: Sequence[list[int]]) -> Any:
        """The question with as many words as fit, as often as it takes: `input_ids`, `bbox` and so on."""
        room = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings - 2, 512)
        asked = question if self.is_v3 else question.split()
        extra = {"boxes": list(boxes)} if self.is_v3 else {"is_split_into_words": True}
        short = len(self.tokenizer.tokenize(question))
        if short > room // 2:
            raise UserError(f"the question has {short} tokens, more than half of what the model reads: ask one thing")
        windows = self.tokenizer(
            asked,
            list(words),
            truncation="only_second",
            max_length=room,
            stride=min(OVERLAP, (room - short) // 3),
            return_overflowing_tokens=True,
            **extra,
        )
        if not self.is_v3:
            windows["bbox"] = [
                [
                    boxes[word] if sequence == 1 else [GRID] * 4 if token == self.tokenizer.sep_token_id else [0] * 4
                    for token, sequence, word in zip(
                        windows["input_ids"][n], windows.sequence_ids(n), windows.word_ids(n), strict=True
                    )
                ]
                for n in range(len(windows["input_ids"]))
            ]
        return windows

    def _names(self, windows: Any) -> list[str]:
        names = ("input_ids", "attention_mask", "bbox") + (() if self.is_v3 else ("token_type_ids",))
        return [name for name in names if name in windows]


def scaled(box: Rectangle, width: float, height: float) -> list[int]:
    """A box in whole thousandths of the page's width and height, as the models were taught."""
    sides = ((box[0], width), (box[1], height), (box[2], width), (box[3], height))
    return [min(max(round(GRID * place / side), 0), GRID) for place, side in sides]


def likeliest(start: Tensor, end: Tensor, of_word: Sequence[int | None]) -> tuple[Span | None, float]:
    """The run of words with the largest product of probabilities, start (L,) times end (L,), and that of none.

    `of_word` gives each token's word, None for the question's and the marks. "No answer" is the first token, [CLS].
    """
    starts, ends = start.softmax(0).tolist(), end.softmax(0).tolist()
    best = None
    for first, word in enumerate(of_word):
        if word is None:
            continue
        for last in range(first, len(of_word)):
            until = of_word[last]
            if until is None or until - word >= LONGEST_ANSWER:
                break
            probability = starts[first] * ends[last]
            if best is None or probability > best.probability:
                best = Span(word, until, probability)
    return best, starts[0] * ends[0]


def model_type(name: str, folder: Path) -> str:
    """ "layoutlm" or "layoutlmv3". Raises UserError for any other model, with the remedy."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{name}: no config.json in it, so no model: give a LayoutLM's folder or hub name, or rules")
    config = read_json(folder / "config.json")
    kind, classes = config.get("model_type"), config.get("architectures") or ["none named"]
    if kind == "layoutlmv2":
        raise UserError(
            f"{name}: LayoutLMv2 needs detectron2, which this project leaves out: use a LayoutLM or LayoutLMv3"
        )
    if kind not in TYPES or classes[0] != TYPES[kind]:
        raise UserError(
            f"{name}: its model is {classes[0]}, not one of {', '.join(TYPES.values())}: use rules, or such one"
        )
    return kind
