# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache that holds everything fetched or built for guests.

It lives in $LODGE_CACHE, or in build-vm beside the sources. Every entry appears by one rename, so that an
interrupted build leaves nothing half made; one lock per entry keeps two builders from making it twice.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]


class Unavailable(Exception):
    """This machine cannot provide an image; the message says which and why."""


def root():
    """The cache directory, made on first use."""
    path = Path(os.environ.get("LODGE_CACHE") or TOP / "build-vm").resolve()
    path.mkdir(parents=True, exist_ok=True)
    return path


def digest(*parts):
    """A short name for a recipe: the hash of everything that its result depends on."""
    h = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        h.update(b"%d:" % len(data) + data)
    return h.hexdigest()[:16]


def file_identity(path):
    """What changes when a host file changes, without reading it."""
    st = os.stat(path)
    return f"{path} {st.st_size} {st.st_mtime_ns}"


@contextlib.contextmanager
def locked(name):
    lock = root() / "locks" / name.replace("/", "-")
    lock.parent.mkdir(exist_ok=True)
    with open(lock, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def entry(name, build):
    """Path of the cache entry `name`; `build(path)` makes it, a file or a directory, where it is missing."""
    path = root() / name
    if path.exists():
        return path
    with locked(name):
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        _remove(partial)
        try:
            build(partial)
            os.rename(partial, path)
        finally:
            _remove(partial)
    return path


def prune(pattern, keep):
    """Remove all but the `keep` most recently used entries that match."""
    found = []
    for path in root().glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another worker prunes, too
            found.append((path.stat().st_atime, path))
    for _, path in sorted(found, reverse=True)[keep:]:
        _remove(path)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run(*argv, **kwargs):
    """Run a host tool; a failure carries the tool's own last words."""
    argv = [str(a) for a in argv]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
    except FileNotFoundError as e:
        raise Unavailable(f"the program '{argv[0]}' is not installed") from e
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{argv[0]} failed: {words[-1] if words else 'exit status %d' % done.returncode}")
    return done.stdout
