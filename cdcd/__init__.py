"""cdcd copies what is in a database, follows every change, and applies it elsewhere, exactly once."""

__version__ = "0.1.0"
