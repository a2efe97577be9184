"""Models as tables of Apache Iceberg, for other engines to read; see docs/operations.md."""
