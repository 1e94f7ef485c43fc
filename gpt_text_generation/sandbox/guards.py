"""Which guards this machine has: each is put up in a child process and then tried from inside.

python -m gpt_text_generation.sandbox.guards        what there is, and what is missing and why
"""

import functools
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gpt_text_generation.sandbox.box import GUARDS, NOBODY
from gpt_text_generation.sandbox.keeper import Keeper, Limits
from gpt_text_generation.sandbox.probe import HELD, IPC
from shared.config import parse_config
from shared.errors import UserError, run_program
from shared.logging import print_result, print_table

_PROBED = Limits(seconds=20, memory_mb=128, processes=4, file_mb=1, folder_mb=1)


@dataclass(frozen=True, kw_only=True)
class GuardsConfig:
    """Try the sandbox's guards on this machine."""


@functools.cache
def guards() -> dict[str, str | None]:
    """Each guard's name, and why this machine does not have it: None where it holds. Takes about a second, once."""
    with _things_outside() as outside:
        return {name: _missing(name, outside) for name in GUARDS}


def guards_to_use(allow_missing: bool) -> list[str]:
    """Those that hold. Raises UserError where one does not, unless that is allowed."""
    missing = {name: why for name, why in guards().items() if why is not None}
    if missing and not allow_missing:
        named = "; ".join(f"{name} ({why})" for name, why in missing.items())
        raise UserError(
            f"the sandbox lacks a guard: {named}: use a Linux where root, or any user, may open namespaces, or accept "
            "the risk with --allow_missing_guards true"
        )
    # Of the limits a system may have some: those help even where another is missing.
    return [name for name in GUARDS if name not in missing or name == "limits"]


def _missing(name: str, outside: dict[str, int | str]) -> str | None:
    # The limits bind nobody who is root, and a box without files has a folder in memory.
    with Keeper("probe", dict.fromkeys(("user", name)), _PROBED, {}, guard=name, **outside) as keeper:
        said = keeper.stdout.read().decode(errors="replace").strip()
        complained = keeper.stderr.read().decode(errors="replace").strip()
        how = keeper.end()
    if said == HELD:
        return None
    return said or how.get("setup") or (complained.splitlines() or ["it did not start"])[-1]


@contextmanager
def _things_outside() -> Iterator[dict[str, int | str]]:
    """What a boxed program must not reach: a file that all may read, a listening socket, a process, shared memory."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        os.chmod(folder, 0o755)  # noqa: S103 - the box runs as another user, who must read it
        file = os.path.join(folder, "file")
        with open(file, "w") as written:
            written.write("seen")
        ipc = os.readlink(IPC) if os.path.exists(IPC) else "none"
        yield {"outside_file": file, "port": server.getsockname()[1], "process": os.getpid(), "ipc": ipc}


def main(argv: Sequence[str] | None = None) -> None:
    parse_config(GuardsConfig, argv, prog="python -m gpt_text_generation.sandbox.guards")
    found = guards()
    print_table("guards", [{"guard": name, "holds": why is None, "why not": why} for name, why in found.items()])
    print_result({"user": "root, boxed as " + str(NOBODY) if os.getuid() == 0 else os.getuid(), "guards": found})


if __name__ == "__main__":
    run_program(main)
