"""A real experiment: learn to read handwritten digits, and report it over plain HTTP.

Run the service (`python app.py`), then this. It needs scikit-learn for the learning, and for the
reporting nothing but Python's own library. `ATHANOR_URL` says where the service is.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
import traceback
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

URL = os.environ.get("ATHANOR_URL", "http://127.0.0.1:8000").rstrip("/")


class Cancelled(Exception):
    """Somebody asked this run to end: over the service, or by Ctrl-C."""


def on_ctrl_c(*_: Any) -> None:
    raise Cancelled  # scikit-learn would take a KeyboardInterrupt for itself


def call(method: str, path: str, body: bytes = b"") -> Any:
    request = Request(f"{URL}{path}", body, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


class Reporter:
    """Gathers a run's events and sends them together, in order, a few times a second."""

    def __init__(self, run_id: str) -> None:
        self.path = f"/runs/{run_id}/events"
        self.waiting: list[dict[str, Any]] = []
        self.sent_at = 0.0

    def add(self, type_: str, **fields: Any) -> None:
        self.waiting.append({"type": type_, **fields})
        if time.monotonic() - self.sent_at > 0.1:
            self.send()

    def send(self) -> None:
        if self.waiting:
            body = "\n".join(map(json.dumps, self.waiting))
            self.waiting = []
            self.sent_at = time.monotonic()
            if call("POST", self.path, body.encode())["cancel_requested"]:
                raise Cancelled

    def log(self, message: str, level: str = "info") -> None:
        self.add("run_log", message=message, level=level)


def train(report: Reporter, epochs: int, hidden: int) -> None:
    images, digits = load_digits(return_X_y=True)
    data = train_test_split(images / 16, digits, test_size=0.3, random_state=1)
    x_train, x_test, y_train, y_test = data
    report.log(f"{len(x_train)} images to learn from, {len(x_test)} to be tested on")
    model = MLPClassifier((hidden, hidden), learning_rate_init=3e-4, random_state=1)
    order = np.random.default_rng(1)
    for epoch in range(1, epochs + 1):
        shuffled = order.permutation(len(x_train))
        for number, batch in enumerate(np.array_split(shuffled, 80), 1):
            model.partial_fit(x_train[batch], y_train[batch], classes=range(10))
            if number % 20 == 0:
                report.log(f"epoch {epoch} batch {number}: loss {model.loss_:.4f}", "debug")
        loss = log_loss(y_test, model.predict_proba(x_test))
        accuracy = float(model.score(x_test, y_test))
        report.add("run_result", key="loss", value=loss, step=epoch)
        report.add("run_result", key="accuracy", value=accuracy, step=epoch)
        report.add("run_progress", current=epoch, total=epochs, message=f"accuracy {accuracy:.3f}")
        report.log(f"epoch {epoch}: test loss {loss:.4f}, accuracy {accuracy:.4f}")
    for wrong in np.flatnonzero(model.predict(x_test) != y_test)[:10]:
        guess = int(model.predict(x_test[wrong : wrong + 1])[0])
        report.log(f"image {wrong} is a {y_test[wrong]}, and was read as a {guess}", "warn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--hidden", type=int, default=256, help="neurons in each of two layers")
    settings = vars(parser.parse_args())
    instance = {"name": "Handwritten digits", "experiment_module": __file__, "configuration": settings}
    call("PUT", "/instances/digits", json.dumps(instance).encode())
    run = call("POST", "/instances/digits/runs")["id"]
    call("POST", f"/runs/{run}/start")
    print(f"run {run}: {URL}/#/runs/{run}", flush=True)
    report = Reporter(run)
    signal.signal(signal.SIGINT, on_ctrl_c)
    try:
        train(report, **settings)
        report.send()
    except Cancelled:
        call("POST", f"/runs/{run}/cancelled")
    except Exception:
        call("POST", f"/runs/{run}/fail", json.dumps({"error": traceback.format_exc()}).encode())
        raise
    else:
        call("POST", f"/runs/{run}/complete")


if __name__ == "__main__":
    main()
