"""How long a training still takes, by its own pace; and how long one would take, by what trainings took on this host.

Pure: what is known goes in, a range of seconds comes out. None of it is a promise; pages say "about".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING

from appliance.model_spec import TIME_LIMIT, TRIALS, ModelSpec, seconds_of

if TYPE_CHECKING:
    from appliance.jobs import CurvePoint, JobProgress, LogLine

ROUNDS_TO_KNOW = 10
"""Boosting rounds, and ..."""
SECONDS_TO_KNOW = 2.0
"""... seconds of the fit, before its pace counts."""
TRIALS_TO_KNOW = 2
REFIT = 1.3
"""The refit's rounds against the fit's: it has the early-stopping rows too, and builds its bins anew."""
_TRIAL = re.compile(r"search: trial (\d+) of at most (\d+)")
_FASTEST_TRIALS = 0.5
"""Of the trials' pace so far: those that are pruned end sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """A range of seconds."""

    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A training that ended, as far as its time depends on it.

    Attributes:
        columns: Inputs.
        outputs: Trees a round: the classes of several, else 1.
        trials: Of its search; 0 without one.
    """

    rows: int
    columns: int
    outputs: int
    trials: int
    seconds: float


def time_left(progress: JobProgress, log: Sequence[LogLine], spec: ModelSpec, *, now: datetime) -> Between | None:
    """What is left of a training up to the end of its fits; None where nothing can be told: before, and after them.

    The low end is where early stopping ends the fit as soon as it may, the high end where every round is fitted.

    Args:
        progress: As the job told it.
        log: The job's; the times of its steps count.
        spec: The model's declaration.
        now: For what has passed since the job told something.
    """
    begins = {line.message.partition(":")[0]: line.at for line in log}
    if progress.step == "search":
        found = _search_left(log, begins, spec)
    elif progress.step in begins and progress.step in {"fit", "refit"}:
        found = _fit_left(progress, begins, spec)
    else:
        return None
    if found is None:
        return None
    told = begins["refit"] if progress.step == "refit" else progress.updated_at
    passed = max((now - told).total_seconds(), 0.0)
    return Between(low_s=max(found.low_s - passed, 0.0), high_s=max(found.high_s - passed, 0.0))


def _fit_left(progress: JobProgress, begins: Mapping[str, datetime], spec: ModelSpec) -> Between | None:
    if not progress.curve or "fit" not in begins:
        return None
    done, best = progress.curve[-1].iteration, _best(progress.curve)
    ended = begins.get("refit", progress.updated_at)
    took = (ended - begins["fit"]).total_seconds()
    if done < ROUNDS_TO_KNOW or took < SECONDS_TO_KNOW:
        return None
    pace = took / done
    if progress.step == "refit":
        refit = best * pace * REFIT
        return Between(low_s=refit, high_s=refit)
    soonest = min(best + spec.early_stopping, spec.rounds) if spec.early_stopping else spec.rounds
    low = max(soonest - done, 0) * pace + best * pace * REFIT
    high = max(spec.rounds - done, 0) * pace + spec.rounds * pace * REFIT
    return Between(low_s=low, high_s=max(low, high))


def _search_left(log: Sequence[LogLine], begins: Mapping[str, datetime], spec: ModelSpec) -> Between | None:
    told = [(line.at, found) for line in log if (found := _TRIAL.match(line.message))]
    if len(told) < TRIALS_TO_KNOW or "check" not in begins:
        return None
    last, found = told[-1]
    done, most = int(found[1]), int(found[2])
    took = (last - begins["check"]).total_seconds()
    pace, limit = took / done, seconds_of(spec.time_limit or TIME_LIMIT[spec.budget])
    trials = min((most - done) * pace, max(limit - took, 0.0))
    return Between(low_s=trials * _FASTEST_TRIALS, high_s=trials + pace * (1 + REFIT))


def _best(curve: Sequence[CurvePoint]) -> int:
    return min(curve, key=lambda point: point.valid).iteration


START_S = 5.0
"""What a training takes whatever its size: MLflow, checks, the version."""
CELL_S = 5e-6
"""What a cell of the table, a row's value, adds, for each tree of a round. Measured as seconds of one thread, beyond
those of a small table: 3.0 for 60,000 x 10 cells, 5.1 for 20,000 x 40, 2.1 for 10,000 x 10 of five classes."""
TRIAL_S = 0.9
"""What a trial of a search takes whatever its size: 25 on the folds of 3,000 x 10 cells took 26."""
TRIAL_SHARE = 0.7
"""A trial's fit against the fit and refit of the whole."""
_UNKNOWN = (0.4, 3.0)
"""The range around the formula where no training of this host says how fast it is, and ..."""
_KNOWN = (0.6, 1.7)
"""... where some do."""


def formula_s(rows: int, columns: int, outputs: int, trials: int) -> float:
    """Seconds that a training takes by one thread that has a core of the measured host for itself."""
    fits = CELL_S * rows * max(columns, 1) * max(outputs, 1)
    return START_S + fits + trials * (TRIAL_S + TRIAL_SHARE * fits)


def estimate(
    *, rows: int, columns: int, outputs: int, spec: ModelSpec, past: Sequence[Past] = ()
) -> Between:  # fmt: skip
    """How long a training would take, from rows times columns, the budget, and the earlier trainings of this host.

    Args:
        rows: Of the dataset.
        columns: Inputs.
        outputs: Trees a round, as in ``Past``.
        spec: Whose budget counts.
        past: The host's trainings; the median of what they took against the formula scales it.
    """
    trials = 0 if spec.budget == "quick" else spec.trials or TRIALS[spec.budget]
    usual = formula_s(rows, columns, outputs, trials)
    pace = (
        median(one.seconds / formula_s(one.rows, one.columns, one.outputs, one.trials) for one in past) if past else 1
    )
    low, high = _KNOWN if past else _UNKNOWN
    expected = usual * pace
    if trials:  # the search ends at its limit; what comes after is a fit and a refit
        limit = seconds_of(spec.time_limit or TIME_LIMIT[spec.budget])
        most = limit + formula_s(rows, columns, outputs, 0) * pace * high
        return Between(low_s=min(expected * low, limit), high_s=min(expected * high, most))
    return Between(low_s=expected * low, high_s=expected * high)
