"""Cutting byte streams into messages, one file per protocol. Sans-IO: bytes in, events out."""
