"""What the appliance does for itself, under Settings: what goes when, what is limited, and the backups."""

from __future__ import annotations

from functools import partial

from appliance.passphrase import is_sealing
from appliance.permissions import Action
from appliance.settings import Settings
from appliance.upkeep import BackupLine, SpareLine, UpkeepReport
from ui.components.empty import empty
from ui.components.facts import facts
from ui.components.form import button, figure
from ui.components.markup import box, panel, text
from ui.components.snippet import snippet
from ui.components.status import notice, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import View, tell
from ui.texts import _, ngettext
from ui.words import NONE, limit, number, seconds, size, when

_KINDS = {
    "history": _("predictions and labels"), "labels": _("labelled predictions"), "rows": _("closed alerts and studies"),
    "minutes": _("counts by the minute"), "runs": _("runs of MLflow"), "datasets": _("versions of datasets"),
    "backups": _("backups"), "scratch": _("scratch files"),
}  # fmt: skip
_GOES = (
    Column(name="kind", label=_("What")), Column(name="what", label=_("Which"), prose=True),
    Column(name="size", label=_("Frees"), numeric=True), Column(name="why", label=_("Why"), prose=True),
)  # fmt: skip
_MADE = (
    Column(name="name", label=_("Backup")), Column(name="made", label=_("Made")),
    Column(name="size", label=_("Size"), numeric=True), Column(name="state", label=_("Proof")),
    Column(name="proved", label=_("Last proved")), Column(name="sealed", label=_("Sealed")),
)  # fmt: skip


async def show_retention(view: View) -> None:
    """What is kept for how long, and what the coming night lets go."""
    settings = view.appliance.settings
    with panel(_("What is kept"), _("each by a setting; counts of traffic stay for good")):
        facts((
            (_("Predictions, labels, closed alerts"), _days(settings.history_days, "history_days")),
            (_("Runs of MLflow that nobody needs"), _days(settings.runs_days, "runs_days")),
            (_("Versions of datasets"), _days(settings.snapshot_days, "snapshot_days")),
            (
                _("Newest versions of each dataset, however old"),
                _("{count} (keep_snapshots)").format(count=number(settings.keep_snapshots)),
            ),
            (
                _("Newest backups"),
                _("{count} (backup_keep)").format(count=number(settings.backup_keep)),
            ),
            (_("Backups"), _days(settings.backup_keep_days, "backup_keep_days")),
        ))  # fmt: skip
        _how_to_set("history_days", "180")
    view.later(_("Looking what would be deleted now"), view.appliance.upkeep.look, _spare)


def _spare(found: UpkeepReport) -> None:
    if not found.spare:
        empty(
            _("Nothing would be deleted now"),
            _("What is older than the settings keep stands here before it is deleted, at three o'clock every night."),
            icon_name="auto_delete",
        )
        return
    freed = sum(one.bytes for one in found.spare)
    with panel(_("What would be deleted now"), _("{size} would be freed").format(size=size(freed)), tight=True):
        Table(
            _GOES, [_spare_row(i, one) for i, one in enumerate(found.spare)], name="retention",
            per_page=25 if len(found.spare) > 25 else 0,
        )  # fmt: skip
    text(_("Nothing of this is done here: it is deleted at night, or by 'appliance retention'."), "muted small")


def _spare_row(place: int, one: SpareLine) -> Row:
    cells = {
        "kind": Cell(text=_KINDS.get(one.kind, one.kind)), "what": Cell(text=one.what),
        "size": Cell(text=size(one.bytes) if one.bytes else NONE, sort=one.bytes), "why": Cell(text=one.why),
    }  # fmt: skip
    return Row(id=str(place), cells=cells)


def show_limits(view: View) -> None:
    """What a request, a file and a query may take."""
    settings = view.appliance.settings
    with panel(_("Inference API")):
        facts((
            (_("Largest body of a request"), _set(limit(settings.max_body_bytes), "max_body_bytes")),
            (_("Most rows of one request"), _set(number(settings.max_rows), "max_rows")),
            (_("A body must arrive within"), _set(seconds(settings.body_timeout_s), "body_timeout_s")),
            (_("Requests that a worker answers at once"), _set(number(settings.max_in_flight), "max_in_flight")),
            (_("Requests a second of one key and worker"), _set(_rate(settings), "key_rate_per_s")),
            (_("Worker processes"), _set(_or_all(settings.api_workers, _("all cores but one")), "api_workers")),
        ))  # fmt: skip
    with panel(_("Data and trainings")):
        facts((
            (_("Largest file that is dropped"), _set(limit(settings.max_upload_bytes), "max_upload_bytes")),
            (_("Memory of DuckDB"), _set(settings.duckdb_memory, "duckdb_memory")),
            (_("A source must be fetched within"), _set(seconds(settings.download_timeout_s), "download_timeout_s")),
            (_("Threads of a training"), _set(_or_all(settings.training_threads, _("all cores")), "training_threads")),
            (
                _("Free space that recording leaves"),
                _set(limit(settings.capture_reserve_mb << 20), "capture_reserve_mb"),
            ),
        ))  # fmt: skip
        _how_to_set("max_rows", "10000")


