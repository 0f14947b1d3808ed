"""One model watched: service, drift, data quality and quality, over a window that is chosen once for all."""

from __future__ import annotations

from urllib.parse import quote

from appliance.monitoring.spans import parse_span
from ui.components.form import segmented, tabs
from ui.components.markup import box, button_link
from ui.page import Page, View
from ui.pages.data_quality_tab import show_data_quality
from ui.pages.drift_tab import show_drift
from ui.pages.quality_tab import show_quality
from ui.pages.service_tab import show_service
from ui.texts import _

_TABS = (("service", _("Service")), ("drift", _("Drift")), ("rows", _("Data quality")), ("quality", _("Quality")))
_WINDOWS = (("1h", "1 h"), ("24h", "24 h"), ("7d", "7 d"), ("30d", "30 d"), ("90d", "90 d"), ("365d", "1 y"))
_SAME = {
    "service": ("appliance latency {name}", "GET /api/models/{name}/latency; GET /api/models/{name}/traffic"),
    "rows": ("appliance data-quality {name}", "GET /api/models/{name}/data-quality"),
    "quality": ("appliance quality {name}", "GET /api/models/{name}/quality; GET /api/models/{name}/quality/series"),
}
_USUAL = {"service": "24h", "quality": "90d"}


async def build(view: View) -> None:
    """Fill the page."""
    name = view.parts["name"]
    model = await view.ask(view.appliance.models.get, name)
    tab = view.query.get("tab", "drift")
    view.same = _SAME.get(tab)
    if view.query.get("window"):
        parse_span(view.query["window"])  # a wrong one is refused before it is kept
    span = view.remembered("window", _USUAL.get(tab, model.spec.window))
    window_s = parse_span(span)
    column = view.query.get("column", "")
    chosen = f"&window={quote(view.query['window'])}" if view.query.get("window") else ""
    if view.actions is not None:
        with view.actions:
            button_link(_("Model"), f"/models/{name}", icon_name="hub")
    with box("line"):
        with box("grow"):
            tabs(_TABS, tab, lambda key: f"/monitoring/{name}?tab={key}{chosen}")
        windows = _WINDOWS if span in dict(_WINDOWS) else ((span, span), *_WINDOWS)
        kept = f"&column={quote(column)}" if column else ""
        segmented(windows, span, lambda key: f"/monitoring/{name}?tab={tab}&window={key}{kept}", label=_("Time range"))
    if tab == "service":
        await show_service(view, name, window_s)
    elif tab == "rows":
        await show_data_quality(view, name, window_s)
    elif tab == "quality":
        await show_quality(view, name, window_s)
    else:
        await show_drift(view, name, window_s, column)


PAGE = Page(
    path="/monitoring/{name}", section="monitoring", title="{name}", build=build,
    parents=((_("Monitoring"), "/monitoring"),),
    cli="appliance drift {name}", rest="GET /api/models/{name}/drift",
)  # fmt: skip
