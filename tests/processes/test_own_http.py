"""Our own processes are asked past the proxies of the environment, whoever asks them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASKING = {"get", "post", "put", "delete", "request", "stream", "Client", "AsyncClient"}
OTHER_HOSTS = {"storage/download.py", "appliance/monitoring/transports.py"}
"""What fetches from, or sends to, somebody else, through a proxy where there is one."""


def test_nothing_that_asks_ourselves_goes_by_the_environments_proxies() -> None:
    trusting, asking = [], 0
    for folder in ("appliance", "flows", "storage", "ui"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            for one in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(one, ast.Call) or not isinstance(one.func, ast.Attribute):
                    continue
                called = ast.unparse(one.func)
                if called == "urllib.request.urlopen":
                    trusting.append(f"{name}:{one.lineno} {called}")
                elif called.startswith("httpx.") and one.func.attr in ASKING and name not in OTHER_HOSTS:
                    asking += 1
                    if not any(word.arg == "trust_env" for word in one.keywords):
                        trusting.append(f"{name}:{one.lineno} {called}")
    assert trusting == []
    assert asking > 5
