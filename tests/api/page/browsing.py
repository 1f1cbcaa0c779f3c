"""A real headless Chromium, driven by selenium, and what it has told of its pages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

BINARIES = ("chromium", "chromedriver")
WITHOUT = [name for name in BINARIES if shutil.which(name) is None]
NEEDS_CHROMIUM = pytest.mark.skipif(
    bool(WITHOUT), reason=f"no {' and '.join(WITHOUT)}: apt-get install chromium chromium-driver"
)
FLAGS = (
    "headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic",
    "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync",
    "disable-extensions", "force-color-profile=srgb",
)  # fmt: skip
WAIT_SECONDS = 20


@dataclass(frozen=True)
class Browser:
    """The browser."""

    driver: Chrome

    def log_in(self, address: str, token: str) -> None:
        """Log in by the form, as a person does, with nothing known from before."""
        self.command("Network.clearBrowserCookies")
        self.driver.get(address)
        self.find("#token").send_keys(token)
        self.forget()
        self.click("button")

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        return str(self.find(css).text)

    def click(self, css: str) -> None:
        """Click, and wait for the page that this leads to."""
        page = self.find("html")
        self.find(css).click()
        self.until(
            lambda: self.find("html") != page and self.run("document.readyState") == "complete"
        )

    def until(self, is_so: Any) -> None:
        WebDriverWait(self.driver, WAIT_SECONDS, 0.05).until(lambda _: is_so())

    def run(self, expression: str, *given: Any) -> Any:
        return self.driver.execute_script(f"return {expression}", *given)

    def command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)

    def errors(self) -> list[str]:
        """What the console has said since it was asked last, but for notes."""
        told = self.driver.get_log("browser")
        return [one["message"] for one in told if one["level"] in ("SEVERE", "WARNING")]

    def asked(self) -> list[str]:
        """Addresses that were asked for since it was asked last."""
        told = (json.loads(one["message"])["message"] for one in self.driver.get_log("performance"))
        sent = [one["params"] for one in told if one["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent]

    def hosts(self) -> set[str]:
        """Hosts that were asked for something; `data:` has none."""
        parts = (urlsplit(one) for one in self.asked())
        return {part.netloc for part in parts if part.scheme != "data"}

    def forget(self) -> None:
        """Begin the logs anew."""
        self.errors(), self.asked()

    def look(self, scheme: str = "light", width: int = 1200, height: int = 900) -> None:
        """Be a screen of this colour scheme and width."""
        preferred = {"name": "prefers-color-scheme", "value": scheme}
        self.command("Emulation.setEmulatedMedia", features=[preferred])
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.command("Emulation.setDeviceMetricsOverride", **size, mobile=width < 600)


@contextmanager
def started(folder: Path) -> Iterator[Browser]:
    """Start a browser that knows nothing, and end it with all that it has started."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"user-data-dir={folder}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with Chrome(options, ChromeService(shutil.which("chromedriver"))) as driver:
        yield Browser(driver)
