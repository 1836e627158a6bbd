"""`python -m reference_systems.rate_limiter`: run it by hand."""

from reference_systems.kit.by_hand import main
from reference_systems.rate_limiter.system import system

main(system)
