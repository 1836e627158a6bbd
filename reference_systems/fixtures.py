"""The pytest fixtures of all reference systems, as the plugin offers them. Imports nothing heavy."""

from reference_systems.raft_kv.fixtures import raft_kv

__all__ = ["raft_kv"]
