"""Shared ground of the loader and the API: settings, the catalog, the embedded PostgreSQL, the command line."""
