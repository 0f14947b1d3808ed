"""Runs inside the guest: takes commands from a port of the machine and answers each; runs on a bare python3.

A line of JSON a command, ``{"command", "timeout_s"}``, and one an answer, ``{"code", "out"}``; one at a time. Whatever
the guest's clock does, the port goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import time

PORT = "/dev/virtio-ports/agent"
MOST = 1 << 20
"""Bytes of an answer; of a longer one, the last."""
PAUSE_S = 0.05


def main() -> None:
    """Serve for ever; an end of file only says that nobody is at the other end yet."""
    port = os.open(PORT, os.O_RDWR)
    waiting = b""
    while True:
        taken = os.read(port, 65536)
        if not taken:
            time.sleep(PAUSE_S)
            continue
        waiting += taken
        while b"\n" in waiting:
            line, _, waiting = waiting.partition(b"\n")
            answer = json.dumps(run(json.loads(line))).encode() + b"\n"
            while answer:
                answer = answer[os.write(port, answer) :]


def run(asked: dict[str, object]) -> dict[str, object]:
    """One command, both outputs together."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", str(asked["command"])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, cwd="/root",
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=float(str(asked["timeout_s"])))
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        return {"code": 124, "out": f"not done within {asked['timeout_s']} s\n" + out.decode(errors="replace")}
    return {"code": process.returncode, "out": out[-MOST:].decode(errors="replace")}


if __name__ == "__main__":
    main()
