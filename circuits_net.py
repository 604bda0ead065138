"""Sockets as components: what arrives becomes events, events are what is sent.

    from circuits_net import TCPServer

    class Echo(TCPServer):
        def read(self, sock, data):
            return data

    Echo(("127.0.0.1", 8000)).run()

Contents

 1. Events
 2. Addresses
 3. TLS
 4. Connections
 5. Endpoints: what clients and servers share
 6. Servers
 7. Clients
 8. Pipes
 9. Datagrams
10. Lines and frames
11. IRC
12. Events on a wire
13. Bridges to own processes
14. Nodes
15. Names of the current release
16. Dotted names

Names used throughout: a *sock* is a Connection, the socket of one peer, and
the key that all events about that peer carry; an *endpoint* is a component
that owns sockets; *out* is what waits to be sent; a *bind* is an address in
any form that section 2 reads.

To use this file, copy it into your project beside circuits.py, with this
notice.  It needs Python 3.8 or newer and nothing else.
"""

# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the circuits-in-four-files authors

import errno
import os
import re
import struct
import sys
from binascii import a2b_base64
from binascii import b2a_base64
from collections import deque
from itertools import count

try:                    # absent on some embedded builds; endpoints then say so
    import socket
except ImportError:
    socket = None

if not any(finder.find_spec(
        __package__ + ".circuits" if __package__ else "circuits",
        sys.modules[__package__].__path__ if __package__ else None)
        for finder in sys.meta_path if hasattr(finder, "find_spec")):
    raise ImportError("%s needs circuits.py, which is not beside it: copy that file too" % __name__)

if __package__:
    from .circuits import __version__ as _core_version
    from .circuits import BaseComponent
    from .circuits import CircuitsError
    from .circuits import Component
    from .circuits import DerivedEvent
    from .circuits import Event
    from .circuits import Running
    from .circuits import Select
    from .circuits import TimeoutError
    from .circuits import Waiting
    from .circuits import _own_step
    from .circuits import _tree_lock
    from .circuits import flatten
    from .circuits import handler
    from .circuits import keep_memory
    from .circuits import poller_of
else:
    from circuits import __version__ as _core_version
    from circuits import BaseComponent
    from circuits import CircuitsError
    from circuits import Component
    from circuits import DerivedEvent
    from circuits import Event
    from circuits import Running
    from circuits import Select
    from circuits import TimeoutError
    from circuits import Waiting
    from circuits import _own_step
    from circuits import _tree_lock
    from circuits import flatten
    from circuits import handler
    from circuits import keep_memory
    from circuits import poller_of

__version__ = "2.1.0"
__sealed__ = "554a5d476f77fa5cd2566817566f4734f16878c689b788dd516615c165118dd5"

__all__ = (
    "Bridge", "BridgeLost", "Broadcast", "Client", "Close", "Closed",
    "Connect", "Connected", "ConnectedTo", "Connection", "Disconnect",
    "Disconnected", "DisconnectedFrom", "Drain", "Ended", "Frame",
    "HalfClose", "IRC", "LP", "LengthPrefix", "Line", "LineProtocol",
    "LinkLost", "Node", "Pause", "Pipe", "Read", "Ready", "Remote",
    "RemoteError", "Secured", "SendFile", "Server", "SocketError",
    "StartTLS", "TCP6Client", "TCP6Server", "TCPClient", "TCPServer",
    "TooLong", "UDP6Client", "UDP6Server", "UDPClient", "UDPServer",
    "UNIXClient", "UNIXServer", "Unreachable", "WireError", "Write",
    "WriteFrame", "inherited_sockets", "ipc",
)

if _core_version != __version__:
    raise ImportError("%s is version %s, the circuits.py it found is %s: use files of one version"
                      % (__name__, __version__, _core_version))

#: Bytes asked of a socket at first.
BUFSIZE = 4096

#: A peer that has filled a read is read in pieces this many times as large from
#: then on: 64 KiB, since larger buffers can cost malloc an mmap each.
GROWTH = 16

#: Connections that may wait to be accepted; the system has a limit of its own.
BACKLOG = 5000

#: Connections taken per turn, so that a flood of them starves nobody.
ACCEPTS_PER_TURN = 64

#: Seconds without accepting after it has failed, for want of descriptors mostly.
ACCEPT_PAUSE = 1.0

#: Small pieces are sent joined up to this many bytes.
PIECE = 65536

#: send() calls per turn for one connection, so that a fast peer starves nobody.
SENDS_PER_TURN = 16

#: Batches of events that still have their turn when a peer has sent its last.
TURNS_AFTER_END = 16

#: Bytes of output that may wait before a connection counts as slow, and those
#: at which it is on time again.  The figures of asyncio.
HIGH_WATER = 65536
LOW_WATER = 16384

#: Bytes of output that may wait for one connection before it is dropped: room
#: for a large answer in one piece, but no peer fills the memory.
MAX_OUTPUT = 64 << 20

#: Bytes of a file per system call.
FILE_PIECE = 1 << 20

#: Seconds until the first, and between later attempts to connect again.
RECONNECT_FIRST = 0.5
RECONNECT_MOST = 60.0

#: Datagrams read per turn.
DATAGRAMS_PER_TURN = 64

#: No datagram is larger than this.
MAX_DATAGRAM = 65536

#: Seconds that a TLS handshake may take on a server.
HANDSHAKE_TIMEOUT = 10.0

#: Seconds that connect may take, look-up and TLS handshake included.
CONNECT_TIMEOUT = 5.0

#: Seconds without a byte going out after which a close waits no longer.
CLOSE_TIMEOUT = 30.0

#: Seconds that a peer may go on sending after we closed, see Endpoint._part().
LINGER_TIMEOUT = 2.0

_Socket = object if socket is None else socket.socket

_AGAIN = (BlockingIOError, InterruptedError)

# How a peer that went away shows on sending: no error, just the end.
_GONE = frozenset((errno.EPIPE, errno.ENOTCONN, errno.ESHUTDOWN, errno.EBADF))

# What accept() reports of a connection that ended before we took it, and of
# the network it would have come by (accept(2) lists them).
_NEXT_PLEASE = frozenset(getattr(errno, name) for name in (
    "ECONNABORTED", "ECONNRESET", "EPROTO", "EPERM", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN",
    "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH") if hasattr(errno, name))

_IN_PROGRESS = frozenset((errno.EINPROGRESS, errno.EALREADY, getattr(errno, "WSAEWOULDBLOCK", -1)))


# ---------------------------------------------------------------------------
# 1. Events
#
# In the order of a life.  Servers put the sock in front of what clients say
# without it; datagrams put an address there.
# ---------------------------------------------------------------------------

class Ready(Event):
    """An endpoint can be used: (component) of a client, (component, (host,
    port)) of a server.  For a UNIX server host is the path, and port None.
    """

    def __init__(self, component, bind=None):
        if bind is None:
            super().__init__(component)
        else:
            super().__init__(component, bind)


class Connect(Event):
    """To a client: connect to (host, port, secure=False), or to (path) where
    it is a UNIX client.  From a server: (sock, host, port) connected; for IPv6
    flowinfo and scopeid follow, for UNIX there is only sock.
    """


class Connected(Event):
    """The client is connected to *host* and *port*; for UNIX: host name, path."""

    def __init__(self, host, port):
        super().__init__(host, port)


class Unreachable(Event):
    """The client could not connect; *reason* is the exception of the last try."""

    def __init__(self, host, port, reason=None):
        super().__init__(host, port, reason)


class StartTLS(Event):
    """Go on encrypted: (sock) at a server, () or (server_hostname=...) at a
    client.  What was written before still goes in clear.
    """

    name = "starttls"


class Secured(Event):
    """A starttls has succeeded: () at a client, (sock) at a server."""


class Read(Event):
    """Bytes arrived: (data) at a client, (sock, data) at a server, (address,
    data) as a datagram.

    What a handler returns (bytes or text) is written back.
    """

    notify = True


class Write(Event):
    """Send: (data) by a client, (sock, data) by a server, (address, data) as a
    datagram.  Text is encoded as UTF-8.
    """


class SendFile(Event):
    """Send from *file*: (file, offset=0, count=None) by a client, (sock, file,
    offset=0, count=None) by a server.

    It goes out after what was written before, straight from the disk where the
    platform can.  The file is closed when it is sent, or cannot be.
    """


class Pause(Event):
    """The peer is slow, more than high_water bytes wait: (sock) of a server.

    A server reads nothing from it until drain.  Whoever produces output for
    it better waits for that, too.
    """


class Drain(Event):
    """The output of a slow peer has gone down to low_water: (sock) of a server."""


class Broadcast(Event):
    """Send a datagram to everybody on the local network: (data, port)."""


class SocketError(Event):
    """The operating system reported an error: (exception), (sock, exception)."""


class Close(Event):
    """Close when what was written is out: a client, a whole server, or (sock)
    one connection of it.
    """


class HalfClose(Event):
    """Send no more, but go on reading: () by a client, (sock) by a server.

    Takes effect when what was written is out; the peer sees the end.
    """


class Ended(Event):
    """The peer sends no more, and may still read: () at a client, (sock) at a
    server.  Fired where half_open=True keeps such a connection.
    """


class Disconnect(Event):
    """The connection *sock* of a server ended; fired once for each connect."""


class Disconnected(Event):
    """The connection of a client ended; fired once for each connected."""

    def __init__(self):
        super().__init__()


class Closed(Event):
    """The server is closed, and all its connections are."""

    def __init__(self):
        super().__init__()


# ---------------------------------------------------------------------------
# 2. Addresses
#
# What people write for an address, and what sockets take.
# ---------------------------------------------------------------------------

def split_hostport(text):
    """Split "host:port" into (host, port).

    >>> split_hostport("localhost:80"), split_hostport("[::1]:80")
    (('localhost', 80), ('::1', 80))

    Raises ValueError unless the port is a decimal number in 0..65535.
    """
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("%r is no address: write host:port, or [host]:port for IPv6" % (text,))
    return host, int(port)


def parse_ipv4_parameter(bind):
    """The (host, port) that *bind* means: an int, "host:port" or a pair.

    A port alone means all interfaces, so that a server on it is reached as
    127.0.0.1 as well as by the name of the host.

    >>> parse_ipv4_parameter(8000), parse_ipv4_parameter("localhost:80")
    (('0.0.0.0', 8000), ('localhost', 80))
    """
    return _parse_bind(bind, "0.0.0.0")


def parse_ipv6_parameter(bind):
    """Like parse_ipv4_parameter(), with :: for a port alone."""
    return _parse_bind(bind, "::")


def _parse_bind(bind, everywhere):
    if isinstance(bind, int):
        return (everywhere, bind)
    if isinstance(bind, str) and ":" in bind:
        return split_hostport(bind)
    return bind


def _is_socket(thing):
    return socket is not None and isinstance(thing, socket.socket)


def _addresses(host, port, family, kind, flags=0):
    """What getaddrinfo() knows: a list of (family, type, proto, address)."""
    found = socket.getaddrinfo(host, port, family, kind, 0, flags)
    return list(dict.fromkeys((int(f), int(k), p, address) for f, k, p, _, address in found))


def resolve(component, host, port, family, kind, callback):
    """Look a host up and call back with (addresses, None) or ([], OSError).

    At once if *host* is a number; else a thread waits for the answer, which
    arrives in the thread of the loop.
    """
    try:
        found = _addresses(host, port, family, kind, socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        pass
    else:
        return callback(found, None)

    def look_up():
        try:
            answer = _addresses(host, port, family, kind), None
        except (OSError, UnicodeError) as error:    # an over-long name cannot be encoded
            answer = [], error if isinstance(error, OSError) else OSError(str(error))
        return answer

    import threading
    try:
        threading.Thread(target=lambda: _call_soon(component, callback, *look_up()),
                         name="circuits-lookup", daemon=True).start()
    except RuntimeError:            # this platform has no threads: block, then
        callback(*look_up())


def _call_soon(component, callback, *args):
    """Call back in the thread of the loop, in turn; safe from any thread."""
    def call():
        callback(*args)
        return
        yield                       # a task is what the queue takes beside events

    event = Event()
    event.waitingHandlers = 1
    Running(call(), event, callback, component).resume()


# ---------------------------------------------------------------------------
# 3. TLS
#
# A session as a machine: bytes of the wire in, bytes of the wire out, and the
# plain ones on the other side.  It knows neither sockets nor clocks, so that
# no handshake can ever block anybody else.
# ---------------------------------------------------------------------------

ssl = None              # imported where it is first needed


def __getattr__(name):
    if name == "HAS_SSL":           # asking must not import it for everybody
        try:
            import ssl
        except ImportError:
            return False
        return bool(ssl)
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


def _need_ssl():
    global ssl
    if ssl is None:
        try:
            import ssl as module
        except ImportError as error:
            raise RuntimeError("this Python has no ssl module: TLS cannot be used") from error
        ssl = module


def is_ssl_handshake(buf):
    """Whether the first bytes of a stream begin a TLS (or SSL) handshake.

    >>> is_ssl_handshake(b"\\x16\\x03\\x01\\x02\\x00\\x01"), is_ssl_handshake(b"GET / ")
    (True, False)
    """
    return buf[:2] == b"\x16\x03" or len(buf) > 2 and buf[0] >= 0x80 and buf[2] == 1


def _ready_context(secure):
    if not hasattr(secure, "wrap_bio"):
        raise TypeError("secure is True, False or an ssl.SSLContext, got %r" % (secure,))
    _need_ssl()
    return secure


def server_context(certfile, keyfile=None, password=None, ca_certs=None, cert_reqs=None,
                   alpn=None):
    """The SSLContext of a server: TLS 1.2 or newer.

    ca_certs   file with the authorities whose client certificates we take
    cert_reqs  whether a client must show one; default: yes, given ca_certs
    alpn       names of protocols we speak, the best first
    """
    _need_ssl()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certfile, keyfile, password)
    if ca_certs is not None:
        context.load_verify_locations(ca_certs)
        context.verify_mode = ssl.CERT_REQUIRED
    if cert_reqs is not None:
        context.verify_mode = cert_reqs
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def client_context(certfile=None, keyfile=None, password=None, ca_certs=None, verify=True,
                   alpn=None):
    """The SSLContext of a client: it verifies the server and its host name.

    certfile  our own certificate, where the server wants one
    ca_certs  file with the authorities we trust; default: those of the system
    verify    False trusts anybody, a man in the middle included
    """
    _need_ssl()
    context = ssl.create_default_context(cafile=ca_certs)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certfile is not None:
        context.load_cert_chain(certfile, keyfile, password)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class TLS:
    """One session.  feed() and encrypt() fill *rest*, what is to be sent."""

    __slots__ = ("session", "incoming", "outgoing", "rest", "shaken", "started", "parted",
                 "deadline")

    def __init__(self, context, server_side, server_hostname=None):
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_side, server_hostname)
        self.rest = b""             # for the peer, not sent yet
        self.shaken = False         # the handshake is done
        self.started = False        # the peer has said something
        self.parted = False         # we have said that we end it
        self.deadline = None        # the timer of the handshake

    def shake(self):
        """Go on with the handshake; True when it is done.  Raises SSLError."""
        try:
            self.session.do_handshake()
            self.shaken = True
        except ssl.SSLWantReadError:
            pass
        finally:
            self.collect()
        return self.shaken

    def decrypt(self):
        """(plain bytes, whether the peer has ended the session).  Raises SSLError."""
        parts = []
        ended = False
        try:
            while True:
                part = self.session.read(PIECE)
                if not part:
                    ended = True
                    break
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        finally:
            self.collect()          # answers to key updates and the like
        return b"".join(parts), ended

    def encrypt(self, data):
        self.session.write(data)
        self.collect()

    def part(self):
        """Tell the peer that we end the session."""
        self.parted = True
        try:
            self.session.unwrap()
        except (ssl.SSLError, ValueError):      # it has not said so itself yet
            pass
        self.collect()

    def collect(self):
        if self.outgoing.pending:
            self.rest = bytes(self.rest) + self.outgoing.read()


# ---------------------------------------------------------------------------
# 4. Connections
#
# A socket together with what waits to be sent.  Invariant: if anything waits,
# somebody is sure to come back to it: the poller watches for writability, a
# flush is queued, or a handshake is going on.
# ---------------------------------------------------------------------------

