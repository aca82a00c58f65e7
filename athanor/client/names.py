"""Names for runs that were given none: easy to say, to read and to tell apart."""

from __future__ import annotations

import secrets

_FIRST = """
amber ashen azure bold brass bright brisk calm clear cobalt copper coral crimson crisp dappled dawn
deep dusky early eager fair fiery fleet flint frosty gentle gilded glad golden grand green hazel
hidden humble indigo iron ivory jade keen late lively lucid lunar marble mellow mild misty nimble
noble ochre olive opal pale patient plain proud quick quiet rapid rosy ruby russet scarlet silent
silver sleek slow small solar steady still sturdy sunny swift tidy umber vivid warm wild
"""
_SECOND = """
alembic anvil ash basin beaker bellows birch bloom brazier brook candle cedar chalice cinder clay
coal comet crucible crystal delta dew ember falcon fern field flame flask forge fountain furnace
garnet glass grove harbor hearth heron hill kettle kiln lake lamp lantern lark ledge lens maple
meadow mercury mill mortar oak orchard otter pearl pebble phial pine prism quartz quill raven reed
retort ridge river robin sage salt sand sparrow spruce stone stove summit tallow thistle tower
valley vapor vessel willow wren
"""


def new_name() -> str:
    """A name such as `amber-falcon-42`: one of some 600,000."""
    number = secrets.randbelow(90) + 10
    return f"{secrets.choice(_FIRST.split())}-{secrets.choice(_SECOND.split())}-{number}"
