"""`ragloom eval make-questions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .eval_output import progress_bar
from .output import JsonOption, KbOption, console, download_progress, emit, note

__all__ = ("make_questions",)


def make_questions(
    out: Annotated[Path, typer.Option(help="Folder of the answer set; one that is there is gone on with.")],
    kb: KbOption = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Questions wanted, unanswerable ones among them.")] = 50,
    unanswerable: Annotated[float, typer.Option(min=0, max=0.9, help="Share that the documents do not answer.")] = 0.2,
    llm: Annotated[str | None, typer.Option(help="Chat model, e.g. bundled:smollm2, gguf:PATH, openai:NAME.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of passages.")] = 0,
    json: JsonOption = False,
) -> None:
    """Make questions from your documents, with answers: seeds for `tune` and `eval answers` that a person edits."""
    from ..evals.questions import make_questions as run
    from ..models import load_chat_model
    from ..retrieval import KnowledgeBase
    from ..settings import load_settings

    settings = load_settings(llm=llm, kb=kb)
    opened = KnowledgeBase.open(settings.kb, embedder=settings.embedder)
    with download_progress("fetching the chat model") as fetching:
        model = load_chat_model(settings.llm, progress=fetching)
    name = f"gguf:{Path(settings.llm[5:]).name}" if settings.llm.startswith("gguf:") else settings.llm
    with progress_bar() as bar:
        made = run(
            opened,
            model,
            out,
            n=n,
            unanswerable=unanswerable,
            llm_name=name,
            tenant=settings.tenant,
            seed=seed,
            tell=bar.show,
        )
    if json:
        emit(made.to_dict())
    else:
        console().print(
            f"{made.answerable} answerable and {made.unanswerable} unanswerable questions over {made.sources} of "
            f"{made.documents} documents -> {out}"
        )
    for reason, count in made.rejected.most_common():
        note(f"rejected {count}: {reason}")
    if made.answerable + made.unanswerable < n:
        note(f"{n - made.answerable - made.unanswerable} fewer than wanted: no more passages, or too many rejected")
    note(f"read them before you rely on them: {out / 'README.md'} says how to edit them")
