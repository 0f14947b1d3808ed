"""A virtual environment for one neighbour, made for the run and thrown away with its folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PATIENCE_S = 300


class CannotInstall(Exception):
    """The package index does not answer, or has no release for this Python."""


def make_environment(folder: Path, packages: Sequence[str]) -> Path:
    """Install packages into a new environment; its ``bin`` directory.

    Raises:
        CannotInstall: With the last line of what the installer said.
    """
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    python = folder / "bin" / "python"
    if uv is not None:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *packages])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *packages])
    return folder / "bin"


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as exc:
        raise CannotInstall(f"took more than {PATIENCE_S} s") from exc
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall(lines[-1] if lines else f"exit code {done.returncode}")
