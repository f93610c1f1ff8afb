"""The report: what it says, what it refuses, and how it behaves in a browser.

The browser is Chromium: $CHROMIUM, or chromium, chromium-browser or google-chrome on the path. Where there is none, its
tests are skipped.
"""

from __future__ import annotations

import html
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ragloom.errors import UsageError
from ragloom.evals.report import render_report, write_report
from ragloom.evals.report.curves import gold_curve
from ragloom.evals.report.outcomes import is_right, outcome_of
from ragloom.evals.scoring import score_record, summarise

STRATEGIES = ("naive", "corrective", "closed-book")
SKILL = {"naive": 0.6, "corrective": 0.75, "closed-book": 0.25}
PEOPLE = ("Ada Moreau", "Noor Haddad", "Ivo Lindqvist", "Mei Tanaka", "Tomás Rojas", "Zuri Okafor")
PLACES = ("Lisbon", "Tromsø", "Kyoto", "Nairobi", "Quito", "Gdańsk")
HOSTILE = (
    "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    "<!-- <script> {{ 7 * 7 }} \u2028 <style>body{display:none}</style><a href='https://evil.example/'>x</a>"
)


# -- sample data ------------------------------------------------------------------------------------------------------


def passage(number: int) -> dict[str, Any]:
    person, place = PEOPLE[number % 6], PLACES[number // 6 % 6]
    text = (
        f"The {place} office opened in {1950 + number}. {person} has led it since {1980 + number}. "
        f"It keeps the archive of the northern line, with {100 + number} boxes of letters."
    )
    return {
        "id": f"p{number}#0",
        "source": f"p{number}",
        "page": 1 + number % 3,
        "title": f"{place} office",
        "text": text,
    }


def record(set_name: str, strategy: str, number: int, *, skill: float, size: int) -> dict[str, Any]:
    """One answer; the same arguments give the same one."""
    draw = random.Random(f"{set_name}{strategy}{number}{skill}")
    answerable = number % 5 != 4
    reads = strategy != "closed-book"
    ranks = [number, *draw.sample([n for n in range(size) if n != number], 4)]
    if draw.random() > skill:
        ranks = [*ranks[1:], size + number]
    draw.shuffle(ranks)
    documents = [passage(n) | {"score": round(0.9 - 0.1 * at, 3)} for at, n in enumerate(ranks)] if reads else []
    failed = "the model server did not answer within 60 s" if number % 17 == 3 and strategy == "corrective" else None
    abstained = not failed and draw.random() < (0.15 if answerable else skill)
    good = number if draw.random() < skill else number + 1
    sentences = [f"The office opened in {1950 + good}.", f"{PEOPLE[good % 6]} has led it since {1980 + good}."]
    answer = "I found nothing in the documents that supports an answer." if abstained else " ".join(sentences)
    cited = [item for item in documents if item["id"] == f"p{good}#0"] or documents[:1]
    citations = [
        {"sentence": sentence, "id": item["id"], "source": item["source"], "page": item["page"], "score": 0.8,
         "quote": item["text"].split(". ")[at] + "."}
        for item in cited
        for at, sentence in enumerate(sentences)
    ]  # fmt: skip
    steps = [{"node": "retrieve", "decision": "5 passages", "reason": "hybrid", "scores": {"p0": 0.9}}] if reads else []
    found: dict[str, Any] = {
        "set": set_name,
        "strategy": strategy,
        "id": f"q{number:03}",
        "question": f"When did the {PLACES[number // 6 % 6]} office no. {number} open?",
        "answers": [str(1950 + number)] if answerable else [],
        "gold": [f"p{number}"],
        "answerable": answerable,
        "answer": "" if failed else answer,
        "abstained": abstained,
        "citations": [] if failed or abstained else citations,
        "documents": [] if failed else documents,
        "steps": [] if failed else [*steps, {"node": "read", "decision": "2 sentences", "reason": "both supported"}],
        "calls": {"naive": 1, "corrective": 3, "closed-book": 1}[strategy],
        "tokens_in": {"naive": 900, "corrective": 1400, "closed-book": 60}[strategy] + draw.randrange(80),
        "tokens_out": 20 + draw.randrange(20),
        "failed": failed,
    }
    return found | {"metrics": score_record(found)}


def timing(item: dict[str, Any]) -> dict[str, Any]:
    draw = random.Random(item["strategy"] + item["id"])
    seconds = {"naive": 2.1, "corrective": 4.2, "closed-book": 0.6}[item["strategy"]] * draw.uniform(0.8, 1.4)
    ms = [round(seconds * 1000 / max(len(item["steps"]), 1), 1)] * len(item["steps"])
    key = {name: item[name] for name in ("set", "strategy", "id")}
    return key | {"seconds": seconds, "first_token_s": seconds / 2, "cached": item["id"] == "q001", "step_ms": ms}


def write_run(folder: Path, records: list[dict[str, Any]], **info: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    timings = [timing(item) for item in records]
    summaries = summarise(records, timings, llm="gguf:qwen", seed=0, baseline="naive")  # type: ignore[arg-type]
    (folder / "summary.json").write_text(json.dumps(summaries))
    (folder / "run.json").write_text(json.dumps(info))
    for name, rows in (("records", records), ("timings", timings)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def sample_records(sets: tuple[str, ...], size: int, **skill: float) -> list[dict[str, Any]]:
    skills = SKILL | {name.replace("_", "-"): value for name, value in skill.items()}
    return [
        record(name, strategy, number, skill=skills[strategy], size=size)
        for name in sets
        for strategy in STRATEGIES
        for number in range(size)
    ]


@dataclass(frozen=True)
class Sample:
    now: Path
    previous: Path
    hostile: str
    """Id of the question with markup everywhere."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Two sets of 60 questions, three strategies, and one hostile question; and a previous run that did worse."""
    folder = tmp_path_factory.mktemp("runs")
    records = sample_records(("handbook", "minutes & letters"), 60)
    bad = records[0]
    bad["question"] = f"What is {HOSTILE}?"
    bad["answers"] = [HOSTILE]
    bad["answer"], bad["abstained"] = f"It is {HOSTILE}.", False
    bad["documents"] = [
        {"id": HOSTILE, "source": HOSTILE, "page": 1, "title": HOSTILE, "score": 0.5, "text": HOSTILE * 2}
    ]
    bad["citations"] = [
        {"sentence": bad["answer"], "id": HOSTILE, "source": "", "page": 1, "quote": HOSTILE, "score": 1}
    ]
    bad["steps"] = [{"node": HOSTILE, "decision": HOSTILE, "reason": HOSTILE, "details": {HOSTILE: [HOSTILE]}}]
    bad["metrics"] = score_record(bad)
    info = {
        "sets": [{"name": "handbook", "n": 60, "sha256": "1f"}, {"name": "minutes & letters", "n": 60, "sha256": "2e"}],
        "strategies": [{"name": name, "options": {}} for name in STRATEGIES],
        "llm": "gguf:qwen2.5-1.5b-instruct-q4_k_m.gguf",
        "retrieval": {"mode": "hybrid", "top_k": 5},
        "seed": 0,
        "problems": ["questions.jsonl:7: no 'id'"],
        "created": "2026-11-21 10:00",
        "versions": {"ragloom": "0.1.0", "langgraph": "1.2.0"},
        "command": "ragloom eval answers handbook minutes --strategy naive,corrective,closed-book",
    }
    now = write_run(folder / "now", records, **info)
    earlier = sample_records(("handbook", "minutes & letters"), 58, corrective=0.4)
    previous = write_run(folder / "previous", earlier, **info | {"llm": "bundled:smollm2", "created": "2026-11-01"})
    return Sample(now, previous, bad["id"])


# -- what it says -----------------------------------------------------------------------------------------------------


def test_the_same_run_gives_the_same_file(sample: Sample, tmp_path: Path) -> None:
    target = write_report(sample.now, tmp_path / "deep" / "report.html", previous=sample.previous)
    assert target.read_text(encoding="utf-8") == render_report(sample.now, previous=sample.previous)
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_header_says_what_was_run_and_what_to_beware_of(sample: Sample) -> None:
    page = html.unescape(render_report(sample.now))
    for text in (
        "gguf:qwen2.5-1.5b",
        "2026-11-21 10:00",
        "mode hybrid, top_k 5",
        "ragloom 0.1.0, langgraph 1.2.0",
        "ragloom eval answers handbook minutes",
        "n = 60 is under 200",
        "handbook: answers failed and count as 0: corrective 4 of 60. Most frequent reason: the model server",
        "Sets: problem while reading: questions.jsonl:7: no 'id'",
        "answers came from the cache",
    ):
        assert text in page, text
    assert "Partial" not in page


def test_tables_hold_the_summary_with_intervals_and_marks(sample: Sample) -> None:
    page = render_report(sample.now)
    rows = {(row["set"], row["strategy"]): row for row in json.loads((sample.now / "summary.json").read_text())}
    for row in rows.values():
        assert f'data-value="{row["f1"]}"' in page
        low, high = row["ci95"]["f1"]
        assert f"{low:.3f} to {high:.3f}" in page
    worse = rows["handbook", "closed-book"]["versus_baseline"]["contains"]
    assert worse["high"] < 0
    assert re.search(rf'difference worse">.*▼</span> −{-worse["mean"]:.3f}<', page)


def test_previous_run(sample: Sample) -> None:
    page = html.unescape(render_report(sample.now, previous=sample.previous))
    assert "From right to wrong" in page
    assert "From wrong to right" in page
    assert "bundled:smollm2" in page
    assert "Answers without a counterpart in the previous run: 12." in page
    data = island(render_report(sample.now, previous=sample.previous))
    turned = [run["before"] for question in data["questions"] for run in question["runs"].values() if "before" in run]
    assert {item["better"] for item in turned} == {True, False}
    assert len(turned) == len(re.findall('<a href="#q=', page))


def test_a_run_beside_itself_has_not_changed(sample: Sample) -> None:
    page = render_report(sample.now, previous=sample.now)
    assert "From right to wrong (0)" in page
    assert "From wrong to right (0)" in page
    assert 'class="better"' not in page


def test_passages_are_stored_once(sample: Sample) -> None:
    data = island(render_report(sample.now))
    assert len({json.dumps(item) for item in data["passages"]}) == len(data["passages"])
    assert len(data["passages"]) <= 2 * 60 + 1


@pytest.mark.parametrize(
    ("changes", "outcome", "right"),
    [
        ({"metrics": {"contains": 1.0}}, "right", True),
        ({"metrics": {"contains": 0.0}}, "wrong", False),
        ({"metrics": {"contains": None}}, "unjudged", None),
        ({"abstained": True, "metrics": {"contains": 0.0}}, "abstained", False),
        ({"abstained": True, "answerable": False}, "abstained", True),
        ({"answerable": False}, "wrong", False),
        ({"failed": "timeout", "abstained": True, "answerable": False}, "failed", False),
    ],
)
def test_outcomes(changes: dict[str, Any], outcome: str, right: bool | None) -> None:
    item: Any = {"failed": None, "abstained": False, "answerable": True, "metrics": {}} | changes
    assert (outcome_of(item), is_right(item)) == (outcome, right)


def test_curves_count_gold_by_id_or_source() -> None:
    def read(*ids: str) -> Any:
        documents = [{"id": name, "source": f"source of {name}"} for name in ids]
        return {"answerable": True, "gold": ["a", "source of b"], "documents": documents}

    points = gold_curve([read("x", "a", "b"), read("b"), read()])
    assert [point["mean"] for point in points] == pytest.approx([1 / 6, 1 / 3, 1 / 2], abs=1e-4)
    assert all(point["low"] <= point["mean"] <= point["high"] for point in points)
    assert gold_curve([read()]) == []
    assert gold_curve([read("a") | {"gold": []}, read("a") | {"answerable": False}]) == []


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_run(tmp_path / "small", sample_records(("handbook",), 6), seed=0)


@pytest.mark.parametrize("name", ["records.jsonl", "summary.json"])
def test_missing_file_is_named(small: Path, name: str) -> None:
    (small / name).unlink()
    with pytest.raises(UsageError, match=f"has no {name}"):
        render_report(small)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run folder"):
        render_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"set": "handbook", "strat', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"set": "handbook"}', "no 'strategy'"),
        (None, "second time"),
        ({"documents": "all"}, "'documents' is 'all'"),
        ({"documents": [{"id": "a"}]}, "documents 1: no 'source'"),
        ({"steps": [7]}, "steps 1: not a JSON object"),
        ({"metrics": {"f1": "high"}}, "metric 'f1' is 'high'"),
        ({"answer": None}, "'answer' is None"),
        ({"tokens_in": None}, "'tokens_in' is None"),
    ],
)
def test_damaged_record_is_named_with_file_and_line(small: Path, line: Any, reason: str) -> None:
    path = small / "records.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = lines[3] if line is None else line if isinstance(line, str) else json.dumps(json.loads(lines[4]) | line)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UsageError) as caught:
        render_report(small)
    assert f"{path}:5: " in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[\n{]", "summary.json:2: not JSON"),
        ("{}", "1: not a list"),
        ("[3]", "summary 1: not"),
        ('[{"set": "a", "strategy": "b", "n": 1, "f1": "x"}]', "'f1' is 'x'"),
        ('[{"set": "a", "strategy": "b", "n": 1, "ci95": {"f1": [0]}}]', "interval of 'f1'"),
        ('[{"set": "a", "strategy": "b", "n": 1, "versus_baseline": {"f1": {"low": 0}}}]', "no 'mean'"),
    ],
)
def test_damaged_summary_is_named(small: Path, text: str, place: str) -> None:
    (small / "summary.json").write_text(text)
    with pytest.raises(UsageError, match=place):
        render_report(small)


