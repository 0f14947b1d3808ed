"""Deployments: which version of a model serves in which role, since when, and why.

A canary or a shadow stands beside the champion until it is promoted, ended by a rollback, or replaced. A new champion
ends a canary or shadow of the same version, and leaves the others standing.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.errors import BadInput, Conflict, NotFound
from appliance.models import require_model
from appliance.settings import Settings
from storage.audit_rows import AuditEntry, append_audit
from storage.bundles import replace_durably
from storage.deployment_rows import (
    DeploymentRow,
    NewDeployment,
    deployment_history,
    end_deployment,
    find_deployment,
    live_deployments,
    put_deployment,
)  # fmt: skip
from storage.model_rows import find_alias, find_version, list_versions, set_alias
from storage.statedb import connect, transaction

CHAMPION, CANARY, SHADOW = "champion", "canary", "shadow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A version serving in a role; ``ended_at`` is None while it does.

    Attributes:
        role: ``champion``, ``canary`` (answers ``percent`` of the requests) or ``shadow`` (scores, never answers).
        percent: 1 to 99 for a canary, else None.
    """

    model: str
    version: int
    role: str
    percent: int | None
    started_at: datetime
    ended_at: datetime | None
    who: str
    reason: str


class Deployments:
    """What serves on one appliance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = settings.layout

    def deploy(self, name: str, version: int | None = None, *, who: str, reason: str = "") -> Deployment:
        """Let a version serve, and make it the champion; without a version, the champion serves.

        Nothing happens when that version serves already.

        Raises:
            NotFound: No such model or version, or the model has no champion yet.
            Conflict: The deployments changed meanwhile.
            BundleRefused: The bundle is damaged, or does not score its golden rows as training did.
        """
        with self._database() as connection:
            wanted = self._wanted(connection, name, version)
            live = find_deployment(connection, name, CHAMPION)
            if live is not None and live.version == wanted:
                self.publish()  # whoever deployed it may have died before the file said so
                return _deployment(live)
            _require_sound_bundle(self._settings, name, wanted)
            said = reason or ("the champion" if version is None else "chosen by hand")
            return self._replace(connection, name, wanted, live, _Cause(who=who, reason=said))

    def start_canary(
        self, name: str, percent: int, version: int | None = None, *, who: str, reason: str = ""
    ) -> Deployment:
        """Let a version answer a share of the requests beside the champion; again with another share to change it.

        Args:
            name: The model.
            percent: 1 to 99.
            version: The standing canary when left out, else the newest version.
            who: For the history and the audit.
            reason: Likewise.

        Raises:
            BadInput: ``percent`` is out of range.
            NotFound: No such model or version.
            Conflict: There is no champion beside which it could stand, or the version is the champion.
            BundleRefused: The bundle is damaged.
        """
        if not 1 <= percent <= 99:
            raise BadInput(f"a canary's share is {percent} percent; accepted: 1 to 99 (for all requests, deploy it)")
        return self._stand_beside(name, CANARY, version, _Cause(who=who, reason=reason, percent=percent))

    def start_shadow(self, name: str, version: int | None = None, *, who: str, reason: str = "") -> Deployment:
        """Let a version score beside the champion without ever answering.

        Raises:
            NotFound: No such model or version.
            Conflict: There is no champion beside which it could stand, or the version is the champion.
            BundleRefused: The bundle is damaged.
        """
        return self._stand_beside(name, SHADOW, version, _Cause(who=who, reason=reason))

    def promote(self, name: str, *, who: str, reason: str = "") -> Deployment:
        """Make the canary, or without one the shadow, the champion.

        Raises:
            NotFound: No such model.
            Conflict: Neither stands, or the deployments changed meanwhile.
            BundleRefused: The bundle is damaged.
        """
        with self._database() as connection:
            require_model(connection, name)
            standing = find_deployment(connection, name, CANARY) or find_deployment(connection, name, SHADOW)
            if standing is None:
                raise Conflict(
                    f"model {name!r} has neither a canary nor a shadow; start one with 'appliance deploy {name} "
                    "--canary PERCENT' or '--shadow'"
                )
            _require_sound_bundle(self._settings, name, standing.version)
            live = find_deployment(connection, name, CHAMPION)
            said = reason or f"promoted from {standing.role}"
            return self._replace(
                connection, name, standing.version, live, _Cause(who=who, reason=said, action="model.promote")
            )

    def end(self, name: str, role: str, *, who: str, reason: str = "") -> Deployment:
        """End the canary or the shadow; the champion answers everything again.

        Raises:
            BadInput: ``role`` is neither.
            NotFound: No such model.
            Conflict: None stands.
        """
        if role not in {CANARY, SHADOW}:
            raise BadInput(f"role {role!r} cannot be ended; accepted: {CANARY} or {SHADOW}")
        with self._database() as connection:
            require_model(connection, name)
            standing = find_deployment(connection, name, role)
            if standing is None:
                raise Conflict(f"model {name!r} has no {role}")
            return self._end(connection, standing, _Cause(who=who, reason=reason, action="model.end"))

    def rollback(self, name: str, *, who: str, reason: str = "", expected: Deployment | None = None) -> Deployment:
        """Take the newest change back: end a standing canary, else let the version serve again that served before.

        A shadow answers nobody, so it is left alone. Returns the champion that answers from now on.

        Args:
            name: The model.
            who: Takes it back.
            reason: For the history.
            expected: What ``rolled_back`` told when the decision was made; two people who decide at once take one step
                back, not two.

        Raises:
            NotFound: No such model.
            Conflict: Nothing served before, or something else than expected stands now.
            BundleRefused: The earlier bundle is damaged.
        """
        with self._database() as connection:
            require_model(connection, name)
            live = find_deployment(connection, name, CHAMPION)
            canary = find_deployment(connection, name, CANARY)
            standing = canary or live
            if expected and standing and (standing.version, standing.started_at) != (
                expected.version, expected.started_at,
            ):  # fmt: skip
                raise Conflict(
                    f"the deployments of {name!r} changed meanwhile: version {standing.version} stands as the "
                    f"{standing.role} since {standing.started_at:%H:%M:%S UTC}, by {standing.who}; look again"
                )
            if canary is not None and live is not None:
                self._end(connection, canary, _Cause(who=who, reason=reason, action="model.rollback"))
                return _deployment(live)
            earlier = version_before(deployment_history(connection, name), live)
            if live is None or earlier is None:
                raise Conflict(
                    f"nothing served before the present deployment of {name!r}; see 'appliance versions {name}'"
                )
            _require_sound_bundle(self._settings, name, earlier)
            said = reason or f"rolled back from version {live.version}"
            cause = _Cause(who=who, reason=said, rollback=True, action="model.rollback")
            return self._replace(connection, name, earlier, live, cause)

    def rolled_back(self, name: str) -> Deployment | None:
        """What a rollback would take back: the canary, else the champion; None where nothing serves.

        Raises:
            NotFound: No such model.
        """
        with self._database() as connection:
            require_model(connection, name)
            standing = find_deployment(connection, name, CANARY) or find_deployment(connection, name, CHAMPION)
            return None if standing is None else _deployment(standing)

    def current(self) -> tuple[Deployment, ...]:
        """What serves now, by model."""
        with self._database() as connection:
            return tuple(_deployment(row) for row in live_deployments(connection))

    def history(self, name: str) -> tuple[Deployment, ...]:
        """All deployments of a model, newest first.

        Raises:
            NotFound: No such model.
        """
        with self._database() as connection:
            require_model(connection, name)
            return tuple(_deployment(row) for row in deployment_history(connection, name))

    def before(self, name: str) -> int | None:
        """The version that would serve again after a rollback of the champion; None where there is none.

        Raises:
            NotFound: No such model.
        """
        with self._database() as connection:
            require_model(connection, name)
            return version_before(deployment_history(connection, name), find_deployment(connection, name, CHAMPION))

    def can_roll_back(self, name: str) -> bool:
        """Whether a rollback would find something to take back: a canary, or a champion that another one stood before.

        Raises:
            NotFound: No such model.
        """
        standing = self.rolled_back(name)
        return standing is not None and (standing.role == CANARY or self.before(name) is not None)

    def publish(self) -> None:
        """Write ``deployments.json`` from the table, if it says something else; after a crash or a restore."""
        with self._publishing(), self._database() as connection:
            content = _published(connection)
            path = self._layout.deployments
            if not path.is_file() or path.read_bytes() != content:
                replace_durably(path, content)

    def _wanted(self, connection: sqlite3.Connection, name: str, version: int | None) -> int:
        require_model(connection, name)
        row = find_alias(connection, name, CHAMPION) if version is None else find_version(connection, name, version)
        if row is not None:
            return row.version
        if version is None:
            raise NotFound(f"model {name!r} has no champion yet; train it with 'appliance train {name}'")
        known = ", ".join(str(found.version) for found in list_versions(connection, name)) or "none yet"
        raise NotFound(f"model {name!r} has no version {version}; versions: {known}")

    def _stand_beside(self, name: str, role: str, version: int | None, cause: _Cause) -> Deployment:
        with self._database() as connection:
            require_model(connection, name)
            champion = find_deployment(connection, name, CHAMPION)
            if champion is None:
                raise Conflict(f"model {name!r} has no champion to stand beside; deploy one first")
            live = find_deployment(connection, name, role)
            if version is not None:
                wanted = self._wanted(connection, name, version)
            elif live is not None:
                wanted = live.version
            else:
                wanted = max((row.version for row in list_versions(connection, name)), default=champion.version)
            if wanted == champion.version:
                raise Conflict(
                    f"version {wanted} of {name!r} is the champion; name another as the {role} with --version"
                )
            if live is not None and (live.version, live.percent) == (wanted, cause.percent):
                return _deployment(live)
            _require_sound_bundle(self._settings, name, wanted)
            if role == SHADOW:
                _require_feedable(self._settings, name, champion=champion.version, shadow=wanted)
            share = f"{cause.percent} percent of the requests" if cause.percent else "answers nobody"
            said = cause.reason or share
            new = _Cause(who=cause.who, reason=said, percent=cause.percent, role=role, action=f"model.{role}")
            return self._replace(connection, name, wanted, live, new)

    def _end(self, connection: sqlite3.Connection, standing: DeploymentRow, cause: _Cause) -> Deployment:
        now = datetime.now(UTC)
        with transaction(connection):
            if not end_deployment(connection, standing.id, now):
                raise Conflict(f"the {standing.role} of {standing.model!r} ended meanwhile")
            detail = f"{standing.role} version {standing.version} ended" + (f": {cause.reason}" if cause.reason else "")
            entry = AuditEntry(at=now, who=cause.who, action=cause.action, subject=standing.model, detail=detail)
            append_audit(connection, entry)
        self.publish()
        return dataclasses.replace(_deployment(standing), ended_at=now)

    def _replace(
        self, connection: sqlite3.Connection, name: str, version: int, live: DeploymentRow | None, cause: _Cause
    ) -> Deployment:
        now = datetime.now(UTC)
        new = NewDeployment(
            model=name, version=version, role=cause.role, who=cause.who, reason=cause.reason, started_at=now,
            percent=cause.percent, rollback=cause.rollback,
        )  # fmt: skip
        with transaction(connection):
            row = put_deployment(connection, new, replaces=None if live is None else live.id)
            if row is None:
                raise Conflict(f"the deployment of {name!r} changed meanwhile; look at it and try again")
            for other in (CANARY, SHADOW):
                standing = find_deployment(connection, name, other)
                if other != cause.role and standing is not None and standing.version == version:
                    end_deployment(connection, standing.id, now)
            if cause.role == CHAMPION:
                set_alias(connection, name, CHAMPION, version)
            detail = f"version {version}: {cause.reason}"
            append_audit(
                connection, AuditEntry(at=now, who=cause.who, action=cause.action, subject=name, detail=detail)
            )
        self.publish()
        return _deployment(row)

    def _database(self) -> closing[sqlite3.Connection]:
        return closing(connect(self._layout.database))

    @contextmanager
    def _publishing(self) -> Iterator[None]:
        """One process at a time, so that an older look at the table never replaces a newer file."""
        with (self._layout.models / ".deployments.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cause:
    who: str
    reason: str
    rollback: bool = False
    percent: int | None = None
    role: str = CHAMPION
    action: str = "model.deploy"


def _published(connection: sqlite3.Connection) -> bytes:
    live = live_deployments(connection)
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM deployments").fetchone()[0]
    models: dict[str, dict[str, int]] = {}
    for row in live:
        roles = models.setdefault(row.model, {})
        roles[row.role] = row.version
        if row.percent is not None:
            roles["percent"] = row.percent
    return json.dumps({"revision": int(newest), "models": models}).encode()


def version_before(history: Sequence[DeploymentRow], live: DeploymentRow | None) -> int | None:
    """The version that a rollback goes to: the one before the live one, passing over those rolled back from.

    Deployments 1, 2, 3, then rolled back to 2: the next step back is 1, not 3.
    """
    if live is None:
        return None
    stack: list[int] = []
    for row in sorted((row for row in history if row.role == CHAMPION), key=lambda row: row.id):
        if row.rollback and stack:
            stack.pop()
        if not stack or stack[-1] != row.version:
            stack.append(row.version)
    return stack[-2] if len(stack) > 1 else None


def _require_sound_bundle(settings: Settings, name: str, version: int) -> None:
    from appliance.serving.loaded_model import load_model  # noqa: PLC0415  (loads NumPy and LightGBM's library)

    load_model(settings.layout, name, version)


def _require_feedable(settings: Settings, name: str, *, champion: int, shadow: int) -> None:
    """A shadow scores the rows that the champion took, so it can need no other columns."""
    from appliance.serving.loaded_model import load_model  # noqa: PLC0415
    from appliance.serving.shadow import missing_columns  # noqa: PLC0415

    source, target = (load_model(settings.layout, name, version).schema for version in (champion, shadow))
    if missing := missing_columns(source, target):
        raise Conflict(
            f"version {shadow} of {name!r} cannot be a shadow: it needs {', '.join(missing)}, which the champion, "
            f"version {champion}, does not take; try it as a canary"
        )


def _deployment(row: DeploymentRow) -> Deployment:
    return Deployment(
        model=row.model, version=row.version, role=row.role, percent=row.percent, started_at=row.started_at,
        ended_at=row.ended_at, who=row.who, reason=row.reason,
    )  # fmt: skip
