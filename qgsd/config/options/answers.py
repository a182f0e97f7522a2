# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers that are kept, so that the same request costs no worker."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qgsd.keeping import parse_rule, pattern_name

from ..declaration import OpenSection, option
from ..forms import header_list
from ..kinds import Boolean, Checked, Path, Size


def _rule(text: str) -> str:
    parse_rule(text)
    return text


def _headers(text: str) -> str:
    header_list(text)
    return text


def plugin_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(f"{text!r} is not the name of a Python package")
    return text


@dataclass(frozen=True)
class AnswersSettings:
    """[answers]: answers that are kept, so that the same request costs no worker."""

    documents: bool = option(
        True,
        Boolean(),
        "keep GetCapabilities and the like until the project changes",
        live=True,
    )
    memory: int = option(64 << 20, Size(), "bytes of answers an HTTP child keeps in memory", live=True)
    disk: int = option(
        256 << 20, Size(), "bytes of answers that all HTTP children share on disk; 0 = none there"
    )
    folder: str = option(
        "", Path(), "folder for the answers on disk; empty = qgsd's own, in /run often memory too"
    )
    largest: int = option(4 << 20, Size(), "largest answer to keep", live=True)


OPEN_SECTIONS = (
    OpenSection(
        section="answers.projects",
        field="answer_rules",
        name=pattern_name,
        names="a project as in MAP=, with * for any letters",
        kind=Checked(_rule, "any of images SECONDS, features SECONDS, documents no, separated by commas"),
        about="which projects' images and features are kept as well, and for how long.",
        help="how long images and features of these projects may be answered from what is kept",
        example="town/*=images 3600, features 60",
        live=True,
    ),
    OpenSection(
        section="answers.plugins",
        field="answer_plugins",
        name=plugin_name,
        names="the name of a plugin's folder",
        kind=Checked(_headers, "request headers separated by commas, or nothing"),
        about="on which request headers the answers depend where a plugin has a say in them.",
        help="the headers that this plugin reads; else nothing is kept while it is loaded",
        example="lizmap_server=X-Lizmap-User, X-Lizmap-User-Groups",
    ),
)
