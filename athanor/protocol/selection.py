"""Selections: what a subscriber asked for. Those who asked for the same share their frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..exceptions import InvalidQuery
from .events import INSTANCE_ENDS, PLURAL, RUN_ENDS, TYPES, StoredEvent
from .topics import INSTANCES, Topic

MAX_TOPICS = 128

_SINGULAR = {many: one for one, many in PLURAL.items()}


class Selection(NamedTuple):
    """Some topics, and the types wanted of them (as stored; None for all)."""

    topics: tuple[Topic, ...]
    types: frozenset[str] | None = None

    @classmethod
    def make(cls, topics: Iterable[str | Topic], types: Iterable[str] | None = None) -> Selection:
        """Check and put in order; `NotFound` for a topic, `InvalidQuery` for a type or too many."""
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
        """The types behind which the stream ends: a run's or an instance's own stream has an end."""
        if len(self.topics) == 1:
            if self.topics[0].kind == "run":
                return RUN_ENDS
            if self.topics[0].kind == "instance":
                return INSTANCE_ENDS
        return frozenset()

    @property
    def stored_types(self) -> frozenset[str] | None:
        """The types to look at: those wanted, and those that end the stream."""
        return None if self.types is None else self.types | self.ends

    @property
    def hidden(self) -> frozenset[str]:
        """The types to look at and not to show."""
        return frozenset() if self.types is None else self.ends - self.types

    def wants(self, event: StoredEvent) -> bool:
        types = self.stored_types
        return types is None or event.type in types

    @property
    def wants_progress(self) -> bool:
        return self.types is None or "run_progress" in self.types
