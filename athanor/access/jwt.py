"""JWTs: credentials that another service issues, for some topics and for some time.

{"sub": "alice", "aud": "athanor", "exp": 1795000000,
 "subscribe": ["experiments:instance:alice-*", "experiments:run:alice-*"],
 "publish": ["experiments:run:alice-7"]}
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

try:
    import jwt
except ImportError:
    # an extra, which only the settings of JWTs need
    jwt = None  # type: ignore[assignment]

from ..exceptions import ConfigurationError
from .caller import Caller
from .grants import Grant

MAX_PATTERNS = 1000
"""Topics in a claim."""

_ALGORITHMS = {
    "oct": ("HS256", "HS384", "HS512"),
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
"""The algorithms of each type of key (RFC 7518, 8037). The first one is used where a key names none,
so that a token cannot choose its algorithm (RFC 8725, section 3.1)."""
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""A signed JWT (RFC 7515, section 7.1). PyJWT takes one with padding, which the form does not have."""
FAULTS = (
    *(() if jwt is None else (jwt.PyJWTError,)),
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
)
"""What PyJWT raises for a token: its own errors, and those of odd JSON (deep lists, infinite times)."""
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


class JwtVerifier:
    """Verifies tokens with one key, or with those of a JWKS file."""

    def __init__(self, key: str, jwks_file: str, audience: str) -> None:
        """Raises `ConfigurationError` if PyJWT is not installed, or a key can't be used."""
        if jwt is None:
            raise ConfigurationError(
                "ATHANOR_JWT_KEY and ATHANOR_JWT_JWKS_FILE need PyJWT: pip install 'athanor-sse[jwt]'"
            )
        self._audience = audience
        self._keys = _keys_of_file(jwks_file) if jwks_file else [_key_of(key)]

    def caller_of(self, token: str) -> Caller | None:
        """The caller that a token names; None if the token is not valid now."""
        if _COMPACT.fullmatch(token) is None:
            return None
        try:
            wanted = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, *FAULTS):
            return None
        for kid, algorithm, key in self._keys:
            if wanted is None or kid is None or kid == wanted:
                claims = self._claims(token, algorithm, key)
                if claims is not None:
                    return _caller(claims)
        return None

    def _claims(self, token: str, algorithm: str, key: Any) -> dict[str, Any] | None:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                options={"require": ["exp", "aud"]},
            )
        except (jwt.PyJWTError, *FAULTS):
            return None


def _caller(claims: dict[str, Any]) -> Caller | None:
    try:
        grant = Grant(_patterns(claims, "subscribe"), _patterns(claims, "publish"))
    except ValueError:
        return None
    return Caller(f"jwt {claims.get('sub', '')}".rstrip(), grant, float(claims["exp"]))


def _patterns(claims: dict[str, Any], name: str) -> tuple[str, ...]:
    """The topics in a claim. Raises `ValueError` if it is no list of topics."""
    patterns = claims.get(name, [])
    if not isinstance(patterns, list) or len(patterns) > MAX_PATTERNS:
        raise ValueError(name)
    if not all(isinstance(pattern, str) and "*" not in pattern[:-1] for pattern in patterns):
        raise ValueError(name)
    return tuple(patterns)


def _key_of(text: str) -> tuple[str | None, str, Any]:
    """A secret, or a public key in PEM."""
    if "-----BEGIN" not in text:
        if len(text.encode()) < 32:
            raise ConfigurationError(
                "ATHANOR_JWT_KEY has to be a secret of 32 bytes or more (RFC 7518, section 3.2), or a "
                "public key in PEM"
            )
        return None, "HS256", text
    for kind in ("RSA", "EC", "OKP"):
        for algorithm in _ALGORITHMS[kind]:
            try:
                key = jwt.get_algorithm_by_name(algorithm).prepare_key(text)
            except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
                continue
            return None, algorithm, key
    raise ConfigurationError(
        "ATHANOR_JWT_KEY is no public key that can be used: RSA, EC or Ed25519 in PEM"
    )


def _keys_of_file(path: str) -> list[tuple[str | None, str, Any]]:
    try:
        found = json.loads(Path(path).read_text())["keys"]
        return [_key_of_jwk(item) for item in found if item.get("use", "sig") == "sig"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ConfigurationError(
            f"ATHANOR_JWT_JWKS_FILE is {path!r}, which is no JSON Web Key Set: {error}"
        ) from None


def _key_of_jwk(item: dict[str, Any]) -> tuple[str | None, str, Any]:
    kind = item["kty"]
    algorithm = item.get("alg") or _CURVES.get(item.get("crv", "")) or _ALGORITHMS[kind][0]
    if algorithm not in _ALGORITHMS[kind]:
        raise ValueError(f"a key of type {kind} has the algorithm {algorithm}")
    return item.get("kid"), algorithm, jwt.PyJWK(item, algorithm=algorithm).key
