# SPDX-License-Identifier: GPL-2.0-or-later
"""The address of the service in what QGIS answers: right behind proxies, and not for everyone to choose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.instance import Instance, ows_path

MINE = {
    "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil",
    "Forwarded": "host=evil.example", "X-Qgis-Service-Url": "https://evil.example/ows",
}  # fmt: skip


@pytest.fixture(scope="module")
def behind_proxy(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    arguments = ("--rootdir", str(shared_root), "-w", "1", "--set", "server.http_proxy=yes")
    instance = Instance(tmp_path_factory.mktemp("proxy") / "i", "run", arguments)
    with instance:
        yield instance


def _online_resources(instance: Instance, service: str, headers: dict[str, str]) -> set[str]:
    answer = instance.get(ows_path(SERVICE=service, REQUEST="GetCapabilities"), **headers)
    assert answer.status == 200, answer.text
    found = re.findall(r'(?:xlink:href|onlineResource)="([^"]*MAP=[^"]*)"', answer.text)
    assert found, answer.text[:2000]
    return {url.replace("&amp;", "&").partition("MAP=world")[0] for url in found}


def _links(instance: Instance, headers: dict[str, str]) -> set[str]:
    answer = instance.get("/wfs3/collections?MAP=world", **headers)
    links = [link["href"] for link in answer.json()["links"]]
    assert all("MAP=world" in link for link in links), links
    return {link.partition("/collections")[0] for link in links}


@pytest.mark.parametrize("service", ["WMS", "WFS", "WMTS"])
def test_nobody_but_a_proxy_names_the_address(server: Instance, service: str) -> None:
    assert _online_resources(server, service, MINE) == {f"http://127.0.0.1:{server.port}/ows/?"}


def test_nobody_but_a_proxy_names_the_address_of_links(server: Instance) -> None:
    assert _links(server, MINE) == {f"http://127.0.0.1:{server.port}/wfs3"}


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({"X-Forwarded-Host": "m.example", "X-Forwarded-Proto": "https"}, "https://m.example"),
        (
            {"X-Forwarded-Host": "m.example:444", "X-Forwarded-Prefix": "/geo"},
            "http://m.example:444/geo",
        ),
        ({"Forwarded": 'for=1.2.3.4; Host="m.example:8443";proto=https'}, "https://m.example:8443"),
        ({"X-Forwarded-Url": "https://m.example/maps/"}, "https://m.example/maps"),
    ],
)
def test_behind_a_proxy(behind_proxy: Instance, headers: dict[str, str], base: str) -> None:
    for service in ("WMS", "WFS", "WMTS"):
        assert _online_resources(behind_proxy, service, headers) == {f"{base}/ows/?"}
    assert _links(behind_proxy, headers) == {f"{base}/wfs3"}


def test_the_header_of_qgis_that_names_a_service(behind_proxy: Instance) -> None:
    for service in ("WMS", "WFS", "WCS", "WMTS"):
        headers = {f"X-Qgis-{service}-Service-Url": "https://m.example/one"}
        told = behind_proxy.get(ows_path(SERVICE=service, REQUEST="GetCapabilities"), **headers).text
        assert 'xlink:href="https://m.example/one' in told, service
        other = "WFS" if service == "WMS" else "WMS"
        assert (
            "m.example"
            not in behind_proxy.get(ows_path(SERVICE=other, REQUEST="GetCapabilities"), **headers).text
        )


def test_an_address_of_the_configuration_changes_at_reload(launch, projects: Path) -> None:  # type: ignore[no-untyped-def]
    config = "[server]\nproxy_url=https://{}.example/geo/\nworkers=1\n"
    instance = launch("--rootdir", str(projects), config=config.format("one"))
    assert _online_resources(instance, "WMS", MINE) == {"https://one.example/geo/ows/?"}
    (instance.folder / "q.ini").write_text(config.format("two"))
    instance.ctl("reload")
    assert _links(instance, MINE) == {"https://two.example/geo/wfs3"}
    assert _online_resources(instance, "WMS", MINE) == {"https://two.example/geo/ows/?"}
