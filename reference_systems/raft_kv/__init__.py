"""A replicated key-value store on Raft. `raft_kv.system.system()` describes it, `raft_kv.node.main` is a node."""
