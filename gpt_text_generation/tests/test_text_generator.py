"""From a command line to a text: strategies, stopping, and what is asked wrongly told in one line."""

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gpt_text_generation import text_generator
from gpt_text_generation.decoding import ALLOWED, generation_configs, settings_for
from gpt_text_generation.text_generator import TextConfig, generate_text, main, write, write_all
from shared.config import parse_config
from shared.errors import UserError
from shared.language_model import load_language_model
from shared.streaming import Stream


@pytest.fixture(scope="module")
def folder(tiny_language_model):
    return str(tiny_language_model("llama"))


@pytest.fixture
def ask(folder):
    def run(**changes):
        how = {"prompt": "the cat", "model": folder, "backend": "transformers", "max_new_tokens": 20}
        return generate_text(TextConfig(**{**how, **changes}))

    return run


def asked(folder):
    return ["--model", folder, "--backend", "transformers", "--strategy", "greedy", "--max_new_tokens", "20"]


@pytest.mark.parametrize("strategy", generation_configs)
def test_every_strategy_writes_and_writes_the_same_again(ask, strategy):
    first = ask(strategy=strategy, seed=3)
    assert first["text"] and first["new_tokens"] <= 20 and first["ended_by"] in ("length", "end")
    assert ask(strategy=strategy, seed=3)["text"] == first["text"]


def test_another_seed_gives_another_text_where_tokens_are_drawn(ask):
    assert ask(strategy="nucleus", seed=1)["text"] != ask(strategy="nucleus", seed=2)["text"]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("strategy", generation_configs)
def test_texts_written_together_are_those_written_alone(tiny_language_model, kind, strategy, monkeypatch):
    """Prompts of different lengths, more of them than go together, and texts that end early, late and not at all."""
    monkeypatch.setattr(text_generator, "SEARCHED_AT_ONCE", 2)
    model = load_language_model(str(tiny_language_model(kind)), "transformers")
    prompts = ["the cat", "a dog ran after the cat and sat on the mat", "on"]
    settings = settings_for(strategy)
    for ends in ({model.tokenizer.eos_token_id}, {*range(100, 150)}):
        monkeypatch.setattr(model, "stop_ids", frozenset(ends))
        alone = [
            "".join(write(model, model.encode(prompt), settings, max_new_tokens=20, seed=seed))
            for seed, prompt in enumerate(prompts)
        ]
        assert write_all(model, prompts, settings, max_new_tokens=20, seeds=range(3)) == alone


@pytest.mark.parametrize("strategy", ["greedy", "beam_search", "contrastive"])
def test_prompts_that_leave_no_room_are_refused_together_as_alone(folder, strategy):
    model = load_language_model(folder, "transformers")
    for prompt in ("", "cat " * 200):
        with pytest.raises(ValueError, match="a prompt of .* tokens: give at least 1, and fewer than 128"):
            write_all(model, ["the cat", prompt], settings_for(strategy), max_new_tokens=5, seeds=(0, 1))


def test_a_text_ends_before_its_stop_string(ask):
    free = ask(strategy="greedy")["text"]
    stopped = ask(strategy="greedy", stop=["never in it", free[5:8]])
    assert stopped["text"] == free[: free.index(free[5:8])] and stopped["ended_by"] == "stop"


def test_a_request_goes_through_the_chat_template(folder):
    model = load_language_model(folder, "transformers")
    alone = Stream(model.session(), model.encode("<user>the cat<answer>"), max_new_tokens=10)
    how = {"strategy": "greedy", "model": folder, "backend": "transformers", "max_new_tokens": 10}
    assert generate_text(TextConfig(prompt="the cat", chat=True, **how))["text"] == "".join(alone)


def test_a_session_that_knows_the_prompt_reads_only_what_is_new(folder, monkeypatch):
    model = load_language_model(folder, "transformers")
    session = model.session()
    session.next_logits(model.encode("the cat sat"))
    read = []
    forward = model.network.forward
    monkeypatch.setattr(
        model.network, "forward", lambda input_ids, **how: read.append(input_ids.shape[1]) or forward(input_ids, **how)
    )
    ids = model.encode("the cat sat on")
    list(write(model, ids, settings_for("greedy"), max_new_tokens=2, session=session))
    assert read == [len(ids) - len(model.encode("the cat sat")), 1]


def test_the_program_streams_the_text_and_ends_with_one_json_line(folder, capsys, tmp_path):
    output = tmp_path / "text.txt"
    main(["--prompt", "the cat", *asked(folder), "--output", str(output)])
    text, line = capsys.readouterr().out[:-1].rsplit("\n", 1)
    result = json.loads(line)
    assert text == result["text"] == output.read_bytes().decode()
    assert (result["strategy"], result["output"], result["model"]) == ("greedy", str(output), folder)
    assert result["tokens_per_s"] > 0 and result["new_tokens"] > 0


def test_ctrl_c_keeps_what_was_written_and_prints_the_result(folder, capsys, monkeypatch, tmp_path):
    output = tmp_path / "text.txt"
    real = Stream.__iter__

    def interrupted(self):
        for number, piece in enumerate(real(self)):
            yield piece
            if number == 2:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Stream, "__iter__", interrupted)
    main(["--prompt", "the cat", *asked(folder), "--output", str(output)])
    shown = capsys.readouterr().out
    result = json.loads(shown.splitlines()[-1])
    assert result["ended_by"] == "cancelled" and 3 <= result["new_tokens"] <= 5
    assert shown.startswith(result["text"]) and output.read_bytes().decode() == result["text"] != ""


