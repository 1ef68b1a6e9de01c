"""Asks a running server from 1, 4, 16 and 64 clients at once: python3 load.py [URL] [IMAGE] [SECONDS]

Each client asks a streamed question about the image, again and again, each time in other words, so that no prompt is like the one
before. Prints Markdown: requests and tokens a second, time to the first text and per token after it (median and 99th percentile).
"""

import base64
import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080")
image = sys.argv[2] if len(sys.argv) > 2 else "assets/pictures/rocket.png"
seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 20.0

with open(image, "rb") as file:
    picture = "data:image/png;base64," + base64.b64encode(file.read()).decode()


def ask(connection, number):
    """Seconds to the first text, seconds of all after it, tokens; None if the server refused."""
    parts = [
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "text", "text": f"Describe the picture. ({number})"},
    ]
    request = {
        "messages": [{"role": "user", "content": parts}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 64,
        "temperature": 2,
        "seed": number,
    }
    started, first, tokens = time.perf_counter(), None, 0
    connection.request("POST", "/v1/chat/completions", json.dumps(request), {"content-type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        response.read()
        return None
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if event["choices"] and event["choices"][0]["delta"].get("content") and first is None:
            first = time.perf_counter()
        if "usage" in event:
            tokens = event["usage"]["completion_tokens"]
    ended = time.perf_counter()
    first = first or ended
    return first - started, ended - first, tokens


def client(start, deadline, found):
    connection = http.client.HTTPConnection(url.hostname, url.port)
    number = start
    while time.perf_counter() < deadline:
        found.append(ask(connection, number))
        number += 1
    connection.close()


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] * 1e3 if values else float("nan")


# The image is looked at once, before anything is measured; and a server that is not there is told once.
ask(http.client.HTTPConnection(url.hostname, url.port), 0)
print("| clients | requests/s | tokens/s | first text, p50 | p99 | token, p50 | p99 | refused |")
print("|--:|--:|--:|--:|--:|--:|--:|--:|")
for clients in [1, 4, 16, 64]:
    found = []
    began = time.perf_counter()
    threads = [
        threading.Thread(target=client, args=(number * 1_000_000, began + seconds, found)) for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    done = [measured for measured in found if measured]
    first = [measured[0] for measured in done]
    each = [measured[1] / (measured[2] - 1) for measured in done if measured[2] > 1]
    numbers = [
        f"{len(done) / took:.1f}",
        f"{sum(measured[2] for measured in done) / took:.0f}",
        *(f"{percentile(values, share):.1f} ms" for values in (first, each) for share in (0.5, 0.99)),
        f"{len(found) - len(done)}",
    ]
    print(f"| {clients} | " + " | ".join(numbers) + " |", flush=True)
