"""The command line `athanor`, on click: one module for each command, imported when it is called.

It shows what `client` and `web` offer; it contains no rules of the service.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from ..protocol.safe_text import sanitized
from ..version import __version__

_COMMANDS = (
    "serve", "demo", "run", "pipe", "tail", "open", "runs", "cancel", "delete", "export", "sync",
)  # fmt: skip
"""In the order in which `--help` lists them; each is `command` in the module of that name."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __name__).command
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            # messages quote arguments, and texts of the service
            error.message = sanitized(error.message)  # type: ignore[misc]
            raise
        except KeyboardInterrupt:
            # a shell reports 128 plus the signal's number
            sys.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="athanor")
def main() -> None:
    """Watch experiments as they happen.

    \b
    athanor serve                      start the service, then, in another terminal:
    athanor run -- python train.py     run a program, and record its output
    athanor tail                       follow the newest run
    http://127.0.0.1:8000/             the same in a browser

    Commands take the service's address from ATHANOR_URL; the default is http://127.0.0.1:8000.
    """
