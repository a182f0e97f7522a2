# SPDX-License-Identifier: GPL-2.0-or-later
"""`qgisserver` and `qgisserver-worker`: py-qgis-server's command lines, handed to qgsd.

Its flags mean what they mean there; any other flag goes to `qgsd run` and `qgsd worker` as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import MutableMapping, Sequence

from qgsd import __version__, cli


def _common(prog: str, command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=f"py-qgis-server's command line for qgsd; further flags as in `{command} --help`.",
        # `--set` must not be taken for `--setuid`.
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"qgsd {__version__}")
    parser.add_argument("-d", "--debug", action="store_true", help="log everything")
    parser.add_argument("--logging", choices=["debug", "info", "warning", "error"], help="how much to log")
    parser.add_argument("-c", "--config", metavar="PATH", nargs="?", help="configuration file")
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
        elif value not in (None, False, ""):
            passed += [f"--{flag}", value]
    return passed


def server_line(argv: Sequence[str] | None) -> list[str]:
    """What `qgisserver …` means, as arguments for qgsd.

    >>> server_line(["-d", "-p", "8080", "--rootdir=/srv", "--set", "cache.size=3"])
    ['run', '--logging', 'debug', '--port', '8080', '--rootdir', '/srv', '--set', 'cache.size=3']
    """
    parser = _common("qgisserver", "qgsd run")
    parser.add_argument("-p", "--port", metavar="PORT", help="port to listen on")
    parser.add_argument("-b", "--bind", metavar="IP", help="address to listen on")
    parser.add_argument("-j", "--jobs", metavar="NUM", help="HTTP children")
    parser.add_argument("-u", "--setuid", metavar="USER", help="user that children run as")
    parser.add_argument("--proxy", action="store_true", help="no workers here; others connect")
    parser.add_argument("--timeout", metavar="SECONDS", help="a request is answered 504 after this")
    flags = ["logging", "config", "port", "bind", "workers", "jobs", "setuid", "rootdir", "proxy", "timeout"]
    arguments, others = parser.parse_known_args(argv)
    return ["run", *_passed_on(arguments, flags), *others]


def worker_line(argv: Sequence[str] | None, environ: MutableMapping[str, str]) -> list[str]:
    """What `qgisserver-worker …` means, as arguments for qgsd; its defaults go to the environment.

    >>> worker_line(["--proxy-host=p", "--identity", "W"], {})
    ['worker', '--host', 'p', '--set', 'zmq.identity=W']
    """
    parser = _common("qgisserver-worker", "qgsd worker")
    parser.add_argument("--host", "--proxy-host", dest="host", metavar="HOST", help="where the proxy is")
    parser.add_argument("--port", metavar="PORT", help="the proxy's port for workers")
    parser.add_argument("--identity", metavar="NAME", help="name that the workers announce")
    arguments, others = parser.parse_known_args(argv)
    # There it is one process of QGIS, and its proxy is on this machine unless somebody says otherwise.
    environ.setdefault("QGSRV_SERVER_WORKERS", "1")
    if "QGSRV_ZMQ_HOSTADDR" not in environ:
        environ.setdefault("QGSRV_WORKER_HOST", "localhost")
    passed = _passed_on(arguments, ["logging", "config", "rootdir", "workers", "host", "port"])
    if arguments.identity:
        passed += ["--set", f"zmq.identity={arguments.identity}"]
    return ["worker", *passed, *others]


def qgisserver(argv: Sequence[str] | None = None) -> int:
    """`qgisserver …` is `qgsd run …`."""
    return cli.main(server_line(argv))


def qgisserver_worker(argv: Sequence[str] | None = None) -> int:
    """`qgisserver-worker …` is `qgsd worker …`."""
    return cli.main(worker_line(argv, os.environ))


if __name__ == "__main__":
    sys.exit(qgisserver())
