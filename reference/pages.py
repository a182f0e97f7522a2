# SPDX-License-Identifier: GPL-2.0-or-later
"""Reference pages: docs/commands.md, docs/http.md, docs/events.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any

from qgsd import cli
from qgsd.admin import server as management_port
from qgsd.admin.api import CHANGING, LOOKING
from qgsd.config.options import Settings
from qgsd.control import command_line
from qgsd.control.commands import COMMANDS
from qgsd.control.event_names import EVENTS, ROLES
from qgsd.proxy.http import server as service_port
from reference import source
from reference.command_lines import Argument, CommandLine, commands

_COMMANDS = """\
# Commands

Made by `scripts/docs` of the declarations that parse them. The same as manual pages: `man qgsd` and
`man qgsdctl`.

Exit status of both: 0 done, 1 refused or failed, 2 usage; `qgsd status` 3 when it does not run, `qgsdctl` 3
when no master answers.

## qgsd

"""

_QGSDCTL = """\
## qgsdctl

Without `--control` and `--instance` it finds the local instance: `qgsd` if that runs, else the only one that
does. A command returns when its effect is there, with `--no-wait` when it is accepted; on a terminal, long
ones tell what they are waiting for. `--json` prints one JSON document (events: one a line).

"""

_HTTP = """\
# HTTP

Made by `scripts/docs` of the handlers and errors in the code.

## The service port

What QGIS Server answers goes out as it is. Every answer carries `X-Request-Id` and `Server-Timing`
(`queue;dur=…, load;dur=…, render;dur=…`, in milliseconds).

"""

_ERRORS = """\
Errors of qgsd's own are an OGC ServiceExceptionReport for OWS requests and
`{"error": {"code", "message"}, "request_id"}` otherwise. `code` is one of these, and a 503 says by
`Retry-After` when to come again. … stands for what differs from case to case.

"""

_MANAGEMENT = """\
## The management port

On this machine only and off by default (`[management]`). Looking takes no token from this machine; every
change, and everything from elsewhere, takes `Authorization: Bearer TOKEN`.

"""

_EVENTS = """\
# Events

What `qgsdctl events` shows and `qgsdctl events --follow` goes on showing; with `--json` each is a line with
`time` (seconds since the epoch), `event`, `reason` (a sentence) and `details`. All of them are in the log as
well. Made by `scripts/docs`.

"""


def commands_page() -> str:
    _, *lines = commands(cli.whole_parser())
    program, *asked = commands(command_line.whole_parser(long=True))
    every = {argument.names for argument in program.arguments}
    parts = [_COMMANDS, *_of_qgsd(lines), _QGSDCTL, *_options(program.arguments)]
    for line in asked:
        own = tuple(argument for argument in line.arguments if argument.names not in every)
        places = " ".join(argument.value for argument in own if not argument.names)
        parts += [f"### {line.name} {places}".rstrip() + "\n\n", f"{_described(line)}\n\n"]
        parts += _options(argument for argument in own if argument.names)
        parts += _on_the_wire(line.name)
    return "".join(parts).rstrip("\n") + "\n"


def http_page() -> str:
    context: Any = SimpleNamespace(settings=Settings())
    service = _routes((pattern, handler) for pattern, handler, _ in service_port.routes(context))
    ruled = management_port.routes(context, context, context)
    management = _routes((rule.regex.pattern, rule.handler_class) for rule in ruled)
    worker_and_proxy = source.errors("qgsd/proxy", "qgsd/worker", "qgsd/location")
    of_api = f"GET `/api/COMMAND` for {_names(LOOKING)};\n"
    of_api += f"POST with the arguments as a JSON object for {_names(CHANGING)}.\n"
    return "".join(
        [_HTTP, *service, "\n", _ERRORS, *_errors(worker_and_proxy), "\n", _MANAGEMENT, *management, "\n",
         of_api, "\n", *_errors(source.errors("qgsd/admin"))]
    )  # fmt: skip


def events_page() -> str:
    rows = [f"| `{name}` | {meaning} |\n" for name, meaning in EVENTS.items()]
    roles = f"\nROLE is one of {_names(ROLES)}.\n"
    return "".join([_EVENTS, "| Event | What it tells |\n|---|---|\n", *rows, roles])


def _of_qgsd(lines: list[CommandLine]) -> Iterator[str]:
    seen: dict[tuple[Argument, ...], str] = {}
    for line in lines:
        yield f"### qgsd {line.usage}\n\n{_described(line)}\n\n"
        if line.arguments in seen:
            yield f"Options: those of `qgsd {seen[line.arguments]}`.\n\n"
            continue
        seen[line.arguments] = line.name
        yield from _options(argument for argument in line.arguments if argument.names)


def _described(line: CommandLine) -> str:
    """Paragraphs as they are; indented ones are examples."""
    text = line.description.replace("COMMAND completion", f"{_program(line)} completion")
    blocks = (
        f"```text\n{block}\n```" if block.startswith("  ") else _prose(block[0].upper() + block[1:])
        for block in re.split(r"\n\s*\n", text.strip("\n"))
    )
    return "\n\n".join(blocks)


def _program(line: CommandLine) -> str:
    return "qgsd" if "COMMAND" not in line.description else "qgsdctl"


def _options(arguments: Iterable[Argument]) -> Iterator[str]:
    rows = [
        f"| `{', '.join(a.names)}{' ' * bool(a.value)}{a.value}` | {_prose(a.help)} |\n".replace("|N", "\\|N")
        for a in arguments
    ]
    if rows:
        yield from ["| Option | Meaning |\n|---|---|\n", *rows, "\n"]


def _on_the_wire(name: str) -> Iterator[str]:
    """The arguments of the control protocol, where there are any."""
    command = COMMANDS.get(name)
    if command is None or not command.arguments.__struct_fields__:
        return
    fields = ", ".join(f"`{field}`" for field in command.arguments.__struct_fields__)
    yield f"On the wire: `args` has {fields}.\n\n"


def _routes(routes: Iterable[tuple[str, Any]]) -> Iterator[str]:
    yield "| Path | Methods | What |\n|---|---|---|\n"
    for pattern, handler in routes:
        methods = " ".join(name for name in handler.methods if name != "OPTIONS")
        about = (handler.__doc__ or "").strip().splitlines()[0]
        paths = " ".join(f"`{path}`" for path in _paths(pattern))
        yield f"| {paths} | {methods} | {_prose(about)} |\n"


def _paths(pattern: str) -> list[str]:
    """The paths that a route answers, readable.

    >>> _paths("/(?:ping|livez)$"), _paths("/cache/content/(.*)$")
    (['/ping', '/livez'], ['/cache/content/…'])
    """
    text = pattern.removesuffix("$").removesuffix("/?").replace("(?:/.*)?", "").replace("(?:[/.].*)?", "/…")
    text = re.sub(r"\((?!\?:)[^)]*\)", "…", text)
    parts = [part.split("|") for part in re.split(r"\(\?:([^)]*)\)", text)]
    return ["".join(choice) for choice in product(*parts)]


def _errors(errors: list[source.Error]) -> Iterator[str]:
    yield "| Status | Code | For example |\n|---|---|---|\n"
    yield from (f"| {e.status} | `{e.code}` | {_prose(e.message) or '…'} |\n" for e in errors)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _prose(text: str) -> str:
    """Words as Markdown takes them for words, in and out of tables; what stands between backticks stays."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([|*_<\[\]])", r"\\\1", part) for part in parts)
