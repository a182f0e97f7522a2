# SPDX-License-Identifier: GPL-2.0-or-later
"""A PostgreSQL server with PostGIS for the tests: on a Unix socket, in a folder of its own, gone after."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg2

from tests.waiting import wait_for


def binaries() -> Path | None:
    """Debian's folder of the newest installed server that has PostGIS."""
    for share in sorted(Path("/usr/share/postgresql").glob("*/extension/postgis.control"), reverse=True):
        folder = Path("/usr/lib/postgresql") / share.parts[-3] / "bin"
        if (folder / "initdb").exists():
            return folder
    return None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def make_certificate(path: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself; its key. (PostgreSQL's packages bring openssl.)"""
    key = path.with_suffix(".key")
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    line += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*line, "-keyout", str(key), "-out", str(path)], check=True, capture_output=True)
    key.chmod(0o600)
    return key


class Postgres:
    """A server that may be stopped and started again. Raises `FileNotFoundError` where none is installed.

    `network`: it listens on a port of 127.0.0.1 too, wants passwords there, and speaks TLS (`certificate`).
    """

    def __init__(self, *, network: bool = False) -> None:
        found = binaries()
        if found is None:
            raise FileNotFoundError("PostgreSQL with PostGIS is not installed")
        self.bin = found
        # Not below pytest's folder, which no other user may enter; and a socket's path must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="qgsd-pg-"))
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self.process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            shutil.chown(self.folder, self.user)
        self.folder.chmod(0o755)
        self.port = free_port() if network else 5432
        self.options = ["-c", "listen_addresses="]
        try:
            if network:
                self._listen()
            self._run(
                "initdb",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "-U",
                "postgres",
                "--no-sync",
                "--no-locale",
                "-E",
                "UTF8",
            )
            self.start()
            self.sql("CREATE EXTENSION postgis")
        except BaseException:
            self.remove()
            raise

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    def _listen(self) -> None:
        key = make_certificate(self.certificate)
        if os.getuid() == 0:
            shutil.chown(key, self.user)
        self.options = ["-c", "listen_addresses=127.0.0.1", "-p", str(self.port), "-c", "ssl=on"]
        self.options += ["-c", f"ssl_cert_file={self.certificate}", "-c", f"ssl_key_file={key}"]

    def _identity(self) -> dict[str, Any]:
        # initdb and postgres refuse to run as root.
        if os.getuid() != 0:
            return {}
        entry = pwd.getpwnam(self.user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        line = [str(self.bin / program), "-D", str(self.folder / "data"), *arguments]
        done = subprocess.run(line, cwd=self.folder, capture_output=True, text=True, **self._identity())
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        line = [str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), "-F"]
        line += ["-c", "logging_collector=off", *self.options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                line, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._identity()
            )
        wait_for("PostgreSQL answers", self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            self.sql("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """At once, cutting off every client, as a restart of the server does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname="postgres"
        )
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()
