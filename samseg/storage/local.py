"""Creates a file of a local file system once, in one step, and durably.

A temporary file is written, flushed to the disk and linked to its name. Where there are no hard
links (exFAT, some FUSE and network mounts), it is renamed without replacing, where the kernel can
(Linux, `renameat2`). Otherwise the file system is refused by name. Names with `#` and digits are
those that obstore leaves out of its lists.
"""

import ctypes
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from samseg.errors import StorageError

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def create(path: Path, payload: bytes) -> bool:
    """Create a file with its folders.

    Returns:
        False if it exists already; it is unchanged then.

    Raises:
        StorageError: the file system has no atomic create.
        OSError: it cannot be written.
    """
    if path.exists():
        return False
    made = _make_folders(path.parent)
    with _written(path, payload) as temporary:
        created = _named(temporary, path)
    for folder in {path.parent, *(folder.parent for folder in made)}:
        _flush_folder(folder)
    return created


def replace(path: Path, payload: bytes) -> None:
    """Write a file over the one that is there, in one step.

    Raises:
        OSError: it cannot be written.
    """
    with _written(path, payload) as temporary:
        temporary.replace(path)
    _flush_folder(path.parent)


@contextmanager
def _written(path: Path, payload: bytes) -> Iterator[Path]:
    """Yield a file with these contents beside `path`, which is removed unless it was renamed."""
    temporary = path.with_name(f"{path.name}#{secrets.randbits(62)}")
    try:
        with temporary.open("xb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _named(temporary: Path, path: Path) -> bool:
    """Give a file its name, unless there is one of that name."""
    try:
        os.link(temporary, path)
        return True
    except FileExistsError:
        return False
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
    try:
        _rename_new(temporary, path)
        return True
    except FileExistsError:
        return False
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
        raise StorageError(
            f"cannot commit to {path.parent}: its file system ({_file_system(path.parent)}) can "
            "neither link files nor rename them without replacing others, so two runs could "
            "overwrite each other; use a folder on another disk, or an object store"
        ) from e


def _rename_new(source: Path, target: Path) -> None:
    """Rename a file unless the target exists.

    Raises:
        FileExistsError: it exists.
        OSError: with `errno.ENOSYS` where the system cannot do this.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        rename = libc.renameat2
    except AttributeError as e:
        raise OSError(errno.ENOSYS, "no renameat2") from e
    paths = os.fsencode(source), os.fsencode(target)
    if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it, and return the new ones."""
    made = []
    for above in (folder, *folder.parents):
        if above.is_dir():
            break
        made.append(above)
    folder.mkdir(parents=True, exist_ok=True)
    return made


def _flush_folder(folder: Path) -> None:
    """Write a folder's entries to the disk, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as e:
        if e.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on, as the kernel names it."""
    best, name = "", "unknown"
    with suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _, mount, kind, *_ = line.split(" ")
            inside = f"{folder.absolute()}/".startswith(f"{mount.rstrip('/')}/")
            if inside and len(mount) >= len(best):
                best, name = mount, kind
    return name
