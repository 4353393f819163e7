"""One menu of behaviours, run against every connector that claims them: what the contracts' prose means, as tests."""
