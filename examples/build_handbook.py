"""Builds the binary files of `examples/handbook`, the same bytes on every run.

    pip install reportlab python-docx python-pptx openpyxl
    python examples/build_handbook.py

The text files of the handbook (Markdown, HTML, CSV, JSON, e-mail) are written by hand and lie there as they are.
Larkfield Instruments, its people and its rules are invented.
"""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from pathlib import Path

HANDBOOK = Path(__file__).parent / "handbook"
WHEN = dt.datetime(2026, 3, 2, 9, 0, 0)

LEAVE = [
    ["Country", "Annual leave", "Carried over", "Sick pay", "Parental leave"],
    ["United Kingdom", "27 days", "5 days", "12 weeks", "20 weeks"],
    ["Austria", "30 days", "10 days", "10 weeks", "26 weeks"],
    ["Portugal", "25 days", "4 days", "8 weeks", "22 weeks"],
    ["Canada", "22 days", "3 days", "6 weeks", "18 weeks"],
    ["Estonia", "28 days", "7 days", "8 weeks", "24 weeks"],
]
EXPENSES = [
    ["Item", "UK", "Austria", "Portugal", "Canada"],
    ["Breakfast", "GBP 12", "EUR 13", "EUR 9", "CAD 18"],
    ["Lunch", "GBP 18", "EUR 19", "EUR 15", "CAD 26"],
    ["Dinner", "GBP 34", "EUR 37", "EUR 28", "CAD 52"],
    ["Taxi, each trip", "GBP 40", "EUR 45", "EUR 30", "CAD 60"],
    ["Client gift, each year", "GBP 75", "EUR 80", "EUR 80", "CAD 110"],
]
HOTELS = [
    ["City", "Limit per night", "Preferred hotel"],
    ["London", "GBP 190", "The Larch House"],
    ["Vienna", "EUR 165", "Hotel Donaublick"],
    ["Lisbon", "EUR 140", "Pensão Estrela"],
    ["Toronto", "CAD 240", "Queen Street Inn"],
    ["Tallinn", "EUR 115", "Hotel Kalamaja"],
]
TRAINS = [
    ["Journey", "Class", "Book ahead"],
    ["Under 3 hours", "Second", "2 days"],
    ["3 to 6 hours", "First", "7 days"],
    ["Over 6 hours", "First or sleeper", "14 days"],
]
HEADINGS = {"h1": 20, "h2": 14}


def main() -> None:
    """Writes every binary file of the handbook."""
    HANDBOOK.mkdir(exist_ok=True)
    (HANDBOOK / "employee-handbook.pdf").write_bytes(employee_handbook())
    (HANDBOOK / "travel-policy.pdf").write_bytes(travel_policy())
    (HANDBOOK / "benefits.docx").write_bytes(benefits())
    (HANDBOOK / "incident-process.pptx").write_bytes(incident_process())
    (HANDBOOK / "equipment.xlsx").write_bytes(equipment())
    (HANDBOOK / "manager-guide.epub").write_bytes(manager_guide())
    (HANDBOOK / "canteen-leeds.txt").write_bytes(CANTEEN.encode("cp1252"))


CANTEEN = """LARKFIELD CANTEEN, LEEDS

The canteen is open from 11:45 to 14:15, Monday to Friday. Chef: Amélie Fournier.

Prices
  Dish of the day      £4.80
  Vegetarian dish      £4.20
  Soup and bread       £2.60
  Crème brûlée         £1.90
  Café au lait         £1.40

Guests pay £2.00 more for each dish. Payment is by badge only – no cash.
On Fridays there is fish. On the last Friday of each month there is a “world kitchen” with dishes from one country.
Allergies: please tell the kitchen one day ahead at canteen@larkfield.example.
"""


