"""Where the table lies in a sheet that was made for people: titles above it, merged cells in it, a note below it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl

from storage.errors import SourceUnreadable

HEAD = 50
"""Rows from the top in which the header is looked for."""

_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?", re.IGNORECASE)
_YEAR = re.compile(r"(19|20)\d\d")
_MIDNIGHT = " 00:00:00"
_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_BLOCK = 1 << 20
_OVERLAP = 200
"""Bytes; longer than what is looked for between two blocks."""

_MERGED = re.compile(rb'<mergeCell[^>]* ref="([A-Z]{1,3})(\d+):([A-Z]{1,3})(\d+)"')
_FILLED = re.compile(rb'<c [^>]*?r="([A-Z]{1,3})\d+"[^>/]*>')


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header row.

    Attributes:
        row: Its place in the rows given, from 0.
        names: One a column.
        unnamed: Those that had none.
        above: Rows with something in them that stand above it.
    """

    row: int
    names: tuple[str, ...]
    unnamed: frozenset[str]
    above: int


def find_header(head: Sequence[Sequence[str | None]]) -> Header | None:
    """The header among a sheet's first rows, as texts.

    It is the first row that has anything. Where that row fills at most half of the columns, as a title or a line of
    merged groups does, it is the first row below that fills all of them with different texts.

    Returns:
        None without two rows.
    """
    widths = [sum(cell is not None for cell in row) for row in head]
    first = next((at for at, width in enumerate(widths) if width), None)
    if first is None:
        return None
    widest = max(widths)
    found = first
    if 1 < widest >= 2 * widths[first]:
        found = next((at for at in range(first + 1, len(head)) if widths[at] == widest and _are_names(head[at])), first)
    names = [None if cell is None else cell.strip().removesuffix(_MIDNIGHT) or None for cell in head[found]]
    return Header(
        row=found, names=tuple(name or f"column{at}" for at, name in enumerate(names)),
        unnamed=frozenset(f"column{at}" for at, name in enumerate(names) if not name),
        above=sum(width > 0 for width in widths[:found]),
    )  # fmt: skip


def _are_names(row: Sequence[str | None]) -> bool:
    texts = [cell.strip() for cell in row if cell is not None]
    return len(set(texts)) == len(texts) and all(_YEAR.fullmatch(text) or not _NUMBER.match(text) for text in texts)


def fill_merged(frame: pl.DataFrame, path: Path, sheet: str, *, above: int) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give every row of a merged cell the value that the file holds for its first row alone.

    Args:
        frame: All rows below the header, blank ones too.
        path: An xlsx file; of another format, nothing is filled.
        sheet: Its name.
        above: Rows of the sheet above the first of ``frame``.

    Returns:
        The frame, and the columns that were filled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            part = _part_of(archive, sheet)
            found = () if part is None else tuple(_find(archive, part, _MERGED))
            if not found or part is None:
                return frame, ()
            left = min((_column(letters) for (letters,) in _find(archive, part, _FILLED)), default=0)
    except (zipfile.BadZipFile, KeyError, ET.ParseError):
        return frame, ()
    columns: dict[str, list[object]] = {}
    for begin, top, end, bottom in found:
        at, first, last = _column(begin) - left, int(top) - 1 - above, min(int(bottom) - 1 - above, frame.height - 1)
        if begin == end and 0 <= at < frame.width and 0 <= first < last:
            values = columns.setdefault(frame.columns[at], frame[:, at].to_list())
            values[first : last + 1] = [values[first]] * (last + 1 - first)
    filled = [pl.Series(name, values, dtype=frame[name].dtype) for name, values in columns.items()]
    return frame.with_columns(filled), tuple(columns)


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The name within the archive of a sheet's XML."""
    if "xl/workbook.xml" not in archive.namelist():
        return None
    book = ET.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314  (expat limits entities since 2.4)
    links = ET.fromstring(archive.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
    wanted = next(
        (one.get(_REL) for one in book.iter() if one.tag.endswith("}sheet") and one.get("name") == sheet), None
    )
    target = next((str(one.get("Target")) for one in links.iter() if wanted and one.get("Id") == wanted), None)
    return None if target is None else target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def _find(archive: zipfile.ZipFile, part: str, pattern: re.Pattern[bytes]) -> Iterator[tuple[str, ...]]:
    """The groups of each match; the part is read in blocks."""
    with archive.open(part) as file:
        rest = b""
        while block := file.read(_BLOCK):
            text, end = rest + block, 0
            for match in pattern.finditer(text):
                end = match.end()
                yield tuple(group.decode() for group in match.groups())
            rest = text[max(end, len(text) - _OVERLAP) :]


def _column(letters: str) -> int:
    """``A`` is 0, ``AA`` 26."""
    place = 0
    for letter in letters:
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1


def told_below(frame: pl.DataFrame) -> str | None:
    """A sentence on a last row that fills at most half of the columns while the others fill most, else None."""
    if frame.width < 3 or frame.height < 5:
        return None
    filled = frame.select(pl.sum_horizontal(pl.all().is_not_null())).to_series()
    last, usual = int(filled[-1]), filled[:-1].median()
    if not isinstance(usual, float) or 2 * last > frame.width or usual < 0.75 * frame.width:
        return None
    said = next((str(value) for value in frame.row(-1) if value is not None), "")
    return (
        f"The last row fills {last} of {frame.width} columns and begins with {said[:60]!r}: leave it out with a query "
        "if it is a total or a note."
    )


def require_names(header: Header) -> None:
    """Raise when the first row looks like values, since the sheet has no header.

    Raises:
        SourceUnreadable: Most of its cells are numbers, and they are no years.
    """
    numbers = [name for name in header.names if _NUMBER.fullmatch(name) and not _YEAR.fullmatch(name)]
    if 2 * len(numbers) > len(header.names):
        raise SourceUnreadable(
            f"its first row holds values ({', '.join(header.names[:5])}), not the columns' names; add a row with names"
        )
