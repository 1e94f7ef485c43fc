"""The reader: its windows point at the right words, it learns, its adapter computes what the whole network did."""

import json
from functools import partial
from pathlib import Path
from random import Random

import pytest

from qa_system.evaluation.squad import read_squad
from qa_system.generation.cloze import cloze_examples, deceive, hard_negatives, phrases, question_for
from qa_system.generation.reader_windows import Example, Span, Windows, token_spans
from shared.errors import UserError

WORDS = "what who when where which how many the a of in was is by opened built king queen tower iron wall sea stone"
NAMES = ("rome", "york", "delhi", "cairo", "paris", "lima", "oslo", "kyiv", "1889", "1750", "1920", ".", ",", "?")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A BERT of two small layers with random weights, whose tokenizer knows the words of these tests."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), *NAMES]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=400, **shape)).save_pretrained(folder)
    return folder


def made_questions(n, seed=0):
    """ "The tower was built in rome by the king." Where was it built? A third asks for what is not said."""
    random = Random(seed)
    places, rulers, things = NAMES[:8], ("king", "queen"), ("tower", "wall")
    examples = []
    for number in range(n):
        place, ruler, thing = random.choice(places), random.choice(rulers), random.choice(things)
        passage = f"The {thing} was built in {place} by the {ruler}."
        start = passage.index(place)
        asked = random.choice(things) if number % 3 == 0 else thing
        answers = ((start, start + len(place)),) if asked == thing else ()
        examples.append(
            Example(f"where was the {asked} built?", passage, answers, str(number), f"article {number % 4}")
        )
    return examples


def test_the_tokens_of_an_answer_spell_it(encoder):
    cutter = Windows(encoder)
    for example in made_questions(20):
        (window,) = cutter.cut([example])
        for first, last in token_spans(window, example.answers):
            start, end = window.offsets[first - window.first][0], window.offsets[last - window.first][1]
            assert (start, end) == example.answers[0]


def test_a_long_passage_is_read_in_windows_that_leave_out_nothing(encoder):
    passage = "the tower of iron . " * 200
    windows = Windows(encoder).cut([Example("where was the tower built?", passage, ())])
    covered = {place for window in windows for start, end in window.offsets for place in range(start, end)}
    assert len(windows) > 1 and all(len(window.ids) <= 384 for window in windows)
    assert covered == {place for place, character in enumerate(passage) if character != " "}


def test_words_of_question_and_passage_are_marked_but_stop_words_are_not(encoder):
    (window,) = Windows(encoder).cut([Example("where was the tower?", "The tower was iron.", ())])
    #                      [CLS] where was the tower ? [SEP] the tower was iron . [SEP]
    assert window.types == [0, 0, 0, 0, 3, 0, 0, 1, 2, 1, 1, 1, 1]


def test_a_reader_learns_what_stands_where_and_what_is_not_said(encoder):
    from qa_system.generation.reader import build_network, read_examples
    from qa_system.generation.reader_training import StageSettings, scores, train_stage

    cutter, network = Windows(encoder), build_network(encoder)
    settings = StageSettings(learning_rate=3e-3, epochs=12, batch_size=16, dropout=0.0)
    train_stage(network, cutter, lambda epoch: made_questions(200), settings, 0)
    unseen = made_questions(60, seed=9)
    found = scores(unseen, read_examples(network, cutter, unseen))
    assert found["f1"] > 0.9 and found["auroc"] > 0.9


