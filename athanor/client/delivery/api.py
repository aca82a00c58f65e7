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

from ...protocol.bounds import MAX_OBJECT
from ...protocol.records import Instance, Run
from ...protocol.topics import is_id
from .. import responses
from ..encode import UPDATE, fitting
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
        """Store a batch's entries, once however often it is sent; then change the metadata."""
        key = f"{self.registration.producer}-{batch.place}"
        entries, changes = _without_updates(batch.data)
        waiting = [entries] if entries else []
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
        if changes:
            self._update(changes)

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

    def is_created(self) -> bool:
        """Whether the run exists, because another process has created it."""
        try:
            self._call("GET", self._run)
        except NotFound:
            return False
        return True

    def _create(self) -> None:
        given = self.registration
        joins = given.member or given.merges is not None
        if joins and self._join():
            return
        path = f"/instances/{self._instance()}/runs"
        try:
            self._call("POST", path, {"id": given.run_id, "metadata": self._fitting(given.metadata)})
        except Conflict:
            # another process may have created it meanwhile, as a run of another instance
            if not joins:
                raise
            self._join()

    def _join(self) -> bool:
        """Describe the run, if it exists; False if it does not."""
        given = self.registration
        try:
            found = decode(self._call("GET", self._run), Run)
        except NotFound:
            return False
        if given.merges == "over":
            self._update(given.metadata)
        elif given.merges == "under":
            self._update(_missing(found.metadata, given.metadata))
        return True

    def _update(self, changes: dict[str, Any]) -> None:
        """Merge changes into the run's metadata (RFC 7396)."""
        if not changes:
            return
        try:
            self._call("PATCH", self._run, {"metadata": self._fitting(changes)})
        except (Invalid, responses.Refused) as error:
            # a service of version 0.x has no such request
            self._notices.show("update", f"a change of the run's metadata was refused: {error.detail}")

    def _fitting(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What the service takes of a configuration or of metadata; a notice says what it is not."""
        fitted = fitting(fields)
        if fitted != fields:
            self._notices.show(
                "fitting",
                f"configuration and metadata may have {MAX_OBJECT >> 10} KiB of JSON; "
                "the largest values are left out",
            )
        return fitted

    def _instance(self) -> str:
        """The id of the instance of that name or id; created if there is none."""
        name = self.registration.instance
        response = self._call("GET", f"/instances?{urlencode({'name': name, 'limit': 1})}")
        for instance in decode(response, _InstanceList).instances:
            return instance.id
        id = id_of(name)
        configuration = self._fitting(self.registration.configuration)
        body = {"id": id, "name": name, "configuration": configuration}
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


def _without_updates(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """The entries among the lines, and the changes of metadata among them, as one."""
    if UPDATE not in data:
        return data, {}
    lines = data.splitlines(keepends=True)
    changes: dict[str, Any] = {}
    for line in lines:
        if line.startswith(UPDATE):
            _merge(changes, msgspec.json.decode(line)["metadata"])
    return b"".join(line for line in lines if not line.startswith(UPDATE)), changes


def _merge(changes: dict[str, Any], later: dict[str, Any]) -> None:
    """Put later changes over earlier ones; None stays, for it deletes."""
    for key, value in later.items():
        if isinstance(value, dict) and isinstance(changes.get(key), dict):
            _merge(changes[key], value)
        else:
            changes[key] = value


def _missing(found: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The fields of `given` that `found` does not have."""
    missing: dict[str, Any] = {}
    for key, value in given.items():
        if key not in found:
            missing[key] = value
        elif isinstance(value, dict) and isinstance(found[key], dict):
            rest = _missing(found[key], value)
            missing |= {key: rest} if rest else {}
    return missing


def id_of(name: str) -> str:
    """The id of an instance that is created for this name; always the same for the same name."""
    if is_id(name):
        return name
    words = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-")[:50]
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{words}-{digest}" if words else digest
