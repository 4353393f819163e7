"""The binlog's events → groups: one loop over the packets in a wire's buffer. Here are transactions, the stop rule and
the skip rule; images.py has the rows, events.py what else an event may hold."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from uuid import UUID
from zlib import crc32

from cdcd.model.change import SchemaChange
from cdcd.model.group import Cascade, Group, Rows, Transaction, Truncate
from cdcd.model.table import Table
from connectors.mysql import events
from connectors.mysql.cascades import Cascades
from connectors.mysql.contradiction import compare
from connectors.mysql.definitions import Definitions
from connectors.mysql.fields import Filling
from connectors.mysql.gtid import Gtid
from connectors.mysql.history import History
from connectors.mysql.images import Event, ImageCode
from connectors.mysql.malformed import garbled, malformed, unsupported
from connectors.mysql.opened import Opened
from connectors.mysql.position import Domains, Gtids, Last, Place
from connectors.mysql.spans import Mark, Spans
from connectors.mysql.tablemap import name_of, parse_table_map
from connectors.mysql.taken_back import Savepoints, TakenBack
from connectors.mysql.track import File, Name, Proof, covers, named_by, text_of, track
from connectors.mysql.wire import LARGEST, PAD, Wire, ended

LONGEST = 1 << 30
"""Bytes of a compressed transaction's events, which the servers bound so too (max_allowed_packet)."""

_head = struct.Struct("<IBIBIIIH")  # packet's length and number, status; time, type, server, size, end, flags
_u32 = struct.Struct("<I")
_gtid = struct.Struct("<x16sq")
_FRAME = 5  # from a packet's start to its event
_BODY = 24  # from a packet's start to its event's body
_HEAD = _BODY - _FRAME


def _ignore(data: bytes, at: int, end: int) -> None:
    """Rows of a table that is not carried."""


_ROWS = {30: 0, 31: 1, 32: 2, 23: 0, 24: 1, 25: 2}
"""Rows events of both versions → write, update, delete."""

_IGNORED: tuple[Event, Event, Event] = (_ignore, _ignore, _ignore)


