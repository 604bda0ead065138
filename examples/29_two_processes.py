"""A component in a process of its own: the tree here goes on meanwhile.

Run:     python3 examples/29_two_processes.py
Expect:  two different process ids, then the 27th prime: 103
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component, Event


class Calculator(Component):

    def where(self):
        return os.getpid()

    def prime(self, n):
        found = []
        number = 1
        while len(found) < n:
            number += 1
            if all(number % prime for prime in found):
                found.append(number)
        return number


class App(Component):

    def started(self, component):
        there = yield self.call(Event.create("where"))
        print("here %d, there %d" % (os.getpid(), there.value))
        prime = yield self.call(Event.create("prime", 27))
        print(prime.value)
        self.stop()


if __name__ == "__main__":
    app, calculator = App(), Calculator()
    calculator.start(process=True, link=app)
    app.run()
    calculator.join()
