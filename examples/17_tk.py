"""A tree in the window of a Tk program, turned by a timer of Tk.

Run:     python3 examples/17_tk.py [SECONDS]
Expect:  a window that counts up, until it is closed or SECONDS have passed
"""
import os
import sys
import tkinter

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event
from circuits import Timer


class Beat(Event):
    """A second passed."""


class Counter(Component):

    def init(self, label):
        self.label = label
        self.seconds = 0
        Timer(1, Beat(), persist=True).register(self)

    def beat(self):
        self.seconds += 1
        self.label["text"] = "%d seconds" % self.seconds


def main(limit=None):
    window = tkinter.Tk()
    label = tkinter.Label(window, width=30, text="0 seconds")
    label.pack()
    app = Counter(label)

    def turn():
        app.tick(0)                     # never waits
        window.after(20, turn)
    turn()
    if limit is not None:
        window.after(int(float(limit) * 1000), window.destroy)
    window.mainloop()


if __name__ == "__main__":
    main(*sys.argv[1:])