class FilePart:
    """*count* bytes of *file*, from *offset* on, that are to be sent."""

    __slots__ = ("file", "offset", "count", "direct")

    def __init__(self, file, offset, count):
        if count is None:
            count = max(0, file.seek(0, os.SEEK_END) - offset)
        self.file = file
        self.offset = offset
        self.count = count
        self.direct = hasattr(os, "sendfile") and _has_number(file)

    def send_to(self, number):
        """Have the system send some; True when that was the last."""
        try:
            sent = os.sendfile(number, self.file.fileno(), self.offset,
                               min(self.count, FILE_PIECE))
        except OSError as error:
            if error.errno not in _NO_SENDFILE:
                raise
            self.direct = False     # this file system cannot; read, then
            return False
        return self._took(sent)

    def read(self):
        """The next bytes."""
        try:
            self.file.seek(self.offset)
            data = self.file.read(min(self.count, PIECE))
        except ValueError as error:             # somebody closed it
            raise OSError(errno.EIO, "%r cannot be read: %s" % (self.file, error)) from error
        self._took(len(data))
        return data

    def _took(self, size):
        if not size:
            raise OSError(errno.EIO, "%r is %d bytes shorter than what was to be sent of it"
                          % (self.file, self.count))
        self.offset += size
        self.count -= size
        if not self.count:
            self.file.close()
        return not self.count


_NO_SENDFILE = frozenset(getattr(errno, name) for name in (
    "EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOTSOCK", "EOVERFLOW") if hasattr(errno, name))


def _has_number(file):
    try:
        return isinstance(file.fileno(), int)
    except (AttributeError, OSError):       # io.BytesIO and the like
        return False


class Connection(_Socket):
    """The socket of one peer, and the state of the stream.

    Use it as a key and to ask: getpeername() and the like; with TLS version(),
    cipher(), getpeercert() and selected_alpn_protocol(), else None.  To send
    and to close, fire Write and Close: its own send() and close() know nothing
    of what is still waiting, or of TLS.
    """

    __slots__ = ("out", "pending", "appetite", "closing", "corked", "slow", "ended",
                 "shut", "moved", "announced", "tls", "upper")

    def __init__(self, family, kind, proto=0, fileno=None):
        super().__init__(family, kind, proto, fileno)
        self.setblocking(False)
        self.out = None             # deque of bytes and FileParts; None: nothing waits
        self.pending = 0            # bytes in it, files not counted
        self.appetite = 0           # how much the next read asks for; 0: BUFSIZE
        self.closing = None         # the timer of a close that waits for out
        self.corked = False         # a flush of out is in the queue
        self.slow = False           # pause was fired, and drain not yet
        self.ended = False          # the peer sends no more
        self.moved = False          # some went out since the close began, or was looked at
        self.shut = False           # we send no more, once out is empty
        self.announced = False      # the application has been told of it
        self.tls = None
        self.upper = None           # what a protocol above us keeps with it

    def getpeercert(self, binary_form=False):
        return None if self.tls is None else self.tls.session.getpeercert(binary_form)

    def cipher(self):
        return None if self.tls is None else self.tls.session.cipher()

    def version(self):
        return None if self.tls is None else self.tls.session.version()

    def selected_alpn_protocol(self):
        return None if self.tls is None else self.tls.session.selected_alpn_protocol()

    def enqueue(self, data):
        """Add to what waits."""
        if self.out is None:
            self.out = deque()
        self.out.append(data)
        self.pending += len(data)

    def piece(self):
        """Take the next bytes to send from *out*; small ones are joined."""
        out = self.out
        first = out.popleft()
        if type(first) is FilePart:
            data = first.read()
            if first.count:
                out.appendleft(first)
            self.pending += len(data)
            return data
        size = len(first)
        if not out or size >= PIECE:
            return first
        parts = [first]
        while out and size < PIECE and type(out[0]) is not FilePart:
            size += len(out[0])
            parts.append(out.popleft())
        return b"".join(parts)

    def send_some(self):
        """Send what the socket takes of what waits; True if all went."""
        if self.tls is not None:
            return self._send_some_encrypted()
        out = self.out
        if out is None:
            return True
        for _ in range(SENDS_PER_TURN):
            if type(out[0]) is FilePart and out[0].direct:
                went = self._send_file(out[0])
            else:
                went = self._send_piece()
            if not went:
                return False
            if not out:
                self.out = None
                return True
        return False

    def _send_piece(self):
        """Send the next bytes; False if the socket did not take them all."""
        piece = self.piece()
        try:
            sent = self.send(piece)
        except _AGAIN:
            sent = 0
        self.pending -= sent
        if sent:
            self.moved = True
        if sent == len(piece):
            return True
        self.out.appendleft(memoryview(piece)[sent:] if sent else piece)
        return False

    def _send_file(self, part):
        """Have the system send from a file; False if the socket is full."""
        try:
            if part.send_to(self.fileno()):
                self.out.popleft()
        except _AGAIN:
            return False
        self.moved = True
        return True

    def _send_some_encrypted(self):
        tls = self.tls
        for _ in range(SENDS_PER_TURN):
            if not tls.rest:
                if self.out is None or not tls.shaken:
                    return True
                self._encrypt_piece()
            try:
                sent = self.send(tls.rest)
            except _AGAIN:
                return False
            self.moved = True
            if sent < len(tls.rest):
                tls.rest = memoryview(tls.rest)[sent:]
                return False
            tls.rest = b""
        return False

    def _encrypt_piece(self):
        """Encrypt the next bytes of *out*, few enough that memory stays small."""
        piece = memoryview(self.piece())
        if len(piece) > PIECE:
            self.out.appendleft(piece[PIECE:])
            piece = piece[:PIECE]
        self.pending -= len(piece)
        if not self.out:
            self.out = None
        self.tls.encrypt(piece)

    def abandon(self):
        """Close, and forget what waits."""
        for part in self.out or ():
            if type(part) is FilePart:
                part.file.close()
        self.out = None
        self.close()


def _adopt(sock):
    """Make a Connection of a socket somebody else made, which loses its own."""
    if isinstance(sock, Connection):
        return sock
    if type(sock) is not socket.socket:
        raise TypeError("a ready socket must be a plain socket.socket, got %r: an endpoint does "
                        "TLS itself" % (sock,))
    return Connection(sock.family, sock.type, sock.proto, sock.detach())


def _as_bytes(data):
    """What Write carries, as bytes; text is UTF-8."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode("utf-8")
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)          # a copy: it may change before it is sent
    raise TypeError("write takes bytes or text, got %r" % (data,))


# ---------------------------------------------------------------------------
# 5. Endpoints: what clients and servers share
#
# The life in a tree, and the transfer of bytes.  The poller calls _read_ready
# and _write_ready, or fires _read and _write where somebody listens.
# ---------------------------------------------------------------------------

def _marks_handlers(cls, names):
    """Make public methods of *cls* called like one of *names* handlers.

    Whoever overrides read() in a TCPServer means the event, as in a Component.
    """
    for name in names:
        method = vars(cls).get(name)
        if hasattr(method, "__code__") and not hasattr(method, "handler"):
            handler(name)(method)


def _new_replies(value):
    """The texts and bytes among the results of *value* that were not here before."""
    results = value.value if isinstance(value.value, list) else [value.value]
    done = int(value.handled)
    value.handled = len(results)
    return [reply for reply in results[done:] if isinstance(reply, (bytes, bytearray, str))]


class Endpoint(BaseComponent):
    """A component that owns sockets.

    To override:  _attach(), _detach(), _read_ready(sock), _write_ready(sock)
    """

    #: Methods of these names are handlers in subclasses, marked or not.
    _facts = ("connected", "disconnected", "unreachable", "read", "ready", "closed",
              "socket_error")

    _sock = None
    _attached = False           # the tree has seen us: ready was fired

    def __init_subclass__(cls, **kwargs):
        _marks_handlers(cls, cls._facts)
        super().__init_subclass__(**kwargs)

    def __init__(self, channel=None):
        if socket is None:
            raise RuntimeError("this Python has no socket module: %s cannot work here"
                               % type(self).__name__)
        if channel is None:
            super().__init__()
        else:
            super().__init__(channel=channel)

    # -- the life in a tree -------------------------------------------------

    @handler("registered", "started", channel="*")
    def _on_joined(self, *args):
        if not self._attached:
            self._attached = True
            self._attach()

    @handler("stopped", channel="*")
    def _on_stopped(self, component=None, *args):
        if component is self.root and self._is_open():
            self._hurry = True
            self.fire(Close())

    @_own_step
    @handler("prepare_unregister", channel="*")
    def _on_prepare_unregister(self, event, component):
        if event.in_subtree(self):
            self._hurry = True
            self.close()

    _hurry = False              # close without waiting for output to go

    def _moved(self, old):
        if old.root._reactor is self._reactor:
            return              # the whole tree moved, and its poller with it
        if self._attached:
            self._attached = False
            self._detach(old)

    def _attach(self):
        """To override: start to use the poller, say that we are ready."""

    def _detach(self, old):
        """To override: we were cut out of the tree of the reactor *old*; close
        without a word.
        """

    def _is_open(self):
        """To override: whether close() has anything to do."""
        return self._sock is not None

    # -- what the poller says -----------------------------------------------

    @_own_step
    @handler("_read")
    def _on_read_ready(self, sock):
        self._read_ready(sock)

    @_own_step
    @handler("_write")
    def _on_write_ready(self, sock):
        self._write_ready(sock)

    @_own_step
    @handler("_disconnect")
    def _on_hung_up(self, sock):
        self._read_ready(sock)      # reading says what happened

    def _hung_up(self, sock):
        self._read_ready(sock)

    # -- echo ---------------------------------------------------------------

    @_own_step
    @handler("read_value_changed")
    def _on_read_value_changed(self, value):
        """Write back what handlers of read returned, each result once."""
        for reply in _new_replies(value):
            self._reply(value.event, reply)

    def _reply(self, event, data):
        """Write *data* to where the Read *event* came from."""
        self._reactor.tell(self, Write, self.channel, event.args[0], data)


class StreamEndpoint(Endpoint):
    """An endpoint of connections.

    To override:  _received(conn, data), _failed(conn, error), _ended(conn)
    """

    #: Whether a slow peer is not read from, so that it cannot make us produce
    #: more.  Two ends that both did so could wait for each other for ever.
    _holds_slow_peers = False

    def __init__(self, bufsize=BUFSIZE, channel=None, high_water=HIGH_WATER, low_water=None,
                 max_output=None, half_open=False):
        if low_water is None:
            low_water = min(LOW_WATER, high_water // 4)
        if not isinstance(bufsize, int) or bufsize < 1:
            raise ValueError("bufsize is a number of bytes, at least 1, got %r" % (bufsize,))
        if not 0 <= low_water <= high_water:
            raise ValueError("low_water is at least 0 and at most high_water, got %r and %r"
                             % (low_water, high_water))
        self._bufsize = bufsize
        self.high_water = high_water
        self.low_water = low_water
        self.max_output = max_output
        self.half_open = half_open
        super().__init__(channel)

    def _received(self, conn, data):
        """To override: bytes arrived."""

    def _failed(self, conn, error):
        """To override: the system reported an error; _ended() follows."""

    def _ended(self, conn):
        """To override: the connection is closed."""

    # -- in -----------------------------------------------------------------

    def _receive(self, conn):
        """Read once from a connection that is ready."""
        appetite = conn.appetite or self._bufsize
        try:
            data = conn.recv(appetite)
        except _AGAIN:
            return
        except OSError as error:
            return self._break(conn, error)
        if not data:
            return self._peer_ended(conn)
        if len(data) == appetite:
            conn.appetite = self._bufsize * GROWTH
        if conn.closing is not None:
            return                  # nobody wants it any more, see _part()
        if conn.tls is None:
            self._received(conn, data)
        else:
            self._decipher(conn, data)

    def _peer_ended(self, conn, turns=TURNS_AFTER_END):
        """The peer sends no more: finish, with what it has not got yet.

        What it sent last may still be on its way through the handlers.
        """
        if conn.closing is not None and conn.out is None:
            return self._drop(conn)
        if turns == TURNS_AFTER_END:
            conn.ended = True
            poller_of(self).removeReader(conn)
            if self.half_open and not conn.shut and conn.announced:
                return self._tell_of(Ended, conn)
        if not self._owns(conn):
            return
        if turns and self._reactor.queue:
            _call_soon(self, self._peer_ended, conn, turns - 1)
        else:
            self._finish(conn)

    # -- TLS ----------------------------------------------------------------

    def _encipher(self, conn, context, server_side, seconds, server_hostname=None):
        """Begin a TLS session, whose handshake may take *seconds*."""
        conn.tls = TLS(context, server_side, server_hostname)
        if conn.out is not None:    # what was written before goes in clear
            conn.tls.rest = b"".join(conn.out)
            conn.out = None
            conn.pending = 0
        if seconds is not None:
            conn.tls.deadline = self._reactor.call_later(seconds, self._not_shaken, conn)
        if not server_side:
            self._shake(conn)

    def _not_shaken(self, conn):
        conn.tls.deadline = None
        if self._owns(conn):
            self._break(conn, OSError(errno.ETIMEDOUT, "the TLS handshake took too long"))

    def _decipher(self, conn, data):
        """Bytes of the wire arrived on an encrypted connection."""
        tls = conn.tls
        if not tls.started:
            tls.started = True
            if not conn.announced and not self._begins_well(conn, data):
                return
        tls.incoming.write(data)
        if tls.shaken:
            self._read_plain(conn)
        elif self._shake(conn):
            _call_soon(self, self._read_plain, conn)    # connect has to come first

    def _read_plain(self, conn):
        """Read what can be decrypted by now."""
        if not self._owns(conn):
            return
        try:
            data, ended = conn.tls.decrypt()
        except OSError as error:
            return self._break(conn, error)
        if conn.tls.rest:
            self._flush(conn)
        if data and self._owns(conn) and conn.closing is None:
            self._received(conn, data)
        if ended and self._owns(conn):
            self._peer_ended(conn)

    def _begins_well(self, conn, data):
        """To override: whether to go on with a handshake that begins so."""
        return True

    def _shake(self, conn):
        """Go on with the handshake of a connection; True when it is done."""
        tls = conn.tls
        try:
            done = tls.shake()
        except OSError as error:
            conn.out = None
            try:
                conn.send_some()    # the alert that says why
            except OSError:
                pass
            self._break(conn, error)
            return False
        if done:
            if tls.deadline is not None:
                self._reactor.cancel(tls.deadline)
                tls.deadline = None
            self._shaken(conn)
        if self._owns(conn):
            self._flush(conn)
        return done

    def _shaken(self, conn):
        """To override: the handshake is done."""

    # -- out ----------------------------------------------------------------

    def _send(self, conn, data):
        """Send, or keep for later what the socket does not take now."""
        if type(data) is not bytes:
            data = _as_bytes(data)
        if conn.closing is not None or conn.shut or not data:
            return
        if conn.out is not None:
            self._enqueue(conn, data)
            if conn.corked and not self._more_follows(conn):
                self._flush(conn)
            return
        if self._more_follows(conn):
            self._enqueue(conn, data)
            conn.corked = True
            return _call_soon(self, self._uncork, conn)
        if conn.tls is not None:
            self._enqueue(conn, data)
            return self._flush(conn)
        try:
            sent = conn.send(data)
        except _AGAIN:
            sent = 0
        except OSError as error:
            return self._break(conn, error)
        if sent < len(data):
            self._enqueue(conn, memoryview(data)[sent:] if sent else data)
            poller_of(self).addWriter(self, conn)

    def _enqueue(self, conn, data):
        """Keep for later; a peer for which too much is kept is slow, or dropped."""
        if self.max_output is not None and conn.pending > self.max_output:
            return self._break(conn, OSError(
                errno.ENOBUFS, "the peer does not read: %d bytes wait for it" % conn.pending))
        conn.enqueue(data)
        if conn.pending > self.high_water and not conn.slow:
            conn.slow = True
            if self._holds_slow_peers:
                poller_of(self).removeReader(conn)
            self._tell_of(Pause, conn)

    def _on_time_again(self, conn):
        conn.slow = False
        if self._holds_slow_peers and not conn.ended and conn.closing is None:
            poller_of(self).addReader(self, conn)
        self._tell_of(Drain, conn)

    def _tell_of(self, event_class, conn):
        """To override: tell a fact about a connection."""

    def _send_file(self, conn, file, offset, count):
        """Send from a file, after what waits."""
        if conn.closing is not None or conn.shut:
            return file.close()
        part = FilePart(file, offset, count)
        if not part.count:
            return file.close()
        if conn.out is None:
            conn.out = deque()
        conn.out.append(part)
        self._flush(conn)

    def _more_follows(self, conn):
        """Whether the next event is another Write for *conn*.

        Then the two go out as one.  Should something keep that event from us,
        the call in the queue sends what we have.
        """
        return False

    def _uncork(self, conn):
        if conn.corked and self._owns(conn):
            self._flush(conn)

    def _owns(self, conn):
        """To override: whether *conn* is open and ours."""

    def _flush(self, conn):
        """Send what waits, and have the poller call again for the rest."""
        conn.corked = False
        try:
            done = conn.send_some()
        except OSError as error:
            return self._break(conn, error)
        if not done:
            poller_of(self).addWriter(self, conn)
        elif conn.closing is None and not conn.shut:
            poller_of(self).removeWriter(conn)
        elif conn.tls is not None and conn.tls.shaken and not conn.tls.parted:
            conn.tls.part()
            return self._flush(conn)
        elif conn.closing is None:
            return self._end_output(conn)
        else:
            return self._part(conn)
        if conn.slow and conn.pending <= self.low_water:
            self._on_time_again(conn)

    # -- the end ------------------------------------------------------------

    def _finish(self, conn):
        """Close when what waits is out, or the peer takes none of it any more."""
        if conn.closing is not None:
            return
        if conn.out is None and conn.tls is None:
            return self._part(conn)
        self._give_time(conn)
        poller_of(self).removeReader(conn)
        if conn.corked or conn.tls is not None or self._hurry:
            self._flush(conn)
        if self._hurry:
            self._drop(conn)

    def _give_time(self, conn):
        conn.moved = False
        conn.closing = self._reactor.call_later(CLOSE_TIMEOUT, self._close_late, conn)

    def _close_late(self, conn):
        if conn.moved:
            self._give_time(conn)
        else:
            self._drop(conn)

    def _part(self, conn):
        """Everything is out: close, unless the peer is in the middle of sending.

        To close with unread data makes the system send RST, which destroys
        what is still on its way to the peer: the answer that says why.
        """
        try:
            unread = not conn.ended and not self._hurry and conn.recv(PIECE)
        except OSError:
            unread = False
        if not unread:
            return self._drop(conn)
        if conn.closing is not None:
            self._reactor.cancel(conn.closing)
        conn.closing = self._reactor.call_later(LINGER_TIMEOUT, self._drop, conn)
        poller = poller_of(self)
        poller.removeWriter(conn)
        poller.addReader(self, conn)
        self._end_output(conn)

    def _shut(self, conn):
        """Send no more when what waits is out."""
        if conn.closing is None and not conn.shut:
            conn.shut = True
            if conn.out is None or conn.corked or conn.tls is not None:
                self._flush(conn)

    def _end_output(self, conn):
        """Let the peer see the end."""
        poller_of(self).removeWriter(conn)
        try:
            conn.shutdown(socket.SHUT_WR)
        except OSError:
            return self._drop(conn)
        if conn.ended and conn.closing is None:
            self._drop(conn)        # both have ended

    def _break(self, conn, error):
        """An operation on a connection failed: that is its end."""
        lingers = conn.closing is not None and conn.out is None
        if error.errno not in _GONE and not lingers:
            self._failed(conn, error)
        self._drop(conn)

    def _drop(self, conn):
        """Close now; what waits is lost.  The one place where connections end."""
        if not self._owns(conn):
            return
        if conn.closing is not None:
            self._reactor.cancel(conn.closing)
        if conn.tls is not None and conn.tls.deadline is not None:
            self._reactor.cancel(conn.tls.deadline)
        poller_of(self).discard(conn)
        conn.abandon()
        self._ended(conn)


# ---------------------------------------------------------------------------
# 6. Servers
# ---------------------------------------------------------------------------

def _reuse_port_option():
    if not hasattr(socket, "SO_REUSEPORT"):
        raise RuntimeError("this platform has no SO_REUSEPORT: one process per port")
    return socket.SO_REUSEPORT


def inherited_sockets():
    """The listening sockets that systemd, or who does as it does, handed us.

        for sock in inherited_sockets():
            TCPServer(sock).register(app)

    They are descriptors 3 and up, as many as LISTEN_FDS says, if LISTEN_PID is
    this process.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    return [socket.socket(fileno=3 + i) for i in range(int(os.environ.get("LISTEN_FDS", 0)))]


