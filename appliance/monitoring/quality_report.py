"""What a quality question answers, in one window or in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from appliance.model_evaluation import ClassResult
from appliance.monitoring.foresight import Estimate
from appliance.monitoring.segments import Fairness, Segment
from appliance.monitoring.spans import Json, State, Window, utc_text


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionQuality:
    """How right one version was in a window; the fields are those of ``QualityReport``."""

    labelled: int
    predicted: int
    coverage: float
    mature: bool
    metrics: Mapping[str, float]

    def to_json(self) -> Json:
        """The fields under their names."""
        return {
            "labelled": self.labelled,
            "predicted": self.predicted,
            "coverage": self.coverage,
            "mature": self.mature,
            "metrics": dict(self.metrics),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassQuality:
    """One of several classes against the others.

    Attributes:
        now: Of the labelled predictions.
        intervals: ``precision`` and ``recall`` to their 95 % interval; without rows there is none.
        holdout: At training; None where the version's card does not tell.
    """

    now: ClassResult
    intervals: Mapping[str, tuple[float, float]]
    holdout: ClassResult | None

    def to_json(self) -> Json:
        """One entry of ``classes``."""
        return {
            "name": self.now.name,
            **_class_json(self.now),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "holdout": None if self.holdout is None else _class_json(self.holdout),
        }


def _class_json(found: ClassResult) -> Json:
    return {"rows": found.rows, "precision": found.precision, "recall": found.recall, "f1": found.f1}


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """How right a version's predictions of a window were, from the labels that came.

    Attributes:
        labelled: Predictions of the window whose label is known.
        predicted: All predictions of the window.
        coverage: ``labelled / predicted``; 0 without predictions.
        metrics: Exact, over the labelled predictions; empty without any, a metric that is undefined is left out.
        reference: The same on the holdout at training.
        baseline: The same of the dummy model (mean, or class shares) on the holdout.
        mature: Coverage reaches 0.9; before that the figures may still turn.
        delay_p50_s: Seconds from a prediction's event time to its label's, half of them; None without labels.
        estimate: Quality as expected from the predictions alone; None when the version's holdout was too small to
            learn from.
        intervals: Metric to its 95 % interval over the labelled predictions.
        selection: How the labelled predictions differ from all of them; None when they do not, beyond chance.
        state: Whether the first metric is worse than the reference, beyond noise.
        by_version: Every version that answered in the window, this one too.
        shadow_by_version: Every version that scored in the window as a shadow, on the rows that others answered.
        classes: Several classes: each against the others, of the labelled predictions; else empty.
    """

    model: str
    version: int
    window: Window
    labelled: int
    predicted: int
    coverage: float
    metrics: Mapping[str, float]
    reference: Mapping[str, float]
    baseline: Mapping[str, float]
    mature: bool
    delay_p50_s: float | None
    delay_p95_s: float | None
    state: State
    sentence: str
    estimate: Estimate | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    selection: str | None = None
    by_version: Mapping[int, VersionQuality] = field(default_factory=dict)
    shadow_by_version: Mapping[int, VersionQuality] = field(default_factory=dict)
    classes: tuple[ClassQuality, ...] = ()

    def to_json(self) -> Json:
        """What ``quality NAME --json`` prints."""
        return {
            "model": self.model,
            "version": self.version,
            "window": self.window.to_json(),
            "labelled": self.labelled,
            "predicted": self.predicted,
            "coverage": self.coverage,
            "metrics": dict(self.metrics),
            "reference": dict(self.reference),
            "baseline": dict(self.baseline),
            "estimate": self.estimate.to_json() if self.estimate else None,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "classes": [one.to_json() for one in self.classes],
            "selection": self.selection,
            "mature": self.mature,
            "delay_p50_s": self.delay_p50_s,
            "delay_p95_s": self.delay_p95_s,
            "state": self.state.value,
            "sentence": self.sentence,
            "by_version": {str(version): one.to_json() for version, one in self.by_version.items()},
            "shadow_by_version": {str(version): one.to_json() for version, one in self.shadow_by_version.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRevision:
    """What was told about one prediction.

    Attributes:
        label: The number or the class, as text.
        known_at: When the truth was known.
        arrived_at: When it was told.
    """

    label: str
    known_at: datetime
    arrived_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelHistory:
    """A prediction and its label, and what was said of it before it was corrected.

    Attributes:
        predicted_at: The prediction's event time.
        output: The value, the probability of class 1, or a probability a class.
        revisions: Oldest first; the last one counts.
    """

    id: str
    model: str
    version: int
    role: str
    predicted_at: datetime
    output: tuple[float, ...]
    revisions: tuple[LabelRevision, ...]

    def to_json(self) -> Json:
        """What ``label-history ID --json`` prints."""
        return {
            "id": self.id,
            "model": self.model,
            "version": self.version,
            "role": self.role,
            "predicted_at": utc_text(self.predicted_at),
            "output": list(self.output),
            "label": self.revisions[-1].label,
            "revisions": [
                {"label": one.label, "known_at": utc_text(one.known_at), "arrived_at": utc_text(one.arrived_at)}
                for one in self.revisions
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """Quality of a window's labelled predictions by the bins of one column: an input, or a protected one.

    Attributes:
        unknown: Labelled predictions whose group is not known: the caller did not send the protected column, or they
            were labelled before there were segments.
        fairness: Binary models with at least two groups of enough rows; else None.
    """

    model: str
    version: int
    window: Window
    column: str
    segments: tuple[Segment, ...]
    unknown: int
    fairness: Fairness | None

    def to_json(self) -> Json:
        """What ``quality NAME --by COLUMN --json`` prints."""
        return {
            "model": self.model,
            "version": self.version,
            "window": self.window.to_json(),
            "column": self.column,
            "segments": [segment.to_json() for segment in self.segments],
            "unknown": self.unknown,
            "fairness": self.fairness.to_json() if self.fairness else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPoint:
    """One bucket of event time, which begins ``at``; ``estimate`` is what was expected of all its predictions."""

    at: datetime
    labelled: int
    predicted: int
    coverage: float
    mature: bool
    metrics: Mapping[str, float]
    estimate: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySeries:
    """Quality in time beside what the holdout and the baseline reached.

    Buckets that have neither labels nor an estimate are left out.
    """

    model: str
    bucket_s: int
    points: tuple[QualityPoint, ...]
    reference: Mapping[str, float]
    baseline: Mapping[str, float]

    def to_json(self) -> Json:
        """One object a bucket."""
        return {
            "model": self.model,
            "bucket_s": self.bucket_s,
            "reference": dict(self.reference),
            "baseline": dict(self.baseline),
            "points": [
                {
                    "at": utc_text(point.at),
                    "labelled": point.labelled,
                    "predicted": point.predicted,
                    "coverage": point.coverage,
                    "mature": point.mature,
                    "metrics": dict(point.metrics),
                    "estimate": dict(point.estimate) or None,
                }
                for point in self.points
            ],
        }
