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
import asyncio
import contextvars
import doctest
import faulthandler
import gc
import glob
import io
import os
import pickle
import re
import select
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


def in_thread(function):
    """Call *function* in a thread of its own, to its end."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(PATIENCE)


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
# circuits.py: events
# ---------------------------------------------------------------------------

class Foo(Event):
    """An event for tests."""


class Hello(Event):
    """Another one."""


class TestEvents(CircuitsTest):

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

    def test_a_hundred_thousand_leave_nothing(self):
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
        after = everything(100000 if sys.implementation.name == "cpython" else 20000)
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
        import weakref
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

    def test_ten_thousand_at_once_leave_nothing(self):
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
        burst(1000)
        gc.collect()
        before = len(gc.get_objects())
        small = min(cost(1000) for _ in range(3))
        large = cost(10000)
        gc.collect()
        self.assertLess(len(gc.get_objects()), before + 300)
        self.assertLess(large, 40 * small)          # linear is 10, square would be 100


# ---------------------------------------------------------------------------
# circuits.py: inside asyncio
# ---------------------------------------------------------------------------

class TestInsideAsyncio(CircuitsTest):

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
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1",
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
    loader = unittest.TestLoader()
    here = sys.modules[__name__]
    args = [arg for arg in sys.argv[1:] if not arg.startswith("-")]
    suite = loader.loadTestsFromNames(args, here) if args else loader.loadTestsFromModule(here)
    runner = unittest.TextTestRunner(verbosity=2 if "-v" in sys.argv else 1,
                                     failfast="-f" in sys.argv, resultclass=Result)
    result = runner.run(suite)
    if "--slow" in sys.argv:
        for seconds, name in sorted(Result.times, reverse=True)[:15]:
            print("%6.2f s  %s" % (seconds, name))
    faulthandler.cancel_dump_traceback_later()
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    print("%d passed, %d failed, %d skipped" % (result.testsRun - failed - skipped, failed, skipped))
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
