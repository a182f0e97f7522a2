# SPDX-License-Identifier: GPL-2.0-or-later
"""How projects and layers log in to databases: passwords, QGIS's credentials, service files, certificates."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Answer, Instance
from tests.integration.postgres import Postgres, binaries, make_certificate
from tests.integration.write_project import write
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(
    binaries() is None, reason="PostgreSQL with PostGIS is not installed (scripts/setup-test does that)"
)

SECRET = "hunter2"
# The name of credentials in QGIS: seven letters and digits.
CREDENTIALS = "mapper1"

STORE_CREDENTIALS = """
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import QgsApplication, QgsAuthMethodConfig
application = QgsApplication([], False)
application.initQgis()
manager = QgsApplication.authManager()
assert manager.setMasterPassword(sys.argv[1], True)
config = QgsAuthMethodConfig("Basic")
config.setId(sys.argv[2])
config.setName("the mapper")
config.setConfig("username", "mapper")
config.setConfig("password", sys.argv[3])
assert manager.storeAuthenticationConfig(config)
os._exit(0)
"""


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    server = Postgres(network=True)
    try:
        server.sql("CREATE TABLE places(id serial PRIMARY KEY, name text, geom geometry(Point, 4326))")
        server.sql(
            "INSERT INTO places(name, geom) "
            "SELECT 'place ' || i, ST_SetSRID(ST_MakePoint(i, i), 4326) FROM generate_series(1, 5) AS i"
        )
        server.sql("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC")
        server.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC")
        server.sql(f"CREATE ROLE mapper LOGIN PASSWORD '{SECRET}'")
        local = f"[local]\nhost={server.folder}\nport={server.port}\nuser=postgres\ndbname=postgres\n"
        secured = (
            f"[secured]\nhost=127.0.0.1\nport={server.port}\nuser=mapper\npassword={SECRET}\ndbname=postgres\n"
            f"sslmode=verify-full\nsslrootcert={server.certificate}\n"
        )
        (server.folder / "service.conf").write_text(local + secured)
        make_certificate(server.folder / "stranger.crt")
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def environment(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the administrator sets: service file, QGIS's credentials and the file with their password."""
    folder = tmp_path_factory.mktemp("auth")
    (folder / "password").write_text("the master's")
    found = {"PGSERVICEFILE": str(database.folder / "service.conf"), "QGIS_AUTH_DB_DIR_PATH": str(folder)}
    line = [sys.executable, "-c", STORE_CREDENTIALS, "the master's", CREDENTIALS, SECRET]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, env=os.environ | found)
    assert done.returncode == 0, done.stderr
    return found | {"QGIS_AUTH_PASSWORD_FILE": str(folder / "password")}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    shared_root: Path,
    database: Postgres,
    environment: dict[str, str],
) -> Iterator[Instance]:
    port = database.port
    table = 'key=\'id\' srid=4326 type=Point table="public"."places" (geom)'
    layers = {
        "by_credentials": f"dbname='postgres' host=127.0.0.1 port={port} authcfg={CREDENTIALS}",
        "by_service": "service='secured'",
    }
    write(
        {
            "uri": "postgresql:?service=local&schema=public&project=town", "title": "Town",
            "layers": [[name, f"{login} {table}", "postgres"] for name, login in layers.items()],
        },
        env=environment,
    )  # fmt: skip
    at, verified = f"127.0.0.1:{port}/?dbname=postgres", "sslmode=verify-full&sslrootcert"
    config = f"""
        [server]
        workers=2
        [cache]
        rootdir={shared_root}
        insecure=yes
        [projects.schemes]
        password=postgresql://mapper:{SECRET}@{at}&{verified}={database.certificate}
        credentials=postgresql://{at}&authcfg={CREDENTIALS}&sslmode=SslRequire
        both=postgresql://{at}&authcfg={CREDENTIALS}&{verified}={database.certificate}
        service=postgresql:?service=secured
        wrong_password=postgresql://mapper:wrong@{at}
        wrong_certificate=postgresql://mapper:{SECRET}@{at}&{verified}={database.folder}/stranger.crt
        wrong_credentials=postgresql://{at}&authcfg=nowhere
        """
    instance = Instance(
        tmp_path_factory.mktemp("q") / "i", "run", (), config=textwrap.dedent(config), env=environment
    )
    with instance:
        yield instance
    assert "Traceback" not in instance.log_text
    assert SECRET not in instance.log_text
    assert "the master's" not in instance.log_text


def capabilities(server: Instance, project: str) -> Answer:
    return server.ows(project, SERVICE="WMS", REQUEST="GetCapabilities")


def get_feature(server: Instance, project: str, layer: str) -> Answer:
    return server.ows(
        project, SERVICE="WFS", VERSION="1.1.0", REQUEST="GetFeature", TYPENAME=layer, OUTPUTFORMAT="GeoJSON"
    )


