"""Our controllers under any WSGI server; here the standard library's.

Run:     python3 examples/web_wsgi_app.py [PORT]           default 8000
         then open http://127.0.0.1:8000/greet/Bob
         or, in this folder: gunicorn --threads 8 web_wsgi_app:application
Expect:  Hello Bob!  And at / a page that arrives line by line.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import sleep
from circuits.web import Controller
from circuits.web.wsgi import Application


class Root(Controller):

    def greet(self, name="you"):
        return "Hello %s!" % name

    def index(self):
        async def lines():
            for number in range(1, 6):
                yield "Line %d of 5\n" % number
                await sleep(0.5)
        self.response.headers["Content-Type"] = "text/plain"
        self.response.body = lines()
        return self.response


application = Application() + Root()

if __name__ == "__main__":
    from wsgiref.simple_server import make_server
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with make_server("127.0.0.1", port, application) as server:
        print("Serving on http://127.0.0.1:%d/" % server.server_port, flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
