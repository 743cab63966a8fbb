"""Python's http.server with the paths and the access log that the live tests share."""

import argparse
import json
import os
import sys

# http.server takes ssl along if it can; here it comes only when and if it is needed, so that a
# waiting server shows a library that is loaded late.
sys.modules["ssl"] = None
import http.server

del sys.modules["ssl"]

arguments = argparse.ArgumentParser()
arguments.add_argument("--address", default="127.0.0.1")
arguments.add_argument("--port", type=int, required=True)
arguments.add_argument("--log", required=True)
arguments.add_argument("--cert")
arguments.add_argument("--key")
arguments.add_argument("--keep-alive", action="store_true")
arguments.add_argument("--wait", action="store_true")
arguments = arguments.parse_args()

log = os.open(arguments.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1" if arguments.keep_alive else "HTTP/1.0"

    def answer(self, status, body):
        received = self.drain()
        self.send_response_only(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.end_headers()
        sent = 0
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)
            sent = len(body)
        line = {
            "method": self.command,
            "uri": self.path,
            "status": status,
            "response_bytes": sent,
            "request_bytes": received,
            "client_port": self.client_address[1],
            "server_port": arguments.port,
            "pid": os.getpid(),
        }
        os.write(log, (json.dumps(line) + "\n").encode())

    def drain(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            received = 0
            while size := int(self.rfile.readline().split(b";")[0], 16):
                received += len(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            return received
        wanted = int(self.headers.get("Content-Length") or 0)
        received = 0
        while received < wanted:
            part = len(self.rfile.read(min(wanted - received, 1 << 16)))
            if part == 0:
                break
            received += part
        return received

    def route(self):
        path = self.path.split("?")[0]
        kind, _, number = path.strip("/").partition("/")
        if kind == "status" and number.isdigit():
            self.answer(int(number), b"" if number == "204" else path.encode())
        elif kind == "bytes" and number.isdigit():
            self.answer(200, b"x" * int(number))
        elif self.command in ("POST", "PUT"):
            self.answer(201, b"taken")
        elif path == "/":
            self.answer(200, b"hello")
        else:
            self.answer(404, b"nothing here")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = route

    def log_message(self, *_):
        pass


def main():
    if arguments.wait:
        print("waiting", flush=True)
        sys.stdin.readline()
    server = http.server.ThreadingHTTPServer((arguments.address, arguments.port), Handler)
    server.daemon_threads = True
    if arguments.cert:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.cert, arguments.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening", flush=True)
    server.serve_forever()


main()
