"""Changes of curated tables, delivered to another system; see docs/operations.md."""
