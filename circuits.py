"""Components that send each other events, and the reactor that carries them.

    from circuits import Component, Event

    class Hello(Event):
        "Somebody should say hello."

    class App(Component):
        def started(self, *args):
            self.fire(Hello())

        def hello(self):
            print("Hello World!")
            raise SystemExit(0)

    App().run()

Contents

 1. Errors
 2. Events
 3. Values
 4. Handlers
 5. Tasks
 6. Waiting
 7. Several at once
 8. The reactor: one queue, one thread
 9. Managers: nodes of the tree
10. Components
11. Pollers
12. Timers
13. Workers
14. Inside asyncio
15. Debugger and fallbacks
16. Loader
17. Tools
18. Names of the current release
19. Dotted names
20. Command

Names used throughout: a *manager* is a node of a component tree; the *root*
is its top; the *reactor* is what exists once per tree (queue, plans, timers,
poller); a *plan* says which handlers an event reaches; a *task* is a running
generator or coroutine; a *Waiting* is what a task can be suspended on.

The promises: events are dispatched in the order in which they were fired;
the handlers of one event run by priority, then in the order in which their
components joined the tree; all handlers run in the thread that runs the root;
fire() may be called from any thread.

To use this file, copy it into your project with this notice.  It needs
Python 3.8 or newer and nothing else.  ``python3 circuits.py --check`` says
whether it and its siblings are as they were released.
"""

# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the circuits-in-four-files authors

import os
import sys
import time
from _thread import RLock
from _thread import allocate_lock
from _collections_abc import Coroutine
from _thread import get_ident
from collections import deque
from contextvars import Context
from contextvars import copy_context
from heapq import heapify
from heapq import heappop
from heapq import heappush
from itertools import count
from itertools import repeat
from types import AsyncGeneratorType
from types import CoroutineType
from types import FunctionType
from types import GeneratorType
from types import MethodType
from types import ModuleType
from types import coroutine

try:                    # absent on some embedded builds; pollers then say so
    import select
except ImportError:
    select = None

__version__ = "2.1.0"   # the documented interface this file implements
__sealed__ = "be59960cdad4f6660ed426719fda549ca4ab5695fa8550c052d739fc6c31e32c"
__author__ = "the circuits-in-four-files authors"
__date__ = "2026-11-24"

__all__ = (
    "BaseComponent", "BaseEvent", "Cancelled", "CircuitsError", "Component", "Debugger",
    "DerivedEvent", "Event", "LiteralEvent", "Loader", "Manager", "Task", "TimeoutError",
    "Timer", "Value", "Worker", "gather", "group", "handler", "race", "reprhandler",
    "sleep", "task",
)

#: Seconds between two steps of a task that keeps saying "not yet" (see 5).
TIMEOUT = 0.1

#: Bare yields in a row after which a task counts as polling (see 5).
SPIN_LIMIT = 1000

#: Results one firing may collect: an endless generator must not eat the memory.
MAX_RESULTS = 100_000

#: Batches dispatched before sockets and timers are looked at again.  A poll is
#: a system call; one per batch would cost more than the events of a short one.
BATCHES_PER_POLL = 16

#: Batches that stop() still delivers; a chain of events that never ends is cut.
DRAIN_LIMIT = 1000

#: Seconds that the loop sleeps at most; poll() takes no more than 24 days.
MAX_PAUSE = 86400

#: Channel sets remembered per event name.  Channels made for each connection
#: would otherwise fill the memory.
MAX_PLANS = 1000

#: repr() of an event is cut at this many characters.
REPR_LIMIT = 4000


# ---------------------------------------------------------------------------
# 1. Errors
#
# One class per thing a caller can do.  Mistakes of the programmer raise
# TypeError, ValueError or RuntimeError at once.
# ---------------------------------------------------------------------------

class CircuitsError(Exception):
    """Base of what this framework raises itself."""


class TimeoutError(CircuitsError):
    """wait() or call() took longer than its timeout.

    Not the builtin of this name, which is an OSError.
    """


class Cancelled(CircuitsError):
    """What handles the awaited event left its tree, or the system stops."""


class UnregistrableError(CircuitsError):
    """register() would join two trees that are both running."""


class SingletonError(CircuitsError):
    """register() would put a second singleton into the tree; args: the component."""


# ---------------------------------------------------------------------------
# 2. Events
#
# Something to be done or something that happened.  The class gives the name
# under which handlers know it: FooBar is handled by foo_bar.
# ---------------------------------------------------------------------------

def uncamel(name):
    """Turn a class name into an event name; a run of capitals is one word.

    >>> uncamel("FooBar"), uncamel("HTTPError"), uncamel("WritePID"), uncamel("A1B")
    ('foo_bar', 'httperror', 'write_pid', 'a1_b')
    """
    out = []
    previous = ""
    for char in name:
        if "A" <= char <= "Z" and ("a" <= previous <= "z" or "0" <= previous <= "9"):
            out.append("_")
        out.append(char)
        previous = char
    return "".join(out).lower()


# The state of one firing; see Event._state.
FRESH, QUEUED, DONE, EXPECTED, SPECIAL = range(5)


_new = object.__new__


def _lay_out(cls, names):
    """Have CPython make room for these attributes in instances of *cls*.

    It learns what they have from the first thirty.  Each that gets another one
    later becomes a dict: 0.3 to 1 us, 200 bytes.
    """
    sample = _new(cls)
    for name in names:
        object.__setattr__(sample, name, None)


class Event:
    """Something that components can fire and handle.

        class Move(Event):
            "A piece moved."
            success = True          # fire move_success when all handlers ran

        self.fire(Move("e2", "e4"))

    The arguments are handed to the handlers as they are.  An event may be
    fired again once it is done; one still on its way is copied first.

    Set on the class or on an event:
        channels  where it goes when fire() names no channel; a tuple
        success   fire <name>_success(event, value) when no handler raised
        failure   fire <name>_failure(event, (type, value, traceback lines))
                  for each handler that raised
        complete  fire <name>_complete(event, value) when the event and all
                  that it caused, directly or not, are done
        notify    fire <name>_value_changed(value) at the component that fired
                  it, when a result arrives; a string names another event
        success_channels, complete_channels  where those two go instead

    Set by the framework: args (a list), kwargs, value (the Value of its last
    firing), handler (the one being invoked, for handlers that take *event*).
    """

    name = "event"
    channels = ()
    notify = False
    success = False
    failure = False
    complete = False
    success_channels = None
    complete_channels = None
    alert_done = False          # somebody waits: fire <name>_done if it is heard
    waitingHandlers = 0         # tasks of this event that are still running
    parent = None
    exact = False               # only named handlers bound to its very channel hear it
    stopped = False
    cancelled = False
    uid = None
    handler = None

    _args = ()
    _kwargs = None
    _custom_name = False        # the class body says name = "..."
    _value = None               # the Value in flight, or one that holds results
    _waiters = None             # what to tell when the event is done
    _effects = 0                # > 0: complete-tracking is on (see Reactor)
    _cause = None
    _on_complete = None
    _priority = 0
    _context = None             # the context variables at fire(), if any are set
    _event_layout = (           # see _lay_out()
        "_args", "_kwargs", "_state", "channels", "_value", "_waiters", "handler")

    # FRESH: not fired.  QUEUED: fired, nothing special.  DONE: all ran.
    # EXPECTED: fired, and somebody waits.  SPECIAL: it is tracked, cancelled,
    # awaited by name, in a context, or has tasks.
    # An Event subclass whose __init__ does not call ours stays at None.
    _state = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._custom_name = "name" in vars(cls)
        if not cls._custom_name:
            cls.name = uncamel(cls.__name__)
        own = vars(cls)
        if len(cls.__bases__) > 1 or "__new__" in own or "__del__" in own or any(
                hasattr(type(own[name]), "__set__") for name in cls._event_layout if name in own):
            cls._event_layout = ()          # nobody's code is to run for a sample
        if cls._event_layout:
            _lay_out(cls, cls._event_layout)

    def __init__(self, *args, **kwargs):
        # A tuple until somebody asks for the list, and no dict where there is
        # nothing in it: objects that are not kept cost gc nothing.
        self._args = args
        self._kwargs = kwargs or None
        self._state = FRESH

    @classmethod
    def create(*args, **kwargs):
        """Make an event of a class called *name*: ``Event.create("Foo", 1)``.

        The class derives from the one create() is called on.  Classes are
        remembered, so a name used often costs one class.
        """
        cls, name, *args = args     # so that a keyword may be called name
        return _made(cls, name, (cls,), {})(*args, **kwargs)

    @property
    def args(self):
        """The positional arguments, a list that handlers may change."""
        args = self._args
        if type(args) is tuple:
            args = self._args = list(args)
        return args

    @args.setter
    def args(self, args):
        self._args = args

    @property
    def kwargs(self):
        """The keyword arguments, a dict that handlers may change."""
        kwargs = self._kwargs
        if kwargs is None:
            kwargs = self._kwargs = {}
        return kwargs

    @kwargs.setter
    def kwargs(self, kwargs):
        self._kwargs = kwargs

    @property
    def value(self):
        """The Value of the last firing; None before the first."""
        value = self._value
        if value is None and self._state != FRESH:
            value = self._value = Value(self)   # see Reactor.dispatch, at the end
        return value

    @value.setter
    def value(self, value):
        self._value = value

    def stop(self):
        """Let no further handler see this event."""
        self.stopped = True
        if self._state in (FRESH, QUEUED, EXPECTED):
            self._state = SPECIAL
        value = self._value
        if value is not None and value.manager is not None:
            value.manager._reactor.halted = True

    def cancel(self):
        """Skip this event if its turn has not come yet; its value stays None."""
        self.cancelled = True
        if self._state in (FRESH, QUEUED, EXPECTED):
            self._state = SPECIAL

    def _expect(self, waiter):
        """Have waiter.event_done(self) called when this is done, which it is not yet."""
        self._waiters = (self._waiters or []) + [waiter]
        self._state = EXPECTED if self._state in (FRESH, QUEUED, EXPECTED) else SPECIAL

    def child(self, name, *args, **kwargs):
        """Make the event ``<this name>_<name>`` whose *parent* is this one."""
        event = Event.create("%s_%s" % (self.name, name), *args, **kwargs)
        event.parent = self
        return event

    def __getitem__(self, key):
        if isinstance(key, int):
            return self._args[key]
        if isinstance(key, str):
            return self.kwargs[key]
        raise TypeError("Expected int or str, got %r" % type(key))

    def __setitem__(self, key, value):
        if isinstance(key, int):
            self.args[key] = value
        elif isinstance(key, str):
            self.kwargs[key] = value
        else:
            raise TypeError("Expected int or str, got %r" % type(key))

    def __repr__(self):
        channels = self.channels
        if not channels:
            where = ""
        elif len(channels) == 1:
            where = str(channels[0])
        else:
            where = repr(channels)
        args = ", ".join(map(_safe_repr, self._args))
        kwargs = ", ".join("%s=%s" % (k, _safe_repr(v)) for k, v in (self._kwargs or {}).items())
        text = "%s %s" % (args, kwargs)
        if len(text) > REPR_LIMIT:
            text = text[:REPR_LIMIT] + "..."
        return "<%s[%s.%s] (%s)>" % (type(self).__name__, where, self.name, text)

    def __getstate__(self):
        """What pickle and copy take: no handler, nothing of the firing."""
        state = {k: v for k, v in vars(self).items() if k not in _FIRING}
        state["_state"] = FRESH
        return state

    def __setstate__(self, state):
        vars(self).update(state)


_FIRING = frozenset(("handler", "_value", "_waiters", "_effects", "_cause", "_on_complete",
                     "_context", "waitingHandlers", "alert_done", "stopped", "cancelled",
                     "_priority"))


def _safe_repr(thing):
    """repr() that never raises."""
    try:
        return repr(thing)
    except Exception as error:
        return "<%s whose repr raises %s>" % (type(thing).__name__, type(error).__name__)


def _made(owner, key, bases, attributes, limit=1000):
    """The class *key*, made once per *owner* and remembered there.

    Names may come from a peer, so the memory is emptied when it is full.
    """
    made = vars(owner).get("_made_classes")
    if made is None:
        made = {}
        owner._made_classes = made
    cls = made.get(key)
    if cls is None:
        if len(made) >= limit:
            made.clear()
        title = key if isinstance(key, str) else key[-1]
        cls = made[key] = type(title, bases, dict(attributes, __module__=__name__))
    return cls


class LiteralEvent(Event):
    """An event whose class name is its event name, letter by letter."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if not cls._custom_name:
            cls.name = cls.__name__
        cls._custom_name = cls.name != cls.__name__

    @staticmethod
    def create(*args, **kwargs):
        """Make a literally named event: ``LiteralEvent.create(cls, name, ...)``."""
        cls, name, *args = args
        if issubclass(cls, LiteralEvent):
            bases = (cls,)
        elif issubclass(LiteralEvent, cls):
            bases = (LiteralEvent,)
        else:
            bases = (cls, LiteralEvent)
        return _made(cls, (LiteralEvent, name), bases, {"name": name})(*args, **kwargs)


class DerivedEvent(Event):
    """An event about another event, which is its first argument.

    The name derives from the class of that event: the success of ``FooBar``
    is ``foo_bar_success``.  Handlers of ``<event.name>_success`` see it too
    where the two differ (a class with a name of its own).
    """

    _also = None                # the second name, where there is one

    @classmethod
    def create(*args, **kwargs):
        """Make the event: ``Success.create("Success", event, value)``."""
        cls, topic, event, *args = args
        source = type(event)
        made = vars(source).get("_derived")
        if made is None:
            made = source._derived = {}
        derived = made.get((cls, topic, event.name))
        if derived is None:
            if len(made) >= 100:
                made.clear()
            stem = source.__name__ if issubclass(source, LiteralEvent) else uncamel(source.__name__)
            name = "%s_%s" % (stem, uncamel(topic))
            also = "%s_%s" % (event.name, uncamel(topic))
            derived = type("%s_%s" % (source.__name__, topic), (cls,), {
                "name": name, "_also": also if also != name else None, "__module__": __name__})
            derived._custom_name = False
            made[cls, topic, event.name] = derived
        return derived(event, *args, **kwargs)


class Done(DerivedEvent):
    """All handlers of an event ran; fired only while somebody waits for it."""


class Success(DerivedEvent):
    """All handlers of an event ran and none raised: (event, value)."""


class Failure(DerivedEvent):
    """A handler of an event raised: (event, (type, value, traceback lines))."""


class Complete(DerivedEvent):
    """An event and everything it caused is done: (event, value)."""


class ValueChanged(DerivedEvent):
    """A result arrived for an event that asked for notice: (value)."""


# -- the life of a system ---------------------------------------------------

class Registered(Event):
    """*component* was registered with *manager*; fired on its channel."""

    def __init__(self, component, manager):
        super().__init__(component, manager)


class Started(Event):
    """The tree of *component* is running; fired on the root's channel."""

    def __init__(self, component):
        super().__init__(component)


class GenerateEvents(Event):
    """The system is about to idle: sources of events, have a look.

    A handler that takes *event* may fire events, and calls
    reduce_time_left(): with 0 to be called again at once, with n to be called
    again within n seconds.  The poller, at priority -9, then sleeps for
    time_left seconds (negative: until something happens).
    """

    def __init__(self, lock, max_wait):
        super().__init__()
        self._lock = lock
        self._time_left = max_wait

    @property
    def lock(self):
        return self._lock

    @property
    def time_left(self):
        return self._time_left

    def reduce_time_left(self, time_left):
        """Make the pause at most *time_left* seconds; a larger one is ignored."""
        with self._lock:
            if time_left < 0 or 0 <= self._time_left < time_left:
                return
            self._time_left = time_left
            if time_left == 0 and self.handler is not None:
                resume = getattr(getattr(self.handler, "__self__", None), "resume", None)
                if resume is not None:
                    resume()


class Error(Event):
    """A handler or a task raised; fired on the root's channel.

    Its four arguments: the exception's type, the exception, the traceback as
    a list of strings, and the handler (or None).
    """

    def __init__(self, type, value, traceback, handler=None):
        super().__init__(type, value, traceback, handler)


class Signal(Event):
    """The process got *signal* while *stack* was its frame.

    SIGINT and SIGTERM then stop the system, unless a handler calls stop() on
    this event; or sets its *deferred*, which lets the other handlers see it,
    and stops the system itself when it is ready.
    """

    deferred = False

    def __init__(self, signal, stack):
        super().__init__(signal, stack)


class Unregister(Event):
    """Asks *component* to leave its tree."""

    def __init__(self, component=None):
        super().__init__(component)


class PrepareUnregister(Event):
    """*component* is about to leave: let go of what belongs to it.

    It leaves when this event and all that it caused is done.
    """

    complete = True

    def __init__(self, component):
        super().__init__(component)

    def in_subtree(self, component):
        """True if *component* is the one that leaves, or below it."""
        leaving = self._args[0]
        while True:
            if component is leaving:
                return True
            if component.parent is component:
                return False
            component = component.parent


class Unregistered(Event):
    """*component* left *manager*; seen by the tree it left."""

    def __init__(self, component, manager):
        super().__init__(component, manager)


class Stopped(Event):
    """The tree of *component* stops; fired on its channel."""

    def __init__(self, component):
        super().__init__(component)


# ---------------------------------------------------------------------------
# 3. Values
#
# What fire() returns: a place that fills as the handlers return.  Invariant:
# one result stands bare, several stand as a list in the order of arrival.
# ---------------------------------------------------------------------------

class Value:
    """The results of one firing of *event*.

    value    None, the one result, or a list of the results in order; reading
             it follows nested Values to the innermost one
    result   True once something was stored
    errors   True if a handler raised; the result is then (or contains) the
             triple (type, exception, list of traceback lines)
    promise  True while a generator or coroutine of the event is running
    notify   like Event.notify, for this firing alone
    handled  for your own use

    ``await value`` waits for the event and raises what a handler raised.
    """

    notify = False
    promise = False
    result = False
    errors = False
    handled = False
    event = None
    manager = None
    _parent = None
    _value = None
    _count = 0          # results stored, empty nested Values included
    _error = None       # the first exception, for those who wait

    def __init__(self, event=None, manager=None):
        self.event = event
        self.manager = manager

    @property
    def parent(self):
        return self if self._parent is None else self._parent

    @parent.setter
    def parent(self, value):
        self._parent = None if value is self else value

    def getValue(self, recursive=True):
        """The result; *recursive* follows nested Values."""
        value = self._value
        if recursive:
            while isinstance(value, Value):
                value = value._value
        return value

    def setValue(self, value):
        """Store one more result and tell those who asked for notice."""
        if not self._count and self._parent is None and value is not None \
                and not isinstance(value, Value):
            self._value = value         # the first, and nothing to be careful about
            self._count = 1
            self.result = True
            return self.inform()
        if self._count >= MAX_RESULTS:
            raise RuntimeError(
                "%r collected %d results: a handler yields without end; let it fire "
                "an event for each piece instead" % (self.event, self._count))
        self._store(value)

    value = property(getValue, setValue)

    def _store(self, value):
        if isinstance(value, Value):
            inner, outer = value, self
            while isinstance(inner, Value) and inner is not self:
                inner = inner._value
            while outer is not None and outer is not value:
                outer = outer._parent
            if inner is self or outer is value:
                raise ValueError("a handler of %r returned the Value of that event itself, or one "
                                 "that waits for it" % (self.event,))
            value.parent = self
        if self._count == 0:
            self._value = value
            self._count = 1 if value is not None else 0
        else:
            if self._count == 1:
                self._value = [self._value]
            self._value.append(value)
            self._count += 1
        self._spread(value)

    def _spread(self, value):
        """Carry flags and notice to this Value and to those it is nested in."""
        holder = self
        while holder is not None:
            if isinstance(value, Value):
                holder.errors = holder.errors or value.errors
                holder._error = holder._error or value._error
                holder.result = holder.result or value.result
                if value.result:
                    holder.inform()
            elif value is not None:
                holder.result = True
                holder.inform()
            value, holder = holder, holder._parent

    def inform(self, force=False):
        """Fire the value-changed event if one was asked for.

        While a generator is running only *force* does: its results are
        announced once, at the end.
        """
        if self.promise and not force or self.manager is None:
            return
        notify = self.notify or self.event is not None and self.event.notify
        if not notify:
            return
        if isinstance(notify, str):
            event = Event.create(notify, self)
        elif self.manager._reactor.topic_is_heard(self.event, "_value_changed"):
            event = _value_changed(self)
        else:
            return
        try:
            self.manager.fire(event, self.manager)
        except Exception as error:      # a fire() of its own
            self.manager._reactor.failed(None, self.manager.fire, error)

    def __await__(self):
        if self.event is None or self.manager is None:
            raise RuntimeError("this Value was not returned by fire(): nothing to wait for")
        return _waiting_for(self).__await__()

    def __contains__(self, item):
        value = self.value
        return item in value if isinstance(value, list) else item == value

    def __getitem__(self, key):
        item = self.value[key]
        return item.value if isinstance(item, Value) else item

    def __iter__(self):
        for item in self.value:
            yield item.value if isinstance(item, Value) else item

    def __str__(self):
        return str(self.value)

    def __repr__(self):
        shown = _safe_repr(self.value) if self.result else ""
        return "<Value (%s) result: %r errors: %r for %r" % (
            shown, self.result, self.errors, self.event)

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k != "manager"}


_lay_out(Value, ("event", "manager", "_value", "_count", "result", "promise", "_parent"))


def _value_changed(value):
    """The event ``<name>_value_changed(value)``."""
    source = value.event
    made = vars(type(source)).get("_changed")
    if made is None or made.name != source.name + "_value_changed":
        made = type(source)._changed = type(
            "%s_ValueChanged" % type(source).__name__, (ValueChanged,),
            {"name": source.name + "_value_changed", "__module__": __name__})
    return made(value)


