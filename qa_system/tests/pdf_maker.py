"""PDFs for tests, made when they are needed: text at places, pictures of text, encrypted ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 600.0, 800.0


class Words(NamedTuple):
    """Text whose baseline begins `left` from the left and `down` from the top; Chinese fonts are STSong-Light."""

    text: str
    left: float
    down: float
    size: float = 10
    font: str = "Helvetica"
    turned: float = 0
    """Degrees counter-clockwise."""


def column(text: str, left: float, down: float, width: int, pitch: float = 13, font: str = "Helvetica") -> list[Words]:
    """Running text in lines of at most `width` characters."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [Words(each, left, down + pitch * number, font=font) for number, each in enumerate([*lines, line])]


def make_pdf(
    path: Path, pages: Sequence[Sequence[Words]], password: str | None = None, rotate: int = 0, picture: object = None
) -> Path:
    """A PDF with these words on its pages; `picture` (of PIL) covers each page, `rotate` is how pages are shown."""
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfgen.canvas import Canvas

    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    encryption = StandardEncryption(password, canPrint=1) if password else None
    canvas = Canvas(str(path), pagesize=(WIDTH, HEIGHT), encrypt=encryption)
    for words in pages:
        if picture is not None:
            canvas.drawImage(ImageReader(picture), 0, 0, WIDTH, HEIGHT)
        for word in words:
            canvas.saveState()
            canvas.translate(word.left, HEIGHT - word.down)
            canvas.rotate(word.turned)
            canvas.setFont(word.font, word.size)
            canvas.drawString(0, 0, word.text)
            canvas.restoreState()
        canvas.showPage()
    canvas.save()
    if rotate:
        _rotate_pages(path, rotate)
    return path


def _rotate_pages(path: Path, degrees: int) -> None:
    import pypdf

    writer = pypdf.PdfWriter(clone_from=path)
    for page in writer.pages:
        page.rotate(degrees)
    writer.write(path)


def picture_of(lines: Sequence[str], width: int = 900, height: int = 1200, size: int = 36) -> object:
    """A picture of lines of text, as a scanner sees them."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((60, 60 + 2 * size * number), line, fill="black", font=ImageFont.load_default(size))
    return picture
