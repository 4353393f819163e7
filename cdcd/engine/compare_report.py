"""What a comparison found: verdicts on keys, a report for each table, and the exit code they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cdcd.errors import CdcdError, Differences
from cdcd.model.digest import Key
from cdcd.model.table import Table


class Kind(StrEnum):
    """MISSING: the target lacks rows. EXTRA: it has rows that the source lacks. UNSETTLED: it moved too often, or the
    target could not be waited for."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    UNSETTLED = "unsettled"


@dataclass(slots=True)
class Verdict:
    """On one key. `columns`: those that differ. `times`: how many rows are missing or extra. The values, one for each
    carried column, are there only when somebody asked to see them."""

    key: Key
    kind: Kind
    columns: tuple[str, ...] = ()
    times: int = 1
    source_values: Sequence[str | None] | None = None
    target_values: Sequence[str | None] | None = None

    def key_json(self, table: Table) -> dict[str, Any]:
        """By column; of a keyless row, which only its content names, a hash of that."""
        if not table.key:
            return {"row": self.key[0]}
        return {
            column.name: int(text) if column.type.family in ("int16", "int32", "int64") else text
            for column, text in zip(table.key_columns, self.key, strict=True)
        }

    def to_json(self, table: Table) -> dict[str, Any]:
        data: dict[str, Any] = {"key": self.key_json(table)}
        if self.columns:
            data["columns"] = list(self.columns)
        if self.times > 1:
            data["rows"] = self.times
        for end, values in ("source", self.source_values), ("target", self.target_values):
            if values is not None:
                names = [column.name for column in table.carried]
                data[end] = {n: v for n, v in zip(names, values, strict=True) if n in self.columns or not self.columns}
        return data


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a table was not compared. `differs`: because the ends can be seen to differ without it."""

    text: str
    differs: bool = False


@dataclass(slots=True)
class TableReport:
    """`shown` holds at most `limit` verdicts of each kind; `counts` counts all of them, in rows. `uncompared`: columns
    that were left out, as the two ends have no common text of their values."""

    table: Table
    limit: int
    source_rows: int = 0
    target_rows: int = 0
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    shown: list[Verdict] = field(default_factory=list)
    problem: Problem | None = None
    uncompared: tuple[str, ...] = ()
    note: str = ""

    def add(self, verdict: Verdict) -> None:
        self.counts[verdict.kind] += verdict.times
        if sum(shown.kind is verdict.kind for shown in self.shown) < self.limit:
            self.shown.append(verdict)

    @property
    def differs(self) -> bool:
        if self.problem is not None:
            return self.problem.differs
        return any(self.counts[kind] for kind in Kind if kind is not Kind.UNSETTLED)

    @property
    def open(self) -> bool:
        """Whether something may be equal or not: running it again can tell."""
        if self.problem is not None:
            return not self.problem.differs
        return bool(self.uncompared) or self.counts[Kind.UNSETTLED] > 0

    def to_json(self) -> dict[str, Any]:
        return {
            "table": self.table.id,
            "compared": self.problem is None,
            "problem": self.problem.text if self.problem else None,
            "rows": {"source": self.source_rows, "target": self.target_rows},
            **{kind.value: self.counts[kind] for kind in Kind},
            "note": self.note or None,
            "uncompared": list(self.uncompared),
            "keys": {
                kind.value: [verdict.to_json(self.table) for verdict in self.shown if verdict.kind is kind]
                for kind in Kind
            },
        }


def judge(reports: Iterable[TableReport]) -> CdcdError | None:
    """The error that the reports amount to: Differences, or that it could not be told; None: all is equal."""
    reports = list(reports)
    if differing := [report.table.id for report in reports if report.differs]:
        return Differences(
            f"source and target differ in {_listed(differing)}",
            hint="read these tables again with cdcd reload TABLE, once it is known who wrote at the target",
        )
    if undecided := [report for report in reports if report.open]:
        names = _listed([report.table.id for report in undecided])
        again = any(report.problem or report.counts[Kind.UNSETTLED] for report in undecided)
        return CdcdError(
            f"no difference was found, but {names} could not be compared in full",
            why="; ".join(dict.fromkeys(_why(report) for report in undecided)),
            hint="run cdcd validate again, in a calmer moment and with the pipeline's daemon running; "
            "or with --still, if nothing writes at the source"
            if again
            else "compare these columns in a way of your own: the two products write their values differently",
        )
    return None


def _why(report: TableReport) -> str:
    if report.problem is not None:
        return f"{report.table.id}: {report.problem.text}"
    columns = f"not compared: {', '.join(report.uncompared)}" if report.uncompared else ""
    return f"{report.table.id}: {'; '.join(filter(None, (report.note, columns)))}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} table{'s' if len(names) > 1 else ''}: {', '.join(names[:5])}{more}"
