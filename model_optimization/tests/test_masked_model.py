"""Guessing hidden words: as BERT does, hidden as its paper says, and what DistilBERT makes of it."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from model_optimization.distillation import distilbert_training
from model_optimization.distillation.distilbert_training import DistilBertConfig, cosine_loss, distilbert
from model_optimization.masked_model import Words, hide_words, load_masked_model
from model_optimization.subject import load_subject
from model_optimization.tests.conftest import randomise, word_piece
from model_optimization.texts import Texts
from model_optimization.training import Batch
from shared.config import build
from shared.errors import UserError


def save_bert(folder, guesses: bool, mask: bool = True):
    tokenizer = word_piece()
    if mask:
        tokenizer.add_special_tokens(["[MASK]"])
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=40, **sizes)
    model = (BertForMaskedLM if guesses else BertModel)(config)
    randomise(model)
    model.tie_weights()
    model.save_pretrained(folder)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return model.eval()


@pytest.fixture
def batch() -> Batch:
    ids = torch.randint(5, 400, (64, 30), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    ids[:, 0], mask[1::2, 20:] = 2, 0
    return Batch(ids, mask, torch.arange(64))


WORDS = Words(mask_id=4, n_pieces=400, special=(0, 1, 2, 3))


def test_it_guesses_as_transformers_does(tmp_path, batch):
    theirs = save_bert(tmp_path, guesses=True)
    ours, subject = load_masked_model(str(tmp_path), 32)
    assert ours.has_head and subject.max_length == 32 and subject.model is ours.encoder
    hidden = hide_words(batch, ours.words, seed=0)
    with torch.inference_mode():
        expected = theirs(input_ids=hidden.input_ids, attention_mask=hidden.attention_mask).logits[hidden.where]
        found = ours.eval()(hidden)
    torch.testing.assert_close(found.logits, expected, atol=1e-4, rtol=0)
    assert found.states.shape == (len(hidden.words), 16)


def test_an_encoder_without_a_head_gets_one_that_is_new(tmp_path):
    save_bert(tmp_path, guesses=False)
    assert not load_masked_model(str(tmp_path), 32)[0].has_head


def test_a_tokenizer_without_a_mask_is_one_clear_line(tmp_path):
    save_bert(tmp_path, guesses=False, mask=False)
    with pytest.raises(UserError, match=r"no \[MASK\]") as caught:
        load_masked_model(str(tmp_path), 32)
    assert "\n" not in str(caught.value)


def test_words_are_hidden_as_in_bert(batch):
    found = [hide_words(batch._replace(step=step), WORDS, seed=1) for step in range(20)]
    where = torch.stack([hidden.where for hidden in found])
    real = (batch.attention_mask == 1) & (batch.input_ids != 2)
    assert not where[:, ~real].any(), "neither padding nor [CLS]"
    assert where[:, real].float().mean() == pytest.approx(0.15, abs=0.01)
    shown = torch.cat([hidden.input_ids[hidden.where] for hidden in found])
    words = torch.cat([hidden.words for hidden in found])
    assert (shown == 4).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (shown == words).float().mean() == pytest.approx(0.1, abs=0.02)
    for hidden in found:
        assert torch.equal(hidden.input_ids[~hidden.where], batch.input_ids[~hidden.where])
        assert torch.equal(hidden.words, batch.input_ids[hidden.where])


def test_what_is_hidden_follows_from_seed_and_step(batch):
    def where(seed: int, step: int) -> torch.Tensor:
        return hide_words(batch._replace(step=step), WORDS, seed).where

    assert torch.equal(where(0, 3), where(0, 3))
    assert not torch.equal(where(0, 3), where(0, 4)) and not torch.equal(where(0, 3), where(1, 3))


def test_of_the_shortest_text_one_word_is_hidden():
    ids = torch.tensor([[2, 9, 3]])
    hidden = hide_words(Batch(ids, torch.ones_like(ids), torch.tensor([0])), WORDS, seed=5)
    assert hidden.where.tolist() == [[False, True, False]] and hidden.words.tolist() == [9]


def test_the_cosine_loss_by_hand():
    ours, theirs = torch.tensor([[1.0, 0.0], [2.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    assert float(cosine_loss(ours, theirs)) == pytest.approx((0 + 1 - 2**-0.5) / 2)


@pytest.fixture
def recipe(tmp_path, make_reviews, monkeypatch):
    """Settings for a tiny teacher and toy texts, by whether the teacher brings a head."""
    from model_optimization import texts

    reviews = make_reviews(24)
    monkeypatch.setattr(texts, "load_texts", lambda *_: Texts("toy", reviews, reviews, reviews))
    monkeypatch.setattr(texts, "film_texts", lambda: [review.text for review in reviews])

    def get(guesses: bool) -> DistilBertConfig:
        save_bert(tmp_path / "teacher", guesses)
        values = {"teacher": str(tmp_path / "teacher"), "output": str(tmp_path / "out"), "layers": "0,2", "n": 24}
        return DistilBertConfig(**values, max_length=24, task_epochs=1, epochs=1, learning_rate=0.01)

    return get


@pytest.mark.parametrize("guesses", [True, False])
def test_the_recipe_changes_the_student_and_only_a_missing_head_is_trained(guesses, recipe, tmp_path, monkeypatch):
    trained = []
    real = distilbert_training.train_head
    monkeypatch.setattr(distilbert_training, "train_head", lambda *a: (trained.append(1), real(*a)))
    config = recipe(guesses)
    found = distilbert(config)
    assert found.keys() == {"distilled", "not_distilled"} and all(0 <= score <= 1 for score in found.values())
    assert bool(trained) != guesses
    ours, plain = (load_subject(tmp_path / "out" / name).model for name in found)
    assert ours.shape == plain.shape and ours.shape.n_layers == 2
    assert not torch.allclose(ours.layers[0].query.weight, plain.layers[0].query.weight, atol=1e-3)
    assert not list((tmp_path / "out").rglob("*checkpoint*"))
    monkeypatch.setattr(distilbert_training, "pretrain", lambda *_: pytest.fail("made again"))
    assert distilbert(config) == found


@pytest.mark.parametrize("values", [{"temperature": 0}, {"n": 0}, {"max_length": 3}, {"epochs": 0}])
def test_nonsense_is_refused_by_name(values):
    with pytest.raises(UserError, match=f"--{next(iter(values))} "):
        build(DistilBertConfig, values)