# ---------------------------------------------------------------------------
# 4. Handlers
#
# Functions marked with what they listen to.  The marks live on the function;
# what a class listens to is worked out once per class.
# ---------------------------------------------------------------------------

def handler(*names, channel=None, priority=0, filter=False, override=False):
    """Mark a method as the handler of the events called *names*.

        @handler("read", channel="stdin", priority=1)
        def _on_stdin(self, data): ...

    Without names it sees every event on its channel; with channel="*" as well
    it is a global handler, which also sees events fired at one component.
    ``@handler(False)`` keeps a public method of a Component from being one.

    channel   where to listen; default: the component's own channel
    priority  higher runs first; default 0
    filter    if it returns something true, the handlers after it are skipped;
              they wait for one that is a generator or a coroutine
    override  replaces the handler of that name that the base class defines,
              which would run as well otherwise

    If the first parameter after self is called *event*, the event itself is
    passed there.
    """
    if names and names[0] is False:
        def not_a_handler(function):
            function.handler = False
            return function
        return not_a_handler
    for name in names:
        if not isinstance(name, str):
            raise TypeError("handler() takes event names, got %r; a decorator without "
                            "names needs its brackets: @handler()" % (name,))

    if isinstance(priority, bool) or not isinstance(priority, (int, float)) or priority != priority:
        raise TypeError("the priority of a handler is a number, got %r" % (priority,))

    def mark(function):
        code = getattr(function, "__code__", None)
        if code is None:
            raise TypeError("handler() marks functions, got %r" % (function,))
        function.handler = True
        function.names = names
        function.priority = priority
        function.filter = filter
        function.channel = channel
        function.override = override
        if not hasattr(function, "event"):
            params = code.co_varnames[:code.co_argcount]
            if params[:1] == ("self",):
                params = params[1:]
            function.event = params[:1] == ("event",)
        return function
    return mark


def _own_step(function):
    """Mark a handler as the framework's own next step, not a listener.

    Where no other handler hears a step, the event need not be built: a direct
    call does (Reactor.heard decides).
    """
    function.own_step = True
    return function


def reprhandler(handler):
    """Show a handler: ``<listener[channel.names] (Class.method)>``."""
    channel = handler.channel
    if channel is None:
        channel = "*"
    elif isinstance(channel, Manager):
        channel = "<instance of %s>" % type(channel).__name__
    owner = getattr(handler, "__self__", None)
    return "<%s[%s.%s] (%s.%s)>" % (
        "filter" if handler.filter else "listener", channel, ".".join(handler.names),
        "Unknown" if owner is None else type(owner).__name__, handler.__name__)


class HandlerMetaClass(type):
    """Makes each public method of a class body a handler of its own name.

    Nested classes, properties, static and class methods are left alone, and
    so is init(), which an event of that name must not run again.
    """

    def __new__(mcs, name, bases, body, **kwargs):
        for key, member in body.items():
            if (isinstance(member, FunctionType) and not key.startswith("_")
                    and key != "init" and not hasattr(member, "handler")):
                handler(key)(member)
        return super().__new__(mcs, name, bases, body, **kwargs)


def _is_handler(member):
    return isinstance(member, FunctionType) and getattr(member, "handler", False) is True


def _handlers_of(cls):
    """The handler functions of *cls* in order of definition, base first.

    A direct base's handler that *cls* defines again runs as well, unless that
    one says override; it is reachable as <Base>_<method>.
    """
    members = {}
    for klass in reversed(cls.__mro__):
        if vars(klass).get("_is_ground"):
            continue
        aliases = vars(klass).get("_handler_aliases", ())
        for key, member in vars(klass).items():
            if key not in aliases:
                members[key] = member
    found = [member for member in members.values() if _is_handler(member)]
    aliases = {}
    for base in cls.__bases__:
        if base.__dict__.get("_is_ground"):
            continue
        for key, member in vars(base).items():
            if not _is_handler(member) or key in vars(base).get("_handler_aliases", ()):
                continue
            redefined = vars(cls).get(key)
            if _is_handler(redefined) and redefined.override:
                continue
            aliases["%s_%s" % (base.__name__, key)] = member
            if member not in found:
                found.append(member)
    return found, aliases


def _names_of(function):
    """The index keys of a handler; "*" for those without names.

    FooBar also listens to foo_bar: programs for the current release name
    handlers like the event class.
    """
    names = function.names or ("*",)
    for name in names:
        yield name
        if not (name.isupper() or name.islower()):
            plain = uncamel(name)
            if plain != name:
                yield plain


def _is_global(function):
    return not function.names and function.channel == "*"


# ---------------------------------------------------------------------------
# 5. Tasks
#
# A handler that is a generator or a coroutine becomes a task.  To the queue a
# task is an event whose only handler advances it, so there is one queue and
# one order for both.  Yielding
#   None          lets everybody else have a turn,
#   a Waiting     (call, wait, sleep) suspends until that is over, at no cost,
#   a generator   runs it first, and evaluates to what it returns,
#   anything else records a result of the event.
# ---------------------------------------------------------------------------

class Running:
    """One running generator or coroutine of one firing."""

    __slots__ = ("stack", "event", "handler", "owner", "waiting", "spins", "closed",
                 "stepping", "home", "context", "_args", "_state", "_value", "_send", "_throw")

    # What the dispatcher reads of an event; it writes _state and _value.
    name = None
    channels = ()
    stopped = False
    _kwargs = None

    def __init__(self, generator, event, handler, owner):
        self.stack = [generator]
        self.event = event
        self.handler = handler
        self.owner = owner
        self.waiting = None
        self.spins = 0
        self.closed = False
        self.stepping = False
        self.home = owner._reactor      # of the tree that handles the event
        self.context = copy_context() or None   # its context variables, if any
        self._args = (self,)
        self._state = QUEUED
        self._value = None
        self._send = None
        self._throw = None

    def resume(self, value=None, error=None):
        """Put the task back into the queue; safe from any thread."""
        self.waiting = None
        self._send = value
        self._throw = error
        reactor = self.owner._reactor
        reactor.queue.append(self)
        if reactor.alert:
            reactor.fired(None)

    def interrupt(self, error):
        """Raise *error* where the task is suspended."""
        if self.waiting is not None:
            self.waiting.give_up()
            self.resume(error=error)
        elif not self.closed:
            self._throw = error         # it is in the queue

    def step(self):
        """Advance to the next suspension; called by the dispatcher."""
        if self.closed:
            return
        reactor = self.owner._reactor
        outer, tracked = reactor.cause, self.event._effects
        if tracked:
            reactor.cause = self.event
            reactor.alert = True
        self.stepping = True
        try:
            if self.context is None:
                ended = self._advance(reactor)
                self.context = copy_context() or None
            else:
                ended = self.context.run(self._advance, reactor)
        finally:
            self.stepping = False
            if tracked:
                reactor.cause = outer
                reactor.alert = outer is not None or reactor.successor is not None
        if ended or self.closed:        # it may have been cancelled by what it did
            self._close_all(reactor)
            self._end()

    def _advance(self, reactor):
        """Go on until it is suspended; True if it is over."""
        stack = self.stack
        while True:
            send, throw = self._send, self._throw
            self._send = self._throw = None
            try:
                if throw is None:
                    item = stack[-1].send(send)
                else:
                    item = stack[-1].throw(throw)
            except StopIteration as stop:
                stack.pop()
                if stack:
                    self._send = stop.value
                    continue
                if stop.value is not None:
                    reactor._collect(self.event, self.handler, stop.value)
                return True
            except BaseException as error:
                stack.pop()
                if stack and isinstance(error, Exception):
                    self._throw = error
                    continue
                reactor.failed(self.event, self.handler, error)
                return True
            finally:
                throw = None        # no cycle through this frame
            if self.closed:
                return True
            if item is None:
                return self._give_way()
            if isinstance(item, Waiting):
                try:
                    item.begin(self)
                except Exception as error:      # a timeout that is no number, say
                    self._throw = error
                    continue
                return
            if isinstance(item, (GeneratorType, CoroutineType)):
                if reactor.host is None or isinstance(item, GeneratorType):
                    stack.append(item)
                    continue
                return reactor.host.run(item, self)
            if hasattr(type(item), "_asyncio_future_blocking"):
                if reactor.host is None:
                    self._throw = RuntimeError(
                        "%r belongs to asyncio, but this tree runs on a loop of its own: run it "
                        "with `await app.serve()`" % (item,))
                    continue
                return FutureWaiting(item).begin(self)
            try:
                self._record(item)
            except Exception as error:
                self._throw = error
                continue
            return self._give_way()

    def call_later(self, seconds, callback):
        """Call back later, for sleep(); returns what forgets it."""
        reactor = self.owner._reactor
        entry = reactor.call_later(seconds, callback)
        return lambda: reactor.cancel(entry)

    def _record(self, result):
        """Store a result of the event."""
        self.spins = 0
        value = self.event.value
        if value is not None:
            value.value = result

    def _give_way(self):
        """Queue the next step; a task that only polls gets slower turns."""
        self.spins += 1
        if self.spins < SPIN_LIMIT:
            self.owner._reactor.queue.append(self)
        else:
            self.owner._reactor.call_later(TIMEOUT, self.resume)

    def _close_all(self, reactor):
        """Close what is left, so that finally blocks run."""
        while self.stack:
            try:
                _close(self.stack.pop())
            except BaseException as error:
                reactor.failed(self.event, self.handler, error)

    def _end(self):
        """The task is over: the last one of an event settles it."""
        self.closed = True
        reactor = self.home
        while reactor.successor is not None:
            reactor = reactor.successor
        tasks = self.owner._tasks
        if tasks is not None:
            tasks.pop(self, None)
        event = self.event
        event.waitingHandlers -= 1
        if not event.waitingHandlers:
            value = event._value
            if value is not None:
                value.promise = False
                if value.result:
                    value.inform(True)
            reactor.settle(event)

    def cancel(self, reason):
        """Close the generators, so that their finally blocks run, and end.

        With a *reason*, those who wait for the event get it as Cancelled.
        """
        if self.closed:
            return
        self.closed = True
        value = self.event._value
        if reason and value is not None:
            value.errors = True
            value._error = value._error or Cancelled(reason)
        if self.stepping:
            return                      # by what it does itself: step() sees to it
        if self.waiting is not None:
            self.waiting.give_up()
            self.waiting = None
        self._close_all(self.home)
        self._end()

    def __repr__(self):
        name = self.stack[-1].__name__ if self.stack else "ended"
        return "<task %s of %r>" % (name, self.event)


class Deciding(Running):
    """The task of a filter: the handlers after it wait for its end.

    If something true was returned or yielded they are not called, nor after an
    exception, nor when the task is cancelled.
    """

    __slots__ = ("rest", "stops")

    def __init__(self, generator, event, handler, owner):
        super().__init__(self._decide(generator), event, handler, owner)
        self.stops = False
        handlers = self.home._plan_for(event).handlers
        called = [bound for bound, _ in handlers]
        self.rest = handlers[called.index(handler) + 1:] if handler in called else ()

    def _decide(self, thing):
        """Run *thing* to its end; then call the other handlers, unless it stops them."""
        result = yield thing
        while isinstance(result, (Waiting, GeneratorType, CoroutineType)):
            result = yield result
        reactor = self.owner._reactor
        if result is not None:
            self.stops = self.stops or _stops(result)
            reactor._collect(self.event, self.handler, result)
        if not self.stops:
            reactor.go_on(self.event, self.rest)

    def _record(self, result):
        self.stops = self.stops or _stops(result)
        super()._record(result)


def _stops(result):
    """Whether a filter with this result lets no other handler see the event."""
    if isinstance(result, Value) and result.event is not None and result.event._state == DONE:
        result = result.value           # of a call(), say
    return bool(result)


class _Closing(BaseException):
    """Thrown into a task that ends before its time, where close() will not do."""


def _close(generator):
    """Close a generator or coroutine: its finally blocks run, and must not wait."""
    inner = generator
    while isinstance(inner, CoroutineType):
        inner = inner.cr_await
    if type(inner).__name__ != "async_generator_asend":
        return generator.close()
    try:                    # close() does not reach into an asynchronous generator
        generator.throw(_Closing())
    except (_Closing, StopIteration):
        return
    raise RuntimeError("%r waits in a finally block after it was cancelled" % generator)


@coroutine
def _give_way():
    """Let everybody else have a turn, whatever drives the coroutine."""
    yield


async def _collected(items, event):
    """The coroutine for a handler that is an asynchronous generator."""
    try:
        async for item in items:
            event.value.value = item
            await _give_way()
    finally:
        await items.aclose()


# ---------------------------------------------------------------------------
# 6. Waiting
#
# What a task can be suspended on: one class per thing to wait for.  Invariant:
# finish() or give_up() ends a Waiting once, and undoes what install() did.
# ---------------------------------------------------------------------------

class Waiting:
    """What a handler can be suspended on: yield it or await it.

        value = yield self.call(Foo())          in a generator
        value = await self.call(Foo())          in a coroutine

    By hand: ``for _ in manager.wait("foo"): manager.tick()``.  The first step
    begins to wait; the iteration ends when the wait is over.

    Whoever drives the coroutine gets the Waiting itself: a Running calls
    begin(); an asyncio task takes it for a future, of which it has as much as
    those look at.  So nobody need know where a coroutine will run.
    """

    __slots__ = ("task", "begun", "over", "outcome", "error", "_hand",
                 "_asyncio_future_blocking")

    takes_errors = False
    needs_task = False          # install() has to know who waits

    def __init__(self):
        self.task = None
        self.begun = False
        self.over = False
        self.outcome = None
        self.error = None
        self._hand = None
        self._asyncio_future_blocking = None

    def install(self):
        """To override: arrange for finish() to be called."""
        raise NotImplementedError

    def withdraw(self):
        """To override: undo install()."""

    def at_home(self, function):
        """To override: call *function* in the thread where that may be done."""
        function()

    def begin(self, task=None):
        """Start to wait, unless begun; *task* is resumed when it is over."""
        if task is not None:
            if self.task is not None and self.task is not task and not self.over:
                raise RuntimeError("%r waits for this already; make a call() or wait() for each"
                                   % self.task)
            self.task = task
            task.waiting = self
            task.spins = 0
        if self.over:
            if task is not None:
                task.resume(self.outcome, self.error)
        elif not self.begun:
            self.begun = True
            self.at_home(self.install)

    def finish(self, outcome=None, error=None):
        """It is over, one way or the other.  A second call does nothing."""
        if self.over:
            return
        self.outcome = outcome
        self.error = error
        self.over = True
        self.withdraw()
        task = self.task
        if task is not None:
            self.task = None
            task.resume(outcome, error)

    def give_up(self):
        """Nobody waits any more: who did was cancelled."""
        if not self.over:
            self.over = True
            self.task = None
            self.at_home(self.withdraw)

    def __iter__(self):
        if not self.needs_task:
            self.begin()
        self._asyncio_future_blocking = True
        try:
            yield self                  # a task comes back when it is over
        except BaseException:
            self.give_up()
            raise
        finally:
            self._asyncio_future_blocking = None
        self.begin()
        while not self.over:
            yield                       # by hand
        if self.error is not None:
            raise self.error
        return self.outcome

    __await__ = __iter__

    def __next__(self):
        if self._hand is None:
            self._hand = iter(self)
        return next(self._hand)

    # -- what an asyncio task looks at --------------------------------------

    def get_loop(self):
        return sys.modules["asyncio"].get_running_loop()

    def add_done_callback(self, callback, *, context=None):
        task = _LoopTask(self.get_loop())
        task.future.add_done_callback(callback, context=context)
        self.begin(task)

    def cancel(self, msg=None):
        task = self.task
        return task is not None and task.future.cancel(*(() if msg is None else (msg,)))


class _LoopTask:
    """Stands for an asyncio task where a Waiting has a Running."""

    def __init__(self, loop):
        self.loop = loop
        self.future = loop.create_future()
        self.ident = get_ident()

    def resume(self, outcome=None, error=None):
        """Let it go on, and see for itself; safe from any thread."""
        if get_ident() == self.ident:
            return self._wake()
        try:
            self.loop.call_soon_threadsafe(self._wake)
        except RuntimeError:                    # the loop was closed meanwhile
            pass

    def _wake(self):
        if not self.future.done():
            self.future.set_result(None)

    def call_later(self, seconds, callback):
        return self.loop.call_later(seconds, callback).cancel


class _ThreadTask:
    """Stands for a thread that waits, where a Waiting has a Running."""

    def __init__(self):
        self.lock = allocate_lock()
        self.lock.acquire()

    def resume(self, outcome=None, error=None):
        self.lock.release()

    def wait(self, waiting):
        try:
            waiting.begin(self)
            self.lock.acquire()
        except BaseException:               # ^C
            waiting.give_up()
            raise
        if waiting.error is not None:
            raise waiting.error
        return waiting.outcome


def _check_seconds(seconds, text):
    """Refuse what is no duration, with *text*."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError("%s, got %r" % (text, seconds))
    if seconds != seconds:
        raise ValueError("%s, got %r" % (text, seconds))


class EventWaiting(Waiting):
    """Wait for an event: one that is fired now (call), an instance, or a name."""

    __slots__ = ("manager", "event", "channels", "timeout", "fires", "named", "_timer",
                 "_cause")

    def __init__(self, manager, event, channels, timeout, fires=False):
        Waiting.__init__(self)
        if timeout is not None:
            _check_seconds(timeout, "timeout is a number of seconds or None")
        self.manager = manager
        self.event = event
        self.channels = channels
        self.timeout = timeout
        self.fires = fires
        self.named = isinstance(event, str)
        self._timer = None
        self._cause = manager._reactor.cause    # asyncio.gather() begins elsewhere

    def install(self):
        event = self.event
        reactor = self.manager._reactor
        if isinstance(event, str):
            self.channels = self.channels or (getattr(self.manager, "channel", None) or "*",)
            reactor.await_name(event, self)
        elif self.fires:
            if event._state == FRESH:
                event._state = EXPECTED
                event._waiters = [self]
            else:
                event = self.event = reactor.again(event)
                event._state = SPECIAL
                event._expect(self)
            event.alert_done = True
            event._value = None
            if self._cause is None:
                self.manager.fire(event, *self.channels)
            else:
                with reactor.causing(self._cause):
                    self.manager.fire(event, *self.channels)
        elif event._state == DONE:
            return self.event_done(event)
        else:
            self.claim(event)
        if self.timeout is not None and self.timeout >= 0:
            self._timer = reactor.call_later(self.timeout, self._too_late)

    def claim(self, event):
        """Wait for this one: a waiter by name has met its event."""
        self.event = event
        event.alert_done = True
        event._expect(self)

    def matches(self, event):
        """Whether *event* is on a channel that a handler of ours would hear."""
        manager = self.manager
        for mine in self.channels:
            if mine == "*":
                return True
            for channel in event.channels:
                if channel == "*" or channel == mine or channel is manager:
                    return True
        return False

    @property
    def takes_errors(self):
        """Whether an error of the event is ours to handle: we fired or hold it."""
        return not self.named and not self.over

    def at_home(self, function):
        reactor = self.manager._reactor
        if reactor.ident is None or reactor.ident == get_ident():
            function()
        else:                       # another thread waits
            reactor.call_soon(function)
            if reactor.ident is None:
                reactor.abandon()   # the tree has ended meanwhile

    def event_done(self, event):
        value = event.value
        self.finish(value, None if value is None else value._error)

    def withdraw(self):
        event = self.event
        reactor = self.manager._reactor
        if isinstance(event, str):
            reactor.forget_name(event, self)
        elif event._waiters and self in event._waiters:
            event._waiters.remove(self)
        if self._timer is not None:
            reactor.cancel(self._timer)
            self._timer = None

    def _too_late(self):
        self._timer = None
        self.finish(error=TimeoutError("%s is not done after %g s" % (
            self.event if isinstance(self.event, str) else repr(self.event), self.timeout)))


class Sleep(Waiting):
    """Suspend a handler for some seconds: ``yield sleep(0.5)``."""

    __slots__ = ("seconds", "_deadline", "_timer")

    needs_task = True

    def __init__(self, seconds):
        super().__init__()
        _check_seconds(seconds, "a float is required: sleep(seconds)")
        self.seconds = seconds
        self._deadline = None
        self._timer = None

    def begin(self, task=None):
        if self.over:                   # used again: sleep again
            self.begun = self.over = False
        super().begin(task)

    def install(self):
        self._deadline = time.monotonic() + self.seconds
        self._timer = self.task.call_later(self.seconds, self.finish)

    def withdraw(self):
        if self._timer is not None:
            self._timer()               # forget it
            self._timer = None

    def __iter__(self):
        if self._deadline is None:
            self._deadline = time.monotonic() + self.seconds
        self._asyncio_future_blocking = True
        try:
            yield self
        except BaseException:
            self.give_up()
            raise
        finally:
            self._asyncio_future_blocking = None
        while not self.over and time.monotonic() < self._deadline:
            yield                       # by hand

    __await__ = __iter__

    def __repr__(self):
        left = self.seconds if self._deadline is None else self._deadline - time.monotonic()
        return "sleep(%r)" % max(0.0, left)


sleep = Sleep


class FutureWaiting(Waiting):
    """Wait for a future: of a worker's thread, or of the asyncio loop around us."""

    __slots__ = ("future",)

    def __init__(self, future):
        super().__init__()
        self.future = future

    def install(self):
        self.future.add_done_callback(self._filled)

    def withdraw(self):
        self.future.cancel()

    def _filled(self, future):
        if future.cancelled():
            return self.finish(error=Cancelled("%r was cancelled" % (future,)))
        error = future.exception()
        if error is not None and not isinstance(error, Exception):
            error, cause = RuntimeError("the function raised %r, which ends a thread or process, "
                                        "not the system" % error), error
            error.__cause__ = cause
        self.finish(None if error else future.result(), error)


_TASKS = frozenset((GeneratorType, CoroutineType, AsyncGeneratorType))


def _result_of(thing):
    """The task for a handler that returns what it could have yielded."""
    return (yield thing)


