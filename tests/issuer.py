"""An issuer of OIDC tokens on loopback, as GitHub is one: discovery, keys that rotate, and tokens for jobs."""

import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

AUDIENCE = "http://127.0.0.1"


class Issuer:
    def __init__(self) -> None:
        self.fetches = 0
        self.down = False
        self.refusals: list[int] = []  # how the next jobs that ask for a token are answered
        self.requests: list[str] = []
        self.claims: dict[str, Any] = {}
        self._keys: dict[str, RSAPrivateKey] = {}
        self.kid = ""
        self.rotate()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
                issuer.requests.append(self.path)
                if issuer.down or (path == "/job" and issuer.refusals):
                    self.send_error(503 if issuer.down else issuer.refusals.pop(0))
                    return
                if path == "/.well-known/openid-configuration":
                    issuer.fetches += 1
                    document: Any = {"issuer": issuer.url, "jwks_uri": issuer.url + "/keys"}
                elif path == "/keys":
                    document = {"keys": issuer.public_keys()}
                elif path == "/job" and self.headers["Authorization"] == "bearer of-the-job":
                    document = {"value": issuer.token(aud=query["audience"][0])}
                else:
                    self.send_error(403)
                    return
                body = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def rotate(self) -> None:
        """Sign by a new key from now on; the old one is no longer published."""
        self.kid = f"key-{len(self._keys) + 1}"
        self._keys[self.kid] = generate_private_key(65537, 2048)

    def public_keys(self) -> list[dict[str, Any]]:
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._keys[self.kid].public_key(), as_dict=True)
        return [{**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]

    @property
    def public_pem(self) -> bytes:
        from cryptography.hazmat.primitives import serialization as s

        return self._keys[self.kid].public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)

    def token(self, *, key: Any = None, algorithm: str = "RS256", kid: str | None = None, **claims: Any) -> str:
        """As GitHub makes it for a push to main; claims that are None are left out."""
        now = int(time.time())
        told = {
            "iss": self.url, "aud": AUDIENCE, "iat": now, "nbf": now - 300, "exp": now + 300, "jti": str(uuid.uuid4()),
            "sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app", "repository_id": "724712",
            "repository_owner": "acme", "repository_owner_id": "9919", "ref": "refs/heads/main", "event_name": "push",
            "run_id": "77",
        } | self.claims | claims  # fmt: skip
        payload = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(payload, key or self._keys[self.kid], algorithm, headers={"kid": kid or self.kid})
