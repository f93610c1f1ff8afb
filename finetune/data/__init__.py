"""Training rows: read, built, split, checked."""
