"""Golden cases as text files, and how they are read."""
