"""The gate: every route with every kind of caller, and each rule of who is let in."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hmac
import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from httpx_sse import connect_sse
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.routing import Route

from athanor import ConfigurationError, Settings, create_app
from athanor.access.grants import Grant
from athanor.access.hosts import Host, HostRule
from athanor.access.jwt import JwtVerifier
from athanor.access.origins import OriginRule, is_same_origin
from athanor.access.throttle import MAX_WAITING, Throttle

from ..support import plain
from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.service import Service, running

TOKEN, READ_TOKEN = "the-token-of-the-tests", "the-read-token-of-the-tests"
KEY = "a-key-of-the-tests-with-more-than-32-bytes"
LOOPBACK = ("127.0.0.1", "localhost", "LOCALHOST", "localhost.", "lab.localhost", "[::1]", "127.8.9.1")


def jwt_of(*topics: str, seconds: float = 600, **claims: Any) -> str:
    """A JWT that may read and write some topics."""
    given = {"sub": "alice", "aud": "athanor", "exp": time.time() + seconds}
    return jwt.encode({**given, "subscribe": topics, "publish": topics, **claims}, KEY, "HS256")


MINE = ("experiments:instance:mine*", "experiments:run:mine*")
OTHERS = ("experiments:instance:others*", "experiments:run:others*")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with both tokens and a key for JWTs, an instance `mine` and its run `mine-1`."""
    settings = {"token": TOKEN, "read_token": READ_TOKEN, "jwt_key": KEY, "log_level": "info"}
    with running(tmp_path_factory.mktemp("guarded"), **settings) as service:
        client = service.client(headers=bearer(TOKEN))
        for name in ("mine", "others"):
            client.post("/instances", json={"name": name, "id": name}).raise_for_status()
            client.post(f"/instances/{name}/runs", json={"id": f"{name}-1"}).raise_for_status()
            client.post(f"/runs/{name}-1/start").raise_for_status()
        yield service


class Caller(NamedTuple):
    """Headers of a request, and what is answered by the kind of the row; None: let in."""

    headers: dict[str, str]
    open: int | None = None
    read: int | None = None
    list: int | None = None
    write: int | None = None


