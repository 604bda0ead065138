"""Tests of the four files; standard library only.

    python3 test_circuits.py                    all of them
    python3 test_circuits.py TestValues         one class
    python3 test_circuits.py TestValues.test_one_result_stands_bare

The order is that of the modules.  A test takes the lowest rung that can
fail: pure functions, events in one process, two codecs back to back, a
loopback socket, a subprocess.  There are no sleeps: tests wait for conditions
(wait_for) or turn a clock of their own (FakeClock).  Whatever a test leaves on
stderr, in the logs or as a warning fails it, unless it says it expects it.

What needs an outside program (curl, chromium, another Python) is skipped
where that is missing; .ci/run installs them all.
"""

# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the circuits-in-four-files authors

import ast
import doctest
import gc
import glob
import io
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.path.join(os.path.dirname(HERE), "shared")
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import circuits
from circuits import BaseComponent, Component, Debugger, Event, Manager, Timer, Worker
from circuits import handler, sleep

# What a slow machine may take before a condition counts as never coming true.
PATIENCE = float(os.environ.get("CIRCUITS_TEST_PATIENCE", 20))


# ---------------------------------------------------------------------------
# Harness
# ---------------------------------------------------------------------------

class Recorder(BaseComponent):
    """Notes every event that its tree sees, in order: rec.names, rec.events."""

    def __init__(self, *ignored, **kwargs):
        self.events = []
        self.ignored = set(ignored) | {"generate_events", "_read", "_write", "_disconnect"}
        super().__init__(**kwargs)

    @handler(channel="*", priority=1000)
    def _on_event(self, event, *args, **kwargs):
        if event.name not in self.ignored:
            self.events.append(event)

    @property
    def names(self):
        return [event.name for event in self.events]

    def named(self, name):
        """The events of that name."""
        return [event for event in self.events if event.name == name]

    def clear(self):
        del self.events[:]


class FakeClock:
    """Monotonic seconds that pass when the test says so.

    It starts at an odd number, so that mixing it with a real clock shows.
    """

    def __init__(self):
        self.now = 123456.75

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


def pump(app, until=None, rounds=10000):
    """Turn a tree by hand until its queue is empty, or until() is true."""
    for _ in range(rounds):
        if until is not None and until():
            return
        app.tick(0.01 if until is not None and not len(app) else 0)
        if until is None and not len(app):
            return
    raise AssertionError("still not: %s, after %d rounds; queue %r"
                         % (until or "empty", rounds, list(app._queue)[:3]))


def wait_for(condition, what=None):
    """Wait until condition() is true; returns what it returned."""
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError("never came true: %s" % (what or condition))
        time.sleep(0.002)


def child(code, *args, cwd=None, env=None, flags=(), timeout=None, check=True, stdin=None):
    """Run Python code in a fresh interpreter; returns (stdout, stderr) as text."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment.update(PYTHONDONTWRITEBYTECODE="1", **(env or {}))
    done = subprocess.run([sys.executable, *flags, "-c", textwrap.dedent(code), *args],
                          cwd=cwd or HERE, env=environment, input=stdin, timeout=timeout or 3 * PATIENCE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    if check and done.returncode:
        raise AssertionError("exit status %d\n%s\n%s" % (done.returncode, done.stdout, done.stderr))
    return done.stdout, done.stderr


class serving:
    """Run a tree in a thread: ``with serving(app) as app: ...``."""

    def __init__(self, app):
        self.app = app

    def __enter__(self):
        self.app.start()
        return self.app

    def __exit__(self, *exc):
        self.app.stop()
        self.app.join(PATIENCE)
        if self.app.running:
            raise AssertionError("%r does not stop" % self.app)


def raw(port, data=b"", until=None, host="127.0.0.1", shut=False):
    """Send bytes to a port; returns what comes back, to the end or until *until*."""
    with socket.create_connection((host, port), PATIENCE) as sock:
        sock.sendall(data)
        if shut:
            sock.shutdown(socket.SHUT_WR)
        received = bytearray()
        while until is None or not (until(received) if callable(until) else until in received):
            piece = sock.recv(65536)
            if not piece:
                break
            received += piece
        return bytes(received)


class CircuitsTest(unittest.TestCase):
    """A test that fails if anything reaches stderr unexpectedly.

    expect_stderr(text) says that a line with *text* will.
    """

    maxDiff = 4000

    def run(self, result=None):
        self._expected = []
        self._stderr = sys.stderr
        self._noise = sys.stderr = io.StringIO()
        try:
            super().run(result)
        finally:
            sys.stderr = self._stderr

    def doCleanups(self):
        done = super().doCleanups()
        noise = self._noise.getvalue()
        self._noise.seek(0)
        self._noise.truncate()
        with self._outcome.testPartExecutor(self):
            for text in self._expected:
                if text not in noise:
                    raise AssertionError("expected on stderr: %r\ngot: %s" % (text, noise))
            if noise and not self._expected:
                raise AssertionError("unexpected on stderr:\n" + noise)
        return done

    def expect_stderr(self, text):
        self._expected.append(text)

    def assertFired(self, rec, *names):
        """The events *names* were seen, in this order, others between them allowed."""
        rest = iter(rec.names)
        for name in names:
            if name not in rest:
                raise AssertionError("%s not fired in order %s; seen: %s" % (name, names, rec.names))

    def assertNotFired(self, rec, *names):
        for name in names:
            if name in rec.names:
                raise AssertionError("%s was fired; seen: %s" % (name, rec.names))

    def folder(self, **files):
        """A temporary folder, removed afterwards, with these files in it."""
        path = tempfile.mkdtemp(prefix="circuits-test-")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        for name, text in files.items():
            with open(os.path.join(path, name), "w", encoding="utf-8") as file:
                file.write(textwrap.dedent(text))
        return path


def make_app(*components):
    """A root with these below it, settled: what registering fired is gone."""
    app = Component()
    for component in components:
        component.register(app)
    pump(app)
    for component in components:
        if isinstance(component, Recorder):
            component.clear()
    return app


# ---------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------

def main():
    """Run the tests named on the command line, or all; the last line counts them."""
    warnings.simplefilter("error" if sys.warnoptions else "default")
    loader = unittest.TestLoader()
    here = sys.modules[__name__]
    args = [arg for arg in sys.argv[1:] if not arg.startswith("-")]
    suite = loader.loadTestsFromNames(args, here) if args else loader.loadTestsFromModule(here)
    runner = unittest.TextTestRunner(verbosity=2 if "-v" in sys.argv else 1, failfast="-f" in sys.argv)
    result = runner.run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    print("%d passed, %d failed, %d skipped" % (result.testsRun - failed - skipped, failed, skipped))
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
