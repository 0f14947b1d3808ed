"""The core that every dialect calls: who answers, how many rows it may be, the score, the event.

A dialect reads a body and writes one; in between it asks a `Predictor`, so that a canary, a shadow, the limits and the
event log hold for all of them alike.
"""

from __future__ import annotations

from appliance.api.inference.errors import BadField, TooManyRows
from appliance.api.inference.exchange import Answer, Call
from appliance.encoder import EncodedRows
from appliance.errors import NotFound
from appliance.serving.loaded_model import LoadedModel
from appliance.serving.router import DIRECT, Choice, Router
from appliance.serving.scoring import Asked, Scored, Scorer, event_of
from appliance.serving.shadow import Order

_MAX_DIGITS = 9


class Predictor:
    """Answers predictions for one process; safe in any thread.

    Attributes:
        router: Which versions serve.
        scorer: Scores and signs.
    """

    def __init__(self, router: Router, scorer: Scorer, *, max_rows: int, default_model: str = "") -> None:
        """Take the parts.

        Args:
            router: Which versions serve.
            scorer: Scores and signs.
            max_rows: Rows that one request may have.
            default_model: Who answers where a path names no model; empty: the only deployed one.
        """
        self.router = router
        self.scorer = scorer
        self._max_rows = max_rows
        self._default_model = default_model

    def find(self, call: Call) -> LoadedModel:
        """The version that a path addresses, or the champion of its model; a refusal is counted for it from here on.

        Raises:
            NotFound: No such model is deployed, or that version of it is not.
            NotReady: The model is deployed, but none of its versions could be loaded.
        """
        name, wanted = call.params["model"], call.params.get("version")
        if wanted is not None and not (wanted.isascii() and wanted.isdigit() and len(wanted) <= _MAX_DIGITS):
            raise NotFound(f"model {name!r} has no version {wanted[:40]!r}; versions are whole numbers")
        model = self.router.find(name, None if wanted is None else int(wanted))
        call.subject = (model.name, model.version)
        return model

    def choose(self, call: Call, key: str | None) -> Choice:
        """Who answers: the version that the path addresses, else the champion or the canary.

        Args:
            call: Its path names the model.
            key: Who or what the request is about; a canary is sticky by it.

        Raises:
            NotFound: No such model is deployed, or that version of it is not.
            NotReady: The model is deployed, but it could not be loaded.
        """
        if "version" in call.params:
            return Choice(model=self.find(call), role=DIRECT)
        return self.choose_of(call, call.params["model"], key)

    def choose_of(self, call: Call, name: str, key: str | None) -> Choice:
        """Who answers for a model that something else than the path's version named; see ``choose``."""
        choice = self.router.choose(name, key)
        call.subject = (choice.model.name, choice.model.version)
        return choice

    def name_of(self, named: str) -> str:
        """The model that is meant where a path names none: the one named, else the default, else the only one.

        Raises:
            NotFound: Nothing is deployed.
            BadField: Several are, and none was named.
        """
        if found := named or self._default_model:
            return found
        deployed = list(self.router.current.routes)
        if not deployed:
            raise NotFound("no model is deployed yet; deploy one with 'appliance deploy NAME'")
        if len(deployed) > 1:
            raise BadField(
                field="X-Amzn-SageMaker-Target-Model", found=f"no header, and {len(deployed)} models are deployed",
                accepted=f"this header with one of {', '.join(deployed)}, or the setting default_model",
            )  # fmt: skip
        return deployed[0]

    def require_rows(self, rows: int) -> None:
        """Refuse a request by its rows; a dialect asks before it encodes them.

        Raises:
            TooManyRows: More than ``max_rows``.
        """
        if rows > self._max_rows:
            raise TooManyRows(
                f"the request has {rows} rows; accepted: at most {self._max_rows} (setting max_rows); send several"
            )

    def score(self, call: Call, model: LoadedModel, encoded: EncodedRows, *, explain: int = 0) -> Scored:
        """Score encoded rows; one row goes through the single-row call, with the same bits.

        Args:
            call: When it arrived signs the predictions' ids.
            model: Who answers.
            encoded: At least one row.
            explain: How many of the largest contributions to give with each row.
        """
        if len(encoded.matrix) == 1 and not explain:
            return self.scorer.score_one(
                model, encoded.matrix[0].tolist(), at_us=call.at_us, unseen=encoded.unseen,
                odd=encoded.flags.get(0, []), groups=encoded.groups,
            )  # fmt: skip
        return self.scorer.score(model, encoded, at_us=call.at_us, explain=explain)


def conclude(answer: Answer, scored: Scored, choice: Choice, asked: Asked) -> Answer:
    """Put into an answer whose body is written what is to be recorded, counted, and scored again by a shadow."""
    answer.prediction, answer.us = event_of(scored, asked)
    answer.rows = scored.rows
    answer.unseen = len(scored.unseen)
    if choice.shadow is not None:
        answer.shadow = Order(shadow=choice.shadow, scored=scored, asked=asked)
    return answer


def asked_of(call: Call, choice: Choice, dialect: str, key: str | None) -> Asked:
    """What a caller said beside the rows, in a dialect whose requests have no time of their own."""
    return Asked(
        started_ns=call.started_ns, at_us=call.at_us, event_us=call.at_us, dialect=dialect, key=key, role=choice.role
    )
