# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said about an option, once: the rest of the package only reads it."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .kinds import Kind

if TYPE_CHECKING:
    from .options import Settings

T = TypeVar("T")

METADATA = "qgsd.option"
ENVIRONMENT_PREFIX = "QGSRV_"

RUN = "run"
WORKER = "worker"
STOP = "stop"


@dataclass(frozen=True)
class Declaration:
    """One option.

    :param default: its value where nobody gives one.
    :param help: one line on what it does, units included.
    :param environment: the variable that sets it.
    :param flags: its command line flags, if it has any.
    :param metavar: what stands behind the flag in the help; empty for a flag without an argument.
    :param commands: the groups of commands that have these flags (see `arguments.add_flags`).
    :param live: whether a reload can change it; otherwise it takes a restart.
    :param secret: whether its value must not be shown.
    """

    section: str
    key: str
    kind: Kind[Any]
    default: Any
    help: str
    environment: str
    flags: tuple[str, ...] = ()
    metavar: str = ""
    commands: tuple[str, ...] = (RUN,)
    live: bool = False
    secret: bool = False

    @property
    def id(self) -> tuple[str, str]:
        return self.section, self.key

    @property
    def name(self) -> str:
        """The option as people write it: "server.port"."""
        return f"{self.section}.{self.key}"

    def of(self, settings: Settings) -> Any:
        """Its value in `settings`."""
        return getattr(getattr(settings, self.section), self.key)

    def show(self, value: Any) -> str:
        """`value` as text for people and logs: a secret is hidden."""
        return "***" if self.secret and value != self.default else self.kind.format(value)


def option(
    default: T,
    kind: Kind[T],
    help: str,
    *,
    env: str = "",
    flag: tuple[str, ...] = (),
    metavar: str = "",
    commands: tuple[str, ...] = (RUN,),
    live: bool = False,
    secret: bool = False,
) -> T:
    """A dataclass field that declares an option; section and key come from where it stands.

    :param env: its environment variable, where the name does not follow the rule.
    """
    declared = Declaration(
        section="",
        key="",
        kind=kind,
        default=default,
        help=help,
        environment=env,
        flags=flag,
        metavar=metavar,
        commands=commands,
        live=live,
        secret=secret,
    )
    # Typed as the value, as dataclasses.field itself is, so that `port: int = option(…)` type-checks.
    return dataclasses.field(default=default, metadata={METADATA: declared})


def placed(declared: Declaration, section: str, key: str) -> Declaration:
    """`declared` with the names that follow from where it stands."""
    rule = ENVIRONMENT_PREFIX + re.sub(r"[^A-Z0-9]", "_", f"{section}_{key}".upper())
    return dataclasses.replace(declared, section=section, key=key, environment=declared.environment or rule)
