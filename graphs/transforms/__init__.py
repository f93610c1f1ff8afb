"""Query transforms: further ways to search for what a question asks, in front of any strategy.

>>> from ragloom.graphs.transforms import DiverseRewrites
>>> graph = naive_rag(retriever, llm, transform=DiverseRewrites(n=3))  # doctest: +SKIP
"""

from .diverse import DiverseRewrites
from .hyde import HyDE
from .loading import TRANSFORMS, load_transform
from .step_back import StepBack
from .sub_questions import SubQuestions

__all__ = ("TRANSFORMS", "DiverseRewrites", "HyDE", "StepBack", "SubQuestions", "load_transform")
