"""The service with the limits in `ATHANOR_TEST_LIMITS` (JSON) and the parser `ATHANOR_TEST_HTTP`."""

import json
import os

import uvicorn

from athanor import Application, Athanor
from athanor.config import Limits, Settings
from athanor.web.files import raise_open_files_limit
from athanor.web.uvicorn_adapter import Server

settings = Settings.from_env()
limits = Limits(**json.loads(os.environ["ATHANOR_TEST_LIMITS"]))
config = uvicorn.Config(
    Application(Athanor(settings, limits)),
    host=settings.host,
    port=settings.port,
    http=os.environ["ATHANOR_TEST_HTTP"],
    loop=os.environ.get("ATHANOR_TEST_LOOP", "auto"),
    ws="none",
)
raise_open_files_limit()
Server(config).run()
