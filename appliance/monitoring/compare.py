"""Two tables held against each other by the drift rule, without any model."""

from __future__ import annotations

import polars as pl

from appliance.monitoring.drift_report import CompareReport


def compare_files(reference: str, current: str) -> CompareReport:
    """Fit the bins on one file and count the other into them.

    Args:
        reference: CSV, Parquet, or what ``storage.sources`` reads.
        current: Likewise.

    Raises:
        SourceUnreadable: A file is not the table it claims to be.
    """
    raise NotImplementedError


def compare_frames(reference: pl.DataFrame, current: pl.DataFrame) -> CompareReport:
    """The same for two frames; a broken column is reported and never hides the others."""
    raise NotImplementedError
