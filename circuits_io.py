"""Files, processes, folders that change, serial ports and daemons as components.

    from circuits import DONE as _DONE
    from circuits import SPECIAL as _SPECIAL
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
 5. Watching folders: the back ends
 6. Watching folders: Notify
 7. Serial ports
 8. Configuration and logs
 9. Environments
10. Daemons
11. Commands to start and stop
12. Names of the layout

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
    from .circuits import DONE as _DONE
    from .circuits import SPECIAL as _SPECIAL
    from .circuits import Component
    from .circuits import Event
    from .circuits import Read as PollRead
    from .circuits import TimeoutError
    from .circuits import Waiting
    from .circuits import _own_step
    from .circuits import handler
    from .circuits import poller_of
else:
    from circuits import DONE as _DONE
    from circuits import SPECIAL as _SPECIAL
    from circuits import Component
    from circuits import Event
    from circuits import Read as PollRead
    from circuits import TimeoutError
    from circuits import Waiting
    from circuits import _own_step
    from circuits import handler
    from circuits import poller_of

__all__ = (
    "Close", "Closed", "EOF", "Error", "File", "Kill", "Open", "Opened", "Process", "Read",
    "Ready", "Seek", "Signal", "Start", "Started", "Stop", "Stopped", "Terminated", "Wait",
    "Write",
)

#: Bytes read at once.  The 4096 of the documentation would make 16 times as
#: many events of a full pipe, which holds 65536.
BUFSIZE = 65536

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

    Files and ports: no arguments.  Notify: something that had been open was
    closed, (name, path, pathname, isdir).
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

# Bytes per write: on a disk so that the thread gives way now and then; into a
# pipe because it takes no more at once.
_MAX_WRITE = {False: 1 << 20, True: 1 << 17}


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
        return _Descriptor(number)
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
    if stat.S_ISREG(os.fstat(number).st_mode) and not mode.startswith("a"):
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

    To call or fire:  open, write, seek, close; to call only: pause, resume, tell
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
        self._pending = 0               # bytes of it
        self._seeks = 0
        self._waiters = []              # for room in the buffer, or the end
        self._d = None                  # the descriptor while it is open
        self._job = None                # the _InThread that is under way
        self._opening = False
        self._working = False
        self._reading = False           # there may be more to read
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
        return self._pending

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
        elif self._closing and self._path is not None:
            return None                 # closed before it came to this
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
                yield _Until(self._is_through, self._waiters)
            if self._d is not None:
                self._shut()
            self._broken = False
            if self._path is None:
                d = _adopt(self._file, self._mode, self._encoding)
            else:
                d = yield self._in_thread(_open_path, self._path, self._mode)
                if d is None:           # a FIFO that nobody reads yet
                    d = yield self._in_thread(_open_path, self._path, self._mode, True, alone=True)
            if self._opening:           # stopping did not take it: see _drain
                self._take(d)
        except OSError as error:
            self._fail(error)
        finally:
            self._opening = False
            self._job = None

    def _in_thread(self, function, *args, alone=False):
        self._job = _InThread(function, *args, d=self._d, alone=alone)
        return self._job

    def _take(self, d):
        """It is open: start with what waits to be done."""
        self._opening = False
        self._d = d
        self._reading = "r" in self._mode or "+" in self._mode
        self.fire(Opened(self._name, self._mode), self.channel)
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
        self._read_on()

    @handler(False)
    def tell(self):
        """The place in the file up to which it was read or written."""
        if self._d is None:
            raise ValueError("%r is not open" % self)
        return self._d.seek(0, os.SEEK_CUR)

    def _wants_read(self):
        return (self._reading and not self._paused and not self._closing
                and self._ahead <= self.max_ahead)

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
        reactor.tell(self, Read, self.channel, data)
        event = reactor.told.get(("read", self.channel))
        if event is not None and event._on_complete is None and event._state != _DONE:
            event.complete = True
            event.size = len(data)
            event._state = _SPECIAL
            event._on_complete = self._digested
            self._ahead += len(data)

    def _digested(self, event):
        before = self._ahead
        self._ahead -= event.size
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
        self._pending += len(data)
        if self._d is not None:
            self._flush()
        return None if self._has_room() else _Until(self._has_room, self._waiters)

    def _has_room(self):
        return self._pending <= self.max_buffer

    def _is_through(self):
        return not self._out

    def _is_shut(self):
        return self._d is None

    def _flush(self):
        """Write what waits: at once if the file takes it, else when it can."""
        d = self._d
        if not d.polled:
            return self._work_on()
        try:
            d.sync()
            if d.ours and not poller_of(self).isWriting(d.number):
                self._write_ready(d.number)
            if self._out and self._d is d:
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
        if not self._out:
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
        self._pending -= count
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
        count = yield self._in_thread(d.write, self._pieces()[0])
        if self._d is d:
            self._wrote(count)

    def _work_in(self, d):
        data = yield self._in_thread(d.read, max(self.bufsize, BUFSIZE), alone=d.endless)
        if self._d is not d or self._seeks:
            return                      # it is from where we were before
        for start in range(0, len(data), self.bufsize):
            self._deliver(data[start:start + self.bufsize])
        if not data:
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
        """End a thread that waits for somebody to read a FIFO: be that, shortly."""
        job = self._job
        if job is not None and job.alone and not job.over:
            try:
                os.close(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK))
            except OSError:             # it was removed meanwhile
                pass

    def _maybe_shut(self):
        if self._closing and self._d is not None and not self._out:
            self._shut()

    def _shut(self):
        """Close it now."""
        d, self._d = self._d, None
        self._reading = False
        if d.polled and self._reactor.poller is not None:
            self._reactor.poller.discard(d.number)
        try:
            d.release()
        except OSError as error:        # NFS reports a full disk here
            self._complain(error)
        self._reactor.told.pop(("read", self.channel), None)
        self.fire(Closed(), self.channel)
        _settle(self._waiters)

    def _complain(self, error):
        """Tell an error, once per opening."""
        if not self._broken:
            self.fire(Error(error), self.channel)

    def _fail(self, error):
        """It is of no use any more: tell, drop what waits, close."""
        self._complain(error)
        self._broken = True
        self._out.clear()
        self._pending = self._seeks = 0
        self._closing = True
        if self._d is not None:
            self._shut()
        _settle(self._waiters)

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

    @handler("prepare_unregister", channel="*")
    def _on_prepare_unregister(self, event, component):
        if not event.in_subtree(self):
            return None
        self.close()
        if self._d is None and not self._opening:
            return None
        self._reactor.call_later(self.linger, self._close_now, 0)
        return _Until(self._is_shut, self._waiters)

    def _close_now(self, linger=None):
        """Write what is left, without the loop, and close."""
        self._closing = True
        try:
            self._drain(time.monotonic() + (self.linger if linger is None else linger))
        except OSError as error:
            return self._fail(error)
        if self._out:
            return self._fail(OSError(errno.ETIMEDOUT, "%d bytes could not be written in %g s" % (
                self._pending, self.linger), self._name))
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
    """Send the process a signal: (signum)."""


class Wait(Event):
    """Wait for the end of the process; the value is its status."""


class Started(Event):
    """The process runs: (process).

    The name is that of the event with which a system starts.  A handler on
    channel "*" hears both: it is the system if the argument is its root.
    """


class Terminated(Event):
    """The process ended and its output is complete: (process)."""


class Stopped(Event):
    """What Terminated was called first: (process).

    The name is that of the event with which a system stops; see Started.
    """


class _Pipe(File):
    """One end of a process, which hears of it before everybody else."""

    def init(self, process, name, file, mode, **options):
        self.process = process
        self.end = name
        super().init(file, mode, **options)

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
        room = self.max_output - kept.tell()
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

    @handler("wait")
    def wait(self, event=None, *channels, timeout=None):
        """Wait for its end: ``status = yield process.wait()``.

        With an event or its name: for that, as every component does.
        """
        if event is not None:
            return super().wait(event, *channels, timeout=timeout)
        return self._wait_for_end()

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
        if fd is self._exit:
            self._read_ready(fd)

    _on_read = _own_step(_on_read)

    def _read_ready(self, fd):
        """It ended, says the kernel or the thread."""
        if fd is not self._exit or self.p.poll() is None:
            return
        self._unwatch()
        self._cancel("timeout")
        file = self._files.get("stdin")
        if file is not None:
            file._out.clear()           # nobody will read that
            file._pending = 0
            file.close()
        self._pipe_closed()
        self._linger()

    def _unwatch(self):
        exit, self._exit = self._exit, None
        if isinstance(exit, int):
            if self._reactor.poller is not None:
                self._reactor.poller.discard(exit)
            os.close(exit)

    def _linger(self):
        if not self._ended:
            self._after("linger", self.linger, self._close_files)

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
        self._close_files()
        self._pipe_closed()

    @handler("prepare_unregister", channel="*")
    def _on_prepare_unregister(self, event, component):
        if event.in_subtree(self) and self.alive:
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

_LOWER = {}
