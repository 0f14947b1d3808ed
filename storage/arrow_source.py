"""Reads Arrow IPC files (Feather version 2) and Arrow streams, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

from storage.errors import SourceUnreadable
from storage.partitions import partition_columns, partition_notes
from storage.source_files import Format, SourceFile


def read_arrow(
    files: Sequence[SourceFile], stack: contextlib.ExitStack, notes: list[str] | None = None
) -> pa.RecordBatchReader:
    """The rows of all files, one after the other, with what their folders say; ``stack`` closes them.

    Args:
        files: At least one.
        stack: Closes them.
        notes: Takes a sentence on the columns that came of folders.

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

    given = partition_columns(files, schema.names)
    if notes is not None:
        notes += partition_notes(given)
    whole = pa.schema([*schema, *(pa.field(column.name, column.arrow_type) for column in given)])

    def batches() -> Iterator[pa.RecordBatch]:
        for number, (_, rows) in enumerate(opened):
            told = [pa.scalar(column.values[number], column.arrow_type) for column in given]
            for batch in rows:
                constants = [pa.repeat(value, batch.num_rows) for value in told]
                yield pa.RecordBatch.from_arrays([*batch.columns, *constants], schema=whole) if given else batch

    return pa.RecordBatchReader.from_batches(whole, batches())


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