def test_an_adapter_of_full_rank_computes_what_the_trained_network_does(encoder, tmp_path):
    import torch

    from qa_system.generation.reader import build_network, load_network, read_examples, save_reader
    from qa_system.generation.reader_training import StageSettings, train_stage

    cutter, whole, examples = Windows(encoder), build_network(encoder), made_questions(12)
    whole.encoder.embeddings.position_embeddings.requires_grad_(False)  # which an adapter leaves as they are
    train_stage(whole, cutter, lambda epoch: examples, StageSettings(epochs=2, batch_size=4, learning_rate=1e-3), 0)
    adapter = build_network(encoder, rank=32, word_rank=32)
    adapter.approximate(whole)
    save_reader(adapter.eval(), tmp_path / "reader", 32, 32)
    loaded = load_network(tmp_path / "reader", encoder)
    assert not any(weight.requires_grad for weight in loaded.parameters())
    for one, other in zip(read_examples(whole, cutter, examples), read_examples(loaded, cutter, examples), strict=True):
        assert one.score == pytest.approx(other.score, abs=0.05)  # half precision
    assert torch.isfinite(torch.tensor([span.score for span in read_examples(loaded, cutter, examples)])).all()


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_reader_is_refused_in_one_line(encoder, tmp_path, damage):
    from qa_system.generation.reader import WEIGHTS, build_network, load_network, save_reader

    save_reader(build_network(encoder, 2, 2), tmp_path, 2, 2)
    if damage == "missing":
        (tmp_path / WEIGHTS).unlink()
    elif damage == "cut":
        (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:100])
    else:
        (tmp_path / "reader.json").write_text(json.dumps({"rank": 3, "word_rank": 2}), encoding="utf-8")
    with pytest.raises(UserError, match="train one anew"):
        load_network(tmp_path, encoder)


def test_a_phrase_is_asked_for_by_the_rest_of_its_sentence():
    sentence = "The tower was opened by Gustave Eiffel in 1889 with great success."
    found = {sentence[start:end]: kind for start, end, kind in phrases(sentence)}
    assert found["1889"] == "number" and found["Gustave Eiffel"] == "name"
    start = sentence.index("1889")
    for seed in range(20):
        question = question_for(sentence, start, start + 4, "number", Random(seed))
        assert "1889" not in question and question.endswith("?") and ("when" in question or "year" in question)


def test_made_examples_answer_with_a_slice_or_not_at_all():
    passages = [
        "The tower was opened by Gustave Eiffel in 1889. It is built of wrought iron. Visitors came from London.",
        "The wall near York was raised by soldiers in 1750. It has many gates made of stone. Tourists walk there.",
    ]
    made = list(cloze_examples([passages] * 20, Random(0)))
    answered = [example for example in made if example.answers]
    assert 0.5 < len(answered) / len(made) < 0.9
    for example in answered:
        ((start, end),) = example.answers
        assert example.passage[start:end].strip() and example.passage[start:end] in example.passage


def test_a_deceiving_question_differs_in_one_phrase_of_the_same_kind():
    changed = deceive("Who opened the tower in 1889?", ["The wall was raised in 1750."], Random(0))
    assert changed == "Who opened the tower in 1750?"
    examples = [each for each in made_questions(30) if each.answers]
    for example in hard_negatives(examples, Random(0), 1.0):
        assert example.answers == ()


def squad_file(path: Path, n_articles=6):
    """A file in SQuAD 2.0's format whose titles are article 0, 1, ..."""
    articles = []
    for number in range(n_articles):
        examples = made_questions(6, seed=number)
        paragraphs = [
            {
                "context": each.passage,
                "qas": [
                    {
                        "id": f"{number}-{place}",
                        "question": each.question,
                        "is_impossible": not each.answers,
                        "answers": [{"text": each.passage[s:e], "answer_start": s} for s, e in each.answers],
                    }
                ],
            }
            for place, each in enumerate(examples)
        ]
        articles.append({"title": f"article_{number}", "paragraphs": paragraphs})
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    return path


def test_a_file_is_read_with_every_answer_at_its_place(tmp_path):
    texts, asked = read_squad(squad_file(tmp_path / "squad.json"))
    assert list(texts) == [f"article {n}" for n in range(6)] and len(asked) == 36
    for each in asked:
        paragraph = texts[each.source][each.start : each.end]
        assert tuple(paragraph[slice(*place)] for place in each.places) == each.answers


