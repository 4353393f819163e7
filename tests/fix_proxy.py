"""Fixtures that put a proxy between cdcd and a server."""
