"""A live clock, the same for everybody: server-sent events to a group.

Run:     python3 examples/web_clock.py [PORT]              default 8000
         then open http://127.0.0.1:8000/, or: curl -N http://127.0.0.1:8000/now
Expect:  the time, once a second; after a restart of the server the page goes on.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import time

from circuits import Event
from circuits import Timer
from circuits import handler
from circuits.web import Controller
from circuits.web import EventStream
from circuits.web import Group
from circuits.web import Server

PAGE = """<!DOCTYPE html><title>Clock</title><h1 id="clock"></h1>
<script>new EventSource("/now").onmessage = e => clock.textContent = e.data;</script>"""


class Tick(Event):
    pass


class Root(Controller):

    def __init__(self):
        super().__init__()
        self.group = Group()
        self += Timer(1, Tick(), persist=True)

    def index(self):
        return PAGE

    def now(self):
        return self.group.add(EventStream(self.request, self.response))

    @handler("tick", channel="*")
    def _on_tick(self):
        self.group.send("%s, %d watching" % (time.strftime("%H:%M:%S"), len(self.group)))


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port)) + Root()).run()
