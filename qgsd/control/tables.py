# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of the commands as text for a person (rich renderables); used by qgsdctl only.

Names of projects come from URLs and reasons from other programs, so control characters
are replaced before they reach a terminal.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qgsd.control.records import (
    EventRecord,
    MachineRecord,
    PluginRecord,
    ProcessRecord,
    ProjectRecord,
    QuarantineRecord,
    QueueRecord,
    ReloadRecord,
    Status,
    WorkerCounts,
)

_COLOURS = {
    "running": "green",
    "idle": "green",
    "flipped": "green",
    "busy": "cyan",
    "starting": "yellow",
    "draining": "yellow",
    "backoff": "red",
    "kept-old": "red",
    "ok": "green",
    "loaded": "green",
    "loading": "yellow",
    "broken": "red",
}


def status(record: Status) -> RenderableType:
    """The instance in a few lines."""
    head = status_line(record)
    counts, queue, totals = record.workers, record.queue, record.counters
    rows = [
        ("listening", ", ".join(map(clean, record.listen)) or "nowhere"),
        ("workers", _worker_text(counts)),
        ("queue", f"{queue.waiting} of {queue.max} waiting"),
        ("requests", f"{totals.requests} ({totals.cache_hits} from the cache, {totals.coalesced} coalesced)"),
        ("trouble", f"{totals.errors} errors, {totals.timeouts} timeouts, {totals.retries} retries"),
        ("children", f"{totals.crashes} crashes, {totals.restarts} restarts"),
        ("generation", str(record.generation)),
    ]
    lines = [Text.assemble((f"{name:<12}", "dim"), text) for name, text in rows]
    return Group(head, *lines, *([Text(), machines(record.machines)] if record.machines else []))


def machines(records: list[MachineRecord]) -> RenderableType:
    """The worker machines of a proxy."""
    table = _table(["MACHINE", "STATE", "JOINED", "WORKERS", "QGSD", "QGIS"], right=["JOINED"])
    for record in records:
        table.add_row(
            clean(record.machine),
            coloured(record.state),
            duration(record.uptime),
            _worker_text(record.workers),
            clean(record.version),
            clean(record.qgis_version),
        )
    return table


def status_line(record: Status) -> Text:
    """What runs there, and since when. A proxy has no QGIS."""
    qgis = f", QGIS {clean(record.qgis_version)}" if record.qgis_version else ""
    return Text.assemble(
        (clean(record.instance), "bold"),
        " is ",
        coloured(record.state),
        f", pid {record.pid}, up {duration(record.uptime)}; qgsd {clean(record.version)}{qgis}",
    )


def work_line(record: Status) -> Text:
    """Workers, queue and what went wrong so far, in a line."""
    queue, totals = record.queue, record.counters
    waiting = f"{queue.waiting} of {queue.max} waiting"
    waiting += f", for {record.oldest:.1f} s at most" if record.oldest else ""
    trouble = f"{totals.errors} errors, {totals.timeouts} timeouts, {totals.crashes} crashes"
    return Text(f"workers {_worker_text(record.workers)}; {waiting}; {trouble}")


def processes(records: list[ProcessRecord]) -> RenderableType:
    """The rows of `ps`; the column of machines only where there are some."""
    headers = ["ROLE", "SLOT", "PID", "STATE", "UPTIME", "REQUESTS", "RSS", "PSS", "CPU"]
    table = _table(headers, right=["SLOT", "PID", "UPTIME", "REQUESTS", "RSS", "PSS", "CPU"])
    machines = any(record.machine for record in records)
    if machines:
        table.add_column("MACHINE")
    table.add_column("PROJECT", overflow="fold")
    for record in records:
        table.add_row(
            record.role,
            _or_dash(record.slot),
            _or_dash(record.pid),
            coloured(record.state),
            duration(record.uptime),
            str(record.requests),
            size(record.rss),
            size(record.pss),
            f"{record.cpu:.0f}%",
            *([clean(record.machine) or "-"] if machines else []),
            clean(record.project or "-"),
        )
    return table


