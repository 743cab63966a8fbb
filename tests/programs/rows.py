"""Servers and clients over TLS for the table of TLS libraries.

rows.py serve KIND PORT CERT KEY      KIND: aiohttp, uvicorn, grpc
rows.py ask KIND PORT CERT PATH...    KIND: aiohttp, grpc, awscrt, curl_gnutls
rows.py ask http PORT CERT TIMES WANT PATH...    each path, TIMES times, a connection each time;
                                                 every answer must have WANT as its body
"""

import asyncio
import ssl
import sys


def unverified():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def serve_aiohttp(port, cert, key):
    from aiohttp import web

    async def answer(request):
        return web.Response(text=request.path)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, ssl_context=context, print=None)


def serve_uvicorn(port, cert, key):
    import uvicorn

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    uvicorn.run(
        app, host="127.0.0.1", port=port, ssl_certfile=cert, ssl_keyfile=key,
        log_level="critical", lifespan="off", loop="asyncio", http="h11",
    )


def serve_grpc(port, cert, key):
    from concurrent import futures

    import grpc

    handler = grpc.method_handlers_generic_handler(
        "rows.Rows", {"Get": grpc.unary_unary_rpc_method_handler(lambda asked, _: asked)}
    )
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    with open(cert, "rb") as chain, open(key, "rb") as secret:
        credentials = grpc.ssl_server_credentials([(secret.read(), chain.read())])
    server.add_secure_port(f"localhost:{port}", credentials)
    server.start()
    server.wait_for_termination()


def ask_aiohttp(port, _cert, paths):
    import aiohttp

    async def all_of_them():
        async with aiohttp.ClientSession() as session:
            for path in paths:
                url = f"https://127.0.0.1:{port}{path}"
                async with session.get(url, ssl=unverified()) as answer:
                    assert await answer.text() == path

    asyncio.run(all_of_them())


def ask_http(port, _cert, paths):
    from http.client import HTTPSConnection

    times, want, *paths = paths
    for _ in range(int(times)):
        connection = HTTPSConnection("127.0.0.1", port, context=unverified(), timeout=30)
        for path in paths:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.read() == want.encode() and answer.status == 200, path
        connection.close()


def ask_curl_gnutls(port, _cert, paths):
    from ctypes import CDLL, c_char_p, c_int, c_long, c_void_p

    # Numbers of options as in curl/curl.h.
    URL, VERIFY_PEER, VERIFY_HOST, NO_PROXY = 10002, 64, 81, 10177
    curl = CDLL("libcurl-gnutls.so.4")
    curl.curl_easy_init.restype = c_void_p
    curl.curl_easy_perform.argtypes = [c_void_p]
    handle = c_void_p(curl.curl_easy_init())
    for option in (VERIFY_PEER, VERIFY_HOST):
        curl.curl_easy_setopt(handle, c_int(option), c_long(0))
    curl.curl_easy_setopt(handle, c_int(NO_PROXY), c_char_p(b"*"))
    for path in paths:
        url = f"https://127.0.0.1:{port}{path}".encode()
        curl.curl_easy_setopt(handle, c_int(URL), c_char_p(url))
        assert curl.curl_easy_perform(handle) == 0, path


def ask_grpc(port, cert, paths):
    import grpc

    with open(cert, "rb") as chain:
        credentials = grpc.ssl_channel_credentials(chain.read())
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        for path in paths:
            assert channel.unary_unary(path)(b"hello", timeout=20) == b"hello"


def ask_awscrt(port, _cert, paths):
    from awscrt import http, io

    options = io.TlsContextOptions()
    options.verify_peer = False
    tls = io.ClientTlsContext(options).new_connection_options()
    connection = http.HttpClientConnection.new("127.0.0.1", port, tls_connection_options=tls)
    connection = connection.result(20)
    for path in paths:
        headers = http.HttpHeaders([("host", "localhost")])
        stream = connection.request(http.HttpRequest("GET", path, headers))
        stream.activate()
        assert stream.completion_future.result(20) == 200
    connection.close().result(20)


def main():
    what, kind, port, cert, *rest = sys.argv[1:]
    if what == "serve":
        globals()[f"serve_{kind}"](int(port), cert, rest[0])
    else:
        # A program that runs for a while: its library is there before it is used.
        sys.stdin.read(1)
        globals()[f"ask_{kind}"](int(port), cert, rest)


main()
