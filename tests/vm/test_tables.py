"""The power goes right after an ingest was acknowledged that wrote a checkpoint of its table, too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.conftest import PYTHON
from tests.vm.guest import SLOWER, Guest
from tests.vm.tables import INGESTS

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600 * SLOWER)]


@pytest.fixture
def booted(installed_disk: Path) -> Iterator[Guest]:
    """Nothing of the appliance runs."""
    guest = Guest(f"tables-{os.getpid()}", installed_disk)
    try:
        guest.boot()
        guest.ok("systemctl mask --runtime appliance.target && systemctl stop 'appliance*'")
        yield guest
    finally:
        guest.destroy()


def test_a_checkpoint_is_as_whole_as_the_ingest_that_wrote_it(booted: Guest) -> None:
    ingest = f"{PYTHON} -P /opt/source/tests/vm/tables.py"
    booted.ok(f"chmod 666 /dev/virtio-ports/done && systemd-run -q -p User=appliance --unit=ingest {ingest}")
    end = time.monotonic() + 60 * SLOWER
    while not booted.lines("done"):
        assert time.monotonic() < end, booted.ok("journalctl -u ingest -n 30 --no-pager")
        time.sleep(0.01)
    booted.cut()  # at once: half a minute later the kernel has written it by itself
    booted.boot()
    log = booted.ok("ls -l /var/lib/appliance/datasets/often/_delta_log")
    read = "import polars as pl; print(pl.scan_delta('/var/lib/appliance/datasets/often').collect().height)"
    done = booted.run(f'{PYTHON} -P -c "{read}"')
    assert (done.code, done.out.strip()) == (0, str(3 * INGESTS)), f"{done.out[-2000:]}\n{log}"