class Server(StreamEndpoint):
    """What TCPServer, TCP6Server and UNIXServer share.

        TCPServer(8000)                 all interfaces
        TCPServer(("127.0.0.1", 0))     a free port: see server.port
        TCPServer("[::1]:8000")
        TCPServer(8443, secure=True, certfile="cert.pem", keyfile="key.pem")

    bind     an address (section 2), or a socket that is bound already
    secure   TLS from the start; True, or an SSLContext of your own
    backlog  connections that may wait to be accepted
    bufsize  bytes asked for at first; a peer that sends more than that at
             once is read in pieces up to 16 times as large

    certfile, keyfile, password, ca_certs, cert_reqs, alpn: for TLS, see
    server_context().  Given without secure they serve starttls.
    ssl_version is there for old programs: it is TLS 1.2 or newer anyway.
    handshake_timeout  seconds that a TLS handshake may take
    plain_reply        bytes sent in clear to a peer that does not begin with
                       TLS though it must

    max_connections    more than these wait in the backlog; None: no limit
    idle_timeout       seconds without a byte either way after which a
                       connection is closed; None: never
    high_water         bytes of output that may wait before pause is fired and
                       nothing is read from the peer; at low_water, by default
                       a quarter, it goes on
    max_output         bytes that may wait before the connection is dropped,
                       with socket_error(sock, ENOBUFS); None: no limit
    half_open          keep a connection whose peer sends no more: ended(sock)
                       is fired, and close(sock) is up to you.  By default it
                       is closed when the events it caused had their turn
    reuse_port         let other processes listen on the same port

    Listens:  write(sock, data), send_file(sock, file, offset=0, count=None),
              close() and close(sock), half_close(sock), starttls(sock)
    Fires:    ready, connect, secured, read, pause, drain, ended, disconnect,
              socket_error, closed
    Raises:   OSError if it cannot listen there, from the constructor

    It listens at once; connections are accepted when its tree runs.  With TLS
    connect comes after the handshake: sock.getpeercert() is then the client's
    certificate.  A handshake that fails is socket_error(sock, exception).
    """

    channel = "server"
    socket_family = None
    socket_options = ()

    #: Connections taken per turn; 1 where processes share the socket, as else
    #: the first to wake had them all.
    accepts_per_turn = ACCEPTS_PER_TURN

    _facts = Endpoint._facts + ("connect", "disconnect", "drain", "ended", "pause", "secured")
    _holds_slow_peers = True

    def __init__(self, bind, secure=False, backlog=BACKLOG, bufsize=BUFSIZE, channel=None, *,
                 certfile=None, keyfile=None, password=None, ca_certs=None, cert_reqs=None,
                 alpn=None, ssl_version=None, handshake_timeout=HANDSHAKE_TIMEOUT,
                 plain_reply=b"", max_connections=None, idle_timeout=None,
                 high_water=HIGH_WATER, low_water=None, max_output=MAX_OUTPUT,
                 half_open=False, reuse_port=False):
        self._bind = None if _is_socket(bind) else self.parse_bind_parameter(bind)
        self._backlog = backlog
        self._clients = {}          # open connection -> when it was last active
        self._listening = False     # the poller watches the listening socket
        self._pause = None          # the timer of a pause in accepting
        self._closing = False
        self._context = None
        self.secure = bool(secure)
        self.handshake_timeout = handshake_timeout
        self.plain_reply = plain_reply
        self.max_connections = max_connections
        self.idle_timeout = idle_timeout
        self._idle_timer = None
        self._reuse_port = reuse_port
        if secure not in (True, False, None):
            self._context = _ready_context(secure)
        elif certfile is not None:
            self._context = server_context(certfile, keyfile, password, ca_certs, cert_reqs, alpn)
        elif secure:
            raise RuntimeError("certfile must be specified for server-side operations")
        super().__init__(bufsize, channel, high_water, low_water, max_output, half_open)
        self._sock = self._take(bind) if _is_socket(bind) else self._create_socket()

    def parse_bind_parameter(self, bind):
        """Turn *bind* into what socket.bind() takes."""
        return bind

    def _create_socket(self):
        """Make the listening socket."""
        sock = socket.socket(self._family(), socket.SOCK_STREAM)
        try:
            self._prepare(sock)
            if self._reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, _reuse_port_option(), 1)
            for option in self.socket_options:
                sock.setsockopt(*option)
            self._bind_socket(sock)
            sock.listen(self._backlog)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise type(error)(error.errno, "cannot listen on %r: %s" % (
                self._bind, error.strerror or error)) from error
        except BaseException:
            sock.close()
            raise
        return sock

    def _take(self, sock):
        sock.listen(self._backlog)
        sock.setblocking(False)
        return sock

    def _family(self):
        return self.socket_family

    def _prepare(self, sock):
        """To override: set options before the socket is bound."""

    def _bind_socket(self, sock):
        sock.bind(self._bind)

    @property
    def connected(self):
        return True

    @property
    def host(self):
        """Where it listens, by the socket itself; None when it is closed."""
        if self._sock is None:
            return None
        name = self._sock.getsockname()
        return name[0] if isinstance(name, tuple) else name

    @property
    def port(self):
        """The port it listens on, None for UNIX and when it is closed."""
        if self._sock is None:
            return None
        name = self._sock.getsockname()
        return name[1] if isinstance(name, tuple) else None

    # -- the life in a tree -------------------------------------------------

    def _attach(self):
        if self._sock is not None:
            keep_memory()
            self._resume_accepting()
            self.fire(Ready(self, (self.host, self.port)))

    def _detach(self, old):
        for conn in self._clients:
            old.poller.discard(conn)
            conn.abandon()
        self._clients.clear()
        self._closing = False
        self._cancel_timers(old)
        if self._sock is not None:
            old.poller.discard(self._sock)
            self._shut_listening()

    def _cancel_timers(self, reactor):
        for timer in (self._pause, self._idle_timer):
            if timer is not None:
                reactor.cancel(timer)
        self._pause = self._idle_timer = None

    # -- accepting ----------------------------------------------------------

    def _read_ready(self, sock):
        if sock in self._clients:
            self._receive(sock)
        elif sock is self._sock:
            self._accept()

    def _write_ready(self, sock):
        if sock in self._clients:
            if self.idle_timeout is not None:
                self._active(sock)
            self._flush(sock)

    def _accept(self, most=None):
        """Take the connections that wait, a bounded number of them."""
        listening = self._sock
        family = int(listening.family)
        limit = sys.maxsize
        if isinstance(poller_of(self), Select) and sys.platform != "win32":
            limit = 1024
        for _ in range(most or self.accepts_per_turn):
            if self.max_connections is not None and len(self._clients) >= self.max_connections:
                return self._stop_accepting()
            try:
                number, address = listening._accept()
            except _AGAIN:
                return
            except OSError as error:
                if error.errno in _NEXT_PLEASE:
                    continue
                return self._pause_accepting(error)     # no descriptor is free, say
            if number >= limit:
                os.close(number)
                return self._pause_accepting(OSError(errno.EMFILE, "select() takes no descriptor "
                                                     "above 1023: use Poll or EPoll"))
            self._admit(Connection(family, socket.SOCK_STREAM, 0, number), address)

    def _admit(self, conn, address):
        """A connection was accepted: it is one of ours now."""
        self._clients[conn] = None
        if self.idle_timeout is not None:
            self._active(conn)
        poller_of(self).addReader(self, conn)
        if self.secure:
            self._encipher(conn, self._context, True, self.handshake_timeout)
        else:
            self._announce(conn, address)

    def _announce(self, conn, address):
        conn.announced = True
        self.fire(Connect(conn, *self._peer(address)))

    def _peer(self, address):
        """What connect says of where a peer is."""
        return address

    def _pause_accepting(self, error):
        """There is no room for more: the queue of the system must wait.

        The listening socket stays readable, so that asking the poller for it
        would keep the loop spinning.
        """
        self._stop_accepting()
        self._pause = self._reactor.call_later(ACCEPT_PAUSE, self._resume_accepting)
        self.fire(SocketError(self._sock, error))

    def _stop_accepting(self):
        self._listening = False
        poller_of(self).removeReader(self._sock)

    def _resume_accepting(self):
        if self._pause is not None:
            self._reactor.cancel(self._pause)
            self._pause = None
        if self._sock is not None and not self._listening:
            self._listening = True
            poller_of(self).addReader(self, self._sock)

    # -- connections --------------------------------------------------------

    def _owns(self, conn):
        return conn in self._clients

    def _received(self, conn, data):
        if self.idle_timeout is not None:
            self._active(conn)
        self._reactor.tell(self, Read, self.channel, conn, data)

    def _active(self, conn):
        """Note that something went in or out: the order is that of activity."""
        del self._clients[conn]
        self._clients[conn] = self.root.clock()
        if self._idle_timer is None:
            self._idle_timer = self._reactor.call_later(self.idle_timeout, self._close_idle)

    def _close_idle(self):
        """Close who was silent for too long; costs one step for each of them."""
        self._idle_timer = None
        now = self.root.clock()
        while self._clients:
            conn, last = next(iter(self._clients.items()))
            left = last + self.idle_timeout - now
            if left > 0:
                self._idle_timer = self._reactor.call_later(left, self._close_idle)
                return
            self._drop(conn)

    def _tell_of(self, event_class, conn):
        self._reactor.tell(self, event_class, self.channel, conn)

    def _failed(self, conn, error):
        self.fire(SocketError(conn, error))

    def _ended(self, conn):
        del self._clients[conn]
        if conn.announced:
            self.fire(Disconnect(conn))
        if not self._listening and self._attached:
            self._resume_accepting()        # there is room again
        if self._closing and not self._clients:
            self._all_closed()

    def _more_follows(self, conn):
        queue = self._reactor.queue
        if queue:
            try:
                event = queue[0]
                return type(event) is Write and event._args[0] is conn
            except IndexError:              # another thread's, or a malformed one
                pass
        return False

    @_own_step
    @handler("write")
    def write(self, sock, data):
        """Send *data* to *sock*; no harm if that is gone."""
        if sock in self._clients:
            if self.idle_timeout is not None and sock.out is None:
                self._active(sock)
            self._send(sock, data)

    @_own_step
    @handler("send_file")
    def send_file(self, sock, file, offset=0, count=None):
        """Send from a file, which is closed afterwards."""
        if sock in self._clients:
            self._send_file(sock, file, offset, count)
        elif _is_socket(sock) and sock.fileno() == -1:
            file.close()            # it is gone

    @_own_step
    @handler("half_close")
    def half_close(self, sock):
        """Send no more to *sock*, once what was written is out."""
        if sock in self._clients:
            self._shut(sock)

    @_own_step
    @handler("starttls")
    def starttls(self, sock):
        """Go on encrypted with *sock*; fires secured(sock) after the handshake."""
        if sock in self._clients and sock.tls is None and sock.closing is None:
            if self._context is None:
                raise RuntimeError("starttls needs a certificate: give the server certfile=")
            self._encipher(sock, self._context, True, self.handshake_timeout)

    def _begins_well(self, conn, data):
        if not self.plain_reply or data[0] == 0x16 or data[0] >= 0x80:
            return True             # see is_ssl_handshake(); there may be one byte only
        try:
            conn.send(self.plain_reply)
        except OSError:
            pass
        self._break(conn, ConnectionError(errno.EPROTO, "the peer does not speak TLS"))
        return False

    def _shaken(self, conn):
        if conn.announced:
            self.fire(Secured(conn))
            return
        try:
            self._announce(conn, conn.getpeername())
        except OSError:             # gone again
            self._drop(conn)

    def abort(self, sock):
        """Close one connection at once; what waits for it is lost."""
        self._drop(sock)

    @_own_step
    @handler("close")
    def close(self, sock=None):
        """Close one connection, or everything, when what was written is out."""
        if sock is not None:
            if sock in self._clients:
                self._finish(sock)
            return
        if self._sock is not None:
            poller_of(self).discard(self._sock)
            self._shut_listening()
            self._cancel_timers(self._reactor)
            self._closing = True
        elif not self._closing:
            return
        for conn in list(self._clients):
            if self._hurry:
                self._drop(conn)
            else:
                self._finish(conn)
        if not self._clients and self._closing:
            self._all_closed()

    def stop_listening(self):
        """Take the connections that wait, then refuse new ones; those there stay.

        For a graceful end.  closed() follows when the last of them has gone.
        """
        if self._sock is None:
            return
        self._accept(ACCEPTS_PER_TURN)
        poller_of(self).discard(self._sock)
        self._shut_listening()
        self._closing = True
        if not self._clients:
            self._all_closed()

    def _is_open(self):
        return self._sock is not None or self._closing

    def _shut_listening(self):
        self._listening = False
        sock, self._sock = self._sock, None
        sock.close()

    def _all_closed(self):
        self._closing = False
        self._cancel_timers(self._reactor)
        self.fire(Closed())


