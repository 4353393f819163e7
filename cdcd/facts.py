"""What a sink can do, as data: the core asks these, never the product's name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SinkFacts:
    """`exactly_once`: the checkpoint is in the data's own transaction. `folds`: it wants net changes, not each one.
    `wants_old`: whole old rows. `lists_transactions`: Group.transactions.
    `keeps_state`: it can hold chunks and table versions. `identifier_bytes`: longest name.
    `keeps_exceptions`: a change that cannot be made can be recorded, in the transaction of those around it.
    `derives`: it makes of a Cascade what its own rows tell.
    `light`: what it does per row is next to nothing, and no server is kept busy by it.
    `products`: those whose statements it runs (`Source.objects`); of any other's tables it makes its own."""

    exactly_once: bool = True
    folds: bool = True
    wants_old: bool = False
    lists_transactions: bool = False
    keeps_state: bool = True
    identifier_bytes: int = 63
    keeps_exceptions: bool = False
    derives: bool = False
    light: bool = False
    products: tuple[str, ...] = ()
