# SPDX-License-Identifier: GPL-2.0-or-later
"""`qgsd`: starting and stopping an instance, and looking at its configuration."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from qgsd import __version__, completion
from qgsd.arguments import unknown_command, unrecognized
from qgsd.config import ConfigError, Loaded, add_flags, add_set_flag, load, overrides_from, render
from qgsd.errors import StartError

_NOT_RUNNING = 3
_USAGE = 2


def whole_parser() -> argparse.ArgumentParser:
    """All that can be typed."""
    parser = argparse.ArgumentParser(prog="qgsd", description="QGIS Server, supervised.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"qgsd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (help, _) in _COMMANDS.items():
        command = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        command.add_argument("--version", action="version", version=f"qgsd {__version__}")
        if name == "completion":
            command.formatter_class = argparse.RawDescriptionHelpFormatter
            command.description = completion.DESCRIPTION.replace("COMMAND", "qgsd")
            completion.declare(command)
            continue
        if name == "config":
            command.add_argument(
                "--commented", action="store_true", help="each option behind a #: the file says nothing yet"
            )
            command.add_argument("--markdown", action="store_true", help="as tables for the documentation")
            continue
        if name == "keygen":
            completion.offer(
                command.add_argument(
                    "file", nargs="?", metavar="FILE", help="a new file for it, instead of stdout"
                ),
                completion.FILE,
            )
            continue
        completion.offer(
            command.add_argument("-c", "--config", metavar="PATH", help="configuration file (ini)"),
            completion.FILE,
        )
        add_flags(command, name)
        add_set_flag(command)
        if name in ("stop", "restart"):
            command.add_argument("--now", action="store_true", help="do not wait for running requests")
            command.add_argument(
                "--timeout",
                dest="patience",
                type=float,
                default=60.0,
                metavar="S",
                help="give up after S seconds",
            )
    return parser


def _load(arguments: argparse.Namespace) -> Loaded:
    return load(arguments.config, os.environ, overrides_from(arguments))


def _role(loaded: Loaded):  # type: ignore[no-untyped-def]
    return "proxy" if loaded.settings.server.proxy else "server"


# The commands.


def _run(arguments: argparse.Namespace) -> int:
    from qgsd.master import main as master
    from qgsd.master.instance import Instance

    def serving(instance: Instance) -> None:
        where = ", ".join(listener.address for listener in instance.service)
        what = ", ".join(instance.settings.cache.rootdir) or os.path.abspath(".")
        print(
            f"qgsd serves {what} on {where}",
            file=sys.stderr,
        )

    loaded = _load(arguments)
    master.run(loaded, overrides_from(arguments), _role(loaded), serving)
    return 0


def _worker(arguments: argparse.Namespace) -> int:
    from qgsd.master import main as master

    master.run(_load(arguments), overrides_from(arguments), "worker")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from qgsd import demo

    return demo.run(arguments)


def _start(arguments: argparse.Namespace) -> int:
    from qgsd import daemon

    loaded = _load(arguments)
    return daemon.start(loaded, overrides_from(arguments), _role(loaded))


def _stop(arguments: argparse.Namespace) -> int:
    from qgsd import daemon

    return daemon.stop(_load(arguments), now=arguments.now, patience=arguments.patience)


def _restart(arguments: argparse.Namespace) -> int:
    from qgsd import daemon

    loaded, overrides = _load(arguments), overrides_from(arguments)
    if before := daemon.started_as(loaded):
        config = os.path.abspath(arguments.config) if arguments.config else before.config
        overrides = before.merged(overrides)
        os.chdir(before.folder)
        loaded = load(config, os.environ, overrides)
    if daemon.stop(loaded, now=arguments.now, patience=arguments.patience) == 1:
        return 1
    return daemon.start(loaded, overrides, _role(loaded))


def _status(arguments: argparse.Namespace) -> int:
    from qgsd import daemon

    return daemon.status(_load(arguments))


def _check(arguments: argparse.Namespace) -> int:
    from qgsd.check import check

    return check(_load(arguments))


def _config(arguments: argparse.Namespace) -> int:
    print(render.markdown() if arguments.markdown else render.ini(commented=arguments.commented), end="")
    return 0


def _keygen(arguments: argparse.Namespace) -> int:
    from qgsd import cluster_key

    if arguments.file:
        cluster_key.write_new(Path(arguments.file))
        print(
            f"{arguments.file} holds a new cluster key; copy it to every machine of the cluster and no other"
        )
    else:
        print(cluster_key.generate())
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    if arguments.live:
        from qgsd.control.live import candidates

        for candidate in candidates(*arguments.live):
            print(candidate)
        return 0
    if not arguments.shell:
        raise StartError(f"completion: say for which shell: {', '.join(completion.SHELLS)}")
    try:
        print(completion.script(whole_parser(), arguments.shell))
    except completion.Unavailable as error:
        raise StartError(str(error)) from None
    return 0


_COMMANDS: dict[str, tuple[str, Callable[[argparse.Namespace], int]]] = {
    "run": ("run in the foreground", _run),
    "start": ("start as a daemon; returns once it serves", _start),
    "stop": ("stop the daemon", _stop),
    "restart": ("stop the daemon and start it again as it was started", _restart),
    "status": ("is it running? (exit status 0 yes, 3 no)", _status),
    "worker": ("run workers only, for a proxy elsewhere", _worker),
    "check": ("validate configuration and environment, show every option in force", _check),
    "config": ("print a commented configuration of all options with their defaults", _config),
    "keygen": ("make a key for a cluster of proxies and worker machines", _keygen),
    "demo": ("run in the foreground with the bundled example", _demo),
    "completion": (completion.HELP, _completion),
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 done, 1 failed, 2 usage, 3 (`status`) not running."""
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    try:
        return _COMMANDS[arguments.command][1](arguments)
    except (StartError, ConfigError) as error:
        print(f"qgsd: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """What was typed; exits (SystemExit) after help, or with 2 after a mistake."""
    parser = whole_parser()
    if argv and not argv[0].startswith("-") and argv[0] not in _COMMANDS:
        parser.error(unknown_command(argv[0], _COMMANDS))
    arguments, left = parser.parse_known_args(argv)
    if left:
        command = commands_of(parser)[arguments.command]
        command.error(unrecognized(command, left))
    return arguments


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands of a parser, by name."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


if __name__ == "__main__":
    sys.exit(main())
