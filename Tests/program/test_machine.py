"""Machines that are described in place of this one."""

import os

from common import FIXTURES, TINY, ProgramTest

MACHINE = FIXTURES / "topology" / "memory-only.xml"


class Machine(ProgramTest):
    def run_on(self, **variables: str):
        self.environment = {**type(self).environment, **variables}
        return self.run_kimi("run", TINY, "Hello", "--max-tokens", "4", "--temperature", "0")

    def test_the_answer_is_that_of_this_machine(self) -> None:
        expected = self.run_on()
        self.assertEqual(expected.returncode, 0, expected.stderr)
        for variables in ({"HWLOC_XMLFILE": str(MACHINE)}, {"HWLOC_SYNTHETIC": "pack:2 [numa(memory=8GB)] core:2 pu:1"}):
            with self.subTest(variables):
                result = self.run_on(**variables)
                self.assertEqual((result.returncode, result.stdout), (0, expected.stdout), result.stderr)

    def test_a_file_in_disorder_is_read_quietly(self) -> None:
        text = MACHINE.read_text()
        first = text.index('    <object type="Package" os_index="0"')
        second = text.index('    <object type="Package" os_index="1"')
        end = text.index("\n  </object>\n", second) + 1
        file = self.folder / "disorder.xml"
        file.write_text(text[:first] + text[second:end] + text[first:second] + text[end:])
        result = self.run_on(HWLOC_XMLFILE=str(file))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn(b"hwloc", result.stderr)

    def test_what_describes_nothing_is_named(self) -> None:
        for name, value in (("HWLOC_XMLFILE", os.devnull), ("HWLOC_SYNTHETIC", "pack:two")):
            with self.subTest(name):
                result = self.run_on(**{name: value})
                self.assertEqual((result.returncode, result.stdout), (1, b""))
                self.assertIn(name.encode(), result.stderr)