class TCPServer(Server):
    """Accept TCP connections, by IPv4 or, where the address says so, by IPv6."""

    def parse_bind_parameter(self, bind):
        bind = parse_ipv4_parameter(bind)
        if not isinstance(bind, tuple):
            raise TypeError("%s listens on a port, \"host:port\" or (host, port), got %r"
                            % (type(self).__name__, bind))
        return bind

    def _family(self):
        if self.socket_family is not None:
            return self.socket_family
        return socket.AF_INET6 if ":" in self._bind[0] else socket.AF_INET

    def _prepare(self, sock):
        if sys.platform != "win32":     # there it means that others may steal the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The accepted sockets inherit this one.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sock.family != socket.AF_INET:
            # "::" means both families here, only IPv6 for TCP6Server.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self._ipv6_only)

    _ipv6_only = 0

    def _peer(self, address):
        return address[:2]


class TCP6Server(TCPServer):
    """Accept TCP connections by IPv6; connect also says flowinfo and scopeid."""

    socket_family = None if socket is None else getattr(socket, "AF_INET6", None)

    def parse_bind_parameter(self, bind):
        return parse_ipv6_parameter(bind)

    _ipv6_only = 1

    def _peer(self, address):
        return address


class UNIXServer(Server):
    """Accept connections at a path of the file system.

    mode  permissions of the path: who may connect; default: the same user

    A socket that a dead server left there is replaced; anything else is not.
    """

    socket_family = None if socket is None else getattr(socket, "AF_UNIX", None)

    def __init__(self, bind, *args, mode=0o600, **kwargs):
        self._mode = mode
        self._inode = None
        super().__init__(bind, *args, **kwargs)

    def parse_bind_parameter(self, bind):
        if self.socket_family is None:
            raise RuntimeError("this platform has no UNIX sockets")
        return os.fspath(bind)

    def _create_socket(self):
        if self._has_path():
            self._remove_dead(self._bind)
        return super()._create_socket()

    def _has_path(self):
        return os.fsencode(self._bind)[:1] != b"\0"   # else an abstract name

    def _bind_socket(self, sock):
        super()._bind_socket(sock)
        if self._has_path():
            self._inode = os.stat(self._bind).st_ino
            os.chmod(self._bind, self._mode)    # nobody can connect before listen()

    def _remove_dead(self, path):
        """Unlink the socket of a server that is gone."""
        import stat
        try:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                return                      # bind() will refuse it
        except OSError:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            if probe.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)

    def _shut_listening(self):
        super()._shut_listening()
        try:
            if self._inode is not None and os.stat(self._bind).st_ino == self._inode:
                os.unlink(self._bind)
        except OSError:
            pass


# ---------------------------------------------------------------------------
# 7. Clients
# ---------------------------------------------------------------------------

class Outcome(Waiting):
    """A wait for something that is under way whether or not anybody waits."""

    __slots__ = ()

    def install(self):
        if self.over:               # it ended before somebody asked
            task, self.task = self.task, None
            if task is not None:
                task.resume(self.outcome, self.error)


class Connecting(Outcome):
    """An attempt to connect; yield it to wait: True if it succeeded.

    Tries one address after the other.  Each may take its share of the time
    that is left.
    """

    __slots__ = ("client", "host", "addresses", "deadline", "conn", "timer", "reason", "early",
                 "context", "server_hostname")

    def __init__(self, client, timeout, context, server_hostname):
        super().__init__()
        self.client = client
        self.host = None
        self.context = context
        self.server_hostname = server_hostname
        self.addresses = deque()
        self.deadline = None if timeout is None else client.root.clock() + timeout
        self.conn = None
        self.timer = None
        self.reason = None
        self.early = []             # what was written before there was a connection

    def give_up(self):
        """Whoever waited was cancelled; the attempt goes on."""
        self.task = None

    def resolve(self, host, port, family):
        self.host = host
        self._give_up_after(self.deadline)
        resolve(self.client, host, port, family, socket.SOCK_STREAM, self._on_addresses)

    def _on_addresses(self, addresses, error):
        if not self.over:
            self.reason = error
            self.addresses.extend(addresses)
            self.try_next()

    def _give_up_after(self, deadline):
        reactor = self.client._reactor
        if self.timer is not None:
            reactor.cancel(self.timer)
            self.timer = None
        if deadline is not None:
            self.timer = reactor.call_later(
                max(0, deadline - reactor.root.clock()), self._too_late)

    def try_next(self):
        """Try the next address, or fail with the error of the last."""
        self.let_go()
        if not self.addresses:
            return self.fail()
        family, kind, proto, address = self.addresses.popleft()
        if self.deadline is not None:
            now = self.client.root.clock()
            self._give_up_after(now + (self.deadline - now) / (len(self.addresses) + 1))
        try:
            self.conn = self.client._create_socket(family, kind, proto)
            code = self.conn.connect_ex(address)
        except OSError as error:
            self.reason = error
            return self.try_next()
        if code == 0:
            self._established()
        elif code in _IN_PROGRESS:
            poller_of(self.client).addWriter(self.client, self.conn)
        elif code == errno.EAGAIN:          # UNIX: the server's backlog is full
            self.addresses.appendleft((family, kind, proto, address))
            self.reason = OSError(code, os.strerror(code))
            self.client._reactor.call_later(0.05, self._again)
            self.let_go()
        else:
            self.reason = OSError(code, os.strerror(code))
            self.try_next()

    def _again(self):
        if not self.over:
            self.try_next()

    def writable(self):
        """The poller says that the system has decided."""
        code = self.conn.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.reason = OSError(code, os.strerror(code))
            self.try_next()
        else:
            self._established()

    def _established(self):
        """There is a connection; with TLS only its handshake is left to do."""
        client, conn = self.client, self.conn
        poller_of(client).removeWriter(conn)
        if self.context is None:
            return self.succeed()
        self.addresses.clear()          # another address has the same certificate
        self._give_up_after(self.deadline)
        poller_of(client).addReader(client, conn)
        name = self.server_hostname or (self.host if self.context.check_hostname else None)
        client._encipher(conn, self.context, False, None, name)

    def succeed(self):
        conn, self.conn = self.conn, None
        self.end()
        self.client._opened(conn, self.early)
        self.finish(True)

    def lost(self):
        """The connection ended in the middle of the handshake."""
        self.conn = None
        if self.reason is None:
            self.reason = ConnectionError(
                errno.ECONNRESET, "the peer hung up during the TLS handshake")
        self.fail()

    def _too_late(self):
        self.timer = None
        self.reason = OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        self.try_next()

    def let_go(self, poller=None):
        """Close the connection that is being tried."""
        if self.conn is not None:
            if poller is None:
                poller = poller_of(self.client)
            poller.discard(self.conn)
            self.conn.close()
            self.conn = None

    def end(self):
        """Stop trying."""
        self.let_go()
        self._give_up_after(None)
        self.client._connecting = None

    def abort(self):
        """Somebody closed the client meanwhile."""
        self.end()
        self.finish(False)

    def fail(self):
        self.end()
        self.client._not_opened(self.reason)
        self.finish(False)


class Client(StreamEndpoint):
    """What TCPClient, TCP6Client and UNIXClient share.

    bind     the local address to connect from, or a connected socket
    bufsize  as for a server
    connect_timeout  seconds that connect may take; None: no limit
    reconnect        connect again when the connection is lost or the host is
                     unreachable, until close(); the pauses begin at half a
                     second, double each time, and end at a minute, each cut by
                     a random part so that not all clients come back at once
    high_water, low_water, max_output, half_open
                     as for a server, but max_output has no limit by default

    Listens:  connect(host, port), write(data), close(), half_close(),
              starttls(), send_file(file, offset=0, count=None)
    Fires:    ready, connected, unreachable, secured, read, pause, drain, ended,
              disconnected, socket_error

    Attributes: connected; host and port, as given to connect; sock, to ask
    for the peer's certificate and the like.  After it has been disconnected it
    can connect again.

    connect(host, port, secure=True) speaks TLS.  The server must prove that it
    is *host*, unless verify=False; server_hostname= names another.  certfile,
    keyfile, password, ca_certs and alpn are those of client_context(); secure
    may be an SSLContext of your own instead.
    """

    _facts = Endpoint._facts + ("drain", "ended", "pause", "secured")

    channel = "client"
    socket_family = 0
    socket_options = ()

    host = None
    port = 0
    secure = False

    _connecting = None
    _context = None             # for TLS, of the last connect that asked for it
    _server_hostname = None

    def __init__(self, bind=None, bufsize=BUFSIZE, channel=None, connect_timeout=CONNECT_TIMEOUT,
                 *, reconnect=False, high_water=HIGH_WATER, low_water=None, max_output=None,
                 half_open=False):
        self._bind = bind if bind is None or _is_socket(bind) else self.parse_bind_parameter(bind)
        self.connect_timeout = connect_timeout
        self.reconnect = reconnect
        self._again = None          # what to do to connect again
        self._retry = None          # the timer of that
        self._failures = 0          # since the last success
        self.server = {}
        self.issuer = {}
        super().__init__(bufsize, channel, high_water, low_water, max_output, half_open)
        if _is_socket(bind):
            self._sock = _adopt(bind)
            self._bind = None

    def parse_bind_parameter(self, bind):
        """Turn *bind* into what socket.bind() takes."""
        return bind

    def _create_socket(self, family, kind=1, proto=0):
        """Make the socket of one attempt."""
        conn = Connection(family, kind, proto)
        try:
            self._prepare(conn)
            for option in self.socket_options:
                conn.setsockopt(*option)
            if self._bind is not None:
                conn.bind(self._bind)
        except BaseException:
            conn.close()
            raise
        return conn

    def _prepare(self, sock):
        """To override: set options before the socket is used."""

    @property
    def connected(self):
        """Whether there is a connection."""
        return self._sock is not None

    @property
    def sock(self):
        """The Connection; None without one."""
        return self._sock

    # -- the life in a tree -------------------------------------------------

    def _attach(self):
        self.fire(Ready(self))
        if self._sock is not None:          # it came connected
            self.host, self.port = self._peer_of(self._sock)
            poller_of(self).addReader(self, self._sock)
            self.fire(Connected(self.host, self.port))

    @staticmethod
    def _peer_of(sock):
        try:
            name = sock.getpeername()
        except OSError:
            return None, None
        return name[:2] if isinstance(name, tuple) else (socket.gethostname(), name)

    def _detach(self, old):
        self._stop_retrying()
        if self._connecting is not None:
            self._connecting.let_go(old.poller)
            self._connecting.abort()
        conn, self._sock = self._sock, None
        if conn is not None:
            old.poller.discard(conn)
            conn.abandon()

    # -- connecting ---------------------------------------------------------

    def _begin(self, host, port, secure, server_hostname=None, **options):
        """Start an attempt; *options* are those of client_context()."""
        self._stop_retrying()
        self._hurry = False
        if self._sock is not None or self._connecting is not None:
            raise RuntimeError("%s is connected, or about to be, to %r: close it first"
                               % (self.name, (self.host, self.port)))
        self.host, self.port, self.secure = host, port, bool(secure)
        if secure not in (True, False, None):
            self._context = _ready_context(secure)
        elif secure or options:
            self._context = client_context(**options)
        self._server_hostname = server_hostname
        self._connecting = Connecting(
            self, self.connect_timeout, self._context if secure else None, server_hostname)
        return self._connecting

    def _opened(self, conn, early):
        """An attempt has succeeded."""
        self._sock = conn
        self._failures = 0
        conn.announced = True
        poller_of(self).addReader(self, conn)
        self.fire(Connected(*self._connected_to()))
        for data in early:
            if self._sock is conn:
                self._send(conn, data)

    def _not_opened(self, reason):
        self.fire(Unreachable(self.host, self.port, reason))
        if reason is not None:
            self.fire(SocketError(reason))
        self._connect_later()

    def _connect_later(self):
        """After a failure: try again, if that is wanted."""
        if self.reconnect and self._again is not None and self._attached:
            pause = min(RECONNECT_FIRST * 2 ** min(self._failures, 20), RECONNECT_MOST)
            self._failures += 1
            pause *= 1 - os.urandom(1)[0] / 512
            self._retry = self._reactor.call_later(pause, self._connect_again)

    def _connect_again(self):
        self._retry = None
        if self._sock is None and self._connecting is None:
            self._again()

    def _stop_retrying(self):
        if self._retry is not None:
            self._reactor.cancel(self._retry)
            self._retry = None

    def _connected_to(self):
        return self.host, self.port

    # -- the connection -----------------------------------------------------

    def _read_ready(self, sock):
        if sock is self._sock or sock.tls is not None and self._owns(sock):
            self._receive(sock)

    def _write_ready(self, sock):
        if sock is self._sock or sock.tls is not None:
            self._flush(sock)
        elif self._connecting is not None and sock is self._connecting.conn:
            self._connecting.writable()

    def _owns(self, conn):
        return conn is self._sock or (
            self._connecting is not None and conn is self._connecting.conn)

    def _received(self, conn, data):
        self._reactor.tell(self, Read, self.channel, data)

    def _failed(self, conn, error):
        if conn is self._sock:
            self.fire(SocketError(error))
        else:
            self._connecting.reason = error

    def _ended(self, conn):
        if conn is self._sock:
            self._sock = None
            self.fire(Disconnected())
            self._connect_later()
        else:
            self._connecting.lost()

    def _tell_of(self, event_class, conn):
        self._reactor.tell(self, event_class, self.channel)

    def _shaken(self, conn):
        if conn is self._sock:
            self.secure = True
            self.fire(Secured())
        else:
            self._connecting.succeed()

    def _more_follows(self, conn):
        queue = self._reactor.queue
        if queue:
            try:
                event = queue[0]
                return type(event) is Write and event.channels == (self.channel,)
            except IndexError:              # another thread's
                pass
        return False

    def _reply(self, event, data):
        self._reactor.tell(self, Write, self.channel, data)

    @_own_step
    @handler("write")
    def write(self, data):
        """Send *data*, once connected; ignored where there is no connection."""
        if self._sock is not None:
            self._send(self._sock, data)
        elif self._connecting is not None:
            self._connecting.early.append(_as_bytes(data))

    @_own_step
    @handler("close")
    def close(self):
        """End the connection, when what was written is out, or the attempt."""
        self._again = None
        self._stop_retrying()
        if self._connecting is not None:
            self._connecting.abort()
        elif self._sock is not None:
            if self._hurry:
                self._drop(self._sock)
            else:
                self._finish(self._sock)

    @_own_step
    @handler("starttls")
    def starttls(self, server_hostname=None, **options):
        """Go on encrypted; fires secured after the handshake.

        *options* are those of client_context(); the server is verified to be
        *server_hostname*, by default the host that was connected to.
        """
        conn = self._sock
        if conn is None or conn.tls is not None or _is_socket(server_hostname):
            return
        if options or self._context is None:
            self._context = client_context(**options)
        name = server_hostname or self._server_hostname or self.host
        self._encipher(conn, self._context, False, self.connect_timeout,
                       name if self._context.check_hostname else server_hostname)

    @_own_step
    @handler("send_file")
    def send_file(self, file, offset=0, count=None):
        """Send from a file, which is closed afterwards."""
        if self._sock is not None:
            self._send_file(self._sock, file, offset, count)
        else:
            file.close()

    @_own_step
    @handler("half_close")
    def half_close(self):
        """Send no more, once what was written is out."""
        if self._sock is not None:
            self._shut(self._sock)

    def disconnect(self):
        """Like close(), but with reconnect=True it connects again."""
        if self._sock is not None:
            self._finish(self._sock)

    def abort(self, sock=None):
        """disconnect() at once; what waits is lost."""
        if self._sock is not None:
            self._drop(self._sock)

    def _is_open(self):
        return (self._sock is not None or self._connecting is not None
                or self._retry is not None)


