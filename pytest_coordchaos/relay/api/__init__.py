"""Toxiproxy's HTTP API, version 2.12, as every client of it knows it."""
