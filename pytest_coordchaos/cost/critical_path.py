"""Critical paths: the chain of messages and forced writes that an operation's answer waited for. Pure.

Only a simulator knows what set off what, so only its ledgers have them; they are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CriticalPath", "Step", "paths_of"]


class Step(NamedTuple):
    """One message on its way, or one forced write. A tuple, because paths have many.

    Args:
        sender, receiver: Between whom; both the node, for a forced write.
        name: The message's class; "sync" for a forced write.
        begun_ns, ended_ns: When it was sent and arrived, or began and was done.
    """

    sender: str
    receiver: str
    name: str
    begun_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """What one operation's answer waited for, first to last.

    Args:
        operation: Its id.
        steps: From the request to the answer.
        nodes: Names of the nodes; anybody else is a client.
    """

    operation: int
    steps: tuple[Step, ...]
    nodes: frozenset[str]

    @property
    def delays(self) -> int:
        """Sequential message delays between nodes."""
        return sum(step.sender != step.receiver and {step.sender, step.receiver} <= self.nodes for step in self.steps)

    @property
    def forced_writes(self) -> int:
        """Sequential forced writes."""
        return sum(step.name == "sync" and step.sender == step.receiver for step in self.steps)

    def __str__(self) -> str:
        return " > ".join(
            f"{step.sender} syncs" if step.sender == step.receiver else f"{step.sender}->{step.receiver} {step.name}"
            for step in self.steps
        )


def paths_of(
    rows: Sequence[tuple[Step, int]], answered: Iterable[tuple[int, int, int]], nodes: Iterable[str]
) -> Mapping[int, CriticalPath]:
    """The path of each operation that was answered.

    Where an operation had to wait for something that was under way when its request arrived (it went with the next
    batch), its path is the request, and then what came of that.

    Args:
        rows: Number -> (step, number of the row that caused it); row 0 is nobody's.
        answered: (operation, row of its request, row of the last message that carried it to its client).
        nodes: Names of the nodes.
    """
    names, found = frozenset(nodes), {}
    for operation, request, answer in answered:
        first, _ = rows[request]
        steps, row = [], answer
        while row and row != request:
            step, cause = rows[row]
            if step.begun_ns < first.begun_ns:
                break
            steps.append(step)
            row = cause
        found[operation] = CriticalPath(operation=operation, steps=(first, *reversed(steps)), nodes=names)
    return found
