"""A ``systemctl`` of systemd 249, for where none runs: all is active, but a release that never starts; calls are noted.

What came later it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tests.processes.releases import Installation

STUB = """#!/bin/sh
shift # --no-pager
echo "$*" >>'{folder}/calls'
[ "$1" = show ] || exit 0
case "$*" in *--timestamp=unix*) echo 'Failed to parse timestamp style: unix.' >&2; exit 1 ;; esac
case "$*" in *--value*) cat '{folder}/pid' 2>/dev/null; exit 0 ;; esac
echo MainPID=0
date -d @1700000000 '+StateChangeTimestamp=%a %Y-%m-%d %H:%M:%S %Z'
case $(basename "$(readlink '{base}/current')") in
  {failing})
    echo >>'{folder}/failures'
    printf 'ActiveState=activating\\nSubState=auto-restart\\nNRestarts=%s\\n' "$(wc -l <'{folder}/failures')" ;;
  *) printf 'ActiveState=active\\nSubState=running\\nNRestarts=0\\n' ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """An installation whose processes are units of the stub."""

    place: Installation
    folder: Path

    def called(self, words: str) -> bool:
        """Whether a call began so since the last ``forget``."""
        return any(line.startswith(words) for line in (self.folder / "calls").read_text().splitlines())

    def forget(self) -> None:
        (self.folder / "calls").write_text("")


def with_units(place: Installation, *, failing: str = "none") -> Units:
    """The same installation, run by systemd; no unit of the release ``failing``, or ``one | other``, becomes well."""
    folder = place.base.parent / "bin"
    folder.mkdir()
    (folder / "systemctl").write_text(STUB.format(folder=folder, base=place.base, failing=failing))
    (folder / "systemctl").chmod(0o755)
    (folder / "calls").write_text("")
    path = f"{folder}:{place.environment['PATH']}"
    return Units(
        place=replace(place, environment={**place.environment, "APPLIANCE_SYSTEMD": "true", "PATH": path}),
        folder=folder,
    )
