# SPDX-License-Identifier: GPL-2.0-or-later
"""One world for all tests: each leaves it whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import shared_root
from tests.network import hosts
from tests.network.world import World, new_world

__all__ = ["shared_root"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[World]:
    if missing := hosts.not_permitted():
        pytest.skip(missing)
    with new_world(tmp_path_factory.mktemp("world"), shared_root) as made:
        yield made
