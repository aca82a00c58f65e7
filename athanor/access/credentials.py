"""Credentials: the secret that a request brings."""

from __future__ import annotations

import base64
import binascii


def secret_of(authorization: str) -> str | None:
    """The token of `Authorization: Bearer`, or the password of Basic; None for anything else.

    Basic makes the login in a URL work (`http://user:token@host`); its user name is not read.
    """
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value or None
    if scheme.lower() != "basic":
        return None
    try:
        login = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return login.partition(":")[2] or None
