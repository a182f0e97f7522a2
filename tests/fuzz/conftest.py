# SPDX-License-Identifier: GPL-2.0-or-later
"""An instance that is fuzzed, and that nothing may have happened to in the end."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import shared_root as shared_root
from tests.integration.instance import Instance
from tests.waiting import wait_for

SEED = int(os.environ.get("FUZZ_SEED", "0")) or random.SystemRandom().randrange(2**32)
# client_timeout: damaged requests often lack their end.
# memory: what is kept would look like growth until it is at its bound.
_CONFIG = (
    "[server]\nworkers=2\nclient_timeout=0.3\ntimeout=10\nmax_body_size=64K\n"
    "[answers]\nmemory=1M\n[logging]\nlevel=INFO\n"
)
_GROWTH = 12 << 20


class Watched:
    """The long-living processes of an instance: alive, the same, and of what size they are."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._pids = self._find()
        self._before = self.sizes()

    def _find(self) -> dict[str, int]:
        rows = self.instance.ctl_json("ps")
        return {row["role"]: row["pid"] for row in rows if row["role"] != "worker"}

    def sizes(self) -> dict[str, int]:
        rows = self.instance.ctl_json("ps")
        return {row["role"]: row["rss"] for row in rows if row["role"] != "worker"}

    def settled(self) -> None:
        """What a process takes until everything has happened once is no growth: from here on it is."""
        self._before = self.sizes()

    def judge(self) -> dict[str, int]:
        """Whether all live and are of the size they were. By how many bytes each has grown."""
        wait_for("it serves", lambda: self.instance.get("/readyz").status == 200)
        assert self._find() == self._pids, (
            f"seed {SEED}: a child has died\n{self.instance.ctl('events').stdout}"
        )
        now = self.sizes()
        grown = {role: size - self._before[role] for role, size in now.items()}
        assert all(size < _GROWTH for size in grown.values()), f"seed {SEED}: {grown}"
        return grown


def in_kib(grown: dict[str, int]) -> str:
    """For people."""
    return ", ".join(f"{role} {size >> 10} KiB" for role, size in grown.items())


@pytest.fixture
def fuzzed(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    instance = Instance(
        tmp_path_factory.mktemp("q") / "i", "run", ("--rootdir", str(shared_root)), config=_CONFIG
    )
    with instance:
        yield instance
