"""The alert on a model whose planned trainings fail: nobody waits for one, and what serves goes on as ever."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

from appliance.jobs import JobKind
from appliance.monitoring.spans import State
from appliance.orchestrator import COMPLETED, CRASHED, FAILED, FlowRun
from appliance.settings import Settings
from storage.alert_rows import NewAlert, close_alert, has_open_alert, open_alert
from storage.statedb import connect, transaction

TRAINING = "training"
"""The alert's subject."""
_KINDS = (JobKind.TRAIN, JobKind.RETRAIN)


def note_outcome(settings: Settings, run: FlowRun, state: str, message: str) -> None:
    """Open the model's alert when a training that its schedule asked for failed; any that is done closes it.

    One that stays open tells of the first failure, since when it has been so.

    Raises:
        StateUnwritable, sqlite3.Error: The state database cannot be asked.
    """
    kind, model = run.name.partition(" ")[0], str(run.parameters.get("model", ""))
    if kind not in _KINDS or not model:
        return
    with closing(connect(settings.layout.database)) as connection, transaction(connection):
        if state == COMPLETED:
            close_alert(connection, model, TRAINING, datetime.now(UTC))
        elif state in {FAILED, CRASHED} and _of_schedule(run) and not has_open_alert(connection, model, TRAINING):
            open_alert(connection, _told(model, run, message))


def _of_schedule(run: FlowRun) -> bool:
    return run.parameters.get("who") == "schedule"


def _told(model: str, run: FlowRun, message: str) -> NewAlert:
    why = message.rstrip(". ") or "it does not say why"
    text = (
        f"The planned training failed: {why}. What serves goes on and learns nothing new. "
        f"See 'appliance jobs log {run.id}'; 'appliance jobs again {run.id}' starts it again once that is mended."
    )
    return NewAlert(model=model, subject=TRAINING, state=State.WARN, message=text, opened_at=datetime.now(UTC))
