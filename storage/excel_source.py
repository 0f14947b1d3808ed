"""Reads a sheet of an Excel or OpenDocument workbook through Polars; a sheet is in memory as a whole."""

from __future__ import annotations

import contextlib
import logging
import operator
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, time
from pathlib import Path

import fastexcel
import polars as pl

from storage.conform import require_new_name
from storage.csv_checks import NULL_WORDS
from storage.errors import SourceUnreadable
from storage.excel_layout import HEAD, Header, fill_merged, find_header, require_names, told_below
from storage.partitions import partition_columns, partition_notes
from storage.source_files import SourceFile

MOST_BYTES = 1 << 30
"""A workbook that unpacks to more is refused: a sheet of a million rows and ten columns has about 300 MB of XML."""

_NO_DAY = (date(1899, 12, 30), date(1899, 12, 31))
"""A time of day is a moment on one of these."""

_NO_VALUE = (*NULL_WORDS, "#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!")
_WHOLE, _NUMBER = r"^-?(0|[1-9]\d{0,17})$", r"^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$"
_MOMENT, _MOMENT_FORMAT = r"^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?$", "%Y-%m-%d %H:%M:%S"
_EXACT = 2**53
"""Whole numbers below are told apart by Excel's one kind of number, a float64."""


def read_sheets(
    files: Sequence[SourceFile], sheet: str | None, notes: list[str]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows of one sheet of each workbook: of that name, else the first that has rows; and the sheets there are.

    Those are of the first workbook, the one that was read first.

    Raises:
        SourceUnreadable: A workbook is damaged, encrypted or too large, lacks the sheet, or its columns differ.
    """
    read = [_read(file.path, sheet, notes) for file in files]
    frames, sheets = [frame for frame, _ in read], read[0][1]
    given = partition_columns(files, frames[0].columns)
    notes += partition_notes(given)
    for column in given:
        values = pl.Series(column.name, column.values)
        frames = [frame.with_columns(values.slice(n, 1).first()) for n, frame in enumerate(frames)]
    try:
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical_relaxed"), sheets
    except pl.exceptions.PolarsError as exc:
        raise SourceUnreadable(f"the sheets of {files[0].path} and its like do not fit together: {exc}") from exc


def _read(path: Path, sheet: str | None, notes: list[str]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    _require_small(path)
    try:
        book = fastexcel.read_excel(path)
        if sheet is not None and sheet not in book.sheet_names:
            raise SourceUnreadable(f"{path} has no sheet {sheet!r}; it has {', '.join(map(repr, book.sheet_names))}")
        found = _find_sheet(book, sheet)
        if found is None:
            raise SourceUnreadable(
                f"{path} has no sheet with a header and rows" if sheet is None else f"{path}: {sheet!r} is empty"
            )
        name, header = found
        with _quiet():
            frame = book.load_sheet(
                name, header_row=None, column_names=list(header.names), skip_rows=header.row + 1,
                schema_sample_rows=None,
            ).to_polars()  # fmt: skip
    except (fastexcel.FastExcelError, pl.exceptions.PolarsError, OSError) as exc:
        raise SourceUnreadable(f"{path} cannot be read as a workbook: {str(exc).splitlines()[0]}") from exc
    others = [other for other in book.sheet_names if other != name]
    if others:
        notes.append(f"Read from the sheet {name!r} of {path.name}; the others are {', '.join(map(repr, others[:5]))}.")
    return _mend(frame, path, name, header, notes), (name, *others)


def _find_sheet(book: fastexcel.ExcelReader, sheet: str | None) -> tuple[str, Header] | None:
    """The sheet that is named; else the first that is seen and has columns and rows, or the first that has rows."""
    rest: list[tuple[bool, str, Header]] = []
    for name in book.sheet_names if sheet is None else [sheet]:
        with _quiet():
            loaded = book.load_sheet(name, header_row=None, skip_rows=0, n_rows=HEAD, dtypes="string")
            header = find_header(loaded.to_polars().rows()) if loaded.width else None
        if header is None or loaded.total_height <= header.row + 1:
            continue
        is_seen = loaded.visible == "visible"
        if sheet is not None or (is_seen and len(header.names) > 1):
            return name, header
        rest.append((is_seen, name, header))
    return max(rest, key=operator.itemgetter(0))[1:] if rest else None


def _mend(frame: pl.DataFrame, path: Path, sheet: str, header: Header, notes: list[str]) -> pl.DataFrame:
    """Without the blank rows and columns, merged cells filled, and texts that are numbers or dates as these."""
    try:
        require_names(header)
        seen: dict[str, str] = {}
        for name in header.names:
            require_new_name(seen, name)
    except SourceUnreadable as exc:
        raise SourceUnreadable(f"{path}, sheet {sheet!r}: {exc}") from exc
    frame, filled = fill_merged(frame, path, sheet, above=header.row + 1)
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    frame = frame.drop([name for name in header.unnamed if frame[name].null_count() == frame.height])
    frame = frame.with_columns(_typed(frame[name], notes) for name in frame.columns)
    if header.above:
        notes.append(f"The header of {path.name} is row {header.row + 1}; what stands above it was left out.")
    notes += [
        f"A column of {path.name} has no name in the header; it is called {name!r}."
        for name in frame.columns
        if name in header.unnamed
    ]
    if filled:
        notes.append(f"Merged cells of {', '.join(map(repr, filled[:5]))} count for each row that they span.")
    if below := told_below(frame):
        notes.append(below)
    return frame


def _typed(values: pl.Series, notes: list[str]) -> pl.Series:
    """As few kinds as the cells allow: floats that are whole as whole numbers, moments at midnight as dates.

    A column whose cells are of several kinds comes as text. It is numbers or dates again where all its texts are such,
    but for those that say that there is no value. Digits that begin with a 0, as post codes do, stay text.
    """
    if values.dtype.is_float():
        known = values.drop_nulls()
        is_whole = len(known) > 0 and bool(((known.round() == known) & (known.abs() < _EXACT)).all())
        return values.cast(pl.Int64) if is_whole else values
    if isinstance(values.dtype, pl.Datetime):
        if len(known := values.drop_nulls()) and known.dt.date().is_in(_NO_DAY).all():
            return values.dt.strftime("%H:%M:%S")
        return values.cast(pl.Date) if bool((known.dt.time() == time()).all()) else values
    if values.dtype != pl.String:
        return values
    read = _read_words(values.str.strip_chars())
    if read is None:
        return values
    kind = "dates" if read.dtype.is_temporal() else "numbers"
    notes.append(f"All texts in {values.name!r} are {kind}, or say that there is no value: it is read as {kind}.")
    return _typed(read, notes)


def _read_words(words: pl.Series) -> pl.Series | None:
    words = words.set(words.is_in(_NO_VALUE), None)
    known = words.drop_nulls()
    if known.is_empty():
        return None
    if known.str.contains(_WHOLE).all():
        return words.cast(pl.Int64)
    if known.str.contains(_NUMBER).all():
        return words.cast(pl.Float64)
    if known.str.contains(_MOMENT).all():
        read = words.str.pad_end(11, " ")
        read = read.str.replace(r" $", " 00:00:00").str.to_datetime(_MOMENT_FORMAT, strict=False)
        return read if read.null_count() == words.null_count() else None
    return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the reader's warnings, one for each column that it sees nothing in."""
    log = logging.getLogger("fastexcel.types.dtype")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _require_small(path: Path) -> None:
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise SourceUnreadable(
                f"{path} unpacks to {size >> 20} MiB, more than the {MOST_BYTES >> 20} MiB that a workbook may have; "
                "save the sheet as CSV"
            )
