"""What the service is loaded with: transfers under fresh keys, reads of one account and of all, and questions about decisions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pytest_coordchaos import Final, Request, Workload
from reference_systems.payments_2pc.requests import REPORTS

__all__ = ["INVARIANTS", "is_settled", "transfers"]

INVARIANTS = (
    "ac1-agreement",
    "ac2-irrevocable",
    "ac3-validity",
    "ac4-no-needless-abort",
    "ac5-termination",
    "bank",
    "reads-explained",
    "no-duplicate-transactions",
    "locks-released",
)
"""What a payment service promises; see docs/reference/invariants.md."""

_RUN_STRIDE = 1_000_000


def transfers(
    *,
    accounts: int = 8,
    clients: int = 5,
    rate_per_s: float | None = None,
    total_share: float = 0.1,
    balance_share: float = 0.1,
    report_share: float = 0.02,
    witness_share: float = 0.1,
    most: int = 40,
    operations: int | None = None,
    timeout_s: float = 4.0,
) -> Workload:
    """Transfers between accounts a1 … a<accounts>, and reads; all invariants of a payment service.

    Args:
        accounts: How many; those of the System.
        clients: Concurrent clients.
        rate_per_s: Operations per second of all clients (open loop); None: as fast as they are answered.
        total_share, balance_share, report_share: Shares of reads of all accounts, of one account, and of questions about
            decisions (0..1); the rest are transfers.
        witness_share: Share of transfers that also name an account to which nothing is added.
        most: Largest amount of a transfer; the more it is, the more often funds do not suffice.
        operations: Stop after so many; None: only the time limit.
        timeout_s: A call that takes longer is recorded as info.

    Raises:
        ValueError: An argument out of range.
    """
    shares = (total_share, balance_share, report_share, witness_share)
    if min(shares) < 0 or witness_share > 1 or sum(shares[:3]) > 1 or accounts < 2 or most < 1:
        raise ValueError(
            "transfers: shares are from 0 to 1, those of reads at most 1 together; two accounts or more; most from 1"
        )
    return Workload(
        name="transfers",
        requests=partial(_requests, accounts=[f"a{number}" for number in range(1, accounts + 1)], shares=shares, most=most),
        invariants=INVARIANTS,
        clients=clients,
        rate_per_s=rate_per_s,
        operations=operations,
        timeout_s=timeout_s,
        final=Final(requests=tuple(Request(f=f) for f in (*REPORTS, "total")), until=is_settled),
    )


def is_settled(answers: Mapping[str, Mapping[str, Any]]) -> bool:
    """Nobody is in doubt, and nothing is locked."""
    return not any(answer["decisions"]["in_doubt"] or answer["locks"]["held"] for answer in answers.values())


def _requests(
    rng: random.Random, *, accounts: list[str], shares: tuple[float, float, float, float], most: int
) -> Iterator[Request]:
    """Endless requests. Only `random()` is drawn from: the same stream on every Python version."""
    total, balance, report, witness = shares
    number = int(rng.random() * 1000) * _RUN_STRIDE
    while True:
        kind, which = rng.random(), rng.random()
        if kind < total:
            yield Request(f="total")
        elif kind < total + balance:
            yield Request(f="balance", key=accounts[int(which * len(accounts))])
        elif kind < total + balance + report:
            yield Request(f="decisions")
        else:
            number += 1
            yield Request(f="transfer", key=f"pay-{number}", value=_legs(rng, accounts, witness, most))


def _legs(rng: random.Random, accounts: list[str], witness: float, most: int) -> list[list[Any]]:
    """One pays one or two others, in different amounts; sometimes another account only has to exist."""
    left = list(accounts)
    chosen = [left.pop(int(rng.random() * len(left))) for _ in range(min(4, len(left)))]
    payer, amounts = chosen[0], [1 + int(rng.random() * most)]
    if rng.random() < 0.3 and len(chosen) > 2:
        amounts.append(1 + int(rng.random() * most))
    legs = [[payer, -sum(amounts)], *([account, amount] for account, amount in zip(chosen[1:], amounts, strict=False))]
    return [*legs, [chosen[3], 0]] if len(chosen) > 3 and rng.random() < witness else legs
