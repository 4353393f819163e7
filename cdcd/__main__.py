"""`python -m cdcd` is `cdcd`."""

from cdcd.cli import main

main()
