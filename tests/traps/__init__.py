"""Interleavings and server behaviours that once gave wrong results, each brought about on real servers."""
