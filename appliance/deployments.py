"""Deployments: which version of a model serves, since when, and why."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.errors import Conflict, NotFound
from appliance.models import require_model
from appliance.settings import Settings
from storage.audit_rows import AuditEntry, append_audit
from storage.bundles import replace_durably
from storage.deployment_rows import (
    DeploymentRow,
    NewDeployment,
    deployment_history,
    find_deployment,
    live_deployments,
    put_deployment,
)  # fmt: skip
from storage.model_rows import find_alias, find_version, list_versions, set_alias
from storage.statedb import connect, transaction

CHAMPION = "champion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A version serving in a role; ``ended_at`` is None while it does."""

    model: str
    version: int
    role: str
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
                return _deployment(live)
            _require_sound_bundle(self._settings, name, wanted)
            said = reason or ("the champion" if version is None else "chosen by hand")
            return self._replace(connection, name, wanted, live, _Cause(who=who, reason=said))

    def rollback(self, name: str, *, who: str, reason: str = "") -> Deployment:
        """Let the version serve again that served before the present one.

        Raises:
            NotFound: No such model.
            Conflict: Nothing served before.
            BundleRefused: The earlier bundle is damaged.
        """
        with self._database() as connection:
            require_model(connection, name)
            live = find_deployment(connection, name, CHAMPION)
            earlier = _before(deployment_history(connection, name), live)
            if live is None or earlier is None:
                raise Conflict(
                    f"nothing served before the present deployment of {name!r}; see 'appliance versions {name}'"
                )
            _require_sound_bundle(self._settings, name, earlier)
            said = reason or f"rolled back from version {live.version}"
            return self._replace(connection, name, earlier, live, _Cause(who=who, reason=said, rollback=True))

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

    def _replace(
        self, connection: sqlite3.Connection, name: str, version: int, live: DeploymentRow | None, cause: _Cause
    ) -> Deployment:
        now = datetime.now(UTC)
        new = NewDeployment(
            model=name, version=version, role=CHAMPION, who=cause.who, reason=cause.reason, started_at=now,
            rollback=cause.rollback,
        )  # fmt: skip
        with transaction(connection):
            row = put_deployment(connection, new, replaces=None if live is None else live.id)
            if row is None:
                raise Conflict(f"the deployment of {name!r} changed meanwhile; look at it and try again")
            set_alias(connection, name, CHAMPION, version)
            detail = f"version {version}: {cause.reason}"
            action = "model.rollback" if cause.rollback else "model.deploy"
            append_audit(connection, AuditEntry(at=now, who=cause.who, action=action, subject=name, detail=detail))
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


def _published(connection: sqlite3.Connection) -> bytes:
    live = live_deployments(connection)
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM deployments").fetchone()[0]
    models: dict[str, dict[str, int]] = {}
    for row in live:
        models.setdefault(row.model, {})[row.role] = row.version
    return json.dumps({"revision": int(newest), "models": models}).encode()


def _before(history: Sequence[DeploymentRow], live: DeploymentRow | None) -> int | None:
    """The version that served before the live one, passing over versions that were rolled back from.

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


def _deployment(row: DeploymentRow) -> Deployment:
    return Deployment(
        model=row.model, version=row.version, role=row.role, started_at=row.started_at, ended_at=row.ended_at,
        who=row.who, reason=row.reason,
    )  # fmt: skip
