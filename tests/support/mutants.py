"""Requests that are not quite HTTP, from a seed; each tells which name it must not store."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

REFUSED = "refused"
ANY = "any"


def mutants(seed: int, count: int, run: str) -> Iterator[tuple[bytes, str]]:
    """Requests, each with the name of the instance that it may create.

    A name that begins with `REFUSED` must not be stored; one that begins with `ANY` may be. `run`
    is a completed run, whose stream ends.
    """
    chance = random.Random(seed)
    for number in range(count):
        if chance.random() < 0.5:
            name = f"{REFUSED}-{number}"
            yield chance.choice(MALFORMED)(name), name
        else:
            name = f"{ANY}-{number}"
            yield _damage(chance, chance.choice(WHOLE)(name, run)), name


def _post(name: str, framing: str | None = None, more: str = "", version: str = "HTTP/1.1") -> bytes:
    """A request that creates an instance, with these headers instead of its length, and more."""
    body = f'{{"name": "{name}"}}'
    framing = f"Content-Length: {len(body)}" if framing is None else framing
    head = f"POST /instances {version}\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}{more}{framing}\r\n\r\n{body}".encode("latin-1")


def _smuggled(name: str, framing: str) -> bytes:
    """Two readings of this request differ in where it ends; in one, another request follows."""
    inner = _post(name)
    head = f"POST /instances HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n"
    return head.encode().replace(b"LENGTH", b"%d" % (len(inner) + 5)) + b"0\r\n\r\n" + inner


def _chunked(name: str, chunk: str) -> bytes:
    """A chunked body; `chunk` has SIZE and DATA."""
    data = f'{{"name": "{name}"}}'
    text = chunk.replace("SIZE", f"{len(data):x}").replace("DATA", data)
    return _post("", "Transfer-Encoding: chunked").split(b"\r\n\r\n")[0] + f"\r\n\r\n{text}".encode()


MALFORMED: list[Callable[[str], bytes]] = [
    lambda name: _smuggled(name, "Content-Length: LENGTH\r\nTransfer-Encoding: chunked"),
    lambda name: _smuggled(name, "Transfer-Encoding: chunked\r\nContent-Length: LENGTH"),
    lambda name: _smuggled(name, "Content-Length: 5\r\nContent-Length: LENGTH"),
    lambda name: _smuggled(name, "Transfer-Encoding: chunked, gzip"),
    lambda name: _smuggled(name, "Transfer-Encoding: xchunked\r\nContent-Length: LENGTH"),
    lambda name: _smuggled(name, "Transfer-Encoding : chunked"),
    lambda name: _post(name, "Content-Length: -1"),
    lambda name: _post(name, "Content-Length: +7"),
    lambda name: _post(name, "Content-Length: 0x7"),
    lambda name: _post(name, "Content-Length: 99999999999999999999999"),
    lambda name: _post(name, "Content-Length: 7, 7"),
    lambda name: _post(name, "Content-Length:"),
    lambda name: _post(name, "Content-Length: 7"),
    lambda name: _post(name, more="X: a\0b\r\n"),
    lambda name: _post(name, more="X\0: a\r\n"),
    lambda name: _post(name, more="X: \x01\x7f\r\n"),
    lambda name: _post(name, more="X : a\r\n"),
    lambda name: _post(name, more="X: a\rY: b\r\n"),
    lambda name: _post(name, more="no colon\r\n"),
    lambda name: _post(name, more=": no name\r\n"),
    lambda name: _post(name, version="HTTP/0.9"),
    lambda name: _post(name, version="HTTP/2.0"),
    lambda name: _post(name, version="HTTP/9.9"),
    lambda name: _post(name, version="HTTP/1.1 "),
    lambda name: _post(name, version="FTP/1.1"),
    lambda name: b"GET /\r\n" + _post(name),
    lambda name: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _post(name),
    lambda name: b"\x16\x03\x01\x02\0\x01\0" + _post(name),
    lambda name: b"\0" + _post(name),
    lambda name: _chunked(name, "zz\r\nDATA\r\n0\r\n\r\n"),
    lambda name: _chunked(name, "-SIZE\r\nDATA\r\n0\r\n\r\n"),
    lambda name: _chunked(name, "0xSIZE\r\nDATA\r\n0\r\n\r\n"),
    lambda name: _chunked(name, "fffffffffffffffffSIZE\r\nDATA\r\n0\r\n\r\n"),
    lambda name: _chunked(name, "SIZE\r\nDATADATA\r\n0\r\n\r\n"),
    lambda name: _chunked(name, "2\r\nDATA\r\n0\r\n\r\n"),
    lambda name: _chunked(name, "SIZE\r\nDATA\r\n0\r\nX\0: a\r\n\r\n"),
]

WHOLE: list[Callable[[str, str], bytes]] = [
    lambda name, run: _post(name),
    lambda name, run: _chunked(name, "SIZE\r\nDATA\r\n0\r\n\r\n"),
    lambda name, run: _chunked(name, "SIZE;a=b\r\nDATA\r\n0\r\nX: a\r\n\r\n"),
    lambda name, run: _post(name).replace(b"Host: localhost\r\n", b""),
    lambda name, run: _post(name, more="Host: y\r\n"),
    lambda name, run: _post(name, more="X: a\r\n folded\r\n"),
    lambda name, run: _post(name, more="Expect: 100-continue\r\n"),
    lambda name, run: _post(name, more="Connection: Upgrade\r\nUpgrade: h2c\r\n"),
    lambda name, run: _post(name, version="HTTP/1.0"),
    lambda name, run: _post(name).replace(b" /", b" http://x/"),
    lambda name, run: b"GET /instances?limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    lambda name, run: b"GET http://x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    lambda name, run: b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
    lambda name, run: b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    lambda name, run: b"GET /runs?limit=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % 10**30,
    lambda name, run: (
        f"GET /events/experiments:run:{run}?tail=2 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    ),
    lambda name, run: f"GET /events/experiments:run:{run} HTTP/1.0\r\n\r\n".encode(),
]


def _damage(chance: random.Random, request: bytes) -> bytes:
    """The request with up to three faults in its head: its body stays what it is."""
    head, end, body = request.partition(b"\r\n\r\n")
    bytes_ = bytearray(head)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(bytes_))
        match chance.randrange(6):
            case 0:
                bytes_[at] = chance.randrange(256)
            case 1:
                del bytes_[at : at + chance.randrange(1, 4)]
            case 2:
                bytes_[at:at] = bytes([chance.choice(b"\0\r\n\t :;,%/?#0\x7f\xff")])
            case 3:
                bytes_[at:at] = bytes_[at : at + chance.randrange(30)]
            case 4:
                bytes_[at:at] = b"9" * chance.randrange(1, 40)
            case _:
                lines = bytes(bytes_).split(b"\r\n")
                lines.insert(chance.randrange(1, len(lines) + 1), chance.choice(lines))
                bytes_ = bytearray(b"\r\n".join(lines))
    whole = bytes(bytes_) + end + body
    return whole[: chance.randrange(1, len(whole))] if chance.random() < 0.1 else whole
