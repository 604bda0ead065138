"""A chat in the browser, over WebSocket.

Run:     python3 examples/web_chat.py [PORT]               default 8000
         then open http://127.0.0.1:8000/ in two windows
Expect:  what one says, both see; restart the server, and they come back to it.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits.web import Controller
from circuits.web import Group
from circuits.web import Server
from circuits.web.dispatchers import WebSockets

PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>Chat</title>
<form id="form"><input id="line" autofocus autocomplete="off"></form><div id="log"></div>
<script>
let socket, show = text => log.appendChild(document.createElement("p")).textContent = text;
function connect() {
    socket = new WebSocket(location.origin.replace("http", "ws") + "/chat");
    socket.onopen = () => show("You are connected.");
    socket.onmessage = event => show(event.data);
    socket.onclose = () => setTimeout(connect, 500 + 500 * Math.random());
}
form.onsubmit = () => { socket.send(line.value); line.value = ""; return false; };
connect();</script>"""


class Chat(Component):
    channel = "ws"
    everybody = Group()

    def connect(self, sock, host, port):
        self.everybody.add(sock)

    def read(self, sock, text):
        self.everybody.send(text)


class Root(Controller):
    def index(self):
        return PAGE


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port)) + WebSockets("/chat") + Chat() + Root()).run()
