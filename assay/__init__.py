"""Shared ground of the loader and the API: settings, catalog, PostgreSQL, the command line."""

import sys

# Before anything is imported that an older Python cannot read.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Assay needs Python 3.11 or later; this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031
