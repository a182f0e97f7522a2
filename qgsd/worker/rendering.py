# SPDX-License-Identifier: GPL-2.0-or-later
"""Having QGIS answer requests, in the time that there is."""

from __future__ import annotations

import contextlib
import logging
import time
import traceback

from qgis.core import QgsProject

from qgsd import messages
from qgsd.child import Child
from qgsd.worker import cancelling
from qgsd.worker.adapters import StreamedResponse, qgis_request
from qgsd.worker.answer import Answer
from qgsd.worker.debugging import debugging
from qgsd.worker.inbox import Assigned
from qgsd.worker.metatile import Metatiles
from qgsd.worker.qgis_server import QgisServer

logger = logging.getLogger("qgsd.worker")


class Rendering:
    """Runs one request at a time until `row.deadline` of its child."""

    def __init__(self, child: Child, qgis: QgisServer) -> None:
        self.child = child
        self.qgis = qgis
        self.canceller = cancelling.Canceller() if cancelling.is_possible() else None
        self.metatiles = Metatiles(qgis, self._in_time)

    def close(self) -> None:
        if self.canceller is not None:
            self.canceller.close()

    def answer(self, one: Assigned, project: QgsProject | None, answer: Answer) -> None:
        """Whatever QGIS and its plugins do, the request has an answer, or is known to have none."""
        with debugging(one.request):
            if not (one.joined and project and self._together(one, project, answer)):
                self._alone(one.request, one.body, project, answer)

    def _together(self, one: Assigned, project: QgsProject, answer: Answer) -> bool:
        """Answer all that are to be rendered as one, the first of them last; False if that cannot be."""
        requests = (one.request, *one.joined)
        cut = self.metatiles.draw(requests, project, one.assignment.generation)
        if cut is None:
            return False
        answer.tiles = len(requests)
        first, *others = cut.pictures
        for request, queued, picture in zip(one.joined, one.assignment.joined, others, strict=True):
            answer.beside(request.id, queued).send(200, cut.headers, picture, True)
        answer.send(200, cut.headers, first, True)
        return True

    def _alone(
        self, request: messages.Request, body: bytes, project: QgsProject | None, answer: Answer
    ) -> None:
        response = StreamedResponse(answer.send)
        try:
            asked = qgis_request(request, body, self.qgis.service_urls)
            with self._in_time(response):
                self.qgis.server.handleRequest(asked, response, project)
            if response.cancelled:
                self._give_up(request, response, answer)
            else:
                response.finish()
        except Exception as error:
            logger.error("request %s failed: %s\n%s", request.id, error, traceback.format_exc())
            if response.finished:
                return
            if response.started:
                answer.end(complete=False)
            else:
                message = "QGIS failed on this request; the log of the server has the reason"
                answer.fail(500, "qgis_failed", message)

    def _in_time(self, response: StreamedResponse) -> contextlib.AbstractContextManager[None]:
        """Ask QGIS to stop when the deadline passes, where it can be asked."""
        if self.canceller is None:
            return contextlib.nullcontext()
        return self.canceller.after(self.child.row.deadline - time.monotonic(), response.feedback())

    def _give_up(self, request: messages.Request, response: StreamedResponse, answer: Answer) -> None:
        """QGIS has stopped when it was asked to. The dispatcher has told the client, or does now."""
        self.child.happened(
            "request.cancelled", "QGIS stopped rendering at the deadline", project=request.project
        )
        if response.started:
            answer.end(complete=False)
        else:
            message = f"no complete answer within the deadline of {request.timeout:.3g} s"
            answer.fail(504, "timeout", message)
