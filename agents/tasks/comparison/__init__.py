"""Comparisons: each side is asked by itself, and the answer says of every side what was found, or that nothing was."""

from .graph import comparison_rag
from .sides import Comparison, sides_of

__all__ = ("Comparison", "comparison_rag", "sides_of")
