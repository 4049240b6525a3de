"""Initial file systems for a kernel: archives of the cpio form "newc", which the kernel unpacks one after another."""

import os
import re
import stat
import subprocess


class Image:
    """Files of a guest, in the order in which they were added; folders come by themselves."""

    def __init__(self):
        self._entries = {}

    def folder(self, path):
        parts = [part for part in path.split("/") if part]
        for end in range(1, len(parts) + 1):
            self._entries.setdefault("/".join(parts[:end]), (stat.S_IFDIR | 0o755, b"", 0))

    def write(self, path, data, executable=False):
        self.folder(os.path.dirname(path))
        self._entries[path.strip("/")] = (stat.S_IFREG | (0o755 if executable else 0o644), data, 0)

    def copy(self, source, path):
        with open(source, "rb") as file:
            self.write(path, file.read(), os.access(source, os.X_OK))

    def copy_folder(self, source, path):
        for name in sorted(os.listdir(source)):
            self.copy(os.path.join(source, name), f"{path}/{name}")

    def program(self, source, path, library_path=None):
        """A program and the shared libraries it needs, those under the paths where its loader looks for them."""
        self.copy(source, path)
        environment = dict(os.environ, LD_LIBRARY_PATH=os.path.abspath(library_path or "."))
        text = subprocess.run(["ldd", source], check=True, capture_output=True, text=True, env=environment).stdout
        if "not found" in text:
            raise SystemExit(f"{source} lacks libraries:\n{text}")
        for name, file in re.findall(r"^\s*(?:(\S+) => )?(/\S+) \(0x", text, re.MULTILINE):
            # What is not where a system keeps its libraries goes where one does.
            system = file.startswith(("/lib", "/usr/lib"))
            self.copy(file, file if system else f"/usr/lib/x86_64-linux-gnu/{name}")

    def device(self, path, major, minor):
        self.folder(os.path.dirname(path))
        self._entries[path.strip("/")] = (stat.S_IFCHR | 0o600, b"", (major, minor))

    def archive(self):
        parts = []
        entries = [*self._entries.items(), ("TRAILER!!!", (0, b"", 0))]
        for number, (path, (mode, data, device)) in enumerate(entries, 1):
            name = path.encode() + b"\0"
            major, minor = device or (0, 0)
            fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name), 0)
            header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
            parts += [header, bytes(-len(header) % 4), data, bytes(-len(data) % 4)]
        archive = b"".join(parts)
        return archive + bytes(-len(archive) % 512)
