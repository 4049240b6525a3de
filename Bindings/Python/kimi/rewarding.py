"""The terms of PARL, from the account of a swarm, for those who train an orchestrator."""

from __future__ import annotations

import ctypes
import json
from dataclasses import dataclass
from typing import Any, Mapping, Optional, SupportsFloat, SupportsIndex, Union

from ._arguments import INT64, choice, integer
from ._library import library
from ._swarm_structures import RewardOptionsStruct, RewardsStruct

_ANNEALING = {"linear": 1, "cosine": 2}


@dataclass(frozen=True)
class Rewards:
    """The rewards of one run. SWARM.md says what of them is published and what is this library's reading."""

    parallel: float
    """r_parallel, 0 to 1: how many sub-agents worked at the same time."""
    finish: float
    """r_finish, 0 to 1: the share of tasks that were finished."""
    quality: float
    """r_perf: the caller's judgement."""
    efficiency: float
    """0 to 1: 1 - critical steps / all steps."""
    lambda1: float
    lambda2: float
    """The weights of the first two at this progress."""
    training: float
    """lambda1 parallel + lambda2 finish + quality."""
    final: float
    """0.8 quality + 0.2 efficiency."""


def rewards(
    account: Union[str, Mapping[str, Any]],
    quality: SupportsFloat,
    *,
    lambda1: Optional[SupportsFloat] = None,
    lambda2: Optional[SupportsFloat] = None,
    annealing: Optional[str] = None,
    progress: SupportsFloat = 0.0,
    width: Optional[SupportsIndex] = None,
) -> Rewards:
    """The rewards of a run, from its account (`SwarmResult.account`, or its JSON) and the caller's judgement of the answer, 0 to 1.

    - lambda1, lambda2: the weights where training begins, 0 or more [0.1].
    - annealing: how they go to zero: "linear" or "cosine" ["linear"]; progress: how far training has come, 0 to 1.
    - width: the agents at the same time that earn the whole of `parallel`, 2 or more [the account's agent_limit].

    Error, Status.INVALID_ARGUMENT for NaN, a value out of its range, or what is no account.
    """
    loaded = library()
    options = RewardOptionsStruct()
    loaded.kimi_reward_options_init(ctypes.byref(options), ctypes.sizeof(options))
    if lambda1 is not None:
        options.lambda1 = float(lambda1)
    if lambda2 is not None:
        options.lambda2 = float(lambda2)
    if annealing is not None:
        options.annealing = choice(annealing, "annealing", _ANNEALING)
    options.progress = float(progress)
    if width is not None:
        # 0 is the default in C; here it is a number like any other, and too small.
        options.width = integer(width, "width", (1, INT64[1]))
    data = (account if isinstance(account, str) else json.dumps(account)).encode()
    found = RewardsStruct()
    found.struct_size = ctypes.sizeof(found)
    loaded.call("kimi_reward_compute", data, len(data), float(quality), ctypes.byref(options), ctypes.byref(found))
    return Rewards(
        found.parallel, found.finish, found.quality, found.efficiency, found.lambda1, found.lambda2, found.training,
        found.final_form,
    )
