"""Report: a run of an answer evaluation as one HTML file that opens offline.

>>> from ragloom.evals.report import write_report
>>> write_report(Path("runs/today"), Path("report.html"), previous=Path("runs/last"))  # doctest: +SKIP
"""

from __future__ import annotations

from .page import render_report, write_report

__all__ = ("render_report", "write_report")
