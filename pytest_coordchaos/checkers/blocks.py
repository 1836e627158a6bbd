"""Registers whose looked-at values were each written once: linearizability in O(n log n). Pure.

The operations on one value form a cluster (the write, and the reads that saw it); a successful
compare-and-set glues two clusters together; glued clusters form a block. With f the earliest return
in a block and s the latest invocation, block A must precede block B when f_A < s_B, and the history
is linearizable exactly when no two blocks must each precede the other and each block is in order
inside. (Of all blocks on a cycle the one with the latest s is preceded by all others, its own
successor among them: pairs suffice.) Sources: Gibbons & Korach, SIAM J. Comput. 1997, and the zones
of Golab, Li & Shah, PODC 2011; the gluing is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from pytest_coordchaos.checkers.models import Access, Model
from pytest_coordchaos.history.model import Operation, Outcome

__all__ = ["Block", "Blocks", "Cluster", "Contradiction", "blocks_of"]

Touch = tuple[Operation, Access]
_BEFORE_ALL_NS = -1


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Operations that cannot all be explained.

    Args:
        operations: The ones that contradict each other.
        context: Those that wrote what these saw, or saw what these wrote though nobody was told so.
    """

    operations: tuple[Operation, ...]
    context: tuple[Operation, ...] = ()


@dataclass(slots=True, eq=False)
class Cluster:
    """One value's write (None: it is the initial value) and the reads that saw it."""

    writer: Operation | None
    readers: list[Operation] = field(default_factory=list)
    successor: Cluster | None = None
    glued: bool = False
    first_return_ns: int = _BEFORE_ALL_NS
    last_invoke_ns: int = _BEFORE_ALL_NS

    def operations(self) -> list[Operation]:
        """The write first, then the reads in order of invocation."""
        reads = sorted(self.readers, key=lambda op: op.invoke_ns)
        return reads if self.writer is None else [self.writer, *reads]

    def measure(self) -> None:
        """Set f and s, once all reads are in."""
        members = self.operations()
        self.last_invoke_ns = max((op.invoke_ns for op in members), default=_BEFORE_ALL_NS)
        if self.writer is not None:
            self.first_return_ns = min(op.return_ns for op in members)


@dataclass(slots=True, eq=False)
class Block:
    """Clusters that stand side by side in every order, with their common f and s."""

    clusters: list[Cluster]
    first_return_ns: int
    last_invoke_ns: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """The history of one register, cut into blocks.

    Args:
        blocks: In no particular order.
        by_value: Looked-at value -> its cluster and its block.
        mismatches: Completed compare-and-sets that saw another value; not in any block.
        touches: All operations that happened.
        whole: Nothing was left out: an order of the blocks is a proof.
        contradiction: What cannot be explained, if blocks alone show it.
    """

    blocks: tuple[Block, ...] = ()
    by_value: dict[Hashable, tuple[Cluster, Block]] = field(default_factory=dict)
    mismatches: tuple[Touch, ...] = ()
    touches: tuple[Touch, ...] = ()
    whole: bool = True
    contradiction: Contradiction | None = None


def blocks_of(operations: Sequence[Operation], model: Model) -> Blocks | None:
    """The history of one register cut into blocks; None for models that are no registers.

    Values that are looked at but were perhaps written more than once are left out: their reads and
    writes are dropped, and a compare-and-set from or to one of them is taken for a plain write, or a
    read. Whatever explains the whole history explains the rest, so a contradiction stays one; but an
    order of the rest proves nothing (`whole` is False).

    Args:
        operations: Completed and crashed operations of one object, no failed ones.
        model: Any model; only registers (`access`) can be cut.
    """
    if model.access is None:
        return None
    touches = [(op, model.access(op)) for op in operations]
    if any(access.kind == "append" for _, access in touches):
        return None
    happened, looked = _that_happened(touches)
    writers = Counter(access.new for _, access in touches if access.kind in ("write", "cas") and access.new in looked)
    writers[model.initial] += 1
    repeated = frozenset(value for value in looked if writers[value] > 1)
    if repeated:
        happened, looked = _that_happened([touch for touch in (_without(repeated, *touch) for touch in touches) if touch])
    return _cut(happened, looked, model.initial, whole=not repeated)


