"""The writer on this machine and the model's window: a prompt that is too long is cut, an answer is not."""

from types import SimpleNamespace

import pytest

from qa_system.generation import writers
from shared.errors import UserError


@pytest.fixture
def writer(monkeypatch):
    """One whose model has a window of 8 tokens, and whose prompt has 20; it writes the tokens that it is given."""
    monkeypatch.setattr(writers, "Stream", lambda session, ids, **how: ids)
    made = object.__new__(writers.LocalWriter)
    made.model = SimpleNamespace(
        context=8, chat=lambda messages: "", encode=lambda text: list(range(20)), session=lambda: None
    )
    return made


@pytest.mark.parametrize("most", [1, 5, 7])
def test_a_long_prompt_loses_its_beginning_and_leaves_room_for_the_answer(writer, most):
    assert list(writer.write([], most, lambda: False)) == list(range(20))[-(8 - most) :]


@pytest.mark.parametrize("most", [8, 9, 27])
def test_an_answer_that_would_fill_the_window_is_refused(writer, most):
    """With a window of 8, the last -1 tokens of the prompt were once all but its first."""
    with pytest.raises(UserError, match=f"--max_new_tokens {most}: .* window of 8"):
        list(writer.write([], most, lambda: False))
