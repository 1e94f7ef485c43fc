"""What crosses between judge and candidate, how tests are taken apart, and that a pass cannot be had in other ways."""

import math
import os
import random

import pytest

from gpt_text_generation.sandbox.channel import LONGEST, Channel, NotPlain, decode, encode
from gpt_text_generation.sandbox.judge import Candidate, steps_of
from gpt_text_generation.sandbox.keeper import Limits
from gpt_text_generation.sandbox.runner import run_tests


def plain_values(seed: int, depth: int = 3):
    draw = random.Random(seed)
    leaves = [
        None,
        True,
        False,
        0,
        -1,
        2**53,
        -(2**200),
        10**4000,
        1.5,
        -0.0,
        math.inf,
        "",
        "é\ud800\n",
        b"\x00\xff",
        2 + 3j,
    ]
    if depth == 0 or draw.random() < 0.3:
        return draw.choice(leaves)
    inner = [plain_values(draw.random(), depth - 1) for _ in range(draw.randint(0, 3))]
    kind = draw.choice([list, tuple, dict, set, frozenset])
    if kind is dict:
        return {str(number): each for number, each in enumerate(inner)}
    if kind in (set, frozenset):
        return kind(each for each in inner if isinstance(each, str | int | float | bytes))
    return kind(inner)


@pytest.mark.parametrize("seed", range(60))
def test_plain_values_come_back_as_they_were(seed):
    import json

    value = plain_values(seed)
    back = decode(json.loads(json.dumps(encode(value))))
    assert back == value and type(back) is type(value)
    assert repr(back) == repr(value)  # True is not 1, and -0.0 not 0.0


def test_numbers_too_long_to_be_printed_cross_too():
    assert decode(encode(-(10**6000))) == -(10**6000)


def test_what_is_not_a_number_stays_so():
    assert math.isnan(decode(encode(math.nan)))


def test_objects_of_other_classes_do_not_cross_or_cross_as_plain_values():
    from collections import Counter, OrderedDict, namedtuple

    class Liar(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    assert type(decode(encode(Liar(3)))) is int and decode(encode(Liar(3))) != 4
    assert decode(encode(Counter("aab"))) == {"a": 2, "b": 1}
    assert decode(encode(OrderedDict(x=1))) == {"x": 1}
    assert decode(encode(namedtuple("Point", "x y")(1, 2))) == (1, 2)
    with pytest.raises(NotPlain, match="object is no plain value"):
        encode([object()])
    with pytest.raises(NotPlain, match="generator is no plain value"):
        encode(number for number in range(3))


@pytest.mark.parametrize(
    "message",
    [{"object": 1}, {}, {"int": 5}, {"dict": [1]}, {"bytes": "zz"}, {"set": [[]]}, {"tuple": 3}, {"a": 1, "b": 2}],
)
def test_what_no_encoder_wrote_is_refused(message):
    with pytest.raises(ValueError):
        decode(message)


def test_a_check_function_is_taken_apart_into_its_assertions():
    steps = steps_of(
        "import math\n\ndef check(f):\n    x = f(1)\n    assert x == 1\n    for y in 1, 2:\n        assert f(y) == y\n"
    )
    assert [(step.text, step.is_test) for step in steps] == [
        ("import math", False),
        ("f = candidate", False),
        ("x = f(1)", False),
        ("assert x == 1", True),
        ("for y in (1, 2):\n    assert f(y) == y", True),
    ]


def test_a_check_that_returns_is_one_test():
    steps = steps_of("def check(candidate):\n    if candidate(1) == 1:\n        return\n    assert False\n")
    assert [step.text for step in steps if step.is_test] == ["check(candidate)"]


def test_a_helper_with_an_assertion_in_it_is_no_test():
    assert [step.is_test for step in steps_of("def helper():\n    assert False\nassert 1")] == [False, True]


def talk(*lines: bytes) -> tuple[Candidate, int]:
    """A candidate that has said these lines and left."""
    answers_out, answers_in = os.pipe()
    requests_out, requests_in = os.pipe()
    os.write(answers_in, b"".join(lines))
    os.close(answers_in)
    return Candidate(Channel(answers_out, requests_in)), requests_out


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[1]\n",
        b"{}\n",
        b'{"value": {"object": 1}}\n',
        b'{"value": 1',
        b'{"value": ' + b"[" * 5000 + b"]" * 5000 + b"}\n",
        b'{"value": 1, "arguments": 5}\n',
    ],
)
def test_an_answer_that_is_none_ends_the_conversation_for_good(line):
    candidate, _ = talk(line, b'{"value": 41}\n')
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no answer that can be read|no plain value"):
            candidate.call(1)
    assert candidate.fault


