"""An agent with real tools, a database, a calculator and a file search: tools.py DIR QUESTION [--folder FOLDER] [--options JSON]

The model calls the functions below until it has an answer. The search sees FOLDER (this one, if none is given) and what is below
it, nothing else. JSON has options of Session.chat, such as {"seed": 1, "tool_choice": "required"}.
"""

import argparse
import ast
import json
import operator
import sqlite3
import sys
from pathlib import Path

import kimi

# The tools run on this thread, so that SQLite's connection may be used.
books = sqlite3.connect(":memory:")
books.executescript("""
    CREATE TABLE books (title TEXT, author TEXT, year INTEGER, copies INTEGER);
    INSERT INTO books VALUES
        ('Middlemarch', 'George Eliot', 1871, 4), ('Silas Marner', 'George Eliot', 1861, 2),
        ('Emma', 'Jane Austen', 1815, 5), ('Persuasion', 'Jane Austen', 1817, 1),
        ('Hunger', 'Knut Hamsun', 1890, 3), ('The Trial', 'Franz Kafka', 1925, 6);
    PRAGMA hard_heap_limit = 67108864;
""")
# From here on it can be read, and nothing else: no other file, no setting, no function but these.
FUNCTIONS = {"count", "sum", "min", "max", "avg", "total", "abs", "round", "lower", "upper", "length", "like"}
books.set_authorizer(
    lambda action, _, name, *rest: sqlite3.SQLITE_OK
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ) or action == sqlite3.SQLITE_FUNCTION and name in FUNCTIONS
    else sqlite3.SQLITE_DENY
)

OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Mod: operator.mod,
    ast.USub: operator.neg, ast.UAdd: operator.pos,
}

folder = Path()


@kimi.tool
def query_books(sql: str) -> dict[str, object]:
    """Runs one SELECT of SQLite on the table books (title, author, year, copies).

    Args:
        sql: The statement.
    """
    # A query that takes too long is given up: the handler is called every 100,000 steps of SQLite's.
    calls = iter(range(100))
    books.set_progress_handler(lambda: next(calls, None) is None, 100_000)
    cursor = books.execute(sql)
    return {"columns": [column[0] for column in cursor.description or ()], "rows": cursor.fetchmany(50)}


@kimi.tool
def calculate(expression: str) -> float:
    """Calculates with numbers, + - * / % and brackets.

    Args:
        expression: Such as "(1815 + 1925) / 2".
    """

    def value(node: ast.AST) -> float:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.operand))
        raise ValueError("only numbers, + - * / % and brackets")

    if len(expression) > 200:
        raise ValueError("more than 200 characters")
    return value(ast.parse(expression.strip(), mode="eval").body)


@kimi.tool
def search_files(text: str, below: str = ".") -> list[str]:
    """Searches text files for a text and gives their paths and lines.

    Args:
        text: What to look for, in any case.
        below: The folder to search, relative.
    """
    root = folder.resolve()
    start = (root / below).resolve()
    if not start.is_relative_to(root):
        raise ValueError(f"{below} is outside of the folder")
    if not start.is_dir():
        raise ValueError(f"there is no folder {below}")
    found = []
    for path in sorted(start.rglob("*")):
        # A link may lead anywhere; what it leads to must be inside, too.
        if not path.is_file() or not path.resolve().is_relative_to(root) or path.stat().st_size > 1_000_000:
            continue
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if text.lower() in line.lower():
                found.append(f"{path.relative_to(root)}:{number}: {line.strip()[:120]}")
                if len(found) == 50:
                    return found
    return found


def main() -> int:
    global folder
    parser = argparse.ArgumentParser(description="An agent with a database of books, a calculator and a file search.")
    parser.add_argument("dir", help="folder of a checkpoint")
    parser.add_argument("question")
    parser.add_argument("--folder", type=Path, default=folder, help="what the file search may see")
    parser.add_argument("--options", type=json.loads, default={}, help="options of Session.chat, as JSON")
    given = parser.parse_args()
    folder = given.folder
    options = {"mode": "agent", "step_limit": 20, "reasoning_budget": 1024, **given.options}
    try:
        with kimi.Model(given.dir) as model, model.session() as session:
            for event in session.chat(given.question, [query_books, calculate, search_files], stream=True, **options):
                if isinstance(event, kimi.CallEnd):
                    print(f"\n> {event.name} {event.arguments}", flush=True)
                elif isinstance(event, kimi.ToolResult):
                    print(f"< {'' if event.status == 'ok' else event.status + ': '}{event.text}", flush=True)
                else:
                    print(event, end="", flush=True)
            print()
    except kimi.Error as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
