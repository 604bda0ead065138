"""What things cost, as ratios to a bare loop in the same run.

Run:     python3 examples/bench.py [--quick] [NAME ...]
Expect:  a table; each row is the median of interleaved rounds, by CPU time.

The bare loop is the least that a queue with handlers can do in Python: a
deque, an object per event, a dict lookup and a call.  0.30 means that it does
three times as much in the same time.  The goals are those of the project; a
busy machine moves the figures by some per cent, the ratios by less.
"""
import compileall
import os
import select
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from circuits import Component
from circuits import Event
from circuits import Timer

BATCH = 1000
cpu = time.process_time


def counter(count):
    def handle(*args):
        count[0] += 1
    return handle


class Bare:
    """deque + dict lookup + call, with *n* handlers and optional feedback."""

    class Event:
        __slots__ = ("name", "args")

        def __init__(self, name, *args):
            self.name = name
            self.args = args

    def __init__(self, n=1, feedback=False):
        self.queue = deque()
        self.feedback = feedback

        self.table = {"ping": [counter([0]) for _ in range(n)], "ping_success": [counter([0])]}

    def batch(self):
        put, get, queue = self.queue.append, self.queue.popleft, self.queue
        for _ in range(BATCH):
            put(self.Event("ping", 1))
        while queue:
            event = get()
            for handler in self.table[event.name]:
                handler(*event.args)
            if self.feedback and event.name == "ping":
                put(self.Event("ping_success", event))


class Ping(Event):
    """One event."""


def listener():
    """A component of a class of its own that counts pings, as the bare handlers do."""
    count = [0]

    def ping(self, *args):
        count[0] += 1
    return type("Listener", (Component,), {"ping": ping})()


class Ours:
    def __init__(self, listeners=1, idle=0, event=Ping, feedback=False):
        self.app = Component()
        self.event = event
        above = self.app
        for i in range(idle):       # ten deep, each with a handler of its own
            kind = type("Idle%d" % i, (Component,), {"never%d" % i: lambda self: None})
            above = kind().register(self.app if i % 10 == 0 else above)
        for _ in range(listeners):
            listener().register(above)
        if feedback:
            type("Ok", (Component,), {"ping_success": lambda self, *args: None})().register(self.app)
        while self.app:
            self.app.flush()

    def batch(self):
        fire, event, app = self.app.fire, self.event, self.app
        for _ in range(BATCH):
            fire(event(1))
        while app:
            app.flush()


class Calls(Component):
    """Counts round trips of ``yield self.call(...)`` on an idle system."""

    def go(self, times):
        start = cpu()
        for i in range(times):
            value = yield self.call(Ping(i))
            if value.value != i:
                raise AssertionError(value)
        self.us = (cpu() - start) / times * 1e6
        self.stop()

    def ping(self, i):
        return i

    def started(self, component):
        self.fire(Event.create("go", 20000))


def timed(thing, seconds):
    """Microseconds of CPU per event."""
    thing.batch()
    batches, start = 0, cpu()
    while cpu() - start < seconds:
        thing.batch()
        batches += 1
    return (cpu() - start) / batches / BATCH * 1e6


def compare(bare, ours, rounds, seconds):
    """The median ratio of interleaved rounds."""
    pairs = [(timed(bare, seconds), timed(ours, seconds)) for _ in range(rounds)]
    return statistics.median(b / o for b, o in pairs), statistics.median(o for _, o in pairs)


def dispatch(name, goal, bare, ours, options):
    ratio, us = compare(bare, ours, *options)
    print("%-34s %5.2f of bare  goal %.2f   %6.2f us" % (name, ratio, goal, us), flush=True)


def bench_dispatch(options):
    dispatch("one handler", 0.30, Bare(1), Ours(1), options)
    dispatch("ten handlers", 0.50, Bare(10), Ours(10), options)
    dispatch("one in a tree of 100", 0.30, Bare(1), Ours(1, idle=99), options)
    praised = type("Ping", (Event,), {"success": True})
    dispatch("success feedback", 0.30, Bare(1, True), Ours(1, event=praised, feedback=True), options)


class Chain(Component):
    """Each event fires the next: one in flight at any time."""

    def go(self, times):
        self.left, self.start = times, cpu()
        self.fire(Ping())

    def ping(self):
        self.left -= 1
        if self.left:
            self.fire(Ping())
        else:
            self.us = (cpu() - self.start) / 20000 * 1e6
            self.stop()

    def started(self, component):
        self.fire(Event.create("go", 20000))


