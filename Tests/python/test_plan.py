"""The plan before loading."""

import unittest

from common import FIXTURES, TINY, KimiTest

import kimi

MACHINE = "pack:2 [numa(memory=512GB)] core:48 pu:1"
K25 = FIXTURES / "k25-config"


class Planning(KimiTest):
    def test_described_machine(self) -> None:
        plan = kimi.plan(K25, synthetic=MACHINE, context=65536, sequences=4, placement="slice")
        self.assertEqual((plan["format"], plan["version"]), ("kimi-plan", 1))
        self.assertTrue(plan["model"]["from_config_alone"])
        self.assertEqual([node["threads"] for node in plan["nodes"]], [48, 48])
        self.assertLessEqual(plan["imbalance"], 0.02)
        for node in plan["nodes"]:
            self.assertEqual(sum(value for kind, value in node["bytes"].items() if kind != "all"), node["bytes"]["all"])
            self.assertEqual(node["usable_bytes"] - node["bytes"]["all"], node["free_bytes"])
        self.assertEqual(sum(node["bytes"]["routed_experts"] for node in plan["nodes"]), plan["model"]["expert_bytes"])
        self.assertTrue(plan["prediction"]["assumptions"])

    def test_this_machine(self) -> None:
        plan = kimi.plan(TINY)
        self.assertEqual(plan["machine"]["source"], "this machine")
        self.assertFalse(plan["model"]["from_config_alone"])

    def test_rates_narrow_the_prediction(self) -> None:
        plan = kimi.plan(K25, synthetic=MACHINE, bandwidth=200, link=50, barrier=5, disk=3, compare=True)
        single = plan["prediction"]["tokens_per_second"]["single"]
        self.assertEqual(single["low"], single["high"])
        self.assertIn("given", plan["prediction"]["assumptions"][0])
        self.assertEqual({row["policy"] for row in plan["comparison"]["rows"]}, {"slice", "expert", "replicate"})

    def test_too_little_memory(self) -> None:
        plan = kimi.plan(K25, synthetic=MACHINE, memory=256_000_000_000)
        self.assertGreater(plan["experts"]["streamed_bytes"], 300e9)
        with self.assertRaises(kimi.Error) as caught:
            kimi.plan(K25, synthetic=MACHINE, memory=594_000_000_000, streaming=False)
        self.assertEqual(caught.exception.code, kimi.Status.OUT_OF_MEMORY)
        self.assertIn("dense=int8", caught.exception.message)

    def test_bad_arguments(self) -> None:
        for arguments in (
            {"synthetic": "nonsense"},
            {"synthetic": MACHINE, "topology": "x.xml"},
            {"bandwidth": float("nan")},
            {"barrier": -1.0},
            {"resident_bytes": 1},
        ):
            with self.subTest(arguments), self.assertRaises(kimi.Error) as caught:
                kimi.plan(TINY, **arguments)  # type: ignore[arg-type]
            self.assertEqual(caught.exception.code, kimi.Status.INVALID_ARGUMENT)
        for arguments in (
            {"sequences": 0},
            {"nodes": 65},
            {"placement": "everywhere"},
            {"memory": -1},
            {"disk": 0.0},
            {"barrier": 0},
        ):
            with self.subTest(arguments), self.assertRaises(ValueError):
                kimi.plan(TINY, **arguments)  # type: ignore[arg-type]


if __name__ == "__main__":
    unittest.main()
