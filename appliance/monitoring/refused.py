"""Whether what was deployed serves: an alert opens while the inference API refuses a bundle, and closes with that."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from datetime import UTC, datetime

from appliance.monitoring.spans import State
from appliance.serving.refusals import Refusal, read_refusals
from appliance.serving.router import CHAMPION
from storage.alert_rows import NewAlert, close_alert, list_alerts, open_alert
from storage.layout import Layout
from storage.statedb import transaction

BUNDLE = "bundle"
"""The alert's subject; its model is the one whose version was refused, or empty for all deployments."""


def watch_refusals(connection: sqlite3.Connection, layout: Layout) -> int:
    """Open an alert a model that has a refused version, close it when there is none; another refusal is another alert.

    Returns:
        Alerts opened and closed.
    """
    wanted = _wanted(read_refusals(layout))
    is_open = {
        row.model: (row.state, row.message)
        for row in list_alerts(connection, open_only=True, limit=1000)
        if row.subject == BUNDLE
    }
    if wanted == is_open:
        return 0
    now = datetime.now(UTC)
    changed = 0
    with transaction(connection):
        for model in sorted(is_open.keys() | wanted.keys()):
            if is_open.get(model) == wanted.get(model):
                continue
            changed += close_alert(connection, model, BUNDLE, now)
            if model in wanted:
                state, message = wanted[model]
                open_alert(
                    connection, NewAlert(model=model, subject=BUNDLE, state=state, message=message, opened_at=now)
                )
                changed += 1
    return changed


def _wanted(refusals: list[Refusal]) -> dict[str, tuple[str, str]]:
    """Model to the state and the message of its alert."""
    by_model: dict[str, list[Refusal]] = defaultdict(list)
    for refusal in refusals:
        by_model[refusal.model].append(refusal)
    return {model: (_state(found), " ".join(map(_sentence, found))) for model, found in by_model.items()}


def _state(refusals: list[Refusal]) -> str:
    """A canary or a shadow that is left out harms nobody."""
    harmful = any(one.role == CHAMPION or not one.model for one in refusals)
    return (State.ALARM if harmful else State.WARN).value


def _sentence(refusal: Refusal) -> str:
    if not refusal.model:
        return f"Deployments cannot be followed; what served before goes on serving. {refusal.reason}."
    serving = "No version serves" if refusal.serving is None else f"Version {refusal.serving} goes on serving"
    if refusal.role != CHAMPION:
        serving = f"{serving} all requests" if refusal.serving is not None else serving
        return f"Version {refusal.version} was deployed as {refusal.role} and refused. {serving}. {refusal.reason}."
    return f"Version {refusal.version} was deployed and refused. {serving}. {refusal.reason}."
