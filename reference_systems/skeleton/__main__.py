"""`python -m reference_systems.skeleton`: run it by hand."""

from reference_systems.kit.by_hand import main
from reference_systems.skeleton.system import system

main(system)
