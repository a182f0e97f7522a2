# SPDX-License-Identifier: GPL-2.0-or-later
"""`qgisserver` and `qgisserver-worker`: py-qgis-server's command lines, handed to qgsd."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from qgsd import __version__, cli


def _common(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"qgsd {__version__}")
    parser.add_argument("-d", "--debug", action="store_true", help="log everything")
    parser.add_argument("--logging", choices=["debug", "info", "warning", "error"], help="how much to log")
    parser.add_argument("-c", "--config", metavar="PATH", help="configuration file")
    parser.add_argument("--rootdir", metavar="PATH", help="folder of the projects")
    parser.add_argument("-w", "--workers", metavar="NUM", help="QGIS processes")
    return parser


def _passed_on(arguments: argparse.Namespace, flags: Sequence[str]) -> list[str]:
    """The arguments that qgsd knows by the same name."""
    passed: list[str] = ["--logging", "debug"] if arguments.debug else []
    for flag in flags:
        value = getattr(arguments, flag.replace("-", "_"))
        if value is True:
            passed.append(f"--{flag}")
        elif value not in (None, False):
            passed += [f"--{flag}", value]
    return passed


def qgisserver(argv: Sequence[str] | None = None) -> int:
    """`qgisserver …` is `qgsd run …`."""
    parser = _common("qgisserver")
    parser.add_argument("-p", "--port", metavar="PORT", help="port to listen on")
    parser.add_argument("-b", "--bind", metavar="IP", help="address to listen on")
    parser.add_argument("-j", "--jobs", metavar="NUM", help="HTTP children")
    parser.add_argument("-u", "--setuid", metavar="USER", help="user that children run as")
    parser.add_argument("--proxy", action="store_true", help="no workers here; others connect")
    parser.add_argument("--timeout", metavar="SECONDS", help="a request is answered 504 after this")
    flags = ["logging", "config", "port", "bind", "workers", "jobs", "setuid", "rootdir", "proxy", "timeout"]
    return cli.main(["run", *_passed_on(parser.parse_args(argv), flags)])


def qgisserver_worker(argv: Sequence[str] | None = None) -> int:
    """`qgisserver-worker …` is `qgsd worker …`."""
    parser = _common("qgisserver-worker")
    parser.add_argument("--host", "--proxy-host", dest="host", metavar="HOST", help="where the proxy is")
    parser.add_argument("--port", metavar="PORT", help="the proxy's port for workers")
    parser.add_argument("--identity", metavar="NAME", help="name that the workers announce")
    arguments = parser.parse_args(argv)
    arguments.host = arguments.host or "localhost"
    passed = _passed_on(arguments, ["logging", "config", "rootdir", "workers", "host", "port"])
    if arguments.identity:
        passed += ["--set", f"zmq.identity={arguments.identity}"]
    return cli.main(["worker", *passed])


if __name__ == "__main__":
    sys.exit(qgisserver())
