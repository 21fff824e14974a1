"""Prints the vectors of all SDKs from PyPI. The clock stands still, so that the same SDKs print the same bytes."""

import base64
import importlib.metadata
import logging
from types import SimpleNamespace

import jwt
import stripe
from coinbase_commerce.webhook import WebhookSignature
from dodopayments import DodoPayments
from easypost.util import validate_webhook
from finch import Finch
from freezegun import freeze_time
from gocardless_pro import webhooks as gocardless
from increase import Increase
from linebot.v3.webhook import SignatureValidator
from livekit.api import TokenVerifier, WebhookReceiver
from mollie.utils.webhooks.signature_validator import SignatureValidator as MollieValidator
from onfido import WebhookEventVerifier
from paddle_billing.Notifications import Secret, Verifier
from plivo.utils import validate_signature
from qstash import Receiver
from razorpay.utility import Utility
from retell.lib.webhook_auth import verify as retell_verify
from sinch.domains.authentication.sinch_events.v1.authentication_validation import validate_sinch_event_signature_with_nonce
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook
from svix.webhooks import Webhook as Svix
from viberbot import Api, BotConfiguration
from workos.webhooks._verification import verify_header

from cases import USUAL, Oracle, hmac, sha256, show

SECRET = "whsec_" + base64.b64encode(b"sample secret of 24 bytes").decode()


def pairs(name, separator, of, as_ms=False):
    """`t=…,v1=…` in one header; `of` gives the message."""

    def sign(secret, at, url, body):
        time, signature = separator
        at = at * 1000 if as_ms else at
        return {name: f"{time}{at}{signature}{hmac(secret, of(at, body))}"}

    return sign


def plain(name, prefix="", **how):
    return lambda secret, at, url, body: {name: prefix + hmac(secret, body, **how)}


def standard(prefix):
    def sign(secret, at, url, body):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signature = hmac(key, f"msg_sample.{at}.{body}", as_="base64")
        return {f"{prefix}-id": "msg_sample", f"{prefix}-timestamp": str(at), f"{prefix}-signature": f"v1,{signature}"}

    return sign