def test_an_empty_answer_is_none_and_no_article_takes_anothers_place(tmp_path):
    def article(title, answer):
        question = {"id": "1", "question": "where?", "answers": [answer]}
        return {"title": title, "paragraphs": [{"context": f"in rome, {title}", "qas": [question]}]}

    nowhere, rome = {"text": "", "answer_start": -1}, {"text": "rome", "answer_start": 3}
    data = [article("A (2)", nowhere), article("A", rome), article("A", rome)]
    (tmp_path / "odd.json").write_text(json.dumps({"data": data}), encoding="utf-8")
    texts, asked = read_squad(tmp_path / "odd.json")
    assert [(each.answers, each.places) for each in asked[:2]] == [((), ()), (("rome",), ((3, 7),))]
    assert len(texts) == 3 and all(texts[each.source][each.start :].startswith("in rome") for each in asked)


@pytest.mark.parametrize("content", ["", "[]", '{"data": [{"paragraphs": [{"qas": [{}]}]}]}', '{"data": []}'])
def test_another_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "other.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="--data"):
        read_squad(tmp_path / "other.json")


def test_texts_that_give_no_question_to_practise_on_are_one_clear_line(tmp_path, monkeypatch):
    from qa_system.generation import reader_stages
    from qa_system.generation.train_reader import TrainReaderConfig

    stages = object.__new__(reader_stages.Stages)
    stages.config = TrainReaderConfig(data=str(squad_file(tmp_path / "squad.json")), practice="ours.txt")
    monkeypatch.setattr(reader_stages, "passages_of", lambda practice: [["短。"]])
    with pytest.raises(UserError, match="no question can be made"):
        stages.practice()


