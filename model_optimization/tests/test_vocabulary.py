"""A shorter table of word vectors changes nothing where its pieces were kept, and every text can still be read."""

import json
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from model_optimization.pruning.vocabulary import VocabularyConfig, factorise, trim
from model_optimization.subject import load_subject, save_subject
from shared.config import build
from shared.errors import UserError

TEXTS = ["The film was good , abcd efgh", "a good film", "good plot !"]  # ab ##cd ef ##gh
KEPT = ["good film abcd", "the plot , was a film !", "efcd", "x y z", ""]  # no piece but those, and single characters
DROPPED = ["this actor is dull", "mnop qrstuv abefgh"]


def logits(subject, text: str) -> torch.Tensor:
    ids = torch.tensor([subject.tokenizer.encode(text).ids])
    with torch.inference_mode():
        return subject.model(ids, torch.ones_like(ids))


def pieces(subject, text: str) -> list[str]:
    return subject.tokenizer.encode(text).tokens


@pytest.mark.parametrize("text", KEPT)
@pytest.mark.parametrize("changes", [{}, {"word_width": 5}])
def test_a_text_whose_pieces_were_all_kept_has_the_same_answer(text, changes, make_subject):
    whole = make_subject(**changes)
    trimmed = trim(whole, TEXTS, 1)
    assert pieces(trimmed, text) == pieces(whole, text)
    torch.testing.assert_close(logits(trimmed, text), logits(whole, text), atol=1e-6, rtol=0)


@pytest.mark.parametrize("text", DROPPED)
def test_a_text_with_dropped_pieces_is_spelled_in_shorter_ones(text, subject):
    trimmed = trim(subject, TEXTS, 1)
    before, after = pieces(subject, text), pieces(trimmed, text)
    assert len(after) > len(before) and "[UNK]" not in after
    assert "".join(after).replace("##", "") == "".join(before).replace("##", "")
    assert logits(trimmed, text).isfinite().all()


def test_what_was_unknown_stays_so(subject):
    trimmed = trim(subject, TEXTS, 1)
    assert pieces(trimmed, "good ☃") == pieces(subject, "good ☃") == ["[CLS]", "good", "[UNK]", "[SEP]"]
    assert trimmed.tokenizer.encode("good ☃").ids == [2, trimmed.tokenizer.token_to_id("good"), 1, 3]


@pytest.mark.parametrize(
    "at_least, words", [(1, {"the", "film", "was", "good", "plot"}), (2, {"film", "good"}), (3, {"good"})]
)
def test_kept_are_special_pieces_single_characters_and_what_occurs_often_enough(at_least, words, subject):
    kept = set(trim(subject, TEXTS, at_least).tokenizer.get_vocab())
    single = {piece for piece in subject.tokenizer.get_vocab() if len(piece.removeprefix("##")) == 1}
    continued = {"ab", "##cd", "ef", "##gh"} if at_least == 1 else set()
    assert kept == {"[PAD]", "[UNK]", "[CLS]", "[SEP]"} | single | words | continued


def test_a_long_text_is_counted_to_its_end_and_padding_is_not(subject):
    subject.tokenizer.enable_truncation(4)
    subject.tokenizer.enable_padding(length=50, pad_id=subject.tokenizer.token_to_id("dull"), pad_token="dull")
    kept = trim(subject, ["a good film of love"], 1).tokenizer.get_vocab()
    assert "love" in kept and "dull" not in kept


def test_the_smaller_classifier_is_whole(subject, tmp_path):
    trimmed = trim(subject, TEXTS, 1)
    n = trimmed.tokenizer.get_vocab_size()
    assert sorted(trimmed.tokenizer.get_vocab().values()) == list(range(n))
    assert trimmed.model.shape == replace(subject.model.shape, n_pieces=n)
    assert n < 100 < subject.model.shape.n_pieces == subject.tokenizer.get_vocab_size()
    assert replace(trimmed, model=subject.model, tokenizer=subject.tokenizer) == subject and not trimmed.model.training
    save_subject(trimmed, tmp_path)
    loaded = load_subject(tmp_path)
    assert torch.equal(logits(loaded, "good dull film"), logits(trimmed, "good dull film"))


