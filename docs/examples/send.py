#!/usr/bin/env python3
"""Sends a text, so that it is sent once whatever happens on the way.

    export GATEWAYD_URL=http://127.0.0.1:8080 GATEWAYD_KEY=gw_…
    python3 send.py +491701234567 "Your parcel is here."
"""
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid


class Refused(Exception):
    """The gateway says what is wrong; the same again would be refused again."""


def send(url, key, message, attempts=8):
    once = str(uuid.uuid4())  # one key for all attempts: the gateway takes the message once
    for attempt in range(attempts):
        request = urllib.request.Request(
            url + "/v1/messages",
            data=json.dumps(message).encode(),
            headers={
                "Authorization": "Bearer " + key,
                "Content-Type": "application/json",
                "Idempotency-Key": once,
            },
        )
        wait = 2**attempt
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)  # 202: it is on the gateway's disk
        except urllib.error.HTTPError as e:
            if e.code not in (429, 502, 503, 504):
                raise Refused(e.read().decode()) from None
            told = e.headers.get("Retry-After", "")
            if told.isdigit():
                wait = int(told)
            why = e
        except (OSError, http.client.HTTPException) as e:  # no answer, or half of one
            why = e
        print(f"attempt {attempt + 1}: {why}; again in {wait} s", file=sys.stderr)
        time.sleep(wait)
    raise TimeoutError(f"no success in {attempts} attempts: {why}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} NUMBER TEXT")
    try:
        m = send(os.environ["GATEWAYD_URL"], os.environ["GATEWAYD_KEY"], {"to": sys.argv[1], "text": sys.argv[2]})
    except (Refused, TimeoutError) as e:
        sys.exit(str(e))
    print(m["id"], m["status"])
