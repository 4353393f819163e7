"""`make bench`: how fast cdcd is, as ratios to PostgreSQL's own programs on the same servers in the same run."""
