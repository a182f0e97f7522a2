# SPDX-License-Identifier: GPL-2.0-or-later
"""The error that stops a start: one clear line for the person who typed the command."""

from __future__ import annotations


class StartError(Exception):
    """qgsd cannot start or go on; the text says what happened, where, and what to do."""
