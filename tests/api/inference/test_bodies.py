from __future__ import annotations

import asyncio
from typing import Any

import pytest

from appliance.api.inference.bodies import BodyReader
from appliance.api.inference.errors import BodyTooSlow


def test_a_body_that_does_not_arrive_is_refused_and_the_task_goes_on() -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    async def scenario() -> str:
        reader = BodyReader(100, timeout_s=0.0)

        async def serve() -> str:
            try:
                await reader.read({}, never)
            except BodyTooSlow as exc:
                await asyncio.sleep(0)  # an answer can still be sent: the task is not cancelled any more
                return str(exc)
            return "read"

        task = asyncio.create_task(serve())
        await asyncio.sleep(0.01)
        reader.end_overdue()
        reader.end_overdue()
        return await task

    assert "did not arrive" in asyncio.run(scenario())


def test_a_server_that_ends_is_not_taken_for_a_slow_caller() -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    async def scenario() -> None:
        task = asyncio.create_task(BodyReader(100, timeout_s=30).read({}, never))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scenario())
