"""A model in a GGUF file as an ordinary folder: what takes half a minute to read is multiplied out once and kept.

The four-bit blocks become numbers of 16 bits, whose rounding is some fifty times finer than that of the blocks; on the
disk a model grows to two bytes a weight.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from shared.assets import cache_folder
from shared.errors import UserError
from shared.logging import get_logger

log = get_logger(__name__)

WHOLE = "config.json"


def ordinary_folder(folder: Path) -> Path:
    """The folder itself, or, where it has a GGUF file and no safetensors, one in the cache that transformers reads.

    It may be a GGUF file too. The same content has the same place in the cache. Raises UserError where the file is
    damaged or of a kind that transformers does not know, and where it has no room in the cache.
    """
    if folder.suffix == ".gguf" and folder.is_file():
        files = [folder]
    else:
        files = sorted(folder.glob("*.gguf")) if folder.is_dir() else []
        if not files or any(folder.glob("*.safetensors")):
            return folder
    with open(files[0], "rb") as opened:
        content = hashlib.file_digest(opened, "sha256").hexdigest()
    kept = cache_folder() / f"{files[0].stem}-{content[:16]}"
    if not (kept / WHOLE).is_file():
        _multiply_out(files[0], kept)
    return kept


def _multiply_out(file: Path, kept: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    modeling_gguf_pytorch_utils.tqdm = transformers_logging.tqdm  # the only bar that would not heed this
    log.info("unpacking %s, once, in about half a minute", file.name)
    named = {"gguf_file": file.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **named)
        model = AutoModelForCausalLM.from_pretrained(file.parent, **named, dtype=torch.float16)
    except Exception as error:  # the gguf and tokenizers libraries raise whatever a damaged file leads to
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file}: cannot be loaded ({reason}): get it anew, or use the packaged smollm2") from error
    del model.config.quantization_config
    model.hf_quantizer = None  # it is an ordinary model now, which may be saved
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=kept.parent) as draft_name:
        draft = Path(draft_name) / "whole"
        try:
            tokenizer.save_pretrained(draft)
            model.save_pretrained(draft)
            shutil.rmtree(kept, ignore_errors=True)  # one that somebody took files from
            draft.rename(kept)
        except OSError as error:
            if not (kept / WHOLE).is_file():  # else another process was faster, and its copy is as good
                raise UserError(
                    f"{file.name}: cannot be unpacked into {kept.parent} ({error.strerror or error}): "
                    "free some space, or set LAPTOP_LLM_CACHE to a folder on another disk"
                ) from error
