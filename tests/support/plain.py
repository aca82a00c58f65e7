"""httpx for plain HTTP: clients that cost little to make, and that are patient.

An `httpx.Client` loads all certificates that it might need, which takes 30 ms of CPU. Tests make
thousands of clients, one for each reading of a metric among them, and speak plain HTTP to all.
"""

from __future__ import annotations

import ssl
from typing import Any

import httpx

from .patience import PATIENCE

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=1.0)
"""The service ends connections that are idle for 5 s, perhaps while a late request is on its way."""


def client(**options: Any) -> httpx.Client:
    return httpx.Client(**{"limits": LIMITS, **_completed(options)})


def async_client(**options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(**{"limits": LIMITS, **_completed(options)})


def get(url: str, **options: Any) -> httpx.Response:
    return httpx.get(url, **_completed(options))


def post(url: str, **options: Any) -> httpx.Response:
    return httpx.post(url, **_completed(options))


def _completed(options: dict[str, Any]) -> dict[str, Any]:
    # a follower may follow through a proxy, which has a certificate
    verify: Any = str(options.get("base_url", "")).startswith("https:") or NO_CERTIFICATES
    return {"timeout": PATIENCE, "verify": verify, **options}
