# SPDX-License-Identifier: GPL-2.0-or-later
"""The template: a warm QGIS Server without a project, which forks the workers.

A fork takes milliseconds where a cold start takes a second, and shares interpreter,
providers and plugins copy-on-write. The template forks twice, so that the worker is an
orphan which the master, a subreaper, inherits and can watch and wait for as its own; and when it has time,
one more than it was asked for (`spare.py`).
What must and must not happen here is in docs/fork-safety.md.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import select
import socket
import sys
import warnings
from typing import TYPE_CHECKING, NoReturn

from qgsd import allocator, extensions, linux, messages, preload, pyqgis
from qgsd.channel import ChannelClosed, ChildEnd
from qgsd.child import Child
from qgsd.worker import confinement, environment, forking, spare

if TYPE_CHECKING:
    from qgsd.worker.qgis_server import QgisServer

logger = logging.getLogger("qgsd.template")

# Seconds without an order until there is time for a spare.
_REST = 0.5


class Template:
    """Forks workers on order; blocks in between."""

    def __init__(self, child: Child) -> None:
        # Only now: the environment must stand before qgis is imported. What a worker needs is imported
        # here too, so that a fork is ready in milliseconds.
        from qgsd.worker import network, qgis_server, rehearsal, serve, stores

        self.work, self.use_gate = serve.work, network.use_gate
        self.rehearse = rehearsal.rehearse
        self.child = child
        self.spare: spare.Spare | None = None
        self.master = os.getppid()
        settings = child.settings
        self.qgis = qgis_server.start(settings)
        for name, reason in self.qgis.broken_plugins.items():
            child.happened("plugin.broken", f"the plugin {name} does not load: {reason}", plugin=name)
        child.channel.send(messages.PluginsFound(_plugins(self.qgis)))
        # Looking through all packages that are installed takes longer than all else in a worker's start.
        extensions.store_schemes()
        for scheme, reason in stores.load_stores()[1].items():
            child.happened("store.broken", f"projects of the scheme {scheme}: cannot be served: {reason}")
        if undeclared := self.qgis.dependence.undeclared():
            names = ", ".join(undeclared)
            logger.info(
                "no answers are kept: %s do not tell what theirs depend on ([answers.plugins])", names
            )
        # What exists now is never collected in a worker: a collection would write to, and so copy, its pages.
        gc.collect()
        gc.freeze()

    def run(self) -> None:
        """Serve orders until drained. Raises `ChannelClosed` when the master has gone."""
        self.child.ready(qgis_version=self.qgis.version, plugins=", ".join(sorted(self.qgis.plugins)))
        while True:
            if self.spare is None and not select.select([self.child.channel], [], [], _REST)[0]:
                self.spare = spare.make(self.master, self._forget, self._prepare, self._begin)
                continue
            received = self.child.channel.receive()
            assert received is not None
            self.child.beat()
            match received:
                case messages.Fork() as order, descriptors:
                    self.fork(order, descriptors)
                case messages.Configure() as order, _:
                    self.child.configure(order)
                case messages.Drain(), _:
                    return
                case _:
                    pass

    def fork(self, order: messages.Fork, descriptors: list[int]) -> None:
        """A worker; the master is told of it before it does anything."""
        in_hand, self.spare = self.spare, None
        tell = self.child.channel.send
        if in_hand is None or not in_hand.begins(order, descriptors, tell):
            forking.fork_orphan(
                lambda middle: self._become_worker(order, middle, descriptors),
                lambda worker: tell(messages.Forked(order.row, worker)),
            )
        for descriptor in descriptors:
            os.close(descriptor)

    def _become_worker(self, order: messages.Fork, middle: int, descriptors: list[int]) -> NoReturn:
        """In the new process."""
        self._forget()
        forking.renew(middle, self.master)
        self._begin(order, descriptors)

    def _forget(self) -> None:
        """In a new process: undo what is the template's alone."""
        self.child.channel.close()

    def _prepare(self) -> None:
        self.rehearse(self.child.settings)

    def _begin(self, order: messages.Fork, descriptors: list[int]) -> NoReturn:
        """Take on the identity of a worker, and be it."""
        status = 1
        try:
            channel, log_pipe = descriptors
            os.dup2(log_pipe, 1)
            os.dup2(log_pipe, 2)
            os.close(log_pipe)
            # A crash of QGIS says where in Python it was; the signal then does what it always does.
            faulthandler.enable()
            environment.use_tmpdir(os.environ, order.tmpdir)
            child = Child.start(ChildEnd(socket.socket(fileno=channel)))
            self.use_gate(child.begin.gate, order.tmpdir)
            confinement.apply(child.settings, child.begin, order.tmpdir)
            # Rendering is long work: what takes requests and passes answers on goes first. 4 % of a legend.
            linux.compute_in_the_background()
            self.work(child, self.qgis)
            status = 0
        except BaseException:
            logger.exception("the worker ends on an error of qgsd")
        finally:
            sys.stderr.flush()
            # Qt's and QGIS's destructors are known to crash and have nothing to save.
            os._exit(status)


def _plugins(qgis: QgisServer) -> list[messages.Plugin]:
    loaded = [messages.Plugin(name, version) for name, version in qgis.plugins.items()]
    broken = [messages.Plugin(name, "", error) for name, error in qgis.broken_plugins.items()]
    return sorted([*loaded, *broken], key=lambda plugin: plugin.name)


def main() -> None:
    """Run as a child of the master: `python -m qgsd.worker.template`."""
    # Python 3.12 warns of every fork with threads. The threads here are Qt's (D-Bus, bearer, QCA):
    # they hold no lock of ours and are not needed in a worker; tests/integration/test_fork.py watches that.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
    child = Child.start()
    preload.clear(os.environ)
    logger.info("QGIS takes its memory from %s", allocator.in_use())
    environment.apply(child.begin.tmpdir, child.settings, child.begin.gate)
    try:
        Template(child).run()
    except ChannelClosed:
        logger.debug("the master has gone")
    except ImportError as error:
        logger.error("QGIS cannot be imported (%s); %s", error, pyqgis.advice())
        os._exit(3)
    # As in the workers: no destructors of Qt.
    os._exit(0)


if __name__ == "__main__":
    main()
