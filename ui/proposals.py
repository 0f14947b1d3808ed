"""A declaration worked out from a dataset, in a process of its own: it loads LightGBM, which would stay for good.

``python -m ui.proposals`` is that process: an order on its standard input, an answer on its standard output.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec

from appliance import errors
from appliance.errors import ApplianceError, NotReady
from appliance.models import Models, Proposal
from appliance.settings import Settings
from storage.errors import StorageError
from ui.texts import _

TIMEOUT_S = 300


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    settings: dict[str, object]
    dataset: str
    target: str
    name: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    proposal: Proposal | None = None
    error: str = ""
    message: str = ""


def propose_apart(settings: Settings, dataset: str, target: str, *, name: str) -> Proposal:
    """``Models.propose``, 60 MB lighter for the dashboard; takes the seconds that the imports take.

    Raises:
        NotFound: No such dataset.
        BadTable: The target is missing or cannot be learned.
        NotReady: The process ended before it had answered.
    """
    order = _Order(settings=settings.model_dump(mode="json"), dataset=dataset, target=target, name=name)
    command = [sys.executable, "-P", "-m", "ui.proposals"]
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(order), capture_output=True, timeout=TIMEOUT_S, check=True
        )
        answer = msgspec.json.decode(done.stdout, type=_Answer)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as exc:
        said = _("the process that looks at the columns did not answer ({error}); try again")
        raise NotReady(said.format(error=exc)) from exc
    if answer.proposal is None:
        raise getattr(errors, answer.error, ApplianceError)(answer.message)
    return answer.proposal


def main() -> None:
    """Answer one order; an error of the appliance is an answer, too."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    try:
        models = Models(Settings.model_validate(order.settings))
        answer = _Answer(proposal=models.propose(order.dataset, order.target, name=order.name))
    except (ApplianceError, StorageError) as exc:
        answer = _Answer(error=type(exc).__name__, message=str(exc))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
