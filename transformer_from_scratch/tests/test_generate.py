"""The command `generate`, on a model trained for a moment."""

import json

import pytest

from shared.errors import UserError
from transformer_from_scratch import generate, train_simple_lm


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generate")
    (folder / "text.txt").write_text("to be or not to be that is the question\n" * 100)
    train_simple_lm.main(
        ["--data", str(folder / "text.txt"), "--preset", "tiny", "--max_steps", "20", "--output", str(folder / "run")]
    )
    return str(folder / "run")


def write(capsys, *arguments: str) -> tuple[str, dict]:
    generate.main(list(arguments))
    *text, result = capsys.readouterr().out.splitlines()
    return "\n".join(text), json.loads(result)


def test_it_continues_the_prompt_and_ends_with_one_json_line(run, capsys):
    text, result = write(capsys, "--run", run, "--prompt", "to be", "--n_tokens", "40", "--seed", "1")
    assert text.startswith("to be") and text == "to be" + result["text"]
    assert len(result["text"]) == 40 and result["tokens_per_s"] > 0


def test_a_seed_repeats_the_text_with_and_without_the_cache(run, capsys):
    flags = ("--run", run, "--prompt", "to", "--n_tokens", "25", "--seed", "4")
    assert write(capsys, *flags)[1]["text"] == write(capsys, *flags, "--use_cache", "false")[1]["text"]


def test_characters_the_model_never_saw_are_named(run, capsys):
    generate.main(["--run", run, "--prompt", "be 影", "--n_tokens", "3"])
    assert "'影'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "nowhere"], "no run here"),
        ([], "--run: missing"),
        (["--run", "x", "--top_p", "0"], "--top_p 0.0: give a probability"),
        (["--run", "x", "--prompt", ""], "at least one character"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    with pytest.raises(UserError) as refusal:
        generate.main(arguments)
    assert message in str(refusal.value)
