# SPDX-License-Identifier: GPL-2.0-or-later
"""Real instances for the tests: started as a user would, and gone after, also when a test fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.integration import silence
from tests.integration.browser import CHROMIUM, Visitor, chromium
from tests.integration.instance import Daemon, Instance
from tests.integration.management import ON, TOKEN

WORLD = Path(__file__).parents[2] / "examples" / "world"


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    """A root folder of its own with the bundled example in it."""
    root = tmp_path / "projects"
    shutil.copytree(WORLD, root, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return root


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """Start instances by their command line; each is stopped, and nothing may be left of it."""
    started: list[Instance] = []

    def start(
        *arguments: str,
        command: str = "run",
        wait: bool = True,
        folder: Path | None = None,
        **options: object,
    ) -> Instance:
        kind = Daemon if command == "start" else Instance
        instance = kind(folder or tmp_path / f"i{len(started)}", command, arguments, **options)
        started.append(instance)
        if wait:
            instance.wait_serving()
        return instance

    yield start
    left = [line for instance in reversed(started) for line in instance.end()]
    assert not left, f"left behind: {left}"


@pytest.fixture
def silent_database() -> Iterator[int]:
    """A port where connections are accepted and nothing is ever said."""
    with silence.silent_database() as port:
        yield port


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared") / "projects"
    shutil.copytree(WORLD, root, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    """One instance for the tests of a file that only ask it."""
    instance = Instance(tmp_path_factory.mktemp("q") / "i", "run", ("--rootdir", str(shared_root)))
    with instance:
        yield instance


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    """One instance with a management port and a token."""
    folder = tmp_path_factory.mktemp("q")
    (folder / "token").write_text(f"{TOKEN}\n")
    arguments = ("--rootdir", str(shared_root), *ON, "--set", f"management.token_file={folder / 'token'}")
    instance = Instance(folder / "i", "run", arguments)
    with instance:
        yield instance


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a file."""
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not installed")
    with chromium() as started:
        yield started


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Opens pages; in the end none may have asked another host, nor complained of anything."""
    visitor = Visitor(browser)
    yield visitor
    visitor.leave()
    assert visitor.strangers() == []
    assert visitor.said == []