def test_an_error_on_the_way_keeps_what_was_written(folder, capsys, monkeypatch, tmp_path):
    output = tmp_path / "text.txt"
    real = Stream.__iter__

    def fails(self):
        for number, piece in enumerate(real(self)):
            yield piece
            if number == 2:
                raise RuntimeError("the model broke")

    monkeypatch.setattr(Stream, "__iter__", fails)
    with pytest.raises(RuntimeError, match="the model broke"):
        main(["--prompt", "the cat", *asked(folder), "--output", str(output)])
    kept = output.read_bytes().decode()
    assert kept and capsys.readouterr().out == kept + "\n"


@pytest.mark.parametrize(
    "flags, complaint",
    [
        (["--prompt", " "], "--prompt ' ': give some text to begin with"),
        (["--prompt", "x", "--strategy", "beem"], "--strategy beem: unknown, choose one of greedy, beam_search"),
        (["--prompt", "x", "--strategy", "greedy", "--top_k", "5"], "--top_k 5: greedy has no use for it"),
        (["--prompt", "x", "--top_p", "2"], "--top_p 2.0: give a number above 0 and at most 1"),
        (["--prompt", "x", "--max_new_tokens", "0"], "--max_new_tokens 0: give at least 1"),
        (["--prompt", "x", "--max_new_tokens", "-3"], "--max_new_tokens -3: give at least 1"),
        (["--prompt", "x", "--stop", ""], "--stop '': an empty text would stop at once"),
        (["--prompt", "x", "--stop", '["a", ""]'], "--stop .*an empty text would stop at once"),
        (["--prompt", "x", "--strategy", "contrastive", "--backend", "onnx"], "--backend onnx: contrastive needs more"),
        (["--prompt", "x", "--strategy", "beam_search", "--endpoint", "http://a/v1"], "a server gives no logits"),
        (["--prompt", "x", "--backend", "onnx", "--endpoint", "http://a/v1"], "no meaning with --endpoint"),
        (["--prompt", "x", "--endpoint", "http://a/v1", "--timeout_s", "0"], "--timeout_s 0.0"),
        (["--prompt", "x", "--temprature", "1"], "unknown option --temprature .did you mean --temperature"),
        ([], "--prompt: missing"),
    ],
)
def test_settings_that_make_no_sense_are_one_clear_line(flags, complaint):
    with pytest.raises(UserError, match=complaint) as raised:
        parse_config(TextConfig, flags)
    assert "\n" not in str(raised.value)


def test_a_stop_string_may_be_one_or_several():
    assert TextConfig(prompt="x", stop=".").stops == (".",)
    assert parse_config(TextConfig, ["--prompt", "x", "--stop", '["a", "b"]']).stops == ("a", "b")
    assert TextConfig(prompt="x").stops == ()


def test_a_prompt_longer_than_the_window_is_one_clear_line(ask):
    with pytest.raises(UserError, match=r"--prompt: \d+ tokens, and the window of .* holds 128 with the answer"):
        ask(prompt="the cat and the dog " * 40)


def test_a_broken_gguf_is_one_clear_line(tmp_path, empty_cache):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and nothing more")
    with pytest.raises(UserError, match=r"broken\.gguf: cannot be loaded"):
        generate_text(TextConfig(prompt="x", model=str(tmp_path)))


def test_chat_with_a_model_that_knows_none_is_one_clear_line(tiny_language_model):
    config = TextConfig(prompt="x", chat=True, model=str(tiny_language_model("gpt2")), backend="transformers")
    with pytest.raises(UserError, match="has no chat template"):
        generate_text(config)


@pytest.fixture
def server():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for text in ("from ", "far away"):
                self.wfile.write(f"data: {json.dumps({'choices': [{'text': text}]})}\n\n".encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    server.server_close()


def test_a_server_is_told_what_changes_something(server, capsys):
    url, asked = server
    main(["--prompt", "Tell", "--endpoint", url, "--model", "big", "--strategy", "nucleus", "--stop", "."])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["text"] == "from far away" and result["ended_by"] == "server"
    told = {"model": "big", "max_tokens": 200, "stream": True, "seed": 0, "prompt": "Tell", "stop": ["."]}
    assert asked == [{**told, "temperature": 1.0, "top_p": 0.9}]
    generate_text(TextConfig(prompt="Tell", endpoint=url, strategy="greedy"))
    assert asked[1]["temperature"] == 0.0 and "top_p" not in asked[1]


def test_a_dead_server_is_one_clear_line():
    with pytest.raises(UserError, match="no answer"):
        generate_text(TextConfig(prompt="x", endpoint="http://127.0.0.1:9/v1"))


@pytest.mark.slow
@pytest.mark.network
def test_the_packaged_model_tells_a_story_by_every_strategy():
    for strategy in generation_configs:
        result = generate_text(TextConfig(prompt="Once upon a time", strategy=strategy, max_new_tokens=12))
        assert len(result["text"].split()) >= 5, strategy


def test_every_number_of_a_strategy_can_be_given_on_the_command_line():
    assert {name for names in ALLOWED.values() for name in names} <= set(TextConfig.__dataclass_fields__)
