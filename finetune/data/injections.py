"""Rows of the injection classifier: attacks alone, beside questions and planted in passages; and the same without any.

    message   injection  an attack; an attack beside a question
              benign     a question or request; two of them, so that a seam alone means nothing
    passage   injection  an attack planted in a passage; a request planted in one, though as a message it is none:
                         a passage has nothing to ask for
              benign     a passage; a passage with a sentence of another one planted in it

Attack, passage and question of a row are of the same part: no attack, and no passage that one is planted in, stands in
two. Few attacks are published under licences that let a model be shipped; planted at many places of many passages they
are seen often, and never with the same words around.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random

from ...evals.answer_sets import share_of
from ...models.injection import Kind
from .attacks import Sample, read_samples
from .parts import PARTS, Part
from .planting import LONGEST, WINDOW, beside, cut, plant, window_of
from .rows import TrainingRow
from .sources import Sources

__all__ = ("COPIES", "MADE_OF", "held_out_rows", "injection_rows", "is_left_out")

COPIES = 8
"""Plantings of an attack in the train part."""
MEASURED_COPIES = 2
"""In the others: more of the same attack would only look like more rows."""
PLANTED_WORDS = 60
"""Of a longer attack a run of so many words is planted."""
CONTROLS = 0.3
"""Share of the texts without an attack that stand there with another one's sentence as well."""
REQUESTS = 4
"""Plantings of each request to an assistant in the train part: nobody published them as attacks to be measured by."""
MADE_OF = "made"
"""Prefix of the ids of rows that are put together."""
_REQUEST = re.compile(
    r"(?:please |(?:can|could|would|will) you (?:please )?)?"
    r"(?:write|describe|explain|give|list|create|translate|summari[sz]e|tell|show|make|generate|compose|draft|discuss"
    r"|provide|suggest|help|imagine|act|pretend|compare|define|find|set|turn|add|remove|send|recommend|calculate"
    r"|convert|design|outline|name|rewrite|answer|say|repeat|print|use|include)\b",
    re.IGNORECASE,
)


def injection_rows(
    sources: Sources, *, leave_out: Sequence[str] = (), copies: int = COPIES, limit: int | None = None, seed: int = 0
) -> Iterator[TrainingRow]:
    """Rows {text, kind, label, window, inner}: what of the text is trained on, and where what was put into it stands.

    Args:
        sources: see `attacks`; files of rows in these columns are taken as they are.
        leave_out: beginnings of names of sets (`deepset`), or of families (`bipia:Clickbait`), to train without.
        copies: plantings of each attack of the train part.
        limit: messages, and passages, without an attack that are taken of each set and part, drawn by `seed`.
        seed: of everything that is drawn.
    """
    yield from sources.rows("injection")
    kept = [sample for sample in read_samples(sources) if not is_left_out(sample, leave_out)]
    pools = {part: _Pool.of((sample for sample in kept if sample.part == part), limit, seed) for part in PARTS}
    for part in PARTS:
        yield from _rows(kept, part, pools[part], copies if part == "train" else MEASURED_COPIES, seed)


def held_out_rows(
    sources: Sources, names: Sequence[str], *, limit: int | None = None, seed: int = 0
) -> Iterator[TrainingRow]:
    """Rows of all samples of these sets, made as those of a test part: what they are planted in was not trained on.

    For a classifier that was trained with `leave_out=names`.
    """
    samples = read_samples(sources)
    held = [sample for sample in samples if is_left_out(sample, names)]
    others = (sample for sample in samples if sample.part == "test" and not is_left_out(sample, names))
    pool = _Pool.of(others, limit, seed)
    own = _Pool.of(held, None, seed)
    yield from _attacks([sample for sample in held if sample.attack], "test", pool, MEASURED_COPIES, seed)
    yield from (_row(sample, sample.text, Random(0)) for sample in chain(*own.messages, *own.passages))


def is_left_out(sample: Sample, names: Iterable[str]) -> bool:
    """Whether the sample's set or family begins with one of the names."""
    origin = sample.origin
    return any(origin["set"].startswith(name) or origin["document"].startswith(name) for name in names)


