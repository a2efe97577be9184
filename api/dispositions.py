"""The name of a file as the header of its part says it: Content-Disposition, RFC 6266.

RFC 7578 does without `filename*`, but HTTP libraries send it, .NET's beside an encoded word of
mail (RFC 2047) as `filename`. What is malformed is passed over, and never a reason to refuse.
"""

import re
from email.errors import HeaderParseError
from email.header import decode_header
from urllib.parse import unquote_to_bytes

from python_multipart.multipart import parse_options_header

_PARAMETER = re.compile(rb';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)
# RFC 8187: UTF-8 has to be known, ISO 8859-1 was in the RFC before it.
_CHARSETS = {"utf-8": "utf-8", "iso-8859-1": "latin-1"}
_EXTENDED = re.compile(
    r"([A-Za-z0-9-]+)'[A-Za-z0-9-]*'((?:[!#$&+.^_`|~A-Za-z0-9-]|%[0-9A-Fa-f]{2})+)"
)
_ENCODED_WORD = re.compile(r"=\?[A-Za-z0-9*_-]+\?([Bb]\?[A-Za-z0-9+/=]+|[Qq]\?[^?\s]+)\?=")


def names_of(disposition: bytes) -> tuple[str, str]:
    """The name of a form's field, and that of its file; "" where there is none."""
    _, options = parse_options_header(disposition)
    field = options.get(b"name", b"").decode(errors="replace")
    plain = options.get(b"filename", b"").decode(errors="replace")
    return field, _extended(disposition) or _without_words(plain)


def _extended(disposition: bytes) -> str | None:
    """The value of `filename*`, which wins over that of `filename`."""
    for name, value in _PARAMETER.findall(disposition):
        if name.lower() != b"filename*":
            continue
        found = _EXTENDED.fullmatch(value.strip(b' \t"').decode("latin-1"))
        charset = _CHARSETS.get(found[1].lower()) if found else None
        if found and charset:
            try:
                return unquote_to_bytes(found[2]).decode(charset)
            except UnicodeDecodeError:
                return None
    return None


def _without_words(name: str) -> str:
    """A name with the encoded words in it decoded."""
    if not _ENCODED_WORD.search(name):
        return name
    try:
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "ascii")
            for part, charset in decode_header(name)
        )
    except (HeaderParseError, LookupError, ValueError):
        return name
