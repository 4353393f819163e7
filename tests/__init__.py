"""Tests: unit tests mirror the package, the others run against real servers."""
