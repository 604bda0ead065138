"""A site of files, compressed, with a log and careful headers.

Run:     python3 examples/web_site.py [PORT] [DIR]         default 8000, this folder
         then open http://127.0.0.1:8000/
Expect:  a list of the folder, and a line on standard output for each request.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits.web import Logger
from circuits.web import Server
from circuits.web import Static
from circuits_web import Compress
from circuits_web import Health
from circuits_web import SecurityHeaders


def site(port, folder):
    return (Server(("127.0.0.1", port)) + Static(docroot=folder, dirlisting=True)
            + Compress() + SecurityHeaders() + Health("/health") + Logger())


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    site(port, sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(os.path.abspath(__file__))).run()
