"""One machine for the whole suite, with the appliance installed by the real installer."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.machine import BASE, SOURCE, Machine, fetch_packages, make_bundle


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Booted and empty."""
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        pytest.skip("needs root and the package systemd-container")
    fetch_packages()
    machine = Machine(name=f"test-{os.getpid()}")
    machine.up()
    yield machine
    machine.down()


@pytest.fixture(scope="session")
def installed(machine: Machine) -> Machine:
    """With the units running: from one file, without a network, a package cache or the checkout."""
    assert machine.run("ip route | grep .").code == 1, "a machine has no network"
    # A bundle is for the Python that made it: another distribution installs from the checkout.
    install = make_bundle() if Path("/") == BASE else f"sh {SOURCE}/install.sh"
    began = time.monotonic()
    machine.ok(f"{install} --api-port 8100", timeout_s=600, packages=Path("/") != BASE)
    sys.stdout.write(f"\ninstalled and answering after {time.monotonic() - began:.0f} s\n")
    return machine


@pytest.fixture(scope="session")
def serving(installed: Machine) -> Machine:
    """With a model of three classes, trained there, that answers on port 8100; its key lies in /root/key."""
    installed.ok(
        f"cp {SOURCE}/tests/data/penguins.csv /root/ && chmod 600 /root/penguins.csv && cd /root"
        " && appliance data add penguins penguins.csv"
        " && appliance model create penguins --dataset penguins --target species"
        " && appliance train penguins --wait"
        " && appliance deploy penguins"
        " && appliance key create test --scope predict,label,read > /root/key",
        timeout_s=400,
    )
    installed.ok(
        'for i in $(seq 900); do curl -sf -H "X-API-Key: $(cat /root/key)" http://127.0.0.1:8100/models/penguins'
        " > /root/model.json && exit 0; sleep 0.1; done; exit 1"
    )
    installed.ok(
        f'{SOURCE_PYTHON} -c \'import json; m = json.load(open("/root/model.json"));'
        ' json.dump({"rows": [m["example"]]}, open("/root/body.json", "w"))\''
    )
    return installed


SOURCE_PYTHON = "/usr/bin/python3"
