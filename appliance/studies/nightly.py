"""The nightly studies: each model's newest whole day against the rows it was trained on; ``python -m`` of this module.

A process of its own, out of everybody's way: LightGBM weighs hundreds of megabytes and is needed for a minute a night.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from appliance.errors import ApplianceError
from appliance.features import LINEAR_TREES
from appliance.monitoring.evaluation import main_version, settle, window_until
from appliance.monitoring.horizon import Horizon
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.quality import Verdict
from appliance.monitoring.spans import Span, State
from appliance.processes.loglines import start_log
from appliance.processes.priority import go_first, step_back
from appliance.settings import Settings, load_settings
from appliance.studies.attribution import Attribution, attribute
from appliance.studies.multivariate import Domain, Reconstruction, reconstruct, tell_apart
from appliance.studies.rows import Samples, sample_answers, sample_dataset
from appliance.studies.unfit import find_unfit
from storage import statedb
from storage.bundles import read_bundle
from storage.errors import StorageError
from storage.statedb import transaction
from storage.study_rows import StudyRow, newest_studied_day, put_study
from storage.window_rows import (
    Heartbeat,
    next_days,
    predictions_by_bucket,
    put_heartbeat,
    watched_models,
)

HEARTBEAT = "studies"
NAMED_COLUMNS = 3
DOMAIN, RECONSTRUCTION, ATTRIBUTION = "domain", "reconstruction", "attribution"

log = logging.getLogger(__name__)

Result = Domain | Reconstruction | Attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One study's verdict and its figures; None when there were too few rows."""

    kind: str
    verdict: Verdict
    result: Result | None


def study_all(settings: Settings) -> int:
    """Study every model's newest whole day that was not studied yet.

    One model that cannot be studied is logged and does not hinder the others.

    Returns:
        Models studied.
    """
    studied = 0
    versions = KnownVersions(settings.layout)
    with closing(statedb.connect(settings.layout.database)) as connection:
        for model in watched_models(connection):
            try:
                studied += study_model(settings, connection, versions, model)
            except (ApplianceError, StorageError) as exc:
                log.error("model %s cannot be studied: %s", model, exc, extra={"model": model})
        put_heartbeat(connection, HEARTBEAT, Heartbeat(at=datetime.now(UTC), detail=f"models={studied}"))
    return studied


def study_model(settings: Settings, connection: sqlite3.Connection, versions: KnownVersions, model: str) -> bool:
    """Study a model's newest whole day, with its window, unless that was done; False when there is nothing to do.

    Raises:
        ApplianceError: The bundle or the dataset cannot be used.
        StorageError: The bundle or the dataset is gone or damaged.
    """
    horizon = Horizon.now(connection)
    newest = horizon.newest_of(horizon.newest_hours(connection, model))
    if newest is None:
        return False
    today = newest // 24
    studied = newest_studied_day(connection, model)
    after = -1 if studied is None or studied >= today else studied  # else the clock ran ahead when it was studied
    days = next_days(connection, model, after=max(after, today - 32), before=today, limit=40)
    if not days:
        return False
    day = days[-1]
    version = main_version(connection, model, day)
    known = versions.find(model, version)
    if known is None:
        return False
    span = window_until(model, version, day, versions.window_hours(model))
    manifest, files = read_bundle(settings.layout, model, version)
    rows = sum(
        count
        for (_, one), count in predictions_by_bucket(
            connection, model, first_hour=span.first_hour, last_hour=span.last_hour, bucket_hours=24
        ).items()
        if one == version
    )
    samples = Samples(
        reference=sample_dataset(settings.layout, known, manifest.dataset, manifest.dataset_version),
        current=sample_answers(settings.layout, span, rows=rows, columns=len(known.schema.columns)),
    )
    text = files["model.txt"].decode() if "model.txt" in files else ""
    findings = list(study(known, samples, text))
    _write(connection, span, day, findings, today=today)
    return True


