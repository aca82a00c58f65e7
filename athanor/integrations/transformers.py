"""Hugging Face's `Trainer`: reports what it logs and the progress, and stops the training when the
run was asked to end.

    trainer = Trainer(…, callbacks=[AthanorCallback("summaries", name="baseline")])

Tested against the real `transformers` with a real `Trainer`, alone and as two processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..client.run import Run
from .training import AGREE_EVERY, Training, never_raises

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise ImportError(
        "AthanorCallback needs transformers: pip install 'athanor-sse[transformers]'"
    ) from error


class AthanorCallback(TrainerCallback):  # type: ignore[misc] # untyped without transformers
    """Reports a training, in the process of rank 0.

    `run`: a run, which the caller ends, or the name of an instance. The configuration consists of
    the training's arguments without tokens, and of `config`.
    """

    def __init__(
        self, run: Run | str, *, name: str | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        self._training = Training(run, name, config)

    @never_raises
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            self._training.begin(args.to_sanitized_dict())

    @never_raises
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if state.is_world_process_zero:
            self._training.results(logs or {}, state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            self._show(state)
        if args.world_size == 1:
            stop = self._training.cancelled
        else:
            stop = state.global_step % AGREE_EVERY == 0 and self._agree(args, state)
        if stop:
            control.should_training_stop = True

    @never_raises
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            self._training.end()

    @never_raises
    def _show(self, state: TrainerState) -> None:
        epoch = "" if state.epoch is None else f"epoch {state.epoch:.2f}"
        self._training.progress(state.global_step, state.max_steps, epoch)

    def _agree(self, args: TrainingArguments, state: TrainerState) -> bool:
        """Whether rank 0 was asked to end. Raises what the training's network raises."""
        import torch
        from accelerate.utils import broadcast

        asked = state.is_world_process_zero and self._training.cancelled
        return bool(broadcast(torch.tensor([int(asked)], device=args.device)).item())
