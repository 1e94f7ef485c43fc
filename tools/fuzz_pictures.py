"""Parsers of pictures, of what is said about them, and of what is made of them: multimodal_llm."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from tools.borrowed import of_tests
from tools.fuzz_case import Parser


def _build_picture(kind: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        from PIL import Image

        Image.effect_noise((40, 30), 60).convert("RGB").save(folder / "picture", kind)

    return build


def _read_picture(folder: Path) -> None:
    from multimodal_llm.images import load_image

    load_image(folder / "picture")
    load_image((folder / "picture").read_bytes(), largest_side=20)


def _build_photos(folder: Path) -> None:
    of_tests("multimodal_llm", "conftest").write_photos(folder / "set", {"train": 2})
    (folder / "table").mkdir()
    (folder / "table" / "captions.txt").write_text("image,caption\na.jpg,a dog\na.jpg,a cat\nb.jpg,a wall\n")
    (folder / "labels" / "images").mkdir(parents=True)
    (folder / "labels" / "labels.csv").write_text("file,label\na.jpg,dog\nb.jpg,cat\n")


def _read_photos(folder: Path) -> None:
    from multimodal_llm.image_captioning.flickr import load_photos

    load_photos(folder / "set", "train")


def _read_caption_table(folder: Path) -> None:
    from multimodal_llm.image_captioning.flickr import _rows

    _rows(folder / "table")


def _read_labels(folder: Path) -> None:
    from multimodal_llm.zero_shot_benchmark import read_labels

    read_labels(folder / "labels")


def _build_index(folder: Path) -> None:
    tests = of_tests("multimodal_llm", "test_image_index")
    index = tests.ImageIndex(folder / "index", tests.SETTINGS)
    tests.put(index, ["a", "b", "c"])
    index.close()


def _read_index(folder: Path) -> None:
    import numpy as np

    from multimodal_llm.clip_applications.image_index import ImageIndex

    index = ImageIndex(folder / "index")
    index.photos(), index.broken()
    if len(index):
        index.search(np.ones(index.width, dtype=np.float32), 2)
    index.close()


def _build_towers(folder: Path) -> None:
    tests = of_tests("multimodal_llm", "test_joint_space")
    tests.Towers(tests.TINY).save(folder / "space")


def _read_towers(folder: Path) -> None:
    from multimodal_llm.clip_applications.joint_space import load_towers

    load_towers(folder / "space")


def _build_captioner(folder: Path) -> None:
    from multimodal_llm.image_captioning.caption_model import CaptionModel, CaptionSettings
    from multimodal_llm.image_captioning.small_captioner import SmallCaptioner
    from multimodal_llm.image_captioning.vocabulary import Vocabulary

    vocabulary = Vocabulary.of(["a red wall", "a green wall"], 1)
    shape: dict[str, Any] = {"side": 32, "width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
    model = CaptionModel(CaptionSettings(n_words=len(vocabulary), **shape))
    SmallCaptioner(model, vocabulary, mock.Mock()).save(folder / "run")


def _read_captioner(folder: Path) -> None:
    from multimodal_llm.image_captioning.small_captioner import SmallCaptioner
    from multimodal_llm.image_encoder import ImageEncoder

    with mock.patch.object(ImageEncoder, "load", lambda device: None):
        SmallCaptioner.load(folder / "run", "cpu")


def _vqa(file: Path) -> None:
    from multimodal_llm.visual_question_answering.data_loader import load_vqa

    load_vqa(str(file.parents[1]), "test")


def _build_vqa(folder: Path) -> None:
    (folder / "test").mkdir()
    (folder / "test" / "questions.json").write_text('[["what?", "red", 0], ["which?", "blue", 1]]')


PARSERS = [
    *(
        Parser(f"picture_{kind}", ("picture",), _build_picture(kind), _read_picture)
        for kind in ("png", "jpeg", "gif", "webp", "tiff", "bmp")
    ),
    Parser("captions", ("set/captions.jsonl",), _build_photos, _read_photos),
    Parser("captions_table", ("table/captions.txt",), _build_photos, _read_caption_table),
    Parser("labels", ("labels/labels.csv",), _build_photos, _read_labels),
    Parser("index", ("index/index.sqlite", "index/vectors-0.f16"), _build_index, _read_index),
    Parser("joint_space", ("space/settings.json", "space/model.safetensors"), _build_towers, _read_towers),
    Parser(
        "captioner",
        ("run/settings.json", "run/vocabulary.json", "run/model.safetensors"),
        _build_captioner,
        _read_captioner,
    ),
    Parser("vqa", ("test/questions.json",), _build_vqa, lambda folder: _vqa(folder / "test" / "questions.json")),
]