def test_target_that_cannot_be_written(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_report(small, tmp_path)


def test_unfinished_run_is_shown_as_partial(small: Path) -> None:
    lines = (small / "records.jsonl").read_text().splitlines(keepends=True)
    (small / "records.jsonl").write_text("".join(lines[:-2]))
    assert "Partial: handbook / closed-book has 4 of 6 answers" in render_report(small)


def test_run_that_still_goes_on_says_how_to_finish_it(small: Path) -> None:
    (small / "records.jsonl").rename(small / "partial.jsonl")
    with pytest.raises(UsageError, match="the same command goes on"):
        render_report(small)


def test_fewer_answers_than_were_asked_for(small: Path) -> None:
    (small / "run.json").write_text(json.dumps({"sets": [{"name": "handbook", "n": 9}], "strategies": 3}))
    assert "Partial: handbook / naive has 6 of 9 answers" in render_report(small)


def test_bare_run_folder(small: Path) -> None:
    """Without run.json and timings, with numbers that JSON does not know, and with half a surrogate pair."""
    (small / "run.json").unlink()
    (small / "timings.jsonl").unlink()
    text = (small / "records.jsonl").read_text().replace('"score": 0.9', '"score": NaN').replace("office", "\\ud800")
    (small / "records.jsonl").write_text(text)
    summaries = [{"set": "handbook", "strategy": name, "n": 6} for name in STRATEGIES]
    (small / "summary.json").write_text(json.dumps(summaries))
    page = write_report(small, small / "report.html").read_text(encoding="utf-8")
    assert "how this run was made is not known" in page
    assert "no timings" in page
    assert "NaN" not in json.dumps(island(page))


# -- safety -----------------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Start tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def island(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def assert_inert(page: str) -> None:
    elements = Elements(page).found
    tags = [tag for tag, _ in elements]
    assert tags.count("script") == 2
    assert "img" not in tags
    for tag, attributes in elements:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "action", "srcset"):
            value = attributes.get(name) or ""
            assert not value or value.startswith(("#", "data:")), (tag, name, value)