class Stream:
    """The state of one stream, and the loop. `place`: everything before it was read. `inside`: within a transaction."""

    def __init__(
        self,
        place: Place,
        fillings: Mapping[str, Filling],
        group_bytes: int,
        definitions: Definitions,
        *,
        sums: bool = True,
        again: Last | None = None,
        taken_back: TakenBack | None = None,
        list_transactions: bool = False,
        wants_old: bool = False,
        derives: bool = False,
        aside: bool = False,
    ) -> None:
        """`sums`: events end with a checksum, until a format description says otherwise. `again`: the transaction
        that the server was asked for once more, though it lies before `place`. `taken_back`: what is known of
        attempts before this one. `derives`: see Cascades. `aside`: a process may be forked that decodes too; then rows
        are in a group once it is `complete`."""
        self.inside = False
        self._file = File()
        self._track = track(place, definitions.server.uuid, self._file)
        self._mariadb = isinstance(place, Domains)
        self._last = place.last
        self._history = History(again)
        self._tail = 4 if sums else 0
        self._fillings = dict(fillings)
        self._bound = group_bytes
        self._list_transactions = list_transactions
        self._wants_old = wants_old
        self._definitions = definitions
        self._kin = Cascades(self._tables, derives)
        self.flags = 0  # of the rows event that is taken
        self._stop: Place | None = None
        self._ahead: list[Name] = []
        # The open transaction.
        self._counts = False  # it is to be read
        self._live = False  # its rows are taken
        self._name: Name | None = None  # what its end adds to the place
        self._begun: tuple[int, Proof] = (0, 0)
        self._alone = False  # it is one statement, unless it says otherwise
        self._passed: tuple[Name, Proof] | None = None  # of the one before, for `last`
        self._payload_end = 0  # inside of a compressed one there are no places
        self._whole = True  # it began in this group
        self._since: Mark | Transaction = Mark()  # where it begins in the group
        self.acted = False  # foreign keys may have acted in it
        self._savepoints = Savepoints(TakenBack() if taken_back is None else taken_back)
        self._inner: tuple[bytes, int, int] | None = None
        # Layouts as the log told them, by the log's number of the table.
        self._maps: dict[bytes, bytes] = {}
        self._codes: dict[bytes, ImageCode | None] = {}
        self._made: dict[bytes, ImageCode] = {}  # by layout, which each file of the log tells anew
        self._origins: dict[bytes, str] = {}
        # The end of the group.
        self._spans = Spans() if aside else None
        self._opened = Opened(self._spans)
        self._takers: dict[bytes, tuple[Event, Event, Event]] = {}

    @property
    def place(self) -> Place:
        self._settle()
        return self._track.place(self._last)

    def _settle(self) -> None:
        if self._passed is not None:
            self._last = self._history.last(*self._passed)
            self._passed = None

    def carry(self, fillings: Mapping[str, Filling]) -> None:
        """These tables, and no others, from now on; between two transactions, or behind "altered"."""
        self._fillings = dict(fillings)
        self._kin = Cascades(self._tables, self._kin.derives)
        self._made.clear()
        self._forget_maps()
        if self._spans is not None:
            self._spans.forget()

    def close(self) -> None:
        if self._spans is not None:
            self._spans.close()

    # --- the loop -------------------------------------------------------------------------------------------------

    def decode(self, wire: Wire, group: Group, stop: Place | None) -> str:
        """Read whole events until there is none ("dry"), the group is full ("full"), what comes next is not covered by
        `stop` ("stop"), or the group ends with schema changes ("altered"). Sets the group's position and counts."""
        self._enter(group)
        if stop != self._stop:
            self._stop = stop
            for name in self._ahead:
                self._track.add(*name)
            self._ahead.clear()
        try:
            with garbled():
                if not self.inside and self._stopped():
                    return "stop"
                if group.bytes >= (2 * self._bound if self.inside else self._bound):
                    return "full"
                why = self._packets(wire, group)
                if why != "dry" or not self.inside:
                    self.put(self._kin.take())
                return why
        except Exception:
            self.complete()  # an error of rows before comes first
            raise
        finally:
            self._leave(group)

    def complete(self) -> None:
        """Have all rows that were read in the group."""
        self._opened.complete()

    def _packets(self, wire: Wire, group: Group) -> str:
        why = "inner"
        while True:
            if why == "inner":
                why = self._go_on_inside(group)
            elif why == "odd":
                # A packet of 16 MB or more, or no event.
                if (packet := wire.joined()) is None:
                    return "dry"
                if packet[:1] != b"\0":
                    raise ended(packet)
                _, why = self._events(bytes(4) + packet + PAD, 0, 4 + len(packet), group, False, self._tail)
            elif why == "dry":
                wire.pos, why = self._events(wire.data, wire.pos, wire.limit, group, True, self._tail)
                if why == "dry":
                    return why
            else:
                return why

    def _go_on_inside(self, group: Group) -> str:
        """The rest of a compressed transaction, where one is open."""
        if self._inner is None:
            return "dry"
        data, at, limit = self._inner
        self._inner = None
        at, why = self._events(data, at, limit, group, False, 0)
        if at + _FRAME < limit:
            if why == "dry":
                raise malformed("a compressed transaction is cut short")
            self._inner = (data, at, limit)
        else:
            self._payload_end = 0
        return why

    def _events(self, data: bytes, at: int, limit: int, group: Group, framed: bool, tail: int) -> tuple[int, str]:
        """Events from `at`; where it ended, and why. `framed`: each in a packet; else each after five bytes that are
        not its own. `tail`: bytes of its checksum."""
        head, view = _head.unpack_from, memoryview(data)
        maps, takers, live = self._maps, self._takers, self._live
        bound, most, size = self._bound, 2 * self._bound, group.bytes
        step, seen = 0 if framed else _FRAME, None
        try:
            while True:
                word, status, when, kind, server, wide, log_pos, flags = head(data, at)
                end = at + _FRAME + wide
                if framed and (status or word & LARGEST != wide + 1):
                    if limit - at < _FRAME:
                        return at, "dry"
                    if status or word & LARGEST == LARGEST:
                        return at, "odd"
                    if limit - at >= _BODY:
                        raise malformed("an event is not as long as its packet")
                    return at, "dry"
                if end > limit:
                    return at, "dry"
                if wide < 19 + tail:
                    raise malformed(f"an event of {wide} bytes")
                if tail and crc32(view[at + _FRAME : end - 4]) != _u32.unpack_from(data, end - 4)[0]:
                    raise malformed("an event's checksum is wrong", position=log_pos)
                begun, at, last, seen = at, end - step, end - tail, log_pos
                if kind == 19:
                    table = data[begun + 24 : begun + 30]
                    if maps.get(table) != data[begun + 30 : last]:
                        self._map(table, data[begun + 24 : last])
                elif kind in _ROWS:
                    if live:
                        table = data[begun + 24 : begun + 30]
                        if (taker := takers.get(table)) is None:
                            taker = self._bind(table, group)
                        self.flags = data[begun + 30]
                        start = begun + 32
                        if kind >= 30:
                            start += data[start] + (data[start + 1] << 8)
                        taker[_ROWS[kind]](data, start, last)
                        size += wide
                        if size >= most:
                            return at, "full"
                elif kind == 33:
                    sid, number = _gtid.unpack_from(data, begun + _BODY)
                    if (origin := self._origins.get(sid)) is None:
                        origin = self._origins[sid] = str(UUID(bytes=sid))
                    if self._begin((origin, number), when, data[begun + _BODY : last], group, log_pos):
                        return begun, "stop"
                    live = self._live
                elif kind == 2 and data[last - 6 : last] == b"\0BEGIN":
                    self._alone = False
                elif kind == 16:
                    self._commit(group, log_pos)
                    live = False
                    if self._stop is not None and self._stopped():
                        return at, "stop"
                    if size >= bound:
                        return at, "full"
                else:
                    group.bytes, seen = size, None
                    why = self._seldom((kind, when, server, log_pos, flags), data[begun + _BODY : end], tail, group)
                    live, size = self._live, group.bytes
                    if framed:
                        tail = self._tail
                    if why:
                        return (begun if why == "stop" else at), why
                    if self._stop is not None and not self.inside and self._stopped():
                        return at, "stop"
                    if size >= (most if self.inside else bound):
                        return at, "full"
        finally:
            group.bytes = size
            if seen is not None:
                self._end(seen)

    @property
    def _tables(self) -> dict[str, Table]:
        return {id: filling.form.table for id, filling in self._fillings.items()}

    def _stopped(self) -> bool:
        return self._stop is not None and covers(self.place, self._stop)

    # --- transactions ---------------------------------------------------------------------------------------------

    def _begin(self, name: Name, when: int, proof: Proof, group: Group, log_pos: int, alone: bool = True) -> bool:
        """A transaction begins; whether it is not to be read, as all that `stop` covers was."""
        if self._name is not None:
            raise malformed("a transaction begins inside of another", transaction=text_of(name))
        name = named_by(self._track, name)
        if name[0] is None:
            self._end(log_pos)  # its place tells whether it was passed
        if self._stopped():
            return True
        self._counts = self.inside = self._takes(name, proof)
        self._name, self._begun, self._alone = name, (when, proof), alone
        self.acted = False
        if self._counts:
            self._whole = True
            if self._list_transactions:
                self._since = Transaction(0, text_of(name), self.place, when * 1_000_000)
                group.transactions.append(self._since)
            self._opened.mark(self._since)
            self._live = self._savepoints.begin(name, when, self._since)
        return False

    def _takes(self, name: Name, proof: Proof) -> bool:
        if self._track.holds(*name):
            self._history.met(name, proof)
            return False
        if isinstance(self._stop, Gtids) and Gtid(*name) not in self._stop.set:
            # In the log before another that the snapshot holds, but committed after: it is of tables that were not
            # locked for the snapshot, as all carried ones were.
            self._ahead.append(name)
            return False
        return True

    def _commit(self, group: Group, log_pos: int) -> None:
        if self._name is None:
            raise malformed("a transaction ends that did not begin", position=log_pos)
        if self._counts:
            when, proof = self._begun
            self._passed = (self._name, proof)
            self._track.add(*self._ended(self._name, log_pos))
            group.txs += 1
            group.commit_time = when * 1_000_000
        self._name, self._counts, self._live, self.inside = None, False, False, False

    def _end(self, log_pos: int) -> int:
        """Where an event ends in its file."""
        return self._payload_end or self._file.reach(log_pos)

    def _ended(self, name: Name, log_pos: int) -> Name:
        """As Track.add takes it."""
        return name if name[0] is not None else (self._file.name, self._end(log_pos))

    def _take_back(self, savepoint: str | None, log_pos: int) -> None:
        """The log holds rows that came to nothing, all behind a savepoint: they are taken out of the group again."""
        if self._live and (self.acted or not self._whole):
            if savepoint is None and self._name is not None:
                self._track.add(*self._ended(self._name, log_pos))
            raise self._savepoints.read_again(savepoint, str(self._track.place(None)))
        if self._live:
            self._opened.take_back(self._savepoints.place(savepoint))

    # --- rows -----------------------------------------------------------------------------------------------------

    def _enter(self, group: Group) -> None:
        if self._opened.enter(group):
            self._takers.clear()
            self._whole = self._whole and not self.inside

    def _leave(self, group: Group) -> None:
        group.changes = self._opened.count()
        group.position = None if self.inside else self.place

    def _forget_maps(self) -> None:
        self._maps.clear()
        self._codes.clear()
        self._takers.clear()

    def _map(self, table: bytes, body: bytes) -> None:
        """A table map that we do not know."""
        name = ".".join(name_of(body))
        code = self._made.get(body[6:])
        if code is None and (filling := self._fillings.get(name)) is not None:
            found = parse_table_map(body, self._mariadb)
            compare(found, filling.form.table, self._definitions.collations)
            olds = self._wants_old or self._kin.wants_old(filling.form.table)
            code = self._made[body[6:]] = ImageCode(filling, found.slots, olds)
        self._maps[table], self._codes[table] = body[6:], code
        self._takers.pop(table, None)

    def _bind(self, table: bytes, group: Group) -> tuple[Event, Event, Event]:
        """What takes the rows of a table for the group's open Rows."""
        if table not in self._codes:
            raise malformed("rows without a table map")
        taker = _IGNORED
        if (code := self._codes[table]) is not None:
            concerned = self._kin.concern(code.table.id)
            taker = self._opened.taker(code, concerned)
            if concerned:
                taker = self._kin.heeding(code, taker, self)
        self._takers[table] = taker
        return taker

    def open_rows(self) -> Rows:
        """Those that take what comes, with all that came."""
        return self._opened.rows()

    def put(self, steps: Sequence[Cascade]) -> None:
        """Behind the rows that are there."""
        if steps:
            self._put(steps)
            self.acted = True

    def _put(self, steps: Sequence[Cascade | Truncate | SchemaChange]) -> None:
        self._opened.put(steps)
        self._takers.clear()

    # --- what comes seldom ----------------------------------------------------------------------------------------

    def _seldom(self, header: tuple[int, int, int, int, int], whole: bytes, tail: int, group: Group) -> str:
        """Any other event: `whole` is its body, which ends with `tail` bytes of checksum. "stop": it is not to be
        read; "inner": more events are in it; "altered": a table is another behind it."""
        kind, when, server, log_pos, flags = header
        body = whole[: len(whole) - tail]
        log_pos = log_pos if kind in events.MADE_UP else self._end(log_pos)
        if kind in (events.QUERY, events.QUERY_COMPRESSED):
            return self._query(events.query(body, kind == events.QUERY_COMPRESSED), group, log_pos)
        elif kind == events.MARIADB_GTID:
            domain, number, marks = events.mariadb_gtid(body)
            if marks & (events.PREPARED_XA | events.COMPLETED_XA):
                raise unsupported("a two-phase (XA) transaction", log_pos)
            alone = bool(marks & events.STANDALONE)
            stamp = when * 1_000_000
            return "stop" if self._begin((domain, (server, number)), when, stamp, group, log_pos, alone) else ""
        elif kind == events.GTID_TAGGED:
            tagged = events.tagged_gtid(body)
            name = (tagged.origin, tagged.number)
            return "stop" if self._begin(name, when, tagged.stamp, group, log_pos) else ""
        elif kind == events.ANONYMOUS_GTID:
            begin = f"{self._file.name}:{log_pos - _HEAD - len(whole)}"
            return "stop" if self._begin((None, begin), when, body, group, log_pos) else ""
        elif kind in events.COMPRESSED:
            self._other_rows(events.COMPRESSED[kind], body, group)
        elif kind == events.PAYLOAD:
            inner = events.payload(body, LONGEST)
            self._inner = (bytes(_FRAME) + inner + PAD, 0, _FRAME + len(inner))
            self._payload_end = log_pos
            return "inner"
        elif kind == events.FORMAT:
            self._tail = 4 if events.checksum(whole) == events.CRC32 else 0
            self._forget_maps()
            self._settle()
            self._history.file(self._file.name, when)
        elif kind == events.ROTATE:
            self._file.begin(*events.rotate(body))
        elif kind == events.PREVIOUS_GTIDS:
            self._track.enter(self._file.name, log_pos)
        elif kind == events.XA_PREPARE and body[:1] == b"\1":
            self._commit(group, log_pos)
        elif kind == events.XA_PREPARE:
            raise unsupported("a two-phase (XA) transaction", log_pos)
        elif kind == events.PARTIAL_UPDATE:
            self._other_rows(kind, body, group)
        elif kind not in events.SILENT and not flags & events.IGNORABLE_FLAG:
            raise malformed(f"an event of the unknown type {kind}", position=log_pos)
        return ""

    def _other_rows(self, kind: int, body: bytes, group: Group) -> None:
        """Rows in another form: an update that has of documents only what changed in them; MariaDB's, compressed."""
        if not self._live:
            return
        table, self.flags = body[:6], body[6]
        taker = self._takers.get(table) or self._bind(table, group)
        if (code := self._codes[table]) is None:
            return
        if kind == events.PARTIAL_UPDATE:
            kind, data = events.UPDATE, code.whole_update(body, 8 + int.from_bytes(body[8:10], "little"))
        else:
            data = events.inflated_rows(kind, body)
        taker[_ROWS[kind]](data, 0, len(data))
        group.bytes += len(data)

    def _query(self, query: events.Query, group: Group, log_pos: int) -> str:
        verb = query.text[:20].upper()
        altered = False
        if verb == "BEGIN":
            return ""
        if verb == "COMMIT":
            self._commit(group, log_pos)
        elif verb == "ROLLBACK":
            self._take_back(None, log_pos)
            self._commit(group, log_pos)
        elif verb.startswith("SAVEPOINT"):
            self._opened.mark(mark := Mark())
            self._live = self._savepoints.make(query.text[10:].lower(), mark) and self._counts
        elif verb.startswith("ROLLBACK TO"):  # in the log where another table's rows remain
            self._take_back(query.text[12:].lower(), log_pos)
            self._live = self._savepoints.go_back() and self._counts
        elif verb.startswith(("XA PREPARE", "XA COMMIT", "XA ROLLBACK")):
            raise unsupported("a two-phase (XA) transaction", log_pos)
        elif not verb.startswith("XA "):
            if self._live:
                altered = self._statement(query, group, log_pos)
            if self._alone:
                self._commit(group, log_pos)
        return "altered" if altered else ""

    def _statement(self, query: events.Query, group: Group, log_pos: int) -> bool:
        """A statement that is its own transaction, or stands in one; whether it ends the group."""
        if self._name is None:
            return False
        self.complete()
        steps = self._definitions.steps(query, self._tables, self._ended(self._name, log_pos), log_pos)
        if steps:
            self.put(self._kin.take())
            self._put(steps)
        return any(not isinstance(step, Truncate) for step in steps)
