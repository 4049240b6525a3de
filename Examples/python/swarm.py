"""A wide search: 100 topics, a swarm of sub-agents, one table: swarm.py DIR [--topics N] [--options JSON] [--trace FILE]

The corpus is made up, so that no model knows it: 100 islands, a text about each in a database of SQLite's. The main agent is asked
for three facts of every island; it has no access to the texts, only sub-agents do, by a search that shows few at a time. What comes
of it is compared with the truth. JSON has options of Session.swarm, such as {"seed": 1, "agent_limit": 10}; FILE is written for
chrome://tracing or Perfetto.
"""

import argparse
import itertools
import json
import random
import re
import sqlite3
import sys
from pathlib import Path
from typing import NamedTuple

import kimi

SHOWN = 3
"""Texts that one search gives: a hundred islands take many."""


class Island(NamedTuple):
    """What is asked about an island."""

    name: str
    year: int
    people: int
    export: str

    @property
    def text(self) -> str:
        """The facts in prose, among others that are not asked for."""
        return (
            f"{self.name} is an island {30 + self.people % 470} km off the coast. Its lighthouse was lit in {self.year}, and the"
            f" harbour followed {3 + self.year % 9} years later. At the last count {self.people} people lived there, most of them"
            f" from {self.export}, which {self.name} ships to the mainland; the ferry takes {1 + self.people % 7} hours."
        )


def make_islands() -> list[Island]:
    """The same 100 islands every time."""
    chance = random.Random(100)
    beginnings, middles, ends = ("Bra", "Kel", "Mor", "Sul", "Tor"), ("a", "ene", "ino", "o"), ("by", "holm", "mar", "ness", "va")
    exports = ("herring", "wool", "salt", "peat", "cheese", "slate", "amber", "kelp", "honey", "tin")
    return [
        Island("".join(parts), chance.randrange(1700, 1950), chance.randrange(120, 9000), chance.choice(exports))
        for parts in itertools.product(beginnings, middles, ends)
    ]


ISLANDS = make_islands()

# Functions run on the thread that reads the events, this one, so that SQLite's connection may be used.
corpus = sqlite3.connect(":memory:")
corpus.execute("CREATE TABLE texts (title TEXT PRIMARY KEY, text TEXT)")
corpus.executemany("INSERT INTO texts VALUES (?, ?)", [(island.name, island.text) for island in ISLANDS])


@kimi.tool
def search_texts(words: str) -> list[dict[str, str]]:
    """Searches the texts about islands, and gives the first few that hold all of the words.

    Args:
        words: One or more words, such as the name of an island.
    """
    wanted = words.split()[:10]
    if not wanted:
        raise ValueError("no words")
    # instr, not LIKE: a model's % and _ are letters like any other.
    condition = " AND ".join("instr(lower(title || ' ' || text), lower(?))" for _ in wanted)
    rows = corpus.execute(f"SELECT title, text FROM texts WHERE {condition} ORDER BY title LIMIT {SHOWN}", wanted)
    return [{"title": title, "text": text} for title, text in rows]


def task(islands: list[Island]) -> str:
    """What the main agent is asked."""
    return (
        "Texts about islands can be searched by your sub-agents; you cannot read them yourself. For each of these islands find the"
        " year in which its lighthouse was lit, how many people live there, and what it ships. Share the islands out to sub-agents"
        " that work at the same time. Answer with one line for each island and nothing else: name | year | people | goods\n\n"
        + ", ".join(island.name for island in islands)
    )


ROW = re.compile(r"^[| ]*([A-Za-z ]+)\|\s*(\d{1,9})\s*\|\s*(\d{1,9})\s*\|([A-Za-z ]+)\|?\s*$", re.MULTILINE)


def right_rows(answer: str, islands: list[Island]) -> int:
    """How many islands the answer has right, in all three facts."""
    rows = {
        name.strip(): (int(year), int(people), export.strip().lower()) for name, year, people, export in ROW.findall(answer)
    }
    return sum(rows.get(island.name) == (island.year, island.people, island.export) for island in islands)


def shortened(text: str) -> str:
    """A text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:99] + "…"


def tell(event: kimi.SwarmEvent) -> None:
    """Prints what agents do, a line for each event; of texts the main agent's answer only."""
    if isinstance(event, kimi.AgentCreated):
        print(f"\n+ {event.name}: {shortened(event.system_prompt)}")
    elif isinstance(event, kimi.TaskBegan):
        print(f"\n[{event.name}] begins task {event.task}: {shortened(event.prompt)}")
    elif isinstance(event, kimi.TaskEnded):
        print(f"\n[{event.name}] task {event.task} {event.outcome}: {shortened(event.result)}")
    elif isinstance(event, kimi.BudgetSpent):
        print(f"\n[{event.name}] {event.text}")
    elif isinstance(event, kimi.AgentEvent) and isinstance(event.event, kimi.CallEnd):
        print(f"\n[{event.name}] {event.event.name} {shortened(event.event.arguments)}")
    else:
        print(event, end="", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="A wide search by a swarm of sub-agents.")
    parser.add_argument("dir", help="folder of a checkpoint")
    parser.add_argument("--topics", type=int, default=len(ISLANDS), help="how many of the 100 islands to ask for")
    parser.add_argument("--options", type=json.loads, default={}, help="options of Session.swarm, as JSON")
    parser.add_argument("--trace", type=Path, help="file for the timeline")
    given = parser.parse_args()
    if not 1 <= given.topics <= len(ISLANDS):
        parser.error(f"--topics is {given.topics}; there are {len(ISLANDS)}")
    islands = ISLANDS[: given.topics]
    options = {
        "agent_limit": 20, "task_steps": 40, "result_bytes": 8192, "all_seconds": 4 * 3600, "reasoning_budget": 2048,
        **given.options,
    }
    try:
        with kimi.Model(given.dir) as model, model.session() as session:
            result = session.swarm(task(islands), agent_tools=[search_texts], on_event=tell, **options)
            right = right_rows(result.text, islands)
            rewards = result.rewards(right / len(islands))
            if given.trace is not None:
                given.trace.write_text(json.dumps(result.trace))
    except (kimi.Error, OSError) as error:
        print(f"swarm: {error}", file=sys.stderr)
        return 1
    account, usage = result.account, result.usage
    finished = sum(task.outcome == "finished" for task in result.tasks)
    print(f"\n\n{right} of {len(islands)} islands are right; {finished} of {len(result.tasks)} tasks were finished")
    print(f"{account['total_steps']} steps, {account['critical_steps']} of them critical, by {len(account['agents'])} agents")
    print(f"{usage.prompt_tokens} prompt tokens, {usage.cached_tokens} of them cached, {usage.generated_tokens} generated")
    print(f"{account['seconds']:.1f} s, one after another {account['serial_seconds']:.1f} s")
    print(f"rewards: parallel {rewards.parallel:.3f}, finish {rewards.finish:.3f}, final {rewards.final:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
