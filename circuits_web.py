"""HTTP, WebSocket and WSGI, servers and clients, as components that send each other events.

    from circuits_web import Controller, Server

    class Root(Controller):

        def index(self):
            return "Hello World!"

        def greet(self, name="you"):            # /greet/Bob or /greet?name=Bob
            return "Hello %s!" % name

    (Server(8000) + Root()).run()

Contents

 1. Text on the wire
 2. Errors
 3. Headers
 4. HTTP codec
 5. Forms
 6. Requests
 7. Responses
 8. Events
 9. Connections
10. HTTP component
11. Servers
12. Controllers
13. Dispatcher
14. Files
15. Virtual hosts and remote calls
16. Who is there
17. Sessions
18. Between server and client
19. Groups and server-sent events
20. WebSocket codec
21. WebSockets
22. HTTP client
23. WSGI
24. Logger
25. Names of the current release
26. Dotted names
27. Command

Names used throughout: a *head* is a start line with its headers; *sock* is
the key by which the transport knows a connection; a *step* is a handler of
the framework's own that is called directly where nobody else listens; *web*
is the channel that a server and its components share.

The way of a request: the transport tells read(sock, data); HTTP collects the
request and fires request(request, response); whatever its handlers return is
the body; HTTP announces response(response) and tells write(sock, data).

To use this file, copy it into your project with this notice, beside
circuits.py and circuits_net.py.  It needs Python 3.8 or newer.
"""

# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the circuits-in-four-files authors

import os
import sys
import time
from _thread import allocate_lock
from _thread import get_ident
from _weakref import ref
from codecs import utf_8_decode
from collections import deque
from errno import ETIMEDOUT
from io import BytesIO
from io import IOBase
from io import TextIOBase
from itertools import groupby
from types import CoroutineType
from types import FunctionType
from types import GeneratorType
from types import MethodType

# A clear word where a file is missing; a broken one must keep its own error.
for _name in ("circuits", "circuits_net"):
    if not any(finder.find_spec(
            __package__ + "." + _name if __package__ else _name,
            sys.modules[__package__].__path__ if __package__ else None)
            for finder in sys.meta_path if hasattr(finder, "find_spec")):
        raise ImportError("%s needs %s.py, which is not beside it: copy that file too"
                          % (__name__, _name))

if __package__:
    from .circuits import BaseComponent
    from .circuits import Cancelled
    from .circuits import CircuitsError
    from .circuits import Debugger
    from .circuits import Event
    from .circuits import HandlerMetaClass
    from .circuits import LiteralEvent
    from .circuits import Running
    from .circuits import Task
    from .circuits import TimeoutError
    from .circuits import Value
    from .circuits import Waiting
    from .circuits import Worker
    from .circuits import DONE
    from .circuits import SPECIAL
    from .circuits import WANTS_EVENT
    from .circuits import _own_step
    from .circuits import flatten
    from .circuits import format_tb
    from .circuits import handler
    from .circuits import poller_of
    from .circuits import __version__ as _core_version
    from .circuits_net import Close
    from .circuits_net import Connect
    from .circuits_net import Connected
    from .circuits_net import Disconnect
    from .circuits_net import Disconnected
    from .circuits_net import Outcome
    from .circuits_net import Read
    from .circuits_net import SendFile
    from .circuits_net import TCPClient
    from .circuits_net import TCPServer
    from .circuits_net import UNIXClient
    from .circuits_net import UNIXServer
    from .circuits_net import Unreachable
    from .circuits_net import Write
    from .circuits_net import _new_replies
    from .circuits_net import client_context
    from .circuits_net import __version__ as _net_version
else:
    from circuits import BaseComponent
    from circuits import Cancelled
    from circuits import CircuitsError
    from circuits import Debugger
    from circuits import Event
    from circuits import HandlerMetaClass
    from circuits import LiteralEvent
    from circuits import Running
    from circuits import Task
    from circuits import TimeoutError
    from circuits import Value
    from circuits import Waiting
    from circuits import Worker
    from circuits import DONE
    from circuits import SPECIAL
    from circuits import WANTS_EVENT
    from circuits import _own_step
    from circuits import flatten
    from circuits import format_tb
    from circuits import handler
    from circuits import poller_of
    from circuits import __version__ as _core_version
    from circuits_net import Close
    from circuits_net import Connect
    from circuits_net import Connected
    from circuits_net import Disconnect
    from circuits_net import Disconnected
    from circuits_net import Outcome
    from circuits_net import Read
    from circuits_net import SendFile
    from circuits_net import TCPClient
    from circuits_net import TCPServer
    from circuits_net import UNIXClient
    from circuits_net import UNIXServer
    from circuits_net import Unreachable
    from circuits_net import Write
    from circuits_net import _new_replies
    from circuits_net import client_context
    from circuits_net import __version__ as _net_version

__version__ = "2.1.0"
__sealed__ = "a63c73b129b38450cac3a8d9c374a4d7a2c1ac82f7974780fbbf6dc5537fdee1"

__all__ = (
    "AllowedHosts", "Application", "BadResponse", "BaseController",
    "BaseServer", "BodyStream", "CORS", "Client", "ClientError",
    "ClientTimeout", "Compress", "ConnectError", "ControlFrame", "Controller",
    "CookieJar", "Deflate", "DigestAuth", "Dispatcher", "EventStream",
    "Forbidden", "Gateway", "Group", "HTTP", "HTTPError", "HTTPException",
    "HTTPRequest", "HTTPResponse", "Headers", "Health", "JSONController",
    "JSONRPC", "Logger", "MemoryStore", "MessageCodec", "NotConnected",
    "NotFound", "Redirect", "Request", "Response", "ResponseObject",
    "ReverseProxy", "SQLiteStore", "SecurityHeaders", "Server", "ServerEvent",
    "Session", "Sessions", "Static", "StatusError", "Store", "Stream",
    "TooManyRedirects", "Unauthorized", "VirtualHosts", "WebSocket",
    "WebSocketClient", "WebSocketCodec", "WebSocketError", "WebSockets",
    "WebSocketsDispatcher", "Workers", "XMLRPC", "basic_auth", "check_auth",
    "check_csrf", "create_environ", "csrf_token", "digest_auth", "expires",
    "export", "expose", "exposeJSON", "gzip", "parse_url", "serve_download",
    "serve_file", "sign", "unsign", "url",
)

for _name, _version in (("circuits", _core_version), ("circuits_net", _net_version)):
    if _version != __version__:
        raise ImportError("%s is version %s, the %s.py it found is %s: use files of one version"
                          % (__name__, __version__, _name, _version))

# ---------------------------------------------------------------------------
# 1. Text on the wire
#
# Percent coding, dates, tokens and escaping: small pure functions.  They are
# our own where the library's are lenient (int() takes "+1_0", \d takes other
# alphabets) or dear to import.
# ---------------------------------------------------------------------------

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789"
                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEX = {("%x" % high, "%x" % low): 16 * high + low for high in range(16) for low in range(16)}
_HEX = {(a + b).encode(): bytes((value,)) for (x, y), value in _HEX.items()
        for a in {x, x.upper()} for b in {y, y.upper()}}
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def is_token(text):
    """Whether *text* is a token of RFC 9110, 5.6.2: a method, a header name.

    >>> is_token("X-Foo"), is_token("X Foo"), is_token("")
    (True, False, False)
    """
    return bool(text) and _TOKEN.issuperset(text)


def is_digits(text):
    """Whether *text* is one or more ASCII digits, as str.isdigit() does not say."""
    return text.isdigit() and text.isascii()


def escape(text):
    """Make *text* safe inside HTML, quoted attributes included.

    >>> escape("<a href='x'>&")
    '&lt;a href=&#x27;x&#x27;&gt;&amp;'
    """
    return (str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            .replace('"', "&quot;").replace("'", "&#x27;"))


def unquote_bytes(data):
    """Decode %XX once; what is no such escape stays as it is.

    >>> unquote_bytes(b"a%2Fb%zz%"), unquote_bytes(b"%2541")
    (b'a/b%zz%', b'%41')
    """
    pieces = data.split(b"%")
    if len(pieces) == 1:
        return data
    out = [pieces[0]]
    for piece in pieces[1:]:
        byte = _HEX.get(piece[:2])
        if byte is None:
            out.append(b"%" + piece)
        else:
            out.append(byte + piece[2:])
    return b"".join(out)


def unquote(text, encoding="utf-8", errors="replace"):
    """Decode the %XX of *text* as characters of *encoding*.

    >>> unquote("caf%C3%A9")
    'café'
    """
    if "%" not in text:
        return text
    return unquote_bytes(text.encode("utf-8")).decode(encoding, errors)


def unquote_plus(text, encoding="utf-8"):
    """unquote() for queries and forms, where + stands for a space."""
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text, encoding) if "%" in text else text


def quote(text, safe="/"):
    """Percent-encode all but unreserved characters and those in *safe*.

    >>> quote("a b/ü#")
    'a%20b/%C3%BC%23'
    """
    keep = _UNRESERVED.union(safe.encode())
    data = text.encode("utf-8", "surrogateescape")
    return "".join([chr(byte) if byte in keep else "%%%02X" % byte for byte in data])


def http_date(seconds=None):
    """Seconds since 1970 as RFC 9110, 5.6.7 writes them; default: now.

    >>> http_date(0)
    'Thu, 01 Jan 1970 00:00:00 GMT'
    """
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    return "%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[weekday], day, _MONTHS[month - 1], year, hour, minute, second)


def parse_http_date(text):
    """The seconds since 1970 of a date in one of the three forms, or None.

    >>> parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT")
    784111777
    >>> parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT")
    784111777
    >>> parse_http_date("Sun Nov  6 08:49:37 1994")
    784111777
    """
    parts = text.replace("-", " ").split()
    if len(parts) == 6 and parts[5] == "GMT":
        _, day, month, year, clock, _ = parts
    elif len(parts) == 5:
        _, month, day, clock, year = parts
    else:
        return None
    clock = clock.split(":")
    numbers = [day, year] + clock
    if month not in _MONTHS or len(clock) != 3 or not all(
            len(n) <= 4 and is_digits(n) for n in numbers):
        return None
    day, year, hour, minute, second = map(int, numbers)
    if len(numbers[1]) == 2:
        year += 1900 if year >= 70 else 2000
    if not (1970 <= year and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    return _days(year, _MONTHS.index(month) + 1, day) * 86400 + hour * 3600 + minute * 60 + second


def _days(year, month, day):
    """Days since 1970-01-01, after Hinnant; `calendar` takes 5 ms to import."""
    year -= month <= 2
    of_era = year % 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return year // 400 * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def split_quoted(text, separator):
    """Split at a separator that stands outside quoted strings; in linear time.

    >>> split_quoted('a; b="x;\\\\"y"; c', ";")
    ['a', ' b="x;\\\\"y"', ' c']
    """
    if '"' not in text:
        return text.split(separator)
    pieces = []
    start = position = 0
    quoted = False
    size = len(text)
    while position < size:
        char = text[position]
        if char == '"':
            quoted = not quoted
        elif char == "\\" and quoted:
            position += 1
        elif char == separator and not quoted:
            pieces.append(text[start:position])
            start = position + 1
        position += 1
    pieces.append(text[start:])
    return pieces


def unquote_string(text):
    """The text of a quoted string (RFC 9110, 5.6.4); another comes back as it is.

    A backslash counts as such only before a quote or another backslash:
    browsers send the names of Windows files unescaped.

    >>> unquote_string('"a\\\\"b"'), unquote_string('"C:\\\\x"'), unquote_string("c")
    ('a"b', 'C:\\\\x', 'c')
    """
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    text = text[1:-1]
    if "\\" not in text:
        return text
    out = []
    characters = iter(text)
    for char in characters:
        if char == "\\":
            following = next(characters, "")
            char = following if following in ('"', "\\") else char + following
        out.append(char)
    return "".join(out)


def parse_params(text):
    """Split "value; name=x; other" into (value, {name: x}).

    Names are lower case; the first of two equal ones counts.

    >>> parse_params('Form-Data; name="a b"; FILENAME=c')
    ('Form-Data', {'name': 'a b', 'filename': 'c'})
    """
    value, *rest = split_quoted(text, ";")
    params = {}
    for item in rest:
        name, _, content = item.partition("=")
        name = name.strip(" \t").lower()
        if name:
            params.setdefault(name, unquote_string(content.strip(" \t")))
    return value.strip(" \t"), params


def parse_qs(query_string, keep_blank_values=True, max_fields=1000, encoding="utf-8"):
    """The fields of a query or urlencoded form: a name has a str, or a list.

    Only & separates.  "?1,2" is a click on an image map: x=1, y=2.

    >>> parse_qs("a=1&b=2;c&a=3&d")
    {'a': ['1', '3'], 'b': '2;c', 'd': ''}
    >>> parse_qs("10,20")
    {'x': 10, 'y': 20}

    Raises BadInput for more than *max_fields*.
    """
    if not query_string:
        return {}
    x, comma, y = query_string.partition(",")
    if comma and len(x) < 10 and len(y) < 10 and is_digits(x) and is_digits(y):
        return {"x": int(x), "y": int(y)}
    if query_string.count("&") >= max_fields:
        raise BadInput("more than %d fields" % max_fields)
    fields = {}
    for item in query_string.split("&"):
        if not item:
            continue
        name, _, value = item.partition("=")
        if value or keep_blank_values:
            add_field(fields, unquote_plus(name, encoding), unquote_plus(value, encoding))
    return fields


def add_field(fields, name, value):
    """Note a form field: repeated ones become a list."""
    if name not in fields:
        fields[name] = value
    elif isinstance(fields[name], list):
        fields[name].append(value)
    else:
        fields[name] = [fields[name], value]


def split_path(raw):
    """The decoded segments of a request path, dot segments resolved.

    A slash that came as %2F is part of its segment.  A path that leaves the
    root, and characters that no path has, raise BadInput.

    >>> split_path("/a/./b/../c%20d/"), split_path("/")
    (['a', 'c d', ''], [''])
    """
    out = []
    for segment in raw[1:].split("/"):
        if "%" in segment:
            try:
                segment = unquote(segment, errors="strict")
            except UnicodeDecodeError:
                raise BadInput("the path is not UTF-8") from None
            if "\0" in segment:
                raise BadInput("a NUL in the path")
        if segment == "..":
            if not out:
                raise BadInput("the path leaves the root")
            out.pop()
        elif segment != ".":
            out.append(segment)
    if raw.endswith(("/.", "/..")) or not out or segment in (".", ".."):
        out.append("")
    return out


# ---------------------------------------------------------------------------
# 2. Errors
#
# What a handler raises to answer with a status, and what the codec raises
# when a peer breaks the rules.  The events of the same documented names are
# in section 8.
# ---------------------------------------------------------------------------

HTTP_STATUS_CODES = {
    100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints",
    200: "OK", 201: "Created", 202: "Accepted", 203: "Non Authoritative Information",
    204: "No Content", 205: "Reset Content", 206: "Partial Content", 207: "Multi Status",
    226: "IM Used",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other",
    304: "Not Modified", 305: "Use Proxy", 307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict",
    410: "Gone", 411: "Length Required", 412: "Precondition Failed",
    413: "Request Entity Too Large", 414: "Request URI Too Long",
    415: "Unsupported Media Type", 416: "Requested Range Not Satisfiable",
    417: "Expectation Failed", 418: "I\"m a teapot", 421: "Misdirected Request",
    422: "Unprocessable Entity", 423: "Locked", 424: "Failed Dependency",
    426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 449: "Retry With",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
    507: "Insufficient Storage", 510: "Not Extended", 511: "Network Authentication Required",
}


class HTTPStatus(str):
    """A status that is its line, compares with numbers, and knows both parts.

    >>> s = HTTPStatus(404); s, s == 404, s >= 400, s.reason
    ('404 Not Found', True, True, 'Not Found')
    """

    def __new__(cls, status=200, reason=None):
        if reason is None:
            reason = HTTP_STATUS_CODES.get(status, "")
        self = super().__new__(cls, "%d %s" % (status, reason) if reason else "%d" % status)
        self.status = status
        self.reason = reason
        return self

    def __int__(self):
        return self.status

    def __eq__(self, other):
        return self.status == other if isinstance(other, int) else str.__eq__(self, other)

    def __ne__(self, other):
        return not self == other

    def __lt__(self, other):
        return self.status < other if isinstance(other, int) else str.__lt__(self, other)

    def __le__(self, other):
        return self.status <= other if isinstance(other, int) else str.__le__(self, other)

    def __gt__(self, other):
        return self.status > other if isinstance(other, int) else str.__gt__(self, other)

    def __ge__(self, other):
        return self.status >= other if isinstance(other, int) else str.__ge__(self, other)

    __hash__ = str.__hash__


class ProtocolError(CircuitsError):
    """The peer broke the rules of HTTP or exceeded a limit.

    status  what to answer; the connection is closed after it
    reason  a text for the peer, without any of the peer's own bytes
    """

    def __init__(self, status, reason):
        super().__init__("%d %s" % (status, reason))
        self.status = status
        self.reason = reason


class BadInput(ProtocolError):
    """What came inside a well-framed request is wrong; *status* is usually 400."""

    def __init__(self, reason, status=400):
        super().__init__(status, reason)


class ClientError(CircuitsError):
    """A request failed; the text says to whom it went, what failed, and what helps."""


class NotConnected(ClientError):
    """There is no connection, or it was refused; __cause__ says more.

    status, headers  of the answer, where an HTTP server refused; else None
    """

    def __init__(self, reason="there is no connection: fire Connect() and wait for connected, or "
                 "give an absolute URL", status=None, headers=None):
        super().__init__(reason)
        self.status = status
        self.headers = headers


class HTTPException(Exception):
    """Raised by a handler, answers the request with an error page.

        raise NotFoundException("There is no such article.")

    description  a text for the page; default: one for the status
    traceback    False keeps the traceback off the page even with debug=True

    To use, raise a subclass; each has a *code*.  In the documented layout
    they are circuits.web.exceptions.NotFound and so on.
    """

    code = None
    description = None
    traceback = True
    headers = ()

    def __init__(self, description=None, traceback=None):
        super().__init__("%d %s" % (self.code, self.name))
        if description is not None:
            self.description = description
        if traceback is not None:
            self.traceback = traceback

    @property
    def name(self):
        """The reason phrase of the status."""
        return HTTP_STATUS_CODES[self.code]

    def __str__(self):
        return "%d %s" % (self.code, self.name)

    def __repr__(self):
        return "<%s %r>" % (type(self).__name__.replace("Exception", ""), str(self))


class BadRequestException(HTTPException):
    """400: the request makes no sense."""

    code = 400
    description = "The server could not understand this request."


class UnicodeErrorException(HTTPException):
    """Text in the request is in no known encoding."""

    code = 400
    description = "The request holds text in an encoding that the server does not know."


class UnauthorizedException(HTTPException):
    """401: say who you are."""

    code = 401
    description = "Please say who you are: this page needs a name and a password."


class ForbiddenException(HTTPException):
    """403: you may not, whoever you are."""

    code = 403
    description = "You may not access this page."


class NotFoundException(HTTPException):
    """404: there is no such thing here."""

    code = 404
    description = "The requested address was not found on this server."


class MethodNotAllowedException(HTTPException):
    """405: not with this method; *method* is what was asked for.

    allowed  the methods that are, for the Allow header
    """

    code = 405
    description = "This method is not allowed here."

    def __init__(self, method, description=None, allowed=()):
        super().__init__(description or "The method %s is not allowed here." % method)
        self.method = method
        if allowed:
            self.headers = (("Allow", ", ".join(allowed)),)


class NotAcceptableException(HTTPException):
    """406: there is no form of it that the client accepts."""

    code = 406
    description = "There is no version of this page that the client accepts."


class RequestTimeoutException(HTTPException):
    """408: the request took too long to arrive."""

    code = 408
    description = "The request did not arrive in time."


class GoneException(HTTPException):
    """410: it was here, and will not come back."""

    code = 410
    description = "This page is gone for good."


class LengthRequiredException(HTTPException):
    """411: say how long the body is."""

    code = 411
    description = "The request needs a Content-Length."


class PreconditionFailedException(HTTPException):
    """412: an If-... header of the request does not hold."""

    code = 412
    description = "A precondition of the request does not hold."


class RequestEntityTooLargeException(HTTPException):
    """413: the body is too large."""

    code = 413
    description = "The request is larger than the server accepts."


class RequestURITooLargeException(HTTPException):
    """414: the address is too long."""

    code = 414
    description = "The address is longer than the server accepts."


class UnsupportedMediaTypeException(HTTPException):
    """415: a body of this type is not understood."""

    code = 415
    description = "The server does not take a body of this type."


class RangeUnsatisfiableException(HTTPException):
    """416: the file is not that long."""

    code = 416
    description = "The requested range is outside the file."


class InternalServerErrorException(HTTPException):
    """500: something went wrong here."""

    code = 500
    description = "Something went wrong on the server."


class NotImplementedException(HTTPException):
    """501: the server cannot do that."""

    code = 501
    description = "The server does not support what the request asks for."


class BadGatewayException(HTTPException):
    """502: a server behind this one gave no proper answer."""

    code = 502
    description = "A server behind this one gave no proper answer."


class ServiceUnavailableException(HTTPException):
    """503: not now."""

    code = 503
    description = "The server is not able to answer now; please try again later."


class RedirectException(HTTPException):
    """Sends the client elsewhere: *urls* is an address or a list of them.

    status  default 303 (See Other)
    """

    code = 303

    def __init__(self, urls, status=None):
        super().__init__()
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        self.status = status


_DESCRIPTIONS = {cls.code: cls.description for cls in HTTPException.__subclasses__()
                 if cls is not UnicodeErrorException}


# ---------------------------------------------------------------------------
# 3. Headers
#
# An ordered multi-map whose names know no case.  Invariant: what is inside
# can be sent as it is; names and values were checked on the way in.
# ---------------------------------------------------------------------------

def check_header(name, value):
    """The header as two str that can be sent; ValueError if it cannot."""
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    if not isinstance(name, str) or not is_token(name):
        raise ValueError("a header name is letters, digits and -, got %r" % (name,))
    if not isinstance(value, str):
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        else:
            raise TypeError("the value of header %s must be a str, got %r" % (name, value))
    if not (value.isascii() and value.isprintable()):
        for char in value:
            if char < " " and char != "\t" or char == "\x7f":
                raise ValueError("header %s: the control character %r in %r would split the "
                                 "message" % (name, char, value))
            if char > "\xff":
                raise ValueError("header %s: %r has no place in a header (Latin-1); quote() it "
                                 "first, value %r" % (name, char, value))
    return name, value


class Headers:
    """The headers of a message: ordered, repeated ones allowed, case ignored.

        headers["Content-Type"] = "text/plain"      replaces all of that name
        headers["X-Missing"]                        None, no KeyError
        headers.add_header("Content-Disposition", "attachment", filename="x.txt")

    Made from a list of (name, value).  ValueError if a name is no token, or a
    value holds line ends, other control characters, or more than Latin-1.
    """

    __slots__ = ("_list", "_first")

    def __init__(self, headers=None):
        if headers is None:
            headers = []
        if not isinstance(headers, list):
            raise TypeError("Headers must be a list of name/value tuples")
        self._list = [check_header(name, value) for name, value in headers]
        self._reindex()

    def _reindex(self):
        self._first = first = {}
        for name, value in self._list:
            first.setdefault(name.lower(), value)

    @classmethod
    def _parsed(cls, pairs, first):
        """From a parser, which checked everything: no copy is made."""
        self = cls.__new__(cls)
        self._list = pairs
        self._first = first
        return self

    def __getitem__(self, name):
        return self._first.get(name.lower())

    def get(self, name, default=None):
        """The first value of *name*."""
        return self._first.get(name.lower(), default)

    def get_all(self, name):
        """All values of *name*, a list in order."""
        name = name.lower()
        if name not in self._first:
            return []
        return [value for key, value in self._list if key.lower() == name]

    def __setitem__(self, name, value):
        name, value = check_header(name, value)
        lower = name.lower()
        if lower in self._first:
            self._list = [item for item in self._list if item[0].lower() != lower]
        self._list.append((name, value))
        self._first[lower] = value

    def __delitem__(self, name):
        lower = name.lower()
        if self._first.pop(lower, None) is not None:
            self._list = [item for item in self._list if item[0].lower() != lower]

    def __contains__(self, name):
        return name.lower() in self._first

    has_key = __contains__

    def __len__(self):
        return len(self._list)

    def __iter__(self):
        return iter(self.keys())

    def keys(self):
        """The names in order, each as often as it is there."""
        return [name for name, _ in self._list]

    def values(self):
        """The values in order."""
        return [value for _, value in self._list]

    def items(self):
        """The (name, value) pairs in order."""
        return list(self._list)

    def pop(self, name, default=None):
        """Remove all of *name*; returns the first value."""
        value = self._first.get(name.lower(), default)
        del self[name]
        return value

    def setdefault(self, name, value):
        """The first value of *name*, which becomes *value* if there is none."""
        if name not in self:
            self[name] = value
        return self[name]

    def update(self, headers):
        """Set each of a mapping or a list of pairs."""
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            self[name] = value

    def add_header(self, _name, _value=None, **params):
        """Append one more header; keyword arguments become parameters.

        Underscores become dashes, None means a parameter without a value.
        """
        parts = [] if _value is None else [str(_value)]
        for key, value in params.items():
            key = key.replace("_", "-")
            if value is None:
                parts.append(key)
            else:
                text = str(value).replace("\\", "\\\\").replace('"', '\\"')
                parts.append('%s="%s"' % (key, text))
        name, value = check_header(_name, "; ".join(parts))
        self._list.append((name, value))
        self._first.setdefault(name.lower(), value)

    def append(self, name, value):
        """Add a value to a list header, after a comma; Set-Cookie gets a line."""
        before = self._first.get(name.lower())
        if before is None or name.lower() == "set-cookie":
            self.add_header(name, value)
        else:
            self[name] = "%s, %s" % (before, value)

    def elements(self, name):
        """The comma-separated elements of *name*, parsed, the preferred first."""
        return header_elements(name, ", ".join(self.get_all(name)))

    def copy(self):
        """An independent copy."""
        return Headers._parsed(list(self._list), dict(self._first))

    def __eq__(self, other):
        return isinstance(other, Headers) and self._list == other._list

    __hash__ = None

    def __repr__(self):
        return "Headers(%r)" % (self._list,)

    def __str__(self):
        return "".join(["%s: %s\r\n" % item for item in self._list]) + "\r\n"

    def __bytes__(self):
        return str(self).encode("latin-1")


class HeaderElement:
    """One element of a list header: a value with parameters."""

    def __init__(self, value, params=None):
        self.value = value
        self.params = {} if params is None else params

    @staticmethod
    def parse(text):
        """Split into (value, {name: value})."""
        return parse_params(text)

    @classmethod
    def from_str(cls, text):
        """Make one from its text."""
        return cls(*cls.parse(text))

    def __str__(self):
        return self.value + "".join([";%s=%s" % item for item in self.params.items()])

    def __repr__(self):
        return "<%s %s>" % (type(self).__name__, self)

    def __eq__(self, other):
        return isinstance(other, HeaderElement) and str(self) == str(other)

    def __lt__(self, other):
        return self.value < other.value

    def __hash__(self):
        return hash(str(self))


class AcceptElement(HeaderElement):
    """An element of an Accept header; the least sorts as the most preferred."""

    @property
    def qvalue(self):
        """The weight, 0 to 1; 1 if there is none, 0 if it is nonsense."""
        text = self.params.get("q", "1")
        whole, _, rest = text.partition(".")
        if not is_digits(whole or "x") or rest and not is_digits(rest) or len(text) > 5:
            return 0.0
        return min(1.0, float(text))

    def __lt__(self, other):
        return self.qvalue > other.qvalue


def header_elements(fieldname, fieldvalue):
    """The elements of a header value, sorted if it is an Accept header."""
    if not fieldvalue:
        return []
    accept = fieldname.lower().startswith("accept") or fieldname.lower() == "te"
    cls = AcceptElement if accept else HeaderElement
    elements = [cls.from_str(item) for item in split_quoted(fieldvalue, ",") if item.strip()]
    return sorted(elements) if accept else elements


def parse_headers(text):
    """Read a header block leniently, as a file or a mail may hold it.

    A folded line counts as one more value of the header above it.  For
    messages from the network there is the codec, which takes none of that.
    """
    headers = Headers()
    name = None
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip():
            break
        if line[0] in " \t" and name:
            headers.add_header(name, line.strip())
        else:
            name, _, value = line.partition(":")
            name = name.strip()
            headers.add_header(name, value.strip())
    return headers


# ---------------------------------------------------------------------------
# 4. HTTP codec
#
# Turns bytes into messages and back (RFC 9112); owns every framing decision.
# Pure: no clock, no socket.  Invariants: after an error the parser accepts
# nothing; what it keeps is bounded by its limits; each byte is looked at a
# bounded number of times, however the input is cut.
# ---------------------------------------------------------------------------

#: Bytes of a request or status line.  8000 is what RFC 9112, 3 asks for.
MAX_START_LINE = 8192

#: Bytes of a header block, or of trailers; nginx has 4 x 8 KiB, Apache 100 x 8.
MAX_HEADER_BYTES = 65536

#: Headers in a message; Apache's limit.
MAX_HEADERS = 100

#: Bytes of a body.  It goes to disk beyond max_memory, so this guards the disk.
MAX_BODY = 100 * 1024 * 1024

#: Bytes of a chunk's size line with its extensions.
MAX_CHUNK_LINE = 256

#: Body bytes handed out at once.
MAX_PIECE = 65536

#: What next_event() returns when a message with a body is over.
END = type("End", (), {"__repr__": lambda self: "END", "__slots__": ()})()

_TEXT = bytes(sorted(set(range(256)) - set(range(32)) - {127} | {9}))

# Memories of what was found valid, bounded: clients repeat themselves, and
# looking a line up costs a third of reading it.
MAX_MEMORY_LINES = 500
MAX_MEMORY_LINE = 200
MAX_MEMORY_HEAD = 1000
_FIELD_NAMES = {}       # as sent -> lower case
_FIELDS = {}            # header line -> (lower case name, (name, value))
_REQUEST_LINES = {}     # request line -> (method, target, version)
_HOSTS = {}             # values of Host
_UNREMEMBERED = frozenset(("cookie", "set-cookie", "authorization", "proxy-authorization"))
_VERSIONS = {"HTTP/1.1": (1, 1), "HTTP/1.0": (1, 0)}
_CODINGS = frozenset(("gzip", "x-gzip", "deflate", "compress", "x-compress"))
_ONCE = frozenset(("host", "content-length", "transfer-encoding", "content-type"))
_NO_TRAILERS = frozenset((
    "transfer-encoding", "content-length", "host", "content-type", "content-encoding",
    "connection", "te", "trailer", "expect", "authorization", "cookie", "set-cookie"))
_HOST_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


class Head:
    """The start line and headers of one message, and what its framing means.

    method, target         of a request, as on the wire
    status, reason         of a response
    version                (1, 0) or (1, 1)
    headers                Headers
    length                 bytes of the body; None: chunked, or up to the end
    has_body               whether body pieces and END follow
    keep_alive             whether the connection may be used again
    expects_continue       the peer waits for 100 before it sends the body
    upgrade                the peer offers or agrees to another protocol
    trailers               Headers, after END of a chunked body
    """

    # On the class, as most heads have most of them: it saves a microsecond.
    method = target = status = reason = trailers = None
    length = 0
    has_body = chunked = keep_alive = expects_continue = upgrade = False

    def __init__(self, version, headers):
        self.version = version
        self.headers = headers

    def copy(self):
        """One that can be changed on its own."""
        head = Head(self.version, None)
        head.__dict__.update(self.__dict__)
        headers = self.headers
        head.headers = Headers._parsed(headers._list[:], headers._first.copy())
        return head

    def __repr__(self):
        return "<Head %s>" % ("%s %s" % (self.method, self.target) if self.method
                              else "%s %s" % (self.status, self.reason))


def valid_host(host):
    """Whether *host* can be the value of a Host header: a name or address, and a port.

    >>> valid_host("a.example:80"), valid_host("[::1]"), valid_host("a/b"), valid_host("a:b")
    (True, True, False, False)
    """
    if host.startswith("["):
        address, bracket, port = host[1:].partition("]")
        if not bracket or not address or not set(address) <= set("0123456789abcdefABCDEF:."):
            return False
        if port and port[0] != ":":
            return False
        port = port[1:]
    else:
        name, _, port = host.partition(":")
        if not _HOST_CHARS.issuperset(name) or not name and port:
            return False
    return not port or len(port) <= 5 and is_digits(port)


def _remember(memory, key, value):
    if len(memory) >= MAX_MEMORY_LINES:
        memory.clear()
    memory[key] = value


def _tokens(value):
    """The elements of a comma-separated header, lower case."""
    return [item.strip(" \t") for item in value.lower().split(",")]


class MessageParser:
    """What reading requests and reading responses share.

    To use:       feed(data), next_event(), eof(), len() (bytes not read yet)
    To override:  _start(line), _frame(head), _too_long()

    next_event() returns a Head, then, if it has_body, bytes in pieces and
    END; None means: feed me more.  It raises ProtocolError, and ever after.

    heads   a dict that parsers with the same limits share: whole heads that
            were found valid.  Clients repeat themselves, and a hit saves two
            thirds of the reading.
    """

    def __init__(self, max_start_line=MAX_START_LINE, max_header_bytes=MAX_HEADER_BYTES,
                 max_headers=MAX_HEADERS, max_body=MAX_BODY, max_chunk_line=MAX_CHUNK_LINE,
                 heads=None):
        self.max_start_line = max_start_line
        self.max_header_bytes = max_header_bytes
        self.max_headers = max_headers
        self.max_body = max_body
        self.max_chunk_line = max_chunk_line
        self.error = None
        self.ended = False          # eof() was called
        self._heads = heads
        self._buffer = bytearray()
        self._scanned = 0           # no end of head before this offset
        self._empty = 0             # empty lines before this head
        self._checked = False       # the start line of an unfinished head is fine
        self._state = MessageParser._read_head      # a function: a method would be a cycle
        self._head = None
        self._left = 0              # bytes of the body, or of the chunk, to come
        self._total = 0             # bytes of the body so far
        self._extensions = 0        # bytes of chunk extensions so far

    def __len__(self):
        return len(self._buffer)

    def feed(self, data):
        """Take what arrived."""
        if self.error is None:
            self._buffer += data

    def next_event(self):
        """The next part of the message, or None."""
        if self.error is not None:
            raise self.error
        try:
            return self._state(self)
        except ProtocolError as error:
            self.error = error
            self._buffer = bytearray()
            raise

    def eof(self):
        """The peer sends no more; the next next_event() says what that means.

        ProtocolError if it is in the middle of a message; END if a body that
        lasts to the end of the connection is over.
        """
        self.ended = True

    def rest(self):
        """Take out what was fed and not read: it is of another protocol."""
        rest = bytes(self._buffer)
        self._buffer = bytearray()
        return rest

    def reset(self):
        """Forget the message that was read; the next one begins."""
        self._state = MessageParser._read_head
        self._head = None

    # -- heads --------------------------------------------------------------

    def _read_head(self):
        buffer = self._buffer
        if buffer and buffer[0] == 13 and not self._skip_empty_lines():
            return self._cut_off()
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            return self._unfinished_head()
        if end > self.max_header_bytes + self.max_start_line:
            raise ProtocolError(431, "the headers are too large")
        raw = bytes(buffer[:end])
        del buffer[:end + 4]
        self._scanned = self._empty = 0
        self._checked = False
        known = self._heads.get(raw) if self._heads else None
        head = self._judge_head(raw, end) if known is None else known.copy()
        if head.has_body:
            self._head = head
            self._total = self._extensions = 0
            self._left = head.length
            self._state = MessageParser._read_chunk if head.chunked else (
                MessageParser._read_to_end if head.length is None
                else MessageParser._read_length)
        return head

    def _judge_head(self, raw, end):
        """The Head of these bytes, which are *end* many."""
        lines = raw.decode("latin-1").split("\r\n")
        if raw.translate(None, _TEXT) != b"\r\n" * (len(lines) - 1):
            raise ProtocolError(400, "a control character or a bare line end in the head")
        if len(lines[0]) > self.max_start_line:
            raise self._too_long()
        if end - len(lines[0]) > self.max_header_bytes:
            raise ProtocolError(431, "the headers are too large")
        if len(lines) > self.max_headers + 1:
            raise ProtocolError(431, "more than %d headers" % self.max_headers)
        head = self._start(lines[0])
        head.headers = self._headers(lines)
        self._frame(head)
        if self._heads is not None and end <= MAX_MEMORY_HEAD \
                and _UNREMEMBERED.isdisjoint(head.headers._first):
            _remember(self._heads, raw, head.copy())
        return head

    def _skip_empty_lines(self):
        """Drop what RFC 9112, 2.2 says to ignore before a request; False to wait."""
        buffer = self._buffer
        while buffer and buffer[0] == 13:
            if len(buffer) < 2:
                return False
            self._empty += 1
            if buffer[1] != 10 or self._empty > 2:
                raise ProtocolError(400, "a bare line end in the head")
            del buffer[:2]
        return True

    def _unfinished_head(self):
        """Judge what is there of a head: limits and errors do not wait for the rest."""
        buffer = self._buffer
        size = len(buffer)
        if not size:
            return None
        since = self._scanned
        if buffer.count(b"\n", since) != buffer.count(b"\r\n", max(0, since - 1)):
            raise ProtocolError(400, "a bare line end in the head")
        self._scanned = max(0, size - 3)
        line_end = buffer.find(b"\r\n", 0, self.max_start_line + 2)
        if line_end < 0:
            if size > self.max_start_line + 1:
                raise self._too_long()
            if chr(buffer[0]) not in _TOKEN:
                raise ProtocolError(400, "this is not HTTP")
        else:
            if size - line_end > self.max_header_bytes + 4:
                raise ProtocolError(431, "the headers are too large")
            if not self._checked:
                self._checked = True
                self._start(buffer[:line_end].decode("latin-1"))
        return self._cut_off()

    def _cut_off(self):
        if self.ended and self._buffer:
            raise ProtocolError(400, "the connection ended within the head")
        return None

    def _headers(self, lines):
        """The Headers of the lines after the first."""
        pairs = []
        first = {}
        known = _FIELDS
        for index in range(1, len(lines)):
            line = lines[index]
            field = known.get(line)
            if field is None:
                field = self._field(line)
            lower, pair = field
            pairs.append(pair)
            if lower not in first:
                first[lower] = pair[1]
            elif lower in _ONCE:
                raise ProtocolError(400, "a repeated %s header" % lower)
        return Headers._parsed(pairs, first)

    def _field(self, line):
        """Read a header line: the name in lower case, and (name, value)."""
        name, colon, value = line.partition(":")
        lower = _FIELD_NAMES.get(name)
        if lower is None:
            lower = self._new_name(name)
        if not colon:
            raise ProtocolError(400, "a header line without a colon")
        field = lower, (name, value.strip(" \t"))
        if len(line) <= MAX_MEMORY_LINE and lower not in _UNREMEMBERED:
            _remember(_FIELDS, line, field)
        return field

    @staticmethod
    def _new_name(name):
        """Check a header name; folded lines and spaces before the colon fail here."""
        if not is_token(name):
            raise ProtocolError(400, "a header name with a space or a strange character")
        lower = name.lower()
        if len(name) <= MAX_MEMORY_LINE:
            _remember(_FIELD_NAMES, name, lower)
        return lower

    def _start(self, line):
        """To override: a Head of the start line, without headers."""
        raise NotImplementedError

    def _frame(self, head):
        """To override: what follows the head, by its headers."""
        raise NotImplementedError

    def _too_long(self):
        """To override: the error for a start line over the limit."""
        return ProtocolError(431, "the first line is too long")

    # -- framing ------------------------------------------------------------

    def _frame_length(self, head, first):
        """Content-Length and Transfer-Encoding: RFC 9112, 6, without leniency."""
        coding = first.get("transfer-encoding")
        length = first.get("content-length")
        if coding is not None:
            if length is not None:
                raise ProtocolError(400, "both Content-Length and Transfer-Encoding")
            if head.version < (1, 1):
                raise ProtocolError(400, "Transfer-Encoding in HTTP/1.0")
            self._check_coding(_tokens(coding))
            head.chunked = head.has_body = True
            head.length = None
        elif length is not None:
            if not is_digits(length):
                raise ProtocolError(400, "a Content-Length that is no number")
            if len(length) > 18 or int(length) > self.max_body:
                raise ProtocolError(413, "the body is too large")
            head.length = int(length)
            head.has_body = head.length > 0

    @staticmethod
    def _check_coding(codings):
        if codings == ["chunked"]:
            return
        inner = codings[:-1] if codings[-1] == "chunked" else codings
        if inner and _CODINGS.issuperset(inner):
            raise ProtocolError(501, "a transfer coding other than chunked")
        raise ProtocolError(400, "a Transfer-Encoding that does not end in chunked, once")

    def _frame_connection(self, head, first):
        """Whether the connection persists: RFC 9112, 9.3."""
        value = first.get("connection")
        if value is None:
            head.keep_alive = head.version >= (1, 1)
            return
        options = _tokens(", ".join(head.headers.get_all("connection")))
        if "close" in options:
            head.keep_alive = False
        else:
            head.keep_alive = head.version >= (1, 1) or "keep-alive" in options
        head.upgrade = "upgrade" in options and "upgrade" in first

    # -- bodies -------------------------------------------------------------

    def _read_length(self):
        buffer = self._buffer
        left = self._left
        if not left:
            return self._over()
        if not buffer:
            return self._cut_body()
        piece = bytes(buffer[:min(left, MAX_PIECE)])
        del buffer[:len(piece)]
        self._left = left - len(piece)
        return piece

    def _read_to_end(self):
        buffer = self._buffer
        if not buffer:
            return self._over() if self.ended else None
        piece = bytes(buffer[:MAX_PIECE])
        del buffer[:len(piece)]
        self._grow(len(piece))
        return piece

    def _grow(self, size):
        self._total += size
        if self._total > self.max_body:
            raise ProtocolError(413, "the body is too large")

    def _cut_body(self):
        if self.ended:
            raise ProtocolError(400, "the connection ended within the body")
        return None

    def _read_chunk(self):
        """Decode as many chunks as there are into one piece.

        self._left: bytes of the current chunk to come; -1: its CRLF; None:
        the size line.
        """
        buffer = self._buffer
        position = 0
        out = bytearray()
        left = self._left
        while len(out) < MAX_PIECE:
            if left is None:
                end = buffer.find(b"\r\n", position, position + self.max_chunk_line + 2)
                if end < 0:
                    self._unfinished_chunk_line(position)
                    break
                left = self._chunk_size(bytes(buffer[position:end]))
                position = end + 2
                if not left:
                    self._state = MessageParser._read_trailers
                    break
                self._grow(left)
            elif left < 0:
                end = buffer[position:position + 2]
                if end != b"\r\n"[:len(end)]:
                    raise ProtocolError(400, "a chunk is longer than it says")
                if len(end) < 2:
                    break
                position += 2
                left = None
            else:
                piece = buffer[position:position + left]
                out += piece
                position += len(piece)
                left -= len(piece)
                if left:
                    break
                left = -1
        del buffer[:position]
        self._left = left
        if out:
            return bytes(out)
        if left == 0:
            return self._state(self)
        return self._cut_body()

    def _unfinished_chunk_line(self, position):
        buffer = self._buffer
        if b"\n" in buffer[position:position + self.max_chunk_line]:
            raise ProtocolError(400, "a bare line end in a chunk line")
        if len(buffer) - position > self.max_chunk_line:
            raise ProtocolError(400, "a chunk line is too long")

    def _chunk_size(self, line):
        """The size on a chunk line; extensions are checked and dropped."""
        size, semicolon, extension = line.partition(b";")
        if semicolon:
            size = size.rstrip(b" \t")
            self._extensions += len(extension)
            if extension.translate(None, _TEXT):
                raise ProtocolError(400, "a control character in a chunk extension")
            if self._extensions > self.max_header_bytes:
                raise ProtocolError(413, "the chunk extensions are too large")
        if not size or size.translate(None, b"0123456789abcdefABCDEF"):
            raise ProtocolError(400, "a chunk size that is no number")
        if len(size) > 16:
            raise ProtocolError(413, "a chunk is too large")
        return int(size, 16)

    def _read_trailers(self):
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
            return self._over()
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            since = self._scanned
            if buffer.count(b"\n", since) != buffer.count(b"\r\n", max(0, since - 1)):
                raise ProtocolError(400, "a bare line end in the trailers")
            self._scanned = max(0, len(buffer) - 3)
            if len(buffer) > self.max_header_bytes:
                raise ProtocolError(431, "the trailers are too large")
            return self._cut_body()
        raw = buffer[:end]
        del buffer[:end + 4]
        self._scanned = 0
        lines = [""] + raw.decode("latin-1").split("\r\n")
        if raw.translate(None, _TEXT) != b"\r\n" * (len(lines) - 2):
            raise ProtocolError(400, "a control character or a bare line end in the trailers")
        if len(raw) > self.max_header_bytes or len(lines) > self.max_headers + 1:
            raise ProtocolError(431, "the trailers are too large")
        self._head.trailers = self._headers(lines)
        if not _NO_TRAILERS.isdisjoint(self._head.trailers._first):
            raise ProtocolError(400, "a trailer that has no place there")
        return self._over()

    def _over(self):
        self._scanned = 0
        self.reset()
        return END


class RequestParser(MessageParser):
    """Reads the requests of one connection.

        parser = RequestParser(max_body=1000)
        parser.feed(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        parser.next_event()                     a Head

    Strict: whatever two readers could understand differently is an error.
    """

    def _start(self, line):
        known = _REQUEST_LINES.get(line)
        if known is None:
            known = self._request_line(line)
            if len(line) <= MAX_MEMORY_LINE:
                _remember(_REQUEST_LINES, line, known)
        head = Head(known[2], None)
        head.method = known[0]
        head.target = known[1]
        return head

    def _request_line(self, line):
        """Read a request line: method, target, and version as numbers."""
        parts = line.split(" ")
        if len(parts) != 3:
            raise ProtocolError(400, "a request line is method, target and version")
        method, target, version = parts
        if not is_token(method) or len(method) > 64:
            raise ProtocolError(400, "a strange method")
        number = _VERSIONS.get(version)
        if number is None:
            number = self._other_version(version)
        if not target or not (target.isascii() and target.isprintable()):
            raise ProtocolError(400, "a strange character in the target")
        if "#" in target:
            raise ProtocolError(400, "a fragment in the target")
        return method, target, number

    @staticmethod
    def _other_version(version):
        name, slash, number = version.partition("/")
        major, dot, minor = number.partition(".")
        if name != "HTTP" or not slash or not dot or len(number) != 3 \
                or not is_digits(major) or not is_digits(minor):
            raise ProtocolError(400, "a request line is method, target and version")
        if major != "1":
            raise ProtocolError(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        return (1, 1)               # RFC 9110, 2.5: a higher minor is understood

    def _too_long(self):
        return ProtocolError(414, "the request line is too long")

    def _frame(self, head):
        first = head.headers._first
        host = first.get("host")
        if host is None:
            if head.version >= (1, 1):
                raise ProtocolError(400, "no Host header")
        elif host not in _HOSTS:
            if not valid_host(host):
                raise ProtocolError(400, "a strange Host header")
            if len(host) <= MAX_MEMORY_LINE:
                _remember(_HOSTS, host, True)
        if "connection" in first or head.version < (1, 1):
            self._frame_connection(head, first)
        else:
            head.keep_alive = True
        if "content-length" in first or "transfer-encoding" in first:
            self._frame_length(head, first)
        if "expect" in first and head.version >= (1, 1):
            if first["expect"].lower() != "100-continue":
                raise ProtocolError(417, "an expectation that is not met")
            head.expects_continue = head.has_body


class ResponseParser(MessageParser):
    """Reads the responses of one connection.

    Tell it the method of each request, in order, by expect(method): how a
    response is framed depends on it.  Tolerant of what servers do to headers
    (repeated Content-Type), strict about framing.
    """

    def __init__(self, **limits):
        super().__init__(**limits)
        self._methods = []

    def expect(self, method):
        """A request with this method was sent."""
        self._methods.append(method)

    def _start(self, line):
        version, _, rest = line.partition(" ")
        status, _, reason = rest.partition(" ")
        if version not in _VERSIONS or len(status) != 3 or not is_digits(status) or status < "100":
            raise ProtocolError(502, "a strange status line")
        head = Head(_VERSIONS[version], None)
        head.status = int(status)
        head.reason = reason
        return head

    def _headers(self, lines):
        pairs = []
        first = {}
        for line in lines[1:]:
            lower, pair = self._field(line)
            if lower in first and lower in ("content-length", "transfer-encoding"):
                raise ProtocolError(502, "a repeated %s header" % lower)
            pairs.append(pair)
            first.setdefault(lower, pair[1])
        return Headers._parsed(pairs, first)

    def _frame(self, head):
        first = head.headers._first
        status = head.status
        method = self._methods[0] if self._methods else "GET"
        if self._methods and (status >= 200 or status == 101):
            del self._methods[0]
        self._frame_connection(head, first)
        if status == 101 or method == "CONNECT" and 200 <= status < 300:
            head.upgrade = True
            return
        head.upgrade = False
        if status < 200 or status in (204, 304) or method == "HEAD":
            return
        self._frame_length(head, first)
        if not head.chunked and "content-length" not in first:
            head.length = None
            head.has_body = True
            head.keep_alive = False


def encode_head(start, pairs):
    """The bytes of a start line and (name, value) pairs that Headers checked.

    >>> encode_head("HTTP/1.1 200 OK", [("A", "b")])
    b'HTTP/1.1 200 OK\\r\\nA: b\\r\\n\\r\\n'
    """
    text = "".join(["%s: %s\r\n" % pair for pair in pairs])
    return ("%s\r\n%s\r\n" % (start, text)).encode("latin-1")


def encode_chunk(data):
    """*data* as one chunk; an empty one would end the body, so it is nothing.

    >>> encode_chunk(b"abc"), encode_chunk(b"")
    (b'3\\r\\nabc\\r\\n', b'')
    """
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"


# ---------------------------------------------------------------------------
# 5. Forms
#
# What browsers put into a body.  Multipart bodies are read in pieces; files
# go to disk when they are large.  Invariant: a body that is cut or wrong
# raises BadInput, and what was opened for it is closed.
# ---------------------------------------------------------------------------

#: Fields and files of a form; PHP's limit.
MAX_FIELDS = 1000

#: Bytes of all form fields that are no files, and of an urlencoded form.
MAX_FIELD = 1024 * 1024

#: Bytes of the headers of one part, and their number.
MAX_PART_HEADERS = 8192
MAX_PART_HEADER_COUNT = 20

#: Bytes of a body or an upload that stay in memory; more goes to disk.
MAX_MEMORY = 1024 * 1024

#: Bytes that each of many uploads in one form may keep there; the first ones
#: share out more.
MIN_MEMORY = 65536


class Spool:
    """Bytes in memory that move to an unnamed file when they become many.

    A file for writing and then for reading; the file is opened where needed.
    """

    def __init__(self, max_memory=MAX_MEMORY):
        self.max_memory = max_memory
        self.size = 0
        self.file = BytesIO()
        self.on_disk = False

    def write(self, data):
        """Append *data*."""
        self.size += len(data)
        try:
            if self.size > self.max_memory and not self.on_disk:
                from tempfile import TemporaryFile
                file = TemporaryFile(prefix="circuits-")
                file.write(self.file.getvalue())
                self.file = file
                self.on_disk = True
            self.file.write(data)
        except OSError as error:        # no descriptor is free, or the disk is full
            raise ProtocolError(503, "there is no room for the body") from error


class InflatingSpool(Spool):
    """A Spool for a body that comes compressed: what is written is inflated.

    BadInput for what is no such data, and for more than *max_size* bytes,
    which is looked at before they exist.
    """

    def __init__(self, coding, max_size, max_memory=MAX_MEMORY):
        import zlib
        super().__init__(max_memory)
        self.max_size = max_size
        self._error = zlib.error
        self._engine = zlib.decompressobj(15 if coding == "deflate" else 31)

    def write(self, data):
        engine = self._engine
        while data:
            try:
                out = engine.decompress(data, MAX_PIECE)
            except self._error:
                raise BadInput("the body is not compressed as it says") from None
            if self.size + len(out) > self.max_size:
                raise BadInput("the body is too large when decompressed", 413)
            super().write(out)
            if engine.unused_data:
                raise BadInput("the body goes on after its end")
            data = engine.unconsumed_tail

    def end(self):
        """That was all: BadInput if it is not."""
        if not self._engine.eof:
            raise BadInput("the compressed body is cut off")


class FormFile:
    """An uploaded file.

    filename  its base name as the client gave it; a name to show, not a path
    file      the content, a binary file
    value     the content as bytes
    type      the content type the client gave
    name      the name of the form field; size: bytes; headers: Headers
    """

    def __init__(self, name, filename, file, size, headers):
        self.name = name
        self.filename = filename
        self.file = file
        self.size = size
        self.headers = headers
        self.type = headers.get("Content-Type", "application/octet-stream")

    @property
    def value(self):
        self.file.seek(0)
        return self.file.read()

    def save_as(self, path):
        """Copy the content to a new file at *path*; returns the bytes written."""
        from shutil import copyfileobj
        self.file.seek(0)
        with open(path, "wb") as target:
            copyfileobj(self.file, target)
        return self.size

    def close(self):
        """Let go of the content."""
        self.file.close()

    def __repr__(self):
        return "<FormFile %r %s (%d)>" % (self.filename, self.type, self.size)


def base_name(filename):
    """The last part of a file name that a client sent, without what no name has.

    >>> base_name("C:\\\\a\\\\b.txt"), base_name("../../etc/passwd"), base_name("..")
    ('b.txt', 'passwd', '')
    """
    name = filename.replace("\\", "/").rpartition("/")[2]
    name = "".join([char for char in name if char.isprintable()]).strip(" ")
    return "" if name in (".", "..") else name


class MultipartParser:
    """Reads a multipart/form-data body that comes in pieces (RFC 7578).

        parser = MultipartParser(boundary)
        for piece in pieces: parser.feed(piece)
        fields = parser.finish()

    fields maps names to a str or a FormFile, or to a list where repeated.
    BadInput for what is wrong or over a limit; then everything is closed.
    """

    def __init__(self, boundary, max_fields=MAX_FIELDS, max_field=MAX_FIELD,
                 max_file=MAX_BODY, max_memory=MAX_MEMORY, encoding="utf-8"):
        if not boundary or len(boundary) > 70 or not (boundary.isascii() and
                                                      boundary.isprintable()):
            raise BadInput("a multipart body without a proper boundary")
        self.max_fields = max_fields
        self.max_field = max_field
        self.max_file = max_file
        self.max_memory = max_memory
        self.encoding = encoding
        self.fields = {}
        self._delimiter = b"\r\n--" + boundary.encode()
        self._buffer = bytearray(b"\r\n")       # so that the first one looks like the others
        self._state = MultipartParser._preamble
        self._skipped = 0
        self._count = 0
        self._text = 0              # bytes of the fields so far
        self._part = None           # [name, filename, headers, Spool, limit]
        self._crlf = False          # the content begins after a CRLF that is in the buffer
        self._files = []

    def feed(self, data):
        """Take the next piece of the body."""
        self._buffer += data
        try:
            while self._state(self):
                pass
        except BadInput:
            self.close()
            raise

    def finish(self):
        """The body is over: the fields."""
        if self._state != MultipartParser._epilogue:
            self.close()
            raise BadInput("the multipart body is cut off")
        self._buffer = bytearray()
        return self.fields

    def close(self):
        """Close all files; for a body that failed."""
        for file in self._files:
            file.close()
        if self._part is not None:
            self._part[3].file.close()
            self._part = None
        self._files = []
        self.fields = {}
        self._buffer = bytearray()
        self._state = MultipartParser._failed

    def _failed(self):
        raise BadInput("the multipart body was given up")

    def _find(self):
        """Offset of the next delimiter, or where it could begin at the earliest."""
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            return at, True
        return max(0, len(self._buffer) - len(self._delimiter) + 1), False

    def _preamble(self):
        at, found = self._find()
        self._skipped += at
        if self._skipped > MAX_PART_HEADERS:
            raise BadInput("text before the first part")
        del self._buffer[:at]
        if found:
            del self._buffer[:len(self._delimiter)]
            self._state = MultipartParser._after_delimiter
        return found

    def _after_delimiter(self):
        """What follows a boundary: CRLF and a part, or -- and the end."""
        buffer = self._buffer
        if buffer.startswith(b"--"):
            self._state = MultipartParser._epilogue
            return True
        end = buffer.find(b"\r\n", 0, 64)
        if end < 0:
            if len(buffer) >= 64 or b"\n" in buffer:
                raise BadInput("a boundary is followed by something else")
            return False
        if bytes(buffer[:end]).strip(b" \t"):
            raise BadInput("a boundary is followed by something else")
        del buffer[:end]            # the CRLF stays: a part may have no headers
        self._state = MultipartParser._part_headers
        return True

    def _epilogue(self):
        self._buffer = bytearray()
        return False

    def _part_headers(self):
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > MAX_PART_HEADERS:
                raise BadInput("the headers of a part are too large")
            return False
        if end > MAX_PART_HEADERS:
            raise BadInput("the headers of a part are too large")
        raw = bytes(buffer[2:end])
        del buffer[:end + 2]        # the CRLF stays: an empty part ends with it
        self._begin_part(self._parse_headers(raw))
        self._state = MultipartParser._content
        return True

    def _parse_headers(self, raw):
        lines = raw.split(b"\r\n") if raw else []
        if len(lines) > MAX_PART_HEADER_COUNT or raw.translate(None, _TEXT) != b"\r\n" * max(
                0, len(lines) - 1):
            raise BadInput("strange headers in a part")
        pairs = []
        for line in lines:
            name, colon, value = line.partition(b":")
            name = name.decode("latin-1")
            if not colon or not is_token(name):
                raise BadInput("strange headers in a part")
            pairs.append((name, value.strip(b" \t").decode(self.encoding, "replace")))
        first = {}
        for name, value in pairs:
            first.setdefault(name.lower(), value)
        return Headers._parsed(pairs, first)

    def _begin_part(self, headers):
        self._count += 1
        if self._count > self.max_fields:
            raise BadInput("more than %d parts" % self.max_fields, 413)
        length = headers.get("Content-Length")
        if length is not None and not is_digits(length):
            raise BadInput("a Content-Length that is no number in a part")
        kind, params = parse_params(headers.get("Content-Disposition", ""))
        if kind.lower() != "form-data" or "name" not in params:
            raise BadInput("a part that is no form field")
        filename = params.get("filename")
        if filename is None and "filename*" in params:
            charset, _, rest = params["filename*"].partition("'")
            if charset.lower() in ("utf-8", "iso-8859-1"):
                filename = unquote(rest.partition("'")[2], charset)
        limit = self.max_field - self._text if filename is None else self.max_file
        memory = max(min(self.max_memory, MIN_MEMORY), self.max_memory // (len(self._files) + 1))
        self._part = [params["name"], filename, headers, Spool(memory), limit]
        self._crlf = True

    def _content(self):
        at, found = self._find()
        name, filename, headers, spool, limit = self._part
        if self._crlf and at >= 2:
            del self._buffer[:2]
            self._crlf = False
            at -= 2
        if at and not self._crlf:
            if spool.size + at > limit:
                raise BadInput("the fields or a file of the form are too large", 413)
            spool.write(bytes(self._buffer[:at]))
            del self._buffer[:at]
        if not found:
            return False
        del self._buffer[:len(self._delimiter)]
        self._end_part(name, filename, headers, spool)
        self._state = MultipartParser._after_delimiter
        return True

    def _end_part(self, name, filename, headers, spool):
        self._part = None
        spool.file.seek(0)
        if filename is None:
            self._text += spool.size
            charset = parse_params(headers.get("Content-Type", ""))[1].get("charset", self.encoding)
            try:
                value = spool.file.read().decode(charset, "replace")
            except LookupError:
                raise BadInput("a part in an unknown encoding") from None
            spool.file.close()
        else:
            value = FormFile(name, base_name(filename), spool.file, spool.size, headers)
            self._files.append(spool.file)
        add_field(self.fields, name, value)


def parse_body(request, response, params):
    """Add the form fields of the body of *request* to the dict *params*.

    Other bodies are left to be read from request.body.  Raises BadInput.
    """
    content_type, options = parse_params(request.headers.get("Content-Type", ""))
    content_type = content_type.lower()
    if content_type == "application/x-www-form-urlencoded":
        fields = _read_urlencoded(request)
    elif content_type == "multipart/form-data":
        fields = _read_multipart(request, options.get("boundary", ""))
    else:
        return
    params.update(fields)


def _read_urlencoded(request):
    limits = request.limits
    max_field = limits.get("max_field", MAX_FIELD)
    data = request.body.read(max_field + 1)
    request.body.seek(0)
    if len(data) > max_field:
        raise BadInput("the form is too large", 413)
    return parse_qs(data.decode("latin-1") if data.isascii() else data.decode("utf-8", "replace"),
                    max_fields=limits.get("max_fields", MAX_FIELDS))


def _read_multipart(request, boundary):
    parser = MultipartParser(boundary, **request.limits)
    while True:
        piece = request.body.read(MAX_PIECE)
        if not piece:
            break
        parser.feed(piece)
    request.body.seek(0)
    fields = parser.finish()
    request._files = parser._files
    return fields


def dictform(form):
    """The fields of a form as a dict; it is one already."""
    return dict(form)


# ---------------------------------------------------------------------------
# 6. Requests
#
# What handlers get.  Most of what a request knows is worked out when it is
# asked for.  The documented layout calls the classes of this section and the
# next web.wrappers.Request and .Response; in this file those are the events.
# ---------------------------------------------------------------------------

SERVER_PROTOCOL = (1, 1)
SERVER_VERSION = "circuits/%s" % __version__
SERVER_URL = "https://bitbucket.org/prologic/circuits/"


def split_target(method, target):
    """(raw path, query, authority) of a request target: RFC 9112, 3.2.

    The authority is None unless the target is absolute.  Raises BadInput for
    the forms that only a proxy takes.

    >>> split_target("GET", "/a?b=c"), split_target("GET", "http://h:1/a")
    (('/a', 'b=c', None), ('/a', '', 'h:1'))
    """
    if target[0] == "/":
        raw, _, query = target.partition("?")
        return raw, query, None
    if target == "*" and method == "OPTIONS":
        return "*", "", None
    scheme, _, rest = target.partition("://")
    if scheme.lower() not in ("http", "https") or not rest:
        raise BadInput("a request target that is no path")
    rest, _, query = rest.partition("?")
    authority, slash, raw = rest.partition("/")
    if not authority or not valid_host(authority):
        raise BadInput("a request target without a proper host")
    return slash + raw or "/", query, authority


def unquote_cookie(text):
    """The value of a cookie; quotes and the escapes of http.cookies are undone.

    In linear time, which http.cookies took some releases to learn.
    """
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    pieces = text[1:-1].split("\\")
    out = [pieces[0]]
    escaped = False                 # the previous piece was an escaped backslash
    for piece in pieces[1:]:
        if escaped:
            out.append(piece)
            escaped = False
        elif not piece:
            out.append("\\")
            escaped = True
        elif len(piece) >= 3 and piece[0] in "0123" and set(piece[1:3]) <= set("01234567"):
            out.append(chr(int(piece[:3], 8)) + piece[3:])
        else:
            out.append(piece)
    return "".join(out)


def parse_cookies(header):
    """The cookies of a Cookie header, a dict; a bad one does not spoil the others.

    >>> parse_cookies('a=1; =x; b="2;'), parse_cookies("c d=1; e")
    ({'a': '1', 'b': '"2'}, {})
    """
    found = {}
    for item in header.split(";"):
        name, equals, value = item.partition("=")
        name = name.strip(" \t")
        value = unquote_cookie(value.strip(" \t"))
        if equals and is_token(name) and value.isprintable():
            found.setdefault(name, value)
    return found


class Host:
    """An end of a connection: ip, port, and a name, which defaults to the ip."""

    def __init__(self, ip, port, name=None):
        self.ip = ip
        self.port = port
        self.name = ip if name is None else name

    def __repr__(self):
        return "Host(%r, %r, %r)" % (self.ip, self.port, self.name)


class HTTPRequest:
    """A request, whole.

    sock            the connection, the key that events about it carry
    method          "GET", "POST", ...
    scheme          "http" or "https"
    path            decoded, without dot segments; a slash that came as %2F
                    stays that
    qs              the query string as it came
    protocol        (1, 0) or (1, 1)
    headers         Headers
    cookie          an http.cookies.SimpleCookie, shared with the response
    body            a file, positioned at its start
    json            the body as JSON; raises BadInput if it is none
    remote, local   Host of the client and of the server
    server          the BaseServer, or None
    base            "http://host:port", without a slash at the end
    uri             the whole address
    xhr             whether a script says it asks (X-Requested-With)
    script_name     where the application is mounted
    args, kwargs    what the controller is called with
    index           True if an index method answers
    login           the name of the user, False if refused, None if not asked
    session, sid    set by Sessions
    handled         for your own use

    Further attributes may be set at will.
    """

    server_protocol = SERVER_PROTOCOL
    server = None
    script_name = ""
    login = None
    handled = False
    index = None
    session = None
    wsgi_environ = None
    print_debug = False         # error pages show tracebacks
    args = ()
    kwargs = {}
    trailers = None
    peer_cert = None
    limits = {}                 # of forms; see MultipartParser
    event = None                # the Request event that announced it

    _authority = None
    _split = None               # (path, its segments)
    _remote = _local = None
    _cookie = None
    _received = {}
    _body = None
    _files = ()                 # of its form
    _head = None

    def __init__(self, sock, method="GET", scheme="http", path="/", protocol=(1, 1), qs="",
                 headers=None, server=None):
        self.sock = sock
        self.method = method
        self.scheme = scheme
        self.path = path
        self.protocol = protocol
        self.qs = qs
        self.headers = Headers() if headers is None else headers
        if server is not None:
            self.server = server

    def set_target(self, target):
        """Take path, query and host from a request target; raises BadInput."""
        raw, self.qs, authority = split_target(self.method, target)
        if authority is not None:
            self._authority = authority
        if ";" in raw:
            raw = raw[:raw.find(";", raw.rfind("/"))] if ";" in raw[raw.rfind("/"):] else raw
        if "%" in raw or "/." in raw:
            segments = split_path(raw)
            self.path = "/" + "/".join([s.replace("/", "%2F") for s in segments])
            self._split = (self.path, segments)
        else:
            self.path = raw

    @property
    def segments(self):
        """The decoded parts of the path between slashes; %2F was one of theirs."""
        split = self._split
        if split is not None and split[0] == self.path:
            return split[1]
        return self.path[1:].split("/")

    @property
    def body(self):
        if self._body is None:
            self._body = BytesIO()
        return self._body

    @body.setter
    def body(self, body):
        self._body = body

    @property
    def json(self):
        """The body as JSON."""
        import json
        try:
            self.body.seek(0)
            return json.loads(self.body.read().decode("utf-8"))
        except (ValueError, RecursionError):
            raise BadInput("the body is no JSON") from None

    @property
    def cookie(self):
        if self._cookie is None:
            from http.cookies import CookieError
            from http.cookies import SimpleCookie
            self._cookie = SimpleCookie()
            self._received = {}
            for name, value in parse_cookies("; ".join(self.headers.get_all("cookie"))).items():
                try:
                    self._cookie[name] = value
                except CookieError:             # a name that it keeps for itself
                    continue
                self._received[name] = self._cookie[name].coded_value
        return self._cookie

    @cookie.setter
    def cookie(self, cookie):
        self._cookie = cookie
        self._received = {}

    @property
    def xhr(self):
        return self.headers.get("X-Requested-With", "").lower() == "xmlhttprequest"

    @property
    def netloc(self):
        """Host and port as the client named them; else as the server knows them."""
        host = self._authority or self.headers.get("Host")
        if host:
            return host
        local = self.local
        return local.name if local.port in (None, 80) else "%s:%s" % (local.name, local.port)

    @property
    def base(self):
        return "%s://%s" % (self.scheme, self.netloc)

    @property
    def uri(self):
        return "%s%s%s%s" % (self.base, self.script_name, quote(self.path, "/%;:@!$&'()*+,="),
                             "?" + self.qs if self.qs else "")

    @property
    def host(self):
        """Where the server listens."""
        return self.local.ip

    @property
    def port(self):
        """The port the server listens on."""
        return self.local.port

    @property
    def remote(self):
        if self._remote is None:
            self._remote = self._end("getpeername")
            if not self._remote.ip and self._remote.port is None:
                self._remote = self.local       # a UNIX client has no name
        return self._remote

    @remote.setter
    def remote(self, host):
        self._remote = host

    @property
    def local(self):
        if self._local is None:
            self._local = self._end("getsockname")
        return self._local

    @local.setter
    def local(self, host):
        self._local = host

    def _end(self, method):
        try:
            name = getattr(self.sock, method)()
        except (AttributeError, OSError):
            return Host("", None)
        if isinstance(name, tuple):
            return Host(name[0], name[1])
        return Host(name.decode("utf-8", "replace") if isinstance(name, bytes) else name, None)

    @property
    def sid(self):
        """The id of the session, None without one; asking for it keeps the session."""
        return getattr(self.session, "sid", None)

    def mount(self, prefix):
        """Put *prefix* before the path."""
        parts = [part for part in prefix.split("/") if part]
        segments = parts + list(self.segments)
        self.path = "/" + "/".join(parts) + self.path
        self._split = (self.path, segments)

    def close(self):
        """Let go of the body and of uploaded files; HTTP does, after the response."""
        if self._body is not None:
            self._body.close()
        for file in self._files:
            file.close()

    def url(self, *args, **kwargs):
        """An absolute address on this server; see url()."""
        return url(self, *args, **kwargs)

    def __repr__(self):
        return "<Request %s %s HTTP/%d.%d>" % ((self.method, self.path) + tuple(self.protocol))


def url(request, path="", qs="", script_name=None, base=None, relative=None):
    """Build the absolute address of *path*, seen from that of *request*.

    path      from the root if it begins with a slash; default: the current one
    qs        a query string
    relative  True: an address relative to that of the request

    Dot segments are resolved; above the root there is nothing.
    """
    if script_name is None:
        script_name = request.script_name
    if base is None:
        base = request.base
    scheme, absolute, _ = path.partition("?")[0].partition("://")
    if absolute and scheme.isalnum():
        return path + ("?" + qs if qs else "")
    here = request.path.rpartition("/")[0] + "/"
    if not path:
        path = quote(request.path, "/%;:@!$&'()*+,=")
    elif not path.startswith("/"):
        path = quote(here, "/%;:@!$&'()*+,=") + path
    path, question, query = path.partition("?")
    out = []
    for segment in path.lstrip("/").split("/"):
        if segment == "..":
            del out[-1:]
        elif segment != ".":
            out.append(segment)
    path = "/" + "/".join(out)
    if segment in (".", "..") and out:
        path += "/"
    query = "&".join([part for part in (query, qs) if part])
    if relative:
        ups = here.count("/") - 1
        target = "../" * ups + path.lstrip("/") or "./"
    else:
        target = base + script_name + path
    return target + ("?" + query if query else "")


# ---------------------------------------------------------------------------
# 7. Responses
#
# What goes back.  Invariant: prepare() settles how a response is framed; what
# it returns and the headers then agree.
# ---------------------------------------------------------------------------

#: Bytes read at once from a file that is sent.
CHUNK_SIZE = 65536


class HTTPResponse:
    """What goes back to the client.

    code      the status, default 200; *message* replaces its phrase
    status    both, an HTTPStatus; may be set to a number
    headers   Headers
    cookie    that of the request: what is added or changed is sent
    body      str, bytes, a list of both, a file, an iterator (also an
              asynchronous one), or what JSON can write; None: nothing
    stream    the body is sent piece by piece; files and iterators set it.
              With no body it means that you fire Stream(response, data), and
              at the end Stream(response, None)
    close     close the connection afterwards
    heir      who takes the connection over after a 101; see HTTP._upgrade()
    chunked, done, time, protocol   set by HTTP
    """

    code = 200
    message = None
    done = False                # sent, or given up
    close = False
    heir = None
    stream = False
    chunked = False
    sent = 0                    # bytes of the body that were written
    started = False             # the head is written
    as_json = False             # what the handler returns is to be written as JSON
    json_errors = False         # a JSONController answers: errors are JSON as well

    _body = ()                  # nothing was set
    _released = False

    def __init__(self, request, encoding="utf-8", code=None, message=None):
        self.request = request
        self.encoding = encoding
        if code is not None:
            self.code = code
        if message is not None:
            self.message = message
        self.headers = Headers._parsed([], {})
        self.time = time.time()

    @property
    def protocol(self):
        return min(self.request.protocol, SERVER_PROTOCOL)

    @property
    def cookie(self):
        return self.request.cookie

    @property
    def status(self):
        return HTTPStatus(self.code, self.message)

    @status.setter
    def status(self, status):
        if isinstance(status, HTTPStatus):
            self.code, self.message = status.status, status.reason
        elif isinstance(status, int) and not isinstance(status, bool):
            self.code, self.message = status, None
        else:
            code, _, message = str(status).partition(" ")
            if not is_digits(code):
                raise ValueError("a status is a number and a phrase, got %r" % (status,))
            self.code, self.message = int(code), message or None

    @property
    def body(self):
        body = self._body
        return [] if type(body) is tuple and not body else body

    @body.setter
    def body(self, body):
        if type(body) is str:
            pass
        elif body is None:
            body = []
        elif isinstance(body, bytes):
            body = [body] if body else []
        elif isinstance(body, HTTPError):
            body = [str(body)]
        elif isinstance(body, IOBase) or hasattr(body, "read"):
            self.stream = True
            body = file_generator(body)
        elif hasattr(body, "__next__") or hasattr(body, "__anext__"):
            self.stream = True
        self._body = body

    def prepare(self):
        """Complete the headers; returns the body as bytes, None if it is streamed.

        A body never follows 1xx, 204, 304 or a HEAD (RFC 9112, 6.3).
        """
        code = self.code
        headers = self.headers
        first = headers._first
        request = self.request
        if not 100 <= code <= 999:
            raise ValueError("a status is 100 to 999, got %r" % (code,))
        data = None
        if code < 200 or code in (204, 304):
            self.release()
            data = b""
            if code != 304:
                del headers["Content-Length"]
        elif not self.stream:
            body = self._body
            data = body.encode(self.encoding) if type(body) is str else self._bytes()
            if "content-type" not in first and (data or code == 200):
                kind = "text/html; charset=" + self.encoding
                headers._list.append(("Content-Type", kind))
                first["content-type"] = kind
            if "content-length" in first:
                del headers["Content-Length"]
            length = str(len(data))
            headers._list.append(("Content-Length", length))
            first["content-length"] = length
        elif "content-type" not in first:
            _put(headers, "Content-Type", "text/html; charset=%s" % self.encoding)
        if "transfer-encoding" in first:
            del headers["Transfer-Encoding"]
        if data is None:
            self.chunked = False
            if "content-length" not in first:
                if request.protocol >= (1, 1):
                    self.chunked = True
                    _put(headers, "Transfer-Encoding", "chunked")
                else:
                    self.close = True
        if request._cookie is not None:
            self._set_cookies()
        if "connection" in first:
            if "close" in first["connection"].lower():
                self.close = True
        elif self.close:
            _put(headers, "Connection", "close")
        elif request.protocol < (1, 1):
            _put(headers, "Connection", "Keep-Alive")
        if request.method == "HEAD" and data != b"":
            self.release()
            return b""
        return data

    def _bytes(self):
        """The body, joined."""
        body = self._body
        encoding = self.encoding
        if type(body) is str:
            return body.encode(encoding)
        if isinstance(body, (list, tuple)):
            if len(body) == 1 and type(body[0]) is bytes:
                return body[0]
            try:
                return b"".join([piece.encode(encoding) if isinstance(piece, str) else piece
                                 for piece in body])
            except TypeError:
                return self._as_json(body)
        if isinstance(body, (bytes, bytearray, memoryview)):
            return bytes(body)
        if isinstance(body, (dict, bool)):
            return self._as_json(body)
        if isinstance(body, (str, int, float)):
            return str(body).encode(encoding)
        if hasattr(body, "__iter__"):
            return b"".join([as_bytes(piece, encoding) for piece in body])
        raise TypeError("%r cannot be the body of a response: use str, bytes, a list of them, a "
                        "file, an iterator, or what JSON can write" % (body,))

    def _as_json(self, body):
        import json
        data = json.dumps(body).encode("utf-8")
        self.headers.setdefault("Content-Type", "application/json")
        return data

    def _set_cookies(self):
        received = self.request._received
        for name, morsel in self.request._cookie.items():
            attributes = [value for value in morsel.values() if value]
            if received.get(name) == morsel.coded_value and not attributes:
                continue
            for value in attributes:
                if isinstance(value, str) and (";" in value or not value.isprintable()):
                    raise ValueError("cookie %s: %r would split the header" % (name, value))
            if name.startswith("__Host-"):
                morsel["secure"], morsel["path"], morsel["domain"] = True, "/", ""
            elif name.startswith("__Secure-"):
                morsel["secure"] = True
            self.headers.add_header("Set-Cookie", morsel.OutputString())

    def release(self):
        """Close what the body holds; no harm if it is closed."""
        body = self._body
        if not self._released and (hasattr(body, "close") or hasattr(body, "aclose")):
            self._released = True
            close_body(body)

    def head(self):
        """The status line and headers, as text."""
        return "HTTP/%d.%d %s\r\n%s" % (tuple(self.protocol) + (self.status, self.headers))

    def __str__(self):
        self.prepare()
        return self.head()

    def __bytes__(self):
        return str(self).encode("latin-1")

    def __repr__(self):
        length = len(self._body) if isinstance(self._body, str) else 0
        return "<Response %s %s (%d)>" % (self.status, self.headers["Content-Type"], length)


def _put(headers, name, value):
    """Set a header that needs no check."""
    lower = name.lower()
    first = headers._first
    if lower in first:
        del headers[name]
    headers._list.append((name, value))
    first[lower] = value


def close_body(body):
    """Close a file, or a generator of either kind: its finally blocks run."""
    if hasattr(body, "close"):
        body.close()
    elif hasattr(body, "aclose") and not getattr(body, "ag_running", False):
        closing = body.aclose().__await__()
        try:
            next(closing)
        except StopIteration:
            return
        closing.close()
        raise RuntimeError("%r waits in a finally block after the client has gone" % (body,))


def as_bytes(piece, encoding="utf-8"):
    """A piece of a body as bytes; what is neither text nor bytes becomes text."""
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    return str(piece).encode(encoding)


class file_generator:
    """The content of a file, piece by piece; closes it at the end.

    length  bytes to send; None: up to the end of the file
    """

    def __init__(self, input, chunkSize=CHUNK_SIZE, length=None):
        self.input = input
        self.chunkSize = chunkSize
        self.left = length

    def __iter__(self):
        return self

    def __next__(self):
        size = self.chunkSize if self.left is None else min(self.left, self.chunkSize)
        piece = self.input.read(size) if size else b""
        if not piece:
            self.close()
            raise StopIteration
        if self.left is not None:
            self.left -= len(piece)
        return piece

    def close(self):
        if hasattr(self.input, "close"):
            self.input.close()


# ---------------------------------------------------------------------------
# 8. Events
#
# In the order of a request's life; then the error events, which carry their
# own page.
# ---------------------------------------------------------------------------

class WebEvent(Event):
    """Base of the events of the web channel."""

    success = True
    failure = True


class Request(WebEvent):
    """A request arrived: (request, response), for TLS peers with a certificate
    (request, response, certificate).

    What a handler returns is the body.  request.create(name, ...) makes an
    event with that very name, which is how controllers are called.
    """

    _target = None              # the controller this one is for
    _method = None              # and its exposed method

    request = property(lambda self: self._args[0])
    response = property(lambda self: self._args[1])

    @classmethod
    def create(cls, name, *args, **kwargs):
        """Make a request event whose name is *name*, letter by letter."""
        return LiteralEvent.create(cls, name, *args, **kwargs)


class Response(WebEvent):
    """A response is ready to be sent: (response); it may still be changed."""


class Stream(WebEvent):
    """A piece of a streamed body: (response, data); data None ends it."""


class HTTPError(Event):
    """A request ends in an error: (request, response, code).

        return HTTPError(self.request, self.response, 410, description="Gone for good.")

    Returned from a handler, or fired on the web channel, it answers with its
    page.  Handlers of httperror may change *description* and *data*, set
    response.body, or return a body.

    description  a text for the page
    error        (type, exception, traceback lines) of what was raised
    """

    name = "httperror"
    code = 500
    description = ""
    told = False                # HTTP sees to the response when this is done
    page = ()                   # the body that HTTP made of it

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.name = "httperror"      # one handler for all of them

    def __init__(self, request, response, code=None, **kwargs):
        super().__init__(request, response, code, **kwargs)
        self.request = request
        self.response = response
        if code is not None:
            self.code = code
        self.error = kwargs.get("error")
        self.description = kwargs.get("description") or self.description
        self.traceback = ""
        if self.error is not None:
            etype, value, lines = self.error
            self.traceback = "ERROR: (%s) %s\n%s" % (etype, value, "".join(lines))
        response.close = True
        response.code = self.code
        response.message = None
        self.data = {
            "code": self.code, "name": HTTP_STATUS_CODES.get(self.code, "Error"),
            "url": SERVER_URL, "version": SERVER_VERSION, "description": "", "traceback": ""}

    def texts(self):
        """The texts of the page as they are, not escaped."""
        texts = dict(self.data)
        texts["description"] = texts["description"] or self.description \
            or _DESCRIPTIONS.get(self.code) or ""
        texts["traceback"] = texts["traceback"] or \
            (self.traceback if self.request.print_debug else "")
        return texts

    def __str__(self):
        """The page: HTML, or JSON or text where the client prefers that."""
        response = self.response
        texts = self.texts()
        if not 300 <= self.code < 400:
            del response.headers["Location"]
        kind = self._kind()
        if kind == "json":
            import json
            response.headers["Content-Type"] = "application/json"
            return json.dumps({key: texts[key] for key in
                               ("code", "name", "description", "traceback") if texts[key]})
        if kind == "text":
            response.headers["Content-Type"] = "text/plain; charset=%s" % response.encoding
            return "%(code)s %(name)s\n%(description)s\n%(traceback)s" % texts
        response.headers["Content-Type"] = "text/html; charset=%s" % response.encoding
        return DEFAULT_ERROR_MESSAGE % {
            key: value if isinstance(value, int) else escape(value) for key, value in texts.items()}

    def _kind(self):
        """Which form the client wants: html unless it says otherwise."""
        if self.response.json_errors or "json" in self.response.headers.get("Content-Type", ""):
            return "json"
        accept = self.request.headers.get("Accept", "")
        if not accept or "html" in accept or accept == "*/*":
            return "html"
        for element in header_elements("Accept", accept):
            if element.value in ("*/*", "text/*"):
                return "html"
            if element.value.endswith("json") and element.qvalue:
                return "json"
            if element.value == "text/plain" and element.qvalue:
                return "text"
        return "html"

    def __repr__(self):
        return "<%s %d %s>" % (type(self).__name__, self.code, self.data["name"])


DEFAULT_ERROR_MESSAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>%(code)d %(name)s</title>
<style>
body { font-family: sans-serif; margin: 2em; color: #222; }
#powered_by { margin-top: 2em; border-top: 1px solid #aaa; font-size: smaller; color: #666; }
</style>
</head>
<body>
<h1>%(name)s</h1>
<p>%(description)s</p>
<pre id="traceback">%(traceback)s</pre>
<div id="powered_by">Powered by <a href="%(url)s">%(version)s</a></div>
</body>
</html>
"""


class Forbidden(HTTPError):
    """403: you may not, whoever you are."""

    code = 403


class Unauthorized(HTTPError):
    """401: say who you are."""

    code = 401


class NotFound(HTTPError):
    """404: there is no such thing here."""

    code = 404


_REDIRECTS = {
    300: "This resource can be found at", 301: "This resource has permanently moved to",
    302: "This resource resides temporarily at", 303: "This resource can be found at",
    307: "This resource has moved temporarily to", 308: "This resource has permanently moved to",
}


class Redirect(HTTPError):
    """Sends the client to *urls*, an address or a list of them.

    code  300 to 399; default 303, for HTTP/1.0 302

    Addresses are made absolute.  Do not hand it what a client sent without
    looking at it: that would send people anywhere.
    """

    def __init__(self, request, response, urls, code=None):
        urls = [urls] if isinstance(urls, str) else list(urls)
        if code is None:
            code = 303 if request.protocol >= (1, 1) else 302
        if not 300 <= code <= 399:
            raise ValueError("status code must be between 300 and 399.")
        if code not in _REDIRECTS and code not in (304, 305):
            raise ValueError("The %s status code is unknown." % code)
        super().__init__(request, response, code)
        self.urls = [url(request, address) for address in urls]
        headers = response.headers
        if code == 304:
            for name in ("Allow", "Content-Encoding", "Content-Language", "Content-Length",
                         "Content-Location", "Content-MD5", "Content-Range", "Content-Type",
                         "Expires", "Location"):
                del headers[name]
        else:
            headers["Location"] = quote(self.urls[0], "".join(map(chr, range(33, 127))))
        if code in _REDIRECTS:
            headers["Content-Type"] = "text/html; charset=%s" % response.encoding

    def __str__(self):
        text = _REDIRECTS.get(self.code)
        if text is None:
            return ""
        return "".join(["%s <a href=\"%s\">%s</a>.<br />\n" % (text, escape(u), escape(u))
                        for u in self.urls])

    def __repr__(self):
        channels = "" if not self.channels else str(self.channels[0])
        return "<%s %d[%s.%s] %s>" % (type(self).__name__, self.code, channels, self.name,
                                      " ".join(self.urls))


# ---------------------------------------------------------------------------
# 9. Connections
#
# What HTTP keeps of a connection, and the things it waits for: the handlers
# of a request, more of a body, a peer that reads.
# ---------------------------------------------------------------------------

#: Bytes of further requests that are taken in while one is in work.
MAX_PENDING = 65536

#: Bytes read and thrown away after an early answer, so that the peer can
#: read it before it learns that the connection is closed; nginx waits as well.
MAX_LINGER = 1024 * 1024

#: Pipelined requests of one connection that are answered before the others
#: have their turn.
REQUESTS_PER_TURN = 32

#: Bytes of a body that are handed to the transport at once.  What waits there
#: when a connection closes has 30 seconds to go out.
MAX_AT_ONCE = 1024 * 1024

#: Bytes of a body that are sent together with the head.
MAX_JOINED = 262144

#: Bytes of a streamed request body that wait for a handler to take them.
MAX_BODY_AHEAD = 262144

#: Seconds that requests in work get to finish when the process is told to end.
GRACE = 10

HTTP_ENCODING = "utf-8"


class _Connection:
    """What HTTP knows of a connection."""

    __slots__ = ("sock", "parser", "request", "response", "spool", "keep_alive", "closing",
                 "linger", "paused", "deadline", "drain", "task", "out", "advancing")

    def __init__(self, sock, parser):
        self.sock = sock
        self.parser = parser
        self.request = None         # the one in work, or being received
        self.response = None
        self.spool = None           # of the body being received
        self.keep_alive = True
        self.closing = False        # what arrives is thrown away
        self.linger = 0             # bytes thrown away so far
        self.paused = False
        self.deadline = None
        self.drain = None           # the _Drained of a task that has more to send
        self.task = None            # sends a streamed body
        self.out = None             # responses that wait for the next ones, joined
        self.advancing = False      # requests are being taken from the parser


class _Answer:
    """Waits for a Request event, and for those its value depends on."""

    __slots__ = ("http", "event", "request", "response")

    def __init__(self, http, event, request, response):
        self.http = http
        self.event = event
        self.request = request
        self.response = response

    @property
    def takes_errors(self):
        """What answers with a status is no error of the program."""
        return self._is_answer(self.event) or self._is_answer(_unfinished(self.event._value))

    @staticmethod
    def _is_answer(event):
        error = None if event is None or event._value is None else event._value._error
        return isinstance(error, (HTTPException, ProtocolError))

    def event_done(self, event):
        value = self.event._value
        if value is None or type(value._value) not in (Value, list):
            return self.http._answered(self.event, self.request, self.response)
        waits_for = _unfinished(value)
        if waits_for is not None:
            return _when_done(waits_for, self)
        promise = _promise(value)
        if promise is not None:         # it tells us when something is stored in it
            promise.manager = self.http
            promise.notify = "promise_kept"
            promise.answer = self
        else:
            self.http._answered(self.event, self.request, self.response)


class _Afterwards:
    """Calls back when an event is done."""

    __slots__ = ("callback", "args")

    def __init__(self, callback, *args):
        self.callback = callback
        self.args = args

    def event_done(self, event):
        self.callback(event, *self.args)


def _when_done(event, waiter):
    """Have *waiter* told when *event* is done, which it is not yet."""
    event._expect(waiter)


def _unfinished(value):
    """An event that is not done and that *value*, of one that is, depends on."""
    while value is not None:
        result = value._value
        if isinstance(result, Value):
            event = result.event
            if event is not None and event._state != DONE:
                return event
            value = result
            continue
        if isinstance(result, list):
            for item in result:
                if isinstance(item, Value):
                    event = item.event
                    if event is None or event._state == DONE:
                        event = _unfinished(item)
                    if event is not None:
                        return event
        return None
    return None


def _promise(value):
    """The empty Value that a handler made and returned, to fill it later; or None."""
    nested = None
    while value is not None and isinstance(value._value, Value):
        value = nested = value._value
    return nested if nested is not None and nested.event is None and not nested.result else None


class _Drained(Waiting):
    """Wait until a connection can take more; at least for a turn of the loop."""

    __slots__ = ("conn",)

    def __init__(self, conn):
        super().__init__()
        self.conn = conn

    def install(self):
        if getattr(self.conn.sock, "slow", False):
            self.conn.drain = self          # until the transport tells drain(sock)
        else:
            self.finish()

    def withdraw(self):
        self.conn.drain = None


class BodyStream:
    """The body of a request that is taken piece by piece, while it arrives.

        @expose(stream=True)
        async def upload(self):
            async for piece in self.request.body: ...

        piece = yield self.request.body.get()       in a generator; b"": the end

    The peer is not read from while MAX_BODY_AHEAD bytes wait here.  BadInput
    is raised when the body ends too early.
    """

    def __init__(self, http, conn):
        self._http = http
        self._conn = conn
        self._pieces = []
        self._waiting = None
        self.size = 0               # bytes that arrived so far
        self.ahead = 0              # bytes of them that wait here
        self.ended = False
        self.error = None

    def get(self):
        """To yield or await: the next bytes, b"" at the end."""
        return _Piece(self)

    def __aiter__(self):
        return self

    async def __anext__(self):
        piece = await self.get()
        if not piece:
            raise StopAsyncIteration
        return piece

    def write(self, data):
        """More arrived; HTTP calls it."""
        self.size += len(data)
        self.ahead += len(data)
        self._pieces.append(data)
        self._hand_over()

    def end(self, error=None):
        """That was all, or there was an *error*; HTTP calls it."""
        self.ended = True
        self.error = error
        self._hand_over()

    def close(self):
        """Forget what waits here."""
        self._pieces = []
        self.ahead = 0
        if not self.ended:
            self.end(BadInput("the body was not read to its end"))

    def _hand_over(self):
        waiting = self._waiting
        if waiting is not None and (self._pieces or self.ended):
            self._waiting = None
            if self._pieces:
                waiting.finish(self._take())
            else:
                waiting.finish(b"", self.error)

    def _take(self):
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        self.ahead = 0
        # Later: we may be in the midst of reading from that connection.
        if self._conn.spool is self:
            self._http._reactor.call_later(0, self._http._go_on, self._conn, self)
        return data


class _Piece(Waiting):
    """Wait for more of a body."""

    __slots__ = ("stream",)

    def __init__(self, stream):
        super().__init__()
        self.stream = stream

    def install(self):
        self.stream._waiting = self
        self.stream._hand_over()

    def withdraw(self):
        if self.stream._waiting is self:
            self.stream._waiting = None


class _SentFile:
    """A file that the transport sends: asking for more of it is progress, and
    closing it is the end."""

    def __init__(self, file, http, conn, response):
        self.file = file
        self.http = http
        self.conn = conn
        self.response = response
        self.seek = file.seek

    def fileno(self):
        http = self.http
        self.conn.deadline = http._now + http._write_timeout
        return self.file.fileno()

    def read(self, size):
        self.fileno()
        return self.file.read(size)

    def close(self):
        self.file.close()
        http = self.http
        if http is not None:
            self.http = None
            # Later: we are in the midst of the transport's work.
            http._reactor.call_later(0, http._file_sent, self.conn, self.response)


async def _next_of(body):
    """The next piece of an asynchronous iterator."""
    return await body.__anext__()


# ---------------------------------------------------------------------------
# 10. HTTP component
#
# Between the transport and the handlers.  Per connection one request is in
# work at a time; what was sent behind it waits, here up to MAX_PENDING bytes,
# beyond that in the socket.  Invariant: a request that was announced gets
# exactly one response, or its connection is closed.
# ---------------------------------------------------------------------------

class HTTP(BaseComponent):
    """Turns what arrives into requests, and responses into what is sent.

    encoding            of text in responses
    debug               error pages show tracebacks; never where strangers look
    max_start_line, max_header_bytes, max_headers, max_body
                        limits of a request; beyond them it answers 414, 431, 413
    max_fields, max_field, max_file, max_memory
                        limits of forms; see MultipartParser
    decompress          take bodies with Content-Encoding gzip or deflate, up to
                        max_body when decompressed; default: as they come
    max_connections     beyond them new ones are answered 503
    header_timeout      seconds that the head of a request may take
    body_timeout        seconds that the body may take, and one more for each
                        min_rate bytes of it
    idle_timeout        seconds that a connection may wait for the next request
    write_timeout       seconds that a peer may not read what it asked for
    grace               seconds that requests in work get to finish when SIGINT
                        or SIGTERM arrives; a second one ends at once

    Listens:  connect, read, disconnect; response, stream, httperror
    Fires:    request, httperror, response, stream; write, close
    """

    channel = "web"

    def __init__(self, encoding=HTTP_ENCODING, channel=None, server=None, debug=False,
                 max_start_line=MAX_START_LINE, max_header_bytes=MAX_HEADER_BYTES,
                 max_headers=MAX_HEADERS, max_body=MAX_BODY, max_fields=MAX_FIELDS,
                 max_field=MAX_FIELD, max_file=MAX_BODY, max_memory=MAX_MEMORY,
                 max_connections=10000, header_timeout=30, body_timeout=60, min_rate=1024,
                 idle_timeout=60, write_timeout=60, grace=GRACE,
                 decompress=False):
        if isinstance(encoding, BaseComponent):     # HTTP(server, encoding, channel)
            server, encoding, channel = encoding, channel or HTTP_ENCODING, server
        super().__init__(channel=channel or self.channel)
        self._encoding = encoding
        self._server = server
        self.debug = debug
        self._limits = {"max_start_line": max_start_line, "max_header_bytes": max_header_bytes,
                        "max_headers": max_headers, "max_body": max_body, "heads": {}}
        self._form_limits = {"max_fields": max_fields, "max_field": max_field,
                             "max_file": max_file, "max_memory": max_memory}
        self._max_connections = max_connections
        self._header_timeout = header_timeout
        self._body_timeout = body_timeout
        self._min_rate = min_rate
        self._idle_timeout = idle_timeout
        self._write_timeout = write_timeout
        self._connections = {}
        self._now = 0               # the clock at the last sweep; exact enough
        self._sweeper = None
        self._second = 0            # which Date the prefixes carry
        self._prefixes = {}         # (status, protocol) -> status line, Date, Server
        self._held = []             # connections with output that waits
        self._gone = {}             # connections that speak another protocol now: who does
        self._grace = grace
        self._decompress = decompress
        self._leaving = False       # no further requests: the process is to end
        self._scheme = "http"

    version = SERVER_VERSION
    protocol = "HTTP/%d.%d" % SERVER_PROTOCOL

    @property
    def scheme(self):
        return "http" if self._server is None else self._server.scheme

    @property
    def base(self):
        """The address of the server; "" without one."""
        return "" if self._server is None else self._server.base

    uri = base

    # -- connections --------------------------------------------------------

    @_own_step
    @handler("connect")
    def _on_connect(self, sock, *address):
        if sock not in self._connections:
            self._open(sock)

    def _open(self, sock):
        """A connection that we did not know."""
        conn = self._connections[sock] = _Connection(sock, RequestParser(**self._limits))
        if self._sweeper is None:
            self._sweep()
        conn.deadline = self._now + self._header_timeout
        if len(self._connections) + len(self._gone) > self._max_connections:
            self._refuse(conn, ProtocolError(503, "too many connections"))
        return conn

    @_own_step
    @handler("disconnect")
    def _on_disconnect(self, sock):
        conn = self._connections.pop(sock, None)
        if conn is None:
            heir = self._gone.pop(sock, None)
            if heir is None:
                return
            heir.lost()
        else:
            if conn.task is not None:
                conn.task.cancel("")
            self._let_go(conn)
        if self._leaving and not self._in_use():
            self._leave()

    # -- the end ------------------------------------------------------------

    @_own_step
    @handler("signal", channel="*")
    def _on_signal(self, event, number, stack=None):
        """Let requests in work finish, then stop; without any, stop at once."""
        if self._leaving or number not in _endings():
            return
        transport = getattr(self._server, "server", None)
        if transport is not None:
            transport.stop_listening()      # who waits there is let in yet
        if not self._connections and not getattr(transport, "_clients", None):
            return
        event.deferred = True
        self._leaving = True
        # What has arrived already is read first: those requests are answered.
        self._reactor.call_later(0.05, self._part_from_idle)
        self._reactor.call_later(self._grace, self._leave)

    def _part_from_idle(self):
        for conn in list(self._connections.values()):
            conn.keep_alive = False
            if conn.request is None and not conn.parser and not conn.closing:
                self._hang_up(conn)
            elif conn.response is not None and isinstance(conn.response._body, EventStream):
                conn.response.close = True
                conn.response._body.close("the server stops")
        for heir in list(self._gone.values()):
            if heir is not None:
                heir.going_away()
        if self._leaving and not self._in_use():
            self._leave()

    def _in_use(self):
        """Whether there are connections that the end of the process waits for."""
        return bool(self._connections) or any(
            heir is not None for heir in self._gone.values())

    def _leave(self):
        if self._leaving:
            self._leaving = False
            self.root.stop()

    # -- connections, continued ---------------------------------------------

    def _let_go(self, conn):
        """Close what the message in work holds."""
        self._drop_input(conn, BadInput("the peer left within the body"))
        if conn.response is not None:
            conn.response.done = True
            if conn.response.stream:
                conn.response.release()

    @staticmethod
    def _drop_input(conn, error):
        """Nothing more will come of the body that is being received."""
        spool, conn.spool = conn.spool, None
        if isinstance(spool, BodyStream):
            spool.end(error)
        elif spool is not None:
            spool.file.close()

    def _sweep(self):
        """Look for connections that are over their time; once a second."""
        self._sweeper = None
        now = self._now = self.root.clock()
        for conn in list(self._connections.values()):   # a new one has no deadline yet
            if conn.deadline is not None and conn.deadline < now:
                self._expire(conn)
        if self._connections:
            self._sweeper = self._reactor.call_at(now + 1.0, self._sweep)

    def _expire(self, conn):
        response = conn.response
        if response is not None and not conn.closing and self._keeps_time(conn):
            return response._body.beat(self._now)
        if conn.closing or response is not None and response.started \
                or conn.request is None and not conn.parser:
            self._hang_up(conn)
            if conn.task is not None:
                conn.task.cancel("")
        else:
            self._refuse(conn, ProtocolError(408, "the request took too long to arrive"))

    def _moved(self, old):
        if self._sweeper is not None:       # a timer of the old tree
            old.cancel(self._sweeper)
            self._sweeper = self._reactor.call_later(1.0, self._sweep)

    def _pause(self, conn, pause):
        """Have the transport stop or go on reading: back-pressure."""
        source = getattr(self._server, "server", None)
        poller = self._reactor.poller
        if source is None or poller is None:
            return
        sock = conn.sock
        conn.paused = pause
        if pause:
            poller.removeReader(sock)
        elif sock.fileno() >= 0 and not (sock.slow or sock.ended):
            poller.addReader(source, sock)

    def _hang_up(self, conn):
        """Close, when what was written is out."""
        conn.closing = True
        if conn.out is not None:
            self._write(conn, b"")
        self._reactor.tell(self, Close, self.channel, conn.sock)

    def _hang_up_politely(self, conn):
        """Close although the peer may still be sending.

        Closing at once makes the system reset the connection, and the peer
        may lose our answer: say that we are done, and throw away what comes.
        """
        sock = conn.sock
        if self._scheme != "http" or getattr(sock, "pending", 1) \
                or self._reactor.heard("close", (self.channel,)):
            return self._hang_up(conn)
        conn.closing = True
        conn.deadline = self._now + 3
        try:
            sock.shutdown(1)
        except (AttributeError, OSError):
            self._hang_up(conn)
        else:
            if conn.paused:
                self._pause(conn, False)

    # -- requests -----------------------------------------------------------

    @_own_step
    @handler("read")
    def _on_read(self, sock, data):
        conn = self._connections.get(sock)
        if conn is None:
            if sock in self._gone:
                heir = self._gone[sock]
                return None if heir is None else heir.receive(data)
            conn = self._open(sock)
        if conn.closing:
            conn.linger += len(data)
            if conn.linger > MAX_LINGER:
                self._hang_up(conn)
            return
        parser = conn.parser
        if conn.request is None and not parser._buffer:
            conn.deadline = self._now + self._header_timeout
        parser.feed(data)
        if conn.request is None or conn.spool is not None:
            self._advance(conn)
        elif len(parser) > MAX_PENDING:
            self._pause(conn, True)

    def _advance(self, conn):
        """Take what is there of the next requests, until one is in work."""
        if conn.advancing:
            return                      # it was answered at once: the loop below goes on
        conn.advancing = True
        try:
            for _ in range(REQUESTS_PER_TURN):
                if not self._take(conn):
                    return
            self._reactor.call_later(0, self._resume, conn)
        except ProtocolError as error:
            self._refuse(conn, error)
        finally:
            conn.advancing = False

    def _resume(self, conn):
        if self._connections.get(conn.sock) is conn and conn.request is None \
                and not conn.closing:
            self._advance(conn)

    def _take(self, conn):
        """Take what is there of one request, and announce it when it is whole.

        True if it is answered already, so that the next one may be taken.
        """
        parser = conn.parser
        while True:
            item = parser.next_event()
            if item is None:
                if conn.paused:
                    self._pause(conn, False)
                return False
            if item is END:
                if not isinstance(conn.spool, BodyStream):
                    self._announce_request(conn)
                    return self._has_more(conn)
                spool, conn.spool = conn.spool, None
                if not self._keeps_time(conn):
                    conn.deadline = None if conn.drain is None else self._now + self._write_timeout
                spool.end()
                return False
            if type(item) is bytes:
                conn.spool.write(item)
                keeps_time = self._keeps_time(conn)
                if not keeps_time and conn.deadline is not None:
                    conn.deadline += len(item) / self._min_rate
                if isinstance(conn.spool, BodyStream) and conn.spool.ahead > MAX_BODY_AHEAD:
                    if not keeps_time:
                        conn.deadline = None        # it is the handler that is slow
                    self._pause(conn, True)
                    return False
                continue
            self._begin(conn, item)
            if not item.has_body:
                self._announce_request(conn)
                return self._has_more(conn)
            if isinstance(conn.spool, BodyStream):
                self._announce_request(conn)
                if conn.closing:
                    return False                    # it was answered early

    @staticmethod
    def _keeps_time(conn):
        """Whether the deadline is that of an open EventStream, for its next comment."""
        return conn.response.started and isinstance(conn.response._body, EventStream)

    @staticmethod
    def _has_more(conn):
        """Whether a request was answered at once, and there is more to take."""
        return conn.request is None and (conn.parser._buffer or conn.paused) \
            and not conn.closing

    def _begin(self, conn, head):
        """A head arrived: make the request and the response."""
        request = HTTPRequest(conn.sock, head.method, self._scheme, "/", head.version, "",
                              head.headers)
        conn.request = request
        conn.response = HTTPResponse(request, self._encoding)
        conn.keep_alive = head.keep_alive and not self._leaving
        request.server = self._server
        request.limits = self._form_limits
        request._head = head
        if self.debug:
            request.print_debug = True
        request.set_target(head.target)
        if head.has_body:
            if self._is_streamed(request):
                conn.spool = request._body = BodyStream(self, conn)
            else:
                conn.spool = self._new_spool(head)
            conn.deadline = self._now + self._body_timeout
            if head.expects_continue and not conn.parser:
                self._write(conn, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _new_spool(self, head):
        """Where the body of a request goes that is collected."""
        coding = head.headers.get("Content-Encoding", "").lower()
        max_memory = self._form_limits["max_memory"]
        if not self._decompress or coding in ("", "identity"):
            return Spool(max_memory)
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise BadInput("a content coding other than gzip and deflate", 415)
        del head.headers["Content-Encoding"]
        return InflatingSpool(coding, self._limits["max_body"], max_memory)

    def _is_streamed(self, request):
        """Whether the one who will answer takes the body piece by piece."""
        for step, _ in self._reactor.plan("request", (self.channel,)).handlers:
            ask = getattr(step.__self__, "wants_stream", None)
            if ask is not None and ask(request):
                return True
        return False

    def _go_on(self, conn, stream):
        """A handler took what waited of a streamed body: read on."""
        if conn.spool is stream and not conn.closing:
            if conn.deadline is None:
                conn.deadline = self._now + self._body_timeout
            self._advance(conn)

    def _announce_request(self, conn):
        request = conn.request
        response = conn.response
        if isinstance(conn.spool, Spool):
            if isinstance(conn.spool, InflatingSpool):
                conn.spool.end()
            conn.spool.file.seek(0)
            request._body = conn.spool.file
            request.trailers = request._head.trailers
            conn.spool = None
        if conn.spool is None:
            conn.deadline = None
        event = Request(request, response)
        if self._scheme == "https":
            self._add_certificate(event, request)
        channels = (self.channel,)
        if self._reactor.heard("request", channels):
            self.fire(event, self.channel)
            event._expect(_Answer(self, event, request, response))
        else:
            self._ask(conn, event, channels)

    def _ask(self, conn, event, channels):
        """Call the framework's own handlers of a request that nobody else hears."""
        reactor = self._reactor
        request, response = event.request, event.response
        args = event._args
        result = step = None
        try:
            for step, odd in reactor.plan("request", channels).handlers:
                result = step(event, *args) if odd & WANTS_EVENT else step(*args)
                if result is not None:
                    break
            if type(result) is str \
                    or not isinstance(result, (Value, Waiting, GeneratorType, CoroutineType)):
                return self._respond(conn, request, response, result)
            self._ask_later(event, channels, result)
        except Exception as error:
            if not isinstance(error, (HTTPException, ProtocolError)):
                reactor.failed(None, step, error)
            self._failed(request, response, error)

    def _ask_later(self, event, channels, result):
        """The answer to a request is still being made: by a task, or another event."""
        event.channels = channels
        event._waiters = [_Answer(self, event, event.request, event.response)]
        event._state = SPECIAL
        event._value = Value(event, self)
        if isinstance(result, Value):
            event._value.setValue(result)
            self._reactor.settle(event)
        else:
            self.registerTask((event, _outcome_of(result) if isinstance(result, Waiting)
                               else result))

    def _add_certificate(self, event, request):
        ask = getattr(request.sock, "getpeercert", None)
        certificate = ask() if ask is not None else None
        if certificate:
            request.peer_cert = certificate
            event.args.append(certificate)

    def _refuse(self, conn, error):
        """The peer broke the rules: one last answer, and nothing more is read."""
        self._drop_input(conn, error)
        if error.__cause__ is not None:     # our trouble, not the peer's
            self._reactor.failed(None, None, error.__cause__)
        request = conn.request
        if request is None or conn.response.started:
            request = HTTPRequest(conn.sock, "-", self._scheme, "-")
            request.server = self._server
        conn.request = request
        conn.response = HTTPResponse(request, self._encoding)
        conn.keep_alive = False
        conn.closing = True
        conn.linger = 1
        conn.deadline = None
        request.print_debug = self.debug
        self._announce_error(HTTPError(request, conn.response, error.status,
                                       description=error.reason))

    # -- from what handlers returned to a response --------------------------

    def _answered(self, event, request, response):
        """All handlers of the request are through."""
        conn = self._connections.get(request.sock)
        if conn is None or conn.response is not response or response.started:
            if conn is None:                # the peer left
                request.close()
                response.release()
            return                          # or somebody answered
        value = event._value
        if value is not None and value.errors:
            return self._failed(request, response, value._error)
        result = None if value is None else value.value
        try:
            if isinstance(result, list):
                result = [item.value if isinstance(item, Value) else item for item in result]
            self._respond(conn, request, response, result)
        except Exception as error:
            self._reactor.failed(None, None, error)
            self._failed(request, response, error)

    @_own_step
    @handler("promise_kept")
    def _on_promise_kept(self, value):
        """A Value was filled that a handler of request had returned empty."""
        value.notify = False
        value.answer.event_done(None)

    def _respond(self, conn, request, response, result):
        """Make the result of a request its response."""
        if type(result) is str and not response.as_json:
            response._body = result
            return self._announce(response)
        if isinstance(result, EventStream):
            result = result.response
        if isinstance(result, HTTPError):
            return self._announce_error(result)
        if isinstance(result, HTTPResponse):
            response = conn.response = result
        elif response.as_json:
            import json
            response.headers["Content-Type"] = "application/json"
            response.body = json.dumps(result)
        elif result is None:
            if response._body == () and not response.stream:
                return self._announce_error(NotFound(request, response))
        elif result is True or result is False:
            return                          # a handler will answer, or has
        else:
            response.body = result
        self._announce(response)

    def _failed(self, request, response, error):
        """A handler raised: answer with what that means."""
        if isinstance(error, RedirectException):
            event = Redirect(request, response, error.urls, error.status)
        elif isinstance(error, HTTPException):
            event = HTTPError(request, response, error.code, description=error.description,
                              error=_triple(error) if error.traceback and self.debug else None)
            for name, value in error.headers:
                response.headers[name] = value
        elif isinstance(error, ProtocolError):
            event = HTTPError(request, response, error.status, description=error.reason)
        else:
            event = HTTPError(request, response, 500,
                              error=_triple(error) if error is not None else None)
        self._announce_error(event)

    def _announce_error(self, event):
        response = event.response
        response.release()
        response._body = event.page         # nothing, as yet
        response.stream = response.as_json = False
        if self._reactor.heard("httperror", (self.channel,)):
            event.told = True
            event._waiters = [_Afterwards(self._error_handled)]
            if event._state == DONE:        # it was fired before: a new firing
                event = self._reactor.again(event)
            event._state = SPECIAL
            event._value = None
            self.fire(event, self.channel, priority=1)      # as _announce() says
        else:
            self._make_page(event)
            self._announce(response)

    @_own_step
    @handler("httperror")
    def _on_httperror(self, event, request, response, code=None, **kwargs):
        if not getattr(event, "told", False):       # the application fired it
            event.told = True
            _when_done(event, _Afterwards(self._error_handled))
        self._make_page(event)

    def _make_page(self, event):
        response = event.response
        response.stream = False
        response.body = event.page = str(event)

    def _error_handled(self, event):
        """The handlers of an error are through: its response is settled."""
        response = event.response
        result = None if event._value is None or event._value.errors else event._value.value
        if isinstance(result, (str, bytes)):
            response.body = result
        elif response._body is event.page:      # which they may have changed the texts of
            self._make_page(event)
        self._announce(response)

    # -- responses ----------------------------------------------------------

    def _announce(self, response):
        """Say that a response is ready: the last chance to change it.

        In the heard case, priority: after the success events of the same
        batch, which the contract shows before it.
        """
        reactor = self._reactor
        channels = (self.channel,)
        if reactor.heard("response", channels):
            event = Response(response)
            event._expect(_Afterwards(self._response_handled, response))
            self.fire(event, self.channel, priority=1)
        else:
            for step, _ in reactor.plan("response", channels).handlers:
                reactor.direct(step, response)

    def _response_handled(self, event, response):
        """A handler of response that failed may have kept us from sending it."""
        conn = self._connections.get(response.request.sock)
        if conn is not None and conn.response is response and not response.started \
                and event._value is not None and event._value.errors:
            self._give_up(conn, response)

    @_own_step
    @handler("response")
    def _on_response(self, response):
        """Send it."""
        request = response.request
        conn = self._connections.get(request.sock)
        if conn is None or conn.response is not response or response.started:
            if response.stream and (conn is None or conn.response is not response):
                response.release()
            return
        if not conn.keep_alive:
            response.close = True
        if conn.spool is not None:          # an early answer: the body is not all here
            response.close = True
            conn.linger = conn.linger or 1
        try:
            data = response.prepare()
            head = self._head(response)
        except Exception as error:
            self._reactor.failed(None, None, error)
            return self._give_up(conn, response)
        response.started = True
        if data is not None and len(data) > MAX_AT_ONCE:
            response.body = _slices(data)   # so that a slow peer gets it all, see _Drained
            data = None
        more = data is not None and not response.close and response.code != 101
        self._write(conn, head, data, more and conn.parser._buffer)
        if data is None:
            if response._body != ():
                self._start_stream(conn, response)
        else:
            response.sent = len(data)
            self._finished(conn, response)

    def _give_up(self, conn, response):
        """The response cannot be sent: send an error in its place, or close."""
        request = response.request
        response.release()
        if response.code == 500 and response.close:
            conn.response = None
            return self._hang_up(conn)
        conn.response = HTTPResponse(request, "utf-8")
        request._cookie = None              # which may have been the reason
        self._failed(request, conn.response, None)

    def _head(self, response):
        """The status line and headers, as bytes.  What goes before the
        response's own headers is made once a second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._prefixes.clear()
        key = (response.code, response.message, response.request.protocol)
        prefix = self._prefixes.get(key)
        if prefix is None:
            _, status = check_header("Status", response.status)
            prefix = "HTTP/%d.%d %s\r\n" % (tuple(response.protocol) + (status,))
            if len(self._prefixes) < 100:
                self._prefixes[key] = prefix = "%sDate: %s\r\nServer: %s\r\n" % (
                    prefix, http_date(now), SERVER_VERSION)
        headers = response.headers
        if "date" in headers._first or "server" in headers._first:
            prefix = prefix.partition("\r\n")[0] + "\r\n"
            if "date" not in headers._first:
                prefix += "Date: %s\r\n" % http_date(now)
            if "server" not in headers._first:
                prefix += "Server: %s\r\n" % SERVER_VERSION
        for name, value in headers._list:
            prefix += name + ": " + value + "\r\n"
        return (prefix + "\r\n").encode("latin-1")

    def _write(self, conn, head, data=None, more=False):
        """Send; *more*: another response will follow at once, so keep it a bit."""
        reactor = self._reactor
        channel = self.channel
        if conn.out is not None:
            head = conn.out + head
            conn.out = None
        if reactor.heard("write", (channel,)):
            reactor.tell(self, Write, channel, conn.sock, head)
            if data:
                reactor.tell(self, Write, channel, conn.sock, data)
            return
        if data and len(data) < MAX_JOINED:
            head += data
            data = None
        if more and not data and len(head) < MAX_PENDING:
            conn.out = head
            if not self._held:
                reactor.call_later(0, self._send_held)
            return self._held.append(conn)
        reactor.tell(self, Write, channel, conn.sock, head)
        if data:
            reactor.tell(self, Write, channel, conn.sock, data)

    def _send_held(self):
        """The queue is empty, or has been busy for a while: do not hold longer."""
        held = self._held
        self._held = []
        for conn in held:
            if conn.out is not None:
                out, conn.out = conn.out, None
                self._reactor.tell(self, Write, self.channel, conn.sock, out)

    def _finished(self, conn, response):
        """A response went out: on to the next request, or close."""
        response.done = True
        request = conn.request
        if request._body is not None:
            request.close()
        conn.task = None
        if conn.spool is not None:
            self._drop_input(conn, BadInput("the request was answered before its end"))
        if response.code == 101 and not conn.closing:
            return self._upgrade(conn, response.heir)
        if response.close:
            if conn.linger or conn.parser:
                self._hang_up_politely(conn)
            else:
                self._hang_up(conn)
            return
        conn.request = conn.response = None
        conn.deadline = self._now + self._idle_timeout
        if conn.parser._buffer or conn.paused:
            conn.deadline = self._now + self._header_timeout
            self._advance(conn)

    def _upgrade(self, conn, heir):
        """A 101 went out: the connection is somebody else's now.

        The heir of the response gets begin(), receive(data), drained(), lost(),
        and going_away() when the process is to end.  Without one, who sent it
        listens to read(sock, data) from here on.  What arrived with the
        request comes first.
        """
        sock = conn.sock
        del self._connections[sock]
        self._gone[sock] = heir
        if conn.paused:
            self._pause(conn, False)
        rest = conn.parser.rest()
        if heir is not None:
            heir.begin()
            if rest:
                heir.receive(rest)
            if self._leaving:
                heir.going_away()
        elif rest:                      # fired by the transport, whom answers go to
            source = getattr(self._server, "server", None)
            (self if source is None else source).fire(Read(sock, rest), self.channel)

    # -- bodies that are sent piece by piece --------------------------------

    def _start_stream(self, conn, response):
        body = response._body
        if isinstance(body, EventStream) and not body.opened(self, conn):
            return
        if type(body) is file_generator and body.left and not response.chunked \
                and hasattr(body.input, "fileno") and not isinstance(body.input, BytesIO) \
                and not self._reactor.heard("stream", (self.channel,)):
            return self._send_file(conn, response, body)
        self._run_stream(conn, response)

    def _run_stream(self, conn, response):
        """Have a task send the body."""
        event = Event()
        event.waitingHandlers = 1
        task = Running(self._stream(conn, response), event, self._on_stream, self)
        conn.task = task
        task.resume()

    def _send_file(self, conn, response, body):
        """Have the transport send a file: no byte of it passes through here."""
        conn.deadline = self._now + self._write_timeout
        response.sent = body.left
        file = _SentFile(body.input, self, conn, response)
        self._reactor.tell(self, SendFile, self.channel, conn.sock, file, body.input.tell(),
                           body.left)

    def _file_sent(self, conn, response):
        if self._connections.get(conn.sock) is conn and conn.response is response:
            self._finished(conn, response)

    def _stream(self, conn, response):
        """A task: fetch the pieces of a body, as fast as the peer takes them."""
        body = response._body
        events = body if isinstance(body, EventStream) else None
        if events is not None:
            body = events.source
        asynchronous = hasattr(body, "__anext__")
        if not asynchronous:
            body = iter(body)
        send = getattr(body, "send", None)
        answer = None
        try:
            while True:
                try:
                    if asynchronous:
                        piece = yield _next_of(body)
                    elif answer is not None:
                        piece = send(answer)
                    else:
                        piece = next(body)
                except (StopIteration, StopAsyncIteration):
                    break
                answer = None
                if isinstance(piece, Waiting) and send is not None:
                    answer = yield piece
                    continue
                if events is not None:
                    if piece is not None:
                        events.send(piece)
                else:
                    if piece is not None:
                        self._reactor.tell(self, Stream, self.channel, response, piece)
                    conn.deadline = self._now + self._write_timeout
                yield _Drained(conn)
                if events is None:              # it is the body that is slow; of either side
                    conn.deadline = None if conn.spool is None or conn.paused \
                        else self._now + self._body_timeout
        except Exception as error:
            self._reactor.failed(None, None, error)
            response.close = True
            response.chunked = False        # no last chunk: the peer must notice
            response.broken = True
        finally:
            response.release()
            if events is not None:
                close_body(body)
            if conn.response is response:
                conn.deadline = None
        self._reactor.tell(self, Stream, self.channel, response, None)

    @_own_step
    @handler("stream")
    def _on_stream(self, response, data):
        conn = self._connections.get(response.request.sock)
        if conn is None or conn.response is not response or not response.started \
                or response.done:
            return
        if data is None:
            return self._end_stream(conn, response)
        data = as_bytes(data, response.encoding)
        length = response.headers.get("Content-Length")
        if length is not None and response.sent + len(data) > int(length):
            data = data[:int(length) - response.sent]
            response.close = True           # more than was announced
        response.sent += len(data)
        if data and response.request.method != "HEAD":
            self._write(conn, encode_chunk(data) if response.chunked else data)

    def _end_stream(self, conn, response):
        length = response.headers.get("Content-Length")
        if length is not None and response.sent < int(length):
            response.close = True           # less than was announced
        if response.chunked and response.request.method != "HEAD":
            self._write(conn, LAST_CHUNK)
        self._finished(conn, response)

    @_own_step
    @handler("drain")
    def _on_drain(self, sock):
        """The peer took what waited for it; the transport reads from it again."""
        conn = self._connections.get(sock)
        if conn is None:
            heir = self._gone.get(sock)
            return None if heir is None else heir.drained()
        if conn.paused:
            self._pause(conn, True)
        if conn.drain is not None:
            conn.drain.finish()


def _slices(data):
    """Pieces of *data*, to be sent one after another."""
    for start in range(0, len(data), CHUNK_SIZE):
        yield data[start:start + CHUNK_SIZE]


def _endings():
    """The numbers of the signals that end a process."""
    import signal
    return signal.SIGINT, signal.SIGTERM


def _outcome_of(waiting):
    """A task that evaluates to what it waits for."""
    return (yield waiting)


def _triple(error):
    """What error events and pages show of an exception."""
    return type(error), error, format_tb(error.__traceback__)


# ---------------------------------------------------------------------------
# 11. Servers
# ---------------------------------------------------------------------------

# To a peer that speaks HTTP to a port where TLS is spoken.
_PLAIN_REPLY = (b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 45\r\n"
                b"Connection: close\r\n\r\nThis port speaks HTTPS: begin with https://.\n")

_HTTP_OPTIONS = HTTP.__init__.__code__.co_varnames[4:HTTP.__init__.__code__.co_argcount]


class BaseServer(BaseComponent):
    """A socket server and HTTP on one channel; handlers of request answer.

        class Root(Component):

            def request(self, request, response):
                return "Hello World!"

        (BaseServer(8000) + Root()).run()

    bind      a port, (host, port), "host:port", or the path of a UNIX socket
    encoding  of text in responses
    secure    speak TLS, with the certificate in *certfile*
    display_banner  say on standard error where it listens, when it does
    workers   processes that run() starts; see Workers
    options   those of HTTP (debug, limits, timeouts), and of the socket server

    Attributes: server (the socket server), http (the HTTP component), host,
    port, scheme, base (its address, as text), version.
    """

    channel = "web"

    def __init__(self, bind, encoding=HTTP_ENCODING, secure=False, certfile=None, channel=None,
                 display_banner=False, workers=1, **options):
        super().__init__(channel=channel or self.channel)
        self.display_banner = display_banner
        self.workers = workers
        http = {name: options.pop(name) for name in _HTTP_OPTIONS if name in options}
        if certfile is not None:
            options["certfile"] = certfile
        if secure:
            options.setdefault("plain_reply", _PLAIN_REPLY)
        if isinstance(bind, list):
            bind = tuple(bind)
        unix = isinstance(bind, str) and ":" not in bind
        self.server = (UNIXServer if unix else TCPServer)(
            bind, secure=secure, channel=self.channel, **options).register(self)
        self.http = HTTP(encoding, self.channel, server=self, **http).register(self)
        self.http._scheme = self.scheme
        if workers > 1 and unix:
            raise ValueError("workers share a port; at a path there is one process, got %r" % bind)

    def run(self, socket=None):
        """Run the tree, in several processes if workers says so."""
        if self.workers > 1:
            return Workers(self, self.workers).run()
        return super().run(socket)

    _forked = False             # this process is one of the workers

    @_own_step
    @handler("started", channel="*")
    def _on_started(self, component):
        if self.workers > 1 and not self._forked:
            raise RuntimeError("workers=%d takes effect in run() of the server itself; for a "
                               "larger tree there is Workers(tree, %d).run()"
                               % (self.workers, self.workers))

    @handler("ready")
    def _on_ready(self, server, bind=None):
        if self.display_banner and server is self.server and sys.stderr is not None:
            sys.stderr.write("%s ready! Listening on: %s\n" % (SERVER_VERSION, self.base))
            sys.stderr.flush()

    version = SERVER_VERSION
    host = property(lambda self: self.server.host)
    port = property(lambda self: self.server.port)
    secure = property(lambda self: bool(self.server.secure))
    scheme = property(lambda self: "https" if self.secure else "http")

    @property
    def base(self):
        """Its address: scheme, host, and the port unless it is the usual one."""
        host = self.host or ""
        if ":" in host:
            host = "[%s]" % host
        if self.port in (None, 443 if self.secure else 80):
            return "%s://%s" % (self.scheme, host)
        return "%s://%s:%s" % (self.scheme, host, self.port)


class Workers:
    """Runs a tree in several processes that accept from one socket.

        Workers(app, 4).run()

    The parent only watches: a worker that dies is replaced; SIGTERM and SIGINT
    are passed on, so that each finishes what it has in work; SIGHUP replaces
    the workers one after another.  What a process remembers is its own:
    sessions need a SQLiteStore.

    prepare  called in each worker before it runs; what is imported there, and
             not before, is new after SIGHUP (the command does that with
             MODULE:NAME)

    BaseServer(..., workers=4).run() does this.
    """

    #: Seconds to wait before one is replaced that died at once.
    patience = 1.0

    def __init__(self, app, count, prepare=None):
        self.prepare = prepare
        self.leaving = set()        # pids that were told to end, and will not be replaced
        if not hasattr(os, "fork"):
            raise RuntimeError("this platform has no fork(): workers=1 is all it can do")
        self.app = app
        self.count = count
        self.pids = {}              # pid -> when it was started
        self.ending = False
        self._due = []              # when to start one more, by the monotonic clock

    def run(self):
        """Start the workers and watch them, until told to end."""
        import signal
        numbers = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        try:
            for _ in range(self.count):
                self._start(before)
            while self.pids or self.leaving or self._due:
                self._on_signal(self._next_signal(signal, numbers), signal, before)
                self._bury(before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _next_signal(self, signal, numbers):
        if not self._due:
            return signal.sigwait(numbers)
        left = max(0.01, min(self._due) - time.monotonic())
        if hasattr(signal, "sigtimedwait"):
            found = signal.sigtimedwait(numbers, left)
            return None if found is None else found.si_signo
        time.sleep(left)            # macOS: signals that came meanwhile are pending
        return signal.sigwait(numbers) if signal.sigpending() & numbers else None

    def _on_signal(self, number, signal, mask):
        if number in (signal.SIGTERM, signal.SIGINT):
            self.ending = True
            self._due = []
            self._tell(list(self.pids), signal.SIGTERM)
        elif number == signal.SIGHUP and not self.ending:
            for pid in list(self.pids):
                self._start(mask)
                self._tell([pid], signal.SIGTERM)
                del self.pids[pid]
                self.leaving.add(pid)

    def _start(self, mask):
        """Fork one worker."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        pid = os.fork()
        if pid:
            self.pids[pid] = time.monotonic()
            return
        code = 1
        try:
            import signal
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._watch_parent(os.getppid())
            for component in flatten(self.app):
                if isinstance(component, BaseServer):
                    component._forked = True
                    component.server.accepts_per_turn = 1
            if self.prepare is not None:
                self.prepare()
            self.app._run()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        except BaseException:
            from traceback import print_exc
            print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            os._exit(code)

    def _watch_parent(self, parent):
        """In a worker: end when the parent is gone, killed perhaps."""
        if os.getppid() != parent:
            return self.app.stop()
        self.app._reactor.call_later(1.0, self._watch_parent, parent)

    @staticmethod
    def _tell(pids, number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def _bury(self, mask):
        """Take note of who died, and start others in their place."""
        for pid in list(self.pids) + list(self.leaving):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
            self.leaving.discard(pid)
            started = self.pids.pop(pid, None)
            if started is not None and not self.ending:
                now = time.monotonic()
                self._due.append(now if now - started > self.patience else now + self.patience)
        now = time.monotonic()
        for due in [due for due in self._due if due <= now]:
            self._due.remove(due)
            self._start(mask)


class Server(BaseServer):
    """A BaseServer with a Dispatcher: methods of controllers answer.

        (Server(8000) + Root()).run()
    """

    def __init__(self, bind, **kwargs):
        super().__init__(bind, **kwargs)
        Dispatcher(channel=self.channel).register(self.http)


class FakeSock:
    """Stands for the connection of a server that has none."""

    def getpeername(self):
        return ("", None)

    getsockname = getpeername


class StdinServer(BaseComponent):
    """HTTP over standard input and output: one peer, started by inetd and the like.

    Needs an io component on channel "stdin" that tells read(data), and one on
    "stdout" that listens to write(data).
    """

    channel = "web"
    host = port = None
    secure = False
    scheme = "http"
    base = ""
    version = SERVER_VERSION
    server = None

    def __init__(self, encoding=HTTP_ENCODING, channel=None):
        super().__init__(channel=channel or self.channel)
        self._sock = FakeSock()
        self.http = HTTP(encoding, self.channel, server=self).register(self)
        Dispatcher(channel=self.channel).register(self.http)

    @handler("read", channel="stdin")
    def _on_stdin(self, data):
        self._reactor.tell(self, Read, self.channel, self._sock, data)

    @handler("write")
    def _on_write(self, sock, data):
        self.fire(Write(data), "stdout")

    @handler("close")
    def _on_close(self, sock=None):
        self.stop()


# ---------------------------------------------------------------------------
# 12. Controllers
#
# Components whose exposed methods answer requests.  An exposed method is a
# handler, but only for the request events that a Dispatcher addressed to it:
# no peer can reach another handler, and no other event reaches the method.
# ---------------------------------------------------------------------------

HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class _Signature:
    """What a method can be called with, beside self."""

    __slots__ = ("names", "required", "varargs", "varkw", "keywords", "wants_event", "first",
                 "needed")

    def __init__(self, function):
        code = function.__code__
        count = code.co_argcount
        names = code.co_varnames[:count]
        self.first = names[:1]
        self.wants_event = names[1:2] == ("event",)
        names = names[2:] if self.wants_event else names[1:]
        self.names = names
        self.required = max(0, len(names) - len(function.__defaults__ or ()))
        keyword_only = code.co_varnames[count:count + code.co_kwonlyargcount]
        self.needed = names[:self.required] + tuple(
            name for name in keyword_only if name not in (function.__kwdefaults__ or {}))
        by_position = max(0, code.co_posonlyargcount - 1 - self.wants_event)
        self.keywords = frozenset(names[by_position:] + keyword_only)
        self.varargs = bool(code.co_flags & 0x04)
        self.varkw = bool(code.co_flags & 0x08)

    def fits(self, count, params):
        """Whether *count* arguments fit, the rest being in *params*."""
        if not count or self.varargs:
            return True
        if count > len(self.names):
            return False
        return all(name in params for name in self.names[count:self.required])

    def choose(self, count, params):
        """The keyword arguments for a call, of what the client sent.

        What the method does not take is left out, as links carry parameters
        that are not for us.  Raises BadInput if something is missing.
        """
        taken = self.names[:count]
        for name in self.needed:
            if name not in params and name not in taken:
                raise BadInput("the parameter %s is missing" % name)
        if self.varkw:
            hidden = taken + self.first + (("event",) if self.wants_event else ())
            return {name: value for name, value in params.items() if name not in hidden}
        return {name: value for name, value in params.items()
                if name in self.keywords and name not in taken}


def _convert_int(text):
    return int(text) if is_digits(text) and len(text) <= 18 else None


def _convert_float(text):
    whole, dot, rest = text.partition(".")
    if not (is_digits(whole) and (not dot or is_digits(rest)) and len(text) <= 40):
        return None
    return float(text)


_CONVERTERS = {"str": lambda text: text or None, "path": lambda text: text or None,
               "int": _convert_int, "float": _convert_float}


class _Pattern:
    """An address with parts that vary: "user/{id:int}/posts".

    Types: str (the default: one part of the path), int, float, and path: all
    that is left, only at the end.
    """

    def __init__(self, text):
        self.text = text
        self.parts = []             # (literal, None, None) or (None, name, type)
        pieces = [piece for piece in text.split("/") if piece]
        for index, piece in enumerate(pieces):
            if not piece.startswith("{") or not piece.endswith("}"):
                if "{" in piece or "}" in piece:
                    raise ValueError("a part of an address is {name} or {name:type} as a whole, "
                                     "got %r in %r" % (piece, text))
                self.parts.append((piece, None, None))
                continue
            name, _, kind = piece[1:-1].partition(":")
            kind = kind or "str"
            if not name.isidentifier() or kind not in _CONVERTERS:
                raise ValueError("a part of an address is {name} or {name:type}, the type one of "
                                 "%s; got %r in %r" % (", ".join(_CONVERTERS), piece, text))
            if kind == "path" and index < len(pieces) - 1:
                raise ValueError("{%s:path} takes all that is left: put it last in %r"
                                 % (name, text))
            self.parts.append((None, name, kind))
        self.open = bool(self.parts) and self.parts[-1][2] == "path"

    def match(self, parts):
        """The values that the parts of a path give to the names, or None."""
        count = len(self.parts)
        if len(parts) < count or len(parts) > count and not self.open:
            return None
        values = {}
        for index, (literal, name, kind) in enumerate(self.parts):
            part = parts[index]
            if literal is not None:
                if part != literal:
                    return None
                continue
            value = _CONVERTERS[kind]("/".join(parts[index:]) if kind == "path" else part)
            if value is None:
                return None
            values[name] = value
        return values


def _steps(controller, call, generator):
    """Drive a generator or coroutine of a controller: at each step the
    controller's request and response are those of *call*."""
    value = error = None
    while True:
        outer, controller._call = controller._call, call
        try:
            if error is not None:
                item = generator.throw(error)
            else:
                item = generator.send(value)
        except StopIteration as stop:
            return stop.value
        finally:
            controller._call = outer
            error = None
        if isinstance(item, (GeneratorType, CoroutineType)):
            item = _steps(controller, call, item)
        try:
            value = yield item
        except GeneratorExit:
            outer, controller._call = controller._call, call
            try:
                generator.close()
            finally:
                controller._call = outer
            raise
        except BaseException as caught:
            error = caught


def _expose(function, names, config, as_json):
    """Make an exposed method of a function."""
    if not isinstance(function, FunctionType):
        raise TypeError("expose() marks functions, got %r" % (function,))
    methods = config.pop("methods", None)
    stream = bool(config.pop("stream", False))
    signature = _Signature(function)

    def exposed(self, event, /, *args, **kwargs):
        target = getattr(event, "_target", None)
        if target is not self or event._method is not exposed:
            if target is not None or not isinstance(event, Request):
                return None
        try:
            return call(self, event, args[0], args[1], args[2:], kwargs)
        finally:                        # it is for nobody else
            last, _ = self._reactor.plan(event.name, event.channels).handlers[-1]
            if last.__func__ is not exposed:
                event.stop()

    def call(self, event, request, response, vpath, params):
        if as_json:
            response.json_errors = True
        if params or signature.needed:
            params = signature.choose(len(vpath), params)
        outer = self._call
        this = self._call = (request, response)
        try:
            if signature.wants_event:
                result = function(self, event, *vpath, **params)
            else:
                result = function(self, *vpath, **params)
        finally:
            self._call = outer
        if isinstance(result, (GeneratorType, CoroutineType)):
            result = _steps(self, this, result)
            response.as_json = as_json
        elif as_json:
            result = _to_json(response, result)
        return result

    for key in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(exposed, key, getattr(function, key))
    exposed.__wrapped__ = function
    exposed.args = list(signature.names)
    exposed.varargs = "args" if signature.varargs else None
    exposed.varkw = "kwargs" if signature.varkw else None
    exposed.defaults = function.__defaults__
    exposed.signature = signature
    exposed.call = call                 # without an event, where nobody else listens
    exposed.patterns = [_Pattern(name) for name in names if "/" in name or "{" in name]
    exposed.stream = stream
    # A generator or coroutine belongs to its controller, so it needs its event.
    exposed.is_task = bool(function.__code__.co_flags & 0x2a0)
    exposed.methods = None if methods is None else tuple(m.upper() for m in methods)
    # Before all others that listen to events of this name: those are somebody
    # else's, and must not get what a peer sent.
    config.setdefault("priority", 50)
    config.setdefault("override", True)
    handler(*(names or (function.__name__,)), **config)(exposed)
    exposed.exposed = True
    return _own_step(exposed)


def _to_json(response, result):
    if isinstance(result, (EventStream, HTTPError, HTTPResponse)):
        return result
    if isinstance(result, (Value, Waiting)):
        response.as_json = True
        return result
    import json
    response.headers["Content-Type"] = "application/json"
    return json.dumps(result)


def expose(*names, **config):
    """Let requests reach a method of a controller.

        @expose("sitemap.xml", methods=("GET",))
        def sitemap(self): ...

    names    what it is called in addresses; default: its own name.  A name may
             have parts that vary: "user/{id:int}", "files/{rest:path}"; their
             values are passed as keyword arguments.  Types: str, int, float,
             path
    methods  what it may be asked with; others get 405; default: all
    stream   it is called when the head of a request is there, and takes the
             body from request.body, a BodyStream; default: it is called when
             the body is there, too
    config   further arguments of handler()
    """
    if len(names) == 1 and isinstance(names[0], FunctionType):
        return _expose(names[0], (), {}, False)     # without brackets

    def decorate(function):
        return _expose(function, names, dict(config), False)
    return decorate


def exposeJSON(*names, **config):
    """expose() a method whose result is sent as JSON."""
    if len(names) == 1 and isinstance(names[0], FunctionType):
        return _expose(names[0], (), {}, True)

    def decorate(function):
        return _expose(function, names, dict(config), True)
    return decorate


def _call_of(controller, attribute):
    call = controller._call
    if call is None:
        raise AttributeError("%s has a %s only while one of its exposed methods runs"
                             % (type(controller).__name__, attribute))
    return call


class BaseController(BaseComponent):
    """A component that answers requests below its channel, which is a path.

        class Shop(BaseController):
            channel = "/shop"

            @expose("index")
            def _list(self): ...

    Exposed methods are called with the rest of the path as arguments, and the
    fields of the query and the form as keyword arguments.  They return the
    body, or self.notfound() and the like.  Generators and coroutines may
    wait (yield self.call(...), await self.call(...)); what a generator yields
    is collected and joined.

    While a method runs, at each of its steps, there are self.request,
    self.response, self.cookie and self.session.
    """

    channel = "/"
    _call = None                # (request, response) of the step that runs
    _exposed = {}               # name in addresses -> exposed method
    _restful = ()               # those of them that are HTTP methods
    _patterns = ()              # (pattern, its text), in order of definition

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        members = {}
        for klass in reversed(cls.__mro__):
            aliases = vars(klass).get("_handler_aliases", ())
            for key, member in vars(klass).items():
                if key not in aliases:
                    members[key] = member
        cls._exposed = {name: member for member in members.values()
                        if getattr(member, "exposed", False) is True for name in member.names}
        cls._restful = tuple(name for name in HTTP_METHODS if name in cls._exposed)
        cls._patterns = tuple(
            (pattern, pattern.text) for member in dict.fromkeys(cls._exposed.values())
            for pattern in member.patterns)

    @property
    def request(self):
        return _call_of(self, "request")[0]

    @property
    def response(self):
        return _call_of(self, "response")[1]

    @property
    def cookie(self):
        return _call_of(self, "cookie")[0].cookie

    @property
    def session(self):
        session = _call_of(self, "session")[0].session
        if session is None:
            raise AttributeError("there is no session: add Sessions() to the server")
        return session

    @property
    def uri(self):
        """The address of the request."""
        return self.request.uri

    def url(self, *args, **kwargs):
        """An absolute address; see url()."""
        return url(self.request, *args, **kwargs)

    def forbidden(self, description=None):
        """To return: 403."""
        return Forbidden(self.request, self.response, description=description)

    def notfound(self, description=None):
        """To return: 404."""
        return NotFound(self.request, self.response, description=description)

    def redirect(self, urls, code=None):
        """To return: go to *urls*; see Redirect."""
        return Redirect(self.request, self.response, urls, code)

    def serve_file(self, path, type=None, disposition=None, name=None):
        """To return: the file at *path*; see serve_file()."""
        return serve_file(self.request, self.response, path, type, disposition, name)

    def serve_download(self, path, name=None):
        """To return: the file at *path*, to be saved."""
        return serve_download(self.request, self.response, path, name)

    def expires(self, secs=0, force=False):
        """Say how long the response may be kept; see expires()."""
        expires(self.request, self.response, secs, force)


_OURS = frozenset(name for klass in BaseComponent.__mro__[:-1] for name in vars(klass)
                  if not name.startswith("_"))


class ExposeMetaClass(type):
    """Exposes the public methods of a class body under their own names."""

    _expose = staticmethod(expose)

    def __new__(mcs, name, bases, body, **kwargs):
        for key, member in list(body.items()):
            if isinstance(member, FunctionType) and not key.startswith("_") \
                    and key != "init" and not hasattr(member, "handler"):
                if key in _OURS:
                    raise TypeError("%s.%s would replace a method that every component has; call "
                                    "it otherwise, and mark it @expose(%r)" % (name, key, key))
                body[key] = mcs._expose(key)(member)
        return super().__new__(mcs, name, bases, body, **kwargs)


class Controller(BaseController, metaclass=ExposeMetaClass):
    """A BaseController that exposes all its public methods.

        class Root(Controller):

            def index(self):
                return "Hello World!"

            def add(self, a, b=1):              # /add/2/3, /add/2, /add?a=2&b=3
                return str(int(a) + int(b))

    A method called like an HTTP method (GET, POST, ...) takes all requests
    with it.  A leading underscore, or @handler(False), keeps one private.
    """


class JSONExposeMetaClass(ExposeMetaClass):
    """Exposes public methods, whose results are sent as JSON."""

    _expose = staticmethod(exposeJSON)


class JSONController(BaseController, metaclass=JSONExposeMetaClass):
    """A Controller whose methods return what JSON can write."""


# ---------------------------------------------------------------------------
# 13. Dispatcher
#
# Finds the method of a controller that a path means.  Invariant: nothing but
# exposed methods can be reached.
#
# All that answer requests listen below priority 0, so that a handler of
# request with the default priority, written to guard them, runs first.  Among
# each other they keep the documented order: Static, then RPC and gateways,
# then the Dispatcher.
# ---------------------------------------------------------------------------

def answered(event):
    """Whether a handler of this request event answered already, or failed."""
    value = event._value
    return value is not None and (value.result or value.errors)


class Dispatcher(BaseComponent):
    """Calls the exposed method that the path of a request means.

    Of the controllers whose channel is the beginning of the path, the longest
    first, with the rest of the path as arguments:
      1. a method called like the HTTP method,
      2. the method called like the first part of the rest,
      3. one exposed under a pattern that fits,
      4. index,
    if the number of arguments fits.  paths maps channels to controllers; the
    first registered of two counts.

    A resource that exists, but not for this HTTP method, gets 405; OPTIONS is
    answered; HEAD is GET without the body.
    """

    channel = "web"

    def __init__(self, channel=None):
        super().__init__(channel=channel or self.channel)
        self._paths = None
        self._any_streams = False   # a method among them takes bodies piece by piece
        self._depth = 0             # parts of the longest channel
        self._known = {}            # (HTTP method, path) -> what it means without parameters
        self._classes = {}          # name -> class of the events that call it

    @property
    def paths(self):
        """Channel -> controller."""
        if self._paths is None:
            paths = {}
            for component in flatten(self.root):
                if not hasattr(component, "_exposed"):
                    continue
                channel = component.channel
                if isinstance(channel, str) and channel.startswith("/"):
                    paths.setdefault(channel.rstrip("/") or "/", component)
            self._depth = max([path.count("/") for path in paths], default=0)
            self._any_streams = any(method.stream for controller in paths.values()
                                    for method in controller._exposed.values())
            self._paths = paths
        return self._paths

    @_own_step
    @handler("registered", "unregistered", channel="*")
    def _on_change(self, component, manager):
        self._paths = None
        self._known.clear()

    def _moved(self, old):
        self._paths = None
        self._known.clear()

    @_own_step
    @handler("request", filter=True, priority=-0.9)
    def _on_request(self, event, request, response, peer_cert=None):
        if answered(event):
            return None
        plain = not request.qs and request._body is None and request._split is None
        if plain:
            known = self._known.get((request.method, request.path))
            if known is not None:
                controller, name, rest = known
                return self._call(controller, name, request, response, list(rest), {})
        params = parse_qs(request.qs, max_fields=request.limits.get("max_fields", MAX_FIELDS)) \
            if request.qs else {}
        for name, value in params.items():
            if type(value) is list:
                params[name] = value[0]
        if request._body is not None and not isinstance(request._body, BodyStream):
            parse_body(request, response, params)
        allowed = []
        controller, name, rest = self._resolve(request, params, allowed)
        if controller is not None:
            if plain and not params and len(request.path) <= MAX_MEMORY_LINE:
                _remember(self._known, (request.method, request.path), (controller, name, rest))
            return self._call(controller, name, request, response, list(rest), params)
        if request.path == "*":
            allowed = list(HTTP_METHODS)
        if not allowed:
            return None
        return self._only(request, response, allowed)

    def wants_stream(self, request):
        """Whether the method that will answer takes the body piece by piece."""
        if not (self.paths and self._any_streams):
            return False
        params = parse_qs(request.qs)
        controller, name, _ = self._resolve(request, params, [])
        return controller is not None and controller._exposed[name].stream

    def _resolve(self, request, params, allowed):
        """The controller, the name of its method and the arguments, or None thrice."""
        paths = self._paths or self.paths
        parts = [part for part in request.segments if part] if request.path != "/" else []
        for count in range(min(len(parts), self._depth), -1, -1):
            controller = paths.get("/" + "/".join(parts[:count]))
            if controller is None:
                continue
            name, rest = self._find(controller, request, parts[count:], params, allowed)
            if name is not None:
                return controller, name, rest
        return None, None, None

    def _find(self, controller, request, parts, params, allowed):
        """The name of the method to call and its arguments; (None, ()) if there
        is none.  *allowed* collects the HTTP methods that would find one."""
        exposed = controller._exposed
        method = request.method
        restful = controller._restful
        if restful:
            restful = [name for name in restful
                       if exposed[name].signature.fits(len(parts), params)]
            if method in restful:
                return method, parts
            if method == "HEAD" and "GET" in restful:
                return "GET", parts
        name = parts[0] if parts else None
        if name in exposed and name not in HTTP_METHODS:
            rest = parts[1:]
            if exposed[name].signature.fits(len(rest), params) \
                    and self._allows(exposed[name], method, allowed):
                return name, rest
        for pattern, text in controller._patterns:
            values = pattern.match(parts)
            if values is not None and self._allows(exposed[text], method, allowed):
                params.update(values)
                return text, ()
        if "index" in exposed and exposed["index"].signature.fits(len(parts), params) \
                and not allowed and self._allows(exposed["index"], method, allowed):
            return "index", parts
        allowed.extend(restful)
        return None, ()

    @staticmethod
    def _allows(exposed, method, allowed):
        """Whether an exposed method may be called by this HTTP method."""
        methods = exposed.methods
        if methods is not None and (method in methods or method == "HEAD" and "GET" in methods):
            return True
        if methods is None and method != "OPTIONS":
            return True
        allowed.extend(methods or HTTP_METHODS)
        return False

    def _only(self, request, response, allowed):
        """Answer OPTIONS, or say with which methods one may ask."""
        names = set(allowed) | {"OPTIONS"}
        if "GET" in names:
            names.add("HEAD")
        response.headers["Allow"] = ", ".join(sorted(names))
        if request.method == "OPTIONS":
            response.code = 204
            return response
        return HTTPError(request, response, 405, description="The method %s is not allowed here."
                         % request.method)

    def _call(self, controller, name, request, response, arguments, params):
        """Fire the event that calls the method; its Value is our answer."""
        request.args = arguments
        request.kwargs = params
        request.index = name == "index"
        method = controller._exposed[name]
        if method.stream and request._body is None:     # there was none: an ended one
            request._body = BodyStream(None, None)
            request._body.end()
        if method.is_task or method.signature.wants_event \
                or self._reactor.heard(name, (controller.channel,)):
            cls = self._classes.get(name)
            if cls is None:
                cls = self._classes[name] = type(Request.create(name))
            event = cls(request, response, *arguments)
            event.kwargs = params
            event._target = controller
            event._method = method
            return self.fire(event, controller.channel)
        try:
            return method.call(controller, None, request, response, arguments, params)
        except (HTTPException, ProtocolError):
            raise
        except Exception as error:      # in the name of the method, not in ours
            self._reactor.failed(None, MethodType(method, controller), error)
            return HTTPError(request, response, 500, error=_triple(error))


# ---------------------------------------------------------------------------
# 14. Files
#
# Serves files and folders.  Invariant: what is opened is, after all links
# are followed, inside the document root.
# ---------------------------------------------------------------------------

#: Ranges of one request; more of them, or overlapping ones, get the whole file.
MAX_RANGES = 16

_DEVICES = frozenset(["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"] + [
    port + number for port in ("COM", "LPT") for number in "0123456789¹²³"])


def is_safe_name(name, windows=os.name == "nt"):
    """Whether a part of a path names a file of its folder, and nothing else.

    >>> [is_safe_name(n) for n in ("a.txt", "..", "a/b", "a\\\\b", "")]
    [True, False, False, False, False]
    >>> [is_safe_name(n, windows=True) for n in ("c:x", "nul.txt ", "a.", "a.txt")]
    [False, False, False, True]
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        return False
    if not windows:
        return True
    stem = name.partition(".")[0].rstrip(" ").upper()
    return ":" not in name and name[-1] not in ". " and stem not in _DEVICES \
        and not any(char < " " or char in '<>"|?*' for char in name)


def get_ranges(header, length):
    """The ranges of a Range header for a file of *length* bytes.

    None: there is no proper Range header.  Else a list of (start, stop), which
    is empty if none is inside the file.

    >>> get_ranges("bytes=3-6", 8), get_ranges("bytes=2-4,-1", 8)
    ([(3, 7)], [(2, 5), (7, 8)])
    """
    unit, equals, text = (header or "").partition("=")
    if unit.strip().lower() != "bytes" or not equals or text.count(",") >= MAX_RANGES:
        return None
    ranges = []
    for item in text.split(","):
        first, dash, last = item.strip(" \t").partition("-")
        if not dash or not (first or last) or len(item) > 40:
            return None
        if first and not is_digits(first) or last and not is_digits(last):
            return None
        if not first:
            start, stop = max(0, length - int(last)), length
            if not int(last):
                continue
        else:
            start = int(first)
            stop = min(int(last) + 1, length) if last else length
            if last and int(last) < start:
                return None
        if start < length:
            ranges.append((start, stop))
    return ranges


def expires(request, response, secs=0, force=False):
    """Say for how long the response may be kept by caches.

    secs   seconds or a timedelta; 0: not at all
    force  also if the response says something about its age already
    """
    headers = response.headers
    if not force and any(name in headers for name in ("Etag", "Last-Modified", "Age", "Expires")):
        return
    secs = getattr(secs, "total_seconds", lambda: secs)()
    if secs == 0:
        headers["Pragma"] = "no-cache"
        if request.protocol >= (1, 1):
            headers["Cache-Control"] = "no-cache, must-revalidate"
        headers["Expires"] = http_date(response.time - 365 * 86400)
    else:
        headers["Expires"] = http_date(response.time + secs)


def _etag_in(etag, header, weak):
    """Whether *etag* is in an If-(None-)Match header."""
    if header.strip() == "*":
        return True
    for item in header.split(","):
        item = item.strip(" \t")
        if item.startswith("W/"):
            if weak and item[2:] == etag.replace("W/", "", 1):
                return True
        elif item == etag or weak and item == etag.replace("W/", "", 1):
            return True
    return False


def _precondition(request, response):
    """304 or 412 if a condition of the request says so, else None: RFC 9110, 13.2.2."""
    asked = request.headers
    etag = response.headers.get("ETag")
    modified = parse_http_date(response.headers.get("Last-Modified", ""))
    if "if-match" in asked:
        if etag is None or etag.startswith("W/") or not _etag_in(etag, asked["If-Match"], False):
            return 412
    elif "if-unmodified-since" in asked and modified is not None:
        since = parse_http_date(asked["If-Unmodified-Since"])
        if since is not None and modified > since:
            return 412
    if "if-none-match" in asked:
        if etag is not None and _etag_in(etag, asked["If-None-Match"], True):
            return 304 if request.method in ("GET", "HEAD") else 412
    elif "if-modified-since" in asked and modified is not None \
            and request.method in ("GET", "HEAD"):
        since = parse_http_date(asked["If-Modified-Since"])
        if since is not None and modified <= since:
            return 304
    return None


def _verdict(request, response, code):
    if code == 304:
        for name in ("Content-Type", "Content-Length"):
            del response.headers[name]
        response.code = 304
        response.body = None
        return response
    if code == 412:
        return HTTPError(request, response, 412)
    return None


def validate_etags(request, response, autotags=False):
    """Compare the ETag of the response with what the client has.

    autotags  make one from the body, a str or bytes

    Returns what the handler should return in place of the response, or None.
    """
    if autotags and "ETag" not in response.headers and not response.stream:
        from hashlib import sha256
        response.headers["ETag"] = '"%s"' % sha256(response._bytes()).hexdigest()[:32]
    if "ETag" not in response.headers:
        return None
    return _verdict(request, response, _precondition(request, response))


def validate_since(request, response):
    """Compare the Last-Modified of the response with what the client has.

    Returns what the handler should return in place of the response, or None.
    """
    if "Last-Modified" not in response.headers:
        return None
    return _verdict(request, response, _precondition(request, response))


def _content_type(path):
    """The MIME type by the extension; text/plain if that says nothing."""
    import mimetypes
    kind, encoding = mimetypes.guess_type(path)
    if encoding is not None:
        return {"gzip": "application/gzip", "bzip2": "application/x-bzip2",
                "xz": "application/x-xz"}.get(encoding, "application/octet-stream")
    return kind or "text/plain"


def _disposition(kind, name):
    """A Content-Disposition; names beyond ASCII get the form of RFC 6266."""
    plain = "".join([char if " " <= char < "\x7f" and char not in '"\\%' else "_" for char in name])
    text = '%s; filename="%s"' % (kind, plain)
    if plain != name:
        text += "; filename*=UTF-8''" + quote(name, "")
    return text


class _Ranges:
    """The body of a multipart/byteranges response."""

    def __init__(self, file, ranges, kind, length):
        from secrets import token_hex
        self.boundary = token_hex(16)
        self.file = file
        self.parts = []
        for start, stop in ranges:
            head = "\r\n--%s\r\nContent-Type: %s\r\nContent-Range: bytes %d-%d/%d\r\n\r\n" % (
                self.boundary, kind, start, stop - 1, length)
            self.parts.append((head.encode("latin-1"), start, stop))
        self.end = ("\r\n--%s--\r\n" % self.boundary).encode()
        self.length = sum(len(head) + stop - start for head, start, stop in self.parts) \
            + len(self.end)
        self._pieces = self._all()

    def _all(self):
        for head, start, stop in self.parts:
            yield head
            self.file.seek(start)
            for piece in file_generator(_KeptOpen(self.file), length=stop - start):
                yield piece
        yield self.end

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._pieces)

    def close(self):
        self.file.close()


class _KeptOpen:
    """A file that file_generator must not close."""

    def __init__(self, file):
        self.read = file.read


def serve_file(request, response, path, type=None, disposition=None, name=None):
    """Make the file at *path*, which is absolute, the response; returns it.

    type         MIME type; default: by the extension
    disposition  "attachment" has it saved, under *name* (default: its own)

    Answers conditions and ranges.  Returns NotFound if there is no such file.
    Look at paths that came from a client before you pass them here.
    """
    if not os.path.isabs(path):
        raise ValueError("%r is not an absolute path." % path)
    from stat import S_ISREG
    try:
        status = os.stat(path)
        if not S_ISREG(status.st_mode):
            return NotFound(request, response)
        file = open(path, "rb", 0)
        status = os.fstat(file.fileno())
    except (OSError, ValueError):
        return NotFound(request, response)
    headers = response.headers
    headers["Content-Type"] = type or _content_type(path)
    headers["Last-Modified"] = http_date(status.st_mtime)
    headers["ETag"] = '"%x-%x"' % (status.st_mtime_ns, status.st_size)
    headers["Accept-Ranges"] = "bytes"
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if disposition is not None:
        headers["Content-Disposition"] = _disposition(disposition, name or os.path.basename(path))
    verdict = _verdict(request, response, _precondition(request, response))
    if verdict is not None:
        file.close()
        return verdict
    return _serve_open(request, response, file, status.st_size)


def _serve_open(request, response, file, length):
    """Make an open file the body, or the ranges of it that were asked for."""
    headers = response.headers
    ranges = None
    if "range" in request.headers._first and request.method in ("GET", "HEAD") \
            and _range_is_current(request, response):
        ranges = get_ranges(request.headers["Range"], length)
    if ranges and sum(stop - start for start, stop in ranges) > length:
        ranges = None                   # more than the file: overlapping on purpose
    if ranges is None:
        start, stop = 0, length
    elif not ranges:
        file.close()
        del headers["ETag"], headers["Last-Modified"]
        headers["Content-Range"] = "bytes */%d" % length
        return HTTPError(request, response, 416)
    elif len(ranges) > 1:
        response.code = 206
        body = _Ranges(file, ranges, headers["Content-Type"], length)
        headers["Content-Type"] = "multipart/byteranges; boundary=%s" % body.boundary
        headers["Content-Length"] = body.length
        response.body = body
        return response
    else:
        start, stop = ranges[0]
        response.code = 206
        headers["Content-Range"] = "bytes %d-%d/%d" % (start, stop - 1, length)
        file.seek(start)
    headers["Content-Length"] = stop - start
    response.body = file_generator(file, length=stop - start)
    return response


def _range_is_current(request, response):
    """Whether If-Range, if any, names what we have."""
    condition = request.headers.get("If-Range")
    if condition is None:
        return True
    if condition.startswith('"'):
        return condition == response.headers.get("ETag")
    return condition == response.headers.get("Last-Modified")


def serve_download(request, response, path, name=None):
    """Make the file at *path* the response, to be saved under *name*."""
    return serve_file(request, response, path, "application/x-download", "attachment", name)


_LISTING = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Index of %(title)s</title>
</head>
<body>
<h1>Index of %(title)s</h1>
<ul>
%(items)s
</ul>
</body>
</html>
"""


class Static(BaseComponent):
    """Serves the files below a folder.

        server + Static("/static", docroot="static")

    path        where they are in addresses; None: everywhere
    docroot     the folder; default: the current one
    defaults    names that stand for their folder
    dirlisting  show the content of folders without such a file
    hidden      serve names that begin with a dot, too (.well-known always is)
    precompressed  send x.br or x.gz in place of x to who takes that

    What is not there is left to others.  Links that lead out of the folder
    are not followed.
    """

    channel = "web"

    def __init__(self, path=None, docroot=None, defaults=("index.html", "index.xhtml"),
                 dirlisting=False, hidden=False, precompressed=False, channel=None):
        super().__init__(channel=channel or self.channel)
        self.path = path
        self.precompressed = precompressed
        self.docroot = os.path.realpath(os.getcwd() if docroot is None else docroot)
        self.defaults = defaults
        self.dirlisting = dirlisting
        self.hidden = hidden
        self._prefix = [part for part in (path or "").split("/") if part]

    @_own_step
    @handler("request", filter=True, priority=-0.1)
    def _on_request(self, event, request, response, peer_cert=None):
        if answered(event):
            return None
        prefix = self._prefix
        if prefix and not request.path.startswith("/" + prefix[0]):
            return None
        parts = request.segments
        if prefix:
            if parts[:len(prefix)] != prefix:
                return None
            parts = parts[len(prefix):]
        location = self._locate(parts)
        if location is None:
            return None
        if os.path.isdir(location):
            return self._serve_folder(request, response, location, parts)
        if parts and parts[-1] == "" or not os.path.isfile(location):
            return None                     # "file.txt/", or a device
        return self._serve(request, response, location)

    def _locate(self, parts):
        """The real path that *parts* of a request path mean, or None."""
        if parts and parts[-1] == "":
            parts = parts[:-1]
        for part in parts:
            if not is_safe_name(part):
                return None
            if part[0] == "." and part != ".well-known" and not self.hidden:
                return None
        try:
            location = os.path.realpath(os.path.join(self.docroot, *parts))
        except (OSError, ValueError, UnicodeError):
            return None
        return location if self._contains(location) and os.path.exists(location) else None

    def _contains(self, location):
        root = self.docroot.rstrip(os.sep) + os.sep
        return location == self.docroot or location.startswith(root)

    def _serve(self, request, response, location):
        if request.method not in ("GET", "HEAD"):
            response.headers["Allow"] = "GET, HEAD, OPTIONS"
            if request.method == "OPTIONS":
                response.code = 204
                return response
            return HTTPError(request, response, 405)
        if self.precompressed:
            response.headers.append("Vary", "Accept-Encoding")
            for coding, ending in (("br", ".br"), ("gzip", ".gz")):
                other = os.path.realpath(location + ending)
                if _accepts(request, coding) and self._contains(other) and os.path.isfile(other):
                    response.headers["Content-Encoding"] = coding
                    return serve_file(request, response, other, _content_type(location))
        return serve_file(request, response, location)

    def _serve_folder(self, request, response, location, parts):
        for name in self.defaults:
            default = os.path.realpath(os.path.join(location, name))
            if self._contains(default) and os.path.isfile(default):
                break
        else:
            default = None
            if not self.dirlisting:
                return None
        if request.segments[-1:] != [""]:   # so that relative links mean this folder
            target = "/" + quote(request.path.strip("/"), "/%") + "/"
            return Redirect(request, response, target + ("?" + request.qs if request.qs else ""),
                            301)
        if default is not None:
            return self._serve(request, response, default)
        return self._list(request, response, location, parts)

    def _list(self, request, response, location, parts):
        if request.method not in ("GET", "HEAD"):
            return self._serve(request, response, location)
        try:
            with os.scandir(location) as entries:
                found = sorted((entry.name, entry.is_dir()) for entry in entries)
        except OSError:
            return Forbidden(request, response)
        names = [name + "/" if folder else name for name, folder in found
                 if self.hidden or not name.startswith(".")]
        if any(parts):
            names.insert(0, "../")
        items = ["<li><a href=\"%s\">%s</a></li>" % (
            escape(name if name == "../" else "./" + quote(name)),
            escape(name.rstrip("/") if name == "../" else name)) for name in names]
        title = "/" + "/".join(parts).strip("/")
        page = _LISTING % {"title": escape(title), "items": "\n".join(items)}
        response.headers["Content-Type"] = "text/html; charset=utf-8"
        return page.encode("utf-8", "replace")


# ---------------------------------------------------------------------------
# 15. Virtual hosts and remote calls
#
# Other meanings of a request: of its Host, and of a body that names a method.
# Invariant: a peer can only call what is exported, see Exports.
# ---------------------------------------------------------------------------

#: Calls in one JSON-RPC batch.
MAX_BATCH = 50


class VirtualHosts(BaseComponent):
    """Puts a prefix before the path, by the host that the client asked.

        server + VirtualHosts({"foo.example:8000": "foo"}) + Foo(channel="/foo")

    domains  Host header, with or without the port -> prefix
    trusted_gateways  addresses of proxies whose X-Forwarded-Host counts

    Runs before handlers with default priority, so that those see the path
    as it will be used.
    """

    channel = "web"

    def __init__(self, domains, trusted_gateways=(), channel=None):
        super().__init__(channel=channel or self.channel)
        self.domains = {host.lower(): prefix for host, prefix in domains.items()}
        self.trusted_gateways = frozenset(trusted_gateways)

    @_own_step
    @handler("request", filter=True, priority=1.0)
    def _on_request(self, event, request, response, peer_cert=None):
        host = request.netloc
        forwarded = request.headers.get("X-Forwarded-Host")
        if forwarded is not None and request.remote.ip in self.trusted_gateways:
            host = forwarded.rpartition(",")[2].strip()
        host = host.lower()
        prefix = self.domains.get(host)
        if prefix is None:
            name, colon, port = host.rpartition(":")
            prefix = self.domains.get(name if colon and is_digits(port) else host)
        if prefix:
            request.mount(prefix)


def export(function):
    """Mark a handler as callable by XMLRPC and JSONRPC; see Exports.

    As soon as a component has one such handler, no other of its is callable.
    """
    function.exported = True
    return function


# What the framework itself fires.  Peers must not.
_FRAMEWORK_EVENTS = frozenset((
    "registered", "unregister", "unregistered", "prepare_unregister", "started", "stopped",
    "signal", "generate_events", "error", "exception", "task", "load", "event",
    "ready", "connect", "connected", "disconnect", "disconnected", "unreachable", "read",
    "write", "close", "closed", "broadcast", "starttls", "socket_error", "request",
    "response", "stream", "httperror", "web_event", "terminate", "open", "opened", "seek",
    "eof", "start", "stop", "kill", "wait", "terminated", "line", "remote", "daemonize",
    "write_pid", "ipc", "bridge", "save", "log"))


class Exports(BaseComponent):
    """What XMLRPC and JSONRPC share: which methods a peer may call.

    methods      the names that may be called, "name" or "channel.name"
    rpc_channel  where the calls are fired

    Without *methods*, these may be called: handlers marked @export, and the
    public methods of your own Components that listen on rpc_channel, unless
    the component has marked ones.  Say methods=[...] where that is too much.
    What the framework fires itself can never be called.
    """

    channel = "web"

    def __init__(self, path=None, encoding="utf-8", rpc_channel="*", methods=None, channel=None):
        super().__init__(channel=channel or self.channel)
        self.path = path
        self.encoding = encoding
        self.rpc_channel = rpc_channel
        self.methods = None if methods is None else frozenset(methods)

    @_own_step
    @handler("request", filter=True, priority=-0.8)
    def _on_request(self, event, request, response, peer_cert=None):
        if answered(event) or not self._is_ours(request):
            return None
        if request.method != "POST":
            if self.path is None:
                return None
            response.headers["Allow"] = "POST"
            return HTTPError(request, response, 405)
        return self._answer(request, response)

    def _is_ours(self, request):
        return self.path is None or request.path.rstrip("/") == self.path.rstrip("/")

    def _resolve(self, name):
        """(event name, channel) of a method that may be called, or None."""
        channel, dot, method = name.rpartition(".")
        channel = channel if dot else self.rpc_channel
        if not method.isidentifier() or method.startswith("_") or not channel:
            return None
        if method in _FRAMEWORK_EVENTS and (channel == "*" or self.methods is None):
            return None
        if self.methods is not None:
            return (method, channel) if name in self.methods else None
        for component in flatten(self.root):
            if self._exports(component, method, channel):
                return method, channel
        return None

    @staticmethod
    def _exports(component, method, channel):
        """Whether *component* lets peers call *method* on *channel*."""
        if component.channel not in (channel, "*") and channel != "*" \
                or hasattr(component, "_exposed"):
            return False
        handlers = component._class_handlers
        functions = [f for f in handlers.get(method, ()) if f.channel in (None, channel, "*")]
        if any(getattr(f, "exported", False) for f in functions):
            return True
        if any(getattr(f, "exported", False) for group in handlers.values() for f in group):
            return False
        implicit = isinstance(type(component), HandlerMetaClass)
        return implicit and any(f.names == (f.__name__,) and f.channel is None
                                and f.__module__ not in _OUR_MODULES for f in functions)

    def _invoke(self, found, args, kwargs):
        """A task: call a method, evaluate to what it returned."""
        method, channel = found
        event = LiteralEvent.create(Event, method)
        event._args = list(args)
        event.kwargs = dict(kwargs)
        value = yield self.call(event, channel)
        result = value.value
        if isinstance(result, list):
            result = [item.value if isinstance(item, Value) else item for item in result]
        return result

    def _complain(self, error):
        """An exception of a method is the caller's answer, and our error event."""
        if not isinstance(error, (HTTPException, ProtocolError)):
            self._reactor.failed(None, None, error)


_OUR_MODULES = frozenset(
    (__name__.rpartition("circuits_web")[0] if __name__ != "__main__" else "") + name
    for name in ("circuits", "circuits_io", "circuits_net", "circuits_web")) | {__name__}


def _text_of(error):
    """How an exception is told to a caller: its type and its text, on one line."""
    return "%s: %s" % (type(error).__name__, " ".join(str(error).split()))


class XMLRPC(Exports):
    """Lets peers call methods of components by XML-RPC.

        class Calculator(Component):

            @export
            def add(self, a, b):
                return a + b

        server + XMLRPC("/rpc") + Calculator()

    path      where it answers; default: everywhere
    encoding  of the answers
    methods, rpc_channel   see Exports
    """

    def _answer(self, request, response):
        """A task: make the call, evaluate to the answer."""
        response.headers["Content-Type"] = "text/xml; charset=%s" % self.encoding
        from xmlrpc.client import Fault
        from xmlrpc.client import dumps
        from xmlrpc.client import loads
        try:
            args, name = self._parse(request, loads)
            found = self._resolve(name or "")
            if found is None:
                raise LookupError("there is no method of that name")
        except Exception as error:              # whatever the parser raises
            answer = dumps(Fault(1, _text_of(error)), methodresponse=True, encoding=self.encoding)
            return answer.encode(self.encoding, "xmlcharrefreplace")
        try:
            result = yield from self._invoke(found, args, {})
            answer = dumps((result,), methodresponse=True, allow_none=True, encoding=self.encoding)
        except Exception as error:
            self._complain(error)
            answer = dumps(Fault(1, _text_of(error)), methodresponse=True, encoding=self.encoding)
        return answer.encode(self.encoding, "xmlcharrefreplace")

    @staticmethod
    def _parse(request, loads):
        data = request.body.read()
        if b"<!" in data:                       # entities that grow, files that leak
            raise ValueError("declarations are not accepted")
        return loads(data, use_builtin_types=True)


class _RPCError(Exception):
    """An error of JSON-RPC 2.0, with its code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class JSONRPC(Exports):
    """Lets peers call methods of components by JSON-RPC 1.0, 1.1 and 2.0.

        server + JSONRPC("/rpc", methods=["add"]) + Calculator()

    path      where it answers; default: everywhere
    methods, rpc_channel   see Exports

    A batch of 2.0 may hold MAX_BATCH calls; they are made one after another.
    """

    def _answer(self, request, response):
        """A task: make the calls, evaluate to the answer."""
        import json
        response.headers["Content-Type"] = "application/json"
        try:
            calls = json.loads(request.body.read().decode("utf-8"))
        except (ValueError, RecursionError):
            return json.dumps(self._error(None, True, -32700, "Parse error"))
        if not isinstance(calls, list):
            answer = yield from self._one(calls)
        elif not calls or len(calls) > MAX_BATCH:
            answer = self._error(None, True, -32600, "Invalid Request")
        else:
            answer = []
            for call in calls:
                one = yield from self._one(call)
                if one is not None:
                    answer.append(one)
        if not answer:                          # notifications have no answer
            response.code = 204
            return response
        return json.dumps(answer)

    def _one(self, call):
        """A task: make one call, evaluate to its answer."""
        if not isinstance(call, dict):
            return self._error(None, True, -32600, "Invalid Request")
        modern = call.get("jsonrpc") == "2.0"
        number = call.get("id")
        if isinstance(number, (dict, list, bool)):
            return self._error(None, modern, -32600, "Invalid Request")
        try:
            result = yield from self._made(call)
            import json
            json.dumps(result)
        except _RPCError as error:
            answer = self._error(number, modern, error.code, str(error))
        except Exception as error:
            self._complain(error)
            answer = self._error(number, modern, -32000, _text_of(error))
        else:
            if modern:
                answer = {"jsonrpc": "2.0", "result": result, "id": number}
            else:
                answer = {"id": number, "version": "1.1", "result": result, "error": None}
        return None if modern and "id" not in call else answer

    def _made(self, call):
        name = call.get("method")
        params = call.get("params", [])
        if not isinstance(name, str):
            raise _RPCError(-32600, "Invalid Request")
        if not isinstance(params, (list, dict)):
            raise _RPCError(-32602, "Invalid params")
        found = self._resolve(name)
        if found is None:
            raise _RPCError(-32601, "Method not found")
        if isinstance(params, dict):
            return (yield from self._invoke(found, (), params))
        return (yield from self._invoke(found, params, {}))

    @staticmethod
    def _error(number, modern, code, message):
        if modern:
            return {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": number}
        return {"id": -1 if number is None else number, "version": "1.1", "result": None,
                "error": {"name": "JSONRPCError", "code": 100, "message": message}}


# ---------------------------------------------------------------------------
# 16. Who is there
#
# Names and passwords (RFC 7617, RFC 7616), and values that come back from the
# client unchanged.  Invariants: what cannot be checked is refused; secrets
# are compared in constant time.
# ---------------------------------------------------------------------------

#: Seconds that a digest nonce may be used; then the client is told a new one.
NONCE_LIFETIME = 300

#: Nonces whose use is remembered.
MAX_NONCES = 10000


def _same(one, other):
    """Compare two texts without telling by the time where they differ."""
    from hmac import compare_digest
    return compare_digest(str(one).encode("utf-8"), str(other).encode("utf-8"))


def _hash_md5(text):
    from hashlib import md5
    return md5(text.encode("utf-8")).hexdigest()


def _hash_sha256(text):
    from hashlib import sha256
    return sha256(text.encode("utf-8")).hexdigest()


DIGEST_AUTH_ENCODERS = {"MD5": _hash_md5, "SHA-256": _hash_sha256}


class _Nonces:
    """Issues the nonces of digest authentication, and sees that each number
    of their use comes once.

    A nonce says when it was made and proves that we made it, so that nothing
    is kept of those nobody uses.
    """

    def __init__(self):
        self._key = None
        self._used = {}             # nonce -> (highest count, bits of those below it)

    def _proof(self, stamp, realm):
        import hmac
        from secrets import token_bytes
        if self._key is None:
            self._key = token_bytes(32)
        return hmac.new(self._key, ("%s:%s" % (stamp, realm)).encode("utf-8"), "sha256").hexdigest()

    def make(self, realm):
        """A new nonce."""
        from secrets import token_hex
        stamp = "%x-%s" % (int(time.time()), token_hex(8))
        return "%s-%s" % (stamp, self._proof(stamp, realm))

    def check(self, nonce, realm):
        """"" if it is not ours, "stale" if it is too old, else "good"."""
        stamp, _, proof = nonce.rpartition("-")
        if not _same(proof, self._proof(stamp, realm)):
            return ""
        made = int(stamp.partition("-")[0], 16)
        return "good" if 0 <= time.time() - made <= NONCE_LIFETIME else "stale"

    def use(self, nonce, count):
        """Note the use of a nonce; False if that count was used before.

        Browsers ask in parallel, so counts may come a little out of order.
        """
        highest, bits = self._used.pop(nonce, (0, 0))
        if count > highest:
            bits = (bits << min(count - highest, 200) | 1) & (1 << 128) - 1
            highest, fresh = count, True
        else:
            mask = 1 << highest - count if highest - count < 128 else 0
            fresh = bool(mask) and not bits & mask
            bits |= mask
        self._used[nonce] = highest, bits       # the most recently used are last
        while len(self._used) > MAX_NONCES:
            del self._used[next(iter(self._used))]
        return fresh


_nonces = _Nonces()


def calculateNonce(realm, algorithm="MD5"):
    """A new nonce for digest authentication."""
    return _nonces.make(realm)


def _quoted(text):
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


def basicAuth(realm):
    """The value of WWW-Authenticate that asks for a name and a password."""
    return 'Basic realm=%s, charset="UTF-8"' % _quoted(realm)


def digestAuth(realm, algorithm="MD5", nonce=None, qop="auth", stale=False):
    """The value of WWW-Authenticate that asks for a digest."""
    if algorithm not in DIGEST_AUTH_ENCODERS:
        raise ValueError("the algorithm is one of %s, got %r"
                         % (", ".join(DIGEST_AUTH_ENCODERS), algorithm))
    if qop != "auth":
        raise ValueError("qop is \"auth\", got %r" % (qop,))
    return 'Digest realm=%s, qop="auth", algorithm=%s, nonce="%s"%s' % (
        _quoted(realm), algorithm, nonce or _nonces.make(realm), ", stale=true" if stale else "")


def doAuth(realm):
    """The values of WWW-Authenticate for digest and basic, one after the other."""
    return "%s, %s" % (digestAuth(realm), basicAuth(realm))


def parseAuthorization(credentials):
    """The content of an Authorization header as a dict, or None if it is none.

    auth_scheme  "basic" or "digest"; then username and password, or the
                 parameters of the digest
    """
    scheme, _, rest = credentials.strip(" \t").partition(" ")
    scheme = scheme.lower()
    if scheme == "basic":
        return _parse_basic(rest.strip(" \t"))
    if scheme != "digest":
        return None
    params = {"auth_scheme": "digest"}
    for item in split_quoted(rest, ","):
        name, equals, value = item.partition("=")
        name = name.strip(" \t").lower()
        if not equals or not is_token(name) or name in params:
            return None
        params[name] = unquote_string(value.strip(" \t"))
    for name in ("username", "realm", "nonce", "uri", "response"):
        if name not in params:
            return None
    return params


def _parse_basic(text):
    from base64 import b64decode
    try:
        text = b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return None
    try:
        text = text.decode("utf-8")
    except UnicodeDecodeError:
        text = text.decode("latin-1")
    name, colon, password = text.partition(":")
    if not colon or not name.isprintable():
        return None
    return {"auth_scheme": "basic", "username": name, "password": password}


def md5SessionKey(params, password):
    """H(A1) of a digest with MD5."""
    return _hash_md5("%s:%s:%s" % (params["username"], params["realm"], password))


def checkResponse(auth_map, password, method="GET", encrypt=None, **kwargs):
    """Whether parsed credentials prove that the client knows *password*.

    For a digest this checks the arithmetic alone; check_auth() looks at the
    nonce and the address as well.
    """
    if auth_map["auth_scheme"] == "basic":
        return _check_basic(auth_map, password, encrypt)
    algorithm = auth_map.get("algorithm", "MD5").upper()
    encode = DIGEST_AUTH_ENCODERS.get(algorithm)
    if encode is None or auth_map.get("qop") != "auth":
        return False
    nc, cnonce = auth_map.get("nc", ""), auth_map.get("cnonce", "")
    a1 = encode("%s:%s:%s" % (auth_map["username"], auth_map["realm"], password))
    a2 = encode("%s:%s" % (method, auth_map["uri"]))
    expected = encode("%s:%s:%s:%s:auth:%s" % (a1, auth_map["nonce"], nc, cnonce, a2))
    return _same(expected, auth_map["response"].lower())


def _check_basic(auth_map, password, encrypt):
    encrypt = encrypt or _hash_md5
    sent = encrypt(auth_map["password"])
    if isinstance(sent, bytes):
        sent = sent.decode("latin-1")
    if isinstance(password, bytes):
        password = password.decode("latin-1")
    return _same(sent, password)


def _password_of(users, username):
    """What is stored for a name: None if there is none.  See check_auth()."""
    if callable(users):
        code = getattr(users, "__code__", None)
        count = 1 if code is None else code.co_argcount - hasattr(users, "__self__")
        if count:
            return users(username)
        users = users()
    if not isinstance(users, dict):
        raise ValueError("Authentication users must be a dict")
    return users.get(username)


def check_auth(request, response, realm, users, encrypt=None):
    """Whether the request carries the name and password of one of *users*.

    users    a dict name -> password; or a function that returns one, or that
             takes a name and returns the password or None
    encrypt  basic: what is done to the password that was sent before it is
             compared with the stored one; default: MD5, in hex.  For a digest
             the stored password is plain text

    Sets request.login to the name, or to False.  What cannot be understood
    or checked is False, too.
    """
    request.login = False
    header = request.headers.get("Authorization")
    auth_map = parseAuthorization(header) if header else None
    if auth_map is None:
        return False
    password = _password_of(users, auth_map["username"])
    known = password is not None
    if not known:                               # take as long as for a known one
        from secrets import token_hex
        password = token_hex(16)
    if auth_map["auth_scheme"] == "digest" and not _digest_is_ours(request, auth_map, realm):
        return False
    good = checkResponse(auth_map, password, request.method, encrypt)
    if not (good and known):
        return False
    if auth_map["auth_scheme"] == "digest" and not _nonces.use(
            auth_map["nonce"], int(auth_map["nc"], 16)):
        return False
    request.login = auth_map["username"]
    return True


def _digest_is_ours(request, auth_map, realm):
    """Whether realm, nonce, count and address of a digest are what they must be."""
    nc = auth_map.get("nc", "")
    if len(nc) != 8 or not set(nc) <= set("0123456789abcdefABCDEF") or not auth_map.get("cnonce"):
        return False
    target = request._head.target if request._head is not None else request.path
    if auth_map["uri"] != target or not _same(auth_map["realm"], realm):
        return False
    state = _nonces.check(auth_map["nonce"], realm)
    request._stale_nonce = state == "stale"
    return state == "good"


def basic_auth(request, response, realm, users, encrypt=None):
    """To return if it is not None: asks for a name and a password (RFC 7617).

        return basic_auth(self.request, self.response, "Realm", users) or "Welcome!"
    """
    if check_auth(request, response, realm, users, encrypt):
        return None
    response.headers["WWW-Authenticate"] = basicAuth(realm)
    return Unauthorized(request, response)


def digest_auth(request, response, realm, users):
    """To return if it is not None: asks for a digest (RFC 7616), SHA-256 or MD5.

    The passwords in *users* are plain text.
    """
    if check_auth(request, response, realm, users):
        return None
    stale = getattr(request, "_stale_nonce", False)
    nonce = _nonces.make(realm)
    for algorithm in ("SHA-256", "MD5"):
        response.headers.add_header("WWW-Authenticate",
                                    digestAuth(realm, algorithm, nonce, stale=stale))
    return Unauthorized(request, response)


def sign(name, value, secret, now=None):
    """*value* with a proof that we gave it out, under *name* and at this time.

    For cookies and links; it is not hidden.  The proof binds the name, so that
    the value of one cookie is no good for another.
    """
    stamp = "%x" % int(time.time() if now is None else now)
    encoded = quote(value, "").replace(".", "%2E")
    return "%s.%s.%s" % (encoded, stamp, _mac(secret, name, encoded, stamp))


def unsign(name, text, secret, max_age):
    """The value that sign() was given, or None if that is not *text*, or if it
    is older than *max_age* seconds."""
    encoded, _, rest = text.partition(".")
    stamp, _, proof = rest.partition(".")
    if not _same(proof, _mac(secret, name, encoded, stamp)):
        return None
    if not -60 <= time.time() - int(stamp, 16) <= max_age:
        return None
    return unquote(encoded)


def csrf_token(session):
    """A token for the forms of the user of *session*, to send back as a hidden field.

    It looks different each time (BREACH), and stays good while the session
    lasts.
    """
    from secrets import token_bytes
    secret = session.get("csrf")
    if secret is None:
        secret = session["csrf"] = token_bytes(16).hex()
    mask = token_bytes(16)
    masked = bytes(a ^ b for a, b in zip(mask, bytes.fromhex(secret)))
    return mask.hex() + masked.hex()


def check_csrf(session, token):
    """Whether *token* came from csrf_token() of this session."""
    secret = session.get("csrf")
    if secret is None or not isinstance(token, str) or len(token) != 64 \
            or not set(token) <= set("0123456789abcdef"):
        return False
    mask, masked = bytes.fromhex(token[:32]), bytes.fromhex(token[32:])
    return _same(bytes(a ^ b for a, b in zip(mask, masked)).hex(), secret)


def _mac(secret, *texts):
    import hmac
    if isinstance(secret, str):
        secret = secret.encode("utf-8")
    if len(secret) < 16:
        raise ValueError("a secret has 16 bytes or more, from secrets.token_bytes(32) and kept "
                         "out of the source")
    message = "\0".join(texts).encode("utf-8")
    return hmac.new(secret, message, "sha256").hexdigest()


# ---------------------------------------------------------------------------
# 17. Sessions
#
# What the server remembers of a client between requests.  Invariants: only
# ids that the server gave out are used; a store never sees an id itself, but
# its hash; nothing is stored, and no cookie set, for a client of which there
# is nothing to remember.
# ---------------------------------------------------------------------------

#: Seconds without a request after which a session is forgotten.
SESSION_LIFETIME = 86400

#: Sessions kept in memory; the one unused for longest goes first.
MAX_SESSIONS = 10000


class Session(dict):
    """What is remembered of a client: a dict, kept until it expires.

    sid       the secret id that the client has in its cookie
    expire()  forget it, at log-out
    rotate()  change the id and keep the data: do so at log-in, so that an id
              somebody else has planted becomes worthless
    """

    def __init__(self, sid, data=(), store=None, new=False):
        super().__init__(data)
        self._sid = sid
        self.store = store
        self.new = new              # the client does not know the id yet
        self.used = False           # the id was asked for
        self.expired = False
        self.former = None          # the id before rotate()

    @property
    def sid(self):
        self.used = True
        return self._sid

    def expire(self):
        """Forget it; the client's cookie is deleted with the response."""
        self.expired = True
        self.clear()

    def rotate(self):
        """Give it a new id."""
        if not self.new:
            self.former = self.former or self._sid
        self._sid = _new_sid()
        self.used = self.new = True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.store is not None and not self.expired:
            self.store.save(self._sid, self)


def _new_sid():
    from secrets import token_urlsafe
    return token_urlsafe(32)


def _key_of(sid):
    """What a store uses in place of the id: a leak of it opens no session."""
    return _hash_sha256(sid)


class Store:
    """Where sessions are kept: to subclass.

    To override:  load(sid) -> the data as a dict, or None
                  save(sid, data), delete(sid)
    """

    def load(self, sid):
        raise NotImplementedError

    def save(self, sid, data):
        raise NotImplementedError

    def delete(self, sid):
        raise NotImplementedError


class MemoryStore(Store):
    """Keeps sessions in memory; they end with the process."""

    def __init__(self, lifetime=SESSION_LIFETIME, max_sessions=MAX_SESSIONS, clock=time.monotonic):
        self.lifetime = lifetime
        self.max_sessions = max_sessions
        self.clock = clock
        self._sessions = {}         # key -> (data, time of last use), oldest first
        self._lock = allocate_lock()    # trees in several threads may share it

    def __len__(self):
        return len(self._sessions)

    def load(self, sid):
        key = _key_of(sid)
        with self._lock:
            data, used = self._sessions.get(key, (None, 0))
            if data is None or self.clock() - used > self.lifetime:
                self._sessions.pop(key, None)
                return None
            return data

    def save(self, sid, data):
        key = _key_of(sid)
        now = self.clock()
        with self._lock:
            self._sessions.pop(key, None)
            self._sessions[key] = dict(data), now
            while self._sessions:
                key = next(iter(self._sessions))
                if len(self._sessions) <= self.max_sessions \
                        and now - self._sessions[key][1] <= self.lifetime:
                    break
                del self._sessions[key]

    def delete(self, sid):
        with self._lock:
            self._sessions.pop(_key_of(sid), None)


class SQLiteStore(Store):
    """Keeps sessions in a file, which several processes may share.

    The data must be what JSON can write.
    """

    def __init__(self, path, lifetime=SESSION_LIFETIME, max_sessions=MAX_SESSIONS,
                 clock=time.time):
        self.path = path
        self.lifetime = lifetime
        self.max_sessions = max_sessions
        self.clock = clock
        self._database = None
        self._owner = None
        self._lock = allocate_lock()    # one connection is for one thread at a time

    def _open(self):
        import sqlite3
        if self._database is None or self._owner != os.getpid():    # not across a fork
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
            os.close(descriptor)
            self._database = sqlite3.connect(self.path, timeout=5, isolation_level=None,
                                             check_same_thread=False)
            self._owner = os.getpid()
            self._database.execute("CREATE TABLE IF NOT EXISTS sessions"
                                   " (key TEXT PRIMARY KEY, data TEXT, used REAL)")
        return self._database

    def close(self):
        """Close the file; the next use opens it again."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def load(self, sid):
        import json
        with self._lock:
            row = self._open().execute("SELECT data FROM sessions WHERE key = ? AND used > ?", (
                _key_of(sid), self.clock() - self.lifetime)).fetchone()
        return None if row is None else json.loads(row[0])

    def save(self, sid, data):
        import json
        text = json.dumps(data)
        with self._lock:
            database = self._open()
            database.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", (
                _key_of(sid), text, self.clock()))
            if os.urandom(1)[0] < 4:            # now and then, clean up
                database.execute("DELETE FROM sessions WHERE used <= ?",
                                 (self.clock() - self.lifetime,))
                database.execute("DELETE FROM sessions WHERE key NOT IN (SELECT key FROM sessions"
                                 " ORDER BY used DESC LIMIT ?)", (self.max_sessions,))

    def delete(self, sid):
        with self._lock:
            self._open().execute("DELETE FROM sessions WHERE key = ?", (_key_of(sid),))


class Sessions(BaseComponent):
    """Gives each request the session of its client: request.session.

        server + Sessions()

        class Root(Controller):

            def index(self):
                self.session["visits"] = self.session.get("visits", 0) + 1

    name    of the cookie
    store   a Store, or a class of them; default: in memory
    secure  the cookie is for https only; default: if the request came so
    samesite  "Lax", "Strict" or "None"

    The cookie is HttpOnly.  Subclasses may override _load(sid) and
    _save(sid, data) in place of a store.
    """

    channel = "web"

    def __init__(self, name="circuits.session", store=None, channel=None, secure=None,
                 samesite="Lax"):
        super().__init__(channel=channel or self.channel)
        if samesite not in ("Lax", "Strict", "None"):
            raise ValueError("samesite is \"Lax\", \"Strict\" or \"None\", got %r" % (samesite,))
        if not is_token(name):
            raise ValueError("the name of a cookie is a token, got %r" % (name,))
        self.cookie_name = name
        self.store = MemoryStore() if store is None else store() if isinstance(store, type) \
            else store
        self.secure = secure
        self.samesite = samesite

    def _load(self, sid):
        """The data of a session that we gave out, or None."""
        return self.store.load(sid)

    def _save(self, sid, data):
        """Keep the data of a session."""
        self.store.save(sid, data)

    @_own_step
    @handler("request", priority=10)
    def _on_request(self, request, response, peer_cert=None):
        sid = parse_cookies(request.headers.get("Cookie", "")).get(self.cookie_name)
        data = self._load(sid) if sid and len(sid) <= 100 else None
        if data is None:
            request.session = Session(_new_sid(), store=self.store, new=True)
        else:
            request.session = Session(sid, data, self.store)

    @_own_step
    @handler("response", priority=0.5)
    def _on_response(self, response):
        """Before the response goes out: keep what there is, set the cookie."""
        request = response.request
        session = request.session
        if not isinstance(session, Session):
            return
        if session.former is not None:
            self.store.delete(session.former)
        if session.expired:
            self.store.delete(session._sid)
            if not session.new or session.former is not None:
                self._set_cookie(request, "", 0)
            return
        if session or session.used or not session.new:
            self._save(session._sid, dict(session))
        if session.new and (session or session.used):
            self._set_cookie(request, session._sid, None)

    def _set_cookie(self, request, value, max_age):
        cookie = request.cookie
        cookie[self.cookie_name] = value
        morsel = cookie[self.cookie_name]
        morsel["path"] = "/"
        morsel["httponly"] = True
        morsel["samesite"] = self.samesite
        if max_age is not None:
            morsel["max-age"] = "0"
            morsel["expires"] = http_date(0)
        if request.scheme == "https" if self.secure is None else self.secure:
            morsel["secure"] = True


# ---------------------------------------------------------------------------
# 18. Between server and client
#
# Compression, proxies in front of the server, and what browsers are told.
# ---------------------------------------------------------------------------

#: Types that are worth compressing.
COMPRESSIBLE = ("text/html", "text/plain", "text/css", "text/xml", "text/javascript",
                "application/javascript", "application/json", "application/xml", "image/svg+xml")

#: Bytes below which compressing costs more than it saves.
MIN_COMPRESSED = 500


def compress(body, level=4):
    """Yield *body*, an iterable of bytes, in gzip format."""
    import zlib
    engine = zlib.compressobj(level, zlib.DEFLATED, 31)
    for piece in body:
        data = engine.compress(piece)
        if data:
            yield data
    yield engine.flush()


class _Compressed:
    """A streamed body in gzip format; closing it closes what it was made of."""

    def __init__(self, body, level, encoding):
        self._body = body
        self._pieces = compress((as_bytes(piece, encoding) for piece in body), level)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._pieces)

    def close(self):
        self._pieces.close()
        if hasattr(self._body, "close"):
            self._body.close()


def _accepts(request, coding):
    """The weight that Accept-Encoding gives a coding; None if it says nothing of it."""
    any_coding = None
    for element in request.headers.elements("Accept-Encoding"):
        if element.value.lower() in (coding, "x-" + coding):
            return element.qvalue
        if element.value == "*":
            any_coding = element.qvalue
    return any_coding


def gzip(response, level=4, mime_types=("text/html", "text/plain")):
    """Compress the body of a response, if the client and its type say so.

        @handler("response", priority=1.0)
        def _compress(self, response):
            gzip(response)

    Returns the response; HTTPError 406 if the client refuses both the body as
    it is and gzip.  Do not compress pages that show a secret beside text that
    came from the client (BREACH).
    """
    request = response.request
    headers = response.headers
    kind = headers.get("Content-Type", "text/html").partition(";")[0].strip().lower()
    if response.code in (204, 206, 304) or response.code < 200 or kind not in mime_types \
            or "Content-Encoding" in headers or hasattr(response._body, "__anext__") \
            or isinstance(response._body, EventStream) \
            or response.stream and response._body == ():
        return response
    vary = headers.get("Vary", "")
    if "accept-encoding" not in vary.lower():
        headers["Vary"] = vary + ", Accept-Encoding" if vary else "Accept-Encoding"
    weight = _accepts(request, "gzip")
    plain = _accepts(request, "identity")
    if not weight:
        if plain == 0 and "Accept-Encoding" in request.headers:
            return HTTPError(request, response, 406)
        return response
    if plain is not None and plain > weight:
        return response
    if response.stream:
        del headers["Content-Length"], headers["Accept-Ranges"]
        response.body = _Compressed(iter(response._body), level, response.encoding)
    else:
        headers.setdefault("Content-Type", "text/html; charset=%s" % response.encoding)
        response.body = b"".join(compress([response._bytes()], level))
    headers["Content-Encoding"] = "gzip"
    etag = headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        headers["ETag"] = "W/" + etag           # the bytes are others now
    return response


class Compress(BaseComponent):
    """Compresses the responses that are worth it.

        server + Compress()
    """

    channel = "web"

    def __init__(self, level=4, mime_types=COMPRESSIBLE, min_size=MIN_COMPRESSED, channel=None):
        super().__init__(channel=channel or self.channel)
        self.level = level
        self.mime_types = mime_types
        self.min_size = min_size

    @_own_step
    @handler("response", priority=0.4)
    def _on_response(self, response):
        body = response._body
        if not response.stream and isinstance(body, (str, list)) \
                and (len(body) if isinstance(body, str) else sum(map(len, body))) < self.min_size:
            return
        length = response.headers.get("Content-Length")
        if response.stream and length is not None and int(length) < self.min_size:
            return
        gzip(response, self.level, self.mime_types)


_FORWARDED = ("X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
              "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded")


class ReverseProxy(BaseComponent):
    """Believes what proxies in front of the server say of the client.

        server + ReverseProxy(trusted=["127.0.0.1", "10.0.0.0/8"])

    headers  that name the client, the first that is there counts
    trusted  addresses and networks of the proxies; "unix" for UNIX sockets

    Sets remote, scheme and host of requests that come from a trusted proxy.
    From all others those headers are taken away, so that nobody believes them.
    """

    channel = "web"

    def __init__(self, headers=("X-Real-IP", "X-Forwarded-For"),
                 trusted=("127.0.0.1", "::1", "unix"), channel=None):
        super().__init__(channel=channel or self.channel)
        from ipaddress import ip_network
        self.headers = tuple(headers or ())
        self.unix = "unix" in trusted
        self.networks = [ip_network(item) for item in trusted if item != "unix"]

    def _trusts(self, address):
        from ipaddress import ip_address
        try:
            address = ip_address(address)
        except ValueError:
            return False
        return any(address in network for network in self.networks)

    @_own_step
    @handler("request", priority=2)
    def _on_request(self, request, response, peer_cert=None):
        headers = request.headers
        if not any(name in headers for name in _FORWARDED):
            return
        remote = request.remote
        if not (self._trusts(remote.ip) or self.unix and remote.port is None):
            for name in _FORWARDED:
                del headers[name]
            return
        for name in self.headers:
            if name in headers:
                address = self._client(headers.get_all(name))
                if address is not None:
                    request.remote = Host(address, None)
                break
        scheme = headers.get("X-Forwarded-Proto", "").strip().lower()
        if scheme in ("http", "https"):
            request.scheme = scheme
        host = headers.get("X-Forwarded-Host", "").rpartition(",")[2].strip()
        if host and valid_host(host):
            request._authority = host

    def _client(self, values):
        """The last address of a list that is not one of our proxies."""
        from ipaddress import ip_address
        found = None
        for item in reversed(",".join(values).split(",")):
            try:
                found = str(ip_address(item.strip()))
            except ValueError:
                return found
            if not self._trusts(found):
                return found
        return found


class AllowedHosts(BaseComponent):
    """Answers only requests for these names; others get 421.

        server + AllowedHosts(["example.com", "*.example.com"])

    Against DNS rebinding, and against addresses built from a Host of the
    client's choice.  Ports do not matter.
    """

    channel = "web"

    def __init__(self, hosts, channel=None):
        super().__init__(channel=channel or self.channel)
        if isinstance(hosts, str):
            raise TypeError("hosts is a list of names, got %r" % (hosts,))
        self.hosts = frozenset(host.lower() for host in hosts)

    def _allows(self, netloc):
        name, _, port = netloc.lower().rpartition(":")
        if not name or not is_digits(port):
            name = netloc.lower()
        above = name.partition(".")[2]
        return name in self.hosts or bool(above) and "*." + above in self.hosts

    @_own_step
    @handler("request", filter=True, priority=3)
    def _on_request(self, request, response, peer_cert=None):
        if not self._allows(request.netloc):
            return HTTPError(request, response, 421,
                             description="This server does not answer for that name.")
        return None


class CORS(BaseComponent):
    """Lets scripts of pages from elsewhere use what this server has.

        server + CORS(["https://app.example"])

    origins      which pages may; "*" in the list means all
    methods      what they may ask with, beside GET, HEAD and POST
    headers      what they may send beside the usual headers
    credentials  whether they may act for the user who is logged in; not with
                 "*": that would open everything to everybody
    max_age      seconds that browsers may remember the answer
    """

    channel = "web"

    def __init__(self, origins, methods=("PUT", "PATCH", "DELETE"), headers=("Content-Type",),
                 credentials=False, max_age=600, channel=None):
        super().__init__(channel=channel or self.channel)
        if isinstance(origins, str):
            raise TypeError("origins is a list of them, got %r" % (origins,))
        if credentials and "*" in origins:
            raise ValueError("credentials=True needs the origins by name, not \"*\"")
        self.origins = frozenset(origins)
        self.methods = ", ".join(("GET", "HEAD", "POST") + tuple(methods))
        self.headers = ", ".join(headers)
        self.credentials = credentials
        self.max_age = max_age

    def _allowed(self, request):
        origin = request.headers.get("Origin")
        return origin is not None and ("*" in self.origins or origin in self.origins)

    @_own_step
    @handler("request", filter=True, priority=1.5)
    def _on_request(self, request, response, peer_cert=None):
        """Answer the question that browsers ask beforehand."""
        if request.method != "OPTIONS" or not self._allowed(request) \
                or "Access-Control-Request-Method" not in request.headers:
            return None
        response.code = 204
        response.headers["Access-Control-Allow-Methods"] = self.methods
        response.headers["Access-Control-Allow-Headers"] = self.headers
        response.headers["Access-Control-Max-Age"] = self.max_age
        return response

    @_own_step
    @handler("response", priority=0.3)
    def _on_response(self, response):
        headers = response.headers
        headers.append("Vary", "Origin")
        if self._allowed(response.request):
            headers["Access-Control-Allow-Origin"] = response.request.headers["Origin"]
            if self.credentials:
                headers["Access-Control-Allow-Credentials"] = "true"


class SecurityHeaders(BaseComponent):
    """Tells browsers to be careful with our pages, unless the page says so itself.

    content   the Content-Security-Policy; default: nothing from elsewhere
    frame     X-Frame-Options
    referrer  Referrer-Policy
    hsts      seconds for which browsers shall insist on https; None: not said
    """

    channel = "web"

    def __init__(self, content="default-src 'self'", frame="DENY", referrer="same-origin",
                 hsts=None, channel=None):
        super().__init__(channel=channel or self.channel)
        self.headers = Headers([("X-Content-Type-Options", "nosniff")])
        for name, value in (("Content-Security-Policy", content), ("X-Frame-Options", frame),
                            ("Referrer-Policy", referrer),
                            ("Strict-Transport-Security", hsts and "max-age=%d" % hsts)):
            if value:
                self.headers[name] = value

    @_own_step
    @handler("response", priority=0.3)
    def _on_response(self, response):
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)


class Health(BaseComponent):
    """Answers those who watch whether the service is well.

        server + Health("/health", database=lambda: db.is_open())

    The keyword arguments are checks, functions that return something true
    while all is well.  200 and "ok", or 503 and the names that are not.
    """

    channel = "web"

    def __init__(self, path="/health", channel=None, **checks):
        super().__init__(channel=channel or self.channel)
        self.path = path
        self.checks = checks

    @_own_step
    @handler("request", filter=True, priority=-0.05)
    def _on_request(self, event, request, response, peer_cert=None):
        if request.path != self.path or answered(event):
            return None
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
        response.headers["Cache-Control"] = "no-store"
        failing = [name for name, check in self.checks.items() if not self._is_well(check)]
        if not failing:
            return "ok\n"
        response.code = 503
        return "failing: %s\n" % ", ".join(failing)

    def _is_well(self, check):
        try:
            return check()
        except Exception as error:
            self._reactor.failed(None, None, error)
            return False


# ---------------------------------------------------------------------------
# 19. Groups and server-sent events
#
# Messages to many at once, encoded once; and streams of events to browsers
# (WHATWG HTML, section 9.2).
# ---------------------------------------------------------------------------

#: Seconds between two comments on a stream: the specification advises 15, and
#: proxies close what is silent for a minute.
KEEP_ALIVE = 15

#: Bytes that may wait for one member of a group, or one stream.  They come on
#: top of what the systems on both ends buffer, some megabytes.
MAX_WAITING = 262144


def _as_data(data):
    """What is to be sent as text or bytes; what is neither becomes JSON."""
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    import json
    return json.dumps(data)


class ServerEvent(str):
    """A message with a name or an id, for EventStream and Group: its data, a str.

        group.send(ServerEvent({"price": 7}, event="quote", id=4711))

    data   str, UTF-8 bytes, or what JSON can write; None: there is none, and
           the browser only takes note of id and retry
    event  the name; a browser calls its listeners, "message" without one
    id     comes back as Last-Event-ID when the browser connects again
    retry  seconds that it should wait before it does

    Raises ValueError if event or id would break the stream.
    """

    def __new__(cls, data, event=None, id=None, retry=None):
        text = "" if data is None else _as_data(data)
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        self = super().__new__(cls, text)
        self.has_data = data is not None
        self.event = cls._checked("event", event)
        self.id = cls._checked("id", id)
        if retry is not None and not 0 <= retry < 1e9:
            raise ValueError("retry is a number of seconds, at least 0, got %r" % (retry,))
        self.retry = retry
        return self

    @staticmethod
    def _checked(what, value):
        if value is None:
            return None
        text = str(value)
        if "\n" in text or "\r" in text or "\0" in text:
            raise ValueError("the %s of an event is one line without NUL, got %r" % (what, value))
        return text


def encode_event(message):
    """A message in the form of the wire, UTF-8.

    >>> encode_event(ServerEvent("two\\r\\nlines", event="note", id=7))
    b'event: note\\nid: 7\\ndata: two\\ndata: lines\\n\\n'

    Raises ValueError for bytes that are not UTF-8.
    """
    if not isinstance(message, ServerEvent):
        message = ServerEvent(message)
    lines = []
    if message.event is not None:
        lines.append("event: %s\n" % message.event)
    if message.id is not None:
        lines.append("id: %s\n" % message.id)
    if message.retry is not None:
        lines.append("retry: %d\n" % round(message.retry * 1000))
    if message.has_data:            # not splitlines(), which knows ends of its own
        for line in message.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            lines.append("data: %s\n" % line)
    lines.append("\n")
    return "".join(lines).encode("utf-8")


class EventStream:
    """A response that stays open: server-sent events, EventSource in browsers.

        def news(self):                         # a method of a controller
            return self.group.add(EventStream(self.request, self.response))

        def ticking(self):                      # ticks() yields what to send
            return EventStream(self.request, self.response, ticks())

    source       what yields messages, as fast as the client takes them: an
                 iterable, a generator that also yields what to wait for, or an
                 asynchronous one.  When it ends, the stream does
    keep_alive   seconds between comments, which keep proxies from closing a
                 silent stream
    max_waiting  bytes; a client that lets more of what send() sends wait is
                 parted from, and will come back when it can
    on_close     called with the stream when it has ended, whoever ended it:
                 as soon as the client has left

    last_event_id  what the client got last, by its Last-Event-ID; or None
    closed         it has ended
    waiting        bytes that the client has not taken yet

    What is sent before the response starts waits for that.  Use it in the
    thread of the tree only.  A HEAD request gets a stream that is closed.
    """

    source = None
    closed = False
    groups = None               # those to tell when it ends

    def __init__(self, request, response, source=None, keep_alive=KEEP_ALIVE,
                 max_waiting=MAX_WAITING, on_close=None):
        if source is not None and not hasattr(source, "__anext__"):
            source = iter(source)
        if not keep_alive > 0:
            raise ValueError("keep_alive is a number of seconds above 0, got %r" % (keep_alive,))
        self.request = request
        self.response = response
        self.source = source
        self.keep_alive = keep_alive
        self.max_waiting = max_waiting
        self.on_close = on_close
        self._early = bytearray()   # written before there was a connection for it
        self._http = None
        self._conn = None
        self._taken = 0             # when the client was last seen to read
        last = request.headers.get("Last-Event-ID")
        self.last_event_id = None if last is None else \
            last.encode("latin-1").decode("utf-8", "replace")
        response.headers["Content-Type"] = "text/event-stream; charset=utf-8"
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"        # nginx: pass on at once
        response.body = self
        response.stream = True
        if response.done:           # the client left while this was being prepared
            self.close()

    def __repr__(self):
        state = "closed" if self.closed else "open" if self._http is not None else "to be opened"
        return "<EventStream %s, %d bytes wait>" % (state, self.waiting)

    def send(self, data, event=None, id=None, retry=None):
        """Send a message, see ServerEvent; False if the stream has ended."""
        if not isinstance(data, ServerEvent):
            data = ServerEvent(data, event, id, retry)
        if self.waiting > self.max_waiting:
            self.close("too slow")
        if not self.closed:
            self.write(self.encode(data))
        return not self.closed

    def close(self, reason=None):
        """End the stream; the client will connect again after a while.

        To tell it to stay away, answer its next request with 204.
        """
        if self.closed:
            return
        self.closed = True
        for group in tuple(self.groups or ()):
            group.discard(self)
        conn = self._conn
        if conn is not None and conn.task is not None and conn.response is self.response:
            conn.task.cancel("")
        elif self.source is not None:
            close_body(self.source)
        if conn is not None:
            self._end()
        if self.on_close is not None:
            owner = self.request.server if self._http is None else self._http
            if owner is None:
                self.on_close(self)
            else:               # later: it may send to a group that is sending, and so on
                owner._reactor.call_soon(lambda: self.on_close(self))

    # -- as a member of groups ----------------------------------------------

    @property
    def waiting(self):
        if self._conn is None:
            return len(self._early)
        return getattr(self._conn.sock, "pending", 0)

    @property
    def kind(self):
        return EventStream, self._joins_chunk()

    def _joins_chunk(self):
        """Whether encode() makes the chunk, or HTTP does when the time comes."""
        http = self._http
        return http is not None and self.response.chunked \
            and not http._reactor.heard("stream", (http.channel,))

    def encode(self, message):
        data = encode_event(message)
        return encode_chunk(data) if self._joins_chunk() else data

    def replay(self, data):
        """Send a piece of the stream as it is: what encode_event() made, of any
        number of messages."""
        self.write(encode_chunk(data) if self._joins_chunk() else data)

    def write(self, frame):
        """Hand over what encode() made."""
        response = self.response
        if self.closed:
            return
        if response.done or response._body is not self:
            self.close("somebody else answered or ended the response")
        elif self._http is None:
            self._early += frame
        else:
            self._put(frame)

    def _put(self, frame):
        http = self._http
        if http._reactor.heard("stream", (http.channel,)):
            http._reactor.tell(http, Stream, http.channel, self.response, frame)
        else:
            http._write(self._conn, frame)

    # -- what HTTP calls ----------------------------------------------------

    def opened(self, http, conn):
        """The head is out; True if there is a source to take messages from."""
        self._http = http
        self._conn = conn
        self._taken = http._now
        conn.deadline = http._now + self.keep_alive
        early, self._early = self._early, None
        if early:
            early = bytes(early)
            self._put(encode_chunk(early) if self._joins_chunk() else early)
        if self.closed:
            self._end()
        elif http._leaving:
            self.close("the server stops")
        return self.source is not None and not self.closed

    def beat(self, now):
        """The time of the connection is over: send a comment, unless nobody reads."""
        sock = self._conn.sock
        if not self.waiting or getattr(sock, "moved", True):
            self._taken = now
            if self.waiting:
                sock.moved = False
        elif now - self._taken > self._http._write_timeout:
            return self.close("the client does not read")
        self._conn.deadline = now + self.keep_alive
        self.replay(b":\n\n")

    def _end(self):
        """End the response, if it is still ours."""
        http, conn, response = self._http, self._conn, self.response
        if http._connections.get(conn.sock) is conn and conn.response is response \
                and not response.done:
            if self.waiting:                # no further request before that is read
                response.close = True
            http._reactor.tell(http, Stream, http.channel, response, None)


def _member(thing):
    """The member of groups that an EventStream is, or the sock of a WebSocket
    stands for; None if that is closed."""
    member = thing if hasattr(thing, "kind") else getattr(thing, "upper", thing)
    if hasattr(member, "kind") or member is None is not thing:
        return member
    raise TypeError("a member of a group is an EventStream or the sock of a WebSocket, got %r"
                    % (thing,))


class Group:
    """Sends messages to many: EventStreams, WebSockets.

        self.group = Group()
        ...
        self.group.send("Hello everybody")      # encoded once

    slow         what becomes of a member for which more than max_waiting bytes
                 wait: "close" parts from it, "skip" leaves out messages
    max_waiting  bytes
    history      messages that are kept, up to half of max_waiting bytes, for
                 streams that come back: they get what they missed since their
                 Last-Event-ID, or all if that is none of these.  Messages
                 without an id get one

    A message is str, bytes (UTF-8 for EventStreams), ServerEvent, or what JSON
    can write.  Members leave by themselves when their connection ends.  Use a
    group in the thread of its tree only; each worker process has its own.
    """

    def __init__(self, slow="close", max_waiting=MAX_WAITING, history=0):
        if slow not in ("close", "skip"):
            raise ValueError('slow is "close" or "skip", got %r' % (slow,))
        if not isinstance(history, int) or history < 0:
            raise ValueError("history is a number of messages, got %r" % (history,))
        self.slow = slow
        self.max_waiting = max_waiting
        self._members = {}
        self._history = None
        if history:
            self._history = deque()                 # (id, bytes)
            self._most = history
            self._kept = 0                          # bytes in there
            self._count = 0
            self._prefix = os.urandom(4).hex()      # not those of the last run

    def add(self, stream):
        """Take in an EventStream, or the sock of an open WebSocket; returns it.

        One that has ended already is not kept.
        """
        member = _member(stream)
        if member is None or getattr(member, "closed", False):
            return stream
        self._members[member] = None
        if member.groups is None:
            member.groups = set()
        member.groups.add(self)
        if self._history is not None and getattr(member, "last_event_id", None) is not None:
            self._replay(member)
        return stream

    def discard(self, stream):
        """Let go of a member; no harm if it is none."""
        member = _member(stream)
        if member in self._members:
            del self._members[member]
            if member.groups:
                member.groups.discard(self)

    def __repr__(self):
        return "<Group of %d>" % len(self._members)

    def __len__(self):
        return len(self._members)

    def __bool__(self):
        return True                 # also one without members

    def __contains__(self, stream):
        return _member(stream) in self._members

    def __iter__(self):
        return iter(tuple(self._members))

    def send(self, message):
        """Send to all; returns how many it went to.

        Raises ValueError, before anything is sent, if it cannot be encoded.
        """
        if not isinstance(message, str):
            message = _as_data(message)
        if self._history is not None:
            message = self._remember(message)
        frames = {}
        plan = []
        for member in self._members:
            kind = member.kind
            if kind not in frames:
                frames[kind] = member.encode(message)
            plan.append((member, frames[kind]))
        count = 0
        for member, frame in plan:
            if member.waiting <= self.max_waiting:
                member.write(frame)
                count += 1
            elif self.slow == "close":
                self.discard(member)
                member.close("too slow")
        return count

    def _remember(self, message):
        """Keep a message for those who come back; returns it, with an id."""
        if not isinstance(message, ServerEvent):
            message = ServerEvent(message)
        if message.id is None and message.has_data:
            self._count += 1
            message = ServerEvent(message, message.event, "%s-%d" % (self._prefix, self._count),
                                  message.retry)
        data = encode_event(message)
        history = self._history
        history.append((message.id, data))
        self._kept += len(data)
        while len(history) > self._most or self._kept > self.max_waiting // 2:
            self._kept -= len(history.popleft()[1])
        return message

    def _replay(self, stream):
        """Send what was sent after the last event that a stream got, or all."""
        missed = []
        for number, data in reversed(self._history):
            if number == stream.last_event_id:
                break
            missed.append(data)
        if missed:
            stream.replay(b"".join(reversed(missed)))


# ---------------------------------------------------------------------------
# 20. WebSocket codec
#
# Turns bytes into messages and back (RFC 6455, RFC 7692), for both sides.
# Pure: no clock, no socket.  Invariants: after an error or a close frame it
# accepts nothing; what it keeps is bounded by max_message, declared or not,
# inflated or not; each byte is looked at a bounded number of times, however
# the input is cut.
# ---------------------------------------------------------------------------

#: Bytes of a message, when inflated.  That of the websockets package; a page
#: that sends more should upload it.
MAX_MESSAGE = 1024 * 1024

#: What a close frame can say (RFC 6455, 7.4.1).  Those that no frame may carry:
#: 1005, there was no code; 1006, there was no close frame.
NORMAL_CLOSURE, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED_DATA = 1000, 1001, 1002, 1003
NO_STATUS, ABNORMAL_CLOSURE, INVALID_DATA, POLICY_VIOLATION = 1005, 1006, 1007, 1008
MESSAGE_TOO_BIG, INTERNAL_ERROR, TRY_AGAIN_LATER = 1009, 1011, 1013

_CONTINUATION, _TEXT_FRAME, _BINARY_FRAME = 0, 1, 2
_CLOSE_FRAME, _PING_FRAME, _PONG_FRAME = 8, 9, 10

# From here on four strided translations are faster than one large xor, and a
# call of C than those: it pays from 1 KiB on, but loads ctypes (6 ms, once).
_LONG = 512
_VERY_LONG = 4096
_fastest = None             # what that calls, once it was looked for
_XOR = {}                   # byte of a mask -> what translate() takes
_ALL_BYTES = int.from_bytes(bytes(range(256)), "little")

# A deflate stream may end and another begin within a message; each costs a
# new inflater, so that many of them would be an attack.
_MAX_STREAMS = 16
_Z_RLE = 3                  # PyPy's zlib has no name for it
_EMPTY_BLOCK = b"\x00\x00\xff\xff"


class WebSocketError(CircuitsError):
    """The peer broke the rules; *code* and *reason* are what it is told."""

    def __init__(self, code, reason):
        super().__init__("%d %s" % (code, reason))
        self.code = code
        self.reason = reason


class ControlFrame:
    """A frame that is no message: its opcode (8 close, 9 ping, 10 pong) and data.

    That of close has code and reason besides; without one the code is 1005.
    """

    __slots__ = ("opcode", "data", "code", "reason")

    def __init__(self, opcode, data):
        self.opcode = opcode
        self.data = data
        self.code = self.reason = None
        if opcode == _CLOSE_FRAME:
            self.code, self.reason = parse_close(data)

    def __repr__(self):
        return "<ControlFrame %d %r>" % (self.opcode, self.data)


def valid_close_code(code):
    """Whether a close frame may carry *code*: RFC 6455, 7.4, and the registry.

    >>> [c for c in (999, 1000, 1004, 1006, 1014, 1015, 2999, 3000, 5000) if valid_close_code(c)]
    [1000, 1014, 3000]
    """
    return 1000 <= code <= 1014 and code not in (1004, 1005, 1006) or 3000 <= code <= 4999


def parse_close(data):
    """(code, reason) of the payload of a close frame; raises WebSocketError.

    >>> parse_close(b""), parse_close(b"\\x03\\xe8bye")
    ((1005, ''), (1000, 'bye'))
    """
    if not data:
        return NO_STATUS, ""
    if len(data) < 2:
        raise WebSocketError(PROTOCOL_ERROR, "half a close code")
    code = int.from_bytes(data[:2], "big")
    if not valid_close_code(code):
        raise WebSocketError(PROTOCOL_ERROR, "a close code that none may send")
    try:
        return code, data[2:].decode()
    except UnicodeDecodeError:
        raise WebSocketError(INVALID_DATA, "a close reason that is not UTF-8") from None


def make_close(code=NORMAL_CLOSURE, reason=""):
    """The payload of a close frame; None: without a code.

    ValueError if the code is not for sending, or the reason is longer than 123
    bytes, what a control frame has room for.

    >>> make_close(1000, "bye"), make_close(None)
    (b'\\x03\\xe8bye', b'')
    """
    if code is None:
        return b""
    if isinstance(code, bool) or not isinstance(code, int) or not valid_close_code(code):
        raise ValueError("a close code is 1000 to 1014 but 1004 to 1006, or 3000 to 4999, got %r"
                         % (code,))
    text = reason.encode("utf-8")
    if len(text) > 123:
        raise ValueError("a close reason has at most 123 bytes, got %d" % len(text))
    return code.to_bytes(2, "big") + text


def apply_mask(data, mask, start=0):
    """Mask, or unmask, a bytearray in place from *start* on (RFC 6455, 5.3).

    >>> data = bytearray(b"abcd"); apply_mask(data, b"\\1\\2\\3\\4", 1); data
    bytearray(b'acag')
    """
    size = len(data) - start
    if size < _LONG:
        mask = (mask * (size // 4 + 1))[:size]
        data[start:] = (int.from_bytes(data[start:], "little")
                        ^ int.from_bytes(mask, "little")).to_bytes(size, "little")
    elif size < _VERY_LONG:
        _translate(data, mask, start)
    else:
        (_fastest or _find_fastest())(data, mask, start)


def _translate(data, mask, start):
    """apply_mask() in four strides."""
    for i in range(4):
        byte = mask[i]
        table = _XOR.get(byte)
        if table is None:
            table = _XOR[byte] = (_ALL_BYTES ^ int.from_bytes(bytes((byte,)) * 256, "little")
                                  ).to_bytes(256, "little")
        data[start + i::4] = data[start + i::4].translate(table)


def _find_fastest():
    """Find what does apply_mask() for what is very long, once.

    The standard library has no xor of bytes, but the libcrypto that hashlib
    stands on has one: output feedback (OFB) xors the data with an IV that the
    block cipher changes after every 16 bytes.  With memmove(iv, iv, 0) for the
    cipher it stays as it is: the mask, four times.  64 KiB take 16 us, by
    _translate() 100; an echo of them costs 89 us, not 226.

    Where that is not to be had (Windows, PyPy, a Python without ctypes or with
    OpenSSL built in), or does not do what it should, it is _translate().
    """
    global _fastest
    _fastest = _translate
    if sys.platform in ("emscripten", "wasi"):      # which do not call what is of another type
        return _fastest
    try:
        import ctypes
        import _hashlib
        library = ctypes.PyDLL(_hashlib.__file__)       # and what that is linked to
        xor = library.CRYPTO_ofb128_encrypt     # (in, out, length, key, iv, used of it, cipher)
        pointer = ctypes.c_void_p
        xor.argtypes = (pointer, pointer, ctypes.c_size_t, pointer, pointer, pointer, pointer)
        xor.restype = None
        cipher = ctypes.cast(library.memmove, pointer)
        new_iv = (ctypes.c_char * 16).from_buffer_copy

        def native(data, mask, start):
            place = ctypes.byref(ctypes.c_char.from_buffer(data, start))    # held: it cannot move
            used = ctypes.byref(ctypes.c_int(0))
            xor(place, place, len(data) - start, None, new_iv(mask * 4), used, cipher)

        sample, right = bytearray(range(53)), bytearray(range(53))
        native(sample, b"\1\2\4\xff", 3)
        _translate(right, b"\1\2\4\xff", 3)
        if sample == right:
            _fastest = native
    except Exception:       # whatever a platform has against it, there is the other way
        pass
    return _fastest


class Deflate:
    """The parameters of permessage-deflate (RFC 7692): wanted, or agreed on.

    server_no_context_takeover, client_no_context_takeover
              whether that side begins each message anew.  By default both do:
              no memory is held between messages, and a group can share what
              was compressed once.  Small messages that resemble each other
              shrink better with False
    server_max_window_bits, client_max_window_bits
              9 to 15, or 8, how far back that side may refer: memory of up to
              2 ** bits bytes, several times that where it compresses.  12 is
              what the websockets package has
    level     of the compression, 0 to 9
    min_size  bytes below which a message is sent as it is
    """

    __slots__ = ("server_no_context_takeover", "client_no_context_takeover",
                 "server_max_window_bits", "client_max_window_bits", "level", "min_size")

    def __init__(self, server_no_context_takeover=True, client_no_context_takeover=True,
                 server_max_window_bits=12, client_max_window_bits=12, level=6, min_size=64):
        for bits in (server_max_window_bits, client_max_window_bits):
            if bits not in range(8, 16):
                raise ValueError("window bits are 8 to 15, got %r" % (bits,))
        if level not in range(10):
            raise ValueError("a level of compression is 0 to 9, got %r" % (level,))
        self.server_no_context_takeover = bool(server_no_context_takeover)
        self.client_no_context_takeover = bool(client_no_context_takeover)
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.level = level
        self.min_size = max(1, min_size)

    def offer(self):
        """What a client asks for: the value of Sec-WebSocket-Extensions.

        >>> Deflate(True, False, 15, 15).offer()
        'permessage-deflate; server_no_context_takeover; client_max_window_bits'
        """
        text = self._text()
        return text if "client_max_window_bits" in text else text + "; client_max_window_bits"

    def _text(self):
        text = "permessage-deflate"
        for side in ("server", "client"):
            if getattr(self, side + "_no_context_takeover"):
                text += "; %s_no_context_takeover" % side
        for side in ("server", "client"):
            bits = getattr(self, side + "_max_window_bits")
            if bits < 15:
                text += "; %s_max_window_bits=%d" % (side, bits)
        return text

    def _with(self, server_no_context, client_no_context, server_bits, client_bits):
        return Deflate(server_no_context, client_no_context, server_bits, client_bits,
                       self.level, self.min_size)

    def accept(self, header):
        """The server's answer to an offer: (agreed, value of the header), or None.

        The first offer that can be taken is.
        """
        for name, params in parse_extensions(header):
            if name != "permessage-deflate" or params is None:
                continue
            server, client = (params.get(side + "_max_window_bits")
                              for side in ("server", "client"))
            if server is True:
                continue                # only the client's may come without a number
            agreed = self._with(
                self.server_no_context_takeover or "server_no_context_takeover" in params,
                self.client_no_context_takeover or "client_no_context_takeover" in params,
                min(self.server_max_window_bits, server or 15),
                15 if client is None else min(self.client_max_window_bits,
                                              15 if client is True else client))
            return agreed, agreed._text()
        return None

    def agreed(self, header):
        """What a client and a server agree on by the server's answer to offer().

        None if the server wants no compression.  Raises WebSocketError if it
        takes what was not offered.
        """
        found = parse_extensions(header)
        if not found:
            return None
        params = found[0][1]
        if len(found) > 1 or found[0][0] != "permessage-deflate" or params is None:
            raise WebSocketError(PROTOCOL_ERROR, "an extension that was not offered: %r" % header)
        server, client = (params.get(side + "_max_window_bits")
                          for side in ("server", "client"))
        if server is True or client is True or (server or 15) > self.server_max_window_bits \
                or (client or 0) > self.client_max_window_bits \
                or self.server_no_context_takeover and "server_no_context_takeover" not in params:
            raise WebSocketError(PROTOCOL_ERROR, "not the compression that was offered: %r"
                                 % header)
        return self._with(
            "server_no_context_takeover" in params,
            self.client_no_context_takeover or "client_no_context_takeover" in params,
            server or 15, client or self.client_max_window_bits)

    def deflater(self, bits):
        """A new compressor.  zlib has no window of 8 bits; repeating the last
        byte is all that fits in there for certain."""
        import zlib
        if bits == 8:
            return zlib.compressobj(self.level, zlib.DEFLATED, -9, 5, _Z_RLE)
        return zlib.compressobj(self.level, zlib.DEFLATED, -bits, min(8, max(1, bits - 7)))


def parse_extensions(header):
    """[(name, params)] of a Sec-WebSocket-Extensions; params are None if they are
    not those of permessage-deflate, or strange.

    >>> parse_extensions('permessage-deflate; server_max_window_bits="9", x; y=1')
    [('permessage-deflate', {'server_max_window_bits': 9}), ('x', None)]
    """
    found = []
    for item in split_quoted(header, ","):
        name, *texts = [text.strip(" \t") for text in split_quoted(item, ";")]
        params = {}
        for text in texts:
            key, equals, value = text.partition("=")
            key, value = key.strip(" \t"), value.strip(" \t")
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            if params is None or key in params:
                params = None
            elif key in ("server_no_context_takeover", "client_no_context_takeover") and not equals:
                params[key] = True
            elif key in ("server_max_window_bits", "client_max_window_bits") and not equals:
                params[key] = True
            elif key in ("server_max_window_bits", "client_max_window_bits") \
                    and value in ("8", "9", "10", "11", "12", "13", "14", "15"):
                params[key] = int(value)
            else:
                params = None
        if name:
            found.append((name, params))
    return found


class MessageCodec:
    """One end of a WebSocket, after the handshake: bytes in, messages out, and back.

        codec = MessageCodec()
        codec.feed(data)
        codec.next_event()              "text", bytearray(b"binary"), a ControlFrame
        sock.sendall(codec.encode("text"))

    client       whether this is the client's end: that one masks
    max_message  bytes of a message; a longer one is an error when it is
                 declared, or inflated, that long
    deflate      the Deflate that was agreed on, or None

    next_event() returns None when it needs more, and after a close frame.  It
    raises WebSocketError, and ever after.
    """

    def __init__(self, client=False, max_message=MAX_MESSAGE, deflate=None):
        self.client = client
        self.max_message = max_message
        self.deflate = deflate
        self.error = None
        self.closed = False         # a close frame arrived
        self._bit = 128 if client else 0            # in what we send
        self._masked = 128 - self._bit              # in what arrives
        self._buffer = bytearray()
        self._message = None        # what there is of a message, unmasked and inflated
        self._text = False          # it is text
        self._checked = 0           # bytes of it that are known to be UTF-8
        self._packed = False        # its frames are compressed
        self._arrived = 0           # bytes of its frames
        self._final = False         # the frame in work is the last of it
        self._left = None           # bytes of that frame to come; None: none is in work
        self._mask = None           # for the next of them
        self._streams = 0
        self._inflater = self._deflater = None

    def __len__(self):
        """Bytes that are kept here."""
        return len(self._buffer) + len(self._message or b"")

    # -- in -----------------------------------------------------------------

    def feed(self, data):
        """Take what arrived."""
        if self.error is None and not self.closed:
            self._buffer += data

    def next_event(self):
        """The next message or ControlFrame, or None."""
        if self.error is not None:
            raise self.error
        try:
            while True:
                if self._left is None:
                    event = self._frame()
                    if event is not None:
                        return event
                    if self._left is None:
                        return None
                elif self._payload():
                    event = self._end_frame()
                    if event is not None:
                        return event
                else:
                    return None
        except WebSocketError as error:
            self.error = error
            self._forget()
            raise

    def _forget(self):
        self._buffer = bytearray()
        self._message = self._inflater = None

    def _frame(self):
        """Read the head of a frame; a message that is all there, or a control
        frame, at once."""
        buffer = self._buffer
        size = len(buffer)
        if size < 2:
            return None
        first, second = buffer[0], buffer[1]
        length = second & 127
        start = 2
        if length > 125:
            start = 4 if length == 126 else 10
            length = int.from_bytes(buffer[2:start], "big") if size >= start else None
        if (first == 0x81 or first == 0x82) and length is not None \
                and second & 128 == self._masked and self._message is None:
            # What nearly all frames are.  All of it says the same as below.
            end = start + length + (4 if self._masked else 0)
            if size >= end and length <= self.max_message:
                if start > 2:
                    data = self._long(start, length, end)
                elif self._masked:
                    mask = (buffer[2:6] * (length // 4 + 1))[:length]
                    data = (int.from_bytes(buffer[6:end], "little")
                            ^ int.from_bytes(mask, "little")).to_bytes(length, "little")
                    del buffer[:end]
                else:
                    data = bytes(buffer[2:end])
                    del buffer[:end]
                if first == 0x82:
                    return bytearray(data) if start == 2 else data
                try:
                    return data.decode()    # PyPy's str(data, "utf-8") lets surrogates pass
                except UnicodeDecodeError:
                    raise WebSocketError(INVALID_DATA, "a text that is not UTF-8") from None
        self._check_frame(first, second)
        if length is None:
            return None
        opcode = first & 15
        if start > 2:
            self._check_form(start, length)
        if opcode < _CLOSE_FRAME:
            self._check_length(first, opcode, length)
        if self._masked:
            start += 4
        if size < start + (length if opcode >= _CLOSE_FRAME else 0):
            return None
        mask = bytes(buffer[start - 4:start]) if self._masked else None
        del buffer[:start]
        if opcode >= _CLOSE_FRAME:
            return self._control(opcode, length, mask)
        if opcode:
            self._message = bytearray()
            self._text = opcode == _TEXT_FRAME
            self._packed = first & 0x40 != 0
            self._checked = self._arrived = self._streams = 0
        self._final = first & 0x80 != 0
        self._arrived += length
        self._left = length
        self._mask = mask
        return None

    @staticmethod
    def _check_form(start, length):
        """Whether a length in 16 or 64 bits needs them."""
        if length < (126 if start == 4 else 65536):
            raise WebSocketError(PROTOCOL_ERROR, "a length in more bytes than it needs")
        if length >> 63:
            raise WebSocketError(PROTOCOL_ERROR, "a length with its highest bit set")

    def _long(self, start, length, end):
        """The payload of a frame that is all here."""
        self._check_form(start, length)
        buffer = self._buffer
        mask = buffer[start:start + 4]
        if len(buffer) == end:
            del buffer[:end - length]           # the common case: no copy
            data, self._buffer = buffer, bytearray()
        else:
            data = buffer[end - length:end]
            del buffer[:end]
        if self._masked:
            apply_mask(data, mask)
        return data

    def _check_frame(self, first, second):
        """Whether a frame may begin with these two bytes, here and now."""
        opcode = first & 15
        if first & 0x30 or first & 0x40 and (self.deflate is None or opcode not in (1, 2)):
            raise WebSocketError(PROTOCOL_ERROR, "a reserved bit is set")
        if 2 < opcode < 8 or opcode > 10:
            raise WebSocketError(PROTOCOL_ERROR, "a reserved opcode")
        if second & 128 != self._masked:
            raise WebSocketError(PROTOCOL_ERROR, "a frame that is masked" if self.client
                                 else "a frame that is not masked")
        if opcode >= _CLOSE_FRAME:
            if not first & 0x80:
                raise WebSocketError(PROTOCOL_ERROR, "a control frame in fragments")
            if second & 127 > 125:
                raise WebSocketError(PROTOCOL_ERROR, "a control frame of more than 125 bytes")
        elif (opcode == _CONTINUATION) == (self._message is None):
            raise WebSocketError(PROTOCOL_ERROR, "a message within a message" if opcode
                                 else "a continuation of nothing")

    def _check_length(self, first, opcode, length):
        """Refuse a message that is too long before it is here.

        What is compressed may be a bit longer than what it inflates to.
        """
        limit = self.max_message
        packed = first & 0x40 if opcode else self._packed
        if packed:
            limit += 1024 + limit // 64
        if length + (0 if opcode else self._arrived) > limit:
            raise self._too_long()

    def _too_long(self):
        return WebSocketError(MESSAGE_TOO_BIG,
                              "a message of more than %d bytes" % self.max_message)

    def _control(self, opcode, length, mask):
        data = self._buffer[:length]
        del self._buffer[:length]
        if mask is not None:
            apply_mask(data, mask)
        frame = ControlFrame(opcode, bytes(data))
        if opcode == _CLOSE_FRAME:
            self.closed = True
            self._forget()
        return frame

    def _payload(self):
        """Take what is there of a frame of data; True if that is all of it."""
        buffer = self._buffer
        message = self._message
        left = self._left
        if left and not buffer:
            return False
        start = len(message)
        if len(buffer) <= left:
            piece = buffer
            self._buffer = bytearray()
        else:
            piece = buffer[:left]
            del buffer[:left]
        self._left -= len(piece)
        if self._packed:
            start = 0
            data = piece
        elif start:
            message += piece
            data = message
        else:
            data = self._message = piece        # the common case: no copy
        mask = self._mask
        if mask is not None and piece:
            size = len(data) - start
            apply_mask(data, mask, start)
            turn = size & 3
            if turn:
                self._mask = mask[turn:] + mask[:turn]
        if self._packed:
            self._inflate(data)
        if self._text and (self._left or not self._final):
            self._check_text()
        return not self._left

    def _end_frame(self):
        """A frame of data is here; the message, if it is the last."""
        self._left = None
        if not self._final:
            return None
        if self._packed:
            self._inflate(_EMPTY_BLOCK)
            deflate = self.deflate
            if deflate.server_no_context_takeover if self.client \
                    else deflate.client_no_context_takeover:
                self._inflater = None
        message, self._message = self._message, None
        if not self._text:
            return message
        try:
            return message.decode()
        except UnicodeDecodeError:
            raise WebSocketError(INVALID_DATA, "a text that is not UTF-8") from None

    def _check_text(self):
        """Fail as soon as what is here cannot be the beginning of a text."""
        try:
            self._checked += utf_8_decode(self._message[self._checked:], "strict", False)[1]
        except UnicodeDecodeError:
            raise WebSocketError(INVALID_DATA, "a text that is not UTF-8") from None

    def _inflate(self, data):
        """Add to the message what *data* inflates to."""
        import zlib
        message = self._message
        while data:
            inflater = self._inflater
            if inflater is None:
                deflate = self.deflate
                inflater = self._inflater = zlib.decompressobj(-(
                    deflate.server_max_window_bits if self.client
                    else deflate.client_max_window_bits))
            try:
                message += inflater.decompress(data, self.max_message + 1 - len(message))
            except zlib.error:
                raise WebSocketError(INVALID_DATA, "what cannot be inflated") from None
            if len(message) > self.max_message:
                raise self._too_long()
            data = inflater.unconsumed_tail
            if inflater.eof:
                data = inflater.unused_data
                self._inflater = None
                self._streams += 1
                if self._streams > _MAX_STREAMS:
                    raise WebSocketError(POLICY_VIOLATION, "too many deflate streams in a message")

    # -- out ----------------------------------------------------------------

    def encode(self, message, shared=False):
        """The frame of a message: text, or bytes, which go as binary.

        shared  others get the same frame: it must not depend on what went before
        """
        if type(message) is str:
            first = 0x81
            data = message.encode("utf-8")
        else:
            first, data = _payload_of(message)
        deflate = self.deflate
        if deflate is not None and len(data) >= deflate.min_size and not (
                shared and self.shares is None):
            first |= 0x40
            data = self._deflate(data)
        return self._encode_frame(first, data)

    @property
    def shares(self):
        """What shared frames of this end depend on: equal ones can be exchanged.

        None: nothing, as they are not compressed.
        """
        deflate = self.deflate
        if deflate is None or not deflate.server_no_context_takeover:
            return None
        return deflate.server_max_window_bits, deflate.level, deflate.min_size

    def _deflate(self, data):
        """*data* compressed, in the context of this side."""
        deflate = self.deflate
        deflater = self._deflater
        if deflater is None:
            deflater = deflate.deflater(deflate.client_max_window_bits if self.client
                                        else deflate.server_max_window_bits)
            if not (deflate.client_no_context_takeover if self.client
                    else deflate.server_no_context_takeover):
                self._deflater = deflater
        return _deflated(deflater, data)

    def ping(self, data=b""):
        """The frame of a ping; *data*, of at most 125 bytes, comes back."""
        return self._encode_frame(0x89, self._short(data))

    def pong(self, data=b""):
        """The frame of a pong."""
        return self._encode_frame(0x8a, self._short(data))

    def close(self, code=NORMAL_CLOSURE, reason=""):
        """The close frame; see make_close()."""
        return self._encode_frame(0x88, make_close(code, reason))

    @staticmethod
    def _short(data):
        if len(data) > 125:
            raise ValueError("a ping or pong has at most 125 bytes, got %d" % len(data))
        return data

    def _encode_frame(self, first, data):
        size = len(data)
        if size < 126:
            head = bytes((first, self._bit | size))
        elif size < 65536:
            head = bytes((first, self._bit | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((first, self._bit | 127)) + size.to_bytes(8, "big")
        if not self._bit:
            return head + data
        mask = os.urandom(4)
        data = bytearray(data)
        apply_mask(data, mask)
        return b"%b%b%b" % (head, mask, data)


def _payload_of(message):
    """(first byte of the frame, payload) of a message."""
    if isinstance(message, (bytes, bytearray)):
        return 0x82, message
    if isinstance(message, memoryview):
        return 0x82, message.tobytes()
    if isinstance(message, str):
        return 0x81, message.encode("utf-8")
    raise TypeError("a WebSocket carries text or bytes, got %r" % (message,))


def _deflated(deflater, data):
    import zlib
    data = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return data[:-4] if data.endswith(_EMPTY_BLOCK) else data


# ---------------------------------------------------------------------------
# 21. WebSockets
#
# The server's side, beside HTTP on one port, and the client's.  Per connection
# there is a WebSocket, a plain object; per end a component that owns them, has
# one timer for all, and turns messages into events and back.  Invariants: an
# application hears of each WebSocket once that it is open, and once that it is
# gone; after the close frame nothing is sent.
# ---------------------------------------------------------------------------

#: Seconds of silence after which a ping is sent, and those that its answer may
#: take.  Proxies and routers forget what is silent for a minute; the figures
#: are those of the websockets package.
PING_INTERVAL = 20
PING_TIMEOUT = 20

#: Seconds that a peer may take to answer a close frame.
CLOSE_TIMEOUT = 10

#: Bytes that may wait for a peer that reads slowly.
MAX_UNREAD = 16 * 1024 * 1024

#: Messages of one peer that handlers may work on at a time: what others send
#: has its turn after them.  With 1000, one that floods delays them by 0.3 s.
MAX_AHEAD = 100

#: Batches of events that still have their turn before a close is answered:
#: what came with it may want to be answered, too.
_TURNS_BEFORE_CLOSE = 16

# A message of 64 KiB and its head should come in one read; less than 128 KiB,
# for which malloc may begin to ask the system each time.
_LARGE_READ, _LARGER_READ = 60000, 126976

_OPEN, _CLOSING, _OVER = "open", "closing", "over"
_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class _Room(Waiting):
    """Wait until the peer of a WebSocket can take more."""

    __slots__ = ("ws",)

    def __init__(self, ws):
        super().__init__()
        self.ws = ws

    def install(self):
        ws = self.ws
        if ws.state == _OPEN and getattr(ws.sock, "slow", False):
            ws.waiters = (ws.waiters or []) + [self]
        else:
            self.finish()

    def withdraw(self):
        if self.ws.waiters and self in self.ws.waiters:
            self.ws.waiters.remove(self)


class _Message(Waiting):
    """Wait for the next message of a WebSocket."""

    __slots__ = ("ws",)

    def __init__(self, ws):
        super().__init__()
        self.ws = ws

    def install(self):
        ws = self.ws
        if ws.reader is not None or ws.inbox is None:
            return self.finish(None, RuntimeError(
                "somebody waits for its next message already" if ws.inbox is not None else
                "its messages are events: give talk= to have them here"))
        ws.reader = self
        ws._deliver()

    def withdraw(self):
        if self.ws.reader is self:
            self.ws.reader = None


class _Talk:
    """Waits for the end of a talk."""

    __slots__ = ("event", "ws")

    def __init__(self, event, ws):
        self.event = event
        self.ws = ws

    @property
    def takes_errors(self):
        """That the peer has gone, which send() says, is no error of the program."""
        return self.ws.state == _OVER and isinstance(self.event._value._error, NotConnected)

    def event_done(self, event):
        self.ws.part(INTERNAL_ERROR if event._value.errors else None)


class WebSocket:
    """One WebSocket, from its handshake on.

    sock          the connection, the key that events about it carry; until it
                  is gone its attribute *upper* is this object, else None
    request       of a server: the opening HTTPRequest, with its session
    subprotocol   what was agreed on, or None
    state         "open"; "closing": we said so, the peer did not yet; "over"
    closed        it has ended, or is about to: we said so, or the peer
    code, reason  of the end: the peer's, or what it was told when it broke the
                  rules; 1005 if it gave none, 1006 if it left without a word
    waiting       bytes that were written and the peer has not taken yet
    groups        the groups it is a member of, a set, or None

    Use it in the thread of the tree only.
    To call: send(message), part(code, reason), ping(data).
    To yield or await: room(), and with talk= next(), or ``async for``.
    Of a group: kind, closed, encode(message), write(frame), close(reason).
    Of HTTP: begin(), receive(data), drained(), lost(), going_away().
    """

    __slots__ = ("end", "key", "codec", "request", "subprotocol", "sock", "state", "code",
                 "reason", "groups", "due", "heard", "pinged", "waiters", "last", "ahead",
                 "ahead_bytes", "held", "inbox", "reader")

    def __init__(self, end, key, codec, sock=None, request=None, subprotocol=None):
        self.end = end
        self.key = key              # the first arguments of events: (sock,), or ()
        self.codec = codec
        self.sock = sock
        self.request = request
        self.subprotocol = subprotocol
        self.state = _OPEN
        self.code = None
        self.reason = ""
        self.groups = None
        self.due = None             # when overdue() is called
        self.heard = False          # something arrived since it was called
        self.pinged = False         # a ping waits for its answer
        self.waiters = None         # those who wait for room
        self.last = None            # (reference to the event, size) of the last message
        self.ahead = 0              # messages whose handlers are not through
        self.ahead_bytes = 0        # in them
        self.held = False           # they are too many: nothing is read
        self.inbox = None           # messages that next() has not taken; None: they are events
        self.reader = None          # the _Message of who waits for one

    def __repr__(self):
        return "<WebSocket %s%s>" % (self.state, " %d %s" % (self.code, self.reason)
                                     if self.code else "")

    # -- the life -----------------------------------------------------------

    def begin(self):
        """The handshake is done."""
        end = self.end
        if hasattr(self.sock, "upper"):
            self.sock.upper = self
        end.sockets[self.key[0] if self.key else None] = self
        if end.ping_interval is not None:
            self.due = end.root.clock() + end.ping_interval
            end._watch()
        end._opened(self)
        if end.talk is not None:
            self.inbox = deque()
            end._begin_talk(self)

    def receive(self, data):
        """Bytes arrived."""
        self.heard = True
        if self.state == _OVER:
            return                  # until the transport has closed it
        if len(data) > _LARGE_READ and hasattr(self.sock, "appetite"):
            self.sock.appetite = _LARGER_READ
        self.codec.feed(data)
        if not self.held:
            self._take()

    def _take(self):
        """Pass on what has arrived."""
        end, codec = self.end, self.codec
        pongs = None
        try:
            while not self.held:
                message = codec.next_event()
                if message is None:
                    break
                if type(message) is ControlFrame:
                    if message.opcode == _PING_FRAME:
                        pongs = pongs or []
                        pongs.append(codec.pong(message.data))
                    elif message.opcode == _CLOSE_FRAME:
                        self._closed_by_peer(message)
                    elif self.pinged and self.state == _OPEN:
                        self.heard = self.pinged = False
                        self.due = end.root.clock() + end.ping_interval
                elif self.state != _OPEN:
                    pass
                elif self.inbox is not None:
                    self.inbox.append(message)
                    self._count(len(message))
                    self._deliver()
                else:
                    event = end._reactor.tell(end, Read, end._above, *self.key, message)
                    if event is not None:
                        event.request = self.request
                        last, self.last = self.last, (ref(event), len(message))
                        if last is not None:
                            event, size = last[0](), last[1]
                            if event is not None and event._state != DONE:
                                event.size = size
                                _when_done(event, self)
                                self._count(size)
        except WebSocketError as error:
            self._fail(error)
        if pongs:
            self.write(b"".join(pongs))

    def _count(self, size):
        """A message came while the handlers of the one before are not through:
        from a number of those on, nothing is read from the peer."""
        end = self.end
        self.ahead += 1
        self.ahead_bytes += size
        if self.ahead > end.max_ahead or self.ahead_bytes > end.max_ahead_bytes:
            self.held = True
            end._hold(self, True)

    def event_done(self, event):
        """The handlers of a message that was counted are through."""
        self._uncount(event.size)

    def _uncount(self, size):
        end = self.end
        self.ahead -= 1
        self.ahead_bytes -= size
        if self.held and self.ahead <= end.max_ahead // 2 \
                and self.ahead_bytes <= end.max_ahead_bytes // 2:
            self._go_on()

    def _deliver(self):
        """Give who waits for it the next message, or the end."""
        reader = self.reader
        if reader is None:
            return
        if self.inbox:
            message = self.inbox.popleft()
            reader.finish(message)
            self._uncount(len(message))
        elif self.state != _OPEN or self.codec.closed:
            reader.finish(None)

    def _go_on(self):
        self.held = False
        self._take()
        if not self.held:
            self.end._hold(self, False)

    def drained(self):
        """The peer took most of what waited for it."""
        waiters, self.waiters = self.waiters, None
        for waiting in waiters or ():
            waiting.finish()
        if self.held:
            self.end._hold(self, True)      # from which the transport reads again

    def lost(self):
        """The connection has ended."""
        self.state = _OVER
        self.held = False           # what was held is nobody's, and its end may have the next one
        if self.code is None:
            self.code = ABNORMAL_CLOSURE
        self.drained()
        self._deliver()
        end = self.end
        end.sockets.pop(self.key[0] if self.key else None, None)
        if hasattr(self.sock, "upper"):
            self.sock.upper = None
        for group in tuple(self.groups or ()):
            group.discard(self)
        end._lost(self)

    def overdue(self, now):
        """The time that was set is over: send a ping, or give the peer up."""
        end = self.end
        self.due = None
        if self.state != _OPEN or self.codec.closed:
            if self._takes():
                return self._hurry()        # what it was sent before the close frame
            if self.code is None:
                self.reason = "no answer to a close frame"
            return end._abort(self)
        if self.held:
            self.heard = True               # it may be talking: it is we who do not listen
            end._put(self, self.codec.ping())       # fails, some time, if it has gone
        elif self._takes():
            self.heard = True               # so it is alive
        if self.heard:
            self.heard = self.pinged = False
            self.due = now + end.ping_interval
        elif self.pinged:
            self.state = _OVER
            self.reason = "no answer to a ping"
            end._abort(self)
        else:
            self.pinged = end.ping_timeout is not None
            self.due = now + (end.ping_timeout or end.ping_interval)
            end._put(self, self.codec.ping())

    def _takes(self):
        """Whether the peer took some of what waits since this was asked last."""
        sock = self.sock
        moved = self.waiting and getattr(sock, "moved", False)
        if moved:
            sock.moved = False
        return moved

    # -- the end ------------------------------------------------------------

    def part(self, code=None, reason=""):
        """Send a close frame, and nothing after it; the peer answers, and the
        connection is closed.

        code    1000, or what the peer's close frame says
        reason  a text of at most 123 bytes

        ValueError if that cannot be sent.
        """
        if self.state != _OPEN:
            return
        closed = self.codec.closed
        if code is None:
            code = NORMAL_CLOSURE if not closed else self.code if self.code != NO_STATUS else None
        end = self.end
        frame = self.codec.close(code, reason)
        self.state = _CLOSING
        end._put(self, frame)
        self._deliver()
        if closed:
            return self._finish()
        self._hurry()
        if self.held:
            self._go_on()           # its answer is behind what is held

    def going_away(self):
        """The process is to end: tell the peer."""
        self.part(GOING_AWAY)

    def leave(self):
        """Tell the peer, and wait for no answer: who owns us leaves the tree."""
        if self.state != _OVER:
            self.going_away()
            self.state = _OVER
            self.due = None
            self.end._hang_up(self)

    def _hurry(self):
        """The peer has close_timeout seconds left."""
        self.due = self.end.root.clock() + self.end.close_timeout
        self.end._watch()

    def _closed_by_peer(self, frame):
        self.code, self.reason = frame.code, frame.reason
        if self.state == _CLOSING:
            self._finish()
        else:
            self._hurry()
            self._deliver()
            if self.inbox is None:          # else when the talk is over
                self._answer_close(_TURNS_BEFORE_CLOSE)

    def _answer_close(self, turns):
        """Have close(sock) answer the peer's close frame, when what is in the
        queue had its turn."""
        end = self.end
        if self.state != _OPEN:
            return
        if turns and end._reactor.queue:
            end._reactor.call_soon(lambda: self._answer_close(turns - 1))
        else:
            end._reactor.tell(end, Close, end._above, *self.key)

    def _finish(self):
        """Both have sent their close frame: the server closes first."""
        self.state = _OVER
        if self.codec.client:
            self._hurry()
        else:
            self.due = None
            self.end._hang_up(self)

    def _fail(self, error):
        """The peer broke the rules: tell it, and close."""
        if self.state == _OPEN:
            self.end._put(self, self.codec.close(error.code, error.reason))
        self.state = _OVER
        self.due = None
        self.code, self.reason = error.code, error.reason
        error.__traceback__ = None      # its frames hold us, and the codec holds it
        self._deliver()
        self.end._hang_up(self)

    # -- out ----------------------------------------------------------------

    def send(self, message):
        """Send text, or bytes as a binary message; ignored when it is not open.

        In a talk NotConnected is raised when the peer has gone: most loops that
        send should end there, and it is no error of the program.
        """
        if self.state == _OPEN:
            self.write(self.codec.encode(message))
        elif self.inbox is not None and self.state == _OVER:
            raise NotConnected("the WebSocket has ended: %s" % (self.code or "we left"))

    def next(self):
        """To yield or await where talk= is given: the next message; None when it
        is over."""
        return _Message(self)

    def __aiter__(self):
        return self

    async def __anext__(self):
        message = await self.next()
        if message is None:
            raise StopAsyncIteration
        return message

    def room(self):
        """To yield or await before sending more: over at once, unless the peer
        is slow; then when it has taken most of what waits, or is gone."""
        return _Room(self)

    def ping(self, data=b""):
        """Send a ping; the answer only shows that the peer is alive."""
        if self.state == _OPEN:
            self.end._put(self, self.codec.ping(data))

    @property
    def waiting(self):
        return getattr(self.sock, "pending", 0)

    def write(self, frame):
        """Send what encode() made; a peer for which too much waits is given up."""
        if self.state == _OPEN:
            end = self.end
            limit = end.max_waiting
            if limit is not None and getattr(self.sock, "pending", 0) > limit:
                self.close("too slow")
            else:
                end._reactor.tell(end, Write, end._below, *self.key, frame)

    def close(self, reason):
        """Part, as the peer is too slow."""
        self.part(TRY_AGAIN_LATER, reason)

    @property
    def closed(self):
        return self.state != _OPEN or self.codec.closed

    @property
    def kind(self):
        """Members of one kind can be sent the same frames."""
        return "websocket", self.codec.shares

    def encode(self, message):
        """The frame of a message, for all members of this kind."""
        return self.codec.encode(message, shared=True)


class WebSocketEnd(BaseComponent):
    """What WebSockets, WebSocketCodec and WebSocketClient share.

    max_message    bytes of a message, when inflated; a longer one ends the
                   WebSocket with code 1009
    ping_interval  seconds of silence after which a ping is sent; None: never
    ping_timeout   seconds that its answer may take; None: any time
    close_timeout  seconds that the answer to a close frame may take
    max_waiting    bytes that may wait for a peer; when there are more, the next
                   message ends the WebSocket with code 1013; None: no limit
    max_ahead      messages of a peer whose handlers are not through, tasks as
                   well; with more of them, or with four times max_message
                   bytes, nothing is read from it until they are half as many
    compress       offer, or accept, permessage-deflate: True, or a Deflate.
                   By default not: it costs more time than most networks do
    talk           a coroutine function, or one that yields, called with each
                   WebSocket that opens.  Messages are then no events: it takes
                   them one after another, and is read from no faster.  When it
                   ends, the WebSocket does: with 1011 if it failed

        async def echo(ws):
            async for message in ws:            # or: message = yield ws.next()
                ws.send(message)

        server + WebSockets("/echo", talk=echo)

    sockets        the WebSockets that are open, or about to end, by their sock

    To override: _opened(ws), _lost(ws), _hang_up(ws), _transport_of(ws)
    """

    def __init__(self, channel, above, max_message=MAX_MESSAGE, ping_interval=PING_INTERVAL,
                 ping_timeout=PING_TIMEOUT, close_timeout=CLOSE_TIMEOUT, max_waiting=MAX_UNREAD,
                 max_ahead=MAX_AHEAD, compress=False, talk=None):
        for name, seconds in (("ping_interval", ping_interval), ("ping_timeout", ping_timeout),
                              ("close_timeout", close_timeout)):
            if not seconds > 0 if seconds is not None else name == "close_timeout":
                raise ValueError("%s is a number of seconds, got %r" % (name, seconds))
        if not isinstance(compress, (bool, Deflate)):
            raise TypeError("compress is True, False or a Deflate, got %r" % (compress,))
        super().__init__(channel=channel)
        self._above = above
        self._below = self.channel
        self.max_message = max_message
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.close_timeout = close_timeout
        self.max_waiting = max_waiting
        self.max_ahead = max_ahead
        self.max_ahead_bytes = 4 * max_message
        self.talk = talk
        self.deflate = Deflate() if compress is True else compress or None
        self.sockets = {}
        self._sweeper = None
        self._period = max(0.01, min([1.0, close_timeout / 4] + [
            seconds / 4 for seconds in (ping_interval, ping_timeout) if seconds]))
        for name, method in (("write", self._on_message), ("close", self._on_close_told)):
            self.addHandler(_listener(name, above, method))

    def _opened(self, ws):
        """To override: the handshake is done."""

    def _lost(self, ws):
        """To override: the connection has ended."""

    def _begin_talk(self, ws):
        try:
            talk = self.talk(ws)
            if not isinstance(talk, (GeneratorType, CoroutineType)):
                raise TypeError("talk is a coroutine function, or one that yields, got %r"
                                % (self.talk,))
        except Exception as error:
            self._reactor.failed(None, None, error)
            return ws.part(INTERNAL_ERROR)
        event = Event()             # without ws: it is a cycle with its Value
        event.channels = (self._above,)
        event._waiters = [_Talk(event, ws)]
        event._state = SPECIAL
        event._value = Value(event, self)
        self.registerTask((event, talk))

    def _put(self, ws, data):
        self._reactor.tell(self, Write, self._below, *ws.key, data)

    def _hang_up(self, ws):
        """To override: close the connection, when what was written is out."""
        self._reactor.tell(self, Close, self._below, *ws.key)

    def _transport_of(self, ws):
        """To override: the component that owns the connection, or None."""

    def _abort(self, ws):
        """Close the connection now."""
        transport = self._transport_of(ws)
        if hasattr(transport, "abort"):
            transport.abort(ws.sock)
        else:
            self._hang_up(ws)

    def _hold(self, ws, hold):
        """Have the transport stop, or go on, reading."""
        sock, poller = ws.sock, self._reactor.poller
        transport = self._transport_of(ws)
        if poller is None or not hasattr(sock, "closing") or not hasattr(transport, "abort"):
            return
        if hold:
            poller.removeReader(sock)
        elif sock.fileno() >= 0 and not (sock.slow or sock.ended or sock.closing):
            poller.addReader(transport, sock)

    # -- what the application says ------------------------------------------

    def _on_message(self, *args):
        """write(sock, data), or at a client write(data)."""
        ws = self.sockets.get(args[0] if len(args) == 2 else None)
        if ws is not None:
            ws.send(args[-1])

    def _on_close_told(self, *args):
        """close(sock, code, reason), or at a client close(code, reason)."""
        if args and not isinstance(args[0], int):
            ws, args = self.sockets.get(args[0]), args[1:]
        else:
            ws = self.sockets.get(None)
        if ws is not None:
            ws.part(*args)

    @_own_step
    @handler("read_value_changed")
    def _on_read_value_changed(self, value):
        """Send back what handlers of read returned, each result once."""
        for reply in _new_replies(value):
            self._on_message(*value.event.args[:-1], reply)

    # -- time ---------------------------------------------------------------

    def _watch(self):
        if self._sweeper is None:
            self._sweeper = self._reactor.call_later(self._period, self._sweep)

    def _sweep(self):
        """Look for what is overdue; one timer for all."""
        self._sweeper = None
        now = self.root.clock()
        watched = [ws for ws in self.sockets.values() if ws.due is not None]
        for ws in watched:
            if ws.due is not None and ws.due <= now:
                ws.overdue(now)
        if watched:
            self._watch()

    def _moved(self, old):
        if self._sweeper is not None:       # a timer of the old tree
            old.cancel(self._sweeper)
            self._sweeper = None
            self._watch()

    @_own_step
    @handler("stopped", channel="*", priority=1)
    def _on_stopped(self, component=None, *args):
        """Before the transports close: tell the peers."""
        if component is self.root:
            self._leave_all()

    @_own_step
    @handler("prepare_unregister", channel="*", priority=1)
    def _on_prepare_unregister(self, event, component):
        if event.in_subtree(self):
            self._leave_all()

    def _leave_all(self):
        for ws in list(self.sockets.values()):
            ws.leave()


def _listener(name, channel, method, **options):
    """A handler of *name* on *channel* that calls *method*."""
    def listen(self, *args):
        return method(*args)
    listen.__name__ = "_on_%s_of_%s" % (name, channel)
    return _own_step(handler(name, channel=channel, **options)(listen))


class WebSocketCodec(WebSocketEnd):
    """Speaks WebSocket over its parent's connection, after the handshake.

        WebSocketCodec(sock).register(server)       the server's end, of one sock
        WebSocketCodec().register(client)           the client's end

    sock     the connection; without one, that of a client
    data     what has arrived behind the handshake
    channel  where the application is: read, write, close
    options  those of WebSocketEnd; compress is the Deflate that was agreed on

    Listens:  on the parent's channel: read, disconnect, disconnected;
              on its own: write(data), close(code, reason), both with the sock
              in front if it has one
    Fires:    read(message), on its own channel, with the sock as well: str for
              text, bytearray for binary; close(), when the peer wants to

    WebSockets and WebSocketClient do the handshake as well.
    """

    channel = "ws"

    def __init__(self, sock=None, data=b"", channel=None, **options):
        if isinstance(data, str):           # WebSocketCodec(sock, channel)
            data, channel = b"", data
        channel = channel or self.channel
        super().__init__(channel, channel, **options)
        self._sock = sock
        self._data = data

    def register(self, parent):
        if parent.channel == self.channel:
            raise ValueError("the channel of a WebSocketCodec is not that of its transport, %r"
                             % (self.channel,))
        super().register(parent)
        self._below = parent.channel
        key = () if self._sock is None else (self._sock,)
        ws = WebSocket(self, key, MessageCodec(not key, self.max_message, self.deflate),
                       self._sock if key else getattr(parent, "sock", None))
        for name, method in (("read", self._on_read), ("disconnect", self._on_disconnect),
                             ("disconnected", self._on_disconnect), ("drain", self._on_drain)):
            self.addHandler(_listener(name, self._below, method, priority=10,
                                      filter=name == "read"))
        ws.begin()
        data, self._data = self._data, b""
        if data:
            ws.receive(data)
        return self

    def _on_read(self, *args):
        ws = self.sockets.get(args[0] if len(args) == 2 else None)
        if ws is not None:
            ws.receive(args[-1])
            return True

    def _on_disconnect(self, *args):
        ws = self.sockets.get(args[0] if args else None)
        if ws is not None:
            ws.lost()

    def _on_drain(self, *args):
        ws = self.sockets.get(args[0] if args else None)
        if ws is not None:
            ws.drained()

    def _lost(self, ws):
        self.unregister()

    def _transport_of(self, ws):
        return self.parent


class WebSockets(WebSocketEnd):
    """Accepts WebSockets, on the port of an HTTP server.

        class Echo(Component):

            channel = "ws"

            def read(self, sock, message):
                self.fire(Write(sock, message))

        server + WebSockets("/ws") + Echo()

    path          where it answers, and below; default: wherever a client asks
                  for a WebSocket
    wschannel     where the application is
    origins       pages of which sites may connect besides our own, as browsers
                  say it: "https://example.com"; "*" for any.  What sends no
                  Origin is no browser, and may.  AllowedHosts keeps off those
                  whose name was made to mean your address (DNS rebinding)
    subprotocols  those spoken here; of what a client offers the first of them
                  is agreed on.  None: its first, whatever it is
    options       those of WebSocketEnd

    Listens:  request; on wschannel write(sock, message), and close(sock,
              code=1000, reason="")
    Fires:    on wschannel connect(sock, host, port), when the answer went out;
              read(sock, message), str for text, bytearray for binary;
              close(sock), when the peer wants to; disconnect(sock)

    connect, read and disconnect have an attribute *request*, the opening
    HTTPRequest with its cookies and session; disconnect has *code* and *reason*
    as well.  Elsewhere sock.upper, the WebSocket, has them.  What a handler of
    read returns (text or bytes) is sent back.  Who sends much had better say
    ``await sock.upper.room()`` in between.
    """

    channel = "web"

    def __init__(self, path=None, wschannel="ws", channel=None, *, origins=(), subprotocols=None,
                 **options):
        channel = channel or self.channel
        if wschannel == channel:
            raise ValueError("wschannel is a channel of its own, not that of the server: got %r"
                             % (wschannel,))
        if isinstance(origins, str):
            origins = (origins,)
        if isinstance(subprotocols, str):
            subprotocols = (subprotocols,)
        super().__init__(channel, wschannel, **options)
        self.path = None if path is None else "/" + path.strip("/")
        self.origins = frozenset(map(_origin, origins))
        self.subprotocols = subprotocols

    @_own_step
    @handler("request", filter=True, priority=-0.8)
    def _on_request(self, event, request, response, peer_cert=None):
        if answered(event) or not self._is_ours(request):
            return None
        problem = self._problem(request)
        if problem is not None:
            if request.headers.get("Sec-WebSocket-Version") != "13":
                response.headers["Sec-WebSocket-Version"] = "13"
            return HTTPError(request, response, 400, description=problem)
        if not self._origin_fits(request):
            return HTTPError(request, response, 403, description=(
                "The page is of another site.  See origins= of WebSockets; a proxy has to pass "
                "Host on, or X-Forwarded-Host to a ReverseProxy."))
        return self._accept(request, response)

    def _is_ours(self, request):
        path = self.path
        if path is None:
            return "websocket" in _tokens(request.headers.get("Upgrade", ""))
        return request.path == path or path == "/" or request.path.startswith(path + "/")

    @staticmethod
    def _problem(request):
        """What is wrong with an opening handshake; None if nothing is (RFC 6455, 4.2.1)."""
        headers = request.headers
        if request.method != "GET" or request.protocol < (1, 1):
            return "a WebSocket begins with GET and HTTP/1.1"
        if "websocket" not in _tokens(",".join(headers.get_all("Upgrade"))):
            return "no \"Upgrade: websocket\" header"
        if "upgrade" not in _tokens(",".join(headers.get_all("Connection"))):
            return "no \"Connection: Upgrade\" header"
        if headers.get_all("Sec-WebSocket-Version") != ["13"]:
            return "a version of WebSocket other than 13"
        keys = headers.get_all("Sec-WebSocket-Key")
        if len(keys) != 1 or not _is_websocket_key(keys[0]):
            return "no proper Sec-WebSocket-Key"
        if request._head is not None and request._head.has_body:
            return "a body in an opening handshake"
        return None

    def _origin_fits(self, request):
        """Whether the page that asks is ours, or one that may."""
        origins = request.headers.get_all("Origin")
        if not origins or "*" in self.origins:
            return True
        origin = origins[0].lower()
        if len(origins) > 1:
            return False
        if origin in self.origins:
            return True
        scheme, _, host = origin.partition("://")
        port = {"http": ":80", "https": ":443"}.get(scheme)
        if port is None or not host:
            return False
        netloc = request.netloc.lower()
        return (host[:-len(port)] if host.endswith(port) else host) == (
            netloc[:-len(port)] if netloc.endswith(port) else netloc)

    def _accept(self, request, response):
        headers = response.headers
        asked = request.headers
        response.code = 101
        headers["Upgrade"] = "websocket"
        headers["Connection"] = "Upgrade"
        headers["Sec-WebSocket-Accept"] = _accept_key(asked["Sec-WebSocket-Key"])
        offered = [name for name in (name.strip(" \t") for name in ",".join(
            asked.get_all("Sec-WebSocket-Protocol")).split(",")) if is_token(name)]
        chosen = self.select_subprotocol(offered) if offered else None
        if chosen is not None:
            if chosen not in offered:
                raise ValueError("select_subprotocol() takes one of %r, got %r" % (offered, chosen))
            headers["Sec-WebSocket-Protocol"] = chosen
        agreed = self.deflate
        if agreed is not None:
            agreed, text = self.deflate.accept(",".join(
                asked.get_all("Sec-WebSocket-Extensions"))) or (None, None)
            if agreed is not None:
                headers["Sec-WebSocket-Extensions"] = text
        sock = request.sock
        response.heir = WebSocket(self, (sock,), MessageCodec(False, self.max_message, agreed),
                                  sock, request, chosen)
        return response

    def select_subprotocol(self, subprotocols):
        """To override: which of those that a client offers is spoken; None: none."""
        for name in subprotocols:
            if self.subprotocols is None or name in self.subprotocols:
                return name
        return None

    def _opened(self, ws):
        remote = ws.request.remote
        self._announce(ws, Connect, remote.ip, remote.port)

    def _lost(self, ws):
        event = self._announce(ws, Disconnect)
        if event is not None:
            event.code, event.reason = ws.code, ws.reason

    def _announce(self, ws, event_class, *args):
        event = self._reactor.tell(self, event_class, self._above, ws.sock, *args)
        if event is not None:
            event.request = ws.request
        return event

    def _transport_of(self, ws):
        return getattr(ws.request.server, "server", None)


class WebSocketsDispatcher(WebSockets):
    """WebSockets, by the name and with the channel of the current release."""

    def __init__(self, path=None, wschannel="wsserver", channel=None, **options):
        super().__init__(path, wschannel, channel, **options)


def _origin(text):
    """An origin as browsers say it: without the usual port.

    >>> _origin("HTTPS://Example.com:443/")
    'https://example.com'
    """
    origin = text.lower().rstrip("/")
    if "://" not in origin and origin not in ("*", "null"):
        raise ValueError('an origin is "*", "null" or like "https://example.com", got %r' % (text,))
    usual = ":443" if origin.startswith("https:") else ":80"
    return origin[:-len(usual)] if origin.endswith(usual) else origin


def _is_websocket_key(text):
    """Whether *text* is 16 bytes in Base64."""
    from binascii import Error
    from binascii import a2b_base64
    from binascii import b2a_base64
    try:
        data = a2b_base64(text)
    except (Error, ValueError):
        return False
    return len(data) == 16 and b2a_base64(data, newline=False).decode() == text


def _accept_key(key):
    """The answer to a Sec-WebSocket-Key (RFC 6455, 4.2.2).

    >>> _accept_key("dGhlIHNhbXBsZSBub25jZQ==")
    's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    from binascii import b2a_base64
    from hashlib import sha1
    return b2a_base64(sha1(key.encode("latin-1") + _WEBSOCKET_GUID).digest(),
                      newline=False).decode()


def _split_websocket_url(url):
    """(secure, netloc, host, port, resource) of a ws or wss address.

    >>> _split_websocket_url("wss://[::1]/chat?x=1")
    (True, '[::1]', '::1', 443, '/chat?x=1')
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in ("ws", "wss") or not rest:
        raise ValueError("a WebSocket address begins with ws:// or wss://, got %r" % (url,))
    if not (url.isascii() and url.isprintable()) or " " in url or "#" in url:
        raise ValueError("a WebSocket address is printable ASCII without a fragment; quote() "
                         "what is not: got %r" % (url,))
    cut = min([rest.find(c) for c in "/?" if c in rest], default=len(rest))
    netloc, resource = rest[:cut], rest[cut:]
    if "@" in netloc:
        raise ValueError("credentials have no place in a WebSocket address: give "
                         "headers={\"Authorization\": ...}")
    if not netloc or not valid_host(netloc):
        raise ValueError("a WebSocket address has a host, got %r" % (url,))
    secure = scheme.lower() == "wss"
    host, port = netloc, ""
    if not netloc.endswith("]"):
        host, _, port = netloc.rpartition(":") if ":" in netloc else (netloc, "", "")
    if port and not 0 < int(port) < 65536:
        raise ValueError("a port is 1 to 65535, got %r" % (url,))
    if not resource.startswith("/"):
        resource = "/" + resource
    return secure, netloc, host.strip("[]"), int(port) if port else 443 if secure else 80, resource


class WebSocketClient(WebSocketEnd):
    """Connects to a WebSocket server.

        class Chat(Component):

            channel = "ws"

            def connected(self, host, port):
                self.fire(Write("Hello"))

            def read(self, message):
                print(message)

        (Chat() + WebSocketClient("ws://127.0.0.1:8000/chat")).run()

    url           ws:// or wss://, where the server must prove who it is
    channel       where the transport is, a TCPClient: connect, connected, ...
    wschannel     where the application is
    headers       further ones of the handshake: a dict, or pairs
    subprotocols  those that are offered; *subprotocol* is what was agreed on
    reconnect     connect again when the connection is lost, or refused, until
                  close(); see TCPClient
    connect_timeout, handshake_timeout
                  seconds until there is a connection, and then an answer
    options       those of WebSocketEnd; with wss those of TCPClient's connect:
                  verify, ca_certs, certfile, keyfile, password, server_hostname,
                  and secure, an SSLContext

    Listens:  on channel connect(); on wschannel write(message), and
              close(code=1000, reason="")
    Fires:    on wschannel connected(host, port), when it is open;
              read(message), str for text, bytearray for binary; close(), when
              the server wants to; disconnected(), with *code* and *reason*;
              unreachable(host, port, error), if it could not be opened

    It connects by itself when its tree runs.  ``yield self.call(Connect(),
    "wsclient")`` waits until it is open, and raises NotConnected if it cannot
    be; what is written until then is sent when it is.  Beside WebSockets in one
    tree one of them needs another wschannel: both have "ws" by default.
    """

    channel = "wsclient"

    def __init__(self, url, channel=None, wschannel="ws", headers=None, *, subprotocols=(),
                 reconnect=False, connect_timeout=5, handshake_timeout=10, verify=True,
                 ca_certs=None, certfile=None, keyfile=None, password=None, server_hostname=None,
                 secure=None, **options):
        channel = channel or self.channel
        if wschannel == channel:
            raise ValueError("wschannel is a channel of its own, not that of the transport: got %r"
                             % (wschannel,))
        super().__init__(channel, wschannel, **options)
        self.url = url
        self._secure, self._netloc, self._host, self._port, self._resource = \
            _split_websocket_url(url)
        self._headers = self._check_headers(headers)
        self._subprotocols = [subprotocols] if isinstance(subprotocols, str) else list(subprotocols)
        for name in self._subprotocols:
            if not is_token(name):
                raise ValueError("a subprotocol is a token, got %r" % (name,))
        self.reconnect = reconnect
        self.handshake_timeout = handshake_timeout
        self.response = None        # the Head of the server's answer
        self._tls = {}
        if self._secure:
            self._tls = {"verify": verify, "ca_certs": ca_certs, "certfile": certfile,
                         "keyfile": keyfile, "password": password,
                         "server_hostname": server_hostname}
            if secure is not None:
                self._secure = secure
                self._tls = {"server_hostname": server_hostname}
        self._parser = None         # reads the answer to a handshake
        self._key = None
        self._opening = None        # the Outcome of an attempt
        self._early = []            # messages written before it is open
        self._timer = None
        self._failures = 0          # handshakes refused since the last success
        self._transport = TCPClient(channel=self.channel, connect_timeout=connect_timeout,
                                    reconnect=reconnect).register(self)

    @staticmethod
    def _check_headers(headers):
        pairs = [check_header(name, value) for name, value in (
            headers.items() if hasattr(headers, "items") else headers or ())]
        for name, value in pairs:
            if name.lower() in ("upgrade", "connection", "content-length", "transfer-encoding") \
                    or name.lower().startswith("sec-websocket-"):
                raise ValueError("the header %s of a handshake is our own" % name)
        return pairs

    @property
    def websocket(self):
        """The WebSocket; None unless it is open, or about to end."""
        return self.sockets.get(None)

    @property
    def connected(self):
        """Whether it is open."""
        ws = self.websocket
        return ws is not None and ws.state == _OPEN

    @property
    def subprotocol(self):
        return None if self.websocket is None else self.websocket.subprotocol

    def close(self, code=NORMAL_CLOSURE, reason=""):
        """Close it, or give up to open it; no more attempts are made."""
        self._transport.reconnect = False
        ws = self.websocket
        if ws is not None:
            ws.part(code, reason)
        else:
            self._failed(NotConnected("%s was closed before it was open" % self.url))
            self._transport.close()

    # -- connecting ---------------------------------------------------------

    @_own_step
    @handler("ready")
    def _on_ready(self, component, *args):
        if component is self._transport:
            self._begin()

    @_own_step
    @handler("connect", priority=0.1, filter=True)
    def _on_connect(self, event, *args):
        """Connect, unless that is done or under way; our url says where to."""
        if args and hasattr(args[0], "fileno"):
            return None                     # what a server on our channel says
        opening = self._begin()
        return opening if event._waiters else True

    def _begin(self):
        """Start an attempt, or find the one that is under way."""
        if self._opening is None:
            self._opening = Outcome()
            if self.connected:
                opening, self._opening = self._opening, None
                opening.finish(True)
                return opening
            self._transport.reconnect = self.reconnect
            self._dial()
        return self._opening

    def _dial(self):
        """Have the transport connect, unless it is, or is about to be."""
        if not self._transport.connected and self._transport._connecting is None:
            try:
                self._transport.connect(self._host, self._port, self._secure, **self._tls)
            except BaseException:
                self._opening = None
                raise

    @_own_step
    @handler("connected")
    def _on_connected(self, host, port):
        """There is a connection: ask for a WebSocket."""
        if not self._transport.connected or self._parser is not None or self.sockets:
            return
        if self._opening is None:           # it connected again
            self._opening = Outcome()
        from binascii import b2a_base64
        self._parser = ResponseParser()
        self._parser.expect("GET")
        self._key = b2a_base64(os.urandom(16), newline=False).decode()
        own = {name.lower() for name, _ in self._headers}
        pairs = [] if "host" in own else [("Host", self._netloc)]
        pairs += [("Upgrade", "websocket"), ("Connection", "Upgrade"),
                  ("Sec-WebSocket-Key", self._key), ("Sec-WebSocket-Version", "13")]
        if self._subprotocols:
            pairs.append(("Sec-WebSocket-Protocol", ", ".join(self._subprotocols)))
        if self.deflate is not None:
            pairs.append(("Sec-WebSocket-Extensions", self.deflate.offer()))
        self._timer = self._reactor.call_later(self.handshake_timeout, self._too_late)
        self._reactor.tell(self, Write, self.channel, encode_head(
            "GET %s HTTP/1.1" % self._resource, pairs + self._headers))

    def _too_late(self):
        self._timer = None
        self._refused(NotConnected("%s did not answer the handshake within %s seconds"
                                   % (self.url, self.handshake_timeout)))

    @_own_step
    @handler("read")
    def _on_read(self, *args):
        if len(args) != 1:
            return                          # of a server on our channel
        ws = self.websocket
        if ws is not None:
            ws.receive(args[0])
        elif self._parser is not None:
            self._parser.feed(args[0])
            try:
                head = self._parser.next_event()
                while head is not None and 100 <= head.status < 200 and head.status != 101:
                    head = self._parser.next_event()
                if head is not None:
                    self._answered(head)
            except NotConnected as error:
                self._refused(error)
            except (ProtocolError, WebSocketError) as error:
                problem = NotConnected("%s did not answer as a WebSocket server: %s"
                                       % (self.url, error))
                problem.__cause__ = error
                self._refused(problem)

    def _answered(self, head):
        """The server has answered the handshake: RFC 6455, 4.1."""
        self.response = head
        headers = head.headers
        if head.status != 101:
            raise NotConnected("%s refused the handshake: %d %s" % (
                self.url, head.status, head.reason), head.status, headers)
        offered = self.deflate
        chosen = headers.get("Sec-WebSocket-Protocol")
        if "websocket" not in _tokens(headers.get("Upgrade", "")) \
                or "upgrade" not in _tokens(headers.get("Connection", "")) \
                or headers.get_all("Sec-WebSocket-Accept") != [_accept_key(self._key)]:
            raise WebSocketError(PROTOCOL_ERROR, "the handshake is not accepted properly")
        if chosen is not None and chosen not in self._subprotocols:
            raise WebSocketError(PROTOCOL_ERROR, "a subprotocol that was not offered: %r" % chosen)
        extensions = ",".join(headers.get_all("Sec-WebSocket-Extensions"))
        if extensions and offered is None:
            raise WebSocketError(PROTOCOL_ERROR, "an extension that was not offered: %r"
                                 % extensions)
        agreed = offered.agreed(extensions) if extensions else None
        rest = self._parser.rest()
        self._end_attempt()
        self._failures = 0
        ws = WebSocket(self, (), MessageCodec(True, self.max_message, agreed),
                       self._transport.sock, None, chosen)
        ws.begin()
        if rest:
            ws.receive(rest)

    def _opened(self, ws):
        opening, self._opening = self._opening, None
        self._reactor.tell(self, Connected, self._above, self._host, self._port)
        opening.finish(True)
        early, self._early = self._early, []
        for message in early:
            ws.send(message)

    def _end_attempt(self):
        """The handshake is over, one way or the other."""
        self._parser = None
        if self._timer is not None:
            self._reactor.cancel(self._timer)
            self._timer = None

    def _refused(self, error):
        """The handshake has failed: close, and with reconnect try again later."""
        self._failed(error)
        self._failures += 1
        self._transport._failures = self._failures
        self._transport.abort()

    def _failed(self, error):
        """Tell whoever waits, or listens, that it was not opened."""
        self._end_attempt()
        self._early = []
        opening, self._opening = self._opening, None
        if opening is None:
            return
        awaited = opening.task is not None
        opening.finish(None, error)
        if self._reactor.heard("unreachable", (self._above,)):
            self.fire(Unreachable(self._host, self._port, error), self._above)
        elif not awaited:
            self._reactor.failed(None, None, error)

    # -- the transport ------------------------------------------------------

    @_own_step
    @handler("unreachable")
    def _on_unreachable(self, host, port, reason=None):
        error = NotConnected("%s cannot be reached: %s" % (self.url, reason))
        error.__cause__ = reason
        self._failed(error)

    @_own_step
    @handler("drain")
    def _on_drain(self, *args):
        if not args and self.websocket is not None:
            self.websocket.drained()

    @_own_step
    @handler("disconnected")
    def _on_disconnected(self):
        ws = self.websocket
        if ws is not None:
            ws.lost()
            if self._opening is not None:   # somebody could not wait for that
                self._dial()
        elif self._parser is not None:
            self._failed(NotConnected("%s hung up during the handshake" % self.url))

    def _lost(self, ws):
        event = self._reactor.tell(self, Disconnected, self._above)
        if event is not None:
            event.code, event.reason = ws.code, ws.reason

    def _hang_up(self, ws):
        self._transport.disconnect()

    def _transport_of(self, ws):
        return self._transport

    def _on_message(self, *args):
        if len(args) == 1 and not self.sockets:
            if self._opening is not None:
                self._early.append(args[0])
        else:
            super()._on_message(*args)

    def _on_close_told(self, *args):
        if args and not isinstance(args[0], int):
            return                          # at a server on our channel
        ws = self.websocket
        if ws is not None and ws.codec.closed:
            ws.part(*args)
        else:
            self.close(*args)


# ---------------------------------------------------------------------------
# 22. HTTP client
#
# Asks other servers, over connections that are kept.  A request is one
# coroutine from top to bottom, run by whoever awaits it: to cancel that closes
# its connection.  Invariants: a connection serves one request at a time, and
# another only after an answer that was read to its exact end; what goes out
# was checked; credentials and cookies stay with the origin they are for.
# ---------------------------------------------------------------------------

#: Seconds until there is a connection: look-up, TLS and a proxy included.
#: Longer than the first two retries of a lost SYN (3 s).
CLIENT_CONNECT_TIMEOUT = 5.0

#: Seconds of silence of a server that has our request; nginx waits 60 for its.
CLIENT_READ_TIMEOUT = 60.0

#: Seconds for all of a request, redirects included, so that no server that
#: sends a byte now and then holds us for ever.
CLIENT_TIMEOUT = 300.0

#: Connections at once, and to one host; browsers take 6 to 8 to a host.
MAX_CONNECTIONS = 100
MAX_PER_HOST = 8

#: Seconds a connection is kept for the next request.  Apache and Node close
#: theirs after 5: a POST must not meet a connection that is just being closed.
CLIENT_IDLE_TIMEOUT = 4.0

#: Redirects that one request follows, as browsers do.
MAX_REDIRECTS = 20

#: 1xx responses before the one that counts.
MAX_INTERIM = 20

#: Bytes of the body of a redirect or a 401 that are read, so that the
#: connection can be used again; with more it is closed.
MAX_DISCARDED = 65536

#: Bytes of a response that wait here before its server is not read from.
MAX_RESPONSE_AHEAD = 65536

#: Cookies of one host, and of all together, as RFC 6265, 6.1 asks for; bytes of one.
MAX_COOKIES_PER_HOST = 50
MAX_COOKIES = 3000
MAX_COOKIE = 4096

IDEMPOTENT = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"))
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_INFINITE = float("inf")


class ConnectError(ClientError):
    """The server, or the proxy, could not be reached, or did not prove who it is."""


class ClientTimeout(ClientError, TimeoutError):
    """The server took too long."""


class BadResponse(ClientError):
    """The server broke the rules of HTTP, exceeded a limit, or hung up early."""


class TooManyRedirects(ClientError):
    """The server sent us on and on."""


class StatusError(ClientError):
    """What raise_for_status() raises; *response* is the response."""

    def __init__(self, text, response):
        super().__init__(text)
        self.response = response


# -- addresses --------------------------------------------------------------

_PORTS = {"http": 80, "https": 443, "http+unix": 0}
_IN_URLS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                     "-._~:/?[]@!$&'()*+,;=%")
_URLS = {}              # text -> _URL, of what was asked for lately


class _URL:
    """What an http, https or http+unix URL says, checked."""

    __slots__ = ("scheme", "host", "port", "target", "login", "path")

    def __init__(self, scheme, host, port, target, login=None, path=None):
        self.scheme = scheme
        self.host = host            # lower case, IPv6 without brackets
        self.port = port
        self.target = target        # path and query, as on the wire
        self.login = login          # (name, password) or None
        self.path = path            # of a UNIX socket, or None

    @property
    def netloc(self):
        """The host with its port unless that is the usual one."""
        host = "[%s]" % self.host if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else "%s:%d" % (host, self.port)

    @property
    def origin(self):
        """Who is trusted with what the user gave us for this URL."""
        return self.scheme, self.host, self.port, self.path

    @property
    def base(self):
        return "%s://%s" % (self.scheme, quote(self.path, "") if self.path else self.netloc)

    def __str__(self):
        return self.base + self.target

    def to(self, target):
        """The same server, another path and query."""
        return _URL(self.scheme, self.host, self.port, target, self.login, self.path)

    def join(self, text):
        """What *text*, an absolute or relative URL, means where this one is (RFC 3986, 5.2)."""
        scheme, _, rest = text.partition(":")
        if rest.startswith("//") and scheme.replace("+", "").isalnum():
            return _parse_url(text)
        from urllib.parse import urljoin
        base = "http://here.invalid"    # urljoin() knows no http+unix
        text = urljoin(base + self.target, text)
        url = _parse_url(text)
        if url.host == "here.invalid":
            return self.to(url.target)
        return _parse_url(self.scheme + text[4:]) if text.startswith("http:") else url


def _parse_url(text):
    """The _URL of a text; ValueError if it is none that we can ask."""
    if not isinstance(text, str):
        raise TypeError("a URL is a str, got %r" % (text,))
    url = _URLS.get(text)
    if url is None:
        url = _read_url(text)
        if url.login is None and len(text) <= MAX_MEMORY_LINE:
            _remember(_URLS, text, url)
    return url


def _read_url(text):
    whole, text = text, text.rpartition("@")[2]     # no password goes into the errors
    if not whole.isprintable() and any(char < " " or char == "\x7f" for char in whole):
        raise ValueError("the URL %r has a control character: quote() what goes into it" % text)
    scheme, absolute, rest = whole.strip(" ").partition("://")
    scheme = scheme.lower()
    if not absolute:
        raise ValueError("URL must be absolute, like http://host/path, got %r" % text)
    if scheme not in _PORTS:
        raise ValueError("Invalid URL scheme %r: http, https and http+unix are spoken here"
                         % scheme)
    rest = rest.partition("#")[0]
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    authority, target = rest[:end], rest[end:]
    login, at, netloc = authority.rpartition("@")
    if "@" in login or "\\" in authority:
        raise ValueError("the URL %r can be read in two ways: quote() the name and the password"
                         % text)
    if not target.startswith("/"):
        target = "/" + target
    if not _IN_URLS.issuperset(target):
        target = quote(target, "".join(_IN_URLS))
    if at:
        name, _, password = login.partition(":")
        login = unquote(name), unquote(password)
    if scheme == "http+unix":
        if not netloc:
            raise ValueError("the URL %r names no socket; http+unix://%%2Frun%%2Fx.sock/ does"
                             % text)
        return _URL(scheme, "localhost", 0, target, login or None, unquote(netloc))
    if not netloc.isascii():
        try:
            netloc = netloc.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError("the URL %r has a strange host: %s" % (text, error)) from error
    if not 0 < len(netloc) < 260 or not valid_host(netloc) or netloc.startswith(":"):
        raise ValueError("the URL %r has no host, or a strange one" % text)
    host, colon, port = netloc.lower().rpartition(":")
    if not colon or "]" in port:
        host, port = netloc.lower(), ""
    number = int(port) if port else _PORTS[scheme]
    if not 0 < number < 65536:
        raise ValueError("the URL %r has a port that is not in 1..65535" % text)
    return _URL(scheme, host.strip("[]"), number, target, login or None)


def parse_url(url):
    """Split an absolute URL into (host, port, resource, secure).

    >>> parse_url("https://example.org/a?b=1")
    ('example.org', 443, '/a?b=1', True)

    ValueError if it is not absolute, or of another scheme than http and https,
    ws and wss.
    """
    if url[:2].lower() == "ws":
        url = "http" + url[2:]
    url = _parse_url(url)
    return url.host, url.port, url.target, url.scheme == "https"


def _pairs(data):
    """The (name, value) pairs of a dict or a list; a list of values is several."""
    for name, value in data.items() if hasattr(data, "items") else data:
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if item is not None:
                yield name, item


def encode_form(data):
    """A dict or a list of pairs as a query or an urlencoded form.

    >>> encode_form({"a": "b c", "d": [1, 2], "e": "&=\\xfc"})
    'a=b+c&d=1&d=2&e=%26%3D%C3%BC'
    """
    def plus(text):
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
        return quote(str(text), " ").replace(" ", "+")
    return "&".join(["%s=%s" % (plus(name), plus(value)) for name, value in _pairs(data)])


# -- cookies ----------------------------------------------------------------

class _Cookie:
    """One cookie, as it was set."""

    __slots__ = ("name", "value", "domain", "path", "host_only", "secure", "expires", "number")


class CookieJar:
    """The cookies that servers set, and for whom they are (RFC 6265).

    A cookie goes back to the host that set it; to others only if its Domain
    says so, which must be a part of that host's name and no public suffix.
    There is no list of those here: a single label counts as one, and so does
    a short label before a country ("co.uk").
    """

    def __init__(self, clock=time.time):
        self._clock = clock
        self._hosts = {}            # domain -> {(path, name): _Cookie}
        self._secure = {}           # name -> those that are for https alone
        self._number = 0
        self._size = 0

    def __len__(self):
        return self._size

    def __iter__(self):
        """(domain, path, name, value) of each."""
        for cookies in self._hosts.values():
            for cookie in cookies.values():
                yield cookie.domain, cookie.path, cookie.name, cookie.value

    def clear(self):
        """Forget them all."""
        self._hosts = {}
        self._secure = {}
        self._size = 0

    def take(self, url, lines):
        """Keep what the Set-Cookie *lines* of a response to *url* say."""
        url = _parse_url(url) if isinstance(url, str) else url
        secure = url.scheme == "https"
        for line in lines[:MAX_COOKIES_PER_HOST]:
            cookie = self._read(url, line)
            if cookie is not None:
                self._keep(cookie, secure)

    def header(self, url):
        """The value of Cookie in a request to *url*; "" if there is none."""
        if not self._size:
            return ""
        url = _parse_url(url) if isinstance(url, str) else url
        now = self._clock()
        path = url.target.partition("?")[0]
        found = []
        domain = url.host
        while domain:
            for key, cookie in list(self._hosts.get(domain, {}).items()):
                if cookie.expires is not None and cookie.expires <= now:
                    self._drop(domain, key)
                elif (domain == url.host or not cookie.host_only) \
                        and (url.scheme == "https" or not cookie.secure) \
                        and _path_matches(path, cookie.path):
                    found.append(cookie)
            domain = "" if _is_address(url.host) else domain.partition(".")[2]
        found.sort(key=lambda cookie: (-len(cookie.path), cookie.number))
        return "; ".join(["%s=%s" % (cookie.name, cookie.value) for cookie in found])

    def _read(self, url, line):
        """The _Cookie of a Set-Cookie line, or None if it is refused."""
        first, *rest = line.split(";")
        name, equals, value = first.partition("=")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not equals or not name or len(first) > MAX_COOKIE:
            return None
        attributes = {}
        for item in rest:
            key, _, text = item.partition("=")
            attributes[key.strip(" \t").lower()] = text.strip(" \t")
        cookie = _Cookie()
        cookie.name, cookie.value = name, value
        cookie.secure = "secure" in attributes
        if cookie.secure and url.scheme != "https":
            return None
        domain = attributes.get("domain", "").lstrip(".").lower()
        cookie.host_only = not domain or domain == url.host and _is_suffix(domain)
        cookie.domain = domain or url.host
        if cookie.domain != url.host and (
                not url.host.endswith("." + domain) or _is_address(url.host) or _is_suffix(domain)):
            return None
        cookie.path = attributes.get("path", "")
        if not cookie.path.startswith("/"):
            cookie.path = url.target.partition("?")[0].rpartition("/")[0] or "/"
        if name.startswith("__Secure-") and not cookie.secure:
            return None
        if name.startswith("__Host-") and not (
                cookie.secure and not domain and attributes.get("path") == "/"):
            return None
        cookie.expires = self._expiry(attributes)
        return cookie

    def _expiry(self, attributes):
        """When a cookie expires, in seconds since 1970; None: with the jar."""
        age = attributes.get("max-age")
        if age is not None and is_digits(age.lstrip("-")) and len(age) < 20:
            return self._clock() + int(age) if int(age) > 0 else 0
        return parse_http_date(attributes.get("expires", ""))

    def _keep(self, cookie, secure):
        if not secure and any(self._hides(cookie, other)
                              for other in self._secure.get(cookie.name, ())):
            return              # RFC 6265bis, 5.7: http does not touch those of https
        cookies = self._hosts.setdefault(cookie.domain, {})
        key = cookie.path, cookie.name
        before = cookies.pop(key, None)
        if before is None:
            self._size += 1
            self._number += 1
            cookie.number = self._number
        else:
            cookie.number = before.number
            self._unlist(before)
        cookies[key] = cookie
        if cookie.secure:
            self._secure.setdefault(cookie.name, set()).add(cookie)
        if cookie.expires is not None and cookie.expires <= self._clock():
            self._drop(cookie.domain, key)
        while len(cookies) > MAX_COOKIES_PER_HOST:
            self._drop(cookie.domain, next(iter(cookies)))
        while self._size > MAX_COOKIES:
            domain = next(iter(self._hosts))
            self._drop(domain, next(iter(self._hosts[domain])))

    @staticmethod
    def _hides(cookie, other):
        """Whether *cookie* could be taken for the secure *other* of its name."""
        one, two = "." + cookie.domain, "." + other.domain
        return (one.endswith(two) or two.endswith(one)) \
            and _path_matches(cookie.path, other.path)

    def _drop(self, domain, key):
        cookies = self._hosts[domain]
        self._unlist(cookies.pop(key))
        self._size -= 1
        if not cookies:
            del self._hosts[domain]

    def _unlist(self, cookie):
        if cookie.secure:
            alike = self._secure[cookie.name]
            alike.remove(cookie)
            if not alike:
                del self._secure[cookie.name]


def _is_address(host):
    """Whether a host is a number: those have no domains above them."""
    return ":" in host or is_digits(host.rstrip(".").rpartition(".")[2])


def _is_suffix(domain):
    """Whether everybody can have a name below *domain*, as far as its form tells."""
    above, dot, last = domain.rpartition(".")
    return not last or not dot or "." not in above and len(last) == 2 and len(above) <= 3


def _path_matches(path, prefix):
    return path.startswith(prefix) and (
        len(path) == len(prefix) or prefix.endswith("/") or path[len(prefix)] == "/")


def _cookie_pairs(cookies):
    """Cookies that the user gives, checked: "a=1; b=2"."""
    pairs = []
    for name, value in cookies.items() if hasattr(cookies, "items") else cookies:
        value = str(value)
        if not is_token(name) or not value.isascii() or not value.isprintable() \
                or set(' ",;\\') & set(value.strip('"')):
            raise ValueError("the cookie %r=%r cannot be sent: quote() it" % (name, value))
        pairs.append("%s=%s" % (name, value))
    return "; ".join(pairs)


# -- names and passwords ----------------------------------------------------

def _basic(name, password):
    """The value of Authorization for HTTP Basic (RFC 7617)."""
    from base64 import b64encode
    text = "%s:%s" % (name, password)
    if ":" in name or any(char < " " or char == "\x7f" for char in text):
        raise ValueError("a name for Basic authentication has no colon, and neither it nor the "
                         "password a control character, got %r" % (name,))
    return "Basic " + b64encode(text.encode("utf-8")).decode("ascii")


class DigestAuth:
    """A name and a password for servers that ask for a digest (RFC 7616).

        client.get(url, auth=DigestAuth("bob", "secret"))

    SHA-256 or MD5, with qop=auth.  Kept, it saves the question the next time.
    """

    def __init__(self, username, password):
        self.username = username
        self.password = password
        self._origin = None         # who asked
        self._asked = None          # the parameters of the challenge
        self._count = 0             # uses of its nonce

    def value(self, url, method):
        """The value of Authorization; None before the server has asked."""
        asked = self._asked
        if asked is None or self._origin != url.origin:
            return None
        from secrets import token_hex
        self._count += 1
        algorithm = asked.get("algorithm", "MD5").upper()
        hashed = DIGEST_AUTH_ENCODERS[algorithm]
        count, own = "%08x" % self._count, token_hex(16)
        proof = hashed("%s:%s:%s:%s:auth:%s" % (
            hashed("%s:%s:%s" % (self.username, asked["realm"], self.password)), asked["nonce"],
            count, own, hashed("%s:%s" % (method, url.target))))
        text = "Digest username=%s, realm=%s, nonce=%s, uri=%s, algorithm=%s, response=\"%s\", " \
            "qop=auth, nc=%s, cnonce=\"%s\"" % (
                _quoted(self.username), _quoted(asked["realm"]), _quoted(asked["nonce"]),
                _quoted(url.target), algorithm, proof, count, own)
        if "opaque" in asked:
            text += ", opaque=" + _quoted(asked["opaque"])
        return text

    def challenged(self, url, lines):
        """The server answers 401: keep what it asks for, if we can answer that."""
        for asked in sorted(_challenges(lines), key=lambda asked: -len(asked.get("algorithm", ""))):
            if asked["scheme"] == "digest" and "nonce" in asked and "realm" in asked \
                    and asked.get("algorithm", "MD5").upper() in DIGEST_AUTH_ENCODERS \
                    and "auth" in _tokens(asked.get("qop", "")):
                self._origin, self._asked, self._count = url.origin, asked, 0
                return True
        return False


def _challenges(lines):
    """The challenges of WWW-Authenticate headers, a dict for each (RFC 9110, 11.6.1).

    >>> _challenges(['Basic realm="a, b", Digest realm=x, qop="auth"'])
    [{'scheme': 'basic', 'realm': 'a, b'}, {'scheme': 'digest', 'realm': 'x', 'qop': 'auth'}]
    """
    found = []
    for item in split_quoted(", ".join(lines), ","):
        name, equals, value = item.strip(" \t").partition("=")
        scheme, space, rest = name.rstrip(" \t").partition(" ")
        if space or not equals:
            found.append({"scheme": scheme.lower()})
            name = rest.strip(" \t")
        if found and equals and is_token(name.strip(" \t")):
            found[-1].setdefault(name.strip(" \t").lower(), unquote_string(value.strip(" \t")))
    return found


# -- what goes out ----------------------------------------------------------

class _Body:
    """The body of a request: parts that are bytes, files, or give pieces.

    length  in bytes; None: not known, it is sent in chunks
    """

    def __init__(self, parts, kind=None):
        self.parts = []
        self.kind = kind            # its Content-Type
        self.again = True           # it can be sent once more, for a redirect
        known = 0
        for part in parts:
            if isinstance(part, str):
                part = part.encode("utf-8")
            if isinstance(part, (bytes, bytearray, memoryview)):
                part = bytes(part)
                known = None if known is None else known + len(part)
            elif hasattr(part, "read"):
                part = _FilePart(part)
                known = None if known is None or part.length is None else known + part.length
                self.again = self.again and part.length is not None
            elif hasattr(part, "__aiter__") or hasattr(part, "__iter__"):
                known = None
                self.again = self.again and not hasattr(part, "__next__") \
                    and not hasattr(part, "__anext__")
            else:
                raise TypeError("a body is bytes, text, a file, or an iterator of such, got %r"
                                % (part,))
            self.parts.append(part)
        self.length = known
        self.is_short = len(self.parts) == 1 and type(self.parts[0]) is bytes \
            and known < MAX_JOINED

    @staticmethod
    def begin(part):
        """An iterator over the pieces of a part, sync or async."""
        if isinstance(part, bytes):
            return iter((part,))
        return part.__aiter__() if hasattr(part, "__aiter__") else iter(part)


class _FilePart:
    """A file from where it stands to its end; it is left open."""

    def __init__(self, file):
        self.file = file
        self.start = self.length = None
        if isinstance(file, TextIOBase):
            raise TypeError("%r is a text file: open it in mode \"rb\"" % (file,))
        try:
            self.start = file.tell()
            self.length = file.seek(0, 2) - self.start
            file.seek(self.start)
        except (AttributeError, OSError, ValueError):       # a pipe
            self.start = self.length = None

    def __iter__(self):
        left = self.length          # it may grow meanwhile
        if left is not None:
            self.file.seek(self.start)
        while left is None or left > 0:
            piece = self.file.read(MAX_PIECE if left is None else min(left, MAX_PIECE))
            if not piece:
                break
            left = left and left - len(piece)
            yield piece


def _form_name(text):
    """A name in Content-Disposition, quoted as browsers do (WHATWG HTML, 4.10.21.8)."""
    return "".join(["%%%02X" % ord(char) if char < " " or char in '"\x7f' else char
                    for char in str(text)])


def _multipart(fields, files, boundary=None):
    """A _Body with the fields and files of a form (RFC 7578).

    files  {name: file}, or (file name, file[, content type]) for each, where a
           file may be bytes or text
    """
    boundary = boundary or os.urandom(16).hex()
    parts = []
    for name, value in _pairs(fields or ()):
        value = value if isinstance(value, bytes) else str(value).encode("utf-8")
        parts += [_part_head(boundary, name), value, b"\r\n"]
    for name, entry in files.items() if hasattr(files, "items") else files:
        kind = filename = None
        if isinstance(entry, (tuple, list)):
            filename, entry, kind = (tuple(entry) + (None,))[:3]
        elif hasattr(entry, "read"):
            filename = getattr(entry, "name", None)
            filename = os.path.basename(filename) if isinstance(filename, str) else name
        filename = name if filename is None else filename
        entry = entry.encode("utf-8") if isinstance(entry, str) else entry
        parts += [_part_head(boundary, name, filename, kind or _content_type(str(filename))[0]),
                  entry, b"\r\n"]
    parts.append(b"--%s--\r\n" % boundary.encode())
    joined = []
    for binary, run in groupby(parts, lambda part: isinstance(part, bytes)):
        joined += [b"".join(run)] if binary else run
    return _Body(joined, "multipart/form-data; boundary=" + boundary)


def _part_head(boundary, name, filename=None, kind=None):
    text = '--%s\r\nContent-Disposition: form-data; name="%s"' % (boundary, _form_name(name))
    if filename is not None:
        text += '; filename="%s"\r\nContent-Type: %s' % (
            _form_name(filename), check_header("Content-Type", kind)[1])
    return (text + "\r\n\r\n").encode("utf-8", "surrogateescape")


# -- what comes back --------------------------------------------------------

class _Inflater:
    """Decompresses a body in pieces of at most MAX_PIECE."""

    def __init__(self, coding):
        import zlib
        self.error = zlib.error
        self._new = zlib.decompressobj
        self._bits = None if coding == "deflate" else 31
        self._engine = None
        self._rest = b""

    def feed(self, data):
        """Take what arrived."""
        self._rest = self._rest + data if self._rest else data

    def piece(self):
        """The next bytes; b"": feed it more.  self.error if it is no such data."""
        while self._rest:
            engine = self._engine
            if engine is None:
                if self._bits is None:
                    if len(self._rest) < 2:
                        break
                    # Some servers send "deflate" without the head that it has.
                    headed = self._rest[0] & 15 == 8 and not int.from_bytes(
                        self._rest[:2], "big") % 31
                    self._bits = 15 if headed else -15
                engine = self._engine = self._new(self._bits)
            elif engine.eof:
                if self._bits == 31 and self._rest == b"\x1f":
                    break                   # the next member may begin so
                if self._bits != 31 or not self._rest.startswith(b"\x1f\x8b"):
                    self._rest = b""        # padding; browsers ignore it as well
                    break
                engine = self._engine = self._new(self._bits)
            out = engine.decompress(self._rest, MAX_PIECE)
            self._rest = engine.unused_data or engine.unconsumed_tail
            if out:
                return out
        return b""

    @property
    def complete(self):
        """Whether the data so far ends where it may."""
        return self._engine.eof if self._engine is not None else not self._rest


class ResponseObject:
    """The response of a server.

    status, reason   404, "Not Found"; also status_code and message
    headers          Headers
    url              str, where it came from, after redirects
    history          the responses that redirected us
    cookies          dict, those this response set
    content, text    the body, as bytes and as str
    encoding         what text is decoded with: the charset of the headers,
                     UTF-8 without one; may be set
    json()           the body, parsed
    body, read()     a file of the body
    ok               whether status is below 400; raise_for_status() insists

    With stream=True the body is not here yet:

        async with await client.get(url, stream=True) as response:
            async for piece in response: ...

        piece = yield response.read_piece()     in a generator; b"": the end

    The server is not read from while MAX_RESPONSE_AHEAD bytes wait here.
    Read to the end, or close(): else the connection stays in use.
    """

    url = ""
    _link = _order = _inflater = _error = _content = _body = None

    def __init__(self, status, message="", protocol=None):
        self.status = status
        self.reason = message
        self.protocol = protocol
        self.headers = Headers()
        self.history = []
        self.cookies = {}
        self.encoding = None

    @classmethod
    def _of(cls, head, order, link):
        """The response with this *head*, whose body *link* will tell."""
        self = cls(head.status, head.reason, head.version)
        self.headers = head.headers
        self.url = str(order.url)
        if head.has_body:
            self._order, self._link = order, link
            coding = head.headers._first.get("content-encoding")
            if coding is not None and coding.lower() in _INFLATED:
                self._inflater = _Inflater(coding.lower())
        else:
            self._content = b""
            link.done()
        return self

    status_code = property(lambda self: self.status)
    message = property(lambda self: self.reason)
    ok = property(lambda self: self.status < 400)

    @property
    def content(self):
        """The body as bytes."""
        if self._content is None:
            raise RuntimeError("the body of %r is read piece by piece: `await response.load()` "
                               "first, or ask without stream=True" % self)
        return self._content

    @property
    def text(self):
        """The body as str; what cannot be decoded becomes U+FFFD."""
        encoding = self.encoding
        if encoding is None:
            kind = self.headers.get("Content-Type", "")
            encoding = parse_params(kind)[1].get("charset", "utf-8")
        try:
            return self.content.decode(encoding, "replace")
        except (LookupError, UnicodeError):
            return self.content.decode("utf-8", "replace")

    def json(self):
        """The body, parsed as JSON.  ValueError if it is none."""
        import json
        return json.loads(self.content)

    @property
    def body(self):
        """The body as a file."""
        if self._body is None:
            self._body = BytesIO(self.content)
        return self._body

    def read(self, size=-1):
        """Read from the body; what was read is gone."""
        return self.body.read(size)

    def raise_for_status(self):
        """Returns the response; StatusError if its status is 400 or above."""
        if self.status >= 400:
            raise StatusError("%s answers %d %s" % (
                self.url.partition("?")[0] or "the server", self.status, self.reason), self)
        return self

    # -- piece by piece -----------------------------------------------------

    async def read_piece(self):
        """To yield or await: the next bytes of the body, b"" at its end."""
        if self._error is not None:
            raise self._error
        if self._link is not None and self._link.waiting is not None:
            raise RuntimeError("%r: another task waits for its next piece" % self)
        try:
            return await self._next()
        except BaseException as error:
            self.close()
            if isinstance(error, ClientError):
                self._error = error
            raise

    async def _next(self):
        link, order, inflater = self._link, self._order, self._inflater
        while True:
            if inflater is not None:
                piece = self._inflated(inflater)
                if piece:
                    return piece
            if link is None:
                return b""
            event = link.next_event(order)
            if event is None:
                await link.news()
            elif event is not END:
                if inflater is None:
                    return event
                inflater.feed(event)
            else:
                self._link = None
                link.done()
                if inflater is not None and not inflater.complete:
                    raise BadResponse("%s: the compressed body is cut off" % order)
                return b""

    def _inflated(self, inflater):
        try:
            return inflater.piece()
        except inflater.error as error:
            raise BadResponse("%s: the body is not compressed as it says" % self._order) from error

    async def load(self):
        """To yield or await: read all that is left of the body, and return it.

        BadResponse for more than max_body, decompressed.
        """
        if self._content is None:
            order = self._order
            whole = BytesIO()       # no list: pieces of one byte would take forty each
            piece = await self.read_piece()
            while piece:
                whole.write(piece)
                if whole.tell() > order.max_body:
                    self.close()
                    raise BadResponse("%s: the body is larger than %d bytes: ask with stream=True, "
                                      "or raise max_body" % (order, order.max_body))
                piece = await self.read_piece()
            self._content = whole.getvalue()
        return self._content

    async def _discard(self):
        """Read a short body that nobody wants, to save the connection."""
        size = 0
        while self._link is not None and size < MAX_DISCARDED:
            size += len(await self.read_piece())
        self.close()
        self._content = self._content or b""

    def close(self):
        """Want no more of the body: its connection is closed unless it was read."""
        link, self._link = self._link, None
        if link is not None:
            link.drop()

    def __aiter__(self):
        return self

    async def __anext__(self):
        piece = await self.read_piece()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __del__(self):
        link = self._link
        if link is not None:        # forgotten: give the connection back, at home
            link._reactor.call_soon(link.drop)

    def __repr__(self):
        size = "streamed" if self._content is None else len(self._content)
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        return "<ResponseObject %d %s (%s)>" % (self.status, kind, size)


_INFLATED = frozenset(("gzip", "x-gzip", "deflate"))
_CODINGS_TAKEN = "gzip, deflate"


# -- connections ------------------------------------------------------------

class _ClientWaiting(Waiting):
    """A wait of the client *manager*."""

    __slots__ = ("manager",)

    event = "client_waiting"        # so the tree's end finds it, see Client._on_stopped()

    def __init__(self, manager):
        super().__init__()
        self.manager = manager

    def matches(self, event):
        return False

    def withdraw(self):
        if self.manager.stopping:
            self.manager._reactor.forget_name(self.event, self)


class _News(_ClientWaiting):
    """Wait until something happens on a connection."""

    __slots__ = ("link",)

    def __init__(self, link):
        super().__init__(link.owner)
        self.link = link

    def install(self):
        self.link.waiting = self
        reactor = self.link._reactor
        if reactor.sleeping:        # somebody beside the tree's own turns asks
            reactor.fired(None)

    def withdraw(self):
        super().withdraw()
        if self.link.waiting is self:
            self.link.waiting = None


class _Transport(BaseComponent):
    """The steps between the poller and the connections of a client.

    Listens:  read(link, data), write(link, data), as between a server and HTTP
    """

    def _linked(self, sock):
        """The _Link of a socket that the poller tells of."""
        return [link for link in self.components if link._owns(sock)]

    @_own_step
    @handler("read")
    def _on_read(self, link, data):
        link.take(data)

    @_own_step
    @handler("write")
    def _on_write(self, link, data):
        link.put(data)

    # The poller calls the links themselves, unless somebody listens to these.

    @_own_step
    @handler("_read", "_disconnect")
    def _on_read_ready(self, sock):
        for link in self._linked(sock):
            link._read_ready(sock)

    @_own_step
    @handler("_write")
    def _on_write_ready(self, sock):
        for link in self._linked(sock):
            link._write_ready(sock)


class _Link(TCPClient, UNIXClient):
    """A connection of the client to one server, by TCP or a UNIX socket.

    To use:  open(order), ask(order), next_event(order), done(), drop()

    A child of the _Transport, which listens in its place: a thousand handlers
    of one name would make each plan of that name a thousand times as dear.
    """

    def __init__(self, owner, key, limits):
        super().__init__(channel=owner._transport.channel, connect_timeout=None)
        self._attached = True       # it connects before it is told that it has joined
        self.owner = owner
        self.key = key              # what it may be used for again
        self.parser = ResponseParser(**limits)
        self.waiting = None         # the _News of the request that uses it
        self.order = None           # that request
        self.fault = None           # what ended it
        self.reason = None          # the error that the system gave
        self.path = None            # of a UNIX socket
        self.used = False           # a request went out on it before this one
        self.heard = False          # something of the response arrived
        self.keeps = False          # it can be used again after this response
        self.paused = False
        self.gone = False
        self.interim = 0            # 1xx responses before this one
        self.since = 0              # when it became idle
        self._timer = None
        self._deadline = _INFINITE
        self._until = _INFINITE     # when it must be open
        self._pending = 0

    def _listened(self):
        return ()

    # -- what the transport tells -------------------------------------------

    def _received(self, conn, data):
        self._reactor.tell(self, Read, self.channel, self, data)

    def take(self, data):
        """Bytes arrived."""
        self.heard = True
        parser = self.parser
        parser.feed(data)
        if self.order is None:      # nobody asked: what it sends is not trusted
            return self.drop()
        if len(parser) > MAX_RESPONSE_AHEAD and not self.paused:
            self.paused = True
            poller_of(self).removeReader(self._sock)
        self._wake()

    def _prepare(self, sock):
        if self.path is None:
            super()._prepare(sock)

    def _opened(self, conn, early):
        super()._opened(conn, early)
        self._wake()

    def _not_opened(self, reason):
        self.reason = reason
        self._wake()

    def _shaken(self, conn):
        super()._shaken(conn)
        self._wake()

    def _failed(self, conn, error):
        self.reason = error
        super()._failed(conn, error)

    def _ended(self, conn):
        super()._ended(conn)
        if self._connecting is None:
            self.parser.eof()
            self._wake()
            self._leave_owner()

    def _detach(self, old):
        super()._detach(old)        # after the tasks that left with us were cancelled
        if not self.gone:
            self.fail(Cancelled("%r left the tree in the middle of a request" % self.owner))

    def _tell_of(self, event_class, conn):
        self._wake()                # it takes more again

    def _more_follows(self, conn):
        return False

    def _wake(self):
        waiting = self.waiting
        if waiting is not None and not self.owner.stopping:
            waiting.finish(error=self.fault)

    # -- waiting ------------------------------------------------------------

    def news(self):
        """To await: something happens here.  Raises what ended the request."""
        order = self.order
        now = self.root.clock()
        self._deadline = deadline = min(order.deadline, self._until, now + order.read_timeout)
        if self.paused:             # what is here was not enough
            self.paused = False
            if self._sock is not None and not self._sock.ended:
                poller_of(self).addReader(self, self._sock)
        timer = self._timer
        if (timer is None or timer[0] > deadline) and deadline < _INFINITE:
            if timer is not None:
                self._reactor.cancel(timer)
            self._timer = self._reactor.call_later(deadline - now, self._on_time)
        return _News(self)

    def _on_time(self):
        """The timer, which is set once for many waits, has come."""
        self._timer = None
        order = self.order
        if order is None or self.waiting is None:
            return
        now = self.root.clock()
        pending = 0 if self._sock is None else self._sock.pending
        if now >= self._deadline and pending != self._pending:      # it takes our body
            self._deadline = min(order.deadline, self._until, now + order.read_timeout)
        self._pending = pending
        if now < self._deadline:
            self._timer = self._reactor.call_later(self._deadline - now, self._on_time)
        elif now >= self._until:
            self.fail(order.unreachable(OSError(ETIMEDOUT, "")))
        else:
            self.fail(ClientTimeout(order.late(now)))

    def fail(self, error):
        """End the request that uses this connection."""
        self.fault = error
        self._wake()
        self.drop()

    # -- a request ----------------------------------------------------------

    async def open(self, order):
        """Connect, through a proxy's tunnel if need be."""
        self.order = order
        url, proxy = order.url, order.proxy
        context = self.owner._tls() if url.scheme == "https" else None
        self._until = self.root.clock() + order.connect_timeout
        if order.connect_timeout < _INFINITE:       # shared among the addresses of the host
            self.connect_timeout = order.connect_timeout
        self.path = self.owner.uds or url.path
        if self.path:
            UNIXClient.connect(self, self.path, context or False, server_hostname=url.host)
        elif proxy is None:
            self.connect(url.host, url.port, context or False, server_hostname=url.host)
        else:
            self.connect(proxy.host, proxy.port)
        while self._connecting is not None:
            await self.news()
        if self._sock is None:
            raise order.unreachable(self.reason)
        if proxy is not None and context is not None:
            await self._tunnel(order, context)
        self._until = _INFINITE

    async def _tunnel(self, order, context):
        """Have the proxy connect us, and speak TLS through it."""
        url = order.url
        address = "%s:%d" % ("[%s]" % url.host if ":" in url.host else url.host, url.port)
        pairs = [("Host", address)] + order.to_proxy()
        self.parser.expect("CONNECT")
        self._put(encode_head("CONNECT %s HTTP/1.1" % address, pairs))
        head = await self._head(order)
        if head is None or not 200 <= head.status < 300:
            raise ConnectError("%s: the proxy %s answers %s%s" % (
                order, order.proxy.netloc, "nothing" if head is None else "%d %s" % (
                    head.status, head.reason), ": give it as http://name:password@host:port"
                if head is not None and head.status == 407 else ""))
        if len(self.parser):
            raise BadResponse("%s: the proxy sends something of its own" % order)
        self._context = context
        self.starttls(url.host)
        while self._sock is not None and not self._sock.tls.shaken:
            await self.news()
        if self._sock is None:
            raise order.unreachable(self.reason)
        self.heard = False

    def _put(self, data):
        self._reactor.tell(self, Write, self.channel, self, data)

    def put(self, data):
        """Send bytes."""
        if self._sock is not None:
            self._send(self._sock, data)

    async def ask(self, order):
        """Send a request; returns the head of the response.

        None if this connection, kept from an earlier request, was closed
        before a byte of the response came.
        """
        self.order = order
        self.heard = self.keeps = False
        self.interim = 0
        kept, self.used = self.used, True
        self.parser.max_body = _NO_LIMIT if order.stream else order.max_body
        self.parser.expect(order.method)
        head = None
        body = order.body
        if body is None or body.is_short:
            self._put(order.head() + (b"" if body is None else body.parts[0]))
        else:
            self._put(order.head())
            head = await self._send_body(order, body)
        sent = head is None
        if sent:
            head = await self._head(order)
            if head is None:
                if kept and not self.heard:
                    return None
                raise BadResponse("%s: the connection ended before the response%s"
                                  % (order, self._why()))
        self.keeps = sent and head.keep_alive and "connection" not in order.headers._first
        return head

    def _why(self):
        return "" if self.reason is None else ": %s" % self.reason

    async def _head(self, order):
        """The head of the response; None if the connection ended without one."""
        while True:
            head = self._final(order)
            if head is not None or self._sock is None:
                return head
            await self.news()

    def _final(self, order):
        """The head of the response if it is here; those of interim ones are skipped."""
        while True:
            head = self.next_event(order)
            if head is None or head.status >= 200:
                return head
            if head.status == 101:
                raise BadResponse("%s: the server changes to another protocol, unasked" % order)
            self.interim += 1
            if self.interim > MAX_INTERIM:
                raise BadResponse("%s: more than %d interim responses" % (order, MAX_INTERIM))

    async def _send_body(self, order, body):
        """Send the body piece by piece; the head of a response that comes early."""
        left = body.length
        chunked = left is None
        for part in body.parts:
            source = body.begin(part)
            asynchronous = hasattr(source, "__anext__")
            try:
                while True:
                    try:
                        piece = await source.__anext__() if asynchronous else next(source)
                    except (StopIteration, StopAsyncIteration):
                        break
                    if not isinstance(piece, (str, bytes, bytearray, memoryview)):
                        raise TypeError("a body consists of bytes or text, got %r in it"
                                        % (piece,))
                    data = as_bytes(piece)
                    if not chunked:
                        left -= len(data)
                        if left < 0:
                            break
                    self._put(encode_chunk(data) if chunked else data)
                    head = await self._drained(order)
                    if head is not None or self._sock is None:
                        return head
            finally:
                if hasattr(source, "aclose") or type(source) is GeneratorType:
                    close_body(source)
        if left:
            raise ClientError("%s: the body is not the %d bytes that it was said to be"
                              % (order, body.length))
        if chunked:
            self._put(LAST_CHUNK)
        return None

    async def _drained(self, order):
        """Wait while too much waits to be sent; the head of an early response."""
        while True:
            head = self._final(order)
            sock = self._sock
            if head is not None or sock is None or not sock.slow:
                return head
            await self.news()

    def next_event(self, order):
        """The next event of the parser."""
        if self.fault is not None:
            raise self.fault
        try:
            return self.parser.next_event()
        except ProtocolError as error:
            raise BadResponse("%s: %s%s" % (order, error.reason, self._why())) from error

    def done(self):
        """The response was read to its end."""
        self.order = None
        sock = self._sock
        if not self.keeps or sock is None or sock.ended or sock.pending or len(self.parser) \
                or self.fault:
            self.drop()
        else:
            self.owner._keep(self)

    def is_quiet(self):
        """Whether the server has neither closed it nor sent anything since."""
        try:
            self._sock.recv(1, _PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            pass
        return False

    def drop(self):
        """Close at once."""
        self.order = None
        if self._connecting is not None:
            self._connecting.abort()
        elif self._sock is not None:
            self._drop(self._sock)
        self._leave_owner()

    def _leave_owner(self):
        if not self.gone:
            self.gone = True
            if self._timer is not None:
                self._reactor.cancel(self._timer)
            self.owner._lost(self)
            self.unregister()


_NO_LIMIT = 1 << 62         # a body that is handed on piece by piece needs none
_PEEK = 2                   # socket.MSG_PEEK, the same everywhere


# -- the client -------------------------------------------------------------

class _Order:
    """What is asked for, and within which limits."""

    body = proxy = auth = None
    cookies = ""
    fresh = False               # no connection that was kept will do
    main = False                # over the connection that Connect() made
    challenged = False          # it was answered 401 once

    def __init__(self, client, method, url):
        self.client = client
        self.method = method
        self.url = url
        self.headers = client.headers

    def __str__(self):
        return "%s %s%s" % (self.method, self.url.base, self.url.target.partition("?")[0])

    def key(self):
        """What a connection must have been made for to be of use."""
        url, proxy = self.url, self.proxy
        if proxy is not None and url.scheme == "http":
            return "proxy", proxy.host, proxy.port
        return ("main" if self.main else "", proxy and proxy.netloc) + url.origin

    def late(self, now):
        """What the timeout says."""
        if now >= self.deadline:
            return "%s: not done after %g s: raise timeout" % (self, self.timeout)
        return "%s: the server was silent for %g s: raise read_timeout" % (self, self.read_timeout)

    def unreachable(self, reason):
        """The error for a connection that did not come about."""
        where = "the proxy " + self.proxy.netloc if self.proxy else self.url.path or self.url.netloc
        if reason is not None and reason.errno == ETIMEDOUT:
            return ClientTimeout("%s: no connection to %s in time: raise connect_timeout, if it is "
                                 "there" % (self, where))
        return ConnectError("%s: no connection to %s: %s%s" % (
            self, where, "it was closed" if reason is None else reason,
            _HINTS.get(type(reason).__name__, "")))

    def to_proxy(self):
        """The header that the proxy wants to see."""
        login = self.proxy.login
        return [] if login is None else [("Proxy-Authorization", _basic(*login))]

    def head(self):
        """The bytes of the head, which were checked on the way in."""
        url, body, headers = self.url, self.body, self.headers
        target = url.target
        pairs = [] if "host" in headers._first else [("Host", url.netloc)]
        pairs += headers._list
        if body is not None:
            if body.kind is not None and "content-type" not in headers._first:
                pairs.append(("Content-Type", body.kind))
            pairs.append(("Transfer-Encoding", "chunked") if body.length is None
                         else ("Content-Length", str(body.length)))
        elif self.method in _WITH_BODY:
            pairs.append(("Content-Length", "0"))
        if self.auth is not None and "authorization" not in headers._first:
            value = self.auth if isinstance(self.auth, str) else self.auth.value(url, self.method)
            if value is not None:
                pairs.append(check_header("Authorization", value))
        cookies = [text for text in (self.client._cookies_for(url), self.cookies) if text]
        if cookies and "cookie" not in headers._first:
            pairs.append(check_header("Cookie", "; ".join(cookies)))
        if self.proxy is not None and url.scheme == "http":
            target = str(url)
            pairs += self.to_proxy()
        return encode_head("%s %s HTTP/1.1" % (self.method, target), pairs)

    def again(self, response):
        """Follow a redirect: change to what is to be asked next; False if it is none."""
        location = response.headers.get("Location")
        if response.status not in _MOVED or location is None:
            return False
        url = self._join(location)
        method = self.method
        if response.status < 304 and method == "POST" \
                or response.status == 303 and method != "HEAD":
            method = "GET"
        if method == self.method and self.body is not None:
            if not self.body.again:
                raise ClientError("%s: redirected to %s, but the body cannot be sent again: give "
                                  "bytes or a file" % (self, url.base))
            if self.url.scheme == "https" and url.scheme == "http":
                raise BadResponse("%s: the server wants the body again, without TLS, at %s"
                                  % (self, url.base))
        elif self.body is not None:
            self.body = None
            self._forget("content-type", "content-encoding", "content-language",
                         "content-location")
        if url.origin != self.url.origin:
            self.auth = None
            self.cookies = ""
            self._forget("authorization", "cookie", "host", "proxy-authorization")
        self.method, self.url = method, url
        self.challenged = False
        self.proxy = self.client._proxy_for(url)
        return True

    def _join(self, location):
        """The _URL that a Location means; never to another kind of thing."""
        try:
            location = location.encode("latin-1").decode("utf-8")
        except UnicodeError:
            pass
        try:
            url = self.url.join(location)
        except ValueError as error:
            raise BadResponse("%s: redirected to %r: %s" % (self, location[:200], error)) from error
        if url.path is not None and url.path != self.url.path:
            raise BadResponse("%s: redirected to a socket of this machine" % self)
        return _URL(url.scheme, url.host, url.port, url.target, None, url.path)

    def _forget(self, *names):
        if not self.headers._first.keys().isdisjoint(names):
            self.headers = self.headers.copy()
            for name in names:
                del self.headers[name]


_HINTS = {"SSLCertVerificationError": ": name its authority with ca_certs",
          "ConnectionRefusedError": ": is the server running, on that port?",
          "gaierror": ": is the name right?"}
_MOVED = frozenset((301, 302, 303, 307, 308))


class _Turn(_ClientWaiting):
    """Wait until a connection may be used."""

    __slots__ = ("key", "timer")

    def __init__(self, client, key, seconds, error):
        super().__init__(client)
        self.key = key
        self.timer = None if seconds == _INFINITE else client._reactor.call_later(
            max(0, seconds), self.finish, None, error)

    def install(self):
        self.manager._turns.setdefault(self.key, {})[self] = None

    def withdraw(self):
        super().withdraw()
        if self.timer is not None:
            self.manager._reactor.cancel(self.timer)
        turns = self.manager._turns.get(self.key, {})
        if turns.pop(self, self) is None and not turns:
            del self.manager._turns[self.key]


class ClientRequest(Event):
    """Ask a server: (method, URL or path, body=None, headers=None).

    A path alone needs a connection, see Client; an absolute URL does not.
    The response is the value of the event, the client's *response*, and what
    ClientResponse tells.
    """

    name = "request"

    def __init__(self, method, url, body=None, headers=None):
        super().__init__(method, url, body, headers)


class ClientResponse(Event):
    """A response to a ClientRequest is complete: (response)."""

    name = "response"


class Client(BaseComponent):
    """Asks HTTP servers; yield or await what its methods return.

        response = yield client.get("https://example.org/", params={"q": 1})
        response = await client.post(url, json={"a": 1}, timeout=10)
        response.raise_for_status().json()

    url       what paths are relative to, and where Connect() connects to
    channel   of the documented events, below

    headers   sent with each request, unless that has its own; client.headers
              can be changed later.  User-Agent, Accept and Accept-Encoding
              have defaults, None leaves one out
    cookies   a CookieJar; False: keep none.  By default what servers set goes
              back to them: where several users are served, each needs a jar
    auth      (name, password) for HTTP Basic or a DigestAuth, for the origin
              of *url* alone

    timeout, connect_timeout, read_timeout
              seconds, see the constants; float("inf") lifts one
    verify, ca_certs, certfile, keyfile
              of TLS, see client_context(); context: an SSLContext of your own
    uds       the path of a UNIX socket that all connections go to; one alone
              is http+unix://%2Frun%2Fx.sock/path
    proxy     "http://[name:password@]host:port"; https goes through a tunnel
    trust_env  True: take proxies from http_proxy, https_proxy and no_proxy

    max_connections, max_per_host, idle_timeout, max_redirects
              see the constants; who comes too late waits
    max_body  bytes of a response, decompressed, unless it is streamed
    max_header_bytes, max_headers
              of a response

    The documented way: fire Connect(), wait for connected(host, port), fire
    ClientRequest("GET", "/path") (web.client.Request): the response comes as
    the value of that, as response(response) and as client.response.

    Listens:  connect(), request(method, url, body, headers), write(data), close()
    Fires:    connected, unreachable, response, disconnected
    Raises:   ClientError and its subclasses; ValueError and TypeError for what
              cannot be sent
    """

    channel = "client"

    def __init__(self, url=None, channel=None, *, headers=None, cookies=True, auth=None,
                 timeout=CLIENT_TIMEOUT, connect_timeout=CLIENT_CONNECT_TIMEOUT,
                 read_timeout=CLIENT_READ_TIMEOUT, verify=True, ca_certs=None, certfile=None,
                 keyfile=None, context=None, uds=None, proxy=None, trust_env=False,
                 max_connections=MAX_CONNECTIONS, max_per_host=MAX_PER_HOST,
                 idle_timeout=CLIENT_IDLE_TIMEOUT, max_redirects=MAX_REDIRECTS, max_body=MAX_BODY,
                 max_header_bytes=MAX_HEADER_BYTES, max_headers=MAX_HEADERS):
        super().__init__(channel=channel or self.channel)
        self.url = url
        self._home = self._base = None if url is None else _parse_url(url)
        self.response = None
        self.headers = Headers([("User-Agent", SERVER_VERSION), ("Accept", "*/*"),
                                ("Accept-Encoding", _CODINGS_TAKEN)])
        self._merge(self.headers, headers)
        self.cookies = CookieJar() if cookies is True else None if cookies is False else cookies
        if auth is not None and url is None:
            raise ValueError("the client's auth is for the origin of its url: give that, or give "
                             "auth with each request")
        self.auth = auth
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self.uds = None if uds is None else os.fspath(uds)
        self.proxy = None if proxy is None else self._read_proxy(proxy)
        if max_connections < 1 or max_per_host < 1:
            raise ValueError("max_connections and max_per_host are at least 1, got %r and %r"
                             % (max_connections, max_per_host))
        self.trust_env = trust_env
        self.max_connections = max_connections
        self.max_per_host = max_per_host
        self.idle_timeout = idle_timeout
        self.max_redirects = max_redirects
        self.max_body = max_body
        self.stopping = False
        self._limits = {"max_header_bytes": max_header_bytes, "max_headers": max_headers}
        self._context = context
        self._tls_options = {"verify": verify, "ca_certs": ca_certs, "certfile": certfile,
                             "keyfile": keyfile}
        self._transport = _Transport(channel="%s.transport" % self.channel).register(self)
        self._pid = os.getpid()
        self._links = {}            # key -> number of connections
        self._idle = {}             # _Link -> None, the longest idle first
        self._turns = {}            # key -> {_Turn: None}, who waits for a connection
        self._serving = False       # the queue is being looked at
        self._sweep = None          # the timer that closes idle ones
        self._main = None           # the connection that Connect() made

    @property
    def connected(self):
        """Whether there is a connection."""
        return any(link.connected for link in self._transport.components)

    # -- to ask -------------------------------------------------------------

    def get(self, url, **options):
        """GET; for the options see request()."""
        return self.request("GET", url, **options)

    def head(self, url, **options):
        """HEAD: the headers of a GET, no body."""
        return self.request("HEAD", url, **options)

    def post(self, url, data=None, **options):
        """POST."""
        return self.request("POST", url, data=data, **options)

    def put(self, url, data=None, **options):
        """PUT."""
        return self.request("PUT", url, data=data, **options)

    def patch(self, url, data=None, **options):
        """PATCH."""
        return self.request("PATCH", url, data=data, **options)

    def delete(self, url, **options):
        """DELETE."""
        return self.request("DELETE", url, **options)

    def options(self, url, **options):
        """OPTIONS."""
        return self.request("OPTIONS", url, **options)

    async def request(self, method, url, *, params=None, data=None, json=None, files=None,
                      headers=None, cookies=None, auth=None, timeout=None, allow_redirects=True,
                      stream=False):
        """Ask a server, and return its ResponseObject.

        params   a dict or list of pairs, added to the URL's query
        data     the body: bytes, text, a file, an iterator of pieces, or an
                 asynchronous one; or a dict or list of pairs: a form
        json     the body, as JSON
        files    {name: file}: a multipart form, with *data* as its fields;
                 for a file also (file name, file[, content type])
        headers  a dict or list of pairs; None as a value leaves a default out
        cookies  a dict, sent with this request only
        auth     (name, password) or a DigestAuth
        timeout  seconds for all of it; or (connect, read) or (connect, read,
                 all), None for the client's own.  With stream=True they end
                 when the head is there; then read_timeout counts alone
        allow_redirects  False: return the redirect
        stream   True: return as soon as the head is there

        Files and iterators are sent as the server takes them.  A connection
        that was kept and that the server just closed is replaced once, if the
        method may be repeated.
        """
        order = self._order(method, url, params, data, json, files, headers, cookies, auth,
                            timeout, stream)
        history = []
        while True:
            response = await self._perform(order)
            try:
                if response.status == 401 and await self._may_authenticate(order, response):
                    continue
                if not allow_redirects or not order.again(response):
                    break
                if len(history) >= self.max_redirects:
                    raise TooManyRedirects("%s: more than %d redirects, the last to %s" % (
                        order, self.max_redirects, order.url))
                history.append(response)
                await response._discard()
            except BaseException:
                response.close()
                raise
        response.history = history
        if stream:
            order.deadline = _INFINITE
        else:
            await response.load()
        return response

    def _order(self, method, url, params, data, json, files, headers, cookies, auth, timeout,
               stream):
        """The _Order of a request; everything is checked here."""
        if not is_token(method) or method.upper() == "CONNECT":
            raise ValueError("a method is a word like GET, and not CONNECT, got %r" % (method,))
        reactor = self._reactor
        if reactor.ident is not None and reactor.ident != get_ident():
            raise RuntimeError("%r is driven by another thread: say app.call_from_thread("
                               "ClientRequest(...))" % self)
        order = _Order(self, method.upper(), self._absolute(url))
        if params:
            text = params if isinstance(params, str) else encode_form(params)
            target = order.url.target
            order.url = order.url.to(_parse_url("http://x%s%s%s" % (
                target, "&" if "?" in target else "?", text)).target)
        order.body = self._body(data, json, files)
        if headers:
            order.headers = self.headers.copy()
            self._merge(order.headers, headers)
            if "range" in order.headers and order.headers["Accept-Encoding"] == _CODINGS_TAKEN:
                del order.headers["Accept-Encoding"]    # part of a compressed body is no use
        order.cookies = _cookie_pairs(cookies) if cookies else ""
        own = auth is None and order.url.login is None
        if own and self.auth is not None and self._home.origin == order.url.origin:
            auth = self.auth
        auth = order.url.login if auth is None else auth
        order.auth = _basic(*auth) if isinstance(auth, (tuple, list)) else auth
        order.stream = stream
        order.max_body = self.max_body
        connect = read = None
        if isinstance(timeout, tuple):
            connect, read, timeout = (timeout + (None, None))[:3]
        order.connect_timeout = self.connect_timeout if connect is None else connect
        order.read_timeout = self.read_timeout if read is None else read
        order.timeout = self.timeout if timeout is None else timeout
        if not (order.connect_timeout > 0 and order.read_timeout > 0 and order.timeout > 0):
            raise ValueError("a timeout is seconds, more than 0, or float('inf'), got %r" % (
                (order.connect_timeout, order.read_timeout, order.timeout),))
        order.deadline = self.root.clock() + order.timeout
        order.proxy = self._proxy_for(order.url)
        return order

    def _absolute(self, url):
        if self._base is not None and isinstance(url, str):
            if url.startswith("/") and not url.startswith("//"):
                return self._base.to(_parse_url("http://x" + url).target)
            return self._base.join(url)
        return _parse_url(url)

    @staticmethod
    def _body(data, json, files):
        """The _Body of what the user gave; None without any."""
        if sum(thing is not None for thing in (data, json, files)) > 1 \
                and (json is not None or files is None):
            raise ValueError("a request has one body: data, json, or files with data as fields")
        if files:
            return _multipart(data, files)
        if json is not None:
            from json import dumps
            return _Body([dumps(json)], "application/json")
        if data is None:
            return None
        if hasattr(data, "items") or isinstance(data, (list, tuple)) and all(
                isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in data):
            return _Body([encode_form(data)], "application/x-www-form-urlencoded")
        return _Body([data])

    @staticmethod
    def _merge(headers, changes):
        """Put the user's headers over the defaults."""
        changes = list(changes.items() if hasattr(changes, "items") else changes or ())
        for name, value in changes:
            if name.lower() in _OUR_HEADERS and str(value).lower() != "close":
                raise ValueError("the header %s is ours to send, but for Connection: close" % name)
            del headers[name]
        for name, value in _pairs(changes):
            headers.add_header(name, value.decode("latin-1") if isinstance(value, bytes)
                               else str(value))
        if len(headers.get_all("Host")) > 1 or not valid_host(headers.get("Host", "")):
            raise ValueError("Host is one name, with a port or without, got %r"
                             % headers.get_all("Host"))

    # -- one request --------------------------------------------------------

    async def _perform(self, order):
        """Send it; the response with its head, over a fresh connection if need be."""
        while True:
            link = await self._connection(order)
            try:
                head = await link.ask(order)
                if head is not None:
                    order.fresh = False
                    response = ResponseObject._of(head, order, link)
                    lines = head.headers.get_all("set-cookie")
                    if lines:
                        self._take_cookies(order, response, lines)
                    return response
            except BaseException:
                link.drop()
                raise
            link.drop()
            if order.method not in IDEMPOTENT or order.body is not None and not order.body.again:
                raise BadResponse("%s: the server closed a kept connection just as the request was "
                                  "sent: repeat it, if doing twice does no harm" % order)
            order.fresh = True

    def _take_cookies(self, order, response, lines):
        for line in lines:
            name, _, value = line.partition(";")[0].partition("=")
            response.cookies[name.strip(" \t")] = value.strip(" \t")
        if self.cookies is not None and order.url.path is None:
            self.cookies.take(order.url, lines)

    def _cookies_for(self, url):
        return "" if self.cookies is None or url.path is not None else self.cookies.header(url)

    async def _may_authenticate(self, order, response):
        """Whether a 401 is to be answered with a digest."""
        auth = order.auth
        if order.challenged or not hasattr(auth, "challenged") \
                or order.body is not None and not order.body.again \
                or not auth.challenged(order.url, response.headers.get_all("www-authenticate")):
            return False
        order.challenged = True
        await response._discard()
        return True

    def _proxy_for(self, url):
        """The _URL of the proxy for *url*, or None."""
        if self.uds is not None or url.path is not None:
            return None
        if self.proxy is None and self.trust_env:
            from urllib.request import getproxies_environment
            from urllib.request import proxy_bypass_environment
            text = getproxies_environment().get(url.scheme)
            if text and not proxy_bypass_environment(url.netloc):
                return self._read_proxy(text if "://" in text else "http://" + text)
        return self.proxy

    @staticmethod
    def _read_proxy(text):
        proxy = _parse_url(text)
        if proxy.scheme != "http":
            raise ValueError("a proxy is http://host:port, got %s" % proxy.base)
        return proxy

    def _tls(self):
        """The SSLContext, made when it is first needed: that takes 20 ms."""
        if self._context is None:
            self._context = client_context(**self._tls_options)
        return self._context

    # -- connections --------------------------------------------------------

    async def _connection(self, order):
        """A connection to the server of *order*, that nobody else uses."""
        key = order.key()
        link = self._take(key, order.fresh)
        while link is None:
            turn = _Turn(self, key, order.deadline - self.root.clock(), ClientTimeout(
                "%s: all of its connections were busy for %g s: raise max_per_host or "
                "max_connections" % (order, order.timeout)))
            try:
                link = await turn
            except BaseException:
                if turn.outcome is not None:        # it came too late
                    turn.outcome.done()
                raise
            if link.gone:                           # it ended before we had our turn
                link = self._take(key, order.fresh)
        if not link.connected:
            try:
                await link.open(order)
            except BaseException:
                link.drop()
                raise
            if order.main:
                self._main = link
                self.fire(Connected(order.url.host, order.url.port))
        return link

    def _take(self, key, fresh=False):
        """An idle connection, or a new one; None if there are too many."""
        if self._pid != os.getpid():        # those of a parent process are not ours
            self._pid = os.getpid()
            self._drop_idle()
        if not fresh:
            for link in [link for link in self._idle if link.key == key][::-1]:
                if self._idle.pop(link, link) is None:      # still there
                    if link.is_quiet():
                        return link
                    link.drop()
        if self._links.get(key, 0) >= (1 if key[0] == "main" else self.max_per_host):
            if not fresh:
                return None
        elif sum(self._links.values()) >= self.max_connections:
            if not self._drop_idle(1):
                return None
        self._links[key] = self._links.get(key, 0) + 1
        return _Link(self, key, self._limits).register(self._transport)

    def _drop_idle(self, count=None):
        """Close the connections that are idle longest; True if there were any."""
        serving, self._serving = self._serving, True
        found = [link for link in self._idle if link is not self._main][:count]
        for link in found:
            link.drop()
        self._serving = serving
        return bool(found)

    def _keep(self, link):
        """A connection is free for the next request."""
        for turn in self._turns.get(link.key, ()):
            return turn.finish(link)
        link.since = self.root.clock()
        self._idle[link] = None
        self._serve_queue()
        if self._sweep is None and link is not self._main and self.idle_timeout < _INFINITE:
            self._sweep = self._reactor.call_later(self.idle_timeout, self._close_idle)

    def _lost(self, link):
        """A connection is gone."""
        self._idle.pop(link, None)
        self._links[link.key] -= 1
        if not self._links[link.key]:
            del self._links[link.key]
        if link is self._main:
            self._main = None
            self.fire(Disconnected())
        self._serve_queue()

    def _serve_queue(self):
        """There is room for one more: who of those who wait can have it?"""
        if self._serving or self.stopping:
            return
        self._serving = True
        try:
            for key, turns in self._turns.items():
                link = self._take(key)
                if link is not None:
                    self._turns[key] = self._turns.pop(key)     # the others are next
                    return next(iter(turns)).finish(link)
        finally:
            self._serving = False

    def _who_waits(self):
        return [turn for turns in self._turns.values() for turn in turns]

    def _close_idle(self):
        self._sweep = None
        now = self.root.clock()
        oldest = None
        for link in list(self._idle):
            if link is self._main:
                continue
            if now - link.since >= self.idle_timeout:
                link.drop()
            else:
                oldest = link.since if oldest is None else oldest
        if oldest is not None:
            self._sweep = self._reactor.call_later(
                self.idle_timeout - (now - oldest), self._close_idle)

    # -- the documented events ----------------------------------------------

    @handler("connect")
    def _on_connect(self, host=None, port=None, secure=None):
        """Connect to the server of *url*, or to another; True if that succeeded."""
        if host is not None and not isinstance(host, str):
            return None             # what a server on our channel says
        base = self._base
        if host is not None:
            host = "[%s]" % host if ":" in host else host
            base = _parse_url("http%s://%s:%d/" % ("s" if secure else "", host, port))
        if base is None:
            raise ValueError("Connect() needs a host and a port where the client has no URL")
        if self._main is not None and base.origin != self._base.origin:
            raise RuntimeError("%r is connected to %s: close it first" % (self, self._base.netloc))
        self._base = base
        return self._connect(base)

    async def _connect(self, base):
        if self._main is not None:
            return True
        order = self._order("GET", base.base, *(None,) * 8, False)
        order.method, order.main = "CONNECT", True
        try:
            link = await self._connection(order)
        except (ConnectError, ClientTimeout) as error:
            self.fire(Unreachable(base.host, base.port, error))
            return False
        link.order = None
        self._keep(link)
        return True

    @staticmethod
    def _is_path(url):
        return isinstance(url, str) and "://" not in url.partition("?")[0]

    @handler("request")
    def _on_request(self, method, url, body=None, headers=None):
        if self._is_path(url) and self._main is None:
            raise NotConnected()
        return self._answer(method, url, body, headers)

    async def _answer(self, method, url, body, headers):
        order = self._order(method, url, None, body, None, None, headers, *(None,) * 3, False)
        order.main = self._is_path(url)
        response = await self._perform(order)
        await response.load()
        self.response = response
        self.fire(ClientResponse(response))
        return response

    @handler("write")
    def _on_write(self, data):
        """Send bytes over the connection that Connect() made."""
        if self._main is not None:
            self._main.put(data)

    @handler("close")
    def close(self, sock=None):
        """Close all connections; requests in work fail."""
        for link in list(self._transport.components):
            link.fail(ClientError("%r was closed" % self))
        for turn in self._who_waits():
            turn.finish(error=ClientError("%r was closed" % self))

    @handler("stopped", channel="*")
    def _on_stopped(self, component, *args):
        """Let the tree end those that wait: its own tasks silently, others by Cancelled."""
        if component is self.root:
            self.stopping = True
            links = list(self._transport.components)
            for waiting in [link.waiting for link in links] + self._who_waits():
                if waiting is not None:
                    self._reactor.await_name(waiting.event, waiting)
            for link in links:
                link.drop()

    @handler("started", channel="*")
    def _on_started(self, component, *args):
        self.stopping = False

    def _moved(self, old):
        if old.root._reactor is self._reactor:
            return              # the whole tree moved
        self.stopping = False
        if self._sweep is not None:
            old.cancel(self._sweep)
            self._sweep = None
        for turn in self._who_waits():
            turn.finish(error=Cancelled("%r left the tree before it had a connection" % self))


_OUR_HEADERS = frozenset(("content-length", "transfer-encoding", "connection", "upgrade",
                          "proxy-connection", "keep-alive", "te"))


class ResponseProtocol(BaseComponent):
    """Reads responses from read(data), and fires response(ResponseObject).

    What protocols.http.HTTP is: for those who send the requests themselves,
    over a client on the same channel.  The methods are learnt from request
    events there; without those all count as GET.  ProtocolError, and a Close,
    if the server breaks the rules.
    """

    channel = "web"

    def __init__(self, encoding="utf-8", channel=None, max_body=MAX_BODY):
        super().__init__(channel=channel or self.channel)
        self.encoding = encoding
        self._max_body = max_body
        self._begin()

    def _begin(self):
        self._parser = ResponseParser(max_body=self._max_body)
        self._response = None
        self._content = bytearray()

    @handler("request")
    def _on_request(self, method, *args):
        if isinstance(method, str):
            self._parser.expect(method)

    @handler("read")
    def _on_read(self, data):
        self._parser.feed(data)
        self._advance()

    @handler("disconnected")
    def _on_disconnected(self):
        self._parser.eof()
        try:
            self._advance()
        finally:
            self._begin()

    def _advance(self):
        try:
            while True:
                event = self._parser.next_event()
                if event is None:
                    return
                if isinstance(event, bytes):
                    self._content += event
                    continue
                if event is not END:
                    if event.status < 200 and event.status != 101:
                        continue
                    self._response = ResponseObject(event.status, event.reason, event.version)
                    self._response.headers = event.headers
                    self._response.encoding = parse_params(event.headers.get(
                        "Content-Type", ""))[1].get("charset", self.encoding)
                    if event.has_body:
                        continue
                response, self._response = self._response, None
                response._content = bytes(self._content)
                self._content = bytearray()
                self.fire(ClientResponse(response))
                if response.status == 101:
                    return
        except ProtocolError:
            self._begin()
            self.fire(Close())
            raise


# ---------------------------------------------------------------------------
# 23. WSGI
#
# Other frameworks' applications under our server, and ours under theirs
# (PEP 3333).  Invariant: what an application returned is closed, whatever
# happens, in the thread that iterates over it.
# ---------------------------------------------------------------------------

#: Headers between two neighbours, which no application may set (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "te", "trailer", "trailers", "transfer-encoding", "upgrade"))

# Headers that have a place of their own in an environ, or no meaning there;
# HTTP_PROXY would be taken for a setting by programs that see it (httpoxy).
_NO_VARIABLES = frozenset(("content-type", "content-length", "transfer-encoding", "proxy"))


# -- applications of others under our server ----------------------------------

def create_environ(errors, path, request):
    """The environ of *request* for a WSGI application mounted at *path*.

    errors  the text stream that it gets as wsgi.errors
    path    the prefix of the request's path that becomes SCRIPT_NAME

    The body must be there as a whole; its length is known then, also when it
    came in chunks.  Headers with an underscore in their names are left out:
    they would look like those with a dash, which a proxy may vouch for.
    """
    mount = [part for part in path.split("/") if part]
    script_name = unquote(request.script_name) + "".join(["/" + part for part in mount])
    local, remote = request.local, request.remote
    body = request._body
    headers = request.headers
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": _as_latin(script_name),
        "PATH_INFO": _as_latin(_path_info(request, len(mount))),
        "QUERY_STRING": request.qs,
        "SERVER_NAME": local.name if local.port is not None else "localhost",
        "SERVER_PORT": str(local.port or (443 if request.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/%d.%d" % tuple(request.protocol),
        "SERVER_SOFTWARE": SERVER_VERSION,
        "REMOTE_ADDR": "" if remote is local else remote.ip,
        "REMOTE_PORT": "" if remote.port is None else str(remote.port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": request.body,
        "wsgi.input_terminated": True,
        "wsgi.errors": errors,
        "wsgi.multithread": False,
        "wsgi.multiprocess": getattr(request.server, "_forked", False),
        "wsgi.run_once": False,
        "wsgi.file_wrapper": file_generator,
    }
    if request.login and isinstance(request.login, str):
        environ["REMOTE_USER"] = _as_latin(request.login)
    if body is not None:
        environ["CONTENT_LENGTH"] = str(body.seek(0, 2))
        body.seek(0)
    elif "Content-Length" in headers:
        environ["CONTENT_LENGTH"] = headers["Content-Length"]
    if "Content-Type" in headers:
        environ["CONTENT_TYPE"] = headers["Content-Type"]
    for name, value in headers.items():
        if "_" in name or name.lower() in _NO_VARIABLES:
            continue
        key = "HTTP_" + name.upper().replace("-", "_")
        if key in environ:
            value = environ[key] + ("; " if key == "HTTP_COOKIE" else ", ") + value
        environ[key] = value
    if request._authority is not None:
        environ["HTTP_HOST"] = request._authority
    return environ


def _as_latin(text):
    """*text* as PEP 3333 has it: its bytes in UTF-8, each as one character."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _path_info(request, count):
    """The path below the first *count* segments, its parameters included.

    A slash that came as %2F is one here; no dot segment gets in that way.
    """
    path = "".join(["/" + segment for segment in request.segments[count:]])
    if request._head is not None and ";" in request._head.target:
        last = split_target(request.method, request._head.target)[0].rpartition("/")[2]
        name, semicolon, params = last.partition(";")
        if semicolon and path.endswith("/" + unquote(name)):
            path += semicolon + unquote(params, errors="surrogateescape")
    if "\0" in path or not {".", ".."}.isdisjoint(path.split("/")):
        raise BadInput("a NUL, or a dot segment behind %2F")
    return path


class Gateway(BaseComponent):
    """Has WSGI applications answer requests.

        server + Gateway({"/": site, "/blog": blog}, workers=8)

    apps     prefix of the path -> application; or one application for all
    workers  threads that call the applications.  Default 0: they are called
             in the loop, in the order of everything else; right for quick
             ones.  An application that waits, for a database say, would stop
             the whole server meanwhile: give it threads

    The longest prefix counts that ends where a part of the path does; other
    requests are left to the Dispatcher.  What is streamed goes out as fast as
    the peer takes it; when the peer leaves, the iterable is closed.
    """

    channel = "web"

    def __init__(self, apps, workers=0, channel=None):
        super().__init__(channel=channel or self.channel)
        if callable(apps):
            apps = {"/": apps}
        if not isinstance(workers, int) or workers < 0:
            raise ValueError("workers is a number of threads, 0 for none, got %r" % (workers,))
        self.apps = apps
        self.workers = workers
        self._mounts = {}
        for prefix, app in apps.items():
            if not callable(app):
                raise TypeError("a WSGI application is called with (environ, start_response), "
                                "got %r for %r" % (app, prefix))
            self._mounts[tuple(part for part in prefix.split("/") if part)] = app
        self._depth = max(map(len, self._mounts), default=0)
        self._pipes = set()         # of calls that are running in threads
        if workers:
            self._pool = Worker(workers=workers, channel=(self, "pool")).register(self)

    @_own_step
    @handler("request", filter=True, priority=-0.8)
    def _on_request(self, event, request, response, peer_cert=None):
        if answered(event) or request.path == "*":
            return None
        segments = request.segments
        for count in range(min(len(segments), self._depth), -1, -1):
            app = self._mounts.get(tuple(segments[:count]))
            if app is not None:
                break
        else:
            return None
        prefix = "/".join(segments[:count])
        if isinstance(request._body, BodyStream):
            return self._collect(app, prefix, request, response)
        return self._answer(app, prefix, request, response)

    def _collect(self, app, prefix, request, response):
        """A task: the body comes piece by piece, for the sake of another handler."""
        spool = Spool(request.limits.get("max_memory", MAX_MEMORY))
        try:
            while True:
                piece = yield request.body.get()
                if not piece:
                    break
                spool.write(piece)
        except BaseException:
            spool.file.close()
            raise
        request._body = spool.file
        answer = self._answer(app, prefix, request, response)
        return (yield answer) if isinstance(answer, GeneratorType) else answer

    def _answer(self, app, prefix, request, response):
        errors = sys.stderr
        if errors is None:
            from io import StringIO
            errors = StringIO()
        environ = create_environ(errors, prefix, request)
        if not self.workers:
            return _Call(app, environ, response, self._reactor).answer()
        environ["wsgi.multithread"] = True
        return self._answer_later(_ThreadCall(app, environ, response, self._reactor))

    def _answer_later(self, call):
        """A task: have a thread call the application; the response."""
        self._pipes.add(call.pipe)
        call.pipe.on_close = self._pipes.discard
        body = None
        try:
            task = Task(call.run)
            self.fire(task, self._pool)
            _when_done(task, _Called(call.over))
            body = yield call.head
        finally:
            if body is not call.pipe:
                call.pipe.close()
        return None if body is None else call.respond(body)

    @_own_step
    @handler("stopped", channel="*")
    def _on_stopped(self, component):
        for pipe in list(self._pipes) if component is self.root else ():
            pipe.close()                # else a thread would wait for ever


class _Called(_Afterwards):
    """What is told when a thread is through."""

    __slots__ = ()

    takes_errors = True


class _Call:
    """One call of a WSGI application, in the loop."""

    def __init__(self, app, environ, response, reactor):
        self.app = app
        self.environ = environ
        self.response = response
        self.reactor = reactor
        self.status = None
        self.headers = None
        self.length = None          # of the body, as announced
        self.begun = False          # the head counts as sent
        self.written = None         # a Spool: what write() was told

    def start_response(self, status, headers, exc_info=None):
        """What PEP 3333 gives to an application under that name."""
        if exc_info is not None:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None         # no cycle through this frame
        elif self.status is not None:
            raise RuntimeError("start_response() was called before; to replace that by an error, "
                               "give it exc_info")
        if not isinstance(status, str) or not is_digits(status[:3]) or status < "2":
            raise ValueError("a status is a text like '200 OK', got %r" % (status,))
        check_header("Status", status)
        headers = Headers(list(headers))
        for name in headers:
            if name.lower() in HOP_BY_HOP:
                raise ValueError("the header %s is the server's to set, not an application's (PEP "
                                 "3333)" % name)
        length = headers["Content-Length"]
        if length is not None and not is_digits(length):
            raise ValueError("Content-Length is a number, got %r" % length)
        self.length = None if length is None else int(length)
        self.status, self.headers = status, headers
        return self.write

    def write(self, data):
        """A piece of the body, before what is returned; for old applications."""
        self.begin()
        if self.written is None:
            self.written = Spool()
        self.written.write(_as_piece(data))

    def begin(self):
        """The head cannot be changed any more."""
        if self.status is None:
            raise RuntimeError("%r did not call start_response()" % (self.app,))
        self.begun = True

    def call(self):
        """Call the application; returns what it returned, and the pieces that
        make up the whole body, or else None."""
        body = _Returned(self.app(self.environ, self.start_response), self.reactor)
        try:
            ended = body.look_ahead(self)
            self.begin()
        except BaseException:
            body.close()
            raise
        if ended and self.written is None:
            body.close()
            return body, body.ahead
        return body, None

    def answer(self):
        """The response."""
        try:
            body, pieces = self.call()
        except BaseException:
            if self.written is not None:
                self.written.file.close()
            raise
        if pieces is not None:
            return self.respond(pieces)
        if type(body.result) is file_generator and self.written is None:
            return self.respond(body.result)
        if self.written is not None:
            self.written.file.seek(0)
            body.written = file_generator(self.written.file)
        return self.respond(body)

    def respond(self, body):
        """Make the response of what the application said; *body* is a list if
        it is all there."""
        response, headers = self.response, self.headers
        for name, value in response.headers.items():    # of handlers before us
            if name not in headers:
                headers.add_header(name, value)
        response.headers = headers
        response.status = self.status
        if type(body) is file_generator:
            body.left = _file_length(body.input, self.length)
            if body.left is not None:
                headers["Content-Length"] = body.left
        elif type(body) is list and response.request.method == "HEAD" \
                and (self.length is not None or not body):
            body = iter(())             # its length is that of what a GET gets
        response.body = body
        return response


def _as_piece(data):
    """A piece of a body as bytes; a str, which PEP 3333 does not allow, in UTF-8."""
    if type(data) is bytes:
        return data
    if not isinstance(data, (str, bytes, bytearray, memoryview)):
        raise TypeError("a WSGI application returns an iterable of bytes, got %r in it" % (data,))
    return as_bytes(data)


def _file_length(file, announced):
    """How much of *file* may be sent by its number; None: it has to be read.

    Only of plain files: others have a fileno() that is not their content's,
    that of a gzip file for one.
    """
    from io import FileIO
    raw = getattr(file, "raw", file)
    if not isinstance(raw, FileIO):
        return None
    from stat import S_ISREG
    found = os.fstat(raw.fileno())
    if not S_ISREG(found.st_mode):
        return None
    left = max(0, found.st_size - file.tell())
    return left if announced is None else min(left, announced)


class _Returned:
    """What an application returned, as the body of a response."""

    def __init__(self, result, reactor):
        if isinstance(result, (str, bytes)):    # not its characters, one by one
            result = [result]
        self.result = result
        self.reactor = reactor
        self.closed = False
        self.written = None             # a file_generator that comes first
        self.ahead = []                 # pieces that were taken already
        self.pieces = None

    def look_ahead(self, call):
        """Take pieces until the head is settled; True if that was all of them."""
        self.pieces = iter(self.result)
        if type(self.result) is file_generator:
            return False
        whole = type(self.result) in (list, tuple)
        total = 0
        for piece in self.pieces:
            piece = _as_piece(piece)
            if not piece:
                continue
            self.ahead.append(piece)
            total += len(piece)
            if total != call.length and not whole:
                return False
        return True

    def __iter__(self):
        return self

    def __next__(self):
        if self.written is not None:
            for piece in self.written:
                return piece
            self.written = None
        if self.ahead:
            return self.ahead.pop(0)
        for piece in self.pieces:
            piece = _as_piece(piece)
            if piece:
                return piece
        raise StopIteration

    def close(self):
        if self.closed:
            return
        self.closed = True
        if self.written is not None:
            self.written.close()
        try:
            if hasattr(self.result, "close"):
                self.result.close()
        except Exception as error:      # the response went out: not the peer's trouble
            self.reactor.call_soon(lambda error=error: self.reactor.failed(None, None, error))


class _ThreadCall(_Call):
    """One call of a WSGI application, in a thread of the pool."""

    def __init__(self, app, environ, response, reactor):
        super().__init__(app, environ, response, reactor)
        self.head = _Signal()       # finished with the body: pieces, a file, the pipe
        self.pipe = _Pipe(reactor)

    def run(self):
        """What the thread does."""
        if self.response.done:
            return self.pipe.close()    # the peer left before its turn came
        try:
            body, pieces = self.call()
            if pieces is not None:
                return self._announce(pieces)
            if type(body.result) is file_generator and self.written is None:
                return self._announce(body.result)
            try:
                for piece in body:
                    self.write(piece)
            finally:
                body.close()
            self.pipe.put_end()
        except BaseException as error:
            if not isinstance(error, Exception):
                error, cause = RuntimeError(
                    "the application raised %r, which ends a thread, not the system" % error), error
                error.__cause__ = cause
            self._fail(error)

    def write(self, data):
        self.begin()
        if self.written is None:
            self.written = self.pipe
            self._announce(self.pipe)
        data = _as_piece(data)
        if data:
            self.pipe.put(data)

    def over(self, task):
        """The thread is through, or there was none, or no need of one."""
        error = task.value._error
        if self.reactor.running or not isinstance(error, Cancelled):    # else all ends
            self.head.finish(error=error)

    def _announce(self, body):
        self.reactor.call_soon(lambda: self._announced(body))

    def _announced(self, body):
        if self.head.over and type(body) is file_generator:
            body.close()                # nobody waits for it
        self.head.finish(body)

    def _fail(self, error):
        if self.pipe.closed:
            return                      # nobody waits for that
        if self.written is None:
            self.reactor.call_soon(lambda: self.head.finish(error=error))
        else:
            self.pipe.put_end(error)


class _Signal(Waiting):
    """Wait until somebody calls finish()."""

    __slots__ = ()

    def install(self):
        pass


class _Pipe(BodyStream):
    """A body that a thread writes and the loop sends; MAX_BODY_AHEAD bytes wait
    in it, beyond that the thread does."""

    def __init__(self, reactor):
        from threading import Condition
        super().__init__(None, None)
        self.closed = False
        self.on_close = None
        self._reactor = reactor
        self._room = Condition()

    def put(self, data):
        """Called in the thread; BrokenPipeError when the peer has left."""
        with self._room:
            while self.ahead > MAX_BODY_AHEAD and not self.closed:
                self._room.wait()
            if self.closed:
                raise BrokenPipeError("the client has left")
            self.ahead += len(data)
            self._pieces.append(data)
            first = len(self._pieces) == 1
        if first:
            self._reactor.call_soon(self._hand_over)

    def put_end(self, error=None):
        """Called in the thread: that was all."""
        self._reactor.call_soon(lambda: self.end(error))

    def _take(self):
        with self._room:
            pieces, self._pieces = self._pieces, []
            self.ahead = 0
            self._room.notify()
        return b"".join(pieces)

    def close(self):
        """The response is over: the thread learns it at its next piece."""
        with self._room:
            self.closed = True
            self._pieces = []
            self._room.notify()
        if self.on_close is not None:
            self.on_close(self)


# -- ours under the servers of others -----------------------------------------

class Application(BaseComponent):
    """A tree of components as a WSGI application, for any WSGI server.

        application = Application() + Root()        # gunicorn module:application

    The tree runs in a thread of its own, which the first call starts in each
    process: so handlers need no locks however many threads the server has,
    tasks and timers go on between requests, and a slow request does not hold
    up the others.  The calling thread reads the body, waits for the response
    and hands it to the server, piece by piece as the peer takes it.

    encoding  of text in responses
    options   those of HTTP that concern requests (debug, max_body, ...); what
              concerns connections is the server's

    WebSockets cannot pass through WSGI.  uWSGI needs --enable-threads.

    Attributes: http (the HTTP component); host, port, secure, scheme, base:
    the server's, as it named itself in the latest call.
    """

    channel = "web"
    version = SERVER_VERSION
    _server_name = ("", None, "http")

    def __init__(self, encoding=HTTP_ENCODING, channel=None, **options):
        super().__init__(channel=channel or self.channel)
        self.http = _CalledHTTP(encoding, self.channel, server=self, **options).register(self)
        Dispatcher(channel=self.channel).register(self.http)

    def __call__(self, environ, start_response):
        """What a WSGI server calls."""
        self._server_name = (environ["SERVER_NAME"], _port_of(environ["SERVER_PORT"]),
                             environ["wsgi.url_scheme"])
        reactor = self._run_tree()
        caller = _Caller(environ, self.http)
        reactor.call_soon(lambda: self.http.take(caller))
        self._run_tree()            # it may have stopped just before that
        return caller.answer(start_response)

    def _run_tree(self):
        """Have the tree run in this process; returns its reactor."""
        reactor = self._reactor
        if reactor.running and reactor.pid == os.getpid():
            if reactor.ident == get_ident():
                raise RuntimeError("this is the thread that runs the tree, and would wait for "
                                   "itself: call the application from another")
            return reactor
        with _launching.setdefault(os.getpid(), allocate_lock()):
            root = self.root
            if not (reactor.running and reactor.pid == os.getpid()):
                if reactor.pid not in (None, os.getpid()):
                    self._leave_parent()
                root.join()                 # it may be about to stop
                root.start()
        return reactor

    def _leave_parent(self):
        """In a forked process: forget what the parent's thread was doing."""
        reactor = self._reactor
        reactor.leave_parent()
        reactor.queue.clear()
        self.http._connections.clear()

    host = property(lambda self: self._server_name[0])
    port = property(lambda self: self._server_name[1])
    scheme = property(lambda self: self._server_name[2])
    secure = property(lambda self: self.scheme == "https")
    base = BaseServer.base


# Held while a thread for a tree is started: one for each process, as a thread
# of the parent may have held the parent's when this one was forked.
_launching = {}


def _port_of(text):
    """A port as environ has it; None if there is none."""
    return int(text) if text and is_digits(text) else None


class _Caller:
    """A thread of a WSGI server that called us, where HTTP has a connection.

    The loop puts what the thread is to get: (status, headers, the whole body
    or None); then pieces, or a file to send; None at the end; an exception to
    raise; and functions to call meanwhile.
    """

    def __init__(self, environ, http):
        from queue import SimpleQueue
        self.environ = environ
        self.left = 0               # bytes of the body to be read; None: to its end
        self.total = 0              # bytes that were read
        self._http = http
        self._items = SimpleQueue()
        self._put = self._taken = 0
        self.moved = True           # something was taken
        self._first = None
        self._over = False

    def getpeername(self):
        return self.environ.get("REMOTE_ADDR", ""), _port_of(self.environ.get("REMOTE_PORT"))

    def getsockname(self):
        return self.environ["SERVER_NAME"], _port_of(self.environ["SERVER_PORT"])

    # -- in the loop --------------------------------------------------------

    def put(self, item):
        if type(item) is bytes:
            self._put += len(item)
        self._items.put(item)

    @property
    def pending(self):
        """Bytes that wait here."""
        return self._put - self._taken

    @property
    def slow(self):
        """Whether enough waits here; the loop is told when that changes."""
        return self.pending > MAX_BODY_AHEAD

    # -- in the thread ------------------------------------------------------

    def answer(self, start_response):
        """Wait for the response; what the application returns."""
        try:
            status, headers, data = self._get()
            if data is None:
                self._first = data = self._get()
            start_response(status, headers)
        except BaseException:
            if hasattr(self._first, "close"):
                self._first.close()
            self.close()
            raise
        if type(self._first) is bytes:
            return self
        self._over = True
        if self._first is not None:
            return self.environ["wsgi.file_wrapper"](self._first, CHUNK_SIZE)
        return [data] if data else []

    def _get(self):
        while True:
            item = self._items.get()
            if isinstance(item, FunctionType):
                item()
            elif isinstance(item, Exception):
                raise item
            else:
                return item

    def __iter__(self):
        return self

    def __next__(self):
        if self._over:
            raise StopIteration
        piece, self._first = self._first or self._get(), None
        if piece is None:
            self._over = True
            raise StopIteration
        before = self._taken
        self._taken += len(piece)
        self.moved = True
        put = self._put                 # after that: see _Drained.install()
        if put - before > MAX_BODY_AHEAD >= put - self._taken:
            self._http._reactor.call_soon(lambda: self._http._on_drain(self))
        return piece

    def close(self):
        """The server wants no more of it."""
        if not self._over:
            self._over = True
            self._http._reactor.call_soon(lambda: self._http._on_disconnect(self))

    def read(self, max_body):
        """A piece of the request's body; b"" at the end."""
        size = MAX_PIECE if self.left is None else min(self.left, MAX_PIECE)
        try:
            data = self.environ["wsgi.input"].read(size) if size else b""
        except OSError:                 # the client has left, or breaks the rules
            raise BadInput("the body could not be read") from None
        except Exception as error:
            raise BadInput("the body could not be read") from error
        self.total += len(data)
        if self.total > max_body:
            raise ProtocolError(413, "the body is too large")
        if self.left is not None:
            self.left -= len(data)
            if size and not data:
                raise BadInput("the body is cut off")
        return data


# Some servers say these twice; those of a connection are the server's.
_NO_HEADERS = frozenset(("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_CONNECTION",
                         "HTTP_UPGRADE"))


class _CalledHTTP(HTTP):
    """HTTP with callers in the place of connections; the server does the rest."""

    _parser = RequestParser()       # nothing is ever fed to it

    @_own_step
    @handler("stopped", channel="*")
    def _on_stopped(self, component):
        for conn in list(self._connections.values()) if component is self.root else ():
            if isinstance(conn.response._body, EventStream):
                conn.response._body.close("the server stops")
            elif conn.response.started:
                self._hang_up(conn)
            else:
                self._refuse(conn, ProtocolError(503, "the server stops"))

    def _open(self, sock):
        raise RuntimeError("an Application and a server share the channel %r: give one of them "
                           "another, Application(channel='wsgi')" % self.channel)

    # -- requests -----------------------------------------------------------

    def take(self, caller):
        """A call came: announce its request, when its body is there."""
        if not self._reactor.running:
            return caller.put(("503 Service Unavailable", [("Content-Type", "text/plain")], b""))
        try:
            self._open_call(caller)
        except Exception as error:      # an environ that is none: the server's to hear of
            self._connections.pop(caller, None)
            caller.put(error)

    def _open_call(self, caller):
        conn = self._connections[caller] = _Connection(caller, self._parser)
        if self._sweeper is None:
            self._sweep()
        request = conn.request = HTTPRequest(caller, server=self._server)
        conn.response = HTTPResponse(request, self._encoding)
        try:
            self._read_environ(request, caller)
            if caller.left == 0:
                return self._announce_request(conn)
            if self._is_streamed(request):
                conn.spool = request._body = BodyStream(self, conn)
                self._announce_request(conn)
                return self._go_on(conn, request._body)
            conn.spool = spool = self._new_spool(request)
        except ProtocolError as error:
            return self._refuse(conn, error)
        caller.put(lambda: self._collect(conn, spool))

    def _read_environ(self, request, caller):
        environ = caller.environ
        request.wsgi_environ = environ
        request.method = environ["REQUEST_METHOD"]
        request.scheme = environ["wsgi.url_scheme"]
        request.protocol = _VERSIONS.get(environ.get("SERVER_PROTOCOL"), SERVER_PROTOCOL)
        request.limits = self._form_limits
        request.print_debug = self.debug
        request.login = environ.get("REMOTE_USER")
        try:
            request.headers = Headers([
                (key[key.startswith("HTTP_") and 5:].replace("_", "-").title(), value)
                for key, value in environ.items() if value and (
                    key in ("CONTENT_TYPE", "CONTENT_LENGTH")
                    or key.startswith("HTTP_") and key not in _NO_HEADERS)])
            request.script_name = _quote_latin(environ.get("SCRIPT_NAME", ""))
            path = _quote_latin(environ.get("PATH_INFO", ""))
            query = _quote_latin(environ.get("QUERY_STRING", ""), _PRINTABLE)
        except ValueError:
            raise BadInput("a header or a path that no request has") from None
        if not valid_host(request.headers.get("Host", "")):
            raise BadInput("a Host that is none")
        request.set_target("/" + path[path.startswith("/"):] + ("?" + query if query else ""))
        caller.left = self._length_of(environ)

    def _length_of(self, environ):
        """The length of the body; None: it ends where wsgi.input does."""
        length = environ.get("CONTENT_LENGTH")
        if length:
            if not is_digits(length):
                raise BadInput("a Content-Length that is no number")
            if len(length) > 18 or int(length) > self._limits["max_body"]:
                raise ProtocolError(413, "the body is too large")
            return int(length)
        if "HTTP_TRANSFER_ENCODING" in environ:
            if not environ.get("wsgi.input_terminated"):    # reading might never end
                raise ProtocolError(411, "this server takes no body without its length")
            return None
        if environ.get("wsgi.input_terminated") and environ["REQUEST_METHOD"] not in (
                "GET", "HEAD", "OPTIONS", "DELETE", "TRACE"):
            return None
        return 0

    def _collect(self, conn, spool):
        """In the calling thread: read the body."""
        error = None
        try:
            for piece in iter(lambda: conn.sock.read(self._limits["max_body"]), b""):
                spool.write(piece)
            if isinstance(spool, InflatingSpool):
                spool.end()
        except ProtocolError as raised:
            error = raised
        except ValueError:              # it was closed: the request is over
            return
        self._reactor.call_soon(lambda: self._collected(conn, spool, error))

    def _collected(self, conn, spool, error):
        if conn.spool is not spool:
            return
        if error is not None:
            return self._refuse(conn, error)
        conn.spool = None
        spool.file.seek(0)
        conn.request._body = spool.file
        self._announce_request(conn)

    def _go_on(self, conn, stream):
        if conn.spool is stream:
            conn.sock.put(lambda: self._read_on(conn, stream))

    def _read_on(self, conn, stream):
        """In the calling thread: read one more piece of a streamed body."""
        data, error = b"", None
        try:
            data = conn.sock.read(self._limits["max_body"])
        except ProtocolError as raised:
            error = raised
        self._reactor.call_soon(lambda: self._have_read(conn, stream, data, error))

    @staticmethod
    def _have_read(conn, stream, data, error):
        if conn.spool is stream:
            if data:
                return stream.write(data)
            conn.spool = None
            stream.end(error)

    def _pause(self, conn, pause):
        """The server reads when we do."""

    # -- responses ----------------------------------------------------------

    def _head(self, response):
        """What start_response() is told."""
        code = response.code
        if code < 200:
            raise ValueError("a response %d cannot pass through WSGI: serve %r with our own "
                             "server" % (code, response.request.path))
        response.chunked = False        # that is up to the server
        _, status = check_header("Status", response.status)
        headers = response.headers
        if code in (204, 304):          # as wsgiref.validate wants it
            del headers["Content-Type"]
        else:
            headers.setdefault("Content-Type", "text/plain")
        return ("%s" % status if " " in status else status + " Unknown",
                [pair for pair in headers.items() if pair[0].lower() not in HOP_BY_HOP])

    def _write(self, conn, head, data=None, more=False):
        if type(head) is tuple:
            conn.sock.put(head + (data,))
        else:
            conn.sock.put(head)

    def _start_stream(self, conn, response):
        if isinstance(response._body, EventStream):
            conn.sock.put(b":\n\n")     # servers send no head before there is a piece
        super()._start_stream(conn, response)

    def _send_file(self, conn, response, body):
        """Have the server send a file in its own way, if it has one."""
        request = conn.request
        ours = [request._body] + [upload.file for upload in request._files]
        if "wsgi.file_wrapper" not in request.wsgi_environ or body.input in ours \
                or _file_length(body.input, None) != body.left:
            return self._run_stream(conn, response)
        response._released = True       # it will be closed by the server
        conn.sock.put(body.input)
        self._finished(conn, response)

    def _finished(self, conn, response):
        response.done = True
        self._drop_input(conn, BadInput("the request was answered before its end"))
        self._connections.pop(conn.sock, None)
        conn.request.close()
        conn.sock.put(RuntimeError("the body of the response ended early; see the error event")
                      if getattr(response, "broken", False) else None)

    def _hang_up(self, conn):
        conn.sock.put(RuntimeError("there is no response; see the error event"))
        self._on_disconnect(conn.sock)


_PRINTABLE = "".join(map(chr, range(32, 127)))


def _quote_latin(text, safe="/:;@!$&'()*+,=~"):
    """What an environ says of an address as it is in a URL."""
    return quote(text.encode("latin-1").decode("utf-8", "surrogateescape"), safe)


# ---------------------------------------------------------------------------
# 24. Logger
# ---------------------------------------------------------------------------

def formattime(seconds=None):
    """A time as logs show it: [23/Nov/2026:02:33:25]."""
    year, month, day, hour, minute, second, _, _, _ = time.localtime(seconds)
    return "[%02d/%s/%04d:%02d:%02d:%02d]" % (day, _MONTHS[month - 1], year, hour, minute, second)


def _loggable(text):
    """*text* on one line: no control characters, no quotes that end a field."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    text = text.encode("unicode_escape").decode("ascii")
    return text.replace('"', '\\"')


class Logger(BaseComponent):
    """Writes a line per response, in combined log format.

    file    a path to append to, or an open file; default: standard output
    logger  a logging.Logger, whose info() gets the line, in place of a file
    json    write the fields as a JSON object instead
    """

    channel = "web"
    format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
    names = {"h": "host", "l": "ident", "u": "user", "t": "time", "r": "request", "s": "status",
             "b": "bytes", "f": "referer", "a": "agent"}

    def __init__(self, file=None, logger=None, channel=None, json=False):
        super().__init__(channel=channel or self.channel)
        self.logger = logger
        self.json = json
        self._owned = isinstance(file, str)
        self.file = open(file, "a", encoding="utf-8") if self._owned else file

    @handler("response", priority=-0.1)
    def _on_response(self, response):
        self.log(response)

    def log(self, response):
        """Write the line of a response."""
        request = response.request
        asked = request.headers
        fields = {
            "h": request.remote.name or "-",
            "l": "-",
            "u": getattr(request, "login", None) or "-",
            "t": formattime(),
            "r": "%s %s HTTP/%d.%d" % ((request.method, self._target(request))
                                       + tuple(request.protocol)),
            "s": str(response.code),
            "b": response.headers.get("Content-Length") or "-",
            "f": asked.get("Referer", ""),
            "a": asked.get("User-Agent", ""),
        }
        if self.json:
            import json
            self._write(json.dumps({self.names[key]: text for key, text in fields.items()}))
        else:
            self._write(self.format % {key: _loggable(str(text)) for key, text in fields.items()})

    @staticmethod
    def _target(request):
        if request._head is not None:
            return request._head.target
        return request.path + ("?" + request.qs if request.qs else "")

    def _write(self, line):
        if self.logger is not None:
            return self.logger.info(line)
        file = sys.stdout if self.file is None else self.file
        if file is not None:
            try:
                file.write(line + "\n")
                file.flush()
            except (OSError, ValueError):       # a full disk, a closed file
                pass

    def _moved(self, old):
        if self._owned and self.parent is self:
            self.file.close()


# ---------------------------------------------------------------------------
# 25. Names of the current release
#
# Programs written for it call the same things by lower-case names.
# ---------------------------------------------------------------------------

request = Request
response = Response
stream = Stream
httperror = HTTPError
forbidden = Forbidden
unauthorized = Unauthorized
notfound = NotFound
redirect = Redirect


# ---------------------------------------------------------------------------
# 26. Dotted names
#
# Names that mean something else in the documented layout; see circuits.py.
# ---------------------------------------------------------------------------

_DOTTED = {
    "web.client": {"HTTPException": "ClientError", "Request": "ClientRequest",
                   "request": "ClientRequest", "connect": "Connect"},
    "net.protocols.http": {"HTTP": "ResponseProtocol", "Request": "ClientRequest",
                           "Response": "ClientResponse"},
    "protocols.http": {"HTTP": "ResponseProtocol", "request": "ClientRequest",
                       "response": "ClientResponse"},
    "web.wrappers": {"Request": "HTTPRequest", "Response": "HTTPResponse"},
    "web.exceptions": {
        cls.__name__[:-len("Exception")]: cls.__name__
        for cls in HTTPException.__subclasses__()},
}


# ---------------------------------------------------------------------------
# 27. Command
#
# python3 -m circuits_web [DIR] serves a folder, MODULE:NAME an application,
# --wsgi MODULE:NAME one of another framework.
# ---------------------------------------------------------------------------

#: Threads that call a WSGI application; as many as a Worker has.
WSGI_THREADS = 10


class _Banner(BaseComponent):
    """Says on standard error where the server listens."""

    channel = "web"

    def __init__(self, what):
        super().__init__()
        self.what = what

    @handler("ready")
    def _on_ready(self, server, bind=None):
        if sys.stderr is not None:
            sys.stderr.write("%s serves %s at %s/\n" % (
                SERVER_VERSION, self.what, server.parent.base))
            sys.stderr.flush()


class Reloader(BaseComponent):
    """Starts the program anew when the source of a module changes; for development.

    Looks once in *seconds*.  A source that does not compile is waited for.
    """

    channel = "web"

    def __init__(self, seconds=1.0, channel=None):
        super().__init__(channel=channel or self.channel)
        self.seconds = seconds
        self._times = {}

    @_own_step
    @handler("started", channel="*")
    def _on_started(self, component):
        self._changed()
        self._reactor.call_later(self.seconds, self._look)

    def _changed(self):
        """The sources that changed since the last look."""
        changed = []
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if not path or not path.endswith(".py"):
                continue
            try:
                modified = os.stat(path).st_mtime_ns
            except OSError:
                continue
            if self._times.setdefault(path, modified) != modified:
                self._times[path] = modified
                changed.append(path)
        return changed

    def _look(self):
        changed = self._changed()
        if changed and all(self._compiles(path) for path in changed):
            self._again()
        self._reactor.call_later(self.seconds, self._look)

    @staticmethod
    def _compiles(path):
        try:
            with open(path, "rb") as file:
                compile(file.read(), path, "exec")
        except (SyntaxError, ValueError, OSError) as error:
            if sys.stderr is not None:
                sys.stderr.write("%s: not reloaded: %s\n" % (SERVER_VERSION, error))
            return False
        return True

    @staticmethod
    def _again():
        """Become the same program from its beginning."""
        arguments = list(getattr(sys, "orig_argv", ()))[1:]     # Python 3.10
        if not arguments:
            spec = getattr(sys.modules["__main__"], "__spec__", None)
            start = sys.argv[:1] if spec is None else ["-m", spec.name]
            arguments = start + sys.argv[1:]
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os.execv(sys.executable, [sys.executable] + arguments)


def _application(text, wsgi=False):
    """The components that "module:name" means: an instance, a class or a function;
    or, if it is a WSGI application, what calls that."""
    from importlib import import_module
    module, _, name = text.partition(":")
    sys.path.insert(0, os.getcwd())
    found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if wsgi or isinstance(found, Application):
        return Gateway(found, workers=WSGI_THREADS)
    return found() if callable(found) else found


def _can_make(what, wsgi):
    """Whether a process can make the application; it says itself why not."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] == 0
    code = 1
    try:
        _application(what, wsgi)
        code = 0
    except BaseException:
        from traceback import print_exc
        print_exc()
    finally:
        sys.stderr and sys.stderr.flush()
        os._exit(code)


def _options(argv):
    import argparse
    parser = argparse.ArgumentParser(
        prog="circuits_web",
        description="Serve the files of a folder, or an application, over HTTP.")
    parser.add_argument("what", nargs="?", default=".", metavar="DIR | MODULE:NAME",
                        help="a folder, default the current one; or a component to serve")
    parser.add_argument("-b", "--bind", default="0.0.0.0:8000", metavar="[HOST:]PORT",
                        help="where to listen; default: %(default)s")
    parser.add_argument("-j", "--workers", type=int, default=1, metavar="N",
                        help="processes; default: %(default)s")
    parser.add_argument("-w", "--wsgi", action="store_true",
                        help="MODULE:NAME is a WSGI application; %d threads call it" % WSGI_THREADS)
    parser.add_argument("-r", "--reload", action="store_true",
                        help="start anew when a source changes; for development")
    parser.add_argument("--tls", metavar="CERT[,KEY]", help="speak HTTPS, with these PEM files")
    parser.add_argument("-l", "--log", action="store_true",
                        help="write a line per request to standard output")
    parser.add_argument("-d", "--debug", action="store_true",
                        help="print all events; show tracebacks in error pages")
    parser.add_argument("-v", "--version", action="version", version=SERVER_VERSION)
    return parser, parser.parse_args(argv)


def main(argv=None):
    """Serve a folder or an application: see --help."""
    parser, options = _options(argv)
    if not os.path.isdir(options.what) and ":" not in options.what:
        parser.error("%r is no folder, nor MODULE:NAME" % options.what)
    if options.wsgi and os.path.isdir(options.what):
        parser.error("--wsgi needs a MODULE:NAME, got the folder %r" % options.what)
    if options.reload and options.workers > 1:
        parser.error("--reload works with one process")
    bind = options.bind
    if is_digits(bind):
        bind = "0.0.0.0:" + bind
    certfile, _, keyfile = (options.tls or "").partition(",")
    try:
        server = Server(bind, debug=options.debug, workers=options.workers, secure=bool(certfile),
                        certfile=certfile or None, keyfile=keyfile or None)
    except (OSError, ValueError, RuntimeError) as error:
        parser.exit(1, "%s: %s\n" % (parser.prog, error))
    if os.path.isdir(options.what):
        server += Static(docroot=options.what, dirlisting=True)
        what = os.path.realpath(options.what)
    else:
        what = options.what
        if options.workers == 1:
            server += _application(what, options.wsgi)
    server += _Banner(what)
    if options.reload:
        server += Reloader()
    if options.log:
        server += Logger()
    if options.debug:
        server += Debugger()
    if options.workers > 1 and not os.path.isdir(options.what):
        if not _can_make(what, options.wsgi):       # else each worker would say so, again and again
            return 1
        Workers(server, options.workers,
                prepare=lambda: _application(what, options.wsgi).register(server)).run()
    else:
        server.run()
    return 0


if __name__ == "__main__":
    # What is to be served imports this file by its name, and means this module.
    sys.modules[(__package__ + "." if __package__ else "") + "circuits_web"] = sys.modules[__name__]
    sys.exit(main())
