# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects in PostgreSQL, as QGIS stores them: rows of the table qgis_projects of a schema.

They are read by psycopg2, on one connection for each database. QGIS's own storage could read them as well,
but its connections belong to the main thread, which may be rendering while the version is asked for; they
wait without a bound for a server that does not answer; and they know neither certificates nor keys.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psycopg2
import psycopg2.extensions
from psycopg2 import errors, sql
from qgis.core import QgsApplication, QgsDataSourceUri, QgsProject

from qgsd.config import Settings
from qgsd.location import Location, LocationError, no_project
from qgsd.worker.stores.base import StoreUnavailable, Version, without_passwords
from qgsd.worker.stores.content import read_content
from qgsd.worker.stores.geopackage import QUERY_SAFE

logger = logging.getLogger("qgsd.projects")

_STATEMENT_MS = 3000
# For the content, which may be large and the network slow.
_CONTENT_MS = 30_000
_LIMITS = {"connect_timeout": 3, "tcp_user_timeout": 3000, "application_name": "qgsd"}
# As QGIS writes them, and as libpq takes them.
_SSL_MODES = {
    f"Ssl{name.title().replace('-', '')}": name
    for name in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
}

_SSL_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

# QGIS writes the time with every change; the size, which costs nothing, tells changes by other programs.
_VERSIONS = """
    SELECT name, metadata->>'last_modified_time', octet_length(content) FROM {table} WHERE name = ANY(%s)
"""
_CONTENT = "SELECT name, content FROM {table} WHERE name = ANY(%s)"


class PostgresStore:
    """`postgresql://user:password@host:port?service=…&dbname=…&schema=…&project=…`, QGIS's own form.

    `authcfg` names credentials in QGIS's own store; they are looked up when the source is resolved.
    `sslrootcert`, `sslcert`, `sslkey` and `sslcrl` are files, as libpq takes them.
    """

    def __init__(self, settings: Settings) -> None:
        self._connections: dict[str, _Connection] = {}
        self._expanded: dict[str, str] = {}

    def resolve(self, location: Location) -> str:
        if not location.project or "%" in location.project:
            raise no_project(location.project)
        parameters = dict(location.parameters)
        parameters.setdefault("schema", "public")
        # In the order in which QGIS writes them, so that equal places have equal sources.
        order = ("service", "authcfg", "sslmode", "dbname", "schema", *_SSL_FILES)
        said = [(name, parameters[name]) for name in order if parameters.get(name)]
        said.append(("project", location.project))
        query = "&".join(f"{name}={quote(value, safe=QUERY_SAFE)}" for name, value in said)
        source = f"postgresql://{location.authority}?{query}"
        if "authcfg" in parameters:
            self._expanded[source] = _with_credentials(source)
        return source

    def version(self, source: str) -> str | None:
        version = self.versions([source])[source]
        if isinstance(version, LocationError):
            raise version
        return version

    def versions(self, sources: Sequence[str]) -> dict[str, Version]:
        """One question for each schema, so that many open projects cost a database no more than one does."""
        tables: dict[tuple[str, str], dict[str, list[str]]] = {}
        for source in sources:
            parameters = _parameters(source)
            table = tables.setdefault((self._target(source), parameters["schema"]), {})
            table.setdefault(parameters["project"], []).append(source)
        found: dict[str, Version] = dict.fromkeys(sources)
        for (target, schema), named in tables.items():
            try:
                for name, time, size in self._rows(target, schema, _VERSIONS, list(named), _STATEMENT_MS):
                    found |= dict.fromkeys(named[name], f"{time}/{size}")
            except StoreUnavailable as error:
                found |= dict.fromkeys((source for some in named.values() for source in some), error)
        return found

    def content(self, source: str) -> bytes | None:
        parameters = _parameters(source)
        names = [parameters["project"]]
        rows = self._rows(self._target(source), parameters["schema"], _CONTENT, names, _CONTENT_MS)
        return bytes(rows[0][1]) if rows else None

    def folder(self, source: str) -> str:
        return ""

    def read(self, project: QgsProject, source: str, flags: Any) -> None:
        name, content = _parameters(source)["project"], self.content(source)
        if content is None:
            raise no_project(name)
        read_content(project, content, source, self.folder(source), flags, name)

    def _target(self, source: str) -> str:
        return self._expanded.get(source) or _connection_text(source)

    def _rows(
        self, target: str, schema: str, statement: str, names: list[str], milliseconds: int
    ) -> list[tuple[Any, ...]]:
        """Raises `StoreUnavailable`."""
        connection = self._connections.setdefault(target, _Connection(target))
        asked = sql.SQL(statement).format(table=sql.Identifier(schema, "qgis_projects"))
        return connection.rows(asked, names, milliseconds)


