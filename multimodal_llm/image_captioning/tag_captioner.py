"""A caption without any training: the classifier's tags, and a language model that makes a sentence of them.

ImageNet's 1000 classes are dogs, tools and vehicles, hardly any scene and no people. ConSE (Norouzi et al. 2014, arXiv
1312.5650) reaches other words: the mean of the class names' sentence vectors, weighed by the ten highest probabilities,
is a place in the space of meanings, and the everyday words nearest to it become tags too. smollm2 then continues a few
examples. It sees no pixel: what the tags lack it leaves out or makes up, which `faithfulness` measures.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from multimodal_llm.image_captioning.captioner import Caption
from multimodal_llm.image_encoder import CLASSIFIER_SIDE, ImageEncoder, class_names
from shared.language_model import LanguageModel, load_language_model
from shared.text_encoder import TextEncoder, load_text_encoder

TOP_CLASSES, TOP_WORDS = 3, 3
CONSE_CLASSES = 10

EVERYDAY = """
    man woman boy girl child baby people crowd family couple dog puppy cat horse cow bird fish insect flower
    tree grass forest mountain hill rock beach sea ocean wave lake river water snow ice sky sunset desert street
    road city building house bridge church temple park garden field farm playground stadium court pool kitchen
    bedroom office shop market restaurant table chair bed window door car truck bus train boat ship airplane
    bicycle motorcycle skateboard surfboard ski ball football basketball baseball tennis game race toy food
    fruit cake coffee drink book computer phone camera guitar music hat shirt dress shoes
""".split()

EXAMPLES = (
    ("golden retriever, tennis ball, dog, grass", "a golden dog runs over the grass after a ball"),
    ("espresso, cup, coffee, table", "a cup of coffee stands on a table"),
    ("swimming cap, bathing suit, child, pool", "a child swims in a pool"),
    ("streetcar, traffic light, street, city", "a tram drives through a street in the city"),
    ("shoe shop, jeans, people, market", "people walk between the stalls of a market"),
)


class TagCaptioner:
    """Tags by EfficientNet-Lite2 and MiniLM, sentences by smollm2: all free to use."""

    def __init__(self, encoder: ImageEncoder, meanings: TextEncoder, writer: LanguageModel) -> None:
        self.encoder, self.meanings, self.writer = encoder, meanings, writer
        self.classes = [name.split(" / ")[0].split(" (")[0] for name in class_names()]
        self.class_vectors = meanings.encode(self.classes)  # (1000, 384)
        self.word_vectors = meanings.encode(EVERYDAY)

    @classmethod
    def load(cls, device: str = "auto") -> "TagCaptioner":
        """All three models by their short names. Raises UserError where one cannot be fetched."""
        return cls(
            ImageEncoder.load(device), load_text_encoder("minilm"), load_language_model("smollm2", "transformers")
        )

    def tags(self, images: Sequence[Image.Image]) -> tuple[list[list[str]], list[float]]:
        """The classes and everyday words of each RGB picture, the surest first, and the highest probability."""
        probabilities = self.encoder.encode(images, CLASSIFIER_SIDE).probabilities
        return self.tags_of(probabilities), probabilities.amax(1).tolist()

    def tags_of(self, probabilities: torch.Tensor) -> list[list[str]]:
        """The same from class probabilities (N, 1000)."""
        tags = []
        for values, classes in zip(*(part.cpu().numpy() for part in probabilities.topk(CONSE_CLASSES)), strict=True):
            meaning = values @ self.class_vectors[classes]  # (384,)
            nearest = np.argsort(-(self.word_vectors @ meaning))[:TOP_WORDS]
            found = [self.classes[index] for index in classes[:TOP_CLASSES]] + [EVERYDAY[index] for index in nearest]
            tags.append(list(dict.fromkeys(found)))
        return tags

    def caption(self, images: Sequence[Image.Image], prefix: str = "") -> list[Caption]:
        """As every captioner's; the confidence is the probability of the surest class."""
        tags, surest = self.tags(images)
        return [Caption(text, sure) for text, sure in zip(self.write(tags, prefix), surest, strict=True)]

    def write(self, tags: Sequence[Sequence[str]], prefix: str = "") -> list[str]:
        """A sentence for each list of tags."""
        shown = "".join(f"Tags: {names}\nCaption: {sentence}\n\n" for names, sentence in EXAMPLES)
        start = f" {prefix}".rstrip()
        prompts = [f"{shown}Tags: {', '.join(names)}\nCaption:{start}" for names in tags]
        said = self.writer.generate_batch(prompts, max_new_tokens=24, stop=("\n",))
        return [f"{prefix} {text.strip()}".strip().rstrip(".").lower() for text in said]
