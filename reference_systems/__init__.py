"""Reference systems: real, small, and each with its properties, floor and mutants."""
