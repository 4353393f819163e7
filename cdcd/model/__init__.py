"""Frozen values that every part shares; no input or output here."""
