"""Asks with MLflow's own scoring client; runs in the tests' environment, which has MLflow.

Reads a request on stdin, ``{"host", "port", "rows"}``, and prints what it was answered. The client knows no header: a
host ``any:KEY@127.0.0.1`` carries the key.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient


def main() -> None:
    """Ask every case and print the answers as one JSON object."""
    request = json.load(sys.stdin)
    client = ScoringServerClient(request["host"], request["port"])
    client.wait_server_ready(timeout=20)
    frame = pd.DataFrame(request["rows"])
    answers: dict[str, Any] = {"version": client.get_version()}
    answers["frame"] = client.invoke(frame, params={"anything": 1}).get_predictions().to_dict("list")
    answers["frame_nulls"] = client.invoke(frame.assign(c01=np.nan)).get_predictions().to_dict("list")
    answers["array"] = client.invoke(frame.to_numpy()).get_predictions("ndarray").tolist()
    try:
        client.invoke(frame.drop(columns="c00"))
    except Exception as exc:  # noqa: BLE001  (the client raises no narrower one)
        answers["refused"] = str(exc)
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
