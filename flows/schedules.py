"""Plans the next run of every model that retrains by a schedule.

Prefect's own scheduler is not used: with SQLAlchemy 2.1 the one of 3.8.8 fails at its first insert. Each schedule has
exactly one run planned ahead, which people see among the jobs and may cancel.
"""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.cron import next_after
from appliance.models import Models
from appliance.orchestrator import CANCELLED, DEPLOYMENT, SCHEDULED, FlowRun, Orchestrator, Plan
from appliance.settings import Settings

PLANNED = "planned"
"""The tag of runs that a schedule asked for."""
_WITHDRAWN = "the schedule was changed"
_MOST_PLANS = 100
"""Of one model for one hour: nobody changes a schedule to and fro so often."""


def is_planned(run: FlowRun) -> bool:
    """Whether it waits for its hour; any other run is due at once, also where the clock was set back since."""
    return PLANNED in run.tags and not run.run_count


class Schedules:
    """What was planned last, so that the orchestrator is asked only when something changes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._planned: dict[str, tuple[str, datetime]] | None = None

    def follow(self, orchestrator: Orchestrator) -> None:
        """Plan what is not planned yet, and withdraw what is declared no longer.

        Raises:
            NotReady: The orchestrator does not answer; the next call tries again.
        """
        now = datetime.now(UTC)
        wanted = {
            info.name: (info.spec.schedule, next_after(info.spec.schedule, now))
            for info in Models(self._settings).list()
            if info.spec.schedule is not None
        }
        if wanted == self._planned:
            return
        times = {model: at for model, (_, at) in wanted.items()}
        for run in orchestrator.runs_in(SCHEDULED):
            at = run.next_scheduled_start_time
            if PLANNED in run.tags and at is not None and at > now and times.get(str(run.parameters["model"])) != at:
                orchestrator.set_state(run.id, CANCELLED, _WITHDRAWN)
        for model, at in times.items():
            _plan(orchestrator, model, at)
        self._planned = wanted


def _plan(orchestrator: Orchestrator, model: str, at: datetime) -> None:
    """Plan a model's run once; one that was withdrawn keeps its key, so the same hour declared again takes another."""
    for serial in range(_MOST_PLANS):
        run = orchestrator.create_run(
            "retrain", name=f"retrain {model}", parameters={"model": model, "who": "schedule"},
            tags=[DEPLOYMENT, PLANNED, f"model:{model}"],
            plan=Plan(at=at, key=f"{model} {at.isoformat()}" + f" {serial}" * bool(serial)),
        )  # fmt: skip
        if run.state is None or run.state.message != _WITHDRAWN:
            return
