"""The nodes behind the mutants: T1 to T18, the mistakes that people really make with an atomic commit, and the coordinator from
the lessons. Each is a few lines in place of a method of the healthy classes.

`main` is an entry of its own: the healthy node cannot become one of these by any option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from reference_systems.kit.env import Env
from reference_systems.payments_2pc.config import Config
from reference_systems.payments_2pc.coordinator import Coordinator, Transaction
from reference_systems.payments_2pc.core import Payments
from reference_systems.payments_2pc.journal import Record
from reference_systems.payments_2pc.messages import Decision, Prepare, Vote
from reference_systems.payments_2pc.node import serve
from reference_systems.payments_2pc.participant import Participant
from reference_systems.payments_2pc.source_coordinator import SourcePayments
from reference_systems.payments_2pc.state import Prepared

__all__ = ["main"]


class _T1(Coordinator):
    def log_commit(self, record: Record, then: Callable[[], None]) -> None:
        self._state.apply(record)
        then()


class _T2(Coordinator):
    def log_commit(self, record: Record, then: Callable[[], None]) -> None:
        self._note(record)
        then()


class _T3(Participant):
    def inquire(self, tx: str, now: float) -> None:
        self.conclude(tx, False, forced=True)


class _T4(Participant):
    def inquire(self, tx: str, now: float) -> None:
        self.conclude(tx, True, forced=True)


class _T5(Participant):
    def log_promise(self, record: Record, then: Callable[[], None]) -> None:
        self._state.apply(record)
        then()


class _T6(Participant):
    def was_charged(self, ask: Prepare) -> bool:
        return False


class _T7(Coordinator):
    def announce(self, one: Transaction, concerned: tuple[str, ...]) -> None:
        super().announce(one, concerned)
        one.unacked = []
        self.forget_if_known(one)


class _T8(Participant):
    def promise(self, coordinator: str, ask: Prepare, now: float) -> None:
        super().promise(coordinator, ask, now)
        self.locks.release(ask.tx)


class _T9(Coordinator):
    def give_up(self, one: Transaction) -> None:
        one.votes = {node: Vote(tx=one.tx) for node in one.shares} | one.votes
        self.consider(one)


class _T10(Coordinator):
    def consider(self, one: Transaction) -> None:
        if 2 * sum(vote.says == "yes" for vote in one.votes.values()) > len(one.shares):
            self.commit(one)
        elif len(one.votes) == len(one.shares):
            self.abort(one)


class _T11(Coordinator):
    def resend(self, one: Transaction, nodes: list[str]) -> None:
        one.due = float("inf")

    def outcome(self, tx: str) -> bool | None:
        return None if tx in self.active else super().outcome(tx)


class _T12(Participant):
    def on_decision(self, coordinator: str, decision: Decision) -> None:
        promises: dict[str, Prepared] = self.__dict__.setdefault("promises", {})
        promises.update(self._state.prepared)
        if decision.commit and decision.tx in self._state.finished and decision.tx in promises:
            self._state.prepared[decision.tx] = promises[decision.tx]
        super().on_decision(coordinator, decision)


class _T13(Participant):
    def is_over(self, tx: str) -> bool:
        return False


class _T14(Coordinator):
    def next_id(self) -> str:
        self._numbers += 1
        return f"{self._name}.1.{self._numbers}"


class _T15(Participant):
    def changes_nothing(self, ask: Prepare) -> bool:
        return self._config.read_only


class _T16(Coordinator):
    def abort(self, one: Transaction) -> None:
        one.commit = False
        self.answer(one)


class _T18(Coordinator):
    def outcome(self, tx: str) -> bool | None:
        return super().outcome(tx) or False


def _machine(coordinator: type[Coordinator] = Coordinator, participant: type[Participant] = Participant) -> type[Payments]:
    return type("BrokenPayments", (Payments,), {"coordinators": coordinator, "participants": participant})


_MACHINES: Mapping[str, Callable[[], type[Payments]]] = MappingProxyType(
    {
        "T1": partial(_machine, _T1),
        "T2": partial(_machine, _T2),
        "T3": partial(_machine, participant=_T3),
        "T4": partial(_machine, participant=_T4),
        "T5": partial(_machine, participant=_T5),
        "T6": partial(_machine, participant=_T6),
        "T7": partial(_machine, _T7),
        "T8": partial(_machine, participant=_T8),
        "T9": partial(_machine, _T9),
        "T10": partial(_machine, _T10),
        "T11": partial(_machine, _T11),
        "T12": partial(_machine, participant=_T12),
        "T13": partial(_machine, participant=_T13),
        "T14": partial(_machine, _T14),
        "T15": partial(_machine, participant=_T15),
        "T16": partial(_machine, _T16),
        "T18": partial(_machine, _T18),
        "SOURCE": lambda: SourcePayments,
    }
)


async def main(env: Env) -> None:
    """A node with the mistake that `options["mutant"]` names."""
    options = dict(env.options)
    machine = _MACHINES[options.pop("mutant")]()
    await serve(env, Config.of(options), machine)
