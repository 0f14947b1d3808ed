"""Files that were sent and wait: kept whole or not at all, found by name, forgotten, called as their sender does."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
from litestar.datastructures import UploadFile

from appliance.errors import ApplianceError, BadInput, NotFound
from storage.errors import StateUnwritable, StorageError
from storage.layout import Layout

_TABLES = (".csv", ".tsv", ".parquet", ".ndjson", ".jsonl", ".json", ".arrow", ".feather")
ENDINGS = (*_TABLES, ".xlsx", ".xls", ".ods", *(f"{table}{packed}" for table in _TABLES for packed in (".gz", ".zst")))
"""What a dropped file may be; databases and Delta tables are added by path."""

MOST_NAME_BYTES = 200
"""Of an upload's file; a result that is written beside it has a longer name, and 255 is the most."""


def open_upload(layout: Layout, name: str) -> Path:
    """A place for a file that is sent: below a random folder, under its own name, since datasets remember that.

    Raises:
        BadInput: The file's ending is not one that can be read.
    """
    whole = re.sub(r"[^\w. ()+-]", "_", name.replace("\\", "/").rsplit("/", 1)[-1])
    # File systems count bytes, of which a letter has up to four; one that is cut in two is left out.
    plain = whole.encode()[-MOST_NAME_BYTES:].decode(errors="ignore").lstrip(".")
    if not plain.lower().endswith(ENDINGS):
        raise BadInput(f"{name[:200]!r} ends in no known way; accepted: {', '.join(ENDINGS)}")
    folder = layout.tmp / f"upload-{secrets.token_hex(12)}"
    try:
        folder.mkdir(mode=0o750)
    except OSError as exc:
        raise StateUnwritable(f"cannot keep an upload in {layout.tmp}: {exc.strerror}; free space there") from exc
    return folder / plain


def drop_upload(path: Path) -> None:
    """Forget a file that was sent."""
    shutil.rmtree(path.parent, ignore_errors=True)


def forget_upload(layout: Layout, upload: str) -> None:
    """Forget a file by the upload's name; one that was used up, or never was, is forgotten already."""
    with suppress(NotFound):
        drop_upload(find_upload(layout, upload))


def find_upload(layout: Layout, upload: str) -> Path:
    """Where an upload waits.

    Raises:
        NotFound: No such upload; the name is no path either.
    """
    files = list((layout.tmp / upload).glob("*")) if re.fullmatch(r"upload-[0-9a-f]{24}", upload) else []
    if len(files) != 1:
        raise NotFound(f"no upload {upload!r} waits; send the file again")
    return files[0]


async def keep_upload(chunks: AsyncIterator[bytes], path: Path, *, limit: int) -> int:
    """Write an upload whole, or leave nothing of it; returns its size."""
    try:
        size = await _write(chunks, path, limit=limit)
        if not size:
            raise BadInput(f"{path.name} is empty; send a file with a header and at least one row")
    except BaseException as exc:  # also when the sender hangs up: nothing half-received stays
        drop_upload(path)
        if isinstance(exc, OSError):
            raise StateUnwritable(f"cannot keep the upload in {path.parent}: {exc.strerror}; free space there") from exc
        raise
    return size


async def _write(chunks: AsyncIterator[bytes], path: Path, *, limit: int) -> int:
    size = 0
    async with await anyio.open_file(path, "wb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise BadInput(f"the file is larger than {limit:,} bytes; raise APPLIANCE_MAX_UPLOAD_BYTES to take it")
            await file.write(chunk)
    return size


async def parts_of(file: UploadFile) -> AsyncIterator[bytes]:
    """A file of a form, a piece at a time."""
    while chunk := await file.read(1 << 20):
        yield chunk


@contextmanager
def told_by_name(path: Path) -> Iterator[None]:
    """Errors name the file as it was called; the folder where it waits is on a host that its sender does not see."""
    try:
        yield
    except (ApplianceError, StorageError) as exc:
        exc.args = tuple(one.replace(str(path), path.name) if isinstance(one, str) else one for one in exc.args)
        raise
