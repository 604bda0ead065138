"""Two sites on one port, told apart by the name that was asked for.

Run:     python3 examples/web_hosts.py [PORT]              default 8000
         curl -H "Host: one.example" http://127.0.0.1:8000/
         curl -H "Host: two.example" http://127.0.0.1:8000/
Expect:  "This is one" and "This is two"; "Which one?" for other names.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits.web import Controller
from circuits.web import Server
from circuits.web import VirtualHosts


class One(Controller):
    channel = "/one"

    def index(self):
        return "This is one\n"


class Two(Controller):
    channel = "/two"

    def index(self):
        return "This is two\n"


class Root(Controller):

    def index(self):
        return "Which one?\n"


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port)) + Root() + One() + Two()
     + VirtualHosts({"one.example": "/one", "two.example": "/two"})).run()
