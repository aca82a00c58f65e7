"""The files of the page, which a browser loads once for each version of them.

The page is 80 modules that import each other. Without a cache, each opening loaded all of them in six
rounds of requests: 0.43 of the 0.60 s until a run's first chart was drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The media type of each kind of file that the page has; other files are not served."""

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class PageFiles:
    """The contents of all files by their names, and a version that changes with any of them."""

    contents: Mapping[str, bytes]
    version: str
    stamp: tuple[tuple[str, int, int], ...]

    @property
    def index(self) -> bytes:
        """The document, which refers to the files of this version."""
        return self.contents["index.html"].replace(b'"static/', f'"static/{self.version}/'.encode())

    def find(self, path: str) -> tuple[str, bool] | None:
        """The name of the file at a path below /static/, and whether the path is that of this version.

        A path of another version leads to the file of this one: two processes that share an address may
        have different versions while they are upgraded.
        """
        first, _, rest = path.partition("/")
        is_versioned = len(first) == _DIGITS and rest in self.contents
        name = rest if is_versioned else path
        return (name, first == self.version) if name in self.contents else None


class PageReader:
    """Reads the files of a folder, again when one has changed: who edits the page reloads it only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.latest: PageFiles | None = None

    def read(self) -> PageFiles:
        """The files as they are now. Blocks."""
        paths = sorted(path for path in self._folder.rglob("*") if path.suffix in TYPES)
        stamp = tuple((str(path), (stat := path.stat()).st_mtime_ns, stat.st_size) for path in paths)
        if self.latest is None or stamp != self.latest.stamp:
            contents = {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}
            self.latest = PageFiles(contents, _version_of(contents), stamp)
        return self.latest


def _version_of(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]
