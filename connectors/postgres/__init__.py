"""PostgreSQL as a source (logical replication with pgoutput) and as a sink."""
