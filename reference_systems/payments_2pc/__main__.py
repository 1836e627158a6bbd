"""`python -m reference_systems.payments_2pc`: run it by hand."""

from reference_systems.kit.by_hand import main
from reference_systems.payments_2pc.system import system

main(system)
