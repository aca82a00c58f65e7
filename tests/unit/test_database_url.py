"""The database's URL: all forms that are understood, and no password in any message."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athanor import Athanor, ConfigurationError, Settings
from athanor.cli.listener import place_of
from athanor.database_url import (
    PostgresServer,
    SqliteFile,
    is_database_url,
    parse_database_url,
)

SECRET = "hunter2"


def server(url: str) -> PostgresServer:
    found = parse_database_url(url)
    assert isinstance(found, PostgresServer)
    return found


def login(url: str) -> tuple[Any, ...]:
    found = server(url)
    return found.user, found.password, found.hosts, found.database


PLAIN = ("ann", SECRET, (("db.example.org", 5433),), "lab")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2@db.example.org:5433/lab",
        "postgres://ann:hunter2@db.example.org:5433/lab",
        "PostgreSQL://ann:hunter2@db.example.org:5433/lab",
        " postgresql://ann:hunter2@db.example.org:5433/lab\n",
        '"postgresql://ann:hunter2@db.example.org:5433/lab"',
        "'postgresql://ann:hunter2@db.example.org:5433/lab'",
        "postgresql+asyncpg://ann:hunter2@db.example.org:5433/lab",
        "postgresql+psycopg2://ann:hunter2@db.example.org:5433/lab",
        "jdbc:postgresql://db.example.org:5433/lab?user=ann&password=hunter2",
        "postgresql:///lab?host=db.example.org&port=5433&user=ann&password=hunter2",
        "postgresql://db.example.org:5433?dbname=lab&user=ann&password=hunter2",
        "postgresql://%61nn:%68unter2@db.example.org:5433/%6cab",
        "host=db.example.org port=5433 user=ann password=hunter2 dbname=lab",
        "  dbname = 'lab' password='hunter2' user=ann host=db.example.org port='5433' ",
    ],
)
def test_every_common_form_is_understood(url: str) -> None:
    assert login(url) == PLAIN
    assert is_database_url(url.strip().strip("'\""))
    settings = Settings(database_url=url)
    assert settings.sqlite_path is None
    assert place_of(settings) == "postgresql://db.example.org:5433/lab"
    assert SECRET not in repr(settings)
    assert Settings.from_env(settings.to_env()) == settings


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://ann:a#b@h/lab", "a#b"),
        ("postgresql://ann:47#11@h/lab", "47#11"),
        ("postgresql://ann:a@b@h/lab", "a@b"),
        ("postgresql://ann:a[b@h/lab", "a[b"),
        ("postgresql://ann:a:b@h/lab", "a:b"),
        ("postgresql://ann:a%23%2F%3F%40b@h/lab", "a#/?@b"),
        ("postgresql://h/lab?user=ann&password=a@b+c", "a@b+c"),
        (r"host=h user=ann dbname=lab password='a \'\\ b'", r"a '\ b"),
        (r"host=h user=ann dbname=lab password=a\ b'c", "a b'c"),
    ],
)
def test_a_password_may_have_any_character_that_is_not_ambiguous(url: str, password: str) -> None:
    assert login(url) == ("ann", password, (("h", None),), "lab")


def test_hosts_may_be_several_addresses_and_sockets() -> None:
    assert server("postgresql://a:1,b,[::1]:3/x").hosts == (("a", 1), ("b", None), ("::1", 3))
    assert server("postgresql:///x?host=a,b&port=1,2").hosts == (("a", 1), ("b", 2))
    assert server("host=::1 dbname=x").hosts == (("::1", None),)
    assert server("postgresql:///x?host=/run/pg").hosts == (("/run/pg", None),)
    assert server("postgresql://%2Frun%2Fpg/x").hosts == (("/run/pg", None),)
    assert server("postgresql://").hosts == ((None, None),)


def test_parameters_of_libpq_are_understood() -> None:
    found = server(
        "postgresql://h/x?connect_timeout=7&keepalives=1&keepalives_idle=30&tcp_user_timeout=5000"
        "&gssencmode=prefer&channel_binding=prefer&sslmode=verify-full&sslrootcert=/ca.pem"
        "&target_session_attrs=read-write&application_name=lab&passfile=/p&service=s&work_mem=5MB"
        "&options=-c%20search_path%3Da,b%20--jit%3Don%20-cx.y%3D1%5C%202&client_encoding=UTF8"
    )
    assert found.connect_timeout == 7
    assert found.keepalives == {"keepalives": 1, "keepalives_idle": 30, "tcp_user_timeout": 5000}
    assert found.driver == {
        **{"sslmode": "verify-full", "sslrootcert": "/ca.pem", "passfile": "/p", "service": "s"},
        "target_session_attrs": "read-write",
    }
    assert found.settings == {
        **{"application_name": "lab", "work_mem": "5MB", "search_path": "a,b", "jit": "on"},
        "x.y": "1 2",
    }
    jdbc = server("jdbc:postgresql://h/x?ssl=true&ApplicationName=a&currentSchema=s&connectTimeout=3")
    assert jdbc.driver == {"sslmode": "require"}
    assert jdbc.settings == {"application_name": "a", "search_path": "s"}
    assert jdbc.connect_timeout == 3


REFUSED = {
    "postgresql://ann:hunter2/x@h:1/lab": "/ as %2F",
    "postgresql://ann:4711/hunter2@h:1/lab": "/ as %2F",
    "postgresql://ann:hunter2?x@h:1/lab": "? as %3F",
    "postgresql://ann:4711?hunter2=x@h:1/lab": "? as %3F",
    "postgresql://ann:hunter2@h:port/lab": "a number from 1 to 65535",
    "postgresql://ann:hunter2@h:70000/lab": "a number from 1 to 65535",
    "postgresql://ann:hunter2@::1:5432x]/lab": "IPv6",
    "postgresql://ann:hunter2": "a number from 1 to 65535",
    "postgresql://h/x?password=hunter2&channel_binding=require": "sslmode=verify-full",
    "postgresql://h/x?password=hunter2&gssencmode=require": "sslmode encrypts",
    "postgresql://h/x?password=hunter2&require_auth=md5": "require_auth",
    "postgresql://h/x?password=hunter2&connect_timeout=soon": "connect_timeout that is not a number",
    "postgresql://h/x?password=hunter2&keepalives_idle=x": "keepalives_idle that is not a number",
    "postgresql://h/x?password=hunter2&options=-x": "-c name=value",
    "postgresql://h/x?password=a&hunter2": "name=value",
    "postgresql://h/x?password=a&hunter2!=x": "name can't be one",
    "host=h password=hunter2 dbname='x": "after its character 23",
    "host=h hostaddr=1.2.3.4 password=hunter2": "both host and hostaddr",
    "host=a,b,c port=1,2 password=hunter2": "one port",
    "mysql://ann:hunter2@h/x": "begins with mysql://",
    "jdbc:oracle:thin:ann/hunter2@h": "can't be read",
    "ann:hunter2@h/x": "can't be read",
    "postgresql:ann:hunter2@h/x": "can't be read",
    "sqlite://ann:hunter2@h/x": "names no file",
    "sqlite:///hunter2?mode=ro": "has to name a file",
    "sqlite:///:memory:": "has to name a file",
    "sqlite:///": "has to name a file",
    "": "can't be read",
}


@pytest.mark.parametrize("url", REFUSED)
def test_anything_else_is_refused_by_a_sentence_without_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(database_url=url)
    message = str(caught.value)
    assert message.startswith("ATHANOR_DATABASE_URL ")
    assert REFUSED[url] in message
    assert SECRET not in message
    assert "4711" not in message
    # a traceback shows no more
    assert caught.value.__context__ is None or SECRET not in str(caught.value.__context__)


ALPHABET = st.text(alphabet="ab1:@/?#[]%&='\\ ,.-", max_size=25)


@given(ALPHABET, ALPHABET)
def test_no_text_is_shown_whatever_stands_in_it(before: str, after: str) -> None:
    shown: list[str] = []
    for form in ("postgresql://{}", "jdbc:postgresql://{}", "host=h {}", "{}", "sqlite://{}"):
        url = form.format(f"{before}{SECRET}{after}")
        try:
            parse_database_url(url)
        except ConfigurationError as error:
            shown.append(str(error))
    assert not [said for said in shown if SECRET in said]


def test_sqlite_names_a_file() -> None:
    assert parse_database_url("sqlite:///a b.db") == SqliteFile("a b.db")
    assert parse_database_url("sqlite:////var/x.db") == SqliteFile("/var/x.db")
    assert parse_database_url("sqlite+aiosqlite:///x.db") == SqliteFile("x.db")
    for path in ("lab.db", "/tmp/a=b.db", "host.db", "C:/x.db"):
        assert not is_database_url(path)


# what a server says


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("?connect_timeot=3", "the parameter connect_timeot, which is neither"),
        ("?prepared_statement_cache_size=0", "the parameter prepared_statement_cache_size, which is"),
        ("?password=hunter&hunter2=x", "has a parameter, which is neither"),
        ("?sslmode=hunter2", "`sslmode` parameter must be one of"),
        ("?sslrootcert=/nowhere&sslmode=verify-full", "No such file"),
    ],
)
async def test_what_the_server_does_not_know_is_named(database: str, more: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await Athanor(Settings(database_url=database + more)).start()
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.anyio
async def test_parameters_reach_the_server(database: str) -> None:
    more = (
        "?application_name=o'brien%5C&work_mem=5MB&keepalives_idle=30&connect_timeout=2&sslmode=prefer"
        "&channel_binding=prefer&options=-c%20search_path%3Dpublic,pg_catalog"
    )
    names = ("application_name", "work_mem", "jit", "search_path")
    async with Athanor(Settings(database_url=database + more)) as athanor:

        async def job(session: Any) -> list[Any]:
            return [await session.value(f"SHOW {name}") for name in names]

        assert await athanor.parts.store.read(job) == ["o'brien\\", "5MB", "off", "public,pg_catalog"]


@pytest.mark.anyio
async def test_an_error_of_the_connection_does_not_show_the_password() -> None:
    url = f"postgresql://ann:{SECRET}@{SECRET}.invalid:1/lab"
    with pytest.raises(ConfigurationError, match="names can't be used") as caught:
        await Athanor(Settings(database_url=url)).start()
    assert SECRET not in str(caught.value)
