"""What a drift question answers: columns, the dataset verdict, histograms side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.monitoring.spans import Json, Pair, State, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """How far one column moved.

    Attributes:
        name: The column, or ``prediction`` / ``label`` for the two distributions that every model has;
            ``predicted_class`` or ``confidence`` for the other output of a model of classes.
        kind: number, boolean, category or datetime; ``unknown`` where neither side tells.
        rows: Counted in the reference and in the window, nulls included.
        psi: Population stability index in nats; None where one side has no rows.
        noise_floor: What psi exceeds by chance once in a thousand times at these row counts.
        js: Jensen-Shannon distance, base 2, with the root, 0 … 1, over the rule's bins.
        wasserstein: Integral of ``|F - G|`` over the reference's standard deviation; None for categories.
        ks: Largest ``|F - G|``; None for categories.
        unseen_share: Rows now with a category that the reference never saw.
        moved_bin: The bin that adds most to psi, as people read it; None when nothing moved.
        sentence: What happened, in words.
        faults: What is wrong with the column itself: missing on one side, infinite values, another type.
        hellinger: Hellinger distance, 0 … 1, over the rule's bins; beside the rule, to be held against other tools.
        chi_square: Statistic of the two-sample contingency test over the same bins.
        p_value: Its p-value; with many rows it is small for the least of changes, so no verdict rests on it.
        approximate: ``ks`` and ``wasserstein`` are not those of every value: lower bounds from a window's bins, or of a
            sample where two tables have more than ``distances.MOST_VALUES`` values.
    """

    name: str
    kind: str
    rows: Pair
    psi: float | None
    noise_floor: float | None
    js: float | None
    wasserstein: float | None
    ks: float | None
    null_share: Pair
    unseen_share: float
    moved_bin: str | None
    state: State
    sentence: str
    faults: tuple[str, ...] = ()
    hellinger: float | None = None
    chi_square: float | None = None
    p_value: float | None = None
    approximate: bool = False

    @property
    def told(self) -> str:
        """The sentence, and what is wrong with the column where the sentence does not say it."""
        more = [f"{fault[:1].upper()}{fault[1:]}." for fault in self.faults if fault not in self.sentence]
        return " ".join([self.sentence, *more])

    def to_json(self) -> Json:
        """One entry of ``columns``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "psi": self.psi,
            "noise_floor": self.noise_floor,
            "js": self.js,
            "hellinger": self.hellinger,
            "chi_square": self.chi_square,
            "p_value": self.p_value,
            "wasserstein": self.wasserstein,
            "ks": self.ks,
            "approximate": self.approximate,
            "null_share": self.null_share.to_json(),
            "unseen_share": self.unseen_share,
            "moved_bin": self.moved_bin,
            "state": self.state.value,
            "sentence": self.sentence,
            "faults": list(self.faults),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDrift:
    """The verdict over all columns.

    Attributes:
        drifted_share: Columns in warn or alarm over the columns with enough data.
        weighted_share: The same, each column weighted by its share of the model's gain; None without a model.
        drifted: Their names, the strongest psi first.
    """

    state: State
    drifted_share: float
    weighted_share: float | None = None
    drifted: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """The ``dataset`` entry."""
        return {
            "state": self.state.value,
            "drifted_share": self.drifted_share,
            "weighted_share": self.weighted_share,
            "drifted": list(self.drifted),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareReport:
    """Two tables held against each other, without any model.

    Attributes:
        columns: Without the target.
        target: Judged apart; None when none was named.
    """

    rows: Pair
    columns: tuple[ColumnDrift, ...]
    dataset: DatasetDrift
    target: ColumnDrift | None = None

    def to_json(self) -> Json:
        """What ``drift-compare --json`` prints."""
        return {
            "rows": {"reference": int(self.rows.reference), "current": int(self.rows.current)},
            "columns": [column.to_json() for column in self.columns],
            "dataset": self.dataset.to_json(),
            "target": self.target.to_json() if self.target else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """A window of one model version's traffic against its training reference.

    Attributes:
        prediction: Drift of the score (or of the predicted class, when multiclass).
        other_output: Of the predicted class, or when multiclass of its probability; None for numbers.
        label: Drift of the labels that came for the window; None before any came.
    """

    model: str
    version: int
    window: Window
    rows: Pair
    columns: tuple[ColumnDrift, ...]
    dataset: DatasetDrift
    prediction: ColumnDrift
    label: ColumnDrift | None
    other_output: ColumnDrift | None = None

    @property
    def outputs(self) -> tuple[ColumnDrift, ...]:
        """The watched outputs, the prediction first."""
        return (self.prediction,) if self.other_output is None else (self.prediction, self.other_output)

    @property
    def everything(self) -> tuple[ColumnDrift, ...]:
        """Every distribution: inputs, outputs, label."""
        return (*self.columns, *self.outputs, *(() if self.label is None else (self.label,)))

    def to_json(self) -> Json:
        """What ``drift NAME --json`` prints."""
        return {
            "model": self.model,
            "version": self.version,
            "window": self.window.to_json(),
            "rows": {"reference": int(self.rows.reference), "current": int(self.rows.current)},
            "columns": [column.to_json() for column in self.columns],
            "dataset": self.dataset.to_json(),
            "prediction": self.prediction.to_json(),
            "other_output": self.other_output.to_json() if self.other_output else None,
            "label": self.label.to_json() if self.label else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BinShare:
    """One bar of the two histograms: its label as people read it, and its share of the rows on each side."""

    label: str
    reference: float
    current: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftDetail:
    """One column's histograms side by side; nulls, other and unseen are bars too."""

    model: str
    version: int
    window: Window
    drift: ColumnDrift
    bins: tuple[BinShare, ...]

    def to_json(self) -> Json:
        """The drift entry with ``bins``."""
        return {
            "model": self.model,
            "version": self.version,
            "window": self.window.to_json(),
            "column": self.drift.to_json(),
            "bins": [{"label": b.label, "reference": b.reference, "current": b.current} for b in self.bins],
        }


def strongest(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """The columns in warn or alarm, the largest psi first."""
    moved = [column for column in columns if column.state in (State.WARN, State.ALARM)]
    return sorted(moved, key=lambda column: -(column.psi or 0.0))
