# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong on the asking side; each error carries the exit status of qgsdctl.

The answering side has one error only, `qgsd.control.operations.Refused`.
"""

from __future__ import annotations


class ControlError(Exception):
    """Any failure to get a command done: `code` is a word for scripts, `message` a sentence for people."""

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class CommandFailed(ControlError):
    """The master answered that it will not or could not, or did not answer in time (code `timeout`)."""


class BadUsage(ControlError):
    """The question itself is wrong: an impossible address or name, or several instances to choose from."""

    exit_code = 2


class NoMaster(ControlError):
    """Nobody answers: no instance runs there, it hangs, or it belongs to another user."""

    exit_code = 3

    def __init__(self, message: str) -> None:
        super().__init__("no_master", message)
