"""SWIM and a consistent-hash ring. `gossip_ring.system.system()` describes it, `gossip_ring.node.main` is a node."""
