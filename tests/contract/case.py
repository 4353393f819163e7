"""What the menu needs to know of a connector's product: how to make tables and changes, and how to harm it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Protocol

import pytest

from cdcd.contracts import Sink, Source
from cdcd.model.position import Identity
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.memory import form as text_form
from tests.contract.changes import Change, Spec, Text

Rows = list[tuple[Text, ...]]


class OpenTransaction(Protocol):
    """Changes that were made and are not committed yet."""

    def commit(self) -> None: ...


class Case:
    """A server of a product. `has`: what not every product has: a "slot", which keeps the log for a reader and knows
    what was acknowledged; "truncate" of several tables in one statement; "sequences" with names."""

    has = frozenset({"slot", "truncate", "sequences"})

    def needs(self, what: str) -> None:
        """The test is not for products without it."""
        if what not in self.has:
            pytest.skip(f"this product has no such thing: {what}")


class SourceCase(Case, ABC):
    """A server that is read, and the test's own hands in it."""

    def elsewhere(self, identity: Identity) -> Identity:
        """As a checkpoint of another server would have it."""
        return replace(identity, system="1")

    @abstractmethod
    def source(self, bound: int = 1 << 20) -> Source:
        """A new object for the pipeline, as the next process would have; `bound`: bytes of a group."""

    def form(self, table: Table) -> RowForm:
        """A form whose keys this source can put in order."""
        return text_form.form(table)

    @abstractmethod
    def create(self, spec: Spec) -> None: ...

    @abstractmethod
    def commit(self, *changes: Change) -> None:
        """One transaction."""

    @abstractmethod
    def begin(self, *changes: Change) -> OpenTransaction: ...

    @abstractmethod
    def add_column(self, spec: Spec) -> None:
        """Alter the table so that its old rows no longer fit."""

    @abstractmethod
    def idle(self) -> None:
        """Log that holds nothing of the pipeline's."""

    @abstractmethod
    def confirmed(self) -> str:
        """The position the slot was told, printed."""

    @abstractmethod
    def sequence(self, name: str, value: int) -> None:
        """Have a sequence in schema `menu`, used by the tables there, whose last value is this."""

    @abstractmethod
    def rows(self, spec: Spec) -> Rows:
        """What is there now, as text, sorted."""


class SinkCase(Case, ABC):
    """A server that is written, and what the test sees there."""

    @abstractmethod
    def sink(self) -> Sink:
        """A new object for the pipeline, as another process would have."""

    @abstractmethod
    def table(self, spec: Spec) -> Table:
        """The source's table that the sink is told of."""

    def readable(self, form: RowForm) -> RowForm | None:
        """A form as the menu can fill it, from values as text; None: it cannot."""
        return form

    def wire(self, value: str) -> Any:
        """A text as the expressions of that form take it."""
        return value

    @abstractmethod
    def rows(self, spec: Spec) -> Rows: ...

    @abstractmethod
    def add_unique(self, spec: Spec) -> None:
        """Make the spec's unique constraints at the target."""

    @abstractmethod
    def sequence(self, name: str, value: int) -> None:
        """Make a sequence in schema `menu` whose last value is this."""

    @abstractmethod
    def next_value(self, name: str) -> int:
        """What the application is given next."""

    @abstractmethod
    def newer_version(self) -> None:
        """Let the control tables say that a newer cdcd wrote them."""

    @abstractmethod
    def lose_next_commit(self) -> None:
        """The next commit takes place, and its answer does not arrive."""

    @abstractmethod
    def request(self, command: str, argument: str) -> int:
        """Leave a wish for the pipeline's daemon, as another process would; its number."""

    @abstractmethod
    def crash(self) -> None:
        """At once, and started again."""
