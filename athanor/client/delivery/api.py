"""Delivery: one run's reports over HTTP, and what every possible answer means."""

from __future__ import annotations

# httpx imports the following when it first needs them, which is in the courier's thread; a fork
# in that moment would leave the child with an import lock that nobody ever releases
import encodings.idna  # noqa: F401
import functools
import hashlib
import re
import ssl
from typing import Any

import certifi  # noqa: F401
import httpcore  # noqa: F401
import httpx
import msgspec

from ...protocol.topics import is_id
from ...version import __version__
from ..notices import Notices
from ..settings import without_login
from .spool import Batch, End, Registration

TIMEOUT = httpx.Timeout(30, connect=5)
_PASSING = frozenset({408, 425, 429})
"""Statuses that ask to try again, beside 5xx."""


class Unavailable(Exception):
    """The service can't be reached, or has trouble that may pass; `after` seconds if it said so."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Refused(Unavailable):
    """Something answers that is not the service, or does not let us in; it may change, but not soon."""


class RunEnded(Exception):
    """The run has ended: nothing more can be stored for it."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class RunApi:
    """Speaks to the service for one run. Blocking, and used by one thread.

    Each method raises `Away`, `Refused` or `RunEnded`; what was refused for good of a group is left
    out of it, with a notice.
    """

    def __init__(self, registration: Registration, notices: Notices, has_answered: bool = False) -> None:
        self.registration = registration
        self.cancel_requested = False
        self.has_answered = has_answered
        """Ever; a service that has is worth waiting for."""
        self._notices = notices
        self._registered = False
        self._run = f"/runs/{registration.run_id}"
        self._tls = tls_context(registration.url.startswith("https:"))
        self._client: httpx.Client | None = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def register(self) -> None:
        """Make the instance, make the run, start it; whatever of that is there already stays."""
        if self._registered:
            return
        given = self.registration
        if not (given.member and self._call("GET", self._run).status_code == 200):
            body = {"id": given.run_id, "metadata": given.metadata}
            path = f"/instances/{self._instance()}/runs"
            answer = self._expect(self._call("POST", path, body), 200, 201, 409)
            if answer.status_code == 409 and not given.member:
                raise Refused(f"run {given.run_id} can't be made: {_detail(answer)}")
        self._start()
        self._registered = True

    def send(self, group: Batch) -> None:
        """Store a group's lines, once however often it is sent."""
        self.register()
        key = f"{self.registration.producer}-{group.place}"
        waiting = [group.data]
        number = 0
        while waiting:
            data = waiting.pop()
            # the rest of a group that was refused as a whole: the same rest if it is all tried again
            part = key if number == 0 else f"{key}.{number}"
            number += 1
            answer = self._append(data, part)
            if answer.status_code in (413, 422):
                waiting.extend(reversed(self._without_faults(data, answer)))

    def progress(self, body: bytes) -> None:
        self.register()
        answer = self._again_if_unknown("PUT", "/progress", body)
        if answer.status_code in (413, 422):
            self._notices.say("progress", f"a progress was refused: {_detail(answer)}")

    def beat(self) -> None:
        """A sign of life."""
        self.register()
        self._again_if_unknown("POST", "/heartbeat", b"")

    def end(self, end: End) -> None:
        """The run's end, behind all its lines."""
        self.register()
        path = {"completed": "/complete", "failed": "/fail", "cancelled": "/cancelled"}[end.end]
        body = {"error": end.error} if end.end == "failed" else None
        answer = self._call("POST", self._run + path, body)
        if answer.status_code == 404:
            self._registered = False
            self.register()
            answer = self._call("POST", self._run + path, body)
        if self._expect(answer, 200, 409, 413, 422).status_code == 409:
            raise RunEnded(self._status())
        if answer.status_code in (413, 422):
            self._expect(self._call("POST", self._run + path, {"error": "see the log"}), 200)

    def _instance(self) -> str:
        """The id of the instance of that name, or of that id, or of a new one."""
        name = self.registration.instance
        answer = self._expect(self._call("GET", "/instances", params={"name": name, "limit": "1"}), 200)
        found = _json(answer).get("instances")
        if isinstance(found, list) and found:
            return str(found[0]["id"])
        id = id_of(name)
        body = {"id": id, "name": name, "configuration": self.registration.configuration}
        self._expect(self._call("POST", "/instances", body), 201, 409)
        return id

    def _start(self) -> None:
        answer = self._expect(self._call("POST", f"{self._run}/start"), 200, 409)
        if answer.status_code == 409:
            raise RunEnded(self._status())
        self.cancel_requested |= _json(answer).get("cancel_requested_at") is not None

    def _status(self) -> str:
        return str(_json(self._expect(self._call("GET", self._run), 200)).get("status"))

    def _append(self, data: bytes, key: str) -> httpx.Response:
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
        return self._again_if_unknown("POST", "/events", data, headers)

    def _again_if_unknown(
        self, method: str, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """A report; once more where the service does not know the run, or has not started it."""
        for _ in range(2):
            answer = self._call(method, self._run + path, body, headers=headers)
            if answer.status_code in (404, 409):
                self._registered = False
                self.register()
                continue
            self._expect(answer, 200, 201, 202, 413, 422)
            if answer.status_code < 300:
                asked = _json(answer).get("cancel_requested")
                if not isinstance(asked, bool):
                    raise Refused(_not_ours(answer))
                self.cancel_requested |= asked
            return answer
        raise Refused(f"{_place(answer)} answered {answer.status_code}: {_detail(answer)}")

    def _without_faults(self, data: bytes, answer: httpx.Response) -> list[bytes]:
        """What to send instead of lines that were refused: all but the faulty, or each half."""
        lines = data.splitlines(keepends=True)
        faulty = {
            fault["line"] - 1
            for fault in _json(answer).get("errors") or ()
            if isinstance(fault, dict) and isinstance(fault.get("line"), int)
        } & set(range(len(lines)))
        if len(lines) == 1:
            faulty = {0}
        if faulty:
            first = lines[min(faulty)]
            self._notices.say(
                "refused", f"a line was refused and is left out: {_detail(answer)}: {_excerpt(first)}"
            )
            rest = b"".join(line for number, line in enumerate(lines) if number not in faulty)
            return [rest] if rest else []
        half = len(lines) // 2
        return [b"".join(lines[:half]), b"".join(lines[half:])]

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """The answer; raises where it says nothing about what was asked."""
        content = msgspec.json.encode(body) if isinstance(body, dict) else body
        headers = headers or {"Content-Type": "application/json"}
        if self._client is None:
            agent = {"User-Agent": f"athanor/{__version__}"}
            self._client = httpx.Client(
                base_url=self.registration.url, timeout=TIMEOUT, headers=agent, verify=self._tls
            )
        try:
            answer = self._client.request(method, path, content=content, params=params, headers=headers)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(
                f"{without_login(self.registration.url)} can't be reached ({reason})"
            ) from error
        status = answer.status_code
        if status >= 500 or status in _PASSING:
            raise Unavailable(
                f"{_place(answer)} answered {status}: {_detail(answer)}", _retry_after(answer)
            )
        if status not in (404, 409, 413, 422) and not 200 <= status < 300:
            raise Refused(f"{_place(answer)} answered {status}: {_detail(answer)}")
        self.has_answered = True
        return answer

    def _expect(self, answer: httpx.Response, *statuses: int) -> httpx.Response:
        if answer.status_code not in statuses:
            raise Refused(f"{_place(answer)} answered {answer.status_code}: {_detail(answer)}")
        return answer


@functools.cache
def tls_context(is_needed: bool) -> ssl.SSLContext:
    """Made by whoever begins a run, and not in the courier's thread: OpenSSL holds locks meanwhile,
    and a fork in that moment would leave them to a child that hangs at its first connection.

    Where it is not needed it trusts nobody.
    """
    return httpx.create_ssl_context() if is_needed else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def id_of(name: str) -> str:
    """The id of an instance that is made for this name: always the same, whoever makes it."""
    if is_id(name):
        return name
    words = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-")[:50]
    mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{words}-{mark}" if words else mark


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        if answer.status_code >= 300:
            return {}
        raise Refused(_not_ours(answer))
    return found


def _not_ours(answer: httpx.Response) -> str:
    kind = answer.headers.get("content-type", "something of no type")
    return f"{_place(answer)} answered {answer.status_code} with {kind}: is an Athanor there?"


def _detail(answer: httpx.Response) -> str:
    said = _json(answer).get("detail") if answer.status_code >= 400 else None
    return str(said or answer.headers.get("location") or answer.reason_phrase)[:300]


def _place(answer: httpx.Response) -> str:
    return str(answer.url.copy_with(query=None, userinfo=b""))


def _excerpt(line: bytes) -> str:
    return ascii(line[:120].decode("utf-8", "replace").rstrip())


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 5 else None
