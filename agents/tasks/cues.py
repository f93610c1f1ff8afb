"""English cues of tasks, for questions whose white space is single blanks, without punctuation at their ends."""

from __future__ import annotations

import re

__all__ = ("AGGREGATE", "OUT_OF_SCOPE", "SMALL_TALK", "SUMMARY", "TABLE")


def _one_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


_HELLO = r"(?:hi|hey|hello|howdy|greetings|good (?:morning|afternoon|evening|day|night))(?: (?:there|again|all|you))?"
_PLEASE = r"^(?:(?:please|now|hey|hi|hello),? )*(?:(?:can|could|would|will) you )?(?:please )?"
"""What an imperative may begin with."""
_ME = r"(?:(?:me|us) )?"
_ASKS = r"\b(?:who|whom|whose|what|when|where|which|why|how|is|are|do|does|can|could|tell|show)\b"
_END = rf"\b(?!.*{_ASKS})(?=(?:[^.:;?!]|(?<=\d)[.:](?=\d))*$)"
"""To its end the message is one sentence that asks nothing: "Book a hotel: what is the limit?" is a question."""
_PLACE = (
    r" (?:here|outside|in (?!the\b|spring\b|summer\b|autumn\b|fall\b|winter\b|january\b|february\b|march\b|april\b|"
    r"may\b|june\b|july\b|august\b|september\b|october\b|november\b|december\b)[^\W\d][\w-]+)"
)
_TIME = r" (?:(?:right )?now|today|tonight|tomorrow|this (?:morning|afternoon|evening|week|weekend))"
_THEN = rf"(?:{_PLACE})?(?:{_TIME})?(?:{_PLACE})?$"
"""What may follow where a message asks for the weather as it is: a climate ("in summer") may stand in documents."""

SMALL_TALK = _one_of(
    _HELLO,
    rf"(?:{_HELLO}\W+)?(?:how are you(?: doing| today)*|how(?:'s| is) it going|what'?s up)",
    r"(?:(?:ok|okay|great|perfect|cool|wow|nice|yes|no|well)\W+)?(?:many )?(?:thanks?|thank you|thx|cheers)"
    rf"(?:\W+(?!.*{_ASKS}).{{0,40}})?",
    r"(?:good ?)?bye(?:\W+bye)?|see you(?: \w+){0,3}|have a (?:nice|good|great) \w+|take care",
    rf"(?:{_HELLO}\W+)?(?:(?:who|what) are you|what(?:'s| is) your name|are you (?:a )?(?:human|bot|robot|an? ai))",
    r"what can you (?:do|help (?:me )?with)(?: for me)?|(?:can you )?help(?: me)?|how do you work",
    r"ok(?:ay)?|great|perfect|cool|(?:nice|good|pleased) to (?:meet|see) you(?: too)?|(?:i'?m )?sorry",
)
"""Of the whole message: "Hello! How much leave do I get?" is a question."""

OUT_OF_SCOPE = _one_of(
    rf"{_PLEASE}(?:write|compose|make up|invent|draft|generate) {_ME}(?:(?:an?|some|the) )?"
    r"(?:(?!of\b|on\b|from\b|about\b|for\b)\w+ ){0,2}"
    r"(?:poems?|songs?|story|stories|jokes?|essays?|limericks?|haikus?|lyrics|code(?! of\b)|script|tweets?|e-?mails?)"
    rf"{_END}",
    rf"{_PLEASE}(?:tell|sing|give) {_ME}(?:(?:an?|another|some) (?:\w+ )?)?(?:jokes?|riddles?){_END}",
    rf"{_PLEASE}(?:tell|sing|give) {_ME}(?:(?:an?|another|some) (?:\w+ )?)?(?:stor(?:y|ies)|songs?|fun facts?)$",
    rf"{_PLEASE}(?:set|start|stop|cancel|snooze) (?:an?|the|my) (?:\d+[ -]?\w+ )?(?:alarm|timer|reminder)s?{_END}",
    rf"{_PLEASE}(?:play|skip|pause) (?:(?:me|some|the|this|that|next|my) )*"
    rf"(?:music|song|playlist|track|movie|video)s?{_END}",
    rf"{_PLEASE}(?:book|order|buy|call|get) {_ME}(?:an?|my|the) "
    rf"(?:taxi|cab|uber|pizza|flight|table|hotel|room){_END}",
    rf"{_PLEASE}turn (?:on|off) (?:the|my) (?:lights?|tv|radio|heating){_END}",
    rf"{_PLEASE}remind me (?:to|tomorrow|tonight|later|at \d+|in \w+ (?:minute|hour|day|week|month)s?|"
    rf"on (?:mon|tues|wednes|thurs|fri|satur|sun)day){_END}",
    rf"{_PLEASE}(?:flip a coin|roll (?:a )?dic?e|translate){_END}",
    rf"^(?:{_HELLO}\W+)?(?:what|how)(?:'s| is| will) the weather(?: be)?(?: like)?{_THEN}",
    rf"^(?:{_HELLO}\W+)?(?:will|is) it (?:going to )?(?:rain|snow)(?:ing)?{_THEN}",
    r"^(?:what time is it|what(?:'s| is) (?:the time|today's date|the date today))(?: now| right now)?$",
)
"""Of the whole message too: nothing in it asks for what a document may say. What is in doubt is looked up."""

SUMMARY = _one_of(
    rf"{_PLEASE}(?:summari[sz]e|sum up|recap|recapitulate|outline)\b"
    r"(?! (?:the )?(?:sales|amounts?|totals?|numbers?|points|prices|costs)\b)",
    rf"{_PLEASE}(?:(?:give|write|provide|show|make|create|prepare|get) {_ME})?(?:(?:an?|the) )?"
    r"(?:(?:very|short|brief|quick|concise|detailed|general|high-level|executive|one-\w+|\w+-sentence) )*"
    r"(?:summary|overview|outline|synopsis|digest|gist|recap) (?:of|on|about)\b",
    r"\bi(?: need| want| would like|'d like) (?:(?:an?|the) )?(?:\w+ )?"
    r"(?:summary|overview|outline|synopsis|digest) (?:of|on|about)\b",
    r"^(?:what(?:'s| is| are) )?(?:the )?(?:main|key|central|most important|essential) (?:\w+ )?"
    r"(?:points?|ideas?|messages?|takeaways?|findings?|contents?) (?:of|in|from)\b",
    r"^what(?:'s| is| are) (?:this|these|the|your|all) (?:\w+ ){0,4}"
    r"(?:documents?|files?|papers?|reports?|polic(?:y|ies)|handbook|"
    r"manual|article|book|guide|collection|contract|knowledge base) about$",
    r"\b(?:tl; ?dr|tldr|in a nutshell)\b",
)

TABLE = _one_of(
    r"\b(?:in|of|from|to|by) (?:the|this|that|my|our) (?:\w+ ){0,2}(?:tables?|spreadsheets?|csv|columns?|rows?)\b",
    r"\bhow many (?:rows|columns|records|entries)\b",
)
"""It speaks of a table."""
AGGREGATE = _one_of(
    r"\bhow (?:many|much)\b",
    r"\b(?:average|mean|median|sum|total|count|number|maximum|minimum|max|min)\b",
    r"\b(?:most|least|fewest|highest|lowest|largest|smallest|cheapest|biggest|best|worst|top|last|first)\b",
    r"\b(?:more|less|fewer|higher|lower|above|below|over|under|at least|at most)\b",
    r"\b(?:sort|list|rank|group|per|each)\b|^(?:which|who)\b",
)
"""It may be asked of a table: it counts, orders, or asks which."""
