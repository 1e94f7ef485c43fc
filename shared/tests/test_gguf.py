"""A GGUF model is multiplied out once, and says then what it said before."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared import gguf
from shared.assets import asset_path
from shared.errors import UserError
from shared.gguf import ordinary_folder


def test_a_folder_with_safetensors_or_without_any_weights_is_left_as_it_is(tmp_path):
    assert ordinary_folder(tmp_path) == tmp_path
    (tmp_path / "model.gguf").touch()
    (tmp_path / "model.safetensors").touch()
    assert ordinary_folder(tmp_path) == tmp_path


def test_a_damaged_file_is_named_and_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("LAPTOP_LLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and then nothing that makes sense")
    for given in (tmp_path, tmp_path / "broken.gguf"):
        with pytest.raises(UserError, match=r"broken\.gguf: cannot be loaded .*use the packaged smollm2"):
            ordinary_folder(given)
    assert not list((tmp_path / "cache").glob("*"))


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """An empty cache, and in place of a model of some hundred megabytes one that is saved as a file of one byte."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def save(folder):
        folder.mkdir(exist_ok=True)
        (folder / gguf.WHOLE).write_text("{}")

    made = SimpleNamespace(save_pretrained=save, config=SimpleNamespace(quantization_config=None))
    for kind in (AutoTokenizer, AutoModelForCausalLM):
        monkeypatch.setattr(kind, "from_pretrained", lambda *_, **__: made)
    monkeypatch.setenv("LAPTOP_LLM_CACHE", str(tmp_path / "cache"))
    return made


def test_another_content_under_the_same_name_has_a_place_of_its_own(quick, tmp_path):
    places = []
    for content in (b"one", b"two", b"one"):
        (tmp_path / "model.gguf").write_bytes(content)
        quick.config.quantization_config = None
        places.append(ordinary_folder(tmp_path))
    assert places[0] == places[2] != places[1] and all((place / gguf.WHOLE).is_file() for place in places)


def test_a_place_that_somebody_took_files_from_is_filled_anew(quick, tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"one")
    place = ordinary_folder(tmp_path)
    (place / gguf.WHOLE).unlink()
    (place / "left").touch()
    quick.config.quantization_config = None
    assert ordinary_folder(tmp_path) == place
    assert (place / gguf.WHOLE).is_file() and not (place / "left").exists()


def test_a_copy_that_another_process_made_meanwhile_is_as_good(quick, tmp_path, monkeypatch):
    (tmp_path / "model.gguf").write_bytes(b"one")
    place = ordinary_folder(tmp_path)
    (place / gguf.WHOLE).unlink()
    quick.config.quantization_config = None

    def overtaken(self, target):
        (place / gguf.WHOLE).parent.mkdir(exist_ok=True)
        (place / gguf.WHOLE).write_text("{}")
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(Path, "rename", overtaken)
    assert ordinary_folder(tmp_path) == place


@pytest.mark.network
def test_it_is_multiplied_out_once_and_says_what_the_file_says(tmp_path, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = ordinary_folder(asset_path("smollm2"))
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16", "two bytes a weight"
    copy = tmp_path / "elsewhere"
    shutil.copytree(asset_path("smollm2"), copy)
    monkeypatch.setattr(gguf, "_multiply_out", lambda *_: pytest.fail("it was there already"))
    assert ordinary_folder(copy) == folder

    (file,) = copy.glob("*.gguf")
    texts = ["The ship left the harbour at", "Two and two are"]
    found = []
    for place, named in ((folder, {}), (copy, {"gguf_file": file.name})):
        tokenizer = AutoTokenizer.from_pretrained(place, **named)
        ids = [tokenizer(text).input_ids for text in texts]
        model = AutoModelForCausalLM.from_pretrained(place, **named, dtype=torch.float32)
        with torch.inference_mode():
            found.append((ids, [model(torch.tensor([row])).logits[0, -1].softmax(-1) for row in ids]))
    assert found[0][0] == found[1][0]
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


def test_a_cache_without_room_is_one_line_with_the_remedy(tmp_path, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def no_room(_):
        raise OSError(28, "No space left on device")

    full = SimpleNamespace(save_pretrained=no_room, config=SimpleNamespace(quantization_config=None))
    for kind in (AutoTokenizer, AutoModelForCausalLM):
        monkeypatch.setattr(kind, "from_pretrained", lambda *_, **__: full)
    monkeypatch.setenv("LAPTOP_LLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "small.gguf").write_bytes(b"anything")
    with pytest.raises(UserError, match=r"small\.gguf: cannot be unpacked .*No space left.*LAPTOP_LLM_CACHE"):
        ordinary_folder(tmp_path)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith("small")]
