"""A node: other programs may fire the events it names.

Run:     python3 examples/27_node_server.py [PORT]         default 8100
         python3 examples/28_remote_call.py                in another terminal
Expect:  "one more" for each call of the other program
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits_net import Node


class Counter(Component):

    channel = "node"

    def init(self, port):
        self.count = 0
        self.node = Node(("127.0.0.1", port), secret="between us", receives=["increment"])
        self.node.register(self)

    def started(self, component):
        print("listening on port %d" % self.node.port, flush=True)

    def increment(self, by=1):
        if by < 1:
            raise ValueError("it only goes up")
        print("one more", flush=True)
        self.count += by
        return self.count


if __name__ == "__main__":
    Counter(int(sys.argv[1]) if len(sys.argv) > 1 else 8100).run()