def tree(rows: list[tuple[str, ProcessRecord]]) -> RenderableType:
    """Processes with what is drawn before their names."""
    headers = ["PROCESS", "PID", "STATE", "UPTIME", "REQUESTS", "PSS", "CPU"]
    table = _table(headers, right=["PID", "UPTIME", "REQUESTS", "PSS", "CPU"])
    table.add_column("PROJECT", overflow="fold")
    for drawn, record in rows:
        table.add_row(
            Text.assemble((drawn, "dim"), process_name(record)),
            _or_dash(record.pid),
            coloured(record.state),
            duration(record.uptime),
            str(record.requests),
            size(record.pss),
            f"{record.cpu:.0f}%",
            clean(record.project or "-"),
        )
    return table


def process_name(record: ProcessRecord) -> str:
    """As people speak of it: `worker 3`, `template`, with the machine before it where there are several."""
    name = record.role if record.slot is None else f"{record.role} {record.slot}"
    return f"{clean(record.machine)}/{name}" if record.machine else name


def top(records: list[ProcessRecord]) -> RenderableType:
    """The processes of `top`: those of `ps`, with the age of the request that each is at."""
    headers = ["PROCESS", "PID", "STATE", "AGE", "CPU", "MEMORY", "REQUESTS"]
    table = _table(headers, right=headers[1:2] + headers[3:])
    table.add_column("PROJECT", overflow="fold")
    for record in records:
        table.add_row(
            process_name(record),
            _or_dash(record.pid),
            coloured(record.state),
            f"{record.request_age:.1f}s" if record.request_age else "-",
            f"{record.cpu:.0f}%",
            size(record.pss),
            str(record.requests),
            clean(record.project or "-"),
        )
    return table


def workers(counts: WorkerCounts) -> RenderableType:
    """The answer to `scale`."""
    return Text(f"workers: {_worker_text(counts)}")


def reloads(records: list[ReloadRecord]) -> RenderableType:
    """What became of each project."""
    if not records:
        return Text("reloaded; no project was open")
    table = _table(["PROJECT", "STATUS"])
    table.add_column("ERROR", overflow="fold")
    for record in records:
        table.add_row(clean(record.project), coloured(record.status), clean(record.error or ""))
    return table


def projects(records: list[ProjectRecord]) -> RenderableType:
    """The rows of `projects`."""
    if not records:
        return Text("no project is open")
    numbers = ["GENERATION", "LOAD", "MEMORY", "REQUESTS", "HITS"]
    table = _table(["PROJECT", "STATUS", "WORKERS", *numbers], right=numbers)
    table.add_column("ERROR", overflow="fold")
    for record in records:
        marks = [name for name, is_so in (("pinned", record.pinned), ("on hold", record.held)) if is_so]
        hits = f"{100 * record.hits / record.requests:.0f}%" if record.requests else "-"
        table.add_row(
            clean(record.project),
            Text(" ").join([coloured(record.status), *map(Text, marks)]),
            " ".join(clean(str(worker)) for worker in record.workers) or "-",
            str(record.generation),
            f"{record.load_ms:.0f} ms",
            size(record.memory),
            str(record.requests),
            hits,
            clean(record.error or ""),
        )
    return table


def project_outcome(result: dict[str, Any]) -> RenderableType:
    """What became of one project."""
    return Text.assemble(clean(str(result.get("project"))), ": ", coloured(str(result.get("status"))))


def queue(records: list[QueueRecord]) -> RenderableType:
    """The rows of `queue`."""
    if not records:
        return Text("no request waits or runs")
    numbers = ["WAITING", "RUNNING", "OLDEST", "NESTED"]
    table = _table(numbers, right=numbers)
    table.add_column("PROJECT", overflow="fold")
    for record in records:
        oldest = f"{record.oldest:.1f}s" if record.waiting else "-"
        figures = (str(record.waiting), str(record.running), oldest, str(record.nested))
        table.add_row(*figures, clean(record.project or "-"))
    return table


