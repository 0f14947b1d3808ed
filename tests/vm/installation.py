"""Makes the disk that every test boots: the appliance, serving, on a minimal Debian, installed in a container of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.system.machine import LAB, PACKAGES, ROOT, SOURCE
from tests.vm.disks import INSTALLED, ROOT_FOLDER, SIZE, make_disk

LABS = "/var/tmp/appliance-lab-"  # noqa: S108  (where tests/system/lab has its machines)
SETTINGS = 'capture_durability = "sync"'
"""What the README says to set where the power may go."""
STEPS = (
    "cp /opt/source/tests/data/penguins.csv /root/ && appliance data add penguins penguins.csv",
    "appliance model create penguins --dataset penguins --target species",
    "appliance train penguins --wait",
    "appliance train penguins --wait",
    "appliance deploy penguins --version 1",
    "appliance key create test --scope predict,label,read > /root/key",
    'for i in $(seq 900); do curl -sf -H "X-API-Key: $(cat /root/key)" http://127.0.0.1:8100/models/penguins'
    " > /root/model.json && exit 0; sleep 0.1; done; exit 1",
    'python3 -c \'import json; m = json.load(open("/root/model.json"));'
    ' json.dump({"rows": [m["example"]]}, open("/root/body.json", "w"))\'',
)


def install(command: str) -> None:
    """Make ``INSTALLED``: two versions of a model of three classes, the first of which answers on port 8100.

    Args:
        command: What installs from ``/opt/packages``, as ``tests.system.machine.make_bundle`` gives it.
    """
    name = f"vm-{os.getpid()}"
    _lab("up", name, f"--bind-ro={ROOT}:{SOURCE}", f"--bind={PACKAGES}:/opt/packages")
    try:
        steps = [f"{command} --api-port 8100", f"echo '{SETTINGS}' >> /etc/appliance/appliance.toml", *STEPS]
        for step in [*steps, "appliance down", "rm -rf /var/log/journal/*"]:
            done = subprocess.run(
                [str(LAB), "run", name, "-E", "HOME=/root", "--working-directory=/root", "/bin/sh", "-c", step],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{step}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        _lab("kill", name)
        make_disk(INSTALLED, Path(f"{LABS}{name}/root"), SIZE)
    finally:
        _lab("down", name)


def _lab(*arguments: str) -> None:
    # Without pipes: the machine's processes would inherit them and hold them open.
    subprocess.run(
        [LAB, *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=180,
        env={**os.environ, "LAB_BASE": str(ROOT_FOLDER)},
    )  # fmt: skip
