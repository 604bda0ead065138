"""Files, processes, folders that change, serial ports and daemons as components.

    from circuits import Component
    from circuits_io import File, Write, stdout

    class Cat(Component):
        stdout = stdout
        def read(self, data):
            self.fire(Write(data), self.stdout)

        def closed(self):
            raise SystemExit(0)

    (Cat(channel="file") + File("/etc/hostname")).run()

Contents

 1. Events
 2. Descriptors and threads
 3. Files and standard streams
 4. Processes
 5. Watching folders: inotify
 6. Watching folders: scans
 7. Watching folders: Notify
 8. Serial ports
 9. Configuration and logs
10. Environments
11. Daemons
12. Commands to start and stop
13. Names of the layout

Names used throughout: a *descriptor* is an open file with what may be done
with it; *polled* means that the tree's poller tells when it is ready, other
descriptors (regular files above all) are read and written by a thread; *ours*
means that no other process shares its O_NONBLOCK flag; *d* is a descriptor,
*fd* what a poller was given.

The promises: nothing here blocks the loop; after an error event the component
is closed and the rest goes on; what was written before it was open is kept.

To use this file, copy it beside circuits.py, of the same version, with this
notice.  It needs Python 3.8 or newer and nothing else.
"""

# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the circuits-in-four-files authors

import errno
import os
import stat
import sys
import time
from _thread import allocate_lock
from _thread import start_new_thread
from collections import deque
from itertools import islice

__version__ = "2.1.0"   # of all four files; circuits.py must be the same
__sealed__ = "d649fea0fd1b9a1a7d3600fd7e4da7242e8ce1d0a0adafba1accf784ad7804da"

try:
    if __package__:                     # vendored: theirs.vendor.circuits_io
        from .circuits import __version__ as _core_version
    else:
        from circuits import __version__ as _core_version
except ModuleNotFoundError as _error:
    if _error.name is None or _error.name.rpartition(".")[2] != "circuits":
        raise
    raise ImportError("circuits_io.py needs circuits.py beside it: copy that file too") from _error
if _core_version != __version__:
    raise ImportError("circuits_io.py %s needs circuits.py of the same version, found %s: copy "
                      "both files from one release" % (__version__, _core_version))

if __package__:
    from .circuits import QUEUED as _QUEUED
    from .circuits import SPECIAL as _SPECIAL
    from .circuits import Component
    from .circuits import Event
    from .circuits import Read as PollRead
    from .circuits import TimeoutError
    from .circuits import Waiting
    from .circuits import _own_step
    from .circuits import handler
    from .circuits import keep_memory
    from .circuits import poller_of
    from .circuits import sleep
else:
    from circuits import QUEUED as _QUEUED
    from circuits import SPECIAL as _SPECIAL
    from circuits import Component
    from circuits import Event
    from circuits import Read as PollRead
    from circuits import TimeoutError
    from circuits import Waiting
    from circuits import _own_step
    from circuits import handler
    from circuits import keep_memory
    from circuits import poller_of
    from circuits import sleep

__all__ = (
    "Accessed", "AddPath", "Close", "Closed", "Command", "Config", "ConfigEvent", "Create",
    "Created", "Daemon", "Daemonize", "Daemonized", "DeletePID", "Deleted", "DropPrivileges",
    "EOF", "Environment", "EnvironmentEvent", "EnvironmentReady", "Error", "File", "Kill",
    "Load", "LoadEnvironment", "Log", "Logger", "Modified", "Moved", "Notify", "Open", "Opened",
    "Overflow", "Process", "Read", "Ready", "RemovePath", "Renamed", "Save", "Seek", "Serial",
    "Signal", "Start", "Started", "Startup", "StartupError", "Stop", "Stopped", "Terminate",
    "Terminated", "Unmounted", "Upgrade", "Verify", "Wait", "Write", "WritePID", "createFile",
    "running_pid", "sd_notify",
)

#: Bytes read at once: what a pipe of ours holds.  The 4096 of the documentation
#: would make 64 times as many events.
BUFSIZE = 1 << 18

#: Bytes that write() takes before its answer has to be waited for.
MAX_BUFFER = 1 << 20

#: Bytes whose read events may be incomplete before reading pauses.  Not less:
#: a handler may well wait for the next piece.
MAX_AHEAD = 1 << 20

#: Seconds that stopping waits for what is still to be written.
LINGER = 5.0


# ---------------------------------------------------------------------------
# 1. Events
#
# In the order of a life.  Channels tell apart what the same names mean for
# files, processes, folders and ports.
# ---------------------------------------------------------------------------

class Ready(Event):
    """The component is part of a tree and about to open: (component)."""


class Open(Event):
    """Open the file, or another one: (filename=None, mode=None, bufsize=None)."""


class Opened(Event):
    """It is open.

    File: (filename, mode).  Serial: (port, baudrate).  Notify: something was
    opened, (name, path, pathname, isdir).
    """


class Read(Event):
    """Bytes arrived: (data).

    A value that a handler returns is told in read_value_changed.
    """

    notify = True


class Write(Event):
    """Write *data*, bytes or text: (data).

    ``yield self.call(Write(data), channel)`` comes back at once while the
    buffer is small, else when it is small again.  The value is False if the
    file broke before.
    """


class Seek(Event):
    """Go to another place in the file: (offset, whence=0)."""


class EOF(Event):
    """There is nothing more to read."""


class Close(Event):
    """Close the file when all that was written is through."""


class Closed(Event):
    """It is closed.

    File: no arguments.  Serial: (port).  Notify: something that had been open
    was closed, (name, path, pathname, isdir).
    """


class Error(Event):
    """Something failed: (exception).

    Fired once per trouble on the component's own channel.  Mind that the core
    fires an event of the same name, with four arguments, when a handler
    raises: a handler on channel "*" hears both, so it takes *args.
    """


def _source_is(event, component):
    """Whether an event of a component's own life is for *component*.

    Those that share a channel hear each other's; events that a user fires
    have no source and are for all.
    """
    return getattr(event, "source", component) is component


def _fire_own(component, event):
    """Fire *event* on the channel as ever, but for *component* alone."""
    event.source = component
    component.fire(event, component.channel)


# ---------------------------------------------------------------------------
# 2. Descriptors and threads
#
# What is open, and how it is read and written without ever blocking the loop.
# Knows nothing of components but the reactor whose threads it uses.  A number
# is closed only when no thread uses it any more: it might be another file then.
# ---------------------------------------------------------------------------

# Bytes that a pipe takes whole once the poller says that it is writable.
_PIECE = 512 if sys.platform == "darwin" else 4096

_MAX_PIECES = 64            # per writev(); more gain nothing

# Bytes that a pipe is made to hold, where that can be set (Linux, F_SETPIPE_SZ):
# with the usual 64 KiB both sides wait for each other most of the time.
_PIPE_SIZE = 1 << 18

# Bytes per write: on a disk so that the thread gives way now and then; into a
# pipe because it takes no more at once.
_MAX_WRITE = {False: 1 << 20, True: _PIPE_SIZE}


_ACCESS = {"r": os.O_RDONLY, "w": os.O_CREAT | os.O_TRUNC, "a": os.O_CREAT | os.O_APPEND,
           "x": os.O_CREAT | os.O_EXCL}


def _flags_of(mode):
    """The flags of os.open() for a mode of open().

    >>> _flags_of("rb") & 3 == os.O_RDONLY, _flags_of("a+") & 3 == os.O_RDWR
    (True, True)
    """
    kind = [char for char in mode if char in _ACCESS]
    if len(kind) != 1 or set(mode) - set("rwax+btU"):
        raise ValueError("mode is one of r, w, a and x, with + and b or t if needed; got %r" % mode)
    access = os.O_RDWR if "+" in mode else os.O_RDONLY if kind == ["r"] else os.O_WRONLY
    return (_ACCESS[kind[0]] | access | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
            | getattr(os, "O_BINARY", 0))


def _is_pollable(number):
    """Whether a poller can wait for it; epoll refuses regular files and /dev/null."""
    if sys.platform == "win32":         # select() takes nothing but sockets there
        return False
    kind = os.fstat(number).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
        return True
    if not stat.S_ISCHR(kind):
        return False
    try:
        import select
    except ImportError:
        return False
    if not hasattr(select, "epoll"):
        return os.isatty(number)
    with select.epoll(1) as probe:
        try:
            probe.register(number)
        except PermissionError:
            return False
    return True


