"""A network namespace with a TUN device in it: what the kernel sends there arrives as IP packets at a file descriptor.

Needs root and /dev/net/tun; `available` says what is missing. Nothing outside the namespace is changed, and it is gone
with its process.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sightline_shared.errors import InputError

DEVICE = Path("/dev/net/tun")
NAME, LOOPBACK = b"sightline0", b"lo"
PHONE, SERVICE = "10.77.0.1", "10.77.0.2"
PORT = 7077

_CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x40000000, 1
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SIOCSIFADDR, _SIOCSIFDSTADDR, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8916, 0x8918, 0x8913, 0x8914
_IFF_UP = 0x1
_SYSCTL = Path("/proc/sys/net/ipv4")


def available() -> str:
    """Return what keeps this machine from TUN devices in namespaces, "" for nothing."""
    if os.name != "posix" or not DEVICE.exists():
        return f"there is no {DEVICE}"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    code = f"from sightline_bench.netsim.tunnel import enter; enter({PHONE!r}, {SERVICE!r})"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)  # noqa: S603  our own module
    return "the kernel refuses a namespace or a TUN device" if tried.returncode else ""


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Run before other processes for a while, where that may be had: what waits for a core looks like a slow network."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, *before)


def enter(own: str, other: str) -> int:
    """Move this process into a new namespace with a device from address `own` to `other`; returns the device's descriptor.

    The process ends with its parent. Raises InputError where the kernel refuses. Sockets made afterwards live in the namespace; the descriptor works anywhere.
    """
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # whoever started it may be ended without being asked
    if kernel.unshare(_CLONE_NEWNET):
        raise InputError(
            f"network namespace: expected one, got '{os.strerror(ctypes.get_errno())}'.", hint="Run as root."
        )
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", NAME, _IFF_TUN | _IFF_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for request, address in ((_SIOCSIFADDR, own), (_SIOCSIFDSTADDR, other)):
                fcntl.ioctl(sock, request, struct.pack("16sH2x4s8x", NAME, socket.AF_INET, socket.inet_aton(address)))
            for name in (LOOPBACK, NAME):
                flags = struct.unpack("16sH22x", fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sH22x", name, 0)))[1]
                fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH22x", name, flags | _IFF_UP))
        # Else a connection would begin with the window and the round trip of the one before.
        (_SYSCTL / "tcp_no_metrics_save").write_text("1")
        # Else a socket that chooses cubic once it is connected would keep the pacing of BBR, where that is the default.
        (_SYSCTL / "tcp_congestion_control").write_text("reno")
    except OSError as error:
        raise InputError(f"{DEVICE}: expected a TUN device, got '{error.strerror}'.", hint="Run as root.") from error
    return device
