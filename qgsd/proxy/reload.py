# SPDX-License-Identifier: GPL-2.0-or-later
"""Reload as a transaction: prepare, commit, release.

One worker scouts: is what is there now another version, and does it load? If so, the others
that have the project open load it too, beside the old one, some at a time. When all are ready the
generation is raised: requests that arrive from now on run on the new version, those that arrived
before still on the old one, which is closed when the last of them has ended. If the new version
does not load, nothing changes. A worker that prepares does not serve; so workers in reserve prepare a project
that is slow to load, and serve it after the flip until the others have it too. Pure, as the scheduler
that uses it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from qgsd.proxy.decisions import Close, Decision, Done, Load, Loaded, Note
from qgsd.proxy.errands import Errands
from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.reserves import Reserves
from qgsd.proxy.roster import Roster

# So long workers in reserve are hoped for, and so many at most; none if loading takes no longer than this.
_RESERVE_PATIENCE = 2.0
_MOST_RESERVES = 4
_CHEAP = 0.1
# So many workers may be lost to the loading of a version before it counts as one that does not load.
_MAX_LOSSES = 2

Status = Literal["flipped", "unchanged", "kept-old"]


@dataclass(slots=True)
class Transaction:
    """One project on its way from a generation to the next.

    `reserves`: so many workers in reserve are to prepare instead of others, if they come until `patience`.
    `version` is what the scout has found. `tickets` want to hear the end; those in `later` came after
    the scout had looked and want another look. `noticed`: a worker has seen a change; `behind` are those
    that do not see it yet, for machines have copies of their own. `losses`: workers that loading has cost.
    """

    project: Project
    reserves: int = 0
    patience: float = 0.0
    version: str = ""
    todo: dict[bytes, None] = field(default_factory=dict)
    loading: set[bytes] = field(default_factory=set)
    ready: set[bytes] = field(default_factory=set)
    tickets: list[int] = field(default_factory=list)
    later: list[int] = field(default_factory=list)
    again: bool = False
    noticed: bool = False
    behind: set[bytes] = field(default_factory=set)
    losses: int = 0
    # The version that somebody has seen meanwhile, for nobody tells of a version twice.
    seen: str | None = None

    @property
    def target(self) -> int:
        return self.project.generation + 1

    @property
    def scouting(self) -> bool:
        return not self.version


class Reloads:
    """The transactions under way."""

    def __init__(self, projects: Projects, roster: Roster, errands: Errands) -> None:
        self._projects = projects
        self._errands = errands
        self._roster = roster
        self._reserves = Reserves(projects, roster)
        self._active: dict[str, Transaction] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._active

    @property
    def under_way(self) -> bool:
        """Some project is being prepared, for which workers have to be idle now and then."""
        return bool(self._active)

    @property
    def wants_workers(self) -> bool:
        """`start_some` may have something to do."""
        return bool(self._active) or self._reserves.some_needed

    # Beginning.

    def begin(
        self, project: Project, now: float, ticket: int | None = None, *, noticed: bool = False
    ) -> list[Decision]:
        """Look at the project, and take over what is there now if it is another version."""
        running = self._active.get(project.key)
        if running is not None:
            self._join(running, ticket)
            return []
        transaction = self._active[project.key] = Transaction(project, noticed=noticed)
        transaction.tickets = [] if ticket is None else [ticket]
        project.changing = True
        return self._call_up(transaction, now)

    def noticed(self, key: str, version: str) -> None:
        """Somebody has seen this version while a transaction is under way, which may have looked before."""
        self._active[key].seen = version

    @staticmethod
    def _join(running: Transaction, ticket: int | None) -> None:
        looked = bool(running.version or running.loading)
        running.again = running.again or looked
        if ticket is not None:
            (running.later if looked else running.tickets).append(ticket)

    def _call_up(self, transaction: Transaction, now: float) -> list[Decision]:
        project = transaction.project
        transaction.todo = dict.fromkeys(project.holders(project.generation))
        if not transaction.todo:
            return self._without_holders(transaction, now)
        transaction.reserves = self._reserves_for(project)
        if transaction.reserves:
            transaction.patience = now + _RESERVE_PATIENCE
            self._reserves.need(project.key, transaction.reserves, now)
        return []

    def _reserves_for(self, project: Project) -> int:
        """None where others can do it: what one of several workers has is prepared by another one."""
        usual = sum(not self._roster[worker].reserve for worker in project.copies)
        if project.load_seconds <= _CHEAP or (usual < 2 and self._roster.usual > 1):
            return 0
        return min(usual, _MOST_RESERVES)

    def _without_holders(self, transaction: Transaction, now: float) -> list[Decision]:
        """Nobody has it open: the next request loads what is there."""
        project = transaction.project
        project.generation, project.version = transaction.target, ""
        self._projects.touch(project.key)
        project.error, project.kept_old = "", False
        return self._end(transaction, "unchanged", "", now)

    # Preparing.

    def next_alarm(self) -> float:
        return self._reserves.next_alarm()

    def start_some(self, now: float) -> list[Decision]:
        """Have idle workers prepare, no more than half of them at a time."""
        decisions: list[Decision] = []
        pending = deque(self._active.values())
        while pending:
            transaction = pending.popleft()
            while not self._errands.bound_reached():
                worker = self._next_to_prepare(transaction, now)
                if worker is None:
                    break
                decisions.append(self._prepare(transaction, worker, now))
            decisions += self._commit_if_complete(transaction, now)
            following = self._active.get(transaction.project.key)
            if following is not None and following is not transaction:
                pending.append(following)
        return [*decisions, *self._reserves.due(now)]

    def _next_to_prepare(self, transaction: Transaction, now: float) -> bytes | None:
        if transaction.scouting and transaction.loading:
            return None
        if transaction.reserves:
            if len(transaction.ready) + len(transaction.loading) >= transaction.reserves:
                transaction.todo.clear()
                return None
            if reserve := self._idle_reserve(transaction):
                return reserve
            if now < transaction.patience:
                return None
        holders = transaction.project.holders(transaction.project.generation)
        serving = [worker for worker in holders if worker not in transaction.loading]
        if len(serving) > 1:
            return next((worker for worker in transaction.todo if self._roster.is_idle(worker)), None)
        if transaction.loading:
            return None
        if transaction.ready:
            # The last one has to go on serving the old version; others have the new one.
            transaction.todo.clear()
            return None
        return self._substitute(transaction, now)

    def _idle_reserve(self, transaction: Transaction) -> bytes | None:
        taken = transaction.behind | transaction.ready
        idle = (worker for worker in self._roster.idle() if self._roster[worker].reserve)
        return next((worker for worker in idle if worker not in taken), None)

    def _substitute(self, transaction: Transaction, now: float) -> bytes | None:
        """Another prepares for the only worker that has the project open; without any it does so itself."""
        taken = transaction.behind.union(transaction.project.copies)
        others = [worker for worker in self._roster.idle() if worker not in taken]
        if others:
            return others[0]
        alone = (len(self._roster) == 1 and now >= transaction.patience) or bool(transaction.behind)
        only = next(iter(transaction.todo), None)
        return only if alone and only is not None and self._roster.is_idle(only) else None

    def _prepare(self, transaction: Transaction, worker: bytes, now: float) -> Load:
        project = transaction.project
        transaction.todo.pop(worker, None)
        transaction.loading.add(worker)
        self._roster.begin_errand(worker, project.key, now, project.load_seconds)
        self._projects.loading(project, now)
        return Load(worker, project.key, transaction.target, project.version)

    def prepared(self, worker: bytes, loaded: Loaded, now: float) -> list[Decision] | None:
        """A worker tells what became of its part; None when it was no part of a transaction."""
        transaction = self._active.get(loaded.key)
        if transaction is None or worker not in transaction.loading:
            return None
        transaction.loading.discard(worker)
        news = bool(transaction.version) or self._others_may_see(transaction, worker)
        if loaded.outcome == "unchanged" and news:
            # Its machine is behind: it will load the new version when it has come.
            transaction.behind.add(worker)
            return self._commit_if_complete(transaction, now)
        if transaction.scouting or loaded.version != transaction.version:
            return self._scouted(transaction, worker, loaded, now)
        if loaded.outcome == "loaded":
            transaction.ready.add(worker)
        return self._commit_if_complete(transaction, now)

    @staticmethod
    def _others_may_see(transaction: Transaction, worker: bytes) -> bool:
        """Somebody has seen a change, though not this one."""
        holders = transaction.project.holders(transaction.project.generation)
        return transaction.noticed and bool(set(holders) - transaction.behind - {worker})

    def _scouted(self, transaction: Transaction, worker: bytes, loaded: Loaded, now: float) -> list[Decision]:
        match loaded.outcome:
            case "unchanged":
                transaction.project.error, transaction.project.kept_old = "", False
                return self._end(transaction, "unchanged", "", now)
            case "away":
                return self._end(transaction, "kept-old", loaded.error, now)
            case "failed":
                return self._abort(transaction, loaded.error, loaded.version, now)
            case "gone":
                return self._commit(transaction, now, gone=True)
        # Changed once more while the others prepared: they have to load again.
        transaction.todo |= dict.fromkeys(transaction.ready)
        transaction.ready = {worker}
        transaction.version = loaded.version
        return self._commit_if_complete(transaction, now)

    # Ending.

    def _commit_if_complete(self, transaction: Transaction, now: float) -> list[Decision]:
        if transaction.todo or transaction.loading or transaction.scouting:
            return []
        return self._commit(transaction, now)

    def _commit(self, transaction: Transaction, now: float, *, gone: bool = False) -> list[Decision]:
        project = transaction.project
        project.generation = transaction.target
        self._projects.touch(project.key)
        project.version = "" if gone else transaction.version
        project.error, project.kept_old, project.status = "", False, "ok"
        message = f"{project.key} is gone" if gone else f"{project.key} has a new version"
        flipped = Note("project.flipped", project.key, message)
        end = self._end(transaction, "flipped", "the project is gone" if gone else "", now)
        if not gone:
            self._hand_over(transaction, now)
        return [flipped, *end, *self.release_old(project)]

    def _hand_over(self, transaction: Transaction, now: float) -> None:
        """Should only workers in reserve have prepared, the others shall have it before those go."""
        by_reserve = any(self._roster[worker].reserve for worker in transaction.ready)
        key, count = transaction.project.key, transaction.reserves if by_reserve else 1
        self._errands.want(key, copies=count, starts=count)
        if by_reserve and key not in self._active:
            self._reserves.hand_over(key, count, now)

    def _abort(self, transaction: Transaction, error: str, version: str, now: float) -> list[Decision]:
        project = transaction.project
        project.error, project.kept_old, project.broken_version = error, True, version
        message = f"{project.key} does not load any more, the old version stays: {error}"
        closed: list[Decision] = [
            Close(worker, project.key, project.generation) for worker in transaction.ready
        ]
        for worker in transaction.ready:
            self._projects.closed(worker, project.key, transaction.target)
        end = self._end(transaction, "kept-old", error, now)
        return [Note("project.broken", project.key, message), *closed, *end]

    def cancel(self, project: Project) -> list[Decision]:
        """The project is closed; what loads it now is told so when it has done."""
        transaction = self._active.get(project.key)
        if transaction is None:
            return []
        transaction.tickets += transaction.later
        transaction.again, transaction.later, transaction.seen = False, [], None
        return self._end(transaction, "kept-old", "it was closed meanwhile", 0.0)

    def _end(self, transaction: Transaction, status: Status, error: str, now: float) -> list[Decision]:
        project = transaction.project
        del self._active[project.key]
        self._reserves.drop(project.key)
        project.changing = False
        decisions: list[Decision] = [
            Done(ticket, project.key, status, error) for ticket in transaction.tickets
        ]
        concluded = project.broken_version if status == "kept-old" else project.version
        if transaction.again or transaction.seen not in (None, concluded):
            decisions += self.begin(project, now)
            for ticket in transaction.later:
                decisions += self.begin(project, now, ticket)
        return decisions

    def release_old(self, project: Project) -> list[Decision]:
        """Close what no request is stamped with any more."""
        if any(count and generation < project.generation for generation, count in project.stamped.items()):
            return []
        decisions: list[Decision] = []
        for worker, generations in list(project.copies.items()):
            old = [generation for generation in generations if generation < project.generation]
            if old:
                decisions.append(Close(worker, project.key, project.generation))
            for generation in old:
                self._projects.closed(worker, project.key, generation)
        return decisions

    # Workers that go.

    def worker_gone(self, worker: bytes, now: float, reason: str = "") -> list[Decision]:
        """`reason`: what it did itself to die, empty when it was ended by somebody or left.

        QGIS may crash once; what ends, or holds up, a second worker does not load.
        """
        decisions: list[Decision] = []
        for transaction in list(self._active.values()):
            preparing = worker in transaction.loading
            transaction.todo.pop(worker, None)
            transaction.loading.discard(worker)
            transaction.ready.discard(worker)
            transaction.losses += preparing and bool(reason)
            if preparing and reason and transaction.losses >= _MAX_LOSSES:
                error = f"it ends the workers that load it: {reason}"
                decisions += self._abort(transaction, error, transaction.version, now)
            elif not (transaction.todo or transaction.loading or transaction.ready):
                decisions += self._call_up(transaction, now)
            else:
                decisions += self._commit_if_complete(transaction, now)
        return decisions