def _reopened(number, access):
    """Open a pipe or a terminal again, without blocking; None if that fails.

    O_NONBLOCK belongs to what several numbers, in several processes, share:
    set on an inherited one, the shell that started us would find it on its
    own terminal.
    """
    try:
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            path = "/proc/self/fd/%d" % number
        elif os.isatty(number):
            path = os.ttyname(number)
            if os.path.basename(path) == "ptmx":    # that would be a new terminal
                return None
        else:
            return None
        return os.open(path, access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return None


def _enlarge(number):
    """Make a pipe hold more; a user may have a share of large pipes only."""
    try:
        import fcntl
        if fcntl.fcntl(number, 1032) < _PIPE_SIZE:      # F_GETPIPE_SZ, named since 3.10
            fcntl.fcntl(number, 1031, _PIPE_SIZE)       # F_SETPIPE_SZ
    except (OSError, ImportError):
        pass


class _Descriptor:
    """An open file number.

    polled   the poller can wait for it
    ours     it does not block, and nobody else sees that
    endless  a thread that reads it may have to wait for ever
    """

    __slots__ = ("number", "polled", "ours", "endless", "source", "again", "users", "lock")

    def __init__(self, number, source=None, access=os.O_RDONLY):
        self.users = 0              # until all of this went well
        self.lock = allocate_lock()
        self.number = number
        self.source = source        # the file object or number it came from
        self.again = False          # number was opened again from that
        self.polled = _is_pollable(number)
        kind = os.fstat(number).st_mode
        self.endless = not (stat.S_ISREG(kind) or stat.S_ISBLK(kind))
        self.ours = not self.polled or not os.get_blocking(number)
        if not self.ours:
            number = _reopened(number, access)
            if number is not None:
                self.number = number
                self.again = self.ours = True
        if self.ours and self.polled and sys.platform == "linux":
            _enlarge(self.number)
        self.users = 1

    def hold(self):
        """One more user, who calls release(); False if it is closed already."""
        with self.lock:
            held = bool(self.users)
            self.users += held
            return held

    def release(self):
        """One user less; the last one closes."""
        with self.lock:
            if not self.users:
                return
            self.users -= 1
            if self.users:
                return
        self.shut()

    def shut(self):
        """Close it; the standard streams of the process stay as they are."""
        source, self.source = self.source, None
        if self.again or source is None:
            os.close(self.number)
        if isinstance(source, int):
            if source > 2:
                os.close(source)
        elif source is not None and source.fileno() > 2:
            source.close()

    def __del__(self):
        try:
            self.release()
        except (OSError, AttributeError, TypeError, ValueError):
            pass                    # half made, or the interpreter is going down

    def read(self, size):
        return os.read(self.number, size)

    def write(self, pieces):
        """Write some of *pieces*; returns how many bytes."""
        if not self.ours:
            return os.write(self.number, pieces[0][:_PIECE])
        if len(pieces) == 1 or not hasattr(os, "writev"):
            return os.write(self.number, pieces[0])
        return os.writev(self.number, pieces)

    def seek(self, offset, whence):
        return os.lseek(self.number, offset, whence)

    def sync(self):
        """Let what the file object holds go first, so that print() and Write mix."""
        if hasattr(self.source, "flush"):
            self.source.flush()

    def can_read(self, seconds=0):
        return _waits_for(self.number, "POLLIN", seconds)

    def can_write(self, seconds=0):
        return _waits_for(self.number, "POLLOUT", seconds)


def _waits_for(number, what, seconds):
    """Wait for one descriptor; for when there is no loop to do so, or it raced."""
    import select
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(number, getattr(select, what))
        return bool(poll.poll(int(seconds * 1000)))
    reading = [number] if what == "POLLIN" else []
    writing = [] if reading else [number]
    return any(select.select(reading, writing, [], seconds))


class _Stream(_Descriptor):
    """A file object without a number: a StringIO, the console of some host."""

    __slots__ = ("encoding", "text")

    def __init__(self, file, encoding):
        import io
        self.users = 1
        self.lock = allocate_lock()
        self.number = self.source = file
        self.encoding = encoding
        self.text = isinstance(file, io.TextIOBase) or not isinstance(file, io.IOBase)
        self.ours = self.endless = True
        self.polled = self.again = False

    def shut(self):
        self.sync()                 # its owner wants to look into it, and closes it

    def read(self, size):
        data = self.number.read(size) or b""
        return data.encode(self.encoding) if isinstance(data, str) else data

    def write(self, pieces):
        data = b"".join(pieces)
        self.number.write(data.decode(self.encoding, "replace") if self.text else data)
        return len(data)

    def seek(self, offset, whence):
        return self.number.seek(offset, whence)


def _open_path(path, mode, wait=False):
    """Open a path; returns a _Descriptor, or None for a FIFO without a reader.

    wait  wait for the reader
    """
    flags = _flags_of(mode)
    try:
        number = os.open(path, flags | (0 if wait else getattr(os, "O_NONBLOCK", 0)), 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISFIFO(os.stat(path).st_mode):
            return None
        raise
    try:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if wait:
            os.set_blocking(number, False)
        d = _Descriptor(number)
        if not d.polled and sys.platform != "win32":
            os.set_blocking(number, True)       # for the thread
        return d
    except BaseException:
        os.close(number)
        raise


def _adopt(file, mode, encoding):
    """The _Descriptor of a file object or of a number that is open already."""
    if isinstance(file, int):
        return _Descriptor(file, file, _flags_of(mode) & 3)
    try:
        number = file.fileno()
    except (AttributeError, OSError):
        return _Stream(file, encoding)
    except ValueError:
        raise OSError(errno.EBADF, "%r is closed" % file) from None
    d = _Descriptor(number, file, _flags_of(mode) & 3)
    d.sync()
    if stat.S_ISREG(os.fstat(number).st_mode) and _flags_of(mode) & 3 != os.O_WRONLY:
        try:                        # where its user is, not how far it read ahead
            d.seek(min(file.tell(), os.fstat(number).st_size), os.SEEK_SET)
        except (AttributeError, OSError):
            pass
    return d


class _Until(Waiting):
    """Wait in a list until condition() is true; see _settle."""

    __slots__ = ("condition", "waiters")

    def __init__(self, condition, waiters):
        super().__init__()
        self.condition = condition
        self.waiters = waiters

    def install(self):
        if self.condition():
            self.finish()
        else:
            self.waiters.append(self)

    def withdraw(self):
        if self in self.waiters:
            self.waiters.remove(self)


def _settle(waiters, outcome=None):
    """Let go of those whose condition came true."""
    for waiter in list(waiters):
        if waiter.condition():
            waiter.finish(outcome)


class _Threads:
    """Runs functions that may block; a thread ends when there is nothing to do.

    limit  threads at once; more would only wait for the same disk.  Functions
           that may wait for ever get a thread of their own.
    """

    def __init__(self, limit=8):
        self.limit = limit
        self.alive = 0
        self.jobs = deque()
        self.lock = allocate_lock()

    def submit(self, job, alone=False):
        if alone:
            return self._start(job)
        with self.lock:
            self.jobs.append(job)
            if self.alive >= self.limit:
                return
            self.alive += 1
        self._start(self._work)

    def _start(self, function):
        try:
            start_new_thread(function, ())
        except RuntimeError:        # no threads here: it has to block
            function()

    def _work(self):
        while True:
            with self.lock:
                if not self.jobs:
                    self.alive -= 1
                    return
                job = self.jobs.popleft()
            job()


_threads = {}               # id of the process -> its _Threads; a fork has none alive


class _InThread(Waiting):
    """Wait for function(*args) in a thread; *d* is kept open meanwhile.

    alone  it may wait for ever
    """

    __slots__ = ("function", "args", "d", "alone", "busy")

    def __init__(self, function, *args, d=None, alone=False):
        super().__init__()
        self.function = function
        self.args = args
        self.d = d
        self.alone = alone
        self.busy = allocate_lock()     # held until it is over

    def install(self):
        threads = _threads.get(os.getpid())
        if threads is None:
            _threads.clear()
            threads = _threads[os.getpid()] = _Threads()
        if self.d is not None and not self.d.hold():
            return self.finish(error=OSError(errno.EBADF, "it is closed"))
        self.busy.acquire()
        threads.submit(self._run, self.alone)

    def _run(self):
        outcome = error = None
        try:
            outcome = self.function(*self.args)
        except Exception as caught:
            error = caught
        if self.d is not None:
            self.d.release()
        self.finish(outcome, error)
        self.busy.release()

    def join(self, seconds):
        """Wait for the end of it, *seconds* at most; returns (over, outcome)."""
        if not self.begun or not self.busy.acquire(True, seconds):
            return False, None
        self.busy.release()
        if self.error is not None:
            raise self.error
        return True, self.outcome


# ---------------------------------------------------------------------------
# 3. Files and standard streams
#
# One component per open file, whatever it is: a pipe, a terminal, a device, a
# FIFO, a regular file.  Invariants: one job of a file is in a thread at a time;
# opened, eof, closed and error come once per opening; nothing follows closed.
# ---------------------------------------------------------------------------

# Errors that say no more than "the other side is gone": a pseudo-terminal
# whose program ended.
_GONE = (errno.EIO,)


class _Digestion:
    """Calls back when an event, and all that it caused, is done.

    To the reactor this is what caused the event, and ends when that does.  The
    reactor then asks whether its completion is to be told, which is our sign;
    making the event itself ask for that would show in what a Debugger prints.
    """

    __slots__ = ("callback", "size", "_cause", "_effects")

    def __init__(self, event, callback, size):
        self.callback = callback
        self.size = size
        self._effects = 1
        self._cause = event._cause
        event._cause = self
        event._effects = 1
        event._state = _SPECIAL

    @property
    def complete(self):
        self.callback(self.size)
        return False


def _mode_of(file, mode):
    """The mode of a file object; *mode* where it has none."""
    found = getattr(file, "mode", None)
    if not isinstance(found, str):
        return mode
    return "r+b" if "r" in found and "w" in found else found    # sockets say rwb


class File(Component):
    """Read and write a file without blocking the loop.

        File("/var/log/syslog").register(app)       # fires read(data), eof()

    filename    a path, a file object or a number; of a file object the mode,
                name and encoding are taken over, and it is closed with this;
                standard streams are left open
    mode        as for open(); text or binary makes no difference: read events
                carry bytes, write takes both
    bufsize     bytes read at once at most
    encoding    of text that is written; default UTF-8
    autoclose   close at the end of the file, unless the mode has "a" or "+";
                False keeps it open, and resume() reads what was added
    max_buffer  bytes to write beyond which ``yield self.call(Write(data))``
                waits until there are fewer
    max_ahead   bytes whose read events may be incomplete before reading
                pauses: what they caused, say a write, waits for something
    linger      seconds that stopping the system waits for pending writes

    To call or fire:  open, write, seek, close; to call: pause, resume, tell, fileno
    Fires:    ready(self), open(), opened(filename, mode), read(data), eof(),
              closed(), error(exception)
    Lines:    register a line protocol on the channel of the file

    It opens when it joins a tree, or as root when that runs.  What is written
    before is kept; close() waits until it is written.  After an error the file
    is closed, and further writes are dropped.  Files that share a channel all
    obey what is fired there.
    """

    channel = "file"

    def init(self, filename, mode="r", bufsize=BUFSIZE, encoding=None, channel=None, *,
             autoclose=True, max_buffer=MAX_BUFFER, max_ahead=MAX_AHEAD, linger=LINGER):
        if channel is not None:
            self.channel = channel
        self.autoclose = autoclose
        self.max_buffer = max_buffer
        self.linger = linger
        self.max_ahead = max_ahead
        self._ahead = 0                 # bytes of read events that are not complete
        self._out = deque()             # pieces to write, (offset, whence) to seek
        self._waiting = 0               # bytes of it
        self._seeks = 0
        self._waiters = []              # for room in the buffer, or the end
        self._d = None                  # the descriptor while it is open
        self._job = None                # the _InThread that is under way
        self._opening = False
        self._bait = None               # see _let_go_of_fifo
        self._working = False
        self._reading = False           # there may be more to read
        self._again = False             # resume() was called since the last read
        self._writing = False           # the poller tells when it can be written
        self._paused = False
        self._closing = False           # close() was called
        self._broken = False            # an error was told
        self._target(filename, mode, bufsize, encoding)

    def _target(self, filename, mode, bufsize, encoding=None):
        """Check and take what is to be opened."""
        self._path = None
        self._file = filename
        if isinstance(filename, (str, bytes, os.PathLike)):
            self._path = os.fspath(filename)
            self._name = filename
        elif not isinstance(filename, int):
            mode = _mode_of(filename, mode)
            self._name = getattr(filename, "name", repr(filename))
            encoding = encoding or getattr(filename, "encoding", None)
        else:
            self._name = filename
        _flags_of(mode)
        if not isinstance(bufsize, int) or bufsize < 1:
            raise ValueError("bufsize is a number of bytes of at least 1, got %r" % (bufsize,))
        self._mode = mode
        self.bufsize = bufsize
        self._encoding = encoding or sys.getdefaultencoding()

    @property
    def filename(self):
        return self._name

    @property
    def mode(self):
        return self._mode

    @property
    def closed(self):
        """True until it is opened, and again when it is closed."""
        return self._d is None

    @property
    def pending(self):
        """Bytes that are still to be written."""
        return self._waiting

    def __repr__(self):
        state = "closed" if self._d is None else "closing" if self._closing else "open"
        return "<%s/%s %r %s, %s>" % (self.name, self.channel, self._name, self._mode, state)

    # -- opening ------------------------------------------------------------

    @handler("registered", "started")
    def _on_joined(self, component, manager=None):
        if component is self and self._d is None and not self._opening:
            _fire_own(self, Ready(self))
            _fire_own(self, Open())

    @handler(False)
    def open(self, filename=None, mode=None, bufsize=None):
        """Open it (again), or another file; what is open is closed before."""
        self._closing = False
        _fire_own(self, Open(filename, mode, bufsize))

    @handler("open", "_open")
    def _on_open(self, event, filename=None, mode=None, bufsize=None):
        if not _source_is(event, self) or self._opening:
            return None
        if not hasattr(event, "source"):
            self._closing = False       # a user wants it open
        elif self._closing and self._path is not None and not self._out:
            return None                 # closed, with nothing to write, before it came to this
        if filename is not None or mode or bufsize:
            self._target(self._file if filename is None else filename, mode or self._mode,
                         bufsize or self.bufsize)
        return self._open()

    _on_open = _own_step(_on_open)

    def _open(self):
        """Open, in a thread if it is a path: a disk may be slow."""
        self._opening = True
        try:
            if self._d is not None:
                yield _Until(self._is_idle, self._waiters)
            if self._d is not None:
                self._shut()
            self._broken = False
            if self._path is None:
                d = _adopt(self._file, self._mode, self._encoding)
            else:
                d = yield self._in_thread(*self._opener())
                if d is None:           # a FIFO that nobody reads yet
                    d = yield self._in_thread(_open_path, self._path, self._mode, True, alone=True)
            if self._opening:           # stopping did not take it: see _drain
                self._take(d)
        except OSError as error:
            self._fail(error)
        finally:
            self._opening = False
            self._job = None
            if self._bait is not None:
                os.close(self._bait)
                self._bait = None
            _settle(self._waiters)

    def _opener(self):
        """To override: the function that opens the path in a thread, and its arguments."""
        return _open_path, self._path, self._mode

    def _opened(self):
        """To override: the event that says so."""
        return Opened(self._name, self._mode)

    def _closed(self):
        """To override: the event that says so."""
        return Closed()

    def _in_thread(self, function, *args, alone=False):
        self._job = _InThread(function, *args, d=self._d, alone=alone)
        return self._job

    def _take(self, d):
        """It is open: start with what waits to be done."""
        self._opening = False
        self._d = d
        self._reading = "r" in self._mode or "+" in self._mode
        keep_memory()
        self.fire(self._opened(), self.channel)
        if self._out:
            self._flush()
        self._read_on()
        self._maybe_shut()

    # -- reading ------------------------------------------------------------

    @handler(False)
    def pause(self):
        """Read no more until resume()."""
        self._paused = True
        self._unwatch()

    @handler(False)
    def resume(self):
        """Read on, after pause() or at what was added after the end."""
        self._paused = False
        self._reading = "r" in self._mode or "+" in self._mode
        self._again = True
        self._read_on()

    @handler(False)
    def tell(self):
        """The place in the file up to which it was read or written."""
        if self._d is None:
            raise ValueError("%r is not open" % self)
        return self._d.seek(0, os.SEEK_CUR)

    @handler(False)
    def fileno(self):
        """The number of the open file, to look at; it is not yours to close."""
        if self._d is None:
            raise ValueError("%r is not open" % self)
        return self._d.number

    def _wants_read(self):
        return (self._reading and self._ahead <= self.max_ahead
                and not (self._paused or self._closing or self._opening))

    def _read_on(self):
        d = self._d
        if d is None or not self._wants_read():
            return
        if not d.polled:
            self._work_on()
            return
        try:
            poller_of(self).addReader(self, d.number)
        except OSError as error:
            self._fail(error)

    def _unwatch(self):
        if self._d is not None and self._d.polled:
            poller_of(self).removeReader(self._d.number)

    @handler("_read", priority=1)
    def _on_read(self, fd):
        d = self._d
        if d is None or fd != d.number:
            return None
        return self._read_ready(fd) if d.polled else self._work(d)

    @handler("_disconnect", priority=1)
    def _on_disconnect(self, fd):
        if self._d is not None and fd == self._d.number:
            self._hung_up(fd)

    _on_read = _own_step(_on_read)
    _on_disconnect = _own_step(_on_disconnect)

    def _read_ready(self, fd):
        """The poller says that there is something to read, or the end."""
        d = self._d
        if d is None or fd != d.number or not self._may_read():
            return
        try:
            if not d.ours and not d.can_read():
                return                  # another reader was faster
            data = os.read(fd, self.bufsize)
        except BlockingIOError:
            return
        except OSError as error:
            return self._at_end() if error.errno in _GONE else self._fail(error)
        if data:
            self._deliver(data)
        else:
            self._at_end()

    def _hung_up(self, fd):
        self._read_ready(fd)

    def _may_read(self):
        """Whether more may be read now; if not, the poller need not tell."""
        if self._wants_read():
            return True
        self._unwatch()
        return False

    def _deliver(self, data):
        """Hand on what was read, and count it until all that it causes is done.

        So whoever waits for room to write, however many events away, holds up
        the reading: memory stays bounded.
        """
        reactor = self._reactor
        event = reactor.tell(self, Read, self.channel, data)
        if event is not None and event._state == _QUEUED:
            _Digestion(event, self._digested, len(data))
            self._ahead += len(data)

    def _digested(self, size):
        before = self._ahead
        self._ahead -= size
        if before > self.max_ahead >= self._ahead:
            self._read_on()

    def _at_end(self):
        if not self._reading:
            return
        self._reading = False
        self._unwatch()
        self.fire(EOF(), self.channel)
        if self.autoclose and not set("a+") & set(self._mode):
            self.close()

    # -- writing ------------------------------------------------------------

    @_own_step
    @handler("write")
    def write(self, data):
        """Write bytes or text, as soon as the file takes it.

        False if the file broke before.  While the buffer is full, a Waiting
        that is over when there is room.
        """
        if isinstance(data, str):
            data = data.encode(self._encoding, "replace")
        elif not isinstance(data, bytes):
            if not isinstance(data, (bytearray, memoryview)):
                raise TypeError("a File writes bytes or text, got %r" % type(data))
            data = bytes(data)          # it may change before it is written
        if self._broken:
            return False
        if self._mode.strip("btU") == "r":
            raise ValueError("%r is open for reading only" % self)
        if self._closing:
            raise ValueError("write to %r, which was closed" % self)
        if not data:
            return None
        self._out.append(data)
        self._waiting += len(data)
        if self._d is not None:
            self._flush()
        return None if self._has_room() else _Until(self._has_room, self._waiters)

    def _has_room(self):
        return self._waiting <= self.max_buffer

    def _is_idle(self):
        """Whether all is written, and no thread reads (it might for ever: see endless)."""
        return not self._out and (not self._working or self._d.endless)

    def _is_shut(self):
        return self._d is None and not self._opening

    def _flush(self):
        """Write what waits: at once if the file takes it, else when it can."""
        d = self._d
        if not d.polled:
            return self._work_on()
        try:
            d.sync()
            if d.ours and not self._writing:
                self._write_ready(d.number)
            if self._out and self._d is d and not self._writing:
                self._writing = True
                poller_of(self).addWriter(self, d.number)
        except OSError as error:
            self._fail(error)

    @handler("_write", priority=1)
    def _on_write(self, fd):
        self._write_ready(fd)

    _on_write = _own_step(_on_write)

    def _write_ready(self, fd):
        """The poller says that something can be written, or never will be."""
        d = self._d
        if d is None or fd != d.number:
            return
        try:
            while self._out:
                pieces, size = self._pieces()
                count = d.write(pieces)
                self._wrote(count)
                if count < size or not d.ours:
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            return self._fail(error)
        if self._writing and not self._out:
            self._writing = False
            poller_of(self).removeWriter(fd)
        self._maybe_shut()

    def _pieces(self):
        """What to write next: (pieces, bytes in them)."""
        most = _MAX_WRITE[self._d.polled]
        pieces = []
        size = 0
        for piece in islice(self._out, _MAX_PIECES):
            if isinstance(piece, tuple) or size >= most:
                break
            pieces.append(piece[:most] if len(piece) > most else piece)
            size += len(pieces[-1])
        return pieces, size

    def _wrote(self, count):
        """So many bytes of the buffer are written."""
        out = self._out
        self._waiting -= count
        while count:
            piece = out[0]
            if count < len(piece):
                out[0] = memoryview(piece)[count:]
                break
            count -= len(piece)
            out.popleft()
        if self._waiters:
            _settle(self._waiters)

    @_own_step
    @handler("seek")
    def seek(self, offset, whence=0):
        """Go to another place, after what was written before, and read on from there."""
        if self._d is not None and self._d.polled:
            return self._complain(OSError(errno.ESPIPE, os.strerror(errno.ESPIPE), self._name))
        self._out.append((offset, whence))
        self._seeks += 1
        if self._d is not None:
            self._work_on()
        return None

    # -- what cannot be polled ----------------------------------------------

    def _work_on(self):
        """Have a thread do what is to be done; the task is one _read event."""
        if not self._working and self._d is not None:
            self._working = True
            self.fire(PollRead(self._d.number), self.channel)

    def _work(self, d):
        """Do what is to be done: writes and seeks in order, then reads."""
        try:
            while self._d is d and (self._out or self._wants_read()):
                if self._out:
                    yield from self._work_out(d)
                else:
                    yield from self._work_in(d)
        except OSError as error:
            if self._d is d:
                self._fail(error)
        finally:
            self._working = False
            self._job = None
        _settle(self._waiters)
        self._maybe_shut()

    def _work_out(self, d):
        item = self._out[0]
        if isinstance(item, tuple):
            yield self._in_thread(d.seek, *item)
            if self._d is d:
                self._out.popleft()
                self._seeks -= 1
                self.resume()
            return
        d.sync()
        count = yield self._in_thread(d.write, self._pieces()[0], alone=d.endless)
        if self._d is d:
            self._wrote(count)

    def _work_in(self, d):
        self._again = False
        data = yield self._in_thread(d.read, max(self.bufsize, BUFSIZE), alone=d.endless)
        if self._d is not d or self._seeks:
            return                      # it is from where we were before
        for start in range(0, len(data), self.bufsize):
            self._deliver(data[start:start + self.bufsize])
        if not data and not self._again:
            self._at_end()

    # -- closing ------------------------------------------------------------

    @handler(False)
    def close(self):
        """Close it when all that was written is through; again: no harm."""
        self._closing = True
        self._unwatch()
        if self._opening and not self._out:
            self._let_go_of_fifo()
        self._maybe_shut()

    def _let_go_of_fifo(self):
        """End a thread that waits for somebody to read a FIFO: be that, until it did."""
        job = self._job
        if job is not None and job.alone and self._bait is None:
            try:
                self._bait = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:             # it was removed meanwhile
                pass

    def _maybe_shut(self):
        if self._closing and self._d is not None and not self._out:
            self._shut()

    def _shut(self):
        """Close it now."""
        d, self._d = self._d, None
        self._reading = self._writing = False
        if d.polled and self._reactor.poller is not None:
            self._reactor.poller.discard(d.number)
        try:
            d.release()
        except OSError as error:        # NFS reports a full disk here
            self._complain(error)
        self._reactor.told.pop(self.channel, None)
        self.fire(self._closed(), self.channel)
        _settle(self._waiters)

    def _complain(self, error):
        """Tell an error, once per opening."""
        if not self._broken:
            self.fire(Error(error), self.channel)

    def _fail(self, error):
        """It is of no use any more: tell, drop what waits, close."""
        self._complain(error)
        self._broken = True
        self._drop()
        self._closing = True
        if self._d is not None:
            self._shut()
        _settle(self._waiters)

    def _drop(self):
        """Forget what waits to be done."""
        self._out.clear()
        self._waiting = self._seeks = 0

    @handler("close")
    def _on_close(self, event, *args):
        if _source_is(event, self):
            return self._close_now() if hasattr(event, "source") else self.close()
        return None

    _on_close = _own_step(_on_close)

    @handler("stopped", channel="*")
    def _on_stopped(self, component):
        if component is self.root:      # not some process that ended
            _fire_own(self, Close())    # after what others write when they stop

    @_own_step
    @handler("prepare_unregister", channel="*")
    def _on_prepare_unregister(self, event, component):
        if not event.in_subtree(self):
            return None
        self.close()
        if self._is_shut():
            return None
        self._reactor.call_later(self.linger, self._close_late, self._d)
        return _Until(self._is_shut, self._waiters)

    def _close_late(self, d):
        """It takes too long, unless it was opened anew meanwhile."""
        if self._closing and self._d is d:
            self._close_now(0)

    def _close_now(self, linger=None):
        """Write what is left, without the loop, and close."""
        self._closing = True
        try:
            self._drain(time.monotonic() + (self.linger if linger is None else linger))
        except OSError as error:
            return self._fail(error)
        if self._out:
            return self._fail(OSError(errno.ETIMEDOUT, "%d bytes could not be written in %g s" % (
                self._waiting, self.linger), self._name))
        self._maybe_shut()
        return None

    def _drain(self, deadline):
        job = self._job
        if self._opening and job is not None:
            if not self._out:
                self._let_go_of_fifo()
            _, d = job.join(max(0, deadline - time.monotonic()))
            if d is not None:
                self._take(d)
        elif self._out and self._working and job is not None and job.begun:
            over, count = job.join(max(0, deadline - time.monotonic()))
            if over and job.function == self._d.write:
                self._wrote(count)
            elif over and job.function == self._d.seek:
                self._out.popleft()
        d = self._d
        while d is not None and self._out and time.monotonic() < deadline:
            if isinstance(self._out[0], tuple):
                d.seek(*self._out.popleft())
            elif not d.polled or d.can_write(max(0, deadline - time.monotonic())):
                try:
                    self._wrote(d.write(self._pieces()[0]))
                except BlockingIOError:
                    pass

    def _moved(self, old):
        """Another tree has another poller, and tasks do not move along."""
        d = self._d
        if d is None or old.root._reactor is not old:
            return                      # the trees were joined: nothing changes
        if d.polled and old.poller is not None:
            old.poller.discard(d.number)
        self._writing = False
        if self._out:
            self._flush()
        self._read_on()


# -- standard streams --------------------------------------------------------

_STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}


def __getattr__(name):
    """stdin, stdout and stderr are made on first use: importing touches no stream.

    A process without them (pythonw) reads the end at once, and writes nowhere.
    """
    if name in _STREAMS:
        stream = getattr(sys, name)
        made = File(os.devnull if stream is None else stream, _STREAMS[name], channel=name)
        return globals().setdefault(name, made)
    if name in _LOWER:
        return globals()[_LOWER[name]]
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


# ---------------------------------------------------------------------------
# 4. Processes
#
# A component per child.  Its three pipes are Files on channels of their own;
# its end is told by the kernel (a pidfd) or by a thread that waits for it, and
# by nothing that would take the status of other children.
# ---------------------------------------------------------------------------

#: Bytes of each output that are collected; more is still told in read events.
MAX_OUTPUT = 8 << 20

#: Seconds between asking a process to stop and killing it, as docker has it.
KILL_AFTER = 10.0

# Seconds that the end of the system may wait for children, all together.
_LAST_WAIT = 3.0


class Start(Event):
    """Start the process."""


class Stop(Event):
    """Ask the process to end: SIGTERM, and SIGKILL if that does not help."""


class Kill(Event):
    """End the process now: SIGKILL."""


class Signal(Event):
    """Send the process a signal: (signum).

    Only handlers bound to its channel hear this: the system has an event of
    that name, too.
    """

    exact = True


class Wait(Event):
    """Wait for the end of the process; the value is its status."""


class Started(Event):
    """The process runs: (process).

    The name is that of the event with which a system starts.  Only handlers
    bound to the channel of the process hear this one.
    """

    exact = True


class Terminated(Event):
    """The process ended and its output is complete: (process)."""


class Stopped(Event):
    """What Terminated was called first: (process).

    The name is that of the event with which a system stops; see Started.
    """

    exact = True


class _Pipe(File):
    """One end of a process, which hears of it before everybody else."""

    def init(self, process, name, file, mode, **options):
        self.process = process
        self.end = name
        super().init(file, mode, **options)
        # The process closes it in time; two hundred of them need not look at
        # each component that leaves.
        self.removeHandler(self._on_stopped)
        self.removeHandler(self._on_prepare_unregister)

    def _deliver(self, data):
        self.process._collect(self.end, data)
        super()._deliver(data)

    def _shut(self):
        super()._shut()
        self.process._pipe_closed()


class Process(Component):
    """Run a program, talk to it, and hear how it ends.

        date = Process(["date"]).register(app)
        date.start()
        status = yield date.wait()
        print(date.stdout.getvalue())

    args        list of strings, or the command line of a shell with shell=True
    cwd, env    its folder and environment; default: ours
    timeout     seconds it may run; then error(TimeoutError) is fired and it is
                stopped; default: for ever
    kill_after  seconds after stop() until it is killed; None: never
    group       give it a process group, so that what it started itself gets
                its signals too; False leaves it in ours
    pty         run it on a terminal of its own; its errors are in stdout then
    max_output  bytes of stdout and of stderr to collect; see truncated
    linger      seconds from its end, or from its last output after that, until
                pipes that something it left behind still holds are closed

    To call or fire:  start, stop, kill, signal, write, close, wait
    Fires:    started(self), terminated(self), stopped(self), error(exception);
              its files on "<pid>.stdin", "<pid>.stdout" and "<pid>.stderr"
              fire what files do, above all read(data)
    Has:      p (a subprocess.Popen), status, alive, stdout and stderr (BytesIO
              of what was collected), truncated, timed_out

    close() ends its input.  wait() blocks nothing: yield it.  When the system
    stops or the component leaves the tree, the process is stopped.
    """

    channel = "process"

    def init(self, args, cwd=None, shell=False, channel=None, *, env=None, timeout=None,
             kill_after=KILL_AFTER, group=True, pty=False, max_output=MAX_OUTPUT,
             bufsize=BUFSIZE, max_buffer=MAX_BUFFER, linger=LINGER):
        if channel is not None:
            self.channel = channel
        self.args = args
        self.cwd = cwd
        self.shell = shell
        self.env = env
        self.timeout = timeout
        self.kill_after = kill_after
        self.group = group
        self.pty = pty
        self.max_output = max_output
        self.linger = linger
        self.p = None
        self._options = {"bufsize": bufsize, "max_buffer": max_buffer, "linger": linger}
        self._waiters = []
        self._reset()

    def _reset(self):
        import io
        self.stdout = io.BytesIO()
        self.stderr = io.BytesIO()
        self.truncated = False
        self.timed_out = False
        self._files = {}                # name -> _Pipe
        self._exit = None               # what the poller or the thread tells of
        self._timers = {}               # what for -> entry of the reactor
        self._parting = False           # it leaves the tree: no time for slow readers
        self._ended = True

    @property
    def status(self):
        """The exit status; minus the signal that ended it; None before."""
        return None if self.p is None else self.p.returncode

    @property
    def alive(self):
        """Whether it runs, or its output is not complete."""
        return not self._ended

    def __repr__(self):
        state = "new" if self.p is None else "pid %d" % self.p.pid if self.alive else (
            "status %s" % self.status)
        return "<%s/%s %r %s>" % (self.name, self.channel, self.args, state)

    # -- starting -----------------------------------------------------------

    @handler("start")
    def start(self):
        """Start it; again, once it ended.  What is missing is an error event."""
        if self.alive:
            raise RuntimeError("%r is running: stop() it first, or make another Process" % self)
        self._reset()
        try:
            files = self._spawn()
        except OSError as error:
            self.p = None
            self._fail(error)
            _settle(self._waiters)
            return
        self._ended = False
        for name, (file, mode) in files.items():
            pipe = _Pipe(self, name, file, mode, channel="%d.%s" % (self.p.pid, name),
                         **self._options)
            self._files[name] = pipe.register(self)
        self._watch_exit()
        if self.timeout is not None:
            self._after("timeout", self.timeout, self._too_long)
        self.fire(Started(self), self.channel)

    def _spawn(self):
        """Make the child; returns {name: (file, mode)} of our ends."""
        try:
            from subprocess import PIPE
            from subprocess import Popen
        except ImportError as error:
            raise OSError(errno.ENOSYS, "this Python has no subprocess module") from error
        options = {"cwd": self.cwd, "env": self.env, "shell": self.shell, "bufsize": 0}
        if self.pty:
            return self._spawn_on_pty(Popen, options)
        if self.group and sys.platform == "win32":
            options["creationflags"] = 0x200        # CREATE_NEW_PROCESS_GROUP
        elif self.group:
            options["start_new_session"] = True
        self.p = p = Popen(self.args, stdin=PIPE, stdout=PIPE, stderr=PIPE, **options)
        files = {"stdin": (p.stdin, "wb"), "stdout": (p.stdout, "rb"), "stderr": (p.stderr, "rb")}
        if sys.platform != "win32":
            for file, _ in files.values():
                os.set_blocking(file.fileno(), False)
        return files

    def _spawn_on_pty(self, Popen, options):
        if not hasattr(os, "openpty"):
            raise OSError(errno.ENOSYS, "this platform has no pseudo-terminals")
        from fcntl import ioctl
        from termios import TIOCSCTTY
        ours, theirs = os.openpty()
        try:
            self.p = Popen(self.args, stdin=theirs, stdout=theirs, stderr=theirs,
                           start_new_session=True,
                           preexec_fn=lambda: ioctl(0, TIOCSCTTY, 0), **options)
            os.set_blocking(ours, False)
            return {"stdin": (os.dup(ours), "wb"), "stdout": (ours, "rb")}
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)

    @handler(False)
    def resize(self, rows, columns):
        """Tell its terminal (pty=True) how large it is."""
        if not self.pty or self._ended:
            raise ValueError("%r has no terminal" % self)
        from fcntl import ioctl
        from struct import pack
        from termios import TIOCSWINSZ
        ioctl(self._files["stdout"]._file, TIOCSWINSZ, pack("HHHH", rows, columns, 0, 0))

    # -- talking ------------------------------------------------------------

    @handler("write")
    def write(self, data):
        """Write to its input, as an event on "<pid>.stdin" if somebody listens there."""
        if self.p is None:
            raise RuntimeError("%r is not running: start() it first" % self)
        file = self._files.get("stdin")
        if file is None or file._closing:
            return False
        if self._reactor.heard("write", (file.channel,)):
            event = Write(data)         # now: close() may follow
            self.fire(event, file.channel)
            return self.wait(event)
        return file.write(data)

    @handler("close")
    def close(self):
        """End its input, when all that was written is through."""
        file = self._files.get("stdin")
        if file is None or file._closing:
            return
        if self.pty:                    # what ^D sends: it is its output, too
            self.fire(Write(b"\x04"), file.channel)
        else:
            self.fire(Close(), file.channel)

    def _collect(self, name, data):
        """Keep a piece of output, up to the limit."""
        kept = getattr(self, name)
        room = self.max_output - kept.seek(0, os.SEEK_END)
        if len(data) > room:
            self.truncated = True
            data = data[:max(0, room)]
        kept.write(data)
        if self._exit is None:
            self._linger()              # it still comes: wait on

    @handler("signal")
    def signal(self, signum, *system):
        """Send it (and what it started) a signal; False if it has ended."""
        if system:                      # that one tells what our own process got
            return None
        if self._ended or self.p is None:
            return False
        try:
            if self.group and hasattr(os, "killpg"):
                os.killpg(self.p.pid, signum)
            else:
                self.p.send_signal(signum)
        except ProcessLookupError:
            return False
        except OSError as error:
            self._fail(error)
            return False
        return True

    @handler("kill")
    def kill(self):
        """End it now."""
        return self.signal(_signum("SIGKILL"))

    @handler("stop")
    def stop(self, code=None):
        """Ask it to end; it is killed if it does not within kill_after seconds.

        Of a Process that is the root of a running system, this stops the system.
        """
        if self.running:
            super().stop(code)
        if not self.signal(_signum("SIGTERM")):
            return
        if hasattr(os, "killpg"):
            self.signal(_signum("SIGCONT"))         # it may be suspended
        if self.kill_after is not None:
            self._after("kill", self.kill_after, self.kill)

    @handler(False)
    def wait(self, event=None, *channels, timeout=None):
        """Wait for its end: ``status = yield process.wait()``.

        With an event or its name: for that, as every component does.
        """
        if event is not None:
            return super().wait(event, *channels, timeout=timeout)
        return self._wait_for_end()

    @handler("wait")
    def _wait_for_end(self):
        yield _Until(self._has_ended, self._waiters)
        return self.status

    def _has_ended(self):
        return self._ended

    # -- its end ------------------------------------------------------------

    def _watch_exit(self):
        """Have the kernel tell when it ends; else a thread that waits."""
        pid = self.p.pid
        try:
            self._exit = os.pidfd_open(pid)
        except (AttributeError, OSError):       # an old kernel, another system
            self._exit = object()
            start_new_thread(_tell_exit, (self, self.p, self._exit))
        else:
            poller_of(self).addReader(self, self._exit)

    @handler("_read", priority=1)
    def _on_read(self, fd):
        if fd == self._exit:
            self._read_ready(fd)

    _on_read = _own_step(_on_read)

    def _read_ready(self, fd):
        """It ended, says the kernel or the thread."""
        if fd != self._exit or self.p.poll() is None:
            return
        self._unwatch()
        self._cancel("timeout")
        self._drop_input()
        self._pipe_closed()
        self._linger()

    def _drop_input(self):
        """Nobody will read what waits to be written."""
        file = self._files.get("stdin")
        if file is not None:
            file._drop()
            file.close()

    def _unwatch(self):
        exit, self._exit = self._exit, None
        if isinstance(exit, int):
            if self._reactor.poller is not None:
                self._reactor.poller.discard(exit)
            os.close(exit)

    def _moved(self, old):
        if isinstance(self._exit, int) and old.root._reactor is old:
            if old.poller is not None:
                old.poller.discard(self._exit)
            poller_of(self).addReader(self, self._exit)

    def _linger(self):
        if not self._ended:
            self._after("linger", self.linger, self._lingered)

    def _lingered(self):
        """Close its files, but lose no output that we were too slow to read."""
        del self._timers["linger"]
        for name in ("stdout", "stderr"):
            file = self._files.get(name)
            if file is None or file._closing:
                continue
            if file._d is None or file._ahead > file.max_ahead and not self._parting:
                self._after("linger", max(self.linger, 0.1), self._lingered)
            elif file._d.polled:        # open, and not held up
                file._read_ready(file._d.number)
        if not (self._ended or "linger" in self._timers):
            self._close_files()

    def _close_files(self):
        for file in list(self._files.values()):
            file.close()

    def _pipe_closed(self):
        """It is over when it has exited and its output is complete."""
        if self._ended or self._exit is not None:
            return
        for name in ("stdout", "stderr"):
            file = self._files.get(name)
            if file is not None and not (file.closed and file._closing):
                return
        self._ended = True
        for what in list(self._timers):
            self._cancel(what)
        self.fire(Terminated(self), self.channel)
        self.fire(Stopped(self), self.channel)
        for file in self._files.values():
            file.unregister()
        _settle(self._waiters)

    def _too_long(self):
        self.timed_out = True
        self._fail(TimeoutError("%r runs longer than %g s" % (self.args, self.timeout)))
        self.stop()

    def _fail(self, error):
        self.fire(Error(error), self.channel)

    def _after(self, what, seconds, callback):
        self._cancel(what)
        self._timers[what] = self._reactor.call_later(seconds, callback)

    def _cancel(self, what):
        entry = self._timers.pop(what, None)
        if entry is not None:
            self._reactor.cancel(entry)

    # -- the end of the system ----------------------------------------------

    @handler("stopped", channel="*", priority=1)
    def _on_stopped(self, event, component):
        if component is self.root and self.alive:
            event.deadline = time.monotonic() + _LAST_WAIT
            self.stop()

    @handler("stopped", channel="*", priority=-1)
    def _on_last_wait(self, event, component):
        """Wait for it, after all of them were asked to stop."""
        if component is not self.root or not self.alive:
            return
        from subprocess import TimeoutExpired
        self._unwatch()
        try:
            self.p.wait(max(0, event.deadline - time.monotonic()))
        except TimeoutExpired:
            self.kill()
            self.p.wait()
        self._drop_input()
        self._close_files()
        self._pipe_closed()

    @_own_step
    @handler("prepare_unregister", channel="*")
    def _on_prepare_unregister(self, event, component):
        if event.in_subtree(self) and self.alive:
            self._parting = True
            self.stop()
            return self._wait_for_end()
        return None


