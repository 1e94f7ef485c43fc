"""Names of uploads: whatever a stranger calls a file, what we show is one plain name, and never a path."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_system.app.names import MOST_BYTES, SUFFIXES, safe_name, suffix_of

NAMES = st.text(st.characters(exclude_categories=()), max_size=400) | st.text("./\\ a\u202e\x00:", max_size=40)


@given(NAMES)
def test_a_safe_name_is_one_plain_name(name):
    safe = safe_name(name)
    assert not set(safe) & set("/\\\n\r\t\x00") and len(safe.encode()) <= MOST_BYTES
    assert safe == safe.strip(". ")
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in safe)


@given(NAMES)
def test_a_safe_name_stays_as_it_is(name):
    assert safe_name(safe_name(name)) == safe_name(name)


@pytest.mark.parametrize(
    "name, safe",
    [
        ("paper.pdf", "paper.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\win.ini", "win.ini"),
        ("/absolute/年报.pdf", "年报.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\x00.pdf", "a.pdf"),
        (".htaccess", "htaccess"),
        ("folder/", "folder"),
        ("..", ""),
        ("///", ""),
        ("\u200b", ""),
        ("a  b\n.md", "a b.md"),
        ("NUL.pdf", "NUL.pdf"),  # a device on Windows, but a name is only shown and compared, never a path
    ],
)
def test_paths_and_tricks(name, safe):
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_suffix():
    assert safe_name("長" * 300 + ".pdf").endswith("長.pdf")


@given(NAMES)
def test_the_suffix_of_a_file_of_ours_is_one_of_a_few(name):
    assert suffix_of(name) in SUFFIXES | {""}
