"""Which addresses are public. Nothing is sent to any; where the machine allows, connections are really tried."""

import socket

import pytest

from tests.unified.kit.http.test_client import ANYTHING, client
from unified.kit.errors import ForbiddenHostError
from unified.kit.http.addresses import is_hidden, is_metadata

PUBLIC = [
    "93.184.215.14",
    "8.8.8.8",
    "1.1.1.1",
    "192.0.1.1",
    "198.20.0.1",
    "223.255.255.254",
    "2606:4700::6810:1",
]
PUBLIC += ["2a00:1450:4001:80b::a9fe:a9fe", "64:ff9b::808:808", "2001:200::1", "2620:fe::fe"]

HIDDEN = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "172.31.255.255"),  # noqa: S104
    *("192.0.0.1", "192.0.0.9", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.1.1"),
    *("192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::8.8.8.8", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::ffff:0:8.8.8.8"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "100::1", "100:0:0:1::1"),
    *(
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:30::1",
    ),
    *("2001:db8::1", "2002:808:808::1", "2620:4f:8000::1", "3ffe::1", "3fff::1", "4000::1", "5f00::1"),
    *("fc00::1", "fd00::1", "fec0::1", "ff02::1", "fe80::1%lo"),
]

METADATA = [
    *("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *(
        "fe80::a9fe:a9fe",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
    ),
    *("::ffff:169.254.169.254", "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1"),
    *("2001:0:1::5601:5601", "fd12::5efe:a9fe:a9fe", "fd12::200:5efe:a9fe:a9fe", "::ffff:100.100.100.200"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_nothing_else(address: str) -> None:
    assert not is_hidden(address)
    assert not is_metadata(address)


@pytest.mark.parametrize("address", HIDDEN)
def test_an_address_of_special_purpose_is_hidden(address: str) -> None:
    assert is_hidden(address)


@pytest.mark.parametrize("address", METADATA)
def test_where_metadata_may_be_no_setting_leads(address: str) -> None:
    assert is_metadata(address)
    assert is_hidden(address)


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "::1", "127.0.0.1", "127.8.8.8"])
async def test_a_connection_that_would_succeed_is_not_made(address: str) -> None:
    # A server of our own on every address of this machine: what is refused here is refused by the guard alone.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.socket(family)
        server.bind(("", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection((address, port), timeout=2):
            server.accept()[0].close()
    except OSError as error:
        pytest.skip(f"this machine has no {address}: {error}")
    host = f"[{address}]" if ":" in address else address
    http = client(f"https://{host}:{port}", allow_private_hosts=False, retry_count=0)
    with pytest.raises(ForbiddenHostError, match="is not public"):
        await http.request("GET", "/", ANYTHING)
    server.settimeout(0.05)
    with pytest.raises(TimeoutError):
        server.accept()
    server.close()
    await http.aclose()


@pytest.mark.parametrize("address", ["fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"])
async def test_metadata_is_refused_where_private_hosts_are_allowed(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    http = client(f"http://{host}/", retry_count=0)
    with pytest.raises(ForbiddenHostError, match="metadata is served there"):
        await http.request("GET", "/", ANYTHING)
    await http.aclose()
