"""Tests of what docs/deployment.md prints: the proxies before two nodes, unit, container and SQL."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import athanor
from athanor import Settings
from athanor.client.settings import ClientSettings

from ..support import plain, postgres
from ..support.cluster import Cluster
from ..support.follower import Follower, wait_until
from ..support.patience import PATIENCE
from ..support.scripts import free_port
from ..support.service import ROOT, Service, metric, new_run, running

DOCUMENT = (ROOT / "docs" / "deployment.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
MIB = 1024 * 1024

Need = Callable[[bool, str], None]
Patch = pytest.MonkeyPatch


def block(kind: str, beginning: str) -> str:
    """The document's only block of this kind that starts with `beginning`."""
    (found,) = [text for of, text in BLOCKS if of == kind and text.startswith(beginning)]
    return str(found)


def replaced(text: str, *pieces: tuple[str, str]) -> str:
    """`text` with the first string of each pair replaced by the second; it must occur exactly once."""
    for old, new in pieces:
        assert text.count(old) == 1, f"{old!r} is in the document {text.count(old)} times, not once"
        text = text.replace(old, new)
    return text


class Front:
    """A proxy with the document's configuration, on loopback, before two nodes of a test.

    `read_timeout` replaces the 90 s after which the document's proxies give up a silent node.
    """

    def __init__(self, folder: Path, nodes: list[Service], read_timeout: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.nodes = nodes
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "log"
        self.url = f"https://127.0.0.1:{free_port()}"
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.pieces = [
            ("10.0.0.11:8000", nodes[0].url.removeprefix("http://")),
            ("10.0.0.12:8000", nodes[1].url.removeprefix("http://")),
            ("read_timeout 90s", f"read_timeout {read_timeout}"),
        ]
        command = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=athanor -keyout {self.key}"
        command += f" -out {self.cert} -addext subjectAltName=IP:127.0.0.1"
        subprocess.run(command.split(), check=True, capture_output=True, timeout=PATIENCE)

    def start(self, command: list[str]) -> None:
        environ = {**os.environ, "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
        wait_until(self._answers, "the proxy")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=PATIENCE).status_code == 200
        return False

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)


