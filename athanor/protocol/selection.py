"""Selections: the topics and types of one subscriber. Equal selections share their frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..exceptions import InvalidQuery
from .events import INSTANCE_ENDS, PLURAL, RUN_ENDS, TYPES, StoredEvent
from .topics import INSTANCES, Topic

MAX_TOPICS = 128

_SINGULAR = {many: one for one, many in PLURAL.items()}


class Selection(NamedTuple):
    """Some topics in order, and the wanted types of their events as stored (None: all types)."""

    topics: tuple[Topic, ...]
    types: frozenset[str] | None = None

    @classmethod
    def make(cls, topics: Iterable[str | Topic], types: Iterable[str] | None = None) -> Selection:
        """Check topics and types. Raises `NotFound` for an unknown topic, `InvalidQuery` for an
        unknown type, no topic, or more than `MAX_TOPICS`.
        """
        parsed = {topic if isinstance(topic, Topic) else Topic.parse(topic) for topic in topics}
        if not parsed:
            raise InvalidQuery(f"name a topic, as in ?topic={INSTANCES}")
        if len(parsed) > MAX_TOPICS:
            raise InvalidQuery(f"a stream takes {MAX_TOPICS} topics at most, not {len(parsed)}")
        wanted = None
        if types is not None:
            wanted = frozenset(_SINGULAR.get(name, name) for name in types)
            unknown = sorted(wanted.difference(TYPES))
            if unknown:
                raise InvalidQuery(f"there is no type {unknown[0][:100]!r}; types are {', '.join(TYPES)}")
        return cls(tuple(sorted(parsed, key=str)), wanted)

    @property
    def ends(self) -> frozenset[str]:
        """The types that end the stream: a stream of one run, or of one instance, has an end."""
        if len(self.topics) == 1:
            if self.topics[0].kind == "run":
                return RUN_ENDS
            if self.topics[0].kind == "instance":
                return INSTANCE_ENDS
        return frozenset()

    @property
    def stored_types(self) -> frozenset[str] | None:
        """The types to read: the wanted ones, and those that end the stream."""
        return None if self.types is None else self.types | self.ends

    @property
    def hidden(self) -> frozenset[str]:
        """The types to read, but not to show."""
        return frozenset() if self.types is None else self.ends - self.types

    def wants(self, event: StoredEvent) -> bool:
        types = self.stored_types
        return types is None or event.type in types

    @property
    def wants_progress(self) -> bool:
        return self.types is None or "run_progress" in self.types
