#!/usr/bin/env python3
"""A receiver of livegate's callbacks that verifies what it hears.

    LIVEGATE_SECRETS="the secret[,the other one]" LIVEGATE_TOKEN="the token" \
        python3 receiver.py [PORT]

Prints the port it listens on, then one JSON line an event: its id, its
command, whether it was heard before, and the body. Answers 401 to whatever is
not signed by one of the secrets, or not lately. Needs nothing but Python 3.8.
"""

import hashlib
import hmac
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

MAX_BODY = 1 << 20
MAX_SKEW = 300

SECRETS = [it.encode() for it in os.environ.get("LIVEGATE_SECRETS", "").split(",") if it]
TOKEN = os.environ.get("LIVEGATE_TOKEN", "").encode()

LOCK = threading.Lock()
HEARD = {}


def is_signed(headers, body):
    """Whether one of our secrets signed event id, timestamp and body, lately."""
    event = headers.get("livegate-event-id", "")
    stamp = headers.get("livegate-timestamp", "")
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > MAX_SKEW:
        return False
    signed = f"{event}.{stamp}.".encode() + body
    theirs = headers.get("livegate-signature", "").split(",")
    ours = ["v1=" + hmac.new(it, signed, hashlib.sha256).hexdigest() for it in SECRETS]
    return any(hmac.compare_digest(one, other) for one in ours for other in theirs)


def is_vendor_signed(query):
    """The vendor's Sign, where a callback is in its form and we have a token."""
    if "CallbackCommand" not in query or not TOKEN:
        return True
    sign, stamp = query.get("Sign", [""])[0], query.get("RequestTime", [""])[0]
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > MAX_SKEW:
        return False
    ours = hashlib.sha256(TOKEN + stamp.encode()).hexdigest()
    return hmac.compare_digest(ours, sign)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > MAX_BODY:
            return self.answer(413, {})
        body = self.rfile.read(length)
        query = parse_qs(urlsplit(self.path).query)
        if not is_signed(self.headers, body) or not is_vendor_signed(query):
            return self.answer(401, {"ErrorCode": 1, "ErrorInfo": "not signed"})
        event = self.headers["livegate-event-id"]
        with LOCK:
            known = HEARD.setdefault(event, body)
            again = known is not body
            told = {
                "event_id": event,
                "command": query.get("CallbackCommand", [None])[0],
                "again": again,
                "same": known == body,
                "body": json.loads(body),
            }
            print(json.dumps(told), flush=True)
        self.answer(200, {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing: bodies and queries are nobody else's."""


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
