"""The judge's side: run the tests, and call the candidate's function in its own box when they ask for it.

A program cannot forge a pass. It and the tests are two processes, in boxes that see nothing of each other: other
memory, other namespaces, other files. Two pipes join them; on one the judge sends a function's arguments, on the other
the program sends a value, as plain data (channel.py). The verdict goes through a third pipe, which the program's
process never had. So there is no secret that the program could find and no result that it could overwrite: it can lie
about what its function returns, which is the same as returning it. What the tests expect it never sees.

Four ways around this are closed here, each with a test:
- A program that ends itself would look, to a test which expects any exception, as if it had raised one. So once the
  conversation has broken, every test fails, whatever the test made of it.
- A StopIteration would silently end a loop such as `all(map(candidate, ...))`. It is raised as a RuntimeError.
- A value equal to everything is no plain value; nor is one of any depth or length. What cannot cross is told by an
  exception that no test expects, since a TypeError might be just what one waits for.
- A message that is none ends the conversation.

The tests, which come from whoever wrote the problem, are boxed too: they are a stranger's as well.
"""

import ast
import builtins
import json
import os
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple

from gpt_text_generation.sandbox.channel import Channel, NotPlain, decode, encode

_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_NAMES = ast.FunctionDef, ast.ClassDef
_LONGEST_TEXT = 200


class Step(NamedTuple):
    """A statement of the tests; those with an assertion count."""

    text: str
    code: CodeType
    is_test: bool


def run(job: dict[str, Any]) -> None:
    """Judge, and write the verdict: a line with the tests, a line for each, and a last one.

    The job has prompt, test, entry_point, and the descriptors verdict, requests and answers.
    """
    for stream in 1, 2:
        os.dup2(0, stream)  # what tests print is nobody's to read
    verdict = os.fdopen(job["descriptors"]["verdict"], "w", encoding="utf-8")

    def tell(**line: Any) -> None:
        verdict.write(json.dumps(line) + "\n")
        verdict.flush()

    namespace: dict[str, Any] = {"__name__": "tests"}
    try:
        _lend(job["prompt"], namespace)
        steps = steps_of(job["test"])
    except Exception as error:
        tell(broken=_words(error))
        return
    candidate = Candidate(Channel(job["descriptors"]["answers"], job["descriptors"]["requests"]))
    candidate.wait_until("ready")
    tell(planned=[step.text for step in steps if step.is_test])
    candidate.wait_until("loaded")
    namespace |= {"candidate": candidate.call, job["entry_point"]: candidate.call}
    fault = None  # of a statement that the tests after it may build on
    for step in steps:
        why = candidate.fault or fault or _run(step.code, namespace) or candidate.fault
        if step.is_test:
            tell(passed=why is None, error=why)
        else:
            fault = why
    tell(done=True, gone=candidate.gone)


def steps_of(test: str) -> list[Step]:
    """The statements of HumanEval's `check(candidate)`, after those beside it; or plain statements with assertions.

    Where the body of `check` cannot stand alone, for a `return` in it, say, the whole function is one test.
    """
    statements = ast.parse(test).body
    check = next((each for each in statements if isinstance(each, ast.FunctionDef) and each.name == "check"), None)
    if check is not None:
        name = check.args.args[0].arg if check.args.args else "candidate"
        rename = [] if name == "candidate" else ast.parse(f"{name} = candidate").body
        apart = [each for each in statements if each is not check] + rename + check.body
        try:
            return [_step(each) for each in apart]
        except SyntaxError:
            statements = [*statements, *ast.parse("check(candidate)").body]
            return [_step(each)._replace(is_test=each is statements[-1]) for each in statements]
    return [_step(each) for each in statements]


def _step(statement: ast.stmt) -> Step:
    code = compile(ast.Module([statement], []), "tests.py", "exec")
    asserts = any(isinstance(each, ast.Assert) for each in ast.walk(statement))
    return Step(ast.unparse(statement)[:_LONGEST_TEXT], code, asserts and not isinstance(statement, _DEFINES))


