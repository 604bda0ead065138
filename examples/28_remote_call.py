"""Call handlers of another program: 27_node_server.py.

Run:     python3 examples/27_node_server.py                in another terminal
         python3 examples/28_remote_call.py [PORT]         default 8100
Expect:  1 3 6, if it is the first to call, then "ValueError: it only goes up"
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component, Event
from circuits_net import Node, Remote, RemoteError


class Increment(Event):
    """Ask the counter to go up."""


class Caller(Component):

    channel = "node"

    def init(self, port):
        node = Node(secret="between us", sends=["increment"]).register(self)
        node.add("counter", "127.0.0.1", port)

    def connected_to(self, name, host, port, channel, client):
        for by in (1, 2, 3):
            value = yield self.call(Remote(Increment(by), name))
            print(value.value)
        try:
            yield self.call(Remote(Increment(-1), name))
        except RemoteError as error:
            print(error)
        self.stop()


if __name__ == "__main__":
    Caller(int(sys.argv[1]) if len(sys.argv) > 1 else 8100).run()
