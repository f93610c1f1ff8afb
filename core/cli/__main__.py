"""`python -m ragloom.cli`."""

from . import main

main()
