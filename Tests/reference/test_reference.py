"""Checks the reference against the published implementation's values, and the shapes against the reference.

    python3 -m unittest discover -s Tests/reference

Needs NumPy only. Expected values of tiny-kimi come from the public implementation, not from the code under test.
"""

import json
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from kimi_reference import KimiReference, Trace  # noqa: E402
import make_shapes  # noqa: E402

FIXTURES = HERE.parent / "Fixtures"
EXPECTED = FIXTURES / "tiny-kimi-expected"
TOLERANCE = 2e-4   # the published values agree to 3e-5; room for another BLAS
COMPUTED = {"expected.json", "expected.logits.npy"}  # of a shape; all other files are bytes that depend on the seed only


def by_expert(experts, values):
    return np.take_along_axis(values, np.argsort(experts, axis=-1), axis=-1)


class TinyKimi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = KimiReference(FIXTURES / "tiny-kimi")
        cls.prompts = json.loads((EXPECTED / "prompts.json").read_text())

    def test_logits_and_greedy_tokens(self):
        for name in ("one", "short", "medium", "special", "page"):
            with self.subTest(prompt=name):
                prompt = self.prompts[name]
                logits = self.model.forward(prompt["ids"])
                last = np.load(EXPECTED / f"{name}.logits_last.npy")
                np.testing.assert_allclose(logits[-1], last, rtol=0, atol=TOLERANCE)
                np.testing.assert_array_equal(logits.argmax(axis=-1), np.load(EXPECTED / f"{name}.argmax.npy"))
                tokens, margins = self.model.greedy(prompt["ids"], len(prompt["greedy"]))
                self.assertEqual(tokens, prompt["greedy"])
                np.testing.assert_allclose(margins, prompt["margin"], rtol=0, atol=TOLERANCE)

    def test_blocks_and_experts(self):
        trace = Trace()
        self.model.forward(self.prompts["medium"]["ids"], trace=trace)
        np.testing.assert_allclose(np.stack(trace.hidden), np.load(EXPECTED / "medium.hidden.npy"), rtol=0, atol=5e-4)
        for layer in (1, 2, 3):
            with self.subTest(layer=layer):
                experts = np.load(EXPECTED / f"medium.experts.{layer}.npy")
                weights = np.load(EXPECTED / f"medium.expert_weights.{layer}.npy")
                chosen = trace.experts[layer]
                np.testing.assert_array_equal(np.sort(chosen), np.sort(experts))
                found = by_expert(chosen, trace.expert_weights[layer])
                np.testing.assert_allclose(found, by_expert(experts, weights), rtol=0, atol=1e-5)

    def test_beyond_the_original_context(self):
        """6,000 tokens: YaRN past its 4,096."""
        logits = self.model.forward(self.prompts["long"]["ids"])
        np.testing.assert_allclose(logits[-1], np.load(EXPECTED / "long.logits_last.npy"), rtol=0, atol=5e-4)


class Shapes(unittest.TestCase):
    def test_expected_values_are_the_references(self):
        for shape in make_shapes.SHAPES:
            with self.subTest(shape=shape.name):
                folder = make_shapes.OUT / shape.name
                expected = json.loads((folder / "expected.json").read_text())
                model = KimiReference(folder)
                logits = model.forward(expected["ids"])
                np.testing.assert_allclose(logits, np.load(folder / "expected.logits.npy"), rtol=0, atol=TOLERANCE)
                self.assertEqual(model.greedy(expected["ids"], len(expected["greedy"]))[0], expected["greedy"])

    def test_one_shape_is_reproducible(self):
        shape = next(shape for shape in make_shapes.SHAPES if shape.name == "groups-int4")
        with tempfile.TemporaryDirectory() as out:
            make_shapes.make(shape, out)
            made, kept = Path(out) / shape.name, make_shapes.OUT / shape.name
            names = {path.name for path in made.iterdir()}
            self.assertEqual(names, {path.name for path in kept.iterdir()})
            for name in names - COMPUTED:
                self.assertEqual((made / name).read_bytes(), (kept / name).read_bytes(), name)
            found, expected = (json.loads((folder / "expected.json").read_text()) for folder in (made, kept))
            self.assertEqual((found["ids"], found["greedy"]), (expected["ids"], expected["greedy"]))


if __name__ == "__main__":
    unittest.main()
