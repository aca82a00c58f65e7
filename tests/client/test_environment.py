"""Proxies, certificates and folders of the environment: an experiment is delivered, or told why not."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from athanor.client.http import connection_to, is_loopback
from athanor.client.settings import checked_url, without_login
from athanor.exceptions import ConfigurationError

from ..support.impostor import Impostor, response
from ..support.patience import PATIENCE
from ..support.scripts import Scripts, environment, free_port, messages, status
from ..support.service import Service, running

SCRIPT = """
import athanor

with athanor.init("surroundings", id="seen", finish_timeout=5) as run:
    run.log("one")
print("went on")
"""
SUBSCRIBE = """
import athanor

for event in athanor.subscribe("experiments:run:seen", after="0"):
    print(type(event).__name__)
"""
DEAD = f"127.0.0.1:{free_port()}"
PROXIES = {
    "GNOME": {"all_proxy": "socks://127.0.0.1:7890/"},
    "SOCKS": {"ALL_PROXY": "socks5://127.0.0.1:7890"},
    "a proxy that refuses": {"http_proxy": f"http://{DEAD}", "HTTPS_PROXY": f"http://{DEAD}"},
    "no scheme": {"http_proxy": DEAD},
    "not an address": {"http_proxy": "http://[", "all_proxy": "\x7f://x"},
    "certificates that are gone": {"SSL_CERT_FILE": "/gone/cacert.pem", "SSL_CERT_DIR": "/gone"},
}


def run_command(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "athanor", *arguments],
        cwd=folder,
        env=environment() | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("name", PROXIES)
def test_the_environment_does_not_come_between_a_script_and_its_own_machine(
    service: Service, scripts: Scripts, name: str
) -> None:
    script = scripts(SCRIPT, service.url)
    script.environ |= PROXIES[name]
    assert script.run() == 0
    assert script.stdout == "went on\n"
    assert script.notices == [line for line in script.notices if "run" in line]
    assert messages(service.client(), "seen") == ["one"]
    subscriber = scripts(SUBSCRIBE, service.url)
    subscriber.environ |= PROXIES[name]
    assert subscriber.run() == 0, subscriber.stderr
    assert subscriber.stdout.split()[-1] == "RunCompleted"
    shown = run_command(script.folder, "runs", ATHANOR_URL=service.url, **PROXIES[name])
    assert shown.returncode == 0
    assert shown.stderr == ""


@pytest.mark.parametrize("name", PROXIES)
def test_what_the_environment_can_not_do_is_a_sentence(scripts: Scripts, name: str) -> None:
    """For an address that is not this machine: a TEST-NET name, which resolves nowhere."""
    url = "https://athanor.invalid"
    script = scripts(SCRIPT.replace("timeout=5", "timeout=0.2"), url)
    script.environ |= PROXIES[name]
    assert script.run() == 0
    assert script.stdout == "went on\n"
    assert "Traceback" not in script.stderr
    shown = run_command(script.folder, "runs", ATHANOR_URL=url, **PROXIES[name])
    assert shown.returncode == 2
    assert "Traceback" not in shown.stderr
    assert all(line.startswith("athanor: ") for line in shown.stderr.splitlines())
    if name in ("GNOME", "SOCKS", "not an address"):
        assert "_proxy is" in script.stderr
        assert "without a proxy" in shown.stderr
    if name.startswith("certificates"):
        assert script.stderr.count("SSL_CERT_FILE is '/gone/cacert.pem', which can't be read") == 1


def test_a_proxy_is_used_for_another_machine_and_not_for_a_name_that_is_excepted(
    scripts: Scripts,
) -> None:
    with Impostor(response("502 Bad Gateway")) as proxy:
        for exceptions, used in (("", True), ("athanor.invalid", False), ("*", False)):
            before = proxy.requests
            script = scripts(SCRIPT.replace("timeout=5", "timeout=0.5"), "http://athanor.invalid")
            script.environ |= {"http_proxy": proxy.url, "no_proxy": exceptions}
            assert script.run() == 0
            assert (proxy.requests > before) is used, exceptions


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True)),
        *(("a.localhost", True), ("localhost.example.org", False), ("10.0.0.1", False)),
        *(("128.0.0.1", False), ("example.org", False), ("", False)),
    ],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


# certificates


class Greeter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def tls_server(tmp_path: Path, need: Callable[[bool, str], None]) -> Iterator[tuple[str, Path]]:
    """A TLS server with a self-signed certificate for `localhost`: its URL, and the certificate."""
    import shutil

    need(shutil.which("openssl") is not None, "openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Greeter)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_port}", certificate
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE)


def test_a_certificate_that_is_not_trusted_is_named_as_the_reason(
    tls_server: tuple[str, Path], scripts: Scripts, tmp_path: Path
) -> None:
    url, certificate = tls_server
    shown = run_command(tmp_path, "runs", ATHANOR_URL=url)
    assert shown.returncode == 2
    assert "its certificate is not accepted: self-signed certificate" in shown.stderr
    assert "SSL_CERT_FILE" in shown.stderr
    # trusted, but for another name
    other = run_command(
        tmp_path,
        "runs",
        ATHANOR_URL=url.replace("localhost", "127.0.0.1"),
        SSL_CERT_FILE=str(certificate),
    )
    assert "its certificate is not accepted: IP address mismatch" in other.stderr
    trusted = run_command(tmp_path, "runs", ATHANOR_URL=url, SSL_CERT_FILE=str(certificate))
    assert "is an Athanor there?" in trusted.stderr
    script = scripts(SCRIPT.replace("timeout=5", "timeout=1"), url)
    assert script.run() == 0
    assert "self-signed certificate" in script.stderr or "not delivered" in script.stderr


def test_a_plain_server_behind_https_is_named_as_the_reason(service: Service, tmp_path: Path) -> None:
    shown = run_command(tmp_path, "runs", ATHANOR_URL=service.url.replace("http:", "https:"))
    assert shown.returncode == 2
    assert "wrong version number" in shown.stderr or "record layer failure" in shown.stderr


# folders


CHDIR = """
import os, sys
import athanor

