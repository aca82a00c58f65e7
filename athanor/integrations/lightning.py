"""Lightning's `Trainer`: reports what modules log and the progress, and stops the training when the
run was asked to end.

    trainer = Trainer(…, callbacks=[AthanorCallback("digits", name="baseline")])

Tested against the real `lightning` with a real `Trainer`, alone and as two processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..client.run import Run
from .training import AGREE_EVERY, Training, never_raises

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.loggers.logger import Logger
except ImportError as error:
    raise ImportError("AthanorCallback needs lightning: pip install 'athanor-sse[lightning]'") from error


class AthanorCallback(Callback):  # type: ignore[misc] # untyped without lightning
    """Reports a training, in the process of rank 0.

    `run`: a run, which the caller ends, or the name of an instance. The configuration consists of
    the module's saved hyperparameters, and of `config`.
    """

    def __init__(
        self, run: Run | str, *, name: str | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        self._training = Training(run, name, config)
        self._logger = _Metrics(self._training)

    @never_raises
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self._training.begin(dict(pl_module.hparams))
        # the trainer decides which metric is logged at which step, and calls its loggers
        self._logger.save_dir = trainer.default_root_dir
        trainer.loggers = [*trainer.loggers, self._logger]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_global_zero:
            self._show(trainer)
        if trainer.world_size > 1 and batch_idx % AGREE_EVERY:
            return
        asked = trainer.is_global_zero and self._training.cancelled
        if trainer.strategy.reduce_boolean_decision(asked, all=False):
            trainer.should_stop = True

    @never_raises
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._forget(trainer)
        if trainer.is_global_zero:
            self._training.end()

    @never_raises
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._forget(trainer)
        if trainer.is_global_zero:
            self._training.fail(exception)

    @never_raises
    def _show(self, trainer: Trainer) -> None:
        total, epoch = trainer.estimated_stepping_batches, trainer.current_epoch
        self._training.progress(trainer.global_step, total, f"epoch {epoch}")

    def _forget(self, trainer: Trainer) -> None:
        trainer.loggers = [logger for logger in trainer.loggers if logger is not self._logger]


class _Metrics(Logger):  # type: ignore[misc]
    name = "athanor"
    version = ""
    # the trainer's own, for without another logger this one determines it
    save_dir = None

    def __init__(self, training: Training) -> None:
        super().__init__()
        self._training = training

    @never_raises
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._training.results(metrics, step)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: they are already in the run's configuration."""
