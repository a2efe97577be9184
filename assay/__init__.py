"""Shared ground of the loader and the API: settings, catalog, PostgreSQL, the command line."""