class Soon:
    """A function in the queue, called when its turn comes; see Reactor.call_soon."""

    __slots__ = ("_args", "_state", "_value")

    name = None
    channels = ("soon",)
    stopped = False
    _kwargs = None

    def __init__(self, function):
        self._args = (function,)
        self._state = QUEUED
        self._value = None


# ---------------------------------------------------------------------------
# 7. Several at once
#
# gather() and race() wait for several things; a group runs several tasks.
# ---------------------------------------------------------------------------

class Together(Waiting):
    """Wait for several: what gather() and race() return."""

    __slots__ = ("waitings", "first", "left", "needs_task")

    def __init__(self, things, first):
        super().__init__()
        self.waitings = [_waiting_for(thing) for thing in things]
        self.first = first
        self.left = len(self.waitings)
        self.needs_task = any(waiting.needs_task for waiting in self.waitings)

    def install(self):
        for waiting in self.waitings:
            if not self.over:
                waiting.begin(_Part(self))
        if not self.waitings:
            self.finish([])

    def withdraw(self):
        for waiting in self.waitings:
            waiting.give_up()

    def part_over(self, outcome, error):
        self.left -= 1
        if error is not None:
            self.finish(error=error)
        elif self.first:
            self.finish(outcome)
        elif not self.left:
            self.finish([waiting.outcome for waiting in self.waitings])


class _Part:
    """Stands for the task where one of several is waited for."""

    def __init__(self, together):
        self.together = together

    def resume(self, outcome=None, error=None):
        if not self.together.over:
            self.together.part_over(outcome, error)

    def call_later(self, seconds, callback):
        if self.together.task is None:
            raise RuntimeError("sleep() among others needs a handler, or asyncio, to wait in")
        return self.together.task.call_later(seconds, callback)


def _waiting_for(thing):
    if isinstance(thing, Waiting):
        return thing
    if isinstance(thing, Value) and thing.manager is not None:
        # Not manager.wait(): a component may have a handler of that name.
        waiting = EventWaiting(thing.manager, thing.event, (), None)
        if thing.event._value is not thing:     # it was fired again: this firing is over
            waiting.begun = waiting.over = True
            waiting.outcome, waiting.error = thing, thing._error
        return waiting
    raise TypeError("gather() and race() take what call(), wait(), sleep() and fire() return, "
                    "got %r; for coroutines there is group()" % (thing,))


def gather(*things):
    """Wait for all of them: ``a, b = yield gather(self.call(x), self.call(y))``.

    Evaluates to the list of what each evaluates to.  The first error is
    raised here, and the others are not waited for any more.
    """
    return Together(things, False)


def race(*things):
    """Wait for the first of them: ``x = await race(self.call(x), sleep(3))``.

    Evaluates to what that one evaluates to, or raises its error.
    """
    if not things:
        raise ValueError("race() takes at least one thing to wait for")
    return Together(things, True)


class _Gate(Waiting):
    """Wait until somebody calls finish()."""

    __slots__ = ()

    def install(self):
        pass


class _Whose(Waiting):
    """Evaluates to what drives the coroutine that awaits this."""

    __slots__ = ()

    needs_task = True

    def install(self):
        self.finish(self.task)


class group:
    """Tasks that end together.

        async with group(self) as tasks:
            tasks.start(self.fetch(1))
            tasks.start(self.fetch(2))
        # here both are over

    If one fails, the others and the body are cancelled, and its error is
    raised at the end of the block.  They belong to the component *manager*
    and end with it.
    """

    takes_errors = True

    def __init__(self, manager):
        self.manager = manager
        self.parent = None          # what drives the body
        self.running = {}           # event -> its Running
        self.cancelled = False
        self.error = None           # the first of a task
        self.gate = None            # the end of the block waits there
        self._interrupted = False

    def start(self, coroutine):
        """Run a coroutine or generator as one of the tasks; returns its Value."""
        if not isinstance(coroutine, (CoroutineType, GeneratorType)):
            raise TypeError("start() takes a coroutine, got %r: call the function" % (coroutine,))
        reactor = self.manager._reactor
        event = Event.create("group_task", coroutine)
        event.channels = self.manager._own
        event._waiters = [self]
        event._state = SPECIAL
        value = event._value = Value(event, self.manager)
        reactor.caused(event)
        self.running[event] = reactor._collect(
            event, MethodType(group.start, self.manager), coroutine)
        reactor.fired(None)
        return value

    def cancel(self):
        """Cancel all that are still running."""
        self.cancelled = True
        for running in list(self.running.values()):
            running.cancel("its group was cancelled")

    def event_done(self, event):
        """One is over; called by the reactor."""
        del self.running[event]
        error = event.value._error
        if error is not None and not self.cancelled:
            self.error = error
            self.cancel()
            if self.gate is None:
                self._interrupt()
        if not self.running and self.gate is not None:
            self.gate.finish()

    def _interrupt(self):
        self._interrupted = True
        if isinstance(self.parent, Running):
            self.parent.interrupt(Cancelled("another task of the group failed"))
        else:
            self.parent.cancel()

    async def __aenter__(self):
        self.parent = await _Whose()
        if not isinstance(self.parent, Running):
            self.parent = sys.modules["asyncio"].current_task()
        return self

    async def __aexit__(self, etype, error, traceback):
        if etype is not None:
            self.cancel()
        if etype in (GeneratorExit, _Closing):
            return                          # we may not wait
        late = None
        while self.running:
            self.gate = _Gate()
            try:
                await self.gate
            except GeneratorExit:
                self.cancel()
                raise
            except BaseException as cancelled:
                self.cancel()
                late = cancelled
        if self.error is not None:
            if self._interrupted and hasattr(self.parent, "uncancel"):
                self.parent.uncancel()
            raise self.error
        if late is not None:
            raise late


# ---------------------------------------------------------------------------
# 8. The reactor: one queue, one thread
#
# One Reactor per component tree, shared by all its managers.  It owns the
# queue and knows which handlers an event reaches (plans).  Invariants: only
# the thread that runs the tree dispatches; the tree and the plans change only
# under _tree_lock; a plan in the table is never out of date.
# ---------------------------------------------------------------------------

# One lock for changes of all trees: a registration touches two trees, and two
# locks would need an order.  Dispatching takes it only to make a plan.
_tree_lock = RLock()


def _after_fork():
    """Another thread of the parent may have held it."""
    global _tree_lock
    _tree_lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_joined = count()           # orders components by when they joined a tree

# What a handler needs beyond being called with the arguments.
WANTS_EVENT, FILTER = 1, 2

# Who is interested in more of an event than its handlers are (Plan.watched).
SUCCESS, COMPLETE, DONE_EVENT, CHANGED, AWAITED, ODD = 1, 2, 4, 8, 16, 32
EVERYTHING = 63

# Of these, what matters before the handlers run, and after.
_BEFORE = COMPLETE | AWAITED | ODD
_AFTER = EVERYTHING & ~CHANGED

_FEEDBACK = {"_success": SUCCESS, "_complete": COMPLETE, "_done": DONE_EVENT,
             "_value_changed": CHANGED}
_SUFFIXES = tuple(_FEEDBACK)

# What is known of the handlers that a manager has for a name: they are of its
# class, and on its own channel; they are all the framework's own next steps.
PLAIN, OWN_STEPS = 1, 2


def _and_feedback(*names):
    """Under what these events, or feedback of them, are heard or waited for."""
    return frozenset(name + suffix for name in names for suffix in ("",) + _SUFFIXES)


_MOVES = ("registered", "prepare_unregister", "unregistered")
_READS = _and_feedback("_read") | {"*"}
_MOVES_HEARD = _and_feedback(*_MOVES)
_IDLING = _and_feedback("generate_events")


class Plan:
    """What the dispatcher needs to know of a (name, channels).

    handlers  tuple of (bound handler, WANTS_EVENT | FILTER), in order
    watched   flags: who listens to feedback of this name, or waits for it;
              ODD if that has to be found out per event
    public    its handlers, or those of its feedback, are not all the
              framework's own next steps
    """

    __slots__ = ("handlers", "watched", "public", "_source", "_success")

    def __init__(self, handlers, watched, public):
        self.handlers = handlers
        self.watched = watched
        self.public = public
        self._source = None         # the class that _success is the success of

    def success(self, event, value):
        """The success event of *event*, which has this plan."""
        if self._source is not type(event):
            success = Success.create("Success", event, value)
            self._source, self._success = type(event), type(success)
            return success
        return self._success(event, value)


def _call(function):
    function()


_TASK_PLANS = {(): Plan(((Running.step, 0),), 0, False),
               Soon.channels: Plan(((_call, 0),), 0, False)}

# What the many reactors have that never come to run.
_NO_PLANS = {None: _TASK_PLANS}
_NOTHING_TOLD = {}
_ONE = (None,)
INFINITE = float("inf")


class Wakeup:
    """A pipe that ends the pause of a loop, from threads and from signals.

    A signal that comes just before the loop blocks would go unnoticed: its
    Python handler runs only between instructions.  Therefore the interpreter
    writes to this pipe, too (signal.set_wakeup_fd).
    """

    def __init__(self):
        self._poll = None           # while nobody waits with it
        if sys.platform == "win32":     # select() takes nothing but sockets there
            import socket
            self._ends = socket.socketpair()
            for end in self._ends:
                end.setblocking(False)
            self.number, self.target = (end.fileno() for end in self._ends)
        else:
            self._ends = None
            self.number, self.target = os.pipe()
            os.set_blocking(self.number, False)
            os.set_blocking(self.target, False)

    def wake(self):
        try:
            if self._ends is None:
                os.write(self.target, b"\0")
            else:
                self._ends[1].send(b"\0")
        except OSError:                 # it is full: the loop wakes anyway
            pass

    def drain(self):
        try:
            if self._ends is None:
                os.read(self.number, 4096)
            else:
                self._ends[0].recv(4096)
        except OSError:
            pass

    def wait(self, seconds):
        """Wait until it is written to; negative: for ever."""
        poll, self._poll = self._poll, None     # one at a time, says poll()
        if poll is None and hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self.number, select.POLLIN)
        if poll is not None:            # any number, where select() ends at 1023
            ready = poll.poll(None if seconds < 0 else int(seconds * 1000.0 + 0.999))
            self._poll = poll
        else:
            ready = select.select([self.number], [], [], None if seconds < 0 else seconds)[0]
        if ready:
            self.drain()

    def close(self):
        number, self.number = self.number, None
        if self._ends is not None:
            for end in self._ends:
                end.close()
        elif number is not None:
            os.close(number)
            os.close(self.target)

    def __del__(self):
        if self.number is not None:     # of a tree driven by hand
            self.close()


class Timers:
    """What is to be called, as lists [deadline, number, callback, args]: a queue
    by deadline, and by number where that is equal.

    Timeouts of one length come in the order in which they are due.  Such wait
    in a row, where to come and to go costs less than half of what it does in a
    heap of ten thousand (0.4 us, not 0.9); what comes in between is in a heap.
    A Timer that came by the short cut of its register() needs no list: it is in
    *plain* itself, and its _entry is *plain* until it is cancelled.

    *next* is what each turn of the loop asks for: the next deadline, INFINITE if
    there is none, None if first() has to find it out, as while something is in
    *due*.  Whoever stores one there looks at *added* then: a signal handler, or
    a __del__, may have added another between the look and the store.
    """

    __slots__ = ("next", "added", "plain", "latest", "row", "heap", "due", "cancelled")

    def __init__(self):
        self.next = INFINITE
        self.added = 0              # goes up with each that may be the next
        self.plain = deque()
        self.latest = 0             # what was the deadline of the last in plain when it came
        self.row = deque()
        self.heap = []
        self.due = deque()          # what take() took
        self.cancelled = 0          # entries in the four that are to be skipped

    def __len__(self):
        return len(self.plain) + len(self.row) + len(self.heap) + len(self.due)

    def add(self, entry):
        """Put a list in."""
        row, heap = self.row, self.heap
        if not row or row[-1] < entry:
            row.append(entry)
        elif len(row) > len(heap):
            heappush(heap, entry)
        else:                       # a late one does not keep all others out of the row
            while row:
                heappush(heap, row.pop())
            row.append(entry)
        self.note_added()

    def note_added(self):
        """One more came that may be the next."""
        self.added += 1
        self.next = None

    def cancel(self):
        """One more is not to be called."""
        self.cancelled += 1
        self.next = None            # that may have been it

    def first(self):
        """The next deadline, or INFINITE."""
        if self.next is not None:
            return self.next
        if self.due:                # of a run_timers() that is under way
            return self.due[0][0]
        added = self.added
        plain, row, heap = self.plain, self.row, self.heap
        if self.cancelled > 100 and self.cancelled > len(self) // 2:
            self._tidy()
        while plain and plain[0]._entry is not plain:
            plain.popleft()
            self.cancelled -= 1
        while row and row[0][2] is None:
            row.popleft()
            self.cancelled -= 1
        while heap and heap[0][2] is None:
            heappop(heap)
            self.cancelled -= 1
        deadline = plain[0]._deadline if plain else INFINITE
        if row and row[0][0] < deadline:
            deadline = row[0][0]
        if heap and heap[0][0] < deadline:
            deadline = heap[0][0]
        self.next = deadline
        if self.added != added:
            self.next = None
        return deadline

    def take(self, now):
        """Move what is due *now* into *due*, in order, all of it as lists."""
        plain, row, heap, due = self.plain, self.row, self.heap, self.due
        while plain:
            timer = plain[0]
            if timer._entry is not plain:
                self.cancelled -= 1
            elif timer._deadline > now:
                break
            else:
                timer._entry = [timer._deadline, timer._joined, timer, None]
                heappush(heap, timer._entry)
            plain.popleft()
        while row or heap:
            if not heap or row and row[0] < heap[0]:
                if row[0][0] > now:
                    return
                due.append(row.popleft())
            else:
                if heap[0][0] > now:
                    return
                due.append(heappop(heap))

    def _tidy(self):
        """Drop all that was cancelled, without waiting until it comes first."""
        plain = self.plain
        for part in plain, self.row, self.heap, self.due:
            left = [entry for entry in part if (
                entry._entry is plain if part is plain else entry[2] is not None)]
            part.clear()
            part.extend(left)
        heapify(self.heap)
        self.cancelled = 0


class _Nothing:
    """A block like any other."""

    def __enter__(self):
        pass

    def __exit__(self, *exc):
        pass


_NOTHING = _Nothing()


class _Causing:
    """See Reactor.causing()."""

    def __init__(self, reactor, cause):
        self.reactor = reactor
        self.cause = cause

    def __enter__(self):
        reactor = self.reactor
        self.outer, reactor.cause = reactor.cause, self.cause
        reactor.alert = True

    def __exit__(self, *exc):
        reactor = self.reactor
        reactor.cause = self.outer
        reactor.alert = (self.outer is not None or reactor.sleeping
                         or reactor.successor is not None)


def _flags_of(functions):
    """PLAIN | OWN_STEPS, of some handlers."""
    return (PLAIN if all(function.channel is None for function in functions) else 0) | (
        OWN_STEPS if all(getattr(function, "own_step", False) for function in functions) else 0)


