"""A machine with a kernel of its own: QEMU without a network, spoken to through a port, killed as a power cut.

What the guest has not written to its disk is lost with its page cache, which no container can show. Where the host's
processor cannot run guests, it is emulated, ten to twenty times as slow.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.system.machine import Done
from tests.vm.disks import FOLDER, INITRD, KERNEL, SOURCE_DISK

MEMORY_MB = 4096
CORES = 2
VIRTUALISES = bool(re.search(r"^flags.* (svm|vmx) ", Path("/proc/cpuinfo").read_text(), re.MULTILINE))
"""There may be a ``/dev/kvm`` that runs no guest: the processor says whether it can."""
SLOWER = 1 if VIRTUALISES and os.access("/dev/kvm", os.R_OK | os.W_OK) else 10
"""By how much every patience grows where the processor is emulated."""
BOOT_S = 120.0
NOW = "utc"


class Guest:
    """One machine on a disk of its own."""

    def __init__(self, name: str, disk: Path) -> None:
        """Not booted yet, on a copy of a disk."""
        self._disk = FOLDER / f"{name}.img"
        self._serial = FOLDER / f"{name}.serial.log"
        # A socket's path is short, and the checkout may lie deep.
        self._ports = Path(tempfile.mkdtemp(prefix="vm-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._port: socket.socket | None = None
        self._heard = b""
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", disk, self._disk], check=True)

    def boot(self, *, clock: str = NOW) -> None:
        """Power on, and wait until it takes commands.

        Args:
            clock: What its hardware clock says, ``2027-12-01T00:00:00``; the host's time by default.
        """
        socket_path = self._ports / "agent"
        socket_path.unlink(missing_ok=True)
        device = "virtserialport"
        self._process = subprocess.Popen(
            [
                "qemu-system-x86_64", "-machine", "q35", "-accel", "kvm" if SLOWER == 1 else "tcg,thread=multi",
                "-cpu", "max",
                "-smp", str(CORES), "-m", str(MEMORY_MB), "-nic", "none", "-display", "none", "-no-reboot",
                "-rtc", f"base={clock}", "-serial", f"file:{self._serial}", "-kernel", KERNEL, "-initrd", INITRD,
                "-append", "root=/dev/vda rw console=ttyS0 panic=-1 systemd.show_status=0",
                "-drive", f"file={self._disk},format=raw,if=virtio,cache=writeback",
                "-drive", f"file={SOURCE_DISK},format=raw,if=virtio,readonly=on",
                "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=agent,path={socket_path},server=on,wait=off",
                "-device", f"{device},chardev=agent,name=agent",
                "-chardev", f"file,id=acknowledged,path={self._ports}/acknowledged,append=on",
                "-device", f"{device},chardev=acknowledged,name=acknowledged",
                "-chardev", f"file,id=done,path={self._ports}/done,append=on",
                "-device", f"{device},chardev=done,name=done",
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._port = self._connect(socket_path)
        assert self.run("true", timeout_s=BOOT_S).code == 0, self._serial.read_text(errors="replace")[-4000:]

    def cut(self) -> None:
        """Cut the power; ``boot`` starts again on the same disk."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._forget()

    def off(self) -> None:
        """An orderly end."""
        self.run("systemctl poweroff")
        assert self._process is not None
        self._process.wait(BOOT_S * SLOWER)
        self._forget()

    def destroy(self) -> None:
        """End it and remove its disk."""
        if self._process is not None:
            self.cut()
        self._disk.unlink(missing_ok=True)
        shutil.rmtree(self._ports)

    def run(self, command: str, *, timeout_s: float = 300.0) -> Done:
        """A shell command as root, both outputs together."""
        assert self._port is not None
        patience_s = timeout_s * SLOWER
        asked = json.dumps({"command": command, "timeout_s": patience_s}).encode() + b"\n"
        self._port.sendall(asked)
        self._port.settimeout(patience_s + 60)
        while b"\n" not in self._heard:
            taken = self._port.recv(65536)
            assert taken, f"the machine is gone: {self._serial.read_text(errors='replace')[-4000:]}"
            self._heard += taken
        line, _, self._heard = self._heard.partition(b"\n")
        answer = json.loads(line)
        return Done(code=answer["code"], out=answer["out"])

    def ok(self, command: str, *, timeout_s: float = 300.0) -> str:
        """The same of a command that must succeed; what it printed."""
        done = self.run(command, timeout_s=timeout_s)
        assert done.code == 0, f"{command}: exit code {done.code}\n{done.out[-6000:]}"
        return done.out

    def until(self, command: str, *, timeout_s: float = 120.0) -> None:
        """Wait until a command succeeds."""
        self.ok(
            f"end=$(($(cut -d. -f1 /proc/uptime) + {int(timeout_s * SLOWER)}));"
            f' until {{ {command}; }}; do [ "$(cut -d. -f1 /proc/uptime)" -lt $end ] || exit 1; sleep 0.2; done',
            timeout_s=timeout_s + 30,
        )

    def lines(self, port: str) -> list[str]:
        """Whole lines that programs of the guest wrote to ``/dev/virtio-ports/PORT`` so far: out of reach of a cut."""
        text = (self._ports / port).read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    def wipe(self) -> None:
        """Forget what was written to the ports."""
        for port in ("acknowledged", "done"):
            (self._ports / port).write_text("")

    def main_pids(self) -> dict[str, str]:
        """The main process of every unit."""
        names = [f"appliance-{name}.service" for name in ("api", "ui", "orchestrator", "runner")]
        return {name: self.ok(f"systemctl show --value -p MainPID {name}").strip() for name in names}

    def _connect(self, path: Path) -> socket.socket:
        assert self._process is not None
        end = time.monotonic() + 30
        while True:
            port = socket.socket(socket.AF_UNIX)
            try:
                port.connect(str(path))
            except OSError:
                port.close()
                assert self._process.poll() is None, "QEMU ended at once; run its command by hand"
                assert time.monotonic() < end, f"QEMU opens no {path}"
                time.sleep(0.05)
            else:
                return port

    def _forget(self) -> None:
        if self._port is not None:
            self._port.close()
        self._process, self._port, self._heard = None, None, b""
