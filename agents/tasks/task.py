"""The closed set of tasks: what each one is, with questions of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

__all__ = ("DESCRIPTIONS", "EXAMPLES", "TASKS", "Task")

Task = Literal["fact", "summary", "comparison", "table", "small_talk", "out_of_scope"]
TASKS: tuple[Task, ...] = get_args(Task)

DESCRIPTIONS: Mapping[str, str] = {
    "fact": "a question that some sentence of the documents answers",
    "summary": "a summary or an overview of a document, of several, or of all",
    "comparison": "how two or more named things differ, or which of them is more of something",
    "table": "counting, sums, averages, order or single cells of a table",
    "small_talk": "a greeting, thanks, a farewell, or a question about the assistant itself",
    "out_of_scope": "what documents cannot answer: to write something new, to do something, the weather, the time",
}

EXAMPLES: Mapping[str, Sequence[str]] = {
    "fact": (
        "Who is the head of security?",
        "How many days of leave do employees get?",
        "When was the bridge opened?",
        "Where do I send the form?",
        "What does error 504 mean?",
        "How do I book a trip?",
    ),
    "summary": (
        "Summarise the travel policy.",
        "Give me an overview of all documents.",
        "What are the main points of the annual report?",
        "What is this paper about?",
        "Tell me in short what the manual says.",
        "Can you boil the contract down to a few sentences?",
    ),
    "comparison": (
        "Compare the basic plan with the premium plan.",
        "What is the difference between sick leave and parental leave?",
        "Which office is larger, Vienna or Leeds?",
        "How does the new policy differ from the old one?",
        "What do both models have in common?",
        "Set the two offers side by side.",
    ),
    "table": (
        "What is the average price per region?",
        "How many rows of the table have a score above 10?",
        "Which customer has the highest total?",
        "Sum up the sales of May.",
        "List the five cheapest products.",
        "Sort the riders by points.",
    ),
    "small_talk": (
        "Hello there!",
        "Good morning, how are you?",
        "Thanks a lot, that helped.",
        "Bye, see you tomorrow.",
        "Who are you?",
        "What can you do for me?",
    ),
    "out_of_scope": (
        "Write me a poem about spring.",
        "What is the weather like today?",
        "Tell me a joke.",
        "Set an alarm for seven.",
        "Translate this into French.",
        "Play some music.",
    ),
}
"""Questions of each task, for `ExampleRouter` and for `LinearRouter.fit`: written by hand, from no data set."""
