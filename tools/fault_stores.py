"""What grows while work goes on, for tools/faults.py to disturb: stores of documents, photos and votes, and a story."""

import fcntl
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

from tools.borrowed import Folders, load, of_tests


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


def documents(folder: Path) -> dict[str, Any]:
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


def photos(folder: Path) -> dict[str, Any]:
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


def votes(folder: Path) -> dict[str, Any]:
    from gpt_text_generation.evaluation.vote_store import VoteStore

    found = VoteStore(folder / "votes.sqlite").votes()
    return {"votes": sorted([v.prompt, v.rater, {"a": v.source_a, "b": v.source_b}[v.choice]] for v in found)}


def look_at_votes(folder: Path) -> None:
    if (folder / "votes.sqlite").exists():
        votes(folder)


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


def story(folder: Path) -> dict[str, Any]:
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
