"""`athanor demo`: run an example experiment, and a service if none answers."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator

import click
import httpx

from ..client.init import init
from ..client.run import Cancelled, Run
from ..client.settings import ClientSettings, without_login
from ..config import Settings
from ..exceptions import ConfigurationError
from . import spirals
from .listener import listen_by, place_of, url_at
from .terminal import echo, echo_own

EPOCHS = 3000
"""About a minute on a machine of 2020."""
BATCH = 32
TIMEOUT = 30.0
"""Seconds within which a service has to start, and to end."""
POLL_INTERVAL = 0.05
"""Seconds between two checks whether the service answers."""


@click.command("demo")
@click.option("--epochs", type=click.IntRange(1), default=EPOCHS, show_default=True)
@click.option("--url", help="The service; default: ATHANOR_URL, or a new one.")
@click.option("--open", "-o", "opens", is_flag=True, help="Open the run in a browser.")
def command(epochs: int, url: str | None, opens: bool) -> None:
    """Run an example experiment, which takes about a minute.

    A small network learns to classify the points of two spirals, in plain Python, and reports its
    log, its loss and accuracy, and its progress, as any script would. If no service answers, one is
    started; it stays until Ctrl-C.
    """
    interrupt = Interrupt()
    try:
        if url or os.environ.get("ATHANOR_URL"):
            with interrupt.raised():
                _experiment(ClientSettings.from_env(url=url).url, epochs, opens)
        else:
            settings = Settings.from_env()
            configured = url_at(settings.host, settings.port)
            if _answers(configured):
                with interrupt.raised():
                    _experiment(configured, epochs, opens)
            else:
                _with_service(settings, epochs, opens, interrupt)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None


class Interrupt:
    """The first SIGINT, SIGTERM or SIGHUP: a KeyboardInterrupt, where that leaves nothing behind.

    A second one changes nothing: the service is being ended, and that takes `TIMEOUT` at most.
    """

    def __init__(self) -> None:
        self.came = False
        self._raises = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # a shell without job control starts `demo &` with SIGINT ignored
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.came = True
        if self._raises:
            self._raises = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Raise KeyboardInterrupt in this block, also if the signal came before it."""
        try:
            self._raises = True
            if self.came:
                raise KeyboardInterrupt
            yield
        finally:
            self._raises = False


def _listen(settings: Settings) -> socket.socket:
    """The demo reports to itself, so it may take another port, unless that was chosen."""
    return listen_by(settings, or_nearby=not os.environ.get("ATHANOR_PORT"))


def _with_service(settings: Settings, epochs: int, opens: bool, interrupt: Interrupt) -> None:
    """Run both. Ctrl-C ends first the run and then the service, at any time."""
    with contextlib.closing(_listen(settings)) as listener:
        url = url_at(*listener.getsockname()[:2])
        with _service(listener, url, interrupt) as service:
            echo_own(f"athanor is at {click.style(url + '/', bold=True)}")
            echo(f"its data is in {place_of(settings)}")
            with contextlib.suppress(KeyboardInterrupt), interrupt.raised():
                _experiment(url, epochs, opens)
                echo_own("the service stays until Ctrl-C")
                # not `signal.pause()`, which misses a signal that comes just before it
                while service.poll() is None:
                    time.sleep(POLL_INTERVAL)
                sys.exit(service.returncode or 1)


@contextlib.contextmanager
def _service(
    listener: socket.socket, url: str, interrupt: Interrupt
) -> Iterator[subprocess.Popen[bytes]]:
    """A service in its own process group, so that Ctrl-C reaches only this process."""
    number = listener.fileno()
    # the program is our own
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "athanor", "serve", "--listener", str(number)],
        pass_fds=[number],
        process_group=0,
    )
    try:
        deadline = time.monotonic() + TIMEOUT
        while not (interrupt.came or _answers(url)):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(process.returncode or 1)
            time.sleep(POLL_INTERVAL)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    """Whether a service answers there, and it is Athanor."""
    try:
        response = httpx.get(f"{url}/runs", params={"limit": "1"}, timeout=2)
        return response.status_code == 200 and "runs" in response.json()
    except (httpx.HTTPError, ValueError, TypeError):
        return False


def _experiment(url: str, epochs: int, opens: bool) -> None:
    config = {
        "epochs": epochs,
        "hidden": spirals.HIDDEN,
        "rate": spirals.RATE,
        "points": 2 * spirals.POINTS,
        "turns": spirals.TURNS,
    }
    # the line and the bar below are the demo's own
    os.environ["ATHANOR_QUIET"] = "1"
    with contextlib.suppress(Cancelled), init("spirals", name="demo", config=config, url=url) as run:
        echo(f"run {run.id}: {run.url}")
        echo("  or, in another terminal:")
        export = "" if url == ClientSettings().url else f"ATHANOR_URL={without_login(url)} "
        echo(f"  {export}athanor tail {run.id}")
        echo("")
        if opens and sys.stdout.isatty():
            threading.Thread(target=webbrowser.open, args=(run.url,), daemon=True).start()
        learn(run, epochs)
    echo(f"the run is {'cancelled' if run.cancelled else 'completed'}; its log stays")


def learn(run: Run, epochs: int) -> None:
    """Train for `epochs` passes over one set of points, and score the network on another."""
    rng = random.Random(1)  # noqa: S311
    known, unknown = (spirals.spirals(0.01, rng) for _ in range(2))
    network = spirals.Network(rng)
    run.log(f"{len(known)} points for training, {len(unknown)} for testing")
    with click.progressbar(length=epochs, label="learning") as bar:
        for epoch in run.track(range(1, epochs + 1), "learning"):
            rng.shuffle(known)
            for first in range(0, len(known), BATCH):
                network.learn(known[first : first + BATCH])
            bar.update(1)
            if epoch % 5 and epoch != epochs:
                continue
            score = network.score(unknown)
            run.log(score._asdict(), step=epoch)
            run.log(f"epoch {epoch}: loss {score.loss:.4f}, accuracy {score.accuracy:.3f}")
            if epoch % 500 == 0 or epoch == epochs:
                for row in network.picture():
                    run.debug(row)
    run.result("picture", list(network.picture()))
    if score.accuracy < 1:
        run.warning(f"{round((1 - score.accuracy) * len(unknown))} points are classified wrongly")
