"""What a visitor does on each demo page to see a result: for the browser tests and the READMEs' pictures.

A page is visited in steps, one for each tab where there are tabs; after each there is something to look at.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from shared.page import NAMES
from shared.phrases import Language
from tools.browser import Browser

LONG_S = 600.0  # for what takes a minute on an idle laptop
ALERT, METRIC, TABLE = (f"[data-testid={name}]" for name in ("stAlert", "stMetric", "stDataFrame"))
CHART, IMAGE, TAB = ".js-plotly-plot", "[data-testid=stImage] img", "[data-testid=stTab]"
LINK = "[data-testid=stPageLink] a"

Step = Callable[[Browser], None]


@dataclass(frozen=True, kw_only=True)
class Page:
    name: str
    """Of the project; empty for the hub's home page."""
    usable: str
    """The selector of the first widget that a visitor would use."""
    steps: dict[str, Step]
    """By name, in the order of the tabs."""
    shown: str
    """The step whose picture stands in the README."""
    in_chinese: dict[str, Step] | None = None
    """Steps of its own for the Chinese page; without them each tab is looked at once more, with what is there."""


def walk(page: Page, browser: Browser, language: Language, only: str | None = None) -> Iterator[str]:
    """Take the steps, English before Chinese, and yield the name of each when there is something to look at."""
    own = page.in_chinese if language == "zh" else page.steps
    for number, name in enumerate(page.steps):
        if only in (None, name):
            if own is not None:
                own[name](browser)
            elif number < len(browser.all(TAB)):
                browser.tab(number)
            yield name


def change_language(browser: Browser) -> None:
    """Choose Chinese in the sidebar."""
    browser.click(".st-key-language_switch [role=radiogroup] label", number=list(NAMES).index("zh"))


def home(browser: Browser) -> None:
    """To the first project's page and back."""
    browser.click(LINK)
    browser.wait_for(".st-key-text-en input")
    browser.driver.back()
    browser.wait_for(LINK)
    browser.wait()


def inside(browser: Browser) -> None:
    browser.type(".st-key-text-en input", "the actors are good and the f")
    browser.wait_for(CHART)


def written(browser: Browser) -> None:
    browser.click(".st-key-write button", within_s=LONG_S)


def text(browser: Browser) -> None:
    browser.click(".st-key-example-mixed button")
    browser.wait_for("[data-testid=stExpander]")


def texts(browser: Browser) -> None:
    browser.tab(1)
    browser.type(".st-key-pasted textarea", "A warm and funny film.\nA waste of two hours.\nIt runs for two hours.")
    browser.click(".st-key-answer_all button")
    browser.wait_for(TABLE)


def quality(browser: Browser) -> None:
    browser.tab(2)
    browser.wait_for(CHART)


def strategies(browser: Browser) -> None:
    browser.click(".st-key-beginning-robot button")
    browser.type(".st-key-length input", "30")
    browser.click(".st-key-write button", within_s=LONG_S)


def story(browser: Browser) -> None:
    """Stopped once there is something of it: it can be gone on with."""
    browser.tab(1)
    browser.type(".st-key-topic input", "a fox who learns to count")
    browser.click(".st-key-story-write button", wait=False)
    browser.wait_for("[role=tabpanel] :is(h3, h4)", LONG_S)
    browser.click(".st-key-story-stop button", within_s=LONG_S)


def code(browser: Browser) -> None:
    browser.tab(2)
    browser.click(".st-key-code-double button")
    browser.click(".st-key-code-write button", within_s=LONG_S)
    browser.wait_for("[data-testid=stCode]")


def vote(browser: Browser) -> None:
    """On what the strategies wrote."""
    browser.tab(3)
    browser.click(".st-key-take-over button")
    browser.type(".st-key-rater input", "visitor")
    browser.click(".st-key-vote-first button")
    browser.click(".st-key-show-results label", number=-1)
    browser.wait_for(CHART)


def answer(browser: Browser) -> None:
    """The first of the suggested questions has an answer in the documents that come with the project."""
    browser.click("[data-testid=stBaseButton-primary]")
    browser.wait_for(".st-key-qa_suggestion_en button", LONG_S)
    browser.click(".st-key-qa_suggestion_en button")
    browser.wait_for(".st-key-qa_cite_0 button")