def test_a_set_whose_questions_all_have_answers_leaves_open_how_well_others_are_told(tmp_path, monkeypatch, capsys):
    from qa_system.generation import reader_stages, train_reader
    from qa_system.generation.reader import SETTINGS
    from qa_system.generation.reader_training import scores

    class Trained:
        def __init__(self, config, texts, asked):
            self.folder = tmp_path / "stages"

        def part(self, fold):
            return [Example("where?", "in rome", ((3, 7),))]

        def fold(self, number):
            examples = [Example("where?", "in rome", ((3, 7),), str(number), "a")]
            return scores(examples, [Span(3, 7, 0.5, 0.5)])

        def confidence(self):
            return {"fitted": {"threshold": 0.5}, "confidence": {"answered": 1.0, "abstain_auroc": None}}

        def student(self, fold, target):
            (target / SETTINGS).write_text('{"hardware": "-"}', encoding="utf-8")
            (target / "reader.safetensors").touch()

    monkeypatch.setattr(reader_stages, "Stages", Trained)
    train_reader.main(["--data", str(squad_file(tmp_path / "squad.json")), "--output", str(tmp_path)])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["f1"], found["auroc"]) == (1.0, None)
    assert "| auroc | – |" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "CC BY-SA" in (tmp_path / "README.md").read_text(encoding="utf-8")
    other = squad_file(tmp_path / "ours.json", n_articles=5)
    with pytest.raises(UserError, match="stages of a training with other data"):
        train_reader.main(["--data", str(other), "--output", str(tmp_path)])
    (tmp_path / "stages" / "made_for.json").unlink()
    train_reader.main(["--data", str(other), "--output", str(tmp_path)])
    assert "SQuAD" not in (tmp_path / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr(Trained, "part", lambda self, fold: [])
    with pytest.raises(UserError, match="in one fold"):
        train_reader.main(["--data", str(other), "--output", str(tmp_path)])


def test_questions_without_an_answer_leave_open_how_right_the_answers_are():
    from qa_system.generation.reader_training import scores

    found = scores([Example("where?", "in rome", ())], [Span(3, 7, 0.5, 0.5)])
    assert found == {"exact_match": None, "f1": None, "auroc_span": None, "auroc_verifier": None, "auroc": None, "n": 1}


@pytest.fixture
def short_training(encoder, monkeypatch):
    """Trainings of seconds, whose stores need no packaged model."""
    from qa_system import answer_benchmark
    from qa_system.evaluation import squad
    from qa_system.generation import reader_stages
    from qa_system.retrieval.dense_retrieval import Embedder
    from qa_system.tests.conftest import HashedWords

    monkeypatch.setattr(reader_stages, "QUESTIONS", {"learning_rate": 3e-3, "epochs": 2})
    monkeypatch.setattr(reader_stages, "STUDENT", {"learning_rate": 3e-3, "epochs": 2, "negatives": 0.5, "cloze": 0.5})
    monkeypatch.setattr("shared.assets.asset_path", lambda name: encoder)  # only its tokenizer is asked for
    fill, hashed = squad.fill_store, Embedder("hashed", HashedWords(), 16, "v1", True, 256)
    for module in (squad, answer_benchmark):
        monkeypatch.setattr(module, "fill_store", lambda folder, texts, embedding=None: fill(folder, texts, hashed))


@pytest.mark.slow
def test_the_command_trains_goes_on_and_says_what_it_was_trained_on(encoder, short_training, tmp_path, capsys):
    from qa_system.generation import train_reader
    from qa_system.generation.reader import Reader
    from shared.leaks import load_ids, text_id

    file, output = squad_file(tmp_path / "squad.json"), tmp_path / "reader"
    options = ["--data", str(file), "--output", str(output), "--hold_out", "true", "--practice", "none"]
    options += ["--folds", "2", "--teachers", "1", "--encoder", str(encoder), "--rank", "4", "--device", "cpu"]
    train_reader.main(options)
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert first["output"] == str(output) and 0 <= first["threshold"] <= 1
    texts, asked = read_squad(file)
    trained = load_ids(output)
    assert {text_id(each.question) for each in asked if each.source in ("article 1", "article 2")} <= trained
    unseen, seen = texts["article 0"].split("\n\n")[1], "".join(texts[f"article {n}"] for n in (1, 2, 4, 5))
    assert (text_id(unseen) in trained) == (unseen in seen)
    assert "CC BY-SA" in (output / "README.md").read_text(encoding="utf-8")
    (span,) = Reader(output).read("where was the tower built?", ["The tower was built in rome by the king."])
    assert span.end > span.start
    before = (output / "reader.safetensors").read_bytes()
    train_reader.main(options)
    assert (output / "reader.safetensors").read_bytes() == before  # nothing was trained again


@pytest.mark.slow
def test_a_benchmark_that_trains_anew_scores_the_articles_it_left_out(encoder, short_training, tmp_path, monkeypatch):
    from qa_system.answer_benchmark import AnswersConfig, measure_answers
    from qa_system.generation import train_reader

    file = squad_file(tmp_path / "squad.json")
    read = json.loads(file.read_text(encoding="utf-8"))
    for number, article in enumerate(read["data"]):
        for place, paragraph in enumerate(article["paragraphs"]):
            paragraph["context"] += f" {number} {place} ."  # else the same is asked of every article
            paragraph["qas"][0]["question"] += f" {number} {place}"
    file.write_text(json.dumps(read), encoding="utf-8")
    how = {"practice": "none", "folds": 2, "teachers": 1, "encoder": str(encoder), "rank": 4, "device": "cpu"}
    monkeypatch.setattr(train_reader, "TrainReaderConfig", partial(train_reader.TrainReaderConfig, **how))
    monkeypatch.chdir(tmp_path)
    config = AnswersConfig(data=str(file), generator="none", train=True)
    first = measure_answers(config).result
    assert first["n_excluded"] == 24 and first["n"] + first["n_unanswerable"] == 12
    weights = tmp_path / "runs" / "qa_system" / "reader-squad-0" / "reader.safetensors"
    before = weights.read_bytes()
    assert measure_answers(config).result == first and weights.read_bytes() == before  # nothing was trained again
