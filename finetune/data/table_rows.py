"""Rows for the drafter and the reader out of tables: the table as a chunk shows it, and the cell that answers.

Only what is looked up: the answer stands in a cell of a row that the question names by another cell. What must be
counted, compared or computed is for `ragloom.agents.tables`. Few sets ask about tables, and to look up is to cross a
row and a column whatever the table is about: so there are made questions too, from a template and two cells of a row
("What is the length of Security basics?"), `MADE` a table at most. A long table is cut to rows around the one that
answers, with its header, as the chunkers cut it. Beside it stand the same table without that row, and others.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...evals.answer_sets import share_of
from ...evals.jsonl import Problem
from ...evals.text_metrics import normalize
from ...graphs.common.support import content_terms
from ...markdown import pipe_table
from ..options import Tell, no_tell
from .parts import Part, document_of, part_of
from .rows import Origin, TrainingRow
from .sources import Source
from .tables import Table, TableQuestion, read_tables
from .texts import holds_answer, place_of

__all__ = ("MADE_ID", "Lookup", "find_lookup", "made_lookups", "table_rows")

MADE, MADE_ID = 8, "made:"
"""Questions made of a table, and how their ids begin."""
WORDS = 120
"""Of a table's piece, about."""
LONG_WORDS, LONG_SHARE = 220, 0.2
MOST_BESIDE = 3
"""Pieces without the answer beside the one with it."""
LONGEST, LONGEST_KEY = 12, 7
"""Words of a cell that may be an answer, and of one that may name its row."""
AROUND_SHARE = 0.5
"""Of the pieces begin or end with a paragraph of the table's page, where there is one."""
_COMPUTED = re.compile(
    r"\b(differences?|average|sum|combined|altogether|in total|in all|consecutive|change in"
    r"|how many (more|less|fewer))\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[\d.,%$€£+-]+")
