"""The command that reads folders: what it writes, what it leaves alone, what it says. Pages are made up."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from multimodal_llm.document_understanding import layout_analysis, written
from multimodal_llm.document_understanding.document import Block, Document, Line, Page, Word
from multimodal_llm.read_documents import ReadConfig, find_files, named, read_documents
from shared.errors import UserError


@pytest.fixture
def reads(monkeypatch):
    """A reader that says how wide a picture is; gives the list of what it was asked to read."""
    asked = []

    def read_sheet(sheet, threads=0):
        asked.append(sheet.number)
        height, width = sheet.picture.shape[:2]
        text = f"width {width}"
        line = Line(text, (1, 1, 40, 10), 0.9, (Word(text, (1, 1, 40, 10), 0.9),))
        return Page(sheet.number, width, height, "ocr", blocks=(Block("text", (1, 1, 40, 10), 0.9, (line,)),))

    monkeypatch.setattr(layout_analysis, "read_sheet", read_sheet)
    return asked


def picture(file, width=50):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, width, 3), 255, dtype=np.uint8)).save(file)
    return file


def run(tmp_path, **options):
    return read_documents(ReadConfig(output=str(tmp_path / "out"), **options), [str(tmp_path / "in")])


def test_each_document_becomes_markdown_json_and_a_picture(tmp_path, reads):
    picture(tmp_path / "in/deep/scan.png")
    result = run(tmp_path)
    assert (result["files"], result["read"], result["pages"], result["ocr"]) == (1, 1, 1, 1)
    assert (tmp_path / "out/deep/scan.md").read_text() == "width 50\n\n"
    written_down = json.loads((tmp_path / "out/deep/scan.json").read_text())
    assert Document.from_dict(written_down).pages[0].text == "width 50"
    assert written_down["source"] == "scan.png"
    assert Image.open(tmp_path / "out/deep/scan.png").size == (50, 40)
    assert not list((tmp_path / "out").rglob(".*")), "no drafts are left"


def test_what_was_read_is_skipped_until_it_changes(tmp_path, reads):
    file = picture(tmp_path / "in/scan.png")
    picture(tmp_path / "in/other.png", 60)
    assert run(tmp_path)["read"] == 2
    again = run(tmp_path)
    assert (again["read"], again["skipped"], len(reads)) == (0, 2, 2)
    picture(file, 70)
    changed = run(tmp_path)
    assert (changed["read"], changed["skipped"]) == (1, 1)
    assert (tmp_path / "out/scan.md").read_text() == "width 70\n\n"


def test_overlays_are_drawn_when_they_are_wanted_later(tmp_path, reads):
    picture(tmp_path / "in/scan.png")
    run(tmp_path, overlays=False)
    assert not (tmp_path / "out/scan.png").exists()
    assert run(tmp_path)["read"] == 1
    assert (tmp_path / "out/scan.png").exists()


def test_a_killed_run_leaves_no_half_written_document(tmp_path, reads, monkeypatch):
    picture(tmp_path / "in/scan.png")

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(written, "draw_overlay", kill)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert run(tmp_path)["read"] == 1


def test_one_broken_file_stops_nothing(tmp_path, reads):
    picture(tmp_path / "in/scan.png")
    (tmp_path / "in/broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tmp_path / "in/empty.jpg").write_bytes(b"")
    result = run(tmp_path)
    assert (result["read"], result["broken"]) == (1, 2)


def test_where_nothing_can_be_read_it_says_why(tmp_path, reads):
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="no documents in it"):
        run(tmp_path)
    (tmp_path / "in/empty.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="none of the 1 files can be read: .*empty"):
        run(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        find_files([str(tmp_path / "nowhere")], tmp_path / "out")
    with pytest.raises(UserError, match="give files or folders"):
        find_files([], tmp_path / "out")


def test_an_output_within_the_folder_is_not_read_the_next_time(tmp_path, reads):
    picture(tmp_path / "in/scan.png")
    config = ReadConfig(output=str(tmp_path / "in/read"))
    assert [read_documents(config, [str(tmp_path / "in")])["files"] for _ in range(2)] == [1, 1]


def test_pictures_drawn_into_the_folder_that_is_read_are_no_documents_the_next_time(tmp_path, reads):
    picture(tmp_path / "in/scan.tif")
    pages = [Image.new("RGB", (30, 40), "white")] * 2
    pages[0].save(tmp_path / "in/two.tif", save_all=True, append_images=pages[1:])
    config = ReadConfig(output=str(tmp_path / "in"))
    results = [read_documents(config, [str(tmp_path / "in")]) for _ in range(3)]
    assert [(result["files"], result["skipped"]) for result in results] == [(2, 0), (2, 2), (2, 2)]
    assert (tmp_path / "in/two-002.png").exists()


def test_pictures_that_cannot_be_read_are_told_of_in_one_line(tmp_path, reads, caplog):
    picture(tmp_path / "in/scan.png")
    for name in ("a.heic", "b.HEIC", "c.cr3", "notes.txt"):
        (tmp_path / "in" / name).write_bytes(b"x")
    assert run(tmp_path)["files"] == 1
    [line] = [record.getMessage() for record in caplog.records if "passed over" in record.getMessage()]
    assert "3 pictures" in line and "2 .heic, 1 .cr3" in line and "JPEG" in line


@pytest.mark.parametrize("name", ["scan.png", "scan-001.png"])
def test_a_document_is_not_written_over_by_its_own_picture(tmp_path, reads, name):
    picture(tmp_path / "scan.tif")
    before = picture(tmp_path / name).read_bytes()
    files = [str(tmp_path / each) for each in ("scan.tif", name)][name == "scan.png" :]
    with pytest.raises(UserError, match="written over"):
        read_documents(ReadConfig(output=str(tmp_path)), files)
    assert (tmp_path / name).read_bytes() == before
    assert read_documents(ReadConfig(output=str(tmp_path), overlays=False), files)["read"] == len(files)


def test_a_model_that_cannot_be_fetched_is_no_fault_of_the_pages(tmp_path, monkeypatch):
    picture(tmp_path / "in/scan.png")

    def no_network(sheet, threads=0):
        raise UserError("layout: pip cannot reach its package index")

    monkeypatch.setattr(layout_analysis, "read_sheet", no_network)
    with pytest.raises(UserError, match="cannot reach"):
        run(tmp_path)
    assert not list((tmp_path / "out").rglob("*.*")), "else it would count as read"


def test_documents_of_one_name_get_targets_of_their_own(tmp_path):
    for name in ("one/a.pdf", "one/a.png", "two/b.pdf", "one/b.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    files = find_files([str(tmp_path / "one"), str(tmp_path / "two")], tmp_path / "out")
    targets = [str(target.relative_to(tmp_path)) for _, target in named(files, tmp_path)]
    assert len(set(targets)) == 4
    assert "a.pdf" in targets and "a.png" in targets


def test_help_is_quick_and_a_mistake_is_one_line(tmp_path):
    command = [sys.executable, "-m", "multimodal_llm.read_documents"]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "--overlays" in helped.stdout
    failed = subprocess.run([*command, str(tmp_path / "nowhere.pdf")], capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1 and "no such file" in failed.stderr
