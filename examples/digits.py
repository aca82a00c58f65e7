"""A real experiment: train a network on handwritten digits, and report to Athanor.

Start the service first (`athanor serve`). It needs scikit-learn. `athanor tail latest` follows it.
"""

from __future__ import annotations

import argparse
import signal
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import athanor


def on_ctrl_c(*_: Any) -> None:
    # scikit-learn handles KeyboardInterrupt itself
    raise athanor.Cancelled("Ctrl-C")


def train(run: athanor.Run, epochs: int, hidden: int) -> None:
    images, digits = load_digits(return_X_y=True)
    data = train_test_split(images / 16, digits, test_size=0.3, random_state=1)
    x_train, x_test, y_train, y_test = data
    run.log(f"{len(x_train)} images for training, {len(x_test)} for testing")
    model = MLPClassifier((hidden, hidden), learning_rate_init=3e-4, random_state=1)
    order = np.random.default_rng(1)
    for epoch in run.track(range(1, epochs + 1), "learning"):
        shuffled = order.permutation(len(x_train))
        for number, batch in enumerate(np.array_split(shuffled, 80), 1):
            model.partial_fit(x_train[batch], y_train[batch], classes=range(10))
            if number % 20 == 0:
                run.debug(f"epoch {epoch} batch {number}: loss {model.loss_:.4f}")
        loss = log_loss(y_test, model.predict_proba(x_test))
        accuracy = model.score(x_test, y_test)
        run.log({"loss": loss, "accuracy": accuracy}, step=epoch)
        run.log(f"epoch {epoch}: test loss {loss:.4f}, accuracy {accuracy:.4f}")
    for wrong in np.flatnonzero(model.predict(x_test) != y_test)[:10]:
        guess = int(model.predict(x_test[wrong : wrong + 1])[0])
        run.warning(f"image {wrong} shows a {y_test[wrong]}, and was classified as a {guess}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--hidden", type=int, default=256, help="neurons in each of two layers")
    settings = vars(parser.parse_args())
    signal.signal(signal.SIGINT, on_ctrl_c)
    with athanor.init("digits", config=settings) as run:
        print(f"run {run.id}: {run.url}", flush=True)
        train(run, **settings)


if __name__ == "__main__":
    main()
