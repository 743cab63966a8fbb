"""A small server of SOAP, JSON-RPC, GraphQL and OAuth, and an echo over WebSocket."""

import argparse
import base64
import hashlib
import http.server
import json
import re
import struct

arguments = argparse.ArgumentParser()
arguments.add_argument("--address", default="127.0.0.1")
arguments.add_argument("--port", type=int, required=True)
arguments.add_argument("--log", required=True)
arguments = arguments.parse_args()
open(arguments.log, "a").close()

SOAP = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%s</s:Body></s:Envelope>'
)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/soap":
            operation = re.search(rb"Body><(?:\w+:)?(\w+)", body)[1].decode()
            if operation == "Fail":
                fault = "<s:Fault><faultcode>s:Client</faultcode><faultstring>no</faultstring></s:Fault>"
                self.say(500, "text/xml", SOAP % fault)
            else:
                self.say(200, "text/xml", SOAP % f"<{operation}Response/>")
        elif self.path == "/rpc":
            request = json.loads(body)
            error = {"code": -32601, "message": "no"}
            known = request["method"] == "sum"
            answer = {"result": 3} if known else {"error": error}
            self.say(200, "application/json", json.dumps({"jsonrpc": "2.0", "id": 1, **answer}))
        elif self.path == "/graphql":
            errors = [{"message": "no", "extensions": {"code": "FORBIDDEN"}}]
            answer = {"errors": errors} if b"secret" in body else {"data": {}}
            self.say(200, "application/json", json.dumps(answer))
        else:
            self.say(400, "application/json", '{"error":"invalid_grant"}')

    def do_GET(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        opcode = 0
        while opcode != 8:
            first, second = self.rfile.read(2)
            opcode, length = first & 15, second & 127
            if length == 126:
                (length,) = struct.unpack(">H", self.rfile.read(2))
            mask = self.rfile.read(4)
            text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(length)))
            head = struct.pack(">BBH", first, 126, length) if length > 125 else bytes([first, length])
            self.wfile.write(head + text)
        self.close_connection = True

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer((arguments.address, arguments.port), Handler)
print("listening", flush=True)
server.serve_forever()
