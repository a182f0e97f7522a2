# SPDX-License-Identifier: GPL-2.0-or-later
"""How the workers' time is shared when there is not enough of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import OpenSection, option
from ..kinds import Choice, Number


def _tenant(text: str) -> str:
    if not text.strip():
        raise ValueError("a name is missing")
    return text


@dataclass(frozen=True)
class FairnessSettings:
    """[fairness]: how the workers' time is shared when there is not enough of it."""

    key: str = option(
        "project",
        Choice(("project", "client")),
        "those who get equal parts of the time: projects, or the addresses of clients",
        live=True,
    )


OPEN_SECTIONS = (
    OpenSection(
        section="fairness.weights",
        field="weights",
        name=_tenant,
        names="a project as in MAP, or the address of a client as fairness.key says, with _ for :",
        kind=Number(0, 1000, above=True),
        about="who may have more or less of the workers' time than others.",
        help="NAME may have so many times the part of the others, who count 1",
        example="town/sewers=4",
        live=True,
    ),
)
