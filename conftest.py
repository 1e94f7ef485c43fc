"""What every test of the repository runs under: no network, and on request an empty asset cache or a demo page."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

# Threads that wait for each other spin: on a busy machine the tests' tiny models would take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "", None)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """How long Hypothesis takes to draw an example depends on what else the machine does, so that is no failure.

    It takes a second to import, which is left to the files that use it.
    """
    if isinstance(collector, pytest.Module) and "hypothesis" in collector.path.read_text(encoding="utf-8"):
        from hypothesis import HealthCheck, settings

        settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("busy")


def _refuse_outside(address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else None  # a Unix socket's address is a path
    host = host.decode() if isinstance(host, bytes) else host
    if host not in LOOPBACK and not str(host).startswith("127."):
        # As on a machine without a network, so that code under test shows its offline side.
        raise OSError(errno.ENETUNREACH, f"tests have no network (wanted {host}); mark the test `network` if it must")


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    """Let sockets reach this machine only, and pip nothing, unless the test is marked `network`.

    Nor are there assets, which an earlier test may have fetched: a test that wants one says so by the mark. What
    fixtures make is there: they have their own cache below pytest's folder.
    """
    if request.node.get_closest_marker("network"):
        return
    temporary = str(tmp_path_factory.getbasetemp())
    if not os.environ.get("LAPTOP_LLM_CACHE", "").startswith(temporary):
        monkeypatch.setenv("LAPTOP_LLM_CACHE", f"{temporary}/no-assets/{uuid4().hex}")
    for name in ("connect", "connect_ex"):
        real = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, _real: Any = real) -> Any:
            _refuse_outside(address)
            return _real(self, address)

        monkeypatch.setattr(socket.socket, name, guarded)
    real_look_up = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **named: Any) -> Any:
        _refuse_outside((host,))
        return real_look_up(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    # Child processes have sockets of their own; pip is the one that the code under test starts.
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An asset cache folder that does not exist yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LAPTOP_LLM_CACHE", str(folder))
    return folder


@pytest.fixture
def run_page() -> Callable[..., Any]:
    """`run_page(file, "zh")`: a project's page, run once in this language."""
    from streamlit.testing.v1 import AppTest

    def run(file: Path, language: str = "en") -> Any:
        page = AppTest.from_file(str(file), default_timeout=120)
        page.query_params["lang"] = language
        return page.run()

    return run


@pytest.fixture(scope="session")
def tiny_language_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_language_model("llama")`: the folder of a small random model of this kind, with a byte-level tokenizer."""
    made: dict[tuple[str, int], Path] = {}

    def make(kind: str = "llama", window: int = 128) -> Path:
        if (kind, window) not in made:
            made[kind, window] = tmp_path_factory.mktemp(f"tiny-{kind}")
            _save_tiny_model(made[kind, window], kind, window)
        return made[kind, window]

    return make


def _save_tiny_model(folder: Path, kind: str, window: int) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat sat on the mat and the dog ran after the cat"] * 9, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    if kind == "llama":
        fast.chat_template = "{% for each in messages %}<{{ each.role }}>{{ each.content }}{% endfor %}<answer>"
    fast.save_pretrained(folder)
    end = fast.eos_token_id
    common = {"vocab_size": len(fast), "bos_token_id": end, "eos_token_id": end, "initializer_range": 0.25}
    if kind == "llama":
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = LlamaConfig(num_key_value_heads=2, max_position_embeddings=window, **sizes, **common)
    else:
        layers = {"gpt2": 4, "distilgpt2": 2}[kind]
        config = GPT2Config(n_embd=32, n_layer=layers, n_head=4, n_positions=window, **common)
    torch.manual_seed(5)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
