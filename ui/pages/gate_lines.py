"""The gates that a version came to: one line each, green or red, with the reason."""

from __future__ import annotations

from appliance.model_card import Gate, GateCheck
from ui.components.markup import box, text
from ui.components.status import badge
from ui.words import plain


def show_gates(gate: Gate) -> None:
    """A line a gate; where none were kept one by one, a line a reason, all with what came of the whole."""
    checks = gate.checks or tuple(GateCheck(passed=gate.passed, reason=reason) for reason in gate.reasons)
    with box("gates", "ul"):
        for check in checks:
            with box("line", "li"):
                badge("passed" if check.passed else "not_passed" if check.binding else "beware")
                text(plain(check.reason), "grow", "span")
