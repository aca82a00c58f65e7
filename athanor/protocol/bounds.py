"""Bounds of what clients send, which the service checks and the producer's client keeps."""

from __future__ import annotations

MAX_OBJECT = 256 * 1024
"""Bytes of JSON of an instance's configuration, and of a run's metadata."""
MAX_ENTRY = 1024 * 1024
"""Bytes of JSON of a log entry or a result."""
MAX_PROGRESS_MESSAGE = 1024
"""Bytes of UTF-8 of the message of a bar."""
MAX_ERROR = 64 * 1024
"""Characters of a run's error."""
MAX_TEXT = 64 * 1024
"""Characters of a description, and of notes."""
MAX_MODULE = 1024
"""Characters of the name of an instance's module."""
MAX_DEPTH = 100
"""Arrays and objects inside each other in a value, a configuration or metadata."""
