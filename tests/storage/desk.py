"""A directory with somebody's files, and the way to read them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from storage.columns import ColumnInfo
from storage.conform import columns_of, conform
from storage.layout import Layout
from storage.sources import SourceOptions, open_source


class Desk:
    """Where they lie; ``notes`` and ``sha256`` are those of what was read last."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self.notes: tuple[str, ...] = ()
        self.sha256: str | None = None

    def put(self, name: str, content: bytes | str) -> str:
        (self.path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return str(self.path / name)

    def read(
        self, source: str, query: str | None = None, like: tuple[ColumnInfo, ...] = (), **more: object
    ) -> pl.DataFrame:
        options = replace(
            SourceOptions(tmp=self.layout.tmp, query=query, like=like, memory="256MB"),
            **more,  # type: ignore[arg-type]
        )
        with open_source(source, options) as opened:
            self.notes, self.sha256 = opened.notes, opened.sha256
            columns = columns_of(opened.batches.schema)
            frames = [pl.DataFrame(pa.table(batch)) for batch in conform(opened.batches, columns)]
        assert list(self.layout.tmp.glob("scratch-*")) == []
        if not frames:
            return pl.DataFrame(schema=[column.name for column in columns])
        return pl.concat(frames)
