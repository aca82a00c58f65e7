"""Tracked loops: they show their progress, and end when the run was asked to end.

On a terminal they draw bars, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from .terminal_bar import TerminalBars

T = TypeVar("T")
Show = Callable[[float, float | None, str | None], None]


class Track(Generic[T]):
    """Iterates over the given items, by `for` or `async for`.

    Nested loops share the run's one progress. It is that of the outermost loop, plus the fraction
    of its item that the inner loops have done.
    """

    def __init__(
        self,
        tracks: Tracks,
        items: Iterable[T] | AsyncIterable[T],
        message: str | None,
        total: float | None,
    ) -> None:
        self._tracks = tracks
        self._items = items
        self.message = message
        self.total = _length(items) if total is None else total
        self.current = 0

    def __str__(self) -> str:
        of = "" if self.total is None else f"/{self.total:g}"
        return f"{self.message or 'step'} {self.current}{of}"

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[T]:
        if not isinstance(self._items, Iterable):
            raise TypeError(f"{type(self._items).__name__} needs `async for`")
        with self._tracks.open(self) as step:
            for item in self._items:
                yield item
                step()

    async def __aiter__(self) -> AsyncIterator[T]:
        with self._tracks.open(self) as step:
            if isinstance(self._items, AsyncIterable):
                async for item in self._items:
                    yield item
                    step()
            else:
                for item in self._items:
                    yield item
                    step()


class Tracks:
    """The loops of a run that are under way, outermost first.

    `is_wrapped`: `athanor run` reads the bars that are drawn here, and reports the progress.
    """

    def __init__(
        self, show: Show, check: Callable[[], None], bars: TerminalBars, is_wrapped: bool
    ) -> None:
        self._show = show
        self._check = check
        self._bars = bars
        self._reports = not (is_wrapped and bars.is_shown)
        self._open: list[Track[Any]] = []

    def open(self, track: Track[Any]) -> _Opened:
        return _Opened(self, track)

    def begin(self, track: Track[Any]) -> None:
        self._check()
        track.current = 0
        self._open.append(track)
        self._bars.begin(track)
        self.show()

    def step(self, track: Track[Any]) -> None:
        track.current += 1
        # it is missing if it was iterated over twice at once
        if track in self._open:
            self.show()
        self._check()

    def end(self, track: Track[Any]) -> None:
        if track in self._open:
            place = self._open.index(track)
            self._open.remove(track)
            self._bars.end(track, self._open[:place])

    def show(self) -> None:
        self._bars.show(self._open)
        if not self._reports:
            return None
        outer, *inner = self._open
        if not inner:
            return self._show(outer.current, outer.total, outer.message)
        part = 0.0
        for track in reversed(inner):
            part = min(1.0, (track.current + part) / track.total) if track.total else 0.0
        message = " · ".join(map(str, self._open))
        return self._show(round(outer.current + part, 3), outer.total, message)


class _Opened:
    def __init__(self, tracks: Tracks, track: Track[Any]) -> None:
        self._tracks, self._track = tracks, track

    def __enter__(self) -> Callable[[], None]:
        self._tracks.begin(self._track)
        return lambda: self._tracks.step(self._track)

    def __exit__(self, *_: object) -> None:
        self._tracks.end(self._track)


def _length(items: object) -> int | None:
    try:
        return len(items)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return None