async def chain_callbacks(times):
    """The same with asyncio's call_soon."""
    import asyncio
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def ping(left):
        if left:
            loop.call_soon(ping, left - 1)
        else:
            over.set_result(None)
    start = cpu()
    ping(times)
    await over
    return (cpu() - start) / times * 1e6


def bench_call(options):
    import asyncio
    calls, chains = [], []
    for _ in range(options[0]):
        app, chain = Calls(), Chain()
        app.run()
        chain.run()
        calls.append((asyncio.run(await_tasks(20000)) / app.us, app.us))
        chains.append((asyncio.run(chain_callbacks(20000)) / chain.us, chain.us))
    for name, goal, pairs in (("each event fires the next", 1.0, chains),
                              ("call round trip, idle", 0.5, calls)):
        ratio, us = (statistics.median(column) for column in zip(*pairs))
        print("%-34s %5.2f of asyncio  goal %.2f   %6.2f us" % (name, ratio, goal, us), flush=True)


class AsyncCalls(Component):
    """The same with ``await`` in a coroutine."""

    async def go(self, times):
        start = cpu()
        for i in range(times):
            value = await self.call(Ping(i))
            if value.value != i:
                raise AssertionError(value)
        self.us = (cpu() - start) / times * 1e6
        self.stop()

    def ping(self, i):
        return i

    def started(self, component):
        self.fire(Event.create("go", 20000))


async def await_tasks(times):
    """Microseconds of awaiting a new asyncio task."""
    import asyncio

    async def ping(i):
        return i
    create = asyncio.get_running_loop().create_task
    start = cpu()
    for i in range(times):
        await create(ping(i))
    return (cpu() - start) / times * 1e6


def bench_async(options):
    import asyncio
    ratios = []
    for _ in range(options[0]):
        app, served = AsyncCalls(), AsyncCalls()
        app.run()
        asyncio.run(served.serve())
        task = asyncio.run(await_tasks(20000))
        ratios.append((app.us / task, served.us / task, app.us, task))
    own, inside, us, task = (statistics.median(column) for column in zip(*ratios))
    print("%-34s %5.2f of an asyncio task  goal 2.5   %.2f us of %.2f" % (
        "await a call", own, us, task), flush=True)
    print("%-34s %5.2f of an asyncio task" % ("await a call, inside asyncio", inside), flush=True)
    beside = Ours(1)
    for _ in range(10):
        type("Other", (Component,), {"other": AsyncCalls.go})().register(beside.app)
    while beside.app:
        beside.app.flush()
    ratio, us = compare(Ours(1), beside, *options)
    print("%-34s %5.2f of the same alone  goal 1.0   %.2f us" % (
        "a handler beside async ones", ratio, us), flush=True)


class Alarm(Component):
    def started(self, component):
        for i in range(self.left):
            Timer(0.2 + i / 10000, Ping()).register(self)

    def ping(self):
        self.left -= 1
        if not self.left:
            self.stop()


def due_timers(times):
    """Microseconds for each of some Timers, from making it to its end."""
    app, start = Alarm(), cpu()
    app.left = times
    app.run()
    return (cpu() - start) / times * 1e6


async def await_timers(times):
    """The same with asyncio's call_later."""
    import asyncio
    loop = asyncio.get_running_loop()
    over, left, start = loop.create_future(), list(range(times)), cpu()

    def ping(i):
        left.pop()
        if not left:
            over.set_result(None)
    for i in range(times):
        loop.call_later(0.2 + i / 10000, ping, i)
    await over
    return (cpu() - start) / times * 1e6


def bench_timers(options):
    app = Ours(1)
    before = timed(app, options[1])
    for _ in range(10000):
        Timer(3600, Ping()).register(app.app)
    while app.app:
        app.app.flush()
    after = timed(app, options[1])
    print("%-34s %+5.2f us/event  goal 0 (of %.2f)" % (
        "10,000 sleeping timers add", after - before, before), flush=True)
    import asyncio
    ratios = [(asyncio.run(await_timers(5000)), due_timers(5000)) for _ in range(options[0])]
    print("%-34s %5.2f of asyncio  goal 1.00   %6.2f us" % (
        "5,000 timers made, due in 0.5 s", statistics.median(a / o for a, o in ratios),
        statistics.median(o for _, o in ratios)), flush=True)


