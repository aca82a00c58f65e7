"""The service as commands ask it: typed answers, and one clear line for everything that goes wrong."""

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

from ..client.settings import ClientSettings, without_login
from ..exceptions import AthanorError, ConfigurationError
from ..protocol.records import Instance, Run
from ..protocol.topics import is_id
from ..version import __version__
from .terminal import sanitized

TIMEOUT = httpx.Timeout(30, connect=5)
NEWEST = 1000
"""Runs among which a prefix of an id is looked for."""

TROUBLE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
"""Exit codes; the last two are what a shell makes of SIGINT and SIGPIPE."""

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


class Trouble(click.ClickException):
    """What a command can't do, in a line; exit code 2."""

    exit_code = TROUBLE

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"athanor: {sanitized(self.message)}", file=file, err=file is None)


class Unknown(Trouble):
    """There is no such run or instance."""


class RunState(Run, kw_only=True):
    """A run as answers have it; `stale`: it runs, and has given no sign of life for a minute."""

    stale: bool = False

    @property
    def name(self) -> str | None:
        """What its producer called it."""
        name = self.metadata.get("name")
        return name if isinstance(name, str) else None


class _RunPage(msgspec.Struct):
    runs: list[msgspec.Raw]
    next: str | None


class _InstancePage(msgspec.Struct):
    instances: list[Instance]
    next: str | None


class Service:
    """Asks the service at `url`; raises `Trouble` where it does not answer what was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.place = without_login(url)
        agent = {"User-Agent": f"athanor/{__version__}"}
        self._client = httpx.Client(timeout=TIMEOUT, headers=agent, follow_redirects=True)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def resolve(self, text: str) -> RunState:
        """The run that `text` means: an id, the beginning of one, or `latest`."""
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
        return self.ask("GET", f"/runs/{id}", RunState)

    def runs(self, limit: int, status: str | None = None, instance: str | None = None) -> Iterator[bytes]:
        """The newest runs' JSON, newest first, page by page; `instance` is an id."""
        path = "/runs" if instance is None else f"/instances/{instance}/runs"
        query: dict[str, str] | None = {"status": status} if status else {}
        while query is not None and limit > 0:
            page = self.ask("GET", path, _RunPage, query | {"limit": str(min(limit, 1000))})
            yield from map(bytes, page.runs[:limit])
            limit -= len(page.runs)
            query = next_query(page.next)

    def instances(self, **query: str) -> Iterator[Instance]:
        """Instances, newest first, page by page."""
        following: dict[str, str] | None = query
        while following is not None:
            page = self.ask("GET", "/instances", _InstancePage, following | {"limit": "1000"})
            yield from page.instances
            following = next_query(page.next)

    def ask(self, method: str, path: str, type_: type[T], query: dict[str, str] | None = None) -> T:
        """The answer's JSON as `type_`."""
        answer = self.answer(method, path, query)
        try:
            return msgspec.json.decode(answer.content, type=type_)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._not_ours(answer) from error

    def answer(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        accept: str = "application/json",
    ) -> httpx.Response:
        """The answer, if it is one of the kind that was asked for."""
        try:
            answer = self._client.request(
                method, self.url + path, params=query, headers={"Accept": accept}
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Trouble(
                f"no service answers at {self.place}; `athanor serve` starts one, "
                "ATHANOR_URL or --url says where it is"
            ) from error
        except (httpx.RequestError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Trouble(f"the service at {self.place} broke off: {reason}") from error
        kind = str(answer.headers.get("content-type", "")).partition(";")[0].strip().lower()
        if answer.is_success:
            if kind != accept:
                raise self._not_ours(answer)
            return answer
        if kind != "application/problem+json":
            raise self._not_ours(answer)
        detail = self._detail(answer)
        if answer.status_code == 404:
            raise Unknown(detail)
        if answer.status_code < 500:
            raise Trouble(detail)
        raise Trouble(f"the service at {self.place} has trouble: {detail}")

    def _detail(self, answer: httpx.Response) -> str:
        try:
            return str(answer.json()["detail"])[:500]
        except (ValueError, KeyError, TypeError):
            raise self._not_ours(answer) from None

    def _not_ours(self, answer: httpx.Response) -> Trouble:
        kind = answer.headers.get("content-type", "something of no type")[:100]
        place = answer.url.copy_with(query=None, userinfo=b"")
        return Trouble(f"{place} answered {answer.status_code} with {kind}: is an Athanor there?")


def next_query(path: str | None) -> dict[str, str] | None:
    """The query of the next page: a proxy may have another path for it than the service knows."""
    return None if path is None else dict(parse_qsl(urlsplit(path).query))


def url_option(function: Function) -> Function:
    """`--url`, given to the command as `url`, checked; ATHANOR_URL without it."""
    option = click.option("--url", callback=_checked_url, help="Where the service is; ATHANOR_URL.")
    return option(function)


def _checked_url(context: click.Context, _: click.Parameter, url: str | None) -> str:
    try:
        return ClientSettings.from_env(url=url).url
    except ConfigurationError as error:
        raise click.UsageError(str(error), context) from None


def orderly(function: Function) -> Function:
    """A command that never ends with a traceback for what is no mistake of ours.

    Ctrl-C is exit code 130, and a reader that has read enough (`| head -1`) no trouble.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            # what is still buffered has nowhere to go, and Python would complain about it at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(BROKEN_PIPE)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except AthanorError as error:
            raise Trouble(str(error)) from error
        return result

    return run  # type: ignore[return-value]
