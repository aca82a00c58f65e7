"""The beginning of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ..exceptions import ConfigurationError, InvalidInput
from ..protocol.inputs import Name
from ..protocol.records import new_id
from ..protocol.topics import is_id
from .announcement import announce
from .delivery.spool import Registration
from .encode import plain
from .names import new_name
from .origin import origin
from .run import Run
from .secrets import hidden_fields
from .settings import ClientSettings, Mode


def init(
    instance: str | None = None,
    *,
    project: str | None = None,
    name: str | None = None,
    config: Any = None,
    tags: Iterable[str] | None = None,
    notes: str | None = None,
    id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    system_metrics: bool = False,
    url: str | None = None,
    mode: Mode | None = None,
    finish_timeout: float | None = None,
) -> Run:
    """Begin a run of the instance of that name, which is created if there is none.

    `project` is another word for `instance`. A run without a `name` gets an invented one. `config`
    (a mapping, or an object with attributes such as `argparse.Namespace`), `tags`, `notes` and
    `metadata` are shown with the run, without passwords, tokens and keys. With `system_metrics`,
    the use of CPU, memory, disk, network and GPUs is stored every 10 s, as results under `system/`.
    One line on stderr gives the run's name and address; `ATHANOR_QUIET=1` leaves it out.

    The other arguments default to environment variables: `ATHANOR_URL` (http://127.0.0.1:8000),
    `ATHANOR_MODE` (`online`, `offline` or `disabled`) and `ATHANOR_FINISH_TIMEOUT` (15 seconds).
    With `ATHANOR_RUN_ID` this process joins the run of that id, and leaves its end to the process
    that began it.

    Raises `ConfigurationError` for a setting or an id that can't be used, and `InvalidInput` for an
    instance's name; never raises because of the network.
    """
    settings = ClientSettings.from_env(url=url, mode=mode, finish_timeout=finish_timeout)
    instance = _instance_name(instance, project)
    joined = settings.run_id if id is None else None
    run_id = id or joined or new_id()
    if not is_id(run_id):
        place = "id" if id else "ATHANOR_RUN_ID"
        raise ConfigurationError(f"{place} is {run_id[:100]!r}; ids match [A-Za-z0-9._-]{{1,64}}")
    is_wrapped = joined is not None and settings.wrapped is not None
    if name is None and joined is None:
        name = new_name()
    if is_wrapped and settings.wrapped == "name":
        name = None
    described = _described(name, config, tags, notes, metadata)
    registration = Registration(
        run_id=run_id,
        instance=instance,
        metadata=described,
        configuration=described.get("config", {}),
        member=joined is not None,
        merges="over" if is_wrapped else None,
        producer=new_id(),
        url=settings.url,
    )
    run = Run.begin(registration, settings)
    if joined is None:
        announce(run, settings)
    elif name or config is not None:
        # unless it is wrapped, the run keeps its own name and configuration
        run.info("joined", **described)
    if system_metrics:
        run.record_system()
    return run


def wrap(
    instance: str,
    *,
    name: str | None,
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
    url: str | None,
    held: bool,
) -> Run:
    """Begin a run for a program that may describe it itself: only what that leaves out is filled in.

    With `held`, the run waits for the program to create it. Raises what `init` raises.
    """
    settings = ClientSettings.from_env(url=url)
    described = _described(name or new_name(), config or None, None, None, metadata)
    # a program inside another one joins the run of the outer one
    outer = settings.run_id
    registration = Registration(
        run_id=outer or new_id(),
        instance=_instance_name(instance, None),
        # these are about the command `athanor`
        metadata={key: value for key, value in described.items() if key not in ("script", "python")},
        configuration=described.get("config", {}),
        member=outer is not None,
        merges="under",
        producer=new_id(),
        url=settings.url,
    )
    return Run.begin(registration, settings, held=held)


def _described(
    name: str | None, config: Any, tags: Iterable[str] | None, notes: str | None, metadata: Any
) -> dict[str, Any]:
    """A run's metadata, without secrets and without what is absent."""
    fields = {
        "name": None if name is None else str(name),
        "config": hidden_fields(_plain_dict(config)),
        "tags": None if tags is None else list(map(str, tags)),
        "notes": None if notes is None else str(notes),
        **origin(),
    }
    described = {key: value for key, value in fields.items() if value}
    described |= hidden_fields(_plain_dict(metadata))
    return described


def _instance_name(instance: str | None, project: str | None) -> str:
    """The instance's name, of either argument. Raises `ConfigurationError` or `InvalidInput`."""
    if instance is None and project is None:
        raise InvalidInput("None can't name an instance: give a name, as in athanor.init('digits')")
    if None not in (instance, project) and instance != project:
        raise ConfigurationError(
            f"init got the instance {instance!r} and the project {project!r}, which are the same thing: "
            "give one of them"
        )
    name = project if instance is None else instance
    try:
        return msgspec.convert(name, Name)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{str(name)[:100]!r} can't name an instance: {error}") from None


def _plain_dict(given: Any) -> dict[str, Any]:
    """A mapping, or an object with attributes, as a JSON object."""
    if given is None:
        return {}
    found = plain(given)
    if isinstance(found, dict):
        return found
    try:
        found = plain(dict(vars(given)))
    except TypeError:
        found = None
    return found if isinstance(found, dict) else {"config": plain(given)}
