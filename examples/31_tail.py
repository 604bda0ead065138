"""Follow a file as it grows, like tail -F.

Run:    python3 examples/31_tail.py /var/log/syslog
Expect: what is added to it, until ^C; also when it is truncated or rotated
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component, handler
from circuits_io import File, Notify, Seek, Write, stdout


class Tail(Component):
    stdout, rotated = stdout, False

    def init(self, path):
        self.path, self.size = os.path.abspath(path), os.path.getsize(path)
        self.file = File(self.path, autoclose=False).register(self)
        self.file.seek(0, os.SEEK_END)
        Notify().register(self).add_path(os.path.dirname(self.path))

    @handler("read", channel="file")
    def _on_read(self, data):
        yield self.call(Write(data), self.stdout)

    @handler("modified", "created", "moved", channel="notify")
    def _on_change(self, name, path, pathname, isdir):
        try:
            ours, there = os.stat(self.file.fileno()), os.stat(self.path)
        except (OSError, ValueError):
            return                                      # the new one is yet to come
        self.rotated = not os.path.samestat(ours, there)
        if not self.rotated and there.st_size < self.size:
            self.fire(Seek(0), self.file)               # truncated
        self.size = there.st_size
        self.file.resume()

    @handler("eof", channel="file")
    def _on_eof(self):
        if self.rotated and self.file.tell() < os.stat(self.file.fileno()).st_size:
            self.file.resume()                          # its last words
        elif self.rotated:
            self.rotated = False
            self.file.open()


if __name__ == "__main__":
    Tail(sys.argv[1]).run()
