# SPDX-License-Identifier: GPL-2.0-or-later
"""The dashboard in a real browser, and the routes of py-qgis-server beside it."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.browser import Page, browser
from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.integration.management import TOKEN, ask, error_of, management_port
from tests.integration.test_pages import needs_chromium
from tests.waiting import wait_for

ROWS = "document.querySelectorAll('#ps tbody tr').length"
TEXT = "document.getElementById('{}').textContent"


def look(instance: Instance, folder: Path, steps: Callable[[Page, str], Awaitable[None]]) -> Page:
    """Open the dashboard, do the steps, and return the page as it was at the end."""
    address = f"http://127.0.0.1:{management_port(instance)}/"

    async def run() -> Page:
        async with browser(folder) as page:
            await page.size(1280, 1500)
            await page.open(f"{address}status")
            await page.until(f"{ROWS} >= 7")
            await steps(page, address)
            return page

    return asyncio.run(run())


@needs_chromium
def test_it_shows_what_happens_and_changes_it_with_the_token(managed: Instance, tmp_path: Path) -> None:
    assert managed.get(ows_path(**GET_MAP)).status == 200

    async def steps(page: Page, address: str) -> None:
        await page.until(f"{TEXT.format('state')} === 'running'")
        await page.until(f"{TEXT.format('projects')}.includes('world')")
        await page.until("document.querySelectorAll('.uplot canvas').length === 3")
        assert await page.js("[...document.querySelectorAll('#controls button')].every(b => b.disabled)")
        await page.js("document.getElementById('token').focus()")
        await page.do("Input.insertText", text=TOKEN)
        await page.js("document.getElementById('target').value = 3")
        # By keyboard: two fields on, then Enter.
        for _ in range(2):
            await page.press("Tab", 9)
        assert await page.js("document.activeElement.id") == "scale"
        await page.do("Input.dispatchKeyEvent", type="char", text="\r")
        await page.until(f"{TEXT.format('outcome')} === 'Scaling to 3 workers: done'")
        await page.until(f"{TEXT.format('events')}.includes('from 2 to 3 workers')")
        await page.until(f"{TEXT.format('ps')}.includes('worker 2')")
        await page.js("document.querySelector('#projects button').click()")
        await page.until(f"{TEXT.format('outcome')} === 'Reloading world: done'")
        await page.picture(tmp_path / "light.png")
        light = await page.js("getComputedStyle(document.body).backgroundColor")
        await page.dark()
        await page.until(f"getComputedStyle(document.body).backgroundColor !== '{light}'")
        await page.picture(tmp_path / "dark.png")
        # The wrong token: the reason is shown.
        await page.js(
            "document.getElementById('token').value = 'wrong'; document.getElementById('reload').click()"
        )
        await page.until(f"{TEXT.format('outcome')}.includes('send the token')")

    page = look(managed, tmp_path, steps)
    managed.ctl("scale", "2")
    own = f"http://127.0.0.1:{management_port(managed)}/"
    assert [address for address in page.asked if not address.startswith(own)] == []
    # Besides the one refusal there is no error, none of the content security policy either.
    assert [line for line in page.said if "401" not in line] == []
    assert {path.stat().st_size > 30_000 for path in tmp_path.glob("*.png")} == {True}


@needs_chromium
def test_it_goes_on_when_the_admin_child_is_replaced(managed: Instance, tmp_path: Path) -> None:
    old = managed.child("admin").pid

    async def steps(page: Page, address: str) -> None:
        await asyncio.to_thread(managed.ctl, "kill", str(old))
        await page.until(f"!{TEXT.format('ps')}.includes('{old}')")
        await page.until(f"{TEXT.format('state')} === 'running'")

    look(managed, tmp_path, steps)
    wait_for("one admin child", lambda: managed.child("admin").pid != old)


@needs_chromium
def test_it_can_be_used_without_seeing_it(managed: Instance, tmp_path: Path) -> None:
    """What a screen reader needs: every control and table has a name."""

    async def steps(page: Page, address: str) -> None:
        tree = (await page.do("Accessibility.getFullAXTree"))["nodes"]
        wanted = {"button", "textbox", "spinbutton", "image", "group", "list", "columnheader", "rowheader"}
        named = [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree
            if not node.get("ignored") and node["role"]["value"] in wanted
        ]
        assert {role for role, _ in named} >= wanted - {"list"}
        assert [role for role, name in named if not name.strip()] == []

    look(managed, tmp_path, steps)


def test_the_stream_tells_states_and_events(managed: Instance) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", management_port(managed), timeout=30)
    connection.request("GET", "/status/stream")
    response = connection.getresponse()
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")

    def next_of(kind: str) -> object:
        while True:
            line = response.readline().decode().strip()
            if line == f"event: {kind}":
                return json.loads(response.readline().decode().removeprefix("data: "))

    assert isinstance(next_of("history"), list)
    state = next_of("state")
    assert isinstance(state, dict)
    assert {row["role"] for row in state["processes"]} >= {"master", "admin", "worker"}
    assert state["read_only"] is False
    managed.ctl("scale", "2")
    assert next_of("event")["event"] == "scaled"  # type: ignore[index]
    connection.close()


def test_the_page_itself_tells_nothing(managed: Instance) -> None:
    page = ask(managed, "/status", headers={"Accept": "text/html", "Host": "evil.example"})
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for name in re.findall(r'(?:src|href)="(static/[^"]+)"', page.text):
        assert ask(managed, f"/{name}").status == 200
    assert ask(managed, "/status/stream", headers={"Host": "evil.example"}).status == 421
    asked = {"Accept": "application/json"}
    assert ask(managed, "/status", headers=asked).json()["state"] == "running"
    assert ask(managed, "/status", headers=asked | {"Host": "evil.example"}).status == 421
    assert ask(managed, "/static/../server.py").status == 404


# py-qgis-server's routes.


def test_its_routes_are_answered(managed: Instance) -> None:
    assert managed.get(ows_path(**GET_MAP)).status == 200
    links = [link["href"] for link in ask(managed, "/").json()["links"]]
    assert any(link.endswith("/pool") for link in links)
    pool = ask(managed, "/pool").json()
    assert pool["num_workers"] == len(pool["workers"]) == 2
    assert "world" in [entry["key"] for worker in pool["workers"] for entry in worker["cache"]]
    (cached,) = ask(managed, "/cache").json()["cached"]
    assert ask(managed, cached["link"]).json()["project"] == "world"
    assert ask(managed, "/cache/content/world").json()["status"] == "ok"
    assert ask(managed, "/plugins").json() == {"plugins": []}
    assert ask(managed, "/status/versions").json()["qgis_version"]
    assert ask(managed, "/status/config").json()["management"]["token"] in ("", "***")


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/cache/content/elsewhere", 404, "not_open"),
        ("/plugins/none", 404, "not_found"),
        ("/status/env", 410, "gone"),
        ("/status/stats", 410, "gone"),
        ("/pool/restart", 405, "method_not_allowed"),
    ],
)
def test_its_routes_that_are_refused(managed: Instance, target: str, status: int, code: str) -> None:
    answer = ask(managed, target)
    assert (answer.status, error_of(answer)) == (status, code)


def test_its_restart_is_done_when_it_is_answered(managed: Instance) -> None:
    generation = managed.ctl_json("status")["generation"]
    assert ask(managed, "/pool/restart", "POST").status == 401
    assert ask(managed, "/pool/restart", "POST", token=TOKEN).json() == {"status": "ok"}
    assert {row["generation"] for row in managed.workers()} == {generation + 1}
