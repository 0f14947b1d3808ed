"""Where each thing lies below the state directory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from storage.errors import StateUnwritable


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The paths of one appliance's state; computing one touches nothing on disk."""

    root: Path

    @property
    def database(self) -> Path:
        """The state database, SQLite in WAL mode."""
        return self.root / "appliance.db"

    @property
    def datasets(self) -> Path:
        """One Delta table a dataset."""
        return self.root / "datasets"

    @property
    def models(self) -> Path:
        """``NAME/VERSION/`` bundles and ``deployments.json``."""
        return self.root / "models"

    @property
    def deployments(self) -> Path:
        """What serves now; replaced by rename, watched by the API."""
        return self.models / "deployments.json"

    @property
    def specs(self) -> Path:
        """One ``NAME.toml`` a model, as applied."""
        return self.root / "specs"

    @property
    def events(self) -> Path:
        """``KIND/*.ndjson`` segments of the event log."""
        return self.root / "events"

    @property
    def history(self) -> Path:
        """``KIND/`` Delta tables that closed segments of the event log become."""
        return self.root / "history"

    @property
    def figures(self) -> Path:
        """What was worked out of the state and is kept until the state changes; may be removed at any time."""
        return self.root / "figures"

    @property
    def mlflow(self) -> Path:
        """MLflow's SQLite store and artifacts."""
        return self.root / "mlflow"

    @property
    def prefect(self) -> Path:
        """Prefect's SQLite store and home."""
        return self.root / "prefect"

    @property
    def tmp(self) -> Path:
        """DuckDB's spill, uploads and half-made bundles; may be emptied while nothing runs."""
        return self.root / "tmp"

    @property
    def run(self) -> Path:
        """Process ids and other facts that die with the processes."""
        return self.root / "run"

    @property
    def locale(self) -> Path:
        """``LANG/LC_MESSAGES/dashboard.mo``: translations beside those of the release; somebody puts them here."""
        return self.root / "locale"

    @property
    def logs(self) -> Path:
        """Logs of the processes when there is no journal."""
        return self.root / "logs"

    @property
    def secret(self) -> Path:
        """32 random bytes, 0600, made once: signs prediction ids and dashboard sessions."""
        return self.root / "secret"

    @property
    def signing_key(self) -> Path:
        """The private key that signs bundles for other boxes, PEM, 0600; made when the first one is signed."""
        return self.root / "signing.key"

    @property
    def trusted(self) -> Path:
        """``NAME.pub``: the public keys of the boxes whose bundles are taken in."""
        return self.root / "trusted"

    @property
    def admin_password(self) -> Path:
        """The one-time admin password, 0600; removed once it was used."""
        return self.root / "admin-password"

    def create(self) -> None:
        """Make the directories that are missing, private to their owner and group.

        Raises:
            StateUnwritable: The root cannot be created or written.
        """
        try:
            for path in (
                self.root, self.datasets, self.models, self.specs, self.events,
                self.mlflow, self.prefect, self.tmp, self.run, self.logs,
            ):  # fmt: skip
                path.mkdir(mode=0o750, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.tmp, prefix=".writable-", buffering=0) as probe:
                probe.write(b"1")
        except OSError as exc:
            raise StateUnwritable(
                f"cannot write the state directory {self.root}: {exc.strerror or exc}; "
                "free space or make it writable for this user, or choose another with --state"
            ) from exc
