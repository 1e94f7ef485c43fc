"""README tables, numbers and file maps are made from the results and the tree; stale ones and dead links are told."""

import json

import pytest

from shared.errors import UserError
from tools import readme_tables
from tools.projects import CHECKOUT, our_files
from tools.readme_tables import dead_links, fill

RESULTS = {
    "benchmark": "char_lm",
    "command": "python -m toyproject.benchmark char_lm --data $DATA/text",
    "date": "2026-01-02",
    "commit": "abc1234",
    "hardware": "A processor, 2 cores",
    "python": "3.11.7",
    "result": {"val_loss": 1.5, "pearson_r": {"tweets": 0.9}, "rows_seen": 12345},
    "rows": [{"method": "a|b", "accuracy": 0.8, "n": 1000}, {"method": "plain", "accuracy": None, "extra": True}],
}


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one project and one results file."""
    project = tmp_path / "toyproject"
    (project / "results").mkdir(parents=True)
    (project / "results" / "char_lm.json").write_text(json.dumps(RESULTS))
    (project / "__init__.py").write_text('"""A project."""\n')
    return tmp_path


def filled(checkout, text, name="toyproject/README.md"):
    return fill(text, checkout / name, checkout)


def test_the_readmes_here_are_up_to_date():
    for readme in our_files(CHECKOUT, "README*.md"):
        text = readme.read_text(encoding="utf-8")
        assert fill(text, readme, CHECKOUT) == text, f"{readme}: run `make readme`"


def test_no_relative_link_here_is_dead():
    assert dead_links(CHECKOUT) == []


def test_a_table_shows_the_rows_and_how_they_were_measured(checkout):
    made = filled(checkout, "before\n<!-- results char_lm -->old<!-- /results -->\nafter")
    assert made.startswith("before\n<!-- results char_lm -->\n") and made.endswith("<!-- /results -->\nafter")
    lines = made.splitlines()
    assert "| --- | --- | --- | --- |" in lines
    assert "| a\\|b | 0.800 | 1,000 | – |" in lines
    assert "| plain | – | – | True |" in lines
    assert f"`{RESULTS['command']}` · 2026-01-02 · `abc1234` · A processor, 2 cores" in made


def test_filling_twice_changes_nothing(checkout):
    once = filled(checkout, "<!-- results char_lm --><!-- /results --> <!-- tree --><!-- /tree -->")
    assert filled(checkout, once) == once


def test_columns_are_chosen_and_ordered(checkout):
    made = filled(checkout, "<!-- results char_lm columns=n,method --><!-- /results -->")
    assert "| 1,000 | a\\|b |" in made
    assert "0.800" not in made


def test_headings_are_in_the_readmes_language_or_the_raw_name(checkout, monkeypatch):
    monkeypatch.setattr(readme_tables, "has_phrase", lambda key: key == "column.method")
    monkeypatch.setattr(readme_tables, "phrase", lambda key, language: f"{key} in {language}")
    block = "<!-- results char_lm columns=method,n --><!-- /results -->"
    assert "| column.method in en | n |" in filled(checkout, block)
    assert "| column.method in zh | n |" in filled(checkout, block, "toyproject/README.zh-CN.md")


def test_a_number_stands_in_the_text(checkout):
    made = filled(
        checkout,
        "loss <!-- number char_lm.val_loss -->?<!-- /number -->, r of tweets "
        "<!-- number char_lm.pearson_r.tweets --><!-- /number -->",
    )
    assert made == (
        "loss <!-- number char_lm.val_loss -->1.500<!-- /number -->, r of tweets "
        "<!-- number char_lm.pearson_r.tweets -->0.900<!-- /number -->"
    )


def test_the_roots_readme_names_the_project(checkout):
    made = filled(checkout, "<!-- number toyproject/char_lm.rows_seen --><!-- /number -->", "README.md")
    assert "-->12,345<!--" in made
    assert "| 1,000 |" in filled(checkout, "<!-- results toyproject/char_lm --><!-- /results -->", "README.md")


def test_the_tree_shows_each_module_with_its_first_line(checkout):
    project = checkout / "toyproject"
    for folder in ("evaluation", "tests", "exercises"):
        (project / folder).mkdir()
        (project / folder / "module.py").write_text(f'"""About {folder}.\n\nMore."""\n')
    (project / "evaluation" / "__init__.py").write_text('"""How good it is."""\n')
    (project / "model.py").write_text('"""A model."""\n')
    made = filled(checkout, "<!-- tree --><!-- /tree -->").split("```")[1].splitlines()[1:]
    assert [line.split()[0] for line in made] == ["model.py", "evaluation/", "module.py", "exercises/", "tests/"]
    assert any(line.startswith("model.py ") and line.endswith(" A model.") for line in made)
    assert any(line.startswith("evaluation/ ") and line.endswith(" How good it is.") for line in made)
    assert any(line.startswith("  module.py ") and line.endswith(" About evaluation.") for line in made)


@pytest.mark.parametrize(
    "text, told",
    [
        ("<!-- results speed --><!-- /results -->", "no toyproject/results/speed.json"),
        ("<!-- number char_lm.accuracy --><!-- /number -->", "no accuracy in the results file"),
        ("<!-- number char_lm.pearson_r.nyt --><!-- /number -->", "no pearson_r.nyt in the results file"),
        ("<!-- results char_lm columns=speed --><!-- /results -->", "no column speed"),
        ("<!-- results char_lm sort=n --><!-- /results -->", "unknown option 'sort=n'"),
        ("<!-- results char_lm -->", "has no partner"),
    ],
)
def test_what_is_missing_is_one_clear_line(checkout, text, told):
    with pytest.raises(UserError) as raised:
        filled(checkout, text)
    assert told in str(raised.value) and str(raised.value).startswith("toyproject/README.md: ")
    assert "\n" not in str(raised.value)


def test_a_dead_relative_link_is_found(checkout):
    (checkout / "docs").mkdir()
    (checkout / "docs" / "a.md").write_text(
        "[here](../toyproject/results/char_lm.json) [web](https://example.org/x) [part](#part-1) `[code](none.md)`\n"
        '[gone](b.md#part) <img src="picture.png"> [空](%E7%A9%BA.md) [b](#part-2)\n## Part 1?\n'
    )
    (checkout / "docs" / "空.md").touch()
    assert dead_links(checkout) == [
        "docs/a.md: the link to b.md#part leads nowhere",
        "docs/a.md: the link to picture.png leads nowhere",
        "docs/a.md: the link to #part-2 leads nowhere",
    ]


def test_check_fails_on_a_stale_table_and_changes_nothing(checkout, monkeypatch, capsys):
    monkeypatch.setattr(readme_tables, "CHECKOUT", checkout)
    readme = checkout / "toyproject" / "README.md"
    readme.write_text("<!-- number char_lm.val_loss -->9<!-- /number -->")
    with pytest.raises(SystemExit) as ended:
        readme_tables.main(["--check"])
    assert ended.value.code == 1
    assert "toyproject/README.md: differs" in capsys.readouterr().err
    assert "-->9<!--" in readme.read_text()
    readme_tables.main([])
    readme_tables.main(["--check"])
    assert "-->1.500<!--" in readme.read_text()
