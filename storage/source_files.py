"""The files that somebody brings: found, told apart by their first bytes, unpacked, hashed, their text made UTF-8."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from glob import glob
from pathlib import Path

import pyarrow as pa

from storage.errors import SourceUnreadable, StateUnwritable
from storage.folder_names import folder_values

BLOCK = 1 << 20
LONGEST_LINE = 2 << 20
"""Bytes of a CSV file without an end of line: what DuckDB takes for one record."""

COPY_AGAIN = "it is cut off or damaged: copy or write it again"


class Format(StrEnum):
    """What a file is."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    DUCKDB = "duckdb"
    SQLITE = "sqlite"
    ARROW = "arrow"
    ARROW_STREAM = "arrow stream"
    EXCEL = "excel"

    @property
    def is_text(self) -> bool:
        """Whether DuckDB unpacks it by itself."""
        return self in {Format.CSV, Format.JSON}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file, and what it is; ``compression`` is gzip, zstd or None, ``folders`` what its folders say of its rows."""

    path: Path
    format: Format
    compression: str | None = None
    folders: tuple[tuple[str, str], ...] = ()

    @property
    def suffix(self) -> str:
        """A name's ending that says to DuckDB what the file is."""
        return f".{self.format}" + {"gzip": ".gz", "zstd": ".zst"}.get(self.compression or "", "")


FOREIGN = (
    (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"), (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"), (b"\x7fELF", "a program"),
    (b"BZh", "bzip2; unpack it first"), (b"\xfd7zXZ", "xz; unpack it first"),
    (b"FEA1", "Feather version 1; write it again as version 2, or as Parquet"),
)  # fmt: skip
"""First bytes of files that people bring by mistake, and what to tell them."""

MARKUP = (b"<!doctype", b"<html", b"<?xml")

BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


MOST_FILES = 10_000
"""Files of one source; more are a directory named by mistake."""


def find_files(source: str) -> list[SourceFile]:
    """The files of a path, a glob or a directory, sorted by path, all of one format.

    Of a directory these are the files in it and below; names that begin with a dot or an underscore are left out.

    Raises:
        SourceUnreadable: There is none, one is empty or no table, they are too many or of several formats.
    """
    named = Path(source)
    files = _below(named) if named.is_dir() else _globbed(source, named)
    found = [_tell(path) for path in files]
    formats = {file.format for file in found}
    if len(formats) > 1:
        raise SourceUnreadable(f"{source} names files of several formats: {', '.join(sorted(formats))}; name one kind")
    return found


def _below(folder: Path) -> list[Path]:
    shown = (
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )
    try:
        found = sorted(itertools.islice(shown, MOST_FILES + 1))
    except OSError as exc:
        raise SourceUnreadable(f"{folder} cannot be read: {exc.strerror}") from exc
    if not found:
        raise SourceUnreadable(f"{folder} is a directory without a file in it, and no Delta table")
    if len(found) > MOST_FILES:
        raise SourceUnreadable(f"{folder} has more than {MOST_FILES:,} files; name fewer with a glob")
    return found


def _globbed(source: str, named: Path) -> list[Path]:
    paths = [named] if named.exists() else [Path(path) for path in sorted(glob(source, recursive=True))]  # noqa: PTH207  (may be absolute)
    files = [path for path in paths if path.is_file()]
    if not files:
        raise SourceUnreadable(f"no file {source} (looked in {Path.cwd() if not named.is_absolute() else 'that path'})")
    return files


def unpacked(files: Sequence[SourceFile], folder: Path) -> list[SourceFile]:
    """The same files; those whose reader needs plain bytes are unpacked into ``folder``.

    Raises:
        SourceUnreadable: One cannot be unpacked.
        StateUnwritable: There is no room for it.
    """
    return [
        file if file.compression is None or file.format.is_text else _unpack(file, folder / f"plain-{number}")
        for number, file in enumerate(files)
    ]


def _unpack(file: SourceFile, target: Path) -> SourceFile:
    try:
        with target.open("wb") as out:
            for block in read_blocks(file):
                out.write(block)
    except OSError as exc:
        raise StateUnwritable(f"cannot unpack {file.path} to {target.parent}: {exc.strerror}") from exc
    return replace(file, path=target, compression=None)


def hash_files(files: Sequence[SourceFile]) -> str:
    """The sha256 of a file's bytes, as ``sha256sum`` says it; of several files, that of their hashes in order.

    A database's write-ahead log counts as one more file behind it; what folders say of a file stands behind its hash.
    """
    hashes = [
        " ".join((_hash(path), *("=".join(told) for told in file.folders)))
        for file in files
        for path in (file.path, *_write_ahead(file))
    ]
    if len(hashes) == 1 and not files[0].folders:
        return hashes[0]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _write_ahead(file: SourceFile) -> Iterator[Path]:
    ending = {Format.SQLITE: "-wal", Format.DUCKDB: ".wal"}.get(file.format)
    log = file.path.with_name(f"{file.path.name}{ending}")
    if ending is not None and log.is_file() and log.stat().st_size:
        yield log


def read_blocks(file: SourceFile) -> Iterator[bytes]:
    """The file's content, unpacked, in blocks.

    Raises:
        SourceUnreadable: It cannot be opened or unpacked.
    """
    try:
        with pa.input_stream(str(file.path), compression=file.compression) as stream:
            while block := stream.read(BLOCK):
                yield block
    except (OSError, pa.ArrowException) as exc:
        raise SourceUnreadable(
            f"{file.path} cannot be read: {exc}" + (f"; {COPY_AGAIN}" if file.compression else "")
        ) from exc


