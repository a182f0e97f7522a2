# SPDX-License-Identifier: GPL-2.0-or-later
"""A client must not be able to tell qgsd from QGIS Server: both get the same requests in the same order."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential import catalogue
from tests.differential.ask import Ask
from tests.differential.compare import Reply, differences
from tests.differential.sides import ENVIRONMENT, Ours, Reference, build_projects
from tests.integration.instance import Instance

ASKS = catalogue.ASKS

Replies = list[Reply]


def test_the_catalogue_is_as_large_as_it_should_be() -> None:
    assert len({(ask.method, ask.target, ask.body, *ask.headers.items()) for ask in ASKS}) >= 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """qgsd behind a proxy it trusts, so that forwarded addresses can be compared as well."""
    root = tmp_path_factory.mktemp("ours")
    build_projects(root / "projects")
    # What qgsd does not do unless it is told to: trust proxies, and let clients write.
    settings = (
        "--set",
        "server.http_proxy=yes",
        "--set",
        "cache.force_readonly_layers=no",
        "--set",
        "requests.remote_hosts=*",
        "--set",
        "network.hosts=*",
    )
    arguments = ("--rootdir", str(root / "projects"), "-w", "2", *settings)
    instance = Instance(root / "i", "run", arguments, env=ENVIRONMENT)
    with instance:
        yield instance


@pytest.fixture(scope="module")
def replies(server: Instance, tmp_path_factory: pytest.TempPathFactory) -> tuple[Replies, Replies]:
    """All answers of QGIS and of qgsd. One after the other on each side, for some requests write."""
    folder = tmp_path_factory.mktemp("reference") / "projects"
    shutil.copytree(Path(server.folder).parent / "projects", folder)
    reference, ours = Reference(folder, server.port), Ours(server.port)
    try:
        wanted: Replies = []
        asking = threading.Thread(target=lambda: wanted.extend(reference.ask(ask) for ask in ASKS))
        asking.start()
        got = [ours.ask(ask) for ask in ASKS]
        asking.join()
    finally:
        reference.close()
        ours.close()
    assert len(wanted) == len(got) == len(ASKS)
    return wanted, got


# The first waits for all answers: some fifteen seconds, several times that on a busy machine.
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("number", "ask"), list(enumerate(ASKS)), ids=[ask.name for ask in ASKS])
def test_qgsd_answers_as_qgis(replies: tuple[Replies, Replies], number: int, ask: Ask) -> None:
    wanted, got = replies[0][number], replies[1][number]
    assert wanted.died == ask.crashes, "QGIS has crashed" if wanted.died else "QGIS no longer crashes on this"
    if wanted.died:
        assert got.status == 500
        return
    assert differences(wanted, got) == []


def test_qgsd_still_serves(replies: tuple[Replies, Replies], server: Instance) -> None:
    assert server.ows("survey", SERVICE="WMS", REQUEST="GetCapabilities").status == 200