def study(known: KnownVersion, samples: Samples, model_text: str) -> Iterator[Finding]:
    """Every study of two samples; the column that orders the rows tells any two stretches of time apart, so it is out.

    So is a column that would decide the study alone (``find_unfit``), which is told. What the model leans on is studied
    with all of them.
    """
    unfit = find_unfit(samples.reference, samples.current, known.schema.columns)
    unfit.pop(known.schema.time_column or "", None)
    fit = [
        at for at, column in enumerate(known.schema.columns)
        if column.name != known.schema.time_column and column.name not in unfit
    ]  # fmt: skip
    columns = tuple(known.schema.columns[at] for at in fit)
    before, now = samples.reference[:, fit], samples.current[:, fit]
    domain = tell_apart(before, now, columns) if columns else None
    yield Finding(kind=DOMAIN, verdict=_with_unfit(_domain_verdict(domain), unfit), result=domain)
    pca = reconstruct(before, now, columns) if columns else None
    yield Finding(kind=RECONSTRUCTION, verdict=_with_unfit(_reconstruction_verdict(pca), unfit), result=pca)
    if LINEAR_TREES in model_text:
        yield Finding(kind=ATTRIBUTION, verdict=_LINEAR, result=None)
        return
    shap = attribute(model_text, known.schema, samples.reference, samples.current) if model_text else None
    yield Finding(kind=ATTRIBUTION, verdict=_attribution_verdict(shap), result=shap)


def _write(connection: sqlite3.Connection, span: Span, day: int, findings: list[Finding], *, today: int) -> None:
    with transaction(connection):
        for one in findings:
            result = "{}" if one.result is None else msgspec.json.encode(one.result).decode()
            put_study(
                connection,
                StudyRow(
                    model=span.model, version=span.version, kind=one.kind, day=day, state=one.verdict.state.value,
                    sentence=one.verdict.sentence, result=result,
                ),
            )  # fmt: skip
        # Only the classifier opens alerts: it speaks for the columns together; the others say more about the same.
        verdicts = {one.kind: one.verdict for one in findings if one.kind == DOMAIN}
        settle(connection, span.model, day, verdicts, today=today)


_LINEAR = Verdict(
    state=State.NOT_ENOUGH_DATA, sentence="LightGBM does not tell what a model with linear trees leans on."
)
_TOO_FEW = Verdict(state=State.NOT_ENOUGH_DATA, sentence="Too few rows to study.")


def _with_unfit(verdict: Verdict, unfit: Mapping[str, str]) -> Verdict:
    """The verdict with the columns that were left out; few rows are said first."""
    if not unfit:
        return verdict
    told = "; ".join(f"`{name}`: {why}" for name, why in list(unfit.items())[:NAMED_COLUMNS])
    more = f"; and {len(unfit) - NAMED_COLUMNS} more" if len(unfit) > NAMED_COLUMNS else ""
    return Verdict(state=verdict.state, sentence=f"{verdict.sentence} Left out: {told}{more}.")


def _domain_verdict(found: Domain | None) -> Verdict:
    if found is None:
        return _TOO_FEW
    if not found.drifted:
        sentence = f"Current rows cannot be told from training rows (area {found.area:.2f}, alarm from 0.65)."
        return Verdict(state=State.OK, sentence=sentence)
    named = ", ".join(f"`{name}`" for name in found.columns)
    sentence = f"Current rows can be told from training rows (area {found.area:.2f}), mostly by {named}."
    return Verdict(state=State.WARN, sentence=sentence)


def _reconstruction_verdict(found: Reconstruction | None) -> Verdict:
    if found is None:
        return _TOO_FEW
    words = f"reconstruction error {found.error:.3g}, by chance {found.low:.3g} to {found.high:.3g}"
    if not found.drifted:
        return Verdict(state=State.OK, sentence=f"Columns hang together as in training ({words}).")
    return Verdict(state=State.WARN, sentence=f"Columns hang together otherwise than in training ({words}).")


def _attribution_verdict(found: Attribution | None) -> Verdict:
    if found is None:
        return _TOO_FEW
    if not found.drifted:
        return Verdict(
            state=State.OK, sentence=f"The model leans on the same inputs as in training (NDCG {found.ndcg:.3f})."
        )
    name, (was, now) = next(iter(found.shares.items()))
    words = f"`{name}` {was:.0%} before, {now:.0%} now"
    sentence = f"The model leans on other inputs than in training (NDCG {found.ndcg:.3f}): {words}."
    return Verdict(state=State.WARN, sentence=sentence)


def main() -> int:
    """One night's studies."""
    start_log()
    step_back()
    go_first()
    try:
        log.info("studied %d models", study_all(load_settings()))
    except (StorageError, sqlite3.Error, OSError) as exc:
        log.error("%s; tried again tomorrow", exc)
        return os.EX_TEMPFAIL
    return 0


if __name__ == "__main__":
    sys.exit(main())
