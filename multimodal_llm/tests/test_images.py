"""Whatever a file holds, the model sees an upright RGB picture; and what cannot be read is refused on one line."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from multimodal_llm.images import load_image
from shared.errors import UserError

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def near(pixel: tuple[int, ...], colour: tuple[int, ...], by: int = 12) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, colour, strict=True))


def halves() -> Image.Image:
    """Red above, blue below, wider than high."""
    image = Image.new("RGB", (32, 16), BLUE)
    image.paste(RED, (0, 0, 32, 8))
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photo_comes_out_upright(orientation):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = halves()
    as_stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = load_image(saved(as_stored, exif=exif))
    assert found.size == upright.size
    assert np.array_equal(np.asarray(found), np.asarray(upright))


def test_cmyk_keeps_its_colours():
    found = load_image(saved(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG", quality=95))
    assert found.mode == "RGB"
    assert near(found.getpixel((8, 8)), RED)


def test_sixteen_bit_grey_is_scaled_not_cut_off():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    found = np.asarray(load_image(saved(Image.fromarray(ramp))))
    assert found.shape == (4, 256, 3)
    assert np.abs(found[0, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("top", [1.0, 255.0, 4000.0])
def test_floating_point_grey_is_scaled(top):
    ramp = np.linspace(0, top, 256, dtype=np.float32)[None].repeat(4, 0)
    found = np.asarray(load_image(saved(Image.fromarray(ramp), "TIFF")))
    assert np.abs(found[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_transparent_places_are_white_in_a_palette_and_in_rgba():
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLUE])
    palette.putdata([0, 1])
    found = load_image(saved(palette, transparency=0))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLUE]
    half = load_image(saved(Image.new("RGBA", (1, 1), (*RED, 128))))
    assert near(half.getpixel((0, 0)), (255, 127, 127), by=2)
    grey = load_image(saved(Image.new("LA", (1, 1), (0, 0))))
    assert grey.getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"])
def test_every_mode_comes_out_as_rgb(mode):
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    assert load_image(saved(halves().convert("RGB").convert(mode), kind)).mode == "RGB"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert near(load_image(content).getpixel((4, 4)), RED)


def test_a_decompression_bomb_is_refused_before_it_is_decoded():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def claims(side: int) -> bytes:
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    for side in (11_000, 100_000):
        with pytest.raises(UserError, match="the limit is 100,000,000: make the picture smaller"):
            load_image(claims(side))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_a_truncated_file_is_refused(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    content = saved(noise, kind)
    with pytest.raises(UserError, match="cut short|damaged|not a picture"):
        load_image(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello", "not a picture"),
        (b"%PDF-1.7", "a PDF"),
        (b"\0\0\0\x18ftypheic", "export it as JPEG"),
        (b"<svg></svg>", "SVG"),
        (b"<!DOCTYPE html>", "web page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_what_is_no_picture_is_named(content, says):
    with pytest.raises(UserError, match=says):
        load_image(content)


def test_paths_that_cannot_be_read_say_why(tmp_path: Path):
    with pytest.raises(UserError, match="no such file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(UserError, match="a folder"):
        load_image(tmp_path)
    with pytest.raises(UserError, match="not a path"):
        load_image("a\0b.jpg")


def test_a_path_a_stream_and_an_open_picture_give_the_same(tmp_path: Path):
    file = tmp_path / "photo.png"
    file.write_bytes(saved(halves()))
    with file.open("rb") as stream:
        pictures = [load_image(file), load_image(str(file)), load_image(stream), load_image(Image.open(file))]
    assert all(np.array_equal(np.asarray(picture), np.asarray(halves())) for picture in pictures)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]), st.data())
def test_damaged_bytes_give_a_picture_or_one_clear_line(seed, kind, data):
    content = bytearray(saved(halves(), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert load_image(bytes(content)).mode == "RGB"
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("size", [(1200, 300), (300, 1200), (40, 30), (4000, 3000)])
def test_a_picture_can_be_loaded_no_larger_than_needed(size):
    loaded = load_image(saved(Image.new("RGB", size, "teal"), "JPEG"), largest_side=256)
    assert max(loaded.size) == min(256, max(size))
    assert loaded.width / loaded.height == pytest.approx(size[0] / size[1], rel=0.02)
    assert np.abs(np.asarray(loaded, dtype=int) - (0, 128, 128)).max() <= 3


def test_odd_metadata_turn_a_photo_and_do_not_refuse_it():
    """A rotated photo whose maker's name is written as a number: Pillow cannot write such metadata anew."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHII", 0x010F, 5, 1, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4) + bytes(80)
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(file, "JPEG", exif=exif)
    turned = load_image(file.getvalue())
    assert turned.size == (6, 8)
    assert load_image(turned).size == (6, 8)  # once


def test_a_strip_keeps_a_pixel_of_width():
    assert load_image(Image.new("RGB", (1, 5000)), largest_side=1024).size == (1, 1024)


def test_twelve_bits_are_as_bright_as_they_say():
    """Two pixels of 12 bits, 0 and the brightest, packed in three bytes."""
    tags = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 130), (277, 1), (278, 1), (279, 3)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries
    picture = load_image(head.ljust(130, b"\0") + bytes([0x00, 0x0F, 0xFF]))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), (255, 255, 255)]
