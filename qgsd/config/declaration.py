# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said about an option, once: the rest of the package only reads it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .kinds import Kind, Url

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
    :param also: other variables that set it, weaker ones later: names of other servers.
    :param flags: its command line flags, if it has any.
    :param metavar: what stands behind the flag in the help; empty for a flag without an argument.
    :param commands: the groups of commands that have these flags (see `arguments.add_flags`).
    :param live: whether a reload can change it; otherwise it takes a restart.
    :param secret: whether its value must not be shown.
    :param open_in: of an option in an open section, the field of `Settings` that has them all.
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
    also: tuple[str, ...] = ()
    open_in: str = ""

    @property
    def has_default(self) -> bool:
        """Whether it has a value where nobody gives one: of an open section only some do."""
        return not self.open_in or self.default is not None

    @property
    def id(self) -> tuple[str, str]:
        return self.section, self.key

    @property
    def name(self) -> str:
        """The option as people write it: "server.port"."""
        return f"{self.section}.{self.key}"

    @property
    def variables(self) -> tuple[str, ...]:
        """All environment variables that set it, the strongest first."""
        return (self.environment, *self.also)

    def of(self, settings: Settings) -> Any:
        """Its value in `settings`."""
        if self.open_in:
            return getattr(settings, self.open_in).get(self.key, self.default)
        return getattr(getattr(settings, self.section), self.key)

    def show(self, value: Any) -> str:
        """`value` as text for people and logs: a secret is hidden."""
        return "***" if self.secret and value != self.default else self.kind.show(value)

    def quote(self, text: str) -> str:
        """What somebody wrote as its value, for an error: a secret is hidden."""
        return "***" if self.secret else self.kind.show(text) if isinstance(self.kind, Url) else text


@dataclass(frozen=True)
class OpenSection:
    """A section whose keys are names that the operator chooses. Each such key is an option like any other.

    :param field: the field of `Settings` that holds the values by key.
    :param name: gives a key its final form, or raises ValueError.
    :param names: what is allowed as a key, in words.
    :param kind: the kind of all the values.
    :param about: what the section is for.
    :param help: what one of the options is.
    :param example: one of them, as it may stand in a file.
    :param defaults: the values of keys that are there where nobody gives them.
    :param secret: which keys have values that must not be shown.
    """

    section: str
    field: str
    name: Callable[[str], str]
    names: str
    kind: Kind[Any]
    about: str
    help: str
    example: str
    live: bool = False
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    secret: Callable[[str], bool] = lambda key: False

    @property
    def environment(self) -> str:
        """What the variables that set options of the section begin with; the key follows."""
        return _variable(self.section) + "_"

    def declare(self, key: str) -> Declaration:
        """The option of that key.

        :raises ValueError: when it cannot be a key.
        """
        key = self.name(key)
        return Declaration(
            self.section, key, self.kind, self.defaults.get(key), self.help, self.environment + _upper(key),
            live=self.live, open_in=self.field, secret=self.secret(key),
        )  # fmt: skip


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
    also: tuple[str, ...] = (),
) -> T:
    """A dataclass field that declares an option; section and key come from where it stands.

    :param env: its environment variable, where the name does not follow the rule.
    :param also: other variables that set it, where `env` does not.
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
        also=also,
    )
    # Typed as the value, as dataclasses.field itself is, so that `port: int = option(…)` type-checks.
    return dataclasses.field(default=default, metadata={METADATA: declared})


def placed(declared: Declaration, section: str, key: str) -> Declaration:
    """`declared` with the names that follow from where it stands."""
    environment = declared.environment or _variable(f"{section}_{key}")
    return dataclasses.replace(declared, section=section, key=key, environment=environment)


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + _upper(name)


def _upper(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())
