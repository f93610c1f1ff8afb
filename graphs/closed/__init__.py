"""Closed book: the model alone, without documents."""

from .graph import closed_book

__all__ = ("closed_book",)
