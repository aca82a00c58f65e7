"""Metrics logged per second by another tracker, in an environment of its own: `trackers.py NAME COUNT`.

Prints a JSON object. A metric is a number with a name; neither tracker has log lines.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

BATCH = 1000
"""The most metrics that MLflow takes in one call."""


def mlflow(count: int, folder: Path) -> dict[str, float]:
    """`log_batch` into MLflow's own SQLite store, in this process."""
    tracking = import_module("mlflow.tracking")
    metric = import_module("mlflow.entities").Metric
    client = tracking.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run = client.create_run(client.create_experiment("benchmark")).info.run_id
    batches = [[metric("loss", 0.5 + n, n, n) for n in range(BATCH)] for _ in range(count // BATCH)]
    for number, batch in enumerate(batches):
        for entry in batch:
            entry._step += number * BATCH  # noqa: SLF001
    client.log_batch(run, batches[0][:1])
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        client.log_batch(run, batch)
    return _figures(count, began, cpu)


def trackio(count: int, folder: Path) -> dict[str, float]:
    """`log` of one metric each, until all of them are in Trackio's database."""
    os.environ |= {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
    tracker = import_module("trackio")
    tracker.init(project="benchmark", name="run", embed=False)
    began, cpu = time.perf_counter(), time.process_time()
    for n in range(count):
        tracker.log({"loss": 0.5 + n})
    tracker.finish()
    figures = _figures(count, began, cpu)
    database = folder / "benchmark.db"
    with sqlite3.connect(database) as connection:
        (stored,) = connection.execute("SELECT count(*) FROM metrics").fetchone()
    if stored != count:
        raise RuntimeError(f"{stored} of {count} metrics were stored")
    return figures


def _figures(count: int, began: float, cpu: float) -> dict[str, float]:
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    return {"lines per second": count / seconds, "lines per CPU second": count / spent}


def main() -> None:
    signal.alarm(300)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        measured = {"mlflow": mlflow, "trackio": trackio}[sys.argv[1]]
        figures = measured(int(sys.argv[2]), Path(folder))
        # neither's threads are waited for
        print(json.dumps(figures), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
