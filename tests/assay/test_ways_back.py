"""The way back from curated rows to a source's columns, or a sentence that says it is missing."""

from dataclasses import replace

import pytest

from assay.catalog import SourceColumn
from assay.ways_back import NoWayBackError, ways_back
from tests.api.conftest import CATALOG, GEM


def test_each_column_has_its_way() -> None:
    """What `export` says, else the text of the column that it becomes."""
    (name,) = GEM.source_tables
    source = CATALOG.source_tables[name]
    said = SourceColumn("label", "Label", (), True, "", (), export="upper(label)")
    named = SourceColumn("weight", "Weight", (), False, "", (), column="carat")
    ways = ways_back(GEM, replace(source, columns=(said, named)))
    assert ways == {"Label": "upper(label)", "Weight": '"carat"::text'}


@pytest.mark.parametrize("header", ["Weight of it", "x"])
def test_a_column_without_a_way_is_named_with_the_remedy(header: str) -> None:
    """A mistake that people can mend, for the command line as for the API."""
    (name,) = GEM.source_tables
    lost = SourceColumn("nowhere", header, (), False, "", ())
    source = replace(CATALOG.source_tables[name], columns=(lost,))
    with pytest.raises(NoWayBackError, match=rf"become {header} again: `config.meta.export`"):
        ways_back(GEM, source)
    assert issubclass(NoWayBackError, ValueError)
