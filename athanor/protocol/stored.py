"""Records as the database has them: their JSON objects are text, which nothing decodes on the way.

`decoded_run` and the like make the public records of them, for hosts.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .encoding import decode_json
from .metrics import Summary
from .raw import EMPTY
from .records import Instance, InstanceSummary, Run, RunDetail, RunState

_summary = msgspec.json.Decoder(Summary)
_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


StoredSummaries = dict[str, msgspec.Raw]
"""Metrics by key, each as the JSON of a `Summary`."""


class StoredInstance(Instance, kw_only=True):
    configuration: msgspec.Raw = EMPTY  # type: ignore[assignment]


class StoredSummary(InstanceSummary, kw_only=True):
    configuration: msgspec.Raw = EMPTY  # type: ignore[assignment]


class StoredRun(Run, kw_only=True):
    metadata: msgspec.Raw = EMPTY  # type: ignore[assignment]


class StoredState(RunState, kw_only=True):
    metadata: msgspec.Raw = EMPTY  # type: ignore[assignment]
    summary: StoredSummaries | msgspec.UnsetType = msgspec.UNSET  # type: ignore[assignment]


class StoredDetail(RunDetail, kw_only=True):
    metadata: msgspec.Raw = EMPTY  # type: ignore[assignment]
    summary: StoredSummaries  # type: ignore[assignment]


def decoded_instance(instance: StoredInstance) -> Instance:
    return Instance(**_decoded(instance, "configuration"))


def decoded_summary(instance: StoredSummary) -> InstanceSummary:
    return InstanceSummary(**_decoded(instance, "configuration"))


def decoded_state(run: StoredState) -> RunState:
    return RunState(**_with_summaries(_decoded(run, "metadata")))


def decoded_detail(run: StoredDetail) -> RunDetail:
    return RunDetail(**_with_summaries(_decoded(run, "metadata")))


def _with_summaries(fields: dict[str, Any]) -> dict[str, Any]:
    if fields["summary"] is not msgspec.UNSET:
        fields["summary"] = {key: _summary.decode(text) for key, text in fields["summary"].items()}
    return fields


def _decoded(record: msgspec.Struct, name: str) -> dict[str, Any]:
    fields = msgspec.structs.asdict(record)
    fields[name] = decode_json(_decoder, fields[name])
    return fields
