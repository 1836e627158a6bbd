"""The numbers of a run that its summary shows: counted by the same rules as budgets. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

from pytest_coordchaos.cost.background import background_per_s
from pytest_coordchaos.cost.counting import IdleRate, Observed, bytes_per_op, messages_per_op
from pytest_coordchaos.cost.latency import percentile
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.history.model import History, Outcome
from pytest_coordchaos.run import Figures
from pytest_coordchaos.system.model import Port

__all__ = ["figures"]


def figures(
    history: History, ledger: Ledger, ports: Sequence[Port], nodes: Iterable[str], idle: IdleRate | None = None
) -> Figures:
    """Counts, percentiles and shares of one window; None for what is unknown.

    CPU seconds are not in the ledger: the caller adds them. A percentile that unanswered operations
    can move is shown by its lower bound.
    """
    seen = Observed(history, ledger, ports, nodes, idle)
    ended = Counter(op.outcome for op in history)
    answered = not seen.operations_doubt(None)
    return Figures(
        operations=len(history),
        ok=ended[Outcome.OK],
        fail=ended[Outcome.FAIL],
        info=ended[Outcome.INFO],
        messages_per_op=messages_per_op(seen, None).value,
        bytes_per_op=bytes_per_op(seen, None).value,
        p50_ms=percentile(history, 50).least_ms if answered else None,
        p99_ms=percentile(history, 99).least_ms if answered else None,
        background_messages_per_s=background_per_s(seen, None).value,
        framed_share=_number(seen.framed_share),
        attributed_share=_number(seen.attributed_share),
    )


def _number(share: Fraction | None) -> float | None:
    return None if share is None else float(share)
