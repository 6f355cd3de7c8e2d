"""Files written at once or not at all: to a temporary file beside the target, then renamed over it.

A process that dies while it writes leaves its temporary file, `.NAME.RANDOM.bitwright-tmp`. The next write in the same
folder removes it. A lock tells which are stale: the writer holds it until the rename, and a dead process holds none.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from bitwright.errors import ArtifactError, BitwrightError

SUFFIX = ".bitwright-tmp"
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}" + re.escape(SUFFIX), re.DOTALL)
_NAME_BYTES = 120  # of the target's name in the temporary one; file systems allow 255 in all
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM)  # not every file system can sync a folder


def write_atomically(path: str | os.PathLike[str], data: bytes, error: type[BitwrightError] = ArtifactError) -> None:
    """Write `data` to `path`: whoever opens it sees the old contents or all of the new ones, after a power cut too.

    A file that exists keeps its mode and its owner; a symbolic link stays, and what it points to is written. Another
    hard link to the file keeps the old contents.

    Raises:
        error: it cannot be written, or `path` is something else than a file: a folder, a device, a FIFO, a socket.
    """
    try:
        _write(Path(os.path.realpath(path)), data, _old(Path(path)))
    except (OSError, ValueError) as fault:
        raise error(f"cannot write {_in_words(path)}: {reason(fault)}") from fault


def write_new(path: str | os.PathLike[str], data: bytes, mode: int) -> None:
    """Write `data` to `path`, whole or not at all, with this mode from the start. FileExistsError where anything is there."""
    target = Path(path)
    remove_stale(target.parent)
    temporary, descriptor = _create(target, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.link(temporary, target)  # unlike a rename, it replaces nothing
    finally:
        os.unlink(temporary)
    _sync_folder(target.parent)


def expect_writable(path: str | os.PathLike[str], error: type[BitwrightError] = ArtifactError) -> None:
    """Find out before hours of work, not behind them, that `path` is no place for a file; raises `error`."""
    try:
        _old(Path(path))
        folder = Path(os.path.realpath(path)).parent
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"this process may not write in the folder {folder}")
    except (OSError, ValueError) as fault:
        raise error(f"cannot write {_in_words(path)}: {reason(fault)}") from fault


def _in_words(path: str | os.PathLike[str]) -> str:
    """A path, and where it leads if it is a link."""
    try:
        return f"{os.fspath(path)}, a link to {os.readlink(path)}" if os.path.islink(path) else os.fspath(path)
    except (OSError, ValueError):
        return os.fspath(path)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The contents of a file, or of a pipe. OSError for a device, see `open_file`."""
    with open_file(path) as file:
        return file.read()


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """A file, or a pipe, to be read and closed. OSError for a device: one such as /dev/zero has no end."""
    file = open(path, "rb")  # noqa: SIM115  # who asks closes it
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        file.close()
        raise OSError(errno.EINVAL, "expected a file, found a device")
    return file


def expect_no_pipe(path: str | os.PathLike[str]) -> None:
    """OSError for a FIFO, a socket or a device: to open it may take for ever, or reading it."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, f"expected a file, found {_kind(mode)}")


def reason(fault: OSError | ValueError) -> str:
    """Why a file could not be opened. A ValueError is about its path: a NUL, or what no file name can hold."""
    return fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)


def _old(path: Path) -> os.stat_result | None:
    """What is there already; None where nothing is. OSError where it is no regular file."""
    try:
        old = path.stat()  # follows links; of /dev/stdout it tells a pipe from a file
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(old.st_mode):
        raise OSError(f"expected a file or nothing there, found {_kind(old.st_mode)}; choose another path")
    return old


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO (pipe)", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _write(target: Path, data: bytes, old: os.stat_result | None) -> None:
    remove_stale(target.parent)
    temporary, descriptor = _create(target, 0o666 if old is None else 0o600)  # the umask applies, as to any new file
    try:
        with os.fdopen(descriptor, "wb") as file:  # the lock lasts until it is closed, after the rename
            file.write(data)
            file.flush()
            if old is not None:
                _keep(file.fileno(), old)
            os.fsync(file.fileno())
            os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)


def _create(target: Path, mode: int) -> tuple[Path, int]:
    """A new file beside the target, open and locked."""
    name = os.fsdecode(os.fsencode(target.name)[:_NAME_BYTES])
    while True:
        temporary = target.with_name(f".{name}.{secrets.token_hex(8)}{SUFFIX}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with suppress(OSError):  # a file system without locks: its stale files stay
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # another process took it for stale before it was locked


def _keep(descriptor: int, old: os.stat_result) -> None:
    """Give the new file the old one's owner and mode."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError as error:
            raise PermissionError(
                error.errno,
                f"the file there belongs to user {old.st_uid}, group {old.st_gid}, and this process may not keep that; "
                "remove it first, or choose another path",
            ) from error
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _sync_folder(folder: Path) -> None:
    """Make the rename itself outlast a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def remove_stale(folder: Path) -> None:
    """Remove the temporary files that this user's dead processes left in `folder`. Nothing else, and never an error."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name):
                with suppress(OSError):  # it is being written, or is another user's, or gone already
                    _remove_if_stale(entry.path)


def _remove_if_stale(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(descriptor)
