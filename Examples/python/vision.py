"""A question about a picture: vision.py DIR PICTURE QUESTION [MAX_TOKENS [SEED [VIDEO]]]

PICTURE is a PNG, JPEG, WebP or GIF; the model is shown VIDEO, if there is one, after it. What they cost is told as they are
looked at, and the answer is written as it comes. MAX_TOKENS limits it (256).
"""

import sys
from pathlib import Path
from typing import Any

import kimi


def main(arguments: list[str]) -> int:
    if not 3 <= len(arguments) <= 6:
        print("usage: vision.py DIR PICTURE QUESTION [MAX_TOKENS [SEED [VIDEO]]]", file=sys.stderr)
        return 2
    folder, picture, question, *rest = arguments
    options: dict[str, Any] = {"mode": "instant", "max_tokens": 256, **dict(zip(("max_tokens", "seed"), map(int, rest[:2])))}
    try:
        # The picture first: a wrong name should not wait for a large model to open.
        shown: list[Any] = [kimi.Image(Path(picture)), *map(kimi.Video, map(Path, rest[2:]))]
        with kimi.Model(folder) as model, model.session() as session:
            for event in session.say([*shown, question], stream=True, **options):
                if isinstance(event, kimi.Media):
                    kind = "picture" if event.kind == "image" else f"video from {event.time}"
                    print(f"[{kind}: {event.tokens} tokens]")
                elif isinstance(event, kimi.Finish):
                    usage = event.usage
                    print(" [cut]" * (event.finish_reason == "length"))
                    print(f"[{usage.generated_tokens} tokens, {usage.media_tokens} of the prompt's {usage.prompt_tokens} to see]")
                else:
                    print(event, end="", flush=True)
    except kimi.Error as error:
        print(f"vision: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
