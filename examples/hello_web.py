"""A web server with a page per method.

Run:     python3 examples/hello_web.py [PORT]              default 8000
         then open http://127.0.0.1:8000/ and http://127.0.0.1:8000/hello/you
Expect:  Hello World!    and    Hello you!
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits.web import Controller
from circuits.web import Server


class Root(Controller):

    def index(self):
        return "Hello World!"

    def hello(self, who="stranger"):
        self.response.headers["Content-Type"] = "text/plain; charset=utf-8"
        return "Hello %s!" % who


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port)) + Root()).run()
