"""Proves a bundle that came from elsewhere in a process of its own: LightGBM aborts on some texts that are no models.

``python -m`` of this module, ROOT NAME VERSION: exit code 0, or 1 with the refusal on standard output.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliance.errors import BundleRefused
from appliance.serving.loaded_model import load_model
from storage.layout import Layout

TIMEOUT_S = 300


def prove_apart(root: Path, name: str, version: int) -> None:
    """Load a published bundle and score its golden rows, in a child.

    Args:
        root: A state directory.
        name: The model.
        version: The version.

    Raises:
        BundleRefused: It does not load, or scores otherwise than it did when the model was trained.
    """
    command = [sys.executable, "-P", "-m", "appliance.serving.prove", str(root), name, str(version)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise BundleRefused(f"model {name!r} version {version}: not proved within {TIMEOUT_S} s") from None
    if done.returncode == 1 and done.stdout:
        raise BundleRefused(done.stdout.strip())
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[0]
        raise BundleRefused(f"model {name!r} version {version}: model.txt is no model that LightGBM reads: {said}")


def main() -> int:
    """The child."""
    root, name, version = sys.argv[1:]
    try:
        load_model(Layout(root=Path(root)), name, int(version))
    except BundleRefused as exc:
        sys.stdout.write(str(exc))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