async def show_backups(view: View) -> None:
    """Every backup with its last proof, and one more on request."""
    settings = view.appliance.settings
    look = partial(view.appliance.upkeep.look, plan=False)

    async def make() -> None:
        made = await view.act(Action.ADMINISTER, view.appliance.upkeep.back_up, who=view.caller.name)
        if made is None:
            return
        if made.problems:
            tell(_("The backup {name} is not good: {why}").format(name=made.name, why=made.problems[0]), wrong=True)
        else:
            tell(
                ngettext(
                    "{name} is made and proved: {count} version scores as in training",
                    "{name} is made and proved: {count} versions score as in training",
                    made.versions,
                ).format(name=made.name, count=made.versions)
            )
        found = await view.ask(look)
        if not place.is_deleted:
            place.clear()
            with place:
                _backups(found)

    with panel(_("Backups")):
        facts((
            (_("Where"), str(settings.backups)),
            (_("Every night"), _("yes") if settings.backup_nightly else _("no (backup_nightly)")),
            (_("Sealed"), _("with a passphrase") if is_sealing(settings) else _("no")),
        ))  # fmt: skip
        with box("line"):
            button(_("Back up now"), make, kind="primary", icon_name="backup")
            text(
                _("A process beside makes it while everything goes on, reads it again and scores each version; that "
                "may take minutes, and goes on when you leave this page."), "muted small grow",
            )  # fmt: skip
    place = box("stack")
    with place:
        view.later(_("Looking for backups"), look, _backups)


def _backups(report: UpkeepReport) -> None:
    found = report.backups
    if report.problem:
        notice(report.problem, tone="alarm")
    if not found and report.problem:
        return
    if not found:
        notice(_("There is no backup yet. A disk that breaks now takes everything along."), tone="warn")
        return
    newest = next((one for one in found if one.proved_at and not one.problem), None)
    with panel(), box("figures"):
        figure(_("Backups"), number(len(found)))
        figure(_("All together"), size(sum(one.bytes for one in found)))
        figure(_("Newest good one"), when(newest.created_at) if newest else NONE, small=True)
    if newest is None:
        notice(_("None of the backups was proved good. Press Back up now, or verify one."), tone="warn")
    with panel(tight=True):
        Table(_MADE, [_backup_row(one) for one in found], name="backups")


def _backup_row(one: BackupLine) -> Row:
    state = status_of("alarm", _("Not good")) if one.problem else status_of("none", _("Not proved yet"))
    if one.proved_at and not one.problem:
        state = status_of("ok", _("Good"))
    cells = {
        "name": Cell(text=one.name, note=one.problem),
        "made": Cell(text=when(one.created_at), sort=one.created_at.timestamp()),
        "size": Cell(text=size(one.bytes), sort=one.bytes), "state": Cell(status=state),
        "proved": Cell(text=when(one.proved_at), sort=one.proved_at.timestamp() if one.proved_at else 0.0),
        "sealed": Cell(text=_("yes") if one.sealed else _("no")),
    }  # fmt: skip
    return Row(id=one.name, cells=cells)


def _days(days: int, setting: str) -> str:
    if not days:
        return _("for good ({setting})").format(setting=setting)
    return ngettext("{count} day ({setting})", "{count} days ({setting})", days).format(
        count=number(days), setting=setting
    )


def _set(value: str, setting: str) -> str:
    return f"{value} ({setting})"


def _rate(settings: Settings) -> str:
    return number(settings.key_rate_per_s) if settings.key_rate_per_s else _("no limit")


def _or_all(count: int, everything: str) -> str:
    return number(count) if count else everything


def _how_to_set(setting: str, value: str) -> None:
    text(_("Settings are read when the processes start: a line in the settings file, then a restart."), "muted small")
    snippet(f"{setting} = {value}")
