"""What a visitor does on each demo page, from opening it to a result: for the browser tests and the READMEs' pictures.

A visit is a generator. It works its way through the page and yields a name wherever there is something to look at.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.page import NAMES
from shared.phrases import Language
from tools.browser import Browser

LONG_S = 600.0  # for what takes a minute on an idle laptop, on a busy one
ALERT, METRIC, TABLE = (f"[data-testid={name}]" for name in ("stAlert", "stMetric", "stDataFrame"))
CHART, IMAGE = ".js-plotly-plot", "[data-testid=stImage] img"
Visit = Callable[[Browser], Iterator[str]]


@dataclass(frozen=True, kw_only=True)
class Page:
    name: str
    """Of the project; empty for the hub's home page."""
    usable: str
    """The selector of the first widget that a visitor would use."""
    visit: Visit
    moments: tuple[str, ...]
    """The names that the visit yields, one for each tab where there are tabs."""
    shown: str
    """The moment whose picture stands in the README."""
    in_chinese: Visit | None = None
    """What is done besides looking at what was there, once the visitor has changed to Chinese."""


def looks(page: Page, browser: Browser, language: Language) -> Iterator[str]:
    """The visit in English; in Chinese the same tabs once more, with what the visit in English brought there."""
    if language == "en":
        yield from page.visit(browser)
        return
    if page.in_chinese is not None:
        yield from page.in_chinese(browser)
    elif not (tabs := browser.all("[data-testid=stTab]")):
        yield page.shown
    else:
        for number, moment in zip(range(len(tabs)), page.moments, strict=True):
            browser.tab(number)
            yield moment


def change_language(browser: Browser) -> None:
    """Choose Chinese in the sidebar."""
    browser.click(".st-key-language_switch [role=radiogroup] label", number=list(NAMES).index("zh"))


def home(browser: Browser) -> Iterator[str]:
    yield "home"
    browser.click("[data-testid=stPageLink] a")
    browser.wait_for(".st-key-text-en input")
    browser.driver.back()
    browser.wait_for("[data-testid=stPageLink] a")


def transformer(browser: Browser) -> Iterator[str]:
    browser.type(".st-key-text-en input", "the actors are good and the f")
    browser.wait_for(CHART)
    yield "inside"
    browser.click(".st-key-write button")
    yield "written"


def sentiment(browser: Browser) -> Iterator[str]:
    browser.click(".st-key-example-mixed button")
    browser.wait_for("[data-testid=stExpander]")
    yield "text"
    browser.tab(1)
    browser.type(".st-key-pasted textarea", "A warm and funny film.\nA waste of two hours.\nIt runs for two hours.")
    browser.click(".st-key-answer_all button")
    browser.wait_for(TABLE)
    yield "texts"
    browser.tab(2)
    browser.wait_for(CHART)
    yield "quality"


def generation(browser: Browser) -> Iterator[str]:
    browser.click(".st-key-beginning-robot button")
    browser.type(".st-key-length input", "30")
    browser.click(".st-key-write button", within_s=LONG_S)
    yield "strategies"
    browser.tab(1)
    browser.type(".st-key-topic input", "a fox who learns to count")
    browser.click(".st-key-story-write button", wait=False)
    browser.until_it_says("fox", "[role=tabpanel] h3, [role=tabpanel] h4", LONG_S)
    browser.click(".st-key-story-stop button", within_s=LONG_S)
    yield "story"
    browser.tab(2)
    browser.click(".st-key-code-double button")
    browser.click(".st-key-code-write button", within_s=LONG_S)
    browser.wait_for("[data-testid=stCode]")
    yield "code"
    browser.tab(3)
    browser.click(".st-key-take-over button")
    browser.type(".st-key-rater input", "visitor")
    browser.click(".st-key-vote-first button")
    browser.click(".st-key-show-results label", number=-1)
    browser.wait_for(CHART)
    yield "vote"


def questions(browser: Browser) -> Iterator[str]:
    browser.click("[data-testid=stBaseButton-primary]")
    browser.wait_for(".st-key-qa_question input", LONG_S)
    yield from ask(browser, "en")


