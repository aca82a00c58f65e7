"""Requests that Schemathesis generates from the OpenAPI document, with and without credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from ..support.patience import PATIENCE
from ..support.service import Service, new_run, running

CASES = int(os.environ.get("ATHANOR_TEST_CASES", "200"))
"""Requests in all; the release was checked with 10,000."""
TOKEN, READ_TOKEN = "the-token-of-the-cases", "the-read-token-of-the-cases"
CREDENTIALS: dict[str, dict[str, str]] = {
    "token": {"Authorization": f"Bearer {TOKEN}"},
    "read token": {"Authorization": f"Bearer {READ_TOKEN}"},
    "nobody": {},
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("cases"), token=TOKEN, read_token=READ_TOKEN) as service:
        yield service


@pytest.mark.parametrize("who", list(CREDENTIALS))
def test_no_generated_request_is_an_error_or_stores_what_is_refused(who: str, guarded: Service) -> None:
    admin = guarded.client(headers=CREDENTIALS["token"])
    run = new_run(admin)
    schema = schemathesis.openapi.from_url(f"{guarded.url}/openapi.json", headers=CREDENTIALS["token"])
    operations: list[Any] = [cast(Any, result).ok() for result in schema.get_all_operations()]
    each = max(1, CASES // len(operations) // len(CREDENTIALS))
    sent = 0

    with requests.Session() as session:

        def check(case: Any, is_known: bool) -> None:
            nonlocal sent
            if is_known and "id" in (case.path_parameters or {}):
                # else nearly all requests would be for a run that does not exist
                case.path_parameters["id"] = run
            before = _state(admin, run) if who != "token" and case.method != "GET" else None
            arguments = case.as_transport_kwargs(base_url=guarded.url)
            arguments["headers"] = {**arguments["headers"], **CREDENTIALS[who]}
            if who == "nobody":
                arguments["headers"].pop("Authorization", None)
            # a stream does not end, so nothing but the head of the response is read
            with session.request(
                **arguments, stream=True, timeout=PATIENCE, allow_redirects=False
            ) as response:
                sent += 1
                place = f"{who}: {case.method} {arguments['url']}: {response.status_code}"
                assert response.status_code < 500, place
                if who == "nobody" and case.path not in ("/healthz", "/readyz", "/login"):
                    assert response.status_code in (400, 401, 405), place
                if before is not None and response.status_code >= 400:
                    assert _state(admin, run) == before, place

        for operation in operations:
            for is_known in (True, False):
                _examples(operation, check, is_known, max(1, each // 2))
    assert sent >= CASES // len(CREDENTIALS) // 2
    assert "Traceback" not in guarded.log.read_text()


def _examples(operation: Any, check: Any, is_known: bool, count: int) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        check(case, is_known)

    run()


def _state(client: httpx.Client, run: str) -> tuple[str, dict[str, Any]]:
    """The cursor of the newest event, and the run: nothing is stored without a change of either."""
    found = client.get(f"/runs/{run}").raise_for_status().json()
    # the run gives no sign of life, and becomes stale by itself
    del found["stale"]
    return client.get("/instances?limit=1").json()["last_event_id"], found
