"""One installation for the whole suite; each file of tests boots a copy of its disk, so that none sees another's clock.

``VM_KEEP=1`` boots what the session before installed, for whoever works on the tests.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.system.machine import fetch_packages, make_bundle
from tests.vm.disks import INSTALLED, make_root, make_source
from tests.vm.guest import SLOWER, Guest
from tests.vm.installation import install

PYTHON = "/opt/appliance/current/venv/bin/python"
PREDICT = (
    'curl -s -w " %{http_code}" -H "X-API-Key: $(cat /root/key)" -d @/root/body.json'
    " http://127.0.0.1:8100/models/penguins/predict"
)
UNITS = "appliance-api appliance-ui appliance-orchestrator appliance-runner"
ALL_RUN = f'[ "$(systemctl is-active {UNITS} | sort -u)" = active ]'
"""systemctl is content with one of them."""
PATIENT = "[Service]\\nTimeoutStartSec=1h\\nWatchdogSec=30min\\n"
"""For units on an emulated processor, which start in minutes."""


@pytest.fixture(scope="session")
def installed_disk() -> Path:
    """A disk with the appliance, and a model of three classes in two versions that answers on port 8100."""
    needed = ("qemu-system-x86_64", "debootstrap", "systemd-nspawn", "mkfs.ext4")
    if os.geteuid() != 0 or any(shutil.which(name) is None for name in needed):
        pytest.skip("needs root and the packages qemu-system-x86, debootstrap and systemd-container")
    make_source()
    if os.environ.get("VM_KEEP") and INSTALLED.exists():
        return INSTALLED
    make_root()
    fetch_packages()
    install(make_bundle())
    return INSTALLED


@pytest.fixture(scope="module")
def guest(installed_disk: Path) -> Iterator[Guest]:
    """Booted from a copy of that disk, serving."""
    guest = Guest(f"test-{os.getpid()}", installed_disk)
    try:
        guest.boot()
        if SLOWER > 1:
            folder = "/etc/systemd/system/appliance-.service.d"
            guest.ok(f"printf '{PATIENT}' > {folder}/60-patient.conf && systemctl daemon-reload")
        wait_until_serving(guest)
        yield guest
    finally:
        guest.destroy()


def wait_until_serving(guest: Guest) -> None:
    """Every unit runs, and the model answers."""
    guest.until(ALL_RUN, timeout_s=180)
    guest.until(f'[ "$({PREDICT} | tail -c 3)" = 200 ]')


def require_recorded(guest: Guest, acknowledged: Sequence[str]) -> None:
    """Each prediction and label that a caller was told of is in the event log or in the history."""
    assert {line.partition(" ")[0] for line in acknowledged} == {"prediction", "label"}
    guest.ok("rm -f /root/told")
    for at in range(0, len(acknowledged), 500):  # a command is at most 128 KB long
        guest.ok("cat >> /root/told <<'E'\n" + "\n".join(acknowledged[at : at + 500]) + "\nE")
    missing = json.loads(guest.ok(f"{PYTHON} -P /opt/source/tests/vm/recorded.py /root/told"))
    assert missing == {"predictions": [], "labels": []}
