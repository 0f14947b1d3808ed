"""The training reference of a model version: bins, counts and quality, stored as ``reference.json`` in its bundle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from appliance.schema import FeatureSchema


class Reference:
    """Bins of every column, fitted once on the training rows, with their counts."""


def fit_reference(
    frame: pl.DataFrame,
    schema: FeatureSchema,
    *,
    outputs: np.ndarray,
    labels: pl.Series,
    quality: Mapping[str, float],
    importance: Mapping[str, float] | None = None,
) -> Reference:
    """Fit the bins of every column, of the score and of the label, and count the training rows into them.

    Args:
        frame: The training rows, with at least the schema's columns, in the dataset's own types.
        schema: What the model takes and gives.
        outputs: Shape ``(n, schema.outputs)`` or ``(n,)``: value, probability of the positive class, or a probability
            a class. Best the holdout's: a model is surer of the rows it learned from, and that difference is not drift.
        labels: The truth of the rows of ``outputs`` (any length): numbers for regression, else classes.
        quality: Metrics on the holdout.
        importance: Column name to gain; weights the dataset verdict.
    """
    raise NotImplementedError


def dump_reference(reference: Reference) -> bytes:
    """The content of ``reference.json``."""
    raise NotImplementedError


def parse_reference(content: bytes) -> Reference:
    """Read ``reference.json``."""
    raise NotImplementedError
