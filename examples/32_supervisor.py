"""Restart a program that crashes, waiting longer each time.

Shows: Process, waiting for its end, sleep, stopping it with the system.

Run:    python3 examples/32_supervisor.py sh -c 'echo working; sleep 1; exit 1'
Expect: its output, and "status 1, again in 1 s", then 2, 4 ... 60 s (a run of
        ten seconds begins anew), until the status is 0 or ^C.
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component, handler, sleep
from circuits_io import Process, Write, stdout


class Supervisor(Component):

    stdout = stdout

    def init(self, command, first=1.0, longest=60.0):
        self.process = Process(command).register(self)
        self.first, self.longest = first, longest

    @handler("started")
    def _on_started(self, component):
        if component is not self.root:
            return                      # that was the process
        pause = self.first
        while True:
            began = time.monotonic()
            self.process.start()
            status = yield self.process.wait()
            if status in (0, None):             # done, or no such program
                raise SystemExit(status)
            if time.monotonic() - began > 10:
                pause = self.first
            self.fire(Write("status %s, again in %g s\n" % (status, pause)), self.stdout)
            yield sleep(pause)
            pause = min(2 * pause, self.longest)

    @handler("read", channel="*")
    def _on_output(self, data):
        self.fire(Write(data), self.stdout)


if __name__ == "__main__":
    Supervisor(sys.argv[1:]).run()
