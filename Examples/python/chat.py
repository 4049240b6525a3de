"""A conversation in a terminal: chat.py DIR [MODE [MAX_TOKENS [SEED]]]

Each line of the input is a message; the end of the input ends it, Ctrl-C an answer. MODE is instant, thinking (the default), agent
or swarm; MAX_TOKENS limits each answer.
"""

import sys
from typing import Any

import kimi

MODES = ("instant", "thinking", "agent", "swarm")


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 4 or arguments[1:2] and arguments[1] not in MODES:
        print(f"usage: chat.py DIR [{'|'.join(MODES)} [MAX_TOKENS [SEED]]]", file=sys.stderr)
        return 2
    options: dict[str, Any] = dict(zip(("mode", "max_tokens", "seed"), [*arguments[1:2], *map(int, arguments[2:])]))

    try:
        with kimi.Model(arguments[0]) as model, model.session() as session:
            print("> ", end="", flush=True)
            for line in sys.stdin:
                answer(session, line.strip(), options)
                print("> ", end="", flush=True)
            print()
    except kimi.Error as error:
        print(f"chat: {error}", file=sys.stderr)
        return 1
    return 0


def answer(session: kimi.Session, line: str, options: dict[str, Any]) -> None:
    """Streams the answer to one line, the thought marked. Without a finished answer the conversation is as before the line."""
    if not line:
        return
    last = None
    try:
        for event in session.say(line, stream=True, **options):
            if isinstance(event, (kimi.Reasoning, kimi.Content)):
                if type(event) is not last:
                    print("\n" * (last is not None) + ("[thought] " if isinstance(event, kimi.Reasoning) else "[answer] "), end="")
                    last = type(event)
                print(event.text, end="", flush=True)
            elif isinstance(event, kimi.Finish):
                print(" [cut]" * (event.finish_reason == "length") + f"\n[{event.usage.generated_tokens} tokens]")
    except KeyboardInterrupt:
        print(" [stopped]")
    except kimi.Error as error:
        # A line that does not fit into what is left of the context, say.
        print(f"\nchat: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
