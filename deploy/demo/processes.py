"""How the demo starts other programs: deaf to Ctrl-C, which is ours to handle, and ended with us whatever ends us."""

from __future__ import annotations

import ctypes
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(
    command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | int,
    errors: IO[bytes] | int = subprocess.STDOUT,
) -> subprocess.Popen[bytes]:
    """Start a program whose stdout goes to `output`, and stderr too if no other place is given. Call this from the
    main thread: the program ends with the thread that started it."""
    return subprocess.Popen(
        command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
        start_new_session=True, preexec_fn=_end_with_parent,
    )
