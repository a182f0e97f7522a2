# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs about projects: the dispatcher carries them out, see `project_orders`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgsd import messages
from qgsd.channel import ChannelClosed
from qgsd.config import ConfigError
from qgsd.control.operations import Progress, Refused
from qgsd.control.records import ProjectRecord, QueueRecord, ReloadRecord
from qgsd.extensions import store_schemes
from qgsd.location import LocationError, Rules
from qgsd.master import awaited
from qgsd.master.looking import Looking
from qgsd.master.project_orders import Verb

logger = logging.getLogger("qgsd.master")


class ProjectOperations(Looking):
    """Lists projects and has them loaded, closed, pinned and held."""

    async def projects(self) -> list[ProjectRecord]:
        self._refuse_without_queue()
        orders = self.supervisor.orders
        listing = orders.begin_list()
        try:
            await self._wait(lambda: orders.advance(listing), _tell_nobody, dict)
        finally:
            orders.end(listing)
        return sorted(map(_record, listing.items), key=lambda record: record.project)

    async def queue(self) -> list[QueueRecord]:
        self._refuse_without_queue()
        orders = self.supervisor.orders
        listing = orders.begin_queue()
        try:
            await self._wait(lambda: orders.advance(listing), _tell_nobody, dict)
        finally:
            orders.end(listing)
        return [
            QueueRecord(line.project, line.waiting, line.running, line.oldest, line.nested)
            for line in listing.items
        ]

    async def reload_projects(
        self, project: str | None, *, wait: bool, progress: Progress
    ) -> list[ReloadRecord]:
        """Take over what has changed: of one project, or of all that are open."""
        if not self.supervisor.instance.has_http:
            # The projects belong to the proxy's queue; these workers tell it what they find.
            for record in self.supervisor.children.ready("worker"):
                _look_again(record.channel.send, record.name)
            return []
        key = self._key(project) if project else ""
        done = await self._order("reload", key, wait=wait, progress=progress)
        return [ReloadRecord(one.project, one.status, one.error or None) for one in done]  # type: ignore[arg-type]

    async def load_project(self, project: str, *, wait: bool, progress: Progress) -> dict[str, Any]:
        (done, *_) = [*await self._order("load", self._key(project), wait=wait, progress=progress), None]
        if done is not None and done.status != "loaded":
            code = "no_project" if done.status == "gone" else "not_loaded"
            raise Refused(code, f"{done.project} is not loaded: {done.error}")
        return {"project": project, "status": "loaded" if done else "accepted"}

    async def evict_project(self, project: str, *, wait: bool, progress: Progress) -> dict[str, Any]:
        done = await self._order("evict", self._key(project), wait=wait, progress=progress)
        if wait and not done:
            raise Refused("not_open", f"no worker has '{project}' open; see `projects`")
        return {"project": project, "status": "closed" if wait else "accepted"}

    async def pin_project(self, project: str, *, pin: bool, wait: bool, progress: Progress) -> dict[str, Any]:
        """Keep it open in a worker whatever else is asked for, or no longer."""
        self._refuse_without_queue()
        key = self._key(project)
        self.supervisor.orders.keep("pinned", key, add=pin)
        done = "pinned" if pin else "unpinned"
        what = f"{key} is kept open from now on" if pin else f"{key} may be closed again"
        self.supervisor.events.add(f"project.{done}", what, {"project": key})
        if pin:
            await self.load_project(key, wait=wait, progress=progress)
        return {"project": project, "status": done}

    async def hold_project(self, project: str, *, wait: bool, progress: Progress) -> dict[str, Any]:
        """Have all workers close it and its files, and let requests for it wait, until `release_project`."""
        self._refuse_without_queue()
        key = self._key(project)
        self.supervisor.orders.keep("held", key, add=True)
        self.supervisor.events.add("project.held", f"{key} is on hold", {"project": key})
        await self._order("hold", key, wait=wait, progress=progress)
        return {"project": project, "status": "held"}

    async def release_project(self, project: str, *, wait: bool, progress: Progress) -> dict[str, Any]:
        self._refuse_without_queue()
        key = self._key(project)
        self.supervisor.orders.keep("held", key, add=False)
        self.supervisor.events.add("project.released", f"{key} is served again", {"project": key})
        await self._order("release", key, wait=wait, progress=progress)
        return {"project": project, "status": "released"}

    async def purge(self, project: str | None, *, wait: bool, progress: Progress) -> dict[str, Any]:
        """Answer no more from what is kept of a project, or of all."""
        key = self._key(project) if project else ""
        done = await self._order("purge", key, wait=wait, progress=progress)
        names = [one.project for one in done]
        self.supervisor.events.add("answers.purged", f"kept answers are dropped: {project or 'all'}", {})
        return {"projects": names, "status": "purged" if wait else "accepted"}

    def _key(self, project: str) -> str:
        try:
            return self._rules().locate(project).key
        except LocationError as error:
            raise Refused("bad_project", f"'{project}': {error.message}") from error

    def _rules(self) -> Rules:
        return Rules.of(self.supervisor.settings, store_schemes())

    def preload(self) -> None:
        """Pin what the configuration names. Raises `Refused` when its file cannot be read."""
        path = self.supervisor.settings.cache.preload_config
        if path and self.supervisor.instance.has_http:
            try:
                self.supervisor.orders.preload(preload_list(Path(path), self._rules()))
            except ConfigError as error:
                raise Refused("bad_config", str(error)) from error

    async def _order(
        self, verb: Verb, project: str, *, wait: bool, progress: Progress
    ) -> list[messages.ProjectDone]:
        self._refuse_without_queue()
        orders = self.supervisor.orders
        order = orders.begin(verb, project)
        try:
            await self._wait(
                lambda: orders.advance(order) or (not wait and order.to >= 0),
                progress,
                lambda: awaited.projects(order.waiting, len(order.done)),
            )
        finally:
            orders.end(order)
        return sorted(order.done, key=lambda done: done.project) if wait else []

    # Waiting.

    def _refuse_without_queue(self) -> None:
        self._refuse_while_stopping()
        if not self.supervisor.instance.has_http:
            raise Refused("no_queue_here", "these are workers of a proxy; ask the proxy about projects")

    def _refuse_while_stopping(self) -> None:
        if self.supervisor.stopping != "no":
            raise Refused("draining", "the instance is being stopped")

    async def _wait(
        self, reached: Callable[[], bool], progress: Progress, awaited: Callable[[], dict[str, Any]]
    ) -> None:
        """Until the effect is there, telling what is `awaited`; refuses when a stop comes in between."""
        told: dict[str, Any] = {}

        def arrived() -> bool:
            nonlocal told
            self._refuse_while_stopping()
            if reached():
                return True
            if (report := awaited()) != told:
                told = report
                progress(report)
            return False

        await self.supervisor.until(arrived)


