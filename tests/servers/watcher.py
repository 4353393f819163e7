"""A process that waits until its standard input ends, stops every server left in a run, and removes the run.

Run by path with the directory of the run as its one argument; it imports nothing of the project.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path


def servers(run: Path) -> list[int]:
    """The servers whose pid files lie in the run, and which still serve a data directory in it."""
    found = []
    for file in [*run.glob("**/postmaster.pid"), *run.glob("**/mysqld.pid")]:
        try:
            pid = int(file.read_text().split("\n", 1)[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if os.fsencode(file.parent) in command:
            found.append(pid)
    return found


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            pass
    return found


def signalled(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def main() -> None:
    run = Path(sys.argv[1])
    sys.stdin.buffer.read()
    for attempt in range(100):
        left = servers(run)
        if not left:
            break
        for pid in left:
            # A server that a test has paused ends only after it goes on, children first.
            ending = [*children(pid), pid]
            for process in ending:
                signalled(process, signal.SIGCONT)
            if attempt < 50:
                signalled(pid, signal.SIGQUIT)
            else:
                for process in ending:
                    signalled(process, signal.SIGKILL)
        time.sleep(0.1)
    shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    main()
