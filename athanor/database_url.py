"""The database's URL: every form that is understood, and a sentence for every other one.

No error shows the URL or a part of it that may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from .exceptions import ConfigurationError

NAME = "ATHANOR_DATABASE_URL"
FORMS = (
    "it has to be sqlite:///path (four slashes for an absolute path) or "
    "postgresql://user:password@host:5432/database"
)
ESCAPE = "in a user or a password, write / as %2F, ? as %3F, @ as %40, # as %23 and % as %25"

_DRIVER = frozenset(
    (
        *("gsslib", "krbsrvname", "passfile", "service", "sslcert", "sslcrl", "sslkey", "sslmode"),
        *("sslnegotiation", "sslpassword", "sslrootcert", "ssl_max_protocol_version"),
        *("ssl_min_protocol_version", "target_session_attrs"),
    )
)
"""Parameters that asyncpg understands itself."""
_KEEPALIVES = frozenset(
    ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
)
_HARMLESS = {
    "channel_binding": ("prefer", "disable"),
    "client_encoding": ("utf8", "utf-8", "auto"),
    "gssdelegation": ("0",),
    "gssencmode": ("prefer", "disable"),
    "load_balance_hosts": ("disable",),
    "replication": ("false", "off", "no", "0"),
    "requiressl": ("0",),
    "sslcertmode": ("allow",),
    "sslcompression": ("0",),
    "sslsni": ("1",),
}
"""Parameters of libpq that may be there with the values that change nothing."""
_UNSUPPORTED = frozenset(
    (
        *("min_protocol_version", "max_protocol_version", "oauth_client_id", "oauth_client_secret"),
        *("oauth_issuer", "oauth_scope", "require_auth", "requirepeer", "scram_client_key"),
        *("scram_server_key", "servicefile", "sslcrldir", "sslkeylogfile"),
    )
)
"""The parameters of libpq that remain."""
_INSTEAD = {
    "channel_binding": "sslmode=verify-full proves which server answers",
    "gssencmode": "sslmode encrypts the connection",
    "requiressl": "write sslmode=require",
    "servicefile": "set PGSERVICEFILE",
}
_OTHER_NAMES = {
    "ApplicationName": "application_name",
    "connectTimeout": "connect_timeout",
    "currentSchema": "search_path",
    "database": "dbname",
    "fallback_application_name": "application_name",
}
"""JDBC's and asyncpg's names, and those that mean the same here."""
_OWN = frozenset(
    (
        *("host", "hostaddr", "port", "user", "password", "dbname"),
        *("connect_timeout", "application_name", "options", "ssl"),
    )
)
_KNOWN = _OWN | _DRIVER | _KEEPALIVES | _HARMLESS.keys() | _UNSUPPORTED | _OTHER_NAMES.keys()

_URL = re.compile(r"(?:jdbc:)?([a-z][a-z0-9]*)(?:\+\w*)?://(.*)", re.DOTALL | re.IGNORECASE)
_PARTS = re.compile(r"([^/?]*)(?:/([^?]*))?(?:\?(.*))?", re.DOTALL)
_HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(\d*))?")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]+(?:%\w+)?")
_KEYWORD = re.compile(
    r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\']|\\.)(?:[^\s\\]|\\.)*)?)(?=\s|$)"
)
_OPTION = re.compile(r"(?:-c\s*|--)([\w.-]+)=((?:\\.|[^\s\\])*)(?:\s+|$)", re.DOTALL)
_SETTING = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")

Host = tuple[str | None, int | None]
N = TypeVar("N", int, float)


class SqliteFile(msgspec.Struct, frozen=True):
    path: str

    @property
    def place(self) -> str:
        return self.path


class PostgresServer(msgspec.Struct, frozen=True, kw_only=True):
    """What a URL says of PostgreSQL; what it leaves out, libpq's variables and defaults say."""

    hosts: tuple[Host, ...]
    """Hosts with their ports, in the order in which they are tried; at least one."""
    user: str | None
    password: str | None
    database: str | None
    driver: dict[str, str]
    """Parameters for asyncpg, as `sslmode`."""
    settings: dict[str, str]
    """The server's settings for each session, as `search_path`."""
    connect_timeout: float | None
    """Seconds for each host."""
    keepalives: dict[str, int]
    """libpq's parameters of that name, in its units."""
    names_may_be_shown: bool
    """Not if a raw & in a password could have made a name of its rest."""

    @property
    def place(self) -> str:
        """The hosts and the database, without a login."""
        hosts = ",".join(
            (f"[{host}]" if ":" in (host or "") else quote(host or "")) + (f":{port}" if port else "")
            for host, port in self.hosts
        )
        return f"postgresql://{hosts}/{quote(self.database or '')}"

    def hide(self, text: str) -> str:
        """`text`, without the password in it."""
        for secret in {self.password or "", quote(self.password or "", safe="")}:
            if secret:
                text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
                text = text.replace(secret, "***") if len(secret) > 3 else text
        return text

    def __repr__(self) -> str:
        return f"PostgresServer({self.place!r})"