def _signum(name):
    """The number of a signal; Windows has SIGTERM alone, which kills."""
    import signal
    return getattr(signal, name, signal.SIGTERM)


def _tell_exit(process, p, token):
    """Wait in a thread until *p* ends; the loop then takes its status."""
    try:
        os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)
    except (AttributeError, ChildProcessError):
        p.wait()
    process.fire(PollRead(token), process.channel)


# ---------------------------------------------------------------------------
# 5. Watching folders: inotify
#
# Linux tells each step.  Folders are watched one by one, so new ones have to be
# found in time.  Invariant: what is in a new folder is told once, whether it
# was made before or after we looked.
# ---------------------------------------------------------------------------

class Created(Event):
    """A file or folder was made: (name, path, pathname, isdir).

    name      in the folder; "" for what is watched itself
    path      the folder
    pathname  both together
    isdir     whether it is a folder
    """


class Deleted(Event):
    """A file or folder was removed: (name, path, pathname, isdir)."""


class Moved(Event):
    """A file or folder was moved away from, or to, this: (name, path, pathname, isdir)."""


class Renamed(Event):
    """Both ends of a move are watched: (source, destination, isdir), pathnames."""


class Modified(Event):
    """A file, or what is known about it, changed: (name, path, pathname, isdir)."""


