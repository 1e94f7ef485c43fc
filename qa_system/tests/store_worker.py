"""Changes a store until it is killed, and kills such a one many times. A program of its own, since it forks.

    python store_worker.py FOLDER kill N SEED     kill it N times
    python store_worker.py FOLDER write WHO       add 15 documents, named after WHO
    python store_worker.py FOLDER update N        change a.txt N times: version V has V passages

Each round of the first forks a child that adds, updates and deletes documents at random and writes a line to a pipe
once the store has acknowledged a change. The parent kills it (SIGKILL) at a random moment and compares the store with
those lines: every acknowledged change must be there, and of the one that was under way all or nothing.
"""

import importlib.util
import os
import random
import signal
import sys
import time
from pathlib import Path

from qa_system.document_processor.vector_store import VectorStore
from qa_system.retrieval.dense_retrieval import Embedder
from shared.logging import print_result

here = importlib.util.spec_from_file_location("qa_conftest", Path(__file__).with_name("conftest.py"))
conftest = importlib.util.module_from_spec(here)
here.loader.exec_module(conftest)
EMBEDDER = Embedder("hashed", conftest.HashedWords(), 16, "v1", True, 256)
N_SOURCES = 12


def passages(version):
    """A document's passages: how many, and which, follows from its version."""
    return [f"version {version} passage {n} words{version * n}" for n in range(1 + version % 40)]


def work(folder, seed, pipe):
    draw, store = random.Random(seed), VectorStore(folder, EMBEDDER)
    while True:
        source, version = f"s{draw.randrange(N_SOURCES)}", draw.randrange(1, 10**6)
        if draw.random() < 0.3:
            version = None
        os.write(pipe, f"try {source} {version}\n".encode())
        if version is None:
            store.delete(source)
        else:
            store.add(*conftest.make_document_of(source, passages(version)))
        os.write(pipe, f"ack {source} {version}\n".encode())


def found_in(store):
    """Each source's version, after checking that terms, vectors and passages are those of this version and no other."""
    versions = {}
    with store.view() as view:
        rows = view.rows_of([f"s{n}" for n in range(N_SOURCES)])
        assert len(rows) == len(view.sparse) == (len(view.dense) if view.dense is not None else 0)
        for chunk in view.chunks(rows):
            version = int(chunk.text.split()[1])
            assert versions.setdefault(chunk.source, version) == version, "passages of two versions"
        for source, version in versions.items():
            _, chunks = conftest.make_document_of(source, passages(version))
            own = view.rows_of([source])
            assert view.chunks(own) == chunks
            best, _ = view.sparse.search(["version", str(version)], 1, among=own)
            assert best[0] in own
            texts = [chunk.text for chunk in chunks]
            assert abs(view.dense.vectors(own) - EMBEDDER.encode(texts)).max() < 1e-6
    return versions


def kill(folder, kills, seed):
    draw, state, acknowledged, halves = random.Random(seed), {}, 0, 0
    for number in range(kills):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                work(folder, seed * 1000 + number, writing)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            # After some lines, so that a busy machine kills as much as an idle one; then anywhere in what follows.
            heard = [pipe.readline() for _ in range(draw.randrange(12))]
            time.sleep(draw.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status), "the child ended by itself"
            lines = [line.split() for line in "".join([*heard, pipe.read()]).splitlines()]
        trying = None
        for kind, source, version in lines:
            change = source, None if version == "None" else int(version)
            trying = change if kind == "try" else None
            if kind == "ack":
                state[source] = change[1]
                acknowledged += 1
        store = VectorStore(folder, EMBEDDER)
        found = found_in(store)
        assert store._reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.close()
        for source in [f"s{n}" for n in range(N_SOURCES)]:
            allowed = [state.get(source)] + ([trying[1]] if trying and trying[0] == source else [])
            assert found.get(source) in allowed, f"{source}: {found.get(source)}, not one of {allowed}"
            halves += found.get(source) != state.get(source)
            state[source] = found.get(source)
    print_result({"kills": kills, "acknowledged": acknowledged, "kept_though_not_acknowledged": halves})


def write(folder, who):
    store = VectorStore(folder, EMBEDDER)
    for n in range(15):
        store.add(*conftest.make_document_of(f"{who}-{n}", [f"wing {n}", "of"]))


def update(folder, n):
    store = VectorStore(folder, EMBEDDER)
    for version in range(1, n + 1):
        store.add(*conftest.make_document_of("a.txt", [f"wing {version} of {place}" for place in range(version)]))


if __name__ == "__main__":
    folder, task, *values = sys.argv[1:]
    if task == "kill":
        kill(Path(folder), *map(int, values))
    elif task == "write":
        write(Path(folder), *values)
    else:
        update(Path(folder), *map(int, values))
