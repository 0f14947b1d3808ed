"""What one training did and found: the model card, and the report of a training job. Light: read by everything."""

from __future__ import annotations

import msgspec

from appliance.model_evaluation import Evaluation
from storage.readings import Reading


class GateCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a challenger was held to.

    Attributes:
        passed: It held.
        reason: Why, or why not: a sentence.
        binding: When it does not hold, the challenger does not become champion; else it is a warning.
    """

    passed: bool
    reason: str
    binding: bool = True


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a challenger became champion.

    Attributes:
        passed: It did.
        reasons: Sentences, at least one.
        checks: Each thing that it was held to, with what came of it; empty in cards of releases that kept none.
    """

    passed: bool
    reasons: tuple[str, ...]
    checks: tuple[GateCheck, ...] = ()


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """One column's share of the total gain, in [0, 1]."""

    column: str
    share: float


class Warn(msgspec.Struct, frozen=True, kw_only=True):
    """Something about the data a person should look at; ``column`` is None when it is about the table."""

    column: str | None
    code: str
    message: str


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One try of the search over LightGBM's parameters.

    Attributes:
        number: From 0, the defaults.
        value: What is minimised, on rows beside the fit; None: pruned.
        rounds: Boosting rounds at most, over its fits.
    """

    number: int
    params: dict[str, bool | int | float | str]
    value: float | None
    rounds: int
    seconds: float


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """One fold: rows fitted on, rows measured on, and the metrics there."""

    rows_fit: int
    rows_test: int
    metrics: dict[str, float]


class CrossValidation(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics over the folds of the training rows.

    Attributes:
        mean: Over the folds, of each metric that all of them have.
        spread: The same metrics' standard deviation over the folds.
    """

    folds: tuple[FoldResult, ...]
    mean: dict[str, float]
    spread: dict[str, float]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a training ran on and with; with the declaration in the bundle it can be done again.

    Attributes:
        dataset_sha256: Of the snapshot's files.
        commit: The code's git commit, ``-dirty`` behind it when files differed; None for an installed release.
        libraries: Name to version.
        cores: Processors it might use.
        peak_memory_mb: The training process's largest resident size.
    """

    dataset_sha256: str
    commit: str | None
    python: str
    platform: str
    libraries: dict[str, str]
    cores: int
    peak_memory_mb: float


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """A version trained again.

    Attributes:
        same: The model's text is equal, bit for bit.
        differences: Sentences: what is not as it was when it was trained first.
    """

    model: str
    version: int
    same: bool
    recorded_sha256: str
    again_sha256: str
    differences: tuple[str, ...]


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
        purpose: What it is for, as declared.
        owner: Who answers for it, as declared.
        threshold: Binary: the positive class is given from this probability on.
        calibrated: The answers are not LightGBM's own probabilities, but calibrated ones.
        trials: Of the search over parameters; none with the budget quick.
        cross_validation: Where it was asked for.
        record: None for versions of earlier releases, as is evaluation.
        evaluation: More about the holdout: curves, slices, groups.
        readings: How the dataset's text files were read where that was in question, of the inputs: a file that is
            scored is read likewise. None: an earlier release did not know.
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
    purpose: str = ""
    owner: str = ""
    threshold: float = 0.5
    calibrated: bool = False
    trials: tuple[Trial, ...] = ()
    cross_validation: CrossValidation | None = None
    record: Record | None = None
    evaluation: Evaluation | None = None
    readings: dict[str, Reading] | None = None


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
    """What a batch prediction did.

    Attributes:
        unseen: By column, rows with a category that training never saw; those with none are left out.
        notes: What was decided while the file was read, one sentence each.
    """

    model: str
    version: int
    rows: int
    out: str
    seconds: float
    unseen: dict[str, int]
    notes: tuple[str, ...] = ()
