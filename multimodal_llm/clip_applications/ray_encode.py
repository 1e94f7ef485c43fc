"""Encoding on a Ray cluster; what comes back is put into the index by the program that asked.

Each actor loads the space once and takes batch after batch (Ray Data, `map_batches` with a class). The photos must lie
where every machine of the cluster sees them under the same path.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from multimodal_llm.clip_applications.image_index import Broken, Photo
from multimodal_llm.clip_applications.index_update import File, Seen, encode_opened, open_file
from multimodal_llm.clip_applications.spaces import load_space
from shared.ray_cluster import connect

BATCH = 32


class EncodeFiles:
    """An actor: files in, what the index notes of them and their vectors out, as Arrow can hold them."""

    def __init__(self, space: str) -> None:
        self.space = load_space(space)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        columns = zip(batch["path"], batch["size"], batch["changed_ns"], strict=True)
        files = [File(str(path), int(size), int(changed_ns)) for path, size, changed_ns in columns]
        rows = [
            {"content": "", "looks": 0, "reason": "", **asdict(seen.file)}
            | {"vector": b"" if seen.vector is None else np.asarray(seen.vector, dtype="<f4").tobytes()}
            for seen in encode_opened(self.space, [open_file(file) for file in files])
        ]
        return {name: [row[name] for row in rows] for name in rows[0]}


def encode_with_ray(space: str, files: Sequence[File], workers: int = 2, address: str | None = None) -> Iterator[Seen]:
    """The files as they are done, in any order. Raises UserError where Ray is not installed or does not answer."""
    if not files:
        return
    ray = connect(address, ignore_reinit_error=True, logging_level="warning")
    parts = -(-len(files) // BATCH)
    rows = ray.data.from_items([file._asdict() for file in files], override_num_blocks=parts)
    actors = ray.data.ActorPoolStrategy(size=min(workers, parts))
    done = rows.map_batches(EncodeFiles, fn_constructor_args=(space,), batch_size=BATCH, compute=actors)
    for row in done.iter_rows():
        file = row["path"], row["size"], row["changed_ns"]
        if row["reason"]:
            yield Seen(Broken(*file, row["reason"]), None)
        else:
            yield Seen(Photo(*file, row["content"], row["looks"]), np.frombuffer(row["vector"], dtype="<f4"))
