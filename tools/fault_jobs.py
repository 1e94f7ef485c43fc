"""The work that tools/faults.py disturbs: small, real, and each of it can be given again and then goes on.

Every job works in a folder. `work` does it to its end, or goes on from where it was; `outcome` tells what is there in
the end, as JSON; `look` finds whatever is half after a kill. Models are tiny and random, photos and texts are drawn.
All but `begin` run in a fork, of which only the folder is left.
"""

import fcntl
import hashlib
import importlib
import importlib.util
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tools.projects import CHECKOUT

Outcome = dict[str, Any]


class Job(NamedTuple):
    """One kind of work."""

    name: str
    begin: Callable[[Path], None]
    """Loads what the children need, and lays what the work starts from into a folder of all rounds."""
    work: Callable[[Path, Path], None]
    """`work(given, folder)`"""
    outcome: Callable[[Path], Outcome]
    look: Callable[[Path], None]
    """Raises AssertionError where what is in the folder is half."""


def of_tests(project: str, name: str) -> ModuleType:
    """A project's tests have tiny models and drawn data."""
    path = CHECKOUT / project / "tests" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{project}_{name}_for_faults", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(*names: str) -> None:
    for name in names:
        importlib.import_module(name)


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _lines(folder: Path, but: Sequence[str] = ()) -> list[Outcome]:
    """The run's metrics without what no two runs share."""
    from shared.runs import RunFolder

    return [{name: value for name, value in line.items() if name not in but} for line in RunFolder(folder).metrics()]


# Trainings


def begin_language_model(given: Path) -> None:
    load("transformer_from_scratch.training", "transformer_from_scratch.checkpoint", "shared.tracking")
    draw = random.Random(0)
    words = ["sea", "lamp", "stone", "the", "a", "under", "is", "old"]
    (given / "text.txt").write_text(" ".join(draw.choice(words) for _ in range(900)))


def train_language_model(given: Path, folder: Path) -> None:
    from shared.runs import SUMMARY
    from transformer_from_scratch.train_simple_lm import main

    run = folder / "run"
    if (run / SUMMARY).exists():
        return
    if (run / "config.json").exists():
        main(["--resume", str(run)])
    else:
        flags = ["--max_steps", "60", "--eval_every", "10", "--warmup_steps", "5", "--device", "cpu"]
        main(["--preset", "tiny", "--data", str(given / "text.txt"), "--output", str(run), *flags])


def language_model(folder: Path) -> Outcome:
    from shared.runs import RunFolder

    run = folder / "run"
    loss = RunFolder.open(run).summary()["val_loss"]
    return {"model": _hash(run / "model.safetensors"), "loss": loss, "metrics": _lines(run, ["seconds"])}


def look_at_language_model(folder: Path) -> None:
    from safetensors import safe_open

    for file in (folder / "run").glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            assert opened.keys()


def begin_sentiment(given: Path) -> None:
    load("bert_sentiment_analysis.models.trainer", "bert_sentiment_analysis.train")
    of_tests("bert_sentiment_analysis", "conftest").build_encoder("bert", given / "encoder")
    of_tests("bert_sentiment_analysis", "test_trainer").write_reviews(given / "reviews.csv", 120)


def train_sentiment(given: Path, folder: Path) -> None:
    from bert_sentiment_analysis.config import TrainingConfig
    from bert_sentiment_analysis.train import finish

    values: dict[str, Any] = {"epochs": 4, "batch_size": 16, "n_train": 80, "max_length": 16, "overlap": 4}
    where: dict[str, Any] = {"model": str(given / "encoder"), "dataset": str(given / "reviews.csv")}
    how: dict[str, Any] = {"device": "cpu", "precision": "fp32", "tracking": "none", "patience": 0}
    finish(TrainingConfig(**values, **where, **how), folder / "run")


