"""A WSGI application under our server: Flask's if it is installed, else a plain function.

Run:     python3 examples/web_wsgi_gateway.py [PORT]       default 8000
         then open http://127.0.0.1:8000/ and http://127.0.0.1:8000/app/slow
Expect:  "Hello from circuits!" at once, also while /app/slow takes its time:
         the application is called in threads.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import time

from circuits.web import Controller
from circuits.web import Server
from circuits.web.wsgi import Gateway


def plain(environ, start_response):
    time.sleep(3 if environ["PATH_INFO"] == "/slow" else 0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from a function!\n"]


def flask():
    from flask import Flask
    app = Flask(__name__)

    @app.route("/", defaults={"seconds": 0})
    @app.route("/slow", defaults={"seconds": 3})
    def index(seconds):
        time.sleep(seconds)
        return "Hello from Flask!\n"
    return app


class Root(Controller):

    def index(self):
        return "Hello from circuits!\n"


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    try:
        app = flask()
    except ImportError:
        app = plain
    (Server(("127.0.0.1", port)) + Gateway({"/app": app}, workers=8) + Root()).run()
