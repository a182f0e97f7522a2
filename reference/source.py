# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the source says: the events that are told, and the errors that clients are given."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

_TELLS_EVENT = ("add", "happened", "_tell", "Note", "News")
_EVENT = re.compile(r"(\{\}|[a-z]+)\.([a-z-]+|\{\})|scaled|restart(ing|ed)")
_CODE = re.compile("[a-z]+(_[a-z]+)*")


@dataclass(frozen=True, order=True)
class Error:
    """`message` with … for what differs from case to case."""

    status: int
    code: str
    message: str


def events() -> set[str]:
    """The names of events in the code; {} for what is only known when it happens."""
    named = (
        text
        for call in _calls("qgsd")
        if _name(call) in _TELLS_EVENT and call.args and (text := _text(call.args[0], "{}"))
    )
    return {text for text in named if _EVENT.fullmatch(text)}


def errors(*folders: str) -> list[Error]:
    """The errors of qgsd's own that code below these folders answers, by status and code."""
    found: dict[tuple[int, str], str] = {}
    for folder in folders:
        for call in _calls(folder):
            for error in _errors_in(call):
                key = (error.status, error.code)
                found[key] = max(found.get(key, ""), error.message, key=len)
    return sorted(Error(*key, message) for key, message in found.items())


def _errors_in(call: ast.Call) -> Iterator[Error]:
    for number, (status, code) in enumerate(zip(call.args, call.args[1:], strict=False)):
        if isinstance(status, ast.Constant) and isinstance(status.value, int) and 400 <= status.value < 600:
            word = _text(code, "")
            if word and _CODE.fullmatch(word):
                message = call.args[number + 2] if len(call.args) > number + 2 else None
                yield Error(status.value, word, _text(message, "…") or "")


def _calls(folder: str) -> Iterator[ast.Call]:
    for path in sorted((ROOT / folder).rglob("*.py") if (ROOT / folder).is_dir() else [ROOT / folder]):
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _text(node: ast.AST | None, gap: str) -> str:
    """The text of a literal; `gap` for each value in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else gap for part in node.values)
    return ""
