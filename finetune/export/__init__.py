"""Adapters in the formats of other engines."""
