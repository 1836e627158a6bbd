"""Registers kept by majorities, without a leader."""
