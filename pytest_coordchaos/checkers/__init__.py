"""Invariants: history in, verdict out. Pure."""