def plugins(records: list[PluginRecord]) -> RenderableType:
    """The rows of `plugins`."""
    if not records:
        return Text("no plugin was found; see [server] pluginpath")
    table = _table(["PLUGIN", "VERSION", "STATUS"])
    table.add_column("ERROR", overflow="fold")
    for record in records:
        version = clean(record.version) or "-"
        table.add_row(clean(record.name), version, coloured(record.status), clean(record.error or ""))
    return table


def quarantine(records: list[QuarantineRecord]) -> RenderableType:
    """Requests that are not run, in full so that they can be repeated."""
    if not records:
        return Text("no request is in quarantine")
    table = _table(["FINGERPRINT", "PROJECT", "LEFT"])
    for name in ("REASON", "REQUEST"):
        table.add_column(name, overflow="fold")
    for record in records:
        told = [record.fingerprint, record.project, duration(record.seconds), record.reason]
        table.add_row(*map(clean, told), _request(record))
    return table


def _request(record: QuarantineRecord) -> str:
    """Its address and, where something was posted, that."""
    lines = [record.request]
    if record.length:
        cut = len(record.body.encode()) < record.length
        lines += [f"Content-Type: {record.content_type}", "", *record.body.splitlines()]
        lines += [f"... ({record.length} bytes in all)"] if cut else []
    return "\n".join(map(clean, lines))


def events(records: Iterable[EventRecord]) -> RenderableType:
    """One line each, oldest first."""
    lines = [event(record) for record in records]
    return Group(*lines) if lines else Text("no events")


def event(record: EventRecord) -> RenderableType:
    """One event: local time, name, reason, details."""
    style = "red" if record.event.endswith(("crashed", "killed", "broken", "quarantined", "timeout")) else ""
    details = " ".join(f"{name}={value}" for name, value in record.details.items() if value is not None)
    return Text.assemble(
        (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.time)), "dim"),
        "  ",
        (f"{clean(record.event):<20}", style),
        "  ",
        clean(record.reason),
        (f"  ({clean(details)})" if details else "", "dim"),
    )


def options(rows: list[dict[str, Any]]) -> RenderableType:
    """The effective configuration."""
    table = _table(["OPTION", "VALUE", "SOURCE", "LIVE"])
    for row in rows:
        live = "" if row.get("live") is None else ("yes" if row["live"] else "restart")
        name = f"{row.get('section')}.{row.get('key')}"
        table.add_row(clean(name), clean(row.get("value")), clean(row.get("source")), live)
    return table


def versions(names: dict[str, str]) -> RenderableType:
    """The answer to `version`."""
    labels = {"version": "master", "qgis_version": "QGIS"}
    return Group(*(Text(f"{labels.get(key, key):<8} {clean(value)}") for key, value in names.items()))


def outcome(done: str, result: Any) -> RenderableType:
    """A result of no fixed shape: its `message`, or what was done and what came with it."""
    if not isinstance(result, dict):
        return Text(done)
    if isinstance(result.get("message"), str):
        return Text(clean(result["message"]))
    details = ", ".join(f"{key} {value}" for key, value in result.items() if value is not None)
    return Text(f"{done}: {clean(details)}" if details else done)


def clean(value: object) -> str:
    """The text without anything a terminal would obey.

    >>> clean("a\\x1b[2Jb")
    'a?[2Jb'
    """
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def duration(seconds: float) -> str:
    """Seconds in the two units that matter.

    >>> duration(4000)
    '1h06m'
    """
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"


def size(count: int) -> str:
    """Bytes in MiB, or GiB from ten of them on.

    >>> size(125829120)
    '120M'
    """
    mebibytes = count / (1 << 20)
    return f"{mebibytes / 1024:.1f}G" if mebibytes >= 10240 else f"{mebibytes:.0f}M"


def coloured(word: str) -> Text:
    """A state in its colour."""
    return Text(clean(word), style=_COLOURS.get(word, ""))


def _worker_text(counts: WorkerCounts) -> str:
    return (
        f"{counts.ready} of {counts.target} ready, {counts.busy} busy"
        + f", {counts.starting} starting" * bool(counts.starting)
    )


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def _table(headers: Iterable[str], right: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(header, justify="right" if header in right else "left", overflow="fold")
    return table
