"""A stand-in for the frozen encoder, and small sets in easy-VQA's and VQAv2's layouts."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from multimodal_llm.visual_question_answering.data_loader import COLORS, EASY_VQA_ANSWERS, SHAPES
from multimodal_llm.visual_question_answering.drawings import draw_shape
from multimodal_llm.visual_question_answering.vqa_model import WORD_WIDTH, VqaModel, VqaModelConfig, Words


class FakeReader:
    """Each word a fixed random vector, after a first one that stands for the whole."""

    def read(self, texts, batch=128):
        rows = [["[CLS]", *text.lower().split()] for text in texts]
        longest = max(map(len, rows))
        vectors, mask = torch.zeros(len(rows), longest, WORD_WIDTH), torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, row in enumerate(rows):
            mask[i, : len(row)] = True
            for j, word in enumerate(row):
                seed = int(hashlib.sha256(word.encode()).hexdigest()[:8], 16)
                vectors[i, j] = torch.randn(WORD_WIDTH, generator=torch.Generator().manual_seed(seed))
        return Words(vectors.half(), mask)


def tiny_model(seed=0, **changes):
    torch.manual_seed(seed)
    return VqaModel(VqaModelConfig(answers=EASY_VQA_ANSWERS, width=16, heads=2, image_layers=1, **changes)).eval()


def write_easy_vqa(folder: Path, n_train=40, n_test=8) -> Path:
    random = np.random.default_rng(0)
    for part, n in (("train", n_train), ("test", n_test)):
        (folder / part / "images").mkdir(parents=True)
        rows = []
        for i in range(n):
            shape, color = SHAPES[i % 3], COLORS[i % 8]
            draw_shape(shape, color, random).save(folder / part / "images" / f"{i}.png")
            rows += [
                ["what shape is present?", shape, i],
                ["what color is the shape?", color, i],
                [f"is there a {SHAPES[(i + i % 2) % 3]}?", "no" if i % 2 else "yes", i],
            ]
        (folder / part / "questions.json").write_text(json.dumps(rows))
    return folder
