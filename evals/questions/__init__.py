"""Questions made from the user's own documents, for those who have none: seeds that a person reads and edits.

1. Passages are chosen by coverage: document after document in turn, and within one document from another cluster of
   vectors each time (`passages`).
2. The chat model writes one question for each, with its answer (`writing`). Small models babble, so replies are read
   leniently and checked strictly (`replies`).
3. Round trip (Alberti et al. 2019, arXiv 1906.05416; here with the retriever): the passage must be among the first that
   are found for its question. A question that fits many passages falls here (`making`).
4. Unanswerable questions are answerable ones in which a name or a number was changed to one that occurs nowhere in the
   documents (`names`). They are hard, since the passage that they were made of is still found for them.

What the round trip costs: questions that this retriever cannot answer are thrown away, so retrieval looks better on the
rest than it is. Differences between configurations remain, but lean towards the one that filtered.

>>> from ragloom.evals.questions import make_questions
>>> make_questions(kb, llm, Path("questions"), n=50).to_dict()  # doctest: +SKIP
{'folder': 'questions', 'answerable': 40, 'unanswerable': 10, 'asked': 97, ...}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .making import MadeQuestions, make_questions
    from .names import add_name, change_name
    from .passages import Passage, choose_passages
    from .replies import read_reply

__all__ = ("MadeQuestions", "Passage", "add_name", "change_name", "choose_passages", "make_questions", "read_reply")

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "making": ["MadeQuestions", "make_questions"],
        "names": ["add_name", "change_name"],
        "passages": ["Passage", "choose_passages"],
        "replies": ["read_reply"],
    },
)
