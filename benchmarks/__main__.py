"""Athanor and its peers, side by side in one run: `python -m benchmarks`.

Writes docs/performance.md with its plots. With `--quick` or `--only`, it writes a document only where
`--document` says.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from pathlib import Path

from . import copying, document, frames, growth, idle, ingest, posts, replay, returning
from .machine import this_machine, versions
from .measurement import Measurement, Result, Scale, measure, middle
from .plots import number

MEASUREMENTS: dict[str, Measurement] = {
    module.MEASUREMENT.name: module.MEASUREMENT
    for module in (frames, replay, ingest, posts, idle, returning, copying, growth)
}


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: a check of the benchmarks")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--repeats", type=int, help="default: 5; with --quick 1")
    parser.add_argument("--json", type=Path, help="a file for all values")
    parser.add_argument("--document", type=Path, help="another file than docs/performance.md")
    options = parser.parse_args(arguments)
    options.repeats = options.repeats or (1 if options.quick else 5)
    if options.document is None and not options.quick and len(options.only) == len(MEASUREMENTS):
        options.document = document.DOCUMENT
    return options


def show(measurement: Measurement, result: Result) -> None:
    print(f"\n{measurement.title} ({result.seconds:.0f} s)")
    for party, figures in result.values.items():
        print(f"  {party}")
        for figure, values in figures.items():
            print(f"    {figure:44} {document.spread(values)}")
    for party, reason in result.skipped.items():
        print(f"  {party}: left out, {reason}")
    for target in measurement.targets:
        values = result.targets[target.what]
        shown = number(middle(values)) if values else "not measured"
        verdict = "" if not values else "ok" if target.holds(middle(values)) else "NOT REACHED"
        print(f"  → {target.what}: {shown} ({target.bound}) {verdict}")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 if something of Athanor's own failed. A bound that is missed is no failure."""
    options = options_of(arguments)
    scale = Scale(options.quick)
    mode = f"median and range of {options.repeats}" if options.repeats > 1 else "measured once"
    if options.quick:
        mode += ", in a small size (--quick)"
    machine = this_machine(mode)
    print(machine.sentence(), flush=True)
    began = time.monotonic()

    def announce(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    results: document.Results = {}
    for name in options.only:
        result = measure(MEASUREMENTS[name], scale, options.repeats, announce)
        results[name] = (MEASUREMENTS[name], result)
        show(MEASUREMENTS[name], result)
    # with those of the peers that were fetched
    machine = dataclasses.replace(machine, versions=versions())
    if options.json:
        measured = {name: dataclasses.asdict(result) for name, (_, result) in results.items()}
        found = {"machine": dataclasses.asdict(machine), "measurements": measured}
        options.json.write_text(json.dumps(found, indent=2))
    if options.document:
        document.write(options.document, machine, results)
        print(f"\nwritten: {options.document}")
    return int(any(result.failed for _, result in results.values()))


if __name__ == "__main__":
    # so that what was started is ended, and temporary folders are removed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
