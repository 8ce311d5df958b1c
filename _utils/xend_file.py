"""
Reading the file of xend, and putting files in the place of others so that nobody ever sees half of one: lock,
temporary file, fsync, rename.

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
            _put(real, new, None, False)
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


def replace(path, data, mode=0o600, is_new=False, timeout_s=None):
    """
    Put bytes in the place of a file, or where there is none: the old or the new content, complete, and on the
    disk when this returns, whatever happens, and what stood there is replaced, not written to.

    mode
        its permissions. Until it is complete, only its owner can open it
    is_new
        raise OSError (EEXIST) when there is something at PATH already
    timeout_s
        how long to wait, in seconds, for another process that is changing a file in the same folder; None:
        nobody else writes this file, because the caller holds a lock

    PATH is bytes or text. Raises EnvironmentError when something is in the way.
    """
    if timeout_s is None:
        return _put(path, data, mode, is_new)
    with _locked(os.path.dirname(path), timeout_s):
        return _put(path, data, mode, is_new)


def _put(path, data, mode, is_new):
    """
    As `replace`; MODE None: with mode, owner and extended attributes of the file that is there.
    """
    folder, name = os.path.split(path)
    # One fixed name: what a killed process leaves behind is overwritten by the next, never piles up.
    name = b"." + name + b".new" if isinstance(name, bytes) else ".%s.new" % name
    temporary = os.path.join(folder, name)
    if mode is None:
        # A rename would replace even a file that this process may not write.
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    _remove(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            _write(descriptor, data)
            if mode is None:
                _make_alike(path, temporary, descriptor)
            else:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # Unlike a rename, a link fails when somebody has made the file meanwhile.
        (os.link if is_new else os.rename)(temporary, path)
    finally:
        _remove(temporary)
    sync(folder)


def sync(folder):
    """
    See that the names in a folder are on the disk; they are not before that, even when the files are.
    """
    descriptor = os.open(folder, os.O_RDONLY)
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


def _make_alike(source, target, descriptor):
    """
    Give TARGET, which is open, the owner, the extended attributes and the mode of SOURCE. Python before 3.3
    has no calls for attributes; there chcon copies the one that keeps xend from reading its file when it is
    wrong.
    """
    before, made = os.stat(source), os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    if hasattr(os, "listxattr"):
        names = _attributes(source)
        # The folder may give each new file a list of users (an ACL), whom the mode would let in.
        for name in [name for name in _attributes(target) if name not in names]:
            os.removexattr(target, name)
        for name in names:
            os.setxattr(target, name, os.getxattr(source, name))
    elif os.path.exists("/selinux/enforce") or os.path.exists("/sys/fs/selinux/enforce"):
        if subprocess.call(["chcon", "--reference", source, target]) != 0:
            raise OSError(errno.EPERM, "cannot be given the SELinux context of the old file", target)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _attributes(path):
    try:
        return os.listxattr(path)
    except OSError as exc:
        if exc.errno in (errno.ENOTSUP, errno.ENOSYS):
            return []
        raise
