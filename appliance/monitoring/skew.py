"""Training-serving skew: each deployment is proved over HTTP, and its first live rows are held against the training.

The golden rows of the bundle are sent to the API that serves, as a caller would send them, and its answers compared
with what training predicted. Then the first 200 rows that callers send are judged by the drift rule.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import numpy as np

from appliance.access import Access
from appliance.errors import ApplianceError
from appliance.monitoring.drift import dataset_drift
from appliance.monitoring.judged import judge_column
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.spans import Json, State, utc_text
from appliance.monitoring.windows import WindowCounts, add_up, parse_counts
from appliance.own_key import OwnKey
from appliance.rehearsal import HEADER, sign
from appliance.schema import FeatureSchema, Golden, Task
from appliance.settings import Settings
from storage.alert_rows import NewAlert, close_alert, list_alerts, open_alert
from storage.bundles import bundle_path
from storage.deployment_rows import DeploymentRow, deployment_history, live_deployments
from storage.skew_rows import SkewRow, add_skew, find_last_replayed, find_skew, put_live, put_replay
from storage.statedb import transaction
from storage.window_rows import count_predictions, scan_feature_windows

SKEW = "skew"
"""The alert's subject."""
LIVE_ROWS = 200
TOLERANCE = 1e-9
"""Relative to the value, or to 1 when that is larger."""
TIMEOUT_S = 3.0
LOOK_S = 5.0
"""A deployment that the API does not serve yet is asked for again then."""
NAMED_COLUMNS = 3
MOST_ALERTS = 1000
"""Open alerts among which those about skew are looked for."""
_ALL_HOURS = 10**7

