"""`make bench`: how fast cdcd is, as ratios to other programs and to the servers' own, on the same servers and data."""
