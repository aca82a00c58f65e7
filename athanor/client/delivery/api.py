"""The service's HTTP API, as far as one run's reports need it."""

from __future__ import annotations

# httpx would import certifi, httpcore and encodings.idna in the sender's thread; a fork at that
# moment would leave the child with an import lock that is never released
import contextlib
import encodings.idna  # noqa: F401
import hashlib
import re
from typing import Any
from urllib.parse import urlencode

import certifi  # noqa: F401
import httpcore  # noqa: F401
import httpx
import msgspec

from ...protocol.records import Instance, Run
from ...protocol.topics import is_id
from .. import responses
from ..http import connection_to
from ..notices import Notices
from ..responses import Conflict, Invalid, NotFound, decode
from .spool import Batch, End, Registration

Body = bytes | dict[str, Any] | None
Headers = dict[str, str] | None


class RunEnded(Exception):
    """The run has ended: nothing more can be stored for it."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class _Accepted(msgspec.Struct):
    cancel_requested: bool


class _InstanceList(msgspec.Struct):
    instances: list[Instance]


class RunApi:
    """Sends one run's reports. Blocking; for one thread.

    Each method raises `RequestFailed` (see `responses`), or `RunEnded`. Entries that the service
    will never take are left out, with a notice.
    """

    def __init__(self, registration: Registration, notices: Notices, has_answered: bool = False) -> None:
        self.registration = registration
        self.cancel_requested = False
        self.has_answered = has_answered
        """Whether the service has ever responded; then it is worth waiting for."""
        self._notices = notices
        self._registered = False
        self._run = f"/runs/{registration.run_id}"
        self._connection = connection_to(registration.url)
        for problem in self._connection.problems:
            notices.show(problem, problem)
        self._client: httpx.Client | None = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def register(self) -> None:
        """Create the instance and the run, and start the run; what exists stays as it is."""
        if self._registered:
            return
        try:
            self._create()
            self._start()
        except (NotFound, Conflict, Invalid) as error:
            # these would seem to be about the report that is to be sent
            raise responses.Refused(error.response) from None
        self._registered = True

    def send(self, batch: Batch) -> None:
        """Store a batch's entries, once however often it is sent."""
        key = f"{self.registration.producer}-{batch.place}"
        waiting = [batch.data]
        number = 0
        while waiting:
            data = waiting.pop()
            # the parts of a batch that was refused as a whole: the same if it is sent again
            part = key if number == 0 else f"{key}.{number}"
            number += 1
            headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": part}
            try:
                self._report("POST", "/events", data, headers)
            except Invalid as error:
                waiting.extend(reversed(self._without_faults(data, error)))

    def progress(self, body: bytes) -> None:
        """Show progress, as `encode_progress` made it."""
        try:
            self._report("PUT", "/progress", body)
        except Invalid as error:
            self._notices.show("progress", f"progress was refused: {error.detail}")

    def heartbeat(self) -> None:
        """Show that the run is alive."""
        self._report("POST", "/heartbeat", b"")

    def end(self, end: End) -> None:
        """End the run, after all its entries."""
        path = {"completed": "/complete", "failed": "/fail", "cancelled": "/cancelled"}[end.end]
        body = {"error": end.error} if end.end == "failed" else None
        try:
            self._call_run("POST", path, body)
        except Invalid:
            self._call("POST", self._run + path, {"error": "see the log"})

    def _create(self) -> None:
        given = self.registration
        if given.member:
            with contextlib.suppress(NotFound):
                self._call("GET", self._run)
                return
        path = f"/instances/{self._instance()}/runs"
        try:
            self._call("POST", path, {"id": given.run_id, "metadata": given.metadata})
        except Conflict:
            # another process may have created it meanwhile, as a run of another instance
            if not given.member:
                raise

    def _instance(self) -> str:
        """The id of the instance of that name or id; created if there is none."""
        name = self.registration.instance
        response = self._call("GET", f"/instances?{urlencode({'name': name, 'limit': 1})}")
        for instance in decode(response, _InstanceList).instances:
            return instance.id
        id = id_of(name)
        body = {"id": id, "name": name, "configuration": self.registration.configuration}
        # the name may be the id of an instance, or another process may have just created it
        with contextlib.suppress(Conflict):
            self._call("POST", "/instances", body)
        return id

    def _start(self) -> None:
        try:
            response = self._call("POST", f"{self._run}/start")
        except Conflict:
            raise RunEnded(decode(self._call("GET", self._run), Run).status) from None
        self.cancel_requested |= decode(response, Run).cancel_requested_at is not None

    def _report(self, method: str, path: str, body: bytes, headers: Headers = None) -> None:
        response = self._call_run(method, path, body, headers)
        self.cancel_requested |= decode(response, _Accepted).cancel_requested

    def _call_run(self, method: str, path: str, body: Body, headers: Headers = None) -> httpx.Response:
        """Call `path` of the run; again if the run does not exist, or has not started."""
        self.register()
        try:
            return self._call(method, self._run + path, body, headers)
        except (NotFound, Conflict):
            self._registered = False
            self.register()
            return self._call(method, self._run + path, body, headers)

    def _without_faults(self, data: bytes, error: Invalid) -> list[bytes]:
        """What to send instead of a refused batch: all but its faulty entries, or each half."""
        entries = data.splitlines(keepends=True)
        faulty = {line - 1 for line in error.lines} & set(range(len(entries)))
        if len(entries) == 1:
            faulty = {0}
        if faulty:
            excerpt = ascii(entries[min(faulty)][:120].decode("utf-8", "replace").rstrip())
            text = f"a line was refused and is left out: {error.detail}: {excerpt}"
            self._notices.show("refused", text)
            rest = b"".join(entry for number, entry in enumerate(entries) if number not in faulty)
            return [rest] if rest else []
        half = len(entries) // 2
        return [b"".join(entries[:half]), b"".join(entries[half:])]

    def _call(self, method: str, path: str, body: Body = None, headers: Headers = None) -> httpx.Response:
        """The response, if it is successful."""
        content = msgspec.json.encode(body) if isinstance(body, dict) else body
        headers = headers or {"Content-Type": "application/json"}
        if self._client is None:
            self._client = self._connection.client(base_url=self.registration.url)
        try:
            response = self._client.request(method, path, content=content, headers=headers)
            responses.check(response)
        except responses.REQUEST_ERRORS as error:
            raise responses.Unreachable(self.registration.url, error) from error
        except (NotFound, Conflict, Invalid):
            self.has_answered = True
            raise
        self.has_answered = True
        return response


def id_of(name: str) -> str:
    """The id of an instance that is created for this name; always the same for the same name."""
    if is_id(name):
        return name
    words = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-")[:50]
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{words}-{digest}" if words else digest
