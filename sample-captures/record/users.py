"""The users of a chain: kept connections that ask one request after the other, an exact number in all.

Settings come as JSON in the first argument: host, port, requests, concurrency, post_percent, think_ms, pauses_ms
(one of these instead of think_ms), targets (mixed | same | unique), retries, seed, host_header. What each request got
is printed as one line of JSON, the truth of the user's side: number, method, target, attempts' statuses ("none" where
no answer came).
"""

import asyncio
import json
import random
import sys

AGENTS = ["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "shop-app/4.2 (iOS 17.5)", "curl/7.88.1"]


class Users:
    def __init__(self, settings):
        self.settings = settings
        self.random = random.Random(settings["seed"])
        self.left = settings["requests"]
        self.number = 0

    def next_request(self):
        """Method, target, bytes; None when all are handed out."""
        if self.left == 0:
            return None
        self.left -= 1
        self.number += 1
        chance, targets = self.random, self.settings["targets"]
        lines = [f"Host: {self.settings['host_header']}", f"User-Agent: {chance.choice(AGENTS)}", "Accept: application/json"]
        if chance.randrange(100) >= self.settings["post_percent"]:
            item = {"same": 7, "unique": 1000 + self.number}.get(targets) or chance.randint(1, 200)
            method, target, body = "GET", f"/api/item/{item}", b""
        else:
            order = {"same": 9007, "unique": 20000 + self.number}.get(targets) or chance.randint(8000, 9999)
            method, target = "POST", f"/api/order/{order}"
            data = json.dumps({"order": order, "lines": [{"item": chance.randint(1, 200), "count": 1}]}).encode()
            lines.append("Content-Type: application/json")
            if order % 10 == 0:
                middle = len(data) // 2
                lines.append("Transfer-Encoding: chunked")
                body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:middle], data[middle:])) + b"0\r\n\r\n"
            else:
                lines.append(f"Content-Length: {len(data)}")
                body = data
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode()
        return self.number, method, target, head + body

    async def pause(self):
        pauses = self.settings["pauses_ms"]
        wait = self.random.choice(pauses) if pauses else self.random.uniform(0, 2 * self.settings["think_ms"])
        await asyncio.sleep(wait / 1000)

    async def user(self):
        connection = None
        while request := self.next_request():
            await self.pause()
            number, method, target, data = request
            got = []
            for _ in range(1 + self.settings["retries"]):
                try:
                    connection = connection or await asyncio.open_connection(self.settings["host"], self.settings["port"])
                    connection[1].write(data)
                    status, kept = await asyncio.wait_for(read_response(connection[0]), 20)
                except (OSError, EOFError, asyncio.TimeoutError):
                    status, kept = "none", False
                got.append(status)
                if not kept and connection:
                    connection[1].close()
                    connection = None
                if status[0] in "2n" and status != "none":
                    break
            print(json.dumps({"n": number, "method": method, "target": target, "got": got}))
        return connection  # kept open until all users are done

    async def run(self):
        await asyncio.gather(*(self.user() for _ in range(self.settings["concurrency"])))
        await asyncio.sleep(0.2)


async def read_response(reader):
    """Status, and whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    version, status = head.split()[:2]
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    kept = headers.get("connection", "keep-alive" if version == "http/1.1" else "close") != "close"
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    elif "content-length" in headers:
        await reader.readexactly(int(headers["content-length"]))
    else:
        await reader.read()
        kept = False
    return status, kept


asyncio.run(Users(json.loads(sys.argv[1])).run())
