"""A real Postgres server on a free loopback port, for the tests that read from one."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "geheim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """How to reach it; ``log`` is what the server said."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"postgresql://ann:{PASSWORD}@127.0.0.1:{self.port}/postgres"


def find_programs() -> Path | None:
    """The directory of initdb and postgres: Debian keeps them out of the PATH."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def run_postgres(programs: Path) -> Iterator[Postgres]:
    """Make a cluster and serve it; as root both run as the user nobody, since Postgres refuses root.

    Not below pytest's own directories: those are closed to other users.
    """
    with tempfile.TemporaryDirectory(prefix="postgres-") as made:
        folder, owner = Path(made), pwd.getpwuid(os.geteuid())
        if owner.pw_uid == 0:
            owner = pwd.getpwnam("nobody")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        data, log = folder / "data", folder / "log"
        initdb: list[str | Path] = [
            programs / "initdb", "-D", data, "-U", "ann", "--pwfile", password, "-A", "scram-sha-256", "-N",
        ]  # fmt: skip
        done = subprocess.run(
            initdb, check=False, capture_output=True, text=True, cwd=folder, env={"LC_ALL": "C"},
            user=owner.pw_uid, group=owner.pw_gid, extra_groups=[] if os.geteuid() == 0 else None,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with log.open("wb") as out:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"],
                stdout=out, stderr=out, cwd=folder, env={"LC_ALL": "C"},
                user=owner.pw_uid, group=owner.pw_gid, extra_groups=[] if os.geteuid() == 0 else None,
            )  # fmt: skip
        try:
            _wait(server, port, log)
            yield Postgres(port=port, log=log)
        finally:
            server.terminate()
            server.wait(30)


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()
        if "ready to accept connections" in log.read_text():
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
