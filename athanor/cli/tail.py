"""`athanor tail RUN`: follow a run's log, with a progress bar below it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

import click
import msgspec

from ..client.subscriber import subscribe
from ..protocol.encoding import encode
from ..protocol.events import (
    TYPES,
    Event,
    Gap,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunFailed,
    RunLog,
    RunLogs,
    RunProgress,
    RunResult,
    RunResults,
    RunStarted,
)
from ..protocol.records import Level, LogEntry, Result, Run, RunState
from ..protocol.safe_text import one_line, sanitized
from .service import Service, orderly, url_option
from .terminal import (
    COLOURS,
    STATUS_COLOURS,
    Bar,
    Screen,
    duration,
    is_number,
    seconds_between,
    short,
)

EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 3}
TICK = 0.5
"""Seconds between two updates of the bar's times."""
LEVELS: tuple[str, ...] = get_args(Level)
_SINCE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _since(ctx: click.Context, param: click.Parameter, text: str | None) -> datetime | None:
    """The time that `--since` means: `90s`, `10m`, `2h`, `1d` ago, or an ISO 8601 timestamp."""
    if text is None:
        return None
    ago = _SINCE.fullmatch(text.strip())
    with contextlib.suppress(ValueError, OverflowError):
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    raise click.BadParameter(f"{text!r} is neither 90s, 10m, 2h, 1d nor a time as in 2026-11-24T10:30")


@click.command("tail")
@click.argument("run", metavar="[RUN|latest]", default="latest")
@click.option("--lines", "-n", type=click.IntRange(0), help="Begin with the last lines, not the first.")
@click.option("--since", callback=_since, help="Only lines since then: 90s, 10m, 2h, 1d ago, or a time.")
@click.option("--level", type=click.Choice(LEVELS), help="Only lines of this level and above.")
@click.option("--no-results", is_flag=True, help="Only the log.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one per line.")
@url_option
@orderly
def command(
    run: str,
    lines: int | None,
    since: datetime | None,
    level: str | None,
    no_results: bool,
    as_json: bool,
    url: str,
) -> None:
    """Follow a run: print its lines so far, then new ones to its end.

    \b
    athanor tail                      the newest run
    athanor tail -n 20                its last 20 lines, then new ones
    athanor tail 019aab --since 10m   a run by a prefix of its id
    athanor tail --level warn         only warnings and errors
    athanor tail --json | jq .type    for another program

    The results of one step are one line.

    The exit code is the run's end: 0 completed, 1 failed, 3 cancelled; 2 is an error, 130 Ctrl-C.
    If the service is away, the command waits for it; no line is lost or shown twice.
    """
    with Service(url) as service:
        state = service.resolve(run)
        chosen = LEVELS[LEVELS.index(level) :] if level else LEVELS
        # a result has no level, and is shown as info
        with_results = not no_results and "info" in chosen
        tail = Tail(state, url, frozenset(chosen), since, with_results, as_json)
        if lines is None:
            tail.begin_at("0")
        elif with_results:
            tail.begin_with_last(lines)
        else:
            tail.begin_after(*_last_logs(service, state.id, chosen, lines))
    sys.exit(EXIT_CODES[asyncio.run(tail.follow())])


class _LogPage(msgspec.Struct):
    logs: list[LogEntry]
    last_event_id: str


def _last_logs(
    service: Service, id: str, levels: tuple[str, ...], lines: int
) -> tuple[list[LogEntry], str]:
    """The last log entries of these levels, and the cursor after them."""
    query = {"before": str(2**62), "limit": str(max(1, min(lines, 10_000)))}
    if len(levels) < len(LEVELS):
        query["level"] = ",".join(levels)
    page = service.ask("GET", f"/runs/{id}/logs", _LogPage, query)
    return page.logs[len(page.logs) - min(lines, len(page.logs)) :], page.last_event_id


