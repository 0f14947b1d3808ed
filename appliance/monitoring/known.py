"""What the watch loop and the questions need of a published version: its schema, its reference and the counter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.errors import BadInput
from appliance.model_evaluation import ClassResult
from appliance.model_spec import load_spec
from appliance.monitoring.data_quality import RowChecker
from appliance.monitoring.estimates import Estimator, open_estimator
from appliance.monitoring.labelled_rows import LabelledRows
from appliance.monitoring.losses import LOSSES, Losses, parse_losses
from appliance.monitoring.quiet_days import QuietDays
from appliance.monitoring.reference import Reference, parse_reference
from appliance.monitoring.windows import Counter
from appliance.schema import FeatureSchema
from storage.bundles import bundle_path, list_bundles
from storage.figures import stamp_of
from storage.layout import Layout

CARD = "card.json"
DAY_HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVersion:
    """A version whose bundle could be read.

    Attributes:
        bundle: Differs when another version was published under the same number.
        figures: Where what was worked out of it is kept.
        rows: Its labelled rows.
    """

    schema: FeatureSchema
    reference: Reference
    counter: Counter
    checker: RowChecker
    estimator: Estimator | None
    bundle: bytes
    figures: Path
    rows: LabelledRows


class _Evaluation(msgspec.Struct, frozen=True):
    classes: tuple[ClassResult, ...] = ()


class _Card(msgspec.Struct, frozen=True):
    """Of ``card.json`` what is asked here."""

    evaluation: _Evaluation | None = None


class KnownVersions:
    """Reads each version's bundle once; a bundle never changes after it was published.

    Attributes:
        too_few_labels: Model, day since 1970 and version to the labels that a look found too few to judge by.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.too_few_labels: dict[tuple[str, int, int], int] = {}
        self._found: dict[tuple[str, int], KnownVersion] = {}
        self._quiet: dict[str, QuietDays] = {}

    def find(self, model: str, version: int) -> KnownVersion | None:
        """The version, or None when its bundle is missing or cannot be read."""
        if (model, version) not in self._found:
            known = self._read(model, version)
            if known is None:
                return None
            self._found[model, version] = known
        return self._found[model, version]

    def exists(self, model: str, version: int) -> bool:
        """Whether something lies where the version's bundle belongs, readable or not."""
        directory = bundle_path(self._layout, model, version)
        return bool(model) and directory.parent.parent == self._layout.models and directory.is_dir()

    def holdout_classes(self, model: str, version: int) -> tuple[ClassResult, ...]:
        """Each class of the version's holdout, as its card tells; empty where there is no such card."""
        try:
            card = msgspec.json.decode((bundle_path(self._layout, model, version) / CARD).read_bytes(), type=_Card)
        except (OSError, msgspec.DecodeError):
            return ()
        return () if card.evaluation is None else card.evaluation.classes

    def published(self, model: str) -> list[int]:
        """The versions of a model that have a bundle, ascending."""
        return list_bundles(self._layout, model)

    def figures(self, model: str) -> Path:
        """Where what was worked out of all versions of a model is kept."""
        return self._layout.figures / model

    def window_s(self, model: str) -> int:
        """The window the model declares, in seconds; a day when its declaration cannot be read."""
        try:
            return load_spec(self._layout.specs / f"{model}.toml").window_s
        except (BadInput, ValueError):  # the latter: a name that no file can have
            return DAY_HOURS * 3600

    def window_hours(self, model: str) -> int:
        """The same in whole hours, at least a day."""
        return max(DAY_HOURS, -(-self.window_s(model) // 3600))

    def quiet_days(self, model: str, hours: int) -> QuietDays:
        """The model's days that had too few rows in a window of so many hours; none at first, and of another window."""
        found = self._quiet.get(model)
        if found is None or found.hours != hours:
            found = self._quiet[model] = QuietDays(hours)
        return found

    def reopen(self, model: str, day: int) -> None:
        """Rows or refusals of a day since 1970 were counted, so that it may have enough of them now."""
        if model in self._quiet:
            self._quiet[model].reopen(day)

    def _read(self, model: str, version: int) -> KnownVersion | None:
        # Not through read_bundle: the model's own file may be large, and nothing here depends on it.
        directory = bundle_path(self._layout, model, version)
        if not model or directory.parent.parent != self._layout.models:
            return None
        try:
            contents = [(directory / name).read_bytes() for name in ("schema.json", "reference.json")]
            schema = msgspec.json.decode(contents[0], type=FeatureSchema)
            reference = parse_reference(contents[1])
        except (OSError, msgspec.DecodeError, BadInput):
            return None
        bundle, figures = stamp_of(*contents), self.figures(model) / str(version)
        return KnownVersion(
            schema=schema, reference=reference, counter=Counter(reference), checker=RowChecker(reference),
            estimator=open_estimator(schema, reference.estimation, _read_losses(directory)), bundle=bundle,
            figures=figures,
            rows=LabelledRows(figures, model=model, version=version, schema=schema, bundle=bundle),
        )  # fmt: skip


def _read_losses(directory: Path) -> Losses | None:
    """The models of the version's errors; None where it has none, or none that can be read: estimates do without."""
    try:
        return parse_losses((directory / LOSSES).read_bytes())
    except (OSError, BadInput):
        return None
