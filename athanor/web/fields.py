"""The header fields of a request by name: Starlette's `Headers` searches its list for each of them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Scope

Fields = dict[bytes, bytes]
"""Values by name, in lower case; of several fields of a name, the first, as in `Headers.get`."""

_FIELDS = "athanor.fields"


def fields_in(scope: Scope) -> Fields:
    return dict(reversed(scope["headers"]))


def fields_of(request: Request) -> Fields:
    """The same, for an endpoint, whose functions ask for some each."""
    fields: Fields | None = request.scope.get(_FIELDS)
    if fields is None:
        fields = request.scope[_FIELDS] = fields_in(request.scope)
    return fields
