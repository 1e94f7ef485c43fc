"""The servers of this folder as child processes, each running once it answers a text."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from model_optimization.config import PROJECT
from shared import server_process

ROUTE = "/v1/classify"
ASKED = json.dumps({"texts": ["a film to love"]}).encode()


def module_command(name: str, **flags: object) -> list[str]:
    """The command that runs a module of this folder as such a child."""
    return server_process.module_command(f"{PROJECT}.deployment.{name}", **flags)


def running(
    command: Sequence[str], port: int, cores: Sequence[int], settings: Mapping[str, str] | None = None
) -> AbstractContextManager[subprocess.Popen]:
    """Within the block the server runs, on these cores, with these in its environment. Raises UserError."""
    return server_process.running(command, port, cores, settings, path=ROUTE, body=ASKED)
