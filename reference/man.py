# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages qgsd(1), qgsdctl(1) and qgsd.ini(5)."""

from __future__ import annotations

from collections.abc import Iterator

from qgsd import cli
from qgsd.config.catalogue import declarations, open_sections, sections
from qgsd.config.declaration import Declaration, OpenSection
from qgsd.control import command_line
from reference import roff
from reference.command_lines import Argument, CommandLine, commands

_QGSD = """\
qgsd keeps QGIS Server running: one master process supervises HTTP processes, a dispatcher with the only
queue, and PyQGIS workers that render. A worker that crashes or hangs is replaced, and the number of workers,
the projects and the code are changed by command while it serves; see qgsdctl(1).

With no configuration at all `qgsd run` serves the projects of the current folder on port 8080."""

_SIGNALS = [
    ("HUP", "read the configuration anew and take over changed projects"),
    ("TERM", "stop; what runs is finished first"),
    ("INT, QUIT", "stop at once"),
    ("USR1", "open the log files anew"),
    ("USR2", "replace all processes but the master, one after the other"),
    ("TTIN, TTOU", "one worker more, one worker less"),
]

_QGSD_STATUS = [
    ("0", "done, or running"),
    ("1", "failed; stderr says why"),
    ("2", "usage"),
    ("3", "not running"),
]
_QGSDCTL_STATUS = [
    ("0", "done"),
    ("1", "refused or failed"),
    ("2", "usage"),
    ("3", "no master answers"),
    ("130", "interrupted"),
]

_FILES = [
    ("/run/qgsd/NAME.pid", "pidfile of the instance NAME (`qgsd` by default) that root has started"),
    ("$XDG_RUNTIME_DIR/qgsd/NAME.pid", "the same for other users"),
    ("NAME.run/", "beside the pidfile: the control socket and what else the instance needs while it lives"),
]

_QGSDCTL = """\
qgsdctl looks after a running qgsd(1). Without --control and --instance it finds the local instance: `qgsd`
if that runs, else the only one that does.

A command returns when its effect is there, with --no-wait when it is accepted. On a terminal, long ones tell
what they are waiting for. Colours are used on a terminal only, and not where NO_COLOR is set."""

_INI = """\
The configuration of qgsd(1). `qgsd config --commented` prints one with all options behind a #, `qgsd check`
shows what is in force and where it came from. What counts, the strongest first: the command line, this file,
the environment, the defaults.

A section begins with [NAME], an option is KEY=VALUE; a # begins a comment, also behind a value.
${section:key} stands for the value of another option, $$ for a $. An unknown section or key, or a value that
is not allowed, stops the start with the line concerned."""


def pages() -> dict[str, str]:
    """The pages by the names of their files."""
    return {"qgsd.1": _qgsd(), "qgsdctl.1": _qgsdctl(), "qgsd.ini.5": _ini()}


def _qgsd() -> str:
    program, *lines = commands(cli.whole_parser())
    return roff.page(
        [
            *_head("qgsd", 1, "QGIS Server as a supervised daemon", f"{roff.bold('qgsd')} COMMAND [options]"),
            *roff.heading("DESCRIPTION"),
            *roff.paragraphs(_QGSD),
            *roff.heading("COMMANDS"),
            *_commands(lines),
            *roff.heading("OPTIONS"),
            *_options(program.arguments),
            *roff.heading("SIGNALS"),
            *_list(_SIGNALS),
            *roff.heading("EXIT STATUS"),
            *_list(
                [
                    ("0", "done, or running"),
                    ("1", "failed; stderr says why"),
                    ("2", "usage"),
                    ("3", "not running"),
                ]
            ),
            *roff.heading("FILES"),
            *_list(_FILES),
            *_see_also("qgsdctl(1)", "qgsd.ini(5)"),
        ]
    )


def _qgsdctl() -> str:
    program, *lines = commands(command_line.whole_parser(long=True))
    usage = f"{roff.bold('qgsdctl')} [options] COMMAND [options]"
    every = {argument.names for argument in program.arguments}
    return roff.page(
        [
            *_head("qgsdctl", 1, "look after a running qgsd", usage),
            *roff.heading("DESCRIPTION"),
            *roff.paragraphs(_QGSDCTL),
            *roff.heading("OPTIONS"),
            *roff.paragraphs("They may stand before the command and behind it."),
            *_options(program.arguments),
            *roff.heading("COMMANDS"),
            *(part for line in lines for part in _described(line, without=every)),
            *roff.heading("EXIT STATUS"),
            *_list(_QGSDCTL_STATUS),
            *roff.heading("FILES"),
            *_list(_FILES),
            *_see_also("qgsd(1)", "qgsd.ini(5)"),
        ]
    )


