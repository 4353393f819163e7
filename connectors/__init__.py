"""One folder per product. A connector imports contracts, facts, rows, model, log and errors; never the engine, never
a sibling."""
