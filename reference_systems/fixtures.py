"""The pytest fixtures of all reference systems, as the plugin offers them. Imports nothing heavy."""

from reference_systems.crdt_cart.fixtures import crdt_cart
from reference_systems.gossip_ring.fixtures import gossip_ring
from reference_systems.payments_2pc.fixtures import payments_2pc
from reference_systems.raft_kv.fixtures import raft_kv

__all__ = ["crdt_cart", "gossip_ring", "payments_2pc", "raft_kv"]
