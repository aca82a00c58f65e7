"""Instances and runs as rows, and back."""

from __future__ import annotations

from typing import Any

import msgspec

from ..protocol.records import Instance, InstanceSummary, Run

INSTANCE_COLUMNS = (
    *("id", "name", "experiment_module", "description"),
    *("configuration", "created_at", "updated_at"),
)
SUMMARY_COLUMNS = (
    *INSTANCE_COLUMNS,
    "(SELECT count(*) FROM runs WHERE instance_id = instances.id)",
    "(SELECT created_at FROM runs WHERE instance_id = instances.id ORDER BY created_n DESC LIMIT 1)",
    "(SELECT status FROM runs WHERE instance_id = instances.id ORDER BY created_n DESC LIMIT 1)",
)
RUN_COLUMNS = (
    *("id", "instance_id", "status", "error", "metadata", "created_at", "started_at"),
    *("completed_at", "cancel_requested_at", "log_count", "result_count"),
)

_SUMMARY_FIELDS = (*INSTANCE_COLUMNS, "run_count", "last_run_at", "last_run_status")


def instance_of(row: list[Any]) -> Instance:
    return Instance(**_fields(INSTANCE_COLUMNS, row, "configuration"))


def summary_of(row: list[Any]) -> InstanceSummary:
    return InstanceSummary(**_fields(_SUMMARY_FIELDS, row, "configuration"))


def run_of(row: list[Any]) -> Run:
    return Run(**_fields(RUN_COLUMNS, row, "metadata"))


def row_of(thing: Instance | Run, columns: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of `columns`; an object among them as JSON."""
    values = (getattr(thing, column) for column in columns)
    return tuple(
        msgspec.json.encode(value).decode() if isinstance(value, dict) else value for value in values
    )


def _fields(names: tuple[str, ...], row: list[Any], json_column: str) -> dict[str, Any]:
    fields = dict(zip(names, row, strict=False))
    fields[json_column] = msgspec.json.decode(fields[json_column])
    return fields
