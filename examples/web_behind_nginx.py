"""A server behind nginx, which tells it who the client is.

Run:     python3 examples/web_behind_nginx.py [PORT]       default 8000
         and in nginx:
             upstream app { server 127.0.0.1:8000; keepalive 16; }
             location / {
                 proxy_pass http://app;
                 proxy_http_version 1.1;
                 proxy_set_header Connection "";
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                 proxy_set_header X-Forwarded-Proto $scheme;
                 proxy_set_header X-Forwarded-Host $host;
             }
Expect:  the address of the client and of the page as the client sees them.
         Nobody but the listed proxies is believed.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits.web import Controller
from circuits.web import Server
from circuits_web import ReverseProxy


class Root(Controller):

    def index(self):
        self.response.headers["Content-Type"] = "text/plain; charset=utf-8"
        return "%s asked for %s\n" % (self.request.remote.ip, self.request.uri)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port)) + ReverseProxy(trusted=["127.0.0.1"]) + Root()).run()
