"""Asks a server more than it can answer, for a long time: python3 soak.py PARROT [MINUTES] [IMAGE ...]

Starts PARROT (the command's path) as a server with places for 16 questions, 8 answered and 8 waiting, and keeps twice as many
clients asking: questions with known answers, bad requests, and clients who leave half-way. Every answer is compared with what
the same question got alone, before the others came. Exits with 1, and says why, if one differed, if a status came that is not
documented, if memory kept growing after the first fifth of the time, or if the server did not end well. Linux only.
"""

import base64
import collections
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

parrot = sys.argv[1] if len(sys.argv) > 1 else sys.exit(__doc__)
minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
images = sys.argv[3:] or [f"assets/pictures/{name}.png" for name in ("rocket", "cat", "three-things")]
images = [image for image in images if os.path.exists(image)] or sys.exit("none of the images is there")

RUNNING, WAITING = 8, 8
CLIENTS = 2 * (RUNNING + WAITING)
# Memory may differ by this much between the end of the warm-up and the end: what allocators keep for later.
SLACK_MB = 24

server = subprocess.Popen(
    [parrot, "serve", "--port", "0", "--log", "off", "--max-running", str(RUNNING), "--max-waiting", str(WAITING)],
    stdout=subprocess.PIPE,
    text=True,
)
address = re.search(r"http://([^:]+):(\d+)", server.stdout.readline() or sys.exit("the server did not start"))
host, port = address[1], int(address[2])


def connect():
    return http.client.HTTPConnection(host, port, timeout=120)


