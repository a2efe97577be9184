"""Values of the formats that the OpenAPI document has beside the common ones."""

import schemathesis
from hypothesis import strategies as st

# Others are only known to the server; those that it gives are read by the tests of pages.
schemathesis.openapi.format("cursor", st.just(""))
# An offset of 16 hours and more, which RFC 3339 has and no place on earth, is refused.
_MOMENTS = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
schemathesis.openapi.format("date-time", _MOMENTS)

_ITEMS = {
    "uuid": st.uuids().map(str),
    "integer": st.integers(0, 5).map(str),
    "number": st.decimals(-100, 100, places=3).map(str),
    "date": st.dates().map(str),
    "date-time": _MOMENTS,
}
for name, items in _ITEMS.items():
    values = st.lists(items, min_size=1, max_size=3).map(",".join)
    schemathesis.openapi.format(f"list of {name}", values)
