# SPDX-License-Identifier: GPL-2.0-or-later
"""Kinds of values: what they take, what they refuse, and the way back to text."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgsd.config.forms import address
from qgsd.config.kinds import Boolean, Choice, Integer, Kind, List, Number, Path, Size, Text

WORDS = Choice(("debug", "info"))
ADDRESSES = List(address, "addresses")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Integer(0, 100), " 42 ", 42),
        (Integer(-5, 5), "-5", -5),
        (Integer(0, 100), "+7", 7),
        (Number(0, 10), "1.5", 1.5),
        (Number(0, 10), ".5", 0.5),
        (Number(0, 10), "1e-3", 0.001),
        (Number(0, 10), "0", 0.0),
        *((Boolean(), text, True) for text in ("yes", "true", "on", "1", "YES", "True")),
        *((Boolean(), text, False) for text in ("no", "false", "off", "0", "Off")),
        (WORDS, "DEBUG", "debug"),
        (Text(), " a  b#c ", "a  b#c"),
        (Text(empty=True), "", ""),
        (Path(), "", ""),
        (Path(), "x/../y", "/etc/qgsd/y"),
        (Path(), "/var/log/q.log", "/var/log/q.log"),
        (Path(("-", "off")), "OFF", "off"),
        (Path(("-", "off")), "./off", "/etc/qgsd/off"),
        (ADDRESSES, "0.0.0.0", ("0.0.0.0",)),
        (
            ADDRESSES,
            "127.0.0.1, [::1],unix:/run/q.sock,\nlocalhost,",
            ("127.0.0.1", "::1", "unix:/run/q.sock", "localhost"),
        ),
        (ADDRESSES, "fe80::1%eth0", ("fe80::1%eth0",)),
        (Size(), "100", 100),
        (Size(), "64M", 64 * 1024**2),
        (Size(), "64 mb", 64 * 1024**2),
        (Size(), "1GiB", 1024**3),
        (Size(), "12B", 12),
    ],
)
def test_takes(kind: Kind[object], text: str, value: object) -> None:
    assert kind.parse(text, "/etc/qgsd") == value
    assert type(kind.parse(text, "/")) is type(value)
    assert kind.parse(kind.format(value), "/") == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(
            (Integer(0, 100), text)
            for text in ("", "x", "1.5", "101", "-1", "1_0", "\N{ARABIC-INDIC DIGIT ONE}", "0x10", "9" * 5000)
        ),
        *(
            (Number(0, 10, above=True), text)
            for text in ("", "x", "0", "-0", "11", "nan", "inf", "1e999", "1_0", ".")
        ),
        *((Boolean(), text) for text in ("", "y", "2", "maybe")),
        *((WORDS, text) for text in ("", "trace", "debug info")),
        *((Text(r"[a-z]+", "letters"), text) for text in ("", "a b", "a\nb", "é")),
        *((Text(), text) for text in ("a\nb", "a\0b", "a\tb", "a\x7fb", "\udcff")),
        *((Path(), text) for text in ("/a\n/b", "/a\0b", "\udcff")),
        (Path(("-", "off"), empty=False), " "),
        *(
            (ADDRESSES, text)
            for text in (
                "",
                " ",
                ",",
                "::1,,::2",
                "1.2.3",
                "300.1.1.1",
                "unix:",
                "unix:/",
                "unix:q",
                "[localhost]",
            )
        ),
        *((ADDRESSES, text) for text in ("a b", "*", "http://localhost", "-x", "1.2.3.4:80")),
        *((Size(), text) for text in ("", "0", "M", "-1", "1.5M", "64X", "2048T", "64iB")),
    ],
)
def test_refuses(kind: Kind[object], text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        kind.parse(text, "/")


def test_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert Path().parse("~/projects", "/etc") == "/home/ann/projects"


def test_paths_without_a_folder_of_their_own_start_at_the_one_given() -> None:
    assert Path().parse("q.log", os.getcwd()) == os.path.abspath("q.log")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Integer(0, 65535), "a whole number from 0 to 65535"),
        (Number(0, 86400, above=True), "a number above 0 to 86400"),
        (Number(0, 1.5), "a number from 0 to 1.5"),
        (Boolean(), "yes or no (true/false, on/off, 1/0)"),
        (WORDS, "debug, info"),
        (Text(empty=True), "one line of text, or nothing"),
        (Path(("-", "off"), empty=False), "-, off, a path"),
        (ADDRESSES, "addresses, separated by commas"),
        (Size(), "a size from 1 to 1T (bytes, or with K, M, G)"),
    ],
)
def test_describes_itself(kind: Kind[object], said: str) -> None:
    assert kind.describe() == said


NAMES = st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True)
VALUES = st.one_of(
    st.tuples(st.just(Integer(-(10**12), 10**12)), st.integers(-(10**12), 10**12)),
    st.tuples(st.just(Number(-1e300, 1e300)), st.floats(-1e300, 1e300, allow_nan=False)),
    st.tuples(st.just(Boolean()), st.booleans()),
    st.tuples(st.just(WORDS), st.sampled_from(WORDS.words)),
    st.tuples(st.just(Text(empty=True)), st.text(st.characters(exclude_categories=["C"])).map(str.strip)),
    st.tuples(st.just(Path()), NAMES.map("/srv/{}".format)),
    st.tuples(
        st.just(ADDRESSES),
        st.lists(st.one_of(st.ip_addresses().map(str), NAMES), min_size=1).map(tuple),
    ),
    st.tuples(st.just(Size()), st.integers(1, 1024**4)),
)


@settings(deadline=None)
@given(VALUES)
def test_format_and_parse_are_inverse(case: tuple[Kind[object], object]) -> None:
    kind, value = case
    assert kind.parse(kind.format(value), "/elsewhere") == value


@settings(deadline=None)
@given(
    st.text(),
    st.sampled_from([Integer(0, 9), Number(0, 9), Boolean(), WORDS, Text(), Path(), ADDRESSES, Size()]),
)
def test_any_text_is_a_value_or_a_value_error(text: str, kind: Kind[object]) -> None:
    try:
        value = kind.parse(text, "/")
    except ValueError:
        return
    assert kind.parse(kind.format(value), "/") == value
