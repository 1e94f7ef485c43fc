"""The two servers as tools/faults.py disturbs them: killed under requests, started again on the same folder and port.

What a killed server had in its hands is lost to its clients, who see a broken connection and ask again. Nothing else
may be: an answer is the right one, a document that was acknowledged is there in the end, and the next start succeeds.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from shared.server_process import free_port
from tools.borrowed import Folders, load, of_tests

READY_WITHIN_S = 90.0
BYTES = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}


class Server(NamedTuple):
    """A server, what its clients do, and what must be there in the end."""

    begin: Callable[[Path], Any]
    """Gives what `serve` and the others are told."""
    serve: Callable[[Any, Path, int], None]
    ask: Callable[[Any, "Said", int, int], str]
    """One request, by its number, at this port: what is wrong with the answer. Raises OSError where there is none."""
    end: Callable[[Any, "Said", int], list[str]]


class Said(NamedTuple):
    """What the clients were told, by number."""

    taken: dict[int, str]


def request(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
    """The status and the JSON of an answer. Raises OSError where the connection breaks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (http.client.HTTPException, ValueError) as error:  # cut short
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def until_ready(port: int) -> bool:
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up:
        try:
            if request(port, "GET", "/readyz")[0] == 200:
                return True
        except OSError:
            time.sleep(0.02)
    return False


# Answers to questions about documents


def begin_documents(given: Path) -> Path:
    load("qa_system.app.routes", "qa_system.app.fastapi_api", "qa_system.read_files", "uvicorn", "uvloop", "httptools")
    from qa_system.document_processor import vector_store
    from qa_system.generation import answer_generator
    from qa_system.retrieval.dense_retrieval import Embedder

    conftest = of_tests("qa_system", "conftest")
    encoder = conftest.tiny_checkpoint.__wrapped__(Folders(given))
    # Vectors of hashed words, and answers by words, so that no weights are loaded.
    embedder = Embedder(str(encoder), conftest.HashedWords(), conftest.HashedWords.width, "v1", True, 256)
    vars(vector_store)["load_embedder"] = lambda name: embedder
    vars(answer_generator)["load_reader"] = lambda folder: None
    return encoder


def serve_documents(encoder: Path, folder: Path, port: int) -> None:
    import uvicorn

    from qa_system.app.fastapi_api import ServerConfig
    from qa_system.app.routes import create_app

    config = ServerConfig(store=str(folder / "store"), embedding=str(encoder), threshold=0.0, threads=1, ocr=False)
    uvicorn.run(create_app(config), port=port, log_config=None, access_log=False)


def text_of(number: int) -> str:
    return f"The wing {number} is of the engine. The flow {number} is of the heat."


def ask_documents(encoder: Path, said: Said, port: int, number: int) -> str:
    if number % 2:
        address = f"/v1/documents?name=d{number}.txt"
        status, job = request(port, "POST", address, text_of(number).encode(), BYTES)
        if status == 202:
            said.taken[number] = job["id"]
        return "" if status in (202, 429) else f"an upload gives {status}"
    body = json.dumps({"question": "What is the flow of the heat?"}).encode()
    status, answer = request(port, "POST", "/v1/ask", body, JSON)
    if status == 429:
        return ""
    if status != 200:
        return f"a question gives {status}: {answer}"
    for sentence in answer["sentences"]:
        cited = sentence["citation"]
        if cited and text_of(int(cited["source"][1:-4]))[cited["start"] : cited["end"]] != cited["text"]:
            return f"cites what is not there: {cited}"
    return ""


def end_of_documents(encoder: Path, said: Said, port: int) -> list[str]:
    wrong, give_up = [], time.monotonic() + READY_WITHIN_S
    for number, identity in said.taken.items():
        while (job := request(port, "GET", f"/v1/jobs/{identity}")[1]).get("state") != "done":
            if time.monotonic() > give_up or job.get("state") in (None, "failed", "refused"):
                wrong.append(f"d{number}.txt was acknowledged and is {job}")
                break
            time.sleep(0.1)
    there = {line["source"] for line in request(port, "GET", "/v1/documents")[1]["documents"]}
    return wrong + [f"d{number}.txt is not in the store" for number in said.taken if f"d{number}.txt" not in there]


