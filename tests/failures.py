"""`python -m tests.failures [--list]`: the listed failures, the tests that provoke each, and their result."""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("failures.txt")


def known() -> dict[str, str]:
    """The ids of failures.txt and what each says."""
    found = {}
    for line in LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, words = line.partition(" ")
            if name in found:
                raise ValueError(f"{LIST.name} names {name} twice")
            found[name] = words.strip()
    return found


def marked(item: pytest.Item) -> list[str]:
    """The failures that a test says it provokes."""
    return [str(name) for mark in item.iter_markers("failure") for name in mark.args]


class Recorder:
    """A plugin that notes who is marked with what, and how it went."""

    def __init__(self) -> None:
        self.tests: dict[str, list[str]] = defaultdict(list)
        self.results: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for name in marked(item):
                self.tests[name].append(item.nodeid)
            if item.get_closest_marker("soak"):
                self.results[item.nodeid] = "soak"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self.results.get(report.nodeid, "passed")
        self.results[report.nodeid] = before if report.passed else str(report.outcome)


def report(recorder: Recorder, listing: bool) -> bool:
    """Print the table; whether every failure has a test and none of them failed."""
    good = True
    for name, words in known().items():
        print(f"{name:9}{words}")
        for test in recorder.tests[name]:
            result = recorder.results.get(test, "" if listing else "not run")
            good = good and result in ("passed", "soak", "")
            print(f"{'':9}{result or 'test':8} {test}")
        if not recorder.tests[name]:
            good = False
            print(f"{'':9}NO TEST")
    covered = sum(bool(recorder.tests[name]) for name in known())
    print(f"{covered} of {len(known())} failures have a test")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.failures", description=__doc__)
    parser.add_argument("--list", action="store_true", help="say which tests there are, run none")
    listing = parser.parse_args().list
    recorder = Recorder()
    how = ["--collect-only", "-qq"] if listing else ["-q"]
    code = pytest.main([*how, "-m", "failure and not soak"], plugins=[recorder])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        return int(code)
    return 0 if report(recorder, listing) and code != pytest.ExitCode.TESTS_FAILED else 1


if __name__ == "__main__":
    sys.exit(main())
