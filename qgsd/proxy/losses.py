# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of a request whose worker was lost: tried again, or given up."""

from __future__ import annotations

from qgsd.proxy.backlog import Backlog
from qgsd.proxy.decisions import Decision, Quarantined, Retry
from qgsd.proxy.endings import Endings
from qgsd.proxy.flights import Job
from qgsd.proxy.quarantine import Quarantine

# One that killed its worker is tried once more; one that only happened to be there when its worker
# was killed by somebody else may have bad luck a few times.
MAX_ATTEMPTS = 2
MAX_UNLUCKY_ATTEMPTS = 5


class Losses:
    """Judges by what the request has done before, and whether it only reads."""

    def __init__(self, backlog: Backlog, quarantine: Quarantine, endings: Endings) -> None:
        self._backlog = backlog
        self._quarantine = quarantine
        self._endings = endings

    def of_worker(
        self, job: Job, worker: bytes, now: float, reason: str, own_fault: bool, *, closing: bool
    ) -> list[Decision]:
        """Its worker has gone, by its `own_fault` or not; `closing`: the dispatcher goes too."""
        arrival = job.arrival
        mark = arrival.fingerprint
        # One that is over its time is no poison; the breaker sees to such projects.
        own_fault = own_fault and now < job.deadline
        if own_fault and (until := self._quarantine.killed(mark, now)):
            message = (
                f"QGIS crashed twice on this request and will not run it again for a while ({mark}): {reason}"
            )
            noted = Quarantined(arrival.id, mark, arrival.key, reason, until, arrival.payload)
            return [noted, *self._endings.fail(job, 500, "quarantined", message)]
        attempts = MAX_ATTEMPTS if own_fault else MAX_UNLUCKY_ATTEMPTS
        repeatable = arrival.idempotent and not job.started
        if repeatable and closing:
            return self._endings.give_back(job)
        if not repeatable or job.attempt >= attempts:
            return self._endings.fail(job, 500, "worker_lost", f"QGIS failed on this request: {reason}")
        self._backlog.put_back(job)
        return [Retry(job.id, arrival.key, worker)]