_ASKS = (
    "What is the {column} of {key}?",
    "What is the {column} for {key}?",
    "What {column} does {key} have?",
    "{key}: what is the {column}?",
    "Tell me the {column} of {key}.",
)
_ASKS_KEY = ("Which {first} has {value} as its {column}?", "Which {first} has the {column} {value}?")


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question, and the cell that answers it."""

    id: str
    question: str
    answers: tuple[str, ...]
    row: int
    column: int


def table_rows(
    source: Source, *, seed: int, limit: int | None = None, unanswerable: float = 0.2, tell: Tell = no_tell
) -> Iterator[TrainingRow]:
    """Rows as those of `drafts.draft_rows`, of at most `limit` questions; those of people come first."""
    problems: list[Problem] = []
    tables, questions = read_tables(source.path, problems)
    asked = [(tables[item.table], found) for item in questions if (found := find_lookup(tables[item.table], item))]
    asked.sort(key=lambda pair: share_of(pair[1].id, seed=seed))
    made = [(table, found) for table in tables.values() for found in made_lookups(table, seed)]
    made.sort(key=lambda pair: share_of(pair[1].id, seed=seed))
    pools: dict[Part, list[Table]] = {"train": [], "dev": [], "test": []}
    for table in tables.values():
        pools[part_of(_document(source, table))].append(table)
    chosen = [*asked, *made][:limit]
    for number, (table, lookup) in enumerate(chosen, start=1):
        row = _row(source, table, lookup, pools[part_of(_document(source, table))], seed, unanswerable)
        if row:
            yield row
        if number % 500 == 0 or number == len(chosen):
            tell(f"tables of {source.name}", number, len(chosen))


def find_lookup(table: Table, asked: TableQuestion) -> Lookup | None:
    """The cell that answers the question; None where it is not looked up.

    >>> table = Table("1", "", ("Room", "Seats"), (("Barometer", "12"), ("Nortada", "8")))
    >>> find_lookup(table, TableQuestion("q", "How many seats has Nortada?", ("8",), "1"))
    Lookup(id='q', question='How many seats has Nortada?', answers=('8',), row=1, column=1)
    """
    if len(asked.answers) != 1 or _COMPUTED.search(asked.question):
        return None
    wanted = normalize(asked.answers[0])
    counted = bool(_NUMBER.fullmatch(asked.answers[0].strip()))
    terms = {term for term, _ in content_terms(asked.question)}
    often = Counter(term for row in table.rows for term in {term for text in row for term, _ in content_terms(text)})
    telling = {term for term in terms if often[term] <= max(1, len(table.rows) // 4)}
    places = []
    for number, row in enumerate(table.rows):
        for column, text in enumerate(row):
            if wanted and normalize(text) == wanted and len(text.split()) <= LONGEST:
                others = " ".join(other for at, other in enumerate(row) if at != column)
                named = len(telling & {term for term, _ in content_terms(others)})
                headed = len(terms & {term for term, _ in content_terms(table.header[column])})
                # "How many towns ...?" is answered by a count, which may stand in some cell by chance.
                if named and (headed or not counted):
                    places.append((named, headed, -number, -column))
    if not places:
        return None
    _, _, number, column = max(places)
    return Lookup(asked.id, asked.question, asked.answers, -number, -column)


def made_lookups(table: Table, seed: int) -> list[Lookup]:
    """Questions by template about cells of this table: of a row by its first telling cell, or that cell itself."""
    rng = random.Random(f"{seed}:{table.id}")
    columns = [at for at, name in enumerate(table.header) if _plain(name) and table.header.count(name) == 1]
    first = next((at for at in columns if _keys(table, at)), None)
    others = [at for at in columns if at != first]
    if first is None or not others:
        return []
    found: dict[str, Lookup] = {}
    for _ in range(3 * MADE):
        number, column = rng.randrange(len(table.rows)), rng.choice(others)
        key, value = table.rows[number][first], table.rows[number][column]
        words = {"column": _as_asked(table.header[column]), "first": _as_asked(table.header[first])}
        unique = sum(row[column] == value for row in table.rows) == 1
        backwards = unique and rng.random() < 0.25
        answer, template = (key, rng.choice(_ASKS_KEY)) if backwards else (value, rng.choice(_ASKS))
        if not key or not value or len(answer.split()) > LONGEST or not normalize(answer):
            continue
        question = template.format(key=key, value=value, **words)
        name = f"{MADE_ID}{table.id}:{number}:{first if backwards else column}"
        found.setdefault(name, Lookup(name, question, (answer,), number, first if backwards else column))
    return list(found.values())[:MADE]


def _keys(table: Table, column: int) -> bool:
    """Whether a column names its rows: words, each another."""
    values = [row[column] for row in table.rows]
    return len(set(values)) == len(values) and all(
        value and len(value.split()) <= LONGEST_KEY and not _NUMBER.fullmatch(value) for value in values
    )


def _plain(name: str) -> bool:
    return len(name) > 2 and len(name.split()) <= 6 and not _NUMBER.fullmatch(name)


def _as_asked(name: str) -> str:
    """A header within a sentence: "Sick pay" becomes "sick pay", "GDP" stays."""
    return name[0].lower() + name[1:] if name[1:] == name[1:].lower() else name


def _row(
    source: Source, table: Table, lookup: Lookup, pool: Sequence[Table], seed: int, unanswerable: float
) -> TrainingRow | None:
    rng = random.Random(f"{seed}:{source.name}:{lookup.id}")
    words = LONG_WORDS if rng.random() < LONG_SHARE else WORDS
    answer = table.rows[lookup.row][lookup.column]
    answers = (*lookup.answers, answer)
    line = _line(table.rows[lookup.row])
    # What trains takes the first place in the row where the answer's words stand: that must be the cell.
    if place_of(line, answer) != line.find(f"| {answer} |") + 2:
        return None
    count = rng.randint(1, MOST_BESIDE)
    texts = _beside(table, lookup.row, line, answers, pool, count, words, rng)
    gold = -1
    if rng.random() >= unanswerable:
        piece = _piece(table, lookup.row, range(len(table.rows)), words, rng)
        if line not in piece:  # a column is left out, for it is empty in all of these rows
            return None
        gold = rng.randint(0, len(texts))
        texts.insert(gold, (table.title, piece))
    if not texts:
        return None
    return {
        "question": lookup.question,
        "passages": [text for _, text in texts],
        "titles": [title for title, _ in texts],
        "rationale": line if gold >= 0 else "",
        "answer": answer if gold >= 0 else "",
        "answers": list(dict.fromkeys(answers)) if gold >= 0 else [],
        "answerable": gold >= 0,
        "gold": gold,
        "origin": Origin(set=source.name, id=lookup.id, document=_document(source, table), licence=source.licence),
    }


def _beside(
    table: Table,
    row: int,
    line: str,
    answers: Sequence[str],
    pool: Sequence[Table],
    count: int,
    words: int,
    rng: random.Random,
) -> list[tuple[str, str]]:
    """Titles and texts of pieces that hold no right answer: one of the same table where that can be, then others."""
    found: dict[str, str] = {}
    rest = [at for at in range(len(table.rows)) if at != row]
    drawn = [(table, rest)] if rest else []
    drawn += [(other, list(range(len(other.rows)))) for other in rng.sample(pool, min(len(pool), 3 * count))]
    for other, rows in drawn:
        piece = _piece(other, rng.choice(rows), rows, words, rng)
        # A single letter or digit is no answer that could be looked for, but its row is.
        held = line in piece or holds_answer(piece, answers)
        if (other is table or other.id != table.id) and not held:
            found[piece] = other.title
        if len(found) == count:
            break
    return [(title, text) for text, title in found.items()]


def _piece(table: Table, row: int, rows: Sequence[int], words: int, rng: random.Random) -> str:
    """Rows of these around one of them, about `words` words, below the header; now and then a paragraph of its page."""
    first = last = list(rows).index(row)
    size = _size(table.header) + _size(table.rows[row])
    while True:
        fits = [at for at in (first - 1, last + 1) if 0 <= at < len(rows)]
        fits = [at for at in fits if size + _size(table.rows[rows[at]]) <= words]
        if not fits:
            break
        chosen = rng.choice(fits)
        size += _size(table.rows[rows[chosen]])
        first, last = min(first, chosen), max(last, chosen)
    text = pipe_table([table.header, *(table.rows[at] for at in rows[first : last + 1])])
    if table.around and rng.random() < AROUND_SHARE:
        paragraph = rng.choice(table.around)
        text = f"{paragraph}\n\n{text}" if rng.random() < 0.5 else f"{text}\n\n{paragraph}"
    return " ".join(text.split())


def _size(cells: Sequence[str]) -> int:
    """Words of a row, its bars among them."""
    return sum(len(text.split()) + 1 for text in cells)


def _line(cells: Sequence[str]) -> str:
    return " ".join(f"| {' | '.join(cells)} |".split())


def _document(source: Source, table: Table) -> str:
    return document_of(source.name, table.title, table.id)
