# SPDX-License-Identifier: GPL-2.0-or-later
"""The events there are, by name, with what each tells. Scripts rely on the names; docs/events.md follows."""

from __future__ import annotations

ROLES = ("worker", "template", "dispatcher", "http", "admin")

_OF_A_CHILD = {
    "ready": "a process is ready, after so many milliseconds",
    "drained": "a process has gone as it was asked to, or of its own accord: its work was finished first",
    "retired": "a process is to be replaced: over its memory, requests or age, idle but burning, or outdated",
    "killed": "a process was ended at once, and by which rule",
    "crashed": "a process ended by itself, with the signal or status",
    "backoff": "a slot rests, because its processes failed one after the other",
    "failed": "a process could not be started",
}

EVENTS: dict[str, str] = {
    **{f"ROLE.{name}": meaning for name, meaning in _OF_A_CHILD.items()},
    "scaled": "the number of workers has been changed",
    "restarting": "all processes are being replaced",
    "restarted": "all processes have been replaced",
    "restart.triggered": "the file of `server.restartmon`, or a plugin, has changed: workers are replaced",
    "config.changed": "options that can change live have been taken over",
    "config.needs-restart": "options have changed that only a stop and start takes over",
    "config.kept-old": "the configuration is wrong, the old one stays in force",
    "request.timeout": "a request was answered 504",
    "request.cancelled": "QGIS was asked to stop at the deadline, and did; its worker lives on",
    "request.retried": "a request whose worker was lost runs once more",
    "request.quarantined": "a request crashed QGIS twice and is not run for a while",
    "project.loaded": "a worker has opened a project",
    "project.evicted": "a worker has closed a project that had not changed",
    "project.flipped": "all workers have switched to a new version",
    "project.broken": "a new version does not load; what served before goes on serving",
    "project.suspended": "the requests of a project only time out: it is refused for a while",
    "project.recovered": "a suspended project is served again",
    "project.pinned": "a project is kept open at all times",
    "project.unpinned": "a project may be closed again",
    "project.held": "a project is closed everywhere, its requests wait",
    "project.released": "a project that was held is served again",
    "answers.purged": "kept answers are not given any more",
    "machine.joined": "the workers of another machine have come to this proxy",
    "machine.draining": "another machine finishes its requests and goes",
    "machine.left": "another machine has finished and gone",
    "machine.lost": "another machine has gone without a word",
    "machine.failed": "another machine refused what it was asked",
    "proxy.joined": "these workers have reached their proxy",
    "proxy.failed": "these workers do not reach their proxy, or were turned away",
    "proxies.changed": "the name of the proxy stands for other addresses now",
    "network.refused": "QGIS was not let ask another host, which is not among those of `[network]`",
    "plugin.broken": "a plugin does not load; the others work",
    "store.broken": "a kind of place for projects cannot be used",
}


def is_known(event: str) -> bool:
    """Whether an event has a meaning here.

    >>> is_known("worker.ready"), is_known("worker.flipped")
    (True, False)
    """
    role, _, what = event.partition(".")
    return event in EVENTS or (role in ROLES and f"ROLE.{what}" in EVENTS)