def test_page_holds_no_foreign_markup_and_no_address(sample: Sample) -> None:
    page = render_report(sample.now, previous=sample.previous)
    assert_inert(page)
    data = island(page)
    assert any(item["text"] == HOSTILE * 2 for item in data["passages"])
    assert page.startswith("<!doctype html>")
    policy = next(item["content"] for tag, item in Elements(page).found if item.get("http-equiv"))
    assert policy and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


# -- in a browser -----------------------------------------------------------------------------------------------------


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


class Browser:
    """Headless Chromium: opens a file, and gives what the page became and what its console said."""

    def __init__(self, program: str, profile: Path) -> None:
        self.base = [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        self.base += [f"--user-data-dir={profile}", "--enable-logging=stderr", "--hide-scrollbars"]
        # Any request would have to go through a proxy that is not there.
        self.base += ["--proxy-server=127.0.0.1:9", "--no-first-run", "--disable-background-networking"]

    def dom(self, page: Path, address: str = "", *options: str) -> tuple[str, list[str]]:
        done = self._run("--dump-dom", *options, f"{page.as_uri()}{address}")
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, console

    def picture(self, page: Path, target: Path, *options: str) -> bytes:
        self._run(f"--screenshot={target}", *options, page.as_uri())
        return target.read_bytes()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*self.base, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium: install chromium, or set CHROMIUM")
    return Browser(program, tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def report(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield write_report(sample.now, tmp_path_factory.mktemp("report") / "report.html", previous=sample.previous)


def test_browser_draws_the_charts(browser: Browser, report: Path) -> None:
    page, console = browser.dom(report)
    assert console == []
    assert 'data-ready="true"' in page
    elements = Elements(page).found
    marks = [
        item["data-strategy"] for tag, item in elements if tag == "g" and (item.get("class") or "").startswith("mark")
    ]
    assert sorted(marks) == sorted([*STRATEGIES] * 4)  # two sets, against time and against cost
    curves = [item["data-strategy"] for tag, item in elements if (item.get("class") or "").startswith("curve")]
    assert sorted(map(str, curves)) == ["corrective", "corrective", "naive", "naive"]
    bars = [item["data-strategy"] for tag, item in elements if item.get("class") == "bar"]
    assert sorted(map(str, bars)) == sorted([*STRATEGIES] * 4)  # answerable and unanswerable
    openers = [item for _, item in elements if item.get("class") == "opener"]
    assert len(openers) == 50
    assert len([tag for tag, _ in elements if tag == "button"]) > 50 + 30  # the tables' headings became buttons


def test_browser_opens_the_question_of_the_address(browser: Browser, report: Path) -> None:
    page, console = browser.dom(report, "#q=q059&set=minutes+%26+letters")
    assert console == []
    opened = page[page.index('class="detail"') :]
    for strategy in STRATEGIES:
        assert re.search(rf'<article class="card s\d" data-strategy="{strategy}"', opened)
    assert "none: the question cannot be answered" in opened
    assert "No passages." in opened
    assert "5 passages" in opened
    assert page.count('class="opener" aria-expanded="true"') == 1
    page, _ = browser.dom(report, "#q=q000&set=minutes+%26+letters")
    opened = page[page.index('class="detail"') :]
    assert '<span class="chip gold">gold</span>' in opened
    assert '<button type="button" class="cite"' in opened
    assert re.search(r"<mark>The \w+ office opened in \d+\.</mark> <mark>\w+ \w+ has led it since", opened)
    assert re.search(r"<strong>retrieve</strong> 5 passages<small> \d", opened)


@pytest.mark.parametrize(
    ("address", "has"),
    [
        ("#outcome=failed", lambda runs: "failed" in runs.values()),
        ("#strategy=naive&outcome=abstained&set=handbook", lambda runs: runs["naive"] == "abstained"),
        ("#text=tromsø+no.+7", lambda runs: True),
        ("#outcome=won&strategy=corrective", lambda runs: runs["corrective"] in ("right", "abstained")),
    ],
)
def test_browser_filters(browser: Browser, report: Path, address: str, has: Any) -> None:
    page, console = browser.dom(report, address)
    assert console == []
    items = re.findall(r'<button type="button" class="opener".*?</button>', page, re.DOTALL)
    assert 0 < len(items) <= 50
    for item in items:
        assert has(dict(re.findall(r'<span>([\w-]+) <span class="chip (\w+)">', item))), item


def test_browser_keeps_hostile_text_inert(browser: Browser, report: Path, sample: Sample) -> None:
    page, console = browser.dom(report, f"#q={sample.hostile}&set=handbook")
    assert console == []
    assert "<title>Answers: handbook, minutes &amp; letters</title>" in page
    assert 'class="detail"' in page
    assert_inert(page)
    opened = html.unescape(page[page.index('class="detail"') :])
    assert opened.count(HOSTILE) >= 4  # answer, title, text and steps show it as text


def test_policy_holds_where_escaping_would_not(browser: Browser, report: Path, tmp_path: Path) -> None:
    """The second wall alone: markup that is put into the page by hand runs nothing and asks for nothing."""
    text = report.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    change = "document.title='pwned'"
    attack = f"<script>{change}</script><img src='https://evil.example/x' onerror=\"{change}\">"
    broken.write_text(text.replace("<main>", f"<main>{attack}"), encoding="utf-8")
    page, console = browser.dom(broken)
    assert "<title>Answers: handbook" in page
    assert len([line for line in console if "Content Security Policy" in line]) >= 2
    assert 'data-ready="true"' in page


def test_browser_answers_to_hands(browser: Browser, report: Path, tmp_path: Path) -> None:
    """What a person does, done by a script that the policy would not let in: it is taken off for this test."""
    steps = """
    const [table] = document.querySelectorAll("table.sortable");
    const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].firstChild.textContent).join(" ");
    const seen = [names()];
    const heading = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === "contains");
    for (const _ of [1, 2]) { heading.firstChild.click(); seen.push(`${heading.ariaSort} ${names()}`); }
    const cite = document.querySelector('.card[data-strategy="corrective"] .cite');
    cite.click();
    seen.push(document.querySelector("details.passage[open] .gold").textContent);
    const plot = () => document.querySelector(".chart svg").getAttribute("aria-label").split(" against")[0];
    const [metric] = document.querySelectorAll("select");
    seen.push(plot());
    metric.value = "contains";
    metric.dispatchEvent(new Event("change"));
    seen.push(plot());
    const search = document.querySelector("input[type=search]");
    search.value = "kyoto";
    search.dispatchEvent(new Event("input"));
    seen.push(location.hash, document.querySelector("[role=status]").textContent);
    document.title = seen.join(" | ");
    """
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.read_text(encoding="utf-8"))
    by_hand = tmp_path / "by_hand.html"
    by_hand.write_text(text.replace("</body>", f"<script>{steps}</script></body>"), encoding="utf-8")
    page, console = browser.dom(by_hand, "#q=q006&set=handbook")
    assert console == []
    title = re.search("<title>(.*?)</title>", page)
    assert title
    assert html.unescape(title[1]).split(" | ") == [
        "naive corrective closed-book",
        "descending corrective naive closed-book",
        "ascending closed-book naive corrective",
        "gold",
        "f1",
        "contains",
        "#set=handbook&text=kyoto",
        "12 of 120 questions",
    ]


@pytest.mark.parametrize("size", ["1280,1600", "390,1600"])
def test_browser_paints_it(browser: Browser, report: Path, tmp_path: Path, size: str) -> None:
    picture = browser.picture(report, tmp_path / "page.png", f"--window-size={size}")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
