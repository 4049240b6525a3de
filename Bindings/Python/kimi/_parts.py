"""From what Python programs write into messages to parts as JSON has them, pictures and videos by the URLs of handles."""

from __future__ import annotations

import json
import os
from typing import Any, Iterator, Mapping, Optional, Union

from ._pixels import is_only_picture, is_picture
from .media import Image, Video, as_image, as_video

# As the library reads them: types of parts, and the members that may hold what they show.
_IMAGE_TYPES = ("image", "image_url", "input_image")
_VIDEO_TYPES = ("video", "video_url", "input_video")
_MEMBERS = (*_IMAGE_TYPES, *_VIDEO_TYPES, "url", "path")

#: Handles by their URLs.
Shown = dict[str, Union[Image, Video]]


def message(given: Any, shown: Shown) -> Any:
    """A message with the parts of its content as JSON has them; `shown` gets the handles that stand for them."""
    if not isinstance(given, Mapping) or not isinstance(given.get("content"), (list, tuple)):
        return given
    return {**given, "content": content(given["content"], shown)}


def content(given: Any, shown: Shown) -> Any:
    """The content of a message: a text, or parts. A part may also be a text, a picture, or a video by itself."""
    if isinstance(given, (list, tuple)):
        return [_part(part, shown) for part in given]
    return given


def _part(given: Any, shown: Shown) -> Any:
    if isinstance(given, str):
        return {"type": "text", "text": given}
    if isinstance(given, Video):
        return {"type": "video_url", "video_url": {"url": _show(given, shown)}}
    if isinstance(given, (Image, os.PathLike, bytes, bytearray, memoryview)) or is_picture(given):
        return {"type": "image_url", "image_url": {"url": _show(as_image(given), shown)}}
    found = _source(given)
    if found is None:
        return given
    name, source = found
    url = _show(_made(given, source), shown)
    # The times are part of the video now.
    rest = {key: value for key, value in given.items() if key != "timestamps"}
    return {**rest, name: {**given[name], "url": url} if isinstance(given[name], Mapping) else url}


def _made(given: Mapping[str, Any], source: Any) -> Union[Image, Video]:
    """The handle of a part's source."""
    return as_image(source) if given["type"] in _IMAGE_TYPES else as_video(source, given.get("timestamps"))


def _source(given: Any) -> Optional[tuple[str, Any]]:
    """The member of a part that shows something, and what that is; None if it is JSON as it is, a str among it."""
    if not isinstance(given, Mapping) or given.get("type") not in (*_IMAGE_TYPES, *_VIDEO_TYPES):
        return None
    for name in (given["type"], *_MEMBERS):
        value = given.get(name)
        if isinstance(value, Mapping):
            value = value.get("url")
        if value is not None:
            return None if isinstance(value, (str, int, float)) else (name, value)
    return None


def _show(medium: Union[Image, Video], shown: Shown) -> str:
    shown[medium.url] = medium
    return medium.url


def result(given: Any, default: Any) -> Union[str, list[Any]]:
    """What a function returned as the model reads it: a str as it is, pictures as parts of a message, everything else as JSON.

    Pictures are `Image`, images of PIL's and arrays of pixels, alone or in a list with texts and others. Parts hold handles:
    `content` makes JSON of them.
    """
    if isinstance(given, str):
        return given
    if _shows(given):
        return [_held(given)]
    if isinstance(given, (list, tuple)) and any(map(_shows, given)):
        return [_held(each) if isinstance(each, str) or _shows(each) else _text(each, default) for each in given]
    return _text(given, default)


def _text(given: Any, default: Any) -> str:
    return json.dumps(given, ensure_ascii=False, default=default)


def _shows(given: Any) -> bool:
    """Whether a result is a picture or a video; texts, bytes and paths by themselves are none, as ever."""
    if isinstance(given, (Image, Video)) or is_only_picture(given):
        return True
    found = _source(given)
    return found is not None and (isinstance(found[1], (Image, Video, os.PathLike, bytes)) or is_only_picture(found[1]))


def _held(given: Any) -> Any:
    """The same with its picture made, so that what is wrong with it is found where it was returned."""
    found = _source(given)
    if found is not None:
        return _made(given, found[1])
    return as_image(given) if is_only_picture(given) else given


def kept(shown: Shown, conversation: list[dict[str, Any]]) -> Shown:
    """Those of the handles that a conversation shows."""
    return {url: shown[url] for url in _urls(conversation) if url in shown} if shown else {}


def _urls(conversation: list[dict[str, Any]]) -> Iterator[str]:
    for said in conversation:
        parts = said.get("content")
        for part in parts if isinstance(parts, list) else ():
            for name in _MEMBERS if isinstance(part, dict) else ():
                value = part.get(name)
                url = value.get("url") if isinstance(value, dict) else value
                if isinstance(url, str):
                    yield url
