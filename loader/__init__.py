"""Copies raw files into the raw schema, whole or not at all."""
