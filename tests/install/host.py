"""A host on which the installer believes that systemd runs: mounts of its own over /etc and /opt, nothing is started.

``tests/system`` boots a real one; here the installer's own files are looked at, in seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.install.place import ROOT, Done, Place

UNITS = "/etc/systemd/system"
STATE = "/opt/appliance-state"
_PROGRAMS = {
    # Nothing is active.
    "systemctl": 'case "$*" in --version) echo "systemd 252 (252.1)" ;; *is-active*) exit 3 ;; esac',
    "systemd-sysusers": "grep -q ^appliance: /etc/group || echo appliance:x:64123: >>/etc/group",
    "systemd-tmpfiles": "exit 0",
}
_MOUNTS = """
mount -t tmpfs tmpfs {folder}/upper
for place in etc opt home usr/local/bin var/log; do
  mkdir -p {folder}/upper/$place {folder}/upper/work/$place
  mount -t overlay overlay -o lowerdir=/$place,upperdir={folder}/upper/$place,workdir={folder}/upper/work/$place /$place
done
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
[ ! -d /var/lib/systemd ] || mount -t tmpfs tmpfs /var/lib/systemd
rm -rf /opt/appliance {state} /etc/appliance /usr/local/bin/appliance /var/log/appliance-install.log {units}/appliance*
mount --bind {prefix} {folder}/python
echo ready
exec sleep infinity
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Such a host, while it is there.

    Attributes:
        folder: A directory of its own, the same inside and outside.
        pid: Whoever holds its mounts.
        ports: Flags that name free ports.
    """

    folder: Path
    pid: int
    ports: str

    @property
    def python(self) -> Path:
        """Outside of home directories, wherever the tests' own lies."""
        return self.folder / "python" / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"

    def run(self, line: str) -> Done:
        """A shell line there."""
        environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "HOME": str(self.folder)}
        done = subprocess.run(
            ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--wd=/", "sh", "-c", line],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False, env=environment,
        )  # fmt: skip
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)

    def ok(self, line: str) -> str:
        """A shell line that must end well, and what it printed."""
        done = self.run(line)
        assert done.code == 0, done.out + done.err
        return done.out

    def install(self, flags: str = "", *, python: Path | None = None) -> Done:
        """The installer, with a state directory that units can see; nothing is started."""
        return self.run(self.command(flags, python=python))

    def command(self, flags: str = "", *, python: Path | None = None) -> str:
        """The shell line for that."""
        return f"sh {ROOT}/install.sh --python {python or self.python} --state {STATE} --no-start {self.ports} {flags}"

    def listing(self, *places: str) -> set[str]:
        """The files below these places."""
        return set(self.ok(f"find {' '.join(places)} -type f 2>/dev/null || true").split())

    def place_release(self) -> None:
        """What the installer makes first, which takes minutes: this checkout's release, over the tests' packages."""
        functions = self.folder / "functions.sh"
        functions.write_text((ROOT / "install.sh").read_text(encoding="utf-8").removesuffix('main "$@"\n'))
        release = self.folder / "release"
        (release / "venv" / "bin").mkdir(parents=True)
        program = release / "venv" / "bin" / "python"
        program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
        program.chmod(0o755)
        (release / "with").write_text("none\n")
        (release / ".complete").touch()
        self.ok(
            f". {functions}; WITH= SOURCE={ROOT} PYTHON={self.python}; name=$(release_name);"
            f" cp -R {ROOT}/systemd {release}/ && mkdir -p /opt/appliance/releases"
            f" && mv {release} /opt/appliance/releases/$name && ln -s releases/$name /opt/appliance/current"
        )


@contextmanager
def pretended(folder: Path) -> Iterator[Host]:
    """A host for as long as this lasts; skips the test where that needs more rights."""
    if os.geteuid() != 0:
        pytest.skip("mounts of its own need root")
    for name in ("bin", "upper", "python"):
        (folder / name).mkdir()
    for name, text in _PROGRAMS.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    script = _MOUNTS.format(folder=folder, units=UNITS, state=STATE, prefix=sys.base_prefix)
    holder = subprocess.Popen(["unshare", "-m", "sh", "-ec", script], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n", "the mounts could not be made"
        yield Host(folder=folder, pid=holder.pid, ports=" ".join(Place.below(folder / "ports").port_flags))
    finally:
        holder.kill()
        holder.communicate()


def installed(host: Host, flags: str = "") -> str:
    """What the installer says where it succeeds."""
    done = host.install(flags)
    assert done.code == 0, done.out + done.err
    return done.out
