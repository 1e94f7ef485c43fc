"""Parsers of documents, of stores of them, and of questions about them: qa_system."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.borrowed import of_tests
from tools.fuzz_case import Parser, text_file


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

PARSERS = [
    text_file("squad", "a.json", json.dumps(SQUAD), _squad),
    text_file("questions", "a.jsonl", '{"question": "what?", "sources": ["a.txt"]}\n', _questions),
    Parser("beir", ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"), _build_beir, _read_beir),
    *map(_document, ("pdf", "docx", "html", "md", "txt")),
    Parser("store", ("store/store.sqlite",), _build_store, _read_store),
]
