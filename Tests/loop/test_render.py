"""Pages that do what they can to be in the way, in a real browser."""

from __future__ import annotations

import http.server
import threading
import time
import unittest
from pathlib import Path

from common import SHORT, LoopTest, own_processes, profiles
from visual_loop import NoBrowser, RenderFailed, find_chromium
from visual_loop.browser import Browser
from visual_loop.devtools import BrowserTimeout

RED = (255, 0, 0)
BOX = "<style>body{margin:0}div{width:200px;height:100px}</style><div style='background:red'></div>"


class Rendering(LoopTest):
    def test_exactly_the_size_at_scale_one(self) -> None:
        page = "<style>body{margin:0;background:#00f}</style><script>document.title=innerWidth+'x'+innerHeight;" \
               "if(innerWidth==333&&innerHeight==77&&devicePixelRatio==1)document.body.style.background='#0f0'</script>"
        page = page.replace("<script>", "<body><script>")
        made = self.render(page, 333, 77)
        self.assertEqual((made.picture.size, made.picture.mode), ((333, 77), "RGB"))
        self.assertEqual(made.picture.getcolors(), [(333 * 77, (0, 255, 0))])
        self.assertEqual(made.notes, [])

    def test_equal_pages_give_equal_pixels(self) -> None:
        page = "<h1>Quay, jetty, pier</h1><p>£ ß é 12,345</p><script>document.body.append(new Date().toISOString())</script>"
        first, second = self.render(page, 400, 200), self.render(page, 400, 200)
        self.assertEqual(first.picture.tobytes(), second.picture.tobytes())

    def test_a_page_larger_than_the_window(self) -> None:
        made = self.render(BOX + "<div style='height:100000px;width:3000px'></div>" + "<p>node</p>" * 20_000)
        self.assertEqual(made.picture.getcolors(), [(20_000, RED)])
        self.assertEqual(made.page_width, 3000)
        self.assertGreater(made.page_height, 100_000)

    def test_timers_and_animations_have_ended(self) -> None:
        begin = time.monotonic()
        made = self.render(
            "<style>@keyframes go{from{margin-left:-200px}to{margin-left:0}} div{width:200px;height:50px;background:red;"
            "animation:go 60s forwards} body{margin:0}</style><div></div>"
            "<script>setTimeout(()=>document.body.append(document.querySelector('div').cloneNode()),4500)</script>"
        )
        self.assertEqual(made.picture.getcolors(), [(20_000, RED)])
        self.assertLess(time.monotonic() - begin, 40)

    def test_a_fragment_is_the_address_of_a_state(self) -> None:
        page = BOX + "<script>if(location.hash!='#state-2')document.body.innerHTML='';</script>"
        self.assertEqual(self.render(page, fragment="state-2").picture.getpixel((5, 5)), RED)
        self.assertEqual(self.render(page).picture.getpixel((5, 5)), (255, 255, 255))
        with self.assertRaises(ValueError):
            self.render(page, fragment="a b")

    def test_broken_html(self) -> None:
        for page in ("<div><table><b></i></p", "<" * 5000, "\0\1\2<b>\ud800</b>", "", "plain words", "<div>" * 4000):
            with self.subTest(page[:20]):
                self.assertEqual(self.render(page).picture.size, (200, 100))

    def test_what_goes_wrong_is_told(self) -> None:
        notes = self.render("<script>\n\nnowhere.at = 1</script><script>console.error('so', 3)</script>").notes
        self.assertIn("nowhere is not defined", notes[0])
        self.assertIn("line 3", notes[0])
        self.assertEqual(notes[1], "console: so 3")
        many = self.render("<script>for(let i=0;i<1000;i++)console.error(i+'x'.repeat(9999))</script>").notes
        self.assertLess(len(many), 20)
        self.assertTrue(all(len(note) <= 300 for note in many))

    def test_a_picture_without_scripts_where_they_hang(self) -> None:
        for script in ("while(true);", "setInterval(()=>location.reload(),0)"):
            with self.subTest(script):
                made = self.render(f"{BOX}<script>{script}</script>", seconds=SHORT)
                self.assertEqual(made.picture.getpixel((5, 5)), RED)
                self.assertIn("this picture was made without scripts", made.notes[0])

    def test_a_picture_without_scripts_where_they_take_all_memory(self) -> None:
        made = self.render(
            f"{BOX}<script>const a=[];for(;;)a.push(new Uint8Array(1<<24).fill(1))</script>", seconds=30, memory=600 << 20
        )
        self.assertEqual(made.picture.getpixel((5, 5)), RED)
        self.assertIn("memory", made.notes[0])

    def test_no_dialog_no_window_no_end(self) -> None:
        for script in ("alert(1);confirm(2);prompt(3);print()", "window.close()", "open('https://page.invalid/')",
                       "onbeforeunload=()=>'stay';location.reload()"):
            with self.subTest(script):
                made = self.render(f"{BOX}<script>{script}</script>")
                self.assertEqual(made.picture.getpixel((5, 5)), RED)
                self.assertNotIn("without scripts", " ".join(made.notes))

    def test_it_stays_where_it_is(self) -> None:
        for way in ("<script>location.reload()</script>", "<script>location='http://example.com/'</script>",
                    "<meta http-equiv=refresh content=0>", "<meta http-equiv=refresh content='0;url=http://example.com/'>",
                    "<form action=http://example.com/></form><script>document.forms[0].submit()</script>",
                    "<script>location='file:///etc/passwd'</script>"):
            with self.subTest(way):
                made = self.render(BOX + way)
                self.assertEqual(made.picture.getpixel((5, 5)), RED)
                self.assertNotIn("without scripts", " ".join(made.notes))

    def test_a_page_that_replaces_itself_is_told_of(self) -> None:
        self.assertIn("the page replaced itself by about:blank", self.render("x<script>location='about:blank'</script>").notes)

    def test_storage_works_and_is_forgotten(self) -> None:
        page = BOX + "<script>if(localStorage.seen)document.body.innerHTML='';localStorage.seen=1</script>"
        for _ in range(2):
            self.assertEqual(self.render(page).picture.getpixel((5, 5)), RED)

    def test_no_file_is_read(self) -> None:
        from PIL import Image

        picture = self.folder / "red.png"
        Image.new("RGB", (50, 50), RED).save(picture)
        self.folder.chmod(0o755)
        made = self.render(
            f"<style>body{{margin:0;background:url(file://{picture})}}</style><img src='file://{picture}'>"
            f"<iframe src='file://{picture}'></iframe><embed src='file://{picture}'><object data='file://{picture}'></object>"
            f"<script>fetch('file://{picture}').then(()=>document.body.style.background='red')</script>"
        )
        self.assertNotIn(RED, [colour for _, colour in made.picture.getcolors(20_000)])
        self.assertTrue(any("local resource" in note or "blocked" in note for note in made.notes), made.notes)

    def test_no_network(self) -> None:
        seen: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.path)
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            at = f"127.0.0.1:{server.server_port}"
            page = (
                f"<link rel=stylesheet href=http://{at}/css><link rel=preconnect href=http://{at}>"
                f"<link rel=prefetch href=http://{at}/prefetch><link rel=dns-prefetch href=http://localhost>"
                f"<script src=http://{at}/js></script><img src=http://{at}/img><iframe src=http://{at}/frame></iframe>"
                f"<video src=http://{at}/video></video><script>fetch('http://{at}/fetch').catch(()=>0);"
                f"new WebSocket('ws://{at}/socket');navigator.sendBeacon('http://{at}/beacon');"
                f"new EventSource('http://{at}/events');new Image().src='http://localhost:{server.server_port}/image';"
                f"location='http://{at}/go'</script>"
            )
            # By the kernel and the flags, and by the flags alone.
            for chromium in (self.chromium, find_chromium(confine=False)):
                with self.subTest(chromium.description):
                    from visual_loop import render

                    # The browser by itself, with nothing between it and the server but how it was started.
                    until = time.monotonic() + 20
                    with Browser(chromium, until) as browser:
                        tab = browser.pipe.call("Target.createTarget", None, until, url="about:blank")["targetId"]
                        session = browser.pipe.call("Target.attachToTarget", None, until, targetId=tab, flatten=True)["sessionId"]
                        for address in (f"http://{at}/by-number", f"http://localhost:{server.server_port}/by-name"):
                            gone = browser.pipe.call("Page.navigate", session, until, url=address)
                            self.assertTrue(gone.get("errorText", "").startswith("net::ERR_"), gone)
                    self.assertEqual(seen, [])
                    made = render(page, 200, 100, chromium, seconds=20)
                    self.assertEqual(seen, [])
                    self.assertGreater(len(made.notes), 3)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def test_nothing_is_left(self) -> None:
        before = own_processes(), profiles()
        self.render("")
        with self.assertRaises(KeyboardInterrupt), Browser(self.chromium, time.monotonic() + 20) as browser:
            browser.pipe.call("Browser.getVersion", None, time.monotonic() + 20)
            self.assertGreater(len(own_processes()), len(before[0]) + 2)
            raise KeyboardInterrupt
        self.assertEqual((own_processes(), profiles()), before)

    def test_no_picture_says_why(self) -> None:
        with self.assertRaisesRegex(RenderFailed, "with scripts: .* 1 MiB.*; without scripts: "):
            self.render(BOX, memory=1 << 20)
        with self.assertRaisesRegex(RenderFailed, "bytes"):
            self.render("x" * (9 << 20))
        for size in ((0, 10), (10, -1), (20_000, 10), (10_000, 10_000)):
            with self.assertRaises(ValueError):
                self.render(BOX, *size)

    def test_a_browser_that_is_none(self) -> None:
        with self.assertRaisesRegex(NoBrowser, "no-such-browser"):
            find_chromium("no-such-browser")
        with self.assertRaisesRegex(NoBrowser, "does not start"):
            find_chromium("/bin/false")
        silent = self.folder / "silent"
        silent.write_text("#!/bin/sh\nexec sleep 60\n")
        silent.chmod(0o755)
        self.folder.chmod(0o755)
        from visual_loop import Chromium

        begin = time.monotonic()
        with self.assertRaises(BrowserTimeout), Browser(Chromium(str(silent)), begin + 1) as browser:
            browser.pipe.call("Browser.getVersion", None, begin + 1)
        self.assertLess(time.monotonic() - begin, 10)
        # It would have slept on, whether somebody speaks to it or not.
        self.assertEqual(own_processes(), set())

    def test_as_little_right_as_can_be(self) -> None:
        self.assertTrue(self.chromium.program.startswith("/"))
        with Browser(self.chromium, time.monotonic() + 20) as browser:
            browser.pipe.call("Browser.getVersion", None, time.monotonic() + 20)
            commands = [Path("/proc", str(process), "cmdline").read_bytes() for process in own_processes()]
            owners = {Path("/proc", str(process)).stat().st_uid for process in own_processes()}
        self.assertEqual(any(b"--no-sandbox" in command for command in commands), not self.chromium.sandboxed)
        if self.chromium.prefix and "setpriv" in self.chromium.prefix:
            self.assertNotIn(0, owners)


if __name__ == "__main__":
    unittest.main()
