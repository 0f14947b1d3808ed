"""The first page: every model at a glance, and what needs somebody."""

from __future__ import annotations

from ui.components.empty import empty
from ui.page import Page, View


async def build(_: View) -> None:
    """Fill the page."""
    empty(
        "Nothing serves yet", "A model that serves is shown here with its traffic, latency, errors, drift and quality.",
        icon_name="space_dashboard",
        steps=("Add a dataset: drop a CSV or Parquet file.", "Create a model: choose the dataset and click its target.",
               "Train it, and deploy the version."),
        action=("Add data", "/data"),
    )  # fmt: skip


PAGE = Page(path="/", section="overview", title="Overview", build=build, cli="appliance models", rest="GET /api/models")
