"""The proof that quotes are well placed."""

import pytest

from loader.quotes import NotWellFormed, QuoteCheck


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a,b\n", 1),
        ('"a","b"\r\n"c",d\r\n', 2),
        ('a,"x\ny"\n', 1),
        ('"","a""b",""""\n', 1),
        ('a,"x', 0),
        ('"""a"",""b"""\n', 1),
    ],
)
def test_well_formed(text: str, lines: int) -> None:
    """Fields quoted as a whole pass, and line feeds inside quotes do not count."""
    check = QuoteCheck(",")
    check.feed(text.encode())
    assert check.line_ends == lines
    assert check.is_quoted == (text.count('"') % 2 == 1)


@pytest.mark.parametrize(
    "text", ['5" pipe,b\n', 'a,"b"c\n', 'a, "b"\n', '""a"",b\n', 'a,b"\n', "a\0\n", '"a\n']
)
def test_not_well_formed(text: str) -> None:
    """A quote beside text, a NUL byte and a record as long as a chunk do not pass."""
    with pytest.raises(NotWellFormed):
        QuoteCheck(",").feed(text.encode())


def test_state_goes_on() -> None:
    """A quoted field may go on in the next chunk."""
    check = QuoteCheck(";")
    states = []
    for chunk in (b'a;b\nc;"d\n', b'""e";f\n', b'"g\n";h\n'):
        check.feed(chunk)
        states.append((check.is_quoted, check.line_ends))
    assert states == [(True, 1), (False, 2), (False, 3)]