class Accessed(Event):
    """A file was read: (name, path, pathname, isdir)."""


class Unmounted(Event):
    """What holds a watched path was unmounted: (name, path, pathname, isdir)."""


class Overflow(Event):
    """More happened than the system remembers; (path) or () for all.

    What was made or removed meanwhile is told afterwards, other changes are
    lost.
    """


# From linux/inotify.h.  The masks mean the same for the other back ends.
_ACCESS_BIT, _MODIFY, _ATTRIB, _CLOSE_WRITE, _CLOSE_NOWRITE, _OPEN_BIT, _MOVED_FROM, _MOVED_TO, \
    _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = (1 << bit for bit in range(12))
_UNMOUNT, _Q_OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_ONLYDIR, _DONT_FOLLOW, _ISDIR = 0x01000000, 0x02000000, 0x40000000
_STRUCTURE = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF

#: Which event tells of which bit of inotify, in the order in which they are looked at.
EVENT_MAP = {
    _CREATE: Created, _MOVED_FROM: Moved, _MOVED_TO: Moved, _MOVE_SELF: Moved, _OPEN_BIT: Opened,
    _ACCESS_BIT: Accessed, _MODIFY: Modified, _ATTRIB: Modified, _CLOSE_WRITE: Closed,
    _CLOSE_NOWRITE: Closed, _DELETE: Deleted, _DELETE_SELF: Deleted, _UNMOUNT: Unmounted,
}

#: All that can be told, which is what add_path() asks for by default.
MASK = sum(EVENT_MAP) & 0xfff

# Seconds between the two halves of a move; they are queued one after the other.
_PAIRING = 0.1

_INOTIFY_READS = 64         # of 64 KiB, before what was read is told


def _entries(path):
    """[(name, isdir)] of a folder; links are not followed."""
    with os.scandir(path) as found:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]


def _is_below(path, folder):
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


class _Inotify:
    """The system call, through the C library."""

    def __init__(self):
        import ctypes
        import struct
        libc = ctypes.CDLL(None, use_errno=True)
        self._errno = ctypes.get_errno
        self._add = libc.inotify_add_watch      # AttributeError: another system
        self._remove = libc.inotify_rm_watch
        self._head = struct.Struct("iIII")
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(self._errno(), os.strerror(self._errno()))

    def add(self, path, mask):
        """Watch *path*; returns its number."""
        number = self._add(self.fd, os.fsencode(path), mask)
        if number < 0:
            code = self._errno()
            text = os.strerror(code)
            if code == errno.ENOSPC:
                text = "too many watches: raise fs.inotify.max_user_watches"
            raise OSError(code, text, path)
        return number

    def remove(self, number):
        self._remove(self.fd, number)           # it may be gone already

    def read(self):
        """All that happened: [(number, mask, cookie, name)]."""
        found = []
        unpack = self._head.unpack_from
        size = self._head.size
        for _ in range(_INOTIFY_READS):
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                break
            at = 0
            while at < len(data):
                number, mask, cookie, length = unpack(data, at)
                at += size
                name = data[at:at + length].rstrip(b"\0")
                at += length
                found.append((number, mask, cookie, os.fsdecode(name)))
        return found

    def close(self):
        os.close(self.fd)


class _Watch:
    """One watched file or folder.

    names  what a folder holds, as far as we know: after an overflow the rest
           is news
    told   names that a look at a new folder found; inotify may tell them again
    """

    __slots__ = ("path", "number", "mask", "recursive", "isdir", "top", "names", "told")

    def __init__(self, path, number, mask, recursive, isdir, top):
        self.path = path
        self.number = number
        self.mask = mask
        self.recursive = recursive
        self.isdir = isdir
        self.top = top              # the user named it; others were found below
        self.names = {}
        self.told = set()


