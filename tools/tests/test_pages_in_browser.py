"""Every page of the hub in headless Chromium, as a visitor has it: `make test-browser`.

Each page is visited in a hub that was just started, in an empty folder, so the seconds until it can be used are those
of the worst case: nothing is imported and no model is in memory. They run from the navigation to the moment when the
first main widget can be used. An idle laptop should stay below 10; the bound here is for busy machines. In the
environment, PAGE_SECONDS sets it, PAGE_PICTURES names a folder for the pictures of what was seen, and BROWSER_PATIENCE
multiplies the time that all else may take.
"""

import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.phrases import phrase, table
from tools.browser import Browser, hub, missing
from tools.page_visits import PAGES, change_language, walk
from tools.projects import CHECKOUT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.network,  # the pages answer with the packaged models
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(missing()), reason=str(missing())),
]
WITHIN_S = float(os.environ.get("PAGE_SECONDS", "10"))
BY_NAME = {page.name: page for page in PAGES}
BANNERS = {
    "transformer_from_scratch": ("transformer.page.untrained",),
    "bert_sentiment_analysis": ("sentiment.page.no_models",),
    "model_optimization": ("optimization.page.no_subject",),
    "multimodal_llm": tuple(f"multimodal.page.{key}" for key in ("captioner_left_out", "space_left_out", "no_vqa")),
}
FIRST_PARTS = "|".join(sorted({key.partition(".")[0] for key in table()}))
MOJIBAKE = re.compile("\ufffd|â€|Ã[\x80-\xbf]|[åæçèé][\x80-\xbf]{2}|锟斤拷")


@pytest.fixture
def pictures(tmp_path):
    return Path(os.environ.get("PAGE_PICTURES", tmp_path / "pictures")).absolute()


@contextmanager
def visitor(folder, checkout=CHECKOUT, **environment):
    """A browser, and the address of a hub that was just started. At the end the hub must have told of no exception."""
    with hub(folder, checkout, **environment) as address, Browser(folder) as browser:
        yield browser, address
    log = (folder / "hub.log").read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in log, log[-3000:]


def faults(browser):
    """What no visitor should see: exceptions, keys in place of words, mangled letters, choices without a choice."""
    text = browser.text()
    keys = [
        key for key in re.findall(rf"\b(?:{FIRST_PARTS})(?:\.\w+)+", text) if any(k.startswith(key) for k in table())
    ]
    return [*browser.exceptions(), *browser.console_errors(), *browser.unchosen(), *keys, *MOJIBAKE.findall(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name or "home")
def test_a_page_is_usable_soon_and_its_main_path_leads_to_a_result_in_both_languages(page, pictures, tmp_path):
    with visitor(tmp_path / "hub") as (browser, address):
        seconds = browser.open(f"{address}/{page.name}?lang=en", page.usable)
        print(f"\n{page.name or 'home'}: usable after {seconds:.1f} s")
        browser.wait()
        for language in ("en", "zh"):
            if language == "zh":
                change_language(browser)
            title = phrase(f"app.page.{page.name}" if page.name else "app.title", language)
            browser.until_it_says(title, "h1")
            for step in walk(page, browser, language):
                browser.picture(pictures / f"{page.name or 'home'}-{step}-{language}.png")
                assert not faults(browser), (step, language)
        assert not faults(browser)
    assert seconds <= WITHIN_S


def test_the_hub_works_without_any_trained_weights(pictures, tmp_path):
    """A checkout whose weights are not there: each page opens, and says what it does without."""
    checkout = tmp_path / "checkout"
    left_out = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "weights", "runs", "outputs", "tests")
    shutil.copytree(CHECKOUT, checkout, ignore=left_out)
    with visitor(tmp_path / "hub", checkout, LAPTOP_LLM_FREE_WEIGHTS_ONLY="1") as (browser, address):
        for page in PAGES:
            open_to(browser, f"{address}/{page.name}?lang=en")
            browser.picture(pictures / f"{page.name or 'home'}-without_weights-en.png")
            assert not faults(browser), page.name
            told = " ".join(alert.get_property("textContent") for alert in alerts(browser))
            for key in BANNERS.get(page.name, ()):
                assert first_words(phrase_as_written(key)) in told, key


def test_free_weights_alone_still_write_a_caption(pictures, tmp_path):
    """LAPTOP_LLM_FREE_WEIGHTS_ONLY=1 leaves out the weights that are for non-commercial use only."""
    page = BY_NAME["multimodal_llm"]
    with visitor(tmp_path / "hub", LAPTOP_LLM_FREE_WEIGHTS_ONLY="1") as (browser, address):
        browser.open(f"{address}/{page.name}?lang=en", page.usable)
        browser.until_it_says(
            first_words(phrase_as_written("multimodal.page.captioner_left_out")), "[data-testid=stAlert]"
        )
        browser.wait()
        page.steps["caption"](browser)  # the sample is described all the same
        browser.picture(pictures / "multimodal_llm-free_weights-en.png")
        assert not faults(browser)


def open_to(browser, url):
    """Open a page and wait until it has run to its end."""
    browser.open(url, "h1")
    browser.wait()


def alerts(browser):
    """On all tabs."""
    return browser.driver.find_elements("css selector", "[data-testid=stAlert]")


def phrase_as_written(key):
    return table()[key]["en"]


def first_words(words):
    """Those before anything that is filled in, or set in another type."""
    return re.split(r"[{`(*]", words)[0].strip()
