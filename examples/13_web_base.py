"""The web without a framework: one handler answers every request.

Run:     python3 examples/13_web_base.py [PORT]            default 8000
         curl -i http://127.0.0.1:8000/anything
Expect:  You asked for /anything
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits.web import BaseServer


class Root(Component):

    def request(self, request, response):
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
        return "You asked for %s\n" % request.path


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (BaseServer(("127.0.0.1", port)) + Root()).run()
