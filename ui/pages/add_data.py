"""A dropped file: looked at, saved as a dataset, and, where somebody says what to predict, trained and deployed."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from nicegui import ui as ng

from appliance.api.control.dataset_routes import NewSnapshot, add, look_at_upload
from appliance.api.control.uploads import forget_upload
from appliance.models import Proposal
from appliance.orders import FirstLook, Ingest, StopButton
from appliance.permissions import Action
from ui.components.drop_zone import Sent, drop_zone
from ui.components.form import button, choice, dialog, text_field
from ui.components.markup import box, button_link, text
from ui.components.status import notice
from ui.page import View, tell
from ui.pages.data_preview import Choices, show_preview
from ui.pages.new_model import free_name
from ui.texts import _, ngettext
from ui.words import number, plain_name

_MODES = {
    "replace": _("New version with these rows alone"),
    "append": _("New version with these rows after the present ones"),
}


def show_drop_zone(view: View, *, dataset: str = "") -> None:
    """A place to drop a file, which becomes a dataset; ``dataset``: another version of this one."""

    async def sent(file: Sent) -> None:
        await _Adding(view, file, dataset).ask()

    invitation = _("Drop the next version of {name} here, or click to choose it").format(name=dataset)
    drop_zone(view.appliance.settings.max_upload_bytes, sent, invitation=invitation if dataset else "")


class _Adding:
    """The dialog about one file, from the first look at it to the dataset, or to the training."""

    def __init__(self, view: View, file: Sent, dataset: str) -> None:
        self._view = view
        self._file = file
        self._dataset = dataset
        self._stop = StopButton()
        self._choices = Choices()

    async def ask(self) -> None:
        """Open it."""
        known = {one.dataset for one in await self._view.ask(self._view.appliance.datasets.list)}
        with dialog(_("Add {file_name}").format(file_name=self._file.name), wide=True) as self._window:
            self._body = box("stack")
        with self._body:
            self._name = text_field(
                _("Dataset name"), self._dataset or suggest_name(self._file.name),
                hint=_("a-z, 0-9, - and _; an existing name adds a version"),
            )  # fmt: skip
            self._mode = choice(_("If the dataset exists"), _MODES, "replace")
            self._mode.bind_visibility_from(self._name, "value", lambda value: value in known)
            self._known = known
            with box("line"):
                button(_("Train and deploy"), self._train, kind="primary", icon_name="rocket_launch")
                button(_("Save"), self._save, kind="plain", icon_name="save")
                button(_("Cancel"), self._cancel, kind="quiet")
            text(
                _(
                    "Train and deploy saves the file, trains a model of the column that you choose below, and lets it "
                    "serve once it passes the gate. Save only saves it. The file is read to its end before anything "
                    "is saved: all of it, or nothing. Cancel ends that, too."
                ),
                "muted small",
            )
            self._sheets, self._looked = box("stack"), box("stack")
        self._look()
        self._window.props("no-backdrop-dismiss").on("hide", self._closed)
        self._window.open()

    def _look(self) -> None:
        """Show the first rows, of a workbook those of the sheet that was chosen."""
        self._looked.clear()
        with self._looked:
            self._view.later(
                _("Looking at the first rows"),
                lambda: look_at_upload(self._view.appliance, self._file.upload, self._choices.sheet), self._show,
            )  # fmt: skip

    def _show(self, found: FirstLook) -> None:
        sheets = found.glance.sheets
        if self._choices.sheet is None and len(sheets) > 1:
            self._choices.sheet = sheets[0]
            with self._sheets:
                chosen = choice(_("Sheet"), {one: one for one in sheets}, sheets[0])
            chosen.on_value_change(lambda event: self._turn_to(str(event.value)))
        show_preview(found, self._choices)

    def _turn_to(self, sheet: str) -> None:
        """Another sheet has other columns: what was chosen of those of the one before is forgotten."""
        self._choices.sheet, self._choices.target = sheet, ""
        self._choices.types.clear()
        self._look()

    async def _cancel(self) -> None:
        self._window.close()

    async def _closed(self) -> None:
        """By Cancel or by Escape."""
        self._stop.press()  # also while the file is being saved: nothing of it stays
        await self._view.ask(forget_upload, self._view.appliance.settings.layout, self._file.upload)

    async def _save(self) -> None:
        ingest = await self._take_in()
        if ingest is not None:
            _say(ingest)
            ng.navigate.to(f"/data/{ingest.dataset}")

    async def _take_in(self) -> Ingest | None:
        name = self._name.value or ""
        wanted = NewSnapshot(
            name=name, upload=self._file.upload, append=name in self._known and self._mode.value == "append",
            types=dict(self._choices.types), sheet=self._choices.sheet,
        )  # fmt: skip
        view = self._view
        # What is refused, a name for instance, is mended in the open dialog: the file is not sent again.
        return await view.act(Action.WORK, add, view.appliance, view.caller, wanted, self._stop, keep=True)

    async def _train(self) -> None:
        target, models = self._choices.target, self._view.appliance.models
        if not target:
            tell(_("Choose the column to predict below; then press this again."), wrong=True)
            return
        ingest = await self._take_in()
        if ingest is None:
            return
        taken = {one.name for one in await self._view.ask(models.list)}
        name = free_name(ingest.dataset, target, taken)
        proposal = await self._view.act(Action.WORK, models.propose, ingest.dataset, target, name=name)
        if proposal is None or self._stop.pressed:
            self._saved_alone(ingest.dataset)
        elif proposal.suspects:
            self._ask_about(proposal)
        else:
            await self._begin(proposal, ())

    def _ask_about(self, proposal: Proposal) -> None:
        """Columns that nearly give the target away: only a person knows whether they are known in time."""
        suspects, spec = proposal.suspects, proposal.spec
        self._body.clear()
        with self._body:
            text(_("Is this known when you predict?"), tag="h3")
            text(", ".join(suspects), "strong wrap-any")
            text(
                _(
                    "Each of these nearly gives {target} away. A column that is filled in only after the fact makes "
                    "metrics that no live request will see."
                ).format(target=spec.target),
                "muted",
            )
            with box("line"):
                button(_("No: leave out, and train"), lambda: self._begin(proposal, suspects), kind="primary",
                       icon_name="rocket_launch")  # fmt: skip
                button(_("Yes: use, and train"), lambda: self._begin(proposal, ()))
                button_link(_("Decide each"), f"/models/new?dataset={spec.dataset}&target={quote(spec.target)}")

    async def _begin(self, proposal: Proposal, left_out: tuple[str, ...]) -> None:
        view, spec = self._view, proposal.spec
        spec = msgspec.structs.replace(
            spec, deploy="auto", exclude=(*spec.exclude, *left_out),
            columns={name: kind for name, kind in spec.columns.items() if name not in left_out},
        )  # fmt: skip
        made = await view.act(Action.WORK, view.appliance.models.create, spec, who=view.caller.name)
        if made is None:
            self._saved_alone(spec.dataset)
            return
        job_id = await view.act(Action.WORK, view.appliance.jobs.start_training, made.name, who=view.caller.name)
        if job_id:
            ng.navigate.to(f"/jobs/{job_id}")
            return
        self._body.clear()
        with self._body:
            notice(
                _("{name} is declared, and waits to be trained: Train on its page begins it.").format(name=made.name)
            )
            button_link(_("Model"), f"/models/{made.name}", icon_name="hub", primary=True)

    def _saved_alone(self, dataset: str) -> None:
        """The rows are there; what they shall teach has to be said otherwise."""
        self._body.clear()
        with self._body:
            notice(
                _("The rows are saved as {dataset}; no model was made of them.").format(dataset=dataset), tone="warn"
            )
            with box("line"):
                button_link(_("Look at the columns"), f"/data/{dataset}", icon_name="table_chart")
                button_link(_("Another target"), f"/models/new?dataset={dataset}", icon_name="add", primary=True)


def suggest_name(file_name: str) -> str:
    """A dataset name from a file's: the part before the first dot, in the letters that names may have."""
    return plain_name(file_name.split(".", 1)[0])[:63].strip("-_") or "dataset"


def _say(ingest: Ingest) -> None:
    said = ngettext(
        "{dataset} version {version}: {rows} row", "{dataset} version {version}: {rows} rows", ingest.rows
    ).format(dataset=ingest.dataset, version=ingest.version, rows=number(ingest.rows))
    count = len(ingest.warnings)
    warned = ngettext("{count} warning", "{count} warnings", count).format(count=count)
    tell(f"{said}; {warned}" if count else said)
