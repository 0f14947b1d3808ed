"""Runs inside the guest: predicts and labels without pause, and tells outside what was acknowledged; bare python3.

``caller.py`` asks until it is ended. To the port "acknowledged" goes a line for each answer, ``prediction ID`` or
``label ID``, after the answer is here: what a caller was told must be there after a power cut. Failures go there, too,
``failed WHAT``; it asks on.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from pathlib import Path

PORT = "/dev/virtio-ports/acknowledged"
API = 8100
MODEL = "penguins"


def main() -> None:
    """Ask for ever."""
    key = Path("/root/key").read_text().strip()
    body = Path("/root/body.json").read_bytes()
    port = os.open(PORT, os.O_WRONLY)
    connection = http.client.HTTPConnection("127.0.0.1", API, timeout=120)

    def ask(what: str, content: bytes) -> tuple[int, bytes]:
        connection.request("POST", f"/models/{MODEL}/{what}", content, {"X-API-Key": key})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def tell(line: str) -> None:
        os.write(port, f"{line}\n".encode())

    while True:
        try:
            status, content = ask("predict", body)
            if status != 200:
                tell(f"failed predict {status} {content[:200]!r}")
                continue
            prediction = json.loads(content)["predictions"][0]["id"]
            tell(f"prediction {prediction}")
            label = json.dumps({"labels": [{"id": prediction, "label": "Gentoo"}]}).encode()
            status, content = ask("labels", label)
            if status == 202 and json.loads(content)["accepted"] == 1:
                tell(f"label {prediction}")
            else:
                tell(f"failed label {status} {content[:200]!r}")
        except (OSError, http.client.HTTPException) as exc:
            connection.close()  # the next request opens it again
            tell(f"failed {exc!r}")
            time.sleep(0.1)


if __name__ == "__main__":
    main()
