"""A payment service on two-phase commit. `payments_2pc.system.system()` describes it, `payments_2pc.node.main` is a node."""
