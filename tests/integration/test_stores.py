# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects in PostgreSQL, in GeoPackages, and in a store that another package brings."""

from __future__ import annotations

import os
import shutil
import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.instance import GET_MAP, Answer, Instance
from tests.integration.postgres import Postgres, binaries
from tests.integration.write_project import write
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(
    binaries() is None, reason="PostgreSQL with PostGIS is not installed (scripts/setup-test does that)"
)

PLACES = """service='maps' key='id' srid=4326 type=Point table="public"."places" (geom)"""
SECRET = "hunter2"

FURTHER = '''
import os
from qgsd.worker.stores.base import read_by_qgis
from qgsd.location import no_project

class Mirror:
    """Projects of a folder, under names of their own."""

    def __init__(self, settings):
        self.folder = os.environ["MIRROR"]

    def resolve(self, location):
        source = os.path.join(self.folder, f"{location.path}-copy.qgs")
        if not os.path.exists(source):
            raise no_project(location.key)
        return source

    def version(self, source):
        with open(source) as file:
            return str(hash(file.read()))

    def read(self, project, source, flags):
        read_by_qgis(project, source, flags, os.path.basename(source))
'''


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    server = Postgres()
    try:
        server.sql("CREATE TABLE places(id serial PRIMARY KEY, name text, geom geometry(Point, 4326))")
        server.sql(
            "INSERT INTO places(name, geom) "
            "SELECT 'place ' || i, ST_SetSRID(ST_MakePoint(i, i), 4326) FROM generate_series(1, 5) AS i"
        )
        service = f"[maps]\nhost={server.folder}\nuser=postgres\npassword={SECRET}\ndbname=postgres\n"
        (server.folder / "service.conf").write_text(service)
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def service_file(database: Postgres) -> dict[str, str]:
    return {"PGSERVICEFILE": str(database.folder / "service.conf")}


