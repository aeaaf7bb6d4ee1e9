"""The tokens that every call carries: compact JWS, ES256, self-signed with the key of the caller's TLS certificate."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from google.protobuf.timestamp_pb2 import Timestamp

SECOND = 1_000_000_000
CLIENT_TOKEN = "nsm-client-token"
CLIENT_TOKEN_EXPIRES = "nsm-client-token-expires"

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


class TokenError(Exception):
    """A token that means nothing."""


@dataclass(frozen=True)
class Token:
    """What a token says, and what its signature covers."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def subject(self) -> str:
        return self.claims.get("sub", "") if isinstance(self.claims.get("sub"), str) else ""

    @property
    def audience(self) -> list[str]:
        value = self.claims.get("aud", [])
        return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []

    @property
    def expires(self) -> int:
        """Nanoseconds since 1970; 0 when it is missing or no integer."""
        value = self.claims.get("exp")
        return value * SECOND if isinstance(value, int) and not isinstance(value, bool) else 0

    def signed_by(self, key: ec.EllipticCurvePublicKey) -> bool:
        if self.header.get("alg") != "ES256" or len(self.signature) != 64:
            return False
        r, s = int.from_bytes(self.signature[:32], "big"), int.from_bytes(self.signature[32:], "big")
        try:
            key.verify(utils.encode_dss_signature(r, s), self.signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    def form_faults(self) -> list[str]:
        """How the token differs from the one exact form: header, claims and their types, signature length."""
        faults = []
        if self.header != {"alg": "ES256", "typ": "JWT"}:
            faults.append(f'its header is {json.dumps(self.header)}, not {{"alg":"ES256","typ":"JWT"}}')
        if extra := sorted(set(self.claims) - {"sub", "exp", "aud"}):
            faults.append(f"it has the claims {extra}")
        if not self.subject:
            faults.append("`sub` is missing or no text")
        if not self.expires:
            faults.append("`exp` is missing or not in whole seconds")
        if not isinstance(self.claims.get("aud"), list) or len(self.audience) != len(self.claims["aud"]):
            faults.append(f"`aud` is no JSON array of texts: {self.claims.get('aud')!r}")
        if len(self.signature) != 64:
            faults.append(f"its signature has {len(self.signature)} bytes, not the 64 of r||s")
        return faults


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    if "=" in text or re.search(r"[^A-Za-z0-9_-]", text):
        raise TokenError("it is not base64url without padding")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise TokenError(f"it is not base64url: {error}") from None


def sign(subject: str, audience: list[str], expires: int, key: ec.EllipticCurvePrivateKey) -> str:
    """A token that expires at `expires` (nanoseconds), cut to whole seconds."""
    claims: dict[str, Any] = {"sub": subject, "exp": expires // SECOND}
    if audience:
        claims["aud"] = audience
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in ({"alg": "ES256", "typ": "JWT"}, claims)]
    signed = ".".join(_encode(part) for part in parts)
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def parse(text: str) -> Token:
    parts = text.split(".")
    if len(parts) != 3:
        raise TokenError(f"it has {len(parts)} parts, not 3")
    raw = [_decode(part) for part in parts]
    try:
        header, claims = json.loads(raw[0]), json.loads(raw[1])
    except ValueError as error:
        raise TokenError(f"it is not JSON: {error}") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise TokenError("its header or claims are no JSON object")
    return Token(header, claims, f"{parts[0]}.{parts[1]}".encode(), raw[2])


def describe(text: str) -> str:
    """What a token says, for people."""
    try:
        token = parse(text)
    except TokenError as error:
        return f"no token: {error}"
    return f"sub={token.subject} aud={','.join(token.audience)} exp={rfc3339(token.expires)}"


def rfc3339(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}Z"


def parse_rfc3339(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if not match:
        raise TokenError(f"{text!r} is no time of RFC 3339")
    moment = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    return int(moment.timestamp()) * SECOND + int((match[2] or "").ljust(9, "0"))


def timestamp(nanoseconds: int) -> Timestamp:
    return Timestamp(seconds=nanoseconds // SECOND, nanos=nanoseconds % SECOND)


def nanoseconds(stamp: Timestamp) -> int:
    return stamp.seconds * SECOND + stamp.nanos


def now() -> int:
    return time.time_ns()