class _InotifyWatcher:
    """Watches trees with inotify.

    tell(cls, name, path, isdir) and fail(error) say what happened.
    """

    def __init__(self, notify):
        self.notify = notify
        self.system = _Inotify()
        self.fd = self.system.fd
        self.watches = {}           # number -> _Watch
        self.numbers = {}           # path -> number
        self.moving = {}            # cookie -> pathname of what left some place
        self.looked = []            # watches with told names, since the last read
        self.complained = set()     # errnos, so that a tree of folders tells once

    def add(self, path, mask, recursive, auto_add):
        self.complained.clear()
        isdir = os.path.isdir(path)
        watch = self._watch(path, mask, recursive and isdir and auto_add, isdir, top=True)
        if recursive and isdir:
            self._descend(path, mask, auto_add, news=False)
        elif isdir:
            self._look(watch, _entries(path), news=False)

    def _watch(self, path, mask, recursive, isdir, top=False):
        flags = _STRUCTURE if isdir else 0
        if not top:
            flags |= _ONLYDIR | _DONT_FOLLOW
        number = self.system.add(path, mask | flags)
        old = self.watches.get(number)
        if old is not None:
            self.numbers.pop(old.path, None)
            top = top or old.top
        watch = _Watch(path, number, mask, recursive, isdir, top)
        if old is not None and old.path == path:
            watch.names, watch.told = old.names, old.told
        self.watches[number] = watch
        self.numbers[path] = number
        return watch

    def _descend(self, path, mask, auto_add, news):
        """Watch all folders below *path*, which is watched; tell what is *news*."""
        folders = [path]
        while folders:
            folder = folders.pop()
            try:
                watch = self.watches.get(self.numbers.get(folder))
                if watch is None or not watch.top:      # again: it may be another by now
                    watch = self._watch(folder, mask, auto_add, True)
                found = _entries(folder)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):    # it went meanwhile
                    self._complain(error)
                continue
            self._look(watch, found, news)
            folders.extend(os.path.join(folder, name) for name, isdir in found if isdir)

    def _look(self, watch, found, news):
        """Take note of what is in a folder."""
        for name, isdir in found:
            if name not in watch.names:
                watch.names[name] = isdir
                if news:
                    watch.told.add(name)
                    self._tell(watch, _CREATE, name, isdir)
        if watch.told:
            self.looked.append(watch)

    def _complain(self, error):
        if error.errno not in self.complained:
            self.complained.add(error.errno)
            self.notify._fail(error)

    def remove(self, path, recursive):
        number = self.numbers.get(path)
        if number is None:
            raise KeyError(path)
        self._drop(self.watches[number])
        if recursive:
            self._drop_below(path)

    def _drop(self, watch):
        self.watches.pop(watch.number, None)
        if self.numbers.get(watch.path) == watch.number:
            del self.numbers[watch.path]
        self.system.remove(watch.number)

    def _drop_below(self, path):
        for watch in list(self.watches.values()):
            if _is_below(watch.path, path) and not watch.top:
                self._drop(watch)

    # -- what happened ------------------------------------------------------

    def ready(self):
        looked, self.looked = self.looked, []
        for number, mask, cookie, name in self.system.read():
            watch = self.watches.get(number)
            if mask & _Q_OVERFLOW:
                self.notify._say(Overflow())
                self._recover()
            elif watch is not None:
                self._happened(watch, mask, cookie, name)
        for watch in looked:        # what they were told again was in this read
            watch.told.clear()

    def _happened(self, watch, mask, cookie, name):
        if mask & _IGNORED:
            self._drop(watch)
        elif not name:
            self._happened_itself(watch, mask)
        elif mask & _CREATE:
            self._came(watch, mask, name)
        elif mask & (_DELETE | _MOVED_FROM):
            watch.names.pop(name, None)
            watch.told.discard(name)
            self._tell(watch, mask, name, mask & _ISDIR)
            if mask & _MOVED_FROM:
                self._departed(os.path.join(watch.path, name), cookie)
        elif mask & _MOVED_TO:
            self._arrived(watch, mask, name, cookie)
        else:
            self._tell(watch, mask, name, mask & _ISDIR)

    def _happened_itself(self, watch, mask):
        if mask & (_DELETE_SELF | _MOVE_SELF) and not watch.top:
            return                  # its folder tells that
        self._tell(watch, mask, "", watch.isdir)
        if mask & _DELETE_SELF:
            self.notify._fail(FileNotFoundError(
                errno.ENOENT, "what was watched is deleted", watch.path))

    def _came(self, watch, mask, name):
        if name in watch.told:
            watch.told.discard(name)
            return
        watch.names[name] = bool(mask & _ISDIR)
        self._tell(watch, mask, name, mask & _ISDIR)
        if mask & _ISDIR and watch.recursive:
            self._descend(os.path.join(watch.path, name), watch.mask, True, news=True)

    def _departed(self, pathname, cookie):
        """Something left; where to, if we see that, is told next."""
        self.moving[cookie] = pathname
        self.notify._reactor.call_later(_PAIRING, self._left, cookie)

    def _left(self, cookie):
        """What did not arrive anywhere by now went out of sight."""
        pathname = self.moving.pop(cookie, None)
        if pathname is not None:
            self._drop_below(pathname)

    def _arrived(self, watch, mask, name, cookie):
        pathname = os.path.join(watch.path, name)
        source = self.moving.pop(cookie, None)
        watch.names[name] = bool(mask & _ISDIR)
        self._tell(watch, mask, name, mask & _ISDIR)
        if source is not None:
            if watch.mask & _STRUCTURE:
                self.notify._say(Renamed(source, pathname, bool(mask & _ISDIR)))
            if mask & _ISDIR:
                self._rename(source, pathname)
        if mask & _ISDIR and watch.recursive:
            self._descend(pathname, watch.mask, True, news=source is None)

    def _rename(self, source, destination):
        """A folder has another name: so have all that are watched below it."""
        for watch in list(self.watches.values()):
            if _is_below(watch.path, source):
                self.numbers.pop(watch.path, None)
                watch.path = destination + watch.path[len(source):]
                self.numbers[watch.path] = watch.number

    def _recover(self):
        """Find out what was missed."""
        for watch in list(self.watches.values()):
            if not watch.isdir or watch.number not in self.watches:
                continue
            try:
                found = _entries(watch.path)
            except OSError:
                self._drop(watch)
                if watch.top:       # else its folder tells, see below
                    self._happened_itself(watch, _DELETE_SELF)
                continue
            there = dict(found)
            for name in [name for name in watch.names if name not in there]:
                isdir = watch.names.pop(name)
                self._tell(watch, _DELETE, name, isdir)
            folders = [name for name, isdir in found if isdir and name not in watch.names]
            self._look(watch, found, news=True)
            if watch.recursive:
                for name in folders:
                    self._descend(os.path.join(watch.path, name), watch.mask, True, news=True)

    def _tell(self, watch, mask, name, isdir):
        for bit, cls in EVENT_MAP.items():
            if mask & bit and (watch.mask & bit or bit == _UNMOUNT):
                self.notify._tell(cls, name, watch.path, bool(isdir))
                return

    def close(self):
        self.system.close()


# ---------------------------------------------------------------------------
# 6. Watching folders: scans
#
# Compare what was with what is: when kqueue says that something changed, or
# now and then, where the system does not tell of changes.
# ---------------------------------------------------------------------------

# Where other machines, or the kernel itself, change files without notice.
_MUTE = frozenset("nfs nfs4 cifs smb3 smbfs 9p afs ceph vboxsf vmhgfs virtiofs proc sysfs "
                  "cgroup cgroup2 devpts".split())


