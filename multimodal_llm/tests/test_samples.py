"""The pictures to try: each can be opened as what the README's commands take it for."""

from multimodal_llm.images import load_image
from multimodal_llm.samples import write_samples


def test_every_sample_can_be_read(tmp_path):
    names = write_samples(tmp_path)["files"]
    assert {"photo.jpg", "flower.jpg", "picture.png", "receipt.png", "paper.png"} <= set(names)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
    assert all(min(load_image(tmp_path / name).size) >= 256 for name in names)
    before = (tmp_path / "picture.png").read_bytes()
    write_samples(tmp_path)
    assert (tmp_path / "picture.png").read_bytes() == before
