"""The authenticator: from a credential to its caller."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Settings
from ..exceptions import ConfigurationError
from .caller import ANYONE, Caller
from .tokens import COOKIE_SECONDS, Tokens

if TYPE_CHECKING:
    from .jwt import JwtVerifier

MIN_TOKEN = 16
"""Characters of a token: fewer could be guessed."""


class Authenticator:
    """Knows the credentials of the settings: two tokens, and the keys of JWTs."""

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigurationError` for a token or a key that can't be used."""
        full = _secret("ATHANOR_TOKEN", settings.token, settings.token_file)
        read = _secret("ATHANOR_READ_TOKEN", settings.read_token, settings.read_token_file)
        if full and full == read:
            raise ConfigurationError("ATHANOR_TOKEN and ATHANOR_READ_TOKEN have to differ")
        key = _secret("ATHANOR_JWT_KEY", settings.jwt_key, settings.jwt_key_file, 1)
        if key and settings.jwt_jwks_file:
            raise ConfigurationError("give ATHANOR_JWT_KEY or ATHANOR_JWT_JWKS_FILE, and not both")
        self._tokens = Tokens(full, read)
        self._jwts: JwtVerifier | None = None
        if key or settings.jwt_jwks_file:
            # PyJWT and its cryptography take a tenth of a start, and few services need them
            from .jwt import JwtVerifier

            self._jwts = JwtVerifier(key, settings.jwt_jwks_file, settings.jwt_audience)
        self.is_open = not (full or read or self._jwts)
        """Whether no credential is configured."""
        self.link_token = full

    def caller_of(self, secret: str) -> Caller | None:
        """The caller with that token or JWT; None if it is wrong."""
        if self._jwts is not None and secret.count(".") == 2:
            caller = self._jwts.caller_of(secret)
            if caller is not None:
                return caller
        return self._tokens.caller_of(secret)

    def cookie_of(self, caller: Caller, secret: str) -> tuple[str, int]:
        """What a cookie contains after a login with `secret`, and the seconds that it lasts.

        A JWT is signed, and is its own cookie.
        """
        if caller.expires_at is None:
            return self._tokens.cookie_of(caller), COOKIE_SECONDS
        return secret, max(0, int(caller.expires_at - time.time()))

    def caller_of_cookie(self, cookie: str) -> Caller | None:
        """The caller whose login made this cookie; None if it is wrong or has expired."""
        if self._jwts is not None and (caller := self._jwts.caller_of(cookie)):
            return caller
        return self._tokens.caller_of_cookie(cookie)

    def anyone(self) -> Caller | None:
        """The caller without a credential, where none is needed."""
        return ANYONE if self.is_open else None


def _secret(name: str, text: str, path: str, least: int = MIN_TOKEN) -> str:
    """The secret of a setting, or of the file that its `…_FILE` names."""
    if text and path:
        raise ConfigurationError(f"give {name} or {name}_FILE, and not both")
    if path:
        try:
            text = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{name}_FILE is {path!r}, which can't be read: {error}") from None
        if not text:
            raise ConfigurationError(f"{name}_FILE is {path!r}, which is empty")
    is_pem = "-----BEGIN" in text
    if text and (
        len(text) < least or not (is_pem or (text.isascii() and text.isprintable() and " " not in text))
    ):
        raise ConfigurationError(
            f"{name} has to have {least} or more printable ASCII characters and no space; "
            "`python -c 'import secrets; print(secrets.token_urlsafe())'` makes one"
        )
    return text
