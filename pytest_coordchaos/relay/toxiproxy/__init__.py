"""Toxiproxy as second hop behind the relay: the server, its client, and what they do to links."""
