"""The demo page's third part: a description becomes a function, which is run against tests in the sandbox."""

import streamlit as st

from gpt_text_generation.code_generator import CodeConfig, generate_code
from gpt_text_generation.code_model import CodeModel
from gpt_text_generation.page_model import Page, model_or_say
from shared.errors import UserError

# Description, signature and tests: in English, as the model that ships reads no other.
EXAMPLES = {
    "double": ("double a number", "def double(x: int) -> int", "assert double(4) == 8\nassert double(-1) == -2"),
    "average": (
        "return the average of a list of numbers",
        "def average(numbers: list) -> float",
        "assert average([1, 2, 3]) == 2\nassert average([5]) == 5",
    ),
    "vowels": (
        "count the vowels in a text",
        "def count_vowels(text: str) -> int",
        'assert count_vowels("banana") == 3\nassert count_vowels("xyz") == 0\nassert count_vowels("Egg") == 1',
    ),
}
LONGEST = 1000  # characters of each field


def show(page: Page) -> None:
    say, state = page.say, st.session_state
    st.markdown(say("code_lead"))
    if "description" not in state:
        _put(*EXAMPLES["average"])
    st.caption(say("examples"))
    with st.container(horizontal=True):
        for name, example in EXAMPLES.items():
            st.button(say(f"example.{name}"), key=f"code-{name}", on_click=_put, args=example)
    left, right = st.columns(2, gap="medium")
    description = left.text_area(say("description"), key="description", height=80, max_chars=LONGEST)
    signature = left.text_input(say("signature"), key="signature", max_chars=LONGEST)
    tests = right.text_area(say("tests"), key="tests", height=160, max_chars=LONGEST)
    candidates = left.slider(say("candidates"), 1, 10, 3, key="candidates")
    if st.button(say("code_write"), type="primary", key="code-write", disabled=not description.strip()):
        try:
            config = CodeConfig(
                description=description,
                signature=signature.strip() or None,
                tests=tests.strip() or None,
                candidates=candidates,
                model=page.model,
            )
            if (model := model_or_say(page)) is None:
                return
            with st.spinner(say("code_writing")):
                state["code"] = generate_code(config, CodeModel(model))
        except (UserError, ValueError) as error:
            state.pop("code", None)
            st.error(say("fault", reason=error))
    if "code" in state:
        _show_outcome(page, *state["code"])


def _show_outcome(page: Page, code: str, rows: list[dict], result: dict) -> None:
    say = page.say
    st.code(code, language="python")
    if not rows:
        st.info(say("code_not_run") if result["outcome"] == "not run" else say("code_outcome", how=result["outcome"]))
        return
    passed = result["tests_passed"] == result["n_tests"]
    about = {"passed": result["tests_passed"], "n": result["n_tests"]}
    (st.success if passed else st.warning)(say("tests_passed", **about))
    st.table(
        [
            {
                say("test"): row["test"],
                say("verdict"): "✓" if row["passed"] else "✗",
                say("why_not"): row["why not"] or "",
            }
            for row in rows
        ]
    )
    st.caption(say("code_facts", tries=result["candidates"], passing=result["candidates_passing"]))


def _put(description: str, signature: str, tests: str) -> None:
    st.session_state.update(description=description, signature=signature, tests=tests)
