"""Dates as tables and answers write them. Only what has one reading: `03/04/2019` is text."""

from __future__ import annotations

import calendar
import datetime as dt
import re

__all__ = ("read_date", "read_time")

_MONTHS = tuple(month.lower() for month in calendar.month_name[1:])
_MONTH = "|".join(f"{month}|{month[:3]}\\.?|{month[:4]}\\.?" for month in _MONTHS)
_WORDS = re.compile(
    rf"(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?P<month>{_MONTH}),?|"
    rf"(?P<month2>{_MONTH})\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?,?)\s+(?P<year>\d{{4}})",
    re.IGNORECASE,
)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?")


def read_date(text: str) -> dt.date | None:
    """A whole day; None for anything else.

    >>> read_date("2019-02-28"), read_date("March 5, 1990"), read_date("5 Mar 1990"), read_date("2019-02-30")
    (datetime.date(2019, 2, 28), datetime.date(1990, 3, 5), datetime.date(1990, 3, 5), None)
    """
    text = text.strip()
    try:
        if _ISO.fullmatch(text):
            return dt.date.fromisoformat(text)
        if found := _WORDS.fullmatch(text):
            name = (found["month"] or found["month2"]).lower()[:3]
            month = next(at for at, each in enumerate(_MONTHS, start=1) if each.startswith(name))
            return dt.date(int(found["year"]), month, int(found["day"] or found["day2"]))
    except ValueError:  # the 30th of February
        return None
    return None


def read_time(text: str) -> dt.datetime | None:
    """A moment in ISO 8601, without a time zone; None for anything else.

    >>> read_time("2019-02-28 12:30")
    datetime.datetime(2019, 2, 28, 12, 30)
    """
    text = text.strip()
    try:
        return dt.datetime.fromisoformat(text) if _ISO_TIME.fullmatch(text) else None
    except ValueError:
        return None
