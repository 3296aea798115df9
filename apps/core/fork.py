"""Forking a process that goes on in this program, and starting one that is another program."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from django.conf import settings
from django.db import connections
from django.utils.log import configure_logging

from apps.core.process import IS_LINUX, die_with_parent, name_process

# Not SIGPIPE: Python ignores it, so that a connection that is gone is an error and no death.
RESET_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGQUIT)


def fork(
    name: str, target: Callable[[], int | None], *, output: int | None, bound: bool, close: Iterable[int] = ()
) -> int:
    """Run `target` in a forked session of its own and return its pid; its result is the exit code.

    `output` is the file descriptor it prints to, `bound` has the kernel end it with its parent, and
    `close` are descriptors that are none of its business. Call it outside of any transaction: database
    connections are closed first, since two processes cannot share one.
    """
    connections.close_all()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        if bound:
            die_with_parent(parent)
        name_process(name)
        _forget_parent(output, close)
        code = target() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - the last thing this process can say
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _forget_parent(output: int | None, close: Iterable[int]) -> None:
    """Undo what a fork shares with its parent: exit hooks, signal handlers, open files, the terminal."""
    atexit._clear()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if output is not None:
        os.dup2(output, 1)
        os.dup2(output, 2)
    for descriptor in close:
        os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout = os.fdopen(1, "w", buffering=1, errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="replace", closefd=False)
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)


def spawn(arguments: Sequence[str], *, output: int, directory: Path) -> int:
    """Start another program in a session of its own and return its pid; it ends with this process."""
    parent = os.getpid()
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=directory,
        start_new_session=True,
        preexec_fn=(lambda: die_with_parent(parent)) if IS_LINUX else None,  # noqa: PLW1509 - one thread here
    )
    process.returncode = 0  # whoever called reaps it by its pid; the object must not warn or wait
    return process.pid
