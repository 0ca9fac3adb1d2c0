"""The proxy that the environment names. The library itself never looks there."""

from __future__ import annotations

import ipaddress
import os
from typing import Mapping, Optional

# curl's for SMTP come first and last; what is said of the web is not for mail.
_VARIABLES = ("smtp_proxy", "socks_proxy", "all_proxy")

# As other programs write them, and what they are here, where the proxy always looks the name up.
_SCHEMES = {"socks": "socks5", "socks4": "socks4a"}


def proxy_from_environment(host: str, environ: Optional[Mapping[str, str]] = None) -> str:
    """The text for ``Client.proxy`` that suits a mail server: its proxy, or "" for none.

    Looks at SMTP_PROXY, SOCKS_PROXY and ALL_PROXY, in this order, each in small letters
    first. Without a scheme, SOCKS_PROXY is a SOCKS5 proxy and the others are HTTP proxies.
    NO_PROXY has the hosts that are reached without: names, which stand for all
    names below them too, addresses, networks such as 10.0.0.0/8, or * for all;
    separated by commas. localhost, loopback addresses and Unix sockets are always
    reached without. HTTP_PROXY and HTTPS_PROXY are about the web and not looked at.
    """
    variables = os.environ if environ is None else environ
    if _is_direct(host, _variable(variables, "no_proxy")):
        return ""
    for name in _VARIABLES:
        value = _variable(variables, name).strip()
        if value:
            scheme, separator, rest = value.partition("://")
            if not separator:
                return ("socks5://" if name == "socks_proxy" else "http://") + value
            return _SCHEMES.get(scheme.lower(), scheme) + separator + rest
    return ""


def _variable(variables: Mapping[str, str], name: str) -> str:
    return variables.get(name) or variables.get(name.upper()) or ""


def _is_direct(host: str, exceptions: str) -> bool:
    if not host or host.startswith("/"):
        return True
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    if name == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_fits(name, address, item.strip().lower()) for item in exceptions.split(","))


def _fits(name: str, address: object, item: str) -> bool:
    if item in ("", "*"):
        return item == "*"
    if address is not None:
        try:
            return address in ipaddress.ip_network(item.strip("[]"), strict=False)
        except ValueError:
            return False
    domain = item.lstrip("*").strip(".")
    return bool(domain) and (name == domain or name.endswith("." + domain))