log = logging.getLogger(__name__)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the two proofs found.

    Attributes:
        rows: Compared.
        worst: Replay alone: the largest difference from training's own answer.
    """

    state: State
    rows: int
    sentence: str
    worst: float | None = None


class SkewWatch:
    """Proves deployments; used from the watch loop's thread."""

    def __init__(self, settings: Settings, connection: sqlite3.Connection, versions: KnownVersions) -> None:
        self._settings = settings
        self._connection = connection
        self._versions = versions
        self._key = OwnKey(Access(settings), settings.layout.root / "runner" / "rehearsal-key", "rehearsal")
        self._looked = -LOOK_S

    def look(self) -> int:
        """Prove what was deployed since, at most every five seconds.

        Returns:
            Alerts opened and closed.
        """
        if time.monotonic() - self._looked < LOOK_S:
            return 0
        self._looked = time.monotonic()
        changed = 0
        for deployment in live_deployments(self._connection):
            known = self._versions.find(deployment.model, deployment.version)
            if known is None:
                continue
            try:
                changed += self._prove(deployment, known)
            except httpx.TransportError as exc:
                # The others would wait for the same API, and the watch loop for all of them.
                log.debug("deployments cannot be proved yet: %s", exc)
                break
        return changed + self._close_mended()

    def _prove(self, deployment: DeploymentRow, known: KnownVersion) -> int:
        row = find_skew(self._connection, deployment.id)
        if row is None:
            before = _total(self._connection, known, deployment)
            row = SkewRow(
                deployment=deployment.id, model=deployment.model, version=deployment.version, rows=before.rows,
                counts=before.dump(),
            )  # fmt: skip
            with transaction(self._connection):
                add_skew(self._connection, row)
        if not row.replay and (found := self._replay(deployment, known.schema)) is not None:
            with transaction(self._connection):
                put_replay(self._connection, deployment.id, _text(found), datetime.now(UTC))
                return self._settle(deployment, found)
        if not row.live and deployment.role != "shadow" and self._has_enough(deployment, row):
            first = judge_first_rows(known, parse_counts(row.counts), _total(self._connection, known, deployment))
            if first is not None:
                with transaction(self._connection):
                    put_live(self._connection, deployment.id, _text(first), datetime.now(UTC))
                    return self._settle(deployment, first)
        return 0

    def _has_enough(self, deployment: DeploymentRow, row: SkewRow) -> bool:
        """Whether 200 rows came; without reading their counts."""
        now = count_predictions(self._connection, deployment.model, deployment.version)
        return now - row.rows >= LIVE_ROWS

    def _replay(self, deployment: DeploymentRow, schema: FeatureSchema) -> Finding | None:
        """What the API answers to the golden rows; None while it does not serve the version.

        Raises:
            httpx.TransportError: It does not answer.
        """
        path = bundle_path(self._settings.layout, deployment.model, deployment.version) / "golden.json"
        try:
            golden = msgspec.json.decode(path.read_bytes(), type=Golden)
            body = msgspec.json.encode({"instances": golden.rows})
            secret = self._settings.layout.secret.read_bytes()
            response = httpx.post(
                f"{self._settings.api_url}/v1/models/{deployment.model}/versions/{deployment.version}:predict",
                content=body, timeout=TIMEOUT_S, trust_env=False,
                headers={"Authorization": f"Bearer {self._key.read()}", HEADER: sign(secret, body),
                         "Content-Type": "application/json"},
            )  # fmt: skip
        except (OSError, msgspec.DecodeError, ApplianceError) as exc:
            log.debug("%s version %d cannot be asked yet: %s", deployment.model, deployment.version, exc)
            return None
        if response.status_code in {401, 403, 404, 408, 429, 503}:
            return None  # the key or the version is not known there yet, or it is busy
        if not response.is_success:
            return Finding(
                state=State.ALARM, rows=len(golden.rows),
                sentence=f"The API refused rows of the training, HTTP {response.status_code}: {response.text[:300]}",
            )  # fmt: skip
        try:
            return compare_answers(schema, golden.outputs, response.json()["predictions"])
        except (ValueError, KeyError, TypeError) as exc:  # of another shape than any answer of ours
            found = f"The API's answer cannot be read: {type(exc).__name__} {exc}"
            return Finding(state=State.ALARM, rows=len(golden.rows), sentence=found)

    def _settle(self, deployment: DeploymentRow, found: Finding) -> int:
        """Open the model's alert when something is wrong; it takes the place of an earlier one."""
        if not _is_bad(found):
            return 0
        closed = close_alert(self._connection, deployment.model, SKEW, datetime.now(UTC))
        self._open(deployment, found)
        return closed + 1

    def _open(self, deployment: DeploymentRow, found: Finding) -> None:
        new = NewAlert(
            model=deployment.model, subject=SKEW, state=found.state, message=_message(deployment, found),
            opened_at=datetime.now(UTC),
        )  # fmt: skip
        open_alert(self._connection, new)

    def _close_mended(self) -> int:
        """Close alerts whose version answers as training by now, or serves no more; tell what else is still wrong."""
        changed = 0
        for alert in list_alerts(self._connection, open_only=True, limit=MOST_ALERTS):
            if alert.subject != SKEW:
                continue
            wrong = self._still_wrong(alert.model)
            if alert.message in {_message(*one) for one in wrong}:
                continue
            with transaction(self._connection):
                changed += close_alert(self._connection, alert.model, SKEW, datetime.now(UTC))
                if wrong:
                    self._open(*wrong[0])
                    changed += 1
        return changed

    def _still_wrong(self, model: str) -> list[tuple[DeploymentRow, Finding]]:
        """What was found wrong with versions that serve, the newest deployment first.

        A replay is about the version, whatever its role: the last one counts. Live rows are those of their deployment's
        callers. What was found of a deployment that has ended counts until the version's next one is proved.
        """
        every = deployment_history(self._connection, model)
        live = [one for one in every if one.ended_at is None]
        proofs = [(one.id, row.live) for one in live if (row := find_skew(self._connection, one.id)) is not None]
        for version in {one.version for one in live}:
            last = find_last_replayed(self._connection, model, version)
            if last is None:
                continue
            proofs.append((last.deployment, last.replay))
            if all(one.id > last.deployment for one in live if one.version == version):
                proofs.append((last.deployment, last.live))
        found = [(id_, finding_of(text)) for id_, text in proofs]
        wrong = [(id_, finding) for id_, finding in found if finding is not None and _is_bad(finding)]
        return [(one, finding) for one in every for id_, finding in wrong if id_ == one.id]


