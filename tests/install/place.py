"""An installation below one directory, as install.sh makes it, and what a newcomer does with it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PORTS = ("api", "ui", "orchestrator", "mlflow", "ui-mlflow", "ui-prefect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory to install into, with ports and a home directory of its own."""

    base: Path
    home: Path
    ports: dict[str, int]
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def below(cls, folder: Path, **environment: str) -> Place:
        home = folder / "home"
        home.mkdir(parents=True)
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        return cls(base=folder / "appliance", home=home, ports=ports, environment=environment)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def port_flags(self) -> list[str]:
        return [part for name, port in self.ports.items() for part in (f"--{name}-port", str(port))]

    def install(self, *flags: str, timeout_s: float = 800.0) -> Done:
        """Run install.sh from somewhere else than the checkout."""
        return self._run("sh", str(ROOT / "install.sh"), "--local", str(self.base), *flags, timeout_s=timeout_s)

    def appliance(self, *arguments: str, timeout_s: float = 300.0) -> Done:
        """Run the installed command."""
        return self._run(str(self.base / "bin" / "appliance"), *arguments, timeout_s=timeout_s)

    def sh(self, line: str) -> Done:
        """What a person pastes into a terminal."""
        return self._run("sh", "-c", line, timeout_s=60.0)

    def remove(self) -> None:
        """Stop what runs, and take it all away."""
        if (self.base / "bin" / "appliance").exists():
            self.appliance("down")
        shutil.rmtree(self.base, ignore_errors=True)

    def _run(self, *command: str, timeout_s: float) -> Done:
        # NiceGUI behaves otherwise where it finds pytest's variable.
        others = ("APPLIANCE_", "PYTHON", "PYTEST")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        # pip asks rustc for its version, and a rustup shim makes a directory in HOME for that.
        own = {
            "HOME": str(self.home),
            "APPLIANCE_PYTHON": str(Path(sys.executable).resolve()),
            "RUSTUP_HOME": "/dev/null/rustup",
        }
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
            cwd=self.home.parent, env={**clean, **own, **self.environment},
        )  # fmt: skip
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)
