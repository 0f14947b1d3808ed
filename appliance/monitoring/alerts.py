"""Alerts: one a change of state that held for two windows in a row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.monitoring.spans import Json, State, utc_text
from storage.alert_rows import AlertRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A state that held for two windows in a row.

    Attributes:
        model: Empty for what is about the host, the inference API or a dataset.
        subject: ``drift`` (the columns), ``prediction``, ``quality`` and so on; ``feed`` and the dataset's name.
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

    @property
    def kind(self) -> str:
        """The subject, without the dataset that it names."""
        return self.subject.partition(" ")[0]

    @property
    def about(self) -> str:
        """The model, or what an alert without one is about, for people."""
        if self.kind == "feed":
            return f"dataset {self.subject.partition(' ')[2]}"
        host = {"watch", "backup", "disk", "certificate"}
        return self.model or ("this host" if self.kind in host else "inference API")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is settled about a subject, and what the newest judged window said."""

    settled: State = State.OK
    last: State = State.OK

    def after(self, found: State) -> Standing:
        """The standing after one more judged window.

        A window without enough data says nothing. A worse state settles when two windows in a row are at least that
        bad, a better one when two in a row are at most that bad; so one odd window neither opens nor closes an alert.
        """
        if found is State.NOT_ENOUGH_DATA:
            return self
        milder, harsher = sorted((self.last, found), key=SEVERITY.index)
        settled = self.settled
        if SEVERITY.index(milder) > SEVERITY.index(settled):
            settled = milder
        elif SEVERITY.index(harsher) < SEVERITY.index(settled):
            settled = harsher
        return Standing(settled=settled, last=found)


def alert_of(row: AlertRow) -> Alert:
    """The alert that a row of the database holds."""
    return Alert(
        id=row.id, model=row.model, subject=row.subject, state=State(row.state), message=row.message,
        opened_at=row.opened_at, closed_at=row.closed_at, acknowledged_by=row.acknowledged_by,
    )  # fmt: skip


SEVERITY = (State.OK, State.WARN, State.ALARM)
