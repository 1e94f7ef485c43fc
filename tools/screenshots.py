"""Take the pictures of the demo pages in the READMEs anew: `python -m tools.screenshots`.

Each page is visited in headless Chromium, in English and Chinese, for PROJECT/results/page_en.png and page_zh.png; all
beside each other become docs/pages_en.png and pages_zh.png.
"""

import argparse
import tempfile
from pathlib import Path

from shared.errors import UserError, run_program
from shared.phrases import LANGUAGES, Language
from tools.browser import Browser, hub, missing
from tools.page_visits import PAGES, Page, change_language, walk
from tools.projects import CHECKOUT

SHOWN_HEIGHT = 860  # pixels of a picture in a README
STRIP = (3, 2)  # columns and rows of the six pages beside each other
TILE, GAP, EDGE = (420, 282), 10, "#8a8f98"  # pixels of a page, and between two


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description=__doc__)
    parser.add_argument("project", nargs="*", help="project folders (default: all six)")
    wanted = parser.parse_args(argv).project
    pages = {page.name: page for page in PAGES if page.name}
    if unknown := [name for name in wanted if name not in pages]:
        raise UserError(f"{unknown[0]}: no such page: choose among {', '.join(pages)}")
    if reason := missing():
        raise UserError(reason)
    faults = []
    for name in wanted or pages:
        print(f"{name} ...", flush=True)
        try:
            take(pages[name])
        except UserError as error:
            faults.append(f"{name}: {error}")
    for language in LANGUAGES:
        strip(list(pages.values()), language)
    if faults:
        raise UserError("; ".join(faults))


def take(page: Page) -> None:
    """The page's picture in both languages. Raises UserError where the visit does not get there."""
    with tempfile.TemporaryDirectory() as folder, hub(Path(folder)) as address, Browser(Path(folder)) as browser:
        browser.open(f"{address}/{page.name}?lang=en", page.usable)
        browser.wait()
        for language in LANGUAGES:
            if language == "zh":
                change_language(browser)
            for _ in walk(page, browser, language, page.shown):
                browser.picture(shown_file(page, language), SHOWN_HEIGHT)


def shown_file(page: Page, language: Language) -> Path:
    return CHECKOUT / page.name / "results" / f"page_{language}.png"


def strip(pages: list[Page], language: Language) -> None:
    """The pages beside each other, for the root README."""
    from PIL import Image

    picture = Image.new("RGB", tuple(n * (side + GAP) - GAP for n, side in zip(STRIP, TILE, strict=True)), EDGE)
    for number, page in enumerate(pages):
        if shown_file(page, language).is_file():
            tile = Image.open(shown_file(page, language)).convert("RGB")
            tile = tile.resize((TILE[0], round(tile.height * TILE[0] / tile.width)), Image.Resampling.LANCZOS)
            row, column = divmod(number, STRIP[0])
            picture.paste(tile.crop((0, 0, *TILE)), (column * (TILE[0] + GAP), row * (TILE[1] + GAP)))
    picture.quantize(256, dither=Image.Dither.NONE).save(CHECKOUT / "docs" / f"pages_{language}.png", optimize=True)


if __name__ == "__main__":
    run_program(main)
