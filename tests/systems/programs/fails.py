"""Prints an error and exits with status 3."""

import sys

sys.exit(print("configuration error: no such quorum", file=sys.stderr) or 3)
