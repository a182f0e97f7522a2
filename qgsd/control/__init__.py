# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket: its wire, the server in the master, the client library and qgsdctl.

Scripts need three names of it:

    from qgsd.control import Client, CommandFailed, NoMaster

    with Client("ipc:///run/qgsd/qgsd.run/control") as client:
        client.call("scale", workers=8)

They are loaded on first use, so that the master does not load the client nor
`qgsd status` of a dead instance ZeroMQ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qgsd.control.client import Client
    from qgsd.control.errors import CommandFailed, ControlError, NoMaster

__all__ = ["Client", "CommandFailed", "ControlError", "NoMaster"]

if not TYPE_CHECKING:  # a type checker would take every name of the package for Any

    def __getattr__(name: str) -> Any:
        if name == "Client":
            from qgsd.control.client import Client

            return Client
        if name in __all__:
            from qgsd.control import errors

            return getattr(errors, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
