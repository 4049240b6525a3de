"""A page, and what a model might write on its way to it."""

from __future__ import annotations

import re

SIZE = (800, 500)

TARGET = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Harbour</title>
<style>
* { box-sizing: border-box; margin: 0; }
body { font: 15px/1.5 "DejaVu Sans", sans-serif; background: #eef2f6; color: #16202b; height: 500px; overflow: hidden; }
nav { height: 56px; background: #12324f; color: #fff; display: flex; align-items: center; padding: 0 28px; gap: 26px; }
nav b { font-size: 19px; margin-right: auto; }
h1 { font-size: 27px; margin: 24px 28px 14px; }
.cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: 18px; margin: 0 28px; }
.card { background: #fff; border-radius: 10px; padding: 18px; height: 128px; border: 1px solid #d6dee6; }
.card b { display: block; font-size: 25px; color: #0b6e4f; }
.card:nth-child(2) b { color: #b3261e; }
.chart { margin: 18px 28px 0; background: #fff; border: 1px solid #d6dee6; border-radius: 10px; height: 168px; padding: 16px;
    display: flex; align-items: flex-end; gap: 10px; }
.chart i { flex: 1; background: #2f81c7; border-radius: 4px 4px 0 0; }
</style>
</head>
<body>
<nav><b>Harbour</b><span>Ships</span><span>Tides</span><span>Crew</span></nav>
<h1>Arrivals this week</h1>
<div class="cards">
<div class="card"><span>On time</span><b>42</b>two more than last week</div>
<div class="card"><span>Late</span><b>7</b>fog on Tuesday</div>
<div class="card"><span>Tonnes</span><b>18,300</b>mostly grain</div>
</div>
<div class="chart"><i style="height:40%"></i><i style="height:65%"></i><i style="height:52%"></i><i style="height:90%"></i>
<i style="height:74%"></i><i style="height:30%"></i><i style="height:58%"></i></div>
</body>
</html>
"""

# Three rounds: no chart and wrong colours; the chart upside down; all but equal.
FIRST = re.sub(r'<div class="chart">.*?</div>\n', "", TARGET, flags=re.S)
FIRST = FIRST.replace("#12324f", "#7a2d8f").replace("repeat(3", "repeat(2")
SECOND = TARGET.replace("align-items: flex-end", "align-items: flex-start").replace("#eef2f6", "#e2e8ee").replace("25px", "22px")
THIRD = TARGET.replace("#d6dee6", "#c8d4e0")

REPAIR = [
    f"Here is a first version.\n\n```html\n{FIRST}```\nThe chart is still missing.",
    f"```html\n{SECOND}```",
    THIRD,
]

# A page with states by fragment: a menu that opens, a message that was sent.
STATES = """<!DOCTYPE html>
<html>
<head>
<style>
body { margin: 0; font: 16px "DejaVu Sans", sans-serif; background: #fafafa; }
header { background: #234; color: #fff; padding: 14px 20px; }
#menu { display: none; position: absolute; left: 20px; top: 60px; width: 180px; background: #fff; border: 1px solid #99a; }
#menu p { margin: 10px 14px; }
#done { display: none; margin: 90px 60px; padding: 30px; background: #d7f5dd; border: 2px solid #2a8a45; font-size: 24px; }
.open #menu, .sent #done { display: block; }
</style>
</head>
<body>
<header>Mail</header>
<div id="menu"><p>New letter</p><p>Drafts</p><p>Archive</p></div>
<div id="done">Your letter is on its way</div>
<script>
const states = {"": "", "#state-1": "", "#state-2": "open", "#state-3": "sent"};
function show() { document.body.className = states[location.hash] ?? ""; }
addEventListener("hashchange", show);
document.querySelector("header").onclick = () => document.body.classList.toggle("open");
show();
</script>
</body>
</html>
"""
