"""The folder of a made set: a person's edits stay, and what was kept or rejected is on the disk at once.

questions.jsonl    what was kept; an answer set's questions
passages.jsonl     the passages of the knowledge base
tried.jsonl        {of, outcome, reply}: what the model was asked about, and what came of it
README.md          for the person who edits the questions
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ..files import write_whole
from ..jsonl import Problem, Row, scan_jsonl

if TYPE_CHECKING:
    from .passages import Passage

__all__ = ("KEPT", "SetFolder")

KEPT = "kept"
"""The outcome that is no reason for a rejection."""


class SetFolder:
    """A made set, as far as it is made.

    Raises `UsageError` where a line cannot be read: it is a person's file, so nothing is added to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.questions = [row.fields for row in self._rows("questions.jsonl")]
        self.tried = {row.text("of"): row.text("outcome") for row in self._rows("tried.jsonl")}
        """Passage (or question that a name was changed in) to what came of it."""
        for row in self.questions:
            for passage in row.get("passage_ids", []):  # asked about already, whoever wrote the question
                self.tried.setdefault(str(passage), KEPT)
        path.mkdir(parents=True, exist_ok=True)

    def _rows(self, name: str) -> list[Row]:
        path = self.path / name
        if not path.exists():
            return []
        problems: list[Problem] = []
        rows = list(scan_jsonl(path, problems))
        if problems:
            raise UsageError(str(problems[0]), hint="mend the line, or use another --out")
        return rows

    def write_passages(self, passages: Sequence[Passage]) -> None:
        """Writes the passages as they are now; the whole file or none of it."""
        rows = [{"id": p.id, "title": p.context, "text": p.text, "source": p.source, "page": p.page} for p in passages]
        write_whole(self.path / "passages.jsonl", map(_line, rows))

    def of_kind(self, *, answerable: bool) -> list[dict[str, Any]]:
        """The answerable questions, or the unanswerable ones."""
        return [row for row in self.questions if bool(row.get("answerable", True)) == answerable]

    def holds(self, question_id: str) -> bool:
        """Whether a question has this id."""
        return any(row.get("id") == question_id for row in self.questions)

    def keep(self, row: dict[str, Any], of: str) -> None:
        """Adds a question that was made of a passage (or of another question)."""
        self.questions.append(row)
        self._append("questions.jsonl", row)
        self.note(of, KEPT)

    def note(self, of: str, outcome: str, reply: str = "") -> None:
        """Writes down what came of a passage (or of a question), so that it is not tried again."""
        self.tried[of] = outcome
        self._append("tried.jsonl", {"of": of, "outcome": outcome, **({"reply": reply} if reply else {})})

    def _append(self, name: str, row: dict[str, Any]) -> None:
        """It survives the process when this returns."""
        path = self.path / name
        # People's editors leave out the last line feed.
        whole = not path.exists() or not path.stat().st_size or path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as stream:
            stream.write(("" if whole else "\n") + _line(row))

    def write_readme(self, **variables: object) -> None:
        """Writes README.md anew."""
        from jinja2 import Environment, StrictUndefined

        template = Path(__file__).with_name("readme.jinja").read_text(encoding="utf-8")
        environment = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)  # it is no HTML
        text = environment.from_string(template).render(folder=self.path.name, **variables)
        (self.path / "README.md").write_text(text, encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
