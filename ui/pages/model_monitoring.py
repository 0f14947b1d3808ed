"""One model watched: service, drift, data quality and quality, over a window that is chosen once for all."""

from __future__ import annotations

from urllib.parse import quote

from appliance.monitoring.spans import parse_span
from ui.components.form import segmented, tabs
from ui.components.markup import box, button_link
from ui.page import Page, View
from ui.pages.closer import chosen_until, show_end, until_part
from ui.pages.data_quality_tab import show_data_quality
from ui.pages.drift_tab import show_drift
from ui.pages.fairness_tab import show_fairness_tab
from ui.pages.quality_tab import show_quality
from ui.pages.service_tab import show_service
from ui.pages.time_range import WINDOWS, chosen_range
from ui.texts import _

_TABS = (
    ("service", _("Service")), ("drift", _("Drift")), ("rows", _("Data quality")), ("quality", _("Quality")),
    ("fairness", _("Fairness")),
)  # fmt: skip
_SAME = {
    "service": (
        "appliance latency {name}; appliance load {name}",
        "GET /api/models/{name}/latency; GET /api/models/{name}/traffic; GET /api/load?model={name}",
    ),
    "rows": ("appliance data-quality {name}", "GET /api/models/{name}/data-quality"),
    "fairness": ("appliance quality {name} --by COLUMN", "GET /api/models/{name}/fairness"),
    "quality": ("appliance quality {name}", "GET /api/models/{name}/quality; GET /api/models/{name}/quality/series"),
}
_USUAL = {"service": "24h", "quality": "90d", "fairness": "90d"}


async def build(view: View) -> None:
    """Fill the page."""
    name = view.parts["name"]
    model = await view.ask(view.appliance.models.get, name)
    tab = view.query.get("tab", "drift")
    view.same = _SAME.get(tab)
    usual, until = _USUAL.get(tab, model.spec.window), chosen_until(view)
    # A closer look at one moment is of this page alone.
    span = view.query.get("window", usual) if until else chosen_range(view, usual)
    window_s = parse_span(span)
    column = view.query.get("column", "")
    chosen = f"&window={quote(view.query['window'])}" if view.query.get("window") and not until else ""
    if view.actions is not None:
        with view.actions:
            button_link(_("Model"), f"/models/{name}", icon_name="hub")
    with box("line"):
        with box("grow"):
            tabs(_TABS, tab, lambda key: f"/monitoring/{name}?tab={key}{chosen}")
        windows = WINDOWS if span in dict(WINDOWS) else ((span, span), *WINDOWS)
        kept = (f"&column={quote(column)}" if column else "") + until_part(view)
        segmented(windows, span, lambda key: f"/monitoring/{name}?tab={tab}&window={key}{kept}", label=_("Time range"))
    same = f"&column={quote(column)}" if column else ""
    show_end(view, window_s, newest=f"/monitoring/{name}?tab={tab}{same}")
    if tab == "service":
        await show_service(view, name, window_s, until)
    elif tab == "rows":
        await show_data_quality(view, name, window_s, until)
    elif tab == "quality":
        await show_quality(view, name, window_s, until)
    elif tab == "fairness":
        await show_fairness_tab(view, name, window_s, until)
    else:
        await show_drift(view, name, window_s, column, until)


PAGE = Page(
    path="/monitoring/{name}", section="monitoring", title="{name}", build=build,
    parents=((_("Monitoring"), "/monitoring"),),
    cli="appliance drift {name}", rest="GET /api/models/{name}/drift",
)  # fmt: skip
