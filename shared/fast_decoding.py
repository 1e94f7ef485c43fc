"""The fast engine of a language model on a CPU: onnxruntime-genai with weights of 4 bits, built once and kept.

Writing one token reads every weight once, so four bits a weight in place of 32 are worth several times the speed; the
products are computed in 8 bits (`accuracy_level` 4). The cost is accuracy. It is measured for each model, with the
speed, the first time `auto` is asked for: the engine is taken where it is faster and its perplexity on a short text is
at most 5 % above that of the full weights.

Ways to round that were tried, on 16 film reviews with smollm2, which ships rounded to four bits already:

    perplexity   rounding
    + 35 %       4 bits, symmetric, the output layer too: the builder's default
    + 27 %       the same with an output layer of 8 bits
    +  1 %       asymmetric, output layer of 8 bits, and what a block of weights loses put back (block_offsets.py)
    +  0.1 %     8 bits; half as much again of processor time a token
"""

import importlib.metadata
import importlib.util
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from shared.assets import cache_folder
from shared.block_offsets import put_back_offsets
from shared.errors import UserError, describe_os_error
from shared.files import write_json
from shared.language_model import (
    LanguageModel,
    Precision,
    TransformersModel,
    check_length,
    common_beginning,
)
from shared.logging import get_logger, progress_bar
from shared.streaming import Stream
from shared.timing import time_in_pairs

log = get_logger(__name__)

# How the weights are rounded: options of the model builder, see its --help. With its default algorithm an output layer
# of 8 bits that shares its weights with the input layer comes out unreadable; with `rtn` it does not.
SCHEME = {
    "algo_config": "rtn",
    "is_symmetric": "false",
    "block_size": 32,
    "accuracy_level": 4,
    "matmul_mixed_precision": "last_matmul:int8",
}
RECIPE = 1  # counts what we change of the builder's model, so that an older one in the cache is not taken for it
MOST_PERPLEXITY = 1.05  # of the full weights'
BUILD_SECONDS = 1800  # a model of some billions of weights takes minutes
READ_AT_ONCE = 256  # tokens; the engine gives the logits of all of them, 50 MB at 49,152 words
FIRST_ROOM = 1024  # tokens a session has memory for; doubled as needed, since a whole window may take gigabytes
CONFIG = "genai_config.json"

PASSAGE = (
    "The harbour lay quiet in the early morning, and only the gulls were awake. Anna untied the boat her grandfather "
    "had built, pushed it off the stones and rowed out past the lighthouse. She had promised to be back before the "
    "school bell, but the sea was flat and the mackerel were running, and a promise made at night is hard to keep at "
    "dawn. After an hour the bucket was full. Then the wind turned, as it often does in autumn, and brought a wall of "
    "fog with it. First the lighthouse disappeared, then the island, and in the end she could not see her own oars. "
    "She stopped rowing and listened. Far away a bell was ringing. It was not the bell of the school, nor the one on "
    "the buoy; it was the old bell of the chapel, which nobody had rung since the war."
)


class Unsupported(Exception):
    """This engine cannot run the model; the text says why, in a few words."""


class UnknownArchitecture(Unsupported):
    """Nor will it the next time."""


def load(name: str, folder: Path, reason: str) -> "OnnxModel":
    """The model in `folder` on this engine. Raises UserError where that cannot be."""
    try:
        return OnnxModel(name, folder, reason)
    except Unsupported as error:
        raise UserError(f"--backend onnx: cannot run {name}: {error}: use --backend transformers") from error


def load_faster(name: str, folder: Path, precision: Precision) -> LanguageModel:
    """On the engine that is the better one here, as measured the first time and kept in the cache."""
    from shared.devices import choose_device

    device = choose_device().value
    if device != "cpu":
        return TransformersModel(name, folder, f"it runs on {device}", precision)
    file = _place(folder).with_suffix(".choice.json")
    if file.is_file():
        choice = json.loads(file.read_text(encoding="utf-8"))
    else:
        try:
            choice = _measure(OnnxModel(name, folder, ""), TransformersModel(name, folder, "", precision))
            write_json(file, choice)
        except (Unsupported, OSError) as error:
            reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
            choice = {"backend": "transformers", "reason": reason}
            if isinstance(error, UnknownArchitecture):
                write_json(file, choice)
    log.info("%s by %s: %s", name, choice["backend"], choice["reason"])
    if choice["backend"] == "onnx":
        return OnnxModel(name, folder, choice["reason"])
    return TransformersModel(name, folder, choice["reason"], precision)


def _measure(fast: "OnnxModel", full: TransformersModel) -> dict[str, Any]:
    """Which of the two is the better one, with the reason in words and the numbers behind it."""
    ratio = perplexity_ratio(fast, full, [PASSAGE])
    ids = full.encode(PASSAGE)[:32]
    new = min(32, full.context - len(ids))

    def write(model: LanguageModel) -> None:
        list(Stream(model.session(), ids, max_new_tokens=new))

    seconds = dict(
        zip(("onnx", "transformers"), time_in_pairs(lambda: write(fast), lambda: write(full), 3), strict=True)
    )
    times = seconds["transformers"] / seconds["onnx"]
    numbers = {"times_as_fast": times, "perplexity_ratio": ratio}
    if not ratio <= MOST_PERPLEXITY:
        return {"backend": "transformers", "reason": f"the other costs {ratio - 1:.1%} perplexity", **numbers}
    if times <= 1:
        return {"backend": "transformers", "reason": "it is the faster one on this machine", **numbers}
    reason = f"{times:.1f} times as fast on this machine, for {ratio - 1:.1%} more perplexity"
    return {"backend": "onnx", "reason": reason, **numbers}


