"""Talk to a device on a serial port: lines you type go out, what it says is shown.

Shows: Serial with stdin and stdout; a clear end when the device goes away.

Run:    python3 examples/34_serial_terminal.py /dev/ttyUSB0 115200      ^D ends it
Expect: "connected to ...", then what the device says.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component, handler
from circuits_io import Serial, Write, stdin, stdout


class Terminal(Component):

    stdin, stdout = stdin, stdout

    def init(self, port, rate=115200):
        self.port = Serial(port, int(rate)).register(self)

    @handler("opened", channel="serial")
    def _on_opened(self, port, rate):
        self.fire(Write("connected to %s at %d\n" % (port, rate)), self.stdout)

    @handler("read", channel="stdin")
    def _on_typed(self, data):
        self.fire(Write(data), self.port)

    @handler("read", channel="serial")
    def _on_received(self, data):
        self.fire(Write(data), self.stdout)

    @handler("eof", channel="stdin")
    def _on_end(self):
        raise SystemExit(0)

    @handler("eof", channel="serial")
    def _on_gone(self):
        raise SystemExit("the device went away")

    @handler("error", channel="serial")
    def _on_error(self, problem):
        raise SystemExit(str(problem))


if __name__ == "__main__":
    Terminal(*sys.argv[1:]).run()
