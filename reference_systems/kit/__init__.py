"""What every reference node is given: clock, network, disk, randomness. Standard library only."""
