"""Measurements: `make bench`. Needs the packages of requirements-bench.lock."""
