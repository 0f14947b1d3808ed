"""Columns of a CSV file that may be read in two ways: as the rows they go with were, or as another file decides.

``01/02/2026`` lies in January or in February, ``1.250`` is a thousand or one and a quarter, ``None`` a word or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from storage.columns import ColumnInfo, Dtype
from storage.csv_checks import BECOMES, NULL_WORDS, WRITTEN, Writing
from storage.csv_reading import Dialect
from storage.csv_values import answers, day_part, told_format
from storage.duck import sql_list, sql_name, sql_text
from storage.errors import SourceUnreadable
from storage.readings import Reading, Readings
from storage.source_files import SourceFile

POINT = "point"
"""Beside ``csv_checks.Writing``: numbers with a decimal point, which DuckDB reads."""

_WORDS = ", ".join(word for word in NULL_WORDS if word)
_PLAIN_DATE = "write its dates like 2026-01-31"
_LIKE = {Writing.COMMA: "1250,5", Writing.THOUSANDS: "1250", POINT: "1250.5"}
_ANEW = "or, where they are a dataset's, read all of its rows anew with --replace"
_TOLD = {
    Writing.COMMA: "numbers with a decimal comma", Writing.THOUSANDS: "whole numbers whose thousands are set apart by "
    "points", POINT: "numbers with a decimal point",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The rows that a file's go with: their columns, and how these were read where that was in question."""

    columns: Sequence[ColumnInfo] = ()
    readings: Readings = field(default_factory=dict)

    @property
    def texts(self) -> frozenset[str]:
        """Columns that stay text although they read as something else."""
        return frozenset(column.name for column in self.columns if column.dtype is Dtype.STRING)


def agree_on_dates(
    connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], paths: Sequence[Path],
    dialects: Sequence[Dialect], rows: int | None,
) -> list[Dialect]:  # fmt: skip
    """The dialects of files that are one source, with the format of dates that fits all of them.

    Raises:
        SourceUnreadable: One has the day first, another the month.
    """
    found = list(dialects)
    for is_date in (True, False):
        forms = dict.fromkeys(form for dialect in found if (form := _form(dialect, is_date=is_date)))
        if len(forms) < 2:
            continue
        each = list(zip(found, paths, files, strict=True))
        misfit = {form: _misfit(connection, each, rows, form, is_date=is_date) for form in forms}
        if fitting := [form for form, file in misfit.items() if file is None]:
            found = [_with_form(dialect, fitting[0], is_date=is_date) for dialect in found]
            continue
        first, *others = misfit.items()
        for form, file in others:
            if file is not None and first[1] is not None and _may_be_mistaken(form, first[0]):
                raise SourceUnreadable(
                    f"{first[1].path}: its dates cannot be read as {told_format(first[0])}, and those of {file.path} "
                    f"not as {told_format(form)}; write the dates of all files like 2026-01-31"
                )
    return found


def _misfit(
    connection: duckdb.DuckDBPyConnection, each: Iterable[tuple[Dialect, Path, SourceFile]], rows: int | None,
    form: str, *, is_date: bool,
) -> SourceFile | None:  # fmt: skip
    """The first file whose dates, or times, are not of a format; None where all are."""
    for dialect, path, file in each:
        columns = dict.fromkeys(_dated(dialect, is_date=is_date), (form,))
        if not _fits(connection, dialect, [path], rows, columns):
            return file
    return None


def hold(
    connection: duckdb.DuckDBPyConnection, dialect: Dialect, paths: Sequence[Path], rows: int | None, earlier: Earlier
) -> tuple[Dialect, list[str]]:
    """The dialect with whatever is in question read as it was before, and a note of each change.

    Raises:
        SourceUnreadable: A column can only be read otherwise than before.
    """
    if not earlier.columns and not earlier.readings:
        return dialect, []
    return _Holding(connection, dialect, paths, rows, earlier).all()


