"""Replaces itself by a command that the kernel kills when the process that started it dies, kill -9 included.

Run by path: ``python -I -S tether.py STARTER_PID COMMAND ARGUMENT...``. The pid of the command is the pid of this
process. It imports only the standard library, so that it costs some 20 ms, and it must not know what it starts. Linux;
elsewhere the command simply runs, and outlives a killed starter. (The kernel means the starting *thread*: start it from
one that lives as long as the command should.)
"""

from __future__ import annotations

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(starter: int, command: list[str]) -> None:
    """Tie this process to its starter and become the command."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != starter:  # it died before the tie was there
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
