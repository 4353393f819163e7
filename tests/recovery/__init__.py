"""Servers that fail over: the source to its standby, the target to its own, and a pipeline that goes on or stops."""