class _Connection:
    """One connection to a database, opened when it is needed, and kept; to be used from any thread."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._using = threading.Lock()
        self._open: Any = None

    def rows(self, statement: sql.Composable, names: list[str], milliseconds: int) -> list[tuple[Any, ...]]:
        """The answer; empty also when table or schema are not there.

        Raises `StoreUnavailable`.
        """
        with self._using:
            try:
                return self._ask(statement, names, milliseconds)
            except (errors.UndefinedTable, errors.InvalidSchemaName):
                return []
            except psycopg2.Error as error:
                self._close()
                # For the administrator: it may name hosts and users, which are not for clients.
                logger.warning("the database of projects cannot be asked: %s", _in_a_line(error))
                raise StoreUnavailable("the database of this project does not answer now") from error

    def _ask(self, statement: sql.Composable, names: list[str], milliseconds: int) -> list[tuple[Any, ...]]:
        kept = self._open is not None
        try:
            return self._ask_once(statement, names, milliseconds)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            # A kept connection may have been cut long ago, by a restart of the server or by a firewall.
            if not kept or not self._open.closed:
                raise
            self._close()
            return self._ask_once(statement, names, milliseconds)

    def _ask_once(
        self, statement: sql.Composable, names: list[str], milliseconds: int
    ) -> list[tuple[Any, ...]]:
        if self._open is None:
            self._open = psycopg2.connect(self._target)
        # As a transaction: a pooler may give the next one another session.
        with self._open, self._open.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", (milliseconds,))
            cursor.execute(statement, (names,))
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _close(self) -> None:
        if self._open is not None:
            with contextlib.suppress(psycopg2.Error):
                self._open.close()
            self._open = None


def _parameters(source: str) -> dict[str, str]:
    # Not parse_qsl, which makes blanks of +; QGIS does not.
    pairs = (part.partition("=") for part in urlsplit(source).query.split("&"))
    return {name: unquote(value) for name, _, value in pairs}


def _connection_text(source: str) -> str:
    """What libpq takes, of a source."""
    url, parameters = urlsplit(source), _parameters(source)
    said = {
        "service": parameters.get("service"),
        "host": url.hostname,
        "port": url.port,
        "user": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "dbname": parameters.get("dbname"),
        "sslmode": _SSL_MODES.get(parameters.get("sslmode", ""), parameters.get("sslmode")),
    }
    said |= {name: parameters.get(name) for name in _SSL_FILES}
    return str(psycopg2.extensions.make_dsn(**{k: v for k, v in said.items() if v}, **_LIMITS))


def _with_credentials(source: str) -> str:
    """The same, with the credentials that QGIS keeps under `authcfg`. Raises `StoreUnavailable`."""
    url, parameters = urlsplit(source), _parameters(source)
    _check_credentials(parameters["authcfg"])
    place = QgsDataSourceUri()
    mode = QgsDataSourceUri.decodeSslMode(parameters.get("sslmode", ""))
    login = (unquote(url.username or ""), unquote(url.password or ""), mode, parameters["authcfg"])
    if "service" in parameters:
        place.setConnection(parameters["service"], parameters.get("dbname", ""), *login)
    else:
        port = str(url.port or "")
        place.setConnection(url.hostname or "", port, parameters.get("dbname", ""), *login)
    files = {name: parameters[name] for name in _SSL_FILES if name in parameters}
    return str(psycopg2.extensions.make_dsn(place.connectionInfo(True), **files, **_LIMITS))


def _check_credentials(authcfg: str) -> None:
    """QGIS would connect without them, and the server's complaint would tell nothing."""
    manager = QgsApplication.authManager()
    assert manager is not None
    if authcfg in manager.configIds() and manager.masterPasswordIsSet():
        return
    logger.error(
        "authcfg=%s cannot be used: QGIS's authentication database (QGIS_AUTH_DB_DIR_PATH) does not have it, "
        "or its password (QGIS_AUTH_PASSWORD_FILE) is wrong; what was added after the start is seen after "
        "`qgsdctl restart`",
        authcfg,
    )
    raise StoreUnavailable("the credentials for the database of this project cannot be used")


def _in_a_line(error: Exception) -> str:
    return " ".join(without_passwords(str(error)).split()) or type(error).__name__
