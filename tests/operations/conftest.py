"""Fixtures of these tests."""

from tests.operations.begun import begun as begun
