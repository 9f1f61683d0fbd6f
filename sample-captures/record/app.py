"""The application at the end of the chain: a small shop API, plain WSGI.

Which answer a request gets depends on its target alone, so that a retried request gets the same answer.
"""

import json
import os
import random
import time

# What a data base would cost; it keeps several workers busy at once.
WORK_MS = float(os.environ.get("APP_WORK_MS", "2"))
# uwsgi's http-socket frames nothing by itself, so a chunked answer is written out here ("by-hand");
# gunicorn does it for an answer without a length ("server").
CHUNKS = os.environ.get("APP_CHUNKS", "by-hand")


def item(number):
    entry = {"id": number, "name": f"item {number}", "price": 100 + number * 7 % 900}
    if number % 25 == 0:
        # More than one segment of 1460 bytes.
        entry["reviews"] = [f"review {i} of item {number}, quite satisfied" for i in range(60)]
    return entry


def application(environ, start_response):
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    length = int(environ.get("CONTENT_LENGTH") or 0)
    # Always read the body: closing with unread bytes is another fault than the one shown here.
    body = environ["wsgi.input"].read(length) if length else b""
    number = int("".join(c for c in path if c.isdigit()) or 0)
    time.sleep(WORK_MS / 1000 * random.uniform(0.3, 1.7))

    if method == "POST":
        answer = {"order": number, "accepted": True, "lines": len(json.loads(body)["lines"])}
    else:
        answer = item(number)
    data = json.dumps(answer).encode()
    headers = [("Content-Type", "application/json")]

    middle = len(data) // 2
    # The caller's protocol decides: HTTP/1.0 knows no chunks.
    if number % 10 != 3 or environ["SERVER_PROTOCOL"] != "HTTP/1.1":
        headers.append(("Content-Length", str(len(data))))
        parts = [data]
    elif CHUNKS == "by-hand":
        headers.append(("Transfer-Encoding", "chunked"))
        parts = [b"%x\r\n%s\r\n" % (len(p), p) for p in (data[:middle], data[middle:])] + [b"0\r\n\r\n"]
    else:
        parts = [data[:middle], data[middle:]]
    start_response("200 OK", headers)
    return parts
