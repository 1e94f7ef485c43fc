"""The demo pages as a visitor's browser sees them: a hub of its own, and headless Chromium to drive it.

with hub(folder) as address, Browser(folder) as browser:
    seconds = browser.open(f"{address}/bert_sentiment_analysis?lang=en", usable=".st-key-text textarea")
    browser.click(".st-key-example-mixed button")
    browser.picture(folder / "answer.png")

Wants Chromium with its driver (Debian: chromium, chromium-driver, fonts-noto-cjk) and selenium (extra `dev`).
A widget of Streamlit is found by its key: `.st-key-KEY`.
"""

import importlib.util
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
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
SLOWNESS = float(os.environ.get("BROWSER_PATIENCE", "1"))  # how many times as long all may take, on a busy machine

FLAGS = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-dev-shm-usage",
    "hide-scrollbars",
    "force-prefers-reduced-motion",
    "host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
READY = """
const app = document.querySelector('[data-testid=stApp]');
return app !== null && app.dataset.testScriptState === 'notRunning'
    && document.querySelector('[data-testid=stSpinner], [data-testid=stSkeleton], [data-stale=true]') === null;
"""
# A spinner that turns costs more than the page behind it where no graphics card draws it.
STILL = """
document.addEventListener('DOMContentLoaded', () => {
    const style = document.createElement('style');
    style.textContent = '*, *::before, *::after { animation: none !important; transition: none !important; }';
    document.head.append(style);
});
"""
SEEN = "const seen = [...document.querySelectorAll(arguments[0])].filter(each => each.checkVisibility());"
USABLE = SEEN + "return seen.length > 0 && !seen[0].disabled;"
SAYS = SEEN + "return seen.some(each => each.innerText.includes(arguments[1]));"
WHOLE = """
const ends = ['stMainBlockContainer', 'stSidebarContent'].map(name => document.querySelector(`[data-testid=${name}]`))
    .filter(each => each !== null).map(each => each.scrollHeight);
return Math.max(700, ...ends);
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
    command = [sys.executable, "-m", "streamlit", "run", str(checkout / "app.py"), f"--server.port={port}"]
    options = ["--server.address=127.0.0.1", "--server.headless=true", "--browser.gatherUsageStats=false"]
    options.append("--server.fileWatcherType=none")  # as in our config.toml, which is read where one starts it
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
            server.wait(60 * SLOWNESS)


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
        if time.monotonic() - started > within_s * SLOWNESS:
            raise UserError(f"{otherwise} within {within_s * SLOWNESS:g} s")
        time.sleep(0.2 * SLOWNESS)


class Browser:
    """Headless Chromium that reaches this machine only, so that whatever a page wants from elsewhere is an error."""

    def __init__(self, folder: Path, width: int = WIDTH, height: int = HEIGHT) -> None:
        """`folder` is for what a visitor has at hand, such as pictures to upload."""
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = next(filter(None, map(shutil.which, CHROMIUM)))
        for flag in FLAGS:
            options.add_argument(f"--{flag}")
        options.page_load_strategy = "eager"
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": STILL})
        self.driver.set_script_timeout(PATIENCE_S * SLOWNESS)
        self.driver.command_executor.client_config.timeout = PATIENCE_S * SLOWNESS  # type: ignore[union-attr]
        self.folder, self.width, self.height = folder, width, height
        self._resize(height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.quit()

    def open(self, url: str, usable: str, within_s: float = PATIENCE_S) -> float:
        """Go there as a new visitor; the seconds until the first element of the selector `usable` can be used."""
        started = time.monotonic()
        self.driver.get(url)
        until(lambda: self.driver.execute_script(USABLE, usable), within_s, f"{url}: {usable} cannot be used")
        return time.monotonic() - started

    def wait(self, within_s: float = PATIENCE_S) -> None:
        """Wait until the page has run to its end."""
        time.sleep(0.5)  # a click needs a moment to reach the server
        until(lambda: self.driver.execute_script(READY), within_s, f"{self.driver.current_url}: still busy")

    def wait_for(self, selector: str, within_s: float = PATIENCE_S) -> None:
        """Wait until such an element is to be seen and can be used."""
        fault = f"{self.driver.current_url}: {selector} cannot be used"
        until(lambda: self.driver.execute_script(USABLE, selector), within_s, fault)

    def until_gone(self, selector: str, within_s: float = PATIENCE_S) -> None:
        """Wait until no such element is to be seen."""
        until(lambda: not self.all(selector), within_s, f"{self.driver.current_url}: {selector} does not go")

    def until_it_says(self, text: str, selector: str, within_s: float = PATIENCE_S) -> None:
        """Wait until this text is to be read in one of the elements, whatever the page still does."""
        fault = f"{self.driver.current_url}: {selector} does not say {text!r}"
        until(lambda: self.driver.execute_script(SAYS, selector, text), within_s, fault)

    def click(self, selector: str, number: int = 0, wait: bool = True, within_s: float = PATIENCE_S) -> None:
        """Click the element of this number among those to be seen, and wait until the page has run to its end."""
        self.wait_for(selector)
        self._with(selector, number, lambda element: element.click())
        if wait:
            self.wait(within_s)

    def tab(self, number: int) -> None:
        self.click("[data-testid=stTab]", number)

    def type(self, selector: str, text: str) -> None:
        """Put a text in place of what stands in a field, and send it off."""
        from selenium.webdriver.common.keys import Keys

        def fill(field: Any) -> None:
            field.send_keys(Keys.CONTROL, "a")
            field.send_keys(text)
            field.send_keys(*([Keys.CONTROL, Keys.ENTER] if field.tag_name == "textarea" else [Keys.ENTER]))

        self.wait_for(selector)
        self._with(selector, 0, fill)
        self.wait()

    def press(self, selector: str, key: str, times: int = 1) -> None:
        """Press a key, such as `right`, on an element."""
        from selenium import webdriver
        from selenium.webdriver.common.keys import Keys

        def strike(element: Any) -> None:
            self.driver.execute_script("arguments[0].focus()", element)  # a slider's own field is too small to click
            webdriver.ActionChains(self.driver).send_keys(getattr(Keys, key.upper()) * times).perform()

        self.wait_for(selector)
        self._with(selector, 0, strike)
        self.wait()

    def _with(self, selector: str, number: int, act: Callable[[Any], None]) -> None:
        """Act on an element in the middle of the window; once more where the page is drawn anew at that moment."""
        from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException

        for last in (False, False, True):
            try:
                element = self.all(selector)[number]
                self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
                return act(element)
            except (ElementClickInterceptedException, IndexError, StaleElementReferenceException) as error:
                if last:
                    raise UserError(f"{self.driver.current_url}: {selector}: {type(error).__name__}") from error
                self.wait()

    def all(self, selector: str) -> list[Any]:
        """The elements that are to be seen."""
        return self.driver.execute_script(SEEN + "return seen", selector)

    def text(self, selector: str = "[data-testid=stApp]") -> str:
        """What is to be read there."""
        return "\n".join(element.text for element in self.all(selector))

    def exceptions(self) -> list[str]:
        """What Streamlit shows in place of a part that raised, on all tabs."""
        found = self.driver.find_elements("css selector", "[data-testid=stException]")
        return [element.get_attribute("textContent") or "" for element in found]

    def unchosen(self) -> list[str]:
        """The labels of radio buttons of which none is chosen, on all tabs."""
        groups = self.driver.find_elements("css selector", "[data-testid=stRadio]")
        return [
            group.text
            for group in groups
            if not group.find_elements("css selector", "input:checked, [data-selected=true]")
        ]

    def console_errors(self) -> list[str]:
        """What the browser complained of since the last call, but for Streamlit's own search for its server."""
        lines = [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]
        return [line for line in lines if not re.search(r"/_stcore/(health|host-config) .*404", line)]

    def picture(self, file: Path, height: int | None = None) -> Path:
        """A PNG of the whole page, or of its upper part, in 256 colours."""
        from PIL import Image

        file.parent.mkdir(parents=True, exist_ok=True)
        self._resize(height or min(self.driver.execute_script(WHOLE), TALLEST))
        self.driver.execute_script("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")
        time.sleep(1.0)  # charts are drawn anew
        picture = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        picture.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
        self._resize(self.height)
        return file

    def _resize(self, height: int) -> None:
        """What a page has of the window, without the browser's own bars."""
        size = {"width": self.width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
