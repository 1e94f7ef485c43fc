"""Files are whole or absent."""

import json
import os
import time

import pytest

from shared.errors import describe_os_error
from shared.files import atomic_path, kept_json, parse_json, write_json, write_text


def test_a_failing_block_leaves_the_old_file_and_no_draft(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(target) as draft:
        draft.write_text("ne")
        raise RuntimeError("half way")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    "said",
    [
        "Error while serializing: I/O error: No space left on device (os error 28)",
        "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0",
        "basic_ios::clear: iostream error",
    ],
    ids=["safetensors", "torch", "torch at the end"],
)
def test_a_full_disk_is_an_os_error_whoever_wrote(said, tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "a.safetensors"):
        raise RuntimeError(said)
    assert describe_os_error(caught.value).startswith("the disk is full")
    assert not any(tmp_path.iterdir())


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path, run_python):
    (tmp_path / "a.txt").write_text("old")
    program = (
        "import os, pathlib, signal\nfrom shared.files import atomic_path\n"
        "with atomic_path(pathlib.Path('a.txt')) as draft:\n"
        "    draft.write_text('ne')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run_python("-c", program).returncode == -9
    assert (tmp_path / "a.txt").read_text() == "old"


def test_what_killed_processes_left_goes_once_it_is_old(tmp_path):
    drafts = [tmp_path / name for name in (".a.txt.1.draft", ".a.txt.2.draft", ".ab.txt.3.draft")]
    for draft in drafts:
        draft.write_text("half")
    long_ago = time.time() - 7200
    for draft in (drafts[0], drafts[2]):
        os.utime(draft, (long_ago, long_ago))
    write_text(tmp_path / "a.txt", "new")
    assert sorted(os.listdir(tmp_path)) == [".a.txt.2.draft", ".ab.txt.3.draft", "a.txt"]


def test_the_old_file_stands_until_the_block_ends_and_then_only_the_new(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic_path(target) as draft:
        draft.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_missing_parent_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "文")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "文".encode()


def test_json_is_readable_by_people_and_comes_back_equal(tmp_path):
    value = {"name": "模型", "scores": [1, 0.5, None]}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "模型" in text and text.endswith("}\n")
    assert json.loads(text) == value


def test_half_a_surrogate_pair_comes_back_too(tmp_path):
    write_json(tmp_path / "a.json", {"文": "cut \ud83d"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"文": "cut \ud83d"}


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", object())
    assert (tmp_path / "a.json").read_text() == "1\n"
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_was_computed_is_not_computed_again_and_a_failure_leaves_nothing(tmp_path):
    file, calls = tmp_path / "row.json", []

    def fail() -> dict:
        raise RuntimeError("killed")

    def compute() -> dict:
        calls.append(1)
        return {"accuracy": 0.5}

    with pytest.raises(RuntimeError):
        kept_json(file, fail)
    assert not file.exists()
    assert kept_json(file, compute) == kept_json(file, fail) == {"accuracy": 0.5}
    assert len(calls) == 1


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, b"\xff", "{", '{"a": ' * 9999])
def test_whatever_is_no_json_is_one_kind_of_error(text):
    with pytest.raises(json.JSONDecodeError):
        parse_json(text)
