"""A JSON API: addresses with parts that vary, methods, errors as JSON.

Run:     python3 examples/web_api.py [PORT]                default 8000
         curl http://127.0.0.1:8000/notes
         curl -d '{"text": "milk"}' http://127.0.0.1:8000/notes
         curl -X DELETE http://127.0.0.1:8000/notes/1
Expect:  the notes as JSON; 404 and 405 for what does not exist.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from circuits.web import JSONController
from circuits.web import Server
from circuits_web import BadRequestException
from circuits_web import exposeJSON


class Notes(JSONController):
    channel = "/notes"

    def init(self):
        self.notes = {1: "bread"}

    def GET(self):
        return self.notes

    def POST(self):
        note = self.request.json
        if not isinstance(note, dict) or not isinstance(note.get("text"), str):
            raise BadRequestException('send {"text": ...}')
        number = max(self.notes, default=0) + 1
        self.notes[number] = note["text"]
        self.response.status = 201
        return {"id": number}

    @exposeJSON("{number:int}", methods=("GET", "DELETE"))
    def one(self, number):
        if number not in self.notes:
            return self.notfound("There is no note %d." % number)
        if self.request.method == "DELETE":
            return self.notes.pop(number)
        return self.notes[number]


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    (Server(("127.0.0.1", port)) + Notes()).run()
