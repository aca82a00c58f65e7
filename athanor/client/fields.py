"""Fields of a run that can be changed while it runs: its configuration, and its summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any


class Fields(MutableMapping[str, Any]):
    """A mapping whose changes are sent to the service.

    Values can be read as attributes too: `run.config.lr`. `send` gets each change, None for what was
    deleted.
    """

    def __init__(self, values: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
        self._values = values
        self._send = send

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._send({key: None})

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"there is no {name!r} in it; there are {', '.join(self._values)}")
        return self._values[name]

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change several fields at once, as `dict.update` does."""
        changes = {str(key): value for key, value in dict(*args, **kwargs).items()}
        self._values.update(changes)
        self._send(changes)

    def __repr__(self) -> str:
        return repr(self._values)
