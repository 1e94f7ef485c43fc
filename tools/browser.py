"""The demo pages as a visitor's browser sees them: a hub of its own, and headless Chromium to drive it.

with hub(folder) as address, Browser(pictures) as browser:
    browser.open(f"{address}/qa_system?lang=en")
    browser.click(".st-key-qa_example button")

Wants Chromium with its driver (Debian: chromium, chromium-driver, fonts-noto-cjk) and selenium (extra `dev`).
A widget of Streamlit is found by its key: `.st-key-KEY`.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.errors import UserError
from tools.projects import CHECKOUT

CHROMIUM = ("chromium", "google-chrome", "chromium-browser")
WIDTH, HEIGHT = 1280, 800  # pixels of a laptop's window
TALLEST = 6000  # pixels of a picture
PATIENCE_S = 120.0  # for what a click sets going: models may have to be loaded

READY = """
const app = document.querySelector('[data-testid=stApp]');
return app !== null && app.dataset.testScriptState === 'notRunning'
    && document.querySelector('[data-testid=stSpinner], [data-testid=stSkeleton], [data-stale=true]') === null;
"""
USABLE = """
const seen = [...document.querySelectorAll(arguments[0])].filter(each => each.checkVisibility());
return seen.length > 0 && !seen[0].disabled;
"""


def missing() -> str | None:
    """What is wanting to drive a browser; None where all is there."""
    if not any(map(shutil.which, CHROMIUM)):
        return "no Chromium here (Debian: apt install chromium chromium-driver fonts-noto-cjk)"
    if not shutil.which("chromedriver"):
        return "no chromedriver here (Debian: apt install chromium-driver)"
    return None if importlib.util.find_spec("selenium") else "selenium is not installed (extra `dev`)"


@contextmanager
def hub(folder: Path, checkout: Path = CHECKOUT, **environment: str) -> Iterator[str]:
    """Run `streamlit run app.py` in this folder, where runs and stores go; gives its address.

    Raises UserError where it does not start; what it says is in `folder/hub.log`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", checkout / "app.py", f"--server.port={port}"]
    options = ["--server.address=127.0.0.1", "--server.headless=true", "--browser.gatherUsageStats=false"]
    paths = os.pathsep.join([str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (folder / "hub.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: _answers(server, f"{address}/_stcore/health"), 60, "the hub does not start")
            yield address
        finally:
            server.terminate()
            server.wait(30)


def _answers(server: subprocess.Popen, url: str) -> bool:
    if server.poll() is not None:
        raise UserError(f"the hub ended at once with exit code {server.returncode}")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def until(true: Callable[[], Any], within_s: float, otherwise: str) -> None:
    """Wait until a question is answered with yes. Raises UserError when the time is over."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > within_s:
            raise UserError(f"{otherwise} within {within_s:g} s")
        time.sleep(0.1)


class Browser:
    """Headless Chromium that reaches this machine only, so that whatever a page wants from elsewhere is an error."""

    def __init__(self, width: int = WIDTH, height: int = HEIGHT) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = next(filter(None, map(shutil.which, CHROMIUM)))
        for flag in (
            "headless=new",
            "no-sandbox",
            "disable-dev-shm-usage",
            "hide-scrollbars",
            "force-color-profile=srgb",
        ):
            options.add_argument(f"--{flag}")
        options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        self.width, self.height = width, height
        self.driver.set_window_size(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.quit()

    def open(self, url: str, usable: str | None = None, within_s: float = PATIENCE_S) -> float:
        """Go there as a new visitor; the seconds until the first widget of this selector can be used.

        Without one, until the page has run to its end.
        """
        started = time.monotonic()
        self.driver.get(url)
        if usable is None:
            self.wait(within_s)
        else:
            until(lambda: self.driver.execute_script(USABLE, usable), within_s, f"{url}: {usable} cannot be used")
        return time.monotonic() - started

    def wait(self, within_s: float = PATIENCE_S) -> None:
        """Wait until the page has run to its end."""
        time.sleep(0.4)  # a click needs a moment to reach the server
        until(lambda: self.driver.execute_script(READY), within_s, f"{self.driver.current_url}: still busy")

    def wait_for(self, selector: str, within_s: float = PATIENCE_S) -> None:
        """Wait until such an element is to be seen, and the page has run to its end."""
        found = f"{self.driver.current_url}: no {selector}"
        until(lambda: self.driver.execute_script(USABLE, selector), within_s, found)
        self.wait(within_s)

    def all(self, selector: str) -> list[Any]:
        """The elements that are to be seen."""
        return [each for each in self.driver.find_elements("css selector", selector) if each.is_displayed()]

    def click(self, selector: str, number: int = 0) -> None:
        """Click an element that is to be seen, and wait until the page has run to its end."""
        self.wait_for(selector)
        element = self.all(selector)[number]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        self.wait()

    def tab(self, number: int) -> None:
        self.click("[data-testid=stTab], button[role=tab]", number)

    def type(self, selector: str, text: str) -> None:
        """Put a text in place of what stands in a field, and send it off."""
        from selenium.webdriver.common.keys import Keys

        self.wait_for(selector)
        field = self.all(selector)[0]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        field.send_keys(Keys.CONTROL, Keys.ENTER) if field.tag_name == "textarea" else field.send_keys(Keys.ENTER)
        self.wait()

    def upload(self, selector: str, file: Path) -> None:
        """Give a file to an uploader."""
        self.driver.find_element("css selector", f"{selector} input[type=file]").send_keys(str(file))
        self.wait()

    def text(self, selector: str = "[data-testid=stApp]") -> str:
        """What is to be read there."""
        return "\n".join(element.text for element in self.all(selector))

    def exceptions(self) -> list[str]:
        """What Streamlit shows in place of a part that raised, on all tabs."""
        found = self.driver.find_elements("css selector", "[data-testid=stException]")
        return [element.get_attribute("textContent") for element in found]

    def console_errors(self) -> list[str]:
        """What the browser complained of since the last call."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def picture(self, file: Path, height: int | None = None) -> Path:
        """A PNG of the whole page, or of its upper part."""
        whole = self.driver.execute_script(
            "const main = document.querySelector('[data-testid=stMain]');"
            "const block = document.querySelector('[data-testid=stMainBlockContainer]');"
            "return main ? Math.max(block.scrollHeight + 20, 400) : document.body.scrollHeight"
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        self.driver.set_window_size(self.width, min(height or whole, TALLEST))
        self.driver.execute_script("document.querySelector('[data-testid=stMain]')?.scrollTo(0, 0)")
        time.sleep(0.6)  # charts are drawn anew
        self.driver.save_screenshot(str(file))
        self.driver.set_window_size(self.width, self.height)
        return file
