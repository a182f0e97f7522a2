# SPDX-License-Identifier: GPL-2.0-or-later
"""Orders about projects: to the dispatcher, which knows who has what open, and what came of them."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from qgsd import messages
from qgsd.channel import ChannelClosed
from qgsd.control.operations import Refused
from qgsd.master.children import ChildRecord, Children

logger = logging.getLogger("qgsd.master")

Message = TypeVar("Message", messages.ListProjects, messages.ListQueue)
Item = TypeVar("Item", messages.ProjectState, messages.QueueLine)

Verb = Literal["reload", "load", "evict", "hold", "release", "purge"]


@dataclass
class Order:
    """An order under way. `waiting`: the projects whose end is not known yet, None until they are named."""

    message: messages.OrderProjects
    to: int = -1
    waiting: set[str] | None = None
    done: list[messages.ProjectDone] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return self.waiting is not None and not self.waiting


@dataclass
class Listing(Generic[Message, Item]):
    """A list that the dispatcher tells, under way; it comes in pages."""

    message: Message
    to: int = -1
    items: list[Item] = field(default_factory=list)
    complete: bool = False


ProjectListing = Listing[messages.ListProjects, messages.ProjectState]
QueueListing = Listing[messages.ListQueue, messages.QueueLine]
Heard = messages.ProjectsOrdered | messages.ProjectDone | messages.ProjectsListed | messages.QueueListed


class ProjectOrders:
    """What is under way, and what outlives a dispatcher: pins and holds.

    `pinned` are those of the configuration and of people, `held` of people.
    """

    def __init__(self, children: Children) -> None:
        self._children = children
        self._tickets = itertools.count(1)
        self._open: dict[int, Order | Listing[Any, Any]] = {}
        self.pinned: dict[str, None] = {}
        self.held: dict[str, None] = {}
        self._preloaded: frozenset[str] = frozenset()

    def preload(self, keys: list[str]) -> None:
        """These are pinned by the configuration, besides those that people have pinned."""
        self.pinned = {key: None for key in self.pinned if key not in self._preloaded}
        self._preloaded = frozenset(keys)
        self.pinned |= dict.fromkeys(keys)
        self.tell_kept()

    # The dispatcher.

    def introduce(self, dispatcher: ChildRecord) -> None:
        """A new dispatcher: tell it what its predecessor knew."""
        if self.pinned or self.held:
            dispatcher.channel.send(self._kept())

    def _kept(self) -> messages.KeepProjects:
        return messages.KeepProjects(list(self.pinned), list(self.held))

    def tell_kept(self) -> None:
        """Pins or holds have changed."""
        for dispatcher in self._children.of("dispatcher"):
            _send(dispatcher, self._kept())

    def heard(self, report: Heard) -> None:
        match report, self._open.get(report.ticket):
            case messages.ProjectsOrdered(projects=projects), Order() as order:
                order.waiting = set(projects) - {done.project for done in order.done}
            case messages.ProjectDone() as done, Order() as order:
                order.done.append(done)
                (order.waiting or set()).discard(done.project)
            case messages.ProjectsListed(projects=items, more=more), Listing() as listing:
                listing.items += items
                listing.complete = not more
            case messages.QueueListed(lines=items, more=more), Listing() as listing:
                listing.items += items
                listing.complete = not more

    # Orders. What `advance` does is done again until it is complete: a dispatcher may die in between.

    def begin(self, verb: Verb, project: str) -> Order:
        ticket = next(self._tickets)
        order = Order(messages.OrderProjects(ticket, verb, project))
        self._open[ticket] = order
        return order

    def begin_list(self) -> ProjectListing:
        ticket = next(self._tickets)
        listing = ProjectListing(messages.ListProjects(ticket))
        self._open[ticket] = listing
        return listing

    def begin_queue(self) -> QueueListing:
        ticket = next(self._tickets)
        listing = QueueListing(messages.ListQueue(ticket))
        self._open[ticket] = listing
        return listing

    def end(self, order: Order | Listing[Any, Any]) -> None:
        self._open.pop(order.message.ticket, None)

    def advance(self, order: Order | Listing[Any, Any]) -> bool:
        """Send it, again if the dispatcher that had it has gone. Whether it is complete."""
        if order.complete or self._children.get(order.to) is not None:
            return order.complete
        ready = self._children.ready("dispatcher")
        if not ready:
            return False
        order.to = ready[-1].key
        if isinstance(order, Order):
            order.waiting = None
        else:
            order.items = []
        _send(ready[-1], order.message)
        return False

    def keep(self, which: Literal["pinned", "held"], project: str, *, add: bool) -> None:
        """Pin or hold a project, or not any more. Raises `Refused` for one that is not."""
        kept = self.pinned if which == "pinned" else self.held
        if add:
            kept[project] = None
        elif project not in kept:
            word = "pinned" if which == "pinned" else "on hold"
            names = ", ".join(kept) or "none is"
            raise Refused("not_" + which, f"'{project}' is not {word} ({names})")
        else:
            del kept[project]
        self.tell_kept()


def _send(dispatcher: ChildRecord, order: messages.Order) -> None:
    try:
        dispatcher.channel.send(order)
    except ChannelClosed:
        logger.debug("%s has gone already", dispatcher.name)
