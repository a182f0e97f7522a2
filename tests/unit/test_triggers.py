# SPDX-License-Identifier: GPL-2.0-or-later
"""When a changed file means a restart."""

from __future__ import annotations

from pathlib import Path

from qgsd.master.triggers import Triggers


def test_a_touched_trigger_counts_once_it_has_come_to_rest(tmp_path: Path) -> None:
    trigger = tmp_path / "restart"
    trigger.write_text("1")
    triggers = Triggers(str(trigger), "")
    assert triggers.changed() == ""
    trigger.write_text("22")
    assert triggers.changed() == ""
    trigger.write_text("333")
    assert triggers.changed() == "", "it still changes"
    assert triggers.changed() == f"{trigger} has changed"
    assert triggers.changed() == ""


def test_a_trigger_may_appear_later_and_go_again(tmp_path: Path) -> None:
    trigger = tmp_path / "restart"
    triggers = Triggers(str(trigger), "")
    trigger.touch()
    triggers.changed()
    assert "restart has changed" in triggers.changed()
    trigger.unlink()
    assert [triggers.changed() for _ in range(3)] == ["", "", ""]


def test_manifests_of_plugins_count(tmp_path: Path) -> None:
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "metadata.txt").write_text("[general]")
    (tmp_path / "plugin" / "__init__.py").write_text("")
    triggers = Triggers("", str(tmp_path))
    (tmp_path / "plugin" / "__init__.py").write_text("changed = 1")
    assert [triggers.changed(), triggers.changed()] == ["", ""]
    (tmp_path / "plugin" / ".update-manifest").write_text("1")
    triggers.changed()
    assert ".update-manifest has changed" in triggers.changed()


def test_nothing_to_watch_is_never_a_reason() -> None:
    assert Triggers("", "").changed() == ""
