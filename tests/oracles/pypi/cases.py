"""What an SDK is asked, as in cases.mjs: one sound request, and what must not pass for one."""

import base64
import hashlib
import hmac as mac
import json

NOW = 1760000000
PLAIN = '{"id":"evt_3","type":"order.created","data":{"total":49.9}}'
UNICODE = '{"id":"evt_4","type":"order.created","data":{"name":"Zoë 日本 🪝","note":"\\u00e9\\n"}}'
URL = "https://hooks.example.com/in/sample?a=1"

USUAL = ("plain", "unicode", "altered body", "another secret")


def hmac(key, text, hash="sha256", as_="hex"):
    made = mac.new(key if isinstance(key, bytes) else key.encode(), text.encode(), hash)
    return made.hexdigest() if as_ == "hex" else base64.b64encode(made.digest()).decode()


def sha256(text, encode=None):
    made = hashlib.sha256(text.encode())
    return encode(made.digest()).decode() if encode else made.hexdigest()


class Oracle:
    """`sign(secret, at, url, body)` gives the headers, `verify(secret, headers, url, body)` is the SDK's own word: neither False nor an
    exception."""

    def __init__(self, provider, sdk, secret, sign, verify, cases=USUAL, body=PLAIN):
        self.provider, self.sdk, self.secret, self.sign, self.verify = provider, sdk, secret, sign, verify
        self.cases, self.body = cases, body

    def vector(self, case, version):
        body, at, secret = self.body, NOW, self.secret
        if case == "unicode":
            body = UNICODE
        if case == "stale":
            at -= 3600
        headers = self.sign(secret, at, URL, body)
        if case == "altered body":
            body = body.replace("49.9", "49.8")
        if case == "another secret":
            secret = secret[:-4] + "AAAA"
        is_valid = self.answer(secret, headers, body)
        # An SDK that sees it otherwise than meant was called wrongly, or is a finding.
        if is_valid != (case in ("plain", "unicode")):
            raise SystemExit(f"{self.provider}, {case}: {self.sdk} says {is_valid}")
        known = {"secret": secret, "headers": headers, "method": "POST", "url": URL, "body": body, "now_unix": NOW}
        source = {"provider": self.provider, "source": f"pypi {self.sdk}=={version}", "kind": "sdk"}
        return {**source, **known, "expect": "valid" if is_valid else "invalid", "note": case}

    def answer(self, secret, headers, body):
        try:
            return self.verify(secret, headers, URL, body) is not False
        except Exception:
            return False


def show(vectors):
    print(json.dumps(vectors, ensure_ascii=False))
