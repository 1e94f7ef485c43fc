"""What the server serves when it is told nothing: the classifier that bert_sentiment_analysis ships, in int8.

Making it takes torch and some seconds, in a process of its own so that the server stays small. It is kept in the cache
folder, by the checksum of what it was made of and how.
"""

import hashlib
import inspect
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.deployment import onnx_conversion
from model_optimization.quantization import dynamic_quantization
from model_optimization.runtime import VARIANT
from shared.assets import cache_folder
from shared.errors import UserError
from shared.logging import get_logger

log = get_logger(__name__)


def default_models(source: str = SUBJECT) -> Path:
    """A folder of models with the version 1, made unless it is there. Raises UserError where it cannot be made."""
    weights = Path(source) / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{source}: the classifier that ships is not here: give a folder of models by --models")
    made_of = (weights, *(Path(inspect.getfile(module)) for module in (dynamic_quantization, onnx_conversion)))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in made_of)).hexdigest()
    folder = cache_folder() / "served" / digest[:16]
    if (folder / "1" / VARIANT).is_file():
        return folder
    log.info("no --models given: making the int8 form of %s, once, in %s (half a minute)", source, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".draft-") as draft:
        made = Path(draft) / "int8"
        command = [sys.executable, "-m", f"{PROJECT}.quantization.dynamic_quantization"]
        done = subprocess.run([*command, "--run", source, "--output", made], capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1].removeprefix("error: ")
            raise UserError(f"the model to serve could not be made ({reason}): mend that, or give --models")
        try:
            os.replace(made, folder / "1")
        except OSError:
            if not (folder / "1" / VARIANT).is_file():  # else another server made it meanwhile
                raise
    return folder
