"""From what a language model wrote to a program: what it is asked, where its answer ends, and what of it is code.

Three ways to ask, since a small model does not follow all of them equally well:

completion   the beginning of the program, to be continued: what a base model knows best
chat         a request in words, through the model's chat template; the code comes out of the answer's Markdown
prefilled    both: the request, and the answer's first lines already written
"""

import ast
import doctest
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Style = Literal["completion", "chat", "prefilled"]

# What begins at the margin after a function has ended. Chen et al. 2021, section 2.1, stop at five of these.
STOPS = ("\ndef ", "\nclass ", "\n#", "\nif ", "\nprint(", "\nassert ", "\nfrom ", "\nimport ", "\n@", "\n```", '\n"""')
END_OF_BLOCK = ("\n```\n",)

_FENCE = re.compile(
    r"^[ \t]*(?:```|~~~)[ \t]*([\w+-]*)[ \t]*\n(.*?)(?:^[ \t]*(?:```|~~~)|\Z)", re.MULTILINE | re.DOTALL
)
_CODE_LINE = re.compile(r"^(?:def |class |from \w+ import|import |@)", re.MULTILINE)


class Request(NamedTuple):
    """A function that is wanted: how its program begins, and its name, where that is settled."""

    start: str
    entry_point: str | None


def request_from(description: str, signature: str | None = None) -> Request:
    """A description in words as the beginning of a program. Raises ValueError for a signature that is none."""
    words = " ".join(description.split())
    if signature is None:
        return Request(
            "\n".join(textwrap.wrap(words, 100, initial_indent="# ", subsequent_indent="# ")) + "\ndef ", None
        )
    head = signature.strip().rstrip(":")
    head = head if head.startswith("def ") else f"def {head}"
    start = f'{head}:\n    """{words}"""\n'
    try:
        (function,) = ast.parse(start).body
        assert isinstance(function, ast.FunctionDef)  # it begins with "def"
    except SyntaxError as error:
        raise ValueError(
            f"--signature {signature}: give one such as 'def area(width: int, height: int) -> int'"
        ) from error
    return Request(start, function.name)


def model_prompt(request: Request, style: Style, chat: Callable[[str], str]) -> str:
    """What the model reads; `chat` puts a message into its chat template.

    A beginning of a program goes without its last line break: after one an instruction-tuned model takes the code to be
    over, and writes three backticks.
    """
    if style == "completion":
        return request.start.rstrip()
    if request.entry_point is None:
        words = request.start.removesuffix("def ").replace("# ", "").replace("\n", " ").strip()
        asked = f"Write a Python function for this: {words}"
    else:
        asked = f"Complete this Python function:\n\n```python\n{request.start.rstrip()}\n```"
    message = chat(f"{asked}\n\nAnswer with the code only, in one ```python block.")
    return f"{message}```python\n{request.start.rstrip()}" if style == "prefilled" else message


def stops_for(style: Style) -> tuple[str, ...]:
    return END_OF_BLOCK if style == "chat" else STOPS


def program_from(request: Request, style: Style, written: str) -> str:
    """The program in what the model wrote: from the Markdown, cut where it ends, and only whole statements of it."""
    if style != "chat":
        return whole_statements(request.start.rstrip() + cut_at_stops(written, STOPS))
    code = extract_code(written)
    # The answer to a request may leave out what stands before the function: imports, and functions that it uses.
    before = request.start.rpartition(f"def {request.entry_point}(")[0] if request.entry_point else ""
    return whole_statements(before + code if before.strip() and before.strip() not in code else code)


def extract_code(answer: str) -> str:
    """The Python code in an answer in Markdown.

    That is the first fenced block that is marked as Python, or else the first block, even if it is not closed; without
    a block, everything from the first line that looks like a definition or an import. An empty text where there is
    none.
    """
    blocks = _FENCE.findall(answer)
    if blocks:
        marked = [code for language, code in blocks if language.lower() in ("python", "py", "python3")]
        return textwrap.dedent((marked or [blocks[0][1]])[0])
    found = _CODE_LINE.search(answer)
    return answer[found.start() :] if found else ""


def cut_at_stops(text: str, stops: Sequence[str]) -> str:
    """The text up to the first place where any of the stops begins."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


def whole_statements(program: str) -> str:
    """The program without the last lines that keep it from being Python: a model that is cut off ends in mid-statement.

    Unchanged where no beginning of it is Python, or only an empty one.
    """
    lines = program.splitlines()
    for count in range(len(lines), 0, -1):
        kept = "\n".join(lines[:count])
        if kept.strip() and is_python(kept):
            return kept.rstrip() + "\n"
    return program


def is_python(program: str) -> bool:
    try:
        ast.parse(program)
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # what a long line of nonsense may lead to
        return False
    return True


def first_function(program: str) -> str | None:
    """The name of the first function in a program."""
    if not is_python(program):
        return None
    return next((each.name for each in ast.parse(program).body if isinstance(each, ast.FunctionDef)), None)


def tidy(program: str) -> str:
    """The program as ruff formats it, comments kept; unchanged where it is no Python."""
    if not is_python(program):
        return program
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--line-length", "120", "-"]
    done = subprocess.run(command, input=program, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else program


def examples_in(prompt: str, entry_point: str) -> str:
    """The examples of a docstring, `>>> f(1)` and what it gives, as assertions; those with plain values, one a line."""
    if not is_python(prompt):
        return ""
    functions = [each for each in ast.parse(prompt).body if isinstance(each, ast.FunctionDef)]
    documented = next((ast.get_docstring(each) for each in functions if each.name == entry_point), None)
    try:
        examples = doctest.DocTestParser().get_examples(documented or "")
    except ValueError:  # not indented as doctest wants it
        return ""
    found = []
    for example in examples:
        try:
            wanted = ast.literal_eval(example.want.strip() or "None")
            ast.parse(example.source, mode="eval")
        except (ValueError, SyntaxError):
            continue
        found.append(f"assert {example.source.strip()} == {wanted!r}")
    return "\n".join(found)
