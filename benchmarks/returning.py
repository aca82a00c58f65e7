"""5,000 clients that come back at once, each with 1,000 lines to be read again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial

from tests.support.service import metric, new_run

from .harness import Figures, cpu_seconds, service_alone
from .load import Load
from .measurement import Measurement, Party, Scale, Target
from .replay import fill
from .servers import stream

LINES = 1000
SECONDS, PAGES = "seconds until all are served", "pages read"


def come_back(clients: int) -> Figures:
    with service_alone() as service:
        run = new_run(service.client())
        fill(service, run, LINES)
        pages = metric(service, "athanor_replay_pages_total")
        # a loaded service can't be asked: the cursor is the beginning
        request = stream(f"/events/experiments:run:{run}?last_event_id=0")
        with Load(service.port, clients, [request], "") as load:
            cpu, began = cpu_seconds(service), time.perf_counter()
            load.open()
            load.begin(clients * LINES)
            received = load.end()
            seconds, cpu = time.perf_counter() - began, cpu_seconds(service) - cpu
        pages = metric(service, "athanor_replay_pages_total") - pages
    return {
        SECONDS: seconds,
        PAGES: pages,
        "CPU seconds": cpu,
        "MB received": received / 1e6,
    }


@contextlib.contextmanager
def parties(scale: Scale) -> Iterator[dict[str, Party]]:
    yield {"Athanor": partial(come_back, scale.of(5000, 500))}


MEASUREMENT = Measurement(
    name="returning",
    title="5,000 clients come back at once over 1,000 lines",
    text=(
        "From the first connection until every client has all lines. The readers are one process on "
        "the other core."
    ),
    parties=parties,
    targets=[
        Target("seconds until 5,000 are served", lambda turn: turn["Athanor"][SECONDS], most=1.2),
        Target("pages read for 5,000", lambda turn: turn["Athanor"][PAGES], most=20),
    ],
    plotted=[SECONDS],
)
