"""`chunk_document`: pages to pieces, pieces packed into chunks, and a last check that nothing exceeds the embedder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...sentences import sentence_spans
from ..chunk import Chunk
from ..readers.base import Page, ParsedDocument
from .blocks import Block, markdown_blocks
from .pieces import Piece, TokenRuler, split_table, split_text
from .settings import ChunkSettings

if TYPE_CHECKING:
    from ...models.protocols import Embedder

__all__ = ("chunk_document",)

CONTEXT_SHARE = 0.2
"""The context line may take this share of a chunk; the headings nearest to the text are kept."""
SMALL_SECTION = 0.25
"""Sections shorter than this share of a chunk are packed together with the next: alone they say too little."""


def chunk_document(document: ParsedDocument, embedder: Embedder, settings: ChunkSettings | None = None) -> list[Chunk]:
    """Cuts a document. Every character that is not white space lands in a chunk; no chunk crosses a page.

    Law: `embedder.count_tokens([chunk.content])[0] <= embedder.max_tokens` for every chunk, so nothing is cut silently.
    """
    settings = settings or ChunkSettings()
    limit = min(settings.size or embedder.max_tokens, embedder.max_tokens) - embedder.special_tokens
    chunks: list[Chunk] = []
    headings: list[tuple[int, str]] = []
    for start, _, page in document.page_spans():
        chunks += _chunk_page(document.title, page, start, headings, embedder, settings, limit)
    return _enforce(chunks, embedder, limit + embedder.special_tokens)


def _chunk_page(
    title: str,
    page: Page,
    offset: int,
    headings: list[tuple[int, str]],
    embedder: Embedder,
    settings: ChunkSettings,
    limit: int,
) -> Iterator[Chunk]:
    """Chunks of one page. `headings` is the path so far: it goes on from page to page and is updated in place."""
    text = page.text
    ruler = TokenRuler(text, embedder.token_offsets)
    sections = list(_sections(markdown_blocks(text), headings))
    if settings.strategy == "structure":
        sections = list(_merge_small(sections, ruler, int(limit * SMALL_SECTION)))
    elif sections:  # the others pack across sections: the page is one, named by the headings that it begins under
        sections = [(sections[0][0], [block for _, blocks in sections for block in blocks])]
    for path, blocks in sections:
        context = _context((title, page.label, *path), embedder, int(limit * CONTEXT_SHARE)) if settings.context else ""
        room = limit - (len(embedder.token_offsets(context)) if context else 0)
        for piece in _pack(text, blocks, ruler, room, settings):
            header = text[slice(*piece.header)] + "\n" if piece.header else ""
            yield Chunk(
                text=header + text[piece.start : piece.end],
                start=offset + piece.start,
                end=offset + piece.end,
                page=page.number,
                page_label=page.label,
                headings=path,
                context=context,
                repeated_header=len(header),
            )


def _sections(blocks: list[Block], headings: list[tuple[int, str]]) -> Iterator[tuple[tuple[str, ...], list[Block]]]:
    """Runs of blocks under the same heading path; a heading opens its section."""
    current: list[Block] = []
    path = tuple(title for _, title in headings)
    for block in blocks:
        if block.kind == "heading":
            if current:
                yield path, current
                current = []
            while headings and headings[-1][0] >= block.level:
                headings.pop()
            headings.append((block.level, block.title))
            path = tuple(title for _, title in headings)
        current.append(block)
    if current:
        yield path, current


def _merge_small(
    sections: list[tuple[tuple[str, ...], list[Block]]], ruler: TokenRuler, small: int
) -> Iterator[tuple[tuple[str, ...], list[Block]]]:
    """Joins a section too short to stand alone to the one after it, under the headings that both share."""
    held: tuple[tuple[str, ...], list[Block]] | None = None
    for path, blocks in sections:
        if held:
            shared = [a for a, b in zip(held[0], path, strict=False) if a == b]
            path, blocks = (path if held[0] == path[: len(held[0])] else tuple(shared)), held[1] + blocks
            held = None
        if ruler.count(blocks[0].start, blocks[-1].end) < small:
            held = path, blocks
        else:
            yield path, blocks
    if held:
        yield held


def _context(parts: tuple[str, ...], embedder: Embedder, limit: int) -> str:
    """Title > label > headings on one line, outer ones dropped first where it would be too long."""
    names = list(dict.fromkeys(" ".join(part.split()) for part in parts if part.strip()))
    while names:
        line = " > ".join(names)
        offsets = embedder.token_offsets(line)
        if len(offsets) <= limit:
            return line
        if len(names) == 1:
            return line[: offsets[limit - 1][1]] if limit > 0 else ""
        names.pop(0)
    return ""


def _pieces(text: str, blocks: list[Block], ruler: TokenRuler, room: int, settings: ChunkSettings) -> Iterator[Piece]:
    for block in blocks:
        if block.kind == "table":
            yield from split_table(text, block, ruler, room)
        elif settings.strategy == "sentence":
            for left, right in sentence_spans(text[block.start : block.end]):
                yield from split_text(text, block.start + left, block.start + right, ruler, room)
        else:
            yield from split_text(text, block.start, block.end, ruler, room)


def _pack(text: str, blocks: list[Block], ruler: TokenRuler, room: int, settings: ChunkSettings) -> Iterator[Piece]:
    """Pieces joined, in order, as long as they fit together."""
    # An overlap meant for larger chunks than the embedder reads must not eat the whole chunk.
    overlap = min(settings.overlap, room // 2)
    if settings.strategy == "tokens":
        yield from _windows(blocks, ruler, room, overlap)
        return
    current: list[Piece] = []
    for piece in _pieces(text, blocks, ruler, room, settings):
        if current and (piece.header or current[0].header or ruler.count(current[0].start, piece.end) > room):
            yield Piece(current[0].start, current[-1].end, current[0].header)
            kept = [old for old in current if ruler.count(old.start, current[-1].end) <= overlap]
            current = kept if kept and ruler.count(kept[0].start, piece.end) <= room else []
        current.append(piece)
    if current:
        yield Piece(current[0].start, current[-1].end, current[0].header)


def _windows(blocks: list[Block], ruler: TokenRuler, room: int, overlap: int) -> Iterator[Piece]:
    start, end = blocks[0].start, blocks[-1].end
    while start < end:
        stop = ruler.reach(start, room, end)
        yield Piece(start, stop)
        if stop >= end:
            return
        start = max(ruler.back(stop, overlap), start + 1) if overlap else stop


def _enforce(chunks: list[Chunk], embedder: Embedder, most: int) -> list[Chunk]:
    """Halves what is still too long: a repeated header or a tokenizer that counts differently at a cut can cause it."""
    fitting: list[Chunk] = []
    counts = embedder.count_tokens([chunk.content for chunk in chunks]) if chunks else []
    for chunk, count in zip(chunks, counts, strict=True):
        fitting += [chunk] if count <= most else _enforce(_halve(chunk), embedder, most)
    return fitting


def _halve(chunk: Chunk) -> list[Chunk]:
    """The chunk as smaller ones, giving up the repeated header and the context before cutting the text."""
    if chunk.repeated_header:
        return [replace(chunk, text=chunk.text[chunk.repeated_header :], repeated_header=0)]
    if len(chunk.text) < 2:
        return [replace(chunk, context="")] if chunk.context else []
    space = chunk.text.rfind(" ", 1, len(chunk.text) // 2 + 1)
    cut = space if space > 0 else len(chunk.text) // 2
    at = chunk.start + cut
    return [replace(chunk, text=chunk.text[:cut], end=at), replace(chunk, text=chunk.text[cut:], start=at)]
