"""A model by name: what it computes is what transformers computes, alone, with its cache, and in a batch."""

import shutil

import numpy as np
import pytest

from shared.errors import UserError
from shared.language_model import common_beginning, load_language_model
from shared.streaming import Stream

KINDS = ("llama", "gpt2", "distilgpt2")
PROMPTS = ["the cat", "a dog ran after the cat and the mat", "on", "sat on the mat"]


@pytest.fixture(scope="module")
def load(tiny_language_model):
    loaded = {}

    def get(kind="llama", window=128):
        if (kind, window) not in loaded:
            loaded[kind, window] = load_language_model(str(tiny_language_model(kind, window)), "transformers")
        return loaded[kind, window]

    return get


def by_transformers(model, prompt, max_new_tokens):
    """The tokens of its own greedy search."""
    import torch
    from transformers import GenerationConfig

    ids = torch.tensor([model.encode(prompt)])
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=sorted(model.stop_ids), pad_token_id=0
    )
    return model.network.generate(ids, generation_config=settings)[0, ids.shape[1] :].tolist()


def whole_logits(model, ids):
    import torch

    with torch.inference_mode():
        return model.network(torch.tensor([ids])).logits[0].numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_the_greedy_stream_is_the_greedy_search_of_transformers(load, kind):
    model = load(kind)
    for prompt in PROMPTS:
        stream = Stream(model.session(), model.encode(prompt), max_new_tokens=40)
        text = "".join(stream)
        assert stream.ids == by_transformers(model, prompt, 40)
        assert stream.text == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_writes_what_each_prompt_alone_writes(load, kind):
    model = load(kind)
    alone = ["".join(Stream(model.session(), model.encode(prompt), max_new_tokens=30)) for prompt in PROMPTS]
    assert model.generate_batch(PROMPTS, max_new_tokens=30) == alone
    assert len({len(text) for text in alone}) > 1
    stop = alone[0][4:6]
    stopped = ["".join(Stream(model.session(), model.encode(p), max_new_tokens=30, stop=[stop])) for p in PROMPTS]
    assert model.generate_batch(PROMPTS, max_new_tokens=30, stop=[stop]) == stopped
    assert stopped[0] == alone[0][: alone[0].index(stop)]


def test_rows_that_end_early_leave_the_batch_and_change_nothing(load, monkeypatch):
    """Whatever token ends a text: each row stops at its own, and the others go on as if alone."""
    model = load()
    ends = {by_transformers(model, PROMPTS[0], 30)[3], by_transformers(model, PROMPTS[1], 30)[9]}
    monkeypatch.setattr(model, "stop_ids", frozenset(ends))
    streams = [Stream(model.session(), model.encode(prompt), max_new_tokens=30) for prompt in PROMPTS]
    alone = ["".join(stream) for stream in streams]
    assert [stream.reason for stream in streams].count("end") >= 2
    assert model.generate_batch(PROMPTS, max_new_tokens=30) == alone


def test_a_batch_takes_a_function_for_each_row(load):
    def least_likely(logits, ids):
        return int(logits.argmin())

    model = load()
    first, second = model.generate_batch(["the cat"] * 2, [least_likely, lambda logits, ids: int(logits.argmax())])
    assert first == model.generate_batch(["the cat"], least_likely)[0] != second


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_gives_the_same_logits_however_the_texts_before_went(load, kind):
    model = load(kind)
    session = model.session()
    ids = model.encode("the cat sat on the mat")
    for asked in (ids, ids[:3], [*ids[:2], 9, 9], ids, [7], [*ids, *ids], ids, ids):
        np.testing.assert_allclose(session.next_logits(asked), whole_logits(model, asked)[-1], atol=2e-4)
    rows = session.last_logits(ids, len(ids))
    np.testing.assert_allclose(rows, whole_logits(model, ids), atol=2e-4)


def test_only_what_is_new_is_read(load, monkeypatch):
    model = load()
    session = model.session()
    session.next_logits(list(range(50)))
    read = []
    forward = model.network.forward
    monkeypatch.setattr(
        model.network,
        "forward",
        lambda input_ids, **named: read.append(input_ids.shape[1]) or forward(input_ids, **named),
    )
    session.next_logits([*range(50), 60, 61])
    session.next_logits([*range(40), 70])
    session.next_logits([*range(40), 70])
    assert read == [2, 1, 1]


