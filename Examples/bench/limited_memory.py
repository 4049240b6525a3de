"""A memory cgroup to run programs in, of either kind, and files that are not in the page cache."""

import ctypes
import mmap
import os
import sys
import time
from pathlib import Path
from types import TracebackType


class Unavailable(Exception):
    """Why no memory cgroup can be made, and what would help."""


def _mounts() -> list[tuple[str, str, list[str]]]:
    """Type, place and options of what is mounted."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(line[2], line[1].replace("\\040", " "), line[3].split(",")) for line in lines if len(line) >= 4]


def _own(controller: str) -> str:
    """The path of this process's cgroup: of version 2 if the controller is ""."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        if (number == "0") if controller == "" else (controller in names.split(",")):
            return path.lstrip("/")
    return ""


def _places() -> list[tuple[int, Path]]:
    """Folders in which a cgroup with a memory limit may be possible: version and folder, the likeliest first."""
    places = []
    for version, kind, controller in ((2, "cgroup2", ""), (1, "cgroup", "memory")):
        for found, place, options in _mounts():
            if found == kind and (version == 2 or controller in options):
                places += [(version, Path(place)), (version, Path(place) / _own(controller))]
    return places


def _enable(parent: Path) -> None:
    """Version 2: has the memory controller in the cgroups below, if that is not so already."""
    control = parent / "cgroup.subtree_control"
    if "memory" not in control.read_text().split():
        control.write_text("+memory")


class Cgroup:
    """A cgroup with a limit of memory, page cache counted; gone at the end of a `with` block.

    - under: the folder of a cgroup in which to make it; where that is possible if not given.
    """

    def __init__(self, limit: int, under: str = "") -> None:
        self.limit = limit
        reasons = []
        for version, parent in [(2 if (Path(under) / "cgroup.controllers").exists() else 1, Path(under))] if under else _places():
            self.folder = parent / f"oversubscribed-{os.getpid()}"
            self.version = version
            try:
                if version == 2:
                    _enable(parent)
                self.folder.mkdir()
                try:
                    if version == 2:
                        (self.folder / "memory.max").write_text(str(limit))
                        if (self.folder / "memory.swap.max").exists():
                            (self.folder / "memory.swap.max").write_text("0")
                    else:
                        (self.folder / "memory.limit_in_bytes").write_text(str(limit))
                    return
                except OSError:
                    self.folder.rmdir()
                    raise
            except OSError as error:
                reasons.append(f"{parent}: {error.strerror}")
        raise Unavailable(
            "no memory cgroup can be made (" + ("; ".join(reasons) or "none is mounted") + "); run as root, or in one that is "
            "yours, as by `systemd-run --user --scope -p Delegate=memory`, and name it with --cgroup")

    def enter(self) -> None:
        """Moves the calling process in, for `preexec_fn`."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def most(self) -> int:
        """The most bytes that were charged so far; 0 if the system does not tell."""
        name = "memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"
        try:
            return int((self.folder / name).read_text())
        except OSError:
            return 0

    def __enter__(self) -> "Cgroup":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # The system lets a cgroup go a moment after its last process has.
        for _ in range(100):
            try:
                self.folder.rmdir()
                return
            except OSError:
                time.sleep(0.05)
        print(f"oversubscribed: {self.folder} could not be removed", file=sys.stderr)


def cached_share(path: Path) -> float:
    """How much of a file is in the page cache, 0 to 1."""
    size = path.stat().st_size
    if size == 0:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
    states = (ctypes.c_ubyte * pages)()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(size), states)
        del first
    if failed:
        raise OSError(ctypes.get_errno(), "mincore", str(path))
    return sum(state & 1 for state in states) / pages


def chill(paths: list[Path]) -> float:
    """Takes files out of the page cache; returns the share of their bytes that would not go. Other files stay where they are."""
    left = 0.0
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # Only what is on the disk can leave.
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
        left += cached_share(path) * path.stat().st_size
    return left / max(1, sum(path.stat().st_size for path in paths))
