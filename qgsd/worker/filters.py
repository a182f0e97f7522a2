# SPDX-License-Identifier: GPL-2.0-or-later
"""What qgsd changes in requests. It is done where QGIS has parsed them, so that no spelling is overlooked."""

from __future__ import annotations

from qgis.PyQt.QtXml import QDomDocument
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
        asked = handler.parameterMap()
        counted = asked.get("RESULTTYPE", "").lower() == "hits"
        # A posted document names the operation by its root, and has its own limit.
        document = QDomDocument()
        if document.setContent(asked.get("REQUEST_BODY", ""), True)[0]:
            root = document.documentElement()
            if root.localName() == "GetFeature" and root.attribute("resultType") != "hits":
                root.setAttribute("maxFeatures", self._capped(root.attribute("maxFeatures")))
                handler.setParameter("REQUEST_BODY", document.toString(-1))
        elif asked.get("REQUEST", "").lower() == "getfeature" and not counted:
            handler.setParameter("MAXFEATURES", self._capped(asked.get("MAXFEATURES", "")))

    def _capped(self, text: str) -> str:
        """The client's own limit where it is lower. What is no number is for QGIS to refuse."""
        text = text.strip()
        try:
            wanted = int(text or -1)
        except ValueError:
            return text
        return str(wanted if 0 <= wanted < self._limit else self._limit)
