"""`python -m reference_systems.gossip_ring`: run it by hand."""

from reference_systems.gossip_ring.system import system
from reference_systems.kit.by_hand import main

main(system)