Database = SqliteFile | PostgresServer


def is_database_url(text: str) -> bool:
    """Whether a text names a database in any way but as a file's path."""
    keyword = _KEYWORD.match(text)
    return "://" in text or text.lower().startswith("jdbc:") or bool(keyword and keyword[1] in _KNOWN)


@lru_cache(8)
def parse_database_url(given: str) -> Database:
    """Read a URL, or libpq's keywords and values. Raises `ConfigurationError`."""
    text = given.strip()
    # env files keep the quotes
    if text[:1] in ("'", '"') and text[-1:] == text[0] and len(text) > 1:
        text = text[1:-1].strip()
    url = _URL.fullmatch(text)
    scheme = url[1].lower() if url else ""
    if url and scheme in ("postgresql", "postgres"):
        return _server(_from_url(url[2]))
    if url and scheme == "sqlite":
        return _file(url[2])
    if not url and is_database_url(text):
        return _server(_from_keywords(text))
    if url:
        raise _refused(f"begins with {scheme}://, but {FORMS}")
    raise _refused(f"can't be read: {FORMS}")


def _refused(reason: str) -> ConfigurationError:
    return ConfigurationError(f"{NAME} {reason}")


def _file(rest: str) -> SqliteFile:
    path = rest.removeprefix("/")
    if path == rest:
        raise _refused(f"names no file: {FORMS}")
    if not path or path == ":memory:" or re.search(r"[?#%]", path):
        raise _refused(
            "has to name a file, without ?, # or % in its name; what is acknowledged is kept on disk"
        )
    return SqliteFile(path)


def _from_url(rest: str) -> dict[str, str]:
    """The parameters of libpq that the part of a URL after `://` gives.

    A raw # or @ in the password is understood. A raw / or ? is not: it ends the host.
    """
    parts = _PARTS.fullmatch(rest)
    assert parts is not None
    head, path, query = parts[1], parts[2] or "", parts[3] or ""
    if "@" in path:
        raise _refused(f"can't be read: an @ stands after a /; {ESCAPE}")
    params = _query(query)
    login, _, hosts = head.rpartition("@")
    user, _, password = login.partition(":")
    given = {"user": user, "password": password, "dbname": path}
    params |= {name: unquote(value) for name, value in given.items() if value}
    return params | ({"host": hosts} if hosts else {})


def _query(query: str) -> dict[str, str]:
    params = {}
    for part in filter(None, query.split("&")):
        name, separator, value = part.partition("=")
        # else it is the rest of a password with a raw ?
        if not separator or ("@" in part and name not in _KNOWN):
            raise _refused(f"can't be read: what follows the ? has to be name=value&…; {ESCAPE}")
        params[unquote(name)] = unquote(value)
    return params


