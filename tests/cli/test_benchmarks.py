"""`python -m benchmarks`, in its smallest size: what it prints, and the document that it writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from ..support.patience import PATIENCE
from ..support.service import ROOT


def test_a_measurement_is_printed_saved_and_written_into_the_document(tmp_path: Path) -> None:
    figures, document = tmp_path / "figures.json", tmp_path / "performance.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "posts", "--repeats", "2"]
    command += ["--json", str(figures), "--document", str(document)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "One-line posts to 1,000 topics" in done.stdout

    found = json.loads(figures.read_text())
    assert found["machine"]["versions"]["uvicorn"]
    posts = found["measurements"]["posts"]
    assert posts["skipped"] == {}
    values = [values for party in posts["values"].values() for values in party.values()]
    assert [len(each) for each in values] == [2, 2]
    assert min(map(min, values)) > 0
    assert list(posts["targets"].values()) == values

    text = document.read_text()
    # the text around the tables is that of the repository's own document
    assert text.startswith((ROOT / "docs" / "performance.md").read_text().partition("<!--")[0])
    assert all(len(line) <= 100 or line.startswith("|") for line in text.splitlines())
    row = r"^\| CPU of a post and its delivery, µs: Athanor, .+ \| .+ \| ≤ 120 \| .+ \|$"
    assert len(re.findall(row, text, re.M)) == 2
    assert "![One-line posts to 1,000 topics with a reader each](performance/posts.svg)" in text
    plot = (tmp_path / "performance" / "posts.svg").read_text()
    assert ElementTree.fromstring(plot).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in plot
