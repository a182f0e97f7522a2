# SPDX-License-Identifier: GPL-2.0-or-later
"""What qgsd changes in requests. It is done where QGIS has parsed them, so that no spelling is overlooked."""

from __future__ import annotations

from qgis.server import QgsServerFilter, QgsServerInterface


class FeatureLimit(QgsServerFilter):
    """Caps the number of features that WFS GetFeature gives: `server.getfeaturelimit`.

    Counting without features (RESULTTYPE=hits) is not capped.
    """

    def __init__(self, interface: QgsServerInterface, limit: int) -> None:
        super().__init__(interface)
        self._interface = interface
        self._limit = limit

    def requestReady(self) -> None:
        handler = self._interface.requestHandler()
        if handler is None or handler.parameter("SERVICE").upper() != "WFS":
            return
        # Of a posted document QGIS makes parameters too: its root's name and attributes.
        asked = handler.parameterMap()
        counted = asked.get("RESULTTYPE", "").lower() == "hits"
        if asked.get("REQUEST", "").lower() == "getfeature" and not counted:
            handler.setParameter("MAXFEATURES", self._capped(asked.get("MAXFEATURES", "")))

    def _capped(self, text: str) -> str:
        """The client's own limit where it is lower. What is no number is for QGIS to refuse."""
        text = text.strip()
        try:
            wanted = int(text or -1)
        except ValueError:
            return text
        return str(wanted if 0 <= wanted < self._limit else self._limit)