run = athanor.init("folders", id="moved", finish_timeout=10)
run.log("before")
print("ready")
sys.stdin.readline()
os.makedirs("outputs/1")
os.chdir("outputs/1")
for number in range(100):
    run.log(str(number))
print("logged")
sys.stdin.readline()
run.finish()
"""


def test_a_script_that_changes_its_folder_keeps_one_spool(scripts: Scripts, tmp_path: Path) -> None:
    port = free_port()
    script = scripts(CHDIR, f"http://127.0.0.1:{port}").start()
    script.wait_for("ready")
    script.send_line()
    script.wait_for("logged")
    with running(tmp_path, port=port) as service:
        script.send_line()
        assert script.wait() == 0
        client = service.client()
        assert messages(client, "moved") == ["before", *map(str, range(100))]
        assert status(client, "moved") == "completed"
        again = run_command(script.folder, "sync", ATHANOR_URL=service.url)
        assert again.stdout == "nothing to deliver\n"
    assert not list(script.folder.rglob("*.ndjson"))
    assert not (script.folder / "outputs" / "1" / ".athanor").exists()


UNREMOVABLE = """
import sys
from pathlib import Path
import athanor
from athanor.client.delivery import spool

def refuse(path, missing_ok=False):
    raise PermissionError(13, "Permission denied", str(path))

Path.unlink = refuse
run = athanor.init("folders", id="kept", finish_timeout=20)
run.log("one")
print("ready")
sys.stdin.readline()
while list(Path(".athanor/spool").glob("*.ndjson")) == []:
    pass
print("spooled")
sys.stdin.readline()
for number in range(5):
    run.log(str(number))
