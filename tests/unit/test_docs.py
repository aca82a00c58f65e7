"""The documents and the code say the same."""

from __future__ import annotations

import re

import msgspec

from athanor import Settings
from athanor.client.settings import ClientSettings
from athanor.protocol.events import TYPES
from athanor.web.routes import ENDPOINTS

from ..support.service import ROOT

README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_setting_is_in_the_readme_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(ATHANOR_\w+)` \| (.+?) \|", README, re.MULTILINE))
    words = {
        "retention_days": "off",
        "retention_rows": "off",
        "allowed_origins": "none",
        "run_id": "none",
    }
    real = {}
    for default in (Settings(), ClientSettings()):
        for field in msgspec.structs.fields(type(default)):
            value = getattr(default, field.name)
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            real[f"ATHANOR_{field.name.upper()}"] = words.get(field.name, f"`{shown}`")
    assert told == real


def test_every_endpoint_and_event_is_in_the_protocol() -> None:
    for endpoint in ENDPOINTS:
        assert f"`{endpoint.method} {endpoint.path}`" in re.sub(r"` `\{.*?\}`", "`", PROTOCOL), (
            endpoint.path
        )
    for type_ in TYPES:
        assert f"`{type_}`" in PROTOCOL or re.search(rf"`[^`]*\b{type_}\b[^`]*`", PROTOCOL)


def test_every_module_is_in_the_architecture() -> None:
    for path in (ROOT / "athanor").glob("*"):
        name = path.stem
        if not name.startswith("_"):
            assert f"`{name}`" in ARCHITECTURE or f"`{name}/`" in ARCHITECTURE, name


def test_readme_begins_with_run_and_test() -> None:
    blocks = re.findall(r"^## (\w+)\n+```sh\n(.*?)```", README, re.DOTALL | re.MULTILINE)
    assert [title for title, _ in blocks[:2]] == ["Run", "Test"]
    assert README.index("```") == README.index("```sh\n" + blocks[0][1])
    assert (ROOT / "docs" / "page.png").exists()
