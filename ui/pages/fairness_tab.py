"""Fairness: the groups of each protected column side by side, or why there is nothing to compare and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from appliance.models import ModelInfo
from appliance.monitoring.quality_report import QualityReport, SegmentReport
from appliance.schema import Task
from ui.components.empty import empty
from ui.components.markup import link, text
from ui.components.snippet import snippet
from ui.page import View
from ui.pages.fairness_panel import show_fairness
from ui.pages.window_line import window_line
from ui.texts import _, ngettext
from ui.words import number


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    model: ModelInfo
    quality: QualityReport
    reports: tuple[SegmentReport, ...]


async def show_fairness_tab(view: View, name: str, window_s: int, until: datetime | None = None) -> None:
    """Fill the tab."""
    appliance = view.appliance

    def fetch() -> _Found:
        return _Found(
            model=appliance.models.get(name), quality=appliance.monitoring.quality(name, window_s, until=until),
            reports=appliance.monitoring.fairness(name, window_s, until=until),
        )  # fmt: skip

    span = view.query.get("window", "")
    labels = f"/monitoring/{name}?tab=quality" + (f"&window={quote(span)}" if span else "")
    await view.live(10.0, fetch, lambda found: _show(found, labels, newest=until is None))


def _show(found: _Found, labels: str, *, newest: bool) -> None:
    if any(group.selection for report in found.reports for group in report.segments):
        window_line(found.quality.window, what=_("Predictions"), newest=newest)
        show_fairness(found.reports)
        text(
            _("Groups are compared by the labels that came; that they differ does not say why. What the training "
            "found on its held-out rows is on the version's page."), "muted small",
        )  # fmt: skip
        link(_("The version's fairness on its holdout"), f"/models/{found.model.name}", "small")
        return
    spec = found.model.spec
    if found.model.task is not Task.BINARY:
        empty(
            _("Fairness needs a model with two classes"),
            _(
                "It compares which share of each group gets the positive answer, and how often that is right. This "
                "model predicts something else; how good it is for parts of the rows is on the version's page."
            ),
            icon_name="balance",
            action=(_("To the version"), f"/models/{found.model.name}"),
        )
    elif not spec.protected:
        empty(
            _("No column is declared protected"),
            _(
                "Groups are those of a column such as sex or age, which is an input or not. Name it in the model's "
                "declaration, apply it and train again; from then on its groups are compared here."
            ),
            icon_name="balance",
        )
        snippet('protected = ["COLUMN"]')
        snippet(f"appliance apply {spec.name}.toml")
    elif not found.reports:
        empty(
            _("The version that serves knows no groups"),
            _(
                "{columns}: declared protected, but the version was trained before that. Train again and deploy; "
                "then the groups are compared here."
            ).format(columns=", ".join(spec.protected)),
            icon_name="balance",
            action=(_("To the model"), f"/models/{spec.name}"),
        )
    else:
        _wait_for_labels(found, labels)


def _wait_for_labels(found: _Found, labels: str) -> None:
    quality = found.quality
    unknown = max((report.unknown for report in found.reports), default=0)
    if quality.labelled and unknown:
        why = ngettext(
            "Of {count} labelled prediction in this window the group is not known: send the protected column along "
            "with the row, it is no input.",
            "Of {count} labelled predictions in this window the group is not known: send the protected column along "
            "with the rows, it is no input.",
            unknown,
        ).format(count=number(unknown))
    else:
        why = ngettext(
            "{count} prediction in this window waits for the truth; groups can be compared once labels come.",
            "{count} predictions in this window wait for the truth; groups can be compared once labels come.",
            quality.predicted,
        ).format(count=number(quality.predicted))
    empty(
        _("No labelled predictions by group in this window"), why, icon_name="balance",
        action=(_("How labels are sent"), labels),
    )  # fmt: skip
