"""The page in what a model answers."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n", re.MULTILINE)
_BEGIN = re.compile(r"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
_TAG = re.compile(r"<[a-z!][^<>]*>", re.IGNORECASE)
_NO_PAGE = {"css", "js", "javascript", "json", "bash", "sh", "python", "diff", "text", "txt", "ts", "typescript"}


def extract_html(answer: str) -> str | None:
    """The HTML of an answer: of the longest fenced block with HTML in it, else from <!doctype or <html on, else the whole answer
    if it has tags. None if there is none. Blocks that were cut off are taken as far as they go."""
    blocks = [text for language, text in _blocks(answer) if language not in _NO_PAGE and _TAG.search(text)]
    if blocks:
        whole = [text for text in blocks if _BEGIN.search(text)]
        return max(whole or blocks, key=len).strip() + "\n"
    begin = _BEGIN.search(answer)
    if begin is not None:
        end = answer.lower().rfind("</html>")
        return answer[begin.start() : end + 7 if end >= begin.start() else None].strip() + "\n"
    return answer.strip() + "\n" if _TAG.search(answer) else None


def _blocks(answer: str) -> list[tuple[str, str]]:
    """Fenced blocks: their languages and texts."""
    blocks, at = [], 0
    while (fence := _FENCE.search(answer, at)) is not None:
        mark = fence.group(1)
        close = re.compile(rf"^[ \t]*{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$", re.MULTILINE).search(answer, fence.end())
        blocks.append((fence.group(2).lower(), answer[fence.end() : close.start() if close else None]))
        at = close.end() if close else len(answer)
    return blocks
