# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of docs/migrating.md: a row for each option and variable of py-qgis-server."""

from __future__ import annotations

from . import migration
from .catalogue import canonical, find, open_sections
from .declaration import Declaration


def options() -> str:
    """A row for each option: what it is there, and what becomes of it."""
    head = "| Option | Default there | Variable | In qgsd | Note |\n|---|---|---|---|---|\n"
    return head + "".join(_row(name) for name in migration.NAMES)


def variables() -> str:
    """A row for each variable that is no option of a section."""
    rows = [(variable, "read") for variable in migration.UNDERSTOOD_VARIABLES]
    rows += [(variable, "no effect, told at the start") for variable in migration.VARIABLES]
    lines = (f"| `{variable.name}` | {fate} | {variable.note} |\n" for variable, fate in rows)
    return "| Variable | In qgsd | Note |\n|---|---|---|\n" + "".join(lines)


def _row(name: migration.Name) -> str:
    declared = find(name.section, name.key)
    cells = (
        f"`[{name.section}] {'<name>' if name.key == '*' else name.key}`",
        _code(name.default),
        _code(name.variable),
        _fate(name, declared),
        name.note,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _fate(name: migration.Name, declared: Declaration | None) -> str:
    if declared is None and not (name.key == "*" and canonical(name.section) in open_sections()):
        return "needs nothing" if name.idle else "refused"
    if declared is None or declared.open_in:
        return "understood"
    here = declared.kind.format(declared.default)
    same = not name.default or "$" in name.default or _settled(here) == _settled(name.default)
    return "understood" if same else f"understood, default {_code(here) or 'none'}"


def _settled(value: str) -> str:
    return value.replace(" ", "").lower()


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