class TCPClient(Client):
    """Connect by TCP, over IPv4 or IPv6, whichever the host answers on.

        client = TCPClient().register(app)
        client.fire(Connect("localhost", 8000))

    Inside a handler, ``ok = yield self.call(Connect(host, port))`` waits for
    the outcome.
    """

    def parse_bind_parameter(self, bind):
        return parse_ipv4_parameter(bind)

    def _prepare(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @_own_step
    @handler("connect")
    def connect(self, host, port, secure=False, **options):
        """Connect to *host*, a name or a number; fires connected or unreachable."""
        if _is_socket(host):
            return None             # what a server on our channel says
        attempt = self._begin(host, port, secure, **options)
        self._again = lambda: self.connect(host, port, secure, **options)
        attempt.resolve(host, port, self.socket_family)
        return attempt


class TCP6Client(TCPClient):
    """Connect by TCP over IPv6."""

    socket_family = 0 if socket is None else getattr(socket, "AF_INET6", 0)

    def parse_bind_parameter(self, bind):
        return parse_ipv6_parameter(bind)


class UNIXClient(Client):
    """Connect to a path of the file system, or use a connected socket."""

    @_own_step
    @handler("connect")
    def connect(self, path, secure=False, **options):
        """Connect to *path*; fires connected(host name, path) or unreachable."""
        if _is_socket(path):
            return None
        if not hasattr(socket, "AF_UNIX"):
            raise RuntimeError("this platform has no UNIX sockets")
        attempt = self._begin(socket.gethostname(), os.fspath(path), secure, **options)
        self._again = lambda: self.connect(path, secure, **options)
        attempt._on_addresses([(socket.AF_UNIX, socket.SOCK_STREAM, 0, self.port)], None)
        return attempt


# ---------------------------------------------------------------------------
# 8. Pipes
# ---------------------------------------------------------------------------

def Pipe(*channels, **kwargs):
    """Two connected clients, on two channels: what one writes the other reads.

    channels  default "a" and "b"; keyword arguments go to UNIXClient
    """
    if not hasattr(socket, "socketpair"):
        raise RuntimeError("this platform has no socketpair(): no Pipe")
    channels = (channels + ("a", "b")[len(channels):]) if len(channels) < 2 else channels
    one, other = socket.socketpair()
    return (UNIXClient(one, channel=channels[0], **kwargs),
            UNIXClient(other, channel=channels[1], **kwargs))


# ---------------------------------------------------------------------------
# 9. Datagrams
# ---------------------------------------------------------------------------

class UDPServer(Endpoint):
    """Send and receive datagrams.

    bind  the address to receive at; None: any port

    To use:   join(group) and leave(group), for multicast
    Listens:  write(address, data), broadcast(data, port), close()
    Fires:    ready, read(address, data), socket_error(sock, exception), and
              closed and disconnect(sock) at the end

    It is client and server alike; give one that is a client
    channel="client" if there is a server beside it.
    """

    channel = "server"
    socket_family = 0 if socket is None else socket.AF_INET
    socket_options = ()

    _facts = Endpoint._facts + ("connect", "disconnect")

    def __init__(self, bind=None, bufsize=MAX_DATAGRAM, channel=None):
        self._bind = None if _is_socket(bind) else self.parse_bind_parameter(bind or 0)
        self._bufsize = bufsize
        self._out = deque()         # of (data, address)
        super().__init__(channel)
        self._sock = bind if _is_socket(bind) else self._create_socket()
        self._sock.setblocking(False)

    def parse_bind_parameter(self, bind):
        """Turn *bind* into what socket.bind() takes."""
        return parse_ipv4_parameter(bind)

    def _create_socket(self):
        sock = socket.socket(self.socket_family, socket.SOCK_DGRAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if sys.platform != "win32" and self._bind[1]:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for option in self.socket_options:
                sock.setsockopt(*option)
            sock.bind(self._bind)
        except OSError as error:
            sock.close()
            raise type(error)(error.errno, "cannot bind to %r: %s" % (
                self._bind, error.strerror or error)) from error
        except BaseException:
            sock.close()
            raise
        return sock

    host = Server.host
    port = Server.port
    connected = Server.connected

    def _attach(self):
        if self._sock is not None:
            poller_of(self).addReader(self, self._sock)
            self.fire(Ready(self, (self.host, self.port)))

    def _detach(self, old):
        sock, self._sock = self._sock, None
        if sock is not None:
            old.poller.discard(sock)
            sock.close()

    def _read_ready(self, sock):
        if sock is not self._sock:
            return
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                data, address = sock.recvfrom(self._bufsize)
            except _AGAIN:
                return
            except ConnectionError:
                continue            # somebody we wrote to is not there
            except OSError as error:
                self.fire(SocketError(sock, error))
                return
            self._reactor.tell(self, Read, self.channel, address, data)
            if self._sock is not sock:
                return

    def _write_ready(self, sock):
        if sock is not self._sock:
            return
        out = self._out
        while out and self._transmit(*out[0]):
            out.popleft()
        if not out:
            poller_of(self).removeWriter(sock)

    def _transmit(self, data, address):
        """Send one datagram; False if the socket does not take it now."""
        try:
            self._sock.sendto(data, address)
        except _AGAIN:
            return False
        except OSError as error:
            self.fire(SocketError(self._sock, error))
        return True

    def _post(self, data, address):
        """Send a datagram, or put it into the queue."""
        if self._sock is None:
            return
        if self._out or not self._transmit(data, address):
            self._out.append((data, address))
            poller_of(self).addWriter(self, self._sock)

    @_own_step
    @handler("write")
    def write(self, address, data):
        """Send *data* as one datagram to (host, port)."""
        data = _as_bytes(data)

        def send(addresses, error):
            if addresses:
                self._post(data, addresses[0][3])
            elif self._sock is not None:
                self.fire(SocketError(self._sock, error))

        if self._sock is not None and isinstance(address, tuple):
            if len(address) > 2:    # as read gave it, with flowinfo and scopeid
                self._post(data, address)
            else:
                resolve(self, address[0], address[1], self.socket_family, socket.SOCK_DGRAM, send)

    def join(self, group, interface=None):
        """Receive what is sent to the multicast address *group*.

        interface  the local address (IPv4) or number (IPv6) of the network;
                   default: the system chooses
        """
        self._membership("ADD", "JOIN", group, interface)

    def leave(self, group, interface=None):
        """Undo join()."""
        self._membership("DROP", "LEAVE", group, interface)

    def _membership(self, verb4, verb6, group, interface):
        if self.socket_family == socket.AF_INET:
            level, option = socket.IPPROTO_IP, "IP_%s_MEMBERSHIP" % verb4
            what = socket.inet_aton(group) + socket.inet_aton(interface or "0.0.0.0")
        else:
            level, option = socket.IPPROTO_IPV6, "IPV6_%s_GROUP" % verb6
            what = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", interface or 0)
        self._sock.setsockopt(level, getattr(socket, option), what)

    @_own_step
    @handler("broadcast")
    def broadcast(self, data, port):
        """Send *data* to everybody on the local network."""
        self._post(_as_bytes(data), ("<broadcast>", port))

    @_own_step
    @handler("close")
    def close(self, sock=None):
        """Close the socket; datagrams that wait are lost."""
        if self._sock is None or sock is not None and sock is not self._sock:
            return
        sock, self._sock = self._sock, None
        self._out.clear()
        poller_of(self).discard(sock)
        sock.close()
        self.fire(Closed())
        self.fire(Disconnect(sock))


class UDP6Server(UDPServer):
    """Send and receive datagrams over IPv6."""

    socket_family = 0 if socket is None else getattr(socket, "AF_INET6", 0)

    def parse_bind_parameter(self, bind):
        return parse_ipv6_parameter(bind)


UDPClient = UDPServer
UDP6Client = UDP6Server


# ---------------------------------------------------------------------------
# 10. Lines and frames
#
# Codecs that cut a stream into messages, and the components that wear them.
# Every byte is looked at a fixed number of times, however it arrives.
# ---------------------------------------------------------------------------

#: Bytes of a line; asyncio's limit.
MAX_LINE = 65536

#: Bytes of a frame.
MAX_FRAME = 1 << 20


class TooLong(CircuitsError):
    """The peer sends a line or a frame that is longer than allowed."""


class LineBuffer:
    """Cuts bytes into lines, which end in LF or CR LF.

    >>> buffer = LineBuffer()
    >>> list(buffer.feed(b"one\\r\\ntw")), list(buffer.feed(b"o\\n\\nthr"))
    ([b'one'], [b'two', b''])

    feed() raises TooLong after the lines before the long one.
    """

    __slots__ = ("rest", "limit")

    def __init__(self, limit=MAX_LINE):
        self.rest = bytearray()
        self.limit = limit

    def feed(self, data):
        """Yield the lines that *data* completes."""
        rest = self.rest
        end = data.rfind(b"\n")
        if end < 0:
            rest += data
        else:
            rest += data[:end]
            self.rest = bytearray(data[end + 1:])
            for line in rest.split(b"\n"):
                if len(line) > self.limit:
                    raise TooLong("a line is longer than %d bytes" % self.limit)
                yield bytes(line[:-1] if line.endswith(b"\r") else line)
        if len(self.rest) > self.limit:
            raise TooLong("a line is longer than %d bytes" % self.limit)


class FrameBuffer:
    """Cuts bytes into frames, which begin with their length in four bytes.

    >>> buffer = FrameBuffer()
    >>> wire = buffer.frame(b"one") + buffer.frame(b"two")
    >>> list(buffer.feed(wire[:9])), list(buffer.feed(wire[9:]))
    ([b'one'], [b'two'])

    feed() raises TooLong after the frames before the long one.
    """

    __slots__ = ("rest", "limit")

    def __init__(self, limit=MAX_FRAME):
        self.rest = bytearray()
        self.limit = limit

    def frame(self, data):
        """Put the length in front."""
        if len(data) > self.limit:
            raise TooLong("a frame of %d bytes is longer than %d" % (len(data), self.limit))
        return len(data).to_bytes(4, "big") + data

    def feed(self, data):
        """Yield the frames that *data* completes."""
        rest = self.rest
        rest += data
        start = 0
        try:
            while len(rest) - start >= 4:
                size = int.from_bytes(rest[start:start + 4], "big")
                if size > self.limit:
                    raise TooLong("a frame of %d bytes is longer than %d" % (size, self.limit))
                if len(rest) - start - 4 < size:
                    return
                start += 4 + size
                yield bytes(rest[start - size:start])
        finally:
            del rest[:start]


LINESEP = re.compile(b"\r?\n")


def splitLines(s, buffer):
    """(complete lines, rest) of *buffer* and *s* behind it.

    >>> splitLines(b"b\\r\\nc", b"a")
    ([b'ab'], b'c')
    """
    lines = LINESEP.split(buffer + s)
    return lines[:-1], lines[-1]


class Line(Event):
    """A line arrived: (line) at a client, (sock, line) at a server."""


class Frame(Event):
    """A frame arrived: (data) at a client, (sock, data) at a server."""


class WriteFrame(Event):
    """Send a frame: (data) by a client, (sock, data) by a server."""


class StreamProtocol(BaseComponent):
    """A component that cuts streams into messages, one buffer per peer.

    To override:  _new_buffer(), _emit(where, message)

    It listens to read, disconnect and disconnected on its channel.  A peer
    that sends something too long is told to close(), and nothing that it
    sends afterwards is looked at.
    """

    def __init__(self, channel=None):
        self._buffers = {}          # sock -> buffer; None: no more of this one
        if channel is None:
            super().__init__()
        else:
            super().__init__(channel=channel)

    def _new_buffer(self):
        """To override: what feed() is called on."""

    def _emit(self, where, message):
        """To override: tell of a message; *where* is () or (sock,)."""

    @_own_step
    @handler("read")
    def _on_read(self, *args):
        where, data = args[:-1], args[-1]
        key = where[0] if where else None
        try:
            buffer = self._buffers[key]
        except KeyError:
            buffer = self._buffers[key] = self._new_buffer()
        if buffer is None:
            return
        try:
            for message in buffer.feed(data):
                self._emit(where, message)
                if self._buffers.get(key) is not buffer:
                    return          # it was disconnected by what we told
        except TooLong as error:
            self._buffers[key] = None
            self.fire(SocketError(*where, error))
            self.fire(Close(*where))

    @_own_step
    @handler("disconnect")
    def _on_disconnect(self, sock):
        self._buffers.pop(sock, None)

    @_own_step
    @handler("disconnected")
    def _on_disconnected(self):
        self._buffers.pop(None, None)


class LP(StreamProtocol):
    """Turn what is read into lines: read(data) into line(line), and read(sock,
    data) into line(sock, line).

        server = TCPServer(8000) + LP(channel="server")

    encoding  of the lines, which are text; None: they are bytes.  What is not
              of that encoding is replaced
    max_line  bytes; a peer that sends a longer line is closed
    getBuffer, updateBuffer, splitter  of your own, as documented: the rest of
              a peer is kept by getBuffer(sock) and updateBuffer(sock, rest)

    Empty lines are delivered, one that the end of the stream cuts off is not.
    """

    def __init__(self, encoding="utf-8", getBuffer=None, updateBuffer=None, splitter=splitLines,
                 max_line=MAX_LINE, channel=None):
        if max_line < 1:
            raise ValueError("max_line is a number of bytes, at least 1, got %r" % (max_line,))
        if (getBuffer is None) != (updateBuffer is None):
            raise TypeError("getBuffer and updateBuffer belong together: give both or none")
        self.encoding = encoding
        self.max_line = max_line
        self._get, self._update, self._splitter = getBuffer, updateBuffer, splitter
        self.buffer = b""           # what splitter left over, in client mode
        super().__init__(channel)

    def _new_buffer(self):
        return LineBuffer(self.max_line)

    def _emit(self, where, line):
        if self.encoding is not None:
            line = line.decode(self.encoding, "replace")
        self._reactor.tell(self, Line, self.channel, *where, line)

    @_own_step
    @handler("read", override=True)
    def _on_read(self, *args):
        if self._get is None and self._splitter is splitLines:
            return super()._on_read(*args)
        where, data = args[:-1], args[-1]
        if where and self._get is not None:
            lines, rest = self._splitter(data, self._get(*where))
            self._update(where[0], rest)
        else:
            lines, self.buffer = self._splitter(data, self.buffer)
        for line in lines:
            self._emit(where, line)


class LineProtocol(LP):
    """Like LP, with lines that are bytes."""

    def __init__(self, encoding=None, **kwargs):
        super().__init__(encoding, **kwargs)


class LengthPrefix(StreamProtocol):
    """Turn what is read into frames, and frames into what is written.

        client = TCPClient() + LengthPrefix(channel="client")
        client.fire(WriteFrame(b"any bytes"))

    max_frame  bytes; a peer that announces a longer one is closed

    A frame is its length, four bytes in network order, and that many bytes.
    """

    def __init__(self, max_frame=MAX_FRAME, channel=None):
        if not 0 < max_frame < 1 << 32:
            raise ValueError("max_frame is between 1 and 4 GiB, got %r" % (max_frame,))
        self.max_frame = max_frame
        super().__init__(channel)

    def _new_buffer(self):
        return FrameBuffer(self.max_frame)

    def _emit(self, where, frame):
        self._reactor.tell(self, Frame, self.channel, *where, frame)

    @_own_step
    @handler("write_frame")
    def _on_write_frame(self, *args):
        data = FrameBuffer(self.max_frame).frame(_as_bytes(args[-1]))
        self._reactor.tell(self, Write, self.channel, *args[:-1], data)


# ---------------------------------------------------------------------------
# 11. IRC
#
# Commands are events that become lines, lines become response events.  Text
# of others ends up in commands, so a command that would be two is refused.
# ---------------------------------------------------------------------------

_FORMATTING = re.compile("\x03(?:[0-9]{1,2}(?:,[0-9]{1,2})?)?|[\x01\x02\x0f\x11\x16\x1d\x1e\x1f]")


def strip(s, color=False):
    """Drop one leading colon; with *color* also colours and other formatting.

    >>> strip(":hello"), strip("\\x02bold\\x02 \\x034,5red", True)
    ('hello', 'bold red')
    """
    if s.startswith(":"):
        s = s[1:]
    return _FORMATTING.sub("", s) if color else s


def sourceJoin(nick, ident, host):
    """The source of a message: nick!ident@host."""
    return "%s!%s@%s" % (nick, ident, host)


def sourceSplit(source):
    """(nick, ident, host); (source, None, None) if it is no user.

    >>> sourceSplit("me!~my@host"), sourceSplit("irc.example.org")
    (('me', '~my', 'host'), ('irc.example.org', None, None))
    """
    nick, bang, rest = source.partition("!")
    ident, at, host = rest.partition("@")
    if not bang or not at:
        return source, None, None
    return nick, ident, host


def parsemsg(line):
    """(source, command, parameters) of a line; tags in front are dropped.

    >>> parsemsg(":me!i@h PRIVMSG #room :hello all")
    ('me!i@h', 'PRIVMSG', ['#room', 'hello all'])
    """
    source = ""
    if line.startswith("@"):
        line = line.partition(" ")[2].lstrip(" ")
    if line.startswith(":"):
        source, _, line = line[1:].partition(" ")
    head, colon, trailing = line.lstrip(" ").partition(" :")
    words = head.split(" ")
    words = [word for word in words if word]
    if not words:
        return source, "", []
    return source, words[0].upper(), words[1:] + ([trailing] if colon else [])


# -- commands, to be fired --------------------------------------------------

class Command(Event):
    """Base of the commands; NICK("me") is the event command_nick.

    Raises ValueError for an argument that would break the line.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for arg in list(args) + list(kwargs.values()):
            _refuse_control(arg)
        self.name = "command_%s" % type(self).__name__.lower()


def _refuse_control(text):
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if isinstance(text, str) and ("\r" in text or "\n" in text or "\0" in text):
        raise ValueError("%r would be more than one IRC command: send one per line" % (text,))


class RAW(Command):
    """(data): a line as it is."""


class PASS(Command):
    """(password)"""


class USER(Command):
    """(ident, host, server, name): who we are."""


class NICK(Command):
    """(nick)"""


class PING(Command):
    """(server)"""


class PONG(Command):
    """(server)"""


class QUIT(Command):
    """(message="Leaving")"""


class JOIN(Command):
    """(channel, key=None)"""


class PART(Command):
    """(channel, message="Leaving")"""


class PRIVMSG(Command):
    """(target, message)"""


class NOTICE(Command):
    """(target, message)"""


class CTCP(Command):
    """(target, type, message): a request between clients, inside a PRIVMSG."""


class CTCPREPLY(Command):
    """(target, type, message): the answer, inside a NOTICE."""


class KICK(Command):
    """(channel, target, message="")"""


class TOPIC(Command):
    """(channel, topic)"""


class MODE(Command):
    """(modes, channel=None)"""


class INVITE(Command):
    """(target, channel)"""


class NAMES(Command):
    """(channel=None)"""


class REPLY(Command):
    """(sock, source, command, *params): what a server sends to a client.

        REPLY(sock, "irc.host", RPL_WELCOME, nick, "Welcome!")
        REPLY(sock, "me!i@host", "PRIVMSG", "#room", "hello all")

    *command* is a word or a number; the last parameter may have spaces.
    """


# -- responses, fired for the lines of the peer -----------------------------

class Response(Event):
    """Base of what lines become; a server's have the sock in front."""


class Numeric(Response):
    """(source, target, number, arg, message)"""


class Ping(Response):
    """(server)"""


class Message(Response):
    """((nick, ident, host), target, text): a PRIVMSG."""


class Ctcp(Response):
    """((nick, ident, host), target, type, rest): a PRIVMSG that is a CTCP."""


class Notice(Response):
    """((nick, ident, host), target, text)"""


class Join(Response):
    """((nick, ident, host), channel)"""


class Part(Response):
    """((nick, ident, host), channel, message)"""


class Quit(Response):
    """((nick, ident, host), message)"""


class Nick(Response):
    """((nick, ident, host), new nick)"""


class Mode(Response):
    """((nick, ident, host), target, modes)"""


class IRCRequest(Response):
    """(sock, (nick, ident, host), command, parameters): what a client of a
    server sends that is none of the above, USER and the like.
    """


def irc_response(line):
    """The Response event that a line is, or None.  Never raises."""
    source, command, params = parsemsg(line)
    if command == "PING":
        return Ping(params[0] if params else "")
    if len(command) == 3 and command.isascii() and command.isdigit():
        return _numeric(line, source, command)
    try:
        make = _RESPONSES[command]
        return make(sourceSplit(source), params)
    except (KeyError, IndexError):      # unknown, or without its parameters
        return None


def _numeric(line, source, command):
    words = line.split(" ")
    rest = words[words.index(command) + 1:]
    target = rest[0] if rest else ""
    rest = rest[1:]
    arg = rest.pop(0) if rest and not rest[0].startswith(":") else None
    return Numeric(source, target, int(command), arg, strip(" ".join(rest)))


def _message(source, params):
    target, text = params[0], params[1]
    if text.startswith("\x01"):
        kind, _, rest = strip(text, True).partition(" ")
        return Ctcp(source, target, kind, rest)
    return Message(source, target, text)


_RESPONSES = {
    "PRIVMSG": _message,
    "NOTICE": lambda source, params: Notice(source, params[0], params[1]),
    "JOIN": lambda source, params: Join(source, params[0]),
    "PART": lambda source, params: Part(source, params[0], " ".join(params[1:])),
    "QUIT": lambda source, params: Quit(source, " ".join(params)),
    "NICK": lambda source, params: Nick(source, params[0]),
    "MODE": lambda source, params: Mode(source, params[0], " ".join(params[1:])),
}


def _irc_line(words, text=None):
    """A line; none of the *words* may be taken for more than one."""
    for word in words:
        if not isinstance(word, str) or not word or " " in word or word.startswith(":"):
            raise ValueError("%r cannot stand in the middle of the IRC command %s: it is empty, "
                             "has a space or begins with a colon" % (word, words[0]))
    return " ".join(words) + ("" if text is None else " :%s" % text)


class IRC(Component):
    """Speak IRC over the socket component on the same channel.

        app += TCPClient(channel="irc") + IRC(channel="irc")
        app.fire(NICK("me"), "irc")

    Keyword arguments go to the LP below it.  On the channel of a server the
    response events carry the sock in front, commands that are none of them
    come as ircrequest, and REPLY is what is sent.

    Listens:  the commands above, read
    Fires:    write, line, and the responses above
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        LP(**kwargs).register(self)

    def line(self, *args):
        """A line came: (line) or (sock, line)."""
        response = irc_response(args[-1])
        if response is None and len(args) > 1:
            source, command, params = parsemsg(args[-1])
            if command:
                response = IRCRequest(sourceSplit(source), command, params)
        if response is not None:
            if len(args) > 1:
                response.args = list(args[:-1]) + list(response.args)
            self.fire(response)

    @handler("ping", filter=True)
    def _on_ping(self, event, *args):
        if isinstance(event, Ping) and len(args) == 1:
            self.fire(PONG(args[0]))

    def _command(self, *words, text=None):
        """Fire the raw line."""
        self.fire(RAW(_irc_line(words, text)))

    @handler("command_raw")
    def _on_raw(self, data):
        _refuse_control(data)
        self.fire(Write("%s\r\n" % data))

    @handler("command_reply")
    def _on_reply(self, sock, source, command, *params):
        if isinstance(command, int):
            command = "%03d" % command
        words = [command] + list(params[:-1])
        text = params[-1] if params else None
        _irc_line([source])             # a word, too
        line = ":%s %s" % (source, _irc_line(words, text))
        _refuse_control(line)
        self.fire(Write(sock, line + "\r\n"))

    @handler("command_pass")
    def _on_pass(self, password):
        self._command("PASS", password)

    @handler("command_user")
    def _on_user(self, ident, host, server, name):
        self._command("USER", ident, host, server, text=name)

    @handler("command_nick")
    def _on_nick(self, nick):
        self._command("NICK", nick)

    @handler("command_ping")
    def _on_command_ping(self, server):
        self._command("PING", text=server)

    @handler("command_pong")
    def _on_pong(self, server):
        self._command("PONG", text=server)

    @handler("command_quit")
    def _on_quit(self, message="Leaving"):
        self._command("QUIT", text=message)

    @handler("command_join")
    def _on_join(self, channel, key=None):
        self._command("JOIN", channel, *(() if key is None else (key,)))

    @handler("command_part")
    def _on_part(self, channel, message="Leaving"):
        self._command("PART", channel, text=message)

    @handler("command_privmsg")
    def _on_privmsg(self, target, message):
        self._command("PRIVMSG", target, text=message)

    @handler("command_notice")
    def _on_notice(self, target, message):
        self._command("NOTICE", target, text=message)

    @handler("command_ctcp")
    def _on_ctcp(self, target, type, message):
        self.fire(PRIVMSG(target, _ctcp(type, message)))

    @handler("command_ctcpreply")
    def _on_ctcpreply(self, target, type, message):
        self.fire(NOTICE(target, _ctcp(type, message)))

    @handler("command_kick")
    def _on_kick(self, channel, target, message=""):
        self._command("KICK", channel, target, text=message)

    @handler("command_topic")
    def _on_topic(self, channel, topic):
        self._command("TOPIC", channel, text=topic)

    @handler("command_mode")
    def _on_mode(self, modes, channel=None):
        self._command("MODE", *(() if channel is None else (channel,)), text=modes)

    @handler("command_invite")
    def _on_invite(self, target, channel):
        self._command("INVITE", target, channel)

    @handler("command_names")
    def _on_names(self, channel=None):
        self._command("NAMES", *(() if channel is None else (channel,)))


def _ctcp(kind, message):
    return "\x01%s\x01" % ("%s %s" % (kind, message) if message else kind)


# Names and numbers of the replies and errors of RFC 1459.
_NUMERICS = """
RPL_WELCOME=1 RPL_YOURHOST=2 RPL_TRACELINK=200 RPL_TRACECONNECTING=201 RPL_TRACEHANDSHAKE=202
RPL_TRACEUNKNOWN=203 RPL_TRACEOPERATOR=204 RPL_TRACEUSER=205 RPL_TRACESERVER=206
RPL_TRACENEWTYPE=208 RPL_TRACELOG=261 RPL_STATSLINKINFO=211 RPL_STATSCOMMANDS=212
RPL_STATSCLINE=213 RPL_STATSNLINE=214 RPL_STATSILINE=215 RPL_STATSKLINE=216 RPL_STATSYLINE=218
RPL_ENDOFSTATS=219 RPL_STATSLLINE=241 RPL_STATSUPTIME=242 RPL_STATSOLINE=243 RPL_STATSHLINE=244
RPL_UMODEIS=221 RPL_LUSERCLIENT=251 RPL_LUSEROP=252 RPL_LUSERUNKNOWN=253 RPL_LUSERCHANNELS=254
RPL_LUSERME=255 RPL_ADMINME=256 RPL_ADMINLOC1=257 RPL_ADMINLOC2=258 RPL_ADMINEMAIL=259
RPL_NONE=300 RPL_USERHOST=302 RPL_ISON=303 RPL_AWAY=301 RPL_UNAWAY=305 RPL_NOWAWAY=306
RPL_WHOISUSER=311 RPL_WHOISSERVER=312 RPL_WHOISOPERATOR=313 RPL_WHOISIDLE=317 RPL_ENDOFWHOIS=318
RPL_WHOISCHANNELS=319 RPL_WHOWASUSER=314 RPL_ENDOFWHOWAS=369 RPL_LIST=322 RPL_LISTEND=323
RPL_CHANNELMODEIS=324 RPL_NOTOPIC=331 RPL_TOPIC=332 RPL_INVITING=341 RPL_SUMMONING=342
RPL_VERSION=351 RPL_WHOREPLY=352 RPL_ENDOFWHO=315 RPL_NAMREPLY=353 RPL_ENDOFNAMES=366
RPL_LINKS=364 RPL_ENDOFLINKS=365 RPL_BANLIST=367 RPL_ENDOFBANLIST=368 RPL_INFO=371
RPL_ENDOFINFO=374 RPL_MOTDSTART=375 RPL_MOTD=372 RPL_ENDOFMOTD=376 RPL_YOUREOPER=381
RPL_REHASHING=382 RPL_TIME=391 RPL_USERSSTART=392 RPL_USERS=393 RPL_ENDOFUSERS=394 RPL_NOUSERS=395
ERR_NOSUCHNICK=401 ERR_NOSUCHSERVER=402 ERR_NOSUCHCHANNEL=403 ERR_CANNOTSENDTOCHAN=404
ERR_TOOMANYCHANNELS=405 ERR_WASNOSUCHNICK=406 ERR_TOOMANYTARGETS=407 ERR_NOORIGIN=409
ERR_NORECIPIENT=411 ERR_NOTEXTTOSEND=412 ERR_NOTOPLEVEL=413 ERR_WILDTOPLEVEL=414
ERR_UNKNOWNCOMMAND=421 ERR_NOMOTD=422 ERR_NOADMININFO=423 ERR_FILEERROR=424
ERR_NONICKNAMEGIVEN=431 ERR_ERRONEUSNICKNAME=432 ERR_NICKNAMEINUSE=433 ERR_NICKCOLLISION=436
ERR_NOTONCHANNEL=442 ERR_USERONCHANNEL=443 ERR_NOLOGIN=444 ERR_SUMMONDISABLED=445
ERR_USERSDISABLED=446 ERR_NOTREGISTERED=451 ERR_NEEDMOREPARAMS=461 ERR_ALREADYREGISTRED=462
ERR_PASSWDMISMATCH=464 ERR_YOUREBANNEDCREEP=465 ERR_KEYSET=467 ERR_CHANNELISFULL=471
ERR_UNKNOWNMODE=472 ERR_INVITEONLYCHAN=473 ERR_BANNEDFROMCHAN=474 ERR_BADCHANNELKEY=475
ERR_NOPRIVILEGES=481 ERR_CHANOPRIVSNEEDED=482 ERR_CANTKILLSERVER=483 ERR_NOOPERHOST=491
ERR_UMODEUNKNOWNFLAG=501 ERR_USERSDONTMATCH=502
"""
for _pair in _NUMERICS.split():
    globals()[_pair.partition("=")[0]] = int(_pair.partition("=")[2])
RPL_NAMEREPLY = 353     # as the current release spells it


# ---------------------------------------------------------------------------
# 12. Events on a wire
#
# What a Bridge and a Node have in common.  Values travel as JSON of declared
# types, never as pickles: reading them runs nobody's code.  An Exchange knows
# which calls wait for a reply and which were served; it has no socket.
# ---------------------------------------------------------------------------

class WireError(CircuitsError):
    """What came is no message of ours, or a value is of no type that travels."""


class RemoteError(CircuitsError):
    """A handler at the other end raised: (type name, text, traceback lines)."""

    def __str__(self):
        return "%s: %s" % self.args[:2]


class LinkLost(CircuitsError):
    """The other end went away before it replied: it may have acted or not."""


def to_wire(value):
    """Turn a value into what JSON has: None, bool, int, float, str, and list,
    dict, tuple, set and bytes of those.

    >>> from_wire(to_wire({"a": (1, b"x"), 2: None}))
    {'a': (1, b'x'), 2: None}

    Raises WireError for anything else.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [to_wire(item) for item in value]
    if kind is dict:
        if all(type(key) is str for key in value) and "~" not in value:
            return {key: to_wire(item) for key, item in value.items()}
        return {"~": "dict", "=": [[to_wire(k), to_wire(v)] for k, v in value.items()]}
    if kind in (tuple, set, frozenset):
        return {"~": "tuple" if kind is tuple else "set", "=": [to_wire(item) for item in value]}
    if kind in (bytes, bytearray):
        return {"~": "bytes", "=": b2a_base64(value, newline=False).decode("ascii")}
    raise WireError("%r cannot be sent to another process: only None, numbers, text, bytes, and "
                    "lists, tuples, sets and dicts of them can" % (value,))


def from_wire(data):
    """The value that to_wire() made *data* of.  Raises WireError."""
    if type(data) is list:
        return [from_wire(item) for item in data]
    if type(data) is not dict:
        return data
    if "~" not in data:
        return {key: from_wire(item) for key, item in data.items()}
    try:
        kind, content = data["~"], data["="]
        if kind == "bytes":
            return a2b_base64(content)
        if kind == "dict":
            return {from_wire(key): from_wire(item) for key, item in content}
        return {"tuple": tuple, "set": set}[kind](map(from_wire, content))
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("a value of no declared type came: %.200r" % (data,)) from error


def dump_message(message):
    """The bytes of a message, a dict."""
    import json
    try:
        return json.dumps(message, separators=(",", ":")).encode("ascii")
    except (RecursionError, ValueError) as error:
        raise WireError("a value is nested too deep to be sent: %s" % error) from error


def load_message(data):
    """The message that some bytes are.  Raises WireError."""
    import json
    try:
        message = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise WireError("no message came: %.200r" % (data,)) from error
    if type(message) is not dict:
        raise WireError("no message came: %.200r" % (data,))
    return message


def _field(message, name, kind, default=None):
    """A field of a message, which must be of type *kind*."""
    value = message.get(name, default)
    if type(value) is not kind:
        raise WireError("%r of a message must be of type %s, is %.200r"
                        % (name, kind.__name__, value))
    return value


#: Calls to one peer that may wait for a reply.
MAX_CALLS = 10000

_EVENT_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,99}")


class RemoteCall(Outcome):
    """A call to the other end; yield it to wait for the result."""

    __slots__ = ("exchange", "id", "data", "sent", "timer", "quiet")

    def __init__(self, exchange, number, data, quiet):
        super().__init__()
        self.exchange = exchange
        self.id = number
        self.data = data
        self.sent = False
        self.timer = None
        self.quiet = quiet

    def withdraw(self):
        self.exchange.calls.pop(self.id, None)
        if self.timer is not None:
            self.exchange.owner._reactor.cancel(self.timer)
            self.timer = None

    def too_late(self):
        self.timer = None
        self.finish(error=TimeoutError("the other end has not replied in time"))


class Exchange:
    """The state of one conversation, which may outlive a connection.

    owner     the component that fires what comes
    transmit  takes the bytes of a message; None: there is no connection
    receives  function (name, channel or None) -> whether that event may come
    channel   where events without a channel are fired
    limit     bytes of a message

    Calls are numbered.  After a reconnection those without a reply are sent
    again; the other end knows what it has served by the number.
    """

    session = link = expiry = None  # for a NodeServer

    def __init__(self, owner, transmit, receives, channel, limit):
        self.limit = limit
        self.owner = owner
        self.transmit = transmit
        self.receives = receives
        self.channel = channel
        self.number = 0             # of the last call
        self.calls = {}             # number -> RemoteCall, in order
        self.served = {}            # number of theirs -> reply, None: being served
        self.forgotten = 0          # numbers of theirs up to this one are over

    def call(self, event, channels, timeout=None, quiet=False):
        """Send an event.  Returns the RemoteCall, that gives what its handlers return.

        Raises WireError if its arguments cannot travel.
        """
        if len(self.calls) >= MAX_CALLS:
            raise RuntimeError("%d calls wait for the other end already" % MAX_CALLS)
        message = {
            "call": self.number + 1, "name": event.name, "args": to_wire(list(event.args)),
            "kwargs": to_wire(dict(event.kwargs)), "channels": list(channels),
            "success": bool(event.success), "failure": bool(event.failure),
            "complete": bool(event.complete), "notify": bool(event.notify),
            "over": next(iter(self.calls), self.number + 1) - 1}
        if not all(type(channel) is str for channel in channels):
            raise WireError("only channels that are text can be named at the other end, not %r"
                            % (channels,))
        data = dump_message(message)
        if len(data) > self.limit:
            raise WireError("%s with its arguments takes %d bytes; the limit is %d"
                            % (event.name, len(data), self.limit))
        call = RemoteCall(self, self.number + 1, data, quiet)
        self.number += 1
        self.calls[self.number] = call
        if timeout is not None:
            call.timer = self.owner._reactor.call_later(timeout, call.too_late)
        if self.transmit is not None:
            call.sent = True
            self.transmit(call.data)
        return call

    def take(self, message):
        """Handle a message from the other end.  Raises WireError."""
        if "call" in message:
            self._serve(message)
        elif "reply" in message:
            self._replied(message)
        else:
            raise WireError("a message of no known kind came: %.200r" % (message,))

    def _replied(self, message):
        call = self.calls.get(_field(message, "reply", int))
        if call is None:
            return                  # it came twice, or too late
        if "error" in message:
            error = _field(message, "error", list)
            if not (len(error) == 3 and type(error[2]) is list):
                raise WireError("no error came: %.200r" % (error,))
            return call.finish(error=RemoteError(*error))
        call.finish(from_wire(message.get("value")))

    def _serve(self, message):
        number = _field(message, "call", int)
        over = _field(message, "over", int)
        while self.served and next(iter(self.served)) <= over:
            del self.served[next(iter(self.served))]
        self.forgotten = max(self.forgotten, over)
        if number <= self.forgotten:
            return
        if number in self.served:
            if self.served[number] is not None and self.transmit is not None:
                self.transmit(self.served[number])
            return
        if len(self.served) >= 2 * MAX_CALLS:
            raise WireError("the peer does not say which replies it has got")
        event, channels = self._event_of(message)
        self.served[number] = None
        self._run(self._answer(number, event, channels), event)

    def _event_of(self, message):
        """The event that a message asks for, if that may come."""
        name = _field(message, "name", str)
        channels = _field(message, "channels", list)
        if not _EVENT_NAME.fullmatch(name) or not all(type(c) is str for c in channels):
            raise WireError("no event came: %.200r" % (message,))
        args = from_wire(_field(message, "args", list))
        kwargs = from_wire(_field(message, "kwargs", dict))
        if type(kwargs) is not dict or not all(type(key) is str for key in kwargs):
            raise WireError("no event came: %.200r" % (message,))
        if not all(self.receives(name, channel) for channel in channels or [None]):
            return None, (name, channels)
        event = Event.create(name, *args, **kwargs)
        event.name = name
        event.remote = True
        for flag in ("success", "failure", "complete", "notify"):
            setattr(event, flag, _field(message, flag, bool))
        return event, tuple(channels) or (self.channel,)

    def _run(self, generator, event):
        cause = Event()
        cause.waitingHandlers = 1
        Running(generator, cause, self.take, self.owner).resume()

    def _answer(self, number, event, channels):
        """A task: fire the event, wait, reply."""
        if event is None:
            return self._reply(number, error=["NotAllowed", "%s on %s may not be fired here"
                                              % channels, []])
        complete = None
        if event.complete:
            complete = Outcome()
            event._on_complete = complete.finish
        try:
            value = yield self.owner.call(event, *channels)
            if complete is not None:
                yield complete
            self._reply(number, value=to_wire(None if value is None else value.value))
        except Exception as error:
            self._reply(number, error=[
                type(error).__name__, _text(error), self._traceback_of(event)])

    def _traceback_of(self, event):
        """The traceback lines of the first error, as handlers there see them."""
        value = event.value
        results = value.value if value is not None else None
        for item in [results] + (results if isinstance(results, list) else []):
            if isinstance(item, tuple) and len(item) == 3 and isinstance(item[1], Exception):
                return [str(line) for line in item[2]]
        return []

    def _reply(self, number, **content):
        try:
            data = dump_message(dict(content, reply=number))
            if len(data) > self.limit:
                raise WireError("the result takes %d bytes; the limit is %d"
                                % (len(data), self.limit))
        except WireError as error:
            data = dump_message({"reply": number, "error": ["WireError", str(error)[:200], []]})
        if number in self.served:
            self.served[number] = data
        if self.transmit is not None:
            self.transmit(data)

    def resume(self, transmit, known):
        """There is a connection: send what waits.

        *known* says whether the other end remembers us.  If it does not, what
        was sent before may have been done or not; nobody can tell.
        """
        self.transmit = transmit
        if not known:
            self.served.clear()
            self.forgotten = 0
        for call in list(self.calls.values()):
            if call.sent and not known:
                call.finish(error=LinkLost("the other end has started anew since this was sent"))
            else:
                call.sent = True
                transmit(call.data)

    def end(self):
        """There will be no connection any more."""
        self.transmit = None
        for call in list(self.calls.values()):
            call.finish(error=None if call.quiet else LinkLost(
                "the other end went away before it replied"))


def _text(error):
    try:
        return str(error)
    except Exception:
        return "(its text cannot be had)"


# ---------------------------------------------------------------------------
# 13. Bridges to own processes
#
# Two trees, in two processes of one program, see each other's events.
# ---------------------------------------------------------------------------

#: Bytes of one event or result between two processes of one program.
MAX_BRIDGE_FRAME = 256 << 20


class ipc(Event):
    """Have *event* handled at the other end of a Bridge, on *channel* there.

    ``x = yield self.call(ipc(Hello()), "bridge")``
    """

    def __init__(self, event, channel=None):
        super().__init__(event, channel=channel)


class BridgeLost(Event):
    """The other end of *bridge* is gone: its process has ended, or closed it."""

    def __init__(self, bridge):
        super().__init__(bridge)


class Bridge(BaseComponent):
    """Fire events in another tree as well, and bring back the results.

        one, other = Pipe()
        Bridge(one).register(app)

    socket   a client component that is connected to the other Bridge; it
             becomes a child
    events   names of those that are sent by themselves; default: all but
             those of *ignore*, those that have no name of their own, and those
             whose arguments cannot travel (see to_wire)
    process  the process at the other end, if it was started for this

    What a handler there returns ends up in the Value of the event here, an
    event is done when it is done there, and complete when it is there, too.

    Listens:  ipc, and all events
    Fires:    bridge_lost
    """

    channel = "bridge"

    ignore = frozenset(
        "registered unregister unregistered prepare_unregister prepare_unregister_complete "
        "started stopped signal error exception generate_events ready connect connected "
        "disconnect disconnected unreachable secured starttls read write close closed opened eof "
        "socket_error send_file pause drain line frame write_frame task timer ipc bridge_lost "
        "remote".split())

    def __init__(self, socket, channel=None, events=None, process=None):
        self.events = None if events is None else frozenset(events)
        self.process = process
        self._buffer = FrameBuffer(MAX_BRIDGE_FRAME)
        self._link = socket
        self._lost = False
        if channel is None:
            super().__init__()
        else:
            super().__init__(channel=channel)
        self._exchange = Exchange(self, self._transmit, self._receives, "*", MAX_BRIDGE_FRAME)
        for name, method in (("read", self._arrived), ("disconnected", self._ended)):
            self.addHandler(_relay(name, socket.channel, method))

    def _transmit(self, data):
        self._reactor.tell(self, Write, self._link.channel, self._buffer.frame(data))

    @staticmethod
    def _receives(name, channel):
        return True                 # it is our own process

    def _arrived(self, data):
        try:
            for frame in self._buffer.feed(data):
                self._exchange.take(load_message(frame))
        except (TooLong, WireError) as error:
            self.fire(SocketError(error))
            self.fire(Close(), self._link.channel)

    def _ended(self):
        if not self._lost:
            self._lost = True
            self._exchange.end()
            self.fire(BridgeLost(self), "*")

    @handler("ipc")
    def _on_ipc(self, event, inner, channel=None):
        if self._lost:
            raise LinkLost("the other end of the bridge is gone")
        return self._exchange.call(inner, () if channel is None else (channel,))

    @handler(channel="*", priority=100)
    def _on_event(self, event, *args, **kwargs):
        name = event.name
        if (self._lost or name in self.ignore or getattr(event, "remote", False)
                or isinstance(event, DerivedEvent) or name.startswith("_")
                or self.events is not None and name not in self.events):
            return None
        try:
            return self._exchange.call(event, event.channels, quiet=True)
        except WireError:
            return None             # what cannot travel stays here


def _relay(name, channel, method):
    """A handler of *name* on *channel* that calls *method*."""
    def relay(self, *args):
        method(*args)
    relay.__name__ = "_on_%s_of_%s" % (name, channel)
    return _own_step(handler(name, channel=channel)(relay))


def start_process(manager, link=None):
    """What manager.start(process=True, link=link) does; see there.

    Returns (process, bridge) when the tree runs in its process.  The bridge is
    registered with *link*, and another with *manager* over there.
    """
    import multiprocessing
    if "fork" not in multiprocessing.get_all_start_methods():
        raise RuntimeError("start(process=True) needs fork, which this platform lacks; use "
                           "Worker(process=True) for work in another process")
    if manager.root is not manager or manager.running:
        raise RuntimeError("%r is part of a tree or running already: start a root that is not"
                           % (manager,))
    number = next(_bridges)
    ends = ()
    if link is not None:
        ends = Pipe("bridge-%d-parent" % number, "bridge-%d-child" % number)
    told, tells = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_run_in_process, args=(manager, link, ends, told, tells), name=manager.name,
        daemon=True)
    try:
        with _tree_lock:            # no thread of ours is to hold it in the copy
            process.start()
    finally:
        os.close(tells)
    with open(told, "rb") as file:
        begun = file.read(1)        # nothing, if it has ended
    if ends:
        ends[1]._sock.close()
    if not begun:
        process.join()
        for end in ends[:1]:
            end._sock.close()
        raise RuntimeError("the process ended before its tree ran, with exit status %r"
                           % process.exitcode)
    manager._process = process
    bridge = None
    if link is not None:
        bridge = Bridge(ends[0], process=process).register(link)
    return process, bridge


