"""The service as commands call it: typed results, and one-line errors."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import click
import httpx
import msgspec

from ..client import responses
from ..client.http import connection_to
from ..client.settings import ClientSettings, without_login
from ..exceptions import AthanorError, ConfigurationError
from ..protocol.records import Instance, Run, RunState, Status
from ..protocol.safe_text import one_line
from ..protocol.topics import is_id
from .terminal import echo

NEWEST = 1000
"""The number of runs among which a prefix of an id is searched."""

TROUBLE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
"""Exit codes; the last two are those of a shell for SIGINT and SIGPIPE."""

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


class Trouble(click.ClickException):
    """A command failed, for a reason of one line; exit code 2."""

    exit_code = TROUBLE

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"athanor: {one_line(self.message)}", file=file, err=file is None)


class Unknown(Trouble):
    """There is no such run or instance."""


def name_of(run: Run) -> str:
    """The name that a run's producer gave it, or an empty text."""
    name = run.metadata.get("name")
    return name if isinstance(name, str) else ""


class _RunPage(msgspec.Struct):
    runs: list[msgspec.Raw]
    next: str | None


class _InstancePage(msgspec.Struct):
    instances: list[Instance]
    next: str | None


class Service:
    """The service at `url`. Its methods raise `Trouble` if a request fails."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.place = without_login(url)
        connection = connection_to(url)
        for problem in connection.problems:
            echo(f"athanor: {problem}", err=True)
        self._client = connection.client(follow_redirects=True)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def resolve(self, text: str) -> RunState:
        """The run that `text` names: an id, a prefix of one, or `latest`. Raises `Trouble`."""
        if text == "latest":
            for run in self.runs(1):
                return msgspec.json.decode(run, type=RunState)
            raise Trouble(f"there is no run yet at {self.place}")
        if not is_id(text):
            raise Unknown(
                f"there is no run {text[:100]!r}, and can be none: ids are letters, digits, . _ -"
            )
        with contextlib.suppress(Unknown):
            return self.run(text)
        runs = [msgspec.json.decode(run, type=RunState) for run in self.runs(NEWEST)]
        found = [run for run in runs if run.id.startswith(text)]
        if not found:
            raise Unknown(f"there is no run {text} at {self.place}; `athanor runs` lists them")
        if len(found) > 1:
            ids = ", ".join(run.id for run in found[:5]) + (", …" if len(found) > 5 else "")
            raise Trouble(f"{text} may be any of {len(found)} runs: {ids}")
        return found[0]

    def run(self, id: str) -> RunState:
        """The run with that id. Raises `Unknown` if there is none."""
        return self.ask("GET", f"/runs/{id}", RunState)

    def runs(
        self, limit: int, status: Status | None = None, instance: str | None = None
    ) -> Iterator[bytes]:
        """The JSON of the newest runs, newest first. `instance`: the id of an instance."""
        path = "/runs" if instance is None else f"/instances/{instance}/runs"
        query: dict[str, str] | None = {"status": status} if status else {}
        while query is not None and limit > 0:
            page = self.ask("GET", path, _RunPage, query | {"limit": str(min(limit, 1000))})
            yield from map(bytes, page.runs[:limit])
            limit -= len(page.runs)
            query = next_query(page.next)

    def instances(self, name: str | None = None) -> Iterator[Instance]:
        """All instances, or those of that name, newest first."""
        following: dict[str, str] | None = {} if name is None else {"name": name}
        while following is not None:
            page = self.ask("GET", "/instances", _InstancePage, following | {"limit": "1000"})
            yield from page.instances
            following = next_query(page.next)

    def delete(self, id: str) -> None:
        """Delete the run with that id."""
        self._send("DELETE", f"/runs/{id}")

    def ask(self, method: str, path: str, type_: type[T], query: dict[str, str] | None = None) -> T:
        """The response's JSON as `type_`. Raises `Trouble`, or `responses.NotAthanor`."""
        return responses.decode(self.answer(method, path, query), type_)

    def answer(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        accept: str = "application/json",
    ) -> httpx.Response:
        """The response, if it is successful and of the media type `accept`. Raises `Trouble`."""
        response = self._send(method, path, query, {"Accept": accept})
        if responses.media_type(response) != accept:
            raise self._trouble(responses.NotAthanor(response))
        return response

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """The response, if it is successful. Raises `Trouble`."""
        try:
            return responses.check(
                self._client.request(method, self.url + path, params=query, headers=headers)
            )
        except responses.REQUEST_ERRORS as error:
            raise self._trouble(responses.Unreachable(self.url, error)) from error
        except responses.RequestFailed as error:
            raise self._trouble(error) from error

    def _trouble(self, error: responses.RequestFailed) -> Trouble:
        """One line about a request that failed, with the remedy if there is one."""
        if isinstance(error, responses.Unreachable):
            if error.certificate_fault is not None:
                return Trouble(f"{self.place}: {error.reason}")
            if error.is_connected:
                return Trouble(f"the service at {self.place} broke off: {error.reason}")
            return Trouble(
                f"no service answers at {self.place}; `athanor serve` starts one, "
                "ATHANOR_URL or --url says where it is"
            )
        if not isinstance(error, responses.ErrorResponse):
            return Trouble(str(error))
        if not error.is_problem:
            return Trouble(str(responses.NotAthanor(error.response)))
        if isinstance(error, responses.NotFound):
            return Unknown(error.detail)
        if isinstance(error, responses.Unavailable):
            return Trouble(f"the service at {self.place} has trouble: {error.detail}")
        return Trouble(error.detail)


def next_query(path: str | None) -> dict[str, str] | None:
    """The query of the next page's path; behind a proxy the path itself may be another one."""
    return None if path is None else dict(parse_qsl(urlsplit(path).query))


def url_option(function: Function) -> Function:
    """Add the option `--url`, which is checked and passed as `url`; its default is ATHANOR_URL."""
    option = click.option("--url", callback=_checked_url, help="The service; default: ATHANOR_URL.")
    return option(function)


def _checked_url(context: click.Context, _: click.Parameter, url: str | None) -> str:
    try:
        return ClientSettings.from_env(url=url).url
    except ConfigurationError as error:
        raise click.UsageError(str(error), context) from None


def orderly(function: Function) -> Function:
    """Make a command exit with one line instead of a traceback, except for errors in this program.

    Ctrl-C is exit code 130. A reader that closes the pipe (`| head -1`) is not an error.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python would report at its end that what is buffered can't be written
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(BROKEN_PIPE)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except AthanorError as error:
            raise Trouble(str(error)) from error
        return result

    return run  # type: ignore[return-value]