def post(connection, body, path="/v1/chat/completions"):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    connection.request("POST", path, data, {"content-type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read(), response.headers


def data_url(path):
    with open(path, "rb") as file:
        return "data:image/png;base64," + base64.b64encode(file.read()).decode()


def known_questions():
    """Questions in six languages about each image and none: greedy and drawn, whole and streamed, with and without scores."""
    texts = ["What is this?", "这是什么?", "Что это?", "O que é isto?", "Bu nedir?", "ما هذا؟"]
    for number, text in enumerate(texts):
        for at, image in enumerate([*map(data_url, images), None]):
            parts = [{"type": "text", "text": text}]
            if image:
                parts.append({"type": "image_url", "image_url": {"url": image}})
            body = {"messages": [{"role": "user", "content": parts}], "max_tokens": 24 + 40 * (at % 2)}
            kind = (number + at) % 4
            if kind == 1:
                body |= {"temperature": 1.0, "seed": 7 + number, "n": 2}
            if kind == 2:
                body |= {"logprobs": True, "top_logprobs": 2}
            if kind == 3:
                body |= {"stream": True, "logprobs": True}
            yield body


def essence(body, data):
    """What has to be the same each time: words, why they ended, scores, routing."""
    if not body.get("stream"):
        answer = json.loads(data)
        routing = [extension.get("routing") for extension in answer["parrot"]]
        return [(c["message"]["content"], c["finish_reason"], c["logprobs"]) for c in answer["choices"]], routing
    text, scores, ended, routing, done = "", [], None, None, False
    for line in data.decode().splitlines():
        if line == "data: [DONE]":
            done = True
        elif line.startswith("data: "):
            event = json.loads(line[6:])
            if "error" in event:
                return "error", event["error"]["code"]
            routing = (event.get("parrot") or {}).get("routing") or routing
            for choice in event["choices"]:
                text += choice["delta"].get("content") or ""
                scores += (choice.get("logprobs") or {}).get("content", [])
                ended = choice["finish_reason"] or ended
    return text, scores, ended, routing, done


BAD = [
    ("{", 400),
    ("{}", 400),
    (json.dumps({"messages": [{"role": "user", "content": "x"}], "temprature": 1}), 400),
    (json.dumps({"messages": [{"role": "user", "content": "x"}], "model": "none"}), 404),
    (json.dumps({"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}), 400),
    (json.dumps({"messages": [{"role": "user", "content": "long " * 100_000}]}), 400),
    (json.dumps({"messages": [{"role": "user", "content": "x"}] * 3000}), 400),
    (json.dumps({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]}), 400),
    (json.dumps({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]}), 400),
    (b"\xff\xfe" * 1000, 400),
]

counts = collections.Counter()
faults = collections.Counter()
lock = threading.Lock()
stop = threading.Event()


def count(counter, what):
    with lock:
        counter[what] += 1


def ask(connection, random_):
    body, expected = random_.choice(known)
    status, data, headers = post(connection, body)
    if status == 200:
        found = essence(body, data)
        if found == expected:
            count(counts, "right")
        elif not stop.is_set():
            count(faults, f"a wrong answer: {found} instead of {expected}"[:600])
    elif status == 429 and "retry-after" in headers:
        count(counts, "refused (429)")
        # Sooner than asked for, so that there are always too many.
        time.sleep(random_.random() / 20)
    elif not (status == 503 and stop.is_set()):
        count(faults, f"status {status}: {data[:200]}")


def ask_badly(connection, random_):
    body, expected = random_.choice(BAD)
    status, data, _ = post(connection, body)
    if status in (expected, 429) or (status == 503 and stop.is_set()):
        count(counts, "bad requests")
    else:
        count(faults, f"status {status} instead of {expected}: {data[:200]}")


def leave(random_):
    """Sends a question, or a part of it, reads a little or nothing, and goes."""
    body = json.dumps(random_.choice(known)[0] | {"max_tokens": 400, "stream": random_.random() < 0.7}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    data = head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection((host, port), timeout=30) as client:
        client.sendall(data if random_.random() < 0.8 else data[: random_.randrange(len(data))])
        if random_.random() < 0.5:
            client.settimeout(0.2)
            try:
                client.recv(random_.randrange(1, 2000))
            except TimeoutError:
                pass
    count(counts, "left half-way")


def client(number):
    random_ = random.Random(number)
    connection = connect()
    while not stop.is_set():
        try:
            kind = random_.random()
            if kind < 0.8:
                ask(connection, random_)
            elif kind < 0.9:
                ask_badly(connection, random_)
            else:
                leave(random_)
        except (OSError, http.client.HTTPException) as error:
            if not stop.is_set():
                count(faults, f"a connection failed: {error!r}")
            connection.close()
            connection = connect()
    connection.close()


def resident_mb():
    with open(f"/proc/{server.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024


alone = connect()
known = []
for body in known_questions():
    status, data, _ = post(alone, body)
    if status != 200:
        sys.exit(f"alone: {status} {data[:300]}")
    known.append((body, essence(body, data)))
alone.close()

threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
began = time.monotonic()
for thread in threads:
    thread.start()
samples = []
while (passed := time.monotonic() - began) < minutes * 60 and server.poll() is None:
    samples.append((passed, resident_mb()))
    time.sleep(1)
metrics = connect()
metrics.request("GET", "/metrics")
metrics = metrics.getresponse().read().decode()
stop.set()
server.send_signal(signal.SIGTERM)
try:
    code = server.wait(60)
except subprocess.TimeoutExpired:
    server.kill()
    code = "none within a minute"
for thread in threads:
    thread.join(120)

# The highest of the minute, or tenth of the time, behind the warm-up, and of the last.
window = min(60.0, minutes * 6)
warm = minutes * 60 / 5
early = max(mb for at, mb in samples if warm <= at < warm + window)
late = max(mb for at, mb in samples if at >= samples[-1][0] - window)
if late > early + SLACK_MB:
    faults[f"memory grew from {early:.0f} to {late:.0f} MB"] += 1
if code != 0:
    faults[f"the server's exit code: {code}"] += 1
for what, number in sorted(counts.items()):
    print(f"{what}: {number}")
print(f"memory: {samples[0][1]:.0f} MB at first, {early:.0f} MB once warm, {late:.0f} MB at the end, {max(mb for _, mb in samples):.0f} MB at most")
for line in metrics.splitlines():
    if re.match(r"parrot_engine_(answers_\w+|generated_tokens|reused_tokens)_total", line):
        print(line)
for what, number in faults.most_common(20):
    print(f"FAULT, {number} times: {what}")
sys.exit(1 if faults else 0)
