"""`python -m reference_systems.raft_kv`: run it by hand."""

from reference_systems.kit.by_hand import main
from reference_systems.raft_kv.system import system

main(system)
