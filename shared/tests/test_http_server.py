"""A server that others reach without a key says so, and no other does."""

import pytest

from shared import http_server
from shared.http_server import warn_where_open


@pytest.mark.parametrize(
    ("host", "key", "warned"),
    [("127.0.0.1", None, False), ("localhost", None, False), ("0.0.0.0", "secret", False), ("0.0.0.0", None, True)],
)
def test_only_an_address_that_others_reach_without_a_key_is_warned_of(monkeypatch, host, key, warned):
    said = []
    monkeypatch.setattr(http_server.log, "warning", lambda text, *values: said.append(text % values))
    warn_where_open(host, key, "ask")
    assert bool(said) == warned
    assert all(host in line and "may ask" in line for line in said)
