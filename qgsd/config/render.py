# SPDX-License-Identifier: GPL-2.0-or-later
"""The declarations for people: an ini file, a table for the documentation, the options in force."""

from __future__ import annotations

from collections.abc import Iterator

from .catalogue import declarations, sections
from .declaration import Declaration
from .loading import Loaded


def ini() -> str:
    """A commented ini file of all options with their defaults; loading it changes nothing.

    The file is weaker than the command line but stronger than the environment: whoever sets options by
    environment takes the lines of these options out.
    """
    blocks = []
    for section, about in sections().items():
        entries = (_ini_entry(d) for d in declarations() if d.section == section)
        blocks.append("\n\n".join([f"# {about}\n[{section}]", *entries]))
    return "\n\n\n".join(blocks) + "\n"


def markdown() -> str:
    """The options as Markdown, a table for each section."""
    return "\n".join(line for section in sections() for line in _markdown_section(section))


def listing(loaded: Loaded) -> str:
    """Every option in force with its source, and a warning for variables that no option knows."""
    rows = [(f"{d.name} = {d.show(d.of(loaded.settings))}", loaded.sources[d.id]) for d in declarations()]
    width = min(max(len(text) for text, _ in rows), 48)
    lines = [f"{text.rstrip():{width}}  # {source}" for text, source in rows]
    return "\n".join([*lines, *warnings(loaded)]) + "\n"


def warnings(loaded: Loaded) -> list[str]:
    """A line for each environment variable that looks like an option and is none."""
    return [
        f"warning: environment {name}: no option has this name" + (f", did you mean {like}?" if like else "")
        for name, like in loaded.unknown_environment.items()
    ]


def _ini_entry(declared: Declaration) -> str:
    facts = [f"allowed: {declared.kind.describe()}", declared.environment, *_flag(declared)]
    value = declared.kind.format(declared.default).replace("$", "$$")
    return "\n".join(
        [
            f"# {declared.help}",
            f"# {'; '.join(facts)}; {_when(declared)}",
            f"{declared.key}={value}",
        ]
    )


def _markdown_section(section: str) -> Iterator[str]:
    yield f"### [{section}]"
    yield ""
    yield sections()[section]
    yield ""
    yield "| Key | Default | Meaning | Allowed | Environment | Flag | Changes at |"
    yield "|---|---|---|---|---|---|---|"
    for declared in (d for d in declarations() if d.section == section):
        default = declared.kind.format(declared.default)
        cells = [
            f"`{declared.key}`",
            f"`{default}`" if default else "",
            _cell(declared.help),
            _cell(declared.kind.describe()),
            f"`{declared.environment}`",
            " ".join(f"`{flag}`" for flag in declared.flags),
            "reload" if declared.live else "restart",
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _flag(declared: Declaration) -> list[str]:
    return ["/".join(declared.flags)] if declared.flags else []


def _when(declared: Declaration) -> str:
    return "changes at reload" if declared.live else "changes at restart"


def _cell(text: str) -> str:
    for character in "|*_<":
        text = text.replace(character, f"\\{character}")
    return text
