"""A flusher that ends by an error says so in the log, and the service is not ready."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from athanor import Athanor, Settings
from athanor.exceptions import NotStarted
from athanor.live.hub import Hub
from athanor.protocol.entries import LogInput


@pytest.mark.anyio
async def test_a_flusher_that_ends_by_an_error_says_so_and_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Athanor(Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}"))
    await engine.start()
    await engine.create_instance("first", id="first")
    await engine.create_run("first", id="run")
    await engine.start_run("run")
    monkeypatch.setattr(Hub, "broadcast", lambda *_: 1 / 0)
    said: list[logging.LogRecord] = []
    monkeypatch.setattr(logging.getLogger("athanor"), "handle", said.append)
    # it is committed, though nobody is shown it
    assert (await engine.append("run", [LogInput(message="x")])).accepted == 1
    with pytest.raises(NotStarted):
        await engine.append("run", [LogInput(message="y")])
    # the callback of a task that has ended runs in the next step of the loop
    await asyncio.sleep(0)
    assert "the flusher has ended" in said[0].getMessage()
    assert said[0].exc_info is not None
    assert said[0].exc_info[0] is ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        await engine.stop()
