"""Names of files in the headers of a form's parts, as the RFCs have them."""

import pytest

from api.dispositions import names_of


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ('filename="a.csv"', "a.csv"),
        ("filename=a.csv", "a.csv"),
        ('filename="Łódź.csv"', "Łódź.csv"),
        # RFC 6266, 4.3: the extended one wins, in whatever order
        ("filename=a.csv; filename*=UTF-8''%C5%81%C3%B3d%C5%BA.csv", "Łódź.csv"),
        ("filename*=utf-8'pl'%C5%81%C3%B3d%C5%BA.csv; filename=a.csv", "Łódź.csv"),
        ("filename*=iso-8859-1''caf%E9.csv", "café.csv"),
        ("FILENAME*=utf-8''a%20b.csv", "a b.csv"),
        ("filename*=\"utf-8''b.csv\"; filename=a.csv", "b.csv"),
        # .NET, which sends both
        (
            "filename=\"=?utf-8?B?xYHDs2TFui54bHN4?=\"; filename*=utf-8''%C5%81%C3%B3d%C5%BA.xlsx",
            "Łódź.xlsx",
        ),
        # RFC 2047
        ('filename="=?utf-8?B?xYHDs2TFui54bHN4?="', "Łódź.xlsx"),
        ('filename="=?ISO-8859-1?Q?caf=E9_1.csv?="', "café 1.csv"),
        ('filename="=?utf-8?Q?a?= =?utf-8?Q?b.csv?="', "ab.csv"),
        # malformed ones do no harm
        ("filename=a.csv; filename*=utf-8''%FF.csv", "a.csv"),
        ("filename=a.csv; filename*=utf-8''%ZZ.csv", "a.csv"),
        ("filename=a.csv; filename*=klingon''b.csv", "a.csv"),
        ("filename=a.csv; filename*=b.csv", "a.csv"),
        ("filename=a.csv; filename*=", "a.csv"),
        ("filename=\"a; filename*=utf-8''b.csv\"", "a; filename*=utf-8''b.csv"),
        ('filename="=?klingon?B?AAAA?="', "=?klingon?B?AAAA?="),
        ('filename="=?utf-8?B?%%%?=.csv"', "=?utf-8?B?%%%?=.csv"),
        ('filename="=?utf-8?B?/w==?="', "=?utf-8?B?/w==?="),
        ('filename="=?a.csv"', "=?a.csv"),
        ("", ""),
    ],
)
def test_name(parameters: str, name: str) -> None:
    """What people called their file."""
    found = names_of(f'form-data; name="file"; {parameters}'.encode())
    assert found == ("file", name)


@pytest.mark.parametrize(
    "disposition", [b"", b";", b"form-data", b"\xff; filename*=\xff", b"a;b;=;"]
)
def test_no_name(disposition: bytes) -> None:
    """Whatever the bytes are."""
    assert names_of(disposition) == ("", "")