def expired_cookie() -> str:
    class Past(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - 31 * 24 * 3600

    return cookie_by(Past)


def cookie_by(signer: type[TimestampSigner], secret: str = TOKEN) -> str:
    import hashlib

    made = signer(secret, salt="athanor cookie", key_derivation="hmac", digest_method=hashlib.sha256)
    return made.sign("token").decode()


def callers(port: int) -> dict[str, Caller]:
    refused = {"read": 401, "list": 401, "write": 401}
    name = f"athanor_{port}"
    return {
        "nobody": Caller({}, **refused),
        "read token": Caller(bearer(READ_TOKEN), write=403),
        "token": Caller(bearer(TOKEN)),
        "wrong token": Caller(bearer("x" * 20), **refused),
        "no token at all": Caller({"Authorization": "Bearer"}, **refused),
        "cookie": Caller({"Cookie": f"{name}={cookie_by(TimestampSigner)}"}),
        "expired cookie": Caller({"Cookie": f"{name}={expired_cookie()}"}, **refused),
        "forged cookie": Caller({"Cookie": f"{name}={cookie_by(TimestampSigner, 'x')}"}, **refused),
        "own JWT": Caller(bearer(jwt_of(*MINE))),
        "other tenant's JWT": Caller(bearer(jwt_of(*OTHERS)), read=403, write=403),
        "expired JWT": Caller(bearer(jwt_of(*MINE, seconds=-1)), **refused),
        "foreign Host": Caller({**bearer(TOKEN), "Host": "evil.example"}, 421, 421, 421, 421),
        "foreign Origin": Caller({**bearer(TOKEN), "Origin": "https://evil.example"}, write=403),
        "Origin null": Caller({**bearer(TOKEN), "Origin": "null"}, write=403),
        "other port": Caller({**bearer(TOKEN), "Origin": "http://127.0.0.1:1"}, write=403),
        "same-site": Caller({**bearer(TOKEN), "Sec-Fetch-Site": "same-site"}, write=403),
    }


RUN, INSTANCE = "/runs/{id}", "/instances/{id}"
ROWS: dict[tuple[str, str], str] = {
    ("GET", "/"): "open",
    ("GET", "/static/{path:path}"): "open",
    ("GET", "/healthz"): "open",
    ("GET", "/readyz"): "open",
    ("GET", "/login"): "login",
    ("POST", "/login"): "login",
    ("DELETE", "/login"): "login",
    ("GET", "/metrics"): "service",
    ("GET", "/openapi.json"): "service",
    ("GET", "/events"): "read",
    ("GET", "/events/{topic}"): "read",
    ("GET", "/instances"): "list",
    ("POST", "/instances"): "write",
    ("GET", INSTANCE): "read",
    ("PUT", INSTANCE): "write",
    ("PATCH", INSTANCE): "write",
    ("DELETE", INSTANCE): "write",
    ("GET", f"{INSTANCE}/runs"): "read",
    ("POST", f"{INSTANCE}/runs"): "write",
    ("GET", "/runs"): "list",
    ("GET", RUN): "read",
    ("PATCH", RUN): "write",
    ("DELETE", RUN): "write",
    ("GET", f"{RUN}/logs"): "read",
    ("GET", f"{RUN}/results"): "read",
    ("GET", f"{RUN}/metrics"): "read",
    ("GET", f"{RUN}/curves"): "read",
    ("GET", "/curves"): "read",
    ("GET", f"{INSTANCE}/metrics"): "read",
    ("PUT", f"{RUN}/progress"): "write",
    **{
        ("POST", f"{RUN}/{end}"): "write"
        for end in (
            *("logs", "results", "events", "progress", "heartbeat"),
            *("start", "complete", "fail", "cancel", "cancelled"),
        )
    },
}
"""What each route needs; a route that is not here fails the test below."""

BODIES: dict[str, Any] = {
    "/instances": {"name": "x", "id": "mine"},
    f"{INSTANCE}/runs": {"id": "mine-1"},
    f"{INSTANCE}": {"name": "x"},
    f"{RUN}/logs": {"message": "x"},
    f"{RUN}/results": {"key": "x", "value": 1},
    f"{RUN}/events": {"type": "run_log", "message": "x"},
    f"{RUN}/progress": {"current": 1},
    "/login": {"token": "x" * 20},
}


def test_every_route_has_its_row() -> None:
    app = create_app(Settings(database_url="sqlite:///nowhere.db"))
    routes = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    }
    assert routes == set(ROWS)


@pytest.mark.parametrize("who", list(callers(0)))
def test_every_route_lets_in_those_that_may(who: str, guarded: Service) -> None:
    caller = callers(guarded.port)[who]
    admin = guarded.client(headers=bearer(TOKEN))
    before = _state(admin)
    # all at once, because the answer to a wrong token takes up to five seconds
    with (
        plain.client(base_url=guarded.url) as client,
        concurrent.futures.ThreadPoolExecutor(16) as pool,
    ):
        list(pool.map(lambda row: _check_row(client, who, caller, *row), ROWS.items()))
    assert _state(admin) == before


def _check_row(client: httpx.Client, who: str, caller: Caller, route: tuple[str, str], kind: str) -> None:
    method, path = route
    expected = getattr(caller, {"login": "open", "service": "read"}.get(kind, kind))
    # what is let in changes nothing of what the refused are kept from
    run, instance = ("mine-1", "mine") if expected else ("mine-absent", "mine-nowhere")
    url = path.replace("{id}", instance if path.startswith("/instances") else run)
    url = url.replace("{path:path}", "app.js").replace("{topic}", f"experiments:run:{run}")
    params = {"topic": f"experiments:run:{run}"} if path == "/events" else {}
    if path.endswith("/curves"):
        params = {"run": run, "key": "x"}
    body = BODIES.get(path, {}) if method != "GET" else None
    if body and expected is None and "id" in body:
        body = {**body, "id": "not an id"}
    for sent in (method, "HEAD") if method == "GET" else (method,):
        response = client.request(sent, url, params=params, json=body, headers=caller.headers)
        status = response.status_code
        place = f"{who}: {sent} {path}: {status} {response.text[:200]}"
        if (
            kind == "login"
            and method != "GET"
            and caller.write == 403
            and "JWT" not in who
            and who != "read token"
        ):
            assert status == 403, place
        elif kind == "login" and expected is None:
            # it asks for the credential itself: nobody is logged in, or the token is wrong
            assert status in (200, 204, 401, 429), place
        elif kind == "service" and "JWT" in who and expected != 401:
            assert status == 403, place
        elif expected is None:
            assert status not in (400, 401, 403, 421, 429), place
        else:
            assert status in ({401, 429} if expected == 401 else {expected}), place
        assert response.headers["x-content-type-options"] == "nosniff", place
        assert response.headers["cross-origin-resource-policy"] == "same-origin", place
        assert response.headers["cache-control"].startswith("no-store"), place
        if status >= 400 and sent != "HEAD":
            assert response.headers["content-type"] == "application/problem+json", place


