# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may look, and who may change things, at the management port. Pure.

Looking is free for this machine; whoever comes from elsewhere must send the token, and so must
whoever wants to change anything. The token comes as `Authorization: Bearer TOKEN` (RFC 6750) and in no
other way: an address with a token in it would end in logs.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from dataclasses import dataclass

_BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)


class Denied(Exception):
    """An answer that is no result. `allow`: the methods of a 405."""

    def __init__(self, status: int, code: str, message: str, allow: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.allow = allow


@dataclass(frozen=True)
class Caller:
    """Who asks. `local`: the connection came over an address of this machine only; `host`: as the client
    names us; `authorization`: its header."""

    local: bool
    host: str
    authorization: str = ""


def knows_token(caller: Caller, token: str) -> bool:
    """Whether the caller has sent the token, compared in constant time."""
    match = _BEARER.fullmatch(caller.authorization)
    return bool(token and match and hmac.compare_digest(match[1].encode(), token.encode()))


def check_reading(caller: Caller, token: str) -> None:
    """Raises `Denied` for one who may not look."""
    if knows_token(caller, token):
        return
    if not caller.local:
        raise Denied(
            401, "token_needed", "from other machines the token of [management] must be sent as Bearer"
        )
    if not is_own_name(caller.host):
        # A page of another site may have its name lead here (DNS rebinding) and then read what comes.
        raise Denied(
            421, "misdirected",
            "without a token this port answers to localhost and IP addresses only; a proxy must say one",
        )  # fmt: skip


def check_changing(caller: Caller, token: str) -> None:
    """Raises `Denied` for one who may not change anything."""
    if not token:
        raise Denied(
            403, "read_only", "this port is read-only: no token is set in [management]; qgsdctl can do it"
        )
    if not knows_token(caller, token):
        raise Denied(401, "token_needed", "send the token of [management]: Authorization: Bearer TOKEN")


def is_own_name(host: str) -> bool:
    """Whether a Host header can only have been meant for this machine.

    >>> [is_own_name(host) for host in ("localhost:19876", "[::1]:80", "evil.example", "")]
    [True, True, False, True]
    """
    name = re.sub(r":[0-9]*$", "", host).lower()
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
