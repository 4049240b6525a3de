"""The structs of kimi.h, field by field, and the prototypes of its functions.

Nothing here runs at import but the declarations; a field or function that a library does not have is only missed by the
call that needs it.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

from ._chat_structures import CHAT_PROTOTYPES, CHAT_STRUCTURES
from ._media_structures import MEDIA_PROTOTYPES
from ._swarm_structures import SWARM_PROTOTYPES, SWARM_STRUCTURES

ABI_VERSION = 1

LogCallback = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
ProgressCallback = ctypes.CFUNCTYPE(c_int32, c_uint64, c_uint64, c_void_p)


class ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("threads", c_int32),
        ("isa", c_int32),
        ("cache_type", c_int32),
        ("context_limit", c_int64),
        ("load_policy", c_int32),
        ("chunk_size", c_int32),
        ("log", LogCallback),
        ("log_user_data", c_void_p),
        ("log_level", c_int32),
        ("decode_bits", c_int32),
        ("dense", c_int32),
        ("exact", c_int32),
        ("memory_limit", c_int64),
        ("placement", c_int32),
        ("nodes", c_int32),
        ("replicate_bytes", c_int64),
        ("resident_bytes", c_int64),
        ("huge_pages", c_int32),
        ("vision_arithmetic", c_int32),
        ("heat", c_char_p),
        ("features_limit", c_int64),
        ("prefix_limit", c_int64),
    ]


class PlanOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("threads", c_int32),
        ("synthetic", c_char_p),
        ("topology", c_char_p),
        ("heat", c_char_p),
        ("memory_limit", c_int64),
        ("context", c_int64),
        ("sequences", c_int32),
        ("cache_type", c_int32),
        ("dense", c_int32),
        ("placement", c_int32),
        ("nodes", c_int32),
        ("chunk_size", c_int32),
        ("replicate_bytes", c_int64),
        ("resident_bytes", c_int64),
        ("no_streaming", c_int32),
        ("compare", c_int32),
        ("bandwidth", c_double),
        ("link_bandwidth", c_double),
        ("disk_bandwidth", c_double),
        ("barrier", c_double),
    ]


class SessionOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("priority", c_int32),
        ("context_limit", c_int64),
        ("on_shortage", c_int32),
        ("reserved", c_int32),
    ]


class StringView(ctypes.Structure):
    _fields_ = [("bytes", c_char_p), ("length", c_size_t)]


class LogitBias(ctypes.Structure):
    _fields_ = [("id", c_int32), ("bias", c_float)]


class TokenLogprobStruct(ctypes.Structure):
    _fields_ = [("id", c_int32), ("logprob", c_float)]


class GenerationOptionsStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("greedy", c_int32),
        ("max_tokens", c_int64),
        ("seed", c_uint64),
        ("temperature", c_float),
        ("top_p", c_float),
        ("min_p", c_float),
        ("repetition_penalty", c_float),
        ("presence_penalty", c_float),
        ("frequency_penalty", c_float),
        ("top_k", c_int32),
        ("top_logprobs", c_int32),
        ("logit_bias", ctypes.POINTER(LogitBias)),
        ("logit_bias_count", c_size_t),
        ("stop_strings", ctypes.POINTER(StringView)),
        ("stop_string_count", c_size_t),
        ("stop_ids", ctypes.POINTER(c_int32)),
        ("stop_id_count", c_size_t),
        ("ignore_end", c_int32),
        ("reserved", c_int32),
    ]


class EventStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("type", c_int32),
        ("done", c_int64),
        ("total", c_int64),
        ("id", c_int32),
        ("finish_reason", c_int32),
        # c_void_p, not c_char_p: the text has a length and no NUL to stop at.
        ("text", c_void_p),
        ("text_length", c_size_t),
        ("logprob", c_float),
        ("top_count", c_int32),
        ("top", ctypes.POINTER(TokenLogprobStruct)),
        ("stop_string", c_int32),
        ("reserved", c_int32),
    ]


class SessionStats(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("preemptions", c_int32),
        ("position", c_int64),
        ("prompt_tokens", c_int64),
        ("reused_tokens", c_int64),
        ("generated_tokens", c_int64),
        ("steps", c_int64),
        ("prompt_nanoseconds", c_int64),
        ("generation_nanoseconds", c_int64),
        ("bytes_read", c_int64),
        ("cache_bytes", c_int64),
        ("rows_exact", c_int64),
        ("rows_fast", c_int64),
        ("media_tokens", c_int64),
        ("media_encoded", c_int64),
        ("media_reused", c_int64),
        ("restored_tokens", c_int64),
    ]


# Structs whose size this package and the library must be able to agree on, by their name in kimi.h.
SIZED_STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "kimi_model_options": ModelOptions,
    "kimi_plan_options": PlanOptions,
    "kimi_session_options": SessionOptions,
    "kimi_generation_options": GenerationOptionsStruct,
    "kimi_event": EventStruct,
    "kimi_session_stats": SessionStats,
    **CHAT_STRUCTURES,
    **SWARM_STRUCTURES,
}

_handle, _status = c_void_p, c_int32
_ids = ctypes.POINTER(c_int32)
_floats = ctypes.POINTER(c_float)
_size_out = ctypes.POINTER(c_size_t)
_pointer_out = ctypes.POINTER(c_void_p)
# The last argument of every fallible function.
_error_out = _pointer_out

# name: (result, arguments)
PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "kimi_status_name": (c_char_p, [_status]),
    "kimi_error_code": (_status, [_handle]),
    "kimi_error_message": (c_char_p, [_handle]),
    "kimi_error_file": (c_char_p, [_handle]),
    "kimi_error_subject": (c_char_p, [_handle]),
    "kimi_error_destroy": (None, [_handle]),
    "kimi_free": (None, [c_void_p]),
    "kimi_version": (c_char_p, []),
    "kimi_abi_version": (c_int32, []),
    "kimi_features": (_status, [_pointer_out, _size_out, _error_out]),
    "kimi_struct_size": (c_size_t, [c_char_p]),
    "kimi_model_options_init": (_status, [ctypes.POINTER(ModelOptions), c_size_t]),
    "kimi_model_open": (
        _status,
        [c_char_p, c_size_t, ctypes.POINTER(ModelOptions), ProgressCallback, c_void_p, _pointer_out, _error_out],
    ),
    "kimi_model_close": (None, [_handle]),
    "kimi_model_info": (_status, [_handle, _pointer_out, _size_out, _error_out]),
    "kimi_model_heat": (_status, [_handle, _pointer_out, _size_out, _error_out]),
    "kimi_model_save_heat": (_status, [_handle, c_char_p, c_size_t, _error_out]),
    "kimi_model_save_prefixes": (_status, [_handle, c_char_p, c_size_t, _error_out]),
    "kimi_model_load_prefixes": (_status, [_handle, c_char_p, c_size_t, _error_out]),
    "kimi_model_vocabulary_size": (c_int32, [_handle]),
    "kimi_model_context_limit": (c_int64, [_handle]),
    "kimi_plan_options_init": (_status, [ctypes.POINTER(PlanOptions), c_size_t]),
    "kimi_plan": (_status, [c_char_p, c_size_t, ctypes.POINTER(PlanOptions), _pointer_out, _size_out, _error_out]),
    "kimi_tokenize": (_status, [_handle, c_char_p, c_size_t, c_uint32, _ids, c_size_t, _size_out, _error_out]),
    "kimi_detokenize": (_status, [_handle, _ids, c_size_t, c_void_p, c_size_t, _size_out, _error_out]),
    "kimi_token_piece": (_status, [_handle, c_int32, c_void_p, c_size_t, _size_out, _error_out]),
    "kimi_token_id": (_status, [_handle, c_char_p, c_size_t, ctypes.POINTER(c_int32), _error_out]),
    "kimi_token_is_special": (c_int32, [_handle, c_int32]),
    "kimi_special_tokens": (_status, [_handle, _pointer_out, _size_out, _error_out]),
    "kimi_decoder_create": (_status, [_handle, _pointer_out, _error_out]),
    "kimi_decoder_feed": (_status, [_handle, c_int32, _pointer_out, _size_out, _error_out]),
    "kimi_decoder_finish": (_status, [_handle, _pointer_out, _size_out, _error_out]),
    "kimi_decoder_destroy": (None, [_handle]),
    "kimi_session_options_init": (_status, [ctypes.POINTER(SessionOptions), c_size_t]),
    "kimi_session_create": (_status, [_handle, ctypes.POINTER(SessionOptions), _pointer_out, _error_out]),
    "kimi_session_fork": (_status, [_handle, _pointer_out, _error_out]),
    "kimi_session_destroy": (None, [_handle]),
    "kimi_session_reset": (_status, [_handle, _error_out]),
    "kimi_session_truncate": (_status, [_handle, c_int64, _error_out]),
    "kimi_session_position": (c_int64, [_handle]),
    "kimi_session_ids": (_status, [_handle, _ids, c_size_t, _size_out, _error_out]),
    "kimi_session_evaluate": (_status, [_handle, _ids, c_size_t, c_uint32, _floats, c_size_t, _error_out]),
    "kimi_session_cancel": (_status, [_handle]),
    "kimi_session_save": (_status, [_handle, c_char_p, c_size_t, _error_out]),
    "kimi_session_load": (_status, [_handle, c_char_p, c_size_t, _error_out]),
    "kimi_generation_options_init": (_status, [ctypes.POINTER(GenerationOptionsStruct), c_size_t]),
    "kimi_generation_start": (
        _status,
        [_handle, _ids, c_size_t, ctypes.POINTER(GenerationOptionsStruct), _pointer_out, _error_out],
    ),
    "kimi_generation_next": (_status, [_handle, ctypes.POINTER(EventStruct), _error_out]),
    "kimi_generation_destroy": (None, [_handle]),
    "kimi_session_get_stats": (_status, [_handle, ctypes.POINTER(SessionStats), _error_out]),
    **CHAT_PROTOTYPES,
    **SWARM_PROTOTYPES,
    **MEDIA_PROTOTYPES,
}
