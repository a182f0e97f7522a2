# SPDX-License-Identifier: GPL-2.0-or-later
"""The landing page and the map page, in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.instance import Instance

CHROMIUM = shutil.which("chromium")
# The background services of a browser must not ask other hosts while a test watches.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")


def browse(tmp_path: Path, address: str) -> tuple[str, Path]:
    """The page as it stands after its scripts have run, and a screenshot of it."""
    picture = tmp_path / "page.png"
    line = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,800"]
    waiting = ["--virtual-time-budget=15000", "--dump-dom", f"--screenshot={picture}"]
    shown = subprocess.run([*line, *waiting, address], capture_output=True, text=True, timeout=100)
    assert shown.returncode == 0, shown.stderr[-2000:]
    return shown.stdout, picture


@needs_chromium
def test_the_map_page_shows_tiles(server: Instance, tmp_path: Path) -> None:
    page, picture = browse(tmp_path, f"http://127.0.0.1:{server.port}/map/?MAP=world")
    tiles = re.findall(r'<img alt="" src="([^"]*)" class="leaflet-tile leaflet-tile-loaded"', page)
    assert tiles, page[-3000:]
    assert all("/ows/?MAP=world" in tile and "GetMap" in tile for tile in tiles)
    assert 'data-drawn="yes"' in page
    assert page.count('type="checkbox"') == 7
    assert picture.stat().st_size > 100_000, "a map has more in it than an empty page"
    assert " 200 " in server.log_text


@needs_chromium
def test_the_pages_ask_no_other_host(server: Instance, tmp_path: Path) -> None:
    page, _ = browse(tmp_path, f"http://127.0.0.1:{server.port}/map/?MAP=world")
    hosts = set(re.findall(r'(?:src|href)="https?://([^/"]+)', page))
    assert hosts <= {f"127.0.0.1:{server.port}"}


@needs_chromium
def test_an_error_is_shown_in_words(server: Instance, tmp_path: Path) -> None:
    page, _ = browse(tmp_path, f"http://127.0.0.1:{server.port}/map/?MAP=nowhere")
    assert "there is no project 'nowhere'" in page


def test_the_landing_page_lists_the_projects(server: Instance) -> None:
    page = server.get("/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert 'href="map/?MAP=world"' in page.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def test_the_landing_page_as_json(server: Instance) -> None:
    (project,) = server.get("/", Accept="application/json").json()["projects"]
    assert (project["map"], project["title"]) == ("world", "World")
    assert server.get(project["links"]["wms"]).status == 200
    assert server.get(project["links"]["map"]).status == 200


@pytest.mark.parametrize(("target", "status"), [("/map/", 400), ("/map/?MAP=../x", 403), ("/static/no", 404)])
def test_errors_of_the_pages(server: Instance, target: str, status: int) -> None:
    answer = server.get(target)
    assert set(answer.json()) == {"error", "request_id"}
    assert server.get(target).status == status


def test_a_hostile_name_is_escaped(server: Instance) -> None:
    page = server.get("/map/?MAP=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in page.text
