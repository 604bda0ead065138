"""A form and what comes of it.

Run:     python3 examples/web_forms.py [PORT]              default 8000
         then open http://127.0.0.1:8000/
Expect:  a form; sent, it greets by the name that was typed, escaped.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits.web import Controller
from circuits.web import Server
from circuits_web import escape

FORM = """<!DOCTYPE html><title>Form</title>
<form action="/greet" method="post">
<label>First name <input name="first" required></label>
<label>Last name <input name="last"></label>
<button>Greet me</button>
</form>"""


class Root(Controller):

    def index(self):
        return FORM

    def greet(self, first, last=""):        # the fields of the form
        return "Hello %s %s!" % (escape(first), escape(last))


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port)) + Root()).run()