def test_special_pieces_at_the_end_of_a_vocabulary_move_with_their_template(subject):
    """As BERT's stand at 100 to 103, and as tokenizers of sentence encoders write them around a text."""
    vocabulary = {"a": 0, "##a": 1, "film": 2, "plot": 3, "dull": 4, "[CLS]": 5, "[SEP]": 6, "[UNK]": 7}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.Sequence(
        [processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 5), ("[SEP]", 6)])]
    )
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    whole = replace(subject, tokenizer=tokenizer)
    trimmed = trim(whole, ["film a"], 1)
    assert trimmed.tokenizer.get_vocab() == {"a": 0, "##a": 1, "film": 2, "[CLS]": 3, "[SEP]": 4, "[UNK]": 5}
    assert trimmed.tokenizer.encode("a film").ids == [3, 0, 2, 4]
    assert pieces(trimmed, "plot aa") == ["[CLS]", "[UNK]", "a", "##a", "[SEP]"]
    for text in ("a film", "aa x"):
        assert torch.equal(logits(trimmed, text), logits(whole, text))


def test_a_special_piece_beyond_the_vocabulary_is_kept(make_subject):
    n = make_subject().tokenizer.get_vocab_size()
    whole = make_subject(n_pieces=n + 1)
    whole.tokenizer.add_special_tokens(["[SPEAKER]"])
    trimmed = trim(whole, TEXTS, 1)
    assert pieces(trimmed, "[SPEAKER] good") == ["[CLS]", "[SPEAKER]", "good", "[SEP]"]
    assert torch.equal(logits(trimmed, "[SPEAKER] good"), logits(whole, "[SPEAKER] good"))


def test_a_tokenizer_that_is_not_wordpiece_is_one_clear_line(checkpoint):
    with pytest.raises(UserError, match="its tokenizer is BPE: only WordPiece") as caught:
        trim(load_subject(checkpoint("roberta")), TEXTS, 1)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="--at_least 0"):
        build(VocabularyConfig, {"at_least": 0})


def test_the_description_of_the_tokenizer_stays_but_for_its_ids(subject):
    before, after = (json.loads(s.tokenizer.to_str()) for s in (subject, trim(subject, TEXTS, 1)))
    for described in (before, after):
        described["model"].pop("vocab")
    assert after == before


def test_word_vectors_nearly_as_wide_give_nearly_the_same_answers(subject):
    exact = torch.cat([logits(subject, text) for text in (*KEPT, *DROPPED)])
    errors = []
    for width in (15, 2):
        narrow = factorise(subject, width)
        assert narrow.model.embedding.words.weight.shape == (subject.model.shape.n_pieces, width)
        assert narrow.model.shape == replace(subject.model.shape, word_width=width)
        found = torch.cat([logits(narrow, text) for text in (*KEPT, *DROPPED)])
        errors.append((found - exact).abs().mean())
    assert 0 < errors[0] < 0.05 < errors[1]


def test_of_vectors_that_fill_few_dimensions_nothing_is_lost(subject):
    with torch.no_grad():
        words = subject.model.embedding.words.weight
        words[:] = words[:, :3] @ torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    for text in KEPT:
        torch.testing.assert_close(logits(factorise(subject, 3), text), logits(subject, text), atol=1e-4, rtol=0)


def test_no_product_of_that_width_is_nearer(subject):
    table = subject.model.embedding.words.weight.detach()
    narrow = factorise(subject, 6).model.embedding
    product = narrow.words.weight.detach() @ narrow.widen.weight.detach().T
    assert (product - table).square().sum() == pytest.approx(
        torch.linalg.svdvals(table)[6:].square().sum().item(), 1e-3
    )


def test_what_is_narrow_can_become_narrower(make_subject):
    narrow = make_subject(word_width=6)
    assert factorise(narrow, 5).model.shape.word_width == 5
    with pytest.raises(UserError, match="a word width of 6: give 1 to 5"):
        factorise(narrow, 6)
    tables = [s.model.embedding.words.weight @ s.model.embedding.widen.weight.T for s in (narrow, factorise(narrow, 5))]
    assert (tables[0] - tables[1]).square().mean() < 0.1 * tables[0].square().mean()


@pytest.mark.parametrize("width", [16, 17, 0, -1])
def test_a_width_that_is_not_narrower_is_one_clear_line(width, subject):
    with pytest.raises(UserError, match=f"a word width of {width}: give 1 to 15") as caught:
        factorise(subject, width)
    assert "\n" not in str(caught.value)