def _status(url: str, headers: Any = None) -> int:
    return plain.get(url, headers=headers).status_code


def _state(client: httpx.Client) -> list[Any]:
    paths = ("/instances/mine", "/runs/mine-1", "/runs/mine-1/logs", "/runs/mine-1/results")
    return [client.get(path).raise_for_status().json() | {"last_event_id": ""} for path in paths]


def test_basic_and_the_login_in_a_url_are_the_token(guarded: Service) -> None:
    place = guarded.url.removeprefix("http://")
    for login in (f"alice:{TOKEN}", f":{TOKEN}"):
        assert _status(f"http://{login}@{place}/runs") == 200
    for login in (f"{TOKEN}:alice", "alice:x"):
        headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
        assert _status(f"{guarded.url}/runs", headers) == 401


def test_a_token_in_a_query_is_no_credential(guarded: Service) -> None:
    for name in ("token", "access_token", "authorization"):
        assert _status(f"{guarded.url}/runs?{name}={TOKEN}") == 401


@pytest.mark.parametrize("token", [TOKEN, READ_TOKEN])
def test_a_login_is_a_cookie_that_streams_and_reads(token: str, guarded: Service) -> None:
    with plain.client(base_url=guarded.url) as client:
        assert client.get("/login").status_code == 401
        response = client.post("/login", json={"token": token}, headers={"Origin": guarded.url})
        assert response.status_code == 204
        cookie = response.headers["set-cookie"]
        for part in (f"athanor_{guarded.port}=", "HttpOnly", "SameSite=lax", "Path=/", "Max-Age=2592000"):
            assert part in cookie, cookie
        assert "secure" not in cookie.lower()
        assert token not in cookie
        login = client.get("/login").json()
        assert login["may_write"] is (token == TOKEN)
        assert login["login_required"] is True
        with connect_sse(client, "GET", "/events/experiments:run:mine-1?tail=1") as events:
            assert next(events.iter_sse()).event
        written = client.post("/runs/mine-1/heartbeat")
        assert written.status_code == (200 if token == TOKEN else 403)
        assert client.delete("/login").status_code == 204
        assert client.get("/login").status_code == 401
    secure = plain.post(
        f"{guarded.url}/login",
        json={"token": token},
        headers={"Origin": f"https://127.0.0.1:{guarded.port}"},
    )
    assert "Secure" in secure.headers["set-cookie"]


def test_a_cookie_dies_with_its_token(tmp_path: Path) -> None:
    with running(tmp_path, token=TOKEN, read_token=READ_TOKEN) as service:
        cookies = {}
        for token in (TOKEN, READ_TOKEN):
            made = plain.post(f"{service.url}/login", json={"token": token})
            cookies[token] = {"Cookie": made.headers["set-cookie"].partition(";")[0]}
        service.terminate()
        service.settings["token"] = "another-token-of-the-tests"
        service.start()
        assert _status(f"{service.url}/runs", cookies[TOKEN]) == 401
        assert _status(f"{service.url}/runs", cookies[READ_TOKEN]) == 200


