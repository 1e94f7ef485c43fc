"""The project's one image loader: whatever a file holds, what comes out is an upright RGB picture of 8 bits.

Cameras store a photo as the sensor saw it and note the rotation beside it; printers use CMYK, scanners 16 bits, web
pages palettes with transparent places, messengers animations. A model that is fed such pixels as they lie sees a
lying, inverted, white or black picture, and answers all the same: so every picture goes through here.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from shared.errors import UserError, describe_os_error
from shared.logging import progress_bar

MAX_PIXELS = 100_000_000
"""A picture of more is refused before it is decoded: at 3 bytes each these are 300 MB already."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""What is opened. Pillow knows more, but some of it runs other programs (EPS) or is hardly ever a photo."""

BACKGROUND = (255, 255, 255)
"""What transparent places show."""

AT_ONCE = 32
"""Pictures that lie in memory together where many are looked at."""

LARGE_ENOUGH = 1024
"""Pixels of the longer side that are enough for any model here. 32 photos of 12 megapixels as they are fill 1.1 GB."""

ImageSource: TypeAlias = str | Path | bytes | BinaryIO | Image.Image

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture upright, by the orientation in its metadata (EXIF 2.32, tag 0x0112)."""
METADATA = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
BITS = 258  # TIFF's tag for the bits of a value


def load_image(source: ImageSource, max_pixels: int = MAX_PIXELS, largest_side: int | None = None) -> Image.Image:
    """The picture in a file, in bytes, or opened already: upright, RGB, 8 bits; of an animation the first frame.

    With `largest_side` a larger picture is scaled down to it, which saves time too: of a JPEG less is decoded.

    Raises UserError for a file that is missing, empty, cut short, damaged or no picture, and for one of more than
    `max_pixels`, which a small file can claim to hold (a "decompression bomb").
    """
    if isinstance(source, Image.Image):
        return _shrunk(_to_rgb(_upright(source), _bits(source)), largest_side)
    name = str(source) if isinstance(source, str | Path) else getattr(source, "name", "the picture")
    content = _read(source)
    if not content:
        raise UserError(f"{name}: empty: give a picture")
    try:
        with warnings.catch_warnings():
            # Pillow's own warning comes at another size, and damaged metadata is no reason to say anything.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise _too_large(name, f"{width} x {height} pixels", max_pixels)
                if largest_side:
                    image.draft(None, (largest_side, largest_side))  # never below it; nothing where it is no JPEG
                image.load()  # of an animation this is the first frame
                return _shrunk(_to_rgb(_upright(image), _bits(image)), largest_side)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name, "far too many pixels", max_pixels) from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name}: {_what_else(content)}: give a picture ({', '.join(FORMATS)})") from error
    except Exception as error:  # on damaged bytes Pillow's decoders raise whatever they happen to run into
        reason = "cut short" if "truncated" in str(error).lower() else f"damaged ({_first_line(error)})"
        raise UserError(f"{name}: the picture is {reason}: copy or download the file again") from error


def load_in_batches(files: Sequence[str | Path], title: str, size: int = AT_ONCE) -> Iterator[list[Image.Image]]:
    """The pictures of many files, a batch at a time, `LARGE_ENOUGH`, under a progress bar. Raises as `load_image`."""
    with progress_bar(title, len(files)) as show:
        for start in range(0, len(files), size):
            yield [load_image(file, largest_side=LARGE_ENOUGH) for file in files[start : start + size]]
            show(min(start + size, len(files)))


def _read(source: str | Path | bytes | BinaryIO) -> bytes:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, str | Path):
        return source.read()
    try:
        return Path(source).read_bytes()
    except IsADirectoryError as error:
        raise UserError(f"{source}: a folder: give a picture in it") from error
    except FileNotFoundError as error:
        raise UserError(f"{source}: no such file: check the path") from error
    except OSError as error:
        raise UserError(f"{source}: {describe_os_error(error)}") from error
    except ValueError as error:  # a null character in the path
        raise UserError(f"{source!r}: not a path: give the name of a picture") from error


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its metadata say, and without these, by which it would be turned again.

    Pillow's own `exif_transpose` writes the other metadata anew, and fails where a camera's are not as they should be.
    """
    image.load()
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # damaged metadata say nothing
        turn = None
    upright = image.copy() if turn is None else image.transpose(turn)
    for name in METADATA:
        upright.info.pop(name, None)
    return upright


def _bits(image: Image.Image) -> int:
    """Of a value of deep grey: a TIFF may have 12, as medical scans do, which Pillow leaves as they are."""
    return int(getattr(image, "tag_v2", {}).get(BITS, (16,))[0])


def _to_rgb(image: Image.Image, bits: int = 16) -> Image.Image:
    """Eight bits and three colours, whatever the mode: see Pillow's "Concepts", modes."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image), min(bits, 16))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (*BACKGROUND, 255)), layer).convert("RGB")
    return image.convert("RGB")


def _shrunk(image: Image.Image, largest_side: int | None) -> Image.Image:
    longest = max(image.size)
    if largest_side and longest > largest_side:
        # A strip keeps its last pixel: ImageOps.contain would make a picture of no width of it.
        width, height = (max(round(side / longest * largest_side), 1) for side in image.size)
        image = image.resize((width, height))
    return image


def _to_8_bits(grey: np.ndarray, bits: int = 16) -> np.ndarray:
    """Deep grey (H, W) as bytes. Pillow itself would cut every value above 255 off, which leaves a white picture.

    Integers are taken as 16 bits, or as few as the file says, unless they exceed them.
    """
    if grey.dtype.kind == "f":
        grey = np.nan_to_num(grey)
        top = 1.0 if grey.max() <= 1 else 255.0 if grey.max() <= 255 else float(grey.max())
    else:
        top = max(float(grey.max()), float(2**bits - 1))
    return (np.clip(grey / top, 0, 1) * 255 + 0.5).astype(np.uint8)


def _too_large(name: str, size: str, max_pixels: int) -> UserError:
    return UserError(f"{name}: {size}, the limit is {max_pixels:,}: make the picture smaller first")


def _what_else(content: bytes) -> str:
    """What a file that is no picture seems to be."""
    start = content[:512].lstrip().lower()
    if content[:4] == b"%PDF":
        return "a PDF, not a picture"
    if b"ftyphei" in content[:16] or b"ftypmif1" in content[:16]:
        return "a HEIC photo, which this program cannot read (export it as JPEG)"
    if start.startswith((b"<svg", b"<?xml")):
        return "an SVG drawing, not pixels"
    if start.startswith((b"<!doctype", b"<html")):
        return "a web page, not a picture"
    return "not a picture that can be read"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
