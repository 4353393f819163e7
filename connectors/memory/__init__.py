"""The reference connector: a tiny database server in this process, and both contracts against it.

It documents the contracts in code, and models what real servers do to those who read and write them: commits
that become visible in another order than the log's, crashes that take back what was not flushed, commits whose
answer is lost, sessions of a dead owner that still hold their locks. Misfortunes are values (faults.py), so
that a test can have one at every call.
"""

from connectors.memory.faults import Faults, Strike
from connectors.memory.place import Place
from connectors.memory.server import MemoryServer
from connectors.memory.sink import MemorySink
from connectors.memory.source import MemorySource

__all__ = ["Faults", "MemoryServer", "MemorySink", "MemorySource", "Place", "Strike"]
