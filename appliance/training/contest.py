"""The champion on the challenger's holdout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from appliance.errors import BadInput
from appliance.schema import FeatureSchema, Task
from appliance.training.encode import encode_rows
from appliance.training.evaluate import evaluate
from appliance.training.fit import Scorer
from appliance.training.precedent import Precedent
from appliance.training.table import Table
from appliance.training.target import Target, class_names

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The champion to beat, as its bundle holds it.

    Attributes:
        left_out: As in ``Precedent``.
        dataset: What it was trained on, and which snapshot of it; None where that is not known.
        was_replaced: The dataset's rows were replaced since then.
    """

    version: int
    text: str
    schema: FeatureSchema
    left_out: Mapping[str, str] = field(default_factory=dict)
    dataset: tuple[str, int] | None = None
    was_replaced: bool = False

    @property
    def precedent(self) -> Precedent:
        """What it made of the data."""
        schema = self.schema
        return Precedent(
            version=self.version, target=schema.target, task=schema.task, classes=schema.classes, left_out=self.left_out
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The champion on the challenger's holdout.

    Attributes:
        metrics: None with an obstacle.
        was_replaced: As in ``Incumbent``.
    """

    version: int | None = None
    metrics: dict[str, float] | None = None
    obstacle: str | None = None
    was_replaced: bool = False


def hold_contest(
    incumbent: Incumbent | None, target: Target, held: Table, *, threads: int, scratch: Path | None = None
) -> Contest:
    """Score the champion on raw held-out rows, if there is one and it can be; ``scratch`` as for ``encode_rows``."""
    if incumbent is None:
        return Contest()
    schema = incumbent.schema
    if (schema.task, schema.target) != (target.task, target.name):
        obstacle = (
            f"it predicts {schema.target!r} as {schema.task.value}, this one {target.name!r} as {target.task.value}"
        )
        return Contest(version=incumbent.version, obstacle=obstacle)
    if target.task is Task.BINARY and schema.classes != target.classes:
        return Contest(version=incumbent.version, obstacle=f"its classes are {', '.join(schema.classes)}")
    try:
        outputs = Scorer(incumbent.text, schema, threads=threads).predict(encode_rows(held, schema, scratch=scratch))
    except BadInput as exc:
        return Contest(version=incumbent.version, obstacle=str(exc))
    if target.task is Task.MULTICLASS:
        outputs = _as_classes(outputs, schema.classes, target.classes)
    truth = target_values(held[target.name], target)
    metrics = evaluate(target.task, truth, outputs, threshold=schema.threshold)
    return Contest(version=incumbent.version, metrics=metrics, was_replaced=incumbent.was_replaced)


def target_values(labels: pl.Series, target: Target) -> Floats:
    """Raw labels as numbers, or as indices of the target's classes."""
    if target.task is Task.REGRESSION:
        return labels.cast(pl.Float64).to_numpy().astype(np.float64)
    codes = {name: float(code) for code, name in enumerate(target.classes)}
    return class_names(labels).replace_strict(codes, return_dtype=pl.Float64).to_numpy().astype(np.float64)


def _as_classes(outputs: Floats, have: tuple[str, ...], want: tuple[str, ...]) -> Floats:
    """Probabilities a class of another model in this target's order; a class it does not know gets 0."""
    found = np.zeros((len(outputs), len(want)))
    for index, name in enumerate(want):
        if name in have:
            found[:, index] = outputs[:, have.index(name)]
    return found
