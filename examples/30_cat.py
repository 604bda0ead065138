"""Copy files, or the standard input, to the standard output.

Shows: File, stdin and stdout, and waiting for room before more is read, so
that a slow reader (try ``| less``) costs no memory.

Run:    python3 examples/30_cat.py FILE...       or  echo hello | python3 examples/30_cat.py
Expect: what cat prints.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component, handler
from circuits_io import File, Write, stderr, stdin, stdout


class Cat(Component):

    channel = "cat"
    stdout, stderr = stdout, stderr

    def init(self, names):
        self.names = list(names)
        self.file = File(self.names.pop(0)) if names else stdin
        self.file.channel = "cat"
        self.file.register(self)

    def read(self, data):
        yield self.call(Write(data), self.stdout)

    def error(self, problem):
        self.fire(Write("cat: %s\n" % problem), self.stderr)
        self.closed()

    @handler("error", channel="stdout")
    def _on_broken(self, problem):
        raise SystemExit(1)             # nobody reads it any more: cat | head

    def closed(self):
        if not self.names:
            raise SystemExit(0)
        self.file.open(self.names.pop(0))


if __name__ == "__main__":
    Cat(sys.argv[1:]).run()
