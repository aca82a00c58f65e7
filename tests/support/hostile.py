"""Hostile text: what would move a cursor, set a title, fill the clipboard, forge or reorder lines."""

from __future__ import annotations

import json
import threading
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .patience import PATIENCE

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
CORPUS = (
    "\x1b]0;OSC-title\x07", "\x1b]2;OSC-title\x1b\\", "\x1b]8;;http://evil/\x07link\x1b]8;;\x07",
    "\x1b]52;c;ZXZpbA==\x07", "\x1b]0;OSC-without-end", "\x1bPDCS\x1b\\", "\x1bXSOS\x1b\\",
    "\x1b^PM\x1b\\", "\x1b_APC\x1b\\", "\x1b[2J\x1b[H", "\x1b[?1049h", "\x1b[>4;2m", "\x1b[6n",
    "\x1b[31mred", "\x1b[8mhidden", "\x1bc", "\x1b(0", "\x9b2J", "\x9d0;C1-title\x9c", "\x90C1-DCS\x9c",
    "\x84\x85\x8d", "del\x7f", "back\b\b\b\bfore", "over\rwritten", "bell\x07", "nul\x00", "\x0b\x0c\x0e",
    "\u202eoverride", "\u202a\u202b\u202c\u202d", "\u2066\u2067\u2068\u2069", "\u200e\u200f\u061c",
    "line\u2028para\u2029", "\ufeffbom", "\ud800lone", "\x1b\x1b[31m[2Jjoined", "\x1b[3\x1b[1m1mjoined",
)  # fmt: skip
"""Each would be obeyed or misread by some terminal, browser or `splitlines`."""
ALL = "|".join(CORPUS)
"""All of them as one text of one line."""
FORGED = "a\nathanor: forged\r\n2026-01-01T00:00:00Z ERROR forged"


def unsafe_in(text: str) -> set[str]:
    """The characters of `text` that must not be shown; a line feed and a tab may be."""
    return {
        character
        for character in text
        if (unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t")
        or unicodedata.bidirectional(character) in BIDI
        or character in "\u200e\u200f\u061c\u2028\u2029\ufeff"
    }


def lone_replaced(text: str) -> str:
    """`text` as a service stores it."""
    return text.replace("\ud800", "\ufffd")


class HostileService:
    """Answers as the service does, with hostile text in every field of every response.

    The run of the path `/runs/good` has the id `good`. With `problem`, every response is a problem.
    """

    def __init__(self, problem: int | None = None) -> None:
        handler = type("Handler", (_Handler,), {"problem": problem})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)

    def __enter__(self) -> HostileService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)


def _run(id: str, status: str = "running") -> dict[str, Any]:
    at = "2026-01-01T00:00:00.000000Z"
    return {
        "id": id, "instance_id": ALL, "status": status, "error": FORGED + ALL, "created_at": at,
        "started_at": at, "completed_at": at, "cancel_requested_at": None, "log_count": 1,
        "result_count": 1, "metadata": {"name": ALL, ALL: ALL}, "stale": False,
        "progress": None, "last_event_id": "abcdef-1",
    }  # fmt: skip


_LOG = {
    "seq": 1, "timestamp": "2026-01-01T00:00:00.000000Z", "level": "info", "message": ALL,
    "metadata": {ALL: ALL},
}  # fmt: skip
_RESULT = {"seq": 1, "timestamp": ALL, "step": None, "key": ALL, "value": ALL}


class _Handler(BaseHTTPRequestHandler):
    problem: int | None

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def _respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.problem is not None:
            body = _json({"title": "x", "status": self.problem, "detail": FORGED + ALL})
            self._send(self.problem, "application/problem+json", body)
        elif self.path.startswith("/events"):
            self._send(200, "text/event-stream", self._events())
        elif self.command == "DELETE":
            self._send(204, "text/plain", b"")
        elif "/logs" in self.path or "/results" in self.path:
            self._entries()
        elif self.path.startswith("/instances?"):
            instance = {"id": ALL, "name": ALL, "created_at": "x", "updated_at": "x"}
            self._send(200, "application/json", _json({"instances": [instance], "next": None}))
        elif self.path.startswith("/runs?"):
            page = {"runs": [_run(ALL), _run(ALL + "x")], "next": None}
            self._send(200, "application/json", _json(page).replace(b",", b",\r\n"))
        else:
            self._send(200, "application/json", _json(_run("good")))

    do_GET = do_POST = do_DELETE = _respond  # noqa: N815

    def _entries(self) -> None:
        accept = self.headers["Accept"]
        entry = _LOG if "/logs" in self.path else _RESULT
        body = _json(entry) + b"\n"
        if accept == "text/csv":
            body = f'seq,message\r\n1,"{lone_replaced(ALL)}"\r\n'.encode()
        elif accept == "application/json":
            noun = "logs" if "/logs" in self.path else "results"
            body = _json({noun: [entry], "total": 1, "last_event_id": "abcdef-1", "next": None})
        self._send(200, accept, body)

    def _events(self) -> bytes:
        events = [
            {"type": "run_started", "run": _run("good")},
            {"type": "run_log", "run_id": "good", "log": _LOG},
            {"type": "run_result", "run_id": "good", "result": _RESULT},
            {"type": "run_failed", "run": _run("good", "failed"), "error": ALL},
        ]
        return b"".join(
            b"id: abcdef-%d\nevent: %b\ndata: %b\n\n"
            % (number, str(event["type"]).encode(), _json(event))
            for number, event in enumerate(events, 1)
        )

    def _send(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _json(value: Any) -> bytes:
    """JSON with as few escapes as it may have."""
    text = json.dumps(value, ensure_ascii=False)
    return lone_replaced(text).encode()
