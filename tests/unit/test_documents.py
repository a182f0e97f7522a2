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

ROOT = Path(__file__).parents[2]


def test_the_shipped_configuration_is_the_declared_one() -> None:
    assert (ROOT / "etc" / "qgsd.ini").read_text() == render.ini(), "run: qgsd config > etc/qgsd.ini"


def test_every_test_that_guards_fork_safety_exists() -> None:
    text = (ROOT / "docs" / "fork-safety.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "tests" / "integration").glob("test_*.py"))
    named = re.findall(r"`(test_[a-z_]+)`", text)
    assert len(named) > 5
    assert [name for name in named if f"def {name}(" not in code] == []


@pytest.mark.parametrize(
    "document", ["README.md", "docs/architecture.md", "CONTRIBUTING.md", "docs/fork-safety.md"]
)
def test_paths_named_in_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    for name in re.findall(r"`((?:qgsd|worker|proxy|master|control|config|tests)/[\w/.]+\.py)`", text):
        assert (ROOT / name).exists() or (ROOT / "qgsd" / name).exists(), name


def test_commands_named_in_the_readme_exist() -> None:
    named = set(re.findall(r"^\$? ?qgsdctl (\w[\w-]*)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)


def test_the_master_stays_empty() -> None:
    """Neither QGIS nor a web framework may come into the process that must not fail."""
    names = "('qgis', 'tornado.web', 'rich')"
    script = f"import qgsd.master.main, sys; print([m for m in {names} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
