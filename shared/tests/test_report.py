"""The report: both languages, everything escaped, nothing loaded from outside."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import plotly.graph_objects as go
import pytest

from shared.errors import UserError
from shared.phrases import phrase
from shared.report import Section, read_section, write_report

FACTS = {"date": "2026-01-02", "commit": "abc1234", "hardware": "toy, 2 cores", "seconds": "5", "command": "make demo"}
HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)> & @@FOOTER@@"


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and text outside scripts and styles."""

    def __init__(self, file):
        super().__init__()
        self.elements, self.words, self.scripts, self._inside = [], "", [], None
        self.html = file.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def a_section(text="plain"):
    section = Section({"en": "A title", "zh": "一个标题"}, {"en": "a summary", "zh": "一段摘要"})
    section.text({"en": "First.\n\nSecond: `make demo`.", "zh": "第一段。\n\n第二段。"})
    section.numbers([({"en": "parameters", "zh": "参数量"}, 123456), (text, 0.5)])

    def draw(language):
        figure = go.Figure(go.Scatter(x=np.arange(3), y=[1.0, float("nan"), 2.0], name=text))
        return figure.update_layout(title="a curve" if language == "en" else "一条曲线")

    section.figure(draw, text)
    section.table([{"model": {"en": "ours", "zh": "我们的"}, "val_loss": 1.5}, {"model": text, "extra": 3}], text)
    section.samples([(text, f"one\n  two {text}")], {"en": "samples", "zh": "样例"})
    return section


@pytest.fixture
def make_page(tmp_path):
    """Save the sections, read them back, and open the report made of them."""

    def make(*sections, failures=(), facts=FACTS):
        read = []
        for number, section in enumerate(sections):
            section.save(tmp_path / str(number))
            read.append({**read_section(tmp_path / str(number)), "command": "python -m toy.quickstart", "seconds": 2.4})
        write_report(tmp_path / "report.html", read, list(failures), facts)
        return Page(tmp_path / "report.html")

    return make


def test_both_languages_are_on_the_page(make_page):
    page = make_page(a_section())
    for words in ("A title", "一个标题", "一段摘要", "Second", "第二段", "我们的", "样例"):
        assert words in page.words
    for key in ("column.model", "column.val_loss", "report.title"):
        assert phrase(key, "en") in page.words and phrase(key, "zh") in page.words
    assert "123,456" in page.words and "python -m toy.quickstart" in page.words
    assert "abc1234" in page.words and "toy, 2 cores" in page.words


def test_figures_are_drawn_once_a_language_and_hold_no_nan(make_page):
    page = make_page(a_section())
    [figure] = json.loads(page.scripts[1], parse_constant=pytest.fail)
    assert figure["en"]["layout"]["title"]["text"] == "a curve"
    assert figure["zh"]["layout"]["title"]["text"] == "一条曲线"
    assert len([plot for plot in page.named("div") if plot.get("class") == "plot"]) == 1


def test_hostile_texts_are_shown_and_do_nothing(make_page):
    failure = {"project": HOSTILE, "why": HOSTILE, "log": HOSTILE}
    page = make_page(a_section(HOSTILE), failures=[failure], facts={**FACTS, "command": HOSTILE})
    assert len(page.scripts) == 3  # plotly, the figures, the page's own
    assert page.named("img") == []
    assert page.words.count("<script>alert(1)</script>") >= 9
    assert json.loads(page.scripts[1])[0]["en"]["data"][0]["name"] == HOSTILE


def test_marks_of_the_skeleton_within_a_text_stay_as_they_are(make_page):
    page = make_page(a_section("@@FOOTER@@ @@PLOTLY@@"))
    assert "@@FOOTER@@ @@PLOTLY@@" in page.words
    assert page.words.count("toy, 2 cores") == 2  # the footer, once a language


def test_the_page_loads_nothing(make_page):
    page = make_page(a_section())
    addresses = [value for _, attributes in page.elements for name, value in attributes.items() if name in LOADING]
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    own = page.html.replace(page.scripts[0], "")  # plotly.js names addresses for maps, which no figure here draws
    assert re.findall(r"https?://|@import|url\(", own) == []
    assert len(page.scripts[0]) > 1_000_000 and "</script" not in page.scripts[0]


LOADING = ("src", "href", "srcset", "data", "action")


def test_contents_are_listed_where_there_is_more_than_one_section(make_page):
    assert make_page(a_section()).named("nav") == []
    page = make_page(a_section(), a_section())
    links = [link["href"] for link in page.named("a")]
    assert links == ["#section-1", "#section-2"]
    assert [section["id"] for section in page.named("section")] == ["section-1", "section-2"]


def test_failures_are_shown_with_reason_and_log_in_both_languages(make_page):
    failures = [
        {"project": "toy_project", "why": {"en": "it broke", "zh": "它坏了"}, "log": "outputs/demo/toy_project.log"},
        {"project": "other", "why": "interrupted", "log": ""},
    ]
    page = make_page(a_section(), failures=failures)
    for words in ("toy_project", "it broke", "它坏了", "outputs/demo/toy_project.log", "interrupted"):
        assert words in page.words
    assert phrase("report.failures", "zh") in page.words
    assert phrase("report.failures", "zh") not in make_page(a_section()).words


def test_a_report_of_nothing_says_so(make_page):
    assert phrase("report.nothing", "en") in make_page().words


def test_what_to_do_next_stands_in_a_box_of_its_own(make_page):
    section = Section("A title", "A summary")
    section.next({"en": "`one` command", "zh": "`一条`命令"})
    page = make_page(section).html
    assert '<div class="next"><h3>' in page and "<code>一条</code>命令" in page


def test_noise_that_a_model_wrote_shows_no_empty_boxes(make_page):
    section = Section("A title", "A summary")
    section.samples([("noise", "a\x96b\x00\nc")], "caption")
    assert "<pre>a·b·\nc</pre>" in make_page(section).html


def test_code_in_a_text_is_marked(make_page):
    assert "<code>make demo</code>" in make_page(a_section()).html


def test_a_missing_or_damaged_section_is_one_line(tmp_path):
    with pytest.raises(UserError, match="section.json: missing"):
        read_section(tmp_path)
    (tmp_path / "section.json").write_text("{")
    with pytest.raises(UserError, match="section.json: damaged"):
        read_section(tmp_path)
