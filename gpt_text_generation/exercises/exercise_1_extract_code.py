"""Exercise 1: the code in an answer: a chat model wraps it in words and backticks, and seldom twice in the same way."""

REPLACES = "gpt_text_generation.code_text.extract_code"
CHECKED_BY = "gpt_text_generation/tests/test_code_text.py::test_code_is_found_in_markdown"


def extract_code(answer: str) -> str:
    """The Python code in an answer in Markdown.

    Take the first fenced block (three backticks or three tildes) that is marked python, py or python3, in any case; or
    else the first block. A block that is not closed goes to the end. Without a block take everything from the first
    line that begins, at the margin, with `def `, `class `, `import `, `from X import` or `@`. Otherwise an empty text.
    A block may be indented, as in a list; give its code without that indentation.

    Hints: one regular expression with `re.MULTILINE | re.DOTALL` finds all blocks: an opening fence at the start of a
    line, a word, the code up to the next fence at the start of a line or the end of the text (`\\\\Z`).
    `textwrap.dedent` takes the indentation away.

    Read: the CommonMark specification, section 4.5, https://spec.commonmark.org/0.31.2/#fenced-code-blocks
    Expect: of a small model's answers a tenth or so have no fence, or open one and never close it.
    """
    raise RuntimeError("fill in extract_code")
