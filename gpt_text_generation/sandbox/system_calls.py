"""Which system calls a boxed program may make: the seccomp guard, a filter that Linux keeps to for good.

The box's other guards (box.py) leave two things open: the kernel itself, whose rarer calls are where most ways out were
found, and memory that is no process's own and so is bounded by no limit. This filter shuts both. A call from the table
answers "not permitted". A call newer than the table answers "no such call", so that what a later kernel adds is refused
too, and the C library takes its older way.

Source: Linux Documentation/userspace-api/seccomp_filter.rst; numbers from arch/x86/entry/syscalls/syscall_64.tbl.
"""

import ctypes
import errno
import platform
import struct

from gpt_text_generation.sandbox.linux import prctl

# x86-64 only; on another processor the guard is missing.
REFUSED = {
    "network": {"socket": 41, "connect": 42, "bind": 49, "listen": 50, "socketpair": 53},
    "other programs": {"execve": 59, "execveat": 322},
    "other processes": {"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312},
    "namespaces and mounts": {
        "unshare": 272,
        "setns": 308,
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "chroot": 161,
        "mknod": 133,
        "mknodat": 259,
        "name_to_handle_at": 303,
        "open_by_handle_at": 304,
        "fanotify_init": 300,
    },
    # Not counted as any process's memory, so RLIMIT_AS would not bound it.
    "memory outside of processes": {
        "shmget": 29,
        "shmat": 30,
        "shmctl": 31,
        "shmdt": 67,
        "semget": 64,
        "semctl": 66,
        "msgget": 68,
        "msgctl": 71,
        "mq_open": 240,
        "memfd_create": 319,
        "io_setup": 206,
    },
    "keyrings": {"add_key": 248, "request_key": 249, "keyctl": 250},
    "the kernel": {
        "bpf": 321,
        "perf_event_open": 298,
        "userfaultfd": 323,
        "init_module": 175,
        "finit_module": 313,
        "delete_module": 176,
        "kexec_load": 246,
        "kexec_file_load": 320,
        "iopl": 172,
        "ioperm": 173,
        "modify_ldt": 154,
        "personality": 135,
        "reboot": 169,
        "swapon": 167,
        "swapoff": 168,
        "acct": 163,
        "quotactl": 179,
        "syslog": 103,
        "sethostname": 170,
        "setdomainname": 171,
        "settimeofday": 164,
        "clock_settime": 227,
        "adjtimex": 159,
        "clock_adjtime": 305,
        "vmsplice": 278,
        "move_pages": 279,
        "migrate_pages": 256,
    },
    # The box dies with its keeper (PR_SET_PDEATHSIG); a program must not be able to take that back.
    "its own guards": {"prctl": 157, "seccomp": 317},
}
CLONE = 56
NEWEST_KNOWN = 334  # rseq; the next number is 424
NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW flag

_ARCHITECTURE = 0xC000003E  # AUDIT_ARCH_X86_64
# BPF_LD|BPF_W|BPF_ABS, then BPF_JMP with BPF_JEQ, BPF_JGE and BPF_JSET, and BPF_RET
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _ANSWER = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000  # SECCOMP_RET_ALLOW, ERRNO, KILL_PROCESS
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # in struct seccomp_data
_SET_SECCOMP, _FILTER_MODE = 22, 2


def filter_program() -> bytes:
    """The filter as BPF: instructions of 8 bytes (code, jump if true, jump if false, constant)."""
    refuse = _ANSWER, 0, 0, _REFUSE | errno.EPERM
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURE),  # a 32-bit call would be numbered otherwise
        (_ANSWER, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, NEWEST_KNOWN + 1),  # the x32 calls too: their numbers start at 2^30
        (_ANSWER, 0, 0, _REFUSE | errno.ENOSYS),
    ]
    for number in sorted(number for calls in REFUSED.values() for number in calls.values()):
        lines += [(_EQUAL, 0, 1, number), refuse]
    lines += [
        (_EQUAL, 0, 3, CLONE),  # threads and forks are clones; only those that would open new namespaces are refused
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_ANY_BIT, 0, 1, NEW_NAMESPACES),
        refuse,
        (_ANSWER, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def refuse_system_calls() -> None:
    """Put the filter over this process and all that it will start. Raises OSError where there is no such guard."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, f"no filter for {platform.system()} on {platform.machine()}")
    program = filter_program()
    held = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a length and a pointer, padded to 8 bytes each.
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held)), 16)
    prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.addressof(header))
