"""The fast engine: built once, the same however it is asked, and chosen only where it is the better one."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from shared import fast_decoding
from shared.errors import UserError
from shared.language_model import TransformersModel, load_language_model
from shared.streaming import Stream

onnxruntime_genai = pytest.importorskip("onnxruntime_genai")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for the file, so that the real builder runs once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPTOP_LLM_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def fast(cache, tiny_language_model):
    return load_language_model(str(tiny_language_model("llama")), "onnx")


@pytest.fixture
def forbid_building(monkeypatch):
    monkeypatch.setattr(fast_decoding.subprocess, "run", lambda *_, **__: pytest.fail("was built"))


def test_its_logits_are_nearly_those_of_the_full_weights(fast, tiny_language_model):
    full = load_language_model(str(tiny_language_model("llama")), "transformers")
    ids = fast.encode("the cat sat on the mat and the dog ran after the cat")
    ours, theirs = fast.session().last_logits(ids, 8), full.session().last_logits(ids, 8)
    alike = np.corrcoef(ours, theirs)[:8, 8:]
    # Random weights lose more by rounding than trained ones do; at another position the logits are not alike at all.
    assert alike.diagonal().mean() > 0.75
    assert alike.argmax(axis=1).tolist() == list(range(8))
    assert (fast.context, fast.vocabulary, fast.stop_ids) == (full.context, full.vocabulary, full.stop_ids)


def test_the_greedy_stream_is_the_engines_own_greedy_search(fast):
    ids = fast.encode("the cat sat")
    settings = onnxruntime_genai.GeneratorParams(fast.engine)
    settings.set_search_options(max_length=40, do_sample=False)
    generator = onnxruntime_genai.Generator(fast.engine, settings)
    generator.append_tokens(np.array(ids, dtype=np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    theirs = generator.get_sequence(0).tolist()
    stream = Stream(fast.session(), ids, max_new_tokens=40 - len(ids))
    list(stream)
    assert ids + stream.ids == theirs


def test_a_session_gives_the_same_logits_however_the_texts_before_went(fast, monkeypatch):
    monkeypatch.setattr(fast_decoding, "READ_AT_ONCE", 4)
    monkeypatch.setattr(fast_decoding, "FIRST_ROOM", 8)
    session = fast.session()
    ids = fast.encode("the cat sat on the mat")
    long = ids * 4
    for asked in (ids, ids[:3], [*ids[:2], 9, 9], ids, [7], long, ids, ids, long[:9]):
        expected = fast.session().last_logits(asked, len(asked))
        np.testing.assert_allclose(session.next_logits(asked), expected[-1], atol=1e-4)
        np.testing.assert_allclose(session.last_logits(asked, len(asked)), expected, atol=1e-4)
        np.testing.assert_allclose(session.last_logits(asked, 1), expected[-1:], atol=1e-4)


def test_only_what_is_new_is_read(fast):
    session = fast.session()
    session.next_logits(list(range(30)))
    read = []
    real = session._generator

    class Watched:
        def __getattr__(self, name):
            return getattr(real, name)

        def append_tokens(self, tokens):
            read.append(len(tokens))
            real.append_tokens(tokens)

    session._generator = Watched()
    session.next_logits([*range(30), 60, 61])
    session.next_logits([*range(20), 70])
    assert read == [2, 1]


def test_a_session_is_right_again_after_an_error(fast, monkeypatch):
    session = fast.session()
    ids = fast.encode("the cat sat on the mat")
    session.next_logits(ids[:3])
    with pytest.raises(ValueError, match="no token"):
        session.next_logits([*ids[:3], "no token"])
    np.testing.assert_allclose(session.next_logits(ids), fast.session().next_logits(ids), atol=1e-4)


def test_a_whole_window_can_be_read_and_no_more(fast):
    ids = [5] * fast.context
    assert np.isfinite(fast.session().next_logits(ids)).all()
    with pytest.raises(ValueError, match="give 1 to 128 tokens"):
        fast.session().next_logits([*ids, 5])
    stream = Stream(fast.session(), ids[:-1], max_new_tokens=9)
    list(stream)
    assert len(stream.ids) == 1


def test_probabilities_of_a_continuation_are_those_of_its_tokens_one_by_one(fast):
    before, after = fast.encode("the cat"), fast.encode(" sat on")
    session, by_hand = fast.session(), []
    for place, token in enumerate(after):
        logits = session.next_logits([*before, *after[:place]]).astype(np.float64)
        by_hand.append(logits[token] - np.logaddexp.reduce(logits))
    np.testing.assert_allclose(fast.log_probabilities(before, after), by_hand, atol=1e-4)


def test_a_batch_is_what_each_prompt_alone_gives(fast):
    prompts = ["the cat", "a dog ran"]
    alone = ["".join(Stream(fast.session(), fast.encode(prompt), max_new_tokens=9)) for prompt in prompts]
    assert fast.generate_batch(prompts, max_new_tokens=9) == alone


def test_it_is_built_once(fast, tiny_language_model, forbid_building):
    again = load_language_model(str(tiny_language_model("llama")), "onnx")
    ids = fast.encode("the cat")
    np.testing.assert_allclose(again.session().next_logits(ids), fast.session().next_logits(ids), atol=1e-5)


def test_changed_weights_are_built_anew(tiny_language_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_language_model("llama"), folder)
    place = fast_decoding._place(folder)
    assert fast_decoding._place(folder) == place
    (folder / "model.safetensors").touch()
    assert fast_decoding._place(folder) != place


@pytest.fixture
def measured(monkeypatch, fast):
    """`measured(ours, theirs, ratio)` in place of the measurement's seconds and perplexity ratio."""

    def tell(seconds, reference_seconds, ratio):
        monkeypatch.setattr(fast_decoding, "time_in_pairs", lambda *_: (seconds, reference_seconds))
        monkeypatch.setattr(fast_decoding, "perplexity_ratio", lambda *_: ratio)
        for kept in fast_decoding.cache_folder().glob("*.choice.json"):
            kept.unlink()

    return tell


