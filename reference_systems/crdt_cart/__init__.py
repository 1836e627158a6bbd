"""A shopping cart on every node, always writable. `crdt_cart.system.system()` describes it, `crdt_cart.node.main` is a node."""
