"""Tests of the four files; standard library only.

    python3 test_circuits.py                    all of them
    python3 test_circuits.py TestValues         one class
    python3 test_circuits.py TestValues.test_one_result_stands_bare
    python3 test_circuits.py --full TestWebAbuse        a gigabyte, a million chunks, ...
    python3 test_circuits.py --slow             name the slowest
    python3 test_circuits.py --help             what else there is

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

import argparse
import ast
import asyncio
import atexit
import contextvars
import doctest
import errno
import faulthandler
import gc
import glob
import hashlib
import http.client
import io
import json
import os
import pickle
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import warnings
import weakref

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.path.join(os.path.dirname(HERE), "shared")
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import circuits
import circuits_io
import circuits_net
import circuits_web
from circuits import BaseComponent, Component, Debugger, Event, Manager, Timer, Worker
from circuits import handler, sleep

# What a slow machine may take before a condition counts as never coming true.
PATIENCE = float(os.environ.get("CIRCUITS_TEST_PATIENCE", 20))

# Whether to run some tests in the sizes of their names; less finds the same.
FULL = "--full" in sys.argv


# Where the processes that tests start find the bytecode of the four files; gone afterwards.
# To compile them each time would be half of what the suite takes.
if "PYTHONPYCACHEPREFIX" not in os.environ:
    os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="circuits-test-")

    @atexit.register
    def _remove_bytecode(pid=os.getpid()):
        if pid == os.getpid():
            shutil.rmtree(BYTECODE, ignore_errors=True)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
BYTECODE = os.environ["PYTHONPYCACHEPREFIX"]

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


def in_thread(function):
    """Call *function* in a thread of its own, to its end."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(PATIENCE)


def child(code, *args, cwd=None, env=None, flags=(), timeout=None, check=True, stdin=None):
    """Run Python code in a fresh interpreter; returns (stdout, stderr) as text."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment.update(PYTHONPYCACHEPREFIX=BYTECODE, **(env or {}))
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
# circuits.py: events
# ---------------------------------------------------------------------------

class Foo(Event):
    """An event for tests."""


class Hello(Event):
    """Another one."""


class TestEvents(CircuitsTest):

    def test_what_events_and_values_get_later_has_its_place(self):
        if sys.implementation.name != "cpython":
            return                      # there it is not ours to say
        out, err = child("""
            import tracemalloc
            from circuits import Component, Event

            class Foo(Event):
                pass
            app = Component()
            events = [Foo() for _ in range(2000)]
            tracemalloc.start()
            for event in events:
                event.channels = event._value = event._waiters = event.handler = None
            print(tracemalloc.get_traced_memory()[0] < 2000 * 20)
            tracemalloc.stop()
            values = [app.fire(Foo()) for _ in range(2000)]
            tracemalloc.start()
            for value in values:
                value._value = value._count = value.result = value.promise = None
            print(tracemalloc.get_traced_memory()[0] < 2000 * 20)
            """)
        self.assertEqual(out.split(), ["True", "True"])

    def test_classes_of_odd_kinds(self):
        class Both(Event, Exception):
            pass

        class Mapping(dict, Event):
            def __init__(self, **items):
                dict.__init__(self, **items)
                Event.__init__(self)

        class Loud(Event):
            def __del__(self):
                log.append(self.args)

        class Typed:
            def __get__(self, event, owner=None):
                return () if event is None else vars(event).get("_places", ())

            def __set__(self, event, places):
                vars(event)["_places"] = tuple(places)

        class Placed(Event):
            channels = Typed()
        log = []

        class Log(Component):
            @handler("both", "loud", "placed")
            def _on_event(self, x):
                return x
        app = make_app(Log())
        values = [app.fire(event) for event in (Both(1), Loud(3), Placed(4))]
        pump(app)
        self.assertEqual([value.value for value in values], [1, 3, 4])
        self.assertEqual(Mapping(a=1)["a"], 1)
        del values, app
        gc.collect()
        self.assertEqual(log, [[3]])

    def test_channels_as_a_property(self):
        class Moving(Event):
            places = ()

            @property
            def channels(self):
                return self.places

            @channels.setter
            def channels(self, places):
                self.places = places + ("log",)

        class Log(Component):
            channel = "log"

            def moving(self):
                return "logged"
        app = make_app(Log())
        value = app.fire(Moving(), "here")
        pump(app)
        self.assertEqual((value.value, value.event.places), ("logged", ("here", "log")))

    def test_names_come_from_the_class(self):
        table = {"FooBar": "foo_bar", "HTTPError": "httperror", "EOF": "eof", "WritePID": "write_pid",
                 "AddPath": "add_path", "getHTTPResponse": "get_httpresponse", "A1B": "a1_b",
                 "FOOBar2Baz": "foobar2_baz", "foo_Bar": "foo_bar", "Foo_Bar": "foo_bar",
                 "foo": "foo", "foo_bar": "foo_bar"}
        for camel, name in table.items():
            self.assertEqual(circuits.uncamel(camel), name)
            self.assertEqual(Event.create(camel).name, name)

    def test_own_name_is_kept_and_not_inherited(self):
        class My(Event):
            name = "custom"

        class Derived(My):
            pass
        self.assertEqual((My.name, Derived.name), ("custom", "derived"))

    def test_repr(self):
        app = Manager()
        class Test(Event):
            pass
        event = Test()
        self.assertEqual(repr(event), "<Test[.test] ( )>")
        app.fire(event)
        self.assertEqual(repr(event), "<Test[*.test] ( )>")
        event = Foo(1, "a", x=2)
        app.fire(event, "a")
        self.assertEqual(str(event), "<Foo[a.foo] (1, 'a' x=2)>")
        event = Foo(1)
        app.fire(event, "a", "b")
        self.assertEqual(repr(event), "<Foo[('a', 'b').foo] (1 )>")

    def test_repr_is_cut_and_never_raises(self):
        class Bad:
            def __repr__(self):
                raise ValueError("no")
        self.assertIn("Bad whose repr raises ValueError", repr(Foo(Bad())))
        self.assertLess(len(repr(Foo("x" * 1000000))), 5000)

    def test_indexing(self):
        event = Foo(1, 2, x=3)
        self.assertEqual((event[0], event["x"], list(event)), (1, 3, [1, 2]))
        event[0], event["x"] = 5, 6
        self.assertEqual((event.args, event.kwargs), ([5, 2], {"x": 6}))
        with self.assertRaisesRegex(TypeError, r"^Expected int or str, got <class 'float'>$"):
            event[1.5]
        with self.assertRaisesRegex(TypeError, "^Expected int or str"):
            event[None] = 1

    def test_create_takes_any_keyword(self):
        event = Event.create("Foo", 1, name="x", cls="y")
        self.assertEqual((event.args, event.kwargs), ([1], {"name": "x", "cls": "y"}))
        self.assertIs(type(event), type(Event.create("Foo")))
        self.assertIsInstance(Hello.create("Bar"), Hello)

    def test_created_classes_do_not_pile_up(self):
        for i in range(2500):
            Event.create("made_%d" % i)
        self.assertLessEqual(len(Event._made_classes), 1000)

    def test_literal_event(self):
        class getFoo(circuits.LiteralEvent):
            success = True
        self.assertEqual(getFoo.name, "getFoo")
        self.assertEqual(circuits.LiteralEvent.create(Event, "getBar").name, "getBar")
        self.assertIsInstance(circuits.LiteralEvent.create(Foo, "getBar", 1), Foo)

        class App(Component):
            def getFoo(self):
                return 1

            def getFoo_success(self, evt, value):
                self.seen = value
        app = App()
        app.fire(getFoo())
        pump(app)
        self.assertEqual(app.seen, 1)

    def test_child(self):
        child = Foo(1).child("part", 2)
        self.assertEqual((child.name, child.args, child.parent.name, child.success),
                         ("foo_part", [2], "foo", False))

    def test_pickle_and_copy(self):
        event = Foo(1, x=2)
        Manager().fire(event)
        other = pickle.loads(pickle.dumps(event))
        self.assertEqual((other.args, other.kwargs, other.channels, other.handler),
                         ([1], {"x": 2}, ("*",), None))
        Manager().fire(other)

    def test_stop_and_cancel(self):
        class App(Component):
            @handler("foo", priority=2)
            def _on_foo(self, event):
                event.stop()
                return 1

            def foo(self):
                return 2
        app = App()
        value = app.fire(Foo())
        cancelled = Foo()
        nothing = app.fire(cancelled)
        cancelled.cancel()
        pump(app)
        self.assertEqual((value.value, nothing.value, nothing.result), (1, None, False))
        self.assertEqual(app.fire(cancelled).value, None)
        pump(app)
        self.assertEqual(cancelled.value.value, 1)  # fired anew, it is not cancelled

    def test_forgotten_super_init_is_named(self):
        class Bad(Event):
            def __init__(self):
                pass
        with self.assertRaisesRegex(TypeError, r"Bad.__init__ must call super\(\).__init__"):
            Manager().fire(Bad())

    def test_fire_refuses_what_is_no_event(self):
        with self.assertRaisesRegex(TypeError, r"got its class: fire\(Foo\(...\)\)"):
            Manager().fire(Foo)
        with self.assertRaisesRegex(TypeError, "takes an event, got 'foo'"):
            Manager().fire("foo")

    def test_an_event_fired_twice_keeps_two_values(self):
        class App(Component):
            def foo(self):
                self.count = getattr(self, "count", 0) + 1
                return self.count
        app, event = App(), Foo()
        one, two = app.fire(event, "a"), app.fire(event, "*")
        pump(app)
        self.assertEqual((one.value, two.value), (1, 2))
        three = app.fire(event)
        pump(app)
        self.assertEqual(three.value, 3)

    def test_a_list_of_channels_becomes_a_tuple(self):
        class Both(Event):
            channels = ["a", "b"]

        class App(Component):
            channel = "b"

            def both(self):
                return True
        app = App()
        value = app.fire(Both())
        pump(app)
        self.assertIs(value.value, True)

    def test_unhashable_channel_is_an_error_event(self):
        rec = Recorder()
        app = make_app(rec)
        self.expect_stderr("a channel must be hashable")
        app.fire(Foo(), {})
        app.fire(Hello())
        pump(app)
        self.assertFired(rec, "hello", "error")


# ---------------------------------------------------------------------------
# circuits.py: values
# ---------------------------------------------------------------------------

class ValueApp(Component):

    def hello(self):
        return "Hello World!"

    def test(self):
        return self.fire(Event.create("hello"))

    def values(self):
        return "foo"

    @handler("values", priority=-1)
    def _values_2(self):
        return "bar"

    @handler("values", priority=-2)
    def _values_3(self):
        return self.fire(Event.create("hello"))

    def boom(self):
        raise ValueError("boom")


class TestValues(CircuitsTest):

    def fired(self, name, app=None):
        app = ValueApp() if app is None else app    # an idle component is false
        value = app.fire(Event.create(name))
        pump(app)
        return value

    def test_one_result_stands_bare(self):
        value = self.fired("hello")
        self.assertEqual((value.value, value.result, value.errors, value.promise),
                         ("Hello World!", True, False, False))
        self.assertIn("Hello World!", value)
        self.assertNotIn("x", value)
        self.assertEqual(str(value), "Hello World!")

    def test_nested_value_is_followed(self):
        value = self.fired("test")
        self.assertEqual((value.value, value.result), ("Hello World!", True))
        inner = value.getValue(recursive=False)
        self.assertIsInstance(inner, circuits.Value)
        self.assertIs(inner.parent, value)
        self.assertIs(value.parent, value)

    def test_several_results_stand_in_order_of_priority(self):
        value = self.fired("values")
        self.assertEqual(list(value), ["foo", "bar", "Hello World!"])
        self.assertEqual(value[2], "Hello World!")
        self.assertIn("foo", value)

    def test_an_error_is_a_triple(self):
        self.expect_stderr("boom")
        value = self.fired("boom")
        etype, error, traceback = value
        self.assertIs(etype, ValueError)
        self.assertEqual(str(error), "boom")
        self.assertIsInstance(traceback, list)
        self.assertIn('raise ValueError("boom")', traceback[-1])
        self.assertTrue(value.errors)

    def test_list_result_is_one_result(self):
        class App(Component):
            def foo(self):
                return [1, 2]

            @handler("foo", priority=-1)
            def _foo(self):
                return 3
        self.assertEqual(self.fired("foo", App()).value, [[1, 2], 3])

    def test_setting_none(self):
        value = circuits.Value()
        value.value = None
        self.assertEqual((value.value, value.result), (None, False))
        value.value = 1
        value.value = None
        self.assertEqual(value.value, [1, None])

    def test_late_nested_value(self):
        outer, inner = circuits.Value(), circuits.Value()
        outer.value = inner
        self.assertEqual((outer.value, outer.result), (None, False))
        inner.value = "x"
        self.assertEqual((outer.value, outer.result), ("x", True))

    def test_nothing_is_lost_behind_an_empty_nested_value(self):
        outer, inner = circuits.Value(), circuits.Value()
        outer.value = inner
        outer.value = "y"
        inner.value = "x"
        self.assertEqual(list(outer), ["x", "y"])

    def test_repr(self):
        value = self.fired("hello")
        self.assertEqual(repr(value), "<Value ('Hello World!') result: True errors: False for "
                                      "<hello[*.hello] ( )>")
        self.assertTrue(repr(circuits.Value()).startswith("<Value () result: False errors: False for"))

    def test_value_of_an_event_is_the_one_returned(self):
        app, event = ValueApp(), Event.create("hello")
        value = app.fire(event)
        self.assertIs(event.value, value)
        pump(app)
        self.assertIs(event.value, value)
        self.assertIs(value.event, event)
        nothing = Event.create("nothing")
        app.fire(nothing)
        pump(app)
        self.assertEqual((nothing.value.value, nothing.value.result), (None, False))

    def notified(self, **flags):
        rec = Recorder()
        app = ValueApp() + rec
        pump(app)
        rec.clear()
        event = Event.create("HelloThere")
        for key, flag in flags.items():
            setattr(event, key, flag)

        class Other(Component):
            def hello_there(self):
                return 1

            @handler("hello_there", priority=-1)
            def _second(self):
                return 2

            def value_seen(self, value):
                self.fire(Event.create("seen", value.value))
        other = Other().register(app)
        value = other.fire(event)
        return app, rec, other, value

    def test_notify_fires_at_the_component_that_fired(self):
        app, rec, other, value = self.notified(notify=True)
        pump(app)
        changes = rec.named("hello_there_value_changed")
        self.assertEqual(len(changes), 2)
        self.assertEqual(changes[0].channels, (other,))
        self.assertIs(changes[0].args[0], value)

    def test_notify_may_name_an_event(self):
        app, rec, other, value = self.notified(notify="value_seen")
        pump(app)
        self.assertEqual([e.args[0] for e in rec.named("seen")], [[1, 2], [1, 2]])

    def test_notify_on_the_value(self):
        app, rec, other, value = self.notified()
        value.notify = True
        pump(app)
        self.assertFired(rec, "hello_there_value_changed")

    def test_generator_is_announced_once(self):
        class App(Component):
            def foo(self):
                yield 1
                yield 2
        rec = Recorder()
        app = App() + rec
        pump(app)
        event = Foo()
        event.notify = True
        value = app.fire(event)
        pump(app)
        self.assertEqual(rec.names.count("foo_value_changed"), 1)
        self.assertEqual(value.value, [1, 2])

    def test_pickle_drops_the_manager(self):
        value = self.fired("hello")
        value.event = None
        self.assertIsNone(pickle.loads(pickle.dumps(value)).manager)

    def test_endless_results_are_an_error(self):
        class App(Component):
            def foo(self):
                while True:
                    yield 1
        app = App()
        limit, circuits.MAX_RESULTS = circuits.MAX_RESULTS, 50
        self.addCleanup(setattr, circuits, "MAX_RESULTS", limit)
        self.expect_stderr("a handler yields without end")
        value = app.fire(Foo())
        pump(app)
        self.assertTrue(value.errors)


# ---------------------------------------------------------------------------
# circuits.py: handlers
# ---------------------------------------------------------------------------

class TestHandlers(CircuitsTest):

    def value_of(self, app, event, *channels):
        value = app.fire(event, *channels)
        pump(app)
        return value.value

    def test_marks(self):
        @handler("foo", "bar", channel="x", priority=1.5, filter=True, override=True)
        def f(self, event, a):
            pass
        self.assertEqual((f.handler, f.names, f.channel, f.priority, f.filter, f.override, f.event),
                         (True, ("foo", "bar"), "x", 1.5, True, True, True))
        self.assertIs(handler(False)(test_helper).handler, False)

    def test_bad_marks(self):
        with self.assertRaisesRegex(TypeError, r"needs its brackets: @handler\(\)"):
            handler(test_helper)
        with self.assertRaises(TypeError):
            handler("foo", prio=1)
        with self.assertRaisesRegex(TypeError, "marks functions"):
            handler("foo")(3)

    def test_public_methods_of_a_component_only(self):
        class App(Component):
            attribute = 3
            helper = staticmethod(lambda: 1)

            class Nested:
                pass

            def foo(self):
                return "foo"

            def _bar(self):
                return "bar"

            @handler(False)
            def baz(self):
                return "baz"

            @property
            def prop(self):
                raise AssertionError("evaluated")

            @classmethod
            def made(cls):
                pass

            def init(self):
                self.inits = getattr(self, "inits", 0) + 1
        app = App()
        for name in ("_bar", "baz", "prop", "helper", "made", "Nested", "init"):
            self.assertIsNone(self.value_of(app, Event.create(name)))
            self.assertFalse(App.handles(name))
        self.assertEqual(self.value_of(app, Foo()), "foo")
        self.assertEqual(app.inits, 1)
        self.assertTrue(App.handles("foo", "unregister") and App.handles())
        self.assertEqual(App.handlers(), ["unregister", "foo"])
        self.assertEqual(App.events(), app.handlers())

    def test_base_component_handles_what_is_marked(self):
        class App(BaseComponent):
            def foo(self):
                return 1

            @handler("foo")
            def _on_foo(self):
                return 2
        self.assertEqual(self.value_of(App(), Foo()), 2)

    def test_order_is_priority_then_registration(self):
        order = []

        def listener(number, priority):
            @handler("foo", priority=priority)
            def f(self):
                order.append(number)
            return f

        class A(BaseComponent):
            one, two = listener(1, 0), listener(2, 2)

        class B(BaseComponent):
            three, four, five = listener(3, 0), listener(4, 0.5), listener(5, -1)
        for times in range(3):
            app = make_app(A(), B(), A())
            del order[:]
            self.value_of(app, Foo())
            self.assertEqual(order, [2, 2, 4, 1, 3, 1, 5])

    def test_registration_order_does_not_depend_on_when_it_is_asked(self):
        order = []

        class Node(Component):
            def init(self, label):
                self.label = label

            def foo(self):
                order.append(self.label)
        for early in (False, True):
            app = Component()
            a, b = Node("a").register(app), Node("b").register(app)
            if early:
                self.value_of(app, Foo())
            (Node("c") + Node("d")).register(a)
            del order[:]
            self.value_of(app, Foo())
            self.assertEqual(order, ["a", "b", "c", "d"])

    def test_filter_stops_and_goes_first(self):
        class App(Component):
            answer = True

            def foo(self):
                return "listener"

            @handler("foo", filter=True)
            def _filter(self):
                return self.answer
        app = App()
        self.assertEqual(self.value_of(app, Foo()), True)
        for app.answer, expected in ((None, "listener"), (False, [False, "listener"]), (0, [0, "listener"])):
            self.assertEqual(self.value_of(app, Foo()), expected)

    def test_a_filter_that_raises_stops(self):
        class App(Component):
            def foo(self):
                raise AssertionError("let through")

            @handler("foo", filter=True, priority=1)
            def _filter(self):
                raise ValueError("denied")
        self.expect_stderr("denied")
        app = App()
        value = app.fire(Foo())
        pump(app)
        self.assertIs(value.value[0], ValueError)

    def test_a_filter_may_change_the_arguments(self):
        class App(Component):
            def foo(self, a):
                return a

            @handler("foo", priority=1)
            def _double(self, event, a):
                event[0] = 2 * a

            @handler("foo", priority=0.5)
            def _replace(self, event, a):
                event.args = [a + 1]
        self.assertEqual(self.value_of(App(), Foo(4)), 9)

    def test_channels(self):
        class A(Component):
            channel = "a"

            def foo(self):
                return "Foo"

        class B(Component):
            channel = "b"

            def foo(self):
                return "Hello World!"

        class Star(Component):
            def bar(self):
                return "star"
        a, b = A(), B()
        app = make_app(a, b, Star())
        table = [
            (Foo(), (), ["Foo", "Hello World!"]),       # the root's "*"
            (Foo(), ("a",), "Foo"),
            (Foo(), ("b",), "Hello World!"),
            (Foo(), ("a", "b"), ["Foo", "Hello World!"]),
            (Foo(), ("*",), ["Foo", "Hello World!"]),
            (Foo(), (a,), "Foo"),
            (Foo(), ("none",), None),
            (Event.create("bar"), ("a",), "star"),      # a "*" handler hears everything
            (Event.create("bar"), ("a", "b"), "star"),  # and once
            (Event.create("bar"), (b,), "star"),
        ]
        for event, channels, expected in table:
            self.assertEqual(self.value_of(app, event, *channels), expected, (event, channels))
        self.assertEqual(self.value_of(app, type("Foo", (Event,), {"channels": ("b",)})()), "Hello World!")
        value = a.fire(Foo())                           # the component's own channel
        pump(app)
        self.assertEqual(value.value, "Foo")

    def test_an_exact_event_is_not_for_those_who_hear_everything(self):
        class Exact(Event):
            exact = True

        class Star(Component):
            def exact(self):
                return "star"

        class Own(Component):
            channel = "own"

            def exact(self):
                return "own"
        rec = Recorder()
        app = make_app(Star(), Own(), rec)
        self.assertEqual(self.value_of(app, Exact(), "own"), "own")
        self.assertEqual(self.value_of(app, Event.create("exact"), "own"), ["star", "own"])
        self.assertEqual(rec.names, ["exact", "exact"])

    def test_any_hashable_is_a_channel(self):
        import uuid
        for channel in ((1, 1), uuid.uuid4(), 42, frozenset("ab")):
            class App(Component):
                def foo(self):
                    return "here"
            app = make_app(App(channel=channel))
            self.assertEqual(self.value_of(app, Foo(), channel), "here")
        self.assertIn("/(1, 1) ", repr(Component(channel=(1, 1))))

    def test_globals_and_listeners_without_names(self):
        class A(Component):
            channel = "a"

            def foo(self):
                return "Hello World!"

            @handler(priority=1)
            def _on_all(self, event, *args, **kwargs):
                return "Foo"

        class B(Component):
            @handler(channel="*", priority=2)
            def _on_event(self, event, *args, **kwargs):
                return "Bar"
        a = A()
        app = make_app(a, B())
        self.assertEqual(self.value_of(app, Foo(), "a"), ["Bar", "Foo", "Hello World!"])
        self.assertEqual(self.value_of(app, Foo(), "b"), "Bar")
        self.assertEqual(self.value_of(app, Foo(), a), ["Bar", "Foo", "Hello World!"])
        self.assertEqual(a._globals, set())
        self.assertEqual(len(app._children), 2)

    def test_event_parameter(self):
        class App(Component):
            def foo(self, event, a, b=2):
                return event.name, event.handler.__name__, a, b
        self.assertEqual(self.value_of(App(), Foo(1)), ("foo", "foo", 1, 2))

    def test_inheritance_is_additive_one_level(self):
        class A(Component):
            def foo(self):
                return "A"

        class B(A):
            @handler("foo", priority=-1)
            def foo(self):
                return "B"

        class C(B):
            @handler("foo", priority=-2)
            def foo(self):
                return "C"

        class Plain(A):
            pass
        self.assertEqual(self.value_of(B(), Foo()), ["A", "B"])
        self.assertEqual(self.value_of(C(), Foo()), ["B", "C"])
        self.assertEqual(self.value_of(Plain(), Foo()), "A")
        self.assertEqual(B().A_foo(), "A")

    def test_override(self):
        class A(Component):
            def foo(self):
                return "Hello World!"

        class B(A):
            @handler("foo", override=True)
            def foo(self):
                return "Foobar"
        self.assertEqual(self.value_of(B(), Foo()), "Foobar")

    def test_camel_case_handler_names(self):
        class Identify(Event):
            success = True

        class App(Component):
            def Identify(self):
                return 1

            def Identify_success(self, evt, value):
                self.seen = value
        app = App()
        self.assertEqual(self.value_of(app, Identify()), 1)
        self.assertEqual(app.seen, 1)

    def test_add_and_remove(self):
        @handler("foo")
        def on_foo(self):
            return "added to %s" % self.name
        app = make_app()
        self.assertEqual(app._handlers.get("foo"), None)
        self.assertIsNone(self.value_of(app, Foo()))
        bound = app.addHandler(on_foo)
        self.assertEqual(app._handlers["foo"], {bound})
        self.assertEqual(app.on_foo, bound)
        self.assertEqual(self.value_of(app, Foo()), "added to Component")
        app.removeHandler(bound)
        self.assertNotIn("foo", app._handlers)
        self.assertFalse(hasattr(app, "on_foo"))
        self.assertIsNone(self.value_of(app, Foo()))
        with self.assertRaises(KeyError):
            app.removeHandler(bound)

    def test_remove_from_one_name(self):
        class App(Component):
            @handler("foo", "hello")
            def _on(self):
                return 1
        app = App()
        app.removeHandler(app._on, "foo")
        self.assertEqual((self.value_of(app, Foo()), self.value_of(app, Hello())), (None, 1))
        self.assertEqual(self.value_of(App(), Foo()), 1)    # other instances keep it
        app.removeHandler(app._on, "hello")
        self.assertNotIn("hello", app._handlers)

    def test_global_handlers_can_be_removed(self):
        rec = Recorder()
        app = make_app(rec)
        rec.removeHandler(rec._on_event)
        app.fire(Foo())
        pump(app)
        self.assertEqual(rec.names, [])

    def test_added_to_a_running_system_from_outside(self):
        @handler("foo")
        def on_foo(self):
            return "yes"
        with serving(Component()) as app:
            bound = app.addHandler(on_foo)
            value = app.fire(Foo())
            wait_for(lambda: value.result)
            app.removeHandler(bound)
            value = app.fire(Foo())
            other = app.fire(Foo())
            wait_for(lambda: other.event._state == circuits.DONE)
            self.assertFalse(value.result)

    def test_reprhandler(self):
        class A(BaseComponent):
            @handler("foo")
            def foo(self):
                pass

            @handler("a", "b", channel="x", filter=True)
            def both(self):
                pass

            @handler(channel="*")
            def all(self):
                pass
        a = A()
        self.assertEqual(circuits.reprhandler(a.foo), "<listener[*.foo] (A.foo)>")
        self.assertEqual(circuits.reprhandler(a.both), "<filter[x.a.b] (A.both)>")
        self.assertEqual(circuits.reprhandler(a.all), "<listener[*.] (A.all)>")
        self.assertEqual(circuits.reprhandler(A.foo), "<listener[*.foo] (Unknown.foo)>")
        aimed = handler("foo", channel=a)(lambda self: 1)
        self.assertIn("<instance of A>", circuits.reprhandler(aimed))
        with self.assertRaises(AttributeError):
            circuits.reprhandler(test_helper)

    def test_arguments_that_do_not_fit_are_explained(self):
        class App(Component):
            def foo(self, a):
                return a

            def hello(self):
                return "on"
        app = App()
        self.expect_stderr("def foo(self, *args, **kwargs)")
        self.assertIs(self.value_of(app, Foo(1, 2))[0], TypeError)
        self.assertEqual(self.value_of(app, Hello()), "on")

    def test_get_handlers(self):
        class App(Component):
            def foo(self):
                pass
        app = make_app(App(channel="a"), Recorder())
        self.assertEqual(len(app.getHandlers(Foo(), "a")), 2)
        self.assertEqual(len(app.getHandlers(Foo(), "a", exclude_globals=True)), 1)
        self.assertEqual(len(app.getHandlers(Foo(), "b", exclude_globals=True)), 0)


def test_helper():
    """Stands for a function that is no handler."""


# ---------------------------------------------------------------------------
# circuits.py: dispatch, feedback and completion
# ---------------------------------------------------------------------------

class TestFeedback(CircuitsTest):

    class App(Component):
        channel = "app"

        def init(self):
            self.seen = []

        def test(self):
            self.fire(Foo())
            return "r"

        def bad(self):
            raise ValueError("bad")

        def bad_failure(self, evt, error):
            self.seen.append(("failure", evt.name, error[0]))

    def run_event(self, name, **flags):
        rec = Recorder()
        app = make_app(self.App(), rec)
        event = Event.create(name)
        for flag, value in flags.items():
            setattr(event, flag, value)
        value = app.fire(event, "app")
        pump(app)
        return rec, value, event

    def test_success_and_complete(self):
        rec, value, event = self.run_event("test", success=True, complete=True)
        self.assertEqual(rec.names, ["test", "foo", "test_success", "test_complete"])
        self.assertEqual(rec.named("test_success")[0].args, [event, "r"])
        self.assertEqual(rec.named("test_complete")[0].args, [event, "r"])
        self.assertIs(rec.named("test_success")[0].args[0].value, value)
        self.assertEqual(rec.named("test_success")[0].channels, ("app",))

    def test_failure_then_error_then_complete(self):
        self.expect_stderr("bad")
        rec, value, event = self.run_event("bad", success=True, failure=True, complete=True)
        self.assertEqual(rec.names, ["bad", "bad_failure", "error", "bad_complete"])
        error = rec.named("error")[0]
        self.assertEqual(error.channels, ("*",))
        self.assertIs(error.args[0], ValueError)
        self.assertEqual(error.args[3].__name__, "bad")

    def test_channels_of_feedback(self):
        rec, value, event = self.run_event("test", success=True, complete=True,
                                           success_channels=["s", "t"], complete_channels=("c",))
        self.assertEqual(rec.named("test_success")[0].channels, ("s", "t"))
        self.assertEqual(rec.named("test_complete")[0].channels, ("c",))
        for one, other in (("some", "other"), (5, object())):
            rec, value, event = self.run_event("test", success=True, complete=True,
                                               success_channels=one, complete_channels=other)
            self.assertEqual(rec.named("test_success")[0].channels, (one,))
            self.assertEqual(rec.named("test_complete")[0].channels, (other,))

    def test_custom_name_gives_both_feedback_names(self):
        class My(Event):
            name = "custom"
            success = True

        class App(Component):
            def custom(self):
                return 1

            def my_success(self, evt, value):
                self.one = value

            def custom_success(self, evt, value):
                self.two = value
        app = App()
        app.fire(My())
        pump(app)
        self.assertEqual((app.one, app.two), (1, 1))

    def test_a_failing_handler_does_not_stop_the_others(self):
        class App(Component):
            @handler("foo", priority=1)
            def _one(self):
                return 1

            def foo(self):
                raise ValueError("two")

            @handler("foo", priority=-1)
            def _three(self):
                return 3
        self.expect_stderr("two")
        app = App()
        value = app.fire(Foo())
        pump(app)
        self.assertEqual((value.value[0], value.value[1][0], value.value[2], value.errors),
                         (1, ValueError, 3, True))

    def test_error_goes_to_the_channel_of_the_root(self):
        class Root(Component):
            channel = "web"

            def error(self, etype, evalue, traceback, handler=None):
                self.seen = str(evalue)

        class Bad(Component):
            channel = "app"

            def foo(self):
                raise ValueError("here")
        app = Root() + Bad()
        app.fire(Foo(), "app")
        pump(app)
        self.assertEqual(app.seen, "here")

    def test_error_inside_an_error_handler_ends(self):
        class App(Component):
            def foo(self):
                raise ValueError("first")

            def error(self, *args):
                raise ValueError("second")
        self.expect_stderr("second")
        app = App()
        app.fire(Foo())
        pump(app)

    def test_exception_of_the_current_release(self):
        class App(Component):
            def foo(self):
                raise ValueError("x")

            def exception(self, etype, evalue, etraceback, handler=None, fevent=None):
                self.seen = etype, handler.__name__, fevent.name
        app = App()
        app.fire(Foo())
        pump(app)
        self.assertEqual(app.seen, (ValueError, "foo", "foo"))

    def test_fifo_and_priority_of_firing(self):
        rec = Recorder()
        app = make_app(rec)
        for i, priority in enumerate((0, 2, -1, 0, 2, -1)):
            app.fire(Foo(i), priority=priority)
        pump(app)
        self.assertEqual([e[0] for e in rec.events], [2, 5, 0, 3, 1, 4])
        rec.clear()
        for i in range(100):
            app.fire(Foo(i))
        pump(app)
        self.assertEqual([e[0] for e in rec.events], list(range(100)))

    def test_flush_leaves_what_is_fired_meanwhile(self):
        class App(Component):
            def foo(self, depth):
                if depth:
                    self.fire(Foo(depth - 1))
        app = App()
        app.fire(Foo(3))
        turns = 0
        while app:
            app.flush()
            turns += 1
        self.assertEqual(turns, 4)

    def test_flush_inside_a_handler_goes_on_with_the_batch(self):
        order = []

        class App(Component):
            def foo(self, i):
                order.append(i)
                if i == 1:
                    self.fire(Foo(4))
                    self.flush()
                    order.append("flushed")
        app = App()
        for i in (1, 2, 3):
            app.fire(Foo(i))
        app.flush()
        self.assertEqual(order, [1, 2, 3, "flushed"])
        app.flush()
        self.assertEqual(order[-1], 4)

    def test_tell_calls_own_steps_or_fires(self):
        log = []

        class Fact(Event):
            """Something happened."""

        class Own(BaseComponent):
            channel = "own"

            @circuits._own_step
            @handler("fact")
            def _on_fact(self, x):
                log.append(x)

            @circuits._own_step
            @handler("fact_value_changed")
            def _on_changed(self, value):
                pass
        own = Own()
        app = make_app(own)
        tell = app._reactor.tell
        tell(own, Fact, "own", 1)
        self.assertEqual((log, len(app)), ([1], 0))
        rec = Recorder().register(app)
        pump(app)
        tell(own, Fact, "own", 2)
        rec.unregister()
        app.flush()                         # the recorder is about to leave
        tell(own, Fact, "own", 3)
        pump(app)
        tell(own, Fact, "own", 4)
        self.assertEqual(log, [1, 2, 3, 4])
        self.assertIn("fact", rec.names)
        self.assertEqual(len(app), 0)

    def test_unwatched_feedback_is_not_built(self):
        made = []
        class Counted(Event):
            success = complete = notify = True
        original = circuits.Success.__init__

        def spy(self, *args, **kwargs):
            made.append(self)
            original(self, *args, **kwargs)
        circuits.DerivedEvent.__init__ = spy
        self.addCleanup(delattr, circuits.DerivedEvent, "__init__")
        app = Component()
        app.fire(Counted())
        pump(app)
        self.assertEqual(made, [])
        Recorder().register(app)
        app.fire(Counted())
        pump(app)
        self.assertEqual([e.name for e in made], ["counted_success", "counted_complete"])


class Step(Event):
    """Causes the next one."""


class TestComplete(CircuitsTest):
    """complete means complete, whichever way the tree is driven."""

    class App(Component):
        channel = "app"

        def init(self):
            self.log = []

        @handler("start")
        def _start(self):
            self.fire(Step(3))
            self.fire(Event.create("sleeper"))
            self.fire(Event.create("bad"))
            self.fire(Event.create("work"))

        def step(self, n):
            self.log.append(n)
            if n:
                self.fire(Step(n - 1))
                self.fire(Step(0))

        def sleeper(self):
            yield
            yield sleep(0.01)
            self.fire(Step(0))
            x = yield self.call(Event.create("inner"))
            self.log.append(x.value)

        def inner(self):
            yield self.wait("tock", timeout=PATIENCE)
            self.fire(Event.create("late"))
            return "inner"

        @handler("tick", channel="*")
        def _on_tick(self):
            self.fire(Event.create("tock"))

        def late(self):
            self.log.append("late")

        def bad(self):
            yield
            raise ValueError("planned")

        def work(self):
            value = yield self.call(circuits.Task(sum, [1, 2]), "worker")
            self.fire(Event.create("late"))
            self.log.append(value.value)

        def error(self, *args):
            self.log.append("error")

        def start_complete(self, evt, value):
            self.log.append("complete")
            self.stop()

    expected = sorted(map(str, [3, 2, 1, 0, 0, 0, 0, 0, "inner", "late", "late", "error", 3, "complete"]))

    def make(self):
        app = self.App()
        Worker(workers=1).register(app)
        self.addCleanup(app.stop)
        self.event = Event.create("start")
        self.event.complete = True
        app.fire(self.event)
        Timer(0.1, Event.create("tick"), persist=True).register(app)
        return app

    def check(self, app):
        self.assertEqual(app.log[-1], "complete")
        self.assertEqual(sorted(map(str, app.log)), self.expected)

    def test_in_run(self):
        app = self.make()
        app.run()
        self.check(app)

    def test_in_a_thread(self):
        app = self.make()
        app.start()
        app.join(PATIENCE)
        self.check(app)

    def test_by_tick(self):
        app = self.make()
        pump(app, lambda: "complete" in app.log)
        self.check(app)

    def test_by_flush(self):
        app = self.make()
        deadline = time.monotonic() + PATIENCE
        while "complete" not in app.log and time.monotonic() < deadline:
            app.flush()
            app._reactor.run_timers()
        self.check(app)

    def test_success_handlers_are_part_of_it(self):
        order = []

        class App(Component):
            def foo(self):
                yield

            def foo_success(self, evt, value):
                self.fire(Hello())

            def hello(self):
                order.append("hello")

            def foo_complete(self, evt, value):
                order.append("complete")
        app = App()
        event = Foo()
        event.success = event.complete = True
        app.fire(event)
        pump(app)
        self.assertEqual(order, ["hello", "complete"])

    def test_nested_completes_inner_first(self):
        order = []

        class App(Component):
            def outer(self):
                inner = Event.create("inner")
                inner.complete = True
                self.fire(inner)

            def inner(self):
                self.fire(Foo())

            def foo(self):
                order.append("foo")

            def inner_complete(self, evt, value):
                order.append("inner")
                self.fire(Hello())

            def hello(self):
                order.append("hello")

            def outer_complete(self, evt, value):
                order.append("outer")
        app = App()
        event = Event.create("outer")
        event.complete = True
        app.fire(event)
        pump(app)
        self.assertEqual(order, ["foo", "inner", "hello", "outer"])

    def test_events_of_other_threads_are_not_effects(self):
        class App(Component):
            def outer(self):
                thread = threading.Thread(target=self.fire, args=(Foo(),))
                thread.start()
                thread.join()

            def outer_complete(self, evt, value):
                self.done = True
        app = App()
        event = Event.create("outer")
        event.complete = True
        app.fire(event)
        pump(app)
        self.assertTrue(app.done)


# ---------------------------------------------------------------------------
# circuits.py: tasks and waiting
# ---------------------------------------------------------------------------

class Caller(Component):
    """Runs what it is given as a generator handler; keeps what came of it."""

    def init(self, body):
        self.body = body
        self.result = self.error = None
        self.over = False

    @handler("go")
    def _on_go(self):
        try:
            self.result = yield self.body(self)
        except Exception as error:
            self.error = error
        self.over = True


class Callee(Component):
    channel = "app"

    def plain(self, x):
        return x + 1

    def boom(self):
        raise ValueError("boom")

    def generator(self):
        for i in range(1, 10):
            yield i

    def late_boom(self):
        yield
        raise KeyError("late")

    async def coroutine(self, x):
        value = await self.call(Event.create("plain", x))
        await sleep(0)
        return value.value + 1

    def never(self):
        yield self.wait("nothing")

    def nested(self):
        def deeper():
            yield
            x = yield self.call(Event.create("plain", 1))
            return x.value
        a = yield deeper()
        b = yield from deeper()
        return a + b


class TestTasks(CircuitsTest):

    def outcome(self, body, *components):
        caller = Caller(body)
        app = make_app(caller, Callee(), *components)
        caller.fire(Event.create("go"))
        pump(app, lambda: caller.over)
        pump(app)
        self.assertFalse(caller._tasks)
        return caller

    def called(self, name, *args, channels=("app",), **options):
        def body(self):
            value = yield self.call(Event.create(name, *args), *channels, **options)
            return value
        return self.outcome(body)

    def test_an_error_names_a_task_that_was_given_by_hand(self):
        def work():
            yield
            raise ValueError("by hand")
        app = make_app()
        app.registerTask((Foo(), work()))
        pump(app)
        self.expect_stderr("ERROR <listener[*.foo] (%s.work)>" % type(app).__name__)

    def test_call_evaluates_to_the_value(self):
        for channels in (("app",), ("*",), ("x", "app")):
            caller = self.called("plain", 1, channels=channels)
            self.assertIsInstance(caller.result, circuits.Value)
            self.assertEqual(caller.result.value, 2)

    def test_call_of_every_kind(self):
        table = {"generator": list(range(1, 10)), "nested": 4}
        for name, expected in table.items():
            self.assertEqual(self.called(name).result.value, expected)
        self.assertEqual(self.called("coroutine", 1).result.value, 3)

    def test_a_called_event_may_be_stopped_or_cancelled(self):
        seen = []

        class App(Component):
            def go(self):
                seen.append((yield self.call(Foo())).value)

            @handler("foo", priority=1)
            def _on_foo(self, event):
                event.stop()
                return "first"

            def foo(self):
                seen.append("second")
        app = make_app(App())
        app.fire(Event.create("go"))
        pump(app)
        self.assertEqual(seen, ["first"])
        app.fire(Event.create("go"))
        pump(app, lambda: any(event.name == "foo" for event in app._queue))
        app._queue[0].cancel()
        pump(app)
        self.assertEqual(seen, ["first", None])

    def test_call_of_an_event_nobody_handles(self):
        value = self.called("nobody").result
        self.assertEqual((value.value, value.result), (None, False))

    def test_errors_reach_the_caller_and_only_the_caller(self):
        for name, error in (("boom", ValueError), ("late_boom", KeyError)):
            self.assertIsInstance(self.called(name).error, error)

    def test_uncaught_in_the_caller_is_an_error_event_there(self):
        class App(Component):
            def go(self):
                yield self.call(Event.create("boom"), "app")

            def error(self, etype, evalue, traceback, handler=None):
                self.seen = handler.__name__
        app = App() + Callee()
        app.fire(Event.create("go"))
        pump(app)
        self.assertEqual(app.seen, "go")

    def test_timeout_is_in_seconds(self):
        caller = self.called("never", timeout=0.01)
        self.assertIsInstance(caller.error, circuits.TimeoutError)
        self.assertIn("after 0.01 s", str(caller.error))

    def test_timeout_goes_by_the_clock_of_the_root(self):
        def body(self):
            yield self.wait("nothing", timeout=30)
        caller, clock = Caller(body), FakeClock()
        app = make_app(caller)
        app.clock = clock
        caller.fire(Event.create("go"))
        pump(app)
        clock.advance(29.9)
        pump(app)
        self.assertIsNone(caller.error)
        clock.advance(0.2)
        pump(app, lambda: caller.over)
        self.assertIsInstance(caller.error, circuits.TimeoutError)

    def test_timeout_zero_and_bad_timeouts(self):
        self.assertIsInstance(self.called("never", timeout=0).error, circuits.TimeoutError)
        with self.assertRaisesRegex(TypeError, "timeout is a number of seconds"):
            Manager().wait("foo", timeout="1")
        with self.assertRaisesRegex(TypeError, "takes an event or its name"):
            Manager().wait(3)
        with self.assertRaisesRegex(TypeError, "takes an event, got"):
            Manager().call("foo")

    def test_wait_by_name_class_and_instance(self):
        event = Event.create("plain", 4)
        for awaited in ("plain", type(event), event):
            def body(self):
                self.fire(event, "app")
                value = yield self.wait(awaited)
                return value
            self.assertEqual(self.outcome(body).result.value, 5)

    def test_wait_on_channels(self):
        def body(self):
            self.fire(Event.create("plain", 1), "other")
            self.fire(Event.create("plain", 2), "app")
            value = yield self.wait("plain", "app", "third")
            return value
        self.assertEqual(self.outcome(body).result.value, 3)

    def test_wait_default_channel_is_the_own_one(self):
        def body(self):
            self.channel = "mine"
            self.fire(Event.create("plain", 1), "app")
            self.fire(Event.create("plain", 2), "mine", "app")
            value = yield self.wait("plain")
            return value
        self.assertEqual(self.outcome(body).result.value, 3)

    def test_waiting_for_what_is_done_returns_at_once(self):
        event = Event.create("plain", 4)

        def body(self):
            yield self.call(event, "app")
            value = yield self.wait(event)
            return value
        self.assertEqual(self.outcome(body).result.value, 5)
        quiet = Foo()

        def body(self):
            yield self.call(quiet, "app")
            value = yield self.wait(quiet)
            return value.value
        self.assertIsNone(self.outcome(body).result)

    def test_wait_raises_what_the_handler_raised(self):
        for awaited in (False, True):
            event = Event.create("boom")

            def body(self):
                self.fire(event, "app")
                yield self.wait(event if awaited else "boom", "app")
            if not awaited:             # others may be interested: the error event stays
                self.expect_stderr("boom")
            self.assertIsInstance(self.outcome(body).error, ValueError)

    def test_feedback_can_be_awaited_later(self):
        def body(self):
            yield self.call(type("plain", (Event,), {"success": True})(0), "app")
            self.fire(type("plain", (Event,), {"success": True})(1), "app")
            value = yield self.wait("plain_success", "app", timeout=PATIENCE)
            return value
        self.assertEqual(self.outcome(body).result.event.args[1], 2)

    def test_several_wait_for_one(self):
        results = []

        class App(Component):
            def go(self, i):
                value = yield self.wait("foo")
                results.append((i, value.value))

            def foo(self):
                return "x"
        app = App()
        for i in range(3):
            app.fire(Event.create("go", i))
        pump(app)
        app.fire(Foo())
        pump(app)
        self.assertEqual(results, [(0, "x"), (1, "x"), (2, "x")])

    def test_returned_call_is_the_result(self):
        class App(Component):
            def go(self):
                return self.call(Event.create("plain", 1), "app")
        app = App() + Callee()
        value = app.fire(Event.create("go"))
        pump(app)
        self.assertEqual(value.value, 2)

    def test_by_hand(self):
        class App(Component):
            def foo(self):
                return 1
        app = App()
        steps = 0
        for _ in app.waitEvent("foo"):
            steps += 1
            if steps == 1:
                app.fire(Foo())
            app.tick()
        self.assertLess(steps, 5)
        call = app.callEvent(Foo())
        next(call)
        app.flush()
        with self.assertRaises(StopIteration) as caught:
            while True:
                next(call)
                app.flush()
        self.assertEqual(caught.exception.value.value, 1)

    def test_await_value(self):
        class App(Component):
            async def go(self):
                try:
                    await self.fire(Event.create("boom"), "app")
                except ValueError:
                    return (await self.fire(Event.create("plain", 1), "app")).value
        app = App() + Callee()
        value = app.fire(Event.create("go"))
        pump(app)
        self.assertEqual(value.value, 2)
        with self.assertRaisesRegex(RuntimeError, "nothing to wait for"):
            circuits.Value().__await__()

    def test_yields_are_results(self):
        class App(Component):
            def test(self):
                yield "Hello "
                yield "World!"

            def hello(self):
                def f():
                    while True:
                        yield "Hello"
                return f()
        app = App()
        value = app.fire(Event.create("hello"))
        app.tick()
        app.tick()
        self.assertEqual((value.value, value.promise), ("Hello", True))
        app = App()
        value = app.fire(Event.create("test"))
        for _ in range(3):
            app.tick()
        self.assertEqual("".join(value.value), "Hello World!")

    def test_error_of_a_nested_generator_reaches_the_parent(self):
        def body(self):
            def child():
                yield
                raise ValueError("child")
            try:
                yield child()
            except ValueError as error:
                return str(error)
        self.assertEqual(self.outcome(body).result, "child")

    def test_a_cancelled_task_closes_the_asynchronous_generators_it_waits_in(self):
        closed = []

        async def numbers(name):
            try:
                while True:
                    yield name
                    await sleep(PATIENCE)
            finally:
                closed.append(name)
        kept = {name: numbers(name) for name in ("directly", "in_another", "as_handler")}

        async def through(items):
            async for _ in items:
                pass

        class App(Component):
            async def directly(self):
                async for _ in kept["directly"]:
                    pass

            async def in_another(self):
                await through(kept["in_another"])

            async def as_handler(self):
                async for item in kept["as_handler"]:
                    yield item
        app = App()
        for name in kept:
            app.fire(Event.create(name))
        pump(app, lambda: len(app._tasks or ()) == 3 and not len(app))
        for task in list(app._tasks):
            task.cancel("")
        self.assertEqual(closed, list(kept))

    def test_a_spinning_generator_leaves_room_and_slows_down(self):
        class App(Component):
            def spin(self):
                while True:
                    yield

            def foo(self):
                return 1
        app = App()
        app.fire(Event.create("spin"))
        value = app.fire(Foo())
        turns = 0
        while app:                      # ends: it does not stay in the queue for ever
            app.flush()
            turns += 1
        self.assertEqual(value.value, 1)
        self.assertLess(turns, 2 * circuits.SPIN_LIMIT)

    def test_sleep(self):
        clock = FakeClock()
        woken = []

        class App(Component):
            def go(self, seconds):
                yield sleep(seconds)
                woken.append(seconds)
        app = App()
        app.clock = clock
        for seconds in (3, 1, 2):
            app.fire(Event.create("go", seconds))
        for _ in range(3):
            pump(app)
            clock.advance(1.01)
        pump(app)
        self.assertEqual(woken, [1, 2, 3])
        with self.assertRaisesRegex(TypeError, "a float is required"):
            sleep("x")
        self.assertRegex(repr(sleep(2)), r"^sleep\(2(\.0)?\)$")

    def test_tasks_end_with_their_component(self):
        log = []

        class App(Component):
            channel = "gone"

            def work(self):
                try:
                    yield self.wait("nothing")
                finally:
                    log.append("closed")

            async def awork(self):
                try:
                    await self.wait("nothing")
                finally:
                    log.append("closed")

        for name in ("work", "awork"):
            gone = App()
            caller = Caller(lambda self: self.call(Event.create(name), "gone"))
            app = make_app(gone, caller)
            caller.fire(Event.create("go"))
            pump(app)
            gone.unregister()
            pump(app)
            self.assertIsInstance(caller.error, circuits.Cancelled)
            self.assertEqual(app._reactor.awaited, {})
        self.assertEqual(log, ["closed", "closed"])

    def test_tasks_end_with_the_system(self):
        log = []

        class App(Component):
            def started(self, *args):
                try:
                    self.stop()
                    yield self.wait("nothing")
                finally:
                    log.append("closed")
        App().run()
        self.assertEqual(log, ["closed"])

    def test_tens_of_thousands_leave_nothing(self):
        class App(Component):
            def by_call(self):
                yield self.call(Hello())

            def by_name(self):
                yield self.wait("foo", timeout=60)

            def by_sleep(self):
                yield sleep(0)

            def hello(self):
                return 1
        app = make_app(App())
        handlers = dict(app._handlers)

        def calls(name, n):
            for i in range(n):
                app.fire(Event.create(name))
                if i % 1000 == 999:
                    pump(app)
                    app.fire(Foo())
                    pump(app, lambda: not any(m._tasks for m in circuits.flatten(app)))
            pump(app)

        def timers(n):
            for i in range(n):
                Timer(0, Foo()).register(app)
                if i % 1000 == 999:
                    pump(app, lambda: len(app.components) == 1)
                    pump(app)

        def registrations(n):
            for i in range(n):
                Component().register(app).unregister()
                if i % 1000 == 999:
                    pump(app)

        def everything(n):
            for name in ("by_call", "by_name", "by_sleep"):
                calls(name, n)
            timers(n)
            registrations(n)
            gc.collect()
            return len(gc.get_objects())
        before = everything(1000)
        after = everything(100000 if FULL else 20000)
        self.assertLess(after, before + 300)
        self.assertEqual(app._handlers, handlers)
        self.assertEqual(app._reactor.awaited, {})
        self.assertLess(len(app._reactor.timers), 200)

    def test_done_event_for_those_who_listen(self):
        class App(Component):
            def foo_done(self, evt, value):
                self.done = value

            def foo(self):
                return 7

            def go(self):
                yield self.call(Foo())
        app = App()
        app.fire(Foo())
        pump(app)
        self.assertFalse(hasattr(app, "done"))
        app.fire(Event.create("go"))
        pump(app)
        self.assertEqual(app.done, 7)


class Guarded(Component):
    """What handlers of hello did, in order; *guard* is what its filter does."""

    def __init__(self, guard):
        super().__init__()
        self.guard = guard
        self.seen = []

    @handler("hello", priority=2)
    def _before(self):
        self.seen.append("before")

    @handler("hello", filter=True, priority=1)
    def _filter(self, event):
        self.seen.append("guard")
        return self.guard(event)

    @handler("hello")
    def _after(self):
        self.seen.append("after")
        return "after"

    @handler("hello", priority=-1)
    def _task(self):
        self.seen.append("task")
        yield sleep(0)
        self.seen.append("end")
        yield "task"


class TestDecidingFilters(CircuitsTest):
    """Filters that are tasks: they decide when they end."""

    ALL = ["before", "guard", "after", "task", "end"]

    def run_(self, guard, *others):
        app = Guarded(guard)
        for other in others:
            app += other
        pump(app)
        event = Hello()
        value = app.fire(event)
        pump(app, until=lambda: event._state == circuits.DONE)
        pump(app)
        self.app = app
        return app.seen, value

    def test_what_decides(self):
        def returning(result):
            def generator(event):
                yield sleep(0.001)
                return result

            async def coroutine(event):
                await sleep(0.001)
                return result
            return generator, coroutine, lambda event: sleep(0.001) if result is None else generator(event)
        for result, stops in ((None, False), (False, False), (0, False), ("", False), (True, True), ("no", True),
                              ([1], True), (Hello(), True)):
            for guard in returning(result):
                with self.subTest(result=result, guard=guard):
                    seen, value = self.run_(guard)
                    self.assertEqual(seen, self.ALL[:2] if stops else self.ALL)
                    results = [] if result is None else [result]
                    results += [] if stops else ["after", "task"]
                    self.assertEqual(value.value, results if len(results) > 1 else results[0])

    def test_what_is_yielded_decides_too(self):
        def yes(event):
            yield 0
            yield "no"
            yield None

        def no(event):
            yield 0
            yield None
        self.assertEqual(self.run_(yes)[0], self.ALL[:2])
        self.assertEqual(self.run_(no)[0], self.ALL)

    def test_the_answer_of_another_event_decides(self):
        class Judge(Component):
            def judge(self, answer):
                yield sleep(0.001)
                yield answer
        for answer, stops in ((True, True), (False, False)):
            def yielded(event):
                return (yield self.now.call(Event.create("judge", answer)))

            async def awaited(event):
                return await self.now.call(Event.create("judge", answer))

            def returned(event):
                return self.now.call(Event.create("judge", answer))

            def later(event):
                yield
                return self.now.call(Event.create("judge", answer))
            for guard in (yielded, awaited, returned, later):
                with self.subTest(answer=answer, guard=guard):
                    self.now = Judge()
                    seen, _ = self.run_(guard, self.now)
                    self.assertEqual(seen, self.ALL[:2] if stops else self.ALL)

    def test_a_value_that_is_not_there_yet_stops(self):
        class Judge(Component):
            def judge(self):
                return False
        judge = Judge()

        def guard(event):
            yield
            return judge.fire(Event.create("judge"))
        self.assertEqual(self.run_(guard, judge)[0], self.ALL[:2])

    def test_the_others_wait(self):
        seen = []

        def guard(event):
            self.app.seen.append("asks")
            yield sleep(0.01)
            self.app.seen.append("knows")
        app = self.app = Guarded(guard)
        pump(app)
        app.fire(Hello())
        pump(app, until=lambda: "asks" in app.seen)
        self.assertEqual(app.seen, ["before", "guard", "asks"])
        app.fire(Event.create("other"))         # the tree goes on meanwhile
        pump(app, until=lambda: "end" in app.seen)
        self.assertEqual(app.seen, ["before", "guard", "asks", "knows", "after", "task", "end"])

    def test_an_exception_denies(self):
        for late in (False, True):
            async def guard(event):
                if late:
                    await sleep(0.001)
                raise ValueError("no database")
            self.expect_stderr("no database")
            seen, value = self.run_(guard)
            self.assertEqual((seen, value.errors), (self.ALL[:2], True))
            self.assertIsInstance(value._error, ValueError)

    def test_stopping_the_event_denies(self):
        def guard(event):
            yield sleep(0.001)
            event.stop()
        self.assertEqual(self.run_(guard)[0], self.ALL[:2])

    def test_an_asynchronous_generator_stops_at_once(self):
        async def guard(event):
            yield 0
        self.assertEqual(self.run_(guard)[0], self.ALL[:2])

    def test_several_in_a_row(self):
        order = []

        class Second(Component):
            @handler("hello", filter=True, priority=0.5)
            async def _filter(self):
                order.append("second")
                await sleep(0.001)
                order.append("second knows")
                return self.verdict
        for verdict in (None, "no"):
            del order[:]
            Second.verdict = verdict

            def guard(event):
                yield sleep(0.001)
                order.append("first knows")
            seen, _ = self.run_(guard, Second())
            self.assertEqual(order, ["first knows", "second", "second knows"])
            self.assertEqual(seen, self.ALL if verdict is None else self.ALL[:2])

    def test_feedback_comes_when_all_are_done(self):
        class Told(Hello):
            name = "hello"
            success = complete = failure = True

        def guard(event):
            yield sleep(0.001)
            self.app.fire(Event.create("caused"))
        rec = Recorder()
        app = self.app = Guarded(guard) + rec
        pump(app)
        rec.clear()
        event = Told()
        event.alert_done = True
        app.fire(event)
        pump(app, until=lambda: "told_complete" in rec.names)
        self.assertEqual(app.seen, self.ALL)
        self.assertEqual([name for name in rec.names if name != "hello"],
                         ["caused", "told_done", "told_success", "told_complete"])

    def test_a_caller_gets_all_results_or_the_error(self):
        results = []

        class Asks(Component):
            def ask(self):
                try:
                    results.append((yield self.call(Hello())).value)
                except ValueError as error:
                    results.append(error)

        async def fine(event):
            await sleep(0.001)

        async def bad(event):
            raise ValueError("mine")
        for guard in (fine, bad):
            app = Guarded(guard) + Asks()
            pump(app)
            app.fire(Event.create("ask"))
            pump(app, until=lambda: len(results) > (guard is bad))
        self.assertEqual(results[0], ["after", "task"])
        self.assertIsInstance(results[1], ValueError)

    def test_a_cancelled_filter_denies(self):
        ended = []

        async def guard(event):
            try:
                await sleep(1000)
            finally:
                ended.append(True)
        app = Guarded(guard)
        with app:
            app.fire(Hello())
            wait_for(lambda: "guard" in app.seen)
        self.assertEqual((app.seen, ended), (self.ALL[:2], [True]))

    def test_who_left_meanwhile_is_not_called(self):
        class Other(Component):
            @handler("hello", priority=0.5)
            def _hear(self):
                heard.append(self)
        heard = []
        stays, goes = Other(), Other()

        def guard(event):
            goes.unregister()
            while goes.parent is not goes:
                yield sleep(0.001)
        seen, _ = self.run_(guard, stays, goes)
        self.assertEqual((seen, heard), (self.ALL, [stays]))

    def test_an_error_in_a_later_handler_is_its_own(self):
        class Bad(Component):
            @handler("hello", priority=0.5)
            def _bad(self):
                raise KeyError("mine")

        class Denies(Component):
            @handler("hello", priority=0.2, filter=True)
            def _bad(self):
                raise KeyError("filter")

        def guard(event):
            yield
        self.expect_stderr("listener[*.hello] (Bad._bad)")
        self.assertEqual(self.run_(guard, Bad())[0], self.ALL)
        self.expect_stderr("filter[*.hello] (Denies._bad)")
        self.assertEqual(self.run_(guard, Denies())[0], self.ALL[:2])

    def test_context_variables_pass_on(self):
        import contextvars
        who = contextvars.ContextVar("who", default="nobody")
        heard = []

        class Other(Component):
            def hello(self):
                heard.append(who.get())

        async def guard(event):
            await sleep(0.001)
            who.set("bob")
        self.run_(guard, Other())
        self.assertEqual((heard, who.get()), (["bob"], "nobody"))

    def test_inside_asyncio(self):
        import asyncio

        async def guard(event):
            await asyncio.sleep(0.001)
            return verdict

        async def main():
            app = Guarded(guard)
            async with app.serving():
                await app.fire_async(Hello())
            return app.seen
        for verdict, seen in ((None, self.ALL), ("no", self.ALL[:2])):
            self.assertEqual(asyncio.run(main()), seen)

    def test_a_request_waits_for_its_guard(self):
        class Guard(BaseComponent):
            channel = "web"

            @handler("request", filter=True)
            async def _on_request(self, request, response):
                await sleep(0.001)
                if request.qs != "key":
                    return circuits_web.Forbidden(request, response)
        app = circuits_web.Server(("127.0.0.1", 0)) + Guard() + Greeter()
        with serving(app):
            answers = raw(app.port, b"GET /greet?key HTTP/1.1\r\nHost: a\r\n\r\nGET /greet HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertRegex(answers, b"(?s)^HTTP/1.1 200 .*Hello you!HTTP/1.1 403 ")


# ---------------------------------------------------------------------------
# circuits.py: managers and the tree
# ---------------------------------------------------------------------------

class TestTree(CircuitsTest):

    def test_repr(self):
        app = Manager()
        pid = os.getpid()
        self.assertEqual(repr(app), "<Manager/ %d:MainThread (queued=0) [S]>" % pid)
        a = Component().register(app)
        self.assertEqual(repr(app), "<Manager/ %d:MainThread (queued=1) [S]>" % pid)
        self.assertEqual(repr(a), "<Component/* %d:MainThread (queued=0) [S]>" % pid)
        states = []

        class App(Component):
            channel = "app"

            def started(self, *args):
                states.append(repr(self))
                self.stop()
        App().run()
        self.assertEqual(states, ["<App/app %d:MainThread (queued=0) [R]>" % pid])

    def test_one_that_is_alone_is_its_own_tree(self):
        one = Component()
        ref = weakref.ref(one)
        self.assertIs(one.parent, one)
        self.assertIs(one.root, one)
        self.assertEqual((len(one), bool(one.running), one.components), (0, False, set()))
        self.assertIs(one.unregister(), one)
        with self.assertRaisesRegex(ValueError, "with itself"):
            one.register(one)
        app = one + Component() + Component()
        first, second = app.components
        self.assertEqual((first.root, second.parent), (one, one))
        with self.assertRaisesRegex(ValueError, "below itself"):
            one.register(second)
        heard = []
        again = Component()
        again.addHandler(handler("foo")(lambda self: heard.append(self)))
        again.register(first)
        one.fire(Foo())
        pump(one)
        self.assertEqual(heard, [again])
        alone = Component()
        gone = weakref.ref(alone)
        del alone
        if sys.implementation.name == "cpython":        # it was in no cycle
            self.assertIsNone(gone())
        self.assertIsNotNone(ref())

    def test_first_use_is_interrupted(self):
        real, app, log = circuits.Reactor, Component(), []
        self.addCleanup(setattr, circuits, "Reactor", real)

        def fails(root):
            circuits.Reactor = real
            raise KeyboardInterrupt

        def meets_a_signal(root):
            circuits.Reactor = real
            root.fire(Foo("signal"))
            return real(root)

        class App(Component):
            def foo(self, what):
                log.append(what)
        for trouble in (fails, meets_a_signal):
            app = App()
            circuits.Reactor = trouble
            try:
                app.fire(Foo("first"))
            except KeyboardInterrupt:
                log.append("interrupted")
            app.fire(Foo("second"))
            pump(app)
        self.assertEqual(log, ["interrupted", "second", "signal", "first", "second"])

    def test_names_that_users_like(self):
        class Tree(Component):
            parent = None

        class Bot(Component):
            def parent(self, x):            # a handler
                return x

            def _join(self, channel):
                raise AssertionError("called")

            def _settle(self):
                raise AssertionError("called")

        class Holder(Component):
            def __init__(self):
                self.bot, self.tree = Bot(), Tree()
                super().__init__()
        app = Holder()
        self.assertEqual(app.components, {app.bot, app.tree})
        value = app.fire(Event.create("parent", 5))
        pump(app)
        self.assertEqual(value.value, 5)
        self.assertIs(Tree().unregister().unregister_pending, False)
        deeper = Component() + Component()
        self.assertIs(deeper.register(Tree()).parent.root, deeper.root)

    def test_a_manager_that_minds_where_it_is(self):
        class Own(Manager):
            def _moved(self, old):
                self.old = old
        app, own = Component(), Own()
        app.registerChild(own)
        self.assertIs(own.old.root, own)

    def test_a_class_with_its_own_new(self):
        class App(Component):
            def init(self, a):
                self.a = a
        original, only = App.__new__, []

        def once(cls, *args, **kwargs):
            if not only:
                only.append(original(cls, *args, **kwargs))
            return only[0]
        App.__new__ = once
        self.assertIs(App(1), App(a=2))
        self.assertEqual(only[0].a, 2)
        child("""
            from circuits import Component, Event

            class Once:
                def __new__(cls, *args, **kwargs):
                    if "only" not in vars(cls):
                        cls.only = super().__new__(cls, *args, **kwargs)
                    return cls.only

            class App(Once, Component):
                def init(self, a, b=None):
                    self.got = a, b

            class Plain(Component):
                def init(self, a, b=None):
                    self.got = a, b
            assert App(1, b=2) is App(3, b=4)
            assert App.only.got == (3, 4)
            assert Plain(5, b=6).register(App.only).got == (5, 6)
        """)

    def test_operators(self):
        class A(Component):
            pass

        class B(Component):
            pass

        class C(B):
            pass
        a, b, c = A(), B(), C()
        tree = a + b + c
        self.assertIs(tree, a)
        self.assertEqual((list(a.components), a.components), ([b, c], {b, c}))
        self.assertTrue(b in a and B in a and C in a)
        self.assertFalse(A in a or a in a)
        self.assertIs(b.parent, a)
        self.assertIs(b.root, a)
        a -= c
        pump(a)
        self.assertNotIn(c, a)
        self.assertIs(a - c, a)
        self.assertEqual((c.parent, c.root), (c, c))

    def test_truth_is_the_queue(self):
        app = Component()
        self.assertFalse(app)
        app.fire(Foo())
        self.assertTrue(app)
        self.assertEqual(len(app), 1)
        child = Component().register(app)
        child.fire(Foo())
        self.assertEqual((len(child), len(app)), (0, 3))

    def test_registering_brings_the_queue_along(self):
        rec = Recorder()
        app = make_app(rec)
        child = Component(channel="c")
        child.fire(Foo(1))
        child.register(app)
        pump(app)
        self.assertEqual(rec.names, ["foo", "registered"])
        self.assertEqual(rec.events[1].channels, ("c",))
        self.assertEqual(rec.events[1].args, [child, app])

    def test_registering_with_oneself_or_below_is_refused(self):
        a, b = Component(), Component()
        b.register(a)
        for parent, text in ((a, "with itself"), (b, "below itself")):
            with self.assertRaisesRegex(ValueError, text):
                a.register(parent)
        with self.assertRaisesRegex(TypeError, "takes a component"):
            a.register(3)

    def test_unregister_in_two_stages(self):
        rec = Recorder()

        class P(Component):
            channel = "p"

            def prepare_unregister(self, event, component):
                self.prepared = event.in_subtree(self), event.in_subtree(self.root)
                self.fire(Foo())

            def foo(self):
                self.foo_seen = self.parent is not self
        p, child = P(), Component()
        child.register(p)
        app = make_app(p, rec)
        p.unregister()
        self.assertTrue(p.unregister_pending)
        self.assertIs(p.unregister(), p)            # the second call does nothing
        self.assertIn(p, app)
        pump(app)
        self.assertEqual(rec.names, ["prepare_unregister", "foo", "prepare_unregister_complete",
                                     "unregistered"])
        self.assertEqual(rec.named("prepare_unregister_complete")[0].channels, (p,))
        self.assertEqual(rec.named("unregistered")[0].args, [p, app])
        self.assertEqual(rec.named("unregistered")[0].channels, ("p",))
        self.assertEqual((p.prepared, p.foo_seen), ((True, False), True))
        self.assertEqual((p.parent, p.root, child.parent, child.root), (p, p, p, p))
        self.assertNotIn(p, app)
        self.assertFalse(p.unregister_pending)

    def test_a_quiet_leaving_takes_its_turn(self):
        leaf = Component()
        seen = []

        class App(Component):
            def foo(self):
                leaf.unregister()
                seen.append((leaf in self, leaf.unregister_pending))
                self.fire(Hello())

            def hello(self):
                seen.append(leaf in self)
        app = make_app(App())
        leaf.register(list(app.components)[0])
        app.fire(Foo())
        pump(app)
        self.assertEqual(seen, [(True, True), False])
        self.assertFalse(leaf.unregister_pending)

    def test_who_begins_to_listen_before_its_turn_sees_it_leave(self):
        leaf, rec = Component(), Recorder("registered")
        app = make_app(leaf)
        leaf.unregister()
        rec.register(app)
        pump(app)
        self.assertEqual(rec.names, ["prepare_unregister", "prepare_unregister_complete",
                                     "unregistered"])
        self.assertNotIn(leaf, app)

    def test_leaving_is_an_effect_of_what_caused_it(self):
        leaf, seen = Component(), []

        class Done(Event):
            complete = True

        class App(Component):
            def done(self):
                leaf.unregister()

            def done_complete(self, source, value):
                seen.append(leaf.parent is leaf)
        app = make_app(App(), leaf)
        app.fire(Done())
        pump(app)
        self.assertEqual(seen, [True])

    def test_joining_a_running_tree_is_told_to_who_listens(self):
        seen = []

        class App(Component):
            def started(self, component):
                self.silent = Component().register(self)
                self.fire(Foo())

            def foo(self):
                self += type("Curious", (Component,), {
                    "registered": lambda self, child, parent: seen.append(child)})()
                self.last = Component().register(self)
                self.stop()
        app = App()
        app.run()
        self.assertIn(app.last, seen)
        self.assertNotIn(app.silent, seen)

    def test_unregister_event(self):
        child = Component(channel="x")
        app = make_app(child)
        app.fire(circuits.Unregister(child))
        pump(app)
        self.assertNotIn(child, app)
        self.assertIs(app._handlers.get("foo"), None)

    def test_what_left_hears_nothing_and_keeps_its_own(self):
        class App(Component):
            def foo(self):
                return 1
        child = App()
        app = make_app(child)
        child.unregister()
        pump(app)
        value = app.fire(Foo())
        pump(app)
        self.assertFalse(value.result)
        value = child.fire(Foo())
        pump(child)
        self.assertEqual(value.value, 1)
        child.register(app)
        value = app.fire(Foo())
        pump(app)
        self.assertEqual(value.value, 1)

    def test_moving_to_another_parent(self):
        a, b, child = Component(), Component(), Component()
        child.register(a)
        child.register(b)
        self.assertNotIn(child, a)
        self.assertIn(child, b)
        self.assertIs(child.root, b)

    def test_attributes_become_children(self):
        shared = Component(channel="shared")

        class App(Component):
            out = shared

            def __init__(self):
                self.first = Component(channel="first")
                super().__init__()
                self.second = Component(channel="second").register(self)
        app = App()
        self.assertEqual([c.channel for c in app.components], ["shared", "first", "second"])

    def test_attributes_of_a_mixin_become_children(self):
        class Mixin:
            def __init__(self, *args, **kwargs):
                self.part = Component()
                super().__init__(*args, **kwargs)

        class Mixed(Mixin, Component):
            pass

        class Below(Mixed):
            pass

        class Late(Timer):
            def __init__(self):
                self.part = Component()
                super().__init__(5, Foo())
        for cls in (Mixed, Below, Late):
            whole = cls()
            self.assertEqual(list(whole.components), [whole.part])

    def test_the_view_of_the_children_is_live(self):
        app, other = Component(), Component()
        children = app.components
        child = Component().register(app)
        self.assertEqual((list(children), list(other.components)), ([child], []))

    def test_init_gets_the_arguments_and_channel_is_an_option(self):
        class App(BaseComponent):
            channel = "app"

            def init(self, a, b=2, channel=None):
                self.got = a, b
        self.assertEqual(App(1, b=3).got, (1, 3))
        self.assertEqual((App(1).channel, App(1, channel="x").channel, Component(channel=None).channel),
                         ("app", "x", "*"))

    def test_a_raising_init_reaches_the_maker(self):
        class Bad(Component):
            def init(self):
                raise ValueError("no")

        class App(Component):
            def foo(self):
                Bad().register(self)

            def hello(self):
                return 1
        with self.assertRaises(ValueError):
            Bad()
        self.expect_stderr("ERROR <listener[*.foo] (App.foo)> (<class 'ValueError'>): no")
        app = App()
        app.fire(Foo())
        value = app.fire(Hello())
        pump(app)
        self.assertEqual(value.value, 1)

    def test_singletons(self):
        class Only(Component):
            singleton = True

        class Base(Component):
            pass

        class Other(Base):
            singleton = Base
        app = Component()
        Only().register(app)
        with self.assertRaises(circuits.SingletonError) as caught:
            (Component(channel="x") + Only()).register(app)
        self.assertEqual(caught.exception.args[0].channel, "x")
        Other().register(app)
        with self.assertRaises(circuits.SingletonError):
            Other().register(app)
        self.assertFalse(circuits.check_singleton(Only(), app))
        root = Only()
        with self.assertRaises(circuits.SingletonError):
            Only().register(root)

    def test_plans_do_not_keep_what_left(self):
        app = make_app()
        children = [Component(channel=("c", i)) for i in range(20)]
        for child in children:
            child.register(app)
            app.fire(Foo(), child)
            app.fire(Foo(), child.channel)
        pump(app)
        refs = [weakref.ref(child) for child in children]
        for child in children:
            child.unregister()
        pump(app)
        del children, child
        gc.collect()
        self.assertEqual([r for r in refs if r() is not None], [])

    def test_plans_are_bounded(self):
        app = make_app()
        for i in range(3 * circuits.MAX_PLANS):
            app.fire(Foo(), i)
            pump(app)
        self.assertLessEqual(len(app._reactor.plans["foo"]), circuits.MAX_PLANS)

    def test_ten_thousand_registrations_leave_nothing(self):
        class Child(Component):
            def foo(self):
                pass
        rec = Recorder("registered")
        app = make_app(rec)

        def churn(n):
            for _ in range(n):
                child = Child().register(app)
                app.fire(Foo())
                pump(app)
                child.unregister()
                pump(app)
            rec.clear()
        churn(50)
        gc.collect()
        before = len(gc.get_objects())
        churn(2000)
        gc.collect()
        self.assertLess(len(gc.get_objects()), before + 100)
        self.assertNotIn("foo", app._reactor.index)

    def test_running_child_keeps_its_loop_when_it_joins(self):
        class Top(Component):
            def foo(self):
                return get_thread()

        def get_thread():
            return threading.get_ident()
        child = Component()
        child.start()
        top = Top()
        top.fire(Hello())
        child.register(top)
        self.addCleanup(top.join, PATIENCE)
        self.addCleanup(top.stop)
        self.assertTrue(top.running)
        self.assertFalse(child.running)
        value = child.fire(Foo())
        wait_for(lambda: value.result)
        self.assertNotEqual(value.value, get_thread())
        other = Component()
        other.start()
        with self.assertRaises(circuits.UnregistrableError):
            other.register(top)
        other.stop()
        other.join(PATIENCE)

    def test_sixteen_threads_fire_and_register(self):
        counts = []

        class App(Component):
            def foo(self, i):
                counts.append(i)

        class Child(Component):
            def foo(self, i):
                pass
        trouble = []
        with serving(App()) as app:
            def hammer(k):
                try:
                    for i in range(200):
                        app.fire(Foo(k * 1000 + i))
                        if i % 20 == 0:
                            child = Child().register(app)
                            child.fire(Hello())
                            child.unregister()
                except BaseException as error:
                    trouble.append(error)
            threads = [threading.Thread(target=hammer, args=(k,)) for k in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            wait_for(lambda: len(counts) == 3200 or trouble)
            wait_for(lambda: len(app.components) == 0)
        self.assertEqual(trouble, [])
        for k in range(16):                 # in order, thread by thread
            mine = [c for c in counts if c // 1000 == k]
            self.assertEqual(mine, sorted(mine))


# ---------------------------------------------------------------------------
# circuits.py: running
# ---------------------------------------------------------------------------

class TestRunning(CircuitsTest):

    def test_first_and_last_events(self):
        class A(Component):
            channel = "a"

            def started(self, component):
                self.fire(Foo())
                self.stop()
                self.fire(Hello())
        rec = Recorder()
        a, b = A(), Component(channel="b")
        (a + b + rec).run()
        self.assertEqual(rec.names, ["registered", "registered", "started", "foo", "stopped", "hello"])
        self.assertEqual([e.channels for e in rec.events if e.name in ("started", "stopped")],
                         [("a",), ("a",)])
        self.assertEqual(rec.named("started")[0].args, [a])

    def test_exit_codes(self):
        class App(Component):
            def init(self, how):
                self.how = how

            def started(self, component):
                self.fire(Foo())
                self.how(self)

            def foo(self):
                self.delivered = True

        def leave(code):
            def how(self):
                raise SystemExit(code)
            return how
        table = [(leave(0), 0), (leave(3), 3), (leave("text"), "text"), (leave(None), None),
                 (lambda self: self.stop(), None), (lambda self: self.stop(2), 2)]
        for how, code in table:
            app = App(how)
            if code is None:
                self.assertIsNone(app.run())
            else:
                with self.assertRaises(SystemExit) as caught:
                    app.run()
                self.assertEqual(caught.exception.code, code)
            self.assertTrue(app.delivered)
            self.assertFalse(app.running)

    def test_system_exit_stores_nothing_and_lets_the_others_run(self):
        class App(Component):
            @handler("started", priority=2)
            def _one(self, *args):
                return "one"

            @handler("started", priority=1)
            def _two(self, event, *args):
                self.event = event
                raise SystemExit(0)

            def started(self, *args):
                return "three"
        app = App()
        with self.assertRaises(SystemExit):
            app.run()
        self.assertEqual(app.event.value.value, ["one", "three"])

    def test_handlers_may_be_called_like_our_methods(self):
        class App(Component):
            def started(self, component):
                self.fire(Event.create("wait"))

            async def wait(self):
                value = await self.fire(Event.create("call"))
                await self.fire(Event.create("stop", value.value))

            def call(self):
                return self.fire(Event.create("join"))

            def join(self):
                return 5

            def stop(self, code):
                raise SystemExit(code)
        with self.assertRaises(SystemExit) as caught:
            App().run()
        self.assertEqual(caught.exception.code, 5)

    def test_run_again(self):
        class App(Component):
            runs = 0

            def started(self, *args):
                self.runs += 1
                self.stop()
        app = App()
        app.run()
        app.run()
        self.assertEqual(app.runs, 2)

    def test_run_twice_and_of_a_child_are_refused(self):
        errors = []

        class App(Component):
            def started(self, *args):
                for target in (self, next(iter(self.components))):
                    try:
                        target.run()
                    except RuntimeError as error:
                        errors.append(str(error))
                self.stop()
        (App() + Component()).run()
        self.assertIn("is running already", errors[0])
        self.assertRegex(errors[1], "is running already|run that one")
        child = Component().register(Component())
        with self.assertRaisesRegex(RuntimeError, "run that one"):
            child.run()

    def test_start_returns_when_it_runs(self):
        app = Component()
        thread, bridge = app.start()
        self.assertTrue(app.running)
        self.assertIsNone(bridge)
        self.assertEqual(thread.name, "Component")
        self.assertIs(app._Manager__thread, thread)
        with self.assertRaisesRegex(RuntimeError, "is running already"):
            app.start()
        app.stop()
        app.join(PATIENCE)
        self.assertFalse(app.running)
        self.assertIsNone(app._Manager__thread)
        self.assertFalse(thread.is_alive())

    def test_running_for_the_time_of_a_block(self):
        class App(Component):
            def foo(self):
                return 1
        app = App()
        with app.running() as same:
            self.assertIs(same, app)
            self.assertTrue(app.running)
            value = app.fire(Foo())
            wait_for(lambda: value.result)
        self.assertFalse(app.running)
        self.assertEqual((str(app.running), "%s" % app.running, "{}".format(app.running)), ("False",) * 3)

    def test_stopped_is_seen_however_slow_the_thread_that_stops(self):
        turns = []

        class Counting(circuits.Select):
            def poll(self, timeout):
                turns.append(timeout)
                return super().poll(timeout)

        class App(Component):
            def fire(self, event, *channels, **options):
                if isinstance(event, circuits.Stopped):
                    before = len(turns)
                    self._reactor.wake()        # as by something else that happens
                    wait_for(lambda: len(turns) > before + 5 or not self._reactor.looping)
                return super().fire(event, *channels, **options)
        app = App() + Counting()
        rec = Recorder().register(app)
        app.start()
        app.stop()
        app.join(PATIENCE)
        self.assertFired(rec, "started", "stopped")

    def test_a_stop_that_is_cut_short_is_done_again(self):
        class App(Component):
            cut = 0

            def started(self, component):
                self.stop()

            def fire(self, event, *channels, **options):
                if isinstance(event, circuits.Stopped) and not self.cut:
                    self.cut = 1
                    raise KeyboardInterrupt     # as by a second ^C
                return super().fire(event, *channels, **options)
        app = App()
        rec = Recorder().register(app)
        app.run()
        self.assertEqual(app.cut, 1)
        self.assertFired(rec, "started", "stopped")

    def test_stop_when_idle_does_nothing(self):
        app = Component()
        app.stop()
        self.assertEqual(len(app), 0)

    def test_fire_from_another_thread_wakes_the_loop(self):
        class App(Component):
            def foo(self):
                return threading.current_thread().name
        for poller in (None, circuits.Poller):
            app = App()
            if poller:
                poller().register(app)
            with serving(app):
                for _ in range(50):
                    value = app.fire(Foo())
                    wait_for(lambda: value.result)
                self.assertEqual(value.value, "App")

    def test_an_endless_chain_is_cut_after_stop(self):
        class App(Component):
            def started(self, *args):
                self.fire(Foo())
                self.stop()

            def foo(self):
                self.fire(Foo())
        self.expect_stderr("still being fired")
        App().run()

    def test_generate_events(self):
        class App(Component):
            left = 10
            hellos = 0

            def generate_events(self, event):
                if self.left and self.running:
                    self.left -= 1
                    self.fire(Hello())
                    event.reduce_time_left(0)

            def hello(self):
                self.hellos += 1
                if self.hellos == 10:
                    self.stop()
        for poller in (None, circuits.Poller):
            app = App()
            if poller:
                poller().register(app)
            app.run()
            self.assertEqual(app.hellos, 10)

    def test_reduce_time_left(self):
        event = circuits.GenerateEvents(circuits._tree_lock, -1)
        for reduce, left in ((5, 5), (7, 5), (-1, 5), (2, 2), (0, 0), (1, 0)):
            event.reduce_time_left(reduce)
            self.assertEqual(event.time_left, left)

    def test_a_component_that_wants_to_be_called_within_a_time(self):
        class App(Component):
            seen = 0

            def generate_events(self, event):
                self.seen += 1
                event.reduce_time_left(0.001)
                if self.seen == 5:
                    self.stop()
        App().run()

    def test_signals_stop_and_are_put_back(self):
        if not hasattr(os, "kill") or sys.platform == "win32":
            self.skipTest("no POSIX signals")
        log = []

        class App(Component):
            def started(self, *args):
                os.kill(os.getpid(), signal.SIGTERM)

            def signal(self, number, stack):
                log.append((number, self.running))

            def stopped(self, component):
                log.append("stopped")
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        App().run()
        self.assertEqual(log, [(signal.SIGTERM, True), "stopped"])
        self.assertEqual((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)), before)

    def test_the_interpreter_wakes_the_loop_for_signals(self):
        if not hasattr(signal, "set_wakeup_fd") or sys.platform == "win32":
            self.skipTest("no POSIX signals")

        class App(Component):
            def started(self, *args):
                self.number = signal.set_wakeup_fd(-1)
                signal.set_wakeup_fd(self.number)
                self.target = self._reactor.wakeup.target
                self.stop()
        before = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(before)
        app = App()
        app.run()
        self.assertEqual(app.number, app.target)
        after = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(before)
        self.assertEqual(after, before)

    def test_a_signal_handler_may_decide_itself(self):
        if not hasattr(os, "kill") or sys.platform == "win32":
            self.skipTest("no POSIX signals")

        class App(Component):
            def started(self, *args):
                os.kill(os.getpid(), signal.SIGINT)

            def signal(self, event, number, stack):
                event.stop()
                self.fire(Foo())

            def foo(self):
                self.still = self.running
                self.stop()
        app = App()
        app.run()
        self.assertTrue(app.still)

    def test_signals_in_an_idle_loop_of_either_kind(self):
        for poller in ("", "circuits.Poller().register(app);"):
            out, err = child("""
                import circuits, os, signal, threading
                class App(circuits.Component):
                    def stopped(self, c):
                        print("stopped")
                app = App(); %s
                def shoot():
                    while not app._reactor.sleeping: pass
                    os.kill(os.getpid(), signal.SIGTERM)
                threading.Thread(target=shoot).start()
                app.run()
                print("over")
                """ % poller)
            self.assertEqual((out.split(), err), (["stopped", "over"], ""))

    def test_the_second_interrupt_ends_a_handler_that_hangs(self):
        if not hasattr(os, "kill") or sys.platform == "win32":
            self.skipTest("no POSIX signals")
        out, err = child("""
            import circuits, os, signal
            class App(circuits.Component):
                def started(self, c):
                    os.kill(os.getpid(), signal.SIGINT)
                    os.kill(os.getpid(), signal.SIGINT)
                    while True: pass
                def stopped(self, c):
                    print("stopped")
            App().run()
            """)
        self.assertEqual(out, "stopped\n")

    def test_threads_never_touch_signals(self):
        out, err = child("""
            import signal, circuits
            before = signal.getsignal(signal.SIGINT)
            app = circuits.Component()
            app.start()
            assert signal.getsignal(signal.SIGINT) is before
            app.stop(); app.join()
            """)
        self.assertEqual(err, "")

    def test_interpreter_exit_with_a_running_thread_is_quiet(self):
        out, err = child("""
            import circuits
            app = circuits.Component()
            circuits.Poller().register(app)
            circuits.Worker().register(app)
            app.start()
            """)
        self.assertEqual((out, err), ("", ""))

    def test_two_trees_in_two_threads(self):
        class App(Component):
            def foo(self):
                return threading.get_ident()
        with serving(App()) as one, serving(App()) as two:
            values = [app.fire(Foo()) for app in (one, two)]
            wait_for(lambda: all(v.result for v in values))
            self.assertEqual(len({v.value for v in values}), 2)

    def test_a_forked_child_runs_the_tree_anew(self):
        if not hasattr(os, "fork"):
            self.skipTest("no fork here")
        out, err = child("""
            import circuits, os, sys
            class App(circuits.Component):
                def started(self, c):
                    print(os.getpid() == me, len(self.components), flush=True)
                    self.stop()
            app = App() + circuits.Poller()
            me = os.getpid()
            app.run()
            pid = os.fork()
            if pid == 0:
                app.run()
                os._exit(0)
            os.waitpid(pid, 0)
            """, flags=("-W", "ignore"))
        self.assertEqual((out.splitlines(), err), (["True 1", "False 1"], ""))


# ---------------------------------------------------------------------------
# circuits.py: pollers, one contract for all of the platform
# ---------------------------------------------------------------------------

class Source(BaseComponent):
    """Notes what the poller says of a socket pair."""

    channel = "source"

    def init(self, channel="source"):
        self.seen = []

    @handler("_read", "_write", "_disconnect")
    def _on_ready(self, event, fd):
        self.seen.append((event.name, fd))


class PollerContract:
    """What every poller does; mixed with the class that names one."""

    def setUp(self):
        self.poller = self.kind()
        self.source = Source()
        self.app = make_app(self.poller, self.source)
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.addCleanup(self.poller.close)
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)

    def seen(self):
        del self.source.seen[:]
        pump(self.app, lambda: self.source.seen)
        return self.source.seen[0]

    def nothing_seen(self):
        del self.source.seen[:]
        for _ in range(3):
            self.app.tick(0)
        return not self.source.seen

    def test_reading(self):
        self.poller.addReader(self.source, self.ours)
        self.assertTrue(self.poller.isReading(self.ours))
        self.assertFalse(self.poller.isWriting(self.ours))
        self.assertTrue(self.nothing_seen())
        self.theirs.send(b"x")
        self.assertEqual(self.seen(), ("_read", self.ours))
        self.poller.removeReader(self.ours)
        self.assertTrue(self.nothing_seen())

    def test_writing(self):
        self.poller.addWriter(self.source, self.ours)
        self.assertEqual(self.seen(), ("_write", self.ours))
        self.assertEqual(self.poller.getTarget(self.ours), "source")
        self.poller.addReader(self.source, self.ours)
        self.poller.removeReader(self.ours)
        self.assertEqual(self.seen(), ("_write", self.ours))
        self.poller.removeWriter(self.ours)
        self.assertTrue(self.nothing_seen())

    def test_both(self):
        self.poller.addReader(self.source, self.ours)
        self.poller.addWriter(self.source, self.ours)
        self.theirs.send(b"x")
        del self.source.seen[:]
        pump(self.app, lambda: len(self.source.seen) >= 2)
        self.assertEqual({name for name, _ in self.source.seen}, {"_read", "_write"})

    def test_end_of_the_peer(self):
        self.poller.addReader(self.source, self.ours)
        self.theirs.close()
        self.assertIn(self.seen()[0], ("_read", "_disconnect"))

    def test_forgetting_twice_and_closed(self):
        self.poller.addReader(self.source, self.ours)
        self.assertTrue(self.nothing_seen())
        self.ours.close()
        self.poller.discard(self.ours)
        self.poller.discard(self.ours)
        self.poller.removeWriter(self.ours)
        self.assertTrue(self.nothing_seen())
        self.assertEqual((self.poller._sources, self.poller._numbers, self.poller._fds), ({}, {}, {}))

    def test_a_reused_descriptor_number(self):
        self.poller.addReader(self.source, self.ours)
        self.assertTrue(self.nothing_seen())
        number = self.ours.fileno()
        self.ours.close()
        self.theirs.close()
        self.poller.discard(self.ours)
        again, other = socket.socketpair()
        self.addCleanup(again.close)
        self.addCleanup(other.close)
        mine, peer = (again, other) if again.fileno() == number else (other, again)
        self.poller.addReader(self.source, mine)
        peer.send(b"x")
        self.assertEqual(self.seen(), ("_read", mine))

    def test_numbers_are_descriptors_too(self):
        self.poller.addReader(self.source, self.ours.fileno())
        self.theirs.send(b"x")
        self.assertEqual(self.seen(), ("_read", self.ours.fileno()))

    def test_direct_step_where_nobody_listens(self):
        steps = []

        class Quiet(BaseComponent):
            channel = "quiet"

            def _read_ready(self, fd):
                steps.append(fd)
        quiet = Quiet().register(self.app)
        pump(self.app)
        self.poller.addReader(quiet, self.ours)
        self.theirs.send(b"x")
        pump(self.app, lambda: steps)
        self.assertIs(steps[0], self.ours)

    def test_who_listens_later_is_told_as_well(self):
        steps, heard = [], []

        class Quiet(BaseComponent):
            channel = "quiet"

            def _read_ready(self, fd):
                steps.append(fd.recv(9))

        class Curious(BaseComponent):
            @handler("_read", channel="quiet")
            def _on_read(self, fd):
                heard.append(fd.recv(9))
        self.source.unregister()
        quiet, curious = Quiet().register(self.app), Curious()
        pump(self.app)
        self.poller.addReader(quiet, self.ours)
        for expected, change in ((["a"], None), (["a"], curious.register),
                                 (["a", "c"], lambda app: curious.unregister())):
            if change is not None:
                change(self.app)
                pump(self.app)
            self.theirs.send(b"abc"[len(steps) + len(heard):][:1])
            pump(self.app, lambda: len(steps) + len(heard) == sum(
                map(len, (expected, ["b"] if change else []))))
            self.assertEqual([data.decode() for data in steps], expected)
        self.assertEqual(heard, [b"b"])

    def test_who_waits_for_reading_by_name_gets_it(self):
        class Quiet(BaseComponent):
            channel = "quiet"

            def _read_ready(self, fd):
                raise AssertionError("called, though somebody waits for the event")
        quiet = Quiet().register(self.app)
        self.source.unregister()
        pump(self.app)
        self.poller.addReader(quiet, self.ours)
        waiting = quiet.wait("_read", "quiet")
        next(waiting)
        self.theirs.send(b"x")
        self.app.tick(0)
        self.poller.removeReader(self.ours)
        pump(self.app)
        self.assertTrue(waiting.over)

    def test_nothing_stays_open_after_run(self):
        def numbers():
            return {n for n in range(64) if fstat(n)}

        def fstat(n):
            try:
                os.fstat(n)
                return True
            except OSError:
                return False

        class App(Component):
            def started(self, *args):
                yield sleep(0)
                self.stop()
        gc.collect()                # trees of other tests that were driven by hand
        before = numbers()
        app = App() + self.kind()
        for _ in range(3):
            app.run()
            self.assertEqual(numbers() - before, set())

    def test_two_pollers_become_one(self):
        self.poller.addReader(self.source, self.ours)
        tree = Component() + self.kind()
        self.app.register(tree)
        pump(tree)
        pollers = circuits.findtype(tree, circuits.BasePoller, all=True)
        self.assertEqual(len(pollers), 1)
        self.assertTrue(pollers[0].isReading(self.ours))
        self.addCleanup(pollers[0].close)
        self.app = tree
        self.theirs.send(b"x")
        self.assertEqual(self.seen(), ("_read", self.ours))


class TestSelect(PollerContract, CircuitsTest):
    kind = circuits.Select


if hasattr(circuits.select, "poll"):
    class TestPoll(PollerContract, CircuitsTest):
        kind = circuits.Poll

if hasattr(circuits.select, "epoll"):
    class TestEPoll(PollerContract, CircuitsTest):
        kind = circuits.EPoll

if hasattr(circuits.select, "kqueue"):
    class TestKQueue(PollerContract, CircuitsTest):
        kind = circuits.KQueue


# ---------------------------------------------------------------------------
# circuits.py: timers and workers
# ---------------------------------------------------------------------------

class TestTimers(CircuitsTest):

    def setUp(self):
        self.clock = FakeClock()
        self.rec = Recorder("registered", "unregistered", "prepare_unregister",
                            "prepare_unregister_complete")
        self.app = make_app(self.rec)
        self.app.clock = self.clock

    def after(self, seconds):
        self.clock.advance(seconds)
        pump(self.app)
        return self.rec.names

    def test_once(self):
        timer = Timer(5, Foo(1)).register(self.app)
        self.assertEqual(self.after(4.9), [])
        self.assertEqual(self.after(0.2), ["foo"])
        self.assertNotIn(timer, self.app)
        self.assertEqual(self.after(100), ["foo"])

    def test_one_that_is_alone(self):
        timer = Timer(5, Foo())
        self.assertIs(timer.parent, timer)
        self.assertIs(timer.unregister(), timer)
        self.app.unregisterChild(timer)                 # it was no child
        self.assertAlmostEqual(timer.expiry - time.time(), 5, delta=0.5)
        self.assertIs(timer.root, timer)
        self.assertEqual((timer.running, len(timer)), (False, 0))
        timer.register(self.app)
        self.assertEqual((timer.parent, timer.root), (self.app, self.app))
        other = Component()
        timer.register(other)                           # it moves, and its time with it
        self.assertEqual((timer.root, self.app.components), (other, {self.rec}))
        timer.register(self.app)
        self.assertEqual(self.after(4), [])
        self.assertEqual(self.after(1.5), ["foo"])
        self.assertIs(timer.parent, timer)
        self.assertIsNone(timer.expiry)
        timer.reset()
        timer.register(self.app)
        self.assertEqual(self.after(5.5), ["foo", "foo"])
        timer = Timer(5, Foo()).register(self.app).unregister()
        self.app.unregisterChild(timer)                 # not to wait for that
        timer.register(self.app)
        pump(self.app)
        self.assertIn(timer, self.app)
        timer.unregister()
        pump(self.app)
        self.assertIs(timer.parent, timer)

    def test_an_event_whose_channel_is_a_string(self):
        event = Foo()
        event.channels = "here"

        class Here(Component):
            channel = "here"

            def foo(self):
                return "heard"
        self.app += Here()
        Timer(5, event, persist=True).register(self.app)
        for _ in range(2):
            self.after(6)
            self.assertEqual(event.value.value, "heard")

    def test_it_is_gone_when_its_event_is_handled(self):
        self.rec.unregister()
        pump(self.app)
        seen = []

        class Often(Timer):
            singleton = True

        class App(Component):
            def foo(self, kind):
                seen.append(kind)
                kind(1, Foo(kind)).register(self)

            def registerChild(self, component):
                seen.append("+")
                super().registerChild(component)

            def unregisterChild(self, component):
                seen.append("-")
                super().unregisterChild(component)
        app = App().register(self.app)
        waiting = app.wait("never")
        next(waiting)                       # somebody who waits changes nothing
        for kind in (Timer, Often):
            del seen[:]
            app.fire(Foo(kind))
            pump(self.app)
            for _ in range(3):
                self.after(1.5)
            self.assertEqual(seen, [kind, "+"] + ["-", kind, "+"] * 3)
            for timer in list(app.components):
                timer.unregister()
            pump(self.app)

    def test_one_that_was_to_leave_is_due(self):
        self.rec.unregister()
        pump(self.app)
        box, old = Component(), Component()
        box.register(old)
        old.clock = self.clock
        timer = Timer(5, Foo()).register(box)
        timer.unregister()
        old.unregisterChild(box)
        box.register(self.app)
        self.after(6)
        self.assertEqual((timer.parent, timer.unregister_pending), (timer, False))

    def test_what_the_class_says(self):
        class Beat(Timer):
            persist = True
            channels = ("x",)
        self.assertEqual((Beat(1, Foo()).persist, Beat(1, Foo()).channels), (False, ()))
        self.assertEqual((Beat(1, Foo(), "y", persist=True).persist, Timer(1, Foo(), "y").channels),
                         (True, ("y",)))

    def test_its_event_is_broken(self):
        class Broken(Event):
            def __init__(self):
                pass
        self.expect_stderr("Timer._due")
        Timer(1, Broken()).register(self.app)
        self.after(2)

    def test_cancelled_from_where_it_does_not_count(self):
        branch = Component().register(self.app)
        entry = branch._reactor.call_later(5, int)
        self.app._reactor.call_later(9, int)
        self.app.unregisterChild(branch)
        branch._reactor.cancel(entry)
        pump(self.app)
        self.assertEqual(self.app.next_deadline(), self.clock() + 9)

    def test_whatever_order_they_come_and_go_in(self):
        reactor, chance, seen = self.app._reactor, random.Random(8), []
        for moves in ("in order", "backwards", "mixed", "one late", "two lengths"):
            waiting, begin = {}, self.clock()
            for number in range(1000):
                seconds = {"in order": number, "backwards": 1000 - number,
                           "mixed": chance.randrange(1000), "one late": number or 3600,
                           "two lengths": number + 500 * (number % 2)}[moves]
                entry = reactor.call_later(seconds, seen.append, (begin + seconds, number))
                if chance.random() < 0.7:
                    waiting[number] = begin + seconds
                else:
                    reactor.cancel(entry)
                    reactor.cancel(entry)
                if number % 10 == 9:
                    self.clock.advance(0.5)
                    self.app.tick(0)
                    begin = self.clock()
                    due = [n for n in waiting if waiting[n] <= begin]
                    self.assertEqual(seen, sorted((waiting.pop(n), n) for n in due))
                    seen.clear()
                    self.assertEqual(reactor.next_deadline(), min(waiting.values(), default=None))
            self.clock.advance(5000)
            self.app.tick(0)
            self.assertEqual(seen, sorted((waiting[n], n) for n in waiting))
            seen.clear()
            self.assertEqual((len(reactor.timers), reactor.next_deadline()), (0, None))

    def test_whatever_order_costs_the_same(self):
        def seconds(order, n):
            began = time.process_time()
            for number in range(n):
                self.app._reactor.call_later(order(number, n), int)
            self.clock.advance(10 * n)
            self.app.tick(0)
            return time.process_time() - began
        for order in (lambda i, n: i, lambda i, n: n - i, lambda i, n: i if i % 2 else n - i):
            for _ in range(5):
                if seconds(order, 10000) < 40 * seconds(order, 1000):   # with the square: 100
                    break
            else:
                self.fail("ten times as many took more than forty times as long")

    def test_one_that_is_cancelled_while_it_is_due(self):
        reactor, seen = self.app._reactor, []
        reactor.call_later(1, lambda: reactor.cancel(second))
        second = reactor.call_later(1, seen.append, 2)
        reactor.call_later(1, lambda: reactor.call_later(0, seen.append, "later"))
        reactor.call_later(1, seen.append, 3)
        self.clock.advance(2)
        self.app.tick(0)
        self.assertEqual(seen, [3])
        self.app.tick(0)
        self.assertEqual(seen, [3, "later"])

    def test_its_event_can_be_stopped_when_it_has_left(self):
        event, seen = Foo(), []

        class First(Component):
            @handler("foo", priority=1)
            def on_foo(self):
                seen.append("first")
                event.stop()

        class Second(Component):
            def foo(self):
                seen.append("second")
        self.rec.unregister()
        pump(self.app)
        self.app += First()
        self.app += Second()
        Timer(5, event).register(self.app)
        self.clock.advance(6)
        pump(self.app)
        self.assertEqual(seen, ["first"])

    def test_a_timer_as_the_root(self):
        class Clock(Timer):
            @handler("tick_tock")
            def on_tick_tock(self):
                raise SystemExit(3)
        with self.assertRaises(SystemExit) as caught:
            Clock(0.01, Event.create("tick_tock")).run()
        self.assertEqual(caught.exception.code, 3)

    def test_persistent_keeps_its_schedule(self):
        event = Foo()
        Timer(5, event, "ch", persist=True).register(self.app)
        pump(self.app)
        for late in (5.5, 4.5, 5.0):
            self.after(late)
        self.assertEqual(len(self.rec.events), 3)
        self.assertTrue(all(e is event and e.channels == ("ch",) for e in self.rec.events))
        self.after(500)                     # after a long sleep: once, not a hundred times
        self.after(5)
        self.assertEqual(len(self.rec.events), 5)

    def test_reset_and_expiry(self):
        timer = Timer(5, Foo()).register(self.app)
        self.after(3)
        timer.reset()
        self.assertEqual(self.after(3), [])
        timer.reset(10)
        self.assertEqual((timer.interval, self.after(9)), (10, []))
        self.assertAlmostEqual(timer.expiry - time.time(), 1, delta=0.5)
        timer.expiry = None
        self.assertEqual(self.after(100), [])
        self.assertIsNone(timer.expiry)
        timer.expiry = time.time() - 1
        self.assertEqual(self.after(0), ["foo"])

    def test_datetime(self):
        import datetime
        when = datetime.datetime.now() + datetime.timedelta(seconds=2)
        Timer(when, Foo()).register(self.app)
        self.assertEqual(self.after(1), [])
        self.assertEqual(self.after(1.5), ["foo"])

    def test_order_of_deadlines(self):
        for i in (3, 1, 2, 1):
            Timer(i, Foo(i)).register(self.app)
        self.after(5)
        self.assertEqual([e[0] for e in self.rec.events], [1, 1, 2, 3])

    def test_channels_of_the_event(self):
        event = Foo()
        event.channels = ("mine",)
        Timer(1, event).register(self.app)
        self.after(1)
        self.assertEqual(self.rec.events[0].channels, ("mine",))

    def test_unregistered_timer_is_silent(self):
        timer = Timer(5, Foo()).register(self.app)
        timer.unregister()
        pump(self.app)
        self.assertEqual(self.after(10), [])
        timer.reset()
        timer.register(self.app)
        self.assertEqual(self.after(6), ["foo"])

    def test_bad_arguments(self):
        with self.assertRaisesRegex(TypeError, "takes an event"):
            Timer(1, "foo")
        with self.assertRaisesRegex(TypeError, "number of seconds or a datetime"):
            Timer("1", Foo())

    def test_in_a_running_system(self):
        class App(Component):
            beats = 0

            def beat(self):
                self.beats += 1
                if self.beats == 3:
                    self.stop()
        app = App()
        Timer(0.005, Event.create("beat"), persist=True).register(app)
        app.run()
        self.assertEqual(app.beats, 3)

    def test_a_due_timer_nobody_watches_is_gone_at_once(self):
        self.rec.unregister()
        pump(self.app)
        timer = Timer(5, Foo()).register(self.app)
        pump(self.app)
        self.clock.advance(6)
        self.app.tick(0)
        self.assertNotIn(timer, self.app)
        self.assertIs(timer.parent, timer)
        timer.reset(1)
        timer.register(self.app)            # and may be used again
        self.assertIn(timer, self.app)

    def test_ten_thousand_leave_nothing(self):
        for _ in range(10000):
            Timer(60, Foo()).register(self.app)
        pump(self.app)
        circuits.kill(self.app)
        pump(self.app)
        self.assertEqual(len(self.app.components), 0)
        self.assertLess(len(self.app._reactor.timers), 300)


def add(a, b):
    return a + b


def fail():
    raise ValueError("in the worker")


class TestWorkers(CircuitsTest):

    def run_task(self, event, worker, *channels):
        # Since 3.12 forking warns where threads are, and a test run has some.
        warnings.filterwarnings("ignore", "(?s).*fork", DeprecationWarning)
        app = make_app(worker)
        self.addCleanup(worker._shut_pool)
        value = app.fire(event, *channels)
        pump(app, lambda: value.result or value.errors)
        pump(app)
        return value

    def test_thread_and_process(self):
        for process in (False, True):
            value = self.run_task(circuits.Task(add, 1, b=2), Worker(process=process, workers=1), "worker")
            self.assertEqual((value.value, value.errors), (3, False))

    def test_error(self):
        class App(Component):
            def task_failure(self, evt, error):
                self.failed = error[0]
        for process in (False, True):
            self.expect_stderr("in the worker")
            warnings.filterwarnings("ignore", "(?s).*fork", DeprecationWarning)
            app = App() + Worker(process=process, workers=1)
            value = app.fire(circuits.task(fail), "worker")
            pump(app, lambda: value.errors)
            pump(app)
            self.assertIs(value.value[0], ValueError)
            self.assertIs(app.failed, ValueError)
            for worker in app.components:
                worker._shut_pool()

    def test_task_flags(self):
        self.assertEqual((circuits.Task.name, circuits.task.name), ("task", "task"))
        self.assertFalse(circuits.Task.success)
        self.assertTrue(circuits.task.success and circuits.task.failure)
        func, arg = circuits.Task(add, 1)
        self.assertEqual((func, arg), (add, 1))

    def test_stand_alone(self):
        worker = Worker(workers=2)
        with serving(worker):
            value = worker.fire(circuits.Task(add, 1, 2))
            wait_for(lambda: value.result)
        self.assertEqual(value.value, 3)
        self.assertIsNone(worker.pool)

    def test_the_loop_goes_on_meanwhile(self):
        gate = threading.Event()
        worker = Worker(workers=1)
        app = make_app(worker)
        value = app.fire(circuits.Task(gate.wait, PATIENCE), "worker")
        other = app.fire(Foo())
        pump(app, lambda: other.event._state == circuits.DONE)
        self.assertFalse(value.result)
        gate.set()
        pump(app, lambda: value.result)
        self.assertIs(value.value, True)

    def test_the_pool_ends_with_the_worker(self):
        worker = Worker(workers=1)
        self.run_task(circuits.Task(add, 1, 2), worker, "worker")
        app, pool = worker.parent, worker.pool
        worker.unregister()
        pump(app)
        self.assertIsNone(worker.pool)
        with self.assertRaises(RuntimeError):
            pool.submit(add, 1, 2)

    def test_bad_arguments(self):
        with self.assertRaisesRegex(ValueError, "at least 1"):
            Worker(workers=0)
        self.expect_stderr("takes a function")
        self.assertTrue(self.run_task(circuits.Task(3), Worker(), "worker").errors)


# ---------------------------------------------------------------------------
# circuits.py: debugger, loader, tools
# ---------------------------------------------------------------------------

class TestDebugger(CircuitsTest):

    class App(Component):
        def foo(self, *args):
            pass

        def test(self):
            raise ValueError("boom")

    def debug(self, event, **options):
        out = options.setdefault("file", io.StringIO())
        app = self.App()
        debugger = Debugger(**options).register(app)
        pump(app)
        if hasattr(out, "truncate"):
            out.seek(0)
            out.truncate()
        app.fire(event)
        app.flush()
        first = out.getvalue() if hasattr(out, "getvalue") else None
        pump(app)
        return first, out.getvalue() if hasattr(out, "getvalue") else None, debugger

    def test_events(self):
        self.assertEqual(self.debug(Foo(1))[1], "<Foo[*.foo] (1 )>\n")

    def test_error_block_comes_after_the_event(self):
        first, all, _ = self.debug(Event.create("test"))
        self.assertEqual(first, "<test[*.test] ( )>\n")
        lines = all[len(first):].splitlines()
        self.assertTrue(lines[0].startswith("<Error[*.error] ("))
        self.assertEqual(lines[1], "ERROR <listener[*.test] (App.test)> (<class 'ValueError'>): boom")
        self.assertIn('raise ValueError("boom")', all)

    def test_switches(self):
        self.assertEqual(self.debug(Foo(), events=False)[1], "")
        self.assertNotIn("ERROR <", self.debug(Event.create("test"), errors=False)[1])
        debugger = self.debug(Foo())[2]
        debugger._events = False
        self.assertFalse(debugger.events)

    def test_prefix_and_trim(self):
        self.assertEqual(self.debug(Foo(), prefix="X")[1], "X: <Foo[*.foo] ( )>\n")
        self.assertEqual(self.debug(Foo(), prefix=lambda: "Y", trim=6)[1], "Y: <Fo ...>\n")

    def test_ignored_here_are_not_ignored_there(self):
        self.assertEqual(self.debug(Foo(), IgnoreEvents=["foo"])[1], "")
        self.assertEqual(self.debug(Foo(), IgnoreChannels=["*"])[1], "")
        self.assertEqual(self.debug(Foo())[1], "<Foo[*.foo] ( )>\n")
        self.assertEqual(Debugger.IgnoreEvents, ["generate_events"])

    def test_file_by_name(self):
        path = os.path.join(self.folder(), "log")
        debugger = self.debug(Foo(), file=path)[2]
        app = debugger.parent
        debugger.unregister()
        pump(app)
        self.assertIsNone(debugger.file)
        with open(path) as file:
            self.assertIn("<Foo[*.foo] ( )>\n", file.read())

    def test_logger(self):
        class Log:
            lines = []

            def debug(self, text):
                self.lines.append(("debug", text))

            def error(self, text):
                self.lines.append(("error", text))
        self.debug(Event.create("test"), logger=Log())
        self.assertIn(("debug", "<test[*.test] ( )>"), Log.lines)
        self.assertTrue(any(kind == "error" and text.startswith(
            "ERROR <listener[*.test] (App.test)> (") for kind, text in Log.lines))

    def test_a_full_disk_is_not_our_trouble(self):
        class Full:
            def write(self, text):
                raise OSError("disk full")
        self.debug(Foo(), file=Full())

    def test_fallback_prints_the_same(self):
        self.expect_stderr("ERROR <listener[*.test] (App.test)> (<class 'ValueError'>): boom\n  File ")
        app = self.App()
        app.fire(Event.create("test"))
        pump(app)


class TestLoader(CircuitsTest):

    def test_load(self):
        path = self.folder(**{"plugin_%d.py" % os.getpid(): """
            from circuits import Component
            class Zed(Component): pass
            class Able(Component):
                def init(self, who): self.who = who
            """, "broken_%d.py" % os.getpid(): "import os\n1/0"})
        loader = circuits.Loader(init_args=["Bob"], paths=[path])
        self.addCleanup(sys.path.remove, path)
        app = make_app(loader)
        value = app.fire(Event.create("load", "plugin_%d" % os.getpid()), "loader")
        pump(app)
        self.assertEqual((value.value.name, value.value.who), ("Able", "Bob"))
        self.assertIn(value.value, loader)
        self.assertIsNone(loader.load("broken_%d" % os.getpid()))
        self.assertNotIn("broken_%d" % os.getpid(), sys.modules)
        self.assertIsNone(loader.load("no_such_module_%d" % os.getpid()))
        self.assertIsNone(circuits.Loader().load("textwrap"))


class TestTools(CircuitsTest):

    class A(Component):
        channel = "x"

        def foo(self):
            pass

    def tree(self):
        app = Manager()
        a = self.A().register(app)
        b = self.A(channel="y").register(a)
        return app, a, b

    def test_graph(self):
        app, a, b = self.tree()
        pid = os.getpid()
        self.assertEqual(circuits.graph(app), (
            "* <Manager/ %d:MainThread (queued=2) [S]>\n"
            " * <A/x %d:MainThread (queued=0) [S]>\n"
            "  * <A/y %d:MainThread (queued=0) [S]>") % (pid, pid, pid))

    def test_graph_dot_and_png(self):
        app, a, b = self.tree()
        dot = circuits.graph_dot(app)
        self.assertEqual(dot.count("->"), 2)
        if shutil.which("dot") is None:
            self.skipTest("Graphviz is not installed")
        path = os.path.join(self.folder(), "tree")
        circuits.graph(app, path)
        with open(path + ".png", "rb") as file:
            self.assertEqual(file.read(4), b"\x89PNG")

    def test_inspect(self):
        a = self.A()
        text = circuits.inspect(a)
        self.assertTrue(text.startswith(" Components: 0\n\n Event Handlers: 3\n"))
        self.assertIn("  foo; 1\n   <listener[*.foo] (A.foo)>\n", text)
        for name in ("unregister; 1\n", "prepare_unregister_complete; 1\n"):
            self.assertIn(name, text)

    def test_walks(self):
        app, a, b = self.tree()
        self.assertEqual(list(circuits.walk(app, lambda d, c: (d, c))), [(0, app), (1, a), (2, b)])
        self.assertEqual(circuits.edges(app), {(app, a), (a, b)})
        self.assertEqual(list(circuits.flatten(app)), [app, a, b])
        self.assertIs(circuits.findroot(b), app)
        self.assertIs(circuits.findchannel(app, "y"), b)
        self.assertIsNone(circuits.findchannel(app, "z"))
        self.assertEqual(circuits.findtype(app, self.A, all=True), [a, b])
        self.assertIs(circuits.findcmp(app, self.A), a)

    def test_kill(self):
        app, a, b = self.tree()
        circuits.kill(a)
        pump(app)
        self.assertEqual((len(app.components), len(a.components), b.parent), (0, 0, b))

    def test_imports(self):
        self.assertIs(circuits.tryimport(("no_such_thing_a", "json"), "loads"), __import__("json").loads)
        with self.assertWarnsRegex(UserWarning, "pity"):
            self.assertIsNone(circuits.tryimport("no_such_thing_a", message="pity"))
        self.assertIsNone(circuits.safeimport("no_such_thing_a"))
        self.assertEqual(circuits.getargspec(add), (["a", "b"], None, None, None))
        with self.assertWarns(DeprecationWarning):
            self.assertEqual(circuits.deprecated(add)(1, 2), 3)


# ---------------------------------------------------------------------------
# circuits.py: context variables
# ---------------------------------------------------------------------------

who = contextvars.ContextVar("who", default="nobody")


class TestContextVariables(CircuitsTest):
    """Copied at fire(), seen by every handler and task of that event."""

    class App(Component):
        def init(self):
            self.seen = []

        @handler("ask", priority=1)
        def _plain(self, tag):
            self.seen.append((tag, "plain", who.get()))

        @handler("ask")
        def _generator(self, tag):
            yield sleep(0)
            self.seen.append((tag, "generator", who.get()))
            self.fire(Foo(tag))

        @handler("ask", priority=-1)
        async def _coroutine(self, tag):
            await self.call(Hello())
            self.seen.append((tag, "coroutine", who.get()))

        def foo(self, tag):
            self.seen.append((tag, "caused", who.get()))

    def test_of_the_firing(self):
        app = self.App()
        for tag in ("bob", "ann"):
            contextvars.copy_context().run(lambda: (who.set(tag), app.fire(Event.create("ask", tag))))
        app.fire(Event.create("ask", "nobody"))
        pump(app)
        pump(app, lambda: len(app.seen) == 12)
        for tag in ("bob", "ann", "nobody"):
            self.assertEqual(sorted(s for s in app.seen if s[0] == tag), [
                (tag, kind, tag) for kind in ("caused", "coroutine", "generator", "plain")])

    def test_what_a_handler_sets_stays_with_its_event(self):
        seen = []

        class App(Component):
            @handler("ask", priority=1)
            def _guard(self, tag):
                if tag:
                    who.set(tag)

            def ask(self, tag):
                seen.append((tag, who.get()))
                self.fire(Foo(tag))

            def foo(self, tag):
                seen.append((tag, who.get()))

            def late(self, tag):
                who.set(tag)
                yield
                seen.append((tag, who.get()))
        app = App()
        for tag in ("bob", None, "ann", None):
            app.fire(Event.create("ask", tag))
            app.fire(Event.create("late", "late"))
        pump(app)
        for tag, value in seen:
            self.assertEqual(value, tag or "nobody")
        self.assertEqual((len(seen), who.get()), (12, "nobody"))

    def test_a_nested_flush_and_feedback(self):
        seen = []

        class App(Component):
            def ask(self):
                who.set("bob")
                self.fire(Foo())
                self.flush()
                self.fire(Hello())

            def foo(self):
                seen.append(who.get())

            def hello(self):
                seen.append(who.get())

            def ask_success(self, evt, value):
                seen.append(who.get())
        app = App()
        event = Event.create("ask")
        event.success = True
        app.fire(event)
        app.fire(Foo())
        pump(app)
        self.assertEqual(seen, ["nobody", "bob", "bob", "bob"])


# ---------------------------------------------------------------------------
# circuits.py: every kind of handler, every way of awaiting and of running
# ---------------------------------------------------------------------------

class Work(Event):
    """What the table's caller waits for."""


class TableWorker(Component):
    """Handles work(outcome) in one of four ways."""

    channel = "work"

    def init(self, kind, numbers, halt):
        self.numbers = numbers
        self.halt = halt
        self.addHandler(handler("work")(getattr(type(self), "_" + kind)))

    def _begin(self, outcome):
        """Do what the outcome asks for; True if the handler shall not end."""
        if outcome == "error":
            raise ValueError("planned")
        if outcome == "unregistered":
            self.unregister()
        if outcome == "stopped":
            self.halt()
        return outcome in ("timeout", "unregistered", "stopped")

    def _plain(self, outcome):
        return self.wait("nothing") if self._begin(outcome) else self.numbers[0]

    def _generator(self, outcome):
        yield
        if self._begin(outcome):
            yield self.wait("nothing")
        for number in self.numbers:
            yield number

    async def _coroutine(self, outcome):
        await sleep(0)
        if self._begin(outcome):
            await self.wait("nothing")
        return self.numbers[0]

    async def _stream(self, outcome):
        await sleep(0)
        if self._begin(outcome):
            await self.wait("nothing")
        for number in self.numbers:
            yield number


class TableCaller(Component):
    """Waits for work in one of six ways, and notes what came of it."""

    def init(self, way, event, timeout, halt):
        self.way, self.event, self.timeout, self.halt = way, event, timeout, halt
        self.outcome = ("closed",)
        self.over = False

    def error(self, *args):
        """Nothing on stderr."""

    def go(self):
        return getattr(self, "_" + self.way)()

    class _noting:
        """Notes the outcome of a block, and ends the run."""

        def __init__(self, caller):
            self.caller = caller

        def __enter__(self):
            return self

        def got(self, value):
            self.caller.outcome = ("value", value.value)

        def __exit__(self, etype, error, traceback):
            caller = self.caller
            if etype is not None and issubclass(etype, Exception):
                caller.outcome = ("error", etype.__name__)
            caller.over = True
            caller.halt()
            return isinstance(error, Exception)

    def _yield_call(self):
        with self._noting(self) as note:
            note.got((yield self.call(self.event, "work", timeout=self.timeout)))

    async def _await_call(self):
        with self._noting(self) as note:
            note.got(await self.call(self.event, "work", timeout=self.timeout))

    def _wait_name(self):
        with self._noting(self) as note:
            self.fire(self.event, "work")
            note.got((yield self.wait("work", "work", timeout=self.timeout)))

    async def _wait_instance(self):
        with self._noting(self) as note:
            self.fire(self.event, "work")
            note.got(await self.wait(self.event, timeout=self.timeout))

    async def _await_fire(self):
        with self._noting(self) as note:
            value = self.fire(self.event, "work")
            if self.timeout is None:
                return note.got(await value)
            await circuits.race(value, self.wait(self.event, timeout=self.timeout))

    async def _gather(self):
        with self._noting(self) as note:
            note.got((await circuits.gather(
                self.call(self.event, "work", timeout=self.timeout)))[0])


class TestTable(CircuitsTest):
    """Every cell of the table has the outcome that its row says."""

    kinds = ("plain", "generator", "coroutine", "stream")
    ways = ("yield_call", "await_call", "wait_name", "wait_instance", "await_fire", "gather")
    outcomes = {"value": ("value", 1), "several": ("value", [1, 2]),
                "error": ("error", "ValueError"), "timeout": ("error", "TimeoutError"),
                "cancelled": ("value", None), "unregistered": ("error", "Cancelled"),
                "stopped": ("closed",)}

    def make(self, kind, way, outcome, halt):
        """The caller, and the tree it is in."""
        event = Work(outcome)
        if outcome == "cancelled":
            event.cancel()
        app = Component()
        caller = TableCaller(way, event, 0.001 if outcome == "timeout" else None,
                             lambda: halt(app, caller)).register(app)
        parts = [[1]]
        if outcome == "several":
            parts = [[1, 2]] if kind in ("generator", "stream") else [[1], [2]]
        for numbers in parts:
            TableWorker(kind, numbers, caller.halt).register(app)
        pump(app)
        app.fire(Event.create("go"))
        app._reactor.call_later(PATIENCE, app.stop)
        return app, caller

    def check_all(self, run, halt=lambda app, caller: app.stop()):
        for kind in self.kinds:
            for way in self.ways:
                for outcome, expected in self.outcomes.items():
                    app, caller = self.make(kind, way, outcome, halt)
                    run(app, caller)
                    self.assertEqual(caller.outcome, expected, (kind, way, outcome))
                    self.assertTrue(caller.over, (kind, way, outcome))
                    self.assertFalse([m for m in circuits.flatten(app) if m._tasks])
                    self.assertFalse(app._reactor.awaited, (kind, way, outcome))

    def test_on_its_own_loop(self):
        self.check_all(lambda app, caller: app.run())

    def test_by_hand(self):
        def halt(app, caller):
            if not caller.over:
                circuits.kill(app)

        def run(app, caller):
            pump(app, lambda: caller.over)
            circuits.kill(app)          # what else is running ends as well
            pump(app)
        self.check_all(run, halt)

    def test_in_a_thread(self):
        def run(app, caller):
            app.start()
            app.join(PATIENCE)
        self.check_all(run)

    def check_in_loop(self, loop):
        self.addCleanup(loop.close)
        self.check_all(lambda app, caller: loop.run_until_complete(app.serve()))

    def test_inside_asyncio(self):
        self.check_in_loop(asyncio.new_event_loop())

    def test_inside_uvloop(self):
        try:
            import uvloop
        except ImportError:
            self.skipTest("uvloop is not installed")
        self.check_in_loop(uvloop.new_event_loop())


# ---------------------------------------------------------------------------
# circuits.py: several at once
# ---------------------------------------------------------------------------

class TestStoppedBesideTasks(CircuitsTest):

    def test_a_task_in_the_batch_of_a_stopped_event_goes_on(self):
        class App(Component):
            def go(self):
                yield
                self.over = True

            def foo(self, event):
                event.stop()
        app = App()
        app.fire(Event.create("go"))
        app.flush()
        app.fire(Foo())
        app._reactor.queue.rotate(1)        # the stopped event is before the task
        pump(app)
        self.assertTrue(app.over)


class TestTogether(CircuitsTest):
    """gather, race, group: the same on our own loop and inside asyncio."""

    class App(Callee):
        def init(self):
            self.log = []

        def error(self, *args):
            self.log.append("error")

        def slow(self, seconds):
            try:
                yield sleep(seconds)
                self.log.append(seconds)
                return seconds
            finally:
                self.log.append("over")

    def both(self, body):
        """Run the coroutine function *body(app)* as a handler in both; its results."""
        outcomes = []
        for run in (lambda app: app.run(),
                    lambda app: asyncio.run(app.serve())):
            app = self.App()

            @handler("go")
            async def go(self, *args):
                try:
                    return await body(self)
                finally:
                    self.stop()
            app.addHandler(go)
            value = app.fire(Event.create("go"))
            run(app)
            outcomes.append((value.value, app))
        self.assertEqual(outcomes[0][0], outcomes[1][0])
        return outcomes[1]

    def test_gather_keeps_the_order(self):
        async def body(app):
            values = await circuits.gather(
                app.call(Event.create("slow", 0.002)), app.fire(Event.create("plain", 1)),
                app.call(Event.create("slow", 0.001)), sleep(0))
            return [value and value.value for value in values], await circuits.gather()
        self.assertEqual(self.both(body)[0], ([0.002, 2, 0.001, None], []))

    def test_gather_in_a_generator_and_by_hand(self):
        app = self.App()

        @handler("go")
        def go(self):
            a, b = yield circuits.gather(self.call(Event.create("plain", 1)),
                                         self.call(Event.create("plain", 2)))
            return a.value, b.value
        app.addHandler(go)
        value = app.fire(Event.create("go"))
        pump(app)
        self.assertEqual(value.value, (2, 3))
        both = circuits.gather(app.call(Event.create("plain", 1)), app.call(Event.create("plain", 2)))
        for _ in both:
            app.tick()
        self.assertEqual([v.value for v in both.outcome], [2, 3])

    def test_gather_raises_the_first_error(self):
        async def body(app):
            try:
                await circuits.gather(app.call(Event.create("never")), app.call(Event.create("boom")))
            except ValueError as error:
                return str(error)
        result, app = self.both(body)
        self.assertEqual((result, app.log), ("boom", []))

    def test_race(self):
        async def body(app):
            first = await circuits.race(app.call(Event.create("never")),
                                        app.call(Event.create("plain", 1)))
            late = await circuits.race(app.call(Event.create("never")), sleep(0.001))
            return first.value, late
        self.assertEqual(self.both(body)[0], (2, None))
        with self.assertRaisesRegex(ValueError, "at least one"):
            circuits.race()
        with self.assertRaisesRegex(TypeError, "for coroutines there is group"):
            circuits.gather(3)

    def test_group(self):
        async def part(app, n):
            await sleep(0.001 * n)
            return (await app.call(Event.create("plain", n))).value

        async def body(app):
            async with circuits.group(app) as tasks:
                values = [tasks.start(part(app, n)) for n in (2, 1)]
            return [value.value for value in values]
        self.assertEqual(self.both(body)[0], [3, 2])

    def test_a_failure_cancels_the_rest_of_a_group(self):
        async def endless(app):
            try:
                await app.wait("nothing")
            finally:
                app.log.append("closed")

        async def bad():
            await sleep(0)
            raise KeyError("bad")

        for where in ("body", "end", "own"):
            async def body(app):
                try:
                    async with circuits.group(app) as tasks:
                        tasks.start(endless(app))
                        if where == "own":
                            await sleep(0)
                            raise KeyError("bad")
                        tasks.start(bad())
                        if where == "body":
                            await app.wait("nothing")
                            app.log.append("wrong")
                except KeyError as error:
                    await sleep(0)              # it can go on
                    return "caught %s" % error
            result, app = self.both(body)
            self.assertEqual((result, app.log), ("caught 'bad'", ["closed"]), where)

    def test_a_group_ends_with_its_component(self):
        log = []

        class Part(Component):
            async def work(self):
                async with circuits.group(self) as tasks:
                    tasks.start(self._endless())
                    tasks.start(self._endless())

            async def _endless(self):
                try:
                    await self.wait("nothing")
                finally:
                    log.append("closed")
        part = Part()
        app = make_app(part)
        app.fire(Event.create("work"))
        pump(app)
        part.unregister()
        pump(app)
        self.assertEqual(log, ["closed", "closed"])
        with self.assertRaisesRegex(TypeError, "takes a coroutine"):
            circuits.group(app).start(part._endless)

    def test_tasks_of_a_group_are_effects(self):
        order = []

        class App(Component):
            async def outer(self):
                async with circuits.group(self) as tasks:
                    tasks.start(self._part())

            async def _part(self):
                await sleep(0)
                self.fire(Event.create("effect"))

            async def effect(self):
                await sleep(0.001)
                order.append("effect")

            def outer_complete(self, evt, value):
                order.append("complete")
                self.stop()
        for run in (lambda app: app.run(), lambda app: asyncio.run(app.serve())):
            app = App()
            event = Event.create("outer")
            event.complete = True
            app.fire(event)
            del order[:]
            run(app)
            self.assertEqual(order, ["effect", "complete"])

    def test_thousands_at_once_leave_nothing(self):
        class App(Component):
            def by_call(self):
                yield self.call(Hello())

            async def by_await(self):
                await self.call(Hello())

            def by_name(self):
                yield self.wait("foo", timeout=60)

            async def by_sleep(self):
                await sleep(0)

        app = make_app(App())

        def burst(n):
            for name in ("by_call", "by_await", "by_name", "by_sleep"):
                for _ in range(n):
                    app.fire(Event.create(name))
            pump(app)
            app.fire(Foo())
            pump(app, lambda: not any(m._tasks for m in circuits.flatten(app)))
            pump(app)

        def cost(n):
            start = time.process_time()
            burst(n)
            return time.process_time() - start
        many = 10000 if FULL else 3000
        burst(many // 10)
        gc.collect()
        before = len(gc.get_objects())
        small = min(cost(many // 10) for _ in range(3))
        # Linear is 10, square would be 100 each time; a busy machine may make it 40 once.
        self.assertTrue(any(cost(many) < 40 * small for _ in range(5)))
        gc.collect()
        self.assertLess(len(gc.get_objects()), before + 300)


# ---------------------------------------------------------------------------
# circuits.py: inside asyncio
# ---------------------------------------------------------------------------

class TestInsideAsyncio(CircuitsTest):

    many = 5000 if FULL else 1000

    class App(Callee):
        def init(self, poller=None):
            self.log = []
            if poller is not None:
                poller().register(self)

        def started(self, component):
            self.log.append("started")

        def stopped(self, component):
            self.log.append("stopped")

        async def native(self):
            "Things of asyncio that want to know the task they are in."
            self.log.append(asyncio.current_task() is not None)
            await asyncio.wait_for(asyncio.sleep(0.001), PATIENCE)
            result = await asyncio.gather(self._part(1), self._part(2))
            return result + [(await self.call(Event.create("plain", 3))).value]

        async def _part(self, n):
            await asyncio.sleep(0)
            return n

        def generator_native(self):
            future = asyncio.get_running_loop().create_future()
            future.get_loop().call_soon(future.set_result, 1)
            a = yield future
            b = yield asyncio.sleep(0, 2)
            return [a, b]

        async def endless(self):
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await asyncio.sleep(0)
                self.log.append("closed")

    loops = [asyncio.new_event_loop]
    pollers = [None, circuits.Select] + [p for p in (getattr(circuits, "Poller"),) if p is not circuits.Select]

    def go(self, main, *pollers):
        """Run ``main(app)`` in a loop of each kind, with a tree of each kind."""
        for new_loop in self.loops:
            for poller in pollers or self.pollers:
                loop = new_loop()
                try:
                    app = self.App(poller)
                    loop.run_until_complete(asyncio.wait_for(main(app), PATIENCE))
                    self.assertFalse(app.running)
                    self.assertFalse(app._tasks)
                    self.assertFalse(asyncio.all_tasks(loop))
                finally:
                    loop.close()
        return app

    def test_awaiting_asyncio(self):
        async def main(app):
            async with app.serving() as entered:
                self.assertIs(entered, app)
                self.assertTrue(app.running)
                self.assertEqual(app.log, ["started"])
                value = await app.fire(Event.create("native"))
                self.assertEqual(value.value, [1, 2, 4])
                value = await app.fire_async(Event.create("generator_native"))
                self.assertEqual(value.value, [1, 2])
            self.assertEqual(app.log, ["started", True, "stopped"])
        self.go(main)

    def test_asyncio_awaiting_us(self):
        async def main(app):
            async with app.serving():
                both = await asyncio.gather(app.call(Event.create("plain", 1)),
                                            app.call(Event.create("generator")), sleep(0))
                self.assertEqual(both[0].value, 2)
                self.assertEqual(both[1].value, list(range(1, 10)))
                for name, error in (("boom", ValueError), ("late_boom", KeyError)):
                    with self.assertRaises(error):
                        await app.fire_async(Event.create(name))
                    with self.assertRaises(error):
                        await app.fire(Event.create(name))
                with self.assertRaises(circuits.TimeoutError):
                    await app.fire_async(Event.create("never"), timeout=0.001)
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(app.call(Event.create("never")), 0.001)
                shielded = await asyncio.shield(app.call(Event.create("plain", 1)))
                self.assertEqual(shielded.value, 2)
                value = await circuits.race(app.wait("plain", "app"), sleep(PATIENCE)) \
                    if app.fire(Event.create("plain", 5)) else None
                self.assertEqual(value.value, 6)
            self.assertFalse(app._reactor.awaited)
        self.go(main)

    def test_cancelling_serve_stops_the_tree(self):
        async def main(app):
            task = asyncio.ensure_future(app.serve())
            app.fire(Event.create("endless"))
            while not app.log:
                await asyncio.sleep(0)
            await app.fire(Event.create("plain", 1))
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(app.log, ["started", "stopped", "closed"])
        self.go(main)

    def test_stop_ends_those_who_wait_elsewhere(self):
        async def main(app):
            async with app.serving():
                waits = [asyncio.ensure_future(w) for w in (
                    app.fire_async(Event.create("never")), app.fire_async(Event.create("endless")),
                    self.by_name(app))]
                await app.fire_async(Event.create("plain", 1))
            for wait in waits:
                with self.assertRaises(circuits.Cancelled):
                    await wait
        self.go(main)

    async def by_name(self, app):
        return await app.wait("nothing")

    def test_unregistering_cancels_what_asyncio_runs(self):
        async def main(app):
            part = self.App().register(app)
            part.channel = "part"
            async with app.serving():
                wait = asyncio.ensure_future(app.fire_async(Event.create("endless"), "part"))
                await app.fire_async(Event.create("plain", 1), "app")
                await asyncio.sleep(0)
                part.unregister()
                with self.assertRaises(circuits.Cancelled):
                    await wait
            self.assertEqual(part.log[-1], "closed")
        self.go(main)

    def test_who_cancels_the_task_of_a_handler_cancels_the_handler(self):
        async def main(app):
            async with app.serving():
                before = asyncio.all_tasks()
                wait = asyncio.ensure_future(app.fire_async(Event.create("endless")))
                while len(asyncio.all_tasks() - before) < 2:
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
                for task in asyncio.all_tasks() - before - {wait}:
                    task.cancel()
                with self.assertRaisesRegex(circuits.Cancelled, "was cancelled"):
                    await wait
        self.go(main)

    def test_the_code_leaves_as_system_exit(self):
        class App(Component):
            async def started(self, component):
                await asyncio.sleep(0)
                raise SystemExit(3)
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)

        async def main():
            with self.assertRaises(SystemExit) as caught:
                await App().serve()
            return caught.exception.code
        self.assertEqual(loop.run_until_complete(main()), 3)

    def test_mistakes_are_told(self):
        async def main(app):
            with self.assertRaisesRegex(RuntimeError, "await app.serve"):
                app.run()
            async with app.serving():
                with self.assertRaisesRegex(RuntimeError, "running already"):
                    await app.serve()
                with self.assertRaisesRegex(RuntimeError, "running already"):
                    app.start()
                child = Component().register(app)
                with self.assertRaisesRegex(RuntimeError, "that one|running already"):
                    await child.serve()
                with self.assertRaisesRegex(RuntimeError, "would wait for itself"):
                    app.call_from_thread(Foo())
        self.go(main)
        app = Component()

        @handler("go")
        async def go(self):
            await Future()
        Future = asyncio.Future
        app.addHandler(go)
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        Future = lambda: asyncio.Future(loop=loop)
        value = app.fire(Event.create("go"))
        self.expect_stderr("await app.serve()")
        pump(app)
        self.assertTrue(value.errors)

    def test_several_trees_in_one_loop(self):
        async def main(app):
            other = self.App()
            async with app.serving(), other.serving():
                values = await asyncio.gather(*[tree.fire_async(Event.create("coroutine", n))
                                                for n in range(20) for tree in (app, other)])
                self.assertEqual([v.value for v in values], [n + 2 for n in range(20) for _ in "ab"])
        self.go(main)

    def test_a_tree_in_another_thread(self):
        async def main(app):
            app.start()
            try:
                value = await app.fire_async(Event.create("coroutine", 1))
                self.assertEqual(value.value, 3)
                with self.assertRaises(ValueError):
                    await app.fire_async(Event.create("boom"))
                with self.assertRaises(circuits.TimeoutError):
                    await app.fire_async(Event.create("never"), timeout=0.001)
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(app.call(Event.create("never")), 0.001)
                values = [await app.fire(Event.create("plain", n)) for n in range(200)]
                self.assertEqual([v.value for v in values], list(range(1, 201)))
                wait = asyncio.ensure_future(app.fire_async(Event.create("never")))
                await app.fire(Event.create("plain", 1))
            finally:
                app.stop()
            with self.assertRaises(circuits.Cancelled):
                await wait
            app.join(PATIENCE)
        self.go(main)

    def test_fire_from_threads_wakes_the_loop(self):
        async def main(app):
            async with app.serving():
                loop = asyncio.get_running_loop()

                def hammer():
                    return sum(app.call_from_thread(Event.create("plain", n), "app").value
                               for n in range(50))
                sums = await asyncio.gather(*[loop.run_in_executor(None, hammer) for _ in range(4)])
                self.assertEqual(sums, [sum(range(1, 51))] * 4)
        self.go(main)

    def test_sockets_and_timers(self):
        async def main(app):
            a, b = socket.socketpair()
            with a, b:
                source = Source().register(app)
                async with app.serving():
                    app._reactor.poller.addReader(source, a)
                    await app.fire(Foo())
                    for i in range(3):
                        seen = asyncio.ensure_future(app.fire_async(Event.create("timed")))
                        b.send(b"x")
                        while len(source.seen) <= i:
                            await asyncio.sleep(0.001)
                        a.recv(1)
                        Timer(0.001, Event.create("ring")).register(app)
                        await app.wait("ring", "*", timeout=PATIENCE)
                        await seen
                        del source.seen[i + 1:]
                    app._reactor.poller.discard(a)
        self.go(main, *[p for p in self.pollers if p])

    def test_generate_events_and_complete(self):
        class App(Component):
            left = 5

            def generate_events(self, event):
                if self.left:
                    self.left -= 1
                    event.reduce_time_left(0.001)

            async def outer(self):
                self.fire(Foo())
                await asyncio.sleep(0)
                self.fire(Hello())

            async def foo(self):
                await asyncio.sleep(0.001)
                self.log = ["foo"]

            async def hello(self):
                await asyncio.sleep(0.002)
                self.log.append("hello")

            def outer_complete(self, evt, value):
                self.log.append("complete")

        async def main():
            app = App()
            async with app.serving():
                event = Event.create("outer")
                event.complete = True
                app.fire(event)
                await app.wait("outer_complete", timeout=PATIENCE)
                while app.left:
                    await asyncio.sleep(0.001)
            self.assertEqual(app.log, ["foo", "hello", "complete"])
        asyncio.run(main())

    def test_calls_that_asyncio_begins_are_effects(self):
        order = []

        class App(Component):
            async def outer(self):
                await asyncio.gather(self.call(Foo()), self.call(Foo()))

            def foo(self):
                self.fire(Hello())

            async def hello(self):
                await asyncio.sleep(0.001)
                order.append("hello")

            def outer_complete(self, evt, value):
                order.append("complete")
                self.stop()
        app = App()
        event = Event.create("outer")
        event.complete = True
        app.fire(event)
        asyncio.run(app.serve())
        self.assertEqual(order, ["hello", "hello", "complete"])

    def test_handlers_of_the_web_that_wait(self):
        from circuits_web import Controller, Server

        class Root(Controller):
            async def index(self):
                await asyncio.sleep(0)
                value = await self.call(Event.create("plain", 1), "app")
                return "got %d" % value.value

            def older(self):
                value = yield self.call(Event.create("coroutine", 1), "app")
                return "got %d" % value.value

        async def main(app):
            server = Server(("127.0.0.1", 0)).register(app)
            Root().register(server)
            async with app.serving():
                loop = asyncio.get_running_loop()
                for path, expected in (("/", b"got 2"), ("/older", b"got 3")):
                    answer = await loop.run_in_executor(
                        None, raw, server.port, b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
                    self.assertTrue(answer.endswith(expected), answer)
        self.go(main)

    def test_thousands_at_once_leave_nothing(self):
        async def main(app):
            async with app.serving():
                async def burst(n):
                    await asyncio.gather(*[app.fire_async(Event.create("coroutine", i))
                                           for i in range(n)])
                    for _ in range(5):          # callbacks of the loop hold the last ones
                        await asyncio.sleep(0)
                    for _ in range(3):          # PyPy takes more than one
                        gc.collect()
                    return len(gc.get_objects())
                before = await burst(self.many)
                self.assertLess(min([await burst(self.many) for _ in range(2)]), before + 300)
        self.go(main, None)

    def test_context_variables(self):
        seen = []

        class App(Component):
            async def ask(self):
                await asyncio.sleep(0)
                seen.append(who.get())
                Timer(0, Event.create("ring"), "*").register(self)
                self.fire(Event.create("next"))

            def next(self):
                seen.append(who.get())

            def ring(self):
                seen.append(who.get())
                self.stop()

        async def main():
            app = App()
            async with app.serving():
                who.set("bob")
                await app.fire_async(Event.create("ask"))
                await app._reactor.host.wait_ended()
        asyncio.run(main())
        self.assertEqual(seen, ["bob", "bob", "nobody"])

    def test_quiet_in_debug_mode_and_with_strict_warnings(self):
        out, err = child("""
            import asyncio, circuits
            class App(circuits.Component):
                async def started(self, component):
                    try:
                        await asyncio.sleep(1000)
                    finally:
                        print("closed")
                async def foo(self):
                    yield 1
                    await circuits.sleep(1000)
            async def main():
                app = App()
                async with app.serving():
                    app.fire(circuits.Event.create("foo"))
                    await asyncio.sleep(0.01)
                    app.fire(circuits.Event.create("foo"))
            asyncio.run(main(), debug=True)
            app = App()
            app.start(); app.fire(circuits.Event.create("foo")); app.stop(); app.join()
            """.replace("await asyncio.sleep(1000)", "await circuits.sleep(1000)"),
            flags=("-X", "dev", "-W", "error"))
        self.assertEqual((out, err), ("closed\nclosed\n", ""))

    def test_no_asyncio_on_our_own_loop(self):
        out, err = child("""
            import sys, circuits
            class App(circuits.Component):
                async def started(self, component):
                    await circuits.sleep(0)
                    await circuits.gather(self.call(circuits.Event.create("foo")))
                    async with circuits.group(self) as tasks:
                        tasks.start(self.work())
                    self.stop()
                @circuits.handler(False)
                async def work(self):
                    pass
                async def foo(self):
                    yield 1
            App().run()
            print("asyncio" in sys.modules)
            """)
        self.assertEqual((out, err), ("False\n", ""))


class TestInsideUvloop(TestInsideAsyncio):
    """The same on uvloop, where that is installed."""

    def setUp(self):
        try:
            import uvloop
        except ImportError:
            self.skipTest("uvloop is not installed")
        self.loops = [uvloop.new_event_loop]


class TestPollThread(TestInsideAsyncio):
    """The same where the loop cannot watch descriptors, as on Windows."""

    class Loop(asyncio.SelectorEventLoop):
        def add_reader(self, fd, callback, *args):
            raise NotImplementedError

    loops = [Loop]
    many = 2000 if FULL else 500


# ---------------------------------------------------------------------------
# circuits.py: in a host's loop
# ---------------------------------------------------------------------------

class TestGuest(CircuitsTest):

    class App(Callee):
        def init(self):
            self.log = []

        def ring(self):
            self.log.append("ring")

    def test_a_host_at_100_hertz(self):
        """Nothing but tick() from a timer; the clock is the host's."""
        clock = FakeClock()
        app = self.App()
        app.clock = clock
        caller = Caller(lambda self: self.call(Event.create("coroutine", 1), "app")).register(app)
        Timer(0.05, Event.create("ring"), "app", persist=True).register(app)
        caller.fire(Event.create("go"))
        for frame in range(100):
            app.tick(0)
            clock.advance(0.01)
        self.assertEqual(caller.result.value, 3)
        self.assertIn(len(app.log), (19, 20))

    def readable(self, number):
        return bool(select.select([number], [], [], 0)[0])

    @unittest.skipIf(circuits.Poller in (circuits.Select, circuits.Poll), "no file number here")
    def test_a_file_number_to_watch(self):
        app = self.App()
        app.clock = clock = FakeClock()
        number = app.fileno()
        pump(app)
        self.assertEqual(number, app.fileno())
        for fire in (lambda: app.fire(Event.create("ring")),
                     lambda: in_thread(lambda: app.fire(Event.create("ring")))):
            del app.log[:]
            app.tick(0)
            self.assertFalse(self.readable(number))
            self.assertIsNone(app.next_deadline())
            fire()
            self.assertTrue(self.readable(number))
            self.assertEqual(app.next_deadline(), clock.now)
            app.tick(0)
            self.assertEqual(app.log, ["ring"])
        app.fire(Event.create("coroutine", 1))
        turns = 0
        while self.readable(number):            # goes on until there is nothing to do
            app.tick(0)
            turns += 1
        self.assertGreater(turns, 2)
        Timer(7, Event.create("ring")).register(app)
        self.assertTrue(self.readable(number))
        pump(app)
        self.assertAlmostEqual(app.next_deadline(), clock.now + 7, 3)

    @unittest.skipIf(circuits.Poller in (circuits.Select, circuits.Poll), "no file number here")
    def test_a_socket_makes_it_readable(self):
        a, b = socket.socketpair()
        app = self.App()
        source = Source().register(app)
        with a, b:
            number = app.fileno()
            app._reactor.poller.addReader(source, a)
            pump(app)
            self.assertFalse(self.readable(number))
            b.send(b"x")
            self.assertTrue(self.readable(number))
            pump(app, lambda: source.seen)
            app._reactor.poller.discard(a)

    def test_select_has_no_file_number(self):
        app = self.App()
        circuits.Select().register(app)
        with self.assertRaisesRegex(RuntimeError, "tick.. from a timer"):
            app.fileno()

    def test_call_from_thread(self):
        app = self.App()
        with self.assertRaisesRegex(RuntimeError, "does not run"):
            app.call_from_thread(Foo())
        with app as entered:
            self.assertIs(entered, app)
            self.assertEqual(app.call_from_thread(Event.create("plain", 1)).value, 2)
            self.assertEqual(app.call_from_thread(Event.create("coroutine", 1), "app").value, 3)
            with self.assertRaises(ValueError):
                app.call_from_thread(Event.create("boom"))
            with self.assertRaises(circuits.TimeoutError):
                app.call_from_thread(Event.create("never"), timeout=0.001)

            @handler("self_call")
            def self_call(self):
                self.call_from_thread(Foo())
            app.addHandler(self_call)
            with self.assertRaisesRegex(RuntimeError, "wait for itself"):
                app.call_from_thread(Event.create("self_call"))
        self.assertFalse(app.running)

    def test_call_from_thread_ends_with_the_tree(self):
        app = self.App()
        ended = []

        def wait():
            try:
                app.call_from_thread(Event.create("never"))
            except circuits.Cancelled as error:
                ended.append(error)
        with app:
            threads = [threading.Thread(target=wait) for _ in range(5)]
            for thread in threads:
                thread.start()
            wait_for(lambda: len(app._tasks or ()) == 5)
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(len(ended), 5)

    def test_a_thread_calls_a_tree_that_is_driven_by_hand(self):
        app = self.App()
        app.tick(0)
        results = []
        thread = threading.Thread(
            target=lambda: results.append(app.call_from_thread(Event.create("coroutine", 1))))
        thread.start()
        pump(app, lambda: results)
        thread.join(PATIENCE)
        self.assertEqual(results[0].value, 3)

    def test_sixteen_threads(self):
        """fire, register and unregister from everywhere, while it runs."""
        app = self.App()
        errors = []

        class Part(Component):
            def ping(self, n):
                return n

        def hammer():
            try:
                for n in range(30):
                    part = Part(channel="part")
                    part.register(app)
                    app.fire(Event.create("ring"), "app")
                    app.call_from_thread(Event.create("ping", n), "part")
                    part.unregister()
            except Exception as error:
                errors.append(error)
        with app:
            threads = [threading.Thread(target=hammer) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
            wait_for(lambda: not app.components)
            wait_for(lambda: len(app.log) == 16 * 30)
        self.assertEqual(errors, [])

    def test_tk(self):
        try:
            import tkinter
            root = tkinter.Tk()
        except Exception as error:
            self.skipTest("no Tk here: %s" % error)
        app = self.App()
        results = []

        @handler("go")
        async def go(self):
            value = await self.call(Event.create("coroutine", 1))
            await sleep(0.001)
            results.append(value.value)
            root.destroy()
        app.addHandler(go)
        app.fire(Event.create("go"))

        def beat():
            root.after(10, beat)
            app.tick(0)
        beat()
        root.mainloop()
        self.assertEqual(results, [3])


# ---------------------------------------------------------------------------
# circuits.py: the command
# ---------------------------------------------------------------------------

class TestCommand(CircuitsTest):

    def setUp(self):
        self.path = self.folder()
        for name in FILES:
            shutil.copy(os.path.join(HERE, name), self.path)

    def command(self, *args):
        """What it prints, as {file: "version state"}, and the exit status."""
        done = subprocess.run([sys.executable, "circuits.py", *args], cwd=self.path,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual(done.stderr, "")
        return dict(line.split(None, 1) for line in done.stdout.splitlines()), done.returncode

    def change(self, name, function):
        with open(os.path.join(self.path, name), "rb") as file:
            text = file.read()
        with open(os.path.join(self.path, name), "wb") as file:
            file.write(function(text))

    def states(self, *args):
        lines, status = self.command(*args)
        return {name: rest.split(None, 1)[1] for name, rest in lines.items() if name in FILES}, status

    def test_sealed_edited_and_neither(self):
        self.assertEqual(set(self.states("--check")[0]), set(FILES))
        self.assertEqual(self.states("--seal"), (dict.fromkeys(FILES, "sealed"), 0))
        self.assertEqual(self.states("--check"), (dict.fromkeys(FILES, "sealed"), 0))
        self.assertEqual(child("import circuits; print(circuits.__version__)", cwd=self.path)[0], "2.1.0\n")
        self.change("circuits_io.py", lambda text: text.replace(b"\n", b"\r\n"))
        self.assertEqual(self.states("--check")[1], 0)
        self.change("circuits_net.py", lambda text: text + b"# a quick fix\n")
        states, status = self.states("--check")
        self.assertEqual((states["circuits_net.py"], status), ("edited", 1))
        self.assertEqual(self.states("--seal"), (dict.fromkeys(FILES, "sealed"), 0))

    def test_versions_that_do_not_belong_together(self):
        self.change("circuits_web.py", lambda text: text.replace(
            b'__version__ = "2.1.0"', b'__version__ = "9.9.9"'))
        lines, status = self.command("--check")
        self.assertEqual((lines["circuits_web.py"].split()[0], status), ("9.9.9", 1))
        self.assertIn("these", lines)

    def test_usage(self):
        self.assertEqual(self.command("--chekc")[1], 2)


# ---------------------------------------------------------------------------
# circuits.py: edges, each one a defect once
# ---------------------------------------------------------------------------

class TestEdges(CircuitsTest):

    def test_complete_is_fired_once_whatever_the_handler_is(self):
        def plain(self):
            pass

        def generator(self):
            yield

        async def coroutine(self):
            await sleep(0)

        def causing(self):
            self.fire(Hello())
        seen = []

        class Base(Component):
            def hello(self):
                yield
                yield

            def foo_complete(self, evt, value):
                seen.append(evt._effects)
        for body in (plain, generator, coroutine, causing):
            app = type("App", (Base,), {"foo": body})()
            event = Foo()
            event.complete = True
            app.fire(event)
            pump(app, lambda: seen)
            for _ in range(10):
                app.tick(0)
            self.assertEqual(seen, [0], body)
            del seen[:]

    def test_many_may_raise_system_exit(self):
        log = []

        class App(Component):
            def started(self, *args):
                for i in range(4):
                    self.fire(Event.create("hello", i))
                yield self.wait("nothing")

            def hello(self, i):
                log.append(i)
                raise SystemExit(i)

            @handler("stopped", priority=1)
            def _one(self, *args):
                raise SystemExit(9)

            def stopped(self, *args):
                log.append("stopped")

            async def sleeper(self):
                try:
                    await self.wait("nothing")
                finally:
                    raise SystemExit(8)
        before = signal.getsignal(signal.SIGINT)
        app = App()
        app.fire(Event.create("sleeper"))
        with self.assertRaises(SystemExit) as caught:
            app.run()
        self.assertEqual((caught.exception.code, log), (0, [0, 1, 2, 3, "stopped"]))
        self.assertIs(signal.getsignal(signal.SIGINT), before)
        self.assertIsNone(app._reactor.wakeup)

    def test_timers_set_by_other_threads_lose_nobody(self):
        class App(Component):
            rounds = 0

            def go(self, n):
                for _ in range(20):
                    yield sleep(0.0005)
                self.rounds += 1
        app = App()
        timers = [Timer(1000, Event.create("x")).register(app) for _ in range(150)]
        for n in range(50):
            app.fire(Event.create("go", n))
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        self.addCleanup(sys.setswitchinterval, interval)
        over = []

        def churn():
            while not over:
                for timer in timers:
                    timer.reset(1000)
        with serving(app):
            thread = threading.Thread(target=churn)
            thread.start()
            try:
                wait_for(lambda: app.rounds == 50)
            finally:
                over.append(True)
                thread.join()

    def test_an_event_that_is_done_but_not_complete_can_be_fired_again(self):
        class App(Component):
            def init(self):
                self.again = Event.create("a")
                self.seen = 0

            def c(self):
                self.fire(self.again)

            def a(self):
                self.fire(Event.create("b"))

            def b(self):
                for _ in range(5):
                    yield

            def c_complete(self, evt, value):
                self.seen += 1
        app = App()
        event = Event.create("c")
        event.complete = True
        app.fire(event)
        for _ in range(3):
            app.flush()
        app.fire(app.again)
        pump(app)
        self.assertEqual((app.seen, app.again._effects), (1, 0))

    def test_nothing_escapes_the_loop(self):
        class Unprintable(Exception):
            def __str__(self):
                return self.missing

        class Undecided:
            def __bool__(self):
                raise ValueError("undecided")

        class Bad(Event):
            def __init__(self):
                super().__init__()
                self.name = 404

        class App(Component):
            def foo(self):
                raise Unprintable()

            @handler("hello", filter=True)
            def _filter(self):
                return Undecided()

            def hello(self):
                raise AssertionError("let through")

            def last(self):
                self.over = True
        app = App()
        for text in ("Unprintable", "undecided", "the name of an event is a string, got 404"):
            self.expect_stderr(text)
        for event in (Foo(), Hello(), Bad(), Event.create("last")):
            app.fire(event)
        pump(app)
        self.assertTrue(app.over)
        with self.assertRaisesRegex(TypeError, "priority of a handler is a number"):
            handler("foo", priority="high")

    def test_a_component_whose_fire_fails_is_its_own_trouble(self):
        class Odd(Component):
            def fire(self, event, *channels, **kwargs):
                if event.name == "foo_value_changed":
                    raise ValueError("not me")
                return super().fire(event, *channels, **kwargs)

            def foo(self):
                yield 1

            def foo_value_changed(self, value):
                pass

            def hello(self):
                return 1
        self.expect_stderr("not me")
        odd = Odd()
        event = Foo()
        event.notify = True
        odd.fire(event)
        value = odd.fire(Hello())
        pump(odd)
        self.assertEqual(value.value, 1)

    def test_long_waits_and_no_number_at_all(self):
        for kind in (None, circuits.Select, circuits.Poller):
            class App(Component):
                def tock(self):
                    self.stop()
            app = App()
            if kind is not None:
                kind().register(app)
            for interval in (86400 * 30, 1e300, float("inf")):
                Timer(interval, Event.create("never")).register(app)
            Timer(0.01, Event.create("tock")).register(app)
            app.run()
        for make in (lambda: Timer(float("nan"), Foo()), lambda: sleep(float("nan")),
                     lambda: Manager().wait("x", timeout=float("nan"))):
            with self.assertRaises(ValueError):
                make()

    def test_a_handler_may_take_its_own_component_away(self):
        log = []
        other = Component()

        class Kid(Component):
            def foo(self, how):
                try:
                    yield
                    how(self)
                    log.append("moved")
                    yield
                    log.append("not reached")
                finally:
                    log.append("closed")
        for how in (lambda kid: kid.register(other), lambda kid: kid.parent.unregisterChild(kid)):
            kid = Kid()
            app = make_app(kid)
            value = app.fire(Foo(how))
            pump(app)
            self.assertEqual(log, ["moved", "closed"])
            self.assertIsInstance(value._error, circuits.Cancelled)
            del log[:]

    def test_a_forked_child_never_inherits_a_held_lock(self):
        if not hasattr(os, "register_at_fork"):
            self.skipTest("no fork here")
        out, err = child("""
            import os, signal, threading
            from circuits import Component
            over = []
            def churn():
                root = Component()
                while not over:
                    root.unregisterChild(Component().register(root))
            thread = threading.Thread(target=churn)
            thread.start()
            codes = []
            for _ in range(20):
                pid = os.fork()
                if not pid:
                    signal.alarm(5)
                    Component().register(Component())
                    os._exit(0)
                codes.append(os.waitpid(pid, 0)[1])
            over.append(1)
            print(set(codes))
            """, flags=("-W", "ignore"))
        self.assertEqual(out, "{0}\n")

    def test_results_that_come_after_the_dispatch_count(self):
        class App(Component):
            def foo(self, event):
                self.saved = event
        app = App()
        value = app.fire(Foo())
        pump(app)
        self.assertIs(app.saved.value, value)
        app.saved.value.value = 42
        self.assertEqual(value.value, 42)

    def test_feedback_comes_though_the_handling_component_left(self):
        class Kid(Component):
            def foo(self):
                yield sleep(100)

        class App(Component):
            def foo_complete(self, evt, value):
                self.seen = value
        app, kid = App(), Kid()
        kid.register(app)
        event = Foo()
        event.complete = True
        app.fire(event)
        for _ in range(4):
            app.flush()
        kid.unregister()
        pump(app)
        self.assertTrue(hasattr(app, "seen"))

    def test_waiting_through_a_component_that_leaves_ends(self):
        class App(Component):
            def go(self):
                try:
                    yield self.kid.wait("never")
                except circuits.Cancelled:
                    self.over = True
        app, kid = App(), Component()
        app.kid = kid.register(app)
        app.fire(Event.create("go"))
        pump(app)
        kid.unregister()
        pump(app)
        self.assertTrue(app.over)

    def test_one_waiting_is_for_one_task(self):
        class App(Component):
            def init(self):
                self.shared = self.call(Event.create("slow"))
                self.log = []

            def foo(self):
                yield self.shared
                self.log.append("first")

            def hello(self):
                try:
                    yield self.shared
                except RuntimeError as error:
                    self.log.append("make a call() or wait() for each" in str(error))

            def slow(self):
                yield sleep(0.001)
        app = App()
        app.fire(Foo())
        app.fire(Hello())
        pump(app, lambda: len(app.log) == 2)
        self.assertEqual(app.log, [True, "first"])

    def test_stop_counts_whoever_fired_and_whenever(self):
        seen = []

        class Guard(Component):
            @handler("foo", priority=1)
            def _guard(self, event):
                event.stop()

            def foo(self):
                seen.append("let through")
        gone = Component()
        app = make_app(Guard(), gone)
        gone.fire(Foo())
        app.unregisterChild(gone)
        pump(app)
        event = Hello()
        event.stop()
        Recorder().register(app)
        value = app.fire(event)
        pump(app)
        self.assertEqual((seen, value.result), ([], False))

    def test_an_exception_handler_elsewhere_does_not_hide_errors(self):
        class Log(Component):
            channel = "log"

            def exception(self, *args, **kwargs):
                pass

        class App(Component):
            channel = "app"

            def foo(self):
                raise ValueError("boom")
        self.expect_stderr("boom")
        app = App() + Log()
        app.fire(Foo())
        pump(app)

    def test_the_caller_gets_one_error_and_the_others_are_events(self):
        class App(Component):
            def init(self):
                self.errors = []

            @handler("foo", priority=1)
            def _one(self):
                raise ValueError(1)

            def foo(self):
                raise KeyError(2)

            def go(self):
                try:
                    yield self.call(Foo())
                except ValueError as error:
                    self.errors.append(error)

            def error(self, etype, evalue, traceback, handler=None):
                self.errors.append(evalue)
        app = App()
        app.fire(Event.create("go"))
        pump(app)
        self.assertEqual(sorted(type(e).__name__ for e in app.errors), ["KeyError", "ValueError"])

    def test_a_timer_set_while_the_loop_falls_asleep_is_seen(self):
        class App(Component):
            def tock(self):
                self.stop()
        for poller in (None, circuits.Poller):
            app = App()
            if poller:
                poller().register(app)
            timer = Timer(3600, Event.create("tock")).register(app)
            reactor = app._reactor
            first = [True]

            class Clock:
                """Lets another thread set the timer in the worst moment: just
                before the pause, after the deadlines were looked at."""

                def __call__(self):
                    if reactor.sleeping and first:
                        first.clear()
                        thread = threading.Thread(target=timer.reset, args=(0.001,))
                        thread.start()
                        thread.join()
                    return time.monotonic()
            app.clock = Clock()
            app.run()
            self.assertEqual(first, [])

    def test_a_handler_that_returns_its_own_value(self):
        class App(Component):
            def foo(self, event):
                return event.value

            def hello(self):
                return self.outer
        self.expect_stderr("returned the Value of that event itself")
        app = App()
        value = app.fire(Foo())
        pump(app)
        self.assertTrue(value.errors)
        app.outer = circuits.Value()
        value = app.fire(Hello())
        pump(app)
        with self.assertRaises(ValueError):
            app.outer.value = value

    def test_names_from_peers_do_not_fill_the_plans(self):
        app = Component()
        for i in range(6 * circuits.MAX_PLANS):
            app.fire(Event.create("peer%d" % i))
            app.flush()
        self.assertLessEqual(len(app._reactor.plans), 4 * circuits.MAX_PLANS + 2)

    def test_a_worker_gets_new_processes_for_dead_ones(self):
        warnings.filterwarnings("ignore", "(?s).*fork", DeprecationWarning)
        worker = Worker(process=True, workers=1)
        app = make_app(worker)
        self.addCleanup(worker._shut_pool)
        self.expect_stderr("BrokenProcessPool")
        value = app.fire(circuits.Task(os._exit, 1), "worker")
        pump(app, lambda: value.errors)
        value = app.fire(circuits.Task(add, 1, 2), "worker")
        pump(app, lambda: value.result)
        self.assertEqual(value.value, 3)
        pump(app)

    def test_a_worker_function_cannot_end_the_system(self):
        worker = Worker(workers=1)
        app = make_app(worker)
        self.addCleanup(worker._shut_pool)
        self.expect_stderr("the function raised SystemExit(3)")
        value = app.fire(circuits.Task(sys.exit, 3), "worker")
        pump(app, lambda: value.errors)
        pump(app)
        self.assertIs(value.value[0], RuntimeError)

    def test_a_pool_ends_with_the_tree_above_it(self):
        worker = Worker(workers=1)
        middle = Component() + worker
        app = make_app(middle)
        value = app.fire(circuits.Task(add, 1, 2), "worker")
        pump(app, lambda: value.result)
        middle.unregister()
        pump(app)
        self.assertIsNone(worker.pool)

    def test_started_by_many_at_once_it_runs_once(self):
        for _ in range(20):
            app, outcomes = Component(), []

            def start():
                try:
                    outcomes.append(app.start())
                except RuntimeError:
                    outcomes.append(None)
            threads = [threading.Thread(target=start) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sum(outcome is not None for outcome in outcomes), 1)
            app.stop()
            app.join(PATIENCE)

    def test_state_of_an_earlier_firing_is_gone(self):
        rec = Recorder()
        app = make_app(rec)
        event = Foo()
        app.fire(event, priority=5)
        pump(app)
        rec.clear()
        app.fire(event)
        app.fire(Hello(), priority=1)
        pump(app)
        self.assertEqual(rec.names, ["foo", "hello"])

    def test_awaiting_the_value_of_an_earlier_firing(self):
        class App(Component):
            def foo(self, event):
                yield
                return 1 if event.value is self.first else 2

            def go(self):
                value = yield circuits.gather(self.first)
                self.result = value[0]
        app, event = App(), Foo()
        app.first = app.fire(event)
        pump(app)
        app.fire(event)
        app.fire(Event.create("go"))
        pump(app)
        self.assertIs(app.result, app.first)

    def test_a_nested_flush_is_no_effect(self):
        log = []

        class App(Component):
            def a(self):
                self.flush()

            def b(self):
                self.fire(Event.create("c"))

            def c(self):
                yield self.wait("nothing")

            def a_complete(self, evt, value):
                log.append("complete")
        app = App()
        event = Event.create("a")
        event.complete = True
        app.fire(event)
        app.fire(Event.create("b"))
        pump(app)
        self.assertEqual(log, ["complete"])

    def test_registering_elsewhere_takes_unregister_back(self):
        a, b, child = Component(), Component(), Component()
        child.register(a)
        child.unregister()
        child.register(b)
        pump(a)
        pump(b)
        self.assertIn(child, b)
        self.assertFalse(child.unregister_pending)

    def test_a_tree_of_five_thousand_levels(self):
        top = app = Component()
        for _ in range(5000):
            below = Component()
            app.registerChild(below)
            app = below
        self.assertEqual(circuits.graph(top).count("\n"), 5000)
        self.assertEqual(circuits.graph_dot(top).count("->"), 5000)
        circuits.kill(top)
        pump(top)
        self.assertEqual(len(top.components), 0)
        self.assertIs(app.parent, app)

    def test_names_set_on_the_instance(self):
        class RAW(Event):
            success = True

            def __init__(self):
                super().__init__()
                self.name = "command_raw"

        class App(Component):
            def command_raw(self):
                return 1

            def raw_success(self, evt, value):
                self.seen = value
        app = App()
        app.fire(RAW())
        pump(app)
        self.assertEqual(app.seen, 1)

    def test_what_cannot_be_added_and_a_channel_that_is_a_string(self):
        for wrong, text in ((5, "got 5"), (Component, "make one, with brackets")):
            with self.assertRaisesRegex(TypeError, text):
                Component() + wrong

        class Word(Event):
            channels = "web"

        class App(Component):
            channel = "web"

            def word(self):
                return 1
        app = App()
        value = app.fire(Word())
        pump(app)
        self.assertEqual(value.value, 1)

    def test_discarding_a_closed_descriptor_whose_number_is_used_again(self):
        for kind in (circuits.Select, circuits.Poller):
            poller, source = kind(), Source()
            app = make_app(poller, source)
            self.addCleanup(poller.close)
            one, two = socket.socketpair()
            poller.addReader(source, one)
            app.tick(0)
            number = one.fileno()
            one.close()
            three, four = socket.socketpair()
            mine, peer = (three, four) if three.fileno() == number else (four, three)
            poller.addReader(source, mine)
            poller.discard(one)
            peer.send(b"x")
            pump(app, lambda: ("_read", mine) in source.seen)
            for sock in (two, three, four):
                sock.close()

    def test_the_clock_of_timers_is_monotonic(self):
        self.assertIs(Manager.clock, time.monotonic)

    def test_poller_is_looked_at_while_events_keep_coming(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        theirs.send(b"x")

        class App(Component):
            def started(self, *args):
                self.fire(Foo())

            def foo(self):
                self.fire(Foo())

            @handler("_read", channel="source")
            def _on_read(self, fd):
                raise SystemExit(7)
        app, poller, source = App(), circuits.Poller(), Component(channel="source")
        (app + poller + source)
        poller.addReader(source, ours)
        self.expect_stderr("still being fired")
        with self.assertRaises(SystemExit):
            app.run()

    def test_wait_looks_at_all_channels(self):
        class App(Component):
            def go(self):
                yield self.wait("foo", "x", "y")
                self.over = True
        app = App()
        app.fire(Event.create("go"))
        pump(app)
        app.fire(Foo(), "z", "y")
        pump(app)
        self.assertTrue(app.over)

    def test_timers_and_waits_come_along_when_trees_join(self):
        class App(Component):
            def go(self):
                yield self.wait("foo", "*")
                yield sleep(0.001)
                self.over = True
        app, top = App(), Component()
        app.fire(Event.create("go"))
        Timer(0.001, Foo()).register(app)
        pump(app)
        app.register(top)
        pump(top, lambda: hasattr(app, "over"))

    def test_cancelled_events_have_no_feedback(self):
        rec = Recorder()
        app = make_app(rec)
        event = Foo()
        event.success = event.complete = True
        app.fire(event)
        event.cancel()
        pump(app)
        self.assertEqual(rec.names, [])


# ---------------------------------------------------------------------------
# Places where people put it: what breaks there elsewhere
# ---------------------------------------------------------------------------

class TestOddPlaces(CircuitsTest):
    """Rows of the list of embeddings that need an odd process."""

    # A core program, a worker's thread, a thread of the tree, asyncio.
    program = """
import circuits
class App(circuits.Component):
    async def started(self, component):
        value = await self.call(circuits.Task(sum, [1, 2]), "worker")
        await circuits.sleep(0.001)
        self.sum = value.value
        self.stop()
def make():
    return App() + circuits.Worker(workers=1) + circuits.Poller()
app = make()
app.run()
assert app.sum == 3
app = make()
app.start()
app.join()
assert app.sum == 3
"""

    def check(self, before, after="", **options):
        code = textwrap.dedent(before) + self.program + textwrap.dedent(after) + "print('done')"
        self.assertEqual(child(code, **options), ("done\n", ""))

    def test_semaphores_that_raise(self):
        """AWS Lambda has no /dev/shm: whatever needs a semaphore raises."""
        self.check("""
            import _multiprocessing
            class SemLock:
                SEM_VALUE_MAX = 1
                def __init__(self, *args):
                    raise OSError(38, "Function not implemented")
            _multiprocessing.SemLock = SemLock
            """, """
            class Caller(circuits.Component):
                def started(self, component):
                    try:
                        yield self.call(circuits.Task(sum, [1]), "worker")
                    except OSError as error:
                        self.error = error
                    self.stop()
            app = Caller() + circuits.Worker(process=True)
            app.run()
            assert app.error.errno == 38
            """)

    def test_patched_by_gevent(self):
        try:
            import gevent
        except ImportError:
            self.skipTest("gevent is not installed")
        self.check("from gevent import monkey; monkey.patch_all()", """
            from circuits_net import TCPServer
            import gevent, socket
            class Echo(circuits.Component):
                channel = "server"
                def read(self, sock, data):
                    return data
                def ready(self, server, bind):
                    self.bind = bind
            app = Echo() + TCPServer(("127.0.0.1", 0))
            app.start()
            while not hasattr(app, "bind"):
                gevent.sleep(0.001)
            with socket.create_connection(app.bind) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
            app.stop(); app.join()
            """)

    def test_patched_by_gevent_afterwards(self):
        try:
            import gevent
        except ImportError:
            self.skipTest("gevent is not installed")
        self.assertEqual(child("""
            import circuits
            from gevent import monkey; monkey.patch_all()
            """ + CORE_PROGRAM.replace("\n", "\n            ") + """
            print("done")
            """, flags=("-W", "ignore")), ("done\n", ""))

    def test_threads_that_cannot_start(self):
        out, err = child("""
            import _thread
            def start_new_thread(*args, **kwargs):
                raise RuntimeError("can't start new thread")
            _thread.start_new_thread = start_new_thread
            import circuits, threading
            threading._start_new_thread = threading._start_joinable_thread = start_new_thread
            %s
            try:
                circuits.Component().start()
            except RuntimeError as error:
                print(error)
            """ % CORE_PROGRAM.replace("\n", "\n            "), flags=("-W", "ignore"))
        self.assertEqual(out, "can't start new thread\n")

    def test_imported_and_run_in_a_thread(self):
        self.assertEqual(child("""
            import threading
            def main():
                scope = {}
                exec(%r, scope)
                print("done")
            thread = threading.Thread(target=main)
            thread.start(); thread.join()
            """ % self.program), ("done\n", ""))

    def test_in_a_cell_of_jupyter(self):
        """There the thread runs a loop already; a cell is a coroutine in it."""
        out, err = child("""
            import asyncio, circuits
            class App(circuits.Component):
                async def foo(self):
                    await asyncio.sleep(0)
                    return 1
            async def cells():
                app = App()
                try:
                    app.run()
                except RuntimeError as error:
                    print("await app.serve()" in str(error))
                task = asyncio.ensure_future(app.serve())           # the next cell
                print((await app.fire_async(circuits.Event.create("foo"))).value)
                app.stop()
                await task
                with app:                                           # or beside the loop
                    print((await app.fire_async(circuits.Event.create("bar"))).value)
            asyncio.run(cells())
            """, flags=("-X", "dev", "-W", "error"))
        self.assertEqual((out.split(), err), (["True", "1", "None"], ""))

    def test_the_host_gets_its_wakeup_descriptor_back(self):
        if not hasattr(signal, "set_wakeup_fd") or sys.platform == "win32":
            self.skipTest("no POSIX signals")
        self.assertEqual(child("""
            import os, signal, circuits
            mine = os.pipe()[1]
            os.set_blocking(mine, False)
            signal.set_wakeup_fd(mine)
            class App(circuits.Component):
                def started(self, component):
                    self.stop()
            App().run()
            assert signal.set_wakeup_fd(-1) == mine
            print("done")
            """), ("done\n", ""))

    def test_asyncio_keeps_its_signals(self):
        if not hasattr(os, "kill") or sys.platform == "win32":
            self.skipTest("no POSIX signals")
        self.assertEqual(child("""
            import asyncio, os, signal, circuits
            class App(circuits.Component):
                def started(self, component):
                    os.kill(os.getpid(), signal.SIGTERM)
                def stopped(self, component):
                    print("stopped")
            async def main():
                app = App()
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.stop)
                await app.serve()
            asyncio.run(main())
            """), ("stopped\n", ""))

    def test_a_folder_that_cannot_be_written(self):
        path = self.folder()
        os.chmod(path, 0o500)
        self.assertEqual(child(self.program + "print('done')", cwd=path,
                               env={"PYTHONPATH": HERE})[0], "done\n")

    def test_rewritten_for_vendoring(self):
        """What the tool called vendoring does to imports, done to ours."""
        names = [name[:-3] for name in FILES]
        path = self.folder()
        package = os.path.join(path, "theirs", "vendor")
        os.makedirs(package)
        for folder in (os.path.dirname(package), package):
            with open(os.path.join(folder, "__init__.py"), "w"):
                pass
        for name in names:
            with open(os.path.join(HERE, name + ".py"), encoding="utf-8") as file:
                text = file.read()
            code = re.sub(r'(?s)""".*?"""', "", text)
            for sibling in names:
                self.assertNotRegex(code, r"(?m)^\s*import %s\.\w" % sibling)        # it refuses those
                self.assertNotRegex(code, r"(?m)^\s*import .*,\s*%s\b" % sibling)     # and skips those
                self.assertNotRegex(code, r"(import_module|__import__)\(\s*['\"]%s\b" % sibling)
                text = re.sub(r"(?m)^(\s*)import %s(\s|$)" % sibling,
                              r"\1from theirs.vendor import %s\2" % sibling, text)
                text = re.sub(r"(?m)^(\s*)from %s(\.|\s+import)" % sibling,
                              r"\1from theirs.vendor.%s\2" % sibling, text)
            with open(os.path.join(package, name + ".py"), "w", encoding="utf-8") as file:
                file.write(text)
        self.assertEqual(child("""
            import sys
            sys.path.insert(0, %r)
            for name in %r:
                __import__("theirs.vendor." + name)
            from theirs.vendor import circuits
            %s
            print([n for n in sys.modules if n.startswith("circuits")])
            """ % (path, names, CORE_PROGRAM.replace("\n", "\n            ")), cwd=path), ("[]\n", ""))

    def test_frozen(self):
        try:
            import PyInstaller
        except ImportError:
            self.skipTest("PyInstaller is not installed")
        path = self.folder(**{"app.py": "".join(
            "import %s\n" % name[:-3] for name in FILES) + self.program + "print('done')"})
        done = subprocess.run(
            [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR", "--paths", HERE,
             "app.py"], cwd=path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        out = subprocess.check_output([os.path.join(path, "dist", "app", "app")], stderr=subprocess.STDOUT)
        self.assertEqual(out.decode().split(), ["done"])

    def test_no_pickle(self):
        for name in FILES:
            with open(os.path.join(HERE, name), encoding="utf-8") as file:
                tree = ast.parse(file.read())
            imported = {alias.name.split(".")[0] for node in ast.walk(tree)
                        if isinstance(node, ast.Import) for alias in node.names}
            imported |= {node.module.split(".")[0] for node in ast.walk(tree)
                         if isinstance(node, ast.ImportFrom) and node.module}
            self.assertFalse(imported & {"pickle", "marshal", "shelve", "_pickle"}, name)

    def test_exit_leaves_no_noise(self):
        """Whatever runs while the interpreter goes down."""
        for ending in ("", "sys.exit(0)", "raise SystemExit", "import atexit; atexit.register(app.stop)",
                       "app.fire(circuits.Event.create('endless'))"):
            out, err = child("""
                import circuits, sys
                class App(circuits.Component):
                    async def endless(self):
                        await self.wait("nothing")
                    async def started(self, component):
                        async for item in self._items():
                            pass
                    async def _items(self):
                        yield 1
                        await self.wait("nothing")
                app = App() + circuits.Worker() + circuits.Poller()
                app.start()
                %s
                """ % ending, flags=("-X", "dev", "-W", "error"))
            self.assertEqual((out, err), ("", ""), ending)


# ---------------------------------------------------------------------------
# The examples of handlers that wait, and of other loops
# ---------------------------------------------------------------------------

class TestAsyncExamples(CircuitsTest):

    def run_example(self, name, *args, env=None):
        environment = dict(os.environ, **(env or {}))
        done = subprocess.run([sys.executable, "-W", "error", os.path.join("examples", name), *args],
                              cwd=HERE, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, timeout=3 * PATIENCE)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_those_that_end_by_themselves(self):
        self.assertEqual(self.run_example("14_async.py"),
                         "The robin sings.\nThe wren sings.\nThe owl is asleep.\n")
        self.assertEqual(self.run_example("16_in_a_thread.py"),
                         "The server says: Hello World!\nIt counted 1 visit.\n")

    def test_inside_asyncio(self):
        import runpy
        main = runpy.run_path(os.path.join(HERE, "examples", "15_inside_asyncio.py"))["main"]
        answers = []

        class Greeter(main.__globals__["Greeter"]):
            async def ready(self, component, bind):
                reader, writer = await asyncio.open_connection(*bind)
                writer.write(b"world\n")
                answers.append(await reader.read())
                writer.close()
                self.stop()
        main.__globals__["Greeter"] = Greeter
        asyncio.run(asyncio.wait_for(main(0), PATIENCE))
        self.assertEqual(answers, [b"Hello world!\n"])

    def test_tk(self):
        try:
            import tkinter
            tkinter.Tk().destroy()
        except Exception as error:
            self.skipTest("no Tk here: %s" % error)
        self.assertEqual(self.run_example("17_tk.py", "0.1"), "")

    def test_qt(self):
        try:
            import PySide6.QtWidgets
        except ImportError:
            self.skipTest("PySide6 is not installed")
        path = os.path.join(HERE, "examples", "18_qt.py")
        out, err = child("""
            import runpy, sys
            from PySide6.QtCore import QTimer
            from PySide6.QtWidgets import QApplication, QLabel
            seen = []
            QLabel.setText = lambda self, text: (seen.append(text), QApplication.quit())
            try:
                runpy.run_path(%r, run_name="__main__")
            except SystemExit as error:
                print(error.code, seen)
            """ % path, env={"QT_QPA_PLATFORM": "offscreen"})
        self.assertEqual(out, "0 ['1 seconds']\n", err)


# ---------------------------------------------------------------------------
# circuits_net: sockets
#
# One table of transports, one subclass per poller: every test of StreamTests
# runs over all of them.
# ---------------------------------------------------------------------------

def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except (OSError, AttributeError):
        return False


# A CA, and certificates by it that are good for a hundred years: localhost,
# the same expired, and a client.  Made with openssl; the keys protect nothing.
CERTIFICATES = {
    "ca": """\
-----BEGIN CERTIFICATE-----
MIIBnTCCAUOgAwIBAgIUWd8dQOuMCUNBUclhYzylKp1icV0wCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQY2lyY3VpdHMgdGVzdCBDQTAgFw0yNjExMjQxNTQwNTZaGA8y
MTI2MTAzMTE1NDA1NlowGzEZMBcGA1UEAwwQY2lyY3VpdHMgdGVzdCBDQTBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABNYOH8UF46ApuKc/ktCV98jHfqOUHn57OtKh
21huZCAc9VSZGXhk66jlY/yLDS4ErEhyVbGI8dXFTGZ7EOvPOfGjYzBhMB0GA1Ud
DgQWBBSkl+KJv3NVd7OLKhyzQThZnIAQiTAfBgNVHSMEGDAWgBSkl+KJv3NVd7OL
KhyzQThZnIAQiTAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAKBggq
hkjOPQQDAgNIADBFAiEAgpmu0OfkxU6dZ+RxMPRqAb60x4YybF1vZ3etYx8u4aoC
ICPC+FSJU03gOcP3hMb+eqLHSFtjGZW+qZBh6Hh+nnX+
-----END CERTIFICATE-----
""",
    "good": """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIL/TJ5Xn3R/iNJiTdGKOqm9FYhw8jbxIHclIWGIuGF0koAoGCCqGSM49
AwEHoUQDQgAEicYRVR/VMRxh3EMJOW/oVFkPAn3NdLIetzuJRDDiin4wKrtqNeh1
h08hMzrj5qHDAnN2tL+TrTnpAckdM1p1+w==
-----END EC PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIBATAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBjaXJjdWl0
cyB0ZXN0IENBMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAUMRIw
EAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASJxhFV
H9UxHGHcQwk5b+hUWQ8Cfc10sh63O4lEMOKKfjAqu2o16HWHTyEzOuPmocMCc3a0
v5OtOekByR0zWnX7o3sweTAJBgNVHRMEAjAAMB0GA1UdDgQWBBSZefviUvMa9O2O
FdR90dw0N06HvDAfBgNVHSMEGDAWgBSkl+KJv3NVd7OLKhyzQThZnIAQiTAsBgNV
HREEJTAjgglsb2NhbGhvc3SHBH8AAAGHEAAAAAAAAAAAAAAAAAAAAAEwCgYIKoZI
zj0EAwIDRwAwRAIgVuwHDu83zn+ThLOCClIx6FnZr+Vr/m6cm3CGBUxc9C4CIAJG
OPcdcjEhkGNUkIeeGW0tTCjTbsrqALQvkM7+BVqq
-----END CERTIFICATE-----
""",
    "expired": """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEICVG/QeplJEfuGYA5eIb1/F3vb6MYwaMy2WhuJ8Z2eSUoAoGCCqGSM49
AwEHoUQDQgAEMIYxJDoKfmJnbfnPQH46ZTOTmEfqiJULLYzPx7QRGXlJEun0UVCK
h8dC9iS9VP8fG75Ch5FXFreTY4YrmnsWxA==
-----END EC PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBhzCCAS2gAwIBAgIBAjAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBjaXJjdWl0
cyB0ZXN0IENBMB4XDTIwMDEwMTAwMDAwMFoXDTIwMDEwMjAwMDAwMFowFDESMBAG
A1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMIYxJDoK
fmJnbfnPQH46ZTOTmEfqiJULLYzPx7QRGXlJEun0UVCKh8dC9iS9VP8fG75Ch5FX
FreTY4YrmnsWxKNpMGcwCQYDVR0TBAIwADAdBgNVHQ4EFgQU32hZpUoK1KgrrlDZ
901k4RZKCngwHwYDVR0jBBgwFoAUpJfiib9zVXeziyocs0E4WZyAEIkwGgYDVR0R
BBMwEYIJbG9jYWxob3N0hwR/AAABMAoGCCqGSM49BAMCA0gAMEUCIBe2RTVPxqMJ
fC84kZ90a7kgQ+78ROubdfAYUSoFdcwNAiEA3/kgBOASQKL2ZZkr/JT/0q3vpSBa
35PBpZATjLAYkuc=
-----END CERTIFICATE-----
""",
    "client": """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIGovEab6eAUHomvQzBaHRtQlRy6YQBJ91PH0xJQdrs9CoAoGCCqGSM49
AwEHoUQDQgAEaGW6IYe5J6/zv938hlg1/NJsnHLvuEd5Bf4S5Ox5Qi5htcBKbDtS
ykSZqHGTK3sogmuo3G3e8JMp8xyl4dODLQ==
-----END EC PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBhzCCAS2gAwIBAgIBAzAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBjaXJjdWl0
cyB0ZXN0IENBMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjATMREw
DwYDVQQDDAhhIGNsaWVudDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGhluiGH
uSev87/d/IZYNfzSbJxy77hHeQX+EuTseUIuYbXASmw7UspEmahxkyt7KIJrqNxt
3vCTKfMcpeHTgy2jaDBmMAkGA1UdEwQCMAAwHQYDVR0OBBYEFOK04YhxrXOGwUki
pFsR4/LUF2uiMB8GA1UdIwQYMBaAFKSX4om/c1V3s4sqHLNBOFmcgBCJMBkGA1Ud
EQQSMBCCDmNsaWVudC5pbnZhbGlkMAoGCCqGSM49BAMCA0gAMEUCIQDFAghmcuGL
XI+/Mi47ZaARlUuvrlng7tqBJdX99Kaw9gIgLb3unkuJ3tSnHEueF9v3B7RGKFAE
9Zt+ruqL9dfrtp4=
-----END CERTIFICATE-----
""",
}


class TCPTransport:
    """How the tests make a server of a kind, and reach it."""

    name = "TCP"
    server, client, bind = circuits_net.TCPServer, circuits_net.TCPClient, ("127.0.0.1", 0)

    def __init__(self, test):
        self.test = test

    def make_server(self, kind=None, **kwargs):
        return (kind or self.server)(self.bind, **kwargs)

    def connect_event(self, server):
        return circuits_net.Connect(server.host, server.port)

    def knock(self, server):
        """A plain socket connected to *server*, without a TLS handshake."""
        return TCPTransport.dial(self, server)

    def dial(self, server):
        """A blocking socket connected to *server*."""
        sock = socket.create_connection((server.host, server.port), PATIENCE)
        self.test.addCleanup(sock.close)
        return sock


class TCP6Transport(TCPTransport):
    name = "TCP6"
    server, client, bind = circuits_net.TCP6Server, circuits_net.TCP6Client, ("::1", 0)


class UNIXTransport(TCPTransport):
    name = "UNIX"

    def knock(self, server):
        return self.dial(server)
    server, client = circuits_net.UNIXServer, circuits_net.UNIXClient

    def make_server(self, kind=None, **kwargs):
        return (kind or self.server)(os.path.join(self.test.folder(), "s"), **kwargs)

    def connect_event(self, server):
        return circuits_net.Connect(server.host)

    def dial(self, server):
        sock = socket.socket(socket.AF_UNIX)
        self.test.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.connect(server.host)
        return sock


def certificate(test, name):
    """The path of one of CERTIFICATES."""
    return os.path.join(test.folder(**{name: CERTIFICATES[name]}), name)


class TLSTransport(TCPTransport):
    name = "TLS"

    def make_server(self, kind=None, **kwargs):
        return super().make_server(kind, secure=True, certfile=certificate(self.test, "good"),
                                   **kwargs)

    def connect_event(self, server):
        return circuits_net.Connect("localhost", server.port, secure=True,
                       ca_certs=certificate(self.test, "ca"))

    def dial(self, server):
        import ssl
        context = ssl.create_default_context(cafile=certificate(self.test, "ca"))
        plain = super().dial(server)
        plain.setblocking(False)
        sock = context.wrap_socket(plain, server_hostname="localhost",
                                   do_handshake_on_connect=False)
        self.test.addCleanup(sock.close)

        def shaken():
            try:
                sock.do_handshake()
                return True
            except ssl.SSLWantReadError:
                return False
        if server.running or server.root.running:
            wait_for(shaken)
        else:
            pump(self.test.app, shaken)
        sock.settimeout(PATIENCE)
        return sock


def _has_ssl():
    try:
        import ssl
        return bool(ssl)
    except ImportError:
        return False


TRANSPORTS = [TCPTransport]
if _has_ssl():
    TRANSPORTS.append(TLSTransport)
if _has_ipv6():
    TRANSPORTS.append(TCP6Transport)
if hasattr(socket, "AF_UNIX"):
    TRANSPORTS.append(UNIXTransport)

POLLERS = [poller for name, poller in (
    ("select", circuits.Select), ("poll", circuits.Poll), ("epoll", circuits.EPoll),
    ("kqueue", circuits.KQueue)) if hasattr(circuits.select, name)]


def reset(sock):
    """Close a socket so that the peer gets RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def receive(sock, size):
    """Exactly *size* bytes from a blocking socket, fewer at its end."""
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(min(65536, size - len(data)))
        if not piece:
            break
        data += piece
    return bytes(data)


class Echo(Component):
    channel = "server"

    def read(self, sock, data):
        return data


class StreamTests:
    """The contract of connections; a mixin for each transport and poller."""

    transport = None
    poller = None

    def setUp(self):
        self.t = self.transport(self)
        self.rec = Recorder()
        self.app = Component()
        self.poller().register(self.app)
        self.rec.register(self.app)

    def tearDown(self):
        for component in list(circuits.flatten(self.app)):
            if isinstance(component, circuits_net.Endpoint):
                component._hurry = True
                component.close()
        pump(self.app)
        self.app._reactor.close()

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE

        def over():
            if time.monotonic() > deadline:
                raise AssertionError("never came true; seen: %s" % self.rec.names)
            return condition()
        pump(self.app, over, rounds=10**9)

    def seen(self, name, times=1):
        self.until(lambda: self.rec.names.count(name) >= times)
        return self.rec.named(name)[-1]

    def serve(self, *components, **kwargs):
        server = self.t.make_server(**kwargs).register(self.app)
        for component in components:
            component.register(self.app)
        pump(self.app)
        return server

    def client(self, server, **kwargs):
        client = self.t.client(**kwargs).register(self.app)
        client.fire(self.t.connect_event(server))
        self.seen("connected")
        return client

    def accepted(self, times=1):
        """The sock of the latest connection that a server told of."""
        def told():
            return [e for e in self.rec.named("connect")
                    if isinstance(e.args[0], circuits_net.Connection)]
        self.until(lambda: len(told()) >= times)
        return told()[-1].args[0]

    def received(self):
        return b"".join(event.args[0] for event in self.rec.named("read")
                        if event.channels == ("client",))

    # -- a connection from both sides ---------------------------------------

    def test_documented_events_of_both_sides(self):
        server = self.serve(Echo())
        client = self.client(server)
        client.fire(circuits_net.Write(b"hi"))
        self.until(lambda: self.received() == b"hi")
        client.fire(circuits_net.Close())
        self.seen("disconnected")
        self.seen("disconnect")
        server.fire(circuits_net.Close())
        self.seen("closed")
        self.assertFired(self.rec, "ready", "connect", "connected", "write", "read",
                         "read_value_changed", "write", "read", "close", "disconnected",
                         "disconnect", "close", "closed")
        self.assertEqual((server.host, server.port), (None, None))
        for name in ("connected", "disconnect", "disconnected", "closed"):
            self.assertEqual(self.rec.names.count(name), 1, name)
        self.assertEqual(self.rec.names.count("connect"), 2)    # one asks, one tells

    def test_events_carry_what_is_documented(self):
        server = self.serve(Echo())
        client = self.client(server)
        self.accepted()
        ready = self.rec.named("ready")
        self.assertEqual(ready[0].args, [server, (server.host, server.port)])
        self.assertEqual(ready[1].args, [client])
        sock = self.accepted()
        connect = [e for e in self.rec.named("connect") if e.args[0] is sock][0]
        self.assertIn(sock, server._clients)
        if self.t.name == "UNIX":
            self.assertEqual(self.rec.named("connected")[0].args, [socket.gethostname(), server.host])
            self.assertEqual(len(connect.args), 1)
        else:
            self.assertEqual(self.rec.named("connected")[0].args,
                             [self.t.connect_event(server).args[0], server.port])
            self.assertEqual(connect.args[1], server.host)
        client.fire(circuits_net.Close())
        self.assertIs(self.seen("disconnect").args[0], sock)

    def test_text_is_encoded(self):
        client = self.client(self.serve(Echo()))
        client.fire(circuits_net.Write("äö"))
        self.until(lambda: self.received() == "äö".encode())

    def test_a_client_echoes_what_its_handler_returns(self):
        class Reply(Component):
            channel = "client"

            def read(self, data):
                return data.upper()

        server = self.serve(Reply())
        self.client(server)
        sock = self.accepted()
        server.fire(circuits_net.Write(sock, b"hello"))
        self.until(lambda: any(e.args[1:] == [b"HELLO"] for e in self.rec.named("read")))

    def test_plain_methods_of_a_subclass_are_handlers(self):
        class Loud(self.t.server):
            def connect(self, sock, *address):
                self.fire(circuits_net.Write(sock, b"welcome "))

            def read(self, sock, data):
                return data.upper()

        server = self.t.make_server(Loud).register(self.app)
        pump(self.app)
        client = self.client(server)
        client.fire(circuits_net.Write(b"hi"))
        self.until(lambda: self.received() == b"welcome HI")

    def test_generator_handlers_reply_too(self):
        class Slow(Component):
            channel = "server"

            def read(self, sock, data):
                yield
                yield data
                yield b"!"

        client = self.client(self.serve(Slow()))
        client.fire(circuits_net.Write(b"hi"))
        self.until(lambda: self.received() == b"hi!")

    def test_writes_before_the_connection_are_sent_later(self):
        server = self.serve(Echo())
        client = self.t.client().register(self.app)
        client.fire(self.t.connect_event(server))
        client.fire(circuits_net.Write(b"one "))
        client.fire(circuits_net.Write(b"two"))
        self.until(lambda: self.received() == b"one two")

    def test_it_connects_again_after_close(self):
        server = self.serve(Echo())
        client = self.client(server)
        for round in (1, 2, 3):
            client.fire(circuits_net.Close())
            self.seen("disconnected", round)
            client.fire(self.t.connect_event(server))
            self.seen("connected", round + 1)
        client.fire(circuits_net.Write(b"still here"))
        self.until(lambda: self.received() == b"still here")

    def test_call_waits_for_the_connection(self):
        server = self.serve()
        client = self.t.client().register(self.app)
        results = []

        class RemoteCaller(Component):
            def go(this):
                value = yield this.call(self.t.connect_event(server), "client")
                results.append((value.value, client.connected))

        RemoteCaller().register(self.app)
        self.app.fire(Event.create("go"))
        self.until(lambda: results)
        self.assertEqual(results, [(True, True)])

    def test_connecting_twice_is_a_mistake(self):
        server = self.serve()
        client = self.client(server)
        self.expect_stderr("close it first")
        client.fire(self.t.connect_event(server))
        self.seen("error")
        self.assertTrue(client.connected)

    # -- amounts ------------------------------------------------------------

    def test_large_data_goes_out_in_parts(self):
        data = os.urandom(1 << 16) * 64
        client = self.client(self.serve(Echo()))
        client.fire(circuits_net.Write(data))
        self.until(lambda: len(self.received()) >= len(data))
        self.assertEqual(self.received(), data)

    def test_many_writes_arrive_in_order(self):
        pieces = [b"%d," % i for i in range(2000)]
        client = self.client(self.serve(Echo()))
        for piece in pieces:
            client.fire(circuits_net.Write(piece))
        self.until(lambda: len(self.received()) >= len(b"".join(pieces)))
        self.assertEqual(self.received(), b"".join(pieces))

    def test_writes_of_one_batch_go_out_together(self):
        server = self.serve()
        self.client(server)
        sock = self.accepted()
        for _ in range(5):
            server.fire(circuits_net.Write(sock, b"12345"))
        self.until(lambda: len(self.received()) >= 25)
        reads = [e for e in self.rec.named("read") if e.channels == ("client",)]
        self.assertEqual(len(reads), 1)

    def test_a_write_that_is_filtered_does_not_hold_back_the_one_before(self):
        class Censor(BaseComponent):
            channel = "server"

            @handler("write", priority=10, filter=True)
            def _on_write(self, sock, data):
                return data == b"bad"

        server = self.serve(Censor())
        self.client(server)
        sock = self.accepted()
        server.fire(circuits_net.Write(sock, b"good"))
        server.fire(circuits_net.Write(sock, b"bad"))
        self.until(lambda: self.received() == b"good")

    def test_a_peer_that_stops_reading_is_waited_for_without_work(self):
        server = self.serve()
        peer = self.t.dial(server)
        sock = self.accepted()
        data = os.urandom(1 << 16) * 100
        server.fire(circuits_net.Write(sock, data))
        pump(self.app)
        self.assertTrue(circuits.poller_of(server).isWriting(sock))
        got = []
        thread = threading.Thread(target=lambda: got.append(receive(peer, len(data))))
        thread.start()
        self.until(lambda: got)
        thread.join()
        self.assertEqual(got[0], data)
        self.assertFalse(circuits.poller_of(server).isWriting(sock))
        self.assertIsNone(sock.out)

    def test_a_hundred_connections(self):
        server = self.serve(Echo())
        peers = [self.t.dial(server) for _ in range(100)]
        self.accepted(100)
        for i, peer in enumerate(peers):
            peer.sendall(b"%03d" % i)
        self.until(lambda: self.rec.names.count("write") == 100)
        pump(self.app)
        self.assertEqual([receive(peer, 3) for peer in peers], [b"%03d" % i for i in range(100)])
        for peer in peers:
            peer.close()
        self.seen("disconnect", 100)
        self.assertFalse(server._clients)

    # -- the end ------------------------------------------------------------

    def test_close_waits_until_the_output_is_out(self):
        server = self.serve()
        peer = self.t.dial(server)
        sock = self.accepted()
        data = os.urandom(1 << 16) * 200
        server.fire(circuits_net.Write(sock, data))
        server.fire(circuits_net.Close(sock))
        server.fire(circuits_net.Write(sock, b"too late"))
        pump(self.app)
        self.assertNotFired(self.rec, "disconnect")
        got = []
        thread = threading.Thread(target=lambda: got.append(receive(peer, len(data) + 1)))
        thread.start()
        self.until(lambda: got)
        thread.join()
        self.assertEqual(got[0], data)
        self.seen("disconnect")

    def test_a_client_that_closes_gets_its_output_out(self):
        server = self.serve()
        client = self.client(server)
        data = os.urandom(1 << 16) * 50
        client.fire(circuits_net.Write(data))
        client.fire(circuits_net.Close())
        self.seen("disconnect")
        self.assertEqual(b"".join(e.args[1] for e in self.rec.named("read")), data)
        self.assertFired(self.rec, "disconnected")

    def test_a_peer_that_never_reads_cannot_hold_a_close_for_ever(self):
        self.app.clock = clock = FakeClock()
        server = self.serve()
        self.t.dial(server)
        sock = self.accepted()
        server.fire(circuits_net.Write(sock, bytes(1 << 24)))
        server.fire(circuits_net.Close(sock))
        pump(self.app)
        self.assertNotFired(self.rec, "disconnect")
        clock.advance(circuits_net.CLOSE_TIMEOUT + 1)
        pump(self.app)
        clock.advance(circuits_net.CLOSE_TIMEOUT + 1)
        self.seen("disconnect")

    def test_a_slow_peer_gets_all_of_the_output_before_the_close(self):
        self.app.clock = clock = FakeClock()
        server = self.serve()
        peer = self.t.dial(server)
        sock = self.accepted()
        size = 12 << 20
        server.fire(circuits_net.Write(sock, bytes(size)))
        server.fire(circuits_net.Close(sock))
        pump(self.app)
        got = last = 0
        peer.setblocking(False)
        while got < size:
            try:
                got += len(peer.recv(65536))
            except OSError:         # BlockingIOError, SSLWantReadError
                self.app.tick(0)
            if got - last > 1 << 20:
                last = got
                self.app.tick(0)
                clock.advance(circuits_net.CLOSE_TIMEOUT * 0.9)
        self.seen("disconnect")

    def test_output_is_finished_for_a_peer_that_ended_its_side(self):
        server = self.serve(Echo())
        peer = self.t.dial(server)
        # ssl sockets cannot be read and written by two threads: what the buffers of
        # the system hold must do.
        data = os.urandom(1 << 16) * (1 if self.t.name == "TLS" else 20)

        def send():
            peer.sendall(data)
            socket.socket.shutdown(peer, socket.SHUT_WR)

        got = []
        threads = [threading.Thread(target=send),
                   threading.Thread(target=lambda: got.append(receive(peer, len(data) + 1)))]
        threads[0].start()
        if self.t.name == "TLS":
            threads[0].join()
        threads[1].start()
        self.seen("disconnect")
        for thread in threads:
            thread.join()
        self.assertEqual(got[0], data)

    def test_second_close_does_nothing(self):
        server = self.serve()
        client = self.client(server)
        for _ in range(2):
            client.fire(circuits_net.Close())
            server.fire(circuits_net.Close())
            pump(self.app)
        self.seen("closed")
        server.fire(circuits_net.Close())
        client.fire(circuits_net.Close())
        pump(self.app)
        for name in ("closed", "disconnect", "disconnected"):
            self.assertEqual(self.rec.names.count(name), 1, name)

    def test_writing_to_what_is_gone_is_ignored(self):
        server = self.serve()
        client = self.client(server)
        sock = self.accepted()
        client.fire(circuits_net.Close())
        self.seen("disconnect")
        client.fire(circuits_net.Write(b"nobody"))
        server.fire(circuits_net.Write(sock, b"nobody"))
        server.fire(circuits_net.Close(sock))
        pump(self.app)
        self.assertEqual(self.rec.names.count("disconnect"), 1)
        self.assertEqual(self.rec.names.count("disconnected"), 1)
        self.assertNotFired(self.rec, "error", "socket_error")

    def test_reset_by_the_peer_in_the_middle_of_a_write(self):
        server = self.serve()
        peer = self.t.dial(server)
        sock = self.accepted()
        server.fire(circuits_net.Write(sock, bytes(1 << 24)))
        pump(self.app)
        reset(peer)
        self.seen("disconnect")
        pump(self.app)
        self.assertEqual(self.rec.names.count("disconnect"), 1)
        self.assertNotFired(self.rec, "error")
        self.assertEqual(sock.fileno(), -1)
        self.assertFalse(server._clients)

    def test_reset_of_an_idle_connection(self):
        server = self.serve()
        peer = self.t.dial(server)
        self.accepted()
        reset(peer)
        self.seen("disconnect")
        self.assertNotFired(self.rec, "error")

    def test_a_peer_that_is_gone_before_it_was_accepted(self):
        server = self.serve()
        for _ in range(20):
            reset(self.t.knock(server))
        if self.t.name == "TLS":            # no handshake, no connect
            self.until(lambda: not server._clients)
            self.assertNotFired(self.rec, "connect", "disconnect")
        else:
            self.accepted(20)
            self.seen("disconnect", 20)
        self.assertNotFired(self.rec, "error")
        self.t.dial(server)
        self.accepted()

    def test_stop_closes_everything(self):
        server, client = self.t.make_server(), self.t.client()
        server.register(self.app)
        client.register(self.app)
        with serving(self.app):
            client.fire(self.t.connect_event(server))
            wait_for(lambda: self.rec.names.count("connect") == 2 and "connected" in self.rec.names)
            sock = [e for e in self.rec.named("connect") if len(e.channels) and
                    e.channels[0] == "server"][0].args[0]
        self.assertFired(self.rec, "stopped", "close", "closed")
        self.assertEqual(self.rec.names.count("disconnect"), 1)
        self.assertEqual(self.rec.names.count("disconnected"), 1)
        self.assertEqual((server.host, client.connected, sock.fileno()), (None, False, -1))

    def test_stop_does_not_wait_for_a_peer_that_never_reads(self):
        server = self.t.make_server().register(self.app)
        with serving(self.app):
            self.t.dial(server)
            wait_for(lambda: "connect" in self.rec.names)
            server.fire(circuits_net.Write(self.rec.named("connect")[0].args[0], bytes(1 << 24)))
        self.assertFired(self.rec, "disconnect", "closed")

    def test_unregister_closes_everything(self):
        server = self.serve()
        client = self.client(server)
        sock = self.accepted()
        server.unregister()
        client.unregister()
        self.seen("unregistered", 2)
        self.assertEqual((server.host, client.connected, sock.fileno()), (None, False, -1))
        self.assertFired(self.rec, "disconnect", "closed", "unregistered")
        self.assertEqual(list(circuits.poller_of(self.app)._interest), [])

    def test_a_server_cut_out_of_the_tree_leaves_nothing_behind(self):
        server = self.serve()
        client = self.client(server)
        self.accepted()
        self.app.unregisterChild(server)
        self.app.unregisterChild(client)
        pump(self.app)
        self.assertEqual(list(circuits.poller_of(self.app)._interest), [])
        self.assertEqual((server.host, client.connected), (None, False))

    def test_no_descriptor_is_left(self):
        if not os.path.isdir("/proc/self/fd"):
            self.skipTest("needs /proc to count descriptors")
        server = self.serve(Echo())
        before = len(os.listdir("/proc/self/fd"))
        for i in range(5):
            client = self.client(server)
            client.fire(circuits_net.Write(b"x"))
            client.fire(circuits_net.Close())
            self.seen("disconnect", i + 1)
            client.unregister()
            pump(self.app)
            self.rec.events = [e for e in self.rec.events if e.name == "disconnect"]
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    # -- flow ---------------------------------------------------------------

    def test_a_slow_peer_is_not_read_from_until_it_catches_up(self):
        server = self.serve(Echo())
        peer = self.t.dial(server)
        sock = self.accepted()
        sent = []
        peer.setblocking(False)

        def flood():
            try:
                sent.append(peer.send(bytes(65536)))
            except OSError:         # BlockingIOError, SSLWantWriteError
                pass
            return "pause" in self.rec.names
        self.until(flood)
        for _ in range(50):
            self.app.tick(0)
        self.assertFalse(circuits.poller_of(server).isReading(sock))
        self.assertLess(sock.pending, 16 * circuits_net.HIGH_WATER)
        self.assertEqual(self.rec.named("pause")[0].args, [sock])
        peer.settimeout(PATIENCE)
        got = []
        thread = threading.Thread(target=lambda: got.append(receive(peer, sum(sent))))
        thread.start()
        self.seen("drain")
        self.until(lambda: got)
        thread.join()
        self.assertTrue(circuits.poller_of(server).isReading(sock))
        self.assertEqual(len(got[0]), sum(sent))
        self.assertGreaterEqual(self.rec.names.count("pause"), self.rec.names.count("drain"))

    def test_a_peer_that_reads_nothing_is_dropped_before_memory_fills(self):
        server = self.serve(max_output=1 << 20)
        self.t.dial(server)
        sock = self.accepted()

        def flood():
            server.fire(circuits_net.Write(sock, bytes(1 << 16)))
            self.assertLess(sock.pending, (1 << 20) + (1 << 17))
            return "disconnect" in self.rec.names
        self.until(flood)
        self.assertEqual(self.seen("socket_error").args[1].errno, errno.ENOBUFS)

    def test_no_more_than_max_connections_are_taken(self):
        server = self.serve(max_connections=2)
        peers = [self.t.knock(server) for _ in range(3)]
        self.until(lambda: len(server._clients) == 2)
        for _ in range(20):
            self.app.tick(0)
        self.assertEqual(len(server._clients), 2)
        self.assertFalse(circuits.poller_of(server).isReading(server._sock))
        first = list(server._clients)[0]
        peers[0].close()
        self.until(lambda: first not in server._clients and len(server._clients) == 2)

    def test_silent_connections_are_closed(self):
        self.app.clock = clock = FakeClock()
        server = self.serve(Echo(), idle_timeout=60)
        peers = [self.t.dial(server), self.t.dial(server)]
        self.accepted(2)
        clock.advance(50)
        peers[0].sendall(b"alive")
        self.seen("write")
        clock.advance(20)
        self.seen("disconnect")
        pump(self.app)
        self.assertEqual(self.rec.names.count("disconnect"), 1)
        self.assertEqual(len(server._clients), 1)
        clock.advance(45)
        self.seen("disconnect", 2)
        self.assertIsNone(self.app._reactor.next_deadline())

    def test_files_go_out_in_order_and_are_closed(self):
        data = os.urandom(3 << 20)
        folder = self.folder()
        with open(os.path.join(folder, "f"), "wb") as file:
            file.write(data)
        server = self.serve()
        self.client(server)
        sock = self.accepted()
        files = [open(os.path.join(folder, "f"), "rb"), io.BytesIO(b"memory"),
                 open(os.path.join(folder, "f"), "rb"), io.BytesIO(b"")]
        server.fire(circuits_net.Write(sock, b"head "))
        server.fire(circuits_net.SendFile(sock, files[0]))
        server.fire(circuits_net.Write(sock, b" middle "))
        server.fire(circuits_net.SendFile(sock, files[1]))
        server.fire(circuits_net.SendFile(sock, files[2], 10, 20))
        server.fire(circuits_net.SendFile(sock, files[3]))
        server.fire(circuits_net.Write(sock, b" tail"))
        expected = b"head " + data + b" middle memory" + data[10:30] + b" tail"
        self.until(lambda: len(self.received()) >= len(expected))
        self.assertEqual(self.received(), expected)
        self.assertTrue(all(file.closed for file in files))

    def test_close_waits_for_a_file(self):
        server = self.serve()
        self.client(server)
        sock = self.accepted()
        server.fire(circuits_net.SendFile(sock, io.BytesIO(bytes(5 << 20))))
        server.fire(circuits_net.Close(sock))
        self.seen("disconnected")
        self.assertEqual(len(self.received()), 5 << 20)

    def test_a_file_that_cannot_be_sent_is_closed(self):
        server = self.serve()
        self.t.dial(server)
        sock = self.accepted()
        waiting, late = io.BytesIO(bytes(64 << 20)), io.BytesIO(b"x")
        server.fire(circuits_net.SendFile(sock, waiting))
        server.fire(circuits_net.Close(sock))
        pump(self.app)
        server.fire(circuits_net.SendFile(sock, late))
        self.assertFalse(waiting.closed)
        server._drop(sock)
        pump(self.app)
        self.assertTrue(waiting.closed and late.closed)

    def test_a_file_shorter_than_promised_ends_the_connection(self):
        server = self.serve()
        self.t.dial(server)
        sock = self.accepted()
        server.fire(circuits_net.SendFile(sock, io.BytesIO(b"short"), 0, 100))
        self.assertEqual(self.seen("socket_error").args[1].errno, errno.EIO)
        self.seen("disconnect")

    def test_a_client_connects_again_by_itself(self):
        self.app.clock = clock = FakeClock()
        server = self.serve()
        client = self.t.client(reconnect=True).register(self.app)
        client.fire(self.t.connect_event(server))
        self.seen("connected")
        for round in (1, 2):
            server.fire(circuits_net.Close(self.accepted(round)))
            self.seen("disconnected", round)
            clock.advance(1)
            self.seen("connected", round + 1)
        client.fire(circuits_net.Close())
        self.seen("disconnected", 3)
        clock.advance(100)
        pump(self.app)
        self.assertFalse(client.connected)
        self.assertIsNone(self.app._reactor.next_deadline())

    # -- half of a connection -----------------------------------------------

    def test_an_answer_reaches_a_peer_that_goes_on_sending(self):
        class Refuse(Component):
            channel = "server"

            def read(self, sock, data):
                self.fire(circuits_net.Write(sock, b"no more!"))
                self.fire(circuits_net.Close(sock))

        server = self.serve(Refuse())
        peer = self.t.dial(server)
        sock = self.accepted()
        peer.setblocking(False)

        def flood():
            try:
                while True:
                    peer.send(bytes(65536))
            except OSError:         # it is full
                return True
        flood()
        self.until(lambda: sock.closing is not None)
        pump(self.app)
        self.assertNotFired(self.rec, "disconnect")
        peer.settimeout(PATIENCE)
        got = []
        thread = threading.Thread(target=lambda: got.append(receive(peer, 8)))
        thread.start()
        self.until(lambda: got)
        thread.join()
        self.assertEqual(got, [b"no more!"])
        peer.close()
        self.seen("disconnect")
        self.assertLessEqual(self.rec.names.count("write"), 2)
        self.assertNotFired(self.rec, "error", "socket_error")

    def test_lingering_ends(self):
        self.app.clock = clock = FakeClock()
        server = self.serve()
        peer = self.t.dial(server)
        sock = self.accepted()
        peer.sendall(b"unread")
        circuits.poller_of(server).removeReader(sock)
        server.fire(circuits_net.Close(sock))
        self.until(lambda: sock.closing is not None or sock.fileno() < 0)
        clock.advance(circuits_net.LINGER_TIMEOUT + 1)
        self.seen("disconnect")

    def test_a_client_can_end_its_side_and_read_on(self):
        class Count(Component):
            channel = "server"
            size = 0

            def read(self, sock, data):
                self.size += len(data)

            def ended(self, sock):
                self.fire(circuits_net.Write(sock, b"%d" % self.size))
                self.fire(circuits_net.Close(sock))

        server = self.serve(Count(), half_open=True)
        client = self.client(server)
        client.fire(circuits_net.Write(bytes(1 << 20)))
        client.fire(circuits_net.HalfClose())
        client.fire(circuits_net.Write(b"ignored"))
        self.seen("disconnected")
        self.assertEqual(self.received(), b"%d" % (1 << 20))
        self.assertFired(self.rec, "half_close", "ended", "disconnect")
        self.assertEqual(self.rec.names.count("disconnect"), 1)
        self.assertNotFired(self.rec, "error", "socket_error")

    def test_when_both_have_ended_it_is_over(self):
        server = self.serve(half_open=True)
        client = self.client(server, half_open=True)
        sock = self.accepted()
        client.fire(circuits_net.HalfClose())
        self.seen("ended")
        pump(self.app)
        self.assertNotFired(self.rec, "disconnect", "disconnected")
        server.fire(circuits_net.Write(sock, b"last words"))
        server.fire(circuits_net.HalfClose(sock))
        self.seen("disconnect")
        self.seen("disconnected")
        self.assertEqual(self.received(), b"last words")

    # -- trouble ------------------------------------------------------------

    def test_no_descriptor_free_pauses_accepting(self):
        self.app.clock = clock = FakeClock()
        server = self.serve(Echo())
        real, turns = server._sock, []

        class Exhausted:
            family = real.family

            def fileno(self):
                return real.fileno()

            def close(self):
                real.close()

            def getsockname(self):
                return real.getsockname()

            def _accept(self):
                turns.append(1)
                if len(turns) == 1:
                    raise OSError(errno.EMFILE, "Too many open files")
                return real._accept()

        poller = circuits.poller_of(server)
        poller.discard(real)
        server._sock = Exhausted()
        poller.addReader(server, server._sock)
        self.t.knock(server)
        self.seen("socket_error")
        pump(self.app)
        for _ in range(20):
            self.app.tick(0)
        self.assertEqual(len(turns), 1)
        clock.advance(circuits_net.ACCEPT_PAUSE + 1)
        peer = self.t.dial(server)
        peer.sendall(b"hi")
        self.seen("write")
        pump(self.app)
        self.assertEqual(receive(peer, 2), b"hi")

    def test_a_handler_that_fails_harms_no_other_connection(self):
        class Picky(Component):
            channel = "server"

            def read(self, sock, data):
                if data == b"bad":
                    raise ValueError("picky")
                return data

        self.expect_stderr("picky")
        server = self.serve(Picky())
        one, other = self.t.dial(server), self.t.dial(server)
        one.sendall(b"bad")
        self.seen("error")
        other.sendall(b"good")
        self.seen("write")
        pump(self.app)
        self.assertEqual(receive(other, 4), b"good")

    def test_writing_something_odd_is_an_error_event(self):
        client = self.client(self.serve())
        self.expect_stderr("write takes bytes or text")
        client.fire(circuits_net.Write(42))
        self.seen("error")
        self.assertTrue(client.connected)


def _stream_classes():
    """TestTCPOverSelect and the like: every transport over every poller."""
    for transport in TRANSPORTS:
        for poller in POLLERS:
            name = "Test%sOver%s" % (transport.name, poller.__name__)
            yield name, type(name, (StreamTests, CircuitsTest), {
                "transport": transport, "poller": poller, "__module__": __name__})


globals().update(_stream_classes())


class NetTest(CircuitsTest):
    """Tests that turn a tree by hand until something was seen."""

    def tree(self, *components, clock=None):
        self.rec = Recorder()
        app = self.app = Component()
        if clock is not None:
            app.clock = clock
        self.rec.register(app)
        for component in components:
            component.register(app)
        pump(app)
        self.addCleanup(self.clear_up, app)
        return app

    def clear_up(self, app):
        for component in list(circuits.flatten(app)):
            if isinstance(component, circuits_net.Endpoint):
                component._hurry = True
                component.close()
        pump(app)
        app._reactor.close()

    until = StreamTests.until
    seen = StreamTests.seen
    accepted = StreamTests.accepted


class TestTCP(NetTest):

    def test_a_refused_port_is_unreachable(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            client = circuits_net.TCPClient()
            self.tree(client)
            client.fire(circuits_net.Connect("127.0.0.1", port))
            event = self.seen("unreachable")
        self.assertEqual(event.args[:2], ["127.0.0.1", port])
        self.assertEqual(event.args[2].errno, errno.ECONNREFUSED)
        pump(self.app)
        self.assertFired(self.rec, "unreachable", "socket_error")
        self.assertNotFired(self.rec, "connected", "disconnected", "error")
        self.assertFalse(client.connected)

    def test_a_name_that_does_not_exist_is_unreachable(self):
        client = circuits_net.TCPClient()
        self.tree(client)
        client.fire(circuits_net.Connect("does-not-exist.invalid", 80))
        event = self.seen("unreachable")
        self.assertIsInstance(event.args[2], OSError)
        client.fire(circuits_net.Connect("x" * 300, 80))
        self.seen("unreachable", 2)
        self.assertNotFired(self.rec, "error")

    def test_the_look_up_does_not_block_the_loop(self):
        release, asked = threading.Event(), threading.Event()
        real = circuits_net._addresses

        def slow(host, port, family, kind, flags=0):
            if not flags:
                asked.set()
                release.wait(PATIENCE)
            return real(host, port, family, kind, flags)

        circuits_net._addresses = slow
        self.addCleanup(setattr, circuits_net, "_addresses", real)
        server, client = circuits_net.TCPServer(("127.0.0.1", 0)), circuits_net.TCPClient()
        self.tree(server, client)
        client.fire(circuits_net.Connect("localhost", server.port))
        self.until(asked.is_set)
        self.app.fire(Event.create("meanwhile"))
        self.seen("meanwhile")
        self.assertNotFired(self.rec, "connected")
        release.set()
        self.seen("connected")

    def test_all_addresses_are_tried(self):
        server, client = circuits_net.TCPServer(("127.0.0.1", 0)), circuits_net.TCPClient()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            closed = free.getsockname()
            real = circuits_net._addresses

            def several(host, port, family, kind, flags=0):
                return [(socket.AF_INET, kind, 0, closed),
                        (socket.AF_INET, kind, 0, ("127.0.0.1", server.port))]

            circuits_net._addresses = several
            self.addCleanup(setattr, circuits_net, "_addresses", real)
            self.tree(server, client)
            client.fire(circuits_net.Connect("somewhere", 1))
            self.assertEqual(self.seen("connected").args, ["somewhere", 1])

    def test_connecting_takes_connect_timeout_at_most(self):
        with socket.socket() as full:       # its backlog is full: SYNs are dropped
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                self.addCleanup(filler.close)
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            client = circuits_net.TCPClient(connect_timeout=30)
            app = self.tree(client)
            app.clock = clock = FakeClock()
            client.fire(circuits_net.Connect(*full.getsockname()))
            pump(app)
            clock.advance(31)
            reason = self.seen("unreachable").args[2]
            self.assertEqual(reason.errno, errno.ETIMEDOUT)
        self.assertEqual(list(circuits.poller_of(app)._interest), [])

    def test_close_ends_an_attempt(self):
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                self.addCleanup(filler.close)
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            client = circuits_net.TCPClient()
            app = self.tree(client)
            client.fire(circuits_net.Connect(*full.getsockname()))
            client.fire(circuits_net.Close())
            pump(app)
            self.assertNotFired(self.rec, "connected", "disconnected")
            self.assertEqual(list(circuits.poller_of(app)._interest), [])
            self.assertEqual(app._reactor.next_deadline(), None)

    def test_the_forms_of_an_address(self):
        for bind, host in ((("127.0.0.1", 0), "127.0.0.1"), ("127.0.0.1:0", "127.0.0.1"),
                           (0, "0.0.0.0")):
            server = circuits_net.TCPServer(bind)
            self.assertEqual(server.host, host)
            self.assertGreater(server.port, 0)
            server.close()
            self.assertEqual((server.host, server.port), (None, None))
        if _has_ipv6():
            for bind in (("::1", 0), "[::1]:0"):
                server = circuits_net.TCPServer(bind)
                self.assertEqual(server.host, "::1")
                server.close()

    def test_several_servers_may_share_a_port(self):
        if not hasattr(socket, "SO_REUSEPORT"):
            self.skipTest("this platform has no SO_REUSEPORT")
        one = circuits_net.TCPServer(("127.0.0.1", 0), reuse_port=True)
        other = circuits_net.TCPServer(("127.0.0.1", one.port), reuse_port=True)
        self.assertEqual(one.port, other.port)
        one.close()
        other.close()

    @unittest.skipUnless(_has_ipv6(), "this machine has no IPv6")
    def test_an_ipv6_address_for_everything_means_both_families(self):
        for kind, both in ((circuits_net.TCPServer, True), (circuits_net.TCP6Server, False)):
            server = kind(("::", 0))
            try:
                socket.create_connection(("127.0.0.1", server.port), PATIENCE).close()
                reached = True
            except OSError:
                reached = False
            server.close()
            self.assertEqual(reached, both)

    def test_sockets_of_systemd_are_found(self):
        out, _ = child("""
            import os, socket, sys
            listening = socket.socket()
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
            os.dup2(listening.detach(), 3)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
            from circuits_net import TCPServer, inherited_sockets
            print([TCPServer(sock).port == port for sock in inherited_sockets()])
            os.environ["LISTEN_PID"] = "1"
            print(inherited_sockets())
            """)
        self.assertEqual(out.split(), ["[True]", "[]"])

    def test_pauses_between_attempts_grow_and_end(self):
        client = circuits_net.TCPClient(reconnect=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.tree(client)
            self.app.clock = clock = FakeClock()
            client.fire(circuits_net.Connect(*free.getsockname()))
            pauses = []
            for tries in range(1, 12):
                self.seen("unreachable", tries)
                pump(self.app)
                deadline = self.app._reactor.next_deadline()
                pauses.append(deadline - clock())
                clock.advance(pauses[-1])
        self.assertLess(pauses[0], 0.6)
        self.assertGreater(pauses[5], 4)
        self.assertTrue(25 < pauses[-1] <= 60)

    def test_bad_options_are_refused_at_once(self):
        for options, error in (({"bufsize": 0}, ValueError), ({"bufsize": "x"}, ValueError),
                               ({"secure": "yes"}, TypeError), ({"low_water": 10**9}, ValueError),
                               ({"nonsense": 1}, TypeError)):
            with self.assertRaises(error, msg=options):
                circuits_net.TCPServer(("127.0.0.1", 0), **options)

    def test_an_attempt_goes_on_without_who_waited_for_it(self):
        server, client, caller = circuits_net.TCPServer(("127.0.0.1", 0)), circuits_net.TCPClient(), RemoteCaller()
        self.tree(server, client, caller)
        caller.waits_for(lambda: client.connect("localhost", server.port))
        self.until(lambda: client._connecting is not None)
        for task in list(caller._tasks):
            task.cancel("")
        self.seen("connected")

    def test_connect_can_be_awaited(self):
        server, client = circuits_net.TCPServer(("127.0.0.1", 0)), circuits_net.TCPClient()
        results = []

        class Visitor(Component):
            async def go(self):
                results.append(await client.connect("127.0.0.1", server.port))
                client.close()
                results.append(await client.connect("127.0.0.1", 0))

        self.tree(server, client, Visitor())
        self.app.fire(Event.create("go"))
        self.until(lambda: len(results) == 2)
        self.assertEqual(results, [True, False])

    def test_leaving_the_tree_ends_an_attempt(self):
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(4):
                filler = socket.socket()
                self.addCleanup(filler.close)
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            client = circuits_net.TCPClient()
            app = self.tree(client)
            client.fire(circuits_net.Connect(*full.getsockname()))
            pump(app)
            self.assertEqual(len(circuits.poller_of(app)._interest), 1)
            app.unregisterChild(client)
            pump(app)
            pump(client)
            self.assertEqual(list(circuits.poller_of(app)._interest), [])
            self.assertIsNone(client._reactor.poller)

    def test_leaving_the_tree_ends_a_look_up(self):
        client = circuits_net.TCPClient()
        app = self.tree(client)
        client.fire(circuits_net.Connect("localhost", 1))
        app.tick(0)
        app.unregisterChild(client)
        pump(app)
        for _ in range(100):
            client.tick(0.001)
        self.assertIsNone(client._connecting)
        self.assertIsNone(client._reactor.poller)

    def test_bad_addresses_are_refused_at_once(self):
        for bind in ("localhost", "localhost:x", "localhost:70000", "localhost:٥", None, 1.5):
            with self.assertRaises((TypeError, ValueError)):
                circuits_net.TCPServer(bind)

    def test_a_port_in_use_is_named(self):
        server = circuits_net.TCPServer(("127.0.0.1", 0))
        self.addCleanup(server.close)
        with self.assertRaises(OSError) as caught:
            circuits_net.TCPServer(("127.0.0.1", server.port))
        self.assertEqual(caught.exception.errno, errno.EADDRINUSE)
        self.assertIn(str(server.port), str(caught.exception))

    def test_a_ready_socket_is_taken(self):
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        server, client = circuits_net.TCPServer(listening), circuits_net.TCPClient()
        self.assertEqual(server.port, listening.getsockname()[1])
        self.tree(server, client, Echo())
        client.fire(circuits_net.Connect("127.0.0.1", server.port))
        client.fire(circuits_net.Write(b"x"))
        self.seen("read", 2)

    def test_a_connected_socket_is_taken(self):
        one, other = socket.socketpair()
        self.addCleanup(other.close)
        client = circuits_net.TCPClient(one)
        self.tree(client)
        self.seen("connected")
        other.sendall(b"hello")
        self.assertEqual(self.seen("read").args, [b"hello"])

    def test_servers_of_one_channel_mind_their_own_connections(self):
        one, other = circuits_net.TCPServer(("127.0.0.1", 0)), circuits_net.TCPServer(("127.0.0.1", 0))
        self.tree(one, other, Echo())
        for server in (one, other):
            sock = socket.create_connection((server.host, server.port), PATIENCE)
            self.addCleanup(sock.close)
            sock.sendall(b"x")
        self.seen("write", 2)
        pump(self.app)
        self.assertEqual((len(one._clients), len(other._clients)), (1, 1))
        one.fire(circuits_net.Close(list(one._clients)[0]))
        self.seen("disconnect")
        self.assertEqual((len(one._clients), len(other._clients)), (0, 1))

    def test_a_tree_has_one_poller(self):
        poller = circuits.Select()
        server, client = circuits_net.TCPServer(("127.0.0.1", 0)), circuits_net.TCPClient()
        app = self.tree(poller, server, client)
        self.assertIs(circuits.poller_of(server), poller)
        self.assertIs(circuits.poller_of(client), poller)
        self.assertEqual(circuits.findtype(app, circuits.BasePoller, all=True), [poller])

    def test_events_of_others_that_are_called_the_same_do_no_harm(self):
        server, client = circuits_net.TCPServer(("127.0.0.1", 0)), circuits_net.TCPClient()
        self.tree(server, client)
        for event in (Event.create("started"), Event.create("stopped"), Event.create("stopped", 1, 2),
                      Event.create("registered")):
            self.app.fire(event, "*")
        pump(self.app)
        self.assertNotFired(self.rec, "error", "close")
        self.assertIsNotNone(server.port)

    def test_a_server_may_be_the_root(self):
        class Loud(circuits_net.TCPServer):
            def read(self, sock, data):
                return data.upper()

        server = Loud(("127.0.0.1", 0))
        with serving(server):
            port = server.port
            self.assertEqual(raw(port, b"hi", until=b"HI"), b"HI")

    def test_listeners_of_the_poller_events_change_nothing(self):
        class Spy(BaseComponent):
            channel = "server"
            seen = ()

            @handler("_read", priority=5)
            def _on_read(self, sock):
                self.seen += (sock,)

        spy, server = Spy(), circuits_net.TCPServer(("127.0.0.1", 0))
        self.tree(spy, server, Echo())
        sock = socket.create_connection((server.host, server.port), PATIENCE)
        self.addCleanup(sock.close)
        sock.sendall(b"x")
        self.seen("write")
        pump(self.app)
        self.assertEqual(receive(sock, 1), b"x")
        self.assertIn(server._sock, spy.seen)

    def test_a_tree_that_joins_another_keeps_its_connections(self):
        server = circuits_net.TCPServer(("127.0.0.1", 0))
        app = self.tree(server, Echo())
        sock = socket.create_connection((server.host, server.port), PATIENCE)
        self.addCleanup(sock.close)
        self.accepted()
        above = Component()
        above += circuits_net.UDPServer(("127.0.0.1", 0))
        pump(above)
        app.register(above)
        pump(above)
        self.assertEqual(len(circuits.findtype(above, circuits.BasePoller, all=True)), 1)
        self.app = above
        sock.sendall(b"x")
        self.seen("write")
        pump(above)
        self.assertEqual(receive(sock, 1), b"x")
        self.addCleanup(self.clear_up, above)


@unittest.skipUnless(_has_ssl(), "this Python has no ssl")
class TestTLS(NetTest):

    def serve(self, *components, name="good", secure=True, **kwargs):
        server = circuits_net.TCPServer(("127.0.0.1", 0), secure=secure, certfile=certificate(self, name), **kwargs)
        self.client = circuits_net.TCPClient()
        self.tree(server, self.client, *components)
        return server

    def connect(self, server, host="localhost", ca="ca", **kwargs):
        ca_certs = None if ca is None else certificate(self, ca)
        self.client.fire(circuits_net.Connect(host, server.port, secure=True, ca_certs=ca_certs, **kwargs))

    def refused(self):
        event = self.seen("unreachable")
        self.assertNotFired(self.rec, "connected", "error")
        self.seen("socket_error")
        return event.args[2]

    def test_a_host_name_that_is_not_in_the_certificate_is_refused(self):
        server = self.serve()
        self.connect(server, server_hostname="example.org")
        self.assertIn("example.org", str(self.refused()))

    def test_an_expired_certificate_is_refused(self):
        server = self.serve(name="expired")
        self.connect(server)
        self.assertIn("expired", str(self.refused()))

    def test_an_unknown_authority_is_refused(self):
        server = self.serve()
        self.connect(server, ca=None)
        self.assertIn("CERTIFICATE_VERIFY_FAILED", str(self.refused()))

    def test_verification_can_be_switched_off(self):
        server = self.serve(Echo(), name="expired")
        self.connect(server, ca=None, verify=False)
        self.client.fire(circuits_net.Write(b"x"))
        self.seen("read", 2)

    def test_both_ends_know_protocol_and_version(self):
        server = self.serve(alpn=["b", "a"])
        self.connect(server, alpn=["a", "b"])
        self.seen("connected")
        sock = self.accepted()
        for end in (sock, self.client.sock):
            self.assertEqual(end.selected_alpn_protocol(), "b")
            self.assertIn(end.version(), ("TLSv1.2", "TLSv1.3"))
            self.assertTrue(end.cipher())

    def test_a_client_certificate_reaches_the_connect_handler(self):
        seen = []

        class Door(Component):
            channel = "server"

            def connect(self, sock, host, port):
                seen.append(sock.getpeercert())

        server = self.serve(Door(), ca_certs=certificate(self, "ca"))
        self.connect(server, certfile=certificate(self, "client"))
        self.until(lambda: seen)
        self.assertEqual(seen[0]["subject"], ((("commonName", "a client"),),))

    def test_a_client_without_certificate_is_turned_away(self):
        server = self.serve(ca_certs=certificate(self, "ca"))
        self.connect(server)
        self.until(lambda: any(e.channels == ("server",) for e in self.rec.named("socket_error")))
        self.until(lambda: not self.client.connected)
        self.assertFalse([e for e in self.rec.named("connect") if e.channels == ("server",)])
        self.assertNotFired(self.rec, "error")

    def test_a_context_of_ones_own(self):
        context = circuits_net.server_context(certificate(self, "good"))
        server, self.client = circuits_net.TCPServer(("127.0.0.1", 0), secure=context), circuits_net.TCPClient()
        self.tree(server, self.client, Echo())
        self.client.fire(circuits_net.Connect("localhost", server.port,
                                 secure=circuits_net.client_context(ca_certs=certificate(self, "ca"))))
        self.client.fire(circuits_net.Write(b"x"))
        self.seen("read", 2)

    def test_a_server_needs_a_certificate(self):
        with self.assertRaisesRegex(RuntimeError, "certfile must be specified"):
            circuits_net.TCPServer(("127.0.0.1", 0), secure=True)

    # select() takes 1024 descriptors, and both ends are in this process.
    silent = 500 if circuits.Poller is not circuits.Select else 100

    def test_silent_handshakes_hold_up_nobody(self):
        server = self.serve(Echo())
        silent = []
        for _ in range(self.silent):
            silent.append(socket.create_connection((server.host, server.port), PATIENCE))
            self.addCleanup(silent[-1].close)
        self.connect(server)
        self.client.fire(circuits_net.Write(b"x"))
        self.until(lambda: [e for e in self.rec.named("read") if e.channels == ("client",)])
        self.assertEqual(len(server._clients), self.silent + 1)

    def test_a_handshake_has_a_deadline(self):
        server = self.serve(handshake_timeout=5)
        self.app.clock = clock = FakeClock()
        sock = socket.create_connection((server.host, server.port), PATIENCE)
        self.addCleanup(sock.close)
        self.until(lambda: server._clients)
        sock.sendall(b"\x16\x03\x01")       # one that dribbles gains nothing
        clock.advance(6)
        self.assertEqual(self.seen("socket_error").args[1].errno, errno.ETIMEDOUT)
        self.assertFalse(server._clients)
        self.assertNotFired(self.rec, "disconnect", "error")
        self.assertIsNone(self.app._reactor.next_deadline())

    def test_the_deadline_goes_with_the_connection(self):
        server = self.serve()
        self.connect(server)
        self.seen("connected")
        self.accepted()
        self.assertIsNone(self.app._reactor.next_deadline())

    def test_a_peer_that_speaks_no_tls_can_be_told_apart(self):
        server = self.serve()
        sock = socket.create_connection((server.host, server.port), PATIENCE)
        self.addCleanup(sock.close)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(self.seen("socket_error").args[1].reason, "HTTP_REQUEST")
        self.assertNotFired(self.rec, "connect", "disconnect", "error")

    def test_a_peer_that_speaks_no_tls_can_be_answered(self):
        server = self.serve(plain_reply=b"speak TLS!")
        sock = socket.create_connection((server.host, server.port), PATIENCE)
        self.addCleanup(sock.close)
        sock.sendall(b"hello")
        self.seen("socket_error")
        self.assertEqual(receive(sock, 100), b"speak TLS!")
        self.connect(server)
        self.seen("connected")

    def test_connect_comes_before_what_came_with_the_handshake(self):
        order = []

        class Step(BaseComponent):
            channel = "server"

            @circuits._own_step
            @handler("read")
            def _on_read(self, sock, data):
                order.append("read")

        class Door(Component):
            channel = "server"

            def connect(self, sock, host, port):
                order.append("connect")

        import ssl
        server = circuits_net.TCPServer(("127.0.0.1", 0), secure=True, certfile=certificate(self, "good"))
        app = make_app(server, Step(), Door())
        self.addCleanup(app._reactor.close)
        self.addCleanup(pump, app)
        self.addCleanup(server.close)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=certificate(self, "ca"))
        session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection((server.host, server.port), PATIENCE) as peer:
            while True:
                try:
                    session.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    peer.sendall(outgoing.read())
                    peer.setblocking(False)
                    pump(app, lambda: self.peeked(peer, incoming))
                    peer.setblocking(True)
            session.write(b"hello")
            peer.sendall(outgoing.read())       # the end of the handshake, and data
            pump(app, lambda: len(order) == 2)
        self.assertEqual(order, ["connect", "read"])

    @staticmethod
    def peeked(peer, incoming):
        try:
            incoming.write(peer.recv(65536))
        except BlockingIOError:
            return False
        return True

    def test_a_handshake_that_dribbles_in_is_a_handshake(self):
        server = self.serve(plain_reply=b"speak TLS!")
        import ssl
        outgoing = ssl.MemoryBIO()
        session = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing,
                                                        server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            session.do_handshake()
        with socket.create_connection((server.host, server.port), PATIENCE) as peer:
            peer.setblocking(False)
            for byte in outgoing.read():
                peer.send(bytes([byte]))
                for _ in range(3):
                    self.app.tick(0)
            answer = ssl.MemoryBIO()
            pump(self.app, lambda: self.peeked(peer, answer))
            self.assertEqual(answer.read(2), b"\x16\x03")

    def test_starttls_on_both_sides(self):
        class Upgrade(Component):
            channel = "server"

            def read(self, sock, data):
                if data == b"STARTTLS":
                    self.fire(circuits_net.Write(sock, b"go"))
                    self.fire(circuits_net.StartTLS(sock))
                else:
                    self.fire(circuits_net.Write(sock, data + b" " + sock.version().encode()[:5]))

        server = self.serve(Upgrade(), secure=False)
        self.client.fire(circuits_net.Connect("localhost", server.port))
        self.client.fire(circuits_net.Write(b"STARTTLS"))
        self.until(lambda: any(e.args == [b"go"] for e in self.rec.named("read")))
        self.client.fire(circuits_net.StartTLS(ca_certs=certificate(self, "ca")))
        self.client.fire(circuits_net.Write(b"secret"))      # waits for the handshake
        self.until(lambda: any(e.args == [b"secret TLSv1"] for e in self.rec.named("read")))
        self.seen("secured", 2)
        self.assertTrue(self.client.secure)
        self.client.fire(circuits_net.Close())
        self.seen("disconnect")
        self.assertNotFired(self.rec, "error", "socket_error")

    def test_starttls_that_fails_ends_the_connection(self):
        class Upgrade(Component):
            channel = "server"

            def connect(self, sock, host, port):
                self.fire(circuits_net.StartTLS(sock))

        server = self.serve(Upgrade(), secure=False)
        sock = socket.create_connection((server.host, server.port), PATIENCE)
        self.addCleanup(sock.close)
        self.seen("starttls")
        sock.sendall(b"this is no handshake")
        self.seen("disconnect")
        self.assertFired(self.rec, "connect", "socket_error", "disconnect")
        self.assertNotFired(self.rec, "error", "read")

    def test_starttls_without_certificate_says_so(self):
        server = circuits_net.TCPServer(("127.0.0.1", 0))
        self.tree(server)
        sock = socket.create_connection((server.host, server.port), PATIENCE)
        self.addCleanup(sock.close)
        self.expect_stderr("give the server certfile=")
        server.fire(circuits_net.StartTLS(self.accepted()))
        self.seen("error")

    def test_a_server_that_hangs_up_in_the_handshake_is_unreachable(self):
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            client = circuits_net.TCPClient()
            self.tree(client)
            client.fire(circuits_net.Connect("127.0.0.1", listening.getsockname()[1], secure=True))
            pump(self.app)
            listening.accept()[0].close()
            self.assertIsInstance(self.seen("unreachable").args[2], OSError)
        self.assertNotFired(self.rec, "connected", "disconnected", "error")
        self.assertFalse(client.connected)

    def test_a_server_silent_in_the_handshake_is_given_up(self):
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            client = circuits_net.TCPClient(connect_timeout=30)
            self.tree(client)
            self.app.clock = clock = FakeClock()
            client.fire(circuits_net.Connect("127.0.0.1", listening.getsockname()[1], secure=True))
            self.until(lambda: client._connecting is not None and client._connecting.conn is not None
                       and client._connecting.conn.tls is not None)
            clock.advance(31)
            self.assertEqual(self.seen("unreachable").args[2].errno, errno.ETIMEDOUT)


def _openssl(*args):
    return subprocess.Popen(("openssl",) + args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


@unittest.skipUnless(_has_ssl() and shutil.which("openssl"), "needs the openssl program")
class TestTLSAgainstOpenSSL(NetTest):

    def s_client(self, *args, **kwargs):
        """What openssl s_client prints, told to say hello to an echo server of ours."""
        server = circuits_net.TCPServer(("127.0.0.1", 0), secure=True, certfile=certificate(self, "good"), **kwargs)
        with serving(self.tree(server, Echo())):
            process = _openssl("s_client", "-connect", "127.0.0.1:%d" % server.port, "-CAfile",
                               certificate(self, "ca"), "-verify_return_error", *args)
            timer = threading.Timer(PATIENCE, process.kill)
            timer.start()
            out = bytearray()
            try:
                process.stdin.write(b"hello from openssl\n")
                process.stdin.flush()
            except BrokenPipeError:     # it was turned away at once
                pass
            while out.count(b"hello from openssl") < 1:
                piece = process.stdout.read1(65536)
                if not piece:
                    break
                out += piece
            process.communicate()
            timer.cancel()
        return out.decode()

    def test_s_client_with_each_version(self):
        for flag, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            out = self.s_client(flag, "-servername", "localhost", "-verify_hostname", "localhost")
            self.assertIn(version, out)
            self.assertIn("hello from openssl", out)

    def test_s_client_with_alpn_and_certificate(self):
        out = self.s_client("-alpn", "x,circuits", "-cert", certificate(self, "client"),
                            "-key", certificate(self, "client"),
                            ca_certs=certificate(self, "ca"), alpn=["circuits"])
        self.assertIn("ALPN protocol: circuits", out)
        self.assertIn("hello from openssl", out)

    def test_s_client_with_an_old_version_is_refused(self):
        out = self.s_client("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
        self.assertNotIn("hello from openssl", out)

    def test_our_client_with_s_server(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            probe.listen()
            port = probe.getsockname()[1]
        process = _openssl("s_server", "-accept", "127.0.0.1:%d" % port, "-rev",
                           "-cert", certificate(self, "good"), "-key", certificate(self, "good"))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        while b"ACCEPT" not in process.stdout.readline():
            pass
        client = circuits_net.TCPClient()
        self.tree(client)
        client.fire(circuits_net.Connect("localhost", port, secure=True, ca_certs=certificate(self, "ca")))
        client.fire(circuits_net.Write(b"circuits\n"))
        self.until(lambda: b"stiucric" in b"".join(e.args[0] for e in self.rec.named("read")))


@unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this platform has no UNIX sockets")
class TestUNIX(NetTest):

    def test_a_dead_socket_is_replaced(self):
        path = os.path.join(self.folder(), "s")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        server = circuits_net.UNIXServer(path)
        self.assertEqual(server.host, path)
        self.assertIsNone(server.port)
        server.close()
        self.assertFalse(os.path.exists(path))

    def test_a_living_server_or_a_file_is_not_replaced(self):
        folder = self.folder(file="text")
        path = os.path.join(folder, "s")
        server = circuits_net.UNIXServer(path)
        self.addCleanup(server.close)
        for taken in (path, os.path.join(folder, "file")):
            with self.assertRaises(OSError) as caught:
                circuits_net.UNIXServer(taken)
            self.assertEqual(caught.exception.errno, errno.EADDRINUSE)
            self.assertTrue(os.path.exists(taken))

    def test_only_the_same_user_may_connect(self):
        path = os.path.join(self.folder(), "s")
        server = circuits_net.UNIXServer(path)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        server.close()
        server = circuits_net.UNIXServer(path, mode=0o666)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o666)
        server.close()

    def test_a_path_without_server_is_unreachable(self):
        client = circuits_net.UNIXClient()
        self.tree(client)
        client.fire(circuits_net.Connect(os.path.join(self.folder(), "none")))
        self.assertEqual(self.seen("unreachable").args[2].errno, errno.ENOENT)

    def test_a_full_backlog_is_waited_for(self):
        path = os.path.join(self.folder(), "s")
        with socket.socket(socket.AF_UNIX) as full:
            full.bind(path)
            full.listen(0)
            code = 0
            while not code:
                filler = socket.socket(socket.AF_UNIX)
                self.addCleanup(filler.close)
                filler.setblocking(False)
                code = filler.connect_ex(path)
            client = circuits_net.UNIXClient()
            app = self.tree(client)
            app.clock = clock = FakeClock()
            client.fire(circuits_net.Connect(path))
            pump(app)
            self.assertNotFired(self.rec, "connected", "unreachable")
            full.accept()[0].close()
            clock.advance(0.1)
            self.seen("connected")


class TestPipe(NetTest):

    def test_what_one_writes_the_other_reads(self):
        one, other = circuits_net.Pipe()
        self.tree(one, other)
        self.seen("connected", 2)
        one.fire(circuits_net.Write(b"ping"))
        self.seen("read")
        other.fire(circuits_net.Write(b"pong"))
        self.seen("read", 2)
        self.assertEqual([(e.channels, e.args) for e in self.rec.named("read")],
                         [(("b",), [b"ping"]), (("a",), [b"pong"])])
        one.fire(circuits_net.Close())
        self.seen("disconnected", 2)

    def test_the_channels_have_names(self):
        for given, channels in ((("x", "y"), ["x", "y"]), (("x",), ["x", "b"])):
            ends = circuits_net.Pipe(*given)
            self.assertEqual([end.channel for end in ends], channels)
            self.tree(*ends)

    def test_stop_disconnects_both(self):
        app = self.tree(*circuits_net.Pipe())
        with serving(app):
            wait_for(lambda: self.rec.names.count("connected") == 2)
        self.assertEqual(self.rec.names.count("disconnected"), 2)


class TestUDP(NetTest):

    server_class, client_class, host = circuits_net.UDPServer, circuits_net.UDPClient, "127.0.0.1"

    def pair(self, *components):
        server = self.server_class((self.host, 0))
        client = self.client_class((self.host, 0), channel="client")
        self.tree(server, client, *components)
        return server, client

    def test_a_datagram_and_its_reply(self):
        server, client = self.pair(Echo())
        client.fire(circuits_net.Write((server.host, server.port), b"hi"))
        self.seen("read", 2)
        there, back = self.rec.named("read")
        self.assertEqual(there.args[0][:2], (client.host, client.port))
        self.assertEqual((there.args[1], back.args[1]), (b"hi", b"hi"))
        self.assertEqual(back.args[0][:2], (server.host, server.port))

    def test_a_burst_arrives_to_the_last(self):
        server, client = self.pair()
        for i in range(100):
            client.fire(circuits_net.Write((server.host, server.port), b"%d" % i))
        self.seen("read", 100)
        self.assertEqual([e.args[1] for e in self.rec.named("read")], [b"%d" % i for i in range(100)])

    def test_a_large_datagram_arrives_whole(self):
        server, client = self.pair()
        client.fire(circuits_net.Write((server.host, server.port), bytes(60000)))
        self.assertEqual(len(self.seen("read").args[1]), 60000)

    def test_close_reports_once_and_frees_the_port(self):
        server, client = self.pair()
        port = server.port
        for _ in range(2):
            server.fire(circuits_net.Close())
            pump(self.app)
        self.assertFired(self.rec, "ready", "close", "closed", "disconnect")
        self.assertEqual(self.rec.names.count("closed"), 1)
        self.assertEqual((server.host, server.port), (None, None))
        with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET,
                           socket.SOCK_DGRAM) as again:
            again.bind((self.host, port))

    def test_a_name_is_looked_up(self):
        server, client = self.pair()
        if ":" not in self.host:
            client.fire(circuits_net.Write(("localhost", server.port), b"x"))
            self.seen("read")

    def test_a_port_nobody_listens_on_is_no_error(self):
        server, client = self.pair()
        port = server.port
        server.fire(circuits_net.Close())
        pump(self.app)
        for _ in range(3):
            client.fire(circuits_net.Write((self.host, port), b"x"))
            pump(self.app)
        self.assertNotFired(self.rec, "error", "socket_error")

    def test_bytes_that_are_no_datagram_say_so(self):
        server, client = self.pair()
        client.fire(circuits_net.Write((server.host, server.port), bytes(70000)))
        error = self.seen("socket_error").args[1]
        self.assertEqual(error.errno, errno.EMSGSIZE)

    def test_a_multicast_group_can_be_joined_and_left(self):
        server, client = self.pair()
        group, interface = ("ff01::4711", None) if ":" in self.host else ("239.255.47.11", "127.0.0.1")
        try:
            server.join(group, interface)
        except OSError:
            self.skipTest("this machine has no multicast")
        if interface is not None:
            client._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
            wide = circuits_net.UDPServer(("", 0)).register(self.app)
            wide.join(group, interface)
            client.fire(circuits_net.Write((group, wide.port), b"all"))
            self.assertEqual(self.seen("read").args[1], b"all")
        server.leave(group, interface)

    def test_broadcast(self):
        server = circuits_net.UDPServer(("", 0))
        client = circuits_net.UDPClient(0, channel="client")
        self.tree(server, client)
        client.fire(circuits_net.Broadcast(b"anybody?", server.port))
        self.until(lambda: "read" in self.rec.names or "socket_error" in self.rec.names)
        if "socket_error" in self.rec.names:
            self.skipTest("this machine has no network to broadcast to")
        self.assertEqual(self.seen("read").args[1], b"anybody?")


@unittest.skipUnless(_has_ipv6(), "this machine has no IPv6")
class TestUDP6(TestUDP):

    server_class, client_class, host = circuits_net.UDP6Server, circuits_net.UDP6Client, "::1"


class TestLineBuffers(CircuitsTest):

    def feed(self, buffer, data, step):
        return [m for i in range(0, len(data), step) for m in buffer.feed(data[i:i + step])]

    def test_lines_are_cut_however_they_arrive(self):
        data = b"one\r\n\r\ntwo\nth\rree\r\r\nrest"
        for step in range(1, len(data) + 1):
            buffer = circuits_net.LineBuffer()
            self.assertEqual(self.feed(buffer, data, step), [b"one", b"", b"two", b"th\rree\r"], step)
            self.assertEqual(bytes(buffer.rest), b"rest")

    def test_frames_are_cut_however_they_arrive(self):
        messages = [b"", b"one", bytes(300), b"x"]
        data = b"".join(map(circuits_net.FrameBuffer().frame, messages))
        for step in range(1, len(data) + 1):
            self.assertEqual(self.feed(circuits_net.FrameBuffer(), data, step), messages, step)

    def test_too_long_ones_come_after_those_before(self):
        for buffer, data in ((circuits_net.LineBuffer(5), b"ok\n123456\n"),
                             (circuits_net.LineBuffer(5), b"ok\n123456"),
                             (circuits_net.FrameBuffer(5), b"\0\0\0\2ok\0\0\0\6")):
            got = []
            with self.assertRaises(circuits_net.TooLong):
                for message in buffer.feed(data):
                    got.append(message)
            self.assertEqual(got, [b"ok"])

    def test_time_is_linear(self):
        for buffer, data in ((circuits_net.LineBuffer(1 << 24), b"x" * 200000 + b"\n"),
                             (circuits_net.FrameBuffer(), (200000).to_bytes(4, "big") + bytes(200000))):
            self.assertEqual(len(self.feed(buffer, data, 1)), 1)

    def test_only_declared_errors_leave(self):
        random_ = random.Random(1)
        for _ in range(300):
            for buffer in (circuits_net.LineBuffer(20), circuits_net.FrameBuffer(20)):
                try:
                    for _ in range(5):
                        list(buffer.feed(bytes(random_.choice(b"\0\1\r\na") for _ in range(30))))
                except circuits_net.TooLong:
                    pass


class TestLineProtocol(CircuitsTest):

    def lines(self, component, *events):
        self.rec = Recorder()
        self.app = app = make_app(component, self.rec)
        for event in events:
            app.fire(event)
            pump(app)
        return [e.args for e in self.rec.named("line")]

    def test_a_client_gets_lines_of_text(self):
        self.assertEqual(self.lines(circuits_net.LP(), circuits_net.Read(b"a\r\n\xc3"), circuits_net.Read(b"\xa4\n\xff\nx")),
                         [["a"], ["ä"], ["\ufffd"]])

    def test_a_server_keeps_the_peers_apart(self):
        self.assertEqual(self.lines(circuits_net.LP(), circuits_net.Read("A", b"a"), circuits_net.Read("B", b"b"),
                                    circuits_net.Read("A", b"1\n"), circuits_net.Read("B", b"2\n")),
                         [["A", "a1"], ["B", "b2"]])

    def test_state_goes_with_the_connection(self):
        lp = circuits_net.LP()
        self.assertEqual(self.lines(lp, circuits_net.Read("A", b"half"), circuits_net.Disconnect("A"),
                                    circuits_net.Read("A", b"whole\n"), circuits_net.Disconnect("A"),
                                    circuits_net.Read(b"half"), circuits_net.Disconnected(), circuits_net.Read(b"x\n"),
                                    circuits_net.Disconnected()),
                         [["A", "whole"], ["x"]])
        self.assertEqual(lp._buffers, {})

    def test_bytes_and_buffers_of_ones_own(self):
        self.assertEqual(self.lines(circuits_net.LineProtocol(), circuits_net.Read(b"\xff\n")), [[b"\xff"]])
        kept = {}
        lp = circuits_net.LP(getBuffer=lambda sock: kept.get(sock, b""),
                             updateBuffer=kept.__setitem__)
        self.assertEqual(self.lines(lp, circuits_net.Read("A", b"a"), circuits_net.Read("A", b"b\nc")), [["A", "ab"]])
        self.assertEqual(kept, {"A": b"c"})
        lp = circuits_net.LP(splitter=lambda s, rest: ((rest + s).split(b";")[:-1],
                                                       (rest + s).split(b";")[-1]))
        self.assertEqual(self.lines(lp, circuits_net.Read(b"a;b"), circuits_net.Read(b"c;")), [["a"], ["bc"]])

    def test_an_endless_line_closes_its_peer_alone(self):
        lines = self.lines(circuits_net.LP(max_line=10), circuits_net.Read("A", b"x" * 11), circuits_net.Read("A", b"\nmore\n"),
                           circuits_net.Read("B", b"fine\n"))
        self.assertEqual(lines, [["B", "fine"]])
        self.assertEqual([e.args for e in self.rec.named("close")], [["A"]])
        self.assertIsInstance(self.rec.named("socket_error")[0].args[1], circuits_net.TooLong)

    def test_nothing_is_built_where_only_the_framework_listens(self):
        class Lines(BaseComponent):
            got = ()

            @handler("line")
            def _on_line(self, line):
                self.got += (line,)

        lines = Lines()
        app = make_app(circuits_net.LP(), lines)
        app._reactor.tell(app, circuits_net.Read, "*", b"a\nb\n")
        pump(app)
        self.assertEqual(lines.got, ("a", "b"))

    def test_frames_over_a_pipe(self):
        one, other = circuits_net.Pipe("x", "y")
        rec = Recorder()
        app = make_app(one, other, circuits_net.LengthPrefix(channel="x"),
                       circuits_net.LengthPrefix(channel="y"), rec)
        self.addCleanup(app._reactor.close)
        self.addCleanup(pump, app)
        self.addCleanup(one.close)
        for data in (b"one", b"", "zwö", bytes(100000)):
            app.fire(circuits_net.WriteFrame(data), "x")
        pump(app, lambda: len(rec.named("frame")) == 4)
        self.assertEqual([e.args[0] for e in rec.named("frame")],
                         [b"one", b"", "zwö".encode(), bytes(100000)])


class TestIRC(CircuitsTest):

    def written(self, *commands):
        rec = Recorder()
        app = make_app(circuits_net.IRC(), rec)
        for command in commands:
            app.fire(command)
        pump(app)
        self.rec = rec
        return [e.args[0] for e in rec.named("write")]

    def responses(self, *lines):
        rec = Recorder()
        app = make_app(circuits_net.IRC(), rec)
        app.fire(circuits_net.Read("".join(line + "\r\n" for line in lines).encode()))
        pump(app)
        self.rec = rec
        return [(e.name, e.args) for e in rec.events if isinstance(e, circuits_net.Response)]

    def test_each_command_is_a_line(self):
        n = circuits_net
        for command, line in (
                (n.RAW("ANYTHING at all"), "ANYTHING at all"), (n.PASS("secret"), "PASS secret"),
                (n.USER("foo", "localhost", "localhost", "Test Client"),
                 "USER foo localhost localhost :Test Client"),
                (n.NICK("test"), "NICK test"), (n.PING("localhost"), "PING :localhost"),
                (n.PONG("localhost"), "PONG :localhost"), (n.QUIT(), "QUIT :Leaving"),
                (n.QUIT("Test"), "QUIT :Test"), (n.JOIN("#test"), "JOIN #test"),
                (n.JOIN("#test", "key"), "JOIN #test key"), (n.PART("#test"), "PART #test :Leaving"),
                (n.PRIVMSG("test", "Hello World"), "PRIVMSG test :Hello World"),
                (n.NOTICE("test", "Hello"), "NOTICE test :Hello"),
                (n.CTCP("test", "PING", "1234567890"), "PRIVMSG test :\x01PING 1234567890\x01"),
                (n.CTCP("test", "VERSION", ""), "PRIVMSG test :\x01VERSION\x01"),
                (n.CTCPREPLY("test", "PING", "1"), "NOTICE test :\x01PING 1\x01"),
                (n.KICK("#test", "test"), "KICK #test test :"),
                (n.KICK("#test", "test", "Testing"), "KICK #test test :Testing"),
                (n.TOPIC("#test", "Hello World!"), "TOPIC #test :Hello World!"),
                (n.MODE("+i"), "MODE :+i"), (n.MODE("+o test", "#test"), "MODE #test :+o test"),
                (n.INVITE("test", "#test"), "INVITE test #test"), (n.NAMES(), "NAMES"),
                (n.NAMES("#test"), "NAMES #test")):
            self.assertEqual(self.written(command), [line + "\r\n"])
            kind = type(command).__name__.lower()
            self.assertFired(self.rec, "command_" + kind, "write")

    def test_a_command_that_would_be_two_is_refused(self):
        for kind in (circuits_net.PRIVMSG, circuits_net.NOTICE, circuits_net.TOPIC):
            for bad in ("a\r\nQUIT", "a\nQUIT", "a\rQUIT", "a\0"):
                with self.assertRaisesRegex(ValueError, "one per line"):
                    kind("#room", bad)
        command = circuits_net.PRIVMSG("#room", "fine")
        command.args[1] = "a\r\nQUIT"
        self.expect_stderr("one per line")
        self.assertEqual(self.written(command), [])

    def test_words_in_the_middle_stay_words(self):
        self.expect_stderr("cannot stand in the middle")
        for command in (circuits_net.NICK("two words"), circuits_net.NICK(""), circuits_net.NICK(":x"),
                        circuits_net.JOIN("#a", "b c"), circuits_net.NICK(None)):
            self.assertEqual(self.written(command), [])

    def test_each_line_is_a_response(self):
        me = ("nick", "~ident", "host")
        source = ":nick!~ident@host "
        for line, name, args in (
                ("PING :localhost", "ping", ["localhost"]),
                (":localhost 001 test :Welcome to IRC", "numeric",
                 ["localhost", "test", 1, None, "Welcome to IRC"]),
                (":localhost 433 * test :Nickname is already in use.", "numeric",
                 ["localhost", "*", 433, "test", "Nickname is already in use."]),
                (":localhost 353 me = #room :a b", "numeric",
                 ["localhost", "me", 353, "=", "#room :a b"]),
                (source + "PRIVMSG #test :Hello World", "message", [me, "#test", "Hello World"]),
                (source + "PRIVMSG #test :\x01ACTION waves\x01", "ctcp",
                 [me, "#test", "ACTION", "waves"]),
                (source + "NOTICE test :Hello", "notice", [me, "test", "Hello"]),
                (source + "JOIN #test", "join", [me, "#test"]),
                (source + "JOIN :#test", "join", [me, "#test"]),
                (source + "PART #test :bye", "part", [me, "#test", "bye"]),
                (source + "PART #test", "part", [me, "#test", ""]),
                (source + "QUIT :bye", "quit", [me, "bye"]),
                (source + "NICK :other", "nick", [me, "other"]),
                (source + "MODE #test +o x", "mode", [me, "#test", "+o x"]),
                (":localhost NOTICE * :***", "notice", [("localhost", None, None), "*", "***"]),
                ("@time=1 " + source + "NICK other", "nick", [me, "other"])):
            self.assertEqual(self.responses(line), [(name, args)], line)
            self.assertFired(self.rec, "read", "line", name)

    def test_ping_is_answered(self):
        self.responses("PING :token")
        self.assertEqual([e.args for e in self.rec.named("write")], [["PONG :token\r\n"]])

    def test_nonsense_is_ignored(self):
        self.assertEqual(self.responses("", " ", ":", ":x", "::", ":x ", "PRIVMSG", "PRIVMSG a",
                                        "NICK", "JOIN", "MODE", "@", "@x", "UNKNOWN a b", "\x01"), [])
        random_ = random.Random(2)
        for _ in range(2000):
            line = "".join(random_.choice(":!@ #\x01AB1PRIVMSG") for _ in range(random_.randrange(40)))
            circuits_net.irc_response(line)

    def test_on_the_channel_of_a_server_the_sock_comes_first(self):
        rec = Recorder()
        app = make_app(circuits_net.IRC(), rec)
        app.fire(circuits_net.Read("SOCK", b"NICK :me\r\nPING :x\r\n"))
        pump(app)
        self.assertEqual(rec.named("nick")[0].args, ["SOCK", ("", None, None), "me"])
        self.assertNotFired(rec, "write", "error")

    def test_a_server_gets_what_is_no_response_and_replies(self):
        rec = Recorder()
        app = make_app(circuits_net.IRC(), rec)
        app.fire(circuits_net.Read("SOCK", b"USER me 0 * :My Name\r\n\r\n:x\r\n"))
        pump(app)
        self.assertEqual([e.args for e in rec.named("ircrequest")],
                         [["SOCK", ("", None, None), "USER", ["me", "0", "*", "My Name"]]])
        app.fire(circuits_net.REPLY("SOCK", "irc.host", circuits_net.RPL_WELCOME, "me", "Welcome, you!"))
        app.fire(circuits_net.REPLY("SOCK", "me!i@h", "PRIVMSG", "#room", "hello all"))
        app.fire(circuits_net.REPLY("SOCK", "me!i@h", "QUIT"))
        pump(app)
        self.assertEqual([e.args for e in rec.named("write")],
                         [["SOCK", ":irc.host 001 me :Welcome, you!\r\n"],
                          ["SOCK", ":me!i@h PRIVMSG #room :hello all\r\n"],
                          ["SOCK", ":me!i@h QUIT\r\n"]])
        self.expect_stderr("cannot stand in the middle")
        app.fire(circuits_net.REPLY("SOCK", "a b", "QUIT"))
        pump(app)
        with self.assertRaises(ValueError):
            circuits_net.REPLY("SOCK", "x", "PRIVMSG", "#room", "a\r\nKICK")
        self.assertEqual(len(rec.named("write")), 3)

    def test_the_numbers_have_names(self):
        self.assertEqual((circuits_net.RPL_WELCOME, circuits_net.RPL_NAMREPLY,
                          circuits_net.RPL_NAMEREPLY, circuits_net.ERR_NICKNAMEINUSE,
                          circuits_net.ERR_USERSDONTMATCH), (1, 353, 353, 433, 502))


@unittest.skipUnless(shutil.which("ngircd"), "needs the IRC server ngircd")
class TestIRCServer(CircuitsTest):

    def ircd(self):
        """Start a real IRC server; returns its port."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        folder = self.folder(conf="""
            [Global]
            Name = irc.test
            Info = test
            Listen = 127.0.0.1
            Ports = %d
            [Limits]
            MaxConnectionsIP = 0
            [Options]
            DNS = no
            Ident = no
            PAM = no
            SyslogFacility = local1
            """ % port)
        process = subprocess.Popen(["ngircd", "-n", "-f", os.path.join(folder, "conf")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return port

    def test_the_bot_of_the_examples_answers(self):
        port = self.ircd()
        program = ExamplesTest.start(self, "25_irc_bot.py", "127.0.0.1", str(port))
        self.addCleanup(program.end)
        program.wait_for("circuits joined #circuits")
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"NICK me\r\nUSER me x x :me\r\nJOIN #circuits\r\n")
            program.wait_for("me joined #circuits")
            sock.sendall(b"PRIVMSG #circuits :hello circuits\r\n")
            heard = b""
            while b"PRIVMSG #circuits :Hello me!" not in heard:
                heard += sock.recv(4096)

    def test_two_bots_talk_through_a_real_server(self):
        port = self.ircd()

        class Bot(Component):
            def init(self, nick, channel):
                self.nick = nick
                self.heard = []
                self.members = set()
                circuits_net.TCPClient(channel=channel, reconnect=True).register(self)
                circuits_net.IRC(channel=channel).register(self)

            def ready(self, component):
                self.fire(circuits_net.Connect("127.0.0.1", port))

            def connected(self, host, port):
                self.fire(circuits_net.NICK(self.nick))
                self.fire(circuits_net.USER(self.nick, "x", "x", "a bot"))

            def numeric(self, source, target, number, arg, message):
                if number == circuits_net.RPL_WELCOME:
                    self.fire(circuits_net.JOIN("#room"))
                elif number == circuits_net.RPL_NAMREPLY:
                    self.members.update(message.partition(":")[2].replace("@", "").split())

            def join(self, source, channel):
                self.members.add(source[0])

            def message(self, source, target, text):
                self.heard.append((source[0], target, text))

        app = Component()
        bots = [Bot("one", channel="one").register(app), Bot("two", channel="two").register(app)]
        with serving(app):
            wait_for(lambda: all(bot.members == {"one", "two"} for bot in bots))
            app.fire(circuits_net.PRIVMSG("#room", "hello there"), "one")
            app.fire(circuits_net.CTCP("one", "VERSION", ""), "two")
            wait_for(lambda: bots[1].heard)
        self.assertEqual(bots[1].heard, [("one", "#room", "hello there")])


class TestWire(CircuitsTest):

    def test_declared_types_come_back(self):
        for value in (None, True, 0, -1, 1.5, "text \ud800", "", b"", b"\0\xff", [], [1, [2, {}]], (),
                      (1, (2,)), {"a": 1}, {"~": "bytes", "=": "x"}, {1: 2, (3, 4): b"5"}, {1, 2},
                      {"__class__": "x", "channels": []}):
            data = circuits_net.dump_message({"v": circuits_net.to_wire(value)})
            back = circuits_net.from_wire(circuits_net.load_message(data)["v"])
            self.assertEqual((back, type(back)), (value, type(value)))

    def test_others_are_refused(self):
        deep = []
        for _ in range(100000):
            deep = [deep]
        for value in (object(), [object()], lambda: 0, Event(), deep):
            with self.assertRaises((circuits_net.WireError, RecursionError)):
                circuits_net.dump_message({"v": circuits_net.to_wire(value)})

    def test_only_declared_errors_leave(self):
        random_ = random.Random(3)
        good = b'{"call":1,"name":"x","args":[{"~":"bytes","=":"eA=="}],"kwargs":{},"channels":[]}'
        for _ in range(3000):
            data = bytearray(good)
            for _ in range(random_.randrange(1, 6)):
                data[random_.randrange(len(data))] = random_.choice(b'"{}[]:,~=0x\xff1')
            try:
                circuits_net.from_wire(circuits_net.load_message(bytes(data)))
            except circuits_net.WireError:
                pass
        for data in (b"[" * 100000, b"[]", b"1", b"", b"nul", b'{"a":'):
            with self.assertRaises(circuits_net.WireError):
                circuits_net.load_message(data)


class Adder(Component):
    """What the tests call at the other end."""

    def init(self, channel=None):
        self.calls = []

    def add(self, a, b=0):
        self.calls.append((a, b))
        return a + b

    def boom(self):
        raise ValueError("no")

    def several(self):
        yield 1
        yield [2, b"3"]

    def nothing(self):
        pass


class Say(Event):
    """Called name() there."""

    def __init__(self, name, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.name = name


class RemoteCaller(Component):
    """Runs run_one(waiting) as a task and keeps what came of it."""

    def init(self):
        self.results = []

    @handler("run_one")
    def _on_run_one(self, make):
        try:
            value = yield make()
        except Exception as error:
            self.results.append(error)
        else:
            self.results.append(getattr(value, "value", value))

    def waits_for(self, make):
        self.fire(Event.create("run_one", make))

    waits_for = handler(False)(waits_for)


class TestExchange(CircuitsTest):
    """Two conversations back to back, with a wire that can be cut."""

    def setUp(self):
        self.adder, self.caller, self.rec = Adder(), RemoteCaller(), Recorder()
        self.app = make_app(self.adder, self.caller, self.rec)
        self.wires = [[], []]
        self.allowed = lambda name, channel: name != "secret"
        one, other = (circuits_net.Exchange(self.app, None, lambda *args: self.allowed(*args), "*", 10000)
                      for _ in range(2))
        self.one, self.other = one, other
        self.link()

    def link(self, known=True):
        self.one.resume(self.wires[0].append, known)
        self.other.resume(self.wires[1].append, known)

    def cut(self):
        self.one.transmit = self.other.transmit = None
        for wire in self.wires:
            wire.clear()

    def carry(self):
        """Carry what is on the wires until nothing is."""
        pump(self.app)
        while any(self.wires):
            for wire, end in zip(self.wires, (self.other, self.one)):
                while wire:
                    end.take(circuits_net.load_message(wire.pop(0)))
            pump(self.app)

    def call(self, event, **kwargs):
        self.caller.waits_for(lambda: self.one.call(event, (), **kwargs))

    def test_results_come_back(self):
        for event in (Say("add", 1, b=2), Say("several"), Say("nothing"), Say("nobody_hears")):
            self.call(event)
        self.carry()
        self.assertEqual(self.caller.results, [3, None, None, [1, [2, b"3"]]])
        self.assertEqual((self.one.calls, self.app._reactor.next_deadline()), ({}, None))

    def test_errors_come_back(self):
        self.call(Say("boom"))
        self.carry()
        error = self.caller.results[0]
        self.assertIsInstance(error, circuits_net.RemoteError)
        self.assertEqual(str(error), "ValueError: no")
        self.assertIn("in boom", "".join(error.args[2]))
        self.assertNotFired(self.rec, "error")

    def test_what_cannot_travel_says_so(self):
        class Odd(Component):
            def odd(self):
                return object()

            def large(self):
                return "x" * 20000
        Odd().register(self.app)
        for event in (Say("add", object()), Say("odd"), Say("add", "x" * 20000), Say("large"),
                      Say("add", 1)):
            self.call(event)
        self.carry()
        for error in self.caller.results[:4]:
            self.assertIn("WireError", repr(error))
        self.assertEqual(self.caller.results[-1], 1)

    def test_what_is_not_allowed_is_not_fired(self):
        self.call(Say("secret"))
        self.carry()
        self.assertIn("NotAllowed", str(self.caller.results[0]))
        self.assertNotFired(self.rec, "secret")

    def test_a_call_has_a_timeout(self):
        self.app.clock = clock = FakeClock()
        self.cut()
        self.call(Say("add", 1), timeout=5)
        pump(self.app)
        clock.advance(6)
        pump(self.app)
        self.app.tick(0)
        pump(self.app)
        self.assertIsInstance(self.caller.results[0], circuits.TimeoutError)

    def test_nothing_is_lost_or_done_twice_wherever_the_wire_is_cut(self):
        for cut_after in range(1, 5):
            self.setUp()
            for i in range(3):
                self.call(Say("add", i))
            pump(self.app)
            for _ in range(cut_after):          # some calls arrive, no reply does
                if self.wires[0]:
                    self.other.take(circuits_net.load_message(self.wires[0].pop(0)))
            if cut_after % 2:
                pump(self.app)                  # and are served before the cut
            self.cut()
            pump(self.app)
            self.link()
            self.carry()
            self.assertEqual(self.caller.results, [0, 1, 2])
            self.assertEqual(self.adder.calls, [(0, 0), (1, 0), (2, 0)])

    def test_a_peer_that_forgot_us_fails_what_was_sent(self):
        self.call(Say("add", 1))
        pump(self.app)
        self.cut()
        self.call(Say("add", 2))
        pump(self.app)
        self.other = circuits_net.Exchange(self.app, None, self.allowed, "*", 10000)
        self.link(known=False)
        self.carry()
        self.assertIsInstance(self.caller.results[0], circuits_net.LinkLost)
        self.assertEqual(self.caller.results[1:], [2])

    def test_what_is_served_is_forgotten(self):
        for i in range(100):
            self.call(Say("add", i))
            self.carry()
        self.assertLessEqual(len(self.other.served), 1)

    def test_complete_waits_for_what_follows_there(self):
        class Chain(Component):
            def begin(self):
                self.fire(Event.create("later"))
                return "begun"

            def later(self):
                yield circuits.sleep(0)
                self.fire(Event.create("much_later"))

        Chain().register(self.app)
        event = Say("begin")
        event.complete = True
        self.call(event)
        seen = []
        self.one.transmit = lambda data: (seen.append(self.rec.names.count("much_later")),
                                          self.wires[0].append(data))
        self.other.transmit = lambda data: (seen.append(self.rec.names.count("much_later")),
                                            self.wires[1].append(data))
        self.carry()
        pump(self.app, lambda: self.caller.results or self.carry())
        self.assertEqual(self.caller.results, ["begun"])
        self.assertEqual(seen, [0, 1])

    def test_hostile_messages_change_nothing(self):
        before = dict(vars(self.app)), dict(vars(Event))
        good = {"call": 1, "name": "add", "args": [1], "kwargs": {}, "channels": [], "success": False,
                "failure": False, "complete": False, "notify": False, "over": 0}
        for change in ({"call": "1"}, {"call": True}, {"name": "__class__.x"}, {"name": ""},
                       {"name": "a b"}, {"name": "x" * 200}, {"name": 1}, {"args": {}}, {"args": None},
                       {"kwargs": []}, {"kwargs": {"~": "tuple", "=": []}}, {"channels": "*"},
                       {"channels": [1]}, {"channels": [None]}, {"success": "yes"}, {"over": None},
                       {"args": [{"~": "object", "=": 1}]}, {"args": [{"~": "set", "=": [[1]]}]}):
            with self.assertRaises(circuits_net.WireError, msg=change):
                self.other.take(dict(good, **change))
        for message in ({}, {"reply": "1"}, {"x": 1}):
            with self.assertRaises(circuits_net.WireError):
                self.other.take(message)
        self.one.take({"reply": 7, "value": 1})
        self.other.take(dict(good, __class__="x", handler=1, _state=2, args=[5]))
        self.carry()
        self.assertEqual(self.adder.calls, [(5, 0)])
        self.assertEqual((dict(vars(self.app)), dict(vars(Event))), before)


class TestBridge(CircuitsTest):

    def pair(self, **kwargs):
        """Two trees that are linked; returns (tree, recorder) of both."""
        made = []
        for end in circuits_net.Pipe("x", "y"):
            app, rec = Component(), Recorder()
            rec.register(app)
            circuits_net.Bridge(end, **kwargs).register(app)
            made.append((app, rec))
            self.addCleanup(app._reactor.close)
            self.addCleanup(pump, app)
            self.addCleanup(end.close)
        return made

    def both(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            for app, _ in self.made:
                app.tick(0)
            self.assertLess(time.monotonic(), deadline)

    def test_an_event_is_handled_at_the_other_end(self):
        self.made = (app, rec), (there, rec_there) = self.pair()
        Adder().register(there)
        value = app.fire(Say("add", 1, 2))
        self.both(lambda: value.result)
        self.assertEqual(value.value, 3)
        self.both(lambda: not len(app) and not len(there))
        self.assertEqual(rec.names.count("add"), 1)
        self.assertEqual(rec_there.names.count("add"), 1)

    def test_errors_and_waiting(self):
        self.made = (app, _), (there, _) = self.pair()
        Adder().register(there)
        caller = RemoteCaller().register(app)
        caller.waits_for(lambda: app.call(Say("boom")))
        caller.waits_for(lambda: app.call(circuits_net.ipc(Say("add", 4)), "bridge"))
        self.both(lambda: len(caller.results) == 2)
        self.assertEqual(str(caller.results[0]), "ValueError: no")
        self.assertEqual(caller.results[1], 4)

    def test_what_cannot_travel_stays_here(self):
        self.made = (app, rec), (there, rec_there) = self.pair()
        value = app.fire(Say("add", object()))
        app.fire(Say("last"))
        self.both(lambda: "last" in rec_there.names)
        self.assertNotFired(rec_there, "add")
        self.assertEqual(rec_there.names.count("ready"), 1)

    def test_only_named_events_are_sent(self):
        self.made = (app, _), (there, rec_there) = self.pair(events=["yes"])
        app.fire(Say("no"))
        app.fire(Say("yes"))
        self.both(lambda: "yes" in rec_there.names)
        self.assertNotFired(rec_there, "no")

    def test_the_end_of_the_other_is_an_event(self):
        self.made = (app, rec), (there, _) = self.pair()
        caller = RemoteCaller().register(app)
        caller.waits_for(lambda: app.call(circuits_net.ipc(Say("add", 4)), "bridge"))
        pump(app)
        circuits.findtype(there, circuits_net.UNIXClient).close()
        self.both(lambda: "bridge_lost" in rec.names and caller.results)
        self.assertIsInstance(caller.results[0], circuits_net.LinkLost)
        caller.waits_for(lambda: app.call(circuits_net.ipc(Say("add", 4)), "bridge"))
        self.both(lambda: len(caller.results) == 2)
        self.assertIsInstance(caller.results[1], circuits_net.LinkLost)

    def test_rubbish_on_the_wire_ends_the_bridge(self):
        one, other = socket.socketpair()
        self.addCleanup(other.close)
        app, rec = Component(), Recorder()
        rec.register(app)
        circuits_net.Bridge(circuits_net.UNIXClient(one, channel="x")).register(app)
        self.addCleanup(app._reactor.close)
        other.sendall(b"\0\0\0\x05hello")
        pump(app, lambda: "bridge_lost" in rec.names)
        self.assertNotFired(rec, "error")


@unittest.skipUnless(hasattr(os, "fork"), "this platform cannot fork")
class TestLinkedProcess(CircuitsTest):

    def run_child(self, code):
        out, err = child("""
            import os, sys
            from circuits import *
            from circuits_net import *

            class Child(Component):
                def where(self):
                    return os.getpid()
                def boom(self):
                    raise ValueError("no")
                def leave(self):
                    os._exit(7)

            class Parent(Component):
                def started(self, component):
                    if component is self:
                        self.fire(Event.create("go"))
            """ + code)
        self.assertEqual(err, "")
        return out.split()

    def test_a_component_in_a_process_of_its_own(self):
        out = self.run_child("""
            class App(Parent):
                def go(self):
                    value = yield self.call(Event.create("where"))
                    print(value.value == child.pid != os.getpid())
                    try:
                        yield self.call(Event.create("boom"))
                    except RemoteError as error:
                        print(error.args[0])
                    child.stop()
                def bridge_lost(self, bridge):
                    bridge.process.join()
                    print(bridge.process.exitcode)
                    self.stop()
            child, app = Child(), App()
            process, bridge = child.start(process=True, link=app)
            app.run()
            """)
        self.assertEqual(out, ["True", "ValueError", "0"])

    def test_a_process_that_is_killed_is_noticed(self):
        out = self.run_child("""
            class App(Parent):
                def go(self):
                    try:
                        yield self.call(ipc(Event.create("leave")), "bridge")
                    except LinkLost:
                        print("lost")
                def bridge_lost(self, bridge):
                    bridge.process.join()
                    print(bridge.process.exitcode)
                    self.stop()
            child, app = Child(), App()
            child.start(process=True, link=app)
            app.run()
            """)
        self.assertEqual(sorted(out), ["7", "lost"])

    def test_a_process_ends_with_its_parent(self):
        out = self.run_child("""
            child, app = Child(), Parent()
            process, bridge = child.start(process=True, link=app)
            app.start()
            app.stop()
            app.join()
            child.join(20)
            print(process.exitcode)
            """)
        self.assertEqual(out, ["0"])

    def test_a_process_linked_to_a_tree_that_runs_in_a_thread(self):
        out = self.run_child("""
            import time
            class Busy(Component):
                def tock(self):
                    if self.root.running:
                        self.fire(Event.create("tock"), "a%d" % time.monotonic_ns(), "*")
            app = Component() + Busy()
            app.start()
            app.fire(Event.create("tock"))
            for _ in range(3):
                child = Child()
                process, bridge = child.start(process=True, link=app)
                value = app.fire(Event.create("where"))
                while not value.result:
                    time.sleep(0.001)
                print(value.value == child.pid)
                child.stop()
                child.join()
                print(process.exitcode)
            app.stop()
            app.join()
            """)
        self.assertEqual(out, ["True", "0"] * 3)

    def test_a_process_without_link(self):
        out = self.run_child("""
            child = Child()
            process, bridge = child.start(process=True)
            print(bridge, child.pid == process.pid)
            child.stop()
            child.join()
            print(process.exitcode)
            """)
        self.assertEqual(out, ["None", "True", "0"])

    def test_connections_of_the_parent_are_not_kept_open(self):
        out = self.run_child("""
            import socket
            class App(Parent):
                def connect(self, sock, host, port):
                    child.start(process=True, link=self)
                    self.fire(Close(sock), "server")
                def disconnect(self, sock):
                    peer.settimeout(10)
                    print(peer.recv(10) == b"")
                    self.stop()
            child, app = Child(), App()
            server = TCPServer(("127.0.0.1", 0)).register(app)
            peer = socket.create_connection((server.host, server.port))
            app.run()
            """)
        self.assertEqual(out, ["True"])


class TestNode(NetTest):

    def nodes(self, *components, server={}, client={}, name="there", link=True):
        """A node that listens and one that is linked to it, in one tree."""
        options = {"secret": "a secret", "receives": ["*"], "sends": ["*", "*@app"]}
        self.server = circuits_net.Node(("127.0.0.1", 0), channel="served", **dict(options, **server))
        self.client = circuits_net.Node(channel="calling", **dict(options, **client))
        self.caller = RemoteCaller()
        self.clock = FakeClock()
        self.tree(self.server, self.client, self.caller, *components, clock=self.clock)
        self.client.add(name, "127.0.0.1", self.server.port)
        if link:
            self.seen("connected_to")

    def call(self, event, name="there", **kwargs):
        self.caller.waits_for(lambda: self.app.call(
            circuits_net.Remote(event, name, **kwargs), "calling"))

    def results(self, count):
        self.until(lambda: len(self.caller.results) >= count)
        return self.caller.results

    def test_results_and_errors_come_back(self):
        self.nodes(Adder(channel="served"))
        self.call(Say("add", 1, b=2))
        self.call(Say("boom"))
        self.call(Say("several"))
        results = self.results(3)
        self.assertEqual([results[0], str(results[1]), results[2]],
                         [3, "ValueError: no", [1, [2, b"3"]]])
        self.assertEqual(self.seen("connected_to").args[:3],
                         ["there", "127.0.0.1", self.server.port])

    def test_the_value_of_a_fired_remote_fills(self):
        self.nodes(Adder(channel="served"))
        value = self.app.fire(circuits_net.Remote(Say("add", 1, 2), "there"), "calling")
        self.until(lambda: value.result)
        self.assertEqual(value.value, 3)

    def test_the_server_can_call_its_clients(self):
        self.nodes(Adder(channel="calling"))
        sock, = self.server.server.get_socks()
        self.caller.waits_for(lambda: self.server.server.send(Say("add", 5), sock))
        self.assertEqual(self.results(1), [5])
        self.assertEqual(len(self.server.server.send_all(Say("add", 6))), 1)
        self.until(lambda: [e.args for e in self.rec.named("add")] == [[5], [6]])

    def test_a_channel_can_be_named_where_that_is_allowed(self):
        self.nodes(Adder(channel="app"), server={"receives": ["add@app"]})
        self.call(Say("add", 1), channel="app")
        self.call(Say("add", 1))
        self.call(Say("boom"), channel="app")
        results = self.results(3)
        self.assertIn(1, results)
        for error in [result for result in results if result != 1]:
            self.assertEqual(error.args[0], "NotAllowed")
        self.assertNotFired(self.rec, "boom")

    def test_nothing_is_allowed_by_default(self):
        self.nodes(Adder(channel="served"), server={"receives": ()})
        self.call(Say("add", 1))
        self.assertEqual(self.results(1)[0].args[0], "NotAllowed")
        self.assertNotFired(self.rec, "add")
        self.nodes(Adder(channel="served"), client={"sends": ()})
        self.call(Say("add", 1))
        self.assertIn("name it in sends=", str(self.results(1)[0]))
        self.assertNotFired(self.rec, "add")

    def test_a_node_needs_a_secret_or_certificates(self):
        for kwargs in ({}, {"secret": ""}, {"secret": None}):
            with self.assertRaisesRegex(ValueError, "needs secret="):
                circuits_net.Node(("127.0.0.1", 0), **kwargs)
            with self.assertRaisesRegex(ValueError, "needs secret="):
                circuits_net.Node(**kwargs).add("x", "127.0.0.1", 1)
        with self.assertRaises(TypeError):
            circuits_net.Node(secret="x", receives="hello")

    def test_an_unknown_node_says_so(self):
        self.nodes()
        self.call(Say("add"), "elsewhere")
        self.assertIn("add(name, host, port) it first", str(self.results(1)[0]))

    def test_a_wrong_secret_is_turned_away_at_both_ends(self):
        self.nodes(server={"secret": "another"}, link=False)
        self.call(Say("add", 1), timeout=1000)
        error = self.seen("socket_error").args[-1]
        self.assertIn("secret", str(error))
        self.assertEqual(self.server.server.get_socks(), [])
        self.assertNotFired(self.rec, "connected_to", "add", "error")
        self.assertFalse(self.server.server.sessions)

    def test_a_server_that_does_not_know_the_secret_gets_nothing(self):
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            client = circuits_net.Node(secret="x", sends=["*"])
            self.tree(client)
            client.add("there", *listening.getsockname())
            self.app.fire(circuits_net.Remote(Say("add", 1), "there"))
            pump(self.app)
            peer = listening.accept()[0]
            self.addCleanup(peer.close)
            peer.settimeout(PATIENCE)
            frames = circuits_net.FrameBuffer()
            peer.sendall(frames.frame(b'{"node":1,"nonce":"00"}'))
            self.until(lambda: client.get_peer("there").link is not None
                       and hasattr(client.get_peer("there").link, "theirs"))
            pump(self.app)
            self.assertIn(b'"proof"', peer.recv(4096))
            peer.sendall(frames.frame(b'{"welcome":true,"proof":"00"}'))
            self.until(lambda: any("secret" in str(e.args[-1]) for e in self.rec.named("socket_error")))
            self.assertNotFired(self.rec, "connected_to", "error")
            self.assertEqual(peer.recv(4096), b"")

    def test_a_lost_connection_comes_back_and_nothing_happens_twice(self):
        adder = Adder(channel="served")
        self.nodes(adder)
        for i in range(5):
            for _ in range(3):
                self.call(Say("add", i))
            self.app.tick(0)
            self.client.get_peer("there").hang_up()
            self.seen("disconnected_from", i + 1)
            self.clock.advance(1)
            self.seen("connected_to", i + 2)
        self.assertEqual(self.results(15), [i for i in range(5) for _ in range(3)])
        self.assertEqual(len(adder.calls), 15)

    def test_a_connection_cut_at_every_byte_of_a_frame(self):
        adder = Adder(channel="served")
        self.nodes(adder)
        client = self.client.get_peer("there")
        size = cut = 0
        while cut <= size:
            def transmit(data):
                nonlocal size
                frame = circuits_net.FrameBuffer().frame(data)
                size = len(frame)
                client.transport.write(frame[:cut])
                client.hang_up()
            client.exchange.transmit = transmit
            self.call(Say("add", cut))
            self.until(lambda: self.rec.names.count("disconnected_from") == cut + 1)
            self.clock.advance(1)
            self.until(lambda: len(self.caller.results) == cut + 1)
            cut += 1
        self.assertGreater(size, 100)
        self.assertEqual(self.caller.results, list(range(cut)))
        self.assertEqual([a for a, _ in adder.calls], list(range(cut)))

    def test_a_silent_peer_is_dropped(self):
        self.nodes(server={"heartbeat": 10}, client={"heartbeat": 10})
        sock, = self.server.server.get_socks()
        for _ in range(10):                 # pings keep it alive
            self.clock.advance(10)
            pump(self.app)
            for _ in range(10):
                self.app.tick(0)
        self.assertNotFired(self.rec, "disconnected_from")
        self.server.server.links[sock].say = lambda **message: None
        self.server.server.links[sock].feed = lambda data: None
        for _ in range(4):
            self.clock.advance(10)
            for _ in range(10):
                self.app.tick(0)
        self.seen("disconnected_from")

    def test_calls_without_connection_time_out(self):
        client = circuits_net.Node(secret="x", sends=["*"])
        self.caller = RemoteCaller()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.tree(client, self.caller, clock=FakeClock())
            client.add("there", *free.getsockname())
            self.caller.waits_for(lambda: self.app.call(
                circuits_net.Remote(Say("add"), "there"), "node"))
            pump(self.app)
            self.app.clock.advance(61)
            self.assertIsInstance(self.results(1)[0], circuits.TimeoutError)

    def test_hostile_peers_are_dropped_before_they_cost_anything(self):
        self.nodes()
        for data in (b"\0\0\x10\0", b"GET / HTTP/1.0\r\n\r\n", b"\0\0\0\2{}", b"\0\0\0\1x",
                     circuits_net.FrameBuffer().frame(b'{"call":1,"name":"add"}'),
                     circuits_net.FrameBuffer().frame(
                         b'{"node":1,"session":"x","nonce":"y","proof":"z"}')):
            peer = socket.create_connection(("127.0.0.1", self.server.port), PATIENCE)
            self.addCleanup(peer.close)
            peer.sendall(data)
            before = self.rec.names.count("disconnect")
            self.seen("disconnect", before + 1)
        self.assertNotFired(self.rec, "error", "add")
        self.assertEqual(len(self.server.server.links), 1)

    def test_a_peer_that_never_greets_is_dropped(self):
        self.nodes(link=False)
        peer = socket.create_connection(("127.0.0.1", self.server.port), PATIENCE)
        self.addCleanup(peer.close)
        self.until(lambda: len(self.server.server.links) == 2)
        pump(self.app)
        self.clock.advance(circuits_net.HANDSHAKE_TIMEOUT + 1)
        self.seen("disconnect")

    def test_order_is_kept(self):
        adder = Adder(channel="served")
        self.nodes(adder)
        for i in range(200):
            self.call(Say("add", i))
        self.assertEqual(self.results(200), list(range(200)))
        self.assertEqual([a for a, _ in adder.calls], list(range(200)))

    def test_remove_and_unregister_leave_nothing(self):
        self.nodes(Adder(channel="served"))
        self.client.remove("there")
        self.until(lambda: not self.server.server.links)
        self.server.unregister()
        self.client.unregister()
        self.seen("unregistered", 3)
        self.assertEqual(list(circuits.poller_of(self.app)._interest), [])
        self.assertIsNone(self.app._reactor.next_deadline())

    @unittest.skipUnless(_has_ssl(), "this Python has no ssl")
    def test_certificates_instead_of_a_secret(self):
        ca = certificate(self, "ca")
        server = circuits_net.Node(("127.0.0.1", 0), channel="served", receives=["add"], secure=True,
                      certfile=certificate(self, "good"), ca_certs=ca)
        client = circuits_net.Node(channel="calling", sends=["add"])
        self.caller = RemoteCaller()
        self.tree(server, client, self.caller, Adder(channel="served"))
        client.add("there", "localhost", server.port, secure=True, ca_certs=ca,
                   certfile=certificate(self, "client"))
        self.call(Say("add", 7))
        self.assertEqual(self.results(1), [7])

    def test_two_programs(self):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent("""
            from circuits import Component
            from circuits_net import Node
            class App(Component):
                channel = "node"
                def hello(self, name):
                    return "Hello %s!" % name
            app = App()
            node = Node(("127.0.0.1", 0), secret="s", receives=["hello"]).register(app)
            print(node.port, flush=True)
            app.run()
            """)], cwd=os.path.dirname(circuits.__file__), stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        client = circuits_net.Node(channel="calling", secret="s", sends=["hello"])
        self.caller = RemoteCaller()
        self.tree(client, self.caller)
        client.add("there", "127.0.0.1", int(process.stdout.readline()))
        self.call(Say("hello", "World"))
        self.assertEqual(self.results(1), ["Hello World!"])
        process.kill()
        self.seen("disconnected_from")


EXAMPLES = os.path.join(HERE, "examples")


class TestNetExamples(CircuitsTest):
    """The programs in examples/, and tools that everybody has, talk to each other."""

    def example(self, name, *args, lines=1):
        """Start one; returns the process and the first lines it prints."""
        process = subprocess.Popen(
            [sys.executable, os.path.join(EXAMPLES, name)] + list(map(str, args)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True,
            env=dict(os.environ, PYTHONPATH=HERE))
        for stream in (process.stdout, process.stdin):
            self.addCleanup(stream.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, [process.stdout.readline() for _ in range(lines)]

    def serve(self, name, *args):
        """Start a server on a free port; returns that."""
        _, (line,) = self.example(name, *args)
        return int(re.search(r"(\d+)$", line.strip()).group(1))

    def run_example(self, name, *args):
        process, _ = self.example(name, *args, lines=0)
        return process.stdout.read()

    def tool(self, *command, data=b""):
        if not shutil.which(command[0]):
            self.skipTest("needs the program " + command[0])
        return subprocess.run(list(map(str, command)), input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=PATIENCE).stdout

    def test_echo(self):
        port = self.serve("20_echo_server.py", 0)
        self.assertEqual(self.run_example("21_echo_client.py", "localhost", port), "Hello, echo!\n")
        self.assertEqual(self.tool("nc", "-N", "127.0.0.1", port, data=b"from nc\n"), b"from nc\n")

    def test_echo_and_socat(self):
        port = self.serve("20_echo_server.py", 0)
        data = os.urandom(1 << 20)
        self.assertEqual(self.tool("socat", "-t5", "-", "TCP:127.0.0.1:%d" % port, data=data), data)

    def test_port_forwarder_and_curl(self):
        folder = self.folder(page="hello through two sockets")
        web = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
                               cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(web.stdout.close)
        self.addCleanup(web.wait)
        self.addCleanup(web.kill)
        target = re.search(rb"port (\d+)", web.stdout.readline()).group(1).decode()
        port = self.serve("22_port_forwarder.py", 0, "127.0.0.1", target)
        for _ in range(3):
            self.assertEqual(self.tool("curl", "-s", "http://127.0.0.1:%d/page" % port),
                             b"hello through two sockets")

    @unittest.skipUnless(_has_ssl(), "this Python has no ssl")
    def test_tls_echo(self):
        path = certificate(self, "good")
        port = self.serve("23_tls_echo.py", path, path, 0)
        out = self.tool("socat", "-t5", "-", "OPENSSL:localhost:%d,cafile=%s" % (
            port, certificate(self, "ca")), data=b"secret\n")
        self.assertEqual(out, b"secret\n")

    def test_udp_ping(self):
        self.assertEqual(self.run_example("24_udp_ping.py").count("pong"), 5)

    def test_lines(self):
        port = self.serve("26_lines.py", 0)
        self.assertEqual(raw(port, b"6 * 7\n1 / 0\nnonsense\nquit\n").count(b"what?"), 2)
        self.assertEqual(raw(port, b"6 * 7\r\nquit\r\n"), b"42\n")

    def test_nodes(self):
        port = self.serve("27_node_server.py", 0)
        self.assertEqual(self.run_example("28_remote_call.py", port).split("\n"),
                         ["1", "3", "6", "ValueError: it only goes up", ""])

    @unittest.skipUnless(hasattr(os, "fork"), "this platform cannot fork")
    def test_two_processes(self):
        here, there, prime = re.findall(r"\d+", self.run_example("29_two_processes.py"))
        self.assertNotEqual(here, there)
        self.assertEqual(prime, "103")


class TestManyConnections(CircuitsTest):

    def test_processes_that_share_a_socket_leave_some_to_the_others(self):
        server = circuits_net.TCPServer(("127.0.0.1", 0))
        server.accepts_per_turn = 1         # as Workers do
        rec = Recorder().register(server)
        pump(server, lambda: "ready" in rec.names)
        peers = [socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(4)]
        for peer in peers:
            self.addCleanup(peer.close)
        server._accept()
        self.assertEqual(len(server._clients), 1)
        server._accept()
        self.assertEqual(len(server._clients), 2)
        server.stop_listening()             # the last chance of who waits
        self.assertEqual(len(server._clients), 4)
        for peer in peers:
            peer.close()
        pump(server, lambda: "closed" in rec.names)

    def test_a_process_out_of_descriptors_recovers(self):
        try:
            import resource
        except ImportError:
            self.skipTest("needs a limit of descriptors")
        del resource
        out, err = child("""
            import resource, socket, threading
            from circuits import Component
            from circuits_net import TCPServer

            class Echo(TCPServer):
                troubles = 0
                def read(self, sock, data):
                    return data
                def socket_error(self, sock, error):
                    self.troubles += 1

            server = Echo(("127.0.0.1", 0))
            server.start()
            peers = [socket.socket() for _ in range(60)]
            for peer in peers:
                peer.settimeout(20)
            limit = max(peer.fileno() for peer in peers) + 30
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            for peer in peers:
                peer.connect((server.host, server.port))
            while not server.troubles:
                pass
            print(len(server._clients) < 60)
            for peer in peers[:30]:
                peer.close()
            for peer in peers[30:]:
                peer.sendall(b"x")
            print(all(peer.recv(1) == b"x" for peer in peers[30:]))
            print(server.troubles < 40)
            server.stop()
            server.join()
            """)
        self.assertEqual((out.split(), err), (["True"] * 3, ""))

    def test_thousands_of_idle_connections_cost_little_memory_and_no_time(self):
        if (not hasattr(os, "fork") or circuits.Poller is circuits.Select
                or sys.implementation.name != "cpython"):
            self.skipTest("needs fork, tracemalloc, and a poller without a limit")
        out, err = child("""
            import gc, os, resource, socket, sys, time, tracemalloc
            from circuits import Component
            from circuits_net import TCPServer
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            count = min(5000, hard - 100 if hard > 0 else 5000)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
            app = Component()
            server = TCPServer(("127.0.0.1", 0)).register(app)
            for _ in range(5):
                app.tick(0)
            ours, theirs = os.pipe()
            pid = os.fork()
            if not pid:
                peers = [socket.create_connection((server.host, server.port)) for _ in range(count)]
                os.close(theirs)
                os.read(ours, 1)
                os._exit(0)
            os.close(ours)
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            while len(server._clients) < count:
                app.tick(0.1)
            for _ in range(5):
                app.tick(0)
            gc.collect()
            print((tracemalloc.get_traced_memory()[0] - before) / count < 1024)
            print(app._reactor.poller._wait(0) == [] and not len(app))
            os.close(theirs)
            os.waitpid(pid, 0)
            while server._clients:
                app.tick(0.1)
            """)
        self.assertEqual((out.split(), err), (["True"] * 2, ""))


class TestNetInOddPlaces(CircuitsTest):

    def test_without_a_socket_module_it_imports_and_says_what_is_missing(self):
        out, _ = child("""
            import sys
            sys.modules["_socket"] = sys.modules["_ssl"] = None
            import circuits_net
            try:
                circuits_net.TCPServer(0)
            except RuntimeError as error:
                print(error)
            """)
        self.assertIn("no socket module", out)

    def test_it_imports_neither_ssl_nor_threading(self):
        out, _ = child("""
            import sys
            before = set(sys.modules)
            import circuits_net
            heavy = "ssl asyncio threading json hmac multiprocessing".split()
            print([m for m in heavy if m in set(sys.modules) - before])
            """)
        self.assertIn("[]", out)

    def test_a_missing_core_is_named(self):
        folder = self.folder()
        with open(circuits_net.__file__, encoding="utf-8") as file:
            text = file.read()
        with open(os.path.join(folder, "circuits_net.py"), "w", encoding="utf-8") as file:
            file.write(text)
        _, err = child("import circuits_net", cwd=folder, check=False)
        self.assertIn("needs circuits.py", err.splitlines()[-1])

    def test_a_core_of_another_version_is_refused(self):
        folder = self.folder()
        for name, change in (("circuits_net", "2.1.0"), ("circuits", "9.9.9")):
            with open(os.path.join(os.path.dirname(circuits.__file__), name + ".py"),
                      encoding="utf-8") as file:
                text = file.read().replace('__version__ = "2.1.0"', '__version__ = "%s"' % change)
            with open(os.path.join(folder, name + ".py"), "w", encoding="utf-8") as file:
                file.write(text)
        _, err = child("import circuits_net", cwd=folder, check=False)
        self.assertIn("files of one version", err.splitlines()[-1])


# ---------------------------------------------------------------------------
# circuits_io
# ---------------------------------------------------------------------------

class Errors(BaseComponent):
    """Takes the error events of its tree: errors.seen, tuples of arguments."""

    def init(self):
        self.seen = []

    @handler("error", channel="*")
    def _on_error(self, *args):
        self.seen.append(args)


class Finder(BaseComponent):
    """Calls back for events of a name: Finder("read", function, channel="*")."""

    def init(self, name, function, channel="*"):
        self.addHandler(_listener(name, function, channel))


def _listener(name, function, channel):
    def _on_event(self, *args):
        return function(*args)
    return handler(name, channel=channel)(_on_event)


def make_io_app(*components):
    """(app, recorder, errors), settled."""
    rec, errors = Recorder(), Errors()
    app = make_app(rec, errors, *components)
    rec.clear()
    return app, rec, errors


def blocked(*modules):
    """Code that makes these modules missing."""
    return "import sys\nfor name in %r: sys.modules[name] = None\n" % (modules,)


def open_numbers():
    return set(os.listdir("/proc/self/fd"))


class TestFile(CircuitsTest):

    def path(self, text=None):
        path = os.path.join(self.folder(), "file")
        if text is not None:
            with open(path, "wb") as file:
                file.write(text)
        return path

    def content(self, path):
        with open(path, "rb") as file:
            return file.read()

    def pipe(self, app, channels=("in", "out"), **options):
        """(reading File, writing File) of a new pipe, open."""
        ours, theirs = os.pipe()
        reading = circuits_io.File(ours, "r", channel=channels[0], **options).register(app)
        writing = circuits_io.File(theirs, "w", channel=channels[1], **options).register(app)
        pump(app, lambda: not reading.closed and not writing.closed)
        return reading, writing

    def data(self, rec, channel="file"):
        return b"".join(e.args[0] for e in rec.named("read") if e.channels == (channel,))

    def test_reads_in_the_documented_order(self):
        app, rec, _ = make_io_app()
        file = circuits_io.File(self.path(b"Hello World!")).register(app)
        pump(app, lambda: "closed" in rec.names)
        self.assertEqual([n for n in rec.names if n != "registered"],
                         ["ready", "open", "opened", "read", "eof", "closed"])
        self.assertEqual(rec.named("opened")[0].args, [file.filename, "r"])
        self.assertIs(rec.named("ready")[0].args[0], file)
        self.assertEqual(self.data(rec), b"Hello World!")
        self.assertTrue(file.closed)

    def test_what_is_written_before_it_is_open_is_kept(self):
        app, rec, _ = make_io_app()
        path = self.path()
        file = circuits_io.File(path, "w")
        file.write("before ")
        file.register(app)
        app.fire(circuits_io.Write(b"Hello "), "file")
        app.fire(circuits_io.Write("World!"), "file")
        app.fire(circuits_io.Close(), "file")
        pump(app, lambda: "closed" in rec.names)
        self.assertEqual(self.content(path), b"before Hello World!")

    def test_modes_are_those_of_open(self):
        for mode, expected in (("a", b"oldnew"), ("w", b"new"), ("ab", b"oldnew")):
            app, rec, _ = make_io_app()
            path = self.path(b"old")
            file = circuits_io.File(path, mode).register(app)
            file.write("new")
            file.close()
            pump(app, lambda: "closed" in rec.names)
            self.assertEqual(self.content(path), expected)
        for mode in ("", "rw", "q", "b"):
            self.assertRaises(ValueError, circuits_io.File, "x", mode)
        self.assertRaises(ValueError, circuits_io.File, "x", bufsize=0)

    def test_exclusive_creation_fails_if_it_exists(self):
        app, rec, errors = make_io_app(circuits_io.File(self.path(b""), "x"))
        pump(app, lambda: errors.seen)
        self.assertIsInstance(errors.seen[0][0], FileExistsError)

    def test_a_large_file_comes_in_pieces_of_bufsize(self):
        data = os.urandom(300000)
        app, rec, _ = make_io_app()
        circuits_io.File(self.path(data), bufsize=1000).register(app)
        pump(app, lambda: "closed" in rec.names)
        self.assertEqual(self.data(rec), data)
        self.assertEqual(max(len(e.args[0]) for e in rec.named("read")), 1000)

    def test_a_file_may_be_the_root(self):
        class Cat(circuits_io.File):
            def read(self, data):
                seen.append(data)

            def closed(self):
                raise SystemExit(0)

        seen = []
        with self.assertRaises(SystemExit):
            Cat(self.path(b"root")).run()
        self.assertEqual(seen, [b"root"])

    def test_a_pipe_carries_everything_both_ways_of_writing(self):
        app, rec, _ = make_io_app()
        reading, writing = self.pipe(app)
        data = os.urandom(3000000)
        writing.write(data)                         # more than it takes at once
        app.fire(circuits_io.Write(bytearray(b"tail")), "out")
        app.fire(circuits_io.Close(), "out")
        pump(app, lambda: reading.closed and writing.closed)
        pump(app)
        self.assertEqual(self.data(rec, "in"), data + b"tail")
        self.assertEqual([rec.names.count(n) for n in ("eof", "closed", "error")], [1, 2, 0])

    def test_what_is_written_while_the_buffer_is_full_waits(self):
        app, rec, _ = make_io_app()
        reading, writing = self.pipe(app, max_buffer=100000)
        reading.pause()
        value = app.fire(circuits_io.Write(b"x" * 1000000), "out")
        for _ in range(50):
            app.tick(0)
        self.assertTrue(value.promise)
        reading.resume()
        pump(app, lambda: not value.promise)
        self.assertLessEqual(writing.pending, 100000)

    def test_reading_stops_while_what_it_causes_waits(self):
        app, rec, _ = make_io_app()
        reading, writing = self.pipe(app, max_buffer=1 << 24)
        slow, out = self.pipe(app, ("slow", "copy"), max_buffer=100000)
        slow.pause()
        Finder("read", lambda data: app.fire(circuits_io.Write(data), "copy") and None,
               "in").register(app)
        reading.max_ahead = 200000
        writing.write(b"x" * 3000000)
        for _ in range(200):
            app.tick(0)
        self.assertLess(out.pending, 1000000)
        self.assertGreater(writing.pending, 1000000)
        writing.close()
        slow.resume()
        pump(app, lambda: reading.closed)
        pump(app, lambda: not out.pending)

    def test_seek_goes_back_in_order_with_writes(self):
        app, rec, _ = make_io_app()
        path = self.path(b"0123456789")
        file = circuits_io.File(path, "r+").register(app)
        pump(app, lambda: "eof" in rec.names)
        app.fire(circuits_io.Seek(2), "file")
        app.fire(circuits_io.Write("ab"), "file")
        app.fire(circuits_io.Seek(0), "file")
        pump(app, lambda: rec.names.count("eof") == 2)
        self.assertTrue(self.data(rec).endswith(b"01ab456789"))
        self.assertFalse(file.closed)
        self.assertEqual(file.tell(), 10)

    def test_a_pipe_cannot_seek_but_stays_open(self):
        app, rec, errors = make_io_app()
        reading, writing = self.pipe(app)
        app.fire(circuits_io.Seek(0), "in")
        pump(app, lambda: errors.seen)
        self.assertIsInstance(errors.seen[0][0], OSError)
        self.assertFalse(reading.closed)

    def test_without_autoclose_it_reads_what_is_added(self):
        app, rec, _ = make_io_app()
        path = self.path(b"one ")
        file = circuits_io.File(path, autoclose=False).register(app)
        pump(app, lambda: "eof" in rec.names)
        with open(path, "ab") as more:
            more.write(b"two")
        file.resume()
        pump(app, lambda: rec.names.count("eof") == 2)
        self.assertEqual(self.data(rec), b"one two")
        self.assertFalse(file.closed)

    def test_open_again_and_open_another(self):
        app, rec, _ = make_io_app()
        file = circuits_io.File(self.path(b"one")).register(app)
        pump(app, lambda: "closed" in rec.names)
        file.open()
        pump(app, lambda: rec.names.count("closed") == 2)
        app.fire(circuits_io.Open(self.path(b"two")), "file")
        pump(app, lambda: rec.names.count("closed") == 3)
        self.assertEqual(self.data(rec), b"oneonetwo")

    def test_files_on_one_channel_open_each_for_itself(self):
        app, rec, _ = make_io_app()
        circuits_io.File(self.path(b"one")).register(app)
        pump(app, lambda: "closed" in rec.names)
        circuits_io.File(self.path(b"two")).register(app)
        pump(app, lambda: rec.names.count("closed") == 2)
        pump(app)
        self.assertEqual(rec.names.count("opened"), 2)
        self.assertEqual(self.data(rec), b"onetwo")

    def test_a_file_object_gives_mode_place_and_name(self):
        app, rec, _ = make_io_app()
        source = open(self.path(b"line 1\nline 2\n"), encoding="latin-1")
        source.readline()
        file = circuits_io.File(source).register(app)
        pump(app, lambda: "closed" in rec.names)
        self.assertEqual(self.data(rec), b"line 2\n")
        self.assertEqual((file.mode, file.filename), ("r", source.name))
        self.assertTrue(source.closed)

    def test_a_file_object_without_a_number_works_too(self):
        app, rec, _ = make_io_app()
        for made, text in ((io.StringIO(), "h\u00e9"), (io.BytesIO(), "h\u00e9".encode())):
            file = circuits_io.File(made, "w", channel="memory").register(app)
            file.write("h\u00e9")
            file.close()
            pump(app, lambda: "closed" in rec.names)
            rec.clear()
            self.assertEqual(made.getvalue(), text)
        circuits_io.File(io.BytesIO(b"data"), channel="bytes").register(app)
        pump(app, lambda: self.data(rec, "bytes"))
        self.assertEqual(self.data(rec, "bytes"), b"data")

    def test_a_full_disk_is_one_error_and_the_rest_goes_on(self):
        app, rec, errors = make_io_app()
        full = circuits_io.File("/dev/full", "w", channel="full").register(app)
        other = circuits_io.File(self.path(), "w").register(app)
        full.write("x" * 100000)
        app.fire(circuits_io.Write("y"), "full")
        pump(app, lambda: errors.seen and not other.closed)
        value = app.fire(circuits_io.Write("z"), "full")
        other.write("goes on")
        other.close()
        pump(app, lambda: rec.names.count("closed") == 2)
        self.assertEqual(len(errors.seen), 1)
        self.assertEqual(errors.seen[0][0].errno, 28)
        self.assertIs(value.value, False)
        self.assertEqual(self.content(other.filename), b"goes on")

    def test_what_is_missing_or_a_folder_is_one_error(self):
        app, rec, errors = make_io_app(circuits_io.File("/nonexistent/file"), circuits_io.File(self.folder()))
        pump(app, lambda: len(errors.seen) == 2)
        pump(app)
        self.assertEqual({type(args[0]) for args in errors.seen},
                         {FileNotFoundError, IsADirectoryError})
        self.assertNotFired(rec, "opened", "closed")

    def test_permission_denied_is_one_error(self):
        out, _ = child("""
            import os, sys, concurrent.futures
            from circuits import BaseComponent, handler
            from circuits_io import File
            class App(BaseComponent):
                @handler("error", channel="*")
                def _on_error(self, *args):
                    print(*map(repr, args))
                    raise SystemExit(0)
            import select, traceback
            try:
                os.setuid(65534)
            except OSError:
                pass
            (App() + File(sys.argv[1])).run()
            """, self.secret())
        self.assertEqual(out, "PermissionError(13, 'Permission denied')\n")

    def secret(self):
        path = self.path(b"secret")
        os.chmod(os.path.dirname(path), 0o755)
        os.chmod(path, 0)
        return path

    def test_a_broken_pipe_is_one_error(self):
        app, rec, errors = make_io_app()
        reading, writing = self.pipe(app)
        reading.close()
        writing.write("x")
        app.fire(circuits_io.Write("y"), "out")
        pump(app, lambda: "error" in rec.names)
        pump(app)
        self.assertEqual([type(a[0]) for a in errors.seen], [BrokenPipeError])
        self.assertEqual(rec.names.count("closed"), 2)

    def test_signals_do_not_break_a_write(self):
        app, rec, errors = make_io_app()
        reading, writing = self.pipe(app)
        signal.signal(signal.SIGALRM, lambda *args: None)
        self.addCleanup(signal.signal, signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        writing.write(b"x" * 5000000)
        writing.close()
        pump(app, lambda: reading.closed)
        pump(app)
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.assertEqual(len(self.data(rec, "in")), 5000000)
        self.assertEqual(errors.seen, [])

    def test_a_slow_disk_does_not_hold_up_the_loop(self):
        app, rec, _ = make_io_app()
        going = threading.Event()
        real = circuits_io._Descriptor.read

        def slow(d, size):
            going.wait(PATIENCE)
            return real(d, size)

        circuits_io._Descriptor.read = slow
        self.addCleanup(setattr, circuits_io._Descriptor, "read", real)
        circuits_io.File(self.path(b"late")).register(app)
        pump(app, lambda: "opened" in rec.names)
        app.fire(Event.create("meanwhile"))
        pump(app, lambda: "meanwhile" in rec.names)
        self.assertNotFired(rec, "read")
        going.set()
        pump(app, lambda: "closed" in rec.names)
        self.assertEqual(self.data(rec), b"late")

    def test_closing_while_a_thread_reads_does_no_harm(self):
        app, rec, _ = make_io_app()
        going, began = threading.Event(), threading.Event()
        real = circuits_io._Descriptor.read

        def slow(d, size):
            began.set()
            going.wait(PATIENCE)
            return real(d, size)

        circuits_io._Descriptor.read = slow
        self.addCleanup(setattr, circuits_io._Descriptor, "read", real)
        before = open_numbers()
        file = circuits_io.File(self.path(b"late")).register(app)
        pump(app, began.is_set)
        file.close()
        pump(app, lambda: "closed" in rec.names)
        going.set()
        wait_for(lambda: len(open_numbers() - before) <= 3)     # the poller's own
        pump(app)
        self.assertEqual(self.data(rec), b"")
        self.assertEqual(rec.names.count("closed"), 1)

    def test_a_fifo_waits_for_its_reader(self):
        app, rec, _ = make_io_app()
        path = os.path.join(self.folder(), "fifo")
        os.mkfifo(path)
        writing = circuits_io.File(path, "w", channel="out").register(app)
        writing.write("through")
        writing.close()
        app.fire(Event.create("meanwhile"))
        pump(app, lambda: "meanwhile" in rec.names)
        self.assertNotFired(rec, "opened")
        circuits_io.File(path, channel="in").register(app)
        pump(app, lambda: "eof" in rec.names)
        self.assertEqual(self.data(rec, "in"), b"through")

    def test_a_fifo_that_nobody_reads_can_be_closed(self):
        app, rec, errors = make_io_app()
        path = os.path.join(self.folder(), "fifo")
        os.mkfifo(path)
        writing = circuits_io.File(path, "w").register(app)
        pump(app, lambda: writing._job is not None and writing._job.alone and writing._job.begun)
        writing.close()
        pump(app, lambda: "closed" in rec.names)
        self.assertEqual(errors.seen, [])

    def test_devices_that_no_poller_takes_are_read_by_a_thread(self):
        app, rec, _ = make_io_app()
        zero = circuits_io.File("/dev/zero", bufsize=1000).register(app)
        pump(app, lambda: len(rec.named("read")) > 10)
        zero.close()
        pump(app, lambda: "closed" in rec.names)
        null = circuits_io.File("/dev/null", "w").register(app)
        null.write("x" * 100000)
        null.close()
        pump(app, lambda: rec.names.count("closed") == 2)

    def test_close_is_told_once(self):
        app, rec, _ = make_io_app()
        file = circuits_io.File(self.path(), "w").register(app)
        pump(app, lambda: not file.closed)
        for _ in range(3):
            app.fire(circuits_io.Close(), "file")
            file.close()
        pump(app)
        self.assertEqual(rec.names.count("closed"), 1)
        self.assertRaises(ValueError, file.write, "late")

    def test_leaving_the_tree_writes_what_waits_and_closes(self):
        app, rec, _ = make_io_app()
        path = self.path()
        file = circuits_io.File(path, "w").register(app)
        pump(app, lambda: not file.closed)
        file.write("x" * 100000)
        file.unregister()
        pump(app, lambda: "unregistered" in rec.names)
        self.assertEqual(len(self.content(path)), 100000)
        self.assertTrue(file.closed)
        self.assertFired(rec, "prepare_unregister", "closed", "unregistered")

    def stuck(self):
        """(app, recorder, errors, File) with more to write than its pipe takes."""
        app, rec, errors = make_io_app()
        ours, theirs = os.pipe()
        self.addCleanup(os.close, ours)
        file = circuits_io.File(theirs, "w", linger=0.05).register(app)
        file.write(b"x" * 1000000)
        pump(app, lambda: not file.closed)
        return app, rec, errors, file

    def test_leaving_the_tree_gives_up_on_a_stuck_pipe(self):
        app, rec, errors, file = self.stuck()
        file.unregister()
        pump(app, lambda: "unregistered" in rec.names)
        self.assertEqual([a[0].errno for a in errors.seen], [errno.ETIMEDOUT])
        self.assertTrue(file.closed)

    def test_stopping_gives_up_on_a_stuck_pipe(self):
        app, rec, errors, file = self.stuck()
        with serving(app):
            pass
        self.assertEqual([a[0].errno for a in errors.seen], [errno.ETIMEDOUT])
        self.assertTrue(file.closed)

    def test_an_open_file_can_move_to_another_tree(self):
        app, rec, _ = make_io_app()
        reading, writing = self.pipe(app)
        other, rec2, _ = make_io_app()
        reading.register(other)
        pump(app)
        writing.write("moved")
        pump(other, lambda: self.data(rec2, "in") == b"moved")

    def test_many_files_leave_nothing_behind(self):
        app, rec, _ = make_io_app()
        path = self.path(b"x")
        before = open_numbers()
        files = [circuits_io.File(path).register(app) for _ in range(300)]
        pump(app, lambda: rec.names.count("closed") == 300)
        for file in files:
            file.unregister()
        pump(app)
        self.assertLessEqual(len(open_numbers() - before), 3)
        self.assertEqual(app._reactor.told, {})

    def test_a_line_protocol_makes_lines_of_it(self):
        from circuits_net import LP
        app, rec, _ = make_io_app()
        LP(channel="file").register(app)
        circuits_io.File(self.path(b"one\r\ntwo\nthree\n"), bufsize=5).register(app)
        pump(app, lambda: "closed" in rec.names)
        pump(app)
        self.assertEqual([e.args[0] for e in rec.named("line")], ["one", "two", "three"])

    def test_a_running_tree_takes_writes_from_other_threads(self):
        path = self.path()
        rec = Recorder()
        app = Component() + rec + circuits_io.File(path, "w")
        with serving(app):
            def write():
                for _ in range(100):
                    app.fire(circuits_io.Write(b"x" * 10), "file")

            threads = [threading.Thread(target=write) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(self.content(path), b"x" * 4000)       # stopping wrote the rest

    def test_wrong_data_is_refused(self):
        file = circuits_io.File("x", "w")
        self.assertRaises(TypeError, file.write, 5)
        self.assertRaises(ValueError, circuits_io.File("x", "r").write, "x")

    def test_repr_tells_the_state(self):
        self.assertEqual(repr(circuits_io.File("x", channel="c")), "<File/c 'x' r, closed>")


class TestFileByThreads(CircuitsTest):
    """Pipes that no poller takes, as on Windows."""

    pipe = TestFile.pipe
    data = TestFile.data

    def setUp(self):
        real = circuits_io._is_pollable
        circuits_io._is_pollable = lambda number: False
        self.addCleanup(setattr, circuits_io, "_is_pollable", real)

    def test_a_pipe_carries_everything(self):
        app, rec, errors = make_io_app()
        reading, writing = self.pipe(app)
        data = os.urandom(1000000)
        writing.write(data)
        app.fire(circuits_io.Write("tail"), "out")
        app.fire(circuits_io.Close(), "out")
        pump(app, lambda: reading.closed and writing.closed)
        pump(app)
        self.assertEqual(self.data(rec, "in"), data + b"tail")
        self.assertEqual(errors.seen, [])

    def test_one_that_nobody_writes_to_can_be_closed(self):
        app, rec, errors = make_io_app()
        reading, writing = self.pipe(app)
        pump(app, lambda: reading._job is not None and reading._job.begun)
        reading.close()
        self.assertTrue(reading.closed)
        writing.write("x")
        writing.close()
        pump(app, lambda: writing.closed)
        self.assertEqual(self.data(rec, "in"), b"")


class TestStandardStreams(CircuitsTest):

    CAT = """
        import os, sys
        from circuits import Component, Event, handler
        import circuits_io
        from circuits_io import stdin, stdout, Write

        class Cat(Component):
            out, source = stdout, stdin

            @handler("read", channel="stdin")
            def _on_read(self, data):
                yield self.call(Write(data), self.out)

            @handler("closed", channel="stdin")
            def _on_closed(self):
                raise SystemExit(0)

        print("first")
        Cat().run()
        """

    def test_cat_copies_everything_and_ends(self):
        text = "line\n" * 200000
        out, err = child(self.CAT, stdin=text)
        self.assertEqual(out, "first\n" + text)
        self.assertEqual(err, "")

    def test_shared_descriptors_stay_as_they_are(self):
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(self.CAT)],
                                   stdin=theirs, stdout=theirs, stderr=theirs, cwd=HERE)
        seen = b""
        os.write(ours, b"hello\n")
        while seen.count(b"hello") < 2:             # the echo, and the copy
            self.assertTrue(os.get_blocking(theirs))
            seen += os.read(ours, 1000)
        self.assertTrue(os.get_blocking(theirs))
        os.write(ours, b"\x04")
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertTrue(os.get_blocking(theirs))

    def test_output_at_the_end_is_not_lost(self):
        out, _ = child("""
            from circuits import Component
            from circuits_io import stdout, Write
            class App(Component):
                out = stdout
                def started(self, *args):
                    self.fire(Write("x" * 500000 + "!"), self.out)
                    raise SystemExit(0)
                def stopped(self, *args):
                    self.fire(Write("bye"), self.out)
            App().run()
            """)
        self.assertEqual((len(out), out[-4:]), (500004, "!bye"))

    def test_streams_are_made_on_first_use(self):
        out, err = child("""
            import sys
            keep = sys.stdout
            class Untouched:
                def __getattr__(self, name): raise SystemExit("touched: " + name)
            sys.stdin = sys.stdout = sys.stderr = Untouched()
            import circuits_io
            assert "stdout" not in vars(circuits_io)
            sys.stdin = sys.stdout = sys.stderr = None
            from circuits_io import stdin, stdout, File, Close
            from circuits import Component, handler
            class App(Component):
                def started(self, *args):
                    stdin.register(self); stdout.register(self)
                    stdout.write("nowhere")
                @handler("closed", channel="stdin")
                def _on_closed(self):
                    raise SystemExit(0)
            try:
                App().run()
            except SystemExit:
                keep.write("fine")
                keep.flush()
            assert circuits_io.stdin is stdin
            """)
        self.assertEqual((out, err), ("fine", ""))

    def test_a_stream_stays_open_for_the_process(self):
        out, _ = child("""
            from circuits import Component
            from circuits_io import stdout, Write
            class App(Component):
                out = stdout
                def started(self, *args):
                    self.fire(Write("one\\n"), self.out)
                    raise SystemExit(0)
            try: App().run()
            except SystemExit: print("two")
            """)
        self.assertEqual(out, "one\ntwo\n")


class TestProcess(CircuitsTest):

    def run_one(self, *args, until=None, **options):
        """Run a process to its end; returns (process, recorder, errors)."""
        app, rec, errors = make_io_app()
        process = circuits_io.Process(*args, **options).register(app)
        self.addCleanup(self.end, process)
        process.start()
        if until is not None:
            pump(app, lambda: until(process))
        else:
            pump(app, lambda: not process.alive)
            pump(app)
        return process, rec, errors

    def end(self, process):
        if process.alive:
            process.kill()
            pump(process.root, lambda: not process.alive)

    def app_of(self, process):
        return process.root

    def test_events_come_in_the_documented_order(self):
        app, rec, _ = make_io_app()
        process = circuits_io.Process(["cat"]).register(app)
        app.fire(circuits_io.Start(), "process")
        app.fire(circuits_io.Write(b"hello"), "process")
        app.fire(circuits_io.Close(), "process")
        pump(app, lambda: not process.alive and process.p)
        pump(app)
        pid = process.p.pid
        self.assertFired(rec, "start", "write", "close", "registered", "started", "write", "close",
                         "read", "terminated", "stopped")
        where = [(e.name, e.channels[0]) for e in rec.events]
        for name, channel in (("started", "process"), ("write", "%d.stdin" % pid),
                              ("read", "%d.stdout" % pid), ("eof", "%d.stdout" % pid),
                              ("closed", "%d.stderr" % pid)):
            self.assertIn((name, channel), where)
        last = max(i for i, e in enumerate(rec.events) if e.name == "closed")
        self.assertLess(last, rec.names.index("terminated"))
        for name in ("started", "terminated", "stopped"):
            self.assertEqual([e.args for e in rec.named(name)], [[process]])
        self.assertEqual(process.stdout.getvalue(), b"hello")
        self.assertEqual(process.status, 0)
        self.assertEqual(len(process.components), 0)

    def test_status_and_both_outputs_are_collected(self):
        process, _, _ = self.run_one("echo out; echo err >&2; exit 3", shell=True)
        self.assertEqual((process.stdout.getvalue(), process.stderr.getvalue(), process.status),
                         (b"out\n", b"err\n", 3))

    def test_folder_and_environment_are_its_own(self):
        folder = os.path.realpath(self.folder())
        process, _, _ = self.run_one(["sh", "-c", "pwd; echo $X"], cwd=folder, env={"X": "y"})
        self.assertEqual(process.stdout.getvalue().decode(), "%s\ny\n" % folder)

    def test_collected_output_is_limited_but_told(self):
        process, rec, _ = self.run_one(["head", "-c", "100000", "/dev/zero"], max_output=1000)
        self.assertEqual(len(process.stdout.getvalue()), 1000)
        self.assertTrue(process.truncated)
        self.assertEqual(sum(len(e.args[0]) for e in rec.named("read")), 100000)

    def test_wait_gives_the_status_and_blocks_nothing(self):
        class App(Component):
            def init(self):
                self.results = []

            def go(self, process):
                process.start()
                self.results.append((yield process.wait()))
                self.results.append((yield self.call(circuits_io.Wait(), "process")).value)

        app, rec, _ = make_io_app()
        worker = App().register(app)
        process = circuits_io.Process(["sh", "-c", "read x; exit 4"]).register(app)
        app.fire(Event.create("go", process))
        pump(app, lambda: process.alive)
        app.fire(Event.create("meanwhile"))
        pump(app, lambda: "meanwhile" in rec.names)
        self.assertEqual(worker.results, [])
        process.close()
        pump(app, lambda: len(worker.results) == 2)
        self.assertEqual(worker.results, [4, 4])

    def test_a_missing_command_is_one_error(self):
        process, rec, errors = self.run_one(["/nonexistent/command"])
        self.assertEqual([type(a[0]) for a in errors.seen], [FileNotFoundError])
        self.assertNotFired(rec, "started", "terminated", "stopped")
        process.args = ["true"]
        process.start()
        pump(process.root, lambda: not process.alive)
        self.assertEqual(process.status, 0)

    def test_what_may_not_be_run_is_one_error(self):
        process, rec, errors = self.run_one([os.path.join(self.folder(tool="x"), "tool")])
        self.assertEqual([type(a[0]) for a in errors.seen], [PermissionError])

    def test_one_that_ignores_sigterm_is_killed(self):
        process, _, _ = self.run_one("trap '' TERM; echo ready; while :; do sleep 1; done",
                                     shell=True, kill_after=0.1,
                                     until=lambda p: p.stdout.getvalue())
        process.root.fire(circuits_io.Stop(), "process")
        pump(process.root, lambda: not process.alive)
        self.assertEqual(process.status, -signal.SIGKILL)

    def test_what_it_started_dies_with_it(self):
        process, _, _ = self.run_one("(sleep 1000; echo no) | (echo $$; sleep 1000 & echo $!; cat)",
                                     shell=True,
                                     until=lambda p: p.stdout.getvalue().count(b"\n") == 2)
        grandchild = int(process.stdout.getvalue().split()[1])
        process.stop()
        pump(process.root, lambda: not process.alive)
        wait_for(lambda: not circuits_io._is_alive(grandchild))
        self.assertEqual(process.status, -signal.SIGTERM)

    def test_signals_reach_it_but_not_those_of_the_system(self):
        process, _, _ = self.run_one(
            "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.01; done", shell=True,
            until=lambda p: b"ready" in p.stdout.getvalue())
        app = process.root
        app.fire(circuits.Signal(signal.SIGTERM, None), "*")
        pump(app)
        app.fire(circuits_io.Signal(signal.SIGUSR1), "process")
        pump(app, lambda: b"usr1" in process.stdout.getvalue())
        self.assertTrue(process.alive)
        app.fire(circuits_io.Kill(), "process")
        pump(app, lambda: not process.alive)
        self.assertIs(process.signal(signal.SIGTERM), False)

    def test_a_timeout_is_an_error_and_stops_it(self):
        process, _, errors = self.run_one(["sleep", "1000"], timeout=0.05)
        self.assertEqual([type(a[0]) for a in errors.seen], [circuits.TimeoutError])
        self.assertTrue(process.timed_out)
        self.assertEqual(process.status, -signal.SIGTERM)

    def test_closing_its_output_early_ends_it(self):
        process, rec, errors = self.run_one(["yes"], until=lambda p: p.stdout.getvalue())
        process.root.fire(circuits_io.Close(), "%d.stdout" % process.p.pid)
        pump(process.root, lambda: not process.alive)
        self.assertEqual(process.status, -signal.SIGPIPE)
        self.assertEqual(errors.seen, [])

    def test_a_pipeline_that_closes_early_ends(self):
        process, _, errors = self.run_one("yes | head -n 1", shell=True)
        self.assertEqual((process.stdout.getvalue(), process.status), (b"y\n", 0))
        self.assertEqual(errors.seen, [])

    def test_writing_to_one_that_closed_its_input_is_one_error(self):
        process, rec, errors = self.run_one("exec <&-; echo closed; sleep 1000", shell=True,
                                            until=lambda p: p.stdout.getvalue())
        for _ in range(3):
            process.root.fire(circuits_io.Write(b"x" * 100000), "process")
        pump(process.root, lambda: errors.seen)
        pump(process.root)
        self.assertEqual([type(a[0]) for a in errors.seen], [BrokenPipeError])
        self.assertTrue(process.alive)

    def test_a_daemon_that_keeps_its_pipes_does_not_hold_the_end_up(self):
        process, rec, _ = self.run_one("setsid sleep 1000 & echo $!", shell=True, linger=0.1)
        self.addCleanup(os.kill, int(process.stdout.getvalue()), signal.SIGKILL)
        self.assertEqual(process.status, 0)
        self.assertEqual(rec.names.count("terminated"), 1)

    def test_what_is_there_at_the_end_is_read_however_late(self):
        heard = Recorder("_read")           # so that there are events, which wait in the queue
        app, rec, _ = make_io_app(heard)
        process = circuits_io.Process(["echo", "x"], linger=0).register(app)
        process.start()
        wait_for(lambda: not circuits_io._is_alive(process.p.pid))
        pump(app, lambda: not process.alive)
        self.assertEqual(process.stdout.getvalue(), b"x\n")

    def slow_reader(self):
        """(app, reader, process) that has ended; there is more of it than is read ahead."""
        class Reader(Component):
            size, ready = 0, False

            @handler("read", channel="*")
            def _on_read(self, data):
                self.size += len(data)
                while not self.ready:
                    yield sleep(1)
        app, reader = Component(), Reader()
        app.clock = FakeClock()
        app += reader
        process = circuits_io.Process(["head", "-c", "1300000", "/dev/zero"]).register(app)
        process.start()
        pump(app, lambda: process._exit is None and "linger" in process._timers)
        return app, reader, process

    def test_a_slow_reader_gets_all_of_it(self):
        app, reader, process = self.slow_reader()
        for _ in range(20):
            app.clock.advance(circuits_io.LINGER)
            for _ in range(3):
                app.tick(0)
        self.assertTrue(process.alive)
        reader.ready = True
        app.clock.advance(1)
        pump(app, lambda: not process.alive)
        pump(app)
        self.assertEqual(reader.size, 1300000)

    def test_a_slow_reader_does_not_keep_it_in_the_tree(self):
        app, reader, process = self.slow_reader()
        process.unregister()
        pump(app)
        app.clock.advance(circuits_io.LINGER)
        pump(app, lambda: process not in app)
        self.assertFalse(process.alive)

    def test_a_hundred_megabytes_both_ways_in_bounded_memory(self):
        out, _ = child("""
            import hashlib, os, resource, sys
            from circuits import Component, handler
            from circuits_io import Process, Write, Close
            class App(Component):
                def init(self):
                    self.cat = Process(["cat"], max_output=0).register(self)
                    self.sent, self.got, self.size = hashlib.md5(), hashlib.md5(), 0
                def started(self, component):
                    if component is not self:
                        return
                    self.cat.start()
                    for _ in range(1600):
                        piece = os.urandom(16) * 4096
                        self.sent.update(piece)
                        yield self.call(Write(piece), "process")
                    self.fire(Close(), "process")
                @handler("read", channel="*")
                def _on_read(self, data):
                    self.got.update(data)
                    self.size += len(data)
                @handler("terminated", channel="*")
                def _on_terminated(self, process):
                    raise SystemExit(0)
            app = App()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            try: app.run()
            except SystemExit: pass
            more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            print(app.size, app.sent.digest() == app.got.digest(), more < 90000 or more)
            """)
        self.assertEqual(out, "%d True True\n" % (1600 * 65536))

    def many(self, count):
        app, rec, errors = make_io_app()
        before = open_numbers()
        processes = [circuits_io.Process(["sh", "-c", "echo %d; exit %d" % (i, i % 7)]).register(app)
                     for i in range(count)]
        for process in processes:
            process.start()
        pump(app, lambda: not any(process.alive for process in processes))
        pump(app)
        for i, process in enumerate(processes):
            self.assertEqual((process.stdout.getvalue(), process.status), (b"%d\n" % i, i % 7))
            self.assertRaises(ChildProcessError, os.waitpid, process.p.pid, os.WNOHANG)
        self.assertLessEqual(len(open_numbers() - before), 3)       # the poller's
        self.assertEqual(errors.seen, [])

    def test_two_hundred_at_once(self):
        self.many(200)

    def test_without_pidfd_threads_wait(self):
        real = getattr(os, "pidfd_open", None)
        if real is not None:
            del os.pidfd_open
            self.addCleanup(setattr, os, "pidfd_open", real)
        self.many(20)

    def test_other_children_keep_their_status(self):
        other = subprocess.Popen(["sh", "-c", "exit 5"])
        self.run_one(["true"])
        self.assertEqual(other.wait(), 5)

    def test_a_terminal_program_runs_on_a_terminal(self):
        process, _, errors = self.run_one("tty; read x; stty size; cat", shell=True, pty=True,
                                          until=lambda p: b"/dev/" in p.stdout.getvalue())
        process.resize(33, 99)
        process.write("go\n")
        pump(process.root, lambda: b"33 99" in process.stdout.getvalue())
        process.close()
        pump(process.root, lambda: not process.alive)
        self.assertEqual(process.status, 0)
        self.assertEqual(errors.seen, [])

    def test_interrupting_at_the_terminal(self):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)   # what a shell starts with & ignores it
        process, _, _ = self.run_one(["cat"], pty=True, until=lambda p: p.alive)
        pump(process.root, lambda: not process._files["stdin"].closed)
        process.write("\x03")
        pump(process.root, lambda: not process.alive)
        self.assertEqual(process.status, -signal.SIGINT)

    def test_it_can_be_started_again(self):
        process, rec, _ = self.run_one(["echo", "x"])
        process.start()
        self.assertRaises(RuntimeError, process.start)
        pump(process.root, lambda: not process.alive)
        pump(process.root)
        self.assertEqual(process.stdout.getvalue(), b"x\n")
        self.assertEqual(rec.names.count("terminated"), 2)

    def test_before_it_starts(self):
        process = circuits_io.Process(["true"])
        self.assertIs(process.kill(), False)
        self.assertIsNone(process.status)
        self.assertRaises(RuntimeError, process.write, "x")
        self.assertIn("new", repr(process))

    def test_the_end_of_a_process_is_not_the_end_of_the_system(self):
        app, rec, errors = make_io_app()
        path = os.path.join(self.folder(), "file")
        file, watcher = circuits_io.File(path, "w").register(app), circuits_io.Notify().register(app)
        watcher.add_path(os.path.dirname(path))
        daemon = circuits_io.Daemon(os.path.join(self.folder(), "pid"), foreground=True).register(app)
        process = circuits_io.Process(["true"]).register(app)
        pump(app, lambda: not file.closed)
        process.start()
        pump(app, lambda: "stopped" in rec.names)
        pump(app)
        self.assertFalse(file.closed)
        self.assertIsNotNone(watcher._native)
        self.assertFalse(daemon._done)
        self.assertEqual(errors.seen, [])

    def test_leaving_the_tree_stops_it(self):
        process, rec, _ = self.run_one(["sleep", "1000"], until=lambda p: p.alive)
        app = process.root
        process.unregister()
        pump(app, lambda: "unregistered" in [e.name for e in rec.events if e.args[:1] == [process]])
        self.assertEqual(process.status, -signal.SIGTERM)

    def test_the_end_of_the_system_stops_it(self):
        out, _ = child("""
            import os
            from circuits import Component, handler
            from circuits_io import Process
            class App(Component):
                def init(self):
                    self.all = [Process(["sleep", "1000"]).register(self) for _ in range(3)]
                def started(self, component):
                    if component is self:
                        for process in self.all:
                            process.start()
                        raise SystemExit(0)
            app = App()
            try: app.run()
            except SystemExit: print([process.status for process in app.all])
            """)
        self.assertEqual(out, "[-15, -15, -15]\n")


class NotifyTest(CircuitsTest):
    """What tests of watching share."""

    polling = None

    def watch(self, folder=None, **options):
        """(folder, app, recorder, errors, Notify) with the folder watched."""
        folder = os.path.realpath(folder or self.folder())
        app, rec, errors = make_io_app()
        notify = circuits_io.Notify(polling=self.polling, interval=0.02).register(app)
        self.addCleanup(notify._close)
        notify.add_path(folder, **options)
        pump(app)
        rec.clear()
        return folder, app, rec, errors, notify

    def told(self, rec, name):
        return [tuple(e.args) for e in rec.named(name)]

    def write(self, *names, text="x"):
        path = os.path.join(*names)
        with open(path, "w") as file:
            file.write(text)
        return path


class TestNotify(NotifyTest):

    def test_what_is_made_changed_and_removed_is_told(self):
        folder, app, rec, _, _ = self.watch()
        path = self.write(folder, "file")
        pump(app, lambda: "created" in rec.names)
        self.write(folder, "file", text="longer")
        pump(app, lambda: "modified" in rec.names)
        os.remove(path)
        pump(app, lambda: "deleted" in rec.names)
        expected = [("file", folder, path, False)]
        self.assertEqual(self.told(rec, "created"), expected)
        self.assertEqual(set(self.told(rec, "modified")), set(expected))
        self.assertEqual(self.told(rec, "deleted"), expected)

    def test_a_rename_is_paired(self):
        folder, app, rec, _, _ = self.watch(recursive=True)
        source, destination = os.path.join(folder, "a"), os.path.join(folder, "b")
        os.mkdir(source)
        self.write(source, "inside")
        pump(app, lambda: len(rec.named("created")) == 2)
        os.rename(source, destination)
        pump(app, lambda: "renamed" in rec.names)
        self.assertEqual(self.told(rec, "renamed"), [(source, destination, True)])
        self.assertEqual(self.told(rec, "moved"), [("a", folder, source, True),
                                                   ("b", folder, destination, True)])
        rec.clear()
        self.write(destination, "later")
        pump(app, lambda: "created" in rec.names)
        self.assertEqual(self.told(rec, "created")[0][1], destination)

    def test_every_file_in_new_nested_folders_is_told_once(self):
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None      # disks may be slow
        folder = tempfile.mkdtemp(dir=memory)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        folder, app, rec, errors, _ = self.watch(folder, recursive=True)
        maker = subprocess.Popen([sys.executable, "-c", textwrap.dedent("""
            import os, sys
            for i in range(100):
                path = os.path.join(sys.argv[1], "a%d" % (i % 10), "b%d" % i, "c")
                os.makedirs(path)
                for j in range(100):
                    open(os.path.join(path, "f%d" % j), "w").close()
            """), folder])
        files = []
        Finder("created", lambda *args: args[3] or files.append(args), "notify").register(app)
        pump(app, lambda: len(files) >= 10000, rounds=10 ** 6)
        self.assertEqual(maker.wait(), 0)
        pump(app)
        created = [e.args[2] for e in rec.named("created")]
        self.assertEqual((len(created), len(set(created))), (10210, 10210))
        self.assertEqual(errors.seen, [])

    def test_a_deleted_watched_folder_is_one_error(self):
        folder, app, rec, errors, notify = self.watch(recursive=True)
        other = os.path.realpath(self.folder())
        notify.add_path(other)
        os.makedirs(os.path.join(folder, "a", "b"))
        pump(app, lambda: "created" in rec.names)
        shutil.rmtree(folder)
        pump(app, lambda: errors.seen)
        pump(app)
        self.assertEqual([type(a[0]) for a in errors.seen], [FileNotFoundError])
        self.assertEqual(errors.seen[0][0].filename, folder)
        self.write(other, "goes on")
        pump(app, lambda: "goes on" in [a[0] for a in self.told(rec, "created")])

    def test_a_missing_path_is_one_error(self):
        app, rec, errors = make_io_app()
        notify = circuits_io.Notify(polling=self.polling).register(app)
        notify.add_path("/nonexistent/folder")
        pump(app)
        self.assertEqual([type(a[0]) for a in errors.seen], [FileNotFoundError])

    def test_a_mask_chooses(self):
        folder, app, rec, _, _ = self.watch(mask=(circuits_io.Deleted,))
        os.remove(self.write(folder, "file"))
        self.write(folder, "other")
        os.remove(os.path.join(folder, "other"))
        if self.polling is None:
            pump(app, lambda: len(rec.named("deleted")) == 2)
        self.assertNotFired(rec, "created", "modified", "opened", "closed")

    def test_add_and_remove_are_events_too(self):
        folder, app, rec, _, notify = self.watch()
        other = os.path.realpath(self.folder())
        app.fire(circuits_io.AddPath(other), "notify")
        app.fire(circuits_io.RemovePath(folder), "notify")
        pump(app)
        self.write(folder, "unseen")
        self.write(other, "seen")
        pump(app, lambda: "created" in rec.names)
        self.assertEqual([a[0] for a in self.told(rec, "created")], ["seen"])
        self.assertRaises(KeyError, notify.remove_path, folder)

    def test_one_file_can_be_watched(self):
        folder, app, rec, _, notify = self.watch()
        notify.remove_path(folder)
        path = self.write(folder, "file")
        notify.add_path(path)
        self.write(folder, "file", text="changed")
        pump(app, lambda: "modified" in rec.names)
        self.assertEqual(self.told(rec, "modified")[0], ("", path, path, False))

    def test_leaving_the_tree_closes_it(self):
        before = open_numbers()
        folder, app, rec, _, notify = self.watch()
        notify.unregister()
        pump(app, lambda: "unregistered" in rec.names)
        self.assertLessEqual(len(open_numbers() - before), 3)


class TestNotifyByScanning(TestNotify):

    polling = True

    def test_a_new_file_with_the_number_of_an_old_one_is_new(self):
        folder, app, rec, _, notify = self.watch()
        compare = notify._scanner._compare
        old, new = os.path.join(folder, "old"), os.path.join(folder, "new")
        mask = circuits_io.MASK
        compare(folder, mask, {old: ((1, 5), False, 10, 3)}, {new: ((1, 5), False, 20, 3)})
        compare(folder, mask, {old: ((1, 6), False, 10, 3)}, {new: ((1, 6), False, 10, 3)})
        pump(app)
        self.assertEqual([n for n in rec.names if n != "modified"][:5],
                         ["created", "deleted", "moved", "moved", "renamed"])

    def test_without_auto_add_what_is_there_is_not_lost(self):
        folder = self.folder()
        os.makedirs(os.path.join(folder, "sub"))
        self.write(folder, "sub", "file")
        folder, app, rec, _, _ = self.watch(folder, recursive=True, auto_add=False)
        self.write(folder, "news")
        pump(app, lambda: "created" in rec.names)
        self.assertNotFired(rec, "deleted")


class TestNotifyByKqueue(NotifyTest):
    """The kqueue back end on a system call that a pipe plays."""

    def setUp(self):
        import select
        test = self
        test.watched = {}

        class Queue:
            def __init__(self):
                self.pipe = os.pipe()
                os.set_blocking(self.pipe[0], False)
                test.queue = self

            def fileno(self):
                return self.pipe[0]

            def control(self, changes, count, timeout=None):
                for number in changes or ():
                    test.watched[number] = os.readlink("/proc/self/fd/%d" % number)
                try:
                    return [1] if count and os.read(self.pipe[0], 100) else []
                except BlockingIOError:
                    return []

            def close(self):
                os.close(self.pipe[0])
                os.close(self.pipe[1])

        fake = dict(kqueue=Queue, kevent=lambda number, *args: number, KQ_FILTER_VNODE=0)
        fake.update({name: 0 for name in ("KQ_EV_ADD", "KQ_EV_CLEAR", "KQ_NOTE_WRITE",
                     "KQ_NOTE_EXTEND", "KQ_NOTE_ATTRIB", "KQ_NOTE_DELETE", "KQ_NOTE_RENAME")})
        for name, value in fake.items():
            self.assertFalse(hasattr(select, name))
            setattr(select, name, value)
            self.addCleanup(delattr, select, name)
        real = circuits_io._Inotify
        circuits_io._Inotify = None                 # another system
        self.addCleanup(setattr, circuits_io, "_Inotify", real)

    def test_a_sign_of_change_leads_to_a_scan(self):
        folder, app, rec, errors, notify = self.watch(recursive=True)
        self.assertIn(folder, self.watched.values())
        other = os.path.realpath(self.folder())
        notify.add_path(other)
        self.assertLessEqual({folder, other}, set(notify._native.kqueue._files))
        os.mkdir(os.path.join(folder, "new"))
        self.write(folder, "new", "file")
        os.write(self.queue.pipe[1], b"!")
        pump(app, lambda: len(rec.named("created")) == 2)
        pump(app, lambda: os.path.join(folder, "new", "file") in self.watched.values())
        self.write(folder, "new", "file", text="longer")
        os.write(self.queue.pipe[1], b"!")
        pump(app, lambda: "modified" in rec.names)
        shutil.rmtree(folder)
        os.write(self.queue.pipe[1], b"!")
        pump(app, lambda: errors.seen)
        self.assertEqual(len(rec.named("deleted")), 3)


class TestInotify(NotifyTest):
    """What only the system call can tell."""

    polling = False

    def test_opening_and_closing_are_told(self):
        folder, app, rec, _, _ = self.watch()
        path = self.write(folder, "file")
        open(path).close()
        pump(app, lambda: rec.names.count("closed") == 2)
        self.assertFired(rec, "created", "opened", "modified", "closed", "opened", "closed")

    def test_what_was_missed_in_an_overflow_is_told(self):
        folder, app, rec, errors, notify = self.watch(recursive=True)
        old = self.write(folder, "old")
        os.mkdir(os.path.join(folder, "known"))
        pump(app, lambda: len(rec.named("created")) == 2)
        rec.clear()
        os.remove(old)
        os.makedirs(os.path.join(folder, "new", "deep"))
        self.write(folder, "known", "file")
        self.write(folder, "new", "deep", "file")
        watcher = notify._native
        watcher.system.read()                       # the events are lost
        watcher.system.read = lambda: [(-1, circuits_io._Q_OVERFLOW, 0, "")]
        watcher.ready()
        del watcher.system.read
        pump(app)
        self.assertFired(rec, "overflow", "deleted")
        self.assertFired(rec, "overflow", "created")
        self.assertEqual([a[2] for a in self.told(rec, "deleted")], [old])
        self.assertEqual({os.path.relpath(a[2], folder) for a in self.told(rec, "created")},
                         {"new", "new/deep", "new/deep/file", "known/file"})
        rec.clear()
        self.write(folder, "new", "deep", "later")
        pump(app, lambda: "created" in rec.names)

    def test_what_ended_in_an_overflow_is_told_too(self):
        folder, app, rec, errors, notify = self.watch(recursive=True)
        os.mkdir(os.path.join(folder, "known"))
        pump(app, lambda: "created" in rec.names)
        shutil.rmtree(folder)
        watcher = notify._native
        watcher.system.read()
        watcher.system.read = lambda: [(-1, circuits_io._Q_OVERFLOW, 0, "")]
        watcher.ready()
        del watcher.system.read
        pump(app)
        self.assertEqual([type(a[0]) for a in errors.seen], [FileNotFoundError])
        self.assertEqual((watcher.watches, watcher.numbers), ({}, {}))

    def test_a_folder_that_moves_away_is_watched_no_more(self):
        folder, app, rec, _, notify = self.watch(recursive=True)
        outside = os.path.realpath(self.folder())
        os.makedirs(os.path.join(folder, "a", "b"))
        pump(app, lambda: len(notify._native.watches) == 3)
        os.rename(os.path.join(folder, "a"), os.path.join(outside, "a"))
        pump(app, lambda: len(notify._native.watches) == 1)
        os.rename(os.path.join(outside, "a"), os.path.join(folder, "back"))
        pump(app, lambda: len(notify._native.watches) == 3)
        pump(app)
        self.assertIn(os.path.join(folder, "back", "b"),
                      [a[2] for a in self.told(rec, "created")])
        self.assertNotFired(rec, "renamed")

    def test_a_folder_that_may_not_be_read_is_one_error(self):
        folder, app, rec, errors, notify = self.watch()
        for name in ("a", "b", "c"):
            os.mkdir(os.path.join(folder, name))
        real = notify._native.system.add

        def refuse(path, mask):
            if path != folder and not path.endswith("c"):
                raise PermissionError(13, "Permission denied", path)
            return real(path, mask)

        notify._native.system.add = refuse
        notify.add_path(folder, recursive=True)
        pump(app)
        self.assertEqual([type(a[0]) for a in errors.seen], [PermissionError])
        rec.clear()
        self.write(folder, "c", "seen")
        pump(app, lambda: "seen" in [a[0] for a in self.told(rec, "created")])

    def test_file_systems_that_do_not_tell_are_scanned(self):
        self.assertTrue(circuits_io._is_mute("/proc/self"))
        self.assertFalse(circuits_io._is_mute(self.folder()))


class TestSerial(CircuitsTest):

    def pair(self, **options):
        """(app, recorder, errors, Serial, File of the other side), open."""
        ours, theirs = os.openpty()
        os.set_blocking(ours, False)
        app, rec, errors = make_io_app()
        port = circuits_io.Serial(os.ttyname(theirs), **options).register(app)
        other = circuits_io.File(ours, "r+", channel="other").register(app)
        pump(app, lambda: not port.closed and not other.closed)
        os.close(theirs)
        return app, rec, errors, port, other

    def data(self, rec, channel):
        return [e.args[0] for e in rec.named("read") if e.channels == (channel,)]

    def test_bytes_go_both_ways_unchanged(self):
        app, rec, errors, port, other = self.pair()
        every = bytes(range(256))
        port.write(every)
        other.write(every)
        pump(app, lambda: b"".join(self.data(rec, "serial")) == every
             and b"".join(self.data(rec, "other")) == every)
        self.assertEqual(self.opened(rec), [port.port, 115200])
        self.assertEqual(errors.seen, [])

    def opened(self, rec):
        return [e.args for e in rec.named("opened") if e.channels == ("serial",)][0]

    def test_line_mode_tells_whole_lines(self):
        app, rec, _, port, other = self.pair(readline=True, timeout=0.05)
        other.write("one\r\ntw")
        pump(app, lambda: self.data(rec, "serial"))
        other.write("o\n")
        pump(app, lambda: len(self.data(rec, "serial")) == 2)
        other.write("silence")
        pump(app, lambda: len(self.data(rec, "serial")) == 3)
        self.assertEqual(self.data(rec, "serial"), [b"one\r\n", b"two\n", b"silence"])

    def test_settings_are_set(self):
        import termios
        seen = []                   # a pseudo-terminal knows no parity
        real = termios.tcsetattr
        termios.tcsetattr = lambda number, when, attributes: seen.append(attributes)
        self.addCleanup(setattr, termios, "tcsetattr", real)
        self.pair(baudrate=9600, bytesize=7, parity="E", stopbits=2, xonxoff=True, rtscts=True)
        iflag, _, cflag, lflag, ispeed, ospeed, _ = seen[0]
        self.assertEqual((ispeed, ospeed), (termios.B9600, termios.B9600))
        for flag in ("CS7", "PARENB", "CSTOPB", "CRTSCTS", "CLOCAL"):
            self.assertTrue(cflag & getattr(termios, flag), flag)
        self.assertFalse(cflag & termios.PARODD)
        self.assertTrue(iflag & termios.IXON)
        self.assertFalse(lflag & (termios.ECHO | termios.ICANON))

    def test_settings_are_checked(self):
        for wrong in ({"baudrate": 12345}, {"bytesize": 9}, {"parity": "X"}, {"stopbits": 3}):
            self.assertRaises(ValueError, circuits_io.Serial, "/dev/null", **wrong)
        self.assertRaises(TypeError, circuits_io.Serial, 5)

    def test_what_is_no_port_is_one_error(self):
        app, rec, errors = make_io_app(circuits_io.Serial("/dev/null"), circuits_io.Serial("/nonexistent/port"))
        pump(app, lambda: len(errors.seen) == 2)
        pump(app)
        self.assertEqual({a[0].errno for a in errors.seen}, {2, 25})

    def test_two_programs_cannot_share_a_port(self):
        app, rec, errors, port, _ = self.pair()
        circuits_io.Serial(port.port, channel="second").register(app)
        pump(app, lambda: errors.seen)
        self.assertEqual(errors.seen[0][0].errno, 16)

    def test_a_device_that_goes_away_closes_the_port(self):
        app, rec, errors, port, other = self.pair()
        other.close()
        pump(app, lambda: port.closed)
        pump(app)
        self.assertIn([port.port], [e.args for e in rec.named("closed")])
        self.assertEqual(errors.seen, [])

    def test_where_there_is_no_termios_it_says_so(self):
        out, _ = child(blocked("termios") + textwrap.dedent("""
            from circuits_io import Serial
            try: Serial("/dev/ttyS0")
            except RuntimeError as error: print(error)
            """))
        self.assertIn("No serial support available", out)


class TestConfig(CircuitsTest):

    TEXT = "[test]\nfoo = bar\nn = 3\nhalf = 0.5\nyes = on\nrate = 100%\n"

    def config(self, text=TEXT, **options):
        path = os.path.join(self.folder(**{"app.ini": text}), "app.ini")
        config = circuits_io.Config(path, **options)
        app, rec, errors = make_io_app(config)
        return config, app, rec, errors

    def test_load_and_get(self):
        config, app, rec, _ = self.config()
        app.fire(circuits_io.Load(), config.channel)
        pump(app)
        self.assertFired(rec, "load", "load_success")
        self.assertEqual(config.get("test", "foo"), "bar")
        self.assertEqual(config.get("test", "asdf", "foobar"), "foobar")
        self.assertEqual(config.get("nowhere", "asdf", 1), 1)
        self.assertEqual((config.getint("test", "n"), config.getfloat("test", "half"),
                          config.getboolean("test", "yes")), (3, 0.5, True))
        self.assertEqual((config.getint("test", "x"), config.getfloat("test", "x"),
                          config.getboolean("test", "x")), (0, 0.0, False))
        self.assertEqual(config.get("test", "rate"), "100%")
        self.assertIn(("foo", "bar"), config.items("test"))
        self.assertTrue(config.has_section("test") and config.has_option("test", "foo"))

    def test_set_and_save_round_trip(self):
        config, app, rec, _ = self.config()
        config.set("new", "number", 5)
        config.set("new", "path", "/a%b")
        app.fire(circuits_io.Save(), config.channel)
        pump(app)
        self.assertFired(rec, "save", "save_success")
        again = circuits_io.Config(config.filename)
        again.load()
        self.assertEqual((again.getint("new", "number"), again.get("new", "path")), (5, "/a%b"))

    def test_loading_again_forgets_what_is_gone(self):
        config, app, rec, _ = self.config()
        config.load()
        with open(config.filename, "w") as file:
            file.write("[other]\n")
        config.load()
        self.assertEqual(config.sections(), ["other"])

    def test_a_failure_is_told_and_the_old_file_stays(self):
        config, app, rec, errors = self.config()
        app.fire(circuits_io.Load("/nonexistent/file"), config.channel)
        app.fire(circuits_io.Save("/nonexistent/file"), config.channel)
        pump(app)
        self.assertFired(rec, "load_failure", "save_failure")
        self.assertNotFired(rec, "load_success", "save_success")

    def test_defaults_and_interpolation(self):
        config, app, rec, _ = self.config("[test]\nwhere = %(home)s/x\n", interpolation=True,
                                          defaults={"home": "/root"})
        config.load()
        self.assertEqual(config.get("test", "where"), "/root/x")
        self.assertEqual(config.get("test", "where", raw=True), "%(home)s/x")
        self.assertEqual(config.get("test", "where", vars={"home": "/h"}), "/h/x")


class TestLogger(CircuitsTest):

    def logger(self, level="DEBUG", **options):
        path = os.path.join(self.folder(), "log")
        logger = circuits_io.Logger(path, "test", "file", level, **options)
        self.addCleanup(logger.close)
        app, rec, errors = make_io_app(logger)
        return logger, app, errors, path

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def test_each_level_has_its_documented_line(self):
        logger, app, _, path = self.logger()
        for level, shown in circuits_io.LEVELS.items():
            app.fire(circuits_io.Log(level, "Hello %s!", "World"))
            pump(app)
            self.assertRegex(self.read(path).splitlines()[-1],
                             r"^\d\d:\d\d:\d\d test\[log\] %s: Hello World!$" % shown)

    def test_methods_do_the_same(self):
        logger, app, _, path = self.logger()
        for level in ("debug", "info", "warning", "warn", "error", "critical"):
            getattr(logger, level)("by method %d", 1)
        try:
            1 / 0
        except ZeroDivisionError:
            logger.exception("caught")
        text = self.read(path)
        self.assertEqual(text.count("by method 1"), 6)
        self.assertIn("ZeroDivisionError", text)

    def test_lower_levels_are_left_out(self):
        logger, app, _, path = self.logger("odd")
        logger.info("no")
        logger.warning("yes")
        self.assertNotIn("no", self.read(path))
        self.assertIn("yes", self.read(path))

    def test_a_full_disk_is_one_error(self):
        app, rec, errors = make_io_app()
        logger = circuits_io.Logger("/dev/full", "test", "file").register(app)
        for _ in range(3):
            app.fire(circuits_io.Log("error", "x"))
        pump(app)
        self.assertEqual([a[0].errno for a in errors.seen], [28])
        logger.close()

    def test_types(self):
        self.assertRaises(ValueError, circuits_io.Logger, None, "test", "nowhere")
        self.assertRaises(ValueError, circuits_io.Logger(None, "test").log, "loud", "x")
        self.expect_stderr("test[log] INFO: Hello")
        circuits_io.Logger(None, "test", "STDERR", "INFO").info("Hello")

    def test_many_loggers_leave_nothing_behind(self):
        import logging
        before, known = open_numbers(), len(logging.Logger.manager.loggerDict)
        for _ in range(20):
            logger, app, _, _ = self.logger()
            logger.info("x")
            logger.unregister()
            pump(app)
        self.assertLessEqual(open_numbers(), before)
        self.assertEqual(len(logging.Logger.manager.loggerDict), known)


class TestEnvironment(CircuitsTest):

    def make(self, path=None):
        path = path or os.path.join(self.folder(), "100%app")
        env = circuits_io.Environment(path, "test")
        app, rec, errors = make_io_app(env)
        return env, app, rec

    def do(self, app, env, event):
        value = app.fire(event, env.channel)
        pump(app, lambda: not value.promise and not len(app))
        pump(app)
        if env.log is not None:
            self.addCleanup(env.log.close)
        return value

    def test_create_makes_the_folder_and_load_opens_it(self):
        env, app, rec = self.make()
        self.do(app, env, circuits_io.Create())
        self.assertFired(rec, "create", "create_success")
        for name in ("VERSION", "README", "conf/test.ini", "log"):
            self.assertTrue(os.path.exists(os.path.join(env.path, name)), name)
        self.do(app, env, circuits_io.LoadEnvironment(verify=True))
        self.assertFired(rec, "load", "verify", "verify_success", "load", "load_success", "ready")
        self.assertIn(("config",), [e.channels for e in rec.named("load_success")])
        self.assertEqual(env.config.get("general", "pidfile"), env.path + "/log/test.pid")
        env.log.info("hello")
        with open(env.path + "/log/test.log") as file:
            self.assertIn("hello", file.read())

    def test_create_again_keeps_what_is_there(self):
        env, app, rec = self.make()
        self.do(app, env, circuits_io.Create())
        with open(env.configfile, "a") as file:
            file.write("[mine]\nx = 1\n")
        self.do(app, env, circuits_io.Create())
        self.do(app, env, circuits_io.LoadEnvironment())
        self.assertEqual(env.config.get("mine", "x"), "1")

    def test_an_environment_may_be_moved(self):
        env, app, rec = self.make()
        self.do(app, env, circuits_io.Create())
        os.rename(env.path, env.path + "-moved")
        env, app, rec = self.make(env.path + "-moved")
        self.do(app, env, circuits_io.LoadEnvironment())
        self.assertEqual(env.config.get("logging", "file"), env.path + "/log/test.log")

    def test_loading_twice_makes_one_config_and_one_logger(self):
        env, app, rec = self.make()
        self.do(app, env, circuits_io.Create())
        for _ in range(3):
            self.do(app, env, circuits_io.LoadEnvironment())
        self.assertEqual(sorted(c.name for c in env.components), ["Config", "Logger"])

    def test_no_version_or_an_old_one_is_refused(self):
        for text, error in (("", circuits_io.ERRORS[0]), ("0\n", circuits_io.ERRORS[1])):
            env, app, rec = self.make()
            self.do(app, env, circuits_io.Create())
            with open(os.path.join(env.path, "VERSION"), "w") as file:
                file.write(text)
            value = self.do(app, env, circuits_io.LoadEnvironment(verify=True))
            self.assertFired(rec, "verify_failure", "load_failure")
            etype, evalue, _ = value.value
            self.assertIs(etype, circuits_io.EnvironmentError)
            self.assertEqual(evalue.args, error)
            self.do(app, env, circuits_io.Upgrade())
            self.assertFalse(self.do(app, env, circuits_io.LoadEnvironment(verify=True)).errors)


class TestDaemon(CircuitsTest):

    PROGRAM = """
        import os, sys
        from circuits import Component, handler
        from circuits_io import Daemon, Notify, File, Write
        class App(Component):
            def init(self):
                self.log = File("out", "a", channel="log").register(self)
                self.seen = Notify().register(self)
                self.seen.add_path(sys.argv[1])
            def daemonized(self, component):
                print("on stdout", os.getcwd(), flush=True)
                self.log.write("daemonized\\n")
            def signal(self, number, stack):
                self.log.write("signal %d\\n" % number)
            @handler("created", channel="notify")
            def _on_created(self, name, *args):
                self.log.write("created %s\\n" % name)
        (App() + Daemon("pid", path=sys.argv[1], stdout="stdout")).run()
        """

    def start(self, folder):
        done = self.launch(folder)
        pid = circuits_io.running_pid(os.path.join(folder, "pid"))
        if done.returncode == 0 and pid is not None:
            self.addCleanup(self.kill, pid)
        return done, pid

    def launch(self, folder):
        return subprocess.run([sys.executable, "-c", textwrap.dedent(self.PROGRAM), folder],
                              cwd=folder, env=dict(os.environ, PYTHONPATH=HERE),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, timeout=PATIENCE)

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def read(self, *names):
        try:
            with open(os.path.join(*names)) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def test_it_lives_until_a_signal_and_leaves_no_pid_file(self):
        folder = os.path.realpath(self.folder())
        done, pid = self.start(folder)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertEqual(self.read(folder, "pid"), str(pid))
        self.assertNotEqual(os.getsid(pid), os.getsid(0))
        self.assertEqual(os.readlink("/proc/%d/fd/0" % pid), "/dev/null")
        wait_for(lambda: "daemonized" in self.read(folder, "out"))
        self.assertEqual(self.read(folder, "stdout"), "on stdout %s\n" % folder)
        self.assertEqual(os.stat(os.path.join(folder, "out")).st_mode & 0o777, 0o600)
        open(os.path.join(folder, "news"), "w").close()     # the watcher came along
        wait_for(lambda: "created news" in self.read(folder, "out"))
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not circuits_io._is_alive(pid))
        self.assertIn("signal 15\n", self.read(folder, "out"))
        self.assertFalse(os.path.exists(os.path.join(folder, "pid")))

    def test_there_is_one_at_a_time_and_a_stale_file_does_no_harm(self):
        folder = os.path.realpath(self.folder(pid=str(os.getpid())))
        self.assertIsNone(circuits_io.running_pid(os.path.join(folder, "pid")))
        _, pid = self.start(folder)
        done, again = self.start(folder)
        self.assertEqual((done.returncode, again), (1, pid))
        self.assertIn("belongs to process %d" % pid, done.stdout)
        os.kill(pid, signal.SIGKILL)                        # leaves its file
        wait_for(lambda: circuits_io.running_pid(os.path.join(folder, "pid")) is None)
        done, other = self.start(folder)
        self.assertEqual(done.returncode, 0)
        self.assertNotIn(other, (None, pid))

    def test_the_others_do_not_begin_if_it_cannot(self):
        out, err = child("""
            import sys
            from circuits import Component
            from circuits_io import Daemon
            class App(Component):
                def started(self, *args):
                    print("began")
            (App() + Daemon("none/such/pid", path=sys.argv[1])).run()
            """, self.folder(), check=False)
        self.assertEqual(out, "")
        self.assertIn("the pid file cannot be written", err)

    def test_a_link_is_not_followed(self):
        folder = os.path.realpath(self.folder(target="precious"))
        os.symlink(os.path.join(folder, "target"), os.path.join(folder, "pid"))
        self.assertEqual(self.launch(folder).returncode, 1)
        self.assertEqual(self.read(folder, "target"), "precious")

    def test_paths(self):
        self.assertRaises(AssertionError, circuits_io.Daemon, "pid", "relative")
        daemon = circuits_io.Daemon("a.pid", "/run", stdout="log")
        self.assertEqual((daemon.pidfile, daemon.stdout, daemon.stdin),
                         ("/run/a.pid", "/run/log", "/dev/null"))

    def test_looking_while_the_pid_file_goes(self):
        path = os.path.join(self.folder(), "pid")
        lock = circuits_io._locked(path, write=True)
        self.addCleanup(os.close, lock)
        os.write(lock, b"1234")
        self.assertEqual(circuits_io.running_pid(path), 1234)

        def late(*args, **kwargs):
            os.unlink(path)
            return open(*args, **kwargs)
        circuits_io.open = late
        self.addCleanup(delattr, circuits_io, "open")
        self.assertIsNone(circuits_io.running_pid(path))

    def test_who_looks_at_the_pid_file_is_not_in_the_way(self):
        path = os.path.join(self.folder(pid="1234"), "pid")
        looking = circuits_io._locked(path)
        threading.Timer(0.01, os.close, (looking,)).start()
        self.assertIsNone(circuits_io.running_pid(path))        # two may look
        daemon = circuits_io.Daemon(path, foreground=True)
        app, rec, _ = make_io_app(daemon)
        app.fire(circuits_io.Daemonize(), "daemon")
        pump(app)
        self.assertEqual(circuits_io.running_pid(path), os.getpid())

    def test_the_pid_file_by_events(self):
        path = os.path.join(self.folder(), "pid")
        daemon = circuits_io.Daemon(path, foreground=True)
        app, rec, _ = make_io_app(daemon)
        app.fire(circuits_io.Daemonize(), "daemon")
        pump(app)
        self.assertFired(rec, "daemonize", "write_pid", "daemonized")
        self.assertIs(rec.named("daemonized")[0].args[0], daemon)
        self.assertEqual(circuits_io.running_pid(path), os.getpid())
        app.fire(Event.create("deletepid"), "daemon")
        pump(app)
        self.assertFalse(os.path.exists(path))
        app.fire(Event.create("writepid"), "daemon")
        pump(app)
        self.assertEqual(self.read(path), str(os.getpid()))
        app.fire(circuits_io.DeletePID(), "daemon")
        pump(app)
        self.assertFalse(os.path.exists(path))

    def test_in_the_foreground_it_tells_systemd(self):
        folder = self.folder()
        address = os.path.join(folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(address)
            sock.settimeout(PATIENCE)
            program = subprocess.Popen([sys.executable, "-c", textwrap.dedent("""
                import sys
                from circuits import Component
                from circuits_io import Daemon
                (Component() + Daemon("pid", sys.argv[1], foreground=True)).run()
                """), folder], cwd=HERE, env=dict(os.environ, NOTIFY_SOCKET=address,
                                                  WATCHDOG_USEC="20000"))
            self.assertEqual(sock.recv(100), b"READY=1\nMAINPID=%d" % program.pid)
            self.assertEqual(sock.recv(100), b"WATCHDOG=1")
            self.assertEqual(sock.recv(100), b"WATCHDOG=1")
            program.terminate()
            last = sock.recv(100)
            while last == b"WATCHDOG=1":
                last = sock.recv(100)
            self.assertEqual(last, b"STOPPING=1")
            self.assertEqual(program.wait(PATIENCE), 0)
        self.assertFalse(os.path.exists(os.path.join(folder, "pid")))

    def test_it_does_not_fork_beside_threads(self):
        out, _ = child("""
            import sys, threading
            from circuits import Component
            import circuits_io
            circuits_io.time.monotonic = iter(range(1000)).__next__
            wait = threading.Event()
            threading.Thread(target=wait.wait, daemon=True).start()
            try: circuits_io._no_other_threads()
            except RuntimeError as error: print(error)
            """)
        self.assertIn("other threads are running", out)

    def test_privileges_are_dropped_for_good(self):
        out, _ = child("""
            import os
            from circuits import Component, Event
            from circuits_io import DropPrivileges
            app = Component() + DropPrivileges()
            app.fire(Event.create("ready"))
            for _ in range(5): app.tick()
            print(os.getuid() == os.geteuid() != 0 and os.getgid() != 0, os.umask(0) == 0o77,
                  len(app.components))
            """)
        self.assertEqual(out, "True True 0\n")

    def test_privileges_that_cannot_be_dropped_end_the_system(self):
        _, err = child("""
            from circuits import Component
            from circuits_io import DropPrivileges
            class App(Component):
                def started(self, *args):
                    from circuits import Event
                    self.fire(Event.create("ready"))
            (App() + DropPrivileges("no such user")).run()
            """, check=False)
        self.assertIn("cannot become user no such user", err)


class TestStartup(CircuitsTest):

    def command(self, *args):
        done = subprocess.run([sys.executable, os.path.join(HERE, "circuits_io.py")] + list(args),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, universal_newlines=True,
                              timeout=2 * PATIENCE)
        return done.returncode, done.stdout.strip()

    def test_the_life_of_a_daemon_by_commands(self):
        folder = os.path.join(os.path.realpath(self.folder()), "app")
        pidfile = os.path.join(folder, "log", "app.pid")
        self.addCleanup(self.stop, pidfile)
        self.assertEqual(self.command(folder, "start"), (1, "start: Environment does not exist!"))
        self.assertEqual(self.command(folder, "init"), (0, ""))
        self.assertEqual(self.command(folder, "init"), (1, "init: Environment already exists!"))
        self.assertEqual(self.command(folder, "stop"), (1, "stop: it is not running"))
        self.assertEqual(self.command(folder, "start"), (0, ""))
        pid = circuits_io.running_pid(pidfile)
        self.assertEqual(self.command(folder, "start"),
                         (1, "start: it is running already, as process %d" % pid))
        os.rename(os.path.join(folder, "log", "app.log"), os.path.join(folder, "log", "old"))
        self.assertEqual(self.command(folder, "rehash"), (0, ""))
        wait_for(lambda: os.path.exists(os.path.join(folder, "log", "app.log")))
        self.assertEqual(circuits_io.running_pid(pidfile), pid)
        self.assertEqual(self.command(folder, "restart"), (0, ""))
        other = circuits_io.running_pid(pidfile)
        self.assertNotIn(other, (None, pid))
        self.assertEqual(self.command(folder, "stop"), (0, ""))
        self.assertFalse(circuits_io._is_alive(other))
        self.assertFalse(os.path.exists(pidfile))

    def stop(self, pidfile):
        pid = circuits_io.running_pid(pidfile)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def test_an_unknown_verb_is_refused(self):
        self.assertRaises(ValueError, circuits_io.Startup, self.folder(), None, "dance")


class TestIoModule(CircuitsTest):

    def test_it_imports_where_modules_are_missing_and_says_so_when_used(self):
        out, _ = child(blocked("fcntl", "termios", "ctypes", "subprocess", "pwd", "grp", "select",
                               "configparser", "logging") + textwrap.dedent("""
            import os, tempfile
            import circuits_io
            from circuits_io import File, Notify, Process
            from circuits import Component, handler
            class App(Component):
                @handler("error", channel="*")
                def _on_error(self, *args):
                    print(args[-1] if len(args) == 1 else args[1])
            folder = os.path.realpath(tempfile.mkdtemp())
            with open(os.path.join(folder, "file"), "w") as file: file.write("text")
            app = App()
            process = Process(["true"]).register(app)
            process.start()
            seen = []
            @handler("read", channel="file")
            def _on_read(self, data):
                seen.append(data)
            app.addHandler(_on_read)
            File(os.path.join(folder, "file")).register(app)
            while not seen: app.tick(0.01)
            print(seen[0].decode())
            notify = Notify(interval=0.01).register(app)
            notify.add_path(folder)
            @handler("created", channel="notify")
            def _on_created(self, name, *args):
                print("created", name)
                seen.append(name)
            app.addHandler(_on_created)
            open(os.path.join(folder, "new"), "w").close()
            while len(seen) < 2: app.tick(0.01)
            import shutil; shutil.rmtree(folder)
            """))
        lines = out.splitlines()
        self.assertIn("no subprocess module", lines[0])
        self.assertEqual(lines[1:], ["text", "created new"])

    def test_dotted_names_mean_what_they_meant(self):
        child("""
            from circuits.io import File, Write, Close, Open, Seek, stdin, stdout, stderr
            from circuits.io import Process, Start, Stop, Signal, Kill, Wait, Notify, Serial
            from circuits.io import write, close, open, seek
            from circuits.io.events import EOF, Read, eof, opened, started, stopped, moved
            from circuits.io.file import BUFSIZE, TIMEOUT
            from circuits.io.process import Started, Stopped
            from circuits.io.notify import MASK, EVENT_MAP, AddPath, RemovePath, Ready, Moved
            from circuits.app import Config, Daemon, Environment, Logger, Startup, DropPrivileges
            from circuits.app.config import Load, Save, ConfigEvent
            from circuits.app.env import Create, Load as LoadEnv, Verify, Upgrade, Ready as R
            from circuits.app.env import CONFIG, ERRORS, VERSION, EnvironmentError, createFile
            from circuits.app.daemon import Daemonize, WritePID, daemonize, deletepid, writepid
            from circuits.app.log import Log, LEVELS
            from circuits.app.startup import Command, Terminate, Error
            import circuits_io
            assert (BUFSIZE, TIMEOUT) == (4096, 0.2)
            assert LoadEnv is not Load and LoadEnv.name == Load.name == "load"
            assert R is not Ready and R.name == Ready.name == "ready"
            assert open is Open and write is Write and issubclass(Error, Exception)
            assert stdin.channel == "stdin" and circuits_io.stdin is stdin
            assert LoadEnv(verify=True).channels == ("env",) and Load().channels == ("config",)
            assert Log("info", "x").channels == ("logger",)
            """)

    def test_a_missing_core_and_another_version_are_named(self):
        folder = self.folder()
        shutil.copy(os.path.join(HERE, "circuits_io.py"), folder)
        _, err = child("import circuits_io", cwd=folder, flags=("-S",), check=False)
        self.assertIn("ImportError: circuits_io.py needs circuits.py beside it", err)
        with open(os.path.join(folder, "circuits.py"), "w") as file:
            file.write("__version__ = '9'\n")
        _, err = child("import circuits_io", cwd=folder, flags=("-S",), check=False)
        self.assertIn("of the same version, found 9", err)

    def test_a_vendored_copy_uses_its_own_core(self):
        folder = self.folder()
        package = os.path.join(folder, "theirs", "vendor")
        os.makedirs(package)
        for name in ("circuits.py", "circuits_io.py"):
            shutil.copy(os.path.join(HERE, name), package)
        child("""
            import sys
            from theirs.vendor.circuits_io import File, stdout
            from theirs.vendor.circuits import Component
            assert issubclass(File, Component)
            assert "circuits" not in sys.modules
            """, cwd=folder)

    def test_importing_costs_little_and_loads_nothing_heavy(self):
        child("""
            import sys
            before = set(sys.modules)
            import circuits_io
            heavy = {"subprocess", "ctypes", "threading", "logging", "configparser", "signal",
                     "socket", "fcntl", "termios", "argparse"} & (set(sys.modules) - before)
            assert not heavy, heavy
            """, flags=("-S",))


class TestIoExamples(CircuitsTest):

    EXAMPLES = os.path.join(HERE, "examples")

    def program(self, name, *args, **options):
        """(Popen of an example, function that gives what it has printed)."""
        path = os.path.join(self.folder(), "output")
        with open(path, "wb") as output:
            process = subprocess.Popen([sys.executable, os.path.join(self.EXAMPLES, name)]
                                       + list(args), stdout=output, stderr=subprocess.STDOUT,
                                       env=dict(os.environ, PYTHONPATH=HERE), **options)
        self.addCleanup(self.end, process)

        def printed():
            with open(path) as file:
                return file.read()
        return process, printed

    def end(self, process):
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def add(self, path, text, mode="a"):
        with open(path, mode) as file:
            file.write(text)

    def test_cat(self):
        folder = self.folder(a="first\n", b="second\n")
        process, printed = self.program("30_cat.py", folder + "/a", folder + "/none", folder + "/b")
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual(printed(), "first\ncat: [Errno 2] No such file or directory: '%s/none'\n"
                                    "second\n" % folder)
        process, printed = self.program("30_cat.py", stdin=subprocess.PIPE)
        process.stdin.write(b"typed\n")
        process.stdin.close()
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual(printed(), "typed\n")

    def test_cat_ends_when_nobody_reads_it(self):
        path = os.path.join(self.folder(big="line\n" * 500000), "big")
        done = subprocess.run("%s %s/30_cat.py %s | head -n 1; echo ${PIPESTATUS[0]}" % (
            sys.executable, self.EXAMPLES, path), shell=True, executable="/bin/bash",
            env=dict(os.environ, PYTHONPATH=HERE), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            universal_newlines=True, timeout=PATIENCE)
        self.assertEqual(done.stdout, "line\n1\n")

    def test_tail_follows_a_file_that_is_truncated_and_rotated(self):
        path = os.path.join(self.folder(log="old\n"), "log")
        process, printed = self.program("31_tail.py", path)
        self.until_it_follows(path, printed)
        seen = printed()
        self.add(path, "short\n", "w")
        wait_for(lambda: printed() == seen + "short\n")
        self.add(path, "last words\n")
        os.rename(path, path + ".1")
        self.add(path, "new file\n")
        wait_for(lambda: printed() == seen + "short\nlast words\nnew file\n", printed)
        self.add(path, "goes on\n")
        wait_for(lambda: printed().endswith("new file\ngoes on\n"))
        self.assertNotIn("old", printed())

    def until_it_follows(self, path, printed):
        def follows():
            self.add(path, "ping\n")
            return "ping\n" in printed()
        wait_for(follows)
        self.add(path, "ready\n")
        wait_for(lambda: printed().endswith("ready\n"))

    def test_supervisor(self):
        folder = self.folder()
        process, printed = self.program(
            "32_supervisor.py", "sh", "-c", "echo working; test -e %s/done || "
            "{ touch %s/done; exit 3; }" % (folder, folder))
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual(printed(), "working\nstatus 3, again in 1 s\nworking\n")

    def test_dirwatch(self):
        folder = os.path.realpath(self.folder())
        process, printed = self.program("33_dirwatch.py", folder)

        def watches():
            self.add(folder + "/ping", "x")
            return "modified  %s/ping" % folder in printed()
        wait_for(watches)
        os.makedirs(folder + "/a/b")
        self.add(folder + "/a/b/c", "x")
        wait_for(lambda: "created   %s/a/b/c\n" % folder in printed())
        os.rename(folder + "/a", folder + "/z")
        wait_for(lambda: "renamed   %s/a -> %s/z\n" % (folder, folder) in printed())

    def test_serial_terminal(self):
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        process, printed = self.program("34_serial_terminal.py", os.ttyname(theirs), "9600",
                                        stdin=subprocess.PIPE)
        os.close(theirs)
        wait_for(lambda: "at 9600\n" in printed())
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        self.assertEqual(os.read(ours, 100), b"hello\n")
        os.write(ours, b"answer\r\n")
        wait_for(lambda: "answer" in printed())
        process.stdin.close()
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_daemon(self):
        folder = os.path.join(os.path.realpath(self.folder()), "clock")
        log, pidfile = folder + "/log/clock.log", folder + "/log/clock.pid"

        def command(verb):
            process, printed = self.program("35_daemon.py", folder, verb)
            self.assertEqual((process.wait(PATIENCE), printed()), (0, ""))

        def logged(text):
            with open(log) as file:
                return text in file.read()

        command("init")
        command("start")
        self.addCleanup(TestStartup.stop, self, pidfile)
        wait_for(lambda: logged("settings loaded") and logged("tick"))
        self.add(log, "", "w")
        command("rehash")
        wait_for(lambda: logged("settings loaded"))
        command("stop")
        self.assertFalse(os.path.exists(pidfile))


class TestUnheardErrors(CircuitsTest):
    """Needs the core to print error events that carry the exception alone."""

    def test_an_error_that_nobody_handles_is_printed_and_the_loop_goes_on(self):
        self.expect_stderr("No such file or directory: '/nonexistent/file'")
        rec = Recorder()
        app = make_app(rec)
        circuits_io.File("/nonexistent/file").register(app)
        pump(app, lambda: "error" in rec.names)
        pump(app)

    def test_a_debugger_prints_it(self):
        noise = io.StringIO()
        app = make_app(Debugger(file=noise), circuits_io.File("/nonexistent/file"))
        pump(app, lambda: "ERROR" in noise.getvalue())
        self.assertIn("No such file or directory: '/nonexistent/file'", noise.getvalue())


# ---------------------------------------------------------------------------
# Web: the codec, without a socket
# ---------------------------------------------------------------------------

HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def parsed(parser, data, step=None):
    """What a parser makes of data: heads, bodies (joined), or the status of an error.

    After an error nothing more may come out.
    """
    out = []
    pieces = [data] if step is None else [data[i:i + step] for i in range(0, len(data), step)]
    body = None
    for piece in pieces:
        parser.feed(piece)
        while True:
            try:
                item = parser.next_event()
            except circuits_web.ProtocolError as error:
                out.append(error.status)
                try:
                    parser.feed(HELLO)
                    parser.next_event()
                except circuits_web.ProtocolError:
                    return out
                raise AssertionError("the parser goes on after an error")
            if item is None:
                break
            if item is circuits_web.END:
                out.append(bytes(body))
            elif isinstance(item, bytes):
                body += item
            else:
                body = bytearray()
                out.append(item)
    return out


class TestHTTPCodec(CircuitsTest):

    def ways(self, data, make=circuits_web.RequestParser, **limits):
        """The same whole, and byte by byte."""
        whole = parsed(make(**limits), data)
        cut = parsed(make(**limits), data, 1)
        self.assertEqual([getattr(i, "target", i) for i in whole],
                         [getattr(i, "target", i) for i in cut], data[:200])
        return whole

    def test_heads_that_are_known_are_copied(self):
        heads = {}
        data = b"GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n\r\n"
        first, second = [parsed(circuits_web.RequestParser(heads=heads), data)[0] for _ in range(2)]
        self.assertEqual(list(heads), [data[:-4]])
        second.headers["X-One"] = "2"
        second.keep_alive = False
        third = parsed(circuits_web.RequestParser(heads=heads), data)[0]
        for head in first, third:
            self.assertEqual((head.method, head.target, head.version, head.keep_alive, head.headers.items()),
                             ("GET", "/", (1, 1), True, [("Host", "a"), ("X-One", "1")]))
        form = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
        for body in b"ab", b"cd":
            self.assertEqual(parsed(circuits_web.RequestParser(heads=heads), form + body)[1], body)

    @unittest.skipUnless(sys.implementation.name == "cpython", "needs reference counting")
    def test_parsers_are_no_cycles(self):
        for make in (circuits_web.RequestParser, circuits_web.ResponseParser,
                     lambda: circuits_web.MultipartParser("b")):
            parser = make()
            gone = weakref.ref(parser)
            del parser
            self.assertIsNone(gone())

    def test_heads_with_secrets_and_long_ones_are_not_kept(self):
        heads = {}
        for line in b"Cookie: a=b", b"Authorization: Basic x", b"X-Long: " + 1000 * b"x":
            parsed(circuits_web.RequestParser(heads=heads), b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
        self.assertEqual(heads, {})
        for make, line in ((circuits_web.RequestParser, "Cookie: a=secret"),
                           (circuits_web.ResponseParser, "Set-Cookie: a=secret")):
            start = "GET / HTTP/1.1" if make is circuits_web.RequestParser else "HTTP/1.1 204 No"
            parsed(make(), ("%s\r\nHost: a\r\n%s\r\n\r\n" % (start, line)).encode())
            self.assertNotIn(line, circuits_web._FIELDS)
        for number in range(2000):
            parsed(circuits_web.RequestParser(heads=heads), b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        self.assertLessEqual(len(heads), circuits_web.MAX_MEMORY_LINES)

    def assertRefused(self, data, status, **limits):
        for behind in (b"", HELLO):
            got = self.ways(data + behind, **limits)
            self.assertEqual(got[-1], status, data[:200])
            self.assertFalse([i for i in got[:-1] if getattr(i, "target", None) == "/"], data)

    def test_a_request_line_and_headers(self):
        [head] = self.ways(b"GET /a?b=c HTTP/1.1\r\nHost: x:80\r\nX-Two:  a b \t\r\nEmpty:\r\n\r\n")
        self.assertEqual((head.method, head.target, head.version), ("GET", "/a?b=c", (1, 1)))
        self.assertEqual(head.headers.items(), [("Host", "x:80"), ("X-Two", "a b"), ("Empty", "")])
        self.assertTrue(head.keep_alive)
        self.assertFalse(head.has_body)

    def test_bodies_by_length_and_by_chunks(self):
        post = b"POST /p HTTP/1.1\r\nHost: a\r\n"
        self.assertEqual(self.ways(post + b"Content-Length: 5\r\n\r\nhello" + HELLO)[1], b"hello")
        self.assertEqual(len(self.ways(post + b"Content-Length: 0\r\n\r\n" + HELLO)), 2)
        chunks = b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00A;x=\"1\"\r\n0123456789\r\n0\r\n"
        got = self.ways(post + chunks + b"\r\n" + HELLO)
        self.assertEqual(got[1], b"hello0123456789")
        self.assertEqual(got[2].target, "/")
        got = self.ways(post + chunks + b"X-Sum: 1\r\n\r\n" + HELLO)
        self.assertEqual(got[0].trailers["x-sum"], "1")
        self.assertEqual(got[2].target, "/")

    def test_empty_lines_before_a_request_are_ignored(self):
        self.assertEqual(len(self.ways(b"\r\n" + HELLO + b"\r\n" + HELLO)), 2)
        self.assertRefused(b"\r\n\r\n\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400)

    def test_start_lines_that_are_none(self):
        for line in (b"GET /x", b"GET  /x HTTP/1.1", b"GET /x HTTP/1.1 ", b" GET /x HTTP/1.1",
                     b"GET\t/x HTTP/1.1", b"G(T /x HTTP/1.1", b"GET /x http/1.1", b"GET /x HTTP/11",
                     b"GET /x HTTP/1.", b"GET /x HTTP/+1.1", b"GET /\x80 HTTP/1.1",
                     b"GET /x\0 HTTP/1.1", b"GET /x#y HTTP/1.1", b"GET /x XTTP/1.1",
                     b"GET /x HTTP/\xb2.1", b"\x16\x03\x01\x02", b"GET /x y HTTP/1.1"):
            self.assertRefused(line + b"\r\nHost: a\r\n\r\n", 400)
        for version in (b"2.0", b"0.9", b"3.1"):
            self.assertRefused(b"GET /x HTTP/" + version + b"\r\nHost: a\r\n\r\n", 505)
        self.assertEqual(self.ways(b"GET / HTTP/1.9\r\nHost: a\r\n\r\n")[0].version, (1, 1))

    def test_garbage_is_refused_before_it_ends(self):
        for data, status in ((b"\x16\x03\x01", 400), (b"FOO\r\n", 400), (b"GET /x HTTP/2.0\r\n", 505),
                             (b"GET / HTTP/1.1\n", 400), (b"GET / HTTP/1.1\r\nHost: a\n", 400)):
            self.assertEqual(parsed(circuits_web.RequestParser(), data), [status], data)
            self.assertEqual(parsed(circuits_web.RequestParser(), data, 1), [status], data)

    def test_headers_that_are_none(self):
        for line in (b"Host : x", b"Host\xa0: x", b" Host: x", b"X: a\r\n folded", b"X: a\r\n\tb",
                     b"NoColon", b": x", b"X\x0b: y", b"X: a\x0bb", b"X: a\0b", b"X: a\rb",
                     b"X: a\nY: b", b"X: \x7f", b"X(: y", b"X\n: y"):
            self.assertRefused(b"GET /x HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n", 400)
        [head] = self.ways(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xa0\xff\r\n\r\n")
        self.assertEqual(head.headers["x"], "\xa0\xff")

    def test_hosts(self):
        for lines in (b"", b"Host: a\r\nHost: a\r\n", b"Host: a/b\r\n", b"Host: a b\r\n",
                      b"Host: u@a\r\n", b"Host: a:b\r\n", b"Host: [::1\r\n", b"Host: a,b\r\n",
                      b"Host: <script>\r\n", b"Host: a:123456\r\n"):
            self.assertRefused(b"GET /x HTTP/1.1\r\n" + lines + b"\r\n", 400)
        for host in (b"a", b"a.b:80", b"[::1]:8000", b"127.0.0.1", b""):
            self.assertEqual(len(self.ways(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")), 1)
        self.assertEqual(len(self.ways(b"GET / HTTP/1.0\r\n\r\n")), 1)

    def test_ambiguous_framing(self):
        for lines, status in (
                (b"Content-Length: 5\r\nContent-Length: 5", 400),
                (b"Content-Length: 5\r\nContent-Length: 6", 400),
                (b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
                (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
                (b"Transfer-Encoding: chunked, chunked", 400),
                (b"Transfer-Encoding: xchunked", 400), (b"Transfer-Encoding: chunked, identity", 400),
                (b"Transfer-Encoding: identity", 400), (b"Transfer-Encoding: ", 400),
                (b"Transfer-Encoding: ,chunked", 400), (b"Transfer-Encoding: chunked;q=1", 400),
                (b"Transfer-Encoding: \x0bchunked", 400), (b"Transfer-Encoding: gzip, chunked", 501),
                (b"Transfer-Encoding: gzip", 501), (b"Transfer-Encoding:\r\n chunked", 400),
                (b"Content-Type: a/b\r\nContent-Type: a/b", 400)):
            self.assertRefused(b"POST /x HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                               status)
        for value in ("+5", "-1", "0x5", "5_0", "\u0665", "5,5", "5 5", "", "5.0", "1e1", "\xb2"):
            self.assertRefused(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: " + value.encode()
                               + b"\r\n\r\nhello", 400)
        self.assertRefused(b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
        self.assertRefused(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % 10**30, 413)

    def test_chunks_that_are_none(self):
        post = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        for chunks, status in (
                (b"+5\r\nhello\r\n", 400), (b"-5\r\nhello\r\n", 400), (b"0x5\r\nhello\r\n", 400),
                (b"5_0\r\nhello\r\n", 400), (b"\r\nhello\r\n", 400), (b"5 \r\nhello\r\n", 400),
                (b"5\nhello\r\n", 400), (b"5\rhello\r\n", 400), (b"5\r\nhelloxx", 400),
                (b"5\r\nhello\n0\r\n", 400), (b"5;a\nb\r\nhello\r\n", 400), (b"5;a\rb\r\nhello\r\n", 400),
                (b"5;a\0b\r\nhello\r\n", 400), (b"5;" + b"a" * 300 + b"\r\nhello\r\n", 400),
                (b"f" * 17 + b"\r\n", 413), (b"0\r\nX\r\n\r\n", 400), (b"0\r\nX: a\nY: b\r\n\r\n", 400),
                (b"0\r\nContent-Length: 3\r\n\r\n", 400), (b"0\r\nHost: b\r\n\r\n", 400),
                (b"0\r\n X: b\r\n\r\n", 400), (b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400)):
            self.assertRefused(post + chunks, status)

    def test_limits_hold_also_when_bytes_dribble_in(self):
        get = b"GET /x HTTP/1.1\r\nHost: a\r\n"
        post = b"POST /x HTTP/1.1\r\nHost: a\r\n"
        chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
        limits = dict(max_start_line=100, max_header_bytes=200, max_headers=10, max_body=20)
        for data, status in (
                (b"GET /" + b"x" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
                (b"GET /" + b"x" * 200, 414), (b"x" * 200, 414),
                (get + b"X: " + b"y" * 300 + b"\r\n\r\n", 431), (get + b"X: " + b"y" * 300, 431),
                (get + b"X: y\r\n" * 11 + b"\r\n", 431), (post + b"Content-Length: 21\r\n\r\n", 413),
                (chunked + b"15\r\n" + b"x" * 21, 413), (chunked + b"a\r\n" + b"x" * 10
                                                        + b"\r\nb\r\n", 413),
                (chunked + b"0\r\n" + b"X: " + b"y" * 300, 431),
                (chunked + b"0\r\n" + b"X: y\r\n" * 11 + b"\r\n", 431),
                (chunked + (b"1;" + b"e" * 90 + b"\r\nx\r\n") * 3, 413)):
            for step in (None, 1, 7):
                got = parsed(circuits_web.RequestParser(**limits), data, step)
                self.assertEqual(got[-1], status, (data[:60], step))
        self.assertEqual(len(parsed(circuits_web.RequestParser(**limits), post + b"Content-Length: 20\r\n\r\n"
                                    + b"x" * 20)), 2)

    def test_an_end_in_the_middle_is_an_error(self):
        for data in (b"GET /", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
                     b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"):
            parser = circuits_web.RequestParser()
            parsed(parser, data)
            parser.eof()
            with self.assertRaises(circuits_web.ProtocolError):
                parser.next_event()
        parser = circuits_web.RequestParser()
        parsed(parser, HELLO)
        parser.eof()
        self.assertIsNone(parser.next_event())

    def test_hostile_input_takes_linear_time(self):
        start = time.process_time()
        parser = circuits_web.RequestParser(max_header_bytes=1 << 20)
        parser.feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b" \t" * 30000 + b"x\r\n")
        for _ in range(20000):
            parser.feed(b"a")
            parser.next_event()
        parser = circuits_web.RequestParser()
        parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        total = 0
        for _ in range(20):
            parser.feed(b"1\r\nx\r\n" * 5000)
            item = parser.next_event()
            while item is not None:
                total += len(item) if isinstance(item, bytes) else 0
                item = parser.next_event()
        self.assertEqual(total, 100000)
        self.assertLess(time.process_time() - start, 10)      # quadratic takes minutes

    def test_random_bytes_let_only_declared_errors_out(self):
        seeds = [HELLO, b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
                 b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"]
        rng = random.Random(4711)
        for _ in range(3000):
            data = bytearray(rng.choice(seeds))
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(data))
                if rng.random() < 0.5:
                    data[at] = rng.choice(b"\r\n\0 :;,5xA\xff")
                else:
                    data[at:at] = bytes(rng.choice(b"\r\n\0 :;,5xA\xff") for _ in range(2))
            whole = parsed(circuits_web.RequestParser(), bytes(data))
            cut = parsed(circuits_web.RequestParser(), bytes(data), 3)
            def seen(got):      # which of two errors is found first may differ
                return ["error" if isinstance(i, int) else getattr(i, "target", i) for i in got]
            self.assertEqual(seen(whole), seen(cut), data)

    def test_responses(self):
        def responses(data, *methods):
            def make():
                parser = circuits_web.ResponseParser()
                for method in methods:
                    parser.expect(method)
                return parser
            return [getattr(i, "status", i) for i in self.ways(data, make)]
        ok = b"HTTP/1.1 200 OK\r\n"
        self.assertEqual(responses(ok + b"Content-Length: 2\r\n\r\nhi" + ok + b"Content-Length: 0\r\n\r\n"),
                         [200, b"hi", 200])
        self.assertEqual(responses(b"HTTP/1.1 100 Continue\r\n\r\n" + ok + b"Content-Length: 1\r\n\r\nx",
                                   "POST"), [100, 200, b"x"])
        self.assertEqual(responses(ok + b"Content-Length: 9\r\n\r\n" + b"HTTP/1.1 304 \r\n\r\n",
                                   "HEAD", "GET"), [200, 304])
        parser = circuits_web.ResponseParser()
        self.assertEqual(len(parsed(parser, ok + b"\r\nabc")), 1)
        parser.eof()
        self.assertIs(parser.next_event(), circuits_web.END)

    def test_what_is_encoded_is_decoded(self):
        data = circuits_web.encode_head("POST /a HTTP/1.1", [("Host", "a"), ("Transfer-Encoding", "chunked")])
        data += circuits_web.encode_chunk(b"abc") + circuits_web.encode_chunk(b"") \
            + circuits_web.encode_chunk(b"d" * 70000) + circuits_web.LAST_CHUNK
        head, body = parsed(circuits_web.RequestParser(), data)
        self.assertEqual((head.target, body), ("/a", b"abc" + b"d" * 70000))


class TestHeaders(CircuitsTest):

    def test_names_know_no_case_and_may_repeat(self):
        h = circuits_web.Headers([("A", "1"), ("b", "2"), ("a", "3")])
        self.assertEqual((h["a"], h["B"], h["x"], len(h)), ("1", "2", None, 3))
        self.assertEqual((h.get_all("A"), h.get_all("x"), h.keys(), h.values()),
                         (["1", "3"], [], ["A", "b", "a"], ["1", "2", "3"]))
        self.assertIn("a", h)
        self.assertTrue(h.has_key("B"))
        h["A"] = "9"
        self.assertEqual(h.items(), [("b", "2"), ("A", "9")])
        del h["nothing"], h["b"]
        self.assertEqual((h.get("b"), h.get("b", "-"), h.pop("a"), h.pop("a", "-"), len(h)),
                         (None, "-", "9", "-", 0))
        self.assertEqual((h.setdefault("C", "1"), h.setdefault("c", "2")), ("1", "1"))

    def test_text_forms(self):
        h = circuits_web.Headers([("A", "1"), ("B", "2")])
        self.assertEqual(str(h), "A: 1\r\nB: 2\r\n\r\n")
        self.assertEqual(bytes(h), b"A: 1\r\nB: 2\r\n\r\n")
        self.assertEqual(repr(h), "Headers([('A', '1'), ('B', '2')])")
        h.add_header("C", "attachment", file_name='a"b', x=None)
        self.assertEqual(h["C"], 'attachment; file-name="a\\"b"; x')
        h.append("A", "3")
        self.assertEqual(h["a"], "1, 3")

    def test_bad_ones_are_refused(self):
        for headers in ({}, "A: b", ("A", "b"), 5):
            with self.assertRaisesRegex(TypeError, "Headers must be a list"):
                circuits_web.Headers(headers)
        for name in ("", "A B", "A:", "A\r\n", "ä", "A\0"):
            with self.assertRaises(ValueError):
                circuits_web.Headers([(name, "x")])
        for value in ("a\r\nB: c", "a\n", "a\rb", "a\0", "\x7f", "\u20ac"):
            h = circuits_web.Headers()
            for change in (lambda: h.__setitem__("A", value), lambda: h.add_header("A", value),
                           lambda: h.add_header("A", "x", y=value), lambda: h.append("A", value),
                           lambda: h.setdefault("A", value), lambda: circuits_web.Headers([("A", value)])):
                with self.assertRaises(ValueError):
                    change()
            self.assertEqual(len(h), 0)

    def test_elements(self):
        h = circuits_web.Headers([("Accept-Encoding", "deflate;q=0.5, gzip, br;q=x")])
        self.assertEqual([e.value for e in h.elements("accept-encoding")], ["gzip", "deflate", "br"])
        self.assertEqual(h.elements("x"), [])
        e = circuits_web.HeaderElement.from_str('a; b="c,d"')
        self.assertEqual((e.value, e.params, str(e)), ("a", {"b": "c,d"}, "a;b=c,d"))
        folded = circuits_web.parse_headers("A: b\r\n c\r\nD: e\r\n\r\nF: g")
        self.assertEqual(folded.items(), [("A", "b"), ("A", "c"), ("D", "e")])


def multipart(*parts, boundary=b"XX"):
    out = b""
    for headers, content in parts:
        out += b"--" + boundary + b"\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"
    return out + b"--" + boundary + b"--\r\n"


class TestForms(CircuitsTest):

    FIELD = b'Content-Disposition: form-data; name="a"'
    FILE = b'Content-Disposition: form-data; name="f"; filename="x.txt"\r\nContent-Type: text/plain'

    def fields(self, data, step=None, **limits):
        parser = circuits_web.MultipartParser("XX", **limits)
        self.addCleanup(parser.close)
        for at in range(0, len(data), step or len(data) or 1):
            parser.feed(data[at:at + (step or len(data))])
        return parser.finish()

    def test_fields_and_files_whole_and_byte_by_byte(self):
        data = multipart((self.FIELD, b"1"), (self.FIELD, b""), (self.FILE, b"\r\n--X\r\n\0" * 9))
        for step in (None, 1, 3):
            fields = self.fields(data, step)
            self.assertEqual(fields["a"], ["1", ""])
            file = fields["f"]
            self.assertEqual((file.filename, file.type, file.value), ("x.txt", "text/plain",
                                                                      b"\r\n--X\r\n\0" * 9))

    def test_cut_off_at_every_byte(self):
        data = multipart((self.FIELD, b"1"), (self.FILE, b"hello"))
        for end in range(len(data) - 3):
            with self.assertRaises(circuits_web.ProtocolError):
                self.fields(data[:end])

    def test_file_names_lose_their_folders(self):
        for sent, name in (("C:\\\\a\\\\b.txt", "b.txt"), ("../../etc/passwd", "passwd"), ("..", ""),
                           ("a/b\\\\c", "c"), ("x\x00y", "xy")):
            header = b'Content-Disposition: form-data; name="f"; filename="%s"' % sent.encode()
            if "\x00" in sent:
                with self.assertRaises(circuits_web.ProtocolError):
                    self.fields(multipart((header, b"")))
                continue
            self.assertEqual(self.fields(multipart((header, b"")))["f"].filename, name)
        both = b"Content-Disposition: form-data; name=f; filename*=utf-8''evil; filename=good"
        self.assertEqual(self.fields(multipart((both, b"")))["f"].filename, "good")

    def test_limits_while_reading(self):
        part = (self.FIELD, b"1")
        for data, limits, status in (
                (multipart(*[part] * 11), {"max_fields": 10}, 413),
                (multipart((self.FIELD, b"x" * 11)), {"max_field": 10}, 413),
                (multipart((self.FIELD, b"x" * 5), (self.FIELD, b"x" * 6)), {"max_field": 10}, 413),
                (multipart((self.FILE, b"x" * 11)), {"max_file": 10}, 413),
                (multipart((self.FIELD + b"\r\nX: y" * 30, b"")), {}, 400),
                (multipart((self.FIELD + b"\r\nX: " + b"y" * 9000, b"")), {}, 400),
                (b"x" * 10000 + multipart(part), {}, 400),
                (multipart((b"X: y", b"")), {}, 400),
                (multipart((self.FIELD + b"\r\nContent-Length: -1", b"")), {}, 400),
                (multipart((self.FIELD + b"\r\n folded", b"")), {}, 400)):
            for step in (None, 5):
                with self.assertRaises(circuits_web.ProtocolError) as caught:
                    self.fields(data, step, **limits)
                self.assertEqual(caught.exception.status, status, data[:99])
        for boundary in ("", "x" * 71, "\x00", "ä"):
            with self.assertRaises(circuits_web.ProtocolError):
                circuits_web.MultipartParser(boundary)

    def test_large_files_go_to_disk_and_are_closed_when_it_fails(self):
        parser = circuits_web.MultipartParser("XX", max_memory=100)
        parser.feed(multipart((self.FILE, b"x" * 1000))[:-10])
        parser.feed(b"\r\n--XX--\r\n"[:0])
        spool = parser._part[3]
        self.assertTrue(spool.on_disk)
        with self.assertRaises(circuits_web.ProtocolError):
            parser.finish()
        self.assertTrue(spool.file.closed)

    def test_many_files_in_one_form_do_not_pile_up_in_memory(self):
        size = 300000
        data = multipart(*[(self.FILE.replace(b'"f"', b'"f%d"' % n), b"%03d" % n * (size // 3)) for n in range(60)])
        files = self.fields(data, 65536)
        in_memory = [file for file in files.values() if isinstance(file.file, io.BytesIO)]
        self.assertLess(sum(file.size for file in in_memory), 8 * circuits_web.MAX_MEMORY)
        for n in range(60):
            self.assertEqual(files["f%d" % n].value, b"%03d" % n * (size // 3))
            files["f%d" % n].close()
        small = self.fields(multipart(*[(self.FILE, b"x" * 1000)] * 500))["f"]
        self.assertTrue(all(isinstance(file.file, io.BytesIO) for file in small))

    def test_near_boundaries_take_linear_time(self):
        start = time.process_time()
        self.fields(multipart((self.FILE, b"\r\n--X" * 200000)), 4096)
        circuits_web.parse_params("form-data; name=\"" + "\\" * 65536)
        circuits_web.parse_qs("&".join(["a"] * 999) + ";" * 1000000)
        circuits_web.unquote_cookie('"' + "\\\"" * 32768 + '"')
        self.assertLess(time.process_time() - start, 10)

    def test_random_bodies_let_only_declared_errors_out(self):
        seed = multipart((self.FIELD, b"1"), (self.FILE, b"hello\r\n--X"), (self.FIELD, b""))
        rng = random.Random(42)
        for _ in range(3000):
            data = bytearray(seed)
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(data))
                if rng.random() < 0.5:
                    data[at] = rng.choice(b"\r\n-X\0 :;=\"\\\xff")
                else:
                    del data[at:at + rng.randrange(5)]
            results = []
            for step in (None, 1, 7):
                try:
                    fields = self.fields(bytes(data), step)
                    results.append(sorted((name, repr(value)) for name, value in fields.items()))
                except circuits_web.ProtocolError:
                    results.append("error")
            self.assertEqual(results[0], results[1], data)
            self.assertEqual(results[0], results[2], data)

    def test_random_headers_let_nothing_out(self):
        rng = random.Random(43)
        for _ in range(3000):
            text = "".join(rng.choice('ab="\\;, \t*?/-0\x00\xff\u20ac%') for _ in range(rng.randrange(40)))
            circuits_web.parse_params(text)
            circuits_web.parse_cookies(text)
            circuits_web.parse_http_date(text)
            circuits_web.parseAuthorization("Digest " + text)
            circuits_web.parseAuthorization("Basic " + text)
            circuits_web.get_ranges("bytes=" + text, 100)
            circuits_web.header_elements("Accept", text)
            circuits_web.valid_host(text)
            circuits_web.base_name(text)
            circuits_web.is_safe_name(text, True)
            circuits_web.unquote_plus(text)
            circuits_web.unsign("x", text, b"k" * 32, 5)
            for parse in (lambda: circuits_web.split_path("/" + text),
                          lambda: circuits_web.split_target("GET", text or "/")):
                try:
                    parse()
                except circuits_web.ProtocolError:
                    pass

    def test_queries(self):
        parse = circuits_web.parse_qs
        self.assertEqual(parse("a=1&b=%C3%BC+%2B&a=2"), {"a": ["1", "2"], "b": "ü +"})
        self.assertEqual(parse("a=1;b=2"), {"a": "1;b=2"})
        self.assertEqual(parse("a&&=x"), {"a": "", "": "x"})
        self.assertEqual(parse("1,2"), {"x": 1, "y": 2})
        self.assertEqual(parse("a", keep_blank_values=False), {})
        self.assertEqual(parse("a=%zz%"), {"a": "%zz%"})
        with self.assertRaises(circuits_web.ProtocolError):
            parse("a&" * 2000)

    def test_cookies(self):
        parse = circuits_web.parse_cookies
        self.assertEqual(parse('a=1; b="x y"; =z; c; d=a=b; bad name=1; e=\x01; f="\\054"'),
                         {"a": "1", "b": "x y", "d": "a=b", "f": ","})


# ---------------------------------------------------------------------------
# Web: server, controllers, files
# ---------------------------------------------------------------------------

class WebTest(CircuitsTest):
    """Serves components in a thread, and asks them."""

    def serve(self, *components, server=circuits_web.Server, **options):
        app = server(("127.0.0.1", 0), **options)
        for component in components:
            app += component
        context = serving(app)
        context.__enter__()
        self.addCleanup(context.__exit__)
        self.port = app.port
        self.app = app
        return app

    def ask(self, path="/", method="GET", body=None, **headers):
        """(status, headers, body) of one request, by http.client."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path="/", **headers):
        return self.ask(path, **headers)[::2]

    def raw(self, data, **kwargs):
        return raw(self.port, data, **kwargs)


class Greeter(circuits_web.Controller):

    def index(self, *args):
        return "Hello World!" if not args else "index %r" % (args,)

    def greet(self, name="you"):
        return "Hello %s!" % name

    def add(self, a, b):
        return str(int(a) + int(b))

    def boom(self):
        raise ValueError("<secret>")

    def gone(self):
        raise circuits_web.GoneException("it is <gone>")

    def missing(self):
        return self.notfound("nothing <here>")

    def moved(self):
        return self.redirect("/greet?name=there")

    def raised(self):
        raise circuits_web.RedirectException("/x", 302)

    def args(self, *args, **kwargs):
        return json.dumps([args, kwargs])

    def _private(self):
        return "private"

    @circuits_web.expose("test.txt", "+test")
    def named(self):
        return "named"

    @circuits_web.expose("only", methods=("POST",))
    def _only_post(self):
        return "posted"


class TestDocumentedPrograms(WebTest):

    def program(self, text):
        """Run a documented program with 8000 replaced; returns its process and port."""
        code = "import sys\nsys.path.insert(0, %r)\n" % HERE + text.replace(
            "Server(8000)", "Server(('127.0.0.1', 0))")
        code = code.replace(".run()", "").replace("(Base", "app = (Base").replace("(Server(", "app = (Server(")
        code += "\nprint(app.port, flush=True)\napp.run()\n"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, universal_newlines=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.terminate)
        self.port = int(process.stdout.readline())

    def test_base_server(self):
        self.program("from circuits import Component\nfrom circuits.web import BaseServer\n"
                     "class Root(Component):\n    def request(self, request, response):\n"
                     "        return \"Hello World!\"\n(BaseServer(8000) + Root()).run()\n")
        self.assertEqual(self.get("/any/path"), (200, b"Hello World!"))

    def test_server(self):
        self.program("from circuits.web import Server, Controller\nclass Root(Controller):\n"
                     "   def index(self):\n      return \"Hello World!\"\n(Server(8000) + Root()).run()\n")
        status, headers, body = self.ask()
        self.assertEqual((status, body), (200, b"Hello World!"))
        self.assertEqual(headers["Content-Type"], "text/html; charset=utf-8")
        self.assertEqual(headers["Content-Length"], "12")
        self.assertTrue(headers["Date"].endswith(" GMT"))
        self.assertEqual(headers["Server"], "circuits/2.1.0")


class TestServer(WebTest):

    def test_the_events_of_a_request_are_seen(self):
        rec = Recorder()
        self.serve(Greeter(), rec)
        self.assertEqual(self.get(), (200, b"Hello World!"))
        wait_for(lambda: "disconnect" in rec.names)
        self.assertFired(rec, "connect", "read", "request", "index", "request_success", "index_success",
                         "response", "write", "write", "response_success", "disconnect")
        event = rec.named("index")[0]
        self.assertEqual((event.channels, len(event.args)), (("/",), 2))
        self.assertEqual(rec.named("index_success")[0].args[1], "Hello World!")
        rec.clear()
        self.assertEqual(self.get("/nope/nope?x=1")[0], 200)
        rec.clear()
        self.assertEqual(self.get("/only")[0], 405)
        wait_for(lambda: "close" in rec.names)
        self.assertFired(rec, "request", "request_success", "httperror", "response", "write", "write",
                         "close")

    def test_without_listeners_no_events_are_built(self):
        seen = []

        class Probe(Component):
            channel = "web"

            @handler("request", priority=5)
            def _on_request(self, request, response):
                seen.append(self.root._reactor.heard("response", ("web",)))
        self.serve(Greeter(), Probe())
        self.assertEqual(self.get()[0], 200)
        self.assertEqual(seen, [False])

    def test_keep_alive_1000_sequential(self):
        self.serve(Greeter())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.connect()
        sock = connection.sock
        for number in range(1000):
            connection.request("GET", "/greet?name=%d" % number)
            answer = connection.getresponse()
            self.assertEqual(answer.read(), b"Hello %d!" % number)
        self.assertIs(connection.sock, sock)

    def test_100_pipelined_in_order_whatever_they_take(self):
        class Root(circuits_web.Controller):
            def fast(self, number):
                return number + ";"

            def slow(self, number):
                for _ in range(int(number) % 7):
                    yield None
                yield number + ";"

            async def later(self, number):
                await sleep(0.001 * (int(number) % 3))
                return number + ";"
        self.serve(Root())
        data = b"".join(b"GET /%s/%d HTTP/1.1\r\nHost: a\r\n\r\n" % (
            (b"fast", b"slow", b"later")[n % 3], n) for n in range(100))
        expected = b"".join(b"%d;" % n for n in range(100))

        def bodies(got):
            return b"".join(part.split(b"\r\n\r\n", 1)[-1] for part in got.split(b"HTTP/1.1 200 OK")[1:])
        got = self.raw(data, until=lambda got: len(bodies(got)) >= len(expected))
        self.assertEqual(bodies(got), expected)

    def test_what_is_pipelined_waits_in_the_socket(self):
        class Root(circuits_web.Controller):
            done = False

            def wait_(self):
                while not self.done:
                    yield sleep(0.001)
                yield "ok"
        root = Root()
        app = self.serve(root)
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"GET /wait_ HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: app.http._connections and all(
                c.request for c in app.http._connections.values()))
            sock.setblocking(False)
            [conn] = app.http._connections.values()
            piece = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
            sent = 0

            def push():
                nonlocal sent
                try:
                    sent += sock.send(piece)
                except BlockingIOError:
                    return conn.paused
            wait_for(push)
            self.assertLess(len(conn.parser), 400000)
            self.assertGreater(sent, len(conn.parser))
            root.done = True
            sock.setblocking(True)
            got = sock.recv(100)
            self.assertIn(b"200 OK", got)

    def test_one_dot_zero(self):
        self.serve(Greeter())
        got = self.raw(b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.0 200 OK\r\n"))
        self.assertIn(b"Connection: close\r\n", got)
        got = self.raw(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2, until=b"Hello World!HTTP")
        self.assertIn(b"Connection: Keep-Alive\r\n", got)
        got = self.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n" + HELLO)
        self.assertEqual(got.count(b"HTTP/1.1 200 OK"), 1)

    def test_expect_100_continue(self):
        class Root(circuits_web.Controller):
            def post(self, a=""):
                return "got " + a
        self.serve(Root())
        head = (b"POST /post HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n")
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.settimeout(PATIENCE)
            sock.sendall(head + b"Content-Length: 3\r\n\r\n")
            self.assertEqual(sock.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            sock.sendall(b"a=b")
            self.assertIn(b"got b", sock.recv(1000))
        got = self.raw(head + b"Content-Length: 3\r\n\r\na=b", until=b"got b")
        self.assertNotIn(b"100 Continue", got)
        got = self.raw(head + b"Content-Length: 0\r\n\r\n", until=b"got ")
        self.assertNotIn(b"100 Continue", got)
        self.assertIn(b" 417 ", self.raw(b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n"))

    def test_the_refused_get_an_answer_and_nothing_behind_is_done(self):
        calls = []

        class Root(circuits_web.Controller):
            def index(self):
                calls.append(1)
                return "executed"
        self.serve(Root())
        for data, status in ((b"GARBAGE\r\n\r\n", 400), (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
                             (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET ../x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                             (b"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                             (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                             (b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                             (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                             (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                             (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                              b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)):
            got = self.raw(data + HELLO)
            self.assertTrue(got.startswith(b"HTTP/1.1 %d " % status), got[:100])
            self.assertIn(b"Connection: close", got)
            self.assertEqual(len(re.findall(b"HTTP/1.1 [1-5]", got)), 1, got)
        self.assertEqual(calls, [])

    def test_a_body_over_the_limit_is_413_and_readable(self):
        self.serve(Greeter(), max_body=1000)
        got = self.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000)
        self.assertTrue(got.startswith(b"HTTP/1.1 413 "), got[:50])
        self.assertTrue(got.endswith(b"</html>\n"))

    def test_bodyless_answers(self):
        class Root(circuits_web.Controller):
            def code(self, code):
                self.response.code = int(code)
                return "body"

            def file(self):
                self.response.body = io.BytesIO(b"body")
                return self.response
        self.serve(Root())
        for path in ("/code/200", "/file", "/none"):
            got = self.raw(b"HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode()
                           + b"GET /code/200 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            first, _, rest = got.partition(b"\r\n\r\n")
            self.assertTrue(not rest or rest.startswith(b"HTTP/1.1 200 OK"), got)
        for code in (204, 304):
            got = self.raw(b"GET /code/%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % code)
            self.assertTrue(got.endswith(b"\r\n\r\n"), got)
            self.assertEqual(b"Content-Length" in got, False)

    def test_results(self):
        class Nested(Component):
            def nested(self):
                yield sleep(0.001)
                yield "nested"

        class Root(Component):
            channel = "web"

            def request(self, request, response):
                what = request.path[1:]
                if what == "response":
                    response.body = "as is"
                    return response
                if what == "created":
                    response.status = 201
                    return "made"
                if what == "nested":
                    return self.fire(Event.create("nested"), "*")
                if what == "generator":
                    return (piece for piece in ("a", "b"))
                if what == "stream":
                    response.body = iter(["a", b"b", "\u00fc"])
                    return response
                if what == "error":
                    return circuits_web.NotFound(request, response)
                return {"text": "ü", "bytes": b"\xff", "list": ["a", b"b"], "empty": "",
                        "none": None, "int": 42, "dict": {"a": 1}, "tuple": (1, 2)}[what]
        self.serve(Root(), Nested(), server=circuits_web.BaseServer)
        for path, expected in (
                ("text", (200, "ü".encode())), ("bytes", (200, b"\xff")), ("list", (200, b"ab")),
                ("empty", (200, b"")), ("int", (200, b"42")), ("dict", (200, b'{"a": 1}')),
                ("tuple", (200, b"[1, 2]")), ("nested", (200, b"nested")), ("response", (200, b"as is")),
                ("created", (201, b"made")), ("generator", (200, b"ab")), ("stream", (200, b"ab\xc3\xbc"))):
            self.assertEqual(self.get("/" + path), expected)
        for path in ("none", "error"):
            self.assertEqual(self.get("/" + path)[0], 404)
        self.assertEqual(self.ask("/stream")[1]["Transfer-Encoding"], "chunked")

    def test_a_value_that_is_filled_later(self):
        class Fill(Event):
            pass

        class Root(Component):
            channel = "web"

            def request(self, request, response):
                value = circuits.Value()
                Timer(0.001, Fill(value), self.channel).register(self)
                return value

            def fill(self, value):
                value.value = "filled"
        self.serve(Root(), server=circuits_web.BaseServer)
        self.assertEqual(self.get(), (200, b"filled"))

    def test_what_cannot_be_sent_is_a_500_and_no_hang(self):
        class Root(circuits_web.Controller):
            def odd(self):
                return object()

            def header(self):
                self.response.headers["X"] = "a\r\nSet-Cookie: b"
                return "x"

            def status(self):
                self.response.message = "a\r\nX: y"
                return "x"

            def cookies(self):
                self.cookie["a"] = "b"
                self.cookie["a"]["path"] = "/; domain=evil"
                return "x"

            def encoding(self):
                self.response.encoding = "ascii"
                return "ü"
        self.serve(Root())
        for path in ("odd", "header", "status", "cookies", "encoding"):
            self.expect_stderr("Error")
            status, headers, body = self.ask("/" + path)
            self.assertEqual((status, headers["Set-Cookie"]), (500, None), path)

    def test_a_failing_handler_is_a_500_without_details(self):
        rec = Recorder()
        self.serve(Greeter(), rec)
        self.expect_stderr("ValueError")
        status, body = self.get("/boom")
        self.assertEqual(status, 500)
        self.assertEqual(rec.named("error")[0].args[3].__self__.name, "Greeter")
        for leak in (b"secret", b"Traceback", b"circuits_web.py", b"ValueError"):
            self.assertNotIn(leak, body)
        wait_for(lambda: "close" in rec.names)
        self.assertFired(rec, "request", "boom", "error", "httperror", "response", "close")
        self.assertIs(rec.named("error")[0].args[0], ValueError)

    def test_debug_shows_the_traceback_escaped(self):
        self.serve(Greeter(), debug=True)
        self.expect_stderr("ValueError")
        status, body = self.get("/boom")
        self.assertIn(b"&lt;secret&gt;", body)
        self.assertIn(b"Traceback" if b"Traceback" in body else b"ERROR: ", body)

    def test_a_guard_at_default_priority_guards(self):
        class Guard(Component):
            channel = "web"

            @handler("request", filter=True)
            def _on_request(self, request, response):
                if request.path.startswith("/greet"):
                    return circuits_web.Forbidden(request, response)
                if request.path.startswith("/add"):
                    raise RuntimeError("cannot decide")

            def request(self, request, response):
                if request.path.startswith("/args"):
                    raise RuntimeError("neither can I")
        self.serve(Greeter(), Guard())
        self.assertEqual(self.get("/greet/x")[0], 403)
        self.assertEqual(self.get("/%67reet/x")[0], 403)
        self.assertEqual(self.get("/./x/../greet/x")[0], 403)
        for path in ("/add/1/2", "/args"):
            self.expect_stderr("RuntimeError")
            self.assertEqual(self.get(path)[0], 500)
        self.assertEqual(self.get("/"), (200, b"Hello World!"))

    def test_error_pages_by_accept_and_everything_escaped(self):
        self.serve(Greeter())
        status, body = self.get("/missing")
        self.assertIn(b"nothing &lt;here&gt;", body)
        status, headers, body = self.ask("/missing", Accept="application/json")
        self.assertEqual(json.loads(body), {"code": 404, "name": "Not Found",
                                            "description": "nothing <here>"})
        self.assertEqual(headers["Content-Type"], "application/json")
        status, headers, body = self.ask("/missing", Accept="text/plain")
        self.assertEqual(body.splitlines()[0], b"404 Not Found")
        self.assertEqual(self.get("/gone")[0], 410)
        for path in ("/<script>", "/x?<script>", "/only/<script>"):
            got = self.raw(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
            self.assertNotIn(b"<script>", got.replace(b"'<script>'", b"") if b"200 OK" in got else got)

    def test_handlers_of_httperror_may_change_the_page(self):
        class Pages(Component):
            channel = "web"

            def httperror(self, event, request, response, code, **kwargs):
                if request.path == "/missing":
                    event.description = "changed"
                elif request.path == "/gone":
                    return "my page"
                elif request.path == "/only":
                    event.data["description"] = "<data>"
                elif request.path == "/boom":
                    raise RuntimeError("in the page")
        self.serve(Greeter(), Pages())
        self.assertIn(b"changed", self.get("/missing")[1])
        self.assertEqual(self.get("/gone"), (410, b"my page"))
        self.assertIn(b"<p>&lt;data&gt;</p>", self.get("/only")[1])
        self.expect_stderr("in the page")
        self.assertEqual(self.get("/boom")[0], 500)

    def test_response_handlers(self):
        class Upper(Component):
            channel = "web"

            @handler("response", priority=1.0)
            def _on_response(self, response):
                if response.request.path == "/add/1/2":
                    raise RuntimeError("odd")
                response.body = "".join(response.body).upper()
        self.serve(Greeter(), Upper())
        self.assertEqual(self.get(), (200, b"HELLO WORLD!"))
        self.expect_stderr("RuntimeError")
        self.assertEqual(self.get("/add/1/2"), (200, b"3"))

    def test_a_response_filter_that_fails_is_a_500(self):
        class Bad(Component):
            channel = "web"

            @handler("response", priority=1.0, filter=True)
            def _on_response(self, response):
                if response.code == 200:
                    raise RuntimeError("odd")
        self.serve(Greeter(), Bad())
        self.expect_stderr("RuntimeError")
        self.assertEqual(self.get()[0], 500)

    def test_redirects(self):
        self.serve(Greeter())
        status, headers, body = self.ask("/moved")
        self.assertEqual((status, headers["Location"]),
                         (303, "http://127.0.0.1:%d/greet?name=there" % self.port))
        self.assertIn(b"<a href=", body)
        self.assertEqual(self.ask("/raised")[0], 302)
        request = circuits_web.HTTPRequest(None, headers=circuits_web.Headers([("Host", "h")]))
        for urls, location in (("//evil.com", "http://h/evil.com"), ("x\r\ny", "http://h/x%0D%0Ay"),
                               ("../../x", "http://h/x"), ("http://other/", "http://other/")):
            event = circuits_web.Redirect(request, circuits_web.HTTPResponse(request), urls)
            self.assertEqual(event.response.headers["Location"], location)
        for code, text in ((200, "between 300 and 399"), (306, "306 status code is unknown")):
            with self.assertRaisesRegex(ValueError, text):
                circuits_web.Redirect(request, circuits_web.HTTPResponse(request), "/", code)

    def test_streams_of_the_application(self):
        class Root(circuits_web.Controller):
            def index(self):
                self.response.stream = True
                response = self.response
                Timer(0.001, circuits_web.Stream(response, "a"), "web").register(self)
                Timer(0.002, circuits_web.Stream(response, b"b"), "web").register(self)
                Timer(0.003, circuits_web.Stream(response, None), "web").register(self)
                return self.response
        self.serve(Root())
        self.assertEqual(self.get(), (200, b"ab"))
        self.assertEqual(self.raw(b"GET / HTTP/1.0\r\n\r\n").split(b"\r\n\r\n")[1], b"ab")

    def test_streams_wait_for_the_peer_and_end_with_it(self):
        class Pieces:
            made = 0
            closed = False

            def __iter__(self):
                return self

            def __next__(self):
                self.made += 1
                return b"x" * 65536

            def close(self):
                self.closed = True
        pieces = Pieces()

        class Root(circuits_web.Controller):
            def index(self):
                self.response.body = pieces
                return self.response
        self.serve(Root())
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(HELLO)
            self.assertTrue(sock.recv(100))
            [conn] = self.app.http._connections.values()
            wait_for(lambda: conn.drain is not None)
            made = pieces.made
            self.assertLess(made, 500)
            for _ in range(3 * made):
                sock.recv(65536)
            wait_for(lambda: pieces.made > made)
        wait_for(lambda: pieces.closed)

    def test_a_large_body_does_not_pile_up_before_a_slow_peer(self):
        class Root(circuits_web.Controller):
            def index(self):
                return "x" * 20000000
        self.serve(Root())
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            head = sock.recv(100)
            [conn] = self.app.http._connections.values()
            wait_for(lambda: conn.drain is not None)
            self.assertLess(conn.sock.pending, 1000000)
            total = len(head)
            while True:
                piece = sock.recv(1000000)
                total += len(piece)
                if not piece:
                    break
            self.assertGreater(total, 20000000)
            self.assertIn(b"HTTP/1.0 200 OK", head)

    def test_a_stream_that_fails_is_cut_not_ended(self):
        class Root(circuits_web.Controller):
            def index(self):
                def body():
                    yield "a"
                    raise RuntimeError("in the body")
                self.response.body = body()
                return self.response

            def agen(self):
                async def body():
                    yield "a"
                    await sleep(0.001)
                    yield "b"
                self.response.body = body()
                return self.response
        self.serve(Root())
        self.expect_stderr("in the body")
        got = self.raw(HELLO)
        self.assertTrue(got.endswith(b"1\r\na\r\n"), got)
        self.assertEqual(self.get("/agen"), (200, b"ab"))

    def test_deadlines(self):
        clock = FakeClock()
        app = circuits_web.Server(("127.0.0.1", 0)) + Greeter()
        app.clock = clock
        self.addCleanup(app.server.close)
        pump(app)
        for sent, seconds, expected in (
                (b"", 31, b""), (b"GET / HT", 31, b"HTTP/1.1 408"),
                (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", 62, b"HTTP/1.1 408"),
                (HELLO, 61, b"Hello World!")):
            with socket.create_connection(("127.0.0.1", app.port)) as sock:
                sock.settimeout(PATIENCE)
                sock.sendall(sent)
                pump(app, lambda: app.http._connections)
                if sent:
                    pump(app, lambda: all(c.deadline != clock.now + 30 or len(c.parser)
                                          for c in app.http._connections.values()))
                if sent is HELLO:
                    got = b""
                    while b"World" not in got:
                        app.tick(0.01)
                        sock.setblocking(False)
                        try:
                            got += sock.recv(1000)
                        except BlockingIOError:
                            pass
                else:
                    got = b""
                clock.advance(1.5)
                app.tick(0.01)
                self.assertEqual(len(app.http._connections), 1)
                clock.advance(seconds)
                app.tick(0.01)
                app.tick(0.01)
                clock.advance(5)
                pump(app, lambda: not app.http._connections)
                sock.setblocking(True)
                got += sock.recv(10000)
                self.assertIn(expected, got)

    def test_too_many_connections(self):
        self.serve(Greeter(), max_connections=1)
        with socket.create_connection(("127.0.0.1", self.port)):
            wait_for(lambda: self.app.http._connections)
            self.assertIn(b" 503 ", self.raw(b""))
        wait_for(lambda: not self.app.http._connections)
        self.assertEqual(self.get()[0], 200)

    def test_a_peer_that_leaves_takes_its_state_along(self):
        self.serve(Greeter())
        for data in (b"", b"GET", HELLO, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"):
            with socket.create_connection(("127.0.0.1", self.port)) as sock:
                sock.sendall(data)
                wait_for(lambda: self.app.http._connections)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            wait_for(lambda: not self.app.http._connections)

    def test_base_and_two_servers_in_one_tree(self):
        class Root(circuits_web.Controller):
            def index(self):
                return self.request.server.base + " " + self.request.base + " " + self.url("x")
        other = circuits_web.Server(("127.0.0.1", 0), channel="web2")
        app = self.serve(Root(), other)
        for server in (app, other):
            self.port = server.port
            base = "http://127.0.0.1:%d" % server.port
            self.assertEqual(self.get()[1].decode(), "%s %s %s/x" % (base, base, base))
            self.assertEqual(server.http.base, base)


class TestController(WebTest):

    def test_what_a_path_means_is_the_same_each_time(self):
        class Root(circuits_web.Controller):
            def rest(self, *args):
                self.request.args.append("mine")
                return json.dumps(args)

            def form(self, **fields):
                return json.dumps(fields)

            @circuits_web.expose("user/{id:int}")
            def user(self, id):
                return str(id)
        self.serve(Root())
        for _ in range(2):
            self.assertEqual(self.get("/user/7"), (200, b"7"))
        for body, fields in (("", {}), ("a=1", {"a": "1"}), ("", {})):
            got = self.ask("/form", "POST", body, Content_Type="application/x-www-form-urlencoded")[2]
            self.assertEqual(json.loads(got), fields)
        for _ in range(3):
            for path, args in (("/rest/a", ["a"]), ("/rest/a%2Fb", ["a/b"]), ("/rest/a%252Fb", ["a%2Fb"]),
                               ("/rest/a?x=1", ["a"])):
                self.assertEqual(json.loads(self.get(path)[1]), args, path)

    def test_text_of_a_json_controller_is_json_however_it_is_made(self):
        class Root(circuits_web.JSONController):
            def plain(self):
                return "text"

            async def later(self):
                await sleep(0)
                return "text"
        self.serve(Root())
        for path in ("/plain", "/later"):
            status, headers, body = self.ask(path)
            self.assertEqual((status, headers["Content-Type"], body), (200, "application/json", b'"text"'))

    def test_controllers_that_come_and_go(self):
        class Late(circuits_web.Controller):
            channel = "/late"

            def index(self, *args):
                return "late %r" % (args,)
        app = self.serve(Greeter())
        late = Late()
        for _ in range(2):
            self.assertEqual(self.get("/late/x"), (200, b"index ('late', 'x')"))
        for _ in range(2):
            app.call_from_thread(circuits.Event.create("nothing"))
            late.register(app)
            wait_for(lambda: self.get("/late/x") == (200, b"late ('x',)"))
            late.unregister()
            wait_for(lambda: self.get("/late/x") == (200, b"index ('late', 'x')"))

    def test_paths_arguments_and_names(self):
        self.serve(Greeter())
        for path, expected in (
                ("/", b"Hello World!"), ("/index", b"Hello World!"), ("/greet", b"Hello you!"),
                ("/greet/Bob", b"Hello Bob!"), ("/greet?name=B%C3%BCb", "Hello Büb!".encode()),
                ("/greet/a%2Fb", b"Hello a/b!"), ("/greet/%2541", b"Hello %41!"), ("//greet//x/", b"Hello x!"),
                ("/add/1/2", b"3"), ("/add/1?b=2", b"3"), ("/add?a=1&b=2", b"3"),
                ("/test.txt", b"named"), ("/+test", b"named"), ("/named", b"index ('named',)"),
                ("/greet/a/b", b"index ('greet', 'a', 'b')"), ("/greet;x=1", b"Hello you!")):
            self.assertEqual(self.get(path), (200, expected), path)

    def test_strange_parameters_do_no_harm(self):
        self.serve(Greeter())
        self.assertEqual(self.get("/greet?self=1&event=2&request=3&utm=4"), (200, b"Hello you!"))
        self.assertEqual(self.get("/greet/a?name=b"), (200, b"Hello a!"))
        self.assertEqual(self.get("/add?a=1")[0], 400)
        self.assertEqual(json.loads(self.get("/args/x?self=1&a=2&a=3")[1]), [["x"], {"a": "2"}])

    def test_only_exposed_methods_are_reachable(self):
        class Root(circuits_web.Controller):
            @handler("started", channel="*")
            def started_(self, *args):
                return "no"

            def _secret(self):
                return "no"

            @handler(False)
            def helper(self):
                return "no"
        hits = []

        class Other(Component):
            def ping(self, *args):
                hits.append(args)

        class Ping(circuits_web.Controller):
            channel = "/p"

            def ping(self):
                return "ping"
        self.serve(Root(), Other(), Ping())
        for path in ("started_", "started", "unregister", "_secret", "helper", "registered", "request",
                     "fire", "stop", "init", "url", "__init__", "GET"):
            self.assertEqual(self.get("/" + path)[0], 404, path)
        self.assertEqual(self.get("/p/ping"), (200, b"ping"))
        self.assertEqual(hits, [])
        self.app.fire(Event.create("ping"), "/p")
        wait_for(lambda: hits)

    def test_a_base_controller_exposes_what_it_says(self):
        class Root(circuits_web.BaseController):
            @circuits_web.expose("index")
            def _index(self):
                return "index"

            def open(self):
                return "no"
        self.serve(Root())
        self.assertEqual(self.get(), (200, b"index"))
        self.assertEqual(self.get("/open")[0], 404)

    def test_subclasses_replace_methods(self):
        class Base(circuits_web.Controller):
            def index(self):
                return "base"

            def kept(self):
                return "kept"

        class Middle(Base):
            pass

        class Root(Middle):
            def index(self):
                return "root+" + super().index.__wrapped__(self)
        self.serve(Root())
        self.assertEqual(self.get(), (200, b"root+base"))
        self.assertEqual(self.get("/kept"), (200, b"kept"))

    def test_names_that_components_need_are_refused(self):
        with self.assertRaisesRegex(TypeError, "expose"):
            class Root(circuits_web.Controller):
                def register(self):
                    pass

    def test_the_longest_channel_wins_then_shorter_ones(self):
        class Root(circuits_web.Controller):
            def index(self, *args):
                return "root %s" % "/".join(args)

        class Deep(circuits_web.Controller):
            channel = "/a/b"

            def c(self):
                return "deep c"

        class Second(circuits_web.Controller):
            channel = "/a/b"

            def index(self):
                return "never"
        self.serve(Root(), Deep(), Second())
        self.assertEqual(self.get("/a/b/c")[1], b"deep c")
        self.assertEqual(self.get("/a/b/x")[1], b"root a/b/x")
        self.assertEqual(self.get("/a/bc")[1], b"root a/bc")

    def test_methods_of_http(self):
        class Rest(circuits_web.Controller):
            channel = "/rest"

            def GET(self, id="all"):
                return "get " + id

            def POST(self, **fields):
                return "post %s" % sorted(fields)

        self.serve(Greeter(), Rest())
        self.assertEqual(self.get("/rest/5"), (200, b"get 5"))
        self.assertEqual(self.ask("/rest", "POST", "a=1", Content_Type="application/x-www-form-urlencoded")[2],
                         b"post ['a']")
        status, headers, _ = self.ask("/rest/5", "DELETE")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, OPTIONS"))
        status, headers, _ = self.ask("/rest", "PUT")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, OPTIONS, POST"))
        status, headers, body = self.ask("/rest", "OPTIONS")
        self.assertEqual((status, headers["Allow"], body), (204, "GET, HEAD, OPTIONS, POST", b""))
        status, headers, body = self.ask("/rest/7", "HEAD")
        self.assertEqual((status, headers["Content-Length"], body), (200, "5", b""))
        self.assertEqual(self.ask("/only", "POST")[2], b"posted")
        status, headers, _ = self.ask("/only")
        self.assertEqual((status, headers["Allow"]), (405, "OPTIONS, POST"))
        got = self.raw(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertIn(b" 204 ", got)
        self.assertEqual(self.ask("/", "index")[0], 200)    # a method called index is no path

    def test_absolute_targets(self):
        class Root(circuits_web.Controller):
            def index(self):
                return self.request.base
        self.serve(Root())
        got = self.raw(b"GET http://other:81/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertTrue(got.endswith(b"http://other:81"))

    def test_forms_and_uploads(self):
        class Root(circuits_web.Controller):
            def form(self, **fields):
                return json.dumps(fields)

            def upload(self, file, title=""):
                return "%s %s %s %r" % (title, file.filename, file.type, file.value)

            def raw_(self):
                return self.request.body.read()

            def json_(self):
                return json.dumps(self.request.json)
        self.serve(Root())
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        self.assertEqual(json.loads(self.ask("/form?a=q&c=1", "POST", "a=1&b=2&b=3&d=+x", **form)[2]),
                         {"a": "1", "c": "1", "b": ["2", "3"], "d": " x"})
        body = multipart((b'Content-Disposition: form-data; name="title"', b"T"),
                         (b'Content-Disposition: form-data; name="file"; filename="a/b.txt"', b"data"))
        self.assertEqual(self.ask("/upload", "POST", body, Content_Type="multipart/form-data; boundary=XX")[2],
                         b"T b.txt application/octet-stream b'data'")
        self.assertEqual(self.ask("/raw_", "POST", b"\0\1", Content_Type="x/y")[2], b"\0\1")
        self.assertEqual(self.ask("/json_", "POST", '{"a": [1]}')[2], b'{"a": [1]}')
        for path, data, status, kind in (
                ("/json_", "{", 400, "application/json"), ("/upload", body[:50], 400,
                                                           "multipart/form-data; boundary=XX"),
                ("/form", "a&" * 2000, 400, form["Content_Type"]),
                ("/form", "a" * 2000000, 413, form["Content_Type"]), ("/upload", "", 400, "text/plain")):
            self.assertEqual(self.ask(path, "POST", data, Content_Type=kind)[0], status, (path, data[:20]))

    def test_compressed_bodies_if_asked_for(self):
        import gzip
        import zlib

        class Root(circuits_web.Controller):
            def index(self, **fields):
                return "%d %s %s" % (len(self.request.body.read()), self.request.headers.get("Content-Encoding"),
                                     sorted(fields))
        data = b"a=1&b=" + b"x" * 50000
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        self.serve(Root(), decompress=True, max_body=100000)
        for coding, body in (("gzip", gzip.compress(data)), ("deflate", zlib.compress(data)), ("identity", data)):
            self.assertEqual(self.ask("/", "POST", body, Content_Encoding=coding, **form)[::2],
                             (200, b"50006 %s ['a', 'b']" % (b"None" if coding != "identity" else b"identity")))
        bomb = gzip.compress(bytes(50000000))
        for coding, body, status in (("gzip", bomb, 413), ("gzip", b"nonsense", 400), ("br", b"x", 415),
                                     ("gzip", gzip.compress(data)[:-9], 400), ("gzip", gzip.compress(b"x") * 2, 400)):
            self.assertEqual(self.ask("/", "POST", body, Content_Encoding=coding)[0], status, (coding, body[:9]))
        self.serve(Root())
        self.assertEqual(self.ask("/", "POST", b"abc", Content_Encoding="gzip")[2], b"3 gzip []")

    def test_large_bodies_go_to_disk(self):
        class Root(circuits_web.Controller):
            def index(self):
                return "%s %d" % (type(self.request.body).__name__, len(self.request.body.read()))
        self.serve(Root(), max_memory=1000)
        self.assertTrue(self.ask("/", "POST", b"x" * 500)[2].startswith(b"BytesIO 500"))
        self.assertNotIn(b"BytesIO", self.ask("/", "POST", b"x" * 5000)[2])

    def test_the_request_is_there_at_every_step(self):
        class Work(Component):
            def work(self, n):
                yield sleep(0.001 * (n % 5))
                yield n * 2

        class Root(circuits_web.Controller):
            def inner(self):
                yield sleep(0.001)
                return self.request.kwargs["n"]
            inner = handler(False)(inner)

            def gen(self, n):
                first = self.request
                value = yield self.call(Event.create("work", int(n)), "*")
                again = yield self.inner()
                try:
                    yield self.wait("never", timeout=0.001)
                except circuits.TimeoutError:
                    pass
                self.response.headers["X-N"] = n
                yield "%s %s %s %s" % (n, value.value, again, self.request is first)

            async def co(self, n):
                first = self.request
                value = await self.call(Event.create("work", int(n)), "*")
                self.response.headers["X-N"] = n
                return "%s %s %s %s" % (n, value.value, self.request.kwargs["n"], self.request is first)
        root = Root()
        self.serve(root, Work())
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        connections = []
        for n in range(30):
            sock = socket.create_connection(("127.0.0.1", self.port))
            self.addCleanup(sock.close)
            sock.settimeout(PATIENCE)
            sock.sendall(b"GET /%s?n=%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % (
                (b"gen", b"co")[n % 2], n))
            connections.append(sock)
        for n, sock in enumerate(connections):
            got = b""
            piece = sock.recv(10000)
            while piece:
                got += piece
                piece = sock.recv(10000)
            self.assertIn(b"X-N: %d\r\n" % n, got)
            self.assertTrue(got.endswith(b"%d %d %d True" % (n, n * 2, n)), got)
        with self.assertRaisesRegex(AttributeError, "only while"):
            root.request

    def test_errors_in_every_kind_of_handler(self):
        class Root(circuits_web.Controller):
            def plain(self):
                raise circuits_web.ForbiddenException()

            def gen(self):
                yield sleep(0)
                raise circuits_web.ForbiddenException()

            async def co(self):
                await sleep(0)
                raise circuits_web.ForbiddenException()

            async def bug(self):
                await sleep(0)
                raise KeyError("bug")
        self.serve(Root())
        for path in ("plain", "gen", "co"):
            self.assertEqual(self.get("/" + path)[0], 403)
        self.expect_stderr("KeyError")
        self.assertEqual(self.get("/bug")[0], 500)

    def test_json(self):
        class Root(circuits_web.JSONController):
            def index(self):
                return {"a": [1, None]}

            def nothing(self):
                return None

            async def co(self):
                return [1]

            def missing(self):
                return self.notfound()
        self.serve(Root())
        status, headers, body = self.ask()
        self.assertEqual((status, headers["Content-Type"], body), (200, "application/json", b'{"a": [1, null]}'))
        self.assertEqual(self.get("/nothing"), (200, b"null"))
        self.assertEqual(self.get("/co"), (200, b"[1]"))
        status, headers, body = self.ask("/missing")
        self.assertEqual((status, json.loads(body)["code"]), (404, 404))

    def test_cookies(self):
        class Root(circuits_web.Controller):
            def index(self):
                seen = self.cookie["a"].value if "a" in self.cookie else "none"
                self.cookie["b"] = "2"
                self.cookie["b"]["path"] = "/"
                self.cookie["__Host-c"] = "3"
                return seen
        self.serve(Root())
        status, headers, body = self.ask(Cookie='x="; a=1; path=1; bad name=2')
        self.assertEqual(body, b"1")
        self.assertEqual(headers.get_all("Set-Cookie"), ["b=2; Path=/", "__Host-c=3; Path=/; Secure"])

    def test_the_logger_writes_one_clean_line(self):
        out = io.StringIO()
        self.serve(Greeter(), circuits_web.Logger(file=out))
        self.get("/greet?name=x", User_Agent='a"b\\', Referer="http://r/\x9b31m")
        wait_for(out.getvalue)
        line = out.getvalue()
        self.assertRegex(line, r'^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:[\d:]{8}\] '
                               r'"GET /greet\?name=x HTTP/1\.1" 200 8 ')
        self.assertNotIn("\x9b", line)
        self.assertEqual(line.count("\n"), 1)


class TestStatic(WebTest):

    def setUp(self):
        self.root = self.folder()
        for name, data in (("pub/a.txt", b"hello world"), ("pub/b.html", b"<b>"), ("pub/.hidden", b"h"),
                           ("pub/.well-known/x", b"wk"), ("pub/sub/index.html", b"index"),
                           ("pub/list/<i>.txt", b"i"), ("pub/list/a b#c.txt", b"abc"),
                           ("pub/big.bin", bytes(range(256)) * 4096), ("public-secret/s.txt", b"secret"),
                           ("secret.txt", b"secret")):
            path = os.path.join(self.root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        os.symlink(os.path.join(self.root, "secret.txt"), os.path.join(self.root, "pub/out"))
        os.symlink("a.txt", os.path.join(self.root, "pub/in"))
        os.symlink(self.root, os.path.join(self.root, "pub/up"))
        os.mkfifo(os.path.join(self.root, "pub/fifo"))

    def start(self, path=None, **options):
        self.serve(circuits_web.Static(path, docroot=os.path.join(self.root, "pub"), **options), Greeter())

    def test_files_and_folders(self):
        self.start(dirlisting=True)
        status, headers, body = self.ask("/a.txt")
        self.assertEqual((status, headers["Content-Type"], body), (200, "text/plain", b"hello world"))
        self.assertEqual(headers["Content-Length"], "11")
        self.assertEqual(self.get("/sub/"), (200, b"index"))
        status, headers, _ = self.ask("/sub")
        self.assertEqual((status, headers["Location"]), (301, "http://127.0.0.1:%d/sub/" % self.port))
        self.assertEqual(self.get("/greet"), (200, b"Hello you!"))
        self.assertEqual(self.get("/big.bin")[1], bytes(range(256)) * 4096)
        self.assertEqual(self.get("/in")[1], b"hello world")
        self.assertEqual(self.get("/.well-known/x")[1], b"wk")
        status, headers, body = self.ask("/a.txt", "HEAD")
        self.assertEqual((status, headers["Content-Length"], body), (200, "11", b""))
        status, headers, _ = self.ask("/a.txt", "POST")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, OPTIONS"))

    def test_listings_are_escaped_and_their_links_work(self):
        self.start(dirlisting=True)
        status, body = self.get("/list/")
        self.assertIn(b"Index of /list", body)
        self.assertNotIn(b"<i>", body)
        self.assertIn(b'<li><a href="./a%20b%23c.txt">a b#c.txt</a></li>', body)
        self.assertIn(b'<a href="../">', body)
        self.assertEqual(self.get("/list/a%20b%23c.txt"), (200, b"abc"))
        self.assertEqual(self.get("/list/%3Ci%3E.txt"), (200, b"i"))
        self.assertNotIn(b"hidden", self.get("/")[1])

    def test_nothing_outside_is_served(self):
        self.start("/static")
        for path in ("/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/%2e%2e%2fsecret.txt",
                     "/static/..%2f..%2f..%2fetc/passwd", "/static/..%5csecret.txt", "/static/out",
                     "/static/%252e%252e/secret.txt", "/static/../public-secret/s.txt", "/static/up/secret.txt",
                     "/static//etc/passwd", "/static/.hidden", "/static/fifo", "/static/a.txt/",
                     "/static-secret/s.txt", "/static/%00", "/../../etc/passwd", "/static/....//secret.txt",
                     "/static/a.txt%00.html", "/static/" + "a/" * 3000, "/static/" + "a" * 3000):
            got = self.raw(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
            self.assertRegex(got[:20], b"HTTP/1.1 40[04] |HTTP/1.1 200 OK", path)
            self.assertNotIn(b"secret", got.replace(b"secret.txt", b"").replace(b"public-secret", b"")
                             .replace(b"static-secret", b""))
            self.assertNotIn(b"root:", got)
        self.assertEqual(self.get("/static/a.txt"), (200, b"hello world"))
        self.assertEqual(self.get("/static")[0], 200)       # the controller's index: no listing

    def test_conditions(self):
        self.start()
        status, headers, _ = self.ask("/a.txt")
        etag, modified = headers["ETag"], headers["Last-Modified"]
        for conditions, expected in (
                ({"If_None_Match": etag}, 304), ({"If_None_Match": "W/" + etag}, 304),
                ({"If_None_Match": '"x", ' + etag}, 304), ({"If_None_Match": "*"}, 304),
                ({"If_None_Match": '"x"'}, 200), ({"If_Modified_Since": modified}, 304),
                ({"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
                ({"If_Modified_Since": "nonsense"}, 200),
                ({"If_None_Match": '"x"', "If_Modified_Since": modified}, 200),
                ({"If_Match": etag}, 200), ({"If_Match": '"x"'}, 412), ({"If_Match": "*"}, 200),
                ({"If_Unmodified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 412),
                ({"If_Unmodified_Since": modified}, 200)):
            status, headers, body = self.ask("/a.txt", **conditions)
            self.assertEqual(status, expected, conditions)
            if status == 304:
                self.assertEqual((body, headers["ETag"]), (b"", etag))

    def test_ranges(self):
        self.start()
        for value, status, body, where in (
                ("bytes=0-4", 206, b"hello", "bytes 0-4/11"), ("bytes=6-", 206, b"world", "bytes 6-10/11"),
                ("bytes=-5", 206, b"world", "bytes 6-10/11"), ("bytes=-99", 206, b"hello world", "bytes 0-10/11"),
                ("bytes=6-99", 206, b"world", "bytes 6-10/11"), ("bytes=4-2", 200, b"hello world", None),
                ("bytes=x", 200, b"hello world", None), ("lines=0-1", 200, b"hello world", None),
                ("bytes=+1-2", 200, b"hello world", None),
                ("bytes=" + "0-1," * 20000 + "0-1", 200, b"hello world", None),
                ("bytes=0-9,0-9", 200, b"hello world", None)):
            if len(value) > 60000:
                value = "bytes=" + "0-1," * 5000
            got = self.ask("/a.txt", Range=value)
            self.assertEqual((got[0], got[2], got[1]["Content-Range"]), (status, body, where), value[:99])
        status, headers, body = self.ask("/a.txt", Range="bytes=11-")
        self.assertEqual((status, headers["Content-Range"]), (416, "bytes */11"))
        status, headers, body = self.ask("/a.txt", Range="bytes=0-1, 4-5")
        self.assertEqual(status, 206)
        boundary = headers["Content-Type"].partition("boundary=")[2].encode()
        self.assertEqual(body, b"".join(
            b"\r\n--%b\r\nContent-Type: text/plain\r\nContent-Range: bytes %d-%d/11\r\n\r\n%b" % (boundary, *part)
            for part in ((0, 1, b"he"), (4, 5, b"o "))) + b"\r\n--%b--\r\n" % boundary)
        self.assertEqual(int(headers["Content-Length"]), len(body))
        etag = self.ask("/a.txt")[1]["ETag"]
        self.assertEqual(self.ask("/a.txt", Range="bytes=0-1", If_Range=etag)[0], 206)
        self.assertEqual(self.ask("/a.txt", Range="bytes=0-1", If_Range='"x"')[0], 200)

    def test_no_file_stays_open(self):
        self.start()
        self.ask("/a.txt")
        wait_for(lambda: not self.app.http._connections)
        before = len(os.listdir("/proc/self/fd"))
        for path, headers in (("/a.txt", {}), ("/a.txt", {"Range": "bytes=99-"}), ("/a.txt", {"If_None_Match": "*"}),
                              ("/a.txt", {"Range": "bytes=0-1,3-4"})):
            self.ask(path, **headers)
            self.ask(path, "HEAD", **headers)
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            sock.recv(10)
        wait_for(lambda: not self.app.http._connections)
        wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before)

    def test_precompressed_siblings(self):
        for name, data in (("a.txt.gz", b"gzipped"), ("a.txt.br", b"brotli"), ("c.txt", b"plain")):
            with open(os.path.join(self.root, "pub", name), "wb") as file:
                file.write(data)
        os.symlink(os.path.join(self.root, "secret.txt"), os.path.join(self.root, "pub/c.txt.gz"))
        self.start(precompressed=True)
        for path, accept, coding, body in (
                ("/a.txt", "gzip", "gzip", b"gzipped"), ("/a.txt", "gzip, br", "br", b"brotli"),
                ("/a.txt", "", None, b"hello world"), ("/a.txt", "gzip;q=0", None, b"hello world"),
                ("/c.txt", "gzip", None, b"plain")):
            status, headers, got = self.ask(path, Accept_Encoding=accept)
            self.assertEqual((status, headers["Content-Encoding"], headers["Content-Type"], headers["Vary"], got),
                             (200, coding, "text/plain", "Accept-Encoding", body))

    def test_pipelined_files_in_order(self):
        self.start()
        data = b"".join(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a.txt", b"big.bin", b"greet")[n % 3]
                        for n in range(30)) + b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        got = self.raw(data)
        self.assertEqual(got.count(b"HTTP/1.1 200 OK"), 31)
        self.assertEqual(got.count(bytes(range(256)) * 4096), 10)
        self.assertTrue(got.endswith(b"hello world"))

    def test_serve_file_and_download(self):
        path = os.path.join(self.root, "pub/a.txt")

        class Root(circuits_web.Controller):
            channel = "/c"

            def file(self):
                return self.serve_file(path)

            def load(self):
                return self.serve_download(path, "näme\".txt")

            def relative(self):
                return self.serve_file("a.txt")

            def missing(self):
                return self.serve_file(path + "x")
        self.serve(Root())
        self.assertEqual(self.get("/c/file"), (200, b"hello world"))
        status, headers, body = self.ask("/c/load")
        self.assertEqual((headers["Content-Type"], headers["Content-Disposition"]),
                         ("application/x-download",
                          "attachment; filename=\"n_me_.txt\"; filename*=UTF-8''n%C3%A4me%22.txt"))
        self.assertEqual(self.get("/c/missing")[0], 404)
        self.expect_stderr("is not an absolute path.")
        self.assertEqual(self.get("/c/relative")[0], 500)

    def test_events_of_a_file(self):
        rec = Recorder()
        self.serve(circuits_web.Static(docroot=os.path.join(self.root, "pub")), rec)
        self.assertEqual(self.get("/a.txt"), (200, b"hello world"))
        wait_for(lambda: len(rec.named("stream")) == 2)
        self.assertFired(rec, "request", "request_success", "response", "write", "stream", "write", "stream")
        self.assertEqual([event.args[1] for event in rec.named("stream")], [b"hello world", None])


class TestStreams(WebTest):

    def test_a_body_may_take_its_time(self):
        clock = FakeClock()

        class Root(circuits_web.Controller):
            def index(self):
                async def pieces():
                    yield "one"
                    await sleep(1000)
                    yield "two"
                self.response.body = pieces()
                return self.response
        app = circuits_web.Server(("127.0.0.1", 0)) + Root()
        app.clock = clock
        with serving(app), socket.create_connection(("127.0.0.1", app.port), PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            got = bytearray()
            while b"one" not in got:
                got += sock.recv(1000)
            sock.setblocking(False)

            def time_passes():
                clock.advance(2)                # to far beyond write_timeout
                app._reactor.call_soon(lambda: None)
                try:
                    got.extend(sock.recv(1000))
                except BlockingIOError:
                    pass
                return b"two" in got
            wait_for(time_passes)

    class Root(circuits_web.Controller):
        seen = []

        @circuits_web.expose(stream=True)
        async def take(self):
            total = 0
            async for piece in self.request.body:
                total += len(piece)
            return "took %d %s" % (total, self.request.headers.get("X"))

        @circuits_web.expose(stream=True)
        def gen(self):
            total = 0
            while True:
                piece = yield self.request.body.get()
                if not piece:
                    break
                total += len(piece)
            yield "took %d" % total

        @circuits_web.expose(stream=True)
        async def slow(self):
            self.seen.append(self.request.body)
            while not self.seen[1:]:
                await sleep(0.001)
            async for piece in self.request.body:
                pass
            return "read %d" % self.request.body.size

        @circuits_web.expose(stream=True)
        def early(self):
            return "early"

        @circuits_web.expose(stream=True)
        async def fails(self):
            async for piece in self.request.body:
                raise circuits_web.ForbiddenException()

        def plain(self):
            return "plain %d" % len(self.request.body.read())

    def start(self, **options):
        self.root = self.Root()
        self.root.seen = []
        self.serve(self.root, **options)

    def test_bodies_are_taken_while_they_arrive(self):
        self.start()
        for path in ("/take", "/gen"):
            for size in (0, 1, 100000, 3000000):
                body = self.ask(path, "POST", b"x" * size)[2]
                self.assertTrue(body.startswith(b"took %d" % size), (path, size, body))
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.settimeout(PATIENCE)
            sock.sendall(b"POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(100):
                sock.sendall(b"5\r\nhello\r\n")
            sock.sendall(b"0\r\n\r\n" + HELLO.replace(b"GET /", b"GET /plain"))
            got = b""
            while b"plain 0" not in got:
                got += sock.recv(10000)
            self.assertIn(b"took 500 None", got)

    def both_ways(self):
        """A controller that answers piece by piece to pieces that arrive."""
        class Root(circuits_web.Controller):
            async def _answers(self, body):
                yield "begin"
                async for piece in body:
                    yield "<%s>" % piece.decode()
                yield "end"

            @circuits_web.expose("plain", stream=True)
            def _plain(self):
                self.response.body = self._answers(self.request.body)
                return self.response

            @circuits_web.expose("events", stream=True)
            def _events(self):
                return circuits_web.EventStream(self.request, self.response, self._answers(self.request.body))
        return Root()

    def test_both_ways_at_once(self):
        self.serve(self.both_ways())
        for path in (b"plain", b"events"):
            for framing, wrap, last in ((b"Content-Length: 6", b"%s", b""),
                                        (b"Transfer-Encoding: chunked", b"2\r\n%s\r\n", b"0\r\n\r\n")):
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                    sock.sendall(b"POST /%s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" % (path, framing))
                    got = b""
                    for sent, expected in ((b"", b"begin"), (b"ab", b"<ab>"), (b"cd", b"<cd>"), (b"ef", b"<ef>")):
                        sock.sendall(wrap % sent if sent else b"")
                        while expected not in got:
                            got += sock.recv(1000)
                    sock.sendall(last)
                    while not got.endswith(b"0\r\n\r\n"):
                        got += sock.recv(1000)
                    self.assertIn(b"end", got)

    def test_the_sweep_goes_by_one_look_at_the_clock(self):
        app = circuits_web.Server(("127.0.0.1", 0))
        self.addCleanup(app.server.close)
        ticks = iter(range(100, 200))
        app.clock = lambda: next(ticks)
        app.http._connections["sock"] = circuits_web._Connection("sock", None)
        app.http._sweep()
        self.assertEqual(app.http._sweeper[0], app.http._now + 1)

    def test_both_ways_have_their_deadlines(self):
        for path, alive in ((b"plain", False), (b"events", True)):
            clock = FakeClock()
            app = circuits_web.Server(("127.0.0.1", 0)) + self.both_ways()
            app.clock = clock
            with serving(app), socket.create_connection(("127.0.0.1", app.port), PATIENCE) as sock:
                sock.sendall(b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n" % path)

                def turn(seconds):
                    for _ in range(seconds):
                        clock.advance(1)
                        app._reactor.call_soon(lambda: None)
                        wait_for(lambda: app.http._now >= clock.now or not app.http._connections)
                got = b""
                for sent in (b"", b"ab", b"cd"):
                    sock.sendall(sent)
                    while (sent or b"begin") not in got:
                        got += sock.recv(1000)
                    turn(50)
                    self.assertEqual(len(app.http._connections), 1)
                turn(50)                        # the peer is too slow; a stream may last
                self.assertEqual(len(app.http._connections), alive, path)
                if alive:
                    sock.sendall(b"efghi")
                    while b"end" not in got:
                        got += sock.recv(1000)
                    self.assertGreater(got.count(b":\n\n"), 8)

    def test_a_slow_handler_slows_the_peer_down(self):
        self.start()
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            size = 30000000
            sock.sendall(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            wait_for(lambda: self.root.seen)
            sock.setblocking(False)
            sent = 0
            piece = b"x" * 65536
            [conn] = self.app.http._connections.values()

            def push():
                nonlocal sent
                try:
                    sent += sock.send(piece[:size - sent])
                except BlockingIOError:
                    return conn.paused
            wait_for(push)
            self.assertLess(self.root.seen[0].ahead, 500000)
            self.root.seen.append("go on")
            sock.setblocking(True)
            sock.settimeout(PATIENCE)
            while sent < size:
                sent += sock.send(piece[:size - sent])
            self.assertIn(b"read %d" % size, sock.recv(10000))

    def test_early_answers_close_and_can_be_read(self):
        self.start()
        for path, expected in ((b"early", b"early"), (b"fails", b" 403 ")):
            got = self.raw(b"POST /" + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n"
                           + b"x" * 300000)
            self.assertIn(expected, got)
            self.assertIn(b"Connection: close", got)
            self.assertEqual(got.count(b"HTTP/1.1 2") + got.count(b"HTTP/1.1 4"), 1)

    def test_a_peer_that_breaks_off_is_no_error_of_ours(self):
        self.start()
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc")
            wait_for(lambda: any(c.request for c in self.app.http._connections.values()))
        wait_for(lambda: not self.app.http._connections)
        got = self.raw(b"POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloxx")
        self.assertTrue(got.startswith(b"HTTP/1.1 400"), got)

    def test_guards_run_before_the_body_is_there(self):
        class Guard(Component):
            channel = "web"

            @handler("request", filter=True)
            def _on_request(self, request, response):
                return circuits_web.Forbidden(request, response)
        self.start()
        Guard().register(self.app)
        got = self.raw(b"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nabc")
        self.assertIn(b" 403 ", got)


class TestStopping(WebTest):

    CODE = """
        import sys
        from circuits import sleep
        from circuits_web import Server, Controller
        class Root(Controller):
            async def index(self, seconds="0"):
                print("working", flush=True)
                await sleep(float(seconds))
                return "done"
        app = Server(("127.0.0.1", 0), grace=%s) + Root()
        print(app.port, flush=True)
        app.run()
        print("ended", flush=True)
    """

    def launch(self, grace=20):
        import textwrap
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(self.CODE % grace)],
                                   stdout=subprocess.PIPE, universal_newlines=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.port = int(process.stdout.readline())
        return process

    def connect(self, data=b""):
        sock = socket.create_connection(("127.0.0.1", self.port))
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.sendall(data)
        return sock

    def test_requests_in_work_finish(self):
        process = self.launch()
        idle = self.connect(HELLO)
        self.assertIn(b"done", idle.recv(1000))
        busy = self.connect(b"GET /?seconds=0.3 HTTP/1.1\r\nHost: a\r\n\r\n" + HELLO)
        self.assertEqual([process.stdout.readline(), process.stdout.readline()], ["working\n"] * 2)
        process.terminate()
        self.assertEqual(idle.recv(1000), b"")
        got = b""
        piece = busy.recv(1000)
        while piece:
            got += piece
            piece = busy.recv(1000)
        busy.close()                # else the server lingers
        self.assertIn(b"Connection: close", got)
        self.assertTrue(got.endswith(b"\r\n\r\ndone"), got)
        self.assertEqual(process.stdout.readline(), "ended\n")

    def test_a_second_signal_or_the_end_of_grace_ends_at_once(self):
        for grace, signals in ((60, 2), (0.05, 1)):
            process = self.launch(grace)
            busy = self.connect(b"GET /?seconds=100 HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(process.stdout.readline(), "working\n")
            other = self.connect(HELLO)
            self.assertEqual(process.stdout.readline(), "working\n")
            self.assertIn(b"done", other.recv(1000))
            for number in range(signals):
                process.terminate()
                if not number:
                    self.assertEqual(other.recv(1), b"")
            self.assertEqual(process.stdout.readline(), "ended\n")
            self.assertEqual(busy.recv(1), b"")


class TestWebWorkers(TestStopping):

    CODE = """
        import os, sys, threading
        from circuits import sleep
        from circuits_web import Server, Controller
        class Root(Controller):
            async def index(self, seconds="0"):
                await sleep(float(seconds))
                return str(os.getpid())
            def die(self):
                os._exit(7)
            def share(self):
                return str(app.server.accepts_per_turn)
        app = Server(("127.0.0.1", 0), workers=2, grace=%s) + Root()
        print(app.port, flush=True)
        app.run()
        print("ended", flush=True)
    """

    test_requests_in_work_finish = test_a_second_signal_or_the_end_of_grace_ends_at_once = None

    def pids(self, enough=2, not_in=()):
        found = set()

        def look():
            try:
                status, body = self.get()
            except (OSError, http.client.HTTPException):
                return False
            if body not in not_in:
                found.add(body)
            return len(found) >= enough
        wait_for(look)
        return found

    def test_workers_need_run(self):
        self.expect_stderr("Workers(tree, 2).run()")
        self.serve(Greeter(), workers=2)
        self.assertEqual(self.get()[0], 200)

    def test_all_answer_the_dead_are_replaced_and_they_end_together(self):
        process = self.launch()
        first = self.pids()
        self.assertEqual(self.get("/share"), (200, b"1"))
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.get("/die")
        second = self.pids(2, not_in=())
        wait_for(lambda: len(self.pids(1, not_in=first)) == 1)
        busy = self.connect(b"GET /?seconds=0.3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        process.send_signal(1)                              # SIGHUP: all are replaced
        self.pids(2, not_in=first | second)
        self.assertIn(b" 200 OK", busy.recv(10000))
        process.terminate()
        self.assertEqual(process.stdout.readline(), "ended\n")
        self.assertEqual(process.wait(PATIENCE), 0)
        with self.assertRaises(OSError):
            self.get()


class TestHTTPS(WebTest):

    def test_pages_and_files_over_tls(self):
        import ssl
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        folder = self.folder(**{"a.txt": "hello" * 100000})
        pem = os.path.join(folder, "pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem + ".key", "-out",
                        pem, "-days", "1", "-subj", "/CN=localhost"], check=True, stderr=subprocess.DEVNULL)

        class Root(circuits_web.Controller):
            def index(self):
                return "%s %s" % (self.request.scheme, self.request.base)
        self.serve(Root(), circuits_web.Static("/s", docroot=folder), secure=True, certfile=pem, keyfile=pem + ".key")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        for path, expected in (("/", b"https https://127.0.0.1:%d" % self.port), ("/s/a.txt", b"hello" * 100000)):
            with urllib.request.urlopen("https://127.0.0.1:%d%s" % (self.port, path), context=context) as answer:
                self.assertEqual(answer.read(), expected)
        self.assertIn(b" 400 ", self.raw(HELLO))


class TestPatterns(WebTest):

    def test_parts_that_vary(self):
        class Root(circuits_web.Controller):
            channel = "/api"

            @circuits_web.expose("user/{id:int}")
            def user(self, id, verbose=""):
                return "user %r %s" % (id, verbose)

            @circuits_web.expose("user/{name}/posts/{score:float}", methods=("GET",))
            def posts(self, name, score):
                return "posts %r %r" % (name, score)

            @circuits_web.expose("files/{rest:path}")
            async def files(self, rest):
                return "files " + rest

            @circuits_web.expose("a/b")
            def fixed(self):
                return "fixed"

            def user_(self, *args):
                return "no"

            def index(self, *args):
                return "index %s" % (args,)
        self.serve(Root())
        for path, expected in (
                ("/user/5", "user 5 "), ("/user/5?id=7&verbose=1", "user 5 1"), ("/user/x", "index"),
                ("/user/-5", "index"), ("/user/%D9%A5", "index"), ("/user/" + "9" * 30, "index"),
                ("/user/a%2Fb/posts/1.5", "posts 'a/b' 1.5"), ("/user/a/posts/1e5", "index"),
                ("/files/a/b%20c", "files a/b c"), ("/files", "index"), ("/a/b", "fixed"), ("/a", "index")):
            status, body = self.get("/api" + path)
            self.assertEqual(status, 200)
            self.assertTrue(body.decode().startswith(expected), (path, body))
        status, headers, _ = self.ask("/api/user/a/posts/1", "POST")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, OPTIONS"))

    def test_bad_ones_are_refused_at_once(self):
        for name in ("a/{b", "{a:what}", "{a:path}/b", "x{a}", "{1}"):
            with self.assertRaises(ValueError):
                circuits_web.expose(name)(lambda self: None)


class TestWebSmall(WebTest):

    def test_allowed_hosts(self):
        self.serve(Greeter(), circuits_web.AllowedHosts(["good.example", "*.wild.example", "[::1]"]))
        for host, status in ((b"good.example", 200), (b"GOOD.example:81", 200), (b"a.wild.example", 200),
                             (b"[::1]:80", 200), (b"wild.example", 421), (b"a.b.wild.example", 421),
                             (b"evil", 421), (b"evilgood.example", 421), (b"", 421)):
            got = self.raw(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
            self.assertTrue(got.startswith(b"HTTP/1.1 %d " % status), (host, got[:50]))

    def test_cors(self):
        with self.assertRaises(ValueError):
            circuits_web.CORS(["*"], credentials=True)
        self.serve(Greeter(), circuits_web.CORS(["https://app"], credentials=True))
        status, headers, body = self.ask("/", "OPTIONS", Origin="https://app",
                                         Access_Control_Request_Method="PUT")
        self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (204, "https://app"))
        self.assertIn("PUT", headers["Access-Control-Allow-Methods"])
        for origin, expected in (("https://app", "https://app"), ("https://evil", None), ("null", None)):
            headers = self.ask("/", Origin=origin)[1]
            self.assertEqual((headers["Access-Control-Allow-Origin"], headers["Vary"]), (expected, "Origin"))

    def test_security_headers(self):
        self.serve(Greeter(), circuits_web.SecurityHeaders(hsts=60))
        headers = self.ask("/")[1]
        self.assertEqual(headers["Content-Security-Policy"], "default-src 'self'")
        self.assertEqual(headers["Strict-Transport-Security"], "max-age=60")
        self.assertEqual(headers["X-Frame-Options"], "DENY")

    def test_health(self):
        well = [True]
        self.serve(Greeter(), circuits_web.Health(db=lambda: well[0], other=lambda: True))
        self.assertEqual(self.get("/health"), (200, b"ok\n"))
        well[0] = False
        self.assertEqual(self.get("/health"), (503, b"failing: db\n"))

    def test_csrf_tokens(self):
        session = {}
        tokens = [circuits_web.csrf_token(session) for _ in range(3)]
        self.assertEqual(len(set(tokens)), 3)
        for token in tokens:
            self.assertTrue(circuits_web.check_csrf(session, token))
        for token in (None, "", "x" * 64, "0" * 64, tokens[0][:-1] + "g", tokens[0][:32] + tokens[1][32:], ["a"]):
            self.assertFalse(circuits_web.check_csrf(session, token))
        self.assertFalse(circuits_web.check_csrf({}, tokens[0]))

    def test_a_json_log(self):
        out = io.StringIO()
        self.serve(Greeter(), circuits_web.Logger(file=out, json=True))
        self.get("/greet?x=%22")
        wait_for(out.getvalue)
        self.assertEqual(json.loads(out.getvalue())["request"], "GET /greet?x=%22 HTTP/1.1")

    def test_the_banner(self):
        self.expect_stderr("circuits/2.1.0 ready! Listening on: http://127.0.0.1:")
        self.serve(Greeter(), display_banner=True)
        self.get()


class TestOtherTransports(WebTest):

    def test_standard_input_and_output(self):
        out = []

        class Out(Component):
            channel = "stdout"

            def write(self, data):
                out.append(data)
        app = circuits_web.StdinServer() + Greeter() + Out()
        pump(app)
        app.fire(circuits_web.Read(b"GET /greet/x HTTP/1.0\r\n"), "stdin")
        app.fire(circuits_web.Read(b"\r\n"), "stdin")
        pump(app)
        self.assertTrue(b"".join(out).endswith(b"Hello x!"), out)

    def test_another_protocol_after_101(self):
        class Echo(Component):
            channel = "web"
            socks = set()

            def request(self, request, response):
                if request.path == "/upgrade":
                    self.socks.add(request.sock)
                    response.status = 101
                    response.headers["Upgrade"] = "echo"
                    response.headers["Connection"] = "Upgrade"
                    return response

            def read(self, sock, data):
                if sock in self.socks:
                    return data.upper()
        self.serve(Echo(), Greeter())
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.settimeout(PATIENCE)
            sock.sendall(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly ")
            got = b""
            while b"EARLY " not in got:
                got += sock.recv(1000)
            self.assertTrue(got.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"))
            self.assertNotIn(b"Content-", got)
            sock.sendall(b"late")
            self.assertEqual(sock.recv(100), b"LATE")
        wait_for(lambda: not self.app.http._gone)

    def test_every_byte_in_a_segment_of_its_own(self):
        self.serve(Greeter())
        good = (b"POST /greet HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n6\r\nname=x\r\n0\r\nX: y\r\n\r\n")
        bad = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"
        for data, expected in ((good + HELLO, (b"Hello x!", b"Hello World!")), (bad + HELLO, (b" 400 ",))):
            with socket.create_connection(("127.0.0.1", self.port)) as sock:
                sock.settimeout(PATIENCE)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for at in range(len(data)):
                    try:
                        sock.send(data[at:at + 1])
                    except OSError:
                        break
                got = b""
                while expected[-1] not in got:
                    got += sock.recv(1000)
                for text in expected:
                    self.assertIn(text, got)
                self.assertEqual(len(re.findall(b"HTTP/1.1 [2-5]", got)), len(expected))


class TestVirtualHosts(WebTest):

    def test_the_host_chooses_the_prefix(self):
        class Foo(circuits_web.Controller):
            channel = "/foo"

            def index(self, *args):
                return "foo %s %s" % (self.request.path, "/".join(args))
        self.serve(Greeter(), Foo(), circuits_web.VirtualHosts({"foo.example:81": "foo", "bar": "/foo"}))
        for host, expected in ((b"foo.example:81", b"foo /foo/a b/c a b/c"), (b"FOO.example:81", b"foo /foo"),
                               (b"bar", b"foo /foo"), (b"bar:9", b"foo /foo"), (b"foo.example", b"index"),
                               (b"other", b"index")):
            got = self.raw(b"GET /a%20b/c HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
            self.assertIn(b"\r\n\r\n" + expected, got)
        got = self.raw(b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: bar\r\nConnection: close\r\n\r\n")
        self.assertIn(b"Hello World!", got)


class Calculator(Component):

    def eval(self, text):
        return {"1 + 2": 3}[text]

    def add(self, a, b=1):
        yield sleep(0.001)
        yield a + b

    def boom(self):
        raise ValueError("odd")

    def started(self, *args):
        return "never called by peers"

    def _private(self):
        return "no"


class TestRPC(WebTest):

    def start(self, **options):
        hits = self.hits = []

        class Wide(Component):
            channel = "wide"

            def signal(self, *args):
                hits.append(args)

            def load(self, *args):
                hits.append(args)

            def reset(self):
                return "reset"

        class Marked(Component):
            channel = "marked"

            @circuits_web.export
            def good(self):
                return "good"

            def bad(self):
                return "bad"
        self.serve(circuits_web.JSONRPC("/json", **options), circuits_web.XMLRPC("/xml", **options),
                   Calculator(), Wide(), Marked(), Greeter())

    def json(self, call, status=200):
        got = self.ask("/json", "POST", call if isinstance(call, str) else json.dumps(call))
        self.assertEqual(got[0], status)
        return json.loads(got[2]) if got[2] else None

    def test_json_calls_of_all_ages(self):
        self.start()
        for _ in range(3):              # the same answer each time, once
            self.assertEqual(self.json({"id": 1, "method": "eval", "params": ["1 + 2"]}),
                             {"id": 1, "version": "1.1", "result": 3, "error": None})
        self.assertEqual(self.json({"id": 2, "method": "add", "params": {"a": 1, "b": 5}})["result"], 6)
        self.assertEqual(self.json({"jsonrpc": "2.0", "id": "x", "method": "add", "params": [1]}),
                         {"jsonrpc": "2.0", "id": "x", "result": 2})
        self.assertIsNone(self.json({"jsonrpc": "2.0", "method": "add", "params": [1]}, 204))
        batch = [{"jsonrpc": "2.0", "id": n, "method": "add", "params": [n]} for n in range(3)]
        self.assertEqual([one["result"] for one in self.json(batch + [{"jsonrpc": "2.0", "method": "add"}][:0])],
                         [1, 2, 3])

    def test_json_errors(self):
        self.start()
        for call, code in (("{", -32700), ([], -32600), ([{}] * 51, -32600), (5, -32600),
                           ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600),
                           ({"jsonrpc": "2.0", "id": 1, "method": "add", "params": 5}, -32602),
                           ({"jsonrpc": "2.0", "id": 1, "method": "nothing"}, -32601)):
            self.assertEqual(self.json(call)["error"]["code"], code, call)
        self.expect_stderr("ValueError: odd" if False else "odd")
        self.assertEqual(self.json({"jsonrpc": "2.0", "id": 1, "method": "boom"})["error"],
                         {"code": -32000, "message": "ValueError: odd"})
        self.assertEqual(self.json({"method": "boom"})["error"],
                         {"name": "JSONRPCError", "code": 100, "message": "ValueError: odd"})
        self.assertEqual(self.ask("/json")[0], 405)

    def test_only_what_is_exported_can_be_called(self):
        self.start()
        for name in ("started", "signal", "stopped", "unregister", "load", "wide.signal", "wide.load", "*.signal",
                     "web.request", "_private", "index", "greet", "/.index", "fire", "close", "marked.bad", "bad",
                     "web.close", "registered", ".eval", "a b", ""):
            self.assertEqual(self.json({"jsonrpc": "2.0", "id": 1, "method": name})["error"]["code"], -32601, name)
        self.assertEqual(self.json({"id": 1, "method": "marked.good"})["result"], "good")
        self.assertEqual(self.json({"id": 1, "method": "wide.reset"})["result"], "reset")
        self.assertEqual(self.hits, [])

    def test_a_list_of_methods_is_all_there_is(self):
        self.start(methods=["eval"])
        self.assertEqual(self.json({"id": 1, "method": "eval", "params": ["1 + 2"]})["result"], 3)
        for name in ("add", "marked.good", "started"):
            self.assertIsNotNone(self.json({"id": 1, "method": name})["error"])

    def test_xml(self):
        import xmlrpc.client
        self.start()
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1:%d/xml" % self.port, allow_none=True)
        with proxy:
            for _ in range(3):
                self.assertEqual(proxy.eval("1 + 2"), 3)
            self.assertEqual(proxy.add(2, 3), 5)
            self.assertEqual(proxy.wide.reset(), "reset")
            self.expect_stderr("odd")
            for name, text in (("boom", "ValueError: odd"), ("signal", "LookupError"), ("add", "TypeError")):
                with self.assertRaisesRegex(xmlrpc.client.Fault, text):
                    getattr(proxy, name)()
        for body in (b"<x", b"", b"<!DOCTYPE x [<!ENTITY a 'b'>]><methodCall/>", b"\xff"):
            status, _, answer = self.ask("/xml", "POST", body)
            self.assertIn(b"<fault>", answer)


class TestAuth(WebTest):

    USERS = {"bob": "secret", "ann": "pass:word"}

    def start(self):
        users = self.USERS

        class Root(circuits_web.Controller):
            def basic(self):
                return circuits_web.basic_auth(self.request, self.response, "R\"x", users, str) \
                    or "in %s" % self.request.login

            def md5(self):
                stored = {"bob": circuits_web._hash_md5("secret")}
                return circuits_web.basic_auth(self.request, self.response, "R", stored) or "in"

            def digest(self, *args, **kw):
                return circuits_web.digest_auth(self.request, self.response, "R", users) \
                    or "in %s" % self.request.login

            def function(self):
                return circuits_web.basic_auth(self.request, self.response, "R", users.get, str) or "in"

            def wrong(self):
                return circuits_web.basic_auth(self.request, self.response, "R", lambda: 5, str) or "in"
        self.serve(Root())

    @staticmethod
    def basic(text):
        import base64
        return "Basic " + base64.b64encode(text.encode()).decode()

    def test_basic(self):
        self.start()
        status, headers, body = self.ask("/basic")
        self.assertEqual((status, headers["WWW-Authenticate"]), (401, 'Basic realm="R\\"x", charset="UTF-8"'))
        for path in ("/basic", "/md5", "/function"):
            self.assertEqual(self.get(path, Authorization=self.basic("bob:secret"))[0], 200, path)
        self.assertEqual(self.get("/basic", Authorization=self.basic("ann:pass:word")), (200, b"in ann"))
        for value in ("", "Basic", "Basic x", "Basic =", "Basic Zm9v", self.basic("bob:Secret"), self.basic("bob:"),
                      self.basic(":secret"), self.basic("eve:None"), self.basic("eve:"), "Bearer x",
                      "Digest", 'Digest username="x"', "Negotiate abc", self.basic("bob:secr\u00e9t")):
            for path in ("/basic", "/digest", "/md5", "/function"):
                self.assertEqual(self.get(path, Authorization=value)[0], 401, (path, value))
        self.expect_stderr("Authentication users must be a dict")
        self.assertEqual(self.get("/wrong", Authorization=self.basic("bob:secret"))[0], 500)

    def challenge(self, path="/digest", algorithm="SHA-256"):
        for value in self.ask(path)[1].get_all("WWW-Authenticate"):
            if algorithm in value:
                return circuits_web.parse_params(value.replace("Digest ", "Digest;").replace(",", ";"))[1]

    def answer(self, nonce, nc="00000001", user="bob", password="secret", uri="/digest", method="GET",
               realm="R", algorithm="SHA-256", **changes):
        encode = circuits_web.DIGEST_AUTH_ENCODERS[algorithm]
        fields = dict(username=user, realm=realm, nonce=nonce, uri=uri, qop="auth", nc=nc, cnonce="c",
                      algorithm=algorithm)
        fields["response"] = encode("%s:%s:%s:c:auth:%s" % (
            encode("%s:%s:%s" % (user, realm, password)), nonce, nc, encode("%s:%s" % (method, uri))))
        fields.update(changes)
        return "Digest " + ", ".join('%s="%s"' % item for item in fields.items() if item[1] is not None)

    def test_digest(self):
        self.start()
        nonce = self.challenge()["nonce"]
        self.assertEqual(self.get("/digest", Authorization=self.answer(nonce)), (200, b"in bob"))
        for count, expected in (("00000001", 401), ("00000003", 200), ("00000002", 200), ("00000002", 401),
                                ("00000003", 401), ("00000004", 200)):
            self.assertEqual(self.get("/digest", Authorization=self.answer(nonce, count))[0], expected, count)
        md5 = self.challenge(algorithm="MD5")["nonce"]
        self.assertEqual(self.get("/digest", Authorization=self.answer(md5, algorithm="MD5"))[0], 200)
        self.assertEqual(self.get("/digest/%C3%A4?x=1", Authorization=self.answer(
            self.challenge()["nonce"], uri="/digest/%C3%A4?x=1"))[0], 200)
        for wrong in (dict(password="x"), dict(user="eve", password="None"), dict(uri="/"), dict(method="POST"),
                      dict(realm="S"), dict(nonce="x"), dict(nc="1"), dict(nc="0000000g"), dict(qop=None),
                      dict(qop="auth-int"), dict(cnonce=""), dict(algorithm="MD5", response="x"), dict(response=""),
                      dict(username='eve')):
            fresh = self.challenge()["nonce"]
            nonce = wrong.pop("nonce", fresh)
            self.assertEqual(self.get("/digest", Authorization=self.answer(nonce, **wrong))[0], 401, wrong)
        # one that we did not make, and one that is too old
        stamp = "%x-%s" % (int(time.time()) - 1000, "0" * 16)
        old = "%s-%s" % (stamp, circuits_web._nonces._proof(stamp, "R"))
        status, headers, _ = self.ask("/digest", Authorization=self.answer(old))
        self.assertEqual(status, 401)
        self.assertIn("stale=true", headers["WWW-Authenticate"])
        forged = "%s-%s" % (stamp, "0" * 64)
        self.assertNotIn("stale", self.ask("/digest", Authorization=self.answer(forged))[1]["WWW-Authenticate"])

    def test_curl_logs_in(self):
        if not shutil.which("curl"):
            self.skipTest("curl is not installed")
        self.start()
        for kind, path in (("--basic", "/basic"), ("--digest", "/digest")):
            got = subprocess.run(["curl", "-s", kind, "-u", "bob:secret", "http://127.0.0.1:%d%s" % (self.port, path)],
                                 stdout=subprocess.PIPE).stdout
            self.assertEqual(got, b"in bob")

    def test_nonces_do_not_pile_up(self):
        nonces = circuits_web._Nonces()
        for number in range(circuits_web.MAX_NONCES + 100):
            nonces.use(str(number), 1)
        self.assertEqual(len(nonces._used), circuits_web.MAX_NONCES)

    def test_signed_values(self):
        sign, unsign = circuits_web.sign, circuits_web.unsign
        secret = b"x" * 32
        text = sign("name", "a.b=ü", secret)
        self.assertEqual(unsign("name", text, secret, 60), "a.b=ü")
        for name, changed, key, age in (("other", text, secret, 60), ("name", text, b"y" * 32, 60),
                                        ("name", text[:-1], secret, 60), ("name", "b" + text, secret, 60),
                                        ("name", "", secret, 60), ("name", "a.b", secret, 60), ("name", "..", secret, 9),
                                        ("name", sign("name", "v", secret, now=1), secret, 60)):
            self.assertIsNone(unsign(name, changed, key, age))
        with self.assertRaises(ValueError):
            sign("name", "v", "short")


class TestSessions(WebTest):

    def start(self, **options):
        class Root(circuits_web.Controller):
            def index(self, name=None):
                if name:
                    self.session["name"] = name
                return "Hello %s!" % self.session.get("name", "World")

            def quiet(self):
                return "nothing to remember"

            def sid(self):
                return self.request.sid

            def login(self):
                self.session.rotate()
                return "in"

            def logout(self):
                self.session.expire()
                return "out"

            async def later(self, name):
                await sleep(0.001)
                self.session["name"] = name
                return "ok"
        self.sessions = circuits_web.Sessions(**options)
        self.serve(Root(), self.sessions)
        self.jar = {}

    def go(self, path):
        cookie = "; ".join("%s=%s" % item for item in self.jar.items())
        status, headers, body = self.ask(path, **({"Cookie": cookie} if cookie else {}))
        self.cookie = headers["Set-Cookie"]
        if self.cookie:
            name, _, value = self.cookie.partition(";")[0].partition("=")
            self.jar[name] = value.strip('"')
            if "Max-Age=0" in self.cookie:
                del self.jar[name]
        return body.decode()

    def check(self):
        self.assertEqual(self.go("/"), "Hello World!")
        self.assertIsNone(self.cookie)
        self.assertEqual(self.go("/?name=Bob"), "Hello Bob!")
        self.assertRegex(self.cookie, r"^circuits\.session=[\w-]{43}; HttpOnly; Path=/; SameSite=Lax$")
        self.assertEqual(self.go("/"), "Hello Bob!")
        self.assertIsNone(self.cookie)
        before = dict(self.jar)
        self.go("/login")
        self.assertNotEqual(self.jar, before)
        self.assertEqual(self.go("/"), "Hello Bob!")
        after, self.jar = self.jar, before
        self.assertEqual(self.go("/"), "Hello World!")      # the old id is worthless
        self.jar = dict(after)
        self.go("/logout")
        self.assertEqual(self.jar, {})
        self.jar = after
        self.assertEqual(self.go("/"), "Hello World!")
        self.jar = {}
        self.assertEqual(self.go("/later?name=Ann"), "ok")
        self.assertEqual(self.go("/"), "Hello Ann!")
        sid = self.go("/sid")
        self.assertEqual(sid, self.jar["circuits.session"])

    def test_in_memory(self):
        self.start()
        self.check()

    def test_in_a_file(self):
        path = os.path.join(self.folder(), "sessions")
        store = circuits_web.SQLiteStore(path)
        self.addCleanup(store.close)
        self.start(store=store)
        self.check()
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, "rb") as file:
            self.assertNotIn(self.jar["circuits.session"].encode(), file.read())
        other = circuits_web.SQLiteStore(path)
        self.addCleanup(other.close)
        self.assertEqual(other.load(self.jar["circuits.session"]), {"name": "Ann"})

    def test_ids_of_others_are_not_taken_and_cost_nothing(self):
        self.start()
        for planted in ("x" * 43, "../../etc/passwd", "", "a" * 5000):
            self.jar = {"circuits.session": planted}
            self.go("/quiet")
            self.assertIsNone(self.cookie)
            self.go("/?name=Bob")
            self.assertNotEqual(self.jar["circuits.session"], planted)
        self.assertEqual(len(self.sessions.store), 4)

    def test_expiry_and_cap(self):
        clock = FakeClock()
        store = circuits_web.MemoryStore(lifetime=10, max_sessions=3, clock=clock)
        for n in range(5):
            store.save(str(n), {"n": n})
        self.assertEqual([store.load(str(n)) for n in range(5)], [None, None, {"n": 2}, {"n": 3}, {"n": 4}])
        clock.advance(11)
        store.save("x", {})
        self.assertEqual(len(store), 1)

    def test_own_storage(self):
        kept = {}

        class Mine(circuits_web.Sessions):
            def _load(self, sid):
                return kept.get(sid)

            def _save(self, sid, data):
                kept[sid] = data
        self.start()
        self.app.stop()
        self.sessions = Mine()

        class Root(circuits_web.Controller):
            def index(self):
                self.session["n"] = self.session.get("n", 0) + 1
                return str(self.session["n"])
        self.serve(Root(), self.sessions)
        self.jar = {}
        self.assertEqual([self.go("/") for _ in range(3)], ["1", "2", "3"])
        self.assertEqual(len(kept), 1)


class TestCompression(WebTest):

    def test_what_the_client_takes_is_compressed(self):
        import gzip
        text = "Hello World! " * 1000

        class Root(circuits_web.Controller):
            def index(self):
                return text

            def small(self):
                return "small"

            def stream(self):
                self.response.body = iter([text, text.encode()])
                return self.response

            def image(self):
                self.response.headers["Content-Type"] = "image/png"
                return text
        path = self.folder(**{"a.txt": text})
        self.serve(Root(), circuits_web.Compress(), circuits_web.Static("/s", docroot=path))
        for url, expected in (("/", text), ("/stream", text * 2), ("/s/a.txt", text)):
            for accept, coding in (("gzip", "gzip"), ("deflate, gzip;q=0.5", "gzip"), ("*", "gzip"), ("gzip;q=0", None),
                                   ("", None), ("identity, gzip;q=0.1", None), ("br", None)):
                status, headers, body = self.ask(url, Accept_Encoding=accept)
                self.assertEqual((status, headers["Content-Encoding"], headers["Vary"]),
                                 (200, coding, "Accept-Encoding"), (url, accept))
                self.assertEqual(gzip.decompress(body) if coding else body, expected.encode())
        for url in ("/small", "/image"):
            self.assertIsNone(self.ask(url, Accept_Encoding="gzip")[1]["Content-Encoding"])
        self.assertEqual(self.ask("/s/a.txt", Accept_Encoding="gzip", Range="bytes=0-4")[2], b"Hello")
        etag = self.ask("/s/a.txt", Accept_Encoding="gzip")[1]["ETag"]
        self.assertTrue(etag.startswith("W/"))
        self.assertEqual(self.ask("/s/a.txt", If_None_Match=etag)[0], 304)

    def test_a_thousand_bodies(self):
        import gzip
        rng = random.Random(1)
        for n in range(300):
            body = bytes(rng.randrange(256) for _ in range(n))
            self.assertEqual(gzip.decompress(b"".join(circuits_web.compress([body[:7], body[7:]], 4))), body)


class TestReverseProxy(WebTest):

    def start(self, **options):
        class Root(circuits_web.Controller):
            def index(self):
                return "%s %s %s" % (self.request.remote.ip, self.request.base,
                                     self.request.headers.get("X-Forwarded-For"))
        self.serve(Root(), circuits_web.ReverseProxy(**options))

    def test_a_trusted_proxy_is_believed(self):
        self.start()
        for headers, expected in (
                ({"X_Forwarded_For": "6.6.6.6, 1.2.3.4"}, b"1.2.3.4 http://h"),
                ({"X_Forwarded_For": "1.2.3.4, 127.0.0.1"}, b"1.2.3.4 http://h"),
                ({"X_Real_IP": "1.2.3.4", "X_Forwarded_Proto": "https"}, b"1.2.3.4 https://h"),
                ({"X_Forwarded_For": "nonsense"}, b"127.0.0.1 http://h"),
                ({"X_Forwarded_For": "1.2.3.4", "X_Forwarded_Host": "pub:8"}, b"1.2.3.4 http://pub:8"),
                ({"X_Forwarded_Host": "<script>"}, b"127.0.0.1 http://h")):
            self.assertTrue(self.get("/", Host="h", **headers)[1].startswith(expected), headers)

    def test_others_are_not(self):
        self.start(trusted=["10.0.0.0/8"])
        self.assertEqual(self.get("/", Host="h", X_Forwarded_For="1.2.3.4", X_Real_IP="1.2.3.4",
                                  X_Forwarded_Proto="https", X_Forwarded_Host="evil")[1], b"127.0.0.1 http://h None")


class TestWebCommand(WebTest):

    ENV = dict(os.environ, PYTHONPATH=HERE)

    def start(self, *arguments, folder=HERE, module=("-m", "circuits_web")):
        """Start the command in a folder; the process, when it listens."""
        process = subprocess.Popen([sys.executable, *module, "--bind", "127.0.0.1:0", *arguments], cwd=folder,
                                   env=self.ENV, stderr=subprocess.PIPE, universal_newlines=True)
        for step in (process.stderr.close, process.wait, process.terminate):
            self.addCleanup(step)
        self.listens(process.stderr.readline())
        return process

    def listens(self, line):
        """Take the port from the line in which a server says where it listens."""
        self.assertIn("http://127.0.0.1:", line)
        self.port = int(line.rstrip("/\n").rpartition(":")[2])

    def test_as_a_module_and_as_a_script(self):
        root = self.folder(**{"index.txt": "hi"})
        for module in (("-m", "circuits_web"), ("circuits_web.py",)):
            self.start(root, module=module)
            self.assertIn(b"index.txt", self.get()[1])
            self.assertEqual(self.get("/index.txt"), (200, b"hi"))

    def test_an_application(self):
        folder = self.folder(**{"mine.py": """
            from circuits_web import Controller
            class Root(Controller):
                def index(self):
                    return "mine"
                def missing(self):
                    return self.notfound("not there")
            """})
        self.start("mine:Root", folder=folder)
        self.assertEqual(self.get(), (200, b"mine"))
        self.assertEqual(self.get("/missing")[0], 404)

    def test_a_wsgi_application(self):
        folder = self.folder(**{"mine.py": """
            from circuits_web import Application, Controller
            def app(environ, start_response):
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [repr(environ["wsgi.multithread"]).encode()]
            class Root(Controller):
                def index(self):
                    return "ours"
            application = Application() + Root()
            """})
        for arguments, body in ((["--wsgi", "mine:app"], b"True"), (["mine:application"], b"ours")):
            self.start(*arguments, folder=folder)
            self.assertEqual(self.get(), (200, body))
        done = subprocess.run([sys.executable, "-m", "circuits_web", "--wsgi", "."], cwd=HERE,
                              stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("MODULE:NAME", done.stderr)

    def test_reload(self):
        source = "from circuits_web import Controller\nclass Root(Controller):\n    def index(self): return %s\n"
        folder = self.folder(**{"mine.py": source % "'one'"})
        path = os.path.join(folder, "mine.py")
        process = self.start("--reload", "mine:Root", folder=folder)
        for text, expected in (("(", "not reloaded"), ("'three'", "serves")):
            with open(path, "w") as file:
                file.write(source % text)
            line = process.stderr.readline()
            self.assertIn(expected, line)
        self.listens(line)
        self.assertEqual(self.get(), (200, b"three"))

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_sighup_brings_new_code_to_the_workers(self):
        source = "from circuits_web import Controller\nclass Root(Controller):\n    def index(self): return %r\n"
        folder = self.folder(**{"mine.py": source % "one"})
        process = self.start("--workers", "2", "mine:Root", folder=folder)
        self.assertEqual(self.get(), (200, b"one"))
        with open(os.path.join(folder, "mine.py"), "w") as file:
            file.write(source % "another")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: [self.get() for _ in range(8)] == [(200, b"another")] * 8)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_an_application_that_cannot_be_made_is_said_once(self):
        folder = self.folder(**{"mine.py": "1/0"})
        done = subprocess.run([sys.executable, "-m", "circuits_web", "--workers", "2", "--bind",
                               "127.0.0.1:0", "mine:Root"], cwd=folder, env=self.ENV, timeout=PATIENCE,
                              stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual((done.returncode, done.stderr.count("ZeroDivisionError")), (1, 1))

    def test_help_and_mistakes(self):
        done = subprocess.run([sys.executable, "circuits_web.py", "--help"], cwd=HERE,
                              stdout=subprocess.PIPE, universal_newlines=True)
        self.assertIn("DIR", done.stdout)
        done = subprocess.run([sys.executable, "circuits_web.py", "/nowhere"], cwd=HERE,
                              stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual(done.returncode, 2)


class TestWebClients(WebTest):

    def run_(self, *command):
        if not shutil.which(command[0]):
            self.skipTest("%s is not installed" % command[0])
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=3 * PATIENCE).stdout

    def test_curl(self):
        class Root(Greeter):
            def form(self, a, f=None):
                return "%s %s" % (a, f.value.decode() if f else "")
        self.serve(Root())
        base = "http://127.0.0.1:%d" % self.port
        path = os.path.join(self.folder(**{"x.txt": "content"}), "x.txt")
        for arguments, expected in (
                (["/"], b"Hello World!"), (["--http1.0", "/"], b"Hello World!"),
                (["-d", "a=1", "/form"], b"1 "), (["-F", "a=1", "-F", "f=@" + path, "/form"], b"1 content"),
                (["-H", "Transfer-Encoding: chunked", "-d", "a=2", "/form"], b"2 "),
                (["-H", "Expect: 100-continue", "-d", "a=3", "/form"], b"3 "),
                (["-L", "/moved"], b"Hello there!"), (["-I", "/"], b"HTTP/1.1 200 OK")):
            got = self.run_("curl", "-s", "-m", "20", *arguments[:-1], base + arguments[-1])
            self.assertTrue(got.startswith(expected), (arguments, got))

    def test_chromium_loads_a_page_with_style_and_image(self):
        chromium = shutil.which("chromium")
        if not chromium:
            self.skipTest("chromium is not installed")
        root = self.folder(**{
            "index.html": "<link rel=stylesheet href=s.css><body onload=\"document.title="
                          "getComputedStyle(document.body).color + i.width\"><img id=i src=i.svg>",
            "s.css": "body { color: rgb(1, 2, 3) }",
            "i.svg": "<svg xmlns='http://www.w3.org/2000/svg' width='17' height='9'></svg>"})
        self.serve(circuits_web.Static(docroot=root))
        got = self.run_(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                        "--no-first-run", "--disable-background-networking", "--disable-component-update",
                        "--disable-sync", "--user-data-dir=" + self.folder(), "--virtual-time-budget=5000",
                        "--dump-dom", "http://127.0.0.1:%d/" % self.port)
        self.assertIn(b"<title>rgb(1, 2, 3)17</title>", got)


class TestWebExamples(WebTest):
    """Drives examples/web_*.py."""

    def start(self, name, *arguments):
        program = ExamplesTest.start(self, name, "0", *arguments)
        self.addCleanup(program.end)
        self.port = int(program.wait_for("@ready").split()[1])

    def test_forms(self):
        self.start("web_forms.py")
        self.assertIn(b"<form", self.get()[1])
        self.assertEqual(self.ask("/greet", "POST", "first=<b>&last=x",
                                  Content_Type="application/x-www-form-urlencoded")[2], b"Hello &lt;b&gt; x!")

    def test_upload(self):
        import hashlib
        self.start("web_upload.py")
        data = b"x" * 3000000
        self.assertEqual(self.ask("/upload", "PUT", data)[2].decode(),
                         "3000000 bytes, SHA-256 %s\n" % hashlib.sha256(data).hexdigest())

    def test_login(self):
        self.start("web_login.py")
        status, headers, body = self.ask("/")
        cookie = headers["Set-Cookie"].partition(";")[0]
        token = re.search(b'value="([0-9a-f]{64})"', body).group(1).decode()
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        self.assertEqual(self.ask("/login", "POST", "name=bob&password=secret", Cookie=cookie, **form)[0], 403)
        status, headers, _ = self.ask("/login", "POST", "name=bob&password=secret&token=" + token, Cookie=cookie, **form)
        self.assertEqual(status, 303)
        after = headers["Set-Cookie"].partition(";")[0]
        self.assertNotEqual(after, cookie)
        self.assertTrue(self.get("/", Cookie=after)[1].startswith(b"Hello bob"))
        self.assertNotIn(b"Hello", self.get("/", Cookie=cookie)[1])

    def test_api(self):
        self.start("web_api.py")
        self.assertEqual(self.ask("/notes", "POST", '{"text": "milk"}')[::2], (201, b'{"id": 2}'))
        self.assertEqual(json.loads(self.get("/notes")[1]), {"1": "bread", "2": "milk"})
        self.assertEqual(self.ask("/notes/1", "DELETE")[2], b'"bread"')
        self.assertEqual([self.ask("/notes/1")[0], self.ask("/notes", "POST", "[]")[0], self.ask("/notes", "PUT")[0]],
                         [404, 400, 405])

    def test_site(self):
        self.start("web_site.py")
        self.assertIn(b"web_site.py", self.get("/")[1])
        self.assertEqual(self.get("/health"), (200, b"ok\n"))

    def test_hosts_and_nginx(self):
        self.start("web_hosts.py")
        for host, text in (("one.example", b"This is one\n"), ("two.example", b"This is two\n"), ("x", b"Which one?\n")):
            self.assertEqual(self.get("/", Host=host)[1], text)
        self.start("web_behind_nginx.py")
        self.assertEqual(self.get("/", X_Forwarded_For="9.9.9.9", X_Forwarded_Host="pub", X_Forwarded_Proto="https")[1],
                         b"9.9.9.9 asked for https://pub/\n")

    def test_stream(self):
        self.start("web_stream.py")
        got = self.raw(b"GET /clock HTTP/1.1\r\nHost: a\r\n\r\n", until=lambda got: got.count(b"data: ") == 2)
        self.assertIn(b"text/event-stream", got)


class TestWebPeers(WebTest):
    """Programs of others talk to it: nginx, ab, wget, curl, Chromium, the library."""

    BIG = bytes(range(256)) * 20480         # 5 MiB

    def test_no_page_says_none(self):
        self.serve(circuits_web.Static(docroot=self.folder(x="text")))
        for line in (b"DELETE /x", b"GET /nope", b"PUT /x"):
            answer = raw(self.port, line + b" HTTP/1.0\r\n\r\n")
            self.assertIn(b"<p>", answer)
            self.assertNotIn(b"<p>None", answer)
            self.assertNotIn(b"<p></p>", answer)

    def test_a_body_that_finds_no_room_is_refused(self):
        import tempfile
        self.expect_stderr("no descriptor")

        class Root(circuits_web.Controller):
            def index(self, **fields):
                return str(len(self.request.body.read()))
        self.serve(Root())

        def fail(*args, **kwargs):
            raise OSError("no descriptor")
        original, tempfile.TemporaryFile = tempfile.TemporaryFile, fail
        self.addCleanup(setattr, tempfile, "TemporaryFile", original)
        body = b"x" * (2 * circuits_web.MAX_MEMORY)
        answer = raw(self.port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer[:100])
        tempfile.TemporaryFile = original
        answer = raw(self.port, b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.assertTrue(answer.endswith(b"%d" % len(body)), answer[-100:])

    def serve(self, *components, **options):
        app = super().serve(*components, **options)
        self.base = "http://127.0.0.1:%d" % app.port
        return app

    def need(self, program):
        found = shutil.which(program)
        if not found:
            self.skipTest("%s is not installed" % program)
        return found

    def run_(self, *command, **options):
        """What a program writes to its standard output; it must end well."""
        self.need(command[0])
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=3 * PATIENCE, **options)
        self.assertEqual(done.returncode, 0, (command, done.stdout[-500:], done.stderr[-500:]))
        return done.stdout

    def curl(self, *arguments, **options):
        return self.run_("curl", "-s", "-m", "20", *arguments[:-1], self.base + arguments[-1], **options)

    def launch(self, *command, cwd=None, **options):
        """Start Python with these arguments; it is ended afterwards."""
        env = dict(os.environ, PYTHONPATH=HERE)
        process = subprocess.Popen([sys.executable, *command], cwd=cwd or HERE, env=env,
                                   universal_newlines=True, **options)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                self.addCleanup(stream.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def root(self):
        """A controller that does what the tests ask; root.seen are its connections."""
        big, ports = self.BIG, set()

        class Root(circuits_web.Controller):
            seen = ports

            def index(self):
                return "Hello World!"

            def noted(self):
                ports.add(self.request.sock.getpeername())
                return "noted"

            def who(self):
                return "%s %s" % (self.request.remote.ip, self.request.base)

            def method(self, *args):
                return "%s %s HTTP/%d.%d" % ((self.request.method, "|".join(args)) + self.request.protocol)

            @circuits_web.expose("up", methods=("POST", "PUT"))
            def _up(self):
                body = self.request.body.read()
                return "%d %s %s" % (len(body), hashlib.md5(body).hexdigest(),
                                     self.request.headers.get("Transfer-Encoding", "plain"))

            def form(self, text="", file=None):
                name = "%s:%d" % (file.filename, file.size) if file is not None else ""
                return "[%s %s]" % (text, name)

            def big(self):
                self.response.headers["Content-Type"] = "application/octet-stream"
                return big

            def chunked(self):
                self.response.body = ("line %d\n" % n for n in range(1000))
                return self.response

            def basic(self):
                return circuits_web.basic_auth(self.request, self.response, "R", {"bob": "secret"}, str) \
                    or "in %s" % self.request.login

            def digest(self, *args, **kwargs):
                return circuits_web.digest_auth(self.request, self.response, "R", {"bob": "secret"}) \
                    or "in %s, %d bytes" % (self.request.login, len(self.request.body.read()))

            def count(self):
                self.session["n"] = self.session.get("n", 0) + 1
                return str(self.session["n"])
        return Root()

    # -- nginx --------------------------------------------------------------

    def nginx(self):
        """nginx in front of self.port; self.base is then its address."""
        program = self.need("nginx")
        folder = self.folder()
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        path = os.path.join(folder, "nginx.conf")
        temporary = "".join("%s_temp_path %s;\n" % (kind, os.path.join(folder, kind)) for kind in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(path, "w") as file:
            file.write(textwrap.dedent("""
                %s
                worker_processes 1;
                pid %s;
                error_log %s;
                events { worker_connections 100; }
                http {
                    access_log off;
                    client_max_body_size 20m;
                    %s
                    upstream app { server 127.0.0.1:%d; keepalive 8; }
                    server {
                        listen 127.0.0.1:%d;
                        location / {
                            proxy_pass http://app;
                            proxy_http_version 1.1;
                            proxy_request_buffering off;
                            proxy_set_header Connection "";
                            proxy_set_header Host $http_host;
                            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                            proxy_set_header X-Forwarded-Proto https;
                        }
                    }
                }
                """) % ("user root root;" if os.geteuid() == 0 else "", os.path.join(folder, "pid"),
                        os.path.join(folder, "error.log"), temporary, self.port, port))
        process = subprocess.Popen([program, "-p", folder, "-c", path, "-g", "daemon off;"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

        def up():
            self.assertIsNone(process.poll(), "nginx ended")
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            except OSError:
                return False
            return True
        wait_for(up)
        self.base = "http://127.0.0.1:%d" % port
        self.front = port

    def test_nginx_in_front(self):
        self.need("nginx")
        root = self.root()
        self.serve(root, circuits_web.ReverseProxy())
        self.nginx()
        client = http.client.HTTPConnection("127.0.0.1", self.front, timeout=PATIENCE)
        self.addCleanup(client.close)

        def ask(path, method="GET", body=None, **headers):
            client.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read()
        for _ in range(50):
            self.assertEqual(ask("/noted")[::2], (200, b"noted"))
        self.assertLess(len(root.seen), 10)                     # the upstream is kept alive
        self.assertEqual(ask("/who", X_Forwarded_For="1.2.3.4, 203.0.113.9", Host="pub.example")[2],
                         b"203.0.113.9 https://pub.example")    # not 1.2.3.4, which anybody may send
        status, headers, body = ask("/chunked")
        self.assertEqual(headers["Transfer-Encoding"], "chunked")
        self.assertEqual(body, b"".join(b"line %d\n" % n for n in range(1000)))
        self.assertEqual(ask("/big")[::2], (200, self.BIG))
        told = "%d %s " % (len(self.BIG), hashlib.md5(self.BIG).hexdigest())
        self.assertEqual(ask("/up", "PUT", self.BIG)[2].decode(), told + "plain")
        pieces = [self.BIG[i:i + 100000] for i in range(0, len(self.BIG), 100000)]
        self.assertEqual(ask("/up", "PUT", iter(pieces))[2].decode(), told + "chunked")
        self.assertEqual(ask("/nothing")[0], 404)
        status, headers, body = ask("/", "HEAD")
        self.assertEqual((status, headers["Content-Length"], body), (200, "12", b""))
        self.assertEqual(ask("/")[2], b"Hello World!")

    # -- ab, wget, curl -----------------------------------------------------

    def test_ab(self):
        self.serve(self.root())
        for path in ("/", "/method"):
            got = self.run_("ab", "-q", "-k", "-n", "2000", "-c", "20", self.base + path).decode()
            for expected in (r"Complete requests: +2000\n", r"Failed requests: +0\n", r"Keep-Alive requests: +2000\n"):
                self.assertRegex(got, expected)
            self.assertNotIn("Non-2xx", got)

    def test_wget_goes_on_with_what_it_has(self):
        self.need("wget")
        here, there = self.folder(), self.folder()
        with open(os.path.join(here, "big.bin"), "wb") as file:
            file.write(self.BIG)
        log = []

        class Ranges(circuits_web.BaseComponent):
            channel = "web"

            @circuits_web.handler("request", priority=5)
            def _on_request(self, request, response):
                log.append(request.headers.get("Range"))
        self.serve(circuits_web.Static(docroot=here), Ranges())
        path = os.path.join(there, "big.bin")
        for have in (self.BIG[:1234567], self.BIG, b""):
            with open(path, "wb") as file:
                file.write(have)
            self.run_("wget", "-q", "-c", "-t", "1", "-T", "20", self.base + "/big.bin", cwd=there)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), self.BIG)
        self.assertEqual(log, ["bytes=1234567-", "bytes=%d-" % len(self.BIG), None])

    def test_curl(self):
        self.need("curl")
        folder = self.folder(**{"a.txt": "0123456789" * 1000})
        big = os.path.join(folder, "big.bin")
        with open(big, "wb") as file:
            file.write(self.BIG)
        self.serve(self.root(), circuits_web.Static("/s", docroot=folder), circuits_web.Compress())
        told = ("%d %s " % (len(self.BIG), hashlib.md5(self.BIG).hexdigest())).encode()
        path = os.path.join(folder, "a.txt")
        for arguments, expected in (
                (["--http1.0", "/method/x"], b"GET x HTTP/1.0"),
                (["--http1.0", "-i", "/chunked"], b"HTTP/1.0 200 OK"),
                (["--http1.0", "-H", "Connection: keep-alive", "-T", big, "/up"], told + b"plain"),
                (["-T", big, "/up"], told + b"plain"),
                (["-T", big, "-H", "Transfer-Encoding: chunked", "/up"], told + b"chunked"),
                (["-T", big, "-H", "Expect: 100-continue", "--expect100-timeout", "15", "/up"], told),
                (["-F", "text=a b", "-F", "file=@%s;filename=../../x.txt" % path, "/form"], b"[a b x.txt:10000]"),
                (["-F", "text=\u00fc&=", "/form"], "[\u00fc&= ]".encode()),
                (["--data-urlencode", "text=a&b=c", "/form"], b"[a&b=c ]"),
                (["-G", "-d", "text=q", "/form"], b"[q ]"),
                (["--basic", "-u", "bob:secret", "/basic"], b"in bob"),
                (["--anyauth", "-u", "bob:secret", "/basic"], b"in bob"),
                (["--basic", "-u", "bob:wrong", "-o", os.devnull, "-w", "%{http_code}", "/basic"], b"401"),
                (["--digest", "-u", "bob:secret", "/digest?x=1"], b"in bob, 0 bytes"),
                (["--digest", "-u", "bob:secret", "-d", "a=1", "/digest"], b"in bob, 3 bytes"),
                (["--digest", "-u", "bob:wrong", "-o", os.devnull, "-w", "%{http_code}", "/digest"], b"401"),
                (["-r", "3-5", "/s/a.txt"], b"345"), (["-r", "-4", "/s/a.txt"], b"6789"),
                (["-r", "9998-", "/s/a.txt"], b"89"),
                (["-r", "20000-", "-o", os.devnull, "-w", "%{http_code}", "/s/a.txt"], b"416"),
                (["--compressed", "/s/a.txt"], b"0123456789" * 1000),
                (["--compressed", "/chunked"], b"line 0\nline 1\n"),
                (["-I", "/s/a.txt"], b"HTTP/1.1 200 OK"), (["-I", "/missing"], b"HTTP/1.1 404 Not Found"),
                (["-X", "OPTIONS", "-i", "/up"], b"HTTP/1.1 "),
                (["--path-as-is", "-o", os.devnull, "-w", "%{http_code}", "/s/../../../etc/passwd"], b"400"),
                (["--path-as-is", "-o", os.devnull, "-w", "%{http_code}", "/s/%2e%2e/%2e%2e/etc/passwd"], b"400"),
                (["--path-as-is", "-o", os.devnull, "-w", "%{http_code}", "/s/..%2f..%2fetc/passwd"], b"404"),
                (["--path-as-is", "/s/x/../a.txt"], b"0123456789")):
            got = self.curl(*arguments)
            self.assertTrue(got.startswith(expected), (arguments, got[:300]))
        self.assertIn(b"Content-Encoding: gzip", self.curl("-i", "-H", "Accept-Encoding: gzip", "/s/a.txt"))
        # the answer comes whole although it takes no body
        got = self.curl("-i", "-T", big, "-H", "Expect: 100-continue", "--expect100-timeout", "15", "/s/a.txt")
        self.assertRegex(got, rb"HTTP/1.1 405 Method Not Allowed\r\n(.+\r\n)*Allow: GET, HEAD, OPTIONS\r\n")
        # several on one connection
        got = self.run_("curl", "-s", "-w", "%{num_connects} ", *[self.base + "/method/%d" % n for n in range(5)])
        self.assertEqual(re.findall(rb"(\d) ?(?=GET|$)", got.replace(b"HTTP/1.1", b"")), [b"1", b"0", b"0", b"0", b"0"])

    # -- Python's library ---------------------------------------------------

    def test_urllib(self):
        from http.cookiejar import CookieJar
        self.serve(self.root(), circuits_web.Sessions())
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()),
                                             urllib.request.ProxyHandler({}))
        for expected in (b"1", b"2", b"3"):
            with opener.open(self.base + "/count", timeout=PATIENCE) as answer:
                self.assertEqual(answer.read(), expected)
        data = urllib.parse.urlencode({"text": "\u00e4 &="}).encode()
        with opener.open(self.base + "/form", data, PATIENCE) as answer:
            self.assertEqual(answer.read().decode(), "[\u00e4 &= ]")
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, self.base, "bob", "secret")
        with urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords),
                                         urllib.request.ProxyHandler({})).open(
                self.base + "/basic", timeout=PATIENCE) as answer:
            self.assertEqual(answer.read(), b"in bob")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            opener.open(self.base + "/missing", timeout=PATIENCE)
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()

    def test_xmlrpc_client(self):
        import xmlrpc.client

        class Sums(circuits_web.BaseComponent):
            channel = "sums"

            @circuits_web.export
            @circuits_web.handler("add")
            def add(self, one, other):
                return one + other
        self.serve(circuits_web.XMLRPC("/rpc", rpc_channel="sums"), Sums())
        with xmlrpc.client.ServerProxy(self.base + "/rpc") as proxy:
            self.assertEqual(proxy.add(1, 2), 3)
            self.assertEqual(proxy.add("\u00e4", "<&>"), "\u00e4<&>")
            self.assertEqual(proxy.add([1, {"a": True}], [xmlrpc.client.Binary(b"\0")]),
                             [1, {"a": True}, xmlrpc.client.Binary(b"\0")])
            with self.assertRaises(xmlrpc.client.Fault):
                proxy.nothing()

    # -- Chromium -----------------------------------------------------------

    def test_chromium(self):
        """One page submits a form, uploads a file, and comes back in its session."""
        chromium = self.need("chromium")
        page = """<!DOCTYPE html><title>t</title>
            <form id=f><input name=text value="a &amp; &#228;"><input type=file name=file></form>
            <iframe name=target></iframe>
            <form id=g action=/form method=post target=target><input name=text value=submitted></form>
            <pre id=out></pre><script>
            (async () => {
                const out = [], text = async (path, options) => (await fetch(path, options)).text();
                try {
                    const files = new DataTransfer();
                    files.items.add(new File([new Uint8Array(300000)], "own.bin"));
                    f.elements.file.files = files.files;
                    out.push(await text("/form", {method: "POST", body: new FormData(f)}));
                    out.push(await text("/form", {method: "POST", body: new URLSearchParams({text: "x y"})}));
                    for (let n = 0; n < 3; n++) out.push("n=" + await text("/count"));
                    const frame = document.querySelector("iframe");
                    const loaded = new Promise(done => frame.onload = done);
                    g.submit();
                    await loaded;
                    out.push("frame=" + frame.contentDocument.body.textContent);
                } catch (error) { out.push("failed: " + error); }
                document.getElementById("out").textContent = out.join(";") + ";end";
            })();
            </script>"""
        root = self.root()
        self.serve(root, circuits_web.Sessions(), circuits_web.Static("/page", docroot=self.folder(**{"p.html": page})))
        got = self.run_(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update", "--disable-sync",
                        "--user-data-dir=" + self.folder(), "--virtual-time-budget=8000", "--dump-dom",
                        self.base + "/page/p.html").decode()
        self.assertIn('<pre id="out">[a &amp; \u00e4 own.bin:300000];[x y ];n=1;n=2;n=3;'
                      'frame=[submitted ];end</pre>', got)

    # -- what goes wrong ----------------------------------------------------

    def test_sigterm_under_load(self):
        """What the application has taken is answered; all else is refused or reset."""
        for workers in ("1", "2"):
            self.stop_under_load(workers)

    def stop_under_load(self, workers):
        folder = self.folder(**{"mine.py": """
            import os
            from circuits import sleep
            from circuits_web import Controller
            class Root(Controller):
                async def index(self, who):
                    os.write(1, (who + "\\n").encode())
                    await sleep(0.002)
                    return "<" + who * 2000 + ">"
            """})
        process = self.launch("-m", "circuits_web", "--workers", workers, "--bind", "127.0.0.1:0", "mine:Root",
                              cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        port = int(process.stderr.readline().rstrip("/\n").rpartition(":")[2])     # each worker says so
        answered, wrong, over = set(), [], threading.Event()

        def load(number):
            count = 0
            while not over.is_set():
                client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
                try:
                    for _ in range(10 if number % 2 else 1):        # with and without keep-alive
                        who = "%d-%d." % (number, count)
                        count += 1
                        client.request("GET", "/?who=" + who)
                        answer = client.getresponse()
                        body = answer.read().decode()
                        if (answer.status, body) != (200, "<" + who * 2000 + ">"):
                            wrong.append((answer.status, len(body)))
                        answered.add(who)
                except ConnectionRefusedError:
                    return
                except (OSError, http.client.HTTPException) as error:
                    if not isinstance(error, (ConnectionError, http.client.BadStatusLine)):
                        wrong.append(error)
                finally:
                    client.close()
        threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
        reader_lines = []
        threads.append(threading.Thread(target=lambda: reader_lines.extend(process.stdout)))
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: len(answered) >= 200)
            process.terminate()
            process.wait(PATIENCE)
        finally:
            over.set()
            process.kill()
            for thread in threads:
                thread.join(PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(wrong, [])
        taken = {line.rstrip("\n") for line in reader_lines}
        self.assertEqual(taken - answered, set())
        self.assertNotIn("Traceback", process.stderr.read())

    def test_rst_in_every_phase(self):
        """Clients break off wherever they can, and an honest one is served all the while."""
        with open(os.path.join(self.folder(), "big.bin"), "wb") as file:
            file.write(self.BIG)
        app = self.serve(self.root(), circuits_web.Static("/s", docroot=os.path.dirname(file.name)))
        post = b"POST /up HTTP/1.1\r\nHost: a\r\n"
        get = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
        honest = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.addCleanup(honest.close)
        for data, receive in (
                (b"", 0), (b"GE", 0), (get[:20], 0), (get % b"/", 0), (get % b"/", 10), (get % b"/" * 50, 0),
                (post + b"Content-Length: 9\r\n\r\n", 0), (post + b"Content-Length: 9\r\n\r\nabc", 0),
                (post + b"Content-Length: 900000\r\n\r\n" + b"x" * 300000, 0),
                (post + b"Transfer-Encoding: chunked\r\n\r\n", 0),
                (post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", 0),
                (post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: ", 0),
                (post + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n", 25),
                (post + b"Content-Type: multipart/form-data; boundary=X\r\nContent-Length: 900\r\n\r\n--X\r\n", 0),
                (get % b"/big", 1), (get % b"/big", 100000), (get % b"/s/big.bin", 1), (get % b"/s/big.bin", 100000),
                (get % b"/chunked", 1), (get % b"/missing", 0), (b"nonsense\r\n\r\n", 0), (b"nonsense\r\n\r\n", 5)):
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                    sock.sendall(data)
                    if receive:
                        sock.recv(receive)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                honest.request("GET", "/")
                self.assertEqual(honest.getresponse().read(), b"Hello World!", data[:60])
        wait_for(lambda: len(app.http._connections) == 1, "all but the honest one forgotten")
        self.assertIn(b"Hello World!", raw(self.port, get % b"/", until=b"World!"))

    def test_descriptors_run_out(self):
        """The server lives on without descriptors, and takes clients again when there are some."""
        process = self.launch("-c", textwrap.dedent("""
            import resource
            from circuits_web import Controller, Server
            class Root(Controller):
                def index(self):
                    return "Hello World!"
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
            app = Server(("127.0.0.1", 0)) + Root()
            print(app.port, flush=True)
            app.run()
            """), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.port = int(process.stdout.readline())
        honest = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.addCleanup(honest.close)

        def served():
            honest.request("GET", "/")
            return honest.getresponse().read() == b"Hello World!"
        self.assertTrue(served())
        crowd = []
        self.addCleanup(lambda: [sock.close() for sock in crowd])
        for _ in range(80):
            crowd.append(socket.create_connection(("127.0.0.1", self.port), PATIENCE))
            self.assertTrue(served())
        # the last of them waits, is closed, or answered; the one that was there first is served
        self.assertIsNone(process.poll())
        while crowd:
            crowd.pop().close()
        self.assertIn(b"Hello World!", raw(self.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", until=b"World!"))
        self.assertTrue(served())
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertNotIn("Traceback", process.stderr.read())


def reference_request(data):
    """A slow and strict reader of one request: (method, target, body, rest), or None if it must be refused.

    RFC 9112 in regular expressions, to compare the parser with; it knows no limits.
    """
    token = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    data = re.sub(rb"^(\r\n){1,2}", b"", data)
    head = re.match(rb"(%s) ([!-~]+) HTTP/1\.([0-9])\r\n((?:%s:[\t -~\x80-\xff]*\r\n)*)\r\n" % (token, token), data)
    if not head:
        return None
    method, target, minor, lines = head.groups()
    fields = [(name.lower(), value.strip(b" \t")) for name, value in re.findall(rb"(%s):([^\r]*)\r\n" % token, lines)]

    def values(name):
        return [value for key, value in fields if key == name]
    if not re.match(rb"/[^#]*$", target) or len(values(b"host")) > 1 or len(values(b"content-type")) > 1 \
            or minor != b"0" and not values(b"host") \
            or not all(re.match(rb"[A-Za-z0-9._~-]*(:[0-9]{0,5})?$", value) for value in values(b"host")):
        return None
    lengths, codings, rest = values(b"content-length"), values(b"transfer-encoding"), data[head.end():]
    if len(lengths) + len(codings) > 1 or minor == b"0" and codings:
        return None
    if codings:
        if codings[0].lower() != b"chunked":
            return None
        body = b""
        while True:
            chunk = re.match(rb"([0-9A-Fa-f]{1,16})([ \t]*;[\t -~\x80-\xff]*)?\r\n", rest)
            if not chunk:
                return None
            size, rest = int(chunk.group(1), 16), rest[chunk.end():]
            if not size:
                break
            if rest[size:size + 2] != b"\r\n":
                return None
            body, rest = body + rest[:size], rest[size + 2:]
        trailers = re.match(rb"((?:%s:[\t -~\x80-\xff]*\r\n)*)\r\n" % token, rest)
        if not trailers or re.search(rb"(?i)^(content-length|transfer-encoding|host|content-type)\s*:",
                                     trailers.group(1), re.M):
            return None
        return method, target, body, rest[trailers.end():]
    if lengths:
        if not re.match(rb"[0-9]+$", lengths[0]) or len(rest) < int(lengths[0]):
            return None
        return method, target, rest[:int(lengths[0])], rest[int(lengths[0]):]
    return method, target, b"", rest


class TestSecurityRows(WebTest):
    """Incidents elsewhere, as shared/spec/security.md lists them, where no test above is about them."""

    POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
    CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

    # What must be refused, whatever follows it.
    REFUSED = [(data, status) for status, table in ((400, [
        b"GET /x\r\nHost: a\r\n\r\n", b"GET /x HTTP/1.1\nHost: a\n\n", b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost : a\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        b"GET http://[x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", POST + b"Content-Length: 5,5\r\n\r\nhello",
        POST + b"Content-Length: +5\r\n\r\nhello", POST + b"Content-Length: 0x5\r\n\r\nhello",
        POST + b"Content-Length: 5_0\r\n\r\nhello", POST + b"Content-Length: \xd9\xa5\r\n\r\nhello",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", POST + b"Transfer-Encoding: chunked, identity\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Type: a/b\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n",
        b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"+5\r\nhello\r\n", CHUNKED + b"5_0\r\nhello\r\n", CHUNKED + b"0x5\r\nhello\r\n",
        CHUNKED + b"5\r\nHELLOxx", CHUNKED + b"5\nhello\n0\n\n", CHUNKED + b"5;a\nb\r\nhello\r\n",
        CHUNKED + b"5;a\rb\r\nhello\r\n", CHUNKED + b"0\r\nContent-Length: 9\r\n\r\n",
        CHUNKED + b"0\r\nX: a\nGET /y HTTP/1.1\r\n\r\n"]
        + [b"GET /x HTTP/1.1\r\nHost: a\r\nX: a%cb\r\n\r\n" % code for code in range(32) if code not in (9, 10, 13)]),
        (501, [POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"]),
        (413, [POST + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001, CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n"]),
        (414, [b"GET /" + b"x" * 500 + b" HTTP/1.1\r\nHost: a\r\n\r\n"]),
        (431, [b"GET /x HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 30 + b"\r\n", CHUNKED + b"0\r\n" + b"X: y\r\n" * 30])
    ) for data in table]

    class Root(circuits_web.Controller):
        calls = []

        def index(self, *args, **kwargs):
            self.calls.append(self.request.path)
            return "executed"

    def setUp(self):
        self.Root.calls.clear()

    def test_what_is_refused_is_answered_once_and_nothing_behind_it_is_done(self):
        self.serve(self.Root(), max_body=1000, max_start_line=400, max_headers=20)
        behind = b"GET /smuggled-bytes HTTP/1.1\r\nHost: a\r\n\r\n"
        for data, status in self.REFUSED:
            answers = [self.raw(data + behind)]
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    for at in range(len(data)):
                        sock.sendall(data[at:at + 1])
                    sock.sendall(behind)
                except OSError:             # it has had enough
                    pass
                answers.append(self.rest_of(sock))
            for got in answers:
                self.assertTrue(got.startswith(b"HTTP/1.1 %d " % status), (data[:200], got[:100]))
                self.assertEqual(len(re.findall(b"HTTP/1.1 [1-5]", got)), 1, (data[:200], got))
                self.assertIn(b"\r\nConnection: close\r\n", got)
                self.assertNotIn(b"smuggled", got)
        self.assertEqual(self.Root.calls, [])

    @staticmethod
    def rest_of(sock):
        got = b""
        while True:
            piece = sock.recv(65536)
            if not piece:
                return got
            got += piece

    def test_a_body_that_is_cut_off_is_no_request(self):
        app = self.serve(self.Root())
        for data in (self.CHUNKED + b"5\r\nhello\r\n0\r\n", self.CHUNKED + b"5\r\nhello\r\n",
                     self.POST + b"Content-Length: 6\r\n\r\nhello", self.POST[:-3]):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                self.rest_of(sock)
        wait_for(lambda: not app.http._connections)
        self.assertEqual(self.Root.calls, [])

    def test_what_follows_an_early_answer_is_no_request(self):
        class Early(circuits_web.Controller):
            channel = "/early"

            @circuits_web.expose("now", stream=True)
            def _now(self):
                return "early"
        self.serve(self.Root(), Early())
        inner = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        for framing, body in ((b"Content-Length: %d" % (2 * len(inner)), inner * 2),
                              (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner))):
            head = b"POST /early/now HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n"
            for cut in (len(head), len(head) + 5):
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                    sock.sendall((head + body)[:cut])
                    got = sock.recv(65536)
                    self.assertIn(b"early", got)
                    try:
                        sock.sendall((head + body)[cut:] + inner)
                        got += self.rest_of(sock)
                    except OSError:
                        pass
                    self.assertEqual(got.count(b"HTTP/1.1 "), 1)
        self.assertEqual(self.Root.calls, [])

    def test_the_parser_agrees_with_a_reference(self):
        seeds = [HELLO, b"GET /a?b HTTP/1.0\r\n\r\n", self.CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
                 self.POST + b"Content-Length: 5\r\nContent-Type: a/b\r\n\r\nhello", self.CHUNKED + b"0\r\n\r\n"]
        pieces = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"0", b"5", b"a", b";", b",", b"\0", b"\x80", b"Host: a\r\n",
                  b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"chunked", b"X: y\r\n", b"HTTP/1.0", b"#"]
        rng = random.Random(9112)
        agreed = {True: 0, False: 0}
        for _ in range(4000):
            data = rng.choice(seeds)
            for _ in range(rng.randrange(4)):
                at = rng.randrange(len(data) + 1)
                data = data[:at] + rng.choice(pieces) + data[at + rng.choice((0, 0, 1)):]
            parser = circuits_web.RequestParser()
            parser.feed(data)
            got, body = None, b""
            try:
                while True:
                    item = parser.next_event()
                    if item is None or item is circuits_web.END:
                        break
                    if isinstance(item, bytes):
                        body += item
                    else:
                        head = item
                        if not head.has_body:
                            break
                if item is not None:
                    circuits_web.split_target(head.method, head.target)
                    got = head.method.encode(), head.target.encode(), body, bytes(parser.rest())
            except circuits_web.ProtocolError:
                pass
            expected = reference_request(data)
            self.assertEqual(got, expected, data)
            agreed[got is None] += 1
        self.assertGreater(min(agreed.values()), 500)

    def test_responses_are_read_as_the_library_reads_them(self):
        class Fake:
            def __init__(self, data):
                self.data = data

            def makefile(self, mode):
                return io.BytesIO(self.data)
        rng = random.Random(9110)
        for _ in range(300):
            body = bytes(rng.randrange(256) for _ in range(rng.randrange(50)))
            code = rng.choice((200, 201, 204, 304, 404, 500))
            lines = [b"Server: a", b"Server: b", b"Content-Type: a/b", b"Content-Type: a/b", b"X: \xe4"]
            rng.shuffle(lines)
            if code in (204, 304):
                sent = b""
            elif rng.random() < 0.5:
                lines.append(b"Content-Length: %d" % len(body))
                sent = body
            else:
                lines.append(b"Transfer-Encoding: chunked")
                cut = rng.randrange(len(body) + 1)
                sent = circuits_web.encode_chunk(body[:cut]) + circuits_web.encode_chunk(body[cut:]) + b"0\r\n\r\n"
            data = b"HTTP/1.1 %d Some thing\r\n%s\r\n\r\n%s" % (code, b"\r\n".join(lines), sent)
            theirs = http.client.HTTPResponse(Fake(data))
            theirs.begin()
            got = parsed(circuits_web.ResponseParser(), data, rng.choice((None, 1, 7)))
            self.assertEqual((got[0].status, b"".join(got[1:])), (theirs.status, theirs.read()))
            self.assertEqual(got[0].headers.get_all("X"), theirs.headers.get_all("X"))
            theirs.close()

    def test_no_lenient_patterns_and_no_lenient_servers(self):
        with open(circuits_web.__file__, encoding="utf-8") as file:
            source = file.read()
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) \
                    and isinstance(node.func.value, ast.Name) and node.func.value.id == "re":
                for argument in ast.walk(node):
                    text = getattr(argument, "value", getattr(argument, "s", None))
                    if isinstance(text, str):       # of bytes they mean ASCII
                        self.assertNotRegex(text, r"\\[dws]", "other alphabets have digits, too")
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                self.assertNotIn(name.partition(".")[0], ("cgi", "wsgiref", "socketserver", "pickle", "marshal"))
                self.assertNotIn(name, ("http.server", "xmlrpc.server"))

    def test_cookies_cannot_split_the_header(self):
        class Root(circuits_web.Controller):
            def set(self, name, value, attribute="path", of="/"):
                self.cookie[name] = value
                self.cookie[name][attribute] = of
                return "set"
        self.serve(Root())
        quote = urllib.parse.quote

        def ask(**fields):
            return self.ask("/set?" + "&".join("%s=%s" % (k, quote(v)) for k, v in fields.items()))[:2]
        status, headers = ask(name="a", value="x\r\nSet-Cookie: evil=1; b")
        self.assertEqual((status, len(headers.get_all("Set-Cookie"))), (200, 1))
        self.assertNotIn("evil=1;", headers["Set-Cookie"])
        for attribute in ("path", "domain", "samesite", "expires", "comment"):
            for of in ("/; domain=evil", "/\r\nX: y", "/\0", "/\x7f"):
                self.expect_stderr("Error")
                status, headers = ask(name="a", value="x", attribute=attribute, of=of)
                self.assertEqual((status, headers["Set-Cookie"], headers["X"]), (500, None, None), (attribute, of))
        for name in ("a;b", "a\r\nb", "a b", "a=b", "\xe4"):
            status, headers = ask(name=name, value="x")
            self.assertEqual((status, headers["Set-Cookie"]), (500, None), name)

    def test_nothing_is_echoed_as_html(self):
        class Root(circuits_web.Controller):
            def to(self, where):
                return self.redirect(where)

            def no(self, why):
                return self.notfound(why)

            def bad(self, why):
                raise circuits_web.BadRequestException(why)
        self.serve(Root(), circuits_web.Static("/s", docroot=self.folder(), dirlisting=True), debug=True)
        evil = "%3Cscript%3E%22'&where=x%22%3E%3Cscript%3E"
        for target in ("/to?where=/" + evil, "/no?why=" + evil, "/bad?why=" + evil, "/" + evil, "/s/" + evil,
                       "/s/?" + evil, "/to/1/2/<script>", "/<script>"):
            for lines in ("", "Referer: <script>\r\nUser-Agent: <script>\r\nX-Forwarded-Host: <script>\r\n"):
                got = self.raw(("GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n" % (target, lines)).encode())
                self.assertNotIn(b"<script>", got.lower().partition(b"\r\n\r\n")[2], target)
        got = self.raw(b"GET / HTTP/1.1\r\nHost: <script>\r\n\r\n")
        self.assertNotIn(b"<script>", got)

    def test_names_that_windows_takes_for_something_else(self):
        for name in ("CON", "con.txt", "NUL", "NUL.txt ", "nul .txt", "aux.", "COM1", "com9.tar.gz", "COM\u00b9", "LPT9.x",
                     "PRN ", "CONIN$", "CONOUT$.txt", "c:", "c:x", "a:stream", "a.", "a ", "...", "x|y", "a\x1fb", "<x>",
                     "what?", "*", '"', "..\\x", "\\\\host\\share", "//host/share", "..", ".", "", "a\0"):
            self.assertFalse(circuits_web.is_safe_name(name, windows=True), name)
        for name in ("a", "a.txt", "console", "com", "com10", "nul_", "\u00e4 b.txt", ".hidden", "aux1.x"):
            self.assertTrue(circuits_web.is_safe_name(name, windows=True), name)

    def test_a_redirect_of_a_folder_stays_here(self):
        folder = self.folder()
        os.makedirs(os.path.join(folder, "evil.example", "sub"))
        self.serve(circuits_web.Static(docroot=folder, dirlisting=True))
        for path in (b"//evil.example/sub", b"///evil.example/sub", b"/%2fevil.example/sub", b"/\\evil.example/sub",
                     b"/.//evil.example/sub", b"/x/..//evil.example/sub"):
            got = self.raw(b"GET " + path + b" HTTP/1.0\r\n\r\n")
            location = re.search(rb"\r\nLocation: (\S+)", got)
            if location:
                self.assertRegex(location.group(1), rb"^http://127\.0\.0\.1:%d/[^/\\]" % self.port, path)
            else:
                self.assertRegex(got, rb"^HTTP/1.0 40[04] ", path)

    def test_what_follows_a_form_is_skipped_in_bounded_memory(self):
        parser = circuits_web.MultipartParser("XX")
        parser.feed(multipart((TestForms.FIELD, b"1")))
        for _ in range(1000):
            parser.feed(b"\r\n--XX" + b"x" * 65536)
            self.assertLess(len(parser._buffer), 100000)
        self.assertEqual(parser.finish(), {"a": "1"})

    def test_forms_that_fail_leave_no_file_and_one_answer(self):
        app = self.serve(Greeter(), max_memory=100)
        file = (TestForms.FILE, b"x" * 5000)
        before = None
        for bad in ((TestForms.FIELD + b"\r\nContent-Length: -1", b""), (b"X: y", b""), (b"Bad", b""),
                    (b"\0" * 50, b"\xff" * 50), (TestForms.FIELD, b"x" * 2000000)):
            for cut in (0, 30):
                body = multipart(file, file, bad, file)
                body = body[:len(body) - cut]
                got = self.raw(b"POST /greet HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                               b"Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: %d\r\n\r\n" % len(body)
                               + body)
                self.assertRegex(got, rb"^HTTP/1.1 4(00|13) ")
                self.assertEqual(len(re.findall(b"HTTP/1.1 [1-5]", got)), 1)
                wait_for(lambda: not app.http._connections)
                if os.path.isdir("/proc/self/fd"):
                    open_files = len(os.listdir("/proc/self/fd"))
                    self.assertLessEqual(open_files, before or open_files)
                    before = before or open_files

    def test_after_a_storm_of_resets_the_loop_sleeps(self):
        app = self.serve(self.Root())
        for data in (b"", b"GET", HELLO, HELLO * 3) * 25:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                sock.sendall(data)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        half = socket.create_connection(("127.0.0.1", self.port), PATIENCE)     # one that sends no more
        self.addCleanup(half.close)
        half.sendall(b"GET / HT")
        half.shutdown(socket.SHUT_WR)
        self.assertEqual(half.recv(1000)[:0], b"")
        wait_for(lambda: not app.http._connections)
        waits = []
        poller = app._reactor.poller
        wait = poller._wait
        poller._wait = lambda timeout: (waits.append(timeout), wait(timeout))[1]
        over = threading.Event()
        app._reactor.call_soon(lambda: app._reactor.call_later(0.2, over.set))
        self.assertTrue(over.wait(PATIENCE))
        self.assertLess(len(waits), 10)
        self.assertIn(b"executed", self.raw(HELLO, until=b"executed"))

    def test_fifty_threads_at_one_store_of_sessions(self):
        folder = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)     # disks may be slow
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        for store in (circuits_web.MemoryStore(), circuits_web.SQLiteStore(os.path.join(folder, "sessions"))):
            if hasattr(store, "close"):
                self.addCleanup(store.close)
            wrong = []

            def use(number):
                try:
                    for n in range(10):
                        sid = "own-%d" % number
                        store.save(sid, {"n": n, "text": str(number) * 100})
                        store.save("shared", {"a": number, "b": number})
                        if store.load(sid) != {"n": n, "text": str(number) * 100}:
                            wrong.append(store.load(sid))
                        shared = store.load("shared")
                        if shared["a"] != shared["b"]:
                            wrong.append(shared)
                except Exception as error:
                    wrong.append(error)
            threads = [threading.Thread(target=use, args=(number,)) for number in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
            self.assertEqual(wrong, [])


class TestWebAbuse(CircuitsTest):
    """Peers that ask for much; the server is a process of its own, so that its memory can be told.

    The sizes are small; python3 test_circuits.py --full TestWebAbuse takes the large ones.
    """

    CODE = """
        import sys
        from circuits_web import Controller, Server, Static, expose
        piece = bytes(65536)
        class Root(Controller):
            def index(self):
                return "Hello World!"
            @expose("collected", methods=("POST", "PUT"))
            def _collected(self, **fields):
                body, size = self.request.body, 0
                while True:
                    data = body.read(65536)
                    if not data:
                        return "%d bytes, %d fields" % (size, len(fields))
                    size += len(data)
            @expose("taken", stream=True, methods=("PUT",))
            async def _streamed(self):
                async for data in self.request.body:
                    pass
                return "%d bytes" % self.request.body.size
            def made(self, size):
                def pieces():
                    for _ in range(int(size) // 65536):
                        yield piece
                self.response.body = pieces()
                return self.response
        app = Server(("127.0.0.1", 0), max_body=2 ** 31, **eval(sys.argv[2])) + Root()
        app += Static("/s", docroot=sys.argv[1])
        print(app.port, flush=True)
        app.run()
        """

    def start(self, docroot="", **options):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(self.CODE), docroot or HERE, repr(options)], cwd=HERE,
            env=os.environ.copy(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.process = process

        def end():
            process.terminate()
            out, err = process.communicate()
            self.assertEqual(err, b"")
        self.addCleanup(end)
        self.port = int(process.stdout.readline())
        self.honest = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.addCleanup(self.honest.close)
        self.assertServed()
        try:
            with open("/proc/%d/clear_refs" % process.pid, "w") as file:
                file.write("5")                 # forget what compiling the modules took
        except OSError:
            pass
        self.before = self.most_memory()

    def assertServed(self):
        self.honest.request("GET", "/")
        self.assertEqual(self.honest.getresponse().read(), b"Hello World!")

    def most_memory(self):
        """KiB that the server had at most so far; 0 where the system does not tell."""
        try:
            with open("/proc/%d/status" % self.process.pid) as file:
                return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1))
        except OSError:
            return 0

    def assertSmall(self, mib=64):
        most = self.most_memory()
        if FULL:
            print("%s: %.1f MiB before, at most %.1f MiB" % (self.id(), self.before / 1024, most / 1024), flush=True)
        if "__pypy__" in sys.builtin_module_names:
            mib *= 4
        self.assertLess(most, mib * 1024)

    def connect(self, data=b""):
        sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(sock.close)
        sock.sendall(data)
        return sock

    @staticmethod
    def answer(sock):
        """All that comes, until the end."""
        got = bytearray()
        while True:
            try:
                piece = sock.recv(65536)
            except ConnectionError:
                return bytes(got)
            if not piece:
                return bytes(got)
            got += piece

    def push(self, sock, pieces):
        """Send pieces until the peer has an answer or will not take more; returns bytes sent."""
        sent = 0
        for number, piece in enumerate(pieces):
            if number % 16 == 0 and select.select([sock], [], [], 0)[0]:
                break
            try:
                sock.sendall(piece)
            except OSError:
                break
            sent += len(piece)
        return sent

    def test_large_bodies_both_ways_pass_through_a_small_process(self):
        size = 2 ** 30 if FULL else 2 ** 26
        folder = self.folder()
        with open(os.path.join(folder, "big"), "wb") as file:
            file.truncate(size)
        self.start(folder)
        piece = bytes(65536)
        for path in (b"collected", b"taken"):
            for framing, wrap in ((b"Content-Length: %d" % size, None), (b"Transfer-Encoding: chunked", True)):
                sock = self.connect(b"PUT /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n\r\n" % (path, framing))
                chunk = b"10000\r\n" + piece + b"\r\n" if wrap else piece
                for _ in range(size // 65536):
                    sock.sendall(chunk)
                if wrap:
                    sock.sendall(b"0\r\n\r\n")
                self.assertIn(b"%d bytes" % size, self.answer(sock))
                self.assertServed()
        for path in (b"s/big", b"made?size=%d" % size):
            sock = self.connect(b"GET /%s HTTP/1.0\r\n\r\n" % path)
            got = 0
            while True:
                data = sock.recv(1 << 20)
                if not data:
                    break
                got += len(data)
            self.assertTrue(size < got < size + 1000)
            self.assertServed()
        self.assertSmall()

    def test_slowloris(self):
        """Many send a byte now and then; each is told 408 and closed in time, others are served."""
        count = 1000 if FULL else 100
        seconds = 3 if FULL else 1
        self.start(header_timeout=seconds, body_timeout=seconds)
        heads = (b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
                 b"POST /collected HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
                 b"POST /collected HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1")
        socks = [self.connect(heads[number % 3]) for number in range(count)]
        got = {sock: b"" for sock in socks}
        deadline = time.monotonic() + PATIENCE
        served = 0
        while socks:
            self.assertServed()
            served += 1
            self.assertLess(time.monotonic(), deadline)
            ready = select.poll()
            for sock in socks:
                ready.register(sock, select.POLLIN)
            if not ready.poll(50):
                for sock in socks:
                    try:
                        sock.send(b"0")
                    except OSError:
                        pass
                continue
            for sock in list(socks):
                sock.setblocking(False)
                try:
                    piece = sock.recv(10000)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    piece = b""
                got[sock] += piece
                if not piece:
                    socks.remove(sock)
        told = sum(data.startswith(b"HTTP/1.1 408 ") for data in got.values())
        if FULL:
            print("served %d times meanwhile, %d of %d told 408" % (served, told, count))
        self.assertGreater(told, count * 9 // 10)       # all are closed; a reset may overtake an answer
        self.assertSmall()

    def test_very_many_tiny_chunks(self):
        count = 1000000 if FULL else 100000
        self.start()
        for path in (b"collected", b"taken"):
            sock = self.connect(b"PUT /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                b"Transfer-Encoding: chunked\r\n\r\n" % path)
            start = time.monotonic()
            for _ in range(count // 1000):
                sock.sendall(b"1\r\nx\r\n" * 1000)
            sock.sendall(b"0\r\n\r\n")
            self.assertIn(b"%d bytes" % count, self.answer(sock))
            if FULL:
                print("%s: %.2f s" % (path, time.monotonic() - start))
        self.assertServed()
        self.assertSmall()

    def test_very_many_headers(self):
        self.start()
        for lines in ((b"X: a\r\n" * 100 for _ in range(1000)), (b"X-%d: a\r\n" % n for n in range(100000))):
            sock = self.connect(b"GET / HTTP/1.1\r\nHost: a\r\n")
            sent = self.push(sock, lines)
            self.assertLess(sent, 700000)
            self.assertRegex(self.answer(sock), b"^HTTP/1.1 431 (?s:.*)Connection: close")
        sock = self.connect(b"POST /collected HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        self.push(sock, (b"X: a\r\n" * 100 for _ in range(1000)))
        self.assertRegex(self.answer(sock), b"^HTTP/1.1 431 (?s:.*)Connection: close")
        self.assertServed()
        self.assertSmall()

    def test_very_many_parts_of_a_form(self):
        count = 10000000 if FULL else 50000
        part = b"--X\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n"
        kind = b"Content-Type: multipart/form-data; boundary=X\r\n"
        self.start()
        sock = self.connect(b"POST /collected HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n"
                            % (kind, len(part) * count + 7))
        self.push(sock, (part * 1000 for _ in range(count // 1000)))
        try:
            sock.sendall(b"--X--\r\n")
        except OSError:
            pass
        got = self.answer(sock)
        self.assertTrue(got.startswith(b"HTTP/1.1 413 "), got[:100])
        self.assertServed()
        self.assertSmall()

    def test_many_files_in_one_form(self):
        count = 800 if FULL else 60
        self.start()
        part = b"--XX\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\n" + bytes(1000000) + b"\r\n"
        sock = self.connect(b"POST /collected HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                            b"Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: %d\r\n\r\n"
                            % (len(part) * count + 8))
        for _ in range(count):
            sock.sendall(part)
        sock.sendall(b"--XX--\r\n")
        self.assertIn(b"1 fields", self.answer(sock))
        self.assertServed()
        self.assertSmall()

    def test_fields_of_a_form_are_limited_together(self):
        self.start()
        body = multipart(*[(b"Content-Disposition: form-data; name=a", b"x" * 1000000)] * (50 if FULL else 5))
        sock = self.connect(b"POST /collected HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                            b"Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: %d\r\n\r\n" % len(body))
        self.push(sock, [body])
        self.assertTrue(self.answer(sock).startswith(b"HTTP/1.1 413 "))
        self.assertSmall()


# ---------------------------------------------------------------------------
# Web: groups and server-sent events
# ---------------------------------------------------------------------------

class StreamTest(WebTest):
    """Serves streams and a group; self.streams are those that were made."""

    def start(self, *components, group=None, **options):
        self.group = group or circuits_web.Group()
        self.streams, self.ended = [], []
        test = self

        class Root(circuits_web.Controller):

            def _stream(self, source=None, **config):
                test.streams.append(circuits_web.EventStream(
                    self.request, self.response, source, on_close=test.ended.append, **config))
                return test.streams[-1]

            def news(self):
                return test.group.add(self._stream())

            def early(self):
                stream = self._stream()
                stream.send("one", event="first", id=1, retry=2.5)
                stream.send({"two": 2})
                return stream

            def short(self):
                stream = self._stream()
                stream.send("all")
                stream.close()
                return stream

            def gen(self):
                yield sleep(0.001)
                yield test.group.add(self._stream())

            async def coro(self):
                await sleep(0.001)
                return test.group.add(self._stream())

            def sources(self, kind):
                return self._stream(test.sources[kind]())

            def boom(self):
                self._stream().send("x")
                raise circuits_web.ForbiddenException()

            def plain(self):
                return "plain"
        self.root = Root()
        return self.serve(self.root, *components, **options)

    def do(self, function):
        """What *function* returns, called in the thread of the tree."""
        results = []
        self.app._reactor.call_soon(lambda: results.append(function()))
        return wait_for(lambda: results)[0]

    def listen(self, path="/news", **headers):
        """Ask for a stream; the answer has readline() and the headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        self.addCleanup(answer.close)
        answer.connection = connection
        return answer

    def leave(self, answer):
        answer.connection.close()
        answer.close()

    def next(self, answer):
        """The next event, as its lines."""
        lines = []
        while True:
            line = answer.readline().decode()
            if line == "\n":
                return lines
            if not line:
                return None
            lines.append(line.rstrip("\n"))


def parse_events(data):
    """What a browser makes of a stream, as WHATWG HTML 9.2.6 says: [(type, data, id)]."""
    text = data.decode("utf-8")
    events, fields, kind, last = [], [], "", ""
    for line in re.split("\r\n|\n|\r", text):
        if not line:
            if fields:
                events.append((kind or "message", "\n".join(fields), last))
            fields, kind = [], ""
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            fields.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last = value
    return events


class TestServerEvents(CircuitsTest):
    """The form on the wire, without a socket."""

    def test_the_form(self):
        event, encode = circuits_web.ServerEvent, circuits_web.encode_event
        for message, expected in (
                ("text", b"data: text\n\n"), (b"bytes \xc3\xa4", b"data: bytes \xc3\xa4\n\n"), ("", b"data: \n\n"),
                ({"a": [1]}, b'data: {"a": [1]}\n\n'), (7, b"data: 7\n\n"), (True, b"data: true\n\n"),
                ("a\nb\r\nc\rd\n", b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
                (" x: y", b"data:  x: y\n\n"), ("\u2028\x0b\x0c\x1c", b"data: \xe2\x80\xa8\x0b\x0c\x1c\n\n"),
                (event("x", event="e v", id=""), b"event: e v\nid: \ndata: x\n\n"),
                (event("x", id=7, retry=0.5), b"id: 7\nretry: 500\ndata: x\n\n"), (event(None, retry=3), b"retry: 3000\n\n"),
                (event(None, id="\u00e4"), b"id: \xc3\xa4\n\n")):
            self.assertEqual(encode(message), expected)

    def test_what_would_break_the_stream_is_refused(self):
        for bad in ("a\nb", "a\rdata: x", "a\0", "\n"):
            with self.assertRaisesRegex(ValueError, "one line without NUL"):
                circuits_web.ServerEvent("x", event=bad)
            with self.assertRaisesRegex(ValueError, "one line without NUL"):
                circuits_web.ServerEvent("x", id=bad)
        for wrong in (-1, float("nan"), float("inf")):
            with self.assertRaisesRegex(ValueError, "retry is a number of seconds"):
                circuits_web.ServerEvent("x", retry=wrong)
        for data in (b"\xff", "\ud800"):
            with self.assertRaises(ValueError):
                circuits_web.encode_event(data)
        with self.assertRaises(TypeError):
            circuits_web.encode_event(object())

    def test_what_is_sent_arrives(self):
        source = random.Random(5)
        alphabet = ["a", " ", ":", "\n", "\r", "\r\n", "\0", "\u2028", "\u00e4", "\x0b", "data: ", "id: 1"]
        for _ in range(300):
            data = "".join(source.choice(alphabet) for _ in range(source.randrange(1, 12)))
            name = "".join(source.choice("ab :\u00e4") for _ in range(source.randrange(1, 5)))
            encoded = circuits_web.encode_event(circuits_web.ServerEvent(data, event=name, id=name[::-1]))
            [(kind, got, last)] = parse_events(encoded + circuits_web.encode_event("end"))[:-1]
            self.assertEqual((kind, got, last), (name, data.replace("\r\n", "\n").replace("\r", "\n"), name[::-1]))


class FakeMember:
    """What a group needs of a member."""

    groups = None
    waiting = 0

    def __init__(self, kind):
        self.kind, self.got, self.encoded = kind, [], 0

    def encode(self, message):
        self.encoded += 1
        return ("%s:%s" % (self.kind, message)).encode()

    def write(self, frame):
        self.got.append(frame)

    def close(self, reason):
        for group in list(self.groups):
            group.discard(self)
        self.reason = reason


class TestGroups(CircuitsTest):

    def test_one_encoding_for_each_kind(self):
        group = circuits_web.Group()
        members = [FakeMember(kind) for kind in "aabab"]
        for member in members:
            self.assertIs(group.add(member), member)
        self.assertEqual(group.send("x"), 5)
        self.assertEqual(sum(member.encoded for member in members), 2)
        self.assertEqual([member.got for member in members], [[b"%s:x" % kind.encode()] for kind in "aabab"])
        self.assertEqual(len({id(member.got[0]) for member in members}), 2)     # the very same bytes

    def test_members_come_and_go(self):
        group, other = circuits_web.Group(), circuits_web.Group()
        self.assertTrue(group)
        one, two = FakeMember("a"), FakeMember("a")
        for member in (one, two, one):
            group.add(member)
        other.add(one)
        self.assertEqual((len(group), one in group, one.groups), (2, True, {group, other}))
        self.assertEqual(repr(group), "<Group of 2>")
        for member in group:
            group.discard(member)
            group.discard(member)
        self.assertEqual((len(group), one in group, one.groups, two.groups), (0, False, {other}, set()))
        self.assertEqual((group.send("x"), one.got), (0, []))

    def test_a_sock_stands_for_what_a_protocol_keeps_with_it(self):
        class Sock:
            upper = FakeMember("a")
        group, sock = circuits_web.Group(), Sock()
        self.assertIs(group.add(sock), sock)
        self.assertEqual((sock in group, group.send("x"), list(group)), (True, 1, [Sock.upper]))
        group.discard(sock)
        self.assertEqual((sock in group, len(group)), (False, 0))
        sock.upper = None                       # its WebSocket is closed
        group.add(sock)
        group.discard(sock)
        self.assertEqual((sock in group, len(group)), (False, 0))
        for wrong in (None, "x", object()):
            with self.assertRaisesRegex(TypeError, "an EventStream or the sock of a WebSocket"):
                group.add(wrong)

    def test_one_that_leaves_while_the_group_sends(self):
        group = circuits_web.Group()
        members = [group.add(FakeMember("a")) for _ in range(3)]
        members[0].write = lambda frame: members[1].close("")
        self.assertEqual(group.send("x"), 3)
        self.assertEqual((len(group), members[2].got), (2, [b"a:x"]))

    def test_the_slow_are_parted_from_or_skipped(self):
        for policy, left in (("close", 2), ("skip", 3)):
            group = circuits_web.Group(policy, max_waiting=100)
            members = [group.add(FakeMember("a")) for _ in range(3)]
            for member in members:
                member.close = lambda reason: None      # a WebSocket closes later
            members[1].waiting = 101
            members[2].waiting = 100
            self.assertEqual(group.send("x"), 2)
            self.assertEqual((len(group), [len(m.got) for m in members]), (left, [1, 0, 1]))
        with self.assertRaisesRegex(ValueError, '"close" or "skip"'):
            circuits_web.Group("drop")
        with self.assertRaisesRegex(ValueError, "a number of messages"):
            circuits_web.Group(history=-1)

    def test_what_cannot_be_encoded_reaches_nobody(self):
        group = circuits_web.Group()
        good, bad = group.add(FakeMember("a")), group.add(FakeMember("b"))
        bad.encode = lambda message: message.encode("ascii")
        with self.assertRaises(ValueError):
            group.send("\u00e4")
        self.assertEqual(good.got, [])
        with self.assertRaises(TypeError):
            group.send(object())


class TestEventStreams(StreamTest):

    def test_headers_and_what_is_sent_at_once(self):
        self.start()
        answer = self.listen("/early")
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.headers["Cache-Control"],
                          answer.headers["X-Accel-Buffering"], answer.headers["Transfer-Encoding"]),
                         (200, "text/event-stream; charset=utf-8", "no-cache", "no", "chunked"))
        self.assertEqual(self.next(answer), ["event: first", "id: 1", "retry: 2500", "data: one"])
        self.assertEqual(self.next(answer), ['data: {"two": 2}'])
        self.assertEqual(repr(self.streams[0]), "<EventStream open, 0 bytes wait>")
        self.assertTrue(self.do(lambda: self.streams[0].send("three")))
        self.assertEqual(self.next(answer), ["data: three"])

    def test_every_kind_of_handler(self):
        self.start()
        answers = [self.listen(path) for path in ("/news", "/gen", "/coro")]
        wait_for(lambda: len(self.group) == 3)
        self.assertEqual(self.do(lambda: self.group.send("to all")), 3)
        for answer in answers:
            self.assertEqual(self.next(answer), ["data: to all"])

    def test_a_json_controller(self):
        class Root(circuits_web.JSONController):
            def index(self):
                return circuits_web.EventStream(self.request, self.response, [{"n": 1}])

            async def later(self):
                return circuits_web.EventStream(self.request, self.response, [{"n": 2}])
        self.serve(Root())
        self.assertEqual([self.get(path) for path in ("/", "/later")],
                         [(200, b'data: {"n": 1}\n\n'), (200, b'data: {"n": 2}\n\n')])

    def test_one_dot_zero_and_head(self):
        self.start()
        got = self.raw(b"GET /short HTTP/1.0\r\n\r\n")
        self.assertTrue(got.endswith(b"\r\n\r\ndata: all\n\n"), got)
        self.assertNotIn(b"chunked", got)
        got = self.raw(b"HEAD /news HTTP/1.1\r\nHost: a\r\n\r\nGET /plain HTTP/1.0\r\n\r\n")
        self.assertRegex(got, rb"(?s)^HTTP/1.1 200 .*event-stream.*\r\n\r\nHTTP/1.0 200 .*plain$")
        self.assertEqual((len(self.group), self.streams[-1].closed), (0, True))
        wait_for(lambda: self.ended == self.streams)
        self.assertFalse(self.do(lambda: self.streams[-1].send("x")))

    def test_sources(self):
        closed = []

        def generator():
            try:
                yield "a"
                yield None
                yield sleep(0.001)
                yield circuits_web.ServerEvent("b", id=2)
            finally:
                closed.append("generator")

        async def agenerator():
            try:
                yield "a"
                await sleep(0.001)
                yield circuits_web.ServerEvent("b", id=2)
            finally:
                closed.append("agenerator")
        self.start()
        self.sources = {"list": lambda: ["a", circuits_web.ServerEvent("b", id=2)], "gen": generator,
                        "agen": agenerator}
        for kind in self.sources:
            self.assertEqual(self.raw(b"GET /sources?kind=%s HTTP/1.1\r\nHost: a\r\n\r\n" % kind.encode()
                                      + b"GET /plain HTTP/1.0\r\n\r\n").split(b"\r\n\r\n", 1)[1].partition(b"HTTP")[0],
                             b"9\r\ndata: a\n\n\r\nf\r\nid: 2\ndata: b\n\n\r\n0\r\n\r\n")
        self.assertEqual(closed, ["generator", "agenerator"])
        wait_for(lambda: self.ended == self.streams)
        with self.assertRaises(TypeError):
            circuits_web.EventStream(None, None, generator)

    def test_a_source_ends_with_its_client(self):
        closed = []

        def generator():
            try:
                while True:
                    yield "x"
                    yield sleep(PATIENCE)
            finally:
                closed.append("generator")

        async def agenerator():
            try:
                while True:
                    yield "x"
                    await sleep(PATIENCE)
            finally:
                closed.append("agenerator")
        self.start()
        self.sources = {"generator": generator, "agenerator": agenerator}
        for kind in self.sources:
            answer = self.listen("/sources?kind=" + kind)
            self.assertEqual(self.next(answer), ["data: x"])
            self.leave(answer)
            wait_for(lambda: closed[-1:] == [kind])
            self.assertTrue(self.streams[-1].closed)
        # and with a close from elsewhere, also its own
        for kind in self.sources:
            answer = self.listen("/sources?kind=" + kind)
            self.assertEqual(self.next(answer), ["data: x"])
            self.do(self.streams[-1].close)
            self.assertIsNone(self.next(answer))
            answer.connection.request("GET", "/plain")
            with answer.connection.getresponse() as again:
                self.assertEqual(again.read(), b"plain")
        self.assertEqual(closed, ["generator", "agenerator"] * 2)

        def suicide():
            yield "last"
            self.streams[-1].close()
            yield "never"
        self.sources = {"suicide": suicide}
        answer = self.listen("/sources?kind=suicide")
        self.assertEqual((self.next(answer), self.next(answer)), (["data: last"], None))

    def test_a_source_is_closed_that_was_never_asked(self):
        closed = []

        class Source:
            __iter__ = __next__ = lambda self: self

            def close(self):
                closed.append(True)

        class Ended(circuits_web.Controller):
            channel = "/ended"

            def index(self):
                stream = circuits_web.EventStream(self.request, self.response, Source())
                stream.close()
                return stream
        self.start(Ended())
        self.assertEqual(self.get("/ended"), (200, b""))
        self.assertEqual(closed, [True])

    def test_a_source_that_fails_is_cut_not_ended(self):
        def failing():
            yield "a"
            raise RuntimeError("in the source")
        self.start()
        self.sources = {"failing": failing, "bad": lambda: ["a", b"\xff"]}
        self.expect_stderr("in the source")
        self.expect_stderr("UnicodeDecodeError")
        for kind in (b"failing", b"bad"):
            got = self.raw(b"GET /sources?kind=%s HTTP/1.1\r\nHost: a\r\n\r\n" % kind)
            self.assertTrue(got.endswith(b"data: a\n\n\r\n"), got)
        wait_for(lambda: self.ended == self.streams)

    def test_a_client_that_leaves_is_noticed_at_once(self):
        self.start()
        answers = [self.listen() for _ in range(5)]
        self.assertEqual(len(self.group), 5)
        self.leave(answers[0])
        answers[1].connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.leave(answers[1])
        wait_for(lambda: len(self.group) == 3 and len(self.ended) == 2)
        self.assertEqual(self.do(lambda: self.group.send("x")), 3)
        self.assertEqual(self.next(answers[2]), ["data: x"])

    def test_a_client_that_leaves_before_the_handler_is_done(self):
        self.start()
        seen = []

        class Slow(circuits_web.Controller):
            channel = "/slow"

            async def before(self):
                seen.append(self.test.group.add(circuits_web.EventStream(self.request, self.response)))
                await sleep(PATIENCE)

            async def after(self):
                request, response = self.request, self.response
                seen.append(self)
                while not response.done:
                    await sleep(0.001)
                seen.append(self.test.group.add(circuits_web.EventStream(request, response)))
                return seen[-1]
        Slow.test = self
        Slow().register(self.app)
        for path in (b"before", b"after"):
            with socket.create_connection(("127.0.0.1", self.port)) as sock:
                sock.sendall(b"GET /slow/%s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
                wait_for(lambda: seen)
            wait_for(lambda: getattr(seen[-1], "closed", False))
            self.assertEqual(len(self.group), 0)
            seen.clear()

    def test_a_handler_that_fails_or_answers_otherwise(self):
        self.start()
        self.assertEqual(self.get("/boom")[0], 403)
        wait_for(lambda: self.ended == self.streams)

        class Other(circuits_web.BaseComponent):
            channel = "web"

            @handler("response", priority=2)
            def _on_response(self, response):
                response.stream = False
                response.body = "other"
        Other().register(self.app)
        self.assertEqual(self.get("/news")[1], b"other")
        self.assertFalse(self.do(lambda: self.streams[-1].send("x")))
        self.assertEqual(len(self.group), 0)

    def test_a_response_that_somebody_else_ended(self):
        self.start()
        answer = self.listen()
        stream = self.streams[0]
        self.do(lambda: self.app.fire(circuits_web.Stream(stream.response, None), "web"))
        self.assertIsNone(self.next(answer))
        self.assertFalse(self.do(lambda: stream.send("into the next response")))
        answer.connection.request("GET", "/plain")
        with answer.connection.getresponse() as again:
            self.assertEqual(again.read(), b"plain")

    def test_what_was_sent_early_comes_first(self):
        test = self

        class Spy(Component):
            channel = "web"

            def write(self, sock, data):        # its event is one before what was sent early
                if data.startswith(b"HTTP/"):
                    test.streams[-1].send("late")
        self.start(Spy())
        answer = self.listen("/early")
        self.assertEqual([self.next(answer)[-1] for _ in range(3)], ["data: one", 'data: {"two": 2}', "data: late"])

    def test_listeners_of_stream_see_the_events(self):
        rec = Recorder()
        self.start(rec)
        answer = self.listen("/early")
        self.next(answer), self.next(answer)
        self.do(lambda: self.streams[0].send("three"))
        self.assertEqual(self.next(answer), ["data: three"])
        self.do(self.streams[0].close)
        self.assertIsNone(self.next(answer))
        self.assertEqual([event.args[1] for event in rec.named("stream")][1:], [b"data: three\n\n", None])

    def test_nothing_is_built_that_nobody_hears(self):
        self.start()
        answers = [self.listen() for _ in range(10)]

        def send():
            before = len(self.app._queue)
            self.group.send("x")
            return len(self.app._queue) - before
        self.assertEqual(self.do(send), 0)
        for answer in answers:
            self.assertEqual(self.next(answer), ["data: x"])

    def test_it_is_not_compressed(self):
        self.start(circuits_web.Compress(mime_types=("text/event-stream",), min_size=0))
        answer = self.listen("/early", Accept_Encoding="gzip")
        self.assertNotIn("Content-Encoding", answer.headers)
        self.assertEqual(self.next(answer)[-1], "data: one")

    def test_what_was_missed_comes_again(self):
        self.start(group=circuits_web.Group(history=3))
        answer = self.listen()
        ids = []
        for n in range(5):
            self.do(lambda: self.group.send("m%d" % n))
            [number, data] = self.next(answer)
            self.assertEqual(data, "data: m%d" % n)
            ids.append(number[4:])
        for last, missed in ((ids[4], []), (ids[2], ["m3", "m4"]), (ids[0], ["m2", "m3", "m4"]),
                             ("of another life", ["m2", "m3", "m4"]), ("", ["m2", "m3", "m4"])):
            again = self.listen(Last_Event_ID=last)
            self.assertEqual(self.streams[-1].last_event_id, last)
            self.do(lambda: self.streams[-1].send("live"))
            self.assertEqual([self.next(again)[-1][6:] for _ in missed + [0]], missed + ["live"])
        self.assertIsNone(self.streams[0].last_event_id)
        self.listen(Last_Event_ID="\u00e4".encode().decode("latin-1"))
        self.assertEqual(self.streams[-1].last_event_id, "\u00e4")
        for _ in range(3):                      # bounded in bytes, too
            self.do(lambda: self.group.send("x" * 60000))
        self.assertEqual(len(self.group._history), 2)
        self.assertEqual(self.group._kept, sum(len(data) for _, data in self.group._history))
        self.do(lambda: self.group.send(circuits_web.ServerEvent("mine", id=7)))
        self.assertEqual(self.group._history[-1], ("7", b"id: 7\ndata: mine\n\n"))

    def test_a_client_that_stops_reading_holds_nobody_up(self):
        for policy in ("close", "skip"):
            self.start(group=circuits_web.Group(policy, max_waiting=100000))
            with socket.create_connection(("127.0.0.1", self.port)) as stuck:
                stuck.sendall(b"GET /news HTTP/1.1\r\nHost: a\r\n\r\n")
                wait_for(lambda: len(self.group) == 1)
                [slow] = self.streams
                slow.request.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                answer = self.listen()
                text = "x" * 20000
                most = count = 0
                while self.do(lambda: self.group.send(text)) == 2:
                    most = max(most, slow.waiting)
                    self.assertEqual(self.next(answer), ["data: " + text])
                    count += 1
                self.assertEqual(self.next(answer), ["data: " + text])
                self.assertLess(most, 130000)
                self.assertEqual((len(self.group), slow.closed), (1, True) if policy == "close" else (2, False))
                if policy == "skip":            # it catches up, and is served again
                    stuck.settimeout(PATIENCE)
                    while slow.waiting > 50000:
                        stuck.recv(1000000)
                    self.assertEqual(self.do(lambda: self.group.send("again")), 2)
            wait_for(lambda: slow.closed and slow not in self.group)

    def test_one_that_is_parted_from_has_no_second_request_answered(self):
        """It would find the end of the stream, and then read on slowly."""
        self.start(group=circuits_web.Group(max_waiting=100000))
        with socket.create_connection(("127.0.0.1", self.port)) as stuck:
            stuck.settimeout(PATIENCE)
            stuck.sendall(b"GET /news HTTP/1.1\r\nHost: a\r\n\r\nGET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: len(self.group) == 1)
            while self.do(lambda: self.group.send("x" * 200000)):
                pass
            got = b""
            piece = stuck.recv(1000000)
            while piece:
                got = got[-100:] + piece
                piece = stuck.recv(1000000)
        self.assertTrue(got.endswith(b"\n\n\r\n0\r\n\r\n"), got[-100:])

    def test_the_end_of_one_may_be_told_to_the_others(self):
        self.start()
        answers = [self.listen() for _ in range(20)]
        nested, told = [], []

        def tell(stream):
            told.append((len(nested), self.group.send("%d left" % len(self.group))))

        def flood():
            nested.append(True)
            for stream in self.group:
                stream.on_close = tell
            while len(self.group):
                self.group.send("x" * 1000000)
            nested.clear()
        self.do(flood)
        wait_for(lambda: told == [(0, 0)] * 20)     # not within each other: there may be thousands
        for answer in answers:
            self.leave(answer)

    def test_the_end_of_one_that_was_not_open_yet_is_told_later_too(self):
        """A callback that fails must not keep a message from the members behind."""
        def fail(stream):
            raise ValueError("the callback's own")

        class Slow(circuits_web.Controller):
            channel = "/slow"

            async def index(this):
                stream = self.group.add(circuits_web.EventStream(this.request, this.response, on_close=fail))
                await sleep(PATIENCE)
                return stream
        self.start(Slow(), group=circuits_web.Group(max_waiting=1000))
        self.expect_stderr("the callback's own")
        with socket.create_connection(("127.0.0.1", self.port)) as stuck:
            stuck.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: len(self.group) == 1)
            answer = self.listen()
            wait_for(lambda: len(self.group) == 2)
            self.assertEqual(self.do(lambda: [self.group.send("x" * 600) for _ in range(4)]), [2, 2, 1, 1])
            self.assertEqual([self.next(answer) for _ in range(4)], [["data: " + "x" * 600]] * 4)
        wait_for(lambda: "own" in sys.stderr.getvalue())

    def test_send_parts_from_a_slow_client_itself(self):
        self.start()
        with socket.create_connection(("127.0.0.1", self.port)) as stuck:
            stuck.sendall(b"GET /news HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: len(self.group) == 1)
            [stream] = self.streams
            wait_for(lambda: not self.do(lambda: stream.send("x" * 100000)))
            self.assertLess(stream.waiting, 400000)
            self.assertTrue(stream.closed)
            wait_for(lambda: self.ended == [stream])

    def by_hand(self, **options):
        """A server that the test turns by hand, its clock, and a client with a stream."""
        clock, group = FakeClock(), circuits_web.Group()

        class Root(circuits_web.Controller):
            def index(self):
                return group.add(circuits_web.EventStream(self.request, self.response, **options))
        app = circuits_web.Server(("127.0.0.1", 0)) + Root()
        app.clock = clock
        self.addCleanup(app.server.close)
        self.addCleanup(lambda: pump(app, lambda: not app.http._connections))
        pump(app)
        sock = socket.create_connection(("127.0.0.1", app.port))
        self.addCleanup(sock.close)
        sock.setblocking(False)

        def got(until):
            data = bytearray()
            for _ in range(10000):
                app.tick(0.01)
                try:
                    piece = sock.recv(65536)
                except BlockingIOError:
                    continue
                data += piece
                if not piece or until in data:
                    return bytes(data)
            raise AssertionError("%r did not come, but %r" % (until, data[-100:]))
        return app, clock, group, sock, got

    def turn(self, app, clock, seconds):
        """Let seconds pass, one after another."""
        for _ in range(seconds):
            clock.advance(1)
            app.tick(0.001)
            app.tick(0.001)

    def test_a_silent_stream_is_kept_alive(self):
        app, clock, group, sock, got = self.by_hand(keep_alive=15)
        sock.sendall(HELLO)
        got(b"\r\n\r\n")
        for _ in range(8):
            self.turn(app, clock, 16)
            self.assertEqual(got(b":\n\n\r\n"), b"3\r\n:\n\n\r\n")
        self.assertEqual(len(group), 1)
        group.send("x")
        self.assertEqual(got(b"x\n\n\r\n"), b"9\r\ndata: x\n\n\r\n")
        with self.assertRaisesRegex(ValueError, "keep_alive is a number of seconds"):
            circuits_web.EventStream(None, None, keep_alive=0)

    def test_one_that_reads_nothing_for_too_long_is_parted_from(self):
        app, clock, group, sock, got = self.by_hand(max_waiting=10 ** 9)
        sock.sendall(HELLO)
        got(b"\r\n\r\n")
        [stream] = group

        def fill():
            while not stream.waiting:
                stream.send("x" * 100000)
                app.tick(0)
        fill()
        self.turn(app, clock, 50)
        while stream.waiting:                   # it was only slow
            got(b"x")
        fill()
        self.turn(app, clock, 50)
        self.assertEqual(len(group), 1)
        self.turn(app, clock, 50)
        self.assertEqual((len(group), stream.closed), (0, True))

    def test_streams_and_websockets_in_one_group(self):
        class Sockets(Component):
            channel = "ws"

            def connect(self, sock, host, port):
                self.group.add(sock)
        Sockets.group = group = circuits_web.Group()
        self.start(circuits_web.WebSockets("/ws"), Sockets(), group=group)
        peers = [Peer(self) for _ in range(3)]
        answers = [self.listen() for _ in range(2)]
        wait_for(lambda: len(group) == 5)
        for message, text, binary in (
                ("text \u00e4\nb", ["data: text \u00e4", "data: b"], None), ({"n": 1}, ['data: {"n": 1}'], None),
                (b"bytes", ["data: bytes"], b"bytes"),
                (circuits_web.ServerEvent("named", event="e", id=1), ["event: e", "id: 1", "data: named"], None)):
            self.assertEqual(self.do(lambda: group.send(message)), 5)
            self.assertEqual([self.next(answer) for answer in answers], [text] * 2)
            data = "\n".join(line[6:] for line in text if line.startswith("data: "))
            self.assertEqual([peer.next() for peer in peers], [binary or data] * 3)
        [sock] = self.do(lambda: [ws.sock for ws in group if hasattr(ws, "sock")][:1])
        self.assertIn(sock, group)
        self.do(lambda: group.discard(sock))
        self.assertNotIn(sock, group)
        self.assertEqual(self.do(lambda: group.send("x")), 4)
        for peer in peers:
            peer.sock.close()
        self.leave(answers[0])
        wait_for(lambda: len(group) == 1)

    def test_a_hundred_at_once(self):
        self.start()
        answers = [self.listen() for _ in range(100)]
        for n in range(5):
            self.assertEqual(self.do(lambda: self.group.send("n%d" % n)), 100)
        for answer in answers:
            self.assertEqual([self.next(answer) for _ in range(5)], [["data: n%d" % n] for n in range(5)])
        for answer in answers:
            self.leave(answer)
        wait_for(lambda: not self.group._members and not self.app.http._connections)


class Browser:
    """A headless Chromium whose pages can be asked: it takes commands from a pipe."""

    def __init__(self, test):
        chromium = shutil.which("chromium")
        if not chromium:
            test.skipTest("chromium is not installed")
        import fcntl
        pipes = os.pipe() + os.pipe()
        high = [fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in pipes]     # not 3 and 4 themselves
        for number in pipes:
            os.close(number)
        process = subprocess.Popen(
            [sys.executable, "-c", "import os, sys; os.dup2(%d, 3); os.dup2(%d, 4); os.execv(sys.argv[1], sys.argv[1:])"
             % (high[0], high[3]), chromium, "--headless", "--no-sandbox",
             "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--user-data-dir=" + test.folder(),
             "--remote-debugging-pipe"],
            pass_fds=(high[0], high[3]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(high[0])
        os.close(high[3])
        self.to, self.source = open(high[1], "wb", buffering=0), open(high[2], "rb", buffering=0)
        for undo in (process.wait, self.to.close, self.source.close, process.terminate):
            test.addCleanup(undo)
        self.count, self.rest = 0, b""

    def call(self, method, tab=None, **params):
        self.count += 1
        command = {"id": self.count, "method": method, "params": params}
        if tab is not None:
            command["sessionId"] = tab
        self.to.write(json.dumps(command).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                piece = self.source.read(65536)
                if not piece:
                    raise AssertionError("chromium ended")
                self.rest += piece
            text, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(text.decode())
            if answer.get("id") == self.count:
                return answer["result"]

    def tab(self, url):
        """Open a page; returns a function that evaluates JavaScript there."""
        target = self.call("Target.createTarget", url=url)["targetId"]
        tab = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return lambda script: self.call("Runtime.evaluate", tab, expression=script, returnByValue=True,
                                        awaitPromise=True)["result"].get("value")


class TestEventStreamPrograms(StreamTest):
    """The example, curl and Chromium."""

    def clock(self, port="0"):
        program = ExamplesTest.start(self, "web_clock.py", port)
        self.port = int(program.wait_for("@ready").split()[1])
        program.wait_for("@started")
        return program

    def test_the_clock_ends_promptly_and_tells_its_clients(self):
        program = self.clock()
        answer = self.listen("/now")
        self.assertRegex(self.next(answer)[0], r"^data: \d\d:\d\d:\d\d, 1 watching$")
        began = time.monotonic()
        self.assertEqual(program.end(signal.SIGTERM), ("", ""))
        self.assertLess(time.monotonic() - began, circuits_web.GRACE)       # it did not wait for that
        while self.next(answer) is not None:
            pass

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl(self):
        self.start()
        for flag in ("--http1.1", "--http1.0"):
            process = subprocess.Popen(["curl", "-s", "-N", flag, "-H", "Last-Event-ID: x y",
                                        "http://127.0.0.1:%d/news" % self.port], stdout=subprocess.PIPE)
            self.addCleanup(process.wait)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.kill)
            wait_for(lambda: len(self.group) == 1)
            for n in range(3):
                self.do(lambda: self.group.send("m%d" % n))
                self.assertEqual((process.stdout.readline(), process.stdout.readline()), (b"data: m%d\n" % n, b"\n"))
            self.assertEqual(self.streams[-1].last_event_id, "x y")
            process.kill()
            wait_for(lambda: len(self.group) == 0)

    def test_nginx_passes_events_on_at_once(self):
        self.need = lambda program: TestWebPeers.need(self, program)
        self.start()
        TestWebPeers.nginx(self)
        self.port = self.front
        answers = [self.listen() for _ in range(3)]
        for n in range(3):
            self.assertEqual(self.do(lambda: self.group.send("m%d" % n)), 3)
            self.assertEqual([self.next(answer) for answer in answers], [["data: m%d" % n]] * 3)
        for answer in answers:
            self.leave(answer)
        wait_for(lambda: not len(self.group))

    def test_chromium_shows_the_clock(self):
        browser = Browser(self)
        self.clock()
        page = browser.tab("http://127.0.0.1:%d/" % self.port)
        first = wait_for(lambda: page("clock.textContent"))
        self.assertRegex(first, r"^\d\d:\d\d:\d\d, 1 watching$")
        wait_for(lambda: page("clock.textContent") != first)

    def test_chromium_comes_back_and_gets_what_it_missed(self):
        """The server parts from it after two events; it shows four, and how often it came."""
        self.start(group=circuits_web.Group(history=10))
        page = """<!DOCTYPE html><pre id="out"></pre><script>
            const got = [], source = new EventSource("/news");
            source.addEventListener("note", e => {
                got.push(e.data.replace("\\n", "|"));
                if (got.length == 4) { source.close(); out.textContent = got.join(";"); }
            });</script>"""

        class Driver(circuits_web.Controller):
            channel = "/page"

            def index(self):
                return page
        Driver().register(self.app)
        event = circuits_web.ServerEvent

        def drive():
            wait_for(lambda: len(self.group) == 1)
            self.do(lambda: self.streams[0].send(None, retry=0.01))
            self.do(lambda: self.group.send(event("one \u00e4", event="note")))
            self.do(lambda: self.group.send(event("two\nlines", event="note")))
            self.do(self.streams[0].close)
            for text in ("three", "four"):
                self.do(lambda: self.group.send(event(text, event="note")))
        browser = Browser(self)
        tab = browser.tab("http://127.0.0.1:%d/page" % self.port)
        drive()
        got = wait_for(lambda: tab("out.textContent"))
        self.assertEqual(got, "one \u00e4;two|lines;three;four")
        self.assertEqual(len(self.streams), 2)
        self.assertEqual(self.streams[1].last_event_id, self.group._history[1][0])


# ---------------------------------------------------------------------------
# Web: WebSockets
# ---------------------------------------------------------------------------

def ws_frame(first, payload=b"", client=True, length=None, mask=b"\x37\xfa\x21\x3d"):
    """A frame as *client* or server would send it; *length* is what it declares."""
    length = len(payload) if length is None else length
    form = 0 if length < 126 else 2 if length < 65536 else 8
    head = bytes((first, (length if not form else 126 if form == 2 else 127) | 128 * client))
    head += length.to_bytes(form, "big") if form else b""
    if client:
        head += mask
        payload = bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))
    return head + payload


def ws_close(code, reason=b""):
    return struct.pack(">H", code) + reason


# Autobahn's cases, as far as RFC 6455 says what has to happen: the frames (first byte, payload), then
# what comes out; a number is the close code that the peer is told at the end.
TEXT, BINARY, CONTINUED, CLOSE, PING, PONG, FIN = 1, 2, 0, 8, 9, 10, 0x80
WS_KOSME = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()
WS_CASES = [
    # 1: framing
    ("empty text", [(0x81, b"")], [""]),
    ("empty binary", [(0x82, b"")], [b""]),
    ("a text", [(0x81, b"Hello")], ["Hello"]),
    ("125, 126, 127, 128 bytes", [(0x81, b"*" * n) for n in (125, 126, 127, 128)],
     ["*" * n for n in (125, 126, 127, 128)]),
    ("binary", [(0x82, bytes(range(256)))], [bytes(range(256))]),
    # 2: pings and pongs
    ("empty ping", [(0x89, b"")], [("ping", b"")]),
    ("ping of 125 bytes", [(0x89, b"\xfe" * 125)], [("ping", b"\xfe" * 125)]),
    ("ping of 126 bytes", [(0x89, b"\xfe" * 126)], [1002]),
    ("pong nobody asked for, then a ping", [(0x8a, b"x"), (0x89, b"y")], [("pong", b"x"), ("ping", b"y")]),
    ("ten pings", [(0x89, b"%d" % n) for n in range(10)], [("ping", b"%d" % n) for n in range(10)]),
    # 3: reserved bits
    ("RSV3", [(0x81, b"a"), (0x91, b"b"), (0x81, b"c")], ["a", 1002]),
    ("RSV2", [(0xa1, b"b")], [1002]),
    ("RSV1 that was not agreed on", [(0xc1, b"b")], [1002]),
    ("all of them", [(0xf2, b"b")], [1002]),
    ("RSV1 on a ping", [(0xc9, b"")], [1002]),
    ("RSV on close", [(0xf8, b"")], [1002]),
    ("RSV1 on a continuation", [(0x01, b"a"), (0xc0, b"b")], [1002]),
    # 4: reserved opcodes
    *[("opcode %d" % op, [(0x81, b"a"), (0x80 | op, data), (0x81, b"b")], ["a", 1002])
      for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) for data in (b"", b"x")],
    # 5: fragments
    ("ping in fragments", [(0x09, b"a"), (0x80, b"b")], [1002]),
    ("pong in fragments", [(0x0a, b"a"), (0x80, b"b")], [1002]),
    ("close in fragments", [(0x08, ws_close(1000))], [1002]),
    ("text in two", [(0x01, b"fragment1"), (0x80, b"fragment2")], ["fragment1fragment2"]),
    ("ping between", [(0x01, b"one"), (0x89, b"p"), (0x80, b"two")], [("ping", b"p"), "onetwo"]),
    ("pings between five", [(0x01, b"1"), (0x00, b"2"), (0x89, b"p"), (0x00, b"3"), (0x00, b"4"), (0x8a, b"q"),
                            (0x80, b"5")], [("ping", b"p"), ("pong", b"q"), "12345"]),
    ("empty fragments", [(0x01, b""), (0x00, b""), (0x80, b"")], [""]),
    ("empty around", [(0x02, b""), (0x00, b"middle"), (0x80, b"")], [b"middle"]),
    ("continuation of nothing", [(0x80, b"x"), (0x81, b"y")], [1002]),
    ("continuation of nothing, unfinished", [(0x00, b"x")], [1002]),
    ("continuation after the end", [(0x01, b"a"), (0x80, b"b"), (0x80, b"c")], ["ab", 1002]),
    ("text within text", [(0x01, b"a"), (0x81, b"b")], [1002]),
    ("binary within text", [(0x01, b"a"), (0x02, b"b")], [1002]),
    ("close within a message", [(0x01, b"a"), (0x88, ws_close(1000)), (0x80, b"b")], [("close", 1000, "")]),
    # 6: UTF-8
    ("kosme", [(0x81, WS_KOSME)], [WS_KOSME.decode()]),
    *[("kosme cut at %d" % n, [(0x01, WS_KOSME[:n]), (0x80, WS_KOSME[n:])], [WS_KOSME.decode()])
      for n in range(len(WS_KOSME) + 1)],
    ("kosme by the byte", [(0x01, b"")] + [(0x00, WS_KOSME[n:n + 1]) for n in range(len(WS_KOSME))] + [(0x80, b"")],
     [WS_KOSME.decode()]),
    *[("valid %r" % data, [(0x81, data)], [data.decode()]) for data in (
        b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80", b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf",
        b"\xf4\x8f\xbf\xbf", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80")],
    *[("invalid %r" % data, [(0x81, data)], [1007]) for data in (
        b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xf4\x90\x80\x80", b"\x80",
        b"\xbf", b"\x80\xbf", b"\xc0", b"\xc0 ", b"\xe0", b"\xf0", b"\xe0\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80", b"\xfe", b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf",
        b"\xc1\xbf", b"\xc0\x80", WS_KOSME + b"\xed\xa0\x80edited", WS_KOSME[:-1])],
    ("invalid, and never finished", [(0x01, b"a\xf4\x90")], [1007]),
    ("invalid in the second, unfinished", [(0x01, WS_KOSME), (0x00, b"\xf4\x90")], [1007]),
    ("half a character at the end", [(0x01, b"a\xce"), (0x80, b"")], [1007]),
    ("half a character, then none", [(0x01, b"a\xce"), (0x80, b"a")], [1007]),
    ("binary need not be UTF-8", [(0x02, b"\xf4"), (0x80, b"\x90")], [b"\xf4\x90"]),
    # 7: close
    ("close", [(0x88, ws_close(1000))], [("close", 1000, "")]),
    ("nothing comes after a close", [(0x88, ws_close(1000)), (0x81, b"x"), (0xff, b"")], [("close", 1000, "")]),
    ("close without a code", [(0x88, b"")], [("close", 1005, "")]),
    ("close with half a code", [(0x88, b"\x03")], [1002]),
    ("close with a reason", [(0x88, ws_close(1000, b"Hello"))], [("close", 1000, "Hello")]),
    ("the longest reason", [(0x88, ws_close(1000, b"*" * 123))], [("close", 1000, "*" * 123)]),
    ("too long a reason", [(0x88, ws_close(1000, b"*" * 124))], [1002]),
    ("a reason that is not UTF-8", [(0x88, ws_close(1000, WS_KOSME + b"\xed\xa0\x80"))], [1007]),
    *[("close %d" % code, [(0x88, ws_close(code, b"r"))], [("close", code, "r")]) for code in (
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)],
    *[("close %d" % code, [(0x88, ws_close(code))], [1002]) for code in (
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)],
    # more than Autobahn has
    ("a length in 16 bits that needs 7", [b"\x82\xfe\x00\x7d"], [1002]),
    ("a length in 64 bits that needs 16", [b"\x82\xff" + (65535).to_bytes(8, "big")], [1002]),
    ("such a length, and all that follows", [b"\x82\xfe\x00\x05", (0x81, b"Hello")], [1002]),
    ("a long text that is not UTF-8", [(0x81, b"x" * 200 + b"\xff")], [1007]),
    ("long ones behind each other", [(0x81, b"x" * 200), (0x82, b"y" * 70000), (0x81, b"z" * 600)],
     ["x" * 200, b"y" * 70000, "z" * 600]),
    ("a length with its highest bit", [b"\x82\xff\x80" + bytes(7)], [1002]),
    ("2 ** 62 bytes", [(0x81, b"a"), b"\x82\xff" + (1 << 62).to_bytes(8, "big")], ["a", 1009]),
    ("a ping that declares 2 ** 62 bytes", [b"\x89\xff" + (1 << 62).to_bytes(8, "big")], [1002]),
    ("a byte too many", [b"\x82\xff" + ((1 << 20) + 1).to_bytes(8, "big")], [1009]),
    ("too many in fragments", [(0x02, b"x"), b"\x80\xff" + (1 << 20).to_bytes(8, "big")], [1009]),
]


class TestWebSocketCodec(CircuitsTest):

    @staticmethod
    def take(codec, out):
        """Add to *out* what comes out of *codec*, in the shape of the table."""
        try:
            while True:
                event = codec.next_event()
                if event is None:
                    return out
                if type(event) is circuits_web.ControlFrame:
                    name = {8: "close", 9: "ping", 10: "pong"}[event.opcode]
                    event = (name, event.code, event.reason) if name == "close" else (name, event.data)
                elif type(event) is bytearray:
                    event = bytes(event)
                out.append(event)
        except circuits_web.WebSocketError as error:
            if not out or type(out[-1]) is not int:
                out.append(error.code)
            return out

    def run_pieces(self, data, pieces, client=False, **options):
        codec, out = circuits_web.MessageCodec(client, **options), []
        for piece in pieces:
            codec.feed(piece)
            self.take(codec, out)
        return out

    @staticmethod
    def cut(data, chance):
        """*data* in random pieces."""
        pieces = []
        while data:
            size = chance.choice((1, 2, 3, 7, 50, 1000, 20000, 70000))
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    def check(self, data, expected, client=False, by_bytes=True, **options):
        """The same comes out, however the input is cut; data[-1:] of the input may be the culprit."""
        chance = random.Random(len(data))
        ways = [[data], self.cut(data, chance), self.cut(data, chance)]
        if by_bytes:
            ways.append([data[i:i + 1] for i in range(len(data))])
        for pieces in ways:
            self.assertEqual(self.run_pieces(data, pieces, client, **options), expected)

    def test_the_table(self):
        for name, frames, expected in WS_CASES:
            for client in (False, True):            # whose end reads
                data = b"".join(self.unmasked(frame, client) if isinstance(frame, bytes)
                                else ws_frame(*frame, client=not client) for frame in frames)
                with self.subTest(name, client=client):
                    self.check(data, expected, client)

    @staticmethod
    def unmasked(head, client):
        """A literal head, for the other role."""
        return head[:1] + bytes((head[1] & 127 | 128 * (not client),)) + head[2:] + (b"" if client else b"mask")

    def test_masks_are_checked(self):
        for first in (0x81, 0x82, 0x89, 0x88, 0x01):
            self.check(ws_frame(first, b"", client=False), [1002], client=False)
            self.check(ws_frame(first, b"", client=True), [1002], client=True)
        self.check(ws_frame(0x82, b"x" * 300, client=False), [1002], client=False)

    def test_an_error_is_early(self):
        """As soon as the byte is there that is wrong."""
        frame = ws_frame(0x81, b"good \xf4\x90 then a lot more" + b"." * 1000)
        codec = circuits_web.MessageCodec()
        codec.feed(frame[:8 + 6])
        self.assertEqual(self.take(codec, []), [])
        codec.feed(frame[8 + 6:8 + 7])
        self.assertEqual(self.take(codec, []), [1007])
        codec.feed(b"more")
        self.assertEqual((len(codec), self.take(codec, [])), (0, [1007]))
        self.assertEqual(self.run_pieces(b"", [ws_frame(0x81, b"a\xf4\x90 short")[:9]]), [1007])

    def test_sizes(self):
        block = random.Random(5).getrandbits(8 * 65536).to_bytes(65536, "big")
        text = "abc\u00e4\u20ac\U0001f600" * 1000
        for size in (0, 1, 125, 126, 127, 128, 511, 512, 513, 65535, 65536, 65537, 1 << 20):
            data = (block * (size // 65536 + 1))[:size]
            words = (text * (size // 6000 + 1))[:size // 4]
            for client in (False, True):
                sender = circuits_web.MessageCodec(not client)
                stream = sender.encode(data) + sender.encode(words)
                self.check(stream, [data, words], client, by_bytes=size in (513, 65537))
        for client in (False, True):
            sender = circuits_web.MessageCodec(not client)
            for message in (block * 256, "x" * (16 << 20)):
                stream = sender.encode(message)
                self.assertLess(len(stream) - len(message), 15)
                for pieces in ([stream], [stream[i:i + 65536] for i in range(0, len(stream), 65536)]):
                    self.assertEqual(self.run_pieces(stream, pieces, client, max_message=16 << 20), [message])
                self.assertEqual(self.run_pieces(stream, [stream[:100]], client, max_message=(16 << 20) - 1), [1009])

    def test_what_is_encoded_is_as_short_as_can_be(self):
        server, client = circuits_web.MessageCodec(), circuits_web.MessageCodec(True)
        self.assertEqual(server.encode("Hello"), b"\x81\x05Hello")
        self.assertEqual(server.encode(bytearray(b"ab")), b"\x82\x02ab")
        self.assertEqual(server.encode(memoryview(b"abcd")[::2]), b"\x82\x02ac")
        self.assertEqual(server.encode(b"x" * 126)[:4], b"\x82\x7e\x00\x7e")
        self.assertEqual(server.encode(b"x" * 65536)[:10], b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00")
        self.assertEqual((server.ping(b"x"), server.pong(), server.close(), server.close(None)),
                         (b"\x89\x01x", b"\x8a\x00", b"\x88\x02\x03\xe8", b"\x88\x00"))
        frame = client.encode("Hello")
        self.assertEqual((frame[:2], len(frame)), (b"\x81\x85", 11))
        self.assertNotEqual({client.encode("Hello")[2:6] for _ in range(10)}, {frame[2:6]})
        for what in (1, None, ["x"], object()):
            with self.assertRaisesRegex(TypeError, "text or bytes"):
                server.encode(what)
        for code, reason in ((999, ""), (1005, ""), (1006, ""), (5000, ""), ("1000", ""), (True, ""), (1000, "x" * 124)):
            with self.assertRaises(ValueError):
                server.close(code, reason)
        with self.assertRaises(ValueError):
            server.ping(b"x" * 126)

    def test_time_is_linear_and_memory_small(self):
        """Four times the bytes, byte by byte, take about four times the steps: counted, not timed."""
        for masked in (True, False):
            codec = circuits_web.MessageCodec(not masked, max_message=1 << 20)
            codec.feed(ws_frame(0x02, b"x" * 100000, masked)[:50000])
            self.take(codec, [])
            self.assertLess(len(codec), 50001)
        codec = circuits_web.MessageCodec()
        for _ in range(1000):                           # fragments without end are no memory
            codec.feed(ws_frame(0x00, b"") if codec._message is not None else ws_frame(0x01, b""))
            self.take(codec, [])
        self.assertEqual(len(codec), 0)

    def test_noise(self):
        """Nothing but WebSocketError leaves it, and nothing is kept then."""
        chance = random.Random(6455)
        deflate = circuits_web.Deflate()
        for turn in range(400):
            client = turn & 1
            codec = circuits_web.MessageCodec(client, 2000, deflate if turn & 2 else None)
            data = bytearray()
            for _ in range(chance.randrange(1, 6)):
                data += ws_frame(chance.choice((0x81, 0x82, 0x01, 0x00, 0x80, 0xc1, 0x41, 0x89, 0x88)),
                                 bytes(chance.getrandbits(7) for _ in range(chance.choice((0, 1, 5, 130)))), not client)
            for _ in range(chance.randrange(3)):
                data[chance.randrange(len(data))] = chance.getrandbits(8)
            for piece in self.cut(bytes(data), chance):
                codec.feed(piece)
                self.take(codec, [])
                self.assertLess(len(codec), 5000)

    # -- compression --------------------------------------------------------

    MESSAGES = ["", "x", "Hello" * 20, "Hello" * 20, bytes(range(256)) * 40, b"", "\u00e4\u20ac" * 5000,
                b"\0" * 100000, random.Random(1).getrandbits(8 * 9000).to_bytes(9000, "big")]

    def test_every_window_and_every_takeover(self):
        import zlib
        for bits in range(8, 16):
            for forgets in (False, True):
                for client in (False, True):
                    deflate = circuits_web.Deflate(forgets, forgets, bits, bits, min_size=1)
                    sender = circuits_web.MessageCodec(not client, deflate=deflate)
                    frames = [sender.encode(message) for message in self.MESSAGES]
                    self.check(b"".join(frames), self.MESSAGES, client, by_bytes=False, deflate=deflate)
                    self.assertLess(len(frames[7]), 2000)
                    if bits > 8:
                        self.assertLess(len(frames[2]), 50)
                        self.assertEqual(len(frames[3]) < len(frames[2]), not forgets)
                    # a window of that size is enough for those who have no other
                    reader = zlib.decompressobj(-bits)
                    for message, frame in zip(self.MESSAGES[:4], frames):
                        if frame[0] & 0x40 and client:      # read by a client: not masked
                            text = reader.decompress(frame[2:] + b"\0\0\xff\xff").decode()
                            self.assertEqual(text, message)
                            if forgets:
                                reader = zlib.decompressobj(-bits)

    def test_only_one_side_forgets(self):
        text = "what was said before is referred to " * 3
        for server, client in ((True, False), (False, True)):
            deflate = circuits_web.Deflate(server, client)
            for is_client, forgets in ((True, client), (False, server)):
                sender = circuits_web.MessageCodec(is_client, deflate=deflate)
                reader = circuits_web.MessageCodec(not is_client, deflate=deflate)
                frames = [sender.encode(text) for _ in range(3)]
                self.assertEqual(len(frames[1]) == len(frames[0]), forgets)
                for frame in frames:
                    reader.feed(frame)
                    self.assertEqual(reader.next_event(), text)
                    self.assertEqual(reader._inflater is None, forgets)

    def test_compressed_fragments(self):
        import zlib
        deflate = circuits_web.Deflate()
        deflater = zlib.compressobj(6, zlib.DEFLATED, -12)
        text = "Hello \u20ac " * 300
        data = (deflater.compress(text.encode()) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        frames = [ws_frame(0x41, data[:1])] + [ws_frame(0x00, data[i:i + 1]) for i in range(1, len(data))] \
            + [ws_frame(0x89, b"p"), ws_frame(0x80, b"")]
        self.check(b"".join(frames), [("ping", b"p"), text], deflate=deflate)
        self.check(ws_frame(0x41, data[:9]) + ws_frame(0xc0, data[9:]), [1002], deflate=deflate)
        self.check(ws_frame(0xc9, b"p"), [1002], deflate=deflate)
        self.check(ws_frame(0x81, b"plain") + ws_frame(0xc1, data), ["plain", text], deflate=deflate)
        self.check(ws_frame(0xc1, b"\0"), [""], deflate=deflate)
        # RFC 7692, 7.2.3: its examples; a block with BFINAL is the end of a stream, not of the message
        hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
        self.check(ws_frame(0xc1, hello) * 2, ["Hello"] * 2, deflate=deflate)
        self.check(ws_frame(0x41, hello[:3]) + ws_frame(0x80, hello[3:]), ["Hello"], deflate=deflate)
        self.check(ws_frame(0xc1, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), ["Hello"], deflate=deflate)
        self.check(ws_frame(0xc1, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00") * 2, ["Hello"] * 2, deflate=deflate)
        self.check(ws_frame(0xc1, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), ["Hello"], deflate=deflate)
        keeps = circuits_web.Deflate(False, False)
        self.check(ws_frame(0xc1, hello) + ws_frame(0xc1, b"\xf2\x00\x11\x00\x00"), ["Hello"] * 2, deflate=keeps)
        self.check(ws_frame(0xc1, hello) + ws_frame(0xc1, b"\xf2\x00\x11\x00\x00"), ["Hello", 1007], deflate=deflate)

    def test_what_cannot_be_inflated(self):
        deflate = circuits_web.Deflate()
        self.check(ws_frame(0xc1, b"\xff\xff\xff"), [1007], deflate=deflate)
        self.check(ws_frame(0xc1, b"\x03\x00" * 100), [1008], deflate=deflate)
        bad = circuits_web.MessageCodec(True, deflate=deflate)._deflate(b"\xf4\x90" + b"x" * 100)
        self.check(ws_frame(0xc1, bad), [1007], deflate=deflate)
        self.check(ws_frame(0xc2, bad), [b"\xf4\x90" + b"x" * 100], deflate=deflate)

    def test_a_bomb_is_cut_at_the_limit(self):
        import zlib
        deflater = zlib.compressobj(9, zlib.DEFLATED, -12)
        bomb = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(64)) + deflater.flush(zlib.Z_SYNC_FLUSH)
        self.assertLess(len(bomb), 70000)
        deflate = circuits_web.Deflate()
        codec = circuits_web.MessageCodec(deflate=deflate)
        most, out = 0, []
        for piece in self.cut(ws_frame(0xc2, bomb), random.Random(3)):
            codec.feed(piece)
            most = max(most, len(codec))
            self.take(codec, out)
            most = max(most, len(codec))
        self.assertEqual(out, [1009])
        self.assertLess(most, (1 << 20) + 70001)         # the message, and what was fed
        self.check(ws_frame(0xc2, bomb), [1009], by_bytes=False, deflate=deflate)
        limit = 10000
        fits = circuits_web.MessageCodec(True, deflate=deflate)
        self.check(fits.encode(bytes(limit)), [bytes(limit)], deflate=deflate, max_message=limit)
        self.check(fits.encode(bytes(limit + 1)), [1009], deflate=deflate, max_message=limit)
        noise = random.Random(4).getrandbits(8 * limit).to_bytes(limit, "big")
        self.check(fits.encode(noise), [noise], by_bytes=False, deflate=deflate, max_message=limit)
        self.check(ws_frame(0x42, b"x") + b"\x80\xff" + (1 << 21).to_bytes(8, "big") + b"mask", [1009],
                   by_bytes=False, deflate=deflate, max_message=1 << 20)

    def test_what_is_offered_and_agreed_on(self):
        Deflate = circuits_web.Deflate
        plain = "permessage-deflate"
        table = [                               # the server's wish, the offer, its answer
            (Deflate(False, False, 15, 15), plain, plain),
            (Deflate(False, False, 15, 15), "x, " + plain + "; client_max_window_bits, y", plain),
            (Deflate(), plain, plain + "; server_no_context_takeover; client_no_context_takeover"
             "; server_max_window_bits=12"),
            (Deflate(False, False, 15, 15), plain + "; server_no_context_takeover; server_max_window_bits=\"8\"",
             plain + "; server_no_context_takeover; server_max_window_bits=8"),
            (Deflate(False, False, 15, 10), plain + "; client_max_window_bits=9", plain + "; client_max_window_bits=9"),
            (Deflate(False, False, 15, 10), plain + "; client_max_window_bits", plain + "; client_max_window_bits=10"),
            (Deflate(False, False, 15, 10), plain, plain),
            (Deflate(False, False, 15, 15), plain + "; server_max_window_bits=16, " + plain, plain),
            *[(Deflate(), plain + bad, None) for bad in (
                "; server_max_window_bits", "; server_max_window_bits=7", "; server_max_window_bits=08",
                "; client_max_window_bits=16", "; server_no_context_takeover=1", "; unknown", "; x=1",
                "; client_max_window_bits=+9", "; client_max_window_bits=9; client_max_window_bits=9",
                "; server_no_context_takeover; server_no_context_takeover", ";;", "; server_max_window_bits=")],
            (Deflate(), "", None), (Deflate(), "permessage-bzip2", None), (Deflate(), "permessage-deflate-x", None),
        ]
        for wish, offer, answer in table:
            with self.subTest(offer):
                agreed = wish.accept(offer)
                self.assertEqual(None if agreed is None else agreed[1], answer)
        for server in (Deflate(), Deflate(False, False, 8, 8), Deflate(False, True, 15, 11)):
            for client in (Deflate(), Deflate(False, False, 8, 8), Deflate(True, False, 15, 9)):
                theirs, answer = server.accept(client.offer())
                ours = client.agreed(answer)
                for name in ("server_no_context_takeover", "server_max_window_bits"):
                    self.assertEqual(getattr(ours, name), getattr(theirs, name))
                self.assertLessEqual(ours.client_max_window_bits, theirs.client_max_window_bits)
                one, other = circuits_web.MessageCodec(True, deflate=ours), circuits_web.MessageCodec(False, deflate=theirs)
                for _ in range(2):
                    other.feed(one.encode("Hello" * 1000))
                    self.assertEqual(other.next_event(), "Hello" * 1000)
                    one.feed(other.encode("Hello" * 1000))
                    self.assertEqual(one.next_event(), "Hello" * 1000)
        self.assertIsNone(Deflate().agreed(""))
        for answer in ("x", plain, plain + "; server_max_window_bits=12",
                       plain + "; server_no_context_takeover; server_max_window_bits=13",
                       plain + "; server_no_context_takeover; server_max_window_bits",
                       plain + "; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=13",
                       plain + "; server_no_context_takeover; server_max_window_bits=9, x", plain + "; y"):
            with self.assertRaises(circuits_web.WebSocketError):
                Deflate().agreed(answer)
        for wrong in ({"server_max_window_bits": 7}, {"client_max_window_bits": 16}, {"level": 10}):
            with self.assertRaises(ValueError):
                Deflate(**wrong)

    def test_shared_frames_need_no_past(self):
        for deflate in (None, circuits_web.Deflate(), circuits_web.Deflate(server_no_context_takeover=False)):
            one = circuits_web.MessageCodec(deflate=deflate)
            one.encode("Hello" * 100)
            frame = one.encode("Hello" * 100, shared=True)
            self.check(frame, ["Hello" * 100], client=True, by_bytes=False, deflate=deflate)
            self.assertEqual(frame[0] & 0x40 != 0, one.shares is not None)


class Peer:
    """A client that does what it is told: raw frames over a plain socket."""

    def __init__(self, test, path="/ws", after=b"", port=None, deflate=None, **headers):
        self.sock = socket.create_connection(("127.0.0.1", port or test.port), PATIENCE)
        test.addCleanup(self.sock.close)
        self.head = b""
        headers = {"Host": "127.0.0.1:%d" % (port or test.port), "Upgrade": "websocket", "Connection": "Upgrade",
                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
                   **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = ["%s: %s\r\n" % item for item in headers.items() if item[1] is not None]
        self.sock.sendall(("GET %s HTTP/1.1\r\n%s\r\n" % (path, "".join(lines))).encode() + after)
        while b"\r\n\r\n" not in self.head:
            piece = self.sock.recv(65536)
            if not piece:
                break
            self.head += piece
        self.head, _, rest = self.head.partition(b"\r\n\r\n")
        self.status = int(self.head[9:12] or b"0")
        self.body = rest
        self.codec = circuits_web.MessageCodec(True, 1 << 30, deflate)
        self.codec.feed(rest)

    def send(self, *messages):
        self.sock.sendall(b"".join(m if isinstance(m, bytes) else self.codec.encode(m) for m in messages))

    def next(self):
        """The next message; (code, reason) of a close frame; None: the end."""
        while True:
            event = self.codec.next_event()
            if event is None:
                try:
                    data = self.sock.recv(65536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self.codec.feed(data)
            elif type(event) is circuits_web.ControlFrame:
                return (event.code, event.reason) if event.opcode == 8 else (event.opcode, event.data)
            else:
                return event


class WSEcho(Component):
    """Echoes, and notes what it hears."""

    channel = "ws"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.heard = []

    def connect(self, event, sock, host, port):
        self.heard.append(("connect", event.request.path, host))

    def read(self, event, sock, data):
        self.heard.append(("read", data, event.request.path))
        self.fire(circuits_net.Write(sock, data))

    def disconnect(self, event, sock):
        self.heard.append(("disconnect", event.code, event.reason, event.request.path))


class TestWebSockets(WebTest):

    def serve(self, *components, path="/ws", server=circuits_web.Server, secure=False, **options):
        """A server that echoes on /ws; other options than the server's are those of WebSockets."""
        theirs = {name: options.pop(name) for name in ("certfile", "grace", "max_connections") if name in options}
        ws = options.pop("ws", None)                # which is false while it is idle
        self.ws = circuits_web.WebSockets(path, **options) if ws is None else ws
        self.echo = WSEcho(channel=self.ws._above)
        super().serve(self.ws, self.echo, *components, server=server, secure=secure, **theirs)

    def test_a_conversation(self):
        self.serve(Greeter())
        peer = Peer(self)
        self.assertEqual(peer.status, 101)
        for line in (b"Upgrade: websocket", b"Connection: Upgrade",
                     b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="):        # RFC 6455, 1.3
            self.assertIn(b"\r\n" + line, peer.head)
        self.assertNotIn(b"Content-Length", peer.head)
        peer.send("Hello", peer.codec.encode(b"\x00\xff"), "\u20ac" * 50000)
        self.assertEqual([peer.next() for _ in range(3)], ["Hello", b"\x00\xff", "\u20ac" * 50000])
        self.assertEqual(self.get(), (200, b"Hello World!"))
        [sock] = self.ws.sockets
        peer.send(peer.codec.ping(b"p"))
        self.assertEqual(peer.next(), (10, b"p"))
        peer.send("last", peer.codec.close(1000, "bye"))            # what came before the close is answered
        self.assertEqual([peer.next(), peer.next(), peer.next()], ["last", (1000, ""), None])
        wait_for(lambda: not self.ws.sockets and self.echo.heard[-1][0] == "disconnect")
        self.assertEqual(self.echo.heard[0], ("connect", "/ws", "127.0.0.1"))
        self.assertEqual(self.echo.heard[-1], ("disconnect", 1000, "bye", "/ws"))
        self.assertEqual(self.app.http._gone, {})
        self.assertIsNone(sock.upper)
        self.assertNotIn(sock, circuits_web.Group())

    def test_what_follows_the_handshake_in_one_segment_is_kept(self):
        self.serve()
        peer = Peer(self, after=ws_frame(0x81, b"early") + ws_frame(0x89, b"p") + ws_frame(0x81, b"bird")[:4])
        peer.send(ws_frame(0x81, b"bird")[4:])
        self.assertEqual(sorted(map(str, (peer.next() for _ in range(3)))), sorted(["early", str((10, b"p")), "bird"]))
        self.assertEqual([heard[0] for heard in self.echo.heard], ["connect", "read", "read"])

    def test_events_in_order(self):
        rec = Recorder()
        self.serve(rec)
        peer = Peer(self, "/ws/room?x=1")
        peer.send("x")
        self.assertEqual(peer.next(), "x")
        peer.send(ws_frame(0x88, b""))
        self.assertEqual([peer.next(), peer.next()], [(1005, ""), None])
        wait_for(lambda: any(event.channels == ("ws",) for event in rec.named("disconnect")))
        where = [(event.name, event.channels[0]) for event in rec.events if event.name in (
            "connect", "read", "write", "close", "disconnect", "request", "response")]
        self.assertEqual(where, [
            ("connect", "web"), ("read", "web"), ("request", "web"), ("response", "web"), ("write", "web"),
            ("connect", "ws"), ("read", "web"), ("read", "ws"), ("write", "ws"), ("write", "web"),
            ("read", "web"), ("close", "ws"), ("write", "web"), ("close", "web"), ("disconnect", "web"),
            ("disconnect", "ws")])
        self.assertEqual([event.request.qs for event in rec.events if event.channels == ("ws",) and event.name in (
            "connect", "read", "disconnect")], ["x=1"] * 3)

    def test_the_session_is_within_reach(self):
        class App(Component):
            channel = "ws"

            def connect(self, event, sock, host, port):
                self.fire(circuits_net.Write(sock, str(event.request.session["count"])))

            def read(self, sock, data):
                with sock.upper.request.session as session:
                    session["count"] += 1
                    return str(session["count"])    # what is returned is sent

        class Root(circuits_web.Controller):
            def index(self):
                return str(self.session.setdefault("count", 1))
        ws = circuits_web.WebSockets("/ws")
        WebTest.serve(self, circuits_web.Sessions(), ws, App(), Root())
        cookie = self.ask()[1]["Set-Cookie"].partition(";")[0]
        peer = Peer(self, Cookie=cookie)
        peer.send("x", "y")
        self.assertEqual([peer.next(), peer.next(), peer.next()], ["1", "2", "3"])
        self.assertEqual(self.get("/", Cookie=cookie)[1], b"3")

    def test_coroutines_and_generators_answer(self):
        class App(Component):
            channel = "ws"

            async def read(self, sock, data):
                await sleep(0.01)
                return data.upper()

            @handler("read")
            def _on_read(self, sock, data):
                yield sleep(0.001)
                self.fire(circuits_net.Write(sock, data + "!"))
        WebTest.serve(self, circuits_web.WebSockets("/ws"), App())
        peer = Peer(self)
        peer.send("x")
        self.assertEqual([peer.next(), peer.next()], ["x!", "X"])

        class Both(Component):
            channel = "ws"

            async def read(self, sock, data):
                await sleep(0.01)
                return data + "2"

            @handler("read", priority=1)
            def _on_read(self, sock, data):
                return data + "1"
        WebTest.serve(self, circuits_web.WebSockets("/ws"), Both())
        peer = Peer(self)
        peer.send("x")
        self.assertEqual([peer.next(), peer.next()], ["x1", "x2"])      # each once
        peer.send("y")
        self.assertEqual(peer.next(), "y1")

    def test_the_documented_layout(self):
        """Everything hangs below the root, as in the examples of both releases."""
        from circuits.net.sockets import Write
        from circuits.web import Controller, Server
        from circuits.web.dispatchers import WebSockets

        class Echo(Component):
            channel = "wsserver"

            def read(self, sock, data):
                self.fireEvent(Write(sock, "Received: " + data))

        class Root(Controller):
            def index(self):
                return "page"
        app = Component()
        server = Server(("127.0.0.1", 0)).register(app)
        Echo().register(app)
        Root().register(app)
        WebSockets("/websocket", wschannel="wsserver").register(app)
        with serving(app):
            self.port = server.port
            peer = Peer(self, "/websocket")
            peer.send("Hello")
            self.assertEqual(peer.next(), "Received: Hello")
            self.assertEqual(self.get(), (200, b"page"))
            peer.send(peer.codec.close())
            self.assertEqual(peer.next(), (1000, ""))

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "no UNIX sockets here")
    def test_over_a_unix_socket(self):
        path = os.path.join(self.folder(), "sock")
        app = circuits_web.Server(path) + circuits_web.WebSockets("/ws")
        echo = WSEcho().register(app)
        with serving(app), socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(path)
            sock.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                         + ws_frame(0x81, b"Hello"))
            got = b""
            while not got.endswith(b"\x81\x05Hello"):
                got += sock.recv(1000)
        self.assertEqual(echo.heard[0], ("connect", "/ws", path))

    def test_noise(self):
        """Whatever is sent, the others are served, and nobody stays."""
        self.serve(compress=True, close_timeout=0.2)
        chance, honest = random.Random(6455), Peer(self)
        for turn in range(40):
            offer = circuits_web.Deflate().offer() if turn & 1 else None
            peer = Peer(self, Sec_WebSocket_Extensions=offer)
            data = ws_frame(chance.choice((0x81, 0xc1, 0x01, 0x89)), chance.getrandbits(400).to_bytes(50, "big")) \
                + chance.getrandbits(2400).to_bytes(300, "big")
            try:
                peer.send(data)
            except OSError:
                pass
            honest.send("x")
            self.assertEqual(honest.next(), "x")
            peer.sock.close()
        wait_for(lambda: len(self.ws.sockets) == 1)

    def test_handshakes_that_are_none(self):
        self.serve(Greeter())
        table = [dict(Upgrade=None), dict(Upgrade="websockets"), dict(Connection=None), dict(Connection="close"),
                 dict(Sec_WebSocket_Key=None), dict(Sec_WebSocket_Key="x"), dict(Sec_WebSocket_Key="AAAA"),
                 dict(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZR=="), dict(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ"),
                 dict(Sec_WebSocket_Key=" dGhlIHNhbXBsZSBub25jZQ==x"), dict(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25 ZQ=="),
                 dict(Sec_WebSocket_Key="%s, %s" % (("dGhlIHNhbXBsZSBub25jZQ==",) * 2))]
        for headers in table:
            with self.subTest(headers):
                self.assertEqual(Peer(self, **headers).status, 400)
        for version in (None, "8", "14", "013", "13, 8"):
            peer = Peer(self, Sec_WebSocket_Version=version)
            self.assertEqual(peer.status, 400)
            self.assertIn(b"\r\nSec-WebSocket-Version: 13\r\n", peer.head)
        self.assertEqual(self.ask("/ws", "POST", "x", Upgrade="websocket", Connection="upgrade")[0], 400)
        self.assertIn(b" 400 ", self.raw(b"GET /ws HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"))
        self.assertEqual(Peer(self, Content_Length="3", after=b"abc").status, 400)
        peer = Peer(self, Upgrade="h2c, WebSocket", Connection="keep-alive, UPGRADE")
        self.assertEqual(peer.status, 101)
        self.assertEqual(Peer(self, "/wsx").status, 200)            # a page beside it
        self.assertEqual(Peer(self, "/ws/deeper").status, 101)
        wait_for(lambda: [heard[0] for heard in self.echo.heard] == ["connect"] * 2)

    def test_without_a_path_pages_are_not_in_the_way(self):
        self.serve(Greeter(), path=None)
        self.assertEqual(self.get(), (200, b"Hello World!"))
        self.assertEqual([Peer(self, path).status for path in ("/", "/greet")], [101, 101])

    def test_pages_of_others_are_refused(self):
        self.serve(origins=["https://App.example:443/", "null"])
        host = "127.0.0.1:%d" % self.port
        table = [(host, "http://" + host, 101), (host, None, 101), (host, "https://evil.example", 403),
                 (host, "http://127.0.0.1", 403), (host, "http://127.0.0.1:1", 403), (host, "https://app.example", 101),
                 (host, "null", 101), (host, "http://" + host + ".evil.example", 403), (host, "", 403), (host, host, 403),
                 (host, "file://", 403), ("a.example", "https://a.example", 101), ("A.example:80", "http://a.EXAMPLE", 101),
                 ("a.example:443", "https://a.example", 101), ("a.example:443", "http://a.example", 403),
                 ("a.example", "https://a.example.evil", 403), ("[::1]:80", "http://[::1]", 101)]
        for host, origin, status in table:
            with self.subTest(host=host, origin=origin):
                self.assertEqual(Peer(self, Host=host, Origin=origin).status, status)
        twice = "http://%s\r\nOrigin: http://evil.example" % host
        self.assertEqual(Peer(self, Host=host, Origin=twice).status, 403)
        self.serve()
        self.assertEqual(Peer(self, Origin="null").status, 403)
        self.serve(origins="*")
        self.assertEqual(Peer(self, Origin="https://evil.example").status, 101)

    def test_guards_come_first(self):
        class Guard(Component):
            channel = "web"

            def request(self, event, request, response):
                if request.headers.get("Cookie") != "a=b":
                    event.stop()
                    return circuits_web.Unauthorized(request, response)
        self.serve(Guard())
        self.assertEqual(Peer(self).status, 401)
        self.assertEqual(Peer(self, Cookie="a=b").status, 101)

    def test_subprotocols(self):
        def chosen(**headers):
            found = re.search(rb"\r\nSec-WebSocket-Protocol: ([^\r]*)", Peer(self, **headers).head)
            return found and found.group(1).decode()
        self.serve()
        self.assertEqual(chosen(Sec_WebSocket_Protocol="chat.v2, chat"), "chat.v2")
        self.assertIsNone(chosen())
        self.assertEqual(Peer(self, Sec_WebSocket_Protocol="a b,").status, 101)
        self.serve(subprotocols=("chat", "chat.v1"))
        self.assertEqual(chosen(Sec_WebSocket_Protocol="x,chat.v1 ,\tchat"), "chat.v1")
        self.assertIsNone(chosen(Sec_WebSocket_Protocol="x"))

        class Picky(circuits_web.WebSocketsDispatcher):
            def select_subprotocol(self, subprotocols):
                return subprotocols[-1]
        self.serve(ws=Picky("/ws"))
        self.assertEqual(chosen(Sec_WebSocket_Protocol="a, b"), "b")
        self.assertEqual(self.echo.channel, "wsserver")
        self.ws.select_subprotocol = lambda subprotocols: "other"
        self.expect_stderr("select_subprotocol() takes one of ['a', 'b'], got 'other'")
        self.assertEqual(Peer(self, Sec_WebSocket_Protocol="a, b").status, 500)
        peer = Peer(self)
        peer.send("x")
        self.assertEqual(peer.next(), "x")

    def test_rules_that_are_broken(self):
        self.serve()
        table = [
            (b"\x82\xff" + (1 << 62).to_bytes(8, "big") + b"mask" + b"x" * 1000, 1009),
            (b"\x82\xff" + ((1 << 20) + 1).to_bytes(8, "big"), 1009),
            (ws_frame(0x81, b"x", client=False), 1002), (ws_frame(0xc1, b"x"), 1002), (ws_frame(0x83, b"x"), 1002),
            (ws_frame(0x81, b"\xff"), 1007), (ws_frame(0x88, b"x"), 1002), (ws_frame(0x80, b"x"), 1002),
            (ws_frame(0x88, ws_close(1006)), 1002)]
        for frame, code in table:
            for more in (b"", ws_frame(0x81, b"more" * 20000)):
                with self.subTest(frame[:20], more=len(more)):
                    peer = Peer(self)
                    peer.send("before", frame + more)
                    self.assertEqual(peer.next(), (code, mock_any))     # at once: what else was said is moot
                    self.assertIsNone(peer.next())
        wait_for(lambda: {heard[1] for heard in self.echo.heard if heard[0] == "disconnect"} == {1002, 1007, 1009})

    @unittest.skipUnless(sys.implementation.name == "cpython", "counts references")
    def test_one_that_broke_the_rules_is_not_left_to_the_collector(self):
        self.serve()
        gc.disable()
        self.addCleanup(gc.enable)
        peer = Peer(self)
        wait_for(lambda: self.ws.sockets)
        codec = weakref.ref(next(iter(self.ws.sockets.values())).codec)
        peer.send(ws_frame(0x80, b"x"))
        self.assertEqual(peer.next(), (1002, mock_any))
        peer.sock.close()
        wait_for(lambda: not self.ws.sockets)
        self.app.fire(Event.create("nothing"))
        wait_for(lambda: codec() is None)

    def test_codes_of_the_end(self):
        """1000, 1001, 1005, 1006, 1012: who says what, and what the application learns."""
        self.serve()
        for data, answer, learns in (
                (ws_frame(0x88, ws_close(1000)), (1000, ""), (1000, "")), (ws_frame(0x88, ws_close(1001, b"r")), (1001, ""), (1001, "r")),
                (ws_frame(0x88), (1005, ""), (1005, "")), (ws_frame(0x88, ws_close(1012)), (1012, ""), (1012, "")),
                (ws_frame(0x88, ws_close(4999)), (4999, ""), (4999, "")), (b"", None, (1006, "")),
                (ws_frame(0x81, b"half")[:5], None, (1006, ""))):
            peer = Peer(self)
            if data:
                peer.send(data)
            if answer is None:
                peer.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(peer.next(), answer)
            if answer is not None:
                self.assertIsNone(peer.next())
            wait_for(lambda: self.echo.heard and self.echo.heard[-1][0] == "disconnect")
            self.assertEqual(self.echo.heard[-1][1:3], learns)
            del self.echo.heard[:]

    def test_the_application_closes(self):
        class App(Component):
            channel = "ws"

            def read(self, sock, data):
                self.fire(circuits_net.Write(sock, "before"))
                self.fire(circuits_net.Close(sock, *json.loads(data)))
                self.fire(circuits_net.Write(sock, "after"))
        self.ws = circuits_web.WebSockets("/ws", close_timeout=0.3)
        WebTest.serve(self, self.ws, App())
        for args, code in ("[]", 1000), ("[1001]", 1001), ("[4000, \"b\\u20ac\"]", 4000):
            peer = Peer(self)
            peer.send(args)
            self.assertEqual([peer.next(), peer.next()[0]], ["before", code])
            peer.send("too late", ws_frame(0x88, ws_close(code)))
            self.assertIsNone(peer.next())
        peer = Peer(self)                                       # one that never answers a close
        peer.send("[]")
        self.assertEqual([peer.next(), peer.next(), peer.next()], ["before", (1000, ""), None])
        wait_for(lambda: not self.ws.sockets)
        self.expect_stderr("a close code is 1000")
        peer = Peer(self)
        peer.send("[1005]")
        self.assertEqual([peer.next(), peer.next()], ["before", "after"])

    def test_pings(self):
        self.serve(ping_interval=0.02, ping_timeout=1.5)
        deaf, alive = Peer(self), Peer(self)
        for _ in range(5):
            self.assertEqual(alive.next(), (9, b""))
            alive.send(ws_frame(0x8a))
        self.assertEqual([deaf.next(), deaf.next()], [(9, b""), None])
        wait_for(lambda: len(self.ws.sockets) == 1 and self.echo.heard[-1][0] == "disconnect")
        self.assertEqual(self.echo.heard[-1][1:3], (1006, "no answer to a ping"))
        alive.send("x")
        got = alive.next()
        while got == (9, b""):
            alive.send(ws_frame(0x8a))
            got = alive.next()
        self.assertEqual(got, "x")
        self.serve(ping_interval=0.02, ping_timeout=3600)       # the next one does not wait for the timeout
        peer = Peer(self)
        for _ in range(3):
            self.assertEqual(peer.next(), (9, b""))
            peer.send(ws_frame(0x8a))
        self.serve(ping_interval=0.02, ping_timeout=None)       # an answer may take any time
        peer = Peer(self)
        self.assertEqual([peer.next() for _ in range(4)], [(9, b"")] * 4)
        self.serve(ping_interval=None)
        peer = Peer(self)
        peer.send("x")
        self.assertEqual(peer.next(), "x")
        self.assertIsNone(next(iter(self.ws.sockets.values())).due)

    def test_one_that_does_not_read_is_given_up(self):
        class Flood(Component):
            channel = "ws"
            most = 0

            def read(self, sock, data):
                for _ in range(200):
                    self.fire(circuits_net.Write(sock, b"x" * 100000))
                    self.most = max(self.most, sock.upper.waiting)
                    yield
                    if sock.upper is None or sock.upper.state != "open":
                        return
        flood = Flood()
        self.ws = circuits_web.WebSockets("/ws", max_waiting=1 << 20, close_timeout=0.2)
        WebTest.serve(self, self.ws, flood)
        peer = Peer(self)
        peer.send("go")
        wait_for(lambda: flood.most and not self.ws.sockets)    # dropped, whether it answers or not
        self.assertLess(flood.most, (1 << 20) + 200000)
        peer.sock.close()
        slow = Peer(self)
        slow.send("go")
        wait_for(lambda: any(ws.state == "closing" for ws in self.ws.sockets.values()))
        got = slow.next()
        while type(got) is bytearray:
            got = slow.next()
        self.assertIn(got, ((1013, "too slow"), None))  # None: it came too late to say so

    def test_what_was_written_before_a_close_has_its_time(self):
        class App(Component):
            channel = "ws"

            def read(self, sock, data):
                self.fire(circuits_net.Write(sock, bytes(16 << 20)))
                self.fire(circuits_net.Close(sock, 4000))
        self.ws = circuits_web.WebSockets("/ws", close_timeout=0.3)
        WebTest.serve(self, self.ws, App())
        peer = Peer(self)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.send("go")
        ws = wait_for(lambda: next((ws for ws in self.ws.sockets.values() if ws.state == "closing"), None))
        due = ws.due
        while ws.due == due:                    # close_timeout is over, and it is still reading
            peer.codec.feed(peer.sock.recv(65536))
            time.sleep(0.002)
        self.assertEqual([len(peer.next() or b""), peer.next()], [16 << 20, (4000, "")])

    def gated(self, **options):
        """A server whose handlers wait until app.gate is False; it counts them."""
        class App(Component):
            channel = "ws"
            now = most = count = 0
            gate = True

            async def read(self, sock, data):
                self.now += 1
                self.count += 1
                self.most = max(self.most, self.now)
                while self.gate:
                    await sleep(0.01)
                self.now -= 1
                return data
        self.ws = circuits_web.WebSockets("/ws", **options)
        app = App()
        WebTest.serve(self, self.ws, app)
        return app

    def held(self):
        return [ws for ws in self.ws.sockets.values() if ws.held]

    def test_a_flood_for_slow_handlers_is_held(self):
        """However many messages a peer sends, tasks are bounded; all are answered, and it is pinged the while."""
        app = self.gated(max_ahead=50, ping_interval=0.02, ping_timeout=5)
        peer = Peer(self)
        sent = ["%d" % n for n in range(5000)]
        peer.send(*sent)
        wait_for(lambda: app.now > 50 and self.held())
        self.assertEqual(self.get("/")[0], 404)
        self.assertLess(app.most, 60)
        app.gate = False
        got = []
        while len(got) < len(sent):
            message = peer.next()
            if type(message) is str:
                got.append(message)
            else:
                self.assertEqual(message, (9, b""))
                peer.send(ws_frame(0x8a))
        self.assertEqual((sorted(got), app.count), (sorted(sent), 5000))
        self.assertLess(app.most, 60)

    def test_a_flood_leaves_others_their_turn(self):
        most = []

        class App(Component):
            channel = "ws"

            def read(self, sock, data):
                most.append(sock.upper.ahead)
                return data
        WebTest.serve(self, circuits_web.WebSockets("/ws"), App())
        peer = Peer(self)
        peer.send(ws_frame(0x81, b"x") * 2000)
        self.assertEqual([peer.next() for _ in range(2000)], ["x"] * 2000)
        self.assertGreater(max(most), 1)
        self.assertLess(max(most), 120)

    def test_a_flood_that_is_small_on_the_wire_is_held(self):
        app = self.gated(compress=True)
        deflate = circuits_web.Deflate()
        peer = Peer(self, Sec_WebSocket_Extensions=deflate.offer(), deflate=deflate)
        peer.send(*[bytearray(1000000)] * 20)
        wait_for(lambda: app.now >= 5 and self.held())
        self.assertLess(app.now, 8)
        app.gate = False
        self.assertEqual([len(peer.next()) for _ in range(20)], [1000000] * 20)
        self.assertLess(app.most, 8)

    def test_a_talk(self):
        """A coroutine, or a generator, per WebSocket, which takes one message after the other."""
        over = []

        async def echo(ws):
            try:
                async for message in ws:
                    if message == "boom":
                        raise ValueError("boom")
                    if message == "leave":
                        return
                    await sleep(0.001)
                    ws.send(message)
                    await ws.room()
            finally:
                over.append((ws.code, ws.request.path))

        def count(ws):
            number = 0
            message = yield ws.next()
            while message is not None:
                number += 1
                ws.send("%d %s" % (number, message))
                message = yield ws.next()
            over.append(number)
        WebTest.serve(self, circuits_web.WebSockets("/echo", talk=echo, max_ahead=10),
                      circuits_web.WebSockets("/count", "other", talk=count))
        peer = Peer(self, "/echo", after=ws_frame(0x81, b"early"))
        sent = ["%d" % n for n in range(100)]
        peer.send(*sent, peer.codec.close(4000, "bye"))     # all is answered, in order, before the close
        self.assertEqual([peer.next() for _ in range(101)], ["early"] + sent)
        self.assertEqual([peer.next(), peer.next()], [(4000, ""), None])
        wait_for(lambda: over == [(4000, "/echo")])
        peer = Peer(self, "/count")
        peer.send("a", "b")
        self.assertEqual([peer.next(), peer.next()], ["1 a", "2 b"])
        peer.sock.close()
        wait_for(lambda: over[1:] == [2])
        peer = Peer(self, "/echo")
        peer.send("x", "leave", "y")
        self.assertEqual([peer.next(), peer.next()], ["x", (1000, "")])
        peer = Peer(self, "/echo")
        peer.send("x")
        self.assertEqual(peer.next(), "x")
        count = len(over)
        sock, = [sock for sock in self.app.http._gone if sock.upper.request.path == "/echo" and sock.upper.state == "open"]
        self.app.fire(circuits_net.Close(sock, 4002), "ws")     # it need not wait for the peer
        self.assertEqual(peer.next(), (4002, ""))
        wait_for(lambda: len(over) > count)
        self.expect_stderr("ValueError")
        peer = Peer(self, "/echo")
        peer.send("boom")
        self.assertEqual(peer.next(), (1011, ""))

    def test_a_talk_that_only_sends_ends_with_its_peer(self):
        over = []

        async def ticks(ws):
            try:
                while True:
                    ws.send("tick")
                    await sleep(0.005)
            finally:
                over.append(ws.code)

        async def polite(ws):
            while not ws.closed:
                ws.send("tick")
                await sleep(0.005)

        async def lost(ws):
            raise circuits_web.NotConnected("something else is")
        WebTest.serve(self, circuits_web.WebSockets("/ticks", talk=ticks),
                      circuits_web.WebSockets("/polite", "other", talk=polite),
                      circuits_web.WebSockets("/lost", "third", talk=lost))
        peer = Peer(self, "/ticks")
        self.assertEqual(peer.next(), "tick")
        peer.sock.close()
        wait_for(lambda: over == [1006])
        peer = Peer(self, "/polite")
        peer.send(ws_frame(0x88, ws_close(4000)))
        got = peer.next()
        while got == "tick":
            got = peer.next()
        self.assertEqual([got, peer.next()], [(4000, ""), None])
        self.assertEqual(sys.stderr.getvalue(), "")
        self.expect_stderr("something else is")
        self.assertEqual(Peer(self, "/lost").next(), (1011, ""))

    def test_a_talk_is_a_coroutine_and_messages_are_for_one(self):
        async def two(ws):
            got = []
            try:
                await circuits.gather(ws.next(), ws.next())
            except RuntimeError as error:
                got.append(str(error))
            ws.send(got[0])
        ws = circuits_web.WebSockets("/ws", talk=two)
        WebTest.serve(self, ws, circuits_web.WebSockets("/plain", "plain", talk=lambda ws: 5))
        self.assertIn("already", Peer(self).next())
        self.expect_stderr("talk is a coroutine function")
        self.assertEqual(Peer(self, "/plain").next(), (1011, ""))
        wait_for(lambda: "talk is" in sys.stderr.getvalue())

    def test_one_that_is_held_and_gone_is_noticed(self):
        app = self.gated(max_ahead=50, close_timeout=0.08)
        peer = Peer(self)
        peer.send(*["x"] * 5000)
        [ws] = wait_for(self.held)
        self.ws.ping_interval = 0.02
        ws.due = 0                                  # from now on: no ping waits for its answer
        reset(peer.sock)
        wait_for(lambda: not self.ws.sockets)
        app.gate = False

    def test_one_that_is_held_can_be_closed(self):
        app = self.gated(max_ahead=50)
        peer = Peer(self)
        peer.send(*["x"] * 5000)
        [ws] = wait_for(self.held)
        self.app.fire(circuits_net.Close(ws.sock, 4000), "ws")
        self.assertEqual(peer.next(), (4000, ""))
        peer.send(ws_frame(0x88, ws_close(4000)))
        self.assertIsNone(peer.next())
        wait_for(lambda: ws.code)
        self.assertEqual(ws.code, 4000)             # its answer was read, behind what was held
        app.gate = False

    def test_one_that_is_held_is_not_given_up_nor_read_from(self):
        app = self.gated(max_ahead=50, close_timeout=0.08)
        peer = Peer(self)
        peer.send(*["x"] * 5000)
        [ws] = wait_for(self.held)
        self.ws.ping_interval = self.ws.ping_timeout = 0.02
        ws.due = 0                                  # from now on
        self.assertFalse(self.app._reactor.poller.isReading(ws.sock))
        self.app.fire(circuits_net.Write(ws.sock, bytes(16 << 20)), "ws")      # enough to make it slow
        wait_for(lambda: ws.waiting)
        got = []
        while len(got) < 5:                         # pings, none of which it answers
            got.append(peer.next())
            if type(got[-1]) is bytearray:
                got.clear()
        self.assertEqual((ws.state, ws.held, ws.sock.slow), ("open", True, False))
        self.assertFalse(self.app._reactor.poller.isReading(ws.sock))
        app.gate = False

    def test_who_sends_much_can_wait_for_room(self):
        class App(Component):
            channel = "ws"
            most = done = 0

            async def read(self, sock, data):
                ws = sock.upper
                for _ in range(int(data)):
                    ws.send(b"x" * 100000)
                    self.most = max(self.most, ws.waiting)
                    await ws.room()
                self.done += 1

            def pair(self):                             # two may wait for one peer
                ws = next(iter(self.root.ws.sockets.values()))
                yield ws.room()
                self.done += 10
        app = App()
        ws = circuits_web.WebSockets("/ws")
        WebTest.serve(self, ws, app)
        self.app.ws = ws
        peer = Peer(self)
        peer.send("100")
        wait_for(lambda: app.most)
        self.app.fire(Event.create("pair"), "ws")
        for _ in range(100):
            self.assertEqual(len(peer.next()), 100000)
        wait_for(lambda: app.done == 11)
        self.assertLess(app.most, 300000)
        peer.send("2000")
        wait_for(lambda: next(iter(ws.sockets.values())).waiters)
        peer.sock.close()                               # nobody waits for ever
        wait_for(lambda: app.done == 12)

    def test_a_flood_of_pings_and_of_empty_messages(self):
        self.serve()
        peer = Peer(self)
        pings = [ws_frame(0x89, b"%d" % n) for n in range(3000)]
        peer.send(b"".join(pings) + ws_frame(0x81) * 3000)
        got = [peer.next() for _ in range(6000)]
        self.assertEqual([item for item in got if type(item) is tuple], [(10, b"%d" % n) for n in range(3000)])
        self.assertEqual(got.count(""), 3000)

    def test_compression(self):
        self.serve(compress=True)
        offered = circuits_web.Deflate(server_max_window_bits=15, client_max_window_bits=15)
        peer = Peer(self, Sec_WebSocket_Extensions="x-other, " + offered.offer(), deflate=offered)
        self.assertIn(b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                      b"client_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12", peer.head)
        peer.codec.deflate = circuits_web.Deflate()
        frame = peer.codec.encode("Hello" * 10000)
        self.assertLess(len(frame), 1000)
        peer.send(frame)
        self.assertEqual(peer.next(), "Hello" * 10000)
        bomb = peer.codec._deflate(bytes(64 << 20))
        peer.send(ws_frame(0xc2, bomb))
        self.assertEqual([peer.next()[0], peer.next()], [1009, None])
        plain = Peer(self)
        self.assertNotIn(b"Extensions", plain.head)
        plain.send(ws_frame(0xc1, b"x"))
        self.assertEqual(plain.next()[0], 1002)
        self.serve()                                    # not by default
        self.assertNotIn(b"Extensions", Peer(self, Sec_WebSocket_Extensions=offered.offer()).head)

    def test_many_that_are_idle(self):
        self.serve(ping_interval=0.2, max_connections=250)
        peers = [Peer(self) for _ in range(250)]
        wait_for(lambda: len(self.ws.sockets) == 250)
        self.assertEqual(Peer(self).status, 503)        # WebSockets are connections, too
        for peer in peers:
            peer.send(ws_frame(0x8a), "x")
        for peer in peers:
            self.assertIn(peer.next(), ("x", (9, b"")))
        wait_for(lambda: sum(timer[2] == self.ws._sweep for timer in list(self.app._reactor.timers)) == 1)
        for peer in peers:
            peer.sock.close()
        wait_for(lambda: not self.ws.sockets and not self.app.http._gone)

    def test_a_member_of_a_group(self):
        class Group:
            members = set()

            def discard(self, member):
                self.members.discard(member)
        group = Group()

        class App(Component):
            channel = "ws"

            def connect(self, sock, host, port):
                member = sock.upper
                member.groups = {group}
                group.members.add(member)

            def read(self, sock, data):
                for member in list(group.members):
                    if data == "slow":
                        member.close("too slow")
                    member.write(member.encode(data))
        WebTest.serve(self, circuits_web.WebSockets("/ws", compress=True), App())
        offer = circuits_web.Deflate()
        peers = [Peer(self), Peer(self), Peer(self, Sec_WebSocket_Extensions=offer.offer(), deflate=offer)]
        wait_for(lambda: len(group.members) == 3)
        self.assertEqual(len({member.kind for member in group.members}), 2)
        peers[0].send("y" * 100)
        self.assertEqual([peer.next() for peer in peers], ["y" * 100] * 3)
        self.assertEqual({member.waiting for member in group.members}, {0})
        peers[0].sock.close()
        wait_for(lambda: len(group.members) == 2)
        peers[1].send("slow")
        self.assertEqual([peer.next() for peer in peers[1:]], [(1013, "too slow")] * 2)

    def test_when_the_application_stops(self):
        self.serve()
        peer = Peer(self)
        self.app.stop()
        self.assertEqual([peer.next(), peer.next()], [(1001, ""), None])

    def test_a_dispatcher_that_leaves_says_so(self):
        self.serve()
        peer = Peer(self)
        self.app.fire(circuits.Unregister(self.ws))
        self.assertEqual(peer.next(), (1001, ""))

    def test_wrong_options(self):
        for wrong in (dict(ping_interval=0), dict(close_timeout=None), dict(close_timeout=-1), dict(ping_timeout=-1),
                      dict(wschannel="web")):
            with self.assertRaises(ValueError):
                circuits_web.WebSockets("/", **wrong)
        with self.assertRaisesRegex(ValueError, 'like "https://example.com", got \'example.com\''):
            circuits_web.WebSockets("/", origins=["https://a", "example.com"])
        with self.assertRaises(TypeError):
            circuits_web.WebSockets("/", compress=9)
        with self.assertRaises(TypeError):
            circuits_web.WebSockets("/", max_mesage=9)

    def test_text_with_half_a_pair_is_an_error_of_the_application(self):
        class App(Component):
            channel = "ws"

            def read(self, sock, data):
                self.fire(circuits_net.Write(sock, "\ud800" if data == "text" else 5))
        self.expect_stderr("surrogates not allowed")
        self.expect_stderr("text or bytes, got 5")
        WebTest.serve(self, circuits_web.WebSockets("/ws"), App())
        peer = Peer(self)
        peer.send("text", "x", peer.codec.ping(b"p"))
        self.assertEqual(peer.next(), (10, b"p"))
        wait_for(lambda: "got 5" in sys.stderr.getvalue())


class mock_any:
    """Equals anything."""

    def __eq__(self, other):
        return True


mock_any = mock_any()


class TestWebSocketStopping(TestStopping):
    """SIGTERM: WebSockets are told, and the process waits for their answer."""

    CODE = """
        from circuits import Component
        from circuits_web import Server, WebSockets
        class App(Component):
            channel = "ws"
            def connect(self, sock, host, port):
                print("connected", flush=True)
            def disconnect(self, event, sock):
                print("left", event.code, flush=True)
        app = Server(("127.0.0.1", 0), grace=%s) + WebSockets("/ws") + App()
        print(app.port, flush=True)
        app.run()
        print("ended", flush=True)
    """

    test_requests_in_work_finish = test_a_second_signal_or_the_end_of_grace_ends_at_once = None

    def test_they_are_told_and_waited_for(self):
        process = self.launch()
        peers = [Peer(self) for _ in range(3)]
        self.assertEqual([process.stdout.readline() for _ in peers], ["connected\n"] * 3)
        process.terminate()
        for peer in peers:
            self.assertEqual(peer.next(), (1001, ""))
            self.assertIsNone(process.poll())
            peer.send(ws_frame(0x88, ws_close(1001)))
            self.assertIsNone(peer.next())
        self.assertEqual(process.stdout.read(), "left 1001\n" * 3 + "ended\n")
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_the_grace_has_an_end(self):
        process = self.launch(0.3)
        peer = Peer(self)
        process.stdout.readline()
        process.terminate()
        self.assertEqual([peer.next(), peer.next()], [(1001, ""), None])
        self.assertEqual(process.stdout.read(), "left 1006\nended\n")
        self.assertEqual(process.wait(PATIENCE), 0)


class WSApp(Component):
    """The application of a client: notes what it hears, and does as it is told."""

    channel = "ws"

    def __init__(self, *greetings):
        super().__init__()
        self.greetings = greetings
        self.heard = []

    def connected(self, host, port):
        self.heard.append("connected")
        for message in self.greetings:
            self.fire(circuits_net.Write(message))

    def read(self, message):
        self.heard.append(message)

    def disconnected(self, event):
        self.heard.append(("disconnected", event.code, event.reason))

    def unreachable(self, host, port, error):
        self.heard.append(error)


class TestWebSocketClient(WebTest):

    def serve(self, *components, **options):
        self.ws = circuits_web.WebSockets("/ws", "wsserver", **options)
        self.echo = WSEcho(channel="wsserver")
        super().serve(self.ws, self.echo, *components)

    def connect(self, *greetings, path="/ws", rec=None, scheme="ws", port=None, **options):
        """A client in a thread of its own; self.heard is what its application hears."""
        self.tree = WSApp(*greetings)
        self.heard = self.tree.heard
        self.client = circuits_web.WebSocketClient(
            "%s://127.0.0.1:%d%s" % (scheme, port or self.port, path), **options).register(self.tree)
        if rec is not None:
            rec.register(self.tree)
        context = serving(self.tree)
        context.__enter__()
        self.addCleanup(context.__exit__)

    def hears(self, *expected):
        wait_for(lambda: len(self.heard) >= len(expected), lambda: self.heard)
        self.assertEqual(self.heard, list(expected))

    def answering(self, *answers):
        """A server that gives each connection, in turn, one of these answers, and keeps what it was asked."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        self.port = listening.getsockname()[1]
        self.asked = []

        def answer():
            for text in answers:
                try:
                    sock = listening.accept()[0]
                except OSError:
                    return
                with sock:
                    sock.settimeout(PATIENCE)
                    got = b""
                    while b"\r\n\r\n" not in got:
                        got += sock.recv(65536)
                    self.asked.append(got)
                    if text is None:
                        sock.recv(1)
                        continue
                    key = re.search(b"Key: (.*)\r", got).group(1).decode()
                    try:
                        sock.sendall(text.replace(b"ACCEPT", circuits_web._accept_key(key).encode()))
                        while sock.recv(65536):
                            pass
                    except OSError:
                        pass
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        self.addCleanup(listening.close)

    GOOD = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
            b"Sec-WebSocket-Accept: ACCEPT\r\n")

    def test_a_conversation(self):
        self.serve()
        rec = Recorder()
        self.connect("Hello", b"\xff" * 70000, rec=rec, headers={"X-Who": "me"}, subprotocols=("b", "a"))
        self.hears("connected", "Hello", b"\xff" * 70000)
        self.assertEqual((self.client.connected, self.client.subprotocol, self.client.response.status), (True, "b", 101))
        request = next(iter(self.ws.sockets.values())).request
        self.assertEqual((request.headers["X-Who"], request.headers["Host"]), ("me", "127.0.0.1:%d" % self.port))
        self.tree.fire(circuits_net.Close(4000, "bye"))
        self.hears("connected", "Hello", b"\xff" * 70000, ("disconnected", 4000, ""))
        wait_for(lambda: self.echo.heard[-1][:3] == ("disconnect", 4000, "bye"))
        self.assertFalse(self.client.connected)
        again = ["connected", "Hello", b"\xff" * 70000, ("disconnected", 4000, "")]
        self.tree.fire(circuits_net.Connect(), "wsclient")          # and once more
        self.hears(*again, *again[:3])
        self.tree.fire(circuits_net.Close(4000))                    # and at once again
        self.tree.fire(circuits_net.Connect(), "wsclient")
        self.hears(*again, *again, *again[:3])

    def test_connect_is_for_those_who_want_to_wait(self):
        self.serve()
        test = self

        class App(Component):
            def started(self, *args):
                self.client = circuits_web.WebSocketClient("ws://127.0.0.1:%d/ws" % test.port).register(self)
                self.fire(circuits_net.Write("early"), "ws")        # before there is anything
                test.got = []
                for _ in range(3):
                    value = yield self.call(circuits_net.Connect(), "wsclient")
                    test.got.append(value.value)
                self.fire(circuits_net.Write("late"), "ws")
                event = yield self.wait("read", "ws")
                test.got.append(event.event.args[0])
                self.client.close()
                yield self.wait("disconnected", "ws")
                dead = circuits_web.WebSocketClient("ws://127.0.0.1:1/", "dead", "deadws", reconnect=True).register(self)
                try:
                    yield self.call(circuits_net.Connect(), "dead")
                except circuits_web.NotConnected as error:
                    test.got.append(error)
                dead.close()
                lost = circuits_web.WebSocketClient("ws://127.0.0.1:%d/none" % test.port, "lost", "lostws").register(self)
                try:
                    yield self.call(circuits_net.Connect(), "lost")
                except circuits_web.NotConnected as error:
                    test.got.append(error)
                self.stop()
        App().run()
        self.assertEqual(self.got[:4], [True, True, True, "late"])
        self.assertEqual(len([heard for heard in self.echo.heard if heard[0] == "connect"]), 1)
        self.assertRegex(str(self.got[4]), r"ws://127.0.0.1:1/ cannot be reached: \[Errno")
        self.assertIsInstance(self.got[4].__cause__, OSError)
        self.assertEqual((self.got[5].status, str(self.got[5])),
                         (404, "ws://127.0.0.1:%d/none refused the handshake: 404 Not Found" % self.port))

    def test_what_is_written_early_is_sent_when_it_is_open(self):
        self.serve()
        app = WSApp()
        client = circuits_web.WebSocketClient("ws://127.0.0.1:%d/ws" % self.port).register(app)
        app.fire(circuits_net.Connect(), "wsclient")                # as programs for 2.1.0 do
        app.fire(circuits_net.Write("one"), "ws")
        app.fire(circuits_net.Write("two"), "ws")
        with serving(app):
            wait_for(lambda: app.heard == ["connected", "one", "two"])
            app.fire(circuits_net.Connect("ignored", 1), "wsclient")
            app.fire(circuits_net.Write("three"), "ws")
            wait_for(lambda: app.heard[-1] == "three")
            self.assertTrue(client.connected)
        self.assertEqual([heard[0] for heard in self.echo.heard].count("connect"), 1)

    def test_bytes_behind_the_101_are_kept(self):
        self.answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + self.GOOD + b"\r\n" + ws_frame(0x81, b"early", False)
                       + ws_frame(0x88, ws_close(1012, b"restart"), False))
        self.connect()
        self.hears("connected", "early")
        wait_for(lambda: self.client.sockets[None].state == "over")
        self.assertEqual(self.client.sockets[None].code, 1012)

    def test_what_was_held_is_not_taken_for_what_comes_after(self):
        """A broken frame of a connection that is lost must not end the next one."""
        class App(WSApp):
            gate = True
            through = 0

            @handler("read", override=True)
            async def read(self, message):
                while self.gate:
                    await sleep(0.01)
                self.through += 1
        self.answering(self.GOOD + b"\r\n" + ws_frame(0x81, b"x", False) * 5 + b"\xff\xff", self.GOOD + b"\r\n")
        app = App()
        client = circuits_web.WebSocketClient("ws://127.0.0.1:%d/" % self.port, max_ahead=1).register(app)
        with serving(app):
            held = wait_for(lambda: client.websocket and client.websocket.held and client.websocket)
            app._reactor.call_soon(client._transport.abort)
            wait_for(lambda: app.heard == ["connected", ("disconnected", 1006, "")])
            app.fire(circuits_net.Connect(), "wsclient")
            wait_for(lambda: client.connected)
            app.gate = False
            wait_for(lambda: app.through and not held.ahead)
            self.assertTrue(client.connected)
            self.assertEqual(app.heard, ["connected", ("disconnected", 1006, ""), "connected"])

    def test_answers_that_are_none(self):
        page = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nRetry-After: 9\r\n\r\nbusy"
        table = [(page, 503, "refused the handshake: 503 Busy"), (b"HTTP/1.1 200 OK\r\n\r\n", 200, "200 OK"),
                 (b"HTTP/1.1 301 Moved\r\nLocation: ws://x/\r\n\r\n", 301, "301 Moved"),
                 (self.GOOD.replace(b"ACCEPT", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") + b"\r\n", None, "not accepted properly"),
                 (self.GOOD.replace(b"WebSocket", b"h2c", 1) + b"\r\n", None, "not accepted properly"),
                 (self.GOOD.replace(b", Upgrade", b"") + b"\r\n", None, "not accepted properly"),
                 (self.GOOD + b"Sec-WebSocket-Protocol: x\r\n\r\n", None, "a subprotocol that was not offered"),
                 (self.GOOD + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", None, "an extension that was not"),
                 (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", None, "did not answer as a WebSocket server"),
                 (b"HTTP/1.1 101 X\r\nA: " + b"x" * 100000, None, "did not answer as a WebSocket server")]
        for answer, status, text in table:
            with self.subTest(text):
                self.answering(answer)
                self.connect()
                wait_for(lambda: self.heard)
                error, = self.heard
                self.assertIsInstance(error, circuits_web.NotConnected)
                self.assertEqual(error.status, status)
                self.assertIn(text, str(error))
                if answer is page:
                    self.assertEqual(error.headers["Retry-After"], "9")
                wait_for(lambda: not self.client._transport.connected)
                self.assertEqual(self.client.sockets, {})
        self.answering(None)
        self.connect(handshake_timeout=0.05)
        wait_for(lambda: self.heard)
        self.assertIn("did not answer the handshake within 0.05 seconds", str(self.heard[0]))

    def test_if_nobody_listens_the_error_is_seen(self):
        self.expect_stderr("NotConnected")
        self.answering(b"HTTP/1.1 403 No\r\n\r\n")
        with serving(Component() + circuits_web.WebSocketClient("ws://127.0.0.1:%d/" % self.port)):
            wait_for(lambda: "403 No" in sys.stderr.getvalue())

    def test_it_connects_again(self):
        self.answering(self.GOOD + b"\r\n" + ws_frame(0x88, ws_close(1012), False), b"HTTP/1.1 503 Busy\r\n\r\n",
                       self.GOOD + b"\r\n")
        original, circuits_net.RECONNECT_FIRST = circuits_net.RECONNECT_FIRST, 0.01
        self.addCleanup(setattr, circuits_net, "RECONNECT_FIRST", original)
        self.connect(reconnect=True, close_timeout=0.05)
        wait_for(lambda: self.heard.count("connected") == 2)
        self.assertEqual(self.heard[:2], ["connected", ("disconnected", 1012, "")])
        self.assertEqual(self.heard[2].status, 503)
        self.tree.fire(circuits_net.Close())
        wait_for(lambda: self.heard[-1][0] == "disconnected")
        self.assertEqual(len(self.asked), 3)
        self.assertIsNone(self.client._transport._retry)
        self.answering(*[b"HTTP/1.1 503 Busy\r\n\r\n"] * 5)        # one that refuses is asked ever more seldom
        self.connect(reconnect=True)
        wait_for(lambda: len(self.heard) == 5)
        self.assertGreaterEqual(self.client._transport._failures, 5)
        self.client.close()

    def test_a_talk(self):
        self.serve()
        got = []

        async def talk(ws):
            ws.send("Hello")
            got.append(await ws.next())
            ws.part(4001)
            async for message in ws:
                got.append(message)
            got.append("over")
        self.connect(talk=talk)
        wait_for(lambda: got == ["Hello", "over"])
        wait_for(lambda: self.echo.heard[-1][:2] == ("disconnect", 4001))

    def test_compression_and_limits(self):
        self.serve(compress=True)
        self.connect("Hello" * 1000, compress=circuits_web.Deflate(False, False, 9, 10), max_message=6000)
        self.hears("connected", "Hello" * 1000)
        self.assertEqual(self.client.sockets[None].codec.deflate.server_max_window_bits, 9)
        self.tree.fire(circuits_net.Write("Hello" * 2000))
        self.hears("connected", "Hello" * 1000, ("disconnected", 1009, "a message of more than 6000 bytes"))
        wait_for(lambda: self.echo.heard[-1][:2] == ("disconnect", 1009))

    def test_pings(self):
        self.answering(self.GOOD + b"\r\n")
        self.connect(ping_interval=0.02, ping_timeout=0.02)
        self.hears("connected", ("disconnected", 1006, "no answer to a ping"))

    def test_over_tls(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        pem = certificate(self, "good")
        self.ws, self.echo = circuits_web.WebSockets("/ws", "wsserver"), WSEcho(channel="wsserver")
        WebTest.serve(self, self.ws, self.echo, secure=True, certfile=pem)
        self.connect("x" * 100000, scheme="wss", verify=False)
        self.hears("connected", "x" * 100000)
        self.tree.fire(circuits_net.Close())
        wait_for(lambda: self.heard[-1][0] == "disconnected")
        self.connect(scheme="wss")
        wait_for(lambda: self.heard)
        self.assertIsInstance(self.heard[0], circuits_web.NotConnected)
        self.assertIn("CERTIFICATE_VERIFY_FAILED", str(self.heard[0]))
        self.assertEqual(len([1 for heard in self.echo.heard if heard[0] == "connect"]), 1)

    def test_addresses_and_headers(self):
        split = circuits_web._split_websocket_url
        self.assertEqual(split("ws://a"), (False, "a", "a", 80, "/"))
        self.assertEqual(split("WSS://a.b:8443?x=/y"), (True, "a.b:8443", "a.b", 8443, "/?x=/y"))
        self.assertEqual(split("ws://[::1]:9/a%20b"), (False, "[::1]:9", "::1", 9, "/a%20b"))
        for url in ("http://a/", "ws:/a", "ws://", "ws:///x", "ws://a/x#y", "ws://a /x", "ws://a/\r\nX: y", "ws://a/\u00e4",
                    "ws://u:p@a/", "ws://a:0/", "ws://a:99999/", "ws://a:x/", "a", "", "ws://[::1/", "ws://a/x y"):
            with self.subTest(url), self.assertRaises(ValueError):
                split(url)
        for headers in ({"X": "a\r\nY: b"}, {"X\r\n": "a"}, {"X Y": "a"}, [("X", "\0")], {"Upgrade": "x"},
                        {"sec-websocket-key": "x"}, {"Content-Length": "5"}):
            with self.assertRaises(ValueError):
                circuits_web.WebSocketClient("ws://a/", headers=headers)
        with self.assertRaises(ValueError):
            circuits_web.WebSocketClient("ws://a/", subprotocols="a,b")
        with self.assertRaises(TypeError):
            circuits_web.WebSocketClient("ws://a/", verfy=False)

    def test_a_client_may_be_closed_at_any_time(self):
        self.serve()
        for moment in range(12):
            tree = WSApp()
            client = circuits_web.WebSocketClient("ws://127.0.0.1:%d/ws" % self.port).register(tree)
            tree.tick(0)
            for _ in range(moment):
                tree.tick(0.005)
            client.close()
            pump(tree, lambda: not client._transport._is_open() and not client.sockets)
            self.assertFalse(client.connected)
            client.unregister()
            pump(tree)

    def test_dotted_names(self):
        child("""
            from circuits.web.websockets import WebSocketsDispatcher, WebSocketClient
            from circuits.web.dispatchers import WebSockets
            from circuits.web.dispatchers.websockets import WebSockets
            from circuits.web.websocket import WebSocketClient
            from circuits.net.protocols.websocket import WebSocketCodec
            from circuits.protocols.websocket import WebSocketCodec
            from circuits.web.client import Connect
            """)


class TestWebSocketCodecComponent(CircuitsTest):
    """Below any transport: here plain TCP, both ends, without HTTP."""

    def test_back_to_back(self):
        class Accept(Component):
            channel = "server"

            def connect(self, sock, host, port):
                circuits_web.WebSocketCodec(sock, bytearray(ws_frame(0x81, b"behind"))).register(self.root.server)

        class App(Component):
            channel = "ws"
            heard = []

            def read(self, sock, data):
                self.heard.append(data)
                self.fire(circuits_net.Write(sock, data))
                if type(data) is str and data == "end":
                    self.fire(circuits_net.Close(sock))
        app = App() + Accept()
        app.server = circuits_net.TCPServer(("127.0.0.1", 0)).register(app)
        context = serving(app)
        context.__enter__()
        self.addCleanup(context.__exit__)

        class Client(Component):
            heard = []

            @handler("connected", channel="client")
            def _on_connected(self, host, port):
                circuits_web.WebSocketCodec(channel="mine").register(transport)
                self.fire(circuits_net.Write("Hello"), "mine")
                self.fire(circuits_net.Write(b"x" * 100000), "mine")
                self.fire(circuits_net.Write("end"), "mine")

            @handler("read", channel="mine")
            def _on_read(self, data):
                self.heard.append(data)

            @handler("disconnected", channel="client")
            def _on_disconnected(self):
                self.heard.append(None)
        client = Client()
        transport = circuits_net.TCPClient().register(client)
        client.fire(circuits_net.Connect("127.0.0.1", app.server.port), "client")
        pump(client, lambda: None in client.heard)
        self.assertEqual(client.heard, ["behind", "Hello", b"x" * 100000, "end", None])
        self.assertEqual(app.heard, ["behind", "Hello", b"x" * 100000, "end"])
        pump(client)
        self.assertEqual(list(transport.components), [])            # it went with the connection
        wait_for(lambda: not app.server.components)

    def test_the_arguments_of_both_releases(self):
        self.assertEqual(circuits_web.WebSocketCodec(None, "a").channel, "a")
        self.assertEqual(circuits_web.WebSocketCodec(None, b"", "a").channel, "a")
        self.assertEqual(circuits_web.WebSocketCodec().channel, "ws")
        with self.assertRaisesRegex(ValueError, "not that of its transport"):
            circuits_web.WebSocketCodec(channel="client").register(circuits_net.TCPClient())


class TestWebSocketPeers(WebTest):
    """The package of that name, both ways, and a browser."""

    MESSAGES = ["", "Hello", b"", bytes(range(256)) * 300, "\u20ac\U0001f600" * 30000, b"\0" * 1000000]

    def package(self):
        try:
            import websockets.sync.client
            import websockets.sync.server
        except ImportError:
            self.skipTest("the package websockets is not installed")
        return websockets

    def test_the_package_as_client(self):
        websockets = self.package()
        ws, echo = circuits_web.WebSockets("/ws", compress=True, ping_interval=0.05), WSEcho()
        self.serve(ws, echo)
        base = "ws://127.0.0.1:%d" % self.port
        for compression in (None, "deflate"):
            with websockets.sync.client.connect(base + "/ws", compression=compression, max_size=None,
                                                subprotocols=["chat"]) as client:
                self.assertEqual(client.subprotocol, "chat")
                for message in self.MESSAGES:
                    client.send(message)
                    self.assertEqual(client.recv(PATIENCE), message)
                client.send(iter(["in ", "three ", "parts"]))
                self.assertEqual(client.recv(PATIENCE), "in three parts")
                self.assertTrue(client.ping(b"x").wait(PATIENCE))
        with self.assertRaises(websockets.exceptions.InvalidStatus) as caught:
            websockets.sync.client.connect(base + "/none")
        self.assertEqual(caught.exception.response.status_code, 404)
        with websockets.sync.client.connect(base + "/ws", max_size=None, compression=None) as client:
            client.send(b"x" * (1 << 20) + b"y")
            with self.assertRaises(websockets.exceptions.ConnectionClosed) as caught:
                client.recv(PATIENCE)
            self.assertEqual(caught.exception.rcvd.code, 1009)
        wait_for(lambda: not ws.sockets)

    def test_the_package_as_server(self):
        websockets = self.package()

        def echo(connection):
            for message in connection:
                if message == "close":
                    return connection.close(4001, "as you wish")
                connection.send(message)
        for compress in (False, True):
            server = websockets.sync.server.serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=["chat"])
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                app = WSApp(*self.MESSAGES, "close")
                client = circuits_web.WebSocketClient(
                    "ws://127.0.0.1:%d/" % server.socket.getsockname()[1], subprotocols=["chat"], compress=compress,
                    ping_interval=0.05).register(app)
                with serving(app):
                    wait_for(lambda: len(app.heard) == len(self.MESSAGES) + 2)
                self.assertEqual(app.heard, ["connected", *self.MESSAGES, ("disconnected", 4001, "as you wish")])
                self.assertEqual("permessage-deflate" in str(client.response.headers), compress)
            finally:
                server.shutdown()
                thread.join(PATIENCE)

    def test_two_tabs_chat_and_come_back_after_a_restart(self):
        browser = Browser(self)

        def start(port):
            program = ExamplesTest.start(self, "web_chat.py", str(port))
            self.addCleanup(lambda: program.process.poll() is None and program.end())
            return program, int(program.wait_for("@ready").split()[1])
        program, port = start(0)
        tabs = [browser.tab("http://127.0.0.1:%d/" % port) for _ in range(2)]

        def said(text, tab):
            wait_for(lambda: (tab("document.body.innerText") or "").count(text), text)

        def say(text, tab):
            tab("line.value = %s; form.requestSubmit()" % json.dumps(text))
        for tab in tabs:
            said("You are connected.", tab)
        for text, tab in zip(("I am \u20ac one", "I am <b>two</b>"), tabs):
            say(text, tab)
            for each in tabs:
                said(text, each)
        self.assertEqual(program.end()[1], "")
        program, _ = start(port)
        for tab in tabs:
            wait_for(lambda: tab("document.body.innerText").count("You are connected.") == 2)
        say("back again", tabs[1])
        for tab in tabs:
            said("back again", tab)


class TestWebSocketExamples(WebTest):

    def test_echo_and_client(self):
        program = ExamplesTest.start(self, "web_socket.py")
        program.wait_for("It is over")
        self.assertEqual(program.end(None), ("I said: Hello\nThe server says: HELLO\nIt is over: 1000", ""))


# ---------------------------------------------------------------------------
# Web: the HTTP client
# ---------------------------------------------------------------------------

class TestClientPure(CircuitsTest):
    """What the client decides without a connection."""

    def test_urls(self):
        table = {
            "http://a": ("http", "a", 80, None, None, "/"),
            "HTTPS://A.b:8443?x=1#f": ("https", "a.b", 8443, None, None, "/?x=1"),
            "http://[::1]:80/\u00fc x?q=\"": ("http", "::1", 80, None, None, "/%C3%BC%20x?q=%22"),
            "http://u:p%40@h/%zz": ("http", "h", 80, None, ("u", "p@"), "/%zz"),
            "http+unix://%2Frun%2Fx.sock/p?q": ("http+unix", "localhost", 0, "/run/x.sock", None, "/p?q"),
            "http://b\u00fccher.example:81/": ("http", "xn--bcher-kva.example", 81, None, None, "/"),
            " http://a/b ": ("http", "a", 80, None, None, "/b")}
        for text, expected in table.items():
            for _ in range(2):                      # the second comes from memory
                url = circuits_web._parse_url(text)
                self.assertEqual(url.origin + (url.login, url.target), expected)
        self.assertEqual(str(circuits_web._parse_url("http://u:p@[::1]:8080/x")), "http://[::1]:8080/x")

    def test_what_is_no_url(self):
        for text, why in (
                ("a", "URL must be absolute"), ("/x", "URL must be absolute"), ("", "URL must be absolute"),
                ("ftp://x/", "Invalid URL scheme"), ("file:///etc/passwd", "Invalid URL scheme"),
                ("http://", "no host"), ("http://:80/", "no host"), ("http:///x", "no host"),
                ("http://%s/" % ("a." * 130), "no host"), ("http://a\\@b/", "two ways"), ("http://a@b@c/", "two ways"), ("http://a\\b/", "two ways"),
                ("http://a b/", "no host"), ("http://a:0/", "port"), ("http://a:99999/", "port"),
                ("http://a:\u0661/", "no host|strange"), ("http://\udc80/", "strange host"),
                ("http://a\uff0fb/", "no host"), ("http://a/\r\nX: y", "control character"),
                ("http://a\r\n/", "control character"), ("http://a/\x00", "control character"),
                ("http+unix:///x", "names no socket")):
            with self.assertRaisesRegex(ValueError, why, msg=text):
                circuits_web._parse_url(text)
        with self.assertRaises(TypeError):
            circuits_web._parse_url(b"http://a/")

    def test_parse_url_as_documented(self):
        for text, parts in (("http://localhost/", ("localhost", 80, "/", False)),
                            ("https://localhost/a?b=c", ("localhost", 443, "/a?b=c", True)),
                            ("ws://localhost:8000/", ("localhost", 8000, "/", False)),
                            ("wss://localhost", ("localhost", 443, "/", True))):
            self.assertEqual(circuits_web.parse_url(text), parts)
        with self.assertRaisesRegex(ValueError, "^URL must be absolute"):
            circuits_web.parse_url("localhost/x")
        with self.assertRaisesRegex(ValueError, "^Invalid URL scheme"):
            circuits_web.parse_url("ftp://localhost/")

    def test_forms(self):
        encode = circuits_web.encode_form
        self.assertEqual(encode([("a", 1), ("a", b"\xff"), ("b", None), ("\u00fc", "x y&=+")]),
                         "a=1&a=%FF&%C3%BC=x+y%26%3D%2B")
        text = encode({"k \r\n": ["a", "b;c"]})
        self.assertEqual(circuits_web.parse_qs(text), {"k \r\n": ["a", "b;c"]})

    def test_multipart_is_read_back(self):
        nasty = 'a"b\r\nX-Evil: 1\r\n\r\n--x\u00fc.txt'
        body = circuits_web._multipart({"text": "v\u00fc", "many": ["1", "2"]}, [
            ("one", (nasty, b"\x00\r\n--", "application/x-one")), ("two", io.BytesIO(b"from a file")),
            (nasty, "text")])
        data = b"".join(b"".join(body.begin(part)) for part in body.parts)
        self.assertEqual((len(data), body.again), (body.length, True))
        boundary = body.kind.partition("boundary=")[2]
        self.assertEqual(len(boundary), 32)
        self.assertNotEqual(body.kind, circuits_web._multipart({}, {"a": "b"}).kind)
        parser = circuits_web.MultipartParser(boundary)
        parser.feed(data)
        parser.finish()
        self.addCleanup(parser.close)
        quoted = 'a%22b%0D%0AX-Evil: 1%0D%0A%0D%0A--x\u00fc.txt'
        fields = parser.fields
        self.assertEqual((fields["text"], fields["many"], set(fields)),
                         ("v\u00fc", ["1", "2"], {"text", "many", "one", "two", quoted}))
        self.assertEqual((fields["one"].filename, fields["one"].value, fields["two"].value,
                          fields[quoted].value), (quoted, b"\x00\r\n--", b"from a file", b"text"))

    def test_multipart_refuses_a_strange_content_type(self):
        with self.assertRaisesRegex(ValueError, "control character"):
            circuits_web._multipart({}, {"a": ("a", b"", "text/plain\r\nX-Evil: 1")})

    def test_bodies(self):
        make = circuits_web.Client._body
        for arguments, length, kind, again in (
                ((b"abc", None, None), 3, None, True), (("\u00fc", None, None), 2, None, True),
                (({"a": 1}, None, None), 3, "application/x-www-form-urlencoded", True),
                (([("a", 1), ("a", 2)], None, None), 7, "application/x-www-form-urlencoded", True),
                ((None, {"a": [1]}, None), 10, "application/json", True),
                ((None, 0, None), 1, "application/json", True),
                ((io.BytesIO(b"abc"), None, None), 3, None, True),
                (([b"a", b"b"], None, None), None, None, True),
                ((iter([b"a"]), None, None), None, None, False)):
            body = make(*arguments)
            self.assertEqual((body.length, body.kind, body.again), (length, kind, again), arguments)
        file = io.BytesIO(b"0123456789")
        file.seek(4)
        body = make(file, None, None)
        for _ in range(2):                          # from where it stood, each time
            self.assertEqual(b"".join(body.begin(body.parts[0])), b"456789")
        file.write(b"and more")                     # it grows while it is sent
        self.assertEqual(b"".join(body.begin(body.parts[0])), b"456789")
        self.assertIsNone(make(None, None, None))
        for arguments in (({"a": 1}, {"b": 2}, None), (None, {}, {"f": b""})):
            with self.assertRaisesRegex(ValueError, "one body"):
                make(*arguments)
        for wrong in (5, io.StringIO("text")):
            with self.assertRaises(TypeError):
                make(wrong, None, None)

    def test_which_cookies_go_where(self):
        table = (           # set by, Set-Cookie, asked, what goes
            ("http://a.example/x/y", "n=v", "http://a.example/x/z", "n=v"),
            ("http://a.example/x/y", "n=v", "http://a.example/", ""),
            ("http://a.example/x/y", "n=v; Path=/", "http://a.example/", "n=v"),
            ("http://a.example/", "n=v", "http://b.a.example/", ""),
            ("http://a.example/", "n=v", "http://a.example:8080/", "n=v"),
            ("http://a.example/", "n=v; Domain=a.example", "http://b.a.example/", "n=v"),
            ("http://b.a.example/", "n=v; domain=.A.example", "http://c.a.example/", "n=v"),
            ("http://b.a.example/", "n=v; Domain=c.a.example", "http://c.a.example/", ""),
            ("http://a.example/", "n=v; Domain=b.a.example", "http://b.a.example/", ""),
            ("http://evil.example/", "n=v; Domain=example", "http://a.example/", ""),
            ("http://evil.co.uk/", "n=v; Domain=co.uk", "http://a.co.uk/", ""),
            ("http://evila.example/", "n=v; Domain=a.example", "http://a.example/", ""),
            ("http://t.co/", "n=v; Domain=t.co", "http://t.co/", "n=v"),
            ("http://t.co/", "n=v; Domain=t.co", "http://x.t.co/", ""),
            ("http://localhost/", "n=v; Domain=localhost", "http://localhost/", "n=v"),
            ("http://evil.com./", "n=v; Domain=com.", "http://a.com./", ""),
            ("http://a.com./", "n=v; Domain=a.com.", "http://a.com./", "n=v"),
            ("http://1.2.3.4/", "n=v; Domain=3.4", "http://9.9.3.4/", ""),
            ("http://1.2.3.4./", "n=v; Domain=3.4.", "http://9.9.3.4./", ""),
            ("http://1.2.3.4/", "n=v", "http://1.2.3.4/", "n=v"),
            ("http://[::1]/", "n=v", "http://[::1]/", "n=v"),
            ("https://a.example/", "n=v; Secure", "http://a.example/", ""),
            ("https://a.example/", "n=v; Secure", "https://a.example/", "n=v"),
            ("http://a.example/", "n=v; Secure", "https://a.example/", ""),
            ("http://a.example/", "n=v; Path=/a", "http://a.example/ab", ""),
            ("http://a.example/", "n=v; Path=/a", "http://a.example/a?b", "n=v"),
            ("http://a.example/", "n=v; Path=/a/", "http://a.example/a/b", "n=v"),
            ("http://a.example/", "n=v; Max-Age=0", "http://a.example/", ""),
            ("http://a.example/", "n=v; Max-Age=-5", "http://a.example/", ""),
            ("http://a.example/", "n=v; Max-Age=x", "http://a.example/", "n=v"),
            ("http://a.example/", "n=v; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.example/", "n=v"),
            ("http://a.example/", "n=v; Expires=Thu, 01-Jan-1970 00:00:00 GMT", "http://a.example/", ""),
            ("http://a.example/", "n=v; Expires=never", "http://a.example/", "n=v"),
            ("http://a.example/", "=v", "http://a.example/", ""),
            ("http://a.example/", "nonsense", "http://a.example/", ""),
            ("http://a.example/", "n=" + "v" * 5000, "http://a.example/", ""),
            ("http://a.example/", "n=\"a b\" ; HttpOnly", "http://a.example/", "n=\"a b\""),
            ("http://a.example/", "__Secure-n=v", "http://a.example/", ""),
            ("https://a.example/", "__Host-n=v; Secure; Path=/", "https://a.example/", "__Host-n=v"),
            ("https://a.example/", "__Host-n=v; Secure; Path=/; Domain=a.example", "https://a.example/", ""))
        for by, line, asked, expected in table:
            jar = circuits_web.CookieJar()
            jar.take(by, [line])
            self.assertEqual(jar.header(asked), expected, (by, line, asked))

    def test_cookies_are_replaced_expire_and_are_ordered(self):
        clock = FakeClock()
        jar = circuits_web.CookieJar(clock)
        jar.take("http://a.example/", ["a=1", "b=2; Path=/x", "c=3; Max-Age=10", "a=4"])
        self.assertEqual(jar.header("http://a.example/x"), "b=2; a=4; c=3")
        clock.advance(11)
        self.assertEqual(jar.header("http://a.example/x"), "b=2; a=4")
        self.assertEqual(sorted(jar), [("a.example", "/", "a", "4"), ("a.example", "/x", "b", "2")])
        jar.take("http://a.example/", ["a=; Max-Age=0"])
        self.assertEqual(jar.header("http://a.example/"), "")
        jar.clear()
        self.assertEqual((len(jar), jar.header("http://a.example/x")), (0, ""))

    def test_http_does_not_touch_the_cookies_of_https(self):
        jar = circuits_web.CookieJar()
        jar.take("https://a.example/", ["n=good; Secure"])
        jar.take("http://a.example/", ["n=evil", "n=evil; Path=/x", "n=evil; Domain=a.example"])
        jar.take("http://b.a.example/", ["n=evil; Domain=a.example", "N=other; Domain=a.example"])
        self.assertEqual(jar.header("https://a.example/x"), "n=good; N=other")
        jar.take("https://a.example/", ["n=new"])           # its server may
        self.assertEqual(jar.header("http://a.example/"), "n=new; N=other")
        jar.take("https://a.example/", ["n=again; Secure"])
        jar.take("https://a.example/", ["n=; Max-Age=0"])
        self.assertEqual(jar.header("https://a.example/"), "N=other")

    def test_a_unix_socket_is_not_localhost(self):
        client = circuits_web.Client()
        for url, kept in (("http+unix://%2Fx/", 0), ("http://localhost/", 1)):
            response = circuits_web.ResponseObject(200)
            client._take_cookies(client._order("GET", url, *[None] * 9), response, ["a=b"])
            self.assertEqual((len(client.cookies), response.cookies), (kept, {"a": "b"}))
        self.assertNotIn(b"Cookie", client._order("GET", "http+unix://%2Fx/", *[None] * 9).head())

    def test_cookies_of_https_are_out_of_reach_of_http(self):
        now = [1000.0]
        jar = circuits_web.CookieJar(clock=lambda: now[0])
        jar.take("https://a.example/", ["s=safe; Secure; Max-Age=60"])
        jar.take("http://a.example/", ["s=forged", "t=plain"])
        jar.take("http://b.a.example/", ["s=forged; Domain=a.example", "s=forged"])
        self.assertEqual(jar.header("https://a.example/"), "s=safe; t=plain")
        jar.take("https://a.example/", ["s=safer; Secure; Max-Age=60"])
        jar.take("http://a.example/", ["s=forged"])
        self.assertEqual(jar.header("https://a.example/"), "s=safer; t=plain")
        jar.take("https://a.example/", ["s=open"])      # its own server may
        jar.take("http://a.example/", ["s=changed"])
        self.assertEqual(jar.header("http://a.example/"), "s=changed; t=plain")
        jar.take("https://a.example/", ["u=safe; Secure; Max-Age=60"])
        now[0] += 61
        jar.take("https://a.example/", ["u=; Max-Age=0"])
        jar.take("http://a.example/", ["u=new"])        # there is nothing to protect any more
        self.assertEqual(jar.header("http://a.example/"), "s=changed; t=plain; u=new")
        jar.take("https://a.example/", ["v=1; Secure"])
        jar.clear()
        jar.take("http://a.example/", ["v=2"])
        self.assertEqual((jar.header("https://a.example/"), len(jar)), ("v=2", 1))

    def test_many_cookies_take_linear_time(self):
        def seconds(n):
            jar, began = circuits_web.CookieJar(), time.process_time()
            for i in range(n):
                jar.take("http://a%d.example/" % i, ["n=v"])
            return time.process_time() - began
        for _ in range(5):
            if seconds(3000) < 40 * seconds(300):
                return
        self.fail("ten times as many took more than forty times as long")

    def test_cookies_are_bounded(self):
        jar = circuits_web.CookieJar()
        for n in range(circuits_web.MAX_COOKIES_PER_HOST * 3):
            jar.take("http://a.example/", ["n%d=v" % n])
        self.assertEqual(len(jar), circuits_web.MAX_COOKIES_PER_HOST)
        self.assertTrue(jar.header("http://a.example/").startswith("n100="))
        for n in range(circuits_web.MAX_COOKIES + 100):
            jar.take("http://a%d.example/" % n, ["n=v"])
        self.assertEqual(len(jar), circuits_web.MAX_COOKIES)
        self.assertEqual((jar.header("http://a.example/"), jar.header("http://a99.example/")), ("", ""))

    def test_cookies_of_the_user_are_checked(self):
        check = circuits_web._cookie_pairs
        self.assertEqual(check({"a": 1, "b": '"x"'}), 'a=1; b="x"')
        for bad in ({"a": "b; c=d"}, {"a": "b\r\nX: y"}, {"a b": "c"}, {"a": "\u00fc"}, {"": "x"}, {"a": "b c"}):
            with self.assertRaisesRegex(ValueError, "cannot be sent"):
                check(bad)

    def order(self, method, url, **options):
        client = circuits_web.Client()
        return client._order(method, url, None, options.pop("data", None), None, None,
                             *[options.pop(name, None) for name in ("headers", "cookies", "auth", "timeout")], False)

    def redirected(self, order, status, location):
        response = circuits_web.ResponseObject(status)
        response.headers["Location"] = location
        return order.again(response)

    def test_redirects(self):
        for method, data, status, expected in (
                ("GET", None, 301, "GET"), ("HEAD", None, 302, "HEAD"), ("POST", b"x", 301, "GET"),
                ("POST", b"x", 302, "GET"), ("POST", b"x", 303, "GET"), ("PUT", b"x", 303, "GET"),
                ("PUT", b"x", 302, "PUT"), ("DELETE", None, 301, "DELETE"), ("HEAD", None, 303, "HEAD"),
                ("POST", b"x", 307, "POST"), ("POST", b"x", 308, "POST"), ("GET", None, 308, "GET")):
            order = self.order(method, "http://a/b/c?d", data=data, headers={"Content-Type": "x/y"})
            self.assertTrue(self.redirected(order, status, "e"))
            self.assertEqual((order.method, str(order.url)), (expected, "http://a/b/e"))
            dropped = method != expected
            self.assertEqual((order.body is None, order.headers.get("Content-Type")),
                             (data is None or dropped, None if dropped and data else "x/y"), (method, status))
        order = self.order("GET", "http://a/")
        for status, location in ((200, "/x"), (304, "/x"), (300, "/x"), (305, "http://p/")):
            self.assertFalse(self.redirected(order, status, location))
        self.assertFalse(order.again(circuits_web.ResponseObject(302)))

    def test_where_a_location_leads(self):
        for location, expected in (
                ("/x", "http://a/x"), ("?q", "http://a/b?q"), ("//e/x", "http://e/x"), ("../x", "http://a/x"),
                ("http://u:p@e:81/", "http://e:81/"), ("/caf\xc3\xa9 x", "http://a/caf%C3%A9%20x"),
                ("https://a/#f", "https://a/"), ("", "http://a/b")):
            order = self.order("GET", "http://a/b")
            self.assertTrue(self.redirected(order, 302, location))
            self.assertEqual((str(order.url), order.url.login), (expected, None))
        for base in ("http+unix://%2Fx.sock/a/b", "https://a/a/b"):
            for location, target in (("/x", "/x"), ("c?d", "/a/c?d"), ("/x://y", "/x://y"), ("/?u=http://e/", "/?u=http://e/")):
                order = self.order("GET", base)
                self.assertTrue(self.redirected(order, 302, location))
                self.assertEqual(order.url.origin + (order.url.target,), circuits_web._parse_url(base).origin + (target,))
        order = self.order("GET", "https://a/")
        self.redirected(order, 302, "//e/x")
        self.assertEqual(str(order.url), "https://e/x")
        for base in ("http+unix://%2Fx.sock/", "http://a/"):
            with self.assertRaisesRegex(circuits_web.BadResponse, "a socket of this machine"):
                self.redirected(self.order("GET", base), 302, "http+unix://%2Fy.sock/")
        for location in ("file:///etc/passwd", "ftp://e/", "javascript:alert(1)", "http://a@b@c/",
                         "http+unix://%2Frun%2Fdocker.sock/", "http://e\\@a/", "data:text/plain,x", "http://:0/"):
            with self.assertRaisesRegex(circuits_web.BadResponse, "redirected to", msg=location):
                self.redirected(self.order("GET", "http://a/"), 302, location)

    def test_credentials_stay_with_their_origin(self):
        secret = {"Authorization": "token", "cookie": "a=b", "Host": "a", "X-Other": "kept",
                  "Proxy-Authorization": "token"}
        for location, kept in (("http://a/x", True), ("http://a:81/", False), ("https://a/", False),
                               ("http://b/", False), ("http://a.b/", False)):
            for options in ({"headers": secret}, {"auth": ("bob", "pw"), "cookies": {"a": "b"}}):
                order = self.order("GET", "http://a/", **options)
                self.redirected(order, 302, location)
                head = order.head().decode()
                for name in ("Authorization: ", "ookie: "):
                    self.assertEqual(name in head, kept, (location, options))
                self.assertEqual("X-Other" in head, "headers" in options)
                self.assertEqual("Host: " + order.url.netloc in head, not kept or order.url.netloc == "a")
        order = self.order("GET", "http://bob:pw@a/")
        self.assertIn(b"Authorization: Basic Ym9iOnB3\r\n", order.head())
        self.assertNotIn("pw", str(order))
        self.redirected(order, 302, "http://b/")
        self.redirected(order, 302, "http://a/")         # back again: still without
        self.assertNotIn(b"Authorization", order.head())

    def test_bodies_that_cannot_follow(self):
        with self.assertRaisesRegex(circuits_web.ClientError, "cannot be sent again"):
            self.redirected(self.order("POST", "http://a/", data=iter([b"x"])), 307, "/x")
        with self.assertRaisesRegex(circuits_web.BadResponse, "without TLS"):
            self.redirected(self.order("POST", "https://a/", data=b"x"), 307, "http://a/x")

    def test_the_head_that_goes_out(self):
        order = self.order("post", "http://a:81/x", data={"a": "b"}, headers={"User-Agent": None, "X-A": [1, b"2"]},
                           cookies={"c": "d"})
        self.assertEqual(order.head().split(b"\r\n"), [
            b"POST /x HTTP/1.1", b"Host: a:81", b"Accept: */*", b"Accept-Encoding: gzip, deflate",
            b"X-A: 1", b"X-A: 2", b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 3",
            b"Cookie: c=d", b"", b""])
        order = self.order("GET", "http://a/", headers={"Cookie": "mine=1"}, cookies={"c": "d"})
        self.assertEqual(order.head().count(b"ookie:"), 1)
        self.assertIn(b"\r\nContent-Length: 0\r\n", self.order("PUT", "http://a/").head())
        self.assertNotIn(b"Content-Length", self.order("GET", "http://a/").head())
        self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", self.order("GET", "http://a/", data=iter([])).head())

    def test_what_goes_out_is_checked(self):
        for wrong in (("GET\r\nX: y", "http://a/"), ("GE T", "http://a/"), ("", "http://a/"), ("CONNECT", "http://a/"),
                      ("GET", "http://a/\r\nX: y"), ("GET", "http://a\r\nX: y/")):
            with self.assertRaises(ValueError):
                self.order(*wrong)
        for headers in ({"A\r\nB": "c"}, {"A": "b\r\nC: d"}, {"A": "\u0100"}, {"A b": "c"}, {"Content-Length": "5"},
                        {"Transfer-Encoding": "chunked"}, {"Connection": "upgrade"}, {"": "x"}, {"A:": "b"}):
            with self.assertRaises(ValueError, msg=headers):
                self.order("GET", "http://a/", headers=headers)
        for auth in (("a:b", "c"), ("a\r\n", "b"), ("a", "b\0")):
            with self.assertRaisesRegex(ValueError, "no colon"):
                self.order("GET", "http://a/", auth=auth)

    def test_credentials_stay_out_of_errors(self):
        for text in ("ftp://bob:secret@h/", "http://bob:secret@h h/", "http://bob:secret@a@h/", "http://bob:secret@h:0/", "bob:secret@h"):
            with self.assertRaises(ValueError) as caught:
                circuits_web._parse_url(text)
            self.assertNotIn("secret", str(caught.exception))

    def test_parameters_and_ranges(self):
        client = circuits_web.Client()
        order = client._order("GET", "http://bob:pw@h/x?a#f", {"b": "c"}, *(None,) * 7, False)
        self.assertEqual((order.url.target, order.url.login), ("/x?a&b=c", ("bob", "pw")))
        for headers, expected in (({"Range": "bytes=0-"}, None), ({"Range": "bytes=0-", "Accept-Encoding": "x"}, "x"), ({}, "gzip, deflate")):
            self.assertEqual(self.order("GET", "http://a/", headers=headers).headers["accept-encoding"], expected)

    def test_no_nonsense_raises_another_error(self):
        """What a server or a user may write, at random: only the declared errors."""
        chooser = random.Random(4711)
        words = ["http://", "a", "=", ";", ",", '"', "\\", "\u00fc", "%", "@", ":", "/", "?", "#", "[", "]", " ", "\t", "domain=", "path=",
                 "expires=", "max-age=", "-", "9" * 30, "a.b", ".", "..", "Digest ", "realm=", "nonce=", "qop=auth", "secure", "__Host-"]
        jar, auth = circuits_web.CookieJar(), circuits_web.DigestAuth("a", "b")
        base = circuits_web._parse_url("http://a.b/c")
        for _ in range(3000):
            text = "".join(chooser.choice(words) for _ in range(chooser.randrange(12)))
            jar.take("http://a.b/", [text])
            circuits_web.check_header("Cookie", jar.header("https://a.b/"))
            if auth.challenged(base, [text]):
                circuits_web.check_header("Authorization", auth.value(base, "GET"))
            for parse in (circuits_web._parse_url, base.join):
                try:
                    url = parse(text)
                except ValueError:
                    continue
                self.assertEqual(circuits_web._parse_url(str(url)).origin, url.origin)
                self.assertTrue(url.target.isascii() and url.target.isprintable() and " " not in url.target)

    def test_timeouts(self):
        for timeout, expected in ((None, (5.0, 60.0, 300.0)), (7, (5.0, 60.0, 7)), ((1, 2), (1, 2, 300.0)),
                                  ((1, None, 3), (1, 60.0, 3)), ((1,), (1, 60.0, 300.0))):
            order = self.order("GET", "http://a/", timeout=timeout)
            self.assertEqual((order.connect_timeout, order.read_timeout, order.timeout), expected)
        for timeout in (0, -1, float("nan"), (0, 1), (1, 0), (1, 1, float("nan"))):
            with self.assertRaisesRegex(ValueError, "a timeout is seconds"):
                self.order("GET", "http://a/", timeout=timeout)
        for host in ("a b", "a/b", "a:x", ["a", "b"]):
            with self.assertRaisesRegex(ValueError, "Host is one name"):
                self.order("GET", "http://a/", headers={"Host": host})

    def test_options_are_checked(self):
        for options in ({"url": "nonsense"}, {"proxy": "https://a/"}, {"proxy": "a:1"}, {"headers": {"A": "\r\n"}},
                        {"max_per_host": 0}, {"max_connections": 0}, {"auth": ("a", "b")}, {"headers": [("Connection", "keep-alive")]}):
            with self.assertRaises(ValueError):
                circuits_web.Client(**options)

    def test_challenges(self):
        read = circuits_web._challenges
        self.assertEqual(read(['Digest realm="a, b\\"c", qop="auth,auth-int", nonce="x=="', "Negotiate", 'Basic realm=x']), [
            {"scheme": "digest", "realm": 'a, b"c', "qop": "auth,auth-int", "nonce": "x=="},
            {"scheme": "negotiate"}, {"scheme": "basic", "realm": "x"}])
        for nonsense in ("", ",,,", "=", "a=b", '"', 'Digest realm="', "x" * 100000, "a " * 50000, "a=b," * 50000):
            read([nonsense])

    def test_the_digest_of_the_rfc(self):
        """RFC 7616, 3.9.1, with the nonces given there."""
        import secrets
        original, secrets.token_hex = secrets.token_hex, lambda size: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
        self.addCleanup(setattr, secrets, "token_hex", original)
        auth = circuits_web.DigestAuth("Mufasa", "Circle of Life")
        url = circuits_web._parse_url("http://api.example.org/dir/index.html")
        self.assertIsNone(auth.value(url, "GET"))
        lines = ['Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%s, '
                 'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
                 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' % name for name in ("MD5", "SHA-256")]
        self.assertTrue(auth.challenged(url, lines))
        value = auth.value(url, "GET")
        self.assertIn('response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"', value)
        self.assertIn('algorithm=SHA-256, ', value)
        self.assertTrue(auth.challenged(url, lines[:1]))
        self.assertIn('response="8ca523f5e9506fed4657c9700eebdbec"', auth.value(url, "GET"))
        self.assertIn("nc=00000002", auth.value(url, "GET"))
        self.assertIsNone(auth.value(circuits_web._parse_url("http://other/dir/index.html"), "GET"))
        for line in ("Digest realm=x, nonce=y", "Digest realm=x, nonce=y, qop=auth-int", "Basic realm=x",
                     "Digest realm=x, nonce=y, qop=auth, algorithm=CRC"):
            self.assertFalse(auth.challenged(url, [line]), line)

    def test_what_is_decompressed_comes_in_pieces(self):
        import zlib
        text = b"0123456789abcdef" * 20000

        def deflated(bits):
            engine = zlib.compressobj(9, zlib.DEFLATED, bits)
            return engine.compress(text) + engine.flush()
        for coding, data in (("gzip", deflated(31)), ("x-gzip", deflated(31)), ("deflate", deflated(15)),
                             ("deflate", deflated(-15)), ("gzip", deflated(31) + b"\0" * 100)):
            for size in (1, 7, len(data)):
                inflater, out = circuits_web._Inflater(coding), []
                for at in range(0, len(data), size):
                    inflater.feed(data[at:at + size])
                    out.extend(iter(inflater.piece, b""))
                self.assertEqual(b"".join(out), text)
                self.assertLessEqual(max(map(len, out)), circuits_web.MAX_PIECE)
                self.assertTrue(inflater.complete)
            inflater = circuits_web._Inflater(coding)
            inflater.feed(data[:len(data) // 3])
            list(iter(inflater.piece, b""))
            self.assertFalse(inflater.complete)
        data = deflated(31)
        for cut in (1, len(data), len(data) + 1, len(data) + 2):    # two members are one body
            inflater, out = circuits_web._Inflater("gzip"), []
            for part in ((data * 2)[:cut], (data * 2)[cut:], b"\x1f", b"\0"):
                inflater.feed(part)
                out.extend(iter(inflater.piece, b""))
            self.assertEqual(b"".join(out), text * 2)
        self.assertTrue(circuits_web._Inflater("gzip").complete)
        for coding in ("gzip", "deflate"):
            inflater = circuits_web._Inflater(coding)
            inflater.feed(b"\xff" * 100)
            self.assertRaises(inflater.error, inflater.piece)

    def test_response_object_as_documented(self):
        response = circuits_web.ResponseObject(200, "OK", (1, 1))
        response.headers["Content-Type"] = "text/html; charset=iso-8859-1"
        response._content = b"caf\xe9"
        self.assertEqual((response.status, response.message, response.reason, response.protocol, response.ok),
                         (200, "OK", "OK", (1, 1), True))
        self.assertEqual(repr(response), "<ResponseObject 200 text/html (4)>")
        self.assertEqual((response.text, response.read(2), response.read(), response.body.read()),
                         ("caf\u00e9", b"ca", b"f\xe9", b""))
        self.assertIs(response.raise_for_status(), response)
        for charset in ("nonsense", "hex", "undefined", "idna"):
            response.encoding = charset
            self.assertIsInstance(response.text, str)


class ScriptedServer:
    """A server that says exactly what a test wrote down.

    script  for each connection a list of answers, one per request; after the
            last it hangs up.  An answer is bytes, a list of bytes that are
            sent one by one, or a function that gets the socket and the request
    """

    def __init__(self, test, *script, context=None, address=None):
        self.requests = []          # (number of the connection, bytes) of each
        self.script = list(script)
        self.listener = socket.create_server(("127.0.0.1", 0)) if address is None else address
        self.port = self.listener.getsockname()[1] if address is None else None
        self.base = "http://127.0.0.1:%s" % self.port
        self.context = context
        self.connections = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        test.addCleanup(self.end)

    def run(self):
        threads = []
        for number, answers in enumerate(self.script):
            try:
                sock = self.listener.accept()[0]
            except OSError:
                break
            self.connections += 1
            threads.append(threading.Thread(target=self.serve, args=(number, sock, answers), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join(PATIENCE)

    def serve(self, number, sock, answers):
        sock.settimeout(PATIENCE)
        try:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            for answer in answers:
                request = self.read(sock)
                if request is None:
                    break
                self.requests.append((number, request))
                if callable(answer):
                    answer(sock, request)
                else:
                    for piece in [answer] if isinstance(answer, bytes) else answer:
                        sock.sendall(piece)
        except OSError:
            pass                    # the client hung up
        finally:
            sock.close()

    @staticmethod
    def read(sock):
        """One request with its body; None at the end."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        while length and len(body) < int(length.group(1)) or (
                b"chunked" in head and not body.endswith(b"0\r\n\r\n")):
            body += sock.recv(65536)
        return head + b"\r\n\r\n" + body

    def end(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join(PATIENCE)


def answer(body=b"ok", status=b"200 OK", *headers):
    """An answer with its length."""
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (
        status, len(body), b"".join(header + b"\r\n" for header in headers), body)


class ClientTest(WebTest):
    """Runs a coroutine or generator function of a client in a tree of its own."""

    def fetch(self, function, client=None, *components, **options):
        """What ``function(client)`` comes to; its error is raised."""
        outcome = []
        client = circuits_web.Client(**options) if client is None else client

        class App(Component):
            async def started(self, component):
                try:
                    outcome.append(await function(client))
                except Exception as error:
                    outcome.append(error)
                self.stop()
        app = App()
        client.register(app)
        for component in components:
            component.register(app)
        app.run()
        self.assertEqual([link for link in client._transport.components if link.connected], [])
        if isinstance(outcome[0], Exception):
            try:
                raise outcome[0]
            finally:
                del outcome[:]
        return outcome[0]

    def script(self, *script, **options):
        return ScriptedServer(self, *script, **options)

    def one(self, *pieces, method="GET", request=None, **options):
        """The response to a request whose answer is *pieces*; then the server hangs up."""
        server = self.script([list(pieces)])
        self.server = server
        return self.fetch(lambda client: client.request(method, server.base + "/x", **(request or {})), **options)

    def assertFails(self, text, *pieces, kind=None, **options):
        with self.assertRaisesRegex(kind or circuits_web.BadResponse, text) as caught:
            self.one(*pieces, **options)
        self.assertIn("http://127.0.0.1:%d/x: " % self.server.port, str(caught.exception))


class TestClientFraming(ClientTest):
    """What a server may send, and what it may not."""

    def test_whole_bytewise_and_in_pieces(self):
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nHe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n"
        for data, body in ((answer(b"Hello"), b"Hello"), (chunked, b"Hello"),
                           (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b""),
                           (b"HTTP/1.0 200 OK\r\n\r\nHello", b"Hello"),
                           (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
                           (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + answer(b"Hello"), b"Hello"),
                           (b"HTTP/1.1 204 No Content\r\n\r\n", b""), (b"HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", b"")):
            for pieces in ([data], [data[:20], data[20:]], [data[i:i + 1] for i in range(len(data))]):
                response = self.one(*pieces)
                self.assertEqual(response.content, body, data)
                self.assertIn(response.status, (200, 204, 304))

    def test_head_has_no_body(self):
        response = self.one(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", method="HEAD")
        self.assertEqual((response.content, response.headers["Content-Length"]), (b"", "1000"))

    def test_bad_framing(self):
        for text, data in (
                ("repeated content-length", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
                ("both", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
                ("no number", b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na"),
                ("no number", b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\na"),
                ("not end in chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n"),
                ("other than chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
                ("chunk size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n"),
                ("longer than it says", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabcd\r\n"),
                ("bare line end", b"HTTP/1.1 200 OK\nContent-Length: 1\n\na"),
                ("bare line end", b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n"),
                ("strange character", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n"),
                ("strange character", b"HTTP/1.1 200 OK\r\n folded: b\r\n\r\n"),
                ("strange status line", b"HTTP/2.0 200 OK\r\n\r\n"), ("strange status line", b"HTTP/1.1 99 OK\r\n\r\n"),
                ("strange status line", b"HTTP/1.1 +200 OK\r\n\r\n"), ("not HTTP", b"\x16\x03\x01\x02"),
                ("strange status line", b"220 ready\r\n\r\n"), ("", b"SSH-2.0-OpenSSH\r\n")):
            self.assertFails(text, data)

    def test_cut_off(self):
        whole = answer(b"Hello")
        for cut in range(len(whole)):
            self.assertFails("ended", whole[:cut])
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n"
        for cut in range(1, 16):
            self.assertFails("ended within the body", chunked[:-cut])

    def test_limits(self):
        for text, data, options in (
                ("headers are too large", b"HTTP/1.1 200 OK\r\n" + b"A: %b\r\n" % (b"b" * 70000), {}),
                ("headers are too large", b"HTTP/1.1 200 OK\r\nA: %b\r\n\r\n" % (b"b" * 2000), {"max_header_bytes": 1000}),
                ("more than 100 headers", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n", {}),
                ("first line is too long", b"HTTP/1.1 200 " + b"x" * 9000, {}),
                ("body is too large", b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", {"max_body": 1000}),
                ("body is too large", b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % (b"9" * 30), {}),
                ("body is too large", b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001, {"max_body": 1000}),
                ("chunk is too large|body is too large", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", {}),
                ("trailers are too large", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 200 + b"\r\n", {}),
                ("interim", b"HTTP/1.1 100 Continue\r\n\r\n" * 50, {}),
                ("another protocol", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", {})):
            self.assertFails(text, data, **options)
            self.assertFails(text, *[data[i:i + 1000] for i in range(0, len(data), 1000)], **options)

    def test_gzip(self):
        import gzip
        import zlib
        text = b"Hello World!" * 1000
        for coding, data in ((b"gzip", gzip.compress(text)), (b"deflate", zlib.compress(text)), (b"GZIP", gzip.compress(text))):
            response = self.one(answer(data, b"200 OK", b"Content-Encoding: " + coding))
            self.assertEqual(response.content, text)
        self.assertEqual(self.one(answer(b"as it is", b"200 OK", b"Content-Encoding: br")).content, b"as it is")
        self.assertEqual(self.one(answer(b"", b"200 OK", b"Content-Encoding: gzip")).content, b"")
        self.assertFails("cut off", answer(gzip.compress(text)[:-1], b"200 OK", b"Content-Encoding: gzip"))
        self.assertFails("not compressed", answer(text, b"200 OK", b"Content-Encoding: gzip"))

    def test_a_bomb_does_not_go_off(self):
        import zlib
        engine = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join([engine.compress(bytes(1 << 20)) for _ in range(64)] + [engine.flush()])
        self.assertLess(len(bomb), 70000)
        data = answer(bomb, b"200 OK", b"Content-Encoding: gzip")
        self.assertFails("larger than 1000000 bytes", data, max_body=1000000)
        server = self.script([data])

        async def stream(client):
            sizes = []
            async for piece in await client.get(server.base, stream=True):
                sizes.append(len(piece))
            return sum(sizes), max(sizes)
        self.assertEqual(self.fetch(stream), (64 << 20, circuits_web.MAX_PIECE))

    def test_text(self):
        for kind, body, text in (
                (b"text/plain; charset=ISO-8859-1", b"caf\xe9", "caf\u00e9"), (b"text/plain", b"caf\xc3\xa9", "caf\u00e9"),
                (b"text/plain; charset=\"utf-8\"", b"\xff", "\ufffd"), (b"text/plain; charset=nonsense", b"a", "a")):
            self.assertEqual(self.one(answer(body, b"200 OK", b"Content-Type: " + kind)).text, text)
        self.assertEqual(self.one(answer(b'{"a": "\xc3\xa9"}')).json(), {"a": "\u00e9"})
        self.assertEqual(self.one(answer("[1]".encode("utf-16"))).json(), [1])
        with self.assertRaises(ValueError):
            self.one(answer(b"<html>")).json()

    def test_tolerated(self):
        response = self.one(b"HTTP/1.1 200 OK\r\nServer: a\r\nServer: b\r\nContent-Type: x/y\r\nContent-Type: x/z\r\n"
                            b"Empty:\r\nX: caf\xe9\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual((response.text, response.headers.get_all("server"), response.headers["x"], response.headers["empty"]),
                         ("ok", ["a", "b"], "caf\u00e9", ""))

    def test_raise_for_status(self):
        response = self.one(answer(b"no", b"404 Not Found"))
        self.assertFalse(response.ok)
        with self.assertRaisesRegex(circuits_web.StatusError, "/x answers 404 Not Found") as caught:
            response.raise_for_status()
        self.assertIs(caught.exception.response, response)


class TestClientConnections(ClientTest):
    """When connections are kept, and what becomes of them."""

    def two(self, first, second=b"", method="GET", between=None, **options):
        """Ask twice; returns the number of connections and the second response or error."""
        server = self.script([first, second] if second else [first], [answer(b"fresh")], [answer(b"late")])

        async def ask(client):
            await (await client.get(server.base, stream=True)).load()
            if between:
                await between(server, client)
            return await client.request(method, server.base, **options)
        try:
            outcome = self.fetch(ask)
        except circuits_web.ClientError as error:
            outcome = error
        return server.connections, getattr(outcome, "text", outcome)

    def test_kept(self):
        for first in (answer(), b"HTTP/1.1 204 No\r\n\r\n", answer(b"", b"200 OK"),
                      b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
                      b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"):
            self.assertEqual(self.two(first, answer(b"same")), (1, "same"))

    def test_not_kept(self):
        for first in (answer(b"ok", b"200 OK", b"Connection: close"), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
                      answer() + b"more", answer() + answer(b"unasked"), answer() + b"\r\n"):
            self.assertEqual(self.two(first, answer(b"same")), (2, "fresh"), first)

    def test_what_comes_unasked_ends_it(self):
        async def later(server, client):
            server.go.set()
            while client._idle:
                await sleep(0.001)
        go = threading.Event()

        def and_more(sock, request):
            sock.sendall(answer())
            go.wait(PATIENCE)
            sock.sendall(answer(b"smuggled"))
            sock.recv(1)
        original = ScriptedServer.go = go
        self.addCleanup(delattr, ScriptedServer, "go")
        self.assertEqual(self.two(and_more, answer(b"same"), between=later), (2, "fresh"))
        self.assertIs(original, go)

    def test_a_kept_one_that_was_closed_is_replaced_once(self):
        def and_close(sock, request):
            sock.close()
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            connections, text = self.two(answer(), and_close, method)
            self.assertEqual((connections, text), (2, "" if method == "HEAD" else "fresh"))
        connections, error = self.two(answer(), and_close, "POST", data=b"x")
        self.assertEqual(connections, 1)
        self.assertIn("kept connection just as the request was sent: repeat it", str(error))
        connections, error = self.two(answer(), and_close, "PUT", data=iter([b"x"]))
        self.assertIn("kept connection", str(error))

    def test_what_came_meanwhile_is_no_answer(self):
        """A 408 that the loop has not seen yet, and a close: neither spoils a POST."""
        for last in (b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n", b""):
            sent = threading.Event()

            def and_more(sock, request):
                sock.sendall(answer())
                quiet.wait(PATIENCE)
                if last:
                    sock.sendall(last)
                else:
                    sock.shutdown(socket.SHUT_WR)
                sent.set()
                sock.recv(1)
            quiet = threading.Event()
            server = self.script([and_more], [answer(b"fresh")])

            async def ask(client):
                await client.get(server.base)
                quiet.set()
                sent.wait(PATIENCE)                 # the loop sees nothing of it
                return await client.post(server.base, b"x")
            self.assertEqual(self.fetch(ask).text, "fresh")
            self.assertEqual(len(server.requests), 2)

    def test_one_that_ends_while_it_is_handed_over(self):
        def and_close(sock, request):
            time.sleep(0.01)
            sock.sendall(answer(b"one") + b"x")     # no use for another request
        server = self.script([and_close], [answer(b"two")], [answer(b"three")])

        async def many(client):
            async with circuits.group(client) as tasks:
                values = [tasks.start(client.get(server.base)) for _ in range(3)]
            return [value.value.text for value in values]
        self.assertEqual(self.fetch(many, max_per_host=1), ["one", "two", "three"])

    def test_what_a_parent_process_kept_is_not_used(self):
        server = self.script([answer(b"parent"), answer(b"no")], [answer(b"child")])

        async def ask(client):
            await client.get(server.base)
            client._pid = -1                        # as after fork()
            return (await client.get(server.base)).text
        self.assertEqual(self.fetch(ask), "child")

    def test_large_headers_do_not_wait_for_themselves(self):
        head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 990) for n in range(90))
        server = self.script([[head[:70000], head[70000:], b"Content-Length: 2\r\n\r\nok"]])
        response = self.fetch(lambda client: client.get(server.base, timeout=PATIENCE), max_header_bytes=100000)
        self.assertEqual((response.text, len(response.headers)), ("ok", 91))

    def test_the_replacement_is_not_replaced(self):
        def and_close(sock, request):
            sock.close()
        server = self.script([answer(), and_close], [and_close], [answer(b"third")])

        async def ask(client):
            await client.get(server.base)
            return await client.get(server.base)
        with self.assertRaisesRegex(circuits_web.BadResponse, "ended before the response"):
            self.fetch(ask)
        self.assertEqual(server.connections, 2)

    def test_half_an_answer_is_not_asked_for_again(self):
        def and_close(sock, request):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
            sock.close()
        connections, error = self.two(answer(), and_close)
        self.assertEqual(connections, 1)
        self.assertIn("ended within the head", str(error))
        connections, error = self.two(answer(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(connections, 1)
        self.assertIn("ended before the response", str(error))

    def test_an_answer_to_half_a_request_ends_the_connection(self):
        def read(sock):
            data = b""
            while not data.endswith(b"half\r\n") and b"GET /" not in data:
                piece = sock.recv(65536)
                if not piece:
                    return None
                data += piece
            return data

        async def ask(client):
            async def body():
                yield b"half"
                while not list(client._transport.components)[0].heard:
                    await sleep(0.001)
                yield b"more"
            return (await client.post(server.base, body())).text, (await client.get(server.base)).text
        server = self.script([answer(b"early"), answer(b"same")], [answer(b"fresh")])
        server.read = read
        self.assertEqual(self.fetch(ask), ("early", "fresh"))

    def test_what_an_idle_server_says_ends_it(self):
        server = self.script([answer(), answer(b"same")], [answer(b"fresh")])

        async def ask(client):
            await client.get(server.base)
            link, = client._idle
            link.take(answer(b"smuggled"))
            self.assertTrue(link.gone)
            return (await client.get(server.base)).text
        self.assertEqual(self.fetch(ask), "fresh")

    def test_the_body_of_a_redirect_is_not_read_for_ever(self):
        def endless(sock, request):
            sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                sock.sendall(b"1000\r\n%b\r\n" % bytes(4096))
        server = self.script([endless], [answer(b"there")])
        self.assertEqual(self.fetch(lambda client: client.get(server.base, timeout=PATIENCE)).text, "there")

    def test_closed_after_idle_time(self):
        ended = threading.Event()

        def wait(sock, request):
            sock.sendall(answer())
            if not sock.recv(1):
                ended.set()
        server = self.script([wait])

        async def ask(client):
            await client.get(server.base)
            while client._transport.components:
                await sleep(0.001)
            return client.connected, client._links, client._idle
        self.assertEqual(self.fetch(ask, idle_timeout=0.02), (False, {}, {}))
        self.assertTrue(ended.wait(PATIENCE))

    def test_limits_of_connections(self):
        inside, most = [], []

        def slow(sock, request):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
            sock.sendall(answer(request.split()[1]))
        script = [[slow] * 40] * 8
        for options, expected in (({"max_per_host": 3}, 3), ({"max_connections": 2}, 2), ({}, 8)):
            server = self.script(*script)
            del most[:]

            async def many(client):
                async with circuits.group(client) as tasks:
                    values = [tasks.start(client.get("%s/%d" % (server.base, n))) for n in range(40)]
                return [value.value.text for value in values], client._turns
            texts, waiting = self.fetch(many, **options)
            self.assertEqual((texts, waiting), (["/%d" % n for n in range(40)], {}))
            self.assertEqual((server.connections, max(most)), (expected, expected))

    def test_a_full_pool_gives_up_an_idle_one_to_another_host(self):
        one, two = self.script([answer(b"one")]), self.script([answer(b"two")])

        async def ask(client):
            return [(await client.get(server.base)).text for server in (one, two)], len(client._links)
        self.assertEqual(self.fetch(ask, max_connections=1), (["one", "two"], 1))

    def test_a_crowd_before_a_silent_server_holds_nobody_up(self):
        release = threading.Event()
        silent = self.script(*[[lambda sock, request: release.wait(PATIENCE)]] * 2)
        other = self.script(*[[answer(b"%d" % n)] for n in range(40)])
        asked = []

        async def ask(client):
            take = client._take
            client._take = lambda *args: asked.append(args) or take(*args)
            async with circuits.group(client) as tasks:
                for _ in range(500):
                    tasks.start(client.get(silent.base))
                while len(client._turns.get(("", None, "http", "127.0.0.1", silent.port, None), ())) < 498:
                    await sleep(0)
                del asked[:]
                texts = [(await client.get(other.base, headers={"Connection": "close"})).text for _ in range(40)]
                self.assertLess(len(asked), 200)
                tasks.cancel()
                release.set()
            return texts, client._turns
        texts, waiting = self.fetch(ask, max_per_host=2)
        self.assertEqual((texts, waiting), (["%d" % n for n in range(40)], {}))

    def test_hosts_take_turns(self):
        def slow(sock, request):
            time.sleep(0.002)
            sock.sendall(answer(b"ok"))
        servers = [self.script(*[[slow]] * 10) for _ in range(2)]
        order = []

        async def ask(client):
            async def one(server):
                await client.get(server.base, headers={"Connection": "close"})
                order.append(servers.index(server))
            async with circuits.group(client) as tasks:
                for server in servers:
                    for _ in range(10):
                        tasks.start(one(server))
        self.fetch(ask, max_connections=1)
        self.assertGreater(order[:10].count(1), 3)

    def test_who_waits_in_vain(self):
        server = self.script([lambda sock, request: sock.recv(1)])

        async def ask(client):
            async with circuits.group(client) as tasks:
                first = tasks.start(client.get(server.base))
                await sleep(0)
                try:
                    await client.get(server.base, timeout=0.02)
                except circuits_web.ClientTimeout as error:
                    self.assertEqual(client._turns, {})
                    tasks.cancel()
                    return str(error), first
        self.assertIn("busy for 0.02 s: raise max_per_host", self.fetch(ask, max_per_host=1)[0])

    def test_cancelled_while_waiting(self):
        release = threading.Event()

        def held(sock, request):
            release.wait(PATIENCE)
            sock.sendall(answer())
        server = self.script([held, answer(b"next")])

        async def ask(client):
            async with circuits.group(client) as tasks:
                tasks.start(client.get(server.base))
                await sleep(0)
                async with circuits.group(client) as others:
                    others.start(client.get(server.base))
                    await sleep(0)
                    self.assertEqual(len(client._turns), 1)
                    others.cancel()
                self.assertEqual(client._turns, {})
                release.set()
            return (await client.get(server.base)).text
        self.assertEqual(self.fetch(ask, max_per_host=1), "next")

    def test_cancelled_or_closed_just_as_it_is_ones_turn(self):
        for close, connections in ((False, 1), (True, 2)):
            release = threading.Event()

            def held(sock, request):
                release.wait(PATIENCE)
                sock.sendall(answer())
            server = self.script([held, answer(b"next")], [answer(b"fresh"), answer(b"fresh")])

            async def ask(client):
                def handed_over(link):
                    del client._keep
                    client._keep(link)
                    link.drop() if close else others.cancel()
                client._keep = handed_over
                async with circuits.group(client) as tasks:
                    tasks.start(client.get(server.base))
                    await sleep(0)
                    async with circuits.group(client) as others:
                        others.start(client.get(server.base))
                        while not client._turns:
                            await sleep(0)
                        release.set()
                return (await client.get(server.base, timeout=5)).text, len(client._transport.components), dict(client._links)
            text, open_ones, links = self.fetch(ask, max_per_host=1)
            self.assertEqual((text, open_ones, list(links.values())), ("fresh" if close else "next", 1, [1]))
            self.assertEqual(server.connections, connections)

    def test_cancelled_in_the_middle(self):
        ended = threading.Event()

        def silent(sock, request):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
            if not sock.recv(1):
                ended.set()
        server = self.script([silent])

        async def ask(client):
            async with circuits.group(client) as tasks:
                tasks.start(client.get(server.base))
                while not any(link.heard for link in client._transport.components):
                    await sleep(0.001)
                tasks.cancel()
            return client._links
        self.assertEqual(self.fetch(ask), {})
        self.assertTrue(ended.wait(PATIENCE))

    def test_nothing_is_left_behind(self):
        self.serve(Greeter())

        async def ask(client):
            base = "http://127.0.0.1:%d/" % self.port
            counts = []
            for n in range(300):
                if n == 100:
                    counts = [len(gc.get_objects()) for _ in range(2) if gc.collect() or True]
                response = await client.get(base, headers={"Connection": "close"})
                self.assertEqual(response.text, "Hello World!")
                if n % 3 == 0:
                    try:
                        await client.get("http://127.0.0.1:1/")
                    except circuits_web.ConnectError:
                        pass
            while client._transport.components:
                await sleep(0)
            gc.collect()
            return len(gc.get_objects()) - counts[0], client._links, client._idle
        grown, links, idle = self.fetch(ask)
        self.assertLess(grown, 200)
        self.assertEqual((links, idle), ({}, {}))

    def test_refused(self):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            base = "http://127.0.0.1:%d/" % sock.getsockname()[1]
            with self.assertRaisesRegex(circuits_web.ConnectError, "GET %s: no connection to .*refused" % base):
                self.fetch(lambda client: client.get(base))

    def test_an_unknown_host(self):
        with self.assertRaisesRegex(circuits_web.ConnectError, "no connection to nowhere.invalid"):
            self.fetch(lambda client: client.get("http://nowhere.invalid/"))

    def test_timeouts(self):
        def dribble(sock, request):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                sock.sendall(b"x")
                time.sleep(0.005)
        for text, options, behaviour in (
                ("silent for 0.05 s: raise read_timeout", {"read_timeout": 0.05}, lambda sock, request: sock.recv(1)),
                ("silent for 0.05 s", {"read_timeout": 0.05},
                 lambda sock, request: (sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"), sock.recv(1))),
                ("not done after 0.05 s: raise timeout", {"timeout": 0.05}, lambda sock, request: sock.recv(1)),
                ("not done after 0.1 s", {"timeout": 0.1, "read_timeout": 0.09}, dribble)):
            server = self.script([behaviour])
            with self.assertRaisesRegex(circuits_web.ClientTimeout, text) as caught:
                self.fetch(lambda client: client.get(server.base), **options)
            self.assertIsInstance(caught.exception, circuits.TimeoutError)

    def test_connect_timeout(self):
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fill = [socket.socket() for _ in range(4)]      # the backlog is full: SYNs are dropped
        for sock in fill:
            self.addCleanup(sock.close)
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        with self.assertRaisesRegex(circuits_web.ClientTimeout, "in time: raise connect_timeout"):
            self.fetch(lambda client: client.get("http://127.0.0.1:%d/" % listener.getsockname()[1]), connect_timeout=0.05)

    def test_unix_sockets(self):
        if not hasattr(socket, "AF_UNIX"):
            self.skipTest("no UNIX sockets here")
        path = os.path.join(self.folder(), "x.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(5)
        server = self.script([answer(b"one"), answer(b"two")], [answer(b"three")], address=listener)
        url = "http+unix://%s/p?q" % urllib.parse.quote(path, "")

        async def ask(client):
            return [(await client.get(url)).text for _ in range(2)]
        self.assertEqual(self.fetch(ask), ["one", "two"])
        self.assertTrue(server.requests[0][1].startswith(b"GET /p?q HTTP/1.1\r\nHost: localhost\r\n"))
        response = self.fetch(lambda client: client.get("http://api.example/x"), uds=path)
        self.assertEqual((response.text, response.url), ("three", "http://api.example/x"))
        self.assertIn(b"Host: api.example\r\n", server.requests[2][1])
        with self.assertRaisesRegex(circuits_web.ConnectError, "no-such"):
            self.fetch(lambda client: client.get("http+unix://%2Fno-such/"))

    def test_close(self):
        async def ask(client):
            async with circuits.group(client) as tasks:
                value = tasks.start(self.failing(client.get(server.base)))
                while not any(link.connected for link in client._transport.components):
                    await sleep(0.001)
                client.fire(circuits_net.Close())
            return value.value, client.connected
        server = self.script([lambda sock, request: sock.recv(1)])
        error, connected = self.fetch(ask)
        self.assertIn("was closed", str(error))
        self.assertFalse(connected)

    @staticmethod
    async def failing(coroutine):
        try:
            return await coroutine
        except Exception as error:
            return error


class Echoing(circuits_web.Controller):
    """Says what it was asked."""

    def index(self):
        return "Hello World!"

    def echo(self, *path, **fields):
        request = self.request
        return json.dumps({
            "method": request.method, "path": path, "cookie": request.headers.get("Cookie"),
            "type": request.headers.get("Content-Type"), "authorization": request.headers.get("Authorization"),
            "fields": {k: v if isinstance(v, (str, list)) else [v.filename, v.value.decode("latin-1")]
                       for k, v in fields.items()}})

    @circuits_web.expose("raw", methods=("GET", "POST", "PUT", "PATCH", "DELETE"))
    def raw(self):
        body = self.request.body.read()
        return "%s %d %s %s" % (self.request.method, len(body), hashlib.md5(body).hexdigest(),
                                self.request.headers.get("Transfer-Encoding", "plain"))

    def to(self, code="302", where="/raw"):
        return self.redirect(where, int(code))

    def loop(self, n="0"):
        return self.redirect("/loop?n=%d" % (int(n) + 1))

    def set(self, **cookies):
        for name, value in cookies.items():
            self.response.headers.add_header("Set-Cookie", "%s=%s; Path=/" % (name, value))
        return "set"

    def basic(self):
        return circuits_web.basic_auth(self.request, self.response, "R", {"bob": "secret"}, str) \
            or "in %s" % self.request.login

    @circuits_web.expose("digest")
    def digest(self, *args, **kwargs):
        return circuits_web.digest_auth(self.request, self.response, "R", {"bob": "secret"}) \
            or "in %s" % self.request.login

    def big(self, size="5000000"):
        self.response.headers["Content-Type"] = "application/octet-stream"
        self.response.body = (bytes([n % 256]) * 10000 for n in range(int(size) // 10000))
        return self.response


class TestClient(ClientTest):
    """Against our own server, in one tree."""

    def here(self, function, **options):
        """Run ``function(client, base)`` in a tree that holds the server, too."""
        server = circuits_web.Server(("127.0.0.1", 0)) + Echoing()
        return self.fetch(lambda client: function(client, server.base), None, server, **options)

    def test_methods(self):
        async def ask(client, base):
            answers = [await getattr(client, name)(base + "/raw") for name in ("get", "delete")]
            answers += [await getattr(client, name)(base + "/raw", b"abc") for name in ("post", "put", "patch")]
            answers.append(await client.request("post", base + "/raw", data=b"abc"))
            head, options = await client.head(base + "/raw"), await client.options(base + "/raw")
            return [one.text.split()[:2] for one in answers], head.content, head.status, options.headers["Allow"]
        texts, head, status, allow = self.here(ask)
        self.assertEqual(texts, [["GET", "0"], ["DELETE", "0"], ["POST", "3"], ["PUT", "3"], ["PATCH", "3"], ["POST", "3"]])
        self.assertEqual((head, status), (b"", 200))
        self.assertIn("PATCH", allow)

    def test_what_is_sent(self):
        async def ask(client, base):
            async def echoed(*args, **options):
                return (await client.request(*args, **options)).json()
            url = base + "/echo/p%20q"
            self.assertEqual((await echoed("GET", url + "?a=1", params={"b": "\u00fc& ", "c": [1, None]}))["fields"],
                             {"a": "1", "b": "\u00fc& ", "c": "1"})
            self.assertEqual((await echoed("GET", url, params="a=1"))["fields"], {"a": "1"})
            form = await echoed("POST", url, data={"a": "x y", "b": ["1", "2"]})
            self.assertEqual((form["fields"], form["type"]), ({"a": "x y", "b": ["1", "2"]}, "application/x-www-form-urlencoded"))
            self.assertEqual(form["path"], ["p q"])
            upload = await echoed("POST", url, data={"a": "1"}, files={
                "f": io.BytesIO(b"content"), "g": ("n\"\u00fc.txt", b"text"), "h": ("big", io.BytesIO(b"y" * 200000), "x/y")})
            self.assertEqual(upload["fields"], {"a": "1", "f": ["f", "content"], "g": ["n%22\u00fc.txt", "text"], "h": ["big", "y" * 200000]})
            cookie = await echoed("GET", url, cookies={"c": "d"}, auth=("bob", "p:w"))
            self.assertEqual((cookie["cookie"], cookie["authorization"]), ("c=d", "Basic Ym9iOnA6dw=="))
            self.assertIsNone((await echoed("GET", url))["cookie"])
            self.assertEqual((await echoed("GET", url.replace("//", "//bob:x%2Fy@")))["authorization"], "Basic Ym9iOngveQ==")
            self.assertEqual((await echoed("POST", url, json={"a": 1}))["type"], "application/json")
        self.here(ask)

    def test_bodies_are_streamed_out(self):
        data = bytes(range(256)) * 12000
        expected = "%d %s " % (len(data), hashlib.md5(data).hexdigest())
        folder = self.folder()
        with open(os.path.join(folder, "big"), "wb") as file:
            file.write(data)

        def pieces():
            for at in range(0, len(data), 100001):
                yield data[at:at + 100001]

        async def later():
            for piece in pieces():
                await sleep(0)
                yield piece

        async def ask(client, base):
            with open(os.path.join(folder, "big"), "rb") as file:
                for body, coding in ((data, "plain"), (file, "plain"), (pieces(), "chunked"), (later(), "chunked"),
                                     (list(pieces()), "chunked"), (bytearray(data), "plain")):
                    self.assertEqual((await client.put(base + "/raw", body)).text, "PUT " + expected + coding)
                self.assertFalse(file.closed)
            reader, writer = os.pipe()
            os.write(writer, b"from a pipe")
            os.close(writer)
            with open(reader, "rb") as file:
                self.assertIn("PUT 11 ", (await client.put(base + "/raw", file)).text)
            self.assertIn("PUT 0 ", (await client.put(base + "/raw", iter([]))).text)
            self.assertIn("PUT 3 ", (await client.put(base + "/raw", iter(["a", b"", bytearray(b"bc")]))).text)
        self.here(ask)

    def test_a_body_that_fails(self):
        def broken():
            yield b"x"
            raise LookupError("no more")

        async def ask(client, base):
            with self.assertRaisesRegex(LookupError, "no more"):
                await client.post(base + "/raw", broken())
            self.assertEqual(client._links, {})

            class Shrinking(io.BytesIO):
                def read(self, size=-1):
                    return super().read(size)[:2]

                def seek(self, to, whence=0):
                    return super().seek(to, whence) + (5 if whence else 0)
            with self.assertRaisesRegex(circuits_web.ClientError, "not the 8 bytes that it was said to be"):
                await client.post(base + "/raw", Shrinking(b"abc"))
            for piece in (None, 5):
                with self.assertRaisesRegex(TypeError, "consists of bytes or text, got %r" % piece):
                    await client.post(base + "/raw", iter([b"x", piece]))
            return (await client.get(base)).text
        self.assertEqual(self.here(ask), "Hello World!")

    def test_a_refusal_behind_an_interim_response_ends_the_upload(self):
        for interim, outcome in ((1, "too big"), (50, "more than 20 interim responses")):
            over = threading.Event()
            server = self.script([])
            server.read = lambda sock: sock.recv(10)
            server.script[0].append(lambda sock, request: (
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * interim + answer(b"too big", b"413 Too Large")),
                over.wait(PATIENCE)))

            async def ask(client):
                try:
                    return (await client.post(server.base, bytes(50 << 20), timeout=PATIENCE)).text
                except circuits_web.ClientError as error:
                    return str(error)
                finally:
                    over.set()
            self.assertIn(outcome, self.fetch(ask, read_timeout=3))

    def test_streamed_in(self):
        async def ask(client, base):
            sizes = []
            async with await client.get(base + "/big", stream=True) as response:
                with self.assertRaisesRegex(RuntimeError, "read piece by piece"):
                    response.content
                self.assertIn("streamed", repr(response))
                async for piece in response:
                    sizes.append(len(piece))
            self.assertEqual(sum(sizes), 5000000)
            self.assertLessEqual(max(sizes), 65536)
            self.assertEqual(await response.read_piece(), b"")
            self.assertEqual(len(client._idle), 1)
            response = await client.get(base + "/big", stream=True)
            self.assertEqual((len(await response.load()), len(response.content)), (5000000, 5000000))
            return len(client._idle)
        self.assertEqual(self.here(ask), 1)

    def test_one_reader_at_a_time(self):
        def dribble(sock, request):
            sock.sendall(answer(b"together")[:-6])
            heard.wait(PATIENCE)
            sock.sendall(b"gether")
        heard = threading.Event()
        server = self.script([dribble])
        read = []

        class Other(Component):
            @handler("look")
            async def look(self, response):
                read.append(await response.load())

        async def ask(client):
            response = await client.get(server.base, stream=True)
            first = Event.create("look", response)
            client.fire(first)
            await sleep(0)
            await sleep(0)
            with self.assertRaisesRegex(RuntimeError, "another task waits"):
                await response.read_piece()
            heard.set()
            await client.wait(first)
        self.fetch(ask, None, Other(channel="client"))
        self.assertEqual(read, [b"together"])

    def test_one_that_is_not_read_to_its_end(self):
        async def ask(client, base):
            for give_up in ("close", "with", "forget"):
                response = await client.get(base + "/big", stream=True)
                await response.read_piece()
                if give_up == "close":
                    response.close()
                elif give_up == "with":
                    with response:
                        pass
                del response
                gc.collect()
                while client._links:
                    await sleep(0)
                self.assertEqual(client._idle, {})
            return (await client.get(base)).text
        self.assertEqual(self.here(ask), "Hello World!")

    def test_back_pressure_reaches_the_server(self):
        sent = [0]

        def endless(sock, request):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            sock.setblocking(False)
            quiet = 0
            while quiet < 100:                          # until it takes no more for a while
                try:
                    sent[0] += sock.send(b"x" * 65536)
                    quiet = 0
                except BlockingIOError:
                    quiet += 1
                    time.sleep(0.001)
        server = self.script([endless])

        async def ask(client):
            response = await client.get(server.base, stream=True)
            while server.thread.is_alive():
                await sleep(0.01)
            held = len(response._link.parser)
            return held, len(await response.load()), sent[0]
        held, got, sent_ = self.fetch(ask)
        self.assertLessEqual(held, 2 * 65536 + circuits_web.MAX_RESPONSE_AHEAD)
        self.assertEqual(got, sent_)

    def test_slow_readers_slow_uploads(self):
        produced = [0]

        def pieces():
            for _ in range(1000):
                produced[0] += 100000
                yield b"x" * 100000

        def slow(sock, request):
            time.sleep(0.02)
            early.append(produced[0])
            sock.sendall(answer(b"enough", b"413 Too Large", b"Connection: close"))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        early = []
        server = self.script([slow])
        server.read = lambda sock: sock.recv(1000)

        async def ask(client):
            return await client.post(server.base, pieces()), client._links
        response, links = self.fetch(ask)
        self.assertEqual((response.status, response.text), (413, "enough"))
        self.assertLess(early[0], 20000000)
        self.assertLess(produced[0], 100000000)

    def test_what_an_early_answer_makes_useless_is_closed(self):
        closed = []

        def pieces():
            try:
                while True:
                    yield b"x" * 100000
            finally:
                closed.append("generator")

        async def more():
            try:
                while True:
                    yield b"x" * 100000
            finally:
                closed.append("asynchronous one")

        def refuse(sock, request):
            sock.sendall(answer(b"enough", b"413 Too Large", b"Connection: close"))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        server = self.script([refuse], [refuse])
        server.read = lambda sock: sock.recv(1000)
        kept = [pieces(), more()]           # so that nothing but the client closes them

        async def ask(client):
            return [(await client.post(server.base, body)).status for body in kept], list(closed)
        self.assertEqual(self.fetch(ask), ([413, 413], ["generator", "asynchronous one"]))

    def test_redirects(self):
        async def ask(client, base):
            response = await client.post(base + "/to", data=b"abc", params={"code": 307})
            self.assertEqual((response.text[:6], response.url), ("POST 3", base + "/raw"))
            response = await client.post(base + "/to", data=b"abc", params={"code": 302})
            self.assertEqual(response.text[:5], "GET 0")
            self.assertEqual([(one.status, one.url) for one in response.history], [(302, base + "/to?code=302")])
            response = await client.get(base + "/to", allow_redirects=False)
            self.assertEqual((response.status, response.headers["Location"], response.history), (302, base + "/raw", []))
            with self.assertRaisesRegex(circuits_web.TooManyRedirects, "more than 20 redirects"):
                await client.get(base + "/loop")
        self.here(ask)
        server = self.script([answer(b"x" * 1000, b"302 Found", b"Location: /y"), answer(b"same connection")])
        self.assertEqual(self.fetch(lambda client: client.get(server.base)).text, "same connection")
        server = self.script([answer(b"x" * 1000000, b"302 Found", b"Location: /y")], [answer(b"another")])
        self.assertEqual(self.fetch(lambda client: client.get(server.base)).text, "another")

    def test_a_redirect_to_another_origin_takes_no_secrets_along(self):
        other = self.script([answer()])
        one = self.script([b"HTTP/1.1 302 Found\r\nSet-Cookie: s=1\r\nContent-Length: 0\r\nLocation: %s/\r\n\r\n"
                           % other.base.replace("127.0.0.1", "localhost").encode()])

        async def ask(client):
            return await client.get(one.base, auth=("bob", "pw"), cookies={"a": "b"}, headers={"X-Kept": "1"})
        self.assertEqual(self.fetch(ask).text, "ok")
        self.assertIn(b"Authorization: Basic", one.requests[0][1])
        self.assertIn(b"Cookie: a=b", one.requests[0][1])
        request = other.requests[0][1]
        self.assertIn(b"X-Kept: 1", request)
        self.assertNotIn(b"Authorization", request)
        self.assertNotIn(b"Cookie", request)

    def test_cookies(self):
        async def ask(client, base):
            async def sent(**options):
                return (await client.get(base + "/echo", **options)).json()["cookie"]
            response = await client.get(base + "/set?a=1&b=2")
            self.assertEqual((response.cookies, await sent()), ({"a": "1", "b": "2"}, "a=1; b=2"))
            self.assertEqual(await sent(cookies={"c": "3"}), "a=1; b=2; c=3")
            await client.get(base + "/set?a=4")
            self.assertEqual(await sent(), "a=4; b=2")          # the order in which they were first set
            client.cookies.clear()
            return await sent()
        self.assertIsNone(self.here(ask))

        async def none(client, base):
            response = await client.get(base + "/set?a=1")
            return response.cookies, (await client.get(base + "/echo")).json()["cookie"]
        self.assertEqual(self.here(none, cookies=False), ({"a": "1"}, None))
        jar = circuits_web.CookieJar()
        self.assertEqual(self.here(none, cookies=jar), ({"a": "1"}, "a=1"))
        self.assertEqual(list(jar), [("127.0.0.1", "/", "a", "1")])

    def test_basic_and_digest(self):
        async def ask(client, base):
            texts = []
            for path, auth in (("/basic", None), ("/basic", ("bob", "wrong")), ("/basic", ("bob", "secret")),
                               ("/digest", circuits_web.DigestAuth("bob", "wrong"))):
                texts.append((await client.get(base + path, auth=auth)).status)
            digest = circuits_web.DigestAuth("bob", "secret")
            for path in ("/digest", "/digest?a=b%20c", "/digest"):
                response = await client.get(base + path, auth=digest)
                texts.append(response.text)
            texts.append((await client.post(base + "/digest", b"x" * 100000, auth=digest)).text)
            texts.append(digest._count)
            return texts
        self.assertEqual(self.here(ask), [401, 401, 200, 401] + ["in bob"] * 4 + [4])

    def test_the_clients_own_credentials_go_to_its_own_server(self):
        other = self.script([answer()])

        async def ask(client):
            await client.get("/")
            return await client.get(other.base)
        server = self.script([answer()])
        self.fetch(ask, circuits_web.Client(server.base, auth=("bob", "pw")))
        self.assertIn(b"Authorization", server.requests[0][1])
        self.assertNotIn(b"Authorization", other.requests[0][1])

    def test_relative_urls(self):
        server = self.script([answer()] * 4)

        async def ask(client):
            for url in ("/x?y", "z", "../up", "?q"):
                await client.get(url)
        self.fetch(ask, circuits_web.Client(server.base + "/a/b"))
        self.assertEqual([request.split()[1] for _, request in server.requests], [b"/x?y", b"/a/z", b"/up", b"/a/b?q"])
        with self.assertRaisesRegex(ValueError, "URL must be absolute"):
            self.fetch(lambda client: client.get("/x"))

    def test_default_headers(self):
        server = self.script([answer()] * 2)

        async def ask(client):
            await client.get(server.base)
            client.headers["X-Mine"] = "2"
            await client.get(server.base, headers={"accept": "text/plain"})
        self.fetch(ask, headers={"User-Agent": "mine/1", "X-Mine": "1"})
        self.assertIn(b"User-Agent: mine/1\r\nX-Mine: 1\r\n", server.requests[0][1])
        self.assertIn(b"X-Mine: 2\r\naccept: text/plain\r\n", server.requests[1][1])


class TestClientTLS(ClientTest):

    def context(self, name="good"):
        return circuits_net.server_context(certificate(self, name))

    def test_verified(self):
        import ssl
        names = []
        context = self.context()
        context.sni_callback = lambda sock, name, context: names.append(name)
        server = self.script([answer(b"one"), answer(b"two")], [answer(b"three")], context=context)
        url = "https://localhost:%d/" % server.port

        async def ask(client):
            return [(await client.get(url)).text for _ in range(2)], len(client._links)
        self.assertEqual(self.fetch(ask, ca_certs=certificate(self, "ca")), (["one", "two"], 1))
        own = ssl.create_default_context(cafile=certificate(self, "ca"))
        self.assertEqual(self.fetch(lambda client: client.get(url), context=own).text, "three")
        self.assertEqual(names, ["localhost"] * 2)

    def test_refused(self):
        for why, name, host, options in (
                ("CERTIFICATE_VERIFY_FAILED.*ca_certs", "good", "localhost", {}),
                ("expired", "expired", "localhost", {"ca_certs": certificate(self, "ca")}),
                ("127.0.0.2", "good", "127.0.0.2", {"ca_certs": certificate(self, "ca")})):
            server = ScriptedServer(self, [answer()], context=self.context(name),
                                    address=socket.create_server(("0.0.0.0", 0)))
            url = "https://%s:%d/" % (host, server.listener.getsockname()[1])
            with self.assertRaisesRegex(circuits_web.ConnectError, why):
                self.fetch(lambda client: client.get(url), **options)
            self.assertEqual(server.requests, [])

    def test_unverified_if_asked_for(self):
        names = []
        context = self.context("expired")
        context.sni_callback = lambda sock, name, context: names.append(name)
        server = self.script([answer()], context=context)
        response = self.fetch(lambda client: client.get("https://localhost:%d/" % server.port), verify=False)
        self.assertEqual((response.text, names), ("ok", ["localhost"]))

    def test_a_server_without_tls(self):
        for reply in (lambda sock, request: sock.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"), lambda sock, request: None):
            server = self.script([reply])
            server.read = lambda sock: sock.recv(1000)
            with self.assertRaisesRegex(circuits_web.ConnectError, "no connection to"):
                self.fetch(lambda client: client.get("https://127.0.0.1:%d/" % server.port))

    def test_large_both_ways(self):
        data = os.urandom(3000000)

        def echo(sock, request):
            body = request.partition(b"\r\n\r\n")[2]
            sock.sendall(answer(body))
        server = self.script([echo], context=self.context())
        response = self.fetch(lambda client: client.post("https://localhost:%d/" % server.port, data),
                              ca_certs=certificate(self, "ca"))
        self.assertEqual(hashlib.md5(response.content).digest(), hashlib.md5(data).digest())


class TestClientProxy(ClientTest):

    def test_absolute_form(self):
        proxy = self.script([answer(b"one"), answer(b"two")])

        async def ask(client):
            texts = [(await client.get("http://a.example/x?y")).text, (await client.get("http://b.example:81/")).text]
            return texts, len(client._links)
        self.assertEqual(self.fetch(ask, proxy="http://bob:p%%40@127.0.0.1:%d" % proxy.port), (["one", "two"], 1))
        first, second = (request for _, request in proxy.requests)
        self.assertTrue(first.startswith(b"GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n"), first)
        self.assertIn(b"Proxy-Authorization: Basic Ym9iOnBA\r\n", first)
        self.assertTrue(second.startswith(b"GET http://b.example:81/ HTTP/1.1\r\nHost: b.example:81\r\n"), second)

    def tunnel(self, *first, verify=True, **options):
        """A proxy that answers CONNECT with *first*, and then speaks TLS itself."""
        context = circuits_net.server_context(certificate(self, "good"))

        def connect(sock, request):
            for piece in first:
                sock.sendall(piece)
            with context.wrap_socket(sock, server_side=True) as inner:
                inside.append(ScriptedServer.read(inner))
                inner.sendall(answer(b"in the tunnel"))
        inside = self.inside = []
        self.proxy = self.script([connect])
        return self.fetch(lambda client: client.get("https://localhost:8443/x"), ca_certs=certificate(self, "ca"),
                          proxy="http://bob:pw@127.0.0.1:%d" % self.proxy.port, **options)

    def test_tunnel(self):
        for pieces in ((b"HTTP/1.1 200 Connection established\r\n\r\n",),
                       (b"HTTP/1.0 200 OK\r\nVia: x\r\nContent-Length: 50\r\n", b"\r\n")):
            self.assertEqual(self.tunnel(*pieces).text, "in the tunnel")
            request = self.proxy.requests[0][1]
            self.assertEqual(request, b"CONNECT localhost:8443 HTTP/1.1\r\nHost: localhost:8443\r\n"
                             b"Proxy-Authorization: Basic Ym9iOnB3\r\n\r\n")
            self.assertTrue(self.inside[0].startswith(b"GET /x HTTP/1.1\r\nHost: localhost:8443\r\n"))
            self.assertNotIn(b"Proxy-Authorization", self.inside[0])

    def test_a_tunnel_that_is_refused(self):
        for pieces, why in (((b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n",), "answers 407 Who: give it as http://name"),
                            ((b"HTTP/1.1 403 No\r\n\r\nlogin page",), "answers 403 No$"),
                            ((b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil",), "something of its own"),
                            ((b"nonsense\r\n\r\n",), "strange status line")):
            with self.assertRaisesRegex(circuits_web.ClientError, why):
                self.tunnel(*pieces)
            self.assertEqual(self.inside, [])

    def test_a_silent_proxy(self):
        proxy = self.script([lambda sock, request: sock.recv(1)])
        with self.assertRaisesRegex(circuits_web.ClientTimeout, "to the proxy 127.0.0.1:%d in time" % proxy.port):
            self.fetch(lambda client: client.get("https://a.example/"), proxy=proxy.base, connect_timeout=0.05)

    def test_none_there(self):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            with self.assertRaisesRegex(circuits_web.ConnectError, "no connection to the proxy 127.0.0.1"):
                self.fetch(lambda client: client.get("http://a.example/"), proxy="http://127.0.0.1:%d" % sock.getsockname()[1])

    def test_the_environment_is_looked_at_when_asked_for(self):
        proxy = self.script([answer(b"by proxy")])
        server = self.script([answer(b"direct")], [answer(b"direct")])
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        for name in ("HTTP_PROXY", "NO_PROXY", "no_proxy", "REQUEST_METHOD"):
            os.environ.pop(name, None)
        os.environ["http_proxy"] = "127.0.0.1:%d" % proxy.port
        self.assertEqual(self.fetch(lambda client: client.get(server.base)).text, "direct")
        self.assertEqual(self.fetch(lambda client: client.get(server.base), trust_env=True).text, "by proxy")
        os.environ["no_proxy"] = "127.0.0.1"
        self.assertEqual(self.fetch(lambda client: client.get(server.base), trust_env=True).text, "direct")
        os.environ["no_proxy"] = "localhost"            # a redirect changes the way
        server = self.script([answer(b"direct")])
        proxy = self.script([answer(b"", b"302 Found", b"Location: http://localhost:%d/" % server.port)])
        os.environ["http_proxy"] = "127.0.0.1:%d" % proxy.port
        self.assertEqual(self.fetch(lambda client: client.get("http://a.invalid/"), trust_env=True).text, "direct")


class TestClientEvents(ClientTest):
    """The documented way, and its names."""

    def test_as_documented(self):
        out, err = child("""
            import sys
            from circuits import Component
            from circuits.web import Controller, Server
            from circuits.web.client import Client, Connect, Request, HTTPException, NotConnected, parse_url
            from circuits.net.protocols.http import HTTP, ResponseObject
            import circuits.web.client, circuits.protocols.http
            assert circuits.web.client.Connect is circuits.net.sockets.Connect
            assert circuits.web.client.Request is not circuits.web.events.Request
            assert circuits.web.client.request is Request and Request.name == "request"
            assert issubclass(NotConnected, HTTPException)
            assert circuits.protocols.http.ResponseObject is ResponseObject
            assert parse_url("http://a:81/b?c") == ("a", 81, "/b?c", False)

            class Root(Controller):
                def index(self):
                    return "Hello World!"

            class App(Component):
                def started(self, component):
                    if component is not self:
                        return
                    try:
                        yield self.call(Request("GET", "/"), "client")
                    except NotConnected:
                        print("not connected")
                    self.fire(Connect(), "client")
                    yield self.wait("connected", "client")
                    print(client.connected)
                    self.fire(Request("GET", "/"), "client")
                    yield self.wait("response", "client")
                    response = client.response
                    print(response, response.status, response.message, response.protocol, response.read())
                    client.unregister()
                    yield self.wait("unregistered", "*")
                    print(client.connected)
                    self.stop()

            server = Server(("127.0.0.1", 0)) + Root()
            app = App() + server
            client = Client("http://127.0.0.1:%d" % server.port)
            client.register(app)
            app.run()
            """)
        self.assertEqual(err, "")
        self.assertEqual(out.splitlines(), ["not connected", "True", "<ResponseObject 200 text/html (12)> 200 OK (1, 1) b'Hello World!'", "False"])

    def drive(self, function, client, *components):
        """Run a generator function of an app that hears everything; returns the Recorder."""
        rec = Recorder()

        class App(Component):
            def started(self, component):
                if component is self:
                    try:
                        yield from function(self)
                    finally:
                        self.stop()
        app = App()
        for component in (client, rec) + components:
            component.register(app)
        app.run()
        return rec

    def test_the_events(self):
        server = self.script([answer(b"one"), answer(b"two", b"404 Not Found"), b"never"])
        client = circuits_web.Client(server.base, channel="mine")

        def go(app):
            ok = yield app.call(circuits_net.Connect(), "mine")
            again = yield app.call(circuits_net.Connect(), "mine")
            first = yield app.call(circuits_web.ClientRequest("GET", "/"), "mine")
            second = yield app.call(circuits_web.ClientRequest("POST", "/x", b"abc", {"X-Y": "z"}), "mine")
            self.assertEqual((ok.value, again.value, first.value.text, second.value.status), (True, True, "one", 404))
            self.assertIs(client.response, second.value)
            app.fire(circuits_net.Close(), "mine")
            yield app.wait("disconnected", "mine")
            self.assertFalse(client.connected)
        rec = self.drive(go, client)
        self.assertEqual(rec.named("connected")[-1].args, ["127.0.0.1", server.port])
        self.assertEqual([event.channels for event in rec.named("connected")].count(("mine",)), 1)
        self.assertEqual([event.args[0].status for event in rec.named("response")], [200, 404])
        self.assertEqual([event.channels for event in rec.named("disconnected")].count(("mine",)), 1)
        self.assertFired(rec, "write", "read", "response", "write", "read", "response")     # each step is an event
        self.assertTrue(server.requests[1][1].startswith(b"POST /x HTTP/1.1\r\n"))
        self.assertIn(b"X-Y: z\r\n", server.requests[1][1])
        self.assertTrue(server.requests[1][1].endswith(b"\r\n\r\nabc"))

    def test_two_requests_at_once_are_answered_in_order_over_one_connection(self):
        server = self.script([answer(b"%d" % n) for n in range(5)])
        client = circuits_web.Client(server.base)

        def go(app):
            yield app.call(circuits_net.Connect(), "client")
            calls = [app.call(circuits_web.ClientRequest("GET", "/%d" % n), "client") for n in range(5)]
            values = yield circuits.gather(*calls)
            self.assertEqual([value.value.text for value in values], ["0", "1", "2", "3", "4"])
        self.drive(go, client)
        self.assertEqual([request.split()[1] for _, request in server.requests], [b"/%d" % n for n in range(5)])

    def test_an_absolute_url_connects_by_itself(self):
        server = self.script([answer(b"one"), answer(b"two"), b"never"])
        client = circuits_web.Client(channel="c")

        def go(app):
            first = yield app.call(circuits_web.ClientRequest("GET", server.base + "/x"), "c")
            second = yield app.call(circuits_web.ClientRequest("GET", server.base + "/x"), "c")
            self.assertEqual((first.value.text, second.value.text, client.connected), ("one", "two", True))
            self.assertEqual(second.value.reason, "OK")
        self.drive(go, client)

    def test_connect_to_another_host(self):
        server = self.script([answer(b"there")])

        def go(app):
            yield app.call(circuits_net.Connect("127.0.0.1", server.port), "client")
            value = yield app.call(circuits_web.ClientRequest("GET", "/"), "client")
            self.assertEqual(value.value.text, "there")
        self.drive(go, circuits_web.Client())

    def test_connect_twice_is_one_connection(self):
        server, other = self.script([answer(b"one"), answer(b"never")]), self.script([answer(b"never")])
        client = circuits_web.Client(server.base, auth=("bob", "secret"))

        def go(app):
            values = yield circuits.gather(*[app.call(circuits_net.Connect(), "client") for _ in range(3)])
            self.assertEqual([value.value for value in values], [True] * 3)
            value = yield app.call(circuits_web.ClientRequest("GET", "/"), "client")
            self.assertEqual((value.value.text, len(client._idle)), ("one", 1))
            with self.assertRaisesRegex(RuntimeError, "is connected to 127.0.0.1:%d: close it first" % server.port):
                yield app.call(circuits_net.Connect("127.0.0.1", other.port), "client")
            client.close()
            yield app.call(circuits_net.Connect("127.0.0.1", other.port), "client")
            yield app.call(circuits_web.ClientRequest("GET", "/"), "client")
        rec = self.drive(go, client)
        self.assertEqual([event.args for event in rec.named("connected") if event.channels == ("client",)],
                         [["127.0.0.1", server.port], ["127.0.0.1", other.port]])
        self.assertEqual((server.connections, other.connections), (1, 1))
        self.assertIn(b"Authorization", server.requests[0][1])
        self.assertNotIn(b"Authorization", other.requests[0][1])

    def test_nobody_there(self):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            client = circuits_web.Client("http://127.0.0.1:%d" % sock.getsockname()[1])

            def go(app):
                value = yield app.call(circuits_net.Connect(), "client")
                self.assertFalse(value.value)
            rec = self.drive(go, client)
        event = [event for event in rec.named("unreachable") if event.channels == ("client",)][0]
        self.assertEqual(event.args[:2], list(sock.getsockname() if sock.fileno() >= 0 else ["127.0.0.1", client._base.port]))
        self.assertIsInstance(event.args[2], circuits_web.ConnectError)

    def test_connect_needs_to_know_where(self):
        def go(app):
            with self.assertRaisesRegex(ValueError, "needs a host and a port"):
                yield app.call(circuits_net.Connect(), "client")
        self.drive(go, circuits_web.Client())

    def test_a_connection_that_the_server_ends(self):
        server = self.script([answer(b"bye", b"200 OK", b"Connection: close")], [answer(b"again")])
        client = circuits_web.Client(server.base)

        def go(app):
            for text in ("bye", "again"):
                yield app.call(circuits_net.Connect(), "client")
                value = yield app.call(circuits_web.ClientRequest("GET", "/"), "client")
                self.assertEqual(value.value.text, text)
                while client.connected:
                    yield app.wait("disconnected", "client")
            with self.assertRaisesRegex(circuits_web.NotConnected, "fire Connect"):
                yield app.call(circuits_web.ClientRequest("GET", "/"), "client")
        self.drive(go, client)

    def test_an_error_that_nobody_waits_for_is_told(self):
        server = self.script([b"nonsense\r\n\r\n"])
        self.expect_stderr("strange status line")

        def go(app):
            app.fire(circuits_web.ClientRequest("GET", server.base), "client")
            yield app.wait("error", "*")
        self.drive(go, circuits_web.Client())

    def test_raw_bytes(self):
        server = self.script([b"whatever"])

        def go(app):
            yield app.call(circuits_net.Connect(), "client")
            app.fire(circuits_net.Write(b"PING\r\n\r\n"), "client")
            while not server.requests:
                yield sleep(0.001)
        self.drive(go, circuits_web.Client(server.base))
        self.assertEqual(server.requests, [(0, b"PING\r\n\r\n")])

    def test_its_protocol_alone(self):
        class Rec(Recorder):
            channel = "web"
        for data, method, results in (
                (answer(b"Hello", b"200 OK", b"Content-Type: text/plain") + answer(b"two"), None, [b"Hello", b"two"]),
                (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", None, [b"ab"]),
                (b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 304 Not\r\n\r\n", None, [b"", b""]),
                (b"HTTP/1.1 100 Go on\r\n\r\n" + answer(b"x"), None, [b"x"]),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + answer(b"x"), "HEAD", [b"", b"x"]),
                (b"HTTP/1.1 200\r\n\r\nto the end", None, [b"to the end"])):
            for size in (1, 10000):
                rec = Rec()
                app = make_app(circuits_web.ResponseProtocol(), rec)
                if method:
                    app.fire(circuits_web.ClientRequest(method, "/"), "web")
                for at in range(0, len(data), size):
                    app.fire(circuits_net.Read(data[at:at + size]), "web")
                app.fire(circuits_net.Disconnected(), "web")
                pump(app)
                self.assertEqual([event.args[0].read() for event in rec.named("response")], results)
                self.assertNotFired(rec, "error", "close")

    def test_its_protocol_refuses_nonsense(self):
        for data in (b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"):
            self.expect_stderr("ProtocolError")
            rec = Recorder()
            app = make_app(circuits_web.ResponseProtocol(), rec)
            app.fire(circuits_net.Read(data), "web")
            pump(app)
            self.assertFired(rec, "read", "close")
            self.assertIsInstance(rec.named("error")[0].args[1], circuits_web.ProtocolError)


class TestClientEverywhere(ClientTest):
    """Whoever drives the tree; and how it ends."""

    def test_generators_coroutines_and_threads(self):
        server = self.script([answer(b"%d" % n) for n in range(4)])

        class App(Component):
            def started(self, component):
                self.texts = []
                response = yield self.client.get(server.base)
                self.texts.append(response.text)
                value = yield self.call(Event.create("ask"))
                self.texts.append(value.value)
                self.ready = True

            async def ask(self):
                response = await self.client.get(server.base, stream=True)
                return b"".join([piece async for piece in response]).decode()

        app = App()
        app.client = circuits_web.Client().register(app)
        with serving(app):
            wait_for(lambda: getattr(app, "ready", False))
            value = app.call_from_thread(circuits_web.ClientRequest("GET", server.base), "client", timeout=PATIENCE)
            with self.assertRaisesRegex(RuntimeError, "driven by another thread.*call_from_thread"):
                app.client.get(server.base).send(None)
        self.assertEqual(app.texts + [value.value.text], ["0", "1", "2"])

    def test_driven_by_hand(self):
        server = self.script([answer(b"by hand")])
        client, out = circuits_web.Client(), []

        async def ask(*args):
            out.append((await client.get(server.base)).text)
        client.addHandler(handler("ask")(ask))
        client.fire(Event.create("ask"))
        pump(client, lambda: out)
        self.assertEqual(out, ["by hand"])
        client.close()
        pump(client)

    def test_inside_asyncio(self):
        server = self.script(*[[answer(b"x")] * 9] * 4)

        class App(Component):
            async def ask(self):
                return (await self.client.get(server.base)).text

            def old(self):
                response = yield self.client.get(server.base)
                return response.text

        async def main():
            app = App()
            client = app.client = circuits_web.Client().register(app)
            async with app.serving():
                for name in ("ask", "old"):
                    value = await app.fire_async(Event.create(name))
                    self.assertEqual(value.value, "x")
                responses = await asyncio.gather(*[client.get(server.base) for _ in range(4)])
                self.assertEqual([response.text for response in responses], ["x"] * 4)
                response = await asyncio.wait_for(client.get(server.base, stream=True), PATIENCE)
                self.assertEqual([piece async for piece in response], [b"x"])
        asyncio.run(main())

    def test_asyncio_cancels_and_ends_it(self):
        hung_up = threading.Event()

        def silent(sock, request):
            if not sock.recv(1):
                hung_up.set()
        server = self.script([silent], [silent])

        async def main():
            app = Component()
            client = circuits_web.Client().register(app)
            async with app.serving():
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.get(server.base), 0.02)
                self.assertEqual(client._links, {})
                beside = asyncio.ensure_future(client.get(server.base))
                while len(server.requests) < 2:
                    await asyncio.sleep(0.001)
            with self.assertRaisesRegex(circuits.Cancelled, "stopped"):
                await asyncio.wait_for(beside, PATIENCE)
        asyncio.run(main())
        self.assertTrue(hung_up.wait(PATIENCE))

    def test_stop_in_the_middle_is_silent(self):
        server = self.script([lambda sock, request: sock.recv(1)] * 1, [lambda sock, request: sock.recv(1)])
        closed = []

        class App(Component):
            def started(self, component):
                self.fire(Event.create("ask"))
                self.fire(Event.create("ask"))
                while len(server.requests) < 2:
                    yield sleep(0.001)
                self.stop()

            async def ask(self):
                try:
                    await self.client.get(server.base)
                finally:
                    closed.append(1)
        app, rec = App(), Recorder()
        rec.register(app)
        app.client = circuits_web.Client().register(app)
        app.run()
        self.assertEqual(closed, [1, 1])
        self.assertNotFired(rec, "error")
        self.assertFalse(app.client.connected)

    def test_unregistered_in_the_middle(self):
        server = self.script([lambda sock, request: sock.recv(1)])

        class App(Component):
            def started(self, component):
                self.fire(Event.create("ask"))
                while not server.requests:
                    yield sleep(0.001)
                self.client.unregister()

            async def ask(self):
                try:
                    await self.client.get(server.base)
                except circuits.Cancelled as error:
                    self.error = error
                self.stop()
        app = App()
        app.client = circuits_web.Client().register(app)
        app.run()
        self.assertIn("left the tree", str(app.error))

    def test_unregistered_together_with_who_waits(self):
        server = self.script([lambda sock, request: sock.recv(1)])
        closed = []

        class Asker(Component):
            def started(self, component):
                self.fire(Event.create("ask"), self)

            async def ask(self):
                try:
                    await self.client.get(server.base)
                finally:
                    closed.append(1)

        class App(Component):
            def started(self, component):
                while not server.requests:
                    yield sleep(0.001)
                asker.unregister()
                yield self.wait("unregistered")
                self.stop()
        app, rec = App(), Recorder()
        asker = Asker().register(app)
        asker.client = circuits_web.Client().register(asker)
        rec.register(app)
        app.run()
        self.assertEqual(closed, [1])
        self.assertNotFired(rec, "error")

    def test_it_can_run_again(self):
        server = self.script([answer(b"one")], [answer(b"two")])
        texts = []

        class App(Component):
            async def started(self, component):
                texts.append((await self.client.get(server.base)).text)
                self.stop()
        app = App()
        app.client = circuits_web.Client().register(app)
        for _ in range(2):
            app.run()
        self.assertEqual(texts, ["one", "two"])

    def test_with_a_debugger_it_is_the_same(self):
        server = self.script([answer(b"x" * 300000), answer(b"y")])
        log = io.StringIO()

        async def ask(client):
            return [len((await client.post(server.base, b"z" * 300000)).content) for _ in range(2)]
        self.assertEqual(self.fetch(ask, None, Debugger(file=log, trim=200)), [300000, 1])
        for name in ("write", "read", "connected"):
            self.assertIn(".%s]" % name, log.getvalue())

    def test_inside_a_request_of_our_own_server(self):
        backend = self.script([answer(b"from behind")] * 2)

        class Front(circuits_web.Controller):
            def index(self):
                response = yield client.get(backend.base)
                yield response.text

            async def modern(self):
                return (await client.get(backend.base)).text
        client = circuits_web.Client()
        app = circuits_web.Server(("127.0.0.1", 0)) + Front()
        client.register(app)
        with serving(app):
            self.port = app.port
            self.assertEqual((self.get("/"), self.get("/modern")), ((200, b"from behind"),) * 2)

    def test_importing_stays_cheap(self):
        out, err = child("""
            import sys, circuits_web
            before = set(sys.modules)
            circuits_web.Client("http://a/")
            print(*(set(sys.modules) - before))
            """)
        self.assertEqual(out.split(), [])


class TestClientAgainstNginx(ClientTest):
    """The client against a real server; one nginx for all of the class."""

    TEXT = "".join("line %d\n" % n for n in range(20000))

    @classmethod
    def setUpClass(cls):
        program = shutil.which("nginx")
        if not program:
            raise unittest.SkipTest("nginx is not installed")
        cls.folder_ = folder = tempfile.mkdtemp(prefix="circuits-test-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        for name, text in (("text.txt", cls.TEXT), ("cert", CERTIFICATES["good"]), ("ca", CERTIFICATES["ca"]), ("log", "")):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        cls.port_, cls.secure, cls.broken = (sock.getsockname()[1] for sock in listeners)
        for sock in listeners:
            sock.close()
        cls.socket_ = os.path.join(folder, "sock")
        temporary = "".join("%s_temp_path %s;\n" % (kind, os.path.join(folder, kind)) for kind in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(os.path.join(folder, "nginx.conf"), "w") as file:
            file.write("""
                %s
                worker_processes 1;
                pid %s/pid;
                error_log %s/log;
                events { worker_connections 100; }
                http {
                    access_log off;
                    types { text/plain txt; }
                    gzip on;
                    gzip_types text/plain;
                    gzip_min_length 100;
                    client_max_body_size 1m;
                    keepalive_requests 1000;
                    %s
                    server {
                        listen 127.0.0.1:%d;
                        listen unix:%s;
                        listen 127.0.0.1:%d ssl;
                        ssl_certificate %s/cert;
                        ssl_certificate_key %s/cert;
                        root %s;
                        location /old { return 301 /text.txt; }
                        location /away { return 302 https://localhost:%d/port; }
                        location /kept { return 308 /port; }
                        location /loop { return 302 /loop; }
                        location /port { return 200 "$remote_port $request_method $server_protocol $ssl_server_name"; }
                        location /close { keepalive_timeout 0; return 200 "closed"; }
                        location /slow { limit_rate 200k; alias %s/text.txt; }
                        location /cut { proxy_pass http://127.0.0.1:%d; }
                        location /up { dav_methods PUT; alias %s/uploaded; }
                        location /ask { add_header X-Agent $http_user_agent; add_header Set-Cookie "a=b; Path=/";
                                        return 200 "$http_cookie"; }
                        location /secret { auth_basic "R"; auth_basic_user_file %s/users; alias %s/text.txt; }
                    }
                }
                """ % ("user root root;" if os.geteuid() == 0 else "", folder, folder, temporary, cls.port_, cls.socket_,
                       cls.secure, folder, folder, folder, cls.secure, folder, cls.broken, folder, folder, folder))
        with open(os.path.join(folder, "users"), "w") as file:
            file.write("bob:{PLAIN}secret\n")
        process = subprocess.Popen([program, "-p", folder, "-c", os.path.join(folder, "nginx.conf"), "-g", "daemon off;"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.terminate)

        def up():
            if process.poll() is not None:
                with open(os.path.join(folder, "log")) as file:
                    raise AssertionError("nginx ended: " + file.read())
            try:
                socket.create_connection(("127.0.0.1", cls.port_), PATIENCE).close()
            except OSError:
                return False
            return True
        wait_for(up)
        cls.base = "http://127.0.0.1:%d" % cls.port_
        cls.safe = "https://localhost:%d" % cls.secure

    def ask(self, function, **options):
        return self.fetch(function, ca_certs=os.path.join(self.folder_, "ca"), **options)

    def test_gzip_and_plain(self):
        async def ask(client):
            packed = await client.get(self.base + "/text.txt")
            plain = await client.get(self.base + "/text.txt", headers={"Accept-Encoding": None})
            return packed, plain
        packed, plain = self.ask(ask)
        self.assertEqual((packed.text, plain.text), (self.TEXT, self.TEXT))
        self.assertEqual((packed.headers["Content-Encoding"], plain.headers["Content-Encoding"]), ("gzip", None))
        self.assertEqual((packed.headers["Transfer-Encoding"], plain.headers["Content-Length"]),
                         ("chunked", str(len(self.TEXT))))

    def test_keep_alive_and_close(self):
        async def ask(client):
            ports = [(await client.get(self.base + "/port")).text.split()[0] for _ in range(200)]
            closed = [(await client.get(self.base + "/close")).text for _ in range(3)]
            return len(set(ports)), closed, client._idle
        self.assertEqual(self.ask(ask), (1, ["closed"] * 3, {}))

    def test_tls(self):
        async def ask(client):
            texts = [(await client.get(self.safe + "/port")).text for _ in range(2)]
            text = (await client.get(self.safe + "/text.txt")).text
            return texts, text
        texts, text = self.ask(ask)
        self.assertEqual((texts[0], text == self.TEXT), (texts[1], True))
        self.assertTrue(texts[0].endswith(" GET HTTP/1.1 localhost"), texts)
        with self.assertRaisesRegex(circuits_web.ConnectError, "CERTIFICATE_VERIFY_FAILED"):
            self.fetch(lambda client: client.get(self.safe))

    def test_redirects(self):
        async def ask(client):
            old = await client.get(self.base + "/old")
            away = await client.get(self.base + "/away", auth=("bob", "secret"))
            kept = await client.post(self.base + "/kept", data=b"x")
            return old, away, kept
        old, away, kept = self.ask(ask)
        self.assertEqual((old.text, old.url), (self.TEXT, self.base + "/text.txt"))
        self.assertEqual((away.url, [one.status for one in away.history]), (self.safe + "/port", [302]))
        self.assertIn(" POST ", kept.text)
        with self.assertRaises(circuits_web.TooManyRedirects):
            self.ask(lambda client: client.get(self.base + "/loop"))

    def test_ranges_and_conditions(self):
        async def ask(client):
            url = self.base + "/text.txt"
            part = await client.get(url, headers={"Range": "bytes=5-15", "Accept-Encoding": None})
            several = await client.get(url, headers={"Range": "bytes=0-3,10-13", "Accept-Encoding": None})
            beyond = await client.get(url, headers={"Range": "bytes=99999999-", "Accept-Encoding": None})
            head = await client.head(url)
            same = await client.get(url, headers={"If-Modified-Since": head.headers["Last-Modified"]})
            missing = await client.get(self.base + "/missing")
            return part, several, beyond, head, same, missing
        part, several, beyond, head, same, missing = self.ask(ask)
        self.assertEqual((part.status, part.text, part.headers["Content-Range"]),
                         (206, self.TEXT[5:16], "bytes 5-15/%d" % len(self.TEXT)))
        self.assertEqual((several.status, beyond.status, head.status, same.status, missing.status), (206, 416, 200, 304, 404))
        self.assertIn("404 Not Found", missing.text)
        self.assertEqual((head.content, same.content), (b"", b""))

    def test_closed_in_the_middle(self):
        cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000
        ScriptedServer(self, [cut], [cut], address=socket.create_server(("127.0.0.1", self.broken)))

        async def ask(client):
            with self.assertRaisesRegex(circuits_web.BadResponse, "ended within the body"):
                await client.get(self.base + "/cut")
            size = 0
            response = await client.get(self.base + "/cut", stream=True)
            with self.assertRaisesRegex(circuits_web.BadResponse, "ended within the body"):
                async for piece in response:
                    size += len(piece)
            return size, client._links
        self.assertEqual(self.ask(ask), (50000, {}))

    def test_uploads(self):
        async def ask(client):
            data = os.urandom(500000)
            statuses = []
            for body in (data, io.BytesIO(data), (data[at:at + 999] for at in range(0, len(data), 999))):
                statuses.append((await client.put(self.base + "/up", body)).status)
                with open(os.path.join(self.folder_, "uploaded"), "rb") as file:
                    self.assertEqual(file.read(), data)
            statuses.append((await client.put(self.base + "/up", b"x" * 5000000)).status)
            statuses.append((await client.get(self.base + "/port")).status)
            return statuses
        self.assertEqual(self.ask(ask), [201, 204, 204, 413, 200])

    def test_cookies_passwords_and_a_socket(self):
        async def ask(client):
            await client.get(self.base + "/ask")
            asked = await client.get(self.base + "/ask")
            secret = [await client.get(self.base + "/secret", auth=auth) for auth in (None, ("bob", "no"), ("bob", "secret"))]
            through = await client.get("http+unix://%s/port" % urllib.parse.quote(self.socket_, ""))
            return asked.text, asked.headers["X-Agent"], [one.status for one in secret], through.text.split()
        self.assertEqual(self.ask(ask), ("a=b", "circuits/2.1.0", [401, 401, 200], ["GET", "HTTP/1.1"]))

    def test_many_at_once(self):
        async def ask(client):
            async with circuits.group(client) as tasks:
                values = [tasks.start(client.get(self.base + "/text.txt")) for _ in range(50)]
                values += [tasks.start(client.get(self.safe + "/port")) for _ in range(50)]
            return {value.value.text == self.TEXT for value in values[:50]}, len(client._idle)
        right, kept = self.ask(ask)
        self.assertEqual(right, {True})
        self.assertLessEqual(kept, 2 * circuits_web.MAX_PER_HOST)


class TestClientExamples(WebTest):

    def test_it_crawls_a_site(self):
        class Site(circuits_web.Controller):
            def index(self):
                return '<title>Home &amp; more</title><a href="/a">a</a> <a href="b#x">b</a> <a href=/a>again</a>'

            def a(self):
                return "<TITLE>\nA page\n</TITLE><a href='http://elsewhere.invalid/'>out</a><a href=/gone>gone</a>"

            def b(self):
                return self.redirect("/a")
        self.serve(Site())
        program = ExamplesTest.start(self, "web_crawler.py", "http://127.0.0.1:%d/" % self.port)
        program.process.wait(PATIENCE)
        out, err = program.end()
        self.assertEqual(err, "")
        lines = out.splitlines()
        base = "http://127.0.0.1:%d" % self.port
        self.assertEqual(lines[0], "200 %s/ Home & more" % base)
        self.assertEqual(sorted(lines[1:-1]), sorted([
            "200 %s/a A page" % base, "200 %s/b A page" % base, "404 %s/gone 404 Not Found" % base]))
        self.assertEqual(lines[-1], "4 pages")

    def test_it_fetches_a_page_by_events(self):
        self.serve(Greeter())
        for path, expected in (("/greet?name=Bob", "Hello Bob!"), ("/gone", "410 Gone\n")):
            program = ExamplesTest.start(self, "web_client.py", "http://127.0.0.1:%d%s" % (self.port, path))
            program.process.wait(PATIENCE)
            out, err = program.end()
            self.assertEqual(err, "")
            self.assertIn("Content-Length: ", out)
            self.assertIn(expected, out + "\n")
        program = ExamplesTest.start(self, "web_client.py", "http://127.0.0.1:1/")
        program.process.wait(PATIENCE)
        self.assertIn("There is nobody: CONNECT http://127.0.0.1:1/: no connection", program.end()[0])


# ---------------------------------------------------------------------------
# Web: WSGI, both ways
# ---------------------------------------------------------------------------

def environ_of(target="/", prefix="", method="GET", headers=(), body=None, mount=None):
    """create_environ() for a request that came like that."""
    request = circuits_web.HTTPRequest(circuits_web.FakeSock(), method, headers=circuits_web.Headers(
        [("Host", "example.com"), *headers]))
    request._head = circuits_web.Head((1, 1), request.headers)
    request._head.target = target
    request.set_target(target)
    if mount:
        request.mount(mount)
    if body is not None:
        request.body = io.BytesIO(body)
    return circuits_web.create_environ(sys.stderr, prefix, request)


class TestWSGIEnviron(CircuitsTest):
    """A request as PEP 3333 has it."""

    def test_where_the_application_is_and_what_is_left(self):
        for target, prefix, script_name, path_info in (
                ("/", "", "", "/"), ("/", "/", "", "/"), ("/a", "/", "", "/a"),
                ("/a", "/a", "/a", ""), ("/a/", "/a", "/a", "/"), ("/a/b", "a/", "/a", "/b"),
                ("/a/b/c/", "/a/b", "/a/b", "/c/"), ("/a//b", "/a", "/a", "//b"),
                ("//a", "", "", "//a"), ("/a/./b/../c", "/a", "/a", "/c"),
                ("/caf%C3%A9", "", "", "/caf\xc3\xa9"), ("/caf%C3%A9/x", "/café", "/caf\xc3\xa9", "/x"),
                ("/a%2Fb", "", "", "/a/b"), ("/a%2Fb", "/a%2Fb", "/a%2Fb", ""), ("/%252F", "", "", "/%2F"),
                ("/a%20b%2B+c", "", "", "/a b++c"), ("/x;v=1", "", "", "/x;v=1"), ("/x;v/y", "", "", "/x;v/y"),
                ("/a%3Fb?c%3F=1", "", "", "/a?b"), ("/x;%FF", "", "", "/x;\xff"),
                ("http://other.example/a?b", "/a", "/a", "")):
            with self.subTest(target=target, prefix=prefix):
                environ = environ_of(target, prefix)
                self.assertEqual((environ["SCRIPT_NAME"], environ["PATH_INFO"]), (script_name, path_info))
        self.assertEqual(environ_of("/x;v", mount="foo")["PATH_INFO"], "/foo/x;v")

    def test_no_dot_segments_come_in_disguise(self):
        for target in ("/a/x%2F..%2Fadmin", "/a/..%2F", "/a/%2F.", "/a/%2e%2e%2Fb", "/a/b;%2F..%2Fb", "/a/b;%00"):
            with self.assertRaises(circuits_web.BadInput, msg=target):
                environ_of(target, "/a")
        self.assertEqual(environ_of("/a/..b%2F...", "/a")["PATH_INFO"], "/..b/...")

    def test_the_query_stays_as_it_is(self):
        self.assertEqual(environ_of("/a?b=%20+c&&d%3D")["QUERY_STRING"], "b=%20+c&&d%3D")
        self.assertEqual(environ_of("/a")["QUERY_STRING"], "")

    def test_headers(self):
        environ = environ_of(headers=[
            ("Content-Type", "text/plain"), ("X-One", "1"), ("X-One", "2"), ("Cookie", "a=1"), ("Cookie", "b=2"),
            ("X_Forwarded_For", "evil"), ("Proxy", "http://evil"), ("Accept", "é")], body=b"12345")
        self.assertEqual({k: v for k, v in environ.items() if k.startswith(("HTTP_", "CONTENT_"))}, {
            "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "5", "HTTP_X_ONE": "1, 2", "HTTP_COOKIE": "a=1; b=2",
            "HTTP_ACCEPT": "é", "HTTP_HOST": "example.com"})
        self.assertEqual(environ_of("http://other.example/")["HTTP_HOST"], "other.example")

    def test_the_body_has_a_length_and_an_end(self):
        environ = environ_of(method="POST", headers=[("Transfer-Encoding", "chunked")], body=b"abc")
        self.assertEqual((environ["CONTENT_LENGTH"], environ["wsgi.input_terminated"]), ("3", True))
        self.assertNotIn("HTTP_TRANSFER_ENCODING", environ)
        self.assertEqual((environ["wsgi.input"].read(), environ["wsgi.input"].read(1)), (b"abc", b""))
        environ = environ_of()
        self.assertNotIn("CONTENT_LENGTH", environ)
        self.assertNotIn("CONTENT_TYPE", environ)
        self.assertEqual(environ["wsgi.input"].read(), b"")

    def test_server_and_client(self):
        request = circuits_web.HTTPRequest(None, scheme="https")
        request.local = circuits_web.Host("10.0.0.1", 8443)
        request.remote = circuits_web.Host("10.0.0.2", 1234)
        request.login = "bob"
        environ = circuits_web.create_environ(None, "", request)
        self.assertEqual([environ[key] for key in (
            "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "SERVER_PROTOCOL",
            "REMOTE_USER")], ["10.0.0.1", "8443", "10.0.0.2", "1234", "https", "HTTP/1.1", "bob"])
        request.local = request.remote = circuits_web.Host("/run/sock", None)
        environ = circuits_web.create_environ(None, "", request)
        self.assertEqual([environ[key] for key in ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR")],
                         ["localhost", "443", ""])


class Noted:
    """An iterable that an application returns; it notes what happens to it."""

    def __init__(self, pieces, length=None):
        self.pieces = iter(pieces)
        self.closed = []            # the threads that closed it
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        self.taken += 1
        return piece

    def close(self):
        self.closed.append(threading.get_ident())


class GatewayTests:
    """What holds in the loop and in threads alike."""

    workers = 0

    def gate(self, app, server=circuits_web.Server, **options):
        """Serve an application, or several."""
        return self.serve(circuits_web.Gateway(app, workers=self.workers), server=server, **options)

    def reply(self, result, *headers, status="200 OK"):
        """Serve an application that answers so; *result* may be a function."""
        def app(environ, start_response):
            start_response(status, [("Content-Type", "text/plain"), *headers])
            return result(environ) if callable(result) else result
        self.gate(app)

    def test_the_documented_program(self):
        def hello(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return ["Hello World!"]

        def foo(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return ["Foo!"]
        self.gate({"/": hello, "/foo": foo}, server=circuits_web.BaseServer)
        for path, text in (("/", b"Hello World!"), ("/foo", b"Foo!"), ("/foo/x", b"Foo!"), ("/foob", b"Hello World!"),
                           ("/x", b"Hello World!"), ("/foo%2Fx", b"Hello World!"), ("/x/../foo", b"Foo!")):
            self.assertEqual(self.get(path), (200, text), path)

    def test_other_paths_are_the_dispatchers(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [environ["SCRIPT_NAME"].encode()]
        self.gate({"/app": app})
        self.app += Greeter()
        self.assertEqual(self.get("/app/greet")[1], b"/app")
        self.assertEqual(self.get("/greet")[1], b"Hello you!")
        self.assertEqual(self.get("/nope/x/y")[0], 200)
        self.assertEqual(self.ask("*", "OPTIONS")[0], 204)

    def test_a_guard_comes_before(self):
        class Guard(BaseComponent):
            channel = "web"

            @handler("request", filter=True)
            def _on_request(self, request, response):
                if request.path != "/open":
                    return circuits_web.Forbidden(request, response)
        self.reply([b"secret"])
        self.app += Guard()
        self.assertEqual(self.get("/")[0], 403)
        self.assertEqual(self.get("/open"), (200, b"secret"))

    def test_bodies_of_every_kind(self):
        def generator(environ):
            yield b"a"
            yield b""
            yield "é"
        for result, body in (
                ([], b""), ([b""], b""), ("", b""), ("text", b"text"), (b"bytes", b"bytes"), ((b"a", "b"), b"ab"),
                ([bytearray(b"x"), memoryview(b"y")], b"xy"), (generator, "aé".encode()),
                (lambda environ: iter([]), b""), (lambda environ: Noted([b"", b"1", b"2"]), b"12"),
                ([b"x" * 3000000], b"x" * 3000000)):
            with self.subTest(result=repr(result)[:60]):
                self.reply(result)
                self.assertEqual(self.get(), (200, body))

    def test_what_is_no_body_is_an_error(self):
        for result in ([1], None, 5, [None]):
            with self.subTest(result=result):
                self.expect_stderr("Error")
                self.reply(result)
                self.assertEqual(self.get()[0], 500)

    def test_status_and_headers(self):
        self.reply([b"x"], ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Server", "mine"), status="299 All's well")
        status, headers, body = self.ask()
        self.assertEqual((status, headers.get_all("Set-Cookie"), headers.get_all("Server")),
                         (299, ["a=1", "b=2"], ["mine"]))
        self.assertIn(b"HTTP/1.1 299 All's well\r\n",
                      self.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))

    def test_what_may_not_be_said(self):
        for status, headers in (
                ("200 OK\r\nX: y", []), ("OK", []), (200, []), ("101 Switching", []), ("20", []),
                ("200 OK", [("X", "a\r\nb")]), ("200 OK", [("X Y", "a")]), ("200 OK", [("X", None)]),
                ("200 OK", [("Connection", "close")]), ("200 OK", [("Transfer-Encoding", "chunked")]),
                ("200 OK", [("Content-Length", "-1")]), ("200 OK", [("Content-Length", "1_0")])):
            with self.subTest(status=status, headers=headers):
                def app(environ, start_response):
                    start_response(status, headers)
                    return [b"x"]
                self.expect_stderr("Error")
                self.gate(app)
                self.assertEqual(self.get()[0], 500)

    def test_start_response_is_called_once_and_not_never(self):
        def twice(environ, start_response):
            start_response("200 OK", [])
            start_response("200 OK", [])

        def never(environ, start_response):
            return [b"x"]

        def late(environ, start_response):
            start_response("200 OK", [])
            yield b"x"
        self.expect_stderr("was called before")
        self.expect_stderr("did not call start_response()")
        self.gate({"/twice": twice, "/never": never, "/late": late})
        self.assertEqual([self.get(path)[0] for path in ("/twice", "/never", "/late")], [500, 500, 200])

    def test_an_error_replaces_what_was_not_sent(self):
        def app(environ, start_response):
            start_response("200 OK", [("X-First", "1")])
            try:
                raise KeyError("x")
            except KeyError:
                start_response("503 Sorry", [("X-Second", "2")], sys.exc_info())
            return [b"sorry"]

        def late(environ, start_response):
            start_response("200 OK", [])
            yield b"begun"
            try:
                raise KeyError("too late")
            except KeyError:
                start_response("503 Sorry", [], sys.exc_info())
        self.gate({"/": app, "/late": late})
        status, headers, body = self.ask()
        self.assertEqual((status, headers["X-First"], headers["X-Second"], body), (503, None, "2", b"sorry"))
        self.expect_stderr("too late")
        answer = self.raw(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(answer.endswith(b"5\r\nbegun\r\n"), answer)

    def test_an_application_that_fails(self):
        def app(environ, start_response):
            raise ValueError("<secret>")
        self.expect_stderr("<secret>")
        self.gate(app)
        status, body = self.get()
        self.assertEqual(status, 500)
        self.assertNotIn(b"secret", body)
        self.gate(app, debug=True)
        self.assertIn(b"ValueError", self.get()[1])
        self.assertIn(b"&lt;secret&gt;", self.get()[1])

    def test_a_body_that_fails_is_cut_and_closed(self):
        def broken():
            yield b"begun"
            raise ValueError("midway")
        noted = Noted(broken())
        self.expect_stderr("midway")
        self.reply(lambda environ: noted)
        answer = self.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(answer.endswith(b"5\r\nbegun\r\n"), answer)
        wait_for(lambda: len(noted.closed) == 1)

    def test_a_body_that_fails_at_once_is_an_error_page(self):
        def broken():
            raise ValueError("at once")
            yield
        noted = Noted(broken())
        self.expect_stderr("at once")
        self.reply(lambda environ: noted)
        self.assertEqual(self.get()[0], 500)
        self.assertEqual(len(noted.closed), 1)

    def test_a_close_that_fails_is_reported(self):
        class Bad(Noted):
            def close(self):
                super().close()
                raise ValueError("in close")
        bad = []
        self.expect_stderr("in close")
        self.reply(lambda environ: bad.append(Bad([b"x", b"y"])) or bad[-1])
        self.assertEqual(self.get(), (200, b"xy"))
        self.assertEqual(len(wait_for(lambda: bad[0].closed)), 1)
        wait_for(lambda: "in close" in self._noise.getvalue())

    def test_bodies_are_closed_once(self):
        made = []
        self.reply(lambda environ: made.append(Noted([b"x", b"y"])) or made[-1])
        for method in ("GET", "HEAD"):
            self.ask("/", method)
        wait_for(lambda: [len(noted.closed) for noted in made] == [1, 1])

    def test_write(self):
        def app(environ, start_response):
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"one ")
            write("two ")
            write(b"")
            return Noted([b"three"])
        self.gate(app)
        self.assertEqual(self.get(), (200, b"one two three"))

    def test_much_is_written(self):
        def app(environ, start_response):
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            for _ in range(40):
                write(b"x" * 100000)
            return []
        self.gate(app)
        self.assertEqual(self.get(), (200, b"x" * 4000000))

    def test_content_length_and_reality(self):
        noted = []
        for result in (lambda environ: noted.append(Noted([b"12345", b"67890"])) or noted[-1],):
            self.reply(result, ("Content-Length", "7"))
            answer = self.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(answer.endswith(b"\r\n\r\n1234567"), answer)
            self.reply(result, ("Content-Length", "70"))
            answer = self.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(answer.endswith(b"\r\n\r\n1234567890"), answer)
        self.reply([b"12345"], ("Content-Length", "3"))
        self.assertEqual(self.ask()[1]["Content-Length"], "5")
        wait_for(lambda: all(len(n.closed) == 1 for n in noted))

    def test_what_has_its_length_is_not_chunked(self):
        noted = []
        self.reply(lambda environ: noted.append(Noted([b"123", b"45", b""])) or noted[-1], ("Content-Length", "5"))
        for _ in range(3):
            answer = self.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertIn(b"Content-Length: 5\r\n", answer)
            self.assertNotIn(b"chunked", answer)
            self.assertTrue(answer.endswith(b"\r\n\r\n12345"), answer)
        wait_for(lambda: [len(n.closed) for n in noted] == [1, 1, 1])

    def test_head_and_answers_without_a_body(self):
        def app(environ, start_response):
            code = environ["PATH_INFO"][1:4]
            start_response(code + " X", [("Content-Length", "10")])
            return [b"0123456789"] if environ["PATH_INFO"].endswith("body") else []
        self.gate(app)
        for method, path, length in (("HEAD", "/200", "10"), ("HEAD", "/200body", "10"), ("GET", "/304", "10"),
                                     ("GET", "/304body", "10"), ("GET", "/204", None), ("GET", "/204body", None)):
            answer = self.raw((method + " " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"
                               "GET /200body HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").encode())
            head, _, rest = answer.partition(b"\r\n\r\n")
            self.assertEqual(re.findall(rb"Content-Length: (\d+)", head), [length.encode()] if length else [], path)
            self.assertTrue(rest.startswith(b"HTTP/1.1 200 X"), rest)

    def test_uploads(self):
        def app(environ, start_response):
            data = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            start_response("200 OK", [])
            return [b"%d %d" % (len(data), sum(data[:10]))]
        self.gate(app)
        for body in (b"", b"abc", b"\1" * 3000000):
            self.assertEqual(self.ask("/", "POST", body)[2], b"%d %d" % (len(body), sum(body[:10])))
        self.assertIn(b"5 495", self.raw(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"))

    def test_http_1_0(self):
        self.reply(lambda environ: Noted([b"a", b"b"]))
        answer = self.raw(b"GET / HTTP/1.0\r\n\r\n")
        self.assertNotIn(b"chunked", answer)
        self.assertTrue(answer.endswith(b"\r\n\r\nab"), answer)

    def test_files_are_sent_and_closed(self):
        folder = self.folder(x="0123456789" * 100000)
        made = []

        def app(environ, start_response):
            kind = environ["PATH_INFO"]
            if kind == "/memory":
                made.append(io.BytesIO(b"memory"))
            elif kind == "/pipe":
                reader, writer = os.pipe()
                os.write(writer, b"piped")
                os.close(writer)
                made.append(open(reader, "rb"))
            elif kind == "/gzip":
                import gzip
                with gzip.open(os.path.join(folder, "g"), "wb") as file:
                    file.write(b"unpacked")
                made.append(gzip.open(os.path.join(folder, "g")))
            else:
                made.append(open(os.path.join(folder, "x"), "rb"))
            if kind == "/rest":
                made[-1].seek(10)
            start_response("200 OK", [("Content-Length", "5")] if kind == "/five" else [])
            return environ["wsgi.file_wrapper"](made[-1], 1000)
        self.gate(app)
        whole = b"0123456789" * 100000
        for path, body in (("/", whole), ("/rest", whole[10:]), ("/five", b"01234"), ("/memory", b"memory"),
                           ("/gzip", b"unpacked"), ("/pipe", b"piped")):
            self.assertEqual(self.get(path), (200, body), path)
        self.assertEqual(self.ask("/", "HEAD")[1]["Content-Length"], "1000000")
        wait_for(lambda: all(file.closed for file in made))

    def test_a_peer_that_leaves_closes_the_body(self):
        noted = Noted(b"x" * 50000 for _ in iter(int, 1))
        self.reply(lambda environ: noted)
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(sock.recv(10))
            self.assertEqual(noted.closed, [])
        wait_for(lambda: noted.closed)
        self.assertEqual(len(noted.closed), 1)

    def test_a_peer_that_does_not_read_holds_the_application_up(self):
        noted = Noted(b"x" * 50000 for _ in range(2000))
        self.reply(lambda environ: noted)
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            before = [-1]

            def stands_still():
                before.append(noted.taken)
                return before[-1] == before[-20:][0] and before[-1] > 0 and len(before) > 20
            wait_for(stands_still)
            self.assertLess(noted.taken, 1000)
            self.assertEqual(noted.closed, [])
        wait_for(lambda: noted.closed)

    def test_stopping_closes_what_is_being_sent(self):
        noted = Noted(b"x" * 50000 for _ in iter(int, 1))
        self.reply(lambda environ: noted)
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            sock.recv(10)
            self.app.stop()
            self.app.join(PATIENCE)
        wait_for(lambda: noted.closed)

    def test_headers_of_earlier_handlers_stay(self):
        class Marker(BaseComponent):
            channel = "web"

            @handler("request")
            def _on_request(self, request, response):
                response.headers["X-Mark"] = "1"
                response.headers["X-Both"] = "ours"
        self.reply([b"x"], ("X-Both", "theirs"))
        self.app += Marker()
        _, headers, _ = self.ask()
        self.assertEqual((headers["X-Mark"], headers.get_all("X-Both")), ("1", ["theirs"]))

    def test_with_a_debugger_every_step_is_an_event(self):
        rec = Recorder()
        self.reply(lambda environ: Noted([b"x", b"y"]))
        self.app += rec
        self.assertEqual(self.get(), (200, b"xy"))
        self.assertFired(rec, "read", "request", "response", "stream", "write")

    def test_wsgiref_finds_no_fault(self):
        from wsgiref.validate import validator

        def plain(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [environ["wsgi.input"].read(3)]

        def streamed(environ, start_response):
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"a")
            environ["wsgi.errors"].flush()

            def pieces():
                yield b"b"
                yield b"c"
            return pieces()

        def empty(environ, start_response):
            start_response("204 No Content", [])
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.gate({"/": validator(plain), "/a/streamed": validator(streamed), "/empty": validator(empty)})
            self.assertEqual(self.ask("/x", "POST", b"abc")[2], b"abc")
            self.assertEqual(self.get("/a/streamed")[1], b"abc")
            self.assertEqual(self.get("/empty/")[0], 204)
            self.assertEqual(self.ask("/", "HEAD")[0], 200)

    def test_a_streamed_upload_of_another_handler_is_collected(self):
        class Root(circuits_web.Controller):
            @circuits_web.expose("up", stream=True)
            def upload(self):
                return "not me"
        self.reply(lambda environ: [environ["wsgi.input"].read()])
        self.app += Root()
        self.assertEqual(self.ask("/up", "POST", b"x" * 300000)[2], b"x" * 300000)


class TestGateway(GatewayTests, WebTest):
    """Applications called in the loop."""

    def test_it_runs_where_handlers_do(self):
        threads = []
        self.reply(lambda environ: threads.append(threading.get_ident()) or [
            repr((environ["wsgi.multithread"], environ["wsgi.multiprocess"], environ["wsgi.run_once"])).encode()])
        self.assertEqual(self.get()[1], b"(False, False, False)")
        self.assertEqual(threads, [self.app._reactor.ident])

    def test_mistakes_are_said_at_once(self):
        for apps in ({"/": 5}, {"/": None}, [], 5):
            with self.assertRaises((TypeError, AttributeError)):
                circuits_web.Gateway(apps)
        for workers in (-1, "2", None, 1.5):
            with self.assertRaises(ValueError):
                circuits_web.Gateway({}, workers=workers)


class TestGatewayInThreads(GatewayTests, WebTest):
    """Applications called in threads."""

    workers = 3

    def test_one_that_blocks_holds_nobody_up(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def slow(environ, start_response):
            gate.wait(PATIENCE)
            start_response("200 OK", [])
            return [repr(environ["wsgi.multithread"]).encode()]
        self.gate({"/slow": slow, "/fast": lambda environ, start: start("200 OK", []) and [b"fast"]})
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.get("/slow"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        self.assertEqual(self.get("/fast"), (200, b"fast"))
        self.assertEqual(answers, [])
        gate.set()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(answers, [(200, b"True")] * 2)

    def test_a_body_is_closed_in_the_thread_that_made_it(self):
        threads = []
        noted = Noted(b"x" * 50000 for _ in iter(int, 1))
        self.reply(lambda environ: threads.append(threading.get_ident()) or noted)
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(sock.recv(10))
        wait_for(lambda: noted.closed)
        self.assertEqual(noted.closed, threads)
        self.assertNotEqual(threads, [self.app._reactor.ident])

    def test_pieces_go_out_as_they_come(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def pieces(environ):
            yield b"first"
            gate.wait(PATIENCE)
            yield b"second"
        self.reply(pieces)
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            got = b""
            while b"first" not in got:
                got += sock.recv(1000)
            gate.set()
            while b"second" not in got:
                got += sock.recv(1000)

    def test_nobody_is_called_for_a_peer_that_left(self):
        gate = threading.Event()
        self.addCleanup(gate.set)
        calls = []

        def app(environ, start_response):
            calls.append(environ["PATH_INFO"])
            gate.wait(PATIENCE)
            start_response("200 OK", [])
            return [b"x"]
        self.gate(app)
        socks = []
        for number in range(5):
            sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            self.addCleanup(sock.close)
            sock.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            socks.append(sock)
            wait_for(lambda: len(self.app.http._connections) == number + 1)
        wait_for(lambda: len(calls) == 3)
        for sock in socks[3:]:
            sock.close()
        wait_for(lambda: len(self.app.http._connections) == 3)
        gate.set()
        self.assertEqual(self.get("/last"), (200, b"x"))
        self.assertEqual(sorted(calls), ["/0", "/1", "/2", "/last"])

    def test_stopping_with_a_queue_is_silent(self):
        gate, calls = threading.Event(), []
        self.addCleanup(gate.set)

        def app(environ, start_response):
            calls.append(environ)
            gate.wait(PATIENCE)
            start_response("200 OK", [])
            return [b"x"]
        self.gate(app)
        for number in range(6):
            sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            self.addCleanup(sock.close)
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: len(self.app.http._connections) == number + 1)
        wait_for(lambda: len(calls) == 3)
        self.app.stop()
        self.app.join(PATIENCE)
        self.assertEqual(len(calls), 3)
        self.assertEqual(self.app.http._connections, {})

    def test_a_request_just_behind_the_stop_is_silent(self):
        class Stopper(Component):
            channel = "*"

            @handler("request", priority=1)
            def _on_request(self, request, response):
                self.root.stop()
        calls = []
        self.gate(lambda environ, start_response: calls.append(environ))
        self.app += Stopper()
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(sock.recv(10), b"")
        self.app.join(PATIENCE)
        self.assertEqual(calls, [])

    def test_what_comes_when_nobody_waits_is_closed(self):
        folder = self.folder(x="a file")
        gate, calls = threading.Event(), []
        self.addCleanup(gate.set)

        def app(environ, start_response):
            noted = Noted(b"x" * 50000 for _ in iter(int, 1))
            calls.append(noted)
            gate.wait(PATIENCE)
            start_response("200 OK", [])
            if environ["PATH_INFO"] == "/file":
                calls.append(open(os.path.join(folder, "x"), "rb"))
                return environ["wsgi.file_wrapper"](calls[-1])
            return noted
        self.gate(app)
        for path, stop in ((b"/file", False), (b"/", True)):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                sock.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
                wait_for(lambda: calls)
                if stop:
                    self.app.stop()
                    self.app.join(PATIENCE)
            if not stop:
                wait_for(lambda: not self.app.http._connections)
            gate.set()
            wait_for(lambda: calls[-1].closed)
            gate.clear()
            del calls[:]

    def test_a_thread_survives_system_exit(self):
        def app(environ, start_response):
            raise SystemExit(3)
        self.expect_stderr("SystemExit")
        self.gate(app)
        for _ in range(4):
            self.assertEqual(self.get()[0], 500)

    def test_nothing_is_kept(self):
        self.gate(lambda environ, start: start("200 OK", []) and [b"x"])
        gateway = next(c for c in self.app.components if isinstance(c, circuits_web.Gateway))
        for method in ("GET", "HEAD"):
            self.ask("/", method)
        self.assertEqual(len(gateway._pipes), 0)


class WSGICaller:
    """What a WSGI server does: calls an application, takes what it returns."""

    def __init__(self, app):
        from wsgiref.validate import validator
        self.app = app
        self.validated = validator(app)

    def environ(self, path="/", method="GET", body=b"", **more):
        environ = {
            "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "10.0.0.9", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.multithread": True,
            "wsgi.multiprocess": True, "wsgi.run_once": False, "HTTP_HOST": "example.com",
            "CONTENT_LENGTH": str(len(body)) if body else ""}
        if not body:
            del environ["CONTENT_LENGTH"]
        environ.update(more)
        return {key: value for key, value in environ.items() if value is not None}

    def ask(self, path="/", method="GET", body=b"", **more):
        """(status, headers, body); all of it looked at by wsgiref.validate."""
        said = []

        def start_response(status, headers, exc_info=None):
            said.append((status, headers))
            return lambda data: None
        result = self.validated(self.environ(path, method, body, **more), start_response)
        try:
            data = b"".join(result)
        finally:
            result.close()
        (status, headers), = said
        return status, http.client.parse_headers(io.BytesIO(
            "".join("%s: %s\r\n" % pair for pair in headers).encode("latin-1") + b"\r\n")), data

    def get(self, *args, **kwargs):
        return self.ask(*args, **kwargs)[::2]


class TestWSGIApplication(CircuitsTest):
    """Our application, called as a WSGI server does."""

    def call(self, *components, **options):
        app = circuits_web.Application(**options)
        for component in components:
            app += component
        self.addCleanup(app.join, PATIENCE)
        self.addCleanup(app.stop)
        self.app = app
        self.caller = WSGICaller(app)
        return self.caller

    def test_controllers_answer(self):
        caller = self.call(Greeter())
        for path, query, body in (("/", "", b"Hello World!"), ("/greet/Bob", "", b"Hello Bob!"),
                                  ("/greet", "name=%C3%A9", "Hello é!".encode()), ("/add/1/2", "", b"3"),
                                  ("/greet", "name=\xc3\xa9+%2B", "Hello é +!".encode()),
                                  ("/greet/\xc3\xa9", "", "Hello é!".encode())):
            self.assertEqual(caller.get(path, QUERY_STRING=query), ("200 OK", body))
        self.assertEqual(caller.ask("/")[1]["Content-Length"], "12")
        self.assertEqual([caller.get(path)[0] for path in ("/moved", "/gone", "/missing", "/raised", "/a/b/../c")],
                         ["303 See Other", "410 Gone", "404 Not Found", "302 Found", "200 OK"])
        self.assertEqual(caller.ask("/moved")[1]["Location"], "http://example.com/greet?name=there")
        self.assertEqual(caller.ask("/moved", SCRIPT_NAME="/m\xc3\xbc")[1]["Location"],
                         "http://example.com/m%C3%BC/greet?name=there")

    def test_every_kind_of_handler(self):
        class Answers(BaseComponent):
            channel = "answers"

            @handler("slow")
            def _on_slow(self, text):
                yield sleep(0.001)
                yield text

        class Root(circuits_web.Controller):
            def generator(self):
                value = yield self.call(Event.create("slow", "a"), "answers")
                yield value.value
                yield "b"

            async def coroutine(self):
                await sleep(0.001)
                return "c"

            def fired(self):
                return self.fire(Event.create("slow", "d"), "answers")

            def data(self):
                return {"a": 1}

            def nothing(self):
                return ""

            def streamed(self):
                self.response.body = (b"x" * 1000 for _ in range(1000))
                return self.response

            def later(self):
                async def pieces():
                    for text in "xyz":
                        await sleep(0.001)
                        yield text
                self.response.body = pieces()
                return self.response

            def by_event(self):
                self.response.stream = True
                self.fire(circuits_web.Stream(self.response, b"one"), "web")
                self.fire(circuits_web.Stream(self.response, b"two"), "web")
                self.fire(circuits_web.Stream(self.response, None), "web")
                return self.response

            def empty(self):
                self.response.body = iter(())
                return self.response

            def big(self):
                return "x" * 3000000
        caller = self.call(Root(), Answers())
        for path, body in (("/generator", b"ab"), ("/coroutine", b"c"), ("/fired", b"d"), ("/data", b'{"a": 1}'),
                           ("/nothing", b""), ("/streamed", b"x" * 1000000), ("/later", b"xyz"),
                           ("/by_event", b"onetwo"), ("/empty", b""), ("/big", b"x" * 3000000)):
            with self.subTest(path):
                self.assertEqual(caller.get(path), ("200 OK", body))
        headers = caller.ask("/streamed")[1]
        self.assertEqual((headers["Transfer-Encoding"], headers["Connection"], headers["Content-Length"]),
                         (None, None, None))
        self.assertEqual(caller.ask("/streamed", SERVER_PROTOCOL="HTTP/1.0")[1]["Connection"], None)
        self.assertEqual(self.app.http._connections, {})

    def test_what_a_request_knows(self):
        class Root(circuits_web.Controller):
            def index(self, *args, **kwargs):
                r = self.request
                assert r.wsgi_environ["wsgi.version"] == (1, 0)
                return json.dumps([r.method, r.scheme, r.path, r.qs, r.script_name, list(r.protocol), r.remote.ip,
                                   r.remote.port, r.local.name, r.local.port, r.base, r.uri, r.login,
                                   r.headers["X-Some-Thing"], r.headers["Content-Type"], r.server is r.server.root])
        caller = self.call(Root())
        got = json.loads(caller.get(
            "/a b/c", "PUT", b"x", SCRIPT_NAME="/mount", QUERY_STRING="q=1", SERVER_PORT="443", REMOTE_PORT="99",
            HTTP_X_SOME_THING="s", CONTENT_TYPE="text/x", REMOTE_USER="bob", **{"wsgi.url_scheme": "https"})[1])
        self.assertEqual(got, ["PUT", "https", "/a b/c", "q=1", "/mount", [1, 1], "10.0.0.9", 99, "127.0.0.1", 443,
                               "https://example.com", "https://example.com/mount/a%20b/c?q=1", "bob", "s",
                               "text/x", True])
        app = self.app
        self.assertEqual((app.host, app.port, app.secure, app.scheme, app.base),
                         ("127.0.0.1", 443, True, "https", "https://127.0.0.1"))

    def test_bad_requests(self):
        caller = self.call(Greeter(), max_body=1000)
        for status, more in (
                ("400 Bad Request", {"path": "/%", "PATH_INFO": "/\xff"}), ("400 Bad Request", {"path": "/../x"}),
                ("400 Bad Request", {"path": "/a\0"}), ("400 Bad Request", {"HTTP_X": "a\nb"}),
                ("400 Bad Request", {"HTTP_HOST": "evil/x"}), ("400 Bad Request", {"QUERY_STRING": "\u20ac"}),
                ("413 Request Entity Too Large", {"CONTENT_LENGTH": "1001"}),
                ("400 Bad Request", {"CONTENT_LENGTH": "5", "method": "POST"}),
                ("400 Bad Request", {"CONTENT_LENGTH": "٣", "method": "POST"}),
                ("411 Length Required", {"HTTP_TRANSFER_ENCODING": "chunked", "method": "POST"})):
            with self.subTest(more):
                said = []
                path, method = more.pop("path", "/"), more.pop("method", "GET")
                result = self.app(caller.environ(path, method, **more), lambda *args: said.append(args))
                self.assertIn(status.split()[1].encode(), b"".join(result))
                self.assertEqual(said[0][0], status)

    def test_bodies_and_forms(self):
        class Root(circuits_web.Controller):
            def form(self, **fields):
                return json.dumps({k: v if isinstance(v, str) else v.value.decode() for k, v in fields.items()})

            def size(self):
                return str(len(self.request.body.read()))
        caller = self.call(Root())
        self.assertEqual(caller.get("/form", "POST", b"a=1&b=%C3%A9", QUERY_STRING="c=3",
                                    CONTENT_TYPE="application/x-www-form-urlencoded")[1],
                         b'{"c": "3", "a": "1", "b": "\\u00e9"}')
        body = b'--x\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\ndata\r\n--x--\r\n'
        self.assertEqual(caller.get("/form", "POST", body, CONTENT_TYPE="multipart/form-data; boundary=x")[1],
                         b'{"f": "data"}')
        self.assertEqual(caller.get("/size", "POST", b"x" * 3000000)[1], b"3000000")
        for more in ({"HTTP_TRANSFER_ENCODING": "chunked"}, {}):      # no length: up to its end
            environ = caller.environ("/size", "POST", **more)
            environ.update({"wsgi.input": io.BytesIO(b"x" * 200000), "wsgi.input_terminated": True})
            self.assertEqual(b"".join(self.app(environ, lambda *args: None)), b"200000")

    def test_a_body_that_fails_to_arrive(self):
        class Input(io.BytesIO):
            def __init__(self, error):
                self.error = error

            def read(self, size):
                raise self.error
        caller = self.call(Greeter())

        def refused(error):
            environ = caller.environ("/", "POST", CONTENT_LENGTH="5")
            environ["wsgi.input"] = Input(error)
            said = []
            self.app(environ, lambda *args: said.append(args))
            self.assertEqual(said[0][0], "400 Bad Request")
        refused(ConnectionResetError("the client has left"))
        self.assertEqual(sys.stderr.getvalue(), "")
        self.expect_stderr("a fault of the server")
        refused(ValueError("a fault of the server"))

    def test_a_body_that_is_taken_piece_by_piece(self):
        class Root(circuits_web.Controller):
            @circuits_web.expose("up", stream=True)
            async def upload(self):
                sizes = [len(piece) async for piece in self.request.body]
                return "%d %s" % (sum(sizes), len(sizes) > 3)

            @circuits_web.expose("early", stream=True)
            def early(self):
                return "enough"

            @circuits_web.expose("echo", stream=True)
            async def echo(self):
                async def pieces():
                    async for piece in self.request.body:
                        yield piece
                self.response.body = pieces()
                return self.response
        caller = self.call(Root(), max_body=1000000)
        self.assertEqual(caller.get("/up", "POST", b"x" * 500000)[1], b"500000 True")
        self.assertEqual(caller.get("/up")[1], b"0 False")
        self.assertEqual(caller.get("/early", "POST", b"x" * 500000)[1], b"enough")
        self.assertEqual(caller.get("/up", "POST", b"x", CONTENT_LENGTH="5")[0], "400 Bad Request")
        environ = caller.environ("/up", "POST", HTTP_TRANSFER_ENCODING="chunked")
        environ.update({"wsgi.input": io.BytesIO(b"x" * 2000000), "wsgi.input_terminated": True})
        said = []
        self.app(environ, lambda *args: said.append(args[0]))
        self.assertEqual(said, ["413 Request Entity Too Large"])

    def test_errors_and_tracebacks(self):
        caller = self.call(Greeter())
        self.expect_stderr("secret")
        status, body = caller.get("/boom")
        self.assertEqual(status, "500 Internal Server Error")
        self.assertNotIn(b"secret", body)
        caller = self.call(Greeter(), debug=True)
        self.assertIn(b"&lt;secret&gt;", caller.get("/boom")[1])
        with self.assertRaises(TypeError):
            circuits_web.Application(debgu=True)

    def test_a_body_that_fails_midway_is_not_taken_for_whole(self):
        class Root(circuits_web.Controller):
            def index(self):
                def pieces():
                    yield b"begun"
                    raise ValueError("midway")
                self.response.body = pieces()
                return self.response
        caller = self.call(Root())
        self.expect_stderr("midway")
        result = self.app(caller.environ(), lambda *args: None)
        self.assertEqual(next(result), b"begun")
        with self.assertRaises(RuntimeError):
            next(result)
        result.close()
        self.assertEqual(self.app.http._connections, {})

    def test_what_cannot_be_answered_is_an_error(self):
        class Root(circuits_web.Controller):
            def index(self):
                self.response.status = 101
                return ""

            def crumb(self):
                self.cookie["a"] = "b"
                self.cookie["a"]["path"] = "/;x"
                return "x"
        caller = self.call(Root())
        self.expect_stderr("cannot pass through WSGI")
        self.expect_stderr("would split")
        self.assertEqual(caller.get()[0], "500 Internal Server Error")
        self.assertEqual(caller.get("/crumb")[0], "500 Internal Server Error")

    def test_head_and_answers_without_a_body(self):
        class Root(circuits_web.Controller):
            def index(self, code="200"):
                self.response.status = int(code)
                return "text"

            def streamed(self):
                self.response.body = iter([b"x"])
                return self.response
        caller = self.call(Root())
        status, headers, body = caller.ask("/", "HEAD")
        self.assertEqual((status, headers["Content-Length"], body), ("200 OK", "4", b""))
        for path, status in (("/204", "204 No Content"), ("/304", "304 Not Modified"), ("/299", "299 Unknown")):
            self.assertEqual(caller.ask(path, "HEAD")[::2], (status, b""))
            self.assertEqual(caller.get(path), (status, b"text" if path == "/299" else b""))
        self.assertEqual(caller.get("/streamed", "HEAD"), ("200 OK", b""))

    def test_files(self):
        folder = self.folder(x="0123456789" * 100000)
        wrapped = []

        class Wrapper:
            def __init__(self, file, size=None):
                self.file = file
                wrapped.append(self)

            def __iter__(self):
                return iter(lambda: self.file.read(1000), b"")

            def close(self):
                self.file.close()
        caller = self.call(circuits_web.Static("/s", docroot=folder))
        for more in ({}, {"wsgi.file_wrapper": Wrapper}):
            status, headers, body = caller.ask("/s/x", **more)
            self.assertEqual((status, headers["Content-Length"], body), ("200 OK", "1000000", b"0123456789" * 100000))
        self.assertTrue(wrapped.pop().file.closed)
        self.assertEqual(caller.get("/s/x", HTTP_RANGE="bytes=5-7", **{"wsgi.file_wrapper": Wrapper}),
                         ("206 Partial Content", b"567"))
        self.assertEqual(wrapped, [])           # it would send the file to its end
        self.assertEqual(caller.get("/s/x", "HEAD", **{"wsgi.file_wrapper": Wrapper}), ("200 OK", b""))

    def test_sessions_and_cookies(self):
        class Root(circuits_web.Controller):
            def index(self):
                self.session["n"] = self.session.get("n", 0) + 1
                self.cookie["seen"] = "yes"
                return str(self.session["n"])
        caller = self.call(circuits_web.Sessions(), Root())
        _, headers, body = caller.ask()
        cookies = [text.partition(";")[0] for text in headers.get_all("Set-Cookie")]
        self.assertEqual(len(cookies), 2)
        self.assertEqual((body, caller.get(HTTP_COOKIE="; ".join(cookies))[1]), (b"1", b"2"))

    def test_many_threads_at_once(self):
        class Root(circuits_web.Controller):
            def index(self, number):
                for _ in range(3):
                    yield sleep(0.001)
                yield number + self.request.qs

            def big(self, number):
                self.response.body = (number.encode() * 1000 for _ in range(300))
                return self.response
        caller = self.call(Root())
        wrong = []

        def ask(number):
            for turn in range(10):
                text = "%d%d" % (number, turn)
                if caller.get("/%d" % number, QUERY_STRING=text)[1] != ("%d%s" % (number, text)).encode():
                    wrong.append(text)
                if caller.get("/big/%d" % number)[1] != b"%d" % number * 300000:
                    wrong.append("big")
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(10, 18)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(wrong, [])
        self.assertEqual(self.app.http._connections, {})

    def test_a_server_that_takes_slowly_holds_the_body_up(self):
        taken = []
        closed = []

        class Root(circuits_web.Controller):
            def index(self):
                def pieces():
                    try:
                        for number in range(10000):
                            taken.append(number)
                            yield b"x" * 10000
                    finally:
                        closed.append(threading.get_ident())
                self.response.body = pieces()
                return self.response
        caller = self.call(Root())
        result = self.app(caller.environ(), lambda *args: None)
        next(result)
        before = [-1]

        def stands_still():
            before.append(len(taken))
            return len(before) > 20 and before[-1] == before[-20]
        wait_for(stands_still)
        self.assertLess(len(taken), 100)
        for _ in range(500):
            next(result)
        wait_for(lambda: len(taken) > 500)
        self.assertLess(len(taken), 600)
        result.close()                          # the peer left
        wait_for(lambda: closed)
        self.assertEqual(closed, [self.app._reactor.ident])
        self.assertEqual((list(result), self.app.http._connections), ([], {}))

    def test_the_tree_is_stopped_and_starts_again(self):
        class Root(circuits_web.Controller):
            def index(self):
                return "here"

            def never(self):
                yield sleep(1000)

            def end(self):
                raise SystemExit(3)

            def streamed(self):
                async def pieces():
                    yield "x"
                    await sleep(1000)
                self.response.body = pieces()
                return self.response
        caller = self.call(Root())
        self.assertEqual(caller.get()[1], b"here")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(caller.get("/never")))
        thread.start()
        wait_for(lambda: self.app.http._connections)
        streamed = self.app(caller.environ("/streamed"), lambda *args: None)
        self.assertEqual(next(streamed), b"x")
        self.app.stop()
        thread.join(PATIENCE)
        self.assertEqual(answers[0][0], "503 Service Unavailable")
        with self.assertRaises(RuntimeError):
            next(streamed)
        streamed.close()
        self.assertEqual(caller.get()[1], b"here")
        self.assertEqual(caller.get("/end")[0], "503 Service Unavailable")
        self.assertEqual(caller.get()[1], b"here")

    def test_mistakes_of_the_server_are_told_to_it(self):
        class Root(circuits_web.Controller):
            def index(self):
                self.response.body = (b"x" * 1000 for _ in iter(int, 1))
                return self.response
        caller = self.call(Root())
        with self.assertRaises(KeyError):
            self.app(caller.environ(REQUEST_METHOD=None), lambda *args: None)

        def start_response(*args):
            raise ZeroDivisionError
        with self.assertRaises(ZeroDivisionError):
            self.app(caller.environ(), start_response)
        wait_for(lambda: not self.app.http._connections)

    def test_calling_it_from_itself_is_refused(self):
        class Root(circuits_web.Controller):
            def index(self):
                return b"".join(self.server_app(caller.environ(), lambda *args: None))
        root = Root()
        caller = self.call(root)
        root.server_app = self.app
        self.expect_stderr("would wait for itself")
        self.assertEqual(caller.get()[0], "500 Internal Server Error")

    def test_a_tree_that_runs_already_is_used(self):
        caller = self.call(Greeter())
        with serving(self.app):
            ident = self.app._reactor.ident
            self.assertEqual(caller.get()[1], b"Hello World!")
            self.assertEqual(self.app._reactor.ident, ident)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_a_forked_process_runs_its_own(self):
        out, _ = child("""
            import os, sys, io
            sys.path.insert(0, sys.argv[1])
            import test_circuits
            import circuits_web
            app = circuits_web.Application() + test_circuits.Greeter()
            caller = test_circuits.WSGICaller(app)
            print(caller.get("/greet")[1], flush=True)
            for _ in range(3):
                busy = circuits_web._launching[os.getpid()]
                busy.acquire()      # as a thread might that is about to start the tree
                pid = os.fork()
                if pid:
                    busy.release()
                else:
                    print([caller.get("/greet/child")[1] for _ in range(3)] == [b"Hello child!"] * 3, flush=True)
                    os._exit(0)
                os.waitpid(pid, 0)
                print(caller.get("/greet/parent")[1], flush=True)
            """, HERE)
        self.assertEqual(out.split("\n")[:-1], ["b'Hello you!'"] + ["True", "b'Hello parent!'"] * 3)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_a_process_forked_while_a_handler_is_at_work(self):
        out, _ = child("""
            import os, sys, threading
            sys.path.insert(0, sys.argv[1])
            import test_circuits
            import circuits_web
            entered, gate = threading.Event(), threading.Event()

            class Root(test_circuits.Greeter):
                def hold(self):
                    entered.set()
                    gate.wait()
                    return "held"
            app = circuits_web.Application() + Root()
            caller = test_circuits.WSGICaller(app)
            thread = threading.Thread(target=lambda: print(caller.get("/hold")[1], flush=True))
            thread.start()
            entered.wait()
            pid = os.fork()
            if not pid:
                print(caller.get("/greet/child")[1], flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
            gate.set()
            thread.join()
            """, HERE)
        self.assertEqual(out.split("\n"), ["b'Hello child!'", "b'held'", ""])

    def test_the_gateway_serves_it(self):
        """Both ways at once: a tree calls another tree."""
        inner = circuits_web.Application() + Greeter()
        self.addCleanup(inner.join, PATIENCE)
        self.addCleanup(inner.stop)
        caller = self.call(circuits_web.Gateway({"/in": inner}, workers=2))
        self.assertEqual(caller.get("/in/greet/Bob"), ("200 OK", b"Hello Bob!"))
        self.assertEqual(caller.ask("/in/moved", SCRIPT_NAME="/out")[1]["Location"],
                         "http://example.com/out/in/greet?name=there")

    def test_server_sent_events(self):
        ended = []

        class Root(circuits_web.Controller):
            def news(self):
                stream = circuits_web.EventStream(self.request, self.response, keep_alive=0.01,
                                                  on_close=lambda stream: ended.append(stream.closed))
                return self.group.add(stream)
        root = Root()
        root.group = circuits_web.Group()
        caller = self.call(root)
        result = self.app(caller.environ("/news"), lambda *args: None)
        self.assertEqual(next(result), b":\n\n")
        self.app._reactor.call_soon(lambda: root.group.send("hello"))
        wait_for(lambda: next(result) == b"data: hello\n\n")
        self.assertEqual(next(result), b":\n\n")     # it is how the server learns that the peer left
        result.close()
        wait_for(lambda: ended)
        self.assertEqual((len(root.group), self.app.http._connections), (0, {}))
        result = self.app(caller.environ("/news"), lambda *args: None)
        self.assertEqual(next(result), b":\n\n")
        self.app.stop()
        self.assertEqual(set(result) - {b":\n\n"}, set())      # it ends, and as it should

    def test_web_sockets_are_refused(self):
        caller = self.call(circuits_web.WebSockets("/ws"))
        self.assertEqual(caller.get("/ws", HTTP_UPGRADE="websocket", HTTP_CONNECTION="Upgrade",
                                    HTTP_SEC_WEBSOCKET_VERSION="13",
                                    HTTP_SEC_WEBSOCKET_KEY="dGhlIHNhbXBsZSBub25jZQ==")[0], "400 Bad Request")

    def test_handlers_see_every_step(self):
        rec = Recorder()
        caller = self.call(Greeter(), rec)
        self.assertEqual(caller.get("/greet")[1], b"Hello you!")
        self.assertFired(rec, "request", "greet", "response")


FLASK_APP = """
import time
from flask import Flask, Response, flash, jsonify, redirect, render_template_string, request, session, url_for
app = Flask(__name__)
app.secret_key = "x" * 32
notes = []

PAGE = '''<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
<form method="post" action="{{ url_for('add') }}"><input name="text"></form>'''

@app.route("/")
def index():
    return render_template_string(PAGE, notes=notes)

@app.route("/add", methods=["POST"])
def add():
    notes.append(request.form["text"])
    session["n"] = session.get("n", 0) + 1
    return redirect(url_for("index"))

@app.route("/count")
def count():
    return jsonify(count=session.get("n", 0), remote=request.remote_addr, root=request.script_root, url=request.url)

@app.route("/upload", methods=["POST"])
def upload():
    file = request.files["file"]
    return "%s %d" % (file.filename, len(file.read()))

@app.route("/raw", methods=["PUT"])
def raw():
    return str(len(request.get_data()))

@app.route("/stream")
def stream():
    return Response(("%d\\n" % i for i in range(1000)), mimetype="text/plain")

@app.route("/file")
def file():
    from flask import send_file
    return send_file(__file__)

@app.route("/boom")
def boom():
    raise ValueError("boom")

@app.route("/café/<name>")
def cafe(name):
    return name
"""

DJANGO_APP = """
import django
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x" * 50, ROOT_URLCONF=__name__, DEBUG=False,
                   MIDDLEWARE=["django.middleware.common.CommonMiddleware",
                               "django.middleware.csrf.CsrfViewMiddleware"])
django.setup()
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt

def index(request):
    return HttpResponse("Hello %s at %s" % (request.GET.get("name", "you"), reverse("index")))

def token(request):
    return HttpResponse(get_token(request))

def form(request):
    return JsonResponse(dict(request.POST.items()))

@csrf_exempt
def upload(request):
    return HttpResponse(str(len(request.FILES["file"].read()) if request.FILES else len(request.body)))

def stream(request):
    return StreamingHttpResponse("%d\\n" % i for i in range(1000))

def file(request):
    return FileResponse(open(__file__, "rb"))

urlpatterns = [path("", index, name="index"), path("token/", token), path("form/", form), path("upload/", upload),
               path("stream/", stream), path("file/", file)]
app = get_wsgi_application()
"""

OUR_APP = """
from circuits import sleep
from circuits.web import Controller, expose, Static
from circuits.web.wsgi import Application

class Root(Controller):
    def index(self, name="you"):
        return "Hello %s!" % name

    def where(self):
        r = self.request
        return "%s %s %s" % (r.uri, r.remote.ip, r.scheme)

    async def slow(self):
        await sleep(0.05)
        return "slow"

    def size(self, **fields):
        return str(sum(len(field.value) for field in fields.values()) or len(self.request.body.read()))

    @expose("up", stream=True)
    async def upload(self):
        size = 0
        async for piece in self.request.body:
            size += len(piece)
        return str(size)

    def stream(self):
        self.response.body = (b"%d\\n" % i * 1000 for i in range(1000))
        return self.response

    def boom(self):
        raise ValueError("boom")

application = Application() + Root() + Static("/files", docroot=".")
"""


class TestWSGIPeers(WebTest):
    """Flask and Django under our Gateway; our Application under others' servers."""

    UPLOAD = (b'--x\r\nContent-Disposition: form-data; name="file"; filename="n.txt"\r\n\r\n'
              + b"data" * 500000 + b"\r\n--x--\r\n")
    MULTIPART = {"Content_Type": "multipart/form-data; boundary=x"}
    FORM = {"Content_Type": "application/x-www-form-urlencoded"}
    NUMBERS = b"".join(b"%d\n" % i for i in range(1000))

    def load(self, package, name, source):
        """The application of a program that needs *package*."""
        try:
            __import__(package)
        except ImportError:
            self.skipTest("%s is not installed" % package)
        folder = self.folder(**{name + ".py": source})
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        self.addCleanup(sys.modules.pop, name, None)
        return __import__(name).app, os.path.join(folder, name + ".py")

    def test_flask(self):
        app, path = self.load("flask", "flask_demo", FLASK_APP)
        for workers in (0, 3):
            sys.modules["flask_demo"].notes.clear()
            self.serve(circuits_web.Gateway({"/": app, "/mounted": app}, workers=workers))
            self.assertEqual(self.get("/")[0], 200)
            status, headers, _ = self.ask("/add", "POST", "text=<b>+%C3%A9", **self.FORM)
            self.assertEqual((status, headers["Location"]), (302, "/"))
            cookie = headers["Set-Cookie"].partition(";")[0]
            self.assertIn("<li>&lt;b&gt; é</li>".encode(), self.get("/")[1])
            self.assertEqual(json.loads(self.get("/count", Cookie=cookie)[1]), {
                "count": 1, "remote": "127.0.0.1", "root": "", "url": "http://127.0.0.1:%d/count" % self.port})
            self.assertEqual(self.ask("/mounted/add", "POST", "text=x", **self.FORM)[1]["Location"], "/mounted/")
            self.assertEqual(self.get("/upload", **{})[0], 405)
            self.assertEqual(self.ask("/upload", "POST", self.UPLOAD, **self.MULTIPART)[2], b"n.txt 2000000")
            self.assertEqual(self.ask("/raw", "PUT", iter([b"abc", b"de"]))[2], b"5")
            self.assertEqual(self.get("/stream"), (200, self.NUMBERS))
            with open(path, "rb") as file:
                self.assertEqual(self.get("/file"), (200, file.read()))
            self.assertEqual(self.get("/caf%C3%A9/a%20b"), (200, b"a b"))
            self.assertEqual(self.get("/nope")[0], 404)
            status, headers, body = self.ask("/", "HEAD")
            self.assertEqual((status, body), (200, b""))
            self.assertGreater(int(headers["Content-Length"]), 50)
            self.expect_stderr("boom")
            self.assertEqual(self.get("/boom")[0], 500)

    def test_django(self):
        app, path = self.load("django", "django_demo", DJANGO_APP)
        for workers in (0, 3):
            self.serve(circuits_web.Gateway({"/": app, "/mounted": app}, workers=workers))
            self.assertEqual(self.get("/?name=%C3%A9"), (200, "Hello é at /".encode()))
            self.assertEqual(self.get("/mounted/"), (200, b"Hello you at /mounted/"))
            self.assertEqual(self.ask("/token")[1]["Location"], "/token/")
            _, headers, token = self.ask("/token/")
            cookie = headers["Set-Cookie"].partition(";")[0]
            self.assertEqual(self.ask("/form/", "POST", "a=1", **self.FORM)[0], 403)
            self.assertEqual(json.loads(self.ask("/form/", "POST", "a=%C3%A9&b=2", Cookie=cookie,
                                                 X_CSRFToken=token.decode(), **self.FORM)[2]), {"a": "é", "b": "2"})
            self.assertEqual(self.ask("/upload/", "POST", self.UPLOAD, **self.MULTIPART)[2], b"2000000")
            self.assertEqual(self.ask("/upload/", "POST", iter([b"abc", b"de"]))[2], b"5")
            self.assertEqual(self.get("/stream/"), (200, self.NUMBERS))
            with open(path, "rb") as file:
                self.assertEqual(self.get("/file/"), (200, file.read()))
            self.assertEqual(self.get("/nope")[0], 404)

    def launch(self, *command):
        """Start a WSGI server with our application on a socket that is ours."""
        folder = self.folder(**{"ours.py": OUR_APP, "data.txt": "x" * 100000})
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.port = listener.getsockname()[1]
        os.set_inheritable(listener.fileno(), True)
        env = dict(os.environ, PYTHONPATH=os.pathsep.join((HERE, folder)),
                   GUNICORN_FD=str(listener.fileno()))
        self.log = open(os.path.join(folder, "log"), "w+")
        self.addCleanup(self.log.close)
        process = subprocess.Popen([sys.executable, *[part.replace("{fd}", str(listener.fileno()))
                                                      for part in command]], cwd=folder, env=env,
                                   pass_fds=[listener.fileno()], stdout=self.log, stderr=self.log)
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.terminate)
        return process

    def visit(self, streams=True):
        """Ask our application for what it has, as it runs under a server."""
        self.assertEqual(self.get("/?name=%C3%A9"), (200, "Hello é!".encode()))
        self.assertEqual(self.get("/where"), (200, b"http://127.0.0.1:%d/where 127.0.0.1 http" % self.port))
        self.assertEqual(self.get("/nope/x")[0], 404)
        self.assertEqual(self.get("/boom")[0], 500)
        self.assertEqual(self.get("/files/data.txt"), (200, b"x" * 100000))
        self.assertEqual(self.get("/files/data.txt", Range="bytes=1-3"), (206, b"xxx"))
        self.assertEqual(self.get("/stream"), (200, b"".join(b"%d\n" % i * 1000 for i in range(1000))))
        self.assertEqual(self.ask("/size", "POST", self.UPLOAD, **self.MULTIPART)[2], b"2000000")
        self.assertEqual(self.ask("/size", "POST", iter([b"abc", b"de"]))[2], b"5")
        self.assertEqual(self.ask("/up", "POST", b"x" * 1000000)[2], b"1000000")
        status, headers, body = self.ask("/", "HEAD")
        self.assertEqual((status, headers["Content-Length"], body), (200, "10", b""))
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.get("/slow"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(answers, [(200, b"slow")] * 8)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_under_gunicorn(self):
        try:
            import gunicorn
        except ImportError:
            self.skipTest("gunicorn is not installed")
        for options in (["--workers", "2"], ["--threads", "4", "--preload"]):
            self.launch("-m", "gunicorn", "--bind", "fd://{fd}", *options, "ours:application")
            self.visit()

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_under_waitress(self):
        try:
            import waitress
        except ImportError:
            self.skipTest("waitress is not installed")
        self.launch("-c", "import socket, ours, waitress; waitress.serve(ours.application, "
                    "sockets=[socket.socket(fileno={fd})], _quiet=True)")
        self.visit()

    def test_under_wsgiref(self):
        from wsgiref.simple_server import WSGIRequestHandler, make_server
        folder = self.folder(**{"ours.py": OUR_APP})
        space = {}
        exec(OUR_APP, space)
        app = space["application"]
        self.addCleanup(app.join, PATIENCE)
        self.addCleanup(app.stop)

        class Quiet(WSGIRequestHandler):
            def log_message(self, *args):
                pass
        server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
        self.addCleanup(server.server_close)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        self.addCleanup(server.shutdown)
        self.port = server.server_port
        self.assertEqual(self.get("/?name=%C3%A9"), (200, "Hello é!".encode()))
        self.assertEqual(self.get("/slow"), (200, b"slow"))
        self.assertEqual(self.ask("/size", "POST", b"x" * 100000)[2], b"100000")
        self.assertEqual(self.get("/stream")[0], 200)
        self.assertIn(b" 411 ", self.raw(b"POST /size HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"))


class TestWSGIExamples(WebTest):
    """Drives examples/web_wsgi_*.py."""

    def test_gateway(self):
        TestWebExamples.start(self, "web_wsgi_gateway.py")
        self.assertEqual(self.get("/")[1], b"Hello from circuits!\n")
        self.assertIn(self.get("/app/")[1], (b"Hello from Flask!\n", b"Hello from a function!\n"))

    def test_app(self):
        path = os.path.join(HERE, "examples", "web_wsgi_app.py")
        process = subprocess.Popen([sys.executable, path, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   universal_newlines=True)
        for step in (process.stdout.close, process.stderr.close, process.wait, process.kill):
            self.addCleanup(step)
        self.port = int(process.stdout.readline().rstrip("/\n").rpartition(":")[2])
        self.assertEqual(self.get("/greet/Bob"), (200, b"Hello Bob!"))
        self.raw(b"GET / HTTP/1.0\r\n\r\n", until=b"Line 2 of 5")


# ---------------------------------------------------------------------------
# The documentation's programs, and the examples
# ---------------------------------------------------------------------------

DOCUMENTATION = os.path.join(SHARED, "spec", "circuits-2.1.0-documentation.txt")

# Put in front of a program: it says when the system runs and where it listens.
TELL = """
import circuits
class _Tell(circuits.BaseComponent):
    @circuits.handler("started", channel="*", priority=-1000)
    def _on_started(self, component):
        for _ in range(10):     # what it sets off has happened by then
            yield
        print("@started", flush=True)
    @circuits.handler("ready", channel="*")
    def _on_ready(self, component, bind=None):
        print("@ready", *(bind or ()), flush=True)
    _on_ready.own_step = True
_run = circuits.Manager.run
def _told_run(self, *args):
    _Tell().register(self)
    _run(self, *args)
circuits.Manager.run = _told_run
"""


class Program:
    """A program in a process of its own, as a user starts it."""

    def __init__(self, code, *args, cwd=HERE):
        environment = dict(os.environ, PYTHONUNBUFFERED="1",
                           PYTHONPATH=HERE)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *args], cwd=cwd, env=environment, universal_newlines=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines = []
        self.seen = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.seen:
                self.lines.append(line.rstrip("\n"))
                self.seen.notify_all()
        with self.seen:
            self.lines.append(None)
            self.seen.notify_all()

    def wait_for(self, start):
        """The first line that begins so; the rest of it."""
        with self.seen:
            if not self.seen.wait_for(lambda: None in self.lines or any(
                    line.startswith(start) for line in self.lines if line), PATIENCE):
                raise AssertionError("%r did not come; got %r" % (start, self.lines))
            for line in self.lines:
                if line is not None and line.startswith(start):
                    return line[len(start):].strip()
        raise AssertionError("ended without %r: %r\n%s" % (start, self.lines, self.end()[1]))

    def end(self, number=getattr(signal, "SIGINT", None)):
        """Press ^C; returns what it printed (without our own lines) and stderr."""
        if self.process.poll() is None and number is not None:
            self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.reader.join(PATIENCE)
            errors = self.process.stderr.read()
            self.process.stdout.close()
            self.process.stderr.close()
        lines = [line for line in self.lines if line is not None and not line.startswith("@")
                 and "_Tell" not in line]
        return "\n".join(lines), errors


def documented_programs():
    """The programs in the user documentation: name -> text, made Python 3."""
    with open(DOCUMENTATION, encoding="utf-8") as file:
        text = file.read().replace("\u00a0", " ")
    programs = {}
    for match in re.finditer(r"(#!/usr/bin/env python\n(?:(?!#!/usr/bin/env python).)*?)\n+Download (\S+)",
                             text, re.S):
        programs[match.group(2)] = match.group(1)
    for name, start in (("web_base.py", "from circuits import Component\nfrom circuits.web import BaseServer"),
                        ("web.py", "from circuits.web import Server, Controller\n\nclass Root")):
        begin = text.index(start)
        programs[name] = text[begin:text.index(".run()", begin) + len(".run()")] + "\n"
    return {name: re.sub(r"^(\s*)print (.+)$", r"\1print(\2)", code, flags=re.M)
            for name, code in programs.items()}


@unittest.skipUnless(os.path.exists(DOCUMENTATION), "the documentation is not beside the project")
class TestDocumentation(CircuitsTest):
    """Each program of the user documentation does what the text says."""

    @classmethod
    def setUpClass(cls):
        cls.programs = documented_programs()

    def output(self, name, change=lambda code: code):
        program = Program(TELL + change(self.programs[name]))
        program.wait_for("@started")
        return program.end()

    def test_all_are_found(self):
        expected = {"%03d.py" % i for i in range(1, 10)} | {
            "handler_annotation.py", "handler_returns.py", "simple_server.py", "web_base.py", "web.py"}
        self.assertEqual(set(self.programs), expected)

    def test_tutorial(self):
        table = {"001.py": "", "002.py": "", "003.py": "Hello World!",
                 "004.py": "Hello I'm Bob!\nHello I'm Fred!",
                 "006.py": "Woof! I'm Bob!\nWoof! I'm Fred!",
                 "007.py": "Woof! I'm Bob!",
                 "008.py": "Woof! I'm Bob!\nWoof! I'm Fred!"}
        for name, expected in table.items():
            self.assertEqual(self.output(name), (expected, ""), name)

    def test_005_prints_the_tree(self):
        out, err = self.output("005.py")
        lines = out.splitlines()
        for line, start in zip(lines, ("* <Pound/* ", " * <Bob/* ", " * <Fred/* ")):
            self.assertTrue(line.startswith(start), out)
        self.assertEqual(lines[-2:], ["Hello I'm Bob!", "Hello I'm Fred!"])

    def test_009_shows_both_errors(self):
        for change in (lambda code: code, lambda code: code.replace(
                "Pound().run()", "from circuits import Debugger\n(Pound() + Debugger()).run()")):
            out, err = self.output("009.py", change)
            self.assertEqual(out, "")
            self.assertEqual(err.count("ERROR <listener["), 2)
            self.assertEqual(err.count("name 'name' is not defined\n"), 2)
        events = re.findall(r"^<(\w+)\[", err, re.M)
        self.assertEqual([e for e in events if e in ("Started", "Bark", "Error", "Signal", "Stopped")],
                         ["Started", "Bark", "Bark", "Error", "Error", "Signal", "Stopped"])
        self.assertEqual(events[:3], ["Registered"] * 3)

    def test_handler_annotation(self):
        out, err = self.output("handler_annotation.py")
        self.assertEqual(out, "Start event detected")
        self.assertIn("<Started[*.started] (<MyComponent/*", err)

    def test_handler_returns(self):
        out, err = self.output("handler_returns.py")
        self.assertEqual(out, "In pound:\nBob\nFred")
        self.assertIn("<Identify_Success[*.identify_success] (<Identify[*.identify] ( )>, ['Bob', 'Fred'] )>",
                      err)


    def serve(self, name):
        code = self.programs[name].replace("port=8000", "port=0").replace("(8000)", "(0)")
        program = Program(TELL + code)
        host, port = program.wait_for("@ready").split()[:2]
        program.wait_for("@started")
        return program, host, int(port)

    def test_simple_server_chats(self):
        program, host, port = self.serve("simple_server.py")
        with socket.create_connection((host, port), PATIENCE) as one, \
                socket.create_connection((host, port), PATIENCE) as two:
            one.sendall(b"hello\r\n")           # two may not be known yet: until it hears
            two.settimeout(0.05)
            heard = b""
            while b"hello" not in heard:
                try:
                    heard += two.recv(100)
                except socket.timeout:
                    one.sendall(b"hello\r\n")
            two.sendall(b"good day\r\n")
            one.settimeout(PATIENCE)
            self.assertEqual(one.recv(100), b"good day")
        self.assertEqual(program.end(), ("", ""))

    def test_both_webs_say_hello(self):
        for name, path in (("web_base.py", "/anything"), ("web.py", "/")):
            program, host, port = self.serve(name)
            answer = raw(port, ("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path).encode(),
                         until=b"Hello World!", host=host)
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
            self.assertEqual(program.end(), ("", ""))


class ExamplesTest(CircuitsTest):

    def start(self, name, *args):
        path = os.path.join(HERE, "examples", name)
        return Program(TELL + "import runpy, sys; sys.argv[0] = %r; runpy.run_path(%r, run_name='__main__')"
                       % (path, path), *args)

    def output(self, name, *args):
        program = self.start(name, *args)
        program.wait_for("@started")
        return program.end()


class TestExamples(ExamplesTest):

    def test_the_tour(self):
        table = {"01_empty.py": "", "02_component.py": "",
                 "04_two_components.py": "Tick says Tick!\nTock says Tock!",
                 "06_inheritance.py": "The Robin sings.\nThe Wren sings.",
                 "07_one_of_them.py": "The Wren sings.",
                 "08_channels.py": "The Robin sings on robin.\nThe Wren sings on wren.",
                 "10_explicit_handler.py": "The system runs."}
        for name, expected in table.items():
            self.assertEqual(self.output(name), (expected, ""), name)

    def test_those_that_end_by_themselves(self):
        table = {"03_hello.py": "Hello World!",
                 "11_results.py": "Here are: Robin, Wren\nand, asked again by name: Robin, Wren"}
        for name, expected in table.items():
            program = self.start(name)
            program.process.wait(PATIENCE)
            self.assertEqual(program.end(), (expected, ""), name)

    def test_tree_and_debugger(self):
        out, err = self.output("05_complex.py")
        self.assertRegex(out, r"^\* <Clock/\* .*\n \* <Hand/\* .*\n \* <Bell/\* [^\n]*$")
        out, err = self.output("09_debugger.py")
        self.assertIn("ERROR <listener[*.sing] (Wren.sing)>", err)
        self.assertIn("nmae", err)

    def listening(self, name, *args):
        program = self.start(name, *(args or ("0",)))
        host, port = program.wait_for("@ready").split()[:2]
        program.wait_for("@started")
        return program, host, int(port)

    def test_chat_server(self):
        program, host, port = self.listening("12_chat_server.py")
        with socket.create_connection((host, port), PATIENCE) as one:
            one.sendall(b"alone\n")
            with socket.create_connection((host, port), PATIENCE) as two:
                self.assertRegex(one.recv(100), rb"^127\.0\.0\.1:\d+: came\n$")
                two.sendall("h\u00e9llo\nthere\n".encode())
                heard = b""
                while heard.count(b"\n") < 2:
                    heard += one.recv(100)
                self.assertRegex(heard.decode(), "^127.0.0.1:\\d+: h\u00e9llo\n127.0.0.1:\\d+: there\n$")
            self.assertRegex(one.recv(100), rb": went\n$")
        self.assertEqual(program.end(), ("", ""))

    @unittest.skipUnless(shutil.which("nc"), "nc is not installed")
    def test_two_terminals_with_nc_chat(self):
        program, host, port = self.listening("12_chat_server.py")

        def terminal():
            return subprocess.Popen(["nc", host, str(port)], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)
        with socket.create_connection((host, port), PATIENCE) as first:
            one = terminal()
            self.assertIn(b"came", first.recv(100))     # now the server knows it
            two = terminal()
            self.assertIn(b"came", one.stdout.readline())
            for end, other, text in ((two, one, b"hello\n"), (one, two, b"good day\n")):
                end.stdin.write(text)
                end.stdin.flush()
                self.assertTrue(other.stdout.readline().endswith(b": " + text))
        for end in (one, two):
            end.kill()
            end.communicate()
        self.assertEqual(program.end(), ("", ""))

    def test_webs(self):
        for name, path, expected in (("13_web_base.py", "/x/y", b"You asked for /x/y\n"),
                                     ("hello_web.py", "/", b"Hello World!"),
                                     ("hello_web.py", "/hello/you", b"Hello you!")):
            program, host, port = self.listening(name)
            answer = raw(port, ("GET %s HTTP/1.0\r\n\r\n" % path).encode())
            self.assertTrue(answer.endswith(b"\r\n\r\n" + expected), answer)
            self.assertEqual(program.end(), ("", ""))

    def test_each_is_driven_by_the_suite(self):
        with open(os.path.join(HERE, "test_circuits.py"), encoding="utf-8") as file:
            text = file.read()
        for path in glob.glob(os.path.join(HERE, "examples", "*.py")):
            if os.path.basename(path) != "bench.py":        # .ci/run runs that
                self.assertIn(os.path.basename(path), text)

    def test_each_says_how_to_run_it_and_is_short(self):
        for path in glob.glob(os.path.join(HERE, "examples", "*.py")):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            name = os.path.basename(path)
            self.assertIn("python3 examples/" + name, text)
            self.assertIn("\nExpect:", text, name)
            self.assertIn('if __name__ == "__main__":', text, name)
            if name != "bench.py":
                self.assertLessEqual(text.count("\n"), 50, name)


# ---------------------------------------------------------------------------
# Copied, embedded, and looked at
# ---------------------------------------------------------------------------

FILES = [name for name in ("circuits.py", "circuits_net.py", "circuits_io.py", "circuits_web.py")
         if os.path.exists(os.path.join(HERE, name))]

# A program for the core alone: an event, a call, a timer, a thread.
CORE_PROGRAM = """
class Hello(circuits.Event):
    pass
class App(circuits.Component):
    def started(self, component):
        x = yield self.call(Hello(1))
        yield circuits.sleep(0.001)
        self.fire(Hello(x.value))
        circuits.Timer(0.001, circuits.Event.create("enough")).register(self)
    def hello(self, n):
        return n + 1
    def enough(self):
        self.over = True
        self.stop()
app = App()
app.run()
assert app.over
"""


class TestEmbedding(CircuitsTest):

    def copies(self, *names, into=""):
        path = self.folder()
        os.makedirs(os.path.join(path, into), exist_ok=True)
        for name in names:
            shutil.copy(os.path.join(HERE, name), os.path.join(path, into, name))
        return path

    def test_the_core_alone_in_an_empty_folder(self):
        path = self.copies("circuits.py")
        with open(os.path.join(path, "app.py"), "w") as file:
            file.write("import circuits\n" + CORE_PROGRAM + "print('done')")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        for flags in ([], ["-S"], ["-O"], ["-OO"], ["-X", "dev", "-W", "error"], ["-B", "-bb"]):
            done = subprocess.run([sys.executable, *flags, "app.py"], cwd=path, env=environment,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual((done.stdout.split(), done.stderr), ([b"done"], b""), flags)

    def test_isolated(self):
        path = self.copies(*FILES)
        names = [name[:-3] for name in FILES]
        out, err = child("""
            import sys; sys.path.insert(0, %r)
            for name in %r: __import__(name)
            import circuits
            %s
            print("done")
            """ % (path, names, CORE_PROGRAM.replace("\n", "\n            ")), flags=("-S", "-I"), cwd=path)
        self.assertEqual((out, err), ("done\n", ""))

    def test_vendored(self):
        path = self.copies(*FILES, into="theirs/vendor")
        for package in ("theirs", "theirs/vendor"):
            with open(os.path.join(path, package, "__init__.py"), "w"):
                pass
        out, err = child("""
            import sys
            sys.path[:0] = [%r]
            from theirs.vendor import circuits
            for name in %r:
                __import__("theirs.vendor." + name)
            from theirs.vendor.circuits.tools import graph
            from theirs.vendor.circuits.core.debugger import Debugger
            assert Debugger is circuits.Debugger
            %s
            bare = [n for n in sys.modules if n.split(".")[0].startswith("circuits")]
            assert not bare, bare
            print("done")
            """ % (path, [name[:-3] for name in FILES], CORE_PROGRAM.replace("\n", "\n            ")),
            cwd=path)
        self.assertEqual((out, err), ("done\n", ""))

    def test_two_copies_in_one_process(self):
        path = self.copies("circuits.py", into="one")
        shutil.copytree(os.path.join(path, "one"), os.path.join(path, "two"))
        out, err = child("""
            import sys, threading
            sys.path.insert(0, %r)
            from one import circuits as one
            from two import circuits as two
            assert one.Event is not two.Event
            seen = []
            def make(circuits, tag):
                class App(circuits.Component):
                    def hello(self, other):
                        seen.append(tag)
                        if other is not None: other.fire(other_hello())
                return App()
            class Hello1(one.Event): name = "hello"
            class Hello2(two.Event): name = "hello"
            other_hello = lambda: Hello2(None)
            a, b = make(one, "one"), make(two, "two")
            a.start(); b.start()
            a.fire(Hello1(b))
            while len(seen) < 2: pass
            a.stop(); b.stop(); a.join(); b.join()
            print(seen)
            """ % path, cwd=path)
        self.assertEqual((out, err), ("['one', 'two']\n", ""))

    def test_a_missing_file_or_another_version_is_named(self):
        for name, needs in (("circuits_net.py", ["circuits.py"]), ("circuits_io.py", ["circuits.py"]),
                            ("circuits_web.py", ["circuits.py", "circuits_net.py"])):
            for missing in needs:
                path = self.copies(name, *[n for n in needs if n != missing])
                self.assertIn("ImportError: ", self.import_error(path, name))
                self.assertIn(missing, self.import_error(path, name))
                with open(os.path.join(HERE, missing), encoding="utf-8") as file:
                    text = file.read().replace('__version__ = "2.1.0"', '__version__ = "9.9.9"')
                with open(os.path.join(path, missing), "w", encoding="utf-8") as file:
                    file.write(text)
                error = self.import_error(path, name)
                self.assertIn("9.9.9", error)
                self.assertIn("2.1.0", error)

    def import_error(self, path, name):
        """The last line of the traceback of importing a file that cannot be."""
        code = "import sys; sys.path[:] = [p for p in sys.path if p != %r]; import %s" % (HERE, name[:-3])
        out, err = child(code, cwd=path, check=False)
        return err.strip().splitlines()[-1]

    def test_from_a_zip_file(self):
        import zipfile
        path = os.path.join(self.folder(), "app.pyz")
        with zipfile.ZipFile(path, "w") as archive:
            for name in FILES:
                archive.write(os.path.join(HERE, name), name)
            archive.writestr("__main__.py", "import circuits\n%s\nprint('done')" % CORE_PROGRAM)
        done = subprocess.run([sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              cwd=os.path.dirname(path))
        self.assertEqual((done.stdout.split(), done.stderr), ([b"done"], b""))

    def test_without_streams(self):
        out, err = child("""
            import os, sys
            sys.stdout = sys.stderr = sys.stdin = None
            import circuits
            class App(circuits.Component):
                def started(self, component):
                    self.fire(circuits.Event.create("bad"))
                    self.fire(circuits.Event.create("end"))
                def bad(self):
                    raise ValueError
                def end(self):
                    os.write(1, b"done")
                    self.stop()
            (App() + circuits.Debugger()).run()
            App().run()
            """)
        self.assertEqual((out, err), ("donedone", ""))

    def test_with_modules_missing(self):
        for missing in ("_ssl", "_socket", "select", "signal", "fcntl", "multiprocessing",
                        "_ssl _socket select signal fcntl multiprocessing _multiprocessing"):
            out, err = child("""
                import sys
                for name in %r.split():
                    sys.modules[name] = None
                import circuits
                %s
                print("done")
                """ % (missing, CORE_PROGRAM.replace("\n", "\n                ")))
            self.assertEqual((out, err), ("done\n", ""), missing)

    def test_without_select_the_poller_says_so(self):
        out, err = child("""
            import sys
            sys.modules["select"] = None
            import circuits
            try:
                circuits.Poller()
            except RuntimeError as error:
                print(error)
            """)
        self.assertIn("no select module", out)

    def test_loaded_in_odd_ways(self):
        out, err = child("""
            import importlib.util, runpy, sys
            spec = importlib.util.spec_from_file_location("renamed", "circuits.py")
            circuits = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(circuits)
            assert circuits.uncamel("FooBar") == "foo_bar"
            names = runpy.run_path("circuits.py")
            names["Component"]().fire(names["Event"]())
            scope = {"__name__": "x"}
            exec(open("circuits.py").read(), scope)
            scope["Manager"]()
            assert not [n for n in sys.modules if n.startswith(("renamed.", "x."))]
            """)
        self.assertEqual((out, err), ("", ""))

    def test_nothing_happens_at_import(self):
        out, err = child("""
            import os, signal, sys, threading
            heavy = {"asyncio", "ssl", "multiprocessing", "subprocess", "email", "http.client", "socket",
                     "concurrent.futures", "traceback", "inspect", "logging", "ctypes"}
            loaded = set(sys.modules)
            before = signal.getsignal(signal.SIGINT), threading.active_count(), os.listdir("/proc/self/fd") \
                if os.path.exists("/proc/self/fd") else None
            import circuits
            after = signal.getsignal(signal.SIGINT), threading.active_count(), os.listdir("/proc/self/fd") \
                if os.path.exists("/proc/self/fd") else None
            assert before == after
            heavy -= loaded
            print(sorted(heavy & set(sys.modules)))
            """, flags=("-S",))
        self.assertEqual(out, "[]\n")

    def test_subinterpreter(self):
        try:
            try:
                import _xxsubinterpreters as interpreters
            except ImportError:
                import _interpreters as interpreters
        except ImportError:
            self.skipTest("this Python has no subinterpreters module")
        name = interpreters.__name__
        out, err = child("""
            import %s as interpreters
            import textwrap
            interpreter = interpreters.create()
            code = "import sys; sys.path.insert(0, %s)\\nimport circuits\\n" + textwrap.dedent(%r)
            error = interpreters.run_string(interpreter, code)
            assert not error, error
            print("done")
            """ % (name, repr(HERE).replace("'", "\\'"), CORE_PROGRAM), flags=("-W", "ignore"))
        self.assertEqual((out, err), ("done\n", ""))


class TestDottedNames(CircuitsTest):

    def test_core(self):
        out, err = child("""
            from circuits.core.debugger import Debugger
            from circuits.core.components import BaseComponent
            from circuits.core.handlers import handler, HandlerMetaClass
            from circuits.core.manager import Manager, TIMEOUT, UnregistrableError
            from circuits.core.pollers import Select, Poller, BasePoller
            from circuits.core.utils import uncamel, flatten, findchannel
            from circuits.core import Value, Worker
            from circuits.tools import graph, inspect, kill
            import circuits.core.timers, circuits.core.events
            import circuits, sys
            assert circuits.core.timers.Timer is circuits.Timer
            assert circuits.core.events.started is circuits.Started
            assert circuits.core.pollers.Error.name == "_error"
            assert circuits.core.events.Error.name == "error"
            assert not [n for n in sys.modules if n.startswith("circuits_")]
            from circuits.core import *
            """)
        self.assertEqual((out, err), ("", ""))

    def test_what_is_not_ours_is_not_claimed(self):
        out, err = child("""
            import circuits
            for name in ("circuits.nonsense", "circuits.core.nonsense"):
                try:
                    __import__(name)
                except ModuleNotFoundError as error:
                    print(error.name)
            try:
                from circuits.tools import nonsense
            except ImportError as error:
                print(error.name)
            """)
        self.assertEqual(out.split(), ["circuits.nonsense", "circuits.core.nonsense", "circuits.tools"])

    def test_a_missing_file_is_named(self):
        path = self.folder()
        shutil.copy(os.path.join(HERE, "circuits.py"), path)
        out, err = child("""
            import sys; sys.path[:] = [p for p in sys.path if p != %r]
            try:
                from circuits.web import Server
            except ImportError as error:
                print(error)
            """ % HERE, cwd=path)
        self.assertIn("circuits_web.py, which is not beside circuits.py: copy that file too", out)


class TestStructure(unittest.TestCase):
    """The files look as the house style says."""

    def sources(self):
        for name in FILES:
            with open(os.path.join(HERE, name), encoding="utf-8") as file:
                yield name, file.read()

    def test_banners_are_the_contents(self):
        for name, text in self.sources():
            banners = re.findall(r"^# -{75}\n# (\d+\. .+)$", text, re.M)
            contents = re.findall(r"^ ?(\d+\. .+)$", ast.get_docstring(ast.parse(text), clean=False), re.M)
            self.assertEqual(banners, contents, name)

    def test_imports_point_down(self):
        below = {"circuits": set(), "circuits_net": {"circuits"}, "circuits_io": {"circuits"},
                 "circuits_web": {"circuits", "circuits_net"}}
        standard = getattr(sys, "stdlib_module_names", None)
        for name, text in self.sources():
            for node in ast.walk(ast.parse(text)):
                roots = []
                if isinstance(node, ast.Import):
                    roots = [alias.name.split(".")[0] for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    roots = [(node.module or "").split(".")[0]]
                for root in roots:
                    if root.startswith("circuits"):
                        self.assertIn(root, below[name[:-3]], name)
                    elif standard and root:
                        self.assertIn(root, standard, name)

    def test_all_is_sorted_and_true(self):
        for name, text in self.sources():
            module = __import__(name[:-3])
            self.assertEqual(list(module.__all__), sorted(module.__all__), name)
            for public in module.__all__:
                self.assertTrue(hasattr(module, public), (name, public))

    def test_one_version(self):
        self.assertEqual({__import__(name[:-3]).__version__ for name in FILES}, {"2.1.0"})

    def test_lines_and_leftovers(self):
        for name, text in self.sources():
            lines = text.splitlines()
            self.assertEqual([i for i, line in enumerate(lines, 1) if len(line) > 100], [], name)
            narrow = sum(len(line) <= 80 for line in lines) / len(lines)
            self.assertGreater(narrow, 0.85, name)
            for word in ("TODO", "FIXME", "XXX", "import pickle"):
                self.assertNotIn(word, text, name)
            self.assertIn("SPDX-License-Identifier: MIT", text, name)

    def test_doctests(self):
        for name in FILES:
            result = doctest.testmod(__import__(name[:-3]), verbose=False)
            self.assertEqual(result.failed, 0, name)

    def test_readme_commands(self):
        with open(os.path.join(HERE, "README.md"), encoding="utf-8") as file:
            text = file.read()
        commands = re.findall(r"^    python3 (\S+)", text, re.M)
        self.assertEqual(commands, ["examples/hello_web.py", "test_circuits.py"])
        for command in commands:
            self.assertTrue(os.path.exists(os.path.join(HERE, command)))

    def test_top_level(self):
        allowed = {"circuits.py", "circuits_net.py", "circuits_io.py", "circuits_web.py",
                   "test_circuits.py", "examples", "setup.cfg", "pyproject.toml", "README.md",
                   "LICENSE", "CHANGES.md", ".gitignore", ".ci", ".git", "__pycache__"}
        self.assertEqual(set(os.listdir(HERE)) - allowed, set())


# ---------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------

class Result(unittest.TextTestResult):
    """Names the slowest tests when --slow is given, and a test that hangs."""

    times = []

    def startTest(self, test):
        self._began = time.perf_counter()
        faulthandler.dump_traceback_later(6 * PATIENCE, exit=True, file=sys.__stderr__)
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self.times.append((time.perf_counter() - self._began, test.id()))


def main():
    """Run the tests named on the command line, or all; the last line counts them."""
    warnings.simplefilter("error" if sys.warnoptions else "default")
    try:
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    except (ImportError, ValueError):   # Windows has no such limit
        pass
    parser = argparse.ArgumentParser(description="Test the four files.")
    parser.add_argument("names", nargs="*", metavar="TestClass[.test]", help="which (default: all)")
    parser.add_argument("-v", "--verbose", action="store_true", help="name each test")
    parser.add_argument("-f", "--failfast", action="store_true", help="stop at the first that fails")
    parser.add_argument("--slow", action="store_true", help="name the slowest afterwards")
    parser.add_argument("--full", action="store_true",
                        help="in the sizes of their names; takes minutes")
    options = parser.parse_args()
    loader = unittest.TestLoader()
    here = sys.modules[__name__]
    suite = (loader.loadTestsFromNames(options.names, here) if options.names
             else loader.loadTestsFromModule(here))
    runner = unittest.TextTestRunner(verbosity=2 if options.verbose else 1,
                                     failfast=options.failfast, resultclass=Result)
    result = runner.run(suite)
    if options.slow:
        for seconds, name in sorted(Result.times, reverse=True)[:15]:
            print("%6.2f s  %s" % (seconds, name))
    faulthandler.cancel_dump_traceback_later()
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    print("%d passed, %d failed, %d skipped" % (result.testsRun - failed - skipped, failed, skipped))
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
