"""Instances and runs as clients send them, and the check of values that a host passes in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from ..exceptions import InvalidInput
from .bounds import MAX_MODULE, MAX_TEXT
from .encoding import decode_json, encode
from .faults import fault_of
from .raw import EMPTY, object_of
from .topics import ID_PATTERN

Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Tags = Annotated[list[Name], msgspec.Meta(max_length=100)]
Module = Annotated[str, msgspec.Meta(max_length=MAX_MODULE)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
ABSENT = msgspec.Raw(b"")
"""A JSON text that was not given."""


class InstanceInput(msgspec.Struct, kw_only=True):
    """An instance as a client sends it."""

    name: Name
    id: Id | None = None
    experiment_module: Module | None = None
    description: Text | None = None
    configuration: dict[str, Any] = {}


class RawInstanceInput(InstanceInput, kw_only=True):
    """An `InstanceInput` whose configuration is JSON text."""

    configuration: msgspec.Raw = EMPTY  # type: ignore[assignment]


class InstancePatch(msgspec.Struct, kw_only=True):
    """The fields of an instance that change; an absent field stays as it is."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    experiment_module: Module | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    configuration: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class RawInstancePatch(InstancePatch, kw_only=True):
    """An `InstancePatch` whose configuration is JSON text, `ABSENT` if it stays as it is."""

    configuration: msgspec.Raw = ABSENT  # type: ignore[assignment]


class RunInput(msgspec.Struct, kw_only=True):
    """A run as a client sends it."""

    id: Id | None = None
    metadata: dict[str, Any] = {}


class RawRunInput(RunInput, kw_only=True):
    """A `RunInput` whose metadata is JSON text."""

    metadata: msgspec.Raw = EMPTY  # type: ignore[assignment]


class RunPatch(msgspec.Struct, kw_only=True):
    """What changes in a run's metadata; an absent field stays as it is, and null removes it.

    `metadata` is merged into what is there (RFC 7396, JSON Merge Patch). `name`, `tags` and `notes`
    are fields of the metadata too.
    """

    name: Name | msgspec.UnsetType | None = msgspec.UNSET
    tags: Tags | msgspec.UnsetType | None = msgspec.UNSET
    notes: Text | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class RawRunPatch(RunPatch, kw_only=True):
    """A `RunPatch` whose metadata is JSON text, `ABSENT` if it was not given."""

    metadata: msgspec.Raw = ABSENT  # type: ignore[assignment]


T = TypeVar("T")
_OBJECTS: dict[type, str] = {
    RawInstanceInput: "configuration",
    RawInstancePatch: "configuration",
    RawRunInput: "metadata",
    RawRunPatch: "metadata",
}
"""The field of each that is an object in JSON text."""


def accepted(body: bytes, type_: type[T]) -> T:
    """The JSON object `body` as `type_`; its JSON texts are on one line and within their bounds.

    Raises `JSON_ERRORS`, and what `object_of` raises.
    """
    given = decode_json(msgspec.json.Decoder(type_), body)
    name = _OBJECTS.get(type_)
    if name is not None and getattr(given, name) != ABSENT:
        setattr(given, name, object_of(getattr(given, name), f"$.{name}"))
    return given


def checked(fields: Mapping[str, Any], type_: type[T]) -> T:
    """Convert a host's values to `type_`. Raises `InvalidInput`, which names the value at fault."""
    try:
        return accepted(encode(fields), type_)
    except (msgspec.ValidationError, RecursionError) as error:
        fault = fault_of(error)
        raise InvalidInput(f"{fault['path']}: {fault['detail']}", [fault]) from None
