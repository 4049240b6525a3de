"""A page from its picture: visual_debug.py TARGET [DIR] [--generator COMMAND] [--out FOLDER] ...

The model (a checkpoint of Kimi K2.5 in DIR) writes HTML, which is rendered in headless Chromium and compared with the target;
it is then shown both and the difference, and writes again, until the pictures are alike or there were enough rounds. FOLDER
keeps every round; the same command goes on where it was stopped. visual_loop/README.md tells more.
"""

import sys

from visual_loop.command import parser, run


def main() -> int:
    given = parser(__doc__, "a picture of a page: PNG, JPEG, WebP").parse_args()

    def targets() -> list[object]:
        from visual_loop import Target, load_picture

        return [Target(load_picture(given.target, given.width))]

    return run(given, "visual_debug", targets)


if __name__ == "__main__":
    sys.exit(main())
