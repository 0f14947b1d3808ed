"""What ``appliance doctor`` found, as people read it: what is to be mended first, the rest folded away."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.processes.check import Check
from ui.components.markup import box, icon, panel, text, with_attributes
from ui.components.status import badge
from ui.texts import ENGLISH, _, ngettext

_STATES = {"ok": "ok", "warn": "warn", "fail": "alarm"}


def show_checks(checks: Sequence[Check], *, open_all: bool = False) -> None:
    """A panel of them; with ``open_all`` those that found nothing stand open, too."""
    wrong = [one for one in checks if one.state != "ok"]
    fine = [one for one in checks if one.state == "ok"]
    with panel(_("Check of this host"), _("what appliance doctor looks at"), tight=True), box("checks"):
        if not wrong:
            with box("line"):
                badge("ok")
                text(_("This host is fit: nothing has to be mended."), "strong")
        for one in wrong:
            _check(one)
        if fine:
            with box("", "details") as folded:
                if open_all:
                    folded.props("open")
                count = ngettext(
                    "{count} check found nothing wrong", "{count} checks found nothing wrong", len(fine)
                ).format(count=len(fine))
                text(count, tag="summary")
                with box("stack s"):
                    for one in fine:
                        _check(one)


def _check(one: Check) -> None:
    with box("check"):
        badge(_STATES[one.state])
        with with_attributes(box("grow"), lang=ENGLISH):  # the appliance's own words
            text(one.name, "strong")
            text(one.message, "small wrap-any")
            if one.fix:
                with box("line"):
                    icon("build", "muted")
                    text(one.fix, "small grow wrap-any")
