"""From where a request came."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.requests import Request

_IPV6_SITE = 64
"""Bits: who has one IPv6 address has all with this prefix (RFC 6177)."""


def address_of(request: Request) -> IPv4Address | IPv6Address | None:
    """None where there is none, as over a socket of UNIX."""
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def site_of(request: Request) -> str:
    """The address as one who has many of IPv6 cannot change it; empty where there is none."""
    address = address_of(request)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> _IPV6_SITE << _IPV6_SITE))
    return str(address or "")
