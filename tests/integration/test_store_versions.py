# SPDX-License-Identifier: GPL-2.0-or-later
"""The stores by themselves: when versions change, which thread may ask for them, how places are written."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from qgis.PyQt.QtCore import QUrl, QUrlQuery

from qgsd.config import CacheSettings, Settings
from qgsd.location import Location, LocationError
from qgsd.worker.loading import BrokenProjects
from qgsd.worker.stores import ProjectError, Store, StoreUnavailable
from qgsd.worker.stores.base import without_passwords
from qgsd.worker.stores.files import FileStore
from qgsd.worker.stores.geopackage import GeoPackageStore
from qgsd.worker.stores.postgresql import PostgresStore, _Connection
from tests.integration.postgres import Postgres, binaries
from tests.waiting import wait_for

AWKWARD = [
    "plain",
    "with blank",
    "a&b",
    "a=b",
    "a+b",
    "a#b",
    "a?b",
    "ä/ö:ü",
    "it's",
    "[x](y)",
    "semi;colon",
    "!*,$@",
]


def settings(*roots: Path) -> Settings:
    return Settings(cache=CacheSettings(rootdir=tuple(map(str, roots))))


def test_a_files_version_follows_its_content_and_nothing_else(tmp_path: Path) -> None:
    store = FileStore(settings(tmp_path))
    path = tmp_path / "town.qgs"
    path.write_text("one")
    (tmp_path / "copy.qgs").write_text("one")
    source = store.resolve(Location("town"))
    first = store.version(source)
    assert first == store.version(store.resolve(Location("copy")))
    # The same size, written in the same tick of the clock.
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.version(source) != first
    path.write_text("one")
    os.utime(path, (1, 1))
    assert store.version(source) == first
    path.unlink()
    assert store.version(source) is None


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(settings(tmp_path))
    path = tmp_path / "town.qgs"
    path.write_text("one")
    os.utime(path, (1, 1))
    source = str(path)
    known = store.version(source)

    def refuse(*_: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr("builtins.open", refuse)
    assert store.version(source) == known


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "data.gpkg"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE qgis_projects(name TEXT PRIMARY KEY, metadata BLOB, content BLOB)")
        database.execute("CREATE TABLE other(x)")
        database.execute("INSERT INTO qgis_projects VALUES ('town', '{}', 'abcd'), ('two', '{}', 'abcd')")
    database.close()
    return path


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_version_in_a_package_is_that_of_the_project(package: Path, journal: str) -> None:
    store = GeoPackageStore(settings(package.parent))
    source = store.resolve(Location("data", "geopackage", "town"))
    writer = sqlite3.connect(package, isolation_level=None)
    writer.execute(f"PRAGMA journal_mode={journal}")
    first = store.version(source)
    assert first == store.version(store.resolve(Location("data.gpkg", "geopackage", "two")))
    writer.execute("INSERT INTO other VALUES (1)")
    assert store.version(source) == first
    writer.execute("UPDATE qgis_projects SET content = 'ef01' WHERE name = 'town'")
    assert store.version(source) != first
    writer.execute("DELETE FROM qgis_projects WHERE name = 'town'")
    assert store.version(source) is None
    writer.close()
    package.unlink()
    assert store.version(source) is None


def test_a_package_that_is_none_is_unavailable_or_empty(package: Path) -> None:
    store = GeoPackageStore(settings(package.parent))
    source = store.resolve(Location("data", "geopackage", "town"))
    package.write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable):
        store.version(source)
    shutil.copy(Path(__file__).parents[2] / "examples" / "world" / "world.gpkg", package)
    assert store.version(source) is None


@pytest.mark.parametrize("name", AWKWARD)
def test_qgis_reads_the_names_that_are_written(package: Path, name: str) -> None:
    """As its storages do: QUrl::fromEncoded, QUrlQuery::queryItemValue."""
    places = {
        "projectName": GeoPackageStore(settings(package.parent)).resolve(
            Location("data", "geopackage", name)
        ),
        "project": PostgresStore(settings()).resolve(Location("", "postgresql", name)),
    }
    for parameter, source in places.items():
        url = QUrl.fromEncoded(source.encode())
        assert QUrlQuery(url.query()).queryItemValue(parameter) == name


@pytest.mark.parametrize("store", [GeoPackageStore, PostgresStore])
@pytest.mark.parametrize("name", ["", "100%", "%2e"])
def test_what_qgis_cannot_be_told_is_not_there(package: Path, store: type, name: str) -> None:
    with pytest.raises(LocationError) as refused:
        store(settings(package.parent)).resolve(Location("data", store.__name__, name))
    assert refused.value.status == 404


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    if binaries() is None:
        pytest.skip("PostgreSQL with PostGIS is not installed (scripts/setup-test does that)")
    server = Postgres()
    try:
        server.sql("CREATE TABLE qgis_projects(name text PRIMARY KEY, metadata jsonb, content bytea)")
        save(server, "one")
        (server.folder / "service.conf").write_text(f"[x]\nhost={server.folder}\nuser=postgres\n")
        yield server
    finally:
        server.remove()


def save(server: Postgres, content: str) -> None:
    server.sql(
        "INSERT INTO qgis_projects VALUES ('town', json_build_object('last_modified_time', clock_timestamp())"
        ", %s) ON CONFLICT (name) DO UPDATE SET content = EXCLUDED.content, metadata = EXCLUDED.metadata",
        content.encode(),
    )


@pytest.fixture
def postgres(database: Postgres, monkeypatch: pytest.MonkeyPatch) -> PostgresStore:
    monkeypatch.setenv("PGSERVICEFILE", str(database.folder / "service.conf"))
    return PostgresStore(settings())


def located(name: str = "town", **more: str) -> Location:
    parameters = {"service": "x", "dbname": "postgres"} | more
    return Location("", "postgresql", name, parameters=tuple(parameters.items()))


def test_the_version_in_a_database_changes_with_the_project(
    database: Postgres, postgres: PostgresStore
) -> None:
    source = postgres.resolve(located())
    first = postgres.version(source)
    assert first == PostgresStore(settings()).version(source) == postgres.version(source)
    save(database, "two")
    assert postgres.version(source) != first
    assert postgres.version(postgres.resolve(located("nothing"))) is None
    assert postgres.version(postgres.resolve(located(schema="nowhere"))) is None
    assert postgres.version(postgres.resolve(located("x'; DROP TABLE qgis_projects; --"))) is None
    assert postgres.version(postgres.resolve(located(schema='p"; DROP TABLE qgis_projects; --'))) is None
    assert postgres.version(source) is not None


def test_many_versions_cost_one_question(postgres: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    there, nothing, elsewhere = (
        postgres.resolve(place) for place in (located(), located("nothing"), located(schema="nowhere"))
    )
    away = postgres.resolve(Location("", "postgresql", "town", "me@127.0.0.1:1", (("dbname", "x"),)))
    asked, ask = [], _Connection.rows
    monkeypatch.setattr(_Connection, "rows", lambda *about: asked.append(about) or ask(*about))
    found = postgres.versions([there, *[postgres.resolve(located(f"n{i}")) for i in range(500)], nothing])
    assert len(asked) == 1
    assert found[there] == postgres.version(there) is not None
    assert found[nothing] is None
    assert len(found) == 502
    mixed = postgres.versions([away, there, elsewhere])
    assert (mixed[there], mixed[elsewhere]) == (found[there], None)
    assert isinstance(mixed[away], StoreUnavailable)


def test_versions_are_asked_for_from_many_threads(database: Postgres, postgres: PostgresStore) -> None:
    source = postgres.resolve(located())
    expected, found = postgres.version(source), []
    threads = [threading.Thread(target=lambda: found.append(postgres.version(source))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 20
    # Those of other tests end when their stores are collected.
    gc.collect()
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qgsd'"
    wait_for("one session serves them all", lambda: database.sql(sessions) == [(1,)], 5)


def test_a_connection_that_was_cut_is_opened_again(database: Postgres, postgres: PostgresStore) -> None:
    source = postgres.resolve(located())
    expected = postgres.version(source)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'qgsd'"
    assert database.sql(cut)
    assert postgres.version(source) == expected


def test_a_database_that_does_not_answer_is_left_in_time(database: Postgres, postgres: PostgresStore) -> None:
    source = postgres.resolve(located())
    postgres.version(source)
    blocker = psycopg2.connect(host=str(database.folder), user="postgres", dbname="postgres")
    try:
        blocker.cursor().execute("LOCK TABLE qgis_projects IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable) as refused:
            postgres.version(source)
    finally:
        blocker.close()
    assert str(database.folder) not in refused.value.message
    assert postgres.version(source) is not None


def test_the_password_of_a_place_reaches_the_database_only(postgres: PostgresStore) -> None:
    place = Location("", "postgresql", "town", "me:s%40crét@127.0.0.1:1", (("dbname", "x"),))
    source = postgres.resolve(place)
    with pytest.raises(StoreUnavailable) as refused:
        postgres.version(source)
    assert "127.0.0.1" not in refused.value.message
    assert "s%40" not in without_passwords(f"cannot read {source}")


@pytest.mark.parametrize("store", [FileStore, GeoPackageStore, PostgresStore])
def test_built_in_stores_are_stores(store: type) -> None:
    assert isinstance(store(settings()), Store)


def test_a_broken_project_is_remembered_for_its_version_and_time() -> None:
    broken, error = BrokenProjects(), ProjectError("no")
    broken.remember("a", "1", error)
    with pytest.raises(ProjectError):
        broken.raise_known("a", "1", 60)
    broken.raise_known("a", "2", 60)
    broken.raise_known("b", "1", 60)
    broken.raise_known("a", "1", 0)
    broken.raise_known("a", "1", 60)
