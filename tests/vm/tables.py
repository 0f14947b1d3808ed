"""Runs inside the guest, with the release's own Python: ingests with checkpoints, and says so outside at once.

Delta writes a checkpoint with every hundredth commit; here with every second, so that the last ingest has one.
"""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from storage.datasets import IngestInfo
from storage.ingest import KEEP_EVERY_VERSION, ingest
from storage.layout import Layout

INGESTS = 4
PORT = "/dev/virtio-ports/done"


def main() -> None:
    """Ingest, then tell; the host cuts the power as soon as it has heard."""
    KEEP_EVERY_VERSION["delta.checkpointInterval"] = "2"
    port = os.open(PORT, os.O_WRONLY)
    os.sync()  # whatever else waits for the disk
    for at in range(INGESTS):
        ingest(
            Layout(root=Path("/var/lib/appliance")), "often", pl.DataFrame({"a": [1, 2, 3]}), append=at > 0,
            info=IngestInfo(who="test", source="test"),
        )  # fmt: skip
    os.write(port, b"told\n")


if __name__ == "__main__":
    main()