def test_an_answer_that_is_too_long_ends_the_conversation():
    answers_out, answers_in = os.pipe()
    if os.fork() == 0:
        os.write(answers_in, b"1" * (LONGEST + 100))
        os._exit(0)
    os.close(answers_in)
    candidate = Candidate(Channel(answers_out, os.open(os.devnull, os.O_WRONLY)))
    with pytest.raises(RuntimeError, match="a line of over 4000000 bytes"):
        candidate.call(1)


@pytest.mark.parametrize(
    "names, raised",
    [
        (["KeyError", "LookupError", "Exception"], KeyError),
        (["JSONDecodeError", "ValueError", "Exception"], ValueError),
        (["UnicodeDecodeError", "UnicodeError", "ValueError"], UnicodeError),
        (["OwnError", "Exception", "BaseException", "object"], RuntimeError),
        (["StopIteration", "Exception"], RuntimeError),
        (["SystemExit", "BaseException"], RuntimeError),
        (["eval", "open"], RuntimeError),
        ([5, None], RuntimeError),
        ("ValueError", RuntimeError),
    ],
)
def test_an_exception_crosses_as_the_nearest_of_pythons_own(names, raised):
    import json

    candidate, _ = talk(json.dumps({"raised": names, "message": "why"}).encode() + b"\n")
    with pytest.raises(raised, match="why") as found:
        candidate.call(1)
    assert type(found.value) is raised


@pytest.mark.usefixtures("every_guard")
class TestInTheSandbox:
    def test_lists_sets_and_dictionaries_that_are_changed_are_changed_for_the_test_too(self):
        program = "def f(a, b, c):\n    a.sort(); b.add(2); c['y'] = [a]\n"
        test = "a, b, c = [3, 1], {1}, {'x': 0}\nf(a, b, c=c)\nassert (a, b, c) == ([1, 3], {1, 2}, {'x': 0})"
        # A named argument is not looked at afterwards.
        assert run_tests(program, "f", test).passed
        assert run_tests(program, "f", test.replace("c=c", "c").replace("{'x': 0})", "{'x': 0, 'y': [[1, 3]]})")).passed

    def test_the_prompts_helpers_are_there_for_the_tests(self):
        prompt = "def encode(x):\n    return x + 1\n\n\ndef decode(x):\n    '''Undo it.'''\n"
        program = prompt + "    return x - 1\n"
        assert run_tests(program, "decode", "assert decode(encode(5)) == 5", prompt=prompt).passed

    def test_ending_is_not_raising(self):
        """Regression: a test that expects any exception took the end of the process for one."""
        test = "try:\n    f(1)\n    ok = False\nexcept BaseException:\n    ok = True\nassert ok"
        assert run_tests("def f(x): raise OSError", "f", test).passed
        ended = run_tests("import os\ndef f(x): os._exit(0)", "f", test)
        assert ended.outcome == "killed" and not ended.tests[0].passed

    def test_a_loop_over_answers_is_not_ended_by_one_of_them(self):
        """Regression: `all(map(...))` was true at once when the first call raised StopIteration."""
        result = run_tests("def f(x): raise StopIteration", "f", "assert all(map(f, [1, 2]))")
        assert result.outcome == "failed" and "RuntimeError" in result.detail

    def test_a_test_after_a_statement_that_failed_fails_too(self):
        result = run_tests("def f(x): raise OSError('gone')", "f", "x = f(1)\nassert True\nassert 1")
        assert [test.error for test in result.tests] == ["OSError: gone"] * 2

    @pytest.mark.parametrize("program", ["def f(x): return (n for n in x)", "def f(x): return 'long' * 10 ** 7"])
    @pytest.mark.parametrize("expected", ["TypeError", "ValueError", "MemoryError"])
    def test_an_answer_that_cannot_cross_is_not_the_exception_that_a_test_waits_for(self, program, expected):
        test = f"try:\n    f([1])\n    ok = False\nexcept {expected}:\n    ok = True\nassert ok"
        result = run_tests(program, "f", test)
        assert result.outcome == "failed"

    def test_arguments_that_cannot_cross_fail_the_test_too(self):
        test = "try:\n    f(object())\nexcept Exception:\n    pass\nassert True"
        result = run_tests("def f(x): return x", "f", test)
        assert result.detail == "assert True: cannot be asked: object is no plain value"

    def test_tests_may_print_as_much_as_they_like(self):
        assert run_tests("def f(): return 1", "f", "print('spam' * 10 ** 6)\nassert f() == 1").passed

    def test_a_large_argument_and_a_large_answer_cross(self):
        test = "x = list(range(300_000))\nassert f(f(x)) == x"
        assert run_tests("def f(x): return x[::-1]", "f", test, limits=Limits(seconds=60, cpu_seconds=20)).passed