@dataclass(frozen=True, slots=True)
class _Pool:
    """What of a part has no attack, set by set: for rows of its own, and to put attacks beside or into."""

    messages: list[list[Sample]]
    passages: list[list[Sample]]

    @classmethod
    def of(cls, samples: Iterable[Sample], limit: int | None, seed: int) -> _Pool:
        groups: dict[tuple[Kind, str], list[Sample]] = defaultdict(list)
        for sample in samples:
            if not sample.attack:
                groups[sample.kind, sample.origin["set"]].append(sample)

        def drawn(wanted: Kind) -> list[list[Sample]]:
            found = [group for (kind, _), group in groups.items() if kind == wanted]
            return [sorted(group, key=lambda one: _share(one, seed))[:limit] for group in found]

        return cls(drawn("message"), drawn("passage"))

    def passage(self, draw: Random) -> str:
        """A run of a passage of any set, whatever its size."""
        return cut(_drawn(self.passages, draw).text, LONGEST, draw)

    def message(self, draw: Random) -> str:
        return cut(_drawn(self.messages, draw).text, PLANTED_WORDS, draw, head=True)

    def sentence(self, draw: Random) -> str:
        """Of a passage: one that neither asks nor asks for anything, as far as its form tells; empty where none is."""
        text = _drawn(self.passages, draw).text
        told = [each for each in re.split(r"(?<=[.!?])\s+|\n+", cut(text, LONGEST, draw)) if len(each.split()) > 3]
        told = [each for each in told if "?" not in each and not _REQUEST.match(each)]
        return cut(draw.choice(told), PLANTED_WORDS, draw, head=True) if told else ""


def _rows(samples: Sequence[Sample], part: Part, pool: _Pool, copies: int, seed: int) -> Iterator[TrainingRow]:
    attacks = [sample for sample in samples if sample.attack and sample.part == part]
    yield from _attacks(attacks, part, pool, copies, seed)
    for sample in chain(*pool.messages):
        draw = _draw(sample, seed)
        yield _row(sample, sample.text, draw)
        for _ in range(copies // 2 if sample.beside_attacks else int(draw.random() < CONTROLS)):
            whole, _ = beside(cut(sample.text, PLANTED_WORDS, draw), pool.message(draw), draw)
            yield _row(sample, whole, draw, made="beside")
        asks = part == "train" and sample.beside_attacks and _REQUEST.match(sample.text)
        for _ in range(REQUESTS if asks and pool.passages else 0):
            whole, inner = plant(cut(sample.text, PLANTED_WORDS, draw, head=True), pool.passage(draw), draw)
            yield _row(sample, whole, draw, inner, kind="passage", attack=True, made="request")
    for sample in chain(*pool.passages):
        draw = _draw(sample, seed)
        text = cut(sample.text, LONGEST, draw)
        yield _row(sample, text, draw)
        controls = copies if sample.beside_attacks else int(draw.random() < CONTROLS)
        for _ in range(controls):
            if sentence := pool.sentence(draw):
                whole, inner = plant(sentence, cut(sample.text, LONGEST, draw), draw)
                yield _row(sample, whole, draw, inner, made="control")


def _attacks(attacks: Iterable[Sample], part: Part, pool: _Pool, copies: int, seed: int) -> Iterator[TrainingRow]:
    for sample in attacks:
        draw = _draw(sample, seed)
        if sample.kind == "message":
            yield _row(sample, sample.text, draw)
            if part == "train" and sample.text != (run := cut(sample.text, WINDOW, draw)):
                yield _row(sample, run, draw, made="run")
            for _ in range(copies // 2 if pool.messages else 0):
                whole, inner = beside(cut(sample.text, LONGEST, draw, head=True), pool.message(draw), draw)
                yield _row(sample, whole, draw, inner, made="beside")
        # Of attacks that are passages nothing else is seen.
        for _ in range((copies if sample.kind == "message" else 2 * copies) if pool.passages else 0):
            planted = cut(sample.text, PLANTED_WORDS, draw, head=draw.random() < 0.5)
            whole, inner = plant(planted, pool.passage(draw), draw)
            yield _row(sample, whole, draw, inner, kind="passage", made="planted")


def _row(
    sample: Sample,
    text: str,
    draw: Random,
    inner: tuple[int, int] | None = None,
    *,
    kind: Kind | None = None,
    attack: bool | None = None,
    made: str = "",
) -> TrainingRow:
    """`made` says how a text was put together; empty: it stands as it was published."""
    label = sample.attack if attack is None else attack
    origin = {**sample.origin, "id": f"{MADE_OF}:{made}:{sample.origin['id']}" if made else sample.origin["id"]}
    row = {"text": text, "kind": kind or sample.kind, "label": "injection" if label else "benign"}
    own = {"inner": list(inner)} if inner else {}
    return {**row, "window": list(window_of(text, draw, inner)), **own, "origin": origin}


def _drawn(groups: Sequence[Sequence[Sample]], draw: Random) -> Sample:
    """One of a set that is drawn first, so that a big set does not hide the others."""
    return draw.choice(draw.choice(groups))


def _share(sample: Sample, seed: int) -> float:
    return share_of(f"{sample.origin['id']}\0{sample.text}", seed=seed)


def _draw(sample: Sample, seed: int) -> Random:
    return Random(f"{seed}\0{sample.origin['set']}\0{sample.origin['id']}\0{sample.text[:200]}")
