"""Say what happens in a folder and below it.

Shows: Notify, recursive, with folders that are made later.

Run:    python3 examples/33_dirwatch.py /tmp     and make, change, rename, remove something
Expect: a line like "created  /tmp/new" for each happening, until ^C.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component, handler
from circuits_io import Notify, Write, stderr, stdout


class Watch(Component):

    stdout, stderr = stdout, stderr

    def init(self, path):
        self.notify = Notify().register(self)
        self.notify.add_path(path, recursive=True)

    def _say(self, *words):
        self.fire(Write("%-9s %s\n" % (words[0], " -> ".join(words[1:]))), self.stdout)

    @handler("created", "deleted", "modified", channel="notify")
    def _on_change(self, event, name, path, pathname, isdir):
        self._say(event.name, pathname)

    @handler("renamed", channel="notify")
    def _on_renamed(self, source, destination, isdir):
        self._say("renamed", source, destination)

    @handler("overflow", channel="notify")
    def _on_overflow(self):
        self._say("overflow", "some changes were missed")

    @handler("error", channel="notify")
    def _on_error(self, problem):
        self.fire(Write("dirwatch: %s\n" % problem), self.stderr)


if __name__ == "__main__":
    Watch(sys.argv[1]).run()
