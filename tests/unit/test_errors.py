# SPDX-License-Identifier: GPL-2.0-or-later
"""qgsd's own errors as clients see them: well-formed whatever they have to say."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qgsd.proxy.http import errors

NAMESPACE = "{http://www.opengis.net/ogc}"
ANY_TEXT = st.text(st.characters(), max_size=60) | st.text("<>&\"']\r\n\t\x00\ud800\ufffe", max_size=20)


def spoken(text: str) -> str:
    """What XML can say of a text, as a parser gives it back."""
    ranges = ("\t\n", "\r\r", " \ud7ff", "\ue000\ufffd", "\U00010000\U0010ffff")
    return "".join(c if any(low <= c <= high for low, high in ranges) else "\ufffd" for c in text)


def test_a_report_is_what_ogc_clients_expect() -> None:
    kind, body = errors.as_ogc_report("no_map", "MAP names no project")
    assert kind == "text/xml; charset=utf-8"
    root = ElementTree.fromstring(body)
    assert (root.tag, root.attrib) == (f"{NAMESPACE}ServiceExceptionReport", {"version": "1.3.0"})
    (exception,) = root
    assert exception.tag == f"{NAMESPACE}ServiceException"
    assert (exception.attrib, exception.text) == ({"code": "MissingParameterValue"}, "MAP names no project")


@pytest.mark.parametrize(
    ("ours", "ogc"),
    [
        ("no_map", "MissingParameterValue"),
        ("bad_map", "InvalidParameterValue"),
        ("outside_root", "outside_root"),
        ("timeout", "timeout"),
    ],
)
def test_codes_that_ogc_knows_are_said_its_way(ours: str, ogc: str) -> None:
    _, body = errors.as_ogc_report(ours, "x")
    assert ElementTree.fromstring(body)[0].get("code") == ogc


@given(ANY_TEXT, ANY_TEXT)
@example("a", "]]>")
@example("a", "</ServiceException><evil/>")
@example('a" evil="', "x")
@example("\x00", "\x00\x0b\ud800\udfff\ufffe\uffff")
@settings(deadline=None)
def test_a_report_is_well_formed_and_says_it_all(code: str, message: str) -> None:
    _, body = errors.as_ogc_report(code, message)
    root = ElementTree.fromstring(body)
    assert [child.tag for child in root.iter()] == [
        f"{NAMESPACE}ServiceExceptionReport",
        f"{NAMESPACE}ServiceException",
    ]
    assert list(root[0].attrib) == ["code"]
    normal = spoken(message).replace("\r\n", "\n").replace("\r", "\n")
    assert (root[0].text or "") == normal
    assert root[0].get("code", "").split() == spoken(code).split()


@given(ANY_TEXT, ANY_TEXT, st.text(max_size=20))
@example("a", '"}, "evil": {"', "r")
@example("\ud800", "\udfff", "r")
@settings(deadline=None)
def test_a_json_error_says_code_message_and_id(code: str, message: str, request_id: str) -> None:
    kind, body = errors.as_json(code, message, request_id)
    said = {"code": utf8(code), "message": utf8(message)}
    assert kind == "application/json"
    assert body.endswith(b"}\n")
    assert body.count(b"\n") == 1
    assert json.loads(body) == {"error": said, "request_id": request_id}


def utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def test_an_error_carries_what_the_answer_needs() -> None:
    error = errors.HttpError(503, "no_worker", "try again", retry_after=7)
    assert (error.status, error.code, error.message, error.retry_after) == (503, "no_worker", "try again", 7)
    assert str(error) == "try again"
    assert errors.HttpError(404, "x", "y").retry_after is None
