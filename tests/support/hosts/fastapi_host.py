"""A FastAPI application with Athanor mounted, that also listens to its runs itself."""

from __future__ import annotations

from fastapi import FastAPI

import athanor
from athanor.protocol.events import RunCompleted, RunLog, RunLogs

app = FastAPI(lifespan=athanor.lifespan)
app.mount("/athanor", athanor.app)

unstarted = FastAPI()
unstarted.mount("/athanor", athanor.app)


@app.get("/own")
async def own() -> dict[str, str]:
    return {"host": "fastapi"}


@app.get("/heard/{run_id}")
async def heard(run_id: str) -> dict[str, object]:
    """Follows a run to its end, in the host's own code."""
    messages: list[str] = []
    async with athanor.subscribe_to_run(run_id, after="0") as events:
        async for event in events:
            match event:
                case RunLog(log=log):
                    messages.append(log.message)
                case RunLogs(logs=logs):
                    messages += [log.message for log in logs]
                case RunCompleted(run=run):
                    return {"messages": messages, "status": run.status}
    return {"messages": messages, "status": None}
