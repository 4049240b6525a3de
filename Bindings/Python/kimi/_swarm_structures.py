"""The structs and prototypes of kimi.h's sections on swarms and rewards."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from typing import Any

from ._chat_structures import ChatEventStruct, ChatOptionsStruct


class SwarmOptionsStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("agent_limit", c_int32),
        ("main_steps", c_int32),
        ("task_steps", c_int32),
        ("task_tokens", c_int64),
        ("all_tokens", c_int64),
        ("task_milliseconds", c_int64),
        ("all_milliseconds", c_int64),
        ("result_bytes", c_int64),
        ("parallel_agents", c_int32),
        ("parallel_tools", c_int32),
        ("priority", c_int32),
        ("queue_limit", c_int32),
        ("context_limit", c_int64),
        ("main_mode", c_int32),
        ("agent_mode", c_int32),
        ("chat", ctypes.POINTER(ChatOptionsStruct)),
        ("agent_request", c_char_p),
        ("agent_request_length", c_size_t),
    ]


class SwarmEventStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("type", c_int32),
        ("agent", c_int32),
        ("parent", c_int32),
        ("name", c_char_p),
        ("task", c_int32),
        ("outcome", c_int32),
        ("budget", c_int32),
        ("finish_reason", c_int32),
        ("cut", c_int32),
        ("reserved", c_int32),
        # c_void_p, not c_char_p: the text has a length and may hold NUL.
        ("text", c_void_p),
        ("text_length", c_size_t),
        ("chat", ctypes.POINTER(ChatEventStruct)),
        ("swarm", c_void_p),
    ]


class RewardOptionsStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("annealing", c_int32),
        ("lambda1", c_double),
        ("lambda2", c_double),
        ("progress", c_double),
        ("width", c_int64),
    ]


class RewardsStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_int32),
        ("parallel", c_double),
        ("finish", c_double),
        ("quality", c_double),
        ("efficiency", c_double),
        ("lambda1", c_double),
        ("lambda2", c_double),
        ("training", c_double),
        ("final_form", c_double),
    ]


SWARM_STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "kimi_swarm_options": SwarmOptionsStruct,
    "kimi_swarm_event": SwarmEventStruct,
    "kimi_reward_options": RewardOptionsStruct,
    "kimi_rewards": RewardsStruct,
}

_handle, _status = c_void_p, c_int32
_text = [c_char_p, c_size_t]
_pointer_out = ctypes.POINTER(c_void_p)
_transferred = [_pointer_out, ctypes.POINTER(c_size_t), _pointer_out]

# name: (result, arguments)
SWARM_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "kimi_swarm_options_init": (_status, [ctypes.POINTER(SwarmOptionsStruct), c_size_t]),
    "kimi_swarm_open": (
        _status,
        [_handle, *_text, ctypes.POINTER(SwarmOptionsStruct), _pointer_out, _pointer_out],
    ),
    "kimi_swarm_next": (_status, [_handle, c_int32, ctypes.POINTER(SwarmEventStruct), _pointer_out]),
    "kimi_swarm_submit": (_status, [_handle, c_int32, *_text, *_text, c_int32, _pointer_out]),
    "kimi_swarm_submit_content": (_status, [_handle, c_int32, *_text, *_text, c_int32, _pointer_out]),
    "kimi_swarm_cancel": (_status, [_handle, c_int32, _pointer_out]),
    "kimi_swarm_account": (_status, [_handle, *_transferred]),
    "kimi_swarm_trace": (_status, [_handle, *_transferred]),
    "kimi_swarm_destroy": (None, [_handle]),
    "kimi_reward_options_init": (_status, [ctypes.POINTER(RewardOptionsStruct), c_size_t]),
    "kimi_reward_compute": (
        _status,
        [*_text, c_double, ctypes.POINTER(RewardOptionsStruct), ctypes.POINTER(RewardsStruct), _pointer_out],
    ),
}
