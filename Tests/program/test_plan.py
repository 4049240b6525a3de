"""kimi plan: tables, JSON, the picture, and what it refuses."""

import json
import unittest
import xml.etree.ElementTree as ElementTree

from common import FIXTURES, TINY, ProgramTest

K25 = FIXTURES / "k25-config"
TWO = "pack:2 [numa(memory=512GB)] core:48 pu:1"
SVG = "{http://www.w3.org/2000/svg}"


class Plans(ProgramTest):
    def test_table(self) -> None:
        text = self.output("plan", K25, "--synthetic", TWO, "--policy", "slice").decode()
        for words in ("config.json alone", "node 0", "node 1", "routed experts", "Prediction, not a measurement"):
            self.assertIn(words, text)

    def test_headers_without_weights_say_the_same_as_the_configuration(self) -> None:
        for vision in ((), ("--vision",)):
            headers, alone = (self.folder / f"{name}{len(vision)}" for name in ("headers", "alone"))
            self.output("synth", "--geometry", "k25", "--headers-only", *vision, headers)
            if vision:
                alone.mkdir()
                (alone / "config.json").write_bytes((headers / "config.json").read_bytes())
            else:
                alone = K25
            plans = [self.json("plan", source, "--synthetic", TWO, "--policy", "expert") for source in (headers, alone)]
            self.assertEqual([plan["model"].pop("from_config_alone") for plan in plans], [False, True])
            self.assertEqual(plans[0], plans[1])
            # The published tower: 27 layers of 15.2 million weights, and a projector of 54 million.
            self.assertAlmostEqual(plans[0]["bytes"]["vision"], 0.94e9 if vision else 0, delta=0.03e9)

    def test_heat(self) -> None:
        heat = self.folder / "heat.json"
        row = [1000 // (expert + 1) for expert in range(384)]
        counts = [[0] * 384] + [row] * 60
        heat.write_text(json.dumps({"format": "kimi-heat", "version": 1, "layers": 61, "experts": 384, "counts": counts}))
        plan = self.json("plan", K25, "--synthetic", TWO, "--policy", "expert", "--heat", heat)
        self.assertLessEqual(plan["imbalance"], 0.05)
        streamed = [self.json("plan", K25, "--synthetic", TWO, "--memory", "256GB", *options) for options in ((), ("--heat", heat))]
        self.assertLess(streamed[1]["experts"]["read_from_disk_per_token"], streamed[0]["experts"]["read_from_disk_per_token"])
        heat.write_text(heat.read_text().replace("1000", "-1", 1))
        self.assertIn("layer 1, expert 0", self.failure("plan", K25, "--heat", heat))

    def test_picture(self) -> None:
        name = self.folder / "a & b <c>.svg"
        for number, options in enumerate((
            ("--policy", "expert"), ("--policy", "slice"), ("--memory", "200GB"),
            ("--synthetic", "pack:8 [numa(memory=128GB)] core:8 pu:1"), ("--policy", "replicate", "--replicate", "20GB"),
        )):
            machine = () if "--synthetic" in options else ("--synthetic", TWO)
            self.output("plan", K25, *machine, *options, "--svg", name)
            root = ElementTree.parse(name).getroot()
            self.assertEqual(root.tag, SVG + "svg")
            words = [element.text or "" for element in root.iter(SVG + "text")]
            nodes = 8 if number == 3 else 2
            for node in range(nodes):
                self.assertIn(f"node {node}", words)
            self.assertTrue(any("prediction" in word for word in words))
            width = float(root.get("viewBox").split()[2])
            for element in root.iter(SVG + "rect"):
                end = float(element.get("x", 0)) + float(element.get("width"))
                self.assertLessEqual(end, width + 0.01)
        self.assertIn("plan.svg", self.failure("plan", TINY, "--svg", self.folder / "none" / "plan.svg"))

    def test_a_name_that_is_markup(self) -> None:
        folder = self.folder / "<&\">"
        folder.mkdir()
        (folder / "config.json").write_bytes((K25 / "config.json").read_bytes())
        self.output("plan", folder, "--synthetic", TWO, "--svg", self.folder / "plan.svg")
        ElementTree.parse(self.folder / "plan.svg")

    def test_comparison(self) -> None:
        plan = self.json("plan", K25, "--synthetic", TWO, "--compare")
        rows = plan["comparison"]["rows"]
        self.assertEqual([(row["packages"], row["policy"]) for row in rows], [(1, "slice"), (2, "slice"), (2, "expert"), (2, "replicate")])
        self.assertIn("predictions", self.output("plan", K25, "--synthetic", TWO, "--compare").decode())

    def test_too_little_memory(self) -> None:
        text = self.failure("plan", K25, "--synthetic", TWO, "--memory", "594GB", "--load", "copy")
        for words in ("GB more", "dense=int8 (saves", "resident="):
            self.assertIn(words, text)
        self.assertIn("does not fit", self.failure("plan", K25, "--synthetic", TWO, "--memory", "20GB"))

    def test_bad_options(self) -> None:
        for options, words in (
            (("--memory", "16G"), "16GB or 16GiB"), (("--memory", "much"), "is not a size"), (("--policy", "all"), "policy"),
        ):
            self.assertIn(words, self.failure("plan", K25, *options, code=64))
        for options, words in (
            (("--context", "0"), "context is 0"), (("--sequences", "0"), "sequences is 0"), (("--nodes", "65"), "nodes is 65"),
            (("--synthetic", "x"), "x"), (("--synthetic", TWO, "--topology", "y"), "both"), (("--bandwidth=-1",), "bandwidth is -1"),
            (("--resident", "1GB", "--barrier", "nan"), "barrier"), (("--resident", "10MB",), "resident_bytes is 10000000"),
        ):
            with self.subTest(options):
                self.assertIn(words, self.failure("plan", K25, *options))


if __name__ == "__main__":
    unittest.main()
