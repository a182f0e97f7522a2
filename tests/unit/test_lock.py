# SPDX-License-Identifier: GPL-2.0-or-later
"""requirements/ pins what pyproject.toml asks for; `scripts/lock` makes it do so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = {
    "run": PROJECT["dependencies"],
    "test": [one for extra in ("test", "docs", "otel") for one in PROJECT["optional-dependencies"][extra]],
    "release": PROJECT["dependencies"] + PROJECT["optional-dependencies"]["release"],
}


def pinned(name: str) -> dict[str, Version]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    found = re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", text)
    return {canonicalize_name(package): Version(version) for package, version in found}


@pytest.mark.parametrize("name", WANTED)
def test_what_is_wanted_is_pinned(name: str) -> None:
    pins = pinned(name)
    for requirement in map(Requirement, WANTED[name]):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in requirements/{name}.txt: run scripts/lock"
        assert version in requirement.specifier, f"{requirement} but {version}: run scripts/lock"


@pytest.mark.parametrize("name", WANTED)
def test_every_file_is_known_by_its_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    for entry in re.split(r"(?m)^(?=[\w.-]+==)", text)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
    assert "://" not in text, "a lock names no registry"


def test_the_locks_agree() -> None:
    assert pinned("run").items() <= pinned("test").items()
    assert pinned("run").items() <= pinned("release").items()
