"""A declaration worked out from a dataset, in a process of its own: it loads LightGBM, which would stay for good."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from appliance.errors import NotReady
from appliance.models import Models, Proposal
from appliance.settings import Settings


def propose_apart(settings: Settings, dataset: str, target: str, *, name: str) -> Proposal:
    """``Models.propose``, 60 MB lighter for the dashboard; takes the seconds that the imports take.

    Raises:
        NotFound: No such dataset.
        BadTable: The target is missing or cannot be learned.
        NotReady: The process ended before it had answered.
    """
    apart = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=apart) as pool:
        try:
            return pool.submit(_propose, settings, dataset, target, name).result()
        except BrokenProcessPool as exc:
            raise NotReady("the process that looked at the columns was ended; is there memory left? Try again") from exc


def _propose(settings: Settings, dataset: str, target: str, name: str) -> Proposal:
    return Models(settings).propose(dataset, target, name=name)
