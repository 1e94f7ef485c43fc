"""Every parser of what users bring, with files that it can read, for tools/fuzz.py to damage.

Left out is what has a server or a sandbox of its own around it and is tried elsewhere: HTTP requests (the projects'
`benchmark faults`, by schemathesis) and programs that a model wrote (gpt_text_generation/sandbox).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from shared.errors import UserError
from tools.fault_jobs import of_tests
from tools.projects import CHECKOUT


class Parser(NamedTuple):
    """A function that reads what is in a folder."""

    name: str
    files: tuple[str, ...]
    """Those that are damaged, one at a time."""
    build: Callable[[Path], Any]
    """Lays down files that it can read."""
    read: Callable[[Path], Any]
    allowed: tuple[type[Exception], ...] = (UserError,)
    """What it documents to raise."""


def text_file(name: str, file: str, content: str, read: Callable[[Path], Any]) -> Parser:
    """A parser of one file."""
    return Parser(name, (file,), lambda folder: (folder / file).write_text(content), lambda folder: read(folder / file))


# shared


def _settings(file: Path) -> None:
    from shared.config import parse_config
    from transformer_from_scratch.config import ARCHITECTURES, PRESETS, TrainingConfig

    parse_config(TrainingConfig, ["--config", str(file)], presets={"preset": PRESETS, "architecture": ARCHITECTURES})


def _examples(file: Path) -> None:
    from shared.datasets import load_examples

    load_examples(str(file))


def _build_run(folder: Path) -> None:
    from shared.runs import RunFolder

    run = RunFolder.create(folder / "run", "toy", {"width": 3})
    run.log_metrics({"step": 1, "val_loss": 1.5})
    run.log_metrics({"step": 2, "val_loss": 1.4})
    run.write_summary({"val_loss": 1.4})


def _read_run(folder: Path) -> None:
    from shared.runs import RunFolder

    run = RunFolder.open(folder / "run")
    run.config(), run.summary(), run.metrics()


# transformer_from_scratch


def _build_language_model(folder: Path) -> None:
    from shared.config import to_dict
    from shared.runs import RunFolder
    from transformer_from_scratch import checkpoint, training
    from transformer_from_scratch.config import PRESETS, TrainingConfig

    (folder / "text.txt").write_text("a small text of some words, " * 40)
    config = TrainingConfig(**{**PRESETS["tiny"], "data": str(folder / "text.txt")})
    run = RunFolder.create(folder / "run", "toy", to_dict(config))
    text = training.prepare_text(config)
    model, optimizers = training.make_model(config, len(text.tokenizer))
    text.tokenizer.save(run.path)
    checkpoint.save_model(run.path, model)
    checkpoint.save_checkpoint(run.path, model, optimizers, 1, 1.0)


def _read_language_model(folder: Path) -> None:
    from transformer_from_scratch import checkpoint, training

    model, tokenizer = checkpoint.load_model(folder / "run")
    config: Any = model.config
    fresh, optimizers = training.make_model(config, len(tokenizer))
    checkpoint.load_checkpoint(folder / "run", fresh, optimizers)


# bert_sentiment_analysis


def _build_classifier(folder: Path) -> None:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier

    encoder = of_tests("bert_sentiment_analysis", "conftest").build_encoder("bert", folder / "base")
    TextClassifier.from_pretrained(str(encoder), ("no", "yes"), head="classification", max_length=16).save(
        folder / "run"
    )


def _read_classifier(folder: Path) -> None:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier

    TextClassifier.load(folder / "run")


def _rows(file: Path) -> None:
    from bert_sentiment_analysis.data.rows import read_rows

    read_rows(file)


# gpt_text_generation


def _build_votes(folder: Path) -> None:
    from gpt_text_generation.evaluation.samples import Sample
    from gpt_text_generation.evaluation.vote_store import VoteStore

    store = VoteStore(folder / "votes.sqlite", seed=0)
    store.add([Sample(f"{who} {n}", f"prompt {n}", who) for n in range(3) for who in ("one", "other")])
    shown = store.next_pair("anna")
    assert shown is not None  # of three
    store.vote("anna", shown.pair, "first")
    store._held_open.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._held_open.close()


def _read_votes(folder: Path) -> None:
    from gpt_text_generation.evaluation.human_evaluation import open_store

    store = open_store(folder / "votes.sqlite")
    store.votes(), store.next_pair("bo"), store.progress("anna")


def _story(file: Path) -> None:
    from gpt_text_generation.story import read_story

    story = read_story(file)
    story.markdown(), story.so_far()


def _templates(file: Path) -> None:
    from gpt_text_generation.prompt_engineering import read_templates

    read_templates(file)


def _problems(file: Path) -> None:
    from gpt_text_generation.code_problems import read_problems

    read_problems(file)


def _samples(file: Path) -> None:
    from gpt_text_generation.evaluation.samples import read_samples

    read_samples(file)


# qa_system


def _squad(file: Path) -> None:
    from qa_system.evaluation.squad import read_squad

    read_squad(file)


def _questions(file: Path) -> None:
    from qa_system.evaluate import read_questions

    read_questions(file)


def _build_beir(folder: Path) -> None:
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "title": "t", "text": "a b"}\n{"_id": "d2", "text": "c"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "a?"}\n{"_id": "q2", "text": "c?"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t2\n")


def _read_beir(folder: Path) -> None:
    from qa_system.retrieval_benchmark import read_collection

    read_collection(folder)


def _build_document(kind: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        file = folder / f"a.{kind}"
        if kind == "pdf":
            make = of_tests("qa_system", "pdf_maker")
            make.make_pdf(file, [[make.Words("Nothing here.", 50, 50)], [make.Words("The engine is hot.", 50, 50)]])
        elif kind == "docx":
            import docx

            document = docx.Document()
            document.add_heading("A heading")
            document.add_paragraph("Some words.")
            document.add_table(2, 2).cell(0, 0).text = "a cell"
            document.save(str(file))
        else:
            file.write_text(DOCUMENTS[kind])

    return build


DOCUMENTS = {
    "html": "<html><head><meta charset='utf-8'><title>t</title></head><body><h1>A</h1><p>Some <b>words</b>.</p>"
    "<table><tr><td>1</td><td>2</td></tr></table><script>no()</script><ul><li>x</li></ul></body></html>",
    "md": "# A\n\nSome *words*, [a link](http://x).\n\n- x\n- y\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n",
    "txt": "Some words.\n\nMore of them, 灯塔。\n",
}


def _document(kind: str) -> Parser:
    from qa_system.document_processor.errors import Unreadable

    def read(folder: Path) -> None:
        _reader().read(folder / f"a.{kind}")

    return Parser(kind, (f"a.{kind}",), _build_document(kind), read, (Unreadable,))


_open_reader: list[Any] = []


def _reader() -> Any:
    """One reader for all, since its process takes a second to start."""
    from qa_system.document_processor.reader import DocumentReader, ReaderConfig

    if not _open_reader:
        _open_reader.append(DocumentReader(ReaderConfig(ocr=False, page_seconds=10, memory_mb=1500)))
    return _open_reader[0]


def _build_store(folder: Path) -> None:
    from qa_system.document_processor.vector_store import VectorStore
    from qa_system.retrieval.dense_retrieval import Embedder

    conftest = of_tests("qa_system", "conftest")
    embedder = Embedder("hashed", conftest.HashedWords(), 16, "v1", True, 256)
    store = VectorStore(folder / "store", embedder)
    store.add(*conftest.make_document_of("a.txt", ["wing of the engine", "heat of the flow"]))
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def _read_store(folder: Path) -> None:
    from qa_system.document_processor.vector_store import VectorStore
    from qa_system.retrieval.dense_retrieval import Embedder

    store = VectorStore(
        folder / "store", Embedder("hashed", of_tests("qa_system", "conftest").HashedWords(), 16, "v1", True, 256)
    )
    with store.view() as view:
        view.chunks(view.rows_of([line.source for line in store.documents()]).tolist())
    store.document("a.txt")
    store.close()


# model_optimization


def _build_subject(folder: Path) -> None:
    from model_optimization.subject import save_subject

    save_subject(of_tests("model_optimization", "conftest").build_subject(), folder / "run")


def _read_subject(folder: Path) -> None:
    from model_optimization.subject import load_subject

    load_subject(folder / "run")


def _build_readings(folder: Path) -> None:
    from model_optimization.monitoring.readings import read, save

    subject = of_tests("model_optimization", "conftest").build_subject()
    save(folder / "reference", read(subject, ["a good film", "a dull plot"], [1, 0]), {"classifier": "x"})


def _read_readings(folder: Path) -> None:
    from model_optimization.monitoring.readings import TENSORS, load, load_tensors

    load_tensors(folder / "reference" / TENSORS)
    load(folder / "reference")


def _windows(file: Path) -> None:
    from model_optimization.monitoring.stream import read_lines

    read_lines(file)


# multimodal_llm


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


STORY = '<!-- story: {"topic": "t", "genre": "g", "style": "s", "words": 15, "sections": 2, "outline": ["A", "B"], '
STORY += '"revised": 1} -->\n# t\n\n## A\n\nSome words.\n\n## B\n\nMore of them.\n'
SQUAD = {
    "data": [
        {
            "title": "T",
            "paragraphs": [
                {
                    "context": "a b c",
                    "qas": [{"id": "1", "question": "what?", "answers": [{"text": "b", "answer_start": 2}]}],
                }
            ],
        }
    ]
}
CSV = 'text,label\n"a good film, and long",1\nbad,0\n'
JSONL = '{"text": "a good film", "label": 1}\n{"text": "bad", "label": 0}\n'
SAMPLES = '{"text": "one", "prompt": "p", "source": "a"}\n{"text": "other", "prompt": "p", "source": "b"}\n'
PROBLEM = {
    "task_id": "1",
    "prompt": "def f():\n",
    "entry_point": "f",
    "test": "assert f() == 1",
    "canonical_solution": "    return 1\n",
}
RUN, TRAINED = "run/", "model.safetensors"

ALL = [
    text_file("config", "config.yaml", "preset: tiny\nwidth: 32\ndropout: 0.1\nresume: null\n", _settings),
    text_file("csv", "a.csv", CSV, _examples),
    text_file("tsv", "a.tsv", CSV.replace(",", "\t"), _examples),
    text_file("jsonl", "a.jsonl", JSONL, _examples),
    text_file("json", "a.json", f"[{JSONL.strip().replace(chr(10), ',')}]", _examples),
    text_file("rows_csv", "a.csv", CSV, _rows),
    text_file("rows_json", "a.json", '[{"text": "a", "label": "positive"}, {"text": "b", "label": 0}]', _rows),
    Parser("run", ("run/config.json", "run/metrics.jsonl", "run/summary.json"), _build_run, _read_run),
    Parser(
        "language_model",
        ("run/config.json", "run/tokenizer.json", f"run/{TRAINED}", "run/checkpoint.safetensors"),
        _build_language_model,
        _read_language_model,
    ),
    Parser(
        "classifier",
        ("run/classifier.json", f"run/{TRAINED}", "run/encoder/config.json", "run/encoder/tokenizer.json"),
        _build_classifier,
        _read_classifier,
    ),
    text_file("story", "story.md", STORY, _story),
    text_file(
        "templates", "a.yaml", (CHECKOUT / "gpt_text_generation" / "prompt_templates.yaml").read_text(), _templates
    ),
    text_file("problems", "a.jsonl", json.dumps(PROBLEM) + "\n", _problems),
    text_file("samples", "a.jsonl", SAMPLES, _samples),
    Parser("votes", ("votes.sqlite",), _build_votes, _read_votes),
    text_file("squad", "a.json", json.dumps(SQUAD), _squad),
    text_file("questions", "a.jsonl", '{"question": "what?", "sources": ["a.txt"]}\n', _questions),
    Parser("beir", ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"), _build_beir, _read_beir),
    *map(_document, ("pdf", "docx", "html", "md", "txt")),
    Parser("store", ("store/store.sqlite",), _build_store, _read_store),
    Parser("subject", ("run/shape.json", f"run/{TRAINED}", "run/tokenizer.json"), _build_subject, _read_subject),
    Parser("readings", ("reference/readings.json", "reference/readings.safetensors"), _build_readings, _read_readings),
    text_file("windows", "windows.jsonl", '{"window": 1, "alarm": false}\n{"window": 2, "alarm": true}\n', _windows),
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
PARSERS = {parser.name: parser for parser in ALL}
