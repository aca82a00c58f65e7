"""Progress bars, found in a row of text."""

from __future__ import annotations

import re
from typing import NamedTuple

_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_COUNT = re.compile(r"(?<![\d.:/])(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)(?![\d/:])")
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?)\s?%")
# tqdm without a total: `train: 45it [00:12, 3.71it/s]`
_RATE = re.compile(r"(?<!\S)(\d+)[A-Za-z]+ (?=\[\d\d:)")
_DRAWN = re.compile(r"[\s|(\[]*[━╸╺─█▏▎▍▌▋▊▉░▒▓■□▰▱=>#.\- ]{3,}[|)\]]*\s*\Z")
"""The bar itself, after the message and before the percentage."""
_TQDM = re.compile(r"(?:\d|\b\d+[A-Za-z]+) \[\d\d:[^\]]*\]")
"""The end of tqdm's bar: its times and its rate."""


class Bar(NamedTuple):
    """The state of a progress bar."""

    current: float
    total: float | None
    message: str

    @property
    def is_complete(self) -> bool:
        return self.total is not None and self.current >= self.total


def bar_in(row: str) -> Bar | None:
    """A row as a bar: `train:  45%|████     | 45/100 [00:12<00:15]`, `Epoch 3/10`, `12.5% done`."""
    text = _SGR.sub("", row)
    count = next((found for found in _COUNT.finditer(text) if _is_count(found)), None)
    percent = _PERCENT.search(text)
    rate = _RATE.search(text)
    first = min((found.start() for found in (count, percent, rate) if found), default=0)
    message = _DRAWN.sub("", text[:first]).strip(" \t:|-[]()")[:200]
    if count is not None:
        return Bar(float(count[1]), float(count[2]), message)
    if percent is not None and float(percent[1]) <= 100:
        return Bar(float(percent[1]), 100.0, message)
    return None if rate is None else Bar(float(rate[1]), None, message)


def end_of_bar(row: str) -> int:
    """Where tqdm's bar ends in a row, if other text was written after it; else the row's length."""
    found = _TQDM.search(row)
    return len(row) if found is None else found.end()


def _is_count(found: re.Match[str]) -> bool:
    return 0 < float(found[2]) < float("inf") and float(found[1]) <= float(found[2])
