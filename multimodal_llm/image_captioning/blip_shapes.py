"""A tiny BLIP trained from scratch in minutes, to see the architecture learn: "a red circle" from easy-VQA's pictures.

python -m multimodal_llm.image_captioning.blip_shapes --output runs/multimodal_llm/blip-shapes
python -m multimodal_llm.caption --captioner runs/multimodal_llm/blip-shapes picture.png

It is transformers' own BlipForConditionalGeneration, of 0.3 million weights instead of 224 million, and is saved as any
checkpoint of the hub is. It knows 12 words, and says one of them about a photo of your dog.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.logging import get_logger, print_result, progress_bar, setup_logging

log = get_logger(__name__)

TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a")
SIDE, PATCH = 64, 8


@dataclass(frozen=True, kw_only=True)
class ShapesConfig:
    """Train a tiny BLIP on easy-VQA's pictures, and count how many new ones it names right."""

    output: str = "runs/multimodal_llm/blip-shapes"
    """Folder for the checkpoint."""
    n_pictures: int | None = None
    """Pictures to learn from and to test on; by default all."""
    epochs: int = 24
    """Passes over the pictures."""
    batch_size: int = 32
    """Pictures in a step."""
    learning_rate: float = 1e-3
    """Highest learning rate."""
    seed: int = 0
    """Seed of everything random."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        check(self.epochs >= 1, "epochs", self.epochs, "give at least 1")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "give at least 1")


def train(config: ShapesConfig) -> dict[str, Any]:
    """Train, save, and give the share of the test pictures whose whole caption is right.

    Raises UserError where the output folder cannot be used.
    """
    import torch

    from multimodal_llm.image_captioning.blip_model import BlipCaptioner, BlipDecoding
    from multimodal_llm.images import load_image
    from shared.devices import choose_device, keep_freed_memory, seed_everything
    from shared.timing import Timer

    output = Path(config.output)
    if output.exists() and any(output.iterdir()):
        raise UserError(f"--output {output}: holds something already: name another folder")
    device = choose_device(config.device).value
    keep_freed_memory()
    pictures, captions = _captioned("train", config.n_pictures)
    seed_everything(config.seed)
    model, tokenizer, processor = tiny_blip(sorted({word for text in captions for word in text.split()} - {"a"}))
    model.to(device)
    inputs = tokenizer(captions, padding=True, return_tensors="pt")
    ids = inputs["input_ids"].to(device)  # (N, L)
    ids[:, 0] = model.config.text_config.bos_token_id
    labels = ids.masked_fill(inputs["attention_mask"].to(device) == 0, -100)
    pixels = processor(images=[load_image(picture) for picture in pictures], return_tensors="pt")["pixel_values"]

    steps = config.epochs * -(-len(pixels) // config.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps, pct_start=0.1)
    done = 0
    with Timer() as timer, progress_bar("tiny BLIP", steps) as update:
        for epoch in range(config.epochs):
            losses = []
            for rows in torch.randperm(len(pixels)).split(config.batch_size):
                # Mirrored at random, either way: a shape stays what it is.
                seen = pixels[rows].flip([axis for axis in (2, 3) if torch.rand(()) < 0.5])
                loss = model(seen.to(device), input_ids=ids[rows], labels=labels[rows]).loss
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
                done += 1
                update(done)
            log.info("epoch %d: loss %.3f", epoch + 1, sum(losses) / len(losses))
    for part in (model, tokenizer, processor):
        part.save_pretrained(output)

    captioner = BlipCaptioner.load(str(output), device, BlipDecoding(beams=1, max_new_tokens=6))
    test_pictures, expected = _captioned("test", config.n_pictures)
    said = captioner.caption([load_image(picture) for picture in test_pictures], batch=64)
    right = sum(one.text == text for one, text in zip(said, expected, strict=True))
    commonest = max(set(captions), key=captions.count)
    return {
        "accuracy": right / len(expected),
        "constant_caption": sum(text == commonest for text in expected) / len(expected),
        "n": len(expected),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "train_seconds": timer.seconds,
        "output": str(output),
    }


def tiny_blip(words: Sequence[str]) -> tuple[Any, Any, Any]:
    """An untrained BLIP that can say these words: model, tokenizer and image processor."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    vocabulary = {word: number for number, word in enumerate((*TOKENS, *words))}
    tokenizer = BertTokenizer(vocab=vocabulary, bos_token="[DEC]")  # noqa: S106 - a token of text
    text = {
        "vocab_size": len(vocabulary),
        "hidden_size": 64,
        "encoder_hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 16,
        "bos_token_id": vocabulary["[DEC]"],
        "sep_token_id": vocabulary["[SEP]"],
        "eos_token_id": vocabulary["[SEP]"],
        "pad_token_id": vocabulary["[PAD]"],
    }
    vision = {
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": PATCH,
        "initializer_range": 0.02,  # by default 1e-10: fine for weights that are loaded, no start for new ones
    }
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))
    return model, tokenizer, BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})


def _captioned(split: Literal["train", "test"], n: int | None) -> tuple[list[Any], list[str]]:
    """easy-VQA's pictures with what their questions tell about them, as a caption."""
    from multimodal_llm.visual_question_answering.data_loader import EASY_VQA, load_vqa, picture_facts

    part = load_vqa(EASY_VQA, split)
    known = [(picture, facts) for picture, facts in zip(part.pictures, picture_facts(part), strict=True) if facts]
    pictures = [picture for picture, _ in known[:n]]
    return pictures, [f"a {facts.color} {facts.shape}" for _, facts in known[:n]]


def main() -> None:
    config = parse_config(ShapesConfig, prog="python -m multimodal_llm.image_captioning.blip_shapes")
    setup_logging()
    print_result(train(config))


if __name__ == "__main__":
    run_program(main)
