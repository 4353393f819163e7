"""What a run would do, told before it does it: the statements at both ends, chunks, and what is not carried. Made by
what the run itself makes them by; and the last of these statements, at cut-over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdcd.contracts import Sink, Source
from cdcd.engine.examine import selected
from cdcd.engine.objects import not_carried, objects
from cdcd.engine.options import Options
from cdcd.engine.plan import plan
from cdcd.log import get_logger
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.sequence import SequenceValue
from cdcd.model.table import Table

log = get_logger("engine.preview")


@dataclass(frozen=True, slots=True)
class Preview:
    """In the order of a run: the `target`'s statements of stage "before", the `source`'s, the tables' chunks (how many
    of each), the `sequences` that are set, the target's statements of stage "after". With those of stage "cut-over",
    and `source_after`, a run ends that is to load only; where it goes on, the former are the cut-over's."""

    source: Sequence[str]
    source_after: Sequence[str]
    target: Sequence[Statement]
    tables: Sequence[tuple[Table, int]]
    sequences: Sequence[SequenceValue]
    not_carried: Sequence[NotCarried]


def preview(source: Source, sink: Sink, options: Options) -> Preview:
    """Changes nothing at either end."""
    tables = selected(source, options)
    load = options.load != "skip"
    statements = sink.plan(tables, objects(source, sink, tables, options.trees))
    if not load:
        statements = [one for one in statements if one.stage != "after"]
    made, dropped = source.plan(tables, load, leave=options.load == "only")
    return Preview(
        made,
        dropped,
        statements,
        [(table, len(plan(source, table, options)) if load else 0) for table in tables],
        source.sequences(tables),
        not_carried(source, sink, tables, options.trees),
    )


def hand_over(source: Source, sink: Sink, tables: Sequence[Table], trees: bool) -> list[Statement]:
    """The application writes at the target from now on: what was better left out until then is made."""
    wanted = objects(source, sink, tables, trees)
    for one in sink.by_hand(wanted):
        log.warning("to be made by hand: the role may not", statement=one.text)
    made = sink.hand_over(wanted)
    for one in made:
        log.info("made at hand-over", statement=one.text)
    return made


def by_hand(source: Source, sink: Sink, options: Options) -> list[Statement]:
    """What of that our role at the target may not make."""
    return sink.by_hand(objects(source, sink, selected(source, options), options.trees))
