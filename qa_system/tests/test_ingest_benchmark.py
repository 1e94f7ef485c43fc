"""`benchmark ingest` on a small folder: what it counts is what is there."""

import json

import pytest

from qa_system.document_processor import ingest_benchmark
from qa_system.document_processor.ingest_benchmark import IngestConfig, measure_ingest
from qa_system.tests.pdf_maker import column, make_pdf
from shared.errors import UserError

TEXT = "Ducks cross the river in the morning and geese wait until noon before they follow them. " * 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    make_pdf(tmp_path / "good.pdf", [column(TEXT, 50, 100, 70), [], column(TEXT, 50, 100, 70)])
    make_pdf(tmp_path / "locked.pdf", [column(TEXT, 50, 100, 70)], password="ducks")
    make_pdf(tmp_path / "sealed.pdf", [column(TEXT, 50, 100, 70)], password="geese")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "zero.pdf").write_bytes(b"")
    entries = [
        {"file": "good.pdf", "bytes": 1, "pdfium": {"pages": 3}},
        {"file": "locked.pdf", "bytes": 1, "pdfium": {"pages": 1}, "password": "ducks"},
        {"file": "broken.pdf", "bytes": 8, "pdfium": {"error": "no"}},
        {"file": "zero.pdf", "bytes": 0, "pdfium": {"error": "no"}},
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, entries)))
    monkeypatch.setattr(ingest_benchmark, "token_counter", lambda file: lambda texts: [len(t.split()) for t in texts])
    monkeypatch.setattr(ingest_benchmark, "asset_path", lambda name: tmp_path)
    return tmp_path


def test_counts_and_reasons(folder):
    result, rows, _ = measure_ingest(IngestConfig(data=str(folder), ocr=False))
    assert (result["files"], result["indexed"], result["crashed"]) == (5, 2, 0)
    assert result["refused"] == {"empty": 1, "malformed": 1, "password": 1}
    assert result["unexpected"] == []
    assert (result["pages"], result["text_pages"], result["empty_pages"], result["ocr_pages"]) == (4, 3, 1, 0)
    assert result["text_recovered"] == pytest.approx(1, abs=0.01)
    assert result["pages_per_s"] > 0 and result["peak_mb"] > 0
    assert 0 < result["longest_chunk_tokens"] <= 200
    assert [row["tool"] for row in rows] == ["ours", "pypdfium2", "pypdf"]
    assert {row["pages"] for row in rows} == {4}


def test_what_the_manifest_does_not_expect_is_named(folder):
    manifest = folder / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"ducks"', '"swans"'))
    result, _, _ = measure_ingest(IngestConfig(data=str(folder), ocr=False))
    assert result["unexpected"] == ["locked.pdf: password, expected to be read"]


def test_a_folder_without_pdfs_is_refused(tmp_path):
    with pytest.raises(UserError, match="no PDF files here"):
        measure_ingest(IngestConfig(data=str(tmp_path)))
