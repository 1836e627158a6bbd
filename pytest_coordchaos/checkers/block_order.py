"""The order of blocks: the proof that there is one, or the operations that forbid every one. Pure."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

from pytest_coordchaos.checkers.blocks import Block, Blocks, Cluster, Contradiction
from pytest_coordchaos.history.model import Operation, Outcome

__all__ = ["contradiction_of", "order_of", "stuck_mismatch"]

_SEES = ("read", "cas")


def contradiction_of(cut: Blocks) -> Contradiction | None:
    """Operations that no order of the blocks explains; None: there is none, mismatches left aside."""
    if cut.contradiction:
        return _with_evidence(cut.contradiction, cut)
    found = next(filter(None, map(_inside, cut.blocks)), None) or _between(cut.blocks)
    return _with_evidence(found, cut) if found else None


def _with_evidence(found: Contradiction, cut: Blocks) -> Contradiction:
    """Beside each crashed operation, one that shows that it happened: it saw what the crashed one wrote."""
    access_of = {op.id: access for op, access in cut.touches}
    witness: dict[Hashable, Operation] = {}
    for op, access in cut.touches:
        if access.kind in _SEES and (access.expected not in witness or op.outcome is Outcome.OK):
            witness[access.expected] = op
    shown = {op.id: op for op in (*found.operations, *found.context)}
    told = {access_of[op.id].expected for op in shown.values() if op.outcome is Outcome.OK and access_of[op.id].kind in _SEES}
    todo = [op for op in shown.values() if op.outcome is not Outcome.OK]
    while todo:
        value = access_of[todo.pop().id].new
        if value in told:
            continue
        told.add(value)
        op = witness[value]
        todo += [op] if op.id not in shown and op.outcome is not Outcome.OK else []
        shown[op.id] = op
    return Contradiction(found.operations, tuple(op for op in shown.values() if op not in found.operations))


def order_of(cut: Blocks) -> list[Operation] | None:
    """All operations in an order that explains them, to be proven by the caller; None: a mismatch fits nowhere."""
    blocks = sorted(cut.blocks, key=lambda b: (min(b.first_return_ns, b.last_invoke_ns), b.first_return_ns < b.last_invoke_ns))
    clusters = [cluster for block in blocks for cluster in block.clusters]
    order = [op for cluster in clusters for op in cluster.operations()]
    return _with_mismatches(order, clusters, cut) if cut.mismatches else order


def _inside(block: Block) -> Contradiction | None:
    """An operation on a later value that returned before one on an earlier value was invoked."""
    latest = block.clusters[0]
    for index, cluster in enumerate(block.clusters):
        if cluster.first_return_ns < latest.last_invoke_ns and cluster is not latest:
            witnesses = (_first_returned(cluster), _last_invoked(latest))
            return Contradiction(witnesses, _writers(block.clusters[block.clusters.index(latest) : index + 1], witnesses))
        if cluster.last_invoke_ns > latest.last_invoke_ns:
            latest = cluster
    return None


def _between(blocks: Sequence[Block]) -> Contradiction | None:
    """Two blocks each of which must precede the other."""
    forward = sorted((b for b in blocks if b.first_return_ns < b.last_invoke_ns), key=lambda b: b.first_return_ns)
    for before, after in pairwise(forward):
        if after.first_return_ns < before.last_invoke_ns:
            return _crossing(before, after)
    starts = [block.first_return_ns for block in forward]
    for block in blocks:
        around = bisect.bisect_left(starts, block.last_invoke_ns) - 1
        if around >= 0 and forward[around] is not block and block.first_return_ns < forward[around].last_invoke_ns:
            return _crossing(forward[around], block)
    return None


class _Member(NamedTuple):
    """An operation of a block, and the place of its cluster in it."""

    op: Operation
    place: int
    writes: bool


def _members(block: Block) -> list[_Member]:
    return [_Member(op, place, op is c.writer) for place, c in enumerate(block.clusters) for op in c.operations()]


def _crossing(one: Block, other: Block) -> Contradiction:
    """The two to four operations by which each block must precede the other; initial values have no operation."""
    for around, inside in ((one, other), (other, one)):
        outer = _members(around)
        middle = [
            m for m in _members(inside) if around.first_return_ns < m.op.invoke_ns and m.op.return_ns < around.last_invoke_ns
        ]
        if middle:
            mid = min(middle, key=lambda m: (not m.writes, m.op.invoke_ns))
            before = [m for m in outer if m.op.return_ns < mid.op.invoke_ns]
            last = min((m for m in outer if m.op.invoke_ns > mid.op.return_ns), key=lambda m: m.op.invoke_ns)
            before.sort(key=lambda m: (m.place != last.place, not m.writes, -m.op.return_ns))
            return _shown((around, [*before[:1], last]), (inside, [mid]))
    return _shown((one, _ends(one)), (other, _ends(other)))


def _ends(block: Block) -> list[_Member]:
    """The operation that returned first, and the one that was invoked last."""
    members = _members(block)
    return [min(members, key=lambda m: m.op.return_ns), max(members, key=lambda m: m.op.invoke_ns)]


def _shown(*parts: tuple[Block, Sequence[_Member]]) -> Contradiction:
    witnesses = _unique(member.op for _, members in parts for member in members)
    context: list[Operation] = []
    for block, members in parts:
        places = [member.place for member in members]
        begin = 0 if block.clusters[0].writer is None else min(places)
        context += _writers(block.clusters[begin : max(places) + 1], witnesses)
    return Contradiction(witnesses, tuple(context))


def _first_returned(cluster: Cluster) -> Operation:
    return min(cluster.operations(), key=lambda op: op.return_ns)


def _last_invoked(cluster: Cluster) -> Operation:
    return max(cluster.operations(), key=lambda op: op.invoke_ns)


def _writers(clusters: Sequence[Cluster], but: Sequence[Operation]) -> tuple[Operation, ...]:
    known = {op.id for op in but}
    return tuple(cluster.writer for cluster in clusters if cluster.writer and cluster.writer.id not in known)


def _unique(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    return tuple({op.id: op for op in operations}.values())


def stuck_mismatch(cut: Blocks) -> Contradiction | None:
    """A compare-and-set said "another value" while the expected one was there all the time."""
    for op, access in cut.mismatches:
        place = cut.by_value.get(access.expected)
        if place is None:
            continue
        cluster, block = place
        at = block.clusters.index(cluster)
        until = list(chain.from_iterable(c.operations() for c in block.clusters[: at + 1]))
        if cluster.successor and cluster.successor.writer:
            until.append(cluster.successor.writer)
        since = list(chain.from_iterable(c.operations() for c in block.clusters[at:]))
        there = cluster.writer is None or min(o.return_ns for o in since) < op.invoke_ns
        stays = [o for o in until if op.return_ns < o.invoke_ns]
        if there and stays:
            reached = [] if cluster.writer is None else [min(since, key=lambda o: o.return_ns)]
            witnesses = _unique((*reached, op, max(stays, key=lambda o: o.invoke_ns)))
            known = {o.id for o in witnesses}
            seen = [c for c in block.clusters if c is cluster or any(o.id in known for o in c.operations())]
            return _with_evidence(Contradiction(witnesses, _writers(seen, witnesses)), cut)
    return None


def _with_mismatches(order: Sequence[Operation], clusters: Sequence[Cluster], cut: Blocks) -> list[Operation] | None:
    """The order with every mismatch at the first place where real time and the value allow it."""
    spans = dict(_spans(clusters))
    by_return = sorted(range(len(order)), key=lambda i: order[i].return_ns)
    returns = [order[i].return_ns for i in by_return]
    reached = list(accumulate(by_return, max))
    by_invoke = sorted(range(len(order)), key=lambda i: order[i].invoke_ns)
    invokes = [order[i].invoke_ns for i in by_invoke]
    ahead = list(accumulate(reversed(by_invoke), min))[::-1]
    placed: list[tuple[int, int, Operation]] = []
    running: list[tuple[int, int]] = []
    floor = 0
    for number, (op, access) in enumerate(sorted(cut.mismatches, key=lambda touch: touch[0].invoke_ns)):
        while running and running[0][0] < op.invoke_ns:
            floor = max(floor, heapq.heappop(running)[1])
        done = bisect.bisect_left(returns, op.invoke_ns)
        place = max(floor, reached[done - 1] + 1 if done else 0)
        held = cut.by_value.get(access.expected)
        if held is not None:
            begin, end = spans[id(held[0])]
            place = end if begin <= place < end else place
        later = bisect.bisect_right(invokes, op.return_ns)
        if place > (ahead[later] if later < len(ahead) else len(order)):
            return None
        placed.append((place, number, op))
        heapq.heappush(running, (op.return_ns, place))
    return list(_merged(order, placed))


def _spans(clusters: Sequence[Cluster]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Between which places in the order each cluster's value is the state: [begin, end)."""
    position = 0
    for cluster in clusters:
        size = len(cluster.readers) + (cluster.writer is not None)
        begin = position + (cluster.writer is not None)
        position += size
        yield id(cluster), (begin, position + 1)


def _merged(order: Sequence[Operation], placed: Sequence[tuple[int, int, Operation]]) -> Iterator[Operation]:
    waiting = sorted(placed, key=lambda item: item[:2], reverse=True)
    for position, op in enumerate(order):
        while waiting and waiting[-1][0] <= position:
            yield waiting.pop()[2]
        yield op
    yield from (item[2] for item in reversed(waiting))
