"""Word attributions: complete, on the right words, harmless to the model, and bounded."""

from dataclasses import replace

import pytest
import torch

from bert_sentiment_analysis.inference import attributions
from bert_sentiment_analysis.inference.attributions import explain
from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from bert_sentiment_analysis.models.classifier_settings import ClassifierSettings

ARCHITECTURES = ["bert", "roberta", "distilbert", "albert", "llama"]
LONG = "the plot is dull and it was bad . " * 4


def make_classifier(folder, **changes) -> TextClassifier:
    torch.manual_seed(0)
    names = changes.get("label_names", ("negative", "positive"))
    classifier = TextClassifier.from_pretrained(str(folder), names, head=changes.get("head", "classification"))
    torch.nn.init.normal_(classifier.output.weight)
    values = {"max_length": 24, "overlap": 8, "temperature": 2.0, **changes}
    classifier.settings = ClassifierSettings(**{**classifier.settings.__dict__, **values})
    return classifier.eval()


def answer_of(classifier, text) -> torch.Tensor:
    from bert_sentiment_analysis.models.batches import predict_logits

    return torch.from_numpy(predict_logits(classifier, [text]))[0]


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_credits_sum_up_to_the_calibrated_log_odds(tiny_encoder, architecture, pooling):
    classifier = make_classifier(tiny_encoder(architecture), pooling=pooling)
    found = explain(classifier, "a good film, not bad !", steps=256)  # random weights bend the path more than trained
    logits = answer_of(classifier, found.text)
    assert found.answer == pytest.approx(float(logits[1] - logits[0]) / 2.0, abs=1e-4)
    assert abs(found.answer - found.start) > 0.01
    assert found.error < 0.02 * max(1.0, abs(found.answer - found.start))
    assert found.speaks_for == "positive"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_words_are_whole_and_in_order(tiny_encoder, architecture):
    found = explain(make_classifier(tiny_encoder(architecture)), "Great actors, isn't it?", steps=4)
    words = [found.text[span.start : span.end] for span in found.spans]
    assert words == ["Great", "actors", ",", "isn't", "it", "?"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_empty_blank_and_emoji_texts_are_fine(tiny_encoder, architecture):
    classifier = make_classifier(tiny_encoder(architecture))
    for text in ("", " \n\t"):
        found = explain(classifier, text, steps=4)
        assert (found.text, found.spans, found.error) == ("", [], pytest.approx(0, abs=1e-5))
    found = explain(classifier, "😀👍🏽 good", steps=4)
    assert "".join(found.text[span.start : span.end] for span in found.spans).replace(" ", "").endswith("good")
    assert all(a.end <= b.start for a, b in zip(found.spans, found.spans[1:], strict=False))


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_chinese_stays_in_the_tokenizers_pieces(tiny_encoder, architecture):
    found = explain(make_classifier(tiny_encoder(architecture)), "很好看", steps=4)
    assert [tuple(span[:2]) for span in found.spans] == [(0, 1), (1, 2), (2, 3)]


def test_a_long_text_is_credited_as_it_is_answered_in_windows(tiny_encoder):
    classifier = make_classifier(tiny_encoder("bert"), max_length=24, overlap=8)
    found = explain(classifier, LONG[:100], steps=256)
    logits = answer_of(classifier, found.text)
    assert len(classifier.encode([found.text])[0]) == 2
    assert found.answer == pytest.approx(float(logits[1] - logits[0]) / 2.0, abs=1e-4)
    assert found.error < 0.02
    assert found.n_read == len(found.text)


def test_of_a_very_long_text_the_result_says_how_much_was_read(tiny_encoder):
    found = explain(make_classifier(tiny_encoder("bert")), LONG * 20, steps=4)
    assert 0 < found.n_read < 200 < len(found.text)
    assert found.spans[-1].end == found.n_read


def test_a_rating_and_three_classes_are_explained_too(tiny_encoder):
    rating = make_classifier(tiny_encoder("bert"), head="rating")
    found = explain(rating, "a good film", steps=256)
    assert found.speaks_for is None
    assert found.answer == pytest.approx(float(answer_of(rating, found.text)[0]), abs=1e-4)
    assert found.error < 0.02

    three = make_classifier(tiny_encoder("bert"), label_names=("negative", "neutral", "positive"))
    found, logits = explain(three, "a good film", steps=256), answer_of(three, "a good film")
    best = int(logits.argmax())
    rest = (logits.sum() - logits[best]) / 2
    assert found.speaks_for == three.settings.label_names[best]
    assert found.answer == pytest.approx(float(logits[best] - rest) / 2.0, abs=1e-4)
    assert found.error < 0.02


def test_with_a_partner_the_credits_of_both_count_as_their_answers_do(tiny_encoder):
    ours = make_classifier(tiny_encoder("llama"), head="rating")
    theirs = make_classifier(tiny_encoder("bert"), head="rating")
    text = "a great film 🎬, not dull"
    alone, other = explain(ours, text), explain(theirs, text)
    ours.partner = theirs
    ours.settings = replace(ours.settings, partner="x", partner_weight=0.25)
    found = explain(ours, text)
    assert found.answer == pytest.approx(0.75 * alone.answer + 0.25 * other.answer)
    assert found.error < 0.75 * alone.error + 0.25 * other.error + 1e-6
    values = {text[span.start : span.end]: span.value for span in found.spans}
    one, two = ({text[s.start : s.end]: s.value for s in each.spans} for each in (alone, other))
    assert values["great"] == pytest.approx(0.75 * one["great"] + 0.25 * two["great"])
    assert all(a.end <= b.start for a, b in zip(found.spans, found.spans[1:], strict=False))


def test_it_is_repeatable_and_leaves_the_model_as_it_was(tiny_encoder):
    classifier = make_classifier(tiny_encoder("bert"))
    before = answer_of(classifier, "a good film")
    assert explain(classifier, "a good film") == explain(classifier, "a good film")
    assert not classifier.training and all(weight.grad is None for weight in classifier.parameters())
    assert torch.equal(before, answer_of(classifier, "a good film"))
    assert torch.is_grad_enabled()


def test_a_frozen_model_can_be_explained(tiny_encoder):
    classifier = make_classifier(tiny_encoder("bert")).requires_grad_(False)
    assert explain(classifier, "a good film", steps=128).error < 0.02


def test_handles_and_entities_are_shown_as_the_model_reads_them(tiny_encoder):
    found = explain(make_classifier(tiny_encoder("bert")), "@bob &lt;b&gt; good", steps=4)
    assert found.text == "@user <b> good"
    assert found.spans[-1][:2] == (10, 14)


def test_bytes_and_pieces_in_one_place_become_one_span():
    by_token = [((0, 3), 1.0), ((3, 7), 2.0), ((7, 8), 4.0), ((8, 9), 8.0), ((8, 9), 16.0)]
    assert attributions._join_words("the film 😀", by_token[:2]) == [(0, 3, 1.0), (4, 8, 2.0)]
    assert attributions._join_words("the film😀", by_token)[-1] == (8, 9, 24.0)
