"""The same store on a Milvus server, for more passages than one machine holds: `--store http://milvus:19530`.

Vectors and BM25 are searched by Milvus. Its BM25 reads the terms of our own analysis, so English and Chinese are found
as on one machine, and its scores are ours times k1 + 1. `--store FILE.db` is milvus-lite, the same client over a file,
with which this is tested: its k1 is 1.5 whatever it is told, and in a search restricted to some sources it counts terms
in these only, so that its scores differ a little.

Milvus knows no transactions, so an update adds the new passages first and deletes the old ones last: nobody finds
nothing. Killed in between, it leaves both; adding the document again puts that right.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from qa_system.document_processor.documents import Chunk, Document
from qa_system.document_processor.stored_form import (
    StoredDocument,
    as_json,
    chunk_from,
    describe,
    document_from,
    place_of,
    searched_terms,
    searched_text,
)
from qa_system.document_processor.vector_store import FORMAT, Change
from qa_system.retrieval.dense_retrieval import DEFAULT_EMBEDDING, Embedder, load_embedder
from qa_system.retrieval.text_analysis import VERSION, is_han
from shared.errors import UserError
from shared.text_encoder import Progress

K1, B = 1.2, 0.75
MOST_BYTES = 65_000  # of a text field
MOST_CHARACTERS = MOST_BYTES // 4
BATCH = 500  # rows a request
MOST_ROWS = 16_384  # of an answer
DEPTH = 1000  # passages for which BM25 is asked


class MilvusStore:
    """What `vector_store.VectorStore` is, in two collections: NAME_passages and NAME_documents."""

    def __init__(
        self, uri: str, embedding: str | Embedder | None = None, create: bool = True, name: str = "qa_system"
    ) -> None:
        """Connect. Raises UserError without pymilvus or server, and where the store's model or terms are others."""
        try:
            from pymilvus import MilvusClient
            from pymilvus.exceptions import MilvusException
        except ImportError as error:
            raise UserError("--store: Milvus needs pymilvus: run `make setup EXTRAS=scale`") from error
        self.folder, self._passages, self._documents = uri, f"{name}_passages", f"{name}_documents"
        try:
            self._client: Any = MilvusClient(uri, timeout=10)
        except (MilvusException, OSError) as error:
            reason = " ".join(str(error).split())[:100]
            raise UserError(f"--store {uri}: no Milvus answers there ({reason}): check the address") from error
        if isinstance(embedding, Embedder):
            self.embedder, embedding = embedding, embedding.name
        if not self._client.has_collection(self._documents):
            if not create:
                raise UserError(f"--store {uri}: there is no store: make one with python -m qa_system.ingest PATH")
            self.embedding = embedding or DEFAULT_EMBEDDING
            self._create()
        self.embedding = self._settings["embedding"]
        for what, here in (("format", FORMAT), ("terms", VERSION), ("embedding", embedding or self.embedding)):
            if self._settings[what] != here:
                raise UserError(
                    f"--store {uri}: its {what} is {self._settings[what]}, not {here}: ingest into another store"
                )
        if "embedder" in self.__dict__:  # it was given
            self._check_encoder(self.embedder)
        self.sparse, self.dense = _SparseLeg(self), _DenseLeg(self)

    def close(self) -> None:
        self._client.close()

    @cached_property
    def embedder(self) -> Embedder:
        """The encoder of the vectors. Raises UserError where it is another version of it."""
        embedder = load_embedder(self.embedding)
        self._check_encoder(embedder)
        return embedder

    def _check_encoder(self, embedder: Embedder) -> None:
        if embedder.fingerprint != self._settings["fingerprint"]:
            raise UserError(
                f"--store {self.folder}: its vectors are of another version of {embedder.name}: ingest anew"
            )

    def add(
        self,
        document: Document,
        chunks: Sequence[Chunk],
        *,
        split: str = "",
        metadata: Mapping[str, Any] | None = None,
        vectors: np.ndarray | None = None,
        on_progress: Progress = lambda done: None,
    ) -> Change:
        """Add a document with its N passages, or put it in the place of what its source held before.

        As `VectorStore.add`: `vectors` (N, width) where they were computed elsewhere.
        """
        before = self._record(document.source)
        version = _number(document.source, document.id, split)
        unchanged = before is not None and before["version"] == version
        if not unchanged:
            texts = [searched_text(chunk) for chunk in chunks]
            if vectors is None:
                vectors = self.embedder.encode(texts, "passage", on_progress)
            rows = [
                {
                    "row": _number(document.source, document.id, split, str(place)),
                    "version": version,
                    "id": chunk.id,
                    "document_id": document.id,
                    "source": document.source,
                    "text": chunk.text,
                    "place": place_of(chunk),
                    "terms": " ".join(map(_ascii, searched_terms(chunk))),
                    "vector": vector,
                    "chinese": is_han(chunk.text),
                }
                for place, (chunk, text, vector) in enumerate(zip(chunks, texts, vectors, strict=True))
            ]
            for start in range(0, len(rows), BATCH):
                self._client.upsert(self._passages, rows[start : start + BATCH])
            self._write_record(document, version, describe(document, split, len(chunks), metadata or {}))
        self._client.delete(self._passages, filter=f"source == {_quoted(document.source)} and version != {version}")
        return "unchanged" if unchanged else "updated" if before else "added"

    def delete(self, source: str) -> int:
        """Delete a document with all its passages; the number of these, 0 where there is no such source."""
        before = self._record(source)
        self._client.delete(self._passages, filter=f"source == {_quoted(source)}")
        self._client.delete(self._documents, filter=f"source == {_quoted(source)}")
        return before["line"]["chunks"] if before else 0

    @contextmanager
    def view(self) -> Iterator["MilvusStore"]:
        """Here only a name: Milvus answers each request from its newest state."""
        yield self

    def chunks(self, rows: Sequence[int]) -> list[Chunk | None]:
        """The passages of these rows; None for one that was deleted in this moment."""
        fields = ["id", "document_id", "source", "text", "place"]
        found = {row["row"]: row for row in self._query(self._passages, rows, ["row", *fields])}
        return [
            chunk_from(*(found[row][field] for field in fields)) if row in found else None for row in map(int, rows)
        ]

    def rows_of(self, sources: Sequence[str]) -> np.ndarray:
        """The rows (N,) of these sources' passages."""
        rows = self._all(self._passages, f"source in {json.dumps(list(sources), ensure_ascii=False)}", ["row"])
        return np.array([row["row"] for row in rows], dtype=np.int64)

    def are_chinese(self, rows: Sequence[int]) -> np.ndarray:
        """Which of these rows' passages (N,) are written in Chinese."""
        found = {row["row"] for row in self._query(self._passages, rows, ["row", "chinese"]) if row["chinese"]}
        return np.array([int(row) in found for row in rows], dtype=bool)

    def documents(self) -> list[StoredDocument]:
        """All documents, by source."""
        found = self._all(self._documents, "part == 0 and source != ''", ["about"])
        return sorted((StoredDocument(**row["about"]["line"]) for row in found), key=lambda line: line.source)

    def document(self, source: str) -> Document | None:
        parts = self._all(self._documents, f"source == {_quoted(source)}", ["part", "content"])
        content = "".join(row["content"] for row in sorted(parts, key=lambda row: row["part"]))
        return document_from(content) if content else None

    def __len__(self) -> int:
        """The number of passages."""
        return self.count("")

    def count(self, condition: str) -> int:
        """The number of passages for which this holds."""
        return self._client.query(self._passages, filter=condition, output_fields=["count(*)"])[0]["count(*)"]

    def _create(self) -> None:
        from pymilvus import DataType, Function, FunctionType

        embedder = self.embedder = load_embedder(self.embedding) if "embedder" not in self.__dict__ else self.embedder
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("version", DataType.INT64)
        for field in ("id", "document_id"):
            schema.add_field(field, DataType.VARCHAR, max_length=64)
        schema.add_field("source", DataType.VARCHAR, max_length=4096)
        schema.add_field("text", DataType.VARCHAR, max_length=MOST_BYTES)
        schema.add_field("place", DataType.VARCHAR, max_length=MOST_BYTES)
        schema.add_field(
            "terms",
            DataType.VARCHAR,
            max_length=MOST_BYTES,
            enable_analyzer=True,
            enable_match=True,
            analyzer_params={"tokenizer": "standard"},
        )
        schema.add_field("chinese", DataType.BOOL)
        schema.add_field("bm25", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=embedder.width)
        bm25 = Function("bm25", FunctionType.BM25, input_field_names=["terms"], output_field_names=["bm25"])
        schema.add_function(bm25)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        constants = {"bm25_k1": K1, "bm25_b": B}
        index.add_index("bm25", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=constants)
        self._client.create_collection(self._passages, schema=schema, index_params=index, consistency_level="Strong")
        # The documents as they were read, in parts; a collection must have a vector, so that each has a short one.
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("key", DataType.INT64, is_primary=True)
        schema.add_field("source", DataType.VARCHAR, max_length=4096)
        schema.add_field("part", DataType.INT64)
        schema.add_field("about", DataType.JSON)
        schema.add_field("content", DataType.VARCHAR, max_length=MOST_BYTES)
        schema.add_field("unused", DataType.FLOAT_VECTOR, dim=2)
        index = self._client.prepare_index_params()
        index.add_index("unused", index_type="FLAT", metric_type="IP")
        self._client.create_collection(self._documents, schema=schema, index_params=index, consistency_level="Strong")
        settings = {"format": FORMAT, "terms": VERSION, "embedding": self.embedding}
        self._write_parts("", {**settings, "fingerprint": embedder.fingerprint}, "")

    @cached_property
    def _settings(self) -> dict[str, str]:
        found = self._all(self._documents, "source == ''", ["about"])
        if not found:
            raise UserError(f"--store {self.folder}: was not finished when it was made: drop {self._documents}")
        return found[0]["about"]

    def _record(self, source: str) -> dict[str, Any] | None:
        found = self._all(self._documents, f"source == {_quoted(source)} and part == 0", ["about"])
        return found[0]["about"] if found else None

    def _write_record(self, document: Document, version: int, line: StoredDocument) -> None:
        self._client.delete(self._documents, filter=f"source == {_quoted(document.source)}")
        self._write_parts(document.source, {"version": version, "line": asdict(line)}, as_json(document))

    def _write_parts(self, source: str, about: Mapping[str, Any], content: str) -> None:
        """The first part, which says that the record is there, is written last."""
        starts = range(0, max(len(content), 1), MOST_CHARACTERS)
        rows = [
            {
                "key": _number(source, str(part)),
                "source": source,
                "part": part,
                "about": about if part == 0 else {},
                "content": content[start : start + MOST_CHARACTERS],
                "unused": [0.0, 0.0],
            }
            for part, start in enumerate(starts)
        ]
        for row in reversed(rows):
            self._client.upsert(self._documents, [row])

    def _query(self, collection: str, rows: Sequence[int], fields: list[str]) -> list[dict[str, Any]]:
        return self._client.query(collection, ids=list(map(int, rows)), output_fields=fields) if len(rows) else []

    def _all(self, collection: str, condition: str, fields: list[str]) -> list[dict[str, Any]]:
        pages = self._client.query_iterator(
            collection, filter=condition, output_fields=fields, batch_size=MOST_ROWS // 4
        )
        found: list[dict[str, Any]] = []
        while page := pages.next():
            found += page
        pages.close()
        return found

    def search(self, leg: str, query: Any, k: int, among: Sequence[int] | np.ndarray | None) -> tuple:
        """Ids (k,) and scores (k,) of one leg's best: `bm25` by a text of terms, `vector` by a vector."""
        if among is not None and not len(among):
            return np.empty(0, dtype=np.int64), np.empty(0)
        condition = f"row in {[int(row) for row in among]}" if among is not None else ""
        found = self._client.search(
            self._passages,
            data=[query],
            anns_field=leg,
            limit=min(k, MOST_ROWS),
            filter=condition,
            output_fields=["row"],
            search_params={"metric_type": "BM25" if leg == "bm25" else "IP"},
        )[0]
        ids = np.array([hit["row"] for hit in found], dtype=np.int64)
        scores = np.array([hit["distance"] for hit in found], dtype=np.float64)
        order = np.lexsort((ids, -np.abs(scores) if leg == "bm25" else -scores))
        return ids[order], scores[order]