class Tail:
    """Prints a run's events as they arrive."""

    def __init__(
        self,
        state: RunState,
        url: str,
        levels: frozenset[str],
        since: datetime | None,
        with_results: bool,
        as_json: bool,
    ) -> None:
        self._run = state
        self._url = url
        self._levels = levels
        # timestamps have one format, so they compare as text
        self._since = "" if since is None else since.isoformat(timespec="microseconds")[:26]
        self._with_results = with_results
        self._json = as_json
        self._after: str | None = None
        self._last = 0
        self._first: list[LogEntry] = []
        self._step: list[Result] = []
        """The results of a step, until that is complete."""
        self._day = datetime.now().astimezone().date()
        self._screen = Screen()
        self._bar = Bar(state.started_at, self._screen.blocks)

    def begin_at(self, cursor: str) -> None:
        """Begin with what comes after this cursor."""
        self._after = cursor

    def begin_with_last(self, lines: int) -> None:
        """Begin with the newest log entries and results."""
        # the end of a run is an event too
        self._after, self._last = (None, lines + self._run.is_final) if lines else (None, 0)

    def begin_after(self, first: list[LogEntry], cursor: str) -> None:
        """Begin with these entries, then what comes after this cursor."""
        self._first, self._after = first, cursor

    async def follow(self) -> str:
        """Print until the run has ended; returns its status."""
        topic, types = f"experiments:run:{self._run.id}", None if self._with_results else _NO_RESULTS
        events = subscribe(topic, url=self._url, after=self._after, tail=self._last, types=types)
        has_ended = False
        with contextlib.closing(self._screen), _with_warnings_on(self._screen):
            self._begin()
            ticking = asyncio.create_task(self._tick())
            try:
                async for event in events:
                    has_ended = self._take(event)
            finally:
                ticking.cancel()
            if not has_ended and self._run.is_final and not self._json:
                # the end was before the place where this began
                self._show_end(self._run)
        return self._run.status

    def _take(self, event: Event) -> bool:
        """Print an event; returns whether it is the run's end."""
        self._show_json(event) if self._json else self._show(event)
        self._screen.flush()
        if not isinstance(event, RunCompleted | RunFailed | RunCancelled):
            return False
        self._run = msgspec.convert(msgspec.to_builtins(event.run), RunState)
        return True

    def _begin(self) -> None:
        run = self._run
        if self._first:
            self._take(RunLogs(run_id=run.id, logs=self._first))
        if self._json:
            return
        if run.stale:
            self._screen.write_notice(f"run {run.id} is stale: it has not reported for a minute")
        if not run.is_final:
            self._screen.show_bar(self._bar)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._end_step()
            self._screen.flush()

    def _show_json(self, event: Event) -> None:
        if isinstance(event, RunLog | RunLogs):
            logs = [event.log] if isinstance(event, RunLog) else event.logs
            logs = [log for log in logs if self._is_wanted(log)]
            if not logs:
                return
            event = RunLogs(id=event.id, run_id=event.run_id, logs=logs)
        elif isinstance(event, RunResult) and event.result.timestamp < self._since:
            return
        elif isinstance(event, RunResults):
            event.results = [result for result in event.results if result.timestamp >= self._since]
            if not event.results:
                return
        self._screen.write(encode(msgspec.to_builtins(event)).decode())

    def _show(self, event: Event) -> None:
        if not isinstance(event, RunResult | RunResults | RunProgress):
            self._end_step()
        match event:
            case RunLog(log=log):
                self._show_log(log)
            case RunLogs(logs=logs):
                for log in logs:
                    self._show_log(log)
            case RunResult(result=result):
                self._show_result(result)
            case RunResults(results=results):
                for result in results:
                    self._show_result(result)
            case RunProgress():
                self._bar.move(event)
            case RunStarted(run=run):
                self._bar.started_at = run.started_at
                self._write_state(run.started_at, f"of {run.instance_id} has started", "cyan")
            case RunCancelRequested(run=run):
                self._write_state(run.cancel_requested_at, "was asked to end", "yellow")
            case RunCompleted(run=run) | RunFailed(run=run) | RunCancelled(run=run):
                self._show_end(run)
            case Gap(reason=reason):
                self._screen.write_notice(f"lines are missing here: {_GAPS.get(reason, reason)}")

    def _is_wanted(self, log: LogEntry) -> bool:
        return log.level in self._levels and log.timestamp >= self._since

    def _show_log(self, log: LogEntry) -> None:
        if not self._is_wanted(log):
            return
        colour = COLOURS.get(log.level)
        message = sanitized(log.message, self._screen.colours)
        if colour is not None and "\x1b" not in message:
            message = self._screen.style(message, colour)
        self._write(log.timestamp, f"{log.level[:5]:5}", colour, message + self._metadata(log))

    def _metadata(self, log: LogEntry) -> str:
        if not log.metadata:
            return ""
        shown = " ".join(f"{key}={short(value)}" for key, value in log.metadata.items())
        return "  " + self._screen.style(one_line(shown), dim=True)

    def _show_result(self, result: Result) -> None:
        """Keep the result until its step is complete; what is no number has a line of its own."""
        if result.timestamp < self._since or not self._with_results:
            return
        if not is_number(result.value):
            self._end_step()
            text = self._screen.style(f"{one_line(result.key)} = {short(result.value)}", "cyan")
            self._write(result.timestamp, "=    ", "cyan", _step(result) + text)
            return
        first = self._step[0] if self._step else result
        if first.step != result.step or any(other.key == result.key for other in self._step):
            self._end_step()
        self._step.append(result)

    def _end_step(self) -> None:
        """Print the numbers of a step as one line."""
        if self._step:
            results, self._step = self._step, []
            numbers = " ".join(f"{one_line(result.key)}={short(result.value)}" for result in results)
            text = _step(results[0]) + self._screen.style(numbers, "cyan")
            self._write(results[0].timestamp, "=    ", "cyan", text)

    def _show_end(self, run: Run) -> None:
        self._screen.show_bar(self._bar, False)
        took = ""
        if run.started_at:
            took = f" after {duration(seconds_between(run.started_at, run.completed_at))}"
        self._write_state(run.completed_at, f"is {run.status}{took}", STATUS_COLOURS[run.status])
        for line in sanitized(run.error or "").splitlines():
            self._screen.write(f"  {self._screen.style(line, 'red')}")

    def _write_state(self, at: str | None, text: str, colour: str) -> None:
        self._write(
            at or "", "·    ", colour, self._screen.style(one_line(f"run {self._run.id} {text}"), colour)
        )

    def _write(self, at: str, mark: str, colour: str | None, text: str) -> None:
        self._write_day(at)
        head = f"{self._screen.style(_clock(at), dim=True)} {self._screen.style(mark, colour)} "
        first, *more = text.split("\n")
        self._screen.write(head + first)
        for line in more:
            self._screen.write(" " * 19 + line)

    def _write_day(self, at: str) -> None:
        """Print the date where it is another one than that of the line before, or today's."""
        with contextlib.suppress(ValueError):
            day = datetime.fromisoformat(at).astimezone().date()
            if day != self._day:
                self._day = day
                self._screen.write(self._screen.style(f"── {day.isoformat()} ──", dim=True))


_NO_RESULTS = tuple(kind for kind in TYPES if kind not in ("run_result", "run_results"))

_GAPS = {
    "expired": "the service has deleted old lines",
    "foreign": "the service has another database now",
    "future": "the service's database was restored from an older copy",
}


@contextlib.contextmanager
def _with_warnings_on(screen: Screen) -> Iterator[None]:
    """Show the subscriber's log messages, that the service is away for example, on `screen`."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: screen.write_notice(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("athanor")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _step(result: Result) -> str:
    return "" if result.step is None else f"step {result.step}  "


def _clock(at: str) -> str:
    """The local time, `10:31:07.123`; blanks of the same width without a timestamp."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S.%f")[:12]
    return " " * 12