def test_what_a_jwt_has_to_be() -> None:
    verifier = JwtVerifier(KEY, "", "athanor")

    def is_valid(claims: dict[str, Any], key: Any = KEY, algorithm: str = "HS256") -> bool:
        return verifier.caller_of(jwt.encode(claims, key, algorithm)) is not None

    base = {"sub": "a", "aud": "athanor", "exp": time.time() + 60, "subscribe": list(MINE)}
    assert is_valid(base)
    for without in ("aud", "exp"):
        assert not is_valid({name: value for name, value in base.items() if name != without})
    assert not is_valid({**base, "aud": "another"})
    assert not is_valid({**base, "exp": time.time() - 1})
    assert not is_valid({**base, "nbf": time.time() + 60})
    assert not is_valid(base, f"{KEY}x")
    # the verifier chooses the algorithm, and not the token (RFC 8725, section 3.1)
    assert JwtVerifier(KEY * 2, "", "athanor").caller_of(jwt.encode(base, KEY * 2, "HS512")) is None
    assert not is_valid(base, None, "none")
    # a list that is none, and a pattern whose * is not at its end
    assert not is_valid({**base, "subscribe": "experiments:run:mine-1"})
    assert not is_valid({**base, "publish": ["*:mine-1"]})


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_any_text_as_a_jwt_is_refused(text: str) -> None:
    verifier = JwtVerifier(KEY, "", "athanor")
    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 40_000).decode()
    assert verifier.caller_of(f"{deep}.e30.x") is None
    assert verifier.caller_of(jwt_of(*MINE, exp=float("inf"))) is None
    valid = jwt_of(*MINE)
    assert verifier.caller_of(text) is None
    assert verifier.caller_of(f"{text}.{text}.{text}") is None
    assert verifier.caller_of(f"{valid}{text}") is None or not text


def test_lists_and_wide_topics_show_a_tenant_its_own(guarded: Service) -> None:
    token = bearer(jwt_of(*MINE))
    with guarded.client(headers=token) as client, guarded.client(headers=bearer(TOKEN)) as admin:
        assert {run["id"] for run in client.get("/runs").json()["runs"]} == {"mine-1"}
        assert {one["id"] for one in client.get("/instances").json()["instances"]} >= {"mine"}
        assert "others" not in client.get("/instances").text
        assert client.get("/instances/others/runs").status_code == 403
        params = {"topic": ["experiments:runs", "experiments:instances"], "last_event_id": "0"}
        with connect_sse(client, "GET", "/events", params=params) as stream:
            events = stream.iter_sse()
            seen = [next(events) for _ in range(3)]
            for name in ("others", "mine"):
                admin.put(f"/runs/{name}-1/progress", json={"current": 1}).raise_for_status()
                admin.patch(f"/runs/{name}-1", json={"notes": "x"}).raise_for_status()
                admin.patch(f"/instances/{name}", json={"description": "x"}).raise_for_status()
            while seen[-1].event != "instance_updated":
                seen.append(next(events))
        text = json.dumps([event.data for event in seen])
        assert "mine" in text
        assert "others" not in text
        assert {event.event for event in seen} >= {"run_created", "run_updated", "instance_created"}


def test_who_may_read_an_instance_sees_the_progress_of_its_runs(guarded: Service) -> None:
    """By the topic of the instance, and by that of all runs, which is filtered."""
    token = bearer(jwt_of("experiments:instance:mine"))
    with guarded.client(headers=token) as client, guarded.client(headers=bearer(TOKEN)) as admin:
        for path in (
            "/events/experiments:instance:mine?types=run_progress",
            "/events/experiments:runs?types=run_progress",
            "/events?topic=experiments:runs&topic=experiments:instance:mine&types=run_progress",
        ):
            with connect_sse(client, "GET", path) as stream:
                assert stream.response.status_code == 200
                for name in ("others", "mine"):
                    progress = {"current": 1, "message": f"of {name} {path}"}
                    admin.put(f"/runs/{name}-1/progress", json=progress).raise_for_status()
                for event in stream.iter_sse():
                    assert "others-1" not in event.data
                    if f"of mine {path}" in event.data:
                        break
        assert client.get("/events/experiments:instance:others").status_code == 403


