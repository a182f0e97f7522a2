# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking QGIS to stop when a request is over its time, before the master ends the worker for it.

From QGIS 3.36 on a response has `feedback()`, which rendering looks at; a worker that stops in time keeps
its projects open. Older ones never ask for it. The request's own thread is inside QGIS and may hold
Python's lock there, so the timer runs in a thread of Qt's and calls the slot of QgsFeedback directly: no
Python has to run for it. A client who has left cancels nothing: the dispatcher's word for that would have
to be read from a socket that belongs to the busy thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from qgis.core import QgsFeedback
from qgis.PyQt.QtCore import Q_ARG, QMetaObject, Qt, QThread, QTimer
from qgis.server import QgsServerResponse

# The dispatcher answers at the deadline; QGIS is asked a moment later, so that this answer comes first.
_MOMENT = 0.1


def is_possible() -> bool:
    """Whether this QGIS looks at a response's feedback."""
    return hasattr(QgsServerResponse, "feedback")


class Canceller:
    """Cancels a feedback after a time. To be made after the fork: its thread would be missing in a worker."""

    def __init__(self) -> None:
        self._thread = QThread()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.moveToThread(self._thread)
        self._thread.start()

    def close(self) -> None:
        """End the thread: Qt aborts a process that drops one which still runs."""
        self._thread.quit()
        self._thread.wait()

    @contextlib.contextmanager
    def after(self, seconds: float, feedback: QgsFeedback) -> Iterator[None]:
        """Cancel the feedback if the block takes longer than so many seconds and a moment."""
        self._timer.timeout.connect(feedback.cancel, Qt.ConnectionType.DirectConnection)
        milliseconds = max(0, int(1000 * (seconds + _MOMENT)))
        QMetaObject.invokeMethod(
            self._timer, "start", Qt.ConnectionType.QueuedConnection, Q_ARG(int, milliseconds)
        )
        try:
            yield
        finally:
            # Waits until the other thread is out of `cancel`: the feedback may be destroyed after it.
            QMetaObject.invokeMethod(self._timer, "stop", Qt.ConnectionType.BlockingQueuedConnection)
            self._timer.timeout.disconnect()
