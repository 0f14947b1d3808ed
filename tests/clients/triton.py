"""Asks as a user of Triton's own client does; runs in the clients' environment.

Reads a request on stdin, ``{"address", "key", "model", "version", "numbers", "columns"}``, and prints what it was
answered, case by case. ``numbers`` are rows of the model ``numbers`` in model order; ``columns`` are the named inputs
of ``model``, each with its datatype and values.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype


def main() -> None:
    """Ask every case and print the answers as one JSON object."""
    request = json.load(sys.stdin)
    client = triton.InferenceServerClient(request["address"])
    headers = {"Authorization": f"Bearer {request['key']}"}
    answers: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(request["model"], request["version"]),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata(request["model"], headers=headers),
        "index": client.get_model_repository_index(headers=headers),
    }
    for name, binary in (("json", False), ("binary", True)):
        tensor = infer_tensor(client, request, headers, binary=binary)
        answers[f"tensor_{name}"] = tensor.as_numpy("probabilities").tolist()
        columns = infer_columns(client, request, headers, binary=binary)
        answers[f"columns_{name}"] = columns.as_numpy("probabilities").tolist()
        answers[f"labels_{name}"] = [
            label.decode() if isinstance(label, bytes) else label for label in columns.as_numpy("prediction").tolist()
        ]
        answers[f"id_{name}"] = columns.get_response()["id"]
    answers["no_key"] = refusal(lambda: infer_tensor(client, request, {}, binary=False))
    answers["no_model"] = refusal(lambda: client.get_model_metadata("nope", headers=headers))
    answers["no_version"] = refusal(lambda: client.get_model_metadata(request["model"], "99", headers=headers))
    wrong = {**request, "numbers": [[1.0]]}
    answers["wrong_shape"] = refusal(lambda: infer_tensor(client, wrong, headers, binary=True))
    client.close()
    json.dump(answers, sys.stdout)


def infer_tensor(client: Any, request: dict[str, Any], headers: dict[str, str], *, binary: bool) -> Any:
    """One tensor in model order."""
    matrix = np.array(request["numbers"], dtype=np.float64)
    tensor = triton.InferInput("x", list(matrix.shape), "FP64")
    tensor.set_data_from_numpy(matrix, binary_data=binary)
    outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary)]
    return client.infer("numbers", [tensor], outputs=outputs, headers=headers)


def infer_columns(client: Any, request: dict[str, Any], headers: dict[str, str], *, binary: bool) -> Any:
    """One input a column, and every output."""
    inputs = []
    for name, column in request["columns"].items():
        kind = column["datatype"]
        values = np.array(column["values"], dtype=np.object_ if kind == "BYTES" else triton_to_np_dtype(kind))
        tensor = triton.InferInput(name, list(values.shape), kind)
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    outputs = None
    if not binary:
        outputs = [triton.InferRequestedOutput(name, binary_data=False) for name in ("prediction", "probabilities")]
    return client.infer(
        request["model"], inputs, model_version=request["version"], request_id="mine", outputs=outputs,
        headers=headers,
    )  # fmt: skip


def refusal(ask: Callable[[], Any]) -> list[str]:
    """The status and the message that the client makes of a refusal."""
    try:
        ask()
    except InferenceServerException as exc:
        return [str(exc.status()), str(exc.message())]
    return []


if __name__ == "__main__":
    main()
