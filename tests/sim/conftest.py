"""The engine's clock, faster: what it does each second it does each few milliseconds here."""

from __future__ import annotations

import pytest

from cdcd.engine import attempt, load, reader, side, task


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (attempt, load, reader):
        monkeypatch.setattr(module, "TICK", 0.005)
    monkeypatch.setattr(task, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(task, "LONGEST_PAUSE", 0.05)
    for name, seconds in {"BEAT": 0.05, "HEAD": 0.01, "WISHES": 0.02, "TICK": 0.005}.items():
        monkeypatch.setattr(side, name, seconds)
