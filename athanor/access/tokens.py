"""Tokens: the two secrets of the settings, and the cookie that stands for one of them."""

from __future__ import annotations

import hashlib
import hmac

from itsdangerous import BadData, TimestampSigner

from .caller import Caller
from .grants import EVERYTHING, READ_EVERYTHING

COOKIE_SECONDS = 30 * 24 * 3600
"""The age at which a cookie ends."""


class Tokens:
    """`full` allows everything, `read` allows reading; an empty one does not exist."""

    def __init__(self, full: str, read: str) -> None:
        self._secrets = {"token": full, "read token": read}
        self._callers = {
            "token": Caller("token", EVERYTHING),
            "read token": Caller("read token", READ_EVERYTHING),
        }

    def caller_of(self, secret: str) -> Caller | None:
        """The caller with that token. It compares all tokens, in constant time."""
        given = secret.encode("utf-8", "surrogatepass")
        found = None
        for name, token in self._secrets.items():
            if hmac.compare_digest(given, token.encode()) and token:
                found = self._callers[name]
        return found

    def cookie_of(self, caller: Caller) -> str:
        """A signed text that stands for the caller's token."""
        return self._signer(caller.name).sign(caller.name.replace(" ", "-")).decode()

    def caller_of_cookie(self, cookie: str) -> Caller | None:
        """The caller for which a cookie was made; it ends with its token, and after 30 days."""
        name = cookie.partition(".")[0].replace("-", " ")
        if not self._secrets.get(name):
            return None
        try:
            _, made_at = self._signer(name).unsign(cookie, COOKIE_SECONDS, return_timestamp=True)
        except BadData:
            return None
        return self._callers[name]._replace(expires_at=made_at.timestamp() + COOKIE_SECONDS)

    def _signer(self, name: str) -> TimestampSigner:
        return TimestampSigner(
            self._secrets[name],
            salt="athanor cookie",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )
