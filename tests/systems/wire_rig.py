"""What the tests of real servers share: a window on a cluster, and what was counted in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pytest_coordchaos import Cluster, Session
from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.run import TestRequest


@dataclass
class Counted:
    """The ledger of a window, once it is closed."""

    _ledgers: list[Ledger] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        """Everything that crossed a link."""
        return self._ledgers[0]

    def between(self, source: str, target: str) -> tuple[Counter[str], Counter[str]]:
        """Classes of the messages on links source -> target, and how many: to the target, and back."""
        there, back = Counter[str](), Counter[str]()
        for message in self.ledger.messages:
            if (message.link.source, message.link.target) == (source, target):
                (there if message.sender == source else back)[message.message_class] += 1
        return there, back

    def framed_share(self) -> float:
        """How much of all bytes lies in messages."""
        totals = self.ledger.totals
        return sum(total.framed_bytes for total in totals) / sum(total.offered_bytes for total in totals)


@contextmanager
def counted(session: Session, cluster: Cluster) -> Iterator[Counted]:
    """Count what crosses the links inside the block."""
    counted = Counted()
    session.begin_test(TestRequest(test="count", seed=1))
    with cluster.record("talk") as operation:
        yield counted
        operation.ok()
    (run,) = session.end_test()
    counted._ledgers.append(run.ledger)