def test_a_filtered_list_goes_on_over_what_is_hidden(guarded: Service) -> None:
    with guarded.client(headers=bearer(TOKEN)) as admin:
        for number in range(30):
            name = "others" if number % 10 else "mine"
            admin.post(f"/instances/{name}/runs", json={"id": f"{name}-page-{number}"}).raise_for_status()
    with guarded.client(headers=bearer(jwt_of(*MINE))) as client:
        found: list[str] = []
        path: str | None = "/runs?limit=2"
        while path:
            page = client.get(path).json()
            assert len(page["runs"]) <= 2
            found += [run["id"] for run in page["runs"]]
            path = page["next"]
    assert found[:3] == [f"mine-page-{number}" for number in (20, 10, 0)]
    assert all(id.startswith("mine") for id in found)


def test_a_stream_ends_with_its_credential(guarded: Service) -> None:
    token = jwt_of(*MINE, seconds=4)
    with guarded.client(headers=bearer(token)) as client:
        began = time.time()
        with client.stream("GET", "/events/experiments:run:mine-1") as response:
            assert response.status_code == 200
            response.read()
        assert time.time() - began < 30
        assert client.get("/events/experiments:run:mine-1").status_code == 401


def test_wrong_tokens_are_slowed_and_right_ones_are_not(guarded: Service) -> None:
    def attempt(_: int) -> int:
        return _status(f"{guarded.url}/runs", bearer("y" * 20))

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        attempts = [pool.submit(attempt, number) for number in range(24)]
        assert _status(f"{guarded.url}/runs", bearer(TOKEN)) == 200
        statuses = [one.result() for one in attempts]
    assert set(statuses) == {401, 429}


@given(st.lists(st.booleans(), max_size=60))
def test_the_throttle_delays_more_and_more_up_to_a_limit(steps: list[bool]) -> None:
    """True is a wrong token, False the answer to one."""
    throttle, waiting, delays = Throttle(), 0, [0.0]
    for step in steps:
        if not step:
            throttle.end("10.0.0.1")
            waiting = max(0, waiting - 1)
            continue
        delay = throttle.begin("10.0.0.1", 1000.0)
        assert (delay is None) == (waiting >= MAX_WAITING)
        if delay is not None:
            assert 0 < delay <= 2
            assert delay >= delays[-1]
            delays.append(delay)
            waiting += 1
    assert throttle.begin("10.0.0.2", 1000.0) == 0.1


def test_the_log_and_the_metrics_know_refusals_and_no_secret(guarded: Service) -> None:
    client = guarded.client(headers=bearer(TOKEN))
    plain.get(f"{guarded.url}/runs", headers={"Host": "evil.example"})
    plain.get(f"{guarded.url}/runs")
    client.post("/instances", json={"name": "audited", "id": "audited"}).raise_for_status()
    client.delete("/instances/audited").raise_for_status()
    metrics = client.get("/metrics").text
    for reason in ("host", "credential"):
        assert re.search(rf'^athanor_refused_total{{reason="{reason}"}} [1-9]', metrics, re.MULTILINE)
    wait_until(lambda: "token: DELETE /instances/audited: 204" in guarded.log.read_text(), "the line")
    text = guarded.log.read_text()
    assert "refused (host): GET '/runs' from 127.0.0.1" in text
    assert TOKEN not in text
    assert READ_TOKEN not in text
    assert "eyJ" not in text


def test_readyz_gives_its_reason_to_callers_only(tmp_path: Path) -> None:
    import sqlite3

    with (
        running(tmp_path, token=TOKEN) as service,
        contextlib.closing(sqlite3.connect(service.database, isolation_level=None)) as blocker,
    ):
        client = service.client(headers=bearer(TOKEN))
        blocker.execute("BEGIN IMMEDIATE")
        with contextlib.suppress(httpx.ReadTimeout):
            client.post("/instances", json={"name": "x"}, timeout=1)
        wait_until(lambda: client.get("/readyz").status_code == 503, "503")
        assert "locked" in client.get("/readyz").json()["detail"]
        assert plain.get(f"{service.url}/readyz").json()["detail"] == "not ready"
        blocker.execute("ROLLBACK")