def bench_component(options):
    code = ("import sys, time; sys.path.insert(0, %r); from circuits import Component\n"
            "class C(Component):\n    def ping(self): pass\n"
            "def rss(): return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
            "root = Component(); C().register(root); n = 10000\n"
            "a, t = rss(), time.process_time()\nkeep = [C().register(root) for _ in range(n)]\n"
            "t = time.process_time() - t\nwhile root: root.flush()\n"
            "print((rss() - a) / n, t / n * 1e6)" % ROOT)
    if not os.path.exists("/proc/self/statm"):
        return print("memory per component: needs /proc")
    size, us = map(float, subprocess.check_output([sys.executable, "-c", code]).split())
    print("%-34s %5.0f bytes, %.1f us   goal 1500, 15" % ("a component, with one handler", size, us))


def bench_import(options):
    """Import time and peak memory, with the bytecode written as after the first run."""
    code = ("import sys, time; t = time.process_time()\nimport %s\nt = time.process_time() - t\n"
            "peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0] "
            "if sys.platform == 'linux' else 'nan'\nprint(t * 1e3, float(peak) / 1024)")
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(ROOT):
            if name.startswith("circuits") and name.endswith(".py"):
                shutil.copy(os.path.join(ROOT, name), folder)
        compileall.compile_dir(folder, quiet=2)
        for name, goal in (("circuits", 15), ("circuits_io", 20), ("circuits_web", 40)):
            runs = [subprocess.check_output([sys.executable, "-S", "-c", code % name], cwd=folder).split()
                    for _ in range(6)]
            ms, mib = (min(float(run[i]) for run in runs) for i in (0, 1))
            print("%-34s %5.1f ms, %.1f MiB peak   goal %d ms%s" % (
                "import " + name, ms, mib, goal, ", 12 MiB" if goal == 15 else ""), flush=True)


# -- servers, in processes of their own ---------------------------------------

BARE_ECHO = """
import select, socket, sys
server = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(server.getsockname()[1], flush=True)
server.setblocking(False)
epoll, socks = select.epoll(), {}
epoll.register(server, 1)
while True:
    for number, mask in epoll.poll():
        if number == server.fileno():
            sock = server.accept()[0]
            sock.setblocking(False)
            socks[sock.fileno()] = sock
            epoll.register(sock, 1)
            continue
        sock = socks[number]
        data = sock.recv(65536)
        if not data:
            socks.pop(number).close()
            continue
        while data:
            try:
                data = data[sock.send(data):]
            except BlockingIOError:
                select.select([], [sock], [])
"""

OUR_ECHO = """
import sys; sys.path.insert(0, %r)
from circuits import Component
from circuits_net import TCPServer, Write
class Echo(Component):
    channel = "server"
    def read(self, sock, data):
        self.fire(Write(sock, data))
server = TCPServer(("127.0.0.1", 0))
print(server.port, flush=True)
(Echo() + server).run()
""" % ROOT

BARE_WEB = BARE_ECHO.replace("""        while data:
""", """        out = []
        while data:
            head, _, data = data.partition(b"\\r\\n\\r\\n")
            lines = head.decode("latin-1").split("\\r\\n")
            method, target, version = lines[0].split(" ")
            headers = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            length = int(headers.get("content-length", 0))
            body, data = data[:length], data[length:]
            text = b"Hello World!"
            if target == "/form":
                fields = dict(item.split("=") for item in body.decode().split("&"))
                text = b"%d" % len(fields)
            elif target == "/json":
                text = JSON
            out.append(("HTTP/1.1 200 OK\\r\\nDate: %s\\r\\nContent-Type: text/html\\r\\n"
                        "Content-Length: %d\\r\\n\\r\\n" % ("now", len(text))).encode() + text)
        data = b"".join(out)
        while data:
""").replace("server =", "JSON = b'[' + b','.join([b'1234'] * 2047) + b']'\nserver =", 1)

BARE_SENDFILE = BARE_ECHO.replace("""        while data:
""", """        done = 0
        sock.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1048576\\r\\n\\r\\n")
        while done < 1048576:
            try:
                done += os.sendfile(number, file.fileno(), done, 1048576 - done)
            except BlockingIOError:
                select.select([], [sock], [])
        while not data:
""").replace("import select", "import os, tempfile, select", 1).replace(
    "server =", "file = tempfile.TemporaryFile()\nfile.truncate(1048576)\nserver =", 1)

