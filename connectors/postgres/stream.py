"""pgoutput's messages → groups: one loop over the frames in a wire's buffer ("Streaming Replication Protocol",
"Logical Replication Message Formats"). Here are transactions, the stop rule and the skip rule; tuples.py has the rows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence

from cdcd.errors import CdcdError, Stopped, Unreachable
from cdcd.model.change import SchemaChange
from cdcd.model.group import DELETE, INSERT, UPDATE, Group, Rows, Transaction, Truncate
from connectors.postgres.announce import PREFIX
from connectors.postgres.cells import NEW, malformed
from connectors.postgres.changes import Change, takers
from connectors.postgres.position import Lsn, covered
from connectors.postgres.relation import parse_relation
from connectors.postgres.schema_look import Announced, Looks
from connectors.postgres.tuples import TupleCode
from connectors.postgres.wire import Wire, server_error

EPOCH_2000 = 946_684_800_000_000
"""Microseconds from 1970 to 2000, where PostgreSQL's timestamps begin."""

_frame = struct.Struct(">cic24xcI")  # CopyData, its length, XLogData or keepalive; message type; relation
_begin = struct.Struct(">QqI")
_commit = struct.Struct(">BQQq")
_keepalive = struct.Struct(">QqB")
_BODY = 31  # from a frame's start to the body of its pgoutput message

_OURS = PREFIX.encode() + b"\0"


class _Altered(Exception):
    """What comes next is of a table that is not what is known of it."""

    def __init__(self, changes: Sequence[SchemaChange]) -> None:
        super().__init__()
        self.changes = changes


def _ignore(data: bytes, at: int, end: int, op: int) -> None:
    """The change of a table that is not carried."""


