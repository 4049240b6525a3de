"""The structs and prototypes of kimi.h's section on conversation."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

ContextCallback = ctypes.CFUNCTYPE(c_int32, c_int64, c_int64, c_void_p)


class ChatOptionsStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("mode", c_int32),
        ("max_tokens", c_int64),
        ("reasoning_budget", c_int64),
        ("seed", c_uint64),
        ("temperature", c_float),
        ("top_p", c_float),
        ("constrain", c_int32),
        ("step_limit", c_int32),
        ("append", c_int32),
        ("parallel_calls", c_int32),
        ("context_policy", c_int32),
        ("reserved", c_int32),
        ("context_callback", ContextCallback),
        ("context_user_data", c_void_p),
        ("allow_files", c_int32),
        ("reserved2", c_int32),
    ]


class ChatEventStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("type", c_int32),
        ("step", c_int32),
        ("call", c_int32),
        # c_void_p, not c_char_p: the text has a length and may hold NUL.
        ("text", c_void_p),
        ("text_length", c_size_t),
        ("call_id", c_char_p),
        ("name", c_char_p),
        ("code", c_int32),
        ("finish_reason", c_int32),
        ("done", c_int64),
        ("total", c_int64),
        ("prompt_tokens", c_int64),
        ("cached_tokens", c_int64),
        ("generated_tokens", c_int64),
        ("reasoning_tokens", c_int64),
        ("media_tokens", c_int64),
    ]


class ToolCallStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("step", c_int32),
        ("id", c_char_p),
        ("name", c_char_p),
        ("arguments", c_void_p),
        ("arguments_length", c_size_t),
        ("agent", c_int32),
        ("reserved", c_int32),
        ("agent_name", c_char_p),
    ]


ToolCallback = ctypes.CFUNCTYPE(c_int32, ctypes.POINTER(ToolCallStruct), c_void_p, c_void_p)


class ToolStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("timeout_milliseconds", c_int32),
        ("name", c_char_p),
        ("description", c_char_p),
        ("parameters", c_char_p),
        ("callback", ToolCallback),
        ("user_data", c_void_p),
        ("any_thread", c_int32),
        ("parallel_limit", c_int32),
        ("scope", c_int32),
        ("reserved", c_int32),
    ]


CHAT_STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "kimi_chat_options": ChatOptionsStruct,
    "kimi_chat_event": ChatEventStruct,
    "kimi_tool_call": ToolCallStruct,
    "kimi_tool": ToolStruct,
}

_handle, _status = c_void_p, c_int32
_text = [c_char_p, c_size_t]
_ids = ctypes.POINTER(c_int32)
_size_out = ctypes.POINTER(c_size_t)
_pointer_out = ctypes.POINTER(c_void_p)
_transferred = [_pointer_out, _size_out, _pointer_out]

# name: (result, arguments)
CHAT_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "kimi_chat_options_init": (_status, [ctypes.POINTER(ChatOptionsStruct), c_size_t]),
    "kimi_session_turn": (_status, [_handle, *_transferred]),
    "kimi_session_messages": (_status, [_handle, *_transferred]),
    "kimi_tool_result_set": (_status, [_handle, *_text, _pointer_out]),
    "kimi_session_add_tool": (_status, [_handle, ctypes.POINTER(ToolStruct), _pointer_out]),
    "kimi_session_remove_tool": (_status, [_handle, *_text, _pointer_out]),
    "kimi_chat_start": (
        _status,
        [_handle, *_text, ctypes.POINTER(ChatOptionsStruct), _pointer_out, _pointer_out],
    ),
    "kimi_chat_next": (_status, [_handle, ctypes.POINTER(ChatEventStruct), _pointer_out]),
    "kimi_chat_submit": (_status, [_handle, *_text, *_text, c_int32, _pointer_out]),
    "kimi_chat_submit_content": (_status, [_handle, *_text, *_text, c_int32, _pointer_out]),
    "kimi_chat_destroy": (None, [_handle]),
    "kimi_render": (_status, [_handle, *_text, c_int32, *_transferred]),
    "kimi_render_ids": (_status, [_handle, *_text, c_int32, _ids, c_size_t, _size_out, _pointer_out]),
    "kimi_parse_output": (_status, [_handle, _ids, c_size_t, c_int32, *_transferred]),
    "kimi_parse_output_text": (_status, [*_text, c_int32, *_transferred]),
    "kimi_tools_to_typescript": (_status, [*_text, *_transferred]),
}
