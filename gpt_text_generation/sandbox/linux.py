"""The few Linux calls that Python has no name for, through the C library. Each raises OSError, as Python's own do."""

import ctypes
import errno
import os
import struct
from typing import Any

# Namespaces: CLONE_NEWNS, NEWNET, NEWPID, NEWIPC, NEWUSER of sched.h.
NEW_MOUNTS, NEW_NETWORK, NEW_PROCESSES, NEW_IPC, NEW_USER = 0x20000, 0x40000000, 0x20000000, 0x8000000, 0x10000000

NO_SUID, NO_DEVICES, RECURSIVE, BIND, PRIVATE = 2, 4, 16384, 4096, 1 << 18  # mount.h
DEATH_SIGNAL, DUMPABLE, NO_NEW_PRIVILEGES = 1, 4, 38  # prctl.h

_MOUNT_SETATTR = 442  # on every processor; the C library has had a name for it since 2.36 only
_READ_ONLY, _HERE, _SUBMOUNTS_TOO = 1, -100, 0x8000  # MOUNT_ATTR_RDONLY, AT_FDCWD, AT_RECURSIVE
_DETACH = 2
_CAPABILITIES_VERSION = 0x20080522

_library = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: Any) -> int:
    function = getattr(_library, name, None)
    if function is None:
        raise OSError(errno.ENOSYS, f"this system has no {name}")
    # A bare Python int would be passed as 32 bits.
    result = function(*(ctypes.c_long(each) if isinstance(each, int) else each for each in arguments))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces that the flags name for new, empty ones. Of processes, only children are in the new one."""
    _call("unshare", flags)


def prctl(option: int, first: int, second: int = 0) -> None:
    _call("prctl", option, first, second, 0, 0)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), flags, options.encode())


def make_read_only(target: str) -> None:
    """Nothing below `target`, submounts included, can be written or lends rights any more. Linux 5.12 and later."""
    attributes = struct.pack("QQQQ", _READ_ONLY | NO_SUID | NO_DEVICES, 0, 0, 0)
    _call("syscall", _MOUNT_SETATTR, _HERE, target.encode(), _SUBMOUNTS_TOO, attributes, len(attributes))


def enter_root(folder: str) -> None:
    """Make `folder` (a mount) the root of all paths, and let go of the old one."""
    os.chdir(folder)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)  # the old root, which now lies over the new one
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up whatever a root of this namespace may do. Nothing brings it back."""
    header, nothing = struct.pack("Ii", _CAPABILITIES_VERSION, 0), bytes(24)
    _call("capset", header, nothing)
