"""One line of ``appliance doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one look found; ``fix`` is empty when nothing has to be done.

    Attributes:
        code: Under which the installer's pre-flight looks at the same (``./install.sh --codes``); empty where it does
            not.
    """

    name: str
    state: Literal["ok", "warn", "fail"]
    message: str
    fix: str = ""
    code: str = ""
