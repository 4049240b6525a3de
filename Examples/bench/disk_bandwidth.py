"""What a disk gives: direct reads of random places of files, as large and as many at once as the expert store's."""

import mmap
import os
import random
import threading
import time
from pathlib import Path

PIECE = 1 << 20
UNDER_WAY = 64
BLOCK = 4096


class NotDirect(Exception):
    """The file system has no direct reads, so that only the page cache could be measured."""


def read_bandwidth(paths: list[Path], seconds: float = 2) -> float:
    """Bytes a second of pieces of 1 MiB (less at the end of a file), 64 under way, in no order, past the page cache."""
    descriptors = []
    places: list[tuple[int, int]] = []
    try:
        for path in paths:
            try:
                descriptors.append(os.open(path, os.O_RDONLY | os.O_DIRECT))
            except OSError as error:
                raise NotDirect(f"{path} cannot be read past the page cache: {error.strerror}") from None
            places += [(descriptors[-1], offset) for offset in range(0, path.stat().st_size - BLOCK, PIECE)]
        random.shuffle(places)
        return _read(places, seconds)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _read(places: list[tuple[int, int]], seconds: float) -> float:
    counts = [0] * UNDER_WAY
    # In huge pages, as the store's slots: a request then is one stretch of memory for the device, not 256.
    memory = mmap.mmap(-1, (UNDER_WAY + 2) * PIECE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    pieces = [memoryview(memory)[number * PIECE:(number + 1) * PIECE] for number in range(UNDER_WAY)]
    errors: list[OSError] = []
    begin = time.monotonic()
    end = begin + seconds

    def work(number: int) -> None:
        turn = number
        while time.monotonic() < end and not errors:
            descriptor, offset = places[turn % len(places)]
            turn += UNDER_WAY
            try:
                counts[number] += os.preadv(descriptor, [pieces[number]], offset)
            except OSError as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(UNDER_WAY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise NotDirect(f"direct reads fail: {errors[0].strerror}")
    return sum(counts) / (time.monotonic() - begin)
