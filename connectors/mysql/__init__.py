"""MySQL and MariaDB: the binlog as a source; docs in ARCHITECTURE.md."""