def stored(name: str, title: str) -> dict[str, object]:
    uri = f"postgresql:?service=maps&schema=public&project={quote(name)}"
    return {"uri": uri, "title": title, "layers": [["places", PLACES, "postgres"]]}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed package: one store that works, one that does not load."""
    site = tmp_path_factory.mktemp("site")
    (site / "further_stores.py").write_text(textwrap.dedent(FURTHER))
    metadata = site / "further_stores-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: further-stores\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[qgsd.stores]\nmirror=further_stores:Mirror\nlame=further_stores:NoSuchThing\n"
    )
    return site


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    shared_root: Path,
    database: Postgres,
    service_file: dict[str, str],
    packages: Path,
) -> Iterator[Instance]:
    places = f"{shared_root / 'world.gpkg'}|layername=countries"
    package = f"geopackage:{shared_root / 'stored.gpkg'}?projectName=in a package"
    shutil.copy(shared_root / "world.gpkg", shared_root / "stored.gpkg")
    write(
        stored("town", "Town"), stored("a & b", "Ampersand"), stored("late", "Late"),
        {"uri": package, "title": "Packed", "layers": [["countries", places, "ogr"]]},
        env=service_file,
    )  # fmt: skip
    mirror = tmp_path_factory.mktemp("mirror")
    shutil.copy(shared_root / "world.gpkg", mirror)
    shutil.copy(shared_root / "coast_distance.tif", mirror)
    shutil.copy(shared_root / "world.qgs", mirror / "world-copy.qgs")
    config = f"""
        [server]
        workers=2
        [cache]
        rootdir={shared_root}
        check_interval=0.3
        [projects.schemes]
        pg=postgresql://postgres:{SECRET}@?service=maps&schema=public
        by-path=postgresql:?service=maps&project={{path}}
        gone=postgresql:?service=nowhere
        gp=geopackage:{shared_root / "stored.gpkg"}
        """
    paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
    instance = Instance(
        tmp_path_factory.mktemp("q") / "i",
        "run",
        (),
        config=textwrap.dedent(config),
        env=service_file | {"PYTHONPATH": os.pathsep.join(paths), "MIRROR": str(mirror)},
    )
    with instance:
        yield instance
    assert "Traceback" not in instance.log_text
    assert SECRET not in instance.log_text


def capabilities(server: Instance, project: str) -> Answer:
    return server.ows(project, SERVICE="WMS", REQUEST="GetCapabilities")


def features(server: Instance, project: str) -> Answer:
    return server.ows(
        project, SERVICE="WFS", VERSION="1.1.0", REQUEST="GetFeature", TYPENAME="places",
        OUTPUTFORMAT="GeoJSON",
    )  # fmt: skip


def names(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.text
    return sorted(feature["properties"]["name"] for feature in answer.json()["features"])


@pytest.mark.parametrize(
    ("project", "title"),
    [
        ("pg:town", "Town"), ("PG:?project=town", "Town"), ("by_path:town", "Town"),
        ("by-path:/town", "Town"),
        ("pg:a & b", "Ampersand"), ("gp:in a package", "Packed"), ("gp:?projectName=in a package", "Packed"),
        ("geopackage:stored.gpkg?projectName=in a package", "Packed"),
        ("geopackage:stored?project=in%20a%20package", "Packed"),
        ("mirror:world", "World"),
    ],
)  # fmt: skip
def test_a_stored_project_is_served(server: Instance, project: str, title: str) -> None:
    answer = capabilities(server, project)
    assert (answer.status, f"<Title>{title}</Title>" in answer.text) == (200, True), answer.text[:2000]


def test_its_layers_in_postgis_are_served(server: Instance) -> None:
    assert names(features(server, "pg:town")) == [f"place {i}" for i in range(1, 6)]


@pytest.mark.parametrize(
    ("project", "status"),
    [
        ("pg:nowhere", 404), ("pg:100%25", 404), ("gp:nowhere", 404),
        ("geopackage:world.gpkg?project=x", 404),
        ("geopackage:/etc/hosts?project=x", 403), ("geopackage:nothing.gpkg?project=x", 404),
        ("mirror:nothing", 404), ("mirror:../world", 403), ("lame:x", 503), ("gone:town", 503),
        ("postgresql:?service=maps&schema=public&project=town", 403),
    ],
)  # fmt: skip
def test_what_is_not_there_or_not_allowed(server: Instance, project: str, status: int) -> None:
    answer = capabilities(server, project)
    assert answer.status == status, answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert "maps" not in answer.text.replace("schemas", "")


def test_a_store_that_does_not_load_is_told(server: Instance) -> None:
    events = [line for line in server.ctl("--json", "events").stdout.splitlines() if "store.broken" in line]
    assert len(events) == 1
    assert "NoSuchThing" in events[0]


def test_no_password_is_told(server: Instance) -> None:
    assert capabilities(server, "pg:town").status == 200
    said = server.ctl("--json", "config").stdout + server.ctl("--json", "ps").stdout
    assert "projects.schemes" in said
    assert SECRET not in said
    for process in server.family():
        assert SECRET not in " ".join(process.cmdline())


@pytest.mark.parametrize("project", ["pg:town", "gp:in a package"])
def test_a_change_is_noticed(
    server: Instance, shared_root: Path, service_file: dict[str, str], project: str
) -> None:
    assert capabilities(server, project).status == 200
    if project == "pg:town":
        write(stored("town", "Changed town"), env=service_file)
    else:
        places = f"{shared_root / 'world.gpkg'}|layername=countries"
        uri = f"geopackage:{shared_root / 'stored.gpkg'}?projectName=in a package"
        write({"uri": uri, "title": "Changed package", "layers": [["countries", places, "ogr"]]})

    def changed() -> bool:
        answer = capabilities(server, project)
        assert answer.status == 200, answer.text
        return "<Title>Changed " in answer.text

    wait_for("the new title", changed, 5)


def test_a_deleted_project_is_404(server: Instance, database: Postgres, service_file: dict[str, str]) -> None:
    write(stored("short", "Short"), env=service_file)
    assert capabilities(server, "pg:short").status == 200
    database.sql("DELETE FROM qgis_projects WHERE name = 'short'")
    wait_for("404", lambda: capabilities(server, "pg:short").status == 404, 5)


def test_a_version_that_is_broken_where_it_is_stored_outlives_the_workers(
    server: Instance, database: Postgres, service_file: dict[str, str], shared_root: Path
) -> None:
    package = shared_root / "stored.gpkg"
    places = f"{shared_root / 'world.gpkg'}|layername=countries"
    packed = {"uri": f"geopackage:{package}?projectName=kept", "layers": [["countries", places, "ogr"]]}
    write(stored("kept", "Kept"), packed | {"title": "Kept"}, env=service_file)
    both = ("pg:kept", "gp:kept")
    assert [capabilities(server, project).status for project in both] == [200, 200]
    database.sql("UPDATE qgis_projects SET content = 'nonsense' WHERE name = 'kept'")
    with closing(sqlite3.connect(package)) as file, file:
        file.execute("UPDATE qgis_projects SET content = '00' WHERE name = 'kept'")

    def kept_old() -> bool:
        rows = {row["project"]: row for row in server.ctl_json("projects")}
        return all(rows[project]["error"] for project in both)

    wait_for("both are told as broken", kept_old, 5)
    server.ctl("restart")
    for project in both:
        answer = capabilities(server, project)
        assert (answer.status, "<Title>Kept</Title>" in answer.text) == (200, True), answer.text[:500]
    assert names(features(server, "pg:kept")), "its layers, too"
    drawn = server.ows("gp:kept", **GET_MAP)
    assert (drawn.status, len(drawn.body) > 500) == (200, True), drawn.text[:500]
    write(stored("kept", "Mended"), packed | {"title": "Mended"}, env=service_file)
    for project in both:
        wait_for(
            f"{project} is served anew", lambda p=project: "<Title>Mended<" in capabilities(server, p).text, 5
        )


def test_a_restart_of_the_database_passes(server: Instance, database: Postgres) -> None:
    before = names(features(server, "pg:town"))
    workers = {row["pid"] for row in server.workers()}
    database.stop()
    try:
        # Not open yet: nothing is known of it.
        away = capabilities(server, "pg:late")
        assert (away.status, away.headers["Retry-After"]) == (503, "1"), away.text
        assert "the database of this project does not answer now" in away.text
        # Open: QGIS would say that there are no features.
        wait_for("503", lambda: features(server, "pg:town").status == 503, 5)
        for _ in range(4):
            away = features(server, "pg:town")
            assert (away.status, away.headers["Retry-After"]) == (503, "1"), away.text
            assert server.ows("pg:town", **GET_MAP | {"LAYERS": "places"}).status == 503
        # Others are served as ever.
        assert server.ows(SERVICE="WMS", REQUEST="GetCapabilities").status == 200
    finally:
        database.start()
    assert capabilities(server, "pg:late").status == 200
    for _ in range(6):
        wait_for("the data again", lambda: _names_or_none(features(server, "pg:town")) == before, 10)
    assert {row["pid"] for row in server.workers()} == workers


def _names_or_none(answer: Answer) -> list[str] | None:
    return names(answer) if answer.status == 200 else None
