"""Train, dev and test parts by document: no text that was trained on is measured on."""

from __future__ import annotations

import unicodedata
from typing import Literal

from ...evals.answer_sets import share_of

__all__ = ("PARTS", "Part", "document_of", "part_of")

Part = Literal["train", "dev", "test"]
PARTS: tuple[Part, ...] = ("train", "dev", "test")
DEV, TEST = 0.1, 0.15


def part_of(document: str) -> Part:
    """The part of everything that comes from this document, by its hash alone: the same in every run and recipe.

    >>> part_of("squad:Oxygen")
    'train'
    """
    share = share_of(document, salt="finetune")
    if share < TEST:
        return "test"
    return "dev" if share < TEST + DEV else "train"


def document_of(name: str, title: str, key: str) -> str:
    """What a passage of a set is split by: its article, book or paper, by title; its own id where it has no title.

    A title stands without the set's name, because several sets ask about the same articles (Natural Questions, QED,
    SQuAD): one that is trained on in one set must not be measured on in another.

        >>> document_of("squad", "Amazon  Rainforest", "squad-01-001"), document_of("npl", "", "17")
        ('title:amazon rainforest', 'npl:17')
    """
    known = " ".join(unicodedata.normalize("NFKC", title).casefold().replace("_", " ").split())
    return f"title:{known}" if known else f"{name}:{key}"