class _DenseLeg:
    """`DenseIndex`, asked of Milvus."""

    def __init__(self, store: MilvusStore) -> None:
        self._store = store

    def search(self, vector: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self._store.search("vector", np.asarray(vector, dtype=np.float32).tolist(), k, among)

    def scores_of(self, vector: np.ndarray, ids: Sequence[int]) -> np.ndarray:
        return self.vectors(ids) @ np.asarray(vector, dtype=np.float32)

    def vectors(self, ids: Sequence[int]) -> np.ndarray:
        found = {row["row"]: row["vector"] for row in self._store._query(self._store._passages, ids, ["row", "vector"])}
        nowhere = [0.0] * self._store.embedder.width  # of one that was deleted in this moment
        return np.array([found.get(int(row), nowhere) for row in ids], dtype=np.float32)


class _SparseLeg:
    """`SparseIndex`, asked of Milvus. A term's weight in the query is how often it is repeated there."""

    def __init__(self, store: MilvusStore) -> None:
        self._store = store

    def search(self, query: Sequence[str], k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        if not query:
            return np.empty(0, dtype=np.int64), np.empty(0)
        ids, scores = self._store.search("bm25", " ".join(map(_ascii, query)), k, among)
        return ids, np.abs(scores) / (K1 + 1)  # milvus-lite gives distances below zero

    def possible(self, query: Sequence[str]) -> float:
        """The sum of the idf of the query's terms, by counting the passages that have each."""
        n = len(self._store)
        df = [self._store.count(f"TEXT_MATCH(terms, {_quoted(_ascii(term))})") for term in query]
        return sum(np.log1p((n - d + 0.5) / (d + 0.5)) for d in df)

    def scores_of(self, query: Sequence[str], ids: Sequence[int]) -> np.ndarray:
        """The scores (N,); 0 also for what is not among the best 1000, since a search among `ids` only would
        count terms among these only."""
        found, scores = self.search(query, DEPTH)
        known = dict(zip(found.tolist(), scores.tolist(), strict=True))
        return np.array([known.get(int(row), 0.0) for row in ids])


def _ascii(term: str) -> str:
    """A term that Milvus's own analyser leaves whole: Han pairs and the like as the hexadecimal of their bytes."""
    return term if re.fullmatch("[a-z0-9]+", term) and not term.startswith("x0") else "x0" + term.encode().hex()


def _number(*parts: str) -> int:
    """A positive 63-bit number of these texts: the same parts, the same number."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