def answer_in_chinese(browser: Browser) -> None:
    browser.click(".st-key-qa_suggestion_zh button")
    browser.wait_for(".st-key-qa_cite_0 button")


def no_answer(browser: Browser) -> None:
    """The last one has none there."""
    browser.click("[class*=st-key-qa_suggestion] button", number=-1)
    browser.wait_for(ALERT)


def ship(browser: Browser) -> None:
    for batch in (1, 0):
        browser.click(".st-key-optimization_batch [role=radiogroup] label", number=batch)
    browser.wait_for(CHART)


def variants(browser: Browser) -> None:
    browser.tab(1)
    browser.click(".st-key-optimization_make button", within_s=LONG_S)
    browser.wait_for(TABLE, LONG_S)


def serve(browser: Browser) -> None:
    browser.tab(2)
    browser.click(".st-key-optimization_serve_start button", wait=False)
    browser.wait_for(METRIC, LONG_S)
    browser.click(".st-key-optimization_serve_stop button")
    browser.wait_for(".st-key-optimization_serve_start button", LONG_S)


def drift(browser: Browser) -> None:
    browser.tab(3)
    browser.press(".st-key-optimization_drift_share [role=slider]", "right", 2)
    browser.wait_for(METRIC)


def caption(browser: Browser) -> None:
    browser.click("[class*=st-key-caption_sample] [role=radiogroup] button", number=2)
    browser.wait_for("[role=tabpanel] h3", LONG_S)


def questions(browser: Browser) -> None:
    browser.tab(1)
    browser.type(".st-key-vqa_question input", "is there a blue triangle?")
    browser.wait_for(TABLE)


def labels(browser: Browser) -> None:
    browser.tab(2)
    browser.click("[class*=st-key-labels_sample] [role=radiogroup] button", number=2)
    browser.click(".st-key-labels_try button", within_s=LONG_S)
    browser.wait_for("[data-testid=stProgress]")


def search(browser: Browser) -> None:
    """Through drawings of our own: nobody's photos are needed."""
    from multimodal_llm.visual_question_answering.drawings import draw_shape

    folder, random = browser.folder / "drawings", np.random.default_rng(0)
    folder.mkdir()
    for shape, color in (("circle", "red"), ("triangle", "blue"), ("rectangle", "green"), ("circle", "yellow")):
        draw_shape(shape, color, random).resize((320, 320)).save(folder / f"{color}_{shape}.png")
    browser.tab(3)
    browser.type(".st-key-search_folder input", str(folder))
    browser.click(".st-key-search_update button", within_s=LONG_S)
    browser.type(".st-key-search_text input", "a red ball")
    browser.wait_for(IMAGE, LONG_S)


def document(browser: Browser) -> None:
    browser.tab(4)
    browser.click("[class*=st-key-document_sample] [role=radiogroup] button", within_s=LONG_S)
    browser.click(".st-key-document_try_1 button", within_s=LONG_S)
    browser.wait_for(ALERT)


def steps(*taken: Step) -> dict[str, Step]:
    return {step.__name__: step for step in taken}


PAGES = (
    Page(name="", usable=LINK, steps=steps(home), shown="home"),
    Page(
        name="transformer_from_scratch",
        usable=".st-key-text-en input",
        steps=steps(inside, written),
        shown="inside",
    ),
    Page(
        name="bert_sentiment_analysis",
        usable=".st-key-text textarea",
        steps=steps(text, texts, quality),
        shown="text",
    ),
    Page(
        name="gpt_text_generation",
        usable=".st-key-beginning textarea",
        steps=steps(strategies, story, code, vote),
        shown="strategies",
    ),
    Page(
        name="qa_system",
        usable="[data-testid=stBaseButton-primary]",
        steps=steps(answer, no_answer),
        shown="answer",
        in_chinese={"answer": answer_in_chinese, "no_answer": no_answer},
    ),
    Page(
        name="model_optimization",
        usable=CHART,
        steps=steps(ship, variants, serve, drift),
        shown="ship",
    ),
    Page(
        name="multimodal_llm",
        usable="[class*=st-key-caption_sample] [role=radiogroup] button",
        steps=steps(caption, questions, labels, search, document),
        shown="document",
    ),
)
