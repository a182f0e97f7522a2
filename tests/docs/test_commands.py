# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command of the documentation does what it says, or is excused with a reason."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from qgsd.config import load
from tests.docs.pages import DOCS, INTERRUPT, LANGUAGES, REASONS, ROOT, Block, Step, blocks, steps
from tests.docs.sandbox import Sandbox, is_possible


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
# Run by tests of their own (a worker that has crashed), or not run yet: many machines, traces.
ELSEWHERE = ("debugging.md", "many-machines.md", "traces.md")
BLOCKS = [block for page in PAGES if page not in ELSEWHERE for block in blocks(DOCS / page)]

# What is not run, by reason. Who adds one says why it cannot be otherwise.
EXCUSED = {
    "needs the network": 1, "needs systemd": 2, "needs another server": 1, "needs another machine": 1,
    "needs another program": 1, "takes minutes": 1,
}  # fmt: skip

# These begin and end on a machine where nothing runs. On all others an instance serves.
FRESH = ("first-map.md",)


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


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    if not is_possible():
        pytest.skip("this machine allows no name spaces")
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    machine = Sandbox(tmp_path_factory.mktemp("docs"))
    try:
        machine.do(f"ln -s {ROOT} qgsd; mkdir -p /srv/maps/town")
        yield machine
    finally:
        machine.close()


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
def serving(machine: Sandbox) -> Sandbox:
    """The machine with an instance as the pages about administration have it."""
    world = ROOT / "examples" / "world"
    machine.do(
        "mkdir -p /etc/qgsd /srv/etc /var/log/qgsd; umask 077; echo secret >/etc/qgsd.token; umask 022"
    )
    machine.do(f"cp {world}/world.* {world}/*.tif /srv/maps/town")
    machine.do(f"printf '%s' '{_INI}' >/etc/qgsd/qgsd.ini; printf '%s' '{_RIVAL}' >/srv/etc/server.conf")
    machine.do("qgsd start -c /etc/qgsd/qgsd.ini")
    return machine


WITH_COMMANDS = [
    page for page in PAGES if any(b.language == "console" and not b.reason for b in blocks(DOCS / page))
]


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_do_what_the_page_says(page: str, request: pytest.FixtureRequest) -> None:
    machine: Sandbox = request.getfixturevalue("machine" if page in FRESH else "serving")
    machine.do("cd ~")
    try:
        for block in blocks(DOCS / page):
            if block.language == "console" and not block.reason:
                for step in steps(block):
                    _take(machine, step, block.place)
    finally:
        machine.interrupt()


def _take(machine: Sandbox, step: Step, place: str) -> None:
    if step.command == INTERRUPT:
        machine.interrupt()
    elif step.goes_on:
        machine.wait_said(machine.start(step.command), step.expected)
    else:
        status, said = machine.run(step.command)
        assert status == 0, f"{place}: $ {step.command}\nexit status {status}\n{said}"
        if step.answer:
            matched = step.expected.fullmatch(said.strip())
            assert matched, f"{place}: $ {step.command}\n{said}\nis not\n" + "\n".join(step.answer)


def test_readers_are_sent_nowhere_that_is_not_there() -> None:
    """Pictures and pages that are named exist, also where mkdocs is not there to say so."""
    for page in PAGES:
        text = (DOCS / page).read_text()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (DOCS / target).exists(), f"docs/{page}: {target}"
