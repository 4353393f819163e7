"""One line of the table: times of all contenders in turn, their medians, the ratio and whether the bar is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as the fastest peer cdcd is. `seconds` are each contender's, run by run, "cdcd" first.
    `floor`: seconds in which the source sends all of it to a program that throws it away."""

    work: str
    against: str
    rows: int
    seconds: Mapping[str, Sequence[float]]
    at_least: float
    aim: float
    floor: Sequence[float] = ()

    @property
    def bar(self) -> str:
        """The peer with the best median."""
        return min((name for name in self.seconds if name != "cdcd"), key=lambda name: median(self.seconds[name]))

    @property
    def value(self) -> float:
        return median(self.seconds[self.bar]) / median(self.seconds["cdcd"])

    @property
    def each(self) -> list[float]:
        """The ratio in each run."""
        return [peer / ours for peer, ours in zip(self.seconds[self.bar], self.seconds["cdcd"], strict=True)]

    @property
    def verdict(self) -> str:
        return _verdict(self.value >= self.at_least, self.value >= self.aim)

    def cells(self) -> list[str]:
        """For the table: work, against, measured, spread, at least, aim, verdict."""
        each = self.each
        return [
            self.work, self.against, f"{self.value:.2f}×", f"{min(each):.2f}–{max(each):.2f}×",
            f"{self.at_least:g}×", f"{self.aim:g}×", self.verdict,
        ]

    def detail(self) -> list[str]:
        """Thousands of rows a second of each contender, median and spread."""
        lines = []
        for name, seconds in self.seconds.items():
            rates = [self.rows / each / 1000 for each in seconds]
            if len(seconds) < len(self.seconds["cdcd"]):
                lines.append(f"{name} (given up in its first run, too slow to be the bar): under {max(rates):,.0f}")
                continue
            mark = " (the bar)" if name == self.bar else ""
            lines.append(f"{name}{mark}: {median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})")
        if self.floor:
            floor = median(self.floor)
            ratio = median(self.seconds[self.bar]) / floor
            lines.append(f"sent to pg_recvlogical, into nothing: {self.rows / floor / 1000:,.0f}, {ratio:.2f}× the bar")
        return lines


@dataclass(frozen=True, slots=True)
class Memory:
    """The most memory that the daemon's processes ever held, in megabytes."""

    work: str
    megabytes: float
    at_most: float
    aim: float

    @property
    def verdict(self) -> str:
        return _verdict(self.megabytes <= self.at_most, self.megabytes <= self.aim)

    def cells(self) -> list[str]:
        figures = [f"{megabytes:,.0f} MB" for megabytes in (self.megabytes, self.at_most, self.aim)]
        return [self.work, "–", figures[0], "–", *figures[1:], self.verdict]

    def detail(self) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A row that has no figure, and why: its peer cannot be had (`absent`), or something failed."""

    work: str
    why: str
    absent: bool

    @property
    def verdict(self) -> str:
        return "not measured" if self.absent else "NOT MET"

    def cells(self) -> list[str]:
        return [self.work, self.why, *("–",) * 4, self.verdict]

    def detail(self) -> list[str]:
        return []


Result = Ratio | Memory | Unmeasured


def _verdict(met: bool, aim: bool) -> str:
    return "aim met" if aim else "met" if met else "NOT MET"
