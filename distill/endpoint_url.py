"""Which URLs an endpoint may have: any http(s) server, local and private ones included, but no cloud metadata service."""

import asyncio
import ipaddress
import re
import socket
from urllib.parse import urlsplit, urlunsplit

from distill.errors import EndpointError

METADATA_NAMES = {
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
}
METADATA_NETWORKS = [
    ipaddress.ip_network(one)
    for one in (
        "169.254.0.0/16",  # link-local: AWS, Azure, Google, ECS tasks
        "fe80::/10",
        "fd00:ec2::/32",  # AWS over IPv6
        "fd20:ce::254/128",  # Google over IPv6
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's host agent
        "192.0.0.192/32",  # Oracle
    )
]
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def safe_base_url(url: str) -> str:
    """The URL in normal form, without a trailing slash or /chat/completions; EndpointError says what is wrong with it."""
    text = url.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _refused("does not start with http:// or https:// and a host name")
    if re.search(r"[\s\x00-\x1f\x7f\\]", text):
        raise _refused("contains a blank, a control character or a backslash")
    if parts.username is not None or parts.password is not None:
        raise _refused("contains a user name or password", "Put the key into its own field.")
    if parts.query or parts.fragment:
        raise _refused(
            "contains a query or fragment", "Put the key into its own field and leave out everything from ? on."
        )
    if is_metadata_host(host):
        raise _refused(f"points at a cloud metadata service ({host})", "Give the address of a model server.")
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


async def refuse_metadata_names(base_url: str) -> None:
    """Raise EndpointError if the host name resolves to a metadata address; a name that does not resolve passes."""
    parts = urlsplit(base_url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)
    except OSError:  # the call itself will say so, or a proxy knows the name
        return
    for *_, address in found:
        if is_metadata_host(str(address[0])):
            raise _refused(f"resolves to a cloud metadata address ({parts.hostname})", "Give another host name.")


def is_metadata_host(host: str) -> bool:
    name = host.lower().rstrip(".")
    address = _address(name)
    if address is None:
        return name in METADATA_NAMES
    return any(address in network for network in METADATA_NETWORKS if network.version == address.version)


def _address(host: str) -> Address | None:
    """The IP address that a host means, in any of the spellings that resolvers accept (2852039166, 0xa9fe.0xa9fe ...)."""
    try:
        address: Address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        if not re.fullmatch(r"[0-9a-fx.]+", host):
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address
    return address


def _refused(what: str, advice: str = "Use the form https://host/v1.") -> EndpointError:
    return EndpointError(f"The endpoint's URL {what}.", advice)
