"""An IRC bot: joins a channel and answers who greets it.

Run:     python3 examples/25_irc_bot.py HOST [PORT] [NICK]     default 6667 circuits
Expect:  in #circuits, "Hello YOU!" for every "hello circuits" that you say
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits import Component
from circuits_net import ERR_NICKNAMEINUSE, JOIN, NICK, PRIVMSG, RPL_WELCOME, USER
from circuits_net import IRC, Connect, TCPClient


class Bot(Component):

    channel = "irc"

    def init(self, host, port="6667", nick="circuits"):
        self.address = host, int(port)
        self.nick = nick
        TCPClient(channel="irc", reconnect=True).register(self)
        IRC(channel="irc").register(self)

    def ready(self, component):
        self.fire(Connect(*self.address))

    def connected(self, host, port):
        self.fire(NICK(self.nick))
        self.fire(USER("bot", "localhost", host, "A bot of circuits"))

    def numeric(self, source, target, number, arg, message):
        if number == RPL_WELCOME:
            self.fire(JOIN("#circuits"))
        elif number == ERR_NICKNAMEINUSE:
            self.nick += "_"
            self.fire(NICK(self.nick))

    def join(self, source, channel):
        print("%s joined %s" % (source[0], channel), flush=True)

    def message(self, source, target, text):
        if text.lower() == "hello %s" % self.nick:
            self.fire(PRIVMSG(target, "Hello %s!" % source[0]))


if __name__ == "__main__":
    Bot(*sys.argv[1:]).run()
