"""The counts of the fault trials, small: nothing is wrong, nothing hangs, and a server that errs is found out."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model_optimization import faults_benchmark
from model_optimization.deployment.server_process import module_command, running
from model_optimization.faults_benchmark import FaultsConfig, clients, fuzz, kills, three_models
from shared.config import parse_config
from shared.errors import UserError
from shared.server_process import free_port

in_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="it looks for processes in /proc")


@pytest.fixture
def models(onnx_variant, tmp_path):
    return three_models(onnx_variant.folder, tmp_path / "three")


@pytest.fixture
def bodies(make_reviews):
    return [json.dumps({"texts": [example.text]}).encode() for example in make_reviews(120)]


def test_clients_are_told_apart_while_models_are_swapped_and_others_leave(models, bodies):
    found = clients(FaultsConfig(clients=20, turns=10), models, bodies)
    assert found["requests"] == 200 and found["wrong"] == found["hung"] == 0
    assert found["swaps"] == 3 and found["swaps_refused"] == 2 and found["left"] > 0


def test_an_answer_that_is_not_the_models_own_is_counted(models, bodies, monkeypatch):
    """Were nothing compared, the count of wrong answers would be 0 whatever the server says."""
    from model_optimization.runtime import Variant

    real = Variant.logits
    monkeypatch.setattr(Variant, "logits", lambda self, texts, batch_size=16: -real(self, texts, batch_size))
    found = clients(FaultsConfig(clients=5, turns=4), models, bodies)
    assert found["wrong"] == found["requests"] == 20


@pytest.mark.slow
@in_proc
def test_workers_that_are_killed_are_replaced_and_no_request_hangs(models, bodies, monkeypatch):
    monkeypatch.setattr(faults_benchmark, "BETWEEN_KILLS_S", 4.0)
    found = kills(FaultsConfig(kills=2, rate=20), models, bodies)
    assert found["killed"] == 2 and found["replaced"] and found["requests"] > 150
    assert found["wrong"] == found["hung"] == 0 and found["lost"] <= 10


@pytest.mark.slow
def test_schemathesis_finds_no_fault(models, bodies):
    pytest.importorskip("schemathesis")
    found = fuzz(FaultsConfig(examples=100), models, bodies)
    assert found["requests"] > 200 and found["wrong"] == 0


@pytest.mark.parametrize("flag", ["examples", "clients", "turns", "kills", "rate"])
def test_a_bad_setting_is_one_clear_line(flag):
    with pytest.raises(UserError, match=f"--{flag}"):
        parse_config(FaultsConfig, [f"--{flag}", "0"])


@in_proc
def test_a_server_ends_with_who_started_it_also_when_that_is_killed(models):
    port = free_port()
    command = module_command("fastapi_server", models=models, version=1, port=port, threads=1)
    parent = "import sys, time; from model_optimization.deployment.server_process import running\n"
    parent += "with running(sys.argv[2:], int(sys.argv[1]), []) as child: print(child.pid, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent, str(port), *command], stdout=subprocess.PIPE)
    server = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    give_up = time.monotonic() + 10
    while Path(f"/proc/{server}/cmdline").exists() and Path(f"/proc/{server}/cmdline").read_bytes():
        assert time.monotonic() < give_up, "it lives on"
        time.sleep(0.05)


def test_a_server_ends_with_the_block_also_after_an_error(models):
    port = free_port()
    command = module_command("fastapi_server", models=models, version=1, port=port, threads=1)
    with pytest.raises(ZeroDivisionError), running(command, port, []) as process:
        raise ZeroDivisionError
    assert process.returncode == -signal.SIGTERM
