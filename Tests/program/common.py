"""What the tests of the program share: starting it, and reading checkpoints without it."""

import base64
import json
import math
import os
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

KIMI = os.environ.get("KIMI", "")
ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests" / "Fixtures"
TINY = FIXTURES / "tiny-kimi"


class ProgramTest(unittest.TestCase):
    """Runs the program in a plain environment, with a folder of its own that goes away."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    environment = {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "SWIFT_BACKTRACE": "enable=no"} | {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH", "HOME") if name in os.environ}

    def start(self, *arguments: object, **options: object) -> subprocess.Popen:
        return subprocess.Popen(
            [KIMI, *map(str, arguments)], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def run_kimi(self, *arguments: object, input: bytes = b"", **options: object) -> subprocess.CompletedProcess:
        return subprocess.run(
            [KIMI, *map(str, arguments)], env=self.environment, input=input, capture_output=True, timeout=300, **options)

    def output(self, *arguments: object, input: bytes = b"") -> bytes:
        """The standard output of a run that goes well."""
        result = self.run_kimi(*arguments, input=input)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout

    def json(self, *arguments: object, input: bytes = b"") -> dict:
        return json.loads(self.output(*arguments, "--json", input=input))

    def failure(self, *arguments: object, code: int = 1, input: bytes = b"", **options: object) -> str:
        """The error text of a run that fails; nothing may be on the standard output then."""
        result = self.run_kimi(*arguments, input=input, **options)
        self.assertEqual(result.returncode, code, result.stderr.decode() + result.stdout.decode(errors="replace"))
        self.assertEqual(result.stdout, b"")
        text = result.stderr.decode()
        if code == 1:
            lines = text.splitlines()
            self.assertTrue(lines and lines[0].startswith("kimi: "), text)
            self.assertEqual(len(lines), 2, "a message and the next step: " + text)
        return text

    def listing(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


class Safetensors:
    """A checkpoint's tensors by the letter of the format, checked as they are read."""

    widths = {"BF16": 2, "F32": 4, "I32": 4}

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.safetensors"))
        self.tensors: dict[str, tuple[Path, str, list[int], int, int]] = {}
        for path in self.files:
            with open(path, "rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(length))
            assert length % 8 == 0, f"{path}: the data begins at an odd place"
            self.metadata = header.pop("__metadata__")
            end = 0
            for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
                begin, stop = entry["data_offsets"]
                assert begin == end, f"{name}: a hole or an overlap"
                assert stop - begin == self.widths[entry["dtype"]] * math.prod(entry["shape"]), f"{name}: size"
                assert name not in self.tensors, f"{name}: twice"
                self.tensors[name] = (path, entry["dtype"], entry["shape"], 8 + length + begin, stop - begin)
                end = stop
            assert path.stat().st_size == 8 + length + end, f"{path}: size"

    def forms(self) -> dict[str, tuple[str, list[int]]]:
        return {name: (dtype, shape) for name, (_, dtype, shape, _, _) in self.tensors.items()}

    def bytes(self, name: str) -> bytes:
        path, _, _, offset, size = self.tensors[name]
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def values(self, name: str) -> list[float]:
        """The numbers of a bf16 or f32 tensor, or the signed values of a packed one, or the integers of a shape."""
        data = self.bytes(name)
        dtype = self.tensors[name][1]
        if name.endswith(".weight_packed"):
            return [value for byte in data for value in ((byte & 15) - 8, (byte >> 4) - 8)]
        if dtype == "BF16":
            words = struct.unpack(f"<{len(data) // 2}H", data)
            data = struct.pack(f"<{len(words)}I", *(word << 16 for word in words))
        code = "i" if dtype == "I32" else "f"
        return list(struct.unpack(f"<{len(data) // 4}{code}", data))

    @property
    def size(self) -> int:
        return sum(entry[4] for entry in self.tensors.values())


def ranks(folder: Path) -> list[bytes]:
    """The tokens of tiktoken.model; the ranks must be 0, 1, 2 ..."""
    tokens = []
    for place, line in enumerate((folder / "tiktoken.model").read_text().splitlines()):
        token, rank = line.split(" ")
        assert int(rank) == place, line
        tokens.append(base64.b64decode(token, validate=True))
    return tokens