def _lend(prompt: str, namespace: dict[str, Any]) -> None:
    """Let the tests use what the prompt defines, such as helper functions beside the one to be written."""
    try:
        code = compile(prompt, "prompt.py", "exec")
    except SyntaxError:
        return  # a prompt that ends in the middle of a statement has nothing to lend
    exec(code, namespace)  # noqa: S102 - boxed


def _run(code: CodeType, namespace: dict[str, Any]) -> str | None:
    """What went wrong, or None."""
    try:
        exec(code, namespace)  # noqa: S102 - boxed
    except BaseException as error:
        return _words(error)
    return None


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST_TEXT].rstrip(": ")


class Candidate:
    """The program at the other end of the channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.gone = False
        """Whether it ended before it was asked everything."""
        self.fault: str | None = None
        """Why it is not asked any more, or None."""

    def wait_until(self, state: str) -> None:
        """Wait for it to say that it is ready, or loaded; what it says instead becomes its fault."""
        answer = self._receive()
        if answer is not None and state not in answer:
            self.fault = _words(_exception(answer)) if "raised" in answer else "gives no answer that can be read"

    def call(self, *arguments: Any, **named: Any) -> Any:
        """Call its function. A list, set or dictionary that it changes is changed for the caller too.

        Raises what the function raised, and RuntimeError where it gave no answer that can be read.
        """
        if self.fault is not None:
            raise RuntimeError(self.fault)
        try:
            self._channel.send({"arguments": encode(list(arguments)), "named": encode(named)})
        except OSError:
            self._leave()
        except NotPlain as error:
            self.fault = f"cannot be asked: {error}"
        answer = self._receive()
        if answer is None:
            raise RuntimeError(self.fault)
        if "raised" in answer:
            raise _exception(answer)
        try:
            value = decode(answer["value"])
            if "arguments" in answer:
                _change(arguments, decode(answer["arguments"]))
        except (KeyError, ValueError, TypeError, RecursionError, OverflowError, MemoryError) as error:
            self.fault = f"gives no plain value: {_words(error)}"
            raise RuntimeError(self.fault) from error
        return value

    def _receive(self) -> dict[str, Any] | None:
        """What it says; None where it has a fault, before or by this."""
        if self.fault is None:
            try:
                answer = self._channel.receive()
                if answer is not None:
                    return answer
                self._leave()
            except (OSError, ValueError, MemoryError) as error:
                self.fault = f"gives no answer that can be read: {_words(error)}"
        return None

    def _leave(self) -> None:
        self.gone, self.fault = True, "ended before it answered"


def _exception(answer: dict[str, Any]) -> Exception:
    """The exception that the program says it raised, as the nearest of Python's own."""
    names, message = answer["raised"], str(answer.get("message", ""))
    for name in names if isinstance(names, list) else []:
        kind = getattr(builtins, name, None) if isinstance(name, str) else None
        if isinstance(kind, type) and issubclass(kind, Exception) and kind is not Exception:
            if issubclass(kind, StopIteration | StopAsyncIteration):
                break
            try:
                return kind(message)
            except TypeError:  # UnicodeDecodeError and its like want more than a message
                continue
    return RuntimeError(f"{names[0] if isinstance(names, list) and names else 'error'}: {message}")


def _change(arguments: tuple[Any, ...], left: Any) -> None:
    change: dict[type, Callable[[Any, Any], None]] = {list: _refill_list, dict: _refill, set: _refill}
    for argument, after in zip(arguments, left, strict=True):
        if type(argument) is type(after) and argument != after and type(argument) in change:
            change[type(argument)](argument, after)


def _refill_list(held: list, after: list) -> None:
    held[:] = after


def _refill(held: Any, after: Any) -> None:
    held.clear()
    held.update(after)
