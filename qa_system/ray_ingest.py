"""Reading and encoding on a Ray cluster; what comes back is put into the store by the program that asked.

Each actor loads the encoder once and takes file after file (Ray Data, `map` with a class). The files must lie where
every machine of the cluster sees them under the same path.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qa_system.document_processor.stored_form import as_json, chunk_from, document_from, place_of, searched_text
from qa_system.ingest import IngestConfig, Read
from shared.ray_cluster import connect


class ReadAndEncode:
    """An actor: a file's path in, its document, chunks and vectors out, as Arrow can hold them."""

    def __init__(self, config: IngestConfig, embedding: str) -> None:
        from qa_system.read_files import FileReader
        from qa_system.retrieval.dense_retrieval import load_embedder

        self.embedder = load_embedder(embedding)
        self.reader = FileReader(config, self.embedder)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        read = self.reader.read(Path(row["path"]))
        result = {**row, "refused": read.refused, "line": read.line, "document": "", "chunks": "[]", "vectors": b""}
        if not read.refused:
            vectors = self.embedder.encode([searched_text(chunk) for chunk in read.chunks], "passage")
            result["document"] = as_json(read.document)
            result["chunks"] = json.dumps([[chunk.id, chunk.text, place_of(chunk)] for chunk in read.chunks])
            result["vectors"] = vectors.astype("<f4").tobytes()
        return result


def read_with_ray(config: IngestConfig, embedding: str, files: Sequence[Path]) -> Iterator[Read]:
    """The files as they are done, in any order. Raises UserError where Ray is not installed or does not answer."""
    if not files:
        return
    ray = connect(config.address, ignore_reinit_error=True, logging_level="warning")
    rows = ray.data.from_items([{"path": str(path)} for path in files], override_num_blocks=len(files))
    actors = ray.data.ActorPoolStrategy(size=min(config.workers, len(files)))
    done = rows.map(ReadAndEncode, fn_constructor_args=(config, embedding), compute=actors)
    for row in done.iter_rows():
        yield _read(row)


def _read(row: dict[str, Any]) -> Read:
    path = Path(row["path"])
    if row["refused"]:
        return Read(path, refused=row["refused"], line=row["line"])
    document = document_from(row["document"])
    chunks = [
        chunk_from(identity, document.id, document.source, text, place)
        for identity, text, place in json.loads(row["chunks"])
    ]
    vectors = np.frombuffer(row["vectors"], dtype="<f4").reshape(len(chunks), -1) if chunks else None
    return Read(path, document, chunks, vectors)
