# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects for any history: workers beside the scheduler really hold versions, a disk really changes.

What a client is promised: it is served the version that was in service when its request arrived, or a
later one if that is nowhere any more; never an older one, and never two at a time.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from qgsd.proxy.decisions import (
    Arrival,
    Close,
    Decision,
    Dispatch,
    Done,
    Fail,
    Limits,
    Load,
    Loaded,
    Release,
)
from qgsd.proxy.scheduler import Scheduler
from qgsd.proxy.served import Changes, Served

KEYS = ("a", "b", "c")
LIMITS = Limits(max_queue=1000, queue_timeout=1e6, worker_grace=1e6, breaker_timeouts=0, cache_size=2)
BROKEN = "broken"

Task = Dispatch | Load | Close


@dataclasses.dataclass
class Listener:
    """An http child: what it has heard of the projects, up to which serial."""

    serial: int = 0
    projects: Changes = dataclasses.field(default_factory=dict)

    def hear(self, serial: int, changes: Changes) -> None:
        self.serial = serial
        self.projects |= changes

    def stamp(self, key: str, serial: int) -> int:
        return self.projects.get(key, (0, 0, ""))[1] if serial == self.serial else 0


@dataclasses.dataclass
class Worker:
    """As a real one: it does what it is told, one thing after the other."""

    inbox: list[Task] = dataclasses.field(default_factory=list)
    copies: OrderedDict[str, dict[int, str]] = dataclasses.field(default_factory=OrderedDict)

    def busy(self) -> bool:
        return any(isinstance(task, Dispatch | Load) for task in self.inbox)


