"""Keras: reports metrics and progress, and stops the training when the run was asked to end.

    model.fit(…, callbacks=[AthanorCallback("digits", name="baseline")])

Tested against the real `keras`, on PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..client.run import Run
from .training import Training, never_raises

try:
    from keras.callbacks import Callback
except ImportError as error:
    raise ImportError(
        "AthanorCallback needs keras, and a backend that it can import (JAX, PyTorch or TensorFlow): "
        "pip install 'athanor-sse[keras]'"
    ) from error


class AthanorCallback(Callback):  # type: ignore[misc] # untyped without keras
    """Reports a training.

    `run`: a run, which the caller ends, or the name of an instance. The configuration consists of
    the parameters of `fit` and of the optimizer, and of `config`.
    """

    def __init__(
        self, run: Run | str, *, name: str | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self._training = Training(run, name, config)
        self._epoch = 0

    @never_raises
    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        optimizer = getattr(self.model, "optimizer", None)
        try:
            config = None if optimizer is None else optimizer.get_config()
        except Exception:
            # a user's own schedule may have no configuration
            config = {"name": type(optimizer).__name__}
        self._training.begin({**(self.params or {}), **({"optimizer": config} if config else {})})

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch

    @never_raises
    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._training.cancelled:
            self.model.stop_training = True
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        message = f"epoch {self._epoch + 1}"
        if steps:
            done = self._epoch * steps + batch + 1
            self._training.progress(done, steps * epochs if epochs else None, message)
        else:
            self._training.progress(self._epoch, epochs, message)

    @never_raises
    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._training.results(logs or {}, epoch + 1)

    @never_raises
    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._training.end()