def preload_list(path: Path, rules: Rules) -> list[str]:
    """The projects of a preload file: one a line as in MAP=, # begins a comment. Raises `ConfigError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"[cache] preload_config: {path} cannot be read: {reason}") from error
    keys = []
    for number, line in enumerate(lines, 1):
        name = line.partition("#")[0].strip()
        if name:
            try:
                keys.append(rules.locate(name).key)
            except LocationError as error:
                raise ConfigError(f"{path}, line {number}: '{name}': {error.message}") from error
    return keys


def _look_again(send: Callable[[messages.Order], None], name: str) -> None:
    try:
        send(messages.LookAgain())
    except ChannelClosed:
        logger.debug("%s has gone already", name)


def _record(state: messages.ProjectState) -> ProjectRecord:
    return ProjectRecord(
        project=state.project,
        generation=state.generation,
        workers=[int(label) if label.isdigit() else label for label in state.workers],
        load_ms=round(1000 * state.load_seconds, 1),
        status=state.status,
        error=state.error or None,
        memory=state.memory,
        requests=state.requests,
        hits=state.hits,
        loads=state.loads,
        evictions=state.evictions,
        pinned=state.pinned,
        held=state.held,
        last_load_ms=round(1000 * state.last_load_seconds, 1),
        load_seconds=round(state.total_load_seconds, 3),
    )


def _tell_nobody(progress: dict[str, Any]) -> None:
    """A list is there at once."""