class ProjectsHistory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(LIMITS, 0.0)
        self.now = 0.0
        self.workers: dict[bytes, Worker] = {}
        self.names = self.tickets = self.requests = self.versions = 0
        # What is stored, its earlier versions included, the latest last; None when it is gone.
        self.disk: dict[str, str | None] = dict.fromkeys(KEYS, "v0")
        self.age: dict[str, int] = {"v0": 0}
        # For each request its project, and the age of the version in service when it came.
        self.arrived: dict[str, tuple[str, int]] = {}
        self.due: dict[int, set[str]] = {}
        self.held: set[str] = set()
        # Http children keep answers by project and stamp: one hears all at once, one hears late.
        self.served = Served(1)
        self.prompt, self.late = Listener(1), Listener(1)
        self.unheard: list[tuple[int, Changes]] = []
        self.kept: dict[tuple[str, int], str] = {}

    # What the scheduler decides is done to the workers.

    def take(self, decisions: list[Decision]) -> None:
        if changes := self.served.changes(self.scheduler.keeper.projects):
            self.prompt.hear(self.served.serial, changes)
            self.unheard.append((self.served.serial, changes))
        for decision in decisions:
            match decision:
                case Dispatch() | Load() as task:
                    worker = self.workers[task.worker]
                    assert not worker.busy(), "two things at a time"
                    if isinstance(task, Dispatch):
                        assert self.arrived[task.id][0] not in self.held, "run although on hold"
                    worker.inbox.append(task)
                case Close() as task:
                    self.workers[task.worker].inbox.append(task)
                case Done(ticket, key):
                    self.due[ticket].remove(key)
                case Release(name):
                    del self.workers[name]
                case Fail(id=id):
                    raise AssertionError(f"{id} failed: {decision}")

    def tick(self) -> None:
        self.now += 0.01
        self.take(self.scheduler.tick(self.now))

    # What workers do.

    def step(self, name: bytes) -> None:
        worker = self.workers[name]
        task = worker.inbox.pop(0)
        match task:
            case Close(key=key, keep=keep):
                copies = worker.copies.get(key, {})
                for generation in [g for g in copies if g != keep]:
                    del copies[generation]
                if not copies:
                    worker.copies.pop(key, None)
                self.take(self.scheduler.closed(name, key, keep))
            case Load(key=key, generation=generation, unless=unless, version=wanted):
                if wanted and self.disk[key] != wanted:
                    told = Loaded(key, generation, "other", self.disk[key] or "")
                    self.take(self.scheduler.loaded(name, told, self.now))
                elif self.disk[key] is not None and self.disk[key] == unless:
                    self.take(
                        self.scheduler.loaded(name, Loaded(key, generation, "unchanged", unless), self.now)
                    )
                else:
                    self.load(name, worker, key, generation)
            case Dispatch():
                self.run_request(name, worker, task)

    def load(self, name: bytes, worker: Worker, key: str, generation: int) -> None:
        found = self.disk[key]
        outcome = "gone" if found is None else "failed" if found.startswith(BROKEN) else "loaded"
        if outcome == "loaded":
            assert found is not None
            worker.copies.setdefault(key, {})[generation] = found
            worker.copies.move_to_end(key)
        # For what takes long to load, workers in reserve are wanted.
        seconds = 0.5 if key == "a" else 0.05
        told = Loaded(key, generation, outcome, found or "", seconds)  # type: ignore[arg-type]
        self.take(self.scheduler.loaded(name, told, self.now))
        while len(worker.copies) > LIMITS.cache_size and name in self.workers:
            closed, _ = worker.copies.popitem(last=False)
            self.take(self.scheduler.closed(name, closed, 0))

    def run_request(self, name: bytes, worker: Worker, task: Dispatch) -> None:
        key, floor = self.arrived[task.id]
        found = self.disk[key]
        if task.generation not in worker.copies.get(key, {}):
            if task.version and found != task.version:
                self.take(self.scheduler.superseded(name, task.id, found or "", self.now))
                return
            self.load(name, worker, key, task.generation)
        version = worker.copies.get(key, {}).get(task.generation)
        if version is not None:
            worker.copies.move_to_end(key)
            assert self.age[version] >= floor, "an older version than one that was in service on arrival"
            self.keep(key, task.generation, version)
        self.take(self.scheduler.finished(name, task.id, self.now))

    def keep(self, key: str, generation: int, version: str) -> None:
        """An http child keeps the answer, if it is of what is served."""
        known, stamp, served = self.prompt.projects.get(key, (0, 0, ""))
        if stamp and (known, served) == (generation, version):
            assert self.kept.setdefault((key, stamp), version) == version, "two versions under one stamp"

    def answer_from_what_is_kept(self, key: str, floor: int) -> None:
        for listener in (self.prompt, self.late):
            stamp = listener.stamp(key, self.served.serial)
            version = self.kept.get((key, stamp)) if stamp else None
            if version is not None:
                assert self.age[version] >= floor, "an older version than the one in service"
                assert key not in self.held

    # What happens.

    @precondition(lambda self: self.unheard)
    @rule()
    def hear(self) -> None:
        self.late.hear(*self.unheard.pop(0))

    @rule(key=st.sampled_from(KEYS))
    def ask(self, key: str) -> None:
        self.requests += 1
        id = f"r{self.requests}"
        project = self.scheduler.keeper.projects.get(key)
        floor = self.age.get(project.version, 0) if project else 0
        self.arrived[id] = (key, floor)
        self.answer_from_what_is_kept(key, floor)
        self.take(self.scheduler.arrived(Arrival(id, b"http", key, True, 1e6, fingerprint=id), self.now))

    @precondition(lambda self: any(worker.inbox for worker in self.workers.values()))
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        self.tick()
        self.step(data.draw(st.sampled_from([n for n, w in self.workers.items() if w.inbox])))

    @rule(key=st.sampled_from(KEYS), what=st.sampled_from(["new", "new", BROKEN, "gone"]))
    def store(self, key: str, what: str) -> None:
        self.versions += 1
        version = f"{BROKEN if what == BROKEN else 'v'}{self.versions}"
        self.age[version] = self.versions
        self.disk[key] = None if what == "gone" else version

    @rule(key=st.sampled_from(KEYS))
    def notice(self, key: str) -> None:
        self.take(self.scheduler.changed(key, self.disk[key] or "", self.now))

    @rule(
        verb=st.sampled_from(["reload", "load", "evict", "hold", "release", "purge"]),
        key=st.sampled_from(KEYS),
    )
    def order(self, verb: str, key: str) -> None:
        self.tickets += 1
        if verb == "release":
            self.held.discard(key)
        keys, decisions = self.scheduler.order(self.tickets, verb, key, self.now)  # type: ignore[arg-type]
        if verb == "hold":
            self.held.add(key)
        self.due[self.tickets] = set(keys)
        self.take(decisions)
        if verb in ("purge", "evict", "hold"):
            for listener in (self.prompt, self.late):
                assert (key, listener.stamp(key, self.served.serial)) not in self.kept, "it is still in use"

    @rule()
    def reload_all(self) -> None:
        self.tickets += 1
        keys, decisions = self.scheduler.order(self.tickets, "reload", "", self.now)
        self.due[self.tickets] = set(keys)
        self.take(decisions)

    @rule(pinned=st.sets(st.sampled_from(KEYS)))
    def pin(self, pinned: set[str]) -> None:
        self.take(self.scheduler.wanted(sorted(pinned), sorted(self.held), self.now))

    @precondition(lambda self: len(self.workers) < 4)
    @rule(reserve=st.booleans())
    def join(self, reserve: bool) -> None:
        self.names += 1
        name = b"w%d" % self.names
        self.workers[name] = Worker()
        self.take(self.scheduler.joined(name, self.now, reserve=reserve))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), fault=st.booleans())
    def die(self, data: st.DataObject, fault: bool) -> None:
        name = data.draw(st.sampled_from(list(self.workers)))
        if any(isinstance(task, Dispatch) for task in self.workers[name].inbox):
            # What a crash does to a request is another history's matter.
            return
        del self.workers[name]
        self.take(self.scheduler.lost(name, self.now, "killed", own_fault=fault))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.take(self.scheduler.leaving(data.draw(st.sampled_from(list(self.workers))), self.now))

    # What always holds.

    @invariant()
    def a_version_in_service_is_one_version(self) -> None:
        """Of one generation of a project all workers have the same content, unless nobody has told yet."""
        for project in self.scheduler.keeper.projects.all():
            if project.changing or not project.version:
                continue
            served = {
                worker.copies[project.key][project.generation]
                for name, worker in self.workers.items()
                if project.generation in worker.copies.get(project.key, {}) and name in project.copies
            }
            assert served <= {project.version}, (project, served)

    def teardown(self) -> None:
        """Once everything that is under way has been done, nothing is owed and nothing is left over."""
        for key in list(self.held):
            self.order("release", key)
        self.join(False)
        for _ in range(3000):
            self.now += 1.0
            self.take(self.scheduler.tick(self.now))
            waiting = [name for name, worker in self.workers.items() if worker.inbox]
            if not waiting:
                break
            self.step(waiting[0])
        assert not self.scheduler.waiting, "requests are left over"
        assert {t: keys for t, keys in self.due.items() if keys} == {}, "orders were not answered"
        for project in self.scheduler.keeper.projects.all():
            assert not project.changing
            assert not project.loads_now
            assert not project.stamped
            held = {
                name: set(worker.copies[project.key])
                for name, worker in self.workers.items()
                if project.key in worker.copies
            }
            assert project.copies == held, (project, held)
            assert all(generations == {project.generation} for generations in held.values())


@pytest.mark.timeout(300)
def test_any_history_of_projects_keeps_the_promises() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        ProjectsHistory, settings=settings(max_examples=100, stateful_step_count=40, deadline=None)
    )
