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
import shutil
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


def bench_call(options):
    app = Calls()
    app.run()
    print("%-34s %5.2f us        goal 15" % ("call round trip, idle", app.us), flush=True)


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
        for name, goal in (("circuits", 15), ("circuits_web", 40)):
            runs = [subprocess.check_output([sys.executable, "-S", "-c", code % name], cwd=folder).split()
                    for _ in range(6)]
            ms, mib = (min(float(run[i]) for run in runs) for i in (0, 1))
            print("%-34s %5.1f ms, %.1f MiB peak   goal %d ms%s" % (
                "import " + name, ms, mib, goal, ", 12 MiB" if goal == 15 else ""), flush=True)


BENCHES = {"dispatch": bench_dispatch, "call": bench_call, "timers": bench_timers,
           "component": bench_component, "import": bench_import}


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
