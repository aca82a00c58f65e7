"""`athanor demo`: an experiment to look at, with a service if there is none."""

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
from ..client.settings import ClientSettings
from ..config import Settings
from ..exceptions import ConfigurationError
from . import spirals
from .listener import listen_as_set, place_of, url_of

EPOCHS = 3000
"""About a minute on a machine of 2020."""
BATCH = 32
PATIENCE = 30.0
"""Seconds that a service is given to start, and to end."""
LOOK = 0.05


@click.command("demo")
@click.option("--epochs", type=click.IntRange(1), default=EPOCHS, show_default=True)
@click.option("--url", help="Where the service is; ATHANOR_URL. One is started if this is not given.")
@click.option("--open", "-o", "opens", is_flag=True, help="Open the run in a browser.")
def command(epochs: int, url: str | None, opens: bool) -> None:
    """Run an experiment to look at: a minute of a small network that learns.

    It learns to tell two spirals apart, in plain Python, and reports as a script of yours would: its
    log, its loss and accuracy, and how far it is. If no service answers, one is started, which stays
    until Ctrl-C.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # SIGINT itself may be ignored
    try:
        if url or os.environ.get("ATHANOR_URL"):
            _experiment(ClientSettings.from_env(url=url).url, epochs, opens)
        else:
            settings = Settings.from_env()
            there = _url_of(settings)
            if _answers(there):
                _experiment(there, epochs, opens)
            else:
                _with_service(settings, epochs, opens)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None


def _with_service(settings: Settings, epochs: int, opens: bool) -> None:
    """Ctrl-C, at any time, ends the run and then the service, both in order."""
    with contextlib.closing(listen_as_set(settings, bool(os.environ.get("ATHANOR_PORT")))) as listener:
        url = url_of(listener)
        with _service(listener, url):
            click.echo(f"athanor is at {click.style(url + '/', bold=True)}")
            click.echo(f"its data is in {place_of(settings)}")
            with contextlib.suppress(KeyboardInterrupt):
                _experiment(url, epochs, opens)
                click.echo("the service stays until Ctrl-C")
                signal.pause()


@contextlib.contextmanager
def _service(listener: socket.socket, url: str) -> Iterator[None]:
    """A process of its own, and deaf to Ctrl-C: it is to hear the run's last word."""
    number = listener.fileno()
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "athanor", "serve", "--listener", str(number)],
        pass_fds=[number],
        process_group=0,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(process.returncode or 1)
            time.sleep(LOOK)
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _url_of(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _answers(url: str) -> bool:
    """Whether an Athanor does, not just somebody."""
    try:
        answer = httpx.get(f"{url}/runs", params={"limit": "1"}, timeout=2)
        return answer.status_code == 200 and "runs" in answer.json()
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
    with contextlib.suppress(Cancelled), init("spirals", name="demo", config=config, url=url) as run:
        click.echo(f"run {run.id}: {run.url}")
        click.echo("  or, in another terminal:")
        export = "" if url == ClientSettings().url else f"ATHANOR_URL={url} "
        click.echo(f"  {export}athanor tail {run.id}\n")
        if opens and sys.stdout.isatty():
            threading.Thread(target=webbrowser.open, args=(run.url,), daemon=True).start()
        learn(run, epochs)
    click.echo(f"the run is {'cancelled' if run.cancelled else 'completed'}; its lines stay")


def learn(run: Run, epochs: int) -> None:
    """The experiment: as many passes over the points, scored on others of the same spirals."""
    chance = random.Random(1)  # noqa: S311
    known, unknown = (spirals.spirals(0.01, chance) for _ in range(2))
    network = spirals.Network(chance)
    run.log(f"{len(known)} points to learn from, {len(unknown)} to be tested on")
    with click.progressbar(length=epochs, label="learning") as bar:
        for epoch in run.track(range(1, epochs + 1), "learning"):
            chance.shuffle(known)
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
        run.warning(
            f"{round((1 - score.accuracy) * len(unknown))} points are taken for the other spiral's"
        )
