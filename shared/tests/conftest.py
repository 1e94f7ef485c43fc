"""Fixtures of these tests: Python in a fresh process, and a package index made of files for the real pip."""

import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared import assets
from shared.asset_table import Asset

ROOT = Path(__file__).resolve().parents[2]
BUILD_SCRIPT = """
import os, pathlib
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    pathlib.Path(os.environ["BUILD_SCRIPT_RAN"]).touch()
    info = pathlib.Path(folder) / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: toy\\nVersion: 1.0\\n")
    return info.name
"""


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run the interpreter in `tmp_path` with these arguments and, as `NAME=value`, more environment."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            timeout=60,
        )

    return run


@pytest.fixture
def free_port() -> int:
    """A loopback port on which nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Shelf:
    """A folder of package files that pip finds, each registered as the asset `toy`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self.folder, self._monkeypatch = folder, monkeypatch

    def wheel(self, members: dict[str, bytes], keep: dict[str, str], **changes: Any) -> Asset:
        """Put toy-1.0 there as a wheel; `changes` replace fields of its asset."""
        info = {
            "toy-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n",
            "toy-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "toy-1.0.dist-info/RECORD": b"",
        }
        path = self.folder / "toy-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, **info}.items():
                archive.writestr(name, content)
        return self._register(path, keep, changes)

    def source(self, members: dict[str, bytes], keep: dict[str, str], **changes: Any) -> Asset:
        """Put toy-1.0 there as a source archive, whose build script touches the file $BUILD_SCRIPT_RAN."""
        build = b'[build-system]\nrequires = []\nbuild-backend = "script"\nbackend-path = ["."]\n'
        path = self.folder / "toy-1.0.tar.gz"
        project = {"toy-1.0/pyproject.toml": build, "toy-1.0/script.py": BUILD_SCRIPT.encode()}
        path.write_bytes(tar_of({**members, **project}))
        return self._register(path, keep, changes)

    def _register(self, path: Path, keep: dict[str, str], changes: dict[str, Any]) -> Asset:
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        fields = {"package": "toy==1.0", "sha256": checksum, "size_mb": 0.1, "keep": keep}
        asset = Asset(**{**fields, "licence": "MIT", "about": "a toy", **changes})
        self._monkeypatch.setitem(assets.ASSETS, "toy", asset)
        return asset


def tar_of(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def make_tar() -> Callable[[dict[str, bytes]], bytes]:
    return tar_of


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> Shelf:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    monkeypatch.setenv("BUILD_SCRIPT_RAN", str(tmp_path / "ran"))
    return Shelf(tmp_path / "shelf", monkeypatch)


@pytest.fixture
def fake_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make `sys.executable`, which starts pip, a shell script with this body."""

    def install(body: str) -> Path:
        script = tmp_path / "interpreter"
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        return script

    return install