def employee_handbook() -> bytes:
    """Several pages: prose, a table with rules, and one without."""
    from reportlab.lib import colors
    from reportlab.platypus import PageBreak, Table, TableStyle

    ruled = TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("FONTSIZE", (0, 0), (-1, -1), 9)])
    open_ = TableStyle([("FONTSIZE", (0, 0), (-1, -1), 9), ("LEFTPADDING", (0, 0), (-1, -1), 14)])
    story = [
        *_text(
            "h1:Employee handbook",
            "This handbook holds the rules of work at Larkfield Instruments. It is valid for all offices from 1 "
            "January 2026. Larkfield builds weather sensors for farms, airports and harbours. The company was "
            "founded in Leeds in 2009 by Ines Carvalho and Robert Larkfield. It has 243 employees in five countries.",
            "h2:Working time",
            "The working week has 37.5 hours. The core hours are from 10:00 to 15:00 local time. Meetings take place"
            " within the core hours. Overtime is agreed with the manager beforehand and is taken back as free time "
            "within three months.",
            "h2:Working from home",
            "Everybody may work from home on up to three days a week. Colleagues in the laboratory agree their days "
            "with the laboratory lead. Work from another country is possible for up to 20 working days a year and "
            "needs the consent of the People team.",
        ),
        PageBreak(),
        *_text(
            "h2:Leave",
            "The table shows the days of annual leave and the other kinds of leave in each country. Leave is asked "
            "for in the tool Timely, at least two weeks ahead. Leave that is carried over must be taken by 31 March.",
        ),
        Table(LEAVE, style=ruled, hAlign="LEFT"),
        *_text(
            "A sick note is needed from the fourth day of sickness. A colleague who falls ill calls the manager before "
            "10:00.",
            "h2:Special leave",
            "There are three paid days for a wedding, five paid days after the death of a close relative and one paid "
            "day for moving house. After five years of service there is a paid sabbatical of four weeks.",
        ),
        PageBreak(),
        *_text(
            "h2:Expenses",
            "Expenses are claimed in the tool Pennywise within 30 days. A receipt is needed for every amount above 10 "
            "euros. The limits below hold for one person and one day. Finance pays claims every second Thursday.",
        ),
        Table(EXPENSES, style=open_, hAlign="LEFT"),
        *_text(
            "Alcohol is not paid for. Claims above 500 euros need the consent of the head of department. The finance "
            "desk is led by Beatriz Nunes.",
            "h2:Mileage",
            "A private car is paid at 0.42 euros per kilometre. A bicycle is paid at 0.20 euros per kilometre.",
        ),
        PageBreak(),
        *_text(
            "h2:Conduct",
            "We treat each other with respect. Complaints go to the ombudsperson, Leonor Pinto, who does not report to "
            "management. She answers within three working days. Gifts from suppliers above 50 euros are refused.",
            "h2:Leaving the company",
            "The notice period is one month in the first two years and three months afterwards. The laptop is "
            "returned on the last day. A letter of reference is written within 14 days.",
        ),
    ]
    return _pdf(story, "Employee handbook", "People team")


