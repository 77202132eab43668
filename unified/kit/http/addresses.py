"""Which addresses are a provider's, and which lead inside: networks of special purpose, machines' metadata.

Kept lists, and not ``ipaddress``'s properties, whose answers differ between Python 3.11, 3.12 and 3.13. From IANA's
registries of special-purpose addresses (https://www.iana.org/assignments/iana-ipv4-special-registry and
``…/iana-ipv6-special-registry``, 2025-10) and from clouds' documentation. Of IPv6, what is not global unicast space is
hidden, so a range that nobody has named yet is hidden as well.
"""

import ipaddress
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HIDDEN_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carriers' shared space
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # multicast tunnels
            "192.88.99.0/24",  # 6to4 relays, deprecated
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_HIDDEN_6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, deprecated
            "2620:4f:8000::/48",  # AS112
            "3ffe::/16",  # the former 6bone
            "3fff::/20",  # documentation
        ),
    )
)
# Translated by the network's operator (RFC 6052), which is how a machine without IPv4 reaches a provider that has
# nothing else: as good as the address inside.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_6TO4 = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_ISATAP = 0x5EFE  # RFC 5214 section 6.1, with or without the bit that says "universal"
_WITH_IPV4_LAST = (
    _NAT64,
    _LOCAL_NAT64,
    *map(
        ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96")
    ),  # compatible, mapped, translated
)

# Where machines find their own credentials. No provider's API is there, so no setting opens them.
_METADATA_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "169.254.0.0/16",  # nearly every cloud
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure
            "192.0.0.192/32",  # Oracle
        ),
    )
)
_METADATA_6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "fe80::/10",  # link-local
            "fd00:ec2::/32",  # Amazon
            "fd20:ce::/32",  # Google
            "fd00:c1::/32",  # Oracle
            "fd00:42::/32",  # Scaleway
        ),
    )
)


def is_metadata(address: str) -> bool:
    """Whether a machine's metadata may be there, by the address itself or by one that it stands for."""
    ip = _parsed(address)
    return any(_is_in(one, _METADATA_4, _METADATA_6) for one in (ip, *_inside(ip)))


def is_hidden(address: str) -> bool:
    """Whether an address is not on the public internet: private, local, reserved, deprecated, or translated."""
    ip = _parsed(address)
    if is_metadata(address):
        return True
    if isinstance(ip, ipaddress.IPv6Address) and ip in _NAT64:
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_6:
        return True
    return _is_in(ip, _HIDDEN_4, _HIDDEN_6)


def _parsed(address: str) -> Address:
    return ipaddress.ip_address(address.partition("%")[0])  # without the zone: fe80::1%eth0


def _is_in(
    ip: Address, four: tuple[ipaddress.IPv4Network, ...], six: tuple[ipaddress.IPv6Network, ...]
) -> bool:
    return any(ip in network for network in (four if isinstance(ip, ipaddress.IPv4Address) else six))


def _inside(ip: Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for, by whichever translation a machine may have."""
    if isinstance(ip, ipaddress.IPv4Address):
        return
    bits = int(ip)
    inner: list[int] = []
    if any(ip in network for network in _WITH_IPV4_LAST) or bits >> 32 & 0xFDFF_FFFF == _ISATAP:
        inner.append(bits)
    if ip in _LOCAL_NAT64:  # RFC 6052 section 2.2: around the byte that stays 0
        inner.append(bits >> 48 & 0xFFFF_0000 | bits >> 40 & 0xFFFF)
    if ip in _6TO4:
        inner.append(bits >> 80)
    if ip in _TEREDO:  # RFC 4380 section 4: the server's, and the client's inverted
        inner += [bits >> 64, ~bits]
    for one in inner:
        yield ipaddress.IPv4Address(one & 0xFFFF_FFFF)