def nginx(front: Front) -> list[str]:
    below_a_path = block("nginx", "location = /athanor {")
    site = replaced(
        block("nginx", "upstream athanor {"),
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
        ("listen 443 ssl http2;", f"listen {front.url.removeprefix('https://')} ssl http2;"),
        ("/etc/ssl/athanor/cert.pem", str(front.cert)),
        ("/etc/ssl/athanor/key.pem", str(front.key)),
        ("    location / {", f"{below_a_path}\n    location / {{"),
        *front.pieces,
    )
    main = replaced(block("nginx", "worker_rlimit_nofile"), ("65536;", "1024;"), ("16384;", "512;"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {front.folder}/{kind};\n" for kind in kinds)
    # started by root, nginx would run its workers as a user that cannot read pytest's folders
    main += f"{'user root;' if os.geteuid() == 0 else ''}\ndaemon off;\npid {front.folder}/pid;\n"
    config = front.folder / "nginx.conf"
    config.write_text(f"{main}http {{\naccess_log off;\n{folders}{site}}}\n")
    return [program("nginx"), "-e", "stderr", "-p", str(front.folder), "-c", str(config)]


def caddy(front: Front) -> list[str]:
    config = front.folder / "Caddyfile"
    text = replaced(
        block("caddyfile", "(nodes) {"),
        ("athanor.example.org {", f"{front.url} {{\n\tbind 127.0.0.1\n\ttls {front.cert} {front.key}"),
        *front.pieces,
    )
    config.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}")
    return [program("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]


def program(name: str) -> str:
    """The program's path, in `PATH` or /usr/sbin; empty if it is not installed."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or ""


Serve = Callable[..., Front]


@pytest.fixture(params=[nginx, caddy])
def serve(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, need: Need, monkeypatch: Patch
) -> Iterator[Serve]:
    """Starts two nodes with the given settings, and a proxy before them."""
    for name in (request.param.__name__, "openssl", "curl"):
        need(program(name) != "", name)
    curl = subprocess.run(["curl", "-V"], check=True, capture_output=True, timeout=PATIENCE)
    need(b"HTTP2" in curl.stdout, "HTTP/2 in curl")
    with contextlib.ExitStack() as stack:

        def start(read_timeout: str = "90s", **settings: Any) -> Front:
            cluster = Cluster.on(tmp_path, database, 2, **settings)
            stack.callback(cluster.close)
            cluster.start()
            for node in cluster.nodes:
                # quicker than an orderly shutdown
                stack.callback(node.kill)
            front = Front(tmp_path / "front", cluster.nodes, read_timeout)
            monkeypatch.setenv("SSL_CERT_FILE", str(front.cert))
            stack.callback(front.close)
            front.start(request.param(front))
            return front

        yield start


@contextlib.contextmanager
def watched(front: Front, run: str) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
    """`curl` over HTTP/2 on a run's stream, and a function that returns what it has printed."""
    shown = front.folder / "shown"
    command = ["curl", "--http2", "-sSNi", "--cacert", str(front.cert)]
    with shown.open("wb") as out:
        process = subprocess.Popen([*command, f"{front.url}/events/experiments:run:{run}"], stdout=out)
    try:
        wait_until(lambda: "retry:" in shown.read_text(), "the stream")
        assert shown.read_text().startswith("HTTP/2 200")
        yield process, shown.read_text
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_lines_are_seen_before_anything_follows_them_and_bodies_may_have_8_mib(serve: Serve) -> None:
    front = serve(keepalive=600)
    with httpx.Client(base_url=front.url, timeout=PATIENCE) as client:
        run = new_run(client)
        with watched(front, run) as (watching, shown):
            for number in range(3):
                client.post(f"/runs/{run}/logs", json={"message": f"line {number}"}).raise_for_status()
                wait_until(lambda: f'"line {number}"' in shown(), "the line")  # noqa: B023
            assert watching.poll() is None
            client.post(f"/runs/{run}/complete").raise_for_status()
            # the stream ended, and was not cut off
            assert watching.wait(PATIENCE) == 0
        path, line = f"/runs/{new_run(client)}/logs", "x" * 1000 + "\n"
        for size, status in ((2 * MIB, 201), (8 * MIB + 2000, 413)):
            answer = client.post(path, content=line * (size // len(line)))
            assert answer.status_code == status, answer.text


def test_a_stream_with_nothing_but_keepalives_is_not_cut(serve: Serve) -> None:
    front = serve(read_timeout="5s", keepalive=0.25)
    with httpx.Client(base_url=front.url, timeout=PATIENCE) as client:
        run = new_run(client)
        with watched(front, run) as (watching, shown):

            def is_kept() -> bool:
                assert watching.poll() is None, shown() + front.log.read_text()
                return shown().count("\n:") > 24

            wait_until(is_kept, "keep-alives for longer than the proxy waits")
            client.post(f"/runs/{run}/complete").raise_for_status()
            assert watching.wait(PATIENCE) == 0
            assert "event: run_completed\n" in shown()


def test_a_node_that_is_killed_costs_a_reader_no_line(serve: Serve) -> None:
    front = serve(flush_interval=0.02)
    with httpx.Client(base_url=front.url, timeout=PATIENCE) as client:
        run = new_run(client)
        reader = Follower(front.url, f"/events/experiments:run:{run}", "0")
        reader.start()
        wait_until(lambda: reader.events, "the stream")
        for number in range(40):
            if number == 20:
                (serving,) = [node for node in front.nodes if metric(node, "athanor_subscribers") == 1]
                serving.kill()
            headers = {"Idempotency-Key": uuid.uuid4().hex}
            body = {"message": f"line {number}"}

            def is_taken() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    answer = client.post(f"/runs/{run}/logs", json=body, headers=headers)  # noqa: B023
                    assert answer.status_code in (201, 502, 503), answer.text
                    return answer.status_code == 201
                return False

            wait_until(is_taken, "a node that takes the line")
        client.post(f"/runs/{run}/complete").raise_for_status()
        reader.finish()
    assert reader.connections > 1
    assert reader.seqs == list(range(1, 41))


@pytest.mark.parametrize("serve", [nginx], indirect=True)
def test_everything_is_found_beneath_a_path(serve: Serve) -> None:
    front = serve()
    with httpx.Client(follow_redirects=True, timeout=PATIENCE) as client:
        page = client.get(f"{front.url}/athanor").raise_for_status()
        files = re.findall(r'(?:href|src)="(\w[^"]+)"', page.text)
        assert any(re.fullmatch(r"static/\w+/app\.js", file) for file in files)
        for file in files:
            client.get(page.url.join(file)).raise_for_status()
    with httpx.Client(base_url=f"{front.url}/athanor", timeout=PATIENCE) as client:
        run = new_run(client)
        client.post(f"/runs/{run}/complete").raise_for_status()
    events = athanor.subscribe(f"experiments:run:{run}", url=f"{front.url}/athanor", after="0")
    assert [type(event).__name__ for event in events] == ["RunCreated", "RunStarted", "RunCompleted"]


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, need: Need) -> None:
    need(program("systemd-analyze") != "", "systemd-analyze")
    unit = tmp_path / "athanor.service"
    pieces = ("/opt/athanor/bin/athanor serve", f"{sys.executable} -m athanor serve")
    unit.write_text(replaced(block("ini", "[Unit]"), pieces))
    command = [program("systemd-analyze"), "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_container_files_are_those_of_the_document() -> None:
    assert block("dockerfile", "FROM ") == (ROOT / "Containerfile").read_text()
    assert block("dockerignore", "#") == (ROOT / ".dockerignore").read_text()


def test_a_container_is_built_from_all_that_the_wheel_needs_and_nothing_else() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, wheel = config["project"], config["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = ["pyproject.toml", project["readme"], *project["license-files"]]
    needed += [*wheel["packages"], *wheel["force-include"]]
    for name in needed:
        assert (ROOT / name).exists(), f"pyproject.toml names {name}, which does not exist"
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if not line.startswith("#")]
    # all is excluded, then a few names are let in again
    assert patterns[0] == "*"
    assert {pattern[1:] for pattern in patterns if pattern.startswith("!")} == set(needed)


def test_a_restored_database_with_a_new_epoch_tells_readers_so(tmp_path: Path, database: str) -> None:
    with running(tmp_path, database_url=database) as service:
        run = new_run(service.client())
        cursor = service.client().get(f"/runs/{run}").json()["last_event_id"]
    postgres.run_sql(block("sql", "UPDATE meta"), database.rpartition("/")[2])
    with running(tmp_path, database_url=database) as service:
        service.client().post(f"/runs/{run}/complete").raise_for_status()
        reader = Follower(service.url, f"/events/experiments:run:{run}", cursor)
        reader.start()
        reader.finish()
        metrics = set(re.findall(r"athanor_\w+", plain.get(f"{service.url}/metrics").text))
    kinds = [data["type"] for _, data in reader.events]
    assert kinds == ["gap", "run_created", "run_started", "run_completed"]
    assert reader.events[0][1]["reason"] == "foreign"
    # the service also has every metric that the document names
    assert set(re.findall(r"\bathanor_[a-z_]+", DOCUMENT)) <= metrics


def test_every_variable_of_the_document_is_a_setting() -> None:
    fields = [msgspec.structs.fields(kind) for kind in (Settings, ClientSettings)]
    real = {f"ATHANOR_{field.name.upper()}" for field in (*fields[0], *fields[1])}
    assert set(re.findall(r"\bATHANOR_[A-Z_]+", DOCUMENT)) <= real
    environ = dict(re.findall(r"^(\w+)=(.*)$", block("ini", "ATHANOR_"), re.MULTILINE))
    assert Settings.from_env(environ).workers > 1
