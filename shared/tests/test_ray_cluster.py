"""What keeps a cluster out of reach is one line; what Ray is told goes through."""

import os
import sys
from types import SimpleNamespace

import pytest

from shared.errors import UserError
from shared.ray_cluster import connect


def test_without_ray_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="make setup EXTRAS=scale"):
        connect(None)


def test_an_address_where_nothing_answers_is_named(monkeypatch):
    def init(**settings):
        raise ConnectionError("ray's words,\nin several lines")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(UserError, match="--address 10.0.0.1:6379: no Ray cluster answers there"):
        connect("10.0.0.1:6379")


def test_a_cluster_is_told_the_settings_and_reports_no_usage(monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "")  # so that it is put back afterwards
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    told = {}
    ray = SimpleNamespace(init=lambda **settings: told.update(settings))
    monkeypatch.setitem(sys.modules, "ray", ray)
    assert connect("auto", logging_level="warning") is ray
    assert told == {"address": "auto", "log_to_driver": False, "logging_level": "warning"}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
