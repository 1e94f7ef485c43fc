"""In which order a reader takes what is on a page: columns one after the other, a heading above both of them first.

Boxes come from a PDF's text, from character recognition or from layout analysis; only their places count. The page is
first cut into bands at white stripes from edge to edge. In a band a gutter is sought: a white stripe from top to bottom
with running text on both sides of it, perhaps interrupted by what stands across the columns. Bands that follow each
other with the same gutter are one band again, since a column is read to its end. Then each side is treated in the same
way. What has no gutter is read row by row, which is right for tables, whose columns are not running text.

A recursive XY-cut (Nagy and Seth, "Hierarchical representation of optically scanned documents", ICPR 1984) with two
changes: the test for running text, and boxes that may cross a gutter (compare XY-Cut++, arXiv 2504.10258).

Writing from left to right only: text from right to left is put in order within its rows by whoever knows its letters.
"""

import statistics
from collections.abc import Iterable, Sequence

Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom; y grows downwards."""
Region = list[list[int]]
"""Rows from top to bottom, each the numbers of its boxes from left to right."""

WHITE_STRIPE = 0.6  # lines of white that part two bands; between the lines of a paragraph there is less
NARROWEST_COLUMN = 8.0  # in lines' heights: some 8 Chinese characters or 16 Latin ones
FEWEST_LINES = 3.0  # that a column is long
FULL_LINE = 0.6  # a line is full if one box takes this share of its column's width
MOST_FULL = 0.4  # running text has this share of full lines; labels of a figure may stand between them
MOST_WITHIN = 1  # gutters within the side of a gutter that are looked for: up to four columns
MOST_CROSSING = 0.25  # share of the lines beside a gutter that may stand across it


def around(boxes: Iterable[Rectangle]) -> Rectangle:
    """The smallest box around these, of which there must be one."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def reading_order(boxes: Sequence[Rectangle], line_height: float | None = None) -> list[Region]:
    """The regions of a page in the order of reading; every box's number is in exactly one row of one of them.

    `line_height` is that of a line of ordinary text, by default the boxes' median: give it where boxes are paragraphs.
    """
    if not boxes:
        return []
    unit = line_height or statistics.median(bottom - top for _, top, _, bottom in boxes) or 1.0
    return _Page(boxes, unit).regions(list(range(len(boxes))))


def rows_of(boxes: Sequence[Rectangle], among: Sequence[int] | None = None) -> Region:
    """Rows from top to bottom, each from left to right.

    A box belongs to a row if they share about half of the lower one's height, and neither is more than twice as high: a
    raised number does, a bracket or an initial letter over three lines does not.
    """
    rows: list[tuple[float, float, list[int]]] = []  # top and bottom of the highest box yet, numbers
    for number in sorted(range(len(boxes)) if among is None else among, key=lambda each: _middle(boxes[each])):
        _, top, _, bottom = boxes[number]
        if rows:
            row_top, row_bottom, numbers = rows[-1]
            both, height, row_height = min(bottom, row_bottom) - max(top, row_top), bottom - top, row_bottom - row_top
            if both >= 0.45 * min(height, row_height) and max(height, row_height) <= 2 * min(height, row_height):
                if height > row_height:
                    row_top, row_bottom = top, bottom
                rows[-1] = (row_top, row_bottom, [*numbers, number])
                continue
        rows.append((top, bottom, [number]))
    return [sorted(numbers, key=lambda each: boxes[each][0]) for _, _, numbers in rows]


