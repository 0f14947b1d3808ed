"""The work behind ``appliance.upkeep``; loads what backups and retention load."""

from __future__ import annotations

from datetime import datetime

from appliance.backups import Backups, find_folder_problem
from appliance.passphrase import find_seal
from appliance.retention import Retention
from appliance.settings import Settings
from appliance.upkeep import BackedUp, BackupLine, SpareLine, UpkeepReport


def look_at_upkeep(settings: Settings, *, plan: bool) -> UpkeepReport:
    """Every backup, and with ``plan`` what would go now."""
    return UpkeepReport(
        backups=tuple(
            BackupLine(
                name=one.name, created_at=one.created_at, bytes=one.notes.bytes, sealed=one.notes.sealed,
                proved_at=datetime.fromisoformat(one.notes.verified_at) if one.notes.verified_at else None,
                problem=one.notes.problem,
            )
            for one in Backups(settings).list()
        ),
        spare=tuple(
            SpareLine(kind=one.kind, what=one.what, bytes=one.bytes, why=one.why)
            for one in (Retention(settings).plan() if plan else ())
        ),
        problem=find_folder_problem(settings),
    )  # fmt: skip


def back_up(settings: Settings, who: str) -> BackedUp:
    """Make one, prove it, and remove what is not kept where it is good."""
    backups, passphrase = Backups(settings), find_seal(settings)
    made = backups.create(who=who, passphrase=passphrase)
    proof = backups.verify(made.name, passphrase=passphrase)
    removed = () if proof.problems else backups.prune()
    return BackedUp(
        name=made.name, bytes=made.notes.bytes, versions=proof.versions, problems=proof.problems,
        removed=tuple(one.name for one in removed),
    )  # fmt: skip
