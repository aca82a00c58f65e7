"""Root paths: the part of a URL that a proxy or a host application has taken for itself.

By ASGI, `path` begins with `root_path`. Some servers and frameworks set a root path of their own and
leave `path` as the proxy sent it (Hypercorn, `FastAPI(root_path=…)`), and uvicorn's `--root-path` puts
it before a path from which the proxy has not removed it.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import Scope

OWN = (
    *("", "events", "runs", "instances", "login"),
    *("healthz", "readyz", "metrics", "openapi.json", "static"),
)
"""The first parts of Athanor's own paths."""


def rooted(scope: Scope) -> Scope:
    """The same request with a path that begins with its root path, once."""
    if not scope.get("root_path"):
        return scope
    root, path = split(scope, OWN)
    if (root, root + path) == (scope.get("root_path", ""), scope["path"]):
        return scope
    return {**scope, "root_path": root, "path": root + path}


def split(scope: Scope, own: Collection[str]) -> tuple[str, str]:
    """The root path, which does not end with a slash, and the path below it.

    A root path that is repeated is left out, unless it may be a path of the application, all of
    whose paths begin with one of `own`.
    """
    given: str = scope.get("root_path", "")
    root, path = given.rstrip("/"), scope["path"]
    # what the server set; the rest of the root is where Starlette has mounted us
    outer = scope.get("app_root_path", given).rstrip("/")
    below = _below(given if _is_at(path, given) else root, path)
    if below is None:
        mount = root.removeprefix(outer)
        below = _below(mount, path)
        return root, path if below is None else below
    repeated = None if not outer or outer.split("/")[1] in own else _below(root, below)
    return root, below if repeated is None else repeated


def path_below_root(scope: Scope) -> str:
    """The path of a request below its root path, which may not be a part of it."""
    root, path = scope.get("root_path", ""), scope["path"]
    below = _below(root, path) if root else path
    return path if below is None else below


def _is_at(path: str, root: str) -> bool:
    return path.startswith(root) and path[len(root) :].startswith("/")


def _below(root: str, path: str) -> str | None:
    """The path below `root`; None if it is not below it."""
    if path == root:
        return ""
    return path[len(root) :] if _is_at(path, root) else None
