"""A PDF's pages as recognition wants them: which of them are scans, and their pictures. Pages are pypdfium2's."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

DPI = 150
LONGEST_SIDE = 2000  # pixels
FEW_LETTERS = 200  # on a page that a picture covers: its text layer is perhaps a stamp, the text is in the picture
PICTURE_SHARE = 0.4  # of the page, from which on a picture may be a scan


def is_scan(page: Any, letters: int) -> bool:
    """Whether the page, whose text layer has so many letters, is the picture of a page."""
    return letters < FEW_LETTERS and _picture_share(page) > PICTURE_SHARE


def picture_of(page: Any) -> "tuple[np.ndarray, float]":
    """The page as shown, (height, width, 3) of RGB bytes, and how many pixels a point has."""
    scale = min(DPI / 72, LONGEST_SIDE / max(*page.get_size(), 1))
    return page.render(scale=scale, rev_byteorder=True).to_numpy()[:, :, :3], scale


def _picture_share(page: Any) -> float:
    """The share of the page that its pictures take."""
    from pypdfium2 import raw

    width, height = page.get_size()
    taken = 0.0
    for picture in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]):
        left, bottom, right, top = picture.get_bounds()
        taken += (right - left) * (top - bottom)
    return taken / max(width * height, 1e-6)
