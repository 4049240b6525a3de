"""What the Python tests share: the fixture, its reference numbers, and a reader for .npy files that needs no NumPy."""

from __future__ import annotations

import ast
import json
import os
import struct
import sys
import unittest
from array import array
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# The tests run against an installed package if there is one, else against the tree's.
if not os.environ.get("KIMI_TEST_INSTALLED"):
    sys.path.insert(0, str(ROOT / "Bindings" / "Python"))

import kimi  # noqa: E402

FIXTURES = ROOT / "Tests" / "Fixtures"
TINY = FIXTURES / "tiny-kimi"
EXPECTED = FIXTURES / "tiny-kimi-expected"

PROMPTS: dict[str, dict[str, Any]] = json.loads((EXPECTED / "prompts.json").read_text())

TOLERANCE = 2e-3
TIE = 5e-3


def read_npy(name: str) -> "array[Any]":
    """The values of a .npy file of float32 or int32, flat."""
    data = (EXPECTED / name).read_bytes()
    assert data[:7] == b"\x93NUMPY\x01", name
    (length,) = struct.unpack_from("<H", data, 8)
    header = ast.literal_eval(data[10 : 10 + length].decode("latin1"))
    assert not header["fortran_order"], name
    values = array({"<f4": "f", "<i4": "i"}[header["descr"]])
    values.frombytes(data[10 + length :])
    return values


def argmax(row: Any) -> int:
    values = list(row)
    return values.index(max(values))


class KimiTest(unittest.TestCase):
    """A test with one shared model of the fixture."""

    model: kimi.Model

    @classmethod
    def setUpClass(cls) -> None:
        cls.model = kimi.Model(TINY)

    @classmethod
    def forced(cls, always: bool = False, **options: Any) -> dict[str, Any]:
        """Options of a chat that make the model call one tool in its first step, `always` in each.

        Blank tokens are made unlikely: of random weights come long runs of white space, which JSON allows.
        """
        bias = {id: -100 for id in range(cls.model.vocabulary_size) if not cls.model.piece(id).strip()}
        if always:
            bias[cls.model.token_id("<|tool_calls_section_begin|>")] = 100
        return {
            "mode": "instant", "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 500,
            "logit_bias": bias, **options,
        }

    @classmethod
    def tearDownClass(cls) -> None:
        cls.model.close()

    def fails(self, status: kimi.Status) -> Any:
        """A context that expects kimi.Error with this code, and checks the error itself."""
        test = self

        class Failing:
            def __enter__(self) -> Failing:
                return self

            def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
                test.assertIsNotNone(error, f"no error, {status.name} expected")
                if not isinstance(error, kimi.Error):
                    return False
                test.assertEqual(error.code, status, str(error))
                test.assertIs(type(error.code), int)
                test.assertEqual(error.name, "KIMI_ERROR_" + status.name)
                test.assertGreater(len(error.message), 9)
                self.error = error
                return True

        return Failing()
