"""Requests that schemathesis makes up from a server's own OpenAPI, right and wrong ones, against every check it has."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from shared.errors import UserError
from shared.logging import get_logger

log = get_logger(__name__)

REFUSALS = (400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429)  # right answers to a wrong request
SUCCESSES = (200, 202, 401, 403, 404, 409)


def made_up_requests(
    port: int, examples: int, seed: int, authorization: str, may_refuse: tuple[int, ...] = ()
) -> tuple[int, int]:
    """How many requests it made, and how many answers broke the schema or a check.

    `examples` is the most for each route and phase; `may_refuse` are statuses by which a server may refuse also what
    the schema allows. Raises UserError where it is not installed or leaves no report.
    """
    if importlib.util.find_spec("schemathesis") is None:
        raise UserError("schemathesis is not installed: pip install schemathesis, then measure again")
    with tempfile.TemporaryDirectory() as folder:
        settings = "[checks]\n"
        for check, statuses in (
            ("negative_data_rejection", REFUSALS),
            ("positive_data_acceptance", SUCCESSES + may_refuse),
        ):
            settings += f"{check}.expected-statuses = [{', '.join(map(repr, map(str, statuses)))}]\n"
        (Path(folder) / "schemathesis.toml").write_text(settings)
        command = [Path(sys.executable).parent / "schemathesis", "run", f"http://127.0.0.1:{port}/openapi.json"]
        command += ["--checks", "all", "--max-examples", examples, "--seed", seed, "--report", "json"]
        command += ["-H", f"Authorization: {authorization}"]
        done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
        reports = list(Path(folder).glob("schemathesis-report/*.json"))
        if not reports:
            last = ((done.stdout + done.stderr).strip().splitlines() or ["it says nothing"])[-1]
            raise UserError(f"schemathesis leaves no report ({last}): mend that, then measure again")
        cases = json.loads(reports[0].read_text())["test_cases"]
    wrong = cases["with_failures"] + cases["errored"]
    if wrong:
        log.error("schemathesis: %s", done.stdout[-6000:])
    return cases["generated"], wrong
