# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged texts for all that reads what others have written: a result, or the one error that it declares.

`make fuzz` tries 100,000 of each; FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest

from qgsd import messages
from qgsd.config import ConfigError, load
from qgsd.control import protocol
from qgsd.location import Alias, LocationError, Rules
from qgsd.proxy import ows
from qgsd.proxy.http import heads
from qgsd.proxy.http.addresses import parse_base, parse_forwarded
from tests.fuzz.conftest import SEED
from tests.fuzz.invent import invented
from tests.fuzz.mutate import damaged, examples

TEXTS = int(os.environ.get("FUZZ_TEXTS", "1000"))
_RULES = Rules(
    aliases={
        "gis": Alias.parse("postgresql:?service=gis&schema=public"),
        "old": Alias.parse("file:/srv/old/"),
    }
)

pytestmark = pytest.mark.timeout(120 + TEXTS / 50)


def _try(texts: Iterator[bytes], read: Callable[[bytes], object], *declared: type[Exception]) -> int:
    """How many could be read."""
    good = 0
    for text in islice(texts, TEXTS):
        try:
            read(text)
            good += 1
        except declared:
            pass
        except Exception as error:
            raise AssertionError(f"seed {SEED}: {text!r}") from error
    return good


def _read_request(text: bytes) -> None:
    head, _, body = text.partition(b"\r\n\r\n")
    target = head.split(b" ")[1].decode("latin-1") if head.count(b" ") else ""
    kind = ["application/x-www-form-urlencoded", "text/xml", ""][len(text) % 3]
    ows.read("POST" if body else "GET", target.partition("?")[2], kind, body)


def _locate(text: bytes) -> None:
    for word in unquote(text.decode("latin-1"), errors="replace").split("MAP=")[1:]:
        for value in (word, word.partition("&")[0]):
            place = _RULES.locate(value)
            assert ".." not in place.path.split("/")
            assert "\0" not in place.key


def test_requests_and_their_maps() -> None:
    corpus = examples("http")
    assert _try(damaged(corpus, random.Random(SEED)), _read_request, ows.MalformedRequest) > TEXTS / 10
    assert _try(damaged(corpus, random.Random(SEED)), _locate, LocationError) > TEXTS / 10
    assert _try(damaged(corpus, random.Random(SEED)), lambda text: heads.flaw_of(text, 500, 500)) == TEXTS


def test_what_proxies_say() -> None:
    def read(text: bytes) -> None:
        told = text.decode("latin-1")
        base = parse_base(told)
        assert base is None or not set(base.url("/")) & set(' \r\n\0"<>')
        parse_forwarded(told)

    corpus = [
        b'for=192.0.2.1;host="a.example:80";proto=https, for="[::1]:4711"',
        b"https://a.example:8443/maps/",
    ]
    assert _try(damaged(corpus, random.Random(SEED)), read) == TEXTS


def test_commands() -> None:
    corpus = examples("control")
    assert (
        _try(damaged(corpus, random.Random(SEED)), protocol.decode_request, protocol.Malformed) > TEXTS / 20
    )


def test_messages() -> None:
    known = [
        (messages.FromHttp, messages.decode_from_http), (messages.ToHttp, messages.decode_to_http),
        (messages.FromWorker, messages.decode_from_worker), (messages.ToWorker, messages.decode_to_worker),
        (messages.Order, messages.decode_order), (messages.Report, messages.decode_report),
    ]  # fmt: skip
    for union, decode in known:
        texts = invented(union, random.Random(SEED))
        # What dispatcher and http children catch.
        assert _try(texts, decode, msgspec.MsgspecError, UnicodeDecodeError) > TEXTS / 2


def test_configurations(tmp_path: Path) -> None:
    path = tmp_path / "q.ini"

    def read(text: bytes) -> None:
        path.write_bytes(text)
        load(str(path), {}, {})

    _try(damaged(examples("ini"), random.Random(SEED)), read, ConfigError)
