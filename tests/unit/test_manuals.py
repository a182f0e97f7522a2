# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages are clean troff and say what there is to say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qgsd.cli import commands_of, whole_parser
from qgsd.config import declarations
from qgsd.control.commands import COMMANDS
from reference import man, roff

PAGES = sorted(man.pages())
FOLDER = Path(__file__).parents[2] / "docs" / "man"


@pytest.mark.parametrize("name", PAGES)
def test_mandoc_finds_nothing(name: str) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("there is no mandoc")
    told = subprocess.run(["mandoc", "-Tlint", "-Wwarning", FOLDER / name], capture_output=True, text=True)
    # A page has no date, so that it changes only when it says something else.
    found = [line for line in told.stdout.splitlines() if "missing date" not in line]
    assert found == []


@pytest.mark.parametrize("name", PAGES)
def test_groff_finds_nothing_and_shows_what_was_meant(name: str) -> None:
    if shutil.which("groff") is None:
        pytest.skip("there is no groff")
    told = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww", "-P-c", FOLDER / name], capture_output=True, text=True
    )
    assert told.stderr == ""
    shown = re.sub(r".\x08", "", told.stdout)
    assert "NAME" in shown
    assert not re.search(r"\\f[BIR]|\\-", shown)


def shown(name: str) -> str:
    """The page as it reads, more or less: without what troff is told."""
    return re.sub(r"\\f[BIR]|\\&", "", man.pages()[name]).replace("\\-", "-")


def test_every_command_and_option_is_there() -> None:
    assert [name for name in commands_of(whole_parser()) if f".SS {name}" not in shown("qgsd.1")] == []
    assert [name for name in COMMANDS if f".SS {name}" not in shown("qgsdctl.1")] == []
    assert [d.name for d in declarations() if f"\n{d.key}=" not in shown("qgsd.ini.5")] == []


def test_text_is_no_command_of_troff() -> None:
    assert roff.prose(".so /etc/passwd") == r"\&.so /etc/passwd"
    assert roff.prose(r"a\fBb") == r"a\efBb"
    assert roff.page([".SH X", ".PP", "a", ".PP", "b"]) == ".SH X\na\n.PP\nb\n"
