"""Sessions: log in, be known, log out.

Run:     python3 examples/web_login.py [PORT]              default 8000
         then open http://127.0.0.1:8000/   (name: bob, password: secret)
Expect:  a log-in form; then "Hello bob" at each visit until you log out.
"""
import hmac
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits.web import Controller
from circuits.web import Server
from circuits.web import Sessions
from circuits_web import check_csrf
from circuits_web import csrf_token
from circuits_web import escape

PASSWORDS = {"bob": "secret"}               # in earnest: salted hashes
FORM = """<!DOCTYPE html><title>Log in</title><form action="/%s" method="post">%s
<input type="hidden" name="token" value="%s"><button>Go</button></form>"""


class Root(Controller):

    def index(self):
        token = csrf_token(self.session)
        if "name" in self.session:
            return "Hello %s" % escape(self.session["name"]) + FORM % ("logout", "", token)
        fields = '<input name="name"><input name="password" type="password">'
        return FORM % ("login", fields, token)

    def login(self, name="", password="", token=""):
        right = hmac.compare_digest(PASSWORDS.get(name, "").encode(), password.encode())
        if not (check_csrf(self.session, token) and right and password):
            return self.forbidden("That is not right.")
        self.session.rotate()               # an id planted by others is worthless now
        self.session["name"] = name
        return self.redirect("/")

    def logout(self, token=""):
        if check_csrf(self.session, token):
            self.session.expire()
        return self.redirect("/")


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port)) + Sessions() + Root()).run()
