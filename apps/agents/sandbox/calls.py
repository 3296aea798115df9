"""Calls of the kernel that commands do without: memory that no limit counts, and doors into the kernel.

A filter of seccomp in the kernel's own words. What is kept back is said not to exist, so that programs do
without it, as they do on older kernels.
"""

from __future__ import annotations

import platform
import struct

LD, JEQ, JGT, JGE, RET = 0x20, 0x15, 0x25, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 38  # ENOSYS
NUMBER, MACHINE, SECOND = 0, 4, 24  # where they stand in what a filter is given
X32 = 0x40000000  # numbers of another set of calls on x86-64
MOST_SHARED = 16 * 1024  # bytes of a shared segment, of which there may be some thousands

# By machine: its name in the kernel, the call for shared segments, and those that are kept back: memory files
# (memfd_create, memfd_secret), io_uring_setup, userfaultfd, bpf, perf_event_open, keys, open_by_handle_at.
MACHINES = {
    "x86_64": (0xC000003E, 29, (319, 447, 425, 323, 321, 298, 248, 249, 250, 304)),
    "aarch64": (0xC00000B7, 194, (279, 447, 425, 282, 280, 241, 217, 218, 219, 265)),
}


def call_filter(machine: str = "") -> bytes:
    """The filter for this machine; empty for one that is not known."""
    known = MACHINES.get(machine or platform.machine())
    if known is None:
        return b""
    name, shared, refused = known
    numbers = [(JGE, X32), *((JEQ, number) for number in refused)]
    tail = 7  # steps from the shared segment's test to the end
    steps = [(LD, 0, 0, MACHINE), (JEQ, 0, len(numbers) + tail + 1, name), (LD, 0, 0, NUMBER)]
    for at, (code, number) in enumerate(numbers):
        steps.append((code, len(numbers) - at - 1 + tail, 0, number))
    steps += [
        (JEQ, 0, 4, shared),
        (LD, 0, 0, SECOND + 4),
        (JGT, 4, 0, 0),
        (LD, 0, 0, SECOND),
        (JGT, 2, 0, MOST_SHARED),
        (RET, 0, 0, ALLOW),
        (RET, 0, 0, ALLOW),
        (RET, 0, 0, REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
