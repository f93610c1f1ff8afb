"""Rows for drafters, small enough to learn."""

from __future__ import annotations

import random
from typing import Any

CITIES = {"Amsel": "1203", "Borkum": "1444", "Calden": "1571", "Dorsten": "1688", "Eltz": "1720", "Fulda": "1815"}


def town_rows(count: int, document: str = "towns") -> list[dict[str, Any]]:
    """Rows of a drafter, every fifth without an answer."""
    rows = []
    for number in range(count):
        rng = random.Random(number)
        (town, year), (other, later) = rng.sample(sorted(CITIES.items()), 2)
        passages = [f"{town} is old. It was founded in {year}.", f"{other} is new. The bridge dates from {later}."]
        answerable = number % 5 != 4
        gold = rng.randint(0, 1)
        if gold:
            passages.reverse()
        rows.append(
            {
                "question": f"When was {town} founded?" if answerable else f"Who founded {town}?",
                "passages": passages,
                "titles": ["", town],
                "rationale": f"It was founded in {year}." if answerable else "",
                "answer": year if answerable else "",
                "answerable": answerable,
                "gold": gold if answerable else -1,
                "origin": {"set": "towns", "id": f"{document}{number}", "document": document, "licence": "CC0"},
            }
        )
    return rows
