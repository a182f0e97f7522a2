# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import threading

import pytest

from qgsd.worker import background


def test_the_claim_is_lowered_and_taken_back_for_all_threads() -> None:
    usual, go = os.getpriority(os.PRIO_PROCESS, 0), threading.Event()
    if not background._may_return_to(usual):
        pytest.skip("this process may not take it back")
    with background.in_background():
        assert os.getpriority(os.PRIO_PROCESS, 0) > usual
        thread = threading.Thread(target=go.wait, daemon=True)
        thread.start()
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id) > usual
    assert os.getpriority(os.PRIO_PROCESS, 0) == os.getpriority(os.PRIO_PROCESS, thread.native_id) == usual
    go.set()


def test_what_may_not_be_taken_back_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_may_return_to", lambda nice: False)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    with background.in_background():
        assert os.getpriority(os.PRIO_PROCESS, 0) == usual
