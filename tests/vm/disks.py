"""The guest's disks: a minimal Debian with a kernel of its own, made once, and what it installs from.

    root/          Debian 12 by debootstrap from the mirror of the host's apt; again when what it is made of changes
    source.img     the tests and their data, read-only
    installed.img  the root with the appliance; each file of tests boots a copy

The appliance is installed from its offline bundle in a booted container of that root (``tests/system/lab``): where the
guest's processor is emulated, the same would take it twenty times as long.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.system.machine import ROOT

FOLDER = ROOT / "tests" / ".artifacts" / "vm"
ROOT_FOLDER = FOLDER / "root"
INSTALLED = FOLDER / "installed.img"
KERNEL, INITRD = FOLDER / "vmlinuz", FOLDER / "initrd.img"
SOURCE_DISK = FOLDER / "source.img"
SUITE = "bookworm"
INCLUDED = (
    "systemd", "systemd-sysv", "udev", "dbus", "kmod", "linux-image-cloud-amd64", "e2fsprogs", "python3",
    "python3-venv", "libgomp1", "curl", "procps", "iproute2",
)  # fmt: skip
SIZE = "12G"
"""Of the disk; a sparse file of 2 to 4 GB."""

AGENT = "/usr/local/lib/agent.py"
UNIT = f"""[Unit]
Description=Runs commands from outside
ConditionVirtualization=vm
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 -u {AGENT}
Environment=HOME=/root
Restart=always
RestartSec=1
KillMode=process
OOMScoreAdjust=-1000
[Install]
WantedBy=multi-user.target
"""
FSTAB = """/dev/vda / ext4 rw,errors=remount-ro 0 1
/dev/vdb /opt/source ext4 ro,nofail 0 0
"""


def make_root() -> None:
    """Make the kernel and ``ROOT_FOLDER``, unless they are there.

    Raises:
        CalledProcessError: debootstrap could not; its log lies in ``FOLDER/root/debootstrap``.
    """
    made_of = "".join([SUITE, *INCLUDED, SIZE, UNIT, FSTAB, Path(__file__).with_name("agent.py").read_text()])
    stamp, wanted = FOLDER / "stamp", hashlib.sha256(made_of.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    root = ROOT_FOLDER
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    included = f"--include={','.join(INCLUDED)}"
    command = ["debootstrap", "--variant=minbase", included, SUITE, str(root), _mirror()]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    _furnish(root)
    (kernel,), (initrd,) = root.glob("boot/vmlinuz-*"), root.glob("boot/initrd.img-*")
    shutil.copy(kernel, KERNEL)
    shutil.copy(initrd, INITRD)
    stamp.write_text(wanted)


def make_source() -> None:
    """Make ``SOURCE_DISK``."""
    folder = FOLDER / "source"
    shutil.rmtree(folder, ignore_errors=True)
    for path in ("tests/system", "tests/vm", "tests/data"):
        shutil.copytree(ROOT / path, folder / path, ignore=shutil.ignore_patterns("__pycache__"))
    make_disk(SOURCE_DISK, folder, "256M")
    shutil.rmtree(folder)


def _furnish(root: Path) -> None:
    """The agent, the mounts, a name; no password, since nobody logs in."""
    shutil.copy(Path(__file__).with_name("agent.py"), root / AGENT.lstrip("/"))
    (root / "etc/systemd/system/agent.service").write_text(UNIT)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "agent.service").symlink_to("/etc/systemd/system/agent.service")
    (root / "etc/fstab").write_text(FSTAB)
    (root / "etc/hostname").write_text("guest\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost guest\n")
    (root / "opt/source").mkdir()
    (root / "var/log/journal").mkdir(parents=True, exist_ok=True)


def _mirror() -> str:
    """The first that the host's apt has for our suite; debootstrap's own where it says none."""
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {SUITE}"],
        capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    return said[0] if said else ""


def make_disk(disk: Path, folder: Path, size: str) -> None:
    """A file system with a folder's files, without mounting anything."""
    disk.unlink(missing_ok=True)
    subprocess.run(["truncate", "-s", size, disk], check=True)
    # Without the tables at once, the guest writes them while it is measured.
    options = ["-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", str(folder)]
    subprocess.run(["mkfs.ext4", "-q", "-F", *options, str(disk)], check=True)
