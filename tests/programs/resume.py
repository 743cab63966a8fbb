"""Asks a server over TLS, a connection for each path that goes on from the one before.

resume.py PORT VERSION PATH...    prints for each path whether the library says so
"""

import socket
import ssl
import sys

port, version, *paths = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
session = None
for path in paths:
    plain = socket.create_connection(("127.0.0.1", int(port)), 20)
    with context.wrap_socket(plain, session=session) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        while connection.recv(4096):
            pass
        print("resumed" if connection.session_reused else "new")
        session = connection.session
