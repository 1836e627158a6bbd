"""`python -m reference_systems.crdt_cart`: run it by hand."""

from reference_systems.crdt_cart.system import system
from reference_systems.kit.by_hand import main

main(system)
