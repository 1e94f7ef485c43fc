"""The guard in the root conftest.py: tests reach this machine and nothing else."""

import errno
import os
import socket

import pytest

ELSEWHERE = "192.0.2.1"  # set aside for documentation, RFC 5737


def test_another_machine_is_out_of_reach():
    with socket.socket() as client:
        client.settimeout(1)
        with pytest.raises(OSError, match="mark the test `network`") as caught:
            client.connect((ELSEWHERE, 80))
        assert caught.value.errno == errno.ENETUNREACH
        with pytest.raises(OSError, match="mark the test `network`"):
            client.connect_ex((ELSEWHERE, 80))


def test_no_name_is_looked_up():
    with pytest.raises(OSError, match="wanted hub.invalid"):
        socket.create_connection(("hub.invalid", 80), timeout=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_in_reach(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection((host, server.getsockname()[1]), timeout=5).close()


def test_a_unix_socket_is_in_reach(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the whole path may be too long for a socket's address
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")


def test_pip_has_no_index():
    assert {name: value for name, value in os.environ.items() if name.startswith("PIP_")} == {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
    }
