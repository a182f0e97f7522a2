# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents that are made from declarations: `scripts/docs` writes them, a test compares them."""

from __future__ import annotations

import re
from pathlib import Path

from qgsd.admin import reference as metrics
from qgsd.config import migration_table, render
from reference import man, pages

DOCS = Path(__file__).parents[1] / "docs"

_OPTIONS = """\
# Options

Every option of qgsd, from its declaration; `scripts/docs` writes this page. How to give them: in an ini file
(`qgsd config --commented` prints one), in the environment, on the command line. The command line counts most,
then the file, then the environment. `qgsd check` shows every option in force and where it came from.

"""
_PARTS = {"options": migration_table.options, "variables": migration_table.variables}


def expected() -> dict[Path, str]:
    """The documents as they should be."""
    migrating = (DOCS / "migrating.md").read_text()
    for name, make in _PARTS.items():
        marks = re.compile(
            f"(<!-- {name}: written by scripts/docs -->\n).*?(<!-- end of {name} -->)", re.DOTALL
        )
        migrating = marks.sub(lambda match, make=make: f"{match[1]}{make()}{match[2]}", migrating)  # type: ignore[misc]
    return {
        DOCS.parent / "etc" / "qgsd.ini": render.ini(),
        DOCS / "options.md": _OPTIONS + render.markdown().rstrip("\n") + "\n",
        DOCS / "migrating.md": migrating,
        DOCS / "metrics.md": metrics.markdown(),
        DOCS / "commands.md": pages.commands_page(),
        DOCS / "http.md": pages.http_page(),
        DOCS / "events.md": pages.events_page(),
        **{DOCS / "man" / name: text for name, text in man.pages().items()},
    }


if __name__ == "__main__":
    for path, text in expected().items():
        path.write_text(text)
