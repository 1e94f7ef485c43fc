"""The model behind the generator: a tiny random one, and the packaged one."""

import pytest

from gpt_text_generation.code_model import CodeModel, load_code_model
from shared.errors import UserError
from shared.language_model import load_language_model


@pytest.fixture(scope="module")
def tiny(tiny_language_model) -> CodeModel:
    return CodeModel(load_language_model(str(tiny_language_model("llama")), "transformers"))


def write(model, prompts, **how):
    return model.generate(prompts, **{"max_new_tokens": 12, "temperature": 0.0, "n": 1, "stop": (), "seed": 0, **how})


def test_greedy_answers_are_the_same_alone_and_together(tiny):
    prompts = ["the cat", "a", "one two three four"]
    together = write(tiny, prompts)
    assert together == [write(tiny, [prompt])[0] for prompt in prompts]
    assert [len(texts) for texts in together] == [1, 1, 1]


def test_drawn_answers_follow_from_the_seed_whatever_stands_beside_them(tiny):
    first = write(tiny, ["the", "cat"], temperature=1.0, n=3)
    assert [len(texts) for texts in first] == [3, 3]
    assert first == write(tiny, ["the", "cat"], temperature=1.0, n=3)
    assert first[1] == write(tiny, ["cat"], temperature=1.0, n=3)[0]
    assert first[1][:2] == write(tiny, ["cat", "a dog"], temperature=1.0, n=2)[0]
    assert first != write(tiny, ["the", "cat"], temperature=1.0, n=3, seed=1)
    assert len(set(first[0])) > 1


def test_a_low_temperature_is_nearly_greedy(tiny):
    assert write(tiny, ["the cat"], temperature=1e-4, n=2)[0] == write(tiny, ["the cat"])[0] * 2


def test_an_answer_ends_before_a_stop(tiny):
    (free,) = write(tiny, ["the cat"], max_new_tokens=30)[0]
    stop = free[3:5]
    (stopped,) = write(tiny, ["the cat"], max_new_tokens=30, stop=(stop,))[0]
    assert stopped == free[: free.index(stop)]


def test_a_request_that_fills_the_window_is_one_clear_line(tiny):
    with pytest.raises(UserError, match="a request of .* tokens, and its window holds 128 with the answer"):
        write(tiny, ["the cat", "the cat sat on the mat " * 90])


def test_the_mean_is_over_the_tokens_of_the_continuation(tiny):
    likely = tiny.mean_log_probabilities("the cat", [" sat", "", " sat on the"])
    model = tiny._model
    expected = model.log_probabilities(model.encode("the cat"), model.encode(" sat on the"))
    assert likely[1:] == [float("-inf"), pytest.approx(expected.mean(), abs=1e-4)]
    n = len(model.encode(" sat"))
    assert likely[0] == pytest.approx(expected[:n].mean(), abs=1e-4)


def test_a_message_goes_through_the_chat_template(tiny):
    assert tiny.chat("hello") == "<user>hello<answer>"


def test_a_model_without_a_chat_template_is_one_clear_line(tiny_language_model):
    model = load_code_model(str(tiny_language_model("gpt2")))
    with pytest.raises(UserError, match="has no chat template, it only continues texts: .*--style completion"):
        model.chat("hello")


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.usefixtures("every_guard")
def test_the_packaged_model_writes_a_function_that_passes():
    from gpt_text_generation.code_generator import CodeConfig, generate_code

    asked = "Give the sum of two numbers."
    config = CodeConfig(description=asked, signature="add(a, b)", tests="assert add(2, 3) == 5", candidates=1)
    code, _, result = generate_code(config)
    assert result["outcome"] == "passed", code
