"""Asks with MLServer's own codecs and inference types; runs in the clients' environment.

Reads a request on stdin, ``{"address", "key", "model", "numbers", "rows"}``, and prints the decoded answers. ``rows``
are those of ``model`` by column name, ``numbers`` those of the model ``numbers`` in model order.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

import numpy as np
import pandas as pd
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse, RepositoryIndexResponse


def main() -> None:
    """Ask every case and print the answers as one JSON object."""
    request = json.load(sys.stdin)
    frame = pd.DataFrame(request["rows"])
    answers: dict[str, Any] = {}
    for name, use_bytes in (("pandas", False), ("pandas_bytes", True)):
        answers[name] = decode(infer(request, request["model"], PandasCodec.encode_request(frame, use_bytes=use_bytes)))
    matrix = np.array(request["numbers"], dtype=np.float64)
    answers["numpy"] = decode(infer(request, "numbers", NumpyRequestCodec.encode_request(matrix)))
    metadata = MetadataModelResponse.model_validate_json(ask(request, f"models/{request['model']}"))
    answers["inputs"] = [tensor.name for tensor in metadata.inputs or []]
    index = RepositoryIndexResponse.model_validate_json(ask(request, "repository/index", b"{}"))
    answers["index"] = [[item.name, item.version, item.state] for item in index]
    json.dump(answers, sys.stdout)


def infer(request: dict[str, Any], model: str, body: InferenceRequest) -> InferenceResponse:
    """What the model answers."""
    content = ask(request, f"models/{model}/infer", body.model_dump_json(exclude_none=True).encode())
    return InferenceResponse.model_validate_json(content)


def ask(request: dict[str, Any], path: str, body: bytes | None = None) -> bytes:
    """The body of an answer."""
    call = urllib.request.Request(
        f"http://{request['address']}/v2/{path}", body,
        {"Authorization": f"Bearer {request['key']}", "Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(call, timeout=30) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content


def decode(response: InferenceResponse) -> dict[str, Any]:
    """The outputs as the codecs read them."""
    outputs = {output.name: output for output in response.outputs}
    return {
        "labels": StringCodec.decode_output(outputs["prediction"]),
        "probabilities": NumpyCodec.decode_output(outputs["probabilities"]).tolist(),
    }


if __name__ == "__main__":
    main()
