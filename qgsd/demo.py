# SPDX-License-Identifier: GPL-2.0-or-later
"""`qgsd demo`: the bundled example, served in the foreground."""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from pathlib import Path

from qgsd.config import load, overrides_from
from qgsd.errors import StartError
from qgsd.master import main as master
from qgsd.master.instance import Instance


def example_folder() -> Path:
    """The example's folder, in the source tree or where the wheel has put it. Raises `StartError`."""
    # Debian's Python says /usr/local for data, and its packages put them below its prefix.
    installed = [Path(prefix, "share", "qgsd") for prefix in (sysconfig.get_path("data"), sys.prefix)]
    places = [Path(__file__).parents[1], *installed]
    for place in places:
        folder = place / "examples" / "world"
        if (folder / "world.qgs").is_file():
            return folder
    raise StartError(
        "the bundled example is not installed; serve your own projects with qgsd run --rootdir PATH"
    )


def run(arguments: argparse.Namespace) -> int:
    """As `qgsd run`, with the example as root folder unless another is given."""
    overrides = overrides_from(arguments)
    overrides.setdefault(("cache", "rootdir"), str(example_folder()))
    loaded = load(arguments.config, os.environ, overrides)
    role = "proxy" if loaded.settings.server.proxy else "server"
    master.run(loaded, overrides, role, _print_address)  # type: ignore[arg-type]
    return 0


def _print_address(instance: Instance) -> None:
    scheme = "https" if instance.settings.server.ssl else "http"
    for listener in instance.service:
        if listener.path is None:
            host = listener.address.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
            print(f"The map: {scheme}://{host}/map/?MAP=world", file=sys.stderr)
