# SPDX-License-Identifier: GPL-2.0-or-later
"""What people see: pictures of it in build/screenshots, and axe-core's judgement of each page.

`make screenshots` puts some of the pictures into docs/images.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page
from rich.console import Console

from qgsd.control import Client
from qgsd.control.records import Snapshot
from qgsd.control.top import View
from tests.integration.browser import PICTURES, Visitor, needs_chromium, obstacles, picture, until
from tests.integration.conftest import WORLD
from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.integration.management import ON, TOKEN, management_port

# Other extents of the example, in metres.
PARTS = {
    "Africa": (-2200000, -4200000, 6000000, 4600000),
    "Europe": (-1800000, 4000000, 4800000, 9500000),
    "South America": (-9500000, -7500000, -3500000, 1600000),
    "South-East Asia": (10000000, -1500000, 16000000, 3000000),
    "Arctic": (-20037508, 9000000, 20037508, 18000000),
}


def fill(root: Path) -> None:
    """The example, and parts of it as projects of their own."""
    shutil.copytree(WORLD, root, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (root / "world.qgs").read_text()
    for title, extent in PARTS.items():
        sides = "".join(f"<value>{side}</value>" for side in extent)
        changed = text.replace(">World</WMSServiceTitle>", f">{title}</WMSServiceTitle>")
        changed, found = re.subn(
            r"(<WMSExtent[^>]*>).*?(?=</WMSExtent>)", rf"\g<1>{sides}", changed, flags=re.S
        )
        changed = re.sub(
            r"(?<=<WMSServiceAbstract type=\"QString\">)[^<]*", f"{title}: countries and cities.", changed
        )
        assert found
        (root / f"{title.lower().replace(' ', '-')}.qgs").write_text(changed)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance with a management port that has had something to do."""
    folder = tmp_path_factory.mktemp("looks")
    fill(folder / "root")
    texts = ("metadata.title=Maps of the example", "metadata.description=Everything that the tests look at")
    arguments = ["--rootdir", str(folder / "root"), *ON, "--set", f"management.token={TOKEN}"]
    arguments += [part for text in texts for part in ("--set", text)]
    instance = Instance(folder / "i", "run", arguments)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with instance:
        yield instance


def test_top_while_it_works(busy: Instance) -> None:
    view = View()
    with Client(busy.control) as client, Crowd(busy, 3, ows_path(**GET_MAP)) as crowd:
        for _ in range(20):
            told = client.call("top")
            snapshot = msgspec.convert(told, Snapshot)
            view.add(snapshot, time.monotonic())
            crowd.wait_answers(5)
    assert crowd.bad == []
    # What is recorded goes nowhere else.
    with Path("/dev/null").open("w") as nowhere:
        console = Console(file=nowhere, record=True, width=100, markup=False, emoji=False, highlight=False)
        console.print(view.show(snapshot, keys=True))
    drawn = console.export_svg(title="qgsdctl top")
    # Rich has browsers fetch its font from elsewhere.
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    assert "https://" not in drawn.replace("https://www.textualize.io", "")
    assert "▁" in drawn or "█" in drawn
    (PICTURES / "top.svg").write_text(drawn)


def at(instance: Instance, path: str) -> str:
    return f"http://127.0.0.1:{instance.port}{path}"


def judge(page: Page, name: str, *, whole: bool = False) -> None:
    """Take the pictures, light and dark; fail with what keeps people out."""
    papers = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        # The page hears of it a moment later, if it is busy.
        until(page, f"matchMedia('(prefers-color-scheme: {scheme})').matches")
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert picture(page, f"{name}-{scheme}", whole=whole).stat().st_size > 10_000
        assert obstacles(page) == []
    assert len(papers) == 2


@needs_chromium
def test_the_landing_page(busy: Instance, visitor: Visitor) -> None:
    page = visitor.open(at(busy, "/"), wide=True, ready=".preview.drawn")
    until(page, "document.querySelectorAll('.preview.drawn').length === 6")
    judge(page, "landing")


@needs_chromium
def test_the_map_page(busy: Instance, visitor: Visitor) -> None:
    page = visitor.open(at(busy, "/map/?MAP=europe"), wide=True, ready="[data-drawn]")
    page.get_by_text("Legend", exact=True).click()
    until(page, "document.querySelector('#legend img')?.naturalWidth > 20")
    page.locator("#map").click(position={"x": 380, "y": 440})
    page.locator(".info caption").first.wait_for()
    until(page, "getComputedStyle(document.querySelector('.leaflet-popup')).opacity === '1'")
    judge(page, "map")


@needs_chromium
def test_the_dashboard(busy: Instance, visitor: Visitor) -> None:
    address = f"http://127.0.0.1:{management_port(busy)}/status"
    with Crowd(busy, 1, ows_path(**GET_MAP)):
        page = visitor.open(address, wide=True, ready="#ps tbody tr:nth-child(7)")
        page.get_by_label("Token").fill(TOKEN)
        until(page, "charts.data.latency[1].filter(value => value).length >= 2")
    judge(page, "dashboard", whole=True)


@needs_chromium
def test_the_pages_on_a_phone(busy: Instance, visitor: Visitor) -> None:
    page = visitor.open(at(busy, "/"), phone=True, ready=".preview.drawn")
    judge(page, "landing-phone")
    page = visitor.open(at(busy, "/map/?MAP=africa"), phone=True, ready="[data-drawn]")
    page.locator("#panel > summary").tap()
    judge(page, "map-phone")


@needs_chromium
def test_the_judge_sees_what_is_wrong(visitor: Visitor) -> None:
    page = visitor.new()
    page.set_content("<button></button><p style='color: #bbb; background: #fff'>pale</p>")
    found = "\n".join(obstacles(page))
    assert "button-name" in found
    assert "color-contrast" in found
