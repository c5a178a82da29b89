"""The command: choose measures, run both sides in turn, print Markdown."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measures import MEASURES, Measure
from benchmarks.report import markdown
from benchmarks.sides import Side, docker_engine, docker_is_here, our_engine
from benchmarks.stacks import write_root_tar


def main(arguments: list[str]) -> int:
    """Measure what ``arguments`` ask for; return the exit status."""
    options = _parser().parse_args(arguments)
    if options.list:
        for name, measure in MEASURES.items():
            print(f"{name:<10} {measure.about}")
        return 0
    unknown = [name for name in options.measures if name not in MEASURES]
    if unknown:
        print(f"no such measure: {', '.join(unknown)}; --list shows them", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("the engines need root", file=sys.stderr)
        return 2
    # A folder with a short name: sockets below it may have paths of no more than 108 bytes.
    work = Path(tempfile.mkdtemp(prefix="bench-", dir=options.work))
    try:
        text = _measure(work, options)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help="what to measure; all when none is named")
    parser.add_argument("--list", action="store_true", help="list the measures")
    parser.add_argument("--runs", type=int, default=0, help="runs of each, instead of its own number")
    parser.add_argument("--no-peer", action="store_true", help="measure ours only")
    parser.add_argument(
        "--work", metavar="DIR", help="where both keep their data, on a disk; default: the temporary folder"
    )
    parser.add_argument("--output", metavar="FILE", help="write the Markdown here too")
    return parser


def _measure(work: Path, options: argparse.Namespace) -> str:
    load = os.getloadavg()[0]
    write_root_tar(work / "root.tar")
    with ExitStack() as engines:
        sides: list[Side] = [engines.enter_context(our_engine(work, work / "root.tar"))]
        missing = "not asked for" if options.no_peer else docker_is_here()
        if missing:
            print(f"no peer: {missing}", file=sys.stderr)
        else:
            sides.append(engines.enter_context(docker_engine(work, work / "root.tar")))
        samples: dict[str, dict[str, list[float]]] = {}
        units: dict[str, str] = {}
        versions = [side.version() for side in sides]
        text = ""
        for name in options.measures or MEASURES:
            try:
                _repeat(name, MEASURES[name], sides, work, options.runs, samples, units)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                print(f"{name} is incomplete: {error}", file=sys.stderr)
            text = markdown(samples, units, versions=versions, load=load)
            if options.output:
                Path(options.output).write_text(text, encoding="utf-8")
        return text


def _repeat(
    name: str,
    measure: Measure,
    sides: list[Side],
    work: Path,
    runs: int,
    samples: dict[str, dict[str, list[float]]],
    units: dict[str, str],
) -> None:
    """Run the sides in turn, so that whatever else the machine does meets both."""
    for number in range(runs or measure.runs):
        for side in sides:
            print(f"{name}, run {number + 1}, {side.name}", file=sys.stderr)
            values = measure.act(side, work / f"{side.name}-{name}-{number}")
            for value_name, value in values.items():
                samples.setdefault(value_name, {}).setdefault(side.name, []).append(value)
                units[value_name] = measure.unit


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
