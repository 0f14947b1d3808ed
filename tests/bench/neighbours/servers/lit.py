"""A LitServe server with one worker: ``python lit.py MODEL PORT``; it reads annotations as types, not as text."""

import sys
from importlib import import_module
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

litserve: Any = import_module("litserve")


class Model(litserve.LitAPI):  # type: ignore[misc]  # it has no types here
    """One model."""

    def setup(self, device: str) -> None:  # noqa: ARG002  (the signature is LitServe's)
        """Load it."""
        self.booster = lightgbm.Booster(model_file=sys.argv[1])

    def decode_request(self, request: dict[str, Any]) -> NDArray[np.float64]:
        """Rows as a matrix."""
        return np.array(request["rows"], dtype=np.float64)

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score."""
        return np.asarray(self.booster.predict(x, num_threads=1))

    def encode_response(self, output: NDArray[np.float64]) -> dict[str, list[float]]:
        """Answer."""
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[2]), num_api_servers=1, log_level="error", generate_client_file=False)
