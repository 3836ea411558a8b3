"""Requests this server makes: to the address that was checked, and to nothing behind it.

A name is resolved once, every address it has is judged, and the connection goes to one of
those judged: a name that answers differently the next time gains nothing. Redirects are not
followed and no proxy of the environment is used.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import httpx2

from herdbook.errors import Invalid

TIMEOUT_SECONDS: Final = 10.0
BLOCKED: Final = "blocked_address"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[list[str]]]

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_PUBLIC: Final = ipaddress.ip_network("2000::/3")
_EXAMPLES: Final = ipaddress.ip_network("3fff::/20")


class Blocked(Exception):
    """The address is not one this server may connect to."""


def is_blocked(address: Address) -> bool:
    """Whether an address is loopback, private, link-local, multicast or otherwise not public.

    Example:
        >>> is_blocked(ipaddress.ip_address("::ffff:127.0.0.1"))
        True
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_blocked(inner)
        # Only this part of IPv6 is given out; what Python 3.11 calls global is more.
        if address not in _PUBLIC or address in _EXAMPLES:
            return True
    return address.is_multicast or not address.is_global


def refuse_literal(url: str) -> None:
    """Refuse the address of a webhook that says itself that it is not public.

    Raises:
        Invalid: its host is a blocked address, however it is written, or localhost.
    """
    host = _parsed(url).host
    literal = _literal(host)
    named = host == "localhost" or host.endswith(".localhost")
    if named or (literal is not None and is_blocked(literal)):
        raise Invalid(
            f"{host} is not a public address; webhooks may go there only with "
            "HERDBOOK_WEBHOOK_PRIVATE=1",
            field="url",
            details={"reason": BLOCKED},
        )


def _parsed(url: str) -> httpx2.URL:
    try:
        found = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise Invalid(f"{url[:80]!r} is not an address: {error}", field="url") from None
    if not found.host:
        raise Invalid(f"{url[:80]!r} has no host", field="url")
    return found


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # What the system's resolver takes for an address: 127.1, 0x7f000001, 2130706433.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


async def look_up(host: str, port: int) -> list[str]:
    """Give the addresses a name has."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


async def post(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    private: bool,
    lookup: Lookup = look_up,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> str:
    """Send a body to an address.

    Args:
        url: the address.
        body: JSON.
        headers: beside those every request has.
        private: whether addresses that are not public may be reached.
        lookup: resolves a name.
        timeout_seconds: for all of it.

    Returns:
        "" when it was taken, else what went wrong, in a few words.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _post(url, body, headers, private=private, lookup=lookup)
    except Blocked as error:
        return f"{BLOCKED}: {error}"
    except TimeoutError:
        return f"no answer within {timeout_seconds:g} s"
    except (httpx2.HTTPError, httpx2.InvalidURL, Invalid, OSError, UnicodeError) as error:
        return f"{type(error).__name__}: {error}"


async def _post(
    url: str, body: bytes, headers: Mapping[str, str], *, private: bool, lookup: Lookup
) -> str:
    target = _parsed(url)
    port = target.port or (443 if target.scheme == "https" else 80)
    address = await _checked(target.host, port, private=private, lookup=lookup)
    # The connection goes to the address that was judged; the name stays in Host and in TLS.
    request = httpx2.Request(
        "POST",
        target.copy_with(host=address),
        content=body,
        headers={**headers, "Host": target.netloc.decode("ascii")},
        extensions={
            "sni_hostname": target.host,
            "timeout": httpx2.Timeout(TIMEOUT_SECONDS).as_dict(),
        },
    )
    async with httpx2.AsyncHTTPTransport(retries=0, trust_env=False) as transport:
        answer = await transport.handle_async_request(request)
        await answer.aclose()
    if answer.has_redirect_location or answer.is_redirect:
        return f"answered {answer.status_code}; redirects are not followed"
    return "" if answer.is_success else f"answered {answer.status_code}"


async def _checked(host: str, port: int, *, private: bool, lookup: Lookup) -> str:
    addresses = await lookup(host, port)
    if not addresses:
        raise OSError(f"{host} has no address")
    for address in [] if private else addresses:
        if is_blocked(ipaddress.ip_address(address.partition("%")[0])):
            raise Blocked(f"{host} leads to {address}, which is not public")
    return addresses[0]
