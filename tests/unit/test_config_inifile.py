# SPDX-License-Identifier: GPL-2.0-or-later
"""The ini reader: it reads what configparser reads, and says where a file is wrong."""

import configparser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgsd.config.errors import ConfigError
from qgsd.config.inifile import Entry, Expander, IniFile, parse, read


def values(ini: IniFile) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {name: {} for name in ini.sections}
    for entry in ini.entries:
        found[entry.section][entry.key] = entry.text
    return found


def model() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(
        interpolation=configparser.ExtendedInterpolation(),
        inline_comment_prefixes=("#", ";"),
        empty_lines_in_values=False,
        default_section="",
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    return parser


NAMES = st.text("abcXYZ_. -", min_size=1, max_size=6).filter(lambda name: name.strip() == name)
# Not both comment marks in one line: configparser overlooks " #" in "a=#x #y ;z" and stops at " ;".
TEXTS = st.one_of(st.text("ab1 #:=[]/,*é", max_size=12), st.text("ab1 ;:=[]/,*é", max_size=12))
BLANKS = st.text(" \t", max_size=3)
FILLERS = st.sampled_from(["", "   ", "# note", "; note", "  # note"])


@st.composite
def files(draw: st.DrawFn) -> str:
    lines = draw(st.lists(FILLERS, max_size=2))
    for section in draw(st.lists(NAMES, unique=True, max_size=4)):
        lines.append(f"[{section}]" + draw(st.sampled_from(["", "  ", " # note", "\t; note"])))
        for key in draw(st.lists(NAMES, unique=True, max_size=4)):
            delimiter = draw(BLANKS) + draw(st.sampled_from("=:")) + draw(BLANKS)
            lines.append(draw(BLANKS) + key + delimiter + draw(TEXTS))
            lines += draw(st.lists(TEXTS.map("        more {}".format), max_size=2))
            lines += draw(st.lists(FILLERS, max_size=2))
            if draw(st.booleans()):
                lines.append("")
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


@settings(deadline=None)
@given(files())
def test_reads_what_configparser_reads(text: str) -> None:
    parser = model()
    try:
        parser.read_string(text.replace("\r\n", "\n"))
    except configparser.Error:
        with pytest.raises(ConfigError):
            parse(text, "q.ini")
    else:
        raw = {name: dict(parser.items(name, raw=True)) for name in parser.sections()}
        assert values(parse(text, "q.ini")) == raw


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["$", "$$", "${a}", "${b}", "${c}", "${t:d}", "${s:a}", "x", "{", "}"]), max_size=5
    )
)
def test_expands_what_configparser_expands(pieces: list[str]) -> None:
    text = "[s]\na = A\nb = <${a}>\nc = $${a}\ne = " + "".join(pieces) + "\n[t]\nd = ${s:b}!\n"
    parser = model()
    parser.read_string(text)
    entries = {(entry.section, entry.key): entry for entry in parse(text, "q.ini").entries}
    expander = Expander(lambda section, key: entries[section, key])
    try:
        expected = parser["s"]["e"]
    except configparser.InterpolationError:
        with pytest.raises(ConfigError):
            expander.expand(entries["s", "e"])
    else:
        assert expander.expand(entries["s", "e"]) == expected


def test_entries_know_their_lines() -> None:
    ini = parse("\n[a] ; one\n# note\nx = 1\n  2\n\ny: 3\r\n[b]\rz=4", "q.ini")
    assert ini.sections == {"a": 2, "b": 8}
    assert ini.entries == [
        Entry("a", "x", "1\n2", "q.ini", 4),
        Entry("a", "y", "3", "q.ini", 7),
        Entry("b", "z", "4", "q.ini", 9),
    ]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("password=a#b;c", "a#b;c"),
        ("password=#b", "#b"),
        ("password=a #b", "a"),
        ("password=a\t;b", "a"),
        ("password=  # nothing", ""),
        ("password=a=b:c", "a=b:c"),
        ("password=#x #y ;z", "#x"),
    ],
)
def test_comments_need_a_blank_before_them(line: str, value: str) -> None:
    assert parse(f"[a]\n{line}", "q.ini").entries[0].text == value


@pytest.mark.parametrize(
    ("text", "line", "problem", "found"),
    [
        ("[a]\nport\n", 2, "bad syntax", "port"),
        ("[a]\n=1\n", 2, "bad syntax", "=1"),
        ("\nport=1\n", 2, "key before any section", "port=1"),
        ("[a\n", 1, "bad section header", "[a"),
        ("[ ]\n", 1, "bad section header", "[ ]"),
        ("[a] port=1\n", 1, "bad section header", "[a] port=1"),
        ("[a]\n[b]\n[a]\n", 3, "section given twice, first in line 1", "[a]"),
    ],
)
def test_bad_syntax(text: str, line: int, problem: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "q.ini")
    assert (caught.value.file, caught.value.line) == ("q.ini", line)
    assert (caught.value.problem, caught.value.found) == (problem, found)
    assert caught.value.allowed


def test_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "q.ini"
    path.write_bytes("\ufeff[a]\nb=é".encode())
    assert values(read(str(path))) == {"a": {"b": "é"}}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[a]\n\0", "a binary file"),
        (b"[a]\nb=\xff\xfe", "q.ini:2: not UTF-8"),
        (b"PK\x03\x04\xff", "q.ini:1: not UTF-8"),
    ],
)
def test_binary_files(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "q.ini"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=said) as caught:
        read(str(path))
    assert caught.value.file == str(path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/nonexistent/q.ini", "/nonexistent/q.ini: cannot be read: No such file or directory"),
        ("/dev/null", "/dev/null: not a file"),
        ("/tmp", "/tmp: not a file"),
        ("/tmp/a\nb", r"/tmp/a\nb: cannot be read"),
        ("/tmp/\0", r"/tmp/\x00: cannot be read"),
        ("/tmp/\udcff", r"/tmp/\udcff: cannot be read"),
        ("/etc/hostname/q.ini", "/etc/hostname/q.ini: cannot be read: Not a directory"),
    ],
)
def test_unreadable_files(path: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_forbidden_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "q.ini"
    path.write_text("")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError, match=r"q\.ini: cannot be read: Permission denied"):
        read(str(path))


def test_growing_without_end_is_refused() -> None:
    lines = [f"k{n} = ${{k{n + 1}}}${{k{n + 1}}}" for n in range(60)]
    entries = {e.key: e for e in parse("\n".join(["[a]", *lines, "k60 = x"]), "q.ini").entries}
    with pytest.raises(ConfigError, match="too long"):
        Expander(lambda _, key: entries[key]).expand(entries["k0"])
