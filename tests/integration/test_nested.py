# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects that show maps of the very server that serves them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.integration.test_fork import PROJECT_WITH_REMOTE_LAYER
from tests.waiting import wait_for

Launch = Callable[..., Instance]
MAP = GET_MAP | {"LAYERS": "remote", "FORMAT": "image/png"}


@pytest.fixture
def instance(launch: Launch, projects: Path) -> Instance:
    """Two workers, on a port that its own projects can name."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return launch("--rootdir", str(projects), "-w", "2", "--timeout", "15", port=port)


def mirror(instance: Instance, projects: Path, name: str, shown: str, layer: str) -> None:
    """A project with one layer: a map of `shown`, from the server itself."""
    address = f"http%3A//127.0.0.1:{instance.port}/ows/?MAP%3D{shown}"
    source = f"crs=EPSG:3857&format=image/png&layers={layer}&styles=&url={address}"
    script = [sys.executable, "-c", PROJECT_WITH_REMOTE_LAYER, source, str(projects / f"{name}.qgs")]
    made = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr


def test_a_loop_ends_with_508(instance: Instance, projects: Path) -> None:
    mirror(instance, projects, "loop", "world", "countries")
    project = projects / "loop.qgs"
    text = (
        project.read_text().replace("MAP%3Dworld", "MAP%3Dloop").replace("layers=countries", "layers=remote")
    )
    assert "MAP%3Dloop" in text
    project.write_text(text)
    answer = instance.ows("loop", **MAP)
    assert answer.status in (200, 422, 500)
    wait_for("the loop was ended", lambda: " 508 " in instance.log_text)
    assert instance.ows(**GET_MAP).status == 200


def test_the_mark_cannot_be_guessed_and_is_not_told(instance: Instance) -> None:
    forged = instance.get(ows_path(**GET_MAP), Cookie="qgsd_nested=guess.9; a=b")
    assert forged.status == 200
    assert "qgsd_nested" not in json.dumps(dict(forged.headers))
