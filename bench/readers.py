"""Readers compared: which libraries find the evidence, keep table rows together, and how fast.

    pip install pypdf pdfplumber pdf_oxide trafilatura lxml_html_clean markdownify
    pip install python-docx python-calamine
    python bench/readers.py DOCUMENTS [FINANCEBENCH]

DOCUMENTS is a folder with `files/` and `questions.jsonl` (file, page, evidence); FINANCEBENCH one with `pdfs/` of
annual reports. The table printed is the one in `docs/readers.md`. Rates are pages per second of processor time on one
core; slow libraries read a sample of each report. A library that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ragloom.retrieval.readers import read_document

Pages = list[str]
Read = Callable[[Path, int], Pages]
"""Reads at most so many pages of a file."""

SAMPLE = 40
ROWS = {
    ("AMCOR_2023_10K", 52): ["Total assets|17,003|17,426", "Goodwill|5,366|5,285", "Trade payables|2,690|3,073"],
    ("BOEING_2022_10K", 55): ["Total revenues|66,608|62,286|58,158", "Sales of services|10,715|10,900|11,016"],
    ("BOEING_2022_10K", 62): [
        "Global Services|17,611|16,328|15,543",
        "Segment operating loss|(3,158)|(2,808)|(11,795)",
    ],
    ("BESTBUY_2024Q2_10Q", 20): ["Operating income|348|371|659|833", "Diluted EPS|1.25|1.35|2.36|2.85"],
}
"""Rows of statements that must stand in one line of the output, and as a row of a table with these cells."""


def plain(text: str) -> str:
    """Letters and digits alone."""
    return re.sub(r"[\W_]+", "", text.lower())


def ours(path: Path, limit: int) -> Pages:
    """The readers of ragloom."""
    return [page.text for page in read_document(path).pages]


def pdfium(path: Path, limit: int) -> Pages:
    """pdfium's own text."""
    from pypdfium2 import PdfDocument

    document = PdfDocument(path)
    return [document[at].get_textpage().get_text_range() for at in range(min(len(document), limit))]


def pypdf(path: Path, limit: int) -> Pages:
    """pypdf's text."""
    from pypdf import PdfReader

    return [page.extract_text() for page in PdfReader(path).pages[:limit]]


def pypdf_layout(path: Path, limit: int) -> Pages:
    """pypdf's text in layout mode."""
    from pypdf import PdfReader

    return [page.extract_text(extraction_mode="layout") for page in PdfReader(path).pages[:limit]]


def pdfplumber(path: Path, limit: int) -> Pages:
    """pdfplumber's text, and the tables it finds as rows."""
    import pdfplumber as library

    pages = []
    with library.open(path) as document:
        for page in document.pages[:limit]:
            rows = [" | ".join(cell or "" for cell in row) for table in page.extract_tables() for row in table]
            pages.append("\n".join([page.extract_text(), *rows]))
            page.close()
    return pages


def oxide(path: Path, limit: int) -> Pages:
    """pdf_oxide's Markdown."""
    from pdf_oxide import PdfDocument

    document = PdfDocument(str(path))
    return [document.to_markdown(at) for at in range(min(document.page_count(), limit))]


def python_docx(path: Path, limit: int) -> Pages:
    """python-docx: paragraphs and table rows."""
    from docx import Document
    from docx.table import Table

    lines = []
    for item in Document(str(path)).iter_inner_content():
        rows = [" | ".join(cell.text for cell in row.cells) for row in item.rows] if isinstance(item, Table) else []
        lines.extend(rows or [getattr(item, "text", "")])
    return ["\n".join(lines)]


def trafilatura(path: Path, limit: int) -> Pages:
    """trafilatura's main content."""
    from trafilatura import extract

    return [extract(path.read_text("utf-8"), include_tables=True, output_format="markdown") or ""]


def markdownify(path: Path, limit: int) -> Pages:
    """markdownify on the whole page."""
    from markdownify import markdownify as convert

    return [convert(path.read_text("utf-8"))]


