"""Reads Arrow IPC files (Feather version 2) and Arrow streams, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

from storage.errors import SourceUnreadable
from storage.source_files import Format, SourceFile


def read_arrow(files: Sequence[SourceFile], stack: contextlib.ExitStack) -> pa.RecordBatchReader:
    """The rows of all files, one after the other; ``stack`` closes them.

    Raises:
        SourceUnreadable: A file is torn, or has other columns than the first. Also while the batches are read.
    """
    opened = [_open(file, stack) for file in files]
    schema = opened[0][0]
    for file, (other, _) in zip(files[1:], opened[1:], strict=True):
        if not other.equals(schema):
            raise SourceUnreadable(
                f"{file.path} has other columns than {files[0].path}: {', '.join(map(str, other.names))[:200]}; "
                "add the files one by one"
            )

    def batches() -> Iterator[pa.RecordBatch]:
        for _, rows in opened:
            yield from rows

    return pa.RecordBatchReader.from_batches(schema, batches())


def _open(file: SourceFile, stack: contextlib.ExitStack) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    try:
        mapped = stack.enter_context(pa.memory_map(str(file.path)))
        if file.format is Format.ARROW:
            reader = pa.ipc.open_file(mapped)
            return reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))
        stream = pa.ipc.open_stream(mapped)
    except (pa.ArrowException, OSError) as exc:
        raise SourceUnreadable(f"{file.path} cannot be read as an Arrow file: {str(exc).splitlines()[0]}") from exc
    return stream.schema, iter(stream)
