"""The two-spirals problem: a small network learns on which of two intertwined spirals a point lies.

It is a benchmark that a network learns slowly (K. Lang and M. Witbrock, 1988). Plain Python
computes it, so the demonstration is real work and needs no further package.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import NamedTuple

POINTS = 97
"""The number of points on each spiral."""
TURNS = 2.0
HIDDEN = 20
"""Neurons in each of the two hidden layers."""
RATE = 0.002
"""The step size; Adam's other constants are those of Kingma and Ba, 2015."""

Vector = list[float]
Point = tuple[float, float, float]
"""x, y, and the spiral it lies on, 0 or 1."""


class Score(NamedTuple):
    """The mean cross-entropy in nats, and the share of points that are classified correctly."""

    loss: float
    accuracy: float


def spirals(noise: float, rng: random.Random) -> list[Point]:
    """The points of both spirals; without the noise they lie within the unit circle."""
    points = []
    for number in range(POINTS):
        radius = (number + 4) / (POINTS + 4)
        angle = radius * TURNS * 2 * math.pi
        for side in (0, 1):
            turned = angle + side * math.pi
            x, y = radius * math.cos(turned), radius * math.sin(turned)
            points.append((x + rng.gauss(0, noise), y + rng.gauss(0, noise), float(side)))
    return points


class Layer:
    """A linear map, and `tanh` if `bent`; a row holds an output's weights, then its bias."""

    def __init__(self, inputs: int, outputs: int, bent: bool, rng: random.Random) -> None:
        scale = 1 / math.sqrt(inputs)
        self.bent = bent
        self.rows = [[rng.gauss(0, scale) for _ in range(inputs)] + [0.0] for _ in range(outputs)]
        self.slopes = [[0.0] * (inputs + 1) for _ in range(outputs)]
        self._means = [[0.0] * (inputs + 1) for _ in range(outputs)]
        self._squares = [[0.0] * (inputs + 1) for _ in range(outputs)]
        self._input: Vector = []
        self._output: Vector = []

    def forward(self, given: Vector) -> Vector:
        sums = [sum(map(float.__mul__, row, given), row[-1]) for row in self.rows]
        self._input, self._output = given, [math.tanh(s) for s in sums] if self.bent else sums
        return self._output

    def backward(self, slope: Vector) -> Vector:
        """The gradient by the input, given that by the output; adds up the one by the weights."""
        if self.bent:
            slope = [s * (1 - out * out) for s, out in zip(slope, self._output, strict=True)]
        back = [0.0] * len(self._input)
        for s, row, slopes in zip(slope, self.rows, self.slopes, strict=True):
            for at, value in enumerate(self._input):
                slopes[at] += s * value
                back[at] += s * row[at]
            slopes[-1] += s
        return back

    def step(self, number: int) -> None:
        """Take step `number` of Adam, counted from 1; the gradient is 0 again afterwards."""
        rate = RATE * math.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        parts = zip(self.rows, self.slopes, self._means, self._squares, strict=True)
        for row, slopes, means, squares in parts:
            for at, slope in enumerate(slopes):
                means[at] += 0.1 * (slope - means[at])
                squares[at] += 0.001 * (slope * slope - squares[at])
                row[at] -= rate * means[at] / (math.sqrt(squares[at]) + 1e-8)
                slopes[at] = 0.0


class Network:
    """Two inputs, two hidden layers, one output: the log odds that a point lies on spiral 1."""

    def __init__(self, rng: random.Random) -> None:
        self.layers = [
            Layer(2, HIDDEN, True, rng),
            Layer(HIDDEN, HIDDEN, True, rng),
            Layer(HIDDEN, 1, False, rng),
        ]
        self._steps = 0

    def odds(self, x: float, y: float) -> float:
        values = [3 * x, 3 * y]
        for layer in self.layers:
            values = layer.forward(values)
        return values[0]

    def learn(self, batch: list[Point]) -> None:
        for x, y, side in batch:
            slope = [(_sigmoid(self.odds(x, y)) - side) / len(batch)]
            for layer in reversed(self.layers):
                slope = layer.backward(slope)
        self._steps += 1
        for layer in self.layers:
            layer.step(self._steps)

    def score(self, points: list[Point]) -> Score:
        odds = [(self.odds(x, y), side) for x, y, side in points]
        loss = sum(_softplus(-z if side else z) for z, side in odds) / len(odds)
        return Score(loss, sum((z > 0) == (side > 0) for z, side in odds) / len(odds))

    def picture(self, width: int = 56, height: int = 24) -> Iterator[str]:
        """The classification of the plane as text, row by row."""
        for row in range(height):
            y = 1.1 - 2.2 * row / (height - 1)
            columns = (-1.1 + 2.2 * column / (width - 1) for column in range(width))
            yield "".join("#" if self.odds(x, y) > 0 else "·" for x in columns)


def _sigmoid(z: float) -> float:
    return 0.5 * (1 + math.tanh(z / 2))


def _softplus(z: float) -> float:
    """log(1 + e^z), without overflow."""
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))