def sentiment(folder: Path) -> Outcome:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier
    from shared.runs import RunFolder

    run = folder / "run"
    TextClassifier.load(run)
    scores = {name: RunFolder(run).summary()[name] for name in ("accuracy", "best_val_score", "steps", "temperature")}
    # A training loss is the mean since the line before, or since the start of the process.
    kept = ("step", "val_loss", "val_accuracy")
    metrics = [{name: line[name] for name in kept} for line in RunFolder(run).metrics() if "val_loss" in line]
    files = sorted(str(file.relative_to(run)) for file in run.rglob("*") if file.is_file() and file.suffix != ".draft")
    return {"model": _hash(run / "model.safetensors"), **scores, "metrics": metrics, "files": files}


def begin_captioner(given: Path) -> None:
    load("multimodal_llm.image_captioning.train", "multimodal_llm.image_captioning.training")
    load("multimodal_llm.image_captioning.captioner", "multimodal_llm.image_captioning.views")
    import torch

    from multimodal_llm.image_encoder import EfficientNetLite2, ImageEncoder

    of_tests("multimodal_llm", "conftest").write_photos(given / "photos", {"train": 12})
    torch.manual_seed(0)
    encoder = ImageEncoder(EfficientNetLite2())
    vars_of: Any = ImageEncoder
    vars_of.load = lambda device="auto": encoder


def train_captioner(given: Path, folder: Path) -> None:
    from multimodal_llm.image_captioning.train import TrainConfig, train

    os.chdir(folder)  # what the encoder saw is kept below it
    shape: dict[str, Any] = {"side": 32, "width": 32, "heads": 4, "encoder_layers": 1, "decoder_layers": 1}
    how: dict[str, Any] = {"views": 2, "held_out": 4, "min_count": 1, "word_epochs": 5, "sentence_epochs": 2}
    if not (folder / "run" / "summary.json").exists():
        train(TrainConfig(data=str(given / "photos"), output="run", device="cpu", **shape, **how))


def captioner(folder: Path) -> Outcome:
    from multimodal_llm.image_captioning.small_captioner import SmallCaptioner

    run = folder / "run"
    SmallCaptioner.load(run, "cpu")
    score = json.loads((run / "summary.json").read_text())["held_out_cider"]
    return {"model": _hash(run / "model.safetensors"), "cider": score, "metrics": _lines(run, ["seconds"])}


# Stores


def begin_documents(given: Path) -> None:
    load("qa_system.ingest", "qa_system.store", "qa_system.read_files", "qa_system.document_processor.reader")
    conftest = of_tests("qa_system", "conftest")
    conftest.tiny_checkpoint.__wrapped__(Folders(given))
    draw = random.Random(1)
    for version in ("first", "second"):
        (given / version).mkdir()
        for number in range(8):
            words = " ".join(draw.choice(conftest.WORDS[5:11]) for _ in range(60))
            (given / version / f"d{number}.txt").write_text(f"{words}.\n\n{words[::-1]}.")


class Folders(NamedTuple):
    """What a fixture asks pytest for."""

    folder: Path

    def mktemp(self, name: str) -> Path:
        (self.folder / name).mkdir(parents=True)
        return self.folder / name


def ingest_documents(given: Path, folder: Path) -> None:
    """Take eight documents, put others in their places, delete three."""
    from qa_system.delete import DeleteConfig, delete
    from qa_system.ingest import IngestConfig, ingest
    from qa_system.store import open_store

    store = str(folder / "store")
    config = IngestConfig(store=store, embedding=str(given / "tiny_encoder"), max_tokens=10, overlap_tokens=2)
    second = folder / "second"
    for version in ("first", "second"):
        if version == "first" and second.exists():
            continue
        os.chdir(given / version)
        ingest(config, [f"d{number}.txt" for number in range(8)])
        second.touch()
    opened = open_store(store)
    there = {line.source for line in opened.documents()}
    opened.close()
    if gone := [source for source in ("d1.txt", "d4.txt", "d7.txt") if source in there]:
        delete(DeleteConfig(store=store), gone)


