# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has used how much: workers' time is shared equally, or by weight, between those who want it.

Deficit round robin with the rounds computed instead of walked: a tenant's account grows by the seconds that
its requests took, divided by its weight, and the one with the least is next. So there is no quantum to
choose, and a decision costs a heap's logarithm however many tenants wait.

A request is charged when it begins, by what such requests took lately, and the difference when it ends.
Time that a tenant did not want is not saved up: who comes back begins at the `floor` if it has less, and who
was never seen begins at the mean of the others. The floor is where the one is that was served last, and moves
on with each that is served: it is the virtual time of weighted fair queueing. Or a stream of newcomers, or of
those that come back, could hold somebody up for ever.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

# Tenants that want nothing now, but are remembered; the latest.
_MOST_KEPT = 10_000
# Seconds that a request costs at least: the workers' time is not all there is.
_LEAST = 0.001


class Shares:
    """Accounts in weighted seconds.

    >>> shares = Shares()
    >>> shares.enter("a"); shares.charge("a", 2.0); shares.leave("a")
    >>> shares.settle("a", charged=2.0, took=1.0); shares.account("a")
    1.0
    """

    def __init__(self) -> None:
        self._floor = 0.0
        self._weights: Mapping[str, float] = {}
        # Of tenants that wait or run, and each as often as it has lines and runs.
        self._accounts: dict[str, float] = {}
        self._active: dict[str, int] = {}
        self._sum = 0.0
        # Of the others.
        self._idle: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts) + len(self._idle)

    def weigh(self, weights: Mapping[str, float]) -> None:
        """From now on these tenants (with _ for :) count so much, all others 1."""
        self._weights = weights

    def _weighted(self, tenant: str, seconds: float) -> float:
        # A name in a configuration file cannot have a colon in it.
        return seconds / self._weights.get(tenant.replace(":", "_"), 1.0) if self._weights else seconds

    def account(self, tenant: str) -> float:
        """Of a tenant that waits or runs, or has done so."""
        known = self._accounts.get(tenant)
        return known if known is not None else self._idle.get(tenant, self._floor)

    def enter(self, tenant: str) -> None:
        """A line of the tenant begins to wait."""
        mean = self._sum / len(self._accounts) if self._accounts else 0.0
        self._come(tenant, at_least=self._floor, newcomer=max(self._floor, mean))

    def leave(self, tenant: str) -> None:
        """Nothing more waits in that line."""
        self._go(tenant)

    def charge(self, tenant: str, seconds: float) -> None:
        """A request begins that is expected to take so long."""
        self._come(tenant, at_least=0.0, newcomer=self._floor)
        before = self._accounts[tenant]
        self._change(tenant, max(_LEAST, seconds))
        # As if all that are here were served at once; who comes back is still before one who was alone.
        moved = (self._accounts[tenant] - before) / max(2, len(self._accounts))
        self._floor = max(self._floor, before) + moved

    def settle(self, tenant: str, charged: float, took: float) -> None:
        """It has ended and took so long."""
        self._change(tenant, max(_LEAST, took) - max(_LEAST, charged))
        self._go(tenant)

    def refund(self, tenant: str, charged: float) -> None:
        """It has ended by no fault of the tenant, and begins again."""
        self._change(tenant, -max(_LEAST, charged))
        self._go(tenant)

    def _change(self, tenant: str, seconds: float) -> None:
        more = self._weighted(tenant, seconds)
        self._accounts[tenant] += more
        self._sum += more

    def _come(self, tenant: str, *, at_least: float, newcomer: float) -> None:
        self._active[tenant] = self._active.get(tenant, 0) + 1
        if tenant not in self._accounts:
            account = self._accounts[tenant] = max(at_least, self._idle.pop(tenant, newcomer))
            self._sum += account

    def _go(self, tenant: str) -> None:
        self._active[tenant] -= 1
        if self._active[tenant]:
            return
        del self._active[tenant]
        account = self._idle[tenant] = self._accounts.pop(tenant)
        # Sums of fractions drift; nobody has nothing.
        self._sum = self._sum - account if self._accounts else 0.0
        if len(self._idle) > _MOST_KEPT:
            self._idle.popitem(last=False)
