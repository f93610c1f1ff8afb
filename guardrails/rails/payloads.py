"""Payloads in prose: SQL, shell, Python and template injections, as an application would run them by mistake.

The classes are those of NeMo Guardrails' YARA rules (`injection_detection`: sqli, code, template). Those fire on words:
"create" with a semicolon after it, "import" with "os" anywhere, any pair of double braces. These ask for what makes a
payload: a statement that breaks out of another one, a call that runs, an expression that reaches into objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ("find_payloads",)

# (class, words of which one must stand in the text in lower case, pattern). Repetitions are bounded, or what repeats
# cannot be read in two ways: every pattern is linear.
_ROWS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "SQL",
        ("drop", "truncate", "alter", "delete", "insert", "update", "exec", "shutdown"),
        r"['\")\d;]\s{0,3};\s{0,5}(?:(?:drop|truncate|alter)\s{1,3}(?:table|database|schema|user|view|index)\b"
        r"|delete\s{1,3}from\s{1,3}[\w.]{1,60}\s{0,3}(?:where\b|;|--|$)"
        r"|insert\s{1,3}into\s{1,3}[\w.]{1,60}\s{0,3}(?:\(|values\b|select\b)"
        r"|update\s{1,3}[\w.]{1,60}\s{1,3}set\s{1,3}\w{1,60}\s{0,3}=|exec(?:ute)?\s{1,3}(?:xp_|sp_|master\b|immediate\b)"
        r"|shutdown\s{0,3}(?:;|--|$))[^\n;]{0,200}+;?(?:\s{0,3}--[^\n]{0,100})?",
    ),
    ("SQL", ("union",), r"['\")\d]\s{1,3}union\s{1,3}(?:all\s{1,3})?select\b[^\n;]{0,200}+"),
    (
        "SQL",
        ("or", "and", "||"),
        r"['\"]\)?\s{0,3}(?:\bor\b|\band\b|\|\|)\s{0,3}(['\"]?)(\w{1,20})\1\s{0,3}=\s{0,3}['\"]?\2\b['\"]?"
        r"(?:\s{0,3}(?:--|#|/\*)[^\n]{0,100})?",
    ),
    (
        "SQL",
        ("xp_cmdshell", "pg_sleep", "waitfor", "benchmark(", "outfile", "load_file", "utl_http"),
        r"\bxp_cmdshell\s{1,3}'|\bpg_sleep\s?\(\d|\bwaitfor\s{1,3}delay\s{1,3}'|\bbenchmark\(\d{4,}"
        r"|\binto\s{1,3}outfile\s{1,3}'|\bload_file\s?\('|\butl_http\.request\s?\('",
    ),
    (
        "shell",
        ("rm ", "curl", "wget", "/dev/", "nc ", "powershell", "mkfs", "/etc/", ":|:", "base64", "$("),
        r"\brm\s{1,3}(?:--?[\w-]{1,20}\s{1,3}){1,3}"
        r"(?:/(?:bin|boot|dev|etc|home|lib|opt|root|sbin|sys|usr|var)?/?\*?|~/?\*?|\*|\$HOME/?\*?)(?=[\s;&|\"'`)]|$)"
        r"|\b(?:curl|wget)\s[^\n|;]{1,300}+\|\s{0,3}(?:sudo\s{1,3})?(?:ba|z|da|k)?sh\b"
        r"|\$\(\s{0,3}(?:curl|wget|nc|bash|sh|cat|id|whoami)\b[^)\n]{0,200}+\)?"
        r"|(?:;|&&|\|)\s{0,3}(?:cat|less|head|tail|cp|curl)\s[^\n;|]{0,100}/etc/(?:passwd|shadow)"
        r"|>&?\s{0,3}/dev/(?:tcp|udp)/[^\s]{1,100}+|\bnc\s[^\n;|]{0,80}\s-e\s{0,3}/?[\w/]{1,40}+"
        r"|\bpowershell(?:\.exe)?\s[^\n]{0,80}-e(?:nc|ncodedcommand)?\s{1,3}[A-Za-z0-9+/=]{16,}+"
        r"|\bmkfs(?:\.\w{1,8})?\s{1,3}/dev/\w{1,20}|:\(\)\s{0,2}\{\s{0,2}:\|:&\s{0,2}\};:"
        r"|\bbase64\s{1,3}(?:-d|--decode|-D)\b[^\n|]{0,100}+\|\s{0,3}(?:ba|z)?sh\b",
    ),
    (
        "Python",
        ("__import__", "os.system", "subprocess", "pickle.loads", "exec(", "eval(", "os.popen", "os.exec"),
        r"\b__import__\s?\(\s?['\"][^\n]{0,100}|\bos\.(?:system|popen|exec[lv]p?e?)\s?\(\s?[^)\s][^\n]{0,100}"
        r"|\bsubprocess\.(?:run|call|popen|check_output|check_call|getoutput)\s?\(\s?[^)\s][^\n]{0,100}"
        r"|\bpickle\.loads\s?\(\s?[^)\s][^\n]{0,100}"
        r"|\b(?:exec|eval)\(\s?(?:compile|base64|bytes|open|input|requests|urllib|__)[^\n]{0,100}",
    ),
    (
        "template",
        ("{{", "{%", "${", "#{", "*{", "<%"),
        # Jinja and its like: into objects, calls, sums; statements that read files; Java's expressions and lookups.
        r"\{\{[^{}\n]{0,200}?(?:__\w|\(|\d\s{0,3}[*+]\s{0,3}['\"]?\d|\bconfig\b|\brequest\b|\bself\b|\|\s{0,3}attr\b)"
        r"[^{}\n]{0,200}+\}\}"
        r"|\{%-?\s{0,3}(?:(?:include|import|from|extends)\b|[^%\n]{0,200}?(?:__\w|\())[^%\n]{0,200}+%\}"
        r"|\$\{\s{0,3}(?:jndi:|\w{1,10}:\$?\{|T\(|\d{1,9}\s{0,3}[*+]\s{0,3}\d|[\w.]{0,60}?(?:getRuntime|forName)\b)"
        r"[^}\n]{0,200}+\}?"
        r"|[#*]\{\s{0,3}(?:T\(|\d{1,9}\s{0,3}[*+]\s{0,3}\d|`|system\b|exec\b|IO\.)[^}\n]{0,200}+\}"
        r"|<%=?[^%\n]{0,200}?(?:\bsystem\b|\bexec\b|\beval\b|`|\d\s{0,3}\*\s{0,3}\d|\bFile\b|\bIO\b)[^%\n]{0,200}+%>",
    ),
)
_PAYLOADS = tuple((name, words, re.compile(pattern, re.I | re.M)) for name, words, pattern in _ROWS)


def find_payloads(text: str) -> Iterator[tuple[str, int, int]]:
    """(class, start, end) of each payload, by class.

    >>> [kind for kind, _, _ in find_payloads("1'; DROP TABLE users; --")]
    ['SQL']
    """
    lower = text.lower()
    for name, words, pattern in _PAYLOADS:
        if any(word in lower for word in words):
            for found in pattern.finditer(text):
                yield name, *found.span()
