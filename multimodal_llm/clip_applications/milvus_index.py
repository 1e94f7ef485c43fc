"""The same index on a Milvus server, for more photos than one machine holds: `--index http://milvus:19530`.

`--index FILE.db` is milvus-lite, the same client over a file, with which this is tested. Milvus knows no transactions:
killed in the middle of an update, the index holds some of its photos, and the next update adds the others.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from multimodal_llm.clip_applications.image_index import FORMAT, SAMPLE, Broken, Found, Photo
from shared.errors import UserError

NAME = "multimodal_llm_photos"
MOST_PATH = 4096
BATCH = 500  # rows a request
PAGE = 4000  # rows of an answer
PHOTO, BROKEN, SETTINGS = "photo", "broken", "settings"


class MilvusIndex:
    """What `image_index.ImageIndex` is, in one collection; settings and broken files are rows without a meaning."""

    def __init__(self, uri: str, settings: Mapping[str, str] | None = None) -> None:
        """Connect. Raises UserError without pymilvus or server, where there is no index, and where it is another."""
        try:
            from pymilvus import MilvusClient
            from pymilvus.exceptions import MilvusException
        except ImportError as error:
            raise UserError("--index: Milvus needs pymilvus: run `make setup EXTRAS=scale`") from error
        self.folder = uri
        try:
            self._client: Any = MilvusClient(uri, timeout=10)
        except (MilvusException, OSError) as error:
            reason = " ".join(str(error).split())[:100]
            raise UserError(f"--index {uri}: no Milvus answers there ({reason}): check the address") from error
        if not self._client.has_collection(NAME):
            if settings is None:
                raise UserError(f"--index {uri}: there is no index: make one with `image_search index FOLDER`")
            self._make({"format": FORMAT, **settings})
        rows = self._all(f'kind == "{SETTINGS}"')
        self.settings = json.loads(rows[0]["content"]) if rows else {}
        for name, here in {"format": FORMAT, **(settings or {})}.items():
            if self.settings.get(name) != here:
                raise UserError(
                    f"--index {uri}: its {name} is {self.settings.get(name)}, not {here}: name another, or drop {NAME}"
                )
        self.width = int(self.settings["width"])
        self.reload()

    def close(self) -> None:
        self._client.close()

    def _make(self, settings: Mapping[str, str]) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("kind", DataType.VARCHAR, max_length=16)
        schema.add_field("path", DataType.VARCHAR, max_length=MOST_PATH)
        schema.add_field("content", DataType.VARCHAR, max_length=MOST_PATH)
        for field in ("size", "changed_ns", "looks"):
            schema.add_field(field, DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=int(settings["width"]))
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        self._client.create_collection(NAME, schema=schema, index_params=index, consistency_level="Strong")
        self.width = int(settings["width"])
        self._upsert([self._row(SETTINGS, SETTINGS, content=json.dumps(settings))])

    def reload(self) -> None:
        """Milvus answers from its newest state; only the sample for `usual` is kept here."""
        rows = self._client.query(NAME, filter=f'kind == "{PHOTO}"', output_fields=["vector"], limit=SAMPLE)
        self._sample = np.array([row["vector"] for row in rows], dtype=np.float32).reshape(-1, self.width)

    def __len__(self) -> int:
        return self._client.query(NAME, filter=f'kind == "{PHOTO}"', output_fields=["count(*)"])[0]["count(*)"]

    def search(self, vector: np.ndarray, n: int) -> list[Found]:
        fields = ["path", "looks", "vector"]
        [found] = self._client.search(
            NAME,
            data=[np.asarray(vector, dtype=np.float32).tolist()],
            anns_field="vector",
            limit=min(n, PAGE),
            filter=f'kind == "{PHOTO}"',
            output_fields=fields,
            search_params={"metric_type": "IP"},
        )
        hits = [(hit["entity"], float(hit["distance"])) for hit in found]
        return [Found(e["path"], c, e["looks"], np.array(e["vector"], dtype=np.float32)) for e, c in hits]

    def usual(self, vector: np.ndarray) -> np.ndarray:
        return self._sample @ np.asarray(vector, dtype=np.float32)

    def photos(self) -> dict[str, Photo]:
        rows = sorted(self._all(f'kind == "{PHOTO}"'), key=lambda row: row["path"])
        return {r["path"]: Photo(r["path"], r["size"], r["changed_ns"], r["content"], r["looks"]) for r in rows}

    def broken(self) -> dict[str, Broken]:
        rows = sorted(self._all(f'kind == "{BROKEN}"'), key=lambda row: row["path"])
        return {r["path"]: Broken(r["path"], r["size"], r["changed_ns"], r["content"]) for r in rows}

    def vector(self, path: str) -> np.ndarray:
        rows = self._client.get(NAME, ids=[_number(path)], output_fields=["vector", "kind"])
        if not rows or rows[0]["kind"] != PHOTO:
            raise KeyError(path)
        return np.array(rows[0]["vector"], dtype=np.float32)

    def put(self, photos: Sequence[Photo], vectors: np.ndarray, broken: Sequence[Broken] = ()) -> None:
        rows = [
            self._row(PHOTO, p.path, p.content, p.size, p.changed_ns, p.looks, vector)
            for p, vector in zip(photos, vectors, strict=True)
        ]
        rows += [self._row(BROKEN, b.path, b.reason[:1000], b.size, b.changed_ns) for b in broken]
        self._upsert(rows)

    def move(self, moved: Sequence[tuple[str, Photo]]) -> None:
        if moved:
            self.put([photo for _, photo in moved], np.array([self.vector(before) for before, _ in moved]))
            self.remove([before for before, photo in moved if before != photo.path])

    def remove(self, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), BATCH):
            self._client.delete(NAME, ids=[_number(path) for path in paths[start : start + BATCH]])

    def compact(self) -> None:
        """Milvus does so by itself."""

    def _row(
        self,
        kind: str,
        path: str,
        content: str = "",
        size: int = 0,
        changed_ns: int = 0,
        looks: int = 0,
        vector: np.ndarray | None = None,
    ) -> dict[str, Any]:
        values = [0.0] * self.width if vector is None else np.asarray(vector, dtype=np.float32).tolist()
        row = {"id": _number(path), "kind": kind, "path": path, "content": content, "size": size}
        return row | {"changed_ns": changed_ns, "looks": looks, "vector": values}

    def _upsert(self, rows: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(rows), BATCH):
            self._client.upsert(NAME, list(rows[start : start + BATCH]))

    def _all(self, condition: str) -> list[dict[str, Any]]:
        fields = ["path", "content", "size", "changed_ns", "looks"]
        pages = self._client.query_iterator(NAME, filter=condition, output_fields=fields, batch_size=PAGE)
        found: list[dict[str, Any]] = []
        while page := pages.next():
            found += page
        pages.close()
        return found


def _number(path: str) -> int:
    """A positive 63-bit number of a path: the same path, the same number."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") >> 1
