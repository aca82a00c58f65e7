"""Compare two commits: `python -m benchmarks.compare BEFORE [AFTER]`.

Each commit is unpacked into a temporary folder, and its own `benchmarks` package measures it there.
Every measurement is a process of its own, with this interpreter. The commits take turns, so that
both meet the same changes of the machine's speed. A ratio is AFTER over BEFORE, and its range is
that of the pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from .harness import Figures, median_and_range

ROOT = Path(__file__).parent.parent
BENCHMARKS = ("ingest", "fanout", "idle", "client")
TIMEOUT = 300.0
"""Seconds after which a measurement has failed."""
QUICK: dict[str, dict[str, int]] = {
    "ingest": {"REQUESTS": 1, "TOTAL": 64_000},
    "fanout": {"SUBSCRIBERS": 50, "SECONDS": 2},
    "idle": {"STREAMS": 200},
    "client": {"INTERPRETERS": 3},
}
"""Constants of the benchmarks for `--quick`, which checks that everything runs."""
DRIVER = """
import importlib, json, sys
import athanor

name, constants = sys.argv[1], json.loads(sys.argv[2])
assert athanor.__file__ is not None and athanor.__file__.startswith(sys.argv[3]), athanor.__file__
benchmark = importlib.import_module(f"benchmarks.{name}")
for constant, value in constants.items():
    assert hasattr(benchmark, constant), constant
    setattr(benchmark, constant, value)
print(json.dumps(benchmark.measure()))
"""


def unpack(revision: str, folder: Path) -> Path:
    """The files of a commit, without its history, in a new folder below `folder`."""
    tree = folder / revision
    tree.mkdir()
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    return tree


def commit_of(revision: str) -> str:
    command = ["git", "rev-parse", "--short", "--verify", "--quiet", f"{revision}^{{commit}}"]
    found = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if found.returncode:
        sys.exit(f"{revision} is not a commit of this repository")
    return found.stdout.strip()


def measure(tree: Path, name: str, constants: dict[str, int]) -> Figures:
    """The figures of one benchmark of one tree, measured once in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, name, json.dumps(constants), str(tree)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        text=True,
        # its services belong to its group, so that none is left behind after a timeout or Ctrl-C
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            sys.exit(f"{name} did not end within {TIMEOUT:g} s in {tree.name}")
        raise
    if process.returncode:
        sys.exit(f"{name} failed in {tree.name} with exit code {process.returncode}")
    figures: Figures = json.loads(output)
    return figures


def compare(name: str, trees: list[Path], repeats: int, quick: bool) -> dict[str, list[list[float]]]:
    """Measure one benchmark in both trees, and print it; each figure's values, by tree."""
    constants = QUICK[name] if quick else {}
    measured: tuple[list[Figures], list[Figures]] = ([], [])
    for repeat in range(repeats):
        # each commit is first in every other turn
        for side in (0, 1) if repeat % 2 == 0 else (1, 0):
            measured[side].append(measure(trees[side], name, constants))
    values = {
        figure: [[figures[figure] for figures in side] for side in measured]
        for figure in measured[0][0]
        if figure in measured[1][0]
    }
    print(f"\n{name}")
    for figure, (before, after) in values.items():
        print(f"  {figure}")
        for tree, repeated in zip(trees, (before, after), strict=True):
            print(f"    {tree.name:12} {median_and_range(repeated)}")
        ratios = [new / old for old, new in zip(before, after, strict=True)]
        ratio = statistics.median(after) / statistics.median(before)
        print(f"    {'ratio':12} {ratio:>14.3f}   ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)
    for side, other in ((0, 1), (1, 0)):
        for figure in measured[side][0].keys() - measured[other][0].keys():
            print(f"  only in {trees[side].name}: {figure}")
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", help="a revision of git")
    parser.add_argument("after", nargs="?", default="HEAD", help="another one; default: HEAD")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=BENCHMARKS, nargs="+", default=BENCHMARKS)
    parser.add_argument("--quick", action="store_true", help="measure little: a check of this script")
    parser.add_argument("--json", type=Path, help="a file for all values")
    options = parser.parse_args()
    commits = [commit_of(options.before), commit_of(options.after)]
    if len(set(commits)) == 1:
        parser.error(f"{options.before} and {options.after} are the same commit")
    print(f"{commits[0]} and {commits[1]}: median (range) of {options.repeats}", flush=True)
    with tempfile.TemporaryDirectory(prefix="athanor-compare-") as folder:
        trees = [unpack(commit, Path(folder)) for commit in commits]
        found = {name: compare(name, trees, options.repeats, options.quick) for name in options.only}
    if options.json:
        options.json.write_text(json.dumps({"commits": commits, "figures": found}, indent=2))


if __name__ == "__main__":
    main()
