"""The plan before loading: where everything of a model would lie on a machine, and how fast that would be."""

from __future__ import annotations

import ctypes
from typing import Any, Optional

from ._arguments import INT64, Path, c_path, choice, integer, path_bytes
from ._library import library
from ._structures import PlanOptions
from .model import _CACHE, _DENSE, _PLACEMENT


def plan(
    path: Path,
    *,
    synthetic: Optional[str] = None,
    topology: Optional[Path] = None,
    memory: Optional[int] = None,
    context: Optional[int] = None,
    sequences: Optional[int] = None,
    cache_type: Optional[str] = None,
    dense: Optional[str] = None,
    placement: Optional[str] = None,
    nodes: Optional[int] = None,
    threads: Optional[int] = None,
    chunk_size: Optional[int] = None,
    heat: Optional[Path] = None,
    replicate_bytes: Optional[int] = None,
    resident_bytes: Optional[int] = None,
    streaming: bool = True,
    compare: bool = False,
    bandwidth: Optional[float] = None,
    link: Optional[float] = None,
    barrier: Optional[float] = None,
    disk: Optional[float] = None,
) -> dict[str, Any]:
    """Plans the checkpoint in a folder, which may hold config.json alone; no weights are read. The members are those of kimi_plan.

    - synthetic, topology: the machine, in hwloc's synthetic form or as an XML file of its tools; neither: this one.
    - memory: the most bytes to use; None: what the machine has.
    - context, sequences: tokens of each sequence (8192 if not given), and how many there are at the same time.
    - streaming: whether experts that do not fit may be read from the files; if not, that is an Error (Status.OUT_OF_MEMORY).
    - compare: other policies, and one package alone, are predicted as well.
    - bandwidth, link, disk: GB/s of a node's own memory, between packages, of the disk; barrier: microseconds in which all threads
      meet. None: a range from assumptions, which the plan states. Speeds are predictions.

    The others are as for Model. What cannot work is an Error with the changes that would each help alone.
    """
    options = PlanOptions()
    loaded = library()
    loaded.kimi_plan_options_init(ctypes.byref(options), ctypes.sizeof(options))
    if synthetic is not None:
        options.synthetic = c_path(synthetic, "synthetic")
    if topology is not None:
        options.topology = c_path(topology, "topology")
    if heat is not None:
        options.heat = c_path(heat, "heat")
    for name, value, span in (
        ("threads", threads, (1, 4096)),
        ("memory_limit", memory, (1, INT64[1])),
        ("context", context, (1, INT64[1])),
        ("sequences", sequences, (1, 65536)),
        ("nodes", nodes, (1, 64)),
        ("chunk_size", chunk_size, (1, 4096)),
        ("replicate_bytes", replicate_bytes, (1, INT64[1])),
        ("resident_bytes", resident_bytes, (1, INT64[1])),
    ):
        if value is not None:
            setattr(options, name, integer(value, name, span))
    for name, word, words in (("cache_type", cache_type, _CACHE), ("dense", dense, _DENSE), ("placement", placement, _PLACEMENT)):
        if word is not None:
            setattr(options, name, choice(word, name, words))
    options.no_streaming = 0 if streaming else 1
    options.compare = 1 if compare else 0
    for name, rate, unit in (
        ("bandwidth", bandwidth, 1e9),
        ("link_bandwidth", link, 1e9),
        ("disk_bandwidth", disk, 1e9),
        ("barrier", barrier, 1e-6),
    ):
        if rate is not None:
            # C's 0 is "not given", which here is None.
            if rate == 0:
                raise ValueError(f"{name} is {rate}; it must be above 0, or None for the assumptions")
            setattr(options, name, float(rate) * unit)
    folder = path_bytes(path)
    answer: dict[str, Any] = loaded.json("kimi_plan", folder, len(folder), ctypes.byref(options))
    return answer
