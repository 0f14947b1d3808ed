"""A booted throw-away machine, see ``lab``, and the packages it installs from, since it has no network.

Its root is the host's, or with ``LAB_BASE=FOLDER`` that of another distribution, as ``debootstrap`` makes one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = Path(os.environ.get("LAB_BASE", "/"))
PACKAGES = ROOT / "tests" / ".artifacts" / (f"packages-{BASE.name}" if BASE.name else "packages")
LAB = ROOT / "tests" / "system" / "lab"
SOURCE = "/opt/source"
SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended in the machine."""

    code: int
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine by its name."""

    name: str

    def up(self) -> None:
        _lab("up", self.name, f"--bind-ro={ROOT}:{SOURCE}", f"--bind={PACKAGES}:/opt/packages")

    def kill(self) -> None:
        """Cut the power; ``up`` boots again on the same disk."""
        _lab("kill", self.name)

    def down(self) -> None:
        _lab("down", self.name)

    def run(self, command: str, *, timeout_s: float = 300.0, packages: bool = True) -> Done:
        """A shell command under the machine's PID 1, both outputs together; it finds the packages, or does not."""
        settings = (
            "UV_OFFLINE=1", "UV_CACHE_DIR=/opt/packages/uv", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/opt/packages/wheels",
        )  # fmt: skip
        options = [part for setting in settings for part in ("-E", setting)] if packages else []
        done = subprocess.run(
            [str(LAB), "run", self.name, *options, "/bin/sh", "-c", f"exec 2>&1; {command}"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        return Done(code=done.returncode, out=done.stdout + done.stderr)

    def ok(self, command: str, *, timeout_s: float = 300.0, packages: bool = True) -> str:
        done = self.run(command, timeout_s=timeout_s, packages=packages)
        assert done.code == 0, f"{command}: exit code {done.code}\n{done.out[-4000:]}"
        return done.out

    def main_pids(self) -> dict[str, str]:
        """The main process of every unit."""
        names = [f"appliance-{name}.service" for name in ("api", "ui", "orchestrator", "runner")]
        return {name: self.ok(f"systemctl show --value -p MainPID {name}").strip() for name in names}


def fetch_packages() -> None:
    """Fill uv's cache with every locked package, for the Python that the machine has, and keep a wheel of uv itself."""
    stamp = PACKAGES / "stamp"
    python = subprocess.run(
        ["chroot", BASE, SYSTEM_PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    wanted = "".join([python, (ROOT / "requirements.lock").read_text(), (ROOT / "requirements.uv.lock").read_text()])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    environment = {**os.environ, "UV_CACHE_DIR": str(PACKAGES / "uv")}
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-d", PACKAGES / "wheels",
         "-r", ROOT / "requirements.uv.lock"],
        check=True,
    )  # fmt: skip
    probe = PACKAGES / "probe"
    subprocess.run(
        [shutil.which("uv") or Path(sys.executable).with_name("uv"), "pip", "install", "-q", "--require-hashes",
         "--only-binary", ":all:", "--python-version", python, "--target", probe, "-r", ROOT / "requirements.lock"],
        check=True, env=environment,
    )  # fmt: skip
    shutil.rmtree(probe)
    stamp.write_text(wanted)


def make_bundle() -> str:
    """One file to install from, and the installer that is in it; the command that does so in a machine."""
    folder = PACKAGES / "offline"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    environment = {
        **os.environ, "UV_CACHE_DIR": str(PACKAGES / "uv"), "APPLIANCE_PYTHON": str(Path(sys.executable).resolve()),
    }  # fmt: skip
    command = ["sh", str(ROOT / "install.sh"), "--make-bundle", str(folder / "appliance.bundle")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    subprocess.run(["tar", "-xf", folder / "appliance.bundle", "-C", folder, "install.sh"], check=True)
    return "sh /opt/packages/offline/install.sh --offline /opt/packages/offline/appliance.bundle"


def _lab(*arguments: str) -> None:
    # Without pipes: the machine's processes would inherit them and hold them open.
    subprocess.run([LAB, *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120)
