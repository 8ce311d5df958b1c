"""
Changing one file so that nobody ever sees half of it: lock, temporary file, fsync, rename.

What the bytes mean is not known here, and neither is Salt.
"""

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import time

# xend needs minutes for a file that is larger, so that nobody has one.
MOST_BYTES = 1048576

# What a path may lead to that is no file.
KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def read(path):
    """
    The bytes of the file at PATH.

    Raises EnvironmentError with the path in its text when it cannot be read; a link that leads
    nowhere is named as such, and so is what is no file, without being opened, or larger than 1 MiB.
    """
    try:
        return _read(path)
    except EnvironmentError as exc:
        if exc.errno == errno.ENOENT and os.path.islink(path):
            raise IOError(exc.errno, "is a dangling link to %s" % os.path.realpath(path), path)
        raise


def _read(path):
    # To open a device may do something, and a FIFO would be waited for.
    _refuse_other_kinds(path, os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        _refuse_other_kinds(path, found)
        _refuse_size(path, found.st_size)
        # It may grow meanwhile, or not tell its size.
        data = stream.read(MOST_BYTES + 1)
    _refuse_size(path, len(data))
    return data


def _refuse_other_kinds(path, found):
    for is_kind, what in KINDS:
        if is_kind(found.st_mode):
            raise IOError(errno.EINVAL, "is %s, not a file" % what, path)


def _refuse_size(path, size):
    if size > MOST_BYTES:
        raise IOError(
            errno.EFBIG,
            "is larger than %d bytes (it has %d), for which xend itself would need minutes: name the right "
            "file, or take out of it what is no setting" % (MOST_BYTES, size),
            path,
        )


def update(path, edit, before_write=None, timeout_s=10):
    """
    Replace the content of a file by what EDIT makes of it, atomically.

    path
        the file; of a symbolic link, the file that it leads to is replaced and the link stays
    edit
        a function from the old bytes to the new ones; it may raise, and then nothing is written
    before_write
        called with the real path just before a change is written (to keep a backup)
    timeout_s
        how long to wait, in seconds, for another process that is changing a file in the same folder

    Mode, owner and extended attributes (the SELinux context among them) are kept. A process that is
    killed at any moment leaves the old or the new file, complete. Returns (old, new), both bytes;
    nothing is written when they are equal. Raises EnvironmentError when something is in the way, or when
    either would be larger than 1 MiB.
    """
    real = os.path.realpath(path)
    # Read first, so that a missing or unreadable file is reported as that and not as a lock problem.
    read(path)
    with _locked(os.path.dirname(real), timeout_s):
        old = read(path)
        new = edit(old)
        if new != old:
            _refuse_size(path, len(new))
            if before_write:
                before_write(real)
            _replace(real, new)
    return old, new


@contextlib.contextmanager
def _locked(directory, timeout_s):
    """
    Hold the lock of a folder. The folder itself is locked: a lock on the file would stay with the
    replaced one, a lock file would be litter in /etc/xen, and the kernel drops this one at any death.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        deadline = time.time() + timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except EnvironmentError as exc:
                if exc.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if time.time() >= deadline:
                    raise IOError(
                        errno.EAGAIN,
                        "is locked: another process has been changing files there for over %s s; "
                        "try again when it is done" % timeout_s,
                        directory,
                    )
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _replace(path, data):
    directory, name = os.path.split(path)
    # One fixed name: what a killed process leaves behind is overwritten by the next, never piles up.
    temporary = os.path.join(directory, ".%s.new" % name)
    before = os.stat(path)
    # A rename would replace even a file that this process may not write.
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    _remove(temporary)
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR
    )
    try:
        try:
            _write(descriptor, data)
            made = os.fstat(descriptor)
            if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            _copy_attributes(path, temporary)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        _remove(temporary)
        raise
    # The new name is on the disk only when the folder is.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor, data):
    written = 0
    while written < len(data):
        written += os.write(descriptor, data[written : written + 1048576])


def _remove(path):
    try:
        os.unlink(path)
    except OSError as exc:
        if exc.errno != errno.ENOENT:
            raise


def _copy_attributes(source, target):
    """
    Give TARGET the extended attributes of SOURCE. Python before 3.3 has no calls for them; there
    chcon copies the one that keeps xend from reading its file when it is wrong.
    """
    if hasattr(os, "listxattr"):
        try:
            names = os.listxattr(source)
        except OSError as exc:
            if exc.errno in (errno.ENOTSUP, errno.ENOSYS):
                return
            raise
        for name in names:
            os.setxattr(target, name, os.getxattr(source, name))
    elif os.path.exists("/selinux/enforce") or os.path.exists("/sys/fs/selinux/enforce"):
        command = ["chcon", "--reference", source, target]
        if subprocess.call(command) != 0:
            raise OSError(
                errno.EPERM, "cannot be given the SELinux context of the old file", target
            )
