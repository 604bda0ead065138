"""A page that the server keeps writing to: a generator for each who watches.

Run:     python3 examples/web_stream.py [PORT]             default 8000
         then open http://127.0.0.1:8000/, or: curl -N http://127.0.0.1:8000/clock
Expect:  the time, once a second, until you close the page.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import time

from circuits import sleep
from circuits.web import Controller
from circuits.web import EventStream
from circuits.web import Server
from circuits.web import expose

PAGE = """<!DOCTYPE html><title>Clock</title><h1 id="clock"></h1>
<script>new EventSource("/clock").onmessage = e => clock.textContent = e.data;</script>"""


async def ticks():
    while True:                             # closed when the peer leaves
        yield time.strftime("%H:%M:%S")
        await sleep(1)


class Root(Controller):

    def index(self):
        return PAGE

    @expose("clock")
    def ticking(self):
        return EventStream(self.request, self.response, ticks())


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port)) + Root()).run()
