"""What the model is asked, and what of its answer becomes a program."""

import ast

import pytest

from gpt_text_generation.code_text import (
    STOPS,
    Request,
    cut_at_stops,
    examples_in,
    extract_code,
    first_function,
    is_python,
    model_prompt,
    program_from,
    request_from,
    stops_for,
    tidy,
    whole_statements,
)

START = 'from math import pi\n\n\ndef area(r: float) -> float:\n    """The area of a circle."""\n'


@pytest.mark.parametrize(
    "answer, code",
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("Here:\n\n```python\nx = 1\n```\nThat is it.\n```python\ny = 2\n```", "x = 1\n"),
        ("Run `pip`:\n```bash\npip install x\n```\nthen\n```py\nx = 1\n```", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1\ny = 2", "x = 1\ny = 2"),
        ("~~~python\nx = 1\n~~~", "x = 1\n"),
        ("1. So:\n   ```python\n   def f():\n       pass\n   ```", "def f():\n    pass\n"),
        ("Sure!\ndef f():\n    return 1\n", "def f():\n    return 1\n"),
        ("Use import.\nimport os\nx = os.name", "import os\nx = os.name"),
        ("I cannot do that.", ""),
        ("", ""),
        ("```python\nprint('`')\n```", "print('`')\n"),
        ("```Python\nx = 1\n```", "x = 1\n"),
    ],
)
def test_code_is_found_in_markdown(answer, code):
    assert extract_code(answer) == code


def test_an_answer_is_cut_at_the_first_stop_of_any():
    assert cut_at_stops("    return 1\n\nprint(f())\ndef g(): pass", STOPS) == "    return 1\n"
    assert cut_at_stops("abcabc", ("ca", "b")) == "a"
    assert cut_at_stops("abc", ()) == "abc"
    assert cut_at_stops("abc", ("x",)) == "abc"
    assert cut_at_stops("    if x:\n        print(1)", STOPS) == "    if x:\n        print(1)", "only at the margin"


@pytest.mark.parametrize(
    "program, kept",
    [
        ("x = 1\ny = (2,", "x = 1\n"),
        ("def f():\n    return 1\n    if", "def f():\n    return 1\n"),
        ("def f():\n    x = [1,\n         2", "def f():\n    x = [1,\n         2"),
        ("x = 1\n", "x = 1\n"),
        ("for for", "for for"),
        ("", ""),
        ("\n\n(", "\n\n("),
    ],
)
def test_only_whole_statements_are_kept(program, kept):
    assert whole_statements(program) == kept


def test_a_description_becomes_the_beginning_of_a_program():
    named = request_from("Double a\n  number.", "def double(x: int) -> int:")
    assert named == Request('def double(x: int) -> int:\n    """Double a number."""\n', "double")
    assert request_from("Double it.", "double(x)").start.startswith("def double(x):\n")
    unnamed = request_from("word " * 40)
    assert unnamed.entry_point is None
    assert unnamed.start.endswith("\ndef ") and unnamed.start.count("# word") == 3
    assert is_python(unnamed.start + "f(): pass")
    with pytest.raises(ValueError, match=r"--signature def f\(: give one such as"):
        request_from("x", "def f(")


def test_what_each_style_asks():
    def chat(message):
        return f"<user>{message}<assistant>"

    request = Request(START, "area")
    assert model_prompt(request, "completion", chat) == START.rstrip()
    asked = model_prompt(request, "chat", chat)
    assert asked.startswith("<user>") and START.rstrip() in asked and asked.endswith("<assistant>")
    assert model_prompt(request, "prefilled", chat) == f"{asked}```python\n{START.rstrip()}"
    unnamed = model_prompt(request_from("Halve a number."), "chat", chat)
    assert "Write a Python function for this: Halve a number." in unnamed and "def" not in unnamed
    assert stops_for("completion") == stops_for("prefilled") == STOPS


def test_a_completion_becomes_a_program():
    program = program_from(Request(START, "area"), "completion", "\n    return pi * r * r\n\nprint(area(1))\n")
    assert program == START + "    return pi * r * r\n"
    unnamed = program_from(request_from("Halve."), "completion", " halve(x):\n    return x / 2\n\n\ndef more():")
    assert unnamed == "# Halve.\ndef halve(x):\n    return x / 2\n"


def test_a_chat_answer_gets_the_imports_that_it_leaves_out():
    request = Request(START, "area")
    answer = "```python\ndef area(r):\n    return pi * r * r\n```"
    assert program_from(request, "chat", answer) == "from math import pi\n\n\ndef area(r):\n    return pi * r * r\n"
    whole = "from math import pi\n\n\ndef area(r):\n    return pi\n"
    assert program_from(request, "chat", f"```python\n{whole}```") == whole


@pytest.mark.parametrize("program", ["x = (", "x = 1\x00", "(" * 5000 + ")" * 5000, "\t  x\n y"])
def test_nonsense_is_no_python_and_breaks_nothing(program):
    assert not is_python(program)
    assert first_function(program) is None
    assert tidy(program) == program


def test_a_program_is_formatted_and_keeps_its_comments_and_its_meaning():
    program = "def f( x ) :  # why\n  return   {'a':x}\n"
    tidied = tidy(program)
    assert tidied == 'def f(x):  # why\n    return {"a": x}\n'
    assert ast.dump(ast.parse(tidied)) == ast.dump(ast.parse(program))


def test_the_examples_of_a_docstring_become_assertions():
    examples = [">>> f(1)", "2", ">>> f(", "...     3)", "[4]", ">>> y = f(1)", ">>> f(5)", ">>> f(6)", "<object>"]
    raises = [">>> f(7)", "Traceback (most recent call last):", "ValueError"]
    prompt = "\n    ".join(["def f(x):", '"""Say.', "", *examples, *raises, '"""\n'])
    assert examples_in(prompt, "f") == "assert f(1) == 2\nassert f(\n    3) == [4]\nassert f(5) == None"
    assert examples_in(prompt, "g") == ""
    assert examples_in("def f(", "f") == ""
    assert examples_in('def f():\n    """No example."""\n', "f") == ""
    assert examples_in("def f():\n    '''\n      >>> f()\n    1\n    '''\n", "f") == ""
