"""The callbacks, in real trainings with the real frameworks and the real service."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ..support.follower import wait_until
from ..support.scripts import Scripts, status
from ..support.service import Service

Need = Callable[[bool, str], None]

TRANSFORMERS = """
import sys, torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments
import athanor
from athanor.integrations.transformers import AthanorCallback

class Points(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, at):
        x = torch.tensor([at / 64])
        return {"x": x, "labels": 3 * x}

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
    def forward(self, x, labels):
        WORK
        y = self.line(x)
        return {"loss": ((y - labels) ** 2).mean(), "logits": y}

def train(callback, epochs):
    args = TrainingArguments(
        "out", num_train_epochs=epochs, per_device_train_batch_size=16, logging_steps=2,
        hub_token="secret-1", learning_rate=0.1, report_to=[], save_strategy="no", eval_strategy="epoch",
        disable_tqdm=True, dataloader_pin_memory=False,
    )
    Trainer(Line(), args, train_dataset=Points(), eval_dataset=Points(), callbacks=[callback]).train()
"""

LIGHTNING = """
import logging, sys, torch, warnings
from lightning.pytorch import LightningModule, Trainer
import athanor
from athanor.integrations.lightning import AthanorCallback

warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

class Line(LightningModule):
    def __init__(self, learning_rate):
        super().__init__()
        self.save_hyperparameters()
        self.line = torch.nn.Linear(1, 1)
    def training_step(self, batch, at):
        WORK
        loss = ((self.line(batch) - 3 * batch) ** 2).mean()
        self.log("loss", loss)
        return loss
    def validation_step(self, batch, at):
        self.log("eval_loss", ((self.line(batch) - 3 * batch) ** 2).mean())
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.learning_rate)

def train(callback, epochs):
    points = torch.utils.data.DataLoader(torch.arange(64.0)[:, None] / 64, batch_size=16)
    Trainer(
        max_epochs=epochs, callbacks=[callback], log_every_n_steps=2, logger=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    ).fit(Line(0.1), points, points)
"""

KERAS = """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np
import athanor
from athanor.integrations.keras import AthanorCallback

class Slow(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        WORK

def train(callback, epochs):
    x = np.arange(64.0)[:, None] / 64
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(
        x, 3 * x, batch_size=16, epochs=epochs, validation_data=(x, 3 * x),
        callbacks=[Slow(), callback], verbose=0,
    )
"""

FRAMEWORKS = {"transformers": TRANSFORMERS, "lightning": LIGHTNING, "keras": KERAS}
EVALUATED = {"transformers": "eval_loss", "lightning": "eval_loss", "keras": "val_loss"}
EVALUATED_AT = {"transformers": [4, 8, 12], "lightning": [3, 7, 11], "keras": [1, 2, 3]}
LEARNING_RATE: dict[str, Callable[[Any], float]] = {
    "transformers": lambda config: config["learning_rate"],
    "lightning": lambda config: config["learning_rate"],
    "keras": lambda config: round(config["optimizer"]["learning_rate"], 6),
}


@pytest.fixture(params=list(FRAMEWORKS))
def framework(request: pytest.FixtureRequest, need: Need) -> str:
    for package in ("torch", request.param):
        need(importlib.util.find_spec(package) is not None, package)
    return str(request.param)


def script(framework: str, text: str, work: str) -> str:
    return FRAMEWORKS[framework].replace("WORK", work) + textwrap.dedent(text)


def test_trainings_are_runs_with_their_metrics_that_stop_when_cancelled_and_fail_by_errors(
    framework: str, shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    """Three trainings in one process, for importing a framework takes long."""
    stopped, broken = f"stop-{framework}", f"broken-{framework}"
    text = f"""
    work = lambda: None
    train(AthanorCallback({framework!r}, name="baseline", config={{"seed": 1}}), epochs=3)

    import time
    work = lambda: time.sleep(0.01)
    with athanor.init("stopped", id={stopped!r}) as run:
        train(AthanorCallback(run), epochs=10_000)
        run.log("after the training")

    work = lambda: 1 / 0
    train(AthanorCallback({broken!r}), epochs=3)
    """
    process = scripts(script(framework, text, "work()"), shared_service.url).start()

    def is_training() -> bool:
        assert process.is_alive, process.stderr
        response = client.get(f"/runs/{stopped}")
        return response.status_code == 200 and bool(response.json()["progress"])

    # importing a framework and the first training take long on a slow machine
    wait_until(is_training, "the second training", 180)
    client.post(f"/runs/{stopped}/cancel").raise_for_status()
    assert process.wait(180) == 1, process.stderr
    check_metrics(client, framework)
    assert status(client, stopped) == "cancelled"
    assert "after the training" in client.get(f"/runs/{stopped}/logs").text
    (run,) = client.get(f"/instances/{broken}/runs").json()["runs"]
    assert run["status"] == "failed"
    assert "ZeroDivisionError" in run["error"]


def check_metrics(client: httpx.Client, framework: str) -> None:
    """The first training is a run with its configuration, its metrics and its progress."""
    (run,) = client.get(f"/instances/{framework}/runs").json()["runs"]
    assert (run["status"], run["metadata"]["name"]) == ("completed", "baseline")
    config = run["metadata"]["config"]
    assert config["seed"] == 1
    assert LEARNING_RATE[framework](config) == 0.1
    assert "secret-1" not in str(run)
    evaluated = client.get(f"/runs/{run['id']}/results?key={EVALUATED[framework]}").json()["results"]
    assert [result["step"] for result in evaluated] == EVALUATED_AT[framework]
    assert evaluated[-1]["value"] < evaluated[0]["value"]
    losses = client.get(f"/runs/{run['id']}/results?key=loss").json()["results"]
    assert len(losses) == (3 if framework == "keras" else 6)
    assert all(isinstance(result["value"], float) for result in losses)
    progress = client.get(f"/runs/{run['id']}").json()["progress"]
    assert (progress["current"], progress["total"]) == (12, 12)


def test_a_missing_framework_is_named_with_its_extra(framework: str, scripts: Scripts) -> None:
    process = scripts(
        f"""
        import sys
        sys.modules[{framework!r}] = None
        import athanor.integrations.{framework}
        """
    )
    assert process.run() == 1
    assert f"pip install 'athanor-sse[{framework}]'" in process.stderr
