"""On the student's side: what a process takes away from itself before it runs a student's code, through the kernel's own calls.

Namespaces of its own (processes, files, shared memory), keys of its own, no privileges, limits. Linux only. Imports the
standard library.
"""

import contextlib
import ctypes
import os
import resource
import sys
from errno import EDQUOT, ENOSYS, EPERM

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 0x1000, 0x4000, 0x40000
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 4, 24, 38, 36
CAP_VERSION = 0x20080522
STUDENT = 1000  # the user's number inside
KEYCTL = {"x86_64": 250, "aarch64": 219}  # the number of the kernel's call, which libc has no function for
KEYCTL_JOIN_SESSION_KEYRING = 1
PRIVATE = ("/tmp", "/home", "/dev/shm")


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _must(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def become(uid: int) -> None:
    """Change from root to an ordinary user for good; for anybody else, and with 0, nothing happens."""
    if uid and os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    readable(True)


def readable(yes: bool) -> None:
    """Whether other processes of this user may look into this one."""
    _libc().prctl(PR_SET_DUMPABLE, int(yes), 0, 0, 0)


def own_keys() -> None:
    """Give this process and its children an empty ring of keys: the kernel hands a session's ring to every child, walls or not."""
    number, libc = KEYCTL.get(os.uname().machine), _libc()
    if number is None or sys.platform != "linux":
        return
    # A kernel without keys, or a container that forbids them, has none to share. A user may have so many keys and no more: where
    # another submission holds all of them, the box's own empty ring stays.
    if libc.syscall(number, KEYCTL_JOIN_SESSION_KEYRING, None) < 0:
        _must(ctypes.get_errno() not in (ENOSYS, EPERM, EDQUOT), "keys of its own")


def own_namespaces(files_mib: int) -> None:
    """Give this process and its children their own process numbers, shared memory, keys and empty private folders."""
    own_keys()
    uid, gid, libc = os.getuid(), os.getgid(), _libc()
    _must(libc.unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC), "namespaces of its own")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{STUDENT} {uid} 1"), ("gid_map", f"{STUDENT} {gid} 1")):
        file = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(file, text.encode())
        os.close(file)
    _must(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    for folder in PRIVATE:
        if os.path.isdir(folder):  # noqa: PTH112
            _private(folder, files_mib)


def _private(folder: str, files_mib: int) -> None:
    """Put an empty folder of this process's own over `folder`; where Python itself lives below it, that stays to be seen."""
    libc = _libc()
    kept = {path for given in (sys.base_prefix, sys.prefix) for path in (given, os.path.realpath(given))}
    kept = sorted(path for path in kept if path.startswith(f"{folder}/") and os.path.isdir(path))  # noqa: PTH112
    # Opened before they are covered: afterwards only the open folder leads there.
    opened = [(path, os.open(path, os.O_PATH | os.O_DIRECTORY)) for path in kept]
    options = f"size={files_mib}m,nr_inodes=20000,mode=0700".encode()
    _must(libc.mount(b"tmpfs", folder.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options), f"a private {folder}")
    for path, file in opened:
        if not os.path.isdir(path):  # noqa: PTH112
            os.makedirs(path)  # noqa: PTH103
        source = f"/proc/self/fd/{file}".encode()
        _must(libc.mount(source, path.encode(), None, MS_BIND | MS_REC, None), f"{path} in a private {folder}")
        os.close(file)


def no_privileges() -> None:
    """Give up every capability, and every way to new ones."""
    libc = _libc()
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            break
    _must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    header = (ctypes.c_uint32 * 2)(CAP_VERSION, 0)
    _must(libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())), "no capabilities")


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose parent ends, so that they can be found and ended."""
    _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def limit(cpu_seconds: int, memory_mib: int, processes: int, files_mib: int) -> None:
    """Set this process's limits; its children inherit them. Memory counts from what is mapped now."""
    limit_memory(memory_mib)
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_NPROC: processes,
        resource.RLIMIT_FSIZE: files_mib * 2**20,
        resource.RLIMIT_NOFILE: 512,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        _set_limit(which, most)


def limit_memory(mib: int) -> None:
    """Let this process map so much memory more than it has now: what would take it beyond that raises an error there."""
    mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115, PTH123
    _set_limit(resource.RLIMIT_AS, mapped + mib * 2**20)


def _set_limit(which: int, most: int) -> None:
    hard = resource.getrlimit(which)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with contextlib.suppress(ValueError):
        resource.setrlimit(which, (most, most))
