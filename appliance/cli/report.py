"""report, export: what is known of a model as files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from appliance.cli.house import open_house
from appliance.errors import BadInput
from appliance.monitoring.spans import parse_span


def report(name: str, *, out: Path, window: str = "7d", version: int | None = None) -> None:
    """Write a report: aggregates only, one file that needs nothing else.

    Args:
        name: The model.
        out: A file that ends with .html or .json.
        window: Such as 24h, 7d or 30d, ending at the newest event.
        version: The version that serves when left out.
    """
    from appliance.monitoring.report import make_report

    if out.suffix not in {".html", ".json"}:
        raise BadInput(f"{out} is no report: end its name with .html or .json")
    made = make_report(open_house().monitoring, name, parse_span(window), version=version)
    content = (
        made.to_html().encode()
        if out.suffix == ".html"
        else msgspec.json.format(msgspec.json.encode(made.to_json()), indent=2)
    )
    try:
        out.write_bytes(content)
    except OSError as exc:
        raise BadInput(f"cannot write {out}: {exc.strerror}") from exc
    print(f"{out}: {len(content) / 1e3:.0f} kB, {made.drift.window.start:%Y-%m-%d} to {made.drift.window.end:%Y-%m-%d}")


def export(name: str, *, out: Path, window: str = "7d", version: int | None = None) -> None:
    """Write every prediction of a window, one row each, with its inputs and its label.

    Args:
        name: The model.
        out: The Parquet file.
        window: Such as 24h, 7d or 30d, ending at the newest event.
        version: The version that serves when left out.
    """
    from appliance.monitoring.export import export_events

    house = open_house()
    asked = house.monitoring.drift(name, parse_span(window), version=version)
    span = (asked.window.start, asked.window.end)
    rows = export_events(house.settings.layout, name, asked.version, span, out)
    print(f"{out}: {rows} predictions of version {asked.version}")
