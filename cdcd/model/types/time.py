"""Families of dates, times and spans, with the values that `datetime` cannot hold.

A value travels as `datetime.date`, `time` or `datetime` where that holds it, else as the class here. The
classes hold fields, not counts: microseconds since 1970 overflow 64 bits before PostgreSQL's last year, and
have no place for zero dates. Their text is ISO 8601, with ` BC` behind it before the year 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdcd.model.types.family import Family

FAMILIES = (
    Family("date", "datetime.date or XDate"),
    Family("time", "datetime.time or XTime", "precision"),
    Family("timetz", "XTimeTz", "precision", "time and offset are both the value: 12:00+00 is not 13:00+01"),
    Family("timestamp", "naive datetime.datetime or XTimestamp", "precision", "a wall clock's reading"),
    Family("timestamptz", "datetime.datetime in UTC or XTimestamp", "precision", "an instant, of no zone"),
    Family("interval", "Interval", "precision", "months, days and time are three: a month is not 30 days"),
)


def _infinity(special: int) -> str:
    return "infinity" if special > 0 else "-infinity"


def _clock(hour: int, minute: int, second: int, nanos: int) -> str:
    text = f"{hour:02}:{minute:02}:{second:02}"
    return f"{text}.{nanos:09}".rstrip("0") if nanos else text


@dataclass(frozen=True, slots=True)
class XDate:
    """A date outside of the years 1 to 9999, or an infinity (`special`: +1, -1). 1 BC is the year 0."""

    year: int = 0
    month: int = 0
    day: int = 0
    special: int = 0

    def __str__(self) -> str:
        if self.special:
            return _infinity(self.special)
        # A date without a day or a month (MySQL) has no era either.
        whole = self.month and self.day
        year, era = (self.year, "") if self.year > 0 or not whole else (1 - self.year, " BC")
        return f"{year:04}-{self.month:02}-{self.day:02}{era}"


@dataclass(frozen=True, slots=True)
class XTime:
    """24:00:00, or a time of day with nanoseconds."""

    hour: int
    minute: int
    second: int
    nanos: int = 0

    def __str__(self) -> str:
        return _clock(self.hour, self.minute, self.second, self.nanos)


@dataclass(frozen=True, slots=True)
class XTimeTz:
    """A time of day and an offset east of UTC; `datetime.time` calls 12:00+00 and 13:00+01 equal."""

    hour: int
    minute: int
    second: int
    nanos: int
    offset_seconds: int

    def __str__(self) -> str:
        minutes, seconds = divmod(abs(self.offset_seconds), 60)
        hours, minutes = divmod(minutes, 60)
        text = _clock(self.hour, self.minute, self.second, self.nanos)
        text += f"{'-' if self.offset_seconds < 0 else '+'}{hours:02}"
        if minutes or seconds:
            text += f":{minutes:02}"
        return f"{text}:{seconds:02}" if seconds else text


@dataclass(frozen=True, slots=True)
class XTimestamp:
    """A timestamp `datetime` cannot hold: years as in XDate, nanoseconds, an infinity. `utc`: an instant."""

    year: int = 0
    month: int = 0
    day: int = 0
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanos: int = 0
    utc: bool = False
    special: int = 0

    def __str__(self) -> str:
        if self.special:
            return _infinity(self.special)
        date, _, era = str(XDate(self.year, self.month, self.day)).partition(" ")
        clock = _clock(self.hour, self.minute, self.second, self.nanos)
        return f"{date}T{clock}{'Z' if self.utc else ''}{' ' + era if era else ''}"


@dataclass(frozen=True, slots=True)
class Interval:
    """Months, days, microseconds, each with its own sign, or an infinity. Text: IntervalStyle postgres."""

    months: int = 0
    days: int = 0
    micros: int = 0
    special: int = 0

    def __str__(self) -> str:
        if self.special:
            return _infinity(self.special)
        sign = -1 if self.months < 0 else 1
        years, months = divmod(abs(self.months), 12)
        parts = []
        negative = False  # a plus sign is written only behind a negative part
        for count, unit in ((sign * years, "year"), (sign * months, "mon"), (self.days, "day")):
            if count:
                plus = "+" if negative and count > 0 else ""
                parts.append(f"{plus}{count} {unit}{'' if count == 1 else 's'}")
                negative = count < 0
        if self.micros or not parts:
            seconds, micros = divmod(abs(self.micros), 1_000_000)
            minutes, seconds = divmod(seconds, 60)
            hours, minutes = divmod(minutes, 60)
            mark = "-" if self.micros < 0 else "+" if negative else ""
            parts.append(mark + _clock(hours, minutes, seconds, micros * 1000))
        return " ".join(parts)
