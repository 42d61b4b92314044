"""A mail server of our own on a free port: it takes every letter, or refuses, or cuts the line after taking it."""

import socketserver
import threading
from typing import Any


class Sink:
    """`mood` is kind, refuse (550 for every reader), busy (451), hang up (before the letter), or cut (the letter
    is taken, the line dies before it says so)."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.mood = "kind"
        sink = self

        class Talk(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                sink.talk(self)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    def talk(self, line: Any) -> None:
        def say(text: str) -> None:
            line.wfile.write(f"{text}\r\n".encode())

        say("220 sink")
        for raw in line.rfile:
            word = raw.decode().strip()[:4].upper()
            if word == "RCPT" and self.mood == "refuse":
                say("550 nobody of that name")
            elif word == "RCPT" and self.mood == "busy":
                say("451 come again later")
            elif word == "DATA" and self.mood == "hang up":
                return
            elif word == "DATA":
                say("354 go on")
                self.letters.append(b"".join(iter(line.rfile.readline, b".\r\n")).decode())
                if self.mood == "cut":
                    return
                say("250 kept")
            elif word == "QUIT":
                say("221 bye")
                return
            else:
                say("250 fine")

    def __enter__(self) -> "Sink":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