def perplexity_ratio(fast: LanguageModel, full: LanguageModel, texts: Sequence[str], most_tokens: int = 1024) -> float:
    """The perplexity of texts by `fast`, divided by that by `full`; of each, so many tokens from its beginning."""
    nats = [0.0, 0.0]
    scored = 0
    with progress_bar("texts in both engines", len(texts)) as update:
        for done, text in enumerate(texts):
            ids = full.encode(text)[: min(most_tokens, full.context)]
            for place, model in enumerate((fast, full)):
                nats[place] -= float(model.log_probabilities(ids[:1], ids[1:]).sum())
            scored += len(ids) - 1
            update(done + 1)
    return math.exp((nats[0] - nats[1]) / scored)


class OnnxModel(LanguageModel):
    """By onnxruntime-genai. Raises Unsupported where the package is missing or cannot take the model."""

    backend = "onnx"

    def __init__(self, name: str, folder: Path, reason: str) -> None:
        built = _built(folder)
        super().__init__(name, folder, reason)
        import onnxruntime_genai
        import torch

        engine = onnxruntime_genai.Config(str(built))
        # As many threads as torch would take.
        threads = {"intra_op_num_threads": torch.get_num_threads()}
        engine.overlay(json.dumps({"model": {"decoder": {"session_options": threads}}}))
        self.engine = onnxruntime_genai.Model(engine)

    def session(self) -> "OnnxSession":
        return OnnxSession(self)


class OnnxSession:
    """The engine's generator, rewound to what the next text shares with the last one."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self._seen: list[int] = []
        self._generator: Any = None
        self._room = 0

    def next_logits(self, ids: Sequence[int]) -> np.ndarray:
        return self.last_logits(ids, 1)[0]

    def last_logits(self, ids: Sequence[int], n: int) -> np.ndarray:
        ids = list(ids)
        check_length(ids, n, self.model.context)
        kept = min(common_beginning(self._seen, ids), len(ids) - n)
        self._seen = []  # an error on the way leaves the engine in an unknown state
        if len(ids) > self._room:
            self._make_room(len(ids))
            kept = 0
        elif self._generator.token_count() > kept:
            self._generator.rewind_to(kept)
        found = []
        for start in range(kept, len(ids), READ_AT_ONCE):
            part = ids[start : start + READ_AT_ONCE]
            self._generator.append_tokens(np.array(part, dtype=np.int32))
            wanted = n - (len(ids) - start - len(part))  # of this part, the last so many
            if wanted == 1:
                found.append(self._generator.get_logits()[0].copy())
            elif wanted > 1:
                found.append(self._generator.get_output("logits")[0, -wanted:].copy())
        self._seen = ids
        return np.concatenate(found)  # (n, V)

    def _make_room(self, length: int) -> None:
        import onnxruntime_genai

        room = FIRST_ROOM
        while room < length:
            room *= 2
        self._room = min(room, self.model.context)
        settings = onnxruntime_genai.GeneratorParams(self.model.engine)
        settings.set_search_options(max_length=self._room)
        self._generator = onnxruntime_genai.Generator(self.model.engine, settings)


def _built(folder: Path) -> Path:
    """The folder with the model as this engine reads it, built first if it is not there yet."""
    if importlib.util.find_spec("onnxruntime_genai") is None:
        raise Unsupported("onnxruntime-genai is not installed")
    place = _place(folder)
    if not (place / CONFIG).is_file():
        log.info("building a copy with weights of 4 bits, once; for a small model in about half a minute")
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=place.parent) as draft:
            _build(folder, Path(draft))
            try:
                (Path(draft) / "whole").rename(place)
            except OSError:
                if not (place / CONFIG).is_file():  # else another process was faster, and its copy is as good
                    raise
    return place


def _build(folder: Path, draft: Path) -> None:
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", folder.name, "-i", str(folder.resolve())]
    command += ["-o", str(draft / "whole"), "-c", str(draft / "scratch"), "-p", "int4", "-e", "cpu"]
    command += ["--extra_options", "hf_token=false", *(f"{option}={value}" for option, value in SCHEME.items())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=BUILD_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Unsupported(f"its builder took more than {BUILD_SECONDS} seconds") from error
    if done.returncode == 0 and (draft / "whole" / CONFIG).is_file():
        put_back_offsets(draft / "whole" / "model.onnx", folder)
        return
    if "is not currently supported" in done.stderr:
        raise UnknownArchitecture("its builder does not know this architecture")
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    raise Unsupported(f"its builder failed ({said[-1]})")


def _place(folder: Path) -> Path:
    """A place in the cache that changes with the model's files, the way of rounding and the builder's version."""
    files = sorted([*folder.glob("*.safetensors"), folder / "config.json"])
    told = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]
    try:
        version = importlib.metadata.version("onnxruntime-genai")
    except importlib.metadata.PackageNotFoundError:
        version = None
    key = sha256(json.dumps([told, SCHEME, RECIPE, version]).encode()).hexdigest()[:16]
    return cache_folder() / f"{folder.resolve().name}-int4-{key}"
