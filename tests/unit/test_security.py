# SPDX-License-Identifier: GPL-2.0-or-later
"""SECURITY.md: each threat of its table names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def rows() -> list[list[str]]:
    """The rows of the table of threats, less its headings."""
    text = (REPOSITORY / "SECURITY.md").read_text()
    table = text.partition("| threat | answer | test |\n|---|---|---|\n")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    return [row for row in cells if not row[0].startswith("**")]


def test_each_threat_has_an_answer_and_a_test() -> None:
    assert len(rows()) > 30
    for row in rows():
        assert len(row) == 3, row
        assert all(row), row
        assert re.fullmatch(r"`tests/[a-z/_]+\.py::test_\w+`", row[2]), row


def test_each_test_that_is_named_exists() -> None:
    missing = []
    for *_, named in rows():
        path, _, test = named.strip("`").partition("::")
        file = REPOSITORY / path
        tree = ast.parse(file.read_text()) if file.is_file() else ast.Module([], [])
        if test not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            missing.append(named)
    assert not missing


def test_everything_that_is_linked_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (REPOSITORY / "SECURITY.md").read_text())
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []
