#!/usr/bin/env python3
"""Receives webhooks: takes what the gateway signed, and each event once.

    export WEBHOOK_SECRET=whsec_…      # while it is being changed both, with a space between
    python3 receive.py 3000
"""
import base64
import collections
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 300  # seconds; an older request may be somebody who repeats what they have overheard
LARGEST = 1 << 20


def genuine(headers, body, secrets, now):
    ident, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not ident or not at.isascii() or not at.isdigit() or abs(now - int(at)) > TOLERANCE:
        return False
    signed = f"{ident}.{at}.".encode() + body
    fits = False
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        want = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        # The gateway signs with both secrets while one is being changed.
        for got in headers.get("webhook-signature", "").split():
            fits |= hmac.compare_digest(got.encode(), want.encode())  # takes as long whatever differs
    return fits


# Events may come again, after an answer that got lost. Keep their ids where you
# keep what you make of them, in one transaction; here they are in memory.
seen = collections.OrderedDict()


def deal_with(ident, event):
    if ident in seen:
        return
    print(event["type"], ident, flush=True)
    seen[ident] = True
    if len(seen) > 10_000:
        seen.popitem(last=False)


class Receiver(BaseHTTPRequestHandler):
    timeout = 15

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        if not genuine(self.headers, body, SECRETS, time.time()):
            self.send_error(401)
            return
        deal_with(self.headers["webhook-id"], json.loads(body))
        self.send_response(204)  # only now: before, the gateway would think that it is dealt with
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    SECRETS = os.environ["WEBHOOK_SECRET"].split()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
