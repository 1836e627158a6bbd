"""Nodes with one bug each. Only `main` of this file runs them; the healthy `node.main` knows nothing of it."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from reference_systems.crdt_cart import broken_carts as carts
from reference_systems.crdt_cart.cart import Cart
from reference_systems.crdt_cart.core import Replica, Stored, Write
from reference_systems.crdt_cart.deltas import Deltas
from reference_systems.crdt_cart.messages import Interval
from reference_systems.crdt_cart.node import CartNode
from reference_systems.kit.env import Env

__all__ = ["main"]


def _with(kind: type[Cart]) -> type[CartNode]:
    """A node that keeps another kind of cart."""
    return type(kind.__name__ + "Node", (CartNode,), {"cart": kind})


class _Stamping(Replica):
    """Writes quantities with the time of the wall clock."""

    def set_clock(self, env: Env, unit_s: float) -> None:
        self._env, self._unit_s = env, unit_s

    def _stamped(self, operation: int, item: str, quantity: int) -> Write:
        assert isinstance(self._draft, carts.LastWriter)
        stamp = self._env.clock.wall() // self._unit_s
        return self._once(operation, self._draft.set(item, stamp, quantity, operation), None)

    def add(self, operation: int, item: str, quantity: int) -> Write:
        return self._stamped(operation, item, quantity + self._draft.quantities().get(item, 0))

    def remove(self, operation: int, item: str) -> Write:
        return self._stamped(operation, item, 0)


class _WallClock(CartNode):
    """K2."""

    cart = carts.LastWriter
    replica = _Stamping
    unit_s = 1e-6

    def begin(self, stored: Stored) -> Replica:
        state = super().begin(stored)
        assert isinstance(state, _Stamping)
        state.set_clock(self.env, self.unit_s)
        return state


class _CoarseClock(_WallClock):
    """K10."""

    cart = carts.FirstComer
    unit_s = 1.0


class _Trusting(Replica):
    """K11: what was sent has arrived, and what arrives follows on what was there."""

    def interval_for(self, peer: str) -> Interval | None:
        interval = super().interval_for(peer)
        if interval:
            self.deltas.acknowledged(peer, self._heard.get(peer, (0, 0))[0], interval.last)
        return interval

    def has_gap(self, interval: Interval, reached: int) -> bool:
        return False


class _NoGaps(CartNode):
    """K11."""

    replica = _Trusting


class _SameName(CartNode):
    """K12."""

    def new_identity(self) -> str:
        return self.env.name


class _WriteBehind(CartNode):
    """K14."""

    async def commit(self, writes: list[Write]) -> None:
        for write in writes:
            self.state.became_durable(write)
        self.env.spawn(self._write_later(writes))

    async def _write_later(self, writes: list[Write]) -> None:
        await self.env.clock.sleep(0.3)
        await self.durable.write(writes)


class _Hoard(Deltas):
    """Keeps what everybody has."""

    def _collect(self) -> None:
        pass


class _Hoarding(CartNode):
    """G1."""

    def begin(self, stored: Stored) -> Replica:
        state = super().begin(stored)
        state.deltas = _Hoard(state.deltas.neighbours, int(self.config.max_deltas))
        return state


_NODES = MappingProxyType(
    {
        "K1": _with(carts.Overwriting),
        "K2": _WallClock,
        "K3": _with(carts.Summing),
        "K4": _with(carts.Shared),
        "K5": _with(carts.Net),
        "K6": _with(carts.Tagged),
        "K7": _with(carts.Sweeping),
        "K8": _with(carts.Forgetful),
        "K9": _with(carts.TwoPhase),
        "K10": _CoarseClock,
        "K11": _NoGaps,
        "K12": _SameName,
        "K13": _with(carts.Summed),
        "K14": _WriteBehind,
        "K15": _with(carts.Counts),
        "G1": _Hoarding,
    }
)


async def main(env: Env) -> None:
    """One node with the bug that the option `mutant` names."""
    node = _NODES[env.options["mutant"]]
    await node(replace(env, options={name: value for name, value in env.options.items() if name != "mutant"})).run()
