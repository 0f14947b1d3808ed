"""What a channel is told about an alert: a title, a text for people, and a document for programs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.monitoring.alerts import Alert
from appliance.monitoring.spans import Json
from storage.delivery_rows import Event

WHAT_TO_DO = {
    "drift": "Look at the page Drift of the model: is a source broken, or did the world change? Drift alone does not "
    "say that the model got worse; labels do.",
    "data_quality": "Look at the page Data quality of the model and ask who sends the rows: a sender changed, or a "
    "source is broken. Refused and ignored columns are named there.",
    "domain": "Look at the page Drift: which columns moved, alone or together? Single columns may look as ever.",
    "prediction": "The model answers differently than at training. Look at the drift of its inputs and, once labels "
    "come, at its quality.",
    "quality": "Retrain the model, or roll back if this began with a deployment ('appliance rollback NAME').",
    "recording": "Free space on the host, or run 'appliance doctor'.",
    "bundle": "Look at the page of the model; train again, or deploy another version.",
    "feed": "Mend or remove the file or the source that is named; it is tried again by itself. 'appliance data feeds' "
    "shows what came of it.",
    "skew": "Compare what the training job read with what callers send: look at the page of the model, under Training "
    "against serving. Roll back ('appliance rollback NAME') if answers are wrong.",
    "backup": "Run 'appliance backup create' and read what it says; 'appliance backup list' shows what there is to go "
    "back to.",
    "certificate": "Replace it: './install.sh --tls CERT,KEY', or '--tls self'; it is taken up without a restart.",
    "training": "Read the job's log, mend what it names, and start it again; both commands are in the alert.",
    "disk": "Free space, or let go of what is kept no longer: 'appliance retention --dry-run' shows it.",
    "uncounted": "Put the version's files back from a backup ('appliance backup list'), or take its bundle in again "
    "('appliance bundle import'). Deploy another version if it cannot be had.",
    "watch": "Run 'appliance doctor' and look at 'appliance logs runner'.",
}
"""The subject of an alert to what its reader does next."""

NAMES = {
    "drift": "inputs", "prediction": "predictions", "quality": "quality", "recording": "recording",
    "bundle": "deployment", "data_quality": "data quality", "domain": "inputs together", "watch": "watch loop",
    "skew": "training against serving", "backup": "backup", "disk": "disk", "feed": "feed",
    "training": "planned training", "certificate": "certificate",
    "uncounted": "what waits to be counted",
}  # fmt: skip
"""The subject of an alert as people call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one channel.

    Attributes:
        id: The same for every attempt, so that a receiver can tell a repetition.
        event: What happened.
        state: ``warn``, ``alarm`` or ``ok``, for channels that show colours.
        document: The body of a webhook.
    """

    id: str
    event: Event
    state: str
    title: str
    text: str
    document: Json


def compose(
    event: Event, alert: Alert | None, *, message_id: str, host: str, address: str, over_since: datetime | None = None
) -> Message:
    """Put an event into words.

    Args:
        event: What happened.
        alert: What it happened to; None for a test.
        message_id: See ``Message.id``.
        host: Which appliance says so.
        address: Of the page that shows the alerts.
        over_since: When its subject was in order again, where other alerts took its place meanwhile.
    """
    if alert is None:
        title, state = f"Test message from the appliance on {host}", "ok"
        text = f"If you read this, the channel works. Nothing has to be done.\n\n{address}"
    else:
        about = f"{alert.about}, {NAMES.get(alert.kind, alert.kind)}"
        title, state = _headline(event, alert, about, host)
        text = f"{alert.message}\n\n{_follow_up(event, alert, over_since)}\n\n{address}"
    document: Json = {
        "type": "test" if event is Event.TEST else f"alert.{event.value}",
        "host": host,
        "title": title,
        "text": text,
        "address": address,
        "alert": alert.to_json() if alert else None,
    }
    return Message(id=message_id, event=event, state=state, title=title, text=text, document=document)


def advise(alert: Alert) -> str:
    """What the reader of an alert does next; empty for a subject that this release does not know."""
    return WHAT_TO_DO.get(alert.kind, "").replace("NAME", alert.model or "NAME")


def _headline(event: Event, alert: Alert, about: str, host: str) -> tuple[str, str]:
    if event is Event.CLOSED:
        return f"[over] {about} ({host})", "ok"
    again = "still " if event is Event.STILL_OPEN else ""
    return f"[{again}{alert.state.value}] {about} ({host})", alert.state.value


def _follow_up(event: Event, alert: Alert, over_since: datetime | None) -> str:
    over = over_since or alert.closed_at
    if event is Event.CLOSED and over is not None:
        return f"This is over since {over:%Y-%m-%d %H:%M} UTC; it began {alert.opened_at:%Y-%m-%d %H:%M}."
    return f"Since {alert.opened_at:%Y-%m-%d %H:%M} UTC. {advise(alert)}".rstrip()
