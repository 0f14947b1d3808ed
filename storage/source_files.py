"""The files that somebody brings: found, told apart by their first bytes, hashed, and their text made UTF-8."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from glob import glob
from pathlib import Path

import pyarrow as pa

from storage.errors import SourceUnreadable, StateUnwritable

BLOCK = 1 << 20


class Format(StrEnum):
    """What a file is."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    DUCKDB = "duckdb"
    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file, and what it is; ``compression`` is gzip, zstd or None."""

    path: Path
    format: Format
    compression: str | None = None

    @property
    def suffix(self) -> str:
        """A name's ending that says to DuckDB what the file is."""
        return f".{self.format}" + {"gzip": ".gz", "zstd": ".zst"}.get(self.compression or "", "")


FOREIGN = (
    (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"), (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook; save the sheet as CSV"), (b"\x7fELF", "a program"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV"), (b"BZh", "bzip2; unpack it first"),
    (b"\xfd7zXZ", "xz; unpack it first"), (b"ARROW1", "an Arrow file; write it as Parquet"),
)  # fmt: skip
"""First bytes of files that people bring by mistake, and what to tell them."""

BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def find_files(source: str) -> list[SourceFile]:
    """The files of a path or a glob, sorted by path, all of one format.

    Raises:
        SourceUnreadable: There is none, one is empty or no table, or they are of several formats.
    """
    named = Path(source)
    paths = [named] if named.exists() else [Path(path) for path in sorted(glob(source, recursive=True))]  # noqa: PTH207  (may be absolute)
    files = [path for path in paths if path.is_file()]
    if not files:
        raise SourceUnreadable(f"no file {source} (looked in {Path.cwd() if not named.is_absolute() else 'that path'})")
    found = [_tell(path) for path in files]
    formats = {file.format for file in found}
    if len(formats) > 1:
        raise SourceUnreadable(f"{source} names files of several formats: {', '.join(sorted(formats))}; name one kind")
    return found


def hash_files(files: Sequence[SourceFile]) -> str:
    """The sha256 of a file's bytes, as ``sha256sum`` says it; of several files, that of their hashes in order."""
    hashes = [_hash(file.path) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


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
        raise SourceUnreadable(f"{file.path} cannot be read: {exc}") from exc


def text_encoding(file: SourceFile) -> str:
    """How the text of a file is encoded: by its byte order mark, else UTF-8, else Windows' western one (cp1252).

    Raises:
        SourceUnreadable: It is none of them.
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
    return SourceFile(path=path, format=_format(path, head), compression=compression)


def _format(path: Path, head: bytes) -> Format:
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    if head.startswith(b"SQLite format 3\x00"):
        return Format.SQLITE
    if head[8:12] == b"DUCK":
        return Format.DUCKDB
    if foreign := next((what for mark, what in FOREIGN if head.startswith(mark)), None):
        raise SourceUnreadable(f"{path} is no table: it is {foreign}")
    names = {suffix.lower() for suffix in path.suffixes}
    if claimed := names & {".parquet", ".sqlite", ".duckdb", ".db"}:
        raise SourceUnreadable(f"{path} is named {claimed.pop()} but does not begin like such a file")
    if not _looks_like_text(head):
        raise SourceUnreadable(f"{path} is no CSV, JSON, Parquet, DuckDB or SQLite file: it holds binary data")
    if not head.strip():
        raise SourceUnreadable(f"{path} is empty but for white space")
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    is_json = bool(names & {".json", ".ndjson", ".jsonl"}) or text.startswith((b'{"', b'[{"'))
    return Format.JSON if is_json else Format.CSV


def _looks_like_text(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    control = sum(head.count(byte) for byte in range(32) if byte not in b"\t\n\r\f")
    return b"\x00" not in head and control <= len(head) / 1000


def _decodes(file: SourceFile, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in read_blocks(file):
            decoder.decode(block)
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
