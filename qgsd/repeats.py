# SPDX-License-Identifier: GPL-2.0-or-later
"""Saying the same thing once. Pure.

Qt and QGIS warn of the same harmless thing at every request, three times for each legend. Each line costs the
worker and the master a tenth of a millisecond, and buries what is worth reading.
"""

from __future__ import annotations

_MOST = 500


class Repeats:
    """Decides which texts are told: each at once, its repetitions as a number after `pause` seconds.

    >>> repeats = Repeats(pause=60)
    >>> [repeats.told("a", now) for now in (0, 1, 2, 61, 62)]
    ['a', None, None, 'a (3 times in 61 s)', None]
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._known: dict[str, tuple[float, int]] = {}

    def told(self, text: str, now: float) -> str | None:
        """What to write of this text now; None for nothing."""
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _MOST:
                # Texts with numbers in them; the oldest is the least likely to come again.
                self._known.pop(next(iter(self._known)))
            self._known[text] = (now, 0)
            return text
        since, times = known
        if now - since < self._pause:
            self._known[text] = (since, times + 1)
            return None
        del self._known[text]
        self._known[text] = (now, 0)
        return f"{text} ({times + 1} times in {now - since:.0f} s)"
