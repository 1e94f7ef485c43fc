"""What a stream shows and when it ends, on a session that says what it is told to."""

from types import SimpleNamespace

import numpy as np
import pytest

from shared.streaming import Stream, greedy

END = 256


class Told:
    """Bytes are the tokens: it writes `says` after a prompt of one byte, then its end token."""

    def __init__(self, says: bytes, context: int = 1000) -> None:
        self.says = [*says, END]
        self.model = SimpleNamespace(context=context, stop_ids={END}, decode=self.decode)
        self.read = 0

    def decode(self, ids):
        return bytes(token for token in ids if token < END).decode("utf-8", "replace")

    def next_logits(self, ids):
        self.read += 1
        return np.eye(END + 1, dtype=np.float32)[self.says[len(ids) - 1]]


def pieces(says, **how):
    stream = Stream(Told(says.encode() if isinstance(says, str) else says), [65], **how)
    return list(stream), stream


def test_pieces_come_one_by_one_and_are_the_text():
    shown, stream = pieces("table")
    assert shown == list("table") and stream.text == "table"
    assert stream.reason == "end" and stream.ids == [*b"table", END]


def test_characters_of_several_tokens_are_shown_whole():
    shown, stream = pieces("é水🙂!")
    assert shown == ["é", "水", "🙂", "!"]


@pytest.mark.parametrize("says", ["水".encode()[:2], b"a\xf0\x9f\x99"])
def test_half_a_character_at_the_end_is_left_out(says):
    _, stream = pieces(says)
    assert stream.text == says.decode("utf-8", "ignore")


def test_bytes_that_are_no_text_do_not_hold_up_the_rest():
    _, stream = pieces(b"a\xff\xffb")
    assert stream.text == "a\ufffd\ufffdb"


def test_a_stop_string_across_tokens_is_never_shown():
    shown, stream = pieces("one\nUser: two", stop=["\nUser:"])
    assert shown == list("one") and stream.reason == "stop"


def test_what_only_looked_like_a_stop_string_comes_after_all():
    shown, stream = pieces("ab\nUse\nUsers", stop=["\nUser:"])
    assert stream.text == "ab\nUse\nUsers" and stream.reason == "end"
    assert shown[:3] == ["a", "b", "\nUse"]


def test_of_several_stops_the_first_in_the_text_counts():
    assert pieces("abcabd", stop=["bd", "ca"])[1].text == "ab"
    assert pieces("aaab", stop=["aab"])[1].text == "a"  # the one that began a token later


def test_a_stop_string_at_the_very_beginning_leaves_nothing():
    shown, stream = pieces("###", stop=["###"])
    assert shown == [] and stream.text == "" and stream.reason == "stop"


def test_an_empty_stop_string_is_refused():
    with pytest.raises(ValueError, match="an empty stop string"):
        pieces("a", stop=["x", ""])


def test_it_ends_after_the_given_number_of_tokens_and_reads_no_more():
    session = Told(b"table")
    stream = Stream(session, [65], max_new_tokens=3)
    assert "".join(stream) == "tab" and stream.reason == "length" and session.read == 3
    assert pieces("table", max_new_tokens=0)[1].reason == "length"


def test_it_ends_at_once_when_asked_and_keeps_what_it_wrote():
    session, shown = Told(b"table"), []
    stream = Stream(session, [65], cancelled=lambda: len(shown) == 2, stop=["lz"])
    for piece in stream:
        shown.append(piece)
    assert shown == ["t", "a"] and stream.reason == "cancelled" and session.read == 2


def test_a_reader_who_leaves_stops_the_model():
    session = Told(b"table")
    stream = iter(Stream(session, [65]))
    next(stream)
    stream.close()
    assert session.read == 1


def test_an_error_reaches_the_reader_and_the_text_so_far_is_kept():
    def fails(logits, ids):
        if len(ids) == 4:
            raise RuntimeError("no more")
        return greedy(logits, ids)

    stream = Stream(Told(b"table"), [65], fails)
    with pytest.raises(RuntimeError, match="no more"):
        list(stream)
    assert stream.text == "tab"


def test_a_full_window_ends_it():
    stream = Stream(Told(b"table", context=4), [65])
    assert "".join(stream) == "tab" and stream.reason == "window"
    for prompt in ([], [65] * 4):
        with pytest.raises(ValueError, match="give at least 1, and fewer than 4"):
            Stream(Told(b"table", context=4), prompt)