class Reactor:
    """The queue, the plans, the timers and the poller of one tree."""

    __slots__ = (
        "root", "queue", "alert", "plans", "index", "awaited", "timers", "poller", "running",
        "ident", "cause", "halted", "batch", "sort", "sleeping", "quiet", "private", "unseen",
        "clean", "successor", "batches", "code", "looping", "idle_lock", "pid", "draining", "told",
        "wakeup", "context", "host", "guest", "__weakref__")

    def __init__(self, root):
        self.root = root
        self.queue = deque()
        self.alert = False          # fire() must call fired(): one of the next three
        self.sleeping = False       # the loop is, or is about to be, blocked
        self.cause = None           # the tracked event whose handlers are running
        self.successor = None       # this tree was joined to that reactor's
        self.forget_plans()
        self.index = None           # name -> {manager: PLAIN | OWN_STEPS}, in joining order
        self.awaited = None         # name -> [EventWaiting]
        self.timers = None          # Timers, once there was one
        self.poller = None
        self.running = False
        self.looping = False        # from the begin of run() to its end, after stop() as well
        self.ident = None           # of the thread that dispatches
        self.halted = False         # an event was stopped in this batch
        self.batch = None
        self.sort = False           # an event of the next batch has a priority
        self.batches = 0            # since the last poll
        self.code = None            # what stop() was told
        self.wakeup = None          # a Wakeup, while the loop runs or is polled
        self.guest = False          # a host watches fileno() between ticks
        self.host = None            # what runs the tree inside another loop
        self.idle_lock = None       # held; released to end a sleep without one
        self.pid = None
        self.draining = None        # batches since Stopped was fired
        self.context = None         # Event._context of the event being dispatched
        self.clean = None           # an empty Context, to be used again
        self.told = _NOTHING_TOLD   # channel -> last event that tell() fired there

    # -- firing -------------------------------------------------------------

    def again(self, event):
        """Make an event that was fired before ready to be fired; returns it.

        One that is still on its way is copied: each firing has its own value.
        """
        state = event._state
        if (state == EXPECTED or state == SPECIAL) and event._value is None:
            return event            # not fired yet: cancelled, awaited or an effect
        if state is None:
            raise TypeError("%s.__init__ must call super().__init__(*args, **kwargs)"
                            % type(event).__name__)
        if state == DONE and not event._effects:        # and not half complete
            event.stopped = event.cancelled = event.alert_done = False
            event._waiters = event._cause = event._context = None
            event._priority = 0
            event._state = QUEUED
            return event
        copy = _new(type(event))
        copy.__setstate__(event.__getstate__())
        copy._args = list(event._args)
        copy._state = QUEUED
        return copy

    def post(self, event, channels):
        """fire() for feedback: nobody takes the Value, so it is made when needed."""
        if event._state == FRESH:
            event._state = QUEUED
        event.channels = channels
        context = copy_context()
        if context:                 # see Manager.fire()
            event._context = context
            event._state = SPECIAL
        self.queue.append(event)
        if self.alert:
            self.fired(event)

    def fired(self, event, priority=0):
        """The rare part of fire(): priorities, tracking, waking the loop."""
        if self.successor is not None:
            while self.queue:       # late guests of a tree that has moved
                self.successor.queue.append(self.queue.popleft())
            return self.successor.fired(event, priority)
        if event is not None:
            if priority:
                event._priority = priority
                self.sort = True
            self.caused(event)
        if self.sleeping:
            self.sleeping = False
            self.wake()

    def caused(self, event):
        """*event* is an effect of the tracked event whose handlers run now."""
        cause = self.cause
        if cause is not None and cause._effects and event._cause is None \
                and get_ident() == self.ident:
            self._cause(event, cause)

    @staticmethod
    def _cause(event, cause):
        """*event* is an effect of *cause*, which is not complete before it is."""
        event._cause = cause
        cause._effects += 1
        event._effects = 1
        event._state = SPECIAL

    def causing(self, cause):
        """A block that belongs to the handlers of *cause*: what it fires are effects."""
        if cause is None or cause is self.cause or not cause._effects \
                or get_ident() != self.ident:
            return _NOTHING
        return _Causing(self, cause)

    def wake(self):
        """End the pause of the loop; safe from any thread and from signals."""
        wakeup = self.wakeup
        if self.host is not None:
            self.host.wake()
        elif wakeup is not None:
            wakeup.wake()
        elif self.idle_lock is not None:
            try:
                self.idle_lock.release()
            except RuntimeError:    # it is awake already
                pass

    def call_soon(self, function):
        """Have *function* called by the thread that runs the tree; from any thread."""
        self.queue.append(Soon(function))
        if self.alert:
            self.fired(None)

    # -- plans --------------------------------------------------------------

    def plan(self, name, channels, event=None):
        """The Plan for (name, channels), from the table or made now."""
        try:
            return self.plans[name][channels]
        except KeyError:
            pass
        with _tree_lock:
            plan = self._make_plan(name, channels, event)
            if event is not None and (event.exact or getattr(event, "_also", None)):
                return plan         # it depends on more than the name
            for channel in channels:
                if isinstance(channel, Manager):
                    if channel._reactor is not self:
                        return plan     # do not keep a stranger alive
                    channel._targeted = True
                    channel._bare = False
            if len(self.plans) > 4 * MAX_PLANS:     # names may come from a peer
                self.forget_plans()
            if self.plans is _NO_PLANS:
                self.plans = dict(_NO_PLANS)
            table = self.plans.setdefault(name, {})
            if len(table) >= MAX_PLANS:
                table.clear()
            table[channels] = plan
            return plan

    def _make_plan(self, name, channels, event):
        found = []
        exact = event is not None and event.exact
        names = [name, "*"]
        also = getattr(event, "_also", None)
        if also:
            names.insert(1, also)
        wanted = None if "*" in channels else ("*",) + channels
        for key in names:
            for manager, flags in self._listeners(key).items():
                if flags & PLAIN and wanted is not None \
                        and manager.channel not in wanted and manager not in wanted:
                    continue        # the quick way past a thousand of them: see _hears()
                for function in manager._handlers_named(key):
                    if self._hears(manager, function, channels) and not (
                            exact and function.names and self._hears(manager, function, ())):
                        found.append((manager, function))
        seen = set()
        handlers = []
        public = False
        found.sort(key=lambda item: item[0]._joined)
        for manager, function in found:
            bound = function if isinstance(function, MethodType) else MethodType(function, manager)
            if bound in seen:
                continue            # it matches several channels, or names
            seen.add(bound)
            public = public or not getattr(function, "own_step", False)
            handlers.append((bound, (WANTS_EVENT if function.event else 0)
                             | (FILTER if function.filter else 0)))
        if name == "unregister":
            handlers.append((self.root._on_unregister, 0))
        elif name == "generate_events":
            handlers.append((self.root._on_idle, WANTS_EVENT))
        handlers.sort(key=lambda item: (-item[0].priority, not item[1] & FILTER))
        public = public or any(self._has_public(name + suffix) for suffix in _SUFFIXES)
        return Plan(tuple(handlers), self._watched(name, event), public)

    @staticmethod
    def _hears(manager, function, channels):
        own = function.channel
        if own is None:
            own = manager.channel
        if own == "*":
            return True
        for channel in channels:
            if channel == "*" or channel == own or channel is manager:
                return True
        return False

    def _watched(self, name, event):
        """The flags for Plan.watched of events called *name*."""
        if name == "error" or event is not None and (
                event._custom_name or name != type(event).name):
            return EVERYTHING
        index = self._indexed()
        if index.get("*"):
            return EVERYTHING
        watched = AWAITED if self.awaited and name in self.awaited else 0
        also = getattr(event, "_also", None)
        if also and self.awaited and also in self.awaited:
            watched |= AWAITED
        for suffix, flag in _FEEDBACK.items():
            if index.get(name + suffix) or self.awaited and name + suffix in self.awaited:
                watched |= flag
        return watched

    def _indexed(self):
        """The index, made when it is first needed and kept up from then on."""
        index = self.index
        if index is None:
            index = self.index = {}
            for manager in sorted(flatten(self.root), key=lambda m: m._joined):
                for key in manager._listened():
                    index.setdefault(key, {})[manager] = manager._flags(key)
        return index

    def _listeners(self, name):
        return self._indexed().get(name, {})

    def _has_public(self, name):
        """Whether a handler of *name* is not one of the framework's own steps."""
        return any(not flags & OWN_STEPS for flags in self._listeners(name).values())

    def heard(self, name, channels):
        """Whether anybody but the framework's own next step listens to this.

        The one place that decides if a direct call may replace an event.
        """
        try:
            plan = self.plans[name][channels]
        except KeyError:
            plan = self.plan(name, channels)
        return plan.public or plan.watched & AWAITED

    def reads_in_private(self):
        """Whether nobody but the framework's own steps hears _read, on any channel."""
        if self.private is None:
            with _tree_lock:            # not while another thread changes it
                awaited = self.awaited and not _READS.isdisjoint(self.awaited)
                self.private = not awaited and not any(self._has_public(name) for name in _READS)
        return self.private

    def concerns(self, name, channel):
        """Whether anything at all would come of such an event."""
        try:
            plan = self.plans[name][channel,]
        except KeyError:
            plan = self.plan(name, (channel,))
        return plan.handlers or plan.watched

    def moves_unseen(self):
        """Whether nobody hears that components come and go, on any channel.

        For none but a component without children: what is left out is what the
        framework's own handlers of prepare_unregister do for theirs.
        """
        if self.unseen is None:
            with _tree_lock:
                came, leaves, left = [self.plan(name, ("*",)) for name in _MOVES]
                self.unseen = not (came.handlers or came.watched or leaves.public
                                   or leaves.watched or left.handlers or left.watched)
        return self.unseen

    def is_quiet(self):
        """Whether nobody but the framework itself hears generate_events."""
        if not self.quiet:
            with _tree_lock:
                self.quiet = not self.plan("generate_events", ("*",)).public
        return self.quiet

    def tell(self, manager, event_class, channel, *args):
        """Hand a fact to whoever listens on *channel*: as an event of
        *event_class* fired by *manager*, or, where only the framework's own
        next steps would see that, by calling those.

        Order is kept: no direct call overtakes an event still in the queue.
        Returns the event, or None if there was no need of one.
        """
        name = event_class.name
        last = None
        if self.told:
            last = self.told.get(channel)
            if last is not None and last._state == DONE:
                del self.told[channel]
                last = None
        try:
            plan = self.plans[name][channel,]
        except KeyError:
            plan = self.plan(name, (channel,))
        if last is None and not plan.public and not plan.watched & AWAITED:
            for step, _ in plan.handlers:
                try:
                    step(*args)
                except BaseException as error:
                    self.failed(None, step, error)
            return None
        else:
            if self.told is _NOTHING_TOLD:
                self.told = {}
            elif len(self.told) >= MAX_PLANS:   # channels of connections that are gone
                self.told = {k: e for k, e in self.told.items() if e._state != DONE}
            event = self.told[channel] = event_class(*args)
            manager.fire(event, channel)
            return event

    def direct(self, step, *args):
        """Call the framework's own next step in place of an event nobody hears."""
        try:
            return step(*args)
        except BaseException as error:
            self.failed(None, step, error)

    def forget(self, names):
        """Handlers of these names came or went: their plans are out of date."""
        if "*" in names:
            return self.forget_plans()
        self.quiet = False
        self.unseen = None
        for name in names:
            self.plans.pop(name, None)
            self._forget_stems(name)

    def forget_plans(self):
        """All plans are out of date."""
        self.plans = _NO_PLANS      # name -> channels -> Plan
        self.quiet = False          # none but ourselves hears generate_events
        self.private = None         # none but ourselves hears _read; None: not known
        self.unseen = None          # nobody hears registered and the like; None: not known

    def _forget_stems(self, name):
        """*name* may be feedback: the plans of what it is about are out of date."""
        if name.endswith(_SUFFIXES):
            for suffix in _SUFFIXES:
                if name.endswith(suffix):
                    self.plans.pop(name[:-len(suffix)], None)

    def add_listener(self, manager, names):
        """*manager* joined, or got handlers for *names*."""
        if not names:
            return
        index = self.index
        if index is None:
            return self.forget(names)
        for name in names:
            table = index.setdefault(name, {})
            new = not table or not self._has_public(name)
            flags = table[manager] = manager._flags(name)
            self._forget_heard(name, manager, flags, new and (not flags & OWN_STEPS
                                                              or len(table) == 1))
            if self.private and name in _READS and not flags & OWN_STEPS:
                self.private = False

    def drop_listener(self, manager, names):
        """*manager* left, or has no handler for *names* any more."""
        if not names:
            return
        index = self.index
        if index is None:
            return self.forget(names)
        for name in names:
            table = index.get(name, {})
            flags = table.pop(manager, 0)
            if not table:
                index.pop(name, None)
            self._forget_heard(name, manager, flags, not table or (
                not flags & OWN_STEPS and not self._has_public(name)))
            if not self.private and name in _READS:
                self.private = None

    def _forget_heard(self, name, manager, flags, feedback):
        """*manager* came or went: which plans of *name* are out of date.

        Those of other channels than its own are not, so that a thousand
        components with channels of their own need not make theirs anew.
        feedback  whether this changes if somebody, or the public, hears *name*
        """
        if name == "*":
            return self.forget_plans()
        table = self.plans.get(name)
        if table is None:
            pass
        elif not flags & PLAIN or len(table) < 8:
            del self.plans[name]
        else:
            own = manager.channel
            for channels, plan in list(table.items()):
                if (own == "*" or own in channels or "*" in channels or manager in channels
                        or any(step.__self__ is manager for step, _ in plan.handlers)):
                    del table[channels]
        if name in _IDLING:
            self.quiet = False
        if name in _MOVES_HEARD:
            self.unseen = None
        if feedback:
            self._forget_stems(name)

    # -- dispatching --------------------------------------------------------

    def flush(self):
        """Dispatch what is in the queue now, not what is fired meanwhile.

        Called by a handler, it goes on with the current batch.
        """
        if self.batch is None:
            self.ident = get_ident()
            return self._flush(1)
        cause, outer = self.cause, self.context
        self.cause = None               # the rest of the batch is no effect of it
        try:
            context = Context()
            while context.run(self.dispatch, self.batch, context):
                context = Context()
        finally:
            self.cause, self.context = cause, outer
            self.alert = cause is not None or self.successor is not None

    def _flush(self, batches):
        """Dispatch some batches, and say how many; fewer if the queue is empty, or if
        somebody has to be told of each turn.
        """
        if self.batch is not None:      # a handler runs the loop around us
            self.flush()
            return 1
        queue = self.queue
        context, self.clean = self.clean, None
        if context is None:
            context = Context()
        done = 0
        try:
            while True:
                if self.sort:
                    self._sort()
                # The second is for one event at most, and there 0.1 us faster.
                self.batch = batch = repeat(None, len(queue)) if len(queue) > 1 else iter(_ONE)
                while context.run(self.dispatch, batch, context):
                    context = Context()
                done += 1
                if (not queue or done == batches or not self.running
                        or self.host is None and not self.quiet):
                    break
                if self.halted or self.cause is not None:
                    self._settle_down()
            if not context:
                self.clean = context
        finally:
            self.batch = None
            if self.halted or self.cause is not None:
                self._settle_down()
            if self.guest:
                self.rest()
        return done

    def _settle_down(self):
        """Nothing is being dispatched."""
        self.halted = False
        if self.cause is not None:
            self.cause = None
            self.alert = self.successor is not None

    def _sort(self):
        """Put this batch in order of priority, lowest number first."""
        self.sort = False
        queue = self.queue
        batch = [queue.popleft() for _ in range(len(queue))]
        batch.sort(key=lambda event: getattr(event, "_priority", 0))
        queue.extendleft(reversed(batch))

    def dispatch(self, batch, context=None):
        """The engine: hand each event of *batch* to its handlers, in order.

        True if it ended early because something was written to *context*, and
        the others are to be dispatched in another: what a handler stores in a
        context variable is seen by the later handlers of its event and by what
        they fire, not by other events.
        """
        popleft = self.queue.popleft
        for _ in batch:
            try:
                event = popleft()
            except IndexError:
                return              # a nested flush took it
            # -- who hears it
            try:
                plan = self.plans[event.name][event.channels]
            except (KeyError, TypeError):
                plan = self._plan_for(event)
            watched = plan.watched      # mostly 0, and then `&` is 0.02 us for nothing
            if (event._state == SPECIAL or watched and watched & _BEFORE) \
                    and not self._before(event):
                continue
            # -- call them
            args = event._args
            kwargs = event._kwargs
            kept = False
            for handler, odd in plan.handlers:
                try:
                    if odd:
                        kept = True
                        if self._call_odd(event, handler, odd):
                            break
                        args = event._args      # it may have changed them
                        kwargs = event._kwargs
                        continue
                    result = handler(*args, **kwargs) if kwargs else handler(*args)
                except BaseException as error:
                    kept = True
                    self.failed(event, handler, error)
                    if odd >= FILTER or event.stopped:
                        break                   # a filter that fails denies
                    continue
                if result is not None:
                    kept = True
                    self._collect(event, handler, result)
                if self.halted and event.stopped:
                    break
            # -- what follows from it
            if watched and watched & _AFTER or event._state > DONE:
                try:
                    self._after(event, plan, kept)
                except Exception as error:
                    self.failed(None, None, error)
            else:
                event._state = DONE
                if not kept:
                    # Without a result the Value is as good as new: Event.value
                    # makes one when asked.  Letting go of it breaks the cycle
                    # of the two: 0.35 us less per event, no work for gc.
                    event._value = None
            if context:
                return True

    def _call_odd(self, event, handler, odd):
        """Call a handler that takes the event or is a filter; True: it was the last."""
        event.handler = handler
        if event._value is None:
            event._value = Value(event, self.root)      # see post()
        if odd & WANTS_EVENT:
            result = handler(event, *event.args, **(event._kwargs or {}))
        else:
            result = handler(*event._args, **(event._kwargs or {}))
        if result is not None:
            self._collect(event, handler, result, Running if odd < FILTER else Deciding)
        return event.stopped or odd >= FILTER and bool(result)

    def go_on(self, event, handlers):
        """Call the handlers that waited for the task of a filter; see Deciding."""
        for handler, odd in handlers:
            if event.stopped:
                break
            if getattr(handler.__self__, "_reactor", self) is not self:
                continue                # it left the tree meanwhile
            try:
                if self._call_odd(event, handler, odd):
                    break
            except BaseException as error:
                self.failed(event, handler, error)
                if odd >= FILTER:
                    break

    def _plan_for(self, event):
        """The plan of an event that is not in the table.

        Channels that are a list, or a single one, become a tuple; unhashable
        ones are an error.
        """
        channels = event.channels
        try:
            if not isinstance(channels, tuple):
                single = isinstance(channels, str) or not hasattr(channels, "__iter__")
                channels = event.channels = (channels,) if single else tuple(channels)
            if not isinstance(event.name, str):
                raise TypeError("the name of an event is a string, got %r in %s"
                                % (event.name, type(event).__name__))
            hash(channels)
        except TypeError as error:
            if isinstance(event.name, str):
                error = TypeError("event %r was fired on %r: a channel must be hashable (a string, "
                                  "a component, a tuple)" % (event.name, channels))
            self.failed(event, None, error)
            return Plan((), EVERYTHING, False)
        return self.plan(event.name, channels, event)

    def _before(self, event):
        """The rare part before the handlers; False: skip them."""
        context = event._context
        if context is not None and self.context is not context:
            self._dispatch_in(context, event)
            return False
        awaited = self.awaited
        for name in (event.name, getattr(event, "_also", None)) if awaited else ():
            for waiting in [w for w in awaited.get(name, ()) if w.matches(event)]:
                self.forget_name(name, waiting)
                waiting.claim(event)
        if event.cancelled or event.stopped:
            event._state = SPECIAL
            self.settle(event)
            return False
        if event.complete and not event._effects and (
                event._on_complete is not None or self._complete_is_heard(event)):
            event._effects = 1
            event._state = SPECIAL
        if event._effects:
            self.cause = event
            self.alert = True
        return True

    def _dispatch_in(self, context, event):
        """Dispatch this one with the context variables it was fired with."""
        outer, self.context = self.context, context
        self.queue.appendleft(event)
        try:
            context.run(self.dispatch, repeat(None, 1))
        finally:
            self.context = outer

    def _complete_is_heard(self, event):
        return bool(self._listeners(event.name + "_complete") or self._listeners("*")
                    or event._custom_name or event.name != type(event).name
                    or self.awaited and event.name + "_complete" in self.awaited)

    def _after(self, event, plan, kept):
        """What feedback and those who wait need after the handlers."""
        if event._state == EXPECTED and not plan.watched & _AFTER:
            # A common case by itself: those who wait, and nothing else.
            self._tell_waiters(event)
            if not kept and not event.alert_done:
                event._value = None             # see dispatch()
            return
        if event._state == QUEUED and plan.watched < EVERYTHING:
            # Another one: feedback, and nothing else.
            event._state = DONE
            value = event._value if kept else None
            if event.success and plan.watched & SUCCESS and not (kept and value.errors):
                self.post(plan.success(event, value.value if kept else None),
                          event.success_channels or event.channels)
            if not kept:
                event._value = None             # see dispatch()
            return
        if self.cause is event:
            self.cause = None
            self.alert = self.successor is not None
        if event.name == "error" and not any(handler.names for handler, _ in plan.handlers) \
                and not self._takes_exceptions():
            print_error(event)
        if not event.waitingHandlers:
            self.settle(event, kept)

    def _collect(self, event, handler, result, kind=Running):
        """Store what a handler returned; a generator or coroutine becomes a task.

        Returns the task, which is of this *kind*.
        """
        found = type(result)
        if found in _TASKS or isinstance(result, Waiting):
            if found is AsyncGeneratorType:
                result = _collected(result, event)
                kind = Running              # a filter that is one stops the event at once
            if self.host is not None and found is not GeneratorType or isinstance(result, Waiting):
                result = _result_of(result)
            owner = getattr(handler, "__self__", None)
            if not isinstance(owner, Manager) or owner._reactor is not self:
                owner = self.root
            task = kind(result, event, handler, owner)
            if owner._tasks is None:
                owner._tasks = {}
            owner._tasks[task] = None
            owner._bare = False
            event.waitingHandlers += 1
            event._state = SPECIAL
            if event._value is None:
                event._value = Value(event, self.root)  # see post()
            event._value.promise = True
            self.queue.append(task)
            return task
        if event._value is None:
            event._value = Value(event, self.root)      # see post()
        try:
            event._value.setValue(result)
        except Exception as error:
            self.failed(event, handler, error)

    def settle(self, event, kept=True):
        """All handlers and tasks of *event* are over: tell who wants to know.

        kept  False if the Value is as good as new; see dispatch()
        """
        value = event._value
        self._tell_waiters(event)
        if value is not None and not event.cancelled:
            if event.alert_done and self.topic_is_heard(event, "_done"):
                self.post(Done.create("Done", event, value.value), event.channels)
            if event.success and not value.errors and self.topic_is_heard(event, "_success"):
                success = Success.create("Success", event, value.value)
                if event._effects:
                    self._cause(success, event)
                self.post(success, event.success_channels or event.channels)
        if not kept and not event.alert_done:
            event._value = None
        if event._effects:
            self._release(event)

    @staticmethod
    def _tell_waiters(event):
        event._state = DONE
        waiters = event._waiters
        if waiters:
            event._waiters = None
            for waiter in waiters:
                waiter.event_done(event)

    def _takes_exceptions(self):
        """Whether a handler of the current release's event takes errors."""
        return bool(self._listeners("exception")) and any(
            handler.names for handler, _ in self.plan(
                "exception", (self.root.channel or "*",)).handlers)

    def topic_is_heard(self, event, suffix):
        """Whether <name><suffix> has a listener: the cheap question."""
        if event._custom_name or event.name != type(event).name or isinstance(event, DerivedEvent):
            return True
        return bool(self._listeners(event.name + suffix) or self._listeners("*")
                    or self.awaited and event.name + suffix in self.awaited)

    def _release(self, event):
        """One effect of *event* is done; at none left it is complete."""
        while event is not None:
            event._effects -= 1
            if event._effects:
                return
            cause, event._cause = event._cause, None
            if event.complete:
                self._completed(event, cause)
            event = cause

    def _completed(self, event, cause):
        after = event._on_complete
        event._on_complete = None
        if not self._complete_is_heard(event):
            if after is not None:
                after(event)
            return
        value = event.value
        complete = Complete.create("Complete", event, None if value is None else value.value)
        if cause is not None:           # it is an effect of what caused the event
            self._cause(complete, cause)
        if after is not None:
            complete._waiters = [_Afterwards(after, event)]
            complete._state = SPECIAL
        complete.channels = event.complete_channels or event.channels
        self.root.fire(complete)

    def failed(self, event, handler, error):
        """A handler, a task or a direct step raised *error*."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            if not self.looping:
                raise error
            self.stop(error.code if isinstance(error, SystemExit) else None)
            return
        if event is not None and not isinstance(event, Event):
            event = getattr(event, "event", None)       # a task: what it is about
        traceback = error.__traceback__
        if traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next       # not our own frame
        elif isinstance(error, TypeError) and event is not None and handler is not None:
            _explain_signature(error, event, handler)
        triple = (type(error), error, format_tb(traceback))
        theirs = False
        if event is not None:
            value = event.value
            value.errors = True
            if value._error is None:    # those who wait get this one, and only this
                value._error = error
                theirs = any(getattr(w, "takes_errors", False) for w in event._waiters or ())
            value._store(triple)
            if event.failure and event.name != "error":
                self.root.fire(Failure.create("Failure", event, triple), *event.channels)
        if event is not None and event.name in ("error", "exception"):
            print_error(Error(*triple, handler))        # no endless loop
        elif not theirs:
            channel = self.root.channel or "*"
            self.root.fire(Error(*triple, handler), channel)
            if self._listeners("exception"):
                self.root.fire(Event.create("exception", *triple, handler=handler, fevent=event),
                               channel)

    def retire(self, successor):
        """Hand everything over: this tree was joined to that of *successor*."""
        # Whoever still fires here is sent on: fired().
        while self.queue:
            successor.queue.append(self.queue.popleft())
        successor.sort = successor.sort or self.sort
        timers = self.timers
        if timers is not None:
            timers.take(INFINITE)
            while timers.due:           # also those of a run_timers() that is under way
                entry = timers.due.popleft()
                if entry[2] is not None:
                    successor.add_timer(entry)
        for name, waits in (self.awaited or {}).items():
            for waiting in waits:
                successor.await_name(name, waiting)
        poller = self.poller
        self.close()                # the poller opens again with the other's wakeup
        if poller is not None:
            if successor.poller is None:
                successor.poller = self.poller
            else:
                poller.hand_over(successor.poller)
        if successor.sleeping:
            successor.fired(None)

    # -- waiting ------------------------------------------------------------

    def await_name(self, name, waiting):
        """*waiting* wants the next event called *name*."""
        with _tree_lock:
            if self.awaited is None:
                self.awaited = {}
            self.awaited.setdefault(name, []).append(waiting)
            if name in _READS:
                self.private = None
            if name in _MOVES_HEARD:
                self.unseen = None
            for plan in list(self.plans.get(name, {}).values()):
                plan.watched |= AWAITED
            self._forget_stems(name)

    def forget_name(self, name, waiting):
        """*waiting* does not wait for the name any more."""
        with _tree_lock:
            waits = (self.awaited or {}).get(name)
            if waits and waiting in waits:
                waits.remove(waiting)
                if not waits:
                    del self.awaited[name]
                    if name in _READS:
                        self.private = None
                    if name in _MOVES_HEARD:
                        self.unseen = None
                    self._forget_stems(name)
                    for plan in list(self.plans.get(name, {}).values()):
                        if plan.watched != EVERYTHING:
                            plan.watched &= ~AWAITED

    # -- timers -------------------------------------------------------------

    def call_later(self, seconds, callback, *args):
        """Call back after *seconds*; returns the entry for cancel()."""
        return self.call_at(self.root.clock() + seconds, callback, *args)

    def call_at(self, deadline, callback, *args):
        """The same, at a time of the root's clock."""
        entry = [deadline, next(_joined), callback, args]
        with _tree_lock:            # not while another thread looks
            self.add_timer(entry)
        return entry

    def add_timer(self, entry):
        """Have ``entry[2](*entry[3])`` called at *entry[0]*; entry[1] orders equals.

        A Timer stands there by itself, without arguments.
        """
        if self.timers is None:
            self.timers = Timers()
        self.timers.add(entry)
        if self.sleeping:           # in another thread, or in the loop around us
            self.fired(None)

    def cancel(self, entry):
        """Forget an entry of call_later(); no harm if it is over."""
        if entry[2] is not None:
            entry[2] = entry[3] = None
            reactor = self
            while reactor.successor is not None:
                reactor = reactor.successor     # it went along: retire()
            if reactor.timers is not None:      # else it is of a tree that was left
                reactor.timers.cancel()

    def next_deadline(self):
        """When the next timer is due, by the root's clock; None without timers."""
        if self.timers is None:
            return None
        with _tree_lock:
            deadline = self.timers.first()
        return None if deadline == INFINITE else deadline

    def until_timer(self, wait):
        """*wait*, or less if a timer is due before; 0 if one is, or something was fired."""
        if not wait or self.queue:
            return 0
        timers = self.timers
        if timers is not None:
            deadline = timers.next      # without the lock: as with the queue, see fired()
            if deadline is None:
                with _tree_lock:
                    deadline = timers.first()
            left = deadline - self.root.clock()
            if left < 0.0:
                return 0
            if left < wait or wait < 0 and deadline != INFINITE:
                wait = left
        return wait if wait < MAX_PAUSE else MAX_PAUSE

    def run_timers(self):
        """Call back what is due."""
        timers, now = self.timers, self.root.clock()
        deadline = timers.next
        if deadline is not None and deadline > now:
            return
        plain, due = timers.plain, timers.due
        _tree_lock.acquire()            # `with` costs 0.12 us more
        try:
            only_plain = not (timers.row or timers.heap or due or timers.cancelled)
            if not only_plain:
                if timers.first() > now:
                    return
                timers.take(now)        # the plain ones in one order with those
            timers.next = None
            added = timers.added
            if self._run_plain(timers, now):
                if only_plain and plain:
                    timers.next = plain[0]._deadline    # as first() does, without its looks
                    if timers.added != added:
                        timers.next = None
                return
            timers.take(now)            # what is added from here on has to wait
        finally:
            _tree_lock.release()
        while due:
            entry = due.popleft()
            _, _, callback, args = entry
            if callback is None:
                timers.cancelled -= 1
                continue
            entry[2] = entry[3] = None
            try:
                if args is None:
                    callback._due()     # a Timer: a bound method less for each
                else:
                    callback(*args)
            except BaseException as error:
                self.failed(None, callback._due if args is None else callback, error)

    def _run_plain(self, timers, now):
        """Timer._due() for Timers that came the quick way: 0.5 us each, not 1.9.

        Under the tree lock, since none of what it does is anybody's own.  Ends
        at the first for which it is not as simple as this; True if none is.
        """
        if (copy_context() or self.alert or self.awaited
                or not (self.unseen or self.moves_unseen())):
            return False
        queue, root, plain, due = self.queue, self.root, timers.plain, timers.due
        while True:
            if due:
                _, _, timer, args = due[0]
                if args is not None:
                    return False
                if timer is None:
                    due.popleft()
                    timers.cancelled -= 1
                    continue
            elif plain:
                timer = plain[0]        # not cancelled: take() was here if any was
                if timer._deadline > now:
                    return True
            else:
                return True
            if not timer._bare or timer.persist:
                return False
            event = timer.event
            try:
                channels = timer.channels or event.channels or _EVERYBODY
                if event._state != FRESH or type(channels) is not tuple:
                    return False
                event.channels = channels
                value = event._value = _new(Value)      # as Manager.fire() does
                event._state = QUEUED
            except Exception:           # no event any more, say: _due() will tell
                return False
            value.event = event
            value.manager = root
            (due or plain).popleft()
            queue.append(event)
            timer.parent._children.pop(timer, None)
            del timer.parent, timer._reactor
            timer._lone = True
            timer._entry = timer._deadline = None

    # -- the loop -----------------------------------------------------------

    def turn(self):
        """One turn of run(): sources of events, then what they caused."""
        if self.guest or not self.running:
            return self.tick()
        self.ident = get_ident()
        self.generate(-1)
        if self.queue:
            self._flush(BATCHES_PER_POLL)

    def tick(self, timeout=-1):
        """One turn: look at sources of events if it is time, then flush."""
        self.ident = get_ident()
        if self.guest:
            self.awake()
        if self.queue and self.quiet and self.running and self.batches < BATCHES_PER_POLL:
            self.batches += 1
        else:
            self.batches = 0
            self.generate(timeout)
        if self.queue:
            self.flush()
        elif self.guest:
            self.rest()

    def rest(self):
        """The host has the thread now: what is fired makes fileno() readable."""
        self.sleeping = self.alert = True
        if self.queue:
            self.fired(None)

    def generate(self, timeout):
        """Let timers, the poller and generate_events handlers have their turn."""
        wait = timeout
        if self.queue:
            wait = 0
        elif not self.running and timeout < 0:
            wait = 0                # driven by hand: do not block
        if not (self.quiet or self.is_quiet()) and self.running:
            event = GenerateEvents(_tree_lock, self.until_timer(wait))
            event.channels = ("*",)
            event._value = Value(event, self.root)
            event._state = QUEUED
            self.queue.appendleft(event)
            # As an event of its own batch: what it fires comes later.
            outer, self.batch = self.batch, repeat(None, 1)
            try:
                copy_context().run(self.dispatch, self.batch)
            finally:
                self.batch = outer
        elif self.poller is not None:
            poller = self.poller
            try:                    # as direct() does, with two calls less in each turn
                poller.poll(wait)
            except BaseException as error:
                self.failed(None, poller.poll, error)
        elif wait:
            self.idle(wait)
        if self.timers is not None:
            self.run_timers()

    def idle(self, wait):
        """Sleep until something is fired, *wait* seconds at most (< 0: for ever)."""
        if self.host is not None:
            self.host.left = self.until_timer(wait)
            return
        wakeup = self.wakeup
        if wakeup is None and self.idle_lock is None:
            self.idle_lock = allocate_lock()
            self.idle_lock.acquire()
        self.sleeping = self.alert = True
        wait = self.until_timer(wait)   # looked at again: see fired()
        if wakeup is None:
            self.idle_lock.acquire(True, -1 if wait < 0 else wait)
        elif wait:
            wakeup.wait(wait)
        self.awake()

    def leave_parent(self):
        """In a forked process: what the parent's thread was doing goes on there only."""
        self.running = self.looping = self.halted = False
        self.batch = self.cause = self.context = self.clean = None
        self.awake()

    def open_wakeup(self):
        """Have a Wakeup from now on, where the platform can wait for one."""
        if self.wakeup is None and select is not None:
            self.wakeup = Wakeup()

    def close(self):
        """Close what the loop needed."""
        if self.poller is not None:
            self.poller.close()
        wakeup, self.wakeup = self.wakeup, None
        if wakeup is not None:
            wakeup.close()

    def awake(self):
        """The pause is over."""
        self.sleeping = False
        self.alert = self.cause is not None or self.successor is not None

    def stop(self, code=None):
        """See Manager.stop(), which a component may hide with a handler."""
        if self.looping and code is not None and self.code is None:
            self.code = code
        if not self.running:
            return
        self.running = False
        try:
            self.root.fire(Stopped(self.root), self.root.channel or "*")
        except BaseException:           # a second ^C, just here: whoever takes it stops again
            self.running = True
            raise
        self.draining = 0
        self.wake()

    def abandon(self):
        """The tree runs no more: tell those elsewhere who still wait."""
        self.ident = None
        for item in list(self.queue):
            if type(item) is Soon:          # it may wait for something
                try:
                    self.queue.remove(item)
                except ValueError:          # another thread is here, too
                    continue
                item._args[0]()
        waits = [w for event in list(self.queue) for w in getattr(event, "_waiters", None) or ()]
        waits.extend(w for named in list((self.awaited or {}).values()) for w in named)
        for waiting in waits:
            if isinstance(waiting, Waiting) and waiting.task is not None:
                waiting.finish(error=Cancelled("%r stopped" % self.root))

    def stopping(self):
        """Whether run() has nothing left to do after stop()."""
        if self.running or self.draining is None:       # stop() is under way in another thread
            return False
        self.draining += 1
        if self.draining > DRAIN_LIMIT:
            sys.stderr and sys.stderr.write(
                "circuits: events are still being fired %d rounds after stop(); dropped: %r ...\n"
                % (DRAIN_LIMIT, self.queue[0] if self.queue else None))
            self.queue.clear()
        return not self.queue


