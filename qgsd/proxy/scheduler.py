# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher's brain: which request goes to which worker, and when one is given up.

Pure: events and the time go in, decisions come out. It knows no socket, no clock
and no message; the dispatcher carries its decisions out. Every request that arrived
ends in exactly one of: its answer finished, `Fail`, `GiveBack`, or `Forget` (its client gone).

Here is what happens to a request: queued, begun, ended. Whether it is taken up at all is the
`admission`'s to say, how it is given up that of `endings`, whether it is tried again that of `losses`;
which one is next and where, the `matchmaker`'s; what workers load, and when a project changes, the
`keeper`'s; in which order all these have their turn after an event, that of `rounds`; what follows from a
worker's work being over, that of `vacating`.
"""

from __future__ import annotations

from collections.abc import Sequence

from qgsd.proxy.admission import Admission
from qgsd.proxy.backlog import Backlog
from qgsd.proxy.breaker import Breakers
from qgsd.proxy.decisions import (
    Arrival,
    Decision,
    Forget,
    GiveBack,
    Limits,
    Loaded,
    Release,
    Tripped,
)
from qgsd.proxy.endings import Endings, no_worker
from qgsd.proxy.flights import Job, Rider
from qgsd.proxy.keeper import Keeper, Verb
from qgsd.proxy.losses import Losses
from qgsd.proxy.matchmaker import Matchmaker
from qgsd.proxy.pauses import Pauses
from qgsd.proxy.prefetch import Prefetch
from qgsd.proxy.projects import Projects
from qgsd.proxy.quarantine import Quarantine
from qgsd.proxy.roster import Roster
from qgsd.proxy.rounds import Rounds
from qgsd.proxy.vacating import Vacating


class Scheduler:
    """See the module's text. `now` is seconds of any clock that does not go backwards."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.quarantine = Quarantine(limits.quarantine_size, limits.quarantine_ttl)
        self._breakers = Breakers(limits.breaker_timeouts, limits.breaker_pause)
        self._projects = Projects()
        self._roster = Roster()
        self._backlog = Backlog(self._projects)
        self.keeper = Keeper(self._projects, self._roster, limits)
        self._matchmaker = Matchmaker(
            self._backlog, self._roster, self._projects, self.keeper.errands, limits
        )
        self._prefetch = Prefetch(self._backlog, self._roster, self._projects, self._matchmaker)
        self.pauses = Pauses(self._backlog)
        self._endings = Endings(self._backlog, self._roster, self._projects, self._breakers, self.pauses)
        self._losses = Losses(self._backlog, self.quarantine, self._endings)
        self._admission = Admission(
            self._backlog, self._roster, self._matchmaker, self.quarantine, self._breakers, limits
        )
        self._rounds = Rounds(
            self._backlog,
            self._roster,
            self._projects,
            self.keeper,
            self._matchmaker,
            self._prefetch,
            self._endings,
            limits,
            now,
        )
        self._vacating = Vacating(
            self._backlog, self._roster, self._matchmaker, self._prefetch, self._endings, limits, now
        )
        self.limit(limits)
        # Requests that shared the answer of another one.
        self.coalesced = 0

    def limit(self, limits: Limits) -> None:
        """Other bounds from now on."""
        self.limits = self.keeper.limits = self._matchmaker.limits = limits
        self._admission.limits = self._rounds.limits = self._vacating.limits = limits
        self._backlog.shares.weigh(limits.weights)
        self.quarantine.size, self.quarantine.ttl = limits.quarantine_size, limits.quarantine_ttl
        self._breakers.timeouts, self._breakers.pause = limits.breaker_timeouts, limits.breaker_pause

    # What people and the dispatcher may ask.

    @property
    def waiting(self) -> int:
        """Requests in the queue, those included that wait for the answer to another one."""
        return self._backlog.waiting

    @property
    def workers(self) -> int:
        """Workers that have joined and are not leaving."""
        return self._roster.staying

    @property
    def workers_present(self) -> int:
        """Workers that have joined, those that leave included."""
        return len(self._roster)

    @property
    def workers_at_work(self) -> int:
        return self._roster.at_work

    @property
    def tiles_cut(self) -> int:
        """Requests that were answered by the rendering of a neighbour."""
        return self._matchmaker.metatiles.tiles_cut

    def jobs(self) -> list[Job]:
        """What is to be done and being done."""
        return self._backlog.jobs()

    @property
    def at_rest(self) -> bool:
        """No request is here any more, and no worker."""
        return not len(self._backlog) and not len(self._roster)

    def worker_names(self) -> list[bytes]:
        return self._roster.names()

    @property
    def at_work(self) -> bool:
        """Some request has not ended."""
        return bool(len(self._backlog))

    def worker_of(self, id: str) -> bytes | None:
        """The worker that runs the request, if one does."""
        job = self._backlog.job_of(id)
        return job.worker if job else None

    def is_open(self, id: str) -> bool:
        """The request has arrived and not ended."""
        return id in self._backlog

    def next_alarm(self) -> float:
        """When `tick` has something to do at the latest; infinity for never, as it is now."""
        alarm = self._rounds.next_alarm()
        return min(alarm, self._vacating.next_alarm()) if self.waiting else alarm

    # Events of requests.

    def arrived(self, arrival: Arrival, now: float) -> list[Decision]:
        if arrival.id in self._backlog or self._backlog.get(arrival.id):
            return []
        if self._rounds.closing:
            return [GiveBack(arrival.peer, arrival.id)]
        if arrival.depth > self.limits.nested_depth:
            looped = self._endings.looped(arrival, self.limits.nested_depth)
            return [*looped, *self._rounds.expire(now), *self._rounds.release_old()]
        self._matchmaker.bulkhead.asked(arrival.key, now)
        if self._vacating.hopeless(now):
            return [no_worker(arrival)]
        if refusal := self._admission.refusal(arrival, now):
            return [refusal, *self._rounds.expire(now), *self._rounds.release_old()]
        full = self._admission.is_full
        decisions: list[Decision] = [*self._admission.make_room(arrival, now)] if full else []
        deadline = now + arrival.timeout
        rider = Rider(arrival, now, deadline, min(deadline, now + self.limits.queue_timeout))
        job = self._backlog.flight_for(arrival, now)
        # In a full queue a place of its own, at an idle worker, is the only one there is.
        if job is None or (full and self._admission.beyond_the_queue(arrival, now)):
            self._backlog.add(rider)
        else:
            self.coalesced += 1
            self._backlog.join(job, rider)
        decisions += self._rounds.follow(now, all_awake=False)
        return decisions

    def cancelled(self, id: str) -> list[Decision]:
        """The client has gone: a waiting request is dropped, a running one runs for nothing."""
        job = self._backlog.job_of(id)
        if job is None:
            return []
        decisions = [Forget(id), *self.pauses.left(job, id), *self._prefetch.dropped()]
        return [*decisions, *self._rounds.release_old()]

    def peer_gone(self, peer: bytes) -> list[Decision]:
        """An http child has gone, with all its clients."""
        return [decision for id in self._backlog.requests_of(peer) for decision in self.cancelled(id)]

    # Events of workers.

    def joined(
        self,
        worker: bytes,
        now: float,
        *,
        reserve: bool = False,
        has_open: Sequence[Loaded] = (),
        prefetches: bool = False,
        joins: bool = False,
    ) -> list[Decision]:
        """A worker is idle; one of the `reserve` is there for nested requests.

        One that `prefetches` may be handed a request while it runs another one, one that `joins` several
        that lie beside each other.
        """
        if worker in self._roster:
            return []
        self._roster.add(worker, reserve=reserve, prefetches=prefetches, joins=joins)
        if not reserve:
            self._matchmaker.bulkhead.joined()
        return [*self.keeper.joined(worker, has_open, now), *self._rounds.follow(now)]

    def leaving(self, worker: bytes, now: float) -> list[Decision]:
        """The worker wants to go; it is released when it runs nothing."""
        state = self._roster.get(worker)
        if state is None:
            return [Release(worker)]
        if state.leaving:
            return []
        self._roster.leave(worker)
        decisions = self.keeper.worker_gone(worker, now)
        if state.next is not None:
            decisions += self._prefetch.recall(state.next.id)
        return [*decisions, *self._vacating.release_idle(worker, state, now), *self._rounds.follow(now)]

    def declined(self, worker: bytes, id: str, now: float) -> list[Decision]:
        """The worker will not begin the request: it was recalled, or the worker leaves.

        If it had begun it when it heard of that, it is through with it now.
        """
        state = self._roster.get(worker)
        if state is None:
            return []
        decisions: list[Decision] = []
        if state.recalled == id:
            self._roster.declined(worker)
            self._roster.rest(worker)
            self._matchmaker.freed(worker, state.key)
        elif state.next is not None and state.next.id == id:
            self._prefetch.give_back(self._roster.take_back(worker))
            self._roster.rest(worker)
            self._matchmaker.freed(worker, state.key)
        elif state.job == id and not ((job := self._backlog.get(id)) and job.started):
            decisions += self._vacating.vacate(worker, state, now, free=True)
            if job is not None and job.worker == worker:
                self._backlog.recall(job)
        decisions += self._vacating.release_idle(worker, state, now)
        if self._rounds.closing:
            decisions += self._vacating.give_back_all()
        return [*decisions, *self._rounds.follow(now, all_awake=state.leaving)]

    def answering(self, worker: bytes, id: str) -> list[Rider]:
        """A piece of an answer came: for whom it is, empty when nobody waits for it any more."""
        state, job = self._roster.get(worker), self._backlog.get(id)
        if state is None or job is None or job.worker != worker or not state.runs(id):
            return []
        self._backlog.start(job)
        return list(job.riders.values())

    def finished(self, worker: bytes, id: str, now: float) -> list[Decision]:
        state = self._roster.get(worker)
        if state is None or not state.runs(id):
            return []
        if state.job != id:
            beside = self._matchmaker.metatiles.finished(worker, state, id)
            return self._served(beside.arrival) if beside is not None else []
        job = self._backlog.get(id)
        decisions: list[Decision] = []
        if job is not None and job.worker == worker:
            decisions = self._served(job.arrival)
            self._backlog.end_all(job)
        self._matchmaker.served(state, now)
        if (project := self._projects.get(state.key)) and worker in project.copies:
            seconds = (now - state.began_at) / state.tiles
            self._projects.measured_service(project, seconds, now, first=state.loaded)
        decisions += self._vacating.vacate(worker, state, now)
        if state.leaving:
            decisions += self._vacating.release_idle(worker, state, now)
        # Also when it leaves: its key may have one worker more now.
        decisions += self._rounds.follow(now, all_awake=state.leaving)
        return decisions

    def ran_out(self, worker: bytes, id: str, now: float) -> list[Decision]:
        """The worker gave the request up at its deadline; those that came later have time left."""
        state, job = self._roster.get(worker), self._backlog.get(id)
        if state is None or state.job != id:
            return []
        decisions = self._vacating.vacate(worker, state, now)
        decisions += self._vacating.release_idle(worker, state, now)
        if job is not None and job.worker == worker:
            decisions += self._endings.ran_out(job, now)
        return [*decisions, *self._rounds.follow(now)]

    def _served(self, arrival: Arrival) -> list[Decision]:
        self.quarantine.served(arrival.fingerprint)
        if self._breakers.served(arrival.key):
            return [Tripped(arrival.key, 0.0, f"'{arrival.key}' answers again")]
        return []

    def lost(self, worker: bytes, now: float, reason: str, *, own_fault: bool = True) -> list[Decision]:
        """The worker died, by its `own_fault` or not. What it ran is tried again if that is safe."""
        if worker not in self._roster:
            return []
        state = self._roster.remove(worker)
        decisions = [] if state.leaving else self.keeper.worker_gone(worker, now, reason if own_fault else "")
        if self._prefetch.give_back(state.next) and self._rounds.closing:
            decisions += self._vacating.give_back_all()
        decisions += self._vacating.take_apart(worker, state, lost=True)
        if state.errand is not None:
            decisions += self.keeper.errand_lost(state.errand, reason)
        self._vacating.note_workerless(now)
        job = self._backlog.get(state.job) if state.job is not None else None
        if state.job is not None:
            # Who loses a worker by somebody else's doing keeps its turn.
            self._matchmaker.settle(state, now, free=not own_fault and job is not None)
            self._vacating.note_cost(state.key, now, own_fault=own_fault or job is None)
        if job is None or job.worker != worker:
            return [*decisions, *self._rounds.follow(now)]
        # Of several that were rendered as one nobody knows which it was.
        blamed = own_fault and state.tiles == 1
        decisions += self._losses.of_worker(job, worker, now, reason, blamed, closing=self._rounds.closing)
        return [*decisions, *self._rounds.follow(now)]

    # Events of projects.

    def loaded(self, worker: bytes, loaded: Loaded, now: float) -> list[Decision]:
        """A worker has loaded a project, for a request or because it was told to, or it could not."""
        state = self._roster.get(worker)
        if state is None:
            return []
        decisions = self.keeper.loaded(worker, loaded, now)
        decisions += self._vacating.release_idle(worker, state, now)
        if state.job is not None:
            # The time it takes to load says nothing of what a request takes.
            state.began_at, state.loaded = now, True
        self._matchmaker.freed(worker, loaded.key)
        return [*decisions, *self._rounds.follow(now, all_awake=loaded.outcome != "loaded")]

    def closed(self, worker: bytes, key: str, keep: int) -> list[Decision]:
        """A worker has closed a project; see `Keeper.closed`."""
        return self.keeper.closed(worker, key, keep) if worker in self._roster else []

    def changed(self, key: str, version: str, now: float) -> list[Decision]:
        """A worker has seen another content; see `Keeper.changed`."""
        return [*self.keeper.changed(key, version, now), *self._rounds.follow(now)]

    def superseded(
        self, worker: bytes, id: str, version: str, now: float, *, known: bool = True
    ) -> list[Decision]:
        """The worker would have had to load the version that is served, and found only this other one.

        `known` is false when its store does not answer.
        """
        state = self._roster.get(worker)
        if state is None or state.job != id:
            return []
        key = state.key
        decisions = self._vacating.vacate(worker, state, now)
        decisions += self._vacating.release_idle(worker, state, now)
        project = self._projects.known(key)
        if not project.holders(project.generation) and key not in self.keeper.reloads:
            # Nobody has the old one any more: what is there is what is served.
            project.generation, project.version = project.generation + 1, ""
            self._projects.touch(project.key)
        job = self._backlog.get(id)
        if job is not None and job.worker == worker:
            job.attempt -= 1
            job.only_warm = True
            self._backlog.put_back(job)
        if known:
            decisions += self.keeper.found_other(worker, key, version, now)
        return [*decisions, *self._rounds.follow(now)]

    def order(self, ticket: int, verb: Verb, name: str, now: float) -> tuple[list[str], list[Decision]]:
        """What a person wants done with projects; see `Keeper.order`."""
        keys, decisions = self.keeper.order(ticket, verb, name, now)
        return keys, [*decisions, *self._rounds.follow(now)]

    def wanted(self, pinned: Sequence[str], held: Sequence[str], now: float) -> list[Decision]:
        """Which projects are pinned, and which on hold."""
        self.keeper.wanted(pinned, held)
        return self._rounds.follow(now)

    # Time, and the end.

    def tick(self, now: float) -> list[Decision]:
        """Give up what is over its time, and begin what has waited for long enough for a warm worker."""
        decisions = self._rounds.tick(now)
        if self._vacating.hopeless(now):
            for job in self._backlog.all_waiting():
                decisions += self._endings.no_worker(job)
        return [*decisions, *self._rounds.release_old()]

    def close(self) -> list[Decision]:
        """Take nothing new; what waits is given back, what runs may finish."""
        self._rounds.closing = self._vacating.closing = True
        return [*self._prefetch.all(), *self._vacating.give_back_all(), *self._rounds.release_old()]
