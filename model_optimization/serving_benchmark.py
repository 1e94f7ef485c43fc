"""The most requests a second that each server answers within the limit, with its model on the same cores.

naive       the handler that tutorials show: torch in fp32, one text a call (deployment/naive_server.py)
unbatched   our server and its int8 model, each text alone
litserve    the same model behind LitServe, where that is installed
batched     our server as it is

A server runs in processes of its own on all cores but the last, the generator on the last one (see
monitoring/performance_metrics.py). Where there is one core only they share it, and the numbers say little.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.deployment.server_process import module_command, running
from shared.benchmark import BenchmarkConfig, Outcome
from shared.config import check
from shared.errors import UserError
from shared.logging import get_logger
from shared.server_process import free_port, share_cores

log = get_logger(__name__)

STAGES = ("read_ms", "queued_ms", "batched_ms", "computed_ms", "windows_a_batch", "memory_mb")
SHOWN = ("server", "rate", "answered_rps", "p50_ms", "p95_ms", "p99_ms", "errors", "late_p99_ms")


@dataclass(frozen=True, kw_only=True)
class ServeConfig(BenchmarkConfig):
    """The highest load that each server answers in time and without an error, and the way there."""

    run: str = SUBJECT
    """Folder of the trained classifier that all of them serve."""
    dataset: str = "rotten_tomatoes"
    """Texts that are sent: the test part of a packaged set, a file, or a hub set."""
    load_seconds: float = 8.0
    """Seconds of each measurement."""
    limit_ms: float = 100.0
    """What 99 of 100 requests must be answered within."""
    token_budget: int = 256
    """Tokens of a batch of ours, padding included."""
    collect_ms: float = 2.0
    """Milliseconds that a batch of ours which is not full waits for company."""
    servers: str = "all"
    """Which to measure, with commas between: naive, unbatched, litserve, batched."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.load_seconds > 0, "load_seconds", self.load_seconds, "give seconds above 0")
        check(self.limit_ms > 0, "limit_ms", self.limit_ms, "give milliseconds above 0")


def serve(config: ServeConfig) -> Outcome:
    from model_optimization.deployment.default_model import default_models

    models = default_models(config.run)
    server_cores, generator_core = share_cores()
    threads = config.threads or max(1, len(server_cores))
    found: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        variant = whole_variant(config.run, Path(folder) / "fp32_torch")
        port = free_port()
        commands = {
            "naive": module_command("naive_server", variant=variant, port=port, threads=threads),
            "unbatched": _ours(models, port, threads, 1, 0.0),
            "litserve": _litserve(models, port, threads),
            "batched": _ours(models, port, threads, config.token_budget, config.collect_ms),
        }
        for name in choose(config.servers, commands):
            log.info("measuring %s", name)
            with running(commands[name], port, server_cores):
                found[name] = load(config, port, generator_core)
            rows += [{"server": name, **row} for row in found[name].pop("rows")]
    result = {f"{name}_rps": row["answered_rps"] for name, row in found.items()}
    if "batched" in found:
        ours = found["batched"]
        result |= {name: ours[name] for name in ("p50_ms", "p99_ms", "errors", *STAGES)}
        result |= {
            f"times_{name}": result["batched_rps"] / result[f"{name}_rps"] for name in found if name != "batched"
        }
    result |= {"limit_ms": config.limit_ms, "threads": threads, "generator_core": generator_core}
    if config.save:
        from model_optimization.png_figures import draw_load

        draw_load(rows, config.limit_ms, Path(__file__).parent / "results" / "serve_load.png")
    return Outcome(result, rows, [{name: row[name] for name in SHOWN} for row in rows])


def choose(names: str, commands: dict[str, list[str]]) -> list[str]:
    """The servers named. Raises UserError for one that is not there; LitServe is left out where it is not installed."""
    chosen = list(commands) if names == "all" else names.split(",")
    for name in chosen:
        if name not in commands:
            raise UserError(f"--servers {name}: no such server: choose all, or among {', '.join(commands)}")
    if "litserve" in chosen and importlib.util.find_spec("litserve") is None:
        log.warning("litserve is left out: it is not installed (pip install litserve)")
        chosen.remove("litserve")
    return chosen


def whole_variant(run: str, folder: Path) -> Path:
    """The classifier as it was trained, for the naive server."""
    from model_optimization.deployment.onnx_conversion import settings_of
    from model_optimization.runtime import write_settings
    from model_optimization.subject import load_subject, save_subject

    subject = load_subject(run)
    save_subject(subject, folder)
    write_settings(folder, settings_of(subject, "torch"), subject.tokenizer)
    return folder


def _ours(models: Path, port: int, threads: int, token_budget: int, collect_ms: float) -> list[str]:
    flags = {"token_budget": token_budget, "collect_ms": collect_ms}
    return module_command("fastapi_server", models=models, port=port, threads=threads, **flags)


def _litserve(models: Path, port: int, threads: int) -> list[str]:
    call = f"serve({str(models)!r}, {port}, {threads})"
    return [sys.executable, "-c", f"from {PROJECT}.deployment.litserve_peer import serve; {call}"]


def load(config: ServeConfig, port: int, core: int | None) -> dict[str, Any]:
    """What the generator, in a process of its own, finds. Raises UserError where it cannot measure."""
    flags = {"url": f"http://127.0.0.1:{port}", "search": "true", "rate": 32, "seconds": config.load_seconds}
    flags |= {"limit_ms": config.limit_ms, "dataset": config.dataset, "seed": config.seed}
    flags |= {"core": core} if core is not None else {}
    command = [sys.executable, "-m", f"{PROJECT}.monitoring.performance_metrics"]
    command += [f"--{flag}={value}" for flag, value in flags.items()]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError((done.stderr.strip().splitlines() or ["the generator fails"])[-1].removeprefix("error: "))
    return json.loads(done.stdout.splitlines()[-1])