class _Afterwards:
    """Calls back when an event is done; a waiter like EventWaiting."""

    def __init__(self, callback, *args):
        self.callback = callback
        self.args = args

    def event_done(self, event):
        self.callback(*self.args)


def format_tb(traceback):
    """The traceback as the list of strings that error events carry."""
    try:
        from traceback import format_tb     # costs 5 ms to import; errors are rare
        return format_tb(traceback)
    except (OSError, ImportError):          # no descriptor is free to read it, say
        lines = []
        while traceback is not None:
            lines.append('  File "%s", line %d\n' % (
                traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
            traceback = traceback.tb_next
        return lines


def _explain_signature(error, event, handler):
    """Make the TypeError of a call with the wrong arguments say what to do."""
    text = str(error)
    if "argument" in text and error.__traceback__.tb_next is None:
        error.args = ("%s; the event is %r, so declare the handler with the arguments it "
                      "carries, or as def %s(self, *args, **kwargs)"
                      % (text, event, getattr(handler, "__name__", "handler")),)


def error_text(*args):
    """What the Debugger and the fallback print of an error event.

    *args* are those of Error; or of the error event of a file or a socket,
    which carries an exception and perhaps whose it is.
    """
    if len(args) >= 3 and isinstance(args[0], type):
        etype, value, traceback = args[:3]
        handler = args[3] if len(args) > 3 else None
    else:
        value = next((arg for arg in args if isinstance(arg, BaseException)), args)
        etype, traceback, handler = type(value), (), None
    shown = ""
    if handler is not None:
        try:
            shown = reprhandler(handler)
        except AttributeError:
            shown = repr(handler)
    try:
        text = str(value)
    except Exception:
        text = _safe_repr(value)
    return "ERROR %s (%s): %s\n%s\n" % (shown, etype, text, "".join(traceback))


def print_error(event):
    """Print an error that no handler took; quiet where there is no stderr."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(error_text(*event._args))
            sys.stderr.flush()
        except (OSError, ValueError):
            pass


# ---------------------------------------------------------------------------
# 9. Managers: nodes of the tree
#
# A Manager can be fired at, waited on, registered below another, and run.
# ---------------------------------------------------------------------------

class _GivenTask:
    """Stands for the handler of a task that registerTask() got: errors name it."""

    channel = "*"
    filter = False

    def __init__(self, manager, event, task):
        self.__self__ = manager
        self.__name__ = getattr(task, "__name__", "task")
        self.names = (event.name,)


class _State(int):
    """A truth value that, called, gives a manager: see Manager.running."""

    def __call__(self):
        return self.manager

    def __repr__(self):
        return "True" if self else "False"

    __str__ = __repr__

    def __format__(self, spec):
        return format(repr(self), spec)


def _refuse_event(event):
    """Say what is wrong with something that was fired."""
    if isinstance(event, type) and issubclass(event, Event):
        raise TypeError("fire() takes an event, got its class: fire(%s(...))" % event.__name__)
    if not hasattr(event, "_state"):
        raise TypeError("fire() takes an event, got %r; make it an instance of a subclass of "
                        "Event" % (event,))


class _Itself:
    """The parent of a manager that is alone: as an attribute it would be a cycle."""

    def __get__(self, manager, owner=None):
        return self if manager is None else manager


class _WhenAsked:
    """The Reactor of a manager that is alone, made when something asks for it."""

    def __get__(self, manager, owner=None):
        return self if manager is None else manager._make_reactor()


class Manager:
    """A node of a component tree; alone it is the root of its own.

    To use:    fire, call, wait, run, start, stop, join, tick, flush; ``with app:``
    Inside asyncio:      serve, serving, fire_async
    In another loop:     tick, fileno, next_deadline
    From other threads:  fire, stop, call_from_thread
    The tree:  root, parent, components, m + component, m - component
    To watch:  running, name, pid, len(m) (events in the queue), repr(m)

    ``clock`` is what timers and timeouts go by: a function that returns
    monotonic seconds.  Tests put their own there.
    """

    channel = None
    clock = staticmethod(time.monotonic)

    _children = {}          # of most, and never changed: see registerChild()
    _own = ("*",)           # (channel,), kept so that fire() need not make it
    _extra = None           # handlers added to this instance
    _taken = None           # (function, name) pairs removed from it
    _tasks = None
    _pending = False
    _lone = True            # neither parent nor Reactor until something asks for them
    _bare = False           # True: a Timer to which nothing happened that matters when it
                            # comes and when it leaves, see its register()
    _plain_parent = True    # neither registerChild() nor unregisterChild() is its own
    _light = True           # does not mind that it had none: see registerChild()
    _has_own_parent = False
    _targeted = False       # a plan has this manager as a channel
    _moved = None           # to override: called when the reactor changes
    _class_handlers = {}    # name -> tuple of functions, per class
    _class_flags = {}       # name -> PLAIN | OWN_STEPS
    _class_components = ()
    _is_ground = True
    _thread = None          # that start() made
    _process = None         # that start(process=True) made, in the parent

    parent = _Itself()
    _reactor = _WhenAsked()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._has_own_parent = cls.parent is not Manager.parent
        cls._plain_parent = (cls.registerChild is Manager.registerChild
                             and cls.unregisterChild is Manager.unregisterChild)
        cls._light = vars(cls).get("_light", cls._moved is None)

    def __new__(cls, *args, **kwargs):
        self = _new(cls)
        if cls._has_own_parent:     # a handler of that name, say
            self.parent = self
        return self

    def __init__(self, *args, **kwargs):
        pass

    # -- what it is ---------------------------------------------------------

    @property
    def root(self):
        """The top of the tree."""
        return self._reactor.root

    @property
    def components(self):
        """The direct children, a set in order of registration."""
        if self._children is Manager._children:
            self._children = {}
        return self._children.keys()

    @property
    def name(self):
        """The name of the class."""
        return type(self).__name__

    @property
    def running(self):
        """Whether this is the root of a running tree: true or false.

        ``with app.running():`` runs it in a thread for the time of a block,
        like ``with app:``.
        """
        reactor = self._reactor
        state = _State(reactor.running and reactor.root is self)
        state.manager = self
        return state

    _running = running

    @property
    def __thread(self):
        return self._thread if self.running else None

    @property
    def pid(self):
        """The id of this process; after start(process=True) that of the other."""
        return os.getpid() if self._process is None else self._process.pid

    @property
    def _queue(self):
        reactor = self._reactor
        return reactor.queue if reactor.root is self else ()

    def __len__(self):
        return len(self._queue)

    def __contains__(self, item):
        if isinstance(item, type):
            return any(type(child) is item for child in self._children)
        return item in self._children

    def __add__(self, component):
        if not isinstance(component, Manager):
            raise TypeError("+ registers a component, got %r%s" % (
                component, ": make one, with brackets" if isinstance(component, type) else ""))
        component.register(self)
        return self

    __iadd__ = __add__

    def __sub__(self, component):
        if component.parent is not component:
            component.unregister()
        return self

    __isub__ = __sub__

    def __repr__(self):
        channel = "" if self.channel is None else self.channel
        threading = sys.modules.get("threading")
        thread = threading.current_thread().name if threading else "MainThread"
        return "<%s/%s %s:%s (queued=%d) [%s]>" % (
            self.name, channel, self.pid, thread, len(self), "R" if self.running else "S")

    # -- firing -------------------------------------------------------------

    def fire(self, event, *channels, priority=0):
        """Put *event* into the queue; returns its Value.  From any thread.

        Goes to *channels*, else to event.channels, else to our own channel,
        else to "*" (everybody).  A channel is a string, a component (only its
        own handlers hear it) or anything hashable.

        priority  among the events of one batch the lower number is dispatched
                  first; equal ones stay in the order in which they were fired
        """
        try:
            if event._state == FRESH:
                event._state = QUEUED
            else:
                event = self._reactor.again(event)
        except (AttributeError, TypeError):
            _refuse_event(event)
            raise
        if not channels:
            channels = event.channels
            if not channels:
                channels = self._own
                if channels[0] is not self.channel:
                    channels = self._own = (self.channel or "*",)
        event.channels = channels
        # Value(event, self) without the call: 40 ns of 700 per event.
        value = event._value = _new(Value)
        value.event = event
        value.manager = self
        context = copy_context()
        if context:                 # empty in most programs
            event._context = context
            event._state = SPECIAL
        reactor = self._reactor
        reactor.queue.append(event)
        if reactor.alert or priority:
            reactor.fired(event, priority)
        return value

    fireEvent = fire

    def call(self, event, *channels, timeout=None):
        """Fire *event* and wait until it is done: ``x = yield self.call(Foo())``.

        Evaluates to the Value; raises what a handler raised.  With *timeout*
        (seconds) TimeoutError is raised when it is not done by then.
        """
        if not isinstance(event, Event):
            raise TypeError("call() takes an event, got %r" % (event,))
        return EventWaiting(self, event, channels, None if timeout == -1 else timeout, fires=True)

    callEvent = call

    async def fire_async(self, event, *channels, timeout=None):
        """call() for asyncio code: ``x = await app.fire_async(Foo())``.

        In the loop that serves the tree or in that of another thread.
        """
        return await Manager.call(self, event, *channels, timeout=timeout)

    def wait(self, event, *channels, timeout=None):
        """Wait until an event is done: ``x = yield self.wait("foo")``.

        event     a name or a class: the next such event that is dispatched, on
                  *channels* (default: our own); or an instance: that one, at
                  once if it is done already
        timeout   seconds, after which TimeoutError is raised

        Evaluates to the Value; raises what a handler raised.
        """
        if isinstance(event, type) and issubclass(event, Event):
            event = event.name
        if not isinstance(event, (str, Event)):
            raise TypeError("wait() takes an event or its name, got %r" % (event,))
        return EventWaiting(self, event, channels, None if timeout == -1 else timeout)

    waitEvent = wait

    # -- handlers -----------------------------------------------------------

    def _listened(self):
        """The index keys this manager has handlers for."""
        if self._extra is None and self._taken is None:
            return self._class_handlers
        keys = dict.fromkeys(self._class_handlers)
        for function in self._extra or ():
            keys.update(dict.fromkeys(_names_of(function)))
        if self._taken:
            return [key for key in keys if any(True for _ in self._handlers_named(key))]
        return list(keys)

    def _flags(self, key):
        """PLAIN | OWN_STEPS, of the handlers under one index key."""
        if self._extra is None and self._taken is None:
            return self._class_flags[key]
        return _flags_of(list(self._handlers_named(key))) & ~PLAIN

    def _handlers_named(self, key):
        """The handler functions, or bound methods, under one index key."""
        for function in self._class_handlers.get(key, ()):
            if not self._taken or (function, key) not in self._taken:
                yield function
        for function in self._extra or ():
            if key in _names_of(function) and (
                    not self._taken or (function, key) not in self._taken):
                yield function

    @property
    def _handlers(self):
        """Event name -> set of bound handlers; those without names under "*"."""
        found = {}
        for key in self._listened():
            for function in self._handlers_named(key):
                bound = function if isinstance(function, MethodType) else MethodType(function, self)
                if key == "*" or key in bound.names:
                    found.setdefault(key, set()).add(bound)
        return found

    @property
    def _globals(self):
        return {bound for bound in self._handlers.get("*", ()) if _is_global(bound)}

    def addHandler(self, f):
        """Add a decorated function as a handler of this manager; returns it bound."""
        if not getattr(f, "handler", False):
            raise TypeError("%r is no handler: mark it with @handler(name)" % (f,))
        bound = f if isinstance(f, MethodType) else MethodType(f, self)
        with _tree_lock:
            if self._extra is None:
                self._extra = []
            self._bare = False
            if bound not in self._extra:
                self._extra.append(bound)
            if self._taken:
                self._taken = {(g, n) for g, n in self._taken if g is not bound}
            setattr(self, bound.__name__, bound)
            self._reactor.add_listener(self, list(_names_of(bound)))
        return bound

    def removeHandler(self, method, event=None):
        """Remove a handler, from all its names or from *event* alone.

        KeyError if it is not there.
        """
        with _tree_lock:
            names = [event] if event is not None else list(method.names or ("*",))
            function = getattr(method, "__func__", method)
            for name in names:
                for candidate in self._handlers_named(name):
                    if candidate == method or candidate is function:
                        break
                else:
                    raise KeyError(name)
                if self._extra and candidate in self._extra and (
                        event is None or tuple(candidate.names) == (event,)):
                    self._extra.remove(candidate)
                else:
                    self._taken = (self._taken or set()) | {(candidate, name)} | {
                        (candidate, key) for key in _names_of(candidate) if uncamel(name) == key}
            remaining = set(self._listened())
            self._reactor.drop_listener(self, [n for n in _names_of(method) if n not in remaining])
            self._reactor.forget(list(_names_of(method)))
            if vars(self).get(method.__name__) == method and (
                    self._extra is None or method not in self._extra):
                delattr(self, method.__name__)

    def getHandlers(self, event, channel, exclude_globals=False):
        """The bound handlers, here and below, that *event* on *channel* reaches."""
        name = event if isinstance(event, str) else event.name
        found = set()
        for manager in flatten(self):
            for key in (name, "*"):
                for function in manager._handlers_named(key):
                    if exclude_globals and _is_global(function):
                        continue
                    if Reactor._hears(manager, function, (channel,)):
                        found.add(function if isinstance(function, MethodType)
                                  else MethodType(function, manager))
        return found

    # -- the tree -----------------------------------------------------------

    def registerChild(self, component):
        """Join *component* and what is below it to this tree; register() calls it."""
        with _tree_lock:
            ours = self._reactor
            self._bare = False
            if component._lone and component._light:
                if self._children is Manager._children:
                    self._children = {}
                self._children[component] = None
                component.parent = self
                return component._join_tree(ours)
            theirs = component._reactor
            if ours.running and theirs.running and ours is not theirs:
                raise UnregistrableError()
            if component.parent is not component:       # it moves within the tree, or here
                component.parent._children.pop(component, None)
                if theirs is not ours:
                    component._split()
                    theirs = component._reactor
            changed = list(flatten(component)) if component._children else (component,)
            stays, goes = ours, theirs
            for manager in changed:
                manager._joined = next(_joined)
            if theirs.running:      # the one that runs stays: its loop goes on undisturbed
                changed, stays, goes = list(flatten(self.root)), theirs, ours
                stays.root = self.root
            if self._children is Manager._children:
                self._children = {}
            self._children[component] = None
            component.parent = self
            component._pending = component._bare = False
            if goes is not stays:
                goes.successor = stays
                goes.alert = True
            if goes is stays or goes is ours:
                stays.index = None                      # the order is another now
                stays.forget_plans()
            if goes is stays:
                return
            for manager in changed:
                manager._reactor = stays
                stays.add_listener(manager, manager._listened())
                if manager._moved is not None:
                    manager._moved(goes)
            goes.retire(stays)

    def _make_reactor(self):
        """Alone until now, have a Reactor as the root of a tree has."""
        with _tree_lock:
            if self._lone:
                number, reactor = next(_joined), Reactor(self)
                if self._lone:      # a signal handler may have been here meanwhile
                    object.__setattr__(self, "_reactor", reactor)
                    object.__setattr__(self, "_joined", number)
                    object.__setattr__(self, "_lone", False)
            return self._reactor

    def _join_tree(self, reactor):
        """Alone until now, be part of the tree of *reactor*."""
        self._joined = next(_joined)
        self._reactor = reactor
        self._lone = False
        reactor.add_listener(self, self._listened())

    def unregisterChild(self, component):
        """Take *component* and what is below it out of this tree, at once."""
        with _tree_lock:
            self._children.pop(component, None)
            component._split()

    def _split(self):
        """Become the root of a tree of its own, with everything below."""
        old = self._reactor
        new = Reactor(self)
        targeted = False
        self.parent = self
        below = list(flatten(self)) if self._children else (self,)
        for manager in below:
            old.drop_listener(manager, manager._listened())
            targeted = targeted or manager._targeted
            manager._targeted = False
            manager._reactor = new
            if old.poller is manager:
                manager.close()
                old.poller = None
                new.poller = manager
            if old.awaited:
                self._end_waits(old, manager)
        if targeted:                    # plans must not keep it alive
            old.forget_plans()
        for manager in below:
            if manager._tasks:
                for task in list(manager._tasks):
                    task.cancel("%r left the tree while it handled %r" % (manager, task.event))
            if manager._moved is not None:
                manager._moved(old)

    @staticmethod
    def _end_waits(reactor, manager):
        """*manager* left the tree: what it waits for there by name will not come."""
        for waits in list(reactor.awaited.values()):
            for waiting in [w for w in waits if w.manager is manager]:
                reactor.forget_name(waiting.event, waiting)
                waiting.finish(error=Cancelled(
                    "%r left the tree, and will not see %r" % (manager, waiting.event)))

    @_own_step
    @handler("unregister")
    def _on_unregister(self, component=None):
        """Answer an Unregister event; the root does so for the whole tree."""
        if isinstance(component, BaseComponent) and component._reactor is self._reactor:
            component.unregister()

    @_own_step
    @handler("generate_events", priority=-100)
    def _on_idle(self, event):
        """Sleep where there is no poller to do so: the last to see generate_events."""
        if self._reactor.poller is None:
            self._reactor.idle(event.time_left)

    # -- tasks, for those who keep their own --------------------------------

    def registerTask(self, t):
        """Run a task: a tuple (event, generator) as 2.1.0 has it."""
        event, generator = t[0], t[1]
        if event._value is None:
            event._value = Value(event, self)
        self._reactor._collect(event, _GivenTask(self, event, generator), generator)

    def unregisterTask(self, t):
        """End a task given to registerTask()."""
        for owner in flatten(self.root):
            for task in list(owner._tasks or ()):
                if task.event is t[0] and task.stack and task.stack[0] is t[1]:
                    task.cancel("")

    # -- running ------------------------------------------------------------

    def flush(self):
        """Dispatch the events that are in the queue now."""
        self._reactor.flush()

    flushEvents = flush

    def tick(self, timeout=-1):
        """One turn of the loop: timers, the poller, then the queue.

        timeout  seconds to wait at most when there is nothing to do; negative:
                 until there is, in a running system; not at all in one that is
                 driven by hand
        """
        self._reactor.tick(timeout)

    def fileno(self):
        """A file number that a host can watch, to call tick(0) when it is readable.

        It is so when a descriptor is ready or something was fired, from any
        thread, since the last tick().  Timers need next_deadline() as well.
        """
        number = poller_of(self).file_number()
        if number is None:
            raise RuntimeError("%r has no file number: call tick() from a timer of the host"
                               % self._reactor.poller)
        self._reactor.guest = True
        self._reactor.rest()
        return number

    def next_deadline(self):
        """When tick() has to be called at the latest, by self.root.clock().

        None: not before fileno() is readable.
        """
        reactor = self._reactor
        return reactor.root.clock() if reactor.queue else reactor.next_deadline()

    def call_from_thread(self, event, *channels, timeout=None):
        """call() for other threads: fire *event*, wait until it is done.

        Returns its Value; raises what a handler raised, or Cancelled when the
        tree stops.
        """
        ident = self._reactor.ident
        if ident == get_ident():
            raise RuntimeError("this is the thread that runs the tree, and would wait for itself: "
                               "yield or await self.call(%s)" % event)
        if ident is None:
            raise RuntimeError("%r does not run: start() it before" % self.root)
        return _ThreadTask().wait(Manager.call(self, event, *channels, timeout=timeout))

    def __enter__(self):
        """``with app:`` runs the tree in a thread for the time of a block."""
        Manager.start(self)
        return self

    def __exit__(self, *exc):
        self._reactor.stop()
        Manager.join(self)

    def run(self, socket=None):
        """Run the tree until stop(), or until a handler raises SystemExit.

        In the main thread SIGINT and SIGTERM end it, and the handlers they had
        are put back afterwards.  The code given to stop() or SystemExit leaves
        run() as SystemExit.

        socket  one end of a Pipe: a Bridge on it links this tree to the one at
                the other end
        """
        if socket is not None:
            _flat("_net").Bridge(socket).register(self)
        self._run()

    def _run(self, started=None):
        asyncio = sys.modules.get("asyncio")
        if asyncio is not None and asyncio._get_running_loop() is not None:
            raise RuntimeError("this thread runs an asyncio loop, which run() would block: say "
                               "`await app.serve()` instead, or start() it in a thread")
        reactor = self._begin_run()
        restore = self._take_signals()
        try:
            self.fire(Started(self), self.channel or "*")
            if started is not None:
                started()
            while reactor.running or not reactor.stopping():
                try:
                    reactor.turn()
                except KeyboardInterrupt:   # a second ^C, or a host's own handler
                    reactor.stop()
        finally:
            reactor.running = False
            try:
                self._cancel_tasks()
            finally:
                restore()
                self._end_run()
        if reactor.code is not None:
            raise SystemExit(reactor.code)

    def _begin_run(self):
        """What all ways of running begin with; returns the reactor."""
        with _tree_lock:
            reactor = self._reactor
            if reactor.looping:
                raise RuntimeError("%r is running already; a tree has one loop: register new "
                                   "components with it, or stop() it first" % reactor.root)
            if reactor.root is not self:
                raise RuntimeError("%s is part of the tree of %r: run that one"
                                   % (self.name, reactor.root))
            reactor.looping = True
        if reactor.pid != os.getpid():
            reactor.close()                 # what a parent process had open
        reactor.pid = os.getpid()
        reactor.open_wakeup()
        reactor.ident = get_ident()
        reactor.code = None
        reactor.draining = None
        reactor.guest = False
        reactor.running = True
        return reactor

    def _end_run(self):
        """What all ways of running end with."""
        reactor = self._reactor
        try:
            for _ in range(3):              # what the finally blocks fired
                if reactor.queue:
                    reactor.flush()
        finally:
            reactor.close()
            reactor.looping = False
            reactor.abandon()

    def _cancel_tasks(self):
        root = self._reactor.root
        for manager in list(flatten(root)):
            for task in list(manager._tasks or ()):
                task.cancel("%r stopped while it handled %r" % (root, task.event))

    def _take_signals(self):
        """Handle SIGINT and SIGTERM, in the main thread; returns what undoes it."""
        try:
            import signal
        except ImportError:
            return lambda: None
        before, fd_before = {}, []
        waiting = []

        def on_signal(number, frame):
            if waiting:                     # the last one was not even dispatched
                raise KeyboardInterrupt
            root = self._reactor.root
            event = Signal(number, frame)
            event._waiters = [_Afterwards(decide, event)]
            event._state = SPECIAL
            waiting.append(event)
            root.fire(event, root.channel or "*")

        def decide(event):
            waiting.clear()
            if not event.stopped and not event.deferred:
                self._reactor.stop()

        def restore():
            if fd_before:
                signal.set_wakeup_fd(fd_before[0])
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, on_signal)
            wakeup = self._reactor.wakeup
            if wakeup is not None:
                fd_before.append(signal.set_wakeup_fd(wakeup.target, warn_on_full_buffer=False))
        except ValueError:                  # not the main thread: never touch them
            pass
        return restore

    async def serve(self):
        """Run the tree inside the running asyncio loop, until it stops.

        Handlers may then await whatever asyncio has.  Signals are left to the
        loop.  Cancelling this stops the tree; the code given to stop() or
        SystemExit leaves this as SystemExit.
        """
        async with self.serving() as app:
            await app._reactor.host.wait_ended()

    def serving(self):
        """serve() for the time of a block: ``async with app.serving() as app:``."""
        return AsyncioHost(self)

    def start(self, process=False, link=None):
        """Run the tree in a thread of its own; returns (thread, None) once it runs.

        What goes wrong before that is raised here.

        process  run it in a process of its own instead, which inherits it by
                 fork; returns (process, bridge).  Needs circuits_net.py
        link     with that: the manager whose tree is linked to it by a Bridge
        """
        if process:
            return _flat("_net").start_process(self, link)
        if self._reactor.running:
            raise RuntimeError("%r is running already" % self.root)
        import threading
        ready = threading.Event()
        trouble = []

        def begun():
            self._thread = threading.current_thread()
            ready.set()

        def main():
            try:
                self._run(started=begun)
            except SystemExit:
                pass                        # the code is for a process, not a thread
            except BaseException as error:
                if ready.is_set():
                    raise
                trouble.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=main, name=self.name, daemon=True)
        try:
            thread.start()
        except RuntimeError:                # no daemon threads in a subinterpreter
            thread = threading.Thread(target=main, name=self.name, daemon=False)
            thread.start()
        ready.wait()
        if trouble:
            raise trouble[0]
        return thread, None

    def join(self, timeout=None):
        """Wait until what start() made has ended, *timeout* seconds at most."""
        if self._process is not None:
            self._process.join(timeout)
        thread = self._thread
        if thread is not None and thread.ident != get_ident():
            thread.join(timeout)

    def stop(self, code=None):
        """Stop the running tree; from any thread.  No-op when it is not running.

        What is in the queue is still delivered.  With a *code*, run() ends
        with SystemExit(code).
        """
        if self._process is not None and not self._reactor.running:
            self._process.terminate()
        self._reactor.stop(code)


# ---------------------------------------------------------------------------
# 10. Components
#
# Managers that handle events.  BaseComponent handles what @handler marks,
# Component every public method.
# ---------------------------------------------------------------------------

def check_singleton(x, y):
    """Whether component *x* may join the tree of *y* as far as singletons go."""
    for component in flatten(x):
        kind = component.singleton
        if not kind:
            continue
        for other in flatten(y.root):
            if other is component:
                continue
            if type(other) is type(component) if kind is True else isinstance(other, kind):
                return False
    return True


_STARTERS = frozenset(("__new__", "__init__"))


class BaseComponent(Manager):
    """A component whose handlers are marked with @handler.

        class Greeter(BaseComponent):
            channel = "greetings"

            def init(self, name="World"):       # called with the arguments
                self.who = name

            @handler("hello")
            def _on_hello(self):
                return "Hello %s!" % self.who

        app += Greeter("Bob")

    channel    where its handlers listen and where it fires; default "*"; the
               keyword argument channel= overrides it for an instance
    singleton  True: at most one of this exact class per tree; a class: none
               in a tree that has an instance of that class

    Components that are attributes of the class or set before
    super().__init__() become children.
    """

    channel = "*"
    singleton = False

    _sets_early = False         # children may be attributes before our __init__() runs

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        found, aliases = _handlers_of(cls)
        table = {}
        for function in found:
            for key in dict.fromkeys(_names_of(function)):
                table.setdefault(key, []).append(function)
        cls._class_handlers = {key: tuple(functions) for key, functions in table.items()}
        cls._class_flags = {key: _flags_of(functions) for key, functions in table.items()}
        cls._handler_aliases = frozenset(aliases)
        cls._is_ground = False
        for key, function in aliases.items():
            setattr(cls, key, function)
        cls._class_components = tuple(key for klass in cls.__mro__ for key, member
                                      in vars(klass).items() if isinstance(member, BaseComponent))
        cls._sets_early = any(
            vars(klass).get("_sets_early", not _STARTERS.isdisjoint(vars(klass)))
            for klass in cls.__mro__[:-1] if not vars(klass).get("_is_ground"))

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.channel = kwargs.get("channel", self.channel) or "*"
        for key in self._class_components:
            child = getattr(self, key)
            if isinstance(child, BaseComponent) and child is not self:
                child.register(self)
        if self._sets_early:
            for child in list(vars(self).values()):
                if (isinstance(child, BaseComponent) and child is not self
                        and child.parent is child):
                    child.register(self)
        init = getattr(self, "init", None)
        if init is not None:
            init(*args, **kwargs)

    def register(self, parent):
        """Join the tree of *parent*, as its child; returns self.

        Queued events come along.  Fires registered(self, parent).
        """
        if not isinstance(parent, Manager):
            raise TypeError("register() takes a component, got %r" % (parent,))
        if parent is self or self._children:
            above = parent
            while above is not self and above.parent is not above:
                above = above.parent
            if above is self:
                raise ValueError("%r cannot be registered %s" % (
                    self, "with itself" if parent is self else "below itself"))
        if (self.singleton or self._children) and not check_singleton(self, parent):
            raise SingletonError(self)
        parent.registerChild(self)
        reactor = self._reactor
        if not reactor.running or reactor.concerns("registered", self.channel):
            self.fire(Registered(self, parent), self.channel)
        return self

    def unregister(self):
        """Leave the tree, with everything below; returns self.

        Takes effect when prepare_unregister, which is fired here, and all that
        it causes is done; then unregistered is fired in the tree that was left.
        """
        if self._pending or self.parent is self:
            return self
        self._pending = True
        self._bare = False
        if self._reactor.cause is None and not self._leaving_matters():
            # Half of the cost of asking: 3.5 us instead of 7.
            self._reactor.call_soon(self._leave_quietly)
        else:
            self._prepare_to_leave()
        return self

    def _leaving_matters(self):
        """Whether prepare_unregister would reach anybody whom it concerns.

        The framework's own handlers look after what is theirs, which is not
        below a component that has no children.
        """
        plan = self._reactor.plan("prepare_unregister", (self.channel,))
        return (self._children or plan.public or plan.watched
                or self._extra or "prepare_unregister" in self._class_handlers)

    def _leave_quietly(self):
        """The first stage of unregister(), where nobody has to be asked."""
        if self._pending and self._leaving_matters():
            self._prepare_to_leave()        # there is somebody now
        else:
            self._leave()

    def _prepare_to_leave(self):
        event = PrepareUnregister(self)
        event.complete_channels = (self,)
        event._on_complete = self._leave
        event._state = SPECIAL          # even if nobody listens
        self.fire(event, self.channel)

    def _leave(self, event=None):
        """The second stage of unregister()."""
        parent = self.parent
        if not self._pending or parent is self:
            return                      # it was registered elsewhere meanwhile
        self._pending = False
        if self._reactor.concerns("unregistered", self.channel):
            self.root.fire(Unregistered(self, parent), self.channel)
        parent.unregisterChild(self)

    @property
    def unregister_pending(self):
        """Whether unregister() was called and has not taken effect yet."""
        return self._pending

    @property
    def _handlers(self):
        found = super()._handlers
        found.setdefault("unregister", set()).add(self._on_unregister)
        found.setdefault("prepare_unregister_complete", set()).add(self._on_leave)
        return found

    @handler("prepare_unregister_complete")
    def _on_leave(self, event, value):
        """Stands for _leave() in the handler table; the reactor calls that."""

    @classmethod
    def handlers(cls):
        """The names of the events that this class handles."""
        return ["unregister"] + [key for key in cls._class_handlers if not key.startswith("_")]

    @classmethod
    def events(cls):
        """The names of the events that this class handles."""
        return cls.handlers()

    @classmethod
    def handles(cls, *names):
        """Whether all these events are handled."""
        always = ("unregister", "prepare_unregister_complete")
        return all(name in cls._class_handlers or name in always for name in names)


# It has no handlers that dispatch would have to look for: the two that every
# component seems to have are the reactor's work.
BaseComponent._is_ground = True


class Component(BaseComponent, metaclass=HandlerMetaClass):
    """A component whose public methods are handlers of the events of their name.

        class Bob(Component):
            def hello(self, name):          # handles hello(name)
                return "Hi %s" % name

    A leading underscore, or @handler(False), makes a method no handler.
    """


Component._is_ground = True


# ---------------------------------------------------------------------------
# 11. Pollers
#
# Wait for files and sockets, and say which are ready: _read(fd), _write(fd) or
# _disconnect(fd) on the channel of the component that asked.  One contract,
# one subclass per system call.  Nothing is opened before the loop runs.
# ---------------------------------------------------------------------------

class Read(Event):
    """*fd* can be read from."""

    name = "_read"


class Write(Event):
    """*fd* can be written to."""

    name = "_write"


class PollError(Event):
    """*fd* is in trouble."""

    name = "_error"


class Disconnect(Event):
    """The peer of *fd* hung up, and nothing is left to read."""

    name = "_disconnect"


READABLE, WRITABLE, HUNG_UP = 1, 2, 4

# (what, its event, the name of that, how a source takes it directly)
_READY = ((READABLE, Read, "_read", "_read_ready"),
          (WRITABLE, Write, "_write", "_write_ready"),
          (HUNG_UP, Disconnect, "_disconnect", "_hung_up"))


class BasePoller(BaseComponent):
    """What all pollers share: who waits for what.

    To use:       addReader(source, fd), addWriter(source, fd), removeReader(fd),
                  removeWriter(fd), discard(fd), isReading(fd), isWriting(fd),
                  getTarget(fd), resume()
    To override:  _watch(fd, interest), _wait(seconds), _open(), _shut()

    fd      a file, a socket or a number; the same object in all calls
    source  the component on whose channel its events are fired

    The arguments channel and timeout are the documented ones; timeout is not
    used: the loop knows how long it may sleep.
    """

    channel = "poller"
    host = None                     # the AsyncioHost that watches us

    def __init__(self, timeout=0.01, channel=None):
        self._sources = {}          # fd -> source
        self._interest = {}         # fd -> READABLE | WRITABLE
        self._steps = {}            # fd -> how its source takes it that it can be read
        self._numbers = {}          # fd -> file number, known after it is closed too
        self._fds = {}              # file number -> fd
        self._opened = False
        self._pid = None
        super().__init__(channel=channel or self.channel)
        self._reactor.poller = self
        if select is None:
            raise RuntimeError("this Python has no select module: sockets and files cannot be "
                               "waited for; components and timers work")

    # -- who waits for what -------------------------------------------------

    def addReader(self, source, fd):
        """Tell *source* when *fd* can be read."""
        self._change(source, fd, self._interest.get(fd, 0) | READABLE)

    def addWriter(self, source, fd):
        """Tell *source* when *fd* can be written."""
        self._change(source, fd, self._interest.get(fd, 0) | WRITABLE)

    def removeReader(self, fd):
        """Do not watch *fd* for reading any more; no harm if nobody did."""
        self._change(self._sources.get(fd), fd, self._interest.get(fd, 0) & ~READABLE)

    def removeWriter(self, fd):
        """Do not watch *fd* for writing any more; no harm if nobody did."""
        self._change(self._sources.get(fd), fd, self._interest.get(fd, 0) & ~WRITABLE)

    def discard(self, fd):
        """Forget *fd*, which may be closed already."""
        self._change(None, fd, 0)

    def isReading(self, fd):
        return bool(self._interest.get(fd, 0) & READABLE)

    def isWriting(self, fd):
        return bool(self._interest.get(fd, 0) & WRITABLE)

    def getTarget(self, fd):
        """The channel that events of *fd* are fired on."""
        source = self._sources.get(fd)
        return self.parent if source is None else source.channel

    def _change(self, source, fd, interest):
        before = self._interest.get(fd, 0)
        if interest:
            if not before:
                number = self._numbers[fd] = fd if isinstance(fd, int) else fd.fileno()
                self._fds[number] = fd
            self._sources[fd] = source
            self._interest[fd] = interest
        elif before:
            del self._interest[fd], self._sources[fd]
        if interest & READABLE and hasattr(source, "_read_ready"):
            self._steps[fd] = self._step_of(source)
        elif before & READABLE:
            self._steps.pop(fd, None)
        if interest != before and self._opened and self._fds.get(self._numbers[fd]) is fd:
            self._watch(self._numbers[fd], interest, before)
        if before and not interest:
            number = self._numbers.pop(fd)
            if self._fds.get(number) is fd:
                del self._fds[number]

    @staticmethod
    def _step_of(source):
        """Its _read_ready, bound once for all of its files."""
        step = getattr(source, "_read_step", None)
        if step is None:
            step = source._read_step = source._read_ready
        return step

    def hand_over(self, other):
        """Give everything to *other*: a tree has one poller."""
        for fd, interest in list(self._interest.items()):
            source = self._sources[fd]
            self.discard(fd)
            if interest & READABLE:
                other.addReader(source, fd)
            if interest & WRITABLE:
                other.addWriter(source, fd)
        self.close()
        self.unregister()

    # -- waiting ------------------------------------------------------------

    def poll(self, timeout):
        """Wait *timeout* seconds at most (negative: for ever), tell what is ready."""
        reactor = self._reactor
        if not reactor.running and self._pid != os.getpid():
            self.close()                # of a tree driven by hand, in a forked child
        if not self._opened:
            self.open()
        if reactor.host is not None:    # it waits
            reactor.host.left = reactor.until_timer(timeout)
            timeout = 0
        if timeout:
            reactor.sleeping = reactor.alert = True
            timeout = reactor.until_timer(timeout)  # looked at again: see fired()
        try:
            ready = self._wait(timeout)
        finally:
            if reactor.sleeping or reactor.alert:
                reactor.awake()
        fds, steps = self._fds, self._steps
        private = reactor.reads_in_private()
        for number, what in ready:
            fd = fds.get(number)
            if private and what == READABLE and fd in steps:
                # Most of what happens, without a look at each plan: 0.4 us less.
                step = steps[fd]
                try:
                    step(fd)
                except BaseException as error:
                    reactor.failed(None, step, error)
                private = reactor.private
            elif fd is not None:
                self._tell(fd, what)
            elif reactor.wakeup is not None and number == reactor.wakeup.number:
                reactor.wakeup.drain()

    def _tell(self, fd, what):
        interest = self._interest.get(fd, 0)
        if what == READABLE:
            if interest & READABLE:
                self._offer(fd, Read, "_read", "_read_ready")
            return
        if what == HUNG_UP and interest & WRITABLE:
            what = WRITABLE             # so that whoever writes learns why not
        for flag, event, name, step in _READY:
            if what & flag and (flag == HUNG_UP or interest & flag):
                self._offer(fd, event, name, step)

    def _offer(self, fd, event, name, step):
        """Tell the source of *fd*: by a call of its *step* if nobody else hears."""
        try:
            source = self._sources[fd]
        except KeyError:
            return                      # what was told before made it go
        step = getattr(source, step, None)
        if step is None or self._reactor.heard(name, (source.channel,)):
            self.fire(event(fd), source.channel)
            return
        try:
            step(fd)
        except BaseException as error:
            self._reactor.failed(None, step, error)

    @_own_step
    @handler("generate_events", channel="*", priority=-9, filter=True)
    def _on_generate_events(self, event):
        self.poll(event.time_left)
        return True

    def resume(self):
        """End the wait of the loop; from any thread."""
        self._reactor.wake()

    # -- what is open while the loop runs -----------------------------------

    def open(self):
        """Open what the system call needs, and watch what was asked for so far."""
        self._pid = os.getpid()
        self._reactor.open_wakeup()
        self._open()
        self._opened = True
        self._watch(self._reactor.wakeup.number, READABLE, 0)
        for fd, interest in list(self._interest.items()):
            try:
                self._watch(self._numbers[fd], interest, 0)
            except OSError as error:        # it cannot be polled: not our trouble alone
                channel = self.getTarget(fd)
                self.discard(fd)
                self.fire(PollError(fd, error), channel)

    def close(self):
        """Close it again; the next poll opens anew.  What is watched stays."""
        if self._opened:
            if self.host is not None:
                self.host.unwatch()
            self._opened = False
            self._shut()

    def file_number(self):
        """A number that can be read from when poll() has something to tell.

        None where the system call has no such thing.
        """

    def __del__(self):
        try:
            self.close()
        except Exception:       # the interpreter is going down
            pass

    def _open(self):
        """To override: open what the system call needs."""

    def _shut(self):
        """To override: close it."""

    def _watch(self, number, interest, before):
        """To override: watch a file number for *interest* instead of *before*."""
        raise NotImplementedError

    def _wait(self, timeout):
        """To override: wait, return [(file number, what), ...]."""
        raise NotImplementedError


class Select(BasePoller):
    """select(): everywhere, for 1024 descriptors at most on most systems."""

    channel = "select"

    def _open(self):
        self._reading = set()
        self._writing = set()

    def _watch(self, number, interest, before):
        (self._reading.add if interest & READABLE else self._reading.discard)(number)
        (self._writing.add if interest & WRITABLE else self._writing.discard)(number)

    def _wait(self, timeout):
        try:
            reading, writing, failed = select.select(
                self._reading, self._writing, self._writing, None if timeout < 0 else timeout)
        except (OSError, ValueError):
            self._forget_closed()
            return []
        ready = dict.fromkeys(reading, READABLE)
        for number in writing + failed:
            ready[number] = ready.get(number, 0) | WRITABLE
        return ready.items()

    def _forget_closed(self):
        """Somebody closed a descriptor without discard(): find and drop it."""
        for fd, number in list(self._numbers.items()):
            try:
                select.select([number], [], [], 0)
            except (OSError, ValueError) as error:
                if number >= 1024:
                    raise ValueError("select() takes no descriptor above 1023, got %d: use Poll or "
                                     "EPoll" % number) from error
                self.discard(fd)

    def _shut(self):
        del self._reading, self._writing


class _Masks(dict):
    """What the system says -> what we say; worked out once for each of the few."""

    def __init__(self, readable, writable):
        self.readable = readable
        self.writable = writable

    def __missing__(self, mask):
        what = READABLE if mask & self.readable else 0
        if mask & self.writable:
            what |= WRITABLE
        self[mask] = what = what or HUNG_UP     # or an error, which reading tells
        return what


class _Polling(BasePoller):
    """poll() and epoll() differ in little."""

    def _open(self):
        self._in = getattr(select, self._prefix + "IN")
        self._out = getattr(select, self._prefix + "OUT")
        self._masks = _Masks(self._in, self._out)
        self._poll = self._make()

    def _watch(self, number, interest, before):
        mask = (self._in if interest & READABLE else 0) | (self._out if interest & WRITABLE else 0)
        try:
            if not interest:
                self._poll.unregister(number)
            elif before:
                self._poll.modify(number, mask)
            else:
                self._poll.register(number, mask)
        except FileExistsError:         # closed and opened again behind our back
            self._poll.modify(number, mask)
        except (KeyError, OSError):
            if interest and before:
                self._poll.register(number, mask)
            elif interest:
                raise                   # it cannot be polled: tell the source

    def _wait(self, timeout):
        masks = self._masks
        return [(number, masks[mask]) for number, mask in self._poll.poll(self._unit(timeout))]


class Poll(_Polling):
    """poll(): POSIX, any number of descriptors, cost grows with all of them."""

    channel = "poll"
    _prefix = "POLL"

    def _make(self):
        if not hasattr(select, "poll"):
            raise RuntimeError("this platform has no poll(); use Select")
        return select.poll()

    def _unit(self, timeout):
        return None if timeout < 0 else int(timeout * 1000 + 0.999)


class EPoll(_Polling):
    """epoll(): Linux, cost grows with the ready descriptors only."""

    channel = "epoll"
    _prefix = "EPOLL"

    def _make(self):
        if not hasattr(select, "epoll"):
            raise RuntimeError("this platform has no epoll(); use Poll or Select")
        return select.epoll()

    def _unit(self, timeout):
        return timeout

    def _shut(self):
        self._poll.close()

    def file_number(self):
        if not self._opened:
            self.open()
        return self._poll.fileno()


class KQueue(BasePoller):
    """kqueue(): BSD and macOS, cost grows with the ready descriptors only."""

    channel = "kqueue"

    def _open(self):
        if not hasattr(select, "kqueue"):
            raise RuntimeError("this platform has no kqueue(); use Poll or Select")
        self._queue_object = select.kqueue()

    def _shut(self):
        self._queue_object.close()

    def file_number(self):
        if not self._opened:
            self.open()
        return self._queue_object.fileno()

    def _watch(self, number, interest, before):
        changes = []
        for flag, kind in ((READABLE, select.KQ_FILTER_READ), (WRITABLE, select.KQ_FILTER_WRITE)):
            if (interest ^ before) & flag:
                action = select.KQ_EV_ADD if interest & flag else select.KQ_EV_DELETE
                changes.append(select.kevent(number, kind, action))
        for change in changes:
            try:
                self._queue_object.control([change], 0)
            except OSError:
                if interest:
                    raise               # it cannot be polled: tell the source

    def _wait(self, timeout):
        ready = []
        for event in self._queue_object.control([], 256, None if timeout < 0 else timeout):
            if event.filter == select.KQ_FILTER_WRITE:
                ready.append((event.ident, WRITABLE))
            elif event.flags & select.KQ_EV_EOF and not event.data:
                ready.append((event.ident, HUNG_UP))
            else:
                ready.append((event.ident, READABLE))
        return ready


if hasattr(select, "epoll"):
    Poller = EPoll          #: the best of this platform
elif hasattr(select, "kqueue"):
    Poller = KQueue
elif hasattr(select, "poll"):
    Poller = Poll
else:
    Poller = Select


def keep_memory():
    """Have glibc's malloc keep a few MiB that were freed, and give them again.

    It returns freed memory to the system above a threshold that adapts to the
    largest block ever freed: so one is freed here, which no page of was ever
    touched.  Without that, the memory of each large read is paged in anew,
    and the read costs up to twice the time.
    """
    bytes(4 << 20)


def poller_of(component):
    """The poller of the tree of *component*, made if there is none yet."""
    reactor = component._reactor
    poller = reactor.poller
    if poller is None:
        poller = Poller()
        poller.register(component.root)
    return poller


# ---------------------------------------------------------------------------
# 12. Timers
# ---------------------------------------------------------------------------

_EVERYBODY = ("*",)
_TIMER_TAKES = "the interval of a Timer is a number of seconds or a datetime"


class _QuickNew:
    """Has object.__new__() make Timers, without Manager.__new__(): 0.5 us, not 0.7.

    It is the first base, from which Python takes the constructor in C.  Takes
    itself back once Timer has a subclass: one may have, or get, a __new__() or a
    `parent` of its own.
    """

    __slots__ = ()
    __new__ = object.__new__


class Timer(_QuickNew, BaseComponent):
    """Fire *event* after *interval* seconds, or at a datetime.

        Timer(5, Tick(), persist=True).register(app)

    The countdown begins when it is made and does nothing until it is part of
    a running tree.  Then the event is fired on *channels* (default: the
    event's own, else "*") and the timer leaves the tree; with persist=True it
    begins anew instead, on schedule: a late one does not delay the next.
    """

    _light = True
    _sets_early = False
    _entry = None               # of the reactor's timers
    _deadline = None            # by the clock of the root; None: never

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__new__" in vars(_QuickNew):
            del _QuickNew.__new__

    def __init__(self, interval, event, *channels, persist=False, **kwargs):
        self.event = event
        self.channels = channels
        self.persist = persist
        if kwargs or type(self) is not Timer:
            super().__init__(**kwargs)      # which has nothing to do for others
        elif ((type(interval) is int or type(interval) is float and interval == interval)
                and self._lone and isinstance(event, Event)):
            self.interval = interval
            self._deadline = self.clock() + interval
            self._bare = True
            return                          # most of them
        if not isinstance(event, Event):
            raise TypeError("Timer() takes an event, got %r" % (event,))
        self.reset(interval)

    def register(self, parent):
        """See BaseComponent.register()."""
        if not (self._bare and self._lone and getattr(type(parent), "_plain_parent", False)):
            return super().register(parent)
        # All that this comes to for one that nobody hears of: 0.6 us, not 1.5.
        # How it leaves then: Reactor._run_plain().
        _tree_lock.acquire()                # `with` costs 0.12 us more
        try:
            reactor, deadline = parent._reactor, self._deadline
            if deadline is not None and reactor.running and (
                    reactor.unseen or reactor.moves_unseen()):
                clock = reactor.root.clock
                if clock is not self.clock:
                    deadline = self._deadline = deadline + clock() - self.clock()
                children = parent._children
                if not children and children is Manager._children:
                    children = parent._children = {}
                children[self] = None
                parent._bare = False
                self.parent = parent
                self._reactor = reactor
                self._lone = False
                self._joined = next(_joined)
                timers = reactor.timers
                if timers is None:
                    timers = reactor.timers = Timers()
                plain = timers.plain
                if not plain or timers.latest <= deadline:
                    timers.latest = deadline
                    self._entry = plain
                    plain.append(self)
                    if plain[0] is self:
                        timers.note_added()
                else:
                    self._entry = [deadline, self._joined, self, None]
                    timers.add(self._entry)
                if reactor.sleeping:        # in another thread, say
                    reactor.fired(None)
                return self
        finally:
            _tree_lock.release()
        return super().register(parent)

    def reset(self, interval=None):
        """Restart the countdown from now, with another *interval* if given."""
        if interval is not None:
            if type(interval) is not float or interval != interval:
                if hasattr(interval, "timestamp"):          # a datetime
                    interval = interval.timestamp() - time.time()
                _check_seconds(interval, _TIMER_TAKES)
            self.interval = interval
        if self._lone:                  # the way that needs no Reactor
            self._deadline = self.clock() + self.interval
        else:
            self._schedule(self.root.clock() + self.interval)

    @property
    def expiry(self):
        """When it will fire, in seconds since the epoch; None: never."""
        if self._deadline is None:
            return None
        return time.time() + self._deadline - self.root.clock()

    @expiry.setter
    def expiry(self, when):
        self._schedule(None if when is None else self.root.clock() + when - time.time())

    def _schedule(self, deadline):
        reactor = self._reactor
        self._unschedule(reactor)
        self._deadline = deadline
        if deadline is not None:
            self._entry = [deadline, next(_joined), self, None]
            with _tree_lock:
                reactor.add_timer(self._entry)

    def _unschedule(self, reactor):
        if self._entry is None:
            return
        with _tree_lock:
            entry, self._entry = self._entry, None
            if type(entry) is list:
                reactor.cancel(entry)
            else:                       # in Timers.plain: its place there stays a while,
                reactor.timers.cancel()             # so it must not get another
                self._bare = False

    def _make_reactor(self):
        with _tree_lock:
            was_alone = self._lone
            reactor = super()._make_reactor()
            if was_alone:
                self._bare = False
                self._schedule(self._deadline)
        return reactor

    def _join_tree(self, reactor):
        super()._join_tree(reactor)
        self._bare = False
        if self._deadline is not None:
            clock = reactor.root.clock
            self._schedule(self._deadline if clock is self.clock
                           else self._deadline + clock() - self.clock())

    def _split(self):
        old = self._reactor
        if (type(self) is not Timer or self._extra or self._children or self._tasks
                or self._targeted or old.awaited or self.parent is self):
            return super()._split()
        if self._entry is not None:
            self._unschedule(old)
            if old.root.clock is not self.clock:
                self._deadline += self.clock() - old.root.clock()
        self._lone = True               # again, as before it joined
        del self.parent, self._reactor
        if self._pending:
            self._pending = False

    def _moved(self, old):
        clock = self.root.clock
        if self._entry is not None and not (
                old.successor is self._reactor and old.root.clock is clock):    # it comes along
            left = self._deadline - old.root.clock()
            self._unschedule(old)
            self._schedule(self.root.clock() + left)

    def _due(self):
        self._entry = None
        reactor = self._reactor
        root = reactor.root
        if root is self and not reactor.running:
            return                      # it left its tree meanwhile
        due, self._deadline = self._deadline, None
        # By the root: this may have left the tree when its handlers run.
        event = self.event
        channels = self.channels or event.channels or _EVERYBODY
        Manager.fire(root, event, *((channels,) if isinstance(channels, str) else channels))
        if self.persist:
            late = max(0, root.clock() - due)
            missed = late // self.interval if self.interval > 0 else 0
            self._schedule(due + (missed + 1) * self.interval)
        elif self._leaving_matters() or reactor.concerns("unregistered", self.channel):
            self.unregister()
        elif root is not self:          # unregister(), where nobody hears of it
            self.parent.unregisterChild(self)


# ---------------------------------------------------------------------------
# 13. Workers
#
# Functions that block run in threads or processes; their results come back as
# the value of the event that asked for them.
# ---------------------------------------------------------------------------

DEFAULT_WORKERS = 10


class Task(Event):
    """Call f(*args, **kwargs) in a Worker; the value is what it returns."""

    def __init__(self, f, *args, **kwargs):
        super().__init__(f, *args, **kwargs)


class Worker(BaseComponent):
    """A pool that runs functions which would block the loop.

        Worker().register(app)
        value = yield self.call(Task(slow, 1, 2), "worker")

    process  False: threads; True: processes, for functions that compute (the
             function and its arguments are then pickled by multiprocessing)
    workers  how many at most; default 10 threads, or as many processes as
             there are CPUs, since more of those would only wait for each other

    The pool starts with the first task, and ends when the worker leaves its
    tree or the system stops; tasks not begun by then are cancelled.
    """

    channel = "worker"

    def init(self, process=False, workers=None, channel="worker"):
        if workers is not None and (not isinstance(workers, int) or workers < 1):
            raise ValueError("workers is a number of at least 1, got %r" % (workers,))
        self.process = process
        self.workers = workers or (os.cpu_count() or 1 if process else DEFAULT_WORKERS)
        self.pool = None

    @handler("task")
    def _on_task(self, f, *args, **kwargs):
        if not callable(f):
            raise TypeError("a Task takes a function and its arguments, got %r" % (f,))
        import concurrent.futures
        if self.pool is None:
            if self._reactor.looping and not self._reactor.running:
                raise Cancelled("the system stops: no task is begun any more")
            if self.process:
                self.pool = concurrent.futures.ProcessPoolExecutor(self.workers)
            else:
                self.pool = concurrent.futures.ThreadPoolExecutor(self.workers, "circuits-worker")
        pool = self.pool
        try:
            return (yield FutureWaiting(pool.submit(f, *args, **kwargs)))
        except concurrent.futures.BrokenExecutor:
            if self.pool is pool:       # a process died: the next task gets new ones
                self._shut_pool()
            raise

    @handler("stopped", channel="*")
    def _on_stopped(self, component):
        if component is self.root:
            self._shut_pool()

    def _moved(self, old):
        if old.successor is None:       # it left the tree, alone or with others
            self._shut_pool()

    def _shut_pool(self):
        pool, self.pool = self.pool, None
        if pool is None:
            return
        if sys.version_info >= (3, 9):
            pool.shutdown(wait=False, cancel_futures=True)
        else:                           # there it makes noise if processes are not waited for
            pool.shutdown(wait=self.process)


# ---------------------------------------------------------------------------
# 14. Inside asyncio
#
# The tree as a guest of a running asyncio loop.  Between two turns it counts
# as asleep; fire(), its poller and its next timer call the next turn.
# Coroutine handlers are asyncio tasks there, which asyncio's own tools expect.
# ---------------------------------------------------------------------------

class AsyncioHost:
    """Runs a tree in the asyncio loop of this thread: ``async with`` it."""

    def __init__(self, manager):
        self.manager = manager
        self.reactor = None
        self.left = -1              # seconds that generate_events would pause
        self.tasks = set()          # asyncio itself keeps weak references only
        self.error = None           # what ended the loop
        self._soon = False          # a turn is called already
        self._look = False          # a timer is due, or a descriptor is ready
        self._batches = 0           # since the last look at those
        self._timer = None
        self._due = None            # when that comes, by the clock of the root
        self._watched = None        # (poller, file number)
        self._thread = None         # a _PollThread, where one is needed

    # -- its life -----------------------------------------------------------

    async def __aenter__(self):
        import asyncio
        self.loop = asyncio.get_running_loop()
        self.ident = get_ident()
        self.context = copy_context()           # turns are not those who called them
        self.ended = self.loop.create_future()
        self.reactor = reactor = self.manager._begin_run()
        reactor.host = self
        self.manager.fire(Started(self.manager), self.manager.channel or "*")
        self.context.run(self.turn)
        return self.manager

    async def __aexit__(self, *exc):
        self.reactor.stop()
        try:
            await self.wait_ended()
            self.manager._cancel_tasks()
            while self.tasks:                   # their finally blocks may wait
                await self._wait(self.tasks)
        finally:
            self._leave()
        if exc[0] is None and self.error is not None:
            raise self.error
        if exc[0] is None and self.reactor.code is not None:
            raise SystemExit(self.reactor.code)

    async def wait_ended(self):
        """Wait until the tree has stopped and all was delivered."""
        await self._wait({self.ended})

    @staticmethod
    def _wait(futures):
        """Wait, without cancelling them if we are."""
        return sys.modules["asyncio"].wait(set(futures))

    def _leave(self):
        reactor = self.reactor
        reactor.running = False
        self.manager._cancel_tasks()
        reactor.awake()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.close()
        self.context.run(self.manager._end_run)
        reactor.host = None

    # -- turns --------------------------------------------------------------

    def turn(self):
        """Timers, the poller, some batches; then let the others have the loop."""
        reactor = self.reactor
        self._soon = False
        if reactor.host is not self:
            return                              # the call came late
        if self._thread is not None and self._thread.waits:
            return reactor.wakeup.wake()        # it was called before that waited
        reactor.awake()
        try:
            batches = 0
            reactor.ident = self.ident
            if self._look or not reactor.queue or self._batches >= BATCHES_PER_POLL:
                self._look = False
                self._batches = 0
                reactor.generate(-1)
            if reactor.queue:
                batches = reactor._flush(BATCHES_PER_POLL)
            self._batches += batches
        except BaseException as error:          # SystemExit after stop()
            self.error = self.error or error
        if not self.ended.done() and (self.error or reactor.stopping()):
            self.ended.set_result(None)
        if reactor.queue or batches and self._wants_idle():
            self.wake()
        else:
            self._pause()

    def _ready(self):
        """A timer is due, or a descriptor is ready."""
        self._look = True
        self.turn()

    def _wants_idle(self):
        """Whether somebody listens to generate_events, which tells of each pause."""
        reactor = self.reactor
        return not reactor.quiet and reactor.running and reactor.plan(
            "generate_events", ("*",)).public

    def wake(self):
        """Call the next turn; safe from any thread."""
        if self._thread is not None and self._thread.waits:
            self.reactor.wakeup.wake()          # it calls the turn
        elif get_ident() != self.ident:
            self.call_from_thread()
        elif not self._soon:
            self._soon = True
            self.loop.call_soon(self.turn, context=self.context)

    def call_from_thread(self):
        try:
            self.loop.call_soon_threadsafe(self.turn, context=self.context)
        except RuntimeError:                    # the loop was closed
            pass

    def _pause(self):
        reactor = self.reactor
        reactor.sleeping = reactor.alert = True     # before it looks: see Reactor.fired
        deadline = reactor.next_deadline()
        if self.left >= 0 and self._wants_idle():
            until = reactor.root.clock() + self.left
            deadline = until if deadline is None else min(deadline, until)
        poller = reactor.poller
        if reactor.queue:                       # looked at again: see Reactor.fired
            reactor.fired(None)
        elif poller is None or self._watch(poller):
            self._set_timer(deadline)
        else:
            left = -1 if deadline is None else max(0, deadline - reactor.root.clock())
            self._thread = self._thread or _PollThread(self)
            self._thread.wait(poller, left)

    def _set_timer(self, deadline):
        """Have a turn by then; an earlier one that is set already will do."""
        if self._timer is not None and deadline is not None and self._due <= deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._due = deadline
            self._timer = self.loop.call_later(
                max(0, deadline - self.reactor.root.clock()), self._timed, context=self.context)

    def _timed(self):
        self._timer = None
        self._ready()

    # -- the poller ---------------------------------------------------------

    def _watch(self, poller):
        """Be called when the poller has something; False where that cannot be."""
        if self._watched is not None and self._watched[0] is poller:
            return True
        number = poller.file_number()
        if number is None:
            return False
        try:
            self.loop.add_reader(number, self._ready)
        except NotImplementedError:             # Proactor
            return False
        self._watched = poller, number
        poller.host = self
        return True

    def unwatch(self):
        """The poller closes."""
        if self._watched is not None:
            poller, number = self._watched
            self._watched = poller.host = None
            self.loop.remove_reader(number)

    # -- coroutines ---------------------------------------------------------

    def run(self, coroutine, running):
        """Make a task of *coroutine*, for which *running* then waits."""
        task = self.loop.create_task(_Hosted(coroutine, running))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        _TaskWaiting(task).begin(running)


class _TaskWaiting(FutureWaiting):
    """Wait for the asyncio task of a handler: who cancels that, cancels it."""

    __slots__ = ()

    def _filled(self, future):
        running = self.task
        if future.cancelled() and running is not None:
            self.give_up()
            running.cancel("the asyncio task of %r was cancelled" % (running.event,))
        else:
            super()._filled(future)


class _Hosted:
    """A coroutine as asyncio sees it: each step is a step of its event."""

    def __init__(self, coroutine, running):
        self.coroutine = coroutine
        self.running = running

    def __getattr__(self, name):            # the names that asyncio shows
        return getattr(self.coroutine, name)

    def send(self, value):
        return self._step(self.coroutine.send, value)

    def throw(self, *error):
        return self._step(self.coroutine.throw, *error)

    def close(self):
        self.coroutine.close()

    def __await__(self):
        return self

    def _step(self, function, *args):
        reactor = self.running.owner._reactor
        event = self.running.event
        try:
            with reactor.causing(event):
                return function(*args)
        except (SystemExit, KeyboardInterrupt) as error:
            reactor.failed(event, self.running.handler, error)
            raise StopIteration from None       # it would stop the whole loop


Coroutine.register(_Hosted)


class _PollThread:
    """Waits for a poller that asyncio cannot watch: select(), poll(), Proactor.

    It takes turns with the loop: it waits only while the tree pauses.
    """

    def __init__(self, host):
        import threading
        self.host = host
        self.waits = False
        self.poller = self.seconds = None
        self.go = threading.Semaphore(0)
        self.thread = threading.Thread(target=self.run, name="circuits-poller", daemon=True)
        self.thread.start()

    def wait(self, poller, seconds):
        if not poller._opened:
            poller.open()
        self.poller, self.seconds, self.waits = poller, seconds, True
        self.go.release()

    def run(self):
        while True:
            self.go.acquire()
            poller = self.poller
            if poller is None:
                return
            try:
                poller._wait(self.seconds)
            except Exception:                   # the turn will meet it, too
                pass
            self.host._look = True
            self.waits = False
            self.host.call_from_thread()

    def close(self):
        """End it, also while it waits."""
        self.poller = None
        self.host.reactor.wakeup.wake()
        self.go.release()
        self.thread.join()


# ---------------------------------------------------------------------------
# 15. Debugger and fallbacks
# ---------------------------------------------------------------------------

class Debugger(BaseComponent):
    """Print every event, and every error with its traceback.

        app += Debugger()

    errors, events   what to show; may be changed while it runs
    file             where: a path to append to, or anything with write();
                     default: what sys.stderr was when this was made
    logger           a logging.Logger instead: debug() for events, error()
    prefix           text, or a function that returns it, before each line
    trim             show this many characters of an event only
    IgnoreEvents     names not shown; default: generate_events
    IgnoreChannels   events all of whose channels are here are not shown
    """

    IgnoreEvents = ["generate_events"]
    IgnoreChannels = []

    def __init__(self, errors=True, events=True, file=None, logger=None, prefix=None, trim=None,
                 IgnoreEvents=(), IgnoreChannels=(), **kwargs):
        self.errors = errors
        self.events = events
        self.logger = logger
        self.prefix = prefix
        self.trim = trim
        self.IgnoreEvents = list(type(self).IgnoreEvents) + list(IgnoreEvents)
        self.IgnoreChannels = list(type(self).IgnoreChannels) + list(IgnoreChannels)
        self._owned = isinstance(file, (str, os.PathLike))
        if self._owned:
            file = open(os.path.abspath(os.path.expanduser(file)), "a", encoding="utf-8")
        elif file is None:
            file = sys.stderr
        self.file = file
        super().__init__(**kwargs)

    _errors = property(lambda self: self.errors, lambda self, on: setattr(self, "errors", on))
    _events = property(lambda self: self.events, lambda self, on: setattr(self, "events", on))

    def _write(self, text):
        if self.file is None:
            return
        try:
            self.file.write(text)
            if hasattr(self.file, "flush"):
                self.file.flush()
        except (OSError, ValueError):   # a full disk, a closed file
            pass

    @handler(channel="*", priority=101)
    def _on_event(self, event, *args, **kwargs):
        if not self.events or event.name in self.IgnoreEvents:
            return
        if event.channels and all(channel in self.IgnoreChannels for channel in event.channels):
            return
        text = repr(event)
        if self.prefix:
            text = "%s: %s" % (self.prefix() if callable(self.prefix) else self.prefix, text)
        if self.trim and len(text) > self.trim:
            text = text[:self.trim] + " ...>"
        if self.logger is not None:
            self.logger.debug(text)
        else:
            self._write(text + "\n")

    @handler("error", channel="*", priority=100)
    def _on_error(self, *args):
        if not self.errors:
            return
        text = error_text(*args)
        if self.logger is not None:
            self.logger.error(text)
        else:
            self._write(text)

    def _moved(self, old):
        if self.parent is self and self._owned:
            self.file.close()
            self.file = None


class FallBackGenerator(BaseComponent):
    """Sleeps where nothing else does; every reactor does this by itself."""

    @handler("generate_events", priority=-100, channel="*", filter=True)
    def _on_generate_events(self, event):
        self._reactor.idle(event.time_left)
        return True


class FallBackErrorHandler(BaseComponent):
    """Prints errors; every reactor does this by itself when nobody handles them."""

    @handler("error", channel="*")
    def _on_error(self, event, *args):
        print_error(event)


# ---------------------------------------------------------------------------
# 16. Loader
# ---------------------------------------------------------------------------

def safeimport(name):
    """Import a module, or load it again; None if it cannot be.

    What a failed import brought in is taken out of sys.modules again.
    """
    import importlib
    before = set(sys.modules)
    try:
        if name in sys.modules:
            return importlib.reload(sys.modules[name])
        importlib.invalidate_caches()
        return importlib.import_module(name)
    except Exception:
        for added in set(sys.modules) - before:
            if added == name or added.startswith(name + "."):
                del sys.modules[added]
        return None


class Loader(BaseComponent):
    """Load components from modules by name, at run time.

        Loader(paths=["plugins"]).register(app)
        self.fire(Event.create("load", "greeter"), "loader")

    auto_register           register what was loaded; default True
    init_args, init_kwargs  what its class is called with
    paths                   put in front of sys.path

    Let nobody you do not trust fire load at it: a module runs when it is
    imported.
    """

    channel = "loader"

    def __init__(self, auto_register=True, init_args=None, init_kwargs=None, paths=None,
                 channel="loader"):
        super().__init__(channel=channel)
        self._auto_register = auto_register
        self._init_args = init_args or ()
        self._init_kwargs = init_kwargs or {}
        for path in paths or ():
            if path not in sys.path:
                sys.path.insert(0, path)

    @handler("load")
    def load(self, name):
        """Load the first component class (by name) of a module, and make one.

        None if it cannot be imported or defines no component.
        """
        module = safeimport(name)
        if module is None:
            return None
        classes = sorted((key, member) for key, member in vars(module).items()
                         if isinstance(member, type) and issubclass(member, BaseComponent)
                         and member.__module__ == module.__name__)
        if not classes:
            return None
        component = classes[0][1](*self._init_args, **self._init_kwargs)
        if self._auto_register:
            component.register(self)
        return component


# ---------------------------------------------------------------------------
# 17. Tools
#
# Look at a component tree, and take it apart.
# ---------------------------------------------------------------------------

def flatten(root, visited=None):
    """Yield a component and all below it, parents first, each once."""
    yield root
    if root._children:
        stack = list(root._children)
        stack.reverse()
        while stack:
            component = stack.pop()
            yield component
            if component._children:
                below = list(component._children)
                below.reverse()
                stack.extend(below)


def findroot(component):
    """The top of the tree of *component*."""
    while component.parent is not component:
        component = component.parent
    return component


def findchannel(root, channel, all=False):
    """The first component below *root* with that channel; a list with all=True."""
    found = [c for c in flatten(root) if c.channel == channel]
    return found if all else found[0] if found else None


def findtype(root, cls, all=False):
    """The first component below *root* of that class; a list with all=True."""
    found = [c for c in flatten(root) if isinstance(c, cls)]
    return found if all else found[0] if found else None


findcmp = findtype


def tryimport(modules, obj=None, message=None):
    """The first of *modules* (a name or several) that can be imported, or its *obj*.

    None if there is none, with a warning if *message* is given.
    """
    import importlib
    for name in (modules,) if isinstance(modules, str) else modules:
        try:
            module = importlib.import_module(name)
            return module if obj is None else getattr(module, obj)
        except (ImportError, AttributeError):
            continue
    if message is not None:
        import warnings
        warnings.warn(message, stacklevel=2)
    return None


def walk(x, f, d=0, v=None):
    """Yield f(depth, component) for a component and all below it, parents first."""
    stack = [(d, x)]
    while stack:
        depth, component = stack.pop()
        yield f(depth, component)
        stack.extend((depth + 1, child) for child in reversed(list(component._children)))


def edges(x, e=None, v=None, d=0):
    """The set of (parent, child) pairs below *x*."""
    found = set() if e is None else e
    found.update((c.parent, c) for c in flatten(x) if c is not x)
    return found


def kill(x):
    """Unregister everything below *x*, and *x*; takes effect as the queue is flushed."""
    for component in reversed(list(flatten(x))):
        if component.parent is not component:
            component.unregister()


def graph_ascii(x):
    """The tree as text, a line per component."""
    return "\n".join(walk(x, lambda depth, c: "%s* %s" % (" " * depth, c)))


def graph_dot(x, name=None):
    """The tree in the DOT language of Graphviz."""
    def node(component):
        return '"%s-%x"' % (component.name, id(component))
    lines = ["digraph \"%s\" {" % (name or x.name)]
    lines.extend("    %s;" % node(c) for c in flatten(x))
    lines.extend("    %s -> %s;" % (node(c.parent), node(c)) for c in flatten(x) if c is not x)
    return "\n".join(lines + ["}", ""])


def graph_png(x, name=None):
    """Draw the tree into <name>.png with Graphviz; RuntimeError if dot is missing."""
    import shutil
    import subprocess
    dot = shutil.which("dot")
    if dot is None:
        raise RuntimeError("drawing needs Graphviz: its program dot is not on the PATH; "
                           "graph_dot() gives the text it would draw")
    path = "%s.png" % (name or x.name)
    subprocess.run([dot, "-Tpng", "-o", path], input=graph_dot(x, name).encode(), check=True)
    return path


def graph(x, name=None):
    """The tree as text; with a *name*, also <name>.dot and, given Graphviz, <name>.png."""
    if name is not None:
        with open("%s.dot" % name, "w", encoding="utf-8") as file:
            file.write(graph_dot(x, name))
        try:
            graph_png(x, name)
        except RuntimeError:            # no Graphviz here
            pass
    return graph_ascii(x)


def inspect(x):
    """What a component consists of and handles, as text."""
    handlers = x._handlers
    lines = [" Components: %d\n" % len(x.components)]
    lines.extend("  %s\n" % c for c in x.components)
    lines.append("\n Event Handlers: %d\n" % len(handlers))
    for name, bound in handlers.items():
        lines.append("  %s; %d\n" % (name, len(bound)))
        lines.extend("   %s\n" % reprhandler(h) for h in bound)
    return "".join(lines)


def getargspec(func):
    """(args, varargs, varkw, defaults) of a function."""
    from inspect import getfullargspec
    return tuple(getfullargspec(func)[:4])


def deprecated(f):
    """Make calls of *f* warn that it will go."""
    import functools
    import warnings

    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        warnings.warn("%s is deprecated" % f.__name__, DeprecationWarning, stacklevel=2)
        return f(*args, **kwargs)
    return wrapper


# ---------------------------------------------------------------------------
# 18. Names of the current release
#
# Programs written for it call the same things by lower-case names.
# ---------------------------------------------------------------------------

BaseEvent = Event
EventMetaClass = type(Event)

started = Started
stopped = Stopped
signal = Signal
registered = Registered
unregistered = Unregistered
generate_events = GenerateEvents
prepare_unregister = PrepareUnregister
_read = Read
_write = Write
_error = PollError
_disconnect = Disconnect
FallBackExceptionHandler = FallBackErrorHandler


class task(Task):
    """A Task that asks for task_success and task_failure."""

    name = "task"
    success = True
    failure = True


class exception(Event):
    """What an error is called there; fired beside error where it is handled."""


# What programs for 2.1.0 take from circuits.six.
PY3 = True
string_types = (str,)
text_type = str
binary_type = bytes
create_bound_method = MethodType


def b(text):
    """A str literal as bytes."""
    return text.encode("latin-1")


def u(text):
    """A str literal as text."""
    return text


# ---------------------------------------------------------------------------
# 19. Dotted names
#
# Programs for the documented layout import from circuits.net.sockets and the
# like.  Each dotted name is a module object that takes its attributes from
# the flat file which owns them, when they are asked for.  The files are found
# by our own name, so a vendored or renamed copy finds its own.
# ---------------------------------------------------------------------------

_DOTTED_OWNERS = {
    "": "core core.components core.debugger core.events core.handlers core.helpers "
        "core.loader core.manager core.pollers core.timers core.utils core.values core.workers "
        "tools six",
    "_io": "io io.events io.file io.notify io.process io.serial "
           "app app.config app.daemon app.env app.log app.startup app.dropprivileges",
    "_net": "core.bridge net net.events net.sockets net.utils net.protocols net.protocols.irc "
            "net.protocols.line protocols protocols.irc protocols.line "
            "node node.client node.events node.node node.protocol node.server node.utils",
    "_web": "web web._httpauth web.client web.constants web.controllers web.dispatchers "
            "web.dispatchers.dispatcher web.dispatchers.jsonrpc web.dispatchers.static "
            "web.dispatchers.virtualhosts web.dispatchers.websockets web.dispatchers.xmlrpc "
            "web.errors web.events web.exceptions web.headers web.http web.loggers web.main "
            "web.parsers web.processors web.servers web.sessions web.tools web.url web.utils "
            "web.websocket web.websockets web.wrappers web.wsgi "
            "net.protocols.http net.protocols.websocket protocols.http protocols.websocket",
}

# Names that mean something else there: {dotted name: {name: name here}}.  The
# other files have a table of the same name.
_DOTTED = {
    "core.pollers": {"Error": "PollError", "TIMEOUT": "POLL_TIMEOUT",
                     "__all__": "_POLLERS"},
    "core.manager": {"Sleep": "Sleep"},
}
_POLLERS = ("BasePoller", "EPoll", "KQueue", "Poll", "Poller", "Select")
POLL_TIMEOUT = 0.01     # documented; the loop computes how long it may sleep


def _flat(suffix, wanted="this"):
    """The flat module beside us whose name is ours with *suffix*."""
    name = __name__ + suffix
    if name not in sys.modules:
        from importlib import import_module
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise ImportError("%s lives in %s.py, which is not beside %s.py: copy that file too"
                              % (wanted, name, __name__)) from error
    return sys.modules[name]


class _DottedModule(ModuleType):
    """A dotted name of the documented layout."""

    def __init__(self, dotted, owner):
        super().__init__("%s.%s" % (__name__, dotted), "See %s%s." % (__name__, owner))
        self.__dict__.update(_dotted=dotted, _owner=owner)

    def __getattr__(self, name):
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        owner = _flat(self._owner, self.__name__)
        name_there = getattr(owner, "_DOTTED", {}).get(self._dotted, {}).get(name, name)
        try:
            value = getattr(owner, name_there)
        except AttributeError:
            raise AttributeError("module %r has no attribute %r" % (self.__name__, name)) from None
        if name != "__all__":
            self.__dict__[name] = value
        return value

    def __dir__(self):
        owner = _flat(self._owner, self.__name__)
        return sorted(set(vars(owner)) | set(getattr(owner, "_DOTTED", {}).get(self._dotted, ())))


def __getattr__(name):
    """Names that are documented as ours and live in another file."""
    if name in ("Bridge", "ipc"):
        return getattr(_flat("_net", name), name)
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


def _publish_dotted_names():
    """Put the dotted names into sys.modules, below our own name."""
    ourselves = sys.modules.get(__name__)
    if ourselves is None or vars(ourselves) is not globals():
        return                          # run with exec() or runpy: nobody imports from us
    for owner, dotted_names in _DOTTED_OWNERS.items():
        for dotted in dotted_names.split():
            module = _DottedModule(dotted, owner)
            sys.modules[module.__name__] = module
    for owner, dotted_names in _DOTTED_OWNERS.items():
        for dotted in dotted_names.split():
            above, _, last = dotted.rpartition(".")
            holder = sys.modules["%s.%s" % (__name__, above) if above else __name__]
            vars(holder).setdefault(last, sys.modules["%s.%s" % (__name__, dotted)])


_publish_dotted_names()


# ---------------------------------------------------------------------------
# 20. Command
#
# python3 circuits.py --check says of the files beside it which version they
# are and whether anyone edited them; --seal, at a release, makes that known.
# A seal is no signature: it tells a slip from a release, not a forger.
# ---------------------------------------------------------------------------

_SEAL = b"__sealed__ = "


def seal_of(text):
    """The SHA-256 of a file's bytes without its seal, whatever its line ends are."""
    import hashlib
    lines = text.replace(b"\r\n", b"\n").split(b"\n")
    return hashlib.sha256(b"\n".join(
        line for line in lines if not line.startswith(_SEAL))).hexdigest()


def _line_value(text, start):
    """What is in quotes on the line that begins so; None without such a line."""
    for line in text.splitlines():
        if line.startswith(start) and line.count(b'"') >= 2:
            return line.split(b'"')[1].decode()
    return None


def state_of(text):
    """"sealed", "edited" or "not sealed"."""
    seal = _line_value(text, _SEAL)
    if not seal:
        return "not sealed"
    return "sealed" if seal == seal_of(text) else "edited"


def sealed(text):
    """The bytes of a file with a seal, on the line below its version."""
    lines = [line for line in text.split(b"\n") if not line.startswith(_SEAL)]
    for i, line in enumerate(lines):
        if line.startswith(b"__version__ = "):
            lines.insert(i + 1, _SEAL + b'"' + seal_of(text).encode() + b'"')
            return b"\n".join(lines)
    raise ValueError("a file without a __version__ cannot be sealed")


def check_files(paths):
    """Print version and state of each; 1 if they do not belong together or were edited."""
    versions, states = set(), set()
    for path in paths:
        with open(path, "rb") as file:
            text = file.read()
        version, state = _line_value(text, b"__version__ = "), state_of(text)
        versions.add(version)
        states.add(state)
        print("%-20s %-10s %s" % (os.path.basename(path), version, state))
    if len(versions) > 1:
        print("these do not belong together: copy all of them from one release")
    return int(len(versions) > 1 or "edited" in states)


def main(args):
    """The command; returns its exit status."""
    here = os.path.abspath(sys.argv[0])
    paths = [path for path in (here[:-3] + suffix + ".py" for suffix in ("", "_io", "_net", "_web"))
             if os.path.exists(path)]
    if args == ["--check"]:
        return check_files(paths)
    if args == ["--seal"]:
        for path in paths:
            with open(path, "rb") as file:
                text = file.read()
            with open(path, "wb") as file:
                file.write(sealed(text))
        return check_files(paths)
    print("usage: python3 %s --check | --seal" % os.path.basename(here))
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