def travel_policy() -> bytes:
    """A page in two columns, and a page of tables."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import BaseDocTemplate, Frame, NextPageTemplate, PageBreak, PageTemplate, Table, TableStyle

    width, height = A4
    columns = [Frame(at, 60, 225, height - 120, leftPadding=0, rightPadding=0) for at in (60, 310)]
    whole = [Frame(60, 60, width - 120, height - 120, leftPadding=0, rightPadding=0)]
    ruled = TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("FONTSIZE", (0, 0), (-1, -1), 9)])
    lined = TableStyle([("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black), ("FONTSIZE", (0, 0), (-1, -1), 9)])
    story = [
        NextPageTemplate("whole"),
        *_text(
            "h1:Travel policy",
            "We travel when a talk in person is worth the time and the carbon. Video calls come first. Every trip "
            "has a purpose that is written into the request. The request is approved by the manager within two "
            "working days. Trips outside Europe and Canada are approved by the head of department as well.",
            "h2:Booking",
            "All trips are booked with the agency Northgate Travel. Its telephone line is staffed from 06:00 to "
            "23:00. Bookings made elsewhere are not paid back, unless the agency had no offer. Flights are booked at"
            " least 14 days ahead. Flights under six hours are in economy class. Flights over six hours may be in "
            "premium economy. Business class needs the consent of the finance director.",
            "h2:Trains before planes",
            "Journeys of less than five hours are made by train. A flight on such a journey is paid only for reasons"
            " of health or safety. Rail cards are paid by the company for colleagues who travel more than eight "
            "times a year. Seats are reserved on every train that takes reservations.",
            "h2:Safety",
            "Before a trip, everybody registers in the app Safepath. The emergency number for travellers is "
            "extension 9000 and is answered day and night. Travel insurance is included for every business trip and "
            "covers up to seven private days added to it. Colleagues do not drive after a flight of more than five "
            "hours. They stay a night at the hotel or take a taxi. Rental cars are of the compact class or smaller, "
            "and electric where the agency offers one. Fines for parking and speeding are paid by the driver.",
            "h2:Time and rest",
            "Travel time on working days counts as working time. After a return later than 22:00, work starts at "
            "11:00 on the next day. A trip that takes a whole weekend day earns one free day, to be taken within six"
            " weeks. Trips do not begin on public holidays unless the traveller wishes it. Parents of children under"
            " three years may refuse overnight trips without giving a reason. Nobody travels more than sixty nights "
            "a year.",
            "h2:After the trip",
            "The traveller writes a short note on the outcome within one week. Receipts are handed in within 30 days. "
            "Carbon is counted by the agency and published every quarter. In 2025 the company caused 412 tonnes.",
        ),
        PageBreak(),
        *_text("h2:Hotels", "The limit holds for one night with breakfast. Higher prices need consent beforehand."),
        Table(HOTELS, style=ruled, hAlign="LEFT"),
        *_text("h2:Trains", "The class of a train depends on the length of the journey."),
        Table(TRAINS, style=lined, hAlign="LEFT", colWidths=[150, 150, 100]),
        *_text("Questions go to travel@larkfield.example. The owner of this policy is Beatriz Nunes."),
    ]
    return _pdf(
        story,
        "Travel policy",
        "Finance desk",
        template=BaseDocTemplate,
        pages=[PageTemplate("columns", columns), PageTemplate("whole", whole)],
    )


def _text(*paragraphs: str) -> list[object]:
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    body = ParagraphStyle("body", fontName="Helvetica", fontSize=10, leading=13, spaceAfter=8, spaceBefore=4)
    found = []
    for text in paragraphs:
        name, _, rest = text.partition(":")
        if name in HEADINGS:
            size = HEADINGS[name]
            style = ParagraphStyle(name, parent=body, fontName="Helvetica-Bold", fontSize=size, leading=size * 1.3)
            found.append(Paragraph(rest, style))
        else:
            found.append(Paragraph(text, body))
    return found


def _pdf(
    story: list[object], title: str, author: str, *, template: type | None = None, pages: list[object] | None = None
) -> bytes:
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import SimpleDocTemplate

    out = io.BytesIO()
    make = template or SimpleDocTemplate
    document = make(out, pagesize=A4, title=title, author=author, invariant=1)
    if pages:
        document.addPageTemplates(pages)
    document.build(story)
    return out.getvalue()


def benefits() -> bytes:
    """A Word document with headings, a list and a table."""
    from docx import Document

    document = Document()
    document.core_properties.title = "Benefits"
    document.core_properties.author = "People team"
    document.core_properties.created = document.core_properties.modified = WHEN
    document.add_heading("Benefits", 0)
    document.add_paragraph("All benefits begin on the first day of work unless the table says otherwise.")
    document.add_heading("Overview", 1)
    rows = [
        ("Benefit", "What the company pays", "Starts"),
        ("Pension", "8 percent of salary", "After 3 months"),
        ("Health insurance", "Full premium for the employee, half for the family", "First day"),
        ("Gym", "25 euros a month", "First day"),
        ("Public transport", "Full price of the yearly ticket", "After 6 months"),
        ("Training budget", "1,400 euros a year", "First day"),
        ("Glasses for screen work", "150 euros every two years", "After 6 months"),
    ]
    table = document.add_table(rows=0, cols=3)
    table.style = "Table Grid"
    for row in rows:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_heading("Training", 1)
    document.add_paragraph(
        "The training budget may be saved for one year. Five days a year are free for training. Language courses in "
        "the language of the office do not count against the budget."
    )
    document.add_heading("Bonus", 1)
    document.add_paragraph("The bonus depends on three things:")
    for text in (
        "the profit of the company (50 percent)",
        "the goals of the team (30 percent)",
        "own goals (20 percent)",
    ):
        document.add_paragraph(text, style="List Bullet")
    document.add_paragraph(
        "The bonus is paid with the April salary. A friend who is hired earns the referrer 1,800 euros."
    )
    out = io.BytesIO()
    document.save(out)
    return _same_zip(out.getvalue())


def incident_process() -> bytes:
    """Slides with bullets, a table and notes."""
    from pptx import Presentation
    from pptx.util import Inches

    deck = Presentation()
    deck.core_properties.title = "Incident process"
    deck.core_properties.author = "Marek Dudek"
    deck.core_properties.created = deck.core_properties.modified = WHEN
    slides = [
        ("Incident process", ["How Larkfield handles failures of the cloud service", "Owner: Marek Dudek"], ""),
        (
            "Five steps",
            [
                "Detect: the pager or a customer reports the failure",
                "Declare: the primary opens a channel named after the date",
                "Contain: stop the damage first, search for the cause later",
                "Repair: two people review every change",
                "Learn: the review takes place within five working days",
            ],
            "Remind the audience that reviews are blameless. The template for reviews is document INC-12.",
        ),
    ]
    for title, lines, notes in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        frame = slide.placeholders[1].text_frame
        frame.text = lines[0]
        for line in lines[1:]:
            frame.add_paragraph().text = line
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Roles"
    rows = [
        ("Role", "Who", "Task"),
        ("Incident lead", "Primary on call", "Decides and keeps the clock"),
        ("Scribe", "Secondary on call", "Writes the timeline"),
        ("Voice", "Customer support", "Informs customers every 30 minutes"),
    ]
    table = slide.shapes.add_table(len(rows), 3, Inches(0.5), Inches(1.8), Inches(9), Inches(2)).table
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            table.cell(r, c).text = text
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Numbers of 2025"
    frame = slide.placeholders[1].text_frame
    frame.text = "There were 37 incidents, 4 of them SEV1"
    for line in ("The median time to repair was 48 minutes", "The longest failure lasted 6 hours and 10 minutes"):
        frame.add_paragraph().text = line
    out = io.BytesIO()
    deck.save(out)
    return _same_zip(out.getvalue())


def equipment() -> bytes:
    """A workbook with three sheets."""
    from openpyxl import Workbook

    book = Workbook()
    book.properties.title = "Equipment catalogue"
    book.properties.creator = "IT"
    book.properties.created = book.properties.modified = WHEN
    sheets = {
        "Laptops": [
            ("Standard laptops 2026",),
            (),
            ("Model", "For", "Memory (GB)", "Price (EUR)", "Replaced after (years)"),
            ("Kestrel 13", "Office work", 16, 1180, 4),
            ("Kestrel 15", "Engineering", 32, 1740, 3),
            ("Osprey 16", "Data science", 64, 2890, 3),
        ],
        "Phones": [
            ("Model", "For", "Price (EUR)", "Stock"),
            ("Wren 5", "Everybody", 310, 46),
            ("Wren 5 Pro", "Field service", 540, 18),
        ],
        "Meeting rooms": [
            ("Room", "Office", "Seats", "Video", "Booked by"),
            ("Barometer", "Leeds", 12, "yes", "app"),
            ("Anemometer", "Leeds", 6, "yes", "app"),
            ("Föhn", "Graz", 10, "yes", "app"),
            ("Nortada", "Lisbon", 8, "no", "reception"),
            ("Nor'easter", "Halifax", 4, "yes", "app"),
        ],
    }
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return _same_zip(out.getvalue())


def manager_guide() -> bytes:
    """A small book of three chapters."""
    chapters = [
        (
            "Hiring",
            "<p>Every open position is approved by the finance director. An interview round has three talks: with "
            "the manager, with the team and with the People team. Candidates receive an answer within six working "
            "days. The hiring panel has at least three people. Interview notes are deleted after six months.</p>",
        ),
        (
            "Talks with your team",
            "<p>Managers hold a talk with each team member every two weeks. A yearly talk in November sets goals and"
            " salary. Salaries are reviewed once a year and change in January. A manager leads at most nine "
            "people.</p><table><tr><th>Talk</th><th>How often</th><th>Length</th></tr><tr><td>One to "
            "one</td><td>Every two weeks</td><td>30 minutes</td></tr><tr><td>Yearly talk</td><td>Every "
            "November</td><td>90 minutes</td></tr></table>",
        ),
        (
            "Budgets",
            "<p>Each team has a budget for events of 60 euros per person and quarter. A manager signs orders up to "
            "2,500 euros. A head of department signs orders up to 20,000 euros. Larger orders are signed by two "
            "directors.</p>",
        ),
    ]
    page = (
        '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><head><title>{title}</title>'
        "</head><body><h1>{title}</h1>{body}</body></html>"
    )
    items = "".join(
        f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(1, len(chapters) + 1)
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(1, len(chapters) + 1))
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<?xml version="1.0"?><container version="1.0" '
        'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="book/package.opf" '
        'media-type="application/oebps-package+xml"/></rootfiles></container>',
        "book/package.opf": '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" '
        'unique-identifier="id"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">larkfield'
        "-managers</dc:identifier><dc:title>Guide for managers</dc:title><dc:creator>People team</dc:creator>"
        f"<dc:language>en</dc:language></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for number, (title, body) in enumerate(chapters, start=1):
        files[f"book/c{number}.xhtml"] = page.format(title=title, body=body)
    return _zip({name: text.encode() for name, text in files.items()})


def _same_zip(data: bytes) -> bytes:
    """A zip file with its members' dates fixed, so that equal content makes equal bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return _zip({name: archive.read(name) for name in archive.namelist()})


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            kind = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            if name == "docProps/core.xml":
                content = _dated(content)
            archive.writestr(zipfile.ZipInfo(name, (2026, 3, 2, 9, 0, 0)), content, kind)
    return out.getvalue()


def _dated(core: bytes) -> bytes:
    """Core properties with the date of change fixed: openpyxl writes the time of saving."""
    import re

    stamp = WHEN.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    return re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, core)


if __name__ == "__main__":
    main()
