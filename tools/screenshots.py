"""Visit every demo page in a browser, in English and in Chinese, and save what is seen: `python -m tools.screenshots`.

What is chosen for the READMEs goes into PROJECT/results/page_en.png and page_zh.png, and the six beside each other into
docs/pages_en.png and pages_zh.png.
"""

import argparse
import tempfile
from pathlib import Path

from shared.errors import UserError, run_program
from shared.phrases import LANGUAGES, Language
from tools.browser import Browser, hub, missing
from tools.page_visits import PAGES, Page, change_language, looks
from tools.projects import CHECKOUT

SHOWN_HEIGHT = 860  # pixels of a picture in a README
STRIP = (3, 2)  # columns and rows of the six pages beside each other
TILE, GAP = (420, 282), 10  # pixels


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description=__doc__)
    parser.add_argument("page", nargs="*", help="project folders (default: the home page and all six)")
    parser.add_argument("--out", type=Path, default=Path("outputs/pages"), help="folder of all pictures")
    arguments = parser.parse_args(argv)
    if reason := missing():
        raise UserError(reason)
    chosen = [page for page in PAGES if not arguments.page or page.name in arguments.page]
    if unknown := set(arguments.page) - {page.name for page in PAGES}:
        raise UserError(f"no such page: {', '.join(sorted(unknown))}")
    faults = []
    for page in chosen:
        print(f"{page.name or 'home'} ...", flush=True)
        try:
            take(page, arguments.out)
        except UserError as error:
            faults.append(f"{page.name or 'home'}: {error}")
    strips()
    if faults:
        raise UserError("; ".join(faults))


def take(page: Page, out: Path) -> None:
    """Save a picture of all that a visit yields. Raises UserError where the page does not get there."""
    with tempfile.TemporaryDirectory() as folder, hub(Path(folder)) as address, Browser(Path(folder)) as browser:
        browser.open(f"{address}/{page.name}?lang=en", page.usable)
        browser.wait()
        for language in LANGUAGES:
            if language == "zh":
                change_language(browser)
            for moment in looks(page, browser, language):
                browser.picture(out / f"{page.name or 'home'}-{moment}-{language}.png")
                if moment == page.shown and page.name:
                    browser.picture(shown_file(page, language), SHOWN_HEIGHT)


def shown_file(page: Page, language: Language) -> Path:
    return CHECKOUT / page.name / "results" / f"page_{language}.png"


def strips() -> None:
    """The six pages beside each other, for the root README."""
    from PIL import Image

    for language in LANGUAGES:
        files = [shown_file(page, language) for page in PAGES if page.name]
        if not all(map(Path.exists, files)):
            continue
        size = [n * (side + GAP) - GAP for n, side in zip(STRIP, TILE, strict=True)]
        strip = Image.new("RGB", tuple(size), "#8a8f98")
        for number, file in enumerate(files):
            picture = Image.open(file).convert("RGB")
            tile = picture.resize((TILE[0], round(picture.height * TILE[0] / picture.width)), Image.Resampling.LANCZOS)
            row, column = divmod(number, STRIP[0])
            strip.paste(tile.crop((0, 0, *TILE)), (column * (TILE[0] + GAP), row * (TILE[1] + GAP)))
        strip.quantize(256, dither=Image.Dither.NONE).save(CHECKOUT / "docs" / f"pages_{language}.png", optimize=True)


if __name__ == "__main__":
    run_program(main)
