# SPDX-License-Identifier: GPL-2.0-or-later
"""A project's file is deleted, replaced and overwritten while clients ask for it.

Its answers are the old or the new ones or 404, never something between.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from tests.chaos.fault import Target
from tests.integration.instance import Answer, ows_path
from tests.waiting import wait_for

_TITLES = ("World", "Other World")
_CAPABILITIES = ows_path("victim", SERVICE="WMS", REQUEST="GetCapabilities")


def _texts(projects: Path) -> list[str]:
    text = (projects / "world.qgs").read_text()
    return [text.replace(">World</WMSServiceTitle>", f">{title}</WMSServiceTitle>") for title in _TITLES]


class _Watcher:
    """A client in a loop; `wrong` is every answer that is neither old nor new nor 404."""

    def __init__(self, ask: Callable[[], Answer], allowed: set[bytes]) -> None:
        self._ask, self._allowed = ask, allowed
        self._stop = threading.Event()
        self.answers = 0
        self.wrong: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            answer = self._ask()
            self.answers += 1
            if answer.status != 404 and (answer.status, answer.body in self._allowed) != (200, True):
                self.wrong.append(f"{answer.status}: {answer.text[:300]}")

    def end(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert self.answers, "nobody has asked for the project"
        assert not self.wrong, f"{len(self.wrong)} of {self.answers} are wrong: {self.wrong[:3]}"


def watch(target: Target) -> None:
    """Learn both answers, then let a client watch the project.

    A file that is gone is noticed within a second or two; until then it is served as it was.
    """
    project = target.projects / "victim.qgs"
    bodies = set()
    for title, text in reversed(list(zip(_TITLES, _texts(target.projects), strict=True))):
        project.write_text(text)
        wait_for("it is served", lambda title=title: f"<Title>{title}</Title>" in _ask(target).text)
        bodies.add(_ask(target).body)
    assert len(bodies) == len(_TITLES)
    watcher = _Watcher(lambda: _ask(target), bodies)
    target.stack.callback(_converges, target, project)
    target.stack.callback(watcher.end)


def _ask(target: Target) -> Answer:
    return target.instance.get(_CAPABILITIES)


def replace(target: Target) -> None:
    """By one of the ways in which people upload files."""
    project = target.projects / "victim.qgs"
    text = target.random.choice(_texts(target.projects))
    way = target.random.choice([_rename, _overwrite, _delete])
    way(project, text, target)


def _rename(project: Path, text: str, _: Target) -> None:
    new = project.with_suffix(".new")
    new.write_text(text)
    os.replace(new, project)


def _overwrite(project: Path, text: str, target: Target) -> None:
    """Truncated and written in place, with somebody looking at the half of it."""
    cut = target.random.randrange(len(text))
    with project.open("w") as file:
        file.write(text[:cut])
        file.flush()
        assert _ask(target).status in (200, 404)
        file.write(text[cut:])


def _delete(project: Path, text: str, target: Target) -> None:
    project.unlink(missing_ok=True)
    assert _ask(target).status in (200, 404)
    project.write_text(text)


def _converges(target: Target, project: Path) -> None:
    """At the end all workers serve what is there."""
    project.write_text(_texts(target.projects)[1])
    wanted = f"<Title>{_TITLES[1]}</Title>"
    wait_for("the last version", lambda: all(wanted in _ask(target).text for _ in range(8)))