_bridges = count(1)


def _let_go_of(root):
    """Close our copies of the sockets of a tree that runs in another process.

    Its peers would otherwise not see it close them.  Nothing is said to its
    poller, which is shared with it.
    """
    for component in flatten(root):
        for sock in getattr(component, "_clients", ()):
            sock.close()
        if isinstance(component, Endpoint) and component._sock is not None:
            component._sock.close()
    root._reactor.close()


def _run_in_process(manager, link, ends, told, tells):
    """The life of the other process."""
    import signal
    _tree_lock.release()
    signal.set_wakeup_fd(-1)        # that of the loop we were forked from
    os.close(told)
    if link is not None:
        _let_go_of(link.root)
    if ends:
        ends[0]._sock.close()
        Bridge(ends[1]).register(manager)
        # Whoever started us is gone, or wants us no more.
        manager.addHandler(_relay("bridge_lost", "*", lambda bridge: manager.stop()))

    def begun():
        os.write(tells, b"!")
        os.close(tells)
    manager._run(started=begun)


# ---------------------------------------------------------------------------
# 14. Nodes
#
# Events between programs on different machines.  A connection begins with
#     server: {"node": version, "nonce": ...}
#     client: {"node": version, "session": ..., "nonce": ..., "proof": ...}
#     server: {"welcome": whether it knows the session, "proof": ...}
# where a proof is an HMAC over all three by the secret, so that neither end
# talks to a stranger.  Then calls, replies, pings and pongs go both ways.
# The secret proves who connects; what passes in between can be read and
# changed on the way unless it is TLS.
# ---------------------------------------------------------------------------