def _without(repeated: frozenset[Hashable], op: Operation, access: Access) -> Touch | None:
    """The touch, as far as it concerns other values; None where nothing is left."""
    sees = access.kind in ("read", "cas", "mismatch") and access.expected not in repeated
    leaves = access.kind in ("write", "cas") and access.new not in repeated
    if access.kind != "cas" or (sees and leaves):
        return (op, access) if sees or leaves else None
    if leaves:
        return op, Access("write", None, access.new)
    return (op, Access("read", access.expected)) if sees and op.outcome is Outcome.OK else None


def _that_happened(touches: Sequence[Touch]) -> tuple[list[Touch], set[Hashable]]:
    """Completed operations, and crashed ones whose value was looked at; and all looked-at values."""
    seen = {access.expected for op, access in touches if op.outcome is Outcome.OK and access.kind in ("read", "cas")}
    crashed: dict[Hashable, Access] = {access.new: access for op, access in touches if op.outcome is not Outcome.OK}
    todo = list(seen)
    while todo:
        access = crashed.get(todo.pop())
        if access is not None and access.kind == "cas" and access.expected not in seen:
            seen.add(access.expected)
            todo.append(access.expected)
    happened = [
        (op, access)
        for op, access in touches
        if access.kind != "read-any" and (op.outcome is Outcome.OK or (access.kind in ("write", "cas") and access.new in seen))
    ]
    return happened, seen | {access.expected for _, access in happened if access.kind == "mismatch"}


def _cut(happened: Sequence[Touch], looked: set[Hashable], initial: Hashable, *, whole: bool) -> Blocks:
    by_value: dict[Hashable, Cluster] = {initial: Cluster(None)}
    clusters = [by_value[initial]]
    for op, access in happened:
        if access.kind in ("write", "cas"):
            clusters.append(Cluster(op))
            if access.new in looked:
                by_value[access.new] = clusters[-1]
    wrong = _fill(happened, clusters, by_value)
    if wrong:
        return Blocks(touches=tuple(happened), whole=whole, contradiction=wrong)
    for cluster in clusters:
        cluster.measure()
    blocks = tuple(_glued(clusters))
    circle = {id(cluster) for cluster in clusters} - {id(cluster) for block in blocks for cluster in block.clusters}
    if circle:
        wrong = Contradiction(tuple(c.writer for c in clusters if id(c) in circle and c.writer))
        return Blocks(touches=tuple(happened), whole=whole, contradiction=wrong)
    home = {id(cluster): block for block in blocks for cluster in block.clusters}
    mismatches = tuple(touch for touch in happened if touch[1].kind == "mismatch")
    places = {value: (cluster, home[id(cluster)]) for value, cluster in by_value.items()}
    return Blocks(blocks=blocks, by_value=places, mismatches=mismatches, touches=tuple(happened), whole=whole)


def _fill(happened: Sequence[Touch], clusters: Sequence[Cluster], by_value: dict[Hashable, Cluster]) -> Contradiction | None:
    """Put reads into their clusters and tie what compare-and-sets glue."""
    made = {id(cluster.writer): cluster for cluster in clusters}
    for op, access in happened:
        if access.kind not in ("read", "cas"):
            continue
        cluster = by_value.get(access.expected)
        if cluster is None:
            return Contradiction((op,))  # nobody wrote what it saw
        if cluster.writer and op.return_ns < cluster.writer.invoke_ns:
            return Contradiction((op, cluster.writer))  # it saw what was written later
        if access.kind == "read":
            cluster.readers.append(op)
            continue
        if cluster.successor and cluster.successor.writer:  # two replaced the same value
            return Contradiction((cluster.successor.writer, op), (cluster.writer,) if cluster.writer else ())
        cluster.successor = made[id(op)]
        cluster.successor.glued = True
    return None


def _glued(clusters: Sequence[Cluster]) -> Iterator[Block]:
    for first in clusters:
        if first.glued:
            continue
        chain = [first]
        while chain[-1].successor:
            chain.append(chain[-1].successor)
        yield Block(chain, min(c.first_return_ns for c in chain), max(c.last_invoke_ns for c in chain))
