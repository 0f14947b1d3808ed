"""Values as TOML writes them, for the files and forms that people change by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence


def toml_value(value: object) -> str:
    """A text, number, boolean, or a list of them as ``tomllib`` reads it; a text serves as a key, too.

    JSON's are TOML's but for figures that are not finite, letters beyond 16 bits, and the delete key.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
