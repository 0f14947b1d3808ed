"""Runs inside the guest, with the release's own Python: what of the acknowledged is not recorded.

``recorded.py FILE`` reads lines ``prediction ID`` and ``label ID``; prints ``{"predictions": […], "labels": […]}``,
the ids that are neither in the event log nor in the history.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl

STATE = Path("/var/lib/appliance")


def main() -> None:
    """Print what is missing."""
    told: dict[str, set[str]] = {"prediction": set(), "label": set()}
    for line in Path(sys.argv[1]).read_text().splitlines():
        what, _, name = line.partition(" ")
        told[what].add(name)
    # A prediction's id is its request's and its row.
    predictions = {name.rpartition(".")[0] for name in told["prediction"]} - ids("predictions")
    labels = told["label"] - ids("labels")
    sys.stdout.write(json.dumps({"predictions": sorted(predictions), "labels": sorted(labels)}))


def ids(kind: str) -> set[str]:
    """Of one kind of event: in segments, where a line that a power cut tore is no record, and in the history."""
    found = set[str]()
    for path in (STATE / "events" / kind).glob("*.ndjson"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                found.add(json.loads(line)["id"])
            except ValueError:
                continue
    table = STATE / "history" / kind
    if any(table.rglob("*.parquet")):
        found |= set(pl.scan_delta(str(table)).select("id").collect()["id"])
    return found


if __name__ == "__main__":
    main()
