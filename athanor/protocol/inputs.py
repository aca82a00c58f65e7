"""Instances and runs as clients give them, and the check of what a host gives in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from ..exceptions import InvalidInput
from .encoding import encode
from .entries import fault_of
from .topics import ID_PATTERN

Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class InstanceInput(msgspec.Struct, kw_only=True):
    """An instance as a client gives it."""

    name: Name
    id: Id | None = None
    experiment_module: str | None = None
    description: str | None = None
    configuration: dict[str, Any] = {}


class InstancePatch(msgspec.Struct, kw_only=True):
    """What is to change of an instance; what is not given stays."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    experiment_module: str | msgspec.UnsetType | None = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    configuration: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class RunInput(msgspec.Struct, kw_only=True):
    """A run as a client gives it."""

    id: Id | None = None
    metadata: dict[str, Any] = {}


T = TypeVar("T")


def checked(fields: Mapping[str, Any], type_: type[T]) -> T:
    """A host's values as what the protocol allows; `InvalidInput` names the one that is not."""
    try:
        return msgspec.json.decode(encode(fields), type=type_)
    except msgspec.ValidationError as error:
        fault = fault_of(error)
        raise InvalidInput(f"{fault['path']}: {fault['detail']}", [fault]) from None
