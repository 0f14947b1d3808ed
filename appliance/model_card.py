"""What one training did and found: the model card, and the report of a training job. Light: read by everything."""

from __future__ import annotations

import msgspec


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a challenger became champion.

    Attributes:
        passed: It did.
        reasons: Sentences, at least one.
    """

    passed: bool
    reasons: tuple[str, ...]


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """One column's share of the total gain, in [0, 1]."""

    column: str
    share: float


class Warn(msgspec.Struct, frozen=True, kw_only=True):
    """Something about the data a person should look at; ``column`` is None when it is about the table."""

    column: str | None
    code: str
    message: str


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """``card.json`` of a bundle.

    Attributes:
        dataset_version: The snapshot it was trained on.
        rows: Rows with a label.
        rows_train: Fitted on.
        rows_stop: Decided when to stop.
        rows_holdout: Measured on, never seen by the fit.
        split: A sentence.
        decisions: What was found out from the data, in sentences: task, time column, columns left out.
        metrics: On the holdout.
        baseline: The same metrics of the dummy: the mean, or the class shares, of the training rows.
        primary: The metric the gate compares.
        champion: The metrics of the champion of that time on the same holdout; None without one that could be scored.
        importance: By gain, descending.
        iterations: Boosting rounds kept.
        params: LightGBM's parameters, whole.
        lock_hash: sha256 of the installed distributions and their versions.
    """

    model: str
    version: int
    task: str
    target: str
    dataset: str
    dataset_version: int
    created_at: str
    run_id: str
    rows: int
    rows_train: int
    rows_stop: int
    rows_holdout: int
    seconds: float
    split: str
    decisions: tuple[str, ...]
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    metrics: dict[str, float]
    baseline: dict[str, float]
    primary: str
    champion: dict[str, float] | None
    champion_version: int | None
    gate: Gate
    importance: tuple[Importance, ...]
    warnings: tuple[Warn, ...]
    iterations: int
    params: dict[str, bool | int | float | str]
    seed: int
    code_version: str
    lock_hash: str
    format: int = 1


class TrainingReport(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="training"):
    """What ``appliance train --wait --json`` prints; ``champion`` as in the card."""

    model: str
    version: int
    run_id: str
    task: str
    rows: int
    seconds: float
    metrics: dict[str, float]
    baseline: dict[str, float]
    champion: dict[str, float] | None
    gate: Gate
    champion_version: int | None = None
    deployed: bool = False


class PredictionReport(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="prediction"):
    """What a batch prediction did."""

    model: str
    version: int
    rows: int
    out: str
    seconds: float
    unseen: dict[str, int]