OUR_WEB = """
import sys; sys.path.insert(0, %r)
from circuits_web import Controller, Server
JSON = b'[' + b','.join([b'1234'] * 2047) + b']'
class Root(Controller):
    def index(self):
        return "Hello World!"
    def form(self, **fields):
        return str(len(fields))
    def json(self):
        self.response.headers["Content-Type"] = "application/json"
        return JSON
server = Server(("127.0.0.1", 0))
print(server.port, flush=True)
(server + Root()).run()
""" % ROOT

OUR_STATIC = """
import sys, tempfile; sys.path.insert(0, %r)
from circuits_web import Server, Static
server = Server(("127.0.0.1", 0))
with tempfile.TemporaryDirectory() as folder:
    with open(folder + "/big.bin", "wb") as file:
        file.truncate(1048576)
    print(server.port, flush=True)
    (server + Static(docroot=folder)).run()
""" % ROOT

OUR_BASE_WEB = """
import sys; sys.path.insert(0, %r)
from circuits import Component
from circuits_web import BaseServer
class Root(Component):
    def request(self, request, response):
        return "Hello World!"
server = BaseServer(("127.0.0.1", 0))
print(server.port, flush=True)
(server + Root()).run()
""" % ROOT

# Frames are unmasked as fast as Python can (short ones by one large xor, long
# ones by four strided translations) and sent back; no control frames, no
# fragments, no UTF-8.
BARE_WEBSOCKET = """
from base64 import b64encode
from hashlib import sha1
XOR = [bytes(i ^ m for i in range(256)) for m in range(256)]
def echo(data):
    out, pos, end = [], 0, len(data)
    while end - pos >= 6:
        size, start = data[pos + 1] & 127, pos + 6
        if size > 125:
            start += 2 if size == 126 else 8
            size = int.from_bytes(data[pos + 2:start - 4], "big")
        if end < start + size:
            break
        mask, body = data[start - 4:start], data[start:start + size]
        if size < 512:
            body = (int.from_bytes(body, "little") ^ int.from_bytes(
                (mask * (size // 4 + 1))[:size], "little")).to_bytes(size, "little")
        else:
            body = bytearray(body)
            for i in (0, 1, 2, 3):
                body[i::4] = body[i::4].translate(XOR[mask[i]])
        head = bytes((data[pos], min(size, 126) if size < 65536 else 127))
        if size > 125:
            head += size.to_bytes(2 if size < 65536 else 8, "big")
        out += head, body
        pos = start + size
    return b"".join(out), data[pos:]
rest = {}
""" + BARE_ECHO.replace("65536", "126976").replace("socks.pop(number).close()", """socks.pop(number).close()
            rest.pop(number, None)""").replace("        while data:\n", """        if number in rest:
            data, rest[number] = echo(rest[number] + data)
        else:
            key = data.split(b"Key: ")[1].split(b"\\r\\n")[0]
            data, rest[number] = (b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\n"
                b"Connection: Upgrade\\r\\nSec-WebSocket-Accept: " + b64encode(sha1(
                key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()) + b"\\r\\n\\r\\n"), b""
        while data:
""")

OUR_WEBSOCKET = """
import sys; sys.path.insert(0, %r)
from circuits import Component
from circuits_net import Write
from circuits_web import Server, WebSockets
class Echo(Component):
    channel = "ws"
    def read(self, sock, data):
        self.fire(Write(sock, data))
server = Server(("127.0.0.1", 0))
print(server.port, flush=True)
(server + WebSockets("/") + Echo()).run()
""" % ROOT


def cpu_of(pid):
    """Seconds of CPU that a process has used."""
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def served(code, connections, message, reply, seconds, hello=b""):
    """Microseconds of a server's CPU per message, closed loop; *hello* goes first."""
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)     # it ends with connections open
    try:
        port = int(server.stdout.readline())
        poller = selectors.DefaultSelector()
        if reply is None:
            reply = length_of_answer(port, message)
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port))
            poller.register(sock, selectors.EVENT_READ, [0])
            if hello:
                sock.sendall(hello)
                sock.recv(4096)
            sock.sendall(message)
        before, count, end = None, 0, time.perf_counter() + 0.2
        while True:
            for key, _ in poller.select(5):
                got = key.data
                got[0] += len(key.fileobj.recv(262144))
                if got[0] >= reply:
                    got[0] = 0
                    count += 1
                    key.fileobj.sendall(message)
            if time.perf_counter() > end:
                if before is not None:
                    return (cpu_of(server.pid) - before) / count * 1e6
                before, count, end = cpu_of(server.pid), 0, time.perf_counter() + seconds
    finally:
        for key in list(poller.get_map().values()):
            key.fileobj.close()
        server.kill()
        server.communicate()


