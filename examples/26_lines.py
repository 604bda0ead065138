"""A protocol of lines: a calculator.

Run:     python3 examples/26_lines.py [PORT]               default 8000
         nc localhost 8000                                 then: 6 * 7
Expect:  42
"""
import operator
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits_net import LP, Close, TCPServer, Write

SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


class Calculator(Component):

    channel = "server"

    def init(self, port):
        TCPServer(("127.0.0.1", port)).register(self)
        LP(channel="server", max_line=1000).register(self)

    def ready(self, server, bind):
        print("listening on %s:%d" % bind, flush=True)

    def line(self, sock, line):
        if line == "quit":
            self.fire(Close(sock))
            return
        try:
            left, sign, right = line.split()
            answer = "%g" % SIGNS[sign](float(left), float(right))
        except (KeyError, ValueError, ArithmeticError) as error:
            answer = "what? (%s: %s)" % (type(error).__name__, error)
        self.fire(Write(sock, answer + "\n"))


if __name__ == "__main__":
    Calculator(int(sys.argv[1]) if len(sys.argv) > 1 else 8000).run()
