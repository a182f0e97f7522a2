# SPDX-License-Identifier: GPL-2.0-or-later
"""The dashboard in a real browser, and the routes of py-qgis-server beside it."""

from __future__ import annotations

import http.client
import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.integration.browser import Visitor, needs_chromium, overhang, too_small
from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.integration.management import TOKEN, ask, error_of, management_port
from tests.waiting import wait_for

SEVEN_PROCESSES = "#ps tbody tr:nth-child(7)"


def dashboard(visitor: Visitor, instance: Instance, *, phone: bool = False) -> Page:
    address = f"http://127.0.0.1:{management_port(instance)}/status"
    return visitor.open(address, phone=phone, ready=SEVEN_PROCESSES)


@needs_chromium
def test_it_shows_what_happens_and_changes_it_with_the_token(managed: Instance, visitor: Visitor) -> None:
    assert managed.get(ows_path(**GET_MAP)).status == 200
    page = dashboard(visitor, managed)
    outcome = page.locator("#outcome")
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#projects")).to_contain_text("world")
    expect(page.locator(".uplot canvas")).to_have_count(3)
    for button in page.locator("#controls button").all():
        expect(button).to_be_disabled()
    # All by keyboard.
    page.get_by_label("Token").focus()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Workers", exact=True)).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("3")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(outcome).to_have_text("Scaling to 3 workers: done")
    expect(page.locator("#events")).to_contain_text("from 2 to 3 workers")
    expect(page.locator("#ps")).to_contain_text("worker 2")
    page.get_by_role("button", name="Reload world").press("Enter")
    expect(outcome).to_have_text("Reloading world: done")
    # The wrong token: the reason is shown.
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Reload all projects").click()
    expect(outcome).to_contain_text("send the token")
    managed.ctl("scale", "2")
    # Besides the one refusal there is no error, none of the content security policy either.
    visitor.said[:] = [line for line in visitor.said if "401" not in line]


@needs_chromium
def test_it_is_dark_or_light_as_chosen_and_fits_a_phone(managed: Instance, visitor: Visitor) -> None:
    page = dashboard(visitor, managed, phone=True)
    assert overhang(page) == 0
    assert too_small(page) == []
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Dark or light").press("Enter")
    dark = page.evaluate(paper)
    assert dark != light
    # It is remembered, against what the system would have.
    page.reload()
    assert page.evaluate(paper) == dark


@needs_chromium
def test_it_goes_on_when_the_admin_child_is_replaced(managed: Instance, visitor: Visitor) -> None:
    old = managed.child("admin").pid
    page = dashboard(visitor, managed)
    managed.ctl("kill", str(old))
    expect(page.locator("#ps")).not_to_contain_text(str(old))
    expect(page.locator("#state")).to_have_text("running")
    wait_for("one admin child", lambda: managed.child("admin").pid != old)
    # The browser notes that the stream broke off.
    visitor.said[:] = [line for line in visitor.said if "ERR_" not in line]


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
