# SPDX-License-Identifier: GPL-2.0-or-later
"""What MAP may not reach, asked over real connections: never a file outside the folders, whatever it says."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.instance import Instance

# Says that a file outside was read; every project that lies outside has it as its title.
OUTSIDE = "Outside the roots"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Path:
    """Two roots and the folder of an alias, full of ways out, and projects outside."""
    top = tmp_path_factory.mktemp("hostile")
    for folder in ("one", "two", "alias", "near", "outside", "one-more"):
        (top / folder).mkdir()
    world = (shared_root / "world.qgs").read_text()
    for data in ("world.gpkg", "coast_distance.tif"):
        world = world.replace(f"./{data}", str(shared_root / data))
    outside = re.sub(r"(<WMSServiceTitle[^>]*>)[^<]*", rf"\g<1>{OUTSIDE}", world)
    assert OUTSIDE in outside
    for name in ("one", "two", "alias"):
        (top / name / f"{name}.qgs").write_text(world)
    for folder in (top, top / "outside", top / "one-more", top / "near"):
        (folder / "secret.qgs").write_text(outside)
    shutil.copy(shared_root / "world.gpkg", top / "outside" / "data.gpkg")
    (top / "one" / "link.qgs").symlink_to(top / "outside" / "secret.qgs")
    (top / "one" / "relative.qgs").symlink_to("../outside/secret.qgs")
    (top / "one" / "folder").symlink_to(top / "outside")
    (top / "one" / "up").symlink_to("..")
    (top / "one" / "chain.qgs").symlink_to("link.qgs")
    (top / "one" / "loop.qgs").symlink_to("loop.qgs")
    (top / "one" / "gone.qgs").symlink_to("/nowhere/at/all.qgs")
    (top / "one" / "data.gpkg").symlink_to(top / "outside" / "data.gpkg")
    (top / "one" / "folder.qgs").mkdir()
    (top / "alias" / "link.qgs").symlink_to(top / "outside" / "secret.qgs")
    os.mkfifo(top / "one" / "pipe.qgs")
    # A link from one root to the other stays within them.
    (top / "one" / "across.qgs").symlink_to(top / "two" / "two.qgs")
    return top


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, place: Path) -> Iterator[Instance]:
    config = (
        f"[server]\nworkers=1\n[cache]\nrootdir={place / 'one'}, {place / 'two'}\n"
        f"[projects.schemes]\nmaps=file:{place / 'alias'}/\ntpl=file:{place / 'alias'}/{{path}}.qgs\n"
        "pg=postgresql:?service=none&schema=public\ngp=geopackage:sub/\n"
    )
    instance = Instance(tmp_path_factory.mktemp("q") / "i", "run", (), config=config)
    with instance:
        yield instance
    assert "Traceback" not in instance.log_text


def ask(server: Instance, encoded: str) -> tuple[int, str]:
    """MAP as it stands on the line."""
    answer = server.get(f"/ows/?SERVICE=WMS&REQUEST=GetCapabilities&MAP={encoded}")
    return answer.status, answer.text


@pytest.mark.parametrize(
    "name",
    ["one", "one.qgs", "./one", "x/../one", "//one//..//one".lstrip("/"), "file:one", "two", "across",
     "maps:alias", "maps:./alias.qgs", "tpl:alias", "MAPS:alias", "%6fne"],
)  # fmt: skip
def test_what_may_be_reached_is(server: Instance, name: str) -> None:
    status, text = ask(server, name)
    assert status == 200, text
    assert OUTSIDE not in text


HOSTILE = [
    # Climbing, plain and encoded; {top} is the folder above the roots.
    "..", "../secret", "../secret.qgs", "../../secret", "one/../../secret", "./../secret", "..//secret",
    "x/../../outside/secret", "%2e%2e/secret", "%2e%2e%2fsecret", "..%2fsecret", "%2E%2E%2Fsecret",
    "%252e%252e%252fsecret", "%25252e%25252e%25252fsecret", "..%252fsecret", "%c0%ae%c0%ae/secret",
    "%c0%ae%c0%ae%c0%afsecret", "..%c0%afsecret", "%e0%80%ae%e0%80%ae/secret", "..%5csecret", "..\\secret",
    "%2e%2e%5csecret", "....//secret", "..;/secret", "..%00/secret", "%u002e%u002e/secret",
    "..%ef%bc%8fsecret",
    "%ef%bc%8e%ef%bc%8e/secret", "%e2%80%a5/secret", "..%e2%88%95secret", "..%e2%81%84secret",
    "..%20/secret", "%20../secret", ".%e2%80%8b./secret", "%e2%80%ae../secret", "../one-more/secret",
    # Absolute, and with schemes.
    "{top}/secret", "{top}/secret.qgs", "/{top}/secret", "{top}/one-more/secret", "{top}/one/../secret",
    "file:{top}/secret", "file://{top}/secret.qgs", "file://localhost{top}/secret.qgs", "FILE:../secret",
    "file:file:../secret", "file:%2e%2e/secret", "/etc/passwd", "/etc/hostname", "/proc/self/environ",
    "/proc/self/root{top}/secret", "/proc/self/cwd/../secret", "/dev/stdin", "~/secret", "$HOME/secret",
    # Links, folders, pipes, loops.
    "link", "link.qgs", "relative", "folder/secret", "up/secret", "up/up/secret", "chain", "loop", "gone",
    "folder", "folder.qgs", "pipe", "pipe.qgs",
    # What GDAL, Windows and browsers would make something of.
    "/vsicurl/http://127.0.0.1:1/a.qgs", "/vsizip/{top}/a.zip/secret.qgs", "/vsigzip/{top}/secret.qgs",
    "/vsimem/a.qgs", "/vsistdin/", "vsicurl:http://127.0.0.1:1/a.qgs", "\\\\host\\share\\secret.qgs",
    "//host/share/secret.qgs", "C:\\secret.qgs", "C:/secret.qgs", "http://127.0.0.1:1/a.qgs",
    "HTTPS://127.0.0.1:1/a.qgs", "ftp://127.0.0.1/a.qgs", "s3://bucket/a.qgs", "data:text/xml,<qgis/>",
    "javascript:alert(1)", "gdal:{top}/secret.qgs", "ogr:{top}/secret.qgs", "jar:file:{top}/a!/secret.qgs",
    # Stores and what to tell them.
    "postgresql://me:pw@127.0.0.1:1/?dbname=x%26schema=y%26project=z", "postgresql:?service=x%26project=y",
    "postgres://127.0.0.1/?project=y", "PostgreSQL:?service=x%26project=y", "pg://127.0.0.1:1/x",
    "pg://me:pw@127.0.0.1:1?project=x", "pg:x?host=127.0.0.1", "pg:x?service=y", "pg:x?sslmode=disable",
    "pg:x?options=-csearch_path%253dy", "pg:x?authcfg=abc1234", "pg:?project=a%26project=b",
    "pg:?project=%2500",
    "pg:?project", "pg:", "geopackage:{top}/outside/data.gpkg?projectName=x",
    "geopackage:/etc/passwd?projectName=x",
    "geopackage:../outside/data.gpkg?projectName=x", "geopackage:data.gpkg?projectName=x",
    "geopackage:folder/data.gpkg?projectName=x", "geopackage:one.qgs?projectName=x", "geopackage:x",
    "gp:../../outside/data.gpkg?project=x", "gp:{top}/outside/data.gpkg?project=x",
    "gp:x.gpkg?projectName=a%26b=c",
    "maps:../outside/secret", "maps:{top}/outside/secret", "maps:link", "maps://host/alias", "maps:alias?x=y",
    "maps:", "maps:..", "tpl:../outside/secret", "tpl:..%2foutside%2fsecret", "tpl:/../outside/secret",
    "maps:maps:alias", "unknown:one", "MAPS_:alias", "nearby:secret",
    # Nothing, too much, and what is no text.
    "", "%20", ".", "/", "%00", "one%00", "one%00.qgs", "one%0a", "one%0d%0aX-Evil:%20yes", "%ff%fe",
    "%ed%a0%80",
    "%1b[31mone", "%7f", "one%e2%80%a8", "a" * 300, "a/" * 3000, "../" * 3000 + "secret", "%c3%a9" * 200,
    ("x" * 250 + "/") * 16 + "a" * 200, "one?", "one%23", "one/", "one.qgs/secret", "one/one",
]  # fmt: skip
# These are names like any other that stand for a project that is there.
HARMLESS = {"one/"}


def test_the_table_is_large_enough() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 100


def test_no_spelling_reaches_a_file_outside(server: Instance, place: Path) -> None:
    """One test for all: an instance that one value has harmed must not go unnoticed by the next."""
    wrong = {}
    pid = server.workers()[0]["pid"]
    for value in HOSTILE:
        status, text = ask(
            server, value.replace("{top}", str(place)).replace(" ", "%20").replace("\\", "%5c")
        )
        expected = (200,) if value in HARMLESS else (400, 403, 404)
        if status not in expected or OUTSIDE in text or "pw" in text or "root:" in text:
            wrong[value] = (status, text[:200])
    assert not wrong
    assert server.workers()[0]["pid"] == pid


def test_every_form_of_asking_is_guarded(server: Instance, place: Path) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"SERVICE=WMS&REQUEST=GetCapabilities&MAP=../secret"
    assert server.request("POST", "/ows/", body, form).status == 403
    # What a form says counts more than the query, here as in QGIS.
    assert server.request("POST", "/ows/?MAP=one", body, form).status == 403
    assert server.request("HEAD", "/ows/?MAP=../secret&SERVICE=WMS&REQUEST=GetCapabilities").status == 403
    assert server.get("/wfs3/collections?MAP=../secret").status == 403
    assert server.get("/map/?MAP=../secret").status == 403
    assert server.get("/map/?MAP=link").status == 403
    assert server.get("/ows/?map=&MaP=../secret&SERVICE=WMS&REQUEST=GetCapabilities").status == 403


def test_the_first_folder_that_has_a_project_wins(server: Instance, place: Path) -> None:
    text = (place / "one" / "one.qgs").read_text()
    for folder, title in (("one", "First"), ("two", "Second")):
        titled = re.sub(r"(<WMSServiceTitle[^>]*>)[^<]*", rf"\g<1>{title}", text)
        (place / folder / "both.qgs").write_text(titled)
    status, told = ask(server, "both")
    assert (status, "<Title>First</Title>" in told) == (200, True)
    listed = server.get("/", Accept="application/json").json()["projects"]
    both = [entry for entry in listed if entry["map"] == "both"]
    assert [entry["title"] for entry in both] == ["First"]
    assert {"one", "two", "across"} <= {entry["map"] for entry in listed}
