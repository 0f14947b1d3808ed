"""The trials of a search as MLflow's runs while it goes on; written beside the search, which does not wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from appliance.errors import ApplianceError
from appliance.model_card import Trial

if TYPE_CHECKING:
    from appliance.registry.registry import Registry


class TrialRuns:
    """One search's; a context in which the training's run is open from the first trial on.

    An error that leaves the context ends that run as FAILED, an interrupt as KILLED; of a process that is killed the
    runner says it (``appliance.registry.left_runs``).
    """

    def __init__(
        self,
        side: ThreadPoolExecutor,
        registry: Future[Registry],
        *,
        model: str,
        run_name: str,
        tags: Mapping[str, str],
    ) -> None:
        """No run yet.

        Args:
            side: One thread, that writes in order.
            registry: Its earlier work.
            model: Whose experiment.
            run_name: Of the training's run; a trial's says its number, too.
            tags: Of all these runs.
        """
        self._side = side
        self._registry = registry
        self._model, self._run_name, self._tags = model, run_name, dict(tags)
        self._parent: Future[str] | None = None
        self._written: list[Future[None]] = []

    def add(self, trial: Trial) -> None:
        """A trial ended."""
        if self._parent is None:
            self._parent = self._side.submit(self._begin)
        self._written.append(self._side.submit(self._add, self._parent, trial))

    def finish(self) -> str | None:
        """The training's run, once all trials are in it; None without a trial.

        Raises:
            RegistryFailed: MLflow's store cannot be written.
        """
        for written in self._written:
            written.result()
        return None if self._parent is None else self._parent.result()

    def release(self) -> None:
        """The training's run has a version: what happens from now on does not end it otherwise."""
        self._parent = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the training's run if the training failed."""
        if kind is None or self._parent is None:
            return
        status = "FAILED" if issubclass(kind, Exception) else "KILLED"
        with suppress(ApplianceError):  # what ended the training is what counts
            self._registry.result().end(self.finish() or "", status)

    def _begin(self) -> str:
        return self._registry.result().begin(self._model, self._run_name, self._tags)

    def _add(self, parent: Future[str], trial: Trial) -> None:
        from appliance.registry.registry import TrialRun  # noqa: PLC0415  (loaded already, in this thread)

        self._registry.result().add_trial(
            self._model,
            TrialRun(
                name=f"{self._run_name}, trial {trial.number}", parent=parent.result(), tags=self._tags,
                params={name: str(value) for name, value in trial.params.items()},
                value=trial.value, rounds=trial.rounds, seconds=trial.seconds,
            ),
        )  # fmt: skip