def test_a_bind_beyond_this_machine_needs_a_token(tmp_path: Path) -> None:
    service = Service(tmp_path, host="0.0.0.0")
    process = service.spawn()
    assert process.wait(PATIENCE) != 0
    log = service.log.read_text()
    assert "ATHANOR_TOKEN" in log
    assert "ATHANOR_INSECURE=1" in log
    for settings in ({"insecure": 1}, {"token": TOKEN}):
        with contextlib.closing(Service(tmp_path, host="0.0.0.0", **settings)) as open_service:
            open_service.start()
            expected = 200 if "insecure" in settings else 401
            assert _status(f"http://127.0.0.1:{open_service.port}/runs") == expected
            open_service.log.unlink()


def test_tokens_and_keys_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    pem = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"
    faults: list[tuple[dict[str, Any], str]] = [
        ({"token": "short"}, "ATHANOR_TOKEN"),
        ({"token": "with a space in the token"}, "ATHANOR_TOKEN"),
        ({"token": TOKEN, "token_file": str(empty)}, "ATHANOR_TOKEN_FILE"),
        ({"token": TOKEN, "read_token": TOKEN}, "ATHANOR_READ_TOKEN"),
        ({"token_file": str(empty)}, "ATHANOR_TOKEN_FILE"),
        ({"read_token_file": str(tmp_path / "absent")}, "ATHANOR_READ_TOKEN_FILE"),
        ({"jwt_key": "too short"}, "ATHANOR_JWT_KEY"),
        ({"jwt_key": pem}, "ATHANOR_JWT_KEY"),
        ({"jwt_key": KEY, "jwt_jwks_file": str(empty)}, "ATHANOR_JWT_JWKS_FILE"),
        ({"jwt_jwks_file": str(empty)}, "ATHANOR_JWT_JWKS_FILE"),
    ]
    for settings, name in faults:
        with pytest.raises(ConfigurationError, match=name) as caught:
            create_app(Settings(**settings))
        for secret in ("short", "with a space", TOKEN):
            assert secret not in str(caught.value) or secret in name
    text = repr(Settings(token=TOKEN, read_token=READ_TOKEN, jwt_key=KEY))
    assert not any(secret in text for secret in (TOKEN, READ_TOKEN, KEY))


def test_a_jwks_file_names_keys_and_their_algorithms(tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "one": rsa.generate_private_key(65537, 2048),
        "two": ec.generate_private_key(ec.SECP256R1()),
    }
    made = {
        "one": RSAAlgorithm.to_jwk(keys["one"].public_key(), as_dict=True),
        "two": ECAlgorithm.to_jwk(keys["two"].public_key(), as_dict=True),
    }
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [{**key, "kid": kid} for kid, key in made.items()]}))
    verifier = JwtVerifier("", str(path), "athanor")
    claims = {"aud": "athanor", "exp": time.time() + 60, "subscribe": ["experiments:runs"]}
    for kid, algorithm in (("one", "RS256"), ("two", "ES256")):
        token = jwt.encode(claims, keys[kid], algorithm, headers={"kid": kid})
        caller = verifier.caller_of(token)
        assert caller is not None
        assert caller.grant.read == ("experiments:runs",)
        other = "two" if kid == "one" else "one"
        assert (
            verifier.caller_of(jwt.encode(claims, keys[kid], algorithm, headers={"kid": other})) is None
        )
    # the public key as the secret of HS256 (RFC 8725, section 2.1)
    pem = keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "HS256", "kid": "one"}, claims)
    )
    signature = base64.urlsafe_b64encode(hmac.digest(pem, signed.encode(), "sha256")).decode()
    assert verifier.caller_of(f"{signed}.{signature.rstrip('=')}") is None


@given(st.text(max_size=80))
def test_any_text_as_a_host_is_read_or_refused(text: str) -> None:
    try:
        host = Host(text)
    except ValueError:
        return
    assert host.name in text.lower()
    accepted = HostRule("").accepts(host)
    assert accepted == host.is_loopback
    if accepted and not host.name.endswith("localhost"):
        import ipaddress

        assert ipaddress.ip_address(host.name).is_loopback


