"""The guards: that each holds here, and that its probe would tell if it did not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpt_text_generation.sandbox import system_calls
from gpt_text_generation.sandbox.box import GUARDS
from gpt_text_generation.sandbox.guards import _PROBED, _things_outside, guards
from gpt_text_generation.sandbox.keeper import Keeper
from gpt_text_generation.sandbox.probe import HELD

UNISTD = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def said(name: str, put_up: list[str]) -> str:
    """What the probe of a guard says in a box with those guards."""
    with _things_outside() as outside, Keeper("probe", put_up, _PROBED, {}, guard=name, **outside) as keeper:
        return keeper.stdout.read().decode()


def test_every_guard_has_its_reason_or_none():
    found = guards()
    assert tuple(found) == GUARDS
    assert all(why is None or isinstance(why, str) and why for why in found.values())


@pytest.mark.usefixtures("every_guard")
@pytest.mark.parametrize("name", [name for name in GUARDS if name != "user"])
def test_the_probe_of_a_guard_tells_its_absence(name):
    assert said(name, ["user", name]) == HELD
    assert said(name, ["user"]) not in (HELD, "")


@pytest.mark.usefixtures("every_guard")
def test_the_probe_of_the_user_tells_root():
    import os

    if os.getuid() != 0:
        pytest.skip("only root is boxed as another user")
    assert said("user", []) == "it is root"


def test_the_program_tells_what_there_is():
    command = [sys.executable, "-m", "gpt_text_generation.sandbox.guards"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout.splitlines()[-1])["guards"] == guards()


@pytest.mark.skipif(not UNISTD.exists(), reason="no kernel headers")
def test_the_numbers_are_the_kernels():
    known = {}
    for line in UNISTD.read_text().splitlines():
        if line.startswith("#define __NR_"):
            _, name, number = line.split()
            known[name.removeprefix("__NR_")] = int(number)
    refused = {name: number for calls in system_calls.REFUSED.values() for name, number in calls.items()}
    assert {name: known[name] for name in refused} == refused
    assert known["clone"] == system_calls.CLONE
    assert known["rseq"] == system_calls.NEWEST_KNOWN


def answer_of_the_filter(number: int, *, architecture: int = 0xC000003E, argument: int = 0) -> str:
    """Run the filter's instructions by hand, as seccomp does."""
    import struct

    data = struct.pack("IIQQ", number, architecture, 0, argument)
    lines = list(struct.iter_unpack("HBBI", system_calls.filter_program()))
    place = accumulator = 0
    while True:
        code, if_true, if_false, constant = lines[place]
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("I", data, constant)
        elif code == 0x06:
            return {0x7FFF0000: "allow", 0x50001: "not permitted", 0x50026: "no such call", 0x80000000: "kill"}[
                constant
            ]
        else:
            met = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}[
                code
            ]
            place += if_true if met else if_false


def test_the_filter_refuses_what_the_table_names_and_nothing_else():
    refused = {number for calls in system_calls.REFUSED.values() for number in calls.values()}
    for number in range(system_calls.NEWEST_KNOWN + 1):
        assert answer_of_the_filter(number) == ("not permitted" if number in refused else "allow"), number


@pytest.mark.parametrize("number", [335, 425, 435, 462, 0x40000000, 0x40000000 + 41, 0xFFFFFFFF])
def test_calls_that_are_newer_than_the_table_do_not_exist(number):
    assert answer_of_the_filter(number) == "no such call"


def test_forks_and_threads_are_allowed_but_no_new_namespaces():
    fork, thread = 0x1200011, 0x3D0F00
    assert answer_of_the_filter(56, argument=fork) == answer_of_the_filter(56, argument=thread) == "allow"
    for flag in 0x20000, 0x40000000, 0x20000000, 0x8000000, 0x10000000, 0x4000000, 0x2000000:
        assert answer_of_the_filter(56, argument=fork | flag) == "not permitted"


def test_calls_of_another_architecture_end_the_process():
    assert answer_of_the_filter(20, architecture=0x40000003) == "kill"
