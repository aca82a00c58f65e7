"""The beginning of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..exceptions import ConfigurationError, InvalidInput
from ..protocol.inputs import Name
from ..protocol.records import new_id
from ..protocol.topics import is_id
from .delivery.spool import Registration
from .encode import plain
from .origin import origin
from .run import Run
from .settings import ClientSettings, Mode


def init(
    instance: str,
    *,
    name: str | None = None,
    config: Any = None,
    id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    url: str | None = None,
    mode: Mode | None = None,
    finish_timeout: float | None = None,
) -> Run:
    """Begin a run of the instance of that name, which is created if there is none.

    `config` (a mapping, or an object with attributes such as `argparse.Namespace`) and `metadata`
    are shown with the run. The other arguments default to environment variables: `ATHANOR_URL`
    (http://127.0.0.1:8000), `ATHANOR_MODE` (`online`, `offline` or `disabled`) and
    `ATHANOR_FINISH_TIMEOUT` (15 seconds). With `ATHANOR_RUN_ID` this process joins the run of that
    id, and leaves its end to the process that began it.

    Raises `ConfigurationError` for a setting or an id that can't be used, and `InvalidInput` for an
    instance's name; never raises because of the network.
    """
    settings = ClientSettings.from_env(url=url, mode=mode, finish_timeout=finish_timeout)
    try:
        msgspec.convert(instance, Name)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{str(instance)[:100]!r} can't name an instance: {error}") from None
    joined = settings.run_id if id is None else None
    run_id = id or joined or new_id()
    if not is_id(run_id):
        place = "id" if id else "ATHANOR_RUN_ID"
        raise ConfigurationError(f"{place} is {run_id[:100]!r}; ids match [A-Za-z0-9._-]{{1,64}}")
    configuration = _plain_dict(config)
    fields = {"name": None if name is None else str(name), "config": configuration, **origin()}
    described = {key: value for key, value in fields.items() if value}
    registration = Registration(
        run_id=run_id,
        instance=instance,
        metadata=described | _plain_dict(metadata),
        configuration=configuration,
        member=joined is not None,
        producer=new_id(),
        url=settings.url,
    )
    run = Run.begin(registration, settings)
    if joined is not None and (name or configuration):
        # the run keeps its name and configuration; those of this process are logged instead
        run.info("joined", **described)
    return run


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