def text_encoding(file: SourceFile) -> str:
    """How the text of a file is encoded: by its byte order mark, else UTF-8, else Windows' western one (cp1252).

    Raises:
        SourceUnreadable: It is none of them, or a line has no end.
    """
    head = next(read_blocks(file), b"")
    marked = next((name for mark, name in BOMS if head.startswith(mark)), None)
    for name in ("utf-8", "cp1252") if marked in {None, "utf-8-sig"} else (str(marked),):
        if _decodes(file, name):
            return name
    raise SourceUnreadable(f"{file.path} is not text in UTF-8, UTF-16 or Windows-1252; save it as UTF-8")


def write_utf8(file: SourceFile, encoding: str, target: Path) -> None:
    """Write a file's text as UTF-8, unpacked.

    Raises:
        StateUnwritable: There is no room for it.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with target.open("wb") as out:
            for block in read_blocks(file):
                out.write(decoder.decode(block).encode())
            out.write(decoder.decode(b"", final=True).encode())
    except OSError as exc:
        raise StateUnwritable(f"cannot copy {file.path} as UTF-8 to {target.parent}: {exc.strerror}") from exc


def _tell(path: Path) -> SourceFile:
    try:
        with path.open("rb") as file:
            head = file.read(BLOCK)
    except OSError as exc:
        raise SourceUnreadable(f"{path} cannot be opened: {exc.strerror}") from exc
    if not head:
        raise SourceUnreadable(f"{path} is empty")
    compression = "gzip" if head.startswith(b"\x1f\x8b") else "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else None
    if compression is not None:
        packed = SourceFile(path=path, format=Format.CSV, compression=compression)
        head = next(read_blocks(packed), b"")
        if not head:
            raise SourceUnreadable(f"{path} is empty")
    return SourceFile(
        path=path, format=_format(path, head), compression=compression, folders=folder_values(path)
    )  # fmt: skip


MAGIC = (
    (b"PAR1", Format.PARQUET), (b"SQLite format 3\x00", Format.SQLITE), (b"ARROW1", Format.ARROW),
    (b"\xff\xff\xff\xff", Format.ARROW_STREAM), (b"\xd0\xcf\x11\xe0", Format.EXCEL),
)  # fmt: skip
"""First bytes that tell a format; DuckDB's stand further behind, and a workbook is a ZIP archive of certain files."""


def _format(path: Path, head: bytes) -> Format:
    if known := next((kind for mark, kind in MAGIC if head.startswith(mark)), None):
        return known
    if head[8:12] == b"DUCK":
        return Format.DUCKDB
    if head.startswith(b"PK\x03\x04") and _is_workbook(path, head):
        return Format.EXCEL
    _require_text(path, head)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    is_json = bool(_endings(path) & {".json", ".ndjson", ".jsonl"}) or text.startswith((b'{"', b'[{"'))
    return Format.JSON if is_json else Format.CSV


def _endings(path: Path) -> set[str]:
    return {suffix.lower() for suffix in path.suffixes}


def _require_text(path: Path, head: bytes) -> None:
    if foreign := next((what for mark, what in FOREIGN if head.startswith(mark)), None):
        raise SourceUnreadable(f"{path} is no table: it is {foreign}")
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:9].lower().startswith(MARKUP):
        raise SourceUnreadable(
            f"{path} is no table: it is a web page or XML; an address that gave it may ask for a login, or be the page "
            "about the file"
        )
    if claimed := _endings(path) & {".parquet", ".sqlite", ".duckdb", ".db", ".arrow", ".feather", ".xlsx", ".xls"}:
        raise SourceUnreadable(f"{path} is named {claimed.pop()} but does not begin like such a file")
    if not _looks_like_text(head):
        raise SourceUnreadable(
            f"{path} is no CSV, JSON, Parquet, Arrow, Excel, DuckDB or SQLite file: it holds binary data"
        )
    if not head.strip():
        raise SourceUnreadable(f"{path} is empty but for white space")


def _is_workbook(path: Path, head: bytes) -> bool:
    """Whether a ZIP archive holds a workbook of Excel (xlsx, xlsb) or of OpenDocument."""
    if b"application/vnd.oasis.opendocument.spreadsheet" in head[:200]:
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return not {"xl/workbook.xml", "xl/workbook.bin"}.isdisjoint(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return b"xl/" in head  # torn, or packed once more: its reader says what is wrong


def _looks_like_text(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    control = sum(head.count(byte) for byte in range(32) if byte not in b"\t\n\r\f")
    return b"\x00" not in head and control <= len(head) / 1000


def _decodes(file: SourceFile, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, length = 0, 0
    try:
        for block in read_blocks(file):
            decoder.decode(block)
            ends = max(block.rfind(b"\n"), block.rfind(b"\r"))
            length = length + len(block) if ends < 0 else len(block) - ends
            lines += block.count(b"\n")
            if length > LONGEST_LINE:
                raise SourceUnreadable(
                    f"{file.path}: line {lines + 1} has no end within {LONGEST_LINE >> 20} MiB, so it is no row of a "
                    "table; look for a missing quotation mark or end of line, or bring the table as Parquet"
                )
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise SourceUnreadable(f"{path} cannot be read: {exc.strerror}") from exc
