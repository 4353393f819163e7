"""The engine: one pipeline from its first claim to its last acknowledgement, whatever the two ends are."""
