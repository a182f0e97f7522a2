# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster key: one secret that proxies and worker machines share.

A key is 32 random bytes, written as text on one line. Two CURVE key pairs (RFC 26) are derived from it, one
for each end of a connection: with a single pair for both, whoever holds one end could pass for the other
without the secret being used the way the protocol's proofs assume.

A key file has a key a line, the one in use first; the others are still, or already, accepted. So a key is
exchanged without a pause: add the new one behind the old everywhere, then put it first everywhere, then
take the old one away.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import zmq
from zmq.utils import z85

from qgsd.config.options import ZmqSettings
from qgsd.errors import StartError

_BYTES = 32
_TEXT = re.compile(r"qgsd-[A-Za-z0-9_-]{43}")
_MAX_FILE = 65536

End = Literal["proxy", "worker", "master", "operator"]


@dataclass(frozen=True, repr=False)
class ClusterKey:
    """One key. Its representation does not tell it: keys must not get into logs."""

    secret: bytes

    def pair(self, end: End) -> tuple[bytes, bytes]:
        """Public and secret CURVE key, Z85, of one end of a connection."""
        own = z85.encode(hashlib.blake2b(self.secret, digest_size=32, person=f"qgsd {end}".encode()).digest())
        return zmq.curve_public(own), own

    def public(self, end: End) -> bytes:
        """The public half alone."""
        return self.pair(end)[0]


def generate() -> str:
    """A new key, as it stands in a file.

    >>> parse(generate()).public("proxy") != parse(generate()).public("proxy")
    True
    """
    return "qgsd-" + base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).rstrip(b"=").decode()


def write_new(path: Path) -> None:
    """A new key in a new file that only its owner can read. Raises `StartError`, also when it exists."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"# A cluster key of qgsd. Whoever has it can join as a worker.\n{generate()}\n")
    except FileExistsError:
        raise StartError(f"{path} exists; a key in use is not overwritten") from None
    except OSError as error:
        raise StartError(f"{path} cannot be written: {error.strerror}") from error


def parse(text: str) -> ClusterKey:
    """The key that `generate` wrote. Raises ValueError, which does not repeat the text."""
    if not _TEXT.fullmatch(text):
        raise ValueError("that is no key made by `qgsd keygen`: a line of qgsd- and 43 letters and digits")
    try:
        return ClusterKey(base64.urlsafe_b64decode(text.removeprefix("qgsd-") + "="))
    except binascii.Error as error:
        raise ValueError("the key is damaged") from error


def keys_of(settings: ZmqSettings) -> list[ClusterKey]:
    """The keys in force, the one in use first; none without the option. Raises `StartError`."""
    if settings.key_file:
        return read(Path(settings.key_file))
    if "/" in settings.key:
        return read(Path(settings.key))
    if not settings.key:
        return []
    try:
        return [parse(one) for one in re.split(r"[\s,]+", settings.key)]
    except ValueError as error:
        raise StartError(f"[zmq] key (QGSRV_ZMQ_KEY): {error}") from error


def read(path: Path, option: str = "[zmq] key_file") -> list[ClusterKey]:
    """The keys of a file; `#` begins a comment. Raises `StartError`, which names the option."""
    try:
        mode = os.stat(path).st_mode
        if mode & stat.S_IROTH:
            raise StartError(
                f"{option}: every user of this machine can read {path}: chmod o-r {path}, and make a "
                "new key if others are on it"
            )
        with path.open(encoding="ascii", errors="replace") as file:
            lines = file.read(_MAX_FILE).splitlines()
    except OSError as error:
        raise StartError(f"{option}: {path} cannot be read: {error.strerror}") from error
    keys = []
    for number, line in enumerate(lines, 1):
        if text := line.partition("#")[0].strip():
            try:
                keys.append(parse(text))
            except ValueError as error:
                raise StartError(f"{option}: {path}, line {number}: {error}") from error
    if not keys:
        raise StartError(f"{option}: {path} holds no key; `qgsd keygen` makes one")
    return keys


# The two ends.


def lock(socket: zmq.Socket[bytes], key: ClusterKey) -> None:
    """What the socket binds from now on speaks CURVE only, under this key."""
    socket.curve_secretkey = key.pair("proxy")[1]
    socket.curve_server = True
    # A domain has every connection asked for at the admission (ZAP, RFC 27).
    socket.zap_domain = b"workers"


def unlock(socket: zmq.Socket[bytes], key: ClusterKey) -> None:
    """What the socket connects to from now on must hold this key, and is told that we do."""
    socket.curve_publickey, socket.curve_secretkey = key.pair("worker")
    socket.curve_serverkey = key.public("proxy")


# The control socket. Its public half is derived from the secret and never sent, so whoever gets through the
# handshake holds the key: nobody has to be asked at the admission.


def guard(socket: zmq.Socket[Any], key: ClusterKey) -> None:
    """The control socket speaks CURVE only, and only with those who hold this key."""
    socket.curve_secretkey = key.pair("master")[1]
    socket.curve_server = True


def introduce(socket: zmq.Socket[bytes], key: ClusterKey) -> None:
    """A client of such a control socket, before it connects."""
    socket.curve_publickey, socket.curve_secretkey = key.pair("operator")
    socket.curve_serverkey = key.public("master")


# A dispatcher that leaves listens beside its successor, under the key of before.
_TRIES = 4
_QUIET_SECONDS = 60.0


class KeyRing:
    """Which key a worker tries: the first, and while keys are exchanged the others in turn.

    >>> ring = KeyRing([ClusterKey(b"old"), ClusterKey(b"new")])
    >>> [ring.turn() for _ in range(4)], ring.current.secret
    ([False, False, False, True], b'new')
    """

    def __init__(self, keys: list[ClusterKey]) -> None:
        self._keys = list(keys)
        self._complained_at = float("-inf")
        self._refusals = 0
        self._tries = 0

    @property
    def current(self) -> ClusterKey | None:
        """The key to try now; None where there is none."""
        return self._keys[0] if self._keys else None

    def replace(self, keys: list[ClusterKey]) -> None:
        """These keys from the next connection on."""
        self._keys = list(keys)

    def accepted(self) -> None:
        """The key of now is the right one."""
        self._refusals = self._tries = 0

    def refused(self, now: float) -> bool:
        """The key of now was not accepted. Whether to say so: when none was, and at most once a minute."""
        self._refusals += 1
        if self._refusals < _TRIES * len(self._keys) or now - self._complained_at < _QUIET_SECONDS:
            return False
        self._complained_at = now
        return True

    def turn(self) -> bool:
        """After a refusal: whether it is time for another key; `current` is then that one."""
        self._tries += 1
        if len(self._keys) < 2 or self._tries < _TRIES:
            return False
        self._tries = 0
        self._keys.append(self._keys.pop(0))
        return True
