# SPDX-License-Identifier: GPL-2.0-or-later
"""Behind nginx and Apache, the real ones, with the very lines of docs/behind-a-proxy.md."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks
from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.waiting import wait_for

MODULES = Path("/usr/lib/apache2/modules")
CAPABILITIES = ows_path(SERVICE="WMS", REQUEST="GetCapabilities", VERSION="1.3.0")
# What a client would say to have others sent elsewhere.
LIES = {
    "Forwarded": "host=evil.example;proto=https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Url": "https://evil.example/",
    "X-Forwarded-Prefix": "/evil.example",
    "X-Qgis-Forwarded-Url": "https://evil.example/",
    "X-Qgis-Service-Url": "https://evil.example/",
    "X-Qgis-Wms-Service-Url": "https://evil.example/",
}

_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; {lines} }}
}}
"""
_APACHE = """
{modules}
ServerRoot {folder}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/log
{user}
Listen 127.0.0.1:{port}
{lines}
"""


def documented(language: str, instance: Instance) -> str:
    """The lines of the documentation, with the port of this instance."""
    (block,) = (one for one in blocks(DOCS / "behind-a-proxy.md") if one.language == language)
    assert ":8080" in block.text
    return block.text.replace(":8080", f":{instance.port}")


def nginx(instance: Instance, folder: Path, port: int) -> list[str]:
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not installed")
    told = folder / "nginx.conf"
    told.write_text(_NGINX.format(folder=folder, port=port, lines=documented("nginx", instance)))
    return [program, "-p", str(folder), "-e", str(folder / "log"), "-c", str(told)]


def apache(instance: Instance, folder: Path, port: int) -> list[str]:
    program = shutil.which("apache2")
    if program is None:
        pytest.skip("Apache is not installed")
    names = ("mpm_event", "authz_core", "proxy", "proxy_http", "headers")
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names)
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    lines = documented("apache", instance)
    told = folder / "apache.conf"
    told.write_text(_APACHE.format(folder=folder, port=port, modules=modules, user=user, lines=lines))
    return [program, "-X", "-f", str(told)]


@pytest.fixture(params=[nginx, apache], ids=["nginx", "apache"])
def front(request: pytest.FixtureRequest, behind: Instance, tmp_path: Path) -> Iterator[int]:
    """The port of a front before the instance."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    process = subprocess.Popen(request.param(behind, tmp_path, port))

    def answers() -> bool:
        log = tmp_path / "log"
        assert process.poll() is None, log.read_text() if log.exists() else "it ended"
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for("the front listens", answers)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    options = ("--rootdir", str(shared_root), "--bind", "127.0.0.1", "--set", "server.http_proxy=yes")
    instance = Instance(tmp_path_factory.mktemp("behind") / "i", "run", options)
    with instance:
        yield instance


def ask(port: int, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_maps_and_addresses_come_through(front: int) -> None:
    status, picture = ask(front, ows_path(**GET_MAP), {})
    assert (status, picture[:4]) == (200, b"\x89PNG")
    for headers in ({}, LIES):
        status, told = ask(front, CAPABILITIES, headers)
        addresses = set(re.findall(r'xlink:href="(https?://[^/"]+/)ows/', told.decode()))
        assert (status, addresses) == (200, {f"http://127.0.0.1:{front}/"}), headers
        assert b"evil" not in told


def test_the_readme_shows_the_same_lines() -> None:
    pages = (DOCS.parent / "README.md", DOCS / "behind-a-proxy.md")
    shown = [[block.text for block in blocks(page) if block.language == "nginx"] for page in pages]
    assert shown[0] == shown[1]
