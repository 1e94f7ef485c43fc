"""Exercise 8: 64 bits by which a photo is known again when it was scaled, compressed or brightened."""

from PIL import Image

REPLACES = "multimodal_llm.clip_applications.duplicates.difference_hash"
CHECKED_BY = (
    "multimodal_llm/tests/test_image_search.py::test_a_photo_scaled_compressed_and_brightened_is_a_near_duplicate"
)


def difference_hash(image: Image.Image) -> int:
    """The difference hash of an RGB picture as a signed integer of 64 bits.

    Shrink the picture to 9x8 grey values (`convert("L")`, then `resize` with `Image.Resampling.BOX`), and note for each
    value but the last of a row whether the next one to its right is brighter: 8 x 8 bits.

    Hints: beware of comparing unsigned bytes by subtraction; `>` is safe. `np.packbits` makes 8 bytes of 64 bits, and
    `int.from_bytes(..., "big", signed=True)` a number that SQLite can hold.

    Read: "Kind of like that", https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html
    Expect: a photo and its small, badly compressed copy differ in a few bits, two photos in about half of them.
    """
    raise RuntimeError("fill in difference_hash")
