# SPDX-License-Identifier: GPL-2.0-or-later
"""A newcomer's path, timed: `git clone`, `make run`, the map in a browser.

`python -m tests.newcomer ROOT BUNDLE`: on the Debian in ROOT, which has git and make, with the repository in
BUNDLE. First on the fresh machine, then on what that has become. `scripts/test-newcomer` makes both.
"""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page
from rich import box
from rich.console import Console
from rich.table import Table

from tests.integration.browser import PICTURES, Visitor, chromium, until
from tests.newcomer.machine import Machine

_CLONE = "git clone --quiet /tmp/qgsd.bundle qgsd; echo cloned"
_RUN = "cd qgsd; exec make --no-print-directory run PORT={port}"
# What begins when a line is said that begins so.
_STEPS = {
    "cloned": "start",
    "Installing Debian's": "Debian's packages",
    "Installing qgsd": "Python's packages",
    "qgsd is installed": "start",
    "The map: ": "map",
}
_COLUMNS = ("clone", "Debian's packages", "Python's packages", "start", "map")
_TILES = "[...document.querySelectorAll('img.leaflet-tile')]"


@dataclass(frozen=True)
class Way:
    """`limit`: the seconds that are promised from the first command to the painted map; 0: none are."""

    name: str
    command: str
    limit: float


WAYS = (
    Way("fresh machine", f"{_CLONE}; {_RUN}", 180.0),
    Way("prepared, cloned anew", f"rm -rf qgsd; {_CLONE}; {_RUN}", 0.0),
    Way("prepared", f"echo cloned; {_RUN}", 5.0),
)


class Clock:
    """The seconds of each step."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self._step, self._since = "clone", time.monotonic()

    def begin(self, step: str) -> None:
        now = time.monotonic()
        self.steps[self._step] = self.steps.get(self._step, 0.0) + now - self._since
        self._step, self._since = step, now

    @property
    def total(self) -> float:
        return sum(self.steps.values())


def go(way: Way, machine: Machine, browser: Browser, picture: Path) -> Clock:
    """Go the way to its end. Raises `AssertionError` with what was said when there is no map."""
    said: list[str] = []
    clock = Clock()
    with machine.run(way.command.format(port=_free_port())) as running:
        for line in running.lines():
            said.append(line)
            for beginning in _STEPS:
                if line.startswith(beginning):
                    clock.begin(_STEPS[beginning])
            if line.startswith("The map: "):
                visitor = Visitor(browser)
                page = visitor.open(line.removeprefix("The map: "), wide=True, ready="[data-drawn]")
                # They fade in.
                until(page, f"{_TILES}.every(tile => getComputedStyle(tile).opacity === '1')")
                clock.begin("")
                _judge(page, picture)
                assert visitor.strangers() == visitor.said == []
                visitor.leave()
                return clock
    raise AssertionError("it ended without a map:\n" + "\n".join(said[-30:]))


def _judge(page: Page, path: Path) -> None:
    """Take a picture of the map; `AssertionError` if there is nothing to be seen in it."""
    assert page.evaluate(f"{_TILES}.length") >= 4
    page.locator("#map").screenshot(path=path)
    seen = Image.open(path).convert("RGB")
    dots = seen.width * seen.height
    colours = sorted((count for count, _ in seen.getcolors(dots) or ()), reverse=True)
    # Land, sea and lines: one colour alone is no map.
    assert len(colours) > 50, f"only {len(colours)} colours in {path}"
    assert colours[0] < 0.9 * dots, f"all but nothing is of one colour in {path}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def main(root: Path, bundle: Path) -> int:
    """Go all ways, show their times; 1 when one took longer than is promised."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / "newcomer.png"
    table = Table("seconds", *_COLUMNS, "in all", "promised", box=box.SIMPLE_HEAD)
    late = []
    with chromium() as browser, Machine(root, bundle) as machine:
        for way in WAYS:
            clock = go(way, machine, browser, picture)
            figures = [f"{clock.steps[step]:.1f}" if step in clock.steps else "" for step in _COLUMNS]
            table.add_row(way.name, *figures, f"{clock.total:.1f}", f"< {way.limit:.0f}" if way.limit else "")
            if way.limit and clock.total >= way.limit:
                late.append(f"{way.name}: {clock.total:.1f} s to the map, {way.limit:.0f} s are promised")
    Console(width=120).print(table)
    print(f"The last map: {picture}")
    for one in late:
        print(one, file=sys.stderr)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