def length_of_answer(port, message):
    """Bytes that come back for *message*: all that comes within a while."""
    with socket.create_connection(("127.0.0.1", port), 0.3) as sock:
        sock.sendall(message)
        size = 0
        while True:
            try:
                size += len(sock.recv(262144))
            except socket.timeout:
                return size


def idle_memory(code, request, connections=4000, before_them=2000):
    """Bytes of a server's memory per connection that was served and is idle now.

    It starts from bytecode: compiling leaves free memory, which would hide it.
    """
    cache = tempfile.mkdtemp()
    environment = dict(os.environ, PYTHONPYCACHEPREFIX=cache)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", code.replace("print(", "raise SystemExit #", 1)], env=environment)
    server = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    port = int(server.stdout.readline())
    socks = []

    def resident():
        with open("/proc/%d/statm" % server.pid) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        for number in range(before_them + connections):
            if number == before_them:   # what is needed once, and memory kept free, is used
                before = resident()
            sock = socket.create_connection(("127.0.0.1", port))
            socks.append(sock)
            sock.sendall(request)
            sock.recv(4096)
        return (resident() - before) / connections
    finally:
        for sock in socks:
            sock.close()
        server.kill()
        server.communicate()
        shutil.rmtree(cache, ignore_errors=True)


def bench_served(name, goal, bare, ours, connections, message, reply, options, hello=b""):
    if not os.path.exists("/proc/self/stat") or not hasattr(select, "epoll"):
        return print("%-34s needs Linux" % name)
    pairs = [(served(bare, connections, message, reply, options[1] * 2, hello),
              served(ours, connections, message, reply, options[1] * 2, hello))
             for _ in range(options[0])]
    print("%-34s %5.2f of bare  goal %.2f   %6.2f us" % (
        name, statistics.median(b / o for b, o in pairs), goal,
        statistics.median(o for _, o in pairs)), flush=True)


def allow_connections():
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))


def bench_tcp(options):
    allow_connections()
    small, large = b"x" * 64, b"x" * 65536
    bench_served("echo, 50 connections, 64 B", 0.50, BARE_ECHO, OUR_ECHO, 50, small, 64, options)
    bench_served("echo, 8 connections, 64 KiB", 0.70, BARE_ECHO, OUR_ECHO, 8, large, 65536, options)
    bench_served("echo, 2,000 connections, 64 B", 0.50, BARE_ECHO, OUR_ECHO, 2000, small, 64, options)


def bench_web(options):
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    bench_served("Server + Controller, hello", 0.19, BARE_WEB, OUR_WEB, 50, request, None, options)
    bench_served("BaseServer, hello", 0.29, BARE_WEB, OUR_BASE_WEB, 50, request, None, options)
    bench_served("16 pipelined", 0.12, BARE_WEB, OUR_WEB, 50, 16 * request, None, options)
    form = b"&".join(b"field%d=" % n + b"x" * 40 for n in range(20))
    post = b"POST /form HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n" \
        b"Content-Length: %d\r\n\r\n%s" % (len(form), form)
    bench_served("form, 1 KiB", 0.30, BARE_WEB, OUR_WEB, 50, post, None, options)
    bench_served("JSON, 10 KiB, ready-made", 0.22, BARE_WEB, OUR_WEB, 50,
                 request.replace(b"/ ", b"/json "), None, options)
    bench_served("static file, 1 MiB, sendfile", 0.50, BARE_SENDFILE, OUR_STATIC, 8,
                 request.replace(b"/ ", b"/big.bin "), None, options)
    if os.path.exists("/proc/self/statm"):
        allow_connections()
        print("%-34s %5d bytes   goal 2048" % (
            "an idle HTTP connection", idle_memory(OUR_WEB, request)), flush=True)


class Gets(Component):
    """Gets one page again and again over a kept connection."""

    def init(self, url, times):
        from circuits_web import Client
        self.url, self.times = url, times
        self.client = Client().register(self)

    async def started(self, component):
        await self.client.get(self.url)
        start = cpu()
        for _ in range(self.times):
            response = await self.client.get(self.url)
            if response.content != b"Hello World!":
                raise AssertionError(response)
        self.us = (cpu() - start) / self.times * 1e6
        self.stop()