def _from_keywords(text: str) -> dict[str, str]:
    params, place = {}, 0
    while place < len(text.rstrip()):
        found = _KEYWORD.match(text, place)
        if found is None:
            raise _refused(
                f"can't be read after its character {place}: it has to be name=value …, with quotes "
                "around a value with blanks, 'as this', and \\' and \\\\ for ' and \\ in it"
            )
        params[found[1]] = re.sub(r"\\(.)", r"\1", found[2] or found[3] or "", flags=re.DOTALL)
        place = found.end()
    return params


def _server(params: dict[str, str]) -> PostgresServer:
    params = {_OTHER_NAMES.get(name, name): value for name, value in params.items()}
    shown = "password" not in params or not params.keys() - _KNOWN
    user, password, database = (params.pop(name, None) or None for name in ("user", "password", "dbname"))
    hosts = _hosts(params)
    driver: dict[str, str] = {}
    keepalives: dict[str, int] = {}
    settings = _options(params.pop("options", ""))
    timeout = _number("connect_timeout", params.pop("connect_timeout", "0"), float)
    if tls := params.pop("ssl", ""):
        driver["sslmode"] = {"true": "require", "1": "require", "false": "disable", "0": "disable"}.get(
            tls.lower(), tls
        )
    for name, value in params.items():
        if name in _DRIVER:
            driver[name] = value
        elif name in _KEEPALIVES:
            keepalives[name] = _number(name, value, int)
        elif name in _UNSUPPORTED or name in _HARMLESS:
            if value.lower() not in _HARMLESS.get(name, ()):
                hint = _INSTEAD.get(name, "remove it")
                raise _refused(f"has a value of {name} that Athanor does not support: {hint}")
        elif _SETTING.fullmatch(name):
            settings[name] = value
        else:
            raise _refused("has a parameter whose name can't be one; " + ESCAPE)
    return PostgresServer(
        hosts=hosts,
        user=user,
        password=password,
        database=database,
        driver=driver,
        settings=settings,
        connect_timeout=timeout if timeout > 0 else None,
        keepalives=keepalives,
        names_may_be_shown=shown,
    )


def _hosts(params: dict[str, str]) -> tuple[Host, ...]:
    names, ports = params.pop("host", ""), params.pop("port", "").split(",")
    address = params.pop("hostaddr", "")
    if names and address:
        raise _refused("has both host and hostaddr: leave one of them")
    listed = (names or address).split(",")
    if len(ports) not in (1, len(listed)):
        raise _refused("has to give one port, or one for each host")
    ports *= len(listed) if len(ports) == 1 else 1
    return tuple(_host(name, port) for name, port in zip(listed, ports, strict=True))


def _host(text: str, port: str) -> Host:
    # a folder of sockets, or an address of IPv6 without brackets and port
    bare = text.startswith(("/", "%2F", "%2f")) or (
        text.count(":") > 1 and _ADDRESS.fullmatch(text) is not None
    )
    found = None if bare else _HOST.fullmatch(text)
    if found:
        text, port = found[1] or found[2] or "", found[3] or port
    if not (bare or found) or (port and not (port.isdigit() and 0 < int(port) < 65536)):
        raise _refused(
            "can't be read: a port has to be a number from 1 to 65535, and an address of IPv6 has to "
            f"stand in brackets; {ESCAPE}"
        )
    return unquote(text) or None, int(port) if port else None


def _options(text: str) -> dict[str, str]:
    """The settings in `-c name=value`, which a pooler would refuse as they are."""
    settings, place, text = {}, 0, text.strip()
    while place < len(text):
        found = _OPTION.match(text, place)
        if found is None:
            raise _refused("has options other than -c name=value, which Athanor does not support")
        settings[found[1].replace("-", "_")] = re.sub(r"\\(.)", r"\1", found[2], flags=re.DOTALL)
        place = found.end()
    return settings


def _number(name: str, text: str, kind: Callable[[str], N]) -> N:
    try:
        return kind(text)
    except ValueError:
        raise _refused(f"has a {name} that is not a number") from None
