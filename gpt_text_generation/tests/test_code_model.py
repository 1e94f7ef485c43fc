"""The model behind the generator: a tiny random one, and the packaged one."""

import pytest

from gpt_text_generation.code_model import TransformersModel
from shared.errors import UserError

LETTERS = "abcdefghijklmnopqrstuvwxyz .,\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> TransformersModel:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = Tokenizer(models.WordLevel({letter: number for number, letter in enumerate([*LETTERS, "<end>"])}, "."))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.chat_template = "{% for each in messages %}<{{ each.role }}>{{ each.content }}{% endfor %}<answer>"
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(LETTERS) + 1, max_position_embeddings=128, eos_token_id=len(LETTERS), **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    return TransformersModel(str(folder))


def write(model, prompts, **how):
    return model.generate(prompts, **{"max_new_tokens": 12, "temperature": 0.0, "n": 1, "stop": (), "seed": 0, **how})


def test_greedy_answers_are_the_same_alone_and_together(tiny):
    prompts = ["the cat", "a", "one two three four"]
    together = write(tiny, prompts)
    assert together == [write(tiny, [prompt])[0] for prompt in prompts]
    assert [len(texts) for texts in together] == [1, 1, 1]


def test_drawn_answers_follow_from_the_seed(tiny):
    first = write(tiny, ["the", "cat"], temperature=1.0, n=3)
    assert [len(texts) for texts in first] == [3, 3]
    assert first == write(tiny, ["the", "cat"], temperature=1.0, n=3)
    assert first != write(tiny, ["the", "cat"], temperature=1.0, n=3, seed=1)
    assert len(set(first[0])) > 1


def test_an_answer_ends_with_a_stop(tiny):
    (free,) = write(tiny, ["the cat"], max_new_tokens=30)[0]
    stop = free[3:5]
    (stopped,) = write(tiny, ["the cat"], max_new_tokens=30, stop=(stop,))[0]
    assert stopped == free[: free.index(stop) + len(stop)]


def test_probabilities_are_those_of_the_tokens_one_by_one(tiny):
    import torch

    ids = tiny._read(["the cat sat"])["input_ids"]
    logits = tiny._model(ids).logits.double().log_softmax(-1)
    by_hand = sum(logits[0, place - 1, ids[0, place]].item() for place in range(7, 11)) / 4
    assert tiny.mean_log_probabilities("the cat", [" sat", ""]) == [pytest.approx(by_hand, abs=1e-4), float("-inf")]
    with torch.inference_mode():
        greedy, other = write(tiny, ["the cat"], max_new_tokens=3)[0][0], "zzz"
    likely = tiny.mean_log_probabilities("the cat", [greedy, other])
    assert likely[0] > likely[1]


def test_a_message_goes_through_the_chat_template(tiny):
    assert tiny.chat("hello") == "<user>hello<answer>"


def test_a_model_without_a_chat_template_is_one_clear_line(tiny, monkeypatch):
    monkeypatch.setattr(tiny._tokenizer, "chat_template", None)
    with pytest.raises(UserError, match="has no chat template, it only continues texts: use --style completion"):
        tiny.chat("hello")


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.usefixtures("every_guard")
def test_the_packaged_model_writes_a_function_that_passes():
    from gpt_text_generation.code_generator import CodeConfig, generate_code

    asked = "Give the sum of two numbers."
    config = CodeConfig(description=asked, signature="add(a, b)", tests="assert add(2, 3) == 5", candidates=1)
    code, _, result = generate_code(config)
    assert result["outcome"] == "passed", code