def documents(folder: Path) -> Outcome:
    from qa_system.store import open_store

    store: Any = open_store(str(folder / "store"))
    with store.view() as view:
        found = {}
        for line in store.documents():
            rows = view.rows_of([line.source])
            passages = [chunk.text for chunk in view.chunks(rows)]
            found[line.source] = [line.id, passages, [round(float(x), 4) for x in view.dense.vectors(rows).sum(1)]]
    return found


def look_at_documents(folder: Path) -> None:
    if not (folder / "store" / "store.sqlite").exists() and not list((folder / "store").glob("*.sqlite")):
        return
    from qa_system.store import open_store
    from shared.errors import UserError

    store: Any
    try:
        store = open_store(str(folder / "store"))
    except UserError as error:
        assert "no store" in str(error) or "there is none" in str(error), error  # killed before it was made
        return
    assert store._reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with store.view() as view:
        n = len(view.dense) if view.dense is not None else 0
        assert n == len(view.sparse) == len(store)
        for line in store.documents():
            rows = view.rows_of([line.source])
            assert len(rows) == line.chunks, f"{line.source}: {len(rows)} of {line.chunks} passages"
            content = store.document(line.source)
            assert content is not None and content.id == line.id
            assert all(content.text[c.start : c.end] == c.text for c in view.chunks(rows))


def begin_photos(given: Path) -> None:
    load("multimodal_llm.image_search", "multimodal_llm.clip_applications.index_update")
    from PIL import Image

    from multimodal_llm.clip_applications import image_index, spaces

    colours = of_tests("multimodal_llm", "test_index_update").Colours
    space = colours()
    space.name, space.fingerprint = "colours", "1"
    vars(spaces)["load_space"] = lambda name, device="auto": space
    image_index.LEAST_DEAD = 2  # so that the vectors move to another file now and then
    draw = random.Random(2)
    for version in ("first", "second"):
        (given / version).mkdir()
        for number in range(24):
            colour = tuple(draw.randrange(256) for _ in range(3))
            Image.new("RGB", (30 + number, 20), colour).save(given / version / f"p{number}.png")
    (given / "first" / "broken.png").write_bytes(b"\x89PNG, and no more")


def index_photos(given: Path, folder: Path) -> None:
    """Index photos, replace them by others, delete a third of them, forget one."""
    from multimodal_llm.image_search import IndexConfig, RemoveConfig, index, remove

    photos, config = folder / "photos", IndexConfig(index=str(folder / "index"), device="cpu")
    for step in ("first", "second", "third"):
        _bring_photos(given, folder, step)
        index(config, [str(photos)])
    with open_photos(folder) as opened:
        known = str((photos / "p1.png").resolve()) in opened.photos()
    if known:
        remove(RemoveConfig(index=config.index), [str(photos / "p1.png")])


def _bring_photos(given: Path, folder: Path, step: str) -> None:
    """Bring the photos to this step, if they are not beyond it; of two processes one after the other."""
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / step).exists():
            return
        if step == "third":
            for number in range(0, 24, 3):
                (folder / "photos" / f"p{number}.png").unlink(missing_ok=True)
        else:
            shutil.copytree(given / step, folder / "photos", dirs_exist_ok=True)
        (folder / step).touch()


def open_photos(folder: Path) -> Any:
    from contextlib import closing

    from multimodal_llm.clip_applications.image_index import ImageIndex

    return closing(ImageIndex(folder / "index"))


def photos(folder: Path) -> Outcome:
    with open_photos(folder) as opened:
        names = {Path(path).name: path for path in opened.photos()}
        seen = {name: [round(float(x), 3) for x in opened.vector(path)] for name, path in sorted(names.items())}
        return {"photos": seen, "broken": sorted(Path(path).name for path in opened.broken())}


