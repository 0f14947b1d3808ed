"""What an earlier version made of the data, to which a later one holds where the declaration says nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from appliance.model_card import Warn
from appliance.schema import Task

KEPT_OUT = {"row_number": "a row number", "constant": "a constant", "id_like": "an id"}
"""Codes of the warnings about columns that stay out, and what each was taken for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """A version's decisions.

    Attributes:
        target: The column it predicts.
        classes: As in ``FeatureSchema.classes``.
        left_out: Columns that stay out, by the code of the warning that said so: what is sent to the version does not
            have them, so that rows which come from there have them empty, and no longer look as they did.
        inputs: The columns that exactly are the inputs, for a version that is trained again; None: as today's rules and
            ``left_out`` say.
        trials: How many its search tried, for a version that is trained again; None: as its declaration says.
    """

    version: int
    target: str
    task: Task
    classes: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] | None = None
    trials: int | None = None

    def why_left_out(self, column: str) -> Warn | None:
        """The warning about a column that is no input by precedent; None where it has nothing against it."""
        if self.inputs is not None:
            if column in self.inputs:
                return None
            return Warn(column=column, code="as_before", message=f"{column!r} was no input of version {self.version}")
        code = self.left_out.get(column)
        if code is None:
            return None
        message = (
            f"{column!r} was left out of version {self.version} as {KEPT_OUT[code]} and stays out, since the requests "
            "that are answered now do not have it; declare it under [columns] to use it"
        )
        return Warn(column=column, code=code, message=message)


def left_out_by(warnings: Iterable[Warn]) -> dict[str, str]:
    """The columns among a card's warnings that stay out of later versions, with the warnings' codes."""
    return {one.column: one.code for one in warnings if one.column is not None and one.code in KEPT_OUT}
