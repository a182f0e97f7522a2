# SPDX-License-Identifier: GPL-2.0-or-later
"""How patient the master is with its children; 0 = no bound."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import option
from ..kinds import DAY, Integer, Number, Size


@dataclass(frozen=True)
class SupervisionSettings:
    """[supervision]: how patient the master is with its children; 0 = no bound."""

    project_workers: int = option(
        0,
        Integer(0, 1000),
        "most workers one project may occupy while others are asked for; 0 = all but one",
        live=True,
    )
    nested_depth: int = option(
        4, Integer(0, 16), "how deep projects may show maps of this very server; beyond it 508", live=True
    )
    breaker_timeouts: int = option(
        3, Integer(0, 1000), "time-outs in a row after which a project is refused for a while", live=True
    )
    breaker_pause: float = option(
        10.0,
        Number(0, DAY, above=True),
        "seconds a project is refused at first, then one request probes",
        live=True,
    )
    quarantine_size: int = option(
        100, Integer(0, 10_000), "requests that crash QGIS to keep from running", live=True
    )
    quarantine_ttl: float = option(
        600.0, Number(0, 365 * DAY), "seconds a request that crashed QGIS twice is not run", live=True
    )
    memory_limit: int = option(
        0, Size(0), "bytes of its own a worker may use before it is replaced", live=True
    )
    memory_hard_limit: int = option(
        0, Size(0), "bytes of its own a worker may use before it is killed", live=True
    )
    max_requests: int = option(
        0,
        Integer(0, 1_000_000_000),
        "requests after which a worker is replaced (up to a tenth more)",
        live=True,
    )
    max_age: float = option(
        0.0, Number(0, 365 * DAY), "seconds after which a worker is replaced (up to a tenth more)", live=True
    )
    beat_timeout: float = option(
        5.0,
        Number(0, DAY),
        "seconds an idle child may show no life before it is killed (stopped by SIGSTOP: two at most)",
        live=True,
    )
    burn_timeout: float = option(
        30.0, Number(0, DAY), "seconds an idle worker may use a processor before it is replaced", live=True
    )
    stall_timeout: float = option(
        0.0, Number(0, DAY), "seconds a busy worker may use no processor before it is killed", live=True
    )

    start_timeout: float = option(
        60.0, Number(0, DAY, above=True), "seconds a child may take to become ready"
    )
    kill_grace: float = option(
        1.0, Number(0, DAY), "seconds over its deadline before a worker is killed", live=True
    )
    stop_timeout: float = option(30.0, Number(0, DAY), "seconds a graceful stop may take", live=True)
    backoff_max: float = option(
        30.0,
        Number(0, DAY, above=True),
        "longest pause, in seconds, before a crashing child is started again",
        live=True,
    )
    worker_grace: float = option(
        5.0,
        Number(0, DAY),
        "seconds without any worker before requests are refused at once with 503",
        live=True,
    )
