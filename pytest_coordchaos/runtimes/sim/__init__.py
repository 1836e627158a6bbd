"""The simulator: nodes as coroutines on a virtual clock and network, every choice drawn from one seed."""