def find_readings(
    connection: duckdb.DuckDBPyConnection, dialect: Dialect, paths: Sequence[Path], *, sampled: bool
) -> dict[str, Reading]:
    """How the columns were read that may be read otherwise as well.

    Args:
        connection: Not confined yet.
        dialect: How they are read.
        paths: The files.
        sampled: Not all rows are to be looked at: what a word means is told of every text then.
    """
    found: dict[str, Reading] = {}
    for name, type_ in dialect.types.items():
        form = _own_days(dialect, name)
        mark = dialect.numbers.get(name) or (POINT if type_ == "DOUBLE" else None)
        if form is not None and not form.startswith("%Y"):
            found[name] = Reading(day=form)
        elif mark is not None and mark is not Writing.DIGITS:
            found[name] = Reading(mark=str(mark))
    texts = _texts(dialect)
    for name in texts if sampled else _with_words(connection, dialect, paths, texts):
        found[name] = Reading(words=_takes_words(dialect, name))
    return found


class _Holding:
    def __init__(
        self, connection: duckdb.DuckDBPyConnection, dialect: Dialect, paths: Sequence[Path], rows: int | None,
        earlier: Earlier,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._dialect = dialect
        self._paths = paths
        self._rows = rows
        self._earlier = earlier
        self._dtypes = {column.name: column.dtype for column in earlier.columns}
        self._types = dict(dialect.types)
        self._times = dict(dialect.times)
        self._numbers = dict(dialect.numbers)
        self._sure: set[str] = set()
        self._notes: list[str] = []

    def all(self) -> tuple[Dialect, list[str]]:
        texts = self._earlier.texts
        for name in self._dialect.types:
            if name not in texts:
                reading = self._earlier.readings.get(name, Reading())
                if "day" in reading:
                    self._hold_days(name, reading["day"])
                else:
                    self._hold_mark(name, reading.get("mark"))
        dialect = replace(
            self._dialect, types=self._types, times=self._times, numbers=self._numbers,
            swapped={name: form for name, form in self._dialect.swapped.items() if name not in self._sure},
        )  # fmt: skip
        return self._hold_words(dialect), self._notes

    def _hold_days(self, name: str, before: str) -> None:
        own, type_ = _own_formats(self._dialect, name), self._types[name]
        if not own:
            if type_ != "VARCHAR" or self._dtypes.get(name) is not Dtype.DATE:
                return
            if self._fits({name: (before,)}):  # the file's other dates are written otherwise
                self._take_days(name, (before,), "DATE")
            return
        day = day_part(own[0])
        if not (_is_plain(day) and _is_plain(before)):
            return
        if _order(day) == _order(before):
            self._sure.add(name)
            return
        if _year(day) != _year(before):
            return
        wanted = tuple(form.replace(day, _in_order(day, before), 1) for form in own)
        if "." not in day and self._fits({name: wanted}):
            self._take_days(name, wanted, "DATE" if type_ == "DATE" else "VARCHAR")
        elif _may_be_mistaken(day, before):
            raise SourceUnreadable(
                f"column {name!r} can only be read as {told_format(day)}, but the rows that these go with were read as "
                f"{told_format(before)}; {_PLAIN_DATE}, {_ANEW}"
            )

    def _take_days(self, name: str, formats: tuple[str, ...], type_: str) -> None:
        self._times[name] = formats
        self._types[name] = type_
        self._sure.add(name)
        self._notes.append(f"Read as {told_format(formats[0])}, as the rows before: {name}.")

    def _hold_mark(self, name: str, before: str | None) -> None:
        own = self._numbers.get(name) or (POINT if self._types[name] == "DOUBLE" else None)
        may_be_whole = self._dtypes.get(name) is Dtype.INT and self._dialect.delimiter != "," and own == POINT
        if own is None or own is Writing.DIGITS or own == before or not (before or may_be_whole):
            return
        if not self._has_point(name):
            return
        if before is None:
            self._require_no_doubt(name)
        elif before == POINT:
            if own is Writing.COMMA or not self._every(name, f"TRY_CAST({sql_name(name)} AS DOUBLE) IS NOT NULL"):
                raise self._other_mark(name, own, before)
            del self._numbers[name]
            self._take_mark(name, before, "DOUBLE")
        elif not (before == Writing.THOUSANDS and own is Writing.COMMA):
            how = Writing(before)
            # 0.125 is no number with points between thousands.
            fits = self._every(name, f"{_matches(name, WRITTEN[how])} AND NOT {_matches(name, r'[-+]?0+[.].*')}")
            if self._dialect.delimiter == ",":  # its points are decimal points, where they can be nothing else
                if fits:
                    raise self._doubt(name, f"{_TOLD[before]} in the rows that these go with")
                return
            if not fits:
                raise self._other_mark(name, own, before)
            self._numbers[name] = how
            self._take_mark(name, before, BECOMES[how])

    def _take_mark(self, name: str, mark: str, type_: str) -> None:
        self._types[name] = type_
        self._notes.append(f"Read as {_TOLD[mark]}, as the rows before: {name}.")

    def _has_point(self, name: str) -> bool:
        """A value with a point or a comma: without one, the number is the same however it is read."""
        return bool(self._ask(f"bool_or(regexp_matches({sql_name(name)}, '[.,]'))"))

    def _require_no_doubt(self, name: str) -> None:
        """Whole numbers were there; 1.250 would be none of them, but 1.000 would go in as 1."""
        if self._every(name, _matches(name, WRITTEN[Writing.THOUSANDS])):
            raise self._doubt(name, "whole numbers in the rows that these go with")

    def _doubt(self, name: str, before: str) -> SourceUnreadable:
        return SourceUnreadable(
            f"column {name!r} has {before}, and numbers like 1.250 here: the point may be a decimal point or set "
            f"thousands apart; write them like 1250 or 1.25, {_ANEW}"
        )

    def _other_mark(self, name: str, own: str, before: str) -> SourceUnreadable:
        return SourceUnreadable(
            f"column {name!r} can only be read as {_TOLD[own]}, but the rows that these go with were read as "
            f"{_TOLD[before]}; write its numbers like {_LIKE[before]}, {_ANEW}"
        )

    def _hold_words(self, dialect: Dialect) -> Dialect:
        texts = dialect.types.keys() & (self._earlier.texts | set(_texts(dialect)))
        said = {name: reading for name, reading in self._earlier.readings.items() if name in texts}
        asked = {
            name: reading["words"]
            for name, reading in said.items()
            if "words" in reading and reading["words"] is not _takes_words(dialect, name)
        }
        there = _with_words(self._connection, dialect, self._paths, list(asked), self._rows)
        kept = [name for name in there if not asked[name]]
        if taken := [name for name in there if asked[name]]:
            self._notes.append(f"Read as missing in {', '.join(taken)}, as in the rows before: {_WORDS}.")
            dialect = replace(dialect, words=dialect.words | set(taken))
        if kept:
            self._notes.append(f"Kept as text in {', '.join(kept)}, as in the rows before: {_WORDS}.")
            others = frozenset(dialect.types) if dialect.nulls != ("",) else dialect.words
            dialect = replace(dialect, nulls=("",), words=others - set(kept))
        return dialect

    def _fits(self, formats: Mapping[str, tuple[str, ...]]) -> bool:
        return _fits(self._connection, self._dialect, self._paths, self._rows, formats)

    def _every(self, name: str, test: str) -> bool:
        return bool(self._ask(f"bool_and({test}) FILTER ({_has_value(name)})"))

    def _ask(self, question: str) -> object:
        (answer,) = answers(self._connection, [question], self._dialect.first_rows(self._paths, self._rows))
        return answer


def _has_value(name: str) -> str:
    return f"NOT contains({sql_list(NULL_WORDS)}, {sql_name(name)})"


def _matches(name: str, pattern: str) -> str:
    return f"regexp_full_match({sql_name(name)}, {sql_text(pattern)})"


def _fits(
    connection: duckdb.DuckDBPyConnection, dialect: Dialect, paths: Sequence[Path], rows: int | None,
    formats: Mapping[str, tuple[str, ...]],
) -> bool:  # fmt: skip
    """Whether every value of the columns is a time of their formats."""
    asked = [
        f"bool_and(try_strptime({sql_name(name)}, {sql_list(forms)}) IS NOT NULL) FILTER ({_has_value(name)})"
        for name, forms in formats.items()
    ]
    return all(each is not False for each in answers(connection, asked, dialect.first_rows(paths, rows)))


def _form(dialect: Dialect, *, is_date: bool) -> str | None:
    return dialect.date_format if is_date else dialect.time_format


def _with_form(dialect: Dialect, form: str, *, is_date: bool) -> Dialect:
    if _form(dialect, is_date=is_date) is None:
        return dialect
    return replace(dialect, date_format=form) if is_date else replace(dialect, time_format=form)


def _dated(dialect: Dialect, *, is_date: bool) -> list[str]:
    wanted = "DATE" if is_date else "TIMESTAMP"
    has_form = _form(dialect, is_date=is_date) is not None
    return [name for name, type_ in dialect.types.items() if has_form and type_ == wanted]


def _own_formats(dialect: Dialect, name: str) -> tuple[str, ...]:
    if name in dialect.times:
        return dialect.times[name]
    form = {"DATE": dialect.date_format, "TIMESTAMP": dialect.time_format}.get(dialect.types[name])
    return () if form is None else (form,)


def _own_days(dialect: Dialect, name: str) -> str | None:
    formats = _own_formats(dialect, name)
    return day_part(formats[0]) if formats else None


def _is_plain(day: str) -> bool:
    """Whether day, month and year stand in a format, with one mark between them."""
    return re.fullmatch(r"%[dmyY](.)%[dmyY]\1%[dmyY]", day) is not None and len(set(_order(day))) == 3


def _order(day: str) -> str:
    """``dmy``, ``mdy`` or ``ymd``."""
    return "".join(mark for mark in day.lower() if mark in "dmy")


def _year(day: str) -> tuple[str, int]:
    """How the year is written, and where: of two digits it may stand anywhere."""
    return ("%y", 0) if "%y" in day else ("%Y", _order(day).index("y"))


def _in_order(day: str, like: str) -> str:
    """The days with their own marks between, in another's order."""
    parts = {mark.lower(): f"%{mark}" for mark in day if mark in "dmyY"}
    return day[2].join(parts[mark] for mark in _order(like))


def _may_be_mistaken(one: str, other: str) -> bool:
    days = [day_part(form) for form in (one, other)]
    if not all(map(_is_plain, days)) or days[0][2] != days[1][2]:
        return False
    return _year(days[0]) == _year(days[1]) and _order(days[0]) != _order(days[1])


def _texts(dialect: Dialect) -> list[str]:
    return [
        name
        for name, type_ in dialect.types.items()
        if type_ == "VARCHAR" and name not in dialect.times and name not in dialect.numbers
    ]


def _takes_words(dialect: Dialect, name: str) -> bool:
    return dialect.nulls != ("",) or name in dialect.words


def _with_words(
    connection: duckdb.DuckDBPyConnection, dialect: Dialect, paths: Sequence[Path], names: Collection[str],
    rows: int | None = None,
) -> list[str]:  # fmt: skip
    """Those of the columns in which such a word stands."""
    if not names:
        return []
    wanted = [f"bool_or(contains({sql_list(NULL_WORDS[1:])}, {sql_name(name)}))" for name in names]
    found = answers(connection, wanted, replace(dialect, nulls=("",)).first_rows(paths, rows))
    return [name for name, is_it in zip(names, found, strict=True) if is_it]
