"""Alerts: one a change of state that held for two windows in a row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.monitoring.spans import Json, State, utc_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A state that held for two windows in a row.

    Attributes:
        subject: ``drift`` (the columns), ``prediction`` or ``quality``.
        closed_at: When the state changed again; None while it holds.
    """

    id: int
    model: str
    subject: str
    state: State
    message: str
    opened_at: datetime
    closed_at: datetime | None
    acknowledged_by: str | None

    def to_json(self) -> Json:
        """The fields under their names."""
        return {
            "id": self.id,
            "model": self.model,
            "subject": self.subject,
            "state": self.state.value,
            "message": self.message,
            "opened_at": utc_text(self.opened_at),
            "closed_at": utc_text(self.closed_at) if self.closed_at else None,
            "acknowledged_by": self.acknowledged_by,
        }
