# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command of the documentation does what it says, or is excused with a reason."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from qgsd.config import load
from tests.docs.pages import DOCS, INTERRUPT, LANGUAGES, REASONS, ROOT, Block, Step, blocks, steps
from tests.docs.sandbox import PATIENCE, Sandbox, is_possible


class _Loader(yaml.SafeLoader):
    """mkdocs.yml has names of Python's in some themes' options; here they are of no interest."""


def _nav(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for below in entry.values():
            yield from _nav(below)
    elif isinstance(entry, list):
        for below in entry:
            yield from _nav(below)


PAGES = list(_nav(yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)["nav"]))
# By a test of its own: a worker that has crashed.
ELSEWHERE = ("debugging.md",)
FILES = [ROOT / "README.md", *(DOCS / page for page in PAGES if page not in ELSEWHERE)]
BLOCKS = [block for file in FILES for block in blocks(file)]

# What is not run, by reason. Who adds one says why it cannot be otherwise.
EXCUSED = {
    "needs the network": 3, "needs systemd": 3, "needs another server": 1, "needs another machine": 2,
    "needs another program": 2, "takes minutes": 3,
}  # fmt: skip

WORLD = ROOT / "examples" / "world"

# These begin on a machine where nothing runs. On all others an instance serves.
FRESH = ("README.md", "docs/first-map.md", "docs/many-machines.md", "docs/traces.md")


def test_what_is_not_run_is_excused_and_counted() -> None:
    excused = [block for block in BLOCKS if block.reason]
    for block in excused:
        print(f"not run: {block.place}: {block.reason}")
    assert {block.reason for block in excused} <= set(REASONS)
    assert Counter(block.reason for block in excused) == EXCUSED


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_no_command_hides_in_another_block(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block.place}: a fence says what it holds: {', '.join(LANGUAGES)}"
    assert block.language == "console" or not block.has_commands, f"{block.place}: commands are ```console"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "ini"], ids=lambda block: block.place)
def test_configurations_load(block: Block, tmp_path: Path) -> None:
    (tmp_path / "q.ini").write_text(block.text + "\n")
    load(str(tmp_path / "q.ini"), {}, {})


@contextlib.contextmanager
def _machine(folder: Path) -> Iterator[Sandbox]:
    """A machine with a checkout in the home folder, and nothing else yet."""
    if not is_possible():
        pytest.skip("this machine allows no name spaces")
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    machine = Sandbox(folder)
    try:
        machine.do(f"ln -s {ROOT} qgsd; mkdir -p /srv/maps/town")
        yield machine
    finally:
        machine.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Sandbox]:
    """A machine with what the pages take for granted: projects, another server's file, a token, a name."""
    with _machine(tmp_path / "fresh") as machine:
        machine.do(f"cp {WORLD}/world.* {WORLD}/*.tif /srv/maps/town; mkdir -p /srv/etc /etc/qgsd")
        machine.do("cd /srv/maps/town; cp world.qgs roads.qgs; cp world.qgs sewers.qgs")
        machine.do("umask 077; echo secret >/etc/qgsd.token; umask 022")
        machine.do(f"printf '%s' '{_RIVAL}' >/srv/etc/server.conf")
        machine.do("echo 127.0.0.1 localhost proxy.example >/etc/hosts")
        yield machine


_INI = """
[cache]
rootdir=/srv/maps
[management]
enabled=yes
token_file=/etc/qgsd.token
[server]
http_proxy=yes
[logging]
file=/var/log/qgsd/qgsd.log
access=/var/log/qgsd/access.log
"""
_RIVAL = "[server]\nport=8090\ninstance=rival\n[cache]\nrootdir=/srv/maps\n"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A machine with an instance as the pages about administration have it."""
    with _machine(tmp_path_factory.mktemp("docs")) as machine:
        _serve(machine)
        yield machine


def _serve(machine: Sandbox) -> None:
    machine.do(
        "mkdir -p /etc/qgsd /srv/etc /var/log/qgsd; umask 077; echo secret >/etc/qgsd.token; umask 022"
    )
    machine.do(f"cp {WORLD}/world.* {WORLD}/*.tif /srv/maps/town")
    machine.do(f"printf '%s' '{_INI}' >/etc/qgsd/qgsd.ini; printf '%s' '{_RIVAL}' >/srv/etc/server.conf")
    machine.do("qgsd start -c /etc/qgsd/qgsd.ini")


def _is_run(block: Block) -> bool:
    return block.language == "console" and not block.reason


WITH_COMMANDS = [str(file.relative_to(ROOT)) for file in FILES if any(map(_is_run, blocks(file)))]


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_do_what_the_page_says(page: str, request: pytest.FixtureRequest) -> None:
    machine: Sandbox = request.getfixturevalue("fresh" if page in FRESH else "serving")
    machine.do("cd ~")
    try:
        for block in filter(_is_run, blocks(ROOT / page)):
            for step in steps(block):
                _take(machine, step, block)
    finally:
        machine.interrupt()


def _take(machine: Sandbox, step: Step, block: Block) -> None:
    if step.command == INTERRUPT:
        machine.interrupt()
    elif step.goes_on:
        for name in block.machines or (None,):
            machine.wait_said(machine.start(step.command, name), step.expected)
    else:
        status, said = machine.run(step.command)
        until = time.monotonic() + PATIENCE
        # What happens by itself may take a moment.
        while step.looks and not step.expected.fullmatch(said.strip()) and time.monotonic() < until:
            status, said = machine.run(step.command)
        assert status == 0, f"{block.place}: $ {step.command}\nexit status {status}\n{said}"
        if step.answer:
            matched = step.expected.fullmatch(said.strip())
            assert matched, f"{block.place}: $ {step.command}\n{said}\nis not\n" + "\n".join(step.answer)


def test_readers_are_sent_nowhere_that_is_not_there() -> None:
    """Pictures and pages that are named exist, also where mkdocs is not there to say so."""
    for page in PAGES:
        text = (DOCS / page).read_text()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (DOCS / target).exists(), f"docs/{page}: {target}"
