"""`python -m reference_systems.quorum_store`: run it by hand."""

from reference_systems.kit.by_hand import main
from reference_systems.quorum_store.system import system

main(system)
