"""Readers, through `read_document`: every format, every bad file, and the handbook of the examples."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import time
import tracemalloc
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from reportlab.pdfgen.canvas import Canvas

from ragloom.errors import ReaderError
from ragloom.retrieval.readers import READERS, ParsedDocument, read_document, sniff_format, supported_suffixes

_spec = importlib.util.spec_from_file_location("bad_files", Path(__file__).with_name("bad_files.py"))
assert _spec is not None and _spec.loader is not None
bad_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bad_files)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HANDBOOK = sorted((EXAMPLES / "handbook").iterdir())
QUESTIONS = [json.loads(line) for line in (EXAMPLES / "handbook_questions.jsonl").read_text("utf-8").splitlines()]

Write = Callable[[str, bytes | str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and returns its path."""

    def make(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def plain(text: str) -> str:
    """Letters and digits alone, for comparing across punctuation."""
    return re.sub(r"[\W_]+", "", text.lower())


# -- PDF ---------------------------------------------------------------------------------------------------------------


def make_pdf(draw: Callable[[Canvas], None], *, pagesize: tuple[float, float] = (595, 842), rotate: int = 0) -> bytes:
    """A PDF of one page drawn by `draw(canvas)`."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=pagesize, invariant=1)
    if rotate:
        canvas.setPageRotation(rotate)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def flowing_pdf(*story: object) -> bytes:
    """A PDF of reportlab flowables."""
    from reportlab.platypus import SimpleDocTemplate

    out = io.BytesIO()
    SimpleDocTemplate(out, invariant=1).build(list(story))
    return out.getvalue()


def test_pdf_pages_are_numbered_from_one(write: Write) -> None:
    document = read_document(write("a.pdf", bad_files.pdf_of("first", "second", "third")))
    assert [(page.number, page.text) for page in document.pages] == [(1, "first"), (2, "second"), (3, "third")]


def test_pdf_page_without_text_is_a_warning(write: Write) -> None:
    document = read_document(write("a.pdf", bad_files.pdf_of("first", "", "third")))
    assert document.warnings == ("page 2 holds no text",)
    assert [page.number for page in document.pages] == [1, 2, 3]


def test_pdf_ruled_table_with_wrapped_cells(write: Write) -> None:
    from reportlab.lib import colors
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, Table, TableStyle

    style = getSampleStyleSheet()["BodyText"]
    wrapped = Paragraph("A long remark that is broken over several lines within its narrow cell of the table", style)
    rows = [["Part", "Remark", "Price"], ["Bolt", wrapped, "1.20"], ["Nut", "short", "0.80"]]
    table = Table(rows, colWidths=[80, 120, 60], style=TableStyle([("GRID", (0, 0), (-1, -1), 1, colors.black)]))
    text = read_document(write("a.pdf", flowing_pdf(Paragraph("Before", style), table, Paragraph("After", style)))).text
    assert "| Part | Remark | Price |\n| --- | --- | --- |" in text
    assert (
        "| Bolt | A long remark that is broken over several lines within its narrow cell of the table | 1.20 |" in text
    )
    assert "| Nut | short | 0.80 |" in text
    assert text.index("Before") < text.index("| Part") < text.index("After")
    assert text.count("Bolt") == 1  # never both as a table and as text


def test_pdf_borderless_table_keeps_numbers_with_labels(write: Write) -> None:
    rows = [
        ("", "2025", "2024"),
        ("Assets", "", ""),
        ("Cash and cash equivalents", "$ 1,204", "$ 998"),
        ("Net cash provided by operating", "", ""),
        ("activities", "310", "(47)"),
        ("Total assets", "$ 17,003", "$ 17,426"),
    ]

    def draw(canvas: Canvas) -> None:
        for at, (label, *values) in enumerate(rows):
            y = 700 - 13 * at
            canvas.drawString(60, y, label)
            for x, value in zip((380, 480), values, strict=True):
                canvas.drawRightString(x, y, value)

    text = read_document(write("a.pdf", make_pdf(draw))).text
    assert "| Total assets | $ 17,003 | $ 17,426 |" in text
    assert "| Net cash provided by operating activities | 310 | (47) |" in text
    assert "|  | 2025 | 2024 |" in text


LEFT = [f"left line {at} goes on to fill the column well" for at in range(12)]
RIGHT = [f"right line {at} goes on to fill its column too" for at in range(12)]


@pytest.mark.parametrize("shift", [0, 6])
@pytest.mark.parametrize("interleaved", [False, True])
def test_pdf_two_columns_read_one_after_the_other(write: Write, shift: int, interleaved: bool) -> None:
    lines = [(60, 700 - 13 * at, text) for at, text in enumerate(LEFT)]
    lines += [(320, 700 - shift - 13 * at, text) for at, text in enumerate(RIGHT)]
    if interleaved:
        lines.sort(key=lambda line: -line[1])

    def draw(canvas: Canvas) -> None:
        canvas.drawString(60, 760, "A title across the whole page, over both of its columns, to the right margin")
        for x, y, text in lines:
            canvas.drawString(x, y, text)

    text = " ".join(read_document(write("a.pdf", make_pdf(draw))).text.split())
    assert " ".join(LEFT) in text
    assert " ".join(RIGHT) in text
    assert text.index("A title") < text.index("left line 0") < text.index("left line 11") < text.index("right line 0")


def test_pdf_three_columns_with_header_and_footer(write: Write) -> None:
    columns = [[f"column {n} line {at} holds some words" for at in range(12)] for n in range(3)]

    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 9)
        canvas.drawString(40, 800, "Journal of tests")
        canvas.drawRightString(555, 800, "Volume 3")
        canvas.drawCentredString(297, 40, "Page 1")
        for n, lines in enumerate(columns):
            for at, line in enumerate(lines):
                canvas.drawString(40 + 175 * n, 700 - n - 11 * at, line)

    text = " ".join(read_document(write("a.pdf", make_pdf(draw))).text.split())
    assert " ".join(line for lines in columns for line in lines) in text
    assert text.startswith("Journal of tests Volume 3")
    assert text.endswith("Page 1")


def test_pdf_tables_of_different_columns_stay_apart(write: Write) -> None:
    first = [("Bill to", "Ship to"), ("Ada Lovelace", "Alan Turing"), ("London", "Leeds")]
    second = [("2", "Widget", "10.00"), ("10", "Screw", "2.50"), ("7", "Nail", "1.25")]

    def draw(canvas: Canvas) -> None:
        for at, row in enumerate(first):
            for x, text in zip((100, 330), row, strict=True):
                canvas.drawString(x, 700 - 14 * at, text)
        for at, row in enumerate(second):
            for x, text in zip((140, 240, 400), row, strict=True):
                canvas.drawString(x, 650 - 14 * at, text)

    text = read_document(write("a.pdf", make_pdf(draw))).text
    assert "| Bill to | Ship to |" in text
    assert "| 10 | Screw | 2.50 |" in text


def test_pdf_headings_by_font_size(write: Write) -> None:
    def draw(canvas: Canvas) -> None:
        for y, size, text in ((760, 22, "Annual report"), (720, 15, "Sales"), (500, 15, "Costs")):
            canvas.setFont("Helvetica-Bold", size)
            canvas.drawString(60, y, text)
        canvas.setFont("Helvetica", 10)
        for at in range(10):
            canvas.drawString(60, 700 - 12 * at, f"Sentence {at} of the body text runs across the page here.")

    document = read_document(write("a.pdf", make_pdf(draw)))
    assert document.title == "Annual report"
    assert re.findall(r"^#+ .*$", document.text, re.MULTILINE) == ["# Annual report", "## Sales", "## Costs"]


def test_pdf_rotated_page_reads_like_an_upright_one(write: Write) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.translate(595, 0)
        canvas.rotate(90)
        for at, row in enumerate([("Name", "Age"), ("Ada", "36"), ("Alan", "41"), ("Grace", "85")]):
            canvas.drawString(60, 500 - 15 * at, row[0])
            canvas.drawString(260, 500 - 15 * at, row[1])

    text = read_document(write("a.pdf", make_pdf(draw, rotate=90))).text
    assert "| Name | Age |" in text
    assert "| Alan | 41 |" in text


def test_pdf_hyphenated_words_are_put_together(write: Write) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.drawString(60, 700, "This line of the text runs up to its end and breaks one of its words, infor-")
        canvas.drawString(60, 687, "mation, in the middle.")

    assert "words, information, in the middle." in read_document(write("a.pdf", make_pdf(draw))).text


def test_pdf_truncated_tail_is_recovered_with_a_warning(write: Write) -> None:
    whole = bad_files.pdf_of("some words to find")
    try:
        document = read_document(write("a.pdf", whole[: whole.rindex(b"xref")]))
    except ReaderError as error:
        assert "damaged or truncated" in error.reason
    else:
        assert "some words" in document.text
        assert any("truncated" in warning for warning in document.warnings)


def test_pdfs_are_read_by_several_threads(write: Write) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = EXAMPLES / "handbook" / "employee-handbook.pdf"
    expected = read_document(path)
    with ThreadPoolExecutor(4) as pool:
        assert all(document == expected for document in pool.map(read_document, [path] * 12))


# -- Web, Word, PowerPoint, Excel --------------------------------------------------------------------------------------


def test_html_blocks(write: Write) -> None:
    source = """<!doctype html><html lang="en"><head><title>A  page</title><meta name="author" content="Ada">
    <style>p{}</style></head><body><nav><a href="/">Home</a></nav><h1>Main <em>title</em></h1>
    <p>One<br>two <b>bold</b> &amp; <code>code</code>.</p><ul><li>a<ul><li>deep</li></ul></li><li>b</li></ul>
    <ol><li>first</li><li>second</li></ol><script>alert(1)</script><pre>x = 1
y  = 2</pre><div>loose text</div></body></html>"""
    document = read_document(write("a.html", source))
    assert document.title == "A page"
    assert document.metadata == {"author": "Ada", "language": "en"}
    assert document.text == (
        "# Main title\n\nOne\ntwo bold & code.\n\n- a\n  - deep\n- b\n\n1. first\n2. second\n\n```\nx = 1\ny  = 2\n```"
        "\n\nloose text"
    )


def test_html_table_with_spans_and_pipes(write: Write) -> None:
    source = """<table><caption>Sizes</caption><tr><th rowspan=2>Name</th><th colspan=2>Size</th></tr>
    <tr><th>w</th><th>h</th></tr><tr><td>a|b</td><td>1<br>2</td><td><p>3</p><p>4</p></td></tr></table>"""
    text = read_document(write("a.html", source)).text
    assert text == ("Sizes\n\n| Name | Size |  |\n| --- | --- | --- |\n| Name | w | h |\n| a\\|b | 1 2 | 3 4 |")


def test_html_layout_table_keeps_all_text(write: Write) -> None:
    source = "<table><tr><td><h1>Head</h1><table><tr><td>a</td><td>b</td></tr></table></td><td>side</td></tr></table>"
    text = read_document(write("a.html", source)).text
    assert "# Head" in text
    assert "| a | b |" in text
    assert "side" in text


def test_html_of_navigation_only_is_kept(write: Write) -> None:
    assert "Menu of the day" in read_document(write("a.html", "<html><nav>Menu of the day</nav></html>")).text


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16"])
def test_html_declared_encodings(write: Write, encoding: str) -> None:
    source = f'<html><head><meta charset="{encoding}"></head><body><p>Crème brûlée</p></body></html>'
    assert read_document(write("a.html", source.encode(encoding))).text == "Crème brûlée"


def test_html_nested_very_deep(write: Write) -> None:
    assert "core" in read_document(write("a.html", "<div>" * 20_000 + "core")).text


def test_docx(write: Write) -> None:
    from docx import Document

    document = Document()
    document.core_properties.title = "A report"
    document.add_heading("Results", 1)
    document.add_paragraph("Plain words.")
    document.add_paragraph("point", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [*table.rows[0].cells, *table.rows[1].cells], ["Food", "kcal", "Corn\nflakes", "150"], strict=True
    ):
        cell.text = text
    out = io.BytesIO()
    document.save(out)
    read = read_document(write("a.docx", out.getvalue()))
    assert read.title == "A report"
    assert "# Results\n\nPlain words.\n\n- point" in read.text
    assert "| Food | kcal |\n| --- | --- |\n| Corn flakes | 150 |" in read.text


def test_pptx(write: Write) -> None:
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    deck = Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Plan"
    first.placeholders[1].text_frame.text = "one"
    first.placeholders[1].text_frame.add_paragraph().text = "two"
    first.notes_slide.notes_text_frame.text = "Say this aloud."
    deck.slides.add_slide(deck.slide_layouts[6])
    last = deck.slides.add_slide(deck.slide_layouts[6])
    table = last.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for at, text in enumerate(["Role", "Who", "Lead", "Ada"]):
        table.cell(at // 2, at % 2).text = text
    data = CategoryChartData()
    data.categories = ["Q1", "Q2"]
    data.add_series("Sales", (3, 5))
    last.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(3), Inches(4), Inches(3), data)
    out = io.BytesIO()
    deck.save(out)
    read = read_document(write("a.pptx", out.getvalue()))
    assert [page.number for page in read.pages] == [1, 2, 3]
    assert read.pages[0].label == "Plan"
    assert read.pages[0].text == "# Plan\n\n- one\n- two\n\nNotes:\n\nSay this aloud."
    assert read.warnings == ("slide 2 holds no text",)
    assert "| Role | Who |\n| --- | --- |\n| Lead | Ada |" in read.pages[2].text
    assert re.search(r"\| Q2 \| 5(\.0)? \|", read.pages[2].text)


def test_xlsx(write: Write) -> None:
    import datetime as dt

    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Ducks"
    for row in [
        ("Counts by year",),
        (),
        ("Year", "Freshwater", "When"),
        (2024, 180, dt.date(2024, 5, 1)),
        (2025, 0.5, None),
    ]:
        sheet.append(row)
    sheet["B6"] = "=SUM(B4:B5)"
    sheet["XFD1048576"] = "far away"
    book.create_sheet("Empty")
    out = io.BytesIO()
    book.save(out)
    started = time.monotonic()
    read = read_document(write("a.xlsx", out.getvalue()))
    assert time.monotonic() - started < 100
    assert [(page.number, page.label) for page in read.pages] == [(1, "Ducks"), (2, "Empty")]
    assert read.pages[0].text.startswith(
        "Counts by year\n\n| Year | Freshwater | When |\n| --- | --- | --- |\n"
        "| 2024 | 180 | 2024-05-01 |\n| 2025 | 0.5 |  |"
    )
    assert "=SUM(B4:B5)" in read.pages[0].text
    assert "sheet 2 (Empty) is empty" in read.warnings


# -- Text formats ------------------------------------------------------------------------------------------------------


def test_csv_rows_stay_in_column_order(write: Write) -> None:
    document = read_document(write("a.csv", 'Name,Company,Note\nRoy,"Murillo, Perry",a|b\nAnn,"Two\nlines",\n'))
    assert document.text == (
        "| Name | Company | Note |\n| --- | --- | --- |\n| Roy | Murillo, Perry | a\\|b |\n| Ann | Two lines |  |"
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_csv_delimiters(write: Write, delimiter: str, suffix: str) -> None:
    rows = [["City", "Price, net"], ["Graz", "1,5"], ["Leeds", "2,75"]]
    source = "\n".join(delimiter.join(f'"{cell}"' if delimiter == "," else cell for cell in row) for row in rows)
    assert "| Graz | 1,5 |" in read_document(write(f"a{suffix}", source)).text


def test_csv_of_uneven_rows_warns(write: Write) -> None:
    document = read_document(write("a.csv", "a,b\n1,2\n3\n"))
    assert document.warnings == ("rows differ in length (1 to 2 cells)",)


def test_json(write: Write) -> None:
    document = read_document(write("a.json", '{"title": "T", "tags": ["x", "y"], "inner": {"deep": [{"k": true}]}}'))
    assert document.title == "T"
    assert document.text == "- title: T\n- tags: x, y\n- inner:\n  - deep:\n    - k: true"


def test_jsonl_malformed_line_is_a_warning(write: Write) -> None:
    document = read_document(write("a.jsonl", '{"id": "a", "n": 1}\n{"id": \n\n{"id": "c", "n": 3}\n'))
    assert document.text == "## a\n\n- id: a\n- n: 1\n\n## c\n\n- id: c\n- n: 3"
    assert len(document.warnings) == 1
    assert document.warnings[0].startswith("line 2: ")


def test_jsonl_lone_surrogates_are_dropped(write: Write) -> None:
    text = read_document(write("a.jsonl", '{"a": "x\\ud800y"}')).text
    assert "x" in text
    assert text.encode("utf-8").decode("utf-8") == text


def test_markdown_front_matter(write: Write) -> None:
    document = read_document(write("a.md", "---\ntitle: My notes\ntags: [a, b]\n---\n# Heading\n\n```\n# code\n```\n"))
    assert document.title == "My notes"
    assert document.metadata["tags"] == "[a, b]"
    assert document.text.startswith("# Heading")


def test_epub_chapters_are_named(write: Write) -> None:
    document = read_document(EXAMPLES / "handbook" / "manager-guide.epub")
    assert [(page.number, page.label) for page in document.pages] == [
        (1, "Hiring"),
        (1, "Talks with your team"),
        (1, "Budgets"),
    ]
    assert document.metadata["author"] == "People team"


def test_email(write: Write) -> None:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message["From"] = "Ada <ada@example.org>"
    message["To"] = "bob@example.org"
    message["Date"] = "Mon, 07 Sep 2026 09:12:00 +0100"
    message.set_content("Hello Bob.\n\nSee you.")
    message.add_alternative("<p>Hello <b>HTML</b></p>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="plan.pdf")
    document = read_document(write("a.eml", message.as_bytes()))
    assert document.title == "Grüße"
    assert document.metadata["date"] == "2026-09-07T09:12:00+01:00"
    assert "Hello Bob.\n\nSee you." in document.text
    assert "HTML" not in document.text
    assert "Attachments: plan.pdf" in document.text
    assert document.warnings == ("attachment 'plan.pdf' was not read",)


def test_email_html_fallback(write: Write) -> None:
    source = b"Subject: Hi\nContent-Type: text/html; charset=iso-8859-1\n\n<h1>Caf\xe9</h1><p>body</p>"
    assert "# Café\n\nbody" in read_document(write("a.eml", source)).text


GERMAN = "Größe und Maß: äöü ÄÖÜ ß. Übermäßig schöne Grüße aus Österreich.\n"
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. Это обычный русский текст для проверки.\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (GERMAN, "utf-16"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-32"),
        (GERMAN, "cp1252"),
        ("Prix : 5 € – « déjà vu »\n", "cp1252"),
        (RUSSIAN * 4, "cp1251"),
        (RUSSIAN * 4, "koi8-r"),
        ("これは日本語の文章です。文字コードを調べるための例文です。\n" * 8, "shift_jis"),
    ],
)
def test_text_encodings(write: Write, text: str, encoding: str) -> None:
    assert read_document(write("a.txt", text.encode(encoding))).text == text


def test_text_with_null_bytes(write: Write) -> None:
    document = read_document(write("a.txt", b"some words\x00 of text\x00, and more of them"))
    assert document.text == "some words of text, and more of them"
    assert document.warnings == ("null bytes dropped",)


def test_text_with_a_few_broken_bytes_stays_utf8(write: Write) -> None:
    document = read_document(write("a.txt", ("Müller " * 100).encode() + b"\xff end"))
    assert document.text.startswith("Müller Müller")
    assert "broken UTF-8" in document.warnings[0]


def test_text_line_ends(write: Write) -> None:
    assert read_document(write("a.txt", b"a\r\nb\rc\x0cd")).text == "a\nb\nc\nd"


@pytest.mark.parametrize("name", ["notes.rst", "tool.py", "server.log", "conf.yaml", "Makefile", "paper.tex"])
def test_text_of_other_suffixes(write: Write, name: str) -> None:
    assert read_document(write(name, "key: value\n")).format == "text"


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".json", ".html", ".md"])
def test_single_line_of_many_megabytes(write: Write, suffix: str) -> None:
    # A tenth of the 200 MB that the readers are built for keeps the suite quick; both grow linearly.
    path = write(f"a{suffix}", b"word " * 4_000_000)
    tracemalloc.start()
    started = time.monotonic()
    try:
        if suffix == ".json":
            with pytest.raises(ReaderError, match="not valid JSON"):
                read_document(path)
        else:
            assert len(read_document(path).text) > 19_000_000
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 100


# -- Formats told by content -------------------------------------------------------------------------------------------


def test_content_decides_where_the_suffix_lies(write: Write) -> None:
    pdf = write("a.txt", bad_files.pdf_of("hello"))
    assert sniff_format(pdf) == "pdf"
    page = read_document(write("b.pdf", "<!DOCTYPE html><html><body><p>Not found</p></body></html>"))
    assert page.format == "html"
    assert "named .pdf but holds html" in page.warnings
    docx = write("c.xlsx", (EXAMPLES / "handbook" / "benefits.docx").read_bytes())
    assert read_document(docx).format == "docx"
    assert read_document(write("d.docx", "just words")).format == "text"
    assert read_document(write("e.txt", "A note on PDF: files begin with %PDF-1.7.")).format == "text"
    assert read_document(write("f", (EXAMPLES / "handbook" / "manager-guide.epub").read_bytes())).format == "epub"


def test_json_and_jsonl_under_each_others_names(write: Write) -> None:
    assert "n: 2" in read_document(write("a.json", '{"n": 1}\n{"n": 2}\n')).text
    assert "n: 2" in read_document(write("a.jsonl", '[\n  {"n": 1},\n  {"n": 2}\n]')).text


def test_every_format_has_a_reader() -> None:
    assert {sniff_format(path) for path in HANDBOOK} == set(READERS)
    assert {path.suffix for path in HANDBOOK} <= set(supported_suffixes())


# -- Bad files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(bad_files.BAD_FILES))
def test_bad_file_is_refused_with_its_reason(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, reason = bad_files.write_bad_file(kind, tmp_path)
    with pytest.raises(ReaderError) as caught:
        read_document(path)
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)
    assert caught.value.path == str(path)
    assert capfd.readouterr() == ("", "")  # libraries keep quiet


def test_unsupported_format_names_the_supported_ones(tmp_path: Path) -> None:
    path, _ = bad_files.write_bad_file("unknown binary", tmp_path)
    with pytest.raises(ReaderError, match=r"supported: .*\.pdf"):
        read_document(path)


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="is a directory"):
        read_document(tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="no such file"):
        read_document(tmp_path / "none.pdf")


def test_symlink_loop(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "b.txt")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    with pytest.raises(ReaderError, match="too many levels of symbolic links"):
        read_document(tmp_path / "a.txt")


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ReaderError, match="not a regular file"):
        read_document(tmp_path / "pipe.txt")


def test_name_too_long_or_with_a_null(tmp_path: Path) -> None:
    with pytest.raises(ReaderError):
        read_document(tmp_path / ("x" * 5000))
    with pytest.raises(ReaderError):
        read_document(tmp_path / "a\0b.txt")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "permission denied"),
        (FileNotFoundError(2, "No such file or directory"), "vanished while being read"),
        (OSError(5, "Input/output error"), "input/output error"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.pdf", "a.docx"])
def test_errors_of_the_disk(
    write: Write, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str, name: str
) -> None:
    content = {
        "a.txt": b"x",
        "a.pdf": bad_files.pdf_of("x"),
        "a.docx": (EXAMPLES / "handbook/benefits.docx").read_bytes(),
    }
    path = write(name, content[name])

    def refuse(self: Path) -> bytes:
        raise error

    # Raised between sniffing and reading; tests often run as root, whom permissions do not stop.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ReaderError) as caught:
        read_document(path)
    assert reason in caught.value.reason
    assert caught.value.__cause__ is error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(write: Write) -> None:
    path = write("a.txt", "secret")
    path.chmod(0)
    with pytest.raises(ReaderError, match="permission denied"):
        read_document(path)


def test_unexpected_library_errors_are_wrapped(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> ParsedDocument:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setitem(READERS, "text", broken)
    with pytest.raises(ReaderError, match="text reader failed: two lines") as caught:
        read_document(write("a.txt", "x"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    "path", [path for path in HANDBOOK if path.suffix in (".pdf", ".docx", ".pptx", ".xlsx", ".epub")]
)
def test_cut_and_bitten_files_raise_reader_errors_only(path: Path, tmp_path: Path) -> None:
    import random

    whole = path.read_bytes()
    chance = random.Random(path.name)
    for number in range(40):
        data = bytearray(whole[: chance.randrange(1, len(whole))] if number % 2 else whole)
        for _ in range(chance.randrange(1, 30)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        bitten = tmp_path / f"{number}{path.suffix}"
        bitten.write_bytes(data)
        try:
            read_document(bitten)
        except ReaderError as error:
            assert "\n" not in error.reason


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=400),
        st.builds(
            lambda head, tail: head + tail,
            st.sampled_from(
                [b"%PDF-1.4\n", b"PK\x03\x04", b"<html>", b"\xff\xfe", b"\xef\xbb\xbf", b"---\n", b"[", b"{"]
            ),
            st.binary(max_size=300),
        ),
        st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
    ),
    suffix=st.sampled_from([*supported_suffixes(), ".bin", ""]),
)
@example(data=b"\xff\xfe\x00", suffix=".csv")
@example(data=b'"\n"', suffix=".csv")
def test_arbitrary_bytes_raise_reader_errors_only(data: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data)
    try:
        document = read_document(path)
    except ReaderError as error:
        assert "\n" not in error.reason
    else:
        document.text.encode("utf-8")
        assert all("\n" not in warning for warning in document.warnings)
        assert "\x00" not in document.text


# -- The handbook ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", HANDBOOK, ids=lambda path: path.name)
def test_handbook_file_reads_cleanly(path: Path) -> None:
    document = read_document(path)
    assert path.stat().st_size < 60_000
    assert document.warnings in ((), ("encoding not declared: read as cp1252",))
    spans = list(document.page_spans())
    assert all(document.text[start:end] == page.text for start, end, page in spans)


def test_handbook_questions_are_answered_on_their_pages() -> None:
    documents = {path.name: read_document(path) for path in HANDBOOK}
    assert len(QUESTIONS) >= 25
    assert sum(not question["answerable"] for question in QUESTIONS) >= 4
    assert {question["file"] for question in QUESTIONS if question["answerable"]} == set(documents)
    for question in QUESTIONS:
        if not question["answerable"]:
            assert question["answers"] == []
            continue
        pages = {page.number: plain(page.text) for page in documents[question["file"]].pages}
        assert plain(question["evidence"]) in pages[question["page"]], question["id"]
        assert any(plain(answer) in pages[question["page"]] for answer in question["answers"]), question["id"]
