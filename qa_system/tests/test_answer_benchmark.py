"""The benchmark on a small file: keys, questions left out, and a store without the question's article."""

import json

import pytest

from qa_system import answer_benchmark
from qa_system.answer_benchmark import AnswersConfig, GivenPassage, measure_answers, without_trained
from qa_system.evaluation import squad
from qa_system.generation import answer_generator, reader, writers
from shared.errors import UserError
from shared.leaks import save_ids

DESIGN_KEYS = {
    "exact_match",
    "f1",
    "gold_f1",
    "abstain_auroc",
    "out_of_collection_auroc",
    "citation_precision",
    "citation_coverage",
    "cited_spans",
    "cited_spans_verbatim",
    "n",
}
FACTS = {
    "Tower": [("The tower was opened in Paris in 1889.", "Where was the tower opened?", "Paris")],
    "Wall": [("Soldiers raised the wall near York in 1750.", "Who raised the wall?", "Soldiers")],
    "Cats": [("Cats sleep most of the day and hunt at night.", "When do cats hunt?", "at night")],
}


@pytest.fixture
def data(tmp_path):
    articles = []
    for title, facts in FACTS.items():
        paragraphs = []
        for number, (context, question, answer) in enumerate(facts):
            answers = [{"text": answer, "answer_start": context.index(answer)}]
            known = {"id": f"{title}{number}", "question": question, "is_impossible": False, "answers": answers}
            asked = f"Why was {title} painted green?"
            unknown = {"id": f"{title}x", "question": asked, "is_impossible": True, "answers": []}
            paragraphs.append({"context": context, "qas": [known, unknown]})
        articles.append({"title": title, "paragraphs": paragraphs})
    file = tmp_path / "squad.json"
    file.write_text(json.dumps({"data": articles}), encoding="utf-8")
    return file


@pytest.fixture
def no_models(monkeypatch, hashed_words, tmp_path):
    fill = squad.fill_store
    monkeypatch.setattr(answer_benchmark, "fill_store", lambda folder, texts, name: fill(folder, texts, hashed_words))
    monkeypatch.setattr(answer_generator, "load_reader", lambda folder: None)
    monkeypatch.setattr(reader, "SHIPPED", tmp_path / "nothing")


class Copier:
    """A writer that says the first passage again."""

    def count(self, text):
        return len(text.split())

    def write(self, messages, most, stop):
        yield messages[1]["content"].split("[1] ")[1].split("\n")[0]


@pytest.mark.network
def test_the_line_has_the_design_s_keys_for_each_generator(data, no_models, monkeypatch):
    monkeypatch.setattr(writers, "load_writer", lambda generator, model: Copier())
    result, rows, _ = measure_answers(AnswersConfig(data=str(data), generator="copier"))
    assert DESIGN_KEYS <= set(result) and DESIGN_KEYS <= set(result["copier"]) and result["n_excluded"] == 0
    assert (result["n"], result["n_unanswerable"]) == (3, 3)
    assert result["cited_spans"] == result["cited_spans_verbatim"] > 0 and result["citation_coverage"] == 1
    assert result["out_of_collection_auroc"] == 1  # no other article shares a word with these questions
    assert [row["generator"] for row in rows if row["source"] == "here"] == ["extractive", "copier"]
    assert result["copier"]["own_words"] > 0


def test_what_the_reader_was_trained_on_is_left_out_by_question_and_by_paragraph(data, tmp_path):
    texts, asked = squad.read_squad(data)
    save_ids(tmp_path / "reader", ["Where was the tower opened?", FACTS["Wall"][0][0]])
    kept, n_excluded = without_trained(asked, texts, str(tmp_path / "reader"))
    assert n_excluded == 3 and [each.source for each in kept] == ["Tower", "Cats", "Cats"]
    save_ids(tmp_path / "reader", [each.question for each in asked])
    with pytest.raises(UserError, match="nothing left"):
        without_trained(asked, texts, str(tmp_path / "reader"))


def test_the_right_paragraph_is_all_that_is_found(data):
    texts, asked = squad.read_squad(data)
    given = GivenPassage(store=None)
    given.give(asked[0], texts["Tower"][asked[0].start : asked[0].end])
    (hit,) = given.search("anything", 5)
    assert texts["Tower"][hit.chunk.start : hit.chunk.end] == hit.chunk.text == FACTS["Tower"][0][0]


@pytest.mark.network
def test_a_title_is_the_heading_of_its_article(tmp_path, data, hashed_words):
    texts, _ = squad.read_squad(data)
    store = squad.fill_store(tmp_path / "store", texts, hashed_words)
    (line, *_) = store.documents()
    with store.view() as view:
        (chunk,) = view.chunks(view.rows_of([line.source]))
    store.close()
    assert chunk.headings == (line.source,) and line.source in FACTS


@pytest.mark.network
def test_a_training_anew_learns_from_the_articles_that_are_not_scored_and_is_what_is_scored(
    data, no_models, monkeypatch
):
    from qa_system.generation import train_reader

    trained, scored = [], []
    monkeypatch.setattr(train_reader, "train_reader", trained.append)
    monkeypatch.setattr(
        answer_benchmark, "without_trained", lambda asked, texts, reader: scored.append(reader) or (asked, 0)
    )
    measure_answers(AnswersConfig(data=str(data), generator="none", train=True, seed=3))
    assert trained[0].hold_out and trained[0].seed == 3 and scored == [trained[0].output]
    assert data.stem in trained[0].output, "another file's reader is another one"
    with pytest.raises(ValueError, match="--reader"):
        AnswersConfig(data=str(data), train=True, reader="folder")