def _is_bad(found: Finding) -> bool:
    return found.state in {State.WARN, State.ALARM}


def _message(deployment: DeploymentRow, found: Finding) -> str:
    return f"Version {deployment.version} as {deployment.role}: {found.sentence}"


def compare_answers(
    schema: FeatureSchema, outputs: Sequence[Sequence[float]], predictions: Sequence[float | Mapping[str, Any]]
) -> Finding:
    """Answers of the V1 dialect against what training predicted for the same rows."""
    found = [_numbers_of(schema, prediction) for prediction in predictions]
    if len(found) != len(outputs):
        return Finding(
            state=State.ALARM, rows=len(outputs), sentence=f"{len(outputs)} rows were sent, {len(found)} came back."
        )
    expected = np.asarray(outputs, np.float64)
    off = np.abs(np.asarray(found, np.float64) - expected) / np.maximum(1.0, np.abs(expected))
    worst, differ = float(off.max(initial=0.0)), int((off > TOLERANCE).any(axis=1).sum())
    if differ:
        sentence = (
            f"{differ} of {len(outputs)} rows of the training are answered otherwise over HTTP, by up to {worst:.3g}."
        )
        return Finding(state=State.ALARM, rows=len(outputs), worst=worst, sentence=sentence)
    sentence = f"{len(outputs)} rows of the training are answered over HTTP as training predicted them."
    return Finding(state=State.OK, rows=len(outputs), worst=worst, sentence=sentence)


def judge_first_rows(known: KnownVersion, before: WindowCounts, now: WindowCounts) -> Finding | None:
    """The rows since a deployment by the drift rule; None while there are fewer than 200."""
    rows = now.rows - before.rows
    if rows < LIVE_ROWS or not known.counter.fits(before):
        return None
    since = WindowCounts(rows=rows, cells=now.cells - before.cells, sums=now.sums - before.sums)
    drifts = [judge_column(known, column, cells, total=total) for column, cells, total in known.counter.split(since)]
    verdict = dataset_drift(drifts[:-1], known.reference.importance or None)
    if not verdict.drifted:
        return Finding(state=State.OK, rows=rows, sentence=f"The first {rows:,} live rows are like the training's.")
    told = " ".join(
        next(one.sentence for one in drifts if one.name == name) for name in verdict.drifted[:NAMED_COLUMNS]
    )
    sentence = f"In the first {rows:,} live rows {len(verdict.drifted)} of {len(drifts) - 1} columns moved. {told}"
    return Finding(state=verdict.state, rows=rows, sentence=sentence)


def skew_json(row: SkewRow) -> Json:
    """One deployment's two proofs; null while one is still to come."""
    return {
        "deployment": row.deployment,
        "version": row.version,
        "replay": _json(row.replay, row.replayed_at),
        "live": _json(row.live, row.live_at),
    }


def finding_of(text: str) -> Finding | None:
    """What was written of a proof; None while it is still to come."""
    return msgspec.json.decode(text, type=Finding) if text else None


def _json(text: str, at: datetime | None) -> Json | None:
    return None if at is None else {"at": utc_text(at), **msgspec.json.decode(text)}


def _text(found: Finding) -> str:
    return msgspec.json.encode(found).decode()


def _total(connection: sqlite3.Connection, known: KnownVersion, deployment: DeploymentRow) -> WindowCounts:
    stored = scan_feature_windows(connection, deployment.model, deployment.version, first_hour=0, last_hour=_ALL_HOURS)
    windows = map(parse_counts, stored)
    return add_up(known.counter.empty(), (counts for counts in windows if known.counter.fits(counts)))


def _numbers_of(schema: FeatureSchema, prediction: float | Mapping[str, Any]) -> list[float]:
    """An answer as training writes it: the value, the positive class's probability, or a probability a class."""
    if not isinstance(prediction, Mapping):
        return [float(prediction)]
    shares = [float(share) for share in prediction["probabilities"]]
    return shares[1:] if schema.task is Task.BINARY else shares
