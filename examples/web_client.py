"""Fetches a page the documented way, by events; compare web_crawler.py.

Run:     python3 examples/web_client.py [URL]              default http://127.0.0.1:8000/
         for something to fetch, in another terminal: python3 examples/hello_web.py
Expect:  the status, the headers and the page.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits.web.client import Client
from circuits.web.client import Connect
from circuits.web.client import Request
from circuits.web.client import parse_url


class Fetch(Component):

    channel = "client"

    def init(self, url):
        self.path = parse_url(url)[2]
        self.client = Client(url).register(self)

    def started(self, component):
        self.fire(Connect())

    def connected(self, host, port):
        self.fire(Request("GET", self.path))

    def unreachable(self, host, port, reason):
        print("There is nobody:", reason)
        self.stop()

    def response(self, response):
        print(response.status, response.reason)
        print(response.headers)
        print(response.text)
        self.stop()


if __name__ == "__main__":
    Fetch(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/").run()