class _Page:
    def __init__(self, boxes: Sequence[Rectangle], unit: float) -> None:
        self.boxes = boxes
        self.unit = unit

    def regions(self, numbers: list[int]) -> list[Region]:
        """Columns where a gutter goes from top to bottom; else bands, taken apart further where they have one.

        Neighbouring bands without a gutter are one region.
        """
        gutter = self.gutter(numbers)
        if gutter is not None:
            return self.columns(numbers, gutter)
        regions: list[Region] = []
        rows: Region = []
        for band, gutter in self.bands(numbers):
            if gutter is None:
                rows += rows_of(self.boxes, band)
                continue
            if rows:
                regions.append(rows)
                rows = []
            regions += self.columns(band, gutter)
        return [*regions, rows] if rows else regions

    def bands(self, numbers: list[int]) -> list[tuple[list[int], float | None]]:
        """Bands from top to bottom, each with the place of its gutter or None."""
        found: list[tuple[list[int], float | None]] = []
        for band in self.cut_into_bands(numbers):
            gutter = self.gutter(band)
            if found:
                above, above_gutter = found[-1]
                # A short band, such as the last lines of a column, has no gutter of its own but fits the one above.
                if above_gutter is not None and (gutter is not None or self.fits(band, above_gutter)):
                    joint = self.gutter(above + band)
                    if joint is not None and self.fits(band, joint):
                        found[-1] = (above + band, joint)
                        continue
                if gutter is not None and above_gutter is None and self.fits(above, gutter):
                    joint = self.gutter(above + band)
                    if joint is not None:
                        found[-1] = (above + band, joint)
                        continue
            found.append((band, gutter))
        return found

    def cut_into_bands(self, numbers: list[int]) -> list[list[int]]:
        bands: list[list[int]] = []
        floor = float("-inf")
        for number in sorted(numbers, key=lambda each: self.boxes[each][1]):
            _, top, _, bottom = self.boxes[number]
            if top - floor > WHITE_STRIPE * self.unit:
                bands.append([])
            bands[-1].append(number)
            floor = max(floor, bottom)
        return bands

    def fits(self, band: list[int], gutter: float) -> bool:
        """Whether a band can be two columns' part: nothing across the gutter, in each row one box a side at most."""
        for row in rows_of(self.boxes, band):
            left = sum(self.boxes[number][2] <= gutter for number in row)
            right = sum(self.boxes[number][0] >= gutter for number in row)
            if left + right < len(row) or left > 1 or right > 1:
                return False
        return True

    def gutter(self, numbers: list[int], within: int = 0) -> float | None:
        """Where running text stands left and right of a white stripe: the place with the most lines face to face."""
        total = self.lines(numbers)
        places = []
        for place, left_lines, right_lines in self.stripes(numbers):
            across = total - left_lines - right_lines
            if across <= MOST_CROSSING * (left_lines + right_lines):
                # Whole lines, so that of gutters that are about as good the leftmost wins; the right is cut again.
                places.append((-round(min(left_lines, right_lines)), place))
        for _, place in sorted(places):
            left = [number for number in numbers if self.boxes[number][2] <= place]
            right = [number for number in numbers if self.boxes[number][0] >= place]
            if self.face(left, right) and self.has_text(left, within) and self.has_text(right, within):
                return place
        return None

    def has_text(self, side: list[int], within: int) -> bool:
        """Whether a side is running text, or has columns of it in turn."""
        wide = [number for number in side if self._width(number) >= NARROWEST_COLUMN * self.unit]
        if self.lines(wide) < max(FEWEST_LINES, MOST_FULL * self.lines(side)):
            return False
        return self.is_running_text(side) or (within < MOST_WITHIN and self.gutter(side, within + 1) is not None)

    def stripes(self, numbers: list[int]) -> list[tuple[float, float, float]]:
        """Places where boxes end and, further right, others begin; with the lines left and right of each."""
        edges = sorted(
            [(self.boxes[number][2], 0, self._height(number)) for number in numbers]
            + [(self.boxes[number][0], 1, self._height(number)) for number in numbers]
        )
        places = []
        left, right = 0.0, sum(self._height(number) for number in numbers)
        for (edge, begins, height), (following, next_begins, _) in zip(edges, edges[1:], strict=False):
            left, right = (left, right - height) if begins else (left + height, right)
            if not begins and next_begins:
                places.append(((edge + following) / 2, left / self.unit, right / self.unit))
        return places

    def face(self, left: list[int], right: list[int]) -> bool:
        """Whether the sides stand beside each other, not one below the other."""
        top = max(min(self.boxes[number][1] for number in side) for side in (left, right))
        bottom = min(max(self.boxes[number][3] for number in side) for side in (left, right))
        return bottom - top >= FEWEST_LINES * self.unit

    def lines(self, numbers: list[int]) -> float:
        return sum(self.boxes[number][3] - self.boxes[number][1] for number in numbers) / self.unit

    def is_running_text(self, numbers: list[int]) -> bool:
        if self.lines(numbers) < FEWEST_LINES:
            return False
        left = min(self.boxes[number][0] for number in numbers)
        right = max(self.boxes[number][2] for number in numbers)
        rows = rows_of(self.boxes, numbers)
        # One box must fill the row, not all together: those of a table's row do so too.
        widest = [max(row, key=self._width) for row in rows]
        full = [number for number in widest if self._width(number) > FULL_LINE * (right - left)]
        wide_enough = right - left >= NARROWEST_COLUMN * self.unit
        return wide_enough and self.lines(full) >= max(FEWEST_LINES, MOST_FULL * self.lines(widest))

    def is_table(self, band: list[int], gutter: float) -> bool:
        """Whether what stands left and right of a gutter are rows of one table: on the same lines, and not full."""
        rows = rows_of(self.boxes, band)
        left = [number for number in band if self.boxes[number][2] <= gutter]
        right = [number for number in band if self.boxes[number][0] >= gutter]
        if len(rows) < 2 or self.is_running_text(left) or self.is_running_text(right):
            return False
        aligned = 0
        for row in rows:
            middles = [_middle(self.boxes[number]) for number in row]
            both = any(number in left for number in row) and any(number in right for number in row)
            aligned += both and len(row) > 2 and max(middles) - min(middles) < 0.15 * self.unit
        return aligned > 0.6 * len(rows)

    def columns(self, numbers: list[int], gutter: float) -> list[Region]:
        """Left side, right side; before a box that stands across the gutter, what is above it on both sides."""
        across = [n for n in numbers if self.boxes[n][0] < gutter < self.boxes[n][2]]
        for band in self.cut_into_bands(sorted(set(numbers) - set(across))):
            if self.is_table(band, gutter):
                across += band
        rest = sorted(set(numbers) - set(across), key=lambda each: _middle(self.boxes[each]))
        regions: list[Region] = []
        for row in [*rows_of(self.boxes, across), None]:
            # A row across takes the boxes beside it along: they are parts of one line or one table.
            top, bottom = (self._top(row), self._bottom(row)) if row else (float("inf"), float("inf"))
            above = [number for number in rest if _middle(self.boxes[number]) < top]
            beside = [number for number in rest if top <= _middle(self.boxes[number]) <= bottom]
            for side in (
                [number for number in above if self.boxes[number][2] <= gutter],
                [number for number in above if self.boxes[number][2] > gutter],
            ):
                if side:
                    regions += self.regions(side)
            if row:
                together = rows_of(self.boxes, row + beside)
                if regions and not above and self._is_row_region(regions[-1], gutter):
                    regions[-1] += together
                else:
                    regions.append(together)
            rest = [number for number in rest if number not in set(above) | set(beside)]
        return regions

    def _is_row_region(self, region: Region, gutter: float) -> bool:
        return any(self.boxes[number][0] < gutter < self.boxes[number][2] for number in region[-1])

    def _top(self, numbers: list[int]) -> float:
        return min(self.boxes[number][1] for number in numbers)

    def _bottom(self, numbers: list[int]) -> float:
        return max(self.boxes[number][3] for number in numbers)

    def _height(self, number: int) -> float:
        return self.boxes[number][3] - self.boxes[number][1]

    def _width(self, number: int) -> float:
        return self.boxes[number][2] - self.boxes[number][0]


def _middle(box: Rectangle) -> float:
    return (box[1] + box[3]) / 2