def features(server: Instance, project: str, layer: str) -> list[str]:
    answer = get_feature(server, project, layer)
    assert answer.status == 200, answer.text
    return sorted(feature["properties"]["name"] for feature in answer.json()["features"])


@pytest.mark.parametrize("alias", ["password", "credentials", "both", "service"])
def test_every_way_to_log_in(server: Instance, alias: str) -> None:
    answer = capabilities(server, f"{alias}:town")
    assert (answer.status, "<Title>Town</Title>" in answer.text) == (200, True), answer.text[:2000]
    for layer in ("by_credentials", "by_service"):
        assert features(server, f"{alias}:town", layer) == [f"place {i}" for i in range(1, 6)]


def test_what_is_said_over_the_network_is_encrypted(server: Instance, database: Postgres) -> None:
    assert capabilities(server, "password:town").status == 200
    sessions = database.sql(
        "SELECT application_name, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        "WHERE usename = 'mapper'"
    )
    assert all(encrypted for _, encrypted in sessions)
    assert "qgsd" in {name for name, _ in sessions}


@pytest.mark.parametrize(
    ("alias", "reason"),
    [
        ("wrong_password", 'password authentication failed for user "mapper"'),
        ("wrong_certificate", "certificate verify failed"),
        ("wrong_credentials", "authcfg=nowhere cannot be used"),
    ],
)
def test_a_refused_login_is_told_to_the_administrator_only(server: Instance, alias: str, reason: str) -> None:
    answer = capabilities(server, f"{alias}:town")
    assert (answer.status, "Retry-After" in answer.headers) == (503, True), answer.text
    assert reason not in answer.text
    assert "127.0.0.1" not in answer.text
    # The log comes by way of the master.
    wait_for("the log tells it", lambda: reason in server.log_text, 5)


def test_credentials_work_in_each_worker_and_in_those_to_come(server: Instance) -> None:
    expected = [f"place {i}" for i in range(1, 6)]
    for _ in range(2):
        with ThreadPoolExecutor(8) as clients:
            asked = [
                clients.submit(features, server, "credentials:town", "by_credentials") for _ in range(24)
            ]
            assert [one.result() for one in asked] == [expected] * 24
        for slot in ("0", "1"):
            server.ctl("kill", slot)


def test_a_database_without_room_for_connections_stalls_its_own_projects_only(
    server: Instance, database: Postgres
) -> None:
    expected = features(server, "service:town", "by_service")
    database.sql("ALTER ROLE mapper CONNECTION LIMIT 0")
    database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mapper'")
    over = threading.Event()

    def ask() -> set[int]:
        seen = set()
        while not over.is_set():
            seen.add(status())
        return seen

    def status() -> int:
        # Capabilities would be answered from the cache.
        return get_feature(server, "service:town", "by_service").status

    try:
        with ThreadPoolExecutor(4) as clients:
            # Before the pool waits for them, come what may.
            with contextlib.ExitStack() as asking_ends:
                asking_ends.callback(over.set)
                asking = [clients.submit(ask) for _ in range(4)]
                waited = []
                for _ in range(15):
                    asked = time.monotonic()
                    assert server.ows(**GET_MAP).status == 200
                    waited.append(time.monotonic() - asked)
                wait_for("503 for its own", lambda: status() == 503, 5)
            assert set().union(*(one.result() for one in asking)) <= {200, 503}
        assert sorted(waited)[7] < 1, waited
    finally:
        database.sql("ALTER ROLE mapper CONNECTION LIMIT -1")
    wait_for("it is served again", lambda: status() == 200, 10)
    assert features(server, "service:town", "by_service") == expected


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("postgresql:?service=secured&schema=public&project=town", 200),
        ("postgresql:?service=secured&project=nothing", 404),
        ("postgresql://127.0.0.1:{port}?dbname=postgres&authcfg=mapper1&sslmode=require&project=town", 200),
        ("postgresql://mapper@127.0.0.1:{port}?dbname=postgres&project=town", 503),
        ("postgresql://mapper:wrong@127.0.0.1:{port}?dbname=postgres&project=town", 403),
        ("postgresql:?service=secured&project=town&sslrootcert=/etc/hostname", 403),
        ("postgresql:?service=secured&project=town&options=-csearch_path=x", 403),
        ("postgresql:?service=nowhere&project=town", 503),
        ("postgresql:?service=secured&project=town&sslmode=nonsense", 503),
    ],
)
def test_what_clients_may_name_where_that_is_allowed(
    server: Instance, database: Postgres, place: str, status: int
) -> None:
    answer = capabilities(server, place.format(port=database.port))
    assert answer.status == status, answer.text