class Stream:
    """The state of one replication stream, and the loop.

    `place`: everything before it was read. `reply`: the server wants a status update. `head`: the end of its
    log as last told.
    """

    def __init__(
        self,
        place: int,
        codes: Mapping[str, TupleCode],
        look: Looks,
        group_bytes: int,
        list_transactions: bool = False,
        near_xid: int = 0,
        announced: Announced | None = None,
    ) -> None:
        """`near_xid`: a transaction id of all 64 bits from which those of the stream are less than 2³¹ away."""
        self.place = place
        self.head = 0
        self.reply = False
        self.inside = False
        self._skipping = False
        self._time = 0
        self._codes: dict[str, TupleCode] = {}
        self._names: dict[int, str] = {}  # carried tables by OID
        self._look = look
        self._announced = announced
        self._bound = group_bytes
        self._list_transactions = list_transactions
        self._xid = near_xid
        self._current = 0  # the transaction that is read: its id of 32 bits
        self._raw: dict[int, bytes] = {}  # the latest Relation messages
        self._known: dict[int, TupleCode | None] = {}  # of those, what was compared
        # What the open Rows of the group take, by relation.
        self._group: Group | None = None
        self._rows: Rows | None = None
        self._before = 0
        self._changes: dict[int, Change] = {}
        self._others: dict[int, Change] = {}  # deletes, and updates with an old tuple
        self.carry(codes)

    def carry(self, codes: Mapping[str, TupleCode | None]) -> None:
        """More tables from now on, None: one less; between two transactions, or after `decode` said "altered"."""
        for name in codes:
            self._codes.pop(name, None)
        self._codes.update({name: code for name, code in codes.items() if code is not None})
        self._names = {code.table.oid: name for name, code in self._codes.items() if code.table.oid}
        self._known.clear()
        self._forget_group()

    # --- the loop -------------------------------------------------------------------------------------------------

    def decode(self, wire: Wire, group: Group, stop: int | None) -> str:
        """Read whole frames until there is none ("dry"), the group is full ("full"), or what comes next is not
        covered by `stop` ("stop"), or is of a table that was altered ("altered": the group ends with the changes). Sets
        the group's position and counts."""
        self._enter(group)
        try:
            return self._decode(wire, group, stop)
        except _Altered as altered:
            group.steps.extend(altered.changes)
            return "altered"
        except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
            raise malformed(f"a message is cut short or garbled ({error})") from error
        finally:
            self._leave(group)

    def _decode(self, wire: Wire, group: Group, stop: int | None) -> str:
        if not self.inside and stop is not None and self.place >= stop:
            return "stop"
        data, at, limit = wire.data, wire.pos, wire.limit
        frame, changes, others = _frame.unpack_from, self._changes, self._others
        size, bound, most = group.bytes, self._bound, 2 * self._bound
        if size >= (most if self.inside else bound):
            return "full"
        try:
            while at < limit:
                kind, length, what, message, relation = frame(data, at)
                end = at + 1 + length
                if end > limit:
                    break
                if length < 4:
                    raise malformed(f"a frame of the length {length}")
                if what == b"w" and kind == b"d":
                    if message == b"I":
                        if (change := changes.get(relation)) is None:
                            change = self._bind(relation, group)[0]
                        change(data, at + 35, end, INSERT)
                    elif message == b"U":
                        if data[at + 35] == NEW:
                            if (change := changes.get(relation)) is None:
                                change = self._bind(relation, group)[0]
                        elif (change := others.get(relation)) is None:
                            change = self._bind(relation, group)[1]
                        change(data, at + 35, end, UPDATE)
                    elif message == b"D":
                        if (change := others.get(relation)) is None:
                            change = self._bind(relation, group)[1]
                        change(data, at + 35, end, DELETE)
                    elif message == b"B":
                        final_lsn, self._time, self._current = _begin.unpack_from(data, at + _BODY)
                        if covered(final_lsn, self.place):  # sent again: it is at the target already
                            self._skipping = True
                            self._forget_group()
                        elif stop is not None and not covered(final_lsn, stop):
                            self.place = stop
                            return "stop"
                        elif self._list_transactions:
                            self._list(group, self._current, final_lsn)
                        self.inside = not self._skipping
                        at = end
                        continue
                    elif message == b"C":
                        at = end
                        if self._end_transaction(data, end, group):
                            if stop is not None and self.place >= stop:
                                return "stop"
                            if size >= bound:
                                return "full"
                        continue
                    else:
                        self._seldom(message, data[at + _BODY - 1 : end], group)
                    at = end
                    size += length
                    if size >= most and self.inside:
                        return "full"
                    continue
                at, begun = end, at
                if kind != b"d":
                    self._not_copy_data(kind, data[begun + 5 : end])
                elif what == b"k" and length == 22:
                    if self._keepalive(data, end, stop):
                        return "stop"
                else:
                    raise malformed(f"a frame of the kind {what!r}")
            return "dry"
        finally:
            wire.pos = at
            group.bytes = size

    def _end_transaction(self, data: bytes, end: int, group: Group) -> bool:
        """A Commit message that ends at `end`; whether a transaction of ours ended."""
        _, _, end_lsn, time = _commit.unpack_from(data, end - _commit.size)
        if self._skipping:
            self._skipping = False
            self._forget_group()
            return False
        if not self.inside:
            raise malformed("a Commit without a Begin")
        self.inside = False
        self.place = end_lsn
        group.txs += 1
        group.commit_time = time + EPOCH_2000
        return True

    def _keepalive(self, data: bytes, end: int, stop: int | None) -> bool:
        """A keepalive that ends at `end`. Between two transactions its place is ours: what comes later begins
        at it or beyond."""
        wal_end, _, reply = _keepalive.unpack_from(data, end - _keepalive.size)
        self.head = max(self.head, wal_end)
        self.reply = self.reply or bool(reply)
        if self.inside or self._skipping:
            return False
        self.place = max(self.place, wal_end if stop is None else min(wal_end, stop))
        return stop is not None and self.place >= stop

    # --- rows -----------------------------------------------------------------------------------------------------

    def _enter(self, group: Group) -> None:
        if group is not self._group or (group.steps and group.steps[-1] is not self._rows):
            self._forget_group()
            self._group, self._rows, self._before = group, None, group.changes
            if group.steps and isinstance(last := group.steps[-1], Rows):
                self._rows, self._before = last, group.changes - len(last.order)

    def _leave(self, group: Group) -> None:
        group.changes = self._before + (len(self._rows.order) if self._rows else 0)
        group.position = None if self.inside else Lsn(self.place)

    def _forget_group(self) -> None:
        self._changes.clear()
        self._others.clear()

    def _bind(self, relation: int, group: Group) -> tuple[Change, Change]:
        """What takes changes of a relation for the group's open Rows: (new tuples, those with an old one)."""
        pair: tuple[Change, Change] = (_ignore, _ignore)
        if not self._skipping and (code := self._code(relation)) is not None:
            if not self.inside:
                raise malformed("a change outside of a transaction")
            if self._rows is None:
                self._rows = group.rows()
            pair = takers(code, self._rows)
        self._changes[relation], self._others[relation] = pair
        return pair

    def _code(self, relation: int) -> TupleCode | None:
        """The functions of a carried relation, compared with what we know of the table; None: not carried."""
        if relation in self._known:
            return self._known[relation]
        if (raw := self._raw.get(relation)) is None:
            raise malformed(f"a change of relation {relation} before its Relation message")
        found = parse_relation(raw)
        code = self._codes.get(self._names.get(found.oid, found.id))
        if code is not None:
            other = self._codes.get(found.id, code)
            if changes := self._look(found, code.table, None if other is code else other.table, self._current):
                raise _Altered(changes)
        self._known[relation] = code
        return code

    # --- what comes seldom ----------------------------------------------------------------------------------------

    def _list(self, group: Group, xid: int, final_lsn: int) -> None:
        at = self._before + (len(self._rows.order) if self._rows else 0)
        self._xid += (xid - self._xid + (1 << 31)) % (1 << 32) - (1 << 31)  # the wire has 32 bits of it (T-DE-4)
        group.transactions.append(Transaction(at, str(self._xid), Lsn(final_lsn), self._time + EPOCH_2000))

    def _seldom(self, message: bytes, body: bytes, group: Group) -> None:
        if message == b"R":
            oid = int.from_bytes(body[1:5], "big")
            self._raw[oid] = body
            self._known.pop(oid, None)
            self._changes.pop(oid, None)
            self._others.pop(oid, None)
        elif message == b"T":
            self._truncate(body, group)
        elif message == b"M":
            self._message(body)
        elif message not in (b"Y", b"O") and not (message == b"A" and len(body) == 9):
            # Type and Origin say nothing we need, and version 18 sends Stream Abort for transactions that it
            # never streamed (PG-12); anything else may be a change.
            raise malformed(f"an unknown message {message!r}")

    def _message(self, body: bytes) -> None:
        """Of ours: flags, place, prefix, length, content. Anybody may write others."""
        if self._announced is not None and self.inside and body.startswith(_OURS, 10):
            tables = [code.table for code in self._codes.values()]
            if changes := self._announced(body[14 + len(_OURS) :], tables, self._current):
                raise _Altered(changes)

    def _truncate(self, body: bytes, group: Group) -> None:
        """A Truncate message: count, option bits (1 CASCADE, 2 RESTART IDENTITY), relations."""
        if self._skipping:
            return
        count, options = struct.unpack_from(">IB", body, 1)
        if len(body) != 6 + 4 * count:
            raise malformed("a Truncate message of another length")
        codes = [self._code(oid) for oid in struct.unpack_from(f">{count}I", body, 6)]
        tables = [code.table for code in codes if code is not None]
        if tables:
            self._before += len(self._rows.order) if self._rows else 0
            self._rows = None
            self._forget_group()
            group.truncate(Truncate(tables, bool(options & 1), bool(options & 2)))
            self._before += 1

    def _not_copy_data(self, kind: bytes, body: bytes) -> None:
        if kind == b"E":
            raise explained(server_error(body))
        if kind == b"N":
            self._notice(server_error(body))
        elif kind in (b"c", b"C", b"Z"):
            raise Unreachable("the server ended the stream", why="it is shutting down, or the session was ended")
        elif kind != b"S":  # a setting that changed
            raise malformed(f"a frame of the kind {kind!r}")

    def _notice(self, notice: CdcdError) -> None:
        """From version 18 on a publication that is missing is a warning, and its changes are left out."""
        if _MISSING_PUBLICATION.search(notice.what):
            raise explained(notice)


_MISSING_PUBLICATION = re.compile(r"publication \".*\" does not exist|skipped loading publication")


def explained(error: CdcdError) -> CdcdError:
    """The server's error in the middle of a stream; a missing publication with its only ways out (PG-15)."""
    if not _MISSING_PUBLICATION.search(error.what):
        return error
    return Stopped(
        error.what,
        why="changes are decoded with the catalogue of their own time: the publication was not there yet, or was "
        "dropped and made again; making it now does not mend the past",
        hint="begin anew (cdcd drop, then run): publication first, then slot; later only ALTER PUBLICATION",
    )
