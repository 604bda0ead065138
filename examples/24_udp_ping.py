"""Datagrams: ping a server, and see how long the answer takes.

Run:     python3 examples/24_udp_ping.py
Expect:  five lines like "pong 3 after 0.21 ms"
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component, Event, Timer
from circuits_net import UDPClient, UDPServer, Write


class Pong(UDPServer):

    def read(self, address, data):
        return data                 # back to where it came from


class Ping(Component):

    channel = "client"

    def init(self, target):
        self.target = target
        self.count = 0
        UDPClient(("127.0.0.1", 0), channel="client").register(self)
        Timer(0.1, Event.create("ping"), "client", persist=True).register(self)

    def ping(self):
        self.count += 1
        self.sent = time.monotonic()
        self.fire(Write(self.target, "%d" % self.count))

    def read(self, address, data):
        print("pong %s after %.2f ms" % (data.decode(), 1000 * (time.monotonic() - self.sent)))
        if self.count == 5:
            raise SystemExit(0)


if __name__ == "__main__":
    server = Pong(("127.0.0.1", 0))
    (server + Ping((server.host, server.port))).run()
