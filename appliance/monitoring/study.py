"""What a nightly study of rows found, as the facade gives it; the studies themselves are in ``appliance.studies``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec

from appliance.monitoring.spans import Json, State
from storage.study_rows import StudyRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One finding.

    Attributes:
        kind: ``domain``, ``reconstruction`` or ``attribution``.
        day: The last day of the window studied.
        figures: Under the names of ``appliance.studies``; empty with too few rows.
    """

    kind: str
    version: int
    day: date
    state: State
    sentence: str
    figures: Json

    def to_json(self) -> Json:
        """The fields under their names."""
        return {
            "kind": self.kind, "version": self.version, "day": self.day.isoformat(), "state": self.state.value,
            "sentence": self.sentence, "figures": self.figures,
        }  # fmt: skip


def study_of(row: StudyRow) -> Study:
    """The finding that a row of the database holds."""
    return Study(
        kind=row.kind, version=row.version, day=datetime.fromtimestamp(row.day * 86_400, UTC).date(),
        state=State(row.state), sentence=row.sentence, figures=msgspec.json.decode(row.result, type=dict[str, object]),
    )  # fmt: skip
