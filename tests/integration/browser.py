# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages in a real browser: Debian's Chromium without a screen, driven by Playwright, judged by axe-core."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.waiting import wait_for

CHROMIUM = shutil.which("chromium")
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
# Small, for fewer tiles to draw; `WIDE` where pictures are taken.
DESK = {"viewport": {"width": 800, "height": 540}}
WIDE = {"viewport": {"width": 1080, "height": 675}}
# The background services of a browser must not ask other hosts while a test watches.
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_PATIENCE = 30_000.0
expect.set_options(timeout=_PATIENCE)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; it is gone afterwards. Within, asyncio cannot be used beside it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Opens pages, each with a profile of its own, and notes what they ask for and complain of."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._hosts: set[str] = set()
        self.asked: list[str] = []
        self.said: list[str] = []

    def open(self, address: str, *, phone: bool = False, wide: bool = False, ready: str = "body") -> Page:
        """The page at the address, once `ready` is there: a CSS selector."""
        page = self.new(phone=phone, wide=wide)
        page.goto(address)
        page.wait_for_selector(ready, state="attached")
        return page

    def new(self, *, phone: bool = False, wide: bool = False) -> Page:
        """An empty page."""
        kind = PHONE if phone else WIDE if wide else DESK
        context = self._browser.new_context(**kind, color_scheme="light")  # type: ignore[arg-type]
        context.set_default_timeout(_PATIENCE)
        context.on("request", self._hear)
        context.on("console", self._note)
        context.on("weberror", lambda error: self.said.append(str(error.error)))
        return context.new_page()

    def _hear(self, request: Request) -> None:
        self.asked.append(request.url)
        if request.is_navigation_request():
            self._hosts.add(urlsplit(request.url).netloc)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.said.append(message.text)

    def strangers(self) -> list[str]:
        """Addresses on hosts that were not visited."""
        parts = [(address, urlsplit(address)) for address in self.asked]
        return [a for a, part in parts if part.scheme != "data" and part.netloc not in self._hosts]

    def leave(self) -> None:
        for context in self._browser.contexts:
            context.close()


def until(page: Page, condition: str) -> None:
    """Wait until the expression is true in the page. Playwright's own way is `eval`, which pages forbid."""
    wait_for(condition, lambda: page.evaluate(condition))


def picture(page: Page, name: str, *, whole: bool = False) -> Path:
    """A screenshot of the page, or of all that can be scrolled to, as `build/screenshots/NAME.png`."""
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path, full_page=whole, animations="disabled")
    return path


def obstacles(page: Page) -> list[str]:
    """What axe-core finds serious or critical, for people who cannot see, aim or tell colours well."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def too_small(page: Page, least: int = 40) -> list[str]:
    """What is to be tapped and lower than that many pixels; links within a sentence may be."""
    return list(
        page.evaluate(
            """least => [...document.querySelectorAll("a, button, summary, label, input:not(label input)")]
            .filter(one => one.checkVisibility({visibilityProperty: true}))
            .filter(one => !one.closest("p, footer, [aria-hidden=true], h2"))
            .map(one => [one.getBoundingClientRect(), one.outerHTML.slice(0, 120)])
            .filter(([box]) => box.width && box.right > 0 && (box.height < least || box.width < 24))
            .map(([box, html]) => `${box.width} x ${box.height}: ${html}`)""",
            least,
        )
    )


def overhang(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
