# SPDX-License-Identifier: GPL-2.0-or-later
"""The landing page and the map page, in a real browser. The instance has 500 projects of many kinds."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

from tests.integration.browser import DESK, Visitor, needs_chromium, overhang, too_small, until
from tests.integration.conftest import WORLD
from tests.integration.instance import Instance

MANY = 500
UNLISTED = """<Variables><variableNames type="QStringList"><value>qgsd_listed</value></variableNames>
<variableValues type="QStringList"><value>no</value></variableValues></Variables>"""


def fill(root: Path) -> None:
    """The example; without print layouts; that its author wants unlisted; that is hidden; and many more."""
    shutil.copytree(WORLD, root, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (root / "world.qgs").read_text()
    plain = re.sub(r"<Layouts>.*</Layouts>", "", text, flags=re.DOTALL)
    (root / "plain.qgs").write_text(plain)
    (root / "unlisted.qgs").write_text(text.replace("<properties>", f"<properties>{UNLISTED}"))
    below = plain.replace("./world.gpkg", "../world.gpkg").replace("./coast", "../coast")
    for folder in ("internal", "many"):
        (root / folder).mkdir()
    (root / "internal" / "secret.qgs").write_text(below)
    first = root / "many" / "town-000.qgs"
    title = '<WMSServiceTitle type="QString">World<'
    assert title in below
    first.write_text(below.replace(title, title.replace("World", "Atown")))
    for number in range(1, MANY):
        os.link(first, first.with_name(f"town-{number:03}.qgs"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("pages")
    fill(folder / "root")
    arguments = ("--rootdir", str(folder / "root"), "--set", "landing.hide=internal/*, other")
    instance = Instance(folder / "i", "run", arguments)
    with instance:
        yield instance


def at(instance: Instance, path: str) -> str:
    return f"http://127.0.0.1:{instance.port}{path}"


def open_map(
    visitor: Visitor, instance: Instance, *, phone: bool = False, ready: str = "#layers input"
) -> Page:
    return visitor.open(at(instance, "/map/?MAP=world"), phone=phone, ready=ready)


# The map page.


@needs_chromium
def test_layers_are_switched_and_the_legend_follows(pages: Instance, visitor: Visitor) -> None:
    page = open_map(visitor, pages, ready="[data-drawn]")
    assert page.locator("#layers input").count() == 7
    assert page.locator("img.leaflet-tile-loaded").count() >= 4
    page.get_by_text("Legend", exact=True).click()
    legend = page.locator("#legend img")
    legend.wait_for()
    until(page, "document.querySelector('#legend img').naturalWidth > 20")
    assert "countries" in str(legend.get_attribute("src"))
    with page.expect_request(lambda request: "GetMap" in request.url) as asked:
        page.get_by_label("Countries").uncheck()
    (layers,) = parse_qs(urlsplit(asked.value.url).query)["LAYERS"]
    assert layers.split(",") == ["coast_distance", "graticule", "coastline", "boundaries", "oceans", "places"]
    assert "countries" not in str(legend.get_attribute("src"))


@needs_chromium
def test_a_click_tells_what_is_there_and_the_keyboard_too(pages: Instance, visitor: Visitor) -> None:
    page = open_map(visitor, pages)
    page.locator("#map").click(position={"x": 112, "y": 194})
    page.locator(".info caption", has_text="Countries").wait_for()
    assert "North America" in page.locator(".info").inner_text()
    page.keyboard.press("Escape")
    page.locator(".leaflet-popup").wait_for(state="detached")
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    page.locator(".info caption").first.wait_for()
    # A screen reader is told the same.
    told = page.get_by_role("status").inner_text()
    assert page.locator(".info caption").first.inner_text() in told


@needs_chromium
def test_what_is_shown_can_be_printed(pages: Instance, visitor: Visitor) -> None:
    page = open_map(visitor, pages)
    link = page.get_by_role("link", name="A4 landscape (PDF)")
    link.wait_for()
    page.get_by_label("Populated places").uncheck()
    before = str(link.get_attribute("href"))
    page.locator("#map").focus()
    page.keyboard.press("+")
    until(page, f"document.querySelector('#print a').getAttribute('href') !== {before!r}")
    address = str(link.get_attribute("href"))
    asked = parse_qs(urlsplit(address).query)
    west, south, east, north = map(float, asked["map0:EXTENT"][0].split(","))
    assert west < east
    assert south < north
    assert "places" not in asked["LAYERS"][0].split(",")
    print_ = pages.get(address.removeprefix(at(pages, "")))
    assert (print_.status, print_.headers["Content-Type"], print_.body[:5]) == (
        200,
        "application/pdf",
        b"%PDF-",
    )
    for box in page.locator("#layers input").all():
        box.uncheck()
    link.wait_for(state="hidden")


@needs_chromium
def test_a_project_without_layouts_offers_no_print(pages: Instance, visitor: Visitor) -> None:
    page = visitor.new()
    with page.expect_response(re.compile("GetProjectSettings")) as told:
        page.goto(at(pages, "/map/?MAP=plain"))
    assert told.value.text().count("<ComposerTemplate ") == 0
    assert page.locator("#print").is_hidden()
    assert page.locator("#print a").count() == 0


@needs_chromium
def test_an_error_is_shown_in_words(pages: Instance, visitor: Visitor) -> None:
    page = visitor.open(at(pages, "/map/?MAP=nowhere"))
    assert "there is no project 'nowhere'" in page.inner_text("body")
    # The status of the page itself is an error to the browser.
    visitor.said.clear()


# The list.


def opened(instance: Instance) -> set[str]:
    return {row["project"] for row in instance.ctl_json("projects")}


@needs_chromium
def test_the_list_tells_of_each_project(pages: Instance, visitor: Visitor) -> None:
    page = visitor.open(at(pages, "/?q=world+graticule+populated&page=99"), ready=".preview.drawn")
    card = page.locator("article", has=page.get_by_text("world", exact=True))
    assert "180° W – 180° E, 85° S – 85° N" in card.inner_text()
    card.get_by_text("7 layers").click()
    assert card.get_by_text("Distance to the coast", exact=True).is_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    card.get_by_role("button", name=re.compile("Copy the WMS address")).click()
    page.get_by_role("status").filter(has_text="Copied").wait_for(state="attached")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(at(pages, "/ows/?MAP="))
    assert pages.get(copied.removeprefix(at(pages, ""))).text.count("<WMS_Capabilities") == 1


@needs_chromium
def test_five_hundred_projects_open_only_what_is_in_view(pages: Instance, visitor: Visitor) -> None:
    before = opened(pages)
    page = visitor.open(at(pages, "/"), ready=".preview.drawn")
    assert f"{MANY + 2} projects" in page.inner_text("header")
    assert page.locator("article").count() == 24
    tops = page.evaluate("[...document.querySelectorAll('.preview')].map(p => p.getBoundingClientRect().top)")
    in_view = sum(top < DESK["viewport"]["height"] for top in tops)
    until(page, f"document.querySelectorAll('.preview.drawn').length >= {in_view}")
    page.wait_for_load_state("networkidle")
    assert 0 < len(opened(pages) - before) <= in_view < 24
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**/?page=2")
    assert page.locator("nav").inner_text().split("\n")[1:2] == ["Page 2 of 21"]
    # By keyboard: the search is one field and Enter.
    page.get_by_role("searchbox").focus()
    page.keyboard.type("TOWN-499")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=TOWN-499")
    assert [one.inner_text() for one in page.locator("article .name").all()] == ["many/town-499"]


def test_the_list_is_light_however_many_projects_there_are(pages: Instance) -> None:
    page = pages.get("/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert len(page.body) < 24 * 5000
    assert page.text.count("<article>") == 24
    assert pages.get("/?page=x&q=%FF").status in (200, 400)
    assert pages.get("/?q=" + "x" * 3000).text.count("x" * 201) == 0
    assert "<script>alert" not in pages.get("/?q=%3Cscript%3Ealert(1)").text


def test_the_list_as_json_has_all(pages: Instance) -> None:
    projects = {one["map"]: one for one in pages.get("/", Accept="application/json").json()["projects"]}
    assert len(projects) == MANY + 2
    world = projects["world"]
    assert (world["title"], len(world["layers"])) == ("World", 7)
    assert [round(side) for side in world["extent"]] == [-180, -85, 180, 85]
    for name in ("wms", "wfs", "wcs", "wmts", "ogcapi", "map"):
        assert pages.get(world["links"][name]).status == 200, name


# What is not for everybody.


@pytest.mark.parametrize("project", ["unlisted", "internal/secret", "internal/secret.qgs"])
def test_what_is_not_to_be_listed_has_no_pages(pages: Instance, project: str) -> None:
    name = project.removesuffix(".qgs")
    assert name not in {one["map"] for one in pages.get("/", Accept="application/json").json()["projects"]}
    assert f"MAP={name}" not in pages.get(f"/?q={name}").text
    answer = pages.get(f"/map/?MAP={project}")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "no_project")
    # Its services answer: who may ask them is not the pages' to say.
    assert pages.ows(project, SERVICE="WMS", REQUEST="GetCapabilities").status == 200


def test_the_pages_can_be_turned_off(pages: Instance) -> None:
    pages.ctl("set", "landing.enabled", "no")
    try:
        for target in ("/", "/map/?MAP=world", "/map?MAP=world", "/static/qgsd.css"):
            answer = pages.get(target, Accept="text/html")
            assert (answer.status, answer.json()["error"]["code"]) == (404, "not_found"), target
        assert pages.ows(SERVICE="WMS", REQUEST="GetCapabilities").status == 200
    finally:
        pages.ctl("set", "landing.enabled", "yes")
    assert pages.get("/").status == 200


# Phones.


@needs_chromium
def test_the_list_on_a_phone(pages: Instance, visitor: Visitor) -> None:
    page = visitor.open(at(pages, "/"), phone=True, ready=".preview.drawn")
    assert overhang(page) == 0
    assert too_small(page) == []


@needs_chromium
def test_the_map_on_a_phone(pages: Instance, visitor: Visitor) -> None:
    page = open_map(visitor, pages, phone=True)
    page.locator("#map").tap(position={"x": 60, "y": 260})
    page.locator(".leaflet-popup").wait_for()
    page.locator(".leaflet-popup-close-button").tap()
    # The panel is closed at first, so that the map is seen.
    assert page.get_by_label("Countries").is_hidden()
    page.locator("#panel > summary").tap()
    page.get_by_label("Countries").tap()
    assert not page.get_by_label("Countries").is_checked()
    page.get_by_role("link", name="A4 landscape").wait_for()
    assert overhang(page) == 0
    assert too_small(page) == []


# Without a browser.


def test_the_pages_load_nothing_from_elsewhere_and_run_no_script_of_others(pages: Instance) -> None:
    for target in ("/", "/map/?MAP=world"):
        policy = pages.get(target).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy


@pytest.mark.parametrize(("target", "status"), [("/map/", 400), ("/map/?MAP=../x", 403), ("/static/no", 404)])
def test_errors_of_the_pages(pages: Instance, target: str, status: int) -> None:
    answer = pages.get(target)
    assert set(answer.json()) == {"error", "request_id"}
    assert answer.status == status


def test_a_hostile_name_is_escaped(pages: Instance) -> None:
    page = pages.get("/map/?MAP=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in page.text


def test_a_proxy_has_pages_of_projects_that_it_does_not_see(
    pages: Instance, launch: Callable[..., Instance]
) -> None:
    """Its workers may have them; of those that it sees it knows which are not to be listed."""
    root = pages.folder.parent / "root"
    proxy = launch("--proxy", "--rootdir", str(root), "--set", "zmq.bindaddr=tcp://127.0.0.1:0")
    asked = {name: proxy.get(f"/map/?MAP={name}").status for name in ("world", "elsewhere", "unlisted")}
    assert asked == {"world": 200, "elsewhere": 200, "unlisted": 404}
