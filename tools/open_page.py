"""Open a project's Streamlit page without a browser, and fail where it raises: `python -m tools.open_page PROJECT`."""

import argparse
import os

from shared.errors import UserError, run_program
from tools.projects import CHECKOUT, existing_projects, page_of


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.open_page", description=__doc__)
    parser.add_argument("project", help="a project folder, for example transformer_from_scratch")
    parser.add_argument("--timeout", type=float, default=300, help="seconds the page may take (default: 300)")
    arguments = parser.parse_args(argv)
    open_page(arguments.project, arguments.timeout)
    print(f"{arguments.project}: its page opens")


def open_page(project: str, timeout: float) -> None:
    """Run the page once from the checkout. Raises UserError where there is none or it raises."""
    page = page_of(project)
    if page is None:
        raise UserError(f"{project}: no page here: choose one of {', '.join(existing_projects())}")
    from streamlit.testing.v1 import AppTest

    os.chdir(CHECKOUT)
    shown = AppTest.from_file(str(page), default_timeout=timeout).run()
    for exception in shown.exception:
        raise UserError(f"{page.relative_to(CHECKOUT)}: the page raises: {' '.join(exception.message.split())}")


if __name__ == "__main__":
    run_program(main)
