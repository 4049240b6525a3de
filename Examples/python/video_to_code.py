"""A page from a recording of it: video_to_code.py TARGET [DIR] [--generator COMMAND] [--out FOLDER] ...

Frames are taken where the page has changed and then stands still. The model writes one page that goes from state to state as in the
recording, and that shows state N at once when it is opened with #state-N; so each key frame is compared with the page as it opens
with its fragment. What leads from one state to the next (clicks, typing, animations) is asked for, and not compared.
"""

import sys

from visual_loop.command import parser, run


def main() -> int:
    arguments = parser(__doc__, "a screen recording: MP4, WebM, MKV, MOV")
    arguments.add_argument("--states", type=int, default=6, metavar="N", help="the most key frames, 2 or more [6]")
    given = arguments.parse_args()

    def targets() -> list[object]:
        from visual_loop import Target, load_picture
        from visual_loop.keyframes import key_frames

        return [
            Target(load_picture(frame.picture, given.width), f"state {number}", f"state-{number}", f"at {frame.end:.1f} s")
            for number, frame in enumerate(key_frames(given.target, given.states), 1)
        ]

    return run(given, "video_to_code", targets)


if __name__ == "__main__":
    sys.exit(main())
