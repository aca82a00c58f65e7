"""What `import athanor` offers, and what it costs a producer."""

from __future__ import annotations

import inspect
import subprocess
import sys

import athanor


def test_everything_promised_is_there_and_nothing_else() -> None:
    for name in athanor.__all__:
        assert getattr(athanor, name) is not None
    assert athanor.__all__ == sorted(athanor.__all__, key=lambda name: (not name[0].isupper(), name))


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(athanor, "nothing")


def test_the_application_is_in_the_dictionary_of_the_module() -> None:
    """Hypercorn looks there only."""
    assert eval("app", vars(athanor)) is athanor.app
    assert inspect.iscoroutinefunction(athanor.app.__call__)


def test_import_loads_neither_server_nor_database() -> None:
    code = "import athanor, sys; print(sorted({'starlette', 'databases', 'uvicorn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
