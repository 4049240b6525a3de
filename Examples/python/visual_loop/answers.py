"""The page in what a model answers."""

from __future__ import annotations

import re

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
    blocks: list[tuple[str, str]] = []
    mark, language, lines = "", "", []
    for line in answer.splitlines(keepends=True):
        words = line.strip()
        run = words[: len(words) - len(words.lstrip(words[:1]))] if words[:1] in ("`", "~") else ""
        if mark:
            # It ends with a run of the same letter, as long or longer, and nothing else.
            if run[:1] == mark[0] and len(run) >= len(mark) and run == words:
                blocks.append((language, "".join(lines)))
                mark = ""
            else:
                lines.append(line)
        elif len(run) >= 3:
            mark, language, lines = run, words[len(run) :].strip().partition(" ")[0].lower(), []
    if mark:
        blocks.append((language, "".join(lines)))
    return blocks
