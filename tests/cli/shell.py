"""The command line as tests meet it: a real process, its exit code and what it printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOMEBODY = (
    "from tests.unprivileged import drop_capabilities; drop_capabilities(); from appliance.cli.main import main; main()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Runs ``appliance`` on one state directory."""

    state: Path
    environment: dict[str, str] = field(default_factory=dict)
    is_somebody: bool = False
    """Meets the permissions of files as everybody else, also where root runs the tests."""

    def run(self, *arguments: str, stdin: str = "") -> Done:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
        done = subprocess.run(
            [sys.executable, *(("-c", SOMEBODY) if self.is_somebody else ("-m", "appliance.cli.main")), *arguments],
            input=stdin, text=True, capture_output=True,
            env={**clean, "PYTHONPATH": str(ROOT), "APPLIANCE_STATE": str(self.state), **self.environment},
            cwd=self.state.parent, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)

    def ok(self, *arguments: str, stdin: str = "") -> Done:
        done = self.run(*arguments, stdin=stdin)
        assert done.code == 0, done.err
        return done
