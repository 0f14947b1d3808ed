"""The versions that were asked in a window side by side: who answers, who only scores along, how fast, how right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.deployments import Deployment
from appliance.monitoring.quality_report import QualityReport, VersionQuality
from appliance.monitoring.service_report import Latency, LatencyReport
from ui.components.markup import panel
from ui.components.status import Status, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.texts import _
from ui.words import NONE, metric, micros, number, share

_SERVICE = (
    Column(name="count", label=_("Requests"), numeric=True), Column(name="errors", label=_("Errors"), numeric=True),
    Column(name="p50", label="p50", numeric=True), Column(name="p95", label="p95", numeric=True),
    Column(name="p99", label="p99", numeric=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    version: int
    shadow: bool
    service: Latency | None
    quality: VersionQuality | None


def show_versions_beside(
    *, current: Sequence[Deployment], latency: LatencyReport | None = None, quality: QualityReport | None = None,
    title: str = _("By version"), note: str = "",
) -> None:  # fmt: skip
    """A row for each version that answered, and one for each that scored as a shadow; nothing where none did.

    Args:
        current: What serves now; says in which role a version stands.
        latency: Adds requests, errors and percentiles.
        quality: Adds labels and metrics.
        title: Of the panel.
        note: Beside the title.
    """
    lines = _lines(latency, quality)
    if not lines:
        return
    metrics = list(dict.fromkeys(name for line in lines if line.quality for name in line.quality.metrics))
    columns = [
        Column(name="version", label=_("Version")), Column(name="role", label=_("Role")),
        *(_SERVICE if latency else ()),
        *((Column(name="labelled", label=_("Labelled"), numeric=True),) if quality else ()),
        *(Column(name=name, label=metric(name), numeric=True) for name in metrics),
    ]  # fmt: skip
    model = latency.model if latency else quality.model if quality else "model"
    with panel(title, note, tight=True):
        Table(columns, [_row(line, current, metrics) for line in lines], name=f"{model}-versions")


def _lines(latency: LatencyReport | None, quality: QualityReport | None) -> list[_Line]:
    answered = (latency.by_version if latency else {}, quality.by_version if quality else {})
    scored = (latency.shadow_by_version if latency else {}, quality.shadow_by_version if quality else {})
    return [
        _Line(version=version, shadow=shadow, service=service.get(version), quality=right.get(version))
        for shadow, (service, right) in ((False, answered), (True, scored))
        for version in sorted({*service, *right}, reverse=True)
    ]


def _row(line: _Line, current: Sequence[Deployment], metrics: Sequence[str]) -> Row:
    service, quality = line.service, line.quality
    cells = {
        "version": Cell(text=str(line.version), sort=line.version),
        "role": Cell(status=_role(line, current)),
        "count": _count(service.count if service else None, note=_("rows scored along") if line.shadow else ""),
        "errors": _count(service.errors if service and not line.shadow else None),
        "labelled": Cell(
            text=share(quality.coverage) if quality else NONE,
            sort=quality.coverage if quality else -1.0,
            note=_("{labelled} of {predicted}").format(
                labelled=number(quality.labelled), predicted=number(quality.predicted)
            )
            if quality
            else "",
        ),
    }
    for name, value in (
        ("p50", service.p50_us if service else None), ("p95", service.p95_us if service else None),
        ("p99", service.p99_us if service else None),
    ):  # fmt: skip
        cells[name] = Cell(text=micros(value), sort=value if value is not None else -1.0)
    for name in metrics:
        right = quality.metrics.get(name) if quality else None
        cells[name] = Cell(text=number(right), sort=right if right is not None else float("-inf"))
    return Row(id=f"{line.version}-{'shadow' if line.shadow else 'answers'}", cells=cells)


def _count(value: int | None, *, note: str = "") -> Cell:
    return Cell(text=number(value), sort=value if value is not None else -1, note=note)


def _role(line: _Line, current: Sequence[Deployment]) -> Status:
    if line.shadow:
        return status_of("shadow", _("Shadow: scores along"))
    found = next((one for one in current if one.version == line.version and one.role != "shadow"), None)
    match found.role if found else None:
        case "champion":
            return status_of("serving", _("Champion: serves now"))
        case "canary":
            return status_of(
                "canary", _("Canary: answers {percent} %").format(percent=found.percent if found else NONE)
            )
    return status_of("none", _("Answered before"))