def test_a_session_is_right_again_after_an_error(load, monkeypatch):
    model = load()
    session = model.session()
    ids = model.encode("the cat sat on the mat")
    session.next_logits(ids[:3])
    with monkeypatch.context() as broken:
        broken.setattr(model.network, "forward", lambda **named: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            session.next_logits(ids[:4])
    np.testing.assert_allclose(session.next_logits(ids), whole_logits(model, ids)[-1], atol=2e-4)


def test_probabilities_of_a_continuation_are_those_of_its_tokens_one_by_one(load):
    model = load()
    before, after = model.encode("the cat"), model.encode(" sat on")
    logits = whole_logits(model, before + after).astype(np.float64)
    by_hand = [
        logits[len(before) - 1 + i][t] - np.logaddexp.reduce(logits[len(before) - 1 + i]) for i, t in enumerate(after)
    ]
    np.testing.assert_allclose(model.log_probabilities(before, after), by_hand, atol=1e-4)
    assert model.log_probabilities(before, []).shape == (0,)
    with pytest.raises(ValueError, match="nothing before the tokens"):
        model.log_probabilities([], after)


def test_window_end_tokens_and_template_come_from_the_folder(load):
    llama, gpt2 = load(), load("gpt2")
    assert (llama.context, gpt2.context, llama.vocabulary) == (128, 128, len(llama.tokenizer))
    assert llama.stop_ids == {llama.tokenizer.eos_token_id}
    assert llama.chat([{"role": "user", "content": "hello"}]) == "<user>hello<answer>"
    assert llama.decode([*llama.encode("the cat"), llama.tokenizer.eos_token_id]) == "the cat"
    with pytest.raises(UserError, match="has no chat template"):
        gpt2.chat([{"role": "user", "content": "hello"}])


def test_what_stands_before_every_text_is_added_once(tiny_language_model):
    """A chat template writes the first token itself, and a continuation has none."""
    from tokenizers.processors import TemplateProcessing

    model = load_language_model(str(tiny_language_model()), "transformers")
    end = model.tokenizer.eos_token_id
    model.tokenizer.bos_token = "<end>"
    first = TemplateProcessing(single="<end> $A", special_tokens=[("<end>", end)])
    model.tokenizer.backend_tokenizer.post_processor = first
    assert model.encode("the")[0] == end and end not in model.encode("the")[1:]
    assert model.encode("<end>the") == model.encode("the")
    assert end not in model.encode("the", start=False)


def test_more_than_the_window_or_nothing_is_refused(load):
    model = load(window=16)
    for ids in ([], [1] * 17):
        with pytest.raises(ValueError, match="give 1 to 16 tokens"):
            model.session().next_logits(ids)
    for prompt in ("", "the cat and the dog and the mat and the cat and the dog and the mat"):
        with pytest.raises(ValueError, match="give at least 1, and fewer than 16"):
            model.generate_batch([prompt])


def test_writing_ends_where_the_window_is_full(load):
    model = load(window=16)
    stream = Stream(model.session(), model.encode("the cat"), max_new_tokens=99)
    alone = "".join(stream)
    assert len(model.encode("the cat")) + len(stream.ids) == 16 and stream.reason == "window"
    assert model.generate_batch(["the cat"], max_new_tokens=99) == [alone]


@pytest.mark.parametrize("spoil", ["no weights", "broken weights", "not a model"])
def test_a_folder_that_is_no_model_is_one_clear_line(tiny_language_model, tmp_path, spoil):
    folder = tmp_path / "model"
    shutil.copytree(tiny_language_model(), folder)
    if spoil == "no weights":
        (folder / "model.safetensors").unlink()
    elif spoil == "broken weights":
        (folder / "model.safetensors").write_bytes(b"not safe")
    else:
        shutil.rmtree(folder)
        folder.mkdir()
    with pytest.raises(UserError, match=r"no causal language model can be loaded .*use for example smollm2") as raised:
        load_language_model(str(folder), "transformers")
    assert "\n" not in str(raised.value)


def test_an_encoder_is_no_language_model_with_a_random_output_layer(tiny_language_model, tmp_path):
    from transformers import BertConfig, BertModel

    folder = tmp_path / "encoder"
    shutil.copytree(tiny_language_model(), folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=320, **sizes)).save_pretrained(folder)
    with pytest.raises(UserError, match=r"no causal language model can be loaded .*it lacks weights such as cls\."):
        load_language_model(str(folder), "transformers")


def test_a_name_that_nobody_knows_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="smollm2"):
        load_language_model("nobody/has-this", "transformers")


def test_a_common_beginning_is_counted_in_tokens():
    assert common_beginning([1, 2, 3], [1, 2, 4, 5]) == 2
    assert common_beginning([1, 2], [1, 2, 3]) == common_beginning([1, 2, 3], [1, 2]) == 2
    assert common_beginning([], [1]) == common_beginning([1], [2]) == 0
