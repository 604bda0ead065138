"""A client: say something, print the answer, leave.

Run:     python3 examples/20_echo_server.py                in another terminal
         python3 examples/21_echo_client.py [HOST] [PORT]  default localhost 8000
Expect:  Hello, echo!
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits_net import Connect
from circuits_net import TCPClient
from circuits_net import Write


class Client(Component):

    channel = "client"

    def init(self, host, port):
        self.address = host, port
        TCPClient().register(self)

    def ready(self, component):
        self.fire(Connect(*self.address))

    def connected(self, host, port):
        self.fire(Write("Hello, echo!"))

    def unreachable(self, host, port, reason=None):
        raise SystemExit("cannot reach %s:%d: %s" % (host, port, reason))

    def read(self, data):
        print(data.decode())
        raise SystemExit(0)


if __name__ == "__main__":
    host, port = (sys.argv[1:] + ["localhost", "8000"][len(sys.argv) - 1:])[:2]
    Client(host, int(port)).run()
