"""Text to ids and back, against the reference's vectors."""

import base64
import json
import unittest

from common import FIXTURES, TINY, ProgramTest

VECTORS = json.loads((FIXTURES / "vectors" / "tokenizer.json").read_text())


class Encoding(ProgramTest):
    def test_vectors(self) -> None:
        for case in VECTORS["cases"][::7]:
            text = case["text"].encode()
            with self.subTest(case["text"][:40]):
                self.assertEqual(self.json("tokenize", TINY, input=text)["ids"], case["ids"])
                self.assertEqual(self.json("tokenize", TINY, "--special", input=text)["ids"], case["ids_special"])

    def test_argument_and_pipe_agree(self) -> None:
        text = "Hello, <|im_end|> 你好"
        piped = self.json("tokenize", TINY, input=text.encode())
        self.assertEqual(self.json("tokenize", TINY, text), piped)
        self.assertEqual(self.json("tokenize", TINY, "-", input=text.encode()), piped)
        self.assertEqual(piped["count"], len(piped["ids"]))
        self.assertEqual(self.output("tokenize", TINY, text, "--count"), b"%d\n" % piped["count"])

    def test_rows(self) -> None:
        rows = self.output("tokenize", TINY, "--special", "a<|im_end|>\n").decode().splitlines()
        self.assertEqual([row.split() for row in rows[1:]], [["0", "97", "'a'"], ["1", "1538", "<|im_end|>"], ["2", "10", "'\\n'"]])

    def test_cut_characters_are_shown_as_bytes(self) -> None:
        self.assertIn("\\xF0", self.output("tokenize", TINY, "\U0001F9FF").decode())


class Decoding(ProgramTest):
    def test_vectors(self) -> None:
        for case in VECTORS["decode"][::5]:
            wanted = base64.b64decode(case["bytes_base64"])
            ids = [str(id) for id in case["ids"]]
            self.assertEqual(self.output("tokenize", TINY, "--decode", *ids), wanted)
            self.assertEqual(self.output("tokenize", TINY, "--decode", input=json.dumps(case["ids"]).encode()), wanted)

    def test_json(self) -> None:
        self.assertEqual(self.json("tokenize", TINY, "--decode", 72, 105), {"count": 2, "text": "Hi"})
        self.assertEqual(self.json("tokenize", TINY, "--decode", 255)["bytes"], [255])


class Refusals(ProgramTest):
    def test_messages(self) -> None:
        self.assertIn("0 to 1791", self.failure("tokenize", TINY, "--decode", "1792"))
        self.assertIn("abc", self.failure("tokenize", TINY, "--decode", "abc"))
        self.assertIn("4294967296", self.failure("tokenize", TINY, "--decode", "4294967296"))
        self.assertIn("UTF-8", self.failure("tokenize", TINY, input=b"a\xff"))
        self.failure("tokenize", self.folder, "x")

    def test_usage(self) -> None:
        self.failure("tokenize", code=64)
        self.failure("tokenize", TINY, "two", "texts", code=64)
        self.failure("tokenize", TINY, "--decode", "--special", "1", code=64)


if __name__ == "__main__":
    unittest.main()