NODE_VERSION = 1

#: Bytes of a frame before the peer has proved who it is.
MAX_GREETING = 1024

#: Seconds between two looks at whether the peer is alive; after three silent
#: ones it is not.
HEARTBEAT = 15.0

#: Seconds that a server remembers who lost its connection.
SESSION_TIMEOUT = 120.0

#: Sessions that a server remembers.
MAX_SESSIONS = 1000


class Remote(Event):
    """Have *event* handled at the node called *node*, on *channel* there.

    ``x = yield self.call(Remote(Hello(), "name"))``; or fire it, and the Value
    fills when the reply comes.  timeout= is in seconds, default the node's.
    """

    def __init__(self, event, node, channel=None, timeout=None):
        super().__init__(event, node, channel=channel, timeout=timeout)


class ConnectedTo(Event):
    """A link is up: (name, host, port, channel, client)."""


class DisconnectedFrom(Event):
    """A link is down, and will be tried again: (name, host, port, channel, client)."""


def allow(patterns):
    """A function (event name, channel or None) -> bool from a list of patterns.

    >>> allowed = allow(["hello", "add@calc", "*@open"])
    >>> allowed("hello", None), allowed("hello", "calc"), allowed("any", "open")
    (True, False, True)

    "name" allows an event that names no channel, "name@channel" one that names
    this; * stands for any name.
    """
    if isinstance(patterns, str):
        raise TypeError("a list of event names is needed, got the text %r" % (patterns,))
    patterns = frozenset(patterns)

    def allowed(name, channel):
        where = "" if channel is None else "@" + channel
        return name + where in patterns or "*" + where in patterns
    return allowed