def _ini() -> str:
    return roff.page(
        [
            *_head("qgsd.ini", 5, "configuration of qgsd", ""),
            *roff.heading("DESCRIPTION"),
            *roff.paragraphs(_INI),
            *(line for name, about in sections().items() for line in _section(name, about)),
            *_see_also("qgsd(1)", "qgsdctl(1)"),
        ]
    )


def _head(name: str, section: int, about: str, usage: str) -> list[str]:
    synopsis = [*roff.heading("SYNOPSIS"), usage] if usage else []
    named = rf"{roff.text(name)} \- {roff.text(about)}"
    return [*roff.title(name, section, "qgsd manual"), *roff.heading("NAME"), named, *synopsis]


def _commands(lines: list[CommandLine]) -> Iterator[str]:
    """Each with its options; where two have the same ones, the second says so."""
    seen: dict[tuple[Argument, ...], str] = {}
    for line in lines:
        yield from roff.subheading(roff.bold(line.usage))
        about = line.help if line.description == line.help else line.description
        yield from roff.paragraphs(f"{about[0].upper()}{about[1:]}")
        if line.arguments in seen:
            yield from roff.paragraphs(f"Options: those of `{seen[line.arguments]}`.")
            continue
        seen[line.arguments] = line.name
        yield from _options(line.arguments)


def _described(line: CommandLine, *, without: set[tuple[str, ...]]) -> Iterator[str]:
    own = [argument for argument in line.arguments if argument.names not in without]
    places = " ".join(argument.value for argument in own if not argument.names)
    yield from roff.subheading(roff.bold(f"{line.name} {places}".strip()))
    yield from roff.paragraphs(line.description.replace("COMMAND", "qgsdctl"))
    yield from _options([argument for argument in own if argument.names])


def _options(arguments: tuple[Argument, ...] | list[Argument]) -> Iterator[str]:
    for argument in arguments:
        names = ", ".join(map(roff.bold, argument.names))
        value = roff.italic(argument.value) if argument.value else ""
        yield from roff.tagged(f"{names} {value}".strip(), [roff.prose(argument.help)])


def _list(entries: list[tuple[str, str]]) -> Iterator[str]:
    for tag, about in entries:
        yield from roff.tagged(roff.bold(tag), [roff.prose(about)])


def _see_also(*names: str) -> list[str]:
    return [*roff.heading("SEE ALSO"), ", ".join(roff.bold(name) for name in names)]


def _section(name: str, about: str) -> Iterator[str]:
    yield from roff.heading(f"[{name}]")
    yield from roff.paragraphs(f"{about[0].upper()}{about[1:]}")
    if name in open_sections():
        yield from _open(open_sections()[name])
        return
    for declared in declarations():
        if declared.section == name:
            yield from _option(declared)


def _option(declared: Declaration) -> Iterator[str]:
    default = declared.kind.format(declared.default)
    tag = f"{roff.bold(declared.key)}={roff.text(default)}"
    flags = f" On the command line {', '.join(declared.flags)}." if declared.flags else ""
    changes = "reload" if declared.live else "restart"
    yield from roff.tagged(
        tag,
        [
            roff.prose(f"{declared.help[0].upper()}{declared.help[1:]}."),
            roff.prose(
                f"Allowed: {declared.kind.describe()}. In the environment {' or '.join(declared.variables)}."
            ),
            roff.prose(f"Changes at {changes}.{flags}"),
        ],
    )


def _open(section: OpenSection) -> Iterator[str]:
    yield from roff.tagged(
        f"{roff.italic('NAME')}={roff.italic('VALUE')}",
        [
            roff.prose(f"As many as you like: {section.help}."),
            roff.prose(f"A name is {section.names}; a value is {section.kind.describe()}."),
            roff.prose(f"In the environment {section.environment}NAME. For example:"),
            *roff.literal(section.example),
        ],
    )
