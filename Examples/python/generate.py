"""Generates text from a checkpoint folder: generate.py DIR PROMPT [MAX_TOKENS [SEED]]

Without a seed the most likely token is taken each time.
"""

import sys

import kimi


def main(arguments: list[str]) -> int:
    if not 2 <= len(arguments) <= 4:
        print("usage: generate.py DIR PROMPT [MAX_TOKENS [SEED]]", file=sys.stderr)
        return 2
    folder, prompt, *numbers = arguments
    max_tokens = int(numbers[0]) if numbers else 64
    seed = int(numbers[1]) if len(numbers) > 1 else None

    try:
        with kimi.Model(folder) as model, model.session() as session:
            for event in session.generate(prompt, max_tokens=max_tokens, seed=seed, greedy=seed is None):
                sys.stdout.buffer.write(event.raw)
                sys.stdout.buffer.flush()
        print()
    except kimi.Error as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
