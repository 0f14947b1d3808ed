"""report, export: what is known of a model as files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from appliance.cli.house import open_house
from appliance.errors import BadInput
from appliance.monitoring.spans import parse_window


def report(
    name: str, *, out: Path, window: str = "7d", until: str | None = None, version: int | None = None
) -> None:  # fmt: skip
    """Write a report: aggregates only, one file that needs nothing else.

    Args:
        name: The model.
        out: A file that ends with .html or .json.
        window: Such as 24h, 7d or 30d, or FROM/TO in dates or times.
        until: The window's end, such as 2026-01-31 or 2026-01-31T18:00+01:00; the newest event when left out.
        version: The version that serves when left out.
    """
    from appliance.monitoring.report import make_report

    if out.suffix not in {".html", ".json"}:
        raise BadInput(f"{out} is no report: end its name with .html or .json")
    asked = parse_window(window, until)
    made = make_report(open_house().monitoring, name, asked.seconds, version=version, until=asked.until)
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


def export(
    name: str, *, out: Path, window: str = "7d", until: str | None = None, version: int | None = None
) -> None:  # fmt: skip
    """Write every prediction of a window, one row each, with its inputs and its label.

    Args:
        name: The model.
        out: The Parquet file.
        window: Such as 24h, 7d or 30d, or FROM/TO in dates or times.
        until: The window's end, such as 2026-01-31 or 2026-01-31T18:00+01:00; the newest event when left out.
        version: The version that serves when left out.
    """
    from appliance.monitoring.export import export_events

    house = open_house()
    asked = parse_window(window, until)
    found = house.monitoring.drift(name, asked.seconds, version=version, until=asked.until)
    rows = export_events(house.settings.layout, name, found.version, (found.window.start, found.window.end), out)
    print(f"{out}: {rows} predictions of version {found.version}")
