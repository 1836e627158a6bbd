"""Running systems in the simulator: one world a seed, many seeds, and the worker that tests talk to."""