@pytest.mark.parametrize("port", ["", ":80", ":8000"])
def test_hosts_of_this_machine_and_of_the_setting_are_accepted(port: str) -> None:
    rule = HostRule("lab.example, *.team.example", "10.0.0.5")
    for name in (*LOOPBACK, "lab.example", "LAB.example.", "a.team.example", "10.0.0.5", "10.0.0.9"):
        assert rule.accepts(Host(name + port), "10.0.0.9"), name
    for name in (
        "evil.example",
        "xlab.example",
        "team.example",
        "xteam.example",
        "10.0.0.6",
        "0.0.0.0",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::2]",
        "[fe80::1]",
    ):
        assert not rule.accepts(Host(name + port), "10.0.0.9"), name


@given(
    st.sampled_from(["http", "https", "ftp", ""]),
    st.sampled_from(
        ["127.0.0.1", "localhost", "[::1]", "evil.example", "localhost.evil.example", "user@localhost"]
    ),
    st.sampled_from(["", ":80", ":443", ":8000", ":x", "/", "/path", "?q", "#f"]),
)
def test_only_the_page_of_this_host_and_port_has_its_origin(scheme: str, name: str, rest: str) -> None:
    origin = f"{scheme}://{name}{rest}"
    host = Host("localhost:8000")
    assert is_same_origin(origin, host) == (origin in ("http://localhost:8000", "https://localhost:8000"))
    assert is_same_origin(origin, Host("localhost")) == (
        origin
        in ("http://localhost", "http://localhost:80", "https://localhost", "https://localhost:443")
    )
    assert OriginRule(origin).accepts(origin, "cross-site", host)


@given(st.text("ab:*", max_size=5), st.text("ab:*", max_size=6))
def test_a_pattern_is_a_name_or_a_beginning(pattern: str, resource: str) -> None:
    grant = Grant((pattern,), ())
    beginnings = {resource} | {resource[:length] + "*" for length in range(len(resource) + 1)}
    assert grant.allows("read", resource) == (pattern in beginnings)
    assert not grant.allows("write", resource)


def test_two_hosts_or_none_are_refused(guarded: Service) -> None:
    import socket

    for hosts in ("", "Host: localhost\r\nHost: localhost\r\n", "Host: a b\r\n", "Host: localhost:x\r\n"):
        with socket.create_connection(("127.0.0.1", guarded.port)) as connection:
            connection.settimeout(PATIENCE)
            connection.sendall(f"GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
            assert connection.makefile("rb").readline().split()[1] == b"400", hosts


def test_commands_and_scripts_send_the_token(guarded: Service, tmp_path: Path) -> None:
    from ..support.commands import athanor_
    from ..support.scripts import Script

    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    text = "import athanor\nwith athanor.init('mine', id=ID) as run:\n    run.log('x')\n"
    settings: list[dict[str, Any]] = [{"token": TOKEN}, {"token_file": token_file}]
    for number, setting in enumerate(settings):
        script = Script(
            tmp_path / f"s{number}", text.replace("ID", f"'mine-s{number}'"), guarded.url, **setting
        )
        assert script.run() == 0
        assert script.stderr == ""
    shown = athanor_("runs", folder=tmp_path, url=guarded.url, token=TOKEN)
    assert shown.returncode == 0
    assert "mine-s1" in shown.stdout
    refused = athanor_("runs", folder=tmp_path, url=guarded.url, token="z" * 20)
    assert refused.returncode == 2
    assert "token" in refused.stderr
    assert "z" * 20 not in refused.stderr + refused.stdout
    lost = Script(tmp_path / "lost", text.replace("ID", "'mine-lost'"), guarded.url, finish_timeout=2)
    assert lost.run() == 0
    assert "401" in lost.stderr
    assert len(lost.spools) == 1


def test_all_pairs_of_headers_of_a_browser_are_decided_as_documented() -> None:
    host = Host("lab.example:8000")
    rule = OriginRule("https://friend.example")
    origins = (
        None,
        "null",
        "http://lab.example:8000",
        "http://lab.example",
        "https://friend.example",
        "http://evil",
    )
    sites = (None, "none", "same-origin", "same-site", "cross-site")
    for origin, site in itertools.product(origins, sites):
        expected = origin == "https://friend.example" or (
            origin in (None, "http://lab.example:8000") and site in (None, "none", "same-origin")
        )
        assert rule.accepts(origin, site, host) == expected, (origin, site)
