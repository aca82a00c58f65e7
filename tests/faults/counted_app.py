"""`app.py` that writes the number of its asyncio tasks to `tasks` on SIGUSR1."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from athanor import create_app, serve


def write_count(*_: object) -> None:
    later = Path("later")
    later.write_text(str(len(asyncio.all_tasks(asyncio.get_running_loop()))))
    later.replace("tasks")


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, write_count)
    serve(create_app())
