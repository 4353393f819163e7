"""What would go wrong with a pipeline, found by both ends before anything is started, or while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cdcd.contracts import Finding, Sink, Source
from cdcd.engine.objects import objects
from cdcd.engine.options import Options
from cdcd.errors import CheckFailed, UsageError
from cdcd.log import get_logger
from cdcd.model.schema import Statement
from cdcd.model.table import Table

log = get_logger("engine.examine")

UNKNOWN = "TABLE-UNKNOWN"
PARTIAL = "TABLE-PARTIAL"
CYCLE = "PIPELINE-CYCLE"
FINDINGS: dict[str, tuple[str, str]] = {
    UNKNOWN: ("warning", "A pattern of `tables` matches nothing at the source: misspelt, or not there yet."),
    CYCLE: ("error", "A running pipeline carries changes of these tables from the target to the source: a circle."),
    PARTIAL: ("error", "`where` or `mask` names a table or a column that is not selected."),
}
"""What the engine finds by itself: id, level, meaning. All others are the connectors'."""


@dataclass(frozen=True, slots=True)
class Examined:
    """The tables selected, the statements that make them, and what was found at each end."""

    tables: list[Table]
    objects: list[Statement]
    source: list[Finding]
    target: list[Finding]

    @property
    def findings(self) -> list[Finding]:
        return self.source + self.target


def examine(source: Source, sink: Sink, options: Options) -> Examined:
    """Ask both ends everything. Changes nothing at either."""
    known = source.tables()
    tables = [table for table in known if options.selection.matches(table.id)]
    left = source.left_out(options.selection.named)
    found = list(_left_out(left, options, bool(tables)))
    if not tables and not found:
        raise _nothing_selected(options, known)
    for pattern in options.selection.idle([*(table.id for table in known), *(id for id, _ in left)]):
        message = f"the pattern {pattern} matches no table"
        found.append(Finding(UNKNOWN, FINDINGS[UNKNOWN][0], message, "a table made later would join"))
    found += _partial(options, tables)
    found += _circles(source, sink, tables)
    found += _asked(source.check(tables), options)
    made = objects(source, sink, tables, options.trees)
    return Examined(tables, made, found, _asked(sink.check(tables, made), options))


def _asked(found: Sequence[Finding], options: Options) -> list[Finding]:
    """Without what is in the way of a load only, where there is none."""
    return [one for one in found if options.load != "skip" or not one.of_load]


def _left_out(left: Sequence[tuple[str, Finding]], options: Options, others: bool) -> Iterator[Finding]:
    """Who asked for a table by its name, or selected nothing else, did not mean it to be left out."""
    for id, finding in left:
        if options.selection.matches(id):
            grave = id in options.selection.named or not others
            yield replace(finding, level="error") if grave else finding


def _partial(options: Options, tables: Sequence[Table]) -> Iterator[Finding]:
    """What `where` and `mask` name must be there: a name misspelt would let rows through."""
    known = {table.id for table in tables} if options.partial else set()
    columns = {f"{table.id}.{column.name}" for table in tables for column in table.carried} if options.mask else set()
    for option, named, there in (("where", options.where, known), ("mask", options.mask, columns)):
        for name in named.keys() - there:
            form = "schema.table" if option == "where" else "schema.table.column"
            message = f"{option} names {name}, which is not selected"
            yield Finding(PARTIAL, FINDINGS[PARTIAL][0], message, f"its form is {form}")


def _circles(source: Source, sink: Sink, tables: Sequence[Table]) -> Iterator[Finding]:
    """Changes would go round for ever: none tells whether the application or a pipeline made it (TG-05)."""
    writers = source.written_by(tables)
    for name in sorted({*writers} & {*sink.read_by()} if writers else ()):
        message = f"pipeline {name} carries these tables from the target to the source"
        yield Finding(CYCLE, FINDINGS[CYCLE][0], message, "its sessions are at both", "stop it, and drop it: cdcd drop")


def selected(source: Source, options: Options) -> list[Table]:
    """The source's tables that the patterns choose; none is a mistake."""
    there = source.tables()
    tables = [table for table in there if options.selection.matches(table.id)]
    if not tables:
        raise _nothing_selected(options, there)
    return tables


def _nothing_selected(options: Options, there: Sequence[Table]) -> UsageError:
    return UsageError(
        "no table is selected",
        why=f"the patterns {', '.join(options.selection.patterns) or '(all)'} match none of {len(there)} tables",
        hint="name tables as schema.table, as in: " + ", ".join(table.id for table in there[:5]),
    )


def require(findings: Sequence[Finding]) -> None:
    """Warnings are logged; one error or more is CheckFailed, which names all of them."""
    errors = [finding for finding in findings if finding.level == "error"]
    for finding in findings:
        if finding.level != "error":
            log.warning(finding.message, id=finding.id, evidence=finding.evidence, mend=finding.mend)
    if errors:
        raise CheckFailed(
            f"{len(errors)} thing{'s' if len(errors) > 1 else ''} would go wrong:\n" + "\n".join(map(sentence, errors))
        )


def sentence(finding: Finding) -> str:
    """A finding in up to three lines."""
    lines = [f"  [{finding.id}] {finding.message}"]
    if finding.evidence:
        lines.append(f"      seen: {finding.evidence}")
    if finding.mend:
        lines.append(f"      mend: {finding.mend}")
    return "\n".join(lines)
