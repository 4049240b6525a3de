"""A headless Chromium for one page of somebody else's: as little right as can be had, and no trace of it afterwards.

Each has a profile of its own in a temporary folder, a process group of its own that is killed at the end, an environment
without the caller's variables, and no network: a network namespace without interfaces where the kernel allows one, and flags
by which it finds no host in any case. Root gives its rights away first (to `nobody`), with which Chromium's own sandbox works.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from .devtools import BrowserGone, BrowserTimeout, Pipe, ProtocolError

# The shell comes first: the same engine in half the processes and half the memory.
_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_NOBODY = 65534

_FLAGS = (
    "--headless", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check",
    # Pixels that depend on nothing but the page and the installed fonts.
    "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1", "--force-color-profile=srgb", "--disable-lcd-text",
    "--font-render-hinting=none", "--disable-partial-raster", "--mute-audio", "--lang=en-US",
    # No way out, also where there is no namespace.
    "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=socks5://127.0.0.1:9", "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-domain-reliability", "--disable-features=DnsOverHttps,MediaRouter,OptimizationHints",
    # Nothing that outlives the process group.
    "--disable-breakpad", "--disable-crash-reporter", "--disable-extensions", "--disable-dev-shm-usage",
    "--js-flags=--max-old-space-size=512",
)


class NoBrowser(Exception):
    """There is no Chromium, or it does not start."""


class TooMuchMemory(Exception):
    """The browser's processes took more memory than they may."""


@dataclass(frozen=True)
class Chromium:
    """How Chromium is started on this machine."""

    program: str
    prefix: tuple[str, ...] = ()
    """Commands in front of it that take rights away."""
    sandboxed: bool = True
    """Whether Chromium's own sandbox works; else it runs with --no-sandbox."""
    offline: bool = False
    """Whether the kernel gives it a network without interfaces."""

    @property
    def description(self) -> str:
        """One line for reports."""
        rights = "sandboxed" if self.sandboxed else "without Chromium's sandbox (--no-sandbox)"
        return f"{Path(self.program).name}, {rights}, {'no network' if self.offline else 'no network by its flags'}"


@functools.lru_cache(maxsize=None)
def find_chromium(program: str | None = None, confine: bool = True) -> Chromium:
    """The Chromium to use, tried once: NoBrowser with the name of Debian's package if there is none that starts.

    program: its name or path; without, the variable KIMI_CHROMIUM, then the usual names. confine: False leaves prefixes away.
    """
    wanted = program or os.environ.get("KIMI_CHROMIUM")
    path = next(filter(None, map(shutil.which, [wanted] if wanted else _PROGRAMS)), None)
    if path is None:
        raise NoBrowser(
            f"there is no {wanted}" if wanted else "there is no Chromium; on Debian: apt-get install chromium-headless-shell"
        )
    found = Chromium(path)
    for prefix, offline in _prefixes() if confine else ():
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            found = replace(found, prefix=prefix, offline=offline)
            break
    failure: Exception | None = None
    for sandboxed in (True, False):
        candidate = replace(found, sandboxed=sandboxed)
        try:
            with Browser(candidate, deadline=time.monotonic() + 60) as browser:
                browser.pipe.call("Browser.getVersion", None, time.monotonic() + 60)
            return candidate
        except (BrowserGone, BrowserTimeout, ProtocolError, TooMuchMemory, OSError) as error:
            failure = error
    raise NoBrowser(f"{path} does not start: {failure}")


def _prefixes() -> list[tuple[tuple[str, ...], bool]]:
    """What may be put in front, the strictest first, and whether it takes the network away."""
    if os.geteuid() == 0:
        drop = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
        return [(("unshare", "--net", *drop), True), (drop, False)]
    return [(("unshare", "--user", "--map-current-user", "--net"), True)]


class Browser:
    """A running Chromium; a context manager, after which its processes and its profile are gone.

    memory: the most bytes that its processes may hold together; above it `TooMuchMemory` comes out of any wait. Raises
    BrowserGone and BrowserTimeout as `Pipe` does.
    """

    pipe: Pipe

    def __init__(self, chromium: Chromium, deadline: float, memory: int = 2 << 30) -> None:
        self._chromium, self._deadline, self._memory = chromium, deadline, memory
        self._next_look = 0.0

    def __enter__(self) -> Browser:
        self._profile = Path(tempfile.mkdtemp(prefix="visual-loop-"))
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self._profile, ignore_errors=True)
            raise
        return self

    def _start(self) -> None:
        chromium = self._chromium
        home = self._profile / "home"
        home.mkdir()
        if "setpriv" in chromium.prefix:
            os.chown(self._profile, _NOBODY, _NOBODY)
            os.chown(home, _NOBODY, _NOBODY)
        command = [*chromium.prefix, chromium.program, *_FLAGS, f"--user-data-dir={home}"]
        if not chromium.sandboxed:
            command.append("--no-sandbox")
        to_browser, commands = os.pipe()
        messages, from_browser = os.pipe()
        inherited = (to_browser, from_browser)
        try:
            self._process = subprocess.Popen(
                command, close_fds=False, preexec_fn=functools.partial(_take_pipes, *inherited), start_new_session=True,
                cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={"HOME": str(home), "TMPDIR": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"},
            )
        except BaseException:
            os.close(commands)
            os.close(messages)
            raise
        finally:
            for descriptor in inherited:
                os.close(descriptor)
        self.pipe = Pipe(messages, commands, self._watch)

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        group = self._process.pid
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        # A profile can be removed when nobody writes to it any more.
        give_up = time.monotonic() + 5
        while _members(group) and time.monotonic() < give_up:
            time.sleep(0.01)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _watch(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + 0.1
        if now > self._deadline:
            raise BrowserTimeout("the browser took too long")
        taken = sum(map(_held_bytes, _members(self._process.pid)))
        if taken > self._memory:
            raise TooMuchMemory(f"the page took more than {self._memory >> 20} MiB of memory")


def _take_pipes(commands: int, messages: int) -> None:
    """In the child: Chromium reads commands from descriptor 3 and writes messages to 4, and inherits no other."""
    # Away from 3 and 4 first, which either may be.
    commands, messages = os.dup(commands), os.dup(messages)
    if commands == 4:
        commands = os.dup(commands)
    os.dup2(messages, 4, inheritable=True)
    os.dup2(commands, 3, inheritable=True)
    os.closerange(5, 1024)


def _members(group: int) -> list[int]:
    """The living processes of a process group."""
    members = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text()
        except OSError:
            continue
        # The name in brackets may hold anything; what follows are state, parent, group.
        state, _, of = stat.rpartition(")")[2].split()[:3]
        if int(of) == group and state not in "ZX":
            members.append(int(entry))
    return members


def _held_bytes(process: int) -> int:
    """What a process holds that is neither a file's nor another's: anonymous and shared memory."""
    try:
        status = Path("/proc", str(process), "status").read_text()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in status.splitlines() if line.startswith(("RssAnon:", "RssShmem:")))