def _is_mute(path):
    """Whether *path* is on a file system that does not tell of changes."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return False
    path = os.fsencode(os.path.realpath(path))
    best = (b"", b"")
    for fields in mounts:
        point = fields[4].replace(b"\\040", b" ").rstrip(b"/")
        if (path == point or path.startswith(point + b"/")) and len(point) >= len(best[0]):
            best = (point, fields[fields.index(b"-") + 1])
    kind = best[1].decode("ascii", "replace")
    return kind in _MUTE or kind.startswith("fuse.")


class _ScanWatcher:
    """Watches trees by comparing what was with what is.

    A scan runs in a thread: every *interval* seconds, or, with a kqueue, when
    something changed in a folder or a file of it.
    """

    def __init__(self, notify, interval, kqueue=None):
        self.notify = notify
        self.interval = interval
        self.kqueue = kqueue
        self.fd = kqueue.fd if kqueue else None
        self.trees = {}             # path -> (mask, recursive)
        self.before = {}            # path -> {pathname: what is known}
        self.token = object()       # what the loop calls a scan that is due
        self.timer = None
        self.scanning = False
        self.again = False          # something changed since the scan began

    def add(self, path, mask, recursive, auto_add):
        self.trees[path] = (mask, recursive)
        self.before[path] = _survey(path, recursive)
        if self._watch_all():
            self.ready()                # what happened meanwhile was not told
        self._schedule()

    def remove(self, path, recursive):
        del self.trees[path], self.before[path]

    def _watch_all(self):
        """Have the kqueue watch what there is; True if some was not watched yet."""
        if not self.kqueue:
            return False
        added, error = self.kqueue.watch(set().union(*self.before.values()))
        if error is not None:
            self.notify._fail(error)
        return added

    def _schedule(self):
        if self.timer is None and not self.kqueue and self.trees:
            self.timer = self.notify._reactor.call_later(self.interval, self._due)

    def _due(self):
        self.timer = None
        self.ready()

    def ready(self):
        """A scan is due; its task is a _read event."""
        if self.kqueue:
            self.kqueue.read()
        self.again = True
        if not self.scanning:
            self.scanning = True
            self.notify.fire(PollRead(self.token), self.notify.channel)

    def scan(self):
        """The task: look until nothing changed meanwhile."""
        try:
            while self.again:
                self.again = False
                for path, (mask, recursive) in list(self.trees.items()):
                    yield from self._scan_tree(path, mask, recursive)
        finally:
            self.scanning = False
            self._schedule()

    def _scan_tree(self, path, mask, recursive):
        after = yield _InThread(_survey, path, recursive)
        if path not in self.trees:
            return                      # it was removed meanwhile
        self._compare(path, mask, self.before[path], after)
        self.before[path] = after
        if self._watch_all():
            self.again = True           # what happened before is not told
        if path not in after:
            self._lost(path)

    def _lost(self, path):
        if self.trees.pop(path, None) is not None:
            del self.before[path]
            self.notify._fail(FileNotFoundError(errno.ENOENT, "what was watched is deleted", path))

    def _compare(self, top, mask, before, after):
        """Tell the difference: moves first, then what went, came and changed."""
        gone = {known[0]: pathname for pathname, known in before.items() if pathname not in after}
        moved = {}                  # folder -> where it was; parents come first
        for pathname, known in after.items():
            if pathname in before and before[pathname][0] == known[0]:
                if before[pathname][1:] != known[1:] and not known[1]:
                    self._tell(mask, _MODIFY, Modified, top, pathname, False)
                continue
            source = gone.get(known[0])
            if source is not None and before[source][1:] == known[1:]:
                del gone[known[0]]      # else: a new one, which got the same number
                moved[pathname] = source
                if moved.get(os.path.dirname(pathname)) == os.path.dirname(source):
                    continue        # it moved with its folder
                self._tell(mask, _MOVED_FROM, Moved, top, source, known[1])
                self._tell(mask, _MOVED_TO, Moved, top, pathname, known[1])
                if mask & _STRUCTURE:
                    self.notify._say(Renamed(source, pathname, known[1]))
                continue
            if pathname in before:      # another file of that name
                gone.pop(before[pathname][0], None)
                self._tell(mask, _DELETE, Deleted, top, pathname, before[pathname][1])
            self._tell(mask, _CREATE, Created, top, pathname, known[1])
        for pathname in gone.values():
            self._tell(mask, _DELETE, Deleted, top, pathname, before[pathname][1])

    def _tell(self, mask, bit, cls, top, pathname, isdir):
        if mask & bit:
            path, name = (top, "") if pathname == top else os.path.split(pathname)
            self.notify._tell(cls, name, path, isdir)

    def close(self):
        self.trees.clear()
        if self.timer is not None:
            self.notify._reactor.cancel(self.timer)
        if self.kqueue:
            self.kqueue.close()


def _survey(path, recursive):
    """{pathname: ((device, inode), isdir, time, size)} of a path and what it holds."""
    found = {}
    todo = [path]
    top = True
    while todo:
        pathname = todo.pop()
        try:
            info = os.stat(pathname) if top else os.lstat(pathname)
            isdir = stat.S_ISDIR(info.st_mode)
            found[pathname] = ((info.st_dev, info.st_ino), isdir, info.st_mtime_ns, info.st_size)
            if isdir and (recursive or top):
                todo.extend(os.path.join(pathname, name) for name, _ in _entries(pathname))
        except OSError:
            pass                    # it went meanwhile, or is not for us to see
        top = False
    return found


class _KQueue:
    """Says that something changed, not what: BSD and macOS."""

    def __init__(self):
        import select
        self._select = select
        self._queue = select.kqueue()           # AttributeError: another system
        self.fd = self._queue.fileno()
        self._files = {}            # pathname -> open file number

    def watch(self, found):
        """Watch exactly these pathnames; returns (whether some are new, an error if any)."""
        for pathname in set(self._files) - found:
            os.close(self._files.pop(pathname))
        s = self._select
        changes = (s.KQ_NOTE_WRITE | s.KQ_NOTE_EXTEND | s.KQ_NOTE_ATTRIB | s.KQ_NOTE_DELETE
                   | s.KQ_NOTE_RENAME)
        flags = getattr(os, "O_EVTONLY", 0x8000 if sys.platform == "darwin" else os.O_RDONLY)
        trouble = None
        added = False
        for pathname in found - set(self._files):
            try:
                number = os.open(pathname, flags | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno == errno.EMFILE:
                    trouble = error
                continue            # it went meanwhile, or is not for us to see
            self._files[pathname] = number
            added = True
            self._queue.control([s.kevent(number, s.KQ_FILTER_VNODE, s.KQ_EV_ADD | s.KQ_EV_CLEAR,
                                          changes)], 0)
        return added, trouble

    def read(self):
        while self._queue.control([], 256, 0):
            pass

    def close(self):
        for number in self._files.values():
            os.close(number)
        self._files.clear()
        self._queue.close()


# ---------------------------------------------------------------------------
# 7. Watching folders: Notify
#
# The component: chooses a back end per path, and turns what that tells into
# events.
# ---------------------------------------------------------------------------

class AddPath(Event):
    """Watch a path: (path, mask=None, recursive=False, auto_add=True)."""


class RemovePath(Event):
    """Do not watch a path any more: (path, recursive=False)."""


class Notify(Component):
    """Tell what happens to files and in folders.

        watcher = Notify().register(app)
        watcher.add_path("/etc", recursive=True)
        # fires created("hosts", "/etc", "/etc/hosts", False) and the like

    polling   True: scan instead of asking the system; False: never; default:
              where the system, or the file system, does not tell of changes
    interval  seconds between scans; default 1, as a change is often several

    To call or fire:  add_path, remove_path
    Fires:    ready(self); created, deleted, moved, modified, opened, closed,
              accessed, unmounted, each with (name, path, pathname, isdir);
              renamed(source, destination, isdir), overflow(), error(exception)

    Scans tell of what was created, deleted, moved and modified.  What only
    lasts between two of them is not seen.
    """

    channel = "notify"

    def init(self, channel=None, *, polling=None, interval=1.0):
        if channel is not None:
            self.channel = channel
        if not interval > 0:
            raise ValueError("interval is a number of seconds above 0, got %r" % (interval,))
        self.polling = polling
        self.interval = interval
        self._native = None             # the watcher that asks the system
        self._scanner = None
        self._paths = {}                # path -> its watcher

    @handler("registered", "started")
    def _on_joined(self, component, manager=None):
        if component is self:
            self.fire(Ready(self), self.channel)
            self._listen()

    def _listen(self):
        fd = self._native.fd if self._native is not None else None
        if fd is not None and not poller_of(self).isReading(fd):
            poller_of(self).addReader(self, fd)

    @handler("add_path")
    def add_path(self, path, mask=None, recursive=False, auto_add=True):
        """Watch a file, or a folder, with all below it if *recursive*.

        mask      what to tell: event classes, or bits of inotify; None: all
        auto_add  watch folders that are made later, too; scans always do

        It looks at each folder before it returns, some 20 microseconds for
        each of those below.
        """
        path = os.path.abspath(os.fsdecode(path))
        try:
            os.stat(path)
            watcher = self._watcher_for(path)
            watcher.add(path, _mask_of(mask), recursive, auto_add)
        except OSError as error:
            return self._fail(error)
        self._paths[path] = watcher
        if self.parent is not self or self.running:
            self._listen()
        return None

    @handler("remove_path")
    def remove_path(self, path, recursive=False):
        """Do not watch it any more, with all below it if *recursive*.

        KeyError if it was not watched.
        """
        path = os.path.abspath(os.fsdecode(path))
        self._paths.pop(path).remove(path, recursive)

    def _watcher_for(self, path):
        polling = _is_mute(path) if self.polling is None else self.polling
        if not polling and self._native is None:
            self._native = self._make_native()
        if not polling and self._native is not None:
            return self._native
        if self._scanner is None:
            self._scanner = _ScanWatcher(self, self.interval)
        return self._scanner

    def _make_native(self):
        """The watcher of this system; None without one, if polling will do."""
        try:
            return _InotifyWatcher(self)
        except (ImportError, AttributeError, TypeError):
            pass
        try:
            return _ScanWatcher(self, self.interval, _KQueue())
        except (ImportError, AttributeError):
            if self.polling is None:
                return None
            raise OSError(errno.ENOSYS, "neither inotify (through ctypes) nor kqueue are here: "
                                        "use Notify(polling=True)") from None

    @handler("_read", priority=1)
    def _on_read(self, fd):
        for watcher in (self._native, self._scanner):
            if isinstance(watcher, _ScanWatcher) and fd is watcher.token:
                return watcher.scan()
        return self._read_ready(fd)

    _on_read = _own_step(_on_read)

    def _read_ready(self, fd):
        if self._native is not None and fd == self._native.fd:
            self._native.ready()

    def _tell(self, cls, name, path, isdir):
        if self._reactor.heard(cls.name, (self.channel,)):
            self.fire(cls(name, path, os.path.join(path, name) if name else path, isdir),
                      self.channel)

    def _say(self, event):
        self.fire(event, self.channel)

    def _fail(self, error):
        self.fire(Error(error), self.channel)

    def _moved(self, old):
        if self._native is not None and old.root._reactor is old and old.poller is not None:
            old.poller.discard(self._native.fd)

    def _close(self):
        for watcher in (self._native, self._scanner):
            if watcher is None:
                continue
            if watcher.fd is not None and self._reactor.poller is not None:
                self._reactor.poller.discard(watcher.fd)
            watcher.close()
        self._native = self._scanner = None
        self._paths.clear()

    @handler("stopped", channel="*")
    def _on_stopped(self, component):
        if component is self.root:
            self._close()

    @_own_step
    @handler("prepare_unregister", channel="*")
    def _on_prepare_unregister(self, event, component):
        if event.in_subtree(self):
            self._close()


def _mask_of(mask):
    """The bits of inotify for event classes, a number, or None for all."""
    if mask is None:
        return MASK
    if isinstance(mask, int):
        return mask & MASK
    classes = (mask,) if isinstance(mask, type) else tuple(mask)
    return sum(bit for bit, cls in EVENT_MAP.items() if cls in classes and bit <= MASK)


# ---------------------------------------------------------------------------
# 8. Serial ports
#
# A File whose opening sets up a terminal line, with termios alone.
# ---------------------------------------------------------------------------

#: Bytes of a line that has no end, after which it is told as it is.
MAX_LINE = 1 << 16

_PARITY = {"N": (), "E": ("PARENB",), "O": ("PARENB", "PARODD"),
           "M": ("PARENB", "PARODD", "CMSPAR"), "S": ("PARENB", "CMSPAR")}


def _rates(termios):
    """The rates that the platform knows, in bits per second."""
    return sorted(int(name[1:]) for name in dir(termios)
                  if name.startswith("B") and name[1:].isdigit() and int(name[1:]))


def _check_line(baudrate, bytesize, parity, stopbits):
    """Raise ValueError, or RuntimeError without termios, for what cannot be set."""
    try:
        import termios
    except ImportError as error:
        raise RuntimeError("No serial support available: this platform has no termios "
                           "module") from error
    if baudrate not in _rates(termios):
        raise ValueError("baudrate %r is none this platform knows: %s" % (
            baudrate, ", ".join(map(str, _rates(termios)))))
    if bytesize not in (5, 6, 7, 8):
        raise ValueError("bytesize is 5, 6, 7 or 8, got %r" % (bytesize,))
    if stopbits not in (1, 2):
        raise ValueError("stopbits is 1 or 2, got %r" % (stopbits,))
    if parity not in _PARITY or not all(hasattr(termios, flag) for flag in _PARITY[parity]):
        raise ValueError("parity is one of N, E and O, on some platforms M and S; got %r"
                         % (parity,))


def _open_port(port, line, exclusive):
    """Open and set up a port; *line* is (baudrate, bytesize, parity, stopbits, xonxoff, rtscts)."""
    number = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not os.isatty(number):
            raise OSError(errno.ENOTTY, "not a serial port or terminal", port)
        if exclusive:
            _make_exclusive(number, port)
        _set_line(number, *line)
        return _Descriptor(number)
    except BaseException:
        os.close(number)
        raise


def _make_exclusive(number, port):
    """Nobody else can open it now, nor lock it; root still can open it."""
    import fcntl
    import termios
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another program uses it", port) from None
    fcntl.ioctl(number, termios.TIOCEXCL)


def _set_line(number, baudrate, bytesize, parity, stopbits, xonxoff, rtscts):
    """Raw bytes at this rate; see termios(3)."""
    import termios as t
    iflag, oflag, cflag, lflag, _, _, chars = t.tcgetattr(number)
    iflag &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.INPCK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL
               | t.IXON | t.IXOFF | t.IXANY)
    if xonxoff:
        iflag |= t.IXON | t.IXOFF
    if parity != "N":
        iflag |= t.INPCK
    oflag &= ~t.OPOST
    lflag &= ~(t.ECHO | t.ECHOE | t.ECHOK | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    cflag &= ~(t.CSIZE | t.PARENB | t.PARODD | t.CSTOPB | getattr(t, "CMSPAR", 0)
               | getattr(t, "CRTSCTS", 0))
    cflag |= t.CLOCAL | t.CREAD | getattr(t, "CS%d" % bytesize)
    for flag in _PARITY[parity]:
        cflag |= getattr(t, flag)
    if stopbits == 2:
        cflag |= t.CSTOPB
    if rtscts:
        if not hasattr(t, "CRTSCTS"):
            raise OSError(errno.ENOSYS, "this platform cannot do rtscts")
        cflag |= t.CRTSCTS
    speed = getattr(t, "B%d" % baudrate)
    chars[t.VMIN] = 0
    chars[t.VTIME] = 0
    t.tcsetattr(number, t.TCSANOW, [iflag, oflag, cflag, lflag, speed, speed, chars])


class Serial(File):
    """Talk over a serial port.

        port = Serial("/dev/ttyUSB0", 9600, readline=True).register(app)

    port        the path of the device
    baudrate    bits per second; any that the platform knows
    bytesize, parity, stopbits    the shape of a byte: 5 to 8; N, E, O, M or S
                (none, even, odd, mark, space); 1 or 2
    xonxoff, rtscts               flow control by characters, or by wire
    exclusive   let no other program use it meanwhile
    readline    tell whole lines, with what ends them
    timeout     seconds of silence after which an incomplete line is told
    encoding    of text that is written

    Fires:    ready(self), opened(port, baudrate), read(data), closed(port),
              error(exception); eof() if the device went away
    To call or fire:  write, close
    Raises:   RuntimeError where there is no termios, ValueError for settings
              that the platform does not know
    """

    channel = "serial"

    def init(self, port, baudrate=115200, bufsize=4096, timeout=0.2, channel=None, *,
             encoding="UTF-8", readline=False, bytesize=8, parity="N", stopbits=1,
             xonxoff=False, rtscts=False, exclusive=True, max_line=MAX_LINE,
             max_buffer=MAX_BUFFER, max_ahead=MAX_AHEAD, linger=LINGER):
        _check_line(baudrate, bytesize, parity, stopbits)
        if not isinstance(port, (str, bytes, os.PathLike)):
            raise TypeError("port is the path of a device, got %r" % (port,))
        self.port = port
        self.baudrate = baudrate
        self.timeout = timeout
        self.readline = readline
        self.max_line = max_line
        self.exclusive = exclusive
        self._settings = (baudrate, bytesize, parity, stopbits, xonxoff, rtscts)
        self._line = bytearray()
        self._silence = None
        super().init(port, "r+b", bufsize, encoding, channel, max_buffer=max_buffer,
                     max_ahead=max_ahead, linger=linger)

    def _opener(self):
        return _open_port, self._path, self._settings, self.exclusive

    def _opened(self):
        return Opened(self.port, self.baudrate)

    def _closed(self):
        return Closed(self.port)

    def _deliver(self, data):
        if not self.readline:
            return super()._deliver(data)
        if self._silence is not None:
            self._reactor.cancel(self._silence)
            self._silence = None
        self._line += data
        *lines, rest = self._line.split(b"\n")
        for line in lines:
            super()._deliver(bytes(line + b"\n"))
        self._line = rest
        if len(rest) >= self.max_line:
            self._tell_rest()
        elif rest:
            self._silence = self._reactor.call_later(self.timeout, self._tell_rest)
        return None

    def _tell_rest(self):
        """Tell a line without its end."""
        self._silence = None
        if self._line:
            line, self._line = bytes(self._line), bytearray()
            super()._deliver(line)

    def _at_end(self):
        """The device went away."""
        self._tell_rest()
        super()._at_end()
        self.close()


# ---------------------------------------------------------------------------
# 9. Configuration and logs
#
# What programs keep beside their code: settings in an INI file, records in a
# log.  configparser and logging do the work; nothing global is changed.
# ---------------------------------------------------------------------------

class EnvironmentEvent(Event):
    """What is fired at an Environment."""

    channels = ("env",)
    success = True
    failure = True


class _EnvironmentEvents:
    """Events that are called otherwise here than in circuits.app.env."""

    class Ready(Event):
        """The environment is loaded: (environment)."""

        channels = ("env",)

    class Load(EnvironmentEvent):
        """Load the configuration and open the log: (verify=False)."""


EnvironmentReady = _EnvironmentEvents.Ready
LoadEnvironment = _EnvironmentEvents.Load


class ConfigEvent(Event):
    """What is fired at a Config."""

    channels = ("config",)
    success = True
    failure = True


class Load(ConfigEvent):
    """Read the configuration file: (filename=None)."""


class Save(ConfigEvent):
    """Write the configuration file: (filename=None)."""


class Log(Event):
    """Write a record into the log: (level, message, *args)."""

    channels = ("logger",)


def _write_whole(path, text, mode=0o644):
    """Write a file so that readers see the old text or the new one, never half."""
    temporary = "%s.%d.new" % (path, os.getpid())
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(number)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class Config(Component):
    """Settings in an INI file.

        config = Config("app.ini").register(app)
        yield self.call(Load(), config.channel)
        config.getint("server", "port", 8000)

    filename       the file; Load and Save may name another
    defaults       {option: text}, for all sections
    interpolation  expand %(option)s in values; default no: a % is a %

    Handles:  load, save; a failure is load_failure or save_failure
    """

    channel = "config"

    def init(self, filename, defaults=None, channel=None, *, interpolation=False):
        if channel is not None:
            self.channel = channel
        self.filename = filename
        self._defaults = defaults
        self._interpolation = interpolation
        self._parser = self._new()

    def _new(self):
        import configparser
        expand = configparser.BasicInterpolation() if self._interpolation else None
        return configparser.ConfigParser(self._defaults, interpolation=expand)

    @handler("load")
    def load(self, filename=None):
        """Read the file anew; what is not in it any more is gone."""
        parser = self._new()
        with open(filename or self.filename, encoding="utf-8") as file:
            parser.read_file(file)
        self._parser = parser

    @handler("save")
    def save(self, filename=None):
        """Write the file, whole or not at all."""
        import io
        text = io.StringIO()
        self._parser.write(text)
        _write_whole(os.fspath(filename or self.filename), text.getvalue())

    @handler(False)
    def add_section(self, section):
        """Add an empty section; no harm if it is there."""
        if not self._parser.has_section(section):
            self._parser.add_section(section)

    @handler(False)
    def items(self, section, raw=False, vars=None):
        """[(option, text)] of a section, defaults and *vars* included."""
        return self._parser.items(section, raw=raw, vars=vars)

    @handler(False)
    def get(self, section, option, default=None, raw=False, vars=None):
        """The text of an option; *default* if it, or the section, is missing."""
        return self._get("get", section, option, default, raw, vars)

    @handler(False)
    def getint(self, section, option, default=0, raw=False, vars=None):
        return self._get("getint", section, option, default, raw, vars)

    @handler(False)
    def getfloat(self, section, option, default=0.0, raw=False, vars=None):
        return self._get("getfloat", section, option, default, raw, vars)

    @handler(False)
    def getboolean(self, section, option, default=False, raw=False, vars=None):
        return self._get("getboolean", section, option, default, raw, vars)

    def _get(self, kind, section, option, default, raw, vars):
        return getattr(self._parser, kind)(section, option, raw=raw, vars=vars, fallback=default)

    @handler(False)
    def has_section(self, section):
        return self._parser.has_section(section)

    @handler(False)
    def has_option(self, section, option):
        return self._parser.has_option(section, option)

    @handler(False)
    def sections(self):
        return self._parser.sections()

    @handler(False)
    def set(self, section, option, value):
        """Set an option, to str(value); the section is made if it is missing."""
        self.add_section(section)
        self._parser.set(section, option, str(value))


#: Levels that Log and Logger know, and how logging calls them.
LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "warn": "WARNING",
          "error": "ERROR", "exception": "ERROR", "critical": "CRITICAL"}


class _Appender:
    """A file that each write() is appended to at once, whole; never half a record.

    Nothing is held back, so a full disk shows when it is full.
    """

    def __init__(self, path):
        self._path = os.path.abspath(path)
        self._number = None
        self._open()

    def _open(self):
        self._number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND
                               | getattr(os, "O_CLOEXEC", 0), 0o666)

    def write(self, text):
        if self._number is None:
            self._open()
        os.write(self._number, text.encode("utf-8", "backslashreplace"))

    def flush(self):
        """There is nothing to flush."""

    def close(self):
        number, self._number = self._number, None
        if number is not None:
            os.close(number)

    __del__ = close


class Logger(Component):
    """Write records into a file, the system's log, or stderr.

        Logger("app.log", "app", "file", "DEBUG").register(app)
        self.fire(Log("info", "%d users", 3))

    filename  for type "file"; appended to
    name      stands in front of each record
    type      file, stderr, syslog (or unix), winlog (or eventlog, nteventlog)
    level     DEBUG (or ALL), INFO, WARNING, ERROR, CRITICAL

    Handles:  log(level, message, *args)
    Fires:    error(exception) when a record cannot be written, once until
              one can again
    Raises:   ValueError for an unknown type

    The logging.Logger is its own: none of that name is configured elsewhere.
    """

    channel = "logger"

    def init(self, filename=None, name="", type="stderr", level="INFO", channel=None):
        if channel is not None:
            self.channel = channel
        import logging
        kind = str(type).lower()
        level = str(level).upper()
        debug = level in ("DEBUG", "ALL")
        number = logging.DEBUG if debug else getattr(
            logging, level if level in ("INFO", "ERROR", "CRITICAL") else "WARNING")
        text = name.replace("%", "%%") + "[log] %(levelname)s: %(message)s"
        self._trouble = None        # why the last record was not written
        self._failing = False       # that was told
        self._output = self._make_output(logging, kind, filename, name)
        if kind == "file":
            text = "%(asctime)s " + text
        self._output.setFormatter(logging.Formatter(text, "%X" if debug else None))
        self._output.handleError = self._on_trouble
        self.logger = logging.Logger(name, number)
        self.logger.addHandler(self._output)

    @staticmethod
    def _make_output(logging, kind, filename, name):
        if kind == "file":
            return logging.StreamHandler(_Appender(filename))
        if kind == "stderr":
            return logging.StreamHandler() if sys.stderr is not None else logging.NullHandler()
        if kind not in ("winlog", "eventlog", "nteventlog", "syslog", "unix"):
            raise ValueError("type is file, stderr, syslog or winlog, got %r" % kind)
        import logging.handlers as more
        if kind not in ("syslog", "unix"):
            return more.NTEventLogHandler(name)
        for path in ("/dev/log", "/var/run/syslog"):
            if os.path.exists(path):
                return more.SysLogHandler(path)
        return more.SysLogHandler()

    def _on_trouble(self, record):
        """logging could not write."""
        self._trouble = sys.exc_info()[1]

    @handler("log")
    def log(self, level, msg, *args, **kwargs):
        """Write a record; *level* is a name of LEVELS."""
        if level not in LEVELS:
            raise ValueError("level is one of %s, got %r" % (", ".join(LEVELS), level))
        import logging
        self._trouble = None
        self.logger.log(getattr(logging, LEVELS[level]), msg, *args, **kwargs)
        if self._trouble is not None and not self._failing:
            self.fire(Error(self._trouble), self.channel)
        self._failing = self._trouble is not None

    @handler(False)
    def debug(self, msg, *args, **kwargs):
        self.log("debug", msg, *args, **kwargs)

    @handler(False)
    def info(self, msg, *args, **kwargs):
        self.log("info", msg, *args, **kwargs)

    @handler(False)
    def warning(self, msg, *args, **kwargs):
        self.log("warning", msg, *args, **kwargs)

    warn = warning

    @handler(False)
    def error(self, msg, *args, **kwargs):
        self.log("error", msg, *args, **kwargs)

    @handler(False)
    def exception(self, msg="", *args, **kwargs):
        """An error, with the traceback of the exception that is being handled."""
        self.log("exception", msg, *args, exc_info=True, **kwargs)

    @handler(False)
    def critical(self, msg, *args, **kwargs):
        self.log("critical", msg, *args, **kwargs)

    @handler(False)
    def close(self):
        """Close the log; what is logged later opens it again."""
        self._output.close()
        stream = getattr(self._output, "stream", None)
        if isinstance(stream, _Appender):
            stream.close()

    def _moved(self, old):
        if old.root._reactor is old:
            self.close()            # it left its tree

    @handler("stopped", channel="*", priority=-100)
    def _on_stopped(self, component):
        if component is self.root:
            self.close()


# ---------------------------------------------------------------------------
# 10. Environments
#
# A folder with all that one instance of a program needs: version, settings,
# logs, the pid of the daemon.
# ---------------------------------------------------------------------------

VERSION = 1

#: What create() writes into the configuration; names are relative to the folder.
CONFIG = {
    "general": {"pidfile": os.path.join("log", "%(name)s.pid")},
    "logging": {"debug": "True", "type": "file", "verbose": "True", "level": "DEBUG",
                "file": os.path.join("log", "%(name)s.log")},
}

#: The arguments of EnvironmentError.
ERRORS = (
    (0, "No Environment version information"),
    (1, "Environment needs upgrading"),
)

# Settings that name a file of the environment.
_PATHS = (("general", "pidfile"), ("logging", "file"))


class EnvironmentError(Exception):
    """The environment is no good; args: one of ERRORS.

    Not the builtin of this name, which is OSError.
    """


class Create(EnvironmentEvent):
    """Make the folder and what belongs into it."""


class Verify(EnvironmentEvent):
    """Check the version of the environment."""


class Upgrade(EnvironmentEvent):
    """Bring the environment to the present version."""


def createFile(filename, data=None):
    """Make a file with this text, if there is none."""
    if not os.path.exists(filename):
        _write_whole(filename, data or "")


class Environment(Component):
    """The folder of one instance of a program.

        env = Environment("/srv/app", "app").register(app)
        yield self.call(Create(), env.channel)
        yield self.call(LoadEnvironment(), env.channel)
        env.config.get("general", "pidfile")

    path     the folder: VERSION, README, conf/<envname>.ini, log/
    envname  the name of the program
    version  what VERSION has to say at least
    config, log    the Config and the Logger, once it is loaded

    Handles:  create, load(verify=False), verify, upgrade, each with _success
              and _failure
    Fires:    ready(self) when it is loaded

    Relative names in the settings are taken to be in the folder, so that it
    may be moved.
    """

    channel = "env"
    version = VERSION

    def init(self, path, envname, channel=None):
        if channel is not None:
            self.channel = channel
        self.path = os.path.abspath(os.path.expanduser(path))
        self.envname = envname
        self.config = None
        self.log = None

    def _file(self, *names):
        return os.path.join(self.path, *names)

    @property
    def configfile(self):
        return self._file("conf", "%s.ini" % self.envname)

    @handler("create", priority=1.0)
    def create(self):
        """Make what is missing; what is there is left as it is."""
        for folder in (self.path, self._file("log"), self._file("conf")):
            os.makedirs(folder, exist_ok=True)
        createFile(self._file("VERSION"), "%d\n" % self.version)
        createFile(self._file("README"), "This folder belongs to %s.\n" % self.envname)
        if not os.path.exists(self.configfile):
            config = Config(self.configfile)
            for section, options in CONFIG.items():
                for option, value in options.items():
                    config.set(section, option, value.replace("%(name)s", self.envname))
            config.save()

    @handler("verify", priority=1.0)
    def verify(self):
        """Raise EnvironmentError if the folder has no version, or an old one."""
        try:
            with open(self._file("VERSION"), encoding="utf-8") as file:
                text = file.read().strip()
        except FileNotFoundError:
            text = ""
        if not text.isdigit():
            raise EnvironmentError(*ERRORS[0])
        if int(text) < self.version:
            raise EnvironmentError(*ERRORS[1])

    @handler("upgrade")
    def upgrade(self):
        """Make what is missing and write the present version; override to do more."""
        self.create()
        _write_whole(self._file("VERSION"), "%d\n" % self.version)

    @handler("load", priority=1.0)
    def load(self, verify=False):
        """Read the settings and open the log; again: read them anew."""
        if verify:
            yield self.call(Verify(), self.channel)
        if self.config is None:
            self.config = Config(self.configfile).register(self)
        yield self.call(Load(), self.config.channel)
        for section, option in _PATHS:
            value = self.config.get(section, option)
            if value:
                self.config.set(section, option, self._file(value))
        self._open_log()
        self.fire(EnvironmentReady(self), self.channel)

    def _open_log(self):
        get = self.config.get
        if not self.config.has_section("logging"):
            return
        log = Logger(get("logging", "file"), self.envname, get("logging", "type", "file"),
                     get("logging", "level", "INFO"))
        if self.log is not None:
            self.log.close()
            self.log.unregister()
        self.log = log.register(self)


# ---------------------------------------------------------------------------
# 11. Daemons
#
# Leaving the terminal, saying who we are (a locked pid file), talking to
# systemd, and giving up the rights of root.
# ---------------------------------------------------------------------------

class Daemonize(Event):
    """Become a daemon."""


class Daemonized(Event):
    """It is a daemon now: (component)."""


class WritePID(Event):
    """Write the number of this process into the pid file."""


class DeletePID(Event):
    """Remove the pid file."""


def _locked(path, write=False):
    """Open a pid file and lock it; BlockingIOError if a living process has it.

    A lock ends with its process, however that ends: a stale file does no harm.
    Who only looks (without *write*) shares it with others who look.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError(errno.ENOSYS, "pid files need the fcntl module, which is missing") from error
    flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
    while True:
        number = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(number, (fcntl.LOCK_EX if write else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(number), os.stat(path)):
                return number
        except FileNotFoundError:
            pass                    # its owner removed it just now: once more
        except BaseException:
            os.close(number)
            raise
        os.close(number)


def running_pid(path):
    """The process that holds this pid file; None if there is none alive.

    Whatever number stands in a file that nobody has locked is not believed:
    it may be that of another program by now.
    """
    try:
        os.close(_locked(path))
    except FileNotFoundError:
        return None
    except BlockingIOError:
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except FileNotFoundError:   # its owner removed it just now
            return None
        return int(text) if text.isdigit() else None
    return None


def sd_notify(text):
    """Tell systemd, if it started us: "READY=1" and the like, see sd_notify(3).

    True if it was told.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    import socket
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(text.encode(), address)
    return True


def _no_other_threads():
    """Raise RuntimeError if other threads run: a fork would lose them.

    Those of this module end by themselves, so they get a moment.
    """
    import _thread
    deadline = time.monotonic() + 1.0
    while getattr(_thread, "_count", int)():
        if time.monotonic() > deadline:
            raise RuntimeError("other threads are running: become a daemon before they are started")
        time.sleep(0.001)


class Daemon(Component):
    """Make the system a daemon when it starts.

        (App() + Daemon("app.pid", path="/run/app")).run()

    pidfile     the pid file, locked while we live; refused if another process
                has it
    path        absolute; the working folder, and that of relative names
    stdin, stdout, stderr    files instead of the terminal; default /dev/null
    umask       default 0o077: files are for us alone
    foreground  True: do not fork, for systemd and containers
    notify      tell systemd of READY, STOPPING, and WATCHDOG in time; default:
                if it asks for that; the fork is told with MAINPID

    Handles:  daemonize, write_pid, delete_pid (also as writepid, deletepid)
    Fires:    write_pid(), daemonized(self)

    It forks at the beginning of ``started``, before the other components hear
    that.  The process that was started ends when the pid file is written, with
    status 1 if it never is.  The pid file is removed when the system stops.
    """

    channel = "daemon"

    def init(self, pidfile, path="/", stdin=None, stdout=None, stderr=None, channel=None, *,
             umask=0o077, foreground=False, notify=None):
        if channel is not None:
            self.channel = channel
        if not os.path.isabs(path):
            raise AssertionError("path must be absolute")      # as documented
        self.path = path
        self.pidfile = os.path.join(path, os.fspath(pidfile))
        self.stdin, self.stdout, self.stderr = (
            os.path.join(path, name or os.devnull) for name in (stdin, stdout, stderr))
        self.umask = umask
        self.foreground = foreground
        self.notify = notify
        self._lock = None           # the open pid file
        self._parent = None         # the pipe on which a parent waits
        self._watchdog = None
        self._done = False

    @handler("registered")
    def _on_registered(self, component, manager):
        if component is self and self.root.running:
            self.fire(Daemonize(), self.channel)

    @handler("started", channel="*", priority=100)
    def _on_started(self, event, component):
        if component is not self.root:  # some process was started
            return
        try:
            self.daemonize()
        except BaseException:
            event.stop()                # the others need not begin
            raise

    @handler("daemonize")
    def daemonize(self):
        """Fork twice, leave the terminal, tell who waits; once is enough."""
        if self._done:
            return
        self._take_pidfile()
        self._done = True
        if not self.foreground:
            self._fork()
        self.fire(WritePID(), self.channel)
        self.fire(Daemonized(self), self.channel)

    def _take_pidfile(self):
        if not self.foreground and not hasattr(os, "fork"):
            raise RuntimeError("this platform has no fork(): use Daemon(foreground=True)")
        for _ in range(5):
            try:
                self._lock = _locked(self.pidfile, write=True)
                return
            except BlockingIOError:
                time.sleep(0.01)        # somebody may only look at it: running_pid()
            except OSError as error:
                self._give_up("the pid file cannot be written: %s" % error)
        self._give_up("%s belongs to process %s, which is running" % (
            self.pidfile, running_pid(self.pidfile)))

    def _give_up(self, text):
        """End the system: two daemons, or one that nobody can stop, are worse."""
        raise SystemExit("%s: %s" % (os.path.basename(sys.argv[0] or "daemon"), text))

    def _fork(self):
        _no_other_threads()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()          # or both processes would
        ours, theirs = os.pipe()
        if os.fork():
            os.close(theirs)
            os._exit(0 if os.read(ours, 1) else 1)
        os.close(ours)
        os.setsid()
        if os.fork():
            os._exit(0)
        self._parent = theirs
        os.chdir(self.path)
        os.umask(self.umask)
        self._redirect()
        reactor = self._reactor
        reactor.pid = os.getpid()
        if reactor.poller is not None:
            reactor.poller.close()      # a kqueue does not outlive a fork

    def _redirect(self):
        write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        for number, name, flags in ((0, self.stdin, os.O_RDONLY), (1, self.stdout, write),
                                    (2, self.stderr, write)):
            file = os.open(name, flags, 0o600)
            if file != number:
                os.dup2(file, number)
                os.close(file)

    @handler("write_pid", "writepid")
    def write_pid(self):
        """Write our number into the pid file, and let the parent go."""
        if self._lock is None:
            self._take_pidfile()
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d" % os.getpid(), 0)
        if self._parent is not None:
            os.write(self._parent, b"1")
            os.close(self._parent)
            self._parent = None
        if self.notify is not False:
            sd_notify("READY=1\nMAINPID=%d" % os.getpid())
            self._feed_watchdog()

    def _feed_watchdog(self):
        """systemd restarts us if this does not come in time: the loop hangs."""
        period = os.environ.get("WATCHDOG_USEC", "")
        if not period.isdigit() or not int(period):
            return
        if self._watchdog is not None:
            sd_notify("WATCHDOG=1")
        self._watchdog = self._reactor.call_later(int(period) / 2e6, self._feed_watchdog)

    @handler("delete_pid", "deletepid")
    def delete_pid(self):
        """Remove the pid file, if it is ours."""
        number, self._lock = self._lock, None
        if number is None:
            return
        try:
            if os.path.samestat(os.fstat(number), os.stat(self.pidfile)):
                os.unlink(self.pidfile)
        except FileNotFoundError:
            pass
        finally:
            os.close(number)

    @handler("stopped", channel="*", priority=-100)
    def _on_stopped(self, component):
        if component is not self.root:
            return
        if self.notify is not False:
            sd_notify("STOPPING=1")
        if self._watchdog is not None:
            self._reactor.cancel(self._watchdog)
        self.delete_pid()
        self._done = False


class DropPrivileges(Component):
    """Become another user when the first component is ready, say a server.

        (Server(80) + DropPrivileges("www-data", "www-data")).run()

    user, group  who; the group of the user where there is none called nobody
    umask        default 0o077

    Does nothing unless we are root.  The first ready counts, a File's as well as
    a server's.  If it cannot be done, the system ends: it must not go on as root.
    """

    def init(self, user="nobody", group="nobody", umask=0o077):
        self.user = user
        self.group = group
        self.umask = umask

    @handler("ready", channel="*")
    def _on_ready(self, *args):
        try:
            self._drop()
        except (OSError, KeyError, ImportError) as error:
            raise SystemExit("cannot become user %s, group %s: %s" % (
                self.user, self.group, error)) from error
        self.unregister()

    def _drop(self):
        import grp
        import pwd
        if os.getuid() != 0:
            return
        user = pwd.getpwnam(self.user)
        try:
            gid = grp.getgrnam(self.group).gr_gid
        except KeyError:
            if self.group != "nobody":
                raise
            gid = user.pw_gid           # Debian calls it nogroup
        os.initgroups(self.user, gid)
        os.setgid(gid)
        os.setuid(user.pw_uid)
        os.umask(self.umask)
        if user.pw_uid and _can_be_root():
            raise OSError(errno.EPERM, "root can be had back")


def _can_be_root():
    try:
        os.setuid(0)
    except OSError:
        return False
    return True


# ---------------------------------------------------------------------------
# 12. Commands to start and stop
#
# The verbs of an init script, for a program that lives in an Environment.
# ---------------------------------------------------------------------------

class Command(Event):
    """Do what the command line says: (verb)."""


class Terminate(Event):
    """End the command: (status=0)."""


class StartupError(Exception):
    """The command cannot be done; called Error in circuits.app.startup."""


class Startup(Component):
    """Start, stop, restart, rehash, or make a program's environment.

        (Startup("/srv/app", opts, sys.argv[1]) + App()).run()

    path     the folder of the environment; its last part is the name
    opts     anything with attributes; daemon=False keeps "start" in the
             foreground, timeout is the seconds that stopping may take
    command  start, stop, restart, rehash, init or upgrade
    env      the class of the environment: env(path, name)

    start goes on to run; the others end the system when they are done, with
    a status of 1 and a line on stderr if they fail.  A rehash, which is a
    SIGHUP, loads the environment anew; load_success on channel "env" says so.
    """

    channel = "startup"
    verbs = ("start", "stop", "restart", "rehash", "init", "upgrade")

    def init(self, path, opts=None, command="start", env=None, channel=None):
        if channel is not None:
            self.channel = channel
        if command not in self.verbs:
            raise ValueError("command is one of %s, got %r" % (", ".join(self.verbs), command))
        self.opts = opts
        self.command = command
        path = os.path.abspath(os.path.expanduser(path))
        self.env = (env or Environment)(path, os.path.basename(path)).register(self)
        self._hangup = None         # what handled SIGHUP before

    @handler("started", channel="*")
    def _on_started(self, component):
        if component is self.root:
            self.fire(Command(self.command), self.channel)

    @handler("command")
    def _on_command(self, verb):
        """Do it; errors end the system."""
        try:
            yield getattr(self, "_do_" + verb)()
        except (StartupError, EnvironmentError, OSError, ValueError) as error:
            raise SystemExit("%s: %s" % (verb, error)) from error
        if verb not in ("start", "restart"):
            self.fire(Terminate(), self.channel)

    @handler("terminate")
    def _on_terminate(self, status=0):
        self.root.stop(status or None)

    def _option(self, name, default):
        value = getattr(self.opts, name, None)
        return default if value is None else value

    def _load(self):
        if not os.path.exists(self.env.path):
            raise StartupError("Environment does not exist!")
        yield self.call(LoadEnvironment(verify=True), self.env.channel)

    @property
    def pidfile(self):
        return self.env.config.get("general", "pidfile")

    def _do_start(self):
        yield self._load()
        yield self._become()

    def _become(self):
        pid = running_pid(self.pidfile)
        if pid is not None:
            raise StartupError("it is running already, as process %d" % pid)
        daemon = Daemon(self.pidfile, self.env.path, foreground=not self._option("daemon", True))
        daemon.register(self)
        yield self.wait("daemonized", daemon.channel)
        self._take_hangup()

    def _do_stop(self):
        yield self._load()
        pid = running_pid(self.pidfile)
        if pid is None:
            raise StartupError("it is not running")
        yield self._end(pid)

    def _end(self, pid):
        """Ask a process to end, and wait until it did."""
        import signal
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self._option("timeout", 10)
        while running_pid(self.pidfile) == pid or _is_alive(pid):
            if time.monotonic() > deadline:
                raise StartupError("process %d does not stop" % pid)
            yield sleep(0.02)

    def _do_restart(self):
        yield self._load()
        pid = running_pid(self.pidfile)
        if pid is not None:
            yield self._end(pid)
        yield self._become()

    def _do_rehash(self):
        import signal
        yield self._load()
        pid = running_pid(self.pidfile)
        if pid is None:
            raise StartupError("it is not running")
        os.kill(pid, signal.SIGHUP)

    def _do_init(self):
        if os.path.exists(self.env.configfile):
            raise StartupError("Environment already exists!")
        yield self.call(Create(), self.env.channel)

    def _do_upgrade(self):
        if not os.path.exists(self.env.path):
            raise StartupError("Environment does not exist!")
        yield self.call(Upgrade(), self.env.channel)

    # -- SIGHUP -------------------------------------------------------------

    def _take_hangup(self):
        """Load the environment anew at SIGHUP, if we are the main thread."""
        import signal
        if not hasattr(signal, "SIGHUP"):
            return
        try:
            self._hangup = signal.signal(signal.SIGHUP, self._on_hangup)
        except ValueError:
            pass                    # another thread: never touch them

    def _on_hangup(self, number, frame):
        self.fire(LoadEnvironment(), self.env.channel)

    @handler("stopped", channel="*")
    def _on_stopped(self, component):
        if component is self.root and self._hangup is not None:
            import signal
            signal.signal(signal.SIGHUP, self._hangup)
            self._hangup = None


def _is_alive(pid):
    """Whether a process runs; one that only waits for its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return b") Z " not in file.read()
    except OSError:                 # no such folder here, or it went just now
        return True


def main(args=None):
    """The command: ``python3 circuits_io.py [--foreground] FOLDER VERB``."""
    import argparse
    parser = argparse.ArgumentParser(description="Make, start and stop what lives in a folder.")
    parser.add_argument("--foreground", dest="daemon", action="store_false", help="do not fork")
    parser.add_argument("--timeout", type=float, default=10, help="seconds that stopping may take")
    parser.add_argument("folder")
    parser.add_argument("verb", choices=Startup.verbs)
    opts = parser.parse_args(args)
    Startup(opts.folder, opts, opts.verb).run()


# ---------------------------------------------------------------------------
# 13. Names of the layout
#
# Which name here is meant where a submodule of the documented layout, or the
# current release, has another one.
# ---------------------------------------------------------------------------

# Lower-case names of the current release.  They are found by __getattr__ alone:
# as globals here, open would hide the builtin.
_LOWER = {
    "eof": "EOF", "seek": "Seek", "read": "Read", "close": "Close", "write": "Write",
    "error": "Error", "open": "Open", "opened": "Opened", "closed": "Closed", "ready": "Ready",
    "started": "Started", "stopped": "Stopped", "terminated": "Terminated", "moved": "Moved",
    "created": "Created", "deleted": "Deleted", "accessed": "Accessed", "modified": "Modified",
    "unmounted": "Unmounted", "daemonize": "Daemonize", "daemonized": "Daemonized",
    "deletepid": "DeletePID", "writepid": "WritePID",
}

_DOTTED = {
    "io": _LOWER,
    "io.events": _LOWER,
    "io.file": dict(_LOWER, BUFSIZE="FILE_BUFSIZE", TIMEOUT="FILE_TIMEOUT"),
    "io.process": _LOWER,
    "io.notify": _LOWER,
    "io.serial": dict(_LOWER, BUFSIZE="FILE_BUFSIZE", TIMEOUT="FILE_TIMEOUT"),
    "app.daemon": _LOWER,
    "app.env": {"Ready": "EnvironmentReady", "Load": "LoadEnvironment"},
    "app.startup": {"Error": "StartupError"},
}

#: The documented constants of circuits.io.file; the loop needs neither.
FILE_BUFSIZE = 4096
FILE_TIMEOUT = 0.2


if __name__ == "__main__":
    main()
