# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fork that waits for its order does meanwhile.

A page that a process shares with the template costs at its first touch; so what a worker does first is done
here once for nothing, and the pages are its own by then. Of all that is made nothing is kept.
"""

from __future__ import annotations

import zmq
from qgis.core import QgsNetworkAccessManager, QgsProject, QgsSettings

from qgsd.config import Settings
from qgsd.worker.nested import NestingMark
from qgsd.worker.stores import Stores


def rehearse(settings: Settings) -> None:
    """See above. It opens nothing, and asks nobody."""
    QgsSettings().value("proxy/proxyEnabled", False, bool)
    manager = QgsNetworkAccessManager.instance()
    assert manager is not None
    # What it is already: QGIS's settings may name one.
    manager.setFallbackProxyAndExcludes(manager.fallbackProxy(), manager.excludeList(), manager.noProxyList())
    Stores(settings)
    NestingMark("", settings)
    QgsProject()
    with zmq.Context() as context:
        socket = context.socket(zmq.DEALER)
        # Kept, or pyzmq closes it before libzmq has sent its last word there, and that waits for ever.
        monitor = socket.get_monitor_socket()
        socket.disable_monitor()
        monitor.close(linger=0)
        context.destroy(linger=0)
