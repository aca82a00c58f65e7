"""Statements that wait for the next hop to the thread of a SQLite connection."""

from __future__ import annotations

import sqlite3
from typing import Any

from .session import Params


class Waiting:
    """Statements without rows, with their parameters; `size` counts both."""

    __slots__ = ("size", "statements")

    def __init__(self) -> None:
        self.statements: list[tuple[str, Params | list[Any]]] = []
        self.size = 0

    def add(self, sql: str, params: Params | list[Any]) -> None:
        self.statements.append((sql, params))
        self.size += 1 + len(params)

    def run(self, connection: sqlite3.Connection) -> None:
        for sql, params in self.statements:
            connection.execute(sql, params)
