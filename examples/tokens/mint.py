"""Mints tokens for ysyncd, as an application server does. Nothing but Python is needed.

SYNC_SHARED_SECRET=… python3 mint.py alice                  opens every document, for ever
SYNC_SHARED_SECRET=… python3 mint.py alice 'team/*' notes   opens these, for an hour
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(text: str, secret: str) -> str:
    return encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


def mint_token(user_id: str, secret: str) -> str:
    """A plain token: it opens every document, and never expires."""
    return f"{user_id}:{sign(user_id, secret)}"


def mint_jwt(user_id: str, docs: list[str], secret: str, access: str = "write", seconds: int = 3600) -> str:
    """A JWT: it opens these documents (one that ends with * stands for all that begin so),
    to read only if access is "read", for so many seconds."""
    claims = {"sub": user_id, "docs": docs, "access": access, "exp": int(time.time()) + seconds}
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    message = ".".join(encode(json.dumps(part).encode()) for part in parts)
    return f"{message}.{sign(message, secret)}"


if __name__ == "__main__":
    secret = os.environ.get("SYNC_SHARED_SECRET")
    if len(sys.argv) < 2 or not secret:
        sys.exit("usage: SYNC_SHARED_SECRET=… python3 mint.py USER [DOCUMENT…]")
    user_id, *docs = sys.argv[1:]
    print(mint_jwt(user_id, docs, secret) if docs else mint_token(user_id, secret))
