"""The typed events that subscribers receive, under their public name: `athanor.events`.

The definitions are in `protocol.events`. Scripts and hosts use this module in `match` statements.
"""

from .protocol.events import *  # noqa: F403 - exactly the names in its `__all__`
from .protocol.events import __all__ as __all__
