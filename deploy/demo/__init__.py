"""`make demo`: two servers, a workload, a copy that is killed twice, and the servers' own word that nothing is lost."""
