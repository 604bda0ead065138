"""A script that starts a server in a thread, uses it, and stops it.

Run:     python3 examples/16_in_a_thread.py
Expect:  The server says: Hello World!
         It counted 1 visit.
"""
import os
import sys
from urllib.request import urlopen

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event
from circuits.web import Controller
from circuits.web import Server


class Count(Event):
    """Asks how many visits there were."""


class Root(Controller):

    def index(self):
        return "Hello World!"


class Visits(Component):

    channel = "web"
    visits = 0

    def request(self, request, response):
        self.visits += 1

    def count(self):
        return self.visits


def main():
    with Server(("127.0.0.1", 0)) + Root() + Visits() as app:       # it runs from here ...
        url = "http://%s:%d/" % (app.host, app.port)
        print("The server says:", urlopen(url).read().decode())
        print("It counted %d visit." % app.call_from_thread(Count(), "web").value)
    # ... to here


if __name__ == "__main__":
    main()
