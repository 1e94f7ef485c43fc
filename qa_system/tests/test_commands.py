"""The commands on a store of a tiny encoder: what they print, what they refuse, and how ingesting goes on."""

import json

import pytest

from qa_system import delete, evaluate, ingest, list_documents, search
from qa_system.ingest import IngestConfig
from shared.errors import UserError


@pytest.fixture
def run(capsys):
    """`run(module, "--flag", "value")`: its last line of output."""

    def run_one(module, *arguments):
        module.main(list(map(str, arguments)))
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run_one


@pytest.fixture
def library(tmp_path):
    """A folder with two good files, a broken one and a hidden one."""
    folder = tmp_path / "library"
    (folder / "deep").mkdir(parents=True)
    text = "The wing of the engine.\n\nIts heat and the flow of it, the long wing."
    (folder / "wing.txt").write_text(text, encoding="utf-8")
    (folder / "deep" / "机.md").write_text("# 机翼\n\n机翼的热流。", encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    (folder / ".hidden.txt").write_text("secret", encoding="utf-8")
    return folder


@pytest.fixture
def filled(library, tmp_path, tiny_checkpoint, run):
    store = tmp_path / "store"
    options = ("--embedding", tiny_checkpoint, "--max_tokens", 10, "--overlap_tokens", 2)
    return store, options, run(ingest, library, "--store", store, *options)


def test_one_bad_file_stops_nothing_and_the_next_run_reads_only_what_changed(filled, library, run, monkeypatch):
    store, options, first = filled
    assert (first["files"], first["added"], first["unchanged"]) == (3, 2, 0)
    assert sum(first["refused"].values()) == 1 and first["passages"] >= 3
    (library / "wing.txt").write_text("A new text.", encoding="utf-8")
    from qa_system.read_files import FileReader

    read, real = [], FileReader.read
    monkeypatch.setattr(FileReader, "read", lambda self, path: read.append(path.name) or real(self, path))
    again = run(ingest, library, "--store", store, *options)
    assert (again["added"], again["updated"], again["unchanged"]) == (0, 1, 1)
    assert sorted(read) == ["broken.pdf", "wing.txt"]


@pytest.mark.parametrize("where", ["store", "."])
def test_a_store_within_the_folder_is_not_read_the_next_time(library, run, tiny_checkpoint, where):
    options = ("--store", library / where, "--embedding", tiny_checkpoint, "--max_tokens", 10, "--overlap_tokens", 2)
    assert [run(ingest, library, *options)["files"] for _ in range(2)] == [3, 3]


def test_a_file_that_may_not_be_opened_stops_nothing(filled, library, run, monkeypatch):
    from pathlib import Path

    store, options, _ = filled
    (library / "new.txt").write_text("A new text of heat.", encoding="utf-8")
    real = Path.open

    def opened(self, *given, **named):
        if self.name == "wing.txt":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *given, **named)

    monkeypatch.setattr(Path, "open", opened)
    again = run(ingest, library, "--store", store, *options)
    assert again["added"] == 1 and again["refused"]["not readable"] == 1


def test_what_was_ingested_is_listed_found_and_deleted(filled, library, run):
    store, _, _ = filled
    listed = run(list_documents, "--store", store)
    sources = [document["source"] for document in listed["documents"]]
    assert sources == [str(library / "deep" / "机.md"), str(library / "wing.txt")]
    assert sum(document["chunks"] for document in listed["documents"]) == listed["passages"]
    found = run(search, "wing", "engine", "--store", store, "--k", 1)
    assert found["question"] == "wing engine"
    hit = found["hits"][0]
    assert hit["source"] == sources[1] and "wing" in hit["text"]
    assert (library / "wing.txt").read_text()[hit["start"] : hit["end"]] == hit["text"]
    only = run(search, "wing", "--store", store, "--sources", sources[0], "--method", "dense")
    assert {hit["source"] for hit in only["hits"]} == {sources[0]}
    assert run(delete, sources[1], "--store", store)["deleted"][sources[1]] >= 1
    assert [hit["source"] for hit in run(search, "engine", "--store", store, "--method", "bm25")["hits"]] == []


