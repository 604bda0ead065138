"""A tree in a Qt program, woken by Qt when there is something to do.

Run:     python3 examples/18_qt.py            needs PySide6, or change the import
Expect:  a window that counts up, until it is closed
"""
import os
import sys

from PySide6.QtCore import QSocketNotifier
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from PySide6.QtWidgets import QLabel

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits import Event
from circuits import Timer


class Counter(Component):

    def init(self, label):
        self.label = label
        self.seconds = 0
        Timer(1, Event.create("beat"), persist=True).register(self)

    def beat(self):
        self.seconds += 1
        self.label.setText("%d seconds" % self.seconds)


if __name__ == "__main__":
    qt = QApplication(sys.argv)
    label = QLabel("0 seconds")
    app = Counter(label)
    timer = QTimer(singleShot=True)

    def turn(*args):
        app.tick(0)
        deadline = app.next_deadline()
        if deadline is not None:
            timer.start(max(0, int(1000 * (deadline - app.clock()) + 1)))

    notifier = QSocketNotifier(app.fileno(), QSocketNotifier.Type.Read)
    notifier.activated.connect(turn)
    timer.timeout.connect(turn)
    turn()
    label.show()
    sys.exit(qt.exec())