def _key(secret, secure):
    """The secret as bytes; none is fine where TLS proves who is who."""
    if isinstance(secret, str):
        secret = secret.encode("utf-8")
    if not secret and not secure:
        raise ValueError("a node needs secret=, the same at both ends, or TLS where both ends "
                         "show certificates")
    return secret or b""


def _proof(key, role, *parts):
    import hmac
    return hmac.new(key, "|".join((role,) + parts).encode("utf-8", "replace"), "sha256").hexdigest()


def _proves(given, expected):
    import hmac
    return type(given) is str and hmac.compare_digest(given.encode("utf-8", "replace"),
                                                      expected.encode("ascii"))


class NodeLink:
    """One connection between two nodes, at either end.

    It greets, then hands messages to the Exchange; it is done with when the
    connection is.
    """

    def __init__(self, end, where):
        self.end = end              # the NodeServer or NodeClient
        self.where = where          # (sock,) at a server, () at a client
        self.buffer = FrameBuffer(MAX_GREETING)
        self.nonce = os.urandom(16).hex()
        self.exchange = None        # once the peer has proved who it is
        self.heard = end.root.clock()
        self.timer = end._reactor.call_later(HANDSHAKE_TIMEOUT, self._silent)

    # -- out ----------------------------------------------------------------

    def transmit(self, data):
        end = self.end
        frame = len(data).to_bytes(4, "big") + data
        end._reactor.tell(end, Write, end.channel, *self.where, frame)

    def say(self, **message):
        self.transmit(dump_message(message))

    def drop(self, reason=None):
        """Give the connection up."""
        if reason is not None:
            self.end.fire(SocketError(*self.where, reason))
        self.stop()
        self.end.hang_up(self)

    def stop(self):
        """The connection is over."""
        if self.timer is not None:
            self.end._reactor.cancel(self.timer)
            self.timer = None
        self.buffer = None

    # -- in -----------------------------------------------------------------

    def feed(self, data):
        self.heard = self.end.root.clock()
        try:
            buffer = self.buffer
            if buffer is None:
                return
            for frame in buffer.feed(data):
                self._take(load_message(frame))
                if self.buffer is None:
                    return
        except (TooLong, WireError) as error:
            self.drop(error)

    def _take(self, message):
        if self.exchange is None:
            self.end._greeted(self, message)
        elif "ping" in message:
            self.say(pong=True)
        elif "pong" not in message:
            self.exchange.take(message)

    def open(self, exchange, known):
        """The peer has proved who it is."""
        self.exchange = exchange
        self.buffer.limit = self.end.max_frame
        self.end._reactor.cancel(self.timer)
        self._watch()
        exchange.resume(self.transmit, known)

    # -- alive? -------------------------------------------------------------

    def _watch(self):
        self.timer = self.end._reactor.call_later(self.end.heartbeat, self._beat)

    def _beat(self):
        silent = self.end.root.clock() - self.heard
        if silent >= 3 * self.end.heartbeat:
            return self._silent()
        if silent >= self.end.heartbeat / 2:
            self.say(ping=True)
        self._watch()

    def _silent(self):
        self.timer = None
        self.drop(OSError(errno.ETIMEDOUT, "the peer is silent"))


class NodeEnd(BaseComponent):
    """What the two ends of links between nodes share."""

    def __init__(self, channel, key, receives, sends, events_channel, max_frame, heartbeat):
        self.key = key
        self.receives = receives
        self.sends = sends
        self.events_channel = events_channel
        self.max_frame = max_frame
        self.heartbeat = heartbeat
        super().__init__(channel=channel)

    def _new_exchange(self):
        return Exchange(self, None, self.receives, self.events_channel, self.max_frame)

    def _check(self, event, channel):
        if not self.sends(event.name, channel):
            raise WireError("%s%s may not be sent to other nodes: name it in sends="
                            % (event.name, "" if channel is None else "@%s" % channel))


class NodeServer(NodeEnd):
    """Take links from other nodes; made by Node.

    send(event, sock) and send_all(event) fire an event at the clients.
    """

    def __init__(self, bind, channel, key, receives, sends, events_channel,
                 max_frame=MAX_FRAME, heartbeat=HEARTBEAT, **options):
        self.links = {}             # sock -> NodeLink
        self.sessions = {}          # their id -> Exchange, least recent first
        self.transport = TCPServer(bind, channel=channel, **options)
        super().__init__(channel, key, receives, sends, events_channel, max_frame, heartbeat)

    @property
    def host(self):
        return self.transport.host

    @property
    def port(self):
        return self.transport.port

    def hang_up(self, link):
        self.fire(Close(*link.where))

    def get_socks(self):
        """The sockets of the clients that are linked."""
        return [sock for sock, link in self.links.items() if link.exchange is not None]

    def send(self, event, sock, channel=None, timeout=None):
        """Fire *event* at one client; returns what can be yielded for the result."""
        self._check(event, channel)
        link = self.links.get(sock)
        if link is None or link.exchange is None:
            raise LinkLost("%r is not linked" % (sock,))
        return link.exchange.call(event, () if channel is None else (channel,), timeout)

    def send_all(self, event, channel=None):
        """Fire *event* at all clients; returns a list of what send() returns."""
        return [self.send(event, sock, channel) for sock in self.get_socks()]

    @_own_step
    @handler("connect")
    def _on_connect(self, sock, *address):
        link = self.links[sock] = NodeLink(self, (sock,))
        link.say(node=NODE_VERSION, nonce=link.nonce)

    @_own_step
    @handler("read")
    def _on_read(self, sock, data):
        link = self.links.get(sock)
        if link is not None:
            link.feed(data)

    @_own_step
    @handler("disconnect")
    def _on_disconnect(self, sock):
        link = self.links.pop(sock, None)
        if link is None:
            return
        link.stop()
        exchange = link.exchange
        if exchange is not None and exchange.link is link:
            exchange.transmit = exchange.link = None
            exchange.expiry = self._reactor.call_later(SESSION_TIMEOUT, self._forget, exchange)

    def _greeted(self, link, message):
        session, nonce = _field(message, "session", str), _field(message, "nonce", str)
        if message.get("node") != NODE_VERSION:
            raise WireError("the peer speaks version %.20r, not %d"
                            % (message.get("node"), NODE_VERSION))
        parts = (link.nonce, nonce, session)
        if not _proves(message.get("proof"), _proof(self.key, "client", *parts)):
            raise WireError("the peer does not know the secret")
        exchange = self.sessions.pop(session, None)
        known = exchange is not None
        if not known:
            exchange = self._new_exchange()
            exchange.session = session
            self._make_room()
        self.sessions[session] = exchange
        if exchange.link is not None:       # it is back before we saw it go
            old, exchange.link = exchange.link, None
            old.drop()
        if exchange.expiry is not None:
            self._reactor.cancel(exchange.expiry)
            exchange.expiry = None
        exchange.link = link
        link.say(welcome=known, proof=_proof(self.key, "server", *parts))
        link.open(exchange, True)

    def _make_room(self):
        """Forget the session that has been without a connection for longest."""
        if len(self.sessions) >= MAX_SESSIONS:
            for exchange in self.sessions.values():
                if exchange.link is None:
                    return self._forget(exchange)

    def _forget(self, exchange):
        if exchange.expiry is not None:
            self._reactor.cancel(exchange.expiry)
            exchange.expiry = None
        self.sessions.pop(exchange.session, None)
        exchange.end()

    @_own_step
    @handler("stopped", "prepare_unregister", channel="*")
    def _on_end(self, event, component=None, *args):
        if component is self.root if event.name == "stopped" else event.in_subtree(self):
            for exchange in list(self.sessions.values()):
                self._forget(exchange)


class NodeClient(NodeEnd):
    """A link to another node; made by Node.add().  It is kept up by itself."""

    def __init__(self, name, host, port, channel, key, receives, sends, events_channel,
                 max_frame=MAX_FRAME, heartbeat=HEARTBEAT, **options):
        self.label = name
        self.host, self.port = host, port
        self.session = os.urandom(16).hex()
        self.link = None
        self.linked = False
        self._options = options
        self.transport = TCPClient(channel=channel, reconnect=True)
        super().__init__(channel, key, receives, sends, events_channel, max_frame, heartbeat)
        self.exchange = self._new_exchange()

    def send(self, event, channel=None, timeout=None):
        """Fire *event* there; returns what can be yielded for the result."""
        self._check(event, channel)
        return self.exchange.call(event, () if channel is None else (channel,), timeout)

    @_own_step
    @handler("ready")
    def _on_ready(self, component):
        self.transport.connect(self.host, self.port, **self._options)

    @_own_step
    @handler("connected")
    def _on_connected(self, host, port):
        self.link = NodeLink(self, ())

    @_own_step
    @handler("read")
    def _on_read(self, data):
        if self.link is not None:
            self.link.feed(data)

    @_own_step
    @handler("disconnected")
    def _on_disconnected(self):
        link, self.link = self.link, None
        self.exchange.transmit = None
        if link is not None:
            link.stop()
        if self.linked:
            self.linked = False
            self._tell(DisconnectedFrom)

    def _tell(self, event_class):
        self.fire(event_class(self.label, self.host, self.port, self.channel, self),
                  self.events_channel)

    def _greeted(self, link, message):
        if "welcome" not in message:
            if message.get("node") != NODE_VERSION:
                raise WireError("the peer speaks version %.20r, not %d"
                                % (message.get("node"), NODE_VERSION))
            link.theirs = _field(message, "nonce", str)
            link.say(node=NODE_VERSION, session=self.session, nonce=link.nonce,
                     proof=_proof(self.key, "client", link.theirs, link.nonce, self.session))
            return
        parts = (getattr(link, "theirs", ""), link.nonce, self.session)
        if not _proves(message.get("proof"), _proof(self.key, "server", *parts)):
            raise WireError("the peer does not know the secret")
        self.linked = True
        link.open(self.exchange, _field(message, "welcome", bool))
        self._tell(ConnectedTo)

    @_own_step
    @handler("stopped", "prepare_unregister", channel="*")
    def _on_end(self, event, component=None, *args):
        if component is self.root if event.name == "stopped" else event.in_subtree(self):
            self.exchange.end()

    def hang_up(self, link=None):
        """End the connection; it will be made again, as if it had been lost."""
        self.transport.disconnect()


class Node(BaseComponent):
    """Fire events in other programs, and let them fire some here.

        app += Node(("0.0.0.0", 8001), secret="...", receives=["hello"])

        node = Node(secret="...", sends=["hello"]).register(app)
        node.add("them", "their.host", 8001)
        x = yield self.call(Remote(Hello(), "them"))

    bind       where to listen; None: only connect to others
    secret     shared by all nodes that may talk to each other
    receives   the events that others may fire here, see allow(); default none
    sends      the events that may be sent to others; default none
    timeout    seconds that a call may take, the time without connection
               included; None: no limit
    max_frame  bytes of one event or result
    heartbeat  seconds between two looks at whether the peer is alive
    certfile, keyfile, password, ca_certs, secure: TLS for the server, as for
               TCPServer; add() takes what connect of TCPClient does

    Listens:  remote(event, name, channel=None, timeout=None)
    Fires:    connected_to and disconnected_from; what others send

    An event of a peer that names no channel is fired on ours.  Results and
    errors come back (RemoteError).  Events to one peer arrive in order; after
    a lost connection what was not answered is sent again, and not handled
    twice.  Where the peer was started anew meanwhile that is impossible: such
    calls fail with LinkLost.
    """

    channel = "node"

    def __init__(self, bind=None, channel=None, secret=None, receives=(), sends=(), timeout=60.0,
                 max_frame=MAX_FRAME, heartbeat=HEARTBEAT, secure=False, **tls):
        self.secret = secret
        self.receives = allow(receives)
        self.sends = allow(sends)
        self.timeout = timeout
        self._limits = {"max_frame": max_frame, "heartbeat": heartbeat}
        self.nodes = {}             # name -> NodeClient
        self.server = None
        if bind is None and not secure:
            _key(secret, True)
        if channel is None:
            super().__init__()
        else:
            super().__init__(channel=channel)
        if bind is not None:
            key = _key(secret, secure and tls.get("ca_certs") is not None)
            if isinstance(bind, int):
                bind = ("0.0.0.0", bind)
            self.server = NodeServer(
                bind, "%s_server_%d" % (self.channel, next(_bridges)), key, self.receives,
                self.sends, self.channel, secure=secure, **dict(tls, **self._limits))
            self.server.register(self)

    @property
    def host(self):
        return None if self.server is None else self.server.host

    @property
    def port(self):
        return None if self.server is None else self.server.port

    def add(self, name, host, port, channel=None, secure=False, **options):
        """Link to another node, and keep the link up; returns its channel."""
        if name in self.nodes:
            raise ValueError("there is a node called %r already; remove(name) it first" % (name,))
        key = _key(self.secret, secure and "certfile" in options)
        if channel is None:
            channel = "%s_client_%s" % (self.channel, name)
        client = self.nodes[name] = NodeClient(
            name, host, port, channel, key, self.receives, self.sends, self.channel,
            secure=secure, **dict(options, **self._limits))
        client.register(self)
        return channel

    def remove(self, name):
        """Give the link to a node up."""
        self.nodes.pop(name).unregister()

    def get_connection_names(self):
        """The names given to add()."""
        return list(self.nodes)

    def get_peer(self, name):
        """The NodeClient of that name, or None."""
        return self.nodes.get(name)

    @handler("remote")
    def _on_remote(self, event, inner, name, channel=None, timeout=None):
        client = self.nodes.get(name)
        if client is None:
            raise ValueError("there is no node called %r: add(name, host, port) it first" % (name,))
        return client.send(inner, channel, self.timeout if timeout is None else timeout)


# ---------------------------------------------------------------------------
# 15. Names of the current release
#
# Programs written for it call the same things by lower-case names.
# ---------------------------------------------------------------------------

broadcast = Broadcast
close = Close
closed = Closed
connect = Connect
connected = Connected
disconnect = Disconnect
disconnected = Disconnected
read = Read
ready = Ready
starttls = StartTLS
unreachable = Unreachable
write = Write
line = Line
parseprefix = sourceSplit
joinprefix = sourceJoin
remote = Remote


# ---------------------------------------------------------------------------
# 16. Dotted names
#
# Names that mean something else in the documented layout; see circuits.py.
# ---------------------------------------------------------------------------

_DOTTED = {
    "net.events": {"error": "SocketError"},
    "net.sockets": {"error": "SocketError"},
    "node": {"remote": "Remote"},
    "node.client": {"Client": "NodeClient"},
    "node.events": {"remote": "Remote", "connected_to": "ConnectedTo",
                    "disconnected_from": "DisconnectedFrom"},
    "node.node": {"Client": "NodeClient", "Server": "NodeServer"},
    "node.server": {"Server": "NodeServer"},
    "protocols": {"Line": "LineProtocol"},
    "protocols.line": {"Line": "LineProtocol"},
}
