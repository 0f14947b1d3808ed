"""How a CSV file is written, as the SQL that reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.csv_checks import NULL_WORDS, Writing, checked_sql, is_checked, number_sql, time_sql
from storage.duck import sql_list, sql_name, sql_text
from storage.partitions import NO_FOLDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one file is written.

    Attributes:
        types: DuckDB's, by column.
        blank: Columns that have no value in the rows seen.
        times: Columns that are times of these formats, or dates where that is their type.
        numbers: Columns whose numbers DuckDB would not read; their ``types`` are what they become.
        words: Columns in which ``NULL_WORDS`` say that there is no value, beside ``nulls``, which hold for all columns.
        swapped: Columns of dates and times whose day may be the month, with the format that they are read by.
        checked: A value that is not of its column's type is an error, not brought to it.
        folders: How DuckDB takes columns from folders, and ``given``: the names of these.
    """

    delimiter: str
    quote: str
    escape: str
    comment: str
    skip: int
    header: bool
    date_format: str | None
    time_format: str | None
    types: dict[str, str]
    nulls: tuple[str, ...] = ("",)
    blank: frozenset[str] = frozenset()
    times: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, Writing] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    swapped: Mapping[str, str] = field(default_factory=dict)
    checked: bool = False
    folders: str = NO_FOLDERS
    given: tuple[str, ...] = ()

    @property
    def options(self) -> str:
        """The options of ``read_csv`` but for the types."""
        options = {
            "delim": sql_text(self.delimiter), "quote": sql_text(self.quote), "escape": sql_text(self.escape),
            "comment": sql_text(self.comment), "skip": str(self.skip), "nullstr": sql_list(self.nulls),
            "auto_detect": "false",
        }  # fmt: skip
        if self.date_format:
            options["dateformat"] = sql_text(self.date_format)
        if self.time_format:
            options["timestampformat"] = sql_text(self.time_format)
        return ", ".join(f"{key} = {value}" for key, value in options.items())

    def read(self, paths: Sequence[Path], *, as_text: bool = False) -> str:
        """SQL that reads files of this dialect."""
        as_text_too = {name for name in self.types if as_text or self._is_expression(name)}
        types = ", ".join(
            f"{sql_text(name)}: {sql_text('VARCHAR' if name in as_text_too else type_)}"
            for name, type_ in self.types.items()
        )
        header = "true" if self.header else "false"
        rows = f"read_csv({sql_list(paths)}, {self.options}, header = {header}, columns = {{{types}}}, {self.folders})"
        if as_text or not any(map(self._is_expression, self.types)):
            return f"SELECT * FROM {rows}"
        wanted = (*map(self._expression, self.types), *map(sql_name, self.given))
        return f"SELECT {', '.join(wanted)} FROM {rows}"

    def _is_expression(self, name: str) -> bool:
        if self.numbers.get(name) is Writing.DIGITS and name not in self.words:
            return self.checked
        return name in self.times or name in self.numbers or name in self.words or self._is_checked(name)

    def _is_checked(self, name: str) -> bool:
        formats = {"DATE": self.date_format, "TIMESTAMP": self.time_format}
        return self.checked and is_checked(self.types[name], formats=formats)

    def _expression(self, name: str) -> str:
        if not self._is_expression(name):
            return sql_name(name)
        here = column = sql_name(name)
        if name in self.words:
            here = f"(CASE WHEN NOT contains({sql_list(NULL_WORDS)}, {column}) THEN {column} END)"
        return f"{self._value(name, here)} AS {column}"

    def _value(self, name: str, text: str) -> str:
        """The text of a column as what the column is."""
        type_ = self.types[name]
        form = {"DATE": self.date_format, "TIMESTAMP": self.time_format}.get(type_)
        if name in self.times or form:
            value = time_sql(text, self.times.get(name) or (str(form),))
            return f"CAST({value} AS DATE)" if type_ == "DATE" else value
        if name in self.numbers:
            return number_sql(text, self.numbers[name])
        if self._is_checked(name):
            return checked_sql(text, type_)
        return text if type_ == "VARCHAR" else f"CAST({text} AS {type_})"

    def first_rows(self, paths: Sequence[Path], rows: int | None) -> str:
        """SQL that reads the first rows of each file, or all, as text."""
        if rows is None:
            return self.read(paths, as_text=True)
        return " UNION ALL ".join(f"(SELECT * FROM ({self.read([path], as_text=True)}) LIMIT {rows})" for path in paths)
