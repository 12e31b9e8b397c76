"""`seegvox doctor`: is this machine fit for a session, and what to do where it is not.

Nothing but the standard library is imported before a check needs it, so that
`python -m tools.doctor` runs where a dependency is missing or broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tools import doctor_lsl, doctor_machine, doctor_packages
from tools.findings import Check, Finding, run_check

CHECKS: tuple[Check, ...] = (
    doctor_packages.python,
    doctor_packages.packages,
    doctor_packages.shadowed_packages,
    doctor_packages.files_like_dependencies,
    doctor_packages.onnx_runtime,
    doctor_lsl.liblsl,
    doctor_lsl.lsl_configuration,
    doctor_lsl.lsl_discovery,
    doctor_lsl.lsl_clock,
    doctor_machine.sound,
    doctor_machine.timers,
    doctor_machine.real_time_priority,
    doctor_machine.real_time_share,
    doctor_machine.nice_level,
    doctor_machine.awake_cores,
    doctor_machine.memory_lock,
    doctor_machine.affinity,
    doctor_machine.governor,
    doctor_machine.load,
)
_WIDTH = 100


def add_parser(subparsers: Any) -> None:
    """Add the verb `doctor`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "doctor",
        help="check this machine",
        description="Checks versions, LSL, sound, timers and priorities; says what to do about "
        "each problem. Takes a few seconds. Exit 1 if there is a problem, 0 otherwise.",
    )
    _add_arguments(parser)
    parser.set_defaults(run=run)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print JSON (default: text for reading)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the findings; 1 if any is a problem."""
    findings = examine()
    print(as_json(findings) if args.json else as_text(findings))
    return int(any(finding.status == "problem" for finding in findings))


def examine(checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Run checks one after another; none can stop the others."""
    return [finding for check in checks for finding in run_check(check)]


def as_json(findings: Sequence[Finding]) -> str:
    """`{"problems": n, "findings": [{check, status, found, todo}]}`."""
    problems = sum(finding.status == "problem" for finding in findings)
    content = {"problems": problems, "findings": [asdict(finding) for finding in findings]}
    return json.dumps(content, indent=2)


def as_text(findings: Sequence[Finding]) -> str:
    """Findings as aligned text, what to do under each, the count of problems last."""
    width = max((len(finding.check) for finding in findings), default=0)
    lines = [line for finding in findings for line in _lines(finding, width)]
    problems = sum(finding.status == "problem" for finding in findings)
    count = {0: "No problem found.", 1: "1 problem found."}
    return "\n".join([*lines, "", count.get(problems, f"{problems} problems found.")])


def _lines(finding: Finding, width: int) -> Iterator[str]:
    head = f"{finding.status:<8} {finding.check:<{width}}  "
    indent = " " * len(head)
    yield textwrap.fill(finding.found, _WIDTH, initial_indent=head, subsequent_indent=indent)
    if finding.todo:
        yield textwrap.fill(
            finding.todo, _WIDTH, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   "
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m tools.doctor`."""
    parser = argparse.ArgumentParser(prog="python -m tools.doctor", description=__doc__)
    _add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