def look_at_photos(folder: Path) -> None:
    from shared.errors import UserError

    try:
        opened_now = open_photos(folder)
    except UserError as error:
        assert "there is no index" in str(error) or "no index of photos" in str(error), error
        return
    with opened_now as opened:
        assert opened._rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for path in opened.photos():
            length = float((opened.vector(path) ** 2).sum())
            assert abs(length - 1) < 0.01, f"{path}: a vector of length {length}"


def begin_votes(given: Path) -> None:
    load("gpt_text_generation.evaluation.human_evaluation")


def vote(given: Path, folder: Path) -> None:
    """Two people judge all pairs."""
    from gpt_text_generation.evaluation.samples import Sample
    from gpt_text_generation.evaluation.vote_store import VoteStore

    store = VoteStore(folder / "votes.sqlite", seed=0)
    store.add([Sample(f"{who} {n}", f"prompt {n}", who) for n in range(30) for who in ("one", "other")])
    for rater in ("anna", "bo"):
        while (shown := store.next_pair(rater)) is not None:
            store.vote(rater, shown.pair, "first" if shown.texts[0].startswith("one") else "second", "why")


def votes(folder: Path) -> Outcome:
    from gpt_text_generation.evaluation.vote_store import VoteStore

    found = VoteStore(folder / "votes.sqlite").votes()
    return {"votes": sorted([v.prompt, v.rater, {"a": v.source_a, "b": v.source_b}[v.choice]] for v in found)}


def look_at_votes(folder: Path) -> None:
    if (folder / "votes.sqlite").exists():
        votes(folder)


# Files that grow


def begin_story(given: Path) -> None:
    load("gpt_text_generation.creative_writing_assistant", "shared.language_model")
    from gpt_text_generation import story_writer
    from shared import language_model

    tests = of_tests("gpt_text_generation", "test_creative_writing")
    story_writer.TOKENS_A_WORD = 8
    vars(language_model)["load_language_model"] = lambda name, backend: tests.Author(tests.told)


def write_story(given: Path, folder: Path) -> None:
    from gpt_text_generation.creative_writing_assistant import main
    from gpt_text_generation.story import read_story

    file, done = folder / "story.md", folder / "done"
    if done.exists():
        return
    begun = file.exists() and file.stat().st_size > 0
    if begun and read_story(file).revised == 3:
        done.touch()
        return
    new = ["--topic", "a lighthouse keeper", "--sections", "3", "--length", "60", "--output", str(file)]
    main(["--resume", str(file)] if begun else new)
    done.touch()


def story(folder: Path) -> Outcome:
    """Every section is there, and nothing twice. One that was cut off past a third of its length stays as it is."""
    from gpt_text_generation.story import read_story

    found = read_story(folder / "story.md")
    parts = of_tests("gpt_text_generation", "test_creative_writing").PARTS.values()
    known = " ".join(parts).replace("rolled", "broke").replace("came by", "passed")
    said = [sentence for text in found.texts.values() for sentence in re.findall(r"[^.]+\.", text)]
    return {
        "outline": found.outline,
        "sections": sorted(found.texts),
        "revised": found.revised,
        "repeated": len(said) - len(set(said)),
        "made_up": [
            sentence
            for sentence in said
            if sentence.strip().replace("rolled", "broke").replace("came by", "passed") not in known
        ],
    }


def look_at_story(folder: Path) -> None:
    from gpt_text_generation.story import read_story

    file = folder / "story.md"
    if file.exists() and file.stat().st_size:
        read_story(file)


def nothing(folder: Path) -> None:
    pass


JOBS = {
    job.name: job
    for job in (
        Job("language_model", begin_language_model, train_language_model, language_model, look_at_language_model),
        Job("sentiment", begin_sentiment, train_sentiment, sentiment, nothing),
        Job("captioner", begin_captioner, train_captioner, captioner, nothing),
        Job("documents", begin_documents, ingest_documents, documents, look_at_documents),
        Job("photos", begin_photos, index_photos, photos, look_at_photos),
        Job("votes", begin_votes, vote, votes, look_at_votes),
        Job("story", begin_story, write_story, story, look_at_story),
    )
}
