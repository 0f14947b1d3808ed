"""Reads a sheet of an Excel or OpenDocument workbook through Polars; a sheet is in memory as a whole."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import fastexcel
import polars as pl

from storage.conform import require_new_name
from storage.errors import SourceUnreadable
from storage.source_files import SourceFile

MOST_BYTES = 1 << 30
"""A workbook that unpacks to more is refused: a sheet of a million rows and ten columns has about 300 MB of XML."""


def read_sheets(files: Sequence[SourceFile], sheet: str | None, notes: list[str]) -> pl.DataFrame:
    """The rows of one sheet of each workbook: of that name, else the first that has rows.

    Raises:
        SourceUnreadable: A workbook is damaged, encrypted or too large, lacks the sheet, or its columns differ.
    """
    frames = [_read(file.path, sheet, notes) for file in files]
    try:
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical_relaxed")
    except pl.exceptions.PolarsError as exc:
        raise SourceUnreadable(f"the sheets of {files[0].path} and its like do not fit together: {exc}") from exc


def _read(path: Path, sheet: str | None, notes: list[str]) -> pl.DataFrame:
    _require_small(path)
    try:
        names = fastexcel.read_excel(path).sheet_names
        if sheet is not None and sheet not in names:
            raise SourceUnreadable(f"{path} has no sheet {sheet!r}; it has {', '.join(map(repr, names))}")
        for name in names if sheet is None else [sheet]:
            found = pl.read_excel(path, sheet_name=name, infer_schema_length=None, raise_if_empty=False)
            if found.height:
                _require_new_names(path, name)
                if others := [other for other in names if other != name]:
                    told = ", ".join(map(repr, others[:5]))
                    notes.append(f"Read from the sheet {name!r} of {path.name}; the others are {told}.")
                return found
    except (fastexcel.FastExcelError, pl.exceptions.PolarsError, OSError) as exc:
        raise SourceUnreadable(f"{path} cannot be read as a workbook: {str(exc).splitlines()[0]}") from exc
    raise SourceUnreadable(
        f"{path} has no sheet with a header and rows" if sheet is None else f"{path}: {sheet!r} is empty"
    )


def _require_small(path: Path) -> None:
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise SourceUnreadable(
                f"{path} unpacks to {size >> 20} MB, more than the {MOST_BYTES >> 20} MB that a workbook may have; "
                "save the sheet as CSV"
            )


def _require_new_names(path: Path, sheet: str) -> None:
    # The reader renames a second "a" to "a_1"; the header row itself tells.
    header = pl.read_excel(path, sheet_name=sheet, has_header=False, read_options={"n_rows": 1})
    seen: dict[str, str] = {}
    try:
        for name in header.row(0):
            if name is not None:
                require_new_name(seen, str(name))
    except SourceUnreadable as exc:
        raise SourceUnreadable(f"{path}, sheet {sheet!r}: {exc}") from exc