print("logged")
sys.stdin.readline()
run.log("last")
run.finish()
"""


def test_a_spool_that_can_not_be_deleted_is_not_delivered_twice_and_fails_no_run(
    scripts: Scripts, tmp_path: Path
) -> None:
    port = free_port()
    script = scripts(UNREMOVABLE, f"http://127.0.0.1:{port}").start()
    script.wait_for("ready")
    script.send_line()
    script.wait_for("spooled")
    with running(tmp_path, port=port) as service:
        client = service.client()
        script.send_line()
        script.wait_for("logged")
        # while the script runs, its file is locked
        meanwhile = run_command(script.folder, "sync", ATHANOR_URL=service.url)
        assert "skipped 1 file of running processes" in meanwhile.stdout
        script.send_line()
        assert script.wait() == 0
        expected = ["one", "0", "1", "2", "3", "4", "last"]
        assert messages(client, "kept") == expected
        assert status(client, "kept") == "completed"
        assert len(script.spools) == 1
        after = run_command(script.folder, "sync", ATHANOR_URL=service.url)
        assert after.returncode == 0, after.stderr
        assert messages(client, "kept") == expected
        assert status(client, "kept") == "completed"
    assert not script.spools


def test_a_folder_that_was_deleted_does_not_break_the_script(service: Service, scripts: Scripts) -> None:
    script = scripts(
        """
        import os, tempfile
        import athanor

        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)
        with athanor.init("folders", id="gone") as run:
            run.log("one")
        """,
        service.url,
    )
    assert script.run() == 0, script.stderr
    assert messages(service.client(), "gone") == ["one"]


# passwords


SECRET = "hunter2"
LOGINS = [
    *("alice:hunter2", "alice:hunter2#x", "alice:hunter2/x", "alice:hunter2?x", "alice:hunter2@x"),
    *("alice:hunter2%23x", "alice:hunter2[x", "hunter2", ":hunter2", "alice:#hunter2", "alice:1#hunter2"),
]


@pytest.mark.parametrize("login", LOGINS)
def test_every_form_of_a_login_is_left_out_of_what_is_shown(login: str) -> None:
    given = f"http://{login}@127.0.0.1:8000"
    for url in (given, checked_url("url", given)):
        assert without_login(url) == "http://127.0.0.1:8000"
        assert SECRET not in str(connection_to(checked_url("url", url)).problems)


@pytest.mark.parametrize("login", ["alice:hunter2", "alice:hunter2#x", "alice:hunter2@x", ":hunter2"])
def test_a_password_is_used_and_never_shown(login: str, tmp_path: Path, scripts: Scripts) -> None:
    with Impostor(response("401 Unauthorized")) as server:
        place = server.url.removeprefix("http://")
        url = f"http://{login}@{place}"
        script = scripts(SCRIPT.replace("timeout=5", "timeout=0.2") + "print(repr(run), run.url)", url)
        assert script.run() == 0
        assert SECRET not in script.stdout + script.stderr
        assert place in script.stdout
        for path in script.spools:
            assert SECRET.encode() not in path.read_bytes()
        for command in (["runs"], ["tail", "latest"], ["cancel", "x"], ["export", "x"], ["sync"]):
            shown = run_command(script.folder, *command, ATHANOR_URL=url)
            assert shown.returncode in (1, 2)
            assert SECRET not in shown.stdout + shown.stderr, command
            assert "Traceback" not in shown.stderr
        given = run_command(script.folder, "runs", "--url", url)
        assert SECRET not in given.stdout + given.stderr


@pytest.mark.parametrize("scheme", ["ftp://", "", "http:/", "http://http://", "postgresql://"])
@pytest.mark.parametrize("login", LOGINS)
def test_an_address_that_is_none_is_refused_without_its_password(scheme: str, login: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        checked_url("ATHANOR_URL", f"{scheme}{login}@host:99999")
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None or SECRET not in str(refused.value.__cause__)


def test_a_login_reaches_the_service_as_it_was_given() -> None:
    for login, escaped in (
        ("alice:hunter2#x", "alice:hunter2%23x"),
        ("alice:a/b?c@d", "alice:a%2Fb%3Fc%40d"),
        ("alice:hunter2%23x", "alice:hunter2%23x"),
    ):
        assert checked_url("url", f"https://{login}@host/a") == f"https://{escaped}@host/a"
    for url in ("http://host:8000/a@b", "http://[::1]:8000/a@b", "https://host/%40"):
        assert checked_url("url", url) == url


def test_connections_are_made_once_for_an_address() -> None:
    assert connection_to("http://127.0.0.1:1") is connection_to("http://127.0.0.1:1")