def calamine(path: Path, limit: int) -> Pages:
    """python-calamine's cells."""
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_path(str(path))
    sheets = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
    return ["\n".join(" | ".join(str(cell).removesuffix(".0") for cell in row) for row in rows) for rows in sheets]


LIBRARIES: list[tuple[str, str, str, Read]] = [
    (".pdf", "ragloom", "pypdfium2", ours),
    (".pdf", "pypdfium2 (plain text)", "pypdfium2", pdfium),
    (".pdf", "pypdf", "pypdf", pypdf),
    (".pdf", "pypdf (layout)", "pypdf", pypdf_layout),
    (".pdf", "pdfplumber (text and tables)", "pdfplumber", pdfplumber),
    (".pdf", "pdf_oxide (Markdown)", "pdf_oxide", oxide),
    (".docx", "ragloom", "mammoth", ours),
    (".docx", "python-docx", "docx", python_docx),
    (".html", "ragloom", "selectolax", ours),
    (".html", "trafilatura", "trafilatura", trafilatura),
    (".html", "markdownify", "markdownify", markdownify),
    (".xlsx", "ragloom", "openpyxl", ours),
    (".xlsx", "python-calamine", "python_calamine", calamine),
    (".pptx", "ragloom", "pptx", ours),
    (".csv", "ragloom", "csv", ours),
    (".md", "ragloom", "json", ours),
]


def evidence(folder: Path, suffix: str, read: Read) -> tuple[int, int, float]:
    """Questions whose evidence stands on its page, all questions, and seconds for the files."""
    questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text("utf-8").splitlines()]
    questions = [question for question in questions if question["file"].endswith(suffix)]
    started = time.process_time()
    pages = {name: read(folder / "files" / name, 10_000) for name in sorted({each["file"] for each in questions})}
    seconds = time.process_time() - started
    found = 0
    for question in questions:
        text = pages[question["file"]]
        found += question["page"] <= len(text) and plain(question["evidence"]) in plain(text[question["page"] - 1])
    return found, len(questions), seconds


def cells(line: str) -> list[str]:
    """The cells of a table row, empty ones and signs left out."""
    return [plain(cell) for cell in line.split("|") if plain(cell)]


def reports(folder: Path, read: Read) -> tuple[float, int, int, int]:
    """Pages per second over the reports; table rows on one line, in their cells, and all looked for."""
    count = kept = parted = wanted = 0
    seconds = 0.0
    for path in sorted((folder / "pdfs").glob("*.pdf")):
        started = time.process_time()
        pages = read(path, 10_000 if read in (ours, pdfium) else SAMPLE)
        seconds += time.process_time() - started
        count += len(pages)
        for (name, number), rows in ROWS.items():
            if name == path.stem:
                whole = pages if number <= len(pages) else read(path, number)
                lines = whole[number - 1].splitlines()
                wanted += len(rows)
                kept += sum(any(plain(row) in plain(line) for line in lines) for row in rows)
                parted += sum(any(cells(row) == cells(line) for line in lines) for row in rows)
    return count / seconds, kept, parted, wanted


def main(documents: Path, financebench: Path | None) -> None:
    """Prints the table."""
    logging.disable(logging.ERROR)  # several libraries report every oddity of a file
    print("| Format | Library | Evidence found | Rows on one line | Rows in cells | Pages/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for suffix, name, package, read in LIBRARIES:
        if importlib.util.find_spec(package) is None:
            continue
        found, total, seconds = evidence(documents, suffix, read)
        rows, rate = "|", f"{1000 * seconds:.0f} ms in all"
        if suffix == ".pdf" and financebench is not None:
            speed, kept, parted, wanted = reports(financebench, read)
            rows, rate = f"{kept}/{wanted} | {parted}/{wanted}", f"{speed:.0f}"
        print(f"| {suffix[1:]} | {name} | {found}/{total} | {rows} | {rate} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else None)
