"""One conversation over TCP under a condition that few programs meet: three calls a connection,
GET /NAME/before, POST /NAME with a body both ways, GET /NAME/after.

    conditions.py NAME BODY

NAME: plain | ipv6 | ipv6-options | reset | same-ports. Prints the calls made, or "unavailable: WHY"
with exit code 77.
"""
import socket
import struct
import sys
import threading

name, size = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if name.startswith("ipv6") else socket.AF_INET
host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
connections = 5 if name == "same-ports" else 1


def options(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if name == "ipv6-options":
        # Next header (filled in by the kernel), length 0 (8 bytes), and a PadN option of 4 bytes.
        header = bytes([0, 0, 1, 4, 0, 0, 0, 0])
        try:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, header)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, header)
        except OSError as error:
            print("unavailable:", error)
            sys.exit(77)
    return s


def read_message(stream):
    first = stream.readline()
    length = 0
    while True:
        line = stream.readline().strip()
        if not line:
            break
        key, value = line.split(b":", 1)
        if key.lower() == b"content-length":
            length = int(value)
    return first, stream.read(length)


def serve(listener):
    for _ in range(connections):
        s, _ = listener.accept()
        stream = s.makefile("rb", 1 << 20)
        try:
            while True:
                first, body = read_message(stream)
                if not first:
                    break
                answer = b"d" * (len(body) or 5)
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        except OSError:
            pass
        stream.close()
        s.close()


listener = options(socket.socket(family))
listener.bind((host, 0))
listener.listen(8)
server = threading.Thread(target=serve, args=(listener,))
server.start()
calls, port = 0, 0
for _ in range(connections):
    s = options(socket.socket(family))
    if name == "same-ports":
        s.bind((host, port))
        port = s.getsockname()[1]
    s.connect(listener.getsockname()[:2])
    stream = s.makefile("rb", 1 << 20)
    for path, body in (("/before", b""), ("", b"u" * size), ("/after", b"")):
        method = b"POST" if body else b"GET"
        head = b"%s /%s%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        s.sendall(head % (method, name.encode(), path.encode(), len(body)) + body)
        read_message(stream)
        calls += 1
    if name in ("reset", "same-ports"):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()
    s.close()
server.join()
print(calls)
