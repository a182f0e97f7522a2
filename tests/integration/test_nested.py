# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects that show maps of the very server that serves them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Instance, ows_path

Launch = Callable[..., Instance]


@pytest.fixture
def instance(launch: Launch, projects: Path) -> Instance:
    """Two workers, on a port that its own projects can name."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return launch("--rootdir", str(projects), "-w", "2", "--timeout", "15", port=port)


def test_the_mark_cannot_be_guessed_and_is_not_told(instance: Instance) -> None:
    forged = instance.get(ows_path(**GET_MAP), Cookie="qgsd_nested=guess.9; a=b")
    assert forged.status == 200
    assert "qgsd_nested" not in json.dumps(dict(forged.headers))
