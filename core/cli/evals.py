"""`ragloom eval`: the group; each command has a file of its own."""

from __future__ import annotations

import typer

from . import eval_answers, eval_make_questions, eval_retrieval

__all__ = ("app",)

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure retrieval and answers; make questions to measure with."""


app.command("answers")(eval_answers.answers)
app.command("retrieval")(eval_retrieval.retrieval)
app.command("compare")(eval_retrieval.compare)
app.command("make-questions")(eval_make_questions.make_questions)
