# SPDX-License-Identifier: GPL-2.0-or-later
"""Under which address clients know the server, and which headers QGIS sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders

from qgsd.proxy.http.addresses import (
    Address,
    headers_for_qgis,
    parse_base,
    parse_forwarded,
    public_address,
)

EVIL = {
    "Forwarded": "host=evil.example;proto=https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Url": "https://evil.example/",
    "X-Forwarded-Prefix": "/evil",
    "X-Qgis-Service-Url": "https://evil.example/ows",
    "X-Qgis-Wms-Service-Url": "https://evil.example/wms",
    "X-Forwarded-For": "192.0.2.66",
}


def _address(headers: dict[str, str], *, trusted: bool = True, proxy_url: str = "") -> str:
    found = public_address("http", "inner:8080", HTTPHeaders(headers), trusted=trusted, proxy_url=proxy_url)
    return found.url("/ows/")


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, "http://inner:8080/ows/"),
        ({"X-Forwarded-Host": "maps.example"}, "http://maps.example/ows/"),
        ({"X-Forwarded-Host": "maps.example, mid"}, "http://maps.example/ows/"),
        ({"X-Forwarded-Host": "m.example", "X-Forwarded-Proto": "HTTPS"}, "https://m.example/ows/"),
        ({"X-Forwarded-Host": "m.example", "X-Forwarded-Prefix": "/geo/"}, "http://m.example/geo/ows/"),
        ({"Forwarded": "for=1.2.3.4;host=m.example;proto=https"}, "https://m.example/ows/"),
        ({"Forwarded": 'Proto=https; Host="m.example:8443", host=mid'}, "https://m.example:8443/ows/"),
        ({"Forwarded": "proto=https", "X-Forwarded-Host": "m.example"}, "https://m.example/ows/"),
        ({"Forwarded": "host=a.example", "X-Forwarded-Host": "b.example"}, "http://a.example/ows/"),
        ({"Forwarded": 'host="[2001:db8::1]:99"'}, "http://[2001:db8::1]:99/ows/"),
        ({"X-Forwarded-Url": "https://m.example/geo"}, "https://m.example/geo/ows/"),
        ({"X-Qgis-Forwarded-Url": "https://m.example/geo/"}, "https://m.example/geo/ows/"),
        # What makes no sense is passed over.
        ({"X-Forwarded-Host": "a b<script>"}, "http://inner:8080/ows/"),
        ({"X-Forwarded-Proto": "javascript"}, "http://inner:8080/ows/"),
        ({"X-Forwarded-Prefix": "//elsewhere"}, "http://inner:8080/ows/"),
        ({"X-Forwarded-Url": "ftp://m.example/"}, "http://inner:8080/ows/"),
        ({"Forwarded": ";;;"}, "http://inner:8080/ows/"),
    ],
)
def test_a_trusted_proxy_says_where_clients_are(headers: dict[str, str], wanted: str) -> None:
    assert _address(headers) == wanted


def test_without_trust_only_the_connection_counts() -> None:
    assert _address(EVIL, trusted=False) == "http://inner:8080/ows/"


@pytest.mark.parametrize("trusted", [True, False])
def test_the_configured_address_counts_most(trusted: bool) -> None:
    assert _address(EVIL, trusted=trusted, proxy_url="https://m.example/geo/") == "https://m.example/geo/ows/"


@pytest.mark.parametrize("url", ["", "m.example", "https://", "https://a b/", "https://u@h/", "http://[::1"])
def test_no_base(url: str) -> None:
    assert parse_base(url) is None


def test_names_of_forwarded_know_no_case_and_values_may_be_quoted() -> None:
    assert parse_forwarded(r'FOR="a\"b;c,d";Host=x') == {"for": 'a"b;c,d', "host": "x"}


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_a_proxy_says_the_address_is_one(forwarded: str, host: str) -> None:
    told = _address({"Forwarded": forwarded, "X-Forwarded-Host": host})
    assert parse_base(told) is not None


def _names(headers: dict[str, str], *, trusted: bool, allowed: tuple[str, ...] = ("*",)) -> set[str]:
    address = Address("http", headers.get("Host", ""))
    passed = headers_for_qgis(HTTPHeaders(headers), address, trusted=trusted, allowed=allowed)
    return {name for name, _ in passed}


def test_without_trust_nothing_that_names_an_address_reaches_qgis() -> None:
    assert _names({"Host": "h", "Authorization": "x", **EVIL}, trusted=False) == {"Host", "Authorization"}


def test_with_trust_qgis_sees_one_address_and_the_urls_of_services() -> None:
    assert _names({"Host": "h", **EVIL}, trusted=True) == {
        "Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "X-Qgis-Service-Url",
        "X-Qgis-Wms-Service-Url",
    }  # fmt: skip


def test_another_address_is_told_without_trust_as_well() -> None:
    headers = HTTPHeaders({"Host": "inner"})
    passed = headers_for_qgis(headers, Address("https", "m.example"), trusted=False, allowed=("*",))
    assert dict(passed)["X-Forwarded-Host"] == "m.example"


def test_allowed_beginnings_in_any_case_beside_what_qgis_needs() -> None:
    sent = {"Host": "h", "Accept": "text/html", "X-Lizmap-User": "me", "X-Other": "1", "Connection": "close"}
    assert _names(sent, trusted=False, allowed=("x-qgis-", "X-LIZMAP-")) == {
        "Host",
        "Accept",
        "X-Lizmap-User",
    }
    assert _names(sent, trusted=False) == {"Host", "Accept", "X-Lizmap-User", "X-Other"}
