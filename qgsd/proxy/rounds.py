# SPDX-License-Identifier: GPL-2.0-or-later
"""What follows every event of the scheduler: whose time is over, and then what workers are to do.

The order says what comes first: who waits in vain is told; a new version is prepared; requests are matched
with workers that are idle, then with those that soon will be; what is left goes on errands. Where there is
nothing of a kind, nobody is asked: this is done twice for each request. Pure.
"""

from __future__ import annotations

from math import inf

from qgsd.proxy.backlog import Backlog
from qgsd.proxy.decisions import Decision, Limits, Reinforce
from qgsd.proxy.endings import Endings
from qgsd.proxy.keeper import Keeper
from qgsd.proxy.matchmaker import Matchmaker
from qgsd.proxy.prefetch import Prefetch
from qgsd.proxy.projects import Projects
from qgsd.proxy.roster import Roster

# Seconds after which what could not be served is looked at again, come what may; more where much waits.
_ROUSE = 0.25


class Rounds:
    """`limits` may be set anew at any time; `closing`: the dispatcher leaves, and nothing begins any more."""

    def __init__(
        self,
        backlog: Backlog,
        roster: Roster,
        projects: Projects,
        keeper: Keeper,
        matchmaker: Matchmaker,
        prefetch: Prefetch,
        endings: Endings,
        limits: Limits,
        now: float,
    ) -> None:
        self.limits = limits
        self.closing = False
        self._backlog = backlog
        self._roster = roster
        self._projects = projects
        self._keeper = keeper
        self._matchmaker = matchmaker
        self._prefetch = prefetch
        self._endings = endings
        self._rouse_at = now

    def next_alarm(self) -> float:
        """When `tick` has something to do at the latest."""
        return min(self._backlog.next_alarm(), self._prefetch.next_alarm(), self._next_alarm_of_others())

    def _next_alarm_of_others(self) -> float:
        """Of those who may have something to do for all that wait."""
        # Who leaves prepares nothing any more.
        reloads = inf if self.closing else self._keeper.reloads.next_alarm()
        return min(reloads, self._matchmaker.bulkhead.next_alarm())

    def tick(self, now: float) -> list[Decision]:
        """Time has passed."""
        if now < self.next_alarm():
            return []
        return self.follow(now, all_awake=self._next_alarm_of_others() <= now)

    def follow(self, now: float, *, all_awake: bool = True) -> list[Decision]:
        """`all_awake`: what could not be served before may be now, for all that is known."""
        if all_awake or now >= self._rouse_at:
            turns = self._backlog.turns
            self._rouse_at = now + _ROUSE * (1 + turns.parked / 100)
            turns.wake_all()
        # First, for what is over its time must not be begun, though no tick has come since.
        decisions = self.expire(now)
        self._matchmaker.bulkhead.forgive(now)
        if self.closing:
            decisions += self.release_old()
            return decisions
        keeper = self._keeper
        # Before requests: under load no worker would ever be idle for long enough to prepare a new version.
        if keeper.reloads.wants_workers:
            decisions += keeper.reloads.start_some(now)
        self._match(now, decisions)
        decisions += self.release_old()
        if keeper.errands.some_wanted:
            decisions += keeper.start_errands(now)
        if self._backlog.nested.lines:
            decisions += self._reinforcements()
        return decisions

    def expire(self, now: float) -> list[Decision]:
        """Who has waited for too long, and what was handed over in vain."""
        decisions: list[Decision] = []
        if self._backlog.next_alarm() <= now:
            for job, rider in self._backlog.due(now):
                decisions += self._endings.overdue(job, rider, now)
        if self._backlog.some_dropped:
            decisions += self._prefetch.dropped()
        if self._prefetch.next_alarm() <= now:
            decisions += self._prefetch.late(now)
        return decisions

    def _match(self, now: float, decisions: list[Decision]) -> None:
        """Add what to begin now, and what next."""
        while self._begin(now, decisions):
            # Idle workers are left: they may take back what was handed to others.
            recalled = self._prefetch.reclaim()
            if not recalled:
                return
            decisions += recalled
        if not self._backlog.nested.lines and not self._keeper.reloads.under_way:
            decisions += self._prefetch.hand_over(now)

    def _begin(self, now: float, decisions: list[Decision]) -> bool:
        """Add what idle workers are to begin. True if some are left for requests."""
        roster, matchmaker = self._roster, self._matchmaker
        while roster.some_idle:
            matched = matchmaker.next(now)
            if not matched:
                return roster.has_room(0)
            decisions += matched
        return False

    def _reinforcements(self) -> list[Decision]:
        wanted = self.limits.nested_depth
        return [] if self._roster.reserve >= wanted else [Reinforce(wanted)]

    def release_old(self) -> list[Decision]:
        """The last request of an old generation may have ended."""
        decisions: list[Decision] = []
        if self._backlog.some_settled:
            for project in self._backlog.settled():
                decisions += self._keeper.reloads.release_old(project)
                self._projects.forget_unused(project)
        return decisions
