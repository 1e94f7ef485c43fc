"""The candidate's side: load the program, then answer the judge's calls of its function, one after another.

Nothing in here is safe from the program, which runs in the same interpreter and may change all of it. So nothing in
here decides anything: the program never sees a test, and all that it can do to the verdict is to give an answer.
"""

import sys
from types import ModuleType
from typing import Any

from gpt_text_generation.sandbox.channel import Channel, NotPlain, decode, encode

MODULE = "candidate"


def run(job: dict[str, Any]) -> None:
    """Answer until the judge has no more to ask. The job has program, entry_point and descriptors requests, answers."""
    channel = Channel(job["descriptors"]["requests"], job["descriptors"]["answers"])
    channel.send({"ready": True})
    try:
        function = _load(job["program"], job["entry_point"])
    except BaseException as error:
        channel.send(_raised(error))
        return
    channel.send({"loaded": True})
    while (request := channel.receive()) is not None:
        answer = _answer(function, request)
        try:
            channel.send(answer)
        except NotPlain as error:
            channel.send(_raised(error))


def _load(program: str, entry_point: str) -> Any:
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module  # dataclasses look their module up there
    exec(compile(program, f"{MODULE}.py", "exec"), module.__dict__)  # noqa: S102 - the box is made for this
    return getattr(module, entry_point)


def _answer(function: Any, request: dict[str, Any]) -> dict[str, Any]:
    """What the function gives, or what it raises; and its arguments, where it changed them."""
    arguments, named = decode(request["arguments"]), decode(request["named"])
    try:
        answer = {"value": encode(function(*arguments, **named))}
        left = encode(arguments)
    except BaseException as error:
        return _raised(error)
    return answer if left == request["arguments"] else {**answer, "arguments": left}


def _raised(error: BaseException) -> dict[str, Any]:
    """An exception by the names of its class and of those above it, so that `except LookupError` works in a test."""
    return {"raised": [kind.__name__ for kind in type(error).__mro__], "message": str(error)[:1000]}
