"""The benchmark on a small collection made here: its keys, what it reads, what it refuses."""

import json
from dataclasses import replace

import pytest

from qa_system import retrieval_benchmark
from qa_system.benchmark import BENCHMARKS
from qa_system.fusion_benchmark import FusionTrialsConfig, measure_fusion
from qa_system.retrieval_benchmark import RetrievalConfig, measure_retrieval, read_collection
from shared.errors import UserError


@pytest.fixture
def collection(tmp_path):
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "title": "", "text": text} for n, text in enumerate(["wing", "engine heat", "flow"])]
    questions = [{"_id": "q0", "text": "the wing"}, {"_id": "q1", "text": "of heat"}, {"_id": "unjudged", "text": "x"}]
    for name, lines in (("corpus", corpus), ("queries", questions)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    judged = "query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t2\nq1\td2\t0\n"
    (folder / "qrels" / "test.tsv").write_text(judged, encoding="utf-8")
    return folder


def test_only_judged_questions_are_asked(collection):
    read = read_collection(collection)
    assert read.questions == {"q0": "the wing", "q1": "of heat"}
    assert read.judgements == {"q0": {"d0": 1}, "q1": {"d1": 2, "d2": 0}}
    assert read.documents[1] == ("d1", "", "engine heat")


def test_the_keys_are_those_of_the_design_and_vectors_are_kept(collection, tiny_checkpoint, tmp_path, monkeypatch):
    pytest.importorskip("bm25s")
    config = RetrievalConfig(data=str(collection), embedding=str(tiny_checkpoint), vectors=str(tmp_path / "kept"))
    result, rows, _ = measure_retrieval(config)
    for method in ("bm25", "dense", "hybrid"):
        assert {"ndcg_10", "map", "mrr", "recall_100", "queries_per_s"} <= set(result[method])
    assert result["bm25"]["mrr"] == 1 and result["n"] == 2
    assert result["fusion"]["dense_weight"] == 0.45 and result["bm25s_queries_per_s"] > 0
    assert [row["method"] for row in rows[:3]] == ["bm25", "dense", "hybrid"]
    assert {row["source"] for row in rows} == {"here"}, "nothing is published on this collection"
    assert len(list((tmp_path / "kept").iterdir())) == 2
    again = measure_retrieval(config).result
    assert again["dense"]["ndcg_10"] == result["dense"]["ndcg_10"]
    assert BENCHMARKS["retrieval"].config_class is RetrievalConfig


def test_published_scores_stand_beside_the_split_that_they_are_of_alone(collection, tiny_checkpoint, monkeypatch):
    theirs = {"method": "theirs", "source": "them"}
    monkeypatch.setitem(retrieval_benchmark.PUBLISHED, "set", [theirs])
    (collection / "qrels" / "dev.tsv").write_bytes((collection / "qrels" / "test.tsv").read_bytes())
    config = RetrievalConfig(data=str(collection), embedding=str(tiny_checkpoint))
    assert theirs in measure_retrieval(config).rows
    on_dev = measure_retrieval(replace(config, split="dev"))
    assert theirs not in on_dev.rows and on_dev.result["split"] == "dev"
    assert replace(config, split="dev").variant.endswith("-dev"), "nor does its file take the other's place"


def test_results_of_several_sets_are_kept_side_by_side(collection):
    assert RetrievalConfig(data=str(collection), embedding="a/b").variant == "-set-b"
    both = RetrievalConfig(data=str(collection), questions=str(collection))
    assert both.variant == "-set-set-minilm"


@pytest.mark.parametrize(("file", "text"), [("corpus.jsonl", '{"id": 1}'), ("qrels/test.tsv", "a\tb\nc\td\n")])
def test_a_set_in_another_layout_is_one_clear_line(collection, file, text):
    (collection / file).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="not in BEIR's layout"):
        read_collection(collection)


def test_a_line_break_of_unicode_ends_no_line_of_a_file(collection):
    (collection / "queries.jsonl").write_text(
        '{"_id": "q0", "text": "a\u2028b"}\n{"_id": "q1", "text": "c"}\n', encoding="utf-8"
    )
    assert read_collection(collection).questions["q0"] == "a\u2028b"


def test_a_set_without_judgements_is_one_clear_line(collection):
    (collection / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n", encoding="utf-8")
    with pytest.raises(UserError, match="no judgements"):
        read_collection(collection)


def test_a_judged_question_that_is_missing_is_named(collection):
    (collection / "queries.jsonl").write_text('{"_id": "q0", "text": "a"}', encoding="utf-8")
    with pytest.raises(UserError, match="question q1 is judged"):
        read_collection(collection)


def test_settings_are_tried_on_the_training_questions_only(collection, tiny_checkpoint):
    (collection / "qrels" / "test.tsv").rename(collection / "qrels" / "train.tsv")
    config = FusionTrialsConfig(data=str(collection), embedding=str(tiny_checkpoint))
    result, rows, _ = measure_fusion(config)
    assert result["n"] == 2 and result["default"] is not None, "the default is one of those that are tried"
    assert max(row["ndcg_10"] for row in rows) >= result["crossed"]
    assert {row["method"] for row in rows} == {"bm25", "dense", "ranks", "hybrid"}
