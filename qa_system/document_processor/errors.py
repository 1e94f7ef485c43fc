"""Documents that cannot be read: the reason as a word for programs, and a sentence for people."""

from typing import Literal, get_args

from shared.errors import UserError

Reason = Literal[
    "empty", "too large", "unknown kind", "encoding", "malformed", "password", "unsafe", "no text", "hang", "crash"
]


class Unreadable(UserError):
    """A document that cannot be read; `reason` is one of `Reason`, the text says why and what to do."""

    def __init__(self, reason: Reason, line: str) -> None:
        if reason not in get_args(Reason):
            raise ValueError(f"reason {reason!r}: choose one of {', '.join(get_args(Reason))}")
        super().__init__(line)
        self.reason = reason