def slack(secret, at, url, body):
    signed = SignatureVerifier(secret).generate_signature(timestamp=str(at), body=body)
    return {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": signed}


def sinch(secret, at, url, body):
    nonce = "01JQ4S4KY8HWQ6NA5PXB65B3D3"
    return {
        "x-sinch-webhook-signature-timestamp": str(at),
        "x-sinch-webhook-signature-nonce": nonce,
        "x-sinch-webhook-signature-algorithm": "HmacSHA256",
        "x-sinch-webhook-signature": hmac(secret, f"{body}.{nonce}.{at}", as_="base64"),
    }


def plivo(secret, at, url, body):
    nonce = "12345678901234567890"
    signature = hmac(secret, url.split("?")[0] + nonce, as_="base64")
    return {"X-Plivo-Signature-V2-Nonce": nonce, "X-Plivo-Signature-V2": signature}


def livekit(secret, at, url, body):
    claims = {"iss": "APIsample", "nbf": at, "exp": at + 300, "sha256": sha256(body, base64.b64encode)}
    return {"Authorization": jwt.encode(claims, secret)}


def qstash(secret, at, url, body):
    claims = {"iss": "Upstash", "sub": url, "iat": at, "nbf": at, "exp": at + 300, "jti": "jwt_sample"}
    return {"Upstash-Signature": jwt.encode({**claims, "body": sha256(body, base64.urlsafe_b64encode)}, secret)}


def finch(secret, at, url, body):
    signature = hmac(base64.b64decode(secret), f"msg_sample.{at}.{body}", as_="base64")
    return {"Finch-Event-Id": "msg_sample", "Finch-Timestamp": str(at), "Finch-Signature": f"v1,{signature}"}


def viber(secret):
    return Api(BotConfiguration(name="sample", avatar="", auth_token=secret))


def paddle(secret, headers, url, body):
    request = SimpleNamespace(headers=headers, content=body, data=None, body=body.encode())
    return Verifier(300).verify(request, Secret(secret))


STALE = (*USUAL, "stale")
ORACLES = [
    Oracle("stripe", "stripe", "whsec_sample_python", pairs("Stripe-Signature", ("t=", ",v1="), lambda at, body: f"{at}.{body}"),
           lambda s, h, u, b: stripe.WebhookSignature.verify_header(b, h["Stripe-Signature"], s, 300), STALE),
    Oracle("paddle", "paddle-python-sdk", "pdl_ntfset_sample_python", pairs("Paddle-Signature", ("ts=", ";h1="), lambda at, body: f"{at}:{body}"),
           paddle, STALE),
    Oracle("workos", "workos", "sample workos python", pairs("WorkOS-Signature", ("t=", ", v1="), lambda at, body: f"{at}.{body}", as_ms=True),
           lambda s, h, u, b: verify_header(event_body=b.encode(), event_signature=h["WorkOS-Signature"], secret=s, tolerance=180), STALE),
    Oracle("retell", "retell-sdk", "key_sample_python", pairs("X-Retell-Signature", ("v=", ",d="), lambda at, body: f"{body}{at}", as_ms=True),
           lambda s, h, u, b: retell_verify(b, s, h["X-Retell-Signature"]), STALE),
    Oracle("slack", "slack_sdk", "sample slack python", slack, lambda s, h, u, b: SignatureVerifier(s).is_valid_request(b, h), STALE),
    Oracle("sinch", "sinch", "sample sinch", sinch, lambda s, h, u, b: validate_sinch_event_signature_with_nonce(s, h, b)),
    Oracle("plivo-legacy", "plivo", "sample plivo python", plivo,
           lambda s, h, u, b: validate_signature(u, h["X-Plivo-Signature-V2-Nonce"], h["X-Plivo-Signature-V2"], s), ("plain", "another secret")),
    Oracle("viber", "viberbot", "sample-viber-token", plain("X-Viber-Content-Signature"),
           lambda s, h, u, b: viber(s).verify_signature(b.encode(), h["X-Viber-Content-Signature"])),
    Oracle("line", "line-bot-sdk", "sample line python", plain("x-line-signature", as_="base64"),
           lambda s, h, u, b: SignatureValidator(s).validate(b, h["x-line-signature"])),
    Oracle("mollie", "mollie-api-py", "sample mollie", plain("X-Mollie-Signature", "sha256="),
           lambda s, h, u, b: MollieValidator.validate(b, s, h["X-Mollie-Signature"])),
    Oracle("easypost", "easypost", "sample easypost python", plain("X-Hmac-Signature", "hmac-sha256-hex="),
           lambda s, h, u, b: validate_webhook(b.encode(), h, s)),
    Oracle("gocardless", "gocardless_pro", "sample gocardless python", plain("Webhook-Signature"),
           lambda s, h, u, b: gocardless._verify_signature(b, s, h["Webhook-Signature"])),
    Oracle("razorpay", "razorpay", "sample razorpay python", plain("X-Razorpay-Signature"),
           lambda s, h, u, b: Utility().verify_webhook_signature(b, h["X-Razorpay-Signature"], s)),
    Oracle("coinbase-commerce", "coinbase-commerce", "sample commerce python", plain("X-CC-Webhook-Signature"),
           lambda s, h, u, b: WebhookSignature.verify_sig_header(b, h["X-CC-Webhook-Signature"], s)),
    Oracle("onfido", "onfido-python", "sample onfido python", plain("X-SHA2-Signature"),
           lambda s, h, u, b: WebhookEventVerifier(s).read_payload(b, h["X-SHA2-Signature"]), body='{"payload":{"resource_type":"check","action":"check.completed","object":{"id":"49.9","href":"https://api.example.com/1"}}}', cases=("plain", "altered body", "another secret")),
    Oracle("standard-webhooks", "standardwebhooks", SECRET, standard("webhook"), lambda s, h, u, b: Webhook(s).verify(b, h), STALE),
    Oracle("svix", "svix", SECRET, standard("svix"), lambda s, h, u, b: Svix(s).verify(b, h), STALE),
    Oracle("increase", "increase", SECRET, standard("webhook"),
           lambda s, h, u, b: Increase(api_key="x").events.unwrap(b, headers=h, key=s), STALE),
    Oracle("dodo-payments", "dodopayments", SECRET, standard("webhook"),
           lambda s, h, u, b: DodoPayments(bearer_token="x").webhooks.unwrap(b, headers=h, key=s), ("plain", "altered body", "another secret", "stale")),
    Oracle("finch", "finch-api", SECRET.removeprefix("whsec_"), finch,
           lambda s, h, u, b: Finch(client_id="x", client_secret="x").webhooks.verify_signature(b, h, secret=s), STALE),
    Oracle("livekit", "livekit-api", "sample livekit secret of a good length for python", livekit,
           lambda s, h, u, b: WebhookReceiver(TokenVerifier("APIsample", s)).receive(b, h["Authorization"]), STALE),
    Oracle("qstash", "qstash", "sig_sample_python_of_a_good_length_012345", qstash,
           lambda s, h, u, b: Receiver(current_signing_key="another key that holds no longer", next_signing_key=s).verify(signature=h["Upstash-Signature"], body=b, url=u), STALE),
]

logging.disable(logging.CRITICAL)
with freeze_time("2025-10-09T08:53:20Z"):
    show([oracle.vector(case, importlib.metadata.version(oracle.sdk)) for oracle in ORACLES for case in oracle.cases])
