"""Toxics: what is done to the bytes of one direction of a connection, one file each. Sans-IO."""
