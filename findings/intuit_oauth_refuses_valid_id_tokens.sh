#!/usr/bin/env bash
# intuit-oauth 1.2.6: whether an ID token is taken depends on which letters happen to stand in it.
#
# Guess: `validate_id_token` takes every token that its issuer signed for this client and that has not expired.
# Seen: its parts are decoded as plain base64, which skips the `-` and `_` of base64url: a token whose claims hold a
# `?` or `~` in the wrong place raises an error of decoding or JSON instead of being checked. A token whose `aud` is one
# text, as RFC 7519 allows, is compared by the first letter of that text, and is taken for one of somebody else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check intuit-oauth==1.2.6 pyjwt==2.15.1
"$folder/venv/bin/python" -W ignore::DeprecationWarning - <<'PYTHON'
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from intuitlib.utils import validate_id_token
from jwt.algorithms import RSAAlgorithm

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
known = {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": "k1", "use": "sig", "alg": "RS256"}


class Keys(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"keys": [known]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
threading.Thread(target=server.serve_forever, daemon=True).start()
issuer = f"http://127.0.0.1:{server.server_port}"


def outcome(audience, name):
    claims = {"iss": issuer, "aud": audience, "exp": int(time.time()) + 600, "sub": name}
    token = jwt.encode(claims, key, "RS256", {"kid": "k1"})
    jwt.decode(token, key.public_key(), ["RS256"], audience="client", issuer=issuer)
    try:
        found = validate_id_token(token, "client", issuer, issuer)
    except ValueError as error:
        found = type(error).__name__
    print("aud", audience, "sub", name, "has - or _:", bool(set("-_") & set(token.split(".")[1])), "is", found)
    return found


assert outcome(["client"], "ada") is True
assert outcome(["client"], "?~" * 6) in ("JSONDecodeError", "UnicodeDecodeError", "Error")
assert outcome("client", "ada") is False
PYTHON
