"""Pictures by the ends of their names: those that are looked into in a folder, and those that cannot be read here."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

READ = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif")
UNREAD = (
    ".heic", ".heif", ".hif", ".jxl", ".jp2", ".psd", ".svg",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2",  # as cameras' sensors give them
)  # fmt: skip
"""What telephones, cameras and drawing programs write."""


def is_read(file: Path, passed_over: Counter[str]) -> bool:
    """Whether a file of this name is looked into. One that is a picture of another kind is counted in `passed_over`."""
    suffix = file.suffix.lower()
    passed_over.update([suffix] if suffix in UNREAD else [])
    return suffix in READ


def told(passed_over: Mapping[str, int]) -> str:
    """One line on what was passed over, with the remedy."""
    n = sum(passed_over.values())
    return f"passed over {n:,} pictures that cannot be read here ({listed(passed_over)}): convert them to JPEG"


def listed(passed_over: Mapping[str, int]) -> str:
    """How many of each suffix, the most common first."""
    return ", ".join(f"{count:,} {suffix}" for suffix, count in Counter(passed_over).most_common())
