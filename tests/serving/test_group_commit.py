from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from appliance.serving.group_commit import GroupCommit
from storage.errors import EventLogUnwritable
from storage.eventlog import EventWriter


def ignore(_: EventLogUnwritable) -> None:
    pass


def test_whoever_waits_meanwhile_shares_one_flush_that_began_after_its_write(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, durable=True)
    began, go = threading.Semaphore(0), threading.Semaphore(0)
    sizes: list[int] = []

    def sync(fd: int) -> None:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            sizes.append(os.fstat(fd).st_size)
            began.release()
            go.acquire()
        os.fsync(fd)

    async def scene() -> None:
        commit = GroupCommit(writer.take_unsynced, ignore, sync=sync)
        writer.append(b"1")
        first = commit.wait()
        await asyncio.to_thread(began.acquire)
        late = []
        for _ in range(9):
            writer.append(b"2")
            late.append(commit.wait())
        assert not first.done()
        go.release()
        await first
        await asyncio.to_thread(began.acquire)
        assert not any(future.done() for future in late)
        go.release()
        await asyncio.gather(*late)
        assert commit.syncs == 2
        commit.close()

    asyncio.run(scene())
    assert sizes == [2, 20]
    writer.close()


def test_a_flush_that_fails_is_told_to_all_who_waited_and_the_next_one_is_tried(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, durable=True)
    broken = True
    told: list[str] = []

    def sync(fd: int) -> None:
        if broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(fd)

    async def scene() -> None:
        nonlocal broken
        commit = GroupCommit(writer.take_unsynced, lambda exc: told.append(str(exc)), sync=sync)
        writer.append(b"1")
        for each in await asyncio.gather(commit.wait(), commit.wait(), return_exceptions=True):
            assert isinstance(each, EventLogUnwritable)
        broken = False
        writer.append(b"2")
        await commit.wait()
        commit.close()

    asyncio.run(scene())
    assert told == ["cannot flush the event log to the disk: Input/output error"]
    writer.close()


def test_a_segment_that_was_left_meanwhile_is_flushed_too(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, durable=True, max_segment_bytes=8)
    writer.append(b"12345")
    writer.append(b"67890")
    taken = writer.take_unsynced()
    files = {str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in taken}
    for fd in taken:
        os.close(fd)
    assert files == {str(path) for path in (tmp_path, tmp_path.parent, *tmp_path.iterdir())}
    assert writer.take_unsynced() == []
    writer.close()


@pytest.mark.parametrize("durable", [False, True])
def test_a_writer_that_nobody_flushes_for_keeps_no_descriptor(tmp_path: Path, durable: bool) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    writer = EventWriter(tmp_path, durable=durable)
    writer.append(b"1")
    for fd in writer.take_unsynced():
        os.close(fd)
    writer.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
