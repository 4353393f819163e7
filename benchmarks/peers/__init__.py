"""The programs that cdcd is measured against and that no package of ours brings; `make bench-peers` installs them."""
