"""Kills, cut links, restarts and pauses on real servers."""
