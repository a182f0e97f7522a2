# SPDX-License-Identifier: GPL-2.0-or-later
"""Logging one request in full, whatever `logging.level` says (`server.debug_request_id`)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from qgsd import messages

logger = logging.getLogger("qgsd.worker")


def debugging(request: messages.Request) -> contextlib.AbstractContextManager[None]:
    """While the body runs, everything is logged if the request may ask for that."""
    return _logging_all(request) if request.debug else contextlib.nullcontext()


@contextlib.contextmanager
def _logging_all(request: messages.Request) -> Iterator[None]:
    root = logging.getLogger()
    raised = _Raised(root.level)
    for handler in root.handlers:
        handler.addFilter(raised)
    root.setLevel(logging.DEBUG)
    logger.debug("request %s is logged in full: %s %s", request.id, request.method, request.url)
    try:
        yield
    finally:
        logger.debug("request %s has ended", request.id)
        root.setLevel(raised.level)
        for handler in root.handlers:
            handler.removeFilter(raised)


class _Raised(logging.Filter):
    """Lets records pass as of a level: the master, which writes the log, keeps back what is below it."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno = max(record.levelno, self.level)
        return True
