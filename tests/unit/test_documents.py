# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written down agrees with the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from qgsd.config import render
from qgsd.control.commands import COMMANDS
from tests.documents import expected

ROOT = Path(__file__).parents[2]


def test_the_shipped_configuration_is_the_declared_one() -> None:
    assert (ROOT / "etc" / "qgsd.ini").read_text() == render.ini(), "run: scripts/docs"


@pytest.mark.parametrize("path", expected(), ids=lambda path: path.name)
def test_documents_made_from_declarations_are_current(path: Path) -> None:
    assert path.read_text() == expected()[path], "run: scripts/docs"


# What the shared facts list of py-qgis-server 1.9, beside options and variables.
RIVALS = """
--debug --config --version --port --bind --workers --setuid --rootdir --proxy --proxy-host --identity --host
/ping /ows/ /wfs3 /ogcapi /status/config /status/env /status/versions /status/stats
/pool /pool/restart /cache /cache/content/<key> /plugins/[name]
MAP X-Qgis-Project QGIS_PROJECT_FILE If-None-Match X-Request-Id X-Debug-Id X-Forwarded-Url
X-Qgis-Forwarded-Url X-Forwarded-Host Forwarded
Server X-Map-Id Last-Modified Etag Access-Control-* Vary Allow X-Server-Status no-store
304 400 403 404 405 422 500 502 504
py_qgis_server.monitors py_qgis_server.cache.observers py_qgis_server.access_policy
qgssrv_contrib_protocol_handler @3liz.org/config-service;1 @3liz.org/cache-manager;1
@3liz.org/cache/protocol-handler;1?scheme= serverClassFactory _is_py_qgis_server .update-manifest
QGSRV_MONITOR_TAG_* AMQP_GLOBAL_TAG_* AMQPPASSFILE PY_QGIS_SERVER_REQUEST_LOG QGIS_OPTIONS_PATH QGIS3_HOME
QGIS3_PLUGINPATH
"""


@pytest.mark.parametrize("name", RIVALS.split())
def test_the_migration_table_has_a_row_for_everything(name: str) -> None:
    rows = [
        line for line in (ROOT / "docs" / "migrating.md").read_text().splitlines() if line.startswith("|")
    ]
    assert any(name in row for row in rows)


def test_every_test_that_guards_fork_safety_exists() -> None:
    text = (ROOT / "docs" / "fork-safety.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "tests" / "integration").glob("test_*.py"))
    named = re.findall(r"`(test_[a-z_]+)`", text)
    assert len(named) > 5
    assert [name for name in named if f"def {name}(" not in code] == []


@pytest.mark.parametrize(
    "document",
    ["README.md", "docs/architecture.md", "CONTRIBUTING.md", "docs/fork-safety.md", "docs/metrics.md"],
)
def test_paths_named_in_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    for name in re.findall(r"`((?:qgsd|worker|proxy|master|control|config|admin|tests)/[\w/.]+\.py)`", text):
        assert (ROOT / name).exists() or (ROOT / "qgsd" / name).exists(), name


def test_commands_named_in_the_readme_exist() -> None:
    named = set(re.findall(r"^\$? ?qgsdctl (\w[\w-]*)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)


def test_the_master_stays_empty() -> None:
    """Neither QGIS nor a web framework may come into the process that must not fail."""
    names = "('qgis', 'tornado.web', 'rich', 'prometheus_client')"
    script = f"import qgsd.master.main, sys; print([m for m in {names} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