def library_gets(port, times):
    """Microseconds of http.client for the same."""
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", port)
    start = cpu()
    for _ in range(times):
        connection.request("GET", "/")
        if connection.getresponse().read() != b"Hello World!":
            raise AssertionError("not our page")
    used = (cpu() - start) / times * 1e6
    connection.close()
    return used


def bench_client(options):
    server = subprocess.Popen([sys.executable, "-c", OUR_WEB], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    try:
        port = int(server.stdout.readline())
        pairs = []
        for _ in range(options[0]):
            app = Gets("http://127.0.0.1:%d/" % port, int(options[1] * 5000))
            app.run()
            pairs.append((library_gets(port, app.times), app.us))
    finally:
        server.kill()
        server.communicate()
    print("%-34s %5.2f of http.client's CPU  goal 2.5   %.2f us" % (
        "client get, kept connection", statistics.median(o / b for b, o in pairs),
        statistics.median(o for _, o in pairs)), flush=True)


def bench_websocket(options):
    hello = (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    small = b"\x81\xc0mask" + bytes(i & 15 for i in range(64))
    large = b"\x82\xff" + (65536).to_bytes(8, "big") + b"mask" + bytes(65536)
    for name, goal, connections, message, reply in (
            ("WebSocket, 50 connections, 64 B", 0.40, 50, small, 66),
            ("WebSocket, 16 of 64 B at once", 0.15, 50, small * 16, 66 * 16),
            ("WebSocket, 8 connections, 64 KiB", 0.90, 8, large, 65546)):
        bench_served(name, goal, BARE_WEBSOCKET, OUR_WEBSOCKET, connections, message, reply, options, hello)
    if os.path.exists("/proc/self/statm"):
        allow_connections()
        print("%-34s %5d bytes   goal 4096" % (
            "an idle WebSocket", idle_memory(OUR_WEBSOCKET, hello)), flush=True)


PIPE_SIZE = 100 << 20

BARE_COPY = """
import os
while True:
    data = os.read(0, 65536)
    if not data:
        break
    while data:
        data = data[os.write(1, data):]
"""

OUR_COPY = """
import sys; sys.path.insert(0, %r)
from circuits import Component, handler
from circuits_io import Close, File, Write
class Copy(Component):
    @handler("read", channel="in")
    def _on_read(self, data):
        self.fire(Write(data), "out")
    @handler("eof", channel="in")
    def _on_eof(self):
        self.fire(Close(), "out")
    @handler("closed", channel="out")
    def _on_closed(self):
        raise SystemExit(0)
(Copy() + File(0, "r", channel="in") + File(1, "w", channel="out")).run()
""" % ROOT


def piped(code, size=PIPE_SIZE):
    """Seconds of CPU for *size* bytes from a process through *code* to another."""
    source = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE)
    copy = subprocess.Popen([sys.executable, "-c", code], stdin=source.stdout, stdout=subprocess.PIPE)
    sink = subprocess.Popen(["wc", "-c"], stdin=copy.stdout, stdout=subprocess.PIPE)
    source.stdout.close()
    copy.stdout.close()
    _, status, used = os.wait4(copy.pid, 0)
    copy.returncode = status
    if int(sink.communicate()[0]) != size or status or source.wait():
        raise AssertionError("the copy is not complete")
    return used.ru_utime + used.ru_stime


def bench_io(options):
    """Of the least disturbed rounds: what else runs only adds, and to three processes at once."""
    codes = BARE_COPY, OUR_COPY
    starts = [min(piped(code, 0) for _ in range(3)) for code in codes]
    rounds = [[piped(code) - start for code, start in zip(codes, starts)] for _ in range(3 * options[0])]
    bare, ours = (min(column) for column in zip(*rounds))
    print("%-34s %5.2f of bare  goal %.2f   %6.2f s" % ("100 MB through two Files", bare / ours, 0.70, ours),
          flush=True)


BENCHES = {"dispatch": bench_dispatch, "call": bench_call, "async": bench_async, "timers": bench_timers,
           "component": bench_component, "import": bench_import, "tcp": bench_tcp, "web": bench_web,
           "client": bench_client, "websocket": bench_websocket, "io": bench_io}


def main(args):
    quick = "--quick" in args
    names = [a for a in args if not a.startswith("-")] or list(BENCHES)
    unknown = [n for n in names if n not in BENCHES]
    if unknown or "--help" in args or "-h" in args:
        print(__doc__, "\nNAME is one of:", ", ".join(BENCHES))
        return bool(unknown)
    for name in names:
        BENCHES[name]((3, 0.15) if quick else (7, 0.4))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