@pytest.mark.parametrize(
    "seconds, reference_seconds, ratio, backend, reason",
    [
        (1.0, 3.0, 1.02, "onnx", "3.0 times as fast on this machine, for 2.0% more perplexity"),
        (2.0, 1.0, 1.02, "transformers", "it is the faster one on this machine"),
        (1.0, 3.0, 1.08, "transformers", "the other costs 8.0% perplexity"),
        (1.0, 3.0, float("nan"), "transformers", "the other costs"),
    ],
)
def test_it_is_taken_where_it_is_faster_and_nearly_as_good_and_that_is_kept(
    measured, monkeypatch, tiny_language_model, seconds, reference_seconds, ratio, backend, reason
):
    measured(seconds, reference_seconds, ratio)
    name = str(tiny_language_model("llama"))
    for _ in range(2):
        model = load_language_model(name)
        assert model.backend == backend and model.reason.startswith(reason)
        monkeypatch.setattr(fast_decoding, "_measure", lambda *_: pytest.fail("was measured again"))


def test_the_choice_is_measured_on_both_engines(fast, tiny_language_model):
    full = load_language_model(str(tiny_language_model("llama")), "transformers")
    choice = fast_decoding._measure(fast, full)
    assert choice["times_as_fast"] > 0 and 0.5 < choice["perplexity_ratio"] < 2
    assert fast_decoding.perplexity_ratio(full, full, ["the cat sat", "a dog ran"]) == 1


def test_without_the_package_transformers_takes_its_place(tiny_language_model, monkeypatch, empty_cache):
    monkeypatch.setattr(fast_decoding.importlib.util, "find_spec", lambda name: None)
    model = load_language_model(str(tiny_language_model("llama")))
    assert isinstance(model, TransformersModel) and model.reason == "onnxruntime-genai is not installed"
    with pytest.raises(UserError, match="--backend onnx: cannot run .*not installed: use --backend transformers"):
        load_language_model(str(tiny_language_model("llama")), "onnx")


@pytest.mark.parametrize(
    "stderr, reason, remembered",
    [
        ("The X model is not currently supported.", "its builder does not know this architecture", True),
        ("Traceback\nKeyError: 'x'\n", "its builder failed (KeyError: 'x')", False),
        ("", "its builder failed (exit code 1)", False),
    ],
)
def test_what_cannot_be_built_is_run_by_transformers_and_leaves_nothing(
    tiny_language_model, monkeypatch, empty_cache, stderr, reason, remembered
):
    asked = []

    def fails(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, "", stderr)

    monkeypatch.setattr(fast_decoding.subprocess, "run", fails)
    for _ in range(2):
        model = load_language_model(str(tiny_language_model("gpt2")))
        assert model.backend == "transformers" and model.reason == reason
    assert len(asked) == (1 if remembered else 2)
    kept = [path.name for path in empty_cache.iterdir()]
    assert len(kept) == remembered and all(name.endswith(".choice.json") for name in kept)


def test_a_builder_that_takes_too_long_is_given_up(tiny_language_model, monkeypatch, empty_cache):
    def slow(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(fast_decoding.subprocess, "run", slow)
    assert load_language_model(str(tiny_language_model("gpt2"))).reason == "its builder took more than 1800 seconds"


@pytest.mark.slow
def test_the_real_builder_refuses_what_it_does_not_know(tiny_language_model, empty_cache):
    assert load_language_model(str(tiny_language_model("gpt2"))).reason == "its builder does not know this architecture"


@pytest.mark.slow
@pytest.mark.network
def test_the_packaged_model_writes_sense_in_four_bits():
    # With some processors' kernels "What is the capital of France?" begins otherwise, and goes on in French.
    model = load_language_model("smollm2", "onnx")
    for question, answer in (("What colour is the sky?", "blue"), ("How many days are in a week?", "7 days")):
        ids = model.encode(model.chat([{"role": "user", "content": question}]))
        assert answer in "".join(Stream(model.session(), ids, max_new_tokens=30))
    assert "Paris" in "".join(Stream(model.session(), model.encode("The capital of France is"), max_new_tokens=4))


def test_the_kept_choice_is_readable(measured, tiny_language_model, cache):
    measured(1.0, 2.0, 1.01)
    load_language_model(str(tiny_language_model("llama")))
    (kept,) = cache.glob("*.choice.json")
    choice = json.loads(kept.read_text())
    assert choice["times_as_fast"] == 2 and choice["perplexity_ratio"] == 1.01
