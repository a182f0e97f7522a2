# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster key: read from files and variables, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from qgsd import cluster_key
from qgsd.cluster_key import ClusterKey, KeyRing
from qgsd.config import load
from qgsd.errors import StartError


def settings(**environ: str):  # type: ignore[no-untyped-def]
    return load(None, environ, {}).settings.zmq


def test_a_new_file_holds_a_key_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "key"
    cluster_key.write_new(path)
    assert path.stat().st_mode & 0o777 == 0o600
    (key,) = cluster_key.read(path)
    assert key.public("proxy") != key.public("worker")
    with pytest.raises(StartError, match="exists"):
        cluster_key.write_new(path)


def test_the_order_of_a_file_is_the_order_of_use(tmp_path: Path) -> None:
    new, old = cluster_key.generate(), cluster_key.generate()
    path = tmp_path / "key"
    path.write_text(f"# ours\n{new}   # since May\n\n{old}\n")
    path.chmod(0o640)
    assert cluster_key.keys_of(settings(QGSRV_ZMQ_KEY_FILE=str(path))) == [
        cluster_key.parse(new),
        cluster_key.parse(old),
    ]


def test_a_variable_may_hold_the_key_or_its_path(tmp_path: Path) -> None:
    text = cluster_key.generate()
    (tmp_path / "key").write_text(text)
    (tmp_path / "key").chmod(0o600)
    by_path = cluster_key.keys_of(settings(QGSRV_ZMQ_KEY=str(tmp_path / "key")))
    assert by_path == cluster_key.keys_of(settings(QGSRV_ZMQ_KEY=text)) == [cluster_key.parse(text)]
    assert cluster_key.keys_of(settings()) == []


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0, "cannot be read"),
        ("", 0o600, "holds no key"),
        ("# nothing\n", 0o600, "holds no key"),
        ("qgsd-short\n", 0o600, "line 1"),
        ("VALID\nsecret-in-the-wrong-file\n", 0o600, "line 2"),
        ("VALID\n", 0o644, "every user of this machine can read"),
    ],
)
def test_a_wrong_file_is_told_without_its_content(
    tmp_path: Path, content: str | None, mode: int, said: str
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content.replace("VALID", cluster_key.generate()))
        path.chmod(mode)
    with pytest.raises(StartError, match=said) as refused:
        cluster_key.read(path)
    assert "secret-in" not in str(refused.value)
    assert "qgsd-" not in str(refused.value).replace("qgsd-generated", "").partition("a line of")[0]


def test_a_key_is_not_shown(tmp_path: Path) -> None:
    text = cluster_key.generate()
    assert text not in repr(cluster_key.parse(text))
    assert str(cluster_key.parse(text).secret) not in repr(cluster_key.parse(text))


def test_a_refusal_is_told_when_all_keys_were_refused_and_once_a_minute() -> None:
    ring = KeyRing([ClusterKey(b"a"), ClusterKey(b"b")])
    told = [now for now in range(100) if ring.refused(now)]
    assert told == [7, 67], "four tries of each key"
    ring.accepted()
    assert not ring.refused(200.0)
