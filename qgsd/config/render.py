# SPDX-License-Identifier: GPL-2.0-or-later
"""The declarations for people: an ini file, a table for the documentation, the options in force."""

from __future__ import annotations

from collections.abc import Iterator

from .catalogue import declarations, in_force, open_sections, sections
from .declaration import Declaration, OpenSection
from .loading import Loaded


def ini(*, commented: bool = False) -> str:
    """An ini file that explains all options, with their defaults; loading it changes nothing.

    :param commented: each option behind a `#`, so that the file, which is stronger than the environment,
        says nothing until somebody takes a `#` away.
    """
    blocks = []
    for section, about in sections().items():
        if section in open_sections():
            blocks.append(_open_ini(open_sections()[section]))
            continue
        entries = (_ini_entry(d, "#" * commented) for d in declarations() if d.section == section)
        blocks.append("\n\n".join([f"# {about}\n[{section}]", *entries]))
    return "\n\n\n".join(blocks) + "\n"


def markdown() -> str:
    """The options as Markdown, a table for each section."""
    return "\n".join(line for section in sections() for line in _markdown_section(section))


def listing(loaded: Loaded) -> str:
    """Every option in force with its source, and a warning for variables that no option knows."""
    known = in_force(loaded.settings)
    rows = [(f"{d.name} = {d.show(d.of(loaded.settings))}", loaded.sources[d.id]) for d in known]
    width = min(max(len(text) for text, _ in rows), 48)
    lines = [f"{text.rstrip():{width}}  # {source}" for text, source in rows]
    return "\n".join([*lines, *warnings(loaded)]) + "\n"


def warnings(loaded: Loaded) -> list[str]:
    """A line for each environment variable that looks like an option and is none, and for the notes."""
    unknown = [
        f"warning: environment {name}: no option has this name" + (f", did you mean {like}?" if like else "")
        for name, like in loaded.unknown_environment.items()
    ]
    return [*unknown, *(f"warning: {note}" for note in loaded.notes)]


def _ini_entry(declared: Declaration, mark: str) -> str:
    variables = [declared.environment, *declared.also]
    facts = [f"allowed: {declared.kind.describe()}", " or ".join(variables), *_flag(declared)]
    value = declared.kind.format(declared.default).replace("$", "$$")
    return "\n".join(
        [
            f"# {declared.help}",
            f"# {'; '.join(facts)}; {_when(declared)}",
            f"{mark}{declared.key}={value}",
        ]
    )


def _markdown_section(section: str) -> Iterator[str]:
    yield f"### [{section}]"
    yield ""
    yield sections()[section]
    yield ""
    if section in open_sections():
        yield from _open_markdown(open_sections()[section])
        return
    yield "| Key | Default | Meaning | Allowed | Environment | Flag | Changes at |"
    yield "|---|---|---|---|---|---|---|"
    for declared in (d for d in declarations() if d.section == section):
        default = declared.kind.format(declared.default)
        cells = [
            f"`{declared.key}`",
            f"`{default}`" if default else "",
            _cell(declared.help),
            _cell(declared.kind.describe()),
            " ".join(f"`{variable}`" for variable in (declared.environment, *declared.also)),
            " ".join(f"`{flag}`" for flag in declared.flags),
            "reload" if declared.live else "restart",
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _open_ini(section: OpenSection) -> str:
    about = f"# {section.about}\n[{section.section}]\n\n# NAME=VALUE, as many as you like: {section.help}"
    facts = f"a name is {section.names}; allowed: {section.kind.describe()}; {section.environment}NAME"
    return f"{about}\n# {facts}; changes at {'reload' if section.live else 'restart'}\n# {section.example}"


def _open_markdown(section: OpenSection) -> Iterator[str]:
    yield f"As many as you like: {_cell(section.help)}. A name is {_cell(section.names)}; a value is "
    yield f"{_cell(section.kind.describe())}. In the environment: `{section.environment}NAME`. For example:"
    yield f"`{section.example}`"
    yield ""


def _flag(declared: Declaration) -> list[str]:
    return ["/".join(declared.flags)] if declared.flags else []


def _when(declared: Declaration) -> str:
    return "changes at reload" if declared.live else "changes at restart"


def _cell(text: str) -> str:
    for character in "|*_<":
        text = text.replace(character, f"\\{character}")
    return text
