"""A real server of a real encoder under faults, as the benchmark tries them, on a small scale: slow, each a minute."""

import http.client
import json
import socket
import time

import pytest

from qa_system import faults_benchmark
from qa_system.faults_benchmark import BYTES, FaultsConfig, serving, with_client
from qa_system.hostile_files import hostile_files
from qa_system.tests.pdf_maker import Words, make_pdf
from shared.config import parse_config
from shared.errors import UserError
from shared.server_process import free_port

SMALL = {"clients": 50, "turns": 2, "kills": 2, "examples": 10}


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    make_pdf(folder / "good.pdf", [[Words("The engine is hot.", 50, 50)]])
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 nothing")
    (folder / "no.pdf").write_bytes(b"nothing")
    (folder / "text.md").write_text("# Wing\n\nThe wing is cold.", encoding="utf-8")
    return FaultsConfig(data=str(folder), **SMALL)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("trial", ["uploads", "hostile", "askers", "kills"])
def test_nothing_goes_wrong_hangs_or_is_lost(trial, config, tmp_path):
    found = getattr(faults_benchmark, trial)(config, tmp_path / "served")
    assert (found["wrong"], found["lost"], found["hung"]) == (0, 0, 0), found
    if trial == "uploads":
        assert (found["indexed"], found["refused_at_the_door"], found["refused"]) == (2, 1, {"malformed": 1})
    if trial == "askers":
        assert found["answered"] > 0 and found["left"] > 0


@pytest.mark.slow
@pytest.mark.network
def test_schemathesis_finds_no_fault(config, tmp_path):
    pytest.importorskip("schemathesis")
    found = faults_benchmark.fuzz(config, tmp_path / "served")
    assert found["requests"] > 100 and found["wrong"] == 0


@pytest.mark.slow
@pytest.mark.network
def test_half_an_upload_and_clients_that_leave_hold_up_nobody(tmp_path):
    port = free_port()
    with serving(tmp_path / "store", port, upload_within_s=1.0):
        half = socket.create_connection(("127.0.0.1", port), timeout=20)
        head = "POST /v1/documents?name=a.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        head += f"Authorization: Bearer {faults_benchmark.KEY}\r\nContent-Type: {BYTES['Content-Type']}\r\n\r\n"
        half.sendall(head.encode() + b"half a document")
        gone = socket.create_connection(("127.0.0.1", port), timeout=20)
        gone.sendall(head.encode() + b"half a document")
        gone.close()
        started = time.monotonic()
        assert half.recv(4096).startswith(b"HTTP/1.1 408") and time.monotonic() - started < 20
        half.close()
        assert not list((tmp_path / "store" / "waiting").iterdir())

        async def work(client):
            job = await client.end_of((await client.upload("a.txt", b"The engine is hot."))[1])
            return job["state"], (await client.ask("Is the engine hot?"))[0]

        assert with_client(port, work) == ("done", 200)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/v1/documents")
        assert connection.getresponse().status == 401


def test_every_hostile_file_says_how_it_must_end():
    for file in hostile_files():
        assert file.status in (202, 415, 422) and bool(file.state) == (file.status == 202), file.what
        assert bool(file.reason) == (file.state == "refused"), file.what
        json.dumps(file.what)


@pytest.mark.parametrize("flag", ["clients", "turns", "kills", "examples"])
def test_a_bad_setting_is_one_clear_line(flag):
    with pytest.raises(UserError, match=f"--{flag}"):
        parse_config(FaultsConfig, ["--data", "x", f"--{flag}", "0"])
