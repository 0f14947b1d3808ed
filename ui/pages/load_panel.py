"""How loaded the appliance is now: requests in work, what waits, disk and watch loop, and each process."""

from __future__ import annotations

from nicegui import ui as ng

from appliance.monitoring.load import ApiLoad, Filling, LoadReport, ProcessLoad
from appliance.monitoring.spans import State
from ui.components.form import figure
from ui.components.markup import ago_html, box, filled_html, panel, text
from ui.components.status import badge
from ui.components.table import Cell, Column, Row, Table
from ui.pages.overview import SERVICES, part_status
from ui.texts import _
from ui.words import NONE, number, share, size

_PROCESSES = (
    Column(name="name", label=_("Part")), Column(name="state", label=_("State")),
    Column(name="cpu", label=_("Processor, of one core"), numeric=True),
    Column(name="memory", label=_("Memory"), numeric=True),
    Column(name="restarts", label=_("Restarts"), numeric=True),
)  # fmt: skip


def show_load(found: LoadReport) -> None:
    """Put it on the page; a figure that is not there says why."""
    with panel(_("Load now"), _("of the whole appliance, all models together")), box("figures"):
        _api(found.api)
        _disk(found.disk)
        _watch(found)
    with panel(_("Processes"), _("each with all it started; shared memory counted in parts"), tight=True):
        if found.processes:
            Table(_PROCESSES, [_process(one) for one in found.processes], name="processes")
        else:
            text(_("systemd does not say how the parts stand."), "muted").style("padding: 16px 20px")


def _api(found: ApiLoad | None) -> None:
    if found is None:
        figure(_("Requests in work"), NONE, note=_("the inference API does not run, or sleeps"))
        figure(_("Requests waiting for a shadow"), NONE)
        return
    _limited(
        figure_of=_("Requests in work"), value=number(found.requests.used), filling=found.requests,
        note=_("of at most {limit} at once; {busy} of {workers} workers busy").format(
            limit=number(found.requests.limit), busy=found.busy, workers=found.workers
        ),
    )  # fmt: skip
    _limited(
        figure_of=_("Requests waiting for a shadow"), value=number(found.queue.used), filling=found.queue,
        note=_("of at most {limit}; {here} for this model").format(
            limit=number(found.queue.limit), here=number(found.queued_here or 0)
        ),
    )  # fmt: skip


def _disk(found: Filling | None) -> None:
    if found is None:
        figure(_("Disk used"), NONE, note=_("the disk cannot be asked"))
        return
    _limited(
        figure_of=_("Disk used"), value=share(found.share), filling=found,
        note=_("{used} of {total}").format(used=size(found.used), total=size(found.limit)),
    )  # fmt: skip


def _limited(*, figure_of: str, value: str, filling: Filling, note: str) -> None:
    """A figure that has a limit, and how near it is."""
    with figure(figure_of, value, note=note):
        badge(filling.state.value)


def _watch(found: LoadReport) -> None:
    with figure(_("Watch loop is behind by"), size(found.lag.bytes_behind), note=_("of events not counted yet")):
        if found.watch is State.NOT_ENOUGH_DATA:
            badge("none", _("Has not looked yet"))
            return
        badge(found.watch.value, _("Watches") if found.watch is State.OK else _("Does not look"))
        said = filled_html(_("last looked {when}"), when=ago_html(found.lag.heartbeat_at))
        ng.html(said, sanitize=False).classes("note")


def _process(one: ProcessLoad) -> Row:
    process = one.process
    cells = {
        "name": Cell(text=SERVICES.get(process.name, process.name), note=process.detail),
        "state": Cell(status=part_status(process)),
        "cpu": Cell(
            text=share(one.cpu_share), sort=-1.0 if one.cpu_share is None else one.cpu_share,
            note=_("told from the second look on") if process.pid is not None and one.cpu_share is None else "",
        ),
        "memory": Cell(
            text=_("{size} MB").format(size=number(process.pss_mb, digits=3)) if process.pss_mb else NONE,
            sort=process.pss_mb or -1.0,
        ),
        "restarts": Cell(text=number(process.restarts), sort=float(process.restarts)),
    }  # fmt: skip
    return Row(id=process.name, cells=cells)
