"""The smallest system: one component that does nothing, until ^C.

Run:     python3 examples/01_empty.py
Expect:  nothing; it waits without using the processor.  ^C ends it quietly.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component

if __name__ == "__main__":
    Component().run()
