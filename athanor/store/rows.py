"""Instances and runs as rows, and back."""

from __future__ import annotations

from typing import Any

import msgspec

from ..protocol.stored import StoredInstance, StoredRun, StoredSummary

INSTANCE = "id, name, experiment_module, description, configuration, created_at, updated_at"
"""The columns of an `Instance`, in its order of fields."""
SUMMARY = f"""
    {INSTANCE},
    (SELECT count(*) FROM runs WHERE instance_id = instances.id),
    (SELECT created_at FROM runs WHERE instance_id = instances.id ORDER BY created_n DESC LIMIT 1),
    (SELECT status FROM runs WHERE instance_id = instances.id ORDER BY created_n DESC LIMIT 1)"""
"""The columns of an `InstanceSummary`."""
RUN = (
    "id, instance_id, status, error, metadata, created_at, started_at, completed_at, "
    "cancel_requested_at, log_count, result_count"
)
"""The columns of a `Run`."""
RUN_WITHOUT_METADATA = RUN.replace("metadata", "'{}'")
"""The same for who needs no metadata: it may be large."""

_INSTANCE_FIELDS = tuple(INSTANCE.split(", "))
_SUMMARY_FIELDS = (*_INSTANCE_FIELDS, "run_count", "last_run_at", "last_run_status")
_RUN_FIELDS = tuple(RUN.split(", "))


def instance_of(row: list[Any]) -> StoredInstance:
    return StoredInstance(**_fields(_INSTANCE_FIELDS, row, "configuration"))


def summary_of(row: list[Any]) -> StoredSummary:
    return StoredSummary(**_fields(_SUMMARY_FIELDS, row, "configuration"))


def run_of(row: list[Any]) -> StoredRun:
    return StoredRun(**_fields(_RUN_FIELDS, row, "metadata"))


def instance_row(instance: StoredInstance) -> tuple[Any, ...]:
    return _row(instance, _INSTANCE_FIELDS)


def run_row(run: StoredRun) -> tuple[Any, ...]:
    return _row(run, _RUN_FIELDS)


def _row(record: StoredInstance | StoredRun, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of the columns; an object among them as JSON."""
    values = (getattr(record, name) for name in names)
    return tuple(bytes(value).decode() if isinstance(value, msgspec.Raw) else value for value in values)


def _fields(names: tuple[str, ...], row: list[Any], json_column: str) -> dict[str, Any]:
    fields = dict(zip(names, row, strict=False))
    fields[json_column] = msgspec.Raw(fields[json_column].encode())
    return fields