def ask(browser: Browser, language: str) -> Iterator[str]:
    """The first of the suggested questions has an answer in the example's documents, the last has none."""
    suggested = f".st-key-qa_suggestion_{language} button"
    browser.wait_for(suggested, LONG_S)
    browser.click(suggested)
    browser.wait_for(".st-key-qa_cite_0 button")
    yield "answer"
    browser.click(suggested, number=-1)
    browser.wait_for(ALERT)
    yield "no_answer"


def optimization(browser: Browser) -> Iterator[str]:
    browser.click(".st-key-optimization_batch [role=radiogroup] label", number=1)
    browser.click(".st-key-optimization_batch [role=radiogroup] label", number=0)
    browser.wait_for(CHART)
    yield "ship"
    browser.tab(1)
    browser.click(".st-key-optimization_make button", within_s=LONG_S)
    browser.wait_for(TABLE, LONG_S)
    yield "variants"
    browser.tab(2)
    browser.click(".st-key-optimization_serve_start button", wait=False)
    browser.until_it_says("50", METRIC, LONG_S)
    yield "serve"
    browser.click(".st-key-optimization_serve_stop button")
    browser.wait_for(".st-key-optimization_serve_start button", LONG_S)
    browser.tab(3)
    browser.press(".st-key-optimization_drift_share [role=slider]", "right", 2)
    browser.wait_for(METRIC)
    yield "drift"


def pictures(browser: Browser) -> Iterator[str]:
    browser.click(".st-key-caption_sample [role=radiogroup] button", number=2)
    browser.wait_for("[role=tabpanel] h3", LONG_S)
    yield "caption"
    browser.tab(1)
    browser.type(".st-key-vqa_question input", "is there a blue triangle?")
    browser.wait_for(TABLE)
    yield "questions"
    browser.tab(2)
    browser.click(".st-key-labels_sample [role=radiogroup] button", number=2)
    browser.click(".st-key-labels_try button")
    browser.wait_for("[data-testid=stProgress]", LONG_S)
    yield "labels"
    browser.tab(3)
    browser.type(".st-key-search_folder input", str(drawings(browser.folder)))
    browser.click(".st-key-search_update button", within_s=LONG_S)
    browser.type(".st-key-search_text input", "a red ball")
    browser.wait_for(IMAGE, LONG_S)
    yield "search"
    browser.tab(4)
    browser.click(".st-key-document_sample [role=radiogroup] button", within_s=LONG_S)
    browser.click(".st-key-document_try_1 button", within_s=LONG_S)
    browser.wait_for(ALERT)
    yield "document"


def drawings(folder: Path) -> Path:
    """A folder with a few pictures of our own: nobody's photos are needed to try the search."""
    from multimodal_llm.visual_question_answering.drawings import draw_shape

    made, random = folder / "drawings", np.random.default_rng(0)
    made.mkdir(exist_ok=True)
    for shape, color in (("circle", "red"), ("triangle", "blue"), ("rectangle", "green"), ("circle", "yellow")):
        draw_shape(shape, color, random).resize((320, 320)).save(made / f"{color}_{shape}.png")
    return made


PAGES = (
    Page(name="", usable="[data-testid=stPageLink] a", visit=home, moments=("home",), shown="home"),
    Page(
        name="transformer_from_scratch",
        usable=".st-key-text-en input",
        visit=transformer,
        moments=("inside", "written"),
        shown="inside",
    ),
    Page(
        name="bert_sentiment_analysis",
        usable=".st-key-text textarea",
        visit=sentiment,
        moments=("text", "texts", "quality"),
        shown="text",
    ),
    Page(
        name="gpt_text_generation",
        usable=".st-key-beginning textarea",
        visit=generation,
        moments=("strategies", "story", "code", "vote"),
        shown="strategies",
    ),
    Page(
        name="qa_system",
        usable="[data-testid=stBaseButton-primary]",
        visit=questions,
        moments=("answer", "no_answer"),
        shown="answer",
        in_chinese=lambda browser: ask(browser, "zh"),
    ),
    Page(
        name="model_optimization",
        usable=CHART,
        visit=optimization,
        moments=("ship", "variants", "serve", "drift"),
        shown="ship",
    ),
    Page(
        name="multimodal_llm",
        usable=".st-key-caption_sample [role=radiogroup] button",
        visit=pictures,
        moments=("caption", "questions", "labels", "search", "document"),
        shown="document",
    ),
)
