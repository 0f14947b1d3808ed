"""axe-core, fetched once through npm into the folder that git ignores, and asked about a page."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

VERSION = "4.11.0"
SHA256 = "39bed7d72308f6d620789c169d699bfd7e8da80f65b545821a6b2215c3e83107"
KEPT = Path(__file__).parents[1] / ".artifacts" / "axe"
GRAVE = {"serious", "critical"}


def axe_source() -> str:
    """The script; the package's hash is checked each time."""
    package = KEPT / f"axe-core-{VERSION}.tgz"
    if not package.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", f"axe-core@{VERSION}"], cwd=KEPT, check=True, timeout=300)
    found = hashlib.sha256(package.read_bytes()).hexdigest()
    assert found == SHA256, f"{package} is not the axe-core that was looked at: {found}"
    with tarfile.open(package) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def grave_violations(page: Page, source: str) -> list[str]:
    """What axe calls serious or critical on the page as it stands, with the elements it means."""
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(source)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {node['target']} {node['html'][:160]} {node['failureSummary'][:300]}"
        for one in found["violations"] if one["impact"] in GRAVE for node in one["nodes"][:4]
    ]  # fmt: skip
