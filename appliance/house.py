"""The composition root: everything an appliance can do, built from its settings, each part when it is first used."""

from __future__ import annotations

import contextlib
import os
import secrets
from functools import cached_property
from typing import TYPE_CHECKING

from appliance.settings import Settings
from storage.errors import StateUnwritable
from storage.layout import Layout
from storage.restore import finish_swap

if TYPE_CHECKING:
    from appliance.access import Access
    from appliance.apart import Apart
    from appliance.backups import Backups
    from appliance.datasets import Datasets
    from appliance.deployments import Deployments
    from appliance.feeds import Feeds
    from appliance.jobs import Jobs
    from appliance.models import Models
    from appliance.monitoring.channels import Channels
    from appliance.monitoring.exposition import Exposition
    from appliance.monitoring.load import Load
    from appliance.monitoring.monitoring import Monitoring
    from appliance.transfer import Transfer
    from appliance.trial import Trial
    from appliance.upkeep import Upkeep

SECRET_BYTES = 32


class Appliance:
    """The parts of one appliance; a part is imported and built when it is first asked for.

    With ``apart``, work on datasets' rows is done in processes of their own, and none of it is loaded here.
    """

    def __init__(self, settings: Settings, *, apart: bool = False) -> None:
        self.settings = settings
        self._is_apart = apart

    @cached_property
    def datasets(self) -> Datasets:
        """Tables and their snapshots."""
        from appliance.datasets import Datasets  # noqa: PLC0415  (loads Polars)

        return Datasets(self.settings, self.apart)

    @cached_property
    def apart(self) -> Apart | None:
        """The processes that work on datasets' rows, where this one does not."""
        if not self._is_apart:
            return None
        from appliance.apart import Apart  # noqa: PLC0415

        return Apart(self.settings)

    def expect_rows(self) -> None:
        """Have ready what works on datasets' rows, since it is about to be needed; returns at once."""
        if self.apart is not None:
            self.apart.warm()

    def close(self) -> None:
        """End what was started for it."""
        if self.apart is not None:
            self.apart.close()

    @cached_property
    def feeds(self) -> Feeds:
        """Datasets that get new rows by themselves."""
        from appliance.feeds import Feeds  # noqa: PLC0415  (loads what datasets load)

        return Feeds(self.settings, self.datasets)

    @cached_property
    def access(self) -> Access:
        """Users, keys and the audit."""
        from appliance.access import Access  # noqa: PLC0415

        return Access(self.settings)

    @cached_property
    def backups(self) -> Backups:
        """Copies of the whole state."""
        from appliance.backups import Backups  # noqa: PLC0415  (loads Delta)

        return Backups(self.settings)

    @cached_property
    def models(self) -> Models:
        """Declared models and their versions."""
        from appliance.models import Models  # noqa: PLC0415  (loads Polars)

        return Models(self.settings, self.apart)

    @cached_property
    def transfer(self) -> Transfer:
        """Versions from and for other boxes."""
        from appliance.transfer import Transfer  # noqa: PLC0415  (loads cryptography)

        return Transfer(self.settings)

    @cached_property
    def deployments(self) -> Deployments:
        """What serves now."""
        from appliance.deployments import Deployments  # noqa: PLC0415

        return Deployments(self.settings)

    @cached_property
    def jobs(self) -> Jobs:
        """Trainings and batch predictions."""
        from appliance.jobs import Jobs  # noqa: PLC0415  (loads httpx)

        return Jobs(self.settings)

    @cached_property
    def monitoring(self) -> Monitoring:
        """Drift, latency, quality and alerts."""
        from appliance.monitoring.monitoring import Monitoring  # noqa: PLC0415  (loads SciPy)

        return Monitoring(self.settings, self.apart)

    @cached_property
    def channels(self) -> Channels:
        """Where alerts go."""
        from appliance.monitoring.channels import Channels  # noqa: PLC0415  (loads httpx and cryptography)

        return Channels(self.settings)

    @cached_property
    def exposition(self) -> Exposition:
        """What a Prometheus scrapes."""
        from appliance.monitoring.exposition import Exposition  # noqa: PLC0415

        return Exposition(self.settings, self.monitoring)

    @cached_property
    def load(self) -> Load:
        """Requests in work, queues, processes, disk and the watch loop now."""
        from appliance.monitoring.load import Load  # noqa: PLC0415

        return Load(self.settings, self.monitoring)

    @cached_property
    def trial(self) -> Trial:
        """Models tried through the inference API."""
        from appliance.trial import Trial  # noqa: PLC0415  (loads httpx)

        return Trial(self.settings, access=self.access)

    @cached_property
    def upkeep(self) -> Upkeep:
        """Backups, and what goes when."""
        from appliance.orders import Here  # noqa: PLC0415
        from appliance.upkeep import Upkeep  # noqa: PLC0415

        return Upkeep(self.apart or Here(self.settings))


def open_appliance(settings: Settings, *, apart: bool = False) -> Appliance:
    """The appliance of these settings; its state must have been prepared once (``prepare_state``)."""
    return Appliance(settings, apart=apart)


def prepare_state(settings: Settings) -> None:
    """Make what is missing of the state: directories, the database's schema, the secret, the first admin.

    Nothing happens when all is there; several processes may do it at once.

    Raises:
        StateUnwritable: The state directory is read-only, full, or not a directory.
        StaleSchema: The state was written by a newer release.
    """
    from appliance.access import Access  # noqa: PLC0415
    from storage.delta_log import mend_logs  # noqa: PLC0415  (beside what follows)
    from storage.migrations import migrate  # noqa: PLC0415  (sqlite-utils loads pandas where it is installed)

    layout = settings.layout
    layout.create()
    finish_swap(layout)  # a restore that was killed between two renames
    mend_logs(layout)  # and tables that the power went beneath
    migrate(layout.database)
    _make_secret(layout)
    Access(settings).create_first_admin()


def _make_secret(layout: Layout) -> None:
    if layout.secret.exists():
        return
    half = layout.secret.with_name(f".secret-{secrets.token_hex(8)}")
    try:
        with open(half, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was faster; its secret counts
            layout.secret.hardlink_to(half)
    except OSError as exc:
        raise StateUnwritable(f"cannot write {layout.secret}: {exc.strerror}; free space or fix its owner") from exc
    finally:
        half.unlink(missing_ok=True)