# Labels of texts


class Models(NamedTuple):
    folder: Path
    texts: list[str]
    right: list[tuple[str, float]]


def begin_classifier(given: Path) -> Models:
    load("model_optimization.deployment.routes", "model_optimization.deployment.fastapi_server", "uvicorn", "uvloop")
    import numpy as np

    from model_optimization.deployment.onnx_conversion import convert

    conftest = of_tests("model_optimization", "conftest")
    variant = convert(conftest.build_subject(), given / "models" / "1")
    texts = [" ".join(random.Random(n).choices(conftest.WORDS, k=1 + n % 9)) for n in range(20)]
    logits = np.concatenate([variant.logits([text]) for text in texts])
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = variant.settings.label_names
    return Models(given / "models", texts, [(names[row.argmax()], float(row.max())) for row in chances])


def serve_classifier(models: Models, folder: Path, port: int) -> None:
    import uvicorn

    from model_optimization.deployment.fastapi_server import ServerConfig
    from model_optimization.deployment.routes import create_app

    app = create_app(ServerConfig(models=str(models.folder), threads=1))
    uvicorn.run(app, port=port, log_config=None, access_log=False)


def ask_classifier(models: Models, said: Said, port: int, number: int) -> str:
    place = number % len(models.texts)
    body = json.dumps({"texts": [models.texts[place]]}).encode()
    status, told = request(port, "POST", "/v1/classify", body, JSON)
    if status != 200:
        return "" if status == 429 else f"a text gives {status}: {told}"
    (label, sure), answer = models.right[place], told["answers"][0]
    right = answer["label"] == label and abs(answer["probability"] - sure) < 1e-3
    return "" if right else f"{answer} is not {label} {sure}"


def end_of_classifier(models: Models, said: Said, port: int) -> list[str]:
    return [wrong for number in range(len(models.texts)) if (wrong := ask_classifier(models, said, port, number))]


SERVERS = {
    "documents_server": Server(begin_documents, serve_documents, ask_documents, end_of_documents),
    "classifier_server": Server(begin_classifier, serve_classifier, ask_classifier, end_of_classifier),
}


class Clients:
    """Several who ask one after the other as long as the block lasts, and bear with a server that is away."""

    def __init__(self, server: Server, given: Any, said: Said, port: int, start: int, n: int = 3) -> None:
        self.server, self.given, self.said, self.port = server, given, said, port
        self.wrong: list[str] = []
        self.asked, self.broken, self._start, self._ends = 0, 0, start, threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(n)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._ends.is_set():
            with self._lock:
                number, self.asked = self._start + self.asked, self.asked + 1
            try:
                if wrong := self.server.ask(self.given, self.said, self.port, number):
                    self.wrong.append(wrong)
            except OSError:
                self.broken += 1
                self._ends.wait(0.02)


def serve(name: str, folder: Path, kills: int, draw: random.Random, fork: Any, update: Any) -> tuple[list[str], int]:
    """Kill this server so many times under requests; what is wrong, and how many requests there were."""
    server, said, port, asked = SERVERS[name], Said({}), free_port(), 0
    (folder / "given").mkdir()
    given = server.begin(folder / "given")
    wrong: list[str] = []
    for number in range(kills + 1):
        child = fork(lambda: server.serve(given, folder, port))
        if not until_ready(port):
            return [*wrong, f"start {number}: {child.wait(0)}"], asked
        if number == kills:
            wrong += server.end(given, said, port)
            child.wait(0)
        else:
            with Clients(server, given, said, port, asked) as clients:
                told = child.wait(draw.uniform(0.02, 0.7))
            asked, wrong = asked + clients.asked, wrong + clients.wrong
            if "killed" not in told:
                wrong.append(f"start {number}: {told}")
        update(number)
    return wrong, asked