def test_evaluating_counts_questions_whose_source_is_not_there(filled, library, run, tmp_path):
    store, _, _ = filled
    questions = tmp_path / "questions.jsonl"
    lines = [
        {"question": "the wing of the engine", "sources": [str(library / "wing.txt")]},
        {"question": "机翼的热流", "sources": [str(library / "deep" / "机.md")]},
        {"question": "of nothing", "sources": ["nowhere.txt"]},
    ]
    questions.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    result = run(evaluate, "--questions", questions, "--store", store)
    assert (result["n"], result["without_source"]) == (3, 1)
    assert result["bm25"]["mrr"] == 1 and 0 < result["dense"]["mrr"] <= 1 and result["hybrid"]["recall_10"] == 1


@pytest.mark.parametrize(
    ("module", "arguments", "says"),
    [
        (ingest, ["nowhere", "--store", "s"], "nowhere: no such file"),
        (ingest, ["--store", "s"], "no files to ingest"),
        (ingest, ["x", "--store", "s", "--overlap_tokens", "150"], "--overlap_tokens 150"),
        (delete, ["a", "--store", "none"], "there is no store"),
        (list_documents, ["--store", "none"], "there is no store"),
        (search, ["--store", "none"], "no question"),
        (search, ["wing", "--store", "none", "--method", "magic"], "--method magic: choose one of hybrid"),
        (evaluate, ["--store", "none", "--questions", "none"], "--questions none: cannot read it"),
    ],
)
def test_what_the_user_can_mend_is_one_line(module, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says) as caught:
        module.main(arguments)
    assert "\n" not in str(caught.value)


def test_an_unknown_source_deletes_nothing(filled, library, run):
    store, _, _ = filled
    with pytest.raises(UserError, match=r"other\.txt: not in the store"):
        delete.main([str(library / "wing.txt"), "other.txt", "--store", str(store)])
    assert len(run(list_documents, "--store", store)["documents"]) == 2
    with pytest.raises(UserError, match="not in the store"):
        search.main(["wing", "--store", str(store), "--sources", "other.txt"])


def test_passages_longer_than_the_encoder_reads_are_refused(library, tmp_path, tiny_checkpoint):
    with pytest.raises(UserError, match="--max_tokens 200: .* reads 10"):
        ingest.main([str(library), "--store", str(tmp_path / "s"), "--embedding", str(tiny_checkpoint)])


@pytest.mark.parametrize("line", ["{}", "[]", "no json", '{"question": "a", "sources": "b"}'])
def test_a_bad_line_of_questions_is_named(tmp_path, line):
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "a", "sources": ["b"]}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2 is not"):
        evaluate.read_questions(file)


def test_without_ray_the_remedy_is_told(library, tmp_path, tiny_checkpoint, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    options = ["--embedding", str(tiny_checkpoint), "--max_tokens", "10", "--overlap_tokens", "2", "--engine", "ray"]
    with pytest.raises(UserError, match="make setup EXTRAS=scale"):
        ingest.main([str(library), "--store", str(tmp_path / "s"), *options])


@pytest.mark.slow
def test_a_local_ray_gives_the_store_that_this_process_gives(library, tmp_path, tiny_checkpoint):
    pytest.importorskip("ray")
    import ray

    from qa_system.document_processor.vector_store import VectorStore

    stores = {}
    for engine in ("local", "ray"):
        folder = tmp_path / engine
        settings = {"embedding": str(tiny_checkpoint), "max_tokens": 10, "overlap_tokens": 2, "engine": engine}
        result = ingest.ingest(IngestConfig(store=str(folder), **settings), [str(library)])
        assert (result["added"], sum(result["refused"].values())) == (2, 1)
        store = VectorStore(folder)
        with store.view() as view:
            rows = view.rows_of([line.source for line in store.documents()])
            stores[engine] = [view.chunks(rows), view.dense.vectors(rows)]
        store.close()
    ray.shutdown()
    assert stores["ray"][0] == stores["local"][0]
    assert stores["ray"][1] == pytest.approx(stores["local"][1], abs=1e-2)  # other batches, perhaps bf16
